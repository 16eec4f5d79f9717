// Messages on their way. Each waits on this device until the API has answered, so neither a
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

const TRIES = 5;
const failures = new Map(); // how often the server failed at a message, by the message's id

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
    // Another window may have removed it just now; and what others have written here is none.
    .filter((each) => each?.id && each.peer && each.text)
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

export function post(peer, text) {
  // The id begins with the time, so that ids sort in the order of writing, also if the clock has
  // stepped back. (crypto.randomUUID is missing on pages without TLS that are not on localhost.)
  const random = Array.from(crypto.getRandomValues(new Uint32Array(3)), (n) => n.toString(36));
  const last = parseInt(unsent().at(-1)?.id ?? 0);
  const id = `${Math.max(Date.now(), last + 1)}-${random.join("")}`;
  outbox().set(id, { id, peer, text, at: now().toISOString(), error: null });
  changed();
}

export function discard(id) {
  outbox().remove(id);
  changed();
}

export function resend(id) {
  failures.delete(id);
  blame(id, null);
}

/** Say why a message cannot be sent; null: it is to be tried. */
function blame(id, error) {
  const known = outbox().get(id);
  if (known) outbox().set(id, { ...known, error }); // another window may have sent or discarded it
  changed();
}

let sending = false;

/**
 * Send what waits, in order. Throws if nothing can be sent for now. Returns whether the server
 * failed at some of it, which is worth another try soon.
 */
export async function flush() {
  if (sending) return false;
  sending = true;
  const held = new Set(); // people: what was written to them later must not overtake
  const isNext = ({ error, peer }) => !error && !held.has(peer);
  try {
    for (let next; (next = unsent().find(isNext)); ) {
      if (!(await deliver(next))) held.add(next.peer);
    }
    return held.size > 0;
  } finally {
    sending = false;
  }
}

/** Returns false if the message has to be tried again. */
async function deliver({ id, peer, text }) {
  try {
    const { channel } = await chatWith(peer);
    const message = await api.send(channel, text, id);
    outbox().remove(id);
    state.apart.delete(peer);
    learnMessage(message);
    tellOthers();
  } catch (error) {
    if (!isItsOwn(error)) throw error;
    if (error.code === "blocked") state.apart.add(peer);
    const tries = (failures.get(id) ?? 0) + 1;
    failures.set(id, tries);
    const passing = !(error instanceof Refused) || error.passing;
    if (passing && tries < TRIES) return false;
    // The API will not take it as it is, so the writer decides.
    blame(id, error.message);
  }
  failures.delete(id);
  return true;
}

/** Whether it is this message that fails: the server is there, and takes others. */
const isItsOwn = ({ status }) => status >= 400 && status !== 429 && status !== 503;
