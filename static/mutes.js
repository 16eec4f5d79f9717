// Chats that stay silent. The API knows which; until when, only the device knows on which it was
// chosen. It turns them on again, as soon as a window is open after that time.

import { account } from "./account.js";
import { now } from "./clock.js";
import { shelf } from "./session.js";
import { changed, state } from "./store.js";
import { tellOthers } from "./windows.js";

const MOST_MS = 60_000; // between two looks, because timers do not run while a device sleeps
const kept = () => shelf(state.me.id, "mute"); // the other person's id -> {channel, until}

/** Until when the chat with a person is muted, as an ISO time; null if that is open. */
export const mutedUntil = (peer) => kept().get(peer)?.until ?? null;

/** Mute a chat for so many hours, or until it is turned on. */
export async function mute(peer, hours = null) {
  const { channel } = state.chats.get(peer);
  await account.mute(channel);
  const until = hours && new Date(now().getTime() + hours * 3_600_000).toISOString();
  if (until) kept().set(peer, { channel, until });
  else kept().remove(peer);
  learn(peer, true);
}

export async function unmute(peer, { channel } = state.chats.get(peer)) {
  await account.unmute(channel);
  kept().remove(peer);
  learn(peer, false);
}

function learn(peer, muted) {
  const chat = state.chats.get(peer);
  if (chat) chat.muted = muted;
  changed();
  tellOthers();
}

/** Turn on again, from now on, what is due. */
export async function endMutes() {
  for (const peer of kept().keys().map(Number)) {
    const mute = kept().get(peer);
    if (mute && new Date(mute.until) <= now()) await unmute(peer, mute).catch(() => {}); // next time
  }
  setTimeout(endMutes, MOST_MS);
}
