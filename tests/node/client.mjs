// pusher-js, driven by the lines of JSON that tests/pusher_js.py writes to its standard input.
//
//   node client.mjs 8|4
//
// Each line in is a call, {"id", "verb", ...}; each gets one line out, {"id", "result"} or
// {"id", "error"}. In between come lines with an "event", a "state", a "fault" or a "log".

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(import.meta.url);
const version = process.argv[2];
// The one without a number is the chat page's own, from the top of the project.
const Pusher = require(version === "4" ? "pusher-js-4" : "pusher-js");

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const now = () => (performance.timeOrigin + performance.now()) / 1000;

for (const level of ["log", "info", "warn", "error"]) {
  console[level] = (...words) => say({ log: words.map(String).join(" ") });
}

let pusher;

const verbs = {
  connect({ config, token, authUrl, userAuthUrl }) {
    const { key, ...options } = config;
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    if (userAuthUrl) {
      options.userAuthentication = { endpoint: userAuthUrl, headers, transport: "ajax" };
    }
    pusher = new Pusher(key, { ...options, ...authorization(authUrl, headers) });
    pusher.connection.bind("state_change", ({ current }) =>
      say({ state: current, socketId: pusher.connection.socket_id ?? null }),
    );
    pusher.connection.bind("error", (fault) => say({ fault }));
    say({ state: pusher.connection.state, socketId: null });
  },

  disconnect() {
    pusher.disconnect();
  },

  reconnect() {
    pusher.connect();
  },

  // Only 8 has this. The promise is kept also when it fails; then there is no data.
  async signIn() {
    pusher.signin();
    await pusher.user.signinDonePromise;
    return pusher.user.user_data ?? null;
  },

  subscribe({ channel: name }) {
    const channel = listen(pusher.subscribe(name));
    if (channel.subscribed) return;
    return new Promise((resolve, reject) => {
      const succeeded = () => settle(resolve);
      const failed = (why) => settle(() => reject(refusal(why)));
      const settle = (outcome) => {
        channel.unbind("pusher:subscription_succeeded", succeeded);
        channel.unbind("pusher:subscription_error", failed);
        outcome();
      };
      channel.bind("pusher:subscription_succeeded", succeeded);
      channel.bind("pusher:subscription_error", failed);
    });
  },

  unsubscribe({ channel }) {
    pusher.unsubscribe(channel);
  },

  trigger({ channel, name, data }) {
    return pusher.channel(channel).trigger(name, data);
  },

  members({ channel }) {
    const { count, me, members } = pusher.channel(channel).members;
    return { count, me, members };
  },
};

function authorization(endpoint, headers) {
  if (!endpoint) return version === "4" ? { disableStats: true } : {};
  // By default 4 reports statistics to its maker.
  if (version === "4") return { authEndpoint: endpoint, auth: { headers }, disableStats: true };
  return { channelAuthorization: { endpoint, headers, transport: "ajax" } };
}

// Every event goes through emit(). bind_global() would do, but for not telling who sent it.
const heard = new WeakSet();
function listen(channel) {
  if (heard.has(channel)) return channel;
  heard.add(channel);
  const emit = channel.emit.bind(channel);
  channel.emit = (name, data, metadata) => {
    const user_id = metadata?.user_id ?? null;
    say({ event: { channel: channel.name, name, data: data ?? null, time: now(), user_id } });
    return emit(name, data, metadata);
  };
  return channel;
}

// The reason is an object in 8, the bare status of the endpoint's answer in 4.
function refusal(why) {
  if (typeof why !== "object" || why === null) why = { status: why, error: "" };
  return { status: why.status ?? null, message: String(why.error ?? "") };
}

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const { id, verb, ...options } = JSON.parse(line);
    try {
      say({ id, result: (await verbs[verb](options)) ?? null });
    } catch (error) {
      say({ id, error: error instanceof Error ? { message: error.stack } : error });
    }
  })
  .on("close", () => process.exit()); // whoever drove it has closed it, or died
