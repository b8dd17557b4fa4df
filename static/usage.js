// The small charts of the usage page: measured sums a day, from GET /api/usage.
(() => {
  "use strict";
  const box = document.getElementById("charts"), form = document.getElementById("usage-form");
  const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }), short = (n) => compact.format(n);
  const dollars = (n) => new Intl.NumberFormat("en", { style: "currency", currency: "USD", maximumFractionDigits: n && n < 0.01 ? 4 : 2 }).format(n);
  const CHARTS = [
    ["Tokens", (row) => (row.prompt_tokens ?? 0) + (row.completion_tokens ?? 0), short],
    ["Cost", (row) => row.cost_usd, dollars],
    ["Requests", (row) => row.requests, short],
    ["Time to first token", (row) => row.ttft_ms, (n) => `${Math.round(n)} ms`],
  ];
  let drawn = [], rows = [];

  for (const [name, value] of new URLSearchParams(location.search)) {  // as the address has it
    const field = [...form.elements].find((one) => one.name === name && one.value === value);
    if (field) field.checked = true;
  }

  function draw() {
    drawn.forEach((chart) => chart.destroy());
    drawn = [];
    box.replaceChildren();
    if (rows.length < 2) return;  // one point is no course
    const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const days = rows.map((row) => Date.parse(row.day) / 1000);
    for (const [title, value, words] of CHARTS) {
      const values = rows.map((row) => value(row) ?? null);
      if (values.every((one) => one === null)) continue;
      const card = Object.assign(document.createElement("div"), { className: "tile overflow-hidden p-4" });
      const total = title.startsWith("Time") ? "" : words(values.reduce((sum, one) => sum + (one ?? 0), 0));
      const head = Object.assign(document.createElement("div"), { className: "mb-2 flex items-baseline justify-between" });
      head.append(Object.assign(document.createElement("span"), { className: "caps text-muted", textContent: title }),
        Object.assign(document.createElement("span"), { className: "text-base font-bold", textContent: total }));
      card.append(head);
      box.append(card);
      const axis = { stroke: color("--muted"), grid: { show: false }, ticks: { show: false }, font: "11px Sora, system-ui" };
      drawn.push(new uPlot({
        width: card.clientWidth - 34, height: 130, cursor: { show: false }, legend: { show: false }, padding: [8, 20, 0, 0],
        scales: { x: { time: true }, y: { range: (_, low, high) => [0, high || 1] } },
        series: [{}, { stroke: color("--gold"), width: 2, fill: `${color("--gold")}22`, points: { show: rows.length < 15, size: 5, fill: color("--gold") } }],
        axes: [{ ...axis, size: 28, values: (_, ticks) => ticks.map((at) => new Date(at * 1000).toLocaleDateString(undefined, { month: "short", day: "numeric", timeZone: "UTC" })), space: 70 },
          { ...axis, size: 58, values: (_, ticks) => ticks.map(words), space: 36, grid: { stroke: color("--line"), width: 1 } }],
      }, [days, values], card));
    }
  }

  async function fetchDays() {
    const since = new FormData(form).get("since");
    const answer = await chomp.fetch(`/api/usage?by=day&since=${since}`).catch(() => undefined);
    if (!answer?.ok) return;
    rows = (await answer.json()).rows.sort((a, b) => a.day.localeCompare(b.day));
    draw();
  }
  form.addEventListener("change", ({ target }) => { if (target.name === "since") fetchDays(); });
  document.addEventListener("theme", draw);
  document.addEventListener("back", fetchDays);
  let timer;
  window.addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(draw, 150); });
  document.fonts.ready.then(fetchDays);
})();
