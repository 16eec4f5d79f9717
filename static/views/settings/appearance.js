// Light, dark, or as the system says. It is chosen for this device and all who use it.

import { h } from "../../dom.js";
import { device } from "../../storage.js";
import { t } from "../../texts.js";

export const title = "settings.appearance";
export const icon = "appearance";

const KEY = "chat/appearance"; // appearance.js reads it before the page is drawn
const CHOICES = { "": "settings.as-system", light: "settings.light", dark: "settings.dark" };

export function build() {
  const chosen = device.get(KEY) ?? "";
  const legend = h("legend.unseen", {}, t("settings.colours"));
  const choices = Object.entries(CHOICES).map(([value, label]) => choice(value, label, chosen));
  return h("fieldset.looks", { onchange: choose }, legend, choices);
}

function choice(value, label, chosen) {
  const properties = { type: "radio", name: "appearance", value, checked: value === chosen };
  const picture = h("span.look", { "data-look": value || "both", "aria-hidden": "true" }, h("i"), h("b"));
  return h("label", {}, h("input", properties), picture, h("span", {}, t(label)));
}

function choose({ target: { value } }) {
  if (value) device.set(KEY, value);
  else device.remove(KEY);
  dispatchEvent(new CustomEvent("appearance", { detail: value || null }));
}
