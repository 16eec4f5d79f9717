// Whom I have blocked. Blocks that others make are known only from the chats and from refusals,
// see `isBlocked`.

import { api } from "./api.js";
import { changed, learnPerson, state } from "./store.js";
import { tellOthers } from "./windows.js";

let changes = 0; // an answer that was asked for before one of mine is out of date

/** Ask whom I have blocked: another window or device may have changed it. */
export async function learnBlocks() {
  const before = changes;
  const blocks = await api.blocks();
  if (before !== changes) return;
  state.blocked = new Set(blocks.map(({ id }) => id));
  blocks.forEach(learnPerson);
}

export async function block(peer) {
  changes += 1;
  state.blocked.add(peer);
  changed(); // leaves the chat's channel, which will not be ours in a moment
  try {
    await api.block(peer);
  } catch (error) {
    state.blocked.delete(peer);
    throw error;
  } finally {
    changes += 1;
    changed();
    tellOthers();
  }
}

export async function unblock(peer) {
  await api.unblock(peer);
  changes += 1;
  state.blocked.delete(peer);
  state.apart.delete(peer); // unless the other one has blocked me, too: then the chats say so
  changed();
  tellOthers();
}
