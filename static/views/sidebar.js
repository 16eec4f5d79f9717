// The chats, the people, and the people and messages that a search has found.

import { api, LoggedOut } from "../api.js";
import { announce, h, isComposing, keyed } from "../dom.js";
import { unsent } from "../outbox.js";
import {
  changed,
  chatsInOrder,
  isOnline,
  learnChats,
  learnPerson,
  nameOf,
  peerOf,
  personOf,
  state,
} from "../store.js";
import { t } from "../texts.js";
import { attempt } from "./ask.js";
import { avatar } from "./avatar.js";
import { draftFor } from "./composer.js";
import { chatRow, messageRow, personRow } from "./rows.js";

const lists = document.getElementById("lists");
const me = document.getElementById("me");
const search = document.getElementById("search");
const PAUSE_MS = 200;

let found = null; // {query, people, messages}, or null while nothing is searched for

export function drawSidebar() {
  drawMe();
  const shown = found ? foundSections() : sections();
  keyed(lists, shown);
  shown.forEach(({ rows }, at) => keyed(lists.children[at].querySelector("ul"), rows));
}

let drawnMe = null;

function drawMe() {
  const { id } = state.me;
  if (drawnMe === state.me) return;
  drawnMe = state.me;
  me.replaceChildren(avatar(id), h("bdi.name", {}, nameOf(id)));
}

/** A section stays the same element; its rows have keys of their own. */
function section(name, rows, { more = null, empty = null } = {}) {
  const make = () => {
    const id = `list-${name}`;
    return h(
      "section",
      { "aria-labelledby": id },
      h("h2", { id }, t(`list.${name}`)),
      h("ul"),
      empty && !rows.length && h("p.empty", {}, empty),
      more && h("button.more", { onclick: () => attempt(more.load()) }, more.label),
    );
  };
  return { key: name, version: `${!rows.length && empty} ${more?.label}`, make, rows };
}

/** Whether a chat has something in it, or was opened here. Others are there because somebody has
 * looked at me. */
const isListed = ({ peer, last }, waiting) =>
  last || state.opened.has(peer) || waiting.has(peer) || draftFor(peer);

/** Whether the account has not been deleted since they were found. */
const isThere = ({ id }) => personOf(id) !== null;

function sections() {
  const waiting = new Map(unsent().map((each) => [each.peer, each])); // the last one to each
  const chats = chatsInOrder().filter((chat) => isListed(chat, waiting));
  const listed = new Set(chats.map(({ peer }) => peer));
  const known = (user) => user.id === state.me.id || listed.has(user.id);
  const online = [...state.online].filter(isOnline).map((id) => ({ id }));
  const offline = state.people.filter(({ id }) => !isOnline(id));
  const people = [...online, ...offline].filter((user) => isThere(user) && !known(user));
  const moreChats = state.moreChats && { label: t("list.more-chats"), load: loadChats };
  const morePeople = state.morePeople && { label: t("list.more-people"), load: loadPeople };
  const shown = [];
  const rows = chats.map((chat) => chatRow(chat, waiting.get(chat.peer)));
  if (rows.length || moreChats) shown.push(section("chats", rows, { more: moreChats }));
  if (people.length || morePeople || !chats.length) {
    const empty = chats.length ? null : t("list.nobody");
    shown.push(section("people", people.map(personRow), { more: morePeople, empty }));
  }
  return shown;
}

function foundSections() {
  return [
    section("people", found.people.filter(isThere).map(personRow), { empty: t("list.no-people") }),
    section("messages", found.messages.map((each) => messageRow(each, found.query)), { empty: t("list.no-messages") }),
  ];
}

export async function loadPeople() {
  const page = await api.users({ after: state.people.at(-1)?.id ?? 0 });
  state.people.push(...page.items);
  state.morePeople = page.newer;
  page.items.forEach(learnPerson);
  changed();
}

async function loadChats() {
  const page = await api.chats(state.moreChats);
  state.moreChats = page.cursor;
  learnChats(page.items, chatsInOrder().at(-1).activeAt);
  changed();
}

// Searching --------------------------------------------------------------------------------------

let timer;

search.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(look, PAUSE_MS);
});
search.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || isComposing(event)) return;
  search.value = "";
  look();
});
search.form.addEventListener("submit", (event) => {
  event.preventDefault();
  look();
});

async function look() {
  const query = search.value.trim();
  if (!query) {
    found = null;
    return changed();
  }
  try {
    const [users, messages] = await Promise.all([api.users({ q: query }), api.search(query)]);
    const people = users.items.filter(({ id }) => id !== state.me.id);
    people.forEach(learnPerson);
    await meet(messages.map(peerOf));
    if (query !== search.value.trim()) return; // an answer that comes too late
    found = { query, people, messages };
    changed();
    const numbers = [t("list.found-people", { count: people.length })];
    numbers.push(t("list.found-messages", { count: messages.length }));
    announce(numbers.join(", "));
  } catch (error) {
    if (!(error instanceof LoggedOut)) attempt(Promise.reject(error));
  }
}

/** Ask who people are: messages have only their ids. */
async function meet(ids) {
  const unknown = [...new Set(ids)].filter((id) => !state.known.has(id));
  (await Promise.all(unknown.map(api.person))).forEach(learnPerson);
}
