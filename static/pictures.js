// The pictures of people. They are fetched here, because an <img> cannot say who is asking. Each
// is some kilobytes, so they stay as long as the window.

import { bytesAt } from "./api.js";

const urls = new Map(); // by path, which changes with the picture
const coming = new Map();

/** The address of a picture that is here; undefined if it is not. */
export const known = (path) => urls.get(path);

/** The address of a picture, which is fetched if it is not here. */
export function pictureAt(path) {
  if (!coming.has(path)) {
    const fetching = bytesAt(path).then((bytes) => {
      urls.set(path, URL.createObjectURL(bytes));
      return urls.get(path);
    });
    fetching.catch(() => coming.delete(path)); // the next drawing tries again
    coming.set(path, fetching);
  }
  return coming.get(path);
}
