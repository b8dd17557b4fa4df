"""OpenAI's Responses API (https://platform.openai.com/docs/api-reference/responses)."""

from __future__ import annotations

import itertools
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
    as_text,
    call_of,
    check,
    content_of,
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
    tool_of,
    unseal,
)

NAMES = re.compile(r"[A-Za-z0-9_-]{1,64}")
IDS = re.compile(r"[A-Za-z0-9_-]{1,64}")
EFFORT = "reasoning"
ESTIMATES = False
FILLER = b": keep-alive\n\n"
MIN_TOKENS = 16  # fewer are refused
_REFUSED = {name: (name, NOTHING) for name in ("background", "conversation", "prompt")}  # they change what is answered
_SAME = ("stream", "temperature", "top_p", "user", "parallel_tool_calls")
_KNOWN = frozenset((*_SAME, *_REFUSED)) | names(
    "model input instructions max_output_tokens tools tool_choice reasoning text metadata previous_response_id "
    "store router"
)
_DEFAULTS = {"truncation": "disabled", "service_tier": "auto"}  # they say nothing
_CALL = names("call_id name arguments input namespace type id status")
_OUTPUT = names("call_id output type id status name namespace")
_MESSAGE = names("role content type id status")
_PART = names("type text refusal image_url detail file_id file_url file_data filename input_audio")
_TOOL = names("type name description parameters strict format defer_loading")
_CUSTOM = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The tool's whole input, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}
_FINISH = {"max_output_tokens": "length", "content_filter": "content_filter"}
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


# -- requests


def decode_request(fields: dict[str, Any], origin: str, dropped: set[str]) -> dict[str, Any]:
    """A Responses client's request. Raises Refused."""
    refuse(fields, _REFUSED)
    more = fields.keys() - _KNOWN
    dropped |= {name for name in more if fields[name] and fields[name] != _DEFAULTS.get(name)}
    check(
        fields, model=str, input=(str, list), instructions=str, tools=list, reasoning=dict, text=dict, metadata=dict,
        max_output_tokens=int, temperature=(int, float), top_p=(int, float), user=str, parallel_tool_calls=bool,
    )  # fmt: skip
    if not fields.get("input"):
        raise Refused("'input' is required", "input", "missing_required_parameter")
    if (most := fields.get("max_output_tokens")) is not None and most < 1:
        raise Refused("max_output_tokens must be 1 or more", "max_output_tokens")
    reasoning, text = fields.get("reasoning") or {}, fields.get("text") or {}
    extend(dropped, "reasoning", reasoning, names("effort"))
    if text.get("verbosity") != "medium":
        extend(dropped, "text", text, names("format"))
    effort = reasoning.get("effort")
    if effort == "none":
        dropped.add("reasoning")  # most that think have no such word for it
    tools = client_tools(fields, dropped)
    choice = _choice(fields, tools)
    return {
        **present(
            model=fields.get("model"),
            messages=_messages(fields, origin, dropped),
            max_tokens=most,
            reasoning_effort=None if effort == "none" else effort,
            response_format=_response_format(text.get("format")),
            tools=[_function(tool, name) for name, tool in tools.items()] or None,
            tool_choice=choice if tools else None,
        ),
        **{
            name: fields[name]
            for name in _SAME
            if fields.get(name) is not None and (tools or name != "parallel_tool_calls")
        },
    }


def _response_format(form: Any) -> dict[str, Any] | None:
    if not form or form["type"] == "text":
        return None
    if form["type"] == "json_object":
        return {"type": "json_object"}
    if form["type"] != "json_schema" or form.get("schema") is None:
        raise no_place(f"an output format of type {form['type']!r}", "text.format")
    schema = {name: form[name] for name in ("name", "description", "schema", "strict") if form.get(name) is not None}
    return {"type": "json_schema", "json_schema": {"name": "answer", **schema}}


