// Messages on their way. Each waits on this device until the API has answered, so neither a
// lost network nor a closed window loses it. The page gives it an id
// (client_message_id), and the API stores one message for each such id. So asking again is safe,
// even if the first answer got lost, and even for two windows at once. What is written to one person
// goes out in the order of writing; an upload to one holds up nobody else.

import { api, Refused } from "./api.js";
import { blobs } from "./blobs.js";
import { now } from "./clock.js";
import { chatWith } from "./conversation.js";
import { announce } from "./dom.js";
import { alone } from "./locks.js";
import { shelf } from "./session.js";
import { changed, learnMessage, learnPerson, state } from "./store.js";
import { t } from "./texts.js";
import { cancel, upload } from "./uploads.js";
import { tellOthers } from "./windows.js";

// Another window of the same person has put something here, or removed it.
addEventListener("storage", ({ key, newValue }) => {
  const { prefix } = outbox();
  if (!key?.startsWith(prefix)) return;
  if (newValue === null) cancel(key.slice(prefix.length));
  changed();
});

const TRIES = 5;
const LEFT_BEHIND_MS = 3_600_000; // bytes without a message this old: the window closed in between
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
    .filter((each) => each?.id && each.peer && (each.text || each.file))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

/**
 * Have a message sent. `file` is what attachments.js has made ready, `replyTo` the quote of another
 * message; both may be absent.
 */
export async function post(peer, text, { file = null, replyTo = null } = {}) {
  // The id begins with the time, so that ids sort in the order of writing, also if the clock has
  // stepped back. (crypto.randomUUID is missing on pages without TLS that are not on localhost.)
  const random = Array.from(crypto.getRandomValues(new Uint32Array(3)), (n) => n.toString(36));
  latest = Math.max(Date.now(), latest + 1, parseInt(unsent().at(-1)?.id ?? 0) + 1);
  const id = `${latest}-${random.join("")}`;
  const message = { id, peer, text, at: now().toISOString(), error: null, replyTo };
  if (file) {
    const { blob, ...about } = file;
    message.file = about;
    await blobs.set(place(id), blob); // first: a message without its bytes could never be sent
  }
  outbox().set(id, message);
  changed();
}

let latest = 0;

/** What waits, as the message it will be. */
export const asMessage = ({ id, text, at, error, file, replyTo }) => ({
  id, // its own for now; not a number
  type: file ? (file.width ? "Image" : "File") : "Text",
  message: text,
  created_at: at,
  from_user: state.me.id,
  file,
  reply_to: replyTo,
  pending: true,
  error,
});

/** Where the bytes of a message's file are. */
const place = (id) => `${state.me.id}/${id}`;

export const bytesOf = (id) => blobs.get(place(id));

/** Forget a message: it was sent, or is not to be. */
export function discard(id) {
  const isFile = outbox().get(id)?.file;
  outbox().remove(id);
  if (isFile) {
    cancel(id);
    blobs.remove(place(id)).then(changed);
  }
  changed();
}

/** Remove the bytes of which a window was closed before their message was there. */
export async function sweep() {
  for (const key of await blobs.keys(place(""))) {
    const id = key.slice(place("").length);
    const isOld = parseInt(id) < Date.now() - LEFT_BEHIND_MS;
    if (isOld && !outbox().get(id)) await blobs.remove(key);
  }
}

export function resend(id) {
  failures.delete(id);
  blame(id, null);
}

/** Say why a message cannot be sent; null: it is to be tried. */
function blame(id, error) {
  const known = outbox().get(id);
  if (error) announce(t("fault.unsent"));
  if (known) outbox().set(id, { ...known, error }); // another window may have sent or discarded it
  changed();
}

const busy = new Set(); // people to whom something is on its way

/**
 * Send what waits: to each person in order, and to all of them side by side. Throws if nothing can
 * be sent for now. Returns whether the server failed at some of it, which is worth another try soon.
 */
export async function flush() {
  const waiting = unsent().filter(({ error, peer }) => !error && !busy.has(peer));
  const peers = new Set(waiting.map(({ peer }) => peer));
  const ends = await Promise.allSettled([...peers].map(flushTo));
  const failed = ends.find(({ status }) => status === "rejected");
  if (failed) throw failed.reason;
  return ends.some(({ value }) => value);
}

/** The same, but for `ms` at most, since an upload may take minutes. `look` is for what ends later. */
export async function flushFor(ms, look) {
  const sent = flush();
  const enough = new Promise((resolve) => setTimeout(resolve, ms, null));
  const again = await Promise.race([sent, enough]);
  if (again === null) sent.then((late) => late && look(), look);
  return again;
}

/** Returns whether the first that waits has to be tried again: what follows must not overtake it. */
async function flushTo(peer) {
  busy.add(peer);
  try {
    for (let next; (next = pendingFor(peer).find(({ error }) => !error)); ) {
      if (!(await deliver(next))) return true;
    }
    return false;
  } finally {
    busy.delete(peer);
  }
}

/** Returns false if the message has to be tried again. */
async function deliver(message) {
  const { id, peer } = message;
  try {
    const { channel } = await chatWith(peer);
    const sent = await send(channel, message);
    if (!sent) return true; // another window has sent it meanwhile
    discard(id);
    state.apart.delete(peer);
    learnMessage(sent);
    tellOthers();
  } catch (error) {
    if (!outbox().get(id)) return true; // discarded meanwhile
    if (!isItsOwn(error, message)) throw error;
    if (error.code === "blocked") state.apart.add(peer);
    if (error.status === 404) learnPerson(await api.person(peer)); // no event tells of a deletion
    const tries = (failures.get(id) ?? 0) + 1;
    failures.set(id, tries);
    const passing = !(error instanceof Refused) || error.passing;
    if (passing && tries < TRIES) return false;
    // The API will not take it as it is, so the writer decides.
    if (error.status === 409 && message.replyTo) unquote(message);
    else blame(id, error.message);
  }
  failures.delete(id);
  return true;
}

function send(channel, { id, text, file, replyTo }) {
  if (!file) return api.send(channel, text, id, replyTo?.id);
  // Two windows would send it once, too, but with twice the bytes.
  return alone(`chat/${place(id)}`, async () => {
    if (!outbox().get(id)) return null;
    const bytes = await bytesOf(id);
    if (!bytes) throw new Refused(410, { code: "gone", message: t("file.gone-unsent") });
    return upload(id, { channel, bytes, name: file.name, text, replyTo: replyTo?.id });
  });
}


/** What is answered was deleted meanwhile. The text stays, and the writer decides. */
function unquote(message) {
  const error = t("fault.unquoted");
  outbox().set(message.id, { ...message, replyTo: null, error });
  changed();
}

/** Whether it is this message that fails: the server is there, and takes others. */
function isItsOwn({ status, code, begun }, { file }) {
  if (file && (begun || code === "unavailable")) return true; // a lossy line; no room for files
  return status >= 400 && status !== 429 && status !== 503;
}
