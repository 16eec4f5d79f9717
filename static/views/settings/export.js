// A copy of all that is mine.

import { account } from "../../account.js";
import { now } from "../../clock.js";
import { h } from "../../dom.js";
import { size } from "../../format.js";
import { state } from "../../store.js";
import { t } from "../../texts.js";
import { form } from "./form.js";

export const title = "settings.export";
export const icon = "download";

export function build() {
  return [h("p.hint", {}, t("export.what")), form([], { verb: t("export.verb"), save })];
}

async function save() {
  const bytes = await account.exported();
  const day = now().toISOString().slice(0, 10);
  const url = URL.createObjectURL(bytes);
  h("a", { href: url, download: `chitchat ${state.me.username} ${day}.jsonl` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser has read it by then
  return t("export.done", { size: size(bytes.size) });
}
