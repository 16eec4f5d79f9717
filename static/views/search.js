// Searching: among the people, chats and messages, or among the messages of the open chat.

import { api, LoggedOut } from "../api.js";
import { announce, isComposing } from "../dom.js";
import { changed, learnPerson, onChange, peerOf, personOf, state } from "../store.js";
import { t } from "../texts.js";
import { chatRow, messageRow, note, personRow, section } from "./rows.js";

const field = document.getElementById("search");
const where = document.getElementById("where");
const stop = document.getElementById("stop-search");
const page = document.getElementById("chat");
const PAUSE_MS = 200;

let found = null; // what, see `look`; null: nothing is searched for
let here = false; // whether only the open chat is searched
let isInFront = false; // whether a phone shows the search instead of the chat
let timer;

/** The person in whose chat is searched; null: everywhere. */
const scope = () => (here ? (state.open?.peer ?? null) : null);

/** What was found, section by section; null while nothing is searched for. */
export function foundSections() {
  drawField();
  if (!found) return null;
  const people = found.people.filter(({ id }) => personOf(id) !== null);
  const chats = people.map(({ id }) => state.chats.get(id)).filter((chat) => chat?.last);
  const others = people.filter(({ id }) => !state.chats.get(id)?.last);
  const shown = [
    section("chats", chats.map((chat) => chatRow(chat))),
    section("people", others.map(personRow)),
    section("messages", found.messages.map((each) => messageRow(each, found.query))),
  ].filter(({ rows }) => rows.length);
  if (found.fault) shown.push(note(found.fault));
  else if (!shown.length) shown.push(note(isLooking(found) ? t("search.looking") : nothing()));
  return shown;
}

export const isSearching = () => found !== null;

const isLooking = ({ pending, cursor }) => pending || cursor !== null;

const nothing = () => t(found.peer ? "search.nothing-here" : "search.nothing", { query: found.query });

function drawField() {
  if (here && !state.open) leaveChat();
  else if (found && found.peer !== scope()) look();
  page.classList.toggle("searching", isInFront && state.open !== null);
  where.hidden = !state.open || !(here || field.value.trim());
  where.querySelector(`[value=${here ? "chat" : "all"}]`).checked = true;
  stop.hidden = !here && !field.value;
  field.placeholder = t(here ? "search.in-chat" : "list.search");
  field.setAttribute("aria-label", t(here ? "search.in-chat" : "list.search-all"));
}

/** More messages, if there are more; null otherwise. */
export const moreHits = () => (found?.cursor && !found.fault ? loadHits : null);

async function loadHits() {
  const asked = found;
  const { items, cursor } = await searched(asked.query, asked.peer, asked.cursor);
  asked.messages.push(...items);
  asked.cursor = cursor;
  changed();
}

async function searched(query, peer, before) {
  const channel = peer && state.chats.get(peer)?.channel;
  if (peer && !channel) return { items: [], cursor: null };
  const hits = await api.search({ q: query, channel, before });
  const unknown = [...new Set(hits.items.map(peerOf))].filter((id) => !state.known.has(id));
  (await Promise.all(unknown.map(api.person))).forEach(learnPerson);
  return hits;
}

async function look() {
  clearTimeout(timer);
  const query = field.value.trim();
  const peer = scope();
  // What was found before stays in sight until there is an answer.
  const before = found?.peer === peer ? found : { people: [], messages: [] };
  found = query ? { ...before, query, peer, cursor: null, fault: null, pending: true } : null;
  const asked = found;
  changed();
  if (!query) return;
  try {
    const [users, hits] = await Promise.all([
      peer ? { items: [] } : api.users({ q: query }),
      searched(query, peer),
    ]);
    if (found !== asked) return; // an answer that comes too late
    asked.people = users.items.filter(({ id }) => id !== state.me.id);
    asked.people.forEach(learnPerson);
    asked.messages = hits.items;
    asked.cursor = hits.cursor;
    tell(asked);
  } catch (error) {
    if (error instanceof LoggedOut || found !== asked) return;
    Object.assign(asked, { people: [], messages: [], fault: error.message });
  }
  asked.pending = false;
  changed();
}

function tell({ peer, people, messages }) {
  const numbers = [t("list.found-messages", { count: messages.length })];
  if (!peer) numbers.unshift(t("list.found-people", { count: people.length }));
  announce(numbers.join(", "));
}

function searchIn(chat) {
  here = chat;
  look();
  drawField(); // on a phone the field is out of sight before
  field.focus();
  field.select();
}

/** Open the first chat or person that was found. */
const goToFirst = () => document.querySelector("#lists a")?.click();

/** Let the reader search in the open chat. */
export function searchOpenChat() {
  isInFront = true;
  searchIn(true);
}

function leaveChat() {
  here = false;
  isInFront = false;
  look();
}

let was = null;

// What failed while the line was away is searched for again.
onChange(() => {
  const isBack = was === "offline" && state.connection !== "offline";
  was = state.connection;
  if (isBack && found?.fault) look();
});

field.addEventListener("input", () => {
  drawField();
  clearTimeout(timer);
  timer = setTimeout(look, PAUSE_MS);
});
field.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || isComposing(event)) return;
  field.value = "";
  leaveChat();
});
field.form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const isDone = found?.pending === false && !found.fault && found.query === field.value.trim();
  if (!isDone) await look();
  // On a touch screen Enter only puts the keyboard away.
  if (found?.people.length && !matchMedia("(pointer: coarse)").matches) goToFirst();
});
where.addEventListener("change", ({ target }) => searchIn(target.value === "chat"));
stop.addEventListener("click", () => {
  field.value = "";
  leaveChat();
  field.focus();
});
document.getElementById("search-chat").addEventListener("click", searchOpenChat);
document.getElementById("lists").addEventListener("click", ({ target }) => {
  if (!target.closest("a")) return;
  isInFront = false; // on a phone what was found is behind what it led to
  changed();
});
