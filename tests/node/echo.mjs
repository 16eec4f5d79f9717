// Laravel Echo as front ends of Laravel use it, against this API.
//
//   node echo.mjs ADDRESS 1|2 pusher|reverb

import { createRequire } from "node:module";
import { api, axios, play, screen, show } from "./stage.mjs";

const [, , , version, broadcaster] = process.argv;
const library = (await import(`laravel-echo-${version}`)).default;
const Echo = library.default ?? library;
const Pusher = createRequire(import.meta.url)("pusher-js");

let user;
let echo;
let chat;
let messages = [];
const names = new Map();
const listening = new Set();

async function start(token) {
  const { key, ...options } = (await axios.get("/config")).data;
  const headers = { Authorization: `Bearer ${token}` };
  echo = new Echo({
    broadcaster, // "pusher" or "reverb"
    Pusher,
    key,
    ...options,
    authEndpoint: `${api}/pusher/auth`,
    auth: { headers },
    userAuthentication: { endpoint: `${api}/pusher/user-auth`, headers },
  });
  echo.connector.signin();
  await echo.connector.pusher.user.signinDonePromise;
  show({ signedIn: echo.connector.pusher.user.user_data?.id ?? null });
  const online = (people) => show({ online: people.sort() });
  const label = ({ username, id }) => `${username} ${id}`;
  echo
    .join("chitchat")
    .here((people) => online(people.map(label)))
    .joining((person) => online([...screen.online, label(person)]))
    .leaving((person) => online(screen.online.filter((each) => each !== label(person))));
  echo
    .private(`notification_user_${user.id}`)
    .subscribed(() => show({ ready: true }))
    .listen(".new_chat", ({ channel_name }) => listen(channel_name));
}

function listen(channelName) {
  if (listening.has(channelName)) return;
  listening.add(channelName);
  echo
    .private(channelName.replace(/^private-/, ""))
    .subscribed(() => show({ chats: [...screen.chats, channelName] }))
    .listen(".new_message", (message) => render([...messages, message]))
    .listenForWhisper("typing", ({ name }) => show({ typing: name }));
}

function render(all) {
  messages = all;
  show({ lines: messages.map(({ from_user, message }) => `${names.get(from_user)}: ${message}`) });
}

play({
  async logIn({ username, password }) {
    user = (await axios.post("/login", { username, password })).data.data;
    axios.headers = { Authorization: `Bearer ${user.token}` };
    for (const { id, username: name } of (await axios.get("/users")).data) names.set(id, name);
    show({ me: user.username, people: [...names.values()] });
    await start(user.token);
  },

  async chatWith({ name }) {
    const [peer] = [...names].find(([, each]) => each === name);
    chat = (await axios.post("/request_chat", { to_user: peer })).data;
    listen(chat.channel_name);
    render((await axios.get(`/get_message/${chat.channel_name}`)).data);
  },

  async type() {
    const channel = echo.private(chat.channel_name.replace(/^private-/, ""));
    channel.whisper("typing", { name: user.username });
  },

  // broadcast(...)->toOthers(): one's own message comes with the answer, not as an event.
  async say({ text }) {
    const body = { channel: chat.channel_name, message: text };
    const headers = { "X-Socket-ID": echo.socketId() };
    render([...messages, (await axios.post("/send_message", body, headers)).data]);
  },

  async leave() {
    echo.disconnect();
  },
});
