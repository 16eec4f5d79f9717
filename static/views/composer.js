// Where messages are written. What is typed is kept on this device until it is sent.

import { api } from "../api.js";
import { isComposing } from "../dom.js";
import { isRefused, toEnd } from "../conversation.js";
import { gist, isBlank, part } from "../format.js";
import { sendWaiting } from "../live.js";
import { post } from "../outbox.js";
import { shelf } from "../session.js";
import { device } from "../storage.js";
import { changed, learnMessage, nameOf, state } from "../store.js";
import { t } from "../texts.js";
import { sayDone, sayTyping } from "../watching.js";
import { tellOthers } from "../windows.js";
import { attempt, tell } from "./ask.js";
import { attachedTo, drawAttached, isPreparing, takeAttached } from "./attach.js";
import { authorOf, quoted } from "./quote.js";
import { canWrite } from "./reactions.js";

const form = document.getElementById("composer");
const text = document.getElementById("text");
const length = document.getElementById("length");
const replying = document.getElementById("replying");
const editing = document.getElementById("editing");
const MOST = 5_000; // characters; the API counts code points, but .length counts UTF-16 units
const TELL = 4_500;

const unfinished = new Map(); // texts of edits that were left for another chat, by message id

let written = null; // whose draft, or which message, is in the field

const drafts = () => shelf(state.me?.id, "draft");

// Another window of the same person may be where it is typed.
addEventListener("storage", ({ key }) => key?.startsWith(drafts().prefix) && changed());

/** What was typed for a person and not sent; null if there is nothing to see in it. */
export function draftFor(peer) {
  const typed = drafts().get(peer) ?? "";
  return isBlank(typed) ? null : typed;
}

/** How many drafts there are to lose. */
export const unsentDrafts = () => drafts().keys().filter(draftFor).length;

export function drawComposer() {
  const open = state.open;
  if (!open) return void (written = null);
  if (quoted(open.editing)?.deleted_at) leaveDeleted(open);
  const what = open.editing ? `message ${open.editing.id}` : `draft ${open.peer}`;
  if (written !== what) {
    const wasEditing = written?.startsWith("message");
    written = what;
    text.value = open.editing ? edited(open.editing) : (drafts().get(open.peer) ?? "");
    if (open.editing || wasEditing) text.focus();
    measure();
  }
  editing.hidden = !open.editing;
  drawReplying(open);
  drawAttached();
  text.readOnly = open.saving !== null && open.saving === open.editing;
  const blocked = state.blocked.has(open.peer);
  const gone = nameOf(open.peer) === null;
  text.disabled = blocked || gone || isRefused(open);
  text.placeholder = gone
    ? t("write.account-gone")
    : blocked
      ? t("write.blocked")
      : t("write.message");
  allow();
}

/** The message being edited was deleted in another window or on another device. */
function leaveDeleted(open) {
  unfinished.delete(open.editing.id);
  open.editing = null;
  tell(t("write.edit-gone"));
}

function drawReplying(open) {
  const answered = quoted(state.replying.get(open.peer));
  if (answered && (answered.deleted_at || !canWrite())) {
    state.replying.delete(open.peer);
    if (answered.deleted_at) tell(t("write.reply-gone"));
  }
  replying.hidden = open.editing !== null || !state.replying.has(open.peer);
  if (replying.hidden) return;
  replying.querySelector(".author").textContent = authorOf(answered);
  replying.querySelector(".said").textContent = gist(answered);
}

const edited = ({ id, message }) => unfinished.get(id) ?? message;

function measure() {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight}px`;
  const count = text.value.length > TELL ? [...text.value].length : 0;
  length.textContent = count > TELL ? t("write.length", { length: count, most: MOST }) : "";
  length.classList.toggle("fault", count > MOST);
  allow();
}

/** Let be sent what may be sent. */
function allow() {
  form.querySelector("#send").disabled = !maySend(text.value);
}

function maySend(said) {
  const { editing, peer } = state.open;
  if (isPreparing() || (said.length > MOST && [...said].length > MOST)) return false;
  return !isBlank(said) || (!editing && attachedTo(peer).length > 0);
}

text.addEventListener("input", () => {
  measure();
  const { editing } = state.open;
  if (editing) return void unfinished.set(editing.id, text.value);
  if (text.value) drafts().set(state.open.peer, text.value);
  else drafts().remove(state.open.peer);
  if (!device.lasting) changed(); // says so
  if (text.value) sayTyping();
});

text.addEventListener("keydown", (event) => {
  if (isComposing(event)) return;
  const newLine = event.shiftKey || matchMedia("(pointer: coarse)").matches;
  if (event.key === "Enter" && !newLine) {
    event.preventDefault();
    form.querySelector("#send").click();
  } else if (event.key === "Escape" && state.open.editing) {
    stopEditing();
  } else if (event.key === "Escape" && state.replying.has(state.open.peer)) {
    stopReplying();
  } else if (event.key === "ArrowUp" && !text.value && !state.open.editing) {
    const mine = state.open.messages.filter((each) => each.from_user === state.me.id).at(-1);
    if (!mine || mine.deleted_at) return;
    event.preventDefault();
    state.open.editing = mine;
    changed();
  }
});

document.getElementById("stop-replying").addEventListener("click", stopReplying);

function stopReplying() {
  state.replying.delete(state.open.peer);
  changed();
  text.focus();
}

document.getElementById("stop-editing").addEventListener("click", stopEditing);

function stopEditing() {
  unfinished.delete(state.open.editing.id);
  state.open.editing = null;
  changed();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  // Empty lines around it go; the first line keeps the spaces that it begins with.
  const said = text.value.replace(/^\s*\n/, "").trimEnd();
  if (!maySend(said) || text.readOnly || text.disabled) return;
  if (state.open.editing) attempt(finishEditing(state.open, said));
  else say(said);
});

function say(said) {
  const { peer } = state.open;
  const replyTo = takeReply(peer);
  const files = takeAttached(peer);
  const posted = files.length
    ? // What was written stands below the first of them.
      files.map((file, at) => post(peer, at ? "" : said, { file, replyTo: at ? null : replyTo }))
    : [post(peer, said, { replyTo })];
  drafts().remove(peer);
  text.value = "";
  measure();
  sayDone();
  state.open.unreadAfter = null; // who answers has read
  attempt(toEnd());
  Promise.all(posted).then(sendWaiting);
  text.focus();
}

/** The quote that goes with what is sent to a person now, and with nothing after it; or null. */
function takeReply(peer) {
  const message = quoted(state.replying.get(peer));
  state.replying.delete(peer);
  if (!message) return null;
  const { id, from_user, type, deleted_at } = message;
  return { id, from_user, type, deleted_at, message: part(message.message, 0, 200) };
}

async function finishEditing(open, said) {
  const message = (open.saving = open.editing);
  changed();
  try {
    learnMessage(await api.edit(message.id, said));
    unfinished.delete(message.id);
    if (open.editing === message) open.editing = null; // by now it may be another one
    tellOthers();
  } finally {
    if (open.saving === message) open.saving = null;
    changed();
  }
}
