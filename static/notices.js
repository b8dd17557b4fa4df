// What a person should hear of: counts in the title, notifications, and the moment a task is done. chomp.js comes before.
(() => {
  "use strict";
  const root = document.documentElement;
  const { one, all, put, storage, toast } = chomp;
  const kept = storage("localStorage");
  const make = (tag, fields) => Object.assign(document.createElement(tag), fields);

  // -- how many run, and how many wait for a person: in the title, on the app's icon, a dot on that of the tab

  const icon = one('link[rel="icon"]'), plain = icon.href;
  let words = "chomp", running = 0, needs = 0, dotted;
  const titled = (next) => { words = next; show(); };
  function show() {
    const counts = [running && `${running} running`, needs && `${needs} need${needs === 1 ? "s" : ""} you`].filter(Boolean).join(", ");
    const title = counts ? `(${counts}) ${words}` : words;
    if (document.title !== title) document.title = title;
  }
  function count(live, waiting) {
    running = Math.max(0, live - waiting);
    if (waiting !== needs) {
      needs = waiting;
      (needs ? navigator.setAppBadge?.(needs) : navigator.clearAppBadge?.())?.catch?.(() => {});
      mark(needs > 0);
    }
    show();
  }
  async function mark(on) {
    dotted ??= fetch(plain).then((answer) => answer.text()).then((svg) => `data:image/svg+xml,${encodeURIComponent(svg.replace("</svg>", '<circle cx="51" cy="13" r="12" fill="#f97316"/></svg>'))}`, () => plain);
    const address = on ? await dotted : plain;
    if (on === needs > 0) icon.href = address;
  }

  // -- the worker: shows notices, and stands in for a chomp that is away

  const secure = window.isSecureContext && "serviceWorker" in navigator;
  let registered;
  const worker = () => registered ??= secure ? navigator.serviceWorker.register("/static/sw.js", { scope: "/" }).then(() => navigator.serviceWorker.ready).catch(() => undefined) : Promise.resolve();
  if (secure) navigator.serviceWorker.addEventListener("message", ({ data }) => { if (data?.open) chomp.openTask(data.open); });
  const tell = async (notice) => (await worker())?.active.postMessage(notice);

  // -- notifications: by the push service of this browser, else by this page while it is in hiding

  const able = secure && "Notification" in window;
  const wanted = () => able && kept.notices === "on" && Notification.permission === "granted";
  let way = "", why = "";  // "push" or "page", and why not by push
  async function send(path, fields) {
    const answer = await chomp.fetch(path, fields && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(fields) });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error?.message ?? `chomp answered ${answer.status}`);
    return found;
  }
  async function subscribe() {  // with the login of now: as long as that is good, this browser is told
    const { key, why } = await send("/api/push").catch(() => ({ key: "", why: "" }));
    if (!key) return why;
    const pushes = (await worker())?.pushManager, options = { userVisibleOnly: true, applicationServerKey: key };
    if (!pushes) return "this browser has no push service";
    try {
      const found = await pushes.subscribe(options).catch(async (error) => {
        if (error.name !== "InvalidStateError") throw error;
        await (await pushes.getSubscription())?.unsubscribe();  // one for another key of chomp's is in the way
        return pushes.subscribe(options);
      });
      await send("/api/push/subscribe", found.toJSON());
      return undefined;
    } catch (error) {
      return { AbortError: "this browser's push service cannot be reached", NotAllowedError: "this browser allows no push messages here" }[error.name] ?? error.message;
    }
  }
  async function begin() {
    why = await subscribe();
    way = why === undefined ? "push" : "page";
    panel();
  }
  async function end() {
    const found = await (await worker())?.pushManager?.getSubscription();
    way = "";
    if (!found) return;
    await found.unsubscribe();
    await send("/api/push/unsubscribe", { endpoint: found.endpoint }).catch(() => {});
  }
  async function choose(on) {  // the browser is asked at once: it wants that in a click
    const allowed = on && await Notification.requestPermission() === "granted";
    kept.notices = allowed ? "on" : "off";
    one("#ask-notices")?.remove();
    if (allowed) await begin(); else await end();
    panel();
    if (on) toast(allowed ? "You will be told" : "This browser does not allow notifications: its settings for this site do", { error: !allowed });
  }
  async function test() {
    if (way !== "push") return tell({ title: "chomp", body: "This is how a task calls you.", kind: "test" });
    const { endpoint } = await (await worker()).pushManager.getSubscription() ?? {};
    return toast((await send("/api/push/test", { endpoint })).words);
  }

  // asked for once: when a first task was started here, and never after an answer

  function ask() {
    if (!able || !kept.started || kept.notices || Notification.permission === "denied" || one("#ask-notices") || !one("#tasks")) return;
    const line = make("div", { className: "asks", id: "ask-notices" });
    line.setAttribute("role", "group");
    line.setAttribute("aria-labelledby", "ask-words");
    const button = (words, on) => {
      const made = make("button", { type: "button", className: on ? "btn btn-primary" : "btn btn-second", textContent: words });
      made.addEventListener("click", () => choose(on));
      return made;
    };
    line.append(make("p", { id: "ask-words", textContent: "Tell me when a task needs me or is done" }), button("Yes", true), button("No", false));
    one("#tasks").before(line);
  }
  document.addEventListener("htmx:after:request", ({ detail: { ctx } }) => {
    if (ctx.request.method === "GET" || ctx.response?.status >= 400 || !/^\/api\/tasks(\/run|\/retry)?$/.test(ctx.request.action)) return;
    kept.started = "yes";
    ask();
  });

  // what the settings say of this browser

  function panel() {
    const box = one("#notices-here");
    if (!box) return;
    const phone = /iPhone|iPad/.test(navigator.userAgent) && !navigator.standalone;
    const [state, on] = !window.isSecureContext ? ["Not here: browsers want https for that, or chomp on the same machine."]
      : !able ? [phone ? "Not in a tab: put chomp on the home screen first (Share, Add to Home Screen)." : "This browser has none."]
      : Notification.permission === "denied" ? ["This browser does not allow them: its settings for this site do."]
      : !wanted() ? ["Off.", false]
      : way === "push" ? ["On, also while no page of chomp is open.", true]
      : way ? [`On, while a page of chomp is open somewhere${why ? `: ${why}` : ""}.`, true] : ["On.", true];
    put(one("[data-words]", box), state);
    for (const button of all("[data-notices]", box)) button.hidden = on === undefined || on !== (button.dataset.notices !== "on");
  }
  document.addEventListener("click", async ({ target }) => {
    const act = target.closest?.("[data-notices]")?.dataset.notices;
    if (!act) return;
    try { await (act === "test" ? test() : choose(act === "on")); } catch (error) { toast(error.message, { error: true }); }
    if (act !== "test") one(`[data-notices=${act === "on" ? "test" : "on"}]:not([hidden])`)?.focus();
  });
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => { if (ctx.target?.id === "settings-body") panel(); });

  // -- in hiding there is no event stream: browsers have few connections. A question now and then does.

  const SOON_MS = 2000, LATE_MS = 20000;
  let seen = "", pause = SOON_MS, timer;
  async function hear() {
    clearTimeout(timer);
    if (!document.hidden || "shell" in root.dataset) return;
    try {
      const { at, live, needs: waiting, notices } = await send(`/api/notices?after=${seen}`);
      if (!document.hidden) return;
      count(live, waiting);
      if (way === "page" && wanted()) notices.forEach(tell);
      seen = at;
    } catch { /* next time */ }
    timer = setTimeout(hear, pause = Math.min(pause * 1.5, LATE_MS));
  }
  document.addEventListener("visibilitychange", () => {
    [seen, pause] = ["", SOON_MS];
    if (document.hidden) hear(); else { unseen.forEach((id) => unlock(document.getElementById(id))); unseen.clear(); }
  });

  // -- the moment a task is done: for who has seen it run, once

  const RUNS = ["starting", "running", "verifying", "needs_input", "stalled", "waiting", "paused"], FLASH_MS = 1600;
  const unseen = new Set(), spoken = make("p", { className: "sr-only" });
  spoken.setAttribute("role", "status");
  one("#detail")?.append(spoken);
  let states = new Map();
  function look() {
    const { needs: waiting, live, running: alive = live } = (one("#list-state") ?? one("#balance-card"))?.dataset ?? {};
    if (alive !== undefined && !document.hidden) count(Number(alive), Number(waiting));
    const shown = [...all("#tasks [id^=task-][data-state]"), ...all("#detail-body > [data-task]")];
    const ended = shown.filter(({ id, dataset: { state } }) => state === "done" && RUNS.includes(states.get(id)));
    states = new Map(shown.map(({ id, dataset: { state } }) => [id, state]));
    for (const element of ended) if (document.hidden) unseen.add(element.id); else unlock(element);
  }
  function unlock(element) {
    if (element?.dataset.state !== "done") return;
    const verified = all(".chip-good", element).some(({ textContent }) => textContent.trim() === "verified"), { task } = element.dataset;
    if (task) put(spoken, `Task ${task} is done${verified ? ", verified" : ""}`);  // of others a toast tells
    const modal = one("dialog:modal"), over = task ? one("#detail") : element, { top, bottom } = over.getBoundingClientRect();
    if ((modal && !modal.contains(over)) || bottom < 0 || top > innerHeight) return;
    const box = make("div", { className: "unlock", popover: "manual" });
    box.setAttribute("aria-hidden", "true");
    box.toggleAttribute("data-gold", verified);
    box.toggleAttribute("data-large", Boolean(task));
    box.append(make("i", {}));
    document.body.append(box);
    box.showPopover?.();
    const follow = () => {  // the list may be scrolled meanwhile
      if (!box.isConnected) return;
      const at = over.getBoundingClientRect(), tick = one(".card-open svg", over)?.getBoundingClientRect();
      Object.assign(box.style, { translate: `${at.x}px ${at.y}px`, width: `${at.width}px`, height: `${at.height}px` });
      if (!task && tick) { box.style.setProperty("--x", `${tick.x - at.x + tick.width / 2}px`); box.style.setProperty("--y", `${tick.y - at.y + tick.height / 2}px`); }
      requestAnimationFrame(follow);
    };
    follow();
    setTimeout(() => box.remove(), FLASH_MS);
  }
  const body = one("#detail-body"), lists = new MutationObserver((changes) => { if (changes.some(({ target }) => target.localName !== "time")) look(); });
  for (const place of ["#tasks", "#balance"]) lists.observe(one(place), { subtree: true, childList: true, attributes: true, attributeFilter: ["data-state", "data-running", "data-live", "data-needs"] });
  const watcher = new MutationObserver(look);
  watcher.observe(body, { subtree: true, attributes: true, attributeFilter: ["data-state"] });  // a terminal changes all the time
  new MutationObserver(look).observe(body, { childList: true });

  // -- a shell whose data did not come, because chomp was away: as soon as it is there

  const there = () => fetch("/health", { cache: "no-store", signal: AbortSignal.timeout(5000) }).then(async (answer) => answer.ok && (await answer.json()).ok === true).catch(() => false);
  let waits = false, again = false;
  async function wait() {
    if (root.dataset.shell !== "failed" || waits) return;
    waits = true;
    if (!await there()) {
      again = true;
      put(one(".unreached [role=alert]"), "chomp cannot be reached. Trying again …");
      do await new Promise((yes) => setTimeout(yes, 1500)); while (!await there());
    }
    waits = false;
    if (!again || root.dataset.shell !== "failed") return;  // it has other reasons
    again = false;
    one("[data-again]").click();
  }
  new MutationObserver(wait).observe(root, { attributeFilter: ["data-shell"] });

  Object.assign(chomp, { titled });
  wait();
  look();
  addEventListener("load", () => setTimeout(() => { worker(); ask(); if (wanted()) begin(); }, 1000));  // after all that is looked at
})();
