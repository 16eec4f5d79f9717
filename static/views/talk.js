// The head of the open chat: who it is, whether they are there, and blocking them.

import { block, unblock } from "../blocks.js";
import { h, icon } from "../dom.js";
import { shownName } from "../format.js";
import { look } from "../live.js";
import { isBlocked, isOnline, nameOf, personOf, state } from "../store.js";
import { currentLanguage, t } from "../texts.js";
import { ask, attempt } from "./ask.js";
import { avatar } from "./avatar.js";

const byId = (id) => document.getElementById(id);
const button = byId("block");
let drawn = null;
let opened = null;

export function drawTalk() {
  const open = state.open;
  byId("talk").hidden = !open;
  byId("nobody").hidden = open !== null;
  const isAlone = !state.chats.size && state.people.length <= 1;
  byId("alone").hidden = !isAlone;
  byId("pick").textContent = t(isAlone ? "chat.first" : "chat.pick");
  if (!open) return void (opened = drawn = null);
  const person = personOf(open.peer);
  const name = nameOf(open.peer);
  const online = isOnline(open.peer);
  const blocked = state.blocked.has(open.peer);
  const version = JSON.stringify([open.peer, person, online, blocked, currentLanguage()]);
  if (drawn !== version) {
    drawn = version;
    byId("peer").textContent = shownName(name);
    byId("peer-username").textContent = person?.display_name ? person.username : "";
    byId("peer-picture").replaceChildren(avatar(open.peer, online));
    button.replaceChildren(icon("block"), h("span", {}, t(blocked ? "block.undo" : "block")));
    const verb = blocked ? "block.undo-name" : "block.name";
    button.setAttribute("aria-label", t(verb, { name: shownName(name) }));
  }
  // Who is blocked by them, or talks to an account that is gone, has nothing to gain from a block.
  button.hidden = name === null || (isBlocked(open.peer) && !blocked);
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

button.addEventListener("click", async () => {
  const { peer } = state.open;
  const name = shownName(nameOf(peer));
  if (state.blocked.has(peer)) await attempt(unblock(peer));
  else if (await ask(t("block.ask", { name }), t("block.meaning"), t("block"))) await attempt(block(peer));
  else return;
  look();
});
