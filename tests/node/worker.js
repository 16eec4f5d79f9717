// A front end whose connection lives in a Web Worker of the browser. The page puts pusher-js's build
// for workers before it, and is told the whole screen whenever it changes.

const screen = { ready: false, online: [], lines: [], missing: 0 };
let api;
let headers = { "Content-Type": "application/json" };

function show(parts) {
  Object.assign(screen, parts);
  postMessage(screen);
}

const ask = (path, body) =>
  fetch(api + path, {
    method: body ? "POST" : "GET",
    headers: { ...headers, "X-Requested-With": "XMLHttpRequest" },
    body: body && JSON.stringify(body),
  });
const call = async (path, body) => (await ask(path, body)).json();

async function start({ username, password }) {
  const { data } = await call("/login", { username, password });
  headers = { ...headers, Authorization: `Bearer ${data.token}` };
  const names = new Map((await call("/users")).map(({ id, username }) => [id, username]));
  const { key, ...options } = await call("/config");
  const pusher = new Pusher(key, {
    ...options,
    channelAuthorization: {
      endpoint: `${api}/pusher/auth`,
      headers: { Authorization: `Bearer ${data.token}` },
    },
  });
  const everybody = pusher.subscribe("presence-chitchat");
  const mine = pusher.subscribe(`private-notification_user_${data.id}`);
  everybody.bind("pusher:subscription_succeeded", ({ me }) => show({ online: [me.info.username] }));
  mine.bind("pusher:subscription_succeeded", () => show({ ready: true }));
  mine.bind("new_chat", ({ message }) => {
    if (message?.type !== "Text") return;
    const line = `${names.get(message.from_user)}: ${message.message}`;
    show({ lines: [...screen.lines, line] });
  });
  // A browser hides the answer of what its preflight was refused.
  show({ missing: (await ask("/nothing-of-this-name", {})).status });
}

onmessage = ({ data }) => {
  api = `${data.address}/api`;
  start(data).catch((error) => show({ fault: String(error.stack) }));
};
