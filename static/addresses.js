// Where the bytes of files are. An address needs no token, so that <img> and downloads can use it,
// and holds for some minutes only: then the next one is asked for.

import { api } from "./api.js";
import { now } from "./clock.js";

const MARGIN_MS = 30_000; // one that is about to end is of no use
const known = new Map(); // by file and size: {url, ends}

/** An address of a file, or of its thumbnail. `anew`: the last one did not work. */
export async function addressOf(id, { thumbnail = false, anew = false } = {}) {
  const key = `${id} ${thumbnail}`;
  const last = known.get(key);
  if (last && !anew && now() < last.ends - MARGIN_MS) return last.url;
  const { url, expires_at } = await api.fileUrl(id, thumbnail || null);
  known.set(key, { url, ends: Date.parse(expires_at) });
  return url;
}
