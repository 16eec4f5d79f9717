// Who sees that one is here.

import { h } from "../../dom.js";
import { t } from "../../texts.js";

export const title = "settings.presence";
export const icon = "eye";

export function build() {
  return h("p.hint", {}, t("presence.hint"));
}
