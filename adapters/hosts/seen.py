"""What a host says about itself, and how it is read.

A host is a model server that somebody runs: its software is a module beside this one with the same names.

    NAME                        as it is shown
    recognise(ask)              whether it is this software; never a generation, never the name of a model
    look(ask, before)           all of it -> Seen; `before` is what was seen the last time, or None
    glance(ask, before)         with the fewest requests: its state, what is resident, who is busy -> Seen
    load(ask, model)            returns when it has begun or is done, as the software does
    unload(ask, model)
    keep(ask, model, seconds)   how long it stays when nobody asks for it

`ask(method, path, payload=None)` is all they have of the world: it gives a Reply, and raises OSError when nobody
answers. What comes is a stranger's: it is read by the functions below, which take any JSON and are never surprised.
Looking raises NotThis, Down and OSError alone; the last three raise CannotDo too.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from types import NoneType
from typing import Any, Literal

import msgspec

MODELS_MOST = 2_000
TEXT_MOST = 300  # characters of an id, a name, a word of the server
ABSENT = (404, 405, 501)  # no such path, no such method, switched off
REFUSED = (401, 403)
BUSY = (408, 429)


class Reply(msgspec.Struct, frozen=True):
    """What `ask` returns."""

    status: int
    fields: Any  # decoded JSON; None when the body was none
    text: str = ""  # the beginning of a body that is no JSON: the gauges of /metrics stand within its first 16 KiB
    server: str = ""  # the Server header


Ask = Callable[..., Awaitable[Reply]]


class HostModel(msgspec.Struct, frozen=True):
    """A model of a host."""

    id: str
    name: str = ""
    resident: bool = False
    loading: bool = False
    context: int = 0  # tokens it takes as it is loaded, or would be; 0 = not known, and never what it was trained for
    context_set: int = 0  # of these, what its own settings say, for when it is loaded anew; 0 = nothing
    context_most: int = 0  # tokens it was trained for; 0 = not said
    size_bytes: int = 0  # on disk
    memory_bytes: int = 0  # while resident
    until: str = ""  # RFC 3339: when it will be unloaded
    family: str = ""
    parameters: str = ""  # how many, as it is said: "8.0B"
    quantization: str = ""
    digest: str = ""  # of the weights and settings whose details were read
    embeds: bool = False
    remote: bool = False  # it runs elsewhere, this host only passes it on


class Seen(msgspec.Struct, frozen=True):
    """A host as it was seen."""

    state: Literal["up", "warming", "asleep"]
    models: tuple[HostModel, ...] = ()
    slots: int = 0  # requests it works on at once; 0 = not known
    busy: int | None = None  # of these; None = it does not say
    waiting: int | None = None
    version: str = ""
    single: bool = False  # one model is resident at a time
    tells: bool = True  # what is resident
    cuts: bool = False  # a prompt above its context is cut silently instead of refused
    note: str = ""


class NotThis(Exception):
    """It answers, but not as this software."""


class Down(Exception):
    """It answers that it cannot, or not to us; in words for people."""


class CannotDo(Exception):
    """There is no such thing in this software, or it refused; in words for people."""


# -- reading what a stranger says


def member(fields: Any, *path: str) -> Any:
    """The value at `path` through objects; None where there is none."""
    for name in path:
        fields = fields.get(name) if isinstance(fields, dict) else None
    return fields


def text(fields: Any, *path: str) -> str:
    """The line of text at `path`, of TEXT_MOST characters; "" where there is none."""
    value = member(fields, *path)
    if not isinstance(value, str):
        return ""
    value = value[:TEXT_MOST]
    return (value if value.isprintable() else "".join(sign if sign.isprintable() else " " for sign in value)).strip()


def whole(fields: Any, *path: str) -> int:
    """The number at `path` without its fraction; 0 where there is none, or none that counts something."""
    value = member(fields, *path)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return int(value) if is_number and 0 < value < 2**53 else 0


def rows(fields: Any, *path: str) -> Iterator[dict[str, Any]]:
    """The objects of the list at `path`, of which there may be MODELS_MOST."""
    value = member(fields, *path)
    return (row for row in (value if isinstance(value, list) else [])[:MODELS_MOST] if isinstance(row, dict))


def listed(models: Iterable[HostModel]) -> tuple[HostModel, ...]:
    """Those with an id that can be asked for, each once."""
    found: dict[str, HostModel] = {}
    for model in models:
        if model.id and len(found) < MODELS_MOST:
            found.setdefault(model.id, model)
    return tuple(found.values())


def model_id(fields: Any, *path: str) -> str:
    """The id at `path`; "" where there is none: a long one cut would be another's."""
    value = member(fields, *path)
    return value if isinstance(value, str) and len(value) <= TEXT_MOST and value.isprintable() else ""


def gauge(metrics: str, name: str, label: str = "") -> int | None:
    """The sum of a gauge in Prometheus' text format over its lines that have `label`; None where there are none."""
    found = re.findall(rf"^{re.escape(name)}(?:\{{([^\n]*)\}})? +(\d{{1,9}})(?:\.\d+)?(?= |$)", metrics, re.MULTILINE)
    values = [int(value) for labels, value in found if label in labels]
    return sum(values) if values else None


def words(reply: Reply) -> str:
    """What the server said of a request that it refused."""
    for path in ("error", "message"), ("error",), ("message",), ("detail",):
        if found := text(reply.fields, *path):
            return found
    return text({"text": reply.text}, "text") or f"status {reply.status}"


def is_absent(reply: Reply) -> bool:
    """Whether there is nothing at a path; LM Studio answers 200 there."""
    return reply.status in ABSENT or reply.status // 100 == 3 or words(reply).startswith("Unexpected endpoint")


def fields_of(reply: Reply) -> Any:
    """The JSON of a success. Raises Down where the server cannot, or wants a key; NotThis where nothing is there."""
    if reply.status in REFUSED:
        raise Down(f"it wants a key, or another one: {words(reply)}")
    if (reply.status >= 500 and reply.status not in ABSENT) or reply.status in BUSY:
        raise Down(words(reply))
    if reply.status != 200 or reply.fields is None or is_absent(reply):
        raise NotThis(words(reply))
    return reply.fields


def listing(reply: Reply, name: str = "data") -> list[dict[str, Any]]:
    """The objects of the list `name` of a success, which is null at some that have none. Raises as `fields_of`."""
    fields = fields_of(reply)
    if not isinstance(fields, dict) or not isinstance(fields.get(name, ""), (list, NoneType)):
        raise NotThis("no list of models where this software has one")
    return list(rows(fields, name))


def outcome(reply: Reply, absent: str = "") -> Any:
    """What came back of an order. Raises CannotDo, with `absent` where there is no such path; Down: it wants a key."""
    if reply.status in REFUSED:
        raise Down(f"it wants a key, or another one: {words(reply)}")
    if is_absent(reply) or reply.status >= 400:  # memory that does not suffice is a 500 at most
        raise CannotDo((is_absent(reply) and absent) or words(reply))
    return reply.fields


def cannot(why: str) -> Callable[..., Coroutine[Any, Any, None]]:
    """What a software has in place of an order that it does not take."""

    async def order(ask: Ask, model: str, seconds: float = 0) -> None:
        raise CannotDo(why)

    return order


def warming(before: Seen | None) -> Seen:
    """A host that loads what it will serve."""
    models = before.models if before else ()
    waiting = tuple(msgspec.structs.replace(model, resident=False, loading=True) for model in models)
    return msgspec.structs.replace(before or Seen("warming"), state="warming", models=waiting, busy=None, waiting=None)
