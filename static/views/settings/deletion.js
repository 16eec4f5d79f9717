// The end of the account.

import { account } from "../../account.js";
import { api } from "../../api.js";
import { h } from "../../dom.js";
import { departing } from "../../staying.js";
import { t } from "../../texts.js";
import { field, form } from "./form.js";

export const title = "settings.deletion";
export const icon = "delete";
export const danger = true;

let onDeleted;

/** Set what happens when the account is no more. */
export const whenDeleted = (act) => (onDeleted = act);

export function build() {
  const fields = [
    h(
      "fieldset.options",
      {},
      h("legend", {}, t("deletion.messages")),
      option("keep", true),
      option("erase", false),
    ),
    field("password", t("login.password"), {
      type: "password",
      autocomplete: "current-password",
      required: true,
    }),
  ];
  const blame = ({ code }) => (code === "forbidden" ? "password" : null);
  return [h("p.hint", {}, t("deletion.what")), form(fields, { verb: t("deletion.verb"), kind: "danger", save, blame })];
}

function option(value, checked) {
  const input = h("input", { type: "radio", name: "messages", id: `settings-${value}`, value, checked });
  const text = h("span", {}, t(`deletion.${value}`), h("small", {}, t(`deletion.${value}-means`)));
  return h("label.tick", {}, input, text);
}

async function save({ messages, password }) {
  await api.me(); // asks for the password first, if the login has ended
  await departing(account.end(password, messages === "erase"));
  await onDeleted();
  return "";
}