def _choice(fields: dict[str, Any], tools: dict[str, dict[str, Any]]) -> Any:
    choice = fields.get("tool_choice")
    if not isinstance(choice, dict):
        if choice not in (None, "auto", "none", "required"):
            raise Refused("tool_choice is auto, none or required", "tool_choice")
        if choice == "required" and not tools:
            raise no_place("a tool_choice that demands tools, when none is a function of the client's,", "tool_choice")
        return choice
    if choice.get("type") == "allowed_tools":
        return choice.get("mode") or "auto"  # which they are, the model is not told
    if choice.get("type") not in ("function", "custom"):
        raise no_place(f"a tool_choice of type {choice.get('type')!r}", "tool_choice")
    for space in (choice.get("namespace"), *(tool.get("namespace") for tool in tools.values())):
        if (name := _name(space, str(choice.get("name")))) in tools and choice.get("namespace") in (None, space):
            return {"type": "function", "function": {"name": name}}
    raise Refused("tool_choice names no tool of 'tools'", "tool_choice")


def client_tools(fields: dict[str, Any], dropped: set[str]) -> dict[str, dict[str, Any]]:
    """The tools that the client runs, by their names in chat, where a namespace is a prefix. Hosted ones are dropped.

    Codex tells some in items of its input: those it sends for some models, and those its search has found.
    """
    items = fields.get("input")
    found: dict[str, dict[str, Any]] = {}
    for item in ({"tools": fields.get("tools")}, *(items if isinstance(items, list) else ())):
        if item.get("type") in (None, "additional_tools", "tool_search_output"):
            for tool in item.get("tools") or ():
                if tool["type"] == "namespace":
                    extend(dropped, "tools", tool, names("type name tools"))
                group, space = (tool["tools"], tool["name"]) if tool["type"] == "namespace" else ([tool], None)
                for one in group:
                    _add_tool(found, one, space, dropped)
    return found


def _add_tool(found: dict[str, Any], tool: dict[str, Any], space: str | None, dropped: set[str]) -> None:
    if tool["type"] not in ("function", "custom"):
        dropped.add(f"tools.{tool['type']}")
        return
    extend(dropped, "tools", tool, _TOOL)
    if not tool.get("name"):
        raise Refused("a tool needs a name", "tools")
    found.setdefault(_name(space, tool["name"]), {**tool, **present(namespace=space)})


def _name(space: str | None, name: str) -> str:
    return f"{space.removesuffix('__')}__{name}" if space else name  # Codex ends its own with it


def _function(tool: dict[str, Any], name: str) -> dict[str, Any]:
    words, parameters, strict = tool.get("description") or "", tool.get("parameters"), tool.get("strict")
    if tool["type"] == "custom":
        parameters, strict, grammar = _CUSTOM, None, tool.get("format") or {}
        if grammar.get("type") == "grammar":
            ruled = f"The input follows this {grammar.get('syntax')} grammar:\n\n{grammar.get('definition')}"
            words = f"{words}\n\n{ruled}" if words else ruled
    return tool_of(name, words, parameters, strict)


def _messages(fields: dict[str, Any], origin: str, dropped: set[str]) -> list[dict[str, Any]]:
    """Input items as messages: calls are parts of the assistant's there."""
    messages: list[dict[str, Any]] = []
    if fields.get("instructions"):
        messages.append({"role": "system", "content": fields["instructions"]})
    items = fields["input"]
    for at, item in enumerate([{"role": "user", "content": items}] if isinstance(items, str) else items):
        try:
            _add_item(messages, item, f"input[{at}]", origin, dropped)
        except ODD:
            raise misshapen(f"input[{at}]") from None
    return messages


