// The other windows of this browser: each tells the others, by the user's id, that there is news.
// Events do not do it, because one's own messages go to the open chat's channel only.

import { state } from "./store.js";

const others = channel("chat");

/** Null where the browser has none, or refuses it together with storage. */
export function channel(name) {
  try {
    return new BroadcastChannel(name);
  } catch {
    return null;
  }
}

export const tellOthers = () => others?.postMessage(state.me.id);

export const onNews = (look) =>
  others?.addEventListener("message", ({ data }) => data === state.me.id && look());
