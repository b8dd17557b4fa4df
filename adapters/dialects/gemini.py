"""Google's generateContent (https://ai.google.dev/api/generate-content), for clients: no target is asked in it.

So there is neither an `encode_request` nor a `Decoder` here. Its JSON is that of protocol buffers: each name may also
be written in snake_case, and a list of one without its brackets.
"""

from __future__ import annotations

import base64
import collections
import mimetypes
import re
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from adapters.dialects.form import (
    NOTHING,
    ODD,
    Answer,
    Part,
    Refused,
    Usage,
    arguments_of,
    call_of,
    content_of,
    data_url,
    encode,
    extend,
    misshapen,
    names,
    no_place,
    present,
    refuse,
    seal,
    text_of,
    tool_of,
    unseal,
)  # fmt: skip

EFFORT = "thinkingConfig"
ESTIMATES = True
FILLER = b"\n\n"  # a comment ends the official SDK for Python
_KNOWN = names("model stream router contents systemInstruction tools toolConfig generationConfig maxOutputTokens")
_CONFIG = names(
    "temperature topP topK maxOutputTokens stopSequences candidateCount responseMimeType responseSchema "
    "responseJsonSchema responseModalities thinkingConfig"
)
_USUAL = {"temperature": 1, "topP": 0.95, "topK": 64}  # Google's own: gemini-cli always names them, others refuse some
_DECLARATION = names("name description parameters parametersJsonSchema response responseJsonSchema")
_MODES = {"ANY": "required", "NONE": "none", "AUTO": "auto", "VALIDATED": "auto"}
_FINISH = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}
_SOUNDS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3"}
_TYPES = names("STRING NUMBER INTEGER BOOLEAN ARRAY OBJECT NULL")
_HINTS = names("propertyOrdering example nullable")  # of Google's schemas alone
_NO_SIGNATURES = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")  # which clients make up


# -- requests


def envelope(fields: Mapping[str, msgspec.Raw], model: str, *, stream: bool) -> dict[str, Any]:
    """A request with what its address says, and its limit where those of other dialects have theirs."""
    made: dict[str, Any] = {**_camel(fields), "model": model, "stream": stream}
    made.pop("maxOutputTokens", None)
    try:
        most = _camel(msgspec.json.decode(made["generationConfig"]))["maxOutputTokens"]
    except (msgspec.DecodeError, *ODD):
        return made
    return {**made, "max_output_tokens": most}


def _camel(fields: Mapping[str, Any]) -> dict[str, Any]:
    """An object by its names in camelCase."""
    return {re.sub("_([a-z])", lambda at: at[1].upper(), name): value for name, value in fields.items()}


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def decode_request(fields: dict[str, Any], origin: str, dropped: set[str]) -> dict[str, Any]:
    """A generateContent client's request. Raises Refused."""
    fields = _camel(fields)
    refuse(fields, {"cachedContent": ("cachedContent", NOTHING)})
    dropped |= {name for name in fields.keys() - _KNOWN if fields[name]}
    conversation = _Conversation(origin, dropped)
    if system := _system(fields.get("systemInstruction")):
        conversation.messages.append({"role": "system", "content": system})
    for at, content in enumerate(_several(fields["contents"])):
        try:
            conversation.add(_camel(content), f"contents[{at}]")
        except ODD:
            raise misshapen(f"contents[{at}]") from None
    if not any(message["role"] != "system" for message in conversation.messages):
        raise Refused("'contents' says nothing", "contents", "missing_required_parameter")
    tools = _tools(fields.get("tools"), dropped)
    choice, allowed = _choice(_camel(fields.get("toolConfig") or {}), tools, dropped)
    return {
        **present(
            model=fields.get("model"),
            stream=fields.get("stream"),
            messages=conversation.finished(),
            tools=[tool for tool in tools if not allowed or tool["function"]["name"] in allowed] or None,
            tool_choice=choice if tools else None,
        ),
        **_generation(_camel(fields.get("generationConfig") or {}), dropped),
    }


def _system(content: Any) -> str:
    parts = _several(content if isinstance(content, str) else _camel(content or {}).get("parts"))
    for at, part in enumerate(parts):
        if not isinstance(part, str) and "text" not in part:
            raise no_place("a system instruction that is no text", f"systemInstruction.parts[{at}]")
    return "\n\n".join(part if isinstance(part, str) else part["text"] for part in parts)


