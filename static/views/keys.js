// Keys that work wherever the focus is, the dialog that tells of all keys, and the link that skips
// the list.

import { h, icon, isComposing } from "../dom.js";
import { t } from "../texts.js";

const byId = (id) => document.getElementById(id);
const dialog = byId("keys");
const lists = byId("lists");
const search = byId("search");
const isMac = /Mac|iPhone|iPad/.test(navigator.platform);

/** What the dialog says: keys, and what they do. A key with a name has its own in each language. */
const ctrl = () => (isMac ? "⌘" : t("key.ctrl"));
const alt = () => (isMac ? "⌥" : "Alt");
const KEYS = () => [
  [[ctrl(), "K"], t("keys.find")],
  [[alt(), "↑"], t("keys.chat-above")],
  [[alt(), "↓"], t("keys.chat-below")],
  [[t("key.enter")], t("keys.send")],
  [[t("key.shift"), t("key.enter")], t("keys.line")],
  [["↑"], t("keys.edit-last")],
  [["↑", "↓"], t("keys.messages")],
  [["R"], t("keys.reply")],
  [["+"], t("keys.react")],
  [["Esc"], t("keys.leave")],
  [["?"], t("keys.these")],
];

function openDialog() {
  const close = { "aria-label": t("act.close"), title: t("act.close"), onclick: () => dialog.close() };
  dialog.replaceChildren(
    h("header", {}, h("h2", { id: "keys-title" }, t("keys")), h("button.quiet", close, icon("close"))),
    h("dl", {}, KEYS().map(([keys, meaning]) =>
      h("div", {}, h("dt", {}, meaning), h("dd", {}, keys.map((key) => h("kbd", {}, key)))))),
  );
  dialog.showModal();
}

/** To the field that finds people and messages, which a phone hides behind an open chat. */
function find() {
  const begin = () => {
    search.focus();
    search.select();
  };
  if (search.offsetParent) return begin();
  addEventListener("hashchange", begin, { once: true });
  location.hash = "#/";
}

/** Open the chat above or below the open one. */
function step(by) {
  const rows = [...lists.querySelectorAll('[aria-labelledby="list-chats"] a')];
  const at = rows.findIndex((row) => row.matches("[aria-current=page]"));
  const next = at < 0 ? rows.at(by > 0 ? 0 : -1) : rows[at + by];
  if (!next) return;
  location.hash = next.hash;
  next.scrollIntoView({ block: "nearest" });
}

/** What a key means here, or undefined. */
function meaningOf({ key, ctrlKey, metaKey, altKey, shiftKey, target }) {
  const command = ctrlKey || metaKey;
  if (command && !altKey && !shiftKey && key.toLowerCase() === "k") return find;
  if (altKey && !command && key === "ArrowUp") return () => step(-1);
  if (altKey && !command && key === "ArrowDown") return () => step(1);
  if (key === "?" && !command && !target.closest?.("input, textarea")) return openDialog;
  return undefined;
}

// Before the views, for which the arrows mean something else.
document.addEventListener("keydown", (event) => {
  if (isComposing(event) || byId("chat").hidden || document.querySelector("dialog[open]")) return;
  const act = meaningOf(event);
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}, { capture: true });

dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close()); // beside it

// In the list: down from the search to what it found, and from row to row.
byId("overview").addEventListener("keydown", (event) => {
  const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const rows = [search, ...lists.querySelectorAll("a")];
  const next = by && rows[rows.indexOf(event.target) + by];
  if (!next || !rows.includes(event.target) || isComposing(event)) return;
  event.preventDefault();
  next.focus();
});

byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names chats
  byId("conversation").focus();
});
