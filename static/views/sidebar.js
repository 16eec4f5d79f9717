// The chats, the people, and the people and messages that a search has found.

import { api, LoggedOut } from "../api.js";
import { announce, h, icon, isComposing, keyed } from "../dom.js";
import { excerpt, gist, shownName, when } from "../format.js";
import { asMessage, pendingFor } from "../outbox.js";
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
import { hasDraft } from "./composer.js";

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
const isListed = ({ peer, last }) =>
  last || state.opened.has(peer) || pendingFor(peer).length > 0 || hasDraft(peer);

/** Whether the account has not been deleted since they were found. */
const isThere = ({ id }) => personOf(id) !== null;

function sections() {
  const chats = chatsInOrder().filter(isListed);
  const listed = new Set(chats.map(({ peer }) => peer));
  const known = (user) => user.id === state.me.id || listed.has(user.id);
  const online = [...state.online].filter(isOnline).map((id) => ({ id }));
  const offline = state.people.filter(({ id }) => !isOnline(id));
  const people = [...online, ...offline].filter((user) => isThere(user) && !known(user));
  const moreChats = state.moreChats && { label: t("list.more-chats"), load: loadChats };
  const morePeople = state.morePeople && { label: t("list.more-people"), load: loadPeople };
  const shown = [];
  if (chats.length || moreChats) shown.push(section("chats", chats.map(chatRow), { more: moreChats }));
  if (people.length || morePeople || !chats.length) {
    const empty = chats.length ? null : t("list.nobody");
    shown.push(section("people", people.map(personRow), { more: morePeople, empty }));
  }
  return shown;
}

function foundSections() {
  return [
    section("people", found.people.filter(isThere).map(personRow), { empty: t("list.no-people") }),
    section("messages", found.messages.map(messageRow), { empty: t("list.no-messages") }),
  ];
}

function chatRow(chat) {
  const name = nameOf(chat.peer);
  const online = isOnline(chat.peer);
  const current = state.open?.peer === chat.peer;
  const waiting = pendingFor(chat.peer).at(-1);
  const last = waiting ? asMessage(waiting) : chat.last;
  const said = last ? gist(last) : t("list.empty-chat");
  const mine = last?.from_user === state.me.id && !last.deleted_at;
  const at = waiting?.at ?? chat.last?.created_at;
  return row(
    [chat.peer, personOf(chat.peer), online, current, said, mine, at && when(at), chat.unread, !!waiting, waiting?.error],
    `#/${chat.peer}`,
    current,
    () => [
      avatar(chat.peer, online),
      h("bdi.name", {}, shownName(name)),
      online && h("span.unseen", {}, t("chat.online")),
      at && h("time", { datetime: at }, when(at)),
      h(
        last && !last.deleted_at ? "span.said" : "span.said.nothing",
        {},
        waiting && icon(waiting.error ? "fault" : "waiting"),
        mine && `${t("message.you")}: `,
        h("bdi", {}, said),
      ),
      chat.unread > 0 &&
        h("span.count", {}, `${chat.unread}`, h("span.unseen", {}, ` ${t("list.unread")}`)),
    ],
  );
}

function personRow({ id }) {
  const { username, display_name } = personOf(id);
  const online = isOnline(id);
  const current = state.open?.peer === id;
  return row([personOf(id), online, current], `#/${id}`, current, () => [
    avatar(id, online),
    h("bdi.name", {}, nameOf(id)),
    h(
      "span.said.nothing",
      {},
      display_name && [h("bdi", {}, username), " · "],
      t(online ? "chat.online" : "list.hello"),
    ),
  ]);
}

function messageRow(message) {
  const peer = peerOf(message);
  const name = nameOf(peer);
  const { id, created_at } = message;
  const version = [id, personOf(peer), message.message, found.query, when(created_at)];
  return row(version, `#/${peer}/${id}`, false, () => [
    avatar(peer),
    h("bdi.name", {}, shownName(name)),
    h("time", { datetime: created_at }, when(created_at)),
    h(
      "span.said",
      {},
      message.from_user === state.me.id && `${t("message.you")}: `,
      h("bdi", {}, message.message ? excerpt(message.message, found.query) : gist(message)),
    ),
  ]);
}

function row(version, href, current, content) {
  const make = () =>
    h("li", {}, h("a", { href, "aria-current": current ? "page" : null }, content()));
  return { key: href, version: JSON.stringify(version), make };
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
