// The file of a message: a picture in its place, or a name and a size. Also while it is under way.

import { addressOf } from "../addresses.js";
import { h, icon } from "../dom.js";
import { size } from "../format.js";
import { look } from "../live.js";
import { bytesOf, discard } from "../outbox.js";
import { onChange, state } from "../store.js";
import { currentLanguage, t } from "../texts.js";
import { shareOf, uploads } from "../uploads.js";
import { attempt } from "./ask.js";
import { view } from "./viewer.js";

const list = document.getElementById("messages");
const LARGEST = 320; // pixels of a picture's longer side
const MANY = 300; // elements kept

const drawn = new Map(); // a message that is drawn anew keeps its picture, which is loaded by now

/** What a message brings, or null. */
export function drawAttachment(message) {
  const { id, file, type, pending, error } = message;
  if (!file) return null;
  const draw = type === "Image" ? drawPicture : drawFile;
  if (!pending) return kept(`${file.id}`, () => draw(message));
  const main = kept(id, () => draw(message));
  return error ? main : h("div.upload", {}, main, drawProgress(message));
}

function kept(place, make) {
  const key = `${currentLanguage()} ${place}`;
  const element = drawn.get(key) ?? make();
  drawn.delete(key);
  drawn.set(key, element); // the last one used is the last to go
  if (drawn.size > MANY) drawn.delete(drawn.keys().next().value);
  return element;
}

function drawFile({ id, file, pending }) {
  return h(
    "button.file",
    { onclick: () => attempt(pending ? save(id, file) : download(file)) },
    icon("file"),
    h("span.unseen", {}, `${t("act.download")} `),
    h("span.text", {}, h("bdi.name", {}, file.name), h("small", {}, size(file.bytes))),
  );
}

// Pictures ---------------------------------------------------------------------------------------

function drawPicture({ id, file, pending }) {
  const scale = Math.min(1, LARGEST / Math.max(file.width, file.height));
  const side = (pixels) => Math.max(1, Math.round(pixels * scale));
  const image = h("img", {
    alt: t("message.photo-name", { name: file.name }),
    width: side(file.width),
    height: side(file.height),
    decoding: "async",
    draggable: "false",
  });
  const source = pending
    ? () => localUrl(id)
    : (options) => addressOf(file.id, { thumbnail: file.has_thumbnail, ...options });
  const whole = pending ? () => localUrl(id) : () => addressOf(file.id);
  const onclick = () => {
    if (image.classList.contains("absent")) return show(image, true);
    view(file, { small: image.currentSrc, whole, save: () => (pending ? save(id, file) : download(file)) });
  };
  let failed = false;
  image.source = source;
  image.addEventListener("error", () => {
    // An address that has ended: ask anew, once.
    if (failed) image.classList.add("absent");
    else show(image, true);
    failed = true;
  });
  image.addEventListener("load", () => {
    failed = false;
    if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  });
  near.observe(image);
  return h("button.photo", { title: t("act.open"), onclick }, image);
}

async function show(image, anew = false) {
  image.classList.remove("absent");
  try {
    image.src = await image.source({ anew });
  } catch {
    image.classList.add("absent"); // shows its name; a click or a new connection tries again
  }
}

/** Addresses are asked for when a picture is about to come into sight, and not for all of a page. */
const near = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      show(target);
    }
  },
  { root: list, rootMargin: "600px" },
);

let was = null;

onChange(() => {
  if (was === "offline" && state.connection !== "offline") {
    list.querySelectorAll("img.absent").forEach((image) => show(image, true));
  }
  was = state.connection;
});

// Saving -----------------------------------------------------------------------------------------

async function localUrl(id) {
  const bytes = await bytesOf(id);
  if (!bytes) throw new Error(t("file.gone"));
  return URL.createObjectURL(bytes);
}

/** Have the browser save a file under its name. */
export const download = async (file) => saveFrom(await addressOf(file.id), file.name);

const save = async (id, file) => saveFrom(await localUrl(id), file.name);

function saveFrom(href, name) {
  const link = h("a", { href, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
}

// Under way --------------------------------------------------------------------------------------

function drawProgress({ id, file }) {
  const stop = () => {
    discard(id);
    look(); // it may just have arrived
    document.getElementById("text").focus(); // the button goes away
  };
  return h(
    "div.progress",
    {},
    h("progress", { max: 1, value: shareOf(id), "data-upload": id, "aria-label": t("file.upload", { name: file.name }) }),
    h("button.quiet", { "aria-label": t("file.cancel"), title: t("act.cancel"), onclick: stop }, icon("close")),
  );
}

uploads.addEventListener("progress", ({ detail }) => {
  const bar = list.querySelector(`progress[data-upload="${detail}"]`);
  if (bar) bar.value = shareOf(detail);
});
