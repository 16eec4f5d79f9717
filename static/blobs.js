// The bytes of files that wait to be sent. They are in IndexedDB, because localStorage takes texts
// only, and not many. Where the browser refuses it or has no room, they stay in memory, for as long
// as this window is open, and `blobs.lasting` says so.

const STORE = "files";
const memory = new Map(); // what the browser did not take
let opening = null;

function open() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("chat", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      request.result.onclose = () => (opening = null);
      resolve(request.result);
    };
  });
  opening.catch(() => (opening = null));
  return opening;
}

async function run(mode, act) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(STORE, mode);
    const request = act(transaction.objectStore(STORE));
    transaction.oncomplete = () => resolve(request.result);
    transaction.onabort = () => reject(transaction.error);
  });
}

/** All keys that begin with this. */
const below = (prefix) => IDBKeyRange.bound(prefix, `${prefix}\uffff`);

export const blobs = {
  async set(key, blob) {
    try {
      await run("readwrite", (store) => store.put(blob, key));
    } catch {
      memory.set(key, blob);
    }
  },

  /** The bytes, or undefined if they are not here (any more). */
  async get(key) {
    if (memory.has(key)) return memory.get(key);
    return run("readonly", (store) => store.get(key)).catch(() => undefined);
  },

  async remove(key) {
    memory.delete(key);
    await run("readwrite", (store) => store.delete(key)).catch(() => {}); // `sweep` tries again
  },

  async removeAll(prefix) {
    for (const key of memory.keys()) if (key.startsWith(prefix)) memory.delete(key);
    await run("readwrite", (store) => store.delete(below(prefix))).catch(() => {}); // as above
  },

  /** The keys that begin with this and are kept by the browser. */
  async keys(prefix) {
    return run("readonly", (store) => store.getAllKeys(below(prefix))).catch(() => []);
  },

  get lasting() {
    return memory.size === 0;
  },
};
