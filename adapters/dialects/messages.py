"""Anthropic's messages (https://docs.anthropic.com/en/api/messages)."""

from __future__ import annotations

import collections
import re
import secrets
from typing import Any

import msgspec

from adapters.dialects import chat
from adapters.dialects.form import (
    NOTHING,
    ODD,
    Answer,
    Part,
    Refused,
    Usage,
    arguments_of,
    as_text,
    call_of,
    check,
    content_of,
    data_url,
    decode,
    encode,
    extend,
    fitted_id,
    inline,
    is_sealed,
    misshapen,
    names,
    no_place,
    packed_id,
    present,
    refuse,
    seal,
    text_of,
    tool_of,
    unseal,
)

NAMES = re.compile(r"[A-Za-z0-9_-]{1,128}")
IDS = re.compile(r"[A-Za-z0-9_-]{1,64}")
EFFORT = "output_config"
ESTIMATES = True
FILLER = b'event: ping\ndata: {"type":"ping"}\n\n'
MAX_TOKENS = 8192  # wanted where a client names no limit: there must be one, and every model sold today grants it
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_STOPS = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_FINISH = {
    "max_tokens": "length", "model_context_window_exceeded": "length", "tool_use": "tool_calls",
    "refusal": "content_filter",
}  # fmt: skip
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_REFUSED = {name: (name, NOTHING) for name in ("mcp_servers", "container")}  # they change what the model can do
_KNOWN = names(
    "model max_tokens messages system stream temperature top_p stop_sequences tools tool_choice output_config "
    "output_format router mcp_servers container thread"
)
_MESSAGE = names("role content")
_BLOCK = names("type text source id name input tool_use_id content is_error thinking signature data title")
_TOOL = names("name description input_schema type strict")


# -- requests


def decode_request(fields: dict[str, Any], origin: str, dropped: set[str]) -> dict[str, Any]:
    """A messages client's request. Raises Refused."""
    refuse(fields, _REFUSED)
    if fields.get("thread"):  # what was said before is kept where the thread began
        details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}  # the SDK goes on without
        raise Refused("threads are not kept here: send all messages", "thread", more={"details": details})
    check(
        fields, model=str, messages=list, system=(str, list), tools=list, tool_choice=dict, stop_sequences=list,
        temperature=(int, float), top_p=(int, float), output_config=dict,
    )  # fmt: skip
    most = fields.get("max_tokens")
    if not isinstance(most, int) or most < 1:
        raise Refused("max_tokens must be 1 or more", "max_tokens")
    dropped |= fields.keys() - _KNOWN
    messages: list[dict[str, Any]] = []
    if system := _system(fields.get("system") or "", dropped):
        messages.append({"role": "system", "content": system})
    for at, message in enumerate(fields["messages"]):
        try:
            messages += _messages(message, f"messages[{at}]", origin, dropped)
        except ODD:
            raise misshapen(f"messages[{at}]") from None
    tools = [_function(tool, f"tools[{at}]", dropped) for at, tool in enumerate(fields.get("tools") or ())]
    choice = fields.get("tool_choice") or {}
    if choice.get("type") in ("any", "tool") and not tools:
        raise Refused("tool_choice demands a tool, and there is none", "tool_choice")
    output = fields.get("output_config") or {}
    extend(dropped, "output_config", output, names("format effort"))
    form = output.get("format") or fields.get("output_format")
    if form and (form.get("type") != "json_schema" or "schema" not in form):
        raise no_place("this output format", "output_config.format")
    schema = form and {"name": "answer", "schema": form["schema"], "strict": True}
    effort, parallel = output.get("effort"), choice.get("disable_parallel_tool_use")
    return present(
        model=fields.get("model"),
        messages=messages,
        max_tokens=most,
        stream=fields.get("stream"),
        temperature=fields.get("temperature"),
        top_p=fields.get("top_p"),
        stop=fields.get("stop_sequences") or None,
        tools=tools or None,
        tool_choice=_chosen(choice) if choice and tools else None,
        parallel_tool_calls=None if parallel is None or not tools else not parallel,
        response_format={"type": "json_schema", "json_schema": schema} if form else None,
        reasoning_effort="xhigh" if effort == "max" else effort,
    )


