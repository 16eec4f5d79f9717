// How the page opens: a part of the service worker. With a connection the page is asked for anew each
// time; without one it is the last that was kept. What is at an address with a version never changes,
// so what was kept of that is as good as new.
//
// The API is none of this: what it answers is about one person. The page itself keeps what it showed
// last, and removes it when the person logs out (seen.js).

const CACHE = `page ${VERSION}`;
const HANGS_MS = 5_000; // a server that says nothing for so long

self.addEventListener("install", (event) => event.waitUntil(keep().catch(() => {})));
self.addEventListener("activate", (event) => event.waitUntil(forgetOthers()));

/** Keep this version. Its files the browser has at hand, having loaded them for the page. */
async function keep() {
  const page = await fetch(PAGE);
  // A newer one comes with a newer worker.
  if (!page.ok || !(await page.clone().text()).includes(VERSION)) return;
  const cache = await caches.open(CACHE);
  await cache.addAll(FILES);
  await cache.put(PAGE, page); // the last: without its files it would not open
}

async function forgetOthers() {
  if (!(await kept(PAGE, CACHE))) return; // an older one is better than none
  const names = await caches.keys();
  const older = names.filter((name) => name.startsWith("page ") && name !== CACHE);
  await Promise.all(older.map((name) => caches.delete(name)));
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const address = request.url.replace(/[?#].*/, "");
  if (request.method !== "GET") return;
  if (request.mode === "navigate" && address === PAGE) event.respondWith(openPage(event));
  else if (address.startsWith(`${PAGE}static/`)) event.respondWith(openFile(request));
});

async function openPage(event) {
  const answer = fetch(event.request);
  const silence = new Promise((resolve) => setTimeout(resolve, HANGS_MS));
  const first = await Promise.race([answer, silence]).catch(() => null);
  // A proxy answers for a server that is away: its page of HTML would be worth less.
  if (!first?.ok) return (await kept(PAGE)) ?? answer;
  event.waitUntil(kept(PAGE, CACHE).then((page) => page ?? keep()).then(forgetOthers, () => {}));
  return first;
}

const openFile = async (request) => (await kept(request.url)) ?? fetch(request);

/** Where these go, `Vary` makes no difference: only this page asks. */
const kept = (address, cacheName) => caches.match(address, { ignoreVary: true, cacheName });
