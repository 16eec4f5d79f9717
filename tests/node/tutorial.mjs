// The calls of the tutorial's Vue 2 front end, in its order, with its pusher-js 4.
//
//   node tutorial.mjs ADDRESS

import { createRequire } from "node:module";
import { api, axios, play, screen, show } from "./stage.mjs";

const Pusher = createRequire(import.meta.url)("pusher-js-4");
const moods = { "-1": "sad", 0: "calm", 1: "glad" };

let user;
let pusher;
let users = [];
let chat;
const messages = {};

async function start({ token }) {
  const { key, ...options } = (await axios.get("/config")).data;
  pusher = new Pusher(key, {
    ...options,
    disableStats: true,
    authEndpoint: `${api}/pusher/auth`,
    auth: { headers: { Authorization: `Bearer ${token}` } },
  });
  const notifications = pusher.subscribe(`private-notification_user_${user.id}`);
  notifications.bind("pusher:subscription_succeeded", () => show({ ready: true }));
  notifications.bind("new_chat", (data) => {
    if (!pusher.channel(data.channel_name)) listen(data.channel_name);
  });
  const everybody = pusher.subscribe("presence-chitchat");
  const names = () => {
    const found = [];
    everybody.members.each(({ info }) => found.push(info.username));
    show({ online: found.sort() });
  };
  everybody.bind("pusher:subscription_succeeded", names);
  everybody.bind("pusher:member_added", names);
  everybody.bind("pusher:member_removed", names);
}

function listen(name) {
  messages[name] = [];
  const channel = pusher.subscribe(name);
  channel.bind("pusher:subscription_succeeded", () => show({ chats: [...screen.chats, name] }));
  channel.bind("new_message", (message) => {
    messages[message.channel].push(message);
    render();
  });
}

// It knows no messages without a sentiment: there this is an error, and nothing is shown.
function render() {
  const name = chat?.channel_name ?? Object.keys(messages)[0];
  const lines = messages[name].map((message) => {
    const mood = moods[Math.sign(message.sentiment.polarity)];
    const { userName } = users.find(({ id }) => id === message.from_user);
    return message.type === "Text" ? `${userName} (${mood}): ${message.message}` : "";
  });
  show({ lines });
}

play({
  async logIn({ username, password }) {
    const { data } = await axios.post("/login", { username, password });
    if (data.status !== "success") throw new Error(data.message);
    user = data.data;
    axios.headers = { Authorization: `Bearer ${user.token}` };
    show({ me: user.username });
    await start(user);
    users = (await axios.get("/users")).data;
    show({ people: users.map(({ userName }) => userName) });
  },

  async chatWith({ name }) {
    const { id } = users.find(({ userName }) => userName === name);
    chat = (await axios.post("/request_chat", { from_user: user.id, to_user: id })).data;
    if (!pusher.channel(chat.channel_name)) listen(chat.channel_name);
    messages[chat.channel_name] = (await axios.get(`/get_message/${chat.channel_id}`)).data;
    render();
  },

  async say({ text }) {
    await axios.post("/send_message", {
      from_user: user.id,
      to_user: chat.from_user === user.id ? chat.to_user : chat.from_user,
      message: text,
      channel: chat.channel_name,
    });
  },
});
