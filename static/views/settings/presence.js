// Who sees that one is here.

import { h } from "../../dom.js";
import { isShown, setShown } from "../../presence.js";
import { t } from "../../texts.js";

export const title = "settings.presence";
export const icon = "eye";

const hint = "presence-hint";
let box;

export function build() {
  const choose = () => setShown(box.checked);
  box = h("input", { type: "checkbox", "aria-describedby": hint, onchange: choose });
  return [h("label.tick", {}, box, t("presence.show")), h("p.hint", { id: hint }, t("presence.hint"))];
}

/** It may have been changed in another window. */
export function refresh() {
  box.checked = isShown();
}
