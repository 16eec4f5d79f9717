// How times, names and texts look.

import { now } from "./clock.js";
import { h } from "./dom.js";
import { plain } from "./formatting.js";
import { locale, t } from "./texts.js";

const FORMATS = {
  clock: { hour: "numeric", minute: "2-digit" },
  weekday: { weekday: "long" },
  date: { day: "numeric", month: "long", year: "numeric" },
  moment: { dateStyle: "full", timeStyle: "short" },
  short: { day: "numeric", month: "short" },
  shortWithYear: { day: "numeric", month: "short", year: "numeric" },
};

let made; // for which language, and how far from UTC
let formats = {};

function format(name, iso) {
  // A format stays in the time zone in which it was made, and the reader may have travelled since.
  const here = `${locale()} ${new Date().getTimezoneOffset()}`;
  if (here !== made) formats = {};
  made = here;
  formats[name] ??= new Intl.DateTimeFormat(locale(), FORMATS[name]);
  return formats[name].format(new Date(iso));
}

export const time = (iso) => format("clock", iso);
export const moment = (iso) => format("moment", iso); // also true tomorrow

function daysAgo(iso) {
  const ago = now().setHours(0, 0, 0, 0) - new Date(iso).setHours(0, 0, 0, 0);
  const days = Math.round(ago / 864e5); // not each day has 24 hours
  return days === -1 ? 0 : days; // around midnight the two clocks may be a second apart
}

const capital = (text) => text.charAt(0).toLocaleUpperCase() + text.slice(1);

/** "Today", "Yesterday", "Tuesday", "3 November 2026" */
export function day(iso) {
  const ago = daysAgo(iso);
  if (ago === 0 || ago === 1) {
    return capital(new Intl.RelativeTimeFormat(locale(), { numeric: "auto" }).format(-ago, "day"));
  }
  return format(ago > 0 && ago < 7 ? "weekday" : "date", iso);
}

/** "Today, 14:05": for what may happen more than once on a day. */
export const dayAndTime = (iso) => `${day(iso)}, ${time(iso)}`;

/** The time or day, as short as possible, for a list. */
export function when(iso) {
  const ago = daysAgo(iso);
  if (ago === 0) return time(iso);
  if (ago === 1) return day(iso);
  const isThisYear = new Date(iso).getFullYear() === now().getFullYear();
  return format(isThisYear ? "short" : "shortWithYear", iso);
}

const graphemes = Intl.Segmenter && new Intl.Segmenter();

/** What a reader takes for characters, as far as the browser knows: otherwise code points. They are
 * found one by one, because of most texts only the beginning is shown. */
export function* characters(text) {
  if (!graphemes) yield* text;
  else for (const { segment } of graphemes.segment(text)) yield segment;
}

/** A name to show: undefined is not known yet, null is the name of a deleted account. */
export const shownName = (name) => (name === undefined ? "…" : (name ?? t("chat.deleted-account")));

/** What stands between two places of a text, in whole characters: not half an emoji. */
export function part(text, from, to) {
  let at = 0;
  let found = "";
  for (const character of characters(text)) {
    if (at >= to) break;
    if (at >= from) found += character;
    at += character.length;
  }
  return found;
}

/** Whether there is nothing to see in a text. */
export const isBlank = (text) =>
  /^[\s\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]*$/u.test(text);

/** The beginning of a text, for one line. */
export const preview = (text) =>
  text && isBlank(text) ? t("message.blank") : part(text.trim().replace(/\s+/g, " "), 0, 120);

const BEGINNING = 4_000; // in these are the 120 characters of a preview, whatever they are

/** What a message is about, for one line: its text, or what it brings. */
export function gist({ type, message, file, deleted_at }) {
  if (deleted_at) return t("message.deleted-short");
  const what = type === "Image" ? t("message.photo") : type === "File" ? (file?.name ?? t("message.file")) : null;
  const said = message && plain(message.trimStart().slice(0, BEGINNING));
  return preview(what && said ? `${what}: ${said}` : (what ?? said));
}

/** "812 bytes", "3.4 MB": of 1024 each. */
export function size(count) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const step = Math.min(Math.floor(Math.log2(Math.max(count, 1)) / 10), units.length - 1);
  const written = new Intl.NumberFormat(locale(), {
    style: "unit",
    unit: units[step],
    unitDisplay: step ? "short" : "long", // the short form of "byte" has no plural
    maximumFractionDigits: step > 1 ? 1 : 0,
  });
  return written.format(count / 1024 ** step);
}

/** The text around the first match; matches with a word of the query are marked. */
export function excerpt(written, query) {
  const text = plain(written);
  const words = query.split(/[^\p{L}\p{N}\p{M}]+/u).filter(Boolean);
  if (!words.length) return [part(text, 0, 200)];
  const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const found = new RegExp(`((?:${escaped.join("|")})\\p{M}*)`, "iu");
  const at = text.search(found);
  const before = part(text, at - 24, at).replace(/^[\p{L}\p{M}\p{N}]+\S?\s+/u, ""); // half a word
  const cut = at > 40 ? `…${before}${part(text, at, at + 160)}` : part(text, 0, 200);
  return cut.split(found).map((piece, place) => (place % 2 ? h("mark", {}, piece) : piece));
}

const EMOJI = /^(?:\p{Extended_Pictographic}|\p{Regional_Indicator}{2}|[0-9#*]\ufe0f?\u20e3)/u;

/** One to three emoji, or `most`, and nothing else: shown large. */
export function isEmoji(text, most = 3) {
  if (text.length > 100) return false;
  const shown = [...characters(text)];
  return shown.length <= most && shown.every((each) => EMOJI.test(each));
}
