// Beside a conversation: what extensions show and offer, undo, workspaces, search, the system prompt. chat.js comes before.
// A surface is data of an extension: whatever it says is put into the page as text, and what is not known is shown as JSON.
(() => {
  "use strict";
  const { one, all, put, toast } = chomp;
  const { chat } = window, { make, button, icon, kept, json, twice } = chat;
  let numbers = 0;
  const named = (node, word) => { node.id = `${word}-${++numbers}`; return node; };
  const labelled = (text, node) => {
    const label = make("label", "label", text);
    label.htmlFor = named(node, "side").id;
    return label;
  };

  // -- words of others: bounded, and never more than text

  const WORDS_MOST = 20000, ROWS_MOST = 500, FIELDS_MOST = 200;
  const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
  const listOf = (value) => Array.isArray(value) ? value : [];
  const cut = (text) => text.length > WORDS_MOST ? `${text.slice(0, WORDS_MOST)} …` : text;
  const words = (value) => cut(typeof value === "string" ? value : value === undefined || value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value));
  const many = (count, one, more = `${one}s`) => `${count} ${count === 1 ? one : more}`;

  // -- parts that stay while what they show changes: focus, half-typed words and open folds with them

  const parts = new WeakMap();  // of a place: its views by key
  const home = (place) => place.closest("[data-surface]")?.querySelector("summary");
  function sync(place, items, keyOf, build) {
    const before = parts.get(place) ?? new Map(), after = new Map(), times = new Map();
    const focused = place.contains(document.activeElement) ? document.activeElement : undefined;
    const at = [...before.values()].findIndex(({ node }) => node.contains(focused ?? null));
    for (const item of items) {
      const name = keyOf(item), time = times.get(name) ?? 0, key = `${time} ${name}`;
      times.set(name, time + 1);
      const view = before.get(key) ?? build(item);
      view.show(item);
      after.set(key, view);
    }
    for (const [key, { node }] of before) if (!after.has(key)) node.remove();
    let next = place.firstElementChild;
    for (const { node } of after.values()) {
      if (node === next) next = next.nextElementSibling;
      else if (node.isConnected && place.moveBefore) place.moveBefore(node, next);
      else place.insertBefore(node, next);
    }
    parts.set(place, after);
    if (focused && !focused.isConnected) {  // what had the focus is gone: the next one has it
      const left = [...after.values()], near = left[Math.min(at, left.length - 1)]?.node;
      (near?.querySelector("button, input, select, textarea, summary") ?? home(place))?.focus();
    } else if (focused && document.activeElement !== focused) focused.focus({ preventScroll: true });  // it was moved
    return after;
  }
  const ticks = new Map();  // node: what it does each second
  setInterval(() => {
    for (const [node, tick] of ticks) {
      if (!node.isConnected) ticks.delete(node);
      else if (!document.hidden) tick();
    }
  }, 1000);

  // -- what can be set: `change` is called with its value; without it the value waits for the form's button

  function typed(input, change, read, write, complain) {
    let shown = "";
    input.addEventListener("input", () => { input.dataset.typed = ""; input.removeAttribute("aria-invalid"); });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && "typed" in input.dataset) { event.preventDefault(); delete input.dataset.typed; input.value = shown; }
      if (event.key === "Enter" && change && input.matches("textarea") && (event.ctrlKey || event.metaKey)) { event.preventDefault(); input.blur(); }
    });
    if (change) input.addEventListener("change", () => {
      if (!input.validity.valid) { input.setAttribute("aria-invalid", "true"); return complain(input.validationMessage); }
      if (input.value === shown && !("typed" in input.dataset)) return;
      delete input.dataset.typed;
      change(read(input.value));
    });
    return {
      value: () => read(input.value),
      show(value) {
        shown = write(value);
        if (input.value === shown) delete input.dataset.typed;
        else if (!("typed" in input.dataset)) input.value = shown;
      },
      failed() { input.dataset.typed = ""; input.setAttribute("aria-invalid", "true"); },  // it is not overwritten, so that it can be mended
      sent() { delete input.dataset.typed; },
    };
  }
  const COMPLETIONS = { models: "side-models" };  // lists that this page has
  const CONTROLS = {
    toggle(change) {
      const node = make("label", "check side-check"), input = Object.assign(make("input"), { type: "checkbox" }), label = make("span");
      let shown = false, isOurs = false;
      node.append(input, label);
      input.addEventListener("change", () => { isOurs = true; change?.(input.checked); });
      return {
        node, value: () => input.checked, sent() { isOurs = false; }, failed() { input.checked = shown; isOurs = false; },
        show(field) {
          put(label, words(field.label));
          shown = field.value === true;
          if (change || !isOurs) input.checked = shown;
        },
      };
    },
    selector(change) {
      const node = make("div"), input = make("select", "field"), label = labelled("", input);
      let known = "", shown, isOurs = false, values = new Map();
      node.append(label, input);
      const choose = () => { input.value = words(shown); };
      input.addEventListener("change", () => { isOurs = true; change?.(values.get(input.value)); });
      return {
        node, value: () => values.get(input.value), sent() { isOurs = false; }, failed() { isOurs = false; choose(); },
        show(field) {
          put(label, words(field.label));
          shown = field.value ?? "";
          const options = listOf(field.options).slice(0, ROWS_MOST).map((option) => isObject(option) ? option : { value: option, label: option });
          if (!options.some(({ value }) => words(value) === words(shown))) options.push({ value: shown, label: words(shown) || "–" });  // nothing else is claimed
          const now = JSON.stringify(options);
          if (now !== known) {
            const chosen = input.value;
            known = now;
            values = new Map(options.map(({ value }) => [words(value), value]));
            input.replaceChildren(...options.map(({ value, label }) => Object.assign(make("option", "", words(label ?? value)), { value: words(value) })));
            if (!change && isOurs && values.has(chosen)) input.value = chosen;
          }
          if (change || !isOurs) choose();
        },
      };
    },
    number(change, complain) {
      const node = make("div"), input = Object.assign(make("input", "field side-number"), { type: "number", inputMode: "decimal", step: "any" });
      const label = labelled("", input), row = make("div", "side-with-unit"), unit = make("span", "side-unit");
      named(unit, "unit");
      row.append(input, unit);
      node.append(label, row);
      const held = typed(input, change, (text) => text === "" ? null : Number(text), (value) => Number.isFinite(value) ? String(value) : "", complain);
      const limit = (name, value, otherwise) => { const now = Number.isFinite(value) ? String(value) : otherwise; if (input[name] !== now) input[name] = now; };
      return {
        ...held, node,
        show(field) {
          put(label, words(field.label));
          limit("min", field.min, "");
          limit("max", field.max, "");
          limit("step", field.step > 0 ? field.step : NaN, "any");
          put(unit, words(field.unit));
          unit.hidden = !unit.textContent;
          unit.textContent ? input.setAttribute("aria-describedby", unit.id) : input.removeAttribute("aria-describedby");
          held.show(typeof field.value === "string" ? parseFloat(field.value) : field.value);
        },
      };
    },
    text(change, complain, first) {
      const isLong = first.multiline === true, input = make(isLong ? "textarea" : "input", `field${isLong ? "" : " side-line"}`), node = make("div"), label = labelled("", input);
      Object.assign(input, { spellcheck: false, autocapitalize: "off", autocomplete: "off", enterKeyHint: isLong ? "enter" : "done" });
      if (COMPLETIONS[first.complete] && !isLong) input.setAttribute("list", COMPLETIONS[first.complete]);
      node.append(label, input);
      const held = typed(input, change, (text) => text, words, complain);
      return {
        ...held, node,
        show(field) {
          put(label, words(field.label));
          if (input.placeholder !== words(field.placeholder)) input.placeholder = words(field.placeholder);
          held.show(field.value);
        },
      };
    },
  };

  // -- what is shown: of each kind a view with `show`, and a `hint` for when its surface is folded away

  const raw = (name) => () => {  // what nobody here knows how to draw can be read all the same
    const node = make("details", "fold side-raw"), summary = make("summary", "", name), text = make("pre", "pre");
    text.tabIndex = 0;
    text.setAttribute("role", "region");
    text.setAttribute("aria-label", name);
    node.append(summary, text);
    return { node, show(value) { put(text, cut(JSON.stringify(value, null, 2) ?? String(value))); } };
  };
  const HEARD_MS = 5000;
  const set = (kind) => (surface, first) => {
    let field = first, before, timer;  // what it was when something else was chosen, of which the server has yet to hear
    const settle = () => { clearTimeout(timer); before = undefined; };
    const control = CONTROLS[kind]((value) => {
      settle();
      before = JSON.stringify(field.value ?? null);
      timer = setTimeout(() => { settle(); control.show(field); }, HEARD_MS);
      surface.act(field.action, { value }, made);
    }, surface.say, first);
    const made = {
      ...control,
      failed() { settle(); control.failed(); },
      show(now) {
        field = now;
        if (before !== undefined && JSON.stringify(now.value ?? null) === before) return;
        settle();
        control.show(now);
      },
    };
    return made;
  };
  const act = (surface, action, otherwise) => surface.act(action, action.payload ?? otherwise);
  function offer(surface, className, action, text, payload, about = "") {  // a button for an action; one that wants it asks twice
    const go = () => act(surface, action, payload);
    const made = action.confirm ? twice(`btn btn-danger ${className}`, text, typeof action.confirm === "string" ? words(action.confirm) : `${text}: sure?`, go) : button(`btn btn-second ${className}`, text, go);
    if (about) made.title = `${text}: ${about}`;
    return made;
  }
  const paragraph = (className = "side-words") => { const node = make("p", className); return { node, show: (text) => put(node, text) }; };

  const KINDS = {
    toggle: set("toggle"), selector: set("selector"), number: set("number"),
    text(surface, first) {
      if (first.action) return set("text")(surface, first);
      const node = make("div"), label = make("p", "label"), text = make("p", "side-words");
      node.append(label, text);
      return {
        node,
        show(field) {
          put(label, words(field.label));
          label.hidden = !label.textContent;
          put(text, words(field.value ?? field.text));
        },
      };
    },
    progress() {
      const node = make("div"), head = make("p", "side-row"), label = make("span", "side-label"), number = make("span", "side-value"), bar = make("div", "bar"), part = make("i");
      head.append(label, number);
      bar.append(part);
      bar.setAttribute("role", "progressbar");
      node.append(head, bar);
      let hint = "";
      return {
        node, hint: () => hint,
        show({ label: name, value }) {
          const share = Number.isFinite(value) ? Math.round(Math.min(1, Math.max(0, value)) * 100) : undefined;
          put(label, words(name));
          hint = share === undefined ? "" : `${share} %`;
          put(number, hint || "…");
          bar.setAttribute("aria-label", words(name) || "Progress");
          bar.toggleAttribute("data-quiet", share === undefined);
          share === undefined ? bar.removeAttribute("aria-valuenow") : bar.setAttribute("aria-valuenow", share);
          part.style.width = share === undefined ? "" : hint.replace(" ", "");
        },
      };
    },
    stat() {
      const node = make("p", "side-row"), label = make("span", "side-label"), value = make("span", "side-value");
      node.append(label, value);
      return { node, hint: () => value.textContent.length > 24 ? "" : value.textContent, show(field) { put(label, words(field.label)); put(value, words(field.value)); } };
    },
    button(surface, first) {
      const node = make("div");
      let known;
      return {
        node,
        show(field) {
          const now = JSON.stringify(field);
          if (now === known) return;
          const hadFocus = node.contains(document.activeElement);
          known = now;
          node.replaceChildren(isObject(field.action) ? offer(surface, "btn-wide", { confirm: field.confirm, ...field.action }, words(field.label) || "Go") : make("p", "side-words", words(field.label)));
          if (hadFocus) one("button", node)?.focus();
        },
      };
    },
    list(surface) {
      const node = make("div"), head = make("p", "label"), list = make("ul", "box side-list"), none = make("p", "side-words", "Nothing is here.");
      list.setAttribute("role", "list");
      node.append(head, list, none);
      let count = 0;
      const build = () => {
        const item = make("li", "side-item"), body = make("div", "side-item-words"), label = make("span", "side-item-label"), value = make("span", "side-item-value"), note = make("span", "side-item-note");
        let known;
        body.append(label, value, note);
        return {
          node: item,
          show(given) {
            const now = isObject(given) ? given : { label: given };
            put(label, words(now.label));
            put(value, words(now.value));
            put(note, words(now.note));
            value.hidden = !value.textContent;
            note.hidden = !note.textContent;
            const action = isObject(now.action) ? now.action : undefined, shape = JSON.stringify(action ?? null) + (action && !action.label ? words(now.label) : "");
            if (shape === known) return;
            known = shape;
            if (action && !action.label && !action.confirm) {  // the whole of it is the button
              const whole = button("side-item-whole", "", () => act(surface, action, { label: now.label, value: now.value }));
              whole.append(body);
              item.replaceChildren(whole);
            } else item.replaceChildren(body, ...(action ? [offer(surface, "side-item-act", action, words(action.label) || "Go", { label: now.label, value: now.value }, words(now.label))] : []));
          },
        };
      };
      return {
        node, hint: () => count ? String(count) : "", isEmpty: () => !count,
        show(field) {
          const items = listOf(field.items).slice(0, ROWS_MOST);
          count = items.length;
          put(head, words(field.label));
          head.hidden = !head.textContent;
          list.hidden = !count;
          const more = listOf(field.items).length - count;
          none.hidden = Boolean(count) && !more;
          put(none, more ? `${more} more are not shown.` : words(field.empty) || "Nothing is here.");
          sync(list, items, (item) => isObject(item) ? words(item.id ?? item.label) : words(item), build);
        },
      };
    },
    form(surface, first) {
      const node = make("form", "side-form"), head = make("p", "label"), place = make("div", "side-fields"), submit = Object.assign(make("button", "btn btn-primary btn-wide"), { type: "submit" });
      node.noValidate = true;
      node.autocomplete = "off";
      node.append(head, place, submit);
      const named = new Map();
      let field = first;
      const build = (given) => {
        const control = Object.hasOwn(CONTROLS, given.kind) ? CONTROLS[given.kind](undefined, surface.say, given) : raw(`Field of the kind ${words(given.kind)}`)();
        return { ...control, show(now) { control.show(now); } };
      };
      const values = () => Object.fromEntries([...named].filter(([, view]) => view.value).map(([name, view]) => [name, view.value()]));
      const form = {
        node,
        show(now) {
          field = now;
          put(head, words(field.label));
          head.hidden = !head.textContent;
          put(submit, words(field.submit) || "Send");
          const fields = listOf(field.fields).filter(isObject).slice(0, 100);
          const nameOf = (one) => words(one.name ?? one.label);
          const shown = [...sync(place, fields, (one) => `${words(one.kind)} ${nameOf(one)}`, build).values()];
          named.clear();
          fields.forEach((one, at) => named.set(nameOf(one), shown[at]));
        },
        failed() { for (const view of named.values()) if (view.value && view.node.querySelector("[data-was-typed]")) one("input, textarea", view.node).dataset.typed = ""; },
      };
      node.addEventListener("submit", (event) => {
        event.preventDefault();
        const wrong = all("input, textarea, select", node).find(({ validity }) => !validity.valid);
        if (wrong) { wrong.setAttribute("aria-invalid", "true"); wrong.focus(); return surface.say(wrong.validationMessage); }
        all("input, textarea", node).forEach((input) => input.toggleAttribute("data-was-typed", "typed" in input.dataset));
        const found = values();
        for (const view of named.values()) view.sent?.();
        if (isObject(field.action)) surface.act(field.action, found, form);
      });
      return form;
    },
    custom(surface, first) {
      const id = words(first.rendererId), renderer = Object.hasOwn(CUSTOM, id) ? CUSTOM[id] : undefined;
      const made = renderer ? renderer(surface) : raw(id || "custom")();
      return { ...made, show(field) { made.show(field.payload); } };
    },
  };

  const CUSTOM = {
    table(surface) {
      const node = make("div", "side-scroller"), table = make("table", "table side-table"), head = make("thead"), body = make("tbody"), more = make("p", "side-words");
      node.tabIndex = 0;
      node.setAttribute("role", "region");
      node.setAttribute("aria-label", surface.title);
      table.append(head, body);
      node.append(table, more);
      let known, count = 0;
      const row = (cells, tag) => {
        const made = make("tr");
        made.append(...cells.slice(0, 50).map((cell) => Object.assign(make(tag, "", words(cell)), tag === "th" ? { scope: "col" } : {})));
        return made;
      };
      return {
        node, hint: () => String(count), isEmpty: () => !count,
        show(payload) {
          if (!Array.isArray(payload?.columns) || !Array.isArray(payload?.rows)) throw new TypeError("no table");
          const now = JSON.stringify(payload);
          if (now === known) return;
          known = now;
          count = payload.rows.length;
          head.replaceChildren(row(payload.columns, "th"));
          body.replaceChildren(...payload.rows.slice(0, ROWS_MOST).map((cells) => row(Array.isArray(cells) ? cells : [cells], "td")));
          more.hidden = count <= ROWS_MOST;
          put(more, `${count - ROWS_MOST} more are not shown.`);
        },
      };
    },
    todo() {
      const node = make("div"), list = make("ol", "side-todos"), none = make("p", "side-words", "Nothing is on the list.");
      list.setAttribute("role", "list");
      node.append(list, none);
      const SPOKEN = { pending: "to do", in_progress: "in progress", completed: "done", cancelled: "not needed any more" };
      let done = 0, count = 0;
      const build = () => {
        const item = make("li", "side-todo"), mark = make("i"), text = make("span", "side-todo-words"), state = make("span", "sr-only");
        mark.setAttribute("aria-hidden", "true");
        item.append(mark, text, state);
        return { node: item, show({ content, status }) { item.dataset.status = words(status); put(text, words(content)); put(state, `, ${SPOKEN[status] ?? words(status)}`); } };
      };
      return {
        node, hint: () => count ? `${done} of ${count}` : "", isEmpty: () => !count,
        show(payload) {
          if (!Array.isArray(payload?.todos)) throw new TypeError("no list");
          const todos = payload.todos.filter(isObject).slice(0, ROWS_MOST);
          count = todos.filter(({ status }) => status !== "cancelled").length;
          done = todos.filter(({ status }) => status === "completed").length;
          list.hidden = !todos.length;
          none.hidden = todos.length > 0;
          let at = 0;
          sync(list, todos, () => String(at++), build);
        },
      };
    },
    "message-queue"(surface) {
      const node = make("div"), list = make("ul", "box side-list"), none = make("p", "side-words", "Nothing waits. What you send while a turn runs stands here until the model is told.");
      list.setAttribute("role", "list");
      node.append(list, none);
      let count = 0;
      const build = (message) => {
        const item = make("li", "side-item"), text = make("p", "side-item-words side-clamp");
        const cancel = button("btn btn-second side-item-act", "Cancel", () => {
          surface.say("");
          chat.send({ type: "chat.queue.cancel", conversationId: surface.conversation, messageId: message.id });
        });
        item.append(text, cancel);
        return { node: item, show(now) { put(text, words(now.text)); cancel.setAttribute("aria-label", `Cancel: ${words(now.text).slice(0, 80)}`); } };
      };
      return {
        node, hint: () => count ? String(count) : "", isEmpty: () => !count,
        show(payload) {
          if (!Array.isArray(payload?.messages)) throw new TypeError("no queue");
          const messages = payload.messages.filter(isObject).slice(0, ROWS_MOST);
          count = messages.length;
          list.hidden = !count;
          none.hidden = count > 0;
          sync(list, messages, ({ id }) => words(id), build);
        },
      };
    },
    "cache-warming-timer"() {
      const { node, show } = paragraph("side-words tabular");
      let payload = {};
      const long = (ms) => { const s = Math.max(0, Math.round(ms / 1000)), m = Math.floor(s / 60), h = Math.floor(m / 60); return h ? `${h} h ${m % 60} min` : m ? `${m} min ${s % 60} s` : `${s} s`; };
      const tick = () => {
        const { nextWarmAt: next, lastWarmAt: last } = payload, now = Date.now();
        const said = [next ? (next > now ? `Warmed in ${long(next - now)}` : "Warmed now") : "", last ? `last ${long(now - last)} ago` : ""].filter(Boolean).join(", ");
        show(said || "Nothing is planned.");
      };
      return { node, show(given) { payload = isObject(given) ? given : {}; ticks.set(node, tick); tick(); } };
    },
    undo(surface) {
      const node = make("div"), list = make("ol", "side-turns"), none = make("p", "side-words", "No turn has changed a file yet.");
      list.setAttribute("role", "list");
      node.append(list, none);
      let turns = [];
      return {
        node, hint: () => turns.length ? many(turns.length, "turn") : "", isEmpty: () => !turns.length,
        show(payload) {
          if (!Array.isArray(payload?.turns)) throw new TypeError("no turns");
          turns = payload.turns.filter(isObject).slice(0, ROWS_MOST);
          list.hidden = !turns.length;
          none.hidden = turns.length > 0;
          sync(list, turns, ({ turnId }) => words(turnId), () => turnView(surface));
          chat.undo = Object.fromEntries(turns.map(({ turnId, files, more, skipped, state }) => [words(turnId), { files: listOf(files), more: Number(more) || 0, skipped: listOf(skipped), state }]));
          chat.emit("undo");
        },
      };
    },
  };

  // -- undo: what a turn did to files, and how to take it back

  const CHANGES = { added: ["+", "added"], modified: ["~", "changed"], deleted: ["−", "deleted"] };
  const STATES = { reverted: "Reverted", pending: "Goes on", lost: "Cannot be reverted any more" };
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" }), dated = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
  function moment(value) {
    const at = new Date(typeof value === "number" && value < 1e11 ? value * 1000 : value);
    if (Number.isNaN(at.getTime())) return "";
    return (at.toDateString() === new Date().toDateString() ? clock : dated).format(at);
  }
  chat.undo ??= {};
  chat.revert = async (turnId, conversation = chat.conversation) => {  // what was restored; throws the server's words
    const done = await chat.call("POST", chat.path(conversation, "/undo"), { turnId });
    toast(words(done.note) || `${many(listOf(done.restored).length, "file")} restored`);
    return done;
  };
  function turnView(surface) {
    const node = make("li", "side-turn"), head = make("p", "side-row"), when = make("span", "side-label"), what = make("span", "side-value"), why = make("p", "side-words");
    const fold = make("details", "fold"), summary = make("summary", "side-small"), files = make("ul", "side-files"), skipped = make("div", "side-skipped"), fault = make("p", "notice side-small");
    let turn = {}, known, isBusy = false;
    const revert = twice("btn btn-second btn-wide", "Revert this turn", "Really revert it?", async () => {
      if (isBusy) return;
      isBusy = revert.disabled = true;
      fault.hidden = true;
      try { await chat.revert(turn.turnId, surface.conversation); } catch (error) { put(fault, error.message); fault.hidden = false; }
      isBusy = revert.disabled = false;
    });
    fault.setAttribute("role", "alert");
    fault.hidden = true;
    head.append(when, what);
    fold.append(summary, files, skipped);
    node.append(head, why, fold, fault, revert);
    files.setAttribute("role", "list");
    return {
      node,
      show(now) {
        turn = now;
        const shape = JSON.stringify(now);
        if (shape === known) return;
        known = shape;
        const changed = listOf(now.files), missed = listOf(now.skipped), more = Number(now.more) || 0, moreMissed = Number(now.skippedMore) || 0;
        node.dataset.state = words(now.state);
        put(when, moment(now.at) || words(now.turnId));
        put(what, STATES[now.state] ?? "");
        put(why, words(now.reason));
        why.hidden = !now.reason;
        const counts = [many(changed.length + more, "file"), missed.length ? `${missed.length + moreMissed} not kept` : ""].filter(Boolean).join(", ");
        put(summary, counts);
        files.replaceChildren(...changed.slice(0, ROWS_MOST).map((file) => {
          const [sign, spoken] = CHANGES[file?.change] ?? ["·", words(file?.change)], item = make("li", "side-file"), mark = make("b", "", sign);
          mark.setAttribute("aria-hidden", "true");
          item.dataset.change = words(file?.change);
          item.append(mark, make("span", "mono", words(file?.path)), make("span", "sr-only", `, ${spoken}`));
          return item;
        }), ...(more ? [make("li", "side-words", `and ${more} more`)] : []));
        skipped.hidden = !missed.length;
        const lost = make("ul", "side-files");
        lost.setAttribute("role", "list");
        lost.append(...missed.slice(0, ROWS_MOST).map((file) => { const item = make("li", "side-words"); item.append(make("span", "mono", words(file?.path)), `: ${words(file?.reason)}`); return item; }), ...(moreMissed ? [make("li", "side-words", `and ${moreMissed} more`)] : []));
        skipped.replaceChildren(make("p", "label", "Not kept, so not restored"), lost);
        revert.hidden = now.state !== "open";
        if (now.state !== "open") fault.hidden = true;
      },
    };
  }

  // -- a surface: a fold with its fields

  const KNOWN = ["message-queue", "todo", "undo", "conversation"], LAST = ["cache-warming", "lsp", "loaded-extensions"], FOLDED = new Set(["conversation", ...LAST]);
  const rank = ({ id }) => KNOWN.includes(id) ? KNOWN.indexOf(id) : LAST.includes(id) ? 100 + LAST.indexOf(id) : 50;
  const folds = json(kept["chat.folds"] ?? "{}", {});
  const surfaces = new Map();
  const place = make("div", "side-surfaces");

  class SurfaceView {
    #fields = make("div", "side-fields"); #head = make("h2", "side-title"); #hint = make("span", "ml-auto side-hint"); #none = make("p", "side-words", "Nothing is shown yet.");
    #fault = make("p", "notice side-fault"); #done = make("span", "sr-only"); #asked; #acted; #isWaiting = false;

    constructor({ id, title, scope }) {
      Object.assign(this, { id, title: words(title) || words(id), scope });
      const node = this.node = make("details", "fold card side-card"), summary = make("summary"), body = make("div", "side-body");
      node.dataset.surface = id;
      summary.append(this.#head, this.#hint);
      this.#fault.setAttribute("role", "alert");
      this.#fault.hidden = true;
      this.#done.setAttribute("role", "status");
      body.append(this.#none, this.#fields, this.#fault, this.#done);
      node.append(summary, body);
      put(this.#head, this.title);
      summary.addEventListener("click", () => {
        folds[id] = !node.open;
        kept["chat.folds"] = JSON.stringify(folds);
      });
      node.open = folds[id] ?? !FOLDED.has(id);
    }
    get conversation() { return this.scope === "conversation" && chat.conversation ? chat.conversation : undefined; }

    say = (text) => {
      put(this.#fault, words(text));
      this.#fault.hidden = !text;
      if (text) this.node.open = true;
    };
    act(action, payload, by) {
      if (typeof action?.actionId !== "string") return this.say("This cannot be changed.");
      this.say("");
      put(this.#done, "");
      this.#acted = by;
      this.#isWaiting = true;
      const message = { type: "invoke", surfaceId: this.id, actionId: action.actionId, payload, conversationId: this.conversation };
      if (chat.send(message) === false) this.fail("There is no connection to chomp: nothing was changed.");
    }
    fail(message) {
      this.say(message);
      this.#acted?.failed?.();
      this.#acted = undefined;
      this.#isWaiting = false;
    }

    follow() {  // from the start, or another conversation's
      if (this.#asked !== undefined && this.#asked !== (this.conversation ?? "")) {
        chat.send({ type: "unsubscribe", surfaceId: this.id, conversationId: this.#asked || undefined });
        sync(this.#fields, [], String, String);
        this.say("");
        this.#acted = undefined;
      }
      this.#asked = this.conversation ?? "";
      chat.send({ type: "subscribe", surfaceId: this.id, conversationId: this.conversation });
    }
    isOf(conversation) { return (conversation ?? "") === (this.conversation ?? ""); }

    show(spec) {
      if (spec.title) put(this.#head, this.title = words(spec.title));
      const given = listOf(spec.fields), more = given.length - FIELDS_MOST, fields = given.slice(0, FIELDS_MOST);
      if (more > 0) fields.push({ kind: "text", value: `${more} more are not shown.` });
      const key = (field) => isObject(field) ? [field.kind, field.rendererId, Boolean(field.action), field.action?.actionId ?? field.name ?? field.label].map(words).join(" ") : "?";
      const views = [...sync(this.#fields, fields, key, (field) => this.#view(field)).values()];
      this.#none.hidden = fields.length > 0;
      put(this.#hint, views.filter((view, at) => !at || view.isEmpty).map((view) => view.hint?.()).find(Boolean) ?? "");
      if (!(this.id in folds) && !FOLDED.has(this.id)) {  // nobody has said how it is to be: open when there is something in it
        this.node.open = views.some((view) => !view.isEmpty?.()) || (this.node.open && this.node.contains(document.activeElement));
      }
      if (this.#isWaiting) put(this.#done, "Done.");
      this.#isWaiting = false;
    }
    #view(first) {  // one that cannot be drawn, or not any more, can be read
      const node = make("div", "side-field");
      const kind = isObject(first) && typeof first.kind === "string" && Object.hasOwn(KINDS, first.kind) ? first.kind : "";
      let view, isRaw = false;
      const put_ = (made) => { view = made; node.replaceChildren(made.node); };
      const fallBack = (field) => { if (!isRaw) { isRaw = true; put_(raw(words(isObject(field) ? field.label ?? field.rendererId ?? field.kind : "") || "Something unknown")()); } view.show(isObject(field) && field.kind === "custom" ? field.payload : field); };
      try { if (kind) put_(KINDS[kind](this, first)); else fallBack(first); } catch { fallBack(first); }
      return {
        node, hint: () => view.hint?.(), ...(view.isEmpty && { isEmpty: () => view.isEmpty?.() ?? false }),
        show(field) { if (isRaw) return fallBack(field); try { view.show(field); } catch { fallBack(field); } },
      };
    }
  }

  chat.on("catalog", ({ catalog }) => {
    const entries = listOf(catalog).filter((entry) => isObject(entry) && typeof entry.id === "string").toSorted((one, other) => rank(one) - rank(other));
    const before = new Set(surfaces.keys());
    for (const entry of entries) {
      if (!surfaces.has(entry.id)) surfaces.set(entry.id, new SurfaceView(entry));
      before.delete(entry.id);
    }
    for (const id of before) { surfaces.get(id).node.remove(); surfaces.delete(id); }
    entries.forEach(({ id }, at) => { const { node } = surfaces.get(id); if (place.children[at] !== node) place.insertBefore(node, place.children[at] ?? null); });
    for (const surface of surfaces.values()) surface.follow();
  });
  const shown = (id, spec, conversation) => {
    const surface = surfaces.get(id);
    if (surface && isObject(spec) && surface.isOf(conversation)) surface.show(spec);
  };
  chat.on("surface", ({ spec, conversationId }) => shown(spec?.id, spec, conversationId));
  chat.on("update", ({ update }) => {
    shown(update?.surfaceId, update?.spec, update?.conversationId);
    if (update?.surfaceId === "conversation") chat.refreshList();  // where the same settings stand
  });
  chat.on("error", ({ surfaceId, message }) => surfaces.get(surfaceId)?.fail(message));
  chat.on("conversation", () => {
    chat.undo = {};
    for (const surface of surfaces.values()) if (surface.scope === "conversation") surface.follow();
  });

  // -- workspaces: which one's conversations the list shows, and what there is of them

  const spaces = one("#spaces"), spacesList = one("#spaces-list"), chosen = make("select", "field"), finder = make("div", "finder");
  const titleOf = ({ id, title }) => words(title) || id;
  function showChoice() {
    const options = [["", "All workspaces"], ...[...chat.workspaces.values()].map((space) => [space.id, `${titleOf(space)} (${space.conversationCount ?? 0})`])];
    if (chat.workspaces.size && !chat.workspaces.has(chat.filter)) chat.filter = "";
    const now = JSON.stringify(options);
    if (now !== chosen.dataset.known) {
      chosen.dataset.known = now;
      chosen.replaceChildren(...options.map(([value, text]) => Object.assign(make("option", "", text), { value })));
    }
    chosen.value = chat.filter;
  }
  function filter(id) {
    chat.filter = kept["chat.filter"] = id;
    showChoice();
    chat.emit("filter", id);
  }
  chosen.addEventListener("change", () => filter(chosen.value));

  const faultLine = () => { const made = make("p", "notice side-small"); made.setAttribute("role", "alert"); made.hidden = true; return made; };
  const blame = (line, text) => { put(line, words(text)); line.hidden = !text; };
  async function change(fault, work) {  // what it answered; words of what went wrong stay where it was asked for
    blame(fault, "");
    try {
      const done = await work();
      await chat.loadList();
      showSpaces();
      return done;
    } catch (error) {
      blame(fault, error.message);
      return undefined;
    }
  }
  function spaceView() {
    const node = make("li", "space"), fold = make("details", "fold"), summary = make("summary"), title = make("span", "space-title"), about = make("span", "ml-auto side-hint");
    const form = make("form", "side-form"), name = Object.assign(make("input", "field"), { maxLength: 80 }), folder = Object.assign(make("input", "field side-line"), { maxLength: 4096, spellcheck: false, autocapitalize: "off" });
    const fault = faultLine(), save = Object.assign(make("button", "btn btn-second btn-wide", "Save"), { type: "submit" });
    const part = (label, input) => { const made = make("div"); made.append(labelled(label, input), input); return made; };
    const views = [typed(name, undefined, String, words), typed(folder, undefined, String, words)];
    let space = {}, count = -1, end = make("span");
    Object.assign(form, { noValidate: true, autocomplete: "off" });
    summary.append(title, about);
    form.append(part("Name", name), part("Folder", folder), save, end, fault);
    fold.append(summary, form);
    node.append(fold);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!name.value.trim()) { name.setAttribute("aria-invalid", "true"); name.focus(); return blame(fault, "A workspace needs a name."); }
      views.forEach((view) => view.sent());
      if (await change(fault, () => chat.call("PUT", `/workspaces/${space.id}`, { title: name.value.trim(), defaultCwd: folder.value.trim() || null }))) toast("Saved");
      else for (const input of [name, folder]) input.dataset.typed = "";
    });
    return {
      node,
      show(now) {
        space = now;
        put(title, titleOf(now));
        put(about, many(now.conversationCount ?? 0, "conversation"));
        views[0].show(titleOf(now));
        views[1].show(now.defaultCwd);
        folder.placeholder = "one for each conversation";
        if (count === now.conversationCount) return;
        count = now.conversationCount;
        const made = now.id === "default" ? make("p", "side-words", "It is always there.") : twice("btn btn-danger btn-wide", "Delete", count ? `Really? That closes ${many(count, "conversation")}` : "Really delete it?", async () => {
          const done = await change(fault, () => chat.call("DELETE", `/workspaces/${space.id}`));
          if (done) toast(done.closedCount ? `${many(done.closedCount, "conversation")} closed, and now in Default` : "Deleted");
        });
        end.replaceWith(made);
        end = made;
      },
    };
  }
  function showSpaces() {
    showChoice();
    if (spaces.open) sync(spacesList, [...chat.workspaces.values()], ({ id }) => id, spaceView);
  }
  const newSpace = one("#spaces-new"), newFault = faultLine();
  newSpace.append(newFault);
  newSpace.addEventListener("submit", async (event) => {
    event.preventDefault();
    const title = newSpace.elements.title.value.trim(), folder = newSpace.elements.defaultCwd.value.trim();
    if (!title) { newSpace.elements.title.focus(); return blame(newFault, "A workspace needs a name."); }
    const slug = title.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 36).replace(/^-+|-+$/g, "") || "workspace";
    let id = slug;
    for (let n = 2; chat.workspaces.has(id) || id === "default"; n += 1) id = `${slug}-${n}`;
    if (!await change(newFault, () => chat.call("PUT", `/workspaces/${id}`, { title, ...(folder && { defaultCwd: folder }) }))) return;
    newSpace.reset();
    filter(id);
    toast(`${title} is there`);
  });
  async function openSpaces() {
    spaces.showModal();
    showSpaces();
    await chat.loadList();
    showSpaces();
  }
  chat.on("list", showSpaces);

  // -- search, in titles and in what was said

  const SEARCH_MS = 250, HITS = 50, box = Object.assign(make("input", "field"), { type: "search", placeholder: "Search", autocomplete: "off", spellcheck: false, enterKeyHint: "search", maxLength: 200 });
  const hits = make("ul", "hits"), told = make("p", "hits-told");
  let searches = 0, timer;
  box.setAttribute("aria-label", "Search conversations");
  hits.setAttribute("role", "list");
  hits.setAttribute("aria-label", "Found");
  told.setAttribute("role", "status");
  function marked(className, text, wanted) {  // with a mark at what was looked for
    const made = make("span", className), pattern = wanted.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
    made.append(...text.split(new RegExp(`(${pattern})`, "gi")).map((part, at) => at % 2 ? make("mark", "", part) : part));
    return made;
  }
  function hitOf({ id, title, match, workspaceId }, wanted) {
    const item = make("li"), hit = make("a", "hit");
    hit.href = `/chat?c=${encodeURIComponent(id)}`;
    hit.append(marked("hit-title", words(title), wanted));
    if (match?.text) hit.append(marked("hit-text", words(match.text), wanted));
    if (!chat.filter && workspaceId && workspaceId !== "default") hit.append(make("span", "hit-space", titleOf(chat.workspaces.get(workspaceId) ?? { id: workspaceId })));
    hit.addEventListener("click", (event) => {
      if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      chat.open(id, { seq: match?.seq ?? 0 });
    });
    item.append(hit);
    return item;
  }
  async function search() {
    const mine = searches += 1, text = box.value.trim();
    one("#list").toggleAttribute("data-searching", Boolean(text));
    if (!text) { hits.replaceChildren(); return put(told, ""); }
    let found;
    try { found = listOf((await chat.call("GET", `/conversations?search=${encodeURIComponent(text)}`)).conversations); } catch (error) { found = error; }
    if (mine !== searches) return;  // more has been typed
    if (found instanceof Error) { hits.replaceChildren(); return put(told, words(found.message)); }
    const inside = found.filter((meta) => !chat.filter || meta.workspaceId === chat.filter);
    put(told, inside.length ? `${many(inside.length, "conversation")} found${inside.length > HITS ? `, ${HITS} are shown` : ""}` : chat.filter && found.length ? "Nothing is found in this workspace" : "Nothing is found");
    hits.replaceChildren(...inside.slice(0, HITS).map((meta) => hitOf(meta, text)));
  }
  box.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, box.value.trim() ? SEARCH_MS : 0); });
  finder.addEventListener("keydown", (event) => {
    const links = all(".hit", hits), at = links.indexOf(document.activeElement);
    if (event.key === "ArrowDown" && links.length && event.target !== chosen) { event.preventDefault(); links[Math.min(at + 1, links.length - 1)].focus(); }
    else if (event.key === "ArrowUp" && at >= 0) { event.preventDefault(); (links[at - 1] ?? box).focus(); }
    else if (event.key === "Enter" && event.target === box) { event.preventDefault(); clearTimeout(timer); search(); }
    else if (event.key === "Escape" && box.value && event.target !== chosen) { event.preventDefault(); event.stopPropagation(); box.value = ""; box.focus(); search(); }
  });
  chat.on("filter", () => { if (box.value.trim()) search(); });

  // -- the system prompt

  const prompt = one("#prompt"), promptForm = one("#prompt-form"), template = one("#prompt-text"), promptFault = one("#prompt-fault"), about = one("#prompt-about"), back = one("#prompt-back"), builtIn = one("#prompt-default");
  const CONDITION = { type: "if", description: "What stands only where a variable exists, such as [if git:branch]…[endif]; [if !git:branch] is the opposite" };
  let stored, original, isSaving = false;
  function showSize() {
    const size = new TextEncoder().encode(template.value).length, isChanged = stored !== undefined && template.value !== stored;
    put(one("#prompt-size"), `${template.value.trim() ? `${size.toLocaleString("en")} bytes` : "Empty: there is no system prompt"}${isChanged ? ", not saved" : ""}`);
    back.disabled = !isChanged;
    builtIn.disabled = original === undefined || template.value === original;
  }
  function insert(text, from = text.length, to = from) {
    template.focus();
    const at = template.selectionStart;
    if (!document.execCommand("insertText", false, text)) template.setRangeText(text, at, template.selectionEnd, "end");  // the former can be taken back with the keyboard
    template.setSelectionRange(at + from, at + to);
    showSize();
  }
  function showVariables(variables) {
    one("#prompt-chips").replaceChildren(...[...variables.filter(isObject), CONDITION].map(({ type, name, description, dynamic }) => {
      const tag = type === "if" ? "[if …]" : `[${words(type)}:${words(name)}]`;
      const chip = button("prompt-chip mono", tag, () => {
        if (type !== "if") return dynamic ? insert(tag, words(type).length + 2, tag.length - 1) : insert(tag);
        insert(`[if ]${template.value.slice(template.selectionStart, template.selectionEnd)}[endif]`, 4);
      });
      const tell = () => put(about, words(description));
      chip.title = words(description);
      chip.addEventListener("focus", tell);
      chip.addEventListener("pointerenter", tell);
      return chip;
    }));
  }
  async function openPrompt() {
    prompt.showModal();
    blame(promptFault, "");
    const isUnsaved = stored !== undefined && template.value !== stored;
    try {
      const [text, { variables }] = await Promise.all([chat.call("GET", "/system-prompt"), chat.call("GET", "/system-prompt/variables")]);
      showVariables(listOf(variables));
      stored = String(text.template ?? "");
      original = typeof text.default === "string" ? text.default : undefined;
      if (!isUnsaved) template.value = stored;  // half-written words outlive the sheet
    } catch (error) { blame(promptFault, error.message); }
    showSize();
  }
  template.addEventListener("input", showSize);
  template.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); promptForm.requestSubmit(); }
  });
  const replaceBy = (text) => { template.value = text; blame(promptFault, ""); template.focus(); showSize(); };
  back.addEventListener("click", () => replaceBy(stored ?? ""));
  builtIn.addEventListener("click", () => replaceBy(original));  // saved by who wants it
  promptForm.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isSaving) return;
    isSaving = true;
    blame(promptFault, "");
    try {
      const text = template.value;
      await chat.call("PUT", "/system-prompt", { template: text });
      stored = text;
      toast("Saved, for conversations that begin from now on");
    } catch (error) { blame(promptFault, error.message); }
    isSaving = false;
    showSize();
  });

  // -- where all of it stands

  const row = make("div", "finder-row"), models = Object.assign(make("datalist"), { id: COMPLETIONS.models }), foot = make("div", "side-foot");
  const manage = button("round", "", openSpaces), drawn = make("span"), write = button("btn btn-second btn-wide", "System prompt", openPrompt);
  chosen.setAttribute("aria-label", "Workspace");
  manage.setAttribute("aria-label", manage.title = "Workspaces");
  drawn.append(icon("M4 5h7v6H4zM13 5h7v6h-7zM4 13h7v6H4zM13 13h7v6h-7z"));
  manage.append(drawn);
  for (const opens of [manage, write]) opens.setAttribute("aria-haspopup", "dialog");
  finder.setAttribute("role", "search");
  row.append(chosen, manage);
  finder.append(row, box, told, hits);
  one("#list-search").append(finder);
  foot.append(write);
  one("#side").append(place, foot, models);
  one("#side").addEventListener("focusin", async ({ target }) => {  // names of models, once somebody wants one
    if (target.getAttribute?.("list") !== models.id || models.dataset.asked !== undefined) return;
    models.dataset.asked = "";
    try { models.replaceChildren(...listOf((await chat.call("GET", "/models")).models).map((name) => Object.assign(make("option"), { value: words(name) }))); } catch { delete models.dataset.asked; }
  });
  chat.filter = kept["chat.filter"] ?? "";
  showChoice();
})();
