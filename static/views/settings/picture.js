// The picture that stands for me.

import { account } from "../../account.js";
import { LoggedOut } from "../../api.js";
import { h } from "../../dom.js";
import { changed, state } from "../../store.js";
import { t } from "../../texts.js";
import { avatar } from "../avatar.js";

const KINDS = "image/png,image/jpeg,image/gif,image/webp"; // that the API takes
const SIDE = 512; // pixels, twice what the API keeps
const SMALL = 300_000; // bytes that even a slow line carries soon

let draw = () => {};

/** Show it as it is now. */
export const redraw = () => draw();

/** The picture, and the buttons that change it. */
export function drawPicture() {
  const place = h("span.portrait");
  const file = h("input", { type: "file", accept: KINDS, hidden: true, "aria-label": t("picture") });
  const choose = h("button", { onclick: () => file.click() }, t("picture.choose"));
  const remove = h("button", { onclick: () => change(account.removePicture) }, t("picture.remove"));
  const status = h("p.status", { role: "status" });
  let busy = false;

  draw = () => {
    place.replaceChildren(avatar(state.me.id));
    if (document.activeElement === remove && !state.me.avatar) choose.focus();
    remove.hidden = !state.me.avatar;
  };

  async function change(act) {
    if (busy) return;
    busy = true;
    say(t("picture.under-way"));
    try {
      state.me = await act();
      changed();
      draw();
      say(t("settings.saved"));
    } catch (error) {
      say(error instanceof LoggedOut ? "" : error.message, true);
    } finally {
      busy = false;
    }
  }

  function say(sentence, isFault = false) {
    status.textContent = sentence;
    status.classList.toggle("fault", isFault);
  }

  file.addEventListener("change", () => {
    const [chosen] = file.files;
    file.value = ""; // so that the same one can be chosen again
    if (chosen) change(async () => account.putPicture(await reduced(chosen)));
  });
  draw();
  return h("div.picture-row", {}, place, h("div", {}, h("div.row", {}, choose, remove, file), status));
}

/** A small picture as it is; of a large one, such as a camera makes, the square in its middle. */
async function reduced(file) {
  if (file.size <= SMALL) return file;
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    throw new Error(t("picture.unreadable"));
  }
  const side = Math.min(picture.width, picture.height);
  const [x, y] = [(picture.width - side) / 2, (picture.height - side) / 2];
  const canvas = h("canvas", { width: SIDE, height: SIDE });
  canvas.getContext("2d").drawImage(picture, x, y, side, side, 0, 0, SIDE, SIDE);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/webp", 0.9));
}
