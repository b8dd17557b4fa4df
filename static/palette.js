// Ctrl+K, on every page: tasks, pages and actions by name. chomp.js comes before.
(() => {
  "use strict";
  const { one, all, storage, toast } = chomp;
  const { commands } = chomp;  // {name, keys?, run}: of any other script
  if (!one("[data-first]")) return;  // nobody is signed in here
  const make = (tag, fields = {}, ...inside) => {
    const made = Object.assign(document.createElement(tag), fields);
    made.append(...inside);
    return made;
  };
  const SHOWN = 40, RECENT = 6, WAIT_MS = 150;

  // -- what there is: {id, name, hint?, keys?, run}; the id is what is remembered of it

  const go = (address) => () => { location.href = address; };
  const sheet = (name) => () => chomp.openSheet ? chomp.openSheet(name) : go(`/?sheet=${name}`)();
  async function signOut() {
    const answer = await chomp.signOut().catch(() => undefined);
    if (!answer?.ok) toast(answer ? `chomp answered ${answer.status}: this browser is still signed in` : "chomp cannot be reached: this browser is still signed in", { error: true });
  }
  const post = (act, id) => () => htmx.ajax("POST", `/api/tasks/${act}`, { source: document.body, swap: "none", values: { id } });
  function actions() {
    const { task, state } = one("#detail[open] [data-task]")?.dataset ?? {};
    const own = !task ? [] : state === "queued" ? [{ name: `Run task ${task}`, run: post("run", task) }]
      : ["done", "failed", "stopped"].includes(state) ? [{ name: `Run task ${task} again`, run: () => htmx.ajax("POST", "/api/tasks/retry", { source: document.body, swap: "none", values: { id: task, run: true } }) }]
      : [{ name: `Stop task ${task}`, run: post("stop", task) }];
    return [...own.map((one) => ({ ...one, passes: true })),
      { name: "New task", keys: "n", run: sheet("create") }, { name: "Settings", keys: "s", run: sheet("settings") },
      { name: "Dark or light theme", keys: "d", run: chomp.toggleTheme }, { name: "All keys", keys: "?", run: sheet("help") },
      ...commands, { name: "Sign out", run: signOut }].map((one) => ({ ...one, id: `do ${one.name}`, group: "Actions" }));
  }
  const pages = () => all(".pages a").filter((link) => !link.ariaCurrent).map((link) => ({ id: `at ${link.pathname}`, name: link.ariaLabel || link.textContent.trim(), hint: "page", group: "Pages", run: go(link.href) }));
  let tasks = new Map();  // by id, as far as they are known
  async function look(query) {  // the server's search, in both lists; the answers are parsed, and shown as text
    const lists = await Promise.all(["active", "completed"].map(async (tab) => {
      const answer = await chomp.fetch(`/partials/tasks?${new URLSearchParams({ tab, q: query, sort: "newest" })}`);
      return answer.ok ? [...new DOMParser().parseFromString(await answer.text(), "text/html").querySelectorAll(".task")] : [];
    }));
    for (const row of lists.flat()) {
      const id = row.id.slice(5);
      tasks.set(id, { id: `task ${id}`, number: Number(id), name: one(".task-name", row).textContent.replace(/\s+/g, " ").trim(), hint: `${one(".task-state", row).textContent} · #${id}`,
        group: "Tasks", found: query, run: () => chomp.openTask ? chomp.openTask(id) : go(`/?task=${id}`)() });
    }
  }

  // -- which of them are meant: all signs in their order; at the beginning of words and side by side is better

  function fuzzy(name, query) {  // {score, at: [indexes]}, or undefined
    const text = name.toLowerCase(), whole = text.indexOf(query);
    if (whole >= 0) return { score: 1000 - whole + (whole === 0 || /\W/.test(text[whole - 1]) ? 500 : 0) - text.length / 100, at: [...query].map((_, step) => whole + step) };
    const at = [];
    let score = 0, from = 0;
    for (const sign of query) {
      if (sign === " ") continue;
      const found = text.indexOf(sign, from);
      if (found < 0) return undefined;
      score += found === from && at.length ? 8 : found === 0 || /\W/.test(text[found - 1]) ? 6 : -Math.min(found - from, 10) / 4;
      at.push(found);
      from = found + 1;
    }
    return score > at.length ? { score, at } : undefined;  // signs that are strewn over a text mean nothing
  }
  const remembered = () => { try { return JSON.parse(storage("localStorage").palette ?? "[]"); } catch { return []; } };
  const remember = (id) => { storage("localStorage").palette = JSON.stringify([id, ...remembered().filter((one) => one !== id)].slice(0, 20)); };
  function choices(query) {
    const newest = [...tasks.values()].sort((a, b) => b.number - a.number), others = [...actions(), ...pages()], everything = [...others, ...newest];
    if (!query) {
      const known = remembered().map((id) => everything.find((one) => one.id === id)).filter(Boolean).slice(0, RECENT).map((one) => ({ ...one, group: "Recent" }));
      const ids = new Set(known.map(({ id }) => id));
      return [...others.filter((one) => one.passes), ...known, ...[...others.filter((one) => !one.passes), ...newest].filter(({ id }) => !ids.has(id))];
    }
    const rank = remembered(), number = /^#?(\d+)$/.exec(query)?.[1];
    const found = everything.map((one) => {
      const match = number && one.number === Number(number) ? { score: 5000, at: [] } : fuzzy(one.name, query) ?? (one.found === query ? { score: 0, at: [] } : undefined);  // by its result
      const recent = rank.indexOf(one.id);
      return match && { ...one, at: match.at, score: match.score + (recent < 0 ? 0 : 40 - recent) + (one.number ? 0 : 20) };
    });
    return found.filter(Boolean).sort((a, b) => b.score - a.score || (b.number ?? 0) - (a.number ?? 0));
  }

  // -- what is seen

  const list = make("ul", { className: "palette-list", id: "palette-list", role: "listbox", ariaLabel: "What was found" });
  const input = make("input", { type: "text", id: "palette-input", placeholder: "Find a task, a page or an action", autocomplete: "off", spellcheck: false, enterKeyHint: "go", role: "combobox", ariaLabel: "Find a task, a page or an action", ariaExpanded: "true", ariaAutoComplete: "list" });
  input.setAttribute("aria-controls", list.id);
  const count = make("p", { role: "status" });
  const dialog = make("dialog", { className: "palette", id: "palette", ariaLabel: "Find" }, input, list, count);
  document.body.append(dialog);
  let shown = [], at = 0, timer = 0, asked = 0;

  function marked(name, places = []) {
    const set = new Set(places), parts = [];
    for (let index = 0; index < name.length && index < 300;) {
      let end = index + 1;
      while (end < name.length && set.has(end) === set.has(index)) end += 1;
      parts.push(set.has(index) ? make("mark", { textContent: name.slice(index, end) }) : name.slice(index, end));
      index = end;
    }
    return parts;
  }
  function show(keep = false) {
    const query = input.value.trim().toLowerCase(), before = keep && shown[at]?.id;
    shown = choices(query).slice(0, SHOWN);
    let group = "";
    list.replaceChildren(...shown.flatMap((one, index) => {
      const option = make("li", { id: `palette-${index}`, role: "option" }, make("span", {}, ...marked(one.name, one.at)));
      if (one.hint) option.append(make("small", { textContent: one.hint }));
      if (one.keys) option.append(make("kbd", { className: "kbd", textContent: one.keys }));
      const head = !query && one.group !== group ? [make("li", { className: "caps", role: "presentation", textContent: group = one.group })] : [];
      return [...head, option];
    }));
    count.textContent = shown.length ? "↑ ↓ choose · Enter open · Esc close" : asked ? "Looking …" : "Nothing matches";
    select(Math.max(0, before ? shown.findIndex(({ id }) => id === before) : 0));
  }
  function select(index, scroll = true) {
    at = Math.min(Math.max(index, 0), shown.length - 1);
    all("[role=option]", list).forEach((option, step) => option.setAttribute("aria-selected", String(step === at)));
    const option = document.getElementById(`palette-${at}`);
    if (option) input.setAttribute("aria-activedescendant", option.id); else input.removeAttribute("aria-activedescendant");
    if (!scroll || !option) return;
    if (at === 0) list.scrollTop = 0; else option.scrollIntoView({ block: "nearest" });
  }
  async function find() {
    const query = input.value.trim().toLowerCase(), mine = Symbol();
    asked = mine;
    try { await look(query); } catch { /* what is known already is shown */ }
    if (asked !== mine) return;
    asked = 0;
    if (dialog.open) show(true);
  }
  function open() {
    if (dialog.open) return;
    input.value = "";
    tasks = new Map();
    dialog.showModal();  // over a sheet, too
    show();
    find();
    input.focus();
  }
  function choose(index) {
    const chosen = shown[index];
    if (!chosen) return;
    if (chosen.id) remember(chosen.id);
    dialog.close();
    chosen.run();
  }

  input.addEventListener("input", () => {
    show();
    clearTimeout(timer);
    asked ||= true;
    timer = setTimeout(find, WAIT_MS);
  });
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) return;  // of an input method
    const page = Math.max(1, Math.floor(list.clientHeight / 44) - 1);
    const to = { ArrowDown: at + 1 >= shown.length ? 0 : at + 1, ArrowUp: at ? at - 1 : shown.length - 1, PageDown: at + page, PageUp: at - page }[event.key];
    if (to !== undefined) { event.preventDefault(); select(to); }
    else if (event.key === "Enter") { event.preventDefault(); choose(at); }
  });
  list.addEventListener("mousemove", ({ target }) => {
    const option = target.closest("[role=option]");
    if (option && option.ariaSelected !== "true") select(Number(option.id.slice(8)), false);
  });
  list.addEventListener("mousedown", (event) => event.preventDefault());  // the focus stays where one types
  list.addEventListener("click", ({ target }) => { const option = target.closest("[role=option]"); if (option) choose(Number(option.id.slice(8))); });
  dialog.addEventListener("click", ({ target }) => { if (target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => { clearTimeout(timer); asked = 0; });
  document.addEventListener("click", ({ target }) => { if (target.closest?.("[data-palette]")) open(); });
  document.addEventListener("keydown", (event) => {
    if (event.key?.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey || event.isComposing) return;
    if (event.ctrlKey && event.target.closest?.("chomp-terminal")) return;  // the agent's
    event.preventDefault();
    if (dialog.open) dialog.close(); else open();
  });
  chomp.openPalette = open;
})();
