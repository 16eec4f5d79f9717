// The chats that are listened to: the open one, and the first of the list whose people are online.
// Only on a chat's own channel is heard who is typing, and what I send from another window.

import { isShown } from "./presence.js";
import { changed, chatsInOrder, isBlocked, isOnline, state } from "./store.js";

const MOST = 10; // beside the open one: each costs a request, and hears each message twice
const SHOW_MS = 4_000;
const SAY_MS = 2_000;

let pusher = null;
let hear, opened;
const watched = new Map(); // pusher-js's channels by their names
const refused = new Set(); // the names of those of people who have blocked us
const timers = new Map(); // by the ids of those who are typing
let saidAt = 0;

/** Listen by this connection; `act` is called with each message. */
export function watchBy(given, act) {
  pusher = given;
  hear = act;
  changed();
}

/** Listen to what is in sight now, and to no other chat. */
export function watch() {
  if (!pusher) return;
  const wanted = inSight();
  if (opened !== state.open?.peer) refused.clear(); // another try
  opened = state.open?.peer;
  const names = new Set(wanted.map(({ channel }) => channel));
  for (const name of watched.keys()) if (!names.has(name)) leave(name);
  for (const { channel, peer } of wanted) {
    if (!watched.has(channel) && !refused.has(channel)) join(channel, peer);
  }
}

function inSight() {
  const open = state.chats.get(state.open?.peer);
  const isThere = ({ peer, last }) => last && peer !== open?.peer && isOnline(peer);
  const others = state.online.size ? chatsInOrder().filter(isThere).slice(0, MOST) : [];
  return open && !isBlocked(open.peer) ? [open, ...others] : others;
}

function join(name, peer) {
  const channel = pusher.subscribe(name);
  watched.set(name, channel);
  channel.bind("new_message", hear);
  channel.bind("client-typing", () => showTyping(peer));
  channel.bind("pusher:subscription_error", ({ status }) => {
    if (status !== 403) return; // it is asked for again with all others, see live.js
    leave(name);
    refused.add(name);
  });
}

function leave(name) {
  pusher.unsubscribe(name);
  watched.delete(name);
}

/** Who can write to me has not blocked me any more. */
export const isOpenAgain = (name) => refused.delete(name);

function showTyping(peer) {
  state.typing.add(peer);
  clearTimeout(timers.get(peer));
  const timer = setTimeout(() => {
    state.typing.delete(peer);
    changed();
  }, SHOW_MS);
  timers.set(peer, timer);
  changed();
}

export function sayTyping() {
  const channel = watched.get(state.chats.get(state.open?.peer)?.channel);
  if (!channel?.subscribed || !isShown() || Date.now() - saidAt < SAY_MS) return;
  saidAt = Date.now();
  channel.trigger("client-typing", {});
}

export function sayDone() {
  saidAt = 0;
}
