// Where one writes: the message with its files, model, effort and mode, what is queued, and what the context holds. After chat-talk.js.
//
// What was written stays in the field, and in this browser, until the server has it: a connection that is dead loses nothing.
(() => {
  "use strict";
  const { one, all, put, blame } = chomp;
  const { call, send, on, emit, complain, toast, path, make, button, twice, iconButton, kept, json, metas } = chat;
  const { count, whole } = chat.figures;
  const FILES_MOST = 10, IMAGE_BYTES = 5e6, TEXT_BYTES = 256 << 10, IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
  const CLOSE = "m6 6 12 12M18 6 6 18";
  const form = one("#say"), field = one("#say-text"), sends = one("#say-send"), stops = one("#say-stop"), state = one("#say-state");
  const coarse = matchMedia("(hover: none) and (pointer: coarse)");

  // -- drafts: words in localStorage, files as long as the page is there

  const files = new Map(), edits = beside("edit"), sending = new Set(), unsure = new Map(), chosen = beside("chosen"), waits = new Map();
  function beside(name) {  // of each conversation: what belongs to its draft, and outlives the page as that does
    const held = new Map(), key = (id) => `chat.${name}.${id}`;
    const get = (id) => { if (!held.has(id)) held.set(id, json(kept[key(id)], undefined)); return held.get(id); };
    return {
      get, has: (id) => get(id) !== undefined,
      set(id, value) { held.set(id, value); try { kept[key(id)] = JSON.stringify(value); } catch { /* the storage is full: it is there as long as the page */ } },
      delete(id) { held.set(id, undefined); delete kept[key(id)]; },
    };
  }
  const draftOf = (id) => kept[`chat.draft.${id}`] ?? "";
  function keepDraft(id, text) {
    try { if (text) kept[`chat.draft.${id}`] = text; else delete kept[`chat.draft.${id}`]; } catch { /* the storage is full: it stays in the field */ }
  }
  function setDraft(id, text) {
    keepDraft(id, text);
    if (id === chat.conversation && field.value !== text) { field.value = text; showSend(); }
  }
  field.addEventListener("input", () => { later(); showSend(); });
  let saving;
  const later = () => { clearTimeout(saving); const id = chat.conversation; saving = setTimeout(() => { if (id === chat.conversation) keepDraft(id, field.value); }, 150); };
  const saveNow = () => { clearTimeout(saving); if (shown) keepDraft(shown, field.value); };
  addEventListener("pagehide", saveNow);
  let shown = "";
  on("conversation", (id) => {
    if (shown && shown !== id) saveNow();
    shown = id;
    field.value = draftOf(id);
    queue = [];
    showQueue();
    showFiles();
    showEdit();
    showSettings();
    showSend();
    listen();
  });
  on("compose", () => { if (!coarse.matches) field.focus(); });
  const isSayable = () => Boolean(field.value.trim() || (files.get(chat.conversation) ?? []).length);
  function showSend() {
    const running = Boolean(chat.talk?.running);
    sends.disabled = !isSayable() || sending.has(chat.conversation);
    const wasThere = !running && document.activeElement === stops;
    stops.hidden = !running;
    if (wasThere && !coarse.matches) field.focus();  // not lost with its button
    const words = running ? "Send: the model is told after its next tools" : "Send";
    sends.setAttribute("aria-label", words);
    sends.title = `${words} (Enter)`;
    field.placeholder = running ? "Message, for after its next step" : "Message";
    form.dataset.running = running;
  }

  // -- sending

  const has = (text, sent) => `\n\n${text}\n\n`.includes(`\n\n${sent}\n\n`);  // with files, or among others that were queued
  function confirm(id, sent, attached) {  // the server has it
    unsure.delete(id);
    const now = id === chat.conversation ? field.value : draftOf(id);
    if (now.trim() === sent) setDraft(id, "");
    else if (now.trimStart().startsWith(sent)) setDraft(id, now.trimStart().slice(sent.length).trimStart());
    files.set(id, (files.get(id) ?? []).filter((file) => !attached.includes(file)));  // what was added meanwhile is for the next one
    if (id === chat.conversation) { showFiles(); showSend(); }
    showState();
  }
  async function submit() {
    saveNow();
    let id = chat.conversation;
    if (!isSayable() || sending.has(id)) return;
    const text = field.value.trim(), attached = [...files.get(id) ?? []];
    if (attached.some(({ data }) => data === undefined)) return toast("A file is still being read");
    const edit = edits.get(id);
    let { last = 0 } = chat.talks.get(id) ?? {};
    sending.add(id);
    showSend();
    showState();
    try {
      if (edit) {
        const { newConversationId } = await call("POST", path(id, "/branch"), { beforeSeq: edit.seq });
        const old = id;
        edits.delete(old);
        sending.delete(old);
        files.delete(old);
        id = newConversationId;
        setDraft(old, edit.before);
        sending.add(id);
        files.set(id, [...attached]);
        keepDraft(id, text);
        last = edit.seq - 1;
        await chat.loadList();
        chat.open(id);
      }
      await say(id, text, attached);
    } catch (error) {
      if (error.status === 0) {  // it may have arrived: that is seen when there is a connection again
        unsure.set(id, { text, last, attached });
        toast("chomp cannot be reached: what you wrote stays here", { error: true });
        if (chat.connected) chat.talks.get(id)?.follow();
      } else complain(error);
    } finally {
      sending.delete(id);
      showSend();
      showState();
      if (!coarse.matches && !one("dialog:modal")) field.focus();
    }
  }
  async function say(id, text, attached) {
    const wanted = chosen.get(id) ?? {}, isNew = !metas.has(id), fields = { text };
    if (isNew) Object.assign(fields, { workspaceId: chat.workspace || "default" });
    for (const [name, value] of Object.entries(wanted)) if (value) fields[name] = value;
    if (attached.length) fields.attachments = attached.map(({ name, mimeType, data }) => ({ name, mimeType, data }));
    const size = attached.reduce((sum, { data }) => sum + data.length, 0);
    const { startedTurn, queue: waiting = [] } = await call("POST", path(id, "/queue"), fields, { timeout: 20000 + size / 50 });
    if (!startedTurn && attached.length && waiting.length) waits.set(waiting.at(-1).id, { text, attached });
    confirm(id, text, attached);
    chat.talks.get(id)?.toEndNow();
    if (isNew) chat.refreshList();
    for (const [name, [where, key]] of Object.entries({ reasoningEffort: ["reasoning-effort", "reasoningEffort"], mode: ["mode", "mode"] })) {
      if (wanted[name]) await call("PUT", path(id, `/${where}`), { [key]: wanted[name] }).catch(complain);
    }
    if (Object.keys(wanted).length) { chosen.delete(id); chat.refreshList(); }
  }
  on("heard", ({ id, text }) => {
    const sent = unsure.get(id);
    if (sent && has(text, sent.text)) confirm(id, sent.text, sent.attached);
  });
  on("synced", (talk) => {
    const sent = unsure.get(talk.id);
    const isQueued = talk.shown && queue.some(({ text }) => has(text, sent?.text));
    if (sent && (isQueued || talk.items.some((item) => item.kind === "user" && item.chunks[0].seq > sent.last && has(item.text, sent.text)))) confirm(talk.id, sent.text, sent.attached);
    unsure.delete(talk.id);
    showState();
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229 && !(coarse.matches && !event.ctrlKey && !event.metaKey)) {
      event.preventDefault();
      if (!event.repeat) submit();  // held since it answered a question, it is not meant for what stands here
    } else if (event.key === "ArrowUp" && !field.value && !event.shiftKey && !event.altKey) {
      const last = [...chat.talk?.items ?? [], ...chat.talk?.live?.items ?? []].findLast(({ kind }) => kind === "user");
      if (last?.chunks[0].seq) { event.preventDefault(); last.edit(); }
    }
  });
  form.addEventListener("click", ({ target }) => { if (target.closest?.(".say-box") === target) field.focus(); });

  // -- stop

  let isStopping = false;
  async function stop() {
    if (isStopping) return;
    isStopping = true;
    try { await call("POST", path(chat.conversation, "/stop")); } catch (error) { complain(error); } finally { isStopping = false; }
  }
  stops.addEventListener("click", stop);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || event.isComposing || one("dialog:modal") || event.target.closest?.("#list, #side")) return;
    if (edits.has(chat.conversation)) { event.preventDefault(); leaveEdit(); } else if (chat.talk?.running) { event.preventDefault(); stop(); }
  });

  // -- editing: a branch is made of what was before

  function apart(text) {  // one's own words, and the files that went with them
    const [own, ...rest] = text.split(/(?:^|\n\n)Attached file \(([^\n]{1,300}?)\):\n/), attached = [];
    for (let at = 0; at < rest.length; at += 2) attached.push(new File([rest[at + 1]], rest[at], { type: "text/plain" }));
    return [own, attached];
  }
  on("edit", ({ id, seq, text, images }) => {
    edits.set(id, { seq, before: edits.get(id)?.before ?? field.value, history: metas.get(id)?.compactedFrom });
    setDraft(id, apart(text)[0]);
    showEdit();
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
    takeAlong(id, text, images);
  });
  async function takeAlong(id, text, images) {  // what was attached to a message that is edited
    const [, attached] = apart(text);
    files.set(id, []);  // the images come later, and nobody else takes them along meanwhile
    for (const { url, mimeType, name } of images) {
      try { attached.push(new File([await chat.blobOf(url, mimeType)], name || "image", { type: mimeType })); } catch { toast(`${name || "An image"} cannot be taken along`, { error: true }); }
    }
    attach(id, attached);
    showFiles();
  }
  function checkEdit({ id, items }) {
    if (!edits.has(id) || !metas.has(id)) return;
    const { seq, history } = edits.get(id), item = items.find(({ kind, chunks }) => kind === "user" && chunks[0].seq === seq);
    if (history !== metas.get(id)?.compactedFrom) forgetEdit(id);
    else if (item && !files.has(id)) takeAlong(id, item.text, item.images);  // the page was loaded again
  }
  on("synced", checkEdit);
  on("list", () => { if (chat.talk?.isLoaded) checkEdit(chat.talk); });
  on("compacted", ({ id }) => forgetEdit(id));
  function forgetEdit(id) {  // its message has another number now, or none: what was written stays, as a message of its own
    edits.delete(id);
    if (id === chat.conversation) showEdit();
  }
  function leaveEdit() {
    const id = chat.conversation, { before } = edits.get(id);
    edits.delete(id);
    files.delete(id);
    setDraft(id, before);
    showFiles();
    showEdit();
    showSend();
  }
  function showEdit() {
    const place = one("#say-edit"), isOn = edits.has(chat.conversation);
    place.hidden = !isOn;
    form.toggleAttribute("data-edits", isOn);
    if (isOn && !place.firstChild) place.append(make("span", "", "Edited, it begins a branch; this conversation stays as it is."), button("say-cancel", "Cancel", leaveEdit));
  }

  // -- files

  const words = (bytes) => bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  const base64 = (file) => new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => fail(new Error(`${file.name} cannot be read`));
    reader.readAsDataURL(file);
  });
  async function attach(id, list) {
    for (const file of list) {
      const held = files.get(id) ?? [];
      if (held.length >= FILES_MOST) { toast(`${FILES_MOST} files can go with a message`, { error: true }); break; }
      const isImage = IMAGES.includes(file.type), name = (file.name || "file").slice(-200);
      if (!isImage && file.type.startsWith("image/") && file.type !== "image/svg+xml") { toast(`${name} is no PNG, JPEG, GIF or WebP image`, { error: true }); continue; }
      if (file.size > (isImage ? IMAGE_BYTES : TEXT_BYTES)) { toast(`${name} has ${words(file.size)}: ${isImage ? "an image may have 5 MB" : "a text file may have 256 KiB"}`, { error: true }); continue; }
      if (!file.size) { toast(`${name} is empty`, { error: true }); continue; }
      const one = { name, mimeType: file.type || "text/plain", size: file.size, url: isImage ? URL.createObjectURL(file) : "" };
      files.set(id, [...held, one]);
      try {
        if (!isImage && new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer()).includes("\0")) throw new Error("");
        one.data = await base64(file);
      } catch {
        files.set(id, files.get(id).filter((other) => other !== one));
        toast(`${name} is neither an image nor a text in UTF-8`, { error: true });
      }
    }
    if (id === chat.conversation) { showFiles(); showSend(); }
  }
  function showFiles() {
    const held = files.get(chat.conversation) ?? [], list = one("#say-files");
    list.hidden = !held.length;
    list.replaceChildren(...held.map((file) => {
      const made = make("li", "say-attached");
      if (file.url) made.append(Object.assign(make("img"), { src: file.url, alt: "" }));
      const text = make("span", "");
      text.append(make("b", "", file.name), make("small", "", words(file.size)));
      made.append(text, iconButton("say-remove", `Remove ${file.name}`, CLOSE, () => {
        files.set(chat.conversation, files.get(chat.conversation).filter((other) => other !== file));
        if (file.url) URL.revokeObjectURL(file.url);
        showFiles();
        showSend();
        field.focus();
      }, 13));
      return made;
    }));
  }
  const picker = one("#say-file");
  one("#say-attach").addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => { attach(chat.conversation, [...picker.files]); picker.value = ""; field.focus(); });
  field.addEventListener("paste", (event) => {
    const pasted = [...event.clipboardData?.files ?? []];
    if (!pasted.length) return;
    event.preventDefault();
    attach(chat.conversation, pasted.map((file, at) => file.name && file.name !== "image.png" ? file : new File([file], `pasted-${Date.now() % 100000}${at ? `-${at}` : ""}.${file.type.split("/")[1] ?? "txt"}`, { type: file.type })));
  });
  const talk = one("#talk");
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  talk.addEventListener("dragover", (event) => { if (carries(event)) { event.preventDefault(); talk.dataset.drop = ""; } });
  talk.addEventListener("dragleave", (event) => { if (!talk.contains(event.relatedTarget)) delete talk.dataset.drop; });
  talk.addEventListener("drop", (event) => {
    delete talk.dataset.drop;
    if (!carries(event)) return;
    event.preventDefault();
    attach(chat.conversation, [...event.dataTransfer.files]);
    field.focus();
  });

  // -- what waits for the model's next step

  let queue = [];
  const listen = () => { if (chat.conversation) send({ type: "subscribe", surfaceId: "message-queue", conversationId: chat.conversation }); };
  on("connected", listen);
  const takeQueue = (id, spec) => {
    if (spec?.id !== "message-queue" || id !== chat.conversation) return;
    queue = spec.fields?.find?.(({ rendererId }) => rendererId === "message-queue")?.payload?.messages ?? [];
    const sent = unsure.get(id);
    if (sent && queue.some(({ text }) => has(text, sent.text))) confirm(id, sent.text, sent.attached);
    showQueue();
  };
  on("surface", ({ spec, conversationId }) => takeQueue(conversationId, spec));
  on("update", ({ update }) => takeQueue(update?.conversationId, update?.spec));
  function showQueue() {
    const list = one("#say-queue");
    const conversation = chat.conversation;
    list.hidden = !queue.length;
    list.replaceChildren(...queue.map(({ id, text }) => {
      const made = make("li", "say-queued");
      made.append(make("span", "", text || "Files"), iconButton("say-remove", "Take it back", CLOSE, async () => {
        try {
          const { cancelled } = await call("DELETE", path(conversation, `/queue/${encodeURIComponent(id)}`));
          if (cancelled) takeBack(conversation, id, text);
          else toast("The model has been told already");
          field.focus();
        } catch (error) { complain(error); }
      }, 13));
      return made;
    }));
  }

  function takeBack(conversation, id, text) {  // to be changed: before what has been begun meanwhile
    const [own, attached] = apart(text), before = waits.get(id), now = conversation === chat.conversation ? field.value : draftOf(conversation);
    setDraft(conversation, [before?.text ?? own, now].filter((part) => part.trim()).join("\n\n"));
    if (before) files.set(conversation, [...before.attached, ...files.get(conversation) ?? []]);
    else attach(conversation, attached);
    waits.delete(id);
    if (conversation === chat.conversation) { showFiles(); showSend(); }
  }

  // -- model, effort, mode: the conversation's; of one that is not there yet, kept for its first message

  let models = [], windows = {}, standard = "";
  const setting = (name) => chosen.get(chat.conversation)?.[name] ?? metas.get(chat.conversation)?.[name] ?? "";
  async function choose(name, value) {
    const id = chat.conversation, meta = metas.get(id);
    if (!meta) {
      chosen.set(id, { ...chosen.get(id), [name]: value });
      return showSettings();
    }
    const [where, key] = { model: ["model", "model"], reasoningEffort: ["reasoning-effort", "reasoningEffort"], mode: ["mode", "mode"] }[name];
    try {
      await call("PUT", path(id, `/${where}`), { [key]: value || null });
      meta[name] = value || undefined;
      emit("meta", meta);
      if (name === "mode" && chat.talk?.running) toast("From the next turn on");
    } catch (error) { complain(error); }
    showSettings();
  }
  const short = (name) => name.split("/").at(-1);
  function showSettings() {
    const model = setting("model"), effort = one("#say-effort"), mode = one("#say-mode");
    put(one("#say-model-name"), short(model || standard) || "Model");
    one("#say-model").title = model ? `Model: ${model}` : standard ? `Model: ${standard}, the default` : "Model";
    effort.value = setting("reasoningEffort");
    mode.value = setting("mode");
    form.dataset.mode = mode.value;
    showGauge();
  }
  one("#say-effort").addEventListener("change", ({ target }) => choose("reasoningEffort", target.value));
  one("#say-mode").addEventListener("change", ({ target }) => choose("mode", target.value));
  on("meta", showSettings);
  async function loadModels() {
    try {
      const found = await call("GET", "/models");
      models = found.models ?? [];
      windows = Object.fromEntries(Object.entries(found.modelInfo ?? {}).map(([name, { contextWindow }]) => [name, contextWindow]));
      standard = found.defaultModel ?? "";
    } catch { /* a name can be written all the same */ }
    showSettings();
    if (sheet.open) list();
  }
  const sheet = one("#models"), find = one("#models-find"), options = one("#models-list");
  let active = 0;
  function list() {
    const wanted = find.value.toLowerCase().split(/\s+/).filter(Boolean), now = setting("model");
    const found = models.filter((name) => wanted.every((word) => name.toLowerCase().includes(word)));
    const rows = found.slice(0, 80).map((name) => ({ value: name, words: name, more: windows[name] ? `${count(windows[name])} context` : "" }));
    if (!wanted.length) rows.unshift({ value: "", words: standard ? `Default: ${standard}` : "Default", more: windows[standard] ? `${count(windows[standard])} context` : "" });
    else if (find.value.includes("/") && !models.includes(find.value.trim())) rows.push({ value: find.value.trim(), words: find.value.trim(), more: "not in the list" });
    active = Math.max(0, wanted.length ? 0 : rows.findIndex(({ value }) => value === now));
    options.replaceChildren(...rows.map(({ value, words: text, more }, at) => {
      const option = make("li", "models-option");
      option.id = `model-option-${at}`;
      option.dataset.value = value;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", String(at === active));
      option.append(make("span", "mono", text), make("small", "", value === now ? `${more ? `${more} · ` : ""}in use` : more));
      return option;
    }));
    if (!rows.length) options.append(Object.assign(make("li", "list-none", "No model is called so"), { role: "option" }));
    mark();
  }
  function mark() {
    const rows = all("[data-value]", options);
    rows.forEach((row, at) => row.setAttribute("aria-selected", String(at === active)));
    find.setAttribute("aria-activedescendant", rows[active]?.id ?? "");
    rows[active]?.scrollIntoView({ block: "nearest" });
  }
  const pick = (row) => { if (!row) return; sheet.close(); choose("model", row.dataset.value); field.focus(); };
  one("#say-model").addEventListener("click", () => { find.value = ""; list(); sheet.showModal(); list(); if (!coarse.matches) find.focus(); loadModels(); });
  find.addEventListener("input", list);
  find.addEventListener("keydown", (event) => {
    const rows = all("[data-value]", options);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && rows.length) { event.preventDefault(); active = (active + step + rows.length) % rows.length; mark(); } else if (event.key === "Enter") { event.preventDefault(); pick(rows[active]); }
  });
  options.addEventListener("click", ({ target }) => pick(target.closest("[data-value]")));

  // -- what the context holds: as measured; of a model whose window nobody tells, tokens alone

  const gauge = one("#say-gauge");
  function showGauge() {
    const size = chat.talk?.size ?? 0, window_ = windows[setting("model") || standard];
    gauge.hidden = !size;
    if (!size) return;
    const text = window_ ? `${count(size)} of ${count(window_)} tokens` : `${count(size)} tokens`;
    const share = window_ ? Math.min(1, size / window_) : 0;
    if (gauge.dataset.text === `${text}${share}`) return;
    gauge.dataset.text = `${text}${share}`;
    const bar = make("i", "gauge");
    bar.style.setProperty("--share", share.toFixed(3));
    bar.toggleAttribute("data-full", share > 0.85);
    gauge.replaceChildren(...window_ ? [bar] : [], make("span", "", text));
    gauge.title = window_ ? `The context holds ${size.toLocaleString("en")} of ${window_.toLocaleString("en")} tokens: ${Math.round(share * 100)} %` : `The context holds ${size.toLocaleString("en")} tokens`;
  }

  // -- how it stands

  const compacting = new Set();
  let lostAt = 0;
  function showState() {
    const { talk: now, conversation: id } = chat, { live } = now ?? {};
    let text = "";
    if (lostAt && Date.now() - lostAt > 1200) text = "Connecting again …";
    else if (unsure.has(id)) text = "Not sent yet: it stays here";
    else if (sending.has(id)) text = "Sending …";
    else if (compacting.has(id)) text = "Compacting …";
    else if (live?.retry) text = "Waiting for the model";
    else if (live && chat.questions.some(({ conversationId }) => conversationId === id)) text = "Waits for your yes";
    else if (live) text = `Working · ${whole(Date.now() - live.began)}`;
    put(state, text);
    state.dataset.state = lostAt ? "lost" : live ? "runs" : "";
  }
  on("turn", (which) => { if (which !== chat.talk) return; showSend(); showState(); showGauge(); });
  on("tick", showState);
  on("questions", showState);
  on("connected", () => { lostAt = 0; showState(); });
  on("disconnected", () => { lostAt = Date.now(); setTimeout(showState, 1300); });

  // -- the conversation as a whole

  const more = one("#more"), body = one("#more-body");
  function showMore() {
    const id = chat.conversation, meta = metas.get(id);
    if (!meta) { body.replaceChildren(make("p", "text-sm text-muted", chat.talk?.items.length ? "…" : "It begins with your first message.")); return; }
    const name = make("form", "more-name"), label = make("label", "label", "Title"), title = Object.assign(make("input", "field"), { id: "more-title", name: "title", value: meta.title, maxLength: 200, required: true });
    label.htmlFor = title.id;
    const row = make("div", "more-row");
    row.append(title, Object.assign(make("button", "btn btn-second", "Rename"), { type: "submit" }));
    name.append(label, row);
    name.noValidate = true;
    name.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!title.value.trim()) return blame(name, { param: "title", message: "A title has at least one sign." });
      try { await call("PUT", path(id, "/title"), { title: title.value.trim() }); meta.title = title.value.trim(); more.close(); chat.loadList(); } catch (error) { complain(error); }
    });
    const facts = make("dl", "grid2"), add = (words_, text) => { const part = make("div"); part.append(make("dt", "", words_), make("dd", "", text)); facts.append(part); };
    add("Begun", new Date(meta.createdAt).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }));
    add("Context", chat.talk?.size ? `${chat.talk.size.toLocaleString("en")} tokens` : "–");
    add("Workspace", chat.workspaces.get(meta.workspaceId)?.title ?? meta.workspaceId);
    add("Folder", meta.cwd || "Its workspace's");
    const act = (words_, className, hint_, click) => {
      const part = make("div"), made = button(`btn ${className} btn-wide`, words_, () => click(made));
      part.append(made, make("p", "hint", hint_));
      return part;
    };
    const compact = act("Compact", "btn-second", "A summary takes the place of all but the last messages; the whole stays as a closed conversation.", async (made) => {
      made.disabled = true;
      put(made, "Compacting …");
      compacting.add(id);
      showState();
      try { await call("POST", path(id, "/compact"), {}, { timeout: 600000 }); if (made.isConnected) more.close(); } catch (error) { complain(error); } finally { made.disabled = false; put(made, "Compact"); compacting.delete(id); showState(); }
    });
    const close = meta.status === "closed" ? [] : [act("Close", "btn-second", "What runs is stopped, what is queued is forgotten. It can be gone on with.", async () => {
      try { await call("POST", path(id, "/close")); more.close(); chat.closeTab(id); chat.loadList(); } catch (error) { complain(error); }
    })];
    const drop = make("div");
    drop.append(twice("btn btn-danger btn-wide", "Delete", "Delete it for good", async () => {
      try { await call("DELETE", path(id)); more.close(); keepDraft(id, ""); edits.delete(id); chosen.delete(id); chat.closeTab(id); chat.loadList(); } catch (error) { complain(error); }
    }), make("p", "hint", "All of it goes, for good."));
    body.replaceChildren(name, facts, compact, ...close, drop);
  }
  one("#show-more").addEventListener("click", () => { showMore(); more.showModal(); });
  on("meta", () => { if (more.open && !one("form", body)) showMore(); });  // the list came after the sheet was opened
  on("tab-closed", (id) => { if (metas.has(id)) return; keepDraft(id, ""); chosen.delete(id); edits.delete(id); });

  loadModels();
  if (!coarse.matches) document.addEventListener("htmx:after:swap", () => { if (document.activeElement === document.body) field.focus(); }, { once: true });

})();
