// <chomp-terminal data-src data-session>: a session's terminal, live or played back. Fetches xterm.js when it is first seen.
(() => {
  "use strict";
  const assets = JSON.parse(document.querySelector('meta[name="chomp-assets"]').content);
  const ACK_BYTES = 64 * 1024;  // how much is shown before the server is told that it may send on
  const LONGEST_MS = 32000;

  let ready;
  const load = () => ready ??= (async () => {
    const add = (tag, given) => new Promise((resolve, reject) => {
      document.head.append(Object.assign(document.createElement(tag), given, { onload: resolve, onerror: reject }));
    });
    await Promise.all([add("link", { rel: "stylesheet", href: assets.css }), add("script", { src: assets.xterm })]);
    await add("script", { src: assets.fit });
  })();

  const KEYS = [["Esc", "\x1b"], ["Tab", "\t"], ["Ctrl", null], ["↑", "\x1b[A"], ["↓", "\x1b[B"], ["←", "\x1b[D"], ["→", "\x1b[C"], ["Enter", "\r"], ["^C", "\x03"]];
  const SPOKEN = { "↑": "Up", "↓": "Down", "←": "Left", "→": "Right", "^C": "Control C" };

  class ChompTerminal extends HTMLElement {
    static observedAttributes = ["data-session"];
    #term; #fit; #socket; #timer; #watch; #wait = 1000; #shown = 0; #ended = false; #ctrl = false; #generation = 0;

    connectedCallback() {
      this.fold = this.closest("details");
      this.fold?.addEventListener("toggle", this.onToggle);
      this.onToggle();
    }
    connectedMoveCallback() {}  // moved by a refresh, not taken away
    disconnectedCallback() {
      this.fold?.removeEventListener("toggle", this.onToggle);
      queueMicrotask(() => { if (!this.isConnected) this.stop(); });
    }
    attributeChangedCallback(_, before, after) {
      if (this.#term && before !== after) { this.#hangUp(); this.#term.reset(); this.#ended = false; this.#connect(); }
    }
    onToggle = () => { if (!this.fold || this.fold.open) this.start(); };

    async start() {
      if (this.#term || this.starting) return;
      this.starting = true;
      try { await load(); } catch { this.textContent = "The terminal could not be loaded."; return; } finally { this.starting = false; }
      if (!this.isConnected || this.#term) return;
      const screen = Object.assign(document.createElement("div"), { className: "screen" });
      screen.setAttribute("role", "region");
      screen.setAttribute("aria-label", this.dataset.label);
      this.note = Object.assign(document.createElement("p"), { className: "mt-1 text-xs text-muted" });
      this.note.setAttribute("role", "status");
      this.replaceChildren(screen, this.#tray(), this.note);
      const term = this.#term = new Terminal({
        fontSize: 13, lineHeight: 1.25, fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--font-mono"),
        scrollback: 5000, screenReaderMode: false, allowProposedApi: false, cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
        theme: { background: getComputedStyle(screen).backgroundColor, foreground: "#e4e4e7", cursor: "#c8a630", selectionBackground: "#52525b",
          red: "#f87171", green: "#4ade80", yellow: "#e8c872", blue: "#7b93db", magenta: "#c97bdb", cyan: "#67e8f9", brightBlack: "#a1a1aa" },
      });
      this.#fit = new FitAddon.FitAddon();
      term.loadAddon(this.#fit);
      term.open(screen);
      term.attachCustomKeyEventHandler((event) => {  // Tab is the agent's: F6 is the way out
        if (event.key !== "F6") return true;
        if (event.type === "keydown") { event.preventDefault(); this.#leave(event.shiftKey); }
        return false;
      });
      term.onData((text) => this.#send(this.#ctrl ? this.#held(text) : text));
      term.onBinary((text) => this.#bytes(Uint8Array.from(text, (sign) => sign.charCodeAt(0))));
      this.#watch = new ResizeObserver(() => { clearTimeout(this.#timer); this.#timer = setTimeout(() => this.#measure(), 100); });
      this.#watch.observe(screen);
      this.#fit.fit();
      this.#connect();
    }

    stop() {
      this.#watch?.disconnect();
      clearTimeout(this.#timer);
      this.#hangUp();
      this.#term?.dispose();
      this.#term = undefined;
    }

    #tray() {
      const tray = Object.assign(document.createElement("div"), { className: "keys" });
      tray.setAttribute("role", "toolbar");
      tray.setAttribute("aria-label", "Keys");
      for (const [name, sent] of KEYS) {
        const key = Object.assign(document.createElement("button"), { type: "button", className: "key", textContent: name });
        if (SPOKEN[name]) key.setAttribute("aria-label", SPOKEN[name]);
        key.addEventListener("pointerdown", (event) => event.preventDefault());  // the phone's keyboard stays
        key.addEventListener("click", () => {
          if (sent === null) this.#hold(!this.#ctrl, key); else this.#send(sent);
          this.#term?.focus();
        });
        tray.append(key);
      }
      return tray;
    }
    #hold(on, key = this.querySelector(".key:nth-child(3)")) { this.#ctrl = on; key.setAttribute("aria-pressed", String(on)); }
    #held(text) {
      this.#hold(false);
      const code = text.toUpperCase().charCodeAt(0);
      return text.length === 1 && code >= 64 && code < 96 ? String.fromCharCode(code & 31) : text;
    }

    #leave(back) {
      const side = back ? Node.DOCUMENT_POSITION_PRECEDING : Node.DOCUMENT_POSITION_FOLLOWING;
      const stops = [...document.querySelectorAll("a[href], button, summary, input, textarea")].filter((stop) =>
        this.compareDocumentPosition(stop) & side && !this.contains(stop) && !stop.disabled && stop.checkVisibility());
      stops.at(back ? -1 : 0)?.focus();
    }

    #measure() {
      if (!this.#term || !this.isConnected || !this.offsetWidth) return;
      this.#fit.fit();
      this.#tell({ type: "resize", cols: this.#term.cols, rows: this.#term.rows });
    }
    #send(text) { this.#bytes(new TextEncoder().encode(text)); }
    #bytes(data) { if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(data); }
    #tell(given) { if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(given)); }

    #hangUp() {
      this.#generation += 1;
      clearTimeout(this.again);
      this.#socket?.close();
      this.#socket = undefined;
    }

    #connect() {
      const generation = ++this.#generation;
      const address = new URL(this.dataset.src, location.href);
      address.searchParams.set("session", this.dataset.session);
      const socket = this.#socket = chomp.socket(address);
      socket.binaryType = "arraybuffer";
      this.#shown = 0;
      this.querySelector(".keys").hidden = false;
      socket.onopen = () => { this.#wait = 1000; this.note.textContent = ""; this.#measure(); };
      socket.onmessage = ({ data }) => { if (generation === this.#generation) typeof data === "string" ? this.#said(data) : this.#write(data, socket); };
      socket.onclose = () => {
        if (generation !== this.#generation || this.#ended || !this.isConnected) return;
        this.note.textContent = "Connecting again …";
        this.again = setTimeout(() => this.#connect(), this.#wait);  // the server replays from the start, after clearing the screen
        this.#wait = Math.min(this.#wait * 2, LONGEST_MS);
      };
    }

    #write(data, socket) {
      this.#term.write(new Uint8Array(data), () => {
        this.#shown += data.byteLength;
        if (this.#shown >= ACK_BYTES && socket.readyState === WebSocket.OPEN) {
          socket.send(JSON.stringify({ type: "ack", bytes: this.#shown }));
          this.#shown = 0;
        }
      });
    }

    #said(text) {
      const given = JSON.parse(text);
      if (given.type === "size" && (given.cols !== this.#term.cols || given.rows !== this.#term.rows)) this.#term.resize(given.cols, given.rows);
      if (given.type === "exit") {
        this.#ended = true;
        this.#term.options.cursorBlink = false;
        this.querySelector(".keys").hidden = true;
        this.note.textContent = given.signal ? `Ended by ${given.signal}` : `Ended, exit ${given.code ?? "unknown"}`;
      }
      if (given.type === "error") { this.#ended = true; this.note.textContent = given.message; }
    }
  }
  customElements.define("chomp-terminal", ChompTerminal);
})();
