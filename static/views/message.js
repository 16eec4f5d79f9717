// One message: its text, its time and mark, and what can be done with it.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { isBlank, isEmoji, moment, NOTHING_TO_SEE, shownName, time } from "../format.js";
import { linked } from "../links.js";
import { sendWaiting } from "../live.js";
import { discard, resend } from "../outbox.js";
import { changed, learnMessage, nameOf, state } from "../store.js";
import { tellOthers } from "../windows.js";
import { ask, attempt } from "./ask.js";

/** A row of the list, see `keyed`. */
export function row(message, { first, last, read, open }) {
  const { id, created_at, edited_at, deleted_at, truncated, pending, error } = message;
  const found = open.around === id;
  const editing = open.editing?.id === id;
  const at = time(created_at);
  const version = [first, last, read, at, edited_at, deleted_at, truncated, error, found, editing];
  return {
    key: `message ${message.from_user} ${message.client_message_id ?? id}`,
    version: JSON.stringify([!pending, ...version]),
    make: () => draw(message, { first, last, read, found, editing }),
  };
}

function draw(message, { first, last, read, found, editing }) {
  const mine = message.from_user === state.me.id;
  const flags = { mine, first, last, found, editing, failed: message.error };
  const classes = Object.keys(flags).filter((flag) => flags[flag]);
  const settled = message.deleted_at || message.pending;
  return h(
    ["li", "message", ...classes].join("."),
    { tabindex: -1, "data-id": message.id },
    h(
      "div.bubble",
      {},
      h("span.unseen", {}, mine ? "You: " : `${shownName(nameOf(message.from_user))}: `),
      body(message),
      meta(message, mine, read),
    ),
    message.error && failure(message),
    mine && !settled && actions(message),
  );
}

function body({ message, deleted_at, truncated }) {
  if (deleted_at) return h("p.deleted", {}, "This message was deleted.");
  if (message && isBlank(message)) return h("p.deleted", {}, NOTHING_TO_SEE);
  const kind = isEmoji(message) ? "p.emoji" : "p";
  return h(kind, { dir: "auto" }, linked(message), truncated && "…");
}

function meta({ created_at, edited_at, deleted_at, pending, error }, mine, read) {
  const mark = pending ? "Waiting" : read ? "Read" : "Sent";
  const name = mark.toLowerCase();
  return h(
    "span.meta",
    {},
    edited_at && !deleted_at && "edited ",
    h("time", { datetime: created_at, title: moment(created_at) }, time(created_at)),
    mine &&
      !deleted_at &&
      !error &&
      h(`span.mark.${name}`, { title: mark }, icon(name), h("span.unseen", {}, mark)),
  );
}

function actions(message) {
  const act = (name, label, onclick) =>
    h("button.quiet", { "aria-label": label, title: label, onclick }, icon(name));
  return h(
    "div.actions",
    {},
    act("edit", "Edit", () => edit(message)),
    act("delete", "Delete", () => remove(message)),
  );
}

function failure({ id, error }) {
  const again = () => {
    resend(id);
    sendWaiting();
  };
  return h(
    "p.failure",
    {},
    icon("fault"),
    h("span", {}, `Not sent: ${error}`),
    h("button", { onclick: again }, "Try again"),
    h("button", { onclick: () => discard(id) }, "Discard"),
  );
}

function edit(message) {
  state.open.editing = message;
  changed();
}

async function remove({ id }) {
  const meaning = "Its text is erased for both of you. This cannot be undone.";
  if (!(await ask("Delete this message?", meaning, "Delete"))) return;
  if (await attempt(api.remove(id).then(learnMessage))) tellOthers();
}
