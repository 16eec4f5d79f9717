// The menu that opens near what it is about: a message, or the head of a chat. On a touch screen it
// comes up from below.

import { h, icon } from "../dom.js";

const menu = document.getElementById("menu");

/** Show a menu with this content near an element. Screen readers say the title. */
export function showMenu(near, title, ...content) {
  menu.replaceChildren(h("h2.unseen", { id: "menu-title" }, title), ...content);
  menu.showModal(); // keeps the focus inside, and gives it back afterwards
  const { left, right, top, bottom } = near.getBoundingClientRect();
  const x = left + right > innerWidth ? right - menu.offsetWidth : left;
  const y = bottom + menu.offsetHeight > innerHeight ? top - menu.offsetHeight - 6 : bottom + 6;
  const within = (place, room) => `${Math.max(8, Math.min(place, room - 8))}px`;
  menu.style.setProperty("--x", within(x, innerWidth - menu.offsetWidth));
  menu.style.setProperty("--y", within(y, innerHeight - menu.offsetHeight));
}

/** Close first: the focus goes back, and then to where the act puts it. */
export function closeMenu(act) {
  menu.close();
  act();
}

/** What can be done: [{name of the icon, label, act}]. */
export const verbs = (items) =>
  h("ul.verbs", {}, items.map((item) => h("li", {}, button(item))));

/** The same where there is nothing else to choose: the arrows go from one to the next. */
export const choices = (title, items) =>
  h(
    "ul.verbs",
    { role: "menu", "aria-label": title, onkeydown: move },
    items.map((item) => h("li", { role: "none" }, button(item, { role: "menuitem" }))),
  );

const button = ({ name, label, act }, properties = {}) =>
  h("button.quiet", { ...properties, onclick: () => closeMenu(act) }, icon(name), label);

function move(event) {
  const all = [...event.currentTarget.querySelectorAll("button")];
  const at = all.indexOf(event.target);
  const next = { ArrowUp: at - 1, ArrowDown: (at + 1) % all.length, Home: 0, End: -1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  all.at(next).focus();
}

menu.addEventListener("click", (event) => event.target === menu && menu.close()); // beside it
