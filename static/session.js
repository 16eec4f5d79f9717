// Who is logged in here, and what each person has on this device: drafts and unsent messages.
//
// The token is in sessionStorage. Each window is a person of its own, so that ada and bob can be
// tried side by side, and closing the window forgets the token. "Stay logged in" puts it into
// localStorage instead, where new windows find it. Foreign scripts could read either, so the
// page's Content-Security-Policy lets none in. A cookie would be safe from scripts, but would go
// along with requests that other sites make.

const KEY = "chat/session";

export function load() {
  return JSON.parse(sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY));
}

export function save({ id, username, token }, stay) {
  const session = JSON.stringify({ id, username, token });
  (stay ? localStorage : sessionStorage).setItem(KEY, session);
}

/** Forget the token, but not what was typed: the same person may log in again. */
export function end() {
  const stayed = JSON.parse(localStorage.getItem(KEY));
  const own = load();
  sessionStorage.removeItem(KEY);
  if (stayed?.token === own?.token) localStorage.removeItem(KEY);
}

/** What one person has in localStorage under one name, such as "draft". */
export function shelf(userId, name) {
  const prefix = `chat/${userId}/${name}/`;
  return {
    prefix,
    get: (key) => JSON.parse(localStorage.getItem(prefix + key)),
    set: (key, value) => localStorage.setItem(prefix + key, JSON.stringify(value)),
    remove: (key) => localStorage.removeItem(prefix + key),
    keys: () =>
      Object.keys(localStorage)
        .filter((key) => key.startsWith(prefix))
        .map((key) => key.slice(prefix.length)),
  };
}

/** Remove all that a person has on this device, for a log-out that the person asked for. */
export function forget(userId) {
  for (const key of Object.keys(localStorage)) {
    if (key.startsWith(`chat/${userId}/`)) localStorage.removeItem(key);
  }
}
