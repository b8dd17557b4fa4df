// The first script of every page: all that knows this browser's key, and what a page asks for first.
//
// The key lies in localStorage, which belongs to one origin: scheme, host AND port. It is no cookie, for those go to every
// port of a host name, so to whatever an agent serves there. A page whose script tag has data-first="/partials/…" is a
// shell: that request is on its way before the style sheet is, and <html data-shell> says "waiting" until its answer is
// shown, or "failed". A page without it is the sign-in page.
(() => {
  "use strict";
  const NAME = "chomp.key", FIRST_MS = 15000;
  const root = document.documentElement, wanted = document.currentScript.dataset.first;
  const read = () => { try { return localStorage[NAME]; } catch { return undefined; } };  // may be denied
  const held = read();
  const ours = (url) => new URL(url, location.href).origin === location.origin;
  const authorized = (given = {}) => ({ ...given, mode: "same-origin", credentials: "omit", redirect: "error", headers: { ...given.headers, authorization: `Bearer ${held}` } });

  let left = false;
  function leave(next = location.pathname + location.search + location.hash) {  // to the sign-in page, and back here afterwards
    if (left) return;
    left = true;
    try { if (read() === held) delete localStorage[NAME]; } catch { /* nothing is there */ }
    location.replace(next === "/" ? "/login" : `/login?next=${encodeURIComponent(next)}`);
  }
  function look() {  // what another tab did, or a page out of the back/forward cache slept through
    const now = read();
    if (now !== held) now ? location.reload() : leave();
  }
  const refused = () => { const now = read(); now && now !== held ? location.reload() : leave(); };

  window.chomp = {
    async fetch(url, given) {
      if (!ours(url)) throw new TypeError("the key is for our own origin");
      if (left) return new Promise(() => {});  // nobody will look at the answer
      const answer = await fetch(url, authorized(given));
      if (answer.status === 401) refused();
      return answer;
    },
    socket(url) {  // a page can set no header here but this one; the server selects "chomp" and never says the key
      const address = new URL(url, location.href);
      if (address.host !== location.host) throw new TypeError("the key is for our own origin");
      address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
      return new WebSocket(address, ["chomp", `chomp.key.${held}`]);
    },
    keeps() {  // whether a key would be kept here
      try { localStorage[`${NAME}.probe`] = "1"; delete localStorage[`${NAME}.probe`]; return true; } catch { return false; }
    },
    keep(key) { localStorage[NAME] = key; },
    async signOut() {
      const answer = await this.fetch("/logout", { method: "POST" });
      if (answer.ok) leave("/");
      return answer;
    },
  };
  addEventListener("storage", ({ key }) => {
    if (key !== NAME && key !== null) return;
    if (wanted !== undefined) look(); else if (read()) document.dispatchEvent(new CustomEvent("signed-in"));
  });
  if (wanted === undefined) return;

  // -- every request of HTMX, its event stream, and the stream's later tries, which repeat these headers

  let early;
  if (held) {
    early = fetch(wanted + location.search, authorized({ headers: { accept: "text/html" }, signal: AbortSignal.timeout(FIRST_MS) }));
    early.catch(() => {});  // whoever asks for it hears of it
  } else leave();
  document.addEventListener("htmx:config:request", (event) => {
    const { request } = event.detail.ctx;
    if (left || !ours(request.action)) return event.preventDefault();
    Object.assign(request, authorized(request));
    if (request.action !== wanted) return;
    request.action += location.search;
    if (early) { const answer = early; early = undefined; event.detail.ctx.fetch = () => answer; }
  });
  document.addEventListener("htmx:before:response", (event) => {
    if (event.detail.ctx.response.status === 401) { event.preventDefault(); refused(); }
  });
  document.addEventListener("htmx:sse:error", ({ detail }) => { if (detail.status === 401) refused(); });
  addEventListener("pageshow", ({ persisted }) => { if (persisted) { left = false; look(); } });

  // -- the first data: shown all at once; when they do not come, words and another try

  root.dataset.shell = "waiting";
  const isFirst = ({ sourceElement }) => sourceElement?.dataset && "first" in sourceElement.dataset;
  const waits = () => "shell" in root.dataset;
  function fail(words) {
    if (left || !waits()) return;
    root.dataset.shell = "failed";
    delete root.dataset.boot;
    for (const place of document.querySelectorAll(".unreached")) {
      place.removeAttribute("aria-busy");
      place.querySelector("[role=alert]").textContent = words;
    }
  }
  function again() {
    document.querySelectorAll(".unreached").forEach((place) => place.setAttribute("aria-busy", "true"));
    const asks = document.querySelector("body [data-first]");
    window.htmx && asks ? htmx.trigger(asks, "again") : location.reload();
  }
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    if (!isFirst(ctx) || ctx.response.status >= 400) return;
    root.style.setProperty("--waited", `${Math.min(performance.now(), 1800)}ms`);  // of the boot screen's time
    delete root.dataset.shell;
  });
  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
    if (!isFirst(ctx)) return;
    let words = "chomp cannot be reached.";
    try { words = JSON.parse(ctx.text).error.message; } catch { /* no answer of its own */ }
    fail(words);
  });
  addEventListener("error", ({ target }) => {  // a script did not come: then nothing above happens
    if (target.tagName !== "SCRIPT") return;
    const tell = () => fail("chomp cannot be reached.");
    document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", tell) : tell();
  }, true);
  document.addEventListener("click", ({ target }) => { if (target.closest?.("[data-again]")) again(); });
  addEventListener("online", () => { if (root.dataset.shell === "failed") again(); });
})();
