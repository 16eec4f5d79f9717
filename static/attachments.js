// Files that were chosen: looked at, freed of traces, and ready to be sent.

import { size } from "./format.js";
import { kindOf, mayTell, withoutTraces } from "./photographs.js";
import { t } from "./texts.js";

/** What the server takes, in bytes. */
const most = Number(document.getElementById("file").dataset.most);

/**
 * A file as it is going to be sent: {name, media_type, blob, bytes, width, height, tells}.
 * Only pictures that this browser shows have a width and a height. Raises Error with a sentence.
 */
export async function prepared(file) {
  const name = file.name || t("file.unnamed");
  if (file.size > most) {
    throw new Error(t("file.too-large", { name, most: size(most) }));
  }
  const content = await file.arrayBuffer().catch(() => null);
  if (!content) throw new Error(t("file.unreadable", { name }));
  if (!content.byteLength) throw new Error(t("file.empty", { name }));
  const bytes = new Uint8Array(content);
  const kind = kindOf(bytes);
  const made = { name, media_type: kind ?? file.type, tells: !kind && mayTell(name, file.type) };
  try {
    made.blob = new Blob(withoutTraces(bytes), { type: made.media_type });
    made.bytes = made.blob.size;
  } catch {
    throw new Error(t("file.damaged", { name }));
  }
  return { ...made, ...(kind && (await measured(made.blob))) };
}

/** The width and height of a picture; null if the browser cannot show it. */
async function measured(blob) {
  const url = URL.createObjectURL(blob);
  const image = new Image();
  try {
    image.src = url;
    await image.decode();
    return { width: image.naturalWidth, height: image.naturalHeight };
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(url);
  }
}
