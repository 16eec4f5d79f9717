// The service worker of this page, see worker.js. Browsers have none on pages without TLS, but for
// localhost.

import { t } from "./texts.js";

/** Beside this script's folder, because a worker may serve only what is below its own address. */
const ADDRESS = `${document.documentElement.dataset.root}worker.js`;

/** Why there is no worker; null if there is one, or will be in a moment. */
export let fault = navigator.serviceWorker ? null : t("told.no-worker");

/** Register it, or find out whether it has changed. Without it, the page works all the same. */
export async function register() {
  if (fault) return;
  // The page's policy lets scripts begin only at this address, see web/page.py.
  const policy = window.trustedTypes?.createPolicy("worker", { createScriptURL: () => ADDRESS });
  try {
    await navigator.serviceWorker.register(policy ? policy.createScriptURL("") : ADDRESS);
  } catch (error) {
    fault = error.message; // the settings say it to those who want to be told of messages
  }
}

/** The registration; undefined if there is none. */
export const registered = async () => (fault ? undefined : navigator.serviceWorker.getRegistration());
