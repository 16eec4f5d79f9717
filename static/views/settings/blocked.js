// Whom I have blocked.

import { learnBlocks, unblock } from "../../blocks.js";
import { announce, h, keyed } from "../../dom.js";
import { look } from "../../live.js";
import { nameOf, onChange, personOf, state } from "../../store.js";
import { t } from "../../texts.js";
import { attempt } from "../ask.js";
import { avatar } from "../avatar.js";

export const title = "settings.blocked";
export const icon = "block";

let list = null;
let nobody;

export function build() {
  if (!list) onChange(draw);
  list = h("ul.cards");
  nobody = h("p.hint", { tabindex: -1 }, t("blocked.nobody"));
  return [h("p.hint", {}, t("block.meaning")), list, nobody];
}

export async function refresh() {
  draw();
  await learnBlocks();
  draw();
}

function draw() {
  const blocked = [...state.blocked].filter((id) => personOf(id));
  nobody.hidden = blocked.length > 0;
  keyed(list, blocked.map((id) => ({ key: id, version: JSON.stringify(personOf(id)), make: () => row(id) })));
}

function row(id) {
  const { username, display_name } = personOf(id);
  const name = nameOf(id);
  return h(
    "li",
    {},
    avatar(id),
    h("div", {}, h("bdi.name", {}, name), display_name && h("small", {}, h("bdi", {}, username))),
    h("button", { "aria-label": t("block.undo-name", { name }), onclick: () => lift(id, name) }, t("block.undo")),
  );
}

async function lift(id, name) {
  if (!(await attempt(unblock(id)))) return;
  draw();
  look();
  (list.querySelector("button") ?? nobody).focus();
  announce(t("blocked.lifted", { name }));
}
