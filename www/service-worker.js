// Keeps the page for offline use. Bundles are not its business: the page keeps them itself (pkg/store.js).
//
// A version is the content of all files (pkg/shell.js, written by `cargo xtask build-web`), and it is whole or not at all:
// each file is hashed before it is kept, so a server on which half of a new version lies is waited for. A new version
// waits until the person asks for it; then every open tab is loaded anew, and no tab mixes two versions.

importScripts("pkg/shell.js");

const PREFIX = "finegrain-page-";
const { version, files } = self.SHELL;
const NAME = PREFIX + version;
const SCOPE = new URL(self.registration.scope);
const SHELL = new Set(files.map(([path]) => new URL(path, SCOPE).href));
// The list of models changes without the page: the server's where it answers, else the last one.
const LIST = new URL("models/index.json", SCOPE).href;
const AT_ONCE = 4;
const PATIENCE = 5_000; // milliseconds

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("message", ({ data }) => {
  if (data?.type === "activate") self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== SCOPE.origin) return;
  url.hash = url.search = "";
  if (url.href === SCOPE.href) url.pathname += "index.html";
  if (SHELL.has(url.href)) event.respondWith(kept(url.href, request));
  else if (url.href === LIST) event.respondWith(list(request));
});

async function kept(url, request) {
  const found = await (await caches.open(NAME)).match(url);
  return isolated(found ?? (await fetch(request))); // the browser has cleared its storage
}

/**
 * A file as `finegrain serve` sends it. Workers may have memory in common only on a page that is isolated from others, and many
 * servers cannot be told to send these headers: there, the CPU path has its threads from the second visit on.
 */
function isolated(response) {
  const { body, status, statusText } = response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  return new Response(body, { status, statusText, headers });
}

async function list(request) {
  const cache = await caches.open(NAME);
  const found = await cache.match(LIST);
  try {
    // With the last one at hand nobody waits long for a server that hardly answers.
    const response = await fetch(request, found && { signal: AbortSignal.timeout(PATIENCE) });
    const whole = new Response(await response.blob(), response);
    if (!whole.ok && found) return found;
    if (whole.ok) await cache.put(LIST, whole.clone()).catch(() => {});
    return whole;
  } catch (error) {
    if (found) return found;
    throw error;
  }
}

async function install() {
  const cache = await caches.open(NAME);
  const others = (await caches.keys()).filter((name) => name.startsWith(PREFIX)).reverse();
  const waiting = [...files];
  const next = async () => {
    for (let file = waiting.pop(); file; file = waiting.pop()) await keep(file, cache, others);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  await list(LIST).catch(() => {});
}

/** Takes a file from a former version if it is the same there, else from the server. */
async function keep([path, hash], cache, others) {
  const url = new URL(path, SCOPE).href;
  for (const name of others) {
    const found = await (await caches.open(name)).match(url);
    if (found && (await hashOf(found.clone())) === hash) return cache.put(url, found);
  }
  const response = await fetch(url, { cache: "no-cache" });
  if (!response.ok) throw new Error(`${path}: the server answered ${response.status}`);
  if ((await hashOf(response.clone())) !== hash) throw new Error(`${path} is not of version ${version}`);
  return cache.put(url, response);
}

async function hashOf(response) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await response.arrayBuffer()));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function activate() {
  const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== NAME);
  await Promise.all(old.map((name) => caches.delete(name)));
  // On the first visit the page that is open already works offline from now on.
  if (old.length === 0) await self.clients.claim();
}
