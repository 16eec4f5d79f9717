// Who is logged in here, and what each person has on this device: drafts, and unsent messages
// with their files.
//
// The token is in sessionStorage. Each window is a person of its own, so that ada and bob can be
// tried side by side, and closing the window forgets the token. "Stay logged in" puts it into
// localStorage instead, where new windows find it. Foreign scripts could read either, so the
// page's Content-Security-Policy lets none in. A cookie would be safe from scripts, but would go
// along with requests that other sites make.

import { blobs } from "./blobs.js";
import { device, tab } from "./storage.js";

const KEY = "chat/session";

/** Who is logged in in this window: {id, username, token, stays}; null if nobody is. */
export const load = () => kept(tab, false) ?? loadStaying();

/** Who stays logged in on this device. */
export const loadStaying = () => kept(device, true);

function kept(place, stays) {
  const session = place.get(KEY);
  return session?.token ? { ...session, stays } : null;
}

/** Keep what a log-in has answered, for this window or for the device. */
export function save({ id, username, token }, stays) {
  const session = { id, username, token };
  (stays ? device : tab).set(KEY, session);
  return { ...session, stays };
}

/**
 * Forget this window's token, but not what was typed: the same person may log in again. Somebody
 * else may have logged in on this device since, and stays logged in.
 */
export function end(token) {
  tab.remove(KEY);
  if (device.get(KEY)?.token === token) device.remove(KEY);
}

/** What one person has on this device under one name, such as "draft". */
export function shelf(userId, name) {
  const prefix = `chat/${userId}/${name}/`;
  return {
    prefix,
    get: (key) => device.get(prefix + key),
    set: (key, value) => device.set(prefix + key, value),
    remove: (key) => device.remove(prefix + key),
    keys: () =>
      device
        .keys()
        .filter((key) => key.startsWith(prefix))
        .map((key) => key.slice(prefix.length)),
  };
}

/** Remove all that a person has on this device, for a log-out that the person asked for. */
export async function forget(userId) {
  for (const key of device.keys()) if (key.startsWith(`chat/${userId}/`)) device.remove(key);
  await blobs.removeAll(`${userId}/`);
}
