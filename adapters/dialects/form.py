"""The form in which every request and every answer passes from one dialect of a model API to another.

A request in between is a chat completions request as Python values, wider in two points: the message of a tool may
hold pictures and files, and the content of an assistant may hold parts of type `thinking` with what their provider
needs back. An answer in between is an `Answer`: a target's Decoder adds to it, a client's Encoder reads it.

Each dialect is a module beside this one with the same names (one for clients alone has the lines marked with *):

    NAMES, IDS                                  what it takes as the name of a tool and as the id of a call
  * EFFORT                                      its field that says how much a model is to think
  * ESTIMATES                                   whether its clients must be told a count before there is one
  * FILLER                                      what fills silence in its streams
  * decode_request(fields, origin, dropped)     a client's request in between; raises Refused
    adopt(fields)                               a request for a target of this dialect, others' seals taken out
    encode_request(request, dropped)            a request for a target; raises Refused
    Decoder(answer)                             .feed(payload of one frame), .whole(fields of a whole answer)
  * Encoder(answer, fields)                     .feed() .finish() -> bytes, .whole() -> fields, and .error(...) where
                                                error_frames do not fit behind what has been sent
  * encode_error, error_frames                  an error as a body, and at the end of a stream

`dropped` collects the names of what was left out, since the target has no place for it and it does no harm.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import hashlib
import itertools
import json
import re
import secrets
from collections.abc import Iterator
from types import NoneType
from typing import Any, Literal

import msgspec

# from JSON of a shape nobody has seen
ODD = (AttributeError, TypeError, LookupError, ValueError, ArithmeticError, RecursionError)

Kind = Literal["thinking", "text", "refusal", "call"]


class Refused(Exception):
    """What a request wants has no place in the target's dialect, or is not what its own dialect has."""

    def __init__(self, words: str, param: str, code: str = "invalid_value", more: dict[str, Any] | None = None):
        super().__init__(words)
        self.param = param
        self.code = code
        self.more = more  # members of the error that a client of this dialect looks at


def no_place(what: str, param: str) -> Refused:
    words = f"{what} has no place in the dialect that the host of this model speaks"
    return Refused(words, param, "unsupported_parameter")


def misshapen(path: str) -> Refused:
    return Refused(f"wrong type in the request - at `$.{path}`", path, "invalid_type")


def decode(data: bytes | str) -> Any:
    """JSON, also with halves of surrogate pairs and bare newlines, which models write. Raises ValueError."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError):
        if not isinstance(data, str):
            data = data.decode(json.detect_encoding(data), "surrogatepass")
        return json.loads(data, strict=False)


def encode(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # half a surrogate pair: escaped, as it came
        return json.dumps(value, separators=(",", ":")).encode()


def names(words: str) -> frozenset[str]:
    return frozenset(words.split())


def present(**fields: Any) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def text_of(content: Any) -> str:
    """The words of a content, which is a list of parts at some."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def content_of(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Parts as a content: words alone are no list, which some hosts do not read."""
    are_words = len(parts) == 1 and parts[0]["type"] == "text"
    return "".join(part["text"] for part in parts) if are_words else parts


def as_text(block: dict[str, Any]) -> dict[str, Any]:
    """A part of a kind that no other dialect has, for a model to read."""
    words = text_of(block.get("content")) or text_of(block.get("output"))
    return {"type": "text", "text": words or encode(block).decode()}


def extend(dropped: set[str], name: str, fields: dict[str, Any], known: frozenset[str]) -> None:
    """Names `name` where `fields` has more than `known` that says something; cache_control by its own name."""
    if not fields.keys() <= known:
        more = {one for one in fields.keys() - known if fields[one]}
        dropped.update("cache_control" if one == "cache_control" else name for one in more)


def inline(url: str, path: str) -> tuple[str, str]:
    """Media type and base64 of a data: URL. Raises Refused."""
    head, _, data = url.partition(",")
    if not (head.startswith("data:") and head.endswith(";base64")):
        raise no_place("a file that is neither http(s) nor a data: URL with base64", path)
    return head[5:-7].partition(";")[0], data


def data_url(media_type: Any, data: Any) -> str:
    return f"data:{media_type};base64,{data}"


def arguments_of(text: str | None) -> dict[str, Any]:
    """A call's arguments; what the model did not write as an object is told as it was written."""
    try:
        found = decode(text or "{}")
        if isinstance(found, str):
            found = decode(found)  # an object within a string
    except (ValueError, RecursionError):
        found = text
    if isinstance(found, dict):
        return found
    return {} if found is None else {"arguments": text}


