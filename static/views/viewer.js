// A picture, as large as the window allows.

import { t } from "../texts.js";
import { attempt } from "./ask.js";

const viewer = document.getElementById("viewer");
const image = viewer.querySelector("img");
let shown = null;

/** Show a picture: `small` is there at once, `whole` resolves to the address of all of it. */
export async function view(file, { small, whole, save }) {
  const what = (shown = { save });
  viewer.querySelector("h2").textContent = file.name;
  image.alt = t("message.photo-name", { name: file.name });
  image.width = file.width;
  image.height = file.height;
  if (small.startsWith("blob:")) image.removeAttribute("src"); // it is revoked by now
  else image.src = small;
  viewer.showModal();
  await attempt(load(what, whole));
}

async function load(what, whole) {
  const url = await whole();
  const larger = new Image();
  larger.src = url;
  const works = await larger.decode().then(() => true, () => false);
  if (shown !== what || !viewer.open) return;
  if (!works) throw new Error(t("file.not-shown"));
  image.src = url;
}

viewer.querySelector(".close").addEventListener("click", () => viewer.close());
viewer.querySelector(".download").addEventListener("click", () => attempt(shown.save()));
viewer.addEventListener("click", ({ target }) => {
  if (!target.closest("img, header")) viewer.close(); // beside the picture
});
viewer.addEventListener("close", () => {
  shown = null;
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  image.removeAttribute("src");
});