def _chosen(choice: dict[str, Any]) -> Any:
    if choice.get("type") == "tool":
        if not choice.get("name"):
            raise Refused("tool_choice needs the tool's name", "tool_choice")
        return {"type": "function", "function": {"name": choice["name"]}}
    if choice.get("type") not in _CHOICES:
        raise no_place(f"a tool_choice of type {choice.get('type')!r}", "tool_choice")
    return _CHOICES[choice["type"]]


def _system(system: Any, dropped: set[str]) -> str:
    if isinstance(system, str):
        return system
    for at, block in enumerate(system):
        if block["type"] != "text":
            raise no_place(f"a system block of type {block['type']!r}", f"system[{at}]")
        extend(dropped, "system", block, _BLOCK)
    return "\n\n".join(block["text"] for block in system)


def _function(tool: dict[str, Any], path: str, dropped: set[str]) -> dict[str, Any]:
    if tool.get("type") not in (None, "custom"):
        raise no_place(f"the tool {tool.get('name')!r} of type {tool['type']!r}, which runs at Anthropic,", path)
    extend(dropped, "tools", tool, _TOOL)
    return tool_of(tool["name"], tool.get("description"), tool.get("input_schema"), tool.get("strict"))


def _messages(message: dict[str, Any], path: str, origin: str, dropped: set[str]) -> list[dict[str, Any]]:
    """One message as one or more of chat: tool results are messages of their own there."""
    role, content = message["role"], message.get("content") or ""
    if role not in ("user", "assistant", "system"):
        raise Refused(f"{path}.role is user or assistant, not {str(role)[:50]!r}", path)
    extend(dropped, "messages", message, _MESSAGE)
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    made: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for at, block in enumerate(content):
        where, kind = f"{path}.content[{at}]", block["type"]
        extend(dropped, "messages", block, _BLOCK)
        if kind == "tool_result":
            if block.get("is_error"):
                dropped.add("tool_result.is_error")
            call_id = fitted_id(block.get("tool_use_id") or "")
            made.append({"role": "tool", "tool_call_id": call_id, "content": _result(block, where, dropped)})
        elif kind == "tool_use" and role == "assistant":
            arguments = encode(block.get("input") or {}).decode()
            calls.append(call_of(fitted_id(block.get("id") or ""), block["name"], arguments))
        elif kind in ("thinking", "redacted_thinking"):
            state = unseal(origin, block.get("signature"))
            if state is None:  # another's, which the model here did not think
                dropped.add("thinking")
            else:
                parts.append({"type": "thinking", "text": block.get("thinking") or "", "state": state})
        elif role == "assistant" and kind != "text":
            dropped.add(f"messages.{kind}")  # done at Anthropic, and told again in the text it led to
            words = text_of(block.get("content") or block.get("output"))  # of a compaction: all that was said before
            parts += [{"type": "text", "text": words}] if words else []
        else:
            parts += _parts(block, where, dropped)
    if role == "assistant":
        if not any(part["type"] == "thinking" for part in parts):
            parts = "".join(part["text"] for part in parts) or (None if calls else "")  # type: ignore[assignment]
        made.append({"role": role, "content": parts, **present(tool_calls=calls or None)})
    elif parts or not content:
        made.append({"role": role, "content": content_of(parts) or ""})
    return made


def _result(block: dict[str, Any], path: str, dropped: set[str]) -> str | list[dict[str, Any]]:
    content = block.get("content") or ""
    if not isinstance(content, list):
        return content if isinstance(content, str) else encode(content).decode()
    made: list[dict[str, Any]] = []
    for at, one in enumerate(content):
        extend(dropped, "messages", one, _BLOCK)
        made += _parts(one, f"{path}.content[{at}]", dropped)
    return made


