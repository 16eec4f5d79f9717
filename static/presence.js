// Who is online, and showing oneself to them. Who does not want to be seen stays out of the presence
// channel, and so sees nobody either.

import { lookUp } from "./people.js";
import { device } from "./storage.js";
import { changed, learnPerson, state } from "./store.js";

const CHANNEL = "presence-chitchat";
let pusher = null;

// Beside what a log-out removes: a login after it must not show who wants to be hidden.
const hidden = () => `chat/hidden/${state.me?.id}`;

/** Whether others may see me, as chosen for this account in this browser. */
export const isShown = () => !device.get(hidden());

export function setShown(shown) {
  if (shown) device.remove(hidden());
  else device.set(hidden(), true);
  follow();
}

addEventListener("storage", ({ key }) => key === hidden() && follow());

/** Show oneself by this connection, if that is wanted. */
export function appear(given) {
  pusher = given;
  follow();
}

/** We do not hear now who comes and goes. */
export function forgetOthers() {
  state.online.clear();
  state.left.clear();
  changed();
}

function follow() {
  if (!pusher) return;
  if (!isShown()) {
    pusher.unsubscribe(CHANNEL);
    forgetOthers();
  } else if (!pusher.channel(CHANNEL)) {
    join();
  }
}

// Pusher servers take so many people in there (100) and refuse the next, who are online as well.
// So nobody is offline because they are missing there, or because we were refused.
function join() {
  const channel = pusher.subscribe(CHANNEL);
  const learn = ({ id, info }) => {
    state.online.add(Number(id));
    state.left.delete(Number(id));
    learnPerson({ id: Number(id), username: info.username });
    lookUp(Number(id));
    changed();
  };
  channel.bind("pusher:subscription_succeeded", (members) => members.each(learn));
  channel.bind("pusher:member_added", learn);
  channel.bind("pusher:member_removed", ({ id }) => {
    state.online.delete(Number(id));
    state.left.add(Number(id));
    changed();
  });
}
