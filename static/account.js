// The calls of the API that concern one's own account.

import { API, ask, bytesAt, get, send } from "./api.js";

export const account = {
  /** Any of username, display_name and about; an empty text takes away what was there. */
  change: (changes) => send("PATCH", "/me", changes),
  putPicture: (bytes) => send("PUT", "/me/avatar", bytes),
  removePicture: () => send("DELETE", "/me/avatar"),

  /** Answers as a log-in does. All others end, and the connection does, too. */
  changePassword: async (known, wanted) => {
    const body = { current_password: known, new_password: wanted };
    return (await ask("PUT", "/me/password", body)).data.data;
  },
  logins: () => get("/me/sessions"),
  endLogin: (id) => send("DELETE", `/me/sessions/${id}`),

  /** Everything of mine, a line of JSON each. */
  exported: () => bytesAt(`${API}/me/export`),
  /** End the account. With `erase` what was written in it is erased, too. If the answer is lost,
   * the account may be no more, and no other login brings it back: so it is asked for once. */
  end: (password, erase) => ask("DELETE", "/me", { password, erase }),

  mute: (channel) => send("PUT", `/chats/${channel}/mute`),
  unmute: (channel) => send("DELETE", `/chats/${channel}/mute`),
};
