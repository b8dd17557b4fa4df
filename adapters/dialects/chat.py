"""OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat), and the many that speak it."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

import msgspec

from adapters.dialects.form import (
    NOTHING,
    ODD,
    Answer,
    Part,
    Refused,
    Usage,
    as_text,
    call_of,
    check,
    decode,
    encode,
    extend,
    is_sealed,
    misshapen,
    names,
    no_place,
    present,
    refuse,
    seal,
    text_of,
    unseal,
)

NAMES = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
IDS = re.compile(r"(?s).+")  # some read their own again: they go back as they came
EFFORT = "reasoning_effort"
ESTIMATES = False
FILLER = b": keep-alive\n\n"

# -- requests

_REFUSED = {  # they change what the model can do, or how much it answers
    **{name: (name, (None, [])) for name in ("functions", "function_call", "audio", "web_search_options")},
    "n": ("n above 1", (None, 1)), "logprobs": ("logprobs", NOTHING),
    "modalities": ("an answer other than text", (None, [], ["text"])),
}  # fmt: skip
_CARRIED = (
    "model", "messages", "stream", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "tools",
    "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort", "user",
)  # fmt: skip
_SAME = {  # which have a place in one of the others only, and the same name there
    "messages": ("top_k", "cache_control"),
    "responses": (
        "metadata", "service_tier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
        "safety_identifier", "store", "verbosity",
    ),
}  # fmt: skip
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_MESSAGE = names(
    "role content refusal tool_calls tool_call_id function_call reasoning reasoning_content reasoning_details "
    "cache_control"
)
_PART = names("type text refusal image_url file input_audio cache_control")
_TOOL = names("type function cache_control")
_FUNCTION = names("name description parameters strict cache_control")
_THOUGHTS = ("reasoning", "reasoning_content", "reasoning_details")


def decode_request(fields: dict[str, Any], origin: str, dropped: set[str]) -> dict[str, Any]:
    """A chat client's request: chat already, but for what no other dialect has."""
    refuse(fields, _REFUSED)
    check(
        fields, model=str, messages=list, tools=list, stop=(str, list), temperature=(int, float), top_p=(int, float),
        max_tokens=int, max_completion_tokens=int, response_format=dict, reasoning_effort=str, user=str,
    )  # fmt: skip
    for name in ("max_completion_tokens", "max_tokens"):
        if (most := fields.get(name)) is not None and most < 1:
            raise Refused(f"{name} must be 1 or more", name)
    known = {*_REFUSED, *_CARRIED, "stream_options", "router"}
    more = {name: value for name, value in fields.items() if name not in known}
    dropped |= {name for name, value in more.items() if value or (name == "seed" and value is not None)}
    tools = [_tool(tool, f"tools[{at}]", dropped) for at, tool in enumerate(fields.get("tools") or ())]
    choice = fields.get("tool_choice")
    if isinstance(choice, dict):
        if choice.get("type") != "function" or "function" not in choice:
            raise no_place(f"a tool_choice of type {choice.get('type')!r}", "tool_choice")
        choice = {"type": "function", "function": dict(choice["function"])}
    elif choice not in (None, "auto", "none", "required"):
        raise Refused("tool_choice is auto, none, required or a function", "tool_choice")
    messages = _messages(fields["messages"], origin, dropped)
    if not messages:
        raise Refused("'messages' is empty", "messages", "missing_required_parameter")
    known_here = {name: fields[name] for name in _CARRIED if fields.get(name) is not None}
    return {
        **known_here, "messages": messages, **present(tools=tools or None, tool_choice=choice),
        "same": {name: value for name, value in more.items() if value is not None},
    }  # fmt: skip


def _tool(tool: dict[str, Any], path: str, dropped: set[str]) -> dict[str, Any]:
    if tool.get("type", "function") != "function" or "function" not in tool:
        raise no_place(f"a tool of type {tool.get('type')!r}", path)
    extend(dropped, "tools", tool, _TOOL)
    extend(dropped, "tools", tool["function"], _FUNCTION)
    function = {name: value for name, value in tool["function"].items() if name in _FUNCTION}
    return {"type": "function", "function": {**function, **present(cache_control=tool.get("cache_control") or None)}}


