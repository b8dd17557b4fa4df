// The search of the documentation, and a button that copies each block of code.
(() => {
  "use strict";
  const field = document.getElementById("docs-search"), found = document.getElementById("docs-found"), contents = document.getElementById("docs-contents");
  const HEADINGS = "h2, h3, h4";

  // what stands under one heading is found, and shown, together
  const parts = [...document.querySelectorAll("[data-section]")].flatMap((section) => {
    const groups = [];
    for (const element of section.children) {
      if (!groups.length || element.matches(HEADINGS)) groups.push({ section, elements: [] });
      groups.at(-1).elements.push(element);
    }
    return groups.map((group) => ({ ...group, text: group.elements.map((one) => one.textContent).join(" ").toLowerCase() }));
  });
  const links = [...contents.querySelectorAll("a")];

  function search() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const hits = parts.filter(({ text }) => words.every((word) => text.includes(word)));
    const shown = new Set(hits.flatMap(({ elements }) => elements));
    for (const { section, elements } of parts) {
      for (const element of elements) element.hidden = !shown.has(element);
      section.hidden = !hits.some((hit) => hit.section === section);
    }
    for (const link of links) link.hidden = Boolean(document.getElementById(link.hash.slice(1))?.closest("[hidden]"));
    found.hidden = !words.length;
    found.textContent = hits.length ? `${hits.length} part${hits.length === 1 ? "" : "s"} with these words` : "Nothing has all these words.";
    highlight(words, shown);
  }
  function highlight(words, shown) {  // where the browser can
    if (!CSS.highlights) return;
    const ranges = [];
    for (const element of words.length ? shown : []) {
      const walk = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
      while (walk.nextNode()) {
        const text = walk.currentNode.data.toLowerCase();
        for (const word of words) for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
          const range = new Range();
          range.setStart(walk.currentNode, at);
          range.setEnd(walk.currentNode, at + word.length);
          ranges.push(range);
        }
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }

  let timer;
  field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 100); });
  field.addEventListener("keydown", (event) => { if (event.key === "Escape") { field.value = ""; search(); field.blur(); } });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    field.focus();
  });
  contents.addEventListener("click", ({ target }) => { if (target.closest("a") && !beside.matches) contents.open = false; });

  const beside = matchMedia("(width >= 64rem)");
  const place = () => { contents.open = beside.matches; };
  beside.addEventListener("change", place);
  place();

  // where one is: the last heading of the list above a line near the top
  const headings = links.map((link) => document.getElementById(link.hash.slice(1)));
  function follow() {
    const shown = headings.filter((one) => one.checkVisibility());
    const at = shown.findLast((one) => one.getBoundingClientRect().top < innerHeight / 4) ?? shown[0];
    const first = at?.closest("[data-section]").querySelector(HEADINGS);
    links.forEach((link, number) => {
      headings[number] === at ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
      link.toggleAttribute("data-in", headings[number] === first);
    });
  }
  let due = false;
  addEventListener("scroll", () => { if (!due) { due = true; requestAnimationFrame(() => { due = false; follow(); }); } }, { passive: true });
  addEventListener("hashchange", () => {  // what is looked for may be hidden by a search
    if (!document.getElementById(location.hash.slice(1))?.checkVisibility()) { field.value = ""; search(); document.getElementById(location.hash.slice(1))?.scrollIntoView(); }
  });
  follow();

  for (const block of document.querySelectorAll(".prose pre")) {
    const words = Object.assign(document.createElement("span"), { textContent: "Copy" });
    const button = Object.assign(document.createElement("button"), { type: "button", className: "copy" });
    button.append(words);
    button.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(block.textContent); words.textContent = "Copied"; } catch { words.textContent = "Not allowed here"; }
      setTimeout(() => { words.textContent = "Copy"; }, 1500);
    });
    const box = document.createElement("div");
    box.className = "code";
    block.replaceWith(box);
    box.append(block, button);
  }
})();
