"""vLLM: one model, loaded before it listens, and adapters of it; it sleeps only in its developers' mode."""

from __future__ import annotations

from typing import Literal

import msgspec

from adapters.hosts import seen
from adapters.hosts.seen import Ask, HostModel, NotThis, Reply, Seen

NAME = "vLLM"

_NO_SLEEP = "vLLM lets a model sleep only with --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1"


async def recognise(ask: Ask) -> bool:
    reply = await ask("GET", "/v1/models")
    return any(seen.text(row, "owned_by") == "vllm" for row in seen.rows(reply.fields, "data"))


async def look(ask: Ask, before: Seen | None) -> Seen:
    listing = seen.listing(await ask("GET", "/v1/models"))
    context = max((seen.whole(row, "max_model_len") for row in listing), default=0)  # adapters have the model's own
    models = seen.listed(HostModel(seen.model_id(row, "id"), context=context) for row in listing)
    version = seen.text((await ask("GET", "/version")).fields, "version")
    sleep = seen.member((await ask("GET", "/is_sleeping")).fields, "is_sleeping") is True
    return await glance(ask, Seen("asleep" if sleep else "up", models, version=version))


async def glance(ask: Ask, before: Seen) -> Seen:
    if (reply := await ask("GET", "/metrics")).status != 200:  # they can be switched off
        reply = await ask("GET", "/health")
    if reply.status != 200 or reply.fields is not None:
        seen.fields_of(reply)  # raises, in words, unless it is another's 200
        raise NotThis("no metrics of vLLM")
    state = _state(reply) or before.state
    return msgspec.structs.replace(
        before,
        state=state,
        models=tuple(msgspec.structs.replace(model, resident=state == "up") for model in before.models),
        busy=seen.gauge(reply.text, "vllm:num_requests_running"),
        waiting=seen.gauge(reply.text, "vllm:num_requests_waiting"),
    )


def _state(reply: Reply) -> Literal["up", "asleep"] | None:
    """None where the metrics do not say; all values are 0 until it has slept once."""
    sleeps = ("weights_offloaded", "discard_all")
    values = [seen.gauge(reply.text, "vllm:engine_sleep_state", one) for one in sleeps]
    if None in values:
        return None
    return "asleep" if any(values) else "up"


async def load(ask: Ask, model: str) -> None:
    seen.outcome(await ask("POST", "/wake_up"), _NO_SLEEP)


async def unload(ask: Ask, model: str) -> None:
    """All of it sleeps, with its weights in memory; what it works on is cut off."""
    seen.outcome(await ask("POST", "/sleep?level=1"), _NO_SLEEP)


keep = seen.cannot("vLLM keeps its model as long as it runs")
