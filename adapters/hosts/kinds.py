"""The software of hosts, how one finds out which it is, and which dialects it speaks."""

from __future__ import annotations

from typing import Any, Protocol

from adapters.hosts import llamacpp, lmstudio, ollama, openai, seen, vllm
from adapters.hosts.seen import Ask, Down, Reply, Seen


class Backend(Protocol):
    """A module beside this one: see `seen`."""

    NAME: str

    async def recognise(self, ask: Ask) -> bool: ...
    async def look(self, ask: Ask, before: Seen | None) -> Seen: ...
    async def glance(self, ask: Ask, before: Seen) -> Seen: ...
    async def load(self, ask: Ask, model: str) -> None: ...
    async def unload(self, ask: Ask, model: str) -> None: ...
    async def keep(self, ask: Ask, model: str, seconds: float) -> None: ...


# The first two are known by the list of models that all of them have; the last is whatever has one.
BACKENDS: dict[str, Backend] = {
    "llamacpp": llamacpp,
    "vllm": vllm,
    "ollama": ollama,
    "lmstudio": lmstudio,
    "openai": openai,
}

DIALECTS = {
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "count_tokens": "/v1/messages/count_tokens",
}


async def identify(ask: Ask) -> Backend | None:
    """The software that answers; None when it is no model server. Raises Down, where it wants a key, and OSError."""
    replies: dict[str, Reply] = {}

    async def once(method: str, path: str, payload: Any = None) -> Reply:
        if path not in replies:
            replies[path] = await ask(method, path, payload)
        return replies[path]

    for backend in BACKENDS.values():
        if await backend.recognise(once):
            return backend
    return None


async def speaks(ask: Ask) -> tuple[str, ...]:
    """Which of DIALECTS it has beside chat completions. Raises Down where that cannot be told now, and OSError.

    It asks with an empty request, which each refuses in its own way. A llama.cpp that sleeps is woken by that.
    """
    found = []
    for name, path in DIALECTS.items():
        reply = await ask("POST", path, {})
        # llama.cpp says 500 of a request without messages, and says it in JSON; a proxy before it does not
        is_up = reply.status < 500 or (reply.status == 500 and seen.member(reply.fields, "error"))
        if seen.is_absent(reply):
            continue
        if not is_up or reply.status in (*seen.REFUSED, *seen.BUSY):
            raise Down(seen.words(reply))
        found.append(name)
    return tuple(found)
