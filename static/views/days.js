// The days between the messages, and the day of the topmost one while its own rule is out of sight.

import { h } from "../dom.js";
import { day } from "../format.js";

const list = document.getElementById("messages");
const sticky = document.getElementById("day");
const ROOM = 48; // pixels from the top in which a rule says it better

export const dayRule = (iso) => rule(`day ${day(iso)}`, day(iso), "day");

/** A line across the list, see `keyed`. */
export const rule = (key, text, kind) => ({
  key,
  version: text,
  make: () => h(`li.rule.${kind}`, {}, h("span", {}, text)),
});

/** `first` is the first message in sight. */
export function drawDay(first, atEnd) {
  const { top } = list.getBoundingClientRect();
  const isRuled = [...list.querySelectorAll(".rule.day")].some((each) => {
    const place = each.getBoundingClientRect();
    return place.bottom > top && place.top < top + ROOM;
  });
  sticky.hidden = atEnd || isRuled || !first;
  if (first) sticky.textContent = day(first.querySelector("time").dateTime);
}