def _add_item(messages: list[dict[str, Any]], item: dict[str, Any], path: str, origin: str, dropped: set[str]) -> None:
    kind = item.get("type") or ("message" if "role" in item else "item_reference")
    if kind == "message":
        _add_message(messages, item, path, dropped)
    elif kind in ("function_call", "custom_tool_call"):
        extend(dropped, "input", item, _CALL)
        call = call_of(item.get("call_id"), _name(item.get("namespace"), item["name"]), chat.arguments_in(item))
        _assistant(messages).setdefault("tool_calls", []).append(call)
    elif kind in ("function_call_output", "custom_tool_call_output"):
        extend(dropped, "input", item, _OUTPUT)
        output = _output(item.get("output"), path, dropped)
        messages.append({"role": "tool", "tool_call_id": item.get("call_id") or "", "content": output})
    elif kind == "reasoning":
        state = unseal(origin, item.get("encrypted_content"))
        if state is None:  # another's, which the model here did not think
            dropped.add("reasoning")
            return
        words = "".join(text_of(item.get(name)) for name in ("summary", "content")) or state.get("text", "")
        message = _assistant(messages)
        content = message["content"]
        if not isinstance(content, list):
            content = message["content"] = [{"type": "text", "text": content}] if content else []
        content.append({"type": "thinking", "text": words, "state": state})
    elif kind == "item_reference":
        raise Refused(f"the item {str(item.get('id'))[:100]!r} is not kept here: send the item itself", path)
    elif kind.endswith("_output") and item.get("output"):  # of a tool that has another form everywhere else
        messages.append({"role": "user", "content": as_text(item)["text"]})
    elif kind not in ("additional_tools", "tool_search_output"):
        dropped.add(f"input.{kind}")


