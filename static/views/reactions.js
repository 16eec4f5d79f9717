// Reactions: those under a message, and the menu to choose one from. On touch screens the same menu
// holds what else can be done with the message.
//
// Any other emoji comes from the system's own picker. The known pickers write their markup with
// innerHTML and inline styles, which the policy of this page forbids.

import { api } from "../api.js";
import { announce, h } from "../dom.js";
import { isEmoji, shownName } from "../format.js";
import { isBlocked, learnMessage, nameOf, state } from "../store.js";
import { t } from "../texts.js";
import { tellOthers } from "../windows.js";
import { attempt } from "./ask.js";
import { closeMenu, showMenu, verbs } from "./menu.js";

const ROW = 6; // emoji in a row, as the style sheet has it

const PALETTE = "👍 ❤️ 😂 😮 😢 🙏 👎 🎉 🔥 👏 💯 ✅ 😀 😍 🤔 😅 😎 🥳 😴 😡 🤯 🤷 👀 💪".split(" ");

/** Whether something can be written to the other side of the open chat. */
export const canWrite = () => {
  const peer = state.open?.peer;
  return !isBlocked(peer) && nameOf(peer) !== null;
};

const same = (emoji) => emoji.replaceAll("\ufe0f", ""); // spelled as a text or as an emoji

/** Whether this person has reacted to a message with this emoji. */
const isMine = ({ reactions }, emoji) =>
  Boolean(
    reactions?.some((each) => same(each.emoji) === same(emoji) && each.users.includes(state.me.id)),
  );

async function toggle(message, emoji) {
  const mine = isMine(message, emoji);
  const request = mine ? api.takeBack : api.react;
  if (!(await attempt(request(message.id, emoji).then(learnMessage)))) return;
  announce(t(mine ? "react.removed" : "react.added", { emoji }));
  tellOthers();
}

/** The list under a message, or null if there are none. */
export function drawReactions(message) {
  if (!message.reactions?.length) return null;
  return h("ul.reactions", { "aria-label": t("react.list") }, message.reactions.map(one));

  function one({ emoji, users }) {
    const names = users.map((id) => (id === state.me.id ? t("message.you") : shownName(nameOf(id))));
    const mine = isMine(message, emoji);
    const properties = {
      "aria-pressed": String(mine),
      "data-keep": `reaction ${same(emoji)}`,
      title: names.join(", "),
      disabled: !mine && !canWrite(),
      onclick: () => toggle(message, emoji),
    };
    return h("li", {}, h("button", properties, h("span", {}, emoji), ` ${users.length}`));
  }
}

/** Open the menu near an element. `items` stand below the emoji, see menu.js. */
export function openMenu(message, near, items = []) {
  const emoji = canWrite() && !message.pending ? palette(message) : "";
  showMenu(near, t("act.menu"), emoji, items.length ? verbs(items) : "");
}

function palette(message) {
  const choose = (emoji) => closeMenu(() => toggle(message, emoji));
  const pick = (emoji) =>
    h(
      "button.quiet",
      {
        "aria-label": t(`emoji.${emoji}`),
        "aria-pressed": String(isMine(message, emoji)),
        title: t(`emoji.${emoji}`),
        onclick: () => choose(emoji),
      },
      emoji,
    );
  const other = h("input", {
    "aria-label": t("react.other"),
    placeholder: t("react.other"),
    autocomplete: "off",
    oninput: () => {
      const given = other.value.trim();
      const isOne = given && isEmoji(given, 1);
      if (isOne) choose(given);
      else other.setCustomValidity(given ? t("react.one") : "");
      if (!isOne && given) other.reportValidity();
    },
  });
  return h(
    "div",
    {},
    h(
      "div.palette",
      { role: "group", "aria-label": t("act.react"), onkeydown: move },
      PALETTE.map(pick),
    ),
    other,
  );
}

/** The arrows move in the grid. */
function move(event) {
  const all = [...event.currentTarget.children];
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -ROW, ArrowDown: ROW }[event.key];
  const next = all[all.indexOf(event.target) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}
