// Notices: what this page itself tells of new messages while it is open but not looked at, where the
// browser is not told by pushes; and what it does for the service worker, which shows those.

import { isLookedAt } from "./absence.js";
import { wants } from "./choices.js";
import { gist, shownName } from "./format.js";
import { alone } from "./locks.js";
import { clear, renew, told } from "./pushes.js";
import { shelf } from "./session.js";
import { nameOf, peerOf, state } from "./store.js";

const PAUSE_MS = 300; // for more of the same chat, and for what was read elsewhere
const KEPT = 50; // ids of messages that were told of

let waiting = new Map(); // by the other person's id: the latest message
let timer = null;
const shown = new Map(); // by the channel: what to close once the chat is read

/** New messages, or some that are known already, have come. */
export function arrived(messages) {
  const news = messages.filter(isNews);
  if (told() !== "open" || !news.length) return;
  // At once, before the pause of the other windows is over: none of them need tell what is seen here.
  if (isLookedAt()) return void news.forEach(isFirst);
  for (const message of news) waiting.set(peerOf(message), message);
  timer ??= setTimeout(tell, PAUSE_MS);
}

function isNews({ id, from_user, deleted_at, edited_at }) {
  const chat = state.chats.get(from_user); // none for my own
  return chat && !chat.muted && id > chat.readId && !deleted_at && !edited_at;
}

async function tell() {
  const messages = [...waiting.values()].filter(isNews);
  waiting = new Map();
  timer = null;
  if (isLookedAt()) return;
  await alone("chat/told", () => messages.filter(isFirst).forEach(show)); // in one of my windows
}

/** Whether no window has told or shown this message yet. From now on one has. */
function isFirst({ id }) {
  const kept = shelf(state.me.id, "told");
  const ids = kept.get("ids") ?? [];
  if (ids.includes(id)) return false;
  kept.set("ids", [...ids, id].slice(-KEPT));
  return true;
}

function show(message) {
  const { channel, from_user } = message;
  const body = gist(message);
  const title = shownName(nameOf(from_user));
  const data = { channel, peer: from_user, messages: [] };
  const options = { body, tag: channel, renotify: true, silent: !wants("sound"), data };
  try {
    const notice = new Notification(title, options);
    notice.addEventListener("click", () => {
      notice.close();
      focus();
      go(from_user);
    });
    shown.set(channel, notice);
  } catch {
    // Browsers of phones have them only from a worker.
    navigator.serviceWorker?.ready.then((worker) => worker.showNotification(title, options));
  }
}

const go = (peer) => (location.hash = `#/${peer}`);

// A chat that was read --------------------------------------------------------------------------

let unread = new Set();

/** Close what tells of chats that have been read, here or on another device. */
export function drawNotices() {
  const now = new Set([...state.chats.values()].filter((chat) => chat.unread).map((chat) => chat.channel));
  for (const channel of unread) if (!now.has(channel)) close(channel);
  unread = now;
}

async function close(channel) {
  shown.get(channel)?.close();
  shown.delete(channel);
  await clear({ tag: channel });
}

/** Close everything, and take the number from the icon: the person is leaving this device. */
export async function closeAll() {
  for (const notice of shown.values()) notice.close();
  await clear();
  await navigator.clearAppBadge?.();
}

// The worker ------------------------------------------------------------------------------------

const channelOf = (peer) => state.chats.get(peer)?.channel;

navigator.serviceWorker?.addEventListener("message", ({ data, ports: [port] }) => {
  if (data.looksAt) port.postMessage(isLookedAt() && channelOf(state.open?.peer) === data.looksAt);
  if (data.knows) port.postMessage([...state.chats.keys()].some((peer) => channelOf(peer) === data.knows));
  if (data.open) go(data.open);
  if (data.resubscribe) renew();
});
