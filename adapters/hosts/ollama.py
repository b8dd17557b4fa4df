"""Ollama: many models, loaded when they are asked for; it says what is resident and not who is busy.

It cuts a prompt above the context it has loaded a model with, the beginning first, and says nothing of it.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from adapters.hosts import seen
from adapters.hosts.seen import Ask, CannotDo, HostModel, Seen

NAME = "Ollama"
DETAILS_MOST = 20  # models whose details are read in one look

_NUM_CTX = re.compile(r"^num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)


async def recognise(ask: Ask) -> bool:
    return (await ask("GET", "/")).text.startswith("Ollama is running")


async def look(ask: Ask, before: Seen | None) -> Seen:
    details = {model.digest: _fields(model) for model in before.models if model.digest} if before else {}
    unread, models = DETAILS_MOST, []
    for row in seen.listing(await ask("GET", "/api/tags"), "models"):
        model, digest = _model(row), seen.model_id(row, "digest")
        if digest and digest not in details and model.id and not model.remote and unread:
            unread -= 1
            details[digest] = {"digest": digest, **await _details(ask, model)}
        models.append(msgspec.structs.replace(model, **details.get(digest, {})))
    version = seen.text((await ask("GET", "/api/version")).fields, "version")
    return await glance(ask, Seen("up", seen.listed(models), version=version, cuts=True))


async def glance(ask: Ask, before: Seen) -> Seen:
    """/api/ps is missing before 0.1.33: then nothing is known to be resident."""
    reply = await ask("GET", "/api/ps")
    running = {} if reply.status == 404 else {_id(row): row for row in seen.listing(reply, "models")}
    known = {model.id for model in before.models}
    new = [HostModel(id=one) for one in running if one not in known]  # pulled since the last look
    models = seen.listed(_as_loaded(model, running.get(model.id)) for model in (*before.models, *new))
    return msgspec.structs.replace(before, state="up", models=models)


def _id(row: dict[str, Any]) -> str:
    return seen.model_id(row, "model") or seen.model_id(row, "name")


def _model(row: dict[str, Any]) -> HostModel:
    family = seen.text(row, "details", "family")
    return HostModel(
        id=_id(row),
        context_most=seen.whole(row, "details", "context_length"),
        size_bytes=seen.whole(row, "size"),
        family=family,
        parameters=seen.text(row, "details", "parameter_size"),
        quantization=seen.text(row, "details", "quantization_level"),
        embeds=_embeds(row, "bert" in family),
        remote=bool(seen.text(row, "remote_host")),
    )


def _embeds(fields: Any, likely: bool) -> bool:
    """Whether it does, as its capabilities have it; `likely` where an older one does not list them."""
    capabilities = seen.member(fields, "capabilities")
    return "embedding" in capabilities if isinstance(capabilities, list) else likely


def _as_loaded(model: HostModel, row: dict[str, Any] | None) -> HostModel:
    """`model` as a row of /api/ps has it; None: it is not loaded."""
    return msgspec.structs.replace(
        model,
        resident=row is not None,
        context=seen.whole(row, "context_length") or model.context_set,
        memory_bytes=seen.whole(row, "size"),
        until=seen.text(row, "expires_at"),
    )


def _fields(model: HostModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in ("digest", "context_set", "context_most", "embeds")}


async def _details(ask: Ask, model: HostModel) -> dict[str, Any]:
    """What /api/show says more than the list; one that is broken says nothing, and is not asked again."""
    fields = (await ask("POST", "/api/show", {"model": model.id})).fields
    architecture = seen.text(fields, "model_info", "general.architecture")
    most = seen.whole(fields, "model_info", f"{architecture}.context_length") or model.context_most
    lines = seen.member(fields, "parameters")
    num_ctx = _NUM_CTX.findall(lines) if isinstance(lines, str) else ()
    wanted = int(num_ctx[-1]) if num_ctx else 0
    return {
        "context_set": min(wanted, most or wanted),  # it loads none with more than it was trained for
        "context_most": most,
        "embeds": _embeds(fields, model.embeds),
    }


async def load(ask: Ask, model: str) -> None:
    """Returns when it is loaded: a request without a prompt generates nothing."""
    await _touch(ask, model)


async def unload(ask: Ask, model: str) -> None:
    await _touch(ask, model, keep_alive=0)


async def keep(ask: Ask, model: str, seconds: float) -> None:
    """Loads it where it is not; infinity is for good."""
    await _touch(ask, model, keep_alive=max(1, int(seconds)) if seconds < 10**9 else -1)


async def _touch(ask: Ask, model: str, **fields: Any) -> None:
    details = (await ask("POST", "/api/show", {"model": model})).fields
    if seen.text(details, "remote_host"):  # it would be asked with an empty prompt there
        raise CannotDo(f"{model} runs elsewhere: this host only passes it on")
    reply = await ask("POST", "/api/generate", {"model": model, "stream": False, **fields})
    if reply.status == 400 and "does not support generate" in seen.words(reply):  # it embeds
        reply = await ask("POST", "/api/embed", {"model": model, "input": [], **fields})
    seen.outcome(reply)
