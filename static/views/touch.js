// Fingers on the messages: a swipe answers one, a long press shows what can be done with it.

import { messageOf, openAll, reply } from "./actions.js";

const list = document.getElementById("messages");
const FAR = 64; // pixels of a swipe
const STILL = 10; // a finger that moves less rests
const LONG_MS = 500;

let touch = null; // {row, x, y, timer, moved}

list.addEventListener("touchstart", (event) => {
  drop();
  const row = event.target.closest(".message");
  if (!row || event.touches.length > 1) return;
  const [{ clientX: x, clientY: y }] = event.touches;
  touch = { row, x, y, moved: 0 };
  if (!event.target.closest(".bubble a:not(.quote), .actions")) touch.timer = setTimeout(press, LONG_MS);
}, { passive: true });

function press() {
  const { row } = touch;
  drop();
  if (openAll(row)) navigator.vibrate?.(10);
  // What the finger does now belongs to nothing below it.
  list.addEventListener("touchend", (event) => event.preventDefault(), { once: true });
}

list.addEventListener("touchmove", (event) => {
  if (!touch) return;
  const [{ clientX, clientY }] = event.touches;
  const [x, y] = [clientX - touch.x, clientY - touch.y];
  if (Math.hypot(x, y) > STILL) clearTimeout(touch.timer);
  if (Math.abs(y) > STILL && Math.abs(y) > Math.abs(x)) return drop(); // it scrolls
  touch.moved = Math.max(0, Math.min(x, FAR + 16));
  const shown = touch.moved > STILL && messageOf(touch.row) ? touch.moved : 0;
  touch.row.style.translate = `${shown}px`;
  touch.row.classList.toggle("swiped", shown >= FAR);
}, { passive: true });

list.addEventListener("touchend", () => {
  const answered = touch?.moved >= FAR && messageOf(touch.row);
  drop();
  if (answered) reply(answered);
});
list.addEventListener("touchcancel", drop);

function drop() {
  if (!touch) return;
  clearTimeout(touch.timer);
  touch.row.style.translate = "";
  touch.row.classList.remove("swiped");
  touch = null;
}

// Android's own menu for a long press would come on top. A link keeps it.
list.addEventListener("contextmenu", (event) => {
  const byFinger = event.pointerType === "touch" || matchMedia("(pointer: coarse)").matches;
  if (byFinger && !event.target.closest(".bubble a:not(.quote)")) event.preventDefault();
});
