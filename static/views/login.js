// Logging in, and making an account first.

import { api } from "../api.js";
import { save } from "../session.js";

const main = document.getElementById("login");
const form = main.querySelector("form");
const { username, password, stay } = form.elements;
const fault = form.querySelector(".fault");
const button = form.querySelector("button");
const registering = () => form.elements.way.value === "register";

/** Show the form until somebody has logged in: the new session. */
export function logIn({ notice, username: known }) {
  main.hidden = false;
  form.querySelector("#login-notice").textContent = notice ?? "";
  form.querySelector("#login-notice").hidden = !notice;
  username.value = known ?? "";
  (known ? password : username).focus();
  form.addEventListener("change", drawWay);
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

async function submit() {
  fault.textContent = "";
  button.disabled = true;
  try {
    if (registering()) await api.register(username.value, password.value);
    const session = await api.login(username.value, password.value);
    save(session, stay.checked);
    password.value = "";
    return session;
  } catch (error) {
    fault.textContent = error.message.charAt(0).toUpperCase() + error.message.slice(1);
    const atName = /name/i.test(error.message) && registering();
    (atName ? username : password).focus();
    return null;
  } finally {
    button.disabled = false;
  }
}
