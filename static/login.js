// Takes a code out of the link, or the form's, and gets this browser a key for it.
(() => {
  "use strict";
  const form = document.querySelector("#sign-in"), field = form.elements.code, note = form.querySelector("[role=alert]");
  const button = form.querySelector("button");
  const NOT_KEPT = "This browser keeps nothing for this page: allow it to store data for this address, then open the link again.";
  const WORDS = {  // by what was sent, for statuses whose own words are for programs
    link: "This link was used before, or is too old: bin/chomp open makes a new one.",
    form: "That is neither a code that is good, nor the token: bin/chomp open makes a code.",
  };

  function place() {  // where to go then: a page of our own, whatever the address says
    try {
      const next = new URL(new URLSearchParams(location.search).get("next") || "/", location.origin);
      if (next.origin === location.origin && next.pathname !== "/login") return next.href;
    } catch { /* no address */ }
    return "/";
  }
  function say(words, { error = true } = {}) {
    note.textContent = words;
    note.hidden = !words;
    note.toggleAttribute("data-quiet", !error);
  }
  const minutes = (seconds) => seconds > 90 ? `${Math.ceil(seconds / 60)} minutes` : "a minute";

  let busy = false;
  async function signIn(code, source) {
    if (busy) return;
    if (!chomp.keeps()) { field.value = code; return say(NOT_KEPT); }  // before the code is used up
    busy = true;
    button.setAttribute("aria-busy", "true");
    say("Signing in …", { error: false });
    try {
      const answer = await fetch("/login", { method: "POST", mode: "same-origin", credentials: "omit", redirect: "error",
        headers: { "content-type": "application/json" }, body: JSON.stringify({ code }) });
      if (answer.ok) {
        chomp.keep((await answer.json()).key);
        return location.replace(place());
      }
      let words;
      try { words = (await answer.json()).error.message; } catch { words = `chomp answered ${answer.status}.`; }
      if (answer.status === 401) words = WORDS[source];
      if (answer.status === 429) words = `Too many wrong codes came from your address: wait ${minutes(Number(answer.headers.get("retry-after")))}, then try again. A good code works at once.`;
      say(words);
      if (source === "form" || answer.status === 401) field.value = "";
    } catch {
      field.value = code;  // it is not used up: the next try can have it
      say("chomp cannot be reached. Is it running? Then sign in again.");
    }
    busy = false;
    button.removeAttribute("aria-busy");
    field.focus();
  }

  function take() {
    const address = new URL(location.href);
    const code = new URLSearchParams(address.hash.slice(1)).get("code") ?? address.searchParams.get("code");  // links of before
    if (code === null) return;
    address.hash = "";
    address.searchParams.delete("code");
    history.replaceState(null, "", address.pathname + address.search);  // nobody finds it in the address, or the history
    signIn(code.trim(), "link");
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); signIn(field.value.trim(), "form"); });
  addEventListener("hashchange", take);  // a link that is opened where this page is shown loads nothing anew
  document.addEventListener("signed-in", () => location.replace(place()));  // in another tab
  if (!chomp.keeps()) say(NOT_KEPT);
  take();
})();
