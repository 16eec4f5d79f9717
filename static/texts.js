// The language of the page. All its sentences are in texts/, one file for each language, and
// Intl.PluralRules knows which form goes with a number: no library does more that we need.
//
// A language is added by a file in texts/ and a line here.

import { device } from "./storage.js";
import { de } from "./texts/de.js";
import { en } from "./texts/en.js";

const TEXTS = { en, de };
/** What the languages call themselves, by their code. */
export const LANGUAGES = { en: "English", de: "Deutsch" };

const KEY = "chat/language";
const listeners = new Set();
let chosen, language, rules;

/** What was chosen on this device; null: the browser's language. */
export const chosenLanguage = () => chosen;

/** The code of the language that the page speaks. */
export const currentLanguage = () => language;

/** The same as the browser's user writes it, such as "en-GB": for dates and numbers. */
export const locale = () => wanted().find((each) => base(each) === language) ?? language;

const wanted = () => navigator.languages ?? [navigator.language];
const base = (tag) => tag.split("-")[0].toLowerCase();

/** Speak another language, here and in this browser's other windows; null: the browser's. */
export function setLanguage(code) {
  if (code) device.set(KEY, code);
  else device.remove(KEY);
  begin();
}

/** Have something done whenever the language has changed. */
export const onLanguage = (act) => listeners.add(act);

function begin() {
  const kept = device.get(KEY);
  chosen = kept in TEXTS ? kept : null;
  language = chosen ?? wanted().map(base).find((each) => each in TEXTS) ?? "en";
  rules = new Intl.PluralRules(language);
  listeners.forEach((act) => act());
}

begin();
addEventListener("storage", ({ key }) => key === KEY && begin());
addEventListener("languagechange", begin);

/** A sentence with its {places} filled. One with `count` has a form for each kind of number. */
export function t(key, values = {}) {
  const text = TEXTS[language][key];
  const form = typeof text === "string" ? text : text[rules.select(values.count)];
  return form.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** What a refusal of the API means: by its code, perhaps at this path or with this sentence only. The
 * API's own sentence is more exact, so it is what English has, and what is shown where the code alone
 * says too little. */
export function textOfRefusal({ code, message }, path, seconds) {
  const keys = [`code.${code}${path}`, `code.${code}/${message}`, `code.${code}`];
  const key = keys.find((each) => each in TEXTS[language]);
  if (key) return t(key, { seconds });
  const [, member, fault] = message.match(/^(\w+) (.*)\.$/) ?? []; // "password must be …"
  const known = `code.${code}/${fault}`;
  return known in TEXTS[language] ? `${member} ${t(known)}.` : message;
}

const ATTRIBUTES = ["aria-label", "title", "placeholder", "data-drop"];

/** Give elements of the document the texts that their data-text names, and their attributes those
 * of data-text-title and such. */
export function fillIn(root) {
  for (const element of root.querySelectorAll("[data-text]")) {
    element.textContent = t(element.dataset.text);
  }
  for (const name of ATTRIBUTES) {
    for (const element of root.querySelectorAll(`[data-text-${name}]`)) {
      element.setAttribute(name, t(element.getAttribute(`data-text-${name}`)));
    }
  }
}
