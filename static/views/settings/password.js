// Another password.

import { account } from "../../account.js";
import { h } from "../../dom.js";
import { reconnect } from "../../live.js";
import { trading } from "../../staying.js";
import { state } from "../../store.js";
import { t } from "../../texts.js";
import { field, form } from "./form.js";

export const title = "settings.password";
export const icon = "key";

let name, element;

export function build() {
  // Password managers look for a name.
  name = h("input.unseen", { autocomplete: "username", readonly: true, tabindex: -1, "aria-hidden": "true" });
  const fields = [
    name,
    field("current_password", t("password.current"), {
      type: "password",
      autocomplete: "current-password",
      required: true,
    }),
    field("new_password", t("password.new"), {
      type: "password",
      autocomplete: "new-password",
      required: true,
      hint: t("login.hint"),
    }),
  ];
  const blame = ({ code }) => (code === "forbidden" ? "current_password" : null);
  element = form(fields, { verb: t("password.change"), save, blame });
  return [h("p.hint", {}, t("password.others")), element];
}

export function refresh() {
  name.value = state.me.username;
}

async function save({ current_password, new_password }) {
  await trading(() => account.changePassword(current_password, new_password));
  reconnect();
  element.reset();
  refresh();
  return t("password.changed");
}
