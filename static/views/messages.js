// The messages of the open chat, from "more above" to those still on their way.

import { api } from "../api.js";
import { markRead, more, toEnd, trim } from "../conversation.js";
import { announce, h, icon, keyed } from "../dom.js";
import { day, isEmoji, linked, moment, shownName, time } from "../format.js";
import { sendWaiting } from "../live.js";
import { discard, pendingFor, resend } from "../outbox.js";
import { changed, learnMessage, nameOf, state } from "../store.js";
import { tellOthers } from "../windows.js";
import { ask, attempt } from "./ask.js";

const list = document.getElementById("messages");
const blank = document.getElementById("blank");
const button = document.getElementById("to-end");
const NEAR = 800; // pixels from an end at which more is loaded
const TOGETHER_MS = 5 * 60_000; // messages of one person within this look like one turn

let shown = null; // the chat that is drawn
let placed = false; // whether it has been scrolled to where it opens
let newest = 0;

export function drawMessages() {
  const open = state.open;
  if (!open) return void (shown = null);
  if (shown !== open) {
    placed = false;
    newest = Infinity;
    list.replaceChildren();
  }
  shown = open;
  trim();
  const anchor = topmost();
  const offset = anchor?.getBoundingClientRect().top;
  keyed(list, rows(open));
  if (!placed) placed = place(open);
  else if (open.atEnd && !open.newer) list.scrollTop = list.scrollHeight;
  else stay(anchor, offset);
  list.setAttribute("aria-busy", open.loading);
  drawBlank(open);
  drawButton(open);
  readAloud(open);
  setTabStop();
  markRead();
  if (placed && !open.stuck) loadNear();
}

function rows(open) {
  const found = [];
  const sent = new Set(open.messages.map((message) => message.client_message_id));
  const pending = open.newer || open.loading ? [] : pendingFor(open.peer);
  const waiting = pending.filter(({ id }) => !sent.has(id)); // the event may beat the answer
  const all = [...open.messages, ...waiting.map(asMessage)];
  const { peerReadId } = state.chats.get(open.peer) ?? {};
  all.forEach((message, at) => {
    const before = all[at - 1];
    const after = all[at + 1];
    const today = day(message.created_at);
    const isNewDay = !before || day(before.created_at) !== today;
    if (isNewDay) found.push(rule(`day ${message.created_at.slice(0, 10)}`, today, "day"));
    const isNew = open.unreadAfter !== null && message.id > open.unreadAfter;
    const isFirstNew = isNew && message.from_user === open.peer && !found.some(({ key }) => key === "new");
    if (isFirstNew && (!before || before.id <= open.unreadAfter || before.from_user !== open.peer)) {
      found.push(rule("new", "New", "new"));
    }
    const first = isNewDay || isFirstNew || !together(before, message);
    const last = !after || day(after.created_at) !== today || !together(message, after);
    found.push(row(message, { first, last, read: message.id <= peerReadId, open }));
  });
  return found;
}

const asMessage = ({ id, text, at, error }) => ({
  id, // its own for now; not a number
  message: text,
  created_at: at,
  from_user: state.me.id,
  pending: true,
  error,
});

const together = (before, after) =>
  before.from_user === after.from_user &&
  new Date(after.created_at) - new Date(before.created_at) < TOGETHER_MS;

const rule = (key, text, kind) => ({
  key,
  version: text,
  make: () => h(`li.rule.${kind}`, {}, h("span", {}, text)),
});

function row(message, { first, last, read, open }) {
  const { id, edited_at, deleted_at, truncated, pending, error } = message;
  const found = open.around === id;
  const editing = open.editing?.id === id;
  const version = [first, last, read, edited_at, deleted_at, truncated, error, found, editing];
  return {
    key: `message ${message.from_user} ${message.client_message_id ?? id}`,
    version: JSON.stringify([!pending, ...version]),
    make: () => draw(message, { first, last, read, found, editing }),
  };
}

function draw(message, { first, last, read, found, editing }) {
  const mine = message.from_user === state.me.id;
  const flags = { mine, first, last, found, editing, failed: message.error };
  const classes = Object.keys(flags).filter((flag) => flags[flag]);
  const open = message.deleted_at || message.pending;
  return h(
    ["li", "message", ...classes].join("."),
    { tabindex: -1, "data-id": message.id },
    h(
      "div.bubble",
      {},
      h("span.unseen", {}, mine ? "You: " : `${shownName(nameOf(message.from_user))}: `),
      body(message),
      meta(message, mine, read),
    ),
    message.error && failure(message),
    mine && !open && actions(message),
  );
}

function body({ message, deleted_at, truncated }) {
  if (deleted_at) return h("p.deleted", {}, "This message was deleted.");
  const kind = isEmoji(message) ? "p.emoji" : "p";
  return h(kind, { dir: "auto" }, linked(message), truncated && "…");
}

function meta({ created_at, edited_at, deleted_at, pending }, mine, read) {
  const state = pending ? "Waiting" : read ? "Read" : "Sent";
  return h(
    "span.meta",
    {},
    edited_at && !deleted_at && "edited ",
    h("time", { datetime: created_at, title: moment(created_at) }, time(created_at)),
    mine && !deleted_at && h(`span.mark.${state.toLowerCase()}`, { title: state }, icon(state.toLowerCase()), h("span.unseen", {}, state)),
  );
}

