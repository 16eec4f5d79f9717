// Logging in again, over the page as it is: a login has ended, and what was typed stays.

import { api, Refused } from "../api.js";
import { h } from "../dom.js";
import { t } from "../texts.js";

/**
 * Ask for the password of whom the session is of, until the dialog is closed by `close()` of what
 * this returns. `renew` takes what the log-in answers; `leave` is for who will not log in.
 */
export function logInAgain(session, { renew, leave }) {
  const { username } = session;
  // Password managers look for a name; people read it above.
  const name = h("input.unseen", {
    name: "username", value: username, autocomplete: "username", readonly: true, tabindex: "-1",
    "aria-hidden": "true",
  });
  const password = h("input", {
    name: "password", type: "password", autocomplete: "current-password", required: true,
    autofocus: true, "aria-describedby": "again-fault",
  });
  const fault = h("p.fault", { id: "again-fault", role: "alert" });
  const button = h("button.primary", {}, t("login.enter"));

  async function submit(event) {
    event.preventDefault();
    fault.textContent = "";
    button.disabled = true;
    try {
      const answer = await api.login(username, password.value, session.stays);
      if (answer.id !== session.id) throw new Error(t("again.taken"));
      renew(answer);
    } catch (error) {
      const isWrong = error instanceof Refused && error.status === 401;
      fault.textContent = isWrong ? t("again.wrong") : error.message;
      password.setAttribute("aria-invalid", isWrong);
      password.focus();
      password.select();
    } finally {
      button.disabled = false;
    }
  }

  const dialog = h(
    "dialog",
    { id: "again", "aria-labelledby": "again-title", "aria-describedby": "again-text", closedby: "none" },
    h(
      "form",
      { onsubmit: submit },
      h("h2", { id: "again-title", dir: "auto" }, t("again.title", { name: username })),
      h("p", { id: "again-text" }, t("again.text")),
      name,
      h("label.field", {}, t("login.password"), password),
      fault,
      h("menu", {}, h("li", {}, h("button", { type: "button", onclick: leave }, t("logout"))), h("li", {}, button)),
    ),
  );
  let open = true;
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.addEventListener("close", () => open && dialog.showModal()); // Esc, pressed twice
  document.body.append(dialog);
  dialog.showModal();
  return {
    close() {
      open = false;
      dialog.close(); // gives the focus back
      dialog.remove();
    },
  };
}
