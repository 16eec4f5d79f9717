// Light, dark, or as the system says. It is chosen for this device, whoever uses it.

import { h } from "../../dom.js";
import { device } from "../../storage.js";

export const title = "Appearance";
export const icon = "appearance";

const KEY = "chat/appearance"; // appearance.js reads it before the page is drawn
const CHOICES = { "": "As the system", light: "Light", dark: "Dark" };

export function build() {
  const chosen = device.get(KEY) ?? "";
  const legend = h("legend.unseen", {}, "Colours");
  const choices = Object.entries(CHOICES).map(([value, label]) => choice(value, label, chosen));
  return h("fieldset.looks", { onchange: choose }, legend, choices);
}

function choice(value, label, chosen) {
  const properties = { type: "radio", name: "appearance", value, checked: value === chosen };
  const picture = h("span.look", { "data-look": value || "both", "aria-hidden": "true" }, h("i"), h("b"));
  return h("label", {}, h("input", properties), picture, h("span", {}, label));
}

function choose({ target: { value } }) {
  if (value) device.set(KEY, value);
  else device.remove(KEY);
  dispatchEvent(new CustomEvent("appearance", { detail: value || null }));
}
