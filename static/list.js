// The list of tasks: which are chosen, what is done to them at once, one row at a time kept up to date. tasks.js comes before.
(() => {
  "use strict";
  const { one, all, put, toast } = chomp;
  const root = document.documentElement, filter = one("#filter"), list = one("#tasks"), bar = one("#bulk");
  const rows = () => all(".task", list);
  const idOf = (row) => row.id.slice(5);
  const rowOf = (id) => document.getElementById(`task-${id}`);
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

  // -- refreshes: a row whose HTML is what it was stays as it is, whatever scripts have written into it (ages, ticks)

  let shown = new Map(), coming = new Map();  // of each row the HTML that it was made of, and that is on its way
  const lists = new WeakMap();
  htmx.registerExtension("rows", {
    htmx_before_morph_node: (element) => !element.matches?.(".task") || shown.get(element.id) !== coming.get(element.id),
  });
  const isList = (ctx) => ctx.target === list || Boolean(ctx.sourceElement?.hasAttribute?.("data-first"));
  document.addEventListener("htmx:before:swap", ({ detail: { ctx, tasks } }) => {
    if (!isList(ctx) && !ctx.target?.matches?.(".task")) return;
    coming = new Map();
    for (const { fragment } of tasks ?? []) for (const row of fragment?.querySelectorAll?.(".task") ?? []) coming.set(row.id, row.outerHTML);
    if (isList(ctx)) lists.set(ctx, coming);
  });
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    if (ctx.target?.id === "balance" || isList(ctx)) count();
    if (!isList(ctx)) return;
    shown = lists.get(ctx) ?? shown;
    listed();
  });
  function count() {
    const numbers = one("#balance-card")?.dataset ?? {};
    for (const place of all("[data-count]", filter)) if (numbers[place.dataset.count]) put(place, numbers[place.dataset.count]);
  }

  // What happened to a task is told by `refreshTask-{id}`, and that something did by `refreshTasks`. A row is fetched
  // alone; the list, where a task comes, goes, or moves, and when nobody says which task it was.

  const PACE_MS = 500, ROWS_AT_ONCE = 12;
  let ids = new Set(), other = new Set(), timer = 0, last = -Infinity, named = -Infinity;
  const relist = () => htmx.trigger(filter, "relist");
  const tab = () => one("[name=tab]:checked", filter)?.value;
  function hear(name) {
    const [, id] = /^refreshTask-(\d+)$/.exec(name) ?? [];
    if (id) { ids.add(id); named = performance.now(); }
    else if (["refreshTasks", "refreshTask", "refreshSettings"].includes(name)) other.add(name);
    else return;
    timer ||= setTimeout(catchUp, Math.max(60, last + PACE_MS - performance.now()));
  }
  document.addEventListener("htmx:sse:after:message", ({ detail: { message } }) => hear(message.event));
  document.body.addEventListener("refreshTasks", ({ target }) => { if (target.id !== "live") relist(); });  // this page did something
  async function catchUp() {
    [timer, last] = [0, performance.now()];
    const changed = [...ids], unnamed = other.has("refreshTasks") && (other.size > 1 || performance.now() - named > PACE_MS + 100);
    [ids, other] = [new Set(), new Set()];
    const { sort, q } = filter.elements;
    if (unnamed || changed.length > ROWS_AT_ONCE || (changed.length && (q?.value || !["", "newest", "oldest"].includes(sort?.value ?? "")))) return relist();
    if ((await Promise.all(changed.map(renew))).some((moves) => moves)) relist();
  }
  async function renew(id) {  // whether the list has another order, or other tasks, than before
    const answer = await chomp.fetch(`/partials/row/${id}`).catch(() => undefined), text = await answer?.text(), row = rowOf(id);
    if (!answer?.ok) return Boolean(answer && row);
    const fresh = new DOMParser().parseFromString(text, "text/html").querySelector(".task");
    const { kind, state } = fresh.dataset, { status } = filter.elements;
    if (!row) return (kind === "ended") === (tab() === "completed") && kind !== "deleted" && ["", state].includes(status.value);
    if (kind !== row.dataset.kind || (state !== row.dataset.state && status.value)) return true;
    if (kind === "queued" && fresh.dataset.can !== row.dataset.can) return true;
    if (shown.get(row.id) === fresh.outerHTML) return false;
    shown.delete(row.id);
    await htmx.swap({ sourceElement: row, target: row, swap: "outerMorph", text: fresh.outerHTML, request: { method: "GET", action: "" } });
    shown.set(row.id, fresh.outerHTML);
    if (picked.has(id)) pick([id], true);
    return false;
  }

  // -- further ones come before the end is reached

  const near = new IntersectionObserver((seen) => { if (seen.some(({ isIntersecting }) => isIntersecting)) one("#older", list)?.click(); }, { rootMargin: "600px" });
  function listed() {
    near.disconnect();
    const older = one("#older", list);
    if (older) near.observe(older);
    const there = new Set(rows().map(idOf));
    for (const id of picked) if (!there.has(id)) picked.delete(id);
    tick();
  }

  // -- which are chosen

  const picked = new Set();
  let choosing = false, anchor = "";  // by the button of a phone; where a range begins
  function tick() {
    const kinds = new Set();
    for (const row of rows()) {
      const on = picked.has(idOf(row)), box = one(".row-pick input", row);
      if (box.checked !== on) box.checked = on;
      if (on !== "picked" in row.dataset) row.toggleAttribute("data-picked", on);
      if (on) row.dataset.can.split(" ").forEach((act) => kinds.add(act));
    }
    const any = choosing || picked.size > 0;
    root.toggleAttribute("data-picking", any);
    bar.hidden = !any;
    put(one("b", bar), String(picked.size));
    for (const button of all("[data-bulk]", bar)) button.disabled = button.dataset.bulk !== "clear" && (!kinds.has(button.dataset.bulk) || "busy" in bar.dataset);
    one("[data-select]", filter)?.setAttribute("aria-pressed", String(choosing));
  }
  function pick(which, on) {
    for (const id of which) on ? picked.add(id) : picked.delete(id);
    tick();
  }
  function upTo(id) {
    const order = rows().map(idOf), [from, to] = [order.indexOf(anchor), order.indexOf(id)].sort((a, b) => a - b);
    pick(from < 0 ? [id] : order.slice(from, to + 1), true);
    if (from < 0) anchor = id;
  }
  function toggle(id) {
    anchor = id;
    pick([id], !picked.has(id));
  }
  function clear() {
    const any = choosing || picked.size > 0;
    [choosing, anchor] = [false, ""];
    picked.clear();
    tick();
    return any;
  }
  const focused = () => document.activeElement?.closest?.("#tasks .task") ?? one("#tasks .task[data-open]");
  chomp.list = {
    clear, focused,
    all() { pick(rows().map(idOf), true); },
    toggle() { const row = focused(); if (row) toggle(idOf(row)); },
    extend(move) {  // by a key: from the row where it stands
      const from = focused();
      if (from && !rowOf(anchor)) anchor = idOf(from);
      move();
      const to = focused();
      if (to) upTo(idOf(to));
    },
  };

  // -- what is done to them

  const DONE = { run: "set to run", stop: "stopped", delete: "deleted" }, TOLD = 3;
  async function act(name) {
    if ("busy" in bar.dataset) return;
    bar.dataset.busy = "";
    tick();
    try {
      const answer = await chomp.fetch("/api/tasks/bulk", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ act: name, ids: [...picked] }) });
      const said = await answer.json();
      if (!answer.ok) throw new Error(said.error?.message ?? `chomp answered ${answer.status}`);
      const { done, refused } = said, why = Object.values(refused);
      done.forEach((id) => picked.delete(id));
      if (!picked.size) clear();
      if (done.length) toast(`${plural(done.length, "task")} ${DONE[name]}`, { undo: name === "delete" ? done : "" });
      if (why.length) toast(`${plural(why.length, "task")} refused: ${why.slice(0, TOLD).join("; ")}${why.length > TOLD ? `; and ${why.length - TOLD} more` : ""}`, { error: true });
      relist();
    } catch (error) {
      toast(error instanceof TypeError ? "chomp cannot be reached" : error.message, { error: true });
    } finally {
      delete bar.dataset.busy;
      tick();
    }
  }

  // -- clicks: rows have no attributes of HTMX, for there may be a thousand

  const asked = new WeakSet();
  list.addEventListener("mousedown", (event) => { if (event.shiftKey) event.preventDefault(); });  // a range of rows, not of text
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button) return;
    const { target } = event, row = target.closest("#tasks .task");
    const button = target.closest("button"), { bulk, act: name, select } = button?.dataset ?? {};
    if (select !== undefined) {
      const on = !choosing;
      clear();
      choosing = on;
      return tick();
    }
    if (bulk === "clear") return clear();
    if (bulk) return act(bulk);
    if (!row) return;
    const id = idOf(row);
    if (target.matches(".row-pick input")) return event.shiftKey ? upTo(id) : toggle(id);
    if (name && !asked.has(button)) {
      asked.add(button);
      return htmx.ajax("POST", `/api/tasks/${name}`, { source: button, swap: "none", values: { id } }).finally(() => asked.delete(button));
    }
    if (!target.closest(".card-open") || event.ctrlKey || event.metaKey || event.altKey) return;  // in a tab of its own
    event.preventDefault();
    if (event.shiftKey) upTo(id); else if (choosing) toggle(id); else chomp.openTask(id);
  });
})();
