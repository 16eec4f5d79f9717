// The language of the page, on this device.

import { h } from "../../dom.js";
import { chosenLanguage, LANGUAGES, setLanguage, t } from "../../texts.js";

export const title = "settings.language";
export const icon = "language";

export function build() {
  const choices = { "": t("language.browser"), ...LANGUAGES };
  const options = Object.entries(choices).map(([code, name]) => option(code, name));
  const choose = ({ target: { value } }) => setLanguage(value || null);
  return h("fieldset.options", { onchange: choose }, h("legend.unseen", {}, t("settings.language")), options);
}

function option(value, name) {
  const checked = value === (chosenLanguage() ?? "");
  const input = h("input", { type: "radio", name: "language", value, checked });
  return h("label.tick", {}, input, h("span", { lang: value || null }, name));
}
