// Messages on their way. Each waits in localStorage until the API has answered, so neither a
// lost network nor a closed window loses it. The page gives it an id
// (client_message_id), and the API stores one message for each such id. So asking again is safe,
// even if the first answer got lost, and even for two windows at once.

import { api, Refused } from "./api.js";
import { now } from "./clock.js";
import { chatWith } from "./conversation.js";
import { shelf } from "./session.js";
import { changed, learnMessage, state } from "./store.js";
import { tellOthers } from "./windows.js";

// Another window of the same person has put something here, or removed it.
addEventListener("storage", ({ key }) => key?.startsWith(outbox().prefix) && changed());

const outbox = () => shelf(state.me?.id, "outbox");

/** The messages to a person that were not taken yet, oldest first. */
export function pendingFor(peer) {
  return unsent().filter((each) => each.peer === peer);
}

/** All such messages, no matter to whom. */
export function unsent() {
  return outbox()
    .keys()
    .map((key) => outbox().get(key))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

export function post(peer, text) {
  // The id begins with the time, so that ids sort in the order of writing. (crypto.randomUUID is
  // missing on pages without TLS that are not on localhost.)
  const random = Array.from(crypto.getRandomValues(new Uint32Array(3)), (n) => n.toString(36));
  const id = `${Date.now()}-${random.join("")}`;
  outbox().set(id, { id, peer, text, at: now().toISOString(), error: null });
  changed();
}

export function discard(id) {
  outbox().remove(id);
  changed();
}

export function resend(id) {
  outbox().set(id, { ...outbox().get(id), error: null });
  changed();
}

let sending = false;

/** Send what waits, in order. Throws at the first that cannot be sent for now. */
export async function flush() {
  if (sending) return;
  sending = true;
  try {
    for (let next; (next = unsent().find((each) => !each.error)); ) await deliver(next);
  } finally {
    sending = false;
  }
}

async function deliver({ id, peer, text }) {
  try {
    const { channel } = await chatWith(peer);
    const message = await api.send(channel, text, id);
    outbox().remove(id);
    state.apart.delete(peer);
    learnMessage(message);
    tellOthers();
  } catch (error) {
    if (!(error instanceof Refused) || error.passing) throw error;
    if (error.code === "blocked") state.apart.add(peer);
    // The API will never take it as it is, so the writer decides.
    outbox().set(id, { ...outbox().get(id), error: error.message });
    changed();
  }
}
