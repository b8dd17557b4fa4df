// The arena: a run is put together, watched as its answers come, ranked, voted on; and those that were. chomp.js comes before.
// Whatever models or people wrote is put into the page as text.
(() => {
  "use strict";
  const { one, all, put, storage, toast, blame } = chomp;
  const make = (tag, className = "", text = "") => Object.assign(document.createElement(tag), { className, textContent: text });
  const button = (className, text, click) => {
    const made = Object.assign(make("button", className, text), { type: "button" });
    made.addEventListener("click", click);
    return made;
  };
  const icon = (path) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", "svg"), line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    for (const [name, value] of Object.entries({ "aria-hidden": "true", width: 14, height: 14, viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": 1.8, "stroke-linecap": "round", "stroke-linejoin": "round" })) made.setAttribute(name, value);
    line.setAttribute("d", path);
    made.append(line);
    return made;
  };
  const round = (className, words, path, click) => {
    const made = button(`round square ${className}`, "", click);
    made.setAttribute("aria-label", words);
    made.title = words;
    made.append(make("span"));
    made.firstChild.append(icon(path));
    return made;
  };
  const CLOSE = "m6 6 12 12M18 6 6 18", COPY = "M9 9h10v11H9zM5 15V4h10";

  async function api(path, method = "GET", body = undefined) {  // what it answers; throws its error
    const more = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
    let answer;
    try { answer = await chomp.fetch(path, { method, ...more }); } catch { throw { message: "chomp cannot be reached", status: 0 }; }
    const found = await answer.json().catch(() => ({}));
    if (!answer.ok) throw { message: `chomp answered ${answer.status}`, ...found.error, status: answer.status };
    return found;
  }
  const complain = (error) => toast(error.message ?? String(error), { error: true });

  // -- figures in words: "–" where nothing was measured

  const measured = (words) => (value) => value === null || value === undefined ? "–" : words(value);
  const long = measured((ms) => ms < 1 ? "<1 ms" : ms < 1000 ? `${Math.round(ms)} ms` : ms < 100000 ? `${(ms / 1000).toFixed(2)} s` : `${Math.round(ms / 1000)} s`);
  const pace = measured((n) => `${n < 100 ? n.toFixed(1) : Math.round(n)} tok/s`);
  const count = measured((n) => n.toLocaleString("en", { maximumFractionDigits: 1 }));
  const dollars = measured((n) => n > 0 && n < 0.00005 ? "<$0.0001" : `$${n === 0 || n >= 0.1 ? n.toFixed(2) : n.toFixed(4)}`);
  const FIGURES = [
    ["ttft_ms", "First token", long], ["tok_s", "Speed", pace], ["wall_ms", "Time", long], ["completion_tokens", "Tokens", count], ["cost_usd", "Cost", dollars],
  ];
  const METRICS = [
    ["first_token", "First token", "Median time to the first token.", long],
    ["overall", "Whole answer", "Median time to the end. A short answer is soon at its end.", long],
    ["tok_s", "Speed", "Median tokens per second after the first one.", pace],
    ["cheapest", "Cost", "Median price of an answer, where prices are known.", dollars],
  ];
  const IS_OVER = (answer) => !["waiting", "running"].includes(answer.status);
  const GOES_ON = (run) => ["running", "judging"].includes(run.status);
  const LOOKS = { running: "running", judging: "running", done: "done", failed: "failed", interrupted: "failed" };
  const WORDS = { both_bad: "both bad", tie: "a tie", A: "A", B: "B" };
  const marks = (names) => names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
  function badge(place, status) {
    if (place.dataset.status === status) return;
    place.dataset.status = status;
    place.dataset.state = LOOKS[status] ?? "";
    place.replaceChildren(...(GOES_ON({ status }) ? [make("span", "spinner")] : []), status);
  }

  // -- a new run

  const form = one("#arena-form"), prompt = form.elements.prompt, field = form.elements.targets, options = one("#arena-models");
  const isBlind = () => form.elements.kind.value === "blind";
  let models = [], contenders = [], active = -1;

  function keep() {  // for the next visit; the prompt only as long as the tab is there
    const fields = Object.fromEntries(["kind", "system", "mode", "max_tokens", "repeat", "judge"].map((name) => [name, form.elements[name].value]));
    storage("localStorage").arena = JSON.stringify({ ...fields, contenders });
    storage("sessionStorage").arena = prompt.value;
  }
  function offer() {  // what the options come to, though they are folded away
    one("#blind-hint").hidden = !isBlind();
    all("[data-open-only]", form).forEach((part) => { part.hidden = isBlind(); });
    keep();
  }
  function remember() {
    try {
      const { contenders: kept = [], ...fields } = JSON.parse(storage("localStorage").arena ?? "{}");
      for (const [name, value] of Object.entries(fields)) if (form.elements[name]) form.elements[name].value = value;
      contenders = kept.filter((one) => typeof one?.model === "string");
      one("#arena-more").open = ["system", "max_tokens", "repeat", "judge"].some((name) => fields[name]) || fields.mode === "sequential";
    } catch { /* somebody else's words */ }
    prompt.value = storage("sessionStorage").arena ?? "";
    offer();
    showContenders();
  }

  function showContenders() {
    one("#arena-contenders").replaceChildren(...contenders.map((contender, at) => {
      const shown = make("li", "pick"), fold = make("details", "fold min-w-0"), summary = make("summary", "text-sm"), own = make("span", "ml-auto text-xs text-muted whitespace-nowrap");
      const say = () => { own.textContent = contender.system ? "own system prompt" : contender.name ? "own name" : ""; keep(); };
      const text = (name, words, made) => {
        Object.assign(made, { className: "field", id: `contender-${at}-${name}`, value: contender[name] ?? "" });
        made.addEventListener("input", () => { contender[name] = made.value; say(); });
        const label = make("label", "label", words), part = make("div");
        label.htmlFor = made.id;
        part.append(label, made);
        return part;
      };
      summary.append(make("span", "mono min-w-0", contender.model), own);
      const inside = make("div", "pick-more");
      inside.append(text("system", "System prompt of this one", Object.assign(document.createElement("textarea"), { rows: 2 })), text("name", "Name, if it is to have one", Object.assign(document.createElement("input"), { maxLength: 80 })));
      fold.append(summary, inside);
      shown.append(fold, round("square-bad", `Remove ${contender.model}`, CLOSE, () => {
        contenders.splice(at, 1);
        showContenders();
        (all("#arena-contenders .round")[Math.min(at, contenders.length - 1)] ?? field).focus();
      }));
      say();
      return shown;
    }));
    keep();
  }
  function add(model) {
    if (!model) return;
    if (contenders.length >= 16) return blame(form, { param: "targets", message: "These are 16: more cannot be in one run." });
    contenders.push({ model, system: "", name: "" });
    field.value = "";
    showContenders();
    field.dispatchEvent(new Event("input", { bubbles: true }));  // a fault goes, and the list is whole again
  }

  // the list below the field: what it says is looked for in all names
  function list(open = true) {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = open ? models.filter((id) => words.every((word) => id.toLowerCase().includes(word))) : [];
    active = -1;
    options.replaceChildren(...found.slice(0, 60).map((id, at) => {
      const option = make("li", "option mono", id);
      option.id = `model-${at}`;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      option.addEventListener("pointerdown", (event) => event.preventDefault());  // the field keeps the focus
      option.addEventListener("click", () => { add(id); list(false); });
      return option;
    }));
    if (found.length > 60) {
      const more = make("li", "px-3 py-2 text-xs text-muted", `${found.length - 60} more: a few letters find them`);
      more.setAttribute("role", "presentation");
      options.append(more);
    }
    options.hidden = !found.length;
    field.setAttribute("aria-expanded", String(!options.hidden));
    field.removeAttribute("aria-activedescendant");
  }
  function step(by) {
    if (options.hidden) list();
    const found = all("[role=option]", options);
    if (!found.length) return;
    active = (active + by + found.length) % found.length;
    found.forEach((option, at) => option.setAttribute("aria-selected", String(at === active)));
    found[active].scrollIntoView({ block: "nearest" });
    field.setAttribute("aria-activedescendant", found[active].id);
  }
  field.addEventListener("input", (event) => { event.stopPropagation(); list(Boolean(field.value)); });
  field.addEventListener("click", () => list());
  field.addEventListener("blur", () => list(false));
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); step(event.key === "ArrowDown" ? 1 : -1); }
    else if (event.key === "Escape" && !options.hidden) { event.preventDefault(); list(false); }
    else if (event.key === "Enter") {
      event.preventDefault();
      const only = all("[role=option]", options);
      add(active >= 0 ? only[active].textContent : only.length === 1 && !models.includes(field.value.trim()) ? only[0].textContent : field.value.trim());
      list(false);
    }
  });
  async function learn() {
    try { models = (await api("/v1/models")).data.map(({ id }) => id); } catch { return; }
    if (!models.includes("auto")) models.unshift("auto");
    one("#arena-names").replaceChildren(...models.map((id) => Object.assign(document.createElement("option"), { value: id })));
    if (document.activeElement === field && !options.hidden) list();
  }

  function bodyOf() {
    const number = (name) => form.elements[name].value ? Number(form.elements[name].value) : undefined;
    const targets = contenders.map(({ model, system, name }) => system.trim() || name.trim() ? { model, ...(system.trim() && { system }), ...(name.trim() && { name: name.trim() }) } : model);
    const body = { prompt: prompt.value, targets, mode: form.elements.mode.value };
    if (form.elements.system.value.trim()) body.system = form.elements.system.value;
    if (number("max_tokens")) body.max_tokens = number("max_tokens");
    if (isBlind()) return { ...body, blind: true };
    if (number("repeat") > 1) body.repeat = number("repeat");
    if (form.elements.judge.value.trim()) body.judge = form.elements.judge.value.trim();
    return body;
  }
  async function start(body) {
    const { id } = await api("/api/arena", "POST", { ...body, wait: false });
    storage("sessionStorage")["arena-run"] = JSON.stringify({ id, body });  // a blind one does not say whom it was drawn from
    one("#compose").open = false;
    say(id, true);
    await open(id);
    one("#run-prompt").focus({ preventScroll: true });
    one("#run").scrollIntoView({ block: "start" });
  }
  form.addEventListener("input", offer);
  form.addEventListener("blamed", ({ detail: { field: meant } }) => { const fold = meant.closest("#arena-more"); if (fold) fold.open = true; });
  prompt.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(); });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (field.value.trim()) add(field.value.trim());
    if (!prompt.value.trim()) return blame(form, { param: "prompt", message: "This is needed." });
    const fewest = isBlind() ? 2 : 1;
    if (contenders.length < fewest) return blame(form, { param: "targets", message: isBlind() ? "Two models are needed, or more to draw from." : "A model is needed." });
    const wrong = ["max_tokens", "repeat"].map((name) => form.elements[name]).find((number) => !number.closest("[hidden]") && !number.checkValidity());
    if (wrong) return;
    const button = one("#arena-start");
    if (button.disabled) return;
    button.disabled = true;
    try { await start(bodyOf()); } catch (error) { blame(form, { ...error, param: error.param?.split(/[.[]/)[0] }); }
    button.disabled = false;
  });

  // -- the run that is shown

  const section = one("#run"), lanesBox = one("#lanes"), tabs = one("#lane-tabs");
  let run, lanes = [], key = "", painting = 0;

  function measureAnswer(answer, since) {
    const running = answer.status === "running" && since !== undefined;
    return Object.fromEntries(FIGURES.map(([name, , words]) => [name, name === "wall_ms" && running ? `${((performance.now() - since) / 1000).toFixed(1)} s` : words(answer[name])]));
  }

  class Lane {  // one contender
    constructor(contender) {
      this.contender = contender;
      this.picked = this.begun = undefined;
      this.painted = { attempt: -1, text: 0, thinking: 0 };
      const id = `lane-${contender.index}`;
      const box = this.box = make("article", "lane card");
      box.id = id;
      box.setAttribute("aria-labelledby", `${id}-name`);
      const head = make("header", "lane-head"), names = make("div", "min-w-0 flex-1");
      const name = make("h3", run.hidden ? "lane-letter" : "text-[15px] leading-5 font-semibold [overflow-wrap:anywhere]", contender.label);
      name.id = `${id}-name`;
      if (run.vote) name.prepend(make("span", `chip ${run.vote === "AB"[contender.index] ? "chip-good" : ""}`, "AB"[contender.index]));
      this.who = make("p", "mt-0.5 text-xs leading-[18px] text-muted [overflow-wrap:anywhere]");
      names.append(name, this.who);
      this.state = make("span", "badge");
      this.text = make("div", "lane-text");
      this.text.id = `${id}-text`;
      Object.assign(this.text, { tabIndex: 0, role: "region", ariaLabel: `Answer of ${contender.label}` });
      this.text.append(document.createTextNode(""));
      this.copy = round("lane-copy", `Copy the answer of ${contender.label}`, COPY, () => copy(this.answer.text));
      head.append(names, this.state, this.copy);  // the finger's 44 px reach beyond the padding
      this.picks = make("div", "lane-picks");
      this.picks.setAttribute("role", "group");
      this.picks.setAttribute("aria-label", `Answers of ${contender.label}`);
      if (contender.answers.length > 1) this.picks.append(...contender.answers.map((_, at) => button("pick-one", String(at + 1), () => { this.picked = at; paint(); })));
      this.cells = {};
      this.figures = make("dl", "lane-figures");
      for (const [figure, words] of FIGURES) {
        const cell = make("div"), value = make("dd"), small = make("dd", "lane-small");
        cell.append(make("dt", "", words), value, small);
        this.cells[figure] = { value, small };
        this.figures.append(cell);
      }
      this.fault = make("p", "notice");
      this.thinking = make("details", "fold");
      this.thoughts = make("p", "pre");
      this.thoughts.tabIndex = 0;
      this.thoughts.append(document.createTextNode(""));
      this.thinking.append(make("summary", "text-[13px] text-muted", "Thinking"), this.thoughts);
      this.note = make("p", "text-xs leading-[18px] text-muted");
      const body = make("div", "lane-body");
      if (contender.system) {
        const own = make("details", "fold"), words = make("p", "pre", contender.system);
        words.tabIndex = 0;
        own.append(make("summary", "text-[13px] text-muted", "Own system prompt"), words);
        body.append(own);
      }
      body.append(this.thinking, this.text, this.fault, this.note);
      box.append(head, this.picks, this.figures, body);
      this.tab = button("lane-tab", "", () => { lanesBox.scrollTo({ left: box.offsetLeft - lanesBox.offsetLeft }); turn(); });
      this.tab.append(make("i"), make("span", "min-w-0 truncate", contender.label));
    }
    get at() {  // which of its answers is shown: the one that was picked, or the last that has begun
      if (this.picked !== undefined) return this.picked;
      const last = this.contender.answers.findLastIndex(({ status }) => status !== "waiting");
      return Math.max(0, last);
    }
    get answer() { return this.contender.answers[this.at]; }
    get status() {  // of all its answers
      const all = this.contender.answers;
      if (all.some(({ status }) => status === "running")) return "running";
      if (!all.every(IS_OVER)) return all.some(IS_OVER) && GOES_ON(run) ? "running" : "waiting";
      return all.length > 1 && all.some(({ status }) => status === "done") ? "done" : all.at(-1).status;
    }
    write(place, text, name) {  // only what is new, and the reader's place stays
      const node = place.firstChild, from = this.painted[name];
      if (from === text.length) return;
      const follows = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
      from > 0 && from < text.length ? node.appendData(text.slice(from)) : node.data = text;
      this.painted[name] = text.length;
      if (follows && this.answer.status === "running") place.scrollTop = place.scrollHeight;
    }
    paint() {
      const { answer, contender } = this, at = this.at;
      if (this.painted.attempt !== at) {
        this.painted = { attempt: at, text: -1, thinking: -1 };
        this.text.scrollTop = 0;
      }
      badge(this.state, this.status);
      this.box.dataset.state = answer.status;
      const asked = contender.model && answer.router && `${answer.router}/${answer.model}` !== contender.model;
      put(this.who, run.hidden ? "" : asked ? `answered by ${answer.router}/${answer.model}` : contender.label.startsWith(contender.model) ? "" : contender.model ?? "");
      this.who.hidden = !this.who.textContent;
      this.write(this.text, answer.text, "text");
      this.write(this.thoughts, answer.thinking, "thinking");
      this.thinking.hidden = !answer.thinking;
      this.text.hidden = !answer.text && IS_OVER(answer);
      this.text.classList.toggle("lane-empty", !answer.text);
      this.copy.hidden = !answer.text;
      const broken = { stopped: "It was stopped.", interrupted: "chomp ended while it answered." }[answer.status];
      put(this.fault, answer.error?.message ?? broken ?? "");
      this.fault.hidden = !this.fault.textContent;
      this.fault.toggleAttribute("data-quiet", !answer.error);
      put(this.note, [answer.cut && "Only the first 256 KiB are kept.", answer.finish_reason === "length" && "It ended at its most tokens."].filter(Boolean).join(" "));
      this.note.hidden = !this.note.textContent;
      this.picks.hidden = contender.answers.length < 2;
      [...this.picks.children].forEach((pick, which) => {
        pick.setAttribute("aria-pressed", String(which === at));
        pick.dataset.status = contender.answers[which].status;
        pick.setAttribute("aria-label", `Answer ${which + 1}: ${contender.answers[which].status}`);
      });
      this.tab.dataset.status = this.status;
      this.figures.hidden = run.hidden;
      this.measure();
    }
    measure() {
      if (run.hidden) return;
      const { answer } = this, { figures, answers } = this.contender, words = measureAnswer(answer, this.begun);
      for (const [name, , say] of FIGURES) {
        const { value, small } = this.cells[name];
        put(value, words[name]);
        value.toggleAttribute("data-moves", name === "wall_ms" && answer.status === "running");
        const median = answers.length > 1 && figures?.ok ? `median ${say(figures[name])}` : "", tokens = name === "completion_tokens" && [answer.estimated && "estimated", answer.prompt_tokens && `${count(answer.prompt_tokens)} in the prompt`];
        put(small, [median, ...(tokens || [])].filter(Boolean).join(" · "));
        small.hidden = !small.textContent;
      }
    }
  }

  function build() {  // the places of a run, when another one is shown or names come
    const wanted = JSON.stringify([run.id, run.hidden, run.contenders.map(({ label }) => label)]);
    if (wanted !== key) {
      key = wanted;
      lanes = run.contenders.map((contender) => new Lane(contender));
      lanesBox.replaceChildren(...lanes.map(({ box }) => box));
      lanesBox.scrollLeft = 0;
      tabs.replaceChildren(...lanes.map(({ tab }) => tab));
      one("#run-delete").open = false;
    }
    lanes.forEach((lane, at) => { lane.contender = run.contenders[at]; });
    turn();
  }
  function turn() {  // which contender the phone shows
    tabs.hidden = lanesBox.scrollWidth <= lanesBox.clientWidth + 1;
    const width = lanes[0]?.box.getBoundingClientRect().width ?? 0;
    if (!width) return;
    const gap = parseFloat(getComputedStyle(lanesBox).columnGap) || 0, first = Math.round(lanesBox.scrollLeft / (width + gap));
    const last = first + Math.max(1, Math.floor((lanesBox.clientWidth + gap + 2) / (width + gap))) - 1;
    lanes.forEach(({ tab }, at) => {
      const is = at >= first && at <= last;
      if (tab.getAttribute("aria-pressed") === String(is)) return;
      tab.setAttribute("aria-pressed", String(is));
      if (is && !tabs.hidden) tabs.scrollTo({ left: tab.offsetLeft - tabs.offsetLeft - 60 });
    });
  }
  lanesBox.addEventListener("scroll", turn, { passive: true });
  new ResizeObserver(turn).observe(lanesBox);

  function paint() {
    cancelAnimationFrame(painting);
    painting = requestAnimationFrame(() => {
      if (!run) return;
      lanes.forEach((lane) => lane.paint());
      const answers = run.contenders.flatMap((contender) => contender.answers), over = answers.filter(IS_OVER).length, goes = GOES_ON(run);
      put(one("#run-prompt"), run.prompt);
      badge(one("#run-state"), run.status);
      const facts = [new Date(run.at * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }), run.blind && "blind", run.mode === "sequential" && "one after the other", run.repeat > 1 && `${run.repeat} answers of each`, run.max_tokens && `at most ${run.max_tokens} tokens`, run.temperature !== null && `temperature ${run.temperature}`];
      const words = facts.filter(Boolean);
      if (one("#run-facts").children.length !== words.length) one("#run-facts").replaceChildren(...words.map(() => make("span")));
      words.forEach((fact, at) => put(one("#run-facts").children[at], fact));
      one("#run-system").hidden = !run.system;
      put(one("#run-system .pre"), run.system);
      const bar = one("#run-bar");
      bar.setAttribute("aria-valuemax", answers.length);
      bar.setAttribute("aria-valuenow", over);
      bar.hidden = !goes;
      bar.parentElement.classList.toggle("run-goes", goes);
      bar.firstElementChild.style.width = `${over / answers.length * 100}%`;
      put(one("#run-progress"), run.status === "judging" ? "the judge compares" : `${over} of ${answers.length} ${answers.length === 1 ? "answer" : "answers"} over`);
      one("#run-stop").hidden = !goes;
      one("#run-again").hidden = goes || (run.hidden && !sent());
      put(one("#run-delete-words"), `${goes ? "It is stopped, and it" : "It"}${run.vote ? " and its vote are" : " is"} forgotten for good.`);
      paintVote();
      paintAnalysis();
      paintJudge();
      turn();
    });
  }
  setInterval(() => lanes.forEach((lane) => { if (run && lane.answer?.status === "running") lane.measure(); }), 100);

  function paintVote() {
    const place = one("#vote"), answers = run.contenders.flatMap((contender) => contender.answers), hidden = run.hidden;
    place.hidden = !run.blind || (!hidden && !run.vote);
    all("[data-vote]", place).forEach((choice) => {
      choice.disabled = !hidden || GOES_ON(run) || !answers.every(({ status }) => status === "done");
      choice.hidden = !hidden;
      choice.parentElement.hidden = !hidden;
    });
    const [a, b] = run.contenders;
    put(one("#vote-words"), hidden ? GOES_ON(run) ? "You can vote when both have answered." : "Which answer is better? Names and figures come after your vote." : !run.vote ? "" : `You voted ${["A", "B"].includes(run.vote) ? "for " : ""}${WORDS[run.vote]}. A was ${a.label}, B was ${b.label}`);
    place.toggleAttribute("data-over", !hidden);
  }
  function paintAnalysis() {
    const { rankings, summary } = run, place = one("#analysis");
    place.hidden = !rankings || !summary;
    if (place.hidden || place.of === rankings) return;
    place.of = rankings;
    put(one("#analysis-words"), summary.words);
    const label = (contender) => run.contenders[contender]?.label ?? "";
    one("#rankings").replaceChildren(...METRICS.map(([metric, title, meaning, say]) => {
      const card = make("article", "tile grid content-start gap-2 p-4"), ranked = rankings[metric] ?? [], rows = make("ol", "grid gap-2.5"), most = Math.max(...ranked.map(({ value }) => value), 0);
      card.dataset.metric = metric;
      card.append(make("h3", "text-sm font-semibold", title), make("p", "text-xs leading-[18px] text-muted", meaning));
      rows.setAttribute("role", "list");
      for (const { contender, value, place: rank } of ranked) {
        const row = make("li", "rank"), line = make("i", "rank-bar");
        if (rank === 1 && ranked.length > 1) row.dataset.first = "";
        line.style.setProperty("--share", most ? Math.max(0.01, value / most) : 0);
        line.setAttribute("aria-hidden", "true");
        row.append(make("b", "rank-place", String(rank)), make("span", "rank-name", label(contender)), make("span", "rank-value", say(value)), line);
        rows.append(row);
      }
      if (ranked.length) card.append(rows);
      const none = run.contenders.filter(({ index }) => !ranked.some(({ contender }) => contender === index)).map((contender) => contender.label);
      if (none.length) card.append(make("p", "text-xs leading-[18px] text-muted [overflow-wrap:anywhere]", ranked.length ? `Not measured: ${marks(none)}` : "Not measured"));
      return card;
    }));
  }
  function paintJudge() {
    const { judge } = run, place = one("#judge");
    place.hidden = !judge;
    if (!judge || place.of === judge) return;
    place.of = judge;
    const title = make("h2", "flex flex-wrap items-center gap-2 text-sm font-semibold [overflow-wrap:anywhere]"), parts = [title];
    title.id = "judge-title";
    title.append(make("span", "min-w-0", `Opinion of ${judge.model}`));
    if (judge.status === "running") {
      const state = make("span", "badge badge-small");
      badge(state, "running");
      title.append(state);
    } else {
      const winner = judge.winner === null ? undefined : run.contenders[judge.winner];
      if (judge.status === "failed") parts.push(make("p", "text-[13px] leading-5 text-bad [overflow-wrap:anywhere]", `It has none: ${judge.error || "it failed"}.`));
      else {
        const words = make("p", "text-sm leading-[22px] [overflow-wrap:anywhere]", winner ? "It prefers " : "It prefers none of them.");
        if (winner) words.append(make("b", "font-semibold", winner.label));
        parts.push(words);
      }
      if (judge.reason) parts.push(make("p", "text-sm leading-[22px] whitespace-pre-wrap [overflow-wrap:anywhere]", judge.reason));
      else if (judge.text) {
        const words = make("p", "pre", judge.text);
        words.tabIndex = 0;
        parts.push(make("p", "text-xs text-muted", "What it wrote:"), words);
      }
      const letters = (judge.order ?? []).map((index, at) => `${"ABCDEFGHIJKLMNOP"[at]} was ${run.contenders[index].label}`).join(", ");
      parts.push(make("p", "text-xs leading-[18px] text-muted [overflow-wrap:anywhere]", `${letters && `To the judge ${letters}. `}What a model thinks: it counts in no ranking.${judge.cost_usd ? ` It cost ${dollars(judge.cost_usd)}.` : ""}`));
    }
    place.replaceChildren(...parts);
  }

  function show(found) {
    run = found;
    section.hidden = false;
    build();
    lanes.forEach((lane) => {
      const { answer } = lane;
      if (answer.status === "running") lane.begun ??= performance.now() - (answer.at ? Math.max(0, Date.now() - answer.at * 1000) : 0);
    });
    document.title = `${run.prompt.slice(0, 60)} · Arena · chomp`;
    markPast();
    paint();
  }

  // -- its stream, which begins anew after a silence

  const SILENCE_MS = 40000;  // the server says something every 15 s
  let follow;
  const TAKES = {
    start: ({ run: found }) => show(found),
    begin({ contender, attempt }) {
      run.contenders[contender].answers[attempt].status = "running";
      lanes[contender].begun = performance.now();
    },
    text({ contender, attempt, text = "", thinking = "" }) {
      const answer = run.contenders[contender].answers[attempt];
      answer.text += text;
      answer.thinking += thinking;
    },
    answer({ contender, attempt, answer }) { run.contenders[contender].answers[attempt] = answer; },
    analysis({ figures, rankings, summary }) {
      figures.forEach((one) => { run.contenders[one.contender].figures = one; });
      Object.assign(run, { rankings, summary });
    },
    judge({ judge }) { Object.assign(run, { judge }); if (judge.status === "running") run.status = "judging"; },
    end({ status }) { run.status = status; },
  };
  async function open(id) {  // resolves when the run is there
    follow?.abort();
    const mine = follow = new AbortController();
    return new Promise((there) => watch(id, mine, there));
  }
  async function watch(id, mine, there) {
    const path = `/api/arena/${encodeURIComponent(id)}`;
    let over = false, pause = 500;
    while (!over && follow === mine) {
      const tried = new AbortController();
      let silence;
      const listen = () => { clearTimeout(silence); silence = setTimeout(() => tried.abort(), SILENCE_MS); };
      const leave = () => tried.abort();
      mine.signal.addEventListener("abort", leave);
      try {
        listen();
        const answer = await chomp.fetch(`${path}/stream`, { signal: tried.signal });
        if (answer.status === 404) { there(); if (follow === mine) lose(); return; }
        if (!answer.ok) throw new Error(answer.status);
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let text = ""; ;) {
          const { value, done } = await reader.read();
          if (done || follow !== mine) break;
          listen();
          text += value;
          const lines = text.split("\n");
          text = lines.pop();
          for (const line of lines) {
            const event = JSON.parse(line);
            if (event.type !== "start" && run?.id !== id) continue;
            TAKES[event.type]?.(event);
            if (event.type === "start") { there(); pause = 500; }
            if (event.type === "end") over = true;
          }
          paint();
        }
        tried.abort();
      } catch { /* it is tried again */ }
      clearTimeout(silence);
      mine.signal.removeEventListener("abort", leave);
      if (over || follow !== mine) break;
      put(one("#run-progress"), "Connecting …");
      await new Promise((wake) => setTimeout(wake, pause));
      pause = Math.min(5000, pause * 2);
    }
    if (follow === mine && over) await again(id);
  }
  async function again(id) {  // the whole of it: a blind one that failed has names now, and all of them have an end
    try {
      const found = await api(`/api/arena/${encodeURIComponent(id)}`);
      if (run?.id === id) show(found);
    } catch { /* what is shown stays */ }
  }
  function lose() {
    close();
    say("");
    toast("This run is no longer there", { error: true });
  }
  function close() {
    follow?.abort();
    follow = run = undefined;
    section.hidden = true;
    one("#compose").open = true;
    document.title = "Arena · chomp";
    markPast();
  }

  // -- the address says which run

  const said = () => new URLSearchParams(location.search).get("run") ?? "";
  function say(id, push = false) {
    const address = id ? `/arena?run=${encodeURIComponent(id)}` : "/arena";
    if (location.pathname + location.search !== address) history[push ? "pushState" : "replaceState"](null, "", address);
  }
  async function visit() {
    const id = said();
    if (!id) return close();
    one("#compose").open = false;
    if (run?.id !== id) await open(id);
  }
  addEventListener("popstate", visit);

  // -- what one can do with it

  async function copy(text) {
    try { await navigator.clipboard.writeText(text); toast("Copied"); } catch { toast("Copying is not allowed here", { error: true }); }
  }
  function sent() {  // the body of the run that is shown, if this tab has sent it
    try { const { id, body } = JSON.parse(storage("sessionStorage")["arena-run"] ?? "{}"); return id === run.id ? body : undefined; } catch { return undefined; }
  }
  function sameAgain() {
    const plain = run.messages.length === 1 && run.messages[0].role === "user" && typeof run.messages[0].content === "string";
    const targets = run.contenders.map(({ model, system, name }) => ({ model, system, ...(name && { name }) }));
    const judge = run.wants_judge || run.judge?.model;
    return {
      ...(plain ? { prompt: run.messages[0].content } : { messages: run.messages }), targets, system: run.system, mode: run.mode, repeat: run.repeat, stream: run.stream, blind: run.blind,
      ...(run.max_tokens !== null && { max_tokens: run.max_tokens }), ...(run.temperature !== null && { temperature: run.temperature }), ...(judge && { judge }),
    };
  }
  function markdown() {
    const cell = (text) => String(text).replaceAll(/([\\|`*_<>[\]])/g, "\\$1").replaceAll(/\s+/g, " "), several = run.repeat > 1, lines = [];
    const fenced = (text) => {  // as it is, whatever Markdown or HTML is in it
      const fence = "`".repeat(Math.max(3, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length + 1)));
      return `${fence}\n${text}\n${fence}`;
    };
    lines.push("# Arena", "", fenced(run.prompt), "");
    if (!run.hidden) {
      lines.push(`| contender | ${FIGURES.map(([, words]) => words.toLowerCase()).join(" | ")} |`, "|---|---:|---:|---:|---:|---:|");
      for (const { label, figures, answers } of run.contenders) {
        const bad = answers.find(({ error }) => error);
        const values = FIGURES.map(([name, , say]) => `${say(figures?.[name])}${name === "completion_tokens" && figures?.estimated ? " (estimated)" : ""}`);
        lines.push(`| ${cell(label)} | ${(figures?.ok || !bad ? values : [cell(bad.error.message), "–", "–", "–", "–"]).join(" | ")} |`);
      }
      if (several) lines.push("", `Medians of ${run.repeat} answers.`);
      lines.push("");
    }
    if (run.summary) lines.push(cell(run.summary.words), "");
    if (run.judge?.status === "done") lines.push(cell(`Opinion of ${run.judge.model}: ${run.judge.winner === null ? "none is best" : run.contenders[run.judge.winner].label}. ${run.judge.reason}`.trim()), "");
    if (run.vote) lines.push(cell(`Vote: ${["A", "B"].includes(run.vote) ? run.contenders["AB".indexOf(run.vote)].label : WORDS[run.vote]}.`), "");
    for (const { label, answers } of run.contenders) {
      for (const [at, answer] of answers.entries()) lines.push(`## ${cell(label)}${several ? `, answer ${at + 1}` : ""}`, "", answer.text ? fenced(answer.text) : cell(answer.error ? `Failed: ${answer.error.message}` : answer.status), "");
    }
    return lines.join("\n");
  }
  const on = (id, work) => one(id).addEventListener("click", async ({ currentTarget }) => {
    currentTarget.disabled = true;
    try { await work(); } catch (error) { complain(error); }
    currentTarget.disabled = false;
  });
  const here = () => `/api/arena/${encodeURIComponent(run.id)}`;
  on("#run-stop", async () => { await api(`${here()}/stop`, "POST"); });
  on("#run-again", async () => { await start(sent() ?? sameAgain()); });
  on("#run-markdown", async () => { await copy(markdown()); });
  on("#run-json", async () => { await copy(JSON.stringify(await api(here()), null, 2)); });
  on("#run-delete button", async () => {
    await api(here(), "DELETE");
    close();
    say("");
    toast("The run is deleted");
    past();
    board();
    one("#past-title").scrollIntoView({ block: "center" });
  });
  all("[data-vote]").forEach((choice) => choice.addEventListener("click", async () => {
    all("[data-vote]").forEach((other) => { other.disabled = true; });
    try { show(await api(`${here()}/vote`, "POST", { winner: choice.dataset.vote })); } catch (error) { complain(error); paint(); }
    board();
    past();
  }));

  // -- runs that were, and what the votes come to

  const empty = (words) => make("li", "text-[13px] leading-5 text-muted", words);
  function markPast() {
    all("#past a").forEach((link) => { link.dataset.id === run?.id ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current"); });
  }
  let runs = "";
  async function past() {
    let found;
    try { found = (await api("/api/arena?limit=50")).runs; } catch { return; }
    const told = JSON.stringify(found);
    if (told === runs) return;
    runs = told;
    const focused = document.activeElement?.closest?.("#past a")?.dataset.id;
    one("#past").replaceChildren(...(found.length ? found.map((known) => {
      const item = make("li", "card"), link = make("a", "card-open past-open"), head = make("span", "flex items-start gap-3"), state = make("span", "badge badge-small"), age = document.createElement("time");
      link.href = `/arena?run=${encodeURIComponent(known.id)}`;
      link.dataset.id = known.id;
      badge(state, known.status);
      head.append(make("span", "clamp min-w-0 flex-1 text-sm leading-5 font-medium", known.prompt || "(no text)"), state);
      age.dateTime = new Date(known.at * 1000).toISOString();
      age.dataset.age = "";
      const facts = make("span", "meta mt-1"), when = make("span");
      when.append(age, " ago");
      facts.append(make("span", "min-w-0 [overflow-wrap:anywhere]", known.contenders.join(", ")), when);
      if (known.blind) facts.append(make("span", "", known.vote ? `voted ${WORDS[known.vote]}` : "blind"));
      link.append(head, facts);
      link.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
        event.preventDefault();
        say(known.id, true);
        visit().then(() => section.scrollIntoView({ block: "start" }));
      });
      item.append(link);
      return item;
    }) : [empty("None yet. They are kept on this machine.")]));
    chomp.times();
    markPast();
    if (focused) one(`#past a[data-id="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
  async function board() {
    let found;
    try { found = await api("/api/arena/leaderboard"); } catch { return; }
    const place = one("#board"), battles = found.models.reduce((sum, { battles: n }) => sum + n, 0) / 2;
    if (!found.models.length) return place.replaceChildren(make("p", "text-[13px] leading-5 text-muted", "No votes yet. Only blind votes on this machine are counted, each for a pair that answered the same prompt."));
    const box = make("div", "box board-box"), table = make("table", "table"), head = make("tr"), body = make("tbody");
    const say = (text, title) => Object.assign(make("th", "", text), { scope: "col", title });
    head.append(say("Model", ""), say("Share", "wins and half of the ties, of the battles that were not both bad"), say("Battles", "blind votes that it was in"), say("W", "won"), say("L", "lost"), say("Tie", "ties"), say("Bad", "both bad"));
    for (const { label, wins, losses, ties, both_bad, battles: n, share } of found.models) {
      const row = make("tr");
      row.append(make("td", "", label), ...[share === null ? "–" : `${Math.round(share * 100)}%`, n, wins, losses, ties, both_bad].map((value) => make("td", "", String(value))));
      body.append(row);
    }
    table.append(make("thead"), body);
    table.firstChild.append(head);
    Object.assign(box, { tabIndex: 0, role: "region", ariaLabel: "Leaderboard" });
    box.append(table);
    const fold = make("details", "fold"), pairs = make("ul", "grid gap-1.5 pb-2 text-[13px] leading-5");
    pairs.setAttribute("role", "list");
    for (const { a, b, wins_a, wins_b, ties, both_bad } of found.pairs) {
      const more = [ties && `${ties} ${ties === 1 ? "tie" : "ties"}`, both_bad && `${both_bad} both bad`].filter(Boolean).join(", "), item = make("li", "[overflow-wrap:anywhere]", `${a} `);
      item.append(make("b", "tabular-nums", `${wins_a} : ${wins_b}`), ` ${b}${more ? ` (${more})` : ""}`);
      pairs.append(item);
    }
    fold.open = Boolean(one("details", place)?.open);
    fold.append(make("summary", "text-[13px] font-semibold text-muted", "Pairs"), pairs);
    place.replaceChildren(box, make("p", "text-xs leading-[18px] text-muted", `${battles} ${battles === 1 ? "battle" : "battles"}: blind votes on this machine only, each for a pair that answered the same prompt. It says nothing about anybody else's prompts.`), fold);
  }
  document.body.addEventListener("refreshArena", () => { past(); board(); });
  document.body.addEventListener("back", () => { past(); board(); learn(); });

  // -- tasks of one prompt

  htmx.registerExtension("keep", { htmx_before_morph_attr: (element, { attrName }) => !(attrName === "open" && element.matches("details")) });
  document.addEventListener("toggle", ({ target }) => { if (target.open && target.dataset?.loads) htmx.trigger(one(target.dataset.loads), "load-fold"); }, true);
  document.addEventListener("succeeded", ({ detail: { answer } }) => {
    if (answer.closed) toast(`Task ${answer.task.id} is chosen; ${marks(answer.closed.map((id) => `#${id}`))} deleted`, { undo: answer.closed });
  });

  remember();
  learn();
  visit();
  past();
  board();
})();
