// Questions before steps that cannot be undone, and faults of requests.

import { LoggedOut } from "../api.js";

const question = document.getElementById("question");
const toast = document.getElementById("toast");
const TOAST_MS = 6_000;

/** Ask whether they mean it; resolves to true or false. */
export function ask(title, explanation, verb) {
  question.querySelector("h2").textContent = title;
  question.querySelector("p").textContent = explanation;
  question.querySelector("[value=yes]").textContent = verb;
  question.returnValue = "";
  question.showModal(); // keeps the focus inside, and gives it back afterwards
  return new Promise((resolve) =>
    question.addEventListener("close", () => resolve(question.returnValue === "yes"), {
      once: true,
    }),
  );
}

let timer;

if (!toast.showPopover) toast.removeAttribute("popover"); // an older browser just shows it

function hide() {
  toast.hidePopover?.();
  toast.textContent = "";
}

/** Say something in passing. */
export function tell(sentence) {
  toast.textContent = sentence;
  toast.showPopover?.(); // above a question
  clearTimeout(timer);
  timer = setTimeout(hide, TOAST_MS);
}

/** Wait for it; if it fails, say why. Returns whether it worked. */
export async function attempt(promise) {
  try {
    await promise;
    return true;
  } catch (error) {
    if (error instanceof LoggedOut) return false; // the page is being left
    tell(error.message);
    return false;
  }
}
