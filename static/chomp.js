// What every page needs and HTMX cannot say: theme, toasts, errors in words, the state of the connection, local times.
(() => {
  "use strict";
  const root = document.documentElement;
  const one = (selector, from = document) => from.querySelector(selector);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const storage = (area) => { try { return window[area]; } catch { return {}; } };  // may be denied
  const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  const make = (tag, fields) => Object.assign(document.createElement(tag), fields);

  // -- theme

  const showTheme = () => {
    const dark = root.classList.contains("dark");
    all("[data-theme]").forEach((button) => button.setAttribute("aria-pressed", String(dark)));
    one('meta[name="theme-color"]').content = dark ? "#09090b" : "#ffffff";
  };
  const setTheme = (dark) => {
    if (dark === root.classList.contains("dark")) return;
    root.classList.toggle("dark", dark);
    showTheme();
    document.dispatchEvent(new CustomEvent("theme"));
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const followTheme = () => { const { theme } = storage("localStorage"); setTheme(theme ? theme === "dark" : system.matches); };
  const toggleTheme = () => {
    const dark = !root.classList.contains("dark");
    storage("localStorage").theme = dark ? "dark" : "light";
    setTheme(dark);
  };
  system.addEventListener("change", followTheme);
  addEventListener("storage", ({ key }) => { if (key === "theme") followTheme(); });  // chosen in another tab

  one(".pages [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });  // on a phone there is no room for all

  // -- toasts: inside the sheet that is open, for what lies outside of it cannot be reached

  function toast(message, { error = false, undo = "", task = "" } = {}) {
    const box = all("dialog:modal").at(-1)?.querySelector(".toasts") ?? one("body > .toasts");
    const note = make("div", { className: "toast" });
    if (error) note.dataset.error = "";
    note.append(make("span", { textContent: message }));
    const act = (words, click) => {
      const button = make("button", { type: "button", textContent: words });
      button.addEventListener("click", () => { note.remove(); click(); });
      note.append(button);
    };
    if (undo?.length) act("Undo", () => Array.isArray(undo) ? restore(undo) : htmx.ajax("POST", "/api/tasks/restore", { source: document.body, swap: "none", values: { id: undo } }));
    if (task && chomp.openTask) act("Open", () => chomp.openTask(task));
    box.append(note);
    box.showPopover?.();
    setTimeout(() => { note.remove(); if (!box.children.length && box.matches(":popover-open")) box.hidePopover(); }, error || undo?.length || task ? 8000 : 3000);
  }
  async function restore(ids) {  // many at once
    const answer = await chomp.fetch("/api/tasks/bulk", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ act: "restore", ids }) }).catch(() => undefined);
    const said = await answer?.json().catch(() => undefined), why = said?.error?.message ?? Object.values(said?.refused ?? {})[0] ?? (said ? "" : "chomp cannot be reached");
    if (why) toast(why, { error: true });
    document.body.dispatchEvent(new CustomEvent("refreshTasks", { bubbles: true }));
  }
  document.addEventListener("toast", ({ detail: { data } }) => {  // of the event stream
    try { const { message, ...more } = JSON.parse(data); if (!more.task || !chomp.isOpen?.(more.task)) toast(message, more); } catch { /* not for us */ }
  });

  // -- what went wrong: at the field that is meant, else as a toast

  const faultOf = (text, status) => {
    try { return JSON.parse(text).error; } catch { return { message: `chomp answered ${status}` }; }
  };
  function blame(form, { message, param }) {
    const field = param && all("[name]", form).find(({ name }) => name === param || name === `${param}[]`);
    if (!field || ["hidden", "radio"].includes(field.type)) return toast(message, { error: true });
    form.dispatchEvent(new CustomEvent("blamed", { detail: { field } }));  // it may have to be brought into sight
    one(".fault", field.parentElement)?.remove();
    const note = make("p", { className: "fault", id: `fault-${field.id}`, textContent: message.replace(/^(nothing was changed: )?\[\w+\] \w+: /, "").replace(`${param} `, "") });
    note.setAttribute("role", "alert");
    field.after(note);
    field.setAttribute("aria-invalid", "true");
    field.parentElement.dataset.dirty = "";  // stays over a refresh
    field.setAttribute("aria-describedby", note.id);
    field.focus();
    field.addEventListener("input", () => { note.remove(); delete field.parentElement.dataset.dirty; field.removeAttribute("aria-invalid"); field.removeAttribute("aria-describedby"); }, { once: true });
  }

  document.addEventListener("invalid", (event) => {  // our own words, at the field, in place of a bubble
    const { target } = event, { validity } = target;
    event.preventDefault();
    if (target.form && !one(".fault", target.parentElement)) blame(target.form, { param: target.name, message: validity.valueMissing ? "This is needed." : target.title || target.validationMessage });
  }, true);

  // -- whether chomp is there; when it is again, all that is shown is fetched anew

  const gone = one("#gone");
  let looking = false;
  async function look() {
    if (looking || "shell" in root.dataset) return;  // the first data have their own words
    looking = true;
    const there = () => fetch("/health", { cache: "no-store", signal: AbortSignal.timeout(5000) }).then(async (answer) => answer.ok && (await answer.json()).ok === true).catch(() => false);
    if (!await there()) {
      root.dataset.gone = "";
      gone.showPopover();
      do await new Promise((resolve) => setTimeout(resolve, 1500)); while (!await there());
      delete root.dataset.gone;
      gone.hidePopover();
      document.body.dispatchEvent(new CustomEvent("back", { bubbles: true }));
    }
    looking = false;
  }
  if (one("[data-first]") && !one("#live")) setInterval(() => { if (!document.hidden) look(); }, 20000);  // where no stream would say it
  addEventListener("online", look);
  addEventListener("offline", look);
  document.addEventListener("htmx:error", ({ detail: { ctx, error } }) => {
    if (error?.name === "AbortError" || ctx?.request?.action.startsWith("/events")) return;
    if (ctx && (ctx.request.method !== "GET" || ctx.sourceEvent?.isTrusted)) toast("chomp cannot be reached", { error: true });
    look();
  });

  // -- the event stream: silence is a sign, too

  const LIVE_MS = 50000;  // the server says something every 15 s
  let heard = Date.now();
  ["htmx:sse:after:connection", "htmx:sse:after:message"].forEach((name) => document.addEventListener(name, () => { heard = Date.now(); }));
  document.addEventListener("htmx:sse:error", ({ detail: { status } }) => { if (!status) look(); });
  const listen = () => { heard = Date.now(); const live = one("#live"); if (live?.hasAttribute("hx-sse:connect")) htmx.ajax("GET", live.getAttribute("hx-sse:connect"), { source: live }); };
  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {  // its first try failed: later ones are its own
    if (ctx.sourceElement?.id === "live" && !ctx.sourceElement._htmx?.sse) setTimeout(listen, 3000);
  });
  setInterval(() => { if (Date.now() - heard > LIVE_MS && !document.hidden && one("#live") && !("shell" in root.dataset)) { look(); one("#live")?._htmx?.sse?.reader?.cancel?.(); heard = Date.now(); } }, 5000);
  document.addEventListener("back", () => one("#live")?._htmx?.sse?.delayCanceller?.());  // its next try may be a minute away; it tells what was missed

  // -- answers

  document.addEventListener("htmx:after:request", ({ detail: { ctx } }) => {
    const sent = ctx.sourceElement, status = ctx.response?.status ?? 0, { text } = ctx;
    // a refresh may have put another in its place: HTMX does not see the id of a form with a field of that name
    const source = sent.isConnected ? sent : document.getElementById(sent.getAttribute("id")) ?? sent;
    if (status < 400) {
      if (!/^text/.test(ctx.response?.headers?.get?.("content-type"))) ctx.text = "";  // HTMX would take JSON, and a prompt in it, for HTML
      if (ctx.request.method !== "GET") succeed(source, text);
      return;
    }
    if (ctx.request.action.startsWith("/events") || ("shell" in root.dataset && source.hasAttribute("data-first"))) return;
    const fault = faultOf(text, status);
    if (ctx.request.method !== "GET" && source.matches("form")) blame(source, fault); else toast(fault.message, { error: true });
  });
  function succeed(source, text) {
    let answer = {};
    try { answer = JSON.parse(text); } catch { /* nothing to say */ }
    all("[data-dirty]", source).forEach((field) => delete field.dataset.dirty);
    if (source.dataset.reset) source.elements[source.dataset.reset].value = "";
    else if ("reset" in source.dataset) source.reset();
    const fold = "fold" in source.dataset && source.closest("details");
    if (fold && !["refused", "unreachable"].includes(answer.verdict)) { fold.open = false; one("summary", fold).focus(); }
    document.dispatchEvent(new CustomEvent("succeeded", { detail: { source, answer } }));  // a refresh may have taken it away
    if ("close" in source.dataset) source.closest("dialog")?.close();
    all(".toast[data-error]").forEach((old) => old.remove());  // it has gone well since
    const words = answer.words || source.dataset.toast;
    if (words) toast(words, { undo: source.dataset.undo, error: ["refused", "unreachable"].includes(answer.verdict) });
  }

  // -- clicks, wherever they happen

  async function signOut() {
    try {
      const answer = await chomp.signOut();
      if (!answer.ok) toast(faultOf(await answer.text(), answer.status).message, { error: true });
    } catch {
      toast("chomp cannot be reached: this browser is still signed in", { error: true });
    }
  }
  document.addEventListener("click", ({ target }) => {
    const { dataset = {} } = target.closest("button, a, summary") ?? {};
    if (dataset.theme !== undefined) toggleTheme();
    else if (dataset.signOut !== undefined) signOut();
    else if (dataset.copy) navigator.clipboard?.writeText(document.getElementById(dataset.copy).textContent).then(() => toast("Copied"), () => toast("Copying is not allowed here", { error: true }));
  });

  // -- moments, in the viewer's own time: pages come without words for them

  const dated = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "numeric", minute: "2-digit" });
  const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
  const aged = (seconds) => {
    const s = Math.floor(Math.max(0, seconds)), m = Math.floor(s / 60), h = Math.floor(m / 60);
    return h >= 48 ? `${Math.floor(h / 24)}d` : h ? `${h}h ${m % 60}m` : m ? `${m}m ${s % 60}s` : `${s}s`;
  };
  function times() {
    for (const element of all("time[data-age]")) put(element, aged((Date.now() - Date.parse(element.dateTime)) / 1000));
    for (const element of all("time[data-local]")) {
      const at = new Date(element.dateTime), today = at.toDateString() === new Date().toDateString();
      if (!Number.isNaN(at.getTime())) put(element, (element.dataset.local === "clock" && today ? clock : dated).format(at));
    }
  }
  const origins = () => all("[data-origin]").forEach((place) => put(place, location.origin));  // of an example: the address one came by
  const fetched = new Set(), wished = new Map();
  function scripts() {  // of what has come, and is seldom looked at: not with the page, but when it is shown
    for (const { dataset: { script } } of all("[data-script]")) fetchScript(script);
  }
  function fetchScript(src, loaded) {
    if (loaded) wished.set(src, loaded);  // it may be on its way
    if (fetched.has(src)) return;
    fetched.add(src);
    const script = make("script", { src, onload: () => wished.get(src)?.(), onerror: () => {
      fetched.delete(src);
      script.remove();
      if (src !== palette || wished.has(src)) toast("chomp cannot be reached", { error: true });
    } });
    document.head.append(script);
  }
  const isMac = /^(Mac|iP)/.test(navigator.platform), palette = one('meta[name="chomp-palette"]')?.content;
  const findAll = () => { if (!chomp.openPalette) fetchScript(palette, () => chomp.openPalette?.()); };  // from then on it hears for itself
  addEventListener("load", () => setTimeout(() => { if (one("[data-first]")) fetchScript(palette); }, 1500));  // before somebody types into it
  document.addEventListener("click", ({ target }) => { if (target.closest?.("[data-palette]")) findAll(); });
  document.addEventListener("keydown", (event) => {
    if (event.key?.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey || event.isComposing || chomp.openPalette) return;
    if (event.ctrlKey && event.target.closest?.("chomp-terminal")) return;  // the agent's
    event.preventDefault();
    findAll();
  });
  if (isMac) for (const key of all("kbd")) if (key.textContent === "Ctrl K") key.textContent = "⌘ K";
  document.addEventListener("htmx:after:swap", () => { times(); origins(); scripts(); });
  setInterval(times, 1000);

  Object.assign(chomp, { one, all, put, storage, toast, toggleTheme, look, blame, times, commands: [] });
  showTheme();
  times();
  origins();
})();
