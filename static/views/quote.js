// The quote above an answer. It leads to the message that is quoted.

import { open } from "../conversation.js";
import { h } from "../dom.js";
import { gist, shownName } from "../format.js";
import { nameOf, state } from "../store.js";
import { t } from "../texts.js";
import { attempt } from "./ask.js";

const list = document.getElementById("messages");

/** What is quoted, as it now stands: events do not tell answers anew when it changes. */
export const quoted = (quote) =>
  quote && (state.open?.messages.find(({ id }) => id === quote.id) ?? quote);

export const authorOf = ({ from_user }) =>
  from_user === state.me.id ? t("message.you") : shownName(nameOf(from_user));

/** A link in the bubble of an answer. */
export function drawQuote(quote) {
  const { peer } = state.open;
  return h(
    "a.quote",
    { href: `#/${peer}/${quote.id}`, onclick: (event) => follow(event, peer, quote.id) },
    h("span.unseen", {}, `${t("message.in-reply")} `),
    h("bdi.author", {}, authorOf(quote)),
    h("span.unseen", {}, ": "),
    h(quote.deleted_at ? "span.said.deleted" : "span.said", { dir: "auto" }, gist(quote)),
  );
}

/** Go there without loading anything, if it is loaded. Otherwise the address does it. */
function follow(event, peer, id) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a window of its own
  const target = list.querySelector(`.message[data-id="${id}"]`);
  if (target) {
    event.preventDefault();
    target.scrollIntoView({ block: "center" });
    target.classList.remove("found");
    void target.offsetWidth; // so that the animation begins anew
    target.classList.add("found");
    target.focus({ preventScroll: true });
  } else if (event.currentTarget.hash === location.hash) {
    event.preventDefault();
    attempt(open(peer, { around: id })); // an address that stays the same tells nobody
  }
}
