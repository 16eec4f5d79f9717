// What the page showed last, so that it opens with it: at once, and also without a connection. It is
// kept where the token is, so it is gone when the window is closed or the person logs out. It is no
// loss: the API has all of it.

import { now } from "./clock.js";
import { load } from "./session.js";
import { device, tab } from "./storage.js";
import { chatsInOrder, onChange, state } from "./store.js";

const CHATS = 50; // of the list
const KEPT = 8; // chats with their messages, those that were open last
const MESSAGES = 50; // of a chat, and no more than so many characters:
const MOST = 20_000;
const SAID = 200; // characters of a chat's last message
const PAUSE_MS = 2_000;

const prefix = (userId) => `chat/${userId}/seen/`;
const place = (name) => prefix(state.me.id) + name;

/** Where the session of this person is; null if they have logged out, perhaps in another window. */
function storage() {
  const session = load();
  if (session?.id !== state.me?.id) return null;
  return session.stays ? device : tab;
}

/** Have the store begin with what was there last. Returns when that was, if there is any. */
export function recall() {
  const seen = storage()?.get(place("list"));
  if (!seen) return null;
  for (const chat of seen.chats) state.chats.set(chat.peer, chat);
  state.known = new Map(seen.people);
  state.me = seen.me;
  return seen.at;
}

/** The messages that a chat ended with when it was last open. */
export function recallMessages(peer) {
  return storage()?.get(place(peer)) ?? [];
}

function remember() {
  const kept = storage();
  if (!kept || !state.loaded || isRefused) return;
  const chats = chatsInOrder().slice(0, CHATS).map(shortened);
  const people = chats.map(({ peer }) => [peer, state.known.get(peer) ?? null]);
  const before = kept.get(place("list"))?.open ?? [];
  const open = state.open && !state.open.loading && !state.open.newer ? state.open : null;
  const peers = [...new Set(open ? [open.peer, ...before] : before)];
  for (const peer of peers.splice(KEPT)) kept.remove(place(peer));
  kept.offer(place("list"), { at: now(), me: state.me, chats, people, open: peers });
  if (open) kept.offer(place(open.peer), ending(open.messages));
}

const shortened = (chat) => {
  const { last } = chat;
  return last ? { ...chat, last: { ...last, message: last.message.slice(0, SAID) } } : chat;
};

function ending(messages) {
  let room = MOST;
  const found = messages.slice(-MESSAGES).reverse();
  const end = found.findIndex(({ message }) => (room -= message.length) < 0);
  return found.slice(0, end < 0 ? MESSAGES : end).reverse();
}

let isRefused = false;

/** Keep nothing while the login is refused: it may have been ended because this device was lost. */
export function refuseSeen(refused) {
  isRefused = refused;
  if (refused) forgetSeen(state.me.id);
}

/** Remove it: the login has ended. */
export function forgetSeen(userId) {
  for (const kept of [device, tab]) {
    for (const key of kept.keys()) if (key.startsWith(prefix(userId))) kept.remove(key);
  }
}

let timer = null;

/** Keep it from now on. */
export function keepSeen() {
  onChange(() => {
    timer ??= setTimeout(() => {
      timer = null;
      remember();
    }, PAUSE_MS);
  });
  addEventListener("pagehide", remember);
}
