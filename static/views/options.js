// What can be done with the open chat and the person in it.

import { block, unblock } from "../blocks.js";
import { shownName, when } from "../format.js";
import { look } from "../live.js";
import { mute, mutedUntil, unmute } from "../mutes.js";
import { isBlocked, nameOf, onChange, state } from "../store.js";
import { t } from "../texts.js";
import { ask, attempt, tell } from "./ask.js";
import { choices, showMenu } from "./menu.js";
import { showPerson } from "./person.js";
import { searchOpenChat } from "./search.js";

const opener = document.getElementById("chat-menu");
const lift = document.getElementById("unblock");

function openMenu() {
  const { peer } = state.open;
  const name = shownName(nameOf(peer));
  const title = t("menu.chat", { name });
  showMenu(opener, title, choices(title, items(peer, name).filter(Boolean)));
}

function items(peer, name) {
  const chat = state.chats.get(peer);
  const blocked = state.blocked.has(peer);
  const isGone = nameOf(peer) === null;
  return [
    !isGone && { name: "person", label: t("menu.profile"), act: () => showPerson(peer) },
    { name: "search", label: t("search.in-chat"), act: searchOpenChat },
    ...(chat && !isGone ? silence(peer, chat) : []),
    blocked && { name: "block", label: t("block.undo"), act: () => unblockThem(peer, name) },
    // Who is blocked by them has nothing to gain from a block.
    !isGone && !isBlocked(peer) && { name: "block", label: t("block"), act: () => blockThem(peer, name) },
  ];
}

function silence(peer, { muted }) {
  if (muted) {
    const until = mutedUntil(peer);
    const label = until ? t("menu.unmute-until", { time: when(until) }) : t("menu.unmute");
    return [{ name: "bell", label, act: () => attempt(turnOn(peer)) }];
  }
  const hours = { "menu.mute-hour": 1, "menu.mute-hours": 8, "menu.mute": null };
  return Object.entries(hours).map(([key, count]) => ({
    name: "silent",
    label: t(key),
    act: () => attempt(turnOff(peer, count)),
  }));
}

async function turnOff(peer, hours) {
  await mute(peer, hours);
  const until = mutedUntil(peer);
  tell(until ? t("menu.muted-until", { time: when(until) }) : t("menu.muted"));
}

async function turnOn(peer) {
  await unmute(peer);
  tell(t("menu.unmuted"));
}

async function blockThem(peer, name) {
  if (!(await ask(t("block.ask", { name }), t("block.meaning"), t("block")))) return;
  await attempt(block(peer));
  look();
}

async function unblockThem(peer, name) {
  if (await attempt(unblock(peer))) tell(t("blocked.lifted", { name }));
  look();
}

opener.addEventListener("click", openMenu);
lift.addEventListener("click", () => {
  const { peer } = state.open;
  opener.focus(); // this button goes away
  unblockThem(peer, shownName(nameOf(peer)));
});

onChange(() => {
  const open = state.open;
  if (!open) return;
  const name = shownName(nameOf(open.peer));
  opener.disabled = nameOf(open.peer) === undefined; // it is not known yet who they are
  lift.hidden = !state.blocked.has(open.peer);
  lift.setAttribute("aria-label", t("block.undo-name", { name }));
});

// The picture and the name lead to the profile, too; keys find it in the menu.
for (const id of ["peer-picture", "peer"]) {
  document.getElementById(id).addEventListener("click", () => {
    const { peer } = state.open;
    if (nameOf(peer) !== null) showPerson(peer);
  });
}
