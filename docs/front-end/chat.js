// What a front end of this API does, whichever library draws it: log in, read, hear, catch up, and
// send each message once. It needs pusher-js, as a <script> before it.

const WAITS = [1, 2, 5, 10, 30]; // seconds before a message is sent again

// The API has answered that it will not, and why.
export class Refused extends Error {
  constructor(response, { code, message }) {
    super(message);
    this.status = response.status;
    this.code = code;
    this.seconds = Number(response.headers.get("Retry-After"));
  }

  // Too often, or the server's own trouble: the same request may go well later.
  get mayPass() {
    return this.status === 429 || this.status >= 500;
  }
}

export class Chat {
  me = null; // who is logged in
  people = [];
  peer = null; // with whom the open chat is
  channel = null; // its name
  hasEarlier = false;
  news = new Set(); // ids of people who have written while another chat was open
  online = false;
  error = ""; // for the person to read

  #messages = new Map(); // of the open chat, by id
  #waiting = []; // what the API has not answered yet, oldest first
  #sending = false;
  #cursor; // where to go on from in /api/sync
  #token;
  #pusher;

  // `changed` is called whenever there is something to draw.
  constructor(api, changed) {
    this.api = api;
    this.changed = changed;
  }

  // What the open chat shows: the messages in their order, then those on their way.
  get messages() {
    const sent = [...this.#messages.values()].sort((one, other) => one.id - other.id);
    return [...sent, ...this.#waiting.filter((each) => each.channel === this.channel)];
  }

  // Asking -----------------------------------------------------------------------------------

  async call(method, path, body) {
    const response = await fetch(this.api + path, {
      method,
      headers: { ...this.#headers(), ...(body && { "Content-Type": "application/json" }) },
      body: body && JSON.stringify(body),
    });
    // A proxy may answer in the API's place, and not in JSON.
    const data = response.status === 204 ? null : await response.json().catch(() => ({}));
    if (!response.ok) throw new Refused(response, { message: response.statusText, ...data });
    return { data, links: response.headers.get("Link") ?? "" };
  }

  #headers() {
    return this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
  }

  // Do what somebody has asked for. If it fails, they are told, and the rest stays as it was.
  async #attempt(action) {
    this.error = "";
    try {
      await action();
    } catch (error) {
      this.error = error instanceof Refused ? error.message : "The server cannot be reached.";
      if (error.status === 401) this.#leave();
    }
    this.changed();
  }

  // Coming and going -------------------------------------------------------------------------

  logIn(username, password) {
    return this.#attempt(async () => {
      this.#leave();
      const { data } = (await this.call("POST", "/login", { username, password })).data;
      this.#token = data.token;
      this.people = (await this.call("GET", "/users")).data.filter(({ id }) => id !== data.id);
      await this.#listen(data);
      this.me = data;
      // The last login may have ended before all was sent.
      this.#waiting = this.#waiting.filter((each) => each.from_user === data.id);
      this.#sendAll();
    });
  }

  logOut() {
    this.call("POST", "/logout").catch(() => {}); // without an answer the token ends by itself
    this.#leave();
    this.#waiting = [];
    this.changed();
  }

  #leave() {
    this.me = this.peer = this.channel = null;
    this.#pusher?.disconnect();
    this.#pusher = this.#token = this.#cursor = null;
    this.#messages.clear();
    this.online = this.hasEarlier = false;
  }

  // Reading ----------------------------------------------------------------------------------

  open(peer) {
    return this.#attempt(async () => {
      if (this.channel) this.#pusher.unsubscribe(this.channel);
      this.channel = null;
      this.#messages.clear();
      this.peer = peer;
      const { data } = await this.call("POST", "/request_chat", { to_user: peer.id });
      if (this.peer !== peer) return; // another one was opened since
      this.channel = data.channel_name;
      this.news.delete(peer.id);
      // What I write in other windows comes on the chat's own channel.
      this.#hear(this.#pusher.subscribe(this.channel));
      await this.#page("");
    });
  }

  earlier() {
    return this.#attempt(() => this.#page(`&before=${Math.min(...this.#messages.keys())}`));
  }

  async #page(query) {
    const { channel } = this;
    const { data, links } = await this.call("GET", `/get_message/${channel}?limit=50${query}`);
    data.forEach((message) => this.#merge(message));
    if (channel === this.channel) this.hasEarlier = links.includes('rel="prev"');
  }

  // A message may come twice, and an old state of it after a new one.
  #merge(message) {
    if (message.channel !== this.channel) return;
    const known = this.#messages.get(message.id);
    if (known?.deleted_at || (known?.edited_at ?? "") > (message.edited_at ?? "")) return;
    this.#messages.set(message.id, message);
    const mine = message.from_user === this.me?.id && message.client_message_id;
    if (mine) this.#waiting = this.#waiting.filter((each) => each.client_message_id !== mine);
  }

  // Hearing ----------------------------------------------------------------------------------

  async #listen(me) {
    const { key, ...options } = (await this.call("GET", "/config")).data;
    this.#pusher = new Pusher(key, {
      ...options,
      channelAuthorization: {
        endpoint: `${this.api}/pusher/auth`,
        headersProvider: () => this.#headers(),
      },
    });
    this.#pusher.connection.bind("state_change", ({ current }) => {
      this.online = current === "connected";
      if (this.online) this.#catchUp();
      if (current === "disconnected" && this.me) this.#comeBack();
      this.changed();
    });
    const mine = this.#pusher.subscribe(`private-notification_user_${me.id}`);
    mine.bind("new_chat", ({ message }) => message && this.#heard(message));
    mine.bind("pusher:subscription_succeeded", () => this.#catchUp()); // what came in between
    mine.bind("pusher:subscription_error", ({ status }) => {
      if (status === 401) this.#comeBack();
      else setTimeout(() => this.#pusher?.subscribe(mine.name), 5000);
    });
    this.#hear(mine);
    await this.#catchUp();
  }

  // The server has ended the connection: because the login is over, or for another reason.
  #comeBack() {
    return this.#attempt(async () => {
      await this.call("GET", "/me");
      this.#pusher.connect();
    });
  }

  // None of these makes another chat new: `new_chat` tells of that, and an old message may change.
  #hear(channel) {
    for (const name of ["new_message", "message_updated", "message_deleted"]) {
      channel.bind(name, (message) => this.#heard(message, false));
    }
  }

  #heard(message, maybeNew = true) {
    if (message.truncated) return void this.#catchUp(); // too long for an event
    const changed = message.edited_at || message.deleted_at || message.reactions.length > 0;
    const isNew = maybeNew && !changed && message.from_user !== this.me?.id;
    if (isNew && message.channel !== this.channel) this.news.add(message.from_user);
    this.#merge(message);
    this.changed();
  }

  // What was missed without a connection. The first time it is only where to go on from.
  async #catchUp() {
    try {
      for (let more = true; more; ) {
        const since = this.#cursor ? `?since=${this.#cursor}` : "";
        const { data } = await this.call("GET", `/sync${since}`);
        data.messages.forEach((message) => this.#heard(message));
        this.#cursor = data.cursor;
        more = data.more;
      }
    } catch (error) {
      if (error.status === 400 && this.#cursor) {
        // The database was restored from a backup, and this place is not in it.
        this.#cursor = null;
        await this.#catchUp();
        if (this.peer) await this.open(this.peer);
      } else if (error.status === 401) {
        this.#attempt(() => Promise.reject(error));
      } // otherwise the next connection asks again
    }
  }

  // Sending ----------------------------------------------------------------------------------

  // The message is shown at once, and sent until the API has answered.
  send(text) {
    const { channel } = this;
    const client_message_id = crypto.randomUUID();
    this.#waiting.push({ channel, message: text, client_message_id, from_user: this.me.id });
    this.changed();
    this.#sendAll();
  }

  // One after the other, so that they arrive in order.
  async #sendAll() {
    if (this.#sending) return;
    this.#sending = true;
    let next;
    let tries = 0;
    while ((next = this.#waiting.find((each) => !each.failed))) {
      const { channel, message, client_message_id } = next;
      try {
        const body = { channel, message, client_message_id };
        const { data } = await this.call("POST", "/send_message", body);
        this.#waiting = this.#waiting.filter((each) => each !== next);
        this.#merge(data);
        tries = 0;
      } catch (error) {
        if (error.status === 401) {
          await this.#attempt(() => Promise.reject(error));
          break; // the next login goes on
        }
        if (error instanceof Refused && !error.mayPass) {
          next.failed = error.message; // the same request would fail again
        } else {
          // Nobody knows whether it was stored. With the same id it is stored once.
          const seconds = error.seconds || WAITS[Math.min(tries++, WAITS.length - 1)];
          await new Promise((done) => setTimeout(done, 1000 * seconds));
        }
      }
      this.changed();
    }
    this.#sending = false;
  }
}
