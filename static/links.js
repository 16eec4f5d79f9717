// Which parts of a text are addresses. It errs on the side of text: what looks like a file
// ("notes.md") or like the end of a sentence ("so it goes.in time") becomes no link.

import { h } from "./dom.js";

// Domains that are seen without https:// and www: none is a word or the ending of a file.
const KNOWN = "com|org|net|edu|gov|io|eu|de|fr|uk|nl|ch|pl|ru|jp|cn|br|au|ca";

// What an address is made of: no quotes or brackets of any language but ASCII's, and none of the
// characters that do not show, because some of them turn around what follows.
const PART = "(?![<>\"])[!-~’·\\p{L}\\p{M}\\p{N}\\p{S}\\p{Pd}\\p{Pc}\\u200c\\u200d]";
const NAME = "(?!https?://)[a-z0-9._+-]";
const CANDIDATE = new RegExp(
  `(?:https?://|www\\.)(?:${PART})+|[a-z0-9](?:${NAME})*(?:@[a-z0-9.-]+)?`,
  "giu",
);
const REST = new RegExp(`(?::\\d+)?(?:[/?#](?:${PART})*)?`, "iuy");
const DOMAIN = new RegExp(`^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\\.)+(?:${KNOWN})$`, "i");
const MAIL = /^[a-z0-9._+-]{1,64}@(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$/i;
const CLOSING = { ")": "(", "]": "[", "}": "{" };

/** The text's nodes: addresses become links, everything else stays text. */
export const linked = (text) =>
  cut(text).map((part) => (typeof part === "string" ? part : link(part)));

function link({ text, href, host }) {
  const target = href.startsWith("mailto:") ? null : "_blank";
  const properties = { dir: "ltr", href, target, rel: "noopener noreferrer", "data-host": host };
  return h("a", properties, text); // also in a text that reads from right to left
}

/** The parts of a text: {text, href, host} for an address, and strings. `host` is where the link
 * really leads, if the text does not say it in letters that cannot be mistaken for others. */
export function cut(text) {
  const parts = [];
  let done = 0;
  CANDIDATE.lastIndex = 0;
  for (let found; (found = CANDIDATE.exec(text)); ) {
    const address = read(text, found);
    if (!address) continue;
    parts.push(text.slice(done, found.index), address);
    CANDIDATE.lastIndex = done = found.index + address.text.length;
  }
  return [...parts, text.slice(done)].filter((part) => part !== "");
}

function read(text, { 0: found, index }) {
  if (/^https?:/i.test(found)) return web(trimmed(found), "");
  const name = found.replace(/[._+-]+$/, "");
  if (/^www\./i.test(found)) {
    return isApart(text, index) ? web(trimmed(found), "https://") : null;
  }
  if (!isApart(text, index, index + name.length)) return null;
  if (MAIL.test(name)) return { text: name, href: `mailto:${name}`, host: null };
  if (!DOMAIN.test(name)) return null;
  REST.lastIndex = index + name.length;
  return web(trimmed(name + REST.exec(text)[0]), "https://");
}

/** Whether no letter, or sign of a longer name, stands before the first place and after the
 * second. Letters of languages that put no spaces between words may stand there. */
function isApart(text, from, to = 0) {
  const near = (character) =>
    /[\p{L}\p{M}\p{N}_@./\\-]/u.test(character) && !WITHOUT_SPACES.test(character);
  const [before, after] = beside(text, from, to);
  return !near(before) && !(to && near(after) && !/[./_-]/.test(after));
}

/** The characters before one place of a text and after another, "" where there is none. */
export const beside = (text, from, to) => [
  [...text.slice(Math.max(0, from - 2), from)].at(-1) ?? "",
  [...text.slice(to, to + 2)][0] ?? "",
];

export const WITHOUT_SPACES =
  /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Hang}\p{sc=Bopo}\p{sc=Thai}\p{sc=Laoo}\p{sc=Khmr}\p{sc=Mymr}ー]/u;

/** Without what belongs to the sentence: brackets that the address does not open, and points. */
function trimmed(found) {
  const open = [];
  let end = 0;
  for (const character of found) {
    if (CLOSING[character] && open.pop() !== CLOSING[character]) break;
    if (Object.values(CLOSING).includes(character)) open.push(character);
    end += character.length;
  }
  return found.slice(0, end).replace(/[.,:;!?'’·*`([{]+$/, "");
}

function web(text, scheme) {
  text = withoutNextWord(text);
  let url;
  try {
    url = new URL(scheme + text);
  } catch {
    return null;
  }
  // What stands before an @ looks like the place where the link leads.
  if (url.username || url.password || (scheme && !url.hostname.includes("."))) return null;
  const typed = (scheme + text).match(/^https?:\/\/(\[[^\]]*\]|[^/?#\\:]*)/i)?.[1];
  const host = typed?.toLowerCase() === url.hostname ? null : url.hostname;
  return { text, href: scheme + text, host };
}

/** "example.com谢谢" ends after ".com": no domain is of two scripts. */
const withoutNextWord = (text) =>
  text.replace(
    /^((?:https?:\/\/)?[^/?#:]*\.[a-z]{2,})(?!\p{sc=Latin})[^\x00-\x7f][^./?#:]*(?:[/?#:].*)?$/iu,
    (whole, address) => address,
  );
