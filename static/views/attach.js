// Files that go out with the next message: chosen by the button, pasted or dropped, and seen first.

import { prepared } from "../attachments.js";
import { isRefused } from "../conversation.js";
import { announce, h, icon, keyed } from "../dom.js";
import { size } from "../format.js";
import { changed, state } from "../store.js";
import { t } from "../texts.js";
import { tell } from "./ask.js";
import { canWrite } from "./reactions.js";

const talk = document.getElementById("talk");
const button = document.getElementById("attach");
const chooser = document.getElementById("file");
const shown = document.getElementById("attached");

const chosen = new Map(); // the other person's id -> files made ready, with a key and a preview
let keys = 0;
let underWay = 0;

export const attachedTo = (peer) => chosen.get(peer) ?? [];

/** Whether files wait to go out with a message to anybody. */
export const isAnyAttached = () => [...chosen.values()].some((files) => files.length > 0);

/** Whether files are still being looked at. */
export const isPreparing = () => underWay > 0;

/** The files for a person, which leave here: they are being sent. */
export function takeAttached(peer) {
  const files = attachedTo(peer);
  chosen.delete(peer);
  for (const { preview } of files) if (preview) URL.revokeObjectURL(preview);
  return files.map(({ key, preview, tells, ...file }) => file);
}

const isOpenForFiles = () => canWrite() && !state.open.editing && !isRefused(state.open);

export function drawAttached() {
  const { peer } = state.open;
  button.disabled = !isOpenForFiles();
  const files = state.open.editing ? [] : attachedTo(peer);
  shown.hidden = !files.length;
  keyed(shown, files.map((file) => ({ key: file.key, version: file.key, make: () => draw(peer, file) })));
}

function draw(peer, file) {
  return h(
    "li",
    {},
    file.preview ? h("img", { src: file.preview, alt: "", width: 44, height: 44 }) : icon("file"),
    h(
      "span.text",
      {},
      h("bdi.name", {}, file.name),
      h("small", {}, size(file.bytes)),
      file.tells && h("small.warning", {}, t("file.tells")),
    ),
    h(
      "button.quiet",
      {
        type: "button",
        "aria-label": t("file.remove-name", { name: file.name }),
        title: t("file.remove"),
        onclick: () => remove(peer, file),
      },
      icon("close"),
    ),
  );
}

function remove(peer, file) {
  if (file.preview) URL.revokeObjectURL(file.preview);
  chosen.set(peer, attachedTo(peer).filter((each) => each !== file));
  announce(t("file.removed", { name: file.name }));
  changed();
  document.getElementById("text").focus();
}

/** Make files ready for the next message of the open chat. */
async function attach(files) {
  if (!state.open || !isOpenForFiles()) return;
  const { peer } = state.open;
  underWay += 1;
  changed();
  const faults = [];
  for (const file of files) await add(peer, file).catch(({ message }) => faults.push(message));
  if (faults.length) tell(faults.join(" ")); // one after the other, only the last would be read
  underWay -= 1;
  changed();
  document.getElementById("text").focus();
}

async function add(peer, given) {
  const file = await prepared(given);
  const preview = file.width ? URL.createObjectURL(file.blob) : null;
  chosen.set(peer, [...attachedTo(peer), { ...file, preview, key: (keys += 1) }]);
  announce(t("file.attached", { name: file.name }));
  changed();
}

button.addEventListener("click", () => chooser.click());
chooser.addEventListener("change", () => {
  attach([...chooser.files]);
  chooser.value = ""; // so that the same one can be chosen again
});

document.addEventListener("paste", (event) => {
  const data = event.clipboardData;
  // Office programs copy a text together with its picture, and the text is meant.
  if (!data?.files.length || data.types.includes("text/plain")) return;
  if (event.target.closest?.("dialog, #overview")) return;
  event.preventDefault();
  attach([...data.files]);
});

const brings = (event) => event.dataTransfer?.types.includes("Files");

// A file that is dropped beside the chat would replace the page.
document.addEventListener("dragover", (event) => {
  if (!brings(event)) return;
  event.preventDefault();
  const here = Boolean(state.open && isOpenForFiles() && talk.contains(event.target));
  event.dataTransfer.dropEffect = here ? "copy" : "none";
  talk.classList.toggle("dropping", here);
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) talk.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  if (!brings(event)) return;
  event.preventDefault();
  talk.classList.remove("dropping");
  if (talk.contains(event.target)) attach([...event.dataTransfer.files]);
});