def tool_of(name: str, description: Any, parameters: Any, strict: Any = None) -> dict[str, Any]:
    """A function that a model may call."""
    function = present(name=name, description=description or None, parameters=parameters, strict=strict)
    return {"type": "function", "function": function}


def call_of(call_id: Any, name: str, arguments: str) -> dict[str, Any]:
    """A call of one."""
    return {"id": call_id or "", "type": "function", "function": {"name": name, "arguments": arguments}}


def check(fields: dict[str, Any], **types: type | tuple[type, ...]) -> None:
    """Raises Refused for the first field that has a value of another type."""
    for name, kind in types.items():
        if not isinstance(fields.get(name), (kind, NoneType) if isinstance(kind, type) else (*kind, NoneType)):
            raise misshapen(name)


NOTHING: tuple[Any, ...] = (None, False, 0, "", [], {})


def refuse(fields: dict[str, Any], unfit: dict[str, tuple[str, tuple[Any, ...]]]) -> None:
    """Raises Refused for the first field of `unfit`, what each is and which values do no harm, with another value."""
    for name, (what, harmless) in unfit.items():
        if fields.get(name) not in harmless:
            raise no_place(what, name)


# -- what a provider needs back: it travels through the client, sealed, and goes to its origin only

_SEAL = "~chomp1."  # with a sign that is seldom in words, so that a request without one is soon searched
_SEALS = (_SEAL, "chomp1.")  # and as it was before
_SIGNS_MOST = 64  # looked at one by one


def seal(origin: str, state: dict[str, Any]) -> str:
    """`state` as a string that a client carries and does not read; `origin` is the target it came from."""
    return _SEAL + base64.urlsafe_b64encode(encode({"origin": origin, **state})).decode()


def unseal(origin: str, sealed: Any) -> dict[str, Any] | None:
    """What `seal` was given; None when it came from elsewhere."""
    if not is_sealed(sealed):
        return None
    try:
        state = decode(base64.urlsafe_b64decode(sealed.partition(".")[2]))
    except ValueError:
        return None
    return state if isinstance(state, dict) and state.pop("origin", None) == origin else None


def may_be_sealed(body: bytes) -> bool:
    """Whether there may be something sealed in a request."""
    at = -1
    for _ in range(_SIGNS_MOST):
        at = body.find(b"~", at + 1)
        if at < 0 or body.startswith(b"~chomp1.", at):
            return at >= 0
    return body.find(b"~chomp1.", at) >= 0


