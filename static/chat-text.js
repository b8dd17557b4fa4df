// Markdown, whole or as it streams: markdown-it escapes all it is given, HTML in it is text. Before chat.js.
//
// While words come only the last block is made anew, at most once in a frame: what is before a block that has begun cannot
// change any more. An open code block only grows. Code is coloured when it is complete and in sight.
(() => {
  "use strict";
  const LONGEST_CODE = 60000;  // characters that are coloured
  const make = (tag, className = "", text = "") => Object.assign(document.createElement(tag), { className, textContent: text });

  const md = markdownit({ html: false, linkify: true, breaks: true, maxNesting: 40 });
  md.linkify.set({ fuzzyLink: false, fuzzyEmail: false });  // chat.py is no address
  md.validateLink = (url) => /^(https?:\/\/|mailto:)/i.test(url.trim());
  const { rules } = md.renderer, { escapeHtml } = md.utils;
  rules.link_open = (tokens, at, options, env, self) => {
    tokens[at].attrSet("target", "_blank");
    tokens[at].attrSet("rel", "noopener noreferrer");
    return self.renderToken(tokens, at, options);
  };
  rules.image = (tokens, at, options, env, self) => {  // nothing is loaded from another host: a link leads there
    const words = self.renderInlineAsText(tokens[at].children ?? [], options, env) || "image";
    return `<a href="${escapeHtml(tokens[at].attrGet("src") ?? "")}" target="_blank" rel="noopener noreferrer">${escapeHtml(words)}</a>`;
  };
  rules.heading_open = (tokens, at) => `<h${Math.min(6, Number(tokens[at].tag[1]) + 2)}>`;  // below the page's own
  rules.heading_close = (tokens, at) => `</h${Math.min(6, Number(tokens[at].tag[1]) + 2)}>\n`;
  rules.table_open = () => '<div class="scroller" tabindex="0" role="region" aria-label="Table"><table>';
  rules.table_close = () => "</table></div>";
  const codeBox = (code, language) => '<div class="code"><div class="code-head"><span>' + escapeHtml(language) + '</span><button type="button" class="code-copy" data-copy-code>Copy</button></div>'
    + `<pre tabindex="0"><code data-language="${escapeHtml(language)}">${escapeHtml(code)}</code></pre></div>`;
  rules.fence = (tokens, at) => codeBox(tokens[at].content, tokens[at].info.trim().split(/[\s{,]/)[0].slice(0, 40));
  rules.code_block = (tokens, at) => codeBox(tokens[at].content, "");

  function fragment(tokens, env) {
    const template = document.createElement("template");
    template.innerHTML = md.renderer.render(tokens, md.options, env);  // escaped by construction
    return template.content;
  }

  // -- colours: the program for them comes with the first code that is seen

  let coming;
  const program = () => coming ??= new Promise((done, fail) => {
    const { highlight } = JSON.parse(document.querySelector('meta[name="chomp-assets"]').content);
    document.head.append(Object.assign(document.createElement("script"), { src: highlight, onload: done, onerror: fail }));
  });
  const idle = window.requestIdleCallback ? (work) => requestIdleCallback(work, { timeout: 1000 }) : (work) => setTimeout(work, 30);
  const toColour = [];
  let colours = false;
  async function colour() {
    if (colours) return;
    colours = true;
    try {
      await program();
      while (toColour.length) {
        await new Promise(idle);
        const code = toColour.shift(), language = code.dataset.language;
        if (!code.isConnected || !hljs.getLanguage(language)) continue;
        const text = code.textContent;
        const found = document.createElement("template");
        found.innerHTML = hljs.highlight(text, { language, ignoreIllegals: true }).value;  // escaped by highlight.js
        if (found.content.textContent === text) code.replaceChildren(found.content);
      }
    } catch { coming = undefined; } finally { colours = false; }
  }
  const sight = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      sight.unobserve(target);
      toColour.push(target.querySelector("code"));
      colour();
    }
  }, { rootMargin: "300px" });
  function watch(place) {
    for (const pre of place.querySelectorAll("pre")) {
      const code = pre.firstElementChild;
      if (code?.dataset.language && code.textContent.length <= LONGEST_CODE) sight.observe(pre);
    }
  }

  function render(place, text) {  // all of it, at once
    const env = {};
    place.replaceChildren(fragment(md.parse(text, env), env));
    watch(place);
    return place;
  }

  const FENCE = /^(`{3,}|~{3,})[^`\n]*\n/;
  class Stream {
    #env = {};
    #tail = "";  // the source of the last block
    #new = "";
    #end;  // the element of the last block, which is made anew
    #fence;  // {sign, node, partial}: an open code block, which only grows
    constructor(place) {
      this.place = place;
      this.text = "";
      this.#end = make("div", "text-end");
      place.append(this.#end);
    }
    add(words) { this.text += words; this.#new += words; }
    get isBehind() { return this.#new !== ""; }

    show() {
      if (!this.#new) return;
      let words = this.#new;
      this.#new = "";
      if (this.#fence) words = this.#grow(words);
      if (!words) return;
      this.#tail = (this.#tail + words).replace(/^(?:[ \t]*\n)+/, "");
      this.#settle();
      const open = FENCE.exec(this.#tail);
      if (open) return this.#open(open);
      this.#end.replaceChildren(fragment(md.parse(this.#tail, this.#env), this.#env));
    }
    #settle() {  // what is complete becomes final
      const whole = this.#tail.lastIndexOf("\n") + 1;
      if (!whole) return;
      const tokens = md.parse(this.#tail.slice(0, whole), this.#env);
      let last = -1;
      tokens.forEach((token, at) => { if (token.level === 0 && token.nesting >= 0 && token.map) last = at; });
      if (last <= 0) return;
      const line = tokens[last].map[0];
      let at = 0;
      for (let n = 0; n < line; n += 1) at = this.#tail.indexOf("\n", at) + 1;
      const done = fragment(tokens.slice(0, last), this.#env);
      watch(done);
      this.#end.before(done);
      this.#tail = this.#tail.slice(at);
    }
    #open([head, marks]) {
      const language = head.slice(marks.length).trim().split(/[\s{,]/)[0].slice(0, 40);
      const template = document.createElement("template");
      template.innerHTML = codeBox("", language);
      this.#end.replaceChildren(template.content);
      const node = document.createTextNode("");
      this.#end.querySelector("code").append(node);
      this.#fence = { close: new RegExp(`^ {0,3}${marks[0] === "`" ? "`" : "~"}{${marks.length},}[ \\t]*$`), begun: new RegExp(`^ {0,3}${marks[0] === "`" ? "`" : "~"}*[ \\t]*$`), node, partial: "" };
      const rest = this.#tail.slice(head.length);
      this.#tail = head;
      const after = this.#grow(rest);
      if (after) { this.#new = after + this.#new; this.show(); }
    }
    #grow(words) {  // what comes after the block has ended
      const { close, begun, node } = this.#fence;
      let lines = this.#fence.partial + words, shown = "";
      for (;;) {
        const end = lines.indexOf("\n");
        if (end < 0) break;
        const line = lines.slice(0, end);
        if (!this.#fence.mid && close.test(line)) {
          node.appendData(shown);
          return this.#closeFence(lines.slice(end + 1));
        }
        shown += `${line}\n`;
        this.#fence.mid = false;
        lines = lines.slice(end + 1);
      }
      if (this.#fence.mid || !begun.test(lines)) {  // no end can become of it
        shown += lines;
        this.#fence.mid = lines !== "" || this.#fence.mid;
        lines = "";
      }
      this.#fence.partial = lines;
      if (shown) node.appendData(shown);
      return "";
    }
    #closeFence(rest) {
      watch(this.#end);
      this.#end.before(...this.#end.childNodes);
      this.#fence = undefined;
      this.#tail = "";
      return rest;
    }
    finish() {
      this.show();
      if (this.#fence) {
        const { node, partial, close } = this.#fence;
        if (partial && (this.#fence.mid || !close.test(partial))) node.appendData(partial);
        this.#closeFence("");
      } else watch(this.#end);
      this.#end.replaceWith(...this.#end.childNodes);
      if (Object.keys(this.#env.references ?? {}).length) render(this.place, this.text);  // they name what stood before them
    }
  }

  document.addEventListener("click", ({ target }) => {
    const copy = target.closest?.("[data-copy-code]");
    if (!copy) return;
    const say = (words) => { copy.textContent = words; setTimeout(() => { copy.textContent = "Copy"; }, 1500); };
    const text = copy.closest(".code").querySelector("code").textContent;
    (navigator.clipboard?.writeText(text) ?? Promise.reject()).then(() => say("Copied"), () => say("Not allowed"));
  });

  window.chatText = { render, Stream, watch };
})();
