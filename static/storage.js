// The browser's storage, and what stands in for it. A browser may refuse it (cookies blocked, some
// private windows) or have no room left; then values stay in memory, for as long as this window is
// open. So everything works, and `lasting` says that it will not outlast the window.

class SafeStorage {
  #memory = new Map(); // what the browser did not take
  #kept;

  constructor(name) {
    try {
      this.#kept = window[name];
    } catch {
      this.#kept = null; // refused
    }
  }

  /** The value, or null if there is none that can be read. */
  get(key) {
    try {
      return JSON.parse(this.#memory.get(key) ?? this.#kept?.getItem(key) ?? null);
    } catch {
      return null;
    }
  }

  set(key, value) {
    const text = JSON.stringify(value);
    try {
      this.#kept.setItem(key, text);
      this.#memory.delete(key);
    } catch {
      this.#memory.set(key, text);
    }
  }

  /** Keep what is no loss where there is no room. */
  offer(key, value) {
    try {
      this.#kept.setItem(key, JSON.stringify(value));
    } catch {
      this.remove(key); // an older value would be a wrong one
    }
  }

  remove(key) {
    this.#memory.delete(key);
    try {
      this.#kept?.removeItem(key);
    } catch {
      // Nothing is kept there.
    }
  }

  keys() {
    let kept = [];
    try {
      kept = Object.keys(this.#kept ?? {});
    } catch {
      // As above.
    }
    return [...new Set([...kept, ...this.#memory.keys()])];
  }

  /** Whether the browser has taken every value that was set. */
  get lasting() {
    return this.#memory.size === 0;
  }
}

/** What this device keeps. */
export const device = new SafeStorage("localStorage");

/** What this window keeps until it is closed. */
export const tab = new SafeStorage("sessionStorage");