class _Conversation:
    """The messages of a request, as its contents tell them one by one.

    Calls often have no ids: then their number in the conversation is one, which is the same in every turn. A result
    without an id is that of the first call of its name that has none yet.
    """

    def __init__(self, origin: str, dropped: set[str]):
        self.messages: list[dict[str, Any]] = []
        self._origin, self._dropped = origin, dropped
        self._count = 0  # of calls without an id
        self._open: dict[str, str] = {}  # names of the calls of the last turn that have no result, by id
        self._named: dict[str, collections.deque[str]] = {}  # their ids by name, some of which have one by now
        self._answered: set[str] = set()

    def add(self, content: dict[str, Any], path: str) -> None:
        role = content.get("role") or "user"
        if role not in ("user", "model", "function"):
            raise Refused(f"{path}.role is user or model, not {str(role)[:50]!r}", f"{path}.role")
        parts = [{"text": part} if isinstance(part, str) else _camel(part) for part in _several(content.get("parts"))]
        if role == "model":
            self._model(parts)
        else:
            self._user(parts, path)

    def _model(self, parts: list[dict[str, Any]]) -> None:
        if not self.messages or self.messages[-1]["role"] != "assistant":  # else streamed, and kept piece by piece
            self.messages.append({"role": "assistant", "content": []})
            self._open, self._named, self._answered = {}, {}, set()
        message = self.messages[-1]
        content = message["content"]
        for part in parts:
            if signature := part.get("thoughtSignature"):
                thoughts = _unsigned(self._origin, signature)
                content[:0] = thoughts
                if not thoughts and signature not in _NO_SIGNATURES:
                    self._dropped.add("thoughtSignature")  # another's, which the model here did not think
            if "functionCall" in part:
                message.setdefault("tool_calls", []).append(self._call(_camel(part["functionCall"])))
            elif part.get("thought"):
                continue  # as far as it is needed, the signature has it
            elif words := _words(part):
                content.append({"type": "text", "text": words})
            elif part.keys() & {"inlineData", "fileData"}:
                self._dropped.add("contents.inlineData")  # no other's assistant shows pictures

    def _call(self, call: dict[str, Any]) -> dict[str, Any]:
        call_id = call.get("id")
        if not call_id:
            self._count += 1
            call_id = f"call{self._count:05}"  # nine letters and digits: Mistral takes no other
        self._open[call_id] = call["name"]
        self._named.setdefault(call["name"], collections.deque()).append(call_id)
        return call_of(call_id, call["name"], encode(call.get("args") or {}).decode())

    def _user(self, parts: list[dict[str, Any]], path: str) -> None:
        content: list[dict[str, Any]] = []
        for at, part in enumerate(parts):
            if "functionResponse" in part:
                self._result(_camel(part["functionResponse"]), f"{path}.parts[{at}]")
            elif words := _words(part):
                content.append({"type": "text", "text": words})
            elif media := _media(part, f"{path}.parts[{at}]"):
                content.append(media)
        if content:
            self.messages.append({"role": "user", "content": content_of(content)})

    def _result(self, result: dict[str, Any], path: str) -> None:
        call_id, name = result.get("id"), result.get("name")
        if call_id and call_id in self._answered:  # gemini-cli tells each twice when it resumes
            return
        named = self._named.get(name or "", collections.deque())
        while named and named[0] not in self._open:
            named.popleft()
        if call_id not in self._open and named:
            call_id = named.popleft()
        self._open.pop(call_id or "", None)
        self._answered.add(call_id or "")
        value = result.get("response")
        if isinstance(value, dict) and len(value) == 1 and value.keys() & {"output", "result"}:
            (value,) = value.values()
        words = value if isinstance(value, str) else "" if value is None else encode(value).decode()
        media = [one for part in _several(result.get("parts")) if (one := _media(_camel(part), path))]
        content = [{"type": "text", "text": words}, *media] if media else words
        self.messages.append({"role": "tool", "tool_call_id": call_id or name, "content": content})

    def finished(self) -> list[dict[str, Any]]:
        for message in self.messages:
            if message["role"] == "assistant":
                content = message["content"]
                words = text_of([part for part in content if part["type"] == "text"])
                thoughts = [part for part in content if part["type"] == "thinking"]
                if thoughts:
                    message["content"] = [*thoughts, *([{"type": "text", "text": words}] if words else [])]
                else:
                    message["content"] = words or (None if "tool_calls" in message else "")
        return self.messages


