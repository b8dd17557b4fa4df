// The page of experiments: clocks that run, times to the second, and folds that a refresh leaves as they are.
(() => {
  "use strict";
  const { all, put } = chomp;
  htmx.registerExtension("keep", { htmx_before_morph_attr: (element, { attrName }) => !(attrName === "open" && element.matches("details")) });

  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const two = (number) => String(number).padStart(2, "0");
  function length(ms) {  // 4:05, 1:04:05
    const s = Math.max(0, Math.floor(ms / 1000)), h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
    return `${h ? `${h}:${two(m)}` : two(m)}:${two(s % 60)}`;
  }
  function tick() {
    for (const element of all("time[data-runs]")) put(element, length((element.dataset.runs ? Date.parse(element.dataset.runs) : Date.now()) - Date.parse(element.dateTime)));
    for (const element of all("time[data-clock]")) put(element, clock.format(new Date(element.dateTime)));
  }
  document.addEventListener("htmx:after:swap", tick);
  setInterval(tick, 1000);
  tick();

  document.addEventListener("succeeded", ({ detail: { source } }) => {  // it is deleted: what is left is the list
    if (source.matches("[data-forgets]")) location.assign("/experiments");
  });
})();
