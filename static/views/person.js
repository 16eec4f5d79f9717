// Somebody as they show themselves: picture, names, and what they say of themselves.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { shownName } from "../format.js";
import { changed, isOnline, learnPerson, nameOf, personOf } from "../store.js";
import { t } from "../texts.js";
import { attempt } from "./ask.js";
import { avatar } from "./avatar.js";

const dialog = document.getElementById("person");

/** Show what is known, and the rest when it comes. */
export async function showPerson(id) {
  draw(id, null);
  dialog.showModal();
  await attempt(load(id));
}

async function load(id) {
  const person = await api.person(id);
  learnPerson(person);
  changed();
  draw(id, person.about);
}

function draw(id, about) {
  const close = { "aria-label": t("act.close"), title: t("act.close"), onclick: () => dialog.close() };
  const had = dialog.contains(document.activeElement);
  dialog.replaceChildren(
    h("button.quiet.close", close, icon("close")),
    avatar(id),
    h("h2", { id: "person-name", dir: "auto" }, shownName(nameOf(id))),
    personOf(id)?.display_name ? h("p.username", { dir: "auto" }, personOf(id).username) : "",
    isOnline(id) ? h("p.here", {}, t("chat.online")) : "",
    about ? h("p.about", { dir: "auto" }, about) : "",
  );
  if (had) dialog.querySelector(".close").focus();
}

dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close()); // beside it
