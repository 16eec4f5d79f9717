// Who the people are of whom an event has told the user name, and no answer the rest.

import { api } from "./api.js";
import { changed, learnPerson, state } from "./store.js";

const PAUSE_MS = 2_000; // most of them come with the chats and the people
const waiting = new Set();
let timer = null;

/** Ask for all that somebody shows, if nothing else brings it. */
export function lookUp(id) {
  waiting.add(id);
  timer ??= setTimeout(ask, PAUSE_MS);
}

/** One after the other: a crowd may have come. */
async function ask() {
  for (const id of waiting) {
    waiting.delete(id);
    if (id === state.me.id || state.known.get(id)?.avatar !== undefined) continue;
    try {
      learnPerson(await api.person(id));
      changed();
    } catch {
      // The user name has to do until they come again.
    }
  }
  timer = null;
}
