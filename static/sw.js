// Stands in for the network while chomp is away, and shows what push services bring, also when no page is open.
// What it keeps is the dashboard's shell and the static files that it names: anybody may have those, for a navigation
// brings no key. Data, parts of pages, the API and event streams pass by it.
"use strict";
const CACHE = "chomp-1", PAGE = "/", ICON = "/static/icon.png";

// -- the shell: the newest there is, else the last one

async function keep(answer) {  // with all that it names before it takes the place of an older one, which still has its own
  const text = await answer.clone().text();
  if (!answer.ok || !text.includes('data-first="/partials/page"')) return;  // a proxy's own page, say
  const cache = await caches.open(CACHE);
  const named = new Set(text.match(/\/static\/[\w.-]+(\?v=\w+)?/g));
  const known = (await cache.keys()).map(({ url }) => url.slice(location.origin.length));
  await cache.addAll([...named].filter((name) => !known.includes(name)));
  await cache.put(PAGE, answer);
  await Promise.all(known.filter((name) => name !== PAGE && !named.has(name)).map((name) => cache.delete(name)));
}
async function page(event) {
  let answer;
  try { answer = await fetch(event.request); } catch { /* nobody is there */ }
  if (answer && answer.status < 500) {  // above: of a proxy that does not reach chomp
    event.waitUntil(keep(answer.clone()).catch(() => {}));
    return answer;
  }
  return (await caches.match(PAGE)) ?? answer ?? Response.error();
}
const file = async (request) => (await caches.match(request, { ignoreVary: true })) ?? fetch(request);

addEventListener("install", (event) => {
  skipWaiting();
  event.waitUntil(fetch(PAGE).then(keep).catch(() => {}));  // without it there are notices all the same
});
addEventListener("activate", (event) => event.waitUntil(caches.keys().then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))))));
addEventListener("fetch", (event) => {
  const { request } = event, url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (request.mode === "navigate" && url.pathname === PAGE) event.respondWith(page(event));
  else if (url.pathname.startsWith("/static/")) event.respondWith(file(request));
});

// -- notices: of a task the newest alone

const show = ({ title, body, task, kind }) => registration.showNotification(String(title ?? "chomp"), {
  body: String(body ?? ""), tag: task ? `task-${task}` : String(kind ?? "chomp"), renotify: true, icon: ICON, data: { task: String(task ?? "") },
});
async function pushed(data) {
  let said = {};
  try { said = data.json(); } catch { /* something came */ }
  // who looks at the dashboard is told there; other browsers than Chrome and its kin want every message to be shown
  const looks = "userAgentData" in navigator && (await dashboards()).some(({ focused }) => focused);
  if (said.kind === "test" || !looks) await show(said);
}
const dashboards = async () => (await clients.matchAll({ type: "window", includeUncontrolled: true })).filter(({ url }) => new URL(url).pathname === PAGE);
async function open(task) {
  const [dashboard] = await dashboards();
  if (!dashboard) return clients.openWindow(task ? `/?task=${encodeURIComponent(task)}` : PAGE);
  dashboard.postMessage({ open: task });
  return dashboard.focus();
}
addEventListener("push", (event) => event.waitUntil(pushed(event.data)));
addEventListener("message", (event) => event.waitUntil(show(event.data)));  // of a page that nobody looks at
addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data?.task ?? ""));
});
