// Who sees that one is here.

import { h } from "../../dom.js";

export const title = "Online status";
export const icon = "eye";

export function build() {
  return h("p.hint", {}, "Others see while you are online, but for those between whom and you there is a block.");
}
