// The figures and small charts of the usage page, from GET /api/usage: sums a day, or an hour while there are few days.
(() => {
  "use strict";
  const { one, all } = chomp;
  const charts = one("#charts"), tiles = one("#tiles"), form = one("#usage-form"), table = one("#usage-table");
  const HOUR_S = 3600, DAY_S = 86400;
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }), short = (n) => compact.format(n).replace("K", "k");
  const dollars = (n) => new Intl.NumberFormat("en", { style: "currency", currency: "USD", maximumFractionDigits: n && n < 0.01 ? 4 : 2 }).format(n);
  const percent = (part, whole) => `${new Intl.NumberFormat("en", { maximumFractionDigits: 1 }).format(whole ? part / whole * 100 : 0)} %`;
  const make = (tag, className, text = "") => Object.assign(document.createElement(tag), { className, textContent: text });
  const CHARTS = [  // title, value of a row, how it is written, whether nothing in a time is 0
    ["Tokens", (row) => (row.prompt_tokens ?? 0) + (row.completion_tokens ?? 0), short, true],
    ["Cost", (row) => row.cost_usd, dollars, true],
    ["Requests", (row) => row.requests, short, true],
    ["Time to first token", (row) => row.ttft_ms, (n) => `${Math.round(n)} ms`, false],
  ];
  let drawn = [], rows = [], by = "day", total;

  for (const [name, value] of new URLSearchParams(location.search)) {  // as the address has it
    const field = [...form.elements].find((field) => field.name === name && field.value === value);
    if (field) field.checked = true;
  }
  const reveal = () => form.querySelector("[name=by]:checked").parentElement.scrollIntoView({ block: "nearest", inline: "center" });
  reveal();
  const chosen = () => ({ by: form.elements.by.value, since: form.elements.since.value });

  // -- figures over the whole time

  const sum = (value) => rows.reduce((all, row) => all + (value(row) ?? 0), 0);
  function showTiles() {
    tiles.hidden = !rows.length;
    const requests = sum((row) => row.requests), errors = sum((row) => row.errors), prompt = sum((row) => row.prompt_tokens);
    const unpriced = sum((row) => row.unpriced), priced = rows.some((row) => row.cost_usd !== null);
    const figures = [
      ["Tokens", short(prompt + sum((row) => row.completion_tokens)), `${short(prompt)} in, ${short(sum((row) => row.completion_tokens))} out`],
      ["Cost", priced ? dollars(sum((row) => row.cost_usd)) : "no price", unpriced && priced ? `${short(unpriced)} requests have no known price` : ""],
      ["Requests", short(requests), ""],
      ["Errors", short(errors), `${percent(errors, requests)} of requests`],
      ["Cached", short(sum((row) => row.cached_tokens)), `${percent(sum((row) => row.cached_tokens), prompt)} of what was sent in`],
    ];
    if (total?.ttft_ms != null) figures.push(["First token", `${Math.round(total.ttft_ms)} ms`, "on average"]);
    tiles.replaceChildren(...figures.map(([title, value, words]) => {
      const tile = make("div", "tile p-4");
      tile.append(make("p", "caps text-muted", title), make("p", "mt-1 text-xl leading-7 font-bold", value), make("p", "text-xs leading-4 text-muted", words));
      return tile;
    }));
  }

  // -- charts: a bar for what adds up, a line for what is an average

  function times() {  // of every hour or day since the first with data, the empty ones too
    const step = by === "hour" ? HOUR_S : DAY_S, found = new Map(rows.map((row) => [Date.parse(row[by]) / 1000, row]));
    const last = Math.floor(Date.now() / 1000 / step) * step, least = last - (by === "hour" ? 11 : 6) * step;
    const at = [];
    for (let time = Math.min(least, ...found.keys()); time <= last; time += step) at.push(time);
    return { at, found, step };
  }
  function labels(spread) {
    const form = by === "day" ? { month: "short", day: "numeric", timeZone: "UTC" } : spread > 1.5 * DAY_S ? { weekday: "short", hour: "numeric" } : { hour: "numeric", minute: "2-digit" };
    return (_, ticks) => ticks.map((at) => new Date(at * 1000).toLocaleString(undefined, form));
  }
  function draw() {
    drawn.forEach((chart) => chart.destroy());
    drawn = [];
    charts.replaceChildren();
    if (!rows.length) return;
    const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const { at, found, step } = times();
    for (const [title, value, words, adds] of CHARTS) {
      const values = at.map((time) => { const row = found.get(time); return row ? value(row) ?? null : adds ? 0 : null; });
      if (!values.some((one, n) => one !== null && found.has(at[n]))) continue;  // nobody knows it
      const card = make("div", "tile overflow-hidden p-4");
      card.append(make("p", "caps mb-2 text-muted", `${title}, by the ${by}`));
      charts.append(card);
      const axis = { stroke: color("--muted"), grid: { show: false }, ticks: { show: false }, font: "11px Sora, system-ui" };
      const look = adds ? { paths: uPlot.paths.bars({ size: [0.7, 40], radius: 0.15 }), points: { show: false }, width: 0, fill: color("--gold") }
        : { width: 2, points: { show: true, size: 5, fill: color("--gold") }, spanGaps: true };
      drawn.push(new uPlot({
        width: card.clientWidth - 34, height: 124, cursor: { show: false }, legend: { show: false }, padding: [8, 12, 0, 0],
        scales: { x: { time: true, range: () => [at[0] - step / 2, at.at(-1) + step / 2] }, y: { range: (_, low, high) => [0, high ? high * 1.08 : 1] } },
        series: [{}, { stroke: color("--gold"), ...look }],
        axes: [{ ...axis, size: 20, values: labels(at.at(-1) - at[0]), space: 76 },
          { ...axis, size: 54, values: (_, ticks) => ticks.map(words), space: 36, grid: { stroke: color("--line"), width: 1 } }],
      }, [at, values], card));
    }
  }

  let asked = 0;
  async function fetchRows() {
    const mine = asked += 1, { since } = chosen();
    const ask = async (by) => {
      const answer = await chomp.fetch(`/api/usage?by=${by}&since=${since}`).catch(() => undefined);
      return answer?.ok ? answer.json() : undefined;
    };
    let wanted = since === "24h" ? "hour" : "day", report = await ask(wanted);
    if (wanted === "day" && report?.rows.length < 3) [wanted, report] = ["hour", await ask("hour")];  // the first days: hours tell more
    if (!report || mine !== asked) return;
    [by, rows, total] = [wanted, report.rows, report.total];
    showTiles();
    draw();
  }

  // -- the table: sorted as somebody likes it, and taken along

  let sorted;  // {column, down}: it survives another table
  function sort() {
    const heads = all("th", table);
    if (!sorted || !heads[sorted.column]) return;
    const key = (row) => row.cells[sorted.column].dataset.value;
    const compare = (a, b) => {
      if (a === "" || b === "") return (a === "") - (b === "");  // what nobody knows is last, either way
      const order = Number.isNaN(Number(a)) || Number.isNaN(Number(b)) ? a.localeCompare(b) : a - b;
      return sorted.down ? -order : order;
    };
    one("tbody", table).append(...all("tbody tr", table).sort((a, b) => compare(key(a), key(b))));
    heads.forEach((head, column) => column === sorted.column ? head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending") : head.removeAttribute("aria-sort"));
  }
  table.addEventListener("click", ({ target }) => {
    const column = target.closest("[data-sort]")?.closest("th").cellIndex;
    if (column === undefined) return;
    sorted = { column, down: sorted?.column === column ? !sorted.down : column > 0 };  // names from a, figures from the most
    sort();
  });
  document.addEventListener("htmx:after:swap", sort);

  one("#usage-csv").addEventListener("click", async (event) => {  // a link has no key: the file is fetched with it
    event.preventDefault();
    const { by, since } = chosen();
    const answer = await chomp.fetch(`/api/usage?by=${by}&since=${since}&format=csv`).catch(() => undefined);
    if (!answer?.ok) return chomp.toast(answer ? (await answer.json()).error.message : "chomp cannot be reached", { error: true });
    const url = URL.createObjectURL(await answer.blob());
    Object.assign(document.createElement("a"), { href: url, download: `chomp-usage-by-${by}-${since}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
  });

  form.addEventListener("change", ({ target }) => {
    history.replaceState(history.state, "", `?${new URLSearchParams(chosen())}`);
    if (target.name === "since") fetchRows(); else reveal();
  });
  document.addEventListener("theme", draw);
  document.addEventListener("back", fetchRows);
  let timer;
  window.addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(draw, 150); });
  document.fonts.ready.then(fetchRows);
})();
