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
let filled = {}; // what the fields were given

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
  filled = {};
  element = form(fields, { verb: t("settings.save"), save, blame });
  fill();
  return [drawPicture(), element];
}

/** Show what is known, but where something else was typed. */
function fill() {
  const known = values(state.me);
  for (const [name, value] of Object.entries(known)) {
    const input = element.elements[name];
    if (input.value === (filled[name] ?? "")) input.value = value;
  }
  filled = known;
}

/** It may have been changed elsewhere, or not be known in full yet. */
export async function refresh() {
  state.me = await api.me();
  changed();
  redraw();
  fill();
}

async function save(wanted) {
  const changes = Object.entries(wanted).filter(([name, value]) => value !== filled[name]);
  if (!changes.length) return t("settings.saved"); // as it was
  const before = state.me.username;
  state.me = await account.change(Object.fromEntries(changes));
  filled = values(state.me);
  if (state.me.username !== before) rename(state.me.username);
  changed();
  return t("settings.saved");
}
