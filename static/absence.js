// What came while nobody looked, or while the line was away. The line "New" goes above it, once for
// each absence, and stays until the reader has answered or is away again.

import { now } from "./clock.js";
import { state } from "./store.js";

const LATE_MS = 10_000; // the line was away for what comes so long after it was sent

/** A window without the focus may lie in sight for hours with nobody before it. */
export const isLookedAt = () => document.visibilityState === "visible" && document.hasFocus();

/** Find out whether something came to the open chat in an absence. Called before each drawing. */
export function noteAbsence(open) {
  const chat = state.chats.get(open.peer);
  if (open.loading || !chat) return;
  const newest = chat.last?.id ?? 0;
  const isNew = newest > (open.newest ?? newest) && newest > chat.readId;
  open.newest = newest;
  if (isLookedAt() && state.connection !== "offline" && !(isNew && isLate(open, chat))) {
    open.absent = false;
  } else if (isNew && !open.absent) {
    open.absent = true;
    open.unreadAfter = chat.readId;
  } else if (open.absent && newest <= chat.readId && !isLookedAt()) {
    open.absent = false; // it was read in another window, or answered there
    open.unreadAfter = null;
  }
}

function isLate(open, { readId }) {
  const first = open.messages.find(({ id, from_user }) => id > readId && from_user === open.peer);
  return first && now() - new Date(first.created_at) > LATE_MS;
}