def _words(part: dict[str, Any]) -> str:
    """What a part says as text: also code that ran at Google, and what came of it."""
    if code := part.get("executableCode"):
        return f"```{str(code.get('language') or '').lower()}\n{code['code']}\n```\n"
    if result := part.get("codeExecutionResult"):
        return f"\n```\n{result.get('output') or ''}\n```\n"
    return part.get("text") or ""


def _media(part: dict[str, Any], path: str) -> dict[str, Any] | None:
    """A picture, a file or a sound; None for a part that says nothing. Raises Refused."""
    inline, file = _camel(part.get("inlineData") or {}), _camel(part.get("fileData") or {})
    if not (inline or file):
        return None
    url = file.get("fileUri") or ""
    kind = inline.get("mimeType") or file.get("mimeType") or mimetypes.guess_type(url)[0] or ""
    if inline:
        data = inline["data"].translate(_STANDARD)
        if kind.startswith("text/"):
            return {"type": "text", "text": base64.b64decode(data).decode("utf-8", "replace")}
        if kind in _SOUNDS:
            return {"type": "input_audio", "input_audio": {"data": data, "format": _SOUNDS[kind]}}
        url = data_url(kind, data)
    elif not url.startswith(("https://", "http://")) or "://generativelanguage.googleapis.com/" in url:
        raise no_place(f"a file kept at Google ({url[:100]!r})", path)
    if kind.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    if kind == "application/pdf":
        name = inline.get("displayName") or file.get("displayName") or "document.pdf"
        return {"type": "file", "file": {"filename": name, "file_data" if inline else "file_url": url}}
    raise no_place(f"a part of type {kind[:50]!r}", path)


_STANDARD = str.maketrans("-_", "+/")  # the SDK for Python writes base64 for addresses


def _tools(field: Any, dropped: set[str]) -> list[dict[str, Any]]:
    """The tools that the client runs. Google's own are dropped."""
    tools = []
    for tool in map(_camel, _several(field)):
        dropped |= {f"tools.{name}" for name in tool if name != "functionDeclarations"}
        for declaration in map(_camel, _several(tool.get("functionDeclarations"))):
            extend(dropped, "tools", declaration, _DECLARATION)
            schema = declaration.get("parametersJsonSchema") or _schema(declaration.get("parameters"))
            tools.append(tool_of(declaration["name"], declaration.get("description"), schema))
    return tools


def _choice(config: dict[str, Any], tools: list[Any], dropped: set[str]) -> tuple[Any, list[str]]:
    """The choice of a tool, and the names of those that may be chosen; none = all."""
    extend(dropped, "toolConfig", config, names("functionCallingConfig"))
    calling = _camel(config.get("functionCallingConfig") or {})
    mode, allowed = str(calling.get("mode") or "").upper(), _several(calling.get("allowedFunctionNames"))
    if mode == "ANY" and not any(not allowed or tool["function"]["name"] in allowed for tool in tools):
        raise Refused("toolConfig demands a function, and there is none", "toolConfig")
    if mode == "ANY" and len(allowed) == 1:
        return {"type": "function", "function": {"name": allowed[0]}}, []
    return _MODES.get(mode), allowed


def _schema(schema: Any, *, closed: bool = False) -> Any:
    """Google's form of a schema as JSON Schema; `closed` where an answer has no other properties than those named."""
    if not isinstance(schema, dict):
        return schema
    made: dict[str, Any] = {}
    schema = _camel(schema)
    for name, value in schema.items():
        if name in ("properties", "$defs", "defs"):
            value = {one: _schema(inner, closed=closed) for one, inner in value.items()}
        elif name in ("anyOf", "oneOf", "allOf", "prefixItems"):
            value = [_schema(inner, closed=closed) for inner in value]
        elif name in ("items", "additionalProperties"):
            value = _schema(value, closed=closed)
        elif name == "type" and isinstance(value, str) and value in _TYPES:
            value = value.lower()
        elif name.startswith(("min", "max")) and isinstance(value, str):  # 64 bits are a string in their JSON
            value = int(value)
        elif name in _HINTS or value == "TYPE_UNSPECIFIED" or (name == "format" and value == "enum"):
            continue
        made[name] = value
    if schema.get("nullable") and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
        if "enum" in made:
            made["enum"] = [*made["enum"], None]
    if closed and "properties" in made:
        made.setdefault("additionalProperties", False)
    return made


