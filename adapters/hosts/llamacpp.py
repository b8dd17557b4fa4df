"""llama.cpp's server: one model, or a router before many, each with a server of its own.

Whatever names a model to a router loads it, so nothing here does but `load` and `unload`.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import msgspec

from adapters.hosts import seen
from adapters.hosts.seen import Ask, CannotDo, HostModel, NotThis, Seen

NAME = "llama.cpp"

_NO_ROUTER = "this llama.cpp serves the one model it was started with: its router, without -m, loads and unloads"


async def recognise(ask: Ask) -> bool:
    reply = await ask("GET", "/v1/models")
    return (
        reply.server.startswith("llama.cpp")  # also while it loads, and where it wants a key
        or seen.text(reply.fields, "error", "type") == "unavailable_error"
        or any(seen.text(row, "owned_by") == "llamacpp" for row in seen.rows(reply.fields, "data"))
    )


async def look(ask: Ask, before: Seen | None) -> Seen:
    return await _see(ask, before, ())


async def glance(ask: Ask, before: Seen) -> Seen:
    return await _see(ask, before, before.models if before.state != "warming" else ())


async def _see(ask: Ask, before: Seen | None, models: tuple[HostModel, ...]) -> Seen:
    """What it is at; the list is read where a router may have changed it, or where no `models` are known."""
    props = await _props(ask)
    if props is None:
        return seen.warming(before)
    if models and not _is_router(props):
        return await _work(ask, props, models)
    listing = seen.listing(await ask("GET", "/v1/models"))
    if not _is_router(props):
        return await _work(ask, props, seen.listed(_alone(row, props) for row in listing))
    models = seen.listed(_routed(row) for row in listing if seen.text(row, "status", "value") != "downloading")
    return Seen("up", models, version=seen.text(props, "build_info"), single=seen.member(props, "max_instances") == 1)


async def _props(ask: Ask) -> dict[str, Any] | None:
    """What it was started with; None while it loads."""
    reply = await ask("GET", "/props")
    if reply.status == 503 and seen.text(reply.fields, "error", "type") == "unavailable_error":
        return None
    fields = seen.fields_of(reply)
    if not isinstance(fields, dict) or "default_generation_settings" not in fields:
        raise NotThis("no properties of llama.cpp at /props")
    return fields


def _is_router(props: dict[str, Any]) -> bool:
    return seen.text(props, "role") == "router"


def _alone(row: dict[str, Any], props: dict[str, Any]) -> HostModel:
    return HostModel(
        id=seen.model_id(row, "id"),
        context=seen.whole(props, "default_generation_settings", "n_ctx"),  # of one slot
        context_most=seen.whole(row, "meta", "n_ctx_train"),
        size_bytes=seen.whole(row, "meta", "size"),
        quantization=seen.text(row, "meta", "ftype") or seen.text(props, "model_ftype"),
    )


def _routed(row: dict[str, Any]) -> HostModel:
    """A model of a router, which adds what the server of a loaded one says; of others it has the arguments."""
    status = seen.text(row, "status", "value")
    arguments = seen.member(row, "status", "args")
    options = [one for one in arguments if isinstance(one, str)] if isinstance(arguments, list) else []
    context = _number(options, "--ctx-size", "-c")
    if not {"--kv-unified", "-kvu"} & set(options):  # else each slot may take all of it, as when none says how many
        context //= max(1, _number(options, "--parallel", "-np"))
    return HostModel(
        id=seen.model_id(row, "id"),
        resident=status == "loaded",
        loading=status == "loading",
        context=seen.whole(row, "meta", "n_ctx") or context,
        context_set=context,
        context_most=seen.whole(row, "meta", "n_ctx_train"),
        size_bytes=seen.whole(row, "meta", "size"),
        quantization=seen.text(row, "meta", "ftype"),
        embeds=bool({"--embeddings", "--embedding"} & set(options)),
    )


def _number(options: list[str], *names: str) -> int:
    for name, value in itertools.pairwise(options):
        if name in names and value.isascii() and value.isdecimal() and len(value) < 10:
            return int(value)
    return 0


async def _work(ask: Ask, props: dict[str, Any], models: tuple[HostModel, ...]) -> Seen:
    """A server with one model, and what it is at. One that sleeps is asked no more: that wakes older ones."""
    asleep = seen.member(props, "is_sleeping") is True
    busy, waiting = (None, None) if asleep else await _activity(ask, props)
    return Seen(
        "asleep" if asleep else "up",
        tuple(msgspec.structs.replace(model, resident=not asleep, loading=False) for model in models),
        slots=seen.whole(props, "total_slots"),
        busy=busy,
        waiting=waiting,
        version=seen.text(props, "build_info"),
        single=True,
    )


async def _activity(ask: Ask, props: dict[str, Any]) -> tuple[int | None, int | None]:
    """Requests it works on, and requests that wait; None where it does not say.

    It answers between two batches: who waits too long for that knows no less than that it is up.
    """
    with contextlib.suppress(OSError):
        if seen.member(props, "endpoint_metrics") is True:
            metrics = (await ask("GET", "/metrics")).text
            names = ("llamacpp:requests_processing", "llamacpp:requests_deferred")
            return seen.gauge(metrics, names[0]), seen.gauge(metrics, names[1])
        if seen.member(props, "endpoint_slots") is not False:
            slots = (await ask("GET", "/slots")).fields  # 501 where it is switched off
            if isinstance(slots, list):
                return sum(seen.member(slot, "is_processing") is True for slot in slots), None
    return None, None


async def load(ask: Ask, model: str) -> None:
    """Returns when it has begun."""
    await _tell(ask, "/models/load", model, "already running")


async def unload(ask: Ask, model: str) -> None:
    await _tell(ask, "/models/unload", model, "not running")


async def _tell(ask: Ask, path: str, model: str, done: str) -> None:
    if not _is_router(await _props(ask) or {}):
        raise CannotDo(_NO_ROUTER)
    try:
        seen.outcome(await ask("POST", path, {"model": model}))
    except CannotDo as refused:
        if done not in str(refused):
            raise


keep = seen.cannot("llama.cpp is told with --sleep-idle-seconds, when it starts, how long a model stays")
