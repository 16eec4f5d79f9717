// All that the page knows. News from everywhere is merged in here, and the views draw what they
// find. Merging the same thing twice, or late, changes nothing. So it does not matter how it
// came: by an answer, an event, a sync or a page of the history.

import { now } from "./clock.js";

export const state = {
  me: null, // {id, username, display_name, avatar, about}
  loaded: false, // whether the chats have come; before, they are those seen last (seen.js) or none
  chats: new Map(), // by the other person's id, see `learnChat`
  moreChats: undefined, // the cursor of the chats not loaded yet; null: there are none
  people: [], // users by id, as far as loaded
  morePeople: undefined, // whether there are more of them; not known before the first have come
  known: new Map(), // by id, see `learnPerson`; null: the account was deleted
  online: new Set(), // ids
  typing: new Set(), // ids of those who are writing to me
  left: new Set(), // ids of those who were seen to leave; of others nobody can tell (see presence.js)
  blocked: new Set(), // the ids of those whom I have blocked
  apart: new Set(), // of those with a block between us, as the API said; no matter whose
  replying: new Map(), // the other person's id -> the message that is being answered
  opened: new Set(), // of those whose chat was opened in this window
  open: null, // the chat on the screen, see conversation.js
  connection: "connecting", // "live", "polling" (no pusher-js), "catching-up" or "offline"
};

let tellLoaded;

/** Resolves when the chats have come: before, nobody knows whether there is one with somebody. */
export const whenLoaded = new Promise((resolve) => (tellLoaded = resolve));

const listeners = new Set();
let told = false;

export function onChange(draw) {
  listeners.add(draw);
}

/** Have everything drawn, once for all changes of this turn. */
export function changed() {
  if (told) return;
  told = true;
  queueMicrotask(() => {
    told = false;
    listeners.forEach((draw) => draw());
  });
}

/** Whether one of us has blocked the other. */
export const isBlocked = (id) => state.blocked.has(id) || state.apart.has(id);

/** Whether somebody is shown as online. Those with a block between them see nothing of each other. */
export const isOnline = (id) => state.online.has(id) && !isBlocked(id);

/** Merge what an answer or an event says of a person. Events know nothing but the user name. */
export function learnPerson({ id, username, display_name, avatar }) {
  if (username === null) return void state.known.set(id, null);
  const heard = avatar === undefined ? { id, username } : { id, username, display_name, avatar };
  state.known.set(id, { ...state.known.get(id), ...heard });
}

/** Somebody: {id, username, display_name, avatar}. Undefined is not known yet, null was deleted. */
export const personOf = (id) => (id === state.me?.id ? state.me : state.known.get(id));

/** The name that people see. As above, if there is none. */
export function nameOf(id) {
  const person = personOf(id);
  return person && (person.display_name || person.username);
}

export const peerOf = (message) =>
  message.from_user === state.me.id ? message.to_user : message.from_user;

/** The later one of two states of the same message. */
export function later(known, heard) {
  if (!known) return heard;
  // Nothing undoes a deletion, whatever the times say: the server's clock may have stepped back.
  if (!known.deleted_at !== !heard.deleted_at) return known.deleted_at ? known : heard;
  const age = (message) => message.edited_at ?? "";
  if (age(known) !== age(heard)) return age(known) < age(heard) ? heard : known;
  // Reactions have no time of their own, and events of a chat come in order. An event's text may
  // have been cut, a page's is whole.
  return heard.truncated && !known.truncated ? { ...known, reactions: heard.reactions } : heard;
}

/** Merge a chat, as GET /api/chats shows it. */
export function learnChat({ channel_id, channel_name, user, blocked, ...chat }, activeAt) {
  const known = state.chats.get(user.id);
  const mark = (theirs, ours) => Math.max(theirs ?? 0, ours ?? 0);
  // What was heard while this answer was under way is newer than the answer.
  const stale = known?.last && known.last.id > (chat.last_message?.id ?? 0);
  const isSame = known?.last && known.last.id === chat.last_message?.id;
  learnPerson(user);
  state.apart[blocked ? "add" : "delete"](user.id);
  state.chats.set(user.id, {
    id: channel_id,
    channel: channel_name,
    peer: user.id,
    last: stale ? known.last : isSame ? later(known.last, chat.last_message) : chat.last_message,
    unread: stale ? known.unread : known?.readId >= chat.last_message?.id ? 0 : chat.unread,
    readId: mark(chat.last_read_message_id, known?.readId),
    peerReadId: mark(chat.peer_last_read_message_id, known?.peerReadId),
    muted: chat.muted ?? known?.muted ?? false,
    activeAt: known && known.activeAt > activeAt ? known.activeAt : activeAt,
  });
}

/** Begin with the first page of chats: what was seen last may never have been, as after a restore. */
export function learnFirstChats(page) {
  state.chats.clear();
  state.loaded = true;
  learnChats(page);
  tellLoaded();
}

/** Merge a page of chats, in the order of their latest activity: none is later than `activeAt`. */
export function learnChats(page, activeAt = now().toISOString()) {
  for (const chat of page) {
    // A chat without messages stays where it came: right after the one before it.
    activeAt = chat.last_message?.created_at ?? activeAt;
    learnChat(chat, activeAt);
  }
}

/** The chats as the API orders them. */
export function chatsInOrder() {
  const order = (a, b) => (a.activeAt < b.activeAt) - (a.activeAt > b.activeAt);
  // Chats without messages have the time of the one before; of them the API has the newest first.
  return [...state.chats.values()].sort(
    (a, b) => order(a, b) || !a.last - !b.last || b.id - a.id,
  );
}

/** Merge a message, in any state. Returns false if its chat is not known yet. */
export function learnMessage(message) {
  const chat = state.chats.get(peerOf(message));
  if (!chat) return false;
  const mine = message.from_user === state.me.id;
  const isNew = message.id > (chat.last?.id ?? 0);
  if (isNew || message.id === chat.last.id) {
    chat.last = isNew ? message : later(chat.last, message);
    chat.activeAt = message.created_at;
  }
  if (isNew && !mine) state.typing.delete(chat.peer);
  if (isNew && mine) {
    chat.unread = 0; // sending moves the sender's mark
    chat.readId = message.id;
  } else if (isNew && message.id > chat.readId && !message.deleted_at) {
    chat.unread += 1;
  }
  learnInOpen(message);
  changed();
  return true;
}

/** Put a message among those on the screen, if it belongs there. */
function learnInOpen(message) {
  const open = state.open;
  if (open?.peer !== peerOf(message)) return;
  if (open.loading) return void open.waiting.push(message);
  const { messages } = open;
  const at = messages.findIndex((each) => each.id >= message.id);
  if (at >= 0 && messages[at].id === message.id) {
    messages[at] = later(messages[at], message);
  } else if (at < 0 ? !open.newer : at > 0 || !open.older) {
    messages.splice(at < 0 ? messages.length : at, 0, message);
  }
}

export function learnMark({ channel, user_id, last_read_message_id }) {
  const chat = [...state.chats.values()].find((each) => each.channel === channel);
  if (!chat) return;
  if (user_id !== state.me.id) {
    chat.peerReadId = Math.max(chat.peerReadId, last_read_message_id);
  } else if (last_read_message_id > chat.readId) {
    chat.readId = last_read_message_id;
    if (last_read_message_id >= (chat.last?.id ?? 0)) chat.unread = 0;
  }
  changed();
}

export const unreadInAll = () =>
  [...state.chats.values()].reduce((sum, chat) => sum + chat.unread, 0);
