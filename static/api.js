// The calls this page makes of the API, and the three ways in which one can fail.

import { setClock } from "./clock.js";
import { t, textOfRefusal } from "./texts.js";

/** The API said no. `code` is one of its stable words, `message` a sentence to show, and `original`
 * the one that the API itself said. */
export class Refused extends Error {
  constructor(status, { code, message, original = message }) {
    super(message);
    this.status = status;
    this.code = code;
    this.original = original;
  }

  /** Whether the same request may succeed later. */
  get passing() {
    return this.status === 429 || this.status >= 500;
  }
}

/**
 * No answer of the API. The request may have been done or not: ask again only what may be repeated.
 * `status` is there if somebody else answered, such as a proxy that does not reach the API.
 */
export class Unreachable extends Error {
  constructor(status) {
    super(status ? t("fault.unreachable", { status }) : t("fault.offline"));
    this.status = status;
  }
}

/** The token is not valid (any more). */
export class LoggedOut extends Error {}

const HITS = 30; // of a search at a time
const SILENCE_MS = 15_000;
const UPLOAD_MS = 120_000; // fetch does not tell how much of a body has been sent
/** Where the API is: the document says what path everything is served below. */
export const API = `${document.documentElement.dataset.root}api`;

let token = null;
let socketId = null;
let onRefused = async () => false;

/**
 * Set what is done when a token is refused, no matter which request finds out. It resolves to whether
 * there is another token, with which the request is made again.
 */
export function whenRefused(act) {
  onRefused = act;
}

/** Do what a refused token may prevent, and do it again with the next one. */
export async function loggedIn(act) {
  for (;;) {
    const used = token;
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof LoggedOut)) throw error;
      if (token === used && !(await onRefused(used))) throw error;
    }
  }
}

/** Set the token that goes with every request from now on. */
export function actAs(given) {
  token = given;
}

/** Set the live connection, which need not hear what this page did itself. */
export function leaveOut(given) {
  socketId = given;
}

/** The path that signs the subscriptions of pusher-js. */
export const CHANNEL_AUTHORIZATION = `${API}/pusher/auth`;
export const USER_AUTHENTICATION = `${API}/pusher/user-auth`;

export function authorization() {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** What goes with every request that changes something. */
export const headersOfAChange = () =>
  socketId ? { ...authorization(), "X-Socket-ID": socketId } : authorization();

export async function ask(method, path, body) {
  const headers = method === "GET" ? authorization() : headersOfAChange();
  const isFile = body instanceof Blob; // fetch names its type
  if (body !== undefined && !isFile) headers["Content-Type"] = "application/json";
  const { signal, heard, over } = patience(isFile ? UPLOAD_MS : SILENCE_MS);
  let answer, data;
  try {
    answer = await fetch(`${API}${path}`, {
      method,
      headers,
      body: isFile ? body : JSON.stringify(body),
      cache: "no-store",
      signal,
    });
    setClock(answer.headers.get("Date"));
    data = answer.status === 204 ? null : JSON.parse(await read(answer, heard));
  } catch {
    // The connection broke on the way, or a proxy sent a page of HTML because the API is away.
    throw new Unreachable(answer?.status);
  } finally {
    over();
  }
  return {
    data: judged(path, answer.status, data, answer.headers.get("Retry-After")),
    link: answer.headers.get("Link") ?? "",
  };
}

/** The data of an answer, if it is good news. Otherwise raises which of the three ways it failed. */
export function judged(path, status, data, seconds) {
  if (status >= 200 && status < 300 && (data || status === 204)) return data;
  if (typeof data?.code !== "string") throw new Unreachable(status); // not the API's words
  const { code, message: original } = data;
  const message = textOfRefusal(data, path, seconds);
  if (status === 401 && path !== "/login") {
    throw new LoggedOut();
  }
  throw new Refused(status, { code, message, original });
}

/** A limit on silence: a long answer over a slow line may take as long as it takes. */
function patience(ms) {
  const ending = new AbortController();
  let timer;
  const over = () => clearTimeout(timer);
  const heard = () => {
    over();
    timer = setTimeout(() => ending.abort(), ms);
  };
  heard();
  return { signal: ending.signal, heard, over };
}

/** Take the bytes of an answer, part by part. Each that comes is told of. */
async function take(answer, heard, act) {
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    heard();
    if (done) return;
    act(value);
  }
}

