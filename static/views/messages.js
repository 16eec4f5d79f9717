// The messages of the open chat, from "more above" to those still on their way.

import { noteAbsence } from "../absence.js";
import { markRead, more, toEnd, trim } from "../conversation.js";
import { announce, keyed } from "../dom.js";
import { day, gist, part, shownName } from "../format.js";
import { asMessage, pendingFor } from "../outbox.js";
import { changed, nameOf, state } from "../store.js";
import { t } from "../texts.js";
import { actByKey } from "./actions.js";
import { attempt } from "./ask.js";
import { dayRule, drawDay, rule } from "./days.js";
import { row } from "./message.js";

const list = document.getElementById("messages");
const blank = document.getElementById("blank");
const awaited = document.getElementById("awaited");
const button = document.getElementById("to-end");
const NEAR = 800; // pixels from an end at which more is loaded
const ABOVE_NEW = 14; // pixels between the top and the line "New"
const FEW = 3; // messages that are read out one by one
const SPOKEN = 80; // characters of each
const TOGETHER_MS = 5 * 60_000; // messages of one person within this look like one turn

let shown = null; // the chat that is drawn
let placed = null; // whether it has been scrolled to where it opens: as "seen" last, or as "loaded"
let held = null; // what is in sight and where, to stay there when the list changes its size
let newest = 0;

export function drawMessages() {
  const open = state.open;
  if (!open) return void (shown = null);
  if (shown !== open) {
    placed = null;
    newest = Infinity;
    list.replaceChildren();
  }
  shown = open;
  trim();
  noteAbsence(open);
  hold();
  keyed(list, rows(open));
  const stage = open.loading && placed !== "loaded" ? "seen" : "loaded";
  if (placed !== stage) placed = place(open) ? stage : null;
  else if (open.atEnd && !open.newer) follow(open);
  else stay();
  list.setAttribute("aria-busy", open.loading);
  drawBlank(open);
  drawButton(open);
  hold();
  drawDay(held?.message, open.atEnd && !open.newer);
  readAloud(open);
  setTabStop();
  markRead();
  if (placed && !open.stuck) loadNear();
}

function rows(open) {
  const found = [];
  const sent = new Set(open.messages.map((message) => message.client_message_id));
  const isAwaited = open.loading && !open.messages.length && state.connection !== "offline";
  const pending = open.newer || isAwaited ? [] : pendingFor(open.peer);
  const waiting = pending.filter(({ id }) => !sent.has(id)); // the event may beat the answer
  const all = [...open.messages, ...waiting.map(asMessage)];
  const { peerReadId } = state.chats.get(open.peer) ?? {};
  const firstNew =
    open.unreadAfter !== null &&
    all.find(({ id, from_user }) => id > open.unreadAfter && from_user === open.peer);
  all.forEach((message, at) => {
    const [before, after] = [all[at - 1], all[at + 1]];
    const isNewDay = !sameDay(before, message);
    if (isNewDay) found.push(dayRule(message.created_at));
    if (message === firstNew) found.push(rule("new", t("chat.new"), "new"));
    found.push(
      row(message, {
        first: isNewDay || message === firstNew || !together(before, message),
        last: !sameDay(message, after) || !together(message, after),
        read: message.id <= peerReadId,
        open,
      }),
    );
  });
  return found;
}

const sameDay = (before, after) =>
  before && after && day(before.created_at) === day(after.created_at);

const together = (before, after) =>
  before.from_user === after.from_user &&
  new Date(after.created_at) - new Date(before.created_at) < TOGETHER_MS;

// Around the list --------------------------------------------------------------------------------

function drawBlank(open) {
  const nothing = !list.children.length;
  blank.hidden = !nothing && !open.failed;
  awaited.hidden = !nothing || !open.loading;
  blank.classList.toggle("unseen", !awaited.hidden);
  const name = shownName(nameOf(open.peer));
  if (open.failed) blank.textContent = open.failed;
  else if (open.loading) blank.textContent = t("chat.loading");
  else blank.textContent = t("chat.beginning", { name });
}

function drawButton(open) {
  const unread = state.chats.get(open.peer)?.unread ?? 0;
  button.hidden = open.loading || (open.atEnd && !open.newer);
  const news = unread ? t("chat.count-new", { count: unread }) : "";
  button.querySelector("span").textContent = news;
  button.setAttribute("aria-label", [t("chat.to-end"), news].filter(Boolean).join(", "));
}

button.addEventListener("click", () => attempt(toEnd()));

