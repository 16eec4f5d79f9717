// What the front ends of tests/front_ends stand on: a screen for the tests to look at, and the lines
// of JSON by which tests/support/front_ends.py tells them what to do.
//
// Each line in is a wish, {"id", "verb", ...}; each gets one line out, {"id", "result"} or
// {"id", "error"}. In between come lines with the whole "screen" whenever it changes.

import { createInterface } from "node:readline";

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

for (const level of ["log", "info", "warn", "error"]) {
  console[level] = (...words) => say({ log: words.map(String).join(" ") });
}

export const screen = { ready: false, me: "", people: [], online: [], chats: [], lines: [], typing: "" };

export function show(parts) {
  Object.assign(screen, parts);
  say({ screen });
}

export const api = `${process.argv[2]}/api`;

// Requests with the headers and answers of axios, which most of the family use.
export const axios = { headers: {} };
for (const method of ["get", "post"]) {
  axios[method] = async (path, body, headers = {}) => {
    const response = await fetch(api + path, {
      method: method.toUpperCase(),
      headers: {
        Accept: "application/json, text/plain, */*",
        ...(body ? { "Content-Type": "application/json;charset=utf-8" } : {}),
        ...axios.headers,
        ...headers,
      },
      body: body && JSON.stringify(body),
    });
    const data = response.status === 204 ? null : await response.json();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(data)}`);
    return { data, status: response.status };
  };
}

export function play(verbs) {
  createInterface({ input: process.stdin })
    .on("line", async (line) => {
      const { id, verb, ...wish } = JSON.parse(line);
      try {
        say({ id, result: (await verbs[verb](wish)) ?? null });
      } catch (error) {
        say({ id, error: error.stack });
      }
    })
    .on("close", () => process.exit()); // whoever drove it has closed it, or died
}