def same(request: dict[str, Any], dialect: str, dropped: set[str]) -> dict[str, Any]:
    """A chat client's fields that have the same name in `dialect` and in no other."""
    more = request.get("same") or {}
    found = {name: more[name] for name in _SAME[dialect] if name in more}
    dropped.difference_update(found)
    return found


def _messages(messages: list[dict[str, Any]], origin: str, dropped: set[str]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    last = ""  # id of the last call in the form of before tools
    for at, message in enumerate(messages):
        path = f"messages[{at}]"
        try:
            role = message["role"]
            if role not in _ROLES:
                raise no_place(f"a message of role {str(role)[:50]!r}", f"{path}.role")
            extend(dropped, "messages", message, _MESSAGE)
            content = message.get("content")
            if isinstance(content, list):
                content = [_part(part, dropped) for part in content if part["type"] != "thinking"]
            elif not isinstance(content, str | None):
                raise misshapen(f"{path}.content")
            told: dict[str, Any] = {"role": role, "content": content}
            if message.get("cache_control"):
                told["cache_control"] = message["cache_control"]
            if role == "function":
                told |= {"role": "tool", "tool_call_id": last}
            elif role == "tool":
                told["tool_call_id"] = message.get("tool_call_id") or ""
            elif role == "assistant":
                last = f"call_{at}"
                _assistant(told, message, last, origin, dropped)
                if not (told["content"] or told.get("tool_calls")) and content is None:
                    told["content"] = ""
            made.append(told)
        except ODD:
            raise misshapen(path) from None
    return made


def _assistant(told: dict[str, Any], message: dict[str, Any], call_id: str, origin: str, dropped: set[str]) -> None:
    thoughts = [
        _thinking(state.pop("text", ""), state)
        for detail in message.get("reasoning_details") or ()
        if (state := unseal(origin, detail.get("data"))) is not None
    ]
    if not thoughts and any(message.get(name) for name in _THOUGHTS):
        dropped.add("reasoning")
    content = told["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) and content else content or []
    if message.get("refusal"):
        parts = [*parts, {"type": "refusal", "refusal": message["refusal"]}]
    if thoughts or message.get("refusal"):
        told["content"] = [*thoughts, *parts]
    called = [(call.get("id"), call.get("function") or call["custom"]) for call in message.get("tool_calls") or ()]
    if message.get("function_call"):
        called.append((call_id, message["function_call"]))
    if called:
        told["tool_calls"] = [call_of(one, function["name"], arguments_in(function)) for one, function in called]


def _thinking(text: str, state: dict[str, Any]) -> dict[str, Any]:
    return {"type": "thinking", "text": text, "state": state}


def arguments_in(function: dict[str, Any]) -> str:
    """A call's arguments as text; a custom tool's input is wrapped."""
    if "input" in function:
        return encode({"input": function["input"]}).decode()
    return _dumped(function.get("arguments"))


def _dumped(arguments: Any) -> str:
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else json.dumps(arguments)


def _part(part: dict[str, Any], dropped: set[str]) -> dict[str, Any]:
    if part["type"] not in ("text", "refusal", "image_url", "file", "input_audio"):
        return as_text(part)
    extend(dropped, "messages", part, _PART)
    if part["type"] == "text" and not isinstance(part.get("text"), str):
        part = {**part, "text": ""}
    if part["type"] == "image_url" and isinstance(part["image_url"], str):
        part = {**part, "image_url": {"url": part["image_url"]}}
    return part


def adopt(fields: dict[str, Any]) -> dict[str, Any]:
    """A request for a target that speaks chat itself, some of whose history others have told."""
    for message in fields["messages"]:
        if details := message.get("reasoning_details"):
            message["reasoning_details"] = [one for one in details if not is_sealed(one.get("data"))]
            if not message["reasoning_details"]:
                del message["reasoning_details"]
    return fields


def encode_request(request: dict[str, Any], dropped: set[str]) -> dict[str, Any]:
    """A request for a target that speaks chat: pictures in a tool's result follow it as the user's."""
    messages: list[dict[str, Any]] = []
    pictures: list[Any] = []
    for message in request["messages"]:
        if message["role"] != "tool" and pictures:
            messages.append({"role": "user", "content": pictures})
            pictures = []
        content = message["content"]
        if isinstance(content, list):
            if any(part["type"] == "file" and "file_url" in part["file"] for part in content):
                raise no_place("a file by its address", "messages")
            if message["role"] == "tool":
                pictures += [part for part in content if part["type"] != "text"]
                content = "\n".join(part["text"] for part in content if part["type"] == "text")
                message = {**message, "content": content}
            elif message["role"] == "assistant":
                message = _given_back(message, content)
        messages.append(message)
    if pictures:
        messages.append({"role": "user", "content": pictures})
    own = {name: value for name, value in request.items() if name != "same"}  # which others have a place for
    return {**own, "messages": messages}


def _given_back(message: dict[str, Any], content: list[Any]) -> dict[str, Any]:
    """An assistant's message with its thinking where the target had it."""
    message = {**message}
    words: list[Any] = []
    details: list[Any] = []
    extras: dict[str, Any] = {}
    thoughts: dict[str, list[str]] = {}
    calls = message.get("tool_calls") or []
    for part in content:
        if part["type"] != "thinking":
            words.append({"type": "text", "text": part.get("text") or part.get("refusal") or ""})
            continue
        state = part["state"]
        if state.get("field") == "content":  # Mistral's
            words.append({"type": "thinking", "thinking": [{"type": "text", "text": part["text"]}]})
        elif (field := state.get("field")) in ("reasoning", "reasoning_content"):
            thoughts.setdefault(field, []).append(part["text"])
        if detail := state.get("detail"):
            details.append({**detail, **({state["field_of_words"]: part["text"]} if state["field_of_words"] else {})})
        extras |= state.get("calls") or {}
        message |= present(extra_content=state.get("extra_content"))
    calls = [{**call, "extra_content": extras[call["id"]]} if call["id"] in extras else call for call in calls]
    message |= {field: "".join(texts) for field, texts in thoughts.items()}
    message |= present(reasoning_details=details or None, tool_calls=calls or None)
    if any(word["type"] == "thinking" for word in words):
        message["content"] = words
    else:
        message["content"] = "".join(word["text"] for word in words) or (None if calls else "")
    return message


# -- answers of a target that speaks chat


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None
    extra_content: Any = None  # Gemini's signatures


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    reasoning_details: list[dict[str, Any]] | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None
    extra_content: Any = None
    thinking: str | None = None  # Mistral's, from among the parts of its content


class _Choice(msgspec.Struct, gc=False):
    index: int | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    id: str | None = None
    model: str | None = None
    created: int | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_TAGS = {"<think>": "</think>", "<thought>": "</thought>"}
_BLANKS = 64  # that may stand before one
_STOPS = dict.fromkeys(("model_length", "max_tokens", "MAX_TOKENS", "insufficient_system_resource", "error"), "length")


class Decoder:
    """Chunks of a chat stream, added to an answer."""

    def __init__(self, answer: Answer):
        self._answer = answer
        self._choice: int | None = None  # whose words are told
        self._phase = "start"  # of its text: "start", "thinking" between tags, "after" them, "text"
        self._pending = ""  # what may become a tag
        self._tag = ""  # that ends the thinking
        self._extra: Any = None  # content beside the last delta

    def feed(self, payload: bytes) -> None:
        try:
            chunk = _decode_chunk(payload)
        except (msgspec.DecodeError, UnicodeError):
            if b"{" not in payload:  # [DONE]
                return
            try:
                chunk = _tidy(decode(payload))
            except ODD:
                return
        self._chunk(chunk)

    def _chunk(self, chunk: _Chunk) -> None:
        answer = self._answer
        if not answer.id:
            answer.id, answer.model = chunk.id or "", chunk.model or answer.model
            answer.created = chunk.created or answer.created
        for choice in chunk.choices or ():
            at = choice.index or 0
            if self._choice is None:
                self._choice = at
            if (delta := choice.delta) is not None:
                if at == self._choice:
                    self._words(delta)
                if delta.tool_calls or delta.function_call:
                    self._calls(at, delta)
            if choice.finish_reason and (at == self._choice or choice.finish_reason == "tool_calls"):
                answer.stop = _STOPS.get(choice.finish_reason, choice.finish_reason)

    def _words(self, delta: _Delta) -> None:
        answer = self._answer
        if delta.reasoning_details:
            self._details(delta)
        elif delta.reasoning:
            answer.think(None, delta.reasoning, field="reasoning")
        elif delta.reasoning_content:
            answer.think(None, delta.reasoning_content, field="reasoning_content")
        elif delta.thinking:
            answer.think(None, delta.thinking, field="content")
        words = delta.content
        if delta.extra_content and delta.extra_content != self._extra:
            self._extra = delta.extra_content
            answer.think("extra", None, extra_content=self._extra)
        if words and _is_thought(delta.extra_content):  # Gemini's
            answer.think("extra", words)
        elif words and self._phase == "text":
            answer.say("text", words)
        elif words:
            self._tagged(words)
        if delta.refusal:
            answer.say("refusal", delta.refusal)

    def _details(self, delta: _Delta) -> None:
        """OpenRouter's form: words, signatures and encrypted pieces, told apart by an index."""
        told = False
        for at, detail in enumerate(delta.reasoning_details or ()):
            field = next((name for name in ("text", "summary") if isinstance(detail.get(name), str)), "")
            kept = {name: value for name, value in detail.items() if name != field and value is not None}
            key = ("detail", detail.get("index", at), detail.get("type"))
            last = self._answer.parts[-1] if self._answer.parts else None
            if last is None or last.key != key:
                self._answer.think(key, detail.get(field), detail=kept, field_of_words=field)
            else:
                last.state["detail"].update(kept)
                last.state["field_of_words"] = last.state["field_of_words"] or field
                self._answer.think(key, detail.get(field))
            told = told or bool(detail.get(field))
        if not told:
            self._answer.think(None, delta.reasoning or delta.reasoning_content)

    def _tagged(self, words: str) -> None:
        """Text of a model whose host leaves its thinking between tags at the beginning."""
        text, self._pending = self._pending + words, ""
        if self._phase == "start":
            begun = text.lstrip()
            tag = next((tag for tag in _TAGS if begun.startswith(tag)), "")
            if self._answer.parts or len(text) - len(begun) > _BLANKS:
                self._phase = "text"
            elif tag:
                self._phase, self._tag, text = "thinking", _TAGS[tag], begun[len(tag) :]
            elif any(tag.startswith(begun) for tag in _TAGS):
                self._pending = text
                return
            else:
                self._phase = "text"
        if self._phase == "thinking":
            thought, end, text = text.partition(self._tag)
            if not end:
                cut = next((n for n in range(len(self._tag) - 1, 0, -1) if thought.endswith(self._tag[:n])), 0)
                thought, self._pending = thought[: len(thought) - cut], thought[len(thought) - cut :]
            else:
                self._phase = "after"
            self._answer.think("tags", thought)
        if self._phase == "after":
            text = text.lstrip("\n")
            self._phase = "text" if text else "after"
        self._answer.say("text", text)

    def finish(self) -> None:
        """What waited to become a tag is none."""
        if self._pending:
            if self._phase == "thinking":
                self._answer.think("tags", self._pending)
            else:
                self._answer.say("text", self._pending)
            self._pending = ""

    def _calls(self, choice: int, delta: _Delta) -> None:
        answer = self._answer
        for call in delta.tool_calls or ():
            function = call.function or _Function()
            key = None if call.index is None else (choice, call.index)
            answer.call(key, call.id or "", function.name or "", function.arguments or "", call.extra_content)
        if delta.function_call is not None:  # the form of before tools
            answer.call("function_call", "", delta.function_call.name or "", delta.function_call.arguments or "")

    def whole(self, fields: dict[str, Any]) -> None:
        """A completion is a stream of one chunk. Raises one of ODD when it is none."""
        chunk = chunk_of(fields)
        self._chunk(_tidy(chunk))
        self._answer.cost = fields.get("cost")
        self.finish()


def chunk_of(fields: dict[str, Any]) -> dict[str, Any]:
    """A whole chat completion (or text completion) as the one chunk of a stream."""
    choices = []
    for choice in fields["choices"]:
        choice = {**choice}
        if "message" in choice:
            delta = {**choice["message"]}
            if isinstance(calls := delta.get("tool_calls"), list):
                listed = [call for call in calls if isinstance(call, dict)]
                delta["tool_calls"] = [{"index": at, **call} for at, call in enumerate(listed)]
            del choice["message"]
            choice["delta"] = delta
        choices.append(choice)
    if not choices:
        raise ValueError("no choices")
    kind = {"object": "chat.completion.chunk"} if "delta" in choices[0] else {}
    return {**fields, **kind, "choices": choices}


def frames_of(fields: dict[str, Any], *, wants_usage: bool) -> bytes:
    """A whole completion, or text completion, as the frames of a stream, with all it holds. Raises one of ODD."""
    chunk = chunk_of(fields)
    usage = chunk.pop("usage", None)
    frames = [chunk, {**chunk, "choices": [], "usage": usage}] if usage is not None and wants_usage else [chunk]
    return b"".join(b"data: %b\n\n" % encode(frame) for frame in frames) + DONE


def _is_thought(extra: Any) -> bool:
    google = extra.get("google") if isinstance(extra, dict) else None
    return isinstance(google, dict) and google.get("thought") is True


def _tidy(chunk: dict[str, Any]) -> _Chunk:
    """A chunk some of whose fields are not what they should be: the others count all the same."""
    choices = []
    for choice in _a(list, chunk.get("choices")) or ():
        if isinstance(choice, dict):
            delta = _a(dict, choice.get("delta")) or _a(dict, choice.get("message")) or {}
            choices.append(_Choice(_a(int, choice.get("index")), _delta(delta), _a(str, choice.get("finish_reason"))))
    created = chunk.get("created")
    if isinstance(created, float) and abs(created) < 1e12:
        created = int(created)
    return _Chunk(choices, _a(str, chunk.get("id")), _a(str, chunk.get("model")), _a(int, created))


def _delta(delta: dict[str, Any]) -> _Delta:
    content = delta.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    calls = [_call(call) for call in _a(list, delta.get("tool_calls")) or () if isinstance(call, dict)]
    details = [one for one in _a(list, delta.get("reasoning_details")) or () if isinstance(one, dict)]
    function = delta.get("function_call")
    return _Delta(
        content=text_of(content),
        reasoning=text_of(delta.get("reasoning")),
        reasoning_content=text_of(delta.get("reasoning_content")),
        reasoning_details=details,
        refusal=text_of(delta.get("refusal")),
        tool_calls=calls,
        function_call=_function(function) if isinstance(function, dict) else None,
        extra_content=delta.get("extra_content"),
        thinking="".join(text_of(part.get("thinking")) for part in parts),
    )


def _call(call: dict[str, Any]) -> _Call:
    named = _a(int, call.get("index")), _a(str, call.get("id"))
    return _Call(*named, _function(call.get("function")), call.get("extra_content"))


def _function(function: Any) -> _Function:
    function = function if isinstance(function, dict) else {}
    return _Function(_a(str, function.get("name")), _dumped(function.get("arguments")))


def _a(kind: type, value: Any) -> Any:
    return value if isinstance(value, kind) else None


# -- answers for a client that speaks chat

_FIELDS = {"text": "content", "thinking": "reasoning_content", "refusal": "refusal"}


class Encoder:
    """An answer as the chunks of a stream, or whole."""

    def __init__(self, answer: Answer, fields: dict[str, Any]):
        self._answer = answer
        self._usage = (fields.get("stream_options") or {}).get("include_usage") is True
        self._named = self._head = self._tail = b""
        self._thinking: Part | None = None  # the last
        self._thought: Part | None = None  # the last that had words
        self._calls: list[Part] = []

    def _begin(self) -> bytes:
        self._named = b"data: %b" % encode(self._names("chat.completion.chunk"))[:-1]
        self._head = self._named + b',"choices":[{"index":0,"delta":'
        self._tail = b',"logprobs":null,"finish_reason":null}]%b}\n\n' % (b',"usage":null' if self._usage else b"")
        return self._chunk({"role": "assistant", "content": ""})

    def _names(self, kind: str) -> dict[str, Any]:
        answer = self._answer
        answer_id = answer.own_id or f"chatcmpl-{answer.id or secrets.token_hex(12)}"
        return {"id": answer_id, "object": kind, "created": answer.created, "model": answer.model}

    def _chunk(self, delta: dict[str, Any]) -> bytes:
        return b"%b%b%b" % (self._head, encode(delta), self._tail)

    def feed(self) -> bytes:
        """The chunks of what is new."""
        news = self._answer.news()
        if not news:
            return b""
        made = [] if self._head else [self._begin()]
        for part in news:
            words = part.take()
            if part.index < 0:
                made.append(self._enter(part))
            if words:
                if part.kind == "thinking":
                    words = f"\n\n{words}" if self._thought not in (None, part) else words
                    self._thought = part
                made.append(b"%b%b%b%b" % (part.frame, encode(words), _ENDS[part.kind], self._tail))
                if part.kind == "text":
                    self._answer.forget(part, words)
        return b"".join(made)

    def _enter(self, part: Part) -> bytes:
        if part.kind != "call":
            part.index = 0
            part.frame = b'%b{"%b":' % (self._head, _FIELDS[part.kind].encode())
            if part.kind == "thinking":
                made, part.index = self._carry(), 0 if self._thinking is None else self._thinking.index + 1
                self._thinking = part
                return made
            return b""
        part.index = len(self._calls)
        self._calls.append(part)
        part.frame = b'%b{"tool_calls":[{"index":%d,"function":{"arguments":' % (self._head, part.index)
        return self._chunk({"tool_calls": [{"index": part.index, **call_of(part.id, part.name, "")}]})

    def _carry(self) -> bytes:
        """What the provider needs back of the last thinking, once that is over."""
        part = self._thinking
        return self._chunk({"reasoning_details": [self._detail(part)]}) if part is not None and part.state else b""

    def _detail(self, part: Part) -> dict[str, Any]:
        sealed = seal(self._answer.origin, {**part.state, "text": part.text})
        return {"type": "reasoning.encrypted", "data": sealed, "format": "chomp", "index": part.index}

    def finish(self) -> bytes:
        """The last chunks."""
        made = [self.feed()]
        if not self._head:
            made.append(self._begin())
        silent = (part for part in self._calls if not part.pieces)  # no arguments at all are no JSON
        made += [self._carry(), *(b'%b"{}"%b%b' % (part.frame, _ENDS["call"], self._tail) for part in silent)]
        reason = encode(self._answer.finish_reason())
        usage = b',"usage":null' if self._usage else b""
        made.append(b'%b{},"logprobs":null,"finish_reason":%b}]%b}\n\n' % (self._head, reason, usage))
        if self._usage and (counted := _usage(self._answer.usage)):
            made.append(b'%b,"choices":[],"usage":%b}\n\n' % (self._named, encode(counted)))
        made.append(DONE)
        return b"".join(made)

    def whole(self) -> dict[str, Any]:
        answer = self._answer
        calls = [call_of(part.id, part.name, part.text or "{}") for part in answer.calls]
        thoughts = [part for part in answer.parts if part.kind == "thinking"]
        text, refusal = answer.text("text"), answer.text("refusal")
        message: dict[str, Any] = {
            "role": "assistant", "content": text or (None if calls or refusal else ""), "refusal": refusal or None,
            **present(tool_calls=calls or None),
        }  # fmt: skip
        if not answer.origin:  # of this dialect: as it came
            content = [_thinking(part.text, part.state) for part in thoughts]
            message = _given_back(message, [*content, {"type": "text", "text": text}])
            message["content"] = message["content"] or (None if calls or refusal else "")
            if "reasoning_details" in message:
                message.setdefault("reasoning", "".join(part.text for part in thoughts))
        else:
            message |= present(
                reasoning_content="\n\n".join(part.text for part in thoughts if part.pieces) or None,
                reasoning_details=[self._detail(part) for part in thoughts if part.state] or None,
            )
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason()}
        more = present(usage=_usage(answer.usage), cost=answer.cost)
        return {**self._names("chat.completion"), "choices": [choice], **more}


def _usage(usage: Usage) -> dict[str, Any] | None:
    if not (usage.prompt or usage.completion):
        return None
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        **present(completion_tokens_details={"reasoning_tokens": usage.reasoning} if usage.reasoning else None),
    }


_ENDS = {"text": b"}", "thinking": b"}", "refusal": b"}", "call": b"}}]}"}
DONE = b"data: [DONE]\n\n"


def encode_error(
    status: int, error: dict[str, Any], request_id: str = "", wait_s: float | None = None
) -> dict[str, Any]:
    """An error's body; `error` is OpenAI's object."""
    return {"error": error}


def error_frames(status: int, error: dict[str, Any], response_id: str = "") -> bytes:
    """An error at the end of a stream that has begun; the official SDKs raise on it."""
    return b"data: %b\n\n" % encode({"error": error}) + DONE
