// The open chat: a window of its messages that moves with the scrolling, so that a chat of
// 10,000 messages costs the page no more than one of a hundred.

import { isLookedAt } from "./absence.js";
import { api, LoggedOut, Unreachable } from "./api.js";
import { now } from "./clock.js";
import { recallMessages } from "./seen.js";
import { changed, learnChat, learnMessage, learnPerson, state, whenLoaded } from "./store.js";

const MOST = 200; // messages kept; those at the far end make room
const MANY = 40; // unread messages; with more, the last page might begin after the first of them

/** Open the chat with a person: around a message, at its end, or where they stopped reading. */
export async function open(peer, { around = null, atEnd = false, listening = null } = {}) {
  const chat = (state.open = {
    peer,
    messages: around ? [] : recallMessages(peer), // by id, without gaps
    older: false, // whether there are more before these
    newer: false,
    loading: true,
    waiting: [], // heard while loading
    failed: null, // why it could not be loaded
    reload: false, // load it again at the next chance
    stuck: false, // whether more could not be loaded
    around,
    atEnd: true, // whether the end is in sight
    unreadAfter: null, // where the line "New" goes
    absent: false, // whether something came in an absence that goes on, see absence.js
    editing: null, // the message that is being edited
    saving: null, // the message whose edit is under way
  });
  state.opened.add(peer);
  changed();
  try {
    show(chat, await firstPage(chat, { atEnd, listening }));
  } catch (error) {
    if (error instanceof LoggedOut) throw error;
    if (error.code === "blocked") state.apart.add(peer);
    chat.reload = error instanceof Unreachable;
    if (!chat.reload || !chat.messages.length) chat.failed = error.message;
  }
  chat.loading = false;
  chat.waiting.forEach(learnMessage);
  changed();
}

/** The messages that a chat opens with. While the page starts, nothing gets lost once `listening`. */
async function firstPage(chat, { atEnd, listening }) {
  const known = await chatWith(chat.peer);
  await listening;
  if (known.unread && !chat.around && !atEnd) chat.unreadAfter = known.readId;
  const manyNew = chat.unreadAfter !== null && known.unread > MANY;
  return api.messages(known.channel, { around: manyNew ? known.readId : chat.around });
}

/** Load again what failed or is out of date, now that the server answers. */
export function retry() {
  const chat = state.open;
  if (chat?.reload) return open(chat.peer, { around: chat.around });
  if (chat?.stuck) {
    chat.stuck = false;
    changed();
  }
}

/** The chat with a person. Asked for only if there is none: each request tells the other one. */
export async function chatWith(peer) {
  await whenLoaded;
  if (!state.known.has(peer)) learnPerson(await api.person(peer));
  if (!state.chats.has(peer)) {
    const { channel_id, channel_name } = await api.requestChat(peer);
    const user = state.known.get(peer) ?? { id: peer, username: null };
    const chat = { channel_id, channel_name, user, last_message: null, unread: 0 };
    learnChat(chat, now().toISOString());
  }
  return state.chats.get(peer);
}

function show(chat, page) {
  chat.messages = page.items;
  chat.older = page.older;
  chat.newer = page.newer;
}

/** Messages before the first or after the last one. */
export async function more(direction) {
  const chat = state.open;
  if (!chat || chat.loading || !chat[direction]) return;
  chat.loading = true;
  const older = direction === "older";
  const place = older ? { before: chat.messages[0].id } : { after: chat.messages.at(-1).id };
  try {
    const page = await api.messages(state.chats.get(chat.peer).channel, place);
    chat.messages = older ? [...page.items, ...chat.messages] : [...chat.messages, ...page.items];
    chat[direction] = page[direction];
    if (chat.messages.length > MOST) {
      chat.messages = older ? chat.messages.slice(0, MOST) : chat.messages.slice(-MOST);
      chat[older ? "newer" : "older"] = true;
    }
  } catch (error) {
    if (error instanceof LoggedOut) throw error;
    chat.stuck = true; // until there is a connection, or another try by scrolling
  }
  chat.loading = false;
  chat.waiting.splice(0).forEach(learnMessage);
  changed();
}

/** Whether a chat was refused, and not only for want of a line: nothing can be sent there. */
export const isRefused = (chat) => Boolean(chat.failed && !chat.reload);

/** Go to the end, from anywhere. */
export async function toEnd() {
  const chat = state.open;
  history.replaceState(null, "", `#/${chat.peer}`); // no longer around a message
  chat.around = null;
  if (chat.newer) await open(chat.peer, { atEnd: true });
  else chat.atEnd = true;
  changed();
}

/** Drop the oldest of many messages while the newest are in sight. */
export function trim() {
  const chat = state.open;
  if (!chat?.atEnd || chat.newer || chat.messages.length <= MOST + 50) return;
  chat.messages = chat.messages.slice(-MOST);
  chat.older = true;
}

let marking = false;

/** Mark what is in sight as read. */
export async function markRead() {
  const chat = state.chats.get(state.open?.peer);
  const last = state.open?.messages.filter((each) => each.from_user !== state.me.id).at(-1);
  const seen = isLookedAt() && state.open?.atEnd && !state.open.newer && !state.open.reload && !state.open.loading;
  if (!chat || marking || !seen || !last || (last.id <= chat.readId && !chat.unread)) return;
  const { peer, readId, unread } = chat;
  const moved = Math.max(readId, last.id);
  marking = true;
  chat.readId = moved;
  chat.unread = 0;
  changed();
  try {
    await api.markRead(chat.channel, last.id);
    changed(); // more may have come into sight
  } catch {
    // The next drawing tries again. We ask for none, because a refusal would repeat without end.
    const now = state.chats.get(peer);
    if (now?.readId === moved) {
      now.readId = readId;
      now.unread += unread; // plus those that have come since
    }
  }
  marking = false;
}
