// The list beside the chat: the chats and the people, or what a search has found.

import { api } from "../api.js";
import { h, keyed } from "../dom.js";
import { unsent } from "../outbox.js";
import {
  changed,
  chatsInOrder,
  isOnline,
  learnChats,
  learnPerson,
  nameOf,
  personOf,
  state,
} from "../store.js";
import { t } from "../texts.js";
import { avatar } from "./avatar.js";
import { draftFor } from "./composer.js";
import { chatRow, note, personRow, section } from "./rows.js";
import { foundSections, isSearching, moreHits } from "./search.js";

const lists = document.getElementById("lists");
const me = document.getElementById("me");
const NEAR = 600; // pixels from the end at which more is loaded

export function drawSidebar() {
  drawMe();
  const shown = foundSections() ?? sections();
  keyed(lists, shown);
  shown.forEach(({ rows }, at) => rows && keyed(lists.children[at].querySelector("ul"), rows));
  loadNear();
}

let drawnMe = null;

function drawMe() {
  const { id } = state.me;
  if (drawnMe === state.me) return;
  drawnMe = state.me;
  me.replaceChildren(avatar(id), h("bdi.name", {}, nameOf(id)));
}

/** Whether a chat has something in it, or was opened here. Others are there because somebody has
 * looked at me. */
const isListed = ({ peer, last }, waiting) =>
  last || state.opened.has(peer) || waiting.has(peer) || draftFor(peer);

/** Whether the account has not been deleted since they were found. */
const isThere = ({ id }) => personOf(id) !== null;

/** What stands here until it is known what does. */
function outline() {
  const rows = Array.from({ length: 6 }, () => h("div", {}, h("i"), h("i"), h("i")));
  const make = () => h("section.outline", { "aria-hidden": "true" }, h("ul"), rows);
  return { key: "outline", version: "", make, rows: [] };
}

function sections() {
  if (!state.loaded && !state.chats.size) return [outline()];
  const waiting = new Map(unsent().map((each) => [each.peer, each])); // the last one to each
  const chats = chatsInOrder().filter((chat) => isListed(chat, waiting));
  const listed = new Set(chats.map(({ peer }) => peer));
  const known = (user) => user.id === state.me.id || listed.has(user.id);
  const online = [...state.online].filter(isOnline).map((id) => ({ id }));
  const offline = state.people.filter(({ id }) => !isOnline(id));
  const people = [...online, ...offline].filter((user) => isThere(user) && !known(user));
  const rows = chats.map((chat) => chatRow(chat, waiting.get(chat.peer)));
  const isEnd = state.moreChats === null; // the people come after the last chat
  const isNobody = isEnd && !rows.length && !people.length;
  if (isNobody && state.morePeople === undefined) return [outline()];
  if (isNobody && !state.morePeople) return [note(t("list.nobody"))];
  const shown = [section("chats", rows), section("people", isEnd ? people.map(personRow) : [])];
  return shown.filter((each) => each.rows.length);
}

// More of it, by scrolling -----------------------------------------------------------------------

let loading = null;
let stuck = false; // whether more could not be loaded, until the next scrolling

lists.addEventListener("scroll", () => {
  stuck = false;
  loadNear();
});

/** Load what will soon be in sight. */
function loadNear() {
  const isNear = lists.scrollHeight - lists.scrollTop - lists.clientHeight < NEAR;
  if (!isNear || !lists.clientHeight || loading || stuck) return; // a phone may hide the list
  const more = state.moreChats ? loadChats : state.morePeople && loadPeople;
  const load = isSearching() ? moreHits() : more;
  if (!load) return;
  const done = () => {
    loading = null;
    changed(); // there may still be room
  };
  loading = load().catch(() => (stuck = true)).finally(done);
}

let asking = null;

export const loadPeople = () => (asking ??= askForPeople().finally(() => (asking = null)));

async function askForPeople() {
  const page = await api.users({ after: state.people.at(-1)?.id ?? 0 });
  state.people.push(...page.items);
  state.morePeople = page.newer;
  page.items.forEach(learnPerson);
  changed();
}

async function loadChats() {
  const page = await api.chats(state.moreChats);
  state.moreChats = page.cursor;
  learnChats(page.items, chatsInOrder().at(-1)?.activeAt);
  changed();
}
