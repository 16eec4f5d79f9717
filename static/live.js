// How the page hears of things: by events from the Pusher server while it is connected, and by
// GET /api/sync for all that it missed, because an event is gone if nobody was connected.
// Without pusher-js there is only this catching up, every few seconds.

import {
  api,
  authorization,
  CHANNEL_AUTHORIZATION,
  leaveOut,
  LoggedOut,
  Refused,
  USER_AUTHENTICATION,
} from "./api.js";
import { learnBlocks } from "./blocks.js";
import { retry } from "./conversation.js";
import { arrived } from "./notices.js";
import { flush, flushFor } from "./outbox.js";
import { appear, forgetOthers } from "./presence.js";
import {
  changed,
  isBlocked,
  learnChats,
  learnFirstChats,
  learnMark,
  learnMessage,
  peerOf,
  state,
} from "./store.js";
import { isOpenAgain, watchBy } from "./watching.js";
import { onNews } from "./windows.js";

const MOST_PAGES = 5; // of a sync; after a longer absence it is quicker to load anew
const LIVE_MS = 60_000; // hosted Pusher delivers at most once, so look even while live
const POLL_MS = 3_000;
const AWAY_MS = 15_000;
const JOINING_MS = 15_000; // for which the first connection may take
const PATIENCE_MS = 4_000; // pusher-js may wait 15 seconds before it tries again

let cursor;
let pusher, notifications;
let lostAt = 0;
let stopped = false;
let startedAt = 0;
let joined = false;
let goOn;
const goneOn = new Promise((resolve) => (goOn = resolve));

/** Have nothing get lost: the next sync has all that happens after this. */
export async function listen() {
  cursor = (await api.sync()).cursor;
}

/**
 * Hear of everything that concerns this user, from now on. The chats have just been loaded. Resolves
 * when events come, or when there is no use in waiting for that.
 */
export function start() {
  startedAt = Date.now();
  connect();
  setTimeout(goOn, JOINING_MS);
  addEventListener("online", look);
  addEventListener("offline", look);
  document.addEventListener("visibilitychange", look);
  onNews(look);
  keepUp();
  return goneOn;
}

/** Hear of nothing any more: a page that is left need not ask why the server hung up. */
export function stop() {
  stopped = true;
  // A socket that is not open yet goes with the page; closing it now would log an error.
  if (pusher?.connection.state === "connected") pusher.disconnect();
  rise();
}

// Catching up ----------------------------------------------------------------------------------

let wanted = false;
let stale = false; // whether there may be news of which no sync tells: read marks and blocks
let rise = () => {};

/** Look now: something may be new, or over. */
export function look() {
  stale = true;
  catchUpSoon();
}

function catchUpSoon() {
  wanted = true;
  rise();
}

/** Send what waits to be sent. */
export const sendWaiting = () => flush().then((again) => again && look(), look);

async function keepUp() {
  for (let failures = 0, first = true; !stopped; first = false) {
    wanted = false;
    let again = false;
    try {
      if (!first) await catchUp();
      again = await flushFor(POLL_MS, look);
      revive();
      await retry(); // awaited: otherwise a LoggedOut in there would go unnoticed
      if (failures && !pusher) await connect();
      failures = 0;
    } catch (error) {
      if (error instanceof LoggedOut) return;
      failures += 1;
    }
    show(failures);
    // Each page waits a different time: otherwise all would come back to a server at once.
    const pause = Math.min(POLL_MS * 1.3 ** failures, AWAY_MS) * (0.7 + 0.6 * Math.random());
    await rest(isLive() && !failures && !again ? LIVE_MS : pause);
    if (!wanted && !isJoining()) stale = true;
  }
}

async function rest(ms) {
  if (wanted) return;
  let timer;
  await new Promise((resolve) => {
    rise = resolve;
    timer = setTimeout(resolve, ms);
  });
  clearTimeout(timer);
}

function show(failures) {
  const before = state.connection;
  if (failures) state.connection = "offline";
  else if (isLive()) state.connection = "live";
  else if (isJoining()) state.connection = "connecting";
  else state.connection = window.Pusher ? "catching-up" : "polling";
  if (before !== state.connection) changed();
}

async function catchUp() {
  const news = [];
  try {
    for (let page = 1; ; page += 1) {
      const found = await api.sync(cursor);
      cursor = found.cursor;
      found.messages.forEach(learnMessage);
      news.push(...found.messages);
      if (!found.more) break;
      if (page === MOST_PAGES) return await anew();
    }
  } catch (error) {
    // 400: the cursor is from a database that no longer exists.
    if (error instanceof Refused && error.status === 400) return await anew();
    throw error;
  }
  if (stale) await refresh(); // the read marks come with the chats
  arrived(news);
}

