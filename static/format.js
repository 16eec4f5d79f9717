// How times, names and texts look.

import { h } from "./dom.js";

const clock = new Intl.DateTimeFormat([], { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat([], { weekday: "long" });
const date = new Intl.DateTimeFormat([], { day: "numeric", month: "long", year: "numeric" });
const short = new Intl.DateTimeFormat([], { day: "numeric", month: "short" });
const relative = new Intl.RelativeTimeFormat([], { numeric: "auto" });

export const time = (iso) => clock.format(new Date(iso));
export const moment = (iso) => `${day(iso)}, ${time(iso)}`;

function daysAgo(iso) {
  return Math.round((new Date().setHours(0, 0, 0, 0) - new Date(iso).setHours(0, 0, 0, 0)) / 864e5);
}

const capital = (text) => text.charAt(0).toLocaleUpperCase() + text.slice(1);

/** "Today", "Yesterday", "Tuesday", "3 November 2026" */
export function day(iso) {
  const ago = daysAgo(iso);
  if (ago < 2) return capital(relative.format(-ago, "day"));
  return (ago < 7 ? weekday : date).format(new Date(iso));
}

/** The time or day, as short as possible, for a list. */
export function when(iso) {
  const ago = daysAgo(iso);
  if (ago < 1) return time(iso);
  return ago < 2 ? day(iso) : short.format(new Date(iso));
}

const graphemes = Intl.Segmenter && new Intl.Segmenter();

/** What a reader takes for characters, as far as the browser knows: otherwise code points. */
const characters = (text) =>
  graphemes ? Array.from(graphemes.segment(text), ({ segment }) => segment) : [...text];

/** A round picture of a name: its first letter on a colour of its own. */
export function avatar(id, name, online = false) {
  const [first] = characters(name ?? "?");
  const element = h("span.avatar", { "aria-hidden": "true" }, first.toLocaleUpperCase());
  element.style.setProperty("--hue", (id * 137.5) % 360); // neighbouring ids differ in colour
  if (online) element.append(h("span.dot"));
  return element;
}

/** A name to show: undefined is not known yet, null is the name of a deleted account. */
export const shownName = (name) => (name === undefined ? "…" : (name ?? "Deleted account"));

/** "1 message", "2 messages" */
export const counted = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

/** The text's nodes: addresses become links, everything else stays text. */
export function linked(text) {
  return text.split(/(https?:\/\/[^\s<>"]*[^\s<>"'.,;:!?)\]}])/).map((part, at) =>
    at % 2 ? h("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part) : part,
  );
}

/** The text around the first match; matches with a word of the query are marked. */
export function excerpt(text, query) {
  const words = query.split(/[^\p{L}\p{N}\p{M}]+/u).filter(Boolean);
  if (!words.length) return [text.slice(0, 200)];
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const found = new RegExp(`(${escaped.join("|")})`, "iu");
  const at = text.search(found);
  const cut = at > 40 ? `…${text.slice(at - 24, at + 160)}` : text.slice(0, 200);
  return cut.split(found).map((part, place) => (place % 2 ? h("mark", {}, part) : part));
}

/** One to three emoji and nothing else: shown large. */
export const isEmoji = (text) =>
  text.length < 40 &&
  /\p{Extended_Pictographic}|\p{Regional_Indicator}/u.test(text) &&
  !/[\p{L}\p{P}\p{N}\s]/u.test(text) &&
  characters(text).length <= 3;
