// What can be done with a message: by the buttons beside it, by keys, by a long press and by a swipe.

import { api } from "../api.js";
import { announce, h, icon } from "../dom.js";
import { asMessage, pendingFor } from "../outbox.js";
import { changed, learnMessage, state } from "../store.js";
import { t } from "../texts.js";
import { tellOthers } from "../windows.js";
import { ask, attempt, tell } from "./ask.js";
import { download } from "./attachment.js";
import { canWrite, openMenu } from "./reactions.js";

/** What this person may do with a message: [{name of the icon, label, key, act}]. */
function verbsFor(message) {
  const { pending, deleted_at, file, from_user } = message;
  if (deleted_at) return [];
  const mine = from_user === state.me.id;
  const writes = !pending && canWrite();
  return [
    writes && { name: "reply", label: t("act.reply"), key: "R", act: () => reply(message) },
    { name: "copy", label: t("act.copy"), act: () => attempt(copy(message)) },
    file && !pending && { name: "download", label: t("act.download"), act: () => attempt(download(file)) },
    mine && !pending && { name: "edit", label: t("act.edit"), act: () => edit(message) },
    mine && !pending && { name: "delete", label: t("act.delete"), act: () => remove(message) },
  ].filter(Boolean);
}

/** The buttons that show beside a message, or null if there are none. */
export function drawActions(message) {
  const verbs = verbsFor(message);
  if (!verbs.length) return null;
  const choose = (event) => openMenu(message, event.currentTarget);
  const react = { name: "react", label: t("act.react"), key: "+", act: choose };
  const all = message.pending || !canWrite() ? verbs : [react, ...verbs];
  return h("div.actions", {}, all.map(button));
}

function button({ name, label, key, act }) {
  const properties = {
    "aria-label": label,
    "aria-keyshortcuts": key,
    "data-keep": name,
    title: key ? t("act.key", { verb: label, key }) : label,
    onclick: (event) => {
      // A dialog gives the focus back to what had it, and this button is out of sight by then.
      event.currentTarget.closest(".message").focus({ preventScroll: true });
      act(event);
    },
  };
  return h("button.quiet", properties, icon(name));
}

/** The message that an element of the list shows. */
export function messageOf(element) {
  const { id } = element.dataset;
  const sent = state.open.messages.find((each) => `${each.id}` === id);
  if (sent) return sent;
  const waiting = pendingFor(state.open.peer).find((each) => each.id === id);
  return waiting && asMessage(waiting);
}

/** All that can be done with a message, in one menu. Returns whether there is anything. */
export function openAll(element) {
  const message = messageOf(element);
  const verbs = message ? verbsFor(message) : [];
  if (verbs.length) openMenu(message, element.querySelector(".bubble"), verbs);
  return verbs.length > 0;
}

/** R answers the message that has the focus, + reacts to it. Returns whether the key was one. */
export function actByKey(element, key) {
  const message = messageOf(element);
  if (!message || message.deleted_at || message.pending || !canWrite()) return false;
  if (key.toLowerCase() === "r") reply(message);
  else if (key === "+") openMenu(message, element.querySelector(".bubble"));
  else return false;
  return true;
}

/** Answer a message: what is written next quotes it. */
export function reply(message) {
  if (message.deleted_at || message.pending || !canWrite()) return;
  state.replying.set(state.open.peer, message);
  state.open.editing = null;
  changed();
  document.getElementById("text").focus();
}

async function copy({ message, file }) {
  const text = message || file?.name || "";
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else copyAsBefore(text);
  tell(t("copy.done"));
}

/** Without TLS a browser gives a page no clipboard, but lets it copy what is selected. */
function copyAsBefore(text) {
  const before = document.activeElement;
  const field = h("textarea.unseen", { "aria-hidden": "true" });
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  before?.focus();
  if (!done) throw new Error(t("copy.refused"));
}

function edit(message) {
  state.replying.delete(state.open.peer);
  state.open.editing = message;
  changed();
}

async function remove({ id, file }) {
  const meaning = t(file ? "delete.file" : "delete.text");
  if (!(await ask(t("delete.ask"), meaning, t("act.delete")))) return;
  if (!(await attempt(api.remove(id).then(learnMessage)))) return;
  announce(t("delete.done"));
  tellOthers();
}