/** Read out what arrives, but not what was there when the chat was opened. Of long texts only the
 * beginning, and of many messages only how many: nobody can stop it. */
function readAloud(open) {
  if (open.loading) return;
  const name = shownName(nameOf(open.peer));
  const isNew = ({ id, from_user }) => id > newest && from_user !== state.me.id;
  const came = open.newer ? [] : open.messages.filter(isNew);
  if (came.length > FEW) announce(t("chat.came", { count: came.length, name }));
  else for (const message of came) announce(`${name}: ${part(gist(message), 0, SPOKEN)}`);
  newest = Math.max(newest === Infinity ? 0 : newest, open.messages.at(-1)?.id ?? 0);
}

// Scrolling --------------------------------------------------------------------------------------

/** The first message in sight. (A day's rule would not do: it stays above what is loaded.) */
function topmost() {
  const { top } = list.getBoundingClientRect();
  const messages = [...list.querySelectorAll(".message")];
  return messages.find((element) => element.getBoundingClientRect().bottom > top);
}

/** Keep the end in sight; after an absence no more than what came in it. */
function follow(open) {
  list.scrollTop = list.scrollHeight;
  const line = open.absent && list.querySelector(".rule.new");
  const hidden = line && list.getBoundingClientRect().top - line.getBoundingClientRect().top;
  if (!line || hidden < 0) return;
  list.scrollTop -= hidden + ABOVE_NEW;
  open.atEnd = isAtEnd();
}

/** How far below the top of the list an element begins. */
const placeOf = (element) => element.getBoundingClientRect().top - list.getBoundingClientRect().top;

const size = () => `${list.clientWidth} ${list.clientHeight}`;

function hold() {
  const message = topmost();
  held = message ? { message, place: placeOf(message), size: size() } : null;
}

/** Scroll so that the held message, or the one drawn in its place, is where it was. */
function stay() {
  const element = [...list.children].find(({ key }) => key === held?.message.key);
  if (element) list.scrollTop += placeOf(element) - held.place;
}

/** Scroll to where an opened chat begins: to the message that was asked for, to the first new
 * one, or to the end. Returns false while there is nothing to scroll. */
function place(open) {
  if (open.loading && !list.children.length) return false;
  const target = list.querySelector(".message.found") ?? list.querySelector(".rule.new");
  const isFound = target?.matches(".found");
  if (target) target.scrollIntoView({ block: isFound ? "center" : "start" });
  else list.scrollTop = list.scrollHeight;
  // The quote that led here went away with what was shown before, and the focus with it.
  if (isFound && document.activeElement === document.body) target.focus({ preventScroll: true });
  open.atEnd = isAtEnd();
  return true;
}

const isAtEnd = () => list.scrollHeight - list.scrollTop - list.clientHeight < 60;

list.addEventListener("scroll", () => {
  const open = state.open;
  if (!open || !placed) return;
  if (held?.size !== size()) return; // nobody scrolls: the size has changed, see below
  hold();
  const atEnd = isAtEnd();
  if (atEnd !== open.atEnd) {
    open.atEnd = atEnd;
    changed();
  }
  open.stuck = false;
  drawDay(held?.message, atEnd && !open.newer);
  loadNear();
});

/** Load what will soon be in sight. */
function loadNear() {
  if (list.scrollTop < NEAR) attempt(more("older"));
  if (list.scrollHeight - list.scrollTop - list.clientHeight < NEAR) attempt(more("newer"));
}

// The list gets shorter when the text below gets longer, or a keyboard comes up; and a phone that is
// turned breaks all lines anew.
new ResizeObserver(() => {
  if (state.open?.atEnd) list.scrollTop = list.scrollHeight;
  else stay();
  hold();
}).observe(list);

document.addEventListener("visibilitychange", changed);
addEventListener("focus", changed);

// The keyboard: one message is in the tab order, and the arrows go from one to the next.

function setTabStop(stop = list.querySelector(".message:focus")) {
  const all = [...list.querySelectorAll(".message")];
  for (const message of all) message.tabIndex = -1;
  stop ??= all.at(-1);
  if (stop) stop.tabIndex = 0;
}

list.addEventListener("keydown", (event) => {
  const message = event.target.closest(".message");
  const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey && event.target === message;
  if (isPlain && actByKey(message, event.key)) return event.preventDefault();
  const all = [...list.querySelectorAll(".message")];
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const ends = { Home: all[0], End: all.at(-1) };
  const next = step ? all[all.indexOf(message) + step] : ends[event.key];
  if (!next) return;
  event.preventDefault();
  setTabStop(next);
  next.focus();
});
