// What this person has chosen to be told of new messages on this device. The service worker cannot
// read the storage of a page, so it finds what it needs in a cache.

import { fault } from "./registration.js";
import { shelf } from "./session.js";
import { changed, state } from "./store.js";
import { t } from "./texts.js";

const SHIPPED = { notifications: false, sound: true, badge: true };
const CACHE = "chat/choices"; // worker.js reads it

const chosen = () => shelf(state.me?.id, "told");

/** Whether they want notifications, a sound with them, or a count on the icon. */
export const wants = (name) => chosen().get(name) ?? SHIPPED[name];

/** Whether the page has an icon of its own on the device, where a number can stand. */
export const isInstalled = () => matchMedia("(display-mode: standalone)").matches;

export async function choose(name, value) {
  chosen().set(name, value);
  changed();
  await handToWorker();
}

/** Let the worker know the choices, and the words of this language. */
export async function handToWorker() {
  if (fault) return; // there is none
  const words = {
    Image: t("message.photo"),
    File: t("message.file"),
    nobody: t("chat.deleted-account"),
  };
  const told = { sound: wants("sound"), badge: wants("badge") && isInstalled(), words };
  const cache = await caches.open(CACHE);
  await cache.put(new URL("choices", location), new Response(JSON.stringify(told)));
}