function actions(message) {
  const act = (name, label, onclick) =>
    h("button.quiet", { "aria-label": label, title: label, onclick }, icon(name));
  return h(
    "div.actions",
    {},
    act("edit", "Edit", () => edit(message)),
    act("delete", "Delete", () => remove(message)),
  );
}

function failure({ id, error }) {
  const again = () => {
    resend(id);
    sendWaiting();
  };
  return h(
    "p.failure",
    {},
    icon("fault"),
    h("span", {}, `Not sent: ${error}`),
    h("button", { onclick: again }, "Try again"),
    h("button", { onclick: () => discard(id) }, "Discard"),
  );
}

export function edit(message) {
  state.open.editing = message;
  changed();
}

async function remove({ id }) {
  const meaning = "Its text is erased for both of you. This cannot be undone.";
  if (!(await ask("Delete this message?", meaning, "Delete"))) return;
  if (await attempt(api.remove(id).then(learnMessage))) tellOthers();
}

// Around the list --------------------------------------------------------------------------------

function drawBlank(open) {
  const nothing = !list.children.length;
  blank.hidden = !nothing && !open.failed;
  const name = shownName(nameOf(open.peer));
  if (open.failed) blank.textContent = open.failed;
  else if (open.loading) blank.textContent = "Loading…";
  else blank.textContent = `This is the beginning of your chat with ${name}.`;
}

function drawButton(open) {
  const unread = state.chats.get(open.peer)?.unread ?? 0;
  button.hidden = open.loading || (open.atEnd && !open.newer);
  button.querySelector("span").textContent = unread ? `${unread} new` : "";
  button.setAttribute("aria-label", unread ? `To the end, ${unread} new` : "To the end");
}

button.addEventListener("click", () => {
  history.replaceState(null, "", `#/${state.open.peer}`); // no longer around a message
  attempt(toEnd());
});

/** What arrives is read out; what was there when the chat was opened is not. */
function readAloud(open) {
  const last = open.messages.at(-1);
  if (open.loading || !last) return;
  if (newest !== Infinity && !open.newer) {
    for (const message of open.messages) {
      if (message.id <= newest || message.from_user === state.me.id) continue;
      announce(`${shownName(nameOf(open.peer))}: ${message.message.slice(0, 500)}`);
    }
  }
  newest = Math.max(newest === Infinity ? 0 : newest, last.id);
}

// Scrolling --------------------------------------------------------------------------------------

/** The first message in sight. (A day's rule would not do: it stays above what is loaded.) */
function topmost() {
  const { top } = list.getBoundingClientRect();
  const messages = [...list.querySelectorAll(".message")];
  return messages.find((element) => element.getBoundingClientRect().bottom > top);
}

/** Have it where it was, or the element that was drawn in its stead. */
function stay(anchor, offset) {
  const element = [...list.children].find(({ key }) => key === anchor?.key);
  if (element) list.scrollTop += element.getBoundingClientRect().top - offset;
}

/** Where an opened chat begins: at the message that was asked for, at the first new one, or at
 * the end. False while there is nothing to scroll. */
function place(open) {
  if (open.loading) return false;
  const target =
    list.querySelector(".message.found") ?? list.querySelector(".rule.new");
  if (target) target.scrollIntoView({ block: target.matches(".found") ? "center" : "start" });
  else list.scrollTop = list.scrollHeight;
  open.atEnd = isAtEnd();
  return true;
}

const isAtEnd = () => list.scrollHeight - list.scrollTop - list.clientHeight < 60;

list.addEventListener("scroll", () => {
  const open = state.open;
  if (!open || !placed) return;
  const atEnd = isAtEnd();
  if (atEnd !== open.atEnd) {
    open.atEnd = atEnd;
    changed();
  }
  open.stuck = false;
  loadNear();
});

/** What will soon be in sight. */
function loadNear() {
  if (list.scrollTop < NEAR) attempt(more("older"));
  if (list.scrollHeight - list.scrollTop - list.clientHeight < NEAR) attempt(more("newer"));
}

// The list gets shorter when the text below gets longer, or a keyboard comes up.
new ResizeObserver(() => {
  if (state.open?.atEnd) list.scrollTop = list.scrollHeight;
}).observe(list);

document.addEventListener("visibilitychange", markRead);

// The keyboard: one message takes part in the tab order, the arrows go from one to the next.

function setTabStop(stop = list.querySelector(".message:focus") ?? [...list.querySelectorAll(".message")].at(-1)) {
  for (const message of list.querySelectorAll(".message[tabindex='0']")) message.tabIndex = -1;
  if (stop) stop.tabIndex = 0;
}

list.addEventListener("keydown", (event) => {
  const message = event.target.closest(".message");
  const all = [...list.querySelectorAll(".message")];
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const next = step ? all[all.indexOf(message) + step] : { Home: all[0], End: all.at(-1) }[event.key];
  if (!next) return;
  event.preventDefault();
  setTabStop(next);
  next.focus();
});
