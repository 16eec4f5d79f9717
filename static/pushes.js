// Pushes: this browser is told of new messages while no page is open (docs/notifications.md). A
// browser has one subscription for all who use it. It is of the one who turned it on last, and the next
// person who comes takes it back.

import { api, Refused, Unreachable } from "./api.js";
import { choose, wants } from "./choices.js";
import { fault as workerFault, registered } from "./registration.js";
import { device } from "./storage.js";
import { changed, state } from "./store.js";
import { t } from "./texts.js";

const OWNER = "chat/pushes"; // {user, subscription}

let fault = null; // why the browser cannot be told while no page is open

/**
 * What this person is told of on this device: "push", also while no page is open; "open", only while
 * one is; "off", because they have not asked for it; "denied" and "missing", because of the browser.
 */
export function told() {
  if (!window.Notification || !isSecureContext) return "missing";
  if (Notification.permission === "denied") return "denied";
  if (!wants("notifications") || Notification.permission !== "granted") return "off";
  return device.get(OWNER)?.user === state.me.id ? "push" : "open";
}

/** Why it is "open", in a sentence; null if that is not known. */
export const whyNot = () => fault;

/** Ask for permission, and begin. To be called from a click: browsers take a question that comes by
 * itself for a nuisance. */
export async function turnOn() {
  if ((await Notification.requestPermission()) !== "granted") return changed();
  await choose("notifications", true);
  await subscribe();
}

export async function turnOff() {
  await choose("notifications", false);
  await takeBack();
}

/** At the start, after a log-in, and if the browser has changed its subscription. */
export async function renew() {
  const owner = device.get(OWNER);
  if (owner && owner.user !== state.me.id) await takeBack();
  if (["push", "open"].includes(told())) await subscribe();
}

/** Subscribe this browser, or find it subscribed, and let the API know. */
async function subscribe() {
  fault = null;
  try {
    const { pushManager } = await worker();
    const subscription = await agreed(pushManager, (await api.pushKey()).key);
    const last = device.get(OWNER);
    await api.subscribe(subscription);
    device.set(OWNER, { user: state.me.id, subscription });
    const before = last?.subscription.endpoint;
    if (before && before !== subscription.endpoint) await api.unsubscribe(before);
  } catch (error) {
    if (error instanceof Unreachable && device.get(OWNER)) return; // it holds as it was
    if (!(error instanceof DOMException || error instanceof Refused || error instanceof Missing)) throw error;
    device.remove(OWNER);
    fault = error.message;
  } finally {
    changed();
  }
}

class Missing extends Error {}

async function worker() {
  if (workerFault || !window.PushManager) throw new Missing(workerFault ?? t("told.no-push"));
  return navigator.serviceWorker.ready;
}

/** What the browser has agreed on with its push service, as the API takes it. */
async function agreed(pushManager, key) {
  const options = { userVisibleOnly: true, applicationServerKey: key };
  try {
    return asTaken(await pushManager.subscribe(options));
  } catch (error) {
    if (error.name !== "InvalidStateError") throw error;
    await (await pushManager.getSubscription())?.unsubscribe(); // it was for the key of another server
    return asTaken(await pushManager.subscribe(options));
  }
}

const asTaken = (subscription) => JSON.parse(JSON.stringify(subscription));

/** End the subscription. One of somebody before is made mine first, because only its owner can. */
async function takeBack() {
  const owner = device.get(OWNER);
  if (!owner) return;
  await drop();
  if (owner.user !== state.me.id) await api.subscribe(owner.subscription);
  await api.unsubscribe(owner.subscription.endpoint);
}

/** The same for a log-out, which ends my subscription at the API. */
export async function dropMine() {
  if (device.get(OWNER)?.user === state.me.id) await drop();
}

/** Have the browser end its subscription, and show nothing more of what came by it. */
async function drop() {
  device.remove(OWNER);
  changed();
  await clear();
  const registration = await registered();
  await (await registration?.pushManager?.getSubscription())?.unsubscribe();
}

/** Close the worker's notifications, or only those of a chat: `{ tag: channel }`. */
export async function clear(which) {
  const registration = await registered();
  for (const notice of (await registration?.getNotifications(which)) ?? []) notice.close();
}
