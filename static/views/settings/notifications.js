// What this device tells of new messages. Browsers ask for permission, and may refuse; what they say
// is shown as it is.

import { choose, wants } from "../../choices.js";
import { h } from "../../dom.js";
import { told, turnOff, turnOn, whyNot } from "../../pushes.js";
import { onChange } from "../../store.js";
import { t } from "../../texts.js";
import { attempt } from "../ask.js";

export const title = "settings.notifications";
export const icon = "bell";

export function build() {
  const state = h("p", { id: "told", role: "status" });
  const reason = h("p.hint");
  const button = h("button", { "aria-describedby": "told", onclick: press });
  let busy = false;

  async function press() {
    if (busy) return;
    busy = true;
    draw();
    await attempt(isOn() ? turnOff() : turnOn());
    busy = false;
    draw();
  }

  function draw() {
    const sentence = t(`told.${told()}`);
    if (state.textContent !== sentence) state.textContent = sentence; // a screen reader says it anew
    reason.textContent = told() === "open" && whyNot() ? t("told.reason", { reason: whyNot() }) : "";
    reason.hidden = !reason.textContent;
    button.textContent = t(isOn() ? "told.turn-off" : "told.turn-on");
    button.classList.toggle("primary", !isOn());
    button.hidden = told() === "missing"; // who was denied may have changed that in the browser
    button.setAttribute("aria-disabled", busy);
  }

  onChange(draw);
  draw();
  return [
    h("div.choices", {}, state, reason, h("div.row", {}, button)),
    h("div.choices", {}, tick("sound"), tick("badge")),
    h("p.hint", {}, t("told.muted")),
  ];
}

const isOn = () => ["push", "open"].includes(told());

/** A choice that holds at once. */
function tick(name) {
  const properties = { type: "checkbox", name, checked: wants(name) };
  const input = h("input", { ...properties, onchange: () => attempt(choose(name, input.checked)) });
  return h("label.tick", {}, input, t(`told.${name}`));
}