def is_sealed(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(_SEALS)


# -- requests


_PACKED = "chomp_"  # how an id begins that holds another
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


def packed_id(call_id: str) -> str:
    """`call_id` of letters, digits, _ and - only; `fitted_id` gives it back."""
    if _PLAIN.fullmatch(call_id):
        return call_id
    return _PACKED + base64.urlsafe_b64encode(call_id.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def fitting_id(call_id: str, pattern: re.Pattern[str]) -> str:
    """`call_id` as an API takes it."""
    return call_id if pattern.fullmatch(call_id) else fitting(packed_id(call_id), pattern)


def fitted_id(call_id: str) -> str:
    """What an id was before it was made to fit: some targets read their own again."""
    if call_id.startswith(_PACKED):
        packed = call_id[len(_PACKED) :]
        with contextlib.suppress(ValueError):
            return base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode("utf-8", "surrogatepass")
    return call_id


def fitting(name: str, pattern: re.Pattern[str]) -> str:
    """`name` as an API takes it that allows letters, digits, _ and - only; another name, another one."""
    if pattern.fullmatch(name):
        return name
    clean = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:55]
    return f"{clean}_{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def fit(request: dict[str, Any], names: re.Pattern[str], ids: re.Pattern[str]) -> dict[str, str]:
    """Makes names of tools and ids of calls such as the target takes; the names it knows -> the client's.

    The same comes out in every turn. An id that was used before gets a number, and a result whose call is not there
    is told by the user: both are refused by many, and a client can only send its history again.
    """
    known: dict[str, str] = {}
    for tool in request.get("tools") or ():
        _rename(tool["function"], names, known)
    if isinstance(choice := request.get("tool_choice"), dict):
        _rename(choice["function"], names, known)
    messages: list[dict[str, Any]] = []
    used: set[str] = set()
    numbers = itertools.count(1)
    calls: dict[str, collections.deque[str]] = {}  # those of the last assistant without a result, by the client's ids
    order: collections.deque[str] = collections.deque()  # of those ids
    for message in request["messages"]:
        if message["role"] == "tool":
            while order and not calls[order[0]]:
                order.popleft()
            call_id = message.get("tool_call_id") or (order[0] if order else "")
            if waiting := calls.get(call_id):
                message = {**message, "tool_call_id": waiting.popleft()}
            else:
                message = {**message, "role": "user", "content": message["content"] or "(a result without words)"}
                message.pop("tool_call_id", None)
        elif message["role"] == "assistant":
            calls, renamed = {}, {}
            for call in message.get("tool_calls") or ():
                _rename(call["function"], names, known)
                before = call["id"] or f"call_{len(messages)}_{len(calls)}"  # its target gave none
                call["id"] = call_id = _unused(fitting_id(before, ids), used, numbers, ids)
                calls.setdefault(before, collections.deque()).append(call_id)
                if call_id != before:
                    renamed[before] = call_id
            order = collections.deque(calls)
            for part in message["content"] if renamed and isinstance(message["content"], list) else ():
                if extras := part.get("state", {}).get("calls"):
                    part["state"]["calls"] = {renamed.get(one, one): extra for one, extra in extras.items()}
        messages.append(message)
    request["messages"] = messages
    return {there: here for there, here in known.items() if there != here}


def _unused(call_id: str, used: set[str], numbers: Iterator[int], ids: re.Pattern[str]) -> str:
    """`call_id`, with the next of `numbers` where it stands already: each is tried once, whatever else is there."""
    found = call_id
    while found in used:
        found = fitting(f"{call_id[:48]}_{next(numbers)}", ids)
    used.add(found)
    return found


def _rename(function: dict[str, Any], names: re.Pattern[str], known: dict[str, str]) -> None:
    there = fitting(function["name"], names)
    known[there] = function["name"]
    function["name"] = there


# -- answers


_BRACES = re.compile(r'[{}"\\]')


class Part:
    """A piece of an answer: thinking, text, refusal or call; the words of a call are its arguments."""

    __slots__ = (
        "_depth", "_escaped", "_quoted", "_scanned", "frame", "id", "index", "is_news", "key", "kind", "name", "pieces",
        "state", "untold",
    )  # fmt: skip

    def __init__(self, kind: Kind, key: Any = None):
        self.kind, self.key = kind, key
        self.id = self.name = ""
        self.pieces: list[str] = []
        self.untold: list[str] = []  # those no encoder has taken
        self.is_news = False
        self.state: dict[str, Any] = {}  # what its provider needs back, beside the words
        self.index = -1  # in the client's form, once it is told there
        self.frame = b""  # with which the client's encoder begins a delta
        self._scanned = self._depth = 0  # pieces looked at for braces, and how many of those are open
        self._quoted = self._escaped = False

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def is_whole(self) -> bool:
        """Whether it cannot grow any more once another has begun: but for a call, of whose arguments there must be all.

        Each piece is looked at once.
        """
        if self.kind != "call":
            return True
        for piece in self.pieces[self._scanned :]:
            at, self._escaped = int(self._escaped), False
            for found in _BRACES.finditer(piece):
                if (here := found.start()) < at:
                    continue  # escaped
                match found[0]:
                    case "\\" if self._quoted:
                        at = here + 2
                    case '"':
                        self._quoted = not self._quoted
                    case ("{" | "}") as brace if not self._quoted:
                        self._depth += 1 if brace == "{" else -1
            self._escaped = at > len(piece)
        self._scanned = len(self.pieces)
        return bool(self.pieces) and not self._depth and not self._quoted

    def take(self) -> str:
        """The words since the last time."""
        words = self.untold[0] if len(self.untold) == 1 else "".join(self.untold)
        self.untold.clear()
        return words


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one answer, as the upstream counted them."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0  # part of `prompt`, billed lower
    reasoning: int = 0  # part of `completion`
    cache_write: int = 0  # part of `prompt`
    cost_usd: float | None = None  # when the router reports it


class Answer:
    """An answer as it comes: its parts in order, and which of them grew since somebody looked."""

    def __init__(self, created: int = 0, origin: str = "", names: dict[str, str] | None = None) -> None:
        self.id = self.model = self.stop = ""
        self.created = created
        self.origin = origin  # the target that gives it; "" = one of the client's own dialect
        self.parts: list[Part] = []
        self.usage = Usage()  # an estimate first, for a client that must be told a count before there is one
        self.cost: Any = None  # as the router tells it
        self.size = 0  # of what is kept, roughly
        self.said = 0  # characters
        self._news: list[Part] = []
        self._names = names or {}
        self._calls: dict[Any, Part] = {}  # by key; None: the last
        self._by_id: dict[str, Part] = {}

    @property
    def own_id(self) -> str:
        """Its id, where that is one of the client's dialect."""
        return "" if self.origin else self.id

    def say(self, kind: Kind, words: str | None) -> None:
        if words:
            part = self.parts[-1] if self.parts else None
            if part is None or part.kind != kind:
                part = self._begin(Part(kind))
            self._grow(part, words)

    def think(self, key: Any, words: str | None, /, **state: Any) -> None:
        """Thinking, and what its provider needs back with it; another `key` is another part."""
        if not (words or state):
            return
        part = self.parts[-1] if self.parts else None
        if part is None or part.kind != "thinking" or part.key != key:
            part = self._begin(Part("thinking", key))
        for name, value in state.items():
            if part.state.get(name) != value:
                part.state[name] = value
                self.size += len(encode(value))
        if words:
            self._grow(part, words)

    def call(self, key: Any, call_id: str = "", name: str = "", words: str = "", extra: Any = None) -> None:
        """A call, or more of one. `key` tells calls apart where it can; so do ids, and names when a call is whole.

        `extra` is what its provider needs back beside it.
        """
        part = self._calls.get(key)
        if part is None:
            part = self._by_id.get(call_id) if call_id or name else self._calls.get(None)
            if part is not None and name and part.is_whole():  # another, to which the provider gave the same id
                part, call_id = None, f"{call_id}_{len(self._by_id) + 1}"
        elif self._is_other(part, call_id, name):
            part = self._by_id.get(call_id)
        if part is None:
            part = Part("call")
        self._calls[key] = self._calls[None] = part
        if call_id and not part.id:
            part.id = call_id
            self._by_id[call_id] = part
        if words:
            self._grow(part, words)
        if name and not part.name:  # a client is told of it now
            part.id = part.id or f"call_{secrets.token_hex(12)}"
            part.name = self._names.get(name, name)
            self._beside(part, extra)
            self._begin(part)
        else:
            self._beside(part, extra)

    def _beside(self, part: Part, extra: Any) -> None:
        """What is needed back beside a call goes with the thinking before it, since all clients have a place there."""
        if extra:
            last = self.parts[-1] if self.parts and self.parts[-1].kind == "thinking" else Part("thinking", "calls")
            self.think(last.key, None, calls={**last.state.get("calls", {}), part.id: extra})

    def _is_other(self, part: Part, call_id: str, name: str) -> bool:
        """Whether a piece that has the key of `part` begins another call all the same."""
        if call_id and part.id and call_id != part.id:
            return bool(name) or call_id in self._by_id
        if not name or not part.name or call_id:
            return False
        return self._names.get(name, name) != part.name or part.is_whole()

    def _begin(self, part: Part) -> Part:
        self.parts.append(part)
        self.size += 200
        part.is_news = True
        self._news.append(part)
        return part

    def _grow(self, part: Part, words: str) -> None:
        part.pieces.append(words)
        part.untold.append(words)
        self.size += len(words)
        self.said += len(words)
        if not part.is_news and (part.name or part.kind != "call"):
            part.is_news = True
            self._news.append(part)

    def news(self) -> list[Part]:
        """The parts that began or grew since the last time."""
        parts, self._news = self._news, []
        for part in parts:
            part.is_news = False
        return parts

    def forget(self, part: Part, words: str) -> None:
        """`words` were told, and nobody needs them again."""
        part.pieces.clear()
        self.size -= len(words)

    def text(self, kind: Kind) -> str:
        return "".join(part.text for part in self.parts if part.kind == kind)

    @property
    def calls(self) -> list[Part]:
        return [part for part in self.parts if part.kind == "call"]

    def finish_reason(self) -> str:
        """Chat's, in agreement with the content."""
        if self.stop in ("length", "content_filter"):
            return self.stop
        return "tool_calls" if any(part.kind == "call" for part in self.parts) else "stop"


def thoughts_of(answer: Answer) -> list[dict[str, Any]]:
    """The thinking of an answer as parts of a request that sends it back, where the provider needs any of it."""
    thoughts = [part for part in answer.parts if part.kind == "thinking"]
    found = [{"type": "thinking", "text": part.text, "state": part.state} for part in thoughts]
    return found if any(part.state for part in thoughts) else []
