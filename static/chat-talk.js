// A conversation as it is shown: what is stored, by number, and behind it the turn that runs, told in events. After chat.js.
//
// `turn-start` says with which number the running turn begins in the store: below it the store is shown, from it on the events,
// all of which come again after each subscription. When a turn is sealed, what its events came to is compared with what was
// stored; only where they differ is it made anew. So nothing is lost or doubled, however often the connection was.
(() => {
  "use strict";
  const { one, all, put } = chomp;
  const { call, send, on, emit, complain, toast, settled, path, make, button, iconButton, icon } = chat;
  const WINDOW = 100, CATCH_UP = 500, ALIVE = 4, LIVE_OUTPUT = 4000, OUTPUT_MOST = 64 << 10, SHOWN_MOST = 20000, LONG_MESSAGE = 2400;
  const IMAGES = /^image\/(png|jpeg|gif|webp)$/;
  const COPY = "M9 9h10v11H9zM5 15V4h10", PEN = "M4 20h4L19 9a2.1 2.1 0 0 0-3-3L5 17l-1 3Z", BRANCH = "M7 6v12M7 9a3 3 0 1 0 0-6 3 3 0 0 0 0 6Zm0 12a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM17 9a3 3 0 1 0 0-6 3 3 0 0 0 0 6Zm0 0c0 4-4 5-7.5 6.5", BACK = "M9 14 4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3";
  const place = one("#lines"), told = one("#told");

  // -- figures in words

  const count = (n) => n < 1000 ? String(n) : n < 9950 ? `${(n / 1000).toFixed(1)}k` : n < 999500 ? `${Math.round(n / 1000)}k` : `${(n / 1e6).toFixed(1)}M`;
  const span = (ms) => ms < 1000 ? `${Math.round(ms)} ms` : ms < 10000 ? `${(ms / 1000).toFixed(1)} s` : ms < 60000 ? `${Math.round(ms / 1000)} s` : ms < 3600000 ? `${Math.floor(ms / 60000)} min ${Math.round(ms % 60000 / 1000)} s` : `${Math.floor(ms / 3600000)} h ${Math.round(ms % 3600000 / 60000)} min`;

  const whole = (ms) => ms < 60000 ? `${Math.floor(ms / 1000)} s` : span(Math.floor(ms / 1000) * 1000);  // while it goes on

  // -- what a tool is called with, as people read it

  const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  function hint(input) {
    if (!isObject(input)) return typeof input === "string" ? input.slice(0, 200) : "";
    const found = ["command", "path", "file", "file_path", "query", "url", "name", "pattern", "title", "prompt"].map((name) => input[name]).find((value) => typeof value === "string" && value)
      ?? Object.values(input).find((value) => typeof value === "string" && value) ?? "";
    return found.split("\n", 1)[0].slice(0, 200);
  }
  function pre(text, label, className = "tool-text") {
    const made = make("pre", className);
    made.tabIndex = 0;
    made.setAttribute("role", "region");
    made.setAttribute("aria-label", label);
    const isLong = text.length > SHOWN_MOST;
    made.textContent = isLong ? text.slice(0, SHOWN_MOST) : text;
    if (!isLong) return [made];
    const more = button("tool-more", `Show all ${text.length.toLocaleString("en")} characters`, () => { made.textContent = text; more.remove(); });
    return [made, more];
  }
  function argumentsOf(name, input) {  // nodes
    if (!isObject(input)) return pre(typeof input === "string" ? input : JSON.stringify(input, null, 2) ?? "", "Arguments");
    const rest = { ...input }, parts = [];
    const take = (key) => { const value = rest[key]; delete rest[key]; return value; };
    if (typeof rest.command === "string") parts.push(...pre(take("command"), "Command", "tool-text tool-command"));
    if (typeof rest.path === "string") parts.push(make("p", "tool-path", take("path")));
    if (typeof rest.old_string === "string" && typeof rest.new_string === "string") {
      const diff = make("div", "diff tool-diff");
      diff.tabIndex = 0;
      diff.setAttribute("role", "region");
      diff.setAttribute("aria-label", "The change");
      for (const [kind, sign, text] of [["cut", "-", take("old_string")], ["add", "+", take("new_string")]]) {
        for (const line of text === "" ? [] : text.replace(/\n$/, "").split("\n").slice(0, 2000)) { const row = make("div", "", `${sign} ${line}`); row.dataset.is = kind; diff.append(row); }
      }
      parts.push(diff);
    }
    if (typeof rest.content === "string") parts.push(...pre(take("content"), "Content"));
    if (Object.keys(rest).length) {
      const list = make("dl", "tool-fields");
      for (const [key, value] of Object.entries(rest)) {
        const text = typeof value === "string" ? value : JSON.stringify(value, null, 1);
        const shown = make("dd");
        if (text.length > 300 || text.includes("\n")) shown.append(...pre(text, key)); else shown.textContent = text;
        list.append(make("dt", "", key), shown);
      }
      parts.push(list);
    }
    return parts.length ? parts : [make("p", "tool-none", "No arguments")];
  }

  // -- one call of a tool

  class Tool {
    constructor(talk, { toolCallId = "", toolName = "", input, stepId = "" }, isLive) {
      Object.assign(this, { talk, id: toolCallId, name: toolName, input, stepId, output: "", result: undefined });
      this.node = make("div", "tool");
      this.fold = make("details", "");
      const head = make("summary", "");
      this.clock = make("span", "tool-time");
      this.word = make("span", "sr-only");
      head.append(make("i", "tool-dot"), make("b", "", toolName || "tool"), make("span", "tool-hint", hint(input)), this.clock, this.word);
      this.inside = make("div", "tool-inside");
      this.fold.append(head, this.inside);
      this.fold.addEventListener("toggle", () => this.fill());
      this.node.append(this.fold);
      this.began = isLive && !talk.isReplayed ? Date.now() : 0;  // when it began is not told again
      this.state = isLive ? "running" : "left";
      this.showChild();
    }
    set state(value) {
      this.node.dataset.state = value;
      put(this.word, { running: "runs", asks: "waits for your yes", done: "done", failed: "failed", left: "" }[value] ?? "");
    }
    get state() { return this.node.dataset.state; }
    fill() {
      if (!this.fold.open || this.filled) return;
      this.filled = true;
      this.place = make("div", "tool-result");
      this.inside.append(...argumentsOf(this.name, this.input), this.place);
      this.showResult();
    }
    showResult() {
      if (!this.filled) return;
      if (!this.result) { this.place.replaceChildren(...this.output ? pre(this.output, "Output") : []); return; }
      const { content, isError } = this.result;
      const label = make("p", "tool-label", isError ? "Failed" : "Result");
      this.place.replaceChildren(label, ...content ? pre(content, "Result") : [make("p", "tool-none", "Nothing was said")]);
    }
    say(data) {
      if (this.output.length > OUTPUT_MOST) return;
      this.output += data;
      if (!this.live) {
        this.live = make("pre", "tool-live");
        this.live.setAttribute("aria-hidden", "true");
        this.node.append(this.live);
      }
      this.behind = true;
    }
    flush() {
      if (!this.behind) return;
      this.behind = false;
      if (this.live) { this.live.textContent = this.output.slice(-LIVE_OUTPUT); this.live.scrollTop = this.live.scrollHeight; }
      if (this.filled && !this.result) {
        const shown = one("pre", this.place);
        if (shown) shown.textContent = this.output.slice(-SHOWN_MOST); else this.showResult();
      }
    }
    end(result, ms) {
      this.result = result;
      this.live?.remove();
      this.live = undefined;
      this.state = result.isError ? "failed" : "done";
      if (ms !== undefined) put(this.clock, span(ms));
      else if (this.began) put(this.clock, "");
      this.showResult();
    }
    leave() {  // nothing more comes of it
      this.live?.remove();
      this.live = undefined;
      if (this.state === "running" || this.state === "asks") this.state = "left";
      this.began = 0;
    }
    tick() { if (this.began && !this.result && (this.state === "running" || this.state === "asks")) put(this.clock, whole(Date.now() - this.began)); }
    showChild(child) {
      const found = child ?? [...chat.metas.values()].filter(({ parentId, parentCall }) => parentId === this.talk.id && parentCall === this.id).map(({ id, title, status }) => ({ childId: id, title, status })).at(-1);
      if (!found) return;
      this.child ??= make("a", "tool-child");
      this.child.href = `/chat?c=${encodeURIComponent(found.childId)}`;
      this.child.dataset.open = found.childId;
      this.child.dataset.state = found.status;
      this.child.replaceChildren(make("i"), make("span", "", found.title || "Sub-agent"), make("span", "tool-time", found.status === "active" ? "works" : "open"));
      if (!this.child.isConnected) this.node.append(this.child);
    }
  }

  // -- images of messages: a link to a copy in the browser, whose kind is one of four and so never a page

  const looked = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) { looked.unobserve(target); target.load(); }
  }, { rootMargin: "400px" });
  async function blobOf(url, mimeType) {
    const type = IMAGES.test(mimeType) ? mimeType : "image/png";
    if (/^data:image\/(png|jpeg|gif|webp);base64,/.test(url)) return new Blob([Uint8Array.from(atob(url.split(",", 2)[1]), (sign) => sign.charCodeAt(0))], { type });
    if (!url.startsWith("/conversations/")) throw new Error("the image is somewhere else");
    const answer = await chomp.fetch(url);
    if (!answer.ok) throw new Error(`chomp answered ${answer.status}`);
    return new Blob([await answer.arrayBuffer()], { type });
  }
  function imageOf({ url = "", mimeType = "", name = "" }) {
    const link = make("a", "said-image"), image = make("img");
    image.alt = name || "Image";
    link.title = name || "Image";
    link.target = "_blank";
    link.rel = "noopener";
    link.append(image);
    link.load = async () => {
      try {
        const blob = await blobOf(url, mimeType);
        image.src = link.href = URL.createObjectURL(blob);
        image.onload = () => link.talk?.stay();
      } catch { link.replaceChildren(make("span", "", `${name || "Image"} cannot be shown`)); }
    };
    looked.observe(link);
    return link;
  }

  // -- what a person said

  const ATTACHED = /(?:^|\n\n)Attached file \(([^\n]{1,300}?)\):\n/;
  function words(text) {  // nodes
    const parts = text.split(ATTACHED), found = [];
    if (parts[0]) {
      const shown = make("div", "said-text", parts[0]);
      found.push(shown);
      if (parts[0].length > LONG_MESSAGE || parts[0].split("\n").length > 24) {
        shown.dataset.clamped = "";
        const more = button("said-more", "Show all", () => { more.remove(); delete shown.dataset.clamped; });
        found.push(more);
      }
    }
    for (let at = 1; at < parts.length; at += 2) {
      const fold = make("details", "said-file"), head = make("summary", "");
      head.append(make("span", "mono", parts[at]), make("span", "tool-time", `${count(parts[at + 1].length)} characters`));
      fold.append(head);
      fold.addEventListener("toggle", () => { if (fold.open && fold.children.length < 2) fold.append(...pre(parts[at + 1], parts[at])); });
      found.push(fold);
    }
    return found;
  }

  class Said {
    kind = "user";
    constructor(talk, chunks, isSteering = false) {
      this.talk = talk;
      this.chunks = chunks;
      this.node = make("article", "said");
      if (isSteering) this.node.dataset.steering = "";
      this.show();
    }
    get text() { return this.chunks.filter(({ chunk }) => chunk.type === "text").map(({ chunk }) => chunk.text).join("\n"); }
    get images() { return this.chunks.filter(({ chunk }) => chunk.type === "image").map(({ chunk }) => chunk); }
    show(waiting = 0) {
      const box = make("div", "said-box");
      const images = this.images;
      if (images.length) {
        const row = make("div", "said-images");
        row.append(...images.map((chunk) => { const made = imageOf(chunk); made.talk = this.talk; return made; }));
        box.append(row);
      } else if (waiting) box.append(make("p", "tool-none", `${waiting} ${waiting === 1 ? "image" : "images"}`));
      box.append(...words(this.text));
      const acts = make("div", "acts");
      acts.append(iconButton("act", "Copy", COPY, () => copy(this.text)), iconButton("act act-edit", "Edit, in a branch", PEN, () => this.edit()));
      this.node.replaceChildren(make("h2", "sr-only", "You"), box, acts);
    }
    edit() {
      const { seq } = this.chunks[0];
      if (!seq) return toast("One moment: it is not stored yet");
      emit("edit", { id: this.talk.id, seq, text: this.text, images: this.images });
    }
  }
  async function copy(text) {
    try { await navigator.clipboard.writeText(text); toast("Copied"); } catch { toast("Copying is not allowed here", { error: true }); }
  }

  // -- what the model did until a person said something again

  class Run {
    kind = "run";
    constructor(talk) {
      this.talk = talk;
      this.chunks = [];
      this.parts = [];  // {type, node, ...}
      this.tools = new Map();  // the latest of each id
      this.facts = {};
      this.node = make("article", "run");
      this.foot = make("div", "acts run-acts");
      this.node.append(make("h2", "sr-only", "chomp"), this.foot);
      this.foot.append(iconButton("act", "Copy the answer", COPY, () => copy(this.text)), iconButton("act", "Branch from here", BRANCH, () => this.branch()));
      this.revert = iconButton("act act-revert", "Revert this turn", BACK, () => this.askRevert());
      this.said = make("span", "run-facts");
      this.foot.append(this.revert, this.said);
      this.revert.hidden = true;
    }
    get text() { return this.parts.filter(({ type }) => type === "text").map((part) => part.stream?.text ?? part.text).join("\n\n"); }
    get turnId() { return this.facts.turnId ?? this.parts.map((part) => part.tool?.stepId?.split("#")[0]).find(Boolean); }
    put(part) {
      this.parts.push(part);
      this.foot.before(part.node);
      return part;
    }
    showFoot() {
      const { reason, durationMs, usage } = this.facts;
      const found = [];
      if (reason && !["stop", "error", "tool_calls"].includes(reason)) found.push({ aborted: "Stopped", length: "Cut off: the most tokens of an answer", loop: "Ended: it went in circles", "max-steps": "Ended: the most steps" }[reason] ?? `Ended: ${reason}`);
      if (durationMs) found.push(span(durationMs));
      if (usage && (usage.inputTokens || usage.outputTokens)) found.push(`${count(usage.inputTokens)} in, ${count(usage.outputTokens)} out`);
      put(this.said, found.join(" · "));
      const undo = this.turnId ? chat.undo?.[this.turnId] : undefined;
      this.revert.hidden = !undo || undo.state !== "open" || !undo.files?.length;
      this.node.toggleAttribute("data-reverted", undo?.state === "reverted");
      if (undo?.state === "reverted") put(this.said, ["Its files are as before", ...found].join(" · "));
    }
    async branch() {
      const last = this.chunks.at(-1)?.seq;
      if (!last) return toast("One moment: it is not stored yet");
      try {
        const found = await call("POST", path(this.talk.id, "/branch"), { beforeSeq: last + 1 });
        chat.refreshList();
        chat.open(found.newConversationId);
        toast("A branch: the other conversation stays as it is");
      } catch (error) { complain(error); }
    }
    askRevert() {
      const undo = chat.undo[this.turnId], sheet = one("#revert"), body = one("#revert-body"), list = make("ul", "revert-files");
      list.append(...undo.files.map(({ path: name, change }) => { const row = make("li"); row.append(make("span", "chip", change), make("span", "mono", name)); return row; }));
      if (undo.more) list.append(make("li", "text-muted", `and ${undo.more} more`));
      const go = button("btn btn-primary btn-wide", "Revert", async () => {
        go.disabled = true;
        fault.hidden = true;
        try {
          const found = await call("POST", path(this.talk.id, "/undo"), { turnId: this.turnId });
          undo.state = "reverted";
          sheet.close();
          toast(found.note || `${found.restored?.length ?? 0} files are as they were`);
          this.showFoot();
          emit("reverted", { turnId: this.turnId });
        } catch (error) { fault.textContent = error.message; fault.hidden = false; } finally { go.disabled = false; }
      });
      const fault = make("p", "notice");
      fault.hidden = true;
      fault.setAttribute("role", "alert");
      body.replaceChildren(make("p", "text-sm text-muted", "These files become as they were before it. What was said stays."), list);
      if (undo.skipped?.length) body.append(make("p", "hint", `Not kept, and so not reverted: ${undo.skipped.map(({ path: name, reason }) => `${name} (${reason})`).join(", ")}`));
      body.append(fault, go);
      sheet.showModal();
    }

    // what is stored, as parts
    take(entry) {
      this.chunks.push(entry);
      const { chunk } = entry;
      switch (chunk.type) {
        case "text": if (chunk.text) this.put({ type: "text", text: chunk.text, node: chatText.render(make("div", "md"), chunk.text) }); break;
        case "thinking": if (chunk.text) this.think(chunk.text); break;
        case "tool-call": this.addTool(chunk); break;
        case "tool-result": this.endTool(chunk); break;
        case "error": this.err(chunk); break;
        case "system": this.put({ type: "system", node: this.summary(chunk.text) }); break;
        default: break;  // of a later server
      }
    }
    think(text, isLive = false) {
      const fold = make("details", "thought"), head = make("summary", ""), body = make("div", "thought-text", text);
      head.append(make("span", "", isLive ? "Thinking …" : "Thought"), make("span", "tool-time"));
      fold.append(head, body);
      return this.put({ type: "thinking", node: fold, head, body, isLive, began: isLive && !this.talk.isReplayed ? Date.now() : 0, pending: "" });
    }
    addTool(chunk, isLive = false) {
      const tool = new Tool(this.talk, chunk, isLive);
      this.tools.set(chunk.toolCallId, tool);
      this.put({ type: "tool", node: tool.node, tool });
      return tool;
    }
    endTool({ toolCallId, toolName, content = "", isError = false, durationMs, stepId }) {
      const tool = this.tools.get(toolCallId) ?? this.addTool({ toolCallId, toolName, input: {}, stepId });
      tool.end({ content: String(content), isError }, durationMs);
    }
    err({ message = "", code }) {
      const node = make("p", "notice run-error", message);
      if (code) node.append(make("span", "tool-time", ` ${code}`));
      this.put({ type: "error", node });
    }
    summary(text) {
      const fold = make("details", "summary"), head = make("summary", "");
      head.append(icon("M4 7h16M7 12h10M10 17h4", 14), make("span", "", "A summary of what was before"));
      fold.append(head, chatText.render(make("div", "md"), text));
      const archive = chat.metas.get(this.talk.id)?.compactedFrom;
      if (archive) {
        const link = make("a", "link", "All of it");
        link.href = `/chat?c=${encodeURIComponent(archive)}`;
        link.dataset.open = archive;
        fold.append(link);
      }
      return fold;
    }
  }

  function grouped(talk, entries) {  // items of stored chunks
    const items = [];
    for (const entry of entries) {
      const last = items.at(-1), isUser = entry.role === "user" && ["text", "image"].includes(entry.chunk?.type);
      if (isUser) {
        const joins = last?.kind === "user" && (entry.chunk.type === "image" || !last.entries.some(({ chunk }) => chunk.type === "text"));
        if (joins) last.entries.push(entry); else items.push({ kind: "user", entries: [entry] });
      } else if (last?.kind === "run") last.entries.push(entry); else items.push({ kind: "run", entries: [entry] });
    }
    return items;
  }
  function build(talk, entries) {
    return grouped(talk, entries).map(({ kind, entries: own }) => {
      if (kind === "user") return new Said(talk, own);
      const run = new Run(talk);
      for (const entry of own) run.take(entry);
      run.showFoot();
      return run;
    });
  }

  // -- the turn that runs

  class Turn {
    constructor(talk, id) {
      this.talk = talk;
      this.id = id;
      this.seq = 0;
      this.latest = Infinity;  // its last chunk in the store
      this.items = [];
      this.log = [];  // as the store will have it
      this.tools = new Map();
      this.facts = { turnId: id };
      this.node = make("div", "turn");
      this.node.dataset.runs = "";
      const began = talk.isReplayed ? Number(/^turn-(\d+)-/.exec(id)?.[1] ?? Infinity) : Infinity;
      this.began = Math.min(Date.now(), began);  // it may have gone on for long
    }
    add(item) { this.items.push(item); this.node.append(item.node); return item; }
    get run() { const last = this.items.at(-1); return last?.kind === "run" ? last : this.add(new Run(this.talk)); }

    hear(event) {
      if (this.retry && event.type !== "provider-retry") { this.retry.node.remove(); this.retry = undefined; }
      switch (event.type) {
        case "user-message": case "steering": this.say(event); break;
        case "turn-start": this.start(event); break;
        case "text-delta": this.write("text", event.delta); break;
        case "reasoning-delta": this.write("thinking", event.delta); break;
        case "tool-call": {
          this.close();
          this.log.push({ role: "assistant", chunk: { type: "tool-call", ...event } });
          this.tools.set(event.toolCallId, this.run.addTool(event, true));
          break;
        }
        case "tool-output": { const tool = this.tools.get(event.toolCallId); if (tool) { tool.say(String(event.data ?? "")); this.talk.soon(); } break; }
        case "tool-result": {
          this.close();
          this.log.push({ role: "tool", chunk: { type: "tool-result", ...event } });
          this.tools.get(event.toolCallId)?.end({ content: String(event.content ?? ""), isError: event.isError }, event.durationMs);
          break;
        }
        case "child": this.tools.get(event.toolCallId)?.showChild(event); chat.refreshList(); break;
        case "usage": if (event.usage) { this.size = (event.usage.inputTokens ?? 0) + (event.usage.outputTokens ?? 0); this.talk.size = this.size; } break;
        case "step-complete": this.close(); break;
        case "provider-retry": this.pause(event); break;
        case "approval": { const tool = this.tools.get(event.callId); if (tool) tool.state = "asks"; break; }
        case "approval-answered": { const tool = this.tools.get(event.callId); if (tool?.state === "asks") tool.state = "running"; break; }
        case "error": this.close(); this.error = event; this.log.push({ role: "assistant", chunk: { type: "error", message: event.message, code: event.code } }); this.run.err(event); break;
        case "done": {
          this.close();
          Object.assign(this.facts, { reason: event.reason, durationMs: event.durationMs, usage: event.usage });
          if (event.contextSize) this.talk.size = event.contextSize;
          delete this.node.dataset.runs;
          for (const tool of this.tools.values()) tool.leave();
          if (this.items.at(-1)?.kind === "run" || event.reason !== "stop") this.run.facts = this.facts;
          this.run.showFoot();
          break;
        }
        default: break;  // of a later server
      }
    }
    say({ type, text = "", images = 0 }) {
      this.close();
      const entry = { role: "user", chunk: { type: "text", text } };
      this.log.push(entry);
      const item = this.add(new Said(this.talk, [entry], type === "steering"));
      if (images) { item.show(images); this.images = { item, images }; }
      if (this.seq && images) this.showImages();
    }
    start({ seq }) {
      this.seq = seq ?? this.talk.last + 1;
      if (this.images) this.showImages();
    }
    async showImages() {  // those of the message with which it began
      const { item, images } = this.images, { seq } = this;
      if (item !== this.items[0]) return;
      try {
        const { chunks } = await call("GET", path(this.talk.id, `?sinceSeq=${seq - 1}&beforeSeq=${seq + images + 1}`));
        const found = chunks.filter(({ role }) => role === "user");
        if (!found.length || this.isAdopted) return;
        item.chunks = found;
        item.show();
      } catch { /* they are there when the turn is sealed */ }
    }
    write(type, delta) {
      if (typeof delta !== "string" || !delta) return;
      if (this.open?.type !== type) {
        this.close();
        this.log.push({ role: "assistant", chunk: { type, text: "" } });
        const { run } = this;
        if (type === "thinking") this.open = run.think("", true);
        else {
          const node = make("div", "md");
          this.open = run.put({ type, node, stream: new chatText.Stream(node) });
        }
      }
      this.log.at(-1).chunk.text += delta;
      if (this.open.stream) this.open.stream.add(delta); else this.open.pending += delta;
      this.talk.soon();
    }
    close() {  // what comes next is a part of its own
      const { open } = this;
      if (!open) return;
      this.open = undefined;
      this.flushPart(open);
      if (open.stream) open.stream.finish();
      else if (open.isLive) {
        put(open.head.firstChild, "Thought");
        put(open.head.lastChild, open.began && Date.now() - open.began >= 1000 ? span(Date.now() - open.began) : "");
      }
    }
    flushPart(part) {
      if (part.stream) part.stream.show();
      else if (part.pending) { part.body.append(part.pending); part.pending = ""; }
    }
    flush() {
      if (this.open) this.flushPart(this.open);
      for (const tool of this.tools.values()) tool.flush();
    }
    pause({ attempt = 0, delayMs = 0, message = "" }) {
      if (!this.retry) {
        this.retry = { node: make("p", "run-retry") };
        this.run.put({ type: "retry", node: this.retry.node });
      }
      Object.assign(this.retry, { until: Date.now() + delayMs, message, attempt });
      this.tick();
    }
    tick() {
      for (const tool of this.tools.values()) tool.tick();
      if (!this.retry) return;
      const left = Math.max(0, this.retry.until - Date.now());
      put(this.retry.node, `${this.retry.message} – asked again ${left ? `in ${whole(left + 999)}` : "now"} (${this.retry.attempt + 2}. time)`);
    }
    end() {
      this.close();
      this.retry?.node.remove();
      for (const tool of this.tools.values()) tool.leave();
    }
  }

  const sign = ({ role, chunk }) => {
    switch (chunk.type) {
      case "text": case "thinking": case "system": return [chunk.type, role, chunk.text];
      case "tool-call": return ["call", chunk.toolCallId, chunk.toolName, chunk.input];
      case "tool-result": return ["result", chunk.toolCallId, chunk.content, Boolean(chunk.isError)];
      case "error": return ["error", chunk.message];
      default: return [chunk.type];
    }
  };
  function same(log, entries) {  // whether what was told is what was stored; results come in an order of their own
    const shape = (list) => {
      const kept = list.filter(({ chunk }) => chunk.type !== "image" && !(chunk.type === "thinking" && !chunk.text)).map(sign);
      return JSON.stringify([kept.filter(([kind]) => kind !== "result"), kept.filter(([kind]) => kind === "result")]);
    };
    return shape(log) === shape(entries);
  }

  // -- a conversation

  class Talk {
    constructor(id) {
      this.id = id;
      this.items = [];
      this.first = this.last = 0;  // numbers of what is shown of the store
      this.version = 0;  // of that: what was asked for before is for another
      this.sealed = [];  // turns that are over, whose chunks are still to come
      this.size = 0;  // tokens of the context, as far as known
      this.node = make("div", "talk-scroll");
      this.node.tabIndex = 0;
      this.node.setAttribute("role", "region");
      this.node.setAttribute("aria-label", "Messages");
      this.head = make("div", "talk-head");
      this.box = make("div", "talk-items");
      this.empty = make("div", "talk-empty");
      this.toEnd = make("div", "to-end");
      const down = iconButton("round", "To the end", "M12 5v14m-6-6 6 6 6-6", () => { this.pinned = true; this.stay(); });
      const inside = make("span");
      inside.append(...down.childNodes);
      down.append(inside);
      this.toEnd.append(down);
      this.toEnd.hidden = true;
      this.node.append(this.head, this.empty, this.box, this.toEnd);
      this.empty.hidden = true;
      this.pinned = true;
      this.top = 0;
      this.node.addEventListener("scroll", () => this.scrolled(), { passive: true });
      this.box.addEventListener("click", ({ target }) => {  // what is unfolded is read from its beginning
        if (!target.closest("summary, .said-more, .tool-more")) return;
        this.pinned = false;
        requestAnimationFrame(() => requestAnimationFrame(() => this.scrolled()));
      });
      this.growth = new ResizeObserver(() => this.stay());
      this.growth.observe(this.box);
      this.growth.observe(this.node);
      this.edge = new IntersectionObserver(([{ isIntersecting }]) => { this.atTop = isIntersecting; if (isIntersecting) this.older(); }, { root: this.node, rootMargin: "600px 0px 0px 0px" });
      this.edge.observe(this.head);
    }
    get running() { return Boolean(this.live); }
    get isUsed() { return Boolean(this.items.length || this.live || this.sealed.length); }
    get shown() { return chat.conversation === this.id; }

    // where one reads
    scrolled() {
      const { scrollHeight, scrollTop, clientHeight } = this.node;
      if (scrollHeight - scrollTop - clientHeight < 48) this.pinned = true;
      else if (scrollTop < this.top - 1) this.pinned = false;  // what grows below does not move it up: a person does
      this.top = scrollTop;
      this.node.toggleAttribute("data-pinned", this.pinned);
      this.toEnd.hidden = this.pinned;
    }
    stay() {
      if (!this.pinned || !this.shown) return;
      this.node.toggleAttribute("data-pinned", true);
      this.node.scrollTop = this.node.scrollHeight;
      this.toEnd.hidden = true;
    }

    toEndNow() { this.pinned = true; this.stay(); }

    // what is stored
    reset() {
      this.version += 1;
      for (const { node } of this.items) node.remove();
      for (const turn of this.sealed.splice(0)) turn.node.remove();
      this.items = [];
      this.first = this.last = 0;
      this.tail = undefined;
    }
    append(entries, before = null) {
      if (!entries.length) return;
      const last = this.items.at(-1), joins = last?.kind === "run" && entries[0].role !== "user" && last.node.parentNode === this.box && last.node.nextSibling === before;
      let made = entries;
      if (joins) {  // a step of the same run
        made = [...last.chunks, ...entries];
        last.node.remove();
        this.items.pop();
      }
      const items = build(this, made);
      for (const { node } of items) this.box.insertBefore(node, before);
      this.items.push(...items);
      this.grew(entries);
    }
    grew(entries) {
      this.first ||= entries[0].seq;
      this.last = entries.at(-1).seq;
      this.tail = entries.at(-1);
      this.version += 1;
    }
    cut(seq) {  // what is shown from there on belongs to the turn that runs
      if (this.last < seq) return;
      const left = this.items.flatMap(({ chunks }) => chunks).filter((entry) => entry.seq < seq);
      const { sealed } = this;
      this.sealed = [];
      this.reset();
      this.sealed = sealed;
      if (left.length) this.append(left, (sealed[0] ?? this.live)?.node ?? null);
    }

    async catchUp() {
      if (this.catching) { this.more = true; return this.catching; }
      this.catching = this.fetchAll().finally(() => { this.catching = undefined; });
      return this.catching;
    }
    async fetchAll() {
      let timeout = 2500;
      for (let failures = 0; ;) {
        this.more = false;
        const { last: from, version } = this, bound = this.live?.seq ?? 0;
        const query = from ? `?sinceSeq=${from - 1}&limit=${CATCH_UP}` : `?limit=${WINDOW}${bound ? `&beforeSeq=${bound}` : ""}`;
        let found;
        if (!from && bound === 1) found = [];
        else {
          try { found = (await call("GET", path(this.id, query), undefined, { timeout })).chunks ?? []; } catch (error) {
            if (error.status === 404) { this.missing = true; this.showEmpty(); return; }
            if (error.status || ++failures > 8) { if (error.status) complain(error); return; }
            timeout = Math.min(timeout * 1.6, 15000);  // a connection may be dead without a word: the next try is another
            if (failures > 2) await new Promise((done) => setTimeout(done, 500));
            continue;
          }
        }
        if (version !== this.version) continue;
        if (from) {
          if (found[0]?.seq !== from || JSON.stringify(found[0].chunk) !== JSON.stringify(this.tail.chunk)) { this.reset(); continue; }
          found = found.slice(1);
        }
        this.missing = false;
        this.take(found);
        this.isLoaded = true;
        this.showEmpty();
        if (this.first > 1) { this.edge.unobserve(this.head); this.edge.observe(this.head); }  // it may be in sight
        if (!this.more) return;
      }
    }
    take(found) {
      const { live } = this;
      const limit = live ? live.seq || (this.sealed.at(-1)?.latest ?? Infinity) + 1 : Infinity;
      let entries = found.filter(({ seq }) => seq < limit);
      const turns = this.sealed;
      this.sealed = [];
      for (const [at, turn] of turns.entries()) {
        const end = Math.min(turn.latest, turns[at + 1]?.seq ? turns[at + 1].seq - 1 : Infinity);
        const start = turn.seq || this.last + 1;
        this.append(entries.filter(({ seq }) => seq < start), turn.node);
        const own = entries.filter(({ seq }) => seq >= start && seq <= end);
        entries = entries.filter(({ seq }) => seq > end);
        if (Number.isFinite(turn.latest) && own.at(-1)?.seq !== turn.latest) {  // not all of it is here
          if (this.last >= turn.latest) { turn.node.remove(); continue; }
          turn.tries = (turn.tries ?? 0) + 1;
          if (turn.tries < 5) {
            this.sealed.push(turn, ...turns.slice(at + 1));
            this.more = true;
            return;
          }
        }
        this.adopt(turn, own);
      }
      this.append(entries, live?.node ?? null);
    }
    adopt(turn, own) {
      turn.isAdopted = true;
      const groups = grouped(this, own), { items } = turn;
      const fits = own.length && same(turn.log, own) && groups.length === items.filter(({ chunks, parts }) => chunks?.length || parts?.length).length && groups.every(({ kind }, at) => kind === items[at]?.kind);
      if (fits) {
        groups.forEach(({ entries }, at) => {
          const hadImages = items[at].kind === "user" && items[at].images.length;
          items[at].chunks = entries;
          if (items[at].kind === "user" && !hadImages && items[at].images.length) items[at].show();
        });
        turn.node.before(...turn.node.childNodes);
        turn.node.remove();
        this.items.push(...items);
        this.grew(own);
        return;
      }
      this.append(own, turn.node);
      const last = this.items.at(-1);
      if (last?.kind === "run" && own.length && last.chunks.at(-1) === own.at(-1)) { last.facts = turn.facts; last.showFoot(); }
      if (turn.error && !own.some(({ chunk }) => chunk.type === "error")) {  // the store does not know of it
        const run = new Run(this);
        run.err(turn.error);
        turn.node.before(run.node);
      } else if (turn.facts.reason === "aborted" && last?.kind !== "run") {
        const run = new Run(this);
        run.facts = turn.facts;
        run.showFoot();
        turn.node.before(run.node);
      }
      turn.node.remove();
    }

    async older(until = 0) {
      if (this.first <= 1 || this.loadingOlder) return;
      this.loadingOlder = true;
      this.head.dataset.busy = "";
      const { first, version } = this;
      try {
        const query = until && until < first ? `?sinceSeq=${Math.max(0, until - 20)}&beforeSeq=${first}` : `?beforeSeq=${first}&limit=${WINDOW}`;
        const { chunks } = await call("GET", path(this.id, query));
        if (first === this.first && chunks.length && this.items.length) this.prepend(chunks);
        else if (version !== this.version) this.atTop = false;
      } catch { /* scrolling asks again */ } finally {
        this.loadingOlder = false;
        delete this.head.dataset.busy;
      }
      if (this.first > 1) requestAnimationFrame(() => { this.edge.unobserve(this.head); this.edge.observe(this.head); });  // it may still be in sight
    }
    prepend(chunks) {
      const [cut, ...rest] = this.items, mark = rest[0]?.node ?? cut.node.nextSibling ?? cut.node;
      const isWhole = cut.kind === "user" && cut.chunks[0].chunk.type === "text";
      const anchor = isWhole ? cut.node : mark, before = anchor.isConnected ? anchor.getBoundingClientRect().top : 0;
      const items = build(this, isWhole ? chunks : [...chunks, ...cut.chunks]);
      if (!isWhole) {
        if (items.at(-1).kind === "run" && cut.facts) { items.at(-1).facts = cut.facts; items.at(-1).showFoot(); }
        this.items = rest;
        const held = document.createDocumentFragment();
        held.append(...items.map(({ node }) => node));
        cut.node.replaceWith(held);
      } else this.box.prepend(...items.map(({ node }) => node));
      this.items.unshift(...items);
      this.first = chunks[0].seq;
      if (anchor.isConnected && !this.pinned) this.node.scrollTop += anchor.getBoundingClientRect().top - before;
    }
    async go(seq) {
      this.pinned = false;
      this.node.removeAttribute("data-pinned");
      await this.catchUp();
      if (seq < this.first) { while (this.loadingOlder) await new Promise((done) => setTimeout(done, 50)); await this.older(seq); }
      const item = this.items.find(({ chunks }) => chunks.some((entry) => entry.seq === seq));
      if (!item) return;
      item.node.scrollIntoView({ block: "center", behavior: "instant" });
      item.node.dataset.found = "";
      setTimeout(() => delete item.node.dataset.found, 2500);
      this.scrolled();
    }
    showEmpty() {
      this.empty.hidden = this.isUsed || !(this.isLoaded || this.missing);
      if (this.empty.hidden || this.empty.firstChild) return;
      this.empty.append(make("p", "talk-empty-title", "What is to be done?"), make("p", "", "It works on while you are away: come back from any device. Plan changes nothing, Ask asks before it does, Auto does it in the sandbox."));
    }

    // what is told
    hear(event) {
      if (event.type === "user-message" && this.live?.id !== event.turnId) {
        if (this.live) this.finish();  // it was not sealed
        this.begin(event.turnId);
      } else if (event.type === "user-message") this.restart();  // all of it comes again
      if (!this.live || (event.turnId && event.turnId !== this.live.id)) {
        if (event.type === "error" && event.message) toast(event.message, { error: true });
        else if (event.turnId && event.turnId !== this.over && ["text-delta", "reasoning-delta", "tool-call", "tool-result", "done"].includes(event.type)) this.askAgain(event.turnId);
        return;
      }
      const { live } = this;
      live.isStale = false;
      if (event.type === "turn-sealed") {
        live.latest = event.latestSeq ?? Infinity;
        return this.finish(true);
      }
      live.hear(event);
      if (event.type === "turn-start") {
        this.cut(live.seq);
        if (live.seq > this.last + 1) this.catchUp();
      }
      if (event.type === "user-message") this.stay();
      if (event.type === "done" && this.shown) put(told, event.reason === "aborted" ? "Stopped." : "The answer is complete.");
      if (["user-message", "usage", "done", "provider-retry", "steering"].includes(event.type)) emit("turn", this);
      if (event.type === "user-message" || event.type === "steering") emit("heard", { id: this.id, text: event.text });
    }
    askAgain(turnId) {  // its beginning was missed
      if (this.missed === turnId) return;
      this.missed = turnId;
      send({ type: "chat.unsubscribe", conversationId: this.id });
      send({ type: "chat.subscribe", conversationId: this.id });
    }
    begin(id) {
      this.live = new Turn(this, id);
      this.box.append(this.live.node);
      this.showEmpty();
      if (this.shown) put(told, "");
      emit("turn", this);
    }
    restart() {
      const open = [...this.live.node.querySelectorAll("details")].map((fold) => fold.open);
      const began = this.live.began;
      const old = this.live;
      old.end();
      this.live = new Turn(this, old.id);
      this.live.began = began;
      old.node.replaceWith(this.live.node);
      requestAnimationFrame(() => requestAnimationFrame(() => this.live?.node.querySelectorAll("details").forEach((fold, at) => { if (open[at]) fold.open = true; })));
    }
    finish(isSealed = false) {
      const { live } = this;
      this.live = undefined;
      this.over = live.id;
      live.end();
      if (!isSealed) live.latest = Infinity;
      this.sealed.push(live);
      this.catchUp();
      emit("turn", this);
    }
    soon() {  // at most once in a frame
      if (this.frame) return;
      const show = () => { this.frame = 0; clearTimeout(this.late); this.live?.flush(); };
      this.frame = requestAnimationFrame(show);
      if (document.hidden) { cancelAnimationFrame(this.frame); this.frame = 1; this.late = setTimeout(show, 250); }  // no frames come
    }

    // the connection
    async follow() {
      if (this.live) this.live.isStale = true;
      if (!send({ type: "chat.subscribe", conversationId: this.id })) return;
      this.isReplayed = true;
      try { await settled(); } catch { return; } finally { this.isReplayed = false; }  // it is connected again
      if (this.live?.isStale) this.finish();  // it ended meanwhile
      await this.catchUp();
      emit("synced", this);
    }
    leave() {
      send({ type: "chat.unsubscribe", conversationId: this.id });
      this.growth.disconnect();
      this.edge.disconnect();
      for (const image of all("img[src^='blob:']", this.node)) URL.revokeObjectURL(image.src);
      this.node.remove();
    }
  }

  // -- those that are alive: the last few that were shown go on in the background

  const talks = new Map();
  function show(id) {
    let talk = talks.get(id);
    for (const other of talks.values()) other.node.hidden = other.id !== id;
    if (!talk) {
      talk = new Talk(id);
      place.append(talk.node);
      talk.catchUp();
      if (chat.connected) talk.follow();
      loadFigures(talk);
    }
    talks.delete(id);
    talks.set(id, talk);  // the latest is last
    for (const [old, one] of talks) {
      if (talks.size <= ALIVE) break;
      if (old === id) continue;
      talks.delete(old);
      one.leave();
    }
    chat.talk = talk;
    talk.stay();
    showNotices();
    showQuestions();
    emit("turn", talk);
  }
  async function loadFigures(talk) {
    try {
      const { turns } = await call("GET", path(talk.id, "/metrics"));
      const size = turns?.findLast?.(({ contextSize }) => contextSize)?.contextSize;
      if (size && !talk.size) talk.size = size;
      talk.figures = new Map((turns ?? []).map((turn) => [turn.turnId, turn]));
      const ends = new Map((turns ?? []).filter(({ latestSeq }) => latestSeq).map((turn) => [turn.latestSeq, turn]));
      for (const run of talk.items) {
        if (run.kind !== "run" || run.facts.durationMs) continue;
        const turn = run.turnId ? talk.figures.get(run.turnId) : ends.get(run.chunks.at(-1)?.seq);  // without a tool call nothing names the turn
        if (turn) { run.facts = { ...run.facts, turnId: turn.turnId, durationMs: turn.durationMs, usage: turn.usage }; run.showFoot(); }
      }
      emit("turn", talk);
    } catch { /* then tokens are not shown */ }
  }
  on("conversation", show);
  on("tab-closed", (id) => { const talk = talks.get(id); if (talk && id !== chat.conversation) { talks.delete(id); talk.leave(); } });
  on("go", ({ id, seq }) => talks.get(id)?.go(seq));
  on("connected", () => { for (const talk of talks.values()) talk.follow(); });
  on("chat.delta", ({ event }) => talks.get(event?.conversationId)?.hear(event));
  on("chat.error", ({ message }) => toast(message, { error: true }));
  on("conversation.statusChanged", ({ conversationId: id, status }) => {
    const talk = talks.get(id), { live } = talk ?? {};
    if (!live || status === "active") return;
    setTimeout(async () => {  // it may have ended with nothing sealed; or this was said of the turn before
      try { if (talk.live === live && !(await call("GET", path(id, "/status"))).isActive && talk.live === live) talk.finish(); } catch { /* the next connection shows it */ }
    }, 300);
  });
  on("conversation.compacted", ({ conversationId: id, messagesSummarized, newConversationId }) => {
    const talk = talks.get(id);
    if (!talk) return;
    chat.loadList().then(() => {
      talk.reset();
      talk.size = 0;
      talk.pinned = true;
      talk.catchUp();
      emit("turn", talk);
    });
    if (talk.shown) toast(`${messagesSummarized} messages have become a summary`);
    emit("compacted", { id, newConversationId });
  });
  on("undo", () => { for (const item of chat.talk?.items ?? []) if (item.kind === "run") item.showFoot(); for (const item of chat.talk?.live?.items ?? []) if (item.kind === "run") item.showFoot(); });
  on("list", () => {
    showNotices();
    if (![...chat.metas.values()].some(({ parentId }) => parentId && parentId === chat.talk?.id)) return;
    for (const tool of (chat.talk?.items ?? []).flatMap((item) => item.parts ?? []).map((part) => part.tool)) tool?.showChild();
  });
  setInterval(() => { chat.talk?.live?.tick(); if (chat.talk?.live) emit("tick", chat.talk); }, 1000);

  // -- where a conversation comes from

  function showNotices() {
    const { talk } = chat, meta = chat.metas.get(chat.conversation);
    if (!talk) return;
    const found = [];
    const lead = (id, words) => {
      const link = make("a", "talk-from");
      link.href = `/chat?c=${encodeURIComponent(id)}`;
      link.dataset.open = id;
      link.append(make("span", "", words), make("b", "", chat.titleOf(id)));
      found.push(link);
    };
    if (meta?.parentId) lead(meta.parentId, "A sub-agent of ");
    if (meta?.branchedFrom && chat.metas.has(meta.branchedFrom)) lead(meta.branchedFrom, "A branch of ");
    const key = found.map((link) => link.textContent).join();
    if (talk.from === key) return;
    talk.from = key;
    all(".talk-from", talk.head).forEach((old) => old.remove());
    talk.head.append(...found);
  }

  // -- questions: those of this conversation and what it has begun are asked here, others lead there

  const questionBox = one("#questions"), cards = new Map(), AGAIN_MS = 400;
  let answeredAt = 0;
  function showHeld() {  // not `disabled`, which takes the focus away
    const isSoon = Date.now() - answeredAt < AGAIN_MS;  // the second half of a double click, or a key that is held, is no answer to the next question
    for (const card of cards.values()) for (const made of all("button", card)) made.ariaDisabled = isSoon || "answered" in card.dataset ? "true" : null;
  }
  const WORDS = { once: "Allow once", conversation: "For this conversation", workspace: "For this workspace" };
  async function answer(question, card, allow, scope) {
    if ("answered" in card.dataset || Date.now() - answeredAt < AGAIN_MS) return;
    card.dataset.answered = "";
    answeredAt = Date.now();
    showHeld();
    setTimeout(showHeld, AGAIN_MS + 1);
    try {
      await call("POST", `/approvals/${encodeURIComponent(question.id)}`, allow ? { allow, scope } : { allow });
    } catch (error) {
      delete card.dataset.answered;
      showHeld();
      if (error.status === 409 || error.status === 404) { toast("That has been answered meanwhile"); cards.delete(question.id); card.remove(); } else complain(error);
    }
  }
  function cardOf(question) {
    const { toolName = "", input, reason, rule, source = {}, scopes = ["once"] } = question;
    const card = make("section", "ask"), head = make("div", "ask-head");
    card.tabIndex = -1;
    card.setAttribute("aria-label", `${toolName} waits for your yes`);
    head.append(make("i"), make("b", "", toolName), make("span", "ask-word", "waits for your yes"));
    card.append(head);
    const lineage = (source.lineage ?? []).filter(Boolean);
    if (lineage.length > 1) {
      const from = make("a", "ask-from", lineage.join(" › "));
      from.href = `/chat?c=${encodeURIComponent(question.conversationId)}`;
      from.dataset.open = question.conversationId;
      card.append(from);
    }
    if (reason) card.append(make("p", "ask-reason", reason));
    const what = make("div", "ask-what");
    what.append(...argumentsOf(toolName, input));
    card.append(what);
    const buttons = make("div", "ask-buttons");
    const scoped = rule ? ["conversation", "workspace"].filter((scope) => scopes.includes(scope)) : [];
    const hintId = `rule-${question.id}`;
    for (const scope of ["once", ...scoped]) {
      const made = button(`btn ${scope === "once" ? "btn-primary" : "btn-second"}`, WORDS[scope], () => answer(question, card, true, scope));
      made.dataset.scope = scope;
      if (scope !== "once") made.setAttribute("aria-describedby", hintId);
      buttons.append(made);
    }
    const no = button("btn btn-danger", "Deny", () => answer(question, card, false));
    no.dataset.scope = "deny";
    buttons.append(no);
    if (scoped.length) {
      const words = make("p", "ask-rule");
      words.id = hintId;
      words.append(make("span", "", "For this conversation or workspace: "), make("b", "", rule));
      card.append(words);
    }
    card.append(buttons);
    return card;
  }
  let before = new Set();
  function showQuestions() {
    const here = [], elsewhere = [];
    for (const question of chat.questions) (question.conversationId === chat.conversation || isAbove(question) ? here : elsewhere).push(question);
    const ids = new Set(chat.questions.map(({ id }) => id));
    for (const id of [...cards.keys()]) if (!ids.has(id)) cards.delete(id);
    const nodes = here.map((question) => {
      if (!cards.has(question.id)) cards.set(question.id, cardOf(question));
      return cards.get(question.id);
    });
    if (elsewhere.length) {
      const links = new Map();
      for (const question of elsewhere) {
        const id = question.rootId || question.conversationId;
        links.set(id, [...links.get(id) ?? [], question]);
      }
      nodes.unshift(...[...links].slice(0, 3).map(([id, found]) => {
        const link = make("a", "ask-elsewhere"), title = found[0].source?.lineage?.[0] || found[0].source?.title || chat.titleOf(id);
        link.href = `/chat?c=${encodeURIComponent(id)}`;
        link.dataset.open = id;
        link.append(make("i"), make("span", "", `${found.length === 1 ? found[0].toolName : `${found.length} questions`} in `), make("b", "", title), make("span", "tool-time", found.length === 1 ? "waits for your yes" : "wait"));
        return link;
      }));
    }
    const focused = questionBox.contains(document.activeElement);
    if (nodes.length !== questionBox.children.length || nodes.some((node, at) => questionBox.children[at] !== node)) questionBox.replaceChildren(...nodes);
    showHeld();
    if (focused && !questionBox.contains(document.activeElement)) (one(".ask", questionBox) ?? one("#say-text")).focus();  // a key that is held answers nothing there
    const fresh = chat.questions.filter(({ id }) => !before.has(id));
    if (fresh.length) put(told, `${fresh[0].toolName} waits for your yes.`);
    before = ids;
    chat.talk?.stay();
  }
  const isAbove = ({ rootId, conversationId }) => {
    for (let id = conversationId, n = 0; id && n < 20; id = chat.metas.get(id)?.parentId, n += 1) if (id === chat.conversation) return true;
    return rootId === chat.conversation;
  };
  on("questions", showQuestions);

  Object.assign(chat, { figures: { count, span, whole }, blobOf, talks });
})();
