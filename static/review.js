// The review of a task: comments on lines of its diff, what a merge said, how its tokens grew, what its menu does. tasks.js comes before.
(() => {
  "use strict";
  const { one, all, put, storage, toast } = chomp;
  const make = (tag, fields, ...inside) => {
    const element = Object.assign(document.createElement(tag), fields);
    element.append(...inside);
    return element;
  };
  const button = (words, look, click) => {
    const made = make("button", { type: "button", className: `btn ${look}`, textContent: words });
    made.addEventListener("click", click);
    return made;
  };
  const shown = () => one("#detail [data-task]");
  const faultOf = async (answer) => { try { return (await answer.json()).error.message; } catch { return `chomp answered ${answer.status}`; } };
  const post = (path, body) => chomp.fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const unreached = () => toast("chomp cannot be reached", { error: true });

  // -- comments that are not sent: {born, words, items: [{file, line, side, code, text, open}]} of each task, kept in this browser

  const MOST = { code: 1000, text: 8000, count: 200 };
  const held = new Map();  // where nothing can be kept they last as long as the page
  const nameOf = (task) => `comments-${task.dataset.task}`;
  const isItem = (one) => one && ["file", "side", "code", "text"].every((name) => typeof one[name] === "string") && Number.isInteger(one.line);
  function draftsOf(task) {
    const name = nameOf(task), { born } = task.dataset;
    let kept = held.get(name);
    if (!kept) {
      try { kept = JSON.parse(storage("localStorage")[name] ?? "{}"); } catch { kept = {}; }
      kept = { born: kept.born, words: typeof kept.words === "string" ? kept.words : "", items: Array.isArray(kept.items) ? kept.items.filter(isItem) : [] };
    }
    if (kept.born !== born) kept = { born, words: "", items: [] };  // those of an earlier task of this number
    held.set(name, kept);
    return kept;
  }
  function keep(task) {
    const drafts = draftsOf(task), area = storage("localStorage");
    try {
      if (drafts.items.length || drafts.words) area[nameOf(task)] = JSON.stringify(drafts); else delete area[nameOf(task)];
    } catch { /* no room: they last as long as the page */ }
  }
  addEventListener("storage", ({ key }) => {  // another tab has written some
    if (!key?.startsWith("comments-") || document.activeElement?.closest(".remark, .remarks")) return;
    held.delete(key);
    const task = shown();
    if (task && nameOf(task) === key) drawComments(task);
  });

  // -- the lines they stand below

  const LINE = ".diff > [role=button]";
  const codeOf = (line) => line.textContent.slice(0, MOST.code);
  const placeOf = (line) => ({
    file: line.closest("[data-file]").dataset.file, side: line.dataset.is === "cut" ? "old" : "new",
    line: Number(line.dataset.is === "cut" ? line.dataset.old : line.dataset.new), code: codeOf(line),
  });
  const isOf = (item, place) => item.file === place.file && item.side === place.side && item.line === place.line && item.code === place.code;
  function findLine(diff, item) {  // where it was, else the one line that says the same
    const file = all("[data-file]", diff).find(({ dataset }) => dataset.file === item.file);
    const same = file ? all(LINE, file).filter((line) => { const { side, code } = placeOf(line); return side === item.side && code === item.code; }) : [];
    return same.find((line) => placeOf(line).line === item.line) ?? (same.length === 1 ? same[0] : undefined);
  }

  function drawComments(task) {
    const diff = one("[data-diff]", task), drafts = draftsOf(task);
    let lost = drafts.items;
    if (diff && one(`#remarks-${task.dataset.task}`)) {
      all(".diff", diff).forEach((part) => {  // a tab stop for each file, moved by the arrows
        part.removeAttribute("tabindex");
        const lines = all(":scope > :is([data-is=add], [data-is=cut], [data-is=same])", part);
        lines.forEach((line) => { line.setAttribute("role", "button"); line.tabIndex = -1; });
        if (lines.length) lines[0].tabIndex = 0; else part.tabIndex = 0;
      });
      all(".remark", diff).forEach((old) => old.remove());
      lost = drafts.items.filter((item) => {
        const line = findLine(diff, item);
        if (!line) return true;
        Object.assign(item, placeOf(line));
        line.closest("details").open = true;
        showComment(task, line, item);
        return false;
      });
    }
    drawBar(task, diff ? lost : []);
  }

  function showComment(task, line, item) {
    const where = `${item.file}, ${item.side === "old" ? "removed line" : "line"} ${item.line}`;
    const form = make("form", { className: "remark" });
    form.setAttribute("aria-label", `Comment on ${where}`);
    const remove = () => {
      const drafts = draftsOf(task);
      drafts.items = drafts.items.filter((one) => one !== item);
      form.remove();
      line.focus({ preventScroll: true });
      changed(task);
    };
    const close = () => {
      if (!item.text.trim()) return remove();
      item.open = false;
      read();
      line.focus({ preventScroll: true });
      changed(task);
    };
    const write = () => {
      item.open = true;
      const field = make("textarea", { className: "field", value: item.text, maxLength: MOST.text, rows: 2, placeholder: "What should be different here?" });
      field.setAttribute("aria-label", `Comment on ${where}`);
      field.addEventListener("input", () => { item.text = field.value; changed(task); });
      field.addEventListener("keydown", (event) => {
        if (event.key !== "Escape" || event.isComposing) return;
        event.preventDefault();  // it closes the comment, and not the task
        event.stopPropagation();
        close();
      });
      form.replaceChildren(field, make("div", { className: "remark-acts" }, button("Keep", "btn-second", () => close()), button("Remove", "btn-second", remove)));
      return field;
    };
    const read = () => form.replaceChildren(make("p", { className: "remark-text", textContent: item.text }),
      make("div", { className: "remark-acts" }, button("Edit", "btn-second", () => write().focus()), button("Remove", "btn-second", remove)));
    form.addEventListener("submit", (event) => { event.preventDefault(); close(); });
    let after = line;
    while (after.nextElementSibling?.matches(".remark")) after = after.nextElementSibling;
    after.after(form);
    if (item.open) return write();
    read();
    return undefined;
  }

  function comment(line) {  // what is said of a line: the comment there is, or a new one
    const task = line.closest("[data-task]"), drafts = draftsOf(task), place = placeOf(line);
    let item = drafts.items.find((one) => isOf(one, place));
    if (item) {
      item.open = true;
      drawComments(task);
    } else if (drafts.items.length >= MOST.count) return toast(`No more than ${MOST.count} comments at once`, { error: true });
    else {
      item = { ...place, text: "", open: true };
      drafts.items.push(item);
      showComment(task, line, item);
    }
    let form = line.nextElementSibling;
    while (form && !one("textarea", form)) form = form.nextElementSibling;
    one("textarea", form)?.focus();
    changed(task);
  }
  function changed(task) {
    keep(task);
    drawBar(task);
  }

  // -- how many there are, and what becomes of them

  const lostOf = new WeakMap();  // a bar -> comments whose line is gone
  function drawBar(task, lost) {
    const bar = one(`#remarks-${task.dataset.task}`);
    if (!bar) return;
    if (lost) lostOf.set(bar, lost); else lost = lostOf.get(bar) ?? [];
    const drafts = draftsOf(task), said = drafts.items.filter(({ text }) => text.trim());
    bar.hidden = !said.length;
    if (bar.hidden) { bar.replaceChildren(); return; }
    if (!bar.children.length) {
      const words = make("textarea", { className: "field min-h-[44px]", rows: 1, value: drafts.words, placeholder: "And of the whole …" });
      words.setAttribute("aria-label", "Of the whole");
      words.addEventListener("input", () => { draftsOf(task).words = words.value; keep(task); });
      const send = (run) => () => sendComments(shown() ?? task, run, bar);
      bar.append(make("p", { className: "remarks-count" }), make("ul", { className: "remarks-lost" }), words, make("div", { className: "remark-acts" },
        button("Ask for these changes", "btn-primary flex-1", send(true)), button("Add to the queue", "btn-second", send(false))));
      one(".remarks-count", bar).setAttribute("role", "status");
    }
    put(one(".remarks-count", bar), `${said.length} comment${said.length === 1 ? "" : "s"}`);
    const gone = lost.filter((item) => drafts.items.includes(item));
    one(".remarks-lost", bar).replaceChildren(...gone.map((item) => {
      const row = make("li", {}, make("span", { textContent: `${item.file}:${item.line}, a line that is gone: ${item.text}` }),
        button("Remove", "btn-second", () => { drafts.items = drafts.items.filter((one) => one !== item); changed(task); }));
      return row;
    }));
    one(".remarks-lost", bar).hidden = !gone.length;
    const ended = ["done", "failed", "stopped"].includes(task.dataset.state), [ask, add] = all(".remark-acts > button", bar);
    put(ask, ended ? "Ask for these changes" : "Send as a follow-up");
    add.hidden = !ended;
    ask.disabled = add.disabled = !said.length || bar.dataset.busy !== undefined;
  }
  async function sendComments(task, run, bar) {
    const drafts = draftsOf(task), id = task.dataset.task;
    const comments = drafts.items.filter(({ text }) => text.trim()).map(({ file, line, side, code, text }) => ({ file, line, side, code, text }));
    bar.dataset.busy = "";
    drawBar(task);
    try {
      const answer = await post("/api/tasks/comments", { id, comments, text: drafts.words, run });
      if (!answer.ok) return toast(await faultOf(answer), { error: true });
      held.delete(nameOf(task));
      delete storage("localStorage")[nameOf(task)];
      toast(run ? "Sent to the agent" : "In the queue, with your comments");
      await chomp.openTask(id);
      one("#detail").focus({ preventScroll: true });
    } catch {
      unreached();
    } finally {
      delete bar.dataset.busy;
      if (shown()?.dataset.task === id) drawComments(shown());
    }
  }

  // -- by hand: a click or Enter on a line; the arrows move over the lines of all files that are open

  document.addEventListener("click", ({ target }) => {
    const line = target.closest?.(LINE);
    if (line && getSelection().isCollapsed) comment(line);  // else somebody copies
  });
  document.addEventListener("focusin", ({ target }) => {
    if (!target.matches?.(LINE)) return;
    all(`:scope > [tabindex="0"]`, target.parentElement).forEach((line) => { line.tabIndex = -1; });
    target.tabIndex = 0;
  });
  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (!target.matches?.(LINE) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (["Enter", " ", "c"].includes(key)) { event.preventDefault(); event.stopPropagation(); return comment(target); }
    if (!["ArrowDown", "ArrowUp", "Home", "End"].includes(key)) return;
    event.preventDefault();
    const lines = all(LINE, target.closest("[data-diff]")).filter((line) => line.closest("details").open);
    const own = lines.filter((line) => line.parentElement === target.parentElement), at = lines.indexOf(target);
    const next = { ArrowDown: lines[at + 1], ArrowUp: lines[at - 1], Home: own[0], End: own.at(-1) }[key];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "nearest" });
  });

  // -- the diff is that of the last session: fetched anew when there was another, while nobody writes in it

  function freshen(task) {
    const fold = one(`#diff-fold-${task.dataset.task}`), diff = fold && one(fold.dataset.loads);
    if (!fold?.open || diff.dataset.of === undefined || diff.dataset.of === fold.dataset.version || diff.contains(document.activeElement)) return;
    diff.dataset.of = fold.dataset.version;
    htmx.trigger(diff, "load-fold");
  }

  // -- long texts: what is cut can be seen whole

  function measure() {
    for (const more of all("#detail .more")) {
      const text = document.getElementById(more.dataset.of);
      more.hidden = !more.open && text.scrollHeight <= (text.matches(".clamp") ? text.clientHeight + 2 : 420);
    }
  }
  addEventListener("resize", measure);

  // -- how its tokens grew

  const SVG = "http://www.w3.org/2000/svg", [WIDE, HIGH] = [300, 56];
  const count = new Intl.NumberFormat(), clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit", second: "2-digit" });
  const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "numeric", minute: "2-digit" });
  async function drawCourse(task) {
    const place = one("[data-course]", task), { tokens } = task.dataset;
    if (!place || place.dataset.tokens === tokens || place.dataset.busy !== undefined) return;
    place.dataset.busy = "";
    let points;
    try {
      const answer = await chomp.fetch(`/api/tasks/${encodeURIComponent(place.dataset.course)}/usage`);
      points = answer.ok ? (await answer.json()).points : undefined;
    } catch { /* the next change asks again */ }
    delete place.dataset.busy;
    if (!points) return;
    place.dataset.tokens = tokens;
    place.hidden = points.length < 2;
    if (place.hidden) return;
    const first = points[0], last = points.at(-1), span = last.at - first.at || 1, most = last.tokens || 1;
    const x = (point) => ((point.at - first.at) / span * WIDE).toFixed(1), y = (point) => (HIGH - 2 - point.tokens / most * (HIGH - 4)).toFixed(1);
    const steps = points.flatMap((point, at) => at ? [`${x(point)},${y(points[at - 1])}`, `${x(point)},${y(point)}`] : [`${x(point)},${y(point)}`]);
    const draw = (name, values) => { const made = document.createElementNS(SVG, name); for (const [key, value] of Object.entries(values)) made.setAttribute(key, value); return made; };
    const when = (point) => (span > 72000 ? day : clock).format(new Date(point.at * 1000));
    const graph = draw("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", class: "course", role: "img",
      "aria-label": `Tokens over time: ${count.format(first.tokens)} at ${when(first)}, ${count.format(last.tokens)} at ${when(last)}` });
    graph.append(draw("polygon", { points: `0,${HIGH} ${steps.join(" ")} ${WIDE},${HIGH}` }), draw("polyline", { points: steps.join(" ") }));
    place.replaceChildren(make("p", { className: "meta justify-between" }, make("span", { textContent: "Tokens over time" }), make("span", { textContent: count.format(last.tokens) })), graph,
      make("p", { className: "meta justify-between" }, make("span", { textContent: when(first) }), make("span", { textContent: when(last) })));
    if (shown()?.dataset.tokens !== tokens) drawCourse(shown());
  }

  // -- what a merge, a push or a pull request said, beside the review, which is fetched anew

  const quoted = (word) => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
  const placeOfWords = (source) => one("[id^=said-of-]", source.closest("[id^=ending-]") ?? document);
  function tell(place, look, words, ...more) {
    place?.replaceChildren(make("p", { className: look, textContent: words }), ...more);
  }
  document.addEventListener("succeeded", ({ detail: { source, answer } }) => {
    const { merged } = answer, place = merged && one(`#said-of-${answer.task?.id}`);
    if (!place) return;
    const { source: top, here } = source.dataset;
    // what git notes of files beside their content may be another user's: its sandbox wrote them
    const undo = here ? `git -C ${quoted(here)} -c core.checkStat=minimal reset --keep ${merged.before}` : `git -C ${quoted(top)} branch -f ${quoted(merged.into)} ${merged.before}`;
    const id = `take-back-${answer.task.id}`, copy = make("button", { type: "button", className: "btn btn-second flex-none px-3", textContent: "Copy" });
    copy.dataset.copy = id;
    const how = merged.kind === "merge" ? "by a merge commit" : "which was moved forward";
    tell(place, "outcome text-good", `Merged into ${merged.into}, ${how}: it is at ${merged.head.slice(0, 12)} now.`,
      make("p", { className: "hint", textContent: "This takes it back:" }), make("div", { className: "flex items-center gap-2" }, make("pre", { id, className: "pre min-w-0 flex-1", textContent: undo, tabIndex: 0 }), copy));
  });
  document.addEventListener("htmx:after:request", ({ detail: { ctx } }) => {  // refused: why, and how things are by now
    const { sourceElement: source, response } = ctx, first = response?.status >= 400 && one("[id^=review-of-] > [data-looking]", source.parentElement ?? document);
    if (first) put(first, "It cannot be seen now how this becomes part of the project.");
    if (ctx.request.method === "GET" || !source.closest?.("[id^=review-of-]")) return;
    const place = placeOfWords(source);
    if (response?.status < 400) { if (!source.matches("form")) place?.replaceChildren(); return; }
    let words = `chomp answered ${response?.status}`;
    try { words = JSON.parse(ctx.text).error.message; } catch { /* no words of its own */ }
    tell(place, "outcome notice first-letter:uppercase", `${words}.`);
    htmx.trigger(source.closest("[id^=review-of-]"), "look-again");
  });
  async function openPull(source) {
    const id = source.dataset.pull, place = placeOfWords(source);
    source.disabled = true;
    tell(place, "outcome text-muted", "Pushing, and opening it …");
    try {
      const answer = await post("/api/tasks/pull", { id });
      if (!answer.ok) return tell(place, "outcome notice first-letter:uppercase", `${await faultOf(answer)}.`);
      const { words, form, url } = await answer.json(), page = url || form;
      const link = /^https?:\/\//.test(page ?? "") ? [make("a", { className: "link outcome-link", href: page, target: "_blank", rel: "noopener noreferrer", textContent: url ? page : "Open the form for it" })] : [];
      tell(place, "outcome first-letter:uppercase", `${words}.`, ...link);
      htmx.trigger(document.body, `refreshTask-${id}`);
    } catch {
      place?.replaceChildren();
      unreached();
    } finally {
      source.disabled = false;
    }
  }

  // -- the menu of a task

  const COPIED = ["prompt", "dir", "repo_url", "model", "router", "effort", "gate", "setup", "place", "isolation", "in_place", "priority", "budget_tokens", "budget_usd"];
  async function clone(id) {
    try {
      const answer = await chomp.fetch(`/api/tasks/${encodeURIComponent(id)}`);
      if (!answer.ok) return toast(await faultOf(answer), { error: true });
      const task = await answer.json();
      chomp.newTask?.({ agent: task.platform, ...Object.fromEntries(COPIED.filter((name) => task[name] !== undefined && task[name] !== null).map((name) => [name, task[name]])) });
    } catch {
      unreached();
    }
  }
  async function download(path) {
    try {
      const answer = await chomp.fetch(path);
      if (!answer.ok) return toast(await faultOf(answer), { error: true });
      const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? "task.log";
      const href = URL.createObjectURL(await answer.blob());
      make("a", { href, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(href), 60000);
    } catch {
      unreached();
    }
  }
  document.addEventListener("click", ({ target }) => {
    const source = target.closest?.("button"), { clone: id, download: path, pull } = source?.dataset ?? {};
    source?.closest(".menu")?.hidePopover();
    if (id !== undefined) clone(id);
    else if (path !== undefined) download(path);
    else if (pull !== undefined) openPull(source);
  });
  document.addEventListener("keydown", (event) => {  // Escape closes the menu alone
    const menu = event.key === "Escape" && one(".menu:popover-open");
    if (!menu) return;
    event.preventDefault();
    event.stopPropagation();
    menu.hidePopover();
  }, true);

  // -- whenever the task that is shown has come, or was fetched anew

  document.addEventListener("htmx:after:swap", ({ detail: { ctx: { target, sourceElement } } }) => {
    const task = shown();
    if (!task) return;
    if (target?.id === `diff-${task.dataset.task}`) {
      target.dataset.of = one(`#diff-fold-${task.dataset.task}`)?.dataset.version ?? "";
      drawComments(task);
    } else if (target?.closest?.("#detail") || sourceElement?.hasAttribute?.("data-first")) {
      drawBar(task);
      freshen(task);
    }
    measure();
    drawCourse(task);
  });
  const first = shown();  // it came before this script
  if (first) {
    if (one(`#diff-${first.dataset.task} [data-diff]`)) drawComments(first);
    drawBar(first);
    freshen(first);
    requestAnimationFrame(measure);  // it is open by then
    drawCourse(first);
  }
  document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => { if (ctx.sourceElement?.hasAttribute?.("data-first")) measure(); });  // it is open by now
})();