def _generation(config: dict[str, Any], dropped: set[str]) -> dict[str, Any]:
    """How the answer is to be made. Raises Refused."""
    if (config.get("candidateCount") or 1) != 1:
        raise no_place("candidateCount above 1", "generationConfig.candidateCount")
    if any(str(one).upper() != "TEXT" for one in _several(config.get("responseModalities"))):
        raise no_place("an answer other than text", "generationConfig.responseModalities")
    if (most := config.get("maxOutputTokens")) is not None and most < 1:
        raise Refused("maxOutputTokens must be 1 or more", "generationConfig.maxOutputTokens")
    extend(dropped, "generationConfig", config, _CONFIG)
    sampling = {name: config.get(name) for name in _USUAL if config.get(name) != _USUAL[name]}
    top_k = sampling.get("topK")
    if top_k:
        dropped.add("top_k")  # unless the target has it
    return present(
        temperature=sampling.get("temperature"),
        top_p=sampling.get("topP"),
        max_tokens=None if most is None else int(most),
        stop=_several(config.get("stopSequences")) or None,
        response_format=_response_format(config),
        reasoning_effort=_effort(_camel(config.get("thinkingConfig") or {})),
        same={"top_k": int(top_k)} if top_k else None,
    )


def _response_format(config: dict[str, Any]) -> dict[str, Any] | None:
    kind = config.get("responseMimeType") or "text/plain"
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    if kind not in ("text/plain", "application/json"):
        raise no_place(f"an answer of type {kind[:50]!r}", "generationConfig.responseMimeType")
    if schema:
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": _schema(schema, closed=True)}}
    return {"type": "json_object"} if kind == "application/json" else None


def _effort(thinking: dict[str, Any]) -> str | None:
    if level := thinking.get("thinkingLevel"):
        level = str(level).lower()
        return level if level in ("minimal", "low", "medium", "high") else None
    budget = thinking.get("thinkingBudget")
    if budget is None or budget < 0:  # the model decides
        return None
    return "low" if budget < 4096 else "medium" if budget < 16384 else "high"


# -- what a provider needs back: in a signature, which is base64 of bytes to the SDKs


def _signature(answer: Answer) -> dict[str, str]:
    thoughts = [{"text": part.text, "state": part.state} for part in answer.parts if part.state]
    if not (thoughts and answer.origin):
        return {}
    return {"thoughtSignature": base64.b64encode(seal(answer.origin, {"thoughts": thoughts}).encode()).decode()}


def _unsigned(origin: str, signature: Any) -> list[dict[str, Any]]:
    """The thoughts that `_signature` was given; none when it came from elsewhere."""
    try:
        state = unseal(origin, base64.b64decode(signature.translate(_STANDARD) + "==").decode("ascii"))
        return [{"type": "thinking", "text": one["text"], "state": one["state"]} for one in (state or {})["thoughts"]]
    except ODD:
        return []


# -- answers


