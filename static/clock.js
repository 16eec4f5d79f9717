// What time it is, by the server's clock. The one of this device may be hours off, and then the
// messages of today would stand under "Yesterday" or "Tomorrow".

let ahead = 0; // milliseconds that the server's clock is before ours

/** Take the time from the header Date of an answer. */
export function setClock(date) {
  const time = Date.parse(date);
  if (!Number.isNaN(time)) ahead = time - Date.now();
}

export const now = () => new Date(Date.now() + ahead);
