// The page of accounts: its sheet, and what a refresh leaves as it is. chomp.js comes before.
(() => {
  "use strict";
  const { one, all } = chomp;
  const sheet = one("#add-account");

  htmx.registerExtension("keep", {  // folds that are open, fields that somebody has written in
    htmx_before_morph_attr: (element, { attrName }) => !(attrName === "open" && element.matches("details")),
    htmx_before_morph_node: (element) => !element.matches?.("[data-dirty]"),
  });
  document.addEventListener("input", ({ target }) => { if (target.closest("#accounts")) target.dataset.dirty = ""; });
  document.addEventListener("succeeded", ({ detail: { source } }) => {  // its fold has done its work
    const fold = source.closest?.("#accounts details");
    if (!fold) return;
    all("input:not([type=hidden])", fold).forEach((field) => { field.value = ""; });
    fold.open = false;
    one("summary", fold).focus();
  });
  document.addEventListener("click", ({ target }) => { if (target.closest("[data-sheet='add-account']")) sheet.showModal(); });
  sheet.addEventListener("click", ({ target }) => { if (target === sheet || target.closest("button[data-close]")) sheet.close(); });
})();
