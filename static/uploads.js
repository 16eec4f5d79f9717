// Files on their way to the API. This is XMLHttpRequest, because fetch does not tell how much of a
// body has been sent.

import { API, headersOfAChange, judged, loggedIn, Unreachable } from "./api.js";
import { t } from "./texts.js";

const SILENCE_MS = 60_000; // between two signs of life; the server may look at other pictures first

const running = new Map(); // message id -> {request, share}

/** Tells of each step as an event `progress` with the message's id as its detail. */
export const uploads = new EventTarget();

/** How much of a file has been sent, from 0 to 1. */
export const shareOf = (id) => running.get(id)?.share ?? 0;

/** Stop an upload, if it is under way. */
export function cancel(id) {
  running.get(id)?.request.abort();
}

/**
 * Send a file as a message; resolves to the message object.
 * Raises what every call raises. An Unreachable has `begun` if part of the file had been sent.
 */
export const upload = (id, message) => loggedIn(() => put(id, message));

function put(id, { channel, bytes, name, text, replyTo }) {
  const form = new FormData();
  const parts = { channel, client_message_id: id, message: text, reply_to: replyTo };
  for (const [part, value] of Object.entries(parts)) if (value) form.append(part, value);
  form.append("file", bytes, name);

  const request = new XMLHttpRequest();
  const state = { request, share: 0 };
  running.set(id, state);
  let timer;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => request.abort(), SILENCE_MS);
  };
  return new Promise((resolve, reject) => {
    const fail = () => {
      const error = new Unreachable();
      if (state.share > 0) error.message = t("file.broke");
      reject(Object.assign(error, { begun: state.share > 0 }));
    };
    request.upload.onprogress = ({ loaded, total }) => {
      heard();
      state.share = loaded / total;
      uploads.dispatchEvent(new CustomEvent("progress", { detail: id }));
    };
    request.onerror = request.onabort = fail;
    request.onload = () => {
      try {
        const seconds = request.getResponseHeader("Retry-After");
        resolve(judged("/send_file", request.status, parsed(request.responseText), seconds));
      } catch (error) {
        reject(error);
      }
    };
    request.open("POST", `${API}/send_file`);
    const headers = Object.entries(headersOfAChange());
    for (const [header, value] of headers) request.setRequestHeader(header, value);
    heard();
    request.send(form);
  }).finally(() => {
    clearTimeout(timer);
    running.delete(id);
  });
}

/** What the API says; null if it is somebody else who answers, such as a proxy. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
