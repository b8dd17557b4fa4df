// The little that HTMX cannot say: sheets, toasts, JSON forms, the wizard's steps, local times, keys.
(() => {
  "use strict";
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const wide = matchMedia("(width >= 64rem)");
  const storage = (area) => { try { return window[area]; } catch { return {}; } };  // may be denied

  // -- theme

  const showTheme = () => {
    const dark = document.documentElement.classList.contains("dark");
    all("[data-theme]").forEach((button) => button.setAttribute("aria-pressed", String(dark)));
    one('meta[name="theme-color"]').content = dark ? "#09090b" : "#ffffff";
  };
  const toggleTheme = () => {
    const dark = document.documentElement.classList.toggle("dark");
    storage("localStorage").theme = dark ? "dark" : "light";
    showTheme();
    document.dispatchEvent(new CustomEvent("theme"));
  };

  // -- toasts: inside the sheet that is open, for what lies outside of it cannot be reached

  function toast(message, { error = false, undo = "" } = {}) {
    const box = one("dialog:modal .toasts") ?? one("body > .toasts");
    const note = document.createElement("div");
    note.className = "toast";
    if (error) note.dataset.error = "";
    note.append(Object.assign(document.createElement("span"), { textContent: message }));
    if (undo) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Undo" });
      button.addEventListener("click", () => { note.remove(); send("/api/tasks/restore", { id: undo }); });
      note.append(button);
    }
    box.append(note);
    box.showPopover?.();
    setTimeout(() => { note.remove(); if (!box.children.length && box.matches(":popover-open")) box.hidePopover(); }, error || undo ? 8000 : 3000);
  }

  const words = (text, status) => {
    try { return JSON.parse(text).error.message; } catch { return `chomp answered ${status}`; }
  };

  async function send(url, data, method = "POST") {
    try {
      const answer = await chomp.fetch(url, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(data) });
      if (answer.status === 401) return false;  // to the sign-in page
      if (!answer.ok) { toast(words(await answer.text(), answer.status), { error: true }); return false; }
      htmx.trigger(document.body, "refreshTasks");
      return true;
    } catch {
      toast("chomp cannot be reached", { error: true });
      return false;
    }
  }

  async function signOut() {
    try {
      const answer = await chomp.signOut();
      if (!answer.ok) toast(words(await answer.text(), answer.status), { error: true });
    } catch {
      toast("chomp cannot be reached: this browser is still signed in", { error: true });
    }
  }

  // -- sheets; on a wide screen the detail is a panel beside the list

  const detail = one("#detail");
  const asPanel = (sheet) => sheet === detail && wide.matches;
  function show(sheet) {
    if (sheet.open) return;
    if (asPanel(sheet)) sheet.show(); else sheet.showModal();
    if (document.activeElement?.matches(".sheet-body")) sheet.focus({ preventScroll: true });  // a scroller is a poor first stop
  }

  function openSheet(name) {
    const sheet = document.getElementById(name), body = one("[data-from]", sheet);
    if (body) fill(body); else show(sheet);
  }
  const fill = (body) => htmx.ajax("GET", body.dataset.from, { source: body });  // its sheet is shown when it is there

  const waits = () => "shell" in document.documentElement.dataset;  // for the first data: the address says what they are
  function markOpened() {
    if (waits()) return;
    const id = detail?.open ? one("[data-task]", detail)?.dataset.task : undefined;
    all(".card[data-open]").forEach((card) => delete card.dataset.open);
    if (id) { const card = document.getElementById(`task-${id}`); if (card) card.dataset.open = ""; }
    const address = new URL(location.href);
    id ? address.searchParams.set("task", id) : address.searchParams.delete("task");
    if (address.href !== location.href) history.replaceState(null, "", address);
  }

  if (detail) {
    let moving = false;
    detail.addEventListener("close", () => {
      if (moving) return;
      one("#detail-body").replaceChildren();
      markOpened();
    });
    wide.addEventListener("change", () => {
      if (!detail.open) return;
      moving = true;
      detail.close();
      show(detail);
      queueMicrotask(() => setTimeout(() => { moving = false; }));  // its close event comes later
    });
  }
  all("dialog").forEach((sheet) => sheet.addEventListener("click", (event) => {
    if (event.target !== sheet || !sheet.matches(":modal")) return;
    const at = sheet.getBoundingClientRect();
    if (event.clientY < at.top || event.clientY > at.bottom || event.clientX < at.left || event.clientX > at.right) sheet.close();
  }));

  // -- HTMX: what the reader has opened or typed survives a refresh; errors become words

  htmx.registerExtension("keep", {
    htmx_before_morph_attr: (element, { attrName }) => !element.matches({ open: "details", "aria-pressed": "[data-show-session]" }[attrName] ?? ":not(*)"),
    htmx_before_morph_node: (element) => !element.matches?.("[data-dirty]"),
  });
  document.addEventListener("input", ({ target }) => { if (target.closest("[data-task], #settings")) target.dataset.dirty = ""; });
  document.addEventListener("htmx:before:request", (event) => {  // a sheet that is being left asks no more
    if (event.target.matches?.("[data-task]") && !detail.open) event.preventDefault();
  });
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    const source = ctx.sourceElement, target = ctx.target;
    times();
    if (target?.id === "create-body") startWizard();
    const sheet = target?.closest?.("dialog");
    if (sheet && !sheet.open && (target.matches(".sheet-body"))) show(sheet);
    if (source?.hasAttribute("data-first") && detail && !waits() && one("[data-task]", detail)) show(detail);
    if (source?.dataset?.opens && target.id === "detail-body") target.scrollTop = 0;
    markOpened();
    wakeTerminals();
  });
  document.addEventListener("htmx:after:request", ({ detail: { ctx } }) => {
    const source = ctx.sourceElement, status = ctx.response?.status ?? 0;
    if (status >= 400) {
      if (ctx.request.action.startsWith("/events")) return;
      if (status === 404 && source.matches("[data-task]")) return detail.close();
      if (!(waits() && source.hasAttribute("data-first"))) toast(words(ctx.text, status), { error: true });
    } else if (ctx.request.method !== "GET") done(source);
  });
  document.addEventListener("htmx:error", ({ detail: { ctx } }) => {
    if (ctx && ctx.request.method !== "GET") toast("chomp cannot be reached", { error: true });
  });
  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {  // the stream's first try failed: later ones are its own
    const live = one("#live");
    if (live && ctx.sourceElement === live && !live._htmx?.sse) setTimeout(() => htmx.ajax("GET", live.getAttribute("hx-sse:connect"), { source: live }), 3000);
  });

  function done(source) {
    const { toast: message, undo } = source.dataset;
    if ("close" in source.dataset || "closeAfter" in source.dataset) source.closest("dialog")?.close();
    if (message) toast(message, { undo });
  }

  const told = (given) => { if (given?.message) toast(given.message, { error: Boolean(given.error) }); };
  document.addEventListener("showToast", ({ detail: given }) => told(given));
  document.addEventListener("toast", ({ detail: given }) => { try { told(JSON.parse(given.data)); } catch { /* not for us */ } });

  // -- forms and buttons that send JSON

  function collect(form, submitter) {
    const data = {};
    for (const field of form.elements) {
      const { name, type, dataset } = field;
      if (!name || field.disabled || field.tagName === "BUTTON" || (type === "radio" && !field.checked)) continue;
      if (type === "checkbox") {
        if ("many" in dataset) { data[name] ??= []; if (field.checked) data[name].push(field.value); }
        else if (field.checked || "bool" in dataset) data[name] = field.checked;
        continue;
      }
      if (!field.value.trim() && type !== "hidden" && !("keep" in dataset)) continue;
      data[name] = "number" in dataset ? Number(field.value) : "list" in dataset ? field.value.split(/[\s,]+/).filter(Boolean) : field.value;
    }
    if (submitter?.name) data[submitter.name] = submitter.value === "true" ? true : submitter.value;
    return form.dataset.under ? { [form.dataset.under]: data } : data;
  }

  const busy = new WeakSet();
  async function submit(source, data) {
    if (busy.has(source)) return false;
    busy.add(source);
    source.setAttribute("aria-busy", "true");
    const sent = await send(source.dataset.json, data, source.dataset.method);
    busy.delete(source);
    source.removeAttribute("aria-busy");
    if (!sent) return false;
    all("[data-dirty]", source).forEach((field) => delete field.dataset.dirty);
    if ("reset" in source.dataset || "reload" in source.dataset) source.reset?.();
    if ("reload" in source.dataset) {
      const fold = source.closest("details");
      if (fold) { fold.open = false; one("summary", fold).focus(); }
      fill(one("#settings-body"));
    }
    done(source);
    return true;
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-json]");
    if (!form) return;
    event.preventDefault();
    if ("wizard" in form.dataset && !wizard.last()) return wizard.move(1);
    if (await submit(form, collect(form, event.submitter)) && "wizard" in form.dataset) wizard.forget();
  });

  // -- clicks, wherever they happen

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button, a, summary");
    if (!button) return;
    const { dataset } = button;
    if (dataset.theme !== undefined) toggleTheme();
    else if (dataset.sheet) openSheet(dataset.sheet);
    else if (dataset.body) submit(button, JSON.parse(dataset.body));
    else if (dataset.signOut !== undefined) signOut();
    else if (dataset.copy) navigator.clipboard?.writeText(document.getElementById(dataset.copy).textContent).then(() => toast("Copied"), () => toast("Copying is not allowed here", { error: true }));
    else if (dataset.older) {
      const limit = one("#filter [name=limit]");
      limit.value = Number(limit.value) + Number(dataset.older);
      htmx.trigger(one("#filter"), "refreshTasks");
    }
    else if (dataset.showSession) {
      const section = button.closest("section");
      one("chomp-terminal", section).dataset.session = dataset.showSession;
      all("[data-show-session]", section).forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    }
    else if (dataset.model !== undefined) { one("#new-model").value = dataset.model; wizard.save(); wizard.move(1); }
    else if (dataset.back !== undefined) wizard.move(-1);
    else if (dataset.skip !== undefined) wizard.skip();
    if (dataset.close !== undefined && !button.hasAttribute("hx-post")) button.closest("dialog")?.close();
  });

  one("#filter")?.addEventListener("input", ({ target }) => {  // another tab or search begins at the top again
    if (target.name !== "limit") one("#filter [name=limit]").value = 20;
    if (target.name === "tab") all("#filter [name=status]").forEach((field) => { field.value = ""; });
  });
  one("#filter")?.addEventListener("submit", (event) => event.preventDefault());

  // -- folds that load what they hold, terminals that are fetched when they are seen

  const assets = JSON.parse(one('meta[name="chomp-assets"]')?.content ?? "{}");
  let asked = false;
  function wakeTerminals() {
    if (asked || !all("chomp-terminal").some((terminal) => terminal.closest("details")?.open)) return;
    asked = true;
    document.head.append(Object.assign(document.createElement("script"), { src: assets.terminal }));
  }
  document.addEventListener("toggle", ({ target }) => {
    if (!target.open) return;
    const inside = target.dataset?.loads;
    if (inside) htmx.trigger(one(inside), "load-fold");
    wakeTerminals();
  }, true);

  // -- moments in the viewer's own time

  const dated = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "numeric", minute: "2-digit" });
  const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
  const aged = (seconds) => {
    if (seconds < 0) return "just now";
    const s = Math.floor(seconds), m = Math.floor(s / 60), h = Math.floor(m / 60);
    return h >= 48 ? `${Math.floor(h / 24)}d` : h ? `${h}h ${m % 60}m` : m ? `${m}m ${s % 60}s` : `${s}s`;
  };
  const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  function ages() {
    for (const element of all("time[data-age]")) put(element, aged((Date.now() - Date.parse(element.dateTime)) / 1000));
  }
  function times() {
    ages();
    for (const element of all("time[data-local]")) {
      const at = new Date(element.dateTime);
      const today = at.toDateString() === new Date().toDateString();
      if (!Number.isNaN(at.getTime())) put(element, (element.dataset.local === "clock" && today ? clock : dated).format(at));
    }
  }

  // -- the wizard: four steps of one form

  const TITLES = ["New Task", "Pick Agent", "Pick Model", "Review"];
  const wizard = {
    step: 0,
    get form() { return one("#new-task"); },
    last() { return this.step === TITLES.length - 1; },
    show(step, focus = true) {
      this.step = step;
      const form = this.form, steps = all("[data-step]", form);
      steps.forEach((part, at) => { part.hidden = at !== step; });
      put(one(".sheet-title", form), TITLES[step]);
      put(one(".sheet-title + p", form), `Step ${step + 1} of ${TITLES.length}`);
      all(".steps > i", form).forEach((segment, at) => segment.toggleAttribute("data-on", at <= step));
      one("[data-cancel]", form).hidden = step > 0;
      one("[data-back]", form).hidden = step === 0;
      one("[data-skip]", form).hidden = step === 0 || this.last();
      put(one("[data-next]", form), this.last() ? "Add task" : "Next");
      if (step === 2) { this.efforts(); htmx.trigger(one("#models"), "load-models"); }
      if (this.last()) this.review();
      one("#create-body").scrollTop = 0;
      if (focus) (one("input:checked, textarea, input:not([type=hidden])", steps[step]) ?? one("[data-next]", form)).focus();
    },
    move(by) {
      if (by > 0 && !all("input, textarea, select", all("[data-step]", this.form)[this.step]).every((field) => field.reportValidity())) return;
      this.show(Math.min(Math.max(this.step + by, 0), TITLES.length - 1));
      this.save();
    },
    skip() {  // what was chosen stays chosen
      this.show(TITLES.length - 1);
      this.save();
    },
    efforts() {
      const known = one("[name=agent]:checked", this.form)?.dataset.efforts ?? "";
      for (const option of one("#new-effort").options) option.hidden = option.disabled = Boolean(known && option.value && !known.split(" ").includes(option.value));
      if (one("#new-effort").selectedOptions[0]?.disabled) one("#new-effort").value = "";
    },
    review() {
      const form = this.form, shown = collect(form), list = one("#review");
      const agent = one("[name=agent]:checked", form).closest("label"), router = one("#new-router");
      const rows = [["Task", shown.prompt], ["Folder", shown.dir], ["Repository", shown.repo_url],
        ["Agent", one(".font-semibold", agent).textContent], ["Model", shown.model ?? "default"],
        ["Router", shown.router && router.selectedOptions[0].textContent], ["Effort", shown.effort]];
      list.replaceChildren(...rows.filter(([, value]) => value).map(([name, value]) => {
        const row = Object.assign(document.createElement("div"), { className: "grid grid-cols-[88px_1fr] gap-3 p-3" });
        row.append(Object.assign(document.createElement("dt"), { className: "text-muted", textContent: name }),
          Object.assign(document.createElement("dd"), { className: "max-h-32 min-w-0 overflow-auto whitespace-pre-wrap [overflow-wrap:anywhere]", textContent: value }));
        return row;
      }));
    },
    save() { storage("sessionStorage").draft = JSON.stringify({ step: this.step, fields: [...new FormData(this.form)], run: this.form.elements.run.checked }); },
    forget() { delete storage("sessionStorage").draft; },
  };
  function startWizard() {
    let draft = {};
    try { draft = JSON.parse(storage("sessionStorage").draft ?? "{}"); } catch { /* none */ }
    const form = wizard.form;
    for (const [name, value] of draft.fields ?? []) {
      for (const field of all(`[name="${name}"]`, form)) {
        if (field.type === "radio" || field.type === "checkbox") field.checked = field.value === value && !field.disabled;
        else field.value = value;
      }
    }
    if (draft.run === false) form.elements.run.checked = false;
    form.addEventListener("input", ({ target }) => {
      wizard.save();
      if (target.id === "new-model" || target.id === "new-router") htmx.trigger(one("#models"), "load-models");
    });
    const step = form.elements.prompt.value.trim() ? draft.step ?? 0 : 0;
    show(one("#create"));
    wizard.show(step);
  }

  // -- keys

  function step(by) {
    const links = all("#tasks .card-open"), at = links.indexOf(document.activeElement);
    links[at < 0 ? 0 : Math.min(Math.max(at + by, 0), links.length - 1)]?.focus();
  }
  document.addEventListener("keydown", (event) => {
    const at = event.target;
    if (at.closest?.("chomp-terminal") || event.isComposing) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && at.form) { event.preventDefault(); return at.form.requestSubmit(); }
    if (event.key === "Escape" && detail?.open && !one("dialog:modal")) return detail.close();
    if (event.ctrlKey || event.metaKey || event.altKey || at.matches?.("input:not([type=radio], [type=checkbox]), textarea, select") || one("dialog:modal") || !detail) return;
    const act = {
      n: () => openSheet("create"), s: () => openSheet("settings"), "?": () => openSheet("help"), d: toggleTheme,
      "/": () => one("#search").focus(), j: () => step(1), k: () => step(-1),
    }[event.key];
    if (act) { event.preventDefault(); act(); }
  });

  // -- start

  one(".shell")?.addEventListener("animationend", ({ target, animationName }) => {
    if (animationName === "rise" && target.matches(".shell")) delete document.documentElement.dataset.boot;
  });
  showTheme();
  times();
  setInterval(ages, 1000);
  wakeTerminals();
})();
