// Making elements. Text only ever becomes a text node or a property, never markup.

import { currentLanguage } from "./texts.js";

/** An element: h("p.note", { dir: "auto", onclick: act }, "text", otherElement). */
export function h(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(key, value);
    else if (value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

/** One of the symbols in the document. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/**
 * Give a list the children that `items` describe: {key, version, make}. A child whose version is
 * the same, in the same language, stays the same element, so that focus, selection and scrolling
 * stay too.
 */
export function keyed(list, items) {
  const old = new Map([...list.children].map((element) => [element.key, element]));
  const focused = list.contains(document.activeElement)
    ? [...old.values()].find((element) => element.contains(document.activeElement))
    : null;
  const part = focused && document.activeElement.dataset.keep; // such as a button in it
  const elements = items.map(({ key, version: given, make }) => {
    const version = `${currentLanguage()} ${given}`;
    const known = old.get(key);
    if (known?.version === version) return known;
    return Object.assign(make(), { key, version });
  });
  const kept = new Set(elements);
  for (const element of old.values()) if (!kept.has(element)) element.remove();
  elements.forEach((element, at) => {
    if (list.children[at] !== element) list.insertBefore(element, list.children[at] ?? null);
  });
  if (!focused || focused.isConnected) return;
  const again = elements.find((element) => element.key === focused.key);
  const same = part && again?.querySelector(`[data-keep="${CSS.escape(part)}"]`);
  if (same) return same.focus();
  (again?.matches("[tabindex], a") ? again : again?.querySelector("a, button"))?.focus();
}

/**
 * Whether a key belongs to an input method, where Enter chooses a word. Safari ends the composition
 * before it tells of the key; 229 is then the only sign.
 */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;

/** Say a sentence to screen readers, without moving the focus. */
export function announce(sentence) {
  const line = h("p", { dir: "auto" }, sentence);
  document.getElementById("announcements").append(line);
  setTimeout(() => line.remove(), 10_000);
}
