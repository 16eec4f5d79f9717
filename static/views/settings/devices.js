// Where I am logged in.

import { account } from "../../account.js";
import { announce, h, icon as symbol, keyed } from "../../dom.js";
import { dayAndTime } from "../../format.js";
import { t } from "../../texts.js";
import { ask, attempt } from "../ask.js";

export const title = "settings.devices";
export const icon = "devices";

// The first that is found in what a client calls itself. Most claim to be others, too.
const BROWSERS = [
  ["Edg", "Edge"],
  ["OPR/", "Opera"],
  ["SamsungBrowser", "Samsung Internet"],
  ["Firefox/", "Firefox"],
  ["FxiOS", "Firefox"],
  ["CriOS", "Chrome"],
  ["Chrome/", "Chrome"],
  ["Safari/", "Safari"],
];
const SYSTEMS = [
  ["Android", "Android"],
  ["iPhone", "iPhone"],
  ["iPad", "iPad"],
  ["Windows", "Windows"],
  ["Macintosh", "Mac"],
  ["CrOS", "ChromeOS"],
  ["Linux", "Linux"],
];

let list, others;

export function build() {
  list = h("ul.cards");
  others = h("button", { onclick: () => attempt(endOthers()), hidden: true }, t("devices.end-others"));
  return [list, h("div.row", {}, others)];
}

/** Ask anew: other devices come and go. */
export async function refresh() {
  const logins = await account.logins();
  logins.sort((a, b) => b.current - a.current || b.last_used_at.localeCompare(a.last_used_at));
  others.hidden = logins.length < 2;
  keyed(list, logins.map(row));
}

function row(login) {
  return { key: login.id, version: JSON.stringify(login), make: () => draw(login) };
}

function draw({ id, user_agent, created_at, last_used_at, current }) {
  const name = nameOf(user_agent);
  const since = t("devices.since", { when: dayAndTime(created_at) });
  const used = current ? t("devices.this") : t("devices.used", { when: dayAndTime(last_used_at) });
  const end = current ? logOut : () => attempt(endLogin(id, name));
  return h(
    "li",
    {},
    symbol("devices"),
    h("div", {}, h("bdi.name", {}, name), h(current ? "small.this" : "small", {}, used), h("small", {}, since)),
    h("button", { "aria-label": t("devices.end-name", { name }), onclick: end }, t("logout")),
  );
}

/** What somebody would call it: "Firefox · Linux". */
function nameOf(agent) {
  if (!agent) return t("devices.unknown");
  const find = (table) => table.find(([sign]) => agent.includes(sign))?.[1];
  const found = [find(BROWSERS), find(SYSTEMS)].filter(Boolean).join(" · ");
  return found || agent.split(/[/ ]/, 1)[0];
}

const logOut = () => document.getElementById("logout").click();

async function endLogin(id, name) {
  await account.endLogin(id).catch(unlessGone);
  await refresh();
  (list.querySelector("button") ?? list).focus();
  announce(t("devices.ended", { name }));
}

async function endOthers() {
  if (!(await ask(t("devices.ask"), t("devices.meaning"), t("logout")))) return;
  const logins = await account.logins();
  for (const { id, current } of logins) if (!current) await account.endLogin(id).catch(unlessGone);
  await refresh();
  list.querySelector("button").focus();
}

/** Somebody else has ended it. */
function unlessGone(error) {
  if (error.status !== 404) throw error;
}
