// The official server library, publishing to a server of ours.
//
//   node publish.mjs PORT APP_ID KEY SECRET CHANNEL

import { createRequire } from "node:module";

const Pusher = createRequire(import.meta.url)("pusher");
const [port, appId, key, secret, channel] = process.argv.slice(2);
const pusher = new Pusher({ appId, key, secret, host: "127.0.0.1", port, useTLS: false });

async function publish() {
  const trigger = await pusher.trigger(channel, "reminder", { at: "noon" });
  const events = ["one", "two"].map((data) => ({ channel, name: "reminder", data }));
  const batch = await pusher.triggerBatch(events);
  const channels = await pusher.get({ path: "/channels", params: { filter_by_prefix: channel } });
  const info = { path: `/channels/${channel}`, params: { info: "subscription_count" } };
  return {
    trigger: trigger.status,
    batch: batch.status,
    channels: await channels.json(),
    channel: await (await pusher.get(info)).json(),
  };
}

const answer = await publish().catch(({ status }) => ({ status }));
console.log(JSON.stringify(answer));
