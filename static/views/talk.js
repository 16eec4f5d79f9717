// The head of the open chat: who it is, and whether they are there.

import { shownName } from "../format.js";
import { isBlocked, isOnline, nameOf, personOf, state } from "../store.js";
import { currentLanguage, t } from "../texts.js";
import { avatar } from "./avatar.js";

const byId = (id) => document.getElementById(id);
let drawn = null;
let opened = null;

export function drawTalk() {
  const open = state.open;
  byId("talk").hidden = !open;
  byId("nobody").hidden = open !== null;
  const isKnown = state.loaded && state.morePeople !== undefined;
  const isAlone = isKnown && !state.chats.size && state.people.length <= 1;
  byId("alone").hidden = !isAlone;
  byId("pick").textContent = t(isAlone ? "chat.first" : "chat.pick");
  if (!open) return void (opened = drawn = null);
  const person = personOf(open.peer);
  const name = nameOf(open.peer);
  byId("talk").classList.toggle("awaited", name === undefined);
  const online = isOnline(open.peer);
  const muted = state.chats.get(open.peer)?.muted ?? false;
  const version = JSON.stringify([open.peer, shownName(name), person, online, muted, currentLanguage()]);
  if (drawn !== version) {
    drawn = version;
    byId("peer").textContent = shownName(name);
    byId("peer-username").textContent = person?.display_name ? person.username : "";
    byId("peer-picture").replaceChildren(avatar(open.peer, online));
    byId("peer-muted").toggleAttribute("hidden", !muted);
  }
  const status = byId("peer-status");
  const typing = state.typing.has(open.peer);
  status.classList.toggle("typing", typing);
  const offline = state.connection === "live" && state.left.has(open.peer) && !isBlocked(open.peer);
  status.textContent = typing ? t("chat.typing") : online ? t("chat.online") : offline ? t("chat.offline") : "";
  if (opened !== open.peer) {
    opened = open.peer;
    // On a touch screen this would bring up a keyboard, and reading comes first.
    (matchMedia("(pointer: coarse)").matches ? byId("peer") : byId("text")).focus();
  }
}
