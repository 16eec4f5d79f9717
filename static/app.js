// Where the page begins: log in, then hear of everything, then draw what the address names.

import { actAs, api, LoggedOut } from "./api.js";
import { blobs } from "./blobs.js";
import { handToWorker } from "./choices.js";
import { open } from "./conversation.js";
import { moment } from "./format.js";
import { listen, reconnect, refresh, start, stop } from "./live.js";
import { closeAll, drawNotices } from "./notices.js";
import { endMutes } from "./mutes.js";
import { sweep, unsent } from "./outbox.js";
import { dropMine, renew } from "./pushes.js";
import { register } from "./registration.js";
import { forgetSeen, keepSeen, recall } from "./seen.js";
import { end, forget, load } from "./session.js";
import { endLogin, sayOver, stay, token, username } from "./staying.js";
import { device, tab } from "./storage.js";
import { changed, onChange, state } from "./store.js";
import { currentLanguage, fillIn, onLanguage, t } from "./texts.js";
import { ask, attempt } from "./views/ask.js";
import { isAnyAttached } from "./views/attach.js";
import { drawComposer, unsentDrafts } from "./views/composer.js";
import { drawCount } from "./views/count.js";
import "./views/options.js";
import { logIn } from "./views/login.js";
import { drawMessages } from "./views/messages.js";
import { drawSidebar, loadPeople } from "./views/sidebar.js";
import { drawTalk } from "./views/talk.js";
import "./views/keys.js";
import "./views/settings.js";
import { whenDeleted } from "./views/settings/deletion.js";
import "./views/touch.js";
import { watch } from "./watching.js";

const RETRY_MS = 3_000;
const NOTICE = "chat/notice";
const byId = (id) => document.getElementById(id);

let session = null;
let leaving = false;
let listening = null; // while the page starts, see conversation.js
let seenAt = null; // when what is on the screen was the last state, until the chats have come

/** The login has ended. What was typed and the address stay: the person may be back. */
function endSession() {
  if (leaving) return;
  tab.set(NOTICE, { notice: t("login.ended"), username: username() ?? session.username });
  leave();
}

/** Leaving is a reload: nothing of one person stays in memory for the next. */
function leave() {
  leaving = true;
  end(token() ?? session.token);
  forgetSeen(session.id);
  location.reload();
}

async function logOut({ hasEnded = false } = {}) {
  const waiting = unsent().length;
  const warnings = [
    waiting && t("logout.unsent", { count: waiting }),
    (unsentDrafts() || isAnyAttached()) && t("logout.drafts"),
  ].filter(Boolean);
  const warning = warnings.join(" ") || t("logout.password");
  if (!(await ask(t("logout.ask"), warning, t("logout")))) return;
  // Without a connection a login ends when it expires.
  await leaveForGood(hasEnded ? () => {} : () => endLogin().catch(() => {}));
}

/** With the person goes all that this device has of them. `last` is done while they still can. */
async function leaveForGood(last) {
  leaving = true;
  stop();
  await attempt(dropMine());
  await closeAll().catch(() => {}); // the browser may refuse it, and they leave all the same
  await last();
  sayOver();
  await forget(state.me.id);
  history.replaceState(null, "", location.pathname);
  leave();
}

/** #/7 is the chat with user 7, #/7/123 the same around message 123. */
function route() {
  const [, peer, around] = location.hash.match(/^#\/(\d+)(?:\/(\d+))?$/) ?? [];
  if (!peer || Number(peer) === state.me.id) {
    state.open = null;
    changed();
    return null;
  }
  return attempt(open(Number(peer), { around: around ? Number(around) : null, listening }));
}

/** A link to the address where the page already is changes no address, but is meant: a message
 * that was found may be out of sight again. */
function routeAgain(event) {
  const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey; // a window of its own
  const hash = event.target.closest("a")?.hash;
  if (hash === location.hash && /^#\/\d+\/\d+$/.test(hash) && !elsewhere) route();
}

function draw() {
  const open = state.open;
  byId("chat").classList.toggle("talking", open !== null);
  watch();
  drawConnection();
  drawCount();
  drawNotices();
  drawSidebar();
  drawTalk();
  drawMessages();
  drawComposer();
}

function drawConnection() {
  const line = byId("connection");
  const parts = [
    // While the first connection is on its way there is nothing to say: it would move the page.
    !["live", "connecting"].includes(state.connection) && t(`connection.${state.connection}`),
    state.connection === "offline" && !state.loaded && seenAt && t("connection.seen", { at: moment(seenAt) }),
    !(device.lasting && blobs.lasting) && t("connection.not-kept"),
  ];
  const text = parts.filter(Boolean).join(" ");
  if (line.textContent !== text) line.textContent = text;
  line.className = state.connection;
}

/** Wait until the server can be reached, and does this. */
async function whenReached(act) {
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (error instanceof LoggedOut) throw error;
      state.connection = "offline";
      changed();
      await new Promise((rest) => setTimeout(rest, RETRY_MS));
    }
  }
}

async function begin() {
  actAs(session.token);
  byId("starting").hidden = true;
  byId("outline").remove();
  byId("login").remove();
  byId("chat").hidden = false;
  state.me = { id: session.id, username: session.username };
  seenAt = recall();
  if (seenAt) keepGoing(); // what was seen last is on the screen, and can be written on
  onChange(draw);
  addEventListener("hashchange", route);
  byId("lists").addEventListener("click", routeAgain);
  byId("logout").addEventListener("click", () => logOut());
  whenDeleted(() => leaveForGood(() => tab.set(NOTICE, { notice: t("deletion.done") })));
  keepSeen();
  // Two answers come at once, then the messages, and what can wait comes after them. What is sent in
  // the moment between the two answers is in the list with the next look at the chats (live.js).
  listening = whenReached(listen);
  const chats = whenReached(refresh);
  chats.catch(() => {}); // the same fault as that of `listening`
  const shown = route();
  await listening;
  if (!seenAt) keepGoing();
  await Promise.all([chats, shown]);
  listening = null;
  const joined = start();
  if (state.chats.size) await joined; // who has somebody to talk to needs no list of others at once
  attempt(loadPeople());
  attempt(learnMe());
  sweep();
  endMutes();
  await register();
  attempt(handToWorker());
  attempt(renew());
}

const keepGoing = () =>
  stay(session, { again, over: endSession, leave: () => logOut({ hasEnded: true }) });

/** Who is logged in here knows only the id and the user name at first. */
async function learnMe() {
  state.me = await whenReached(api.me);
  changed();
}

/** Go on after a log-in in place: what belonged to the last login has ended with it. */
function again() {
  reconnect();
  attempt(renew());
}

// Without these the page could only fail later. The document then keeps the sentence that says so.
if (!Array.prototype.at || !window.HTMLDialogElement) throw new Error("This browser is too old.");

function speak() {
  document.documentElement.lang = currentLanguage();
  fillIn(document);
  changed();
  if (state.me) attempt(handToWorker());
}

onLanguage(speak);
speak();
const last = tab.get(NOTICE) ?? {};
session = load() ?? (await logIn(last));
tab.remove(NOTICE);
// Another person had a chat open here. This one does not begin with it.
if (last.username && last.username !== session.username) history.replaceState(null, "", location.pathname);
try {
  await begin();
} catch (error) {
  if (!(error instanceof LoggedOut)) throw error;
  endSession(); // before anything was on the screen
}