def _parts(block: dict[str, Any], path: str, dropped: set[str]) -> list[dict[str, Any]]:
    kind, source = block["type"], block.get("source") or {}
    if kind == "text":
        return [{"type": "text", "text": block.get("text") or ""}]
    if kind not in ("image", "document"):
        return [as_text(block)]
    came = source.get("type")
    inlined = data_url(source.get("media_type"), source.get("data")) if came == "base64" else None
    if kind == "image" and came in ("base64", "url"):
        return [{"type": "image_url", "image_url": {"url": inlined or source["url"]}}]
    if kind == "document" and came == "text":
        return [{"type": "text", "text": source["data"]}]
    if kind == "document" and came == "content":
        inner = source["content"]
        parts = [{"type": "text", "text": inner}] if isinstance(inner, str) else inner
        return [made for one in parts for made in _parts(one, path, dropped)]
    if kind == "document" and came in ("base64", "url"):
        file = {"file_data": inlined} if inlined else {"file_url": source["url"]}
        return [{"type": "file", "file": {"filename": block.get("title") or "document.pdf", **file}}]
    raise no_place(f"a block of type {kind!r} from {came!r}", path)


def adopt(fields: dict[str, Any]) -> dict[str, Any]:
    """A request for a target that speaks messages itself, some of whose history others have told."""
    for message in fields["messages"]:
        if isinstance(content := message.get("content"), list):
            message["content"] = [one for one in content if not is_sealed(one.get("signature"))]
    fields["messages"] = [one for one in fields["messages"] if one.get("content") != []]
    said = [one["content"] for one in fields["messages"] if one.get("role") == "assistant"]
    kinds = [str(block.get("type")) for block in (said[-1] if said else ()) if isinstance(block, dict)]
    if "tool_use" in kinds and "thinking" not in kinds[0]:  # it may not think on where it has not thought before
        fields.pop("thinking", None)
    return fields


def encode_request(request: dict[str, Any], dropped: set[str]) -> dict[str, Any]:
    """A request for a target that speaks messages. Raises Refused."""
    system, messages = _split(request["messages"], dropped)
    if not messages:
        raise Refused("no message says anything", "messages")
    temperature = request.get("temperature")
    if temperature is not None and temperature > 1:
        temperature = 1
        dropped.add("temperature")
    stop = request.get("stop") or []
    stops = [stop] if isinstance(stop, str) else stop
    if not all(one.strip() for one in stops):
        dropped.add("stop")
    tools = [_tool(tool["function"]) for tool in request.get("tools") or ()]
    user = request.get("user")
    return {
        "model": request.get("model") or "",
        **chat.same(request, "messages", dropped),
        **present(
            stream=request.get("stream"),
            temperature=temperature,
            top_p=request.get("top_p"),
            messages=messages,
            system=system or None,
            max_tokens=request.get("max_completion_tokens") or request.get("max_tokens") or MAX_TOKENS,
            stop_sequences=[one for one in stops if one.strip()] or None,
            tools=tools or None,
            tool_choice=_choice(request, tools),
            metadata={"user_id": user} if user else None,
            output_config=_output(request, dropped) or None,
        ),
    }


def _tool(function: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": function["name"],
        **present(description=function.get("description") or None),
        "input_schema": {"type": "object", **(function.get("parameters") or {})},
        **present(strict=function.get("strict"), cache_control=function.get("cache_control")),
    }


def _output(request: dict[str, Any], dropped: set[str]) -> dict[str, Any]:
    """Format and effort of the answer."""
    output: dict[str, Any] = {}
    form, effort = request.get("response_format") or {}, request.get("reasoning_effort")
    if form.get("type") == "json_schema":
        named = form.get("json_schema")
        if not isinstance(named, dict) or not isinstance(named.get("schema"), dict):
            raise Refused("response_format needs json_schema.schema", "response_format")
        output["format"] = {"type": "json_schema", "schema": named["schema"]}
        if named.get("description"):
            dropped.add("response_format.description")
    elif form.get("type") == "json_object":
        dropped.add("response_format")
    elif form.get("type", "text") != "text":
        raise no_place(f"a response_format of type {form['type']!r}", "response_format")
    if effort in _EFFORTS:
        output["effort"] = _EFFORTS[effort]
    elif effort:
        dropped.add("reasoning_effort")
    return output


