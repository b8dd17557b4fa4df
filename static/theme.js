// Runs before the first paint: the theme, as it was chosen, else as the system has it; and whether the boot screen
// plays (once per browser session).
(() => {
  const root = document.documentElement;
  const stored = (area, key) => { try { return area()[key]; } catch { return undefined; } };  // storage may be denied
  const chosen = stored(() => localStorage, "theme");
  if (chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches) root.classList.add("dark");
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const unwanted = new URLSearchParams(location.search).get("boot") === "0";
  if (!document.querySelector('script[data-first="/partials/page"]')) return;  // where there is none
  if (!still && !unwanted && !stored(() => sessionStorage, "booted")) root.dataset.boot = "";
  try { sessionStorage.booted = "1"; } catch { /* then it plays again */ }
})();
