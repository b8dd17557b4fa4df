// The control tower: rows that fill, charts, and the story of one request, from /api/tower/stream.
// Whatever comes is put into the page as text.
(() => {
  "use strict";
  const one = (selector, from = document) => from.querySelector(selector);
  const make = (tag, className = "", text = "") => Object.assign(document.createElement(tag), { className, textContent: text });
  const form = one("#tower-filter"), story = one("#story"), KEPT = 60;
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
  const seconds = (ms) => ms < 10000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
  const clock = (at) => new Date(at * 1000).toLocaleTimeString(undefined, { hour12: false });
  for (const [name, value] of new URLSearchParams(location.search)) if (form.elements[name]) form.elements[name].value = value;

  // -- rows

  const keyOf = (facts) => `request-${facts.replica ? `${facts.replica}-` : ""}${facts.number}`;
  const names = {};  // of replicas, where there are several
  function row(facts, list) {
    const id = keyOf(facts);
    let shown = document.getElementById(id);
    if (!shown) {
      shown = make("li", "row tile");
      shown.id = id;
      const open = make("button", "row-open");
      open.type = "button";
      open.append(make("span", "row-state"), make("span", "row-model mono"), make("span", "row-where"), make("span", "row-facts"), make("span", "row-time"));
      const falls = make("span", "row-falls");
      falls.setAttribute("aria-hidden", "true");
      open.append(falls);
      open.addEventListener("click", () => tell(facts.number, facts.replica));
      shown.append(open);
    }
    if (shown.parentElement !== list) list.prepend(shown);
    return shown;
  }
  function fill(shown, state, words) {
    shown.dataset.state = state;
    for (const [name, text] of Object.entries(words)) {
      const place = one(`.row-${name}`, shown);
      if (place.textContent !== text) place.textContent = text;
    }
  }
  function falls(shown, attempts, ms) {  // the waterfall: those that failed, one after the other, then the last one
    const place = one(".row-falls", shown);
    place.replaceChildren();
    if (!attempts.length) return;
    for (const attempt of attempts) {
      const bar = make("i");
      bar.style.width = `${Math.max(1, Math.min(95, attempt.ms / ms * 100))}%`;
      bar.title = `${attempt.router}: ${attempt.status}`;
      place.append(bar);
    }
    place.append(Object.assign(make("i"), { title: "now" }));
  }
  function running(facts) {
    const shown = row(facts, one("#running"));
    const where = facts.position ? `${facts.router}, #${facts.position} for ${seconds(facts.waited_ms)}` : facts.router || "–";
    const parts = [facts.replica && `on ${names[facts.replica] ?? facts.replica}`, facts.caller, facts.task && `task ${facts.task}`, facts.attempts > 1 && `attempt ${facts.attempts}`, facts.tokens && `${compact.format(facts.tokens)} tokens`, facts.tokens_per_s && `${facts.tokens_per_s} tok/s`];
    fill(shown, facts.state.replace(" ", "-"), { state: facts.state, model: facts.model || facts.sent_model || "auto", where, facts: parts.filter(Boolean).join(" · "), time: seconds(facts.ms) });
    falls(shown, facts.records, Math.max(1, facts.ms));
  }
  function over(facts) {
    document.getElementById(keyOf(facts))?.remove();
    const shown = row(facts, one("#ended"));
    const failed = facts.error_type && !facts.error_type.startsWith("caller_");
    const parts = [facts.replica && `on ${names[facts.replica] ?? facts.replica}`, facts.caller, facts.task && `task ${facts.task}`, facts.attempts > 1 && `${facts.attempts} attempts`, facts.ttft_ms !== null && `first token ${Math.round(facts.ttft_ms)} ms`, facts.completion_tokens && `${compact.format(facts.prompt_tokens)} + ${compact.format(facts.completion_tokens)} tokens${facts.estimated ? " (estimated)" : ""}`, facts.tokens_per_s && `${facts.tokens_per_s} tok/s`, facts.error_type];
    fill(shown, failed ? "failed" : facts.error_type ? "left" : "done", { state: String(facts.status), model: facts.asked_model || facts.sent_model || "auto", where: facts.router || "–", facts: parts.filter(Boolean).join(" · "), time: seconds(facts.duration_ms) });
    falls(shown, facts.attempts_failed, Math.max(1, facts.duration_ms));
  }

  // -- frames

  let series;
  function replicas(found) {
    const list = one("#replicas");
    one("#replicas-part").hidden = found.length < 2;
    list.replaceChildren(...found.map((replica) => {
      names[replica.id] = replica.name;
      const shown = make("li", "tile flex items-center gap-3 px-3 py-2 text-xs leading-4");
      shown.dataset.replica = replica.id;
      const badge = make("span", "badge badge-small", replica.alive ? "up" : "not heard of");
      badge.dataset.state = replica.alive ? "done" : "failed";
      const facts = [replica.version, replica.running !== null && `${replica.running} running`, replica.over !== null && `${replica.over} requests/s`];
      shown.append(make("b", "min-w-0 flex-1 truncate font-semibold", replica.name), make("span", "text-muted", facts.filter(Boolean).join(" · ")), badge);
      return shown;
    }));
  }
  function show(frame) {
    if (frame.replicas) replicas(frame.replicas);
    const there = new Set();
    for (const facts of frame.live.toReversed()) { running(facts); there.add(keyOf(facts)); }
    for (const shown of [...one("#running").children]) if (!there.has(shown.id)) shown.remove();
    for (const facts of frame.ended) over(facts);
    const ended = one("#ended");
    while (ended.children.length > KEPT) ended.lastElementChild.remove();
    const note = one("#left-out");
    note.hidden = !frame.left_out && frame.running <= frame.live.length;
    if (!note.hidden) note.textContent = `Too many to show all: ${compact.format(frame.left_out)} more since a moment ago, ${Math.max(0, frame.running - frame.live.length)} more running.`;
    const last = frame.series.at.length - 2;
    one("#now").textContent = frame.count || frame.running ? `${frame.running} running · ${frame.series.requests[last].toFixed(1)} requests/s · ${compact.format(frame.series.tokens[last])} tokens/s · ${frame.series.errors[last].toFixed(1)} errors/s` : "No traffic yet";
    const list = one("#happenings");
    const newest = Number(list.firstElementChild?.dataset.seq ?? 0);
    for (const happening of frame.happenings) {
      if (happening.seq <= newest) continue;
      const shown = make("li", "flex gap-2");
      shown.dataset.seq = happening.seq;
      const words = Object.entries(happening.data).map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ");
      shown.append(make("span", "mono text-muted flex-none", clock(happening.at)), make("span", "min-w-0 [overflow-wrap:anywhere]", `${happening.kind.replaceAll("_", " ")}: ${words}`));
      list.prepend(shown);
    }
    while (list.children.length > 30) list.lastElementChild.remove();
    series = frame.series;
  }

  // -- charts

  const CHARTS = [["Requests/s", ["requests"]], ["Tokens/s", ["tokens"]], ["First token, ms", ["p50", "p95"]], ["Errors/s", ["errors"]]];
  let drawn = [];
  function draw() {
    const box = one("#charts");
    drawn.forEach(({ chart }) => chart.destroy());
    drawn = [];
    box.replaceChildren();
    if (!series) return;
    const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    for (const [title, names] of CHARTS) {
      const card = make("div", "tile overflow-hidden p-3");
      card.append(make("span", "caps text-muted", title));
      box.append(card);
      const axis = { stroke: color("--muted"), grid: { show: false }, ticks: { show: false }, font: "10px Sora, system-ui" };
      const chart = new uPlot({
        width: card.clientWidth - 26, height: 84, cursor: { show: false }, legend: { show: false }, padding: [8, 4, 6, 0],
        scales: { x: { time: true }, y: { range: (_, low, high) => [0, high || 1] } },
        series: [{}, ...names.map((name, at) => ({ stroke: color(at ? "--muted" : "--gold"), width: 2, points: { show: false }, spanGaps: true }))],
        axes: [{ show: false }, { ...axis, size: 34, space: 30, values: (_, ticks) => ticks.map((n) => compact.format(n)) }],
      }, [series.at, ...names.map((name) => series[name])], card);
      drawn.push({ chart, names });
    }
  }
  setInterval(() => {
    if (!series || document.hidden) return;
    if (!drawn.length) draw();
    for (const { chart, names } of drawn) chart.setData([series.at, ...names.map((name) => series[name])]);
  }, 1000);
  document.addEventListener("theme", draw);
  let drawing;
  addEventListener("resize", () => { clearTimeout(drawing); drawing = setTimeout(draw, 150); });
  setInterval(() => {
    for (const time of document.querySelectorAll(".countdown")) {
      const left = Math.max(0, Math.round((Date.parse(time.dateTime) - Date.now()) / 1000));
      time.textContent = left ? `${left} s` : "now over";
    }
  }, 1000);

  // -- the stream, which begins anew after a silence, and whenever the filter is another

  let follow;
  async function connect() {
    follow?.abort();
    const mine = follow = new AbortController();
    one("#running").replaceChildren();
    one("#ended").replaceChildren();
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
    let silence;
    const listen = () => { clearTimeout(silence); silence = setTimeout(() => mine.abort(), 15000); };
    try {
      listen();
      const answer = await chomp.fetch(`/api/tower/stream?${query}`, { signal: mine.signal });
      if (!answer.ok) throw new Error(answer.status);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = ""; ;) {
        const { value, done } = await reader.read();
        if (done) break;
        listen();
        text += value;
        const frames = text.split("\n\n");
        text = frames.pop();
        for (const frame of frames) if (frame.startsWith("data: ")) show(JSON.parse(frame.slice(6)));
      }
    } catch { /* it is tried again */ }
    clearTimeout(silence);
    if (follow !== mine) return;
    one("#now").textContent = "Connecting …";
    setTimeout(() => { if (follow === mine) connect(); }, 1000);
  }
  let typing;
  form.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(connect, 300); });
  form.addEventListener("submit", (event) => event.preventDefault());
  connect();

  // -- the story of a request

  async function tell(number, replica) {
    const answer = await chomp.fetch(`/api/tower/requests/${number}${replica ? `?replica=${replica}` : ""}`).catch(() => undefined);
    const body = one("#story-body");
    body.replaceChildren();
    if (!answer?.ok) body.append(make("p", "text-sm text-muted", "It is still running, or too long ago."));
    else {
      const facts = await answer.json();
      const list = make("dl", "grid grid-cols-[auto_1fr] gap-x-4 gap-y-1.5 text-[13px] leading-5");
      const say = (name, value) => { if (value !== null && value !== "" && value !== undefined) list.append(make("dt", "text-muted", name), make("dd", "min-w-0 [overflow-wrap:anywhere]", String(value))); };
      say("Id", facts.id);
      say("At", new Date(facts.at * 1000).toLocaleString());
      say("Asked", `${facts.api}, ${facts.asked_model || "auto"}${facts.stream ? ", streamed" : ""}`);
      say("By", `${facts.caller}${facts.task ? `, task ${facts.task} ${facts.session}` : ""}`);
      say("Answered by", facts.router && `${facts.router}, ${facts.sent_model}, ${facts.key}`);
      say("Status", `${facts.status} ${facts.error_type}`);
      say("Why", facts.error);
      say("Time", `${seconds(facts.duration_ms)}${facts.ttft_ms === null ? "" : `, first token ${Math.round(facts.ttft_ms)} ms`}${facts.tokens_per_s ? `, ${facts.tokens_per_s} tok/s` : ""}`);
      say("Tokens", `${facts.prompt_tokens} + ${facts.completion_tokens}${facts.cached_tokens ? `, ${facts.cached_tokens} cached` : ""}${facts.estimated ? ", estimated" : ""}`);
      say("Cost", facts.cost_usd === null ? "no price" : `$${facts.cost_usd.toFixed(6)}`);
      body.append(list);
      const part = (title, rows) => {
        if (!rows.length) return;
        body.append(make("h3", "caps mt-4 mb-2 text-muted", title));
        const table = make("dl", "grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 text-xs leading-4 mono");
        for (const [name, value] of rows) table.append(make("dt", "text-muted", name), make("dd", "min-w-0 [overflow-wrap:anywhere]", value));
        body.append(table);
      };
      part("Attempts that failed", facts.attempts_failed.map((attempt) => [`${attempt.ms} ms`, `${attempt.router}, ${attempt.key}: ${attempt.status} ${attempt.error}`]));
      part("Headers of the request", facts.request_headers);
      part("Headers of the answer", facts.answer_headers);
      for (const [title, text] of [["What was asked", facts.request_body], ["What was answered", facts.answer_body]]) {
        if (!text) continue;
        const shown = make("pre", "mono max-h-80 overflow-auto rounded-xl bg-soft p-3 text-xs leading-4 whitespace-pre-wrap [overflow-wrap:anywhere]", text);
        shown.tabIndex = 0;
        body.append(make("h3", "caps mt-4 mb-2 text-muted", title), shown);
      }
      const copy = make("button", "btn btn-second btn-wide mt-4", "Copy as curl");
      copy.type = "button";
      copy.addEventListener("click", async () => {
        const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
        const path = { chat: "/v1/chat/completions", completions: "/v1/completions", embeddings: "/v1/embeddings", messages: "/v1/messages", responses: "/v1/responses", count_tokens: "/v1/messages/count_tokens" }[facts.api];
        const fields = facts.api === "embeddings" ? { model: facts.asked_model, input: "…" } : facts.api === "responses" ? { model: facts.asked_model, input: "…" } : { model: facts.asked_model, messages: [{ role: "user", content: "…" }], ...(facts.stream && { stream: true }) };
        await navigator.clipboard.writeText(`curl ${quote(location.origin + path)} \\\n  -H "Authorization: Bearer $CHOMP_API_TOKEN" -H 'Content-Type: application/json' \\\n  -d ${quote(facts.request_body || JSON.stringify(fields))}`);
        copy.textContent = facts.request_body ? "Copied" : "Copied; the prompt is not kept, and yours to fill in";
      });
      if (facts.api !== "gemini") body.append(copy);
    }
    story.showModal();
  }
  story.addEventListener("click", (event) => { if (event.target === story || event.target.closest("[data-close]")) story.close(); });
})();
