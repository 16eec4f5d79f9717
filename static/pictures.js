// The pictures of people. They are fetched here, because an <img> cannot say who is asking. Each
// is some kilobytes, so they stay as long as the window.

import { bytesAt } from "./api.js";

const urls = new Map(); // by path, which changes with the picture
const coming = new Map();

// A browser has some six connections to a server, and messages come before pictures.
const MOST = 2;
const waiting = [];
let running = 0;

async function inTurn(act) {
  if (running === MOST) await new Promise((go) => waiting.push(go));
  else running += 1;
  try {
    return await act();
  } finally {
    if (waiting.length) waiting.shift()(); // goes on in place of this one
    else running -= 1;
  }
}

/** The address of a picture that is here; undefined if it is not. */
export const known = (path) => urls.get(path);

/** The address of a picture, which is fetched if it is not here. */
export function pictureAt(path) {
  if (!coming.has(path)) {
    const fetching = inTurn(() => bytesAt(path)).then((bytes) => {
      urls.set(path, URL.createObjectURL(bytes));
      return urls.get(path);
    });
    fetching.catch(() => coming.delete(path)); // the next drawing tries again
    coming.set(path, fetching);
  }
  return coming.get(path);
}
