// The service worker: it runs without a page, is told of new messages there (Web Push), and shows
// them. It is a classic script, because not every browser takes modules here.
//
// What else it does is in opening.js, which the server puts behind this (web/page.py): one request
// brings both.

/** Where the page is: beside this script. */
const PAGE = new URL("./", self.location).href;
const SHOWN = 4; // texts of a chat in its notification
const PATIENCE_MS = 500; // for a window to say what it shows

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

/** The windows of the page. Other documents are here as well, such as that of the API. */
async function windows() {
  const all = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  return all.filter(({ url }) => new URL(url).pathname === new URL(PAGE).pathname);
}

// New messages ------------------------------------------------------------------------------------

let turn = Promise.resolve(); // two pushes at once would each miss what the other one shows

self.addEventListener("push", (event) => {
  const message = event.data?.json();
  if (!message) return;
  turn = turn.then(() => tell(message));
  event.waitUntil(turn);
  turn = turn.catch(() => {}); // the browser has reported it; the next one is shown all the same
});

async function tell(message) {
  if (await isLookedAt(message)) return;
  const choices = await chosen();
  const { title, ...options } = notificationOf(message, await shownOf(message.channel), choices);
  await self.registration.showNotification(title, options);
  if (choices.badge) await drawBadge();
}

/** What the person has chosen on the page, and words of their language (choices.js). */
async function chosen() {
  const cache = await self.caches.open("chat/choices");
  const kept = await cache.match(new URL("choices", PAGE));
  return kept ? kept.json() : { sound: true, badge: false, words: {} };
}

/** The number on the icon. The page, once it is open, knows it better. */
async function drawBadge() {
  const all = await self.registration.getNotifications();
  const ids = all.flatMap(({ data }) => data.messages);
  await self.navigator.setAppBadge?.(ids.length);
}

/** Whether somebody has this chat before their eyes. */
async function isLookedAt(message) {
  const looking = (await windows()).filter(
    ({ focused, visibilityState }) => focused && visibilityState === "visible",
  );
  const answers = await Promise.all(looking.map((client) => ask(client, { looksAt: message.channel })));
  return answers.includes(true);
}

/** What a window answers; undefined if it says nothing, as while it is loading. */
function ask(client, question) {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => resolve(data);
    setTimeout(resolve, PATIENCE_MS);
    client.postMessage(question, [port2]);
  });
}

/** The messages of a chat that its notification shows now. */
async function shownOf(channel) {
  const shown = await self.registration.getNotifications({ tag: channel });
  return shown.flatMap(({ data }) => data.messages);
}

/** One for each chat. A message may come twice, and after a later one. */
function notificationOf(message, shown, { sound, words }) {
  const { channel, from_user, id } = message;
  const isNew = !shown.some((each) => each.id === id);
  const text = [words[message.type], message.message].filter(Boolean).join(": ");
  const all = isNew ? [...shown, { id, text }] : shown;
  const messages = all.sort((a, b) => a.id - b.id).slice(-SHOWN);
  return {
    title: message.display_name || message.username || words.nobody || "Chitchat",
    body: messages.map(({ text }) => text).join("\n"),
    tag: channel,
    renotify: isNew,
    silent: !sound,
    data: { channel, peer: from_user, messages },
  };
}

/** The browser has ended its subscription, or made another one. A page has to let the API know: the
 * next one that is open. */
self.addEventListener("pushsubscriptionchange", (event) => {
  const toldAll = windows().then((open) => open.forEach((each) => each.postMessage({ resubscribe: true })));
  event.waitUntil(toldAll);
});

// A click -----------------------------------------------------------------------------------------

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(show(event.notification.data));
});

/** Show the chat in a window that is open, or else in a new one. Others may be of another person. */
async function show({ channel, peer }) {
  const open = await windows();
  const answers = await Promise.all(open.map((client) => ask(client, { knows: channel })));
  const client = open[answers.indexOf(true)];
  if (!client) return self.clients.openWindow(`${PAGE}#/${peer}`);
  client.postMessage({ open: peer });
  return client.focus();
}