async function anew() {
  await listen();
  if (state.open) state.open.reload = true; // first: what was missed is not read by being listed
  await refresh();
}

let refreshing = null;

/** The chats with the latest activity, and whom I have blocked. */
export function refresh() {
  stale = false;
  refreshing ??= Promise.all([api.chats(), learnBlocks()])
    .then(([page]) => {
      // Only at first: after that the cursor moves when older chats are loaded.
      if (!state.loaded) state.moreChats = page.cursor;
      if (state.loaded) learnChats(page.items);
      else learnFirstChats(page.items);
      changed();
    })
    .catch((error) => {
      stale = true;
      throw error;
    })
    .finally(() => (refreshing = null));
  return refreshing;
}

// Events ---------------------------------------------------------------------------------------

/** Whether the first connection is still on its way. */
const isJoining = () => Boolean(PUSHER) && !joined && Date.now() - startedAt < JOINING_MS;

/** What GET /api/config says; the document brings it along. */
const SERVER = JSON.parse(document.getElementById("server").textContent);
const { pusher: PUSHER } = document.documentElement.dataset;

/** pusher-js is not part of the page's modules: it comes when the messages are on the screen. */
async function loadPusher() {
  try {
    if (PUSHER && !window.Pusher) await import(PUSHER);
  } catch {
    // The line was cut: `keepUp` tries again when the server answers.
  }
  return window.Pusher;
}

const isLive = () => pusher?.connection.state === "connected" && notifications?.subscribed;

async function connect() {
  const loaded = await loadPusher();
  if (!loaded) {
    startedAt = 0; // nothing is on its way
    goOn();
  }
  if (!loaded || pusher) return catchUpSoon();
  const { key, ...options } = SERVER;
  pusher = new window.Pusher(key, {
    ...options,
    enabledTransports: ["ws"], // with TLS where forceTLS says so; "wss" would try it where it is not
    channelAuthorization: { endpoint: CHANNEL_AUTHORIZATION, headersProvider: authorization },
    userAuthentication: { endpoint: USER_AUTHENTICATION, headersProvider: authorization },
  });
  pusher.signin(); // so that the server finds this connection when the login ends
  pusher.connection.bind("state_change", ({ current }) => {
    leaveOut(current === "connected" ? pusher.connection.socket_id : null);
    if (current === "connected") return;
    lostAt ||= Date.now();
    forgetOthers();
    look();
  });

  notifications = pusher.subscribe(`private-notification_user_${state.me.id}`);
  // From here on events come. What happened before comes by a sync.
  notifications.bind("pusher:subscription_succeeded", () => {
    (joined ? look : catchUpSoon)(); // the first time the chats have just been loaded
    joined = true;
    goOn();
  });
  notifications.bind("new_chat", (chat) => {
    if (chat.message) hear(chat.message);
    else refresh().catch(look);
  });
  for (const name of ["message_updated", "message_deleted"]) notifications.bind(name, hear);
  notifications.bind("message_read", learnMark);
  appear(pusher);
  watchBy(pusher, hear);
}

/** Take a message from an event. If its long text was cut, ask for the whole one. */
async function hear(message) {
  try {
    if (message.truncated) message = (await api.message(message.channel, message.id)) ?? message;
    const chat = state.chats.get(peerOf(message));
    isOpenAgain(message.channel);
    // A deletion, and a chat that is new here, change how many messages are unread. And who can
    // write to me has not blocked me any more.
    const recount = !chat || isBlocked(chat.peer) || (message.deleted_at && message.id > chat.readId);
    learnMessage(message);
    if (recount) await refresh();
    arrived([message]);
  } catch {
    look();
  }
}

/** Do what pusher-js does not: ask again after a refusal, and soon after a server was away. */
function revive() {
  if (!pusher) return;
  if (pusher.connection.state === "connected") {
    lostAt = 0;
    for (const channel of pusher.allChannels()) {
      if (!channel.subscribed && !channel.subscriptionPending) pusher.subscribe(channel.name);
    }
  } else if (lostAt && Date.now() - lostAt > PATIENCE_MS) {
    lostAt = Date.now();
    pusher.disconnect();
    pusher.connect();
  }
}

/** Connect anew, after a log-in or a new password: the server closes what had the last token. */
export function reconnect() {
  pusher?.disconnect();
  pusher?.connect();
  look();
}
