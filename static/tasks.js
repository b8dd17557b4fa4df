// The dashboard: its sheets and what the address says of them, the keys. chomp.js comes before.
(() => {
  "use strict";
  const root = document.documentElement;
  const { one, all, put, storage, toast } = chomp;
  const wide = matchMedia("(width >= 64rem)");
  const desk = one(".desk"), detail = one("#detail"), filter = one("#filter");
  const SHEETS = ["settings", "create", "help"];

  // -- the address: which task, which sheet, which list. `history.state.task` counts the steps since the list alone,
  //    so that closing goes back over all of them; `history.state.sheet` says that a step back closes the sheet.

  const said = (name) => new URL(location.href).searchParams.get(name) ?? "";
  function say(changes, { push = false, ...state } = {}) {
    const address = new URL(location.href);
    for (const [name, value] of Object.entries(changes)) value ? address.searchParams.set(name, value) : address.searchParams.delete(name);
    if (address.href !== location.href) history[push ? "pushState" : "replaceState"]({ ...history.state, ...state }, "", address);
  }
  const waits = () => "shell" in root.dataset;  // for the first data: the address says what they are

  function follow() {  // what the address says is shown; whatever else is open was left
    const tab = one(`#filter [name=tab][value="${said("tab") || "active"}"]`);
    const fields = [...filter.elements].filter(({ name, type }) => ["q", "status", "platform", "sort"].includes(name) && type !== "radio");
    const other = fields.filter((field) => field.value !== said(field.name));
    other.forEach((field) => { field.value = said(field.name); });
    if (tab && (!tab.checked || other.length)) { tab.checked = true; htmx.trigger(filter, "relist"); }
    for (const name of SHEETS) {
      const sheet = document.getElementById(name);
      if (sheet.open && said("sheet") !== name) sheet.close();
      else if (!sheet.open && said("sheet") === name) openSheet(name);
    }
    if (!said("task")) detail.close();
    else if (said("task") !== shownTask()) chomp.openTask(said("task"));
    mark();
  }
  let leaving = 0, coming = "";  // steps back of our own; what somebody wants to see, and what comes else was left
  addEventListener("popstate", () => { leaving ? leaving -= 1 : coming = ""; follow(); });
  const back = (steps) => { leaving += 1; history.go(-steps); };

  // -- sheets; on a wide screen the detail is a panel beside the list

  const shownTask = () => detail.open ? one("[data-task]", detail)?.dataset.task : undefined;
  const detailOf = (id) => `/partials/detail/${encodeURIComponent(id)}`;
  chomp.isOpen = (id) => coming === detailOf(id) || id === shownTask();
  function show(sheet) {
    if (sheet.open) return;
    const beside = sheet === detail && wide.matches;
    if (sheet === detail) desk.toggleAttribute("data-beside", beside);
    if (beside) sheet.show(); else sheet.showModal();
    if (document.activeElement?.matches(".sheet-body")) sheet.focus({ preventScroll: true });  // a scroller is a poor first stop
    if (SHEETS.includes(sheet.id)) say({ sheet: sheet.id }, { push: said("sheet") !== sheet.id, sheet: true });
  }
  function openSheet(name) {
    const sheet = document.getElementById(name), body = one("[data-from]", sheet);
    if (body && "gone" in root.dataset) toast("chomp cannot be reached", { error: true });
    else if (body) htmx.ajax("GET", body.dataset.from, { source: body });  // shown when it is there
    else show(sheet);
  }
  Object.assign(chomp, { openSheet, showSheet: show, newTask: (fields) => { chomp.wished = fields; openSheet("create"); } });  // until new-task.js is there
  chomp.openTask = (id) => htmx.ajax("GET", detailOf(id), { source: one("#detail-body"), target: "#detail-body", swap: "innerHTML" });

  function mark() {  // the card of the task that is open
    all(".card[data-open]").forEach((card) => delete card.dataset.open);
    const id = shownTask(), card = document.getElementById(`task-${id}`);
    if (card) card.dataset.open = "";
    chomp.titled?.(id ? `Task ${id} · chomp` : "chomp");
  }
  function opened() {  // a task has come
    const id = one("[data-task]", detail)?.dataset.task;
    if (!id) return;
    show(detail);
    const steps = history.state?.task ?? 0, fresh = !said("task");
    if (said("sheet")) {  // it takes the place of the sheet it was made in
      say({ task: id, sheet: "" }, { task: !history.state?.sheet ? 0 : fresh ? 1 : steps && steps + 1, sheet: false });
      SHEETS.forEach((name) => document.getElementById(name).close());
    } else say({ task: id }, { push: true, task: fresh ? 1 : steps && steps + 1 });
  }

  let moving = false;  // between panel and sheet
  detail.addEventListener("close", () => {
    if (moving) return;
    if (!detail.open) desk.removeAttribute("data-beside");
    one("#detail-body").replaceChildren();
    coming = "";
    if (said("task")) history.state?.task ? back(history.state.task) : say({ task: "" });
    mark();
  });
  for (const name of SHEETS) document.getElementById(name).addEventListener("close", () => {
    if (said("sheet") === name) history.state?.sheet ? back(1) : say({ sheet: "" });
  });
  wide.addEventListener("change", () => {
    if (!detail.open) return;
    moving = true;
    detail.close();
    show(detail);
    setTimeout(() => { moving = false; });  // its close event comes later
  });

  // a tap beside a sheet closes it, and so does a pull downwards
  all("dialog.sheet").forEach((sheet) => {
    const body = one(".sheet-body", sheet);
    let from, by = 0, began = 0;
    sheet.addEventListener("click", (event) => {
      if (event.target !== sheet || !sheet.matches(":modal")) return;
      const at = sheet.getBoundingClientRect();
      if (event.clientY < at.top || event.clientY > at.bottom || event.clientX < at.left || event.clientX > at.right) sheet.close();
    });
    sheet.addEventListener("touchstart", ({ touches, target, timeStamp }) => {
      const free = !body.contains(target) || (body.scrollTop <= 0 && !target.closest("chomp-terminal, textarea, input, select, pre, .diff"));
      from = free && touches.length === 1 && sheet.matches(":modal") && !wide.matches ? touches[0].clientY : undefined;
      [by, began] = [0, timeStamp];
    }, { passive: true });
    sheet.addEventListener("touchmove", (event) => {
      if (from === undefined) return;
      by = event.touches[0].clientY - from;
      if (by < 0 && !sheet.style.translate) { from = undefined; return; }
      event.preventDefault();
      sheet.style.transition = "none";
      sheet.style.translate = `0 ${Math.max(0, by)}px`;
    }, { passive: false });
    const end = ({ timeStamp, type }) => {
      if (from === undefined) return;
      from = undefined;
      sheet.style.transition = sheet.style.translate = "";
      if (type === "touchend" && (by > 120 || (by > 40 && by / (timeStamp - began) > 0.6))) sheet.close();
    };
    sheet.addEventListener("touchend", end);
    sheet.addEventListener("touchcancel", end);
  });

  // -- HTMX: what the reader has opened or typed survives a refresh; a sheet that is closed asks no more

  htmx.registerExtension("keep", {
    htmx_before_morph_attr: (element, { attrName }) => !element.matches({ open: "details", "aria-pressed": "[data-show-session]" }[attrName] ?? ":not(*)"),
    htmx_before_morph_node: (element) => !element.matches?.("[data-dirty]"),
  });
  document.addEventListener("input", ({ target }) => { if (target.closest("[data-task], #settings, #first-run")) target.dataset.dirty = ""; });
  document.body.addEventListener("refreshSettings", ({ target }) => {  // or it would take the place of the request that opens them
    if (target.id !== "settings-body" && one("#settings").open) htmx.trigger("#settings-body", "refreshSettings");
  });
  document.addEventListener("htmx:before:request", (event) => {
    const { target, detail: { ctx } } = event;
    if (target.matches?.("[data-task]") && !detail.open) event.preventDefault();
    if (ctx.sourceEvent?.type === "refreshSettings") return;
    if (target.matches?.("[data-opens], .sheet-body")) coming = ctx.request.action;
  });
  document.addEventListener("htmx:before:swap", (event) => {
    const { ctx } = event.detail, isFirst = ctx.sourceElement?.hasAttribute("data-first");
    if (ctx.sourceEvent?.type === "refreshSettings" && !ctx.target?.closest?.("dialog")?.open) return event.preventDefault();  // closed meanwhile: it would open again
    if (ctx.target?.matches?.(".sheet-body") && !isFirst && ctx.sourceEvent?.type !== "refreshSettings" && ctx.request.action !== coming) event.preventDefault();
  });
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    const { target } = ctx;
    if (target?.matches?.(".sheet-body")) target.id === "detail-body" ? arrive(ctx) : target.id !== "create-body" && show(target.closest("dialog"));
    mark();
    wakeTerminals();
  });
  function arrive({ sourceElement }) {
    if (waits() || sourceElement?.hasAttribute("data-first")) return;
    one("#detail-body").scrollTop = 0;
    opened();
  }
  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
    if (!ctx.sourceElement?.hasAttribute?.("data-first") || waits()) return;
    if (one("[data-task]", detail)) { show(detail); say({ tab: one("[name=tab]:checked", filter).value === "completed" ? "completed" : "" }); }
    const missing = one("#missing");
    if (missing) { toast(`There is no task ${missing.dataset.id}`, { error: true }); say({ task: "" }); missing.remove(); }
    if (SHEETS.includes(said("sheet"))) openSheet(said("sheet"));
    mark();
  });
  document.addEventListener("htmx:after:request", ({ detail: { ctx } }) => {
    if (ctx.response?.status === 404 && ctx.sourceElement.matches("[data-task]")) detail.close();
  });
  document.addEventListener("succeeded", ({ detail: { source, answer } }) => {
    if ("opens" in source.dataset && answer.id) chomp.openTask(answer.id);
  });

  // -- clicks

  let deleted = -Infinity;  // when something was: the list has moved since, and a second click would meet another task
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button, a, summary");
    if (!button) return;
    const { dataset } = button;
    if (dataset.undo !== undefined) {
      if (event.timeStamp - deleted < 700) { event.stopPropagation(); event.preventDefault(); return; }
      deleted = event.timeStamp;
    }
    if (dataset.sheet) openSheet(dataset.sheet);
    else if (dataset.older) {
      const limit = one("#filter [name=limit]");
      limit.value = Math.max(2 * limit.value, Number(limit.value) + Number(dataset.older));  // all of it comes again: in few steps
      htmx.trigger(filter, "relist");
    } else if (dataset.showSession) {
      const section = button.closest("section");
      one("chomp-terminal", section).dataset.session = dataset.showSession;
      all("[data-show-session]", section).forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    }
    if (dataset.close !== undefined && !button.hasAttribute("hx-post")) button.closest("dialog")?.close();
  }, true);

  filter.addEventListener("input", ({ target }) => {  // another tab or search begins at the top again
    if (target.name !== "limit") one("#filter [name=limit]").value = 20;
    if (target.name === "tab") {
      all("#filter [name=status]").forEach((field) => { field.value = ""; });
      say({ tab: target.value === "completed" ? "completed" : "", status: "" }, { push: true, task: 0, sheet: false });
    } else say({ [target.name]: target.value });
  });
  filter.addEventListener("submit", (event) => event.preventDefault());

  // -- folds that load what they hold, terminals that are fetched when they are seen

  const assets = JSON.parse(one('meta[name="chomp-assets"]').content);
  let fetched = false;
  function wakeTerminals() {
    if (fetched || !all("chomp-terminal").some((terminal) => terminal.closest("details")?.open)) return;
    fetched = true;
    document.head.append(Object.assign(document.createElement("script"), { src: assets.terminal }));
  }
  document.addEventListener("toggle", ({ target }) => {
    if (!target.open) return;
    const inside = target.dataset?.loads;
    if (inside) htmx.trigger(one(inside), "load-fold");
    wakeTerminals();
  }, true);

  document.addEventListener("focusin", ({ target }) => { if ("whole" in (target.dataset ?? {})) target.select(); });  // what is typed takes the place of what is shown

  // -- keys

  const keys = one("#keys-on");
  keys.checked = storage("localStorage").keys !== "off";
  keys.addEventListener("change", () => { storage("localStorage").keys = keys.checked ? "on" : "off"; });
  function step(by) {  // from the row that has the focus, or else is open
    const links = all("#tasks .card-open"), at = links.indexOf(one(".card-open", chomp.list.focused() ?? document.createElement("i")));
    links[at < 0 ? 0 : Math.min(Math.max(at + by, 0), links.length - 1)]?.focus();
  }
  document.addEventListener("keydown", (event) => {
    const at = event.target;
    if (at.closest?.("chomp-terminal") || event.isComposing) return;
    if (event.key === "Enter" && event.repeat && at.closest?.("#new-task")?.matches(":not(:has(textarea:focus))")) return event.preventDefault();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && at.form) { event.preventDefault(); return at.form.requestSubmit(); }
    if (event.key === "Escape" && at.id === "search") {
      event.preventDefault();
      at.value = "";
      at.dispatchEvent(new Event("input", { bubbles: true }));
      return at.blur();
    }
    if (event.key === "Escape" && !one("dialog:modal")) { if (!chomp.list.clear() && detail.open) detail.close(); return; }
    if (at.matches?.("input:not([type=radio], [type=checkbox]), textarea, select") || one("dialog:modal") || event.altKey) return;
    if (event.ctrlKey || event.metaKey) {
      if (event.key === "a" && !event.shiftKey && !at.closest?.("#detail") && one("#tasks .task")) { event.preventDefault(); chomp.list.all(); }
      return;
    }
    const act = {
      n: () => openSheet("create"), s: () => openSheet("settings"), "?": () => openSheet("help"), d: chomp.toggleTheme,
      "/": () => one("#search").focus(), j: () => step(1), k: () => step(-1),
      x: chomp.list.toggle, J: () => chomp.list.extend(() => step(1)), K: () => chomp.list.extend(() => step(-1)),
    }[event.key];
    if (act && (keys.checked || event.key === "?")) { event.preventDefault(); act(); }
  });

  // -- start

  one(".shell").addEventListener("animationend", ({ target, animationName }) => {
    if (animationName === "rise" && target.matches(".shell")) delete root.dataset.boot;
  });
  wakeTerminals();
})();