def _choice(request: dict[str, Any], tools: list[Any]) -> dict[str, Any] | None:
    choice, chosen = request.get("tool_choice"), None
    if isinstance(choice, dict):
        chosen = {"type": "tool", "name": choice["function"]["name"]}
    elif choice is not None:
        chosen = {"type": "any" if choice == "required" else choice}
    if not tools:
        if chosen and chosen["type"] in ("any", "tool"):
            raise Refused("tool_choice needs tools", "tool_choice")
        return None  # is refused there
    if request.get("parallel_tool_calls") is False and chosen != {"type": "none"}:
        return {**(chosen or {"type": "auto"}), "disable_parallel_tool_use": True}
    return chosen


def _split(messages: list[dict[str, Any]], dropped: set[str]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The system's blocks and the messages; what is empty is left out, since it is refused there."""
    system: list[dict[str, Any]] = []
    made: list[dict[str, Any]] = []
    results: list[dict[str, Any]] | None = None  # of the tools just called: they go into one message
    for at, message in enumerate(messages):
        role, blocks = message["role"], _blocks(message, f"messages[{at}]", dropped)
        if role in ("system", "developer"):
            if made:
                dropped.add("messages.order")  # there they all stand before the first message
            system += blocks
        elif role == "tool":
            if results is None:
                results = []
                made.append({"role": "user", "content": results})
            result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], **present(content=blocks or None)}
            results.append({**result, **present(cache_control=message.get("cache_control"))})
        elif blocks:
            results = None
            made.append({"role": role, "content": blocks})
    return system, made


def _blocks(message: dict[str, Any], path: str, dropped: set[str]) -> list[dict[str, Any]]:
    content = message.get("content") or []
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    blocks = [
        {**block, **present(cache_control=part.get("cache_control"))}
        for at, part in enumerate(parts)
        if (block := _block(part, message["role"], f"{path}.content[{at}]", dropped)) is not None
    ]
    blocks += [_tool_use(call["id"], **call["function"]) for call in message.get("tool_calls") or ()]
    if blocks and message.get("cache_control") is not None and message["role"] != "tool":
        blocks[-1].setdefault("cache_control", message["cache_control"])
    return blocks


def _tool_use(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments_of(arguments)}


def _block(part: dict[str, Any], role: str, path: str, dropped: set[str]) -> dict[str, Any] | None:
    """A part as a block; None when it says nothing."""
    kind = part["type"]
    if kind in ("text", "refusal"):
        text = part[kind]
        return {"type": "text", "text": text} if text.strip() else None
    if kind == "thinking":
        state = part["state"]
        if redacted := state.get("redacted"):
            return {"type": "redacted_thinking", "data": redacted}
        return {"type": "thinking", "thinking": part["text"], "signature": state.get("signature") or ""}
    if role in ("user", "tool") and kind == "image_url":
        image = part["image_url"]
        if image.get("detail") not in (None, "auto"):
            dropped.add("image_url.detail")
        return {"type": "image", "source": _source(image["url"], path)}
    if role in ("user", "tool") and kind == "file":
        file = part["file"]
        if url := file.get("file_url") or file.get("file_data"):
            source = _source(url, path)
            if source["type"] == "url" or source["media_type"] == "application/pdf":
                return {"type": "document", "source": source, **present(title=file.get("filename"))}
    raise no_place(f"this part of type {kind!r}", path)


def _source(url: str, path: str) -> dict[str, Any]:
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    media_type, data = inline(url, path)
    return {"type": "base64", "media_type": media_type, "data": data}


# -- answers of a target that speaks messages


