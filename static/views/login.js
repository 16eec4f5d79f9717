// Logging in, and making an account first.

import { api, Refused } from "../api.js";
import { save } from "../session.js";

const main = document.getElementById("login");
const form = main.querySelector("form");
const { username, password, stay } = form.elements;
const fault = form.querySelector(".fault");
const button = form.querySelector("button");
const registering = () => form.elements.way.value === "register";

/** Show the form until somebody has logged in; resolves to the new session. */
export function logIn({ notice, username: known }) {
  main.hidden = false;
  form.querySelector("#login-notice").textContent = notice ?? "";
  form.querySelector("#login-notice").hidden = !notice;
  username.value = known ?? "";
  (known ? password : username).focus();
  form.addEventListener("change", drawWay);
  form.addEventListener("input", () => blame(null));
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
  button.textContent = registering() ? "Create account" : "Log in";
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

async function submit() {
  fault.textContent = "";
  blame(null);
  button.disabled = true;
  try {
    if (registering()) await api.register(username.value, password.value);
    const session = await api.login(username.value, password.value);
    save(session, stay.checked);
    password.value = "";
    return session;
  } catch (error) {
    fault.textContent = error.message.charAt(0).toUpperCase() + error.message.slice(1);
    const field = /name/i.test(error.message) && registering() ? username : password;
    // Neither field is to blame for a lost connection, or for too many attempts.
    if (error instanceof Refused && !error.passing) blame(field);
    field.focus();
    return null;
  } finally {
    button.disabled = false;
  }
}
