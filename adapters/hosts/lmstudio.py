"""LM Studio: many models, loaded when they are asked for. It has two lists: /api/v1 since 0.4, /api/v0 since 0.3.6.

To a path that it does not have it answers 200, with an error.
"""

from __future__ import annotations

from typing import Any

from adapters.hosts import seen
from adapters.hosts.seen import Ask, CannotDo, HostModel, NotThis, Seen

NAME = "LM Studio"

_TOO_OLD = "LM Studio loads and unloads through its API since 0.4"


async def recognise(ask: Ask) -> bool:
    for path, name, sign in ("/api/v1/models", "models", "key"), ("/api/v0/models", "data", "state"):
        listing = seen.member((await ask("GET", path)).fields, name)
        if isinstance(listing, list) and all(isinstance(seen.member(row, sign), str) for row in listing):
            return True
    return False


async def look(ask: Ask, before: Seen | None) -> Seen:
    try:
        listing = seen.listing(await ask("GET", "/api/v1/models"), "models")
    except NotThis:
        return Seen("up", seen.listed(map(_older, seen.listing(await ask("GET", "/api/v0/models")))))
    slots = sum(seen.whole(one, "config", "parallel") for row in listing for one in _instances(row))
    return Seen("up", seen.listed(model for row in listing for model in _models(row)), slots=slots)


glance = look


def _instances(row: dict[str, Any]) -> list[dict[str, Any]]:
    return list(seen.rows(row, "loaded_instances"))


def _models(row: dict[str, Any]) -> list[HostModel]:
    """A model, and each loaded instance of it that is asked for by a name of its own."""
    contexts = {seen.model_id(one, "id"): seen.whole(one, "config", "context_length") for one in _instances(row)}
    return [
        HostModel(
            id=one,
            name=seen.text(row, "display_name"),
            resident=bool(contexts),
            # whoever names the model may get any of its instances
            context=contexts[one] if one in contexts else min(contexts.values(), default=0),
            context_most=seen.whole(row, "max_context_length"),
            size_bytes=seen.whole(row, "size_bytes"),
            family=seen.text(row, "architecture"),
            parameters=seen.text(row, "params_string"),
            quantization=seen.text(row, "quantization", "name"),
            embeds=seen.text(row, "type") == "embedding",
        )
        for one in dict.fromkeys((seen.model_id(row, "key"), *contexts))
    ]


def _older(row: dict[str, Any]) -> HostModel:
    return HostModel(
        id=seen.model_id(row, "id"),
        resident=seen.text(row, "state") == "loaded",
        loading=seen.text(row, "state") == "loading",
        context=seen.whole(row, "loaded_context_length"),
        context_most=seen.whole(row, "max_context_length"),
        family=seen.text(row, "arch"),
        quantization=seen.text(row, "quantization"),
        embeds=seen.text(row, "type") == "embeddings",
    )


async def _loaded(ask: Ask, model: str) -> list[str]:
    """The ids of the instances that `model` is, or of which it is one."""
    try:
        listing = seen.listing(await ask("GET", "/api/v1/models"), "models")
    except NotThis:
        raise CannotDo(_TOO_OLD) from None
    ids = {seen.model_id(row, "key"): [seen.model_id(one, "id") for one in _instances(row)] for row in listing}
    return ids.get(model) or [model for own in ids.values() if model in own]


async def load(ask: Ask, model: str) -> None:
    """Returns when it is loaded. One that is loaded is left alone: it would be loaded a second time."""
    if not await _loaded(ask, model):
        seen.outcome(await ask("POST", "/api/v1/models/load", {"model": model}), _TOO_OLD)


async def unload(ask: Ask, model: str) -> None:
    for one in await _loaded(ask, model):
        seen.outcome(await ask("POST", "/api/v1/models/unload", {"instance_id": one}), _TOO_OLD)


keep = seen.cannot("LM Studio has a model stay as long as the request that loads it says with `ttl`")
