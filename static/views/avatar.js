// A round picture of a person: the one that they show, or the first letter of their name on a
// colour of its own.

import { h } from "../dom.js";
import { characters } from "../format.js";
import { known, pictureAt } from "../pictures.js";
import { nameOf, personOf } from "../store.js";

export function avatar(id, online = false) {
  const [first] = characters(nameOf(id) ?? "?");
  const element = h("span.avatar", { "aria-hidden": "true" }, first.toLocaleUpperCase());
  element.style.setProperty("--hue", (id * 137.5) % 360); // neighbouring ids differ in colour
  const path = personOf(id)?.avatar;
  if (path) showIn(element, path);
  if (online) element.append(h("span.dot"));
  return element;
}

function showIn(element, path) {
  const show = (url) => element.prepend(h("img", { src: url, alt: "" }));
  const here = known(path);
  if (here) show(here); // at once: what is drawn again does not flicker
  else pictureAt(path).then(show, () => {}); // the letter stays
}
