// Turns: what only one window of this browser may do at a time.

import { device } from "./storage.js";

const HELD_MS = 20_000; // longer than a request may take; after that its window was closed
const LOOK_MS = 100;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Act while no other window acts under this name. */
export async function alone(name, act) {
  if (navigator.locks) return navigator.locks.request(name, act);
  // Browsers have no locks on pages without TLS. A note in the storage is nearly as good: if two
  // windows write theirs at the same moment, the last one counts.
  const key = `chat/turn/${name}`;
  const by = `${Math.random()}`;
  do {
    while (isHeld(device.get(key))) await pause(LOOK_MS);
    device.set(key, { by, at: Date.now() });
    await pause(LOOK_MS);
  } while (device.get(key)?.by !== by);
  try {
    return await act();
  } finally {
    if (device.get(key)?.by === by) device.remove(key);
  }
}

/** Whether a note counts. Also one from the future does not: the clock has stepped back. */
const isHeld = (note) => note !== null && Math.abs(Date.now() - note.at) < HELD_MS;