def _assistant(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The assistant's message that is being said."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    return messages[-1]


def _output(output: Any, path: str, dropped: set[str]) -> Any:
    if not isinstance(output, list):
        return output if isinstance(output, str) else encode(output).decode() if output else ""
    return [_part(part, f"{path}.output[{at}]", dropped) for at, part in enumerate(output)]


def _add_message(messages: list[dict[str, Any]], item: dict[str, Any], path: str, dropped: set[str]) -> None:
    extend(dropped, "input", item, _MESSAGE)
    if item["role"] not in ("user", "assistant", "system", "developer"):
        raise Refused(f"{path}.role is user, assistant, system or developer", f"{path}.role")
    role = "system" if item["role"] == "developer" else item["role"]  # which few chat targets know
    content: Any = item.get("content") or ""
    if not isinstance(content, str):
        parts = [_part(part, f"{path}.content[{at}]", dropped) for at, part in enumerate(content)]
        if role != "user" and any(part["type"] != "text" for part in parts):
            dropped.add("input")
            parts = [part for part in parts if part["type"] == "text"]
        between = "\n\n" if role == "system" else ""
        content = content_of(parts) or "" if role == "user" else between.join(part["text"] for part in parts)
    last: dict[str, Any] = messages[-1] if messages else {"role": ""}
    if role == "system" and len(messages) == 1 and last["role"] == "system":
        last["content"] += "\n\n" + content  # many chat templates take only one, at the start
    elif role == "assistant" and last["role"] == role and isinstance(last["content"], list):  # what it thought first
        last["content"].append({"type": "text", "text": content})
    elif role == "assistant" and "tool_calls" in last:  # no message may come before the output of a call
        last["content"] = (last["content"] or "") + content or None
    else:
        messages.append({"role": role, "content": content})


def _part(part: dict[str, Any], path: str, dropped: set[str]) -> dict[str, Any]:
    kind = part["type"]
    if kind in ("input_text", "output_text", "text", "refusal"):
        extend(dropped, "input", part, _PART)
        text = part.get("refusal" if kind == "refusal" else "text")
        return {"type": "text", "text": "" if text is None else text}
    if kind == "input_image" and part.get("image_url"):
        detail = part.get("detail")
        if detail and detail not in ("auto", "low", "high"):
            dropped.add("input")
            detail = None
        return {"type": "image_url", "image_url": present(url=part["image_url"], detail=detail)}
    if kind == "input_file" and (file := {name: part[name] for name in _FILE if part.get(name)}):
        return {"type": "file", "file": file}
    if kind == "input_audio" and part.get("input_audio"):
        return {"type": kind, kind: part[kind]}
    if kind in ("input_image", "input_file", "input_audio"):
        by = next((f" by {name}" for name in ("file_id", "file_url") if part.get(name)), "")
        raise no_place(f"a part of type {kind!r}{by}", path)
    return as_text(part)


_FILE = ("filename", "file_data", "file_url")


def adopt(fields: dict[str, Any]) -> dict[str, Any]:
    """A request for a target that speaks responses itself, some of whose history others have told."""
    if isinstance(items := fields.get("input"), list):
        fields["input"] = [item for item in items if not is_sealed(item.get("encrypted_content"))]
    return fields


def encode_request(request: dict[str, Any], dropped: set[str]) -> dict[str, Any]:
    """A request for a target that speaks responses. Raises Refused."""
    if request.get("stop"):
        raise no_place("stop", "stop")
    items: list[dict[str, Any]] = []
    for at, message in enumerate(request["messages"]):
        items += _items(message, f"messages[{at}]", dropped)
    same = chat.same(request, "responses", dropped)
    text = {"verbosity": same.pop("verbosity")} if "verbosity" in same else {}
    if form := request.get("response_format"):
        text["format"] = {**form["json_schema"], "type": form["type"]} if form["type"] == "json_schema" else form
    tools = [_tool(tool["function"], dropped) for tool in request.get("tools") or ()]
    choice, effort = request.get("tool_choice"), request.get("reasoning_effort")
    most = request.get("max_completion_tokens") or request.get("max_tokens")
    return {
        "model": request.get("model") or "",
        "store": False,  # is true there when not said, and the client's dialect expects nothing to be kept
        **same,
        **present(
            input=items,
            max_output_tokens=max(most, MIN_TOKENS) if most else None,
            reasoning={"effort": effort} if effort else None,
            include=["reasoning.encrypted_content"] if effort and effort != "none" else None,
            text=text or None,
            tools=tools or None,
            tool_choice={"type": "function", **choice["function"]} if isinstance(choice, dict) else choice,
            **{name: request.get(name) for name in _SAME},
        ),
    }


def _tool(function: dict[str, Any], dropped: set[str]) -> dict[str, Any]:
    extend(dropped, "cache_control", function, names("name description parameters strict"))
    return {
        "type": "function",
        **present(name=function["name"], description=function.get("description") or None),
        "parameters": function.get("parameters") or {"type": "object", "properties": {}},
        "strict": bool(function.get("strict")),  # is true there when not said
    }


def _items(message: dict[str, Any], path: str, dropped: set[str]) -> list[dict[str, Any]]:
    """One message as one or more items: calls and reasoning are items of their own there."""
    if message.get("cache_control"):
        dropped.add("cache_control")
    role, content = message["role"], message.get("content") or ""
    if isinstance(content, str) and role == "assistant":
        content = [{"type": "text", "text": content}] if content else []
    items: list[dict[str, Any]] = []
    parts: Any = content
    if not isinstance(content, str):
        parts = []
        for at, part in enumerate(content):
            if part["type"] == "thinking":
                items += _reasoning(part)
            elif part.get("text") or part.get("refusal") or part["type"] not in ("text", "refusal"):
                parts.append(_content(part, role, f"{path}.content[{at}]", dropped))
    if role == "tool":
        return [{"type": "function_call_output", "call_id": message["tool_call_id"], "output": parts or ""}]
    if parts:
        items.append({"type": "message", "role": role, "content": parts})
    for call in message.get("tool_calls") or ():
        name, arguments = call["function"]["name"], call["function"]["arguments"] or "{}"
        items.append({"type": "function_call", "call_id": call["id"], "name": name, "arguments": arguments})
    return items


def _reasoning(part: dict[str, Any]) -> list[dict[str, Any]]:
    """A reasoning item as it came, but for its id: nothing is kept there. None where that says nothing."""
    state, words = part["state"], part["text"]
    item: dict[str, Any] = {"type": "reasoning", "summary": []}
    if encrypted := state.get("encrypted_content"):
        item["encrypted_content"] = encrypted
    if words and state.get("summary"):
        item["summary"] = _summary(words, state["summary"])
    elif words:
        item["content"] = [{"type": "reasoning_text", "text": words}]
    return [item] if "encrypted_content" in item or "content" in item else []


def _summary(words: str, lengths: list[int]) -> list[dict[str, Any]]:
    """The parts of a summary, between which two newlines were put."""
    starts = itertools.accumulate((length + 2 for length in lengths), initial=0)
    pairs = zip(starts, lengths, strict=False)
    return [{"type": "summary_text", "text": words[start : start + length]} for start, length in pairs]


def _content(part: dict[str, Any], role: str, path: str, dropped: set[str]) -> dict[str, Any]:
    if part.get("cache_control"):
        dropped.add("cache_control")
    kind = part["type"]
    if role == "assistant" and kind in ("text", "refusal"):
        return {"type": "refusal", kind: part[kind]} if kind == "refusal" else {"type": "output_text", kind: part[kind]}
    if kind == "text":
        return {"type": "input_text", "text": part["text"]}
    if role in ("user", "tool") and kind == "image_url":
        image = part["image_url"]
        return {"type": "input_image", "image_url": image["url"], "detail": image.get("detail") or "auto"}
    if role in ("user", "tool") and kind == "file":
        return {"type": "input_file", **part["file"]}
    if role == "user" and kind == "input_audio":
        return part
    raise no_place(f"this part of type {kind!r}", path)


# -- answers of a target that speaks responses


class _Frame(msgspec.Struct, gc=False):
    type: str = ""
    delta: str | None = None
    output_index: int | None = None
    item_id: str | None = None
    summary_index: int | None = None
    arguments: str | None = None
    item: Any = None
    response: Any = None


_decode_frame = msgspec.json.Decoder(_Frame).decode


class Decoder:
    """Events of a response stream, added to an answer."""

    def __init__(self, answer: Answer):
        self._answer = answer
        self._told: set[Any] = set()  # items whose words have come
        self._calls: set[Any] = set()
        self._summary: dict[Any, tuple[int, list[int]]] = {}  # the last part of an item's, and how long all are

    def feed(self, payload: bytes) -> None:
        try:
            try:
                frame = _decode_frame(payload)
            except (msgspec.DecodeError, UnicodeError):
                frame = msgspec.convert(decode(payload), _Frame)
            self._frame(frame)
        except (msgspec.DecodeError, *ODD):
            return

    def _frame(self, frame: _Frame) -> None:
        answer = self._answer
        key: Any = frame.item_id if frame.output_index is None else frame.output_index
        match frame.type:
            case "response.output_text.delta" | "response.refusal.delta" as kind:
                self._told.add(key)
                answer.say("text" if kind == "response.output_text.delta" else "refusal", frame.delta)
            case "response.function_call_arguments.delta":
                if key in self._calls:
                    self._told.add(key)
                    answer.call(key, words=frame.delta or "")
            case "response.reasoning_text.delta":
                self._told.add(key)
                answer.think(key, frame.delta, content=True)
            case "response.reasoning_summary_text.delta":
                self._told.add(key)
                self._summarise(key, frame.summary_index or 0, frame.delta)
            case "response.function_call_arguments.done":
                self._argue(key, frame.arguments)
            case "response.output_item.added" | "response.output_item.done":
                key = frame.item.get("id") if key is None else key
                self._item(key, frame.item, done=frame.type.endswith("done"))
            case "response.created" | "response.in_progress":
                self._begin(frame.response)
            case "response.completed" | "response.incomplete":
                self._end(frame.response, incomplete=frame.type.endswith("incomplete"))

    def _begin(self, response: dict[str, Any]) -> None:
        answer = self._answer
        if not answer.id:
            answer.id, answer.model = response.get("id") or "", response.get("model") or answer.model

    def _summarise(self, key: Any, part: int, words: str | None) -> None:
        if words:
            last, lengths = self._summary.get(key, (part, []))
            apart = "\n\n" if last != part else ""
            if apart or not lengths:
                lengths.append(0)
            lengths[-1] += len(words)
            self._summary[key] = part, lengths
            self._answer.think(key, apart + words)
            self._answer.parts[-1].state["summary"] = lengths

    def _argue(self, key: Any, arguments: str | None) -> None:
        """The arguments of a call, where none have come in deltas."""
        if arguments and key in self._calls and key not in self._told:
            self._told.add(key)
            self._answer.call(key, words=arguments if isinstance(arguments, str) else encode(arguments).decode())

    def _item(self, key: Any, item: dict[str, Any], *, done: bool) -> None:
        """An item as it begins, or what has not come in deltas when it is done."""
        answer, kind = self._answer, item["type"]
        if kind == "function_call":
            if key not in self._calls:
                self._calls.add(key)
                answer.call(key, str(item.get("call_id") or item.get("id") or ""), str(item.get("name") or ""))
            if done:
                self._argue(key, item.get("arguments"))
            return
        if not done or kind not in ("message", "reasoning"):
            return
        told = key in self._told
        self._told.add(key)
        if kind == "reasoning":
            for at, part in enumerate(() if told else item.get("summary") or ()):
                self._summarise(key, at, text_of([part]))
            if not told and (words := text_of(item.get("content"))):
                answer.think(key, words, content=True)
            if encrypted := item.get("encrypted_content"):
                answer.think(key, None, encrypted_content=encrypted)
        elif not told:
            for part in item.get("content") or ():
                answer.say("text", text_of([part]))
                answer.say("refusal", text_of(part.get("refusal")))

    def _end(self, response: dict[str, Any], *, incomplete: bool) -> None:
        self._begin(response)
        for at, item in enumerate(response.get("output") or ()):  # a host may send no deltas
            if at not in self._told and item.get("id") not in self._told:
                self._item(at, item, done=True)
        if incomplete or response.get("status") == "incomplete":
            reason = (response.get("incomplete_details") or {}).get("reason")
            self._answer.stop = _FINISH.get(str(reason), "length")
        self._answer.cost = response.get("cost")

    def finish(self) -> None:
        """Nothing waits here."""

    def whole(self, fields: dict[str, Any]) -> None:
        """Raises one of ODD when it is no response."""
        if fields.get("status") not in (None, "completed", "incomplete") or not isinstance(fields.get("output"), list):
            raise ValueError("no response")
        self._end(fields, incomplete=False)


# -- answers for a client that speaks responses


class _Kind(msgspec.Struct, frozen=True):
    """How a part of an answer is told: as an item of the output."""

    type: str
    prefix: str  # of its id
    event: str
    field: str  # where its words stand
    part: str = ""  # type of its content part; "" = it has none
    more: tuple[str, ...] = ()  # lists in its delta and done events, always empty here
    part_more: tuple[str, ...] = ()  # and in its part


_KINDS = {
    "text": _Kind(
        "message", "msg", "response.output_text", "text", "output_text", ("logprobs",), ("annotations", "logprobs")
    ),
    "refusal": _Kind("message", "msg", "response.refusal", "refusal", "refusal"),
    "thinking": _Kind("reasoning", "rs", "response.reasoning_text", "text", "reasoning_text"),
    "call": _Kind("function_call", "fc", "response.function_call_arguments", "arguments"),
    "custom": _Kind("custom_tool_call", "ctc", "response.custom_tool_call_input", "input"),
}
_ECHOED: dict[str, Any] = {
    "instructions": None, "max_output_tokens": None, "parallel_tool_calls": True, "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None}, "store": True, "temperature": None,
    "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": None, "truncation": "disabled",
    "user": None, "metadata": {},
}  # fmt: skip


class Encoder:
    """An answer as the events of a response stream, or whole. Items may grow side by side, so nothing has to wait."""

    def __init__(self, answer: Answer, fields: dict[str, Any]):
        self._answer = answer
        self._tools = client_tools(fields, set())
        self._stem = secrets.token_hex(20)  # of the ids: those of items lead to the response
        self._sequence = 0
        self._begun: list[Part] = []
        self._output: dict[int, dict[str, Any]] = {}  # finished items
        self.response: dict[str, Any] = {
            "id": f"resp_{self._stem}", "object": "response", "created_at": answer.created, "status": "in_progress",
            "background": False, "error": None, "incomplete_details": None, "output": [], "usage": None,
        }  # fmt: skip
        for name, otherwise in _ECHOED.items():
            value = fields.get(name)
            if isinstance(otherwise, dict) and isinstance(value, dict):
                value = {**otherwise, **value}
            self.response[name] = otherwise if value is None else value

    def _event(self, kind: str, **fields: Any) -> bytes:
        self._sequence += 1
        data = encode({"type": kind, "sequence_number": self._sequence - 1, **fields})
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)

    def _kind(self, part: Part) -> _Kind:
        if part.kind == "call" and self._tools.get(part.name, {}).get("type") == "custom":
            return _KINDS["custom"]
        return _KINDS[part.kind]

    def _place(self, part: Part, kind: _Kind) -> dict[str, Any]:
        place = {"item_id": f"{kind.prefix}_{self._stem}{part.index:02x}", "output_index": part.index}
        return {**place, "content_index": 0} if kind.part else place

    def _piece(self, kind: _Kind, words: str) -> dict[str, Any]:
        return {"type": kind.part, kind.field: words, **{name: [] for name in kind.part_more}}

    def _item(self, part: Part, status: str, words: str = "") -> dict[str, Any]:
        kind = self._kind(part)
        item: dict[str, Any] = {"type": kind.type, "id": f"{kind.prefix}_{self._stem}{part.index:02x}"}
        begun = status == "in_progress"
        if part.kind == "thinking":
            summary = None if self._answer.origin else part.state.get("summary")  # of this dialect: as it came
            item["summary"] = _summary(words, summary) if summary and not begun else []
            if (begun or words) and not item["summary"]:
                item["content"] = [] if begun else [self._piece(kind, words)]
            if not begun:
                item["encrypted_content"] = self._encrypted(part)
            return item
        if kind.part:
            return {
                **item,
                "role": "assistant",
                "content": [] if begun else [self._piece(kind, words)],
                "status": status,
            }
        tool = self._tools.get(part.name) or {"name": part.name}
        named = present(call_id=part.id, name=tool["name"], namespace=tool.get("namespace"))
        return {**item, **named, kind.field: words, "status": status}

    def _encrypted(self, part: Part) -> str | None:
        if self._answer.origin:
            return seal(self._answer.origin, {**part.state, "text": part.text})
        return part.state.get("encrypted_content")

    def _start(self, made: list[bytes]) -> None:
        if not self._sequence:
            own_id = self._answer.own_id or self.response["id"]
            self.response |= {"id": own_id, "model": self._answer.model, "created_at": self._answer.created}
            made.append(self._event("response.created", response=self.response))
            made.append(self._event("response.in_progress", response=self.response))

    def feed(self) -> bytes:
        """The events of what is new."""
        news = self._answer.news()
        if not news:
            return b""
        made: list[bytes] = []
        self._start(made)
        for part in news:
            if part.index < 0:
                self._enter(part, made)
            self._tell(part, made)
        return b"".join(made)

    def _tell(self, part: Part, made: list[bytes]) -> None:
        if (words := part.take()) and part.frame:
            self._sequence += 1
            made.append(part.frame % (self._sequence - 1, encode(words)))

    def _enter(self, part: Part, made: list[bytes]) -> None:
        last = self._begun[-1] if self._begun else None
        if last is not None and last.is_whole():  # some take what ends for the last
            self._tell(last, made)
            self._close(last, "completed", made)
        part.index = len(self._begun)
        self._begun.append(part)
        kind = self._kind(part)
        place = self._place(part, kind)
        item = self._item(part, "in_progress")
        made.append(self._event("response.output_item.added", output_index=part.index, item=item))
        if kind.part and (part.untold or part.kind != "thinking"):
            made.append(self._event("response.content_part.added", **place, part=self._piece(kind, "")))
        if kind is not _KINDS["custom"]:  # whose input comes wrapped in JSON: it waits until it is whole
            begun = encode({"type": f"{kind.event}.delta", **place, **{name: [] for name in kind.more}})[:-1]
            part.frame = b'event: %b.delta\ndata: %b,"sequence_number":%%d,"delta":%%b}\n\n' % (
                kind.event.encode(), begun.replace(b"%", b"%%"),
            )  # fmt: skip

    def _close(self, part: Part, status: str, made: list[bytes]) -> None:
        if part.index in self._output:
            return
        kind, words = self._kind(part), self._words(part)
        place = self._place(part, kind)
        if kind is _KINDS["custom"] or (part.kind == "call" and not part.pieces):
            made.append(self._event(f"{kind.event}.delta", **place, delta=words))
        if words or part.kind != "thinking":
            more: dict[str, Any] = {name: [] for name in kind.more}
            made.append(self._event(f"{kind.event}.done", **place, **{kind.field: words}, **more))
            if kind.part:
                made.append(self._event("response.content_part.done", **place, part=self._piece(kind, words)))
        item = self._output[part.index] = self._item(part, status, words)
        made.append(self._event("response.output_item.done", output_index=part.index, item=item))

    def _words(self, part: Part) -> str:
        words = part.text
        if self._kind(part) is not _KINDS["custom"]:
            return words or ("{}" if part.kind == "call" else "")
        try:
            return str(decode(words)["input"])
        except ODD:
            return words  # the model did not wrap it

    def finish(self) -> bytes:
        """The last events."""
        made = [self.feed()]
        self._start(made)
        reason = _INCOMPLETE.get(self._answer.stop)
        for part in self._begun:
            last = part is self._begun[-1]
            self._close(part, "incomplete" if reason and last else "completed", made)
        response = self._finished(reason)
        made.append(self._event(f"response.{response['status']}", response=response))
        return b"".join(made)

    def _finished(self, reason: str | None) -> dict[str, Any]:
        self.response |= {
            "id": self._answer.own_id or self.response["id"],
            "model": self._answer.model,
            "created_at": self._answer.created,
            "status": "incomplete" if reason else "completed",
            "incomplete_details": {"reason": reason} if reason else None,
            "output": [self._output[at] for at in sorted(self._output)],
            "usage": _usage(self._answer.usage),
        }
        return self.response

    def error(self, status: int, error: dict[str, Any]) -> bytes:
        made: list[bytes] = []
        self._start(made)
        failed = {**self.response, "status": "failed", "error": _failure(error)}
        made.append(self._event("response.failed", response=failed))
        made.append(self._event("error", **_top(error), error=error))
        return b"".join(made)

    def whole(self) -> dict[str, Any]:
        answer = self._answer
        reason = _INCOMPLETE.get(answer.stop)
        for at, part in enumerate(answer.parts):
            part.index = at
            status = "incomplete" if reason and part is answer.parts[-1] else "completed"
            self._output[at] = self._item(part, status, self._words(part))
        return {**self._finished(reason), **present(cost=answer.cost)}


def _usage(usage: Usage) -> dict[str, Any] | None:
    if not (usage.prompt or usage.completion):
        return None
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + usage.completion,
    }


# -- errors


def _failure(error: dict[str, Any]) -> dict[str, Any]:
    """What a failed response says of itself."""
    return {"code": error.get("code") or error.get("type") or "server_error", "message": error["message"]}


def _top(error: dict[str, Any]) -> dict[str, Any]:
    return {name: error.get(name) for name in ("code", "message", "param")}


encode_error = chat.encode_error


def error_frames(status: int, error: dict[str, Any], response_id: str = "") -> bytes:
    """An error at the end of a stream that has begun: Codex and opencode heed the first event, the SDK the second."""
    response_id = response_id or f"resp_{secrets.token_hex(20)}"
    response = {"id": response_id, "object": "response", "status": "failed", "output": [], "error": _failure(error)}
    failed = {"type": "response.failed", "sequence_number": 0, "response": response}
    told = {"type": "error", "sequence_number": 1, **_top(error), "error": error}
    return b"event: response.failed\ndata: %b\n\nevent: error\ndata: %b\n\n" % (encode(failed), encode(told))