class _Block(msgspec.Struct, gc=False):
    """A block, or a delta of one or of the message."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    partial_json: str | None = None
    stop_reason: str | None = None
    stop_details: Any = None


class _Message(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None


class _Frame(msgspec.Struct, gc=False):
    type: str = ""
    index: int | None = 0
    delta: _Block | None = None
    content_block: _Block | None = None
    message: _Message | None = None


_decode_frame = msgspec.json.Decoder(_Frame).decode


class Decoder:
    """Events of a message stream, added to an answer."""

    def __init__(self, answer: Answer):
        self._answer = answer
        self._inputs: dict[Any, str] = {}  # of calls that began with it: what comes in deltas wins

    def feed(self, payload: bytes) -> None:
        answer = self._answer
        try:
            frame = _decode_frame(payload)
        except (msgspec.DecodeError, UnicodeError):
            try:
                frame = msgspec.convert(decode(payload), _Frame)
            except (msgspec.DecodeError, *ODD):
                return
        if frame.type == "content_block_delta" and (delta := frame.delta):
            if delta.text:
                answer.say("text", delta.text)
            elif delta.partial_json:
                if frame.index in self._inputs:  # else a tool that runs there
                    self._inputs[frame.index] = ""
                    answer.call(frame.index, words=delta.partial_json)
            elif delta.thinking or delta.signature:
                answer.think(frame.index, delta.thinking, **present(signature=delta.signature))
        elif frame.type == "content_block_start" and (block := frame.content_block):
            self._begin(frame.index, block)
        elif frame.type == "content_block_stop":
            self._end(frame.index)
        elif frame.type == "message_start" and frame.message:
            answer.id, answer.model = frame.message.id or "", frame.message.model or answer.model
        elif frame.type == "message_delta" and frame.delta:
            self._stop(frame.delta.stop_reason, frame.delta.stop_details)

    def _begin(self, at: Any, block: _Block) -> None:
        answer = self._answer
        if block.type == "tool_use":
            answer.call(at, block.id or "", block.name or "")
            self._inputs[at] = encode(block.input).decode() if block.input else ""
        elif block.type == "text":
            answer.say("text", block.text)
        elif block.type in ("thinking", "redacted_thinking"):
            more = present(signature=block.signature or None, redacted=block.data or None)
            answer.think(at, block.thinking, **more)

    def _end(self, at: Any) -> None:
        if words := self._inputs.get(at):
            self._inputs[at] = ""
            self._answer.call(at, words=words)

    def _stop(self, reason: str | None, details: Any) -> None:
        if reason:
            self._answer.stop = _FINISH.get(reason, "stop")
        if isinstance(details, dict) and isinstance(words := details.get("explanation"), str):
            self._answer.say("refusal", words)

    def finish(self) -> None:
        for at in self._inputs:
            self._end(at)

    def whole(self, fields: dict[str, Any]) -> None:
        """Raises one of ODD when it is no message."""
        if fields.get("type") != "message" or not isinstance(fields.get("content"), list):
            raise ValueError("no message")
        answer = self._answer
        answer.id, answer.model = fields.get("id") or "", fields.get("model") or answer.model
        for at, block in enumerate(fields["content"]):
            if block["type"] in ("text", "thinking", "redacted_thinking", "tool_use"):
                self._begin(at, msgspec.convert(block, _Block))
                self._end(at)
        self._stop(fields.get("stop_reason"), fields.get("stop_details"))
        answer.cost = fields.get("cost")


# -- answers for a client that speaks messages


def event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode({"type": kind, **fields}))


_DELTAS = {  # by kind of part: how a delta begins, after its index
    "text": b'{"type":"text_delta","text":', "refusal": b'{"type":"text_delta","text":',
    "thinking": b'{"type":"thinking_delta","thinking":', "call": b'{"type":"input_json_delta","partial_json":',
}  # fmt: skip


class Encoder:
    """An answer as the events of a message stream, or whole.

    Blocks follow each other there: parts that come while a call may still grow wait until it is whole.
    """

    def __init__(self, answer: Answer, fields: dict[str, Any]):
        self._answer = answer
        self._open: Part | None = None
        self._waiting: collections.deque[Part] = collections.deque()
        self._index = -1

    def _message(self, content: list[Any], stop: str | None) -> dict[str, Any]:
        answer = self._answer
        return {
            "id": answer.own_id or f"msg_{answer.id or secrets.token_hex(12)}", "type": "message", "role": "assistant",
            "model": answer.model, "content": content, "stop_reason": stop, "stop_sequence": None,
            "usage": _usage(answer.usage),
        }  # fmt: skip

    def feed(self) -> bytes:
        """The events of what is new."""
        made: list[bytes] = []
        for part in self._answer.news():
            if part.index < 0:
                part.index = 0
                self._waiting.append(part)
            elif part is self._open:
                self._tell(made)
        while self._waiting and (self._open is None or self._open.is_whole()):
            self._enter(self._waiting.popleft(), made)
        return b"".join(made)

    def _enter(self, part: Part, made: list[bytes]) -> None:
        if self._index < 0:
            made.append(event("message_start", message=self._message([], None)))
        self._close(made)
        self._open = part
        self._index += 1
        made.append(event("content_block_start", index=self._index, content_block=self._block(part, "")))
        part.frame = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b' % (
            self._index, _DELTAS[part.kind],
        )  # fmt: skip
        self._tell(made)

    def _tell(self, made: list[bytes]) -> None:
        part = self._open
        if part is not None and (words := part.take()):
            made.append(b"%b%b}}\n\n" % (part.frame, encode(words)))
            if part.kind == "text":
                self._answer.forget(part, words)

    def _close(self, made: list[bytes]) -> None:
        part, self._open = self._open, None
        if part is None:
            return
        if part.kind == "thinking" and (signature := self._signature(part)):
            delta = {"type": "signature_delta", "signature": signature}
            made.append(event("content_block_delta", index=self._index, delta=delta))
        made.append(event("content_block_stop", index=self._index))

    def _signature(self, part: Part) -> str:
        if self._answer.origin:
            return seal(self._answer.origin, part.state)
        return part.state.get("signature") or ""

    def _block(self, part: Part, words: str, *, whole: bool = False) -> dict[str, Any]:
        """A block as it begins, or with all its words."""
        if part.kind == "call":
            return _tool_use(packed_id(part.id), part.name, words)  # a target of this dialect may be asked next
        if part.kind != "thinking":
            return {"type": "text", "text": words}
        if not self._answer.origin and "redacted" in part.state:
            return {"type": "redacted_thinking", "data": part.state["redacted"]}
        return {"type": "thinking", "thinking": words, "signature": self._signature(part) if whole else ""}

    def finish(self) -> bytes:
        """The last events."""
        made = [self.feed()]
        while self._waiting:
            self._enter(self._waiting.popleft(), made)
        if self._index < 0:
            made.append(event("message_start", message=self._message([], None)))
        self._close(made)
        delta = {"stop_reason": self._stop(), "stop_sequence": None}
        made.append(event("message_delta", delta=delta, usage=_usage(self._answer.usage)))
        made.append(event("message_stop"))
        return b"".join(made)

    def _stop(self) -> str:
        if any(part.kind == "refusal" for part in self._answer.parts):
            return "refusal"
        return _STOPS.get(self._answer.finish_reason(), "end_turn")

    def whole(self) -> dict[str, Any]:
        cut_off = self._answer.stop == "length"  # perhaps in the middle of a call
        content = [
            self._block(part, "" if cut_off and not part.is_whole() else part.text, whole=True)
            for part in self._answer.parts
        ]
        return self._message(content, self._stop())


def _usage(usage: Usage) -> dict[str, int]:
    written = min(usage.cache_write, usage.prompt - usage.cached)
    return {
        "input_tokens": usage.prompt - usage.cached - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
    }


# -- errors

_TYPES = {
    401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 503: "overloaded_error", 504: "timeout_error",
    529: "overloaded_error",
}  # fmt: skip


def encode_error(
    status: int, error: dict[str, Any], request_id: str = "", wait_s: float | None = None
) -> dict[str, Any]:
    """An error's body; `error` is OpenAI's object."""
    kind = _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    more = {name: value for name, value in error.items() if name not in ("type", "message", "param", "code")}
    message = error["message"]
    if error.get("code") == "context_length_exceeded" and "prompt is too long" not in message:
        message = f"prompt is too long: {message}"  # there is no code here: Claude Code compacts on these words
    return {
        "type": "error",
        "error": {"type": kind, "message": message, **more},
        "request_id": request_id or None,
    }


def error_frames(status: int, error: dict[str, Any], response_id: str = "") -> bytes:
    """An error at the end of a stream that has begun; the official SDKs raise on it."""
    return event("error", error=encode_error(status, error)["error"])
