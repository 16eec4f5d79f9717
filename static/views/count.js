// How many messages are unread: in the title, and on the icon of the tab or of the installed page.

import { isInstalled, wants } from "../choices.js";
import { nameOf, state, unreadInAll } from "../store.js";

const MOST = 9; // what can be read on an icon
const link = document.querySelector("link[rel=icon]");
const plain = link.href;
let drawn = 0;
let picture = null; // the icon's text, once it was needed

export function drawCount() {
  const unread = unreadInAll();
  const peer = state.open && nameOf(state.open.peer);
  document.title = `${unread ? `(${unread}) ` : ""}${peer ? `${peer} · ` : ""}Chitchat`;
  drawIcon(wants("badge") ? unread : 0);
}

async function drawIcon(count) {
  if (count === drawn) return;
  drawn = count;
  if (isInstalled()) navigator.setAppBadge?.(count).catch(() => {}); // the title has it in any case
  if (!count) return point(plain);
  try {
    picture ??= await (await fetch(plain)).text();
  } catch {
    drawn = 0; // without a connection: the next change tries again
    return;
  }
  if (count === drawn) point(URL.createObjectURL(new Blob([withCount(count)], { type: "image/svg+xml" })));
}

function point(address) {
  if (link.href.startsWith("blob:")) URL.revokeObjectURL(link.href);
  link.href = address;
}

function withCount(count) {
  const text = count > MOST ? `${MOST}+` : count;
  const size = count > MOST ? 15 : 20;
  const badge =
    '<circle cx="34" cy="34" r="14" fill="#b3261e"/>' +
    `<text x="34" y="${34 + size / 3}" fill="#fff" font-family="sans-serif" font-size="${size}"` +
    ` font-weight="700" text-anchor="middle">${text}</text>`;
  return picture.replace("</svg>", `${badge}</svg>`);
}
