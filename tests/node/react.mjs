// The calls of a React descendant, in its order, with pusher-js 8: the build for Node, or the one
// for React Native with what a phone has around it.
//
//   node react.mjs ADDRESS node|react-native

import { createRequire } from "node:module";
import Module from "node:module";
import { api, axios, play, screen, show } from "./stage.mjs";

const require = createRequire(import.meta.url);
const Pusher = process.argv[3] === "react-native" ? onAPhone() : require("pusher-js");

let user;
let pusher;
let chat;
let messages = [];
const names = new Map();

// React Native has these as globals, and netinfo as a native module.
function onAPhone() {
  globalThis.WebSocket = require("ws");
  globalThis.XMLHttpRequest = require("xmlhttprequest").XMLHttpRequest;
  const netinfo = { fetch: async () => ({ type: "wifi" }), addEventListener: () => () => {} };
  const load = Module._load;
  Module._load = (name, ...rest) =>
    name === "@react-native-community/netinfo" ? netinfo : load(name, ...rest);
  const { Pusher } = require("pusher-js/react-native");
  return Pusher;
}

async function start(token) {
  const { key, ...options } = (await axios.get("/config")).data;
  const headers = { Authorization: `Bearer ${token}` };
  pusher = new Pusher(key, {
    ...options,
    channelAuthorization: { endpoint: `${api}/pusher/auth`, transport: "ajax", headers },
    userAuthentication: { endpoint: `${api}/pusher/user-auth`, transport: "ajax", headers },
  });
  pusher.connection.bind("state_change", ({ current }) => show({ connection: current }));
  pusher.signin();
  await pusher.user.signinDonePromise;
  show({ signedIn: pusher.user.user_data?.id ?? null });

  const everybody = pusher.subscribe("presence-chitchat");
  const online = () => {
    const found = [];
    everybody.members.each(({ info }) => found.push(`${info.username} ${info.id}`));
    show({ online: found.sort() });
  };
  everybody.bind("pusher:subscription_succeeded", online);
  everybody.bind("pusher:member_added", online);
  everybody.bind("pusher:member_removed", online);
  const mine = pusher.subscribe(`private-notification_user_${user.id}`);
  mine.bind("pusher:subscription_succeeded", () => show({ ready: true }));
  mine.bind("new_chat", ({ channel_name }) => listen(channel_name));
}

function listen(name) {
  if (pusher.channel(name)) return;
  const channel = pusher.subscribe(name);
  channel.bind("pusher:subscription_succeeded", () => show({ chats: [...screen.chats, name] }));
  channel.bind("new_message", (message) => render([...messages, message]));
}

function render(all) {
  messages = all;
  show({ lines: messages.map(line) });
}

// As components are chosen by the type.
function line({ type, from_user, message }) {
  switch (type) {
    case "Text":
      return `${names.get(from_user)}: ${message}`;
    default:
      return `cannot show ${type}`;
  }
}

play({
  async logIn({ username, password }) {
    const { token } = (await axios.post("/login", { username, password })).data.data;
    axios.headers = { Authorization: `Bearer ${token}`, "X-Requested-With": "XMLHttpRequest" };
    user = (await axios.get("/users/me")).data.data;
    show({ me: `${user.username} ${user.id}` });
    for (const { id, username: name } of (await axios.get("/users")).data) names.set(id, name);
    show({ people: [...names.values()] });
    await start(token);
  },

  async chatWith({ name }) {
    const [peer] = [...names].find(([, each]) => each === name);
    chat = (await axios.post("/request_chat", { from_user: user.id, to_user: peer })).data;
    listen(chat.channel_name);
    render((await axios.get(`/get_message/${chat.channel_name}`)).data);
  },

  async say({ text }) {
    await axios.post("/send_message", {
      from_user: user.id,
      to_user: chat.to_user,
      channel: chat.channel_name,
      message: text,
      type: "Text",
    });
  },

  async logOut() {
    await axios.post("/logout");
  },
});
