// What this device tells of new messages.

import { h } from "../../dom.js";

export const title = "Notifications";
export const icon = "bell";

export function build() {
  return h("p.hint", {}, "New messages are counted in the title of this page.");
}
