"""Any server that has OpenAI's list of models: what the lists of several softwares say more than that is read."""

from __future__ import annotations

from adapters.hosts import seen
from adapters.hosts.seen import Ask, HostModel, NotThis, Seen

NAME = "OpenAI-compatible"


async def recognise(ask: Ask) -> bool:
    """Raises Down where it wants a key: it cannot be told what is behind."""
    try:
        seen.listing(await ask("GET", "/v1/models"))
    except NotThis:
        return False
    return True


async def look(ask: Ask, before: Seen | None) -> Seen:
    models = seen.listed(
        HostModel(
            id=seen.model_id(row, "id"),
            name=seen.text(row, "name") or seen.text(row, "display_name"),
            # as SGLang says it, and the offspring of llama.cpp
            context=seen.whole(row, "max_model_len") or seen.whole(row, "meta", "n_ctx"),
            context_most=seen.whole(row, "context_length") or seen.whole(row, "max_context_length"),
        )
        for row in seen.listing(await ask("GET", "/v1/models"))
    )
    return Seen("up", models, tells=False)


glance = look


load = unload = keep = seen.cannot("its API has no way to load, unload or keep a model")