class Encoder:
    """An answer as the frames of a stream, or whole. Calls come last, since they come whole; the first is signed."""

    def __init__(self, answer: Answer, fields: dict[str, Any]):
        self._answer = answer
        config = _camel(_camel(fields).get("generationConfig") or {})
        self._shows_thoughts = _camel(config.get("thinkingConfig") or {}).get("includeThoughts") is True
        self._tail = b""  # of a frame with words

    def _message(self, candidate: dict[str, Any], **more: Any) -> dict[str, Any]:
        answer = self._answer
        answer.id = answer.id or secrets.token_hex(12)
        return {"candidates": [candidate], **more, "modelVersion": answer.model, "responseId": answer.id}

    def feed(self) -> bytes:
        """The frames of what is new."""
        made = []
        for part in self._answer.news():
            words = part.take()
            if words and self._is_shown(part):
                made.append(b'data: {"candidates":[{"content":{"parts":[%b' % encode(self._text(part, words)))
                self._tail = self._tail or self._ending()
                made.append(self._tail)
                if part.kind != "thinking":
                    self._answer.forget(part, words)
        return b"".join(made)

    def _ending(self) -> bytes:
        whole = encode(self._message({"content": {"parts": [], "role": "model"}, "index": 0}))
        return whole[whole.index(b"]") :] + b"\n\n"

    def _is_shown(self, part: Part) -> bool:
        return part.kind != "call" and (part.kind != "thinking" or self._shows_thoughts)

    @staticmethod
    def _text(part: Part, words: str) -> dict[str, Any]:
        return {"text": words, "thought": True} if part.kind == "thinking" else {"text": words}

    def _calls(self) -> list[dict[str, Any]]:
        whole = [part for part in self._answer.calls if self._answer.stop != "length" or part.is_whole()]
        return [
            {"functionCall": {"id": part.id, "name": part.name, "args": arguments_of(part.text)}} for part in whole
        ]  # without one that was cut off in the middle

    def _end(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        refused = any(part.kind == "refusal" for part in self._answer.parts)
        reason = "SAFETY" if refused else _FINISH.get(self._answer.finish_reason(), "STOP")
        candidate = {"content": {"parts": parts, "role": "model"}, "finishReason": reason, "index": 0}
        return self._message(candidate, usageMetadata=_usage(self._answer.usage))

    def finish(self) -> bytes:
        """The last frames."""
        made = self.feed()
        last = self._calls() or [{"text": ""}]
        last[0] |= _signature(self._answer)
        return b"%bdata: %b\n\n" % (made, encode(self._end(last)))

    def whole(self) -> dict[str, Any]:
        parts = [self._text(part, part.text) for part in self._answer.parts if self._is_shown(part) and part.pieces]
        calls = self._calls()
        if not calls and (not parts or "thought" in parts[-1]):
            parts.append({"text": ""})
        (calls[0] if calls else parts[-1]).update(_signature(self._answer))
        return self._end([*parts, *calls])


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "promptTokenCount": usage.prompt,
        "candidatesTokenCount": usage.completion - usage.reasoning,
        **present(thoughtsTokenCount=usage.reasoning or None, cachedContentTokenCount=usage.cached or None),
        "totalTokenCount": usage.prompt + usage.completion,
    }


def elements(frames: bytes) -> list[bytes]:
    """What whole frames of a stream hold, for the form of a stream that is one JSON array."""
    return [line[6:] for line in frames.split(b"\n") if line.startswith(b"data: ")]


# -- errors (https://cloud.google.com/apis/design/errors)

_STATUSES = {
    401: "UNAUTHENTICATED", 402: "FAILED_PRECONDITION", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    405: "UNIMPLEMENTED", 408: "DEADLINE_EXCEEDED", 409: "ABORTED", 429: "RESOURCE_EXHAUSTED", 499: "CANCELLED",
    502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED", 529: "UNAVAILABLE",
}  # fmt: skip
_DETAIL = "type.googleapis.com/google.rpc."


def encode_error(
    status: int, error: dict[str, Any], request_id: str = "", wait_s: float | None = None
) -> dict[str, Any]:
    """An error's body; `error` is OpenAI's object."""
    reason = str(error.get("code") or error.get("type") or "unknown").upper()
    more = {name: str(error[name]) for name in ("type", "param") if error.get(name)}
    details = [{"@type": f"{_DETAIL}ErrorInfo", "reason": reason, "domain": "chomp", "metadata": more}]
    if attempts := error.get("attempts"):
        lines = [f"{one['router']}/{one['model']}: {one['status']} {one['error']}" for one in attempts]
        details.append({"@type": f"{_DETAIL}DebugInfo", "stackEntries": lines})
    if request_id:
        details.append({"@type": f"{_DETAIL}RequestInfo", "requestId": request_id})
    if wait_s is not None:  # gemini-cli reads it here, and no header
        details.append({"@type": f"{_DETAIL}RetryInfo", "retryDelay": f"{max(wait_s, 0.001):.3f}s"})
    kind = _STATUSES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    return {"error": {"code": status, "message": error["message"], "status": kind, "details": details}}


def error_frames(status: int, error: dict[str, Any], response_id: str = "") -> bytes:
    """An error at the end of a stream that has begun; the official SDKs raise on it."""
    return b"data: %b\n\n" % encode(encode_error(status, error))
