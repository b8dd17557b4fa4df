"""What every kind of place says: how a request to it went, and what it may be asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol, TypeVar

import aiohttp
import msgspec

T = TypeVar("T")
ANSWER_BYTES = 16 << 20  # of one request
PIECE_BYTES = 4 << 20  # of a file, sent or read at once
WORDS_CHARS = 500  # of what an error says

# method, address, and aiohttp's further words; proxies are the caller's
Ask = Callable[..., AbstractAsyncContextManager[aiohttp.ClientResponse]]
Fault = Literal[
    "gone",  # there is no such sandbox
    "busy",  # no room just now
    "away",  # it cannot be reached, or does not answer: it may, the next time
    "refused",  # it will not, however often it is asked
]


class Trouble(Exception):
    """In words. `after_s`: when it is worth asking again, where somebody has said."""

    def __init__(self, fault: Fault, words: str, after_s: float | None = None):
        super().__init__(words)
        self.fault = fault
        self.after_s = after_s


class Done(msgspec.Struct, frozen=True):
    """A command that has ended in a sandbox."""

    exit_code: int
    stdout: str
    stderr: str


class Sandboxes(Protocol):
    """A service that has sandboxes. Everything raises Trouble."""

    owner: str  # whose sandboxes these are
    relays: bool  # whether what is inside reaches chomp through it

    async def open(self, sandbox: str, lease_s: float) -> None:
        """A sandbox of that name; it ends by itself when nothing is asked of it for so long."""

    async def execute(self, sandbox: str, argv: Sequence[str], env: Mapping[str, str], limit_s: float) -> Done:
        """Runs a command in it, as root."""

    async def write(self, sandbox: str, path: str, data: bytes, offset: int) -> None:
        """Writes a piece of a file; at 0 it is made, with its folders. The same twice is the same."""

    async def read(self, sandbox: str, path: str, offset: int) -> tuple[bytes, int]:
        """A piece of a file, and the size of all of it."""

    async def end(self, sandbox: str) -> None:
        """Nothing of it is left; the same when there was none."""

    async def all(self) -> list[str]:
        """Those of this owner that have not ended."""

    def address(self, sandbox: str) -> str:
        """Where chomp is reached from inside; "" when not through this."""


async def asked(
    ask: Ask, method: str, address: str, *, limit_s: float, key: str, fields: Any = None, data: bytes | None = None
) -> tuple[Mapping[str, str], bytes]:
    """Headers and body of an answer that is a success. Raises Trouble."""
    headers = {"authorization": f"Bearer {key}", "accept": "application/json"}
    if fields is not None:
        headers["content-type"], data = "application/json", msgspec.json.encode(fields)
    elif data is not None:
        headers["content-type"] = "application/octet-stream"
    try:
        async with asyncio.timeout(limit_s), ask(method, address, headers=headers, data=data) as answer:
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > ANSWER_BYTES:
                    raise Trouble("refused", f"it answered with more than {ANSWER_BYTES >> 20} MiB")
            if answer.status < 300:
                return answer.headers, bytes(body)
            raise trouble(answer.status, answer.headers, bytes(body))
    except TimeoutError:
        raise Trouble("away", f"it did not answer within {limit_s:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise Trouble("away", f"it cannot be reached: {type(error).__name__}") from None


def trouble(status: int, headers: Mapping[str, str], body: bytes) -> Trouble:
    """What an answer that is no success means."""
    words, code = said(body)
    words = f"it answered {status}" + (f": {words}" if words else "")
    after = headers.get("retry-after", "")
    after_s = float(after) if after.isdecimal() else None
    if status in (401, 403):
        words += "; its password is what [sandbox] token or SANDBOX_WORKER_TOKEN must say"
    if status == 404:
        return Trouble("refused" if code == "no_file" else "gone", words)
    if status == 429 or (status == 503 and "capacity" in code):
        return Trouble("busy", words, after_s)
    # 409 of a file: a piece is missing before it, as after a sandbox was exchanged for another
    return Trouble("away" if status >= 500 and code != "token_unset" else "refused", words, after_s)


def said(body: bytes) -> tuple[str, str]:
    """Words and code of an error's body, however it is written."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return "", ""
    error = found.get("error", found) if isinstance(found, dict) else found
    if isinstance(error, dict):
        return str(error.get("message") or "")[:WORDS_CHARS], str(error.get("code") or found.get("code") or "")
    code = str(found.get("code") or "") if isinstance(found, dict) else ""
    return (error if isinstance(error, str) else "")[:WORDS_CHARS], code


def read_as(kind: type[T], body: bytes) -> T:
    """A body as what it must be. Raises Trouble."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise Trouble("away", f"it answered something else: {error}") from None
