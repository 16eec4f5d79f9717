// What the list is made of: sections, and their rows: chats, people, and messages that were found.

import { h, icon } from "../dom.js";
import { excerpt, gist, preview, shownName, when } from "../format.js";
import { asMessage } from "../outbox.js";
import { isOnline, nameOf, peerOf, personOf, state } from "../store.js";
import { t } from "../texts.js";
import { avatar } from "./avatar.js";
import { draftFor } from "./composer.js";

/** A section stays the same element; its rows have keys of their own. */
export function section(name, rows) {
  const id = `list-${name}`;
  const title = t(`list.${name}`);
  const heading = () => h("h2", { id }, title);
  const make = () => h("section", { "aria-labelledby": id }, heading(), h("ul"));
  return { key: name, version: title, make, rows };
}

/** A sentence in place of sections. */
export const note = (text) => ({
  key: "note",
  version: text,
  make: () => h("p.empty", { dir: "auto" }, text),
  rows: null,
});

/** `waiting` is the last message on its way to them, if there is one. */
export function chatRow(chat, waiting) {
  const { peer, unread } = chat;
  const online = isOnline(peer);
  const current = state.open?.peer === peer;
  const at = waiting?.at ?? chat.last?.created_at;
  const [kind, said, mark] = lastLine(chat, waiting, current);
  const shown = [personOf(peer), online, kind, said, mark, at && when(at), unread, chat.muted, t("list.chats")];
  return row(shown, `#/${peer}`, current, () => [
    avatar(peer, online),
    h("bdi.name", {}, shownName(nameOf(peer))),
    online && h("span.unseen", {}, t("chat.online")),
    at && h("time", { datetime: at }, chat.muted && silent(), when(at)),
    h(`span.said.${kind}`, {}, lead(kind, mark), h("bdi", {}, said)),
    unread > 0 && h("span.count", {}, `${unread}`, h("span.unseen", {}, ` ${t("list.unread")}`)),
  ]);
}

const silent = () => [icon("silent"), h("span.unseen", {}, `${t("menu.muted")}, `)];

/** What the second line of a chat is about, what it says, and how far my message got. */
function lastLine({ peer, last, peerReadId }, waiting, current) {
  if (state.typing.has(peer)) return ["typing", `${t("chat.typing")}…`];
  const draft = current ? null : draftFor(peer);
  if (draft) return ["draft", preview(draft)];
  if (waiting) return ["mine", gist(asMessage(waiting)), waiting.error ? "fault" : "waiting"];
  if (!last) return ["nothing", t("list.empty-chat")];
  if (last.deleted_at) return ["nothing", gist(last)];
  if (last.from_user !== state.me.id) return ["theirs", gist(last)];
  return ["mine", gist(last), last.id <= peerReadId ? "read" : "sent"];
}

const MARKS = { waiting: "message.waiting", sent: "message.sent", read: "message.read" };

/** What stands before it. A mark shows that it is mine; who sees none is told. */
function lead(kind, mark) {
  if (kind === "draft") return h("span.lead", {}, `${t("list.draft")}: `);
  if (kind !== "mine") return null;
  const means = MARKS[mark] ? `${t(MARKS[mark])}, ` : "";
  return [h(`span.mark.${mark}`, {}, icon(mark)), h("span.unseen", {}, `${means}${t("message.you")}: `)];
}

export function personRow({ id }) {
  const { username, display_name } = personOf(id);
  const online = isOnline(id);
  const current = state.open?.peer === id;
  const hello = t(online ? "chat.online" : "list.hello");
  return row([personOf(id), online, hello], `#/${id}`, current, () => [
    avatar(id, online),
    h("bdi.name", {}, nameOf(id)),
    h("span.said.nothing", {}, display_name && [h("bdi", {}, username), " · "], hello),
  ]);
}

/** A message that was found, with the words of the query marked. */
export function messageRow(message, query) {
  const peer = peerOf(message);
  const { id, created_at } = message;
  const href = `#/${peer}/${id}`;
  const shown = [personOf(peer), message.message, query, when(created_at), t("message.you")];
  return row(shown, href, location.hash === href, () => [
    avatar(peer),
    h("bdi.name", {}, shownName(nameOf(peer))),
    h("time", { datetime: created_at }, when(created_at)),
    h(
      "span.said",
      {},
      message.from_user === state.me.id && `${t("message.you")}: `,
      h("bdi", {}, message.message ? excerpt(message.message, query) : gist(message)),
    ),
  ]);
}

function row(shown, href, current, content) {
  const make = () =>
    h("li", {}, h("a", { href, "aria-current": current ? "page" : null }, content()));
  return { key: href, version: JSON.stringify([current, ...shown]), make };
}
