// The head of the open chat: who it is, whether they are there, and blocking them.

import { api } from "../api.js";
import { h, icon } from "../dom.js";
import { avatar, shownName } from "../format.js";
import { nameOf, changed, state } from "../store.js";
import { ask, attempt } from "./ask.js";

const byId = (id) => document.getElementById(id);
const block = byId("block");
let drawn = null;
let opened = null;

export function drawTalk() {
  const open = state.open;
  byId("talk").hidden = !open;
  byId("nobody").hidden = open !== null;
  byId("alone").hidden = state.chats.size > 0 || state.people.length > 1;
  if (!open) return void (opened = drawn = null);
  const name = nameOf(open.peer);
  const online = state.online.has(open.peer);
  const blocked = state.blocked.has(open.peer);
  if (drawn !== `${open.peer} ${name} ${online} ${blocked}`) {
    drawn = `${open.peer} ${name} ${online} ${blocked}`;
    byId("peer").textContent = shownName(name);
    byId("peer-picture").replaceChildren(avatar(open.peer, name, online));
    const verb = blocked ? "Unblock" : "Block";
    block.replaceChildren(icon("block"), h("span", {}, verb));
    block.setAttribute("aria-label", `${verb} ${shownName(name)}`);
  }
  const status = byId("peer-status");
  status.classList.toggle("typing", open.typing);
  const offline = state.connection === "live" && state.left.has(open.peer);
  status.textContent = open.typing ? "typing" : online ? "Online" : offline ? "Offline" : "";
  if (opened !== open.peer) {
    opened = open.peer;
    // On a touch screen this would bring up a keyboard, and reading comes first.
    (matchMedia("(pointer: coarse)").matches ? byId("peer") : byId("text")).focus();
  }
}

block.addEventListener("click", async () => {
  const { peer } = state.open;
  const name = shownName(nameOf(peer));
  if (state.blocked.has(peer)) {
    if (await attempt(api.unblock(peer))) state.blocked.delete(peer);
  } else {
    const meaning = "Neither of you can write to the other until you unblock them.";
    if (!(await ask(`Block ${name}?`, meaning, "Block"))) return;
    state.blocked.add(peer);
    changed(); // leaves the chat's channel, which will not be ours in a moment
    if (!(await attempt(api.block(peer)))) state.blocked.delete(peer);
  }
  changed();
});