/** The whole text of an answer. */
async function read(answer, heard) {
  const decoder = new TextDecoder();
  let text = "";
  await take(answer, heard, (bytes) => (text += decoder.decode(bytes, { stream: true })));
  return text + decoder.decode();
}

export const get = async (path) => (await loggedIn(() => ask("GET", path))).data;
export const send = async (method, path, body) => (await loggedIn(() => ask(method, path, body))).data;
const query = (values) =>
  `?${new URLSearchParams(Object.entries(values).filter(([, value]) => value != null))}`;

/** A page of a list, and whether there is more before and after it (RFC 8288). `cursor` is where the
 * next one begins, by the parameter of this name. */
async function page(path, name = "cursor") {
  const { data, link } = await loggedIn(() => ask("GET", path));
  const next = link.match(/<([^>]*)>; rel="next"/);
  return {
    items: data,
    older: link.includes('rel="prev"'),
    newer: next !== null,
    cursor: next && new URL(next[1]).searchParams.get(name),
  };
}

/** The bytes at a path that is not data, such as that of somebody's picture. */
export const bytesAt = (path) =>
  loggedIn(async () => {
    const { signal, heard, over } = patience(SILENCE_MS);
    try {
      const answer = await fetch(path, { headers: authorization(), signal });
      if (!answer.ok) judged(path, answer.status, await answer.json());
      const parts = [];
      await take(answer, heard, (bytes) => parts.push(bytes));
      return new Blob(parts, { type: answer.headers.get("Content-Type") });
    } catch (error) {
      throw error instanceof LoggedOut || error instanceof Refused ? error : new Unreachable();
    } finally {
      over();
    }
  });

export const api = {
  register: (username, password) => send("POST", "/register", { username, password }),
  login: async (username, password, remember) =>
    (await send("POST", "/login", { username, password, remember })).data,
  /** Trade the token for a new one, which ends it. */
  refresh: async () => (await ask("POST", "/refresh")).data.data,
  logout: () => ask("POST", "/logout"),
  me: () => get("/me"),
  config: () => get("/config"),

  pushKey: () => get("/push/key"),
  subscribe: (subscription) => send("PUT", "/push/subscriptions", subscription),
  unsubscribe: (endpoint) => send("DELETE", "/push/subscriptions", { endpoint }),

  users: (values) => page(`/users${query({ limit: 50, ...values })}`),
  /** What a user shows; all of it is null if there is no such account (any more). */
  person: async (id) => {
    try {
      return await get(`/users/${id}`);
    } catch (error) {
      if (error.status !== 404) throw error;
      return { id, username: null, display_name: null, avatar: null, about: null };
    }
  },
  blocks: () => get("/blocks"),
  block: (id) => send("PUT", `/blocks/${id}`),
  unblock: (id) => send("DELETE", `/blocks/${id}`),

  chats: (cursor) => page(`/chats${query({ limit: 50, cursor })}`),
  requestChat: (id) => send("POST", "/request_chat", { to_user: id }),
  markRead: (channel, id) => send("PUT", `/chats/${channel}/read`, { message_id: id }),

  /** `place`: at most one of before, after and around. */
  messages: (channel, place) => page(`/get_message/${channel}${query({ limit: 50, ...place })}`),
  message: async (channel, id) =>
    (await get(`/get_message/${channel}${query({ around: id, limit: 1 })}`))[0],
  send: (channel, text, id, replyTo) =>
    send("POST", "/send_message", {
      channel,
      message: text,
      client_message_id: id,
      reply_to: replyTo,
    }),
  edit: (id, text) => send("PATCH", `/messages/${id}`, { message: text }),
  remove: (id) => send("DELETE", `/messages/${id}`),
  react: (id, emoji) => send("PUT", `/messages/${id}/reactions/${encodeURIComponent(emoji)}`),
  takeBack: (id, emoji) => send("DELETE", `/messages/${id}/reactions/${encodeURIComponent(emoji)}`),
  /** An address of a file that holds for some minutes, and when it ends: {url, expires_at}. */
  fileUrl: (id, thumbnail) => send("POST", `/files/${id}/url${query({ thumbnail })}`),
  /** Messages, newest first; a search that was left early has a cursor and fewer of them. */
  search: (values) => page(`/search${query({ limit: HITS, ...values })}`, "before"),

  sync: (since) => get(`/sync${query({ since, limit: since && 200 })}`),
};
