// The page of conversations: the socket, what is open, the list. chomp.js and chat-text.js come before; chat-talk.js shows a
// conversation, chat-say.js is where one writes, chat-side.js is what stands beside it. What models, tools or people wrote is put into the page as text.
(() => {
  "use strict";
  const { one, all, put, storage, toast } = chomp;
  const kept = storage("localStorage");
  const make = (tag, className = "", text = "") => Object.assign(document.createElement(tag), { className, textContent: text });
  const button = (className, text, click) => {
    const made = Object.assign(make("button", className, text), { type: "button" });
    made.addEventListener("click", click);
    return made;
  };
  const icon = (path, size = 15) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", "svg"), line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    for (const [name, value] of Object.entries({ "aria-hidden": "true", width: size, height: size, viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": 1.8, "stroke-linecap": "round", "stroke-linejoin": "round" })) made.setAttribute(name, value);
    line.setAttribute("d", path);
    made.append(line);
    return made;
  };
  const iconButton = (className, words, path, click, size) => {
    const made = button(className, "", click);
    made.setAttribute("aria-label", words);
    made.title = words;
    made.append(icon(path, size));
    return made;
  };
  const CLOSE = "m6 6 12 12M18 6 6 18";
  const json = (text, otherwise) => { try { return JSON.parse(text) ?? otherwise; } catch { return otherwise; } };
  const uuid = () => crypto.randomUUID?.() ?? "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (c) => (c ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (c / 4)))).toString(16));
  const path = (id, rest = "") => `/conversations/${encodeURIComponent(id)}${rest}`;

  // -- what asks twice: the button itself, for a dialog would be in the way

  const SURE_MS = 6000, TWICE_MS = 350;
  function twice(className, text, sure, click) {
    const made = Object.assign(make("button", className), { type: "button" }), shown = make("span", "", text);
    let armed = 0, timer;
    shown.setAttribute("aria-live", "polite");
    made.append(shown);
    const rest = () => { armed = 0; delete made.dataset.armed; put(shown, text); clearTimeout(timer); };
    made.addEventListener("click", () => {
      if (!armed) {
        armed = Date.now();
        made.dataset.armed = "";
        put(shown, sure);
        timer = setTimeout(rest, SURE_MS);
      } else if (Date.now() - armed > TWICE_MS) {  // the second half of a double click is no second thought
        rest();
        click();
      }
    });
    made.addEventListener("blur", rest);
    return made;
  }

  // -- what the parts of the page tell each other

  const ears = new Map();
  function on(type, hear) {
    if (!ears.has(type)) ears.set(type, new Set());
    ears.get(type).add(hear);
    return () => ears.get(type).delete(hear);
  }
  function emit(type, data) {
    for (const hear of [...ears.get(type) ?? []]) {
      try { hear(data); } catch (error) { console.error(error); }  // one part must not stop another
    }
  }

  // -- requests

  async function call(method, where, body, { timeout = method === "GET" ? 15000 : 120000 } = {}) {
    const more = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
    let answer, found;
    try {
      answer = await chomp.fetch(where, { method, ...more, signal: AbortSignal.timeout(timeout) });
      found = await answer.text();
    } catch {
      throw Object.assign(new Error("chomp cannot be reached"), { status: 0 });
    }
    const fields = json(found, {});
    if (!answer.ok) throw Object.assign(new Error(fields.error?.message ?? (typeof fields.error === "string" ? fields.error : `chomp answered ${answer.status}`)), { status: answer.status, code: fields.error?.code ?? fields.code });
    return fields;
  }
  const complain = (error) => toast(error.message ?? String(error), { error: true });

  // -- the socket: one that dies silently is noticed, for each question has its answer

  const TICK_MS = 1000, PING_MS = 5000, ANSWER_MS = 7000, OPEN_MS = 8000, FIRST_WAIT_MS = 400, LONGEST_WAIT_MS = 8000;
  let socket, open = false, began = 0, heard = 0, unanswered = 0, wait = FIRST_WAIT_MS, again, asked = 0, answered = 0;
  let waiting = [];  // for the answer to a ping: all that was said before has arrived by then

  function connect() {
    clearTimeout(again);
    if (socket) return;
    const made = socket = chomp.socket("/ws?approvals=1");
    began = Date.now();
    asked = answered = unanswered = 0;
    made.onopen = () => {
      if (made !== socket) return;
      open = true;
      heard = Date.now();
      wait = FIRST_WAIT_MS;
      emit("connected");
      ping();
    };
    made.onmessage = ({ data }) => { if (made === socket) hear(data); };
    made.onclose = () => { if (made === socket) lose(); };
  }
  function lose(at_once = false) {
    const old = socket, was = open;
    socket = undefined;
    open = false;
    if (old) {
      old.onopen = old.onmessage = old.onclose = null;
      old.close();
    }
    for (const { fail } of waiting.splice(0)) fail(new Error("the connection is lost"));
    if (was) emit("disconnected");
    clearTimeout(again);
    again = setTimeout(connect, at_once ? 0 : wait);
    if (!at_once) { wait = Math.min(wait * 2, LONGEST_WAIT_MS); chomp.look(); }
  }
  function send(message) {
    if (!open) return false;
    socket.send(JSON.stringify(message));
    return true;
  }
  function ping() {
    if (!send({ type: "ping" })) return;
    asked += 1;
    unanswered ||= Date.now();
  }
  const settled = () => new Promise((done, fail) => {  // once the server has done what it was told until now
    if (!open) return fail(new Error("there is no connection"));
    ping();
    waiting.push({ number: asked, done, fail });
  });
  function hear(data) {
    heard = Date.now();
    unanswered = 0;
    const message = json(data, {});
    if (message.type === "pong") {
      answered += 1;
      while (waiting[0]?.number <= answered) waiting.shift().done();
      if (asked > answered) unanswered = heard;
    }
    if (typeof message.type === "string") emit(message.type, message);
  }
  function tick() {
    const now = Date.now();
    if (!socket) return;
    if (!open) { if (now - began > OPEN_MS) lose(); return; }
    if (unanswered && now - unanswered > ANSWER_MS) return lose(true);
    if (now - heard >= PING_MS && !unanswered) ping();
  }
  setInterval(tick, TICK_MS);
  function wake() {  // a laptop that slept, a phone that comes back: its socket may be long dead
    if (document.hidden) return;
    if (!socket) { wait = FIRST_WAIT_MS; return connect(); }
    if (open) { ping(); const then = answered; setTimeout(() => { if (open && answered === then && unanswered) lose(true); }, 3000); }
  }
  addEventListener("online", wake);
  document.addEventListener("visibilitychange", wake);
  document.addEventListener("back", wake);

  // -- conversations

  const metas = new Map(), workspaces = new Map();
  let order = [], questions = [], listed = false;

  function takeList({ conversations = [] }) {
    const before = new Set(metas.keys());
    order = conversations.map(({ id }) => id);
    for (const meta of conversations) { metas.set(meta.id, meta); before.delete(meta.id); }
    for (const id of before) metas.delete(id);
    listed = true;
    for (const tab of tabs) tab.title = metas.get(tab.id)?.title ?? tab.title;
    keepTabs();
    showList();
    showTabs();
    emit("list");
  }
  let loading, wanted = false;
  async function loadList() {
    if (loading) { wanted = true; return loading.catch(() => {}); }
    loading = (async () => {
      do {
        wanted = false;
        const [list, spaces] = await Promise.all([call("GET", "/conversations"), call("GET", "/workspaces")]);
        workspaces.clear();
        for (const one of spaces.workspaces ?? []) workspaces.set(one.id, one);
        takeList(list);
      } while (wanted);
    })();
    try { await loading; } catch { /* the connection tells of it */ } finally { loading = undefined; }
  }
  let later;
  const refreshList = () => { clearTimeout(later); later = setTimeout(loadList, 250); };

  // -- tabs: what is open in this browser

  const tabs = json(kept["chat.tabs"], []).filter((tab) => typeof tab?.id === "string").map(({ id, title, workspace }) => ({ id, title: String(title ?? ""), workspace: String(workspace ?? "") }));
  const keepTabs = () => { kept["chat.tabs"] = JSON.stringify(tabs); };
  const titleOf = (id) => metas.get(id)?.title ?? (tabs.find((tab) => tab.id === id)?.title || "New conversation");

  function showTabs() {
    const nav = one("#tabs");
    const focused = document.activeElement?.closest?.(".talk-tab")?.dataset.id, wasClose = document.activeElement?.matches?.(".talk-tab button");
    nav.replaceChildren(...tabs.map(({ id }) => {
      const tab = make("span", "talk-tab"), link = make("a", ""), title = titleOf(id);
      tab.dataset.id = id;
      tab.dataset.state = stateOf(id);
      link.href = `/chat?c=${encodeURIComponent(id)}`;
      link.append(make("i"), make("span", "", title));
      link.title = title;
      if (id === chat.conversation) { link.setAttribute("aria-current", "page"); tab.dataset.on = ""; }
      tab.append(link, iconButton("", `Close the tab ${title}`, CLOSE, () => closeTab(id), 12));
      return tab;
    }));
    if (focused) one(`.talk-tab[data-id="${CSS.escape(focused)}"] ${wasClose ? "button" : "a"}`)?.focus();
    const title = titleOf(chat.conversation);
    put(one("#talk-title"), title);
    const mark = questions.length ? "? " : metas.get(chat.conversation)?.status === "active" ? "… " : "";
    if (document.title !== `${mark}${title} · chomp`) document.title = `${mark}${title} · chomp`;
  }
  const reveal = () => one("#tabs [data-on]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  function closeTab(id) {
    const at = tabs.findIndex((tab) => tab.id === id);
    if (at < 0) return;
    const [gone] = tabs.splice(at, 1);
    emit("tab-closed", id);
    keepTabs();
    if (chat.conversation !== id) return showTabs();
    if (tabs.length) openConversation((tabs[at] ?? tabs.at(-1)).id); else startNew(gone.workspace);
  }
  const stateOf = (id) => questions.some((one) => one.conversationId === id || one.rootId === id) ? "asks" : metas.get(id)?.status ?? "idle";

  // -- the list

  const SHOWN = 60;
  let most = SHOWN, withClosed = false;
  const aged = (ms) => {
    const s = Math.max(0, (Date.now() - ms) / 1000);
    return s < 60 ? "now" : s < 3600 ? `${Math.floor(s / 60)}m` : s < 86400 ? `${Math.floor(s / 3600)}h` : s < 86400 * 60 ? `${Math.floor(s / 86400)}d` : new Date(ms).toLocaleDateString(undefined, { month: "short", year: "2-digit" });
  };
  const STATES = { asks: "a question waits", active: "is working", closed: "closed" };
  function row(meta, children) {
    const made = make("li"), link = make("a", "list-row"), state = stateOf(meta.id);
    link.href = `/chat?c=${encodeURIComponent(meta.id)}`;
    link.dataset.id = meta.id;
    link.dataset.state = state;
    if (meta.id === chat.conversation) link.setAttribute("aria-current", "page");
    link.append(make("i"), make("span", "list-title", meta.title), make("span", "list-age", aged(meta.lastActivityAt)));
    if (STATES[state]) link.append(make("span", "sr-only", `, ${STATES[state]}`));
    made.append(link);
    if (children?.length) {
      const inside = make("ul", "list-children");
      inside.append(...children.map((child) => row(child, undefined)));
      made.append(inside);
    }
    return made;
  }
  function showList() {
    const place = one("#list-rows"), focused = document.activeElement?.closest?.("#list-rows [data-id]")?.dataset.id, at = all("button", place).indexOf(document.activeElement);
    const all_ = order.map((id) => metas.get(id)).filter(({ workspaceId }) => !chat.filter || workspaceId === chat.filter), childrenOf = new Map(), groups = new Map();
    for (const meta of all_) if (meta.parentId && metas.has(meta.parentId)) childrenOf.set(meta.parentId, [...childrenOf.get(meta.parentId) ?? [], meta]);
    const roots = all_.filter((meta) => !(meta.parentId && metas.has(meta.parentId)));
    const closed = roots.filter(({ status }) => status === "closed").length;
    const shown = roots.filter(({ id, status }) => withClosed || status !== "closed" || id === chat.conversation);
    for (const meta of shown.slice(0, most)) groups.set(meta.workspaceId, [...groups.get(meta.workspaceId) ?? [], meta]);
    for (const id of workspaces.keys()) if (!groups.has(id) && id !== "default" && (!chat.filter || id === chat.filter)) groups.set(id, []);
    const parts = [...groups].map(([id, found]) => {
      const part = make("section", "list-group"), rows = make("ul"), title = workspaces.get(id)?.title ?? id;
      if (groups.size > 1 || id !== "default") {
        const head = make("h3", "list-space");
        head.append(make("span", "", title));
        head.append(iconButton("list-add", `New conversation in ${title}`, "M12 5v14M5 12h14", () => startNew(id), 13));
        part.append(head);
      }
      const isNear = (meta) => meta.id === chat.conversation || metas.get(chat.conversation)?.parentId === meta.id || stateOf(meta.id) !== "idle";
      rows.append(...found.map((meta) => row(meta, isNear(meta) ? childrenOf.get(meta.id)?.slice(0, 20) : undefined)));
      part.append(rows);
      return part;
    });
    if (!shown.length) parts.push(make("p", "list-none", listed ? "What you begin stands here." : ""));
    if (shown.length > most) parts.push(button("list-more", `${shown.length - most} more`, () => { const before = all(".list-row", place).length; most += 200; showList(); all(".list-row", place)[before]?.focus(); }));
    if (closed) parts.push(button("list-more", withClosed ? "Hide those that are closed" : `${closed} closed`, () => { withClosed = !withClosed; showList(); }));
    place.replaceChildren(...parts);
    if (focused) one(`#list-rows [data-id="${CSS.escape(focused)}"]`)?.focus();
    else if (at >= 0) (all("button", place)[at] ?? all("button, a", place).at(-1))?.focus();
  }
  setInterval(() => { if (!document.hidden) for (const link of all("#list-rows [data-id]")) put(one(".list-age", link), aged(metas.get(link.dataset.id)?.lastActivityAt ?? 0)); }, 60000);

  // -- which one is shown

  function openConversation(id, { seq = 0, push = true, workspace = "" } = {}) {
    if (typeof id !== "string" || !/^[A-Za-z0-9._:-]{1,128}$/.test(id)) return toast("There is no such conversation", { error: true });
    const meta = metas.get(id);
    let tab = tabs.find((one) => one.id === id);
    if (!tab) tabs.push(tab = { id, title: meta?.title ?? "", workspace: meta?.workspaceId ?? workspace });
    if (tabs.length > 30) tabs.splice(tabs.findIndex((one) => one.id !== id), 1);
    Object.assign(chat, { conversation: id, meta, workspace: meta?.workspaceId ?? (tab.workspace || "default") });
    kept["chat.shown"] = id;
    keepTabs();
    if (push && new URLSearchParams(location.search).get("c") !== id) history.pushState(null, "", `/chat?c=${encodeURIComponent(id)}`);
    closeSheets();
    showTabs();
    showList();
    reveal();
    emit("conversation", id);
    if (seq) emit("go", { id, seq });
  }
  function startNew(workspace = chat.filter || chat.workspace) {
    const isUsed = ({ id }) => metas.has(id) || chat.talks?.get(id)?.isUsed;
    const empty = tabs.find((tab) => !isUsed(tab) && (tab.workspace || "default") === (workspace || "default") && !kept[`chat.draft.${tab.id}`]);
    openConversation(empty?.id ?? uuid(), { workspace });
    emit("compose");
  }
  addEventListener("popstate", () => {
    const id = new URLSearchParams(location.search).get("c");
    if (id) openConversation(id, { push: false });
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-id], .talk-tab a, a[data-open]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    openConversation(link.dataset.open ?? link.closest("[data-id]").dataset.id);
  });

  // -- panes: columns where there is room, sheets where there is none

  const ROOM = { "list-pane": matchMedia("(width >= 64rem)"), "side-pane": matchMedia("(width >= 80rem)") };
  function settle(pane) {
    const column = ROOM[pane.id].matches && kept[`chat.${pane.id}`] !== "closed";
    if (pane.matches(":modal")) { if (!ROOM[pane.id].matches) return; pane.close(); }
    pane.open = column;  // as an attribute: show() would take the focus
    pane.toggleAttribute("data-column", column);
    one(`[aria-controls="${pane.id}"]`).setAttribute("aria-expanded", String(column));
  }
  function toggle(name) {
    const pane = one(`#${name}`);
    if (!ROOM[name].matches) return pane.showModal();
    kept[`chat.${name}`] = pane.open ? "closed" : "open";
    settle(pane);
  }
  function closeSheets() { for (const sheet of all("dialog:modal")) sheet.close(); }
  for (const name of Object.keys(ROOM)) { settle(one(`#${name}`)); ROOM[name].addEventListener("change", () => settle(one(`#${name}`))); }
  one("#show-list").addEventListener("click", () => toggle("list-pane"));
  one("#show-side").addEventListener("click", () => toggle("side-pane"));
  for (const name of ["#list-new", "#tab-new"]) one(name).addEventListener("click", () => startNew());
  document.addEventListener("click", ({ target }) => {
    const sheet = target.closest?.("dialog:modal");
    if (sheet && (target === sheet || target.closest("[data-close]"))) sheet.close();  // beside it, or its cross
  });

  // -- what the server says

  on("connected", refreshList);
  on("conversation.statusChanged", ({ conversationId: id, status, workspaceId }) => {
    const meta = metas.get(id);
    if (meta) {
      Object.assign(meta, { status, workspaceId: workspaceId ?? meta.workspaceId, active: status === "active", lastActivityAt: Date.now() });
      if (status === "active") order = [id, ...order.filter((one) => one !== id)];
      showList();
      showTabs();
    }
    refreshList();
  });
  on("conversation.open", ({ conversationId: id }) => {
    if (tabs.some((tab) => tab.id === id)) return;
    tabs.push({ id, title: metas.get(id)?.title ?? "", workspace: "" });
    keepTabs();
    showTabs();
    refreshList();
  });
  on("conversation.compacted", refreshList);
  on("filter", showList);  // of which workspace, "": of all
  on("approvals", ({ approvals }) => { questions = approvals ?? []; showTabs(); showList(); emit("questions", questions); });

  const chat = window.chat = {
    conversation: "", workspace: "default", filter: "", meta: undefined, undo: {},
    call, send, on, emit, toast, complain, settled, metas, workspaces, titleOf, path, refreshList, loadList, closeTab, startNew, closeSheets,
    open: openConversation,
    get questions() { return questions; },
    get connected() { return open; },
    get tabs() { return tabs; },
    make, button, twice, icon, iconButton, json, kept, uuid,
  };
  on("list", () => {
    const meta = metas.get(chat.conversation);
    if (!meta) return;
    Object.assign(chat, { meta, workspace: meta.workspaceId });
    emit("meta", meta);
  });

  // -- the first data: HTMX asks for the list, as every page does for what it lacks

  document.addEventListener("htmx:after:request", ({ detail: { ctx } }) => {
    if (!ctx.sourceElement?.matches?.("[data-first]") || !ctx.response || ctx.response.status >= 400) return;
    takeList(json(ctx.text, {}));
  }, true);
  document.addEventListener("DOMContentLoaded", () => {  // all parts are there
    const named = new URLSearchParams(location.search).get("c") ?? kept["chat.shown"];
    openConversation(/^[A-Za-z0-9._:-]{1,128}$/.test(named ?? "") ? named : tabs.at(-1)?.id ?? uuid(), { push: false });
    history.replaceState(history.state, "", `/chat?c=${encodeURIComponent(chat.conversation)}`);  // so that Back finds it
    connect();
  });
})();
