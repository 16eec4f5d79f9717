// What this device tells of new messages.

import { h } from "../../dom.js";
import { t } from "../../texts.js";

export const title = "settings.notifications";
export const icon = "bell";

export function build() {
  return h("p.hint", {}, t("notifications.title"));
}
