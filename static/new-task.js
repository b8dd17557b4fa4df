// The new task: four steps of one form, of which the first can run it at once; folders, templates. tasks.js comes before.
(() => {
  "use strict";
  const { one, all, put, storage } = chomp;
  const make = (tag, fields, ...inside) => { const made = Object.assign(document.createElement(tag), fields); made.append(...inside); return made; };

  const TITLES = ["New Task", "Pick Agent", "Pick Model", "Review"];
  const ELSE = { gate: "gate", budget_tokens: "budget", budget_usd: "budget", isolation: "isolation", priority: "priority", blocked_by: "not before another" };
  const BLANK = /\{\{\s*([^{}\n]{1,60}?)\s*\}\}/g;
  let pending = chomp.wished;  // fields for a form that is on its way
  let templates = [];

  function fault(field, words) {  // at a field that is not sent
    one(".fault", field.parentElement)?.remove();
    const note = make("p", { className: "fault", id: `fault-${field.id}`, textContent: words, role: "alert" });
    field.after(note);
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", note.id);
    field.focus();
    field.addEventListener("input", () => { note.remove(); field.removeAttribute("aria-invalid"); field.removeAttribute("aria-describedby"); }, { once: true });
    return false;
  }

  const wizard = {
    step: 0, typed: false, aside: undefined, isTemplate: false, sends: false, judged: undefined,
    get form() { return one("#new-task"); },
    value(name) { return new FormData(this.form).get(name) ?? ""; },
    last() { return this.step === TITLES.length - 1; },
    show(step, focus = true) {
      this.step = step;
      const form = this.form, steps = all("[data-step]", form), next = one("[data-next]", form);
      if (step) one("#new-agents > div").replaceChildren(); else this.agents();
      steps.forEach((part, at) => { part.hidden = at !== step; });
      put(one(".sheet-title", form), TITLES[step]);
      put(one(".sheet-title + p", form), `Step ${step + 1} of ${TITLES.length}`);
      all(".steps > i", form).forEach((segment, at) => segment.toggleAttribute("data-on", at <= step));
      one("[data-cancel]", form).hidden = step > 0;
      one("[data-back]", form).hidden = step === 0;
      one("[data-skip]", form).hidden = step === 0 || this.last();
      one("[data-run]", form).hidden = step > 0;
      put(next, this.last() ? "Add task" : "Next");
      next.classList.toggle("btn-primary", step > 0);
      next.classList.toggle("btn-second", step === 0);
      if (step === 2) { this.efforts(); one("#model-words").value = ""; htmx.trigger(one("#models"), "load-models"); }
      if (this.last()) this.review();
      (this.last() ? one("#new-keep-here") : one("#new-other").parentElement).append(one("#new-keep"));
      one("#create-body").scrollTop = 0;
      this.how();
      if (focus) (one("textarea, input:checked:enabled", steps[step]) ?? one("input:not([type=hidden])", steps[step]) ?? next).focus();
    },
    move(by) {
      const step = all("[data-step]", this.form)[this.step];
      if (by > 0 && one("[data-fault]", step)) return one("#new-dir").focus();
      if (by > 0 && !all("input, textarea, select", step).every((field) => field.checkValidity())) return;
      if (by > 0 && this.step === 0 && !this.filled()) return;
      this.show(Math.min(Math.max(this.step + by, 0), TITLES.length - 1));
      this.save();
    },
    skip() {  // what was chosen stays chosen
      this.show(TITLES.length - 1);
      this.save();
    },
    async run() {  // at once, with all that stands in the form
      const form = this.form;
      if (one("[data-fault]", form)) return this.blamed(form.elements.dir);
      if (![...form.elements].every((field) => field.checkValidity()) || !this.filled()) return;
      this.efforts();
      await this.judged;
      if (!form.isConnected || one("[data-next]", form).disabled) return;
      this.save();
      this.sends = true;
      form.requestSubmit();
      this.sends = false;
    },
    blamed(field) {
      this.show(all("[data-step]", this.form).findIndex((step) => step.contains(field)), false);
      const fold = field.closest("details");
      if (fold) fold.open = true;
      field.focus();
    },
    place() {  // what is ready there, and what can be said of it there
      const form = this.form, at = one("[name=place]:checked", form)?.value ?? "local", agent = one("[name=agent]:checked", form)?.value;
      for (const part of all("[data-at]", form)) part.hidden = part.disabled = part.dataset.at !== at;
      const choices = this.ready(), chosen = choices.find(({ value }) => value === agent) ?? choices[0];
      chosen.checked = true;
      const fold = chosen.closest("details");
      if (fold) fold.open = true;
      if (form.elements.dir.value) htmx.trigger(form.elements.dir, "look");
      if (!this.step) this.agents();
    },
    ready() { return all("[data-at]:not([hidden]) [name=agent]:enabled", this.form); },
    agents() {  // those that are ready, as a row: what is chosen there is chosen in the second step
      const focused = document.activeElement?.closest?.("#new-agents") && document.activeElement.value;
      one("#new-agents > div").replaceChildren(...this.ready().map((choice) => {
        const radio = make("input", { type: "radio", className: "sr-only", name: "new-agent", value: choice.value, checked: choice.checked });
        radio.setAttribute("form", "");  // it is not sent
        const name = one(".font-semibold", choice.closest("label")), words = make("span", { textContent: name.textContent });
        if (name.style.cssText) { words.className = "name"; words.style.cssText = name.style.cssText; }
        return make("label", { className: "take" }, radio, words);
      }));
      if (typeof focused === "string") one("#new-agents :checked").focus();
    },
    agent(value) {  // another one: the model, router and effort of the last task were for its agent
      const { elements } = this.form;
      const choice = this.ready().find((one) => one.value === value) ?? this.ready()[0];
      choice.checked = true;
      delete this.form.dataset.missed;
      for (const field of [elements.model, elements.router, elements.effort]) {
        const first = field.defaultValue ?? [...field.options].find((option) => option.defaultSelected)?.value ?? "";
        if (field.value === first || !field.value) field.value = choice.defaultChecked ? first : "";
      }
      if (!value || choice.value === value) return;
      const missing = one(`[name=agent][value="${CSS.escape(value)}"]`, this.form)?.closest("label");
      this.form.dataset.missed = missing ? one(".font-semibold", missing).textContent : value;
    },
    how() {  // what a run would be, so that nothing is hidden
      const form = this.form, { elements, dataset } = form, shown = Object.fromEntries(new FormData(form));
      const agent = one(".font-semibold", one("[data-at]:not([hidden]) [name=agent]:checked", form).closest("label")).textContent;
      const where = shown.repo_url ? `a clone of ${shown.repo_url}` : shown.dir ? shown.dir + (shown.in_place ? " itself" : "") : "an empty folder of its own";
      const router = shown.router && elements.router.selectedOptions[0].textContent.replace(/^Only/, "only");
      const more = [...new Set(Object.keys(ELSE).filter((name) => shown[name]).map((name) => ELSE[name]))];
      const runs = elements.run.checked ? "Runs" : "Is added to the queue, for";
      put(one("#new-how"), [
        `${runs} in ${shown.place === "sandbox" ? "a sandbox, in " : ""}${where} with ${shown.agent ? agent : "whichever agent is ready"}`
          + [shown.model, router, shown.effort && `${shown.effort} effort`].filter(Boolean).map((word) => ` · ${word}`).join("") + (more.length ? `; also set: ${more.join(", ")}` : "") + ".",
        dataset.missed && !shown.agent ? `${dataset.missed} is not ready here now.` : "", dataset.lost ?? "",
      ].filter(Boolean).join(" "));
      put(one("[data-run] > span", form), elements.run.checked ? "Run" : "Add to the queue");
      for (const chip of all("#new-folders [data-folder]")) chip.setAttribute("aria-pressed", String(!shown.repo_url && chip.dataset.folder === shown.dir));
    },
    async judge() {  // the folder of the last task is filled in if a task may still work there
      const form = this.form, { dir } = form.dataset, place = this.value("place");
      if (!dir) return;
      try {
        const answer = await chomp.fetch(`/partials/folder?${new URLSearchParams({ dir, place })}`);
        const found = new DOMParser().parseFromString(await answer.text(), "text/html");
        if (!form.isConnected || form.dataset.dir !== dir || !answer.ok) return;
        if (one("[data-fault]", found)) form.dataset.lost = `${dir}, where the last one was, cannot be used now.`;
        else { form.elements.dir.value = dir; one("#folder-hint").replaceChildren(...found.body.childNodes); }
        delete form.dataset.dir;
        this.how();
      } catch { /* it stays empty */ }
    },
    folder(path) {
      const field = this.form.elements.dir;
      delete this.form.dataset.dir;
      delete this.form.dataset.lost;
      field.value = path;
      this.form.elements.repo_url.value = "";
      one("[data-fault]", this.form)?.remove();
      htmx.trigger(field, "look");
      this.changed();
    },
    efforts() {
      const known = one("[name=agent]:checked", this.form)?.dataset.efforts ?? "";
      for (const option of one("#new-effort").options) option.hidden = option.disabled = Boolean(known && option.value && !known.split(" ").includes(option.value));
      if (one("#new-effort").selectedOptions[0]?.disabled) one("#new-effort").value = "";
    },
    review() {
      const form = this.form, shown = Object.fromEntries(new FormData(form)), list = one("#review");
      const agent = one("[name=agent]:checked", form).closest("label"), place = one("[name=place]:checked", form)?.closest("label"), router = one("#new-router");
      const rows = [["Task", shown.prompt], ["Where", place?.textContent], ["Folder", shown.dir], ["Repository", shown.repo_url],
        ["Agent", one(".font-semibold", agent).textContent], ["Model", shown.model || "default"],
        ["Router", shown.router && router.selectedOptions[0].textContent], ["Effort", shown.effort]];
      list.replaceChildren(...rows.filter(([, value]) => value).map(([name, value]) => make("div", { className: "grid grid-cols-[88px_1fr] gap-3 p-3" },
        make("dt", { className: "text-muted", textContent: name }),
        make("dd", { className: "max-h-32 min-w-0 overflow-auto whitespace-pre-wrap [overflow-wrap:anywhere]", textContent: value }))));
    },

    // -- the draft, and the one that gave way to fields that came from elsewhere

    snapshot() { return { fields: [...new FormData(this.form)], run: this.form.elements.run.checked, isTemplate: this.isTemplate }; },
    restore({ fields = [], run = true, isTemplate = false }) {
      const given = new Map(fields), agent = given.get("agent");
      for (const field of this.form.elements) {
        if (!field.name || field.name === "run") continue;
        if (field.type === "radio" || field.type === "checkbox") field.checked = field.value === given.get(field.name) && !field.disabled;
        else field.value = given.get(field.name) ?? "";
      }
      this.form.elements.run.checked = run;
      this.isTemplate = isTemplate;
      delete this.form.dataset.dir;
      if (agent) delete this.form.dataset.missed;
      one("[data-fault]", this.form)?.remove();
      this.place();
      this.changed();
    },
    save() { storage("sessionStorage").draft = JSON.stringify({ step: this.step, ...this.snapshot(), aside: this.aside, typed: this.typed }); },
    forget() {
      if (this.aside) storage("sessionStorage").draft = JSON.stringify(this.aside); else delete storage("sessionStorage").draft;
    },
    changed() { this.blanks(); this.how(); this.save(); },
    note(words, button, act) {
      const note = one("#new-note");
      note.hidden = !words;
      put(note.firstElementChild, words);
      put(note.lastElementChild, button);
      note.lastElementChild.onclick = act;
    },
    swap(words = "Your draft is back.", button = "Undo") {
      const now = this.snapshot();
      this.restore(this.aside);
      this.aside = now;
      this.save();
      this.note(words, button, () => (button === "Undo" ? this.swap("Filled in again. Your draft is kept.", "Bring it back") : this.swap()));
      one("#new-prompt").focus();
    },
    fill({ name, platform, ...fields }) {  // fields of a task or a template; what they do not say stays as it is
      const form = this.form;
      if (this.typed && form.elements.prompt.value.trim()) this.aside = this.snapshot();
      this.typed = false;
      if (platform !== undefined) fields.agent ??= platform;
      if ("dir" in fields || "repo_url" in fields) { fields.dir ??= ""; fields.repo_url ??= ""; delete form.dataset.dir; delete form.dataset.lost; }
      if (fields.place !== undefined) { const place = one(`[name=place][value="${fields.place === "sandbox" ? "sandbox" : "local"}"]`, form); if (place && fields.place) place.checked = true; }
      this.place();
      if (fields.agent !== undefined) this.agent(fields.agent ?? "");
      if (form.dataset.missed) for (const name of ["model", "router", "effort"]) delete fields[name];  // they were for that agent
      for (const field of form.elements) {
        if (!(field.name in fields) || field.type === "radio") continue;
        const value = fields[field.name], text = String((Array.isArray(value) ? value[0] : value) ?? "");
        if (field.type === "checkbox") field.checked = value === true || text === "true";
        else field.value = field.tagName === "SELECT" && ![...field.options].some((option) => option.value === text) ? "" : text;
      }
      this.isTemplate = name !== undefined;
      one("#new-other").open ||= Boolean(form.elements.repo_url.value);
      one("[data-fault]", form)?.remove();
      htmx.trigger(form.elements.dir, "look");
      this.show(0, false);
      this.changed();
      const kept = this.aside && "What you had written is kept.";
      this.note([name !== undefined ? `Filled in from “${name}”.` : kept && "Filled in.", kept].filter(Boolean).join(" "), kept ? "Bring it back" : "", () => this.swap());
      (one("#new-blanks input") ?? one("#new-prompt")).focus();
    },

    // -- what a template leaves open

    blanks() {
      const box = one("#new-blanks"), found = this.isTemplate ? [...new Set([...one("#new-prompt").value.matchAll(BLANK)].map(([, name]) => name))] : [];
      const there = new Map(all("input", box).map((field) => [field.dataset.blank, field.closest("label")]));
      if (found.join("\n") === [...there.keys()].join("\n")) return;
      box.replaceChildren(...found.map((name, at) => there.get(name) ?? make("label", {}, make("span", { className: "label", textContent: name }), (() => {
        const field = make("input", { className: "field", id: `blank-${at}-${name.length}`, autocomplete: "off" });
        field.dataset.blank = name;
        return field;
      })())));
    },
    filled() {  // puts what was filled in into the prompt, as it is; false while something is open
      const fields = all("#new-blanks input"), open = fields.find(({ value }) => !value.trim());
      if (open) return fault(open, "This is needed.");
      const given = new Map(fields.map((field) => [field.dataset.blank, field.value])), prompt = one("#new-prompt");
      if (given.size) prompt.value = prompt.value.replace(BLANK, (whole, name) => given.get(name) ?? whole);
      this.isTemplate = false;
      this.changed();
      return true;
    },
  };

  // -- templates

  async function ask(path, fields) {
    const answer = await chomp.fetch(path, fields && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(fields) });
    const found = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(found.error.message), { status: answer.status });
    return found;
  }
  async function showTemplates() {
    try { ({ templates } = await ask("/api/templates")); } catch { return; }  // the extension is off
    if (!wizard.form) return;
    const row = one("#new-templates");
    row.replaceChildren(...templates.map(({ name }, at) => { const chip = make("button", { type: "button", className: "take", textContent: name }); chip.dataset.template = at; return chip; }));
    row.hidden = !templates.length;
    one("#new-keep").hidden = false;
    one("#template-list").replaceChildren(...templates.map(({ name }, at) => {
      const button = make("button", { type: "button", className: "btn text-bad", textContent: "Delete", ariaLabel: `Delete the template ${name}` });
      button.dataset.drop = at;
      return make("li", { className: "flex items-center gap-2 pl-3 text-sm" }, make("span", { className: "min-w-0 flex-1 [overflow-wrap:anywhere]", textContent: name }), button);
    }));
  }
  async function keepTemplate() {
    const field = one("#template-name"), fields = { name: field.value.trim() };
    if (!fields.name) return fault(field, "This is needed.");
    for (const [name, value] of new FormData(wizard.form)) if (value && !["run", "blocked_by"].includes(name)) fields[name] = value;
    try {
      const { replaced } = await ask("/api/templates", fields);
      chomp.toast(replaced ? `Replaced the template ${fields.name}` : `Saved the template ${fields.name}`);
      field.value = "";
      one("#new-keep").open = false;
      one("#new-keep summary").focus();
      showTemplates();
    } catch ({ status, message }) { fault(field, status ? message : "chomp cannot be reached"); }
  }
  async function dropTemplate(template) {
    try {
      await ask("/api/templates/delete", { name: template.name });
      wizard.note(`The template “${template.name}” is deleted.`, "Undo", async () => { await ask("/api/templates", template); wizard.note("", ""); showTemplates(); });
      one("#create-body").scrollTop = 0;
      one("#new-note button").focus();
      showTemplates();
    } catch ({ status, message }) { chomp.toast(status ? message : "chomp cannot be reached", { error: true }); }
  }

  // -- folders

  let from = "";  // the folder that was left for the one above
  let tries = [];  // where to look if it cannot be looked at
  function browse(dir, ...others) {
    tries = others;
    htmx.ajax("GET", `/partials/folders?${new URLSearchParams({ dir })}`, { source: one("#folders"), target: "#folders", swap: "innerHTML" });
  }
  function closeFolders() {
    one("#folders").replaceChildren();
    one("[data-browse]").setAttribute("aria-expanded", "false");
  }
  function showFolders() {
    const box = one("#folders"), rows = all(".folder-row", box), name = from.replace(/^~/, "");
    if (one(".fault", box) && tries.length) return browse(...tries);
    one("[data-browse]").setAttribute("aria-expanded", "true");
    const left = rows.find(({ dataset }) => name && (dataset.folder ?? dataset.into ?? "").endsWith(name) && dataset.up === undefined);
    (left ?? rows.find(({ dataset }) => dataset.up === undefined) ?? one("button", box))?.focus();
    one("[data-path]", box)?.scrollIntoView({ block: "nearest" });
  }
  function folderKeys(event) {
    const { key, target } = event, rows = all("#folders .folder-row"), at = rows.indexOf(target.closest(".folder-row"));
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const to = { ArrowDown: rows[at + 1], ArrowUp: rows[at - 1] ?? one("#folders [data-folder]"), Home: rows[0], End: rows.at(-1) }[key];
    const path = at >= 0 && (rows[at].dataset.into ?? rows[at].dataset.folder), up = one("#folders [data-up]");
    if (key === "Escape") { closeFolders(); one("[data-browse]").focus(); }
    else if (to) to.focus();
    else if (key === "ArrowRight" && path) { from = ""; browse(path); }
    else if ((key === "ArrowLeft" || key === "Backspace") && up) into(up);
    else if (key.length === 1 && key !== " " && at >= 0) [...rows.slice(at + 1), ...rows.slice(0, at + 1)].find((row) => row.textContent.trim().toLowerCase().startsWith(key.toLowerCase()))?.focus();
    else if (!key.startsWith("Arrow")) return;
    event.preventDefault();
    event.stopPropagation();
  }
  function into(button) {
    from = button.dataset.up === undefined ? "" : one("#folders [data-path]").dataset.path;
    browse(button.dataset.into);
  }

  // -- models

  function markModel() {
    const chosen = one("#new-model").value;
    for (const button of all("#models [data-model], #models [data-also]")) button.setAttribute("aria-pressed", String(Boolean(chosen) && (button.dataset.model ?? button.dataset.also) === chosen));
  }
  function modelKeys(event) {  // from the field into the list, and up and down in it
    const rows = all("#models [data-model]"), at = rows.indexOf(event.target), by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by || (at < 0 && event.target.id !== "new-model")) return;
    const to = at + by < 0 ? one("#new-model") : rows[at + by];
    if (!to) return;
    event.preventDefault();
    to.focus();
  }

  // -- the form comes

  function startWizard() {
    const form = wizard.form;
    let draft = {};
    try { draft = JSON.parse(storage("sessionStorage").draft ?? "{}"); } catch { /* none */ }
    const hasPrompt = Boolean(draft.fields?.some(([name, value]) => name === "prompt" && value.trim())), step = hasPrompt ? draft.step ?? 0 : 0;
    Object.assign(wizard, { step, aside: draft.aside, typed: draft.typed ?? Boolean(draft.fields), isTemplate: false, judged: undefined });
    form.addEventListener("input", ({ target }) => {
      if (target.name === "new-agent") { wizard.agent(target.value); return wizard.changed(); }
      if (target.id === "template-name" || target.dataset.blank) return;
      wizard.typed = true;
      if (target.name === "agent") wizard.agent(target.value);
      if (["dir", "repo_url"].includes(target.name)) { delete form.dataset.dir; delete form.dataset.lost; }
      if (target.name === "place") wizard.place();
      if (target.id === "new-dir") one("[data-fault]", form)?.remove();  // of another text
      if (target.id === "new-model") one("#model-words").value = target.value;
      if (target.id === "new-model" || target.id === "new-router") htmx.trigger(one("#models"), "load-models");
      wizard.changed();
    });
    form.addEventListener("blamed", ({ detail: { field } }) => wizard.blamed(field));
    form.addEventListener("submit", (event) => {  // until the last step it is a step
      if (wizard.last() || wizard.sends) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      wizard.move(1);
    }, true);
    form.addEventListener("keydown", (event) => {
      const { key, target } = event;
      if (event.isComposing) return;
      if (key === "Enter" && (event.ctrlKey || event.metaKey) && !wizard.step) {
        event.preventDefault();
        event.stopPropagation();
        if (!event.repeat) wizard.run();
      } else if (key === "Enter" && target.id === "template-name") { event.preventDefault(); keepTemplate(); }
      else if (key === "Enter" && target.name === "new-agent") { event.preventDefault(); wizard.move(1); }
      else if (target.closest("#folders")) folderKeys(event);
      else if (wizard.step === 2) modelKeys(event);
    });
    if (hasPrompt || (draft.fields && wizard.typed)) wizard.restore(draft); else wizard.judged = wizard.judge();
    chomp.showSheet(one("#create"));
    wizard.place();
    wizard.show(step);
    wizard.blanks();
    if (wizard.aside) wizard.note("What you had written before is kept.", "Bring it back", () => wizard.swap());
    showTemplates();
    if (pending) { wizard.fill(pending); pending = undefined; }
  }

  chomp.newTask = (fields = {}) => {
    if (one("#create").open && wizard.form) return wizard.fill(fields);
    pending = fields;
    chomp.openSheet("create");
  };

  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    if (ctx.target?.id === "create-body") startWizard();
    else if (ctx.target?.id === "folders") showFolders();
    else if (ctx.target?.id === "models") markModel();
  });
  document.addEventListener("refreshTemplates", () => { if (one("#create").open) showTemplates(); });
  document.addEventListener("htmx:error", ({ detail: { ctx } }) => { if (ctx?.target?.id === "create-body") pending = undefined; });
  document.addEventListener("succeeded", ({ detail: { source } }) => {
    if (source.id === "new-task") { wizard.forget(); one("[data-next]", source).disabled = one("[data-run]", source).disabled = true; }
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("#new-task button");
    if (!button) return;
    const { dataset } = button;
    if ((dataset.next ?? dataset.skip) !== undefined && event.detail > 1) { event.stopPropagation(); event.preventDefault(); }  // nobody has read this step
    else if (dataset.model !== undefined || dataset.also !== undefined) { one("#new-model").value = dataset.model ?? dataset.also; wizard.typed = true; wizard.changed(); wizard.move(1); }
    else if (dataset.back !== undefined) wizard.move(-1);
    else if (dataset.skip !== undefined) wizard.skip();
    else if (dataset.run !== undefined) wizard.run();
    else if (dataset.folder !== undefined) {
      const listed = button.closest("#folders");
      wizard.typed = true;
      wizard.folder(button.getAttribute("aria-pressed") === "true" ? "" : dataset.folder);
      if (listed) { closeFolders(); one("#new-dir").focus(); }
    } else if (dataset.into !== undefined) into(button);
    else if (dataset.browse !== undefined) {
      if (one("#folders").childElementCount) return closeFolders();
      from = one("#new-dir").value.trim().replace(/\/+$/, "");
      if (from) browse(from.replace(/\/[^/]*$/, "") || "/", from, ""); else browse("");  // beside it, else in it
    } else if (dataset.template !== undefined) wizard.fill(templates[dataset.template]);
    else if (dataset.keep !== undefined) keepTemplate();
    else if (dataset.drop !== undefined) dropTemplate(templates[dataset.drop]);
  }, true);
  if (wizard.form) startWizard();  // it came before this script
})();
