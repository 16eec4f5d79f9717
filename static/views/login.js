// Logging in, and making an account first.

import { api, Refused } from "../api.js";
import { save } from "../session.js";
import { fillIn, t } from "../texts.js";

const main = document.getElementById("login");
const form = main.querySelector("form");
const { username, password, stay } = form.elements;
const fault = form.querySelector(".fault");
const button = form.querySelector("button");
const registering = () => form.elements.way.value === "register";

/** Show the form until somebody has logged in; resolves to the new session. */
export function logIn({ notice, username: known }) {
  document.getElementById("starting").hidden = true;
  main.hidden = false;
  form.querySelector("#login-notice").textContent = notice ?? "";
  form.querySelector("#login-notice").hidden = !notice;
  username.value = known ?? "";
  (known ? password : username).focus();
  form.addEventListener("change", drawWay);
  form.addEventListener("input", () => blame(null));
  addEventListener("pageshow", drawWay); // the browser may have restored an earlier choice
  blame(null);
  return new Promise((resolve) =>
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const session = await submit();
      if (session) resolve(session);
    }),
  );
}

function drawWay() {
  button.dataset.text = registering() ? "login.create" : "login.enter";
  fillIn(form);
  password.autocomplete = registering() ? "new-password" : "current-password";
  form.querySelector("#password-hint").hidden = !registering();
}

/** Tie the fault to the field that it is about, or to none, and a hint only while it shows. */
function blame(field) {
  for (const each of [username, password]) {
    const texts = [
      each === password && registering() && "password-hint",
      each === field && "login-fault",
    ];
    each.setAttribute("aria-describedby", texts.filter(Boolean).join(" "));
    each.setAttribute("aria-invalid", each === field);
  }
}

let maybeMade = null; // the name of an account that may be there, although no answer said so

/** Make the account if asked to, and log in. */
async function enter(name, secret) {
  let taken = null;
  if (registering()) {
    try {
      await api.register(name, secret);
      maybeMade = name;
    } catch (error) {
      if (!(error instanceof Refused) || error.passing) maybeMade = name;
      // It may be our own account, of which the answer was lost. The log-in tells.
      if (error.code !== "taken" || maybeMade !== name) throw error;
      taken = error;
    }
  }
  try {
    return await api.login(name, secret, stay.checked);
  } catch (error) {
    throw taken && error.status === 401 ? taken : error;
  }
}

async function submit() {
  fault.textContent = "";
  blame(null);
  button.disabled = true;
  try {
    const session = save(await enter(username.value, password.value), stay.checked);
    password.value = "";
    return session;
  } catch (error) {
    const labels = { username: t("login.name"), password: t("login.password") };
    fault.textContent = error.message.replace(/^(username|password)\b/, (member) => labels[member]);
    const isName = error.code === "taken" || /^username\b/.test(error.original);
    const field = isName && registering() ? username : password;
    // Neither field is to blame for a lost connection, or for too many attempts.
    if (error instanceof Refused && !error.passing) blame(field);
    field.focus();
    return null;
  } finally {
    button.disabled = false;
  }
}
