// One message: its text, its time and mark, and what can be done with it.

import { h, icon } from "../dom.js";
import { isBlank, isEmoji, moment, shownName, time } from "../format.js";
import { formatted } from "../formatting.js";
import { sendWaiting } from "../live.js";
import { discard, resend } from "../outbox.js";
import { nameOf, state } from "../store.js";
import { t } from "../texts.js";
import { drawActions } from "./actions.js";
import { drawAttachment } from "./attachment.js";
import { authorOf, drawQuote, quoted } from "./quote.js";
import { canWrite, drawReactions } from "./reactions.js";

/** A row of the list, see `keyed`. */
export function row(message, { first, last, read, open }) {
  const { id, created_at, edited_at, deleted_at, truncated, pending, error, reactions } = message;
  const found = open.around === id;
  const editing = open.editing?.id === id;
  const at = time(created_at);
  const quote = quoted(message.reply_to);
  const version = [first, last, read, at, edited_at, deleted_at, truncated, error, found, editing];
  version.push(reactions, canWrite(), quote && [quote.message, quote.deleted_at, authorOf(quote)]);
  return {
    key: `message ${message.from_user} ${message.client_message_id ?? id}`,
    version: JSON.stringify([!pending, ...version]),
    make: () => draw(message, { first, last, read, found, editing, quote }),
  };
}

function draw(message, { first, last, read, found, editing, quote }) {
  const mine = message.from_user === state.me.id;
  const flags = { mine, first, last, found, editing, failed: message.error };
  const classes = Object.keys(flags).filter((flag) => flags[flag]);
  return h(
    ["li", "message", ...classes].join("."),
    { tabindex: -1, "data-id": message.id },
    h(
      "div.bubble",
      {},
      h("span.unseen", {}, `${mine ? t("message.you") : shownName(nameOf(message.from_user))}: `),
      !message.deleted_at && quote && drawQuote(quote),
      drawAttachment(message),
      body(message),
      meta(message, mine, read),
    ),
    drawReactions(message),
    message.error && failure(message),
    drawActions(message),
  );
}

function body({ message, file, deleted_at, truncated }) {
  if (file && !message) return null;
  if (deleted_at) return h("p.deleted", {}, t("message.deleted"));
  if (message && isBlank(message)) return h("p.deleted", {}, t("message.blank"));
  const kind = isEmoji(message) ? "p.emoji" : "p";
  return h(kind, { dir: "auto" }, formatted(message), truncated && "…");
}

function meta({ created_at, edited_at, deleted_at, pending, error }, mine, read) {
  const name = pending ? "waiting" : read ? "read" : "sent";
  const mark = t(`message.${name}`);
  return h(
    "span.meta",
    {},
    edited_at && !deleted_at && `${t("message.edited")} `,
    h("time", { datetime: created_at, title: moment(created_at) }, time(created_at)),
    mine &&
      !deleted_at &&
      !error &&
      h(`span.mark.${name}`, { title: mark }, icon(name), h("span.unseen", {}, mark)),
  );
}

function failure({ id, error }) {
  const again = () => {
    resend(id);
    sendWaiting();
  };
  const drop = () => {
    discard(id);
    document.getElementById("text").focus(); // the button goes away
  };
  return h(
    "p.failure",
    {},
    icon("fault"),
    h("span", {}, t("message.failed", { reason: error })),
    h("button", { onclick: again }, t("message.again")),
    h("button", { onclick: drop }, t("message.discard")),
  );
}
