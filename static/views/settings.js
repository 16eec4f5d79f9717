// The settings: a panel over the page. On a phone the list of its sections fills the screen, and
// then the section that was chosen.
//
// A section is a module in settings/. It has the key of its `title`, the name of an `icon`, and
// `build`, which makes its elements. That is done once, so that nothing typed is lost by looking
// elsewhere. If it has a `refresh`, that is called each time the section comes into sight.

import { LoggedOut } from "../api.js";
import { h, icon } from "../dom.js";
import { state } from "../store.js";
import { onLanguage, t } from "../texts.js";
import * as appearance from "./settings/appearance.js";
import * as blocked from "./settings/blocked.js";
import * as deletion from "./settings/deletion.js";
import * as devices from "./settings/devices.js";
import * as copy from "./settings/export.js";
import * as language from "./settings/language.js";
import * as notifications from "./settings/notifications.js";
import * as password from "./settings/password.js";
import * as presence from "./settings/presence.js";
import * as profile from "./settings/profile.js";

const SECTIONS = {
  profile,
  notifications,
  presence,
  appearance,
  language,
  password,
  devices,
  blocked,
  copy,
  deletion,
};

const panel = document.getElementById("settings");
const list = h("ul");
const place = h("section", { "aria-labelledby": "settings-section" });
const links = new Map();
const built = new Map();
const fault = h("p.fault", { role: "alert" }); // why something could not be loaded
const TYPED = ".field :is(input, textarea)";
let shown = null;

function button(name, label, act) {
  return h(`button.quiet.${name}`, { "aria-label": label, title: label, onclick: act }, icon(name));
}

function build() {
  for (const [name, section] of Object.entries(SECTIONS)) {
    const parts = [icon(section.icon), h("span", {}, t(section.title)), icon("next")];
    const kind = section.danger ? "button.quiet.grave" : "button.quiet";
    const link = h(kind, { onclick: () => show(name, { move: true }) }, parts);
    links.set(name, link);
    list.append(h("li", {}, link));
  }
  const back = button("back", t("settings.back"), toList);
  const heading = h("h2", { id: "settings-title", tabindex: -1 }, t("settings"));
  panel.append(
    h("header", {}, back, heading, button("close", t("act.close"), () => panel.close())),
    h("nav", { "aria-label": t("settings") }, list),
    place,
  );
}

/** Open the panel: at this section, or where it was. */
export function openSettings(name) {
  if (!state.me) return; // it is not known yet whose they are
  if (!links.size) build();
  const isNarrow = matchMedia("(max-width: 719px)").matches;
  panel.showModal(); // keeps the focus inside, and gives it back afterwards
  if (name) show(name, { move: true });
  else if (isNarrow) toList();
  else show(shown ?? "profile", { move: false });
}

function show(name, { move }) {
  const section = SECTIONS[name];
  const title = h("h3", { id: "settings-section", tabindex: -1 }, t(section.title));
  if (!built.has(name)) construct(name);
  place.replaceChildren(title, fault, built.get(name));
  place.scrollTop = 0;
  shown = name;
  for (const [each, link] of links) link.setAttribute("aria-current", `${each === name}`);
  panel.classList.add("chosen");
  refresh(section);
  if (move) title.focus();
  else links.get(name).focus();
}

const construct = (name) => built.set(name, h(`div.${name}`, {}, SECTIONS[name].build()));

async function refresh(section) {
  fault.textContent = "";
  try {
    await section.refresh?.();
  } catch (error) {
    if (!(error instanceof LoggedOut) && section === SECTIONS[shown]) fault.textContent = error.message;
  }
}

function toList() {
  panel.classList.remove("chosen");
  (links.get(shown) ?? links.values().next().value).focus();
}

/** All that stands in the panel, anew in another language. What was typed stays. */
onLanguage(() => {
  if (!links.size) return;
  const typed = [...built.values()].flatMap((each) => [...each.querySelectorAll(TYPED)]);
  const wasIn = place.contains(document.activeElement) && document.activeElement.value;
  list.replaceChildren();
  panel.replaceChildren();
  links.clear();
  [...built.keys()].forEach(construct);
  for (const each of built.values()) {
    for (const input of each.querySelectorAll(TYPED)) {
      input.value = typed.find(({ id }) => id === input.id).value;
    }
  }
  build();
  if (!panel.open || !shown) return;
  show(shown, { move: false });
  place.querySelector(`[value="${wasIn}"]`)?.focus();
});

panel.addEventListener("click", ({ target }) => {
  if (target === panel) panel.close(); // beside it
});

document.getElementById("open-settings").addEventListener("click", () => openSettings());
document.getElementById("me").addEventListener("click", () => openSettings("profile"));
