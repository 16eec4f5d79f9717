// How others see me: a picture, names, and a text about me.

import { account } from "../../account.js";
import { api } from "../../api.js";
import { rename } from "../../staying.js";
import { changed, state } from "../../store.js";
import { t } from "../../texts.js";
import { field, form } from "./form.js";
import { drawPicture, redraw } from "./picture.js";

export const title = "settings.profile";
export const icon = "person";

let element;

const values = ({ display_name, about, username }) => ({
  display_name: display_name ?? "",
  about: about ?? "",
  username,
});

export function build() {
  const fields = [
    field("display_name", t("profile.name"), { hint: t("profile.name-hint"), autocomplete: "name" }),
    field("about", t("profile.about"), { rows: 3 }),
    field("username", t("profile.username"), {
      hint: t("profile.username-hint"),
      autocapitalize: "none",
      spellcheck: "false",
    }),
  ];
  const blame = ({ code }) => (code === "taken" ? "username" : null);
  element = form(fields, { verb: t("settings.save"), save, blame });
  fill();
  return [drawPicture(), element];
}

function fill() {
  for (const [name, value] of Object.entries(values(state.me))) element.elements[name].value = value;
}

const isTouched = () =>
  Object.entries(values(state.me)).some(([name, value]) => element.elements[name].value !== value);

/** It may have been changed elsewhere. What is being typed stays. */
export async function refresh() {
  const me = await api.me();
  const touched = isTouched(); // by what was known until now
  state.me = me;
  changed();
  redraw();
  if (!touched) fill();
}

async function save(wanted) {
  const known = values(state.me);
  const changes = Object.entries(wanted).filter(([name, value]) => value !== known[name]);
  if (!changes.length) return t("settings.saved"); // as it was
  state.me = await account.change(Object.fromEntries(changes));
  if (wanted.username !== known.username) rename(wanted.username);
  changed();
  return t("settings.saved");
}
