// Runs before the first paint: the chosen theme, and whether the boot screen plays (once per browser session).
(() => {
  const root = document.documentElement;
  const stored = (area, key) => { try { return area()[key]; } catch { return undefined; } };  // storage may be denied
  if (stored(() => localStorage, "theme") === "dark") root.classList.add("dark");
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const unwanted = new URLSearchParams(location.search).get("boot") === "0";
  if (!document.querySelector('script[data-first="/partials/page"]')) return;  // where there is none
  if (!still && !unwanted && !stored(() => sessionStorage, "booted")) root.dataset.boot = "";
  try { sessionStorage.booted = "1"; } catch { /* then it plays again */ }
})();
