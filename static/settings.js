// The settings, fetched when they are first shown: users, whose tokens are shown once, and what came back for a key, at
// its field.
(() => {
  "use strict";
  const { one, all, toast, blame } = chomp;
  const sheet = one("#settings");
  const make = (tag, className, text = "") => Object.assign(document.createElement(tag), { className, textContent: text });
  const refresh = () => htmx.trigger(document.body, "refreshSettings");

  async function post(path, fields) {  // -> the answer, or {error}
    try {
      const answer = await chomp.fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(fields) });
      return await answer.json();
    } catch {
      chomp.look();
      return { error: { message: "chomp cannot be reached" } };
    }
  }

  // -- a new user

  const NUMBERS = ["requests_per_minute", "parallel", "tokens_per_day", "usd_per_month"];
  function fieldsOf(form) {  // of what is said alone: nothing is no limit
    const { elements } = form, fields = { name: elements.name.value.trim() };
    for (const name of ["models", "routers"]) {
      const words = elements[name].value.split(/[\s,]+/).filter(Boolean);
      if (words.length) fields[name] = words;
    }
    for (const name of NUMBERS) if (elements[name].value) fields[name] = Number(elements[name].value);
    if (elements.strict.checked) fields.strict = true;
    return fields;
  }
  function show({ name, token }) {  // the only time: chomp itself keeps a digest of it
    const box = one("#new-token"), line = make("div", "flex items-center gap-2");
    const text = Object.assign(make("code", "mono min-w-0 flex-1 select-all", token), { id: "new-token-text" });
    const copy = Object.assign(make("button", "btn btn-primary", "Copy"), { type: "button" });
    copy.dataset.copy = text.id;
    const done = Object.assign(make("button", "btn btn-second", "Done"), { type: "button" });
    done.addEventListener("click", () => { forget(); one("#add-user summary").focus(); });
    line.append(text, copy, done);
    box.replaceChildren(make("p", "", `The token of ${name}, shown this once. It is used with ${location.origin}/v1.`), line);
    box.hidden = false;
    box.dataset.dirty = "";  // a refresh leaves it alone
    copy.focus();
    box.scrollIntoView({ block: "nearest" });
  }
  function forget() {
    const box = one("#new-token");
    if (!box) return;
    box.replaceChildren();
    box.hidden = true;
    delete box.dataset.dirty;
  }
  sheet.addEventListener("close", forget);

  sheet.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form.id !== "new-user") return;
    event.preventDefault();
    const wrong = [...form.elements].find((field) => !field.checkValidity());  // which says so at the field
    if (wrong || "busy" in form.dataset) return;
    form.dataset.busy = "";
    const answer = await post("/api/users", fieldsOf(form));
    delete form.dataset.busy;
    if (answer.error) return blame(form, answer.error);
    form.reset();
    all("[data-dirty]", form).forEach((field) => delete field.dataset.dirty);
    form.closest("details").open = false;
    show(answer);
    refresh();
  });

  // -- what cannot be taken back: a second click does it, and only a while after the first

  const SURE_MS = 6000, TWICE_MS = 400;  // a double click is one decision
  function disarm(button) {
    clearTimeout(button.sureTimer);
    delete button.dataset.armed;
    delete button.dataset.dirty;
    one("[data-words]", button).hidden = true;
    one("[data-words]", button).textContent = "";
    button.setAttribute("aria-label", `Delete ${button.dataset.deleteUser}`);
  }
  function arm(button, at) {
    button.dataset.armed = at;
    button.dataset.dirty = "";  // a refresh does not take the question back
    one("[data-words]", button).textContent = button.dataset.sure;
    one("[data-words]", button).hidden = false;
    button.setAttribute("aria-label", `${button.dataset.sure} ${button.dataset.deleteUser}`);
    button.sureTimer = setTimeout(disarm, SURE_MS, button);
  }
  sheet.addEventListener("focusout", ({ target }) => { if (target.dataset?.armed !== undefined) disarm(target); });
  sheet.addEventListener("click", async ({ target, detail, timeStamp }) => {
    const button = target.closest("[data-delete-user]"), name = button?.dataset.deleteUser;
    if (!button) return;
    if (!("armed" in button.dataset)) return arm(button, timeStamp);
    if (detail > 1 || timeStamp - button.dataset.armed < TWICE_MS) return;
    disarm(button);
    const answer = await post("/api/users/delete", { name });
    if (!answer.error) { toast(`${name} is deleted: the token is refused from now on`); one("#add-user summary").focus(); return refresh(); }
    const row = button.closest(".entry"), fault = make("p", "fault", answer.error.message);  // such as that it is written by hand
    fault.setAttribute("role", "alert");
    one(".fault", row)?.remove();
    one(".entry-note", row).append(fault);
  });

  // -- a key that its router does not take: said at the field, beside the toast that goes away

  document.addEventListener("succeeded", ({ detail: { source, answer } }) => {
    if (source.closest?.("#settings") && ["refused", "unreachable"].includes(answer.verdict) && source.matches("form")) blame(source, { message: answer.words, param: "value" });
  });
})();
