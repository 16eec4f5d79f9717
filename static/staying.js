// Stays logged in. A token holds for a day, or for a month with "Stay logged in". One window at a
// time trades it for a new one in good time; the others hear of it, because that ends the old one.
// If it has ended all the same, the password is asked for in place, and all that waits goes on.

import { actAs, api, loggedIn, LoggedOut, whenRefused } from "./api.js";
import { now } from "./clock.js";
import { alone } from "./locks.js";
import { refuseSeen } from "./seen.js";
import { loadStaying, save } from "./session.js";
import { logInAgain } from "./views/again.js";
import { channel } from "./windows.js";

const SHARE = 1 / 4; // of its time, after which a token is traded: back in three weeks, one stays
const MOST_MS = 60_000; // between two looks, because timers do not run while a device sleeps
const LEAST_MS = 1_000;
const FAILED_MS = 5_000;

const logins = channel("chat/login");
let session = null;
let on = null;
let timer;
let asking = null; // while the password is asked for
let departure = null; // while the account is being ended

/**
 * Keep this session going. `acts.again` is called after a log-in in place, `acts.over` when the
 * person has logged out in another window, and `acts.leave` when they want to leave instead.
 */
export function stay(given, acts) {
  session = given;
  on = acts;
  whenRefused(hasAnother);
  addEventListener("storage", adopt);
  for (const wake of ["online", "focus", "pageshow"]) addEventListener(wake, look);
  document.addEventListener("visibilitychange", look);
  logins?.addEventListener("message", ({ data }) => {
    if (data.over === session.token) on.over();
    else if (data.was === session.token) take(data.session);
  });
  plan(LEAST_MS);
}

export const token = () => session?.token;

/** The name to log in with, which may have changed since the page was opened. */
export const username = () => session?.username;

/** End the login. Another window may be trading its token, which would then go on with the next. */
export const endLogin = () =>
  alone("chat/login", () => {
    adopt();
    return api.logout();
  });

/** Have the windows that share this session leave, too. */
export const sayOver = () => logins?.postMessage({ over: session.token });

/** Go on with what a log-in, a refresh or a new password has answered. */
export function renew(answer) {
  const was = session.token;
  take(keep(answer));
  logins?.postMessage({ was, session });
}

/** Do what voids the token and answers with another one. What is refused meanwhile waits for it. */
export const trading = (act) => loggedIn(() => alone("chat/login", async () => renew(await act())));

/** Log in by another user name from now on. */
export function rename(username) {
  const { token, last } = session;
  session = { ...keep({ ...session, username }), last };
  logins?.postMessage({ was: token, session });
}

/** Store it where the last one was, unless somebody else stays logged in on this device by now. */
function keep(login) {
  const isOurs = [undefined, session.id].includes(loadStaying()?.id);
  return save(login, session.stays && isOurs);
}

function take(other) {
  session = other;
  actAs(session.token);
  asking?.done();
}

/** Go on with what another window has stored. */
function adopt() {
  const kept = loadStaying();
  const isOurs = kept?.id === session.id && (session.stays || asking);
  if (isOurs && kept.token !== session.token) take(kept);
}

// In good time --------------------------------------------------------------------------------

const plan = (ms) => {
  clearTimeout(timer);
  timer = setTimeout(look, ms);
};

/** What a token says of itself, in milliseconds. */
function life(token) {
  const [, claims] = token.split(".");
  const { iat, exp } = JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/")));
  return { made: 1000 * iat, ends: 1000 * exp };
}

/** In how many milliseconds it is to be traded; never, if that would win no time. */
function dueIn() {
  const { made, ends } = life(session.token);
  return session.last ? Infinity : made + SHARE * (ends - made) - now();
}

/** Trade the token if it is time to. */
async function look() {
  let pause = LEAST_MS;
  if (dueIn() <= 0 && !asking) {
    const { token } = session;
    const error = await alone("chat/login", trade);
    if (error instanceof LoggedOut) await hasAnother(token);
    else if (error) pause = FAILED_MS;
  }
  plan(Math.min(Math.max(dueIn(), pause), MOST_MS));
}

/** Returns why it failed, if it did. */
async function trade() {
  adopt();
  if (dueIn() > 0) return null; // another window has done it meanwhile
  try {
    const until = life(session.token).ends;
    renew(await api.refresh());
    session.last = life(session.token).ends <= until;
    return null;
  } catch (error) {
    return error;
  }
}

// Too late ------------------------------------------------------------------------------------

/** Ask for no password any more, unless it turns out that the account has not ended. */
export function departing(ended) {
  const forever = () => new Promise(() => {}); // the page is being left
  departure = ended.then(forever, () => (departure = null));
  return ended;
}

/** A request was refused with this token. Resolves once there is another one. */
async function hasAnother(refused) {
  await departure;
  if (session.token === refused) await alone("chat/login", adopt); // it may be on its way
  if (session.token === refused) {
    asking ??= ask();
    await asking.over;
  }
  actAs(session.token);
  return true;
}

function ask() {
  let done;
  const answered = new Promise((resolve) => (done = resolve));
  refuseSeen(true);
  const dialog = logInAgain(session, { renew, leave: on.leave });
  const over = answered.then(() => {
    dialog.close();
    asking = null;
    refuseSeen(false);
    on.again();
  });
  return { done, over };
}
