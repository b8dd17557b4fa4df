"""Tests of chomp, a class per section: `pytest test_chomp_server.py::TestRouting` is how a section is worked on.

Real servers on real ports. An `Upstream` is told what to answer and remembers what it was asked; `chomp` starts a whole
server in this process; `chomp_process` starts one as a user would.
"""

from __future__ import annotations

import ast
import asyncio
import base64
import contextlib
import csv
import datetime
import email.utils
import gc
import gzip
import hashlib
import hmac
import io
import itertools
import json
import logging
import math
import os
import random
import re
import resource
import select
import shlex
import shutil
import signal
import socket
import sqlite3
import ssl
import stat
import subprocess
import symtable
import sys
import termios
import threading
import time
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import httpx2
import msgspec
import openai
import psutil
import pydantic
import pytest
import uvloop
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from prometheus_client.parser import text_string_to_metric_families

import chomp_server as cs

HERE = Path(__file__).resolve().parent
TOKEN = "test-token-0123456789"
SHORT = {"connect": "2s", "drain": "2s"}  # limits most tests run with


@pytest.fixture(scope="session")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """The loop that chomp runs on."""
    return uvloop.EventLoopPolicy()


# == Upstreams =========================================================================================================


class Call:
    """One request an upstream got."""

    def __init__(
        self, line: str, headers: dict[str, str], body: bytes, upstream: Upstream, writer: asyncio.StreamWriter
    ):
        self.method, self.path, _ = line.split(" ", 2)
        self.headers = headers  # names in lower case
        self.body = body
        self.upstream = upstream
        self._writer = writer
        self.gone = asyncio.Event()  # the connection was closed by chomp

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def streams(self) -> bool:
        return self.json.get("stream") is True

    async def send(self, data: bytes) -> None:
        """Raw bytes on the connection."""
        self._writer.write(data)
        await self._writer.drain()

    async def head(self, status: int = 200, content_type: str = "text/event-stream", **headers: str) -> None:
        """A head whose body is chunked."""
        lines = {"content-type": content_type, "transfer-encoding": "chunked"}
        lines.update({name.replace("_", "-"): value for name, value in headers.items()})
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        await self.send(f"HTTP/1.1 {status} Whatever\r\n{text}\r\n".encode())

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        await self.send(b"0\r\n\r\n")

    async def whole(
        self,
        body: bytes,
        status: int = 200,
        content_type: str = "application/json",
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        """A complete answer with its length."""
        text = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = (
            f"HTTP/1.1 {status} Whatever\r\ncontent-type: {content_type}\r\n{text}content-length: {len(body)}\r\n\r\n"
        )
        await self.send(head.encode() + body)

    def cut(self) -> None:
        """Closes the connection where it stands."""
        self._writer.transport.abort()


Act = Callable[[Call], Awaitable[None]]
_ids = itertools.count(1)


class Upstream:
    """A router on a real port: asks `act` what to do with each call."""

    def __init__(self, act: Act, models: Sequence[str]):
        self.id = f"up{next(_ids)}"
        self.act = act
        self.models = models
        self.calls: list[Call] = []  # of completions; model lists are counted apart
        self.lists = 0
        self.connections = 0
        self.port = 0
        self.list_act: Act | None = None
        self.speaks: dict[str, Any] = {}  # further fields of its [[routers]] table
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def router(self) -> dict[str, Any]:
        """Its [[routers]] table, with a fixed catalogue."""
        return {
            "id": self.id,
            "base_url": f"http://127.0.0.1:{self.port}/v1",
            "keys": [f"key-of-{self.id}"],
            "models": list(self.models),
            "default_model": self.models[0],
            **self.speaks,
        }

    @property
    def model(self) -> str:
        return f"{self.id}/{self.models[0]}"

    async def start(self) -> Upstream:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in head[1:]) if n}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                call = Call(head[0], headers, body, self, writer)
                if call.method == "GET":
                    self.lists += 1
                    if self.list_act is not None:
                        await self.list_act(call)
                    else:
                        entries = [{"id": model, "object": "model"} for model in self.models]
                        await call.whole(json.dumps({"object": "list", "data": entries}).encode())
                    continue
                self.calls.append(call)
                watch = asyncio.ensure_future(self._watch(reader, call))
                try:
                    await self.act(call)
                finally:
                    watch.cancel()
                    with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                        await watch
                if writer.transport.is_closing():
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for call in self.calls:
                if call._writer is writer:
                    call.gone.set()
            self._tasks.discard(task)
            writer.close()

    async def _watch(self, reader: asyncio.StreamReader, call: Call) -> None:
        """Notices that chomp closes the connection while an answer is being sent."""
        while not reader.at_eof() and reader.exception() is None and not reader._buffer:  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)  # reading would take a next request's bytes
        if reader.at_eof() or reader.exception() is not None:
            call.gone.set()


def chat_chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> bytes:
    """One SSE frame of a chat stream; `delta` None is a frame without choices."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    frame = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        **more,
    }
    return b"data: " + msgspec.json.encode(frame) + b"\n\n"


DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def chat_answer(text: str = "hi", **more: Any) -> bytes:
    """A chat completion that is not streamed."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": USAGE,
    }
    return msgspec.json.encode({**answer, **more})


def says(text: str = "hi there") -> Act:
    """A router in good health: streams word by word, or answers whole, as asked; usage when asked."""

    async def act(call: Call) -> None:
        if not call.streams:
            await call.whole(chat_answer(text))
            return
        await call.head()
        await call.chunk(chat_chunk({"role": "assistant", "content": ""}))
        for word in text.split(" "):
            await call.chunk(chat_chunk({"content": word}))
        await call.chunk(chat_chunk({}, "stop"))
        if (call.json.get("stream_options") or {}).get("include_usage"):
            await call.chunk(chat_chunk(None, usage=USAGE))
        await call.chunk(DONE)
        await call.end()

    return act


def fails(status: int, body: bytes | None = None, headers: Sequence[tuple[str, str]] = ()) -> Act:
    """A router that refuses."""
    shown = (
        json.dumps({"error": {"message": f"no, {status}", "type": "x", "code": f"c{status}"}}).encode()
        if body is None
        else body
    )

    async def act(call: Call) -> None:
        await call.whole(shown, status, headers=headers)

    return act


def streams(*pieces: bytes, cut: bool = False) -> Act:
    """Sends `pieces`, a chunk each, then ends properly or cuts the connection."""

    async def act(call: Call) -> None:
        await call.head()
        for piece in pieces:
            await call.chunk(piece)
        if cut:
            await asyncio.sleep(0.02)  # so that what was sent is not lost to the reset
            call.cut()
        else:
            await call.end()

    return act


@pytest.fixture
async def upstream() -> AsyncIterator[Callable[..., Awaitable[Upstream]]]:
    """Starts upstreams: `await upstream(says("hi"), "model-a", "model-b")`."""
    started: list[Upstream] = []

    async def start(act: Act | None = None, *models: str) -> Upstream:
        started.append(await Upstream(act or says(), models or ("m",)).start())
        return started[-1]

    yield start
    for one in started:
        await one.stop()


# == chomp itself ======================================================================================================


class Clock:
    """A clock told what time it is."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


def toml(tables: dict[str, Any]) -> str:
    """A chomp.toml, a table a line."""

    def inline(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(name)} = {inline(one)}" for name, one in value.items()) + "}"
        if isinstance(value, (list, tuple)):
            return "[" + ", ".join(map(inline, value)) + "]"
        return json.dumps(value)

    return "".join(f"{name} = {inline(table)}\n" for name, table in tables.items())


class Chomp:
    """A chomp in this process, and a client of it that carries the owner's token."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        environ: dict[str, str],
        clock: Callable[[], float] | None,
        written: bool = False,
    ):
        """`config` is also written to chomp.toml, and read again from there, when it is `written`."""
        self.store = cs.Store(folder / "state")
        self.store.open()
        environ = {"CHOMP_API_TOKEN": TOKEN, "XDG_CACHE_HOME": str(folder / "no-cache"), **environ}
        self.settings = cs.read_settings(
            folder, flags={}, environ=environ, dotenv=self.store.dotenv(), overrides=self.store.overrides(), file=config
        )
        more: dict[str, Any] = {"clock": clock} if clock else {}
        self.file = folder / "chomp.toml"
        if written:
            self.file.write_text(toml(config))
            more["sources"] = cs.Sources(self.store, folder, {}, environ)
        self.app = cs.make_app(self.settings, self.store, **more)
        self.runner = cs.make_runner(self.app, self.settings)
        self.http = aiohttp.ClientSession(
            headers={"authorization": f"Bearer {TOKEN}"}, connector=aiohttp.TCPConnector(limit=0)
        )
        self.url = ""

    async def start(self) -> Chomp:
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = self.runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def stop(self) -> None:
        await self.http.close()
        await self.runner.cleanup()
        await self.store.close()

    @property
    def services(self) -> cs.Services:
        return self.app[cs.SERVICES]

    def get(self, path: str, **more: Any) -> Any:
        return self.http.get(self.url + path, **more)

    def post(self, path: str, **more: Any) -> Any:
        return self.http.post(self.url + path, **more)

    def chat(self, model: str, *, headers: dict[str, str] | None = None, **more: Any) -> Any:
        """A chat completion: `async with chomp.chat("up1/m", stream=True) as answer`."""
        asked = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
        return self.post("/v1/chat/completions", json=asked, headers=headers)

    async def rows(self, count: int | None = None) -> list[dict[str, Any]]:
        """The ledger, oldest first; waits until it has `count` rows."""
        for _ in range(200):
            await self.services.usage.flush()
            found = await self.store.database.read("SELECT * FROM requests ORDER BY rowid")
            if count is None or len(found) >= count:
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"{len(found)} ledger rows, not {count}")


@pytest.fixture
async def chomp(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Chomp]]]:
    """Starts chomps: `await chomp(busy, ready, aliases={...}, timeouts={...})`, upstreams in registry order."""
    started: list[Chomp] = []

    async def start(
        *upstreams: Upstream | dict[str, Any],
        environ: dict[str, str] | None = None,
        clock: Callable[[], float] | None = None,
        written: bool = False,
        **tables: Any,
    ) -> Chomp:
        routers = [one.router if isinstance(one, Upstream) else one for one in upstreams]
        config = {"routers": routers, **tables}
        config["timeouts"] = {**SHORT, **tables.get("timeouts", {})}
        folder = tmp_path / f"chomp{len(started)}"
        folder.mkdir(exist_ok=True)
        started.append(await Chomp(folder, config, environ or {}, clock, written).start())
        return started[-1]

    yield start
    for one in started:
        await one.stop()


def frames(body: bytes) -> list[Any]:
    """The data of each SSE frame, JSON decoded; `[DONE]` as it is."""
    found = []
    for block in body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n"):
        for line in block.split(b"\n"):
            if line.startswith(b"data:"):
                data = line[5:].strip()
                found.append(data.decode() if data == b"[DONE]" else json.loads(data))
    return found


def said(body: bytes) -> str:
    """The words of a chat stream, one space between frames."""
    words = [c["delta"].get("content") for f in frames(body) if f != "[DONE]" for c in f.get("choices", ())]
    return " ".join(word for word in words if word)


# == Fixtures ==


class Fixture(msgspec.Struct, frozen=True):
    """One upstream response, and what must come of it."""

    name: str
    body: bytes  # as the router sends it
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()  # beside content-type
    content_type: str = "text/event-stream"
    usage: tuple[int, int, int, int] | None = None  # prompt, completion, cached, reasoning; None when none was sent
    cost_usd: float | None = None  # as the router reports it, not from a price table
    error: str | None = None  # words of the upstream's sentence; "" for a failure that came without a sentence
    code: str | None = None  # the upstream's own error code, which must survive
    ends: str = "done"  # "done" ([DONE] or a finish reason), "error" (in-band error frame), "cut"
    before_content: bool = False  # the error comes before any content: failover is allowed

    @property
    def has_events(self) -> bool:
        """Whether it is of the messages or responses dialect."""
        return self.name.startswith(("zen-messages", "zen-responses"))


# -- how the bytes are put together

_CREATED = 1_789_999_990
_JSON = "application/json"
_Wire = dict[str, object]
_DONE = b"data: [DONE]\n\n"


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _frame(payload: object) -> bytes:
    return b"data: " + _json(payload) + b"\n\n"


def _event(name: str, payload: object) -> bytes:
    return b"event: " + name.encode() + b"\n" + _frame(payload)


def _head(id: str, model: str, **more: object) -> _Wire:
    """What all frames of one stream begin with."""
    return {"id": id, "object": "chat.completion.chunk", "created": _CREATED, "model": model} | more


def _delta(head: _Wire, delta: _Wire, finish: str | None = None, **more: object) -> bytes:
    return _frame(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} | more)


def _role(head: _Wire, **more: object) -> bytes:
    return _delta(head, {"role": "assistant", "content": ""}, None, **more)


def _words(text: str) -> list[str]:
    """`text` in pieces as a model streams it: each word after the first brings its space."""
    first, *rest = text.split(" ")
    return [first, *(f" {word}" for word in rest)]


def _says(head: _Wire, text: str, field: str = "content", **more: object) -> bytes:
    """One frame for each word of `text`."""
    return b"".join(_delta(head, {field: word}, None, **more) for word in _words(text))


def _usage(prompt: int, completion: int, cached: int | None = None, reasoning: int | None = None) -> _Wire:
    usage: _Wire = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    if reasoning is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return usage


def _answer(id: str, model: str, text: str | None, finish: str = "stop", **more: object) -> _Wire:
    """A whole chat completion, not streamed."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return {"id": id, "object": "chat.completion", "created": _CREATED, "model": model, "choices": [choice]} | more


def _call(index: int, id: str, name: str, arguments: str) -> _Wire:
    return {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


# -- OpenCode Zen: cost as a string, on streams after [DONE]; errors in Anthropic's shape, its own ones as text/plain

_ZEN = _head("chatcmpl-zen-7Kq2", "minimax-m2.5-free")
_ZEN_TEXT = "text/plain;charset=UTF-8"


def _zen_error(type: str, message: str, **more: object) -> bytes:
    return _json({"type": "error", "error": {"type": type, "message": message}} | more)


_ZEN_FIXTURES = (
    Fixture(
        name="zen-chat-cost-after-done",
        body=_role(_ZEN)
        + _says(_ZEN, "Zen bills after the last word.")
        + _delta(_ZEN, {}, "stop")
        + _frame(_ZEN | {"choices": [], "usage": _usage(21, 6, cached=8)})
        + _DONE
        + _frame(_ZEN | {"choices": [], "cost": "0.00004120"}),
        usage=(21, 6, 8, 0),
        cost_usd=0.0000412,
    ),
    Fixture(  # older builds: no id, object, created, model on the cost frame
        name="zen-chat-cost-bare",
        body=_role(_ZEN)
        + _says(_ZEN, "Older builds send less.")
        + _delta(_ZEN, {}, "stop")
        + _frame(_ZEN | {"choices": [], "usage": _usage(19, 4)})
        + _DONE
        + _frame({"choices": [], "cost": "0"}),
        usage=(19, 4, 0, 0),
        cost_usd=0.0,  # free, which is not the same as unknown
    ),
    Fixture(
        name="zen-messages-cost-ping",
        body=_event(
            "message_start",
            {
                "type": "message_start",
                "message": {
                    "id": "msg_zen_01",
                    "type": "message",
                    "role": "assistant",
                    "model": "claude-haiku-4-5",
                    "content": [],
                    "stop_reason": None,
                    "usage": {"input_tokens": 17, "output_tokens": 1},
                },
            },
        )
        + _event(
            "content_block_start",
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        )
        + _event("ping", {"type": "ping"})
        + b"".join(
            _event(
                "content_block_delta",
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}},
            )
            for word in _words("Messages end with a ping.")
        )
        + _event("content_block_stop", {"type": "content_block_stop", "index": 0})
        + _event(
            "message_delta",
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
        )
        + _event("message_stop", {"type": "message_stop"})
        + _event("ping", {"type": "ping", "cost": "0.00005200"}),
        usage=(17, 7, 0, 0),
        cost_usd=0.000052,
    ),
    Fixture(
        name="zen-responses-cost-ping",
        body=_event(
            "response.created",
            {
                "type": "response.created",
                "sequence_number": 0,
                "response": {"id": "resp_zen_01", "object": "response", "status": "in_progress", "output": []},
            },
        )
        + b"".join(
            _event(
                "response.output_text.delta",
                {
                    "type": "response.output_text.delta",
                    "sequence_number": number,
                    "item_id": "msg_01",
                    "output_index": 0,
                    "content_index": 0,
                    "delta": word,
                },
            )
            for number, word in enumerate(_words("Responses end with a ping too."), 1)
        )
        + _event(
            "response.completed",
            {
                "type": "response.completed",
                "sequence_number": 7,
                "response": {
                    "id": "resp_zen_01",
                    "object": "response",
                    "status": "completed",
                    "usage": {
                        "input_tokens": 23,
                        "input_tokens_details": {"cached_tokens": 5},
                        "output_tokens": 9,
                        "output_tokens_details": {"reasoning_tokens": 3},
                        "total_tokens": 32,
                    },
                },
            },
        )
        + _event("ping", {"type": "ping", "cost": "0.00006100"}),
        usage=(23, 9, 5, 3),
        cost_usd=0.000061,
    ),
    Fixture(
        name="zen-json-cost",
        body=_json(
            _answer(
                "chatcmpl-zen-8Lr3",
                "glm-4.7",
                "The price is a string.",
                usage=_usage(22, 5, cached=6),
                cost="0.00003350",
            )
        ),
        content_type=_JSON,
        usage=(22, 5, 6, 0),
        cost_usd=0.0000335,
    ),
    Fixture(  # a model asked on the wrong flavour: the key is good
        name="zen-401-modelerror",
        body=_zen_error("ModelError", "Model claude-haiku-4-5 is not supported for format oa-compat"),
        status=401,
        content_type=_ZEN_TEXT,
        error="is not supported for format oa-compat",
    ),
    Fixture(
        name="zen-401-credits",
        body=_zen_error("CreditsError", "Insufficient balance. Manage your billing here: https://opencode.ai/billing"),
        status=401,
        content_type=_ZEN_TEXT,
        error="Insufficient balance",
    ),
    Fixture(  # the daily cap per address; at ERROR_HEADERS_AT midnight is 35,200 s away
        name="zen-429-midnight",
        body=_zen_error("FreeUsageLimitError", "Rate limit exceeded. Please try again later.", metadata={}),
        status=429,
        headers=(("retry-after", "35200"),),
        content_type=_ZEN_TEXT,
        error="Rate limit exceeded",
    ),
    Fixture(
        name="zen-429-go-limit",
        body=_zen_error(
            "GoUsageLimitError",
            "Weekly usage limit reached.",
            metadata={"workspace": "wrk_01TEST", "limitName": "weekly"},
        ),
        status=429,
        headers=(("retry-after", "60"),),
        content_type=_ZEN_TEXT,
        error="Weekly usage limit reached",
    ),
    Fixture(  # says 400, means a transient fault of the provider behind it
        name="zen-400-upstream-failed",
        body=_zen_error("error", "Error from provider (Console): Upstream request failed"),
        status=400,
        content_type=_JSON,
        error="Upstream request failed",
    ),
)

# -- Groq: x_groq carries the id, the usage and even the error

_GROQ = _head("chatcmpl-groq-5d1e", "llama-3.3-70b-versatile", system_fingerprint="fp_groq_01")
_GROQ_ID = "req_01k5groq"
_GROQ_TIMES: _Wire = {"queue_time": 0.031, "prompt_time": 0.004, "completion_time": 0.021, "total_time": 0.025}


def _groq_usage(prompt: int, completion: int, cached: int | None = None, reasoning: int | None = None) -> _Wire:
    return _usage(prompt, completion, cached, reasoning) | _GROQ_TIMES


def _groq_role() -> bytes:
    return _role(_GROQ, x_groq={"id": _GROQ_ID})


_GROQ_FIXTURES = (
    Fixture(
        name="groq-xgroq",
        body=_groq_role()
        + _says(_GROQ, "Groq hides usage in its own field.")
        + _delta(_GROQ, {}, "stop", x_groq={"id": _GROQ_ID, "seed": 42, "usage": _groq_usage(44, 8, cached=16)})
        + _DONE,
        usage=(44, 8, 16, 0),
    ),
    Fixture(  # the same numbers twice: once in x_groq, once because include_usage asked for them
        name="groq-both-usage",
        body=_groq_role()
        + _says(_GROQ, "Count these tokens only once.")
        + _delta(_GROQ, {}, "stop", x_groq={"id": _GROQ_ID, "seed": 42, "usage": _groq_usage(44, 6)})
        + _frame(_GROQ | {"choices": [], "usage": _groq_usage(44, 6)})
        + _DONE,
        usage=(44, 6, 0, 0),
    ),
    Fixture(  # no top-level error: only x_groq tells, and [DONE] follows as if all were well
        name="groq-xgroq-error",
        body=_groq_role()
        + _says(_GROQ, "This answer stops early and")
        + _delta(_GROQ, {}, None, x_groq={"id": _GROQ_ID, "error": "over capacity, please try again later"})
        + _DONE,
        error="over capacity",
        ends="error",
    ),
    Fixture(
        name="groq-reasoning",
        body=_groq_role()
        + _says(_GROQ, "Let me think first.", field="reasoning")
        + _says(_GROQ, "Now the answer.")
        + _delta(
            _GROQ, {}, "stop", x_groq={"id": _GROQ_ID, "seed": 42, "usage": _groq_usage(31, 12, cached=0, reasoning=7)}
        )
        + _DONE,
        usage=(31, 12, 0, 7),
    ),
    Fixture(  # x_groq.usage holds no token totals here and must not displace the real usage
        name="groq-json",
        body=_json(
            _answer(
                "chatcmpl-groq-6e2f",
                "openai/gpt-oss-120b",
                "Groq also reports its times.",
                usage=_groq_usage(52, 11, cached=32, reasoning=4),
                usage_breakdown=None,
                system_fingerprint="fp_groq_02",
                x_groq={
                    "id": _GROQ_ID,
                    "seed": 42,
                    "usage": {"dram_cached_tokens": 0, "sram_cached_tokens": 32},
                },
                service_tier="on_demand",
            )
        ),
        headers=(
            ("x-ratelimit-limit-requests", "1000"),
            ("x-ratelimit-remaining-requests", "999"),
            ("x-ratelimit-reset-requests", "1m26.4s"),
            ("x-ratelimit-limit-tokens", "8000"),
            ("x-ratelimit-remaining-tokens", "7937"),
            ("x-ratelimit-reset-tokens", "472.5ms"),
        ),
        content_type=_JSON,
        usage=(52, 11, 32, 4),
    ),
    Fixture(
        name="groq-429-durations",
        body=_json(
            {
                "error": {
                    "message": "Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_test` "
                    "service tier `on_demand` on tokens per minute (TPM): Limit 12000, Used 11800, Requested 1732. "
                    "Please try again in 7.66s.",
                    "type": "tokens",
                    "code": "rate_limit_exceeded",
                }
            }
        ),
        status=429,
        headers=(
            ("retry-after", "8"),
            ("x-ratelimit-limit-requests", "1000"),  # a day
            ("x-ratelimit-remaining-requests", "998"),
            ("x-ratelimit-reset-requests", "2m59.56s"),
            ("x-ratelimit-limit-tokens", "12000"),  # a minute
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "7.66s"),
        ),
        content_type=_JSON,
        error="Rate limit reached for model",
        code="rate_limit_exceeded",
    ),
)

# -- Cerebras: time_info, frames without choices, errors with a status of their own inside the stream

_CEREBRAS = _head("chatcmpl-cerebras-91ab", "gpt-oss-120b", system_fingerprint="fp_cerebras_01")
_CEREBRAS_TIMES: _Wire = {"queue_time": 0.0008, "prompt_time": 0.0021, "completion_time": 0.0064, "total_time": 0.0112}
_CEREBRAS_ERROR = _frame(
    {
        "error": {
            "message": "Tokens per minute limit exceeded - too many tokens processed.",
            "type": "too_many_requests_error",
            "param": "quota",
            "code": "token_quota_exceeded",
            "id": "",
        },
        "status_code": 429,
    }
)

_CEREBRAS_FIXTURES = (
    Fixture(
        name="cerebras-timeinfo",
        body=_delta(_CEREBRAS, {"role": "assistant"})
        + _says(_CEREBRAS, "Think fast.", field="reasoning")
        + _says(_CEREBRAS, "Cerebras tells")
        + _frame(_CEREBRAS)  # no choices at all
        + _says(_CEREBRAS, "how long it took.")
        + _delta(_CEREBRAS, {}, "stop", usage=_usage(68, 14, cached=0, reasoning=3), time_info=_CEREBRAS_TIMES)
        + _DONE,
        usage=(68, 14, 0, 3),
    ),
    Fixture(
        name="cerebras-usage-without-choices",
        body=_delta(_CEREBRAS, {"role": "assistant"})
        + _says(_CEREBRAS, "The bill comes on a bare frame.")
        + _delta(_CEREBRAS, {}, "stop")
        + _frame(_CEREBRAS | {"usage": _usage(70, 8), "time_info": _CEREBRAS_TIMES})
        + _DONE,
        usage=(70, 8, 0, 0),
    ),
    Fixture(
        name="cerebras-stream-error",
        body=_delta(_CEREBRAS, {"role": "assistant"}) + _CEREBRAS_ERROR,
        error="Tokens per minute limit exceeded",
        code="token_quota_exceeded",
        ends="error",
        before_content=True,
    ),
    Fixture(
        name="cerebras-stream-error-after-content",
        body=_delta(_CEREBRAS, {"role": "assistant"}) + _says(_CEREBRAS, "Half of this answer is") + _CEREBRAS_ERROR,
        error="Tokens per minute limit exceeded",
        code="token_quota_exceeded",
        ends="error",
    ),
    Fixture(
        name="cerebras-json-timeinfo",
        body=_json(
            _answer(
                "chatcmpl-cerebras-92bc",
                "llama3.1-8b",
                "The whole answer at once.",
                usage=_usage(41, 6, cached=24),
                time_info=_CEREBRAS_TIMES | {"created": _CREATED},
                system_fingerprint="fp_cerebras_02",
            )
        ),
        headers=(
            ("x-ratelimit-limit-requests-day", "14400"),
            ("x-ratelimit-remaining-requests-day", "14399"),
            ("x-ratelimit-reset-requests-day", "35199.382867"),
            ("x-ratelimit-limit-tokens-minute", "60000"),
            ("x-ratelimit-remaining-tokens-minute", "59953"),
            ("x-ratelimit-reset-tokens-minute", "11.382867"),
        ),
        content_type=_JSON,
        usage=(41, 6, 24, 0),
    ),
    Fixture(  # the day's requests are spent, the minute's tokens are not; message, type and code at top level
        name="cerebras-429-day",
        body=_json(
            {
                "message": "Requests per day limit exceeded - too many requests sent.",
                "type": "too_many_requests_error",
                "param": "quota",
                "code": "request_quota_exceeded",
            }
        ),
        status=429,
        headers=(
            ("x-ratelimit-limit-requests-day", "14400"),
            ("x-ratelimit-remaining-requests-day", "0"),
            ("x-ratelimit-reset-requests-day", "35199.382867"),
            ("x-ratelimit-limit-tokens-minute", "60000"),
            ("x-ratelimit-remaining-tokens-minute", "60000"),
            ("x-ratelimit-reset-tokens-minute", "11.382867"),
        ),
        content_type=_JSON,
        error="Requests per day limit exceeded",
        code="request_quota_exceeded",
    ),
)

# -- SambaNova: created is a float, the last usage carries timings, lines may end a frame by themselves

_SAMBANOVA = _head("8c5f2f0a-samba", "Meta-Llama-3.3-70B-Instruct", system_fingerprint="fastcoe") | {
    "created": 1789999990.5172
}


def _sambanova_usage(prompt: int, completion: int) -> _Wire:
    return _usage(prompt, completion) | {
        "acceptance_rate": 3.4,
        "completion_tokens_per_sec": 412.8,
        "completion_tokens_after_first_per_sec": 437.1,
        "completion_tokens_after_first_per_sec_first_ten": 441.0,
        "time_to_first_token": 0.084,
        "total_latency": 0.101,
        "start_time": 1789999990.5172,
        "end_time": 1789999990.6182,
        "stop_reason": "stop",
        "is_last_response": True,
    }


_SAMBANOVA_STREAM = (
    _role(_SAMBANOVA)
    + _says(_SAMBANOVA, "SambaNova measures every single token.")
    + _delta(_SAMBANOVA, {}, "stop")
    + _frame(_SAMBANOVA | {"choices": [], "usage": _sambanova_usage(37, 7)})
    + _DONE
)

_SAMBANOVA_FIXTURES = (
    Fixture(  # to the letter of the SSE standard this is one event of many data lines
        name="sambanova-single-newline",
        body=_SAMBANOVA_STREAM.replace(b"\n\n", b"\n") + b"\n",
        usage=(37, 7, 0, 0),
    ),
    Fixture(name="sambanova-lastresponse", body=_SAMBANOVA_STREAM, usage=(37, 7, 0, 0)),
    Fixture(
        name="sambanova-reasoning-channel",
        body=_role(_SAMBANOVA)
        + _says(_SAMBANOVA, "Weigh both sides.", field="reasoning")
        + _delta(_SAMBANOVA, {"channel": "final", "content": ""})
        + _says(_SAMBANOVA, "Both sides agree.")
        + _delta(_SAMBANOVA, {}, "stop", usage=_sambanova_usage(40, 9))
        + _DONE,
        usage=(40, 9, 0, 0),
    ),
    Fixture(
        name="sambanova-json",
        body=_json(
            _answer(
                "9d6a3a1b-samba",
                "Meta-Llama-3.3-70B-Instruct",
                "One answer with timings.",
                usage=_sambanova_usage(36, 5),
            )
            | {"created": 1789999990.5172}
        ),
        headers=(
            ("x-ratelimit-limit-requests", "240"),
            ("x-ratelimit-remaining-requests", "239"),
            ("x-ratelimit-limit-requests-day", "48000"),
            ("x-ratelimit-remaining-requests-day", "47999"),
        ),
        content_type=_JSON,
        usage=(36, 5, 0, 0),
    ),
)

# -- Together: legacy fields beside delta, odd finish reasons, bare arrays and bare strings

_TOGETHER = _head("nz8together-4Yz", "meta-llama/Llama-3.3-70B-Instruct-Turbo")


def _together(text: str, finish: str | None = None, usage: _Wire | None = None) -> _Wire:
    choice: _Wire = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish, "seed": None}
    choice["delta"] = {"token_id": 9906, "role": "assistant", "content": text, "tool_calls": None}
    if finish:
        choice["seed"] = 15_324_210_918
    return _TOGETHER | {"choices": [choice], "prompt": [], "usage": usage}


_TOGETHER_FIXTURES = (
    Fixture(  # GET /models: no {"object": "list"} around it
        name="together-array-models",
        body=_json(
            [
                {
                    "id": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
                    "object": "model",
                    "created": 1_733_466_629,
                    "type": "chat",
                    "display_name": "Meta Llama 3.3 70B Instruct Turbo",
                    "organization": "Meta",
                    "link": "https://huggingface.co/meta-llama/Llama-3.3-70B-Instruct",
                    "license": "llama-3.3",
                    "context_length": 131_072,
                    "pricing": {"hourly": 0, "input": 0.88, "output": 0.88, "base": 0, "finetune": 0},
                },
                {
                    "id": "BAAI/bge-large-en-v1.5",
                    "object": "model",
                    "created": 1_700_000_000,
                    "type": "embedding",
                    "display_name": "BAAI-Bge-Large-1.5",
                    "organization": "BAAI",
                    "link": None,
                    "license": None,
                    "context_length": 512,
                    "pricing": {"hourly": 0, "input": 0.02, "output": 0.02, "base": 0, "finetune": 0},
                },
            ]
        ),
        content_type="application/json; charset=utf-8",
    ),
    Fixture(
        name="together-eos",
        body=b"".join(_frame(_together(word)) for word in _words("Together says eos, not stop."))
        + _frame(_together("", "eos", _usage(33, 7)))
        + _DONE,
        usage=(33, 7, 0, 0),
    ),
    Fixture(  # no space after the colon and a small [done], both of which its own SDK takes
        name="together-loose-framing",
        body=b"".join(b"data:" + _json(_together(word)) + b"\n\n" for word in _words("No space after the colon."))
        + b"data:"
        + _json(_together("", "stop", _usage(30, 6)))
        + b"\n\ndata:[done]\n\n",
        usage=(30, 6, 0, 0),
    ),
    Fixture(
        name="together-json",
        body=_json(
            {
                "id": "nz8together-5Za",
                "object": "chat.completion",
                "created": _CREATED,
                "model": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
                "prompt": [],
                "choices": [
                    {
                        "finish_reason": "eos",
                        "seed": 15_324_210_918,
                        "index": 0,
                        "logprobs": {"tokens": ["Seeds"], "token_logprobs": [-0.1], "token_ids": [9906]},
                        "message": {"role": "assistant", "content": "Seeds come along.", "tool_calls": []},
                    }
                ],
                "usage": _usage(34, 5, cached=0),
            }
        ),
        headers=(
            ("x-ratelimit-limit", "10"),
            ("x-ratelimit-remaining", "9"),
            ("x-ratelimit-reset", "1"),
            ("x-total-time", "0.214"),
            ("cf-ray", "9a1test-FRA"),
        ),
        content_type=_JSON,
        usage=(34, 5, 0, 0),
    ),
    Fixture(
        name="together-error-string",
        body=_json({"error": "Input validation error: tokens + max_new_tokens must be at most 131073"}),
        status=400,
        content_type=_JSON,
        error="Input validation error",
    ),
    Fixture(  # a shortage below your own rate: not your quota
        name="together-503",
        body=_json(
            {
                "id": "nz8together-6Zb",
                "error": {
                    "message": "The server is overloaded or not ready yet.",
                    "type": "service_unavailable",
                    "param": None,
                    "code": None,
                },
            }
        ),
        status=503,
        headers=(
            ("x-ratelimit-limit", "10"),
            ("x-ratelimit-remaining", "8"),
            ("x-ratelimit-reset", "1"),
        ),
        content_type=_JSON,
        error="The server is overloaded",
    ),
    Fixture(  # once upon a time a rate limit was a 400
        name="together-400-rate-limit",
        body=_json(
            {
                "error": {
                    "message": "You have reached the rate limit specific to this model.",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "rate_limit",
                }
            }
        ),
        status=400,
        content_type=_JSON,
        error="You have reached the rate limit",
        code="rate_limit",
    ),
)

# -- Fireworks: reasoning_content, perf_metrics, usage null until the last frame, two more error shapes

_FIREWORKS = _head("fw-3c9d", "accounts/fireworks/models/deepseek-v3p2")

_FIREWORKS_FIXTURES = (
    Fixture(
        name="fireworks-fault",
        body=_json(
            {
                "fault": {
                    "faultstring": "Rate limit quota violation. Quota limit exceeded.",
                    "detail": {"errorcode": "policies.ratelimit.QuotaViolation"},
                }
            }
        ),
        status=429,
        headers=(("x-ratelimit-over-limit", "yes"),),
        content_type=_JSON,
        error="Quota limit exceeded",
        code="policies.ratelimit.QuotaViolation",
    ),
    Fixture(
        name="fireworks-detail",
        body=_json({"detail": "Model not found, inaccessible, and/or not deployed"}),
        status=404,
        content_type=_JSON,
        error="Model not found, inaccessible",
    ),
    Fixture(
        name="fireworks-perf",
        body=_role(_FIREWORKS, usage=None)
        + _says(_FIREWORKS, "Fireworks shows its performance numbers.", usage=None)
        + _delta(
            _FIREWORKS,
            {},
            "stop",
            usage=_usage(48, 7, cached=40),
            perf_metrics={
                "prompt-tokens": 48,
                "cached-prompt-tokens": 40,
                "server-time-to-first-token": 0.142,
                "server-processing-time": 0.31,
            },
        )
        + _DONE,
        headers=(("fireworks-server-time-to-first-token", "0.142"),),
        usage=(48, 7, 40, 0),
    ),
    Fixture(
        name="fireworks-reasoning_content",
        body=_role(_FIREWORKS, usage=None)
        + _says(_FIREWORKS, "First I reason.", field="reasoning_content", usage=None)
        + _says(_FIREWORKS, "Then I answer you.", usage=None)
        + _delta(_FIREWORKS, {}, "stop", usage=_usage(29, 13))
        + _DONE,
        usage=(29, 13, 0, 0),
    ),
    Fixture(
        name="fireworks-json",
        body=_json(
            _answer(
                "fw-4dae",
                "accounts/fireworks/models/deepseek-v3p2",
                "Headers describe this request.",
                usage=_usage(47, 6, cached=40),
            )
        ),
        headers=(
            ("fireworks-prompt-tokens", "47"),
            ("fireworks-cached-prompt-tokens", "40"),
            ("x-ratelimit-limit-tokens-prompt", "60000"),
            ("x-ratelimit-limit-tokens-generated", "600"),
        ),
        content_type=_JSON,
        usage=(47, 6, 40, 0),
    ),
)

# -- OpenRouter: comments while queued, cost in the usage, errors behind a 200

_OPENROUTER = _head("gen-1789999990-Qw7", "openai/gpt-oss-120b", provider="Cerebras")
_PROCESSING = b": OPENROUTER PROCESSING\n\n"


def _openrouter(delta: _Wire, finish: str | None = None, native: str | None = None, **more: object) -> bytes:
    choice: _Wire = {"index": 0, "delta": {"role": "assistant"} | delta, "finish_reason": finish}
    choice |= {"native_finish_reason": native or finish, "logprobs": None}
    return _frame(_OPENROUTER | {"choices": [choice]} | more)


def _openrouter_says(text: str) -> bytes:
    return b"".join(_openrouter({"content": word}) for word in _words(text))


def _openrouter_usage(prompt: int, completion: int, cached: int, reasoning: int, cost: float) -> _Wire:
    return _usage(prompt, completion) | {
        "cost": cost,
        "is_byok": False,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0, "audio_tokens": 0},
        "cost_details": {"upstream_inference_cost": None},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


_OPENROUTER_JSON = _json(
    _answer(
        "gen-1789999991-Rx8",
        "openai/gpt-oss-120b",
        "The cost is a number.",
        provider="Cerebras",
        usage=_openrouter_usage(58, 10, 16, 2, 0.0000187),
    )
)

_OPENROUTER_FIXTURES = (
    Fixture(
        name="openrouter-processing-comments",
        body=_PROCESSING * 3
        + _openrouter({"content": ""})
        + _openrouter_says("Patience is part of routing.")
        + _openrouter({"content": ""}, "stop")
        + _openrouter({"content": ""}, usage=_openrouter_usage(57, 9, 32, 3, 0.0000214))
        + _DONE,
        headers=(("x-generation-id", "gen-1789999990-Qw7"),),
        usage=(57, 9, 32, 3),
        cost_usd=0.0000214,
    ),
    Fixture(
        name="openrouter-200-error",
        body=_json(
            {
                "error": {
                    "message": "Provider returned error",
                    "code": 502,
                    "metadata": {"provider_name": "Cerebras", "error_type": "provider_unavailable"},
                },
                "user_id": "user_test",
            }
        ),
        content_type=_JSON,
        error="Provider returned error",
        code="502",
    ),
    Fixture(  # the error has choices beside it, and its code is an int
        name="openrouter-midstream-error",
        body=_PROCESSING
        + _openrouter_says("Here is the first half")
        + _frame(
            _OPENROUTER
            | {
                "error": {
                    "code": 502,
                    "message": "Provider disconnected unexpectedly",
                    "metadata": {"error_type": "provider_unavailable", "provider_code": "upstream_reset"},
                },
                "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
            }
        ),
        error="Provider disconnected unexpectedly",
        code="502",
        ends="error",
    ),
    Fixture(
        name="openrouter-error-before-content",
        body=_PROCESSING * 2
        + _openrouter({"content": ""})
        + _frame(
            _OPENROUTER
            | {
                "error": {
                    "code": "server_error",
                    "message": "Internal Server Error",
                    "metadata": {"error_type": "server", "provider_code": None},
                },
                "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
            }
        ),
        error="Internal Server Error",
        code="server_error",
        ends="error",
        before_content=True,
    ),
    Fixture(  # once with the finish, once more with the usage
        name="openrouter-double-finish",
        body=_PROCESSING
        + _openrouter({"content": None, "tool_calls": [_call(0, "call_or_1", "get_weather", "")]})
        + b"".join(
            _openrouter({"content": None, "tool_calls": [{"index": 0, "function": {"arguments": part}}]})
            for part in ('{"city"', ': "', "Bern", '"}')
        )
        + _openrouter({"content": ""}, "tool_calls", "stop")
        + _openrouter({"content": ""}, "tool_calls", "stop", usage=_openrouter_usage(91, 17, 0, 0, 0.0000362))
        + _DONE,
        usage=(91, 17, 0, 0),
        cost_usd=0.0000362,
    ),
    Fixture(
        name="openrouter-json-cost",
        body=_OPENROUTER_JSON,
        content_type=_JSON,
        usage=(58, 10, 16, 2),
        cost_usd=0.0000187,
    ),
    Fixture(  # blank lines keep the connection alive until the answer is there
        name="openrouter-json-padded",
        body=b"\n         \n         \n" + _OPENROUTER_JSON,
        content_type=_JSON,
        usage=(58, 10, 16, 2),
        cost_usd=0.0000187,
    ),
    Fixture(
        name="openrouter-402",
        body=_json(
            {
                "error": {
                    "message": "Insufficient credits. Add more using https://openrouter.ai/settings/credits",
                    "code": 402,
                    "metadata": {"error_type": "payment_required"},
                }
            }
        ),
        status=402,
        content_type=_JSON,
        error="Insufficient credits",
        code="402",
    ),
    Fixture(
        name="openrouter-429-reset-ms",
        body=_json(
            {
                "error": {
                    "message": "Rate limit exceeded: free-models-per-day",
                    "code": 429,
                    "metadata": {"error_type": "rate_limit_exceeded"},
                }
            }
        ),
        status=429,
        headers=(
            ("X-RateLimit-Limit", "50"),
            ("X-RateLimit-Remaining", "0"),
            ("X-RateLimit-Reset", "1790035200000"),
        ),
        content_type=_JSON,
        error="Rate limit exceeded: free-models-per-day",
        code="429",
    ),
)

# -- local hosts

_OLLAMA = _head("chatcmpl-417", "qwen3:8b", system_fingerprint="fp_ollama")

_LOCAL_FIXTURES = (
    Fixture(  # three parallel calls, all said to be number 0, and no usage
        name="ollama-index0",
        body=b"".join(
            _delta(_OLLAMA, {"role": "assistant", "content": "", "tool_calls": [call]})
            for call in (
                _call(0, "call_red", "paint", '{"colour":"red"}'),
                _call(0, "call_green", "paint", '{"colour":"green"}'),
                _call(0, "call_blue", "mix", '{"with":"blue"}'),
            )
        )
        + _delta(_OLLAMA, {"role": "assistant", "content": ""}, "tool_calls")
        + _DONE,
    ),
    Fixture(
        name="llamacpp-503-loading",
        body=_json({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
        status=503,
        content_type="application/json; charset=utf-8",
        error="Loading model",
        code="503",
    ),
)

# -- whoever it is: framing, and answers that look wrong but are not (and the other way round)

_GENERIC = _head("chatcmpl-generic-1", "some-model")
_GENERIC_STREAM = (
    _role(_GENERIC)
    + _says(_GENERIC, "The quick brown fox jumps.")
    + _delta(_GENERIC, {}, "stop")
    + _frame(_GENERIC | {"choices": [], "usage": _usage(12, 6)})
    + _DONE
)
_GENERIC_ENDING = _delta(_GENERIC, {}, "stop", usage=_usage(12, 6)) + _DONE

_GENERIC_FIXTURES = (
    Fixture(name="generic-crlf", body=_GENERIC_STREAM.replace(b"\n", b"\r\n"), usage=(12, 6, 0, 0)),
    Fixture(name="generic-cr", body=_GENERIC_STREAM.replace(b"\n", b"\r"), usage=(12, 6, 0, 0)),
    Fixture(name="generic-no-done", body=_GENERIC_STREAM.removesuffix(_DONE), usage=(12, 6, 0, 0)),
    Fixture(
        name="generic-usage-on-finish",
        body=_role(_GENERIC) + _says(_GENERIC, "Usage sits on the finish frame.") + _GENERIC_ENDING,
        usage=(12, 6, 0, 0),
    ),
    Fixture(  # two, three and four bytes, joined emoji, and one escaped pair of surrogates
        name="generic-multibyte",
        body=_role(_GENERIC)
        + _says(_GENERIC, "Grüße aus Zürich 你好世界 こんにちは 안녕하세요 🦊 👩‍🚀 cafe\u0301")
        + b'data: {"id":"chatcmpl-generic-1","choices":[{"index":0,"delta":{"content":" \\ud83e\\udd8a"}}]}\n\n'
        + _GENERIC_ENDING,
        usage=(12, 6, 0, 0),
    ),
    Fixture(  # U+0085, U+2028 and U+2029 end a line for str.splitlines(), not for SSE
        name="generic-unicode-line-separators",
        body=_role(_GENERIC)
        + _says(_GENERIC, "next\u0085line line\u2028separator paragraph\u2029separator.")
        + _GENERIC_ENDING,
        usage=(12, 6, 0, 0),
    ),
    Fixture(
        name="generic-unknown-fields",
        body=_role(_GENERIC, obfuscation="xK3v")
        + _says(_GENERIC, "Keep what you do not know.", x_future={"nested": [1, None, {"deep": True}]})
        + _delta(
            _GENERIC,
            {"content": "", "x_mood": "calm"},
            "stop",
            x_big=12345678901234567890,
            x_exact=msgspec.Raw(b"1.10"),
        )
        + _frame(_GENERIC | {"choices": [], "usage": _usage(12, 6) | {"x_carbon_grams": 0.002}})
        + _DONE,
        usage=(12, 6, 0, 0),
    ),
    Fixture(
        name="generic-sse-fields",
        body=b"retry: 3000\n\n"
        + _role(_GENERIC).replace(b"data:", b"id: 1\nevent: message\ndata:")
        + _says(_GENERIC, "Every field stays in place.").replace(b"data:", b"id: 2\nevent: message\ndata:")
        + _delta(_GENERIC, {}, "stop", usage=_usage(12, 6)).replace(b"\n\n", b"\nid: 3\nx-unknown: kept\n\n")
        + b"event: done\n"
        + _DONE,
        usage=(12, 6, 0, 0),
    ),
    Fixture(
        name="generic-comments",
        body=b": ping\n\n"
        + _role(_GENERIC)
        + _says(_GENERIC, "Comments may come").replace(b"\n\n", b"\n\n: keep-alive\n\n")
        + b":\n\n"
        + b": inside a frame\n"
        + _says(_GENERIC, "between any two words.")
        + _GENERIC_ENDING
        + b": bye\n\n",
        usage=(12, 6, 0, 0),
    ),
    Fixture(  # one frame, its JSON spread over data lines which the standard joins with a newline
        name="generic-data-over-lines",
        body=_role(_GENERIC)
        + _says(_GENERIC, "One frame has many lines.")
        + b'data: {"id": "chatcmpl-generic-1", "object": "chat.completion.chunk",\n'
        + b'data:  "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],\n'
        + b'data:  "usage": {"prompt_tokens": 12, "completion_tokens": 6, "total_tokens": 18}}\n\n'
        + _DONE,
        usage=(12, 6, 0, 0),
    ),
    Fixture(
        name="generic-malformed-frame",
        body=_role(_GENERIC)
        + _says(_GENERIC, "One bad frame")
        + b'data: {"id":"chatcmpl-generic-1","choices":[{"index":0,"delta":{"content":" broken\n\n'
        + _says(_GENERIC, "does not end it.")
        + _GENERIC_ENDING,
        usage=(12, 6, 0, 0),
    ),
    Fixture(name="generic-cut", body=_role(_GENERIC) + _says(_GENERIC, "This stream ends without"), ends="cut"),
    Fixture(
        name="generic-cut-inside-frame",
        body=_role(_GENERIC)
        + _says(_GENERIC, "The last frame is torn")
        + _delta(_GENERIC, {"content": " apart 🦊"})[:-12],  # within the JSON, past the emoji's four bytes
        ends="cut",
    ),
    Fixture(
        name="generic-cut-inside-character",
        body=_role(_GENERIC)
        + _says(_GENERIC, "Even the fox is torn")
        + _delta(_GENERIC, {"content": " 🦊"}).partition("🦊".encode()[2:])[0],
        ends="cut",
    ),
    Fixture(  # no bytes at all behind a 200
        name="generic-cut-empty",
        body=b"",
        ends="cut",
        before_content=True,
    ),
    Fixture(
        name="generic-cut-after-role",
        body=_role(_GENERIC),
        ends="cut",
        before_content=True,
    ),
    Fixture(
        name="tool-calls-only",
        body=_delta(_GENERIC, {"role": "assistant", "content": None})
        + _delta(_GENERIC, {"tool_calls": [_call(0, "call_1", "read_file", "")]})
        + b"".join(
            _delta(_GENERIC, {"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
            for part in ('{"path":', ' "README', '.md"}')
        )
        + _delta(_GENERIC, {"tool_calls": [_call(1, "call_2", "list_files", '{"dir": "src"}')]})
        + _delta(_GENERIC, {}, "tool_calls", usage=_usage(88, 24))
        + _DONE,
        usage=(88, 24, 0, 0),
    ),
    Fixture(
        name="tool-calls-only-json",
        body=_json(
            {
                "id": "chatcmpl-generic-2",
                "object": "chat.completion",
                "created": _CREATED,
                "model": "some-model",
                "choices": [
                    {
                        "index": 0,
                        "message": {
                            "role": "assistant",
                            "content": None,
                            "tool_calls": [
                                {
                                    "id": "call_1",
                                    "type": "function",
                                    "function": {"name": "read_file", "arguments": '{"path": "README.md"}'},
                                }
                            ],
                        },
                        "finish_reason": "tool_calls",
                    }
                ],
                "usage": _usage(88, 19),
            }
        ),
        content_type=_JSON,
        usage=(88, 19, 0, 0),
    ),
    Fixture(  # all tokens went into thinking: a success
        name="length-empty-stream",
        body=_role(_GENERIC) + _delta(_GENERIC, {}, "length", usage=_usage(15, 16, reasoning=16)) + _DONE,
        usage=(15, 16, 0, 16),
    ),
    Fixture(
        name="length-empty-json",
        body=_json(_answer("chatcmpl-generic-3", "some-model", "", "length", usage=_usage(15, 16, reasoning=16))),
        content_type=_JSON,
        usage=(15, 16, 0, 16),
    ),
    Fixture(  # no sentence came; the code is the one the client is to get
        name="empty-choices-json",
        body=_json(
            {
                "id": "chatcmpl-generic-4",
                "object": "chat.completion",
                "created": _CREATED,
                "model": "some-model",
                "choices": [],
                "usage": _usage(15, 0),
            }
        ),
        content_type=_JSON,
        usage=(15, 0, 0, 0),
        error="",
        code="empty_response",
    ),
)

# -- the eight places usage is found in

_USAGE = _head("chatcmpl-usage-1", "some-model")
_USAGE_TEXT = _role(_USAGE) + _says(_USAGE, "Eight ways to count tokens.")

_USAGE_FIXTURES = (
    Fixture(
        name="usage-empty-choices",
        body=_USAGE_TEXT
        + _delta(_USAGE, {}, "stop")
        + _frame(_USAGE | {"choices": [], "usage": _usage(100, 6, cached=64, reasoning=2)})
        + _DONE,
        usage=(100, 6, 64, 2),
    ),
    Fixture(
        name="usage-finish-frame",
        body=_USAGE_TEXT + _delta(_USAGE, {}, "stop", usage=_usage(101, 6)) + _DONE,
        usage=(101, 6, 0, 0),
    ),
    Fixture(
        name="usage-x-groq",
        body=_USAGE_TEXT + _delta(_USAGE, {}, "stop", x_groq={"id": _GROQ_ID, "usage": _usage(102, 6)}) + _DONE,
        usage=(102, 6, 0, 0),
    ),
    Fixture(
        name="usage-both",
        body=_USAGE_TEXT
        + _delta(_USAGE, {}, "stop", usage=_usage(103, 6), x_groq={"id": _GROQ_ID, "usage": _usage(103, 6)})
        + _DONE,
        usage=(103, 6, 0, 0),
    ),
    Fixture(  # not empty choices, but a choice that says nothing
        name="usage-empty-delta",
        body=_USAGE_TEXT
        + _delta(_USAGE, {}, "stop")
        + _frame(_USAGE | {"choices": [{"index": 0, "delta": {}}], "usage": _usage(104, 6)})
        + _DONE,
        usage=(104, 6, 0, 0),
    ),
    Fixture(
        name="usage-null-elsewhere",
        body=_role(_USAGE, usage=None)
        + _says(_USAGE, "Null until the very end.", usage=None)
        + _delta(_USAGE, {}, "stop", usage=None)
        + _frame(_USAGE | {"choices": [], "usage": _usage(105, 6)})
        + _DONE,
        usage=(105, 6, 0, 0),
    ),
    Fixture(  # the last wins; nothing is summed
        name="usage-two-frames",
        body=_USAGE_TEXT
        + _delta(_USAGE, {}, "stop", usage=_usage(106, 3))
        + _frame(_USAGE | {"choices": [], "usage": _usage(106, 6, cached=32)})
        + _DONE,
        usage=(106, 6, 32, 0),
    ),
    Fixture(name="usage-none", body=_USAGE_TEXT + _delta(_USAGE, {}, "stop") + _DONE),
)

# -- error bodies: one of each shape

_ERROR_FIXTURES = (
    Fixture(
        name="error-openai-object",
        body=_json(
            {
                "error": {
                    "message": "This model's maximum context length is 8192 tokens.",
                    "type": "invalid_request_error",
                    "param": "messages",
                    "code": "context_length_exceeded",
                }
            }
        ),
        status=400,
        content_type=_JSON,
        error="maximum context length is 8192 tokens",
        code="context_length_exceeded",
    ),
    Fixture(
        name="error-int-code",
        body=_json({"error": {"message": "No allowed providers are available.", "code": 404}}),
        status=404,
        content_type=_JSON,
        error="No allowed providers are available",
        code="404",
    ),
    Fixture(
        name="error-anthropic-shape",
        body=_json(
            {
                "type": "error",
                "error": {"type": "overloaded_error", "message": "Overloaded, please come back"},
                "request_id": "req_test_01",
            }
        ),
        status=529,
        content_type=_JSON,
        error="Overloaded, please come back",
    ),
    Fixture(
        name="error-bare-string",
        body=_json({"error": "model is loading, come back soon"}),
        status=503,
        content_type=_JSON,
        error="model is loading",
    ),
    Fixture(
        name="error-top-level-message",
        body=_json({"message": "Invalid API key provided", "type": "invalid_request_error"}),
        status=401,
        content_type=_JSON,
        error="Invalid API key provided",
    ),
    Fixture(
        name="error-fault",
        body=_json(
            {
                "fault": {
                    "faultstring": "The service is temporarily unavailable",
                    "detail": {"errorcode": "messaging.adaptors.http.flow.ServiceUnavailable"},
                }
            }
        ),
        status=503,
        content_type=_JSON,
        error="The service is temporarily unavailable",
        code="messaging.adaptors.http.flow.ServiceUnavailable",
    ),
    Fixture(
        name="error-detail-string",
        body=_json({"detail": "Not authenticated"}),
        status=403,
        content_type=_JSON,
        error="Not authenticated",
    ),
    Fixture(  # FastAPI's validation error
        name="error-detail-array",
        body=_json(
            {
                "detail": [
                    {"type": "missing", "loc": ["body", "messages"], "msg": "Field required", "input": {"model": "m"}},
                    {
                        "type": "float_type",
                        "loc": ["body", "temperature"],
                        "msg": "Input should be a number",
                        "input": "hot",
                    },
                ]
            }
        ),
        status=422,
        content_type=_JSON,
        error="Field required",
    ),
    Fixture(
        name="error-cerebras-status-code",
        body=_json(
            {
                "error": {
                    "message": "Encountered a server error, please try again.",
                    "type": "server_error",
                    "param": "",
                    "code": "internal_failure",
                    "id": "",
                },
                "status_code": 500,
            }
        ),
        status=500,
        content_type=_JSON,
        error="Encountered a server error",
        code="internal_failure",
    ),
    Fixture(
        name="error-html",
        body=b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
        b"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n",
        status=502,
        content_type="text/html",
        error="502 Bad Gateway",
    ),
    Fixture(
        name="error-plain-text",
        body=b"upstream connect error or disconnect/reset before headers. reset reason: overflow",
        status=503,
        content_type="text/plain",
        error="upstream connect error",
    ),
    Fixture(  # what string pasting would turn into broken JSON
        name="error-quotes-and-newlines",
        body=_json(
            {
                "error": {
                    "message": 'Expected "role",\ngot \\"rôle\\"\tin message 2',
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "bad_role",
                }
            }
        ),
        status=400,
        content_type=_JSON,
        error='Expected "role",\ngot \\"rôle\\"\tin message 2',
        code="bad_role",
    ),
    Fixture(
        name="error-not-utf8",
        body="Quota dépassé pour aujourd'hui".encode("latin-1"),
        status=429,
        content_type="text/plain; charset=iso-8859-1",
        error="pour aujourd'hui",
    ),
    Fixture(  # JSON was promised
        name="error-broken-json",
        body=b'{"error": {"message": "The reply was tor',
        status=500,
        content_type=_JSON,
        error="The reply was tor",
    ),
    Fixture(name="error-empty-body", body=b"", status=500, content_type=_JSON, error=""),
)

FIXTURES: tuple[Fixture, ...] = (
    *_ZEN_FIXTURES,
    *_GROQ_FIXTURES,
    *_CEREBRAS_FIXTURES,
    *_SAMBANOVA_FIXTURES,
    *_TOGETHER_FIXTURES,
    *_FIREWORKS_FIXTURES,
    *_OPENROUTER_FIXTURES,
    *_LOCAL_FIXTURES,
    *_GENERIC_FIXTURES,
    *_USAGE_FIXTURES,
    *_ERROR_FIXTURES,
)

# -- how long to wait after a 429: its headers, and the seconds they ask for at ERROR_HEADERS_AT (None: they say nothing).
# Order: retry-after-ms, retry-after, the resets. Of several resets those count whose `remaining` is 0, the longest of them.
# Only a positive, finite wait counts; one that does not gives way to the next header.

ERROR_HEADERS_AT = 1_790_000_000  # Mon, 21 Sep 2026 14:13:20 GMT

ERROR_HEADERS: tuple[tuple[dict[str, str], float | None], ...] = (
    ({}, None),
    # retry-after: seconds, decimals, a date (RFC 9110, 10.2.3)
    ({"retry-after": "7"}, 7.0),
    ({"retry-after": "1.5"}, 1.5),
    ({"retry-after": " 7 "}, 7.0),
    ({"retry-after": "Mon, 21 Sep 2026 14:14:05 GMT"}, 45.0),
    ({"retry-after": "Tue, 22 Sep 2026 00:00:00 GMT"}, 35_200.0),
    ({"retry-after": "Monday, 21-Sep-26 14:14:05 GMT"}, 45.0),  # RFC 850 form, still to be read
    ({"retry-after": "35200"}, 35_200.0),  # Zen: to midnight UTC
    ({"retry-after": "60"}, 60.0),  # Zen: per key and minute
    # milliseconds win over seconds
    ({"retry-after-ms": "900"}, 0.9),
    ({"retry-after-ms": "1250.5"}, 1.2505),
    ({"retry-after-ms": "900", "retry-after": "7"}, 0.9),
    # Groq: Go durations
    ({"x-ratelimit-reset-tokens": "1m2.5s"}, 62.5),
    ({"x-ratelimit-reset-tokens": "940ms"}, 0.94),
    ({"x-ratelimit-reset-tokens": "2m59.56s"}, 179.56),
    ({"x-ratelimit-reset-tokens": "7.66s"}, 7.66),
    ({"x-ratelimit-reset-requests": "1h2m3s"}, 3723.0),
    ({"x-ratelimit-reset-requests": "24h0m0s"}, 86_400.0),
    ({"retry-after": "8", "x-ratelimit-reset-tokens": "7.66s"}, 8.0),
    (  # only the tokens are spent: the day's requests do not hold us up
        {
            "x-ratelimit-remaining-requests": "998",
            "x-ratelimit-reset-requests": "2m59.56s",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "7.66s",
        },
        7.66,
    ),
    (  # both are spent
        {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "2m59.56s",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "7.66s",
        },
        179.56,
    ),
    # Cerebras: seconds with decimals, by day and by minute
    ({"x-ratelimit-reset-requests-day": "35199.382867"}, 35_199.382867),
    (
        {
            "x-ratelimit-remaining-requests-day": "0",
            "x-ratelimit-reset-requests-day": "35199.382867",
            "x-ratelimit-remaining-tokens-minute": "60000",
            "x-ratelimit-reset-tokens-minute": "11.382867",
        },
        35_199.382867,
    ),
    (
        {
            "x-ratelimit-remaining-requests-day": "14399",
            "x-ratelimit-reset-requests-day": "35199.382867",
            "x-ratelimit-remaining-tokens-minute": "0",
            "x-ratelimit-reset-tokens-minute": "11.382867",
        },
        11.382867,
    ),
    # Together: seconds; OpenRouter: epoch, in seconds or milliseconds
    ({"x-ratelimit-reset": "12"}, 12.0),
    ({"x-ratelimit-reset": "0.5"}, 0.5),
    ({"x-ratelimit-reset": "1790000030"}, 30.0),
    ({"x-ratelimit-reset": "1790000045000"}, 45.0),
    ({"x-ratelimit-reset": "1790000000500"}, 0.5),
    # huge: as it stands, the cap comes later
    ({"retry-after": "31536000"}, 31_536_000.0),
    ({"x-ratelimit-reset": "604800"}, 604_800.0),
    ({"retry-after": "Tue, 21 Sep 2027 14:13:20 GMT"}, 31_536_000.0),
    # not positive
    ({"retry-after": "0"}, None),
    ({"retry-after": "-5"}, None),
    ({"retry-after-ms": "-900"}, None),
    ({"retry-after": "Mon, 21 Sep 2026 14:13:00 GMT"}, None),
    ({"x-ratelimit-reset-tokens": "0s"}, None),
    ({"x-ratelimit-reset-tokens": "-7.66s"}, None),
    ({"x-ratelimit-reset": "1789999990"}, None),
    # garbage
    ({"retry-after": ""}, None),
    ({"retry-after": "soon"}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "inf"}, None),
    ({"retry-after": "9" * 400}, None),  # more than a float holds
    ({"retry-after": "Mon, 99 Sep 2026 14:14:05 GMT"}, None),
    ({"retry-after-ms": "900ms"}, None),
    ({"x-ratelimit-reset-tokens": "7.66"}, 7.66),  # a bare number: seconds
    ({"x-ratelimit-reset-tokens": "7 parsecs"}, None),
    ({"x-ratelimit-reset-tokens": "1m2.5"}, None),
    ({"x-ratelimit-reset-tokens": "ms"}, None),
    ({"x-ratelimit-reset": "tomorrow"}, None),
    # what says nothing gives way to what does
    ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
    ({"retry-after": "soon", "x-ratelimit-reset-tokens": "7.66s"}, 7.66),
    ({"retry-after": "-5", "x-ratelimit-reset": "12"}, 12.0),
    # limits without a reset ask for nothing
    ({"x-ratelimit-limit-requests": "1000", "x-ratelimit-remaining-requests": "0"}, None),
)


RECORDED_STREAMS = [one for one in FIXTURES if one.content_type == "text/event-stream"]
REFUSALS = [one for one in FIXTURES if one.status >= 400]
ENDINGS = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}


def cases(fixtures: Sequence[Fixture]) -> dict[str, Any]:
    """Arguments of parametrize: each case called as its fixture."""
    return {"argvalues": fixtures, "ids": [one.name for one in fixtures]}


def fixture(name: str) -> Fixture:
    return next(one for one in FIXTURES if one.name == name)


# == Settings ==========================================================================================================


def read(tmp_path: Path, file: str = "", **sources: Any) -> cs.Settings:
    """Settings of a chomp.toml and further sources."""
    given = {"flags": {}, "environ": {}, "dotenv": {}, "overrides": {}, **sources}
    return cs.read_settings(tmp_path, file=tomllib.loads(file), **given)


class TestSettings:
    def test_without_anything_written_the_defaults_hold(self, tmp_path: Path) -> None:
        made = read(tmp_path)
        assert (made.port, made.host, made.api_token, made.v1_no_auth) == (8001, "127.0.0.1", "", False)
        assert (made.timeouts, made.limits) == (cs.Timeouts(), cs.Limits())
        assert made.state == tmp_path / "state"

    def test_the_strongest_source_wins(self, tmp_path: Path) -> None:
        sources: dict[str, Any] = {
            "flags": {"port": 1},
            "environ": {"PORT": "2"},
            "dotenv": {"PORT": "3"},
            "overrides": {"server": {"port": 4}},
        }
        ports = []
        while True:
            ports.append(read(tmp_path, "[server]\nport = 5", **sources).port)
            if not sources:
                break
            del sources[next(iter(sources))]
        assert ports == [1, 2, 3, 4, 5]

    def test_an_empty_variable_says_nothing(self, tmp_path: Path) -> None:
        made = read(tmp_path, "[server]\nport = 5", environ={"PORT": "", "HOST": ""})
        assert (made.port, made.host) == (5, "127.0.0.1")

    def test_an_override_replaces_a_key_and_leaves_its_neighbours(self, tmp_path: Path) -> None:
        file = '[timeouts]\nconnect = "3s"\nidle = "4s"\n[aliases]\nfast = "groq/a"'
        overrides = {"timeouts": {"idle": "5s"}, "aliases": {"slow": ["local/b"]}}
        made = read(tmp_path, file, overrides=overrides)
        assert (made.timeouts.connect_s, made.timeouts.idle_s) == (3.0, 5.0)
        assert made.aliases == {"fast": "groq/a", "slow": ["local/b"]}

    @pytest.mark.parametrize(
        ("variable", "value", "field", "expected"),
        [
            ("HOST", "::1", "host", "::1"),
            ("CHOMP_API_TOKEN", TOKEN, "api_token", TOKEN),
            ("CHOMP_V1_NO_AUTH", "1", "v1_no_auth", True),
            ("CHOMP_V1_NO_AUTH", "true", "v1_no_auth", False),
            ("CHOMP_PUBLIC_URL", "https://chomp.example/", "public_url", "https://chomp.example"),
            ("CHOMP_ALLOWED_HOSTS", "a.example, b.example", "allowed_hosts", ("a.example", "b.example")),
            ("CHOMP_PREFER", "cheap", "prefer", "cheap"),
            ("CHOMP_LOG", "json", "log_form", "json"),
            ("CHOMP_LOG_LEVEL", "debug", "log_level", "DEBUG"),
            ("CHOMP_LOCAL_GGUF", "/models/a.gguf", "local_gguf", Path("/models/a.gguf")),
            ("XDG_CACHE_HOME", "/cache", "cache_dir", Path("/cache/chomp")),
            ("HOME", "/home/me", "cache_dir", Path("/home/me/.cache/chomp")),
        ],
    )
    def test_a_variable_sets_its_field(
        self, tmp_path: Path, variable: str, value: str, field: str, expected: Any
    ) -> None:
        assert getattr(read(tmp_path, environ={variable: value}), field) == expected
        assert getattr(read(tmp_path, dotenv={variable: value}), field) == expected

    def test_router_keys_are_found_in_the_environment_and_in_dotenv(self, tmp_path: Path) -> None:
        made = read(tmp_path, environ={"GROQ_API_KEY": "a"}, dotenv={"GROQ_API_KEY": "b", "ZEN": "c", "EMPTY": ""})
        assert made.environ == {"GROQ_API_KEY": "a", "ZEN": "c"}

    @pytest.mark.parametrize(
        ("written", "seconds"),
        [
            ("60s", 60.0), ("5m", 300.0), ("500ms", 0.5), ("1m30s", 90.0), ("2h", 7200.0), ("1d", 86400.0),
            ("1.5s", 1.5), ("90", 90.0), (90, 90.0), (0.25, 0.25), (" 5M ", 300.0), (0, 0.0),
        ],
    )  # fmt: skip
    def test_a_duration_is_read(self, written: object, seconds: float) -> None:
        assert cs.duration_s(written) == seconds

    @pytest.mark.parametrize(
        "written", ["", "s", "5 minutes", "-5s", -1, "1e3", math.inf, math.nan, True, None, [5], "9" * 400, "5x"]
    )
    def test_what_is_no_duration_is_refused(self, written: object) -> None:
        with pytest.raises(ValueError, match="duration"):
            cs.duration_s(written)

    @pytest.mark.parametrize(
        ("written", "size"),
        [("64MiB", 64 << 20), ("10kb", 10_000), ("1 GiB", 1 << 30), ("512", 512), (7, 7), ("1.5KiB", 1536), ("3b", 3)],
    )
    def test_a_size_is_read(self, written: object, size: int) -> None:
        assert cs.size_bytes(written) == size

    @pytest.mark.parametrize("written", ["", "MiB", "-1", -1, "64 mebibytes", True, None, 1.5e300, math.inf])
    def test_what_is_no_size_is_refused(self, written: object) -> None:
        with pytest.raises(ValueError, match="size"):
            cs.size_bytes(written)

    @pytest.mark.parametrize(
        ("file", "words"),
        [
            ("[sever]\nport = 1", r"no table \[sever\] \(did you mean 'server'"),
            ("[server]\nprot = 1", r"\[server\] has no setting 'prot' \(did you mean 'port'"),
            ("[timeouts]\nconect = 1", r"\[timeouts\] has no setting 'conect' \(did you mean 'connect'"),
            ("[timeouts]\nconnect_s = 1", r"\[timeouts\] has no setting 'connect_s' \(did you mean 'connect'"),
            ("[limits]\nbody_byte = 1", r"\[limits\] has no setting 'body_byte' \(did you mean 'body_bytes'"),
            ('[timeouts]\nidle = "soon"', r"\[timeouts\] idle: 'soon' is not a duration"),
            ('[limits]\nbody_bytes = "much"', r"\[limits\] body_bytes: 'much' is not a size"),
            ('[limits]\nrequests = "many"', r"\[limits\] requests"),
            ("[limits]\nrequests = inf", r"\[limits\] requests"),
            ("[limits]\nrequests = -1", r"\[limits\] requests"),
            ('[server]\nport = "80"', r"\[server\] port must be a int"),
            ("[server]\nallowed_hosts = [1]", r"\[server\] allowed_hosts must be a list of strings"),
            ("[server]\nport = 70000", "PORT must be a number up to 65535"),
            ('[server]\nprefer = "best"', "prefer must be fast, cheap or free"),
            ("[routers]\nid = 1", r"\[\[routers\]\] tables"),
            ("routers = [1]", r"\[\[routers\]\] tables"),
            ("[headers]\ngroq = 1", r"\[headers\] holds one table of strings per router"),
            ("[headers]\ngroq = {a = 1}", r"\[headers\] holds one table of strings per router"),
            ("server = 5", r"\[server\]"),
            ("[[server]]\nport = 1", r"\[server\]"),
            ("timeouts = 5", r"\[timeouts\] must be a table"),
            ("aliases = 5", r"\[aliases\]"),
            ("headers = 5", r"\[headers\]"),
        ],
    )
    def test_a_wrong_setting_is_refused_with_its_place(self, tmp_path: Path, file: str, words: str) -> None:
        with pytest.raises(cs.SettingsError, match=words):
            read(tmp_path, file)

    @pytest.mark.parametrize("value", ["0", '"0ms"'])
    def test_no_time_at_all_is_refused(self, tmp_path: Path, value: str) -> None:
        for name in (field.removesuffix("_s") for field in cs.Timeouts.__struct_fields__):
            with pytest.raises(cs.SettingsError, match=rf"\b{name}\b"):
                read(tmp_path, f"[timeouts]\n{name} = {value}")

    @pytest.mark.parametrize("value", ["0", "true", "1.5"])
    def test_a_limit_that_lets_nothing_through_or_is_no_whole_number_is_refused(
        self, tmp_path: Path, value: str
    ) -> None:
        for name in cs.Limits.__struct_fields__:
            with pytest.raises(cs.SettingsError, match=rf"\b{name}\b"):
                read(tmp_path, f"[limits]\n{name} = {value}")

    @pytest.mark.parametrize("port", ["http", "-1", "65536", "80.5"])
    def test_a_port_that_is_none_is_refused(self, tmp_path: Path, port: str) -> None:
        with pytest.raises(cs.SettingsError, match="PORT"):
            read(tmp_path, environ={"PORT": port})

    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
    def test_a_loopback_host_needs_no_token(self, tmp_path: Path, host: str) -> None:
        assert read(tmp_path, environ={"HOST": host, "CHOMP_V1_NO_AUTH": "1"}).v1_no_auth

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "chomp.example", "127.0.0.1.example"])
    def test_an_open_host_needs_a_token_and_refuses_no_auth(self, tmp_path: Path, host: str) -> None:
        with pytest.raises(cs.SettingsError, match="set CHOMP_API_TOKEN"):
            read(tmp_path, environ={"HOST": host})
        with pytest.raises(cs.SettingsError, match="CHOMP_V1_NO_AUTH"):
            read(tmp_path, environ={"HOST": host, "CHOMP_API_TOKEN": TOKEN, "CHOMP_V1_NO_AUTH": "1"})
        assert read(tmp_path, environ={"HOST": host, "CHOMP_API_TOKEN": TOKEN}).host == host

    def test_a_short_token_is_refused_and_not_repeated(self, tmp_path: Path) -> None:
        with pytest.raises(cs.SettingsError, match="16 characters") as caught:
            read(tmp_path, environ={"CHOMP_API_TOKEN": "hunter2"})
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("A=1", {"A": "1"}),
            ("export A=1", {"A": "1"}),
            ("  A = 1  ", {"A": "1"}),
            ("A=\"a b\"\nB='c'", {"A": "a b", "B": "c"}),
            ('A="half', {"A": '"half'}),
            ("# A=1\n\nB=2", {"B": "2"}),
            ("A=1 # the first", {"A": "1"}),
            ("A='1 # 2'", {"A": "1 # 2"}),
            ("A=sk#1", {"A": "sk#1"}),
            ("A=$HOME=x", {"A": "$HOME=x"}),
            ("A=", {"A": ""}),
            ("no line of ours", {}),
            ("1A=2\nA-B=3", {}),
            ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ],
    )
    def test_a_dotenv_is_read(self, text: str, found: dict[str, str]) -> None:
        assert cs.parse_dotenv(text) == found

    def test_a_missing_chomp_toml_matters_only_when_it_was_asked_for(self, tmp_path: Path) -> None:
        path = tmp_path / "chomp.toml"
        assert cs.read_toml(path, required=False) == {}
        with pytest.raises(cs.SettingsError, match=re.escape(str(path))):
            cs.read_toml(path, required=True)

    @pytest.mark.parametrize("text", [b"[server\n", b"port = \xff"])
    def test_a_broken_chomp_toml_is_refused_with_its_name(self, tmp_path: Path, text: bytes) -> None:
        path = tmp_path / "chomp.toml"
        path.write_bytes(text)
        with pytest.raises(cs.SettingsError, match=re.escape(str(path))):
            cs.read_toml(path, required=False)

    def test_the_readme_has_a_complete_chomp_toml(self, tmp_path: Path) -> None:
        blocks = re.findall(r"```toml\n(.*?)```", (HERE / "README.md").read_text("utf-8"), re.S)
        (complete,) = [block for block in blocks if "[server]" in block]
        tables = tomllib.loads(complete)
        made = cs.read_settings(tmp_path, flags={}, environ={}, dotenv={}, overrides={}, file=tables)
        cs.router_rows(made)
        cs.read_aliases(made.aliases)
        (user,) = cs.user_rows(made, TOKEN)
        assert {"token", *tables["users"][0]} == {"token", *cs.User.__struct_fields__} - {"token_sha256"}
        assert user.limited()
        assert set(tables) == set(cs._TABLES)
        assert set(tables["server"]) == set(cs._SERVER_KEYS)
        assert set(tables["timeouts"]) == {name.removesuffix("_s") for name in cs.Timeouts.__struct_fields__}
        assert set(tables["limits"]) == set(cs.Limits.__struct_fields__)
        assert set(tables["tasks"]) == {name.removesuffix("_s") for name in cs.TaskSettings.__struct_fields__}
        assert set(tables["notify"]) == set(cs.NotifySettings.__struct_fields__)
        assert made.tasks == msgspec.structs.replace(cs.TaskSettings(), platform_parallel={"codex": 2})
        assert made.notify == cs.NotifySettings()
        assert set().union(*tables["routers"]) >= cs._ROUTER_KEYS - {"kind"}


# == Errors ============================================================================================================


class TestErrors:
    def test_an_error_has_openais_shape_and_names_its_attempts(self) -> None:
        error = cs.ModelNotFound(
            "no model x", param="model", attempts=[cs.AttemptRecord("groq", "m", "K", 429, 5, "no")]
        )
        body = json.loads(cs.payloads(cs.error_frames(error, "chat"))[0])["error"]
        assert (body["message"], body["type"], body["code"], body["param"]) == (
            "no model x", "invalid_request_error", "model_not_found", "model",
        )  # fmt: skip
        assert body["attempts"] == [{"router": "groq", "model": "m", "key": "K", "status": 429, "ms": 5, "error": "no"}]

    @pytest.mark.parametrize(
        "kind", [cls for cls in vars(cs).values() if isinstance(cls, type) and issubclass(cls, cs.ChompError)]
    )
    def test_every_kind_of_error_has_a_status_and_a_fault(self, kind: type[cs.ChompError]) -> None:
        error = kind("words")
        assert 400 <= error.status <= 599 and error.fault in cs.ERROR_TYPES
        assert isinstance(error.code, str | None)

    @pytest.mark.parametrize(("seconds", "sent"), [(0.0, "1"), (0.2, "1"), (7.0, "7"), (7.1, "8"), (86400.0, "86400")])
    def test_retry_after_is_whole_seconds_rounded_up(self, seconds: float, sent: str) -> None:
        assert cs.Busy("x", retry_after_s=seconds).retry_headers() == {"retry-after": sent}

    def test_should_retry_is_said_when_it_is_known(self) -> None:
        assert cs.Busy("x", should_retry=False).retry_headers() == {"x-should-retry": "false"}
        assert cs.Busy("x").retry_headers() == {}


# == Tables ============================================================================================================


def rows_of(tmp_path: Path, file: str, environ: dict[str, str] | None = None) -> dict[str, cs.RouterDef]:
    """The rows in force with a chomp.toml, by id."""
    return {row.id: row for row in cs.router_rows(read(tmp_path, file, environ=environ or {}))}


MINE = '[[routers]]\nid = "mine"\nbase_url = "https://models.example/v1/"\n'


class TestTables:
    def test_the_routers_stand_in_their_order(self) -> None:
        assert [row.id for row in cs.ROUTERS] == [
            "zen", "groq", "cerebras", "sambanova", "together", "fireworks", "openrouter",
            "zen-go", "umans", "deepinfra", "local",
        ]  # fmt: skip

    @pytest.mark.parametrize("row", cs.ROUTERS, ids=lambda row: row.id)
    def test_a_row_is_whole(self, row: cs.RouterDef) -> None:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", row.id)
        assert row.name
        assert re.fullmatch(r"#[0-9A-F]{6}", row.color)
        assert row.default_model or row.default_rule
        assert row.default_rule in ("", "free", "largest-free", "first")
        assert row.price_unit in ("", "token", "million")
        assert row.auth in ("bearer", "x-api-key", "none")
        assert row.prepare in ("", *cs.PREPARE)
        if row.kind == "local":
            assert row.models == (row.default_model,)
        else:
            assert row.base_url.startswith("https://") and not row.base_url.endswith("/")
            assert all(re.fullmatch(r"[A-Z_]+_API_KEY", name) for name in row.key_env) and row.key_env

    def test_no_two_rows_share_a_variable_or_an_address(self) -> None:
        variables = [name for row in cs.ROUTERS for name in row.key_env]
        addresses = [row.base_url for row in cs.ROUTERS]
        assert len(set(variables)) == len(variables)
        assert len(set(addresses)) == len(addresses)

    @pytest.mark.parametrize(
        ("router", "base_url", "variable"),
        [
            ("zen", "https://opencode.ai/zen/v1", "OPENCODE_ZEN_API_KEY"),
            ("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
            ("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
            ("sambanova", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
            ("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
            ("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
            ("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
            ("zen-go", "https://opencode.ai/zen/go/v1", "OPENCODE_GO_API_KEY"),
            ("umans", "https://api.code.umans.ai/v1", "UMANS_API_KEY"),
            ("deepinfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
        ],
    )
    def test_a_row_has_its_address_and_key(self, router: str, base_url: str, variable: str) -> None:
        (row,) = [one for one in cs.ROUTERS if one.id == router]
        assert (row.base_url, row.key_env) == (base_url, (variable,))

    def test_a_person_adds_a_router_with_an_address_alone(self, tmp_path: Path) -> None:
        rows = rows_of(tmp_path, MINE)
        assert list(rows)[-2:] == ["mine", "local"]
        assert (rows["mine"].base_url, rows["mine"].default_rule) == ("https://models.example/v1", "first")
        assert rows["mine"].auth == "bearer"

    def test_a_router_of_ones_own_may_say_everything(self, tmp_path: Path) -> None:
        row = rows_of(
            tmp_path,
            MINE + 'name = "Mine"\nkey_env = "MINE_KEY"\nkeys = ["a", "b"]\ndefault_model = "m"\nauth = "x-api-key"\n'
            'headers = {x-team = "blue"}\nstream_options = false\nmodels = ["m", "n"]\napis = ["chat"]\n'
            "prices = {m = {input = 2, output = 4.5, cached = 0.5}, n = {input = 1, output = 1}}\n",
        )["mine"]
        assert (row.name, row.key_env, row.keys, row.default_model) == ("Mine", ("MINE_KEY",), ("a", "b"), "m")
        assert (row.auth, row.headers, row.stream_options) == ("x-api-key", (("x-team", "blue"),), False)
        assert (row.models, row.apis, row.default_rule) == (("m", "n"), ("chat",), "")
        assert dict(row.prices) == {"m": cs.Price(2e-6, 4.5e-6, 0.5e-6), "n": cs.Price(1e-6, 1e-6)}

    def test_a_built_in_row_is_overridden_where_it_is_written_and_keeps_its_place(self, tmp_path: Path) -> None:
        rows = rows_of(tmp_path, '[[routers]]\nid = "groq"\ndefault_model = "x/y"\n')
        assert list(rows) == [row.id for row in cs.ROUTERS]
        assert (rows["groq"].default_model, rows["groq"].key_env) == ("x/y", ("GROQ_API_KEY",))

    def test_a_default_model_that_is_written_beats_the_rule(self, tmp_path: Path) -> None:
        row = rows_of(tmp_path, '[[routers]]\nid = "openrouter"\ndefault_model = "x/y"\n')["openrouter"]
        assert cs.default_model(row, [cs.Model("a/b:free", context_length=9)]) == "x/y"

    def test_a_disabled_router_is_gone(self, tmp_path: Path) -> None:
        rows = rows_of(tmp_path, '[[routers]]\nid = "zen"\nenabled = false\n[[routers]]\nid = "local"\nenabled = false')
        assert not rows.keys() & {"zen", "local"}

    @pytest.mark.parametrize(
        ("file", "words"),
        [
            ('[[routers]]\nbase_url = "https://a"', "needs an id"),
            ('[[routers]]\nid = "My Router"', "needs an id in lower case"),
            ('[[routers]]\nid = "a/b"', "needs an id in lower case"),
            ('[[routers]]\nid = "mine"', "base_url"),
            ('[[routers]]\nid = "mine"\nbase_url = "models.example"', "must be an http"),
            ('[[routers]]\nid = "mine"\nbase_url = "ftp://models.example"', "must be an http"),
            ('[[routers]]\nid = "mine"\nbase_url = "https://a/v1?x=1"', "must be an http"),
            (MINE + 'bas_url = "x"', r"no setting 'bas_url' \(did you mean 'base_url'"),
            (MINE + 'auth = "basic"', "auth is bearer, x-api-key or none"),
            (MINE + "models = 5", "models"),
            (MINE + 'apis = ["images"]', "apis"),
            (MINE + "prices = {m = {input = 1}}", "in USD per million"),
            (MINE + 'prices = {m = "cheap"}', "in USD per million"),
            (MINE + "prices = 5", "in USD per million"),
            (MINE + "headers = 5", "headers"),
            ('[[routers]]\nid = "local"\nname = "x"', "only enabled = false"),
            ('[headers]\ngrok = {x-a = "b"}', r"no such router \(did you mean 'groq'"),
            (MINE + MINE, "mine"),
            ('[[routers]]\nid = "groq"\n' * 2, "groq"),
            ('[[routers]]\nid = "auto"\nbase_url = "https://a"', "auto"),
            ('[[routers]]\nid = "free"\nbase_url = "https://a"', "free"),
            (MINE + 'kind = "local"', "mine"),
            (MINE + 'kind = "subscription"', "mine"),
            (MINE + 'enabled = "no"', "enabled"),
            (MINE + "enabled = 0", "enabled"),
            (MINE + 'price_unit = "dollar"', "price_unit"),
            (MINE + "prices = {m = {input = -1, output = 1}}", "price"),
            (MINE + "prices = {m = {input = 1, output = nan}}", "price"),
            (MINE + "prices = {m = {input = 1, output = inf}}", "price"),
            (MINE + "prices = {m = {input = 1, output = 1, cached = -0.1}}", "price"),
            (MINE + "prices = {m = {input = 1, output = 1, chached = 0.1}}", "price"),
        ],
    )
    def test_a_router_that_cannot_be_is_refused(self, tmp_path: Path, file: str, words: str) -> None:
        with pytest.raises(cs.SettingsError, match=words):
            rows_of(tmp_path, file)

    @pytest.mark.parametrize(
        ("router", "variable"),
        [("groq", "CHOMP_GROQ_BASE_URL"), ("zen-go", "CHOMP_ZEN_GO_BASE_URL"), ("mine", "CHOMP_MINE_BASE_URL")],
    )
    def test_a_variable_gives_a_router_another_address(self, tmp_path: Path, router: str, variable: str) -> None:
        rows = rows_of(tmp_path, MINE, {variable: "http://127.0.0.1:9/v1/"})
        assert rows[router].base_url == "http://127.0.0.1:9/v1"

    @pytest.mark.parametrize(
        "address",
        [
            "https://me:secret@a/v1", "https://me@a/v1", "https://a/v1#part", "https://a /v1",
            "https://a/v 1", "https://a/v1\tx", "https://a/v1\r\nx-evil: 1", "https://a/v1\n", "\nhttps://a/v1",
        ],
    )  # fmt: skip
    def test_an_address_with_more_in_it_than_an_address_is_refused(self, tmp_path: Path, address: str) -> None:
        with pytest.raises(cs.SettingsError, match="mine"):
            rows_of(tmp_path, f'[[routers]]\nid = "mine"\nbase_url = {json.dumps(address)}')
        with pytest.raises(cs.SettingsError, match="CHOMP_GROQ_BASE_URL"):
            rows_of(tmp_path, "", {"CHOMP_GROQ_BASE_URL": address})

    def test_a_variable_with_no_address_in_it_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(cs.SettingsError, match="CHOMP_GROQ_BASE_URL"):
            rows_of(tmp_path, "", {"CHOMP_GROQ_BASE_URL": "api.example/v1"})

    def test_further_headers_override_those_of_the_row_in_any_case(self, tmp_path: Path) -> None:
        rows = rows_of(tmp_path, '[headers]\nopenrouter = {X-Title = "mine", x-new = "1"}')
        headers = {name.lower(): value for name, value in rows["openrouter"].headers}
        assert (headers["x-title"], headers["x-new"]) == ("mine", "1")
        assert "http-referer" in headers
        assert len(rows["openrouter"].headers) == 3

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("x-a", "b\r\nx-evil: 1"),
            ("x-a", "b\nx-evil: 1"),
            ("x-a", "b\rx-evil: 1"),
            ("x-a", "nul\0"),
            ("x-a", "no latin-1: €"),
            ("x-a\r\nx-evil: 1", "b"),
            ("x a", "b"),
            ("x-a:", "b"),
            ("", "b"),
            ("x-ä", "b"),
            ("content-length", "5"),
            ("Transfer-Encoding", "chunked"),
        ],
    )
    @pytest.mark.parametrize("place", ["headers", "routers"])
    def test_a_header_that_cannot_be_sent_is_refused(self, tmp_path: Path, place: str, name: str, value: str) -> None:
        pair = f"{{{json.dumps(name)} = {json.dumps(value)}}}"
        file = f"[headers]\ngroq = {pair}" if place == "headers" else f'[[routers]]\nid = "groq"\nheaders = {pair}'
        with pytest.raises(cs.SettingsError, match="groq"):
            rows_of(tmp_path, file)


# == Protocols =========================================================================================================

BLANK = re.compile(rb"(?:\r\n|\r(?!\n)|\n)(?:\r\n|\r|\n)\Z")
DATA_LINE = re.compile(rb"(?:\A|\r|\n)data:([^\r\n]*)(?:\r\n|\r|\n)\Z")


def with_ending(body: bytes, ending: bytes) -> bytes:
    return re.sub(rb"\r\n|\r|\n", ending, body)


def is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def events(body: bytes) -> list[bytes]:
    """The data of each event, to the letter of the standard; lines by themselves where each is JSON or [DONE]."""
    found = []
    for block in re.split(rb"\n{2,}", with_ending(body, b"\n")):
        lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
        whole = b"\n".join(lines)
        found += [whole] if whole and is_json(whole) else lines
    return found


def ends_a_frame(sent: bytes, coming: bytes) -> bool:
    """Whether `sent` can be cut from `coming`: after a blank line, or between data lines that are whole each."""
    if BLANK.search(sent):
        return True
    last = DATA_LINE.search(sent)
    return bool(last) and coming.startswith(b"data:") and (is_json(last[1].strip()) or last[1].strip() == b"[DONE]")


def through(pieces: Iterable[bytes], limit: int = 1 << 20) -> tuple[list[bytes], bytes]:
    """What a framer hands on for each piece, and what it has left at the end."""
    framer = cs.Framer(limit)
    return [framer.feed(piece) for piece in pieces], framer.close()


def each_byte(body: bytes) -> list[bytes]:
    return [body[at : at + 1] for at in range(len(body))]


def bare_wire(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def lines(*pairs: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in pairs]


names = st.sampled_from(
    [
        "id",
        "choices",
        "delta",
        "content",
        "reasoning",
        "tool_calls",
        "finish_reason",
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "cached_tokens",
        "cost",
        "error",
        "message",
        "code",
        "type",
        "param",
        "x_groq",
        "detail",
        "loc",
        "msg",
        "fault",
        "faultstring",
        "errorcode",
        "metadata",
        "error_type",
        "status_code",
        "data",
        "models",
        "name",
        "created",
        "pricing",
        "prompt",
        "completion",
        "input",
        "output",
        "context_length",
        "top_provider",
    ]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8) | st.sampled_from(["stop", "error", "401", "auto"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5),
    max_leaves=12,
)  # fmt: skip
FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def splice(body: bytes, model: str | None = None, ask_usage: bool = False) -> bytes:
    return cs.spliced(body, cs.read_envelope("chat", body), model=model, ask_usage=ask_usage)


def metered(pieces: Iterable[bytes], hide_usage: bool = False, events: bool = False) -> tuple[cs.StreamMeter, bytes]:
    """A stream through framer and meter, as a relay does it."""
    framer, meter, out = cs.Framer(1 << 20), cs.StreamMeter(hide_usage=hide_usage), b""
    if events:
        meter = cs.EventsMeter()
    for piece in pieces:
        if run := framer.feed(piece):
            out += meter.look(run)
    if left := framer.close():
        out += meter.look(left)
    return meter, out


def counts(usage: cs.Usage | None) -> tuple[int, int, int, int] | None:
    return None if usage is None else (usage.prompt, usage.completion, usage.cached, usage.reasoning)


def unasked_for(body: bytes) -> bytes:
    """`body` less the frames that hold usage and nothing else, by plain reading."""
    blank = next(ending * 2 for ending in (b"\r\n", b"\n", b"\r") if ending in body or ending == b"\r")
    single = body.count(blank) == 1  # frames parted by single newlines
    kept = b""
    for frame in re.findall(rb"[^\n]*\n+", body) if single else re.split(rb"(?<=%b)" % blank, body):
        found = [json.loads(e) for e in events(frame) if is_json(e)]
        if not (found and found[0].get("choices") == [] and found[0].get("usage")):
            kept += frame
    return kept


COUNT_MAX = 10**15  # thousands of such rows still sum up within the 64 bits SQLite has


class TestProtocols:
    class TestEnvelope:
        def test_only_the_few_fields_are_looked_at(self) -> None:
            body = b'{"model":"a/b","stream":true,"messages":[{"role":"user"}],"temperature":1e400}'
            envelope = cs.read_envelope("chat", body)
            assert (envelope.model, envelope.stream, envelope.router) == ("a/b", True, msgspec.UNSET)
            assert bytes(envelope.messages) == b'[{"role":"user"}]'

        @pytest.mark.parametrize(
            ("api", "body", "words", "param"),
            [
                ("chat", b"", "byte 0", None),
                ("chat", b'{"messages":[}', "byte 13", None),
                ("chat", b'{"messages":[]', "byte 14", None),
                ("chat", b'{"messages":[]} x', "byte 17", None),
                ("chat", b'{"messages":[]}', "'messages' is empty", "messages"),
                ("chat", b"[]", "object", None),
                ("chat", b'{"messages":[0],"model":5}', r"\$\.model", "model"),
                ("chat", b'{"messages":[0],"stream":"yes"}', r"\$\.stream", "stream"),
                ("chat", b'{"messages":[0],"router":[]}', r"\$\.router", "router"),
                ("chat", b'{"messages":"hello"}', r"\$\.messages", "messages"),
                ("chat", b'{"messages":{}}', r"\$\.messages", "messages"),
                ("chat", b'{"model":"m"}', "'messages' is required", "messages"),
                ("chat", b'{"messages":null}', "'messages' is required", "messages"),
                ("completions", b'{"messages":[0]}', "'prompt' is required", "prompt"),
                ("embeddings", b'{"input":null}', "'input' is required", "input"),
            ],
        )
        def test_a_body_that_cannot_be_is_refused_with_the_place(
            self, api: Any, body: bytes, words: str, param: str | None
        ) -> None:
            with pytest.raises(cs.BadRequest, match=words) as caught:
                cs.read_envelope(api, body)
            assert (caught.value.status, caught.value.param) == (400, param)

        @pytest.mark.parametrize("opening", [b"[", b'{"a":'])
        @pytest.mark.parametrize("field", [b"messages", b"tools", b"model"])
        def test_a_body_nested_too_deeply_is_refused(self, opening: bytes, field: bytes) -> None:
            with pytest.raises(cs.BadRequest):
                cs.read_envelope("chat", b'{"%b":%b' % (field, opening * 100_000))

        @FUZZ
        @given(st.binary(max_size=40) | anything.map(msgspec.json.encode))
        def test_any_body_is_read_or_refused(self, body: bytes) -> None:
            try:
                envelope = cs.read_envelope("chat", body)
            except cs.BadRequest as error:
                assert error.message
            else:
                assert bytes(envelope.messages).startswith(b"[")

        @pytest.mark.parametrize(
            ("body", "wanted"),
            [
                (b'{"messages":[0]}', False),
                (b'{"messages":[0],"stream_options":null}', False),
                (b'{"messages":[0],"stream_options":{"include_usage":true}}', True),
                (b'{"messages":[0],"stream_options":{"include_usage":false}}', False),
                (b'{"messages":[0],"stream_options":{"include_usage":1}}', False),
                (b'{"messages":[0],"stream_options":5}', False),
            ],
        )
        def test_it_says_whether_the_client_wants_usage(self, body: bytes, wanted: bool) -> None:
            assert cs.read_envelope("chat", body).wants_usage() is wanted

    class TestSplicing:
        def test_a_body_that_needs_no_change_goes_as_it_came(self) -> None:
            body = b' { "messages" : [ 1 ] ,\n "x" : 1.10 } '
            assert splice(body) is body

        def test_values_keep_their_bytes_and_keys_their_order(self) -> None:
            body = (
                b'{"z":1.10,"model":"groq/a","big":12345678901234567890123,"e":1E+5,"messages": [ {"b":1, "a":"\\u00fc\\/"} ],'
                b'"a":{"y":1,"x":[ ]},"router":"groq"}'
            )
            assert splice(body, model="a") == (
                b'{"z":1.10,"model":"a","big":12345678901234567890123,"e":1E+5,"messages":[ {"b":1, "a":"\\u00fc\\/"} ],'
                b'"a":{"y":1,"x":[ ]}}'
            )

        def test_a_model_name_cannot_break_out_of_its_string(self) -> None:
            made = splice(b'{"model":"x","messages":[0]}', model='a","stream":true,"b":"\n\u2028')
            assert json.loads(made) == {"model": 'a","stream":true,"b":"\n\u2028', "messages": [0]}

        def test_a_missing_model_is_added(self) -> None:
            assert json.loads(splice(b'{"messages":[0]}', model="m")) == {"messages": [0], "model": "m"}

        @pytest.mark.parametrize("router", [b'"groq"', b"null", b'""'])
        def test_the_router_field_stays_with_us(self, router: bytes) -> None:
            assert json.loads(splice(b'{"messages":[0],"router":%b}' % router)) == {"messages": [0]}

        @pytest.mark.parametrize(
            ("options", "sent"),
            [
                (None, {"include_usage": True}),
                (b"null", {"include_usage": True}),
                (b"{}", {"include_usage": True}),
                (b'{"include_usage":false}', {"include_usage": True}),
                (b'{"include_obfuscation":false}', {"include_obfuscation": False, "include_usage": True}),
            ],
        )
        @pytest.mark.parametrize("model", [None, "m"])
        def test_usage_is_asked_for_beside_other_options(
            self, options: bytes | None, sent: dict[str, Any], model: str | None
        ) -> None:
            body = b'{"messages":[0],"model":"m"}'
            if options is not None:
                body = body[:-1] + b',"stream_options":%b}' % options
            made = json.loads(splice(body, model, ask_usage=True))
            assert made == {"messages": [0], "model": "m", "stream_options": sent}

        def test_usage_is_not_asked_for_where_it_must_not(self) -> None:
            assert b"stream_options" not in splice(b'{"messages":[0],"model":"x"}', model="m")

        @pytest.mark.parametrize("options", [b"5", b'"yes"', b"[]", b"true"])
        def test_stream_options_that_are_none_are_refused(self, options: bytes) -> None:
            with pytest.raises(cs.BadRequest, match="stream_options"):
                splice(b'{"messages":[0],"stream_options":%b}' % options, ask_usage=True)

    class TestDemonstration:
        def prepared(self, **asked: Any) -> dict[str, Any]:
            return json.loads(cs.prepare_demonstration("chat", json.dumps(asked).encode()))

        def test_a_system_message_and_temperature_0_are_added(self) -> None:
            hello = {"role": "user", "content": "hello"}
            made = self.prepared(model="m", messages=[hello])
            assert made["messages"] == [{"role": "system", "content": cs.DEMONSTRATION_SYSTEM}, hello]
            assert (made["temperature"], made["model"]) == (0, "m")

        @pytest.mark.parametrize("role", ["system", "developer"])
        def test_what_the_caller_gave_stays(self, role: str) -> None:
            messages = [
                {"role": role, "content": "be brief"},
                {"role": "user", "content": [{"type": "text", "text": "a"}]},
            ]
            asked = {"messages": messages, "temperature": 0.7, "tools": [], "functions": None}
            assert self.prepared(**asked) == asked

        def test_a_plain_completion_gets_its_temperature_only(self) -> None:
            assert self.prepared(prompt="a") == {"prompt": "a", "temperature": 0}

        @pytest.mark.parametrize(
            ("asked", "words", "param"),
            [
                ({"messages": [], "tools": [{"type": "function"}]}, "cannot use tools", "tools"),
                ({"messages": [], "functions": [{"name": "f"}]}, "cannot use functions", "functions"),
                ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "text only", "messages"),
                ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "text only", "messages"),
                ({"messages": ["hello"]}, "array of objects", "messages"),
                ({"messages": "hello"}, "array of objects", "messages"),
            ],
        )
        def test_what_it_cannot_do_is_refused(self, asked: dict[str, Any], words: str, param: str) -> None:
            with pytest.raises(cs.BadRequest, match=words) as caught:
                self.prepared(**asked)
            assert caught.value.param == param

    class TestHeaders:
        @pytest.mark.parametrize(
            "name",
            [
                "Authorization", "X-Api-Key", "api-key", "x-goog-api-key", "Cookie", "Host", "Content-Length", "Connection",
                "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authorization", "Proxy-Connection",
                "Accept-Encoding", "Content-Encoding", "Expect", "Origin", "Referer", "Forwarded", "X-Forwarded-For",
                "Via", "X-Real-IP", "X-Stainless-Lang", "X-Stainless-Retry-Count", "X-Chomp-Prefer", "Sec-Fetch-Mode",
                "CF-Connecting-IP", "OpenAI-Organization", "OpenAI-Project",
            ],
        )  # fmt: skip
        def test_what_is_no_business_of_an_upstream_stays_here(self, name: str) -> None:
            for spelling in (name, name.lower(), name.upper()):
                assert cs.headers_up(lines((spelling, "secret"), ("x-kept", "1")), frozenset()) == b"x-kept: 1\r\n"

        def test_the_rest_goes_up_in_order_with_its_values(self) -> None:
            given = lines(("X-Session-Affinity", "A b"), ("anthropic-beta", "x"), ("Accept", "a"), ("Accept", "b"))
            made = cs.headers_up(given, frozenset())
            assert made == b"x-session-affinity: A b\r\nanthropic-beta: x\r\naccept: a\r\naccept: b\r\n"

        def test_what_the_row_sets_itself_is_not_taken_from_the_client(self) -> None:
            assert (
                cs.headers_up(lines(("User-Agent", "sdk"), ("X-Title", "t")), frozenset({b"user-agent", b"x-title"}))
                == b""
            )

        @pytest.mark.parametrize("way", ["up", "down"])
        @pytest.mark.parametrize("connection", ["Connection", "connection", "CONNECTION", "cOnnection"])
        @pytest.mark.parametrize("value", ["x-hop", "keep-alive, X-Hop", "close,x-other , x-hop", "X-HOP,"])
        def test_headers_named_in_connection_end_here(self, way: str, connection: str, value: str) -> None:
            given = lines(("X-Hop", "1"), (connection, value), ("x-hope", "2"))
            made = cs.headers_up(given, frozenset()) if way == "up" else cs.headers_down(given)
            assert made == b"x-hope: 2\r\n"

        def test_two_connection_lines_are_one(self) -> None:
            given = lines(("Connection", "keep-alive"), ("x-a", "1"), ("x-b", "1"), ("Connection", "x-a"), ("x-c", "1"))
            assert cs.headers_up(given, frozenset()) == b"x-b: 1\r\nx-c: 1\r\n"

        def test_a_client_sees_the_type_and_the_vendors_information(self) -> None:
            given = lines(
                ("Content-Type", "text/event-stream"), ("X-RateLimit-Remaining-Tokens", "5"), ("CF-Ray", "9a-FRA"),
                ("Retry-After", "7"), ("openai-processing-ms", "3"), ("fireworks-prompt-tokens", "4"),
            )  # fmt: skip
            assert cs.headers_down(given).split(b"\r\n")[:-1] == [
                b"%b: %b" % (name.lower(), value) for name, value in given
            ]

        @pytest.mark.parametrize(
            "name",
            [
                "Set-Cookie", "Server", "Date", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Connection",
                "Keep-Alive", "Alt-Svc", "Strict-Transport-Security", "Access-Control-Allow-Origin", "X-Accel-Buffering",
                "X-Sendfile", "X-Powered-By", "X-Should-Retry", "X-Chomp-Router", "Cache-Control", "Proxy-Authenticate",
            ],
        )  # fmt: skip
        def test_what_is_no_business_of_a_client_stays_here(self, name: str) -> None:
            for spelling in (name, name.lower(), name.upper()):
                assert cs.headers_down(lines((spelling, "v"))) == b""

        def test_the_upstreams_request_id_gets_out_of_the_way_of_ours(self) -> None:
            assert cs.headers_down(lines(("X-Request-Id", "req_1"))) == b"x-upstream-request-id: req_1\r\n"

        def test_many_names_are_not_all_remembered(self) -> None:
            for number in range(3 * cs.NAMES_MOST):
                pair = lines((f"X-Flood-{number}", "1"))
                assert cs.headers_up(pair, frozenset()) == cs.headers_down(pair) == b"x-flood-%d: 1\r\n" % number
            assert max(len(cs._up_names), len(cs._down_names)) <= cs.NAMES_MOST

        @pytest.mark.parametrize(
            ("text", "value"),
            [
                ("accounts/fireworks/models/x:free", "accounts/fireworks/models/x:free"),
                ("a b", "a b"),
                ("a\r\nset-cookie: b", "a%0D%0Aset-cookie: b"),
                ("tab\t", "tab%09"),
                ("größe", "gr%C3%B6%C3%9Fe"),
                ("模型", "%E6%A8%A1%E5%9E%8B"),
                ("", ""),
            ],
        )
        def test_a_header_value_carries_any_name(self, text: str, value: str) -> None:
            assert cs.header_value(text) == value

    class TestWaits:
        @pytest.mark.parametrize(("headers", "seconds"), ERROR_HEADERS)
        def test_a_wait_is_read_from_every_form(self, headers: dict[str, str], seconds: float | None) -> None:
            assert cs.wait_s(bare_wire(headers), ERROR_HEADERS_AT) == (
                None if seconds is None else pytest.approx(seconds)
            )

        def test_names_are_read_in_any_case(self) -> None:
            assert cs.wait_s([(b"Retry-After", b"7")], 0) == 7.0
            assert cs.wait_s([(b"X-RateLimit-Reset", b"1790000045000")], ERROR_HEADERS_AT) == 45.0

        def test_a_wait_may_be_written_as_the_time_it_ends(self) -> None:
            assert cs.wait_s([(b"retry-after", b"1790000060")], 1_790_000_000) == pytest.approx(60)

        @pytest.mark.parametrize("value", ["9" * 400 + "s", "9" * 400, "1e400", "9" * 5000 + "h"])
        def test_a_wait_is_never_endless(self, value: str) -> None:
            waits = [
                cs.wait_s(bare_wire({name: value}), 0)
                for name in ("x-ratelimit-reset", "retry-after", "retry-after-ms")
            ]
            assert waits == [None, None, None]

        @FUZZ
        @given(
            st.dictionaries(
                st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset", "x-ratelimit-remaining"]),
                st.text(st.characters(max_codepoint=255), max_size=20) | st.from_regex(r"\A[0-9.]{1,5}(ms|s|m|h)?\Z"),
            )
        )
        def test_any_header_is_a_finite_wait_or_none(self, headers: dict[str, str]) -> None:
            found = cs.wait_s(bare_wire(headers), ERROR_HEADERS_AT)
            assert found is None or 0 <= found < math.inf

        def test_what_is_left_is_read_by_kind(self) -> None:
            headers = {
                "X-RateLimit-Remaining": "9", "x-ratelimit-remaining-tokens-minute": "59953", "x-ratelimit-limit": "10",
                "x-ratelimit-remaining-requests-day": "many",
            }  # fmt: skip
            assert cs.rate_limits(bare_wire(headers)) == {"requests": 9.0, "tokens-minute": 59953.0}

    class TestFramer:
        @pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
        @pytest.mark.parametrize("stream", **cases(RECORDED_STREAMS))
        def test_bytes_out_are_bytes_in_wherever_a_stream_is_cut(self, stream: Fixture, ending: bytes) -> None:
            body = with_ending(stream.body, ending)
            end = len(body)
            if stream.name.startswith("generic-cut-inside"):
                end = max(body.rfind(ending * 2), 0) + 2 * len(ending)  # the torn frame is never shown
            splits = [[body[:at], body[at:]] for at in range(len(body) + 1)]
            for pieces in (each_byte(body), *splits):
                outs, left = through(pieces)
                assert b"".join(outs) + left == body[:end]
                sent = 0
                for out in outs:
                    sent += len(out)
                    assert not out or ends_a_frame(body[:sent], body[sent:])

        @pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
        @pytest.mark.parametrize(
            "stream", **cases([one for one in RECORDED_STREAMS if "single-newline" not in one.name])
        )
        def test_a_frame_is_handed_on_with_its_last_byte(self, stream: Fixture, ending: bytes) -> None:
            body = with_ending(stream.body, ending)
            framer, sent, whole = cs.Framer(1 << 20), 0, 0
            for at in range(1, len(body) + 1):
                sent += len(framer.feed(body[at - 1 : at]))
                if body.endswith(ending * 2, 0, at):
                    whole = at
                assert sent == whole
                assert (not framer.rest) == (sent == at)

        @pytest.mark.parametrize("ending", [b"\n", b"\r\n"], ids=["lf", "crlf"])
        def test_a_stream_of_single_newlines_is_handed_on_as_the_next_frame_begins(self, ending: bytes) -> None:
            body = with_ending(fixture("sambanova-single-newline").body, ending)
            starts = [found.start() for found in re.finditer(rb"(?<=\n)data:", body)]
            for step in (1, 2, 3, 4, 5, 7, 100):
                framer, sent = cs.Framer(1 << 20), 0
                for at in range(0, len(body), step):
                    sent += len(framer.feed(body[at : at + step]))
                    begun = [start for start in starts if start + 5 <= at + step]
                    assert sent >= max(begun, default=0)

        def test_a_single_newline_inside_a_character_or_a_frame_ends_nothing(self) -> None:
            framer = cs.Framer(1 << 20)
            assert framer.feed(b'event: a\ndata: {"a":\ndata: 1}\nid: 5\ndata') == b""
            assert framer.feed(b": x\n\n") == b'event: a\ndata: {"a":\ndata: 1}\nid: 5\ndata: x\n\n'

        @pytest.mark.parametrize(
            ("left", "kept"),
            [
                (b'data: {"a":1}', True), (b'data: {"a":1}\n', True), (b"data: [DONE]", True), (b": bye", True),
                (b"event: x\n", True), (b'data: {"a":', False), (b'data: {"a":"\xf0\x9f', False), (b"", True),
            ],
        )  # fmt: skip
        def test_the_last_frame_may_lack_its_blank_line_but_not_be_torn(self, left: bytes, kept: bool) -> None:
            framer = cs.Framer(1 << 20)
            assert framer.feed(b"data: 1\n\n" + left) == b"data: 1\n\n"
            assert framer.close() == (left if kept else b"")
            assert not framer.rest

        @pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
        @pytest.mark.parametrize("read", [1 << 10, 64 << 10, 1_000_003])
        def test_an_endless_line_passes_through_bounded_memory(self, ending: bytes, read: int) -> None:
            size = 16 << 20 if read > 1 << 10 else 2 << 20
            body = b"data: " + b"x" * size + ending * 2 + b"data: {}" + ending * 2
            framer, limit, sent, torn = cs.Framer(1 << 20), 1 << 20, [], False
            fed = handed = 0
            for at in range(0, len(body), read):
                piece = body[at : at + read]
                fed += len(piece)
                sent.append(framer.feed(piece))
                handed += len(sent[-1])
                torn = torn or framer.torn
                assert fed - handed <= limit + read
                if framer.torn:
                    assert fed - handed <= 3
            assert torn and not framer.torn
            assert b"".join(sent) == body
            assert framer.feed(b"data: 2") == b"" and framer.feed(ending * 2) == b"data: 2" + ending * 2

        @pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
        def test_the_end_of_a_torn_frame_is_seen_wherever_it_is_cut(self, ending: bytes) -> None:
            tail = b"x" * 5 + ending * 2 + b"data: {}" + ending * 2 + b"data: 2"
            for at in range(len(tail) + 1):
                framer = cs.Framer(64)
                out = framer.feed(b"data: " + b"x" * 100)
                assert framer.torn
                out += framer.feed(tail[:at]) + framer.feed(tail[at:])
                assert out.endswith(b"data: {}" + ending * 2) and not framer.torn
                assert framer.feed(ending * 2) == b"data: 2" + ending * 2

        def test_what_is_left_of_a_torn_frame_is_not_held_to_be_json(self) -> None:
            framer = cs.Framer(16)
            out = framer.feed(b"data: " + b"{" * 100)
            assert out + framer.close() == b"data: " + b"{" * 100

        parts = st.sampled_from(
            [b"data: {}", b"data:[1]", b"data: x", b"data: [DONE]", b": c", b"event: e", b"id", b"\n", b"\r", b"\r\n",
             b"\n\n", "ü🦊".encode(), b"\xff", b" "]
        )  # fmt: skip

        @settings(max_examples=500, deadline=None, derandomize=True)
        @given(st.lists(parts | st.binary(max_size=3), max_size=25).map(b"".join), st.data())
        def test_arbitrary_bytes_come_out_whole_at_arbitrary_cuts(self, body: bytes, data: st.DataObject) -> None:
            cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
            outs, left = through(body[a:b] for a, b in itertools.pairwise([0, *cuts, len(body)]))
            sent = 0
            for out in outs:
                sent += len(out)
                assert not out or ends_a_frame(body[:sent], body[sent:])
            whole = b"".join(outs)
            assert whole + left == body or (
                not left and whole == body[:sent] and not all(map(is_json, events(body[sent:])))
            )

        @settings(max_examples=300, deadline=None, derandomize=True)
        @given(
            st.lists(parts | st.binary(max_size=3), max_size=25).map(b"".join), st.integers(1, 12), st.integers(1, 5)
        )
        def test_nothing_is_lost_with_a_small_limit(self, body: bytes, limit: int, step: int) -> None:
            framer = cs.Framer(limit)
            out = b""
            for at in range(0, len(body), step):
                out += framer.feed(body[at : at + step])
                assert body.startswith(out) and at + step - len(out) <= max(limit, 3) + step
            left = framer.close()
            assert out + left == body or (not left and len(body) - len(out) <= max(limit, 3) + step)

    class TestFrames:
        @pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
        @pytest.mark.parametrize("stream", **cases(RECORDED_STREAMS))
        def test_a_run_is_split_into_its_frames(self, stream: Fixture, ending: bytes) -> None:
            run = with_ending(stream.body, ending)
            found = cs.split_frames(run)
            assert b"".join(found) == run
            assert [payload for frame in found for payload in cs.payloads(frame)] == cs.payloads(run)
            if "single-newline" not in stream.name:
                assert len(found) == len([block for block in run.split(ending * 2) if block])

        @pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
        def test_frames_parted_by_single_newlines_are_frames_all_the_same(self, ending: bytes) -> None:
            run = with_ending(fixture("sambanova-single-newline").body, ending)
            found = cs.split_frames(run)
            assert b"".join(found) == run
            assert [len(cs.payloads(frame)) for frame in found] == [1] * len(events(run))

        @pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
        @pytest.mark.parametrize("stream", **cases(RECORDED_STREAMS))
        def test_the_data_of_each_event_is_found(self, stream: Fixture, ending: bytes) -> None:
            run = with_ending(stream.body, ending)
            assert cs.payloads(run) == events(run)

        @pytest.mark.parametrize(
            ("run", "found"),
            [
                (b"data: a\n\n", [b"a"]),
                (b"data:a\n\n", [b"a"]),
                (b"data:  a\n\n", [b" a"]),
                (b"data: a", [b"a"]),
                (b"data: a\n:", [b"a"]),
                (b"data: {}\ndata: {}\n\n", [b"{}", b"{}"]),
                (b'data: {"a":\ndata: 1}\n\n', [b'{"a":\n1}']),
                (b": data: a\n\nevent: data\nid: 1\n\n", []),
                (b"dataset: a\n\n", []),
                ("data: a\u2028b\u0085c\x0b\x0c\n\n".encode(), ["a\u2028b\u0085c\x0b\x0c".encode()]),
                (b"", []),
            ],
        )
        def test_data_is_read_to_the_letter(self, run: bytes, found: list[bytes]) -> None:
            assert cs.payloads(run) == found

        @pytest.mark.parametrize(
            ("kind", "frame"),
            [
                ("comment", b": OPENROUTER PROCESSING\n\n"),
                ("comment", b"\n"),
                ("comment", b"retry: 3000\n\n"),
                ("comment", b"event: ping\n\n"),
                ("done", DONE),
                ("done", b"data:[DONE]\r\n\r\n"),
                ("startup", chat_chunk({"role": "assistant"})),
                ("startup", chat_chunk({"role": "assistant", "content": ""})),
                ("startup", chat_chunk({"role": "assistant", "content": None, "tool_calls": None})),
                ("startup", chat_chunk({})),
                ("startup", chat_chunk(None)),
                ("startup", b"data: {}\n\n"),
                ("startup", chat_chunk({"role": "assistant"}, usage=None, error=None, x_groq={"id": "req_1"})),
                ("startup", b'event: response.created\ndata: {"type":"response.created"}\n\n'),
                ("startup", b'data: {"type":"response.in_progress"}\n\n'),
                ("startup", b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n'),
                ("startup", b'event: ping\ndata: {"type":"ping"}\n\n'),
                ("content", chat_chunk({"content": "a"})),
                ("content", chat_chunk({"content": " "})),
                ("content", chat_chunk({"reasoning": "a"})),
                ("content", chat_chunk({"reasoning_content": "a"})),
                ("content", chat_chunk({"tool_calls": [{"index": 0}]})),
                ("content", chat_chunk({"refusal": "no"})),
                ("content", chat_chunk({"x_unknown": 1})),
                ("content", chat_chunk({}, "stop")),
                ("content", chat_chunk({}, "")),
                ("content", chat_chunk(None, usage=USAGE)),
                ("content", b'data: {"choices":[{"index":0,"text":"a"}]}\n\n'),
                ("content", b'data: {"type":"content_block_delta","delta":{}}\n\n'),
                ("content", b"data: no json\n\n"),
                ("content", b"data: [1]\n\n"),
                ("content", b'data: {"choices":5}\n\n'),
                ("content", b'data: {"choices":true}\n\n'),
                ("content", b"data: " + b"[" * 100_000 + b"\n\n"),
                ("error", b'data: {"error":{"message":"x"}}\n\n'),
                ("error", b'data: {"error":"x"}\n\n'),
                ("error", b'event: error\ndata: {"type":"error","error":{}}\n\n'),
                ("error", chat_chunk({"content": ""}, "error", error={"code": 502})),
                ("error", chat_chunk({}, x_groq={"id": "req_1", "error": "over capacity"})),
                ("content", chat_chunk({"content": "error"})),
            ],
        )
        def test_a_frame_is_of_one_kind(self, kind: str, frame: bytes) -> None:
            assert cs.frame_kind(frame) == kind

        @pytest.mark.parametrize("stream", **cases(RECORDED_STREAMS))
        def test_a_stream_that_fails_before_content_shows_no_content(self, stream: Fixture) -> None:
            kinds = [cs.frame_kind(frame) for frame in cs.split_frames(stream.body)]
            told = [kind for kind in kinds if kind in ("content", "error", "done")]
            if stream.before_content:
                assert told == (["error"] if stream.ends == "error" else [])
            else:
                assert told[0] == "content"

        @FUZZ
        @given(anything)
        def test_any_json_has_a_kind(self, value: Any) -> None:
            frame = b"data: " + msgspec.json.encode(value) + b"\n\n"
            assert cs.frame_kind(frame) in ("startup", "content", "error")

    class TestStreamMeter:
        @pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
        @pytest.mark.parametrize("stream", **cases(RECORDED_STREAMS))
        def test_usage_and_cost_are_read_from_every_stream(self, stream: Fixture, ending: bytes) -> None:
            body = with_ending(stream.body, ending)
            for pieces in ([body], each_byte(body)):
                meter, out = metered(pieces, events=stream.has_events)
                assert body.startswith(out)
                assert (counts(meter.usage()) or (0, 0, 0, 0)) == (stream.usage or (0, 0, 0, 0))
                assert getattr(meter.usage(), "cost_usd", None) == stream.cost_usd
                assert meter.malformed == (stream.name == "generic-malformed-frame")
                assert meter.complete == (stream.ends != "cut")
                assert bool(meter.error) == (stream.ends == "error")
                assert (meter.said > 0) == (not stream.before_content and stream.name != "length-empty-stream")

        @pytest.mark.parametrize("hide", [False, True])
        @pytest.mark.parametrize("stream", **cases(RECORDED_STREAMS))
        def test_usage_is_the_same_at_every_cut_and_only_the_usage_frame_is_hidden(
            self, stream: Fixture, hide: bool
        ) -> None:
            body = stream.body
            seen = body[: body.rfind(b"\n\n") + 2] if "cut-inside" in stream.name else body
            expected = unasked_for(seen) if hide else seen
            for at in range(len(body) + 1):
                meter, out = metered([body[:at], body[at:]], hide, events=stream.has_events)
                assert out == expected
                assert counts(meter.usage()) == stream.usage or (stream.usage is None and meter.usage() is None)
                assert getattr(meter.usage(), "cost_usd", None) == stream.cost_usd

        @pytest.mark.parametrize(
            ("hidden", "frame"),
            [
                (True, chat_chunk(None, usage=USAGE)),
                (True, chat_chunk(None, usage=USAGE, system_fingerprint="fp", service_tier="x", x_groq={"id": "a"})),
                (True, b"data:" + chat_chunk(None, usage=USAGE)[6:]),
                (True, chat_chunk(None, usage=USAGE).replace(b"\n", b"\r\n")),
                (False, chat_chunk(None, usage=None)),
                (False, chat_chunk({}, "stop", usage=USAGE)),
                (False, chat_chunk({}, usage=USAGE)),
                (False, chat_chunk(None, usage=USAGE, x_future=1)),
                (False, chat_chunk(None, usage=USAGE, error={"message": "x"})),
                (False, chat_chunk(None, cost="0.1")),
                (False, b'data: {"usage":{"prompt_tokens":7}}\n\n'),
            ],
        )
        def test_only_a_frame_of_usage_alone_is_hidden_from_who_did_not_ask(self, hidden: bool, frame: bytes) -> None:
            before, after = chat_chunk({"content": "a"}), DONE
            assert cs.StreamMeter(hide_usage=True).look(frame) == (b"" if hidden else frame)
            shown = before + after if hidden else before + frame + after
            assert cs.StreamMeter(hide_usage=True).look(before + frame + after) == shown
            assert cs.StreamMeter(hide_usage=False).look(before + frame + after) == before + frame + after

        def test_a_usage_frame_between_single_newlines_takes_no_neighbour_with_it(self) -> None:
            content, usage = chat_chunk({"content": "a"})[:-1], chat_chunk(None, usage=USAGE)[:-1]
            assert cs.StreamMeter(hide_usage=True).look(content + usage) == content
            assert cs.StreamMeter(hide_usage=True).look(content + usage + DONE) == content + DONE

        def test_the_last_usage_wins_and_nothing_is_summed(self) -> None:
            meter = cs.StreamMeter(hide_usage=False)
            for prompt in (5, 9):
                meter.look(chat_chunk({}, usage={"prompt_tokens": prompt, "completion_tokens": 1}))
            meter.look(chat_chunk({}, usage=None))
            assert counts(meter.usage()) == (9, 1, 0, 0)

        @pytest.mark.parametrize("at_once", [False, True])
        @pytest.mark.parametrize(
            "empty", [{}, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, {"total_tokens": 0}, [], ""]
        )
        def test_a_usage_of_nothing_does_not_undo_a_real_one(self, empty: Any, at_once: bool) -> None:
            meter = cs.StreamMeter(hide_usage=False)
            run = [chat_chunk({"content": "a"}, "stop", usage=USAGE), chat_chunk(None, usage=empty), DONE]
            for piece in [b"".join(run)] if at_once else run:
                meter.look(piece)
            assert counts(meter.usage()) == (7, 2, 0, 0)

        def test_what_was_said_is_counted_in_characters_and_frames(self) -> None:
            meter = cs.StreamMeter(hide_usage=False)
            meter.look(chat_chunk({"role": "assistant", "content": ""}) + chat_chunk({"content": "größe"}))
            meter.look(chat_chunk({"reasoning": "ab"}) + chat_chunk({"reasoning_content": "c"}))
            assert (meter.said, meter.frames) == (8, 3)
            meter.look(b'data: {"choices":[{"text":"legacy"}]}\n\n')
            assert (meter.said, meter.frames) == (14, 4)

        def test_the_usage_at_the_top_wins_over_groqs_own(self) -> None:
            for order in (1, -1):
                meter = cs.StreamMeter(hide_usage=False)
                both = [chat_chunk({}, usage=USAGE), chat_chunk({}, x_groq={"usage": {**USAGE, "prompt_tokens": 99}})]
                meter.look(b"".join(both[::order]))
                assert (found := meter.usage()) is not None
                assert found.prompt == USAGE["prompt_tokens"]

        def test_an_event_without_data_among_others_leaves_each_frame_its_place(self) -> None:
            meter = cs.StreamMeter(hide_usage=True)
            shown = chat_chunk({"content": "a"}) + b"data: \n\n"
            assert meter.look(shown + chat_chunk(None, usage=USAGE)) == shown

        def test_what_follows_done_does_not_undo_it(self) -> None:
            meter = cs.StreamMeter(hide_usage=True)
            for run in (chat_chunk({"content": "a"}) + DONE, chat_chunk({"content": "b"}) * 2):
                assert meter.look(run) == run
                assert meter.done

        def test_a_frame_of_a_shape_we_do_not_know_still_tells_usage_and_end(self) -> None:
            meter = cs.StreamMeter(hide_usage=False)
            frame = {"choices": [{"delta": {"content": [{"type": "text", "text": "a"}]}, "finish_reason": "stop"}]}
            meter.look(b"data: " + json.dumps({**frame, "usage": USAGE}).encode() + b"\n\n")
            assert counts(meter.usage()) == (7, 2, 0, 0)

        @FUZZ
        @given(st.lists(anything, max_size=4), st.booleans())
        def test_any_json_is_looked_at_without_harm(self, values: list[Any], hide: bool) -> None:
            meter = cs.StreamMeter(hide_usage=hide)
            run = b"".join(b"data: " + msgspec.json.encode(value) + b"\n\n" for value in values)
            out = meter.look(run)
            assert out == run or hide
            assert meter.malformed == 0
            usage = meter.usage()
            assert usage is None or min(counts(usage) or ()) >= 0

        def test_json_nested_too_deeply_passes_as_malformed(self) -> None:
            meter = cs.StreamMeter(hide_usage=True)
            run = b'data: {"x":' + b"[" * 200_000 + b"\n\n"
            assert meter.look(run) == run
            assert meter.malformed == 1

    class TestUsageShapes:
        @pytest.mark.parametrize(
            ("raw", "expected"),
            [
                (b"", None),
                (b"null", None),
                (b"{}", None),
                (b"5", None),
                (b'{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}', None),
                (b'{"prompt_tokens":7,"completion_tokens":2}', (7, 2, 0, 0)),
                (b'{"prompt_tokens":7,"completion_tokens":null}', (7, 0, 0, 0)),
                (b'{"prompt_tokens":7.0,"completion_tokens":2.0}', (7, 2, 0, 0)),
                (b'{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":null}', (7, 2, 0, 0)),
                (
                    b'{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":5}}',
                    (7, 2, 5, 0),
                ),
                (
                    b'{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":9}}',
                    (7, 2, 7, 0),
                ),
                (
                    b'{"prompt_tokens":7,"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":9}}',
                    (7, 2, 0, 2),
                ),
                (b'{"prompt_tokens":7,"completion_tokens":2,"prompt_cache_hit_tokens":3}', (7, 2, 3, 0)),
                (b'{"input_tokens":7,"output_tokens":2,"input_tokens_details":{"cached_tokens":1}}', (7, 2, 1, 0)),
                (b'{"prompt_tokens":-7,"completion_tokens":2}', (0, 2, 0, 0)),
                (b'{"prompt_tokens":"7","completion_tokens":2}', (0, 2, 0, 0)),
                (b'{"prompt_tokens":7,"prompt_tokens_details":[1]}', (7, 0, 0, 0)),
            ],
        )
        def test_usage_is_read(self, raw: bytes, expected: Any) -> None:
            assert counts(cs.read_usage(raw)) == expected

        @pytest.mark.parametrize(
            ("raw", "cost", "usd"),
            [
                (b'{"prompt_tokens":7,"cost":0.25}', b"", 0.25),
                (b'{"prompt_tokens":7,"cost":"0.25"}', b"", 0.25),
                (b'{"prompt_tokens":7}', b'"0.00004120"', 0.0000412),
                (b'{"prompt_tokens":7,"cost":1}', b"0.5", 0.5),
                (b'{"prompt_tokens":7}', b"null", None),
                (b'{"prompt_tokens":7,"cost":0}', b"", 0.0),
                (b'{"prompt_tokens":7,"cost":-1}', b"", None),
                (b'{"prompt_tokens":7,"cost":true}', b"", None),
                (b'{"prompt_tokens":7,"cost":"much"}', b"", None),
                (b'{"prompt_tokens":7,"cost":"nan"}', b"", None),
                (b'{"prompt_tokens":7,"cost":1%b}' % (b"0" * 400), b"", None),
                (b'{"prompt_tokens":7}', b"1" + b"0" * 400, None),
                (b"", b'"0.5"', 0.5),
            ],
        )
        def test_a_routers_own_cost_is_read(self, raw: bytes, cost: bytes, usd: float | None) -> None:
            usage = cs.read_usage(raw, cost)
            assert usage is not None and usage.cost_usd == usd

        @pytest.mark.parametrize(
            "number", [b"99999999999999999999", b"1e300", b"1" + b"0" * 400, b"9223372036854775807"]
        )
        def test_an_absurd_count_cannot_break_the_ledger(self, number: bytes) -> None:
            for shape in (
                b'{"prompt_tokens":%b}',
                b'{"input_tokens":%b}',
                b'{"prompt_tokens":1,"completion_tokens":%b}',
            ):
                usage = cs.read_usage(shape % number)
                assert usage is None or max(counts(usage) or ()) <= COUNT_MAX

        @FUZZ
        @given(anything, anything)
        def test_any_json_is_usage_or_none(self, value: Any, cost: Any) -> None:
            usage = cs.read_usage(msgspec.json.encode(value), msgspec.json.encode(cost))
            if usage is not None:
                assert 0 <= usage.cached <= usage.prompt and 0 <= usage.reasoning <= usage.completion
                assert usage.cost_usd is None or 0 <= usage.cost_usd < math.inf

        @pytest.mark.parametrize(
            ("tail", "expected"),
            [
                (b'..."}]}],"usage":{"prompt_tokens":7,"completion_tokens":2},"x":"}', (7, 2, 0, 0)),
                (b'"usage": {"prompt_tokens": 7, "prompt_tokens_details": {"cached_tokens": 3}}}', (7, 0, 3, 0)),
                (b'"content":"\\"usage\\": {}"}', None),
                (b'"usage":{"prompt_tok', None),
                (b'"usage":null}', None),
                (b"", None),
            ],
        )
        def test_usage_is_found_in_the_tail_of_a_large_answer(self, tail: bytes, expected: Any) -> None:
            assert counts(cs.read_tail_usage(tail)) == expected

    class TestAnswers:
        @pytest.mark.parametrize(
            "answer",
            **cases([f for f in FIXTURES if f.status == 200 and f not in RECORDED_STREAMS and "models" not in f.name]),
        )
        def test_an_answer_gives_its_usage_or_its_fault(self, answer: Fixture) -> None:
            usage, fault = cs.read_answer("chat", answer.body)
            if answer.error is None:
                assert fault is None
                assert counts(usage) == answer.usage
                assert usage is not None and usage.cost_usd == answer.cost_usd
            else:
                assert fault is not None and fault.status >= 500
                assert answer.error in fault.message and fault.code == answer.code

        @pytest.mark.parametrize(
            ("body", "code"),
            [
                (b"", "bad_upstream_answer"),
                (b"<html>", "bad_upstream_answer"),
                (b"[]", "bad_upstream_answer"),
                (b"{", "bad_upstream_answer"),
                (b'{"choices":' + b"[" * 100_000, "bad_upstream_answer"),
                (b"{}", "empty_response"),
                (b'{"choices":null}', "empty_response"),
                (b'{"choices":[]}', "empty_response"),
                (b'{"choices":[ ]}', "empty_response"),
            ],
        )
        def test_a_200_that_is_no_answer_is_a_fault_of_the_router(self, body: bytes, code: str) -> None:
            usage, fault = cs.read_answer("chat", body)
            assert usage is None and fault is not None
            assert (fault.kind, fault.status, fault.code) == ("provider_error", 502, code)

        @pytest.mark.parametrize("error", [b"null", b"{}", b'""', b"false"])
        def test_an_empty_error_beside_choices_is_none(self, error: bytes) -> None:
            assert cs.read_answer("chat", b'{"choices":[1],"error":%b}' % error) == (None, None)

        def test_embeddings_have_no_choices(self) -> None:
            usage, fault = cs.read_answer("embeddings", b'{"data":[],"usage":{"prompt_tokens":3,"total_tokens":3}}')
            assert fault is None and counts(usage) == (3, 0, 0, 0)

        @FUZZ
        @given(st.binary(max_size=20) | anything.map(msgspec.json.encode))
        def test_any_body_is_an_answer_or_a_fault(self, body: bytes) -> None:
            _, fault = cs.read_answer("chat", body)
            assert fault is None or (fault.message and 400 <= fault.status <= 599 and fault.kind in cs.ERROR_TYPES)

    class TestFaults:
        @pytest.mark.parametrize("refusal", **cases(REFUSALS))
        def test_every_error_body_keeps_its_sentence_and_code(self, refusal: Fixture) -> None:
            fault = cs.read_fault(refusal.status, refusal.body)
            assert " ".join((refusal.error or "").split()) in fault.message
            assert fault.message
            assert fault.kind in cs.ERROR_TYPES
            if refusal.code is not None:
                assert fault.code == refusal.code

        @pytest.mark.parametrize(
            ("name", "status", "kind"),
            [
                ("zen-401-modelerror", 404, "caller_model_unknown"),
                ("zen-401-credits", 401, "provider_billing"),
                ("zen-429-midnight", 429, "provider_rate_limited"),
                ("zen-429-go-limit", 429, "provider_billing"),
                ("zen-400-upstream-failed", 502, "provider_error"),
                ("groq-429-durations", 429, "provider_rate_limited"),
                ("cerebras-429-day", 429, "provider_rate_limited"),
                ("together-error-string", 400, "caller_invalid_request"),
                ("together-503", 503, "provider_overloaded"),
                ("together-400-rate-limit", 429, "provider_rate_limited"),
                ("fireworks-fault", 429, "provider_rate_limited"),
                ("fireworks-detail", 404, "caller_model_unknown"),
                ("openrouter-402", 402, "provider_billing"),
                ("openrouter-429-reset-ms", 429, "provider_rate_limited"),
                ("llamacpp-503-loading", 503, "provider_overloaded"),
                ("error-openai-object", 400, "caller_invalid_request"),
                ("error-int-code", 404, "caller_model_unknown"),
                ("error-anthropic-shape", 529, "provider_overloaded"),
                ("error-bare-string", 503, "provider_overloaded"),
                ("error-top-level-message", 401, "provider_auth"),
                ("error-detail-string", 403, "provider_auth"),
                ("error-detail-array", 422, "caller_invalid_request"),
                ("error-cerebras-status-code", 500, "provider_error"),
                ("error-html", 502, "provider_error"),
                ("error-not-utf8", 429, "provider_rate_limited"),
                ("error-empty-body", 500, "provider_error"),
            ],
        )
        def test_an_error_is_of_its_kind(self, name: str, status: int, kind: str) -> None:
            fault = cs.read_fault(fixture(name).status, fixture(name).body)
            assert (fault.status, fault.kind) == (status, kind)

        @pytest.mark.parametrize(
            ("name", "status", "kind"),
            [
                ("cerebras-stream-error", 429, "provider_rate_limited"),
                ("groq-xgroq-error", 502, "provider_error"),
                ("openrouter-midstream-error", 502, "provider_error"),
                ("openrouter-error-before-content", 502, "provider_error"),
            ],
        )
        def test_an_error_inside_a_stream_gets_the_status_it_speaks_of(self, name: str, status: int, kind: str) -> None:
            meter, _ = metered([fixture(name).body])
            fault = cs.read_fault(200, meter.error)
            assert (fault.status, fault.kind) == (status, kind)
            assert fixture(name).error in fault.message and fault.code == fixture(name).code

        def test_the_fields_of_openais_shape_survive(self) -> None:
            fault = cs.read_fault(400, fixture("error-openai-object").body)
            assert (fault.type, fault.param) == ("invalid_request_error", "messages")

        @pytest.mark.parametrize(
            "body",
            [
                {"errors": [{"message": "m"}]},
                {"errors": [{"message": "m"}, {"message": "n"}]},
                {"error": [{"message": "m"}]},
                {"error": [{"message": "m", "code": "c", "type": "t"}], "success": False},
            ],
        )
        def test_a_list_of_errors_tells_its_first_sentence(self, body: dict[str, Any]) -> None:
            fault = cs.read_fault(400, json.dumps(body).encode())
            assert (fault.message, fault.status, fault.kind) == ("m", 400, "caller_invalid_request")

        def test_a_sentence_is_one_printable_line_of_bounded_length(self) -> None:
            body = json.dumps(
                {"error": {"message": "a\x1b[31m\r\nb\x00\u202e" + "x" * 9000, "code": "c" * 999}}
            ).encode()
            fault = cs.read_fault(500, body)
            assert fault.message.isprintable() and len(fault.message) <= 2000
            assert fault.code is not None and len(fault.code) <= 100

        @pytest.mark.parametrize("piece", [b"<", b"<script>", b"<style ", b"<title>", b"</", b"&", b"\n"])
        def test_64_kib_of_anything_are_read_at_once(self, piece: bytes) -> None:
            began = time.perf_counter()
            cs.read_fault(500, (piece * 65536)[:65536])
            assert time.perf_counter() - began < 0.5  # in the event loop; a few ms is right

        @FUZZ
        @given(
            st.sampled_from([200, 400, 401, 429, 500, 302]), st.binary(max_size=20) | anything.map(msgspec.json.encode)
        )
        def test_any_body_gives_a_fault(self, status: int, body: bytes) -> None:
            fault = cs.read_fault(status, body)
            assert fault.message and fault.kind in cs.ERROR_TYPES
            if status == 200:
                assert 400 <= fault.status <= 599

        @pytest.mark.parametrize(
            "detail", [[{"loc": 5, "msg": "x"}], [{"loc": None}], [None], {"a": 1}, {"message": 5}, 5]
        )
        def test_a_detail_of_any_shape_gives_a_sentence(self, detail: Any) -> None:
            assert cs.read_fault(422, json.dumps({"detail": detail}).encode()).message

    class TestCatalogs:
        def test_a_bare_array_is_a_catalogue(self) -> None:
            first, second = cs.read_catalog(fixture("together-array-models").body, "million", 100)
            assert first == cs.Model(
                id="meta-llama/Llama-3.3-70B-Instruct-Turbo",
                name="Meta Llama 3.3 70B Instruct Turbo",
                created=1_733_466_629,
                owned_by="Meta",
                context_length=131_072,
                price=cs.Price(pytest.approx(0.88e-6), pytest.approx(0.88e-6)),
            )
            assert second.id == "BAAI/bge-large-en-v1.5"

        def test_prices_may_be_text_per_token(self) -> None:
            pricing = {"prompt": "0.00000125", "completion": "0.00001", "input_cache_read": "0.000000125", "image": "0"}
            body = {"data": [{"id": "a/b:free", "name": "A", "pricing": pricing, "context_length": 9, "created": 1}]}
            body["data"][0]["top_provider"] = {"max_completion_tokens": 5}
            (model,) = cs.read_catalog(json.dumps(body).encode(), "token", 100)
            assert model.price == cs.Price(1.25e-6, 1e-5, 1.25e-7)
            assert (model.context_length, model.max_output) == (9, 5)

        def test_prices_may_be_numbers_per_token(self) -> None:
            entry = {
                "id": "Meta-Llama-3.3-70B-Instruct", "context_length": 131072, "max_completion_tokens": 3072,
                "pricing": {"prompt": 0.0000006, "completion": 0.0000012, "duration_per_hour": 0}, "sn_metadata": {},
            }  # fmt: skip
            (model,) = cs.read_catalog(json.dumps({"object": "list", "data": [entry]}).encode(), "token", 100)
            assert (model.price, model.max_output) == (cs.Price(6e-7, 1.2e-6), 3072)

        @pytest.mark.parametrize(
            ("pricing", "unit"),
            [
                ({"prompt": "-1", "completion": "-1"}, "token"),  # OpenRouter's own router: it depends
                ({"prompt": [{"cost": 1}], "completion": "1"}, "token"),
                ({"prompt": "1"}, "token"),
                ({"prompt": "1", "completion": "inf"}, "token"),
                ({"prompt": True, "completion": 1}, "token"),
                ({"prompt": 10**400, "completion": 1}, "token"),
                ("free", "token"),
                ({"prompt": "1", "completion": "1"}, ""),
            ],
        )
        def test_a_price_that_is_none_is_unknown(self, pricing: Any, unit: str) -> None:
            (model,) = cs.read_catalog(json.dumps([{"id": "m", "pricing": pricing}]).encode(), unit, 100)
            assert model.price is None

        def test_entries_without_a_usable_id_are_left_out(self) -> None:
            entries = [
                5, None, [], {}, {"id": 5}, {"id": ""}, {"id": "a\nb"}, {"id": "x" * 301}, {"id": "\u202e"},
                {"id": "good", "created": "soon", "context_length": "big", "top_provider": 5, "owned_by": ["x"]}, "bare",
                {"id": "good", "created": 7.9},
            ]  # fmt: skip
            found = cs.read_catalog(json.dumps({"data": entries}).encode(), "token", 100)
            assert [(model.id, model.created) for model in found] == [("good", 7), ("bare", 0)]

        def test_a_catalogue_is_bounded(self) -> None:
            assert len(cs.read_catalog(json.dumps([f"m{n}" for n in range(50)]).encode(), "", 10)) == 10

        @pytest.mark.parametrize(
            "body", [b"", b"{", b"5", b'"x"', b"{}", b'{"data":{}}', b'{"error":"x"}', b"[" * 100_000, b'["\xff"]']
        )
        def test_what_is_no_catalogue_is_refused(self, body: bytes) -> None:
            with pytest.raises(ValueError, match=r"."):
                cs.read_catalog(body, "token", 100)

        @FUZZ
        @given(anything | st.lists(st.dictionaries(names, anything, max_size=4), max_size=3))
        def test_any_json_is_a_catalogue_or_refused(self, value: Any) -> None:
            with contextlib.suppress(ValueError):
                for model in cs.read_catalog(msgspec.json.encode({"data": value}), "token", 100):
                    assert model.id.isprintable() and model.context_length >= 0
                    assert model.price is None or 0 <= model.price.prompt < math.inf

    class TestResponsesOverChat:
        """The official SDK is the judge of what comes out."""

        ASKED: Any = {"model": "m", "input": "hello"}
        SAID: Any = [{"role": "user", "content": "hello"}]
        FUNCTION: Any = {"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": True}
        CUSTOM: Any = {
            "type": "custom",
            "name": "apply_patch",
            "description": "patches",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
        }
        NAMESPACE: Any = {
            "type": "namespace",
            "name": "crm",
            "description": "customers",
            "tools": [{"type": "function", "name": "find", "parameters": {}}, {"type": "custom", "name": "note"}],
        }

        def over(self, **given: Any) -> cs.ResponsesOverChat:
            return cs.ResponsesOverChat(json.dumps({**self.ASKED, **given}).encode())

        def sent(self, **given: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
            over = self.over(**given)
            return json.loads(over.body), over.dropped

        def streamed(self, *runs: bytes, **given: Any) -> tuple[bytes, dict[str, Any] | None]:
            events = self.over(**given).events()
            return b"".join(map(events.feed, runs)) + events.finish(), events.response

        @staticmethod
        def found(made: bytes) -> list[dict[str, Any]]:
            """The events of a stream, each of which must be named as it says and numbered in order."""
            found = []
            for frame in made.split(b"\n\n")[:-1]:
                name, data = frame.split(b"\n")
                found.append(json.loads(data.removeprefix(b"data: ")))
                assert name == f"event: {found[-1]['type']}".encode()
            assert [one["sequence_number"] for one in found] == list(range(len(found)))
            return found

        @staticmethod
        @contextlib.contextmanager
        def sdk(answer: bytes, kind: str = "text/event-stream") -> Iterator[openai.OpenAI]:
            def act(request: Any) -> Any:
                return httpx2.Response(200, headers={"content-type": kind}, content=answer)

            http = openai.DefaultHttpxClient(transport=httpx2.MockTransport(act))
            with openai.OpenAI(
                api_key="k",
                base_url="http://x.example/v1",
                http_client=http,
                max_retries=0,
                _strict_response_validation=True,
            ) as client:
                yield client

        def judged(self, made: bytes, **given: Any) -> Any:
            """What the SDK puts together from a stream; each event must be one it knows."""
            with self.sdk(made) as client, client.responses.stream(**{**self.ASKED, **given}) as stream:
                return stream.get_final_response()

        @staticmethod
        def chat_call(name: str, arguments: str, call_id: str) -> dict[str, Any]:
            return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}

        @staticmethod
        def piece(index: int | None, arguments: str | None = None, **more: Any) -> dict[str, Any]:
            function = {
                key: value
                for key, value in (("name", more.pop("name", None)), ("arguments", arguments))
                if value is not None
            }
            at = {} if index is None else {"index": index}
            return {"tool_calls": [{**at, **more, "function": function}]}

        # -- requests

        @pytest.mark.parametrize(
            ("given", "sent", "dropped"),
            [
                ({}, {}, ()),
                ({"stream": True}, {"stream": True}, ()),
                ({"stream": False, "router": "groq"}, {"stream": False, "router": "groq"}, ()),
                ({"temperature": 0.5, "top_p": 1, "user": "u"}, {"temperature": 0.5, "top_p": 1, "user": "u"}, ()),
                ({"max_output_tokens": 7}, {"max_tokens": 7}, ()),
                ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}, ("reasoning.summary",)),
                ({"reasoning": {"effort": "none"}}, {}, ("reasoning.effort",)),
                ({"reasoning": {"effort": None, "summary": None}}, {}, ()),
                ({"text": {"format": {"type": "text"}, "verbosity": "medium"}}, {}, ()),
                ({"text": {"verbosity": "low"}}, {}, ("text.verbosity",)),
                ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}, ()),
                (
                    {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": True}}},
                    {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True}}},
                    (),
                ),
                (  # what Codex sends beside
                    {
                        "store": False, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "s",
                        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "metadata": {"a": "b"},
                    },
                    {},
                    ("include", "prompt_cache_key"),
                ),
                (
                    {
                        "truncation": "auto", "service_tier": "flex", "safety_identifier": "x", "max_tool_calls": 3,
                        "context_management": [{"type": "compaction"}], "top_logprobs": 2, "unheard_of": 1,
                    },
                    {},
                    (
                        "context_management", "max_tool_calls", "safety_identifier", "service_tier", "top_logprobs",
                        "truncation", "unheard_of",
                    ),
                ),
                (
                    {
                        "truncation": "disabled", "service_tier": "auto", "store": True, "background": False, "include": [],
                        "conversation": None, "prompt": None, "previous_response_id": "resp_1", "top_logprobs": 0,
                    },
                    {},
                    (),
                ),
            ],
        )  # fmt: skip
        def test_options_have_their_place_in_chat(self, given: Any, sent: Any, dropped: Any) -> None:
            assert self.sent(**given) == ({"model": "m", "messages": self.SAID, **sent}, dropped)

        @pytest.mark.parametrize(
            ("items", "said"),
            [
                ([{"type": "message", "role": "user", "content": "a"}], [{"role": "user", "content": "a"}]),
                ([{"role": "user", "content": []}], [{"role": "user", "content": ""}]),
                ([{"role": "user", "content": [{"type": "input_text", "text": "a"}]}], [{"role": "user", "content": "a"}]),
                (
                    [{"role": "user", "content": [
                        {"type": "input_text", "text": "a"},
                        {"type": "input_image", "image_url": "data:x", "detail": "high"},
                        {"type": "input_file", "file_data": "data:y", "filename": "y.pdf"},
                        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
                    ]}],
                    [{"role": "user", "content": [
                        {"type": "text", "text": "a"},
                        {"type": "image_url", "image_url": {"url": "data:x", "detail": "high"}},
                        {"type": "file", "file": {"filename": "y.pdf", "file_data": "data:y"}},
                        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
                    ]}],
                ),
                (  # many chat templates take one system message, at the start
                    [
                        {"role": "developer", "content": [{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}]},
                        {"role": "user", "content": "c"},
                        {"role": "system", "content": "d"},
                    ],
                    [
                        {"role": "system", "content": "a\n\nb"},
                        {"role": "user", "content": "c"},
                        {"role": "system", "content": "d"},
                    ],
                ),
                (
                    [
                        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [
                            {"type": "output_text", "text": "a", "annotations": [], "logprobs": []},
                            {"type": "refusal", "refusal": "b"},
                        ]},
                        {"type": "function_call", "id": "fc_1", "call_id": "1", "name": "f", "arguments": "{ }"},
                        {"type": "function_call", "call_id": "2", "name": "f", "arguments": "", "namespace": "crm"},
                        {"type": "custom_tool_call", "call_id": "3", "name": "p", "input": 'é"\n'},
                        {"role": "assistant", "content": "c"},
                        {"type": "function_call_output", "call_id": "1", "output": "r"},
                        {"type": "function_call_output", "call_id": "2", "output": [
                            {"type": "input_text", "text": "s"},
                            {"type": "input_image", "image_url": "data:x"},
                            {"type": "input_text", "text": "t"},
                        ]},
                        {"type": "custom_tool_call_output", "call_id": "3", "output": "u"},
                        {"type": "function_call", "call_id": "4", "name": "g", "arguments": "{}"},
                    ],
                    [
                        {"role": "assistant", "content": "abc", "tool_calls": [
                            chat_call("f", "{ }", "1"), chat_call("crm__f", "", "2"),
                            chat_call("p", '{"input":"é\\"\\n"}', "3"),
                        ]},
                        {"role": "tool", "tool_call_id": "1", "content": "r"},
                        {"role": "tool", "tool_call_id": "2", "content": "s\nt"},
                        {"role": "tool", "tool_call_id": "3", "content": "u"},
                        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]},
                        {"role": "assistant", "content": None, "tool_calls": [chat_call("g", "{}", "4")]},
                    ],
                ),
                (
                    [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}],
                    [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}],
                ),
            ],
        )  # fmt: skip
        def test_items_become_messages(self, items: Any, said: Any) -> None:
            body, dropped = self.sent(input=items)
            assert (body["messages"], dropped) == (said, ())

        def test_instructions_come_first(self) -> None:
            said = [{"role": "developer", "content": "b"}, {"role": "user", "content": "c"}]
            assert self.sent(input=said, instructions="a")[0]["messages"] == [
                {"role": "system", "content": "a\n\nb"}, {"role": "user", "content": "c"},
            ]  # fmt: skip

        @pytest.mark.parametrize(
            ("item", "dropped"),
            [
                ({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}, "reasoning"),
                ({"type": "web_search_call", "id": "1", "status": "completed", "action": {}}, "input.web_search_call"),
                ({"type": "tool_search_call", "arguments": {"a": 1}}, "input.tool_search_call"),
                ({"role": "user", "content": "x", "phase": "commentary"}, "input.phase"),
                (
                    {"role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": [{}]}]},
                    "input.content.annotations",
                ),
                (
                    {"role": "user", "content": [{"type": "input_image", "image_url": "u", "detail": "original"}]},
                    "input.content.detail",
                ),
            ],
        )
        def test_what_is_left_out_of_the_input_is_named(self, item: Any, dropped: str) -> None:
            body, names = self.sent(input=[*self.SAID, item, {"role": "user", "content": "b"}])
            assert names == (dropped,)
            assert (body["messages"][0], body["messages"][-1]) == (self.SAID[0], {"role": "user", "content": "b"})

        def test_tools_become_functions(self) -> None:
            hosted = [
                {"type": kind} for kind in ("web_search", "local_shell", "tool_search", "mcp", "image_generation")
            ]
            tools = [self.FUNCTION, *hosted, self.CUSTOM, self.NAMESPACE, {"type": "custom", "name": "free"}]
            body, dropped = self.sent(tools=tools, parallel_tool_calls=False)
            assert dropped == (
                "tools.image_generation", "tools.local_shell", "tools.mcp", "tools.namespace.description",
                "tools.tool_search", "tools.web_search",
            )  # fmt: skip
            assert body["parallel_tool_calls"] is False
            made = {tool["function"]["name"]: tool["function"] for tool in body["tools"]}
            assert list(made) == ["add", "apply_patch", "crm__find", "crm__note", "free"]
            assert made["add"] == {"name": "add", "parameters": {"type": "object"}, "strict": True}
            assert made["apply_patch"]["parameters"]["required"] == ["input"]
            assert made["apply_patch"]["description"] == (
                "patches\n\nThe input follows this lark grammar:\n\nstart: /.+/"
            )

        @pytest.mark.parametrize(
            ("choice", "sent", "names"),
            [
                ("auto", "auto", ["add", "apply_patch", "crm__find", "crm__note"]),
                ("none", "none", ["add", "apply_patch", "crm__find", "crm__note"]),
                ("required", "required", ["add", "apply_patch", "crm__find", "crm__note"]),
                (
                    {"type": "function", "name": "add"},
                    {"type": "function", "function": {"name": "add"}},
                    ["add", "apply_patch", "crm__find", "crm__note"],
                ),
                (
                    {"type": "custom", "name": "note"},
                    {"type": "function", "function": {"name": "crm__note"}},
                    ["add", "apply_patch", "crm__find", "crm__note"],
                ),
                (
                    {"type": "allowed_tools", "mode": "required", "tools": [
                        {"type": "custom", "name": "apply_patch"}, {"type": "mcp", "server_label": "x"}]},
                    "required",
                    ["apply_patch"],
                ),
                (
                    {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "namespace", "name": "crm"}]},
                    "auto",
                    ["crm__find", "crm__note"],
                ),
            ],
        )  # fmt: skip
        def test_the_choice_of_tools(self, choice: Any, sent: Any, names: Any) -> None:
            body, _ = self.sent(tools=[self.FUNCTION, self.CUSTOM, self.NAMESPACE], tool_choice=choice)
            assert (body["tool_choice"], [tool["function"]["name"] for tool in body["tools"]]) == (sent, names)

        def test_a_chosen_name_is_a_tool_outside_of_groups_first(self) -> None:
            tools = [self.NAMESPACE, {"type": "function", "name": "find"}]
            for more, name in (({}, "find"), ({"namespace": "crm"}, "crm__find")):
                body, _ = self.sent(tools=tools, tool_choice={"type": "function", "name": "find", **more})
                assert body["tool_choice"]["function"]["name"] == name

        def test_without_tools_nothing_is_said_of_them(self) -> None:
            choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}
            for tool_choice in ("auto", "none", choice):
                body, _ = self.sent(tools=[{"type": "web_search"}], tool_choice=tool_choice, parallel_tool_calls=True)
                assert body.keys() == {"model", "messages"}

        @pytest.mark.parametrize(
            ("given", "param"),
            [
                ({"input": None}, "input"),
                ({"input": []}, "input"),
                ({"input": 5}, "input"),
                ({"input": [5]}, "input[0]"),
                ({"model": 5}, "model"),
                ({"background": True}, "background"),
                ({"conversation": "c"}, "conversation"),
                ({"prompt": {"id": "p"}}, "prompt"),
                ({"max_output_tokens": 0}, "max_output_tokens"),
                ({"temperature": "hot"}, "temperature"),
                ({"reasoning": {"effort": 5}}, "reasoning.effort"),
                ({"text": {"format": {"type": "xml"}}}, "text.format"),
                ({"text": {"format": {"type": "json_schema"}}}, "text.format"),
                ({"text": {"format": 5}}, "text.format"),
                ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
                ({"input": [{"role": "user"}]}, "input[0]"),
                (
                    {"input": [{"role": "user", "content": [{"type": "input_text", "text": 5}]}]},
                    "input[0].content[0].text",
                ),
                (
                    {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
                    "input[0].content[0]",
                ),
                (
                    {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "f"}]}]},
                    "input[0].content[0]",
                ),
                ({"input": [{"role": "user", "content": [{"type": "hologram"}]}]}, "input[0].content[0]"),
                (
                    {"input": [{"role": "assistant", "content": [{"type": "input_image", "image_url": "u"}]}]},
                    "input[0].content[0]",
                ),
                ({"input": [{"type": "function_call", "call_id": "1", "name": "f"}]}, "input[0]"),
                ({"input": [{"type": "function_call", "call_id": "", "name": "f", "arguments": "{}"}]}, "input[0]"),
                ({"input": [{"type": "function_call_output", "call_id": "1", "output": 5}]}, "input[0].output"),
                ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0]"),
                ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
                ({"input": [{"id": "x"}]}, "input[0]"),
                ({"input": [{"type": 5}]}, "input[0]"),
                ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0]"),
                ({"input": [{"type": "web_search_call", "status": "in_progress"}]}, "input[0]"),
                ({"tools": [{"type": "function"}]}, "tools[0]"),
                ({"tools": [{"type": "function", "name": ""}]}, "tools[0].name"),
                ({"tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "f"}]}, "tools[1].name"),
                ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}]}, "tools[0].tools[0]"),
                ({"tool_choice": "required"}, "tool_choice"),
                ({"tool_choice": "any"}, "tool_choice"),
                ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
                ({"tool_choice": {"type": "web_search"}, "tools": [{"type": "web_search"}]}, "tool_choice"),
                ({"tool_choice": {"type": "allowed_tools", "mode": []}}, "tool_choice.tools"),
                ({"tool_choice": {"type": "allowed_tools", "mode": [], "tools": []}}, "tool_choice"),
            ],
        )
        def test_what_cannot_be_carried_over_is_refused(self, given: Any, param: str) -> None:
            with pytest.raises(cs.BadRequest) as caught:
                self.over(**given)
            assert (caught.value.status, caught.value.param) == (400, param)
            assert caught.value.message

        @pytest.mark.parametrize("asked", [b"", b"{", b"[]", b'{"input":"\xff"}', b'{"input":' + b"[" * 100_000])
        def test_what_is_no_request_is_refused(self, asked: bytes) -> None:
            with pytest.raises(cs.BadRequest):
                cs.ResponsesOverChat(asked)

        def test_depth_is_refused_or_told_again(self) -> None:
            chunk = chat_chunk({"content": "x"})
            for depth in range(600, 1100, 7):
                asked = b'{"input":"x","metadata":%b%b}' % (b'{"a":' * depth + b"1", b"}" * depth)
                with contextlib.suppress(cs.BadRequest):
                    events = cs.ResponsesOverChat(asked).events()
                    assert events.feed(chunk) and events.finish()

        @FUZZ
        @given(st.dictionaries(
            st.sampled_from(["input", "tools", "tool_choice", "text", "reasoning", "metadata", "instructions", "other"]),
            anything | st.lists(st.dictionaries(
                st.sampled_from(["type", "role", "content", "name", "call_id", "output", "arguments", "tools"]),
                anything | st.sampled_from(["function_call", "function", "custom", "namespace", "message", "user"])
                | st.lists(st.dictionaries(names, anything, max_size=3), max_size=2),
                max_size=5), max_size=3)))  # fmt: skip
        def test_any_request_is_carried_over_or_refused(self, given: Any) -> None:
            with contextlib.suppress(cs.BadRequest):
                body = json.loads(cs.ResponsesOverChat(msgspec.json.encode({**self.ASKED, **given})).body)
                assert body["model"] == "m" and body["messages"]

        # -- whole answers

        def whole(self, message: Any, finish: str = "stop", **given: Any) -> Any:
            """A whole answer as the SDK reads it, strictly."""
            choice = {"index": 0, "message": message, "finish_reason": finish}
            answer = {"id": "c", "created": 7, "model": "big", "choices": [choice], "usage": given.pop("usage", None)}
            made = self.over(**given).whole(json.dumps(answer).encode())
            with self.sdk(made, "application/json") as client:
                response = client.responses.create(**{**self.ASKED, **given})
            type(response).model_validate(json.loads(made), strict=False)
            return response

        def test_a_whole_answer(self) -> None:
            calls = [
                self.chat_call("add", '{"a": 1}', "x"),
                self.chat_call("apply_patch", '{"input": "é\\n"}', "y"),
                self.chat_call("crm__find", "", "z"),
            ]
            message = {"role": "assistant", "content": "hi", "reasoning_content": "hm", "tool_calls": calls}
            usage = {
                "prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 2},
            }  # fmt: skip
            tools = [self.FUNCTION, self.CUSTOM, self.NAMESPACE]
            answer = self.whole(message, usage=usage, tools=tools)
            assert (answer.status, answer.model, answer.created_at, answer.output_text) == ("completed", "big", 7, "hi")
            assert answer.id.startswith("resp_")
            assert (answer.error, answer.incomplete_details) == (None, None)
            reasoning, said, function, custom, spaced = answer.output
            assert (reasoning.content[0].text, reasoning.summary, reasoning.id[:3]) == ("hm", [], "rs_")
            assert (said.role, said.status, said.id[:4]) == ("assistant", "completed", "msg_")
            assert (function.call_id, function.name, function.arguments) == ("x", "add", '{"a": 1}')
            assert (custom.type, custom.call_id, custom.name, custom.input) == (
                "custom_tool_call", "y", "apply_patch", "é\n",
            )  # fmt: skip
            assert (spaced.namespace, spaced.name, spaced.arguments, spaced.call_id) == ("crm", "find", "{}", "z")
            assert answer.usage.to_dict() == {
                "input_tokens": 9, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
                "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 14,
            }  # fmt: skip

        def test_what_was_asked_is_told_again(self) -> None:
            given = {
                "instructions": "be terse", "metadata": {"a": "b"}, "parallel_tool_calls": False, "temperature": 0.5,
                "top_p": 0.25, "tool_choice": "required", "tools": [self.FUNCTION], "max_output_tokens": 9,
                "previous_response_id": "resp_1", "store": False, "text": {"verbosity": "low"},
                "truncation": "auto", "user": "u", "reasoning": {"effort": "low"},
            }  # fmt: skip
            told = self.whole({"content": "x"}, **given).to_dict()
            assert told["text"] == {"format": {"type": "text"}, "verbosity": "low"}
            assert told["reasoning"] == {"effort": "low", "summary": None}
            assert {name: told[name] for name in given if name not in ("text", "reasoning")} == {
                name: value for name, value in given.items() if name not in ("text", "reasoning")
            }

        @pytest.mark.parametrize(
            ("finish", "status", "reason"),
            [
                ("stop", "completed", None), ("tool_calls", "completed", None),
                ("length", "incomplete", "max_output_tokens"), ("content_filter", "incomplete", "content_filter"),
            ],
        )  # fmt: skip
        def test_how_an_answer_ended(self, finish: str, status: str, reason: str | None) -> None:
            answer = self.whole({"content": "x", "reasoning": "hm"}, finish)
            assert (answer.status, answer.output[1].status) == (status, status)
            assert (answer.incomplete_details and answer.incomplete_details.reason) == reason
            assert answer.usage is None

        def test_a_refusal_is_a_part_of_its_own(self) -> None:
            (item,) = self.whole({"content": None, "refusal": "I can't"}).output
            assert item.content[0].to_dict() == {"type": "refusal", "refusal": "I can't"}

        @pytest.mark.parametrize(
            ("arguments", "given"),
            [
                ('{"input":"a\\ud83d\\ude00"}', "a😀"), ("*** Begin Patch", "*** Begin Patch"),
                ('{"input": 5}', '{"input": 5}'), ('{"input":"a\nb"}', "a\nb"), ('{"input":"a', '{"input":"a'), ("[]", "[]"),
                ("", ""),
            ],
        )  # fmt: skip
        def test_a_custom_tool_gets_its_text(self, arguments: str, given: str) -> None:
            answer = self.whole({"tool_calls": [self.chat_call("apply_patch", arguments, "1")]}, tools=[self.CUSTOM])
            assert answer.output[0].input == given

        @pytest.mark.parametrize(
            "answer",
            [
                b"", b"{", b"5", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[5]}', b'{"choices":[{}]}', b'{"choices":5}',
                b'{"choices":[{"message":5}]}', b'{"choices":[{"message":{"tool_calls":[5]}}]}', b"\xff", b"[" * 100_000,
                b'{"choices":[{"text":"x"}]}',
            ],
        )  # fmt: skip
        def test_an_answer_that_is_none_is_an_error(self, answer: bytes) -> None:
            with pytest.raises(cs.UpstreamFailed) as caught:
                self.over().whole(answer)
            assert caught.value.code == "bad_upstream_answer"

        def test_an_error_behind_a_200_is_the_clients(self) -> None:
            with pytest.raises(cs.UpstreamFailed, match="slow down") as caught:
                self.over().whole(b'{"error":{"message":"slow down","code":429}}')
            assert caught.value.status == 429

        # -- streams

        def test_a_golden_stream(self) -> None:
            chunks = [
                chat_chunk({"role": "assistant", "content": ""}),
                chat_chunk({"reasoning": "h"}),
                chat_chunk({"reasoning_content": "m"}),
                chat_chunk({"content": "one "}),
                chat_chunk({"content": "two"}),
                chat_chunk(self.piece(0, "", id="a", name="add")),
                chat_chunk(self.piece(0, '{"a"')),
                chat_chunk(self.piece(1, '{"input"', id="b", name="apply_patch")),
                chat_chunk(self.piece(0, ":1}")),
                chat_chunk(self.piece(1, ':"p"}')),
                chat_chunk({}, "tool_calls"),
                chat_chunk(None, usage={"prompt_tokens": 7, "completion_tokens": 2}),
                DONE,
            ]
            tools = [self.FUNCTION, self.CUSTOM]
            made, response = self.streamed(*chunks, tools=tools)
            found = self.found(made)
            assert [(one["type"].removeprefix("response."), one.get("output_index")) for one in found] == [
                ("created", None), ("in_progress", None),
                ("output_item.added", 0), ("content_part.added", 0), ("reasoning_text.delta", 0), ("reasoning_text.delta", 0),
                ("reasoning_text.done", 0), ("content_part.done", 0), ("output_item.done", 0),
                ("output_item.added", 1), ("content_part.added", 1), ("output_text.delta", 1), ("output_text.delta", 1),
                ("output_text.done", 1), ("content_part.done", 1), ("output_item.done", 1),
                ("output_item.added", 2), ("function_call_arguments.delta", 2), ("output_item.added", 3),
                ("function_call_arguments.delta", 2),
                ("function_call_arguments.done", 2), ("output_item.done", 2),
                ("custom_tool_call_input.delta", 3), ("custom_tool_call_input.done", 3), ("output_item.done", 3),
                ("completed", None),
            ]  # fmt: skip
            assert [one["delta"] for one in found if "delta" in one] == ["h", "m", "one ", "two", '{"a"', ":1}", "p"]
            assert found[-1]["response"] == response
            assert [one["item"] for one in found if one["type"].endswith("item.done")] == response["output"]
            for one in found:
                if "item_id" in one:
                    assert one["item_id"] == response["output"][one["output_index"]]["id"]
            judged = self.judged(made, tools=tools)
            assert (judged.output_text, judged.usage.total_tokens, judged.created_at) == ("one two", 9, 1)
            assert [item.type for item in judged.output] == [
                "reasoning",
                "message",
                "function_call",
                "custom_tool_call",
            ]
            assert (judged.output[2].arguments, judged.output[2].parsed_arguments) == ('{"a":1}', {"a": 1})
            assert judged.output[3].input == "p"

        def test_the_sdk_sees_every_delta(self) -> None:
            made, _ = self.streamed(*[chat_chunk({"content": word}) for word in WORDS], chat_chunk({}, "stop"), DONE)
            with self.sdk(made) as client, client.responses.stream(**self.ASKED) as stream:
                snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
            assert snapshots == ["one ", "one two ", "one two three"]

        def test_the_sdk_parses_what_has_a_schema(self) -> None:
            made, _ = self.streamed(chat_chunk({"content": '{"a":'}), chat_chunk({"content": "5}"}), DONE)
            assert self.judged(made, text_format=pydantic.create_model("Found", a=int)).output_parsed.a == 5

        def test_words_after_a_call_are_a_new_item(self) -> None:
            chunks = [
                chat_chunk({"content": "a"}),
                chat_chunk(self.piece(0, '{"x"', id="1", name="f")),
                chat_chunk({"content": "b"}),
                chat_chunk(self.piece(0, ":1}")),
                chat_chunk({"content": "c"}),
                chat_chunk({"reasoning": "d"}),
                chat_chunk({"refusal": "e"}),
            ]
            judged = self.judged(self.streamed(*chunks)[0])
            assert [item.type for item in judged.output] == [
                "message",
                "function_call",
                "message",
                "reasoning",
                "message",
            ]
            assert (judged.output_text, judged.output[1].arguments) == ("abc", '{"x":1}')
            assert judged.output[4].content[0].refusal == "e"

        @pytest.mark.parametrize("index", [None, 0], ids=["none", "the same"])
        def test_a_new_id_is_a_new_call(self, index: int | None) -> None:
            pieces = [
                self.piece(index, '{"a"', id="1", name="f"), self.piece(index, ":1}"),
                self.piece(index, '{"b"', id="2", name="g"), self.piece(index, ":2}"),
            ]  # fmt: skip
            made = self.judged(self.streamed(*map(chat_chunk, pieces))[0]).output
            assert [(call.call_id, call.name, call.arguments) for call in made] == [
                ("1", "f", '{"a":1}'), ("2", "g", '{"b":2}'),
            ]  # fmt: skip

        def test_a_name_without_index_and_id_is_a_new_call(self) -> None:
            pieces = [self.piece(None, "{}", name="f"), self.piece(None, '{"b"', name="g"), self.piece(None, ":2}")]
            made = self.judged(self.streamed(*map(chat_chunk, pieces))[0]).output
            assert [(call.name, call.arguments) for call in made] == [("f", "{}"), ("g", '{"b":2}')]

        def test_a_call_waits_for_its_name_and_gets_an_id(self) -> None:
            pieces = [self.piece(0, '{"a"'), self.piece(0, ":"), self.piece(0, "1", name="f"), self.piece(0, "}")]
            (call,) = self.judged(self.streamed(*map(chat_chunk, pieces))[0]).output
            assert (call.name, call.arguments, call.call_id[:5]) == ("f", '{"a":1}', "call_")
            (unnamed,) = self.judged(self.streamed(chat_chunk(pieces[0]))[0]).output
            assert (unnamed.name, unnamed.arguments) == ("", '{"a"')

        @pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter",) * 2])
        def test_a_stream_cut_short_by_the_model_is_incomplete(self, finish: str, reason: str) -> None:
            made, response = self.streamed(chat_chunk({"content": "a"}), chat_chunk({}, finish), DONE)
            last = self.found(made)[-1]
            assert (last["type"], last["response"]["incomplete_details"]) == ("response.incomplete", {"reason": reason})
            assert response["output"][0]["status"] == "incomplete"
            with self.sdk(made) as client, client.responses.create(**self.ASKED, stream=True) as stream:
                assert [event.type for event in stream][-1] == "response.incomplete"

        def test_an_empty_answer_is_complete(self) -> None:
            for chunks in ((), (chat_chunk({}, "stop"), DONE)):
                made, response = self.streamed(*chunks)
                assert (self.judged(made).output, response["status"]) == ([], "completed")

        def test_the_first_choice_is_told(self) -> None:
            two = [{"index": at, "delta": {"content": word}} for at, word in ((0, "a"), (1, "b"), (0, "c"))]
            made, _ = self.streamed(chat_chunk(None, choices=two[:2]), chat_chunk(None, choices=two[2:]))
            assert self.judged(made).output_text == "ac"

        def test_halves_of_surrogate_pairs_are_joined(self) -> None:
            halves = [rb"\ud83d", rb"\ude00 \ud83d", rb"x"]
            chunks = [b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % half for half in halves]
            made, response = self.streamed(*chunks)
            assert b'"delta":"\\ud83d"' in made and made.isascii()
            assert response["output"][0]["content"][0]["text"] == "😀 \ud83dx"
            assert (
                json.loads(self.over().whole(b'{"choices":[{"message":{"content":"%b"}}]}' % b"".join(halves)))[
                    "output"
                ][0]["content"]
                == response["output"][0]["content"]
            )

        @pytest.mark.parametrize("words", ["é", "日本語", "👩‍👩‍👧", 'a"\\\n\t\u2028\x00', "x" * (2 << 20), "%d%b%s"])
        def test_words_go_through_unchanged(self, words: str) -> None:
            call = self.piece(0, words, id="%d", name="f")
            made, _ = self.streamed(chat_chunk({"content": words}), chat_chunk(call))
            judged = self.judged(made)
            assert (judged.output_text, judged.output[1].arguments, judged.output[1].call_id) == (words, words, "%d")

        @pytest.mark.parametrize(
            ("frame", "status"),
            [
                (b'data: {\ndata: "error": {"message": "no"}\ndata: }\n\n', 502),
                (b'data: {"type":"error","message":"boom"}\n\n', 502),
                (b'data: {"error":{"message":"slow","code":429}}\n\n', 429),
                (b'data: {"choices":[{"delta":{"content":"x"}}],"error":{"message":"slow","code":503}}\n\n', 503),
            ],
        )
        def test_an_error_within_a_stream_is_the_last_event(self, frame: bytes, status: int) -> None:
            events = self.over().events()
            made = b"".join(map(events.feed, [chat_chunk({"content": "a"}), frame, chat_chunk({"content": "b"})]))
            assert events.finish() == events.error(cs.BadRequest("late")) == events.feed(b": x\n\n") == b""
            assert (events.response, events.failed.status) == (None, status)
            assert [one["delta"] for one in self.found(made) if "delta" in one] == ["a"]
            assert self.found(made)[-1]["type"] == "error"
            with pytest.raises(openai.APIError):
                self.judged(made)

        @pytest.mark.parametrize("begun", [True, False])
        def test_the_sdk_raises_on_an_error(self, begun: bool) -> None:
            events = self.over().events()
            made = events.feed(chat_chunk({"content": "a"})) if begun else b""
            made += events.error(cs.UpstreamFailed("broken off", code="upstream_stream_interrupted", param="p"))
            last = self.found(made)[-1]
            assert (last["message"], last["code"], last["param"], last["error"]["type"]) == (
                "broken off", "upstream_stream_interrupted", "p", "upstream_error",
            )  # fmt: skip
            with pytest.raises(openai.APIError, match="broken off") as caught:
                self.judged(made)
            assert caught.value.code == "upstream_stream_interrupted"

        def test_the_sdk_notices_a_cut_stream(self) -> None:
            with pytest.raises(RuntimeError, match=r"response\.completed"):
                self.judged(self.over().events().feed(chat_chunk({"content": "a"})))

        def test_silence_is_filled(self) -> None:
            assert self.over().events().feed(b": OPENROUTER PROCESSING\n\n") == cs.KEEPALIVE

        def test_what_is_held_is_bounded(self) -> None:
            for delta in (
                {"content": "x" * (1 << 20)},
                self.piece(None, "x" * (1 << 20)),
                {"reasoning": "é" * (1 << 19)},
            ):
                events = self.over().events()
                made = b"".join(events.feed(chat_chunk(delta))[-500:] for _ in range(20))
                assert (made.count(b"event: error\n"), events.finish()) == (1, b"")
            for many, name in ((20_000, "f"), (20, "f" * (1 << 20))):
                events = self.over().events()
                calls = [{"tool_calls": [{"id": str(at), "function": {"name": name}}]} for at in range(many)]
                assert b"event: error\n" in b"".join(map(events.feed, map(chat_chunk, calls)))
            with pytest.raises(cs.UpstreamFailed, match="too large"):
                self.over().whole(chat_answer("x" * (17 << 20)))

        def test_what_was_answered_can_be_sent_back(self) -> None:
            tools = [self.FUNCTION, self.CUSTOM, self.NAMESPACE]
            calls = [
                self.chat_call("add", '{"a": 1}', "x"),
                self.chat_call("apply_patch", '{"input":"p"}', "y"),
                self.chat_call("crm__find", "{}", "z"),
            ]
            answered = self.whole({"content": "hi", "reasoning": "hm", "tool_calls": calls}, tools=tools).output
            outputs = [
                {"type": f"{call.type}_output", "call_id": call.call_id, "output": call.name} for call in answered[2:]
            ]
            items = [*self.SAID, *(item.to_dict() for item in answered), *outputs]
            body, dropped = self.sent(input=items, tools=tools)
            assert dropped == ("reasoning", "tools.namespace.description")
            assert body["messages"] == [
                *self.SAID,
                {"role": "assistant", "content": "hi", "tool_calls": calls},
                {"role": "tool", "tool_call_id": "x", "content": "add"},
                {"role": "tool", "tool_call_id": "y", "content": "apply_patch"},
                {"role": "tool", "tool_call_id": "z", "content": "find"},
            ]

        @staticmethod
        def nameless(made: bytes) -> bytes:
            return re.sub(rb"\b(resp|msg|rs|fc|ctc|call)_[0-9a-f]{40}", rb"\1_", made)

        @pytest.mark.parametrize("fixture", FIXTURES, ids=lambda one: one.name)
        def test_events_do_not_depend_on_how_frames_come(self, fixture: Any) -> None:
            def events_of(pieces: Iterable[bytes]) -> bytes:
                framer, events = cs.Framer(1 << 20), self.over().events()
                made = b"".join(events.feed(run) for piece in pieces if (run := framer.feed(piece)))
                return self.nameless(made + events.feed(framer.close()) + events.finish()).replace(cs.KEEPALIVE, b"")

            whole = events_of([fixture.body])
            assert events_of(each_byte(fixture.body)) == whole
            last = self.found(whole)[-1]["type"]
            assert last in ("response.completed", "response.incomplete", "error")
            if last == "response.completed":
                self.judged(whole)

        @pytest.mark.parametrize(
            "odd",
            [
                {"choices": None}, {"choices": [None]}, {"choices": [{"delta": 5}]}, {"choices": [{"delta": [1]}]},
                {"choices": [{"delta": {"tool_calls": [None]}}]}, {"choices": [{"delta": {"tool_calls": 5}}]},
                {"choices": {}}, [], 5, "x", None, {"usage": 5}, {"id": 5, "model": 7}, {"choices": [{"index": [], "delta": {}}]},
                {"choices": [{"delta": {"content": 5}, "finish_reason": 7}]}, {"choices": [{"index": 0, "delta": None}]},
            ],
        )  # fmt: skip
        def test_odd_frames_break_nothing(self, odd: Any) -> None:
            frames = [
                chat_chunk({"content": "a"}),
                b"data: %b\n\n" % json.dumps(odd).encode(),
                chat_chunk({"content": "b"}),
            ]
            assert self.judged(self.streamed(*frames)[0]).output_text == "ab"

        def test_content_in_parts_and_arguments_as_objects_are_understood(self) -> None:
            parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
            call = {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": {"a": 1}}}]}
            judged = self.judged(self.streamed(chat_chunk({"content": parts}), chat_chunk(call))[0])
            assert (judged.output_text, json.loads(judged.output[1].arguments)) == ("ab", {"a": 1})

        @FUZZ
        @given(st.lists(st.tuples(names, anything) | st.tuples(st.just("choices"), st.lists(
            st.fixed_dictionaries({"delta": st.dictionaries(names, anything, max_size=4)}), max_size=3)), max_size=6))  # fmt: skip
        def test_any_json_leaves_a_stream_the_sdk_reads(self, fields: Any) -> None:
            events = self.over().events()
            made = b"".join(events.feed(b"data: %b\n\n" % msgspec.json.encode({name: value})) for name, value in fields)
            made += events.finish()
            if events.response is not None:
                assert self.judged(made).id == events.response["id"]

        @FUZZ
        @given(
            st.lists(
                st.tuples(st.sampled_from(["content", "reasoning", "refusal", 0, 1, 2]), st.text(max_size=5)),
                max_size=12,
            ),
            st.lists(st.integers(0, 3000), max_size=5),
        )
        def test_any_mix_of_words_and_calls_is_put_together(self, said: Any, cuts: list[int]) -> None:
            words: dict[Any, str] = {}
            body = b""
            for kind, text in said:
                first = kind not in words
                words[kind] = words.get(kind, "") + text
                more = {"id": f"call-{kind}", "name": f"f{kind}"} if first else {}
                body += chat_chunk({kind: text} if isinstance(kind, str) else self.piece(kind, text, **more))
            framer = cs.Framer(1 << 20)
            at = [0, *sorted(cuts), len(body)]
            runs = [framer.feed(body[start:end]) for start, end in itertools.pairwise(at)]
            made, response = self.streamed(*runs, framer.close())
            judged = self.judged(made)
            found: dict[Any, str] = {}
            for item in judged.output:
                if item.type == "function_call":
                    found[int(item.name[1:])] = item.arguments
                else:
                    part = item.content[0].to_dict()
                    kind = {"output_text": "content", "reasoning_text": "reasoning"}.get(part["type"], "refusal")
                    found[kind] = found.get(kind, "") + part.get("text", part.get("refusal"))
            assert found == {kind: text or "{}" for kind, text in words.items() if text or isinstance(kind, int)}
            deltas: dict[int, str] = {}
            for one in self.found(made):
                if "delta" in one:
                    deltas[one["output_index"]] = deltas.get(one["output_index"], "") + one["delta"]
            told = [item.get("arguments") or item["content"][0] for item in response["output"]]
            assert [deltas[at] for at in sorted(deltas)] == [
                one if isinstance(one, str) else one.get("text", one.get("refusal")) for one in told
            ]

        @FUZZ
        @given(st.binary(max_size=60))
        def test_any_bytes_break_nothing(self, run: bytes) -> None:
            events = self.over().events()
            events.feed(b"data: " + run + b"\n\n")
            assert events.finish() or events.failed


event_names = st.sampled_from(["type", "delta", "item", "response", "message", "content_block", "usage", "index", "output_index", "text", "output", "content", "status", "stop_reason", "arguments", "partial_json", "input", "id", "name", "summary", "error"])  # fmt: skip
odd_event = st.recursive(
    anything | st.sampled_from(["message", "reasoning", "function_call", "tool_use", "text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(event_names, inner, max_size=5),
    max_leaves=8,
)


class TestChatOver:
    """Chat clients at targets of another dialect, judged by the official SDKs' own types and accumulators."""

    OVER = (cs.ChatOverMessages, cs.ChatOverResponses)
    TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
    CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1e5, "ü": [1.10]}'}}
    PDF = "data:application/pdf;base64,JVBERi0="
    PNG = "data:image/png;base64,iVBORw0="

    MESSAGES = (
        {"type": "message_start", "message": {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "stop_reason": None,
            "usage": {"input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm, "}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "ö"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": "xx"}},
        {"type": "content_block_stop", "index": 1},
        {"type": "content_block_start", "index": 2, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "Grüße \ud83d"}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": ""}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "\ude00 \u2028x"}},
        {"type": "content_block_stop", "index": 2},
        {"type": "content_block_start", "index": 3, "content_block": {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}},
        {"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": '{"q":"never"}'}},
        {"type": "content_block_stop", "index": 3},
        {"type": "content_block_start", "index": 4, "content_block": {"type": "tool_use", "id": "t1", "name": "f", "input": {}}},
        {"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": ""}},
        {"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": '{"a": 1.1'}},
        {"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": '0, "b":"ü"}'}},
        {"type": "content_block_stop", "index": 4},
        {"type": "content_block_start", "index": 5, "content_block": {"type": "tool_use", "id": "t2", "name": "g", "input": {"x": [1]}}},
        {"type": "content_block_stop", "index": 5},
        {"type": "content_block_start", "index": 6, "content_block": {"type": "tool_use", "id": "t3", "name": "h", "input": {}}},
        {"type": "content_block_stop", "index": 6},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None},
         "usage": {"output_tokens": 40, "output_tokens_details": {"thinking_tokens": 7}}},
        {"type": "message_stop"},
        {"type": "ping", "cost": "0.0012"},
    )  # fmt: skip
    RESPONSES = (
        {"type": "response.created", "response": {"id": "resp_1", "model": "gpt", "status": "in_progress", "output": []}},
        {"type": "response.in_progress", "response": {"id": "resp_1", "model": "gpt", "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs", "summary": []}},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "item_id": "rs", "summary_index": 0, "delta": "hm, "},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "item_id": "rs", "summary_index": 0, "delta": "ö"},
        {"type": "response.reasoning_summary_text.done", "output_index": 0, "item_id": "rs", "summary_index": 0, "text": "hm, ö"},
        {"type": "response.output_item.done", "output_index": 0, "item": {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm, ö"}]}},
        {"type": "response.output_item.added", "output_index": 1, "item": {"type": "web_search_call", "id": "ws", "action": {"type": "search"}}},
        {"type": "response.output_item.added", "output_index": 2, "item": {"type": "message", "id": "m", "role": "assistant", "content": []}},
        {"type": "response.content_part.added", "output_index": 2, "item_id": "m", "content_index": 0, "part": {"type": "output_text", "text": ""}},
        {"type": "response.output_text.delta", "output_index": 2, "item_id": "m", "content_index": 0, "delta": "Grüße \ud83d", "obfuscation": "x"},
        {"type": "response.output_text.delta", "output_index": 2, "item_id": "m", "content_index": 0, "delta": ""},
        {"type": "response.output_text.delta", "output_index": 2, "item_id": "m", "content_index": 0, "delta": "\ude00 \u2028x"},
        {"type": "response.output_text.done", "output_index": 2, "item_id": "m", "content_index": 0, "text": "Grüße \U0001f600 \u2028x"},
        {"type": "response.output_item.done", "output_index": 2, "item": {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Grüße \U0001f600 \u2028x"}]}},
        {"type": "response.output_item.added", "output_index": 3, "item": {"type": "function_call", "id": "fc1", "call_id": "t1", "name": "f", "arguments": ""}},
        {"type": "response.output_item.added", "output_index": 4, "item": {"type": "function_call", "id": "fc2", "call_id": "t2", "name": "g", "arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 3, "item_id": "fc1", "delta": '{"a": 1.1'},
        {"type": "response.function_call_arguments.delta", "output_index": 4, "item_id": "fc2", "delta": '{"x":[1]}'},
        {"type": "response.function_call_arguments.delta", "output_index": 3, "item_id": "fc1", "delta": '0, "b":"ü"}'},
        {"type": "response.function_call_arguments.done", "output_index": 3, "item_id": "fc1", "arguments": '{"a": 1.10, "b":"ü"}'},
        {"type": "response.output_item.done", "output_index": 3, "item": {"type": "function_call", "id": "fc1", "call_id": "t1", "name": "f", "arguments": '{"a": 1.10, "b":"ü"}'}},
        {"type": "response.output_item.done", "output_index": 4, "item": {"type": "function_call", "id": "fc2", "call_id": "t2", "name": "g", "arguments": '{"x":[1]}'}},
        {"type": "response.output_item.done", "output_index": 5, "item": {"type": "function_call", "id": "fc3", "call_id": "t3", "name": "h", "arguments": "{}"}},
        {"type": "response.completed", "response": {
            "id": "resp_1", "model": "gpt", "status": "completed", "output": [],
            "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2}, "output_tokens": 40,
                      "output_tokens_details": {"reasoning_tokens": 7}, "total_tokens": 50}}},
        {"type": "ping", "cost": "0.0012"},
    )  # fmt: skip
    BOTH = ((cs.ChatOverMessages, MESSAGES), (cs.ChatOverResponses, RESPONSES))
    SAID = "Grüße \U0001f600 \u2028x"
    CALLED = [("t1", "f", '{"a": 1.10, "b":"ü"}'), ("t2", "g", '{"x":[1]}'), ("t3", "h", "{}")]

    @staticmethod
    def asked(**given: Any) -> bytes:
        return json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **given}).encode()

    def sent(self, over: Any, **given: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
        made = over(self.asked(**given))
        return json.loads(made.body), made.dropped

    @staticmethod
    def stream(frames: Iterable[dict[str, Any]]) -> list[bytes]:
        return [b"event: %b\ndata: %b\n\n" % (one["type"].encode(), json.dumps(one).encode()) for one in frames]

    def events(self, over: Any, *, usage: bool = True) -> Any:
        return over(self.asked(stream=True, stream_options={"include_usage": usage}), 1_700_000_000).events()

    def relayed(self, over: Any, frames: Iterable[dict[str, Any]], *, usage: bool = True) -> bytes:
        events = self.events(over, usage=usage)
        return b"".join(map(events.feed, self.stream(frames))) + events.finish()

    @staticmethod
    def chunks(body: bytes) -> list[dict[str, Any]]:
        return [json.loads(one) for one in events(body) if one != b"[DONE]"]

    @staticmethod
    def client(answer: bytes, kind: str = "text/event-stream") -> openai.OpenAI:
        answers = httpx2.MockTransport(lambda _: httpx2.Response(200, content=answer, headers={"content-type": kind}))
        return openai.OpenAI(
            api_key="k", base_url="http://chomp.test/v1", max_retries=0, http_client=httpx2.Client(transport=answers)
        )

    # -- requests

    @pytest.mark.parametrize("over", OVER)
    def test_what_the_caller_replaces_is_there(self, over: Any) -> None:
        body, dropped = self.sent(over, stream=True, router={"only": ["zen"]}, stream_options={"include_usage": True})
        assert (body["model"], body["stream"], body["router"], dropped) == ("m", True, {"only": ["zen"]}, ())
        nameless = json.loads(over(b'{"messages":[{"role":"user","content":"hi"}]}').body)
        assert nameless["model"] == "" and "stream" not in nameless

    def test_a_conversation_becomes_messages(self) -> None:
        body, dropped = self.sent(
            cs.ChatOverMessages,
            messages=[
                {"role": "system", "content": "one"},
                {"role": "user", "content": "hi"},
                {"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": self.PNG}}]},
                {"role": "developer", "content": [{"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}}]},
                {"role": "assistant", "content": "", "tool_calls": [self.CALL, {**self.CALL, "id": "c2", "function": {"name": "g", "arguments": ""}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "r1"},
                {"role": "tool", "tool_call_id": "c2", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "high"}}]},
                {"role": "assistant", "content": [{"type": "text", "text": "  "}, {"type": "refusal", "refusal": "no"}], "reasoning_content": "hm"},
                {"role": "user", "content": "why", "name": "Ann", "cache_control": {"type": "ephemeral"}},
                {"role": "user", "content": ""},
                {"role": "user", "content": [{"type": "file", "file": {"file_data": self.PDF, "filename": "a.pdf"}}]},
            ],
        )  # fmt: skip
        cached = {"cache_control": {"type": "ephemeral"}}
        assert body["system"] == [{"type": "text", "text": "one"}, {"type": "text", "text": "two", **cached}]
        assert body["messages"] == [
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "user", "content": [
                {"type": "text", "text": "see"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1e5, "ü": [1.10]}},
                {"type": "tool_use", "id": "c2", "name": "g", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "r1"}]},
                {"type": "tool_result", "tool_use_id": "c2", "content": [
                    {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]}]},
            {"role": "assistant", "content": [{"type": "text", "text": "no"}]},
            {"role": "user", "content": [{"type": "text", "text": "why", **cached}]},
            {"role": "user", "content": [
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, "title": "a.pdf"}]},
        ]  # fmt: skip
        assert dropped == ("image_url.detail", "messages.name", "messages.order", "reasoning")
        pydantic.TypeAdapter(MessageCreateParamsNonStreaming).validate_python(body)

    def test_a_conversation_becomes_items(self) -> None:
        body, dropped = self.sent(
            cs.ChatOverResponses,
            messages=[
                {"role": "system", "content": "one"},
                {"role": "developer", "content": [{"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}}]},
                {"role": "user", "content": [
                    {"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": self.PNG, "detail": "low"}},
                    {"type": "file", "file": {"file_id": "file-1"}}]},
                {"role": "assistant", "content": "", "tool_calls": [self.CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "r1"},
                {"role": "tool", "tool_call_id": "c2", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
                {"role": "assistant", "content": "so", "refusal": "no", "reasoning": "hm"},
                {"role": "user", "content": "why"},
            ],
        )  # fmt: skip
        assert body["input"] == [
            {"type": "message", "role": "system", "content": "one"},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "two"}]},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": self.PNG, "detail": "low"},
                {"type": "input_file", "file_id": "file-1"}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1e5, "ü": [1.10]}'},
            {"type": "function_call_output", "call_id": "c1", "output": "r1"},
            {"type": "function_call_output", "call_id": "c2", "output": [
                {"type": "input_image", "image_url": "https://x/y.png", "detail": "auto"}]},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "so"}, {"type": "refusal", "refusal": "no"}]},
            {"type": "message", "role": "user", "content": "why"},
        ]  # fmt: skip
        assert dropped == ("cache_control", "reasoning")
        plain = [
            one for one in body["input"] if one.get("role") != "assistant"
        ]  # an answer's id and status are ours to leave out
        pydantic.TypeAdapter(ResponseCreateParamsNonStreaming).validate_python({**body, "input": plain})

    def test_results_of_each_round_are_a_message(self) -> None:
        call, result = {"role": "assistant", "tool_calls": [self.CALL]}, {"role": "tool", "tool_call_id": "c1"}
        body, _ = self.sent(
            cs.ChatOverMessages, messages=[call, {**result, "content": "1"}, call, {**result, "content": ""}]
        )
        assert [one["role"] for one in body["messages"]] == ["assistant", "user", "assistant", "user"]
        assert body["messages"][3]["content"] == [{"type": "tool_result", "tool_use_id": "c1"}]

    def test_a_cache_mark_of_a_message_stands_at_its_end(self) -> None:
        mark, parts = (
            {"cache_control": {"type": "ephemeral"}},
            [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        )
        given = [
            {"role": "user", "content": parts, **mark},
            {"role": "tool", "tool_call_id": "c", "content": parts, **mark},
        ]
        first, second = self.sent(cs.ChatOverMessages, messages=given)[0]["messages"]
        assert first["content"] == [parts[0], {**parts[1], **mark}]
        assert second["content"] == [{"type": "tool_result", "tool_use_id": "c", "content": parts, **mark}]

    def test_openais_own_cache_mark_stays_with_openai(self) -> None:
        mark = {"prompt_cache_breakpoint": {"mode": "explicit"}}
        given = [{"role": "user", "content": [{"type": "text", "text": "a", **mark}]}]
        body, dropped = self.sent(cs.ChatOverMessages, messages=given)
        assert "prompt_cache_breakpoint" not in str(body) and dropped == ("prompt_cache_breakpoint",)
        body, dropped = self.sent(cs.ChatOverResponses, messages=given)
        assert body["input"][0]["content"] == [{"type": "input_text", "text": "a", **mark}] and dropped == ()

    def test_a_call_without_arguments_has_empty_ones(self) -> None:
        given = [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f"}}]}]
        assert self.sent(cs.ChatOverResponses, messages=given)[0]["input"][0]["arguments"] == ""
        assert self.sent(cs.ChatOverMessages, messages=given)[0]["messages"][0]["content"][0]["input"] == {}

    TOOLS = {"tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}]}

    @pytest.mark.parametrize(
        ("given", "made", "dropped"),
        [
            ({}, {}, ()),
            ({"max_tokens": 5}, {"max_tokens": 5}, ()),
            ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_tokens": 6}, ()),
            ({"temperature": 1, "top_p": 0.5, "top_k": 3}, {"temperature": 1, "top_p": 0.5, "top_k": 3}, ()),
            ({"temperature": None, "stop": None, "tools": None, "n": 1, "seed": None}, {}, ()),
            ({"stop": "END"}, {"stop_sequences": ["END"]}, ()),
            ({"stop": ["a", "\nb"]}, {"stop_sequences": ["a", "\nb"]}, ()),
            ({"stop": []}, {}, ()),
            ({"user": "u"}, {"metadata": {"user_id": "u"}}, ()),
            ({"tools": [TOOL]}, TOOLS, ()),
            ({"tools": [{"type": "function", "function": {"name": "f", "strict": True}, "cache_control": {"type": "ephemeral"}}]},
             {"tools": [{"name": "f", "input_schema": {"type": "object"}, "strict": True, "cache_control": {"type": "ephemeral"}}]}, ()),
            ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {}}}, "odd": 1}}]},
             {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {"a": {}}}}]}, ("tools.odd",)),
            ({"tools": [TOOL], "tool_choice": "auto"}, {**TOOLS, "tool_choice": {"type": "auto"}}, ()),
            ({"tools": [TOOL], "tool_choice": "none", "parallel_tool_calls": False}, {**TOOLS, "tool_choice": {"type": "none"}}, ()),
            ({"tools": [TOOL], "tool_choice": "required"}, {**TOOLS, "tool_choice": {"type": "any"}}, ()),
            ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}}, {**TOOLS, "tool_choice": {"type": "tool", "name": "f"}}, ()),
            ({"tools": [TOOL], "parallel_tool_calls": False}, {**TOOLS, "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, ()),
            ({"tools": [TOOL], "parallel_tool_calls": True}, TOOLS, ()),
            ({"tool_choice": "auto", "parallel_tool_calls": False}, {}, ()),
            ({"response_format": {"type": "text"}}, {}, ()),
            ({"response_format": {"type": "json_object"}}, {}, ("response_format",)),
            ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True}}},
             {"output_config": {"format": {"type": "json_schema", "schema": {"a": 1}}}}, ()),
            ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "description": "d"}}},
             {"output_config": {"format": {"type": "json_schema", "schema": {}}}}, ("response_format.description",)),
            ({"reasoning_effort": "high"}, {"output_config": {"effort": "high"}}, ()),
            ({"reasoning_effort": "minimal"}, {}, ("reasoning_effort",)),
            ({"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral"}}, ()),
            ({"seed": 7, "frequency_penalty": 1, "presence_penalty": 0, "logit_bias": {"1": 2}, "store": True, "metadata": {"a": "b"},
              "service_tier": "flex", "prediction": {"type": "content"}, "verbosity": "low", "whatever": "x", "logprobs": False}, {},
             ("frequency_penalty", "logit_bias", "metadata", "prediction", "seed", "service_tier", "store", "verbosity", "whatever")),
        ],
    )  # fmt: skip
    def test_fields_of_messages(self, given: dict[str, Any], made: dict[str, Any], dropped: tuple[str, ...]) -> None:
        body, left_out = self.sent(cs.ChatOverMessages, **given)
        plain = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}
        assert body == {**plain, "max_tokens": cs.MESSAGES_MAX_TOKENS, **made}
        assert left_out == dropped
        pydantic.TypeAdapter(MessageCreateParamsNonStreaming).validate_python(body)

    FLAT = {
        "tools": [
            {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": False}
        ]
    }

    @pytest.mark.parametrize(
        ("given", "made", "dropped"),
        [
            ({}, {}, ()),
            ({"max_tokens": 5}, {"max_output_tokens": 5}, ()),
            ({"max_tokens": 5, "max_completion_tokens": 6}, {"max_output_tokens": 6}, ()),
            ({"temperature": 2, "top_p": 0.5}, {"temperature": 2, "top_p": 0.5}, ()),
            ({"store": True}, {"store": True}, ()),
            ({"user": "u", "metadata": {"a": "b"}, "service_tier": "flex", "prompt_cache_key": "k", "safety_identifier": "s"},
             {"user": "u", "metadata": {"a": "b"}, "service_tier": "flex", "prompt_cache_key": "k", "safety_identifier": "s"}, ()),
            ({"tools": [TOOL], "parallel_tool_calls": False}, {**FLAT, "parallel_tool_calls": False}, ()),
            ({"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]},
             {"tools": [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": True}]}, ()),
            ({"tools": [TOOL], "tool_choice": "required"}, {**FLAT, "tool_choice": "required"}, ()),
            ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}}, {**FLAT, "tool_choice": {"type": "function", "name": "f"}}, ()),
            ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOL]}}},
             {**FLAT, "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}}, ()),
            ({"reasoning_effort": "minimal"}, {"reasoning": {"effort": "minimal"}}, ()),
            ({"verbosity": "low", "response_format": {"type": "json_object"}}, {"text": {"verbosity": "low", "format": {"type": "json_object"}}}, ()),
            ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True}}},
             {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": True}}}, ()),
            ({"stream_options": {"include_obfuscation": False}}, {"stream_options": {"include_obfuscation": False}}, ()),
            ({"stop": [], "seed": 0, "presence_penalty": 0, "frequency_penalty": None, "logit_bias": {}, "n": 1, "logprobs": False}, {}, ("seed",)),
            ({"seed": 1, "presence_penalty": 0.5, "logit_bias": {"1": 2}, "top_k": 3, "cache_control": {}}, {}, ("logit_bias", "presence_penalty", "seed", "top_k")),
        ],
    )  # fmt: skip
    def test_fields_of_responses(self, given: dict[str, Any], made: dict[str, Any], dropped: tuple[str, ...]) -> None:
        body, left_out = self.sent(cs.ChatOverResponses, **given)
        plain = {"model": "m", "input": [{"type": "message", "role": "user", "content": "hi"}], "store": False}
        assert body == {**plain, **made}
        assert left_out == dropped
        pydantic.TypeAdapter(ResponseCreateParamsNonStreaming).validate_python(body)

    REFUSED = [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "a"}}, "audio"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0]"),
        ({"tools": [TOOL], "tool_choice": {"type": "custom", "custom": {"name": "f"}}}, "tool_choice"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}]}, "messages[0].function_call"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {}}]}]}, "messages[0].tool_calls[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "input_audio", "input_audio": {}}]}]}, "messages[0].content[1]"),
        ({"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}]}, "messages[0].content[0]"),
    ]  # fmt: skip

    @pytest.mark.parametrize(
        ("over", "given", "param"),
        [
            *((cs.ChatOverMessages, *one) for one in REFUSED),
            *((cs.ChatOverResponses, *one) for one in REFUSED),
            (cs.ChatOverMessages, {"temperature": 1.5}, "temperature"),
            (cs.ChatOverMessages, {"stop": [" \n"]}, "stop"),
            (cs.ChatOverMessages, {"tool_choice": "required"}, "tool_choice"),
            (cs.ChatOverMessages, {"tools": [TOOL], "tool_choice": "any"}, "tool_choice"),
            (cs.ChatOverMessages, {"response_format": {"type": "grammar"}}, "response_format"),
            (cs.ChatOverMessages, {"messages": [{"role": "user", "content": " "}]}, "messages"),
            (cs.ChatOverMessages, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "ftp://x"}]}]}, "messages[0].content[0]"),
            (cs.ChatOverMessages, {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "messages[0].content[0]"),
            (cs.ChatOverMessages, {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": PNG}}]}]}, "messages[0].content[0]"),
            *((cs.ChatOverMessages, {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": odd}}]}]},
               "messages[0].tool_calls[0].function.arguments") for odd in ("[1]", "{", "5", "null", '{"a":NaN}')),
            (cs.ChatOverResponses, {"stop": "END"}, "stop"),
        ],
    )  # fmt: skip
    def test_what_would_change_the_meaning_is_refused(self, over: Any, given: dict[str, Any], param: str) -> None:
        with pytest.raises(cs.BadRequest) as caught:
            over(self.asked(**given))
        assert (caught.value.status, caught.value.param) == (400, param)

    @pytest.mark.parametrize("over", OVER)
    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"messages":[{"role":"user","content":"\\ud8"}]}', b"\xff", b'{"messages":[{"role":"user","content":"x"}],"tools":' + b'[{"a":' * 50_000])  # fmt: skip
    def test_a_body_that_is_none_is_refused(self, over: Any, body: bytes) -> None:
        with pytest.raises(cs.BadRequest):
            over(body)

    @pytest.mark.parametrize("over", OVER)
    def test_half_a_surrogate_pair_is_no_number(self, over: Any) -> None:
        with pytest.raises(cs.BadRequest):
            over(rb'{"messages":[{"role":"user","content":"a"}],"max_tokens":"\ud83d"}')

    @pytest.mark.parametrize("over", OVER)
    def test_half_a_surrogate_pair_goes_through_a_request(self, over: Any) -> None:
        body = over(rb'{"model":"m","messages":[{"role":"user","content":"a\ud83d"}]}').body
        assert rb"a\ud83d" in body and json.loads(body)["model"] == "m"

    @FUZZ
    @given(
        st.dictionaries(st.sampled_from([*cs._ChatAsked.__struct_fields__, "functions", "seed"]), anything, max_size=4)
    )
    def test_any_request_is_translated_or_refused(self, given: dict[str, Any]) -> None:
        for over in self.OVER:
            with contextlib.suppress(cs.BadRequest):
                assert "model" in json.loads(over(self.asked(**given)).body)

    # -- whole answers

    BLOCKS = [
        {"type": "thinking", "thinking": "hm, ö", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "xx"},
        {"type": "text", "text": "Grüße "},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "text", "text": "\U0001f600 \u2028x"},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 12345678901234567890123, "b": "ü"}},
        {"type": "tool_use", "id": "t3", "name": "h", "input": {}},
    ]

    def message(self, **more: Any) -> bytes:
        usage = {"input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 40}
        named = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn"}
        return json.dumps({**named, "content": self.BLOCKS, "usage": usage, **more}).encode()

    def response(self, **more: Any) -> bytes:
        output = [
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm, "}, {"type": "summary_text", "text": "ö"}]},
            {"type": "tool_search_call", "arguments": {"odd": 1}, "content": 5},
            {"type": "message", "id": "m", "role": "assistant", "content": [
                {"type": "output_text", "text": "Grüße ", "annotations": []}, {"type": "output_text", "text": "\U0001f600 \u2028x"}]},
            {"type": "function_call", "id": "fc1", "call_id": "t1", "name": "f", "arguments": '{"a": 1.10}'},
            {"type": "function_call", "id": "fc3", "call_id": "t3", "name": "h", "arguments": ""},
        ]  # fmt: skip
        usage = {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
            "output_tokens": 40,
        }
        named = {"id": "resp_1", "object": "response", "status": "completed", "model": "gpt", "error": None}
        return json.dumps({**named, "output": output, "usage": usage, "cost": "0.01", **more}).encode()

    @pytest.mark.parametrize("over", OVER)
    def test_a_whole_answer_is_a_chat_completion(self, over: Any) -> None:
        answer = self.message(cost="0.01") if over is cs.ChatOverMessages else self.response()
        made = over(self.asked(), 1_700_000_000).whole(answer)
        chat = self.client(made, "application/json").chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}]
        )
        openai.types.chat.ChatCompletion.model_validate(json.loads(made), strict=True)
        (choice,) = chat.choices
        message = choice.message
        assert (chat.created, choice.finish_reason, message.content) == (1_700_000_000, "tool_calls", self.SAID)
        if over is cs.ChatOverMessages:
            assert (chat.id, chat.model, message.reasoning_content) == ("chatcmpl-msg_1", "claude", "hm, ö")
            arguments = '{"a":12345678901234567890123,"b":"ü"}'
        else:
            assert (chat.id, chat.model, message.reasoning_content) == ("chatcmpl-resp_1", "gpt", "hm, \n\nö")
            arguments = '{"a": 1.10}'
        assert [(one.id, one.function.name, one.function.arguments) for one in message.tool_calls or ()] == [
            ("t1", "f", arguments), ("t3", "h", "{}")
        ]  # fmt: skip
        usage, fault = cs.read_answer("chat", made)
        assert usage == cs.Usage(10, 40, 3, 0, 2, 0.01) and fault is None

    @pytest.mark.parametrize(
        ("stop", "finish"),
        [
            ("end_turn", "stop"), ("stop_sequence", "stop"), ("max_tokens", "length"), ("tool_use", "tool_calls"), ("pause_turn", "stop"),
            ("refusal", "content_filter"), ("model_context_window_exceeded", "length"), ("new", "stop"), (None, "stop"),
        ],
    )  # fmt: skip
    def test_why_a_message_ended(self, stop: str | None, finish: str) -> None:
        answer = self.message(content=[{"type": "text", "text": "x"}], stop_reason=stop)
        assert json.loads(cs.ChatOverMessages(self.asked()).whole(answer))["choices"][0]["finish_reason"] == finish
        frames = [
            self.MESSAGES[0],
            {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 1}},
        ]
        assert (
            self.chunks(self.relayed(cs.ChatOverMessages, frames, usage=False))[-1]["choices"][0]["finish_reason"]
            == finish
        )

    def test_why_it_was_refused_is_told(self) -> None:
        details = {"type": "refusal", "category": "bio", "explanation": "not that"}
        answer = self.message(content=[], stop_reason="refusal", stop_details=details)
        message = json.loads(cs.ChatOverMessages(self.asked()).whole(answer))["choices"][0]["message"]
        assert (message["content"], message["refusal"]) == (None, "not that")
        frames = [
            self.MESSAGES[0],
            {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_details": details}},
        ]
        deltas = [
            one["choices"][0]["delta"] for one in self.chunks(self.relayed(cs.ChatOverMessages, frames, usage=False))
        ]
        assert {"refusal": "not that"} in deltas

    @pytest.mark.parametrize(
        ("status", "details", "finish"),
        [
            ("completed", None, "stop"),
            ("incomplete", {"reason": "max_output_tokens"}, "length"),
            ("incomplete", {"reason": "content_filter"}, "content_filter"),
            ("incomplete", {"reason": "new"}, "length"),
            ("incomplete", None, "length"),
        ],
    )
    def test_why_a_response_ended(self, status: str, details: Any, finish: str) -> None:
        parts = [{"type": "refusal", "refusal": "no"}]
        more = {
            "status": status,
            "incomplete_details": details,
            "output": [{"type": "message", "id": "m", "content": parts}],
        }
        (choice,) = json.loads(cs.ChatOverResponses(self.asked()).whole(self.response(**more)))["choices"]
        assert (choice["finish_reason"], choice["message"]["content"], choice["message"]["refusal"]) == (
            finish,
            None,
            "no",
        )
        frames = [self.RESPONSES[0], {"type": f"response.{status}", "response": json.loads(self.response(**more))}]
        found = self.chunks(self.relayed(cs.ChatOverResponses, frames))
        assert [one["choices"][0]["finish_reason"] for one in found[:-1]] == [None, None, finish]
        assert found[1]["choices"][0]["delta"] == {"refusal": "no"}  # of a host that sends no deltas

    @pytest.mark.parametrize("over", OVER)
    @pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b"5", b"<html>", b"\xff", b"[" * 100_000, b'{"type":"message","content":[5]}', b'{"output":[{}]}', b'{"output":[],"status":"in_progress"}', b'{"choices":[]}'])  # fmt: skip
    def test_an_answer_that_is_none_is_an_error(self, over: Any, answer: bytes) -> None:
        with pytest.raises(cs.UpstreamFailed) as caught:
            over(self.asked()).whole(answer)
        assert caught.value.code == "bad_upstream_answer"

    @pytest.mark.parametrize(
        ("over", "answer", "status", "words"),
        [
            (
                cs.ChatOverMessages,
                {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
                529,
                "Overloaded",
            ),
            (
                cs.ChatOverMessages,
                {"type": "error", "error": {"type": "FreeUsageLimitError", "message": "too much"}},
                502,
                "too much",
            ),
            (
                cs.ChatOverResponses,
                {"error": {"message": "slow down", "code": "rate_limit_exceeded"}},
                429,
                "slow down",
            ),
            (
                cs.ChatOverResponses,
                {"status": "failed", "error": {"code": "server_error", "message": "broke"}, "output": []},
                502,
                "broke",
            ),
        ],
    )
    def test_an_error_behind_a_200_has_its_words(
        self, over: Any, answer: dict[str, Any], status: int, words: str
    ) -> None:
        with pytest.raises(cs.UpstreamFailed, match=words) as caught:
            over(self.asked()).whole(json.dumps(answer).encode())
        assert caught.value.status == status

    # -- streams

    @pytest.mark.parametrize(("over", "frames"), BOTH)
    def test_the_sdk_puts_a_stream_together(self, over: Any, frames: Any) -> None:
        body = self.relayed(over, frames)
        with self.client(body).chat.completions.stream(
            model="m", messages=[{"role": "user", "content": "hi"}], stream_options={"include_usage": True}
        ) as stream:
            chat = stream.get_final_completion()
        message = chat.choices[0].message
        content = str(message.content).encode("utf-16", "surrogatepass").decode("utf-16")  # its halves came apart
        assert (chat.choices[0].finish_reason, content, message.refusal) == ("tool_calls", self.SAID, None)
        assert (message.role, message.model_extra["reasoning_content"]) == ("assistant", "hm, ö")
        assert [(one.id, one.function.name, one.function.arguments) for one in message.tool_calls or ()] == self.CALLED
        assert chat.usage is not None and chat.usage.total_tokens == 50
        assert cs.read_usage(chat.usage.model_dump_json().encode()) == cs.Usage(10, 40, 3, 7, 2)
        for chunk in self.chunks(body):
            openai.types.chat.ChatCompletionChunk.model_validate(chunk)

    @pytest.mark.parametrize(("over", "frames"), BOTH)
    def test_the_frames_are_those_of_the_contract(self, over: Any, frames: Any) -> None:
        body = self.relayed(over, frames)
        assert body.endswith(cs.DONE_FRAME) and body.count(b"[DONE]") == 1
        *first, last = self.chunks(body)
        assert {(one["id"], one["object"], one["created"], one["model"]) for one in (*first, last)} == {
            (f"chatcmpl-{'msg_1' if over is cs.ChatOverMessages else 'resp_1'}", "chat.completion.chunk", 1_700_000_000, first[0]["model"])
        }  # fmt: skip
        assert all(one["usage"] is None and len(one["choices"]) == 1 for one in first) and last["choices"] == []
        assert [one["choices"][0]["finish_reason"] for one in first][-2:] == [None, "tool_calls"]
        assert first[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        without = self.relayed(over, frames, usage=False)
        assert [{**one, "usage": None} for one in self.chunks(without)] == first and b"usage" not in without

    @pytest.mark.parametrize(("over", "frames"), BOTH)
    def test_a_stream_may_be_cut_at_every_byte(self, over: Any, frames: Any) -> None:
        body, whole = b"".join(self.stream(frames)), self.relayed(over, frames)
        for ending in (b"\n", b"\r\n"):
            fed = with_ending(body, ending)
            for pieces in ([fed], each_byte(fed)):
                relay = self.events(over)
                runs, left = through(pieces)
                assert b"".join(map(relay.feed, (*runs, left))) + relay.finish() == whole
        for at in range(0, len(body), 7):
            relay = self.events(over)
            runs, left = through([body[:at], body[at:]])
            assert b"".join(map(relay.feed, (*runs, left))) + relay.finish() == whole

    def test_pieces_of_reasoning_stay_apart(self) -> None:
        thoughts = [
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "a"},
            {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 1, "delta": "b"},
            {"type": "response.reasoning_text.delta", "output_index": 1, "content_index": 0, "delta": "c"},
            {"type": "response.reasoning_text.delta", "output_index": 1, "content_index": 0, "delta": "d"},
        ]
        found = self.chunks(self.relayed(cs.ChatOverResponses, thoughts))
        assert (
            "".join(one["choices"][0]["delta"].get("reasoning_content", "") for one in found if one["choices"])
            == "a\n\nb\n\ncd"
        )

    def deltas(self, over: Any, *frames: dict[str, Any]) -> list[dict[str, Any]]:
        return [one["choices"][0]["delta"] for one in self.chunks(self.relayed(over, frames, usage=False))]

    def test_what_was_said_is_not_said_again_at_the_end(self) -> None:
        item = {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "once"}]}
        done = {"type": "response.output_item.done", "output_index": 0, "item": item}
        over = {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": [item]}}
        assert [one.get("content") for one in self.deltas(cs.ChatOverResponses, done, over)] == ["", "once", None]

    def test_what_a_block_begins_with_is_passed_on(self) -> None:
        frames = [
            {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "hm"}},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "Hi"}},
            {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}},
        ]  # fmt: skip
        _, thought, text, call, arguments, _ = self.deltas(cs.ChatOverMessages, *frames)  # no block is ever closed
        assert (thought, text, call["tool_calls"][0]["id"]) == ({"reasoning_content": "hm"}, {"content": "Hi"}, "t")
        assert arguments == {"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]}

    @pytest.mark.parametrize("kind", ["completed", "failed"])
    def test_a_response_that_failed_is_an_error_however_it_is_named(self, kind: str) -> None:
        failed = {"status": "failed", "error": {"code": "server_error", "message": "broke", "param": "input"}}
        (frame,) = self.chunks(self.relayed(cs.ChatOverResponses, [{"type": f"response.{kind}", "response": failed}]))
        assert (frame["error"]["message"], frame["error"]["param"]) == ("broke", "input")

    def test_an_event_alone_says_that_a_response_is_incomplete(self) -> None:
        details = {"reason": "content_filter"}
        frame = {"type": "response.incomplete", "response": {"id": "r", "incomplete_details": details}}
        found = self.chunks(self.relayed(cs.ChatOverResponses, [frame]))
        assert found[-1]["choices"][0]["finish_reason"] == "content_filter"

    def test_an_error_names_its_parameter(self) -> None:
        frame = {"type": "error", "code": "x", "message": "broke", "param": "input"}
        (error,) = self.chunks(self.relayed(cs.ChatOverResponses, [frame]))
        assert error["error"]["param"] == "input"

    def test_items_are_told_apart_without_their_place(self) -> None:
        """llama.cpp's server gives item ids only."""
        frames = [
            {key: value for key, value in one.items() if key != "output_index"}
            for one in self.RESPONSES if one.get("output_index") in (3, 4)
        ]  # fmt: skip
        found = self.chunks(self.relayed(cs.ChatOverResponses, frames, usage=False))
        pieces = [call for one in found for call in one["choices"][0]["delta"].get("tool_calls", ())]
        for index, (call_id, _, arguments) in enumerate(self.CALLED[:2]):
            mine = [one for one in pieces if one["index"] == index]
            assert mine[0]["id"] == call_id and "".join(one["function"]["arguments"] for one in mine) == arguments

    def test_an_answer_without_deltas_is_passed_on_whole(self) -> None:
        over = {"type": "response.completed", "response": json.loads(self.response())}
        items = [
            {"type": "response.output_item.done", "output_index": at, "item": item}
            for at, item in enumerate(over["response"]["output"])
        ]
        for frames in ([over], items, [*items, over]):
            deltas = [
                one["choices"][0]["delta"]
                for one in self.chunks(self.relayed(cs.ChatOverResponses, frames, usage=False))
            ]
            assert "".join(one.get("content", "") for one in deltas) == self.SAID
            assert "".join(one.get("reasoning_content", "") for one in deltas) == "hm, \n\nö"
            calls = [call["function"]["arguments"] for one in deltas for call in one.get("tool_calls", ())]
            assert calls == ["", '{"a": 1.10}', "", "{}"]

    @pytest.mark.parametrize(
        ("over", "frame", "error"),
        [
            (cs.ChatOverMessages, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, ("Overloaded", "overloaded_error", "upstream_error")),
            (cs.ChatOverMessages, {"type": "x", "error": "broke"}, ("broke", "upstream_error", "upstream_error")),
            (cs.ChatOverResponses, {"type": "error", "code": "server_error", "message": "broke", "param": None}, ("broke", "upstream_error", "server_error")),
            (cs.ChatOverResponses, {"type": "error", "error": {"type": "RateLimitError", "message": "slow"}}, ("slow", "RateLimitError", "upstream_error")),
            (cs.ChatOverResponses, {"type": "response.failed", "response": {"status": "failed", "error": {"code": "server_error", "message": "broke"}}}, ("broke", "upstream_error", "server_error")),
        ],
    )  # fmt: skip
    def test_an_error_in_the_stream_is_the_clients(
        self, over: Any, frame: dict[str, Any], error: tuple[Any, ...]
    ) -> None:
        frames = self.MESSAGES[:4] if over is cs.ChatOverMessages else self.RESPONSES[:4]
        relay = self.events(over)
        body = b"".join(map(relay.feed, self.stream([*frames, frame, *frames])))
        assert body.endswith(cs.DONE_FRAME)
        *_, last = self.chunks(body)
        assert (last["error"]["message"], last["error"]["type"], last["error"]["code"]) == error
        assert last["error"].keys() == {"message", "type", "param", "code"}
        assert (relay.finish(), relay.error(cs.Busy("x")), relay.feed(self.stream(frames)[-1])) == (b"", b"", b"")
        with pytest.raises(openai.APIError, match=error[0]):
            list(self.client(body).chat.completions.create(model="m", messages=[], stream=True))

    @pytest.mark.parametrize(("over", "frames"), BOTH)
    def test_it_says_whether_the_target_came_to_an_end(self, over: Any, frames: Any) -> None:
        relay = self.events(over)
        for one in self.stream(frames[:-3]):
            relay.feed(one)
        assert not relay.finished
        for one in self.stream(frames[-3:]):
            relay.feed(one)
        assert relay.finished and relay.usage == cs.Usage(10, 40, 3, 7, 2)

    @pytest.mark.parametrize("over", OVER)
    def test_a_stream_that_says_nothing_is_an_empty_answer(self, over: Any) -> None:
        assert self.events(over).feed(b": keep-alive\n\n") == b""
        first, last = self.chunks(self.relayed(over, []))
        assert first["choices"][0]["delta"]["role"] == "assistant" and last["choices"][0]["finish_reason"] == "stop"

    def test_a_stream_holds_a_bounded_part(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cs, "EVENTS_HELD_BYTES", 10_000)
        for over, frame in (
            (
                cs.ChatOverMessages,
                {"type": "content_block_start", "content_block": {"type": "tool_use", "id": "t", "name": "f"}},
            ),
            (cs.ChatOverResponses, {"type": "response.output_text.delta", "delta": "x"}),
        ):
            relay = self.events(over)
            for at in range(100):
                relay.feed(self.stream([{**frame, "index": at, "output_index": at}])[0])
            assert relay.finish() == b""

    def test_usage_that_comes_in_parts_is_the_larger(self) -> None:
        relay = self.events(cs.ChatOverMessages)
        for counted in (
            {"input_tokens": 0, "output_tokens": 0},
            {"input_tokens": 9, "output_tokens": 5},
            {"output_tokens": 7},
            None,
        ):
            relay.feed(self.stream([{"type": "message_delta", "delta": {}, "usage": counted}])[0])
        assert relay.usage == cs.Usage(9, 7)

    KINDS = (*{one["type"] for one in (*MESSAGES, *RESPONSES)}, "error", "response.failed", "response.refusal.delta")

    @FUZZ
    @given(
        st.lists(
            st.tuples(st.sampled_from(sorted(KINDS)), st.dictionaries(event_names, odd_event, max_size=5)), max_size=4
        )
    )
    def test_odd_frames_break_no_stream(self, frames: list[tuple[str, dict[str, Any]]]) -> None:
        for over in self.OVER:
            body = self.relayed(over, [{**fields, "type": kind} for kind, fields in frames])
            assert body.endswith(cs.DONE_FRAME)
            for chunk in self.chunks(body):
                if "error" not in chunk:
                    openai.types.chat.ChatCompletionChunk.model_validate(chunk)

    @FUZZ
    @given(st.lists(odd_event | st.binary(max_size=9), max_size=3))
    def test_odd_payloads_break_no_stream(self, payloads: list[Any]) -> None:
        for over in self.OVER:
            relay = self.events(over)
            for one in payloads:
                relay.feed(b"data: %b\n\n" % (one if isinstance(one, bytes) else json.dumps(one).encode()))
            assert relay.finish().endswith(cs.DONE_FRAME) or relay.finish() == b""
            for one in payloads:
                with contextlib.suppress(cs.UpstreamFailed):
                    over(self.asked()).whole(one if isinstance(one, bytes) else json.dumps(one).encode())

    @FUZZ
    @given(odd_event, odd_event, odd_event)
    def test_odd_answers_are_answers_or_errors(self, content: Any, usage: Any, more: Any) -> None:
        for over in self.OVER:
            answer = {
                "type": "message",
                "content": content,
                "output": content,
                "usage": usage,
                "incomplete_details": more,
                "stop_details": more,
            }
            with contextlib.suppress(cs.UpstreamFailed):
                openai.types.chat.ChatCompletion.model_validate(
                    json.loads(over(self.asked()).whole(json.dumps(answer).encode()))
                )

    def test_a_long_text_goes_through(self) -> None:
        text = "ü" * 3_000_000
        for over, frame in (
            (
                cs.ChatOverMessages,
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
            ),
            (cs.ChatOverResponses, {"type": "response.output_text.delta", "output_index": 0, "delta": text}),
        ):
            assert self.chunks(self.relayed(over, [frame]))[1]["choices"][0]["delta"]["content"] == text


_NAMES = st.text("abcdefghijklmnop_-", min_size=1, max_size=8)
_SAYINGS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=20)
_ARGUMENTS = st.dictionaries(_NAMES, st.one_of(st.integers(-9, 9), _SAYINGS, st.booleans(), st.none()), max_size=3)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Messages of a chat as agents send them: each call of a tool has its result."""
    said: list[dict[str, Any]] = []
    if draw(st.booleans()):
        said.append({"role": "system", "content": draw(_SAYINGS)})
    for turn in range(draw(st.integers(1, 4))):
        said.append({"role": "user", "content": draw(_SAYINGS)})
        calls = [
            {
                "id": f"call-{turn}-{at}",
                "type": "function",
                "function": {"name": draw(_NAMES), "arguments": json.dumps(draw(_ARGUMENTS), separators=(",", ":"))},
            }
            for at in range(draw(st.integers(0, 3)))
        ]
        words = draw(st.one_of(st.none(), _SAYINGS)) if calls else draw(_SAYINGS)
        said.append({"role": "assistant", "content": words, **({"tool_calls": calls} if calls else {})})
        said += [{"role": "tool", "tool_call_id": call["id"], "content": draw(_SAYINGS)} for call in calls]
        if calls:
            said.append({"role": "assistant", "content": draw(_SAYINGS)})
    said.append({"role": "user", "content": draw(_SAYINGS)})
    return said


def plainly(messages: list[dict[str, Any]]) -> list[Any]:
    """Messages of a chat, however their texts and arguments are written."""
    made = []
    for one in messages:
        content = one.get("content")
        if isinstance(content, list):
            content = "".join(part["text"] for part in content)
        calls = [
            (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in one.get("tool_calls", ())
        ]
        made.append((one["role"], content or "", calls, one.get("tool_call_id")))
    return made


def test_halves_of_a_surrogate_pair_reach_a_messages_client() -> None:
    made = cs.MessagesEvents()
    run = b"".join(
        b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % half for half in (b"a\\ud83d", b"\\ude00b")
    )
    told = [json.loads(payload) for payload in cs.payloads(made.feed(run) + made.finish())]
    text = "".join(one["delta"]["text"] for one in told if one["type"] == "content_block_delta")
    assert text.encode("utf-16", "surrogatepass").decode("utf-16") == "a\U0001f600b"


class TestRoundTrips:
    """What is translated there and back again is what it was."""

    WAYS = ((cs.ChatOverMessages, cs.MessagesOverChat), (cs.ChatOverResponses, cs.ResponsesOverChat))

    @pytest.mark.parametrize(("way", "back"), WAYS, ids=["messages", "responses"])
    @given(said=conversations(), tools=st.lists(_NAMES, max_size=3, unique=True), data=st.data())
    def test_requests(self, way: Any, back: Any, said: list[Any], tools: list[str], data: Any) -> None:
        asked: dict[str, Any] = {"model": "m", "messages": said, "max_tokens": 50, "temperature": 0.5, "stream": True}
        if tools:
            shape = {"type": "object", "properties": {"a": {"type": "string"}}}
            named = [{"name": name, "description": f"does {name}", "parameters": shape} for name in tools]
            asked["tools"] = [{"type": "function", "function": {**one, "strict": False}} for one in named]
            picked = {"type": "function", "function": {"name": tools[0]}}
            asked["tool_choice"] = data.draw(st.sampled_from(["auto", "required", "none", picked]))
        over = way(json.dumps(asked).encode())
        again = back(over.body)
        assert (over.dropped, again.dropped) == ((), ())
        found = json.loads(again.body)
        assert plainly(found.pop("messages")) == plainly(asked.pop("messages"))
        found.pop("parallel_tool_calls", None)
        assert found == asked

    @pytest.mark.parametrize(("way", "back"), WAYS, ids=["messages", "responses"])
    @given(
        text=st.one_of(st.none(), _SAYINGS),
        thought=st.one_of(st.none(), _SAYINGS),
        calls=st.lists(st.tuples(_NAMES, _ARGUMENTS), max_size=3),
        counts=st.tuples(*[st.integers(1, 1000)] * 3),
    )
    def test_answers(self, way: Any, back: Any, text: str | None, thought: str | None, calls: Any, counts: Any) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": text or ("" if not calls else None)}
        if thought:
            message["reasoning_content"] = thought
        if calls:
            message["tool_calls"] = [
                {"id": f"c{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
                for at, (name, given) in enumerate(calls)
            ]
        cached, prompt, completion = counts[0], counts[0] + counts[1], counts[2]
        answer = {
            "id": "x", "object": "chat.completion", "created": 5, "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}],
            "usage": {
                "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
                "prompt_tokens_details": {"cached_tokens": cached},
            },
        }  # fmt: skip
        asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        over = way(json.dumps(asked).encode(), 5)
        shaped = back(over.body, 5).whole(json.dumps(answer).encode())
        found = json.loads(over.whole(shaped))
        (choice,) = found["choices"]
        assert plainly([choice["message"]]) == plainly([message])
        assert choice["message"].get("reasoning_content") == thought
        assert (choice["finish_reason"], found["model"]) == (answer["choices"][0]["finish_reason"], "m")
        assert counts_of(found["usage"]) == (prompt, completion, cached)


def counts_of(usage: dict[str, Any]) -> tuple[int, int, int]:
    return usage["prompt_tokens"], usage["completion_tokens"], usage["prompt_tokens_details"]["cached_tokens"]


# == Policy ============================================================================================================

PRICES = cs.PriceTable((HERE / "static" / "prices.json").read_text("utf-8"))
KNOWN = ("zen", "groq", "cerebras", "together", "fireworks", "openrouter", "zen-go", "local")


class TestPolicy:
    @pytest.mark.parametrize(
        ("failures", "wished", "seconds"),
        [
            (1, None, 5.0), (2, None, 10.0), (5, None, 80.0), (100, None, 86_400.0), (10**6, None, 86_400.0),
            (1, 62.5, 62.5), (9, 0.9, 0.9), (1, 1e9, 86_400.0),
        ],
    )  # fmt: skip
    def test_a_cooldown_doubles_unless_the_upstream_says_more(
        self, failures: int, wished: float | None, seconds: float
    ) -> None:
        assert cs.cooldown_s(failures, wished) == seconds

    @pytest.mark.parametrize("failures", [0, -1])
    def test_no_failure_has_no_cooldown(self, failures: int) -> None:
        with pytest.raises(ValueError, match="no cooldown"):
            cs.cooldown_s(failures, None)

    @pytest.mark.parametrize(
        ("status", "words", "bench", "next_key", "next_router", "breaker"),
        [
            (400, "no such parameter", "", False, False, False),
            (413, "too large", "", False, False, False),
            (422, "wrong value", "", False, False, False),
            (404, "no such model", "", False, True, False),
            (401, "bad key", "key", True, True, False),
            (403, "not allowed", "key", True, True, False),
            (402, "pay first", "key", True, True, False),
            (400, "You have reached your usage limit", "key", True, True, False),
            (403, "Insufficient credits", "key", True, True, False),
            (429, "You exceeded your current quota, please check your plan", "key", True, True, False),
            (429, "slow down", "model", True, True, False),
            (408, "timed out", "", False, True, True),
            (500, "oops", "", False, True, True),
            (502, "bad gateway", "", False, True, True),
            (503, "overloaded", "", False, True, True),
            (504, "timed out", "", False, True, True),
            (529, "overloaded", "", False, True, True),
        ],
    )
    def test_a_status_has_its_effect_and_no_other(
        self, status: int, words: str, bench: str, next_key: bool, next_router: bool, breaker: bool
    ) -> None:
        fault = cs.read_fault(status, json.dumps({"error": {"message": words}}).encode())
        assert cs.judge(fault) == cs.Verdict(next_key, next_router, bench, breaker)

    @pytest.mark.parametrize("kind", ["provider_connect", "provider_timeout", "provider_error", "provider_incomplete"])
    def test_a_router_that_cannot_be_reached_counts_to_its_breaker(self, kind: str) -> None:
        assert cs.judge(cs.Fault(kind, "x")) == cs.Verdict(next_router=True, breaker=True)

    def test_zens_model_error_benches_no_key(self) -> None:
        verdict = cs.judge(cs.read_fault(401, fixture("zen-401-modelerror").body))
        assert (verdict.bench, verdict.breaker, verdict.next_router) == ("", False, True)

    def test_every_error_type_of_an_upstream_is_judged(self) -> None:
        for kind in cs.ERROR_TYPES:
            verdict = cs.judge(cs.Fault(kind, "x"))
            assert not (verdict.breaker and verdict.bench)

    def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_probe_through(self) -> None:
        breaker, now = cs.Breaker(), 1000.0
        for _ in range(cs.BREAKER_FAILURES - 1):
            breaker.heard(False, now)
        assert (breaker.state(now), breaker.left_s(now)) == ("closed", 0.0)
        breaker.heard(True, now)
        for _ in range(cs.BREAKER_FAILURES):
            assert breaker.state(now) == "closed"
            breaker.heard(False, now)
        assert (breaker.state(now), breaker.left_s(now + 10)) == ("open", cs.BREAKER_OPEN_S - 10)
        now += cs.BREAKER_OPEN_S
        assert (breaker.state(now), breaker.left_s(now)) == ("half-open", 0.0)
        breaker.probe(now)
        assert breaker.left_s(now + 1) == cs.BREAKER_OPEN_S - 1

    def test_a_probe_that_fails_opens_the_breaker_again_and_one_that_works_closes_it(self) -> None:
        breaker, now = cs.Breaker(), 0.0
        for _ in range(cs.BREAKER_FAILURES):
            breaker.heard(False, now)
        now += cs.BREAKER_OPEN_S
        breaker.probe(now)
        breaker.heard(False, now)
        assert (breaker.state(now), breaker.left_s(now)) == ("open", cs.BREAKER_OPEN_S)
        now += cs.BREAKER_OPEN_S
        breaker.probe(now)
        breaker.heard(True, now)
        assert (breaker.state(now), breaker.left_s(now)) == ("closed", 0.0)

    def test_a_probe_nobody_hears_of_blocks_no_longer_than_an_open_breaker(self) -> None:
        breaker = cs.Breaker()
        for _ in range(cs.BREAKER_FAILURES):
            breaker.heard(False, 0.0)
        breaker.probe(cs.BREAKER_OPEN_S)
        assert breaker.left_s(2 * cs.BREAKER_OPEN_S) == 0.0

    @pytest.mark.parametrize(
        ("model", "router", "expected"),
        [
            ("groq/openai/gpt-oss-120b", "", ("groq", "openai/gpt-oss-120b")),
            ("openrouter/openrouter/auto", "", ("openrouter", "openrouter/auto")),
            ("openrouter/auto", "", ("openrouter", "")),
            ("fireworks/accounts/fireworks/models/x", "", ("fireworks", "accounts/fireworks/models/x")),
            ("accounts/fireworks/models/x", "", ("", "accounts/fireworks/models/x")),
            (
                "together/meta-llama/Llama-3.3-70B-Instruct-Turbo",
                "",
                ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
            ),
            ("meta-llama/x:free", "", ("", "meta-llama/x:free")),
            ("openrouter/meta-llama/x:free", "", ("openrouter", "meta-llama/x:free")),
            ("x:free", "", ("", "x:free")),
            ("nope/x", "", ("", "nope/x")),
            ("GROQ/x", "", ("", "GROQ/x")),
            ("zen-go/glm-4.7", "", ("zen-go", "glm-4.7")),
            ("groq/", "", ("groq", "")),
            ("groq", "", ("", "groq")),
            ("/x", "", ("", "/x")),
            ("auto", "", ("", "")),
            ("", "", ("", "")),
            ("auto", "auto", ("", "")),
            ("groq/x", "auto", ("groq", "x")),
            ("", "groq", ("groq", "")),
            ("auto", "groq", ("groq", "")),
            ("openai/gpt-oss-120b", "groq", ("groq", "openai/gpt-oss-120b")),
            ("openrouter/auto", "openrouter", ("openrouter", "openrouter/auto")),
            ("zen/x", "groq", ("groq", "zen/x")),
            ("groq/compound", "groq", ("groq", "groq/compound")),  # a model of Groq's that has its name in it
            ("x", "nope", ("nope", "x")),
        ],
    )
    def test_a_model_name_is_taken_apart(self, model: str, router: str, expected: tuple[str, str]) -> None:
        name = cs.parse_name(model, router, KNOWN)
        assert (name.router, name.model) == expected

    @pytest.mark.parametrize(
        ("pattern", "targets", "name", "expanded"),
        [
            ("fast", ["groq/a", "zen/b"], "fast", ("groq/a", "zen/b")),
            ("fast", ["groq/a"], "faster", None),
            ("gpt-*", ["openrouter/openai/gpt-*"], "gpt-5", ("openrouter/openai/gpt-5",)),
            ("gpt-*", ["groq/a"], "gpt-", ("groq/a",)),
            ("gpt-*", ["groq/a"], "gp", None),
            ("*-mini", ["zen/*"], "o4-mini", ("zen/o4",)),
            ("a*a", ["zen/*"], "a", None),
            ("*", ["openrouter/{model}"], "x/y:free", ("openrouter/x/y:free",)),
            ("claude-*", ["zen/{model}", "groq/*"], "claude-x", ("zen/claude-x", "groq/x")),
            ("a.c", ["zen/x"], "abc", None),
        ],
    )
    def test_an_alias_stands_for_its_targets(
        self, pattern: str, targets: list[str], name: str, expanded: tuple[str, ...] | None
    ) -> None:
        (alias,) = cs.read_aliases({pattern: targets})
        assert alias.expand(name) == expanded

    def test_exact_names_come_before_patterns_and_long_patterns_before_short_ones(self) -> None:
        written = {"*": "a/x", "gpt-*": "b/x", "gpt-5": {"targets": ["groq/x"], "prefer": "fast"}, "gpt-5*": "c/x"}
        found = [(alias.pattern, alias.prefer) for alias in cs.read_aliases(written)]
        assert found == [("gpt-5", "fast"), ("gpt-5*", ""), ("gpt-*", ""), ("*", "")]

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            (5, "must name a target"), ([], "must name a target"), ("", "must name a target"), ([5], "must name"),
            ({"prefer": "fast"}, "must name a target"), ({"targets": "a/b", "prefer": "best"}, "prefer must be"),
        ],
    )  # fmt: skip
    def test_an_alias_that_cannot_be_is_refused(self, value: Any, words: str) -> None:
        with pytest.raises(cs.SettingsError, match=words):
            cs.read_aliases({"x": value})

    def test_a_pattern_has_one_star(self) -> None:
        with pytest.raises(cs.SettingsError, match="one `\\*` at most"):
            cs.read_aliases({"a*b*": "groq/x"})

    @pytest.mark.parametrize(
        ("router", "model", "prompt", "cached", "completion", "micro_usd"),
        [
            ("groq", "llama-3.3-70b-versatile", 1000, 0, 500, 985),
            ("groq", "openai/gpt-oss-120b", 10_000, 4000, 1000, 1800),
            ("groq", "moonshotai/kimi-k2-instruct-0905", 2000, 500, 100, 2050),
            ("groq", "llama-3.1-8b-instant", 1234, 234, 56, 66.18),
            ("cerebras", "gpt-oss-120b", 3000, 1000, 200, 1200),
            ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", 5000, 0, 250, 4620),
            ("together", "deepseek-ai/DeepSeek-V4.1-Flash", 20_000, 15_000, 1000, 2790),
            ("fireworks", "accounts/fireworks/models/kimi-k2p6", 8000, 6000, 500, 4860),
            ("openrouter", "openai/gpt-5.6-luna-20260801", 10_000, 2000, 100, 1760),
            ("openrouter", "anthropic/claude-sonnet-4.5", 1000, 0, 1000, 18_000),
            ("openai", "gpt-6.1-sol-2026-11-01", 4000, 3000, 600, 8300),
            ("anthropic", "claude-opus-4-5-20251101", 50_000, 40_000, 2000, 120_000),
        ],
    )
    def test_a_golden_row_costs_what_it_costs(
        self, router: str, model: str, prompt: int, cached: int, completion: int, micro_usd: float
    ) -> None:
        usd = cs.cost_usd(cs.Usage(prompt, completion, cached), PRICES.baked(router, model))
        assert usd is not None and usd * 1e6 == pytest.approx(micro_usd, abs=1e-6)

    @pytest.mark.parametrize(("router", "model"), [("groq", "gpt-oss-120b"), ("openrouter", "openrouter/auto")])
    def test_an_unknown_price_is_unknown_and_not_nothing(self, router: str, model: str) -> None:
        assert cs.cost_usd(cs.Usage(1000, 500), PRICES.baked(router, model)) is None

    @pytest.mark.parametrize(
        ("usage", "price", "usd"),
        [
            (cs.Usage(10, 5, cost_usd=0.5), cs.Price(1, 1), 0.5),  # the router knows best
            (cs.Usage(10, 5, cost_usd=0.0), cs.Price(1, 1), 0.0),
            (cs.Usage(10, 5, cost_usd=0.5), None, 0.5),
            (cs.Usage(10, 5, cached=4), cs.Price(1, 2), 20.0),
            (cs.Usage(10, 5, cached=4), cs.Price(1, 2, cached=0.5), 18.0),
            (cs.Usage(10, 5, cached=4, cache_write=3), cs.Price(1, 2, cached=0.5, cache_write=1.25), 18.75),
            (cs.Usage(10, 5, reasoning=5), cs.Price(1, 2), 20.0),  # a part of completion
            (cs.Usage(10, 5, cached=8, cache_write=8), cs.Price(1, 0, 0, 0), 0.0),
            (cs.Usage(10, 5, cached=8, cache_write=8), cs.Price(1, 0, 0.5, 1.25), 6.5),  # no more than 10 were sent
            (cs.Usage(10, 5, cached=10, cache_write=10), cs.Price(1, 0), 10.0),
            (cs.Usage(10, 5), cs.Price(0, 0), 0.0),
        ],
    )
    def test_each_kind_of_token_has_its_price(self, usage: cs.Usage, price: cs.Price | None, usd: float) -> None:
        assert cs.cost_usd(usage, price) == pytest.approx(usd)

    @pytest.mark.parametrize(
        ("rule", "written", "ids", "expected"),
        [
            ("", "fixed", ["a"], "fixed"),
            ("", "", ["a"], ""),
            ("free", "fixed", ["a", "b-free", "c-free"], "b-free"),
            ("free", "fixed", ["a"], "fixed"),
            ("first", "", ["a", "b"], "a"),
            ("first", "fixed", ["a"], "fixed"),
            ("first", "", [], ""),
            ("largest-free", "", ["a:free", "b:free", "c"], "b:free"),
            ("largest-free", "", ["c"], ""),
        ],
    )
    def test_auto_means_the_default_model_by_its_rule(
        self, rule: str, written: str, ids: list[str], expected: str
    ) -> None:
        row = cs.RouterDef("r", "R", "https://r", default_model=written, default_rule=rule)
        models = [cs.Model(model, context_length=at) for at, model in enumerate(ids, 1)]
        assert cs.default_model(row, models) == expected

    @pytest.mark.parametrize(
        ("model", "name", "kept"),
        [
            ("a/x:free", "X 70B", True), ("a/x:free", "X 8B", False), ("a/x:free", "X 1B (free)", False),
            ("a/x-3b:free", "", False), ("a/x:free", "X 13B", True), ("a/x:free", "X 1.7B", True),
            ("a/x:free", "X 27B", True), ("a/x:free", "X 180B A3B", True), ("a/x", "X 70B", False),
            ("a/x:freeish", "X", False), ("a/x:free", "X", True),
        ],
    )  # fmt: skip
    def test_free_models_are_those_worth_asking(self, model: str, name: str, kept: bool) -> None:
        assert bool(cs.free_models([cs.Model(model, name)])) is kept

    def test_free_models_stay_in_the_routers_order(self) -> None:
        models = [cs.Model("b:free"), cs.Model("a:free", context_length=9), cs.Model("c:free")]
        assert cs.free_models(models) == models

    @pytest.mark.parametrize(
        ("kinds", "told"),
        [
            (["provider_rate_limited", "provider_rate_limited"], 1),
            (["provider_error", "provider_overloaded"], 1),
            (["provider_rate_limited", "provider_error"], 0),
            (["provider_error", "provider_billing", "provider_error"], 1),
            (["caller_invalid_request"], 0),
            (["caller_invalid_request", "provider_rate_limited"], 1),  # the last one
            (["provider_connect", "provider_timeout"], 1),
        ],
    )
    def test_the_client_hears_of_what_it_can_act_on(self, kinds: list[str], told: int) -> None:
        faults = [cs.Fault(kind, f"fault {at}") for at, kind in enumerate(kinds)]
        assert cs.told(faults) is faults[told]

    @pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (4000, 1000)])
    def test_tokens_nobody_counted_are_estimated_from_bytes(self, size: int, tokens: int) -> None:
        assert cs.estimated_tokens(size) == tokens


def a_task(**fields: Any) -> cs.Task:
    """A queued task."""
    given: dict[str, Any] = {
        "id": "7", "prompt": "do it", "dir": "", "status": "queued", "created": "2026-11-21T00:00:00Z", "result": "",
        "platform": "shell", "tokens": 0,
    }  # fmt: skip
    return cs.Task(**{**given, **fields})


def a_session(**fields: Any) -> cs.Session:
    given: dict[str, Any] = {
        "id": "s1",
        "agent": "shell",
        "model": "",
        "started_at": "2026-11-21T00:00:00Z",
        "tokens": 0,
    }
    return cs.Session(**{**given, **fields})


class TestTransitions:
    NOW = 1_795_000_000.0

    def test_a_run_opens_a_session_and_its_end_closes_it(self) -> None:
        task = cs.transition(a_task(model="m"), "run", now=self.NOW, session={"run": "abc"})
        assert (task.status, task.phase, task.sessions[0].agent, task.sessions[0].run) == (
            "active",
            "starting",
            "shell",
            "abc",
        )
        assert (session := cs.open_session(task)) is not None and (session.id, session.model) == ("s1", "m")
        over = cs.transition(task, "done", now=self.NOW + 60, session={"tokens": 12}, result="made")
        assert (over.status, over.phase, over.result, over.finished) == ("done", "", "made", cs.iso(self.NOW + 60))
        (closed,) = over.sessions
        assert (closed.result, closed.tokens, closed.ended_at) == ("done", 12, cs.iso(self.NOW + 60))
        assert cs.open_session(over) is None

    def test_tokens_and_cost_are_summed_over_sessions(self) -> None:
        task = a_task()
        for tokens, usd in ((5, 0.5), (7, None), (100, 0.25)):
            task = cs.transition(task, "run", now=self.NOW)
            task = cs.transition(task, "handoff", now=self.NOW, session={"tokens": tokens, "cost_usd": usd})
        assert (task.status, task.tokens, task.cost_usd, len(task.sessions)) == ("queued", 112, 0.75, 3)
        assert [one.id for one in task.sessions] == ["s1", "s2", "s3"]

    def test_a_cost_nobody_knows_is_no_number(self) -> None:
        task = cs.transition(cs.transition(a_task(), "run", now=0), "done", now=0, session={"tokens": 5})
        assert task.cost_usd is None

    @pytest.mark.parametrize(
        ("action", "status", "reason", "result"),
        [
            ("gate", "failed", "gate", "failed"),
            ("crash", "failed", "crash", "failed"),
            ("limit", "failed", "limit", "failed"),
            ("refuse", "failed", "refused", "failed"),
            ("stop", "failed", "stopped", "stopped"),
            ("interrupt", "failed", "interrupted", "interrupted"),
            ("handoff", "queued", "", "handoff"),
            ("wait", "queued", "", "limit"),
            ("done", "done", "", "done"),
            ("next", "active", "", "failed"),
            ("follow", "active", "", "done"),
        ],
    )
    def test_every_end_has_its_reason(self, action: str, status: str, reason: str, result: str) -> None:
        task = cs.transition(cs.transition(a_task(), "run", now=0), action, now=0)
        assert (task.status, task.reason, task.sessions[-1].result) == (status, reason, result)

    @pytest.mark.parametrize("status", ["queued", "active", "done", "failed"])
    @pytest.mark.parametrize("action", list(cs.TRANSITIONS))
    def test_an_action_starts_from_where_its_row_says_and_nowhere_else(self, action: str, status: str) -> None:
        task = a_task(status=status)
        if status in cs.TRANSITIONS[action].of:
            assert cs.transition(task, action, now=0).status == cs.TRANSITIONS[action].to
            return
        with pytest.raises(cs.Conflict, match=f"task 7 is {status}"):
            cs.transition(task, action, now=0)

    def test_what_made_a_task_wait_or_fail_is_gone_when_it_goes_on(self) -> None:
        failed = a_task(
            status="failed", reason="limit", note="x", until="2026-11-21T00:00:00Z", wanted=True, finished="y"
        )
        task = cs.transition(failed, "retry", now=0)
        assert (task.reason, task.note, task.until, task.wanted, task.finished) == ("", "", "", False, "")

    def test_a_cached_context_sent_again_does_not_count_towards_a_budget(self) -> None:
        assert cs.budget_use(a_session(tokens=1000, prompt_tokens=900, completion_tokens=100, cached_tokens=800)) == 200


class TestBriefing:
    AGENT, SCRIPT = cs.Platform("codex", "Codex"), cs.Platform("shell", "Shell", script=True)

    def test_a_first_session_gets_the_prompt_as_it_is(self) -> None:
        prompt = "- do 'it' \"now\" `x` $(y)\n\ttwice\n"
        task = cs.transition(a_task(prompt=prompt), "run", now=0)
        assert cs.briefing(task, self.AGENT) == cs.briefing(task, self.SCRIPT) == (prompt, "")

    def test_after_a_red_gate_an_agent_reads_its_output_and_a_script_finds_it_beside(self) -> None:
        task = cs.transition(a_task(), "run", now=0)
        verdict = {"verdict": "failed", "gate_exit": 3, "gate_output": "2 tests failed"}
        task = cs.transition(cs.transition(task, "next", now=0, session=verdict), "open", now=0)
        prompt, feedback = cs.briefing(task, self.AGENT)
        assert prompt.startswith("do it\n") and "2 tests failed" in prompt and "ended with 3" in prompt
        assert "2 tests failed" in feedback
        assert cs.briefing(task, self.SCRIPT) == ("do it", feedback)

    def test_a_handoff_record_goes_along(self) -> None:
        task = cs.transition(a_task(handoff="half of it is done"), "run", now=0)
        prompt, _ = cs.briefing(task, self.AGENT)
        assert "half of it is done" in prompt

    def test_a_message_is_read_by_the_session_it_was_delivered_to(self) -> None:
        messages = tuple(cs.Message(f"m{n}", f"text {n}", "", session=f"s{n}") for n in (1, 2, 3))
        task = cs.transition(a_task(messages=messages), "run", now=0)
        task = cs.transition(cs.transition(task, "follow", now=0), "open", now=0)
        prompt, _ = cs.briefing(task, self.AGENT)
        assert "text 2" in prompt and "text 1" not in prompt and "text 3" not in prompt
        assert "text 2" in cs.briefing(task, self.SCRIPT)[1]


class TestPlainText:
    @pytest.mark.parametrize(
        ("output", "text"),
        [
            (b"plain\n", "plain\n"),
            (b"\x1b[1;31mred\x1b[0m", "red"),
            (b"\x1b]0;a title\x07after", "after"),
            (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            (b"one\r\ntwo\r\n", "one\ntwo\n"),
            (b"10%\r50%\r100%\n", "100%\n"),
            (b"bell\x07 nul\x00 back\x08", "bell nul back"),
            ("sch\u00f6n \u65e5\u672c".encode(), "sch\u00f6n \u65e5\u672c"),
            (b"bad \xff byte", "bad \ufffd byte"),
            (b"\x1b[?25l\x1b(Bx\x1b=\x1b>", "x"),
            (b"\ttab\n", "\ttab\n"),
        ],
    )
    def test_what_a_terminal_showed_is_read_as_text(self, output: bytes, text: str) -> None:
        assert cs.text_of(output) == text

    def test_a_flood_of_escapes_takes_no_time(self) -> None:
        began = time.monotonic()
        for flood in (b"\x1b[" * 200_000, b"\x1b]" * 200_000, b"\x1bP" * 20_000, b"x\r" * 200_000):
            cs.text_of(flood)
        assert time.monotonic() - began < 5


class TestNewTask:
    def test_it_has_the_next_number_and_what_was_said_of_it(self) -> None:
        state = cs.State({}, 7)
        made = cs.new_task(
            state, {"prompt": "do", "agent": "open-code", "priority": "-3", "in_place": "true", "budget_usd": "0.5"}, 0
        )
        assert (made.id, made.prompt, made.platform, made.priority, made.in_place) == ("7", "do", "open-code", -3, True)
        assert (made.status, made.created, made.budget_usd) == ("queued", "1970-01-01T00:00:00Z", 0.5)
        assert state == cs.State({"7": made}, 8) and not made.wanted
        assert cs.new_task(state, {"prompt": "do", "run": True}, 0).wanted

    @pytest.mark.parametrize("given", [["1", "2", "1"], [1, 2], "1, 2", "1 2"])
    def test_what_it_waits_for_may_be_written_in_many_ways(self, given: Any) -> None:
        state = cs.State({"1": task(1), "2": task(2)}, 3)
        assert cs.new_task(state, {"prompt": "p", "blocked_by": given}, 0).blocked_by == ("1", "2")
        assert cs.new_task(state, {"prompt": "p", "blocked_by": 2}, 0).blocked_by == ("2",)

    def test_what_is_empty_was_not_given(self) -> None:
        empty = {"dir": None, "priority": "", "budget_tokens": "", "blocked_by": "", "isolation": "", "model": None}
        assert cs.new_task(cs.State({}), {"prompt": "p", **empty}, 0) == cs.new_task(cs.State({}), {"prompt": "p"}, 0)

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"prompt": None}, "prompt"), ({"prompt": " \n"}, "prompt"), ({"prompt": 5}, "prompt"),
            ({"prompt": "p" * ((1 << 20) + 1)}, "larger"), ({"prompt": "\ud800"}, "Unicode"), ({"prompt": "a\0b"}, "NUL"),
            ({"dir": "d" * 4097}, "dir is larger"), ({"dir": 5}, "dir"), ({"blocked_by": ["9"]}, "no task 9"),
            ({"blocked_by": "2"}, "wait for itself"), ({"priority": 1001}, "-1000"), ({"priority": "high"}, "priority"),
            ({"priority": 1.5}, "priority"), ({"budget_tokens": 0}, "above 0"), ({"budget_tokens": -1}, "above 0"),
            ({"budget_usd": "nan"}, "budget_usd"), ({"budget_usd": 0}, "above 0"), ({"platform": "Open Code"}, "platform"),
            ({"agent": "../x"}, "platform"), ({"router": "a--b"}, "router"), ({"isolation": "some"}, "isolation"),
            ({"in_place": "perhaps"}, "in_place"), ({"budget_token": 5}, "did you mean 'budget_tokens'"), ({"id": "4"}, "'id'"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_is_refused(self, fields: dict[str, Any], words: str) -> None:
        with pytest.raises(cs.BadRequest, match=re.escape(words)):
            cs.new_task(cs.State({"1": task(1)}, 2), {"prompt": "p", **fields}, 0)

    def test_the_longest_prompt_is_taken(self) -> None:
        assert len(cs.new_task(cs.State({}), {"prompt": "p" * (1 << 20)}, 0).prompt) == 1 << 20

    def test_tasks_do_not_wait_for_each_other(self) -> None:
        state = cs.State({str(n): task(n, blocked_by=(str(n - 1),) if n > 1 else ()) for n in range(1, 2000)})
        cs.check_blockers(state, "2000", ["1999", "5"])
        cs.check_blockers(state, "5", ["3"])
        for blocker in ("1", "2", "1999"):
            with pytest.raises(cs.BadRequest, match="wait for itself"):
                cs.check_blockers(state, "1", [blocker])


# == Store =============================================================================================================


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[cs.Store]:
    made = cs.Store(tmp_path / "state")
    made.open()
    yield made
    await made.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestStore:
    async def test_a_folder_has_one_server(self, store: cs.Store) -> None:
        with pytest.raises(cs.StoreError, match="another chomp") as caught:
            cs.Store(store.folder).open()
        assert str(store.folder) in str(caught.value) and "CHOMP_DIR" in str(caught.value)
        await store.close()
        cs.Store(store.folder).open()

    def test_a_folder_is_made_for_its_user_alone(self, tmp_path: Path) -> None:
        cs.Store(tmp_path / "a" / "state").open()
        assert mode(tmp_path / "a" / "state") == 0o700

    def test_a_folder_that_cannot_be_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "state").write_text("a file")
        with pytest.raises(cs.StoreError, match="cannot use"):
            cs.Store(tmp_path / "state").open()

    def test_the_token_is_made_once_and_readable_by_its_user_only(self, store: cs.Store) -> None:
        token = store.token()
        assert len(token) >= 32 and token.isascii()
        assert cs.Store(store.folder).token() == token
        assert mode(store.folder / "token") == 0o600
        assert [path.name for path in store.folder.iterdir() if "tmp" in path.name] == []

    def test_two_folders_have_two_tokens(self, store: cs.Store, tmp_path: Path) -> None:
        other = cs.Store(tmp_path / "other")
        other.open()
        assert other.token() != store.token()

    def test_a_token_the_person_wrote_is_kept(self, store: cs.Store) -> None:
        (store.folder / "token").write_text("my own long token\n")
        assert store.token() == "my own long token"

    def test_an_empty_token_file_is_no_token(self, store: cs.Store) -> None:
        (store.folder / "token").write_text("\n")
        assert len(store.token()) >= 32

    def test_without_files_there_is_nothing(self, store: cs.Store) -> None:
        assert (store.dotenv(), store.overrides(), store.keys()) == ({}, {}, {})

    def test_files_are_read(self, store: cs.Store) -> None:
        (store.folder / ".env").write_text("A=1\n")
        (store.folder / "settings.json").write_text('{"server":{"port":1}}')
        (store.folder / "keys.json").write_text('{"GROQ_API_KEY":"k","B":5}')
        assert store.dotenv() == {"A": "1"}
        assert store.overrides() == {"server": {"port": 1}}
        assert store.keys() == {"GROQ_API_KEY": "k"}

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("settings.json", b"{"), ("settings.json", b"[]"), ("settings.json", b"\xff"), ("keys.json", b'{"a":}'),
            ("keys.json", b'"secret-text"'), (".env", b"A=\xff"), ("settings.json", b"[" * 100_000),
        ],
    )  # fmt: skip
    def test_a_broken_file_stops_the_start_and_is_named(self, store: cs.Store, name: str, text: bytes) -> None:
        (store.folder / name).write_bytes(text)
        readers = {"settings.json": store.overrides, "keys.json": store.keys, ".env": store.dotenv}
        with pytest.raises(cs.StoreError, match=re.escape(str(store.folder / name))) as caught:
            readers[name]()
        assert "secret-text" not in str(caught.value)
        assert (store.folder / name).read_bytes() == text

    async def test_what_is_written_is_read_by_column_name(self, store: cs.Store) -> None:
        def work(connection: sqlite3.Connection) -> int:
            connection.execute("CREATE TABLE t (a, b)")
            return connection.execute("INSERT INTO t VALUES (1, 'x'), (2, 'y')").rowcount

        assert await store.database.write(work) == 2
        assert await store.database.read("SELECT a, b FROM t WHERE a > ?", (1,)) == [{"a": 2, "b": "y"}]

    async def test_a_transaction_that_fails_leaves_nothing(self, store: cs.Store) -> None:
        await store.database.write(lambda connection: connection.execute("CREATE TABLE t (a)") and None)

        def half(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO t VALUES (1)")
            raise RuntimeError("in the middle")

        with pytest.raises(RuntimeError, match="in the middle"):
            await store.database.write(half)
        assert await store.database.read("SELECT * FROM t") == []
        await store.database.write(lambda connection: connection.execute("INSERT INTO t VALUES (2)") and None)
        assert await store.database.read("SELECT * FROM t") == [{"a": 2}]

    async def test_a_commit_that_fails_does_not_block_the_next_one(self, store: cs.Store) -> None:
        def doubtful(connection: sqlite3.Connection) -> None:
            connection.commit()
            connection.execute("PRAGMA foreign_keys=ON")  # only outside a transaction
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE parent (id PRIMARY KEY)")
            connection.execute("CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
            connection.execute("INSERT INTO child VALUES (1)")

        with pytest.raises(sqlite3.IntegrityError):
            await store.database.write(doubtful)
        await store.database.write(lambda connection: connection.execute("CREATE TABLE t (a)") and None)
        assert await store.database.read("SELECT * FROM t") == []

    async def test_writes_follow_one_another_and_readers_see_whole_ones(self, store: cs.Store) -> None:
        await store.database.write(lambda connection: connection.execute("CREATE TABLE t (a)") and None)

        def pair(connection: sqlite3.Connection) -> None:
            (count,) = connection.execute("SELECT count(*) FROM t").fetchone()
            connection.execute("INSERT INTO t VALUES (?)", (count,))
            connection.execute("INSERT INTO t VALUES (?)", (count + 1,))

        async def watch() -> list[int]:
            return [(await store.database.read("SELECT count(*) AS n FROM t"))[0]["n"] for _ in range(20)]

        seen, *_ = await asyncio.gather(watch(), *(store.database.write(pair) for _ in range(20)))
        assert all(count % 2 == 0 for count in seen)
        assert await store.database.read("SELECT count(DISTINCT a) AS n FROM t") == [{"n": 40}]

    async def test_the_database_is_readable_by_its_user_only(self, tmp_path: Path) -> None:
        (tmp_path / "state").mkdir(mode=0o755)
        store = cs.Store(tmp_path / "state")
        store.open()
        await store.database.write(lambda connection: connection.execute("CREATE TABLE t (a)") and None)
        await store.database.read("SELECT * FROM t")
        found = {path.name: mode(path) for path in store.folder.glob("chomp.db*")}
        await store.close()
        assert found.pop("chomp.db") == 0o600
        assert set(found.values()) <= {0o600}

    async def test_closing_waits_for_work_in_hand(self, store: cs.Store) -> None:
        await store.database.write(lambda connection: connection.execute("CREATE TABLE t (a)") and None)
        writes = [
            asyncio.ensure_future(store.database.write(lambda c: c.execute("INSERT INTO t VALUES (1)") and None))
            for _ in range(50)
        ]
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*writes)
        again = sqlite3.connect(store.folder / "chomp.db")
        assert again.execute("SELECT count(*) FROM t").fetchone() == (50,)
        again.close()


class TestWorkFiles:
    """Files in folders an agent may write to."""

    def test_events_are_read_on_from_where_the_last_look_ended(self, tmp_path: Path) -> None:
        path = tmp_path / "events"
        path.write_bytes(b'{"a": 1}\nno json\n[1]\n{"b": 2}\n{"c"')
        found, offset = cs.WorkFiles.events(path, 0)
        assert found == [{"a": 1}, {"b": 2}]
        with path.open("ab") as file:
            file.write(b": 3}\n")
        assert cs.WorkFiles.events(path, offset) == ([{"c": 3}], path.stat().st_size)

    def test_a_line_without_end_is_passed_over(self, tmp_path: Path) -> None:
        path = tmp_path / "events"
        path.write_bytes(b"x" * (cs.EVENTS_BYTES + 10) + b'\n{"a": 1}\n')
        _, offset = cs.WorkFiles.events(path, 0)
        assert offset == cs.EVENTS_BYTES
        assert cs.WorkFiles.events(path, offset)[0] == [{"a": 1}]

    def test_a_link_or_a_pipe_in_the_place_of_a_file_is_not_read(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text('{"key": "sk-secret"}\n')
        (tmp_path / "link").symlink_to(secret)
        os.mkfifo(tmp_path / "pipe")
        for name in ("link", "pipe", "missing", "."):
            assert cs.WorkFiles.events(tmp_path / name, 0) == ([], 0)
            assert not cs.WorkFiles.same(tmp_path / name, secret)

    def test_a_gate_is_kept_once_and_compared_by_its_bytes(self, tmp_path: Path) -> None:
        gate, kept = tmp_path / "repo" / "gate.sh", tmp_path / "task" / "gate"
        gate.parent.mkdir()
        gate.write_text("exit 1\n")
        gate.chmod(0o755)
        assert cs.WorkFiles.keep(gate, kept, tmp_path / "repo") == kept
        assert os.access(kept, os.X_OK) and cs.WorkFiles.same(gate, kept)
        when = gate.stat()
        gate.write_text("exit 0\n")
        os.utime(gate, ns=(when.st_atime_ns, when.st_mtime_ns))
        assert not cs.WorkFiles.same(gate, kept)
        cs.WorkFiles.keep(gate, kept, tmp_path / "repo")
        assert kept.read_text() == "exit 1\n"

    def test_a_gate_outside_of_the_folder_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "repo").mkdir()
        (tmp_path / "outside.sh").write_text("exit 0\n")
        (tmp_path / "repo" / "gate.sh").symlink_to(tmp_path / "outside.sh")
        for name in ("gate.sh", "../outside.sh", "missing.sh"):
            assert cs.WorkFiles.keep(tmp_path / "repo" / name, tmp_path / "kept", tmp_path / "repo") is None

    def test_a_prompt_is_written_byte_for_byte_and_not_through_a_link(self, tmp_path: Path) -> None:
        home, prompt = tmp_path / "task" / "home", tmp_path / "task" / "prompt"
        text = "-x 'q' \"d\" `b` $(c)\r\n\u00fc"
        cs.WorkFiles.write(home, {str(prompt): text})
        assert prompt.read_bytes() == b"-x 'q' \"d\" `b` $(c)\r\n\xc3\xbc"
        (link := tmp_path / "task" / "link").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OSError):
            cs.WorkFiles.write(home, {str(link): text})
        assert not (tmp_path / "elsewhere").exists()


def task(task_id: int | str, **more: Any) -> cs.Task:
    fields = {"dir": "", "status": "queued", "created": cs.iso(1e9), "result": "", "platform": "", "tokens": 0}
    return cs.Task(**{"id": str(task_id), "prompt": f"do {task_id}", **fields, **more})


def finished(task_id: int, **more: Any) -> cs.Task:
    """A task that ended the later, the higher its number."""
    return task(task_id, status="done", finished=cs.iso(1e9 + task_id), tokens=10, cost_usd=0.5, **more)


def add(store: cs.Store, *tasks: cs.Task) -> None:
    with store.change() as state:
        state.tasks.update({one.id: one for one in tasks})


def opened(folder: Path) -> cs.Store:
    store = cs.Store(folder)
    store.open()
    return store


async def reopened(store: cs.Store) -> cs.Store:
    await store.close()
    return opened(store.folder)


class Disk:
    """Stands before the function that writes files: what happens first may be told, and it counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.names: list[str] = []
        self.bytes = 0
        self.before: Callable[[], object] = lambda: None
        self._write = cs._write_file
        monkeypatch.setattr(cs, "_write_file", self.write)

    def write(self, path: Path, data: bytes) -> None:
        self.names.append(path.name)
        self.bytes += len(data)
        before, self.before = self.before, lambda: None
        before()
        self._write(path, data)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


class TestState:
    def file(self, store: cs.Store) -> Any:
        return json.loads((store.folder / "state.json").read_bytes())

    def outside(self, store: cs.Store, found: Any) -> None:
        """Writes the state as `jq … > tmp && mv tmp state.json` does."""
        temporary = store.folder / "from-jq"
        temporary.write_bytes(found if isinstance(found, bytes) else json.dumps(found).encode())
        temporary.replace(store.folder / "state.json")

    async def test_without_a_file_there_are_no_tasks(self, store: cs.Store) -> None:
        assert (store.state.tasks, store.state.next_id, store.state.archived) == ({}, 1, cs.Archived())
        assert not (store.folder / "state.json").exists()

    async def test_what_is_saved_is_on_disk_for_people_to_read(self, store: cs.Store) -> None:
        add(
            store,
            task(
                1, prompt="zwölf\nlines", sessions=(cs.Session(id="s1", agent="a", model="", started_at="", tokens=5),)
            ),
        )
        await store.saved()
        text = (store.folder / "state.json").read_text("utf-8")
        assert '\n  "tasks": [\n    {\n      "id": "1",\n      "prompt": "zwölf\\nlines",\n' in text
        assert '"sessions": [\n        {\n          "id": "s1"' in text
        assert json.loads(text)["next_id"] == 2
        assert mode(store.folder / "state.json") == 0o600
        assert [path.name for path in store.folder.iterdir() if "tmp" in path.name] == []

    async def test_what_was_written_is_read_again(self, store: cs.Store) -> None:
        session = cs.Session(
            id="s1", agent="a", model="m", started_at="x", tokens=5, cost_usd=0.25, warnings=("w",), exit_code=-9
        )
        add(
            store,
            task(1, sessions=(session,), messages=(cs.Message("m1", "hi", "then"),), verified=False),
            task(7, blocked_by=("1",)),
        )
        before = store.state
        again = await reopened(store)
        assert again.state == before and list(again.state.tasks) == ["1", "7"] and again.state.next_id == 8

    async def test_an_error_rolls_everything_back(self, store: cs.Store, disk: Disk) -> None:
        add(store, task(1))
        before = store.state
        with pytest.raises(cs.Conflict), store.change() as state:
            state.tasks["1"] = task(1, prompt="else")
            state.tasks["2"] = task(2)
            state.next_id = 9
            raise cs.Conflict("no")
        assert store.state is before and list(before.tasks) == ["1"] and before.next_id == 2
        await store.saved()
        assert self.file(store)["next_id"] == 2 and disk.names == ["state.json.tmp"]

    async def test_what_is_read_meanwhile_is_the_state_of_before(self, store: cs.Store) -> None:
        with store.change() as state:
            state.tasks["1"] = task(1)
            assert store.state.tasks == {}
        assert list(store.state.tasks) == ["1"]

    async def test_a_change_inside_a_change_is_refused(self, store: cs.Store) -> None:
        with pytest.raises(RuntimeError, match="inside"), store.change() as state:
            state.tasks["1"] = task(1)
            add(store, task(2))
        assert store.state.tasks == {}
        add(store, task(3))
        assert list(store.state.tasks) == ["3"]

    async def test_a_change_needs_an_open_store(self, store: cs.Store) -> None:
        await store.close()
        with pytest.raises(RuntimeError, match="not open"), store.change():
            pass

    async def test_a_change_of_nothing_writes_nothing(self, store: cs.Store, disk: Disk) -> None:
        add(store, task(1))
        await store.saved()
        add(store, store.state.tasks["1"])
        await store.saved()
        await store.close()
        assert disk.names == ["state.json.tmp"]

    @pytest.mark.parametrize(
        "wrong", [task(1, prompt="\ud800"), task("../x"), task(1, tokens="many"), task(1, status="lost"), task("01")]
    )
    async def test_what_could_not_be_read_again_is_not_taken(self, store: cs.Store, wrong: cs.Task) -> None:
        add(store, task(5))
        with pytest.raises((cs.BadRequest, ValueError)):
            add(store, wrong)
        assert list(store.state.tasks) == ["5"]

    async def test_changes_that_come_in_during_a_write_share_the_next_one(self, store: cs.Store, disk: Disk) -> None:
        go, writing = threading.Event(), threading.Event()
        disk.before = lambda: (writing.set(), go.wait(PATIENCE_S))
        add(store, task(1))
        await until(writing.is_set, "no write")
        for number in range(2, 30):
            add(store, task(number))
        waiting = [asyncio.ensure_future(store.saved()) for _ in range(5)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # whoever leaves takes nobody along
        assert not (store.folder / "state.json").exists()
        go.set()
        await soon(asyncio.gather(*waiting[1:]))
        assert disk.names == ["state.json.tmp"] * 2 and len(self.file(store)["tasks"]) == 29

    async def test_closing_writes_what_was_changed(self, store: cs.Store) -> None:
        add(store, task(1))
        again = await reopened(store)
        assert list(again.state.tasks) == ["1"]
        await again.close()

    def test_a_change_without_a_loop_is_written_at_the_end(self, tmp_path: Path) -> None:
        store = cs.Store(tmp_path)
        store.open()
        add(store, task(1))
        asyncio.run(store.close())
        assert len(self.file(store)["tasks"]) == 1

    async def test_numbers_are_never_used_again(self, store: cs.Store) -> None:
        add(store, task(8))
        with store.change() as state:
            del state.tasks["8"]
            state.next_id = 1
        again = await reopened(store)
        assert (again.state.tasks, again.state.next_id) == ({}, 9)
        await again.close()

    # what others write

    async def test_a_change_made_outside_is_taken_over_before_ours(self, store: cs.Store) -> None:
        add(store, task(1), task(2))
        await store.saved()
        found = self.file(store)
        found["tasks"][0]["prompt"] = "by jq"
        del found["tasks"][1]
        self.outside(store, found)
        add(store, task(3))
        assert {one.id: one.prompt for one in store.state.tasks.values()} == {"1": "by jq", "3": "do 3"}
        await store.saved()
        assert [one["prompt"] for one in self.file(store)["tasks"]] == ["by jq", "do 3"]
        before = json.loads((store.folder / "state.json.1").read_bytes())
        assert [one["prompt"] for one in before["tasks"]] == ["do 1", "do 2"]

    async def test_readers_can_ask_for_changes_made_outside(self, store: cs.Store) -> None:
        add(store, task(1))
        await store.saved()
        assert store.refresh() is False
        self.outside(store, {"tasks": [{"id": 4, "prompt": "by jq"}]})
        assert store.refresh() is True
        assert store.state == cs.State({"4": task(4, prompt="by jq", created="")}, 5)
        assert store.refresh() is False

    async def test_a_file_edited_in_place_is_noticed(self, store: cs.Store) -> None:
        add(store, task(1))
        await store.saved()
        path = store.folder / "state.json"
        path.write_text(path.read_text().replace("do 1", "do X"))
        assert store.refresh() and store.state.tasks["1"].prompt == "do X"

    async def test_what_was_not_yet_written_is_put_on_top_of_it(self, store: cs.Store, disk: Disk) -> None:
        add(store, task(1), task(2), task(3))
        await store.saved()
        found = self.file(store)
        found["tasks"][0]["prompt"] = "by jq"  # of a task we change, too: ours is later
        found["tasks"][1]["prompt"] = "by jq"
        disk.before = lambda: self.outside(store, found)  # after the look before the write
        with store.change() as state:
            state.tasks["1"] = task(1, prompt="ours")
            del state.tasks["3"]
        await store.saved()
        assert {one["id"]: one["prompt"] for one in self.file(store)["tasks"]} == {"1": "ours", "2": "by jq"}
        assert {one.id: one.prompt for one in store.state.tasks.values()} == {"1": "ours", "2": "by jq"}

    async def test_a_change_outside_during_a_write_is_taken_over_by_the_next_change(
        self, store: cs.Store, disk: Disk
    ) -> None:
        add(store, task(1))
        await store.saved()
        found = self.file(store)
        found["tasks"][0]["prompt"] = "by jq"
        go, moved = threading.Event(), threading.Event()
        disk.before = lambda: (self.outside(store, found), moved.set(), go.wait(PATIENCE_S))
        add(store, task(2))
        await until(moved.is_set, "no write")
        asyncio.get_running_loop().call_soon(go.set)
        threading.Timer(0.05, go.set).start()  # `change` waits for that write, so the loop cannot
        add(store, task(3))
        assert {one.id: one.prompt for one in store.state.tasks.values()} == {"1": "by jq", "2": "do 2", "3": "do 3"}
        await store.saved()
        assert [one["prompt"] for one in self.file(store)["tasks"]] == ["by jq", "do 2", "do 3"]

    async def test_tasks_on_their_way_to_the_archive_are_counted_once(self, store: cs.Store, disk: Disk) -> None:
        store.finished = 1
        add(store, finished(1), finished(2))
        await store.saved()
        found = self.file(store)
        found["tasks"].append({"id": "9", "prompt": "by jq"})
        disk.before = lambda: self.outside(store, found)
        add(store, finished(3))
        await store.saved()
        assert list(store.state.tasks) == ["9", "3"] and store.state.archived == cs.Archived(2, 20, 1.0)
        assert self.file(store)["archived"]["count"] == 2
        assert len((store.folder / "archive.jsonl").read_bytes().splitlines()) == 2
        again = await reopened(store)
        assert again.state == store.state and [one.id for one in await again.archived(9)] == ["2", "1"]
        await again.close()

    async def test_two_new_tasks_of_one_number_both_stay(self, store: cs.Store, disk: Disk) -> None:
        add(store, task(1))
        await store.saved()
        found = self.file(store)
        found["tasks"].append({"id": "2", "prompt": "by jq"})
        found["next_id"] = 3
        disk.before = lambda: self.outside(store, found)
        add(store, task(2, prompt="ours"))
        await store.saved()
        assert {one["id"]: one["prompt"] for one in self.file(store)["tasks"]} == {
            "1": "do 1",
            "2": "ours",
            "3": "by jq",
        }
        assert store.state.next_id == 4

    async def test_a_broken_file_is_left_alone_and_changes_wait_for_it(
        self, store: cs.Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        add(store, task(1))
        await store.saved()
        broken = b'{"tasks": [\n  {"id": "1",}\n]}'
        self.outside(store, broken)
        for _ in range(3):
            with pytest.raises(cs.Unavailable) as caught, store.change():
                raise AssertionError("the block is not entered")
        assert caught.value.status == 503 and caught.value.code == "state_unreadable"
        assert str(store.folder / "state.json") in str(caught.value) and "line 2, column 14" in str(caught.value)
        assert store.refresh() is False and store.fault == str(caught.value)
        assert len(caplog.records) == 1
        assert list(store.state.tasks) == ["1"]
        await store.saved()
        assert (store.folder / "state.json").read_bytes() == broken
        self.outside(store, {"tasks": [{"id": "1", "prompt": "mended"}]})
        add(store, task(2))
        await store.saved()
        assert [one["prompt"] for one in self.file(store)["tasks"]] == ["mended", "do 2"]
        assert store.fault == ""

    async def test_a_broken_file_that_is_moved_away_is_written_anew(self, store: cs.Store) -> None:
        add(store, task(1))
        await store.saved()
        self.outside(store, b"")
        assert store.refresh() is False and store.fault
        (store.folder / "state.json").unlink()
        add(store, task(2))
        await store.saved()
        assert len(self.file(store)["tasks"]) == 2 and store.fault == ""

    async def test_a_broken_file_is_not_written_over_by_what_waits(
        self, store: cs.Store, disk: Disk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cs, "STATE_RETRY_S", 0.01)
        disk.before = lambda: self.outside(store, b"{")
        add(store, task(1))
        with pytest.raises(cs.Unavailable, match="line 1"):
            await store.saved()
        assert (store.folder / "state.json").read_bytes() == b"{"
        self.outside(store, {"tasks": [{"id": "5", "prompt": "mended"}]})
        await until(lambda: len(self.file(store)["tasks"]) == 2, "not tried again")
        await store.saved()
        assert list(store.state.tasks) == ["5", "1"]

    # what older versions wrote

    async def test_files_of_older_versions_are_read(self, store: cs.Store) -> None:
        await store.close()
        (store.folder / "state.json").write_text(
            """{"tasks": [
              {"id": 1, "prompt": "p", "dir": null, "status": "done", "created": "2025-01-02T03:04:05Z", "result": null,
               "platform": null, "tokens": null},
              {"id": "3", "prompt": "q", "tokens": "12000", "color": "blue", "sessions": null, "budget_exceeded": "true"},
              {"id": "4", "prompt": "r", "dir": "/x", "status": "active", "created": "c", "result": "", "platform": "opencode",
               "tokens": 5, "model": "m", "blocked_by": [1, "3"],
               "sessions": [{"id": "s1", "agent": "opencode", "model": null, "started_at": "t", "tokens": "5", "sandbox_id": "x"}]}
            ], "next_id": "9", "theme": {}}"""
        )
        store.open()
        one, three, four = store.state.tasks.values()
        assert one == task(1, prompt="p", status="done", created="2025-01-02T03:04:05Z")
        assert three == task(3, prompt="q", created="", tokens=12000, budget_exceeded=True)
        assert four.blocked_by == ("1", "3") and four.sessions[0].tokens == 5 and four.sessions[0].sandbox_id == "x"
        assert store.state.next_id == 9

    @pytest.mark.parametrize("text", ["{}", '{"tasks": null, "next_id": null}', '{"tasks": []}'])
    async def test_a_file_without_tasks_has_none(self, store: cs.Store, text: str) -> None:
        (store.folder / "state.json").write_text(text)
        assert (await reopened(store)).state == cs.State({})

    @pytest.mark.parametrize(
        ("data", "place"),
        [
            (b"", "line 1, column 1"), (b"\0" * 64, "line 1, column 1"), (b'{"tasks": [', "line 1, column 12"),
            (b'{"tasks": [\n {"id": "1", "prompt": "\xff"}]}', "line 2, column 25"), (b"[" * 100_000, "nested"),
            (b"[]", "not an object"), (b"null", "not an object"), (b'{"tasks": {}}', "tasks is not an array"),
            (b'{"tasks": [1]}', r"tasks[0] is not an object"), (b'{"tasks": [{}]}', "tasks[0].id"),
            (b'{"tasks": [{"id": "../../x"}]}', "tasks[0].id"), (b'{"tasks": [{"id": true}]}', "tasks[0].id"),
            (b'{"tasks": [{"id": 1}, {"id": "1"}]}', "two tasks have the id 1"),
            (b'{"tasks": [{"id": 1}, {"id": 2, "status": "paused"}]}', 'tasks[1] (task 2): the status "paused" is unknown'),
            (b'{"tasks": [{"id": 1, "tokens": "abc"}]}', "$.tokens"),
            (b'{"tasks": [{"id": 1, "sessions": [{"id": "s1"}, {"tokens": 1}]}]}', "$.sessions[1]"),
            (b'{"tasks": [{"id": 1, "sessions": [{"id": "../../x"}]}]}', "session"),
            (b'{"tasks": [{"id": 1, "sessions": ["s1"]}]}', "tasks[0] (task 1).sessions[0]"),
            (b'{"next_id": "x"}', "next_id"), (b'{"next_id": -4}', "next_id"), (b'{"archived": 3}', "archived"),
            (b'{"next_id": 99999999999999999999999}', "next_id"), (b'{"next_id": 1e999}', "line 1"),
        ],
    )  # fmt: skip
    async def test_a_broken_file_stops_the_start_and_the_place_is_named(
        self, store: cs.Store, data: bytes, place: str
    ) -> None:
        await store.close()
        path = store.folder / "state.json"
        path.write_bytes(data)
        with pytest.raises(cs.StoreError) as caught:
            store.open()
        words = str(caught.value)
        assert str(path) in words and place in words and "bin/chomp state restore" in words
        assert path.read_bytes() == data
        path.unlink()
        opened(store.folder).unlock()  # nothing holds the lock

    async def test_a_file_that_is_none_or_far_too_large_is_refused(self, store: cs.Store) -> None:
        await store.close()
        path = store.folder / "state.json"
        path.mkdir()
        with pytest.raises(cs.StoreError, match="directory"):
            store.open()
        path.rmdir()
        with path.open("wb") as file:
            file.truncate(cs.STATE_BYTES + 1)
        with pytest.raises(cs.StoreError, match="256 MiB"):
            store.open()

    # copies

    async def test_copies_are_kept_at_intervals(self, tmp_path: Path) -> None:
        now = 1e9
        store = cs.Store(tmp_path, lambda: now)
        store.open()
        for number in range(1, 40):
            now += 120
            add(store, task(number))
            await store.saved()
        await store.close()
        found = store.copies()
        assert [row["name"] for row in found] == [f"state.json.{number}" for number in range(1, 6)]
        counts = [row["tasks"] for row in found]
        assert all(newer - older == 5 for newer, older in itertools.pairwise(counts)) and counts[0] >= 33
        assert {mode(tmp_path / row["name"]) for row in found} == {0o600}

    async def test_starts_in_a_row_do_not_use_the_copies_up(self, store: cs.Store) -> None:
        for number in range(1, 9):
            add(store, task(number))
            store = await reopened(store)
        assert [row["tasks"] for row in store.copies()] == [1]
        await store.close()

    async def test_a_start_keeps_a_copy_of_what_it_finds(self, store: cs.Store) -> None:
        add(store, task(1))
        await store.close()
        for days, number in ((1, 2), (2, 3), (2, 4)):
            later = cs.Store(store.folder, lambda: time.time() + days * 86400.0)  # noqa: B023
            later.open()
            os.utime(store.folder / "state.json.1", (time.time() + days * 86400.0,) * 2)
            add(later, task(number))
            await later.close()
        assert [row["tasks"] for row in store.copies()] == [2, 1]

    async def test_a_copy_is_put_back_and_what_was_there_is_kept(self, store: cs.Store) -> None:
        add(store, task(1))
        store = await reopened(store)
        add(store, task(2))
        await store.close()
        (store.folder / "state.json").write_bytes(b"\0\0\0")
        store.lock()
        assert list(store.restore("state.json.1").tasks) == ["1"]
        rows = store.copies()
        assert [(row["name"], "error" in row) for row in rows] == [("state.json.1", True), ("state.json.2", False)]
        assert (store.folder / "state.json.1").read_bytes() == b"\0\0\0"
        for name in ("state.json.1", "state.json.5", "../secret", "state.json", "lock", ""):
            with pytest.raises(cs.StoreError):
                store.restore(name)
        store.unlock()
        store = opened(store.folder)
        assert list(store.state.tasks) == ["1"]
        await store.close()

    async def test_a_file_that_is_gone_at_the_start_is_told_of(
        self, store: cs.Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        add(store, task(1))
        store = await reopened(store)
        (store.folder / "state.json").unlink()
        store = await reopened(store)
        assert store.state.tasks == {} and "state.json.1" in caplog.text
        await store.close()

    # the archive

    async def test_finished_tasks_past_their_number_go_to_the_archive(self, store: cs.Store) -> None:
        store.finished = 3
        add(store, *(finished(number) for number in (5, 1, 4, 2, 6, 3)), task(7), finished(8, deleted="now"))
        assert list(store.state.tasks) == ["5", "4", "6", "7", "8"]
        assert store.state.archived == cs.Archived(3, 30, 1.5)
        assert [one.id for one in await store.archived(10)] == ["3", "2", "1"]
        await store.saved()
        assert [one.id for one in await store.archived(10)] == ["3", "2", "1"]
        lines = (store.folder / "archive.jsonl").read_text().splitlines()
        assert [json.loads(line)["id"] for line in lines] == ["1", "2", "3"]
        assert mode(store.folder / "archive.jsonl") == 0o600
        again = await reopened(store)
        assert again.state.archived == cs.Archived(3, 30, 1.5)
        assert await again.archived_task("2") == finished(2)
        assert await again.archived_task("5") is None and await again.archived_task("99") is None
        await again.close()

    async def test_failed_ones_go_too_and_without_a_number_none(self, store: cs.Store) -> None:
        store.finished = None
        add(store, *(finished(number) for number in range(1, 300)))
        assert len(store.state.tasks) == 299
        store.finished = 1
        add(store, task(300, status="failed", finished=cs.iso(0)))
        assert list(store.state.tasks) == ["299"] and store.state.archived.count == 299

    async def test_a_task_that_is_waited_for_stays(self, store: cs.Store) -> None:
        store.finished = 1
        waiting = [
            task(10, blocked_by=("1",)),
            task(11, status="active", blocked_by=("2",)),
            finished(12, blocked_by=("3",)),
        ]
        add(store, *(finished(number) for number in (1, 2, 3, 4)), *waiting)
        assert list(store.state.tasks) == ["1", "2", "10", "11", "12"]
        with store.change() as state:
            state.tasks["10"] = finished(10)
        assert list(store.state.tasks) == ["2", "11", "12"]  # 10 ended before 12, and 1 is no longer waited for

    async def test_pages_of_the_archive_follow_one_another(self, store: cs.Store, disk: Disk) -> None:
        store.finished = 0
        add(store, *(finished(number, prompt="p" * 3000) for number in range(1, 101)))
        await store.saved()
        go = threading.Event()
        disk.before = lambda: go.wait(PATIENCE_S)
        add(store, *(finished(number) for number in range(101, 106)))  # not yet on disk
        found, before = [], ""
        while page := await store.archived(7, before):
            found += [int(one.id) for one in page]
            before = page[-1].id
        go.set()
        assert found == list(range(105, 0, -1))
        assert await store.archived(5, "999") == []

    async def test_a_change_stays_cheap_with_ten_thousand_tasks_done(self, store: cs.Store, disk: Disk) -> None:
        store.finished = 5
        add(store, *(finished(number) for number in range(1, 11)))
        await store.saved()
        small = (store.folder / "state.json").stat().st_size
        add(store, *(finished(number, prompt="p" * 500) for number in range(11, 10_011)))
        add(store, *(finished(number) for number in range(10_011, 10_016)))
        await store.saved()
        archive = store.folder / "archive.jsonl"
        size, disk.bytes = archive.stat().st_size, 0
        assert store.state.archived.count == 10_010 and size > 5 << 20
        add(store, finished(10_016))
        await store.saved()
        assert disk.bytes < small + 200
        assert archive.stat().st_size - size < 300
        store = await reopened(store)

        def read_bytes() -> int:
            return int(re.findall(r"rchar: (\d+)", Path("/proc/self/io").read_text())[0])

        before = read_bytes()
        assert [one.id for one in await store.archived(3)] == ["10011", "10010", "10009"]
        assert read_bytes() - before < 1 << 20
        assert (await store.archived_task("11")) is not None
        await store.close()

    async def test_long_lines_and_their_places(self, store: cs.Store) -> None:
        store.finished = 0
        sizes = [10, 65_536, 400_000, 1, 65_400, 131_072]
        add(store, *(finished(number, prompt="ü" * size) for number, size in enumerate(sizes, 1)))
        await store.saved()
        assert [len(one.prompt) for one in await store.archived(10)] == sizes[::-1]
        text = (store.folder / "archive.jsonl").read_bytes()
        for at, line in store._file.archive._lines(0):
            assert text[at : at + len(line)] == line

    async def test_a_torn_line_is_passed_over_and_counted(self, store: cs.Store) -> None:
        store.finished = 0
        add(store, *(finished(number) for number in (1, 2)))
        await store.close()
        with (store.folder / "archive.jsonl").open("ab") as file:
            file.write(b'{"id":"3","prompt":"to')
        store = opened(store.folder)
        store.finished = 0
        assert [one.id for one in await store.archived(9)] == ["2", "1"]
        add(store, finished(4))
        await store.saved()
        assert [one.id for one in await store.archived(9)] == ["4", "2", "1"]
        assert await store.archived_task("3") is None
        assert len(store._file.archive.torn) == 1 and store.state.archived.count == 3
        await store.close()

    @pytest.mark.parametrize("torn", [b"", b'{"id":"9","pro'])
    async def test_a_crash_between_the_files_leaves_every_task_once(self, store: cs.Store, torn: bytes) -> None:
        add(store, *(finished(number) for number in range(1, 6)))
        await store.close()
        archive = store.folder / "archive.jsonl"
        archive.write_bytes(b"".join(msgspec.json.encode(finished(number)) + b"\n" for number in (1, 2)) + torn)
        store = opened(store.folder)
        store.finished = 3
        assert len(store.state.tasks) == 5 and store.state.archived == cs.Archived()
        assert await store.archived(9) == []
        add(store, task(6))
        await store.saved()
        assert [one.id for one in await store.archived(9)] == ["2", "1"]
        assert store.state.archived == cs.Archived(2, 20, 1.0)
        assert len(archive.read_bytes().splitlines()) == 2
        await store.close()

    async def test_sums_are_right_after_an_older_state_was_put_back(self, store: cs.Store) -> None:
        store.finished = 2
        add(store, *(finished(number) for number in range(1, 4)))
        await store.saved()
        older = (store.folder / "state.json").read_bytes()  # 1 in the archive, 2 and 3 here
        add(store, *(finished(number) for number in range(4, 8)))
        await store.close()
        (store.folder / "state.json").write_bytes(older)
        store = opened(store.folder)
        store.finished = 2
        assert list(store.state.tasks) == ["2", "3"]
        assert store.state.archived == cs.Archived(3, 30, 1.5)  # 1, 4, 5; 6 and 7 are lost with the file
        assert [one.id for one in await store.archived(9)] == ["5", "4", "1"]
        add(store, finished(store.state.next_id))
        await store.saved()
        assert [one.id for one in await store.archived(9)] == ["2", "5", "4", "1"]
        assert store.state.archived.count == 4
        await store.close()

    # disks

    async def test_a_write_that_fails_is_told_and_tried_again(
        self, store: cs.Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.finished = 1
        add(store, finished(1))
        await store.saved()
        (store.folder / "state.json.tmp").mkdir()
        add(store, finished(2))
        with pytest.raises(cs.Unavailable) as caught:
            await store.saved()
        assert (caught.value.status, caught.value.code) == (503, "state_not_written")
        assert "state.json" in str(caught.value) and store.fault
        assert list(store.state.tasks) == ["2"] and [one["id"] for one in self.file(store)["tasks"]] == ["1"]
        assert [one.id for one in await store.archived(9)] == ["1"]  # of memory
        assert (store.folder / "archive.jsonl").read_bytes() == b""
        (store.folder / "state.json.tmp").rmdir()
        add(store, task(3))
        await store.saved()
        assert [one["id"] for one in self.file(store)["tasks"]] == ["2", "3"] and store.fault == ""
        assert [one.id for one in await store.archived(9)] == ["1"]
        assert len((store.folder / "archive.jsonl").read_bytes().splitlines()) == 1

    async def test_a_failed_write_is_tried_again_without_a_change(
        self, store: cs.Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cs, "STATE_RETRY_S", 0.01)
        (store.folder / "state.json.tmp").mkdir()
        add(store, task(1))
        with pytest.raises(cs.Unavailable):
            await store.saved()
        (store.folder / "state.json.tmp").rmdir()
        await until((store.folder / "state.json").exists, "not tried again")
        await store.saved()

    @pytest.mark.parametrize("grows", ["state", "archive"])
    async def test_a_full_disk_leaves_what_was_there(self, store: cs.Store, grows: str) -> None:
        store.finished = 0 if grows == "archive" else None
        add(store, finished(1))
        await store.saved()
        files = {path: path.read_bytes() for path in store.folder.iterdir()}
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            add(store, finished(2, prompt="p" * 300_000))
            with pytest.raises(cs.Unavailable, match="large"):
                await store.saved()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert {path: path.read_bytes() for path in store.folder.iterdir()} == files
        await store.saved()
        again = await reopened(store)
        assert again.state.archived.count + len(again.state.tasks) == 2
        assert len(await again.archived(9)) == (2 if grows == "archive" else 0)
        await again.close()

    def test_kill_at_random_moments_loses_nothing_that_was_acknowledged(self, tmp_path: Path) -> None:
        folder, acknowledged = tmp_path / "state", set()
        chance = random.Random(4)

        def child() -> subprocess.Popen[bytes]:
            """It has imported everything when it prints a line, and begins when it gets one."""
            return subprocess.Popen(
                [sys.executable, "-c", CHANGING, str(HERE), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )

        running, waiting = child(), child()
        rounds = 0
        try:
            while len(acknowledged) < 1000:
                assert running.stdin and running.stdout
                assert running.stdout.readline() == b"ready\n"
                running.stdin.write(b"go\n")
                running.stdin.flush()
                for _ in range(chance.randrange(20, 140)):
                    line = running.stdout.readline()
                    assert line, "it ended by itself"
                    acknowledged.add(line.decode().strip())
                time.sleep(chance.random() * 0.004)  # any moment between two
                running.kill()
                rest, _ = running.communicate()
                acknowledged |= set(rest.decode().rpartition("\n")[0].split())
                rounds += 1
                state, _ = cs.read_state((folder / "state.json").read_bytes())
                store = cs.Store(folder)
                store.open()
                assert list(store.state.tasks) == list(state.tasks)
                archived = asyncio.run(store.archived(1000)) + asyncio.run(store.archived(1000, "999999"))
                older = archived
                while older:
                    older = asyncio.run(store.archived(1000, older[-1].id))
                    archived += older
                names = [one.id for one in archived] + list(store.state.tasks)
                assert len(names) == len(set(names)) and acknowledged <= set(names)
                assert store.state.archived.count == len(archived)
                assert store.state.next_id > max(map(int, names))
                asyncio.run(store.close())
                running, waiting = waiting, child()
        finally:
            for one in (running, waiting):
                one.kill()
                one.communicate()
        assert rounds >= 5

    # the lock

    async def test_a_command_is_waited_for_and_a_server_is_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = cs.Store(tmp_path), cs.Store(tmp_path)
        first.lock("command")
        slept: list[float] = []

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 3:
                first.unlock()

        monkeypatch.setattr(cs.time, "sleep", sleep)
        second.lock("server")
        assert len(slept) == 3
        with pytest.raises(cs.StoreBusy):
            first.lock("command")
        assert len(slept) == 4

    def test_a_command_that_stays_is_not_waited_for_for_ever(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cs, "LOCK_S", 0.05)
        cs.Store(tmp_path).lock("command")
        holder = cs.Store(tmp_path)
        with pytest.raises(cs.StoreBusy):
            holder.lock()


CHANGING = """
import asyncio, random, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import chomp_server as cs

async def change(store):
    while True:
        with store.change() as state:
            task = cs.new_task(state, {"prompt": "p" * random.randrange(1, 3000)}, time.time())
            if random.random() < 0.7:
                task = cs.transition(task, "done", now=time.time())
            state.tasks[task.id] = task
        await store.saved()
        print(task.id, flush=True)

async def main():
    store = cs.Store(Path(sys.argv[2]))
    store.finished = 10
    store.open()
    await asyncio.gather(*(change(store) for _ in range(4)))

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main())
"""


# == Background ========================================================================================================


class TestBackground:
    async def test_a_task_has_its_name_and_gives_its_result(self) -> None:
        async def work() -> int:
            return 5

        task = cs.Background().start("the work", work())
        assert task.get_name() == "the work"
        assert await task == 5

    async def test_a_death_is_logged_at_once_with_its_cause(self, caplog: pytest.LogCaptureFixture) -> None:
        async def work() -> None:
            raise RuntimeError("out of luck")

        task = cs.Background().start("the work", work())
        await asyncio.wait([task])
        await asyncio.sleep(0)
        (record,) = caplog.records
        assert record.levelno == logging.ERROR and "the work" in record.getMessage()
        assert "out of luck" in str(record.exc_info)

    async def test_stopping_cancels_and_waits_for_all(self, caplog: pytest.LogCaptureFixture) -> None:
        background, ended, running = cs.Background(), [], asyncio.Event()

        async def late() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("late")

        async def work() -> None:
            running.set()
            try:
                await asyncio.Event().wait()
            finally:
                background.start("late", late())  # started while all is being stopped
                await asyncio.sleep(0)
                ended.append("work")

        task = background.start("work", work())
        await running.wait()
        await background.stop()
        assert task.cancelled()
        assert sorted(ended) == ["late", "work"]
        assert caplog.records == []

    async def test_a_task_may_stop_the_others(self) -> None:
        background = cs.Background()
        other = background.start("other", asyncio.Event().wait())
        await asyncio.wait_for(background.start("stopper", background.stop()), 10)
        assert other.cancelled()

    async def test_a_task_is_kept_until_it_ends_and_no_longer(self) -> None:
        import gc
        import weakref

        class Thing:
            pass

        thing, go = Thing(), asyncio.Event()
        gone = weakref.ref(thing)

        async def work(held: Thing) -> None:
            await go.wait()

        background = cs.Background()
        background.start("work", work(thing))
        del thing
        await asyncio.sleep(0)
        gc.collect()
        assert gone() is not None
        go.set()
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()
        assert gone() is None


# == Events ============================================================================================================


class TestEvents:
    def test_watchers_hear_of_what_happens_while_they_watch(self) -> None:
        bus, heard = cs.EventBus(cs.Limits(), Clock()), []
        bus.publish("before", 1)
        with bus.subscribe(heard.append):
            bus.publish("request", {"id": 5})
        bus.publish("after", 2)
        assert heard == [cs.Event(2, 1_790_000_000.0, "request", {"id": 5})]

    def test_late_watchers_find_the_last_events_only(self) -> None:
        bus = cs.EventBus(cs.Limits(events=3), Clock())
        for number in range(10):
            bus.publish("n", number)
        assert [event.data for event in bus.recent()] == [7, 8, 9]
        assert [event.seq for event in bus.recent(after_seq=9)] == [10]
        assert bus.recent(after_seq=10) == []

    def test_a_watcher_that_fails_is_dropped_and_disturbs_nobody(self, caplog: pytest.LogCaptureFixture) -> None:
        bus, heard, tried = cs.EventBus(cs.Limits()), [], []

        def broken(event: cs.Event) -> None:
            tried.append(event.seq)
            raise RuntimeError("no view")

        with bus.subscribe(broken), bus.subscribe(heard.append):
            bus.publish("a", 1)
            bus.publish("b", 2)
        assert [event.kind for event in heard] == ["a", "b"]
        assert tried == [1]
        assert len(caplog.records) == 1

    def test_a_watcher_may_leave_while_it_is_told(self) -> None:
        bus, heard = cs.EventBus(cs.Limits()), []
        with contextlib.ExitStack() as stack:
            stack.enter_context(bus.subscribe(lambda event: stack.close()))
            bus.publish("a", 1)
            with bus.subscribe(heard.append):
                bus.publish("b", 2)
        assert [event.kind for event in heard] == ["b"]


# == Credentials =======================================================================================================


def credentials(entered: dict[str, str] | None = None, **environ: str) -> cs.Credentials:
    return cs.Credentials(cs.Settings(dir=Path(), environ=environ), entered or {}, TOKEN)


GROQ = next(row for row in cs.ROUTERS if row.id == "groq")


class TestCredentials:
    @pytest.mark.parametrize(
        ("variable", "found"),
        [
            ("key-one", [("GROQ_API_KEY", "key-one")]),
            ("key-one,key-two", [("GROQ_API_KEY", "key-one"), ("GROQ_API_KEY#2", "key-two")]),
            (" key-one , key-two ", [("GROQ_API_KEY", "key-one"), ("GROQ_API_KEY#2", "key-two")]),
            (",", []),
            ("", []),
        ],
    )
    def test_a_variable_holds_a_pool(self, variable: str, found: list[tuple[str, str]]) -> None:
        assert [(key.id, key.secret) for key in credentials(GROQ_API_KEY=variable).keys(GROQ)] == found

    def test_keys_of_chomp_toml_come_after_those_of_the_environment(self) -> None:
        row = msgspec.structs.replace(GROQ, keys=("key-three",))
        found = credentials(GROQ_API_KEY="key-one key-two").keys(row)
        assert [key.secret for key in found] == ["key-one", "key-two", "key-three"]
        assert len({key.id for key in found}) == 3

    def test_what_the_person_entered_wins_over_the_environment(self) -> None:
        (key,) = credentials({"GROQ_API_KEY": "entered"}, GROQ_API_KEY="from-env").keys(GROQ)
        assert key.secret == "entered"

    def test_no_key_is_shown_in_an_id(self) -> None:
        row = msgspec.structs.replace(GROQ, keys=("secret-c",))
        for key in credentials(GROQ_API_KEY="secret-a,secret-b").keys(row):
            assert key.secret not in key.id

    @pytest.mark.parametrize("secret", ["schlüssel", "key\x7f", "key\u200b", "kéy"])
    def test_a_key_no_header_can_carry_is_left_out_and_not_logged(
        self, secret: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert [key.secret for key in credentials(GROQ_API_KEY=f"{secret},good").keys(GROQ)] == ["good"]
        assert "GROQ_API_KEY" in caplog.text and secret not in caplog.text

    def test_a_router_without_auth_needs_no_key(self) -> None:
        row = msgspec.structs.replace(GROQ, auth="none", key_env=())
        assert credentials().keys(row) == (cs.Key("none", ""),)
        assert credentials().keys(GROQ) == ()

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("Incorrect API key: secret-key-1", "Incorrect API key: [hidden]"),
            ("a secret-key-1-longer b", "a [hidden] b"),
            ("secret-key-1secret-key-1", "[hidden][hidden]"),
            (f"Bearer {TOKEN}", "Bearer [hidden]"),
            ("nothing here", "nothing here"),
            ("", ""),
        ],
    )
    def test_known_secrets_are_hidden_the_longest_first(self, text: str, shown: str) -> None:
        known = credentials(GROQ_API_KEY="secret-key-1,secret-key-1-longer")
        known.keys(GROQ)
        assert known.redact(text) == shown

    def test_a_secret_learned_later_is_hidden_too(self) -> None:
        known = credentials()
        assert known.redact("a child-key b") == "a child-key b"
        known.hide("child-key")
        assert known.redact("a child-key b") == "a [hidden] b"

    def test_a_short_key_does_not_hide_every_word(self) -> None:
        known = credentials(GROQ_API_KEY="a,.*.*")
        known.keys(GROQ)
        assert known.redact("a cat") == "a cat"

    @pytest.mark.parametrize(
        ("authorization", "api_key", "accepted"),
        [
            (f"Bearer {TOKEN}", "", True),
            (f"bearer {TOKEN}", "", True),
            (f"BEARER  {TOKEN} ", "", True),
            ("", TOKEN, True),
            ("Basic dXNlcjpwYXNz", TOKEN, True),
            ("Bearer", TOKEN, True),
            (f"Bearer {TOKEN}", "wrong", True),
            ("Bearer wrong", TOKEN, True),
            ("Bearer wrong", "wrong", False),
            (TOKEN, "", False),
            (f"Basic {TOKEN}", "", False),
            (f"Bearer{TOKEN}", "", False),
            (f"Token {TOKEN}", "", False),
            (f"Bearer {TOKEN}x", "", False),
            (f"Bearer {TOKEN[:-1]}", "", False),
            (f"Bearer {TOKEN.upper()}", "", False),
            ("Bearer ", "", False),
            ("", "", False),
            ("Bearer \udcff\udc80", "", False),
            ("Bearer schlüssel", "", False),
            ("\udcff", "\udcff", False),
            ("", "\0", False),
        ],
    )
    def test_the_owner_is_known_by_the_token(self, authorization: str, api_key: str, accepted: bool) -> None:
        assert (credentials().caller(authorization, api_key) is cs.OWNER) is accepted

    def test_a_token_may_have_any_letters(self) -> None:
        known = cs.Credentials(cs.Settings(dir=Path()), {}, "ein langer schlüssel")
        assert known.caller("Bearer ein langer schlüssel", "") is cs.OWNER

    def test_tokens_are_compared_in_constant_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        compared = []

        def compare(a: bytes, b: bytes) -> bool:
            compared.append((a, b))
            return hmac_compare(a, b)

        hmac_compare = hmac.compare_digest
        monkeypatch.setattr(cs.hmac, "compare_digest", compare)
        known = credentials()
        for authorization in ("Bearer x", f"Bearer {TOKEN}", "", "Basic x"):
            known.caller(authorization, "")
        assert len(compared) == 4


# == The shape of the house ============================================================================================

SOURCE = (HERE / "chomp_server.py").read_text("utf-8")
TREE = ast.parse(SOURCE)
BANNERS = [
    (found[1], SOURCE.count("\n", 0, found.start()) + 1) for found in re.finditer(r"^# == (.+?) =+$", SOURCE, re.M)
]


def section_of(line: int) -> str:
    """The section a line stands in; "" above the first banner."""
    return next((name for name, at in reversed(BANNERS) if at < line), "")


class Unannotated(ast.NodeTransformer):
    """Takes out annotations: they are strings and look wherever they like."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def _function(self, node: Any) -> Any:
        node.returns = None
        return self.generic_visit(node)

    visit_FunctionDef = visit_AsyncFunctionDef = _function

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        value = node.value or ast.Constant(None)
        return ast.copy_location(ast.Assign([node.target], value), node)


def used_names(node: ast.stmt) -> set[str]:
    """Names of the module that a top-level statement uses, however deep inside."""
    bare = ast.fix_missing_locations(ast.Module([Unannotated().visit(ast.parse(ast.unparse(node)).body[0])], []))
    found = set()

    def gather(table: symtable.SymbolTable) -> None:
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (table.get_type() == "module" or symbol.is_global()):
                found.add(symbol.get_name())
        for child in table.get_children():
            gather(child)

    gather(symtable.symtable(ast.unparse(bare), "chomp_server.py", "exec"))
    return found


def defined_names(node: ast.stmt) -> set[str]:
    bare = ast.Module([node], [])
    top = symtable.symtable(ast.unparse(bare), "chomp_server.py", "exec")
    return {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}


HOME: dict[str, str] = {}  # a module-level name -> the section that defines it first
for _node in TREE.body:
    for _name in defined_names(_node):
        HOME.setdefault(_name, section_of(_node.lineno))
ORDER = ["", *(name for name, _ in BANNERS)]


def functions_with(pattern: str) -> set[str]:
    """Top-level statements whose code, without strings and comments, has `pattern`."""
    found = set()
    for node in TREE.body:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                inner.value = ""
        if re.search(pattern, ast.unparse(node)):
            found.add(getattr(node, "name", f"line {node.lineno}"))
    return found


class TestHouse:
    def test_the_contents_list_the_sections_in_order(self) -> None:
        contents = re.findall(r"^([A-Z]\w*(?: [A-Z]\w*)*)  +\S", ast.get_docstring(TREE) or "", re.M)
        assert contents == [name for name, _ in BANNERS]

    def test_banners_are_alike(self) -> None:
        for name, at in BANNERS:
            line = SOURCE.splitlines()[at - 1]
            assert line == f"# == {name} ".ljust(120, "="), name

    @pytest.mark.parametrize("section", [name for name, _ in BANNERS])
    def test_a_section_uses_only_what_stands_above_it(self, section: str) -> None:
        upwards = {
            f"{getattr(node, 'name', f'line {node.lineno}')} uses {name} of {HOME[name]}"
            for node in TREE.body
            if section_of(node.lineno) == section
            for name in used_names(node)
            if name in HOME and ORDER.index(HOME[name]) > ORDER.index(section)
        }
        assert upwards == set()

    def test_a_name_with_an_underscore_belongs_to_its_section(self) -> None:
        strangers = {
            f"{section_of(node.lineno)} uses {name} of {HOME[name]}"
            for node in TREE.body
            for name in used_names(node)
            if name.startswith("_") and not name.startswith("__")
            and name in HOME and HOME[name] != section_of(node.lineno)
        }  # fmt: skip
        assert strangers == set()

    def test_tasks_are_created_in_one_place(self) -> None:
        assert len(re.findall(r"\bcreate_task\(", SOURCE)) == 1
        assert functions_with(r"\b(create_task|ensure_future|TaskGroup)\(") == {"Background"}

    def test_the_environment_is_read_in_main_alone(self) -> None:
        assert functions_with(r"\bos\.(environ|getenv|putenv)\b") == {"main"}

    @pytest.mark.parametrize(
        ("power", "sections"),
        [
            (r"\bcreate_subprocess_exec\b|\bsubprocess\.", {"Upstream", "Dispatch"}),
            (r"\bcreate_subprocess_shell\b|\bos\.system\b|\bos\.popen\b|\beval\(|\bpickle\b", set()),
            (r"\bsqlite3\.connect\b|\bfcntl\.", {"Store"}),
            (r"\bClientSession\(", {"App"}),
            (r"\b(create_connection|start_connection)\(", {"Upstream"}),
        ],
    )
    def test_a_power_is_used_where_it_belongs(self, power: str, sections: set[str]) -> None:
        used = {section_of(node.lineno) for node in TREE.body if re.search(power, ast.unparse(node))}
        assert used <= sections

    def test_requests_of_the_web_are_known_in_web_and_below(self) -> None:
        used = {section_of(node.lineno) for node in TREE.body if "web.Request" in ast.unparse(node)}
        assert min(map(ORDER.index, used)) >= ORDER.index("Web")

    def routes(self) -> list[Any]:
        return [route for route in cs.routes if isinstance(route, web.RouteDef)]

    def test_every_route_begins_its_docstring(self) -> None:
        assert self.routes()
        for route in self.routes():
            path = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route.path)
            words = re.split(r"[\s?]", route.handler.__doc__ or "")
            assert words[:2] == [route.method, path]

    def test_every_route_stands_in_the_readme(self) -> None:
        text = (HERE / "README.md").read_text("utf-8")
        for route in self.routes():
            path = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route.path)
            assert f"{route.method} {path}" in text

    def test_every_router_stands_in_the_readme(self) -> None:
        text = (HERE / "README.md").read_text("utf-8")
        for row in cs.ROUTERS:
            assert re.search(rf"^\|.*`{re.escape(row.id)}`.*\|$", text, re.M), row.id
            assert all(f"`{name}`" in text for name in row.key_env)


# the openai shape of an error, whatever went wrong
ERROR_FIELDS = {"message", "type", "param", "code"}


def row(up: Upstream, router: str = "", **more: Any) -> dict[str, Any]:
    """The [[routers]] table of an upstream whose model list is fetched from it."""
    return {
        "id": router or up.id,
        "base_url": f"http://127.0.0.1:{up.port}/v1",
        "keys": [f"key-of-{router or up.id}"],
        **more,
    }


def sends(raw: bytes, *, close: bool = False) -> Any:
    """Answers with `raw`, written at once, and keeps the connection or ends it properly."""

    async def act(call: Call) -> None:
        await call.send(raw)
        if close:
            call._writer.close()

    return act


def lists(*entries: dict[str, Any]) -> Any:
    """A model list."""

    async def act(call: Call) -> None:
        await call.whole(json.dumps({"object": "list", "data": list(entries)}).encode())

    return act


def holds(gate: asyncio.Event, act: Any) -> Any:
    """`act`, but not before `gate` is open."""

    async def wait(call: Call) -> None:
        await gate.wait()
        await act(call)

    return wait


def http_answer(body: bytes, *lines: str, status: int = 200) -> bytes:
    """An HTTP answer with the given header lines and nothing added to them."""
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status} Whatever", *lines))
    return head.encode() + b"\r\n" + body


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


WORDS = ("one ", "two ", "three")
STREAM = (
    chat_chunk({"role": "assistant", "content": ""}),
    *(chat_chunk({"content": word}) for word in WORDS),
    chat_chunk({}, "stop"),
    DONE,
)
FINISH = STREAM[-2]
JSON_LINE, SSE_LINE = "content-type: application/json", "content-type: text/event-stream"


async def error_of(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """The error object of an answer, which must have OpenAI's shape."""
    assert answer.status >= 400
    assert answer.content_type == "application/json"
    error = (await answer.json())["error"]
    assert error.keys() >= ERROR_FIELDS, error
    assert isinstance(error["message"], str) and error["message"]
    assert error["code"] is None or isinstance(error["code"], str)
    return error


# == Upstream ==========================================================================================================


class HeardWire:
    """A Wire with nothing behind it: what its taker, its pool and its transport were told."""

    def __init__(self) -> None:
        self.closing = False
        self.status = 0
        self.body_bytes = b""
        self.ends: list[cs.UpstreamError | None] = []
        self.given_back = 0
        self.order: list[str] = []
        self.wire = cs.Wire(self, cs.Origin(False, "h", 1), 65536)  # type: ignore[arg-type]
        self.wire.connection_made(self)  # type: ignore[arg-type]
        self.wire.start(self, b"POST / HTTP/1.1\r\n\r\n", b"")  # type: ignore[arg-type]

    # as a transport
    def write(self, data: bytes) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    # as a pool
    def give_back(self, wire: cs.Wire) -> None:
        self.given_back += 1

    def forget(self, wire: cs.Wire) -> None: ...

    # as a taker
    def head(self, wire: cs.Wire) -> None:
        self.order.append("head")
        self.status = wire.status

    def body(self, data: bytes) -> None:
        self.order.append("body")
        self.body_bytes += data

    def end(self, error: cs.UpstreamError | None) -> None:
        self.order.append("end")
        self.ends.append(error)

    def feed(self, data: bytes, cuts: Sequence[int], reset: bool) -> None:
        """`data` in the pieces that `cuts` make of it, then the connection ends."""
        at = 0
        for cut in [*sorted({c % (len(data) + 1) for c in cuts}), len(data)]:
            if self.closing:
                break
            if data[at:cut]:
                self.wire.data_received(data[at:cut])
            at = cut
        self.wire.connection_lost(ConnectionResetError() if reset else None)


ANSWER_PARTS = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\n\r\n", b"content-length: 5\r\n", b"content-length: 0\r\n", b"Content-Length: 5, 5\r\n",
    b"transfer-encoding: chunked\r\n", b"transfer-encoding: gzip\r\n", b"connection: close\r\n", b"connection: keep-alive\r\n",
    b"x: y\r\n", b"\r\n", b"hello", b"5\r\nhello\r\n", b"5;ext=1\r\nhello\r\n", b"0\r\n\r\n", b"0\r\ntrailer: 1\r\n\r\n", b"ffffffff\r\n",
    b"\n", b"\r", b"\x00", b"data: {}\n\n",
]  # fmt: skip
ODD_ANSWERS = st.one_of(
    st.binary(max_size=200),
    st.lists(st.one_of(st.sampled_from(ANSWER_PARTS), st.binary(max_size=3)), max_size=12).map(b"".join),
    st.builds(
        lambda head, body, rest: head + body + rest,
        st.sampled_from(
            [
                b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
                b"HTTP/1.1 200 OK\r\n\r\nhello",
            ]
        ),
        st.sampled_from([b"", b"0\r\n\r\n", b"0\r\na: b\r\n\r\n"]),
        st.one_of(st.just(b""), st.binary(max_size=40), st.sampled_from(ANSWER_PARTS)),
    ),
)
CUTS = st.lists(st.integers(0, 400), max_size=6)


class TestUpstream:
    @given(ODD_ANSWERS, CUTS, st.booleans())
    @settings(max_examples=1000, deadline=None)
    def test_whatever_bytes_come_an_exchange_ends_exactly_once(self, data: bytes, cuts: list[int], reset: bool) -> None:
        heard = HeardWire()
        heard.feed(data, cuts, reset)
        assert len(heard.ends) == 1
        assert heard.order.count("head") <= 1
        assert heard.order[-1] == "end"
        if "body" in heard.order:
            assert heard.order[0] == "head"
        if heard.given_back:
            assert heard.ends == [None]  # what broke is never used again

    @given(ODD_ANSWERS, CUTS)
    @example(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello" + b"garbage", [43])
    @example(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello" + b"\x00", [])
    @settings(max_examples=600, deadline=None)
    def test_how_the_network_cuts_an_answer_does_not_change_it(self, data: bytes, cuts: list[int]) -> None:
        whole, cut = HeardWire(), HeardWire()
        whole.feed(data, [], False)
        cut.feed(data, cuts, False)
        kinds = [[error and error.kind for error in one.ends] for one in (whole, cut)]
        assert kinds[0] == kinds[1]
        assert (whole.status, whole.body_bytes) == (cut.status, cut.body_bytes)

    def test_a_chunk_is_passed_on_as_it_came_only_when_it_is_one(self) -> None:
        class Relayed(HeardWire):
            def chunk(self, data: bytes, framed: bytes) -> None:
                assert framed == b"%x\r\n%b\r\n" % (len(data), data)
                assert data.endswith(b"\n\n")
                self.order.append("chunk")
                self.body_bytes += data

        frame, like_a_chunk = b"data: {}\n\n", b"5\r\nabc\n\n\r\n"
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        for pieces in ([frame, frame, b"a\n"], [frame, frame + like_a_chunk], [frame, like_a_chunk, frame]):
            data = head + chunked(*pieces)
            first, relayed = len(head) + len(chunked(frame)) - 5, 0
            for one, other in itertools.combinations_with_replacement(range(first, len(data) + 1), 2):
                heard = Relayed()
                heard.feed(data, [first, one, other], False)
                assert (heard.body_bytes, heard.ends) == (b"".join(pieces), [None])
                relayed += heard.order.count("chunk")
            assert relayed or pieces[1] != frame

    @pytest.mark.parametrize("stream", [False, True])
    async def test_an_answer_that_trickles_in_byte_by_byte_comes_out_whole(
        self, chomp: Any, upstream: Any, stream: bool
    ) -> None:
        body = b"".join(STREAM) if stream else chat_answer("one two three")
        raw = (
            http_answer(chunked(*STREAM), SSE_LINE, "transfer-encoding: chunked")
            if stream
            else http_answer(body, JSON_LINE, f"content-length: {len(body)}")
        )

        async def act(call: Call) -> None:
            for at in range(len(raw)):
                await call.send(raw[at : at + 1])
                await asyncio.sleep(0)

        client = await chomp(up := await upstream(act))
        async with client.chat(up.model, stream=stream) as answer:
            assert answer.status == 200
            assert await answer.read() == body

    @pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
    @pytest.mark.parametrize("length", ["sized", "chunked"])
    async def test_an_upstream_that_closes_at_any_byte_of_an_answer_gives_all_or_an_error(
        self, chomp: Any, upstream: Any, length: str, reset: bool
    ) -> None:
        body = chat_answer("a whole answer")
        raw = (
            http_answer(body, JSON_LINE, f"content-length: {len(body)}")
            if length == "sized"
            else http_answer(chunked(body), JSON_LINE, "transfer-encoding: chunked")
        )
        at = 0

        async def act(call: Call) -> None:
            await call.send(raw[:at])
            if reset:
                call.cut()
            else:
                call._writer.close()

        clock = Clock()
        client = await chomp(up := await upstream(act), clock=clock)
        whole = 0
        for at in range(len(raw) + 1):
            clock.now += 31  # past the breaker's rest
            async with asyncio.timeout(10), client.chat(up.model) as answer:
                if answer.status == 200:
                    assert await answer.read() == body
                    whole += 1
                else:
                    assert answer.status == 502, at
                    await error_of(answer)
        assert at == len(raw)
        if not reset:  # a reset may overtake what was sent before it
            assert 1 <= whole <= (1 if length == "sized" else 6)
        assert len(await client.rows(len(raw) + 1)) == len(raw) + 1

    @pytest.mark.parametrize("length", ["chunked", "until close"])
    async def test_an_upstream_that_closes_at_any_byte_of_a_stream_is_never_taken_for_finished(
        self, chomp: Any, upstream: Any, length: str
    ) -> None:
        raw = (
            http_answer(chunked(*STREAM), SSE_LINE, "transfer-encoding: chunked")
            if length == "chunked"
            else http_answer(b"".join(STREAM), SSE_LINE)
        )
        at = 0

        async def act(call: Call) -> None:
            await call.send(raw[:at])
            call._writer.close()

        clock = Clock()
        client = await chomp(up := await upstream(act), clock=clock)
        seen = {"refused": 0, "broken": 0, "whole": 0}
        for at in range(len(raw) + 1):
            clock.now += 31
            async with asyncio.timeout(10), client.chat(up.model, stream=True) as answer:
                if answer.status != 200:
                    await error_of(answer)
                    seen["refused"] += 1
                    continue
                body = await answer.read()  # raises when our own framing is broken
            found = frames(body)
            if "error" in (found[-2] if len(found) > 1 else found[-1]):
                assert found[-1] == "[DONE]", at
                assert found[-2]["error"]["code"] == "upstream_stream_interrupted"
                assert "".join(WORDS).replace(" ", "").startswith(said(body).replace(" ", ""))
                seen["broken"] += 1
            else:
                assert said(body) == " ".join(WORDS), at
                assert any(f != "[DONE]" and f["choices"][0]["finish_reason"] == "stop" for f in found)
                seen["whole"] += 1
        assert min(seen.values()) > 0, seen
        assert len(await client.rows(len(raw) + 1)) == len(raw) + 1

    async def test_done_alone_ends_a_stream_properly(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(up := await upstream(streams(*STREAM[:4], DONE)))  # no finish_reason anywhere
        async with client.chat(up.model, stream=True) as answer:
            assert await answer.read() == b"".join((*STREAM[:4], DONE))
        (kept,) = await client.rows(1)
        assert (kept["status"], kept["error_type"]) == (200, "")

    @pytest.mark.parametrize("end", [b'"}\n\n', b'"}\r\n\r\n'])
    async def test_what_comes_in_one_read_with_the_end_of_a_huge_frame_is_looked_at(
        self, chomp: Any, upstream: Any, end: bytes
    ) -> None:
        huge = b'data: {"pad":"' + b"x" * (2 << 20)

        async def act(call: Call) -> None:
            await call.head()
            await call.chunk(STREAM[1] + huge)
            await asyncio.sleep(0.1)  # that what follows is a read of its own
            await call.chunk(end + FINISH + chat_chunk(None, usage=USAGE) + DONE)
            await call.end()

        client = await chomp(up := await upstream(act))
        async with client.chat(up.model, stream=True) as answer:
            body = await answer.read()
        assert body == STREAM[1] + huge + end + FINISH + DONE  # without the usage nobody asked for
        (kept,) = await client.rows(1)
        assert (kept["status"], kept["prompt_tokens"], kept["estimated"]) == (200, 7, 0)

    async def test_a_line_of_32_mib_in_a_stream_passes_in_little_memory(self, chomp: Any, upstream: Any) -> None:
        piece, count = b"x" * 65536, 512
        sent = hashlib.sha256()

        async def act(call: Call) -> None:
            await call.head()
            for part in (chat_chunk({"content": "a"}), b'data: {"pad":"', *[piece] * count, b'"}\n\n', DONE):
                sent.update(part)
                await call.chunk(part)
            await call.end()

        client = await chomp(up := await upstream(act))
        me = psutil.Process()
        async with client.chat(up.model, stream=True) as answer:
            got, size, peak = hashlib.sha256(), 0, 0
            gc.collect()
            before = me.memory_info().rss
            async for part in answer.content.iter_any():
                got.update(part)
                size += len(part)
                peak = max(peak, me.memory_info().rss)
        assert size > len(piece) * count
        assert got.digest() == sent.digest()
        assert peak - before < 16 << 20  # half of the line; upstream and client live in this process too
        (kept,) = await client.rows(1)
        assert (kept["status"], kept["error_type"]) == (200, "")

    @pytest.mark.parametrize(
        "start", [b"HTTP/1.1 200 OK\r\nx-long: ", b"HTTP/1.1 ", b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\n"]
    )
    async def test_a_head_of_16_mib_is_a_clear_502(self, chomp: Any, upstream: Any, start: bytes) -> None:
        async def act(call: Call) -> None:
            await call.send(start)
            with contextlib.suppress(ConnectionError):
                for _ in range(256):
                    await call.send(b"a" * 65536)

        client = await chomp(up := await upstream(act))
        me = psutil.Process()
        before = me.memory_info().rss
        async with asyncio.timeout(20), client.chat(up.model) as answer:
            assert answer.status == 502
            error = await error_of(answer)
        assert "head" in error["message"] or "bad HTTP" in error["message"]
        assert me.memory_info().rss - before < 12 << 20

    async def test_endless_early_hints_end_as_a_502(self, chomp: Any, upstream: Any) -> None:
        async def act(call: Call) -> None:
            with contextlib.suppress(ConnectionError):
                while not call.gone.is_set():
                    await call.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 50)

        client = await chomp(up := await upstream(act))
        async with asyncio.timeout(20), client.chat(up.model) as answer:
            assert answer.status == 502

    @pytest.mark.parametrize(
        "raw",
        [
            pytest.param(http_answer(b"zz\r\nhello\r\n0\r\n\r\n", JSON_LINE, "transfer-encoding: chunked"), id="bad chunk size"),
            pytest.param(http_answer(b"5\r\nhelloXX0\r\n\r\n", JSON_LINE, "transfer-encoding: chunked"), id="bad chunk end"),
            pytest.param(http_answer(b"-5\r\nhello\r\n", JSON_LINE, "transfer-encoding: chunked"), id="negative chunk"),
            pytest.param(http_answer(b"fffffffffffffffff\r\n", JSON_LINE, "transfer-encoding: chunked"), id="chunk overflow"),
            pytest.param(
                http_answer(b"5\r\nhello\r\n0\r\n\r\n", JSON_LINE, "content-length: 5", "transfer-encoding: chunked"),
                id="length and chunked",
            ),
            pytest.param(http_answer(b"hello", JSON_LINE, "content-length: 5", "content-length: 6"), id="two lengths"),
            pytest.param(http_answer(b"hello", JSON_LINE, "content-length: many"), id="length not a number"),
            pytest.param(http_answer(b"hello", JSON_LINE, "content-length: -1"), id="negative length"),
            pytest.param(b"HTP/1.1 200 OK\r\n\r\n", id="no HTTP"),
            pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", id="status of four digits"),
            pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", id="TLS"),
            pytest.param(b"{}\n", id="no head"),
            pytest.param(http_answer(b"", "no colon here", "content-length: 0"), id="line without colon"),
            pytest.param(http_answer(b"", "upgrade: x", "connection: upgrade", status=101), id="101"),
            pytest.param(http_answer(b"", status=101), id="101 without upgrade"),
            pytest.param(http_answer(b"", status=204), id="204"),
            pytest.param(http_answer(b"", "etag: x", status=304), id="304"),
            pytest.param(http_answer(b"", "location: http://127.0.0.1:1/", "content-length: 0", status=301), id="301"),
            pytest.param(http_answer(b"", "location: /v2", "content-length: 0", status=307), id="307"),
            pytest.param(http_answer(b"", JSON_LINE, "content-length: 0"), id="empty 200"),
            pytest.param(http_answer(b"", SSE_LINE, "content-length: 0"), id="empty stream"),
            pytest.param(http_answer(b"<html>", "content-type: text/html", "content-length: 6"), id="HTML"),
            pytest.param(http_answer(b"\x1f\x8b\x08", JSON_LINE, "content-encoding: gzip", "content-length: 3"), id="gzip"),
            pytest.param(
                http_answer(b"\x1f\x8b\x08", SSE_LINE, "content-encoding: br", "content-length: 3"), id="brotli stream"
            ),
            pytest.param(b"", id="nothing"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("stream", [False, True])
    async def test_an_answer_that_is_none_is_a_502_and_another_router_is_asked(
        self, chomp: Any, upstream: Any, raw: bytes, stream: bool
    ) -> None:
        odd, good = await upstream(sends(raw, close=True)), await upstream(says("hi"))
        client = await chomp(odd, good)
        async with asyncio.timeout(10), client.chat(odd.model, stream=stream) as answer:
            assert answer.status == 502
            error = await error_of(answer)
            assert error["attempts"][0]["router"] == odd.id
        async with asyncio.timeout(10), client.chat("m", stream=stream) as answer:
            assert (answer.status, answer.headers["x-chomp-router"]) == (200, good.id)
            await answer.read()

    @pytest.mark.parametrize(
        ("raw", "close"),
        [
            pytest.param(http_answer(chat_answer(), JSON_LINE), True, id="no length"),
            pytest.param(http_answer(chat_answer(), JSON_LINE, "connection: close"), True, id="close, no length"),
            pytest.param(
                http_answer(chat_answer(), JSON_LINE, f"content-length: {len(chat_answer())}", "connection: close"), True,
                id="close, length",
            ),
            pytest.param(
                http_answer(chat_answer(), JSON_LINE, f"content-length: {len(chat_answer())}", "connection: close"), False,
                id="close said but not done",
            ),
            pytest.param(http_answer(chat_answer(), JSON_LINE).replace(b"1.1", b"1.0"), True, id="HTTP/1.0"),
            pytest.param(
                http_answer(chunked(chat_answer())[:-2] + b"x-sum: 1\r\nset-cookie: a=b\r\n\r\n", JSON_LINE,
                            "transfer-encoding: chunked", "trailer: x-sum"), False, id="trailers",
            ),
            pytest.param(
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
                + http_answer(chat_answer(), JSON_LINE, f"content-length: {len(chat_answer())}"), False, id="1xx before",
            ),
            pytest.param(
                http_answer(chunked(chat_answer()), JSON_LINE, "Transfer-Encoding: Chunked"), False, id="odd case",
            ),
            pytest.param(
                http_answer(b"%x;a=b\r\n%b\r\n0;c\r\n\r\n" % (len(chat_answer()), chat_answer()), JSON_LINE,
                            "transfer-encoding: chunked"), False, id="chunk extensions",
            ),
            pytest.param(
                http_answer(chat_answer(), JSON_LINE, "content-encoding: identity", f"content-length: {len(chat_answer())}"),
                False, id="identity said",
            ),
        ],
    )  # fmt: skip
    async def test_an_unusual_but_lawful_answer_comes_through_whole_twice(
        self, chomp: Any, upstream: Any, raw: bytes, close: bool
    ) -> None:
        client = await chomp(up := await upstream(sends(raw, close=close)))
        for _ in range(2):
            async with asyncio.timeout(10), client.chat(up.model) as answer:
                assert answer.status == 200
                assert await answer.read() == chat_answer()
                assert not {"x-sum", "set-cookie", "link", "trailer"} & {name.lower() for name in answer.headers}
        assert len(up.calls) == 2

    @pytest.mark.parametrize(
        "rest",
        [
            pytest.param(b"garbage", id="garbage"),
            pytest.param(http_answer(b'{"id":"somebody else\'s"}', JSON_LINE, "content-length: 24"), id="another answer"),
            pytest.param(b"HTTP/1.1 200", id="half a head"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("at_once", [True, False])
    @pytest.mark.parametrize("length", ["sized", "chunked"])
    async def test_bytes_after_an_answer_spoil_the_connection_and_nothing_else(
        self, chomp: Any, upstream: Any, rest: bytes, at_once: bool, length: str
    ) -> None:
        body = chat_answer("mine")
        raw = (
            http_answer(body, JSON_LINE, f"content-length: {len(body)}")
            if length == "sized"
            else http_answer(chunked(body), JSON_LINE, "transfer-encoding: chunked")
        )

        async def act(call: Call) -> None:
            if at_once:
                await call.send(raw + rest)
            else:
                await call.send(raw)
                await asyncio.sleep(0.02)  # that it is a read of its own
                await call.send(rest)
            async with asyncio.timeout(5):
                await call.gone.wait()

        client = await chomp(up := await upstream(act))
        for _ in range(2):
            async with asyncio.timeout(10), client.chat(up.model) as answer:
                assert answer.status == 200, await answer.text()
                assert await answer.read() == body
            if not at_once:
                async with asyncio.timeout(5):
                    await up.calls[-1].gone.wait()
        assert len(up.calls) == 2 and up.connections == 2

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_connection_is_used_again_and_again(self, chomp: Any, upstream: Any, stream: bool) -> None:
        client = await chomp(up := await upstream(says("hi")))
        for _ in range(20):
            async with client.chat(up.model, stream=stream) as answer:
                await answer.read()
        assert (len(up.calls), up.connections) == (20, 1)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_connection_that_the_upstream_closes_as_it_is_used_again_is_replaced(
        self, chomp: Any, upstream: Any, stream: bool
    ) -> None:
        used: set[Any] = set()

        async def act(call: Call) -> None:
            if call._writer in used:
                call.cut()
                return
            used.add(call._writer)
            await says("hi")(call)

        client = await chomp(up := await upstream(act))
        for _ in range(3):
            async with client.chat(up.model, stream=stream) as answer:
                assert (answer.status, answer.headers["x-chomp-attempts"]) == (200, "1")
                await answer.read()
        assert (len(up.calls), up.connections) == (5, 3)  # two were sent twice, none three times
        async with client.get("/status") as answer:
            (state,) = [r for r in (await answer.json())["routers"] if r["id"] == up.id]
        assert state["breaker"] == "closed"
        assert [kept["attempts"] for kept in await client.rows(3)] == [1, 1, 1]

    async def test_an_idle_connection_closed_by_the_upstream_is_not_missed(self, chomp: Any, upstream: Any) -> None:
        async def act(call: Call) -> None:
            await says("hi")(call)
            call._writer.close()  # without having said so

        client = await chomp(up := await upstream(act))
        for _ in range(5):
            async with client.chat(up.model) as answer:
                assert answer.status == 200
                await answer.read()
        assert 5 <= len(up.calls) <= 9

    async def test_a_request_that_gets_no_answer_on_a_new_connection_is_sent_once(
        self, chomp: Any, upstream: Any
    ) -> None:
        async def act(call: Call) -> None:
            call.cut()

        client = await chomp(up := await upstream(act))
        async with client.chat(up.model) as answer:
            assert answer.status == 502
            error = await error_of(answer)
        assert error["code"] == "upstream_unreachable"
        assert len(up.calls) == 1

    async def test_concurrent_requests_never_share_a_connection(self, chomp: Any, upstream: Any) -> None:
        arrived, gate = asyncio.Semaphore(0), asyncio.Event()

        async def act(call: Call) -> None:
            arrived.release()
            await gate.wait()
            await call.whole(chat_answer(call.json["messages"][0]["content"]))

        client = await chomp(up := await upstream(act))

        async def ask(text: str) -> str:
            body = {"model": up.model, "messages": [{"role": "user", "content": text}]}
            async with client.post("/v1/chat/completions", json=body) as answer:
                return (await answer.json())["choices"][0]["message"]["content"]

        asking = [asyncio.ensure_future(ask(f"question {n}")) for n in range(30)]
        for _ in asking:
            await arrived.acquire()
        gate.set()
        assert await asyncio.gather(*asking) == [f"question {n}" for n in range(30)]
        assert up.connections == 30

    # -- connecting

    async def test_a_refused_connection_is_a_502_and_another_router_is_asked(self, chomp: Any, upstream: Any) -> None:
        with socket.socket() as taken:  # bound and not listening: refuses
            taken.bind(("127.0.0.1", 0))
            dead = {
                "id": "dead", "base_url": f"http://127.0.0.1:{taken.getsockname()[1]}/v1", "keys": ["k"], "models": ["m"],
            }  # fmt: skip
            client = await chomp(dead, good := await upstream(says("hi")))
            async with client.chat("dead/m") as answer:
                assert answer.status == 502
                error = await error_of(answer)
                assert (error["code"], "refused" in error["message"].lower()) == ("upstream_unreachable", True)
            async with client.chat("m") as answer:
                assert (answer.status, answer.headers["x-chomp-router"]) == (200, good.id)
        first, second = await client.rows(2)
        assert (first["error_type"], second["error_type"], second["attempts"]) == ("provider_connect", "", 2)

    async def test_a_host_that_does_not_exist_is_a_502(self, chomp: Any) -> None:
        client = await chomp(
            {"id": "nowhere", "base_url": "http://nowhere.invalid/v1", "keys": ["k"], "models": ["m"]},
            timeouts={"connect": "8s"},
        )
        async with client.chat("nowhere/m") as answer:
            assert answer.status == 502
            assert (await error_of(answer))["code"] == "upstream_unreachable"

    async def test_a_connection_that_is_not_taken_is_given_up_after_the_limit(self, chomp: Any, upstream: Any) -> None:
        with contextlib.ExitStack() as stack:
            full = stack.enter_context(socket.socket())
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for _ in range(8):  # fills the queue of those waiting to be accepted
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())
                if not select.select([], [waiting], [], 0.2)[1]:
                    break
            else:
                raise AssertionError("the queue does not fill")
            slow = {
                "id": "slow",
                "base_url": f"http://127.0.0.1:{full.getsockname()[1]}/v1",
                "keys": ["k"],
                "models": ["m"],
            }
            client = await chomp(slow, good := await upstream(says("hi")), timeouts={"connect": "300ms"})
            async with asyncio.timeout(10), client.chat("slow/m") as answer:
                assert answer.status == 502
                error = await error_of(answer)
            assert error["code"] == "upstream_unreachable"
            assert "0.3 s" in error["message"]
            assert 250 <= error["attempts"][0]["ms"] < 5000
            async with asyncio.timeout(10), client.chat("m") as answer:
                assert answer.headers["x-chomp-router"] == good.id

    @pytest.fixture
    async def secure(self, tmp_path: Path) -> AsyncIterator[tuple[int, Path]]:
        """A TLS server that answers chats, and its self-signed certificate."""
        key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", cert,
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
            check=True, capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))  # type: ignore[index]
                    writer.write(
                        http_answer(chat_answer("sealed"), JSON_LINE, f"content-length: {len(chat_answer('sealed'))}")
                    )
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        yield server.sockets[0].getsockname()[1], cert
        server.close()

    async def test_a_certificate_nobody_vouches_for_is_a_502_and_another_router_is_asked(
        self, chomp: Any, upstream: Any, secure: tuple[int, Path]
    ) -> None:
        self_signed = {"id": "sealed", "base_url": f"https://localhost:{secure[0]}/v1", "keys": ["k"], "models": ["m"]}
        clock = Clock()
        client = await chomp(self_signed, good := await upstream(says("hi")), clock=clock)
        async with client.chat("sealed/m") as answer:
            assert answer.status == 502
            error = await error_of(answer)
        assert error["message"].startswith("TLS failed") and "CERTIFICATE" in error["message"].upper()
        async with client.chat("m") as answer:
            assert (answer.status, answer.headers["x-chomp-router"]) == (200, good.id)
        gc.collect()
        before = psutil.Process().num_fds()
        for _ in range(20):
            clock.now += 31
            async with client.chat("sealed/m") as answer:
                assert answer.status == 502
        gc.collect()
        assert psutil.Process().num_fds() - before < 10  # no socket is left behind

    async def test_a_certificate_that_is_trusted_is_taken(
        self, chomp: Any, secure: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(secure[1]))
        client = await chomp(
            {"id": "sealed", "base_url": f"https://localhost:{secure[0]}/v1", "keys": ["k"], "models": ["m"]}
        )
        for _ in range(3):
            async with client.chat("sealed/m") as answer:
                assert answer.status == 200, await answer.text()
                assert (await answer.json())["choices"][0]["message"]["content"] == "sealed"

    @pytest.mark.parametrize("why", ["the client left", "it took too long"])
    async def test_a_request_given_up_while_connecting_is_never_sent(
        self, chomp: Any, upstream: Any, secure: tuple[int, Path], monkeypatch: pytest.MonkeyPatch, why: str
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(secure[1]))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(secure[1], secure[1].with_name("key.pem"))
        sealed, good = await upstream(says("sealed")), await upstream(says("hi"))
        inner = await asyncio.start_server(sealed._serve, "127.0.0.1", 0, ssl=context)
        came, gate, over = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(65536):
                    writer.write(data)
            writer.close()

        async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """Accepts at once, and lets the TLS handshake begin when the gate opens."""
            came.set()
            await gate.wait()
            onward = await asyncio.open_connection(*inner.sockets[0].getsockname())
            await asyncio.gather(pipe(reader, onward[1]), pipe(onward[0], writer))
            over.set()

        outer = await asyncio.start_server(slowly, "127.0.0.1", 0)
        base_url = f"https://localhost:{outer.sockets[0].getsockname()[1]}/v1"
        row = {"id": "sealed", "base_url": base_url, "keys": ["k"], "models": ["m"]}
        times = {"connect": "60s", "answer": "1s" if why == "it took too long" else "60s"}
        client = await chomp(row, good, timeouts=times)
        raw = await Raw.to(client.port, wire(chat_body(messages=[{"role": "user", "content": "given up"}])))
        await soon(came.wait())
        if why == "the client left":
            raw.close()
            await client.rows(1)
        else:
            await asyncio.sleep(1.5)  # past the limit
        gate.set()
        if why == "it took too long":
            assert (await raw.answer())[1]["x-chomp-router"] == good.id
        await until(lambda: sealed.connections or over.is_set(), "the handshake hangs")
        async with client.chat("sealed/m") as answer:
            assert answer.status == 200
        assert [call.json["messages"][0]["content"] for call in sealed.calls] == ["hello"]
        raw.close()
        outer.close()
        inner.close()

    async def test_a_name_the_certificate_does_not_have_is_refused(
        self, chomp: Any, secure: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(secure[1]))
        client = await chomp(
            {"id": "sealed", "base_url": f"https://127.0.0.2:{secure[0]}/v1", "keys": ["k"], "models": ["m"]},
            {"id": "plain", "base_url": f"https://127.0.0.1:{secure[0]}/v1", "keys": ["k"], "models": ["m"]},
        )
        async with client.chat("plain/m") as answer:
            assert answer.status == 200  # the certificate has this one
        async with client.chat("sealed/m") as answer:
            assert answer.status == 502


# == Routing ===========================================================================================================


class Switch:
    """What an upstream does, changed while it runs."""

    def __init__(self, act: Any):
        self.act = act

    async def __call__(self, call: Call) -> None:
        await self.act(call)


def keys_asked(up: Upstream) -> str:
    """The keys of the calls so far, a letter each: keys are written "key-a", "key-b"; forgets the calls."""
    used = "".join(call.headers["authorization"][-1] for call in up.calls)
    up.calls.clear()
    return used


def two_keys(up: Upstream) -> dict[str, Any]:
    return {**up.router, "keys": ["secret-key-a", "secret-key-b"]}


def only_key(letter: str, bad: Any, good: Any = None) -> Any:
    """`bad` for one key, `good` for the others."""
    good = good or says("hi")

    async def act(call: Call) -> None:
        await (bad if call.headers["authorization"].endswith(letter) else good)(call)

    return act


async def state_of(client: Chomp, router: str) -> dict[str, Any]:
    async with client.get("/status") as answer:
        (found,) = [one for one in (await answer.json())["routers"] if one["id"] == router]
    return found


async def ask(client: Chomp, model: str, **more: Any) -> tuple[int, dict[str, str], Any]:
    """(status, headers with names in lower case, body)"""
    async with asyncio.timeout(20), client.chat(model, **more) as answer:
        return answer.status, {n.lower(): v for n, v in answer.headers.items()}, await answer.json()


def http_date(seconds: float) -> str:
    return email.utils.formatdate(seconds, usegmt=True)


NOW = Clock().now

WAITS = [  # headers of a 429, seconds until the target is asked again
    ([("retry-after", "7")], 7.0),
    ([("Retry-After", "2.5")], 2.5),
    ([("retry-after", http_date(NOW + 7))], 7.0),
    ([("retry-after-ms", "900")], 0.9),
    ([("retry-after-ms", "900"), ("retry-after", "30")], 0.9),
    ([("x-ms-retry-after-ms", "1500")], 1.5),
    ([("x-ratelimit-reset-tokens", "1m2.5s")], 62.5),
    ([("x-ratelimit-reset-requests", "2m59.56s")], 179.56),
    ([("x-ratelimit-reset-tokens", "940ms")], 0.94),
    ([("x-ratelimit-reset-requests-day", "33011.38"), ("x-ratelimit-remaining-requests-day", "0")], 33011.38),
    ([("x-ratelimit-reset", str(int((NOW + 20) * 1000)))], 20.0),  # OpenRouter, milliseconds
    ([("x-ratelimit-reset", str(int(NOW + 20)))], 20.0),
    ([("x-ratelimit-reset", "3")], 3.0),
    (
        [("x-ratelimit-reset-requests", "1h"), ("x-ratelimit-remaining-requests", "12"),
         ("x-ratelimit-reset-tokens", "6s"), ("x-ratelimit-remaining-tokens", "0")], 6.0,
    ),
    ([("x-ratelimit-reset-requests", "1h"), ("x-ratelimit-reset-tokens", "6s")], 6.0),
    ([("retry-after", "soon")], 5.0),
    ([], 5.0),
    ([("retry-after", str(int(NOW + 60)))], 60.0),
]  # fmt: skip

ZEN_MODEL_ERROR = b'{"type":"error","error":{"type":"ModelError","message":"Model x is not supported"}}'
MODERATION = (  # OpenRouter's: the prompt was refused, not the key
    b'{"error":{"code":403,"message":"openai/gpt-5 requires moderation on OpenAI. Your input was flagged",'
    b'"metadata":{"reasons":["violence"],"flagged_input":"how to","provider_name":"OpenAI"}}}'
)
MATRIX = [  # status, body, what the router's keys see: the same request again, another model, and for how long
    # "" = nothing is benched, "model", "key"
    pytest.param(400, None, "", "", 0, id="400"),
    pytest.param(404, None, "", "", 0, id="404"),
    pytest.param(413, None, "", "", 0, id="413"),
    pytest.param(422, None, "", "", 0, id="422"),
    pytest.param(401, ZEN_MODEL_ERROR, "", "", 0, id="Zen's ModelError"),
    pytest.param(401, None, "b", "key", 300, id="401"),
    pytest.param(403, None, "b", "key", 300, id="403"),
    pytest.param(403, MODERATION, "", "", 0, id="403 moderation"),
    pytest.param(402, None, "b", "key", 3600, id="402"),
    pytest.param(401, b'{"type":"error","error":{"type":"CreditsError","message":"No payment method"}}', "b", "key", 3600, id="Zen credits"),
    pytest.param(401, b'{"type":"error","error":{"type":"MonthlyLimitError","message":"limit"}}', "b", "key", 3600, id="Zen month"),
    pytest.param(429, b'{"type":"error","error":{"type":"GoUsageLimitError","message":"limit"}}', "b", "key", 3600, id="Zen Go"),
    pytest.param(400, b'{"error":{"message":"You have hit your usage limit."}}', "b", "key", 3600, id="400 usage limit"),
    pytest.param(403, b'{"detail":"Insufficient credits"}', "b", "key", 3600, id="403 credits"),
    pytest.param(429, b'{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}', "b", "key", 3600, id="429 quota"),
    pytest.param(429, None, "b", "model", 5, id="429"),
    pytest.param(429, b'{"type":"error","error":{"type":"FreeUsageLimitError","message":"limit"}}', "b", "model", 5, id="Zen free limit"),
    pytest.param(408, None, "", "", 0, id="408"),
    pytest.param(500, None, "", "", 0, id="500"),
    pytest.param(502, None, "", "", 0, id="502"),
    pytest.param(503, None, "", "", 0, id="503"),
    pytest.param(529, None, "", "", 0, id="529"),
    pytest.param(400, b'{"error":{"message":"Upstream request failed"}}', "", "", 0, id="Zen's passing 400"),
]  # fmt: skip
BREAKING = {"408", "500", "502", "503", "529", "Zen's passing 400"}


class TestRouting:
    # -- names

    @pytest.fixture
    async def seven(self, chomp: Any, upstream: Any) -> tuple[Chomp, Upstream]:
        """Four of the built-in routers, all served by one upstream."""
        up = await upstream(says("hi"))
        up.list_act = lists(
            {"id": "small/3b:free", "name": "Small 3B", "context_length": 900_000},
            {"id": "big/70b:free", "name": "Big 70B", "context_length": 131_072},
            {"id": "bigger/405b:free", "name": "Bigger 405B", "context_length": 262_144},
            {"id": "paid/x", "name": "Paid", "context_length": 2_000_000},
        )
        fixed = {
            "groq": ["openai/gpt-oss-120b", "shared", "x:free"],
            "together": ["meta-llama/Llama-3.3-70B-Instruct-Turbo", "shared", "together-only"],
            "fireworks": ["accounts/fireworks/models/x"],
        }
        rows = [row(up, router, models=models) for router, models in fixed.items()]
        return await chomp(*rows, row(up, "openrouter")), up

    @pytest.mark.parametrize(
        ("asked", "router", "sent"),
        [
            ("groq/openai/gpt-oss-120b", "groq", "openai/gpt-oss-120b"),
            ("groq/not-in-its-list", "groq", "not-in-its-list"),
            ("groq/auto", "groq", "llama-3.3-70b-versatile"),
            ("groq/", "groq", "llama-3.3-70b-versatile"),
            ("openrouter/openrouter/auto", "openrouter", "openrouter/auto"),
            ("openrouter/auto", "openrouter", "bigger/405b:free"),
            ("fireworks/accounts/fireworks/models/x", "fireworks", "accounts/fireworks/models/x"),
            ("accounts/fireworks/models/x", "fireworks", "accounts/fireworks/models/x"),
            ("together/meta-llama/Llama-3.3-70B-Instruct-Turbo", "together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
            ("meta-llama/Llama-3.3-70B-Instruct-Turbo", "together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
            ("x:free", "groq", "x:free"),
            ("bigger/405b:free", "openrouter", "bigger/405b:free"),
            ("openai/gpt-oss-120b", "groq", "openai/gpt-oss-120b"),
            ("shared", "groq", "shared"),
            ("auto", "groq", "llama-3.3-70b-versatile"),
            ("", "groq", "llama-3.3-70b-versatile"),
            (None, "groq", "llama-3.3-70b-versatile"),
        ],
    )
    async def test_a_model_name_finds_its_router(
        self, seven: tuple[Chomp, Upstream], asked: str, router: str, sent: str
    ) -> None:
        client, up = seven
        for _ in range(3):  # the same on every run
            status, headers, _ = await ask(client, asked)
            assert (status, headers["x-chomp-router"], headers["x-chomp-model"]) == (200, router, sent)
            assert up.calls[-1].json["model"] == sent
            assert up.calls[-1].headers["authorization"] == f"Bearer key-of-{router}"

    @pytest.mark.parametrize(
        ("asked", "router", "found", "sent"),
        [
            ("shared", "together", "together", "shared"),
            ("openai/gpt-oss-120b", "together", "together", "openai/gpt-oss-120b"),
            ("groq/compound", "together", "together", "groq/compound"),
            ("auto", "together", "together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
            ("", "openrouter", "openrouter", "bigger/405b:free"),
            ("shared", "auto", "groq", "shared"),
        ],
    )
    async def test_the_router_field_wins(
        self, seven: tuple[Chomp, Upstream], asked: str, router: str, found: str, sent: str
    ) -> None:
        client, up = seven
        status, headers, _ = await ask(client, asked, router=router)
        assert (status, headers["x-chomp-router"]) == (200, found)
        assert up.calls[-1].json["model"] == sent
        assert "router" not in up.calls[-1].json

    @pytest.mark.parametrize(
        ("asked", "near"),
        [
            ("nope/x", None),
            ("together-onli", "together-only"),
            ("gpt-oss-120b", "openai/gpt-oss-120b"),
            ("qroq/shared", "groq/shared"),
            ("Shared", "shared"),
            ("nope/" + "x" * 5000, None),
            ("nothing like it \u2603", None),
        ],
    )
    async def test_an_unknown_name_is_a_404_that_names_near_ones_and_calls_nobody(
        self, seven: tuple[Chomp, Upstream], asked: str, near: str | None
    ) -> None:
        client, up = seven
        async with client.chat(asked) as answer:
            assert answer.status == 404
            error = await error_of(answer)
        assert (error["code"], error["type"], error["param"]) == ("model_not_found", "invalid_request_error", "model")
        assert len(error["message"]) < 1000
        assert near is None or near in error["message"]
        assert up.calls == []
        (kept,) = await client.rows(1)
        assert (kept["status"], kept["error_type"], kept["attempts"]) == (404, "caller_model_unknown", 0)

    async def test_an_unknown_router_field_is_a_400(self, seven: tuple[Chomp, Upstream]) -> None:
        client, up = seven
        async with client.chat("shared", router="grok") as answer:
            assert answer.status == 400
            error = await error_of(answer)
        assert (error["code"], error["param"]) == ("unknown_router", "router")
        assert "groq" in error["message"]
        assert up.calls == []

    async def test_a_router_without_a_key_says_what_to_set(self, seven: tuple[Chomp, Upstream]) -> None:
        client, up = seven
        async with client.chat("cerebras/llama-3.3-70b") as answer:
            assert answer.status == 503
            assert answer.headers["x-should-retry"] == "false"
            assert "CEREBRAS_API_KEY" in (await error_of(answer))["message"]
        assert up.calls == []

    async def test_every_router_that_serves_a_bare_name_is_a_candidate_in_order(
        self, chomp: Any, upstream: Any
    ) -> None:
        ups = [await upstream(fails(500)) for _ in range(3)] + [await upstream(says("hi"))]
        client = await chomp(*ups)
        status, headers, _ = await ask(client, "m")
        assert (status, headers["x-chomp-router"], headers["x-chomp-attempts"]) == (200, ups[-1].id, "4")
        assert [len(up.calls) for up in ups] == [1, 1, 1, 1]

    async def test_a_pinned_name_is_asked_of_its_router_only(self, chomp: Any, upstream: Any) -> None:
        bad, good = await upstream(fails(500)), await upstream(says("hi"))
        client = await chomp(bad, good)
        status, _, body = await ask(client, bad.model)
        assert (status, body["error"]["code"]) == (500, "c500")
        assert good.calls == []

    async def test_nothing_configured_and_no_embedded_model_says_so(self, chomp: Any) -> None:
        client = await chomp({"id": "local", "enabled": False})
        status, headers, body = await ask(client, "auto")
        assert (status, body["error"]["code"], headers["x-should-retry"]) == (503, "no_router", "false")

    # -- aliases

    async def test_aliases_stand_for_lists_and_patterns_of_targets(self, chomp: Any, upstream: Any) -> None:
        first, second = await upstream(says("hi"), "a", "b"), await upstream(says("hi"), "c", "gpt-5")
        client = await chomp(
            first,
            second,
            aliases={
                "smart": [f"{second.id}/c", f"{first.id}/a"],
                "claude-*": f"{first.id}/b",
                "openai/*": [f"{second.id}/*"],
                "twice-*-end": [f"{first.id}/{{model}}"],
                "claude-special": {"targets": [f"{second.id}/gpt-5"], "prefer": "cheap"},
                "nowhere": ["nope"],
            },
        )
        for asked, router, sent in [
            ("smart", second.id, "c"),
            ("claude-opus-9", first.id, "b"),
            ("claude-special", second.id, "gpt-5"),  # an exact name before a pattern
            ("openai/gpt-5", second.id, "gpt-5"),
            ("twice-x-end", first.id, "twice-x-end"),
        ]:
            status, headers, _ = await ask(client, asked)
            assert (status, headers["x-chomp-router"], headers["x-chomp-model"]) == (200, router, sent), asked
        assert (await ask(client, "nowhere"))[0] == 404
        second.act = fails(503)
        status, headers, _ = await ask(client, "smart")
        assert (status, headers["x-chomp-router"], headers["x-chomp-model"]) == (200, first.id, "a")
        async with client.get("/v1/models") as answer:
            ids = [entry["id"] for entry in (await answer.json())["data"]]
        assert {"smart", "claude-special", f"{first.id}/a"} <= set(ids)
        assert not [one for one in ids if "*" in one]

    @pytest.mark.parametrize("order", list(itertools.permutations(["gpt-*", "gpt-4*", "*"])), ids=" ".join)
    async def test_the_pattern_that_says_most_wins_wherever_it_stands(
        self, chomp: Any, upstream: Any, order: Sequence[str]
    ) -> None:
        up = await upstream(says("hi"))
        sent = {"gpt-*": "any-gpt", "gpt-4*": "four", "*": "any"}
        client = await chomp(up, aliases={pattern: f"{up.id}/{sent[pattern]}" for pattern in order})
        for asked, model in [("gpt-4o", "four"), ("gpt-5", "any-gpt"), ("gp", "any")]:
            assert (await ask(client, asked))[1]["x-chomp-model"] == model

    async def test_an_alias_whose_first_name_is_unknown_uses_the_next(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(says("hi"))
        client = await chomp(up, aliases={"smart": ["not-served-now", up.model], "keyless": ["groq/x", up.model]})
        for alias in ("smart", "keyless"):
            status, headers, _ = await ask(client, alias)
            assert (status, headers.get("x-chomp-router")) == (200, up.id), alias

    # -- preferences

    @pytest.mark.parametrize("by", ["header", "alias", "setting"])
    async def test_cheap_and_free_rank_by_price(self, chomp: Any, upstream: Any, by: str) -> None:
        dear, unknown, cheap, free = [await upstream(says("hi")) for _ in range(4)]
        rows = [
            {**dear.router, "prices": {"m": {"input": 5, "output": 9}}},
            unknown,
            {**cheap.router, "prices": {"m": {"input": 0.1, "output": 0.2}}},
            {**free.router, "prices": {"m": {"input": 0, "output": 0}}, "id": "gratis"},
        ]
        targets = [f"{one}/m" for one in (dear.id, unknown.id, cheap.id)]

        async def first(prefer: str, rows: list[Any], targets: list[str]) -> str:
            client = await chomp(
                *rows,
                aliases={"best": {"targets": targets, "prefer": prefer}} if by == "alias" else {},
                **({"server": {"prefer": prefer}} if by == "setting" else {}),
            )
            headers = {"x-chomp-prefer": prefer} if by == "header" else {}
            return (await ask(client, "best" if by == "alias" else "m", headers=headers))[1]["x-chomp-router"]

        assert await first("", rows, [*targets, "gratis/m"]) == dear.id
        assert await first("cheap", rows[:3], targets) == cheap.id
        assert await first("cheap", rows, [*targets, "gratis/m"]) == "gratis"
        assert await first("free", rows, [*targets, "gratis/m"]) == "gratis"

    async def test_fast_ranks_by_the_time_to_first_token_that_was_measured(self, chomp: Any, upstream: Any) -> None:
        slow_gate = asyncio.Event()
        slow, quick = await upstream(holds(slow_gate, says("hi"))), await upstream(says("hi"))
        client = await chomp(slow, quick)

        async def streamed(model: str, **headers: str) -> str:
            async with client.chat(model, stream=True, headers=headers) as answer:
                await answer.read()
                return answer.headers["x-chomp-router"]

        asking = asyncio.ensure_future(streamed(slow.model))
        await asyncio.sleep(0.3)  # what is measured
        slow_gate.set()
        await asking
        await streamed(quick.model)
        assert await streamed("m") == slow.id
        assert await streamed("m", **{"x-chomp-prefer": "fast"}) == quick.id

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("slow_first", [False, True])
    async def test_fast_asks_each_router_once_then_stays_with_the_faster_one(
        self, chomp: Any, upstream: Any, slow_first: bool, stream: bool
    ) -> None:
        async def slowly(call: Call) -> None:
            await asyncio.sleep(0.3)  # what is measured
            await says("hi")(call)

        slow, quick = await upstream(slowly), await upstream(says("hi"))
        both = (slow, quick) if slow_first else (quick, slow)
        client = await chomp(*both)
        asked = []
        for _ in range(5):
            async with client.chat("m", stream=stream, headers={"x-chomp-prefer": "fast"}) as answer:
                await answer.read()
                asked.append(answer.headers["x-chomp-router"])
            await client.rows(len(asked))  # accounted for, and so measured
        assert asked == [both[0].id, both[1].id, quick.id, quick.id, quick.id]

    async def test_an_unknown_preference_is_a_400(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(up := await upstream())
        status, _, body = await ask(client, "m", headers={"x-chomp-prefer": "best"})
        assert (status, body["error"]["param"]) == (400, "x-chomp-prefer")
        assert up.calls == []

    # -- catalogues

    async def test_a_name_is_not_unknown_because_the_server_is_young(self, chomp: Any, upstream: Any) -> None:
        gate, asked = asyncio.Event(), asyncio.Event()

        async def slowly(call: Call) -> None:
            asked.set()
            await gate.wait()
            await lists({"id": "late"})(call)

        up = await upstream(says("hi"))
        up.list_act = slowly
        client = await chomp(row(up))
        waiting = asyncio.ensure_future(ask(client, "late"))
        async with asyncio.timeout(10):
            await asked.wait()
        assert not waiting.done()
        gate.set()
        status, headers, _ = await waiting
        assert (status, headers["x-chomp-router"]) == (200, up.id)

    async def test_the_wait_for_a_list_is_bounded(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(says("hi"))
        up.list_act = holds(asyncio.Event(), lists())
        client = await chomp(row(up), timeouts={"catalog_wait": "300ms", "catalog": "60s"})
        began = time.monotonic()
        status, _, _ = await ask(client, "late")
        assert status == 404
        assert 0.25 < time.monotonic() - began < 5

    async def test_a_pinned_name_waits_for_no_list(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(says("hi"))
        up.list_act = holds(asyncio.Event(), lists())
        client = await chomp(row(up), timeouts={"catalog_wait": "60s", "catalog": "60s"})
        assert (await ask(client, up.model))[0] == 200  # `ask` has less patience than the list

    async def test_a_name_is_found_as_soon_as_one_list_has_it(self, chomp: Any, upstream: Any) -> None:
        quick, slow = await upstream(says("hi")), await upstream(says("hi"))
        slow.list_act = holds(asyncio.Event(), lists())
        client = await chomp(row(slow), row(quick), timeouts={"catalog_wait": "60s", "catalog": "60s"})
        assert (await ask(client, "m"))[1]["x-chomp-router"] == quick.id

    @pytest.mark.parametrize("status", [401, 402, 403, 429])
    async def test_a_list_that_is_refused_to_one_key_is_fetched_with_the_next(
        self, chomp: Any, upstream: Any, status: int
    ) -> None:
        up = await upstream(says("hi"))
        up.list_act = only_key("a", fails(status), lists({"id": "model-a"}))
        client = await chomp(row(up, keys=["secret-key-a", "secret-key-b"]))
        async with client.get("/v1/models") as answer:
            assert [entry["id"] for entry in (await answer.json())["data"]] == [f"{up.id}/model-a"]
        assert up.lists == 2
        assert not (await state_of(client, up.id))["catalog_error"]

    @pytest.mark.parametrize("first", ["is in", "failed"])
    async def test_pinned_requests_alone_keep_their_routers_list_fresh(
        self, chomp: Any, upstream: Any, first: str
    ) -> None:
        clock, up = Clock(), await upstream(says("hi"), "old")
        up.list_act = fails(500) if first == "failed" else lists({"id": "old"})
        client = await chomp(row(up), clock=clock)

        async def listed(count: int) -> None:
            async with asyncio.timeout(PATIENCE_S):
                while (await state_of(client, up.id))["models"] != count:
                    await asyncio.sleep(0.01)

        await until(lambda: up.lists == 1, "the list was not asked for")
        if first == "is in":
            await listed(1)
        else:
            async with asyncio.timeout(PATIENCE_S):
                while not (await state_of(client, up.id))["catalog_error"]:
                    await asyncio.sleep(0.01)
        assert (await ask(client, f"{up.id}/old"))[0] == 200
        assert up.lists == 1
        up.list_act = lists({"id": "old"}, {"id": "new"})
        clock.now += 901 if first == "is in" else 31
        assert (await ask(client, f"{up.id}/old"))[0] == 200
        await listed(2)
        assert up.lists == 2

    @pytest.mark.parametrize("known", ["written", "in its list"])
    @pytest.mark.parametrize("hung_first", [False, True])
    async def test_auto_waits_for_no_list_that_hangs_when_another_default_is_known(
        self, chomp: Any, upstream: Any, hung_first: bool, known: str
    ) -> None:
        hung, good = await upstream(says("hi")), await upstream(says("hi"))
        hung.list_act = holds(asyncio.Event(), lists())
        rows = [row(good, **({"default_model": "m"} if known == "written" else {})), row(hung)]
        client = await chomp(
            *(reversed(rows) if hung_first else rows), timeouts={"catalog_wait": "10s", "catalog": "60s"}
        )
        async with asyncio.timeout(PATIENCE_S):
            while not (await state_of(client, good.id))["models"]:
                await asyncio.sleep(0.01)
        began = time.monotonic()
        status, headers, _ = await ask(client, "auto")
        assert (status, headers["x-chomp-router"]) == (200, good.id)
        assert time.monotonic() - began < 3  # CATALOG_GRACE_S at most; the list hangs for longer

    @pytest.mark.parametrize(
        ("router", "entries", "model"),
        [
            ("zen", [{"id": "gpt-9"}, {"id": "kimi-free"}, {"id": "other-free"}], "kimi-free"),
            ("zen", [{"id": "gpt-9"}], "minimax-m2.5-free"),
            ("zen", [], "minimax-m2.5-free"),
            (
                "openrouter",
                [{"id": "a:free", "context_length": 10}, {"id": "b:free", "context_length": 20},
                 {"id": "c:free", "name": "C 8B", "context_length": 99}, {"id": "d", "context_length": 999}],
                "b:free",
            ),
            ("umans", [{"id": "first"}, {"id": "second"}], "first"),
            ("groq", [{"id": "first"}], "llama-3.3-70b-versatile"),
        ],
    )  # fmt: skip
    async def test_auto_is_each_routers_default_by_its_rule(
        self, chomp: Any, upstream: Any, router: str, entries: list[dict[str, Any]], model: str
    ) -> None:
        up = await upstream(says("hi"))
        up.list_act = lists(*entries)
        client = await chomp(row(up, router))
        for asked in ("auto", f"{router}/auto"):
            status, headers, _ = await ask(client, asked)
            assert (status, headers["x-chomp-model"]) == (200, model)

    async def test_auto_walks_over_the_defaults_of_all_configured_routers(self, chomp: Any, upstream: Any) -> None:
        bad, good = await upstream(fails(500)), await upstream(says("hi"))
        client = await chomp(row(bad, "groq"), row(good, "cerebras"))
        status, headers, _ = await ask(client, "auto")
        assert (status, headers["x-chomp-router"], headers["x-chomp-model"]) == (200, "cerebras", "llama-3.3-70b")

    async def test_openrouters_auto_without_a_list_says_so_and_others_serve(self, chomp: Any, upstream: Any) -> None:
        up, good = await upstream(says("hi")), await upstream(says("hi"))
        up.list_act = fails(500)
        client = await chomp(row(up, "openrouter"), good)
        status, _, body = await ask(client, "openrouter/auto")
        assert (status, body["error"]["code"]) == (503, "no_default_model")
        assert (await ask(client, "auto"))[1]["x-chomp-router"] == good.id

    async def test_lists_are_fetched_in_parallel_and_without_being_asked_for(self, chomp: Any, upstream: Any) -> None:
        arrived, gate = asyncio.Semaphore(0), asyncio.Event()

        async def together(call: Call) -> None:
            arrived.release()
            await gate.wait()
            await lists({"id": call.upstream.id + "-model"})(call)

        ups = [await upstream(says("hi")) for _ in range(5)]
        for up in ups:
            up.list_act = together
        client = await chomp(*map(row, ups))
        async with asyncio.timeout(10):
            for _ in ups:
                await arrived.acquire()  # all are asked before any has answered, and no client came
        gate.set()
        async with client.get("/v1/models") as answer:
            data = (await answer.json())["data"]
        assert [entry["id"] for entry in data] == [f"{up.id}/{up.id}-model" for up in ups]

    @pytest.mark.parametrize("trouble", ["hangs", "500", "401", "refuses", "not JSON", "wrong shape", "huge"])
    async def test_a_router_in_trouble_neither_delays_nor_empties_the_lists_of_others(
        self, chomp: Any, upstream: Any, trouble: str
    ) -> None:
        odd, good = await upstream(says("hi")), await upstream(says("hi"), "model-a", "model-b")
        odd.list_act = {
            "hangs": holds(asyncio.Event(), lists()),
            "500": fails(500),
            "401": fails(401),
            "not JSON": sends(http_answer(b"<html>", "content-length: 6")),
            "wrong shape": sends(http_answer(b'{"data":5}', "content-length: 10")),
            "huge": sends(http_answer(b"[" + b'"x",' * 500_000, JSON_LINE, "content-length: 2000001")),
        }.get(trouble)
        table = row(odd)
        if trouble == "refuses":
            await odd.stop()
        client = await chomp(
            table, row(good), timeouts={"catalog": "60s", "catalog_wait": "60s"}, limits={"catalog_bytes": "1MiB"}
        )
        async with asyncio.timeout(10), client.get("/v1/models") as answer:
            assert answer.status == 200
            data = (await answer.json())["data"]
        assert [entry["id"] for entry in data] == [f"{good.id}/model-a", f"{good.id}/model-b"]
        if trouble != "hangs":
            assert (await state_of(client, table["id"]))["catalog_error"]

    async def test_a_list_that_takes_a_second_is_waited_for_though_another_router_refuses_before(
        self, chomp: Any, upstream: Any
    ) -> None:
        odd, good = await upstream(), await upstream(says("hi"), "model-a")

        async def refuses(call: Call) -> None:
            await asyncio.sleep(0.2)
            await fails(401)(call)

        async def answers(call: Call) -> None:
            await asyncio.sleep(1.2)  # as far away as real routers are
            await lists({"id": "model-a"})(call)

        odd.list_act, good.list_act = refuses, answers
        client = await chomp(row(odd), row(good))
        async with client.get("/v1/models") as answer:
            assert [entry["id"] for entry in (await answer.json())["data"]] == [f"{good.id}/model-a"]

    async def test_a_list_is_kept_for_15_minutes_then_shown_stale_while_it_is_fetched(
        self, chomp: Any, upstream: Any
    ) -> None:
        clock, up = Clock(), await upstream(says("hi"), "old")
        client = await chomp(row(up), clock=clock)

        async def ids() -> list[str]:
            async with asyncio.timeout(5), client.get("/v1/models") as answer:
                return [entry["id"].partition("/")[2] for entry in (await answer.json())["data"]]

        assert await ids() == ["old"]
        clock.now += 899
        assert await ids() == ["old"]
        assert up.lists == 1
        gate, asked = asyncio.Event(), asyncio.Event()

        async def slowly(call: Call) -> None:
            asked.set()
            await gate.wait()
            await lists({"id": "new"})(call)

        up.list_act = slowly
        clock.now += 2
        assert await ids() == ["old"]
        async with asyncio.timeout(5):
            await asked.wait()
        assert await ids() == ["old"]  # one fetch at a time
        assert (await ask(client, "old"))[0] == 200
        gate.set()
        async with asyncio.timeout(5):
            while await ids() != ["new"]:
                await asyncio.sleep(0.01)
        assert up.lists == 2

    async def test_a_failed_fetch_keeps_the_old_list_and_is_not_repeated_at_once(
        self, chomp: Any, upstream: Any
    ) -> None:
        clock, up = Clock(), await upstream(says("hi"), "old")
        client = await chomp(row(up), clock=clock)

        async def ids() -> list[str]:
            async with asyncio.timeout(5), client.get("/v1/models") as answer:
                return [entry["id"].partition("/")[2] for entry in (await answer.json())["data"]]

        assert await ids() == ["old"]
        up.list_act = fails(500)
        clock.now += 901
        for _ in range(20):
            assert await ids() == ["old"]
        async with asyncio.timeout(5):
            while not (await state_of(client, up.id))["catalog_error"]:
                await asyncio.sleep(0.01)
        for _ in range(20):
            assert await ids() == ["old"]
            assert (await ask(client, "not-there"))[0] == 404
        assert up.lists == 2
        up.list_act = None
        clock.now += 31
        async with asyncio.timeout(5):
            while (await ids(), up.lists) != (["old"], 3):
                await asyncio.sleep(0.01)

    async def test_models_are_listed_as_openai_does_and_found_one_by_one(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(says("hi"))
        up.list_act = lists(
            {"id": "a/b", "created": 17.5, "owned_by": "acme", "context_length": 4096, "extra": 1},
            {"id": "c"},
            {"no": 1},
        )
        client = await chomp(row(up))
        async with client.get("/v1/models") as answer:
            listed = await answer.json()
        assert listed == {
            "object": "list",
            "data": [
                {"id": f"{up.id}/a/b", "object": "model", "created": 17, "owned_by": "acme", "context_length": 4096},
                {"id": f"{up.id}/c", "object": "model", "created": 0, "owned_by": up.id},
            ],
        }
        for path in (f"{up.id}/a/b", "a/b", f"{up.id}/c", "c", f"{up.id}%2Fc"):
            async with client.get(f"/v1/models/{path}") as answer:
                assert (answer.status, (await answer.json())["object"]) == (200, "model")
        async with client.get("/v1/models/nope/d") as answer:
            assert answer.status == 404
            assert (await error_of(answer))["code"] == "model_not_found"

    async def test_a_bare_array_is_a_list_too(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(says("hi"))
        body = json.dumps([{"id": "x/y", "display_name": "XY", "pricing": {"input": 0.5, "output": 2}}]).encode()
        up.list_act = sends(http_answer(body, JSON_LINE, f"content-length: {len(body)}"))
        client = await chomp(row(up, "together"))
        async with client.get("/api/models/together") as answer:
            assert await answer.json() == {"router": "together", "count": 1, "models": [{"id": "x/y", "name": "XY"}]}
        assert (await ask(client, "together/x/y"))[0] == 200
        (kept,) = await client.rows(1)
        assert kept["cost_usd"] == pytest.approx((7 * 0.5 + 2 * 2) / 1e6)

    async def test_nothing_configured_lists_nothing(self, chomp: Any) -> None:
        client = await chomp()
        async with client.get("/v1/models") as answer:
            assert await answer.json() == {"object": "list", "data": []}

    async def test_openrouters_free_models_are_listed_without_a_key_and_without_small_ones(
        self, chomp: Any, upstream: Any
    ) -> None:
        up = await upstream()
        up.list_act = lists(
            {"id": "a:free", "name": "A 70B", "context_length": 10, "created": 5,
             "top_provider": {"max_completion_tokens": 3}},
            {"id": "s:free", "name": "S 8B", "context_length": 99},
            {"id": "paid", "name": "P"},
            {"id": "b:free", "name": "B 27B", "context_length": 20},
        )  # fmt: skip
        client = await chomp({**row(up, "openrouter"), "keys": []})
        for _ in range(2):
            async with client.get("/api/models/free") as answer:
                assert answer.status == 200
                assert await answer.json() == {
                    "count": 2,
                    "models": [
                        {"id": "a:free", "name": "A 70B", "context_length": 10, "max_output": 3, "created": 5},
                        {"id": "b:free", "name": "B 27B", "context_length": 20},
                    ],
                }
        assert up.lists == 1
        async with client.get("/v1/models") as answer:
            assert (await answer.json())["data"] == []  # it has no key

    async def test_openrouters_free_models_out_of_reach_are_a_502(self, chomp: Any, upstream: Any) -> None:
        up = await upstream()
        up.list_act = fails(503)
        client = await chomp({**row(up, "openrouter"), "keys": []})
        for _ in range(2):
            async with client.get("/api/models/free") as answer:
                assert answer.status == 502
                await error_of(answer)
        assert up.lists == 1  # a failure is remembered for a while

    async def test_a_routers_models_or_why_not(self, chomp: Any, upstream: Any) -> None:
        up, dead = await upstream(says("hi"), "a", "b"), await upstream()
        dead.list_act = fails(401, b'{"error":{"message":"bad key"}}')
        client = await chomp(row(up), row(dead))
        async with client.get(f"/api/models/{up.id}") as answer:
            assert await answer.json() == {
                "router": up.id, "count": 2, "models": [{"id": "a", "name": "a"}, {"id": "b", "name": "b"}],
            }  # fmt: skip
        for router, status, words in [
            ("grok", 400, "groq"), ("groq", 502, "GROQ_API_KEY"), (dead.id, 502, "bad key"),
        ]:  # fmt: skip
            async with client.get(f"/api/models/{router}") as answer:
                assert answer.status == status, router
                assert words in (await error_of(answer))["message"]

    # -- cooldowns

    @pytest.mark.parametrize(("headers", "wait"), WAITS, ids=[str(n) for n in range(len(WAITS))])
    async def test_a_busy_target_is_left_alone_for_as_long_as_it_asked(
        self, chomp: Any, upstream: Any, headers: list[tuple[str, str]], wait: float
    ) -> None:
        clock, act = Clock(), Switch(fails(429, headers=headers))
        up = await upstream(act)
        client = await chomp(up, clock=clock)
        for _ in range(2):  # the router's own answer, then chomp's
            status, got, body = await ask(client, "m")
            assert (status, body["error"]["type"] in ("x", "rate_limit_error")) == (429, True)
            assert got["retry-after"] == str(math.ceil(wait))
            assert got.get("x-should-retry") == ("true" if wait <= 60 else "false")
        act.act = says("hi")
        clock.now += wait - 0.05
        status, got, _ = await ask(client, "m")
        assert (status, got["retry-after"], len(up.calls)) == (429, "1", 1)
        clock.now += 0.1
        assert (await ask(client, "m"))[0] == 200
        assert len(up.calls) == 2

    async def test_when_all_are_cooling_the_smallest_remaining_wait_is_told(self, chomp: Any, upstream: Any) -> None:
        clock = Clock()
        waits = {"a": "90", "b": "40"}

        async def act(call: Call) -> None:
            key = call.headers["authorization"][-1]
            await fails(429, headers=[("retry-after", waits[key])])(call)

        up, other = await upstream(act), await upstream(fails(429, headers=[("retry-after", "70")]))
        client = await chomp(two_keys(up), other, clock=clock)
        status, headers, _ = await ask(client, "m")
        assert (status, headers["retry-after"], headers["x-should-retry"]) == (429, "40", "true")
        clock.now += 10.5
        status, headers, body = await ask(client, "m")
        assert (status, headers["retry-after"], headers["x-should-retry"]) == (429, "30", "true")
        assert body["error"]["type"] == "rate_limit_error"
        assert (len(up.calls), len(other.calls)) == (2, 1)
        waits["b"] = "200"
        clock.now += 30
        status, headers, _ = await ask(client, "m")  # b alone is awake again, and says no
        assert len(up.calls) == 3
        status, headers, _ = await ask(client, "m")
        assert (status, headers["retry-after"]) == (429, "30")  # the other router's, 70 - 40.5

    async def test_a_model_in_cooldown_leaves_other_models_keys_and_routers_to_serve(
        self, chomp: Any, upstream: Any
    ) -> None:
        async def act(call: Call) -> None:
            busy = call.json["model"] == "m" and call.headers["authorization"].endswith("a")
            await (fails(429, headers=[("retry-after", "50")]) if busy else says("hi"))(call)

        up = await upstream(act, "m", "n")
        client = await chomp(two_keys(up), clock=Clock())
        assert (await ask(client, "m"))[0] == 200
        assert keys_asked(up) == "ab"
        assert (await ask(client, "m"))[0] == 200
        assert keys_asked(up) == "b"
        assert (await ask(client, "n"))[0] == 200
        assert keys_asked(up) == "a"

    @pytest.mark.parametrize(("status", "body", "next_key", "benched", "seconds"), MATRIX)
    async def test_a_failure_benches_what_it_tells_about_and_nothing_else(
        self, request: Any, chomp: Any, upstream: Any,
        status: int, body: bytes | None, next_key: str, benched: str, seconds: float,
    ) -> None:  # fmt: skip
        clock, act = Clock(), Switch(only_key("a", fails(status, body)))
        up = await upstream(act, "m", "n")
        client = await chomp(two_keys(up), clock=clock)
        first, _, _ = await ask(client, "m")
        assert keys_asked(up) == "a" + next_key
        assert (first == 200) == bool(next_key)
        act.act = says("hi")  # all is well again; who is asked shows who is benched
        assert (await ask(client, "m"))[0] == 200
        assert keys_asked(up) == ("b" if benched else "a")
        assert (await ask(client, "n"))[0] == 200
        assert keys_asked(up) == ("b" if benched == "key" else "a")
        if benched:
            clock.now += seconds - 1
            assert (await ask(client, "m"))[0] == 200
            assert keys_asked(up) == "b"
            clock.now += 1.1
            assert (await ask(client, "m"))[0] == 200
            assert keys_asked(up) == "a"
        assert (await state_of(client, up.id))["breaker"] == "closed"

    @pytest.mark.parametrize(("status", "body", "next_key", "benched", "seconds"), MATRIX)
    async def test_only_failures_of_a_router_open_its_breaker(
        self, request: Any, chomp: Any, upstream: Any,
        status: int, body: bytes | None, next_key: str, benched: str, seconds: float,
    ) -> None:  # fmt: skip
        clock, up = Clock(), await upstream(fails(status, body))
        client = await chomp(up, clock=clock)
        for _ in range(6):
            await ask(client, "m")
            clock.now += seconds * 40  # past any bench
        breaks = request.node.callspec.id in BREAKING
        assert (await state_of(client, up.id))["breaker"] == ("open" if breaks else "closed")

    @pytest.mark.parametrize("status", [400, 404, 429])
    async def test_a_refusal_between_failures_keeps_the_breaker_closed(
        self, chomp: Any, upstream: Any, status: int
    ) -> None:
        clock = Clock()
        client = await chomp(up := await upstream(), clock=clock)
        for act in (*[fails(500)] * (cs.BREAKER_FAILURES - 1), fails(status), fails(500)):
            up.act = act
            await ask(client, "m")
            clock.now += 1000
        assert len(up.calls) == cs.BREAKER_FAILURES + 1
        assert (await state_of(client, up.id))["breaker"] == "closed"

    async def test_a_client_that_leaves_a_stream_says_nothing_against_its_router(
        self, chomp: Any, upstream: Any
    ) -> None:
        up = await upstream()
        client = await chomp(up)
        for _ in range(cs.BREAKER_FAILURES - 1):
            up.act = fails(500)
            await ask(client, "m")
        puppet = Puppet()
        up.act = puppet
        async with client.chat("m", stream=True) as answer:
            await puppet.asked.wait()
            puppet.tell(chat_chunk({"content": "hi"}))
            await answer.content.readuntil(b"\n\n")
            answer.close()
        await client.rows(cs.BREAKER_FAILURES)
        up.act = fails(500)
        await ask(client, "m")
        assert (await state_of(client, up.id))["breaker"] == "closed"  # it answered in between

    async def test_an_overloaded_target_is_left_alone_for_as_long_as_it_asked(self, chomp: Any, upstream: Any) -> None:
        clock = Clock()
        up = await upstream(fails(503, headers=[("retry-after", "60")]))
        client = await chomp(up, clock=clock)
        for passed, calls in ((0, 1), (59, 1), (2, 2)):
            clock.now += passed
            await ask(client, "m")
            assert len(up.calls) == calls

    async def test_a_payment_wait_that_the_router_names_is_kept(self, chomp: Any, upstream: Any) -> None:
        clock, act = Clock(), Switch(only_key("a", fails(402, headers=[("retry-after", "120")])))
        up = await upstream(act)
        client = await chomp(two_keys(up), clock=clock)
        await ask(client, "m")
        act.act = says("hi")
        keys_asked(up)
        for seconds, key in [(119, "b"), (1.1, "a")]:
            clock.now += seconds
            assert (await ask(client, "m"))[0] == 200
            assert keys_asked(up) == key

    async def test_a_key_from_the_environment_and_more_of_them_make_a_pool(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(only_key("a", fails(401)))
        table = {k: v for k, v in row(up, "groq", models=["m"]).items() if k != "keys"}
        client = await chomp(table, environ={"GROQ_API_KEY": "secret-key-a, secret-key-b"}, clock=Clock())
        assert (await ask(client, "groq/m"))[0] == 200
        assert keys_asked(up) == "ab"
        assert (await ask(client, "groq/m"))[0] == 200
        assert keys_asked(up) == "b"
        keys = {key["id"]: key["benched_s"] for key in (await state_of(client, "groq"))["keys"]}
        assert list(keys.values()) == [300, 0]
        assert not [one for one in keys if "secret" in one]

    @pytest.mark.parametrize("keys", [[""], [" "], ["", "\t ", " "]])
    async def test_a_blank_is_no_key(self, chomp: Any, upstream: Any, keys: list[str]) -> None:
        client = await chomp({**(up := await upstream()).router, "keys": keys})
        assert not (await state_of(client, up.id))["configured"]
        status, _, body = await ask(client, up.model)
        assert (status, body["error"]["code"], up.calls) == (503, "router_not_configured", [])

    async def test_blanks_around_a_key_are_not_of_it(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(only_key("a", fails(401)))
        client = await chomp({**up.router, "keys": [" secret-key-a ", "", "\tsecret-key-b "]})
        assert (await ask(client, "m"))[0] == 200
        assert [call.headers["authorization"] for call in up.calls] == ["Bearer secret-key-a", "Bearer secret-key-b"]

    async def test_a_router_of_ones_own_has_a_variable_named_after_it(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(says("hi"))
        table = {**up.router, "id": "my-router"}
        del table["keys"]
        client = await chomp(table, environ={"MY_ROUTER_API_KEY": "secret-key-a"})
        assert (await ask(client, "my-router/m"))[0] == 200
        assert keys_asked(up) == "a"
        assert [key["id"] for key in (await state_of(client, "my-router"))["keys"]] == ["MY_ROUTER_API_KEY"]
        keyless = await chomp(table)
        status, _, body = await ask(keyless, "my-router/m")
        assert (status, "MY_ROUTER_API_KEY" in body["error"]["message"]) == (503, True)

    async def test_a_key_that_worked_again_starts_anew(self, chomp: Any, upstream: Any) -> None:
        clock, act = Clock(), Switch(None)
        up = await upstream(act)
        client = await chomp(two_keys(up), clock=clock)
        for _ in range(3):
            act.act = only_key("a", fails(401))
            assert (await ask(client, "m"))[0] == 200
            assert keys_asked(up) == "ab"
            act.act = says("hi")
            for seconds, key in [(299, "b"), (1.1, "a")]:
                clock.now += seconds
                assert (await ask(client, "m"))[0] == 200
                assert keys_asked(up) == key

    async def test_a_model_that_a_key_may_not_use_rests_alone(self, chomp: Any, upstream: Any) -> None:
        async def act(call: Call) -> None:
            body = b'{"error":{"message":"blocked","type":"permissions_error","code":"model_permission_blocked_org"}}'
            await (fails(403, body) if call.json["model"] == "m" else says("hi"))(call)

        up, other = await upstream(act, "m", "n"), await upstream(says("hi"))
        client = await chomp(up, other, clock=Clock())
        for model, router in [("m", other), ("m", other), ("n", up)]:
            status, headers, _ = await ask(client, model)
            assert (status, headers.get("x-chomp-router")) == (200, router.id)
        assert [call.json["model"] for call in up.calls] == ["m", "n"]
        state = await state_of(client, up.id)
        assert (state["keys"][0]["benched_s"], state["breaker"]) == (0, "closed")

    @pytest.mark.parametrize("trouble", ["a bench that is over", "a failure of another router"])
    async def test_old_and_far_trouble_makes_no_request_be_planned_anew(
        self, chomp: Any, upstream: Any, monkeypatch: pytest.MonkeyPatch, trouble: str
    ) -> None:
        clock, act = Clock(), Switch(fails(429 if "bench" in trouble else 500))
        odd, good = await upstream(act, "odd"), await upstream(says("hi"))
        client = await chomp(odd, good, clock=clock)
        await ask(client, odd.model)
        clock.now += 3600
        planned, plan = [], client.services.routing.plan

        async def counted(*question: Any) -> Any:
            planned.append(question)
            return await plan(*question)

        monkeypatch.setattr(client.services.routing, "plan", counted)
        for _ in range(4):
            assert (await ask(client, "m"))[0] == 200
        assert len(planned) == 1

    # -- breakers

    @pytest.mark.parametrize("trouble", ["500", "cut", "silence", "broken stream"])
    async def test_a_breaker_opens_after_failures_then_lets_one_probe_pass_and_closes(
        self, chomp: Any, upstream: Any, trouble: str
    ) -> None:
        acts = {
            "500": fails(500),
            "cut": sends(b"", close=True),
            "silence": holds(asyncio.Event(), says()),
            "broken stream": streams(chat_chunk({"content": "a"}), cut=True),
        }
        clock, act = Clock(), Switch(acts[trouble])
        up = await upstream(act)
        client = await chomp(up, clock=clock, timeouts={"first_byte": "100ms"})

        async def streamed() -> int:
            async with asyncio.timeout(10), client.chat("m", stream=True) as answer:
                await answer.read()
                return answer.status

        for _ in range(cs.BREAKER_FAILURES):
            await streamed()
        assert len(up.calls) == cs.BREAKER_FAILURES
        status, headers, body = await ask(client, "m")
        assert (status, headers["retry-after"], headers["x-should-retry"]) == (503, "30", "true")
        assert body["error"]["code"] == "router_unavailable"
        assert len(up.calls) == cs.BREAKER_FAILURES  # nobody was asked
        assert (await state_of(client, up.id))["breaker"] == "open"

        clock.now += cs.BREAKER_OPEN_S + 0.1
        assert (await state_of(client, up.id))["breaker"] == "half-open"
        probing, gate = asyncio.Event(), asyncio.Event()

        async def slowly(call: Call) -> None:
            probing.set()
            await gate.wait()
            await says("hi")(call)

        act.act = slowly
        probe = asyncio.ensure_future(ask(client, "m"))
        async with asyncio.timeout(5):
            await probing.wait()
        assert [(await ask(client, "m"))[0] for _ in range(3)] == [503, 503, 503]
        assert len(up.calls) == cs.BREAKER_FAILURES + 1
        gate.set()
        assert (await probe)[0] == 200
        assert (await state_of(client, up.id))["breaker"] == "closed"
        assert [(await ask(client, "m"))[0] for _ in range(3)] == [200, 200, 200]

    async def test_a_probe_that_fails_opens_the_breaker_again(self, chomp: Any, upstream: Any) -> None:
        clock, up = Clock(), await upstream(fails(500))
        other = await upstream(says("hi"))
        client = await chomp(up, other, clock=clock)
        for _ in range(8):
            assert (await ask(client, "m"))[0] == 200
        assert len(up.calls) == cs.BREAKER_FAILURES
        for n in range(1, 4):
            clock.now += cs.BREAKER_OPEN_S + 0.1
            for _ in range(3):
                assert (await ask(client, "m"))[0] == 200
            assert len(up.calls) == cs.BREAKER_FAILURES + n

    async def test_a_success_between_failures_keeps_the_breaker_closed(self, chomp: Any, upstream: Any) -> None:
        act = Switch(fails(500))
        up = await upstream(act)
        client = await chomp(up, clock=Clock())
        for _ in range(4):
            for _ in range(cs.BREAKER_FAILURES - 1):
                assert (await ask(client, "m"))[0] == 500
            act.act = says("hi")
            assert (await ask(client, "m"))[0] == 200
            act.act = fails(500)
        assert (await state_of(client, up.id))["breaker"] == "closed"

    @pytest.mark.parametrize("stream", [False, True])
    async def test_clients_that_leave_count_against_nobody(self, chomp: Any, upstream: Any, stream: bool) -> None:
        arrived = asyncio.Semaphore(0)

        async def act(call: Call) -> None:
            if stream:
                await call.head()
                await call.chunk(chat_chunk({"content": "a"}))
            arrived.release()
            async with asyncio.timeout(5):
                await call.gone.wait()

        up = await upstream(act)
        client = await chomp(up, clock=Clock())
        for _ in range(cs.BREAKER_FAILURES + 3):
            asking = asyncio.ensure_future(client.chat("m", stream=stream).__aenter__())
            async with asyncio.timeout(5):
                await arrived.acquire()
            if stream:
                (await asking).close()
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
            async with asyncio.timeout(5):
                await up.calls[-1].gone.wait()
        assert len(up.calls) == cs.BREAKER_FAILURES + 3
        state = await state_of(client, up.id)
        assert (state["breaker"], state["keys"][0]["benched_s"]) == ("closed", 0)
        assert {kept["status"] for kept in await client.rows(len(up.calls))} == {499}
        up.act = says("hi")
        assert (await ask(client, "m"))[0] == 200

    async def test_a_probe_whose_client_left_does_not_keep_the_router_closed_off(
        self, chomp: Any, upstream: Any
    ) -> None:
        clock, up = Clock(), await upstream(fails(500))
        client = await chomp(up, clock=clock)
        for _ in range(cs.BREAKER_FAILURES):
            await ask(client, "m")
        clock.now += cs.BREAKER_OPEN_S + 1
        arrived = asyncio.Event()

        async def act(call: Call) -> None:
            arrived.set()
            async with asyncio.timeout(5):
                await call.gone.wait()

        up.act = act
        asking = asyncio.ensure_future(client.chat("m").__aenter__())
        async with asyncio.timeout(5):
            await arrived.wait()
        asking.cancel()
        async with asyncio.timeout(5):
            await up.calls[-1].gone.wait()
        await client.rows(cs.BREAKER_FAILURES + 1)
        up.act = says("hi")
        assert (await ask(client, "m"))[0] == 200  # at once

    # -- the embedded model

    async def test_the_embedded_model_is_nobodys_fallback(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(fails(500))
        client = await chomp(up)
        for asked in ("auto", "", "m"):
            status, _, body = await ask(client, asked)
            assert status == 500
            assert [one["router"] for one in body["error"]["attempts"]] == [up.id]

    async def test_the_embedded_models_name_is_not_taken_from_a_router_that_has_it(
        self, chomp: Any, upstream: Any
    ) -> None:
        up = await upstream(says("hi"), "smollm2-135m")
        client = await chomp(up)
        assert (await ask(client, "smollm2-135m"))[1]["x-chomp-router"] == up.id

    async def test_the_embedded_model_switched_off_is_not_there(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(await upstream(), {"id": "local", "enabled": False})
        status, _, body = await ask(client, "local/smollm2-135m")
        assert (status, body["error"]["code"]) == (404, "model_not_found")
        async with client.get("/api/models/local") as answer:
            assert answer.status == 400  # as for any unknown router
            await error_of(answer)
        async with client.get("/status") as answer:
            assert "local" not in [one["id"] for one in (await answer.json())["routers"]]
        shown = cs.banner(client.settings, client.services, 1)
        assert re.search(r"^  groq ", shown, re.M) and not re.search(r"^  local ", shown, re.M)

    # -- bounds

    @staticmethod
    def held(client: Chomp) -> dict[str, int]:
        """How much each collection holds that grows with requests."""
        services = client.services
        parts = {"routing": services.routing, "proxy": services.proxy, "usage": services.usage}
        sized = {}
        for part, it in parts.items():
            for name, value in vars(it).items():
                if isinstance(value, (dict, list, set)):
                    sized[f"{part}.{name}"] = len(value)
        return sized

    async def test_20_000_names_that_ask_to_be_left_alone_leave_little_behind(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(says("hi"))
        client = await chomp(up, limits={"names": 100}, clock=Clock())
        routing = client.services.routing
        (target,) = await routing.plan(up.model, "", "", "chat")
        down = cs.Fault("provider_overloaded", "no", 503, wait_s=1e5)
        for n in range(20_000):
            routing.failed(msgspec.structs.replace(target, model=f"name-{n}"), down, cs.judge(down))
        assert max(self.held(client).values()) <= 200, self.held(client)

    async def test_50_000_names_leave_nothing_behind(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(says("hi"))
        client = await chomp(up, limits={"names": 100}, clock=Clock())
        routing = client.services.routing
        busy = cs.Fault("provider_rate_limited", "no", 429, wait_s=1e5)
        for n in range(50_000):
            name = f"{up.id}/{random.randbytes(8).hex()}"
            try:
                (target,) = await routing.plan(name, "", ("", "fast")[n % 2], "chat")
            except cs.Busy:
                raise AssertionError("a name was benched that never failed") from None
            routing.asked(target)
            routing.answered(target, 0.1, 0.2, ())
            routing.price(up.id, target.model)
            if n % 3 == 0:
                routing.failed(target, busy, cs.judge(busy))
        for n in range(300):
            with pytest.raises(cs.ModelNotFound):
                await routing.plan(f"unknown/{n}", "", "", "chat")
        for n in range(200):
            await ask(client, f"{up.id}/random-{n}")
        assert max(self.held(client).values()) <= 200, self.held(client)


# == Usage =============================================================================================================


def metric(text: str, name: str, **labels: str) -> float | None:
    """The value of one sample."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels.items() >= labels.items():
                return sample.value
    return None


async def metrics_of(client: Chomp) -> str:
    async with client.get("/metrics") as answer:
        assert answer.status == 200
        return await answer.text()


PRICED = {"prices": {"m": {"input": 1.0, "output": 2.0}}}  # USD per million
ASKED_USAGE = {"stream_options": {"include_usage": True}}
SHAPES = [  # frames after the words, and what is accounted: prompt, completion, estimated
    pytest.param([FINISH, chat_chunk(None, usage=USAGE)], (7, 2, 0), id="frame of its own"),
    pytest.param([chat_chunk({}, "stop", usage=USAGE)], (7, 2, 0), id="on the finish frame"),
    pytest.param([chat_chunk({}, "stop", x_groq={"id": "r", "usage": USAGE})], (7, 2, 0), id="in x_groq"),
    pytest.param(
        [chat_chunk({}, "stop", x_groq={"id": "r", "usage": USAGE}), chat_chunk(None, usage=USAGE)], (7, 2, 0), id="in both"
    ),
    pytest.param([FINISH, chat_chunk({}, None, usage=USAGE)], (7, 2, 0), id="with an empty choice"),
    pytest.param(
        [chat_chunk({}, "stop", usage=None), chat_chunk(None, usage=USAGE)], (7, 2, 0), id="null before"
    ),
    pytest.param(
        [FINISH, chat_chunk(None, usage={"prompt_tokens": 7, "completion_tokens": 1}), chat_chunk(None, usage=USAGE)],
        (7, 2, 0), id="twice, the last wins",
    ),
    pytest.param([FINISH], None, id="none"),
]  # fmt: skip


class TestUsage:
    @pytest.mark.parametrize("counted", [False, True], ids=["before the usage frame", "after the usage frame"])
    async def test_a_client_that_leaves_early_is_accounted_for(self, chomp: Any, upstream: Any, counted: bool) -> None:
        async def act(call: Call) -> None:
            await call.head()
            with contextlib.suppress(ConnectionError):
                if counted:
                    await call.chunk(chat_chunk({"content": "first"}, usage=USAGE))
                for _ in range(1000):
                    if call.gone.is_set():
                        return
                    await call.chunk(chat_chunk({"content": "word"}))
                    await asyncio.sleep(0.005)

        up = await upstream(act)
        client = await chomp({**up.router, **PRICED})
        async with client.chat("m", stream=True) as answer:
            got = b""
            while got.count(b"\n\n") < 10:
                got += await answer.content.readany()
            answer.close()
        left_at = time.monotonic()
        (kept,) = await client.rows(1)
        assert time.monotonic() - left_at < 5
        assert (kept["status"], kept["error_type"], kept["stream"]) == (499, "caller_cancelled", 1)
        if counted:
            assert (kept["prompt_tokens"], kept["completion_tokens"], kept["estimated"]) == (7, 2, 0)
            assert kept["cost_usd"] == pytest.approx(11e-6)
        else:
            assert kept["estimated"] == 1
            assert kept["prompt_tokens"] > 0
            assert 10 <= kept["completion_tokens"] < 200
            assert kept["cost_usd"] > 0
        async with asyncio.timeout(5):
            await up.calls[0].gone.wait()
        text = await metrics_of(client)
        assert metric(text, "chomp_requests_total", status="499") == 1
        assert metric(text, "chomp_inflight") == 0

    async def test_a_frame_nobody_counted_is_a_token_at_least(self, chomp: Any, upstream: Any) -> None:
        letters = [chat_chunk({"content": letter}) for letter in "abcdefgh"]
        client = await chomp(up := await upstream(streams(*letters, FINISH, DONE)))
        async with client.chat(up.model, stream=True) as answer:
            await answer.read()
        (kept,) = await client.rows(1)
        assert (kept["completion_tokens"], kept["estimated"]) == (8, 1)

    @pytest.mark.parametrize("asked", [False, True], ids=["not asked", "asked"])
    @pytest.mark.parametrize(("last", "counted"), SHAPES)
    async def test_each_shape_of_usage_makes_exactly_one_row(
        self, chomp: Any, upstream: Any, last: list[bytes], counted: tuple[int, int, int] | None, asked: bool
    ) -> None:
        client = await chomp(up := await upstream(streams(STREAM[0], *STREAM[1:4], *last, DONE)))
        async with client.chat(up.model, stream=True, **(ASKED_USAGE if asked else {})) as answer:
            body = await answer.read()
        if asked:
            assert body == b"".join([*STREAM[:4], *last, DONE])
        else:
            assert not [f for f in frames(body) if f != "[DONE]" and f["choices"] == [] and f.get("usage")]
        (kept,) = await client.rows(1)
        if counted:
            assert (kept["prompt_tokens"], kept["completion_tokens"], kept["estimated"]) == counted
        else:
            assert (kept["prompt_tokens"] > 0, kept["completion_tokens"] >= 3, kept["estimated"]) == (True, True, 1)
        text = await metrics_of(client)
        assert len(await client.rows()) == 1
        assert metric(text, "chomp_tokens_total", type="prompt") == kept["prompt_tokens"]
        assert metric(text, "chomp_tokens_total", type="completion") == kept["completion_tokens"]

    async def test_a_disk_that_is_stuck_slows_no_request_and_loses_are_counted(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(says("hi"))
        client = await chomp(up, limits={"ledger_rows": 50})
        assert (await ask(client, "m"))[0] == 200
        await client.rows(1)
        blocker = sqlite3.connect(client.settings.state / "chomp.db", isolation_level=None)
        blocker.execute("BEGIN EXCLUSIVE")
        try:
            slowest = 0.0
            for at in range(300):
                began = time.monotonic()
                assert (await ask(client, "m"))[0] == 200
                slowest = max(slowest, time.monotonic() - began)
                if at == 20:
                    await asyncio.sleep(2 * cs.LEDGER_FLUSH_S)  # until the writer is stuck
            assert slowest < 2.0  # the disk is stuck for longer
            assert client.services.usage.queued <= 50
            async with asyncio.timeout(5), client.get("/status") as answer:
                ledger = (await answer.json())["ledger"]
            assert ledger["queued"] <= 50 and ledger["dropped"] == 300 - ledger["queued"]
            async with asyncio.timeout(5):
                text = await metrics_of(client)
            assert metric(text, "chomp_ledger_dropped_total") == ledger["dropped"]
            assert metric(text, "chomp_ledger_queue") == ledger["queued"]
            assert metric(text, "chomp_requests_total") >= ledger["dropped"]
        finally:
            blocker.execute("ROLLBACK")
            blocker.close()
        assert len(await client.rows(1 + ledger["queued"])) == 1 + ledger["queued"]
        assert metric(await metrics_of(client), "chomp_requests_total") == 301  # dropped rows are in the totals
        assert (await ask(client, "m"))[0] == 200
        await client.rows(2 + ledger["queued"])  # and it goes on

    async def test_a_disk_that_fails_drops_rows_counts_them_and_goes_on(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(await upstream(says("hi")))
        with contextlib.closing(sqlite3.connect(client.settings.state / "chomp.db")) as other:
            other.execute("ALTER TABLE requests RENAME TO elsewhere")
            other.commit()
            assert (await ask(client, "m"))[0] == 200
            assert metric(await metrics_of(client), "chomp_ledger_dropped_total") == 1
            other.execute("ALTER TABLE elsewhere RENAME TO requests")
            other.commit()
        assert (await ask(client, "m"))[0] == 200
        assert len(await client.rows(1)) == 1

    @pytest.mark.parametrize("error", [OSError, BrokenPipeError, ValueError])
    @pytest.mark.parametrize("form", ["text", "json"])
    async def test_log_lines_that_cannot_be_written_cost_no_row(
        self, store: cs.Store, form: str, error: type[Exception]
    ) -> None:
        def out(text: str) -> None:
            raise error("nobody reads this")

        ledger = cs.UsageLedger(store.database, cs.Limits(), log_form=form, out=out)
        await ledger.open()
        kinds = cs.LedgerRow.__annotations__.items()
        row = cs.LedgerRow(**{name: "" if kind == "str" else 0 for name, kind in kinds})
        for count in (1, 2):
            ledger.record(row)
            await ledger.flush()
            assert await store.database.read("SELECT count(*) AS n FROM requests") == [{"n": count}]
        assert (ledger.written, ledger.dropped, ledger.queued) == (2, 0, 0)

    @pytest.mark.parametrize(
        ("prices", "usage", "more", "cost"),
        [
            ({"input": 1.0, "output": 2.0}, USAGE, {}, 11e-6),
            ({"input": 1.0, "output": 2.0}, {**USAGE, "cost": 0.25}, {}, 0.25),  # OpenRouter's
            ({"input": 1.0, "output": 2.0}, USAGE, {"cost": "0.125"}, 0.125),  # Zen's
            ({"input": 1.0, "output": 2.0}, {**USAGE, "cost": 0}, {}, 0.0),
            ({"input": 1.0, "output": 2.0, "cached": 0.1}, {**USAGE, "prompt_tokens_details": {"cached_tokens": 5}}, {}, 6.5e-6),
            ({"input": 1.0, "output": 2.0}, {**USAGE, "completion_tokens_details": {"reasoning_tokens": 2}}, {}, 11e-6),
            ({"input": 0, "output": 0}, USAGE, {}, 0.0),
            (None, USAGE, {}, None),
            (None, {**USAGE, "cost": 0.25}, {}, 0.25),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("stream", [False, True])
    async def test_the_routers_own_cost_wins_then_the_price_and_unknown_stays_unknown(
        self, chomp: Any, upstream: Any, prices: Any, usage: Any, more: Any, cost: float | None, stream: bool
    ) -> None:
        async def act(call: Call) -> None:
            if call.streams:
                last = chat_chunk(None, usage=usage, **more)
                await streams(*STREAM[:-1], last, DONE)(call)
            else:
                await call.whole(chat_answer("hi", usage=usage, **more))

        up = await upstream(act)
        client = await chomp({**up.router, **({"prices": {"m": prices}} if prices else {})})
        async with client.chat("m", stream=stream) as answer:
            await answer.read()
        (kept,) = await client.rows(1)
        assert kept["cost_usd"] == (None if cost is None else pytest.approx(cost))
        async with client.get("/api/usage?by=model") as answer:
            (shown,) = (await answer.json())["rows"]
        assert shown["cost_usd"] == (None if cost is None else pytest.approx(cost))
        assert shown["unpriced"] == (cost is None)
        text = await metrics_of(client)
        assert metric(text, "chomp_unpriced_requests_total") == (cost is None)
        assert (metric(text, "chomp_cost_usd_total") or 0) == pytest.approx(cost or 0)

    async def test_a_cost_sent_after_done_is_accounted(self, chomp: Any, upstream: Any) -> None:
        after = (
            b'data:{"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"cost":"0.5"}\n\n'
        )
        client = await chomp(up := await upstream(streams(*STREAM[:-1], chat_chunk(None, usage=USAGE), DONE, after)))
        async with client.chat(up.model, stream=True) as answer:
            assert frames(await answer.read())[-1] is not None
        (kept,) = await client.rows(1)
        assert (kept["cost_usd"], kept["prompt_tokens"], kept["status"]) == (0.5, 7, 200)

    @pytest.mark.parametrize("by", ["router", "key", "model", "caller", "task", "session", "day"])
    async def test_usage_is_summed_by_each_group(self, chomp: Any, upstream: Any, by: str) -> None:
        one, two = await upstream(says("hi")), await upstream(says("hi"), "n")
        client = await chomp({**one.router, **PRICED}, two)
        for model in ("m", "m", "n"):
            await ask(client, model)
        await ask(client, "unknown-name")
        await client.rows(4)
        async with client.get(f"/api/usage?by={by}") as answer:
            assert answer.status == 200
            report = await answer.json()
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        groups = {found[by]: found for found in report["rows"]}
        expected = {
            "router": {one.id: 2, two.id: 1, "": 1},
            "key": {f"{one.id}/chomp.toml#1": 2, f"{two.id}/chomp.toml#1": 1, "/": 1},
            "model": {f"{one.id}/m": 2, f"{two.id}/n": 1, "/": 1},
            "caller": {"owner": 4},
            "task": {"": 4},
            "session": {"": 4},
            "day": {today: 4},
        }[by]
        assert {group: found["requests"] for group, found in groups.items()} == expected
        assert sum(found["prompt_tokens"] for found in groups.values()) == 21
        assert sum(found["completion_tokens"] for found in groups.values()) == 6
        assert sum(found["errors"] for found in groups.values()) == 1
        assert sum(found["cost_usd"] or 0 for found in groups.values()) == pytest.approx(22e-6)
        assert sum(found["unpriced"] for found in groups.values()) == 1
        assert report["prices"]["date"]

    @pytest.mark.parametrize(
        ("since", "seen"),
        [
            ("24h", 1), ("1h", 1), ("90m", 1), ("7d", 2), ("60d", 3), ("3000d", 3), ("0s", 0),
            (lambda now: str(int(now - 3600)), 1),
            (lambda now: str(now - 4 * 86400), 2),
            (lambda now: datetime.datetime.fromtimestamp(now - 86400, datetime.UTC).date().isoformat(), 1),
            (lambda now: datetime.datetime.fromtimestamp(now - 40 * 86400, datetime.UTC).isoformat(), 3),
            (lambda now: datetime.datetime.fromtimestamp(now - 3600, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), 1),
            ("2000-01-01", 3),
            ("yesterday", None), ("", None), ("-1h", None), ("1e400", None), ("nan", None), ("9" * 30, None),
            ("99999999999999d", None), ("2026-13-01", None),
        ],
    )  # fmt: skip
    async def test_since_is_a_time_ago_a_date_or_unix_seconds(
        self, chomp: Any, upstream: Any, since: Any, seen: int | None
    ) -> None:
        client = await chomp(await upstream())
        now = time.time()
        values = {"at": now, "request_id": "r", "caller": "owner", "router": "x", "status": 200}
        rows = []
        for age in (0.0, 3 * 86400.0, 30 * 86400.0):
            filled = {
                name: 0 if kind in ("int", "float") else "" for name, kind in cs.LedgerRow.__annotations__.items()
            } | {"ttft_ms": None, "cost_usd": None, **values, "at": now - age - 60}
            rows.append(tuple(filled[name] for name in cs.LedgerRow.__struct_fields__))
        with contextlib.closing(sqlite3.connect(client.settings.state / "chomp.db")) as other:
            marks = ",".join("?" * len(rows[0]))
            other.executemany(f"INSERT INTO requests VALUES ({marks})", rows)
            other.commit()
        text = since if isinstance(since, str) else since(now)
        async with client.get("/api/usage", params={"by": "caller", "since": text}) as answer:
            if seen is None:
                assert answer.status == 400
                assert (await error_of(answer))["param"] == "since"
                return
            assert answer.status == 200
            report = await answer.json()
        assert sum(found["requests"] for found in report["rows"]) == seen
        if re.fullmatch(r"[1-9]\d*[hmd]", text):
            ago = now - datetime.datetime.fromisoformat(report["since"]).timestamp()
            assert ago == pytest.approx(cs.duration_s(text), abs=30)

    async def test_an_unknown_group_is_a_400_that_names_the_known_ones(self, chomp: Any) -> None:
        client = await chomp()
        for by in ("colour", "router;--", ""):
            async with client.get("/api/usage", params={"by": by}) as answer:
                assert answer.status == 400
                error = await error_of(answer)
            assert error["param"] == "by"
            assert "session" in error["message"]

    async def test_metrics_have_their_names_and_bounded_labels(self, chomp: Any, upstream: Any) -> None:
        up, bad = (
            await upstream(says("hi there you")),
            await upstream(fails(500, headers=[("x-ratelimit-remaining-requests", "7")])),
        )
        client = await chomp(bad, {**up.router, **PRICED})
        for n in range(50):
            await ask(client, f"{up.id}/random-name-{n}")
            await ask(client, f"random-unknown-{n}")
        await ask(client, "m")
        async with client.chat("m", stream=True) as answer:
            await answer.read()
        text = await metrics_of(client)
        families = {family.name: family for family in text_string_to_metric_families(text)}
        assert families.keys() >= {
            "chomp_requests", "chomp_request_duration_seconds", "chomp_overhead_seconds", "chomp_ttft_seconds",
            "chomp_inter_chunk_seconds", "chomp_tokens", "chomp_cost_usd", "chomp_attempts", "chomp_failovers",
            "chomp_breaker_state", "chomp_key_up", "chomp_ratelimit_remaining", "chomp_inflight", "chomp_ledger_queue",
            "chomp_event_loop_lag_seconds",
        }  # fmt: skip
        labels = {
            name: {label for sample in families[name].samples for label in sample.labels}
            for name in ("chomp_requests", "chomp_tokens", "chomp_attempts", "chomp_failovers", "chomp_breaker_state")
        }
        assert labels == {
            "chomp_requests": {"router", "endpoint", "stream", "status", "error_type"},
            "chomp_tokens": {"router", "type"},
            "chomp_attempts": {"router", "outcome"},
            "chomp_failovers": {"from", "to", "reason"},
            "chomp_breaker_state": {"router"},
        }
        assert "random" not in text
        assert up.id in text and f"key-of-{up.id}" not in text
        assert metric(text, "chomp_requests_total", status="404", error_type="caller_model_unknown") == 50
        assert metric(text, "chomp_attempts_total", router=up.id, outcome="ok") == 52
        assert metric(text, "chomp_attempts_total", router=bad.id, outcome="provider_error") == 2
        assert metric(text, "chomp_failovers_total", **{"from": bad.id, "to": up.id, "reason": "provider_error"}) == 2
        assert metric(text, "chomp_request_duration_seconds_count") == 102
        assert metric(text, "chomp_ttft_seconds_count") == 1
        assert metric(text, "chomp_key_up", router=up.id) == 1
        assert metric(text, "chomp_inflight") == 0
        outcomes = {sample.labels["error_type"] for sample in families["chomp_requests"].samples}
        assert outcomes <= cs.ERROR_TYPES | {""}

    @pytest.mark.parametrize("form", ["text", "json"])
    async def test_each_request_is_one_log_line(
        self, chomp: Any, upstream: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, form: str
    ) -> None:
        caplog.set_level(logging.INFO)
        up = await upstream(says("hi"))
        client = await chomp(up, environ={"CHOMP_LOG": form})
        capsys.readouterr()
        await ask(client, "m", headers={"x-request-id": "mine-1"})
        async with client.chat("m", stream=True, headers={"x-request-id": "mine-2"}) as answer:
            await answer.read()
        await ask(client, "unknown\nname \u2603", headers={"x-request-id": "mine-3"})
        await client.rows(3)
        printed = capsys.readouterr().err.splitlines()
        lines = [next(line for line in printed if f"mine-{n}" in line) for n in (1, 2, 3)]
        assert len([line for line in printed if "mine-" in line]) == 3
        assert f"key-of-{up.id}" not in "".join(printed) and "hello" not in "".join(printed)
        if form == "json":
            found = [json.loads(line) for line in lines]
            assert [one["status"] for one in found] == [200, 200, 404]
            assert [one["stream"] for one in found] == [0, 1, 0]
            assert found[2]["asked_model"] == "unknown\nname \u2603"
            assert set(found[0]) == set(cs.LedgerRow.__struct_fields__)
        else:
            assert f"{up.id}/m 200" in lines[0] and "7+2 tok unpriced" in lines[0]
            assert "ttft" in lines[1]
            assert "404 caller_model_unknown" in lines[2]
            assert all(line.isascii() for line in lines)


# == Jobs ==============================================================================================================


class TestJobs:
    @staticmethod
    async def started(client: Chomp, **given: Any) -> dict[str, Any]:
        async with client.post("/api/dispatch", json={"prompt": "hello", **given}) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    @staticmethod
    async def seen(client: Chomp, job_id: str) -> dict[str, Any]:
        async with client.get(f"/api/result/{job_id}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    @classmethod
    async def reaches(cls, client: Chomp, job_id: str, *statuses: str) -> dict[str, Any]:
        """The job, once it has one of `statuses`."""
        async with asyncio.timeout(5):
            while (job := await cls.seen(client, job_id))["status"] not in statuses:
                await asyncio.sleep(0.01)
        return job

    async def test_a_job_is_started_and_its_result_fetched(self, chomp: Any, upstream: Any) -> None:
        gate = asyncio.Event()
        up = await upstream(holds(gate, says("the answer")))
        client = await chomp(up)
        begun = await self.started(client, prompt="why?", system="be brief", model=up.model)
        assert begun == {"id": "1", "model": "m", "router": up.id, "status": "running"}
        running = await self.seen(client, "1")
        assert running.keys() == {"id", "prompt", "status", "created", "model", "router", "system"}
        assert (running["status"], running["prompt"], running["system"]) == ("running", "why?", "be brief")
        gate.set()
        job = await self.reaches(client, "1", "done", "error")
        assert job.pop("latency_ms") >= 0
        for field in ("created", "finished"):
            assert abs(datetime.datetime.fromisoformat(job.pop(field)).timestamp() - time.time()) < 60
        assert job == {
            "id": "1", "prompt": "why?", "status": "done", "model": "m", "router": up.id, "system": "be brief",
            "result": "the answer", "tokens_in": 7, "tokens_out": 2,
        }  # fmt: skip
        assert up.calls[0].json == {
            "model": "m",
            "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "why?"}],
        }
        (kept,) = await client.rows(1)
        assert (kept["request_id"], kept["status"], kept["prompt_tokens"]) == ("job-1", 200, 7)

    async def test_a_job_fails_over_and_says_who_answered(self, chomp: Any, upstream: Any) -> None:
        bad, good = await upstream(fails(500)), await upstream(says("hi"))
        client = await chomp(bad, good)
        begun = await self.started(client, model="m")
        assert begun["router"] == bad.id
        job = await self.reaches(client, begun["id"], "done", "error")
        assert (job["status"], job["router"], job["result"]) == ("done", good.id, "hi")

    async def test_a_job_whose_routers_all_fail_ends_with_their_words(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(fails(500, b'{"error":{"message":"on fire, key-of-"}}'))
        client = await chomp(up)
        job = await self.reaches(client, (await self.started(client, model="m"))["id"], "done", "error")
        assert (job["status"], "on fire" in job["error"]) == ("error", True)
        assert "result" not in job and job["finished"]

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b'{"choices":{"a":1}}', id="choices an object"),
            pytest.param(b'{"choices":[null]}', id="a null choice"),
            pytest.param(b'{"choices":["x"]}', id="a string choice"),
            pytest.param(b'{"choices":[{"message":"x"}]}', id="a string message"),
            pytest.param(b'{"choices":5}', id="choices a number"),
            pytest.param(b'{"choices":[{}]}', id="an empty choice"),
            pytest.param(b"[]", id="an array"),
            pytest.param(b"not JSON", id="not JSON"),
            pytest.param(b"", id="nothing"),
        ],
    )
    async def test_a_job_always_ends_whatever_the_answer_is(self, chomp: Any, upstream: Any, body: bytes) -> None:
        async def act(call: Call) -> None:
            await call.whole(body)

        client = await chomp(up := await upstream(act))
        job = await self.reaches(client, (await self.started(client, model=up.model))["id"], "done", "error")
        assert job["finished"]

    async def test_a_job_whose_answer_is_larger_than_what_is_read_whole_is_done(
        self, chomp: Any, upstream: Any
    ) -> None:
        text = "x" * 3_000_000

        async def act(call: Call) -> None:
            await call.whole(chat_answer(text))

        client = await chomp(up := await upstream(act))
        job = await self.reaches(client, (await self.started(client, model=up.model))["id"], "done", "error")
        assert (job["status"], job.get("result") == text, job.get("tokens_out")) == ("done", True, 2)

    async def test_a_running_job_and_a_waiting_one_are_cancelled(self, chomp: Any, upstream: Any) -> None:
        arrived = asyncio.Event()

        async def act(call: Call) -> None:
            arrived.set()
            async with asyncio.timeout(10):
                await call.gone.wait()

        client = await chomp(up := await upstream(act), limits={"jobs_parallel": 1})
        running = (await self.started(client, model="m"))["id"]
        async with asyncio.timeout(5):
            await arrived.wait()
        waiting = await self.started(client, model="m")
        assert waiting["status"] == "pending"
        for job_id in (waiting["id"], int(running)):  # a number is an id too
            async with client.post("/api/jobs/cancel", json={"id": job_id}) as answer:
                assert answer.status == 200
                job = await answer.json()
            assert (job["id"], job["status"], job["error"]) == (str(job_id), "error", "cancelled")
            assert job["finished"]
        async with asyncio.timeout(5):
            await up.calls[0].gone.wait()
        assert len(up.calls) == 1  # the waiting one was never sent
        up.act = says("hi")
        after = await self.reaches(client, (await self.started(client, model="m"))["id"], "done", "error")
        assert after["status"] == "done"  # the place is free again
        for job_id in (running, waiting["id"]):
            assert (await self.seen(client, job_id))["error"] == "cancelled"

    async def test_cancelling_a_job_that_is_over_changes_nothing(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(up := await upstream(says("hi")))
        job = await self.reaches(client, (await self.started(client, model=up.model))["id"], "done")
        async with client.post("/api/jobs/cancel", json={"id": job["id"]}) as answer:
            assert (answer.status, await answer.json()) == (200, job)

    async def test_a_job_is_ended_at_its_time_limit(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(holds(asyncio.Event(), says("hi")))
        client = await chomp(up, timeouts={"job": "200ms"})
        job = await self.reaches(client, (await self.started(client, model="m"))["id"], "done", "error")
        assert (job["status"], "time limit" in job["error"]) == ("error", True)
        async with asyncio.timeout(5):
            await up.calls[0].gone.wait()
        (kept,) = await client.rows(1)
        assert kept["status"] != 499 and kept["error_type"] not in ("", "caller_cancelled")

    async def test_the_time_of_waiting_for_a_place_does_not_count(self, chomp: Any, upstream: Any) -> None:
        gate = asyncio.Event()
        up = await upstream(holds(gate, says("hi")))
        client = await chomp(up, limits={"jobs_parallel": 1}, timeouts={"job": "2s"})
        first, second = [(await self.started(client, model="m"))["id"] for _ in range(2)]
        await self.reaches(client, first, "running")
        assert (await self.seen(client, second))["status"] == "pending"
        await asyncio.sleep(0.5)
        gate.set()
        assert (await self.reaches(client, second, "done", "error"))["status"] == "done"
        assert (await self.seen(client, second))["latency_ms"] < 500

    async def test_only_so_many_jobs_run_at_once_and_wait(self, chomp: Any, upstream: Any) -> None:
        arrived, gate = asyncio.Semaphore(0), asyncio.Event()

        async def act(call: Call) -> None:
            arrived.release()
            await gate.wait()
            await says("hi")(call)

        client = await chomp(up := await upstream(act), limits={"jobs_parallel": 2, "jobs_waiting": 5})
        begun = [await self.started(client, model="m") for _ in range(5)]
        async with asyncio.timeout(5):
            await arrived.acquire()
            await arrived.acquire()
        states = [(await self.seen(client, one["id"]))["status"] for one in begun]
        assert states == ["running", "running", "pending", "pending", "pending"]
        assert len(up.calls) == 2
        async with client.post("/api/dispatch", json={"prompt": "one more", "model": "m"}) as answer:
            assert answer.status == 429
            assert (await error_of(answer))["code"] == "rate_limit_exceeded"
        gate.set()
        for one in begun:
            assert (await self.reaches(client, one["id"], "done", "error"))["status"] == "done"

    async def test_the_newest_50_come_first_also_past_number_nine(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(up := await upstream(says("hi")))

        async def ids() -> list[str]:
            async with client.get("/api/jobs") as answer:
                return [job["id"] for job in await answer.json()]

        assert await ids() == []
        for _ in range(12):
            await self.started(client, model=up.model)
        assert await ids() == [str(n) for n in range(12, 0, -1)]
        for _ in range(43):
            await self.started(client, model=up.model)
        assert await ids() == [str(n) for n in range(55, 5, -1)]
        assert (await self.seen(client, "1"))["id"] == "1"  # older ones can still be asked for

    async def test_old_jobs_are_forgotten_past_a_number(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(up := await upstream(says("hi")), limits={"jobs_kept": 3})
        for _ in range(5):
            last = (await self.started(client, model=up.model))["id"]
        await self.reaches(client, last, "done")
        async with client.get("/api/jobs") as answer:
            assert [job["id"] for job in await answer.json()] == ["5", "4", "3"]
        async with client.get("/api/result/1") as answer:
            assert answer.status == 404

    @pytest.mark.parametrize("how", ["stopped", "killed"])
    async def test_jobs_outlive_a_restart_and_running_ones_end_as_interrupted(
        self, tmp_path: Path, upstream: Any, how: str
    ) -> None:
        gate, arrived = asyncio.Event(), asyncio.Event()

        async def act(call: Call) -> None:
            if call.json["messages"][-1]["content"] == "slow":
                arrived.set()
                await gate.wait()
            await says("hi")(call)

        up = await upstream(act)
        config = {"routers": [up.router], "limits": {"jobs_parallel": 1}, "timeouts": SHORT}
        client = await Chomp(tmp_path, config, {}, None).start()
        try:
            done = await self.reaches(client, (await self.started(client, model="m"))["id"], "done")
            await self.started(client, model="m", prompt="slow")
            async with asyncio.timeout(5):
                await arrived.wait()
            assert (await self.started(client, model="m", prompt="waits"))["status"] == "pending"
        finally:
            await client.stop()
        with contextlib.closing(sqlite3.connect(tmp_path / "state" / "chomp.db")) as other:
            if how == "stopped":
                left = other.execute("SELECT status, error FROM jobs WHERE id IN (2, 3)").fetchall()
                assert left == [("error", "interrupted")] * 2
            else:  # a process that is killed leaves them as they were
                other.execute("UPDATE jobs SET status = 'running', error = '', finished = '' WHERE id = 2")
                other.execute("UPDATE jobs SET status = 'pending', error = '', finished = '' WHERE id = 3")
                other.commit()
        client = await Chomp(tmp_path, config, {}, None).start()
        try:
            assert await self.seen(client, done["id"]) == done
            for job_id in ("2", "3"):
                job = await self.seen(client, job_id)
                assert (job["status"], job["error"], bool(job["finished"])) == ("error", "interrupted", True)
            assert (await self.started(client, model="m"))["id"] == "4"  # ids are not given twice
        finally:
            await client.stop()

    async def test_a_job_whose_answer_comes_with_the_stop_keeps_it(self, tmp_path: Path, upstream: Any) -> None:
        gate = asyncio.Event()
        up = await upstream(holds(gate, says("just in time")))
        client = await Chomp(tmp_path, {"routers": [up.router], "timeouts": SHORT}, {}, None).start()
        begun = await self.started(client, model="m")
        await until(lambda: bool(up.calls), "not asked")
        with contextlib.closing(sqlite3.connect(tmp_path / "state" / "chomp.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # the disk is busy while the answer comes and the stop begins
            ahead = asyncio.ensure_future(client.store.database.write(lambda connection: None))
            gate.set()
            await until(lambda: client.services.proxy.inflight == 0, "no answer")
            stopping = asyncio.ensure_future(client.stop())
            await asyncio.sleep(0.5)  # until it has ended what it can
            other.execute("ROLLBACK")
            await soon(asyncio.gather(ahead, stopping))
            left = other.execute("SELECT id, status, result FROM jobs").fetchall()
        assert left == [(int(begun["id"]), "done", "just in time")]

    async def test_a_job_that_meets_a_bug_ends_as_an_error(
        self, chomp: Any, upstream: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*args: Any, **more: Any) -> Any:
            raise RuntimeError("a bug")

        client = await chomp(await upstream(says("hi")), limits={"jobs_parallel": 1})
        with monkeypatch.context() as patch:
            patch.setattr(cs.Proxy, "exchange", broken)
            job = await self.reaches(client, (await self.started(client, model="m"))["id"], "done", "error")
        assert (job["status"], bool(job["error"]), bool(job["finished"])) == ("error", True, True)
        after = await self.reaches(client, (await self.started(client, model="m"))["id"], "done", "error")
        assert after["status"] == "done"  # its place is free

    @pytest.mark.parametrize(
        ("body", "status", "words"),
        [
            ({}, 400, "prompt"),
            ({"prompt": ""}, 400, "prompt"),
            ({"prompt": "  "}, 400, "prompt"),
            ({"prompt": 5}, 400, "prompt"),
            ({"prompt": ["x"]}, 400, "prompt"),
            ({"prompt": "x", "model": 5}, 400, "model"),
            ([], 400, ""),
            ("x", 400, ""),
            ({"prompt": "x", "router": "nope"}, 400, "groq"),  # the routers there are
            ({"prompt": "x", "model": "unknown-name"}, 404, "unknown-name"),
            ({"prompt": "x", "router": "groq"}, 503, "GROQ_API_KEY"),
        ],
    )
    async def test_a_job_that_cannot_be_is_refused(
        self, chomp: Any, upstream: Any, body: Any, status: int, words: str
    ) -> None:
        client = await chomp(up := await upstream())
        async with client.post("/api/dispatch", json=body) as answer:
            assert answer.status == status
            assert words in (await error_of(answer))["message"]
        async with client.get("/api/jobs") as answer:
            assert await answer.json() == []
        assert up.calls == []

    async def test_bad_json_is_a_400(self, chomp: Any) -> None:
        client = await chomp()
        for path in ("/api/dispatch", "/api/jobs/cancel"):
            for data in (b"{", b"\xff", b"[" * 100_000):
                async with client.post(path, data=data) as answer:
                    assert answer.status == 400
                    await error_of(answer)

    @pytest.mark.parametrize("job_id", ["1", "999", "x", "-1", "1.5", "9" * 40, "\u0661", "..", "1 OR 1=1"])
    async def test_a_job_that_is_not_there_is_a_404(self, chomp: Any, job_id: str) -> None:
        client = await chomp()
        if job_id != "..":
            async with client.get(f"/api/result/{job_id}") as answer:
                assert answer.status == 404
                await error_of(answer)
        async with client.post("/api/jobs/cancel", json={"id": job_id}) as answer:
            assert answer.status == 404
            await error_of(answer)

    async def test_jobs_need_the_token_before_anything_else(self, chomp: Any) -> None:
        client = await chomp(environ={"CHOMP_V1_NO_AUTH": "1"})
        async with aiohttp.ClientSession() as stranger:
            for method, path in [
                ("POST", "/api/dispatch"), ("GET", "/api/result/1"), ("GET", "/api/jobs"), ("POST", "/api/jobs/cancel"),
            ]:  # fmt: skip
                async with stranger.request(method, client.url + path) as answer:
                    assert answer.status == 401
                    assert answer.headers["www-authenticate"] == 'Bearer realm="chomp"'


# == Tasks =============================================================================================================


class TestTasks:
    """The queue: what is added, changed, ordered and forgotten."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[cs.Store]:
        store = cs.Store(tmp_path / "state")
        store.open()
        yield store
        await store.close()

    @staticmethod
    def queue(store: cs.Store, clock: Clock | None = None, **settings: Any) -> cs.TaskQueue:
        return cs.TaskQueue(
            store, cs.EventBus(cs.Limits()), lambda: cs.TaskSettings(**settings), clock=clock or Clock()
        )

    async def test_what_is_added_is_on_disk_when_that_is_told(self, store: cs.Store) -> None:
        task = await self.queue(store).add({"prompt": "say hi", "agent": "ask", "priority": "5", "budget_tokens": 10})
        assert (task.id, task.status, task.platform, task.priority, task.budget_tokens) == ("1", "queued", "ask", 5, 10)
        written = json.loads((store.folder / "state.json").read_text())
        assert [(one["id"], one["prompt"], one["status"]) for one in written["tasks"]] == [("1", "say hi", "queued")]
        assert written["next_id"] == 2

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({}, "prompt"),
            ({"prompt": "  "}, "prompt"),
            ({"prompt": "a\0b"}, "prompt"),
            ({"prompt": "\ud800"}, "prompt"),
            ({"prompt": "x" * (cs.PROMPT_BYTES + 1)}, "prompt"),
            ({"prompt": "x", "platform": "../x"}, "platform"),
            ({"prompt": "x", "dir": "a\nb"}, "dir"),
            ({"prompt": "x", "priority": 1001}, "priority"),
            ({"prompt": "x", "budget_usd": 0}, "budget_usd"),
            ({"prompt": "x", "blocked_by": [9]}, "blocked_by"),
            ({"prompt": "x", "colour": "red"}, "colour"),
            ({"prompt": "x", "repo_url": "https://example.com/r", "in_place": True}, "in_place"),
        ],
    )
    async def test_what_cannot_be_a_task_is_refused_by_its_field(
        self, store: cs.Store, fields: dict[str, Any], param: str
    ) -> None:
        with pytest.raises(cs.BadRequest) as refused:
            await self.queue(store).add(fields)
        assert refused.value.param == param
        assert store.state.tasks == {} and store.state.next_id == 1

    async def test_the_queue_is_ordered_by_priority_then_age(self, store: cs.Store) -> None:
        queue = self.queue(store)
        for priority in (0, 7, -3, 7):
            await queue.add({"prompt": "x", "priority": priority})
        assert queue.startable() == []
        for task_id in ("1", "2", "3", "4"):
            await queue.want(task_id)
        assert [task.id for task in queue.startable()] == ["2", "4", "1", "3"]

    async def test_without_a_wish_queued_tasks_start_only_when_that_is_set(self, store: cs.Store) -> None:
        await (queue := self.queue(store, auto=True)).add({"prompt": "x"})
        assert [task.id for task in queue.startable()] == ["1"]

    async def test_a_task_waits_for_those_that_block_it(self, store: cs.Store) -> None:
        queue = self.queue(store, auto=True)
        await queue.add({"prompt": "first"})
        await queue.add({"prompt": "second", "blocked_by": "1"})
        assert [task.id for task in queue.startable()] == ["1"]
        await queue.act("1", "run")
        await queue.act("1", "crash")
        assert queue.startable() == []
        await queue.retry("1", wanted=True)
        await queue.act("1", "run")
        await queue.act("1", "done")
        assert [task.id for task in queue.startable()] == ["2"]

    async def test_tasks_cannot_wait_for_each_other(self, store: cs.Store) -> None:
        queue = self.queue(store)
        await queue.add({"prompt": "1"})
        await queue.add({"prompt": "2", "blocked_by": [1]})
        await queue.add({"prompt": "3", "blocked_by": ["2"]})
        with pytest.raises(cs.BadRequest, match="wait for itself"):
            await queue.edit("1", {"blocked_by": ["3"]})
        assert queue.get("1").blocked_by == ()

    async def test_a_wait_is_over_when_its_time_has_come(self, store: cs.Store) -> None:
        queue = self.queue(store, clock := Clock(), auto=True)
        await queue.add({"prompt": "x"})
        await queue.set("1", until=cs.iso(clock.now + 60))
        assert queue.startable() == []
        clock.now += 61
        assert [task.id for task in queue.startable()] == ["1"]

    async def test_there_is_room_up_to_the_limits_for_all_and_for_one_platform(self, store: cs.Store) -> None:
        queue = self.queue(store, parallel=3, platform_parallel={"codex": 1})
        for platform in ("codex", "codex", "pi", "pi"):
            await queue.add({"prompt": "x", "platform": platform})
        await queue.act("1", "run")
        assert (queue.room("codex"), queue.room("pi")) == (False, True)
        await queue.act("3", "run")
        await queue.act("4", "run")
        assert (queue.room("codex"), queue.room("pi")) == (False, False)
        await queue.act("1", "refuse")  # a start that failed
        assert (queue.room("codex"), queue.room("pi")) == (True, True)

    async def test_a_running_task_keeps_what_its_agent_works_from(self, store: cs.Store) -> None:
        queue = self.queue(store)
        await queue.add({"prompt": "x"})
        await queue.edit("1", {"prompt": "y", "model": "m"})
        await queue.act("1", "run")
        with pytest.raises(cs.Conflict, match="prompt"):
            await queue.edit("1", {"prompt": "z"})
        edited = await queue.edit("1", {"handoff": "so far", "priority": 3})
        assert (edited.prompt, edited.handoff, edited.priority) == ("y", "so far", 3)

    async def test_messages_are_changed_until_they_are_delivered(self, store: cs.Store) -> None:
        queue = self.queue(store)
        await queue.add({"prompt": "x"})
        for text in ("one", "two", "three"):
            await queue.message("1", text)
        await queue.message("1", "second", "m2")
        await queue.message("1", "", "m3", delete=True)
        assert [one.text for one in queue.get("1").messages] == ["one", "second"]
        delivered = tuple(msgspec.structs.replace(one, session="s1") for one in queue.get("1").messages)
        await queue.set("1", messages=delivered)
        with pytest.raises(cs.Conflict, match="s1"):
            await queue.message("1", "late", "m1")
        with pytest.raises(cs.NotFound):
            await queue.message("1", "x", "m9")
        assert (await queue.message("1", "four")).messages[-1].id == "m3"

    async def test_a_deleted_task_can_be_brought_back_for_a_while(self, store: cs.Store) -> None:
        queue = self.queue(store, clock := Clock())
        await queue.add({"prompt": "x"})
        await queue.act("1", "run")
        with pytest.raises(cs.Conflict):
            await queue.delete("1")
        await queue.act("1", "done", session={"tokens": 40, "cost_usd": 0.5})
        await queue.delete("1")
        assert queue.all() == []
        with pytest.raises(cs.NotFound):
            queue.get("1")
        assert (await queue.restore("1")).status == "done"
        await queue.delete("1")
        clock.now += cs.DELETED_S + 1
        queue.purge()
        with pytest.raises(cs.NotFound):
            await queue.restore("1")
        counts = queue.counts()
        assert (counts["all"], counts["tokens"], counts["cost_usd"]) == (0, 40, 0.5)  # what was used was used

    async def test_finished_tasks_are_paged_into_the_archive(self, store: cs.Store) -> None:
        store.finished = 3
        queue = self.queue(store, clock := Clock())
        for _ in range(8):
            task = await queue.add({"prompt": "x"})
            await queue.act(task.id, "run")
            clock.now += 1
            await queue.act(task.id, "done", session={"tokens": 1})
        assert (len(store.state.tasks), store.state.archived.count) == (3, 5)
        pages, before = [], ""
        while page := [task.id for task in await queue.finished(3, before)]:
            pages.append(page)
            before = page[-1]
        assert pages == [["8", "7", "6"], ["5", "4", "3"], ["2", "1"]]
        assert queue.counts()["tokens"] == queue.counts()["all"] == 8
        assert (await queue.found("1")).status == "done"

    async def test_a_task_nobody_knows_is_not_found(self, store: cs.Store) -> None:
        queue = self.queue(store)
        for call in (
            queue.found("7"),
            queue.act("7", "done"),
            queue.delete("7"),
            queue.want("7"),
            queue.message("7", "x"),
        ):
            with pytest.raises(cs.NotFound, match="7"):
                await call


# == Dispatch ==========================================================================================================

ADAPTERS = sorted((HERE / "adapters").glob("*.sh"))
AGENTS = ("claude-code", "codex", "opencode", "pi", "cursor", "exedev")  # those that need a program of their own
ODD_PROMPT = (
    "--help 'single' \"double\" `touch no` $(touch no) $HOME ${x} \\n %s @no !! #\r\ntwo\n\n\té 漢 🙂 \\\n-\n\n"
)


class Ran(msgspec.Struct, frozen=True):
    """What came of a run of an adapter, and what its agent was given."""

    status: int
    out: str
    err: str
    events: list[dict[str, Any]]
    argv: list[str]
    env: dict[str, str]
    given: bytes  # on its standard input
    home: Path


class Desk:
    """A place where adapters run: programs that record how they are called stand for the agents."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.bin, self.home, self.owner, self.work = (folder / name for name in ("bin", "home", "owner", "work dir"))
        for made in (self.bin, self.home, self.owner, self.work):
            made.mkdir()
        self.prompt, self.events = folder / "prompt", folder / "events"
        self.base = f"{self.bin}:{Path(sys.executable).parent}:/usr/bin:/bin"

    def program(self, name: str, *, says: object = (), status: int = 0, also: str = "") -> None:
        """A program `name` that notes its arguments, variables and input, then prints the lines of `says`."""
        lines = says if isinstance(says, str) else "".join(json.dumps(one) + "\n" for one in says)  # type: ignore[attr-defined]
        (self.folder / "says").write_text(lines)
        program = self.bin / name
        program.write_text(
            f'#!/bin/bash\ncd "{self.folder}"\nprintf "%s\\0" "$@" >argv\nenv -0 >env\ncat >given\n{also}\n'
            f"cat says\nexit {status}\n"
        )
        program.chmod(0o755)

    def asked(self, prompt: str = "do it", **more: str) -> dict[str, str]:
        """The variables an adapter is started with."""
        self.prompt.write_bytes(prompt.encode())
        return {
            "PATH": self.base, "LANG": "C.UTF-8", "TERM": "xterm-256color", "USER": "somebody", "HOME": str(self.home),
            "OWNER_HOME": str(self.owner), "TASK_ID": "7", "SESSION_ID": "s2", "TASK_PROMPT_FILE": str(self.prompt),
            "TASK_DIR": str(self.work), "TASK_MODEL": "groq/llama-3", "TASK_EFFORT": "", "TASK_EVENTS": str(self.events),
            "CHOMP_API": "http://127.0.0.1:1", "CHOMP_API_TOKEN": "sk-task", "CHOMP_BIN": str(HERE / "bin" / "chomp"),
            "OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "OPENAI_API_KEY": "sk-task",
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:1", "ANTHROPIC_AUTH_TOKEN": "sk-task", **more,
        }  # fmt: skip

    def run(self, adapter: str, prompt: str = "do it", **more: str) -> Ran:
        done = subprocess.run(
            [HERE / "adapters" / f"{adapter}.sh", "run"], env=self.asked(prompt, **more), cwd=self.work,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        noted = {
            name: (self.folder / name).read_bytes() if (self.folder / name).exists() else b""
            for name in ("argv", "env", "given")
        }
        found = [pair.partition("=") for pair in noted["env"].decode().split("\0") if pair]
        return Ran(
            done.returncode,
            done.stdout.decode(),
            done.stderr.decode(),
            [json.loads(line) for line in self.events.read_text().splitlines()] if self.events.exists() else [],
            noted["argv"].decode().split("\0")[:-1],
            {name: value for name, _, value in found},
            noted["given"],
            self.home,
        )

    def bare_path(self) -> str:
        """A PATH with bash and nothing else."""
        folder = self.folder / "bare"
        folder.mkdir(exist_ok=True)
        if not (folder / "bash").exists():
            (folder / "bash").symlink_to("/bin/bash")
        return str(folder)


PROGRAM = {"claude-code": "claude", "cursor": "cursor-agent", "exedev": "worker"}


async def run_to_its_end(launch: cs.Launch, limit_s: float, most_bytes: int) -> tuple[int | None, bytes]:
    child = await asyncio.create_subprocess_exec(
        *launch.argv, cwd=launch.cwd, env=launch.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        out, _ = await asyncio.wait_for(child.communicate(), limit_s)
    except TimeoutError:
        child.kill()
        await child.wait()
        return None, b""
    return child.returncode, out[:most_bytes]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def result(text: str) -> dict[str, Any]:
    return {"type": "result", "text": text}


class TestAdapters:
    def test_the_platforms_are_those_of_the_readme(self) -> None:
        text = (HERE / "README.md").read_text("utf-8")
        for path in ADAPTERS:
            assert re.search(rf"^\| `{path.stem}` \|", text, re.M), path.stem
        assert {path.stem for path in ADAPTERS} >= {*AGENTS, "shell", "ask"}

    def test_the_readme_says_how_to_write_one(self, desk: Desk) -> None:
        text = (HERE / "README.md").read_text("utf-8")
        (code,) = re.findall(r"```bash\n(#!/usr/bin/env bash\n# name: .*?)```", text, re.S)
        path = desk.folder / "my-agent.sh"
        path.write_text(code)
        path.chmod(0o755)
        assert cs.read_adapter(path).needs == ("my-agent",)
        desk.program("my-agent", status=3)
        for word, status in (("available", 0), ("run", 3), ("", 64)):
            assert (
                subprocess.run([path, word], env=desk.asked(ODD_PROMPT), timeout=20, check=False).returncode == status
            )
        assert (desk.folder / "given").read_bytes() == ODD_PROMPT.encode()
        (entry,) = re.findall(r"```json\n(\{\"my-agent\".*?)```", text, re.S)
        assert cs.read_agent("my-agent", json.loads(entry)["my-agent"]).command[0] == "my-agent"
        for key in ("name", "colour", "home", "needs", "models", "efforts", "metered", "script", "order", "note"):
            assert re.search(rf"^\| .*`{key}[`:]", text, re.M), key

    @pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: path.stem)
    def test_an_adapter_says_who_it_is_and_whether_it_can_run(self, path: Path, desk: Desk) -> None:
        platform = cs.read_adapter(path)
        assert platform.id == path.stem and platform.adapter == path and platform.builtin
        for environ in ({"PATH": desk.bare_path(), "HOME": str(desk.home)}, {**os.environ}):
            done = subprocess.run([path, "available"], env=environ, capture_output=True, timeout=20, check=False)
            lines = done.stderr.decode().splitlines()
            assert len(lines) == (0 if done.returncode == 0 else 1)
            assert done.stdout == b""

    @pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: path.stem)
    @pytest.mark.parametrize("words", [[], ["stop"], ["--help"]])
    def test_other_words_are_wrong_use(self, path: Path, words: list[str]) -> None:
        done = subprocess.run([path, *words], capture_output=True, timeout=20, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (64, "", f"usage: {path.name} available|run\n")

    def test_their_names_and_colours(self) -> None:
        shown = {path.stem: (found := cs.read_adapter(path)).name + " " + found.color for path in ADAPTERS}
        assert shown.items() >= {
            "claude-code": "Claude Code #D97706", "codex": "Codex #10A37F", "opencode": "OpenCode #4F6EC5",
            "pi": "Pi #E05D44", "cursor": "Cursor #00D1FF", "exedev": "Shelley #C8A630",
        }.items()  # fmt: skip
        assert [path.stem for path in ADAPTERS if not cs.read_adapter(path).metered] == ["cursor", "exedev"]
        assert [path.stem for path in ADAPTERS if cs.read_adapter(path).order >= 90] == ["shell"]
        assert [path.stem for path in ADAPTERS if cs.read_adapter(path).script] == ["shell"]

    @pytest.mark.parametrize("adapter", AGENTS)
    def test_without_its_program_it_says_how_to_get_it(self, adapter: str, desk: Desk) -> None:
        found = desk.run(adapter, PATH=desk.bare_path())
        assert found.status == 69
        assert re.search(r"not installed: |there is no worker", found.err) and found.err.count("\n") == 1

    @pytest.mark.parametrize("adapter", ["claude-code", "codex", "opencode", "pi"])
    def test_a_prompt_arrives_byte_for_byte(self, adapter: str, desk: Desk) -> None:
        desk.program(PROGRAM.get(adapter, adapter))
        for prompt in (ODD_PROMPT, "x y\n" * 50_000):
            found = desk.run(adapter, prompt)
            assert (found.status, found.given) == (0, prompt.encode())
            assert not any(prompt[:20] in word for word in found.argv)
        assert list(desk.work.iterdir()) == []

    @pytest.mark.parametrize("adapter", AGENTS)
    def test_the_agents_exit_status_is_the_verdict(self, adapter: str, desk: Desk) -> None:
        desk.program(PROGRAM.get(adapter, adapter), says="no JSON {\n[]\nnull\n", status=75)
        found = desk.run(adapter)
        assert found.status == 75
        assert "no JSON {\n[]\nnull\n" in found.out  # what is not understood is shown as it is

    @pytest.mark.parametrize("adapter", [*AGENTS, "ask"])
    def test_an_effort_it_does_not_know_is_warned_of(self, adapter: str, desk: Desk) -> None:
        desk.program(PROGRAM.get(adapter, adapter), status=9)
        found = desk.run(adapter, TASK_EFFORT='si"lly', TASK_MODEL="auto", CHOMP_BIN=str(desk.bin / "ask"))
        (warning,) = [event for event in found.events if event["type"] == "warning"]
        assert 'si"lly' in warning["text"] and warning["text"] in found.err
        assert not any("lly" in word for word in found.argv)

    @pytest.mark.parametrize("adapter", ["claude-code", "codex", "opencode", "pi"])
    def test_what_the_owner_wrote_is_taken_along_and_secrets_are_not(self, adapter: str, desk: Desk) -> None:
        folder = {"claude-code": ".claude", "codex": ".codex", "opencode": ".config/opencode", "pi": ".pi/agent"}[
            adapter
        ]
        words = "CLAUDE.md" if adapter == "claude-code" else "AGENTS.md"
        theirs = desk.owner / folder
        (theirs / "skills" / "one").mkdir(parents=True)
        (theirs / "skills" / "one" / "SKILL.md").write_text("skill")
        (theirs / words).write_text("be brief")
        for name in ("auth.json", ".credentials.json", "config.toml", "opencode.json", "settings.json", "models.json"):
            (theirs / name).write_text(
                '{"env": {"ANTHROPIC_BASE_URL": "http://x"}, "permissions": {"deny": ["Read(/x)"]}}'
            )
        desk.program(PROGRAM.get(adapter, adapter))
        assert desk.run(adapter).status == 0
        mine = desk.home / folder
        assert (mine / words).read_text() == "be brief"
        assert (mine / "skills" / "one" / "SKILL.md").read_text() == "skill"
        assert not any("http://x" in path.read_text() for path in desk.home.rglob("*") if path.is_file())
        if adapter == "claude-code":
            assert json.loads((mine / "settings.json").read_text()) == {"permissions": {"deny": ["Read(/x)"]}}

    def test_claude_code(self, desk: Desk) -> None:
        events = [
            {"type": "system", "subtype": "init"},
            {"type": "assistant", "message": {"content": [{"type": "thinking", "thinking": "hm"}]}},
            {"type": "assistant", "message": {"content": [{"type": "text", "text": "I look.\n"}]}},
            {"type": "assistant", "message": {"content": [
                {"type": "tool_use", "name": "Bash", "input": {"timeout": 3, "command": "make check"}}]}},
            {"type": "user", "message": {"content": [
                {"type": "tool_result", "content": [{"type": "text", "text": "row\n" * 20}], "is_error": True}]}},
            {"type": "user", "message": {"content": "plain"}},
            {"type": "result", "is_error": False, "result": "All \ud83d" + "é" * 9000},
        ]  # fmt: skip
        desk.program("claude", says=events)
        found = desk.run("claude-code", TASK_EFFORT="max", TASK_CONTEXT="64000")
        settings = desk.home / ".claude" / "chomp.json"
        assert found.argv == [
            "--print", "--model", "groq/llama-3", "--settings", str(settings), "--output-format", "stream-json",
            "--verbose", "--dangerously-skip-permissions", "--effort", "max",
        ]  # fmt: skip
        for name in ("ANTHROPIC_MODEL", "ANTHROPIC_SMALL_FAST_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL"):
            assert found.env[name] == "groq/llama-3"
        assert found.env["CLAUDE_CODE_SUBAGENT_MODEL"] == "groq/llama-3"
        assert found.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"] == "64000"
        assert found.env["CLAUDE_CONFIG_DIR"] == str(desk.home / ".claude")
        assert found.env["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] == "1"
        assert found.env.get("IS_SANDBOX") == ("1" if os.getuid() == 0 else None)
        forced = json.loads(settings.read_text())["env"]
        assert forced["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:1" and forced["ANTHROPIC_API_KEY"] == ""
        assert mode(settings) == 0o600  # it holds the token
        shown = re.sub(r"\x1b\[\d*m", "", found.out)
        assert shown == "I look.\n> Bash make check\n" + "row\n" * 12 + "... 8 more lines\n"
        (last,) = found.events
        assert last["type"] == "result" and last["text"].startswith("All é")
        assert 8180 < len(last["text"].encode()) <= 8192

    def test_codex(self, desk: Desk) -> None:
        desk.program(
            "codex", also='while [[ $1 != --output-last-message ]]; do shift; done; printf "done \\"é\\"" >"$2"'
        )
        found = desk.run("codex", TASK_EFFORT="high", TASK_CONTEXT="64000")
        last = str(desk.home / "last-message")
        assert found.argv == [
            "exec", "--skip-git-repo-check", "--model", "groq/llama-3", "--output-last-message", last,
            "--dangerously-bypass-approvals-and-sandbox", "-c", "model_context_window=64000",
            "-c", "model_reasoning_effort=high", "-",
        ]  # fmt: skip
        assert (found.status, found.events) == (0, [result('done "é"')])
        config = tomllib.loads((desk.home / ".codex" / "config.toml").read_text())
        assert config["model_provider"] == "chomp"
        assert config["model_providers"]["chomp"] == {
            "name": "chomp", "base_url": "http://127.0.0.1:1/v1", "env_key": "OPENAI_API_KEY", "wire_api": "responses",
        }  # fmt: skip
        assert found.env["CODEX_HOME"] == str(desk.home / ".codex")

    def test_codex_has_its_own_sandbox_where_there_is_no_other(self, desk: Desk) -> None:
        desk.program("codex")
        found = desk.run("codex", TASK_ISOLATION="none")
        assert found.argv[found.argv.index("--sandbox") + 1] == "workspace-write"
        assert f'sandbox_workspace_write.writable_roots=["{desk.work}/.git", "{desk.home}"]' in found.argv
        desk.program("codex", also='[[ "$(tr "\\0" " " <argv)" != sandbox* ]] || exit 1')
        found = desk.run("codex", TASK_ISOLATION="none")
        assert "--dangerously-bypass-approvals-and-sandbox" in found.argv and "--sandbox" not in found.argv
        assert "no sandbox works" in found.events[-1]["text"]

    def test_opencode(self, desk: Desk) -> None:
        call = {"tool": "bash", "state": {"status": "completed", "title": "make check", "output": "fine\n"}}
        events = [
            {"type": "step_start", "part": {}},
            {"type": "text", "part": {"text": "I look."}},
            {"type": "tool_use", "part": call},
            {"type": "text", "part": {"text": "Done.\n"}},
        ]
        desk.program("opencode", says=events)
        found = desk.run("opencode", TASK_EFFORT="high", TASK_CONTEXT="64000", TASK_MODEL='a/"b"')
        assert found.argv == ["run", "--model", 'chomp/a/"b"', "--title", "chomp task 7", "--format", "json"]
        config = json.loads(found.env["OPENCODE_CONFIG_CONTENT"])
        provider = config["provider"]["chomp"]
        assert provider["options"] == {"baseURL": "http://127.0.0.1:1/v1", "apiKey": "{env:OPENAI_API_KEY}"}
        row = provider["models"]['a/"b"']
        assert row["options"] == {"reasoningEffort": "high"} and row["limit"] == {"context": 64000, "output": 16000}
        assert (config["permission"], config["autoupdate"], config["small_model"]) == ("allow", False, 'chomp/a/"b"')
        assert found.env["OPENCODE_DISABLE_MODELS_FETCH"] == "1"
        assert re.sub(r"\x1b\[\d*m", "", found.out) == "I look.\n> bash make check\nfine\nDone.\n"
        assert (found.status, found.events) == (0, [result("Done.")])

    def test_pi(self, desk: Desk) -> None:
        def ends(text: str, reason: str, **more: str) -> dict[str, Any]:
            content = [{"type": "text", "text": text}] if text else []
            return {"type": "message_end",
                    "message": {"role": "assistant", "content": content, "stopReason": reason, **more}}  # fmt: skip

        output = {"content": [{"type": "text", "text": "fine\n"}]}
        events = [
            {"type": "message_update", "assistantMessageEvent": {"type": "text_delta", "delta": "I "}},
            {"type": "message_update", "assistantMessageEvent": {"type": "text_delta", "delta": "look."}},
            ends("I look.", "toolUse"),
            {"type": "tool_execution_start", "toolName": "bash", "args": {"command": "make check"}},
            {"type": "tool_execution_end", "result": output, "isError": False},
            ends("Done.", "stop"),
        ]
        desk.program("pi", says=events)
        found = desk.run("pi", TASK_EFFORT="xhigh", TASK_CONTEXT="64000")
        assert found.argv == [
            "--provider", "chomp", "--model", "groq/llama-3", "--no-session", "--mode", "json", "--thinking", "xhigh",
        ]  # fmt: skip
        provider = json.loads((desk.home / ".pi" / "agent" / "models.json").read_text())["providers"]["chomp"]
        assert (provider["baseUrl"], provider["apiKey"]) == ("http://127.0.0.1:1/v1", "OPENAI_API_KEY")
        assert provider["models"] == [{"id": "groq/llama-3", "reasoning": True, "contextWindow": 64000}]
        assert found.env["PI_OFFLINE"] == "1"
        assert re.sub(r"\x1b\[\d*m", "", found.out) == "I look.\n> bash make check\nfine\n"
        assert (found.status, found.events) == (0, [result("Done.")])
        desk.program("pi", says=[ends("", "error", errorMessage="429 too many")])
        found = desk.run("pi")
        assert found.status == 1 and "429 too many" in found.out  # pi itself ended with 0

    def test_opencode_that_met_an_error_has_failed(self, desk: Desk) -> None:
        desk.program(
            "opencode", says=[{"type": "error", "error": {"name": "APIError", "data": {"message": "no model"}}}]
        )
        found = desk.run("opencode")
        assert (found.status, found.events) == (1, []) and "no model" in found.out

    def test_cursor(self, desk: Desk) -> None:
        (desk.owner / ".config" / "cursor").mkdir(parents=True)
        (desk.owner / ".config" / "cursor" / "auth.json").write_text("login")
        events = [
            {"type": "assistant", "message": {"content": [{"type": "text", "text": "I look."}]}},
            {"type": "tool_call", "subtype": "started", "tool_call": {"readToolCall": {"args": {"path": "a.py"}}}},
            {"type": "result", "is_error": False, "result": "Done."},
        ]
        desk.program("cursor-agent", says=events)
        found = desk.run("cursor", ODD_PROMPT, TASK_MODEL="gpt-5.2")
        options = ["--print", "--force", "--output-format", "stream-json"]
        assert found.argv == [*options, "--model", "gpt-5.2", "--", ODD_PROMPT]
        assert (desk.home / ".config" / "cursor" / "auth.json").read_text() == "login"
        assert re.sub(r"\x1b\[\d*m", "", found.out) == "I look.\n> read a.py\n"
        assert (found.status, found.events) == (0, [result("Done.")])
        (desk.bin / "cursor-agent").rename(desk.bin / "agent")
        found = desk.run("cursor", "long " * 50_000, TASK_MODEL="groq/llama-3")
        assert found.argv[:-1] == [*options, "--"]
        assert str(desk.prompt) in found.argv[-1] and len(found.argv[-1]) < 1000
        assert "groq/llama-3" in found.events[1]["text"] and found.events[1]["type"] == "warning"

    WORKER = """#!/bin/bash
state=$HOME/.workers name=$2
case $1 in
  start)
    printf '%s\\0' "$@" >"{folder}/argv"
    echo running >"$state/$name.status"
    echo '{{"conv_id": "c9"}}' >"$state/$name.json"
    (echo "looked at it" >"$state/$name.log"; while [ ! -e "{folder}/go" ]; do sleep 0.02; done
     cat "{folder}/go" >"$state/$name.status") >/dev/null 2>&1 &
    echo "Started worker '$name' (pid $!)" ;;
  list) for one in "$state"/*.status; do
      one=${{one##*/}}; echo "${{one%.status}}  $(cat "$state/$one")  1/10  /x"; done ;;
  stop) echo "$name" >"{folder}/stopped" ;;
esac
"""

    def worker(self, desk: Desk) -> None:
        program = desk.owner / "bin" / "worker"
        program.parent.mkdir()
        program.write_text(self.WORKER.format(folder=desk.folder))
        program.chmod(0o755)

    @pytest.mark.parametrize(("ends", "status"), [("complete", 0), ("error", 1), ("max_reached", 1), ("running", 1)])
    async def test_exedev_waits_for_its_worker(self, desk: Desk, ends: str, status: int) -> None:
        self.worker(desk)
        environ = desk.asked(EXEDEV_POLL_S="0.05", TASK_MODEL="auto")
        child = await asyncio.create_subprocess_exec(
            HERE / "adapters" / "exedev.sh", "run", env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            assert child.stdout is not None
            assert b"Started worker" in await soon(child.stdout.readline())
            assert b"looked at it" in await soon(child.stdout.readline())
            assert child.returncode is None  # the worker runs, and so does the adapter
            (desk.folder / "go").write_text(ends)
            out, _ = await soon(child.communicate())
            assert child.returncode == status
        finally:
            if child.returncode is None:
                child.kill()
        assert (desk.folder / "argv").read_text().split("\0")[:-1] == [
            "start", "chomp-7-s2", "--dir", str(desk.work), "--task",
            f"Read the file {desk.prompt} to its end: it holds your task. Do what it says, here in {desk.work}.",
        ]  # fmt: skip
        if ends == "running":
            assert b"gone without a word" in out

    async def test_exedev_stops_its_worker_and_the_conversation(self, desk: Desk) -> None:
        self.worker(desk)
        desk.program("curl")
        desk.program("jq", says="c9\n")  # not installed everywhere
        child = await asyncio.create_subprocess_exec(
            HERE / "adapters" / "exedev.sh", "run", env=desk.asked(EXEDEV_POLL_S="60"), stdout=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        try:
            assert child.stdout is not None
            assert b"Started worker" in await soon(child.stdout.readline())
            assert b"looked at it" in await soon(child.stdout.readline())  # the trap stands before this is shown
            child.terminate()
            assert await soon(child.wait()) == 143
        finally:
            os.killpg(child.pid, signal.SIGKILL)
        assert (desk.folder / "stopped").read_text() == "chomp-7-s2\n"
        assert "http://localhost:9999/api/conversation/c9/cancel" in (desk.folder / "argv").read_text()

    def test_shell_runs_the_prompt(self, desk: Desk) -> None:
        found = desk.run("shell", 'pwd; echo "$TASK_ID $0"; cat; exit 7')
        assert (found.status, found.out) == (7, f"{desk.work}\n7 {desk.prompt}\n")

    async def test_ask_prints_what_a_model_says(self, desk: Desk, process: Any, upstream: Any) -> None:
        chomp = await process(router := await upstream(says("hi there"), "m")).up()
        more = {"CHOMP_API": chomp.url, "CHOMP_API_TOKEN": chomp.token, "TASK_MODEL": f"{router.id}/m", "PORT": "1"}
        found = await asyncio.to_thread(desk.run, "ask", ODD_PROMPT, **more)
        assert (found.status, found.out, found.events) == (0, "hithere\n", [result("hithere")])
        assert router.calls[0].json["messages"] == [{"role": "user", "content": ODD_PROMPT}]
        found = await asyncio.to_thread(desk.run, "ask", **{**more, "TASK_MODEL": "no-such/model"})
        assert found.status == 1 and "no-such/model" in found.err and len(found.events) == 1

    def header(self, folder: Path, *lines: str, name: str = "mine.sh") -> Path:
        path = folder / name
        path.write_text("\n".join(["#!/bin/bash", *(f"# {line}" for line in lines), "exit 0", ""]))
        path.chmod(0o755)
        return path

    def test_a_header_is_read(self, tmp_path: Path) -> None:
        path = self.header(
            tmp_path,
            "name: My Agent   colour: #aB12fF  order: 5   metered: no   script: yes",
            "home: ~/.mine ~/.config/mine",
            "home: ~/x.json   needs: mine node   efforts: low high",
            "note: see the page: it has one",
            "Prose: with a colon,  and two spaces.",
            "models: a/b c",
        )
        assert cs.read_adapter(path) == cs.Platform(
            id="mine", name="My Agent", color="#aB12fF", adapter=path, home=("~/.mine", "~/.config/mine", "~/x.json"),
            needs=("mine", "node"), models=("a/b", "c"), efforts=("low", "high"), metered=False, order=5, script=True,
            note="see the page: it has one",
        )  # fmt: skip
        assert cs.read_adapter(self.header(tmp_path)) == cs.Platform(id="mine", name="mine", adapter=path)
        late = self.header(tmp_path, *["prose"] * 14, "name: Late")
        assert cs.read_adapter(late).name == "mine"  # the first 15 lines count

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("name: A   nmae: B", "nmae: B"),
            ("name: A   name: B", "says name twice"),
            ("colour: red", "colour 'red'"),
            ("order: -1", "order '-1'"),
            ("metered: maybe", "yes or no"),
            ("home: /etc", "'/etc'"),
            ("home: ~/../x", "'~/../x'"),
            ("home: ~/", "'~/'"),
            ("needs: a/b", "'a/b'"),
            (f"name: {'x' * 61}", "longer than 60"),
        ],
    )
    def test_an_odd_header_is_refused_in_words(self, tmp_path: Path, line: str, words: str) -> None:
        with pytest.raises(ValueError, match=re.escape(words)):
            cs.read_adapter(self.header(tmp_path, line))

    def test_an_odd_file_is_refused_in_words(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="lower-case"):
            cs.read_adapter(self.header(tmp_path, name="My_Agent.sh"))
        with pytest.raises(ValueError, match="cannot be read"):
            cs.read_adapter(tmp_path / "gone.sh")
        path = self.header(tmp_path)
        path.chmod(0o644)
        with pytest.raises(ValueError, match="chmod"):
            cs.read_adapter(path)
        path.write_bytes(b"# name: \xff\n")
        with pytest.raises(ValueError, match="utf-8"):
            cs.read_adapter(path)

    @pytest.mark.parametrize(
        ("agent_id", "entry", "words"),
        [
            ("A b", {}, "lower-case"),
            ("a", [], "object"),
            ("a", {"name": "A"}, "command"),
            ("a", {"name": " ", "command": "x"}, "name"),
            ("a", {"name": "A", "command": 'x "y'}, "split"),
            ("a", {"name": "A", "command": ""}, "program"),
            ("a", {"name": "A", "command": "../x"}, "program"),
            ("a", {"name": "A", "command": "x;y"}, "program"),
            ("a", {"name": "A", "command": "x " * 3000}, "4000"),
            ("a", {"name": "A", "command": "x", "models": "m"}, "models"),
            ("a", {"name": "A", "command": "x", "models": [""]}, "models"),
            ("a", {"name": "A", "command": "x", "color": "#fff"}, "#fff"),
            ("a", {"name": "A", "command": "x", "extra": 1}, "extra"),
        ],
    )
    def test_an_odd_agent_is_refused_in_words(self, agent_id: str, entry: object, words: str) -> None:
        with pytest.raises(ValueError, match=re.escape(words)):
            cs.read_agent(agent_id, entry)

    async def test_agents_are_kept_for_all_to_read(self, store: cs.Store) -> None:
        assert store.agents() == {}
        store.write_agents({"mine": {"name": "Mine", "command": "é"}})
        assert store.agents() == {"mine": {"name": "Mine", "command": "é"}}
        assert mode(store.folder / "agents.json") & 0o600 == 0o600
        (store.folder / "agents.json").write_text("{")
        with pytest.raises(cs.StoreError, match=r"agents\.json"):
            store.agents()

    def platforms(self, folder: Path, agents: Any = dict, **more: Any) -> cs.Platforms:
        environ = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "HOME": str(folder / "owner")}
        (folder / "adapters").mkdir(exist_ok=True)
        return cs.Platforms(folder / "adapters", agents, more.pop("run", run_to_its_end), environ, **more)

    async def test_a_new_adapter_needs_no_restart(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        platforms = self.platforms(tmp_path)
        assert platforms.all() == {}
        path = self.header(tmp_path / "adapters", "name: One")
        assert [one.name for one in platforms.all().values()] == ["One"]
        assert await platforms.available(platforms.all()["mine"]) == ""
        path.write_text("#!/bin/bash\n# name: Other\necho no such thing >&2; exit 1\n")
        assert platforms.all()["mine"].name == "Other"
        assert await platforms.available(platforms.all()["mine"]) == "no such thing"
        self.header(tmp_path / "adapters", "order: x", name="odd.sh")
        assert [*platforms.all()] == [*platforms.all()] == ["mine"]
        assert [one.getMessage() for one in caplog.records if "odd.sh" in one.getMessage()] == [
            "the adapter odd.sh is left out: the order 'x' is no number up to 9999"
        ]
        path.unlink()
        assert platforms.all() == {}

    def test_agents_stand_beside_the_adapters_and_never_in_their_place(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        agents: dict[str, Any] = {
            "mine": {"name": "Not mine", "command": "evil"},
            "other": {"name": "Other", "command": "other --go", "models": ["a"], "color": "#123456"},
            "odd": {"name": "Odd"},
        }
        platforms = self.platforms(tmp_path, lambda: dict(agents))
        self.header(tmp_path / "adapters", "name: Mine   order: 60")
        assert [(one.id, one.name, one.builtin) for one in platforms.all().values()] == [
            ("other", "Other", False), ("mine", "Mine", True),
        ]  # fmt: skip
        assert platforms.all()["other"].command == ("other", "--go")
        logged = [one.getMessage() for one in caplog.records]
        assert len(logged) == 2 and "'mine'" in logged[0] and "'odd'" in logged[1]
        del agents["other"]
        assert [*platforms.all()] == ["mine"]

    def test_agents_that_cannot_be_read_stay_as_they_were(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        answers: list[Any] = [{"one": {"name": "One", "command": "x"}}]

        def agents() -> Any:
            if isinstance(answers[-1], Exception):
                raise answers[-1]
            return answers[-1]

        platforms = self.platforms(tmp_path, agents)
        assert [*platforms.all()] == ["one"]
        answers.append(cs.StoreError("agents.json is not JSON"))
        assert [*platforms.all()] == [*platforms.all()] == ["one"]
        assert [one.getMessage() for one in caplog.records] == ["agents.json is not JSON"]

    async def test_whether_a_platform_is_there_is_asked_every_ten_seconds(self, tmp_path: Path) -> None:
        now, asked = [100.0], []

        async def run(launch: cs.Launch, limit_s: float, most_bytes: int) -> tuple[int | None, bytes]:
            asked.append((launch.argv, launch.env["PATH"], limit_s))
            return answers.pop(0)

        answers: list[tuple[int | None, bytes]] = [
            (0, b""),
            (1, b"first\n\x1b[31mget it\x1b[0m\n"),
            (None, b""),
            (9, b""),
        ]
        platforms = self.platforms(tmp_path, run=run, now=lambda: now[0])
        path = self.header(tmp_path / "adapters")
        found = []
        for _ in range(4):
            platform = platforms.all()["mine"]
            found += [await platforms.available(platform), await platforms.available(platform)]
            now[0] += 10
        assert found[::2] == found[1::2]
        assert found[::2] == [
            "",
            "get it",
            "mine.sh available did not end within 2 s",
            "mine.sh available ended with 9",
        ]
        assert asked == [((str(path), "available"), f"{tmp_path / 'bin'}:/usr/bin:/bin", 2.0)] * 4

    async def test_an_adapter_that_cannot_be_started_is_not_available(self, tmp_path: Path) -> None:
        platforms = self.platforms(tmp_path)
        path = self.header(tmp_path / "adapters")
        path.write_text("#!/no/such/shell\n")
        assert "cannot be run" in await platforms.available(platforms.all()["mine"])

    async def test_an_agent_is_available_when_its_program_is_found(self, tmp_path: Path, desk: Desk) -> None:
        agents = {name: {"name": name, "command": f"{path} -x"} for name, path in
                  {"there": "mine", "gone": "other", "home": "~/bin/mine"}.items()}  # fmt: skip
        platforms = self.platforms(tmp_path, lambda: agents)
        desk.program("mine")
        (desk.owner / "bin").symlink_to(desk.bin)
        found = {one.id: await platforms.available(one) for one in platforms.all().values()}
        assert found["there"] == found["home"] == ""
        assert found["gone"] == "other is not on PATH: install it, or change the command of gone"

    async def test_the_first_that_is_available_is_picked(self, tmp_path: Path) -> None:
        platforms = self.platforms(tmp_path)
        folder = tmp_path / "adapters"
        self.header(folder, "order: 90", name="script.sh")
        assert await platforms.pick() is None  # from 90 on it must be named
        self.header(folder, "order: 20   name: Zed", name="a.sh")
        self.header(folder, "order: 20   name: Ann", name="b.sh")
        first = self.header(folder, "order: 1", name="c.sh")
        assert (found := await platforms.pick()) is not None and found.id == "c"
        first.write_text("#!/bin/bash\n# order: 1\nexit 1\n")
        assert (found := await platforms.pick()) is not None and found.id == "b"

    def task(self, **more: Any) -> cs.Task:
        return msgspec.convert(
            {"id": "1", "prompt": "p", "dir": "", "status": "queued", "created": "", "result": "", "platform": "",
             "tokens": 0, **more}, cs.Task,
        )  # fmt: skip

    def test_a_command_is_put_together_word_by_word(self, tmp_path: Path) -> None:
        template = "~/bin/x --model={model} -f {prompt_file} '{dir}; rm' {{effort}} {other} \"a b\" {effort}"
        platforms = self.platforms(tmp_path, lambda: {"mine": {"name": "Mine", "command": template}})
        task = self.task(model="$(id) {dir}", effort="")
        words = platforms.command(platforms.all()["mine"], task, Path("/p q"), Path("/w"))
        assert words == (
            f"{tmp_path}/owner/bin/x", "--model=$(id) {dir}", "-f", "/p q", "/w; rm", "{}", "{other}", "a b", "",
        )  # fmt: skip
        path = self.header(tmp_path / "adapters", name="adapter.sh")
        assert platforms.command(platforms.all()["adapter"], task, Path("/p"), Path("/w")) == (str(path), "run")

    @pytest.mark.parametrize(
        ("model", "router", "asked"),
        [
            ("", "", "auto"), ("m", "", "m"), ("", "groq", "groq/auto"), ("m", "groq", "groq/m"),
            ("groq/m", "groq", "groq/m"), ("meta/m", "groq", "groq/meta/m"),
        ],
    )  # fmt: skip
    def test_a_pinned_task_asks_its_router(self, model: str, router: str, asked: str) -> None:
        assert cs.asked_model(self.task(model=model, router=router)) == asked

    def made(self, path: Path, text: str = "#!/bin/sh\n") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def test_what_a_program_needs_is_found(self, tmp_path: Path) -> None:
        home = tmp_path / "owner"
        package = home / ".npm" / "lib" / "node_modules" / "@a" / "agent" / "cli.js"
        self.made(package, "#!/usr/bin/env -S node --x\n")
        (home / ".npm" / "bin").mkdir()
        (home / ".npm" / "bin" / "agent").symlink_to("../lib/node_modules/@a/agent/cli.js")
        self.made(home / ".nvm" / "versions" / "v20" / "bin" / "node")
        self.made(home / ".local" / "share" / "two" / "v1" / "two")
        (home / ".local" / "share" / "two" / "latest").symlink_to("v1")
        (home / ".local" / "bin").mkdir()
        (home / ".local" / "bin" / "two").symlink_to(home / ".local" / "share" / "two" / "latest" / "two")
        self.made(home / "venv" / "bin" / "three", f"#!{home}/venv/bin/python\n")
        self.made(home / "venv" / "bin" / "python")
        (home / "venv" / "pyvenv.cfg").write_text("")
        self.made(home / "four")
        path = ":".join(
            str(home / name) for name in (".npm/bin", ".nvm/versions/v20/bin", ".local/bin", "venv/bin", "")
        )
        platforms = self.platforms(tmp_path)

        def needed(*needs: str) -> set[str]:
            shown = platforms.binaries(cs.Platform(id="x", name="x", needs=needs), path)
            return {str(one.relative_to(home)) for one in shown if one.is_relative_to(home)}

        assert needed("agent") == {".npm/bin", ".npm/lib/node_modules", ".nvm"}
        assert needed("two") == {".local/bin", ".local/share/two/latest", ".local/share/two/v1"}
        assert needed("three") == {"venv"}
        assert needed("four", "missing") == {"four"}  # a whole home is never shown
        assert needed("agent", "two", "three", "four") == {
            ".npm/bin", ".npm/lib/node_modules", ".nvm", ".local/bin", ".local/share/two/latest",
            ".local/share/two/v1", "venv", "four",
        }  # fmt: skip
        assert home / "four" in platforms.binaries(cs.Platform(id="x", name="x", command=("~/four", "a")), "")

    def test_programs_that_lead_in_a_circle_end(self, tmp_path: Path) -> None:
        home = tmp_path / "owner"
        self.made(home / "bin" / "a", "#!/usr/bin/env b\n")
        self.made(home / "bin" / "b", "#!/usr/bin/env a\n")
        shown = self.platforms(tmp_path).binaries(cs.Platform(id="x", name="x", needs=("a",)), str(home / "bin"))
        assert shown == [home / "bin"]


# == Embedded model ====================================================================================================

CACHE = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
FRANCE = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}


class Served:
    """A chomp of its own process, as a user starts it, with no router but the embedded model."""

    def __init__(self, folder: Path, cache: str, **environ: str):
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.headers = {"authorization": f"Bearer {TOKEN}"}
        folder.mkdir()
        (folder / "chomp.toml").write_text('[timeouts]\nlocal_idle = "3s"\n')
        self.process = subprocess.Popen(
            [sys.executable, Path(cs.__file__)],
            env={
                "PATH": os.environ["PATH"], "HOME": str(folder), "XDG_CACHE_HOME": cache, "CHOMP_DIR": str(folder),
                "PORT": str(self.port), "CHOMP_API_TOKEN": TOKEN, **environ,
            },
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.process.stdout.readline()  # of the banner: it listens

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(20)
        self.process.kill()
        self.process.stdout.close()  # type: ignore[union-attr]

    def child(self) -> psutil.Process | None:
        found = psutil.Process(self.process.pid).children()
        return found[0] if found else None

    @contextlib.asynccontextmanager
    async def ask(self, path: str = "/v1/chat/completions", **body: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        async with (
            asyncio.timeout(60),
            aiohttp.ClientSession(headers=self.headers) as http,
            http.post(self.url + path, json=body) as answer,
        ):
            yield answer

    async def text(self, **body: Any) -> str:
        async with self.ask(**{**FRANCE, **body}) as answer:
            assert answer.status == 200, await answer.text()
            return (await answer.json())["choices"][0]["message"]["content"]

    async def get(self, path: str) -> Any:
        async with aiohttp.ClientSession(headers=self.headers) as http, http.get(self.url + path) as answer:
            return await answer.json()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


LOADING = """
import json, pathlib, sys, time
folder = pathlib.Path({folder!r})
with (folder / "starts").open("a") as file:
    file.write("started\\n")
sys.stdin.readline()
for _ in range(6000):
    if (folder / "loaded").exists():
        print(json.dumps({{"url": {url!r}, "load_ms": 1}}), flush=True)
        sys.stdout.close()
        sys.stdin.read()
        break
    time.sleep(0.01)
"""


class Loading:
    """A child in place of bin/local-model that listens when it is told to; an upstream answers for it."""

    def __init__(self, folder: Path, up: Upstream):
        self.folder, self.up = folder, up
        self.script, self.gguf = folder / "local-model", folder / "mine.gguf"
        self.script.write_text(LOADING.format(folder=str(folder), url=f"http://127.0.0.1:{up.port}"))
        self.gguf.write_bytes(b"GGUF")

    @property
    def starts(self) -> int:
        path = self.folder / "starts"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def loaded(self) -> None:
        (self.folder / "loaded").touch()


@pytest.fixture
async def loading(tmp_path: Path, upstream: Any, monkeypatch: pytest.MonkeyPatch) -> Loading:
    made = Loading(tmp_path, await upstream(says("hi"), "smollm2-135m"))

    class Local(cs.LocalModel):
        def __init__(self, *given: Any, **more: Any):
            super().__init__(*given, **{**more, "script": made.script})

    known = cs.importlib.util.find_spec  # type: ignore[attr-defined]

    def find(name: str, *rest: Any) -> Any:
        return name == "xllamacpp" or known(name, *rest)

    monkeypatch.setattr(cs.importlib.util, "find_spec", find)  # type: ignore[attr-defined]
    monkeypatch.setattr(cs, "LocalModel", Local)
    return made


def can_be_pasted(message: str) -> bool:
    """Whether what stands between backticks in `message` begins with a program that is there."""
    commands = re.findall(r"`([^`]+)`", message)
    programs = [HERE / shlex.split(command)[0] for command in commands]
    return bool(programs) and all(program.is_file() and os.access(program, os.X_OK) for program in programs)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One chomp for the whole class: the model starts once, and again when a test has killed it."""
    one = Served(tmp_path_factory.mktemp("local") / "chomp", CACHE)
    yield one
    one.stop()


class TestLocalModel:
    async def test_the_first_question_is_answered_with_no_key_at_all(self, served: Served) -> None:
        assert served.child() is None  # it starts on first use
        began = time.monotonic()
        async with served.ask(model="auto", **FRANCE) as answer:
            assert answer.status == 200
            assert (answer.headers["x-chomp-router"], answer.headers["x-chomp-model"]) == ("local", "smollm2-135m")
            body = await answer.json()
        assert time.monotonic() - began < 30  # 3 s on a quiet machine
        assert "Paris" in body["choices"][0]["message"]["content"]
        assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
        child = served.child()
        assert child is not None
        state = await served.get("/status")
        assert (state["local_model"]["starts"], state["local_model"]["state"]) == (1, "running")
        usage = await served.get("/api/usage?by=model")
        assert usage["rows"][0]["model"] == "local/smollm2-135m"
        assert (usage["rows"][0]["cost_usd"], usage["rows"][0]["unpriced"]) == (0, 0)

    @pytest.mark.parametrize("model", ["", "auto", "local/smollm2-135m", "smollm2-135m", "local/auto"])
    async def test_it_is_auto_and_has_names(self, served: Served, model: str) -> None:
        assert "Paris" in await served.text(model=model)

    async def test_it_answers_the_same_every_time_with_a_system_message_of_ones_own_too(self, served: Served) -> None:
        messages = [{"role": "system", "content": ""}, *FRANCE["messages"]]
        first = await served.text(messages=messages)
        assert "Paris" in first
        assert await served.text(messages=messages) == first

    async def test_it_is_labelled_as_a_demonstration_everywhere(self, served: Served) -> None:
        (entry,) = (await served.get("/v1/models"))["data"]
        assert entry["id"] == "local/smollm2-135m"
        assert "demonstration" in entry["name"]
        state = await served.get("/status")
        assert "demonstration" in state["local_model"]["note"]
        (router,) = [one for one in state["routers"] if one["id"] == "local"]
        assert "demonstration" in router["name"]

    @pytest.mark.parametrize("stream", [False, True])
    async def test_it_answers_messages(self, served: Served, stream: bool) -> None:
        asked = {**FRANCE, "model": "auto", "max_tokens": 20, "stream": stream}
        async with served.ask("/v1/messages", **asked) as answer:
            text = (await answer.read()).decode()
            assert answer.status == 200
        if stream:
            words = re.findall(r'"text_delta","text":"([^"]*)"', text)
            assert re.findall(r"^event: (\w+)", text, re.M)[-2:] == ["message_delta", "message_stop"]
        else:
            words = [block["text"] for block in json.loads(text)["content"]]
        assert "Paris" in "".join(words)

    @pytest.mark.parametrize("asked", [True, False])
    async def test_it_streams_and_counts_when_asked(self, served: Served, asked: bool) -> None:
        options = {"stream_options": {"include_usage": True}} if asked else {}
        async with served.ask(model="local/smollm2-135m", stream=True, **options, **FRANCE) as answer:
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            found = frames(await answer.read())
        assert found[-1] == "[DONE]"
        assert len(found) >= 5
        assert "Paris" in "".join(
            choice["delta"].get("content") or "" for f in found[:-1] for choice in f.get("choices", ())
        )
        counted = [f["usage"] for f in found[:-1] if f.get("usage")]
        assert len(counted) == asked
        for usage in counted:
            assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0

    async def test_completions_work_and_embeddings_are_refused(self, served: Served) -> None:
        async with served.ask(
            "/v1/completions", model="local/smollm2-135m", prompt="One, two,", max_tokens=4
        ) as answer:
            assert answer.status == 200, await answer.text()
            assert (await answer.json())["choices"][0]["text"]
        async with served.ask("/v1/embeddings", model="local/smollm2-135m", input="x") as answer:
            assert answer.status == 400
            assert (await error_of(answer))["code"] == "unsupported_endpoint"

    @pytest.mark.parametrize(
        ("more", "word"),
        [
            ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}, "tools"),
            ({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required", "stream": True}, "tools"),
            ({"functions": [{"name": "f", "parameters": {}}]}, "functions"),
            (
                {"messages": [{"role": "user", "content": [{"type": "text", "text": "what?"},
                 {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]}, "image",
            ),
        ],
    )  # fmt: skip
    async def test_what_it_cannot_do_is_a_clear_400(self, served: Served, more: dict[str, Any], word: str) -> None:
        async with served.ask(**{"model": "auto", **FRANCE, **more}) as answer:
            assert answer.status == 400
            error = await error_of(answer)
        assert error["type"] == "invalid_request_error"
        assert word in error["message"] and "demonstration" in error["message"]

    async def test_a_prompt_that_is_too_long_is_a_400(self, served: Served) -> None:
        long = [{"role": "user", "content": "word " * 5000}]
        async with served.ask(model="local/smollm2-135m", messages=long) as answer:
            assert answer.status == 400
            assert (await error_of(answer))["code"] == "context_length_exceeded"

    async def test_its_port_is_closed_to_everybody_else(self, served: Served) -> None:
        await served.text()
        child = served.child()
        assert child is not None
        listening = [c.laddr for c in child.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert [address.ip for address in listening] == ["127.0.0.1"]
        url = f"http://127.0.0.1:{listening[0].port}"
        async with aiohttp.ClientSession() as stranger:
            for path in ("/v1/models", "/v1/chat/completions", "/props", "/slots", "/", "/metrics"):
                async with stranger.get(url + path, headers={"origin": "https://evil.example"}) as answer:
                    assert answer.status >= 400, path
                    assert not answer.headers.get("access-control-allow-origin")
            for headers in ({}, {"authorization": f"Bearer {TOKEN}"}):
                async with stranger.post(f"{url}/v1/chat/completions", json=FRANCE, headers=headers) as answer:
                    assert answer.status == 401
            async with stranger.get(f"{url}/health", headers={"origin": "https://evil.example"}) as answer:
                assert not answer.headers.get("access-control-allow-origin")
            async with stranger.options(
                f"{url}/v1/chat/completions",
                headers={"origin": "https://evil.example", "access-control-request-method": "POST"},
            ) as answer:
                assert not answer.headers.get("access-control-allow-origin")
        assert served.headers["authorization"] not in " ".join(child.cmdline())

    async def test_a_child_that_is_killed_is_replaced_without_a_lost_request(self, served: Served) -> None:
        await served.text()
        before = (await served.get("/status"))["local_model"]["starts"]
        child = served.child()
        assert child is not None
        child.kill()
        assert "Paris" in await served.text()
        after = served.child()
        assert after is not None and after.pid != child.pid
        assert (await served.get("/status"))["local_model"]["starts"] == before + 1

    async def test_an_answer_that_the_child_dies_under_is_an_error(self, served: Served) -> None:
        async with served.ask(
            model="auto", stream=True, max_tokens=2000, messages=[{"role": "user", "content": "Tell a long story."}]
        ) as answer:
            assert answer.status == 200
            await answer.content.readany()
            child = served.child()
            assert child is not None
            child.kill()
            found = frames(await answer.read())
        assert found[-1] == "[DONE]"
        assert found[-2]["error"]["code"] == "upstream_stream_interrupted"
        assert "Paris" in await served.text()

    async def test_idle_it_gives_its_memory_back_and_answers_again(self, served: Served) -> None:
        await served.text()
        child = served.child()
        assert child is not None
        assert child.memory_info().rss > 100 << 20
        async with asyncio.timeout(30):
            while child.memory_info().rss > 80 << 20:
                await asyncio.sleep(0.1)
        assert "Paris" in await served.text()
        assert served.child() == child

    async def test_chomp_killed_takes_the_child_along(self, tmp_path: Path) -> None:
        one = Served(tmp_path / "chomp", CACHE)
        try:
            assert "Paris" in await one.text(model="auto")
            child = one.child()
            assert child is not None
            one.process.kill()
            assert psutil.wait_procs([child], timeout=10)[0] == [child]  # 1 s on a quiet machine
        finally:
            one.stop()

    async def test_chomp_stopped_takes_the_child_along(self, tmp_path: Path) -> None:
        one = Served(tmp_path / "chomp", CACHE)
        try:
            assert "Paris" in await one.text(model="auto")
            child = one.child()
            assert child is not None
            one.process.terminate()
            assert one.process.wait(20) == 0
            assert not child.is_running()
        finally:
            one.stop()

    async def test_a_damaged_model_file_is_refused_with_the_remedy(self, tmp_path: Path) -> None:
        weights = tmp_path / "cache" / "chomp" / cs.LocalModel.FILE
        weights.parent.mkdir(parents=True)
        weights.write_bytes(b"GGUF" + bytes(4096))
        one = Served(tmp_path / "chomp", str(tmp_path / "cache"))
        try:
            async with one.ask(model="auto", **FRANCE) as answer:
                assert answer.status == 503
                error = await error_of(answer)
            assert str(weights) in error["message"] and "damaged" in error["message"]
            assert "install" in error["message"]  # the command that mends it
            assert one.child() is None
            assert "damaged" in (await one.get("/status"))["local_model"]["state"]
        finally:
            one.stop()

    async def test_a_model_that_dies_again_and_again_rests(self, tmp_path: Path) -> None:
        weights = tmp_path / "mine.gguf"
        weights.write_bytes(b"nothing like it")
        one = Served(tmp_path / "chomp", CACHE, CHOMP_LOCAL_GGUF=str(weights))
        try:
            for _ in range(cs.LocalModel.RESTARTS + 1):
                async with one.ask(model="auto", **FRANCE) as answer:
                    assert answer.status == 503
                    assert "did not start" in (await error_of(answer))["message"]
            async with one.ask(model="auto", **FRANCE) as answer:
                assert (answer.status, answer.headers["x-should-retry"]) == (503, "false")
                error = await error_of(answer)
            assert "rests now" in error["message"] and "mine.gguf" in error["message"]
        finally:
            one.stop()

    async def test_without_the_engine_a_503_names_the_one_command(
        self, chomp: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = await chomp(environ={"XDG_CACHE_HOME": CACHE})
        known = cs.importlib.util.find_spec  # type: ignore[attr-defined]
        monkeypatch.setattr(
            cs.importlib.util, "find_spec", lambda name, *rest: None if name == "xllamacpp" else known(name, *rest)
        )  # type: ignore[attr-defined]
        status, headers, body = await ask(client, "auto")
        assert (status, body["error"]["code"]) == (503, "local_model_not_installed")
        assert headers["x-should-retry"] == "false"
        assert "bin/local-model install" in body["error"]["message"] or "bin/up" in body["error"]["message"]
        assert can_be_pasted(body["error"]["message"]), body["error"]["message"]

    async def test_without_the_weights_a_503_names_the_one_command(self, chomp: Any) -> None:
        client = await chomp()
        status, _, body = await ask(client, "local/smollm2-135m")
        assert (status, body["error"]["code"]) == (503, "local_model_not_installed")
        assert "install" in body["error"]["message"]
        assert can_be_pasted(body["error"]["message"]), body["error"]["message"]
        async with client.get("/v1/models") as answer:
            assert (await answer.json())["data"] == []

    async def test_a_file_of_ones_own_that_is_gone_is_named_and_nothing_offered(
        self, chomp: Any, loading: Loading
    ) -> None:
        loading.gguf.unlink()
        client = await chomp(environ={"CHOMP_LOCAL_GGUF": str(loading.gguf)})
        status, _, body = await ask(client, "auto")
        assert status == 503
        assert str(loading.gguf) in body["error"]["message"]
        assert not re.search("install|`", body["error"]["message"])

    async def test_a_start_that_its_askers_gave_up_goes_on_for_the_next(self, chomp: Any, loading: Loading) -> None:
        client = await chomp(environ={"CHOMP_LOCAL_GGUF": str(loading.gguf)})
        proxy = client.services.proxy
        for _ in range(4):
            asking = asyncio.ensure_future(client.chat("auto").__aenter__())
            await until(lambda: proxy.inflight == 1 and loading.starts > 0, "nothing was started")
            asking.cancel()
            await until(lambda: proxy.inflight == 0, "the client is still there")
        patient = asyncio.ensure_future(ask(client, "auto"))
        await until(lambda: proxy.inflight == 1 or patient.done(), "not asked")
        loading.loaded()
        status, headers, body = await soon(patient)
        assert (status, headers.get("x-chomp-router")) == (200, "local"), body
        assert (loading.starts, len(loading.up.calls)) == (1, 1)

    @pytest.mark.parametrize(
        ("model", "router"),
        [("local/other", ""), ("local/SmolLM2-135M", ""), ("local/local/auto", ""), ("other", "local")],
    )  # fmt: skip
    async def test_it_is_not_started_for_another_models_name(
        self, chomp: Any, loading: Loading, model: str, router: str
    ) -> None:
        loading.loaded()
        client = await chomp(environ={"CHOMP_LOCAL_GGUF": str(loading.gguf)})
        status, _, body = await ask(client, model, **({"router": router} if router else {}))
        assert (status, body["error"]["code"] if "error" in body else None) == (404, "model_not_found")
        assert (loading.starts, loading.up.calls) == (0, [])


PATIENCE_S = 20.0  # ten times what any wait here should take


# -- helpers ------------------------------------------------------------------------------------------------------------


class Puppet:
    """An act that sends what it is given, when it is given it: bytes are a chunk, None ends the body, "cut" cuts."""

    def __init__(self, content_type: str = "text/event-stream"):
        self._orders: asyncio.Queue[bytes | str | None] = asyncio.Queue()
        self._content_type = content_type
        self.asked = asyncio.Event()

    def tell(self, *orders: bytes | str | None) -> None:
        for order in orders:
            self._orders.put_nowait(order)

    async def __call__(self, call: Call) -> None:
        self.asked.set()
        headed = False
        while True:
            order = await self._orders.get()
            if order == "cut":
                call.cut()
                return
            if not headed:
                await call.head(content_type=self._content_type)
                headed = True
            if order is None:
                await call.end()
                return
            if isinstance(order, bytes):
                await call.chunk(order)


async def silent(call: Call) -> None:
    """An upstream that never answers, until chomp leaves."""
    await call.gone.wait()


async def soon(what: Awaitable[Any]) -> Any:
    """The result of `what`, which must not take long."""
    return await asyncio.wait_for(what, PATIENCE_S)


async def until(true: Callable[[], bool], why: str) -> None:
    """Waits for something that has no event of its own."""
    limit = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < limit, why
        await asyncio.sleep(0.01)


_way: list[tuple[str, str]] = []  # headers that make chomp take aiohttp's way in


@pytest.fixture(params=["short", "long"])
def both_ways(chomp: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """`chomp`, entered by the short way in for plain requests, then by aiohttp's."""
    _way[:] = [("x-chomp-prefer", "")] if request.param == "long" else []

    async def start(*upstreams: Any, **more: Any) -> Chomp:
        client: Chomp = await chomp(*upstreams, **more)
        client.http.headers.update(dict(_way))  # type: ignore[attr-defined]
        return client

    yield start
    _way.clear()


def wire(
    body: bytes = b"",
    path: str = "/v1/chat/completions",
    method: str = "POST",
    version: str = "1.1",
    token: str | None = TOKEN,
    headers: Sequence[tuple[str, str]] = (),
    length: int | None = -1,
) -> bytes:
    """A request as bytes; `length` None leaves Content-Length out."""
    lines = [f"{method} {path} HTTP/{version}", "host: 127.0.0.1", "content-type: application/json"]
    if token is not None:
        lines.append(f"authorization: Bearer {token}")
    if length is not None:
        lines.append(f"content-length: {len(body) if length < 0 else length}")
    lines += [f"{name}: {value}" for name, value in (*headers, *_way)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chat_body(model: str = "m", **more: Any) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}], **more}).encode()


class Raw:
    """A client that sees bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port: int, data: bytes = b"", limit: int = 1 << 24) -> Raw:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
        writer.write(data)
        return cls(reader, writer)

    async def head(self) -> tuple[int, dict[str, str]]:
        text = (await soon(self.reader.readuntil(b"\r\n\r\n"))).decode("latin-1")
        first, *lines = text.rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split(" ")[1]), headers

    async def body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return await soon(self.reader.readexactly(int(headers["content-length"])))
        if headers.get("transfer-encoding") != "chunked":
            return await soon(self.reader.read())
        parts = []
        while True:
            size = int(await soon(self.reader.readuntil(b"\r\n")), 16)
            part = await soon(self.reader.readexactly(size + 2))
            if not size:
                return b"".join(parts)
            parts.append(part[:-2])

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        status, headers = await self.head()
        return status, headers, await self.body(headers)

    async def eof(self) -> bytes:
        """What still comes until the server closes the connection."""
        try:
            return await soon(self.reader.read())
        except ConnectionError:
            return b""

    def close(self) -> None:
        self.writer.transport.abort()


async def ask_raw(port: int, data: bytes) -> tuple[int, dict[str, str], bytes]:
    client = await Raw.to(port, data)
    try:
        return await client.answer()
    finally:
        client.close()


def is_openai_error(body: bytes) -> dict[str, Any]:
    """The error object, checked for the shape clients read."""
    error = json.loads(body)["error"]
    assert isinstance(error["message"], str) and error["message"]
    assert isinstance(error["type"], str) and error["type"]
    assert error["code"] is None or isinstance(error["code"], str)
    assert "param" in error
    return dict(error)


def replays(body: bytes, sizes: Sequence[int] = (), fixture: Fixture | None = None) -> Act:
    """Sends recorded bytes in pieces that end at `sizes`; one whole piece without any."""

    async def act(call: Call) -> None:
        extra = {n.replace("-", "_"): v for n, v in fixture.headers} if fixture else {}
        await call.head(**extra)
        for start, end in itertools.pairwise((0, *sizes, len(body))):
            if start < end:
                await call.chunk(body[start:end])
                await asyncio.sleep(0)  # lets chomp read this piece by itself
        if fixture is not None and fixture.ends == "cut":
            await until(lambda: not call._writer.transport.get_write_buffer_size(), "not sent")
            call._writer.write_eof()  # FIN, not RST: what was sent arrives
        else:
            await call.end()

    return act


_FRAME_END = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")


def frames_of(body: bytes) -> list[bytes]:
    """The frames of a stream with their ends; what is left over is the last one."""
    found, at = [], 0
    for end in _FRAME_END.finditer(body):
        found.append(body[at : end.end()])
        at = end.end()
    return [*found, body[at:]] if body[at:] else found


def is_usage_frame(frame: bytes) -> bool:
    """Empty choices, a usage, and otherwise only what every frame has."""
    try:
        (line,) = (one for one in frame.splitlines() if one.startswith(b"data:"))
        data = json.loads(line[5:])
    except ValueError:
        return False
    usual = {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "provider"}
    return isinstance(data, dict) and data.get("choices") == [] and bool(data.get("usage")) and data.keys() <= usual


def without_usage_frames(body: bytes) -> bytes:
    single = body.count(b"\n\n") == 1  # frames parted by single newlines
    found = re.split(rb"(?<=\n)(?=data:)", body) if single else frames_of(body)
    return b"".join(frame for frame in found if not is_usage_frame(frame))


STREAMS = [f for f in FIXTURES if f.content_type == "text/event-stream"]
CHAT_STREAMS = [f for f in STREAMS if not f.name.startswith(("zen-messages", "zen-responses"))]  # not served yet
ANSWERS = [f for f in FIXTURES if "json" in f.content_type and f.status == 200 and f.error is None]
ANSWERS = [f for f in ANSWERS if f.name != "together-array-models"]  # a list of models
ERRORS = [f for f in FIXTURES if f.error is not None and f.content_type != "text/event-stream"]


def named(fixtures: Sequence[Fixture]) -> Any:
    return pytest.mark.parametrize("fixture", fixtures, ids=[f.name for f in fixtures])


def cuts(body: bytes) -> dict[str, list[list[int]]]:
    """How a stream may come: whole, byte by byte, and in two, at a few places of which most are awkward."""
    places = {1, len(body) // 2, len(body) - 1, body.find(b"\n") + 1, body.rfind(b"\n", 0, -1), body.find(b"[DONE") + 3}
    return {
        "whole": [[]],
        "bytes": [list(range(1, len(body)))],
        "halves": [[place] for place in sorted(places) if 0 < place < len(body)],
    }


OUTCOME = ("status", "error_type", "attempts", "stream", "router")
TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")

# == Proxy =============================================================================================================


class TestProxy:
    @pytest.fixture
    def chomp(self, both_ways: Any) -> Any:
        return both_ways

    # -- fidelity

    @pytest.mark.parametrize("cut", ["whole", "bytes", "halves"])
    @named([f for f in CHAT_STREAMS if f.ends != "cut" and not f.before_content])
    async def test_a_recorded_stream_comes_out_as_it_went_in(
        self, chomp: Any, upstream: Any, fixture: Fixture, cut: str
    ) -> None:
        router = await upstream()
        failed = fixture.ends == "error"
        client = await chomp(router)
        count = 0
        places = cuts(fixture.body)[cut]
        for sizes in places[:2] if failed else places:  # more failures would open the breaker
            router.act = replays(fixture.body, sizes, fixture)
            for asks in (False, True):
                options = {"stream_options": {"include_usage": True}} if asks else {}
                async with client.chat("m", stream=True, **options) as answer:
                    body = await soon(answer.read())
                    assert answer.status == 200
                count += 1
                assert body == (fixture.body if asks else without_usage_frames(fixture.body)), (sizes, asks)
        rows = await client.rows(count)
        assert len(rows) == count
        for row in rows:
            assert (row["status"], row["error_type"]) == ((502, "provider_error") if failed else (200, ""))
            if fixture.usage is not None:
                assert (tuple(row[name] for name in TOKENS), row["estimated"]) == (fixture.usage, 0)
            else:
                assert row["estimated"] == 1
                assert row["prompt_tokens"] > 0
            if fixture.cost_usd is not None:
                assert row["cost_usd"] == pytest.approx(fixture.cost_usd, abs=1e-12)
            else:
                assert row["cost_usd"] is None  # no price is known for a model named m

    @pytest.mark.parametrize("cut", ["whole", "bytes"])
    @named([f for f in CHAT_STREAMS if f.ends == "cut" and not f.before_content])
    async def test_a_recorded_stream_that_breaks_off_ends_with_an_error_frame(
        self, chomp: Any, upstream: Any, fixture: Fixture, cut: str
    ) -> None:
        router = await upstream(replays(fixture.body, cuts(fixture.body)[cut][0], fixture))
        client = await chomp(router)
        async with client.chat("m", stream=True) as answer:
            body = await soon(answer.read())
        complete = b"".join(frame for frame in frames_of(fixture.body) if _FRAME_END.search(frame))
        assert body.startswith(complete)
        error, done = frames(body[len(complete) :])
        assert error["error"]["code"] == "upstream_stream_interrupted"
        assert done == "[DONE]"
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"], row["estimated"]) == (502, "provider_incomplete", 1)

    @named([f for f in CHAT_STREAMS if f.before_content])
    async def test_a_stream_that_fails_before_content_is_an_http_error(
        self, chomp: Any, upstream: Any, fixture: Fixture
    ) -> None:
        router = await upstream(replays(fixture.body, (), fixture))
        client = await chomp(router)
        async with client.chat("m", stream=True) as answer:
            error = is_openai_error(await answer.read())
            assert answer.status >= 400
            assert answer.content_type == "application/json"
        assert (fixture.error or "") in error["message"]
        assert fixture.code is None or error["code"] == fixture.code
        (row,) = await client.rows(1)
        assert (row["status"] >= 400, row["prompt_tokens"]) == (True, 0)

    @named(ANSWERS)
    async def test_a_recorded_answer_comes_out_as_it_went_in(self, chomp: Any, upstream: Any, fixture: Fixture) -> None:
        async def act(call: Call) -> None:
            await call.whole(fixture.body, 200, fixture.content_type, fixture.headers)

        client = await chomp(await upstream(act))
        async with client.chat("m") as answer:
            assert (answer.status, await answer.read()) == (200, fixture.body)
            assert answer.headers["content-type"] == fixture.content_type
        (row,) = await client.rows(1)
        assert (tuple(row[name] for name in TOKENS), row["estimated"]) == (fixture.usage, 0)
        assert row["cost_usd"] == (None if fixture.cost_usd is None else pytest.approx(fixture.cost_usd, abs=1e-12))

    async def test_what_the_client_sent_goes_up_byte_for_byte(self, chomp: Any, upstream: Any) -> None:
        router = await upstream()
        client = await chomp(router)
        body = (
            b'{ "temperature":1.0,"top_p" : 1e5, "seed":12345678901234567890123,\n\t"x":-0.0,  "messages":'
            b'[{"role":"user","content":"\\u00e9\\ud83d\\ude00\\/ \xc3\xa9  two  spaces"}] ,"model":"m", '
            b'"unknown":{"b":1.10,"a":[ 1 ,2.50 ]},"n":1E+2, "z":null }'
        )
        async with client.post("/v1/chat/completions", data=body) as answer:
            assert answer.status == 200
        assert router.calls[0].body == body

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_rewritten_request_differs_in_its_model_only(self, chomp: Any, upstream: Any, stream: bool) -> None:
        router = await upstream()
        client = await chomp(router)
        values = {
            "temperature": b"1.0",
            "top_p": b"1e5",
            "seed": b"12345678901234567890123",
            "messages": b'[ {"role":"user",  "content":"\\u00e9\\ud83d\\ude00\\/ \xc3\xa9"} ]',
            "model": b'"%b"' % router.model.encode(),
            "unknown": b'{"b":1.10,  "a":[ 1 ,2.50 ]}',
            "stream": b"true" if stream else b"false",
            "z": b"null",
        }
        body = b"{" + b" ,\n".join(b'"%b" : %b' % (k.encode(), v) for k, v in values.items()) + b"}"
        async with client.post("/v1/chat/completions", data=body) as answer:
            assert answer.status == 200
        sent = msgspec.json.decode(router.calls[0].body, type=dict[str, msgspec.Raw])
        got = {key: bytes(value) for key, value in sent.items() if key != "stream_options"}
        assert got == {**values, "model": b'"m"'}
        assert list(got) == list(values)
        assert ("stream_options" in sent) == stream

    async def test_chomps_own_router_field_stays_here(self, chomp: Any, upstream: Any) -> None:
        first, second = await upstream(), await upstream()
        client = await chomp(first, second)
        async with client.chat("m", router=second.id) as answer:
            assert answer.headers["x-chomp-router"] == second.id
        assert list(second.calls[0].json) == ["model", "messages"]

    async def test_headers_go_up_without_what_is_the_callers_own(self, chomp: Any, upstream: Any) -> None:
        router = await upstream()
        client = await chomp(router, headers={router.id: {"x-extra": "ours", "x-title": "chomp's"}})
        kept = {"user-agent": "agent/1", "accept": "text/x", "x-session-affinity": "abc", "anthropic-beta": "b1"}
        dropped = {
            "x-api-key": "caller-key", "cookie": "a=b", "x-stainless-lang": "python", "x-chomp-prefer": "fast",
            "x-forwarded-for": "10.0.0.1", "forwarded": "for=1", "te": "trailers", "x-secret-hop": "1",
            "connection": "keep-alive, x-secret-hop", "accept-encoding": "gzip, br", "sec-fetch-mode": "cors",
            "proxy-authorization": "Basic abc", "upgrade": "h2c", "openai-organization": "org-1",
        }  # fmt: skip
        given = [*kept.items(), *dropped.items(), ("x-title", "the caller's")]
        status, _, _ = await ask_raw(client.port, wire(chat_body(), headers=given))
        assert status == 200
        got = router.calls[0].headers
        assert {name: got.get(name) for name in kept} == kept
        assert got["authorization"] == f"Bearer key-of-{router.id}"
        assert (got["x-extra"], got["x-title"]) == ("ours", "chomp's")
        assert got["accept-encoding"] == "identity"
        assert got["host"] == f"127.0.0.1:{router.port}"
        assert not (dropped.keys() - {"accept-encoding"}) & got.keys()

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_key_repeated_in_a_header_is_hidden(self, chomp: Any, upstream: Any, stream: bool) -> None:
        async def act(call: Call) -> None:
            echoed = call.headers["authorization"]
            if stream:
                await call.head(x_seen=echoed)
                await call.chunk(chat_chunk({"content": "hi"}, "stop") + DONE)
                await call.end()
            else:
                await call.whole(chat_answer(), headers=[("x-seen", echoed)])

        client = await chomp(router := await upstream(act))
        async with client.chat("m", stream=stream) as answer:
            assert answer.status == 200
            assert answer.headers["x-seen"] == "Bearer [hidden]"
            assert f"key-of-{router.id}" not in str(answer.headers)

    @pytest.mark.parametrize("place", ["routers", "headers"])
    async def test_headers_named_like_credentials_are_hidden_in_errors_and_others_are_not(
        self, chomp: Any, upstream: Any, place: str
    ) -> None:
        hidden = {
            "X-Team-Auth": "canary-auth", "x-goog-api-key": "canary-key", "x-session-token": "canary-token-1",
            "x-client-secret": "canary-secret", "cookie": "sid=canary-cookie", "x-Password": "canary-password",
        }  # fmt: skip
        plain = {
            "http-referer": "https://mine.example/app", "x-title": "my own tools", "user-agent": "mine/1.0 (tools)",
            "accept": "application/x-mine", "x-key-kind": "short",
        }  # fmt: skip

        async def act(call: Call) -> None:
            words = " ".join(call.headers[name.lower()] for name in (*hidden, *plain))
            await fails(400, json.dumps({"error": {"message": f"not with {words}", "code": "c"}}).encode())(call)

        router, given = await upstream(act), {**hidden, **plain}
        if place == "routers":
            client = await chomp({**router.router, "headers": given})
        else:
            client = await chomp(router, headers={router.id: given})
        async with client.chat("m") as answer:
            body = await answer.read()
            message = is_openai_error(body)["message"]
            assert answer.status == 400
        assert [name for name, value in hidden.items() if value.encode() in body] == []
        assert [name for name, value in plain.items() if value not in message] == []
        assert message.count("[hidden]") == len(hidden)

    async def test_headers_come_down_without_hop_by_hop_and_cookies(self, chomp: Any, upstream: Any) -> None:
        headers = (
            ("x-ratelimit-remaining-requests", "9"), ("cf-ray", "abc"), ("x-request-id", "up-1"), ("set-cookie", "a=1"),
            ("connection", "x-hop"), ("x-hop", "1"), ("strict-transport-security", "max-age=1"),
            ("x-chomp-router", "forged"), ("server", "nginx"),
        )  # fmt: skip

        async def act(call: Call) -> None:
            await call.whole(chat_answer(), headers=headers)

        client = await chomp(router := await upstream(act))
        async with client.chat("m", headers={"x-request-id": "mine-1"}) as answer:
            got = answer.headers
        assert (got["x-ratelimit-remaining-requests"], got["cf-ray"]) == ("9", "abc")
        assert (got["x-request-id"], got["x-upstream-request-id"]) == ("mine-1", "up-1")
        assert got.getall("x-chomp-router") == [router.id]
        assert float(got["x-chomp-overhead-ms"]) >= 0
        assert not {"set-cookie", "strict-transport-security", "server", "x-hop"} & {name.lower() for name in got}

    # -- streaming

    async def test_frames_arrive_one_at_a_time(self, chomp: Any, upstream: Any) -> None:
        puppet = Puppet()
        client = await chomp(await upstream(puppet))
        asking = asyncio.ensure_future(client.chat("m", stream=True).__aenter__())
        first, *rest = [chat_chunk({"content": word}) for word in ("a", "b", "c", "d")]
        puppet.tell(first)
        answer = await soon(asking)  # the head is here before the second frame exists
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["cache-control"] == "no-cache, no-transform"
        assert answer.content_type == "text/event-stream"
        assert not {"content-encoding", "content-length"} & {name.lower() for name in answer.headers}
        assert await soon(answer.content.readany()) == first
        for frame in rest:
            puppet.tell(frame)
            assert await soon(answer.content.readany()) == frame
        puppet.tell(chat_chunk({}, "stop") + DONE, None)
        assert (await soon(answer.read())).endswith(DONE)

    @pytest.mark.parametrize(
        ("given", "asked"),
        [
            ({}, {"include_usage": True}),
            ({"stream_options": None}, {"include_usage": True}),
            ({"stream_options": {"include_usage": False}}, {"include_usage": True}),
            ({"stream_options": {"extra": [1.0]}}, {"extra": [1.0], "include_usage": True}),
            ({"stream_options": {"include_usage": True, "extra": 1}}, {"include_usage": True, "extra": 1}),
        ],
    )
    async def test_usage_is_asked_for_and_shown_only_to_whom_asked(
        self, chomp: Any, upstream: Any, given: dict[str, Any], asked: dict[str, Any]
    ) -> None:
        router = await upstream()
        client = await chomp(router)
        async with client.chat("m", stream=True, **given) as answer:
            found = frames(await answer.read())
        assert router.calls[0].json["stream_options"] == asked
        shown = [frame for frame in found if frame != "[DONE]" and frame.get("usage")]
        wanted = bool((given.get("stream_options") or {}).get("include_usage"))
        assert len(shown) == int(wanted)
        (row,) = await client.rows(1)
        assert (row["prompt_tokens"], row["completion_tokens"], row["estimated"]) == (7, 2, 0)

    async def test_a_router_that_rejects_stream_options_gets_none(self, chomp: Any, upstream: Any) -> None:
        router = await upstream()
        client = await chomp({**router.router, "stream_options": False})
        async with client.chat("m", stream=True) as answer:
            assert said(await answer.read()) == "hi there"
        assert "stream_options" not in router.calls[0].json
        (row,) = await client.rows(1)
        assert (row["completion_tokens"] > 0, row["estimated"]) == (True, 1)

    async def test_no_usage_is_asked_for_when_nothing_streams(self, chomp: Any, upstream: Any) -> None:
        router = await upstream()
        client = await chomp(router)
        async with client.chat("m") as answer:
            await answer.read()
        assert "stream_options" not in router.calls[0].json

    @pytest.mark.parametrize("phase", ["before the head", "held frames", "mid-stream", "waiting for an answer"])
    async def test_a_client_that_leaves_frees_the_upstream(self, chomp: Any, upstream: Any, phase: str) -> None:
        puppet = Puppet()
        router = await upstream(silent if phase in ("before the head", "waiting for an answer") else puppet)
        client = await chomp(router)
        raw = await Raw.to(client.port, wire(chat_body(stream=phase != "waiting for an answer")))
        await until(lambda: bool(router.calls), "not asked")
        if phase == "held frames":
            puppet.tell(chat_chunk({"role": "assistant", "content": ""}))
            await soon(puppet.asked.wait())
        elif phase == "mid-stream":
            puppet.tell(chat_chunk({"content": "one"}))
            await raw.head()
            await soon(raw.reader.readuntil(b"one"))
        left = time.monotonic()
        raw.close()
        await soon(router.calls[0].gone.wait())
        assert time.monotonic() - left < 5.0
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"], row["attempts"]) == (499, "caller_cancelled", 1)
        assert (row["estimated"], row["prompt_tokens"] > 0) == ((1, True) if phase == "mid-stream" else (0, False))
        assert client.services.proxy.inflight == 0
        assert client.services.bodies.held == 0

    @pytest.mark.parametrize("phase", ["before the head", "mid-stream"])
    async def test_a_client_that_leaves_frees_an_upstream_that_was_asked_at_once(
        self, chomp: Any, upstream: Any, phase: str
    ) -> None:
        puppet = Puppet()

        async def act(call: Call) -> None:
            await (says() if call is router.calls[0] else puppet)(call)

        client = await chomp(router := await upstream(act))
        raw = await Raw.to(client.port, wire(chat_body(stream=True)))
        await raw.answer()  # a plan and an idle connection are there now: the next request waits for nothing
        raw.writer.write(wire(chat_body(stream=True)))
        await soon(puppet.asked.wait())
        if phase == "mid-stream":
            puppet.tell(chat_chunk({"content": "one"}))
            await soon(raw.reader.readuntil(b"one"))
        raw.close()
        await soon(router.calls[1].gone.wait())
        _, row = await client.rows(2)
        assert (row["status"], row["error_type"], row["attempts"]) == (499, "caller_cancelled", 1)
        assert (row["estimated"], row["prompt_tokens"] > 0) == ((1, True) if phase == "mid-stream" else (0, False))
        assert client.services.proxy.inflight == 0
        assert client.services.bodies.held == 0

    async def test_usage_that_came_before_the_client_left_is_exact(self, chomp: Any, upstream: Any) -> None:
        puppet = Puppet()
        client = await chomp(await upstream(puppet))
        puppet.tell(chat_chunk({"content": "one"}), chat_chunk({"content": "two"}, usage=USAGE))
        raw = await Raw.to(client.port, wire(chat_body(stream=True)))
        await soon(raw.reader.readuntil(b"two"))
        raw.close()
        (row,) = await client.rows(1)
        assert (row["status"], row["prompt_tokens"], row["completion_tokens"], row["estimated"]) == (499, 7, 2, 0)

    async def test_a_stream_that_falls_silent_ends_with_an_error_frame(self, chomp: Any, upstream: Any) -> None:
        puppet = Puppet()
        router = await upstream(puppet)
        client = await chomp(router, timeouts={"idle": "0.3s"})
        puppet.tell(chat_chunk({"content": "one"}))
        async with client.chat("m", stream=True) as answer:
            word, error, done = frames(await soon(answer.read()))
        assert word["choices"][0]["delta"]["content"] == "one"
        assert error["error"]["code"] == "upstream_stream_interrupted"
        assert done == "[DONE]"
        await soon(router.calls[0].gone.wait())
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"]) == (502, "provider_timeout")

    async def test_a_cut_stream_keeps_its_whole_frames(self, chomp: Any, upstream: Any) -> None:
        whole = [chat_chunk({"content": f"w{n}"}) for n in range(40)]
        client = await chomp(await upstream(streams(*whole, whole[0][:30], cut=True)))
        async with client.chat("m", stream=True) as answer:
            body = await soon(answer.read())
        assert body.startswith(b"".join(whole))
        error, done = frames(body[len(b"".join(whole)) :])
        assert (error["error"]["code"], done) == ("upstream_stream_interrupted", "[DONE]")
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"]) == (502, "provider_incomplete")

    async def test_a_malformed_frame_passes_and_is_counted(self, chomp: Any, upstream: Any) -> None:
        pieces = (chat_chunk({"content": "a"}), b'data: {"choices": [\n\n', chat_chunk({"content": "b"}, "stop"), DONE)
        client = await chomp(await upstream(streams(*pieces)))
        async with client.chat("m", stream=True) as answer:
            assert await answer.read() == b"".join(pieces)
        await client.rows(1)
        async with client.get("/metrics") as answer:
            found = re.findall(r"^chomp_\w*malformed\w* (\S+)", await answer.text(), re.M)
        assert [float(one) for one in found] == [1.0]

    async def test_a_frame_torn_after_done_is_an_interruption(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(await upstream(streams(*STREAM, b'data: {"cost', cut=True)))
        async with client.chat("m", stream=True) as answer:
            assert frames(await answer.read())[-2]["error"]["code"] == "upstream_stream_interrupted"
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"]) == (502, "provider_incomplete")

    async def test_a_malformed_frame_beside_content_is_counted_once(self, chomp: Any, upstream: Any) -> None:
        run = b"data: {bad\n\n" + chat_chunk({"content": "a"}) + chat_chunk({"content": "b"})
        client = await chomp(await upstream(streams(run, chat_chunk({}, "stop"), DONE)))
        async with client.chat("m", stream=True) as answer:
            assert await answer.read() == run + chat_chunk({}, "stop") + DONE
        (row,) = await client.rows(1)
        assert (row["completion_tokens"], row["estimated"]) == (2, 1)
        assert client.services.usage.malformed_frames == 1

    async def test_a_long_silence_is_filled_with_comments(self, chomp: Any, upstream: Any) -> None:
        puppet = Puppet()
        client = await chomp(await upstream(puppet), timeouts={"keepalive": "0.1s"})
        async with client.chat("m", stream=True) as answer:
            comments = await soon(answer.content.readuntil(b"\n\n")) + await soon(answer.content.readuntil(b"\n\n"))
            assert all(line.startswith(b":") for line in comments.split(b"\n") if line)
            puppet.tell(chat_chunk({"content": "late"}), chat_chunk({}, "stop"), DONE, None)
            body = await soon(answer.read())
        assert said(body) == "late"
        assert frames(body)[-1] == "[DONE]"

    async def test_comments_from_upstream_are_relayed_but_are_no_answer(self, chomp: Any, upstream: Any) -> None:
        comment = b": OPENROUTER PROCESSING\n\n"

        async def act(call: Call) -> None:
            await call.head()
            while not call.gone.is_set():
                await call.chunk(comment)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(call.gone.wait(), 0.05)

        queued, ready = await upstream(act), await upstream(says("hi there"))
        client = await chomp(queued, ready, timeouts={"first_byte": "1s", "hold": "0.1s", "keepalive": "30s"})
        async with client.chat("m", stream=True) as answer:
            body = await soon(answer.read())
        assert body.startswith(comment)
        assert said(body) == "hi there"
        assert b"error" not in body
        (row,) = await client.rows(1)
        assert (row["router"], row["attempts"], row["status"]) == (ready.id, 2, 200)
        assert row["ttft_ms"] >= 900

    async def test_failover_still_works_after_comments_went_out(self, chomp: Any, upstream: Any) -> None:
        puppet = Puppet()
        bad, ready = await upstream(puppet), await upstream(says("hi there"))
        client = await chomp(bad, ready, timeouts={"keepalive": "0.1s"})
        async with client.chat("m", stream=True) as answer:
            assert answer.status == 200
            assert (await soon(answer.content.readuntil(b"\n\n"))).startswith(b":")
            puppet.tell("cut")
            assert said(await soon(answer.read())) == "hi there"
        (row,) = await client.rows(1)
        assert (row["router"], row["attempts"]) == (ready.id, 2)

    async def test_a_key_in_a_total_failure_after_the_head_is_hidden(self, chomp: Any, upstream: Any) -> None:
        puppet = Puppet()
        client = await chomp(router := await upstream(puppet), timeouts={"hold": "0.1s"})
        puppet.tell(b": one\n\n")
        raw = await Raw.to(client.port, wire(chat_body(stream=True)))
        seen = await soon(raw.reader.readuntil(b": one\n\n"))
        puppet.tell(b'data: {"error":{"message":"bad key key-of-%b"}}\n\n' % router.id.encode())
        seen += await soon(raw.reader.readuntil(b"0\r\n\r\n"))
        assert b"bad key" in seen
        assert b"key-of-" not in seen
        raw.close()

    async def test_total_failure_after_the_head_is_one_error_frame(self, chomp: Any, upstream: Any) -> None:
        puppet = Puppet()
        client = await chomp(await upstream(puppet), await upstream(fails(500)), timeouts={"keepalive": "0.1s"})
        async with client.chat("m", stream=True) as answer:
            assert (await soon(answer.content.readuntil(b"\n\n"))).startswith(b":")
            puppet.tell("cut")
            error, done = frames(await soon(answer.read()))
        assert error["error"]["message"]
        assert [one["router"] for one in error["error"]["attempts"]] == [r["id"] for r in client.settings.routers]
        assert done == "[DONE]"
        (row,) = await client.rows(1)
        assert (row["status"], row["attempts"]) == (502, 2)

    async def test_start_up_frames_are_shown_when_content_takes_long(self, chomp: Any, upstream: Any) -> None:
        role = chat_chunk({"role": "assistant", "content": ""})
        puppet = Puppet()
        client = await chomp(await upstream(puppet), timeouts={"hold": "0.2s"})
        puppet.tell(role)
        async with client.chat("m", stream=True) as answer:
            assert await soon(answer.content.readany()) == role
            puppet.tell(chat_chunk({"content": "late"}, "stop"), DONE, None)
            assert said(await soon(answer.read())) == "late"

    @pytest.mark.parametrize("start", ["role", "many", "comments"])
    async def test_an_error_after_start_up_frames_is_failed_over(self, chomp: Any, upstream: Any, start: str) -> None:
        role = chat_chunk({"role": "assistant", "content": ""}, id="first")
        starts = {"role": [role], "many": [role] + [chat_chunk({})] * 20, "comments": [b": wait\n\n", role, b": x\n\n"]}
        error = b'data: {"error":{"message":"quota is gone","code":"c1"}}\n\n'
        bad, ready = await upstream(streams(*starts[start], error)), await upstream(says("hi there"))
        client = await chomp(bad, ready)
        async with client.chat("m", stream=True) as answer:
            body = await answer.read()
            assert answer.headers["x-chomp-attempts"] == "2"
        assert said(body) == "hi there"
        assert {frame["id"] for frame in frames(body) if frame != "[DONE]"} == {"chatcmpl-1"}
        assert b"error" not in body
        ready.act = fails(500)
        async with client.chat("m", stream=True) as answer:
            assert answer.status >= 400
            assert len(is_openai_error(await answer.read())["attempts"]) == 2

    @pytest.mark.parametrize(("count", "size"), [(140, 1), (10, 32 << 10)], ids=["many", "large"])
    async def test_start_up_frames_are_not_held_without_bound(
        self, chomp: Any, upstream: Any, count: int, size: int
    ) -> None:
        puppet = Puppet()
        client = await chomp(await upstream(puppet), timeouts={"hold": "60s", "keepalive": "60s"})
        start = chat_chunk({"role": "assistant"}, pad="x" * size)
        puppet.tell(*[start] * count)
        async with asyncio.timeout(PATIENCE_S), client.chat("m", stream=True) as answer:
            assert answer.status == 200
            puppet.tell(*STREAM[1:], None)
            assert await answer.read() == start * count + b"".join(STREAM[1:])

    def test_tool_calls_of_an_answer_made_a_stream_are_numbered(self) -> None:
        calls = [{"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in range(3)]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        answer = chat_answer(choices=[{"index": 0, "message": message, "finish_reason": "tool_calls"}])
        (shown, done) = frames(cs.as_stream(answer, wants_usage=False))
        assert shown["choices"][0]["delta"]["tool_calls"] == [{"index": n, **call} for n, call in enumerate(calls)]
        assert done == "[DONE]"

    async def test_a_local_host_may_take_longer_to_load(self, chomp: Any, upstream: Any) -> None:
        loaded = asyncio.Event()
        local, hosted = await upstream(holds(loaded, says("loaded"))), await upstream(silent, "h")
        client = await chomp({**local.router, "kind": "host"}, hosted, timeouts={"first_byte": "0.2s"})
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(client.chat("m", stream=True).__aenter__())
            await until(lambda: bool(local.calls), "not asked")
            async with client.chat("h", stream=True) as answer:
                assert answer.status == 504  # so much time has passed
            loaded.set()
        assert said(await asking.result().read()) == "loaded"

    async def test_the_end_of_a_stream_that_is_done_is_not_waited_for_as_long_as_more_of_it(
        self, chomp: Any, upstream: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def act(call: Call) -> None:
            await call.head()
            await call.chunk(b"".join(STREAM))
            await call.gone.wait()

        monkeypatch.setattr(cs, "DONE_S", 0.1)
        client = await chomp(await upstream(act), timeouts={"keepalive": "0.3s"})
        async with client.chat("m", stream=True) as answer:
            assert (await soon(answer.read())).startswith(b"".join(STREAM))
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"]) == (200, "")

    async def test_an_error_that_comes_together_with_what_follows_it_is_failed_over(
        self, chomp: Any, upstream: Any
    ) -> None:
        run = b"".join([*self._ROLE_ERROR, chat_chunk({"content": "never"}), DONE])
        client = await chomp(await upstream(streams(run)), ready := await upstream(says("from the second")))
        async with client.chat("m", stream=True) as answer:
            assert (answer.headers["x-chomp-router"], answer.headers["x-chomp-attempts"]) == (ready.id, "2")
            assert said(await answer.read()) == "from the second"

    @pytest.mark.parametrize("together", [True, False])
    async def test_a_key_in_an_error_within_a_stream_is_hidden(self, chomp: Any, upstream: Any, together: bool) -> None:
        puppet = Puppet()
        client = await chomp(router := await upstream(puppet))
        words = [chat_chunk({"content": word}) for word in ("one", "two")]
        error = b'data: {"error":{"message":"bad key key-of-%b"}}\n\n' % router.id.encode()
        raw = await Raw.to(client.port, wire(chat_body(stream=True)))
        seen = b""
        for run in [b"".join([*words, error])] if together else [*words, error]:
            puppet.tell(run)
            last = b"bad key" if run.endswith(error) else run
            seen += await soon(raw.reader.readuntil(last))  # each in a read of its own
        puppet.tell(DONE, None)
        seen += await soon(raw.reader.readuntil(b"0\r\n\r\n"))
        assert b"key-of-" not in seen
        assert seen.count(b'"content"') == 2
        raw.close()

    async def test_comments_do_not_commit_however_many_they_are(self, chomp: Any, upstream: Any) -> None:
        comments = [b": wait\n\n"] * 100
        error = b'data: {"error":{"message":"quota is gone","code":"c1"}}\n\n'
        bad, ready = await upstream(streams(*comments, error)), await upstream(says("hi there"))
        client = await chomp(bad, ready, timeouts={"hold": "0.1s"})
        async with client.chat("m", stream=True) as answer:
            body = await soon(answer.read())
        assert (said(body), b"error" in body) == ("hi there", False)
        bad.act = puppet = Puppet()
        puppet.tell(comments[0])
        async with client.chat("m", stream=True) as answer:
            assert (await soon(answer.content.readuntil(b"\n\n"))).startswith(b":")  # the head is sent
            puppet.tell(*comments, error, None)
            body = await soon(answer.read())
        assert (said(body), b"error" in body) == ("hi there", False)
        assert [row["attempts"] for row in await client.rows(2)] == [2, 2]

    async def test_a_frame_with_a_comment_in_it_is_not_shown_and_then_failed_over(
        self, chomp: Any, upstream: Any
    ) -> None:
        puppet = Puppet()
        bad, ready = await upstream(puppet), await upstream(says("hi there"))
        client = await chomp(bad, ready, timeouts={"hold": "0.2s", "keepalive": "1s"})
        puppet.tell(b": x\n" + chat_chunk({"role": "assistant", "content": ""}, id="first"))
        async with client.chat("m", stream=True) as answer:
            begun = await soon(answer.content.readuntil(b"\n\n"))
            puppet.tell(b'data: {"error":{"message":"quota is gone","code":"c1"}}\n\n', None)
            body = begun + await soon(answer.read())
        assert (b'"first"' in body) != (said(body) == "hi there")
        assert (b'"first"' in body) == (b"quota is gone" in body)  # what was shown is final

    # -- answers that are no stream, to requests for one

    @pytest.mark.parametrize("size", [100, 1_500_000])
    async def test_an_answer_instead_of_a_stream_stays_whole_when_it_pauses(
        self, chomp: Any, upstream: Any, size: int
    ) -> None:
        puppet, body = Puppet("application/json"), chat_answer("x" * size)
        small = size < 1 << 20
        times = {"hold": "0.2s"} if small else {"hold": "0.2s", "keepalive": "0.5s"}
        client = await chomp(await upstream(puppet), await upstream(fails(400)), timeouts=times)
        puppet.tell(body[:-50])
        asking = asyncio.ensure_future(client.chat("m", stream=True).__aenter__())
        await soon(puppet.asked.wait())
        if not small:
            await soon(asking)  # it is passed on
        await asyncio.sleep(0.8)  # past the limits of a stream
        puppet.tell(body[-50:], None)
        answer = await soon(asking)
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert await soon(answer.read()) == body
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"], row["prompt_tokens"]) == (200, "", 7)

    async def test_an_answer_instead_of_a_stream_becomes_one_when_comments_went_out(
        self, chomp: Any, upstream: Any
    ) -> None:
        puppet = Puppet("application/json")
        client = await chomp(await upstream(puppet), timeouts={"keepalive": "0.1s"})
        async with client.chat("m", stream=True) as answer:
            assert (await soon(answer.content.readuntil(b"\n\n"))).startswith(b":")
            puppet.tell(chat_answer("hello\nthere"), None)
            body = await soon(answer.read())
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
        chunk, done = frames(body)
        assert (chunk["object"], done) == ("chat.completion.chunk", "[DONE]")
        (choice,) = chunk["choices"]
        assert (choice["delta"]["content"], choice["finish_reason"]) == ("hello\nthere", "stop")
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"]) == (200, "")
        assert (row["prompt_tokens"], row["completion_tokens"], row["estimated"]) == (7, 2, 0)

    @pytest.mark.parametrize("apart", [False, True])
    async def test_the_end_of_a_stream_that_is_done_comes_soon(
        self, chomp: Any, upstream: Any, monkeypatch: pytest.MonkeyPatch, apart: bool
    ) -> None:
        monkeypatch.setattr(cs, "DONE_S", 0.1)

        async def act(call: Call) -> None:
            await call.head()
            pieces = [chat_chunk({"content": "hi"}), chat_chunk({}, "stop"), DONE]
            for piece in pieces if apart else [b"".join(pieces)]:
                await call.chunk(piece)
                await asyncio.sleep(0.02)  # a read of its own
            await silent(call)

        client = await chomp(await upstream(act))
        async with asyncio.timeout(5):  # as ever: 10 s until anything else would look
            async with client.chat("m", stream=True) as answer:
                assert said(await answer.read()) == "hi"

    @pytest.mark.parametrize("ending", ["cut", "silence"])
    async def test_a_stream_that_is_done_ends_properly_however_its_connection_ends(
        self, chomp: Any, upstream: Any, ending: str
    ) -> None:
        async def act(call: Call) -> None:
            await call.head()
            for piece in STREAM:
                await call.chunk(piece)
            if ending == "cut":
                call._writer.close()  # without a last chunk
            else:
                await call.gone.wait()

        client = await chomp(router := await upstream(act), timeouts={"idle": "0.3s"})
        for _ in range(cs.BREAKER_FAILURES):
            async with client.chat("m", stream=True) as answer:
                assert await soon(answer.read()) == b"".join(STREAM)
        rows = await client.rows(cs.BREAKER_FAILURES)
        assert {(row["status"], row["error_type"]) for row in rows} == {(200, "")}
        assert (await state_of(client, router.id))["breaker"] == "closed"

    # -- failover

    _ROLE_ERROR = (chat_chunk({"role": "assistant"}), b'data: {"error":{"message":"overloaded","code":503}}\n\n')
    FAILURES: dict[str, Any] = {
        **{str(status): fails(status) for status in (401, 402, 403, 404, 408, 429, 500, 502, 503, 504, 529)},
        "cut before the head": None,  # made below
        "silence": silent,
        "200 with an error": fails(200, b'{"error":{"message":"provider is down","code":502}}'),
        "200 without choices": fails(200, b'{"id":"x","object":"chat.completion","choices":[]}'),
        "an error frame": streams(*_ROLE_ERROR),
        "an empty stream": streams(),
        "not HTTP": None,
        "nobody listens": None,
    }

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("fallback", [True, False])
    @pytest.mark.parametrize("failure", FAILURES)
    async def test_failover_is_decided_alike_for_streams_and_answers(
        self, chomp: Any, upstream: Any, failure: str, fallback: bool, stream: bool
    ) -> None:
        async def cut(call: Call) -> None:
            call.cut()

        async def garbage(call: Call) -> None:
            await call.send(b"SSH-2.0-OpenSSH\r\n\r\n")

        bad, ready = (
            await upstream(self.FAILURES[failure] or (garbage if failure == "not HTTP" else cut)),
            await upstream(),
        )
        if failure == "nobody listens":
            await bad.stop()
        client = await chomp(bad, ready, timeouts={"first_byte": "0.3s", "answer": "0.3s"})
        headers = {} if fallback else {"x-chomp-no-fallback": "1"}
        async with client.chat("m", stream=stream, headers=headers) as answer:
            body = await soon(answer.read())
        if fallback:
            assert (answer.status, answer.headers["x-chomp-router"]) == (200, ready.id)
            assert answer.headers["x-chomp-attempts"] == "2"
            assert b"error" not in body
            assert len(ready.calls) == 1
        else:
            assert answer.status >= 400
            (attempt,) = is_openai_error(body)["attempts"]
            assert attempt["router"] == bad.id
            assert ready.calls == []
            assert failure not in ("401", "402", "403", "404", "429") or answer.status == int(failure)
        assert len(bad.calls) == (failure != "nobody listens")
        (row,) = await client.rows(1)
        assert (row["router"], row["attempts"], row["status"]) == (
            (ready.id, 2, 200) if fallback else (bad.id, 1, answer.status)
        )

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("failure", ["503", "silence", "200 with an error", "200 without choices"])
    async def test_an_aliases_next_model_is_tried_on_the_same_router(
        self, chomp: Any, upstream: Any, failure: str, stream: bool
    ) -> None:
        async def act(call: Call) -> None:
            await (self.FAILURES[failure] if call.json["model"] == "bad" else says())(call)

        router = await upstream(act)
        client = await chomp(
            router,
            aliases={"x": [f"{router.id}/bad", f"{router.id}/good"]},
            timeouts={"first_byte": "0.3s", "answer": "0.3s"},
        )
        async with client.chat("x", stream=stream) as answer:
            assert answer.status == 200, await answer.text()
            assert (answer.headers["x-chomp-model"], answer.headers["x-chomp-attempts"]) == ("good", "2")
            await soon(answer.read())
        assert [call.json["model"] for call in router.calls] == ["bad", "good"]

    async def test_a_router_out_of_reach_is_not_tried_with_its_other_models(self, chomp: Any, upstream: Any) -> None:
        dead, ready = await upstream(), await upstream()
        await dead.stop()
        client = await chomp(dead, ready, aliases={"x": [f"{dead.id}/a", f"{dead.id}/b", ready.model]})
        async with client.chat("x") as answer:
            assert (answer.headers["x-chomp-router"], answer.headers["x-chomp-attempts"]) == (ready.id, "2")

    @pytest.mark.parametrize("stream", [False, True])
    async def test_an_error_whose_body_stalls_is_failed_over_soon(
        self, chomp: Any, upstream: Any, stream: bool
    ) -> None:
        async def act(call: Call) -> None:
            await call.send(http_answer(b'{"error":', JSON_LINE, "content-length: 500", status=500))
            await call.gone.wait()

        client = await chomp(bad := await upstream(act), ready := await upstream())
        async with asyncio.timeout(10), client.chat("m", stream=stream) as answer:  # others wait for minutes
            assert (answer.status, answer.headers["x-chomp-router"]) == (200, ready.id)
            await answer.read()
        await soon(bad.calls[0].gone.wait())

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("body", [b"not gzip", gzip.compress(b'{"error":{"message":"no"}}')], ids=["torn", "gzip"])
    @pytest.mark.parametrize("status", [429, 400])
    async def test_an_error_with_an_encoded_body_keeps_its_status(
        self, chomp: Any, upstream: Any, status: int, body: bytes, stream: bool
    ) -> None:
        headers = [("content-encoding", "gzip"), ("retry-after", "7")]
        bad, other = await upstream(fails(status, body, headers)), await upstream()
        client = await chomp(bad, other)
        async with client.chat(bad.model if status == 429 else "m", stream=stream) as answer:
            assert answer.status == status
            is_openai_error(await answer.read())
            assert status != 429 or answer.headers["retry-after"] == "7"
        assert (len(bad.calls), len(other.calls)) == (1, 0)

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("status", [400, 413, 422])
    async def test_a_bad_request_is_not_tried_elsewhere(
        self, chomp: Any, upstream: Any, status: int, stream: bool
    ) -> None:
        bad, other = await upstream(fails(status)), await upstream()
        client = await chomp(bad, other)
        async with client.chat("m", stream=stream) as answer:
            assert answer.status == status
            error = is_openai_error(await answer.read())
        assert (error["message"], error["code"]) == (f"no, {status}", f"c{status}")
        assert (len(bad.calls), len(other.calls)) == (1, 0)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_prompt_that_was_refused_is_not_tried_elsewhere(
        self, chomp: Any, upstream: Any, stream: bool
    ) -> None:
        bad, other = await upstream(fails(403, MODERATION)), await upstream()
        client = await chomp({**bad.router, "keys": ["key-one-1", "key-two-2"]}, other)
        for count in (1, 2):  # nothing rests
            async with client.chat("m", stream=stream) as answer:
                assert answer.status == 403
                assert "requires moderation" in is_openai_error(await answer.read())["message"]
            assert (len(bad.calls), len(other.calls)) == (count, 0)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_400_about_the_models_name_is_tried_elsewhere(
        self, chomp: Any, upstream: Any, stream: bool
    ) -> None:
        error = {"message": "The model m does not exist", "type": "invalid_request_error", "code": "model_not_found"}
        bad, ready = await upstream(fails(400, json.dumps({"error": error}).encode())), await upstream()
        client = await chomp(bad, ready)
        async with client.chat("m", stream=stream) as answer:
            assert (answer.status, answer.headers.get("x-chomp-router")) == (200, ready.id)
        assert (len(bad.calls), len(ready.calls)) == (1, 1)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_empty_answers_count_against_the_router(self, chomp: Any, upstream: Any, stream: bool) -> None:
        bad = await upstream(streams() if stream else fails(200, b'{"choices":[]}'))
        client = await chomp(bad)
        for _ in range(cs.BREAKER_FAILURES):
            async with client.chat("m", stream=stream) as answer:
                error = is_openai_error(await answer.read())
                assert (answer.status, error["code"]) == (502, "empty_response")
        async with client.get("/status") as answer:
            (shown,) = [one for one in (await answer.json())["routers"] if one["id"] == bad.id]
        assert shown["breaker"] == "open"

    # -- errors

    STATUS = {"zen-401-modelerror": 404, "zen-400-upstream-failed": 502, "openrouter-200-error": 502,
              "empty-choices-json": 502, "together-400-rate-limit": 429}  # fmt: skip

    @pytest.mark.parametrize("stream", [False, True])
    @named(ERRORS)
    async def test_every_error_body_is_understood(
        self, chomp: Any, upstream: Any, fixture: Fixture, stream: bool
    ) -> None:
        async def act(call: Call) -> None:
            await call.whole(fixture.body, fixture.status, fixture.content_type, fixture.headers)

        router = await upstream(act)
        client = await chomp(router)
        async with client.chat(router.model, stream=stream) as answer:
            error = is_openai_error(await answer.read())
            assert answer.status == self.STATUS.get(fixture.name, fixture.status)
        assert fixture.error is not None
        assert " ".join(fixture.error.split()) in error["message"]  # on one line
        assert fixture.code is None or error["code"] == fixture.code
        (attempt,) = error["attempts"]
        assert (attempt["router"], attempt["model"], attempt["status"]) == (router.id, "m", answer.status)
        assert 0 <= attempt["ms"] < 20_000

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("statuses", "expected"),
        [
            ((429, 429), 429), ((500, 500), 502), ((500, 503), 502), ((503, 504, 529), 502), ((429, 503), 429),
            ((503, 429), 429), ((402, 500), 402), ((500, 401), 401), ((404, 500), 404), ((401, 429), 429),
            ((429, 402), 402), ((402, 401, 500), 401),
        ],
    )  # fmt: skip
    async def test_when_all_fail_the_client_hears_what_it_can_act_on(
        self, chomp: Any, upstream: Any, statuses: Sequence[int], expected: int, stream: bool
    ) -> None:
        routers = [await upstream(fails(status)) for status in statuses]
        client = await chomp(*routers)
        async with client.chat("m", stream=stream) as answer:
            error = is_openai_error(await answer.read())
            assert answer.status == expected
        assert [(one["router"], one["status"]) for one in error["attempts"]] == [
            (router.id, status) for router, status in zip(routers, statuses, strict=True)
        ]

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("told", [0, 1])
    async def test_an_error_says_whose_it_is(self, chomp: Any, upstream: Any, told: int, stream: bool) -> None:
        def limited(status: int, left: str) -> Act:
            return fails(status, headers=[("x-ratelimit-remaining-requests", left)])

        routers = [await upstream(limited(429 if n == told else 503, str(n))) for n in range(2)]
        client = await chomp(*routers)
        async with client.chat("m", stream=stream) as answer:
            got = answer.headers
            assert answer.status == 429
        assert (got.get("x-chomp-router"), got.get("x-chomp-model")) == (routers[told].id, "m")
        assert (got.get("x-chomp-attempts"), got.get("x-ratelimit-remaining-requests")) == ("2", str(told))
        assert float(got["x-chomp-overhead-ms"]) >= 0

    @pytest.mark.parametrize("stream", [False, True])
    async def test_the_wait_told_counts_those_that_were_benched_before(
        self, chomp: Any, upstream: Any, stream: bool
    ) -> None:
        first, second = [await upstream(fails(429, headers=[("retry-after", wait)])) for wait in ("3", "50")]
        client = await chomp(first, second, clock=Clock())
        for model, calls in ((first.model, 0), ("m", 1)):
            async with client.chat(model, stream=stream) as answer:
                assert (answer.status, answer.headers["retry-after"]) == (429, "3")
            assert (len(first.calls), len(second.calls)) == (1, calls)

    async def test_an_overloaded_routers_wait_is_told(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(await upstream(fails(503, headers=[("retry-after", "6.2")])), clock=Clock())
        async with client.chat("m") as answer:
            assert (answer.status, answer.headers["retry-after"]) == (503, "7")
            assert answer.headers["x-should-retry"] == "true"

    async def test_an_errors_own_type_and_param_are_told(self, chomp: Any, upstream: Any) -> None:
        shown = {"message": "no", "type": "its_own", "param": "tools", "code": "c"}
        client = await chomp(await upstream(fails(400, json.dumps({"error": shown}).encode())))
        async with client.chat("m") as answer:
            error = is_openai_error(await answer.read())
        assert error.items() >= shown.items()

    async def test_an_attempt_tells_how_long_it_took(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(await upstream(silent), timeouts={"answer": "0.3s"})
        async with client.chat("m") as answer:
            (attempt,) = is_openai_error(await answer.read())["attempts"]
        assert (answer.status, attempt["ms"] >= 300) == (504, True)

    async def test_no_fallback_is_for_its_own_request_only(self, chomp: Any, upstream: Any) -> None:
        first, second = await upstream(), await upstream()
        client = await chomp(first, second)
        async with client.chat("m", headers={"x-chomp-no-fallback": "1"}) as answer:
            assert answer.headers["x-chomp-router"] == first.id
        first.act = fails(500)
        for headers in ({"x-chomp-no-fallback": "false"}, {"x-chomp-no-fallback": "0"}, {}):
            async with client.chat("m", headers=headers) as answer:
                assert (answer.status, answer.headers["x-chomp-router"]) == (200, second.id)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_pinned_model_tries_its_keys_then_fails_with_its_own_error(
        self, chomp: Any, upstream: Any, stream: bool
    ) -> None:
        pinned, other = await upstream(fails(401)), await upstream()
        client = await chomp({**pinned.router, "keys": ["key-one-1", "key-two-2"]}, other)
        async with client.chat(pinned.model, stream=stream) as answer:
            assert answer.status == 401
            error = is_openai_error(await answer.read())
        assert [call.headers["authorization"] for call in pinned.calls] == ["Bearer key-one-1", "Bearer key-two-2"]
        assert "no, 401" in error["message"]
        assert pinned.id in error["message"]
        assert len(error["attempts"]) == 2
        assert other.calls == []

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("status", [401, 402, 403, 429])
    async def test_a_second_key_is_tried_before_another_router(
        self, chomp: Any, upstream: Any, status: int, stream: bool
    ) -> None:
        async def act(call: Call) -> None:
            await (fails(status) if call.headers["authorization"] == "Bearer key-one-1" else says())(call)

        router, other = await upstream(act), await upstream()
        client = await chomp({**router.router, "keys": ["key-one-1", "key-two-2"]}, other)
        async with client.chat("m", stream=stream) as answer:
            assert answer.headers["x-chomp-router"] == router.id
            assert answer.headers["x-chomp-attempts"] == "2"
        assert other.calls == []

    # -- framing towards the client

    async def test_a_large_answer_passes_through(self, chomp: Any, upstream: Any) -> None:
        body = chat_answer("x" * (3 << 20))

        async def act(call: Call) -> None:
            await call.whole(body)

        client = await chomp(await upstream(act))
        async with client.chat("m") as answer:
            assert await soon(answer.read()) == body
        (row,) = await client.rows(1)
        assert (row["status"], row["prompt_tokens"], row["estimated"]) == (200, 7, 0)

    async def test_a_large_answer_that_is_cut_aborts_the_connection(self, chomp: Any, upstream: Any) -> None:
        puppet = Puppet("application/json")
        client = await chomp(await upstream(puppet))
        puppet.tell(b'{"id":"' + b"x" * (3 << 20))
        raw = await Raw.to(client.port, wire(chat_body()))
        status, headers = await raw.head()
        assert (status, headers["transfer-encoding"]) == (200, "chunked")
        await soon(raw.reader.readexactly(1 << 20))
        puppet.tell("cut")
        assert not (await raw.eof()).endswith(b"0\r\n\r\n")
        (row,) = await client.rows(1)
        assert (row["status"], row["estimated"], row["completion_tokens"] > 100_000) == (502, 1, True)

    async def test_an_image_in_a_request_is_not_counted_as_words(self, chomp: Any, upstream: Any) -> None:
        url = "data:image/png;base64," + "A" * 4_000_000
        parts = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": url}}]
        client = await chomp(await upstream(streams(chat_chunk({"content": "a cat"}, "stop"), DONE)))
        body = chat_body(stream=True, messages=[{"role": "user", "content": parts}])
        async with client.post("/v1/chat/completions", data=body) as answer:
            assert said(await soon(answer.read())) == "a cat"
        (row,) = await client.rows(1)
        assert (row["estimated"], 0 < row["prompt_tokens"] < 20_000) == (1, True), row["prompt_tokens"]

    async def test_a_cut_answer_is_never_taken_for_whole(self, chomp: Any, upstream: Any) -> None:
        async def act(call: Call) -> None:
            await call.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{")
            call.cut()

        client = await chomp(await upstream(act))
        async with client.chat("m") as answer:
            assert answer.status == 502
            is_openai_error(await answer.read())

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("headers", [[], [("connection", "keep-alive")]], ids=["plain", "keep-alive"])
    async def test_an_http_1_0_client_gets_no_chunks_and_a_close(
        self, chomp: Any, upstream: Any, headers: Any, stream: bool
    ) -> None:
        client = await chomp(await upstream(says("hi there")))
        raw = await Raw.to(client.port, wire(chat_body(stream=stream), version="1.0", headers=headers))
        status, headers = await raw.head()
        assert status == 200
        assert "transfer-encoding" not in headers
        assert headers["connection"] == "close"
        body = await raw.eof()
        assert said(body) == "hi there" if stream else body == chat_answer("hi there")

    async def test_a_client_that_pipelines_much_and_leaves_frees_the_upstream(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(router := await upstream(silent))
        raw = await Raw.to(client.port, wire(chat_body()))
        await until(lambda: bool(router.calls), "not asked")
        raw.writer.write(wire(b"z" * 200_000, length=300_000))
        for _ in range(5):  # until chomp has read what it wants to read
            async with client.get("/health") as answer:
                assert answer.status == 200
        raw.close()
        await soon(router.calls[0].gone.wait())
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"]) == (499, "caller_cancelled")

    async def test_a_client_that_pipelines_without_end_is_not_read_without_end(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(router := await upstream(silent))
        raw = await Raw.to(client.port, wire(chat_body()))
        await until(lambda: bool(router.calls), "not asked")
        taken = 0
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(5):  # one way in cuts it off, the other reads no more
                while taken < 64 << 20:
                    raw.writer.write(b"z" * 65536)
                    await raw.writer.drain()
                    taken += 65536
        assert taken < 32 << 20
        raw.close()

    @pytest.mark.parametrize("stream", [False, True])
    async def test_connection_close_is_honoured(self, chomp: Any, upstream: Any, stream: bool) -> None:
        client = await chomp(await upstream())
        raw = await Raw.to(client.port, wire(chat_body(stream=stream), headers=[("connection", "close")]))
        status, headers, _ = await raw.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await raw.eof() == b""

    async def test_a_connection_serves_request_after_request(self, chomp: Any, upstream: Any) -> None:
        router = await upstream(says("hi there"))
        client = await chomp(router)
        raw = await Raw.to(client.port)
        for stream in (True, False, True, True, False):
            raw.writer.write(wire(chat_body(stream=stream)))
            status, headers, body = await raw.answer()
            assert (status, "connection" in headers) == (200, False)
            assert said(body) == "hi there" if stream else body == chat_answer("hi there")
        raw.close()
        assert router.connections <= 2  # one for the model list; the pool keeps the other

    async def test_each_request_of_a_connection_is_accounted_for_before_the_next(
        self, chomp: Any, upstream: Any
    ) -> None:
        client = await chomp(await upstream())
        raw = await Raw.to(client.port)
        for count in range(1, 4):  # all but the first wait for nothing
            raw.writer.write(wire(chat_body(stream=True)))
            await raw.answer()
            await until(lambda: client.services.bodies.held == client.services.proxy.inflight == 0, "still counted")
            rows = await client.rows(count)
            assert [(row["status"], row["prompt_tokens"]) for row in rows] == [(200, 7)] * count
        raw.close()

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_failure_of_a_router_asked_at_once_is_failed_over(
        self, chomp: Any, upstream: Any, stream: bool
    ) -> None:
        async def act(call: Call) -> None:
            await (says() if call is bad.calls[0] else fails(500))(call)

        client = await chomp(bad := await upstream(act), ready := await upstream())
        raw = await Raw.to(client.port)
        for router in (bad, ready):
            raw.writer.write(wire(chat_body(stream=stream)))
            status, headers, _ = await raw.answer()
            assert (status, headers["x-chomp-router"]) == (200, router.id)
        raw.close()

    async def test_a_slow_client_of_an_upstream_asked_at_once_gets_everything(self, chomp: Any, upstream: Any) -> None:
        frame, total = chat_chunk({"content": "x" * 50_000}), 400

        async def act(call: Call) -> None:
            if call is router.calls[0]:
                await says()(call)
            else:
                await streams(*[frame] * total, FINISH, DONE)(call)

        client = await chomp(router := await upstream(act))
        raw = await Raw.to(client.port, wire(chat_body(stream=True)), limit=1 << 16)
        await raw.answer()
        raw.writer.write(wire(chat_body(stream=True)))
        async with asyncio.timeout(PATIENCE_S):
            _, _, body = await raw.answer()
        assert body == frame * total + FINISH + DONE
        raw.close()

    async def test_a_request_refused_at_once_costs_no_connection(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(router := await upstream())
        raw = await Raw.to(client.port)
        for options, status in (({}, 200), (5, 400), ({}, 200)):
            raw.writer.write(wire(chat_body(stream=True, stream_options=options)))
            assert (await raw.answer())[0] == status
            connections = router.connections
        assert (len(router.calls), connections) == (2, 1)
        raw.close()

    async def test_a_request_pipelined_in_pieces_is_answered(self, chomp: Any, upstream: Any) -> None:
        puppet = Puppet()

        async def act(call: Call) -> None:
            await (puppet if call is router.calls[0] else says("second"))(call)

        client = await chomp(router := await upstream(act))
        raw = await Raw.to(client.port, wire(chat_body(stream=True)))
        await soon(puppet.asked.wait())
        second = wire(chat_body())
        for piece in (second[:30], second[30:], b"", b"", b""):
            raw.writer.write(piece)
            async with client.get("/health") as answer:  # until it has been read
                assert answer.status == 200
        assert len(router.calls) == 1  # one after the other
        puppet.tell(chat_chunk({"content": "first"}, "stop"), DONE, None)
        assert said((await raw.answer())[2]) == "first"
        assert (await raw.answer())[2] == chat_answer("second")
        async with client.get("/health") as answer:
            assert answer.status == 200
        assert len(router.calls) == 2
        raw.close()

    async def test_a_request_whose_first_bytes_come_with_the_one_before_is_answered(
        self, chomp: Any, upstream: Any
    ) -> None:
        client = await chomp(await upstream())
        data = wire(chat_body())
        raw = await Raw.to(client.port, data + data[:2])
        assert (await raw.answer())[0] == 200
        raw.writer.write(data[2:])
        assert (await raw.answer())[0] == 200
        raw.close()

    async def test_pipelined_requests_are_answered_in_order(self, chomp: Any, upstream: Any) -> None:
        async def act(call: Call) -> None:
            await says(call.json["messages"][0]["content"])(call)

        client = await chomp(await upstream(act))
        asked = [(f"answer {n}", bool(n % 2)) for n in range(4)]
        bodies = [
            json.dumps({"model": "m", "stream": stream, "messages": [{"role": "user", "content": text}]}).encode()
            for text, stream in asked
        ]
        raw = await Raw.to(client.port, b"".join(wire(body) for body in bodies))
        for text, stream in asked:
            _, _, body = await raw.answer()
            assert said(body) == text if stream else body == chat_answer(text)
        raw.close()

    # -- other endpoints

    @pytest.mark.parametrize("stream", [False, True])
    async def test_completions_go_the_same_way(self, chomp: Any, upstream: Any, stream: bool) -> None:
        piece = (
            b'data: {"id":"c","object":"text_completion","choices":[{"index":0,"text":"hi","finish_reason":null}]}\n\n'
        )
        last = (
            b'data: {"id":"c","object":"text_completion","choices":[{"index":0,"text":"","finish_reason":"stop"}]}\n\n'
        )
        counted = (
            b'data: {"id":"c","object":"text_completion","choices":[],"usage":%b}\n\n' % json.dumps(USAGE).encode()
        )
        whole = b'{"id":"c","object":"text_completion","choices":[{"index":0,"text":"hi","finish_reason":"stop"}],"usage":%b}'
        whole %= json.dumps(USAGE).encode()

        async def act(call: Call) -> None:
            await (streams(piece, piece, last, counted, DONE)(call) if stream else call.whole(whole))

        busy, router = await upstream(fails(503)), await upstream(act)
        client = await chomp(busy, router)
        async with client.post("/v1/completions", json={"model": "m", "prompt": "say hi", "stream": stream}) as answer:
            assert await answer.read() == (piece + piece + last + DONE if stream else whole)
        assert router.calls[0].path == "/v1/completions"
        (row,) = await client.rows(1)
        assert (row["api"], row["prompt_tokens"], row["completion_tokens"]) == ("completions", 7, 2)
        assert (row["attempts"], row["estimated"], row["stream"]) == (2, 0, int(stream))

    async def test_embeddings_go_the_same_way(self, chomp: Any, upstream: Any) -> None:
        whole = b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10,-1e-7]}],"model":"m","usage":{"prompt_tokens":5,"total_tokens":5}}'

        async def act(call: Call) -> None:
            await call.whole(whole)

        busy, router = await upstream(fails(429)), await upstream(act)
        client = await chomp(busy, router)
        body = b'{"model":"m","input":["a",  "b"],"encoding_format":"float"}'
        async with client.post("/v1/embeddings", data=body) as answer:
            assert await answer.read() == whole
        assert (router.calls[0].path, router.calls[0].body) == ("/v1/embeddings", body)
        (row,) = await client.rows(1)
        assert (row["api"], row["prompt_tokens"], row["completion_tokens"], row["estimated"]) == ("embeddings", 5, 0, 0)

    # -- many and slow

    async def test_a_slow_client_slows_only_its_own_upstream(self, chomp: Any, upstream: Any) -> None:
        frame = chat_chunk({"content": "x" * 50_000})
        total, sent = 1000, [0]

        async def act(call: Call) -> None:
            if not call.streams:
                await says()(call)
                return
            await call.head()
            for _ in range(total):
                await call.chunk(frame)
                sent[0] += 1
            await call.chunk(chat_chunk({}, "stop") + DONE)
            await call.end()

        client = await chomp(await upstream(act))
        slow = await Raw.to(client.port)
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        slow.writer.write(wire(chat_body(stream=True)))
        still, before = 0, -1
        while still < 50:  # until the upstream stands still while others are served
            async with client.chat("m") as answer:
                assert (await soon(answer.json()))["choices"]
            still = still + 1 if sent[0] == before > 0 else 0
            before = sent[0]
        assert sent[0] * len(frame) < 30 << 20  # of 50 MB; the rest of it is in the kernel's buffers
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
        status, headers = await slow.head()
        digest, wanted = hashlib.sha256(await slow.body(headers)), hashlib.sha256(frame * total)
        wanted.update(chat_chunk({}, "stop") + DONE)
        assert (status, digest.digest()) == (200, wanted.digest())
        slow.close()

    async def test_a_client_that_reads_nothing_is_dropped_after_a_limit(self, chomp: Any, upstream: Any) -> None:
        async def act(call: Call) -> None:
            await call.head()
            with contextlib.suppress(ConnectionError):
                while not call.gone.is_set():
                    await call.chunk(chat_chunk({"content": "x" * 50_000}))

        client = await chomp(router := await upstream(act), timeouts={"stalled": "0.5s"})
        slow = await Raw.to(client.port)
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        slow.writer.write(wire(chat_body(stream=True)))
        await until(lambda: bool(router.calls), "not asked")
        await soon(router.calls[0].gone.wait())
        await client.rows(1)
        assert client.services.proxy.inflight == 0
        slow.close()

    async def test_a_thousand_streams_at_once(self, chomp: Any) -> None:
        count = 1000
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < 5 * count:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(5 * count, hard), hard))
        waiting: list[tuple[asyncio.Transport, str]] = []
        all_here = asyncio.Event()

        class Served(asyncio.Protocol):
            """Begins a stream for each request, and goes on once all are here."""

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.transport, self.came = transport, b""

            def data_received(self, data: bytes) -> None:
                self.came += data
                if not self.came.endswith(b"}") or b'"messages"' not in self.came:
                    return
                text = re.search(rb'"content":\s*"(\w+)"', self.came)
                assert text is not None
                frame = chat_chunk({"content": text[1].decode()})
                self.transport.write(  # type: ignore[attr-defined]
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                    b"%x\r\n%b\r\n" % (len(frame), frame)
                )
                waiting.append((self.transport, text[1].decode()))  # type: ignore[arg-type]
                if len(waiting) == count:
                    all_here.set()

        server = await asyncio.get_running_loop().create_server(Served, "127.0.0.1", 0, backlog=2048)
        port = server.sockets[0].getsockname()[1]
        router = {"id": "crowd", "base_url": f"http://127.0.0.1:{port}/v1", "keys": ["key-of-crowd"], "models": ["m"]}
        client = await chomp(router, timeouts={"connect": "60s"})
        doors = asyncio.Semaphore(50)

        async def one(n: int) -> bytes:
            body = json.dumps(
                {"model": "crowd/m", "stream": True, "messages": [{"role": "user", "content": f"w{n}"}]}
            ).encode()
            async with doors:
                raw = await Raw.to(client.port, wire(body))
                status, _ = await raw.head()
            assert status == 200
            parts = []
            while True:
                size = int(await raw.reader.readuntil(b"\r\n"), 16)
                part = await raw.reader.readexactly(size + 2)
                if not size:
                    break
                parts.append(part[:-2])
            raw.close()
            return b"".join(parts)

        clients = [asyncio.ensure_future(one(n)) for n in range(count)]
        try:
            await asyncio.wait_for(all_here.wait(), 60)
            assert client.services.proxy.inflight == count
            for transport, text in waiting:
                rest = chat_chunk({"content": f"{text}-again"}) + chat_chunk({}, "stop") + DONE
                transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(rest), rest))
            bodies = await asyncio.wait_for(asyncio.gather(*clients), 60)
        finally:
            for task in clients:
                task.cancel()
            server.close()
            for transport, _ in waiting:
                transport.abort()
        assert [said(body) for body in bodies] == [f"w{n} w{n}-again" for n in range(count)]
        rows = await client.rows(count)
        assert (len(rows), {row["status"] for row in rows}) == (count, {200})
        assert client.services.proxy.inflight == 0


# == Dispatch ==========================================================================================================


BWRAP = shutil.which("bwrap")
BWRAP_FLAGS = (
    "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net",
    "--unshare-user", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL",
    "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc",
)  # fmt: skip


def bwrap_works() -> bool:
    return BWRAP is not None and subprocess.run([BWRAP, *BWRAP_FLAGS, "true"], capture_output=True).returncode == 0


class Repositories:
    """Git, and folders of tasks, without anything of the machine's own configuration."""

    def __init__(self, tmp: Path, sandbox: bool = False):
        self.tmp = tmp
        self.work = tmp / "chomp" / "state" / "work"
        self.work.mkdir(parents=True)
        home = tmp / "home"
        home.mkdir()
        (home / ".gitconfig").write_text(
            "[user]\nname = The Owner\nemail = owner@example.org\n[init]\ndefaultBranch=main\n"
        )
        self.env = {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
        self.tasks = cs.TaskSettings()
        self.launches: list[cs.Launch] = []
        self.sandbox = sandbox
        self.folders = cs.Folders(self.work, self.settings, self.run, self.sandboxed)

    def settings(self) -> cs.Settings:
        return cs.Settings(dir=self.tmp / "chomp", environ=self.env, tasks=self.tasks)

    @staticmethod
    def sandboxed(argv: Any, cwd: Path, env: dict[str, str], writable: Any) -> cs.Launch:
        return cs.Launch(argv, cwd, env, "bubblewrap", writable)

    def wrapped(self, launch: cs.Launch) -> tuple[str, ...]:
        """The sandbox for real: all that is chomp's is hidden but what the launch shows."""
        if launch.level == "none" or not self.sandbox:
            return launch.argv
        flags = ["--tmpfs", str(self.work)]
        for path in launch.readable:
            flags += ["--ro-bind", str(path), str(path)]
        for path in launch.writable:
            flags += ["--bind", str(path), str(path)]
        return (BWRAP or "", *BWRAP_FLAGS, *flags, "--chdir", str(launch.cwd), "--", *launch.argv)

    async def run(self, launch: cs.Launch, limit_s: float, most_bytes: int) -> tuple[int | None, bytes]:
        self.launches.append(launch)
        child = await asyncio.create_subprocess_exec(
            *self.wrapped(launch), cwd=launch.cwd, env=launch.env, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(limit_s):
                output, _ = await child.communicate()
        except TimeoutError:
            child.kill()
            await child.wait()
            return None, b""
        return child.returncode, output[:most_bytes]

    def git(self, path: Path, *words: str, **more: str) -> str:
        done = subprocess.run(["git", *words], cwd=path, env={**self.env, **more}, capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout.strip()

    def has(self, path: Path, name: str) -> bool:
        return bool(self.git(path, "for-each-ref", f"refs/heads/{name}"))

    def source(self, name: str = "project", **files: str) -> Path:
        """A repository with one commit."""
        path = self.tmp / name
        path.mkdir(parents=True)
        self.git(path, "init", "-q")
        self.commit(path, "first", **(files or {"README": "hello\n"}))
        return path

    def commit(self, path: Path, subject: str, **files: str) -> str:
        """A commit's name; `__` in a file's name stands for a folder."""
        for name, text in files.items():
            file = path / name.replace("__", "/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            self.git(path, "add", "-f", "--", str(file))
        self.git(path, "commit", "-q", "--allow-empty", "-m", subject)
        return self.git(path, "rev-parse", "HEAD")

    def as_agent(self, folder: cs.Folder, *words: str) -> str:
        """Git as an agent runs it, whose home is empty."""
        return self.git(folder.path, *words, HOME="/nonexistent", **folder.env)

    @staticmethod
    def task(task_id: str = "7", **more: Any) -> cs.Task:
        given = {
            "prompt": "p",
            "dir": "",
            "status": "active",
            "created": cs.iso(0),
            "result": "",
            "platform": "a",
            "tokens": 0,
        }
        return cs.Task(**{**given, "id": task_id, **{k: str(v) if isinstance(v, Path) else v for k, v in more.items()}})

    async def prepare(self, task: cs.Task, name: str = "Claude Code", model: str = "fake/model-1") -> cs.Folder:
        return await self.folders.prepare(task, cs.Platform(id="a", name=name), model)

    async def cloned(self, source: Path, **more: Any) -> tuple[cs.Task, cs.Folder]:
        task = self.task(dir=source, **more)
        return task, await self.prepare(task)

    async def refused(self, **more: Any) -> str:
        """The sentence a task's folder is refused with, which must come at once."""
        began = time.monotonic()
        with pytest.raises(cs.BadRequest) as caught:
            await self.prepare(self.task(**more))
        assert time.monotonic() - began < 20  # 2 are promised, the machine may be busy
        left = [path.name for path in self.folders.place(self.task(**more)).glob("*")]
        assert set(left) <= {".folder.json"}, "half a folder was left behind"
        return caught.value.message


@pytest.fixture
def repos(tmp_path: Path) -> Repositories:
    return Repositories(tmp_path)


@pytest.fixture
def caged(tmp_path: Path) -> Repositories:
    """The same with a real sandbox."""
    if not bwrap_works():
        pytest.skip("bubblewrap does not work here")
    return Repositories(tmp_path, sandbox=True)


class TestFolders:
    # -- made

    async def test_a_task_without_a_folder_gets_an_empty_one_of_its_own(self, repos: Repositories) -> None:
        task = repos.task()
        folder = await repos.prepare(task)
        assert (folder.kind, folder.path) == ("empty", repos.work / "task-7" / "files")
        assert list(folder.path.iterdir()) == [] and repos.launches == []
        (folder.path / "kept").touch()
        assert await repos.prepare(task) == folder
        assert (folder.path / "kept").exists()

    async def test_a_folder_outside_of_repositories_is_worked_in_itself(self, repos: Repositories) -> None:
        plain = repos.tmp / "plain"
        plain.mkdir()
        for in_place in (False, True):
            folder = await repos.prepare(repos.task(str(in_place), dir=plain, in_place=in_place))
            assert (folder.kind, folder.path, folder.writable) == ("plain", plain, (plain,))
            assert await repos.folders.save(repos.task(dir=plain), folder) == cs.Saved()
        assert "not a git repository" in await repos.folders.facts(repos.task(), folder)
        assert await repos.folders.diff(repos.task("True", dir=plain), 1000) == ""

    async def test_a_repository_is_cloned_on_a_branch_of_the_task(self, repos: Repositories) -> None:
        source = repos.source(README="hello\n", src__main="code\n")
        repos.git(source, "branch", "other")
        head = repos.git(source, "rev-parse", "HEAD")
        _, folder = await repos.cloned(source)
        assert (folder.kind, folder.source, folder.base, folder.branch) == ("clone", source, head, "chomp/task-7")
        assert folder.path == folder.root == repos.work / "task-7" / "project"
        assert (folder.path / "src" / "main").read_text() == "code\n"
        assert repos.as_agent(folder, "symbolic-ref", "HEAD") == "refs/heads/chomp/task-7"
        branches = repos.as_agent(folder, "for-each-ref", "--format=%(refname)").split()
        assert branches == ["refs/heads/chomp/task-7", "refs/heads/main", "refs/heads/other"]
        assert repos.as_agent(folder, "status", "--porcelain") == "" and folder.left_out == ""
        assert repos.as_agent(folder, "fsck", "--full") == ""
        assert not repos.has(source, "chomp/task-7")

    async def test_what_is_linked_to_the_source_is_not_the_agents_to_write(self, repos: Repositories) -> None:
        source = repos.source()
        _, folder = await repos.cloned(source)
        linked = [
            file for file in (source / ".git" / "objects").rglob("*") if file.is_file() and file.stat().st_nlink > 1
        ]
        assert linked  # it costs nothing
        inodes = {file.stat().st_ino for file in source.rglob("*")}
        reachable = {file.stat().st_ino for top in folder.writable for file in top.rglob("*")}
        assert not inodes & reachable

    async def test_a_clone_lives_on_when_its_source_is_pruned(self, repos: Repositories) -> None:
        source = repos.source()
        repos.commit(source, "second", more="more\n")
        _, folder = await repos.cloned(source)
        repos.git(source, "reset", "-q", "--hard", "HEAD^")
        repos.git(source, "reflog", "expire", "--expire=now", "--all")
        repos.git(source, "gc", "-q", "--prune=now")
        assert repos.as_agent(folder, "log", "--format=%s").split() == ["second", "first"]
        assert repos.as_agent(folder, "fsck", "--full") == ""

    async def test_a_task_in_a_subfolder_works_in_the_same_one(self, repos: Repositories) -> None:
        source = repos.source(a__b__file="x\n")
        _, folder = await repos.cloned(source / "a" / "b")
        assert (folder.path, folder.root) == (folder.root / "a" / "b", repos.work / "task-7" / "project")
        assert (folder.path / "file").read_text() == "x\n"

    async def test_a_subfolder_that_is_not_committed_is_refused(self, repos: Repositories) -> None:
        source = repos.source()
        (source / "new").mkdir()
        said = await repos.refused(dir=source / "new")
        assert "is not committed" in said and "in_place" in said

    async def test_a_worktree_is_cloned_at_its_own_head(self, repos: Repositories) -> None:
        source = repos.source()
        tree = repos.tmp / "tree"
        repos.git(source, "worktree", "add", "-q", "--detach", str(tree))
        head = repos.commit(tree, "in the tree", file="x\n")
        task, folder = await repos.cloned(tree)
        assert (folder.base, folder.root.name, (folder.path / "file").read_text()) == (head, "tree", "x\n")
        repos.commit(folder.path, "work", done="y\n")
        saved = await repos.folders.save(task, folder)
        assert saved.branch == "chomp/task-7" and repos.has(source, "chomp/task-7")

    async def test_a_repository_without_a_commit_can_be_worked_in(self, repos: Repositories) -> None:
        source = repos.tmp / "project"
        source.mkdir()
        repos.git(source, "init", "-q")
        (source / "draft").touch()
        task, folder = await repos.cloned(source)
        assert folder.base == "" and "1 untracked (draft)" in folder.left_out
        assert (await repos.folders.save(task, folder)).note == "no commits were made"
        repos.commit(folder.path, "begun", file="x\n")
        saved = await repos.folders.save(task, folder)
        assert (saved.commits, saved.branch) == (1, "chomp/task-7")
        assert repos.git(source, "show", "chomp/task-7:file") == "x"
        assert "+x" in await repos.folders.diff(task, 10_000)

    async def test_a_bare_repository_is_cloned_but_not_worked_in(self, repos: Repositories) -> None:
        bare = repos.tmp / "store.git"
        repos.git(repos.tmp, "clone", "-q", "--bare", str(repos.source()), str(bare))
        task, folder = await repos.cloned(bare)
        assert folder.path.name == "store" and (folder.path / "README").exists()
        repos.commit(folder.path, "work", file="x\n")
        assert (await repos.folders.save(task, folder)).branch == "chomp/task-7"
        assert repos.has(bare, "chomp/task-7")
        assert "bare repository" in await repos.refused(dir=bare, in_place=True, task_id="8")

    async def test_a_shallow_repository_can_be_worked_in(self, repos: Repositories) -> None:
        deep = repos.source()
        repos.commit(deep, "second", more="x\n")
        shallow = repos.tmp / "shallow"
        repos.git(repos.tmp, "clone", "-q", "--depth=1", f"file://{deep}", str(shallow))
        repos.git(shallow, "checkout", "-q", "--detach")
        repos.commit(shallow, "on no branch", third="x\n")
        task, folder = await repos.cloned(shallow)
        assert repos.as_agent(folder, "log", "--format=%s").splitlines() == ["on no branch", "second"]
        repos.commit(folder.path, "work", file="x\n")
        saved = await repos.folders.save(task, folder)
        assert (saved.commits, saved.branch) == (1, "chomp/task-7")
        assert repos.git(shallow, "log", "-1", "--format=%s", "chomp/task-7") == "work"

    async def test_a_repository_that_borrows_objects_is_copied_whole(self, repos: Repositories) -> None:
        lender = repos.source("lender")
        source = repos.tmp / "project"
        repos.git(repos.tmp, "clone", "-q", "--shared", str(lender), str(source))
        _, folder = await repos.cloned(source)
        shutil.rmtree(lender)
        assert repos.as_agent(folder, "fsck", "--full") == ""

    async def test_half_a_clone_is_made_again(self, repos: Repositories) -> None:
        source = repos.source()
        task = repos.task(dir=source)
        whole = repos.folders._run

        async def dies(launch: cs.Launch, *more: Any) -> Any:
            if "checkout" in launch.argv:
                raise asyncio.CancelledError
            return await whole(launch, *more)

        repos.folders._run = dies
        with pytest.raises(asyncio.CancelledError):
            await repos.prepare(task)
        repos.folders._run = whole
        folder = await repos.prepare(task)
        assert (folder.path / "README").exists() and folder.path == repos.work / "task-7" / "project"

    async def test_names_of_repositories_stay_out_of_the_way(self, repos: Repositories) -> None:
        _, folder = await repos.cloned(repos.source("home-s1"))
        assert folder.root.name == "repository-home-s1"
        folder = await repos.prepare(repos.task("8", dir=repos.source(".objects")))
        assert folder.root.name == "objects" and (folder.path / "README").exists()

    async def test_git_must_be_there(self, repos: Repositories) -> None:
        source = repos.source()
        (repos.tmp / "bin").mkdir()
        (repos.tmp / "bin" / "sh").symlink_to("/bin/sh")
        repos.env["PATH"] = str(repos.tmp / "bin")
        with pytest.raises(cs.Unavailable, match="is it installed"):
            await repos.prepare(repos.task(dir=source))

    # -- whose it is, and where it goes

    async def test_the_owner_commits_though_the_agents_home_is_empty(self, repos: Repositories) -> None:
        source = repos.source()
        repos.git(source, "config", "user.email", "here@example.org")
        repos.git(source, "config", "user.name", 'The "Own\\er" # ; too')
        repos.git(source, "config", "commit.gpgSign", "true")
        _, folder = await repos.cloned(source)
        repos.as_agent(folder, "commit", "-q", "--allow-empty", "-m", "work")
        assert repos.as_agent(folder, "log", "-1", "--format=%an <%ae>") == r'The "Own\er" # ; too <here@example.org>'

    async def test_without_an_owner_chomp_commits(self, repos: Repositories) -> None:
        source = repos.source()
        (repos.tmp / "home" / ".gitconfig").unlink()
        _, folder = await repos.cloned(source)
        repos.as_agent(folder, "commit", "-q", "--allow-empty", "-m", "work")
        assert repos.as_agent(folder, "log", "-1", "--format=%an <%ae>") == "chomp <chomp@localhost>"

    async def test_origin_is_that_of_the_source_without_its_password(self, repos: Repositories) -> None:
        source = repos.source()
        repos.git(source, "remote", "add", "origin", "https://me:secret@git.example.org/me/project.git")
        repos.git(source, "update-ref", "refs/remotes/origin/main", "HEAD")
        repos.commit(source, "not pushed")
        _, folder = await repos.cloned(source)
        assert repos.as_agent(folder, "remote", "get-url", "origin") == "https://git.example.org/me/project.git"
        assert "secret" not in (folder.root / ".git" / "config").read_text()
        assert repos.as_agent(folder, "rev-parse", "origin/main") == repos.git(source, "rev-parse", "HEAD^")

    async def test_a_push_goes_where_that_of_the_source_would(self, repos: Repositories) -> None:
        bare = repos.tmp / "origin.git"
        repos.git(repos.tmp, "init", "-q", "--bare", str(bare))
        source = repos.source()
        repos.git(source, "remote", "add", "origin", "../origin.git")
        _, folder = await repos.cloned(source)
        head = repos.commit(folder.path, "work", file="x\n")
        repos.as_agent(folder, "push", "-q")
        assert repos.git(bare, "rev-parse", "chomp/task-7") == head

    async def test_without_an_origin_there_is_none(self, repos: Repositories) -> None:
        _, folder = await repos.cloned(repos.source())
        assert repos.as_agent(folder, "remote") == ""

    # -- who made a commit

    def message(self, repos: Repositories, folder: cs.Folder) -> str:
        return repos.as_agent(folder, "log", "-1", "--format=%B")

    async def test_commits_say_which_agent_made_them(self, repos: Repositories) -> None:
        _, folder = await repos.cloned(repos.source())
        repos.as_agent(folder, "commit", "-q", "--allow-empty", "-m", "Work\n\nwith a body\n---\nand more")
        first = "Work\n\nwith a body\n---\nand more\n\nAgent: Claude Code\nModel: fake/model-1"
        assert self.message(repos, folder) == first
        repos.as_agent(folder, "commit", "-q", "--allow-empty", "--amend", "--no-edit")
        assert self.message(repos, folder) == first

    async def test_the_next_session_signs_with_its_own_agent(self, repos: Repositories) -> None:
        task, folder = await repos.cloned(repos.source())
        again = await repos.prepare(task, 'Open"Code\n[core]', "")
        assert again == folder
        repos.as_agent(folder, "commit", "-q", "--allow-empty", "-m", "work", "--trailer", "Reviewed-by: me")
        assert self.message(repos, folder) == 'work\n\nReviewed-by: me\nAgent: Open"Code [core]\nModel: auto'

    async def test_an_empty_message_still_stops_a_commit(self, repos: Repositories) -> None:
        _, folder = await repos.cloned(repos.source())
        before = repos.as_agent(folder, "rev-parse", "HEAD")
        with pytest.raises(AssertionError, match="empty commit message"):
            repos.as_agent(folder, "commit", "-q", "--allow-empty", "-m", "")
        assert repos.as_agent(folder, "rev-parse", "HEAD") == before

    async def test_hooks_of_the_owner_do_not_run(self, repos: Repositories) -> None:
        source = repos.source()
        hooks = repos.tmp / "hooks"
        hooks.mkdir()
        for name in ("post-checkout", "reference-transaction", "commit-msg", "pre-commit"):
            (hooks / name).write_text(f"#!/bin/sh\ntouch {repos.tmp}/ran-{name}\n")
            (hooks / name).chmod(0o755)
        repos.git(source, "config", "core.hooksPath", str(hooks))
        task, folder = await repos.cloned(source)
        repos.as_agent(folder, "commit", "-q", "--allow-empty", "-m", "work")
        await repos.folders.save(task, folder)
        assert repos.has(source, "chomp/task-7")
        assert list(repos.tmp.glob("ran-*")) == []

    # -- what comes along

    async def test_what_is_not_committed_is_left_out_and_said(self, repos: Repositories) -> None:
        source = repos.source(a="x\n", b="x\n", c="x\n")
        (source / "a").write_text("changed\n")
        (source / "b").unlink()
        for number in range(4):
            (source / f"new {number}").touch()
        _, folder = await repos.cloned(source)
        assert folder.left_out.startswith("not committed, so left out: 2 changed and 4 untracked (a, b, new 0")
        assert folder.left_out.endswith(" and 1 more)")
        assert (folder.path / "a").read_text() == "x\n" and not (folder.path / "new 0").exists()

    async def test_worktreeinclude_brings_ignored_files_and_nothing_else(self, repos: Repositories) -> None:
        source = repos.source(
            **{
                ".gitignore": ".env\n*.key\n/cache\n*.link\n",
                ".worktreeinclude": ".env\ncache/\nplain.txt\n*.link\n!sub/.env\n",
            }
        )
        (source / "sub").mkdir()
        (source / "cache" / "deep").mkdir(parents=True)
        for name in (".env", "sub/.env", "a.key", "plain.txt", "cache/deep/file"):
            (source / name).write_text(name)
        (repos.tmp / "outside").write_text("secret")
        (source / "inside.link").symlink_to(".env")
        (source / "outside.link").symlink_to("../outside")
        (source / "absolute.link").symlink_to(source / ".env")
        _, folder = await repos.cloned(source)
        found = {str(file.relative_to(folder.root)) for file in folder.root.rglob("*") if not file.is_dir()}
        wanted = {".env", "cache/deep/file", "inside.link", ".gitignore", ".worktreeinclude"}
        assert {name for name in found if not name.startswith(".git/")} == wanted
        assert os.readlink(folder.path / "inside.link") == ".env"
        assert "2 files of .worktreeinclude were not copied" in folder.left_out
        (folder.path / ".env").write_text("changed by the agent")
        assert (source / ".env").read_text() == ".env"

    async def test_worktreeinclude_leads_nothing_out_of_the_clone(self, repos: Repositories) -> None:
        victim = repos.tmp / "victim"
        victim.mkdir()
        source = repos.source(**{".gitignore": "way/\n", ".worktreeinclude": "way/\n"})
        (source / "way").symlink_to(victim)
        repos.git(source, "add", "-f", "way")
        repos.git(source, "commit", "-q", "-m", "a link")
        (source / "way").unlink()
        (source / "way").mkdir()
        (source / "way" / "file").write_text("x")
        _, folder = await repos.cloned(source)
        assert (folder.path / "way").is_symlink() and list(victim.iterdir()) == []

    async def test_files_that_only_the_owner_ignores_are_not_committed_by_agents(self, repos: Repositories) -> None:
        source = repos.source(**{".worktreeinclude": "my *.env\n"})
        (source / ".git" / "info" / "exclude").write_text("*.env\n")
        (source / "my [own].env").write_text("SECRET=1")
        _, folder = await repos.cloned(source)
        assert (folder.path / "my [own].env").read_text() == "SECRET=1"
        (folder.path / "my other.env").touch()
        assert repos.as_agent(folder, "status", "--porcelain", "-z") == "?? my other.env\0"

    async def test_a_big_include_is_bounded(self, repos: Repositories, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cs, "_INCLUDE_BYTES", 10)
        source = repos.source(**{".gitignore": "data*\n", ".worktreeinclude": "data*\n"})
        (source / "data1").write_text("12345678")
        (source / "data2").write_text("12345678")
        _, folder = await repos.cloned(source)
        assert [file.name for file in folder.path.glob("data*")] == ["data1"]
        assert folder.left_out == "1 files of .worktreeinclude were not copied"

    async def test_setup_runs_once_in_a_new_clone(self, repos: Repositories) -> None:
        script = f'echo "$TASK_ID $PWD" >> {repos.tmp}/runs; echo said; test -e {repos.tmp}/good\n'
        source = repos.source(**{".chomp__setup.sh": script, "file": "x"})
        task, folder = await repos.cloned(source)
        env = {"PATH": repos.env["PATH"], "TASK_ID": "7"}
        assert await repos.folders.setup(task, folder, env) == (1, b"said\n")
        (repos.tmp / "good").touch()
        assert await repos.folders.setup(task, folder, env) == (0, b"said\n")
        assert repos.launches[-1].level == "bubblewrap" and repos.launches[-1].network
        assert folder.root in repos.launches[-1].writable
        assert await repos.folders.setup(task, folder, env) is None
        again = await repos.prepare(task)
        assert await repos.folders.setup(task, again, env) is None
        assert (repos.tmp / "runs").read_text() == f"7 {folder.path}\n" * 2

    async def test_a_task_names_its_own_setup(self, repos: Repositories) -> None:
        source = repos.source(mine="#!/bin/sh\nexit 3\n", **{"out.sh": ""})
        (source / "link").symlink_to("/bin/true")
        repos.git(source, "add", "link")
        repos.git(source, "commit", "-q", "-m", "link")
        env = {"PATH": repos.env["PATH"]}
        task, folder = await repos.cloned(source, setup="mine")
        assert await repos.folders.setup(task, folder, env) == (3, b"")
        for name in ("missing", "link", "../../setup", "/bin/true"):
            with pytest.raises(cs.BadRequest):
                await repos.folders.setup(repos.task(dir=source, setup=name), folder, env)
        assert await repos.folders.setup(repos.task(dir=source), folder, env) is None

    # -- in place

    async def test_in_place_nothing_is_cloned(self, repos: Repositories) -> None:
        source = repos.source(sub__file="x\n")
        head = repos.git(source, "rev-parse", "HEAD")
        task, folder = await repos.cloned(source / "sub", in_place=True)
        assert (folder.kind, folder.path, folder.root) == ("in_place", source / "sub", source)
        assert (folder.base, folder.branch, folder.writable) == (head, "main", (source,))
        (source / "sub" / "file").write_text("y\n")
        repos.as_agent(folder, "commit", "-qam", "work")
        assert repos.as_agent(folder, "log", "-1", "--format=%an") == "The Owner"
        (source / "new").touch()
        saved = await repos.folders.save(task, folder)
        assert (saved.commits, saved.branch, saved.dirty) == (1, "main", ("new",))
        assert not repos.has(source, "chomp/task-7") and not (source / ".git" / "hooks" / "commit-msg").exists()
        assert "-x\n+y\n" in await repos.folders.diff(task, 10_000)
        assert await repos.prepare(task) == folder

    async def test_in_place_in_a_worktree_its_repository_can_be_written(self, repos: Repositories) -> None:
        source = repos.source()
        tree = repos.tmp / "tree"
        repos.git(source, "worktree", "add", "-q", str(tree))
        _, folder = await repos.cloned(tree, in_place=True)
        assert (folder.writable, folder.branch) == ((tree, source / ".git"), "tree")

    # -- from elsewhere

    async def test_a_repository_of_another_place_is_cloned(self, repos: Repositories) -> None:
        there = repos.source("there", sub__file="x\n")
        task = repos.task(repo_url=f"file://{there}", dir="sub")
        folder = await repos.prepare(task)
        assert (folder.kind, folder.source, folder.branch) == ("clone", None, "chomp/task-7")
        assert folder.path == repos.work / "task-7" / "there" / "sub" and (folder.path / "file").exists()
        assert folder.base == repos.git(there, "rev-parse", "HEAD")
        head = repos.commit(folder.path, "work", new="x\n")
        saved = await repos.folders.save(task, folder)
        assert (saved.head, saved.commits, saved.branch) == (head, 1, "")
        assert str(folder.root) in saved.note
        assert "+x" in await repos.folders.diff(task, 10_000)
        assert await repos.prepare(task) == folder

    async def test_an_empty_repository_of_another_place_can_be_begun(self, repos: Repositories) -> None:
        repos.git(repos.tmp, "init", "-q", "--bare", "there.git")
        task = repos.task(repo_url=str(repos.tmp / "there.git"))
        folder = await repos.prepare(task)
        head = repos.commit(folder.path, "begun", file="x\n")
        assert (await repos.folders.save(task, folder)).head == head

    @pytest.mark.parametrize(
        "url",
        [
            "-u", "--upload-pack=touch owned", "ext::sh -c touch% owned", "fd::17", "file::/x", "x::y", "git://host/x",
            "http://example.org/x", "https:///x", "https://host/a b", "https://host/a\nb", "ftp://h/x", "ssh://-oProxyCommand=x/y",
            "git@-oProxyCommand=x:y", "git@host:-x", "-git@host:x", "relative/path", "../x", "file://host/x", "",
            "https://[::1", "git@host", "host:x",
        ],
    )  # fmt: skip
    async def test_an_address_that_is_more_than_one_is_refused(self, repos: Repositories, url: str) -> None:
        with pytest.raises(cs.BadRequest, match="repo_url must be"):
            repos.folders._url(url)

    @pytest.mark.parametrize(
        "url",
        [
            "https://github.com/me/x.git", "https://me@host/x", "ssh://git@host:2222/x", "git@github.com:me/x.git",
            "http://127.0.0.1:3000/x", "http://localhost/x",
        ],
    )  # fmt: skip
    def test_an_address_is_taken_as_it_is(self, repos: Repositories, url: str) -> None:
        assert repos.folders._url(url) == url

    async def test_a_password_in_an_address_is_refused(self, repos: Repositories) -> None:
        said = await repos.refused(repo_url="https://me:secret@host/x")
        assert "secret" not in said and "credential helper" in said

    async def test_an_address_that_cannot_be_cloned_says_so_at_once(self, repos: Repositories) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            said = await repos.refused(repo_url=f"http://127.0.0.1:{closed.getsockname()[1]}/x.git")
        assert "could not be cloned" in said and "127.0.0.1" in said

    async def test_paths_to_other_repositories_lie_where_tasks_may_work(self, repos: Repositories) -> None:
        there = repos.source("there")
        repos.tasks = cs.TaskSettings(roots=(str(repos.tmp / "projects"),))
        assert "tasks.roots" in await repos.refused(repo_url=str(there))
        assert "tasks.roots" in await repos.refused(repo_url=f"file://{there}")

    async def test_a_planted_git_file_leads_nowhere(self, repos: Repositories) -> None:
        planted = repos.tmp / "projects" / "planted"
        planted.mkdir(parents=True)
        (planted / ".git").write_text(f"gitdir: {repos.source('private') / '.git'}\n")
        (repos.tmp / "projects" / "plain").mkdir()
        repos.tasks = cs.TaskSettings(roots=(str(repos.tmp / "projects"),))
        assert "private" in await repos.refused(repo_url=str(planted))
        assert "not a repository" in await repos.refused(repo_url=str(planted.parent / "plain"))

    @pytest.mark.parametrize("inside", ["..", "/etc", "way", "missing", "sub/../.."])
    async def test_a_subfolder_stays_inside_what_was_cloned(self, repos: Repositories, inside: str) -> None:
        there = repos.source("there")
        (there / "way").symlink_to("/etc")
        repos.git(there, "add", "way")
        repos.git(there, "commit", "-q", "-m", "a link")
        await repos.refused(repo_url=str(there), dir=inside)

    # -- where tasks may work

    async def test_folders_of_the_system_are_refused(self, repos: Repositories) -> None:
        for path in ("/", "/etc", "/usr/share", "/proc", "/var/lib"):
            said = await repos.refused(dir=path)
            assert "belongs to the system" in said and "tasks.roots" in said

    async def test_what_is_no_folder_is_refused(self, repos: Repositories) -> None:
        (repos.tmp / "file").touch()
        (repos.tmp / "loop").symlink_to("loop")
        for path in (repos.tmp / "missing", repos.tmp / "file", repos.tmp / "loop", "relative", "a\0b", "~nobody/x"):
            assert re.search("give|dir must be|dir has", await repos.refused(dir=path))

    async def test_a_home_may_be_abbreviated_but_not_given_away(self, repos: Repositories) -> None:
        (repos.tmp / "home" / "notes").mkdir()
        assert (await repos.prepare(repos.task(dir="~/notes"))).path == repos.tmp / "home" / "notes"
        for path in ("~", repos.tmp):
            assert "in it" in await repos.refused(task_id="8", dir=path)

    async def test_roots_are_kept_to(self, repos: Repositories) -> None:
        inside, outside = repos.tmp / "home" / "projects", repos.tmp / "other"
        for path in (inside / "a", outside):
            path.mkdir(parents=True)
        (inside / "link").symlink_to(outside)
        repos.tasks = cs.TaskSettings(roots=("~/projects",))
        assert (await repos.prepare(repos.task(dir=inside / "a"))).kind == "plain"
        for path in (outside, inside / "link", inside.parent):
            said = await repos.refused(task_id="8", dir=path)
            assert "tasks.roots" in said and str(inside) in said

    async def test_a_repository_around_a_root_is_not_given_away(self, repos: Repositories) -> None:
        source = repos.source(sub__file="x\n", secret="x\n")
        repos.tasks = cs.TaskSettings(roots=(str(source / "sub"),))
        for in_place in (False, True):
            assert str(source) in await repos.refused(dir=source / "sub", in_place=in_place)
        other = repos.tmp / "project" / "sub" / "planted"
        other.mkdir()
        repos.source("private")
        (other / ".git").write_text(f"gitdir: {repos.tmp / 'private' / '.git'}\n")
        assert "private" in await repos.refused(dir=other)

    async def test_a_root_that_is_taken_back_stops_the_next_session(self, repos: Repositories) -> None:
        source = repos.source()
        await repos.cloned(source, in_place=True)
        repos.tasks = cs.TaskSettings(roots=(str(repos.tmp / "home"),))
        assert "tasks.roots" in await repos.refused(dir=source, in_place=True)

    async def test_chomps_own_state_is_out_of_reach(self, repos: Repositories) -> None:
        chomp = repos.tmp / "chomp"
        repos.git(chomp, "init", "-q")
        repos.commit(chomp, "first", **{".gitignore": "state\n", "module.py": "x\n"})
        assert "state folder" in await repos.refused(dir=chomp / "state")
        assert "state folder" in await repos.refused(dir=repos.work)
        assert "state folder" in await repos.refused(dir=chomp, in_place=True)
        _, folder = await repos.cloned(chomp)
        assert folder.kind == "clone" and not (folder.path / "state").exists()

    async def test_a_folder_of_git_itself_is_refused(self, repos: Repositories) -> None:
        assert "inside a .git folder" in await repos.refused(dir=repos.source() / ".git" / "hooks")

    async def test_what_git_will_not_read_is_refused_with_its_words(self, repos: Repositories) -> None:
        source = repos.source()
        (source / ".git" / "config").write_text("[core\n")
        assert "bad config line" in await repos.refused(dir=source)
        tree = repos.tmp / "tree"
        tree.mkdir()
        (tree / ".git").write_text("gitdir: /nowhere\n")
        assert "not a git repository: /nowhere" in await repos.refused(dir=tree)

    # -- and back again

    async def test_commits_come_back_as_a_branch(self, repos: Repositories) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        repos.commit(folder.path, "one", **{"a file": "x\n"})
        head = repos.commit(folder.path, "two", b="y\n")
        (folder.path / "README").write_text("changed\n")
        (folder.path / "new").touch()
        before = repos.git(source, "status", "--porcelain"), repos.git(source, "rev-parse", "main")
        saved = await repos.folders.save(task, folder)
        assert (saved.head, saved.commits, saved.branch, saved.note) == (head, 2, "chomp/task-7", "")
        assert (saved.dirty, saved.dirty_count) == (("README", "new"), 2)
        assert "2 files changed, 2 insertions(+)" in saved.stat and "a file" in saved.stat
        assert repos.git(source, "rev-parse", "chomp/task-7") == head
        assert (repos.git(source, "status", "--porcelain"), repos.git(source, "rev-parse", "main")) == before
        assert not (source / ".git" / "FETCH_HEAD").exists()
        assert {path.name for path in (repos.work / "task-7").iterdir()} == {".folder.json", ".objects", "project"}

    async def test_without_commits_no_branch_is_made(self, repos: Repositories) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        (folder.path / "new").touch()
        saved = await repos.folders.save(task, folder)
        assert (saved.head, saved.commits, saved.branch) == (folder.base, 0, "")
        assert (saved.dirty, saved.note) == (("new",), "no commits were made")
        assert not repos.has(source, "chomp/task-7")

    async def test_the_next_session_goes_on_where_the_last_one_stopped(self, repos: Repositories) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        repos.commit(folder.path, "one", a="x\n")
        await repos.folders.save(task, folder)
        (folder.path / "half").write_text("done")
        repos.commit(source, "meanwhile", b="x\n")
        anew = cs.Folders(repos.work, repos.settings, repos.run, repos.sandboxed)  # after a restart
        assert await anew.prepare(task, cs.Platform(id="b", name="B")) == folder
        assert (folder.path / "half").read_text() == "done"
        head = repos.commit(folder.path, "two", c="x\n")
        saved = await anew.save(task, folder)
        assert (saved.commits, saved.branch, repos.git(source, "rev-parse", saved.branch)) == (2, "chomp/task-7", head)

    async def test_rewritten_commits_replace_what_was_saved(self, repos: Repositories) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        repos.commit(folder.path, "one", a="x\n")
        await repos.folders.save(task, folder)
        repos.as_agent(folder, "commit", "-q", "--amend", "-m", "better")
        saved = await repos.folders.save(task, folder)
        assert (saved.branch, saved.note) == ("chomp/task-7", "")
        assert repos.git(source, "log", "-1", "--format=%s", "chomp/task-7") == "better"

    async def test_a_rewritten_base_is_said(self, repos: Repositories) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        repos.as_agent(folder, "commit", "-q", "--amend", "-m", "not the first")
        saved = await repos.folders.save(task, folder)
        assert saved.branch == "chomp/task-7" and "no longer descends" in saved.note

    async def test_a_branch_that_somebody_moved_is_left_alone(self, repos: Repositories) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        repos.commit(folder.path, "one", a="x\n")
        await repos.folders.save(task, folder)
        repos.git(source, "checkout", "-q", "chomp/task-7")
        moved = repos.commit(source, "by hand", b="x\n")
        repos.git(source, "checkout", "-q", "main")
        for number in (2, 3):
            head = repos.commit(folder.path, f"{number}", c=f"{number}\n")
            saved = await repos.folders.save(task, folder)
            assert saved.branch == "chomp/task-7-2" and "chomp/task-7 was changed in" in saved.note
            assert repos.git(source, "rev-parse", "chomp/task-7-2") == head
        assert repos.git(source, "rev-parse", "chomp/task-7") == moved
        assert not repos.has(source, "chomp/task-7-3")

    async def test_a_branch_of_another_task_with_this_number_is_left_alone(self, repos: Repositories) -> None:
        source = repos.source()
        repos.git(source, "branch", "chomp/task-7")
        repos.git(source, "checkout", "-q", "chomp/task-7")
        other = repos.commit(source, "of long ago", old="x\n")
        repos.git(source, "checkout", "-q", "main")
        task, folder = await repos.cloned(source)
        repos.commit(folder.path, "one", a="x\n")
        assert (await repos.folders.save(task, folder)).branch == "chomp/task-7-2"
        assert repos.git(source, "rev-parse", "chomp/task-7") == other

    async def test_a_branch_that_was_merged_into_goes_forward(self, repos: Repositories) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        repos.commit(folder.path, "one", a="x\n")
        head = repos.commit(folder.path, "two", b="x\n")
        repos.git(source, "branch", "chomp/task-7", "main")
        saved = await repos.folders.save(task, folder)
        assert (saved.branch, repos.git(source, "rev-parse", "chomp/task-7")) == ("chomp/task-7", head)

    async def test_a_branch_that_is_checked_out_is_left_alone(self, repos: Repositories) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        repos.commit(folder.path, "one", a="x\n")
        await repos.folders.save(task, folder)
        repos.git(source, "checkout", "-q", "chomp/task-7")
        assert (await repos.folders.save(task, folder)).branch == "chomp/task-7"  # nothing is new
        repos.commit(folder.path, "two", b="x\n")
        saved = await repos.folders.save(task, folder)
        assert saved.branch == "chomp/task-7-2" and "checked out" in saved.note
        assert repos.git(source, "status", "--porcelain") == ""

    async def test_a_branch_called_chomp_is_no_hindrance(self, repos: Repositories) -> None:
        source = repos.source()
        repos.git(source, "branch", "chomp")
        task, folder = await repos.cloned(source)
        repos.commit(folder.path, "one", a="x\n")
        saved = await repos.folders.save(task, folder)
        assert saved.branch == "chomp-task-7" and repos.has(source, "chomp-task-7")

    @pytest.mark.parametrize("how", [("checkout", "-q", "-b", "feature"), ("checkout", "-q", "--detach")])
    async def test_commits_made_elsewhere_in_the_clone_come_back_too(self, repos: Repositories, how: Any) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        repos.commit(folder.path, "on the branch", a="x\n")
        repos.as_agent(folder, *how)
        head = repos.commit(folder.path, "elsewhere", b="x\n")
        saved = await repos.folders.save(task, folder)
        assert (saved.head, saved.commits, saved.branch) == (head, 2, "chomp/task-7")
        assert ("feature" if "-b" in how else "no branch") in saved.note
        assert repos.git(source, "rev-parse", "chomp/task-7") == head

    async def test_looking_at_something_old_loses_nothing(self, repos: Repositories) -> None:
        source = repos.source()
        old = repos.git(source, "rev-parse", "HEAD")
        repos.commit(source, "second", s="x\n")
        task, folder = await repos.cloned(source)
        head = repos.commit(folder.path, "work", a="x\n")
        for place in (old, "main"):
            repos.as_agent(folder, "checkout", "-q", place)
            saved = await repos.folders.save(task, folder)
            assert (saved.head, saved.commits, saved.branch) == (head, 1, "chomp/task-7")

    async def test_work_beside_the_branch_is_said_to_be_in_the_folder(self, repos: Repositories) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        lost = repos.commit(folder.path, "on the branch", a="x\n")
        repos.as_agent(folder, "checkout", "-q", "-b", "feature", "main")
        head = repos.commit(folder.path, "beside", b="x\n")
        saved = await repos.folders.save(task, folder)
        assert saved.head == head and "in the folder only" in saved.note
        ended = repos.task(dir=source, status="done", finished=cs.iso(1))
        (said,) = await repos.folders.clean({"7": ended}, 1e12)
        assert "does not have" in said and repos.git(folder.root, "cat-file", "-t", lost) == "commit"

    async def test_a_source_that_rewrote_its_history_gets_all_of_it(self, repos: Repositories) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        head = repos.commit(folder.path, "work", a="x\n")
        repos.git(source, "commit", "-q", "--amend", "-m", "another first")
        repos.git(source, "reflog", "expire", "--expire=now", "--all")
        repos.git(source, "gc", "-q", "--prune=now")
        saved = await repos.folders.save(task, folder)
        assert (saved.commits, repos.git(source, "rev-parse", saved.branch)) == (1, head)

    async def test_a_source_that_is_gone_loses_nothing(self, repos: Repositories) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        repos.commit(folder.path, "work", a="x\n")
        source.rename(repos.tmp / "moved")
        saved = await repos.folders.save(task, folder)
        assert saved.branch == "" and str(folder.root) in saved.note and "not there any more" in saved.note

    async def test_a_clone_without_its_git_folder_is_said(self, repos: Repositories) -> None:
        repos.git(repos.work.parent.parent, "init", "-q")  # a repository above it is not taken for it
        task, folder = await repos.cloned(repos.source())
        shutil.rmtree(folder.root / ".git")
        saved = await repos.folders.save(task, folder)
        assert saved.head == "" and "git cannot read" in saved.note
        assert "git cannot read" in await repos.folders.facts(task, folder)

    # -- what an agent left behind is only touched inside the sandbox

    def poison(self, repos: Repositories, folder: cs.Folder) -> Path:
        """Everything in a clone's configuration that git would run, each leaving a file where an agent cannot write."""
        owned = repos.tmp / "owned"
        owned.mkdir()
        git = folder.root / ".git"

        def trap(name: str) -> str:
            script = folder.root / f"trap-{name}"
            script.write_text(f"#!/bin/sh\ntouch {owned}/{name}\ntouch {folder.root}/.git/ran-{name}\ncat\n")
            script.chmod(0o755)
            return str(script)

        (git / "info").mkdir(exist_ok=True)
        (git / "info" / "attributes").write_text("* filter=bad diff=bad merge=bad\n")
        (folder.root / ".gitattributes").write_text("* filter=bad diff=bad\n")
        for name, value in {
            "core.fsmonitor": trap("fsmonitor"), "diff.external": trap("external"), "diff.bad.command": trap("command"),
            "diff.bad.textconv": trap("textconv"), "filter.bad.clean": trap("clean"), "filter.bad.smudge": trap("smudge"),
            "filter.bad.process": trap("process"), "core.sshCommand": trap("ssh"), "core.pager": trap("pager"),
            "core.alternateRefsCommand": trap("alternates"), "uploadpack.packObjectsHook": trap("pack"),
            "core.hooksPath": str(git / "bad-hooks"), "gpg.program": trap("gpg"), "log.showSignature": "true",
            "remote.origin.url": f"ext::{trap('ext')}", "remote.origin.uploadpack": trap("uploadpack"),
            "remote.origin.promisor": "true", "extensions.partialClone": "origin", "core.editor": trap("editor"),
            "protocol.ext.allow": "always", "credential.helper": trap("credential"), "alias.status": f"!{trap('alias')}",
        }.items():  # fmt: skip
            repos.git(folder.root, "config", name, value)
        hooks = git / "bad-hooks"
        hooks.mkdir()
        for name in (
            "post-index-change",
            "reference-transaction",
            "pre-auto-gc",
            "post-checkout",
            "fsmonitor-watchman",
        ):
            (hooks / name).write_text(f"#!/bin/sh\ntouch {owned}/hook-{name}\n")
            (hooks / name).chmod(0o755)
        return owned

    async def everything(self, repos: Repositories, task: cs.Task, folder: cs.Folder) -> None:
        """All that chomp does with a folder after an agent was in it."""
        (folder.root / "README").write_text("hello\n\n")
        await repos.folders.save(task, folder)
        await repos.folders.diff(task, 100_000)
        await repos.folders.facts(task, folder)
        await repos.folders.clean({"7": repos.task(dir=task.dir, status="done", finished=cs.iso(1))}, 1e12)
        await repos.folders.sizes()
        await repos.prepare(task)

    async def test_nothing_an_agent_configured_runs_outside(self, caged: Repositories) -> None:
        source = caged.source()
        task, folder = await caged.cloned(source)
        caged.commit(folder.path, "work", a="x\n")
        owned = self.poison(caged, folder)
        await self.everything(caged, task, folder)
        assert list(owned.iterdir()) == []
        # what git does with such a configuration when nobody stops it
        subprocess.run(["git", "diff", "HEAD"], cwd=folder.root, env=caged.env, capture_output=True, timeout=20)
        assert {"fsmonitor"} <= {file.name for file in owned.iterdir()}

    async def test_the_commits_of_a_poisoned_clone_still_come_back(self, caged: Repositories) -> None:
        source = caged.source()
        task, folder = await caged.cloned(source)
        head = caged.commit(folder.path, "work", a="x\n")
        self.poison(caged, folder)
        saved = await caged.folders.save(task, folder)
        assert (saved.head, saved.branch, caged.git(source, "rev-parse", "chomp/task-7")) == (
            head,
            "chomp/task-7",
            head,
        )

    async def test_a_sandboxed_clone_can_be_worked_in(self, caged: Repositories) -> None:
        source = caged.source()
        task, folder = await caged.cloned(source)
        script = "echo x > new && git add new && git commit -qm work && git log --format=%s%n%b"
        launch = cs.Launch(
            ("/bin/sh", "-c", script), folder.path, {"PATH": caged.env["PATH"], "HOME": "/nonexistent"}, "bubblewrap",
            folder.writable, folder.readable,
        )  # fmt: skip
        code, output = await caged.run(launch, 10, 10_000)
        assert (code, output.decode().split("\n")[0]) == (0, "work"), output
        saved = await caged.folders.save(task, folder)
        assert (saved.commits, saved.branch) == (1, "chomp/task-7")
        assert "+x" in await caged.folders.diff(task, 10_000)
        assert "work" in await caged.folders.facts(task, folder)

    async def test_what_runs_in_a_clone_is_sandboxed_without_network(self, repos: Repositories) -> None:
        """Also where there is no sandbox to try it with."""
        source = repos.source()
        task, folder = await repos.cloned(source)
        repos.commit(folder.path, "work", a="x\n")
        del repos.launches[:]
        await self.everything(repos, task, folder)
        inside = [launch for launch in repos.launches if launch.level == "bubblewrap"]
        outside = [launch for launch in repos.launches if launch.level != "bubblewrap"]
        assert inside and outside
        for launch in outside:
            assert not launch.cwd.is_relative_to(repos.work)
            paths = [word for word in launch.argv if str(repos.work) in word]
            assert all(re.search(r"/\.scratch-\w+/bundle$", path) for path in paths), paths
        for launch in inside:
            assert not launch.network and launch.env["HOME"] == "/nonexistent"
            assert all(path.is_relative_to(repos.work / "task-7") for path in launch.writable)
            assert folder.root in (*launch.writable, *launch.readable)

    @pytest.mark.parametrize("what", ["link", "repository", "gitfile", "text", "pipe", "nothing"])
    async def test_a_bundle_that_is_none_is_not_opened(self, repos: Repositories, what: str) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        repos.commit(folder.path, "work", a="x\n")
        run = repos.run

        async def cheats(launch: cs.Launch, *more: Any) -> Any:
            if "bundle" not in launch.argv or "create" not in launch.argv:
                return await run(launch, *more)
            bundle = launch.writable[0] / "bundle"
            if what == "link":
                (launch.writable[0] / "other").write_text("# v2 git bundle\n")
                bundle.symlink_to("other")
            elif what == "repository":
                repos.git(repos.tmp, "clone", "-q", "--bare", str(source), str(bundle))
            elif what == "gitfile":
                bundle.write_text(f"gitdir: {folder.root / '.git'}\n")
            elif what == "text":
                bundle.write_text("# v4 git bundle\n")
            elif what == "pipe":
                os.mkfifo(bundle)
            return 0, b""

        repos.folders._run = cheats
        del repos.launches[:]
        saved = await repos.folders.save(task, folder)
        assert saved.branch == "" and "git made no bundle" in saved.note
        assert [launch for launch in repos.launches if any("scratch" in word for word in launch.argv)] == []

    async def test_without_a_sandbox_it_works_as_well(self, repos: Repositories) -> None:
        repos.folders._sandboxed = lambda argv, cwd, env, writable: cs.Launch(argv, cwd, env, "none", writable)
        source = repos.source()
        task, folder = await repos.cloned(source)
        repos.commit(folder.path, "work", a="x\n")
        await self.everything(repos, task, folder)
        assert repos.has(source, "chomp/task-7")
        assert all(launch.network for launch in repos.launches)  # nothing there could take it away

    async def test_a_subfolder_that_became_a_link_is_not_followed(self, repos: Repositories) -> None:
        source = repos.source(sub__file="x\n")
        task, folder = await repos.cloned(source / "sub")
        shutil.rmtree(folder.path)
        folder.path.symlink_to("/etc")
        again = await repos.prepare(task)
        assert again.path == folder.root

    # -- looked at

    async def test_a_diff_has_commits_and_what_is_not_committed(self, repos: Repositories) -> None:
        source = repos.source(a="one\n", b="two\n")
        task, folder = await repos.cloned(source)
        (folder.path / "a").write_text("ONE\n")
        repos.as_agent(folder, "commit", "-qam", "work")
        (folder.path / "b").write_text("TWO\n")
        (folder.path / "ü new").write_text("three\n")
        index = (folder.root / ".git" / "index").read_bytes()
        objects = sorted((folder.root / ".git" / "objects").rglob("*"))
        diff = await repos.folders.diff(task, 100_000)
        for line in ("-one", "+ONE", "-two", "+TWO", "+three", "diff --git a/ü new b/ü new", "new file mode 100644"):
            assert f"\n{line}\n" in f"\n{diff}"
        assert (folder.root / ".git" / "index").read_bytes() == index
        assert sorted((folder.root / ".git" / "objects").rglob("*")) == objects
        (repos.tmp / "patch").write_text(diff)
        repos.git(source, "apply", str(repos.tmp / "patch"))
        assert ((source / "b").read_text(), (source / "ü new").read_text()) == ("TWO\n", "three\n")

    async def test_a_diff_sees_a_file_changed_as_the_index_was_written(self, repos: Repositories) -> None:
        task, folder = await repos.cloned(repos.source(file="one\n"))
        repos.as_agent(folder, "config", "core.trustctime", "false")
        file, index = folder.path / "file", folder.root / ".git" / "index"
        moment = file.stat().st_mtime_ns - 100 * 10**9
        os.utime(file, ns=(moment, moment))
        repos.as_agent(folder, "update-index", "--refresh")
        file.write_text("ONE\n")  # as long as before
        for path in (file, index):
            os.utime(path, ns=(moment, moment))
        assert "\n-one\n+ONE\n" in await repos.folders.diff(task, 10_000)

    async def test_a_long_diff_is_cut_at_a_line(self, repos: Repositories) -> None:
        task, folder = await repos.cloned(repos.source())
        (folder.path / "long").write_text("".join(f"line {number}\n" for number in range(1000)))
        diff = await repos.folders.diff(task, 500)
        *lines, last, end = diff.split("\n")
        assert len(diff) < 600 and end == "" and last == f"{cs.DIFF_CUT} than 500 bytes"
        assert re.fullmatch(r"\+line \d+", lines[-1])
        whole = await repos.folders.diff(task, 100_000)
        assert whole.startswith("\n".join(lines)) and cs.DIFF_CUT not in whole

    async def test_a_diff_is_there_when_the_folder_is_not(self, repos: Repositories) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        repos.commit(folder.path, "work", a="x\n")
        saved = await repos.folders.save(task, folder)
        session = cs.Session(id="s1", agent="a", model="m", started_at="", tokens=0, base=folder.base, head=saved.head)
        ended = repos.task(dir=source, status="done", finished=cs.iso(1), sessions=(session,), branch=saved.branch)
        assert await repos.folders.clean({"7": ended}, 1e12) == [] and not folder.root.exists()
        assert "+x\n" in await repos.folders.diff(ended, 10_000)
        assert cs.DIFF_CUT in await repos.folders.diff(ended, 60)
        again = await repos.prepare(ended)
        assert (again.base, repos.as_agent(again, "rev-parse", "HEAD")) == (folder.base, saved.head)
        head = repos.commit(again.path, "more", b="x\n")
        saved = await repos.folders.save(ended, again)
        assert (saved.commits, saved.branch, repos.git(source, "rev-parse", saved.branch)) == (2, "chomp/task-7", head)

    async def test_facts_are_for_the_next_agent(self, repos: Repositories) -> None:
        task, folder = await repos.cloned(repos.source())
        for number in range(25):
            repos.commit(folder.path, f"step {number}", **{f"file{number}": "x\n"})
        for number in range(25):
            (folder.path / f"open {number:02}").touch()
        facts = await repos.folders.facts(task, folder)
        assert f"- Branch: `chomp/task-7`, from commit `{folder.base[:12]}`" in facts
        assert "- Commits since then: 25" in facts and "25 files changed" in facts
        assert len(re.findall(r"^      [0-9a-f]+ step \d+$", facts, re.M)) == 20
        assert "- Files not committed: 25" in facts and "      open 19\n      and 5 more" in facts

    # -- cleaned up

    def ended(self, source: Any = "", status: str = "done", at: float = 1000.0, **more: Any) -> dict[str, cs.Task]:
        return {"7": Repositories.task(dir=source, status=status, finished=cs.iso(at), **more)}

    async def test_folders_go_when_their_time_is_over(self, repos: Repositories) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        repos.commit(folder.path, "work", a="x\n")
        await repos.folders.save(task, folder)
        place = repos.folders.place(task)
        (place / "home-s1" / "cache").mkdir(parents=True)
        (place / "home-s1" / "cache" / "file").touch()
        (place / "home-s1" / "cache").chmod(0o555)
        (place / "home-s1" / "way").symlink_to(source)
        done, failed = repos.tasks.kept_done_s, repos.tasks.kept_failed_s
        for tasks, at in (
            (self.ended(source), 1000 + done - 1), (self.ended(source, "failed"), 1000 + failed - 1),
            (self.ended(source, "active"), 1e12), (self.ended(source, "queued"), 1e12),
        ):  # fmt: skip
            assert await repos.folders.clean(tasks, at) == [] and place.exists()
        assert await repos.folders.clean(self.ended(source), 1000 + done + 1) == []
        assert list(repos.work.iterdir()) == [] and (source / "README").exists()

    async def test_folders_of_deleted_tasks_go_after_an_hour(self, repos: Repositories) -> None:
        source = repos.source()
        _, folder = await repos.cloned(source)
        tasks = self.ended(source, "queued", deleted=cs.iso(1000))
        assert await repos.folders.clean(tasks, 1000 + 3599) == [] and folder.root.exists()
        assert await repos.folders.clean(tasks, 1000 + 3601) == [] and not folder.root.exists()

    @pytest.mark.parametrize("how", ["changed", "untracked", "committed", "elsewhere", "orphaned", "stashed"])
    async def test_work_that_is_nowhere_else_is_never_deleted(self, repos: Repositories, how: str) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        if how == "changed":
            (folder.path / "README").write_text("changed\n")
        elif how == "untracked":
            (folder.path / "new").touch()
        elif how == "committed":
            repos.commit(folder.path, "work", a="x\n")
        elif how == "elsewhere":
            repos.as_agent(folder, "checkout", "-q", "-b", "feature")
            repos.commit(folder.path, "work", a="x\n")
            repos.as_agent(folder, "checkout", "-q", "chomp/task-7")
            await repos.folders.save(task, folder)
        elif how == "orphaned":
            repos.commit(folder.path, "work", a="x\n")
            repos.as_agent(folder, "checkout", "-q", "--orphan", "nothing")
            repos.as_agent(folder, "rm", "-q", "-rf", ".")
        elif how == "stashed":
            (folder.path / "README").write_text("changed\n")
            repos.as_agent(folder, "stash", "-q")
        for tasks in (self.ended(source), self.ended(source, deleted=cs.iso(1000)), {}):
            (said,) = await repos.folders.clean(tasks, 1e12)
            assert str(repos.folders.place(task)) in said
            assert ("not committed" if how in ("changed", "untracked") else "does not have") in said
        assert folder.root.exists()

    async def test_a_branch_deleted_in_the_source_keeps_the_clone(self, repos: Repositories) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        repos.commit(folder.path, "work", a="x\n")
        await repos.folders.save(task, folder)
        repos.git(source, "branch", "-D", "chomp/task-7")
        assert len(await repos.folders.clean(self.ended(source), 1e12)) == 1 and folder.root.exists()

    async def test_what_was_pushed_elsewhere_may_go(self, repos: Repositories) -> None:
        there = repos.tmp / "there.git"
        repos.git(repos.tmp, "clone", "-q", "--bare", str(repos.source()), str(there))
        task = repos.task(repo_url=str(there))
        folder = await repos.prepare(task)
        repos.commit(folder.path, "work", a="x\n")
        tasks = self.ended(repo_url=str(there))
        (said,) = await repos.folders.clean(tasks, 1e12)
        assert "its origin does not have" in said
        repos.as_agent(folder, "push", "-q")
        assert await repos.folders.clean(tasks, 1e12) == [] and not folder.root.exists()

    async def test_folders_that_are_not_chomps_are_never_deleted(self, repos: Repositories) -> None:
        plain, source = repos.tmp / "plain", repos.source()
        plain.mkdir()
        for path, in_place in ((plain, False), (source, True)):
            task = repos.task(dir=path, in_place=in_place)
            await repos.prepare(task)
            assert await repos.folders.clean(self.ended(path, in_place=in_place), 1e12) == []
            assert path.exists() and not repos.folders.place(task).exists()

    async def test_files_in_an_empty_folder_are_work(self, repos: Repositories) -> None:
        folder = await repos.prepare(repos.task())
        (folder.path / "poem").touch()
        (said,) = await repos.folders.clean(self.ended(), 1e12)
        assert "it has files in it" in said and (folder.path / "poem").exists()
        (folder.path / "poem").unlink()
        assert await repos.folders.clean(self.ended(), 1e12) == [] and not folder.path.exists()

    async def test_folders_of_nobody_go_when_they_have_nothing(self, repos: Repositories) -> None:
        await repos.prepare(repos.task("1"))
        (repos.work / "task-2").mkdir()
        (repos.work / "task-3").symlink_to(repos.tmp)
        (repos.work / ".gone-abc" / "half").mkdir(parents=True)
        assert await repos.folders.clean({}, time.time()) == []
        assert {path.name for path in repos.work.iterdir()} == {"task-1", "task-2", "task-3"}
        assert await repos.folders.clean({}, time.time() + 7200) == []
        assert {path.name for path in repos.work.iterdir()} == {"task-3"}

    async def test_a_task_that_is_started_again_keeps_its_folder(self, repos: Repositories) -> None:
        source = repos.source()
        task, folder = await repos.cloned(source)
        run = repos.run

        async def meanwhile(launch: cs.Launch, *more: Any) -> Any:
            repos.folders._run = run
            await repos.prepare(task)
            return await run(launch, *more)

        repos.folders._run = meanwhile
        assert await repos.folders.clean(self.ended(source), 1e12) == []
        assert (folder.path / "README").exists()

    async def test_a_record_that_cannot_be_read_deletes_nothing(self, repos: Repositories) -> None:
        task, folder = await repos.cloned(repos.source())
        (repos.folders.place(task) / ".folder.json").write_text("{")
        (said,) = await repos.folders.clean(self.ended(), 1e12)
        assert "cannot be read" in said and folder.root.exists()
        with pytest.raises(cs.Unavailable, match="cannot be read"):
            await repos.prepare(task)

    async def test_sizes_are_what_deleting_gives_back(self, repos: Repositories) -> None:
        source = repos.source(big=random.Random(1).randbytes(500_000).hex())
        _, folder = await repos.cloned(source)
        (folder.path / "way").symlink_to(source)
        await repos.prepare(repos.task("8"))
        sizes = await repos.folders.sizes()
        assert sizes.keys() == {"7", "8"}
        assert 1_000_000 <= sizes["7"] < 1_400_000 and sizes["8"] < 100_000


# == Web ===============================================================================================================


class TestWeb:
    @pytest.fixture
    def chomp(self, both_ways: Any) -> Any:
        return both_ways

    # -- bad requests

    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
    @pytest.mark.parametrize(
        ("body", "code", "words"),
        [
            (b"", "invalid_json", "JSON"),
            (b'{"model": "m",, "messages": []}', "invalid_json", "byte 14"),
            (b'{"model": "m", "messages": [', "invalid_json", "byte 28"),
            (b"\xff\xfe{}", "invalid_json", ""),
            (b'{"model": "\xff"}', "invalid_json", ""),
            (b"[" * 100_000, "invalid_type", "object"),
            (b'{"messages":' + b'{"a":' * 100_000, "invalid_json", ""),
            (b"[]", "invalid_type", "object"),
            (b'"text"', "invalid_type", "object"),
            (b'{"model": 5, "messages": [], "prompt": "", "input": ""}', "invalid_type", "$.model"),
            (b'{"model": "m", "stream": "yes", "messages": [], "prompt": "", "input": ""}', "invalid_type", "$.stream"),
            (b'{"model": "m"}', "missing_required_parameter", "required"),
            (b'{"model": "m", "messages": null, "input": null}', "missing_required_parameter", "required"),
        ],
    )  # fmt: skip
    async def test_a_bad_body_is_refused_without_asking_anybody(
        self, chomp: Any, upstream: Any, path: str, body: bytes, code: str, words: str
    ) -> None:
        router = await upstream()
        client = await chomp(router)
        async with client.post(path, data=body) as answer:
            error = is_openai_error(await answer.read())
            assert answer.status == 400
        assert (error["type"], error["code"]) == ("invalid_request_error", code)
        assert words in error["message"]
        assert router.calls == []

    @pytest.mark.parametrize("messages", ["[]", "[ ]", "[\n\t]"])
    async def test_no_messages_at_all_are_refused(self, chomp: Any, upstream: Any, messages: str) -> None:
        router = await upstream()
        client = await chomp(router)
        async with client.post("/v1/chat/completions", data=f'{{"model":"m","messages":{messages}}}') as answer:
            assert answer.status == 400
            error = is_openai_error(await answer.read())
        assert error["param"] == "messages"
        assert error["code"] in ("missing_required_parameter", "invalid_value")
        assert router.calls == []

    @pytest.mark.parametrize("messages", ['"hi"', "{}", "5"])
    async def test_messages_must_be_a_list(self, chomp: Any, upstream: Any, messages: str) -> None:
        router = await upstream()
        client = await chomp(router)
        async with client.post("/v1/chat/completions", data=f'{{"model":"m","messages":{messages}}}') as answer:
            assert answer.status == 400
            assert is_openai_error(await answer.read())["param"] == "messages"
        assert router.calls == []

    @pytest.mark.parametrize("start", [b"[", b'{"a":['], ids=["array", "object"])
    async def test_json_that_is_too_deep_is_refused_at_any_depth(self, chomp: Any, upstream: Any, start: bytes) -> None:
        client = await chomp(router := await upstream(streams(*STREAM)))  # which reads no JSON
        end = b"]" if start == b"[" else b"]}"
        found: dict[int, set[int]] = {}
        for depth in range(900, 1101):
            nested = start + b"[" * (depth - 1) + b"]" * (depth - 1) + end
            body = b'{"model":"%b","messages":[],"stream":true,"stream_options":%b}' % (router.model.encode(), nested)
            async with client.post("/v1/chat/completions", data=body) as answer:
                await answer.read()
                found.setdefault(answer.status, set()).add(depth)
        assert found.keys() <= {200, 400}, {status: (min(some), max(some)) for status, some in found.items()}
        assert 990 in found[400]

    @pytest.mark.parametrize("body", [b"not gzip", gzip.compress(chat_body())[:-12]], ids=["garbage", "cut"])
    async def test_a_body_whose_coding_is_broken_is_a_400(
        self, chomp: Any, upstream: Any, body: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = await chomp(router := await upstream())
        status, _, got = await ask_raw(client.port, wire(body, headers=[("content-encoding", "gzip")]))
        assert (status, is_openai_error(got)["type"], router.calls) == (400, "invalid_request_error", [])
        assert "Traceback" not in caplog.text

    @pytest.mark.parametrize(
        ("method", "path", "expected", "status"),
        [
            ("GET", "/v1/models", "foo", 417),
            ("POST", "/v1/chat/completions", "foo", 417),
        ],
    )
    async def test_what_is_expected_in_vain_is_refused_at_once(
        self, chomp: Any, upstream: Any, method: str, path: str, expected: str, status: int
    ) -> None:
        client = await chomp(await upstream())
        length = None if method == "GET" else 100  # not a byte of it is sent
        raw = await Raw.to(client.port, wire(path=path, method=method, length=length, headers=[("expect", expected)]))
        got, headers, body = await raw.answer()
        assert (got, headers["content-type"].split(";")[0]) == (status, "application/json")
        is_openai_error(body)
        raw.close()

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("GET", "/v1/chat/completions", "POST"),
            ("PUT", "/v1/embeddings", "POST"),
            ("POST", "/v1/models", "GET, HEAD"),
            ("DELETE", "/health", "GET, HEAD"),
        ],
    )
    async def test_a_wrong_method_names_the_right_one(
        self, chomp: Any, upstream: Any, method: str, path: str, allowed: str
    ) -> None:
        client = await chomp(router := await upstream())
        async with client.http.request(method, client.url + path) as answer:
            assert (answer.status, answer.headers.get("allow")) == (405, allowed)
            is_openai_error(await answer.read())
        assert router.calls == []

    @pytest.mark.parametrize("path", ["/v1", "/v1/nothing", "/v1/chat/completions/", "/%2e%2e/etc/passwd"])
    async def test_an_unknown_address_is_404(self, chomp: Any, upstream: Any, path: str) -> None:
        client = await chomp(await upstream())
        status, _, body = await ask_raw(client.port, wire(path=path, method="GET"))
        assert status == 404
        is_openai_error(body)

    # -- bounds

    async def test_a_body_over_the_limit_is_refused_by_its_length(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(router := await upstream(), limits={"body_bytes": 1000})
        raw = await Raw.to(client.port, wire(length=1 << 40))  # not a byte of it is sent
        status, headers, body = await raw.answer()
        error = is_openai_error(body)
        assert (status, error["code"], router.calls) == (413, "request_too_large", [])
        assert headers["connection"] == "close"
        raw.close()
        assert client.services.bodies.held == 0

    async def test_a_chunked_body_over_the_limit_is_refused_before_its_end(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(router := await upstream(), limits={"body_bytes": 1000})
        piece = b"%x\r\n%b\r\n" % (600, b" " * 600)
        raw = await Raw.to(client.port, wire(length=None, headers=[("transfer-encoding", "chunked")]) + piece + piece)
        status, _, body = await raw.answer()  # the body never ended
        error = is_openai_error(body)
        assert (status, error["code"], router.calls) == (413, "request_too_large", [])
        raw.close()
        assert client.services.bodies.held == 0

    @pytest.mark.parametrize(("length", "token", "expected"), [(1 << 40, TOKEN, 413), (100, "wrong" * 5, 401)])
    async def test_an_expected_body_is_refused_before_it_is_sent(
        self, chomp: Any, upstream: Any, length: int, token: str, expected: int
    ) -> None:
        client = await chomp(await upstream(), limits={"body_bytes": 1000})
        raw = await Raw.to(client.port, wire(length=length, token=token, headers=[("expect", "100-continue")]))
        status, _, body = await raw.answer()
        assert status == expected
        is_openai_error(body)
        raw.close()

    @pytest.mark.parametrize("stream", [False, True])
    async def test_an_expected_body_is_asked_for_once(self, chomp: Any, upstream: Any, stream: bool) -> None:
        client = await chomp(await upstream(says("hi there")))
        body = chat_body(stream=stream)
        raw = await Raw.to(client.port, wire(length=len(body), headers=[("expect", "100-continue")]))
        assert await soon(raw.reader.readuntil(b"\r\n\r\n")) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.writer.write(body)
        status, _, got = await raw.answer()
        assert status == 200
        assert said(got) == "hi there" if stream else got == chat_answer("hi there")
        raw.close()

    async def test_half_a_body_that_never_ends_times_out(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(router := await upstream(), timeouts={"body": "0.3s"})
        body = chat_body()
        raw = await Raw.to(client.port, wire(body[:20], length=len(body)))
        status, _, got = await raw.answer()
        error = is_openai_error(got)
        assert (status, error["code"], router.calls) == (408, "request_timeout", [])
        await raw.eof()
        assert client.services.bodies.held == 0

    async def test_bytes_in_flight_are_bounded(self, chomp: Any, upstream: Any) -> None:
        puppet = Puppet()
        router = await upstream(puppet)
        client = await chomp(router, limits={"inflight_bytes": 250_000})
        big = chat_body(stream=True, filler="x" * 150_000)
        first = await Raw.to(client.port, wire(big))
        await soon(puppet.asked.wait())
        status, headers, body = await ask_raw(client.port, wire(big))
        assert (status, is_openai_error(body)["type"]) == (429, "rate_limit_error")
        assert (headers["retry-after"], headers["x-should-retry"]) == ("1", "true")
        status, _, body = await ask_raw(client.port, wire(b'{"model":"none","messages":[0]}'))
        assert (status, is_openai_error(body)["code"]) == (404, "model_not_found")  # a small one still comes in
        puppet.tell(chat_chunk({"content": "hi"}, "stop"), DONE, None)
        assert said((await first.answer())[2]) == "hi"
        first.close()
        await until(lambda: client.services.bodies.held == 0, "bytes are still held")

    @pytest.mark.parametrize("chunks", [False, True], ids=["length", "chunked"])
    async def test_the_bytes_of_uploads_whose_clients_left_are_given_back(
        self, chomp: Any, upstream: Any, chunks: bool
    ) -> None:
        client = await chomp(await upstream(silent))
        body = chat_body(filler="x" * (3 << 20))
        data = wire(body) if not chunks else wire(length=None, headers=[("transfer-encoding", "chunked")])

        async def leave() -> None:
            raw = await Raw.to(client.port, data + chunked(body) if chunks else data)
            raw.writer.transport.set_write_buffer_limits(0)
            with contextlib.suppress(ConnectionError):
                await raw.writer.drain()
            raw.writer.close()

        async def held() -> int:
            async with client.get("/status") as answer:
                shown = await answer.json()
            return int(shown["inflight"] or shown["inflight_bytes"])

        for _ in range(3):
            await asyncio.gather(*(leave() for _ in range(8)))
        async with asyncio.timeout(PATIENCE_S):
            while await held():
                await asyncio.sleep(0.05)

    async def test_the_bytes_of_a_body_that_was_sent_encoded_are_given_back(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(router := await upstream())
        body = chat_body()
        packed = gzip.compress(body, compresslevel=0)
        assert len(packed) > len(body)
        assert (await ask_raw(client.port, wire(packed, headers=[("content-encoding", "gzip")])))[0] == 200
        assert router.calls[0].body == body
        await until(lambda: client.services.proxy.inflight == 0, "not answered")
        await until(lambda: client.services.bodies.held == 0, "bytes are still held")

    async def test_the_bytes_of_a_chunked_body_count_once(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(router := await upstream(), limits={"inflight_bytes": "4MiB"})
        body = chat_body(filler="x" * 2_500_000)
        pieces = [body[at : at + 50_000] for at in range(0, len(body), 50_000)]
        data = wire(length=None, headers=[("transfer-encoding", "chunked")]) + chunked(*pieces)
        assert (await ask_raw(client.port, data))[0] == 200
        assert router.calls[0].body == body
        await until(lambda: client.services.bodies.held == 0, "bytes are still held")

    @pytest.mark.parametrize(
        ("status", "data"),
        [
            (401, lambda: wire(chat_body(), token="wrong" * 5)),
            (413, lambda: wire(length=1 << 40)),
            (408, lambda: wire(chat_body()[:-5], length=len(chat_body()))),
            (429, lambda: wire(chat_body(filler="x" * 150_000))),
            (400, lambda: wire(chat_body(), headers=[("x-chomp-prefer", "best")])),
        ],
    )
    async def test_a_refused_request_is_in_the_ledger(self, chomp: Any, upstream: Any, status: int, data: Any) -> None:
        client = await chomp(router := await upstream(), timeouts={"body": "0.3s"}, limits={"inflight_bytes": 100_000})
        assert (await ask_raw(client.port, data()))[0] == status
        (row,) = await client.rows(1)
        assert (row["status"], row["router"], row["attempts"], router.calls) == (status, "", 0, [])
        assert row["error_type"] in cs.ERROR_TYPES
        assert (row["caller"] in ("", "unknown")) == (status == 401)
        assert row["api"] == "chat"

    @pytest.mark.parametrize(
        "headers", [[("x-flood", "x" * 100_000)], [(f"x-{n}", "x" * 100) for n in range(5000)]], ids=["long", "many"]
    )
    async def test_a_header_flood_is_refused(self, chomp: Any, upstream: Any, headers: Any) -> None:
        client = await chomp(router := await upstream())
        raw = await Raw.to(client.port, wire(chat_body(), headers=headers))
        status, _, body = await raw.answer()
        assert 400 <= status < 500
        is_openai_error(body)
        await raw.eof()
        assert router.calls == []
        async with client.chat("m") as answer:  # and nobody else suffers
            assert answer.status == 200

    async def test_headers_that_are_too_much_together_are_refused(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(router := await upstream())
        headers = [(f"x-{n}", "x" * 7000) for n in range(12)]  # none of them is too long
        status, _, body = await ask_raw(client.port, wire(chat_body(), headers=headers))
        assert (status in (400, 431), router.calls) == (True, [])
        is_openai_error(body)

    async def test_a_header_without_end_is_cut_off(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(await upstream())
        raw = await Raw.to(client.port, b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nx-endless: ")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while not raw.reader.at_eof() and sent < 64 << 20:
                raw.writer.write(b"x" * 65536)
                await raw.writer.drain()
                sent += 65536
                await asyncio.sleep(0)
        assert sent < 16 << 20
        raw.close()

    async def test_a_hundred_headers_are_fine(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(router := await upstream())
        status, _, _ = await ask_raw(client.port, wire(chat_body(), headers=[(f"y-{n}", "v") for n in range(100)]))
        assert status == 200
        assert sum(name.startswith("y-") for name in router.calls[0].headers) == 100

    @pytest.mark.parametrize("data", [b"\x16\x03\x01\x00\xa5\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
    async def test_what_is_not_http_gets_an_error_and_a_close(self, chomp: Any, upstream: Any, data: bytes) -> None:
        client = await chomp(await upstream())
        raw = await Raw.to(client.port, data + b"\r\n\r\n")
        status, _, body = await raw.answer()
        assert status == 400
        is_openai_error(body)
        await raw.eof()

    # -- callers

    @pytest.mark.parametrize(
        ("headers", "allowed"),
        [
            ([("authorization", f"Bearer {TOKEN}")], True),
            ([("authorization", f"bearer {TOKEN}")], True),
            ([("Authorization", f"BEARER   {TOKEN} ")], True),
            ([("x-api-key", TOKEN)], True),
            ([("X-API-Key", TOKEN), ("authorization", "Basic abc")], True),
            ([], False),
            ([("authorization", "Bearer wrong-token-0123456789")], False),
            ([("authorization", f"Bearer {TOKEN}x")], False),
            ([("authorization", f"Bearer {TOKEN[:-1]}")], False),
            ([("authorization", "Bearer")], False),
            ([("authorization", "Bearer ")], False),
            ([("authorization", TOKEN)], False),
            ([("authorization", f"Basic {TOKEN}")], False),
            ([("authorization", "Bearer \xff\xfe")], False),
            ([("x-api-key", "")], False),
            ([("x-api-key", "wrong")], False),
        ],
    )
    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/status", "/metrics", "/api/usage"])
    async def test_only_the_token_opens(
        self, chomp: Any, upstream: Any, path: str, headers: Sequence[tuple[str, str]], allowed: bool
    ) -> None:
        client = await chomp(router := await upstream())
        post = path.endswith("completions")
        data = wire(chat_body() if post else b"", path, "POST" if post else "GET", token=None, headers=headers)
        status, got, body = await ask_raw(client.port, data)
        if allowed:
            assert status == 200
        else:
            assert (status, router.calls) == (401, [])
            assert is_openai_error(body)["code"] == "invalid_api_key"
            assert got["www-authenticate"].startswith("Bearer")
            _, _, missing = await ask_raw(client.port, wire(path="/status", method="GET", token=None))
            assert body == missing  # the same words whatever was wrong

    @pytest.mark.parametrize("order", ["bad first", "good first"])
    @pytest.mark.parametrize(
        ("good", "bad"),
        [("host: 127.0.0.1", "host: evil.example"), (f"authorization: Bearer {TOKEN}", "authorization: Bearer wrong")],
        ids=["host", "authorization"],
    )
    async def test_a_repeated_header_is_refused_by_both_ways_in(
        self, chomp: Any, upstream: Any, good: str, bad: str, order: str
    ) -> None:
        client = await chomp(router := await upstream())
        both = f"{bad}\r\n{good}" if order == "bad first" else f"{good}\r\n{bad}"
        seen = []
        for more in ([], [("x-chomp-prefer", "")]):  # the second always goes the long way
            data = wire(chat_body(), headers=more).replace(good.encode(), both.encode(), 1)
            status, _, body = await ask_raw(client.port, data)
            seen.append((status, is_openai_error(body)["code"] if status != 200 else ""))
        assert seen[0] == seen[1]
        assert (seen[0][0] in (400, 401, 403), router.calls) == (True, [])

    async def test_without_authentication_only_the_model_endpoints_are_open(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(await upstream(), environ={"CHOMP_V1_NO_AUTH": "1"})
        for path, method, expected in (
            ("/v1/chat/completions", "POST", 200), ("/v1/models", "GET", 200), ("/health", "GET", 200),
            ("/status", "GET", 401), ("/metrics", "GET", 401), ("/api/usage", "GET", 401), ("/api/jobs", "GET", 401),
            ("/api/dispatch", "POST", 401),
        ):  # fmt: skip
            body = chat_body() if method == "POST" else b""
            status, _, _ = await ask_raw(client.port, wire(body, path, method, token=None))
            assert (path, status) == (path, expected)

    async def test_health_is_open_to_all(self, chomp: Any) -> None:
        client = await chomp()
        status, _, body = await ask_raw(client.port, wire(path="/health", method="GET", token=None))
        assert (status, json.loads(body)) == (200, {"ok": True, "status": "ok"})

    @pytest.mark.parametrize(
        ("host", "served"),
        [
            ("127.0.0.1:8001", True), ("localhost", True), ("LOCALHOST:1", True), ("[::1]:8001", True),
            ("192.168.1.5", True), ("app.localhost", True), ("tower.example", True), ("public.example:443", True),
            ("evil.example", False), ("localhost.evil.example", False), ("127.0.0.1.evil.example", False),
            ("", False), ("[::1", False), ("notlocalhost", False), ("127.0.0.1@evil.example", False),
        ],
    )  # fmt: skip
    async def test_foreign_host_names_are_not_served(self, chomp: Any, upstream: Any, host: str, served: bool) -> None:
        environ = {"CHOMP_ALLOWED_HOSTS": "tower.example", "CHOMP_PUBLIC_URL": "https://public.example"}
        client = await chomp(router := await upstream(), environ=environ)
        data = wire(chat_body()).replace(b"host: 127.0.0.1", b"host: " + host.encode(), 1)
        status, _, body = await ask_raw(client.port, data)
        if served:
            assert status == 200
        else:
            assert status in (400, 403)
            is_openai_error(body)
            assert router.calls == []

    @pytest.mark.parametrize(
        ("origin", "status", "cors"),
        [
            ("https://evil.example", 403, None), ("null", 403, None), ("http://127.0.0.1", 200, None),
            ("https://friend.example", 200, "https://friend.example"), ("https://friend.example.evil", 403, None),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("stream", [False, True])
    async def test_foreign_pages_are_refused(
        self, chomp: Any, upstream: Any, origin: str, status: int, cors: str | None, stream: bool
    ) -> None:
        client = await chomp(router := await upstream(), server={"cors_origins": ["https://friend.example"]})
        data = wire(chat_body(stream=stream), headers=[("origin", origin)])
        got, headers, _ = await ask_raw(client.port, data)
        assert (got, headers.get("access-control-allow-origin")) == (status, cors)
        assert len(router.calls) == (status == 200)

    async def test_a_preflight_is_answered_to_configured_origins_only(self, chomp: Any) -> None:
        client = await chomp(server={"cors_origins": ["https://friend.example"]})
        for origin, allowed in (("https://friend.example", True), ("https://evil.example", False)):
            asked = [("origin", origin), ("access-control-request-method", "POST"),
                     ("access-control-request-headers", "authorization")]  # fmt: skip
            data = wire(path="/v1/chat/completions", method="OPTIONS", token=None, headers=asked)
            raw = await Raw.to(client.port, data)
            status, headers = await raw.head()
            raw.close()
            assert (status == 204) == allowed
            assert ("access-control-allow-origin" in headers) == allowed
            assert headers.get("access-control-allow-headers") == ("authorization" if allowed else None)

    # -- what could be injected

    @pytest.mark.parametrize("given", ["abc-123", "a" * 128])
    @pytest.mark.parametrize("model", ["m", "none"])
    async def test_a_request_id_is_echoed(self, chomp: Any, upstream: Any, given: str, model: str) -> None:
        client = await chomp(await upstream())
        async with client.chat(model, headers={"x-request-id": given}) as answer:
            assert answer.headers.getall("x-request-id") == [given]

    @pytest.mark.parametrize("given", ["a b", "a" * 129, "<script>", "a\tb", 'a"b', "\xe9", "\xe6\x97\xa5", ""])
    async def test_an_unusable_request_id_is_replaced(self, chomp: Any, upstream: Any, given: str) -> None:
        client = await chomp(await upstream())
        status, headers, _ = await ask_raw(client.port, wire(chat_body(), headers=[("x-request-id", given)]))
        assert status == 200
        assert re.fullmatch(r"req-[0-9a-f-]+", headers["x-request-id"])
        (row,) = await client.rows(1)
        assert row["request_id"] == headers["x-request-id"]

    async def test_every_answer_has_a_request_id(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(await upstream())
        seen = set()
        for stream, model in ((False, "m"), (True, "m"), (False, "none"), (True, "none")):
            async with client.chat(model, stream=stream) as answer:
                seen.add(answer.headers["x-request-id"])
        assert len(seen) == 4

    @pytest.mark.parametrize(
        "model", ["m\r\nx-evil: 1", "m\n\nHTTP/1.1 200 OK", "m\u2028é", "m\x00", "m\x7f", "\U0001f600", "m x"]
    )
    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_model_name_cannot_add_headers(self, chomp: Any, upstream: Any, model: str, stream: bool) -> None:
        router = await upstream()
        client = await chomp(router)
        raw = await Raw.to(client.port, wire(chat_body(f"{router.id}/{model}", stream=stream)))
        status, headers = await raw.head()
        raw.close()
        assert (status, router.calls[0].json["model"]) == (200, model)
        assert "x-evil" not in headers
        assert headers["x-chomp-model"].isascii()
        assert headers["x-chomp-model"].isprintable()

    # -- secrets

    async def test_secrets_show_up_nowhere(
        self, chomp: Any, upstream: Any, capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        token, wrong = "canary-caller-token-1111", "canary-wrong-token-2222"
        key, second = "canary-router-key-3333", "canary-router-key-4444"
        secrets = (token, key, second)
        shown: list[bytes] = []

        async def act(call: Call) -> None:
            echoed = call.headers["authorization"].removeprefix("Bearer ")
            kind = call.json["kind"]
            text = json.dumps({"error": {"message": f"Incorrect API key provided: {echoed}", "code": echoed}}).encode()
            if kind == "frame":
                await streams(chat_chunk({"content": "x"}), b"data: " + text + b"\n\n", DONE)(call)
            elif kind == "start":
                await streams(b"data: " + text + b"\n\n", DONE)(call)
            elif kind == "plain":
                await call.whole(f"no: {echoed}".encode(), 500, "text/plain")
            else:
                await call.whole(text, int(kind))

        router = await upstream(act)
        client = await chomp({**router.router, "keys": [key, second]}, environ={"CHOMP_API_TOKEN": token})
        root = logging.getLogger()
        handler = cs._Redacting(sys.stderr.write, client.services.credentials.redact)
        monkeypatch.setattr(root, "handlers", [handler])
        monkeypatch.setattr(root, "level", logging.DEBUG)
        auth = {"authorization": f"Bearer {token}"}
        kinds = ["500", "plain", "frame", "start", "400", "401"]
        for kind in kinds:
            for stream in (False, True):
                async with client.chat(router.model, stream=stream, kind=kind, headers=auth) as answer:
                    shown += [await answer.read(), str(answer.headers).encode()]
        async with client.chat("m", headers={"authorization": f"Bearer {wrong}"}) as answer:
            assert answer.status == 401
            shown.append(await answer.read())

        def broken(*args: Any, **more: Any) -> Any:
            raise RuntimeError(f"failed with {key} and {token}")

        with monkeypatch.context() as patch:  # a bug of ours whose words hold secrets
            patch.setattr(cs, "read_envelope", broken)
            status, _, body = await ask_raw(client.port, wire(chat_body(), token=token))
            assert (status, is_openai_error(body)["type"]) == (500, "server_error")
            shown.append(body)
        async with client.post("/v1/chat/completions", data=token + key, headers=auth) as answer:
            shown.append(await answer.read())
        async with client.chat(f"nothing/{key}", headers=auth) as answer:
            shown.append(await answer.read())
        for path in ("/metrics", "/status", "/api/usage?by=key", "/api/usage?by=model", "/v1/models", "/api/jobs"):
            async with client.get(path, headers=auth) as answer:
                assert answer.status == 200
                shown.append(await answer.read())
        rows = await client.rows(2 * len(kinds))
        shown.append(json.dumps([row for row in rows if key not in row["asked_model"]]).encode())
        out = capsys.readouterr()
        shown.append((out.out + out.err).encode())
        everything = b"\n".join(shown).decode("utf-8", "replace")
        assert "[hidden]" in everything  # the canaries did come by
        found = [one for one in (*secrets, wrong) if one in everything]
        assert found == []

    @pytest.mark.parametrize("form", ["text", "json"])
    async def test_a_secret_pasted_as_a_models_name_is_not_kept(
        self, chomp: Any, upstream: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, form: str
    ) -> None:
        caplog.set_level(logging.INFO)
        router = await upstream()
        client = await chomp(router, environ={"CHOMP_LOG": form})
        secrets = (TOKEN, f"key-of-{router.id}")
        capsys.readouterr()
        for n, secret in enumerate(secrets):
            headers = {"x-request-id": f"mine-{n}"}
            async with client.chat(f"{router.id}/{secret}", stream=bool(n), headers=headers) as answer:
                assert answer.status == 200
                await answer.read()
        kept = json.dumps(await client.rows(2))
        async with client.get("/api/usage?by=model") as answer:
            kept += await answer.text()
        printed = [""]

        def logged() -> bool:
            printed[0] += capsys.readouterr().err
            return all(f"mine-{n}" in printed[0] for n in range(2))

        await until(logged, "no log lines")
        assert "[hidden]" in kept and "[hidden]" in printed[0]
        assert [secret for secret in secrets if secret in kept + printed[0]] == []

    def test_logs_hold_no_secrets(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        root = logging.getLogger()
        before, level = root.handlers[:], root.level
        try:
            for form in ("text", "json"):
                settings = cs.Settings(dir=tmp_path, log_level="DEBUG", log_form=form)
                handler = cs.set_up_logging(settings, sys.stderr.write)
                handler.redact = cs.Credentials(cs.Settings(dir=tmp_path), {}, "canary-token").redact
                try:
                    raise RuntimeError("canary-token in an exception")
                except RuntimeError:
                    logging.getLogger("chomp").exception("canary-token in %s", "a canary-token")
        finally:
            root.handlers[:] = before
            root.setLevel(level)
        written = capsys.readouterr().err
        assert written.count("[hidden]") >= 6
        assert "canary-token" not in written


# == Gateway API =======================================================================================================


ADD_CALL: Any = {"id": "call-1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}


async def adds_twice(call: Call) -> None:
    """A chat router that calls the tool `add` until it has two results, then says what they were."""
    results = [said["content"] for said in call.json["messages"] if said["role"] == "tool"]
    if len(results) == 2:
        await says(f"got {','.join(results)}")(call)
        return
    one = {**ADD_CALL, "id": f"call-{len(results)}"}
    if not call.streams:
        said = {"role": "assistant", "content": None, "tool_calls": [one]}
        choice = {"index": 0, "message": said, "finish_reason": "tool_calls"}
        await call.whole(json.dumps({**json.loads(chat_answer()), "choices": [choice]}).encode())
        return
    pieces = [
        {"tool_calls": [{**one, "index": 0, "function": {"name": "add", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
    ]
    await streams(*map(chat_chunk, pieces), chat_chunk({}, "tool_calls"), DONE)(call)


ADD_TOOL: Any = {"tools": [{"name": "add", "input_schema": {"type": "object"}}]}
ADD_TOOL_CHAT: Any = {"tools": [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]}


class TestMessages:
    """Anthropic's dialect, its official SDK as a client, at routers that speak chat completions."""

    @pytest.fixture
    async def sdk(self) -> AsyncIterator[Callable[..., anthropic.AsyncAnthropic]]:
        opened: list[anthropic.AsyncAnthropic] = []

        def open_sdk(client: Chomp, **more: Any) -> anthropic.AsyncAnthropic:
            options = {"api_key": TOKEN, "max_retries": 0, "timeout": PATIENCE_S, **more}
            opened.append(anthropic.AsyncAnthropic(base_url=client.url, **options))
            return opened[-1]

        yield open_sdk
        for one in opened:
            await one.close()

    ASKED: Any = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}

    async def test_a_message(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        client = await chomp(router := await upstream(says("hi there")))
        answer = await sdk(client).messages.with_raw_response.create(
            **self.ASKED, system="be terse", extra_body={"temperature": 0.5}
        )
        assert (answer.headers["x-chomp-router"], answer.headers["request-id"]) == (
            router.id, answer.headers["x-request-id"],
        )  # fmt: skip
        message = await answer.parse()
        assert (message.content[0].text, message.stop_reason, message.model) == ("hi there", "end_turn", "m")
        assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 2)
        assert router.calls[0].json == {
            "model": "m",
            "max_tokens": 50,
            "temperature": 0.5,
            "messages": [{"role": "system", "content": "be terse"}, {"role": "user", "content": "hello"}],
        }
        assert not [name for name in router.calls[0].headers if name.startswith("anthropic-")]
        (row,) = await client.rows(1)
        assert (row["api"], row["prompt_tokens"], row["completion_tokens"]) == ("messages", 7, 2)

    async def test_a_stream(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        client = await chomp(router := await upstream(says("hi there")))
        async with sdk(client).messages.stream(**self.ASKED) as stream:
            kinds = [event.type async for event in stream]
            message = await stream.get_final_message()
        assert [kind for kind in kinds if kind != "text"] == [
            "message_start", "content_block_start", "content_block_delta", "content_block_delta",
            "content_block_stop", "message_delta", "message_stop",
        ]  # fmt: skip
        assert (message.content[0].text, message.stop_reason) == ("hithere", "end_turn")
        assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 2)
        assert router.calls[0].json["stream_options"] == {"include_usage": True}

    @pytest.mark.parametrize("stream", [False, True])
    async def test_three_turns_with_a_tool(self, chomp: Any, upstream: Any, sdk: Any, stream: bool) -> None:
        api = sdk(await chomp(router := await upstream(adds_twice)))
        tools = [{"name": "add", "description": "adds", "input_schema": {"type": "object"}}]
        said: list[Any] = [{"role": "user", "content": "count"}]
        for turn in range(3):
            asked = {**self.ASKED, "messages": said, "tools": tools, "tool_choice": {"type": "any"}}
            if stream:
                async with api.messages.stream(**asked) as events:
                    message = await events.get_final_message()
            else:
                message = await api.messages.create(**asked)
            said.append({"role": "assistant", "content": [block.to_dict() for block in message.content]})
            if message.stop_reason != "tool_use":
                break
            (used,) = message.content
            assert (used.type, used.id, used.name, used.input) == ("tool_use", f"call-{turn}", "add", {"a": 1})
            result = {"type": "tool_result", "tool_use_id": used.id, "content": [{"type": "text", "text": str(turn)}]}
            said.append({"role": "user", "content": [result]})
        assert (turn, message.content[0].text.replace("got", "")[-3:]) == (2, "0,1")
        sent = router.calls[2].json
        assert sent["tools"] == [
            {"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}}}
        ]
        assert sent["tool_choice"] == "required"
        assert sent["messages"][1:3] == [
            {"role": "assistant", "content": None, "tool_calls": [{**ADD_CALL, "id": "call-0"}]},
            {"role": "tool", "tool_call_id": "call-0", "content": "0"},
        ]

    @pytest.mark.parametrize(
        ("given", "sent"),
        [
            ({"stop_sequences": ["a", "b"]}, {"stop": ["a", "b"]}),
            ({"top_p": 0.25}, {"top_p": 0.25}),
            ({"tool_choice": {"type": "auto"}}, {}),  # says nothing where there are no tools
            ({"tool_choice": {"type": "auto"}, **ADD_TOOL}, {"tool_choice": "auto", **ADD_TOOL_CHAT}),
            ({"tool_choice": {"type": "none"}, **ADD_TOOL}, {"tool_choice": "none", **ADD_TOOL_CHAT}),
            (
                {"tool_choice": {"type": "tool", "name": "add", "disable_parallel_tool_use": True}, **ADD_TOOL},
                {
                    "tool_choice": {"type": "function", "function": {"name": "add"}},
                    "parallel_tool_calls": False,
                    **ADD_TOOL_CHAT,
                },
            ),
            (
                {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
                {
                    "response_format": {
                        "type": "json_schema",
                        "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
                    }
                },
            ),
        ],
    )
    def test_options_have_their_place_in_chat(self, given: Any, sent: Any) -> None:
        body, dropped = cs.chat_from_messages(json.dumps({**self.ASKED, **given}).encode())
        assert (json.loads(body), dropped) == ({**self.ASKED, **sent}, ())

    @pytest.mark.parametrize(
        ("said", "sent"),
        [
            (
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
            ),
            (
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                        {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
                        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
                    ],
                },
                [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                            {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
                            {"type": "text", "text": "d"},
                        ],
                    }
                ],
            ),
            (
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "1", "content": "one"},
                        {"type": "tool_result", "tool_use_id": "2"},
                        {"type": "text", "text": "and now?"},
                    ],
                },
                [
                    {"role": "tool", "tool_call_id": "1", "content": "one"},
                    {"role": "tool", "tool_call_id": "2", "content": ""},
                    {"role": "user", "content": "and now?"},
                ],
            ),
            (
                {
                    "role": "assistant",
                    "content": [
                        {"type": "text", "text": "let me"},
                        {"type": "tool_use", "id": "1", "name": "f", "input": {"x": 1.50, "y": "é"}},
                        {"type": "tool_use", "id": "2", "name": "g", "input": {}},
                    ],
                },
                [
                    {
                        "role": "assistant",
                        "content": "let me",
                        "tool_calls": [
                            {
                                "id": "1",
                                "type": "function",
                                "function": {"name": "f", "arguments": '{"x": 1.5, "y": "é"}'},
                            },
                            {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
                        ],
                    }
                ],
            ),
        ],
    )
    def test_what_was_said_has_its_place_in_chat(self, said: Any, sent: Any) -> None:
        asked = {**self.ASKED, "messages": [said]}
        body, dropped = cs.chat_from_messages(json.dumps(asked, ensure_ascii=False).encode())
        assert (json.loads(body)["messages"], dropped) == (sent, ())

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search"),
            ({"mcp_servers": [{"type": "url", "url": "https://x.example", "name": "x"}]}, "mcp_servers"),
            ({"system": [{"type": "image"}]}, "system block"),
            (
                {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "base64"}}]}]},
                "document",
            ),
            ({"messages": [{"role": "user", "content": [{"type": "search_result"}]}]}, "search_result"),
            ({"messages": [{"role": "assistant", "content": [{"type": "server_tool_use"}]}]}, "server_tool_use"),
            ({"messages": [{"role": "robot", "content": "x"}]}, "user or assistant"),
            ({"messages": []}, "empty"),
            ({"max_tokens": "many"}, r"\$\.max_tokens"),
        ],
    )
    async def test_what_has_no_place_is_refused(
        self, chomp: Any, upstream: Any, sdk: Any, more: Any, words: str
    ) -> None:
        api = sdk(await chomp(router := await upstream()))
        with pytest.raises(anthropic.BadRequestError, match=words) as caught:
            await api.messages.create(**self.ASKED, extra_body=more)
        assert caught.value.body["error"]["type"] == "invalid_request_error"
        assert router.calls == []

    async def test_what_is_left_out_is_said(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        api = sdk(await chomp(router := await upstream(says("hi"))))
        thought = {"type": "thinking", "thinking": "hm", "signature": "x"}
        said = [
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": [thought, {"type": "text", "text": "b"}]},
            {"role": "user", "content": "c"},
        ]
        more = {"top_k": 5, "metadata": {"user_id": "u"}, "thinking": {"type": "enabled", "budget_tokens": 1024}}
        answer = await api.messages.with_raw_response.create(**{**self.ASKED, "messages": said}, extra_body=more)
        assert answer.headers["x-chomp-dropped"] == "cache_control, metadata, thinking, top_k"
        assert [one["content"] for one in router.calls[0].json["messages"]] == ["a", "b", "c"]
        assert router.calls[0].json.keys() == {"model", "messages", "max_tokens"}

    async def test_unknown_fields_within_are_said_too(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        api = sdk(await chomp(await upstream(says("hi"))))
        result = [{"type": "text", "text": "1", "deep": 1}]
        said: Any = [
            {"role": "user", "content": [{"type": "text", "text": "a", "new": 1}], "odd": 2},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"any": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": result}]},
        ]
        system: Any = [{"type": "text", "text": "be terse", "voice": "x"}]
        asked = {**self.ASKED, "messages": said, "system": system}
        answer = await api.messages.with_raw_response.create(**asked)
        assert answer.headers["x-chomp-dropped"] == (
            "messages.content.deep, messages.content.new, messages.odd, system.voice"
        )

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("status", "error", "kind"),
        [
            (400, anthropic.BadRequestError, "invalid_request_error"),
            (401, anthropic.AuthenticationError, "authentication_error"),
            (403, anthropic.PermissionDeniedError, "permission_error"),
            (404, anthropic.NotFoundError, "not_found_error"),
            (429, anthropic.RateLimitError, "rate_limit_error"),
            (500, anthropic.InternalServerError, "api_error"),
        ],
    )
    async def test_errors_have_their_class(
        self, chomp: Any, upstream: Any, sdk: Any, status: int, error: Any, kind: str, stream: bool
    ) -> None:
        router = await upstream(fails(status))
        api = sdk(await chomp(router))
        with pytest.raises(error, match=f"no, {status}") as caught:
            await api.messages.create(**{**self.ASKED, "model": router.model}, stream=stream)
        assert (caught.value.body["type"], caught.value.body["error"]["type"]) == ("error", kind)

    async def test_a_wrong_token_is_told_in_its_shape(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        api = sdk(await chomp(await upstream()), api_key="wrong-token-wrong-token")
        with pytest.raises(anthropic.AuthenticationError) as caught:
            await api.messages.create(**self.ASKED)
        assert caught.value.body["error"]["type"] == "authentication_error"

    async def test_a_stream_that_is_cut_raises(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        api = sdk(await chomp(await upstream(streams(chat_chunk({"content": "ha"}), cut=True))))
        seen = []
        with pytest.raises(anthropic.APIStatusError, match="closed the connection"):
            async with api.messages.stream(**self.ASKED) as stream:
                async for event in stream:
                    seen.append(event.type)
        assert "content_block_delta" in seen
        assert "message_stop" not in seen

    async def test_an_answer_that_breaks_off_is_an_error(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        async def act(call: Call) -> None:
            await call.head(content_type="application/json")
            await call.chunk(b'{"choices":[{"message":{"content":"' + b"x" * (2 << 20))
            call.cut()

        api = sdk(await chomp(await upstream(act)))
        with pytest.raises(anthropic.InternalServerError):
            await api.messages.create(**self.ASKED)

    def test_parallel_calls_become_blocks_one_after_the_other(self) -> None:
        events = cs.MessagesEvents()
        pieces = [
            {"reasoning": "hm"},
            {"content": "ok"},
            {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}]},
            {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
        ]
        made = b"".join(map(events.feed, [*map(chat_chunk, pieces), chat_chunk({}, "tool_calls"), DONE]))
        found = [json.loads(line[6:]) for line in (made + events.finish()).split(b"\n") if line.startswith(b"data: ")]
        blocks = [one["content_block"]["type"] for one in found if one["type"] == "content_block_start"]
        assert blocks == ["thinking", "text", "tool_use", "tool_use"]
        arguments = {2: "", 3: ""}
        for one in found:
            if one["type"] == "content_block_delta" and one["delta"]["type"] == "input_json_delta":
                arguments[one["index"]] += one["delta"]["partial_json"]
        assert arguments == {2: '{"x":1}', 3: "{}"}
        starts = [one["index"] for one in found if one["type"] == "content_block_start"]
        stops = [one["index"] for one in found if one["type"] == "content_block_stop"]
        assert starts == stops == [0, 1, 2, 3]
        assert found[-2]["delta"]["stop_reason"] == "tool_use"

    @pytest.mark.parametrize("fixture", FIXTURES, ids=lambda one: one.name)
    def test_events_do_not_depend_on_how_frames_come(self, fixture: Any) -> None:
        def events_of(runs: Iterable[bytes]) -> bytes:
            events = cs.MessagesEvents()
            return b"".join(map(events.feed, runs)) + events.finish()

        framer = cs.Framer(1 << 20)
        whole = framer.feed(fixture.body)
        single = [frame for frame in cs.split_frames(whole) if not frame.startswith(b":")]
        assert events_of(single) == events_of([b"".join(single)])
        kinds = re.findall(rb"^event: (\w+)$", events_of(single), re.M)
        assert kinds[-1] in (b"message_stop", b"error")

    @pytest.mark.parametrize(
        "odd",
        [
            {"choices": None}, {"choices": [None]}, {"choices": [{"delta": 5}]}, {"choices": [{"delta": [1]}]},
            {"choices": [{"delta": {"tool_calls": [None]}}]}, {"choices": [{"delta": {"tool_calls": 5}}]},
            {"choices": [{"delta": {"tool_calls": [{"index": "x"}]}}]}, {"choices": {}}, [], 5, "x", None,
            {"choices": [{"delta": {"content": 5}, "finish_reason": 7}]}, {"usage": 5}, {"id": 5, "model": 7},
        ],
    )  # fmt: skip
    def test_odd_frames_break_nothing(self, odd: Any) -> None:
        events = cs.MessagesEvents()
        pieces = [
            chat_chunk({"content": "a"}),
            b"data: " + json.dumps(odd).encode() + b"\n\n",
            chat_chunk({"content": "b"}),
        ]
        made = b"".join(map(events.feed, pieces)) + events.finish()
        assert re.findall(rb'"text_delta","text":"(\w)"', made) == [b"a", b"b"]
        assert made.count(b"event: message_stop\n") == 1

    @staticmethod
    def blocks_of(*pieces: bytes) -> tuple[list[tuple[str, str]], dict[str, Any]]:
        """Type and content of each block that a client puts together, and the last event before message_stop."""
        events = cs.MessagesEvents()
        made = b"".join(map(events.feed, pieces)) + events.finish()
        found = [json.loads(line[6:]) for line in made.split(b"\n") if line.startswith(b"data: ")]
        blocks: dict[int, list[str]] = {}
        for one in found:
            if one["type"] == "content_block_start":
                blocks[one["index"]] = [one["content_block"].get("name") or one["content_block"]["type"], ""]
            elif one["type"] == "content_block_delta":
                delta = one["delta"]
                blocks[one["index"]][1] += delta.get("text") or delta.get("partial_json") or delta.get("thinking") or ""
        return [(kind, words) for kind, words in blocks.values()], found[-2] if found[-1]["type"] != "error" else found[
            -1
        ]

    @staticmethod
    def call_piece(arguments: str, **more: Any) -> bytes:
        name = more.pop("name", None)
        function = {"arguments": arguments, **({"name": name} if name else {})}
        return chat_chunk({"tool_calls": [{"function": function, **more}]})

    def test_words_that_come_inside_a_call_wait_for_its_end(self) -> None:
        pieces = [self.call_piece('{"a"', index=0, id="a", name="f"), chat_chunk({"content": "hm"})]
        blocks, last = self.blocks_of(*pieces, self.call_piece(":1}", index=0), chat_chunk({}, "tool_calls"))
        assert blocks == [("f", '{"a":1}'), ("text", "hm")]
        assert last["delta"]["stop_reason"] == "tool_use"

    @pytest.mark.parametrize("index", [{}, {"index": 0}], ids=["none", "the same"])
    def test_a_new_id_is_a_new_call(self, index: Any) -> None:
        first = [self.call_piece('{"a"', id="a", name="f", **index), self.call_piece(":1}", **index)]
        second = [self.call_piece('{"b"', id="b", name="g", **index), self.call_piece(":2}", **index)]
        assert self.blocks_of(*first, *second)[0] == [("f", '{"a":1}'), ("g", '{"b":2}')]

    @pytest.mark.parametrize(
        ("frame", "kind"),
        [
            (b'data: {\ndata: "error": {"message": "no"}\ndata: }\n\n', "api_error"),
            (b'data: {"type":"error","message":"boom"}\n\n', "api_error"),
            (b'data: {"error":{"message":"slow","code":429}}\n\n', "rate_limit_error"),
            (b'data: {"error":{"message":"slow","code":503}}\n\n', "overloaded_error"),
        ],
    )
    def test_an_error_within_a_stream_is_an_event_and_the_last(self, frame: bytes, kind: str) -> None:
        blocks, last = self.blocks_of(chat_chunk({"content": "a"}), frame, chat_chunk({"content": "b"}), DONE)
        assert (blocks, last["type"], last["error"]["type"]) == ([("text", "a")], "error", kind)

    def test_a_refusal_is_said(self) -> None:
        blocks, last = self.blocks_of(chat_chunk({"refusal": "I can't"}), chat_chunk({}, "stop"), DONE)
        assert (blocks, last["delta"]["stop_reason"]) == ([("text", "I can't")], "refusal")

    @pytest.mark.parametrize("content", [b'"' + b"x" * (3 << 20) + b'"'])
    async def test_a_large_frame_comes_whole(self, chomp: Any, upstream: Any, sdk: Any, content: bytes) -> None:
        frame = b'data: {"choices":[{"delta":{"content":%b}}]}\n\n' % content
        api = sdk(
            await chomp(await upstream(streams(chat_chunk({"content": "a"}), frame, chat_chunk({}, "stop"), DONE)))
        )
        async with api.messages.stream(**self.ASKED) as stream:
            assert len((await stream.get_final_message()).content[0].text) == 1 + (3 << 20)

    async def test_a_whole_answer_to_a_stream_becomes_events(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        async def act(call: Call) -> None:
            await call.whole(chat_answer("hi there"))

        api = sdk(await chomp(await upstream(act)))
        async with api.messages.stream(**self.ASKED) as stream:
            message = await stream.get_final_message()
        assert (message.content[0].text, message.usage.input_tokens) == ("hi there", 7)

    @pytest.mark.parametrize("answer", [b'{"choices":[{"message":{"content":"\xff"}}]}', b'{"choices":[5]}'])
    async def test_an_answer_that_is_none_is_an_error(self, chomp: Any, upstream: Any, sdk: Any, answer: bytes) -> None:
        async def act(call: Call) -> None:
            await call.whole(answer)

        api = sdk(await chomp(await upstream(act)))
        with pytest.raises(anthropic.InternalServerError):
            await api.messages.create(**self.ASKED)

    async def test_an_answer_that_is_too_large_says_so(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        async def act(call: Call) -> None:
            await call.whole(chat_answer("x" * (3 << 20)))

        api = sdk(await chomp(await upstream(act), limits={"body_bytes": 1 << 20}))
        with pytest.raises(anthropic.InternalServerError, match="larger than"):
            await api.messages.create(**self.ASKED)

    @pytest.mark.parametrize(
        ("more", "dropped"),
        [
            ({"tools": [{"name": "f", "input_schema": {}, "defer_loading": True}]}, ("tools.defer_loading",)),
            (
                {"messages": [{"role": "user", "content": [
                    {"type": "document", "title": "t", "source": {"type": "text", "data": "d"}}]}]},
                ("document.title",),
            ),
            (
                {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "is_error": True,
                    "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]}]}]},
                ("cache_control", "tool_result.is_error"),
            ),
        ],
    )  # fmt: skip
    def test_what_is_left_out_inside_is_named_too(self, more: Any, dropped: Any) -> None:
        assert cs.chat_from_messages(json.dumps({**self.ASKED, **more}).encode())[1] == dropped

    def test_tokens_written_to_a_cache_are_part_of_the_prompt(self) -> None:
        usage = {
            "prompt_tokens": 100,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 80},
        }
        shown = json.loads(cs.message_from_chat(chat_answer("x", usage=usage)))["usage"]
        assert (shown["input_tokens"], shown["cache_creation_input_tokens"], shown["cache_read_input_tokens"]) == (
            0,
            20,
            80,
        )

    async def test_calls_without_an_id_get_one_and_parts_are_words(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        pieces = [
            {"content": [{"type": "text", "text": "look"}]},
            {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]},
        ]
        api = sdk(await chomp(await upstream(streams(*map(chat_chunk, pieces), chat_chunk({}, "stop"), DONE))))
        async with api.messages.stream(**self.ASKED) as stream:
            text, call = (await stream.get_final_message()).content
        assert (text.text, call.id, call.name, call.input) == ("look", "call_0", "f", {})

    async def test_silence_is_filled_with_pings(self, chomp: Any, upstream: Any) -> None:
        puppet = Puppet()
        client = await chomp(await upstream(puppet), timeouts={"keepalive": "50ms"})
        raw = await Raw.to(client.port, wire(json.dumps({**self.ASKED, "stream": True}).encode(), path="/v1/messages"))
        await soon(raw.reader.readuntil(b"event: ping\ndata: "))
        puppet.tell(chat_chunk({"content": "hi"}, "stop"), DONE, None)
        rest = await soon(raw.reader.readuntil(b"message_stop"))
        assert b'"text":"hi"' in rest
        raw.close()

    async def test_tokens_are_counted_roughly_and_it_says_so(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        api = sdk(await chomp(router := await upstream()))
        said = [{"role": "user", "content": "x" * 4000}]
        answer = await api.messages.with_raw_response.count_tokens(model="m", messages=said)
        assert 1000 <= (await answer.parse()).input_tokens < 1100
        assert (answer.headers["x-chomp-estimated"], router.calls) == ("1", [])

    async def test_models(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        api = sdk(await chomp(router := await upstream(says(), "a", "b/c")))
        listed = [model.id async for model in api.models.list()]
        assert listed == [f"{router.id}/a", f"{router.id}/b/c"]
        assert (await api.models.retrieve("b/c")).id == f"{router.id}/b/c"
        with pytest.raises(anthropic.NotFoundError):
            await api.models.retrieve("nothing")

    async def test_anyone_may_look_whether_somebody_is_there(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(await upstream())
        async with aiohttp.ClientSession() as http, http.head(client.url) as answer:
            assert answer.status == 200


class OfficialOpenAI:
    """Brings the official SDK as a client."""

    @pytest.fixture
    async def sdk(self) -> AsyncIterator[Callable[..., openai.AsyncOpenAI]]:
        opened: list[openai.AsyncOpenAI] = []

        def open_sdk(client: Chomp, **more: Any) -> openai.AsyncOpenAI:
            options = {"api_key": TOKEN, "max_retries": 0, "timeout": PATIENCE_S, **more}
            opened.append(openai.AsyncOpenAI(base_url=f"{client.url}/v1", **options))
            return opened[-1]

        yield open_sdk
        for one in opened:
            await one.close()


class TestResponses(OfficialOpenAI):
    """OpenAI's Responses API, its official SDK as a client, at routers that speak chat completions."""

    TOOL: Any = {"type": "function", "name": "add", "description": "adds", "parameters": {"type": "object"}}

    async def test_a_response(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        client = await chomp(router := await upstream(says("hi there")))
        answer = await sdk(client).responses.with_raw_response.create(
            model="m", input="hello", instructions="be terse", max_output_tokens=9, truncation="auto"
        )
        assert (answer.headers["x-chomp-router"], answer.headers["x-chomp-dropped"]) == (router.id, "truncation")
        response = answer.parse()
        assert (response.output_text, response.status, response.model) == ("hi there", "completed", "m")
        assert (response.usage.input_tokens, response.usage.output_tokens) == (7, 2)
        assert router.calls[0].path == "/v1/chat/completions"
        assert router.calls[0].json == {
            "model": "m",
            "messages": [{"role": "system", "content": "be terse"}, {"role": "user", "content": "hello"}],
            "max_tokens": 9,
        }
        (row,) = await client.rows(1)
        assert (row["api"], row["prompt_tokens"], row["completion_tokens"], row["status"]) == ("responses", 7, 2, 200)

    async def test_a_stream(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        client = await chomp(router := await upstream(says("hi there")))
        async with sdk(client).responses.stream(model=router.model, input="hello") as events:
            numbers = [event.sequence_number async for event in events]
            response = await events.get_final_response()
        assert (response.output_text, numbers) == ("hithere", list(range(len(numbers))))
        assert router.calls[0].json["stream_options"] == {"include_usage": True}
        (row,) = await client.rows(1)
        assert (row["stream"], row["completion_tokens"], row["estimated"]) == (1, 2, 0)

    @pytest.mark.parametrize("kept", [False, True])
    @pytest.mark.parametrize("stream", [False, True])
    async def test_three_turns_with_a_tool(self, chomp: Any, upstream: Any, sdk: Any, stream: bool, kept: bool) -> None:
        api = sdk(await chomp(router := await upstream(adds_twice)))
        given: list[Any] = [{"role": "user", "content": "count"}]
        asked: dict[str, Any] = {"model": "m", "tools": [self.TOOL], "tool_choice": "required", "store": kept}
        for turn in range(3):
            if stream:
                async with api.responses.stream(**asked, input=given) as events:
                    response = await events.get_final_response()
            else:
                response = await api.responses.create(**asked, input=given)
            if response.output_text:
                break
            (used,) = response.output
            assert (used.type, used.call_id, used.name, json.loads(used.arguments)) == (
                "function_call", f"call-{turn}", "add", {"a": 1},
            )  # fmt: skip
            result = {"type": "function_call_output", "call_id": used.call_id, "output": str(turn)}
            if kept:
                asked["previous_response_id"], given = response.id, [result]
            else:
                given += [used.to_dict(exclude_unset=False), result]
        assert (turn, response.output_text.replace("got", "")[-3:]) == (2, "0,1")
        assert response.previous_response_id == asked.get("previous_response_id")
        sent = router.calls[2].json
        assert "previous_response_id" not in sent
        assert [one["role"] for one in sent["messages"]] == ["user", "assistant", "tool", "assistant", "tool"]
        assert sent["messages"][1:3] == [
            {"role": "assistant", "content": None, "tool_calls": [{**ADD_CALL, "id": "call-0"}]},
            {"role": "tool", "tool_call_id": "call-0", "content": "0"},
        ]

    async def test_cut_streams_raise(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        client = await chomp(await upstream(streams(chat_chunk({"content": "hi"}), cut=True)))
        with pytest.raises(openai.APIError, match="upstream"):
            async for _ in await sdk(client).responses.create(model="m", input="hello", stream=True):
                pass
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"], row["estimated"]) == (502, "provider_incomplete", 1)

    async def test_what_cannot_be_carried_over_is_refused(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        client = await chomp(router := await upstream())
        with pytest.raises(openai.BadRequestError) as caught:
            await sdk(client).responses.create(model="m", input="hello", background=True)
        assert (caught.value.param, router.calls) == ("background", [])
        (row,) = await client.rows(1)
        assert (row["api"], row["status"]) == ("responses", 400)

    async def test_it_goes_to_a_router_that_can_where_another_cannot(self, chomp: Any, upstream: Any) -> None:
        first, second = await upstream(), await upstream(speaks("responses"))
        second.speaks = {"apis": ["responses"]}
        client = await chomp(first, second)
        async with client.post("/v1/responses", json={"model": "m", "input": "hello", "background": True}) as answer:
            assert (answer.status, answer.headers["x-chomp-router"]) == (200, second.id)
        assert not first.calls

    @pytest.mark.parametrize("stream", [False, True])
    async def test_an_answer_that_is_none_goes_to_the_next(self, chomp: Any, upstream: Any, stream: bool) -> None:
        async def odd(call: Call) -> None:
            await call.whole(b'{"choices":[5]}')

        first, second = await upstream(odd), await upstream(says("fine"))
        client = await chomp(first, second)
        asked = {"model": "m", "input": "hello", "stream": stream}
        async with client.post("/v1/responses", json=asked) as answer:
            assert (answer.status, answer.headers["x-chomp-attempts"]) == (200, "2")
            assert b"fine" in await answer.read()

    async def test_a_router_that_does_not_stream(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        async def whole(call: Call) -> None:
            await call.whole(chat_answer("hi"))

        client = await chomp(await upstream(whole))
        async with sdk(client).responses.stream(model="m", input="hello") as events:
            assert (await events.get_final_response()).output_text == "hi"


NATIVE_MESSAGE: Any = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "hi there"}],
    "stop_reason": "end_turn", "stop_sequence": None,
    "usage": {
        "input_tokens": 7, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3, "output_tokens": 2,
    },
}  # fmt: skip
NATIVE_MESSAGE_STREAM = [
    _event(name, {"type": name, **fields})
    for name, fields in (
        ("message_start", {"message": {**NATIVE_MESSAGE, "content": [], "stop_reason": None}}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        ("ping", {}),
        ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "hi "}}),
        ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "there"}}),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 4}}),
        ("message_stop", {}),
    )
]
NATIVE_RESPONSE: Any = {
    "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "error": None,
    "incomplete_details": None, "instructions": None, "metadata": {}, "parallel_tool_calls": True, "temperature": 1.0,
    "tool_choice": "auto", "tools": [], "top_p": 1.0,
    "output": [{
        "id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "hi there", "annotations": [], "logprobs": []}],
    }],
    "usage": {
        "input_tokens": 7, "input_tokens_details": {"cached_tokens": 5}, "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 11,
    },
}  # fmt: skip
_AT: Any = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
_SAYING: Any = {**NATIVE_RESPONSE["output"][0], "status": "in_progress", "content": []}
NATIVE_RESPONSE_STREAM = [
    _event(name, {"type": name, "sequence_number": number, **fields})
    for number, (name, fields) in enumerate(
        (
            (
                "response.created",
                {"response": {**NATIVE_RESPONSE, "status": "in_progress", "output": [], "usage": None}},
            ),
            ("response.output_item.added", {"output_index": 0, "item": _SAYING}),
            ("response.content_part.added", {**_AT, "part": {"type": "output_text", "text": "", "annotations": []}}),
            ("response.output_text.delta", {**_AT, "delta": "hi ", "logprobs": []}),
            ("response.output_text.delta", {**_AT, "delta": "there", "logprobs": []}),
            ("response.output_text.done", {**_AT, "text": "hi there", "logprobs": []}),
            ("response.content_part.done", {**_AT, "part": NATIVE_RESPONSE["output"][0]["content"][0]}),
            ("response.output_item.done", {"output_index": 0, "item": NATIVE_RESPONSE["output"][0]}),
            ("response.completed", {"response": NATIVE_RESPONSE}),
        )
    )
]
NATIVE: dict[str, tuple[Any, list[bytes]]] = {
    "messages": (NATIVE_MESSAGE, NATIVE_MESSAGE_STREAM), "responses": (NATIVE_RESPONSE, NATIVE_RESPONSE_STREAM),
}  # fmt: skip
NATIVE_ASKED: dict[str, Any] = {
    "messages": {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]},
    "responses": {"model": "m", "input": "hello"},
}


def speaks(api: str) -> Act:
    """A router that speaks the messages or responses dialect itself."""

    async def act(call: Call) -> None:
        whole, frames = NATIVE[api]
        await (streams(*frames)(call) if call.streams else call.whole(json.dumps(whole).encode()))

    return act


class TestNative:
    """Targets that speak the client's dialect: what they say goes through untouched, and is metered."""

    @pytest.fixture(params=["messages", "responses"])
    def api(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    async def asked(
        self, client: Chomp, api: str, headers: Any = None, query: str = "", **more: Any
    ) -> tuple[int, Any, bytes]:
        asked = {**NATIVE_ASKED[api], **more}
        async with client.post(f"/v1/{api}{query}", json=asked, headers=headers) as answer:
            return answer.status, answer.headers, await answer.read()

    @pytest.fixture
    def native(self, upstream: Any, api: str) -> Callable[..., Awaitable[Upstream]]:
        async def start(act: Act | None = None) -> Upstream:
            router = await upstream(act or speaks(api))
            router.speaks = {"apis": [api]}
            return router

        return start

    async def test_an_answer(self, chomp: Any, native: Any, api: str) -> None:
        client = await chomp(router := await native())
        status, headers, body = await self.asked(client, api, future={"x": 1.50})
        assert (status, body, headers["x-chomp-router"]) == (200, json.dumps(NATIVE[api][0]).encode(), router.id)
        assert ("request-id" in headers, "x-chomp-dropped" in headers) == (api == "messages", False)
        (call,) = router.calls
        assert call.path == f"/v1/{api}"
        assert call.body == json.dumps({**NATIVE_ASKED[api], "future": {"x": 1.50}}).encode()
        (row,) = await client.rows(1)
        tokens = (row["api"], row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"], row["estimated"])
        assert tokens == ((api, 15, 5, 2, 0) if api == "messages" else (api, 7, 5, 4, 0))

    async def test_a_stream_is_the_same_bytes(self, chomp: Any, native: Any, api: str) -> None:
        client = await chomp(router := await native())
        status, headers, body = await self.asked(client, api, stream=True)
        assert (status, body) == (200, b"".join(NATIVE[api][1]))
        assert headers["content-type"] == "text/event-stream"
        assert router.calls[0].json == {**NATIVE_ASKED[api], "stream": True}
        (row,) = await client.rows(1)
        tokens = (row["stream"], row["prompt_tokens"], row["cached_tokens"], row["completion_tokens"], row["estimated"])
        assert tokens == ((1, 15, 5, 4, 0) if api == "messages" else (1, 7, 5, 4, 0))
        assert (row["status"], row["error_type"], row["ttft_ms"] is None) == (200, "", False)

    async def test_the_models_name_and_the_query_are_carried_over(self, chomp: Any, native: Any, api: str) -> None:
        client = await chomp(router := await native())
        asked = {"model": f"{router.id}/m", "query": "?beta=true"}
        for headers in ({"anthropic-version": "2023-06-01", "anthropic-beta": "a,b"}, {"x-chomp-no-fallback": "1"}):
            assert (await self.asked(client, api, headers=headers, **asked))[0] == 200
        one, two = router.calls
        assert (one.path, two.path) == (f"/v1/{api}?beta=true",) * 2
        assert (one.json["model"], one.headers["anthropic-beta"]) == ("m", "a,b")

    async def test_a_stream_that_is_cut_ends_with_an_error(self, chomp: Any, native: Any, api: str) -> None:
        client = await chomp(await native(streams(*NATIVE[api][1][:5], b"event: x\ndata: {", cut=True)))
        _, _, body = await self.asked(client, api, stream=True)
        whole = b"".join(NATIVE[api][1][:5])
        assert body.startswith(whole)
        (frame,) = cs.split_frames(body[len(whole) :])
        assert frame.startswith(b"event: error\n")
        assert json.loads(cs.payloads(frame)[0])["error"]["message"]
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"], row["estimated"]) == (502, "provider_incomplete", api == "responses")

    async def test_an_error_after_start_up_frames_goes_to_the_next(self, chomp: Any, native: Any, api: str) -> None:
        broken = {
            "messages": _event("error", {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
            "responses": _event("response.failed", {
                "type": "response.failed",
                "response": {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "busy"}},
            }),
        }[api]  # fmt: skip
        first, second = await native(streams(*NATIVE[api][1][:2], broken)), await native()
        client = await chomp(first, second)
        status, headers, body = await self.asked(client, api, stream=True)
        assert (status, body, headers["x-chomp-attempts"]) == (200, b"".join(NATIVE[api][1]), "2")
        first.act = second.act = streams(*NATIVE[api][1][:2], broken)
        status, headers, body = await self.asked(await chomp(first), api, stream=True)
        assert (status, b"busy" in body) == (529 if api == "messages" else 429, True)

    async def test_a_200_that_is_none_goes_to_the_next(self, chomp: Any, native: Any, api: str) -> None:
        async def nothing(call: Call) -> None:
            await call.whole(b'{"id":"x"}')

        async def wrong(call: Call) -> None:
            await call.whole(b'{"type":"error","error":{"type":"api_error","message":"oh"}}')

        first, second, third = await native(nothing), await native(wrong), await native()
        client = await chomp(first, second, third)
        status, headers, _ = await self.asked(client, api)
        assert (status, headers["x-chomp-attempts"]) == (200, "3")

    async def test_errors_have_the_dialects_shape(self, chomp: Any, native: Any, api: str) -> None:
        client = await chomp(await native(fails(400)))
        status, _, body = await self.asked(client, api)
        told = json.loads(body)
        assert (status, told["error"]["message"]) == (400, "no, 400")
        assert (told.get("type"), "code" in told["error"]) == (("error", False) if api == "messages" else (None, True))

    async def test_silence_is_filled(self, chomp: Any, native: Any, api: str) -> None:
        puppet = Puppet()
        client = await chomp(await native(puppet), timeouts={"keepalive": "50ms"})
        asked = json.dumps({**NATIVE_ASKED[api], "stream": True}).encode()
        raw = await Raw.to(client.port, wire(asked, path=f"/v1/{api}"))
        filler = b"event: ping\ndata: " if api == "messages" else b": keep-alive\n\n"
        await soon(raw.reader.readuntil(filler))
        puppet.tell(*NATIVE[api][1][:4])
        await soon(raw.reader.readuntil(b"hi "))
        await soon(raw.reader.readuntil(filler))
        puppet.tell(*NATIVE[api][1][4:], None)
        await soon(raw.reader.readuntil(NATIVE[api][1][-1]))
        raw.close()

    async def test_a_client_that_leaves_frees_the_router(self, chomp: Any, native: Any, api: str) -> None:
        puppet = Puppet()
        client = await chomp(router := await native(puppet))
        asked = json.dumps({**NATIVE_ASKED[api], "stream": True}).encode()
        raw = await Raw.to(client.port, wire(asked, path=f"/v1/{api}"))
        puppet.tell(*NATIVE[api][1][:4])
        await soon(raw.reader.readuntil(b"hi "))
        raw.close()
        await soon(router.calls[0].gone.wait())
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"], row["estimated"]) == (499, "caller_cancelled", api == "responses")

    async def test_the_official_sdks(self, chomp: Any, native: Any, api: str) -> None:
        client = await chomp(await native())
        if api == "messages":
            async with anthropic.AsyncAnthropic(base_url=client.url, api_key=TOKEN, max_retries=0) as sdk:
                async with sdk.messages.stream(**NATIVE_ASKED[api]) as stream:
                    message = await stream.get_final_message()
                assert (message.content[0].text, message.usage.output_tokens) == ("hi there", 4)  # type: ignore[union-attr]
            return
        async with openai.AsyncOpenAI(base_url=f"{client.url}/v1", api_key=TOKEN, max_retries=0) as api_sdk:
            async with api_sdk.responses.stream(**NATIVE_ASKED[api]) as events:
                response = await events.get_final_response()
            assert (response.output_text, response.usage.total_tokens) == ("hi there", 11)  # type: ignore[union-attr]

    async def test_cut_streams_raise_in_the_official_sdks(self, chomp: Any, native: Any, api: str) -> None:
        client = await chomp(await native(streams(*NATIVE[api][1][:5], cut=True)))
        if api == "messages":
            async with anthropic.AsyncAnthropic(base_url=client.url, api_key=TOKEN, max_retries=0) as sdk:
                with pytest.raises(anthropic.APIStatusError):
                    async for _ in await sdk.messages.create(**NATIVE_ASKED[api], stream=True):
                        pass
            return
        async with openai.AsyncOpenAI(base_url=f"{client.url}/v1", api_key=TOKEN, max_retries=0) as api_sdk:
            with pytest.raises(openai.APIError):
                async for _ in await api_sdk.responses.create(**NATIVE_ASKED[api], stream=True):
                    pass

    async def test_zens_key_goes_where_the_dialect_wants_it(self, chomp: Any, native: Any, api: str) -> None:
        router = await native()
        router.speaks["messages_auth"] = "x-api-key"
        client = await chomp(router)
        await self.asked(client, api)
        sent = router.calls[0].headers
        assert (sent.get("x-api-key"), sent.get("authorization")) == (
            (f"key-of-{router.id}", None) if api == "messages" else (None, f"Bearer key-of-{router.id}")
        )

    async def test_which_dialect_is_told_by_the_model(self, chomp: Any, upstream: Any, api: str) -> None:
        router = await upstream(speaks(api), "claude-x", "gemini-x")
        router.speaks = {"apis": ["chat"], "model_apis": {"claude-*": [api], "gemini-*": []}}
        client = await chomp(router)
        assert (await self.asked(client, api, model="claude-x"))[0] == 200
        status, _, body = await self.asked(client, api, model="gemini-x")
        assert (status, b"does not serve" in body) == (400, True)


_USED: Any = {"type": "tool_use", "id": "call-1", "name": "add", "input": {"a": 1}}
_CALLED: Any = {
    "type": "function_call", "id": "fc_1", "call_id": "call-1", "name": "add", "arguments": '{"a":1}', "status": "completed",
}  # fmt: skip
TOOL_CALLS: dict[str, tuple[Any, list[bytes]]] = {  # a call of `add`, whole and streamed
    "chat": (
        {
            **json.loads(chat_answer()),
            "choices": [{
                "index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [ADD_CALL]},
                "finish_reason": "tool_calls",
            }],
        },
        [
            chat_chunk({"tool_calls": [{**ADD_CALL, "index": 0, "function": {"name": "add", "arguments": ""}}]}),
            chat_chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"a":1}'}}]}),
            chat_chunk({}, "tool_calls"),
            chat_chunk(None, usage=USAGE),
            DONE,
        ],
    ),
    "messages": (
        {**NATIVE_MESSAGE, "content": [_USED], "stop_reason": "tool_use"},
        [
            NATIVE_MESSAGE_STREAM[0],
            *(
                _event(name, {"type": name, **fields})
                for name, fields in (
                    ("content_block_start", {"index": 0, "content_block": {**_USED, "input": {}}}),
                    ("content_block_delta", {"index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"a"'}}),
                    ("content_block_delta", {"index": 0, "delta": {"type": "input_json_delta", "partial_json": ":1}"}}),
                    ("content_block_stop", {"index": 0}),
                    ("message_delta", {"delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 4}}),
                    ("message_stop", {}),
                )
            ),
        ],
    ),
    "responses": (
        {**NATIVE_RESPONSE, "output": [_CALLED]},
        [
            NATIVE_RESPONSE_STREAM[0],
            *(
                _event(name, {"type": name, "sequence_number": number, **fields})
                for number, (name, fields) in enumerate(
                    (
                        ("response.output_item.added", {
                            "output_index": 0, "item": {**_CALLED, "arguments": "", "status": "in_progress"},
                        }),
                        ("response.function_call_arguments.delta", {
                            "item_id": "fc_1", "output_index": 0, "delta": '{"a":1}',
                        }),
                        ("response.function_call_arguments.done", {
                            "item_id": "fc_1", "output_index": 0, "name": "add", "arguments": '{"a":1}',
                        }),
                        ("response.output_item.done", {"output_index": 0, "item": _CALLED}),
                        ("response.completed", {"response": {**NATIVE_RESPONSE, "output": [_CALLED]}}),
                    ),
                    1,
                )
            ),
        ],
    ),
}  # fmt: skip


class TestAnyDialectOnAnyTarget:
    """Clients of all three dialects, the official SDKs, at targets that speak one only."""

    TOOL_OF: Any = {
        "chat": {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}},
        "messages": {"name": "add", "input_schema": {"type": "object"}},
        "responses": {"type": "function", "name": "add", "parameters": {"type": "object"}},
    }
    TURNS: Any = {  # a question, the call it led to, and the call's result
        "chat": [
            {"role": "user", "content": "count"},
            {"role": "assistant", "content": None, "tool_calls": [ADD_CALL]},
            {"role": "tool", "tool_call_id": "call-1", "content": "2"},
        ],
        "messages": [
            {"role": "user", "content": "count"},
            {"role": "assistant", "content": [_USED]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call-1", "content": "2"}]},
        ],
        "responses": [
            {"role": "user", "content": "count"},
            {"type": "function_call", "call_id": "call-1", "name": "add", "arguments": '{"a":1}'},
            {"type": "function_call_output", "call_id": "call-1", "output": "2"},
        ],
    }

    @pytest.fixture(params=["chat", "messages", "responses"])
    def target(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture(params=["chat", "messages", "responses"])
    def speaker(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    async def heard(self, client: Chomp, speaker: str, stream: bool) -> tuple[str, list[tuple[str, str, Any]]]:
        """The text an SDK makes of the answer, and the tool calls."""
        tools, said = [self.TOOL_OF[speaker]], self.TURNS[speaker]
        if speaker == "messages":
            async with anthropic.AsyncAnthropic(base_url=client.url, api_key=TOKEN, max_retries=0) as sdk:
                asked: Any = {"model": "m", "max_tokens": 50, "messages": said, "tools": tools}
                if stream:
                    async with sdk.messages.stream(**asked) as running:
                        message: Any = await running.get_final_message()
                else:
                    message = await sdk.messages.create(**asked)
            used = [(one.id, one.name, one.input) for one in message.content if one.type == "tool_use"]
            return "".join(one.text for one in message.content if one.type == "text"), used
        async with openai.AsyncOpenAI(base_url=f"{client.url}/v1", api_key=TOKEN, max_retries=0) as api:
            if speaker == "responses":
                asked = {"model": "m", "input": said, "tools": tools}
                if stream:
                    async with api.responses.stream(**asked) as events:
                        response: Any = await events.get_final_response()
                else:
                    response = await api.responses.create(**asked)
                calls = [one for one in response.output if one.type == "function_call"]
                return response.output_text, [(one.call_id, one.name, json.loads(one.arguments)) for one in calls]
            asked = {"model": "m", "messages": said, "tools": tools}
            if stream:
                async with api.chat.completions.stream(**asked) as chunks:
                    chat: Any = await chunks.get_final_completion()
            else:
                chat = await api.chat.completions.create(**asked)
            made = chat.choices[0].message
            called = [(one.id, one.function.name, json.loads(one.function.arguments)) for one in made.tool_calls or ()]
            return made.content or "", called

    @pytest.mark.parametrize("stream", [False, True])
    async def test_words(self, chomp: Any, upstream: Any, speaker: str, target: str, stream: bool) -> None:
        router = await upstream(says("hi there") if target == "chat" else speaks(target))
        router.speaks = {"apis": [target]}
        client = await chomp(router)
        text, used = await self.heard(client, speaker, stream)
        assert (text.replace(" ", ""), used) == ("hithere", [])
        (call,) = router.calls
        assert call.path == cs._PATHS[target].join(["/v1", ""])  # type: ignore[index]
        (row,) = await client.rows(1)
        tokens = {"chat": (7, 2), "messages": (15, 4 if stream else 2), "responses": (7, 4)}[target]
        assert (row["api"], row["prompt_tokens"], row["completion_tokens"]) == (speaker, *tokens)
        assert (row["status"], row["error_type"], row["estimated"]) == (200, "", 0)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_tools(self, chomp: Any, upstream: Any, speaker: str, target: str, stream: bool) -> None:
        whole, pieces = TOOL_CALLS[target]

        async def act(call: Call) -> None:
            await (streams(*pieces)(call) if call.streams else call.whole(json.dumps(whole).encode()))

        router = await upstream(act)
        router.speaks = {"apis": [target]}
        text, used = await self.heard(await chomp(router), speaker, stream)
        assert (text, used) == ("", [("call-1", "add", {"a": 1})])
        sent = router.calls[0].json
        told = sent["input" if target == "responses" else "messages"]
        history = json.dumps(told)
        assert history.count("call-1") == 2
        assert told[0]["role"] == "user" and "count" in json.dumps(told[0])
        assert "add" in json.dumps(sent["tools"])

    async def test_cut_streams_raise(self, chomp: Any, upstream: Any, speaker: str, target: str) -> None:
        pieces = {
            "chat": [chat_chunk({"content": "hi"})], "messages": NATIVE_MESSAGE_STREAM[:4],
            "responses": NATIVE_RESPONSE_STREAM[:4],
        }[target]  # fmt: skip
        router = await upstream(streams(*pieces, cut=True))
        router.speaks = {"apis": [target]}
        client = await chomp(router)
        with pytest.raises((openai.APIError, anthropic.APIError)):
            await self.heard(client, speaker, True)
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"]) == (502, "provider_incomplete")

    async def test_errors_in_a_stream_raise_with_their_words(
        self, chomp: Any, upstream: Any, speaker: str, target: str
    ) -> None:
        pieces = {
            "chat": [chat_chunk({"content": "hi"}), b'data: {"error":{"message":"no more","code":"x"}}\n\n'],
            "messages": [
                *NATIVE_MESSAGE_STREAM[:4],
                _event("error", {"type": "error", "error": {"type": "api_error", "message": "no more"}}),
            ],
            "responses": [
                *NATIVE_RESPONSE_STREAM[:4],
                _event("error", {"type": "error", "code": "x", "message": "no more", "param": None}),
            ],
        }[target]
        router = await upstream(streams(*pieces))
        router.speaks = {"apis": [target]}
        client = await chomp(router)
        if (speaker, target) == ("responses", "responses"):  # the SDK hands such an event on
            async with client.post("/v1/responses", json={"model": "m", "input": "hi", "stream": True}) as answer:
                assert b"no more" in await answer.read()
        else:
            with pytest.raises((openai.APIError, anthropic.APIError), match="no more"):
                await self.heard(client, speaker, True)
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"]) == (502, "provider_error")

    async def test_refusals_keep_status_and_words(self, chomp: Any, upstream: Any, speaker: str, target: str) -> None:
        router = await upstream(fails(403, b'{"type":"error","error":{"type":"RegionError","message":"not here"}}'))
        router.speaks = {"apis": [target]}
        with pytest.raises((openai.PermissionDeniedError, anthropic.PermissionDeniedError), match="not here"):
            await self.heard(await chomp(router), speaker, False)


CLIENT_REQUESTS: dict[str, Any] = {  # as these clients sent them, texts and lists of tools shortened
    "Codex 0.169": (
        "/v1/responses",
        "authorization",
        '{"x-codex-beta-features": "remote_compaction_v2", "x-codex-turn-metadata": "{\\"session_id\\": \\"id-1\\"}", "session-id": "id-1", "accept": "text/event-stream", "originator": "codex_exec", "user-agent": "codex_exec/0.169.0 (Debian 12.0.0; x86_64) xterm (codex_exec; 0.169.0)"}',
        '{"model": "coder", "stream": true, "input": [{"type": "message", "id": "id-1", "role": "developer", "content": [{"type": "input_text", "text": "some text"}]}, {"type": "message", "id": "id-1", "role": "developer", "content": [{"type": "input_text", "text": "some text"}, {"type": "input_text", "text": "some text"}]}, {"type": "message", "id": "id-1", "role": "user", "content": [{"type": "input_text", "text": "some text"}]}, {"type": "message", "id": "id-1", "role": "user", "content": [{"type": "input_text", "text": "say hi"}]}, {"type": "message", "status": "completed", "id": "id-1", "role": "assistant", "content": [{"type": "output_text", "text": "I will look. ", "annotations": [], "logprobs": []}]}, {"type": "function_call", "status": "completed", "id": "id-1", "name": "exec_command", "arguments": "{\\"cmd\\": \\"echo from-the-tool\\"}", "call_id": "call_1"}, {"type": "function_call_output", "id": "id-1", "call_id": "call_1", "output": "some text"}], "tools": [{"type": "function", "name": "exec_command", "description": "some text", "strict": false, "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}}, {"type": "namespace", "name": "multi_agent_v1", "description": "some text", "tools": [{"type": "function", "name": "close_agent", "description": "some text", "strict": false, "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}}]}, {"type": "web_search", "external_web_access": false}], "tool_choice": "auto", "parallel_tool_calls": true, "reasoning": {"summary": "auto"}, "store": false, "include": ["reasoning.encrypted_content"], "prompt_cache_key": "id-1", "client_metadata": {"turn_id": "id-1", "session_id": "id-1", "root_turn_id": "id-1", "x-codex-turn-metadata": "{\\"session_id\\": \\"id-1\\"}", "thread_id": "id-1", "x-codex-installation-id": "id-1", "x-codex-window-id": "id-1"}}',
    ),
    "opencode 1.18, chat": (
        "/v1/chat/completions",
        "authorization",
        '{"user-agent": "opencode/1.18.33 ai-sdk/provider-utils/4.0.23 runtime/bun/1.3.14", "x-session-affinity": "id-1", "x-session-id": "id-1", "accept": "*/*", "accept-encoding": "gzip, deflate, br, zstd"}',
        '{"model": "coder", "max_tokens": 32000, "messages": [{"role": "system", "content": "some text"}, {"role": "user", "content": "\\"say hi\\""}, {"role": "assistant", "content": "I will look. ", "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "bash", "arguments": "{\\"command\\":\\"echo from-the-tool\\",\\"description\\":\\"say\\"}"}}]}, {"role": "tool", "tool_call_id": "call_1", "content": "from-the-tool\\n"}], "tools": [{"type": "function", "function": {"name": "bash", "description": "some text", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}}}], "tool_choice": "auto", "stream": true, "stream_options": {"include_usage": true}}',
    ),
    "opencode 1.18, messages": (
        "/v1/messages",
        "x-api-key",
        '{"user-agent": "opencode/1.18.33 ai-sdk/provider-utils/4.0.46 runtime/bun/1.3.14", "anthropic-version": "2023-06-01", "x-session-affinity": "id-1", "x-session-id": "id-1", "accept": "*/*", "accept-encoding": "gzip, deflate, br, zstd"}',
        '{"model": "coder", "max_tokens": 32000, "system": [{"type": "text", "text": "some text", "cache_control": {"type": "ephemeral"}}], "messages": [{"role": "user", "content": [{"type": "text", "text": "\\"say hi\\""}]}, {"role": "assistant", "content": [{"type": "text", "text": "I will look. "}, {"type": "tool_use", "id": "call_1", "name": "bash", "input": {"command": "echo from-the-tool", "description": "say"}, "cache_control": {"type": "ephemeral"}}]}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "from-the-tool\\n", "cache_control": {"type": "ephemeral"}}]}], "tools": [{"name": "bash", "description": "some text", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}}], "tool_choice": {"type": "auto"}, "stream": true}',
    ),
    "opencode 1.18, responses": (
        "/v1/responses",
        "authorization",
        '{"user-agent": "opencode/1.18.33 ai-sdk/provider-utils/4.0.40 runtime/bun/1.3.14", "x-session-affinity": "id-1", "x-session-id": "id-1", "accept": "*/*", "accept-encoding": "gzip, deflate, br, zstd"}',
        '{"model": "coder", "input": [{"role": "system", "content": "some text"}, {"role": "user", "content": [{"type": "input_text", "text": "\\"say hi\\""}]}, {"role": "assistant", "content": [{"type": "output_text", "text": "I will look. "}]}, {"type": "function_call", "call_id": "call_1", "name": "bash", "arguments": "{\\"command\\":\\"echo from-the-tool\\",\\"description\\":\\"say\\"}"}, {"type": "function_call_output", "call_id": "call_1", "output": "from-the-tool\\n"}], "max_output_tokens": 32000, "store": false, "prompt_cache_key": "id-1", "tools": [{"type": "function", "name": "bash", "description": "some text", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}, "strict": false}], "tool_choice": "auto", "stream": true}',
    ),
    "pi 0.73, chat": (
        "/v1/chat/completions",
        "authorization",
        '{"accept": "application/json", "user-agent": "OpenAI/JS 6.26.0", "x-stainless-lang": "js", "accept-encoding": "gzip, deflate"}',
        '{"model": "coder", "messages": [{"role": "system", "content": "some text"}, {"role": "user", "content": [{"type": "text", "text": "say hi"}]}, {"role": "assistant", "content": "I will look. ", "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "bash", "arguments": "{\\"command\\":\\"echo from-the-tool\\",\\"description\\":\\"say\\"}"}}]}, {"role": "tool", "content": "from-the-tool\\n", "tool_call_id": "call_1"}], "stream": true, "stream_options": {"include_usage": true}, "store": false, "max_completion_tokens": 16384, "tools": [{"type": "function", "function": {"name": "read", "description": "some text", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}, "strict": false}}, {"type": "function", "function": {"name": "bash", "description": "some text", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}, "strict": false}}]}',
    ),
    "pi 0.73, responses": (
        "/v1/responses",
        "authorization",
        '{"accept": "application/json", "user-agent": "OpenAI/JS 6.26.0", "x-stainless-lang": "js", "session_id": "id-1", "accept-encoding": "gzip, deflate"}',
        '{"model": "coder", "input": [{"role": "system", "content": "some text"}, {"role": "user", "content": [{"type": "input_text", "text": "say hi"}]}, {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I will look. ", "annotations": []}], "status": "completed", "id": "id-1"}, {"type": "function_call", "id": "id-1", "call_id": "call_1", "name": "bash", "arguments": "{\\"command\\":\\"echo from-the-tool\\",\\"description\\":\\"say\\"}"}, {"type": "function_call_output", "call_id": "call_1", "output": "from-the-tool\\n"}], "stream": true, "prompt_cache_key": "id-1", "store": false, "max_output_tokens": 16384, "tools": [{"type": "function", "name": "read", "description": "some text", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}, "strict": false}, {"type": "function", "name": "bash", "description": "some text", "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}, "strict": false}]}',
    ),
    "pi 0.73, messages": (
        "/v1/messages",
        "x-api-key",
        '{"user-agent": "Anthropic/JS 0.91.1", "x-stainless-lang": "js", "anthropic-version": "2023-06-01", "accept": "application/json", "anthropic-dangerous-direct-browser-access": "true", "anthropic-beta": "interleaved-thinking-2025-05-14", "accept-encoding": "gzip, deflate"}',
        '{"model": "coder", "messages": [{"role": "user", "content": [{"type": "text", "text": "say hi"}]}, {"role": "assistant", "content": [{"type": "text", "text": "I will look. "}, {"type": "tool_use", "id": "call_1", "name": "bash", "input": {"command": "echo from-the-tool", "description": "say"}}]}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "from-the-tool\\n", "is_error": false, "cache_control": {"type": "ephemeral"}}]}], "max_tokens": 16384, "stream": true, "system": [{"type": "text", "text": "some text", "cache_control": {"type": "ephemeral"}}], "tools": [{"name": "read", "description": "some text", "eager_input_streaming": true, "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}}, {"name": "bash", "description": "some text", "eager_input_streaming": true, "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}}]}',
    ),
    "Claude Code 2.1": (
        "/v1/messages?beta=true",
        "authorization",
        '{"accept": "application/json", "user-agent": "claude-cli/2.1.197 (external, sdk-cli)", "x-claude-code-session-id": "id-1", "x-stainless-lang": "js", "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14", "anthropic-dangerous-direct-browser-access": "true", "anthropic-version": "2023-06-01", "x-app": "cli", "accept-encoding": "gzip, deflate, br, zstd"}',
        '{"model": "claude-opus-4-8", "messages": [{"role": "user", "content": [{"type": "text", "text": "some text"}, {"type": "text", "text": "say hi"}]}, {"role": "system", "content": "some text"}, {"role": "assistant", "content": [{"type": "text", "text": "I will look. "}, {"type": "tool_use", "id": "call_1", "name": "Bash", "input": {"command": "echo from-the-tool", "description": "say"}}]}, {"role": "user", "content": [{"tool_use_id": "call_1", "type": "tool_result", "content": "from-the-tool", "is_error": false, "cache_control": {"type": "ephemeral"}}]}], "system": [{"type": "text", "text": "some text"}, {"type": "text", "text": "some text", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "some text", "cache_control": {"type": "ephemeral"}}], "tools": [{"name": "Agent", "description": "some text", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}}, {"name": "Bash", "description": "some text", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}}], "metadata": {"user_id": "{\\"session_id\\": \\"id-1\\"}"}, "max_tokens": 64000, "thinking": {"type": "adaptive"}, "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}, "output_config": {"effort": "high"}, "stream": true}',
    ),
    "aider 0.86": (
        "/v1/chat/completions",
        "authorization",
        '{"accept-encoding": "gzip, deflate", "accept": "application/json", "user-agent": "OpenAI/Python 2.20.0", "x-stainless-lang": "python"}',
        '{"messages": [{"role": "assistant", "content": "Ok."}, {"role": "user", "content": "some text"}], "model": "coder", "stream": true, "temperature": 0}',
    ),
    "llm 0.36": (
        "/v1/chat/completions",
        "authorization",
        '{"accept-encoding": "gzip, deflate", "accept": "application/json", "user-agent": "OpenAI/Python 3.52.0", "x-stainless-lang": "python"}',
        '{"model": "coder", "stream": true, "messages": [{"role": "user", "content": "say hi"}], "stream_options": {"include_usage": true}}',
    ),
    "Open WebUI": (  # from its source, the others were recorded
        "/v1/chat/completions",
        "authorization",
        '{"HTTP-Referer": "https://openwebui.com/", "X-Title": "Open WebUI"}',
        '{"stream": true, "model": "coder", "messages": [{"role": "system", "content": "some text"}, {"role": "user", "content": "say hi"}], "stream_options": {"include_usage": true}}',
    ),
}


class TestClients:
    """What real clients send goes through, by a user's token, to targets of each dialect."""

    USER = {"name": "ann", "token": "ann-0123456789abcdef-token"}

    @pytest.mark.parametrize("target", ["chat", "messages", "responses"])
    @pytest.mark.parametrize("name", CLIENT_REQUESTS)
    async def test_a_request_of(self, chomp: Any, upstream: Any, name: str, target: str) -> None:
        path, auth, headers, body = CLIENT_REQUESTS[name]
        router = await upstream(says("hi there") if target == "chat" else speaks(target), "coder")
        router.speaks = {"apis": [target]}
        client = await chomp(router, users=[self.USER], aliases={"claude-*": f"{router.id}/coder"})
        token = self.USER["token"]
        given = {**json.loads(headers), auth: token if auth == "x-api-key" else f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as http,
            http.post(client.url + path, data=body, headers=given) as answer,
        ):
            assert (answer.status, answer.headers["content-type"].split(";")[0]) == (200, "text/event-stream")
            dropped = answer.headers.get("x-chomp-dropped", "")
            run = await answer.read()
        api = path.removeprefix("/v1/").partition("?")[0]
        ends = {"messages": b"message_stop", "responses": b"response.completed", "chat/completions": b"[DONE]"}
        assert ends[api] in run[-3000:]
        assert b'"error":{' not in run
        assert b"hi" in run
        assert b"there" in run
        (call,) = router.calls
        assert call.path.partition("?")[0] == f"/v1/{'chat/completions' if target == 'chat' else target}"
        sent, asked = json.dumps(call.json), json.loads(body)
        assert call.json["model"] == "coder"
        assert ("say hi" in sent) == ("say hi" in body)
        assert sent.count("call_1") == body.count("call_1")
        assert ("echo from-the-tool" in sent) == ("echo from-the-tool" in body)
        assert len(call.json.get("tools", ())) >= min(1, len(asked.get("tools", ())))
        assert token not in sent + json.dumps(call.headers)
        if call.path.partition("?")[0] == path.partition("?")[0]:
            assert (dropped, {**call.json, "model": "", "stream_options": 0}) == (
                "", {**asked, "model": "", "stream_options": 0},
            )  # fmt: skip
        else:
            vendors = ("anthropic-beta", "anthropic-dangerous", "x-codex", "x-claude-code")
            assert not [header for header in call.headers if header.startswith(vendors)]
        if name.startswith("Claude Code") and target != "messages":
            assert {"context_management", "thinking", "metadata"} & set(dropped.split(", "))
        (row,) = await client.rows(1)
        assert (row["caller"], row["status"], row["error_type"]) == ("ann", 200, "")


ENDPOINTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "hello"}]}),
    "completions": ("/v1/completions", {"model": "m", "prompt": "hello"}),
    "embeddings": ("/v1/embeddings", {"model": "m", "input": "hello"}),
    "messages": ("/v1/messages", NATIVE_ASKED["messages"]),
    "responses": ("/v1/responses", NATIVE_ASKED["responses"]),
}
COUNT_TOKENS = "/v1/messages/count_tokens"


async def serves_all(call: Call) -> None:
    """A router that speaks every dialect."""
    api = call.path.rpartition("/v1/")[2].partition("?")[0]
    if api in NATIVE:
        await speaks(api)(call)
    elif api == "messages/count_tokens":
        await call.whole(b'{"input_tokens":11}')
    elif api == "embeddings":
        await call.whole(b'{"object":"list","data":[{"embedding":[1.0]}],"usage":{"prompt_tokens":3}}')
    else:
        await says("hi there")(call)


def token_of(name: str) -> str:
    return f"token-of-{name}-0123456789"


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token_of(name)}"}


def member(name: str = "ann", **limits: Any) -> dict[str, Any]:
    """A [[users]] table."""
    return {"name": name, "token": token_of(name), **limits}


def costs(model: str = "m", *, input: float = 0.0, output: float = 0.0) -> dict[str, Any]:
    """A router's `prices`, in USD per token."""
    return {"prices": {model: {"input": input * 1e6, "output": output * 1e6}}}


class TestUsers:
    """Users of chomp beside its owner: who they are, what they may ask for, how much of it."""

    @pytest.fixture
    def router(self, upstream: Any) -> Callable[..., Awaitable[Upstream]]:
        """Starts routers that speak every dialect, or do as they are told."""

        async def start(act: Act | None = None, *models: str, **more: Any) -> Upstream:
            made: Upstream = await upstream(act or serves_all, *models)
            made.speaks = {"apis": [*ENDPOINTS, "count_tokens"], **more}
            return made

        return start

    async def asked(
        self, client: Chomp, name: str = "ann", api: str = "chat", headers: Any = (), **more: Any
    ) -> tuple[int, Any, bytes]:
        """Status, headers and body of what a user is answered."""
        path, body = ENDPOINTS[api]
        async with client.post(path, json={**body, **more}, headers={**bearer(name), **dict(headers)}) as answer:
            return answer.status, answer.headers, await answer.read()

    @staticmethod
    def used(client: Chomp, name: str = "ann") -> dict[str, Any]:
        return client.services.allowances.report(client.services.credentials.users[name])

    @staticmethod
    def reserved(client: Chomp, name: str = "ann") -> tuple[int, float, float]:
        """Requests running, tokens and USD reserved."""
        spending = client.services.allowances._spending[name]
        return spending.running, spending.tokens.reserved, round(spending.usd.reserved, 9)

    # -- who they are

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"authorization": f"Bearer {token_of('ann')}"}, 200),
            ({"authorization": f"bearer  {token_of('ann')} "}, 200),
            ({"authorization": "", "x-api-key": token_of("ann")}, 200),
            ({"authorization": f"Bearer {token_of('bob')}"}, 200),
            ({"authorization": "Bearer wrong-token-0123456789", "x-api-key": token_of("ann")}, 200),
            ({"authorization": f"Basic {token_of('ann')}"}, 401),
            ({"authorization": f"Bearer {hashlib.sha256(token_of('bob').encode()).hexdigest()}"}, 401),
            ({"authorization": f"Bearer {token_of('ann')[:-1]}"}, 401),
            ({"authorization": "Bearer "}, 401),
            ({"authorization": ""}, 401),
        ],
        ids=["bearer", "spaces", "x-api-key", "digest", "both", "basic", "hash", "part", "empty", "none"],
    )
    async def test_a_token_says_who_asks(self, both_ways: Any, router: Any, headers: Any, status: int) -> None:
        bob = {"name": "bob", "token_sha256": hashlib.sha256(token_of("bob").encode()).hexdigest().upper()}
        client = await both_ways(up := await router(), users=[member(), bob])
        for _ in range(2):  # over a new connection to the router, then over an idle one
            got, _, _ = await self.asked(client, headers=headers)
            assert got == status
        assert len(up.calls) == (2 if status == 200 else 0)
        rows = await client.rows(2)
        name = "" if status == 401 else "bob" if "bob" in headers["authorization"] else "ann"
        assert [(row["caller"], row["status"]) for row in rows] == [(name, status)] * 2
        assert not any("token-of" in value for call in up.calls for value in call.headers.values())

    async def test_the_router_field_gets_around_no_list(self, both_ways: Any, router: Any) -> None:
        first, second = await router(None, "m"), await router(None, "m", "other/m")
        client = await both_ways(first, second, users=[member(models=[f"{first.id}/*"])])
        for model, named, status in (
            (f"{first.id}/m", "auto", 200), ("m", first.id, 200), (f"{first.id}/m", second.id, 403),
            ("m", second.id, 403),
        ):  # fmt: skip
            assert (await self.asked(client, model=model, router=named))[0] == status
        assert not second.calls

    async def test_counting_tokens_is_no_request_of_a_minute(self, chomp: Any, router: Any) -> None:
        client = await chomp(await router(None, "m", "x"), users=[member(requests_per_minute=1, models=["m"])])
        given = {"messages": [{"role": "user", "content": "hi"}]}
        for model, status in (("m", 200), ("m", 200), ("x", 403)):
            async with client.post(COUNT_TOKENS, json={"model": model, **given}, headers=bearer("ann")) as answer:
                assert (answer.status, "x-chomp-estimated" in answer.headers) == (status, False)
                assert answer.headers["x-request-id"]
        assert (await self.asked(client))[0] == 200

    async def test_a_patterns_names_are_models(self, chomp: Any, router: Any) -> None:
        up = await router(None, "m")
        client = await chomp(
            up, aliases={"claude-*": f"{up.id}/m"}, users=[member(models=["claude-*"]), member("bob", models=["x"])]
        )
        for name, status in (("ann", 200), ("bob", 404)):
            async with client.get("/v1/models/claude-x", headers=bearer(name)) as answer:
                assert answer.status == status

    @pytest.mark.parametrize("path", [*(path for path, _ in ENDPOINTS.values()), COUNT_TOKENS, "/v1/models"])
    async def test_a_wrong_token_is_refused_in_the_dialects_shape(self, chomp: Any, router: Any, path: str) -> None:
        client = await chomp(await router(), users=[member()])
        headers = {"authorization": "Bearer nobody-0123456789", "anthropic-version": "2023-06-01"}
        method = "GET" if path == "/v1/models" else "POST"
        async with client.http.request(method, client.url + path, json={}, headers=headers) as answer:
            body = await answer.json()
        assert (answer.status, answer.headers["www-authenticate"][:6]) == (401, "Bearer")
        if "messages" in path or "models" in path:
            assert (body["type"], body["error"]["type"]) == ("error", "authentication_error")
            assert body["request_id"] == answer.headers["request-id"]
        else:
            assert (body["error"]["code"], set(body)) == ("invalid_api_key", {"error"})

    @pytest.mark.parametrize(
        ("tables", "words"),
        [
            ([{"name": "ann"}], "needs a token"),
            ([{"name": "ann", "token": "fifteen-letters"}], "at least 16"),
            ([{"name": "ann", "token": 1234567890123456}], "at least 16"),
            ([{"name": "ann", "token_sha256": "abc"}], "needs a token"),
            ([{**member(), "token_sha256": "0" * 64}], "not both"),
            ([member(), {**member("bob"), "token": token_of("ann")}], "the same token as ann"),
            ([member(), {"name": "bob", "token_sha256": hashlib.sha256(token_of("ann").encode()).hexdigest()}], "as ann"),
            ([{"name": "ann", "token": TOKEN}], "the same token as the owner"),
            ([member(), member()], "written twice"),
            ([member("owner")], "the owner"),
            ([member("")], "needs a name"),
            ([member("a b")], "needs a name"),
            ([member("a/b")], "needs a name"),
            ([{"token": token_of("ann")}], "needs a name"),
            ([member(paralel=2)], "parallel"),
            ([member(parallel=-1)], "between 0 and"),
            ([member(usd_per_month=math.nan)], "between 0 and"),
            ([member(usd_per_month=math.inf)], "between 0 and"),
            ([member(requests_per_minute=1.5)], "ann"),
            ([member(tokens_per_day=True)], "ann"),
            ([member(models="m")], "ann"),
        ],
    )  # fmt: skip
    def test_a_wrong_table_is_named(self, tmp_path: Path, tables: list[dict[str, Any]], words: str) -> None:
        found = cs.read_settings(tmp_path, flags={}, environ={}, dotenv={}, overrides={}, file={"users": tables})
        with pytest.raises(cs.SettingsError) as error:
            cs.user_rows(found, TOKEN)
        assert words in str(error.value)
        assert "0123456789" not in str(error.value)

    def test_users_and_no_tokens_contradict_each_other(self, tmp_path: Path) -> None:
        found = read(tmp_path, environ={"CHOMP_V1_NO_AUTH": "1"})
        with pytest.raises(cs.SettingsError, match="CHOMP_V1_NO_AUTH"):
            cs.user_rows(msgspec.structs.replace(found, users=(member(),)), TOKEN)

    # -- what they may ask for

    @pytest.mark.parametrize(
        ("limits", "asked", "router", "model", "may"),
        [
            ({}, "m", "a", "m", True),
            ({"models": ("m",)}, "m", "a", "m", True),
            ({"models": ("m",)}, "a/m", "a", "m", True),
            ({"models": ("a/m",)}, "m", "a", "m", True),
            ({"models": ("a/m",)}, "m", "b", "m", False),
            ({"models": ("a/*",)}, "a/x/y", "a", "x/y", True),
            ({"models": ("a/*",)}, "auto", "b", "x", False),
            ({"models": ("fast",)}, "fast", "b", "x", True),
            ({"models": ("auto",)}, "auto", "b", "x", True),
            ({"models": ("M",)}, "m", "a", "m", False),
            ({"models": ("m",)}, "mm", "a", "mm", False),
            ({"models": ("x", "m")}, "m", "a", "m", True),
            ({"routers": ("a",)}, "m", "a", "m", True),
            ({"routers": ("a",)}, "m", "b", "m", False),
            ({"routers": ("a",), "models": ("m",)}, "m", "b", "m", False),
            ({"routers": ("a",), "models": ("m",)}, "x", "a", "x", False),
        ],
    )
    def test_who_may_use_what(self, limits: Any, asked: str, router: str, model: str, may: bool) -> None:
        assert cs.may_use(cs.User("ann", "0" * 64, **limits), asked, router, model) is may

    @pytest.mark.parametrize("api", ENDPOINTS)
    async def test_a_model_that_is_not_allowed_is_not_asked(self, both_ways: Any, router: Any, api: str) -> None:
        client = await both_ways(up := await router(None, "m", "dear"), users=[member(models=["m"])])
        for model, status in (("m", 200), ("dear", 403), (f"{up.id}/dear", 403), (f"{up.id}/m", 200), ("m", 200)):
            got, _, body = await self.asked(client, api=api, model=model)
            assert (got, model) == (status, model)
            if status == 403:
                told = json.loads(body)
                assert "ann may not use the model" in told["error"]["message"]
                assert told["error"]["type"] == "permission_error"
        assert [call.json["model"] for call in up.calls] == ["m"] * 3
        rows = await client.rows(5)
        assert [row["error_type"] for row in rows if row["status"] == 403] == ["policy_denied"] * 2

    @pytest.mark.parametrize("last", ["m", "dear"])
    @pytest.mark.parametrize("api", ENDPOINTS)
    async def test_of_a_model_named_twice_one_is_checked_and_sent(
        self, both_ways: Any, router: Any, api: str, last: str
    ) -> None:
        client = await both_ways(up := await router(None, "m", "dear"), users=[member(models=["m"])])
        path, body = ENDPOINTS[api]
        first = "dear" if last == "m" else "m"
        data = json.dumps({**body, "model": first})[:-1].encode() + f', "mod\\u0065l": "{last}"}}'.encode()
        for _ in range(2):
            async with client.post(path, data=data, headers=bearer("ann")) as answer:
                assert answer.status == (200 if last == "m" else 403)
        assert [call.body.count(b'"model"') for call in up.calls] == ([1, 1] if last == "m" else [])
        assert {call.json["model"] for call in up.calls} <= {"m"}

    @pytest.mark.parametrize("field", ["models", "Models", "MODEL", "Model", "model\u017f"])
    async def test_no_other_field_names_a_model(self, both_ways: Any, router: Any, field: str) -> None:
        client = await both_ways(up := await router(), users=[member(models=["m"]), member("bob")])
        more = {field: ["m", "dear"] if "s" in field.casefold() else "dear"}
        status, _, body = await self.asked(client, **more)
        assert (status, up.calls, json.loads(body)["error"]["code"]) == (403, [], "model_not_allowed")
        assert (await self.asked(client, "bob", **more))[0] == 200  # who may use all

    async def test_an_alias_is_a_name_like_others(self, both_ways: Any, router: Any) -> None:
        one, two = await router(None, "small"), await router(None, "large")
        aliases = {
            "fast": f"{one.id}/small",
            "best": f"{two.id}/large",
            "any": [two.model, one.model],
            "g-*": f"{two.id}/*",
        }
        users = [
            member(models=["fast", "g-l*"]),
            member("bob", models=[f"{one.id}/*"]),
            member("eve", routers=[one.id]),
        ]
        client = await both_ways(one, two, aliases=aliases, users=users)
        found = {
            (name, model): (await self.asked(client, name, model=model))[0]
            for name in ("ann", "bob", "eve")
            for model in ("fast", "best", "any", "g-large", "small", "large")
        }
        allowed = {("ann", "fast"), ("ann", "g-large")} | {
            (name, model) for name in ("bob", "eve") for model in ("fast", "any", "small")
        }
        assert {pair for pair, status in found.items() if status == 200} == allowed
        assert set(found.values()) == {200, 403}
        assert [call.json["model"] for call in two.calls] == ["large"]  # of `any`, only the part they may use

    async def test_one_target_is_the_first_that_is_allowed(self, chomp: Any, router: Any) -> None:
        first, second = await router(), await router()
        client = await chomp(first, second, users=[member(routers=[second.id])])
        for headers in ({}, {"x-chomp-no-fallback": "1"}):
            status, told, _ = await self.asked(client, headers=headers)
            assert (status, told.get("x-chomp-router")) == (200, second.id)
        second.act = fails(500)
        status, told, _ = await self.asked(client, headers={"x-chomp-no-fallback": "1"})
        assert (status, told["x-chomp-attempts"], first.calls) == (500, "1", [])

    async def test_failover_stays_with_what_is_allowed(self, both_ways: Any, router: Any) -> None:
        bad, forbidden, good = await router(fails(500)), await router(), await router()
        client = await both_ways(bad, forbidden, good, users=[member(routers=[bad.id, good.id])])
        status, told, _ = await self.asked(client)
        assert (status, told["x-chomp-router"], forbidden.calls) == (200, good.id, [])
        good.act = fails(503)
        status, _, body = await self.asked(client)
        assert (status, forbidden.calls) == (502, [])
        assert [one["router"] for one in json.loads(body)["error"]["attempts"]] == [bad.id, good.id]

    @pytest.mark.parametrize("model", ["auto", "", None])
    async def test_auto_has_three_spellings(self, both_ways: Any, router: Any, model: str | None) -> None:
        client = await both_ways(await router(), users=[member(models=["auto"]), member("bob", models=["x"])])
        assert (await self.asked(client, model=model))[0] == 200
        assert (await self.asked(client, "bob", model=model))[0] == 403

    @pytest.mark.parametrize(
        ("limits", "listed"),
        [
            ({}, {"fast", "best", "one/m", "one/x", "two/m"}),
            ({"models": ["m"]}, {"best", "one/m", "two/m"}),
            ({"models": ["one/*"]}, {"fast", "one/m", "one/x"}),
            ({"models": ["fast"]}, {"fast"}),
            ({"routers": ["two"]}, {"best", "two/m"}),
            ({"routers": ["two"], "models": ["x"]}, set()),
        ],
    )
    async def test_models_are_listed_as_they_may_be_used(
        self, chomp: Any, router: Any, limits: Any, listed: set[str]
    ) -> None:
        up = await router(None, "m", "x")
        client = await chomp(
            row(up, "one", models=["m", "x"]), row(up, "two", models=["m"]),
            users=[member(**limits)], aliases={"fast": "one/x", "best": "two/m", "g-*": "one/*"},
        )  # fmt: skip
        async with client.get("/v1/models", headers=bearer("ann")) as answer:
            assert {entry["id"] for entry in (await answer.json())["data"]} == listed
        for name in ("fast", "best", "one/m", "one/x", "two/m"):
            async with client.get(f"/v1/models/{name}", headers=bearer("ann")) as answer:
                assert (answer.status, name) == (200 if name in listed else 404, name)
            assert (await self.asked(client, model=name))[0] == (200 if name in listed else 403)
        for name in ("one", "two"):
            async with client.get(f"/api/models/{name}", headers=bearer("ann")) as answer:
                found = {f"{name}/{entry['id']}" for entry in (await answer.json())["models"]}
            assert found == {entry for entry in listed if entry.startswith(f"{name}/")}

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/status", 403), ("GET", "/metrics", 403), ("GET", "/api/users", 403), ("POST", "/api/users", 403),
            ("POST", "/api/users/delete", 403), ("POST", "/api/config/reload", 403), ("GET", "/nothing", 403),
            ("GET", "/v1/../api/users", 404), ("GET", "/v1/%2e%2e/api/users", 404), ("GET", "/v1/..%2fapi/users", 404),
            ("GET", "//api/users", 403), ("GET", "/v1//../../api/users", 404), ("GET", "/API/users", 403),
            ("GET", "/api/usage/../users", 404), ("GET", "/api/usage", 200), ("GET", "/api/jobs", 200),
            ("GET", "/v1/models", 200), ("GET", "/health", 200), ("GET", "/api/result/1", 404),
        ],
    )  # fmt: skip
    async def test_what_is_the_owners_alone(self, chomp: Any, router: Any, method: str, path: str, status: int) -> None:
        client = await chomp(await router(), users=[member()])
        got, _, body = await ask_raw(client.port, wire(path=path, method=method, token=token_of("ann")))
        assert got == status, body
        assert b'"users"' not in body
        assert status != 403 or is_openai_error(body)["type"] == "permission_error"

    async def test_everybody_sees_their_own(self, chomp: Any, router: Any) -> None:
        client = await chomp(await router(None, "m", "x"), users=[member(), member("bob", models=["x"])])
        assert (await self.asked(client))[0] == 200
        jobs = {}
        for name, model in (("ann", "m"), ("bob", "m"), ("bob", "x")):
            async with client.post(
                "/api/dispatch", json={"prompt": "hi", "model": model}, headers=bearer(name)
            ) as answer:
                made = await answer.json()
            if (name, model) == ("bob", "m"):
                assert "bob may not use" in made["error"]["message"]
            else:
                jobs[name] = made["id"]
        await client.rows(3)

        async def seen(path: str, name: str) -> Any:
            async with client.get(path, headers=bearer(name)) as answer:
                return await answer.json() if answer.status == 200 else answer.status

        async def ended(name: str) -> dict[str, Any]:
            while (found := await seen(f"/api/result/{jobs[name]}", name))["status"] in ("pending", "running"):
                await asyncio.sleep(0.01)
            return dict(found)

        assert (await soon(ended("ann")))["result"] == "hi there"
        assert (await soon(ended("bob")))["status"] == "done"
        assert [job["id"] for job in await seen("/api/jobs", "bob")] == [jobs["bob"]]
        assert await seen(f"/api/result/{jobs['ann']}", "bob") == 404
        assert [(one["user"], one["requests"]) for one in (await seen("/api/usage?by=user", "ann"))["rows"]] == [
            ("ann", 2)
        ]
        async with client.post("/api/jobs/cancel", json={"id": jobs["ann"]}, headers=bearer("bob")) as answer:
            assert answer.status == 404

    # -- how much of it

    async def test_what_is_left_is_never_given_twice(self, both_ways: Any, router: Any) -> None:
        gate = asyncio.Event()
        answer = chat_answer(usage={"prompt_tokens": 7, "completion_tokens": 1000})
        up = await router(holds(gate, lambda call: call.whole(answer)), **costs(output=1e-4))
        client = await both_ways(up, users=[member(usd_per_month=1.0)])
        asking = [asyncio.ensure_future(self.asked(client, max_tokens=1000)) for _ in range(50)]  # $0.10 each
        await until(lambda: sum(one.done() for one in asking) == 40, "more or less than 40 refused")
        await until(lambda: len(up.calls) == 10, "not all that are admitted are asked")
        assert self.reserved(client) == (10, pytest.approx(10000, abs=200), 1.0)
        for one in asking:
            if one.done():
                status, headers, body = one.result()
                assert (status, headers["x-should-retry"]) == (429, "false")
                assert 0 < int(headers["retry-after"]) <= 31 * 86400
                told = is_openai_error(body)
                assert (told["type"], told["code"]) == ("insufficient_quota", "insufficient_quota")
        gate.set()
        assert sorted(status for status, _, _ in await soon(asyncio.gather(*asking))) == [200] * 10 + [429] * 40
        assert (self.used(client)["usd_this_month"], self.reserved(client)) == (pytest.approx(1.0), (0, 0, 0))
        assert (await self.asked(client, max_tokens=1))[0] == 429
        rows = await client.rows(51)
        assert len(up.calls) == 10
        assert sum(row["cost_usd"] or 0.0 for row in rows) <= 1.0 + 0.1
        assert {row["error_type"] for row in rows if row["status"] == 429} == {"policy_budget"}

    async def test_what_was_not_used_comes_back(self, both_ways: Any, router: Any) -> None:
        client = await both_ways(await router(**costs(output=1e-4)), users=[member(usd_per_month=0.11)])
        for _ in range(20):  # each may cost $0.10 and costs $0.0002
            assert (await self.asked(client, max_tokens=1000))[0] == 200
        assert self.used(client)["usd_this_month"] == pytest.approx(20 * 0.0002)

    @pytest.mark.parametrize(
        ("api", "more", "answer"),
        [
            ("chat", {}, 8192),
            ("chat", {"max_tokens": 100}, 100),
            ("chat", {"max_completion_tokens": 100}, 100),
            ("chat", {"max_tokens": 1_000_000}, 8192),
            ("chat", {"max_tokens": 0}, 8192),
            ("chat", {"max_tokens": -1}, 8192),  # no limit, to llama.cpp and others
            ("chat", {"max_tokens": None}, 8192),
            ("chat", {"max_tokens": 500, "max_completion_tokens": 1}, 500),  # routers know one of them, or the other
            ("chat", {"max_output_tokens": 1}, 8192),  # means nothing to chat
            ("completions", {"max_tokens": 100}, 100),
            ("completions", {"max_completion_tokens": 1}, 8192),
            ("messages", {"max_tokens": 100}, 100),
            ("messages", {"max_tokens": 100, "system": "x" * 4000}, 1100),
            ("messages", {"max_tokens": 100, "tools": [{"name": "x" * 4000}]}, 1100),
            ("responses", {"max_output_tokens": 100}, 100),
            ("responses", {"max_tokens": 1}, 8192),
            ("responses", {"max_output_tokens": 100, "instructions": "x" * 4000}, 1100),
            ("embeddings", {}, 0),
            ("embeddings", {"input": "x" * 4000}, 1000),
        ],
    )  # fmt: skip
    async def test_what_is_reserved(self, chomp: Any, router: Any, api: str, more: dict[str, Any], answer: int) -> None:
        gate = asyncio.Event()
        client = await chomp(up := await router(holds(gate, serves_all)), users=[member(tokens_per_day=100_000)])
        asking = asyncio.ensure_future(self.asked(client, api=api, **more))
        await until(lambda: bool(up.calls), "not asked")
        running, tokens, _ = self.reserved(client)
        assert (running, answer <= tokens < answer + 30) == (1, True), tokens
        gate.set()
        status, headers, _ = await soon(asking)
        left = 100_000 - tokens
        assert (status, headers["x-ratelimit-remaining-tokens"]) == (200, str(int(left)))
        assert self.reserved(client) == (0, 0, 0)

    @pytest.mark.parametrize(
        ("api", "act", "more", "tokens"),
        [
            ("chat", says("hi there"), {}, 9),
            ("chat", says("hi there"), {"stream": True}, 9),
            ("chat", streams(chat_chunk({"content": "hi"}), cut=True), {"stream": True}, 11),
            ("chat", streams(chat_chunk({"content": "hi"}), chat_chunk(None, error={"message": "oh"})), {"stream": True}, 11),
            ("chat", fails(500), {}, 0),
            ("chat", fails(400), {}, 0),
            ("messages", serves_all, {}, 17),
            ("messages", serves_all, {"stream": True}, 19),
            ("responses", serves_all, {}, 11),
            ("responses", serves_all, {"stream": True}, 11),
            ("completions", serves_all, {}, 9),
            ("embeddings", serves_all, {}, 3),
        ],
        ids=itertools.count(),
    )  # fmt: skip
    async def test_what_is_settled(
        self, both_ways: Any, router: Any, api: str, act: Act, more: dict[str, Any], tokens: int
    ) -> None:
        client = await both_ways(await router(act), users=[member(tokens_per_day=100_000, parallel=1)])
        for turn in (1, 2):
            await self.asked(client, api=api, **more)
            await client.rows(turn)
            assert (self.used(client)["tokens_today"], self.reserved(client)) == (tokens * turn, (0, 0, 0))

    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_who_leaves_gives_back_what_is_left(self, both_ways: Any, router: Any, when: str) -> None:
        puppet = Puppet()
        client = await both_ways(up := await router(puppet), users=[member(tokens_per_day=9000, parallel=1)])
        raw = await Raw.to(client.port, wire(chat_body(stream=True), token=token_of("ann")))
        await until(lambda: bool(up.calls), "not asked")
        status, headers, body = await self.asked(client)
        assert (status, headers["x-should-retry"], is_openai_error(body)["code"]) == (
            429,
            "true",
            "rate_limit_exceeded",
        )
        if when == "after":
            puppet.tell(chat_chunk({"content": "hello"}))
            await soon(raw.reader.readuntil(b"hello"))
        raw.close()
        await soon(up.calls[0].gone.wait())
        await client.rows(2)
        assert self.reserved(client) == (0, 0, 0)
        assert (self.used(client)["tokens_today"] > 0) == (when == "after")
        up.act = says()
        assert (await self.asked(client))[0] == 200

    async def test_the_limits_of_a_router_are_not_the_users(self, both_ways: Any, router: Any) -> None:
        async def act(call: Call) -> None:
            names = ("x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-remaining", "x-other")
            await call.whole(chat_answer(), headers=[(name, "9999") for name in names])

        clock = Clock()
        users = [member(requests_per_minute=3), member("bob")]
        client = await both_ways(await router(act), users=users, clock=clock)
        for left in ("2", "1", "0"):
            _, headers, _ = await self.asked(client)
            assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("3", left)
            assert (headers["x-ratelimit-reset-requests"], headers["x-other"]) == ("60s", "9999")
            assert "anthropic-ratelimit-requests-remaining" not in headers
        assert (await self.asked(client, "bob"))[1]["x-ratelimit-remaining-requests"] == "9999"
        clock.now += 59.5
        for api in ("chat", "messages"):
            status, headers, body = await self.asked(client, api=api)
            assert (status, headers["retry-after"], headers["x-should-retry"]) == (429, "1", "true")
            assert headers["x-ratelimit-remaining-requests"] == "0"
            assert json.loads(body)["error"]["type"] == "rate_limit_error"
        clock.now += 0.5
        assert [(await self.asked(client))[0] for _ in range(4)] == [200, 200, 200, 429]

    @pytest.mark.parametrize(
        ("limit", "before", "edge"),
        [
            ({"tokens_per_day": 300}, "2026-11-21T00:00:00", "2026-11-22T00:00:00"),
            ({"tokens_per_day": 300}, "2026-12-31T12:00:00", "2027-01-01T00:00:00"),
            ({"usd_per_month": 0.03}, "2026-11-01T00:00:00", "2026-12-01T00:00:00"),
            ({"usd_per_month": 0.03}, "2026-12-05T10:00:00", "2027-01-01T00:00:00"),
            ({"usd_per_month": 0.03}, "2028-02-29T23:00:00", "2028-03-01T00:00:00"),
        ],
    )
    async def test_a_window_ends_to_the_second(
        self, chomp: Any, router: Any, limit: dict[str, Any], before: str, edge: str
    ) -> None:
        def at(text: str) -> float:
            return datetime.datetime.fromisoformat(f"{text}+00:00").timestamp()

        clock = Clock()
        clock.now = at(before)
        answer = chat_answer(usage={"prompt_tokens": 50, "completion_tokens": 240})
        up = await router(lambda call: call.whole(answer), **costs(output=1e-4))
        client = await chomp(up, users=[member(**limit)], clock=clock)
        assert (await self.asked(client, max_tokens=240))[0] == 200
        status, headers, _ = await self.asked(client, max_tokens=240)
        assert (status, headers["retry-after"]) == (429, str(int(at(edge) - at(before))))
        clock.now = at(edge) - 0.001
        status, headers, body = await self.asked(client, max_tokens=240)
        assert (status, headers["retry-after"]) == (429, "1")
        assert is_openai_error(body)["code"] == "insufficient_quota"
        clock.now = at(edge)
        assert (await self.asked(client, max_tokens=240))[0] == 200
        assert (await self.asked(client, max_tokens=240))[0] == 429

    async def test_what_began_before_an_edge_is_counted_before_it(self, chomp: Any, router: Any) -> None:
        clock, gate = Clock(), asyncio.Event()
        clock.now = cs.day_end(clock.now) - 1
        client = await chomp(up := await router(holds(gate, says())), users=[member(tokens_per_day=200)], clock=clock)
        asking = asyncio.ensure_future(self.asked(client, max_tokens=150))
        await until(lambda: bool(up.calls), "not asked")
        clock.now += 1
        up.act = says()
        assert (await self.asked(client, max_tokens=150))[0] == 200
        gate.set()
        assert (await soon(asking))[0] == 200
        assert (self.used(client)["tokens_today"], self.reserved(client)) == (9, (0, 0, 0))

    @pytest.mark.parametrize("counts", [True, False])
    async def test_counting_tokens_costs_nothing(self, chomp: Any, router: Any, counts: bool) -> None:
        up = await router(**costs(input=1e-3, output=1e-3))
        if not counts:
            up.speaks["apis"] = ["chat"]
        client = await chomp(up, users=[member(tokens_per_day=1, usd_per_month=0.0)])
        asked = {**NATIVE_ASKED["messages"], "messages": [{"role": "user", "content": "x" * 4000}]}
        async with client.post(COUNT_TOKENS, json=asked, headers=bearer("ann")) as answer:
            found = (await answer.json())["input_tokens"]
            assert (answer.status, answer.headers.get("x-chomp-estimated")) == (200, None if counts else "1")
        assert found == 11 if counts else 1000 <= found < 1100
        if counts:
            (row,) = await client.rows(1)
            assert (row["api"], row["prompt_tokens"], row["cost_usd"], row["estimated"]) == ("count_tokens", 0, None, 0)
        assert self.used(client) == {"running": 0, "tokens_today": 0, "usd_this_month": 0.0}

    async def test_nothing_left_is_nothing(self, chomp: Any, router: Any) -> None:
        zero = {"requests_per_minute": 0, "parallel": 0, "tokens_per_day": 0, "usd_per_month": 0.0}
        users = [member(name.replace("_", "-"), **{name: value}) for name, value in zero.items()]
        client = await chomp(up := await router(**costs(output=1e-6)), users=users)
        for user in users:
            assert (await self.asked(client, user["name"]))[0] == 429
        assert up.calls == []

    # -- what outlives a process, and what does not

    async def test_a_crash_gives_back_what_was_reserved_and_forgets_nothing(self, process: Any, router: Any) -> None:
        puppet, up = Puppet(), await router(**costs(output=1e-4))
        users = [member(usd_per_month=0.101, tokens_per_day=100_000)]
        chomp = await process(toml=toml({"routers": [up.router], "users": users})).up()

        async def status(**more: Any) -> int:
            async with http.post("/v1/chat/completions", data=chat_body(**more), headers=bearer("ann")) as answer:
                return int(answer.status)

        async def told(path: str) -> Any:
            async with http.get(path) as answer:
                return await answer.json()

        async with chomp.http as http:
            assert await status(max_tokens=1000) == 200
            await told("/api/usage")  # all is on disk now
            before = (await told("/api/users"))["users"]
            assert (before[0]["tokens_today"], before[0]["usd_this_month"]) == (9, 0.0002)
            up.act = puppet
            data = wire(chat_body(stream=True, max_tokens=1000), token=token_of("ann"))
            raw = await Raw.to(chomp.port, data)
            await until(lambda: len(up.calls) == 2, "not asked")
            assert await status(max_tokens=1000) == 429
            chomp.child.kill()
            await chomp.ended()
            raw.close()
        up.act = serves_all
        await chomp.up()
        async with chomp.http as http:
            assert (await told("/api/users"))["users"] == before
            assert await status(max_tokens=1000) == 200
            assert await status(max_tokens=1010) == 429  # 0.0004 of 0.101 USD are used
            rows = (await told("/api/usage?by=user"))["rows"]
            assert [(one["user"], one["prompt_tokens"], one["completion_tokens"]) for one in rows] == [("ann", 14, 4)]

    # -- what is never shown

    async def test_no_secret_is_shown_anywhere(self, process: Any, router: Any) -> None:
        up = await router()
        bobs = {"name": "bob", "token_sha256": hashlib.sha256(token_of("bob").encode()).hexdigest()}
        file = toml({"routers": [up.router], "users": [member(tokens_per_day=5000), bobs]})
        chomp = await process(toml=file, CHOMP_API_TOKEN="owners-token-0123456789").up()
        shown: list[bytes] = []
        async with chomp.http as http:
            async with http.post("/api/users", json={"name": "eve", "parallel": 9}) as answer:
                made = (await answer.json())["token"]
            secrets = [token_of("ann"), token_of("bob"), made, chomp.token, f"key-of-{up.id}"]
            up.act = fails(401, json.dumps({"error": {"message": f"the key key-of-{up.id} is wrong"}}).encode())
            for token in secrets[:4]:
                heads = {"authorization": f"Bearer {token}"}
                for way in ({}, {"x-chomp-no-fallback": "1"}):
                    for path, asked in (*ENDPOINTS.values(), (COUNT_TOKENS, NATIVE_ASKED["messages"])):
                        for odd in (
                            {},
                            {"model": token},
                            {"model": f"{up.id}/{token}"},
                            {"router": token},
                            {"stream": token},
                        ):
                            for headers in ({**heads, **way}, {"x-api-key": token, "authorization": "", **way}):
                                async with http.post(path, json={**asked, **odd}, headers=headers) as answer:
                                    shown += [await answer.read(), str(answer.headers).encode()]
                    up.act = serves_all
                for path in (f"/v1/models/{token}", f"/v1/responses/{token}", f"/api/result/{token}", f"/{token}"):
                    async with http.get(path, headers=heads) as answer:
                        shown.append(await answer.read())
                job = {"prompt": "hi", "model": token}
                async with http.post("/api/dispatch", json=job, headers=heads) as answer:
                    shown.append(await answer.read())
            for path in ("/api/users", "/status", "/metrics", "/api/usage?by=model", "/api/usage?by=user", "/api/jobs"):
                async with http.get(path) as answer:
                    assert answer.status == 200
                    shown.append(await answer.read())
        chomp.child.terminate()
        assert await chomp.ended() == 0
        shown += [chomp.out.read_bytes(), chomp.err.read_bytes()]
        state = chomp.folder / "state"
        shown += [(state / name).read_bytes() for name in ("chomp.db", "settings.json")]
        assert [token for token in secrets if any(token.encode() in text for text in shown)] == []
        assert up.calls
        sent = [value for call in up.calls for name, value in call.headers.items() if name != "authorization"]
        assert not any(token in value for token in secrets for value in sent)
        assert {call.headers["authorization"] for call in up.calls} == {f"Bearer key-of-{up.id}"}


class TestResponsesKept:
    """Answers of /v1/responses, kept so that they can be read again and gone on from."""

    @pytest.fixture
    def router(self, upstream: Any) -> Callable[..., Awaitable[Upstream]]:
        """Starts routers that speak the dialect and number their answers: resp_1, resp_2, ..."""

        async def start(act: Act | None = None) -> Upstream:
            made: Upstream = await upstream(act or self.numbered())
            made.speaks = {"apis": ["responses"]}
            return made

        return start

    @staticmethod
    def numbered() -> Act:
        count = itertools.count(1)

        async def act(call: Call) -> None:
            number = b"resp_%d" % next(count)
            if call.streams:
                await streams(*(frame.replace(b'"resp_1"', b'"%b"' % number) for frame in NATIVE_RESPONSE_STREAM))(call)
            else:
                await call.whole(json.dumps({**NATIVE_RESPONSE, "id": number.decode()}).encode())

        return act

    async def asked(self, client: Chomp, name: str = "", **more: Any) -> tuple[int, bytes]:
        asked = {**NATIVE_ASKED["responses"], **more}
        async with client.post("/v1/responses", json=asked, headers=bearer(name) if name else None) as answer:
            return answer.status, await answer.read()

    async def kept(self, client: Chomp, response_id: str, name: str = "", method: str = "GET") -> tuple[int, Any]:
        url, headers = f"{client.url}/v1/responses/{response_id}", bearer(name) if name else None
        async with client.http.request(method, url, headers=headers) as answer:
            return answer.status, await answer.json()

    @staticmethod
    def turn(text: str) -> dict[str, Any]:
        return {"role": "user", "content": text}

    @pytest.mark.parametrize("stream", [False, True])
    async def test_an_answer_can_be_read_again_until_it_is_deleted(self, chomp: Any, router: Any, stream: bool) -> None:
        client = await chomp(await router())
        assert (await self.asked(client, stream=stream))[0] == 200
        assert await self.kept(client, "resp_1") == (200, {**NATIVE_RESPONSE, "id": "resp_1"})
        status, body = await self.kept(client, "resp_1?stream=true")
        assert (status, body["error"]["code"]) == (400, "unsupported_parameter")
        gone = {"id": "resp_1", "object": "response", "deleted": True}
        assert await self.kept(client, "resp_1", method="DELETE") == (200, gone)
        for method in ("GET", "DELETE"):
            status, body = await self.kept(client, "resp_1", method=method)
            assert (status, body["error"]["code"], set(body["error"])) == (404, "not_found", ERROR_FIELDS)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_what_was_said_before_is_sent_along(self, chomp: Any, router: Any, stream: bool) -> None:
        client = await chomp(up := await router())
        assert (await self.asked(client, stream=stream))[0] == 200
        more = {"input": [self.turn("and now?")], "previous_response_id": "resp_1", "future": {"x": 1.50}}
        assert (await self.asked(client, stream=stream, **more))[0] == 200
        last = {"input": "go on", "previous_response_id": "resp_2"}
        assert (await self.asked(client, stream=stream, **last))[0] == 200
        first, second, third = (call.json for call in up.calls)
        output = NATIVE_RESPONSE["output"]
        assert first["input"] == "hello"
        assert second["input"] == [self.turn("hello"), *output, self.turn("and now?")]
        assert third["input"] == [*second["input"], *output, self.turn("go on")]
        assert "previous_response_id" not in {**second, **third}
        assert b'"future":{"x": 1.5}' in up.calls[1].body
        assert (await self.asked(client, previous_response_id="resp_1"))[0] == 200  # another branch
        assert up.calls[3].json["input"] == [self.turn("hello"), *output, self.turn("hello")]

    async def test_nothing_is_kept_of_who_does_not_want_it(self, chomp: Any, router: Any) -> None:
        client = await chomp(up := await router())
        for stream in (False, True):
            assert (await self.asked(client, stream=stream, store=False))[0] == 200
        assert (await self.kept(client, "resp_1"))[0] == (await self.kept(client, "resp_2"))[0] == 404
        assert [call.json["store"] for call in up.calls] == [False, False]
        assert (await self.asked(client, store=True))[0] == (await self.asked(client, store=None))[0] == 200
        assert (await self.kept(client, "resp_3"))[0] == (await self.kept(client, "resp_4"))[0] == 200

    async def test_others_do_not_get_it(self, chomp: Any, router: Any) -> None:
        client = await chomp(up := await router(), users=[member(), member("bob")])
        assert (await self.asked(client, "ann"))[0] == 200
        for method in ("GET", "DELETE"):
            assert (await self.kept(client, "resp_1", "bob", method))[0] == 404
        status, body = await self.asked(client, "bob", previous_response_id="resp_1")
        assert (status, is_openai_error(body)["code"]) == (400, "previous_response_not_found")
        assert len(up.calls) == 1  # which knows ann's answer, and chomp by its key
        assert (await self.asked(client, "ann", previous_response_id="resp_1"))[0] == 200
        assert (await self.kept(client, "resp_1"))[0] == (await self.kept(client, "resp_2"))[0] == 200  # the owner

    async def test_everybody_has_their_own_of_one_name(self, chomp: Any, router: Any) -> None:
        client = await chomp(up := await router(speaks("responses")), users=[member(), member("bob")])
        for name in ("ann", "bob", ""):
            assert (await self.asked(client, name, input=f"from {name}"))[0] == 200
        for name in ("bob", "ann", ""):
            up.act = self.numbered()
            assert (await self.asked(client, name, previous_response_id=NATIVE_RESPONSE["id"], store=False))[0] == 200
            assert up.calls[-1].json["input"][0] == self.turn(f"from {name}")

    async def test_the_owner_may_go_on_from_what_the_router_kept(self, chomp: Any, router: Any) -> None:
        client = await chomp(up := await router())
        assert (await self.asked(client, previous_response_id="resp_of_before"))[0] == 200
        assert up.calls[0].json == {**NATIVE_ASKED["responses"], "previous_response_id": "resp_of_before"}

    async def test_who_leaves_with_the_last_event_can_go_on(self, chomp: Any, router: Any) -> None:
        puppet = Puppet()
        client = await chomp(up := await router(puppet))
        raw = await Raw.to(
            client.port, wire(json.dumps({**NATIVE_ASKED["responses"], "stream": True}).encode(), path="/v1/responses")
        )
        puppet.tell(*NATIVE_RESPONSE_STREAM)  # and no end of the body
        await soon(raw.reader.readuntil(NATIVE_RESPONSE_STREAM[-1]))
        raw.close()
        await soon(up.calls[0].gone.wait())
        await client.rows(1)
        for _ in range(200):
            if (await self.kept(client, NATIVE_RESPONSE["id"]))[0] == 200:
                break
        up.act = self.numbered()
        assert (await self.asked(client, previous_response_id=NATIVE_RESPONSE["id"]))[0] == 200
        assert len(up.calls[1].json["input"]) == 3

    async def test_half_an_answer_is_not_kept(self, chomp: Any, router: Any) -> None:
        client = await chomp(up := await router(streams(*NATIVE_RESPONSE_STREAM[:5], cut=True)))
        assert (await self.asked(client, stream=True))[0] == 200
        up.act = fails(400)
        assert (await self.asked(client))[0] == 400
        assert (await client.store.database.read("SELECT id FROM responses")) == []

    async def test_what_is_kept_is_bounded_in_number(self, chomp: Any, router: Any) -> None:
        clock = Clock()
        client = await chomp(await router(), limits={"responses_kept": 3}, clock=clock)

        async def ask(**more: Any) -> None:
            clock.now += 1
            assert (await self.asked(client, **more))[0] == 200

        async def left() -> list[int]:
            return [n for n in range(1, 8) if (await self.kept(client, f"resp_{n}"))[0] == 200]

        for _ in range(4):
            await ask()
        assert await left() == [2, 3, 4]
        await ask(previous_response_id="resp_2")
        assert await left() == [2, 4, 5]  # what is gone on from stays
        await ask()
        await ask()
        assert await left() == [5, 6, 7]

    async def test_what_is_kept_is_bounded_in_size(self, chomp: Any, router: Any) -> None:
        client = await chomp(await router(), limits={"responses_bytes": 10_000})
        assert (await self.asked(client, input="x" * 3000))[0] == 200
        assert (await self.asked(client, input="x" * 3000))[0] == 200
        assert (await self.asked(client, input="x" * 20_000))[0] == 200  # is too large, and drives nobody out
        found = [(await self.kept(client, f"resp_{n}"))[0] for n in (1, 2, 3)]
        assert found == [200, 200, 404]
        assert (await self.asked(client, input="x" * 6000))[0] == 200
        found = [(await self.kept(client, f"resp_{n}"))[0] for n in (1, 2, 4)]
        assert found[0] == 404 and found[2] == 200

    async def test_a_long_story_is_refused_like_a_large_body(self, chomp: Any, router: Any) -> None:
        client = await chomp(up := await router(), limits={"body_bytes": 4000})
        for number in (0, 1, 2):
            more = {"previous_response_id": f"resp_{number}"} if number else {}
            status, body = await self.asked(client, input="x" * 1500, **more)
            assert status == (200 if number < 2 else 413)
        assert is_openai_error(body)["code"] == "request_too_large"
        assert (len(up.calls), client.services.bodies.held) == (2, 0)

    async def test_it_counts_as_what_is_asked(self, chomp: Any, router: Any) -> None:
        client = await chomp(await router(), users=[member(tokens_per_day=2200)])
        assert (await self.asked(client, "ann", input="x" * 4000, max_output_tokens=100))[0] == 200
        status, body = await self.asked(
            client, "ann", max_output_tokens=1180, previous_response_id="resp_1"
        )  # 1000 of before
        assert (status, is_openai_error(body)["code"]) == (429, "insufficient_quota")
        assert (await self.asked(client, "ann", max_output_tokens=1180))[0] == 200

    async def test_it_outlives_the_process(self, process: Any, router: Any) -> None:
        up = await router()
        chomp = await process(toml=toml({"routers": [up.router], "users": [member()]})).up()
        for more in ({}, {"previous_response_id": "resp_1"}):
            async with chomp.http as http:
                asked = {**NATIVE_ASKED["responses"], **more}
                async with http.post("/v1/responses", json=asked, headers=bearer("ann")) as answer:
                    assert answer.status == 200
                async with http.get("/v1/responses/resp_1", headers=bearer("ann")) as answer:
                    assert answer.status == 200
            chomp.child.kill()
            await chomp.ended()
            await chomp.up()
        assert len(up.calls[1].json["input"]) == 3

    @pytest.mark.parametrize(
        ("method", "path", "headers", "token", "status", "code"),
        [
            ("GET", "/v1/responses", [("connection", "upgrade"), ("upgrade", "websocket")], TOKEN, 426, "upgrade_required"),
            ("GET", "/v1/responses", [("connection", "Upgrade"), ("upgrade", "WebSocket")], TOKEN, 426, "upgrade_required"),
            ("GET", "/v1/responses", [("connection", "upgrade"), ("upgrade", "websocket")], None, 401, "invalid_api_key"),
            ("GET", "/v1/responses", [], TOKEN, 405, "method_not_allowed"),
            ("GET", "/v1/responses/", [], TOKEN, 404, "not_found"),
            ("GET", "/v1/responses/resp_1", [], None, 401, "invalid_api_key"),
            ("POST", "/v1/responses/resp_1", [], TOKEN, 405, "method_not_allowed"),
        ],
    )  # fmt: skip
    async def test_what_is_not_there(
        self, chomp: Any, router: Any, method: str, path: str, headers: Any, token: Any, status: int, code: str
    ) -> None:
        client = await chomp(await router())
        got, _, body = await ask_raw(client.port, wire(method=method, path=path, headers=headers, token=token))
        assert (got, is_openai_error(body)["code"]) == (status, code)

    @pytest.mark.parametrize("answer", [b'{"output":[]}', b'{"id":7,"output":[]}', b'{"id":"r","output":{}}'])
    async def test_odd_answers_are_passed_on(self, chomp: Any, router: Any, answer: bytes) -> None:
        client = await chomp(await router(lambda call: call.whole(answer)))
        assert await self.asked(client) == (200, answer)
        assert (await self.asked(client, input=["x", 1, None]))[0] == 200


class TestOpenAI(OfficialOpenAI):
    """The official SDK as a client."""

    ASKED: Any = [{"role": "user", "content": "hello"}]

    async def test_chat(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        client = await chomp(router := await upstream(says("hi there")))
        answer = await sdk(client).chat.completions.with_raw_response.create(model="m", messages=self.ASKED)
        assert answer.headers["x-chomp-router"] == router.id
        parsed = answer.parse()
        assert (parsed.choices[0].message.content, parsed.usage.total_tokens) == ("hi there", 9)
        assert not [name for name in router.calls[0].headers if name.startswith("x-stainless")]

    @pytest.mark.parametrize("usage", [False, True])
    async def test_a_stream(self, chomp: Any, upstream: Any, sdk: Any, usage: bool) -> None:
        client = await chomp(await upstream(says("hi there")))
        options = {"stream_options": {"include_usage": True}} if usage else {}
        stream = await sdk(client).chat.completions.create(model="m", messages=self.ASKED, stream=True, **options)
        chunks = [chunk async for chunk in stream]
        words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
        assert [word for word in words if word] == ["hi", "there"]
        assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == ([9] if usage else [])

    async def test_tools_are_streamed_and_put_together(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        (fixture,) = [one for one in FIXTURES if one.name == "tool-calls-only"]
        client = await chomp(router := await upstream(replays(fixture.body, (), fixture)))
        tools: Any = [{"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}]
        stream = await sdk(client).chat.completions.create(model="m", messages=self.ASKED, stream=True, tools=tools)
        calls: dict[int, list[str]] = {}
        finish = None
        async for chunk in stream:
            for choice in chunk.choices:
                finish = choice.finish_reason or finish
                for call in choice.delta.tool_calls or ():
                    parts = calls.setdefault(call.index, ["", ""])
                    parts[0] += call.function.name or ""
                    parts[1] += call.function.arguments or ""
        assert finish == "tool_calls"
        assert calls
        assert all(name and isinstance(json.loads(arguments), dict) for name, arguments in calls.values())
        assert router.calls[0].json["tools"] == tools

    async def test_models(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        first, second = await upstream(says(), "a", "b/c"), await upstream(says(), "a")
        api = sdk(await chomp(first, second))
        listed = [model.id async for model in await api.models.list()]
        assert listed == [f"{first.id}/a", f"{first.id}/b/c", f"{second.id}/a"]
        assert (await api.models.retrieve(f"{first.id}/b/c")).id == f"{first.id}/b/c"
        assert (await api.models.retrieve("b/c")).owned_by == first.id
        with pytest.raises(openai.NotFoundError) as caught:
            await api.models.retrieve("nothing")
        assert caught.value.code == "model_not_found"

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, openai.BadRequestError), (401, openai.AuthenticationError), (403, openai.PermissionDeniedError),
            (404, openai.NotFoundError), (422, openai.UnprocessableEntityError), (429, openai.RateLimitError),
            (500, openai.InternalServerError), (503, openai.InternalServerError),
        ],
    )  # fmt: skip
    async def test_errors_have_their_class(
        self, chomp: Any, upstream: Any, sdk: Any, status: int, kind: type[openai.APIStatusError], stream: bool
    ) -> None:
        client = await chomp(await upstream(fails(status)))
        with pytest.raises(kind) as caught:
            await sdk(client).chat.completions.create(model="m", messages=self.ASKED, stream=stream)
        assert (caught.value.status_code, caught.value.code) == (status, f"c{status}")
        assert f"no, {status}" in caught.value.message
        assert caught.value.request_id

    async def test_a_wrong_token_and_an_unknown_model(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        client = await chomp(await upstream())
        with pytest.raises(openai.AuthenticationError) as caught:
            await sdk(client, api_key="wrong").chat.completions.create(model="m", messages=self.ASKED)
        assert caught.value.code == "invalid_api_key"
        with pytest.raises(openai.NotFoundError) as unknown:
            await sdk(client).chat.completions.create(model="nope/x", messages=self.ASKED)
        assert unknown.value.code == "model_not_found"

    async def test_it_waits_as_long_as_it_is_told_then_tries_again(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        router = await upstream(fails(429, headers=[("retry-after-ms", "300")]))
        client = await chomp(router)
        api = sdk(client, max_retries=2)
        begun = time.monotonic()

        async def recover() -> None:
            await until(lambda: bool(router.calls), "not asked")
            router.act = says("hi there")

        recovering = asyncio.ensure_future(recover())
        answer = await soon(api.chat.completions.create(model="m", messages=self.ASKED))
        await recovering
        assert answer.choices[0].message.content == "hi there"
        assert len(router.calls) == 2
        assert time.monotonic() - begun >= 0.3

    @pytest.mark.parametrize(
        ("acts", "calls"),
        [((fails(500), fails(500)), 1), ((fails(429, headers=[("retry-after", "100")]),), 1)],
        ids=["chomp tried again already", "a long wait"],
    )
    async def test_it_does_not_try_again_when_told_not_to(
        self, chomp: Any, upstream: Any, sdk: Any, acts: Sequence[Act], calls: int
    ) -> None:
        routers = [await upstream(act) for act in acts]
        client = await chomp(*routers)
        with pytest.raises(openai.APIStatusError) as caught:
            await soon(sdk(client, max_retries=2).chat.completions.create(model="m", messages=self.ASKED))
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert [len(router.calls) for router in routers] == [calls] * len(routers)

    @pytest.mark.parametrize("cut", [True, False], ids=["cut", "ended early"])
    async def test_a_cut_stream_raises(self, chomp: Any, upstream: Any, sdk: Any, cut: bool) -> None:
        client = await chomp(await upstream(streams(*[chat_chunk({"content": "x"})] * 40, cut=cut)))
        stream = await sdk(client).chat.completions.create(model="m", messages=self.ASKED, stream=True)
        words = []

        async def read() -> None:
            async for chunk in stream:
                words.append(chunk.choices[0].delta.content)

        with pytest.raises(openai.APIError) as caught:
            await soon(read())
        assert words == ["x"] * 40
        assert caught.value.code == "upstream_stream_interrupted"

    async def test_embeddings_and_completions(self, chomp: Any, upstream: Any, sdk: Any) -> None:
        async def act(call: Call) -> None:
            if call.path.endswith("embeddings"):
                vector = base64.b64encode(b"\0\0\x80\x3f" * 2).decode()  # what the SDK asks for: floats as base64
                data = [{"object": "embedding", "index": 0, "embedding": vector}]
                answer = {
                    "object": "list",
                    "data": data,
                    "model": "m",
                    "usage": {"prompt_tokens": 1, "total_tokens": 1},
                }
            else:
                answer = {"id": "c", "object": "text_completion", "created": 1, "model": "m", "usage": USAGE,
                          "choices": [{"index": 0, "text": "hi", "finish_reason": "stop", "logprobs": None}]}  # fmt: skip
            await call.whole(json.dumps(answer).encode())

        api = sdk(await chomp(await upstream(act)))
        found = await api.embeddings.create(model="m", input="a")
        assert found.data[0].embedding == [1.0, 1.0]
        assert (await api.completions.create(model="m", prompt="say hi")).choices[0].text == "hi"


CHAT_STREAM = [
    chat_chunk({"role": "assistant", "content": ""}), chat_chunk({"content": "hi "}), chat_chunk({"content": "there"}),
    chat_chunk({}, "stop"), chat_chunk(None, usage=USAGE), DONE,
]  # fmt: skip
DIALECTS = ["chat", "messages", "responses"]
CROSSED = [(speaker, target) for speaker in DIALECTS for target in DIALECTS if speaker != target]


class TestDialectPaths:
    """Translated and native answers on their way through proxy and door, where upstreams behave oddly."""

    PATH: Any = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
    ASKED: Any = {"chat": {"model": "m", "messages": [{"role": "user", "content": "hello"}]}, **NATIVE_ASKED}
    STREAM: Any = {"chat": CHAT_STREAM, **{api: frames for api, (_, frames) in NATIVE.items()}}
    WHOLE: Any = {"chat": json.loads(chat_answer("hi there")), **{api: whole for api, (whole, _) in NATIVE.items()}}

    async def asked(self, client: Chomp, api: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
        body = json.dumps({**self.ASKED[api], **more}).encode()
        return await ask_raw(client.port, wire(body, path=self.PATH[api]))

    @pytest.mark.parametrize("api", ["messages", "responses"])
    async def test_the_last_word_is_passed_on_though_the_connection_stays_open(
        self, chomp: Any, upstream: Any, monkeypatch: pytest.MonkeyPatch, api: str
    ) -> None:
        monkeypatch.setattr(cs, "DONE_S", 60.0)
        puppet = Puppet()
        client = await chomp(await upstream(puppet))
        raw = await Raw.to(
            client.port, wire(json.dumps({**self.ASKED[api], "stream": True}).encode(), path=self.PATH[api])
        )
        puppet.tell(chat_chunk({"content": "hi"}), chat_chunk({}, "stop"), chat_chunk(None, usage=USAGE), DONE)
        rest = await soon(raw.reader.readuntil(b"message_stop" if api == "messages" else b"response.completed\ndata: "))
        assert b'"hi"' in rest
        puppet.tell(None)
        tail = await soon(raw.reader.readuntil(b"0\r\n\r\n"))
        assert tail.count(b"event: ") == 0
        (row,) = await client.rows(1)
        assert (row["status"], row["completion_tokens"], row["estimated"]) == (200, 2, 0)
        raw.close()

    @pytest.mark.parametrize("api", ["messages", "responses"])
    async def test_a_stream_nobody_asked_for_goes_to_the_next(self, chomp: Any, upstream: Any, api: str) -> None:
        odd, good = await upstream(streams(*CHAT_STREAM)), await upstream(says("fine"))
        client = await chomp(odd, good)
        status, headers, body = await self.asked(client, api)
        assert (status, headers["x-chomp-attempts"], b"fine" in body) == (200, "2", True)

    def heard(self, api: str, body: bytes) -> tuple[str, str]:
        """What a stream said, and how it ended."""
        words, end = "", ""
        for payload in cs.payloads(body):
            if payload == b"[DONE]":
                end = end or "done"
                continue
            told = json.loads(payload)
            if told.get("error"):
                end = "error"
            elif told.get("type") in ("message_stop", "response.completed", "response.incomplete"):
                end = "done"
            elif api == "chat":
                words += "".join(choice["delta"].get("content") or "" for choice in told["choices"])
            elif told["type"] == "content_block_delta":
                words += told["delta"]["text"]
            elif told["type"] == "response.output_text.delta":
                words += told["delta"]
        return words, end

    @pytest.mark.parametrize(("speaker", "target"), CROSSED)
    @pytest.mark.parametrize("stream", [False, True])
    async def test_the_type_of_what_was_translated_is_ours(
        self, both_ways: Any, upstream: Any, speaker: str, target: str, stream: bool
    ) -> None:
        async def act(call: Call) -> None:
            body = b"".join(self.STREAM[target]) if stream else json.dumps(self.WHOLE[target]).encode()
            await call.whole(body, content_type="text/plain; charset=latin-1")

        router = await upstream(act)
        router.speaks = {"apis": [target]}
        status, headers, _ = await self.asked(await both_ways(router), speaker, stream=stream)
        assert (status, headers["content-type"].split(";")[0]) == (
            200,
            "text/event-stream" if stream else "application/json",
        )

    @pytest.mark.parametrize("ending", [b"", b"\n"], ids=["none", "newline"])
    @pytest.mark.parametrize("speaker", ["messages", "responses"])
    async def test_the_last_frame_counts_without_its_blank_line(
        self, both_ways: Any, upstream: Any, speaker: str, ending: bytes
    ) -> None:
        last = chat_chunk({"content": "there"}, "length", usage=USAGE).rstrip(b"\n") + ending
        client = await both_ways(await upstream(streams(chat_chunk({"content": "hi "}), last)))
        _, _, body = await self.asked(client, speaker, stream=True)
        assert self.heard(speaker, body) == ("hi there", "done")
        assert (b'"max_tokens"' if speaker == "messages" else b"response.incomplete") in body
        assert b'"output_tokens":2' in body
        (row,) = await client.rows(1)
        assert (row["status"], row["completion_tokens"], row["estimated"]) == (200, 2, 0)

    @pytest.mark.parametrize("speaker", DIALECTS)
    @pytest.mark.parametrize("target", DIALECTS)
    async def test_half_of_a_large_frame_is_no_answer(
        self, both_ways: Any, upstream: Any, speaker: str, target: str
    ) -> None:
        puppet = Puppet()
        router = await upstream(puppet)
        router.speaks = {"apis": [target]}
        client = await both_ways(router, limits={"frame_bytes": 1000})
        asked = json.dumps({**self.ASKED[speaker], "stream": True}).encode()
        raw = await Raw.to(client.port, wire(asked, path=self.PATH[speaker]))
        said = self.STREAM[target][: 2 if target == "chat" else 4]
        puppet.tell(*said)
        await soon(raw.reader.readuntil(b"hi "))
        puppet.tell(said[-1].replace(b"hi ", b"x" * 5000)[:-5], None)
        if speaker == target:  # its beginning has gone out: an error frame would be a part of it
            assert not (await raw.eof()).endswith(b"0\r\n\r\n")
        else:
            rest = await soon(raw.reader.readuntil(b"0\r\n\r\n"))
            assert b"in the middle of its answer" in rest and b"xxx" not in rest
        raw.close()
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"]) == (502, "provider_incomplete")

    async def test_a_large_last_event_ends_a_response(self, both_ways: Any, upstream: Any) -> None:
        puppet = Puppet()
        router = await upstream(puppet)
        router.speaks = {"apis": ["responses"]}
        client = await both_ways(router, limits={"frame_bytes": 1000})
        *frames, last = self.STREAM["responses"]
        last = last.replace(b"hi there", b"x" * 5000)
        asked = json.dumps({**self.ASKED["responses"], "stream": True}).encode()
        raw = await Raw.to(client.port, wire(asked, path="/v1/responses"))
        puppet.tell(*frames)
        await soon(raw.reader.readuntil(b"response.output_item.done"))
        puppet.tell(last[:4000])
        await soon(raw.reader.readuntil(b"xxx"))
        puppet.tell(last[4000:], None)
        rest = await soon(raw.reader.readuntil(b"0\r\n\r\n"))
        assert b"error" not in rest.replace(b'"error":null', b"")
        raw.close()
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"]) == (200, "")

    async def test_what_one_dialect_has_no_place_for_another_may(self, both_ways: Any, upstream: Any) -> None:
        one, two = await upstream(speaks("responses")), await upstream(speaks("messages"))
        one.speaks, two.speaks = {"apis": ["responses"]}, {"apis": ["messages"]}
        status, headers, _ = await self.asked(await both_ways(one, two), "chat", stop=["x"])
        assert (status, headers["x-chomp-router"], len(one.calls)) == (200, two.id, 0)

    async def test_a_target_that_failed_is_told_of_and_not_one_that_was_no_use(
        self, both_ways: Any, upstream: Any
    ) -> None:
        failing, chatting = await upstream(fails(503)), await upstream()
        failing.speaks = {"apis": ["messages"]}
        client = await both_ways(failing, chatting)
        source = {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}
        said = [{"role": "user", "content": [{"type": "document", "source": source}]}]
        status, headers, body = await self.asked(client, "messages", messages=said)
        assert (status, json.loads(body)["error"]["message"], headers["x-chomp-attempts"]) == (503, "no, 503", "1")
        (row,) = await client.rows(1)
        assert (row["status"], row["error_type"], row["attempts"]) == (503, "provider_overloaded", 1)

    @pytest.mark.parametrize("given", [{"a": 1}, 5, True])
    async def test_an_odd_input_gets_one_answer(self, both_ways: Any, upstream: Any, given: Any) -> None:
        router = await upstream(speaks("responses"))
        router.speaks = {"apis": ["responses"]}
        client = await both_ways(router)
        odd, usual = (json.dumps({"model": "m", "input": one}).encode() for one in (given, "hello"))
        raw = await Raw.to(client.port, wire(odd, path="/v1/responses"))
        assert (await raw.answer())[0] == 400
        raw.writer.write(wire(usual, path="/v1/responses"))
        assert (await raw.answer())[0] == 200
        raw.close()
        assert [row["status"] for row in await client.rows(2)] == [400, 200]

    async def test_pings_of_the_target_are_no_news_to_a_client_of_another_dialect(
        self, both_ways: Any, upstream: Any
    ) -> None:
        puppet = Puppet()
        router = await upstream(puppet)
        router.speaks = {"apis": ["messages"]}
        client = await both_ways(router, timeouts={"keepalive": "100ms"})
        asked = json.dumps({**self.ASKED["chat"], "stream": True}).encode()
        raw = await Raw.to(client.port, wire(asked))
        puppet.tell(*NATIVE_MESSAGE_STREAM[:4])
        await soon(raw.reader.readuntil(b"hi "))
        filled = asyncio.ensure_future(soon(raw.reader.readuntil(cs.KEEPALIVE)))
        while not filled.done():
            puppet.tell(_event("ping", {"type": "ping"}))
            await asyncio.sleep(0.02)
        await filled
        puppet.tell(*NATIVE_MESSAGE_STREAM[4:], None)
        await soon(raw.reader.readuntil(DONE))
        raw.close()

    @pytest.mark.parametrize("api", DIALECTS)
    async def test_start_up_frames_count_however_soon_they_come(
        self, both_ways: Any, upstream: Any, monkeypatch: Any, api: str
    ) -> None:
        class Coarse:
            """A loop whose clock stands still for longer than frames take to come."""

            def __init__(self, loop: asyncio.AbstractEventLoop):
                self._loop = loop

            def time(self) -> float:
                return self._loop.time() // 0.2 * 0.2

            def __getattr__(self, name: str) -> Any:
                return getattr(self._loop, name)

        puppet = Puppet()
        puppet.tell(self.STREAM[api][0])
        router = await upstream(puppet)
        router.speaks = {"apis": [api]}
        client = await both_ways(router, timeouts={"idle": "300ms"})
        proxy = client.services.proxy
        monkeypatch.setattr(proxy, "loop", Coarse(proxy.loop))
        status, _, body = await self.asked(client, api, stream=True)
        assert (status, b"start-up" in body) == (504, True)


class TestConfig:
    """What pages and the command change, and what they are shown of the routers."""

    @staticmethod
    async def shown(chomp: Chomp, router: str) -> dict[str, Any]:
        async with chomp.get("/api/platforms") as answer:
            assert answer.status == 200
            return next(one for one in await answer.json() if one["id"] == router)

    async def status(self, chomp: Chomp, router: str, wanted: str) -> dict[str, Any]:
        """What is shown of `router`, as soon as it is `wanted`."""
        async with asyncio.timeout(PATIENCE_S):
            while (found := await self.shown(chomp, router))["Status"] != wanted:
                await asyncio.sleep(0.01)
        return found

    async def test_a_router_is_live_when_its_list_came_with_its_key(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(says("hi"), "m")
        gate = asyncio.Event()
        up.list_act = holds(gate, lists({"id": "m"}))
        client = await chomp(row(up))
        assert (await self.shown(client, up.id))["Status"] == "checking"
        gate.set()
        assert (await self.status(client, up.id, "live"))["Note"] == ""

    async def test_a_refused_key_is_down_with_the_routers_words(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(says("hi"), "m")
        up.list_act = fails(401)
        client = await chomp(row(up))
        assert "no, 401" in (await self.status(client, up.id, "down"))["Note"]

    async def test_a_rate_limit_shows_until_when(self, chomp: Any, upstream: Any) -> None:
        clock, up = Clock(), await upstream(fails(429, headers=[("retry-after", "90")]), "m")
        client = await chomp(up, clock=clock)
        async with client.chat(up.model) as answer:
            assert answer.status == 429
        found = await self.shown(client, up.id)
        assert (found["Status"], cs.iso(clock.now + 90) in found["Note"]) == ("limited", True)
        clock.now += 91
        assert (await self.shown(client, up.id))["Status"] == "live"

    async def test_a_router_that_keeps_failing_is_down(self, chomp: Any, upstream: Any) -> None:
        up = await upstream(fails(500), "m")
        client = await chomp(up)
        for _ in range(cs.BREAKER_FAILURES):
            async with client.chat(up.model) as answer:
                assert answer.status >= 500
        assert (await self.shown(client, up.id))["Status"] == "down"

    async def test_what_a_key_has_left_is_asked_for_seldom(self, chomp: Any, upstream: Any) -> None:
        asked: list[str] = []

        async def tells(call: Call) -> None:
            asked.append(call.path)
            if call.path.endswith("/auth/key"):
                await call.whole(b'{"data": {"limit_remaining": 4.5}}')
            else:
                await call.whole(b'{"data": [{"id": "m"}]}')

        clock, up = Clock(), await upstream(says("hi"))
        up.list_act = tells
        client = await chomp(
            environ={
                "OPENROUTER_API_KEY": "or-key-0123456789",
                "CHOMP_OPENROUTER_BASE_URL": f"http://127.0.0.1:{up.port}/v1",
            },
            clock=clock,
        )
        async with asyncio.timeout(PATIENCE_S):
            while (await self.shown(client, "openrouter"))["Credits"] != "$4.50":
                await asyncio.sleep(0.01)
        for _ in range(5):
            assert (await self.shown(client, "openrouter"))["Status"] == "live"
        assert asked.count("/v1/auth/key") == 1
        clock.now += cs.KEY_CHECK_S
        await self.shown(client, "openrouter")
        await until(lambda: asked.count("/v1/auth/key") == 2, "the key was not asked about again")

    async def test_without_a_key_the_variable_is_named(self, chomp: Any) -> None:
        client = await chomp()
        assert (await self.shown(client, "groq"))["Note"] == "set GROQ_API_KEY"
        assert (await self.shown(client, "groq"))["Status"] == "unconfigured"

    @pytest.mark.parametrize("form", ["json", "data"])
    async def test_a_key_is_in_force_at_once_and_kept(self, chomp: Any, form: str) -> None:
        client = await chomp(written=True, routers=[])
        given = {"key": "GROQ_API_KEY", "value": " gsk-0123456789abcdef "}
        async with client.post("/api/config/keys", **{form: given}) as answer:
            assert (answer.status, answer.headers["hx-trigger"]) == (200, "refreshTasks")
        assert client.store.keys() == {"GROQ_API_KEY": "gsk-0123456789abcdef"}
        assert (client.store.folder / "keys.json").stat().st_mode & 0o777 == 0o600
        assert client.services.routing.keys["groq"]
        async with client.post("/api/config/keys", json={"key": "GROQ_API_KEY", "value": ""}) as answer:
            assert answer.status == 200
        assert not client.services.routing.keys["groq"]

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"key": "PATH", "value": "/tmp"}, "PATH"),
            ({"key": "GROQ_API_KE", "value": "x"}, "GROQ_API_KEY"),
            ({"key": "GROQ_API_KEY", "value": "a\nb"}, "printable"),
            ({"value": "x"}, "no router"),
        ],
    )
    async def test_what_is_no_key_is_refused(self, chomp: Any, given: dict[str, str], words: str) -> None:
        client = await chomp()
        async with client.post("/api/config/keys", json=given) as answer:
            assert answer.status == 400
            assert words in (await error_of(answer))["message"]
        assert client.store.keys() == {}

    async def test_settings_of_tasks_are_changed_and_kept(self, chomp: Any) -> None:
        client = await chomp(written=True, routers=[], tasks={"parallel": 3, "auto": True})
        async with client.post("/api/config", json={"tasks": {"parallel": 2, "stalled": "5m"}}) as answer:
            assert answer.status == 200
        settings = client.services.settings.tasks
        assert (settings.parallel, settings.auto, settings.stalled_s) == (2, True, 300.0)
        assert client.store.overrides() == {"tasks": {"parallel": 2, "stalled": "5m"}}

    @pytest.mark.parametrize(
        ("tables", "words"),
        [
            ({"tasks": {"paralel": 2}}, "parallel"),
            ({"tasks": {"parallel": "two"}}, "parallel"),
            ({"tasks": {"isolation": "some"}}, "isolation"),
            ({"tasks": {"stalled": -1}}, "stalled"),
            ({"server": {"host": "0.0.0.0"}}, "server"),
        ],
    )
    async def test_settings_that_cannot_be_used_change_nothing(
        self, chomp: Any, tables: dict[str, Any], words: str
    ) -> None:
        client = await chomp()
        async with client.post("/api/config", json=tables) as answer:
            assert answer.status == 400
            assert words in (await error_of(answer))["message"]
        assert client.store.overrides() == {}


# == Dispatch ==========================================================================================================


def is_running(pid: int) -> bool:
    """Whether `pid` is a process that is not just waiting to be collected."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def with_argument(word: str) -> list[int]:
    """Processes with `word` on their command line, wherever they came from."""
    return [one.pid for one in psutil.process_iter(["cmdline"]) if word in (one.info["cmdline"] or ())]


async def eventually(holds: Callable[[], Any], limit_s: float = 10.0) -> Any:
    """What `holds` says as soon as that is true."""
    async with asyncio.timeout(limit_s):
        while not (found := holds()):
            await asyncio.sleep(0.02)
    return found


class Place:
    """A LocalRunner with a home, a chomp folder in it and a work folder in that, as a session has them."""

    def __init__(self, folder: Path):
        self.home = folder / "home"
        self.dir = self.home / "chomp"
        self.work = self.dir / "state" / "work" / "task-1"
        self.work.mkdir(parents=True)
        (self.home / ".ssh").mkdir()
        (self.home / ".ssh" / "id_ed25519").write_text("the owner's key")
        (self.home / ".config" / "agent").mkdir(parents=True)
        (self.home / ".config" / "agent" / "settings").write_text("of the agent")
        (self.dir / "state" / "keys.json").write_text("a provider's key")
        (self.dir / "chomp_server.py").write_text("code")
        self.store = cs.Store(self.dir / "state")
        self.store.open()
        self.background = cs.Background()
        self.settings = cs.Settings(dir=self.dir, environ={"PATH": os.environ["PATH"]})
        self.runner = cs.LocalRunner(self.store, self.background, lambda: self.settings)
        self.runs = itertools.count(1)

    def launch(self, script: str, level: Any = "none", **more: Any) -> cs.Launch:
        run = f"run-{os.getpid()}-{id(self)}-{next(self.runs)}"
        env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.work),
            "TERM": "xterm-256color",
            "TASK_RUN": run,
        }
        return cs.Launch(**{
            "argv": ("bash", "-c", script), "cwd": self.work, "env": env, "level": level, "writable": (self.work,),
            "readable": (self.dir, self.home / ".config" / "agent", self.home / "nowhere"),
            "hidden": (self.home, self.dir / "state", self.home / "nowhere-else"),
            **more,
        })  # fmt: skip

    async def capture(self, script: str, level: Any = "none", limit_s: float = 20.0, **more: Any) -> tuple[Any, str]:
        code, output = await self.runner.capture(self.launch(script, level, **more), limit_s, 1 << 20)
        return code, output.decode()

    async def start(self, script: str, level: Any = "none", secrets: Sequence[str] = (), **more: Any) -> cs.Terminal:
        path = self.dir / "state" / "output" / "task-1" / f"s{next(self.runs)}.log"
        return await self.runner.start(self.launch(script, level, **more), path, secrets)


async def shows(terminal: cs.Terminal, words: str | bytes, limit_s: float = 10.0) -> bytes:
    """The terminal's output as soon as it has `words`."""
    wanted = words.encode() if isinstance(words, str) else words
    async with asyncio.timeout(limit_s):
        while wanted not in (seen := terminal.output(0)[1]):
            assert await terminal.more(terminal.offset), f"it ended without {words!r}: {seen[-500:]!r}"
    return seen


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    await made.runner.probe()
    yield made
    await made.background.stop()
    await made.store.close()


@pytest.fixture(params=["none", "bubblewrap"])
def level(request: pytest.FixtureRequest, place: Place) -> str:
    """Both levels of isolation, as far as they work here."""
    if request.param == "bubblewrap" and place.runner.level != "bubblewrap":
        pytest.skip(place.runner.level_why)
    return str(request.param)


@pytest.fixture
def sandbox(place: Place) -> Place:
    if place.runner.level != "bubblewrap":
        pytest.skip(place.runner.level_why)
    return place


STUBBORN = """
trap '' TERM HUP INT
setsid nohup bash -c 'trap "" TERM; echo $$ >heir; exec -a {mark} sleep 1000' >/dev/null 2>&1 &
(env -i /usr/bin/setsid /bin/bash -c 'trap "" TERM; (exec -a {mark} sleep 1000) & echo $! >bare' >/dev/null 2>&1 &)
until [ -s heir ] && [ -s bare ]; do sleep 0.02; done
echo ready
while :; do sleep 1; done
"""


class TestRunner:
    async def test_the_sandbox_is_tried_before_it_is_promised(self, place: Place, tmp_path: Path) -> None:
        refuses = tmp_path / "bin" / "bwrap"
        refuses.parent.mkdir()
        refuses.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2\nexit 1\n")
        refuses.chmod(0o755)
        place.settings = msgspec.structs.replace(place.settings, environ={"PATH": f"{refuses.parent}:/usr/bin:/bin"})
        await place.runner.probe()
        assert place.runner.level == "none"
        assert "Permission denied" in place.runner.level_why
        place.settings = msgspec.structs.replace(place.settings, environ={"PATH": str(tmp_path)})
        await place.runner.probe()
        assert (place.runner.level, "not installed" in place.runner.level_why) == ("none", True)
        with pytest.raises(cs.Unavailable, match="not installed"):
            await place.capture("true", "bubblewrap")

    async def test_a_sandbox_that_never_answers_is_given_up(
        self, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "bwrap").write_text("#!/bin/sh\nsleep 1000\n")
        (tmp_path / "bwrap").chmod(0o755)
        monkeypatch.setattr(cs, "PROBE_S", 0.2)
        place.settings = msgspec.structs.replace(place.settings, environ={"PATH": f"{tmp_path}:/usr/bin:/bin"})
        await place.runner.probe()
        assert (place.runner.level, "too long" in place.runner.level_why) == ("none", True)

    async def test_what_is_hidden_is_not_there_and_what_is_shown_is(self, sandbox: Place) -> None:
        said = await sandbox.capture(
            f"cat {sandbox.home}/.ssh/id_ed25519; cat {sandbox.dir}/state/keys.json; ls -A {sandbox.home}; echo --;"
            f"cat {sandbox.home}/.config/agent/settings {sandbox.dir}/chomp_server.py; echo; ls {sandbox.dir}/state/work",
            "bubblewrap",
        )
        assert "owner's key" not in said[1] and "provider's key" not in said[1]
        assert said[1].count("No such file") == 2
        assert said[1].partition("--\n")[2].split("\n")[:2] == ["of the agentcode", "task-1"]
        assert said[1].partition("--\n")[0].split("\n")[-3:-1] == [".config", "chomp"]

    async def test_a_link_in_a_hidden_folder_shows_what_it_stands_for(self, sandbox: Place) -> None:
        (sandbox.home / "dotfiles").mkdir()
        (sandbox.home / "dotfiles" / "tool").write_text("through a link")
        (sandbox.home / ".tool").symlink_to(sandbox.home / "dotfiles" / "tool")
        shown = await sandbox.capture(f"cat {sandbox.home}/.tool", "bubblewrap", readable=(sandbox.home / ".tool",))
        assert shown == (0, "through a link")

    async def test_writing_is_for_the_work_folder_alone(self, sandbox: Place) -> None:
        (sandbox.work / "frozen").mkdir()
        tries = f"for at in /etc/x /usr/x {sandbox.dir}/x frozen/x; do touch $at && echo wrote $at; done 2>/dev/null"
        script = f"{tries}; touch mine && stat -c %u mine; id -u"
        code, said = await sandbox.capture(script, "bubblewrap", readable=(sandbox.dir, sandbox.work / "frozen"))
        assert (code, "wrote" in said) == (0, False)
        assert len(set(said.split())) == 1  # what it makes is its own
        assert (sandbox.work / "mine").stat().st_uid == os.getuid()  # and the owner's outside

    async def test_root_is_not_root_inside(self, sandbox: Place) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root has to be taken something away")
        _, said = await sandbox.capture('id -u; id -un; echo "$USER"; grep CapEff /proc/self/status', "bubblewrap")
        uid, name, user, caps = said.split("\n")[:4]
        assert (uid != "0", name) == (True, user)
        assert int(caps.split()[1], 16) == 0

    async def test_git_commits_in_the_work_folder(self, level: str, place: Place) -> None:
        place_it = "git init -q . && echo 1 >a && git add a && git -c user.name=a -c user.email=a@b commit -qm one && git log --oneline | wc -l"
        assert await place.capture(place_it, level) == (0, "1\n")

    async def test_processes_and_sockets_of_the_owner_are_out_of_reach(self, sandbox: Place) -> None:
        _, said = await sandbox.capture(
            f"ls /run; ls -A /tmp | grep -v {sandbox.home.parts[2]}; ls /proc | grep -c '^[0-9]'", "bubblewrap"
        )
        *sockets, processes = said.split()
        assert not [
            one for one in sockets if one not in ("systemd", "resolvconf", "NetworkManager")
        ]  # with resolv.conf
        assert int(processes) < 10

    async def test_the_network_is_there_unless_it_is_taken_away(self, sandbox: Place) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            connects = f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected"
            assert await sandbox.capture(connects, "bubblewrap") == (0, "connected\n")
            code, said = await sandbox.capture(connects, "bubblewrap", network=False)
            assert (code != 0, "connected" in said) == (True, False)
            with pytest.raises(cs.Unavailable, match="network"):
                await sandbox.capture(connects, "none", network=False)

    async def test_names_can_be_looked_up_when_their_file_lies_in_run(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stub, folder = Path("/run/systemd/resolve/stub-resolv.conf"), Path("/run")
        resolve, exists = Path.resolve, Path.exists
        monkeypatch.setattr(
            Path, "resolve", lambda path, **more: stub if str(path) == "/etc/resolv.conf" else resolve(path, **more)
        )
        monkeypatch.setattr(Path, "exists", lambda path, **more: path == stub or exists(path, **more))
        mounts = cs._mounts(place.launch("true"))
        assert mounts.index(("--tmpfs", folder)) < mounts.index(("--ro-bind", stub, stub))

    async def test_status_and_output_of_a_command(self, level: str, place: Place) -> None:
        assert await place.capture("echo out; echo err >&2; tty; exit 3", level) == (3, "out\nerr\nnot a tty\n")

    async def test_a_long_output_keeps_both_ends(self, place: Place) -> None:
        code, output = await place.runner.capture(place.launch("seq 200000"), 20, 4000)
        assert code == 0 and len(output) < 4200
        assert output.startswith(b"1\n2\n") and output.endswith(b"199999\n200000\n")
        left_out = re.search(rb"(\d+) bytes are left out", output)
        assert left_out and int(left_out[1]) == len("\n".join(map(str, range(1, 200001)))) + 1 - 4000

    async def test_secrets_are_hidden_in_what_is_captured(self, place: Place) -> None:
        got = await place.runner.capture(
            place.launch("echo a-long-secret-key; printf a-long-sec"), 20, 4000, ["a-long-secret-key"]
        )
        assert got == (0, b"[hidden]\na-long-sec")

    @pytest.mark.parametrize("script", ["{start}; sleep 1000", "{start}"])
    async def test_nothing_is_left_of_a_command(self, level: str, place: Place, script: str) -> None:
        mark = f"left-{os.getpid()}-{level}-{len(script)}"
        start = f"(env -i setsid bash -c 'exec -a {mark} sleep 1000' </dev/null >/dev/null 2>&1 &); setsid bash -c 'exec -a {mark} sleep 1000' & echo x"
        code, said = await place.capture(script.format(start=start), level, limit_s=1.0)
        assert said == "x\n" and code == (None if "sleep 1000" in script.replace("{start}", "") else 0)
        assert with_argument(mark) == []

    async def test_a_command_nobody_waits_for_any_more_is_ended(self, level: str, place: Place) -> None:
        mark = f"cancelled-{os.getpid()}-{level}"
        script = f"setsid bash -c 'exec -a {mark} sleep 1000' & exec -a {mark} sleep 1000"
        waiting = place.background.spawn(place.capture(script, level))
        await eventually(lambda: len(with_argument(mark)) == 2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert with_argument(mark) == []

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"argv": ("no-such-agent", "x")}, "no-such-agent cannot be run"),
            ({"cwd": Path("/nowhere/at/all")}, "/nowhere/at/all is not there"),
            ({"writable": (Path("/nowhere/else"),)}, "/nowhere/else is not there"),
        ],
    )
    async def test_what_cannot_be_started_says_why(self, place: Place, more: dict[str, Any], words: str) -> None:
        with pytest.raises(cs.Unavailable, match=words):
            await place.capture("true", **more)
        with pytest.raises(cs.Unavailable, match=words):
            await place.start("true", **more)

    async def test_stop_ends_everything_in_time(self, level: str, place: Place) -> None:
        mark = f"stubborn-{os.getpid()}-{level}"
        terminal = await place.start(STUBBORN.format(mark=mark), level)
        await shows(terminal, "ready")
        assert len(with_argument(mark)) == 2
        begun = time.monotonic()
        assert await terminal.stop() == []
        assert time.monotonic() - begun < 6
        assert with_argument(mark) == []
        assert terminal.exit_code not in (None, 0)

    async def test_stop_lets_an_agent_finish_what_it_does(self, level: str, place: Place) -> None:
        terminal = await place.start(
            "trap 'echo bye >last; exit 7' TERM; echo ready; while :; do sleep 0.05; done", level
        )
        await shows(terminal, "ready")
        assert await terminal.stop() == []
        assert (place.work / "last").read_text() == "bye\n"
        assert terminal.exit_code == 7

    async def test_stop_ends_what_is_suspended(self, level: str, place: Place) -> None:
        terminal = await place.start("echo ready; kill -STOP $$; sleep 1000", level)
        await shows(terminal, "ready")
        assert await terminal.stop() == []

    async def test_stop_after_the_end_is_no_trouble(self, level: str, place: Place) -> None:
        terminal = await place.start("exit 4", level)
        assert await terminal.wait() == 4
        assert await terminal.stop() == []
        assert terminal.exit_code == 4

    async def test_what_cannot_be_ended_is_reported(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = await place.start("echo ready; sleep 1000")
        await shows(terminal, "ready")
        with monkeypatch.context() as patched:
            patched.setattr(cs, "_send", lambda *given: None)  # as for processes of somebody else
            left = await terminal.stop(0.3)
        assert terminal.pid in left and len(left) >= 2
        assert await terminal.stop() == []

    async def test_nothing_outlives_the_end_of_an_agent(self, level: str, place: Place) -> None:
        mark = f"outlives-{os.getpid()}-{level}"
        terminal = await place.start(
            f"(setsid env -i bash -c 'exec -a {mark} sleep 1000' &); until pgrep -f ^{mark}; do :; done; exit 0", level
        )
        assert await terminal.wait() == 0
        await eventually(lambda: not with_argument(mark))

    async def test_a_process_with_the_same_number_is_left_alone(self, place: Place) -> None:
        other = subprocess.Popen(["sleep", "1000"])
        try:
            process = cs._process(other.pid)
            assert process is not None
            cs._send(other.pid, process.started - 1, signal.SIGKILL)
            assert cs.processes_of((), {other.pid: process.started - 1}) == {}
            assert cs.processes_of((), {other.pid: process.started}) == {other.pid: process.started}
            assert other.poll() is None
            cs._send(other.pid, process.started, signal.SIGKILL)
            assert other.wait(5) == -signal.SIGKILL
        finally:
            other.kill()
            other.wait()

    async def test_a_sweep_ends_the_processes_of_its_runs_only(self, place: Place) -> None:
        mine, other = (
            subprocess.Popen(
                ["bash", "-c", "trap '' TERM; env -i sleep 1000 & echo; wait"], stdout=subprocess.PIPE,
                env={"TASK_RUN": f"{word}-{os.getpid()}", "PATH": "/usr/bin:/bin"}, start_new_session=True,
            )
            for word in ("swept", "kept")
        )  # fmt: skip
        try:
            for one in (mine, other):
                assert one.stdout is not None and one.stdout.readline() == b"\n"
            children = psutil.Process(mine.pid).children()
            begun = time.monotonic()
            assert await place.runner.sweep([f"swept-{os.getpid()}", ""]) == []
            assert time.monotonic() - begun < 5
            assert mine.wait(1) == -signal.SIGKILL  # a zombie is no survivor
            assert children and not any(is_running(child.pid) for child in children)
            assert other.poll() is None
            assert await place.runner.sweep([]) == []
            assert other.poll() is None
        finally:
            for one in (mine, other):
                for child in [*psutil.Process(one.pid).children(recursive=True)] if one.poll() is None else []:
                    child.kill()
                one.kill()
                one.communicate()

    @pytest.mark.parametrize("isolation", ["none", "bubblewrap"])
    async def test_agents_do_not_outlive_chomp(self, sandbox: Place, isolation: str, tmp_path: Path) -> None:
        script = f"""
import asyncio, sys
sys.path.insert(0, {str(HERE)!r})
import test_chomp_server as t, pathlib
async def main():
    place = t.Place(pathlib.Path({str(tmp_path / "other")!r}))
    await place.runner.probe()
    terminal = await place.start(t.STUBBORN.format(mark="orphan-{os.getpid()}-{isolation}"), {isolation!r})
    await t.shows(terminal, "ready")
    print("ready", flush=True)
    await terminal.wait()
asyncio.run(main())
"""
        chomp = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        try:
            assert chomp.stdout is not None and chomp.stdout.readline() == b"ready\n"
            assert len(with_argument(f"orphan-{os.getpid()}-{isolation}")) == 2
        finally:
            chomp.kill()
            chomp.communicate()
        await eventually(lambda: not with_argument(f"orphan-{os.getpid()}-{isolation}"))


SECRETS = ["sk-chomp-task-1-abcdef", "sk-chomp-task-1-abcdef-longer", "aaaaab", "key-of-groq"]


class TestSecretFilter:
    @given(
        st.lists(
            st.sampled_from([*SECRETS, "sk-chomp-task-1-", "sk-", "aaaa", "b", "x\n", "key-of", "-groq", "é"]),
            max_size=12,
        ),
        st.lists(st.integers(0, 300), max_size=8),
    )
    @settings(max_examples=400, deadline=None)
    def test_a_stream_in_pieces_comes_out_as_in_one(self, words: list[str], cuts: list[int]) -> None:
        text = "".join(words).encode()
        hider, out, at = cs.SecretFilter(SECRETS), b"", 0
        for cut in [*sorted(cut % (len(text) + 1) for cut in cuts), len(text)]:
            out += hider.feed(text[at:cut])
            at = cut
        out += hider.flush()
        whole = cs.SecretFilter(SECRETS)
        assert out == whole.feed(text) + whole.flush()
        assert not any(secret.encode() in out for secret in SECRETS)

    def test_only_what_may_be_a_secret_is_held(self) -> None:
        hider = cs.SecretFilter(SECRETS)
        assert hider.feed(b"hello s") == b"hello "
        assert hider.feed(b"k-") == b""
        assert (hider.holds, hider.feed(b"not one"), hider.holds) == (True, b"sk-not one", False)

    def test_a_secret_typed_slowly_is_never_whole(self) -> None:
        hider = cs.SecretFilter(SECRETS)
        shown = b""
        for sign in b"key-of-groq and more":
            shown += hider.feed(bytes([sign])) + hider.flush()
        assert b"key-of-groq" not in shown
        assert shown.endswith(b"[hidden] and more")

    def test_without_secrets_nothing_is_held(self) -> None:
        hider = cs.SecretFilter(["", "abc"])  # too short to be one
        assert (hider.feed(b"abc"), hider.holds, hider.flush()) == (b"abc", False, b"")


class TestTranscript:
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[cs.Store]:
        store = cs.Store(tmp_path / "state")
        store.open()
        yield store
        await store.close()

    async def test_everything_is_there_also_after_a_restart(self, store: cs.Store) -> None:
        path = store.folder / "output" / "task-1" / "s1.log"
        transcript = store.transcript(path, 1 << 20)
        assert await transcript.read(0, 100) == (0, b"")
        transcript.append(b"one ")
        transcript.append(b"two")
        await transcript.close()
        again = store.transcript(path, 1 << 20)
        again.append(b" three")
        assert (await again.read(0, 100), await again.read(4, 3)) == ((0, b"one two three"), (4, b"two"))
        assert (again.size, await again.read(99, 5)) == (13, (13, b""))
        assert path.read_bytes() == b"one two three"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    @pytest.mark.parametrize("piece", [100, 1000, 7000])
    async def test_the_beginning_and_the_end_are_kept(self, store: cs.Store, piece: int) -> None:
        path = store.folder / "output" / "task-1" / "s1.log"
        transcript = store.transcript(path, 8192)
        whole = b"".join(b"%07d\n" % n for n in range(10_000))
        for at in range(0, len(whole), piece):
            transcript.append(whole[at : at + piece])
        await transcript.close()
        assert sum(one.stat().st_size for one in path.parent.iterdir()) <= 8192
        for one in (transcript, store.transcript(path, 8192)):
            assert (one.size, await one.read(0, 4096)) == (len(whole), (0, whole[:4096]))
            assert await one.read(len(whole) - 2048, 9999) == (len(whole) - 2048, whole[-2048:])
            begins, data = await one.read(20_000, 9999)
            assert begins > 20_000 and data == whole[begins:]

    async def test_a_disk_that_takes_nothing_loses_only_that(
        self, store: cs.Store, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = store.folder / "output" / "task-1" / "s1.log"
        transcript = store.transcript(path, 1 << 20)
        transcript.append(b"before ")
        await transcript.close()
        path.rename(path.with_suffix(".kept"))
        path.mkdir()  # cannot be written to
        transcript.append(b"lost ")
        await transcript.close()
        path.rmdir()
        path.with_suffix(".kept").rename(path)
        transcript.append(b"after")
        assert await transcript.read(0, 99) == (0, b"before ")
        assert await transcript.read(7, 99) == (12, b"after")
        assert "output is lost" in caplog.text


# a shell that is in a trap forgets a signal that comes meanwhile: this one looks for itself
SAYS_ITS_SIZE = 'while :; do now=$(stty size); [ "$now" = "$was" ] || echo "$now"; was=$now; read -t 0.02 line; done'


class TestTerminal:
    async def test_it_is_a_terminal_of_its_size(self, level: str, place: Place) -> None:
        terminal = await place.start(
            "stty size; test -t 0 && test -t 1 && test -t 2 && echo $TERM; cat /dev/null >/dev/tty && echo controls; exit 5",
            level,
            size=(101, 33),
        )
        assert await asyncio.wait_for(terminal.wait(), 10) == 5
        assert terminal.output(0) == (0, b"33 101\r\nxterm-256color\r\ncontrols\r\n")
        assert await terminal.more(0) is True
        assert await terminal.more(terminal.offset) is False
        assert await terminal.transcript.read(0, 999) == terminal.output(0)

    async def test_a_signal_is_told_from_a_status(self, place: Place) -> None:
        terminal = await place.start("kill -SEGV $$")
        assert await asyncio.wait_for(terminal.wait(), 10) == -signal.SIGSEGV

    async def test_programs_see_another_size(self, level: str, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        terminal = await place.start("echo ready;" + SAYS_ITS_SIZE, level)
        await shows(terminal, "ready")
        terminal.resize(77, 22)
        await shows(terminal, "22 77")
        assert (terminal.cols, terminal.rows) == (77, 22)
        terminal.resize(10**9, -5)
        await shows(terminal, "1 1000")
        sizes, sets = [], termios.tcsetwinsize
        monkeypatch.setattr(termios, "tcsetwinsize", lambda fd, size: (sizes.append(size), sets(fd, size)))
        terminal.nudge()
        await eventually(lambda: sizes == [(1, 999), (1, 1000)])
        assert terminal.cols == 1000
        await terminal.stop()

    async def test_typing_reaches_the_program(self, level: str, place: Place) -> None:
        terminal = await place.start('read -r line; echo "got <$line>"', level)
        terminal.write("grüße 日本\n".encode())
        await shows(terminal, "got <grüße 日本>")
        assert await asyncio.wait_for(terminal.wait(), 10) == 0
        with pytest.raises(cs.Conflict):
            terminal.write(b"x")

    async def test_ctrl_c_is_for_the_program(self, level: str, place: Place) -> None:
        terminal = await place.start("trap 'echo caught' INT; echo ready; read x; read x; echo went on $x", level)
        await shows(terminal, "ready")
        terminal.write(b"\x03")
        await shows(terminal, "caught")  # and bubblewrap is not ended by it
        terminal.write(b"\nyes\n")
        await shows(terminal, "went on")
        assert await asyncio.wait_for(terminal.wait(), 10) == 0

    async def test_what_nobody_reads_is_bounded(self, place: Place) -> None:
        terminal = await place.start("stty raw -echo; echo ready; sleep 1000")
        await shows(terminal, "ready")
        with pytest.raises(cs.Busy):
            for _ in range(40):
                terminal.write(b"x" * 65536)
        assert await terminal.stop() == []

    async def test_a_large_input_arrives_whole(self, place: Place) -> None:
        terminal = await place.start("stty raw -echo; echo ready; head -c 300000 | sha256sum; sleep 1000")
        await shows(terminal, "ready")
        given = random.Random(1).randbytes(300_000)
        terminal.write(given)
        await shows(terminal, hashlib.sha256(given).hexdigest())
        await terminal.stop()

    @pytest.mark.parametrize("script", ["printf 'Your name: '; read x", "printf 'Go on? [y/N] '; head -n 1 >/dev/null"])
    async def test_it_is_seen_when_a_program_asks(self, level: str, place: Place, script: str) -> None:
        terminal = await place.start(f"echo working; sleep 0.2; {script}; echo thanks; exec sleep 1000", level)
        await shows(terminal, "working")
        assert not terminal.asks()
        await eventually(terminal.asks)
        terminal.write(b"\n")
        await shows(terminal, "thanks")
        assert not terminal.asks()
        await terminal.stop()
        assert not terminal.asks()

    async def test_who_works_does_not_ask(self, level: str, place: Place) -> None:
        terminal = await place.start("printf 'Thinking...'; sleep 1000", level)
        await shows(terminal, "Thinking")
        terminal._last_read_s -= 60
        assert not terminal.asks()
        await terminal.stop()

    async def test_a_program_that_waits_for_keys_asks_after_a_silence(self, level: str, place: Place) -> None:
        keys = "import select, sys, tty; tty.setraw(0); print('Choose (y/n)?', end=' ', flush=True); select.select([0], [], [])"
        terminal = await place.start(
            f'/usr/bin/env python3 -c "{keys}"',
            level,
            hidden=(),
            env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "TASK_RUN": "keys"},
        )
        await shows(terminal, "Choose")
        assert not terminal.asks()
        terminal._last_read_s -= 60
        assert terminal.asks()
        await terminal.stop()

    async def test_secrets_are_hidden_everywhere_also_in_pieces(self, place: Place) -> None:
        secret = "sk-chomp-task-7-0123456789"
        terminal = await place.start(
            f"echo {secret}; printf {secret[:9]}; sleep 0.02; echo {secret[9:]}; printf {secret[:12]}; sleep 0.3; echo {secret[12:]}; printf {secret[:5]}",
            secrets=[secret],
        )
        await asyncio.wait_for(terminal.wait(), 10)
        shown = terminal.output(0)[1]
        assert secret.encode() not in shown and secret[12:].encode() not in shown
        assert shown == f"[hidden]\r\n[hidden]\r\n{secret[:12]}[hidden]\r\n{secret[:5]}".encode()
        assert terminal.transcript.path.read_bytes() == shown

    async def test_a_prompt_that_begins_like_a_secret_is_not_kept_back_for_long(self, place: Place) -> None:
        terminal = await place.start("printf 'sk-'; sleep 1000", secrets=["sk-chomp-task-7-0123456789"])
        await shows(terminal, "sk-")
        await terminal.stop()

    async def test_a_flood_costs_little_and_ctrl_c_ends_it(self, level: str, place: Place) -> None:
        terminal = await place.start("yes; echo over; sleep 1000", level)
        cpu, begun = time.process_time(), time.monotonic()
        lags = []
        while time.monotonic() - begun < 1.5:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            lags.append(time.monotonic() - before - 0.005)
        spent = (time.process_time() - cpu) / (time.monotonic() - begun)
        assert terminal.offset > 1 << 20
        assert terminal.offset < 40 << 20  # unbounded, it is twice as much
        assert spent < 0.5  # a twentieth on a quiet machine
        assert sorted(lags)[len(lags) // 2] < 0.02
        assert len(terminal.output(0)[1]) == cs.RING_BYTES
        begun = time.monotonic()
        terminal.write(b"\x03")
        await asyncio.wait_for(terminal.wait(), 10)  # bash leaves with it
        assert time.monotonic() - begun < 3
        await terminal.stop()

    async def test_a_position_that_is_not_kept_any_more_is_told(self, place: Place) -> None:
        terminal = await place.start("seq 300000")
        await asyncio.wait_for(terminal.wait(), 20)
        begins, data = terminal.output(0)
        assert (begins, len(data)) == (terminal.offset - cs.RING_BYTES, cs.RING_BYTES)
        assert data.endswith(b"300000\r\n")
        assert terminal.output(terminal.offset - 8) == (terminal.offset - 8, b"300000\r\n")
        assert terminal.output(terminal.offset + 99) == (terminal.offset, b"")
        _, start = await terminal.transcript.read(0, 6)
        assert start == b"1\r\n2\r\n"

    async def test_shutdown_takes_agents_along(self, level: str, place: Place) -> None:
        mark = f"shutdown-{os.getpid()}-{level}"
        terminal = await place.start(f"setsid bash -c 'exec -a {mark} sleep 1000' & echo ready; sleep 1000", level)
        await shows(terminal, "ready")
        await eventually(lambda: with_argument(mark))
        await place.background.stop()
        assert terminal.ended
        await eventually(lambda: not with_argument(mark))


# == Live ==============================================================================================================


class Screen:
    """A viewer's end of a web socket: what it was shown and told."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse):
        self.socket = socket
        self.shown = b""
        self.told: list[dict[str, Any]] = []

    async def take(self) -> bool:
        """Takes one frame; False at the end."""
        message = await self.socket.receive(timeout=10)
        if message.type is aiohttp.WSMsgType.BINARY:
            self.shown += message.data
        elif message.type is aiohttp.WSMsgType.TEXT:
            self.told.append(json.loads(message.data))
        else:
            return False
        return True

    async def until(self, holds: Callable[[], Any]) -> None:
        while not holds():
            assert await self.take(), (self.told, self.shown[-500:])

    async def say(self, **told: Any) -> None:
        await self.socket.send_str(json.dumps(told))

    def was_told(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.told if one["type"] == kind]


class TestLive:
    @pytest.fixture
    async def door(self, chomp: Any, place: Place) -> Chomp:
        server: Chomp = await chomp()
        self.shown: dict[tuple[str, str], Any] = {}
        server.services.terminals = lambda task, session: self.shown.get((task, session))
        return server

    @contextlib.asynccontextmanager
    async def view(self, door: Chomp, session: str = "", **more: Any) -> AsyncIterator[Screen]:
        path = f"{door.url}/ws/terminal/1" + (f"?session={session}" if session else "")
        async with door.http.ws_connect(path, max_msg_size=0, **more) as socket:
            yield Screen(socket)

    async def test_what_was_written_then_what_is_typed_then_the_end(
        self, door: Chomp, place: Place, level: str
    ) -> None:
        terminal = self.shown["1", ""] = await place.start("printf 'Name: '; read x; echo hello $x; exit 3", level)
        await shows(terminal, "Name: ")
        async with self.view(door) as screen:
            await screen.until(lambda: screen.was_told("ready"))
            assert screen.shown == b"\x1bcName: "
            await screen.socket.send_bytes("日本".encode()[:4])
            await screen.socket.send_bytes("日本".encode()[4:] + b"\n")
            await screen.until(lambda: screen.was_told("exit"))
            assert screen.shown.endswith("hello 日本\r\n".encode())
            assert screen.told[-1] == {"type": "exit", "code": 3}
            assert not await screen.take()
            assert screen.socket.close_code == 1000

    async def test_output_is_passed_on_as_it_was_cut(self, door: Chomp, place: Place) -> None:
        terminal = self.shown["1", ""] = await place.start("printf '\\346\\227'; read x; printf '\\245'; sleep 1000")
        await eventually(lambda: terminal.offset)
        async with self.view(door) as screen:
            await screen.until(lambda: screen.shown == b"\x1bc\xe6\x97")
            await screen.socket.send_bytes(b"\n")
            await screen.until(lambda: screen.shown.endswith(b"\xa5"))
        await terminal.stop()

    async def test_two_viewers_see_the_same_and_the_last_to_resize_has_its_way(self, door: Chomp, place: Place) -> None:
        terminal = self.shown["1", ""] = await place.start("echo ready;" + SAYS_ITS_SIZE)
        await shows(terminal, "ready")
        async with self.view(door) as one, self.view(door) as two:
            await one.until(lambda: one.was_told("ready"))
            await two.until(lambda: two.was_told("ready"))
            await one.say(type="resize", cols=90, rows=20)
            await two.until(lambda: {"type": "size", "cols": 90, "rows": 20} in two.told)
            await two.say(type="resize", cols=60, rows=11)
            await one.until(lambda: {"type": "size", "cols": 60, "rows": 11} in one.told)
            await one.until(lambda: b"11 60" in one.shown)
            await two.until(lambda: b"11 60" in two.shown)
            assert {"type": "size", "cols": 60, "rows": 11} not in two.told  # it knows
            await one.socket.send_bytes(b"typed\n")
            await one.until(lambda: b"typed" in one.shown)
            await two.until(lambda: b"typed" in two.shown)
        assert not terminal.ended  # viewers come and go
        await terminal.stop()

    async def test_a_program_paints_anew_for_who_comes_later(self, door: Chomp, place: Place) -> None:
        terminal = self.shown["1", ""] = await place.start(
            "trap 'echo painted' WINCH; echo ready; while :; do sleep 0.02; done"
        )
        await shows(terminal, "ready")
        async with self.view(door) as screen:
            await screen.until(lambda: b"painted" in screen.shown)
        await terminal.stop()

    async def test_who_comes_late_gets_the_end_from_a_safe_place_on(self, door: Chomp, place: Place) -> None:
        terminal = self.shown["1", ""] = await place.start("seq 300000; printf 'done'; sleep 1000")
        await shows(terminal, "done", 20)
        async with self.view(door) as screen:
            await screen.until(lambda: screen.was_told("ready"))
            first, *rest = screen.shown.removeprefix(b"\x1bc").split(b"\r\n")
            assert int(first) + 1 == int(rest[0])
            assert rest[-1] == b"done"
            assert cs.RING_BYTES - 100 < len(screen.shown) <= cs.RING_BYTES + 2
        await terminal.stop()

    async def test_a_viewer_that_stops_reading_harms_nobody(self, door: Chomp, place: Place) -> None:
        terminal = self.shown["1", ""] = await place.start("yes 0123456789012345678901234567890123456789")
        async with self.view(door) as stalled, self.view(door) as screen:
            await stalled.until(lambda: stalled.was_told("ready"))
            await eventually(lambda: terminal.offset > 3 << 20)
            gc.collect()
            before, seen = psutil.Process().memory_info().rss, terminal.offset
            while terminal.offset < seen + (12 << 20):
                await screen.take()
                screen.shown = screen.shown[-100:]
            assert psutil.Process().memory_info().rss - before < 8 << 20
            terminal.write(b"\x03")
            await screen.until(lambda: screen.was_told("exit"))
            await stalled.until(lambda: stalled.was_told("exit"))
            missed = re.search(rb"\x1bc\r\n\[chomp: (\d+) bytes are left out here\]\r\n", stalled.shown)
            assert missed and int(missed[1]) > 4 << 20
            assert stalled.shown.endswith(screen.shown[-100:])

    async def test_who_acknowledges_is_sent_no_more_than_that(self, door: Chomp, place: Place) -> None:
        terminal = self.shown["1", ""] = await place.start(
            "read x; yes 0123456789 | head -c 900000; printf done; sleep 1000"
        )
        async with self.view(door) as screen:
            await screen.say(type="ack", bytes=0)
            await screen.until(lambda: screen.was_told("ready"))
            await screen.socket.send_bytes(b"\n")
            await shows(terminal, "done")
            await screen.until(lambda: len(screen.shown) > cs.UNREAD_HIGH_BYTES)
            with pytest.raises(TimeoutError):
                await screen.socket.receive(timeout=0.3)
            held = len(screen.shown)
            assert held <= cs.UNREAD_HIGH_BYTES + cs._SEND_BYTES
            await screen.say(type="ack", bytes=held - cs.UNREAD_LOW_BYTES - 1)
            with pytest.raises(TimeoutError):
                await screen.socket.receive(timeout=0.2)
            while not screen.shown.endswith(b"done"):
                await screen.say(type="ack", bytes=held)
                before = len(screen.shown)
                await screen.take()
                held = len(screen.shown) - before
        await terminal.stop()

    async def test_a_session_that_is_over_shows_its_end(self, door: Chomp, place: Place) -> None:
        terminal = await place.start("seq 100000; kill -9 $$")
        await asyncio.wait_for(terminal.wait(), 20)
        again = place.store.transcript(terminal.transcript.path, 32 << 20)  # as after a restart
        self.shown["1", "s1"] = cs.Ended(again, terminal.exit_code)
        async with self.view(door, "s1") as screen:
            await screen.until(lambda: screen.was_told("exit"))
            assert screen.shown.startswith(b"\x1bc") and screen.shown.endswith(b"100000\r\n")
            assert screen.shown[2:].split(b"\r\n")[0] in {b"%d" % n for n in range(100_000)}
            assert cs.TAIL_BYTES - 100 < len(screen.shown) <= cs.TAIL_BYTES + 2
            assert screen.told == [{"type": "ready"}, {"type": "exit", "code": 137, "signal": "SIGKILL"}]

    async def test_nonsense_is_answered_and_changes_nothing(self, door: Chomp, place: Place) -> None:
        terminal = self.shown["1", ""] = await place.start("stty raw -echo; echo ready; sleep 1000")
        await shows(terminal, "ready")
        async with self.view(door) as screen:
            for text in (
                "{",
                "[]",
                '{"type": 1}',
                '{"type":"resize","cols":"x"}',
                '{"type":"resize","cols":-1,"rows":0}',
                "{}",
                '{"type":"other"}',
            ):
                await screen.socket.send_str(text)
            for _ in range(40):
                await screen.socket.send_bytes(b"x" * 65536)
            await screen.until(lambda: len(screen.was_told("error")) > 5)
            messages = {one["message"] for one in screen.was_told("error")}
            assert messages == {
                "a message that is not understood",
                "the program in this terminal does not read what was typed",
            }
            assert (terminal.cols, terminal.rows) == (120, 32)
            await screen.socket.send_bytes(b"x" * (cs._MESSAGE_BYTES + 1))
            while await screen.take():
                pass
            assert screen.socket.close_code == 1009
        await terminal.stop()

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"authorization": f"Bearer {TOKEN}", "origin": "http://evil.example"}, 403),
            ({"authorization": f"Bearer {TOKEN}", "origin": "null"}, 403),
            ({"authorization": f"Bearer {TOKEN}", "host": "evil.example"}, 403),
            ({"authorization": "Bearer wrong"}, 401),
            ({}, 401),
            ({"authorization": f"Bearer {TOKEN}", "origin": "own"}, 101),
            ({"authorization": f"Bearer {TOKEN}"}, 101),
        ],
    )
    async def test_only_our_own_pages_may_open_it(
        self, door: Chomp, place: Place, headers: dict[str, str], status: int
    ) -> None:
        self.shown["1", ""] = await place.start("sleep 1000")
        headers = {name: door.url if value == "own" else value for name, value in headers.items()}
        async with aiohttp.ClientSession() as http:
            if status == 101:
                async with http.ws_connect(f"{door.url}/ws/terminal/1", headers=headers) as socket:
                    assert (await socket.receive(timeout=5)).data == b"\x1bc"
                return
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(f"{door.url}/ws/terminal/1", headers=headers)
            assert refused.value.status == status

    def test_a_cookie_alone_does_not_open_it(self, tmp_path: Path) -> None:
        known = cs.Settings(dir=tmp_path, public_url="https://chomp.example")
        for headers, allowed in [
            ({"cookie": "chomp_session=x", "host": "h"}, False),
            ({"cookie": "chomp_session=x", "host": "h", "origin": "http://h"}, True),
            ({"cookie": "chomp_session=x", "host": "h", "origin": "https://chomp.example"}, True),
            ({"cookie": "chomp_session=x", "host": "h", "origin": "http://h:81"}, False),
        ]:
            request = make_mocked_request("GET", "/ws/terminal/1", headers=headers)
            if allowed:
                cs.check_upgrade(request, known)
            else:
                with pytest.raises(cs.Forbidden):
                    cs.check_upgrade(request, known)

    async def test_without_a_session_or_an_upgrade_it_is_an_error(self, door: Chomp, place: Place) -> None:
        async with door.get("/ws/terminal/7") as answer:
            assert (answer.status, (await error_of(answer))["code"]) == (404, "not_found")
        terminal = self.shown["1", ""] = await place.start("sleep 1000")
        async with door.get("/ws/terminal/1") as answer:
            assert (answer.status, (await error_of(answer))["code"]) == (426, "upgrade_required")
        await terminal.stop()

    async def test_shutdown_does_not_wait_for_viewers(self, door: Chomp, place: Place) -> None:
        terminal = self.shown["1", ""] = await place.start("sleep 1000")
        async with self.view(door) as screen:
            await screen.until(lambda: screen.was_told("ready"))
            begun = time.monotonic()
            stopping = place.background.spawn(door.runner.cleanup())
            while await screen.take():
                pass
            assert screen.socket.close_code == 1001
            await stopping
            assert time.monotonic() - begun < 1.9  # aiohttp's own patience is 2 s
        await terminal.stop()

    @pytest.mark.parametrize(
        ("data", "shown"),
        [
            (b"5;31mred\r\nnext", b"next"),
            (b"\x1b[1mbold", b"\x1b[1mbold"),
            (b"1mx\x1b[2J\r\n", b"\x1b[2J\r\n"),
            (b"\xa5\x97abc", b"abc"),
            (b"", b""),
        ],
    )
    def test_a_replay_begins_at_a_safe_place(self, data: bytes, shown: bytes) -> None:
        assert cs.replay(data, whole=False) == b"\x1bc" + shown
        assert cs.replay(data, whole=True) == b"\x1bc" + data


# == App ===============================================================================================================


class Process:
    """chomp as a user starts it, with a folder of its own."""

    def __init__(self, folder: Path, **environ: str):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        plain = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "HOME")}
        self.environ = {**plain, "CHOMP_DIR": str(folder), "PORT": str(self.port), **environ}
        self.environ.setdefault("XDG_CACHE_HOME", str(folder / "no-cache"))
        self.out, self.err = folder / "stdout.txt", folder / "stderr.txt"
        self.url = f"http://127.0.0.1:{self.port}"
        self.child: asyncio.subprocess.Process | None = None
        self.started_at = 0.0

    async def start(self, *flags: str, stderr: int | None = None) -> Process:
        self.started_at = time.monotonic()
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.child = await asyncio.create_subprocess_exec(
                sys.executable, str(Path(cs.__file__)), *flags,
                env=self.environ, stdout=out, stderr=err if stderr is None else stderr,
            )  # fmt: skip
        return self

    async def up(self, stderr: int | None = None) -> Process:
        """Started, and listening."""
        await self.start(stderr=stderr)
        assert self.child is not None
        await until(lambda: b"prices:" in self.out.read_bytes() or self.child.returncode is not None, "no banner")  # type: ignore[union-attr]
        assert self.child.returncode is None, self.err.read_text()
        return self

    async def ended(self) -> int:
        assert self.child is not None
        return int(await soon(self.child.wait()))

    @property
    def token(self) -> str:
        return self.environ.get("CHOMP_API_TOKEN") or (self.folder / "state" / "token").read_text().strip()

    @property
    def http(self) -> aiohttp.ClientSession:
        headers = {"authorization": f"Bearer {self.token}"}
        return aiohttp.ClientSession(self.url, headers=headers, connector=aiohttp.TCPConnector(limit=0))

    @property
    def seen(self) -> psutil.Process:
        assert self.child is not None
        return psutil.Process(self.child.pid)


def config(*upstreams: Upstream, **tables: dict[str, Any]) -> str:
    """chomp.toml for `upstreams`."""
    lines = []
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    for one in upstreams:
        lines += ["[[routers]]", *(f"{key} = {json.dumps(value)}" for key, value in one.router.items())]
    return "\n".join(lines) + "\n"


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Callable[..., Process]]:
    """Makes processes: `await process(upstream, limits={...}).up()`."""
    made: list[Process] = []

    def make(*upstreams: Upstream, toml: str = "", folder: str = "", **more: Any) -> Process:
        environ = {name: value for name, value in more.items() if isinstance(value, str)}
        tables = {name: value for name, value in more.items() if isinstance(value, dict)}
        place = tmp_path / (folder or f"process{len(made)}")
        place.mkdir(exist_ok=True)
        if text := toml or config(*upstreams, **tables):
            (place / "chomp.toml").write_text(text)
        made.append(Process(place, **environ))
        return made[-1]

    yield make
    for one in made:
        if one.child is not None and one.child.returncode is None:
            one.child.kill()
            await one.child.wait()


class TestApp:
    @pytest.mark.parametrize(
        ("sources", "token"),
        [
            ({"chomp.toml": '[server]\napi_token = "from-chomp-toml-0123"'}, "from-chomp-toml-0123"),
            (
                {
                    "chomp.toml": '[server]\napi_token = "from-chomp-toml-0123"',
                    "state/settings.json": '{"server": {"api_token": "from-settings-json-0123"}}',
                },
                "from-settings-json-0123",
            ),
            (
                {
                    "chomp.toml": '[server]\napi_token = "from-chomp-toml-0123"',
                    "state/.env": "CHOMP_API_TOKEN=from-dot-env-01234",
                },
                "from-dot-env-01234",
            ),
            ({"state/token": "made-at-the-start-0123\n"}, "made-at-the-start-0123"),
        ],
        ids=["file", "settings", "dotenv", "made"],
    )
    def test_the_command_prints_the_token_the_server_takes(
        self, tmp_path: Path, sources: dict[str, str], token: str
    ) -> None:
        (tmp_path / "state").mkdir()
        for name, text in sources.items():
            (tmp_path / name).write_text(text)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("CHOMP_")}
        done = subprocess.run(
            [sys.executable, HERE / "bin" / "chomp", "token"],
            env={**environ, "CHOMP_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout.strip()) == (0, token)
        store = cs.Store(tmp_path / "state")
        settings = cs.read_settings(
            tmp_path,
            flags={},
            environ={},
            dotenv=store.dotenv(),
            overrides=store.overrides(),
            file=cs.read_toml(tmp_path / "chomp.toml", required=False),
        )
        assert (settings.api_token or store.token()) == token

    @staticmethod
    def printed_token(folder: Path, **environ: str) -> str:
        """What `bin/chomp token` prints."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("CHOMP_")}
        done = subprocess.run(
            [sys.executable, HERE / "bin" / "chomp", "token"],
            env={**plain, "CHOMP_DIR": str(folder), **environ},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @staticmethod
    async def command(chomp: Process, *words: str, given: str = "", **environ: str) -> tuple[int, str, str]:
        """Exit status, output and errors of `bin/chomp` beside a running server."""
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, str(Path(cs.__file__).parent / "bin" / "chomp"), *words],
            env={"PATH": os.environ["PATH"], "CHOMP_DIR": str(chomp.folder), "PORT": str(chomp.port), **environ},
            input=given, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    async def test_the_command_asks_and_shows(self, process: Any, upstream: Any) -> None:
        chomp = await process(router := await upstream(says("hi there"), "m", "x")).up()
        assert await self.command(chomp, "ask", "-m", "m", "-s", "be terse", "hello", "you") == (0, "hithere\n", "")
        assert [said["content"] for said in router.calls[0].json["messages"]] == ["be terse", "hello you"]
        status, out, _ = await self.command(
            chomp, "ask", "--json", given="from stdin", NO_PROXY="", http_proxy="http://x"
        )
        assert (status, json.loads(out)["choices"][0]["message"]["content"]) == (0, "hi there")
        assert router.calls[1].json["messages"] == [{"role": "user", "content": "from stdin"}]
        status, out, _ = await self.command(chomp, "models", "/x")
        assert (status, out.split()[-1]) == (0, f"{router.id}/x")
        status, out, _ = await self.command(chomp, "usage", "--by", "model", "--json")
        assert (status, json.loads(out)["rows"][0]["requests"]) == (0, 2)
        status, out, _ = await self.command(chomp, "usage", "--csv")
        (row,) = csv.DictReader(io.StringIO(out))
        assert (status, row["router"], row["requests"], row["cost_usd"]) == (0, router.id, "2", "")
        status, out, _ = await self.command(chomp, "usage")
        assert (status, out.splitlines()[1].split()[:2]) == (0, [router.id, "2"])
        assert await self.command(chomp, "jobs") == (0, "no jobs\n", "")
        status, out, _ = await self.command(chomp, "keys")
        assert status == 0
        assert re.search(r"^groq +set GROQ_API_KEY +closed", out, re.M)

    async def test_the_command_makes_users_and_takes_them_out(self, process: Any, upstream: Any) -> None:
        chomp = await process(router := await upstream(says("hi"), "m", "x")).up()
        assert (await self.command(chomp, "users"))[1].startswith("no users")
        status, token, said = await self.command(chomp, "users", "add", "ann", "--models", "m, z", "--parallel", "2")
        assert (status, "shown this once" in said) == (0, True)
        ann = {"CHOMP_API_TOKEN": token.strip()}
        status, out, _ = await self.command(chomp, "users", "--json", "add", "bob", "--usd-per-month", "1.5")
        bob = json.loads(out)
        assert (status, bob["name"]) == (0, "bob")
        status, out, _ = await self.command(chomp, "users", "list", "--json")
        told = [(one["name"], one["models"], one["parallel"], one["usd_per_month"]) for one in json.loads(out)]
        assert told == [("ann", ["m", "z"], 2, None), ("bob", [], None, 1.5)]
        assert token.strip() not in out
        status, out, _ = await self.command(chomp, "users")
        assert re.search(r"^ann +m z +all +2", out, re.M)
        assert await self.command(chomp, "ask", "-m", "m", "x", **ann) == (0, "hi\n", "")
        status, _, said = await self.command(chomp, "ask", "-m", "x", "x", **ann)
        assert (status, "ann may not use the model 'x'" in said) == (1, True)
        status, out, _ = await self.command(chomp, "models", **ann)
        assert (status, out.split()[3:]) == (0, [f"{router.id}/m"])
        status, _, said = await self.command(chomp, "keys", **ann)
        assert (status, "is for the owner" in said) == (1, True)
        status, out, _ = await self.command(chomp, "usage", "--by", "user", "--json")
        assert [(row["user"], row["requests"]) for row in json.loads(out)["rows"]] == [("ann", 2)]
        assert await self.command(chomp, "users", "remove", "ann") == (0, "ann has no access any more\n", "")
        assert (await self.command(chomp, "models", **ann))[0] == 1
        assert (await self.command(chomp, "models", CHOMP_API_TOKEN=bob["token"]))[0] == 0
        assert await self.command(chomp, "reload") == (0, "the settings are in force\n", "")

    @pytest.mark.parametrize(
        ("words", "environ", "status", "said"),
        [
            (("users", "add"), {}, 2, "required"),
            (("users", "add", "a b"), {}, 1, "needs a name"),
            (("users", "add", "ann", "--usd-per-month", "nan"), {}, 2, "invalid amount"),
            (("users", "add", "ann", "--routers", "nope"), {}, 1, "there is no router 'nope'"),
            (("users", "remove", "nobody"), {}, 1, "there is no user 'nobody'"),
            (("models",), {"CHOMP_API_TOKEN": "a token\nof two lines"}, 1, "no token can have"),
            (("models",), {"PORT": "abc"}, 2, "PORT must be a number"),
        ],
    )
    async def test_the_command_says_what_is_wrong_with_users(
        self, process: Any, upstream: Any, words: Sequence[str], environ: dict[str, str], status: int, said: str
    ) -> None:
        chomp = await process(await upstream()).up()
        got, out, error = await self.command(chomp, *words, **environ)
        assert (got, out) == (status, "")
        assert said in error and "Traceback" not in error

    async def test_the_command_goes_on_where_a_file_is_broken(self, process: Any, upstream: Any) -> None:
        chomp = await process(await upstream()).up()
        (chomp.folder / "chomp.toml").write_text("[server")
        status, _, said = await self.command(chomp, "users", "add", "ann")
        assert (status, "is left out" in said) == (0, True)
        status, _, said = await self.command(chomp, "reload")
        assert (status, "nothing was changed" in said) == (1, True)

    @pytest.mark.parametrize(
        ("words", "status", "said"),
        [
            (("ask", "-m", "nothing", "x"), 1, "no configured router serves the model 'nothing'"),
            (("usage", "--by", "weather"), 1, "usage is shown by"),
            (("models", "zzz"), 1, "no model's name has that in it"),
            (("ask",), 2, "nothing to ask"),
            (("dance",), 2, "invalid choice"),
        ],
    )
    async def test_the_command_says_what_is_wrong(
        self, process: Any, upstream: Any, words: Sequence[str], status: int, said: str
    ) -> None:
        chomp = await process(await upstream()).up()
        got, out, error = await self.command(chomp, *words)
        assert (got, out) == (status, "")
        assert said in error and "Traceback" not in error

    async def test_the_command_says_that_a_stream_broke_off(self, process: Any, upstream: Any) -> None:
        chomp = await process(await upstream(streams(chat_chunk({"content": "half"}), cut=True))).up()
        status, out, error = await self.command(chomp, "ask", "-m", "m", "x")
        assert (status, out) == (1, "half\n")
        assert "closed the connection" in error

    async def test_the_command_says_that_no_chomp_answers(self, process: Any, upstream: Any) -> None:
        chomp = await process(await upstream()).up()
        chomp.child.terminate()
        assert await chomp.ended() == 0
        status, out, error = await self.command(chomp, "models")
        assert (status, out) == (3, "")
        assert "bin/up" in error

    def test_the_command_needs_no_python_with_tomllib(self, tmp_path: Path) -> None:
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "token").write_text("made-at-the-start-0123\n")
        (tmp_path / "sitecustomize.py").write_text('import sys\nsys.modules["tomllib"] = None\n')  # as before 3.11
        assert self.printed_token(tmp_path, PYTHONPATH=str(tmp_path)) == "made-at-the-start-0123"

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize(
        "line",
        [
            "CHOMP_API_TOKEN=abcdefghijklmnopqrst # mine",
            "CHOMP_API_TOKEN=abcdefghijklmnopqrst\t# mine",
            'CHOMP_API_TOKEN="abcdefghijklmnopqrst" # personal',
            "CHOMP_API_TOKEN='abcdefghijklmnopqrst'  # it's mine",
            'CHOMP_API_TOKEN="abcdefghijklmnopqrst" # "personal"',
            'GROQ_API_KEY="gsk_abc" # personal',
            "\ufeffCHOMP_API_TOKEN=abcdefghijklmnopqrst",
            "export CHOMP_API_TOKEN=abcdefghijklmnopqrst",
            ' export  CHOMP_API_TOKEN = "abcdefghijklmnopqrst"',
        ],
    )
    def test_the_command_and_the_server_read_a_dotenv_alike(self, tmp_path: Path, line: str, end: str) -> None:
        found = {"CHOMP_API_TOKEN": "abcdefghijklmnopqrst"}
        if "GROQ" in line:
            line, found = f"{line}{end}CHOMP_API_TOKEN=abcdefghijklmnopqrst", {**found, "GROQ_API_KEY": "gsk_abc"}
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / ".env").write_bytes((line + end).encode())
        assert cs.Store(tmp_path / "state").dotenv() == found
        assert self.printed_token(tmp_path) == "abcdefghijklmnopqrst"

    async def test_it_starts_quickly_and_says_how_to_ask(self, process: Any, upstream: Any) -> None:
        router = await upstream(says("hi there"))
        chomp = await process(router).up()
        async with chomp.http as http, http.post("/v1/chat/completions", data=chat_body()) as answer:
            assert answer.status == 200
        assert time.monotonic() - chomp.started_at < 10.0  # the promise is one second
        shown = chomp.out.read_text()
        assert chomp.url in shown
        assert "prices: genai-prices" in shown
        assert re.search(rf"{router.id}\s+key present", shown)
        assert re.search(r"groq\s+set GROQ_API_KEY", shown)
        (command,) = re.findall(r"^  (curl .*?)\n\n", shown, re.M | re.S)
        child = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            command.replace('"auto"', '"m"'),
            env=chomp.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        answer, error = await soon(child.communicate())
        assert json.loads(answer or error)["choices"][0]["message"]["content"] == "hi there"
        written = shown + chomp.err.read_text()
        assert chomp.token not in written
        assert f"key-of-{router.id}" not in written

    async def test_the_token_is_made_once_and_kept_from_others(self, process: Any) -> None:
        chomp = await process().up()
        state = chomp.folder / "state"
        assert stat.S_IMODE((state / "token").stat().st_mode) == 0o600
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        shown = await asyncio.create_subprocess_exec(
            str(Path(cs.__file__).parent / "bin" / "chomp"), "token", env=chomp.environ, stdout=subprocess.PIPE
        )
        out, _ = await soon(shown.communicate())
        first = chomp.token
        assert out.decode().strip() == first
        chomp.child.terminate()
        assert await chomp.ended() == 0
        await chomp.up()
        assert chomp.token == first

    async def test_a_stop_lets_streams_end(self, process: Any, upstream: Any) -> None:
        puppet = Puppet()
        chomp = await process(await upstream(puppet)).up()
        puppet.tell(chat_chunk({"content": "one"}))
        async with chomp.http as http, http.post("/v1/chat/completions", data=chat_body(stream=True)) as answer:
            first = await soon(answer.content.readany())
            chomp.child.terminate()
            await until(lambda: "stopping" in chomp.err.read_text(), "no word of stopping")
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", chomp.port)
            puppet.tell(chat_chunk({"content": "two"}), chat_chunk({}, "stop"), DONE, None)
            body = first + await soon(answer.read())
        assert said(body) == "one two"
        assert frames(body)[-1] == "[DONE]"
        assert await chomp.ended() == 0

    async def test_a_stop_ends_streams_at_its_limit_with_an_error_frame(self, process: Any, upstream: Any) -> None:
        puppet = Puppet()
        chomp = await process(await upstream(puppet), timeouts={"drain": "300ms"}).up()
        puppet.tell(chat_chunk({"content": "one"}))
        async with chomp.http as http, http.post("/v1/chat/completions", data=chat_body(stream=True)) as answer:
            first = await soon(answer.content.readany())
            chomp.child.terminate()
            found = frames(first + await soon(answer.read()))
        assert found[1]["error"]["code"] == "upstream_stream_interrupted"
        assert found[2] == "[DONE]"
        assert await chomp.ended() == 0

    @pytest.mark.parametrize("rest", ["sent", "never"])
    @pytest.mark.parametrize("way", ["short", "long"])
    async def test_a_stop_answers_those_who_are_uploading(
        self, process: Any, upstream: Any, way: str, rest: str
    ) -> None:
        chomp = await process(await upstream(), timeouts={"drain": "1s"}).up()
        headers = [("x-chomp-prefer", "")] if way == "long" else []
        data = wire(chat_body(), token=chomp.token, headers=headers)
        raw = await Raw.to(chomp.port, data[:-20])
        async with chomp.http as http, http.get("/health") as answer:  # what came before it is read
            assert answer.status == 200
        chomp.child.terminate()
        await until(lambda: "stopping" in chomp.err.read_text(), "no word of stopping")
        if rest == "sent":
            raw.writer.write(data[-20:])
        status, _, body = await raw.answer()
        assert status == 503 or (status, rest) == (200, "sent")
        assert status == 200 or is_openai_error(body)["code"] == "shutting_down"
        assert await chomp.ended() == 0
        raw.close()

    @staticmethod
    def jobs_of(chomp: Process) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(chomp.folder / "state" / "chomp.db")) as database:
            return database.execute("SELECT status, error, result FROM jobs ORDER BY id").fetchall()

    async def test_a_stop_leaves_no_job_running(self, process: Any, upstream: Any) -> None:
        chomp = await process(router := await upstream(silent), timeouts={"drain": "300ms"}).up()
        async with chomp.http as http, http.post("/api/dispatch", json={"prompt": "x", "model": "m"}) as answer:
            assert answer.status == 200
        await until(lambda: bool(router.calls), "not asked")
        chomp.child.terminate()
        assert await chomp.ended() == 0
        assert self.jobs_of(chomp) == [("error", "interrupted", "")]

    async def test_a_stop_lets_running_jobs_end_and_starts_no_others(self, process: Any, upstream: Any) -> None:
        gate, puppet = asyncio.Event(), Puppet()

        async def act(call: Call) -> None:
            await (puppet if call.streams else holds(gate, says("done")))(call)

        chomp = await process(router := await upstream(act), limits={"jobs_parallel": 1}).up()
        puppet.tell(chat_chunk({"content": "one"}))
        async with chomp.http as http, http.post("/v1/chat/completions", data=chat_body(stream=True)) as stream:
            for _ in range(2):
                async with http.post("/api/dispatch", json={"prompt": "x", "model": "m"}) as answer:
                    assert answer.status == 200
            await until(lambda: len(router.calls) == 2, "not asked")
            chomp.child.terminate()
            await until(lambda: "stopping" in chomp.err.read_text(), "no word of stopping")
            gate.set()
            await until(lambda: self.jobs_of(chomp)[0][0] == "done", "the first job does not end")
            await asyncio.sleep(0.3)  # time for the second to start, were it to
            puppet.tell(chat_chunk({}, "stop"), DONE, None)
            assert frames(await soon(stream.read()))[-1] == "[DONE]"
        assert await chomp.ended() == 0
        assert len(router.calls) == 2
        assert self.jobs_of(chomp) == [("done", "", "done"), ("error", "interrupted", "")]

    async def test_a_second_server_is_refused(self, process: Any) -> None:
        first = await process(folder="same").up()
        second = await process(folder="same").start()
        assert await second.ended() == 2
        assert "CHOMP_DIR" in second.err.read_text()
        third = process(PORT=str(first.port))
        await third.start()
        assert await third.ended() == 2
        said_so = third.err.read_text()
        assert f"127.0.0.1:{first.port}" in said_so
        assert "Traceback" not in said_so

    @pytest.mark.parametrize(
        ("toml", "environ", "words"),
        [
            ("[server\nport = 1", {}, ("chomp.toml", "line 1")),
            ("x = 1\ny = =\n", {}, ("chomp.toml", "line 2")),
            ("[severs]\n", {}, ("severs", "server")),
            ("[timeouts]\nconect = 1\n", {}, ("conect", "connect")),
            ('[timeouts]\nconnect = "soon"\n', {}, ("connect", "soon")),
            ("", {"PORT": "http"}, ("PORT", "http")),
            ("", {"HOST": "0.0.0.0"}, ("HOST=0.0.0.0", "CHOMP_API_TOKEN")),
            ("", {"HOST": "0.0.0.0", "CHOMP_API_TOKEN": "x" * 20, "CHOMP_V1_NO_AUTH": "1"}, ("CHOMP_V1_NO_AUTH",)),
            ("", {"CHOMP_API_TOKEN": "short"}, ("CHOMP_API_TOKEN", "16")),
            ("", {"CHOMP_LOG_LEVEL": "LOUD"}, ("CHOMP_LOG_LEVEL", "LOUD")),
            ("", {"CHOMP_LOG": "xml"}, ("json", "xml")),
            ("", {"CHOMP_CONFIG": "/nowhere/chomp.toml"}, ("/nowhere/chomp.toml",)),
        ],
    )  # fmt: skip
    async def test_a_wrong_setting_is_named(
        self, process: Any, toml: str, environ: dict[str, str], words: Sequence[str]
    ) -> None:
        chomp = process(toml=toml, **environ)
        await chomp.start()
        assert await chomp.ended() == 2
        told = chomp.err.read_text()
        assert told.startswith("chomp: ")
        assert told.count("\n") == 1
        assert [word for word in words if word not in told] == []

    @pytest.mark.parametrize(("flag", "words"), [
        ("--routes", ("POST /v1/chat/completions", "GET /health", "POST /api/dispatch")),
        ("--help", ("PORT", "CHOMP_API_TOKEN", "GROQ_API_KEY", "--host")),
        ("--version", ("chomp",)),
    ])  # fmt: skip
    async def test_it_can_be_asked_about_itself(self, process: Any, flag: str, words: Sequence[str]) -> None:
        chomp = process()
        await chomp.start(flag)
        assert await chomp.ended() == 0
        assert [word for word in words if word not in chomp.out.read_text()] == []
        assert not (chomp.folder / "state").exists()

    async def test_logs_can_be_json(self, process: Any, upstream: Any) -> None:
        chomp = await process(await upstream(), CHOMP_LOG="json").up()
        async with chomp.http as http, http.post("/v1/chat/completions", data=chat_body()) as answer:
            wanted = answer.headers["x-request-id"]
        chomp.child.terminate()
        assert await chomp.ended() == 0
        lines = [json.loads(line) for line in chomp.err.read_text().splitlines()]
        assert [line["status"] for line in lines if line.get("request_id") == wanted] == [200]

    async def test_a_database_that_is_none_stops_the_start_and_is_named(self, process: Any) -> None:
        chomp = process()
        path = chomp.folder / "state" / "chomp.db"
        path.parent.mkdir()
        path.write_bytes(b"this is no database " * 1000)
        await chomp.start()
        assert await chomp.ended() in (1, 2)
        told = chomp.err.read_text()
        assert told.startswith("chomp: ") and str(path) in told
        assert (told.count("\n"), "Traceback" in told) == (1, False)

    @pytest.mark.parametrize("stderr", ["is read by nobody", "is closed"])
    async def test_log_lines_nobody_takes_hold_nothing_up(self, process: Any, upstream: Any, stderr: str) -> None:
        router = await upstream(says("hi"))
        chomp = process(router)
        read, write = os.pipe()
        try:
            await chomp.up(stderr=write)
            os.close(write)
            if stderr == "is closed":
                os.close(read)
            count, doors = 400, asyncio.Semaphore(16)

            async def one(n: int) -> None:
                async with (
                    doors,
                    http.post("/v1/chat/completions", data=chat_body(f"{router.id}/{n}{'x' * 280}")) as got,
                ):
                    assert got.status == 200
                    await got.read()

            async with chomp.http as http:
                await soon(asyncio.gather(*(one(n) for n in range(count))))  # more lines than a pipe holds
                async with asyncio.timeout(PATIENCE_S), http.get("/health") as answer:
                    assert answer.status == 200
                async with asyncio.timeout(PATIENCE_S), http.get("/api/usage?by=caller") as answer:
                    assert [row["requests"] for row in (await answer.json())["rows"]] == [count]
            chomp.child.terminate()
            await asyncio.wait_for(chomp.child.wait(), 10)
        finally:
            if stderr != "is closed":
                os.close(read)
        with contextlib.closing(sqlite3.connect(chomp.folder / "state" / "chomp.db")) as database:
            assert database.execute("SELECT count(*) FROM requests").fetchone() == (count,)

    # -- memory and large things

    async def test_memory_and_descriptors_come_back(self, process: Any, upstream: Any) -> None:
        turn = itertools.count()

        async def act(call: Call) -> None:
            await (fails(400) if next(turn) % 20 == 7 else says("hi there " * 20))(call)

        chomp = await process(await upstream(act)).up()

        async def some(count: int) -> None:
            doors = asyncio.Semaphore(32)

            async def one(n: int) -> None:
                async with doors:
                    data = chat_body(stream=bool(n % 2), n=n)
                    if n % 10 == 3:  # leaves early
                        raw = await Raw.to(chomp.port, wire(data, token=chomp.token))
                        await soon(raw.reader.readexactly(20))
                        raw.close()
                    else:
                        async with http.post("/v1/chat/completions", data=data) as answer:
                            await answer.read()
                            assert answer.status in (200, 400)

            async with chomp.http as http:
                await asyncio.gather(*(one(n) for n in range(count)))

        async def inflight() -> float:
            async with chomp.http as http, http.get("/metrics") as answer:
                return float(re.findall(r"^chomp_inflight (\S+)", await answer.text(), re.M)[0])

        await some(600)
        seen = chomp.seen
        before, files = seen.memory_info().rss, seen.num_fds()
        await some(2000)
        assert await inflight() == 0
        await until(lambda: seen.num_fds() <= files + 10, "file descriptors stay open")
        assert seen.memory_info().rss - before < 30 << 20

    async def test_large_bodies_do_not_hold_up_small_requests(self, process: Any, upstream: Any) -> None:
        chomp = await process(await upstream(says("hi"))).up()
        large = chat_body(image=base64.b64encode(os.urandom(15 << 20)).decode())
        small, waits = chat_body(), []
        async with chomp.http as http, chomp.http as other:

            async def send() -> int:
                async with http.post("/v1/chat/completions", data=large) as answer:
                    await answer.read()
                    return answer.status

            sending = [asyncio.ensure_future(send()) for _ in range(6)]
            while not all(one.done() for one in sending):
                begun = time.monotonic()
                async with other.post("/v1/chat/completions", data=small) as answer:
                    assert answer.status == 200
                    await answer.read()
                waits.append(time.monotonic() - begun)
        assert [one.result() for one in sending] == [200] * 6
        assert waits
        assert sorted(waits)[len(waits) // 2] < 2.0

    async def test_a_huge_error_body_is_not_read(self, process: Any, upstream: Any) -> None:
        total, sent, over = 100 << 20, [0], asyncio.Event()

        async def act(call: Call) -> None:
            await call.send(b"HTTP/1.1 400 Bad\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % total)
            try:
                while sent[0] < total:
                    await call.send(b"too much " * 7282)
                    sent[0] += 9 * 7282
            finally:
                over.set()

        chomp = await process(router := await upstream(act)).up()
        async with chomp.http as http:
            async with http.post("/v1/chat/completions", data=b"{}") as answer:
                assert answer.status == 400  # warms up
            before = chomp.seen.memory_info().rss
            begun = time.monotonic()
            async with http.post("/v1/chat/completions", data=chat_body(router.model)) as answer:
                error = is_openai_error(await soon(answer.read()))
                assert answer.status == 400
            assert time.monotonic() - begun < 2.0
        assert error["message"].startswith("too much")
        await soon(over.wait())
        assert sent[0] < 20 << 20  # the rest of it filled the kernel's buffers
        assert chomp.seen.memory_info().rss - before < 10 << 20

    async def test_many_large_streams_dropped_at_once_hold_nobody_up(self, process: Any, upstream: Any) -> None:
        frame = chat_chunk({"content": "x" * 20_000})

        async def act(call: Call) -> None:
            await call.head()
            for _ in range(1000):  # 20 MB: more than sockets hold
                await call.chunk(frame)
            await call.end()

        router = await upstream(act)
        chomp = await process(router).up()
        asked = wire(chat_body(stream=True), token=chomp.token)
        clients = [await Raw.to(chomp.port, asked, limit=1 << 16) for _ in range(30)]
        for raw in clients:
            await raw.head()
            await soon(raw.reader.readexactly(100_000))
        async with chomp.http as http:
            waits = []

            async def probe() -> None:
                begun = time.monotonic()
                async with http.get("/health") as answer:
                    assert answer.status == 200
                waits.append(time.monotonic() - begun)

            await probe()
            for raw in clients:
                raw.close()
            while not all(call.gone.is_set() for call in router.calls):
                await soon(probe())
        assert len(router.calls) == 30
        assert max(waits) < 2.0


class TestReload:
    """Settings written anew while chomp runs."""

    @staticmethod
    def tables(*upstreams: Upstream, **more: Any) -> dict[str, Any]:
        return {"routers": [one.router for one in upstreams], "timeouts": SHORT, **more}

    @staticmethod
    async def reload(client: Chomp, text: str | dict[str, Any] = "") -> tuple[int, Any]:
        """Status and body of the answer to a reload, after `text` was written to chomp.toml."""
        if text:
            client.file.write_text(text if isinstance(text, str) else toml(text))
        async with client.post("/api/config/reload") as answer:
            return answer.status, await answer.json()

    @staticmethod
    async def asks(client: Chomp, model: str, name: str = "", **more: Any) -> tuple[int, str]:
        async with client.chat(model, headers=bearer(name) if name else None, **more) as answer:
            await answer.read()
            return answer.status, answer.headers.get("x-chomp-router", "")

    @pytest.mark.parametrize("by", ["request", "signal", "file"])
    async def test_a_stream_goes_on_and_what_is_new_holds(self, process: Any, upstream: Any, by: str) -> None:
        puppet = Puppet()
        old, new = await upstream(puppet, "old"), await upstream(says(), "new")
        old.speaks = costs("old", input=1.0, output=1.0)
        before = self.tables(old, users=[member(tokens_per_day=100_000), member("eve")], aliases={"a": old.model})
        after = self.tables(new, users=[member(tokens_per_day=100_000), member("bob")], aliases={"a": new.model})
        chomp = await process(toml=toml(before)).up()
        read_again = b"the settings were read again"

        async def asks(model: str, name: str) -> int:
            async with http.post("/v1/chat/completions", data=chat_body(model), headers=bearer(name)) as answer:
                return int(answer.status)

        async with chomp.http as http:
            puppet.tell(chat_chunk({"content": "one"}))
            data = chat_body("a", stream=True)
            async with http.post("/v1/chat/completions", data=data, headers=bearer("ann")) as stream:
                first = await soon(stream.content.readany())
                assert (await asks("new", "ann"), await asks("old", "bob")) == (404, 401)
                (chomp.folder / "chomp.toml").write_text(toml(after))
                if by == "request":
                    async with http.post("/api/config/reload") as answer:
                        assert (answer.status, await answer.json()) == (200, {"restart": []})
                elif by == "signal":
                    chomp.child.send_signal(signal.SIGHUP)
                await until(lambda: read_again in chomp.err.read_bytes(), "not read again")
                assert (await asks("a", "ann"), await asks("new", "bob")) == (200, 200)
                assert (await asks("a", "eve"), await asks("old", "ann")) == (401, 404)
                puppet.tell(
                    chat_chunk({"content": "two"}), chat_chunk({}, "stop"), chat_chunk(None, usage=USAGE), DONE, None
                )
                assert said(first + await soon(stream.read())) == "one two"
            async with http.get("/api/usage?by=model") as answer:
                rows = {one["model"]: one for one in (await answer.json())["rows"]}
            found = rows[f"{old.id}/old"]
            assert (found["requests"], found["prompt_tokens"], found["cost_usd"]) == (1, 7, 9.0)
            async with http.get("/api/users") as answer:
                users = {one["name"]: one for one in (await answer.json())["users"]}
            assert (sorted(users), users["ann"]["tokens_today"], users["ann"]["running"]) == (["ann", "bob"], 18, 0)
        chomp.child.terminate()
        assert await chomp.ended() == 0

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("[server\nport = 1", "line 1"),
            ("routers = 1", "[[routers]]"),
            ("[nonsense]\nx = 1", "nonsense"),
            ('[[routers]]\nid = "x"', "x"),
            ('[[routers]]\nid = "x"\nbase_url = "ftp://x"', "http"),
            ('[[users]]\nname = "bob"', "needs a token"),
            (f'[[users]]\nname = "bob"\ntoken = "{TOKEN}"', "the owner"),
            ("[aliases]\na = 3", "[aliases]"),
            ('[timeouts]\nidle = "soon"', "soon"),
            ('[server]\nprefer = "best"', "prefer"),
            ('[headers]\nnobody = { "x" = "y" }', "nobody"),
            ("\udcff", "utf-8"),
        ],
    )
    async def test_what_is_wrong_changes_nothing(self, chomp: Any, upstream: Any, text: str, words: str) -> None:
        router = await upstream()
        tables = {"users": [member(models=["m", "a"])], "aliases": {"a": router.model}}
        client = await chomp(router, written=True, **tables)
        client.file.write_bytes(text.encode("utf-8", "surrogateescape"))
        status, body = await self.reload(client)
        assert (status, body["error"]["code"]) == (400, "invalid_settings")
        assert body["error"]["message"].startswith("nothing was changed: ") and words in body["error"]["message"]
        assert await self.asks(client, "a", "ann") == (200, router.id)
        assert (await self.asks(client, "x", "ann"))[0] == 404
        assert await self.reload(client, self.tables(router, users=[])) == (200, {"restart": []})
        assert (await self.asks(client, "m", "ann"))[0] == 401

    @pytest.mark.parametrize("name", ["settings.json", "keys.json", ".env"])
    async def test_a_broken_file_of_state_changes_nothing(self, chomp: Any, upstream: Any, name: str) -> None:
        client = await chomp(router := await upstream(), written=True, users=[member()])
        (client.store.folder / name).write_bytes(b"{\xff")
        status, body = await self.reload(client, self.tables())
        assert (status, name in body["error"]["message"]) == (400, True)
        assert await self.asks(client, "m", "ann") == (200, router.id)

    async def test_what_takes_a_restart_is_named_and_left(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(router := await upstream(), written=True)
        tables = self.tables(
            router, server={"port": 1, "log": "json"}, limits={"requests": 7}, aliases={"a": router.model}
        )
        status, body = await self.reload(client, tables)
        assert (status, set(body["restart"])) == (200, {"port", "log", "limits"})
        assert await self.asks(client, "a") == (200, router.id)
        assert client.services.settings.limits.requests == 4096

    async def test_who_is_taken_out_is_refused_at_once(self, both_ways: Any, upstream: Any) -> None:
        client = await both_ways(router := await upstream(), written=True, users=[member(), member("bob")])
        raw = {name: await Raw.to(client.port, wire(chat_body(), token=token_of(name))) for name in ("ann", "bob")}
        assert [(await one.answer())[0] for one in raw.values()] == [200, 200]
        assert (await self.reload(client, self.tables(router, users=[member("bob")])))[0] == 200
        for name, status in (("ann", 401), ("bob", 200)):
            raw[name].writer.write(wire(chat_body(), token=token_of(name)))
            assert (await raw[name].answer())[0] == status
            raw[name].close()

    async def test_new_limits_hold_for_what_was_used_before(self, both_ways: Any, upstream: Any) -> None:
        client = await both_ways(
            router := await upstream(), written=True, users=[member(), member("bob", routers=["x"])]
        )
        for _ in range(3):
            assert await self.asks(client, "m", "ann") == (200, router.id)
        users = [member(tokens_per_day=27, models=["m"]), member("bob", routers=[router.id])]
        assert (await self.asks(client, "m", "bob"))[0] == 403
        assert (await self.reload(client, self.tables(router, users=users)))[0] == 200
        assert (await self.asks(client, "m", "ann", max_tokens=1))[0] == 429
        assert (await self.asks(client, "m", "bob"))[0] == 200

    async def test_a_new_key_is_sent_from_then_on(self, both_ways: Any, upstream: Any) -> None:
        gate = asyncio.Event()
        first, second = await upstream(holds(gate, fails(500))), await upstream()
        client = await both_ways(first, second, written=True)
        asking = asyncio.ensure_future(self.asks(client, "m"))
        await until(lambda: bool(first.calls), "not asked")
        second.speaks = {"keys": ["a-new-key-0123456789"]}
        assert (await self.reload(client, self.tables(first, second)))[0] == 200
        gate.set()  # what was planned before goes on to the second router, with the key of before
        assert await soon(asking) == (200, second.id)
        for _ in range(2):
            assert await self.asks(client, second.model) == (200, second.id)
        keys = [call.headers["authorization"].removeprefix("Bearer ") for call in second.calls]
        assert keys == [f"key-of-{second.id}", "a-new-key-0123456789", "a-new-key-0123456789"]

    @pytest.mark.parametrize("asked", ["auto", "default", "alias", "name"])
    async def test_a_router_may_go_while_its_list_is_waited_for(self, chomp: Any, upstream: Any, asked: str) -> None:
        gate, other = asyncio.Event(), await upstream()
        slow = await upstream()
        slow.list_act = holds(gate, lists({"id": "x"}))
        aliases = {"alias": ["y", f"{slow.id}/x"]}
        table = {name: value for name, value in row(slow, models=[]).items() if name != "default_model"}
        client = await chomp(table, written=True, aliases=aliases)
        model = {"default": f"{slow.id}/auto", "name": "x"}.get(asked, asked)
        asking = asyncio.ensure_future(self.asks(client, model))
        await until(lambda: slow.lists == 1 and client.services.proxy.inflight == 1, "not waited for")
        assert (await self.reload(client, self.tables(other)))[0] == 200
        gate.set()
        status, _ = await soon(asking)
        assert status in (404, 503)
        assert slow.calls == []
        assert await self.asks(client, "m") == (200, other.id)

    async def test_a_router_that_moved_is_asked_for_its_list_where_it_is(self, chomp: Any, upstream: Any) -> None:
        gate, gone, here = asyncio.Event(), await upstream(), await upstream()
        gone.list_act, here.list_act = holds(gate, lists({"id": "x"})), lists({"id": "x"})
        client = await chomp(row(gone, "moving", models=[]), written=True, timeouts={"catalog": "60s"})
        await until(lambda: gone.lists == 1, "its list is not asked for")
        moved = {"routers": [row(here, "moving", models=[])], "timeouts": {**SHORT, "catalog": "60s"}}
        assert (await self.reload(client, moved))[0] == 200
        assert await self.asks(client, "x") == (200, "moving")
        assert (len(gone.calls), len(here.calls), here.lists) == (0, 1, 1)
        gate.set()

    async def test_the_owners_token_can_be_changed(self, chomp: Any, upstream: Any, tmp_path: Path) -> None:
        client = await chomp(router := await upstream(), written=True, environ={"CHOMP_API_TOKEN": ""})
        old = {"authorization": f"Bearer {client.store.token()}"}
        new = {"authorization": "Bearer another-token-0123456789"}
        tables = self.tables(router, server={"api_token": "another-token-0123456789"})
        client.file.write_text(toml(tables))
        async with client.post("/api/config/reload", headers=old) as answer:
            assert answer.status == 200
        for headers, status in ((old, 401), (new, 200)):
            async with client.chat("m", headers=headers) as answer:
                assert answer.status == status

    # -- files

    async def test_a_file_is_read_when_it_has_come_to_rest(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cs, "CHANGES_S", 0)
        stamps = [(0,), (0,), (1,), (2,), (3,), (3,), (3,), (4,), (4,), (4,)]
        looked, reloads = itertools.count(), []

        class Files:
            seen = (0,)

            @staticmethod
            def stamp() -> tuple[int, ...]:
                if (at := next(looked)) == len(stamps):
                    raise asyncio.CancelledError
                return stamps[at]

        class Services:
            @staticmethod
            async def reload() -> None:
                Files.seen = stamps[next(looked) - 1]  # as `Sources.read` does
                reloads.append(Files.seen)
                raise cs.BadRequest("it is broken")  # which ends nothing

        with pytest.raises(asyncio.CancelledError):
            await cs._watch_files(Services, Files)  # type: ignore[arg-type]
        assert reloads == [(3,), (4,)]

    # -- users made while chomp runs

    async def test_a_user_is_added_and_taken_out(self, both_ways: Any, upstream: Any) -> None:
        client = await both_ways(router := await upstream(), written=True, users=[member("bob")])
        async with client.post("/api/users", json={"name": "eve", "models": ["m"], "parallel": 2}) as answer:
            made = await answer.json()
        assert (answer.status, set(made)) == (200, {"name", "token"})
        eve = {"authorization": f"Bearer {made['token']}"}
        async with client.chat("m", headers=eve) as answer:
            assert answer.status == 200
        written = (client.store.folder / "settings.json").read_text()
        assert made["token"] not in written and mode(client.store.folder / "settings.json") == 0o600
        await client.rows(1)
        async with client.get("/api/users") as answer:
            bob, told = (await answer.json())["users"]
        assert (bob["name"], told["models"], told["parallel"], told["tokens_today"]) == ("bob", ["m"], 2, 9)
        assert not any("token_sha256" in one or "token" in one for one in (bob, told))
        assert (await self.reload(client, self.tables(router, users=[])))[0] == 200  # a user of the file goes
        assert (await self.asks(client, "m", "bob"))[0] == 401
        async with client.chat("m", headers=eve) as answer:
            assert answer.status == 200
        async with client.post("/api/users/delete", json={"name": "eve"}) as answer:
            assert (answer.status, await answer.json()) == (200, {"name": "eve"})
        async with client.chat("m", headers=eve) as answer:
            assert answer.status == 401

    @pytest.mark.parametrize(
        ("path", "body", "status", "code"),
        [
            ("", {"name": "bob"}, 400, "user_exists"),
            ("", {"name": "owner"}, 400, "invalid_settings"),
            ("", {"name": "a b"}, 400, "invalid_settings"),
            ("", {"name": "eve", "parallel": -1}, 400, "invalid_settings"),
            ("", {"name": "eve", "parallel": "2"}, 400, "invalid_type"),
            ("", {"name": "eve", "token": token_of("eve")}, 400, "invalid_type"),
            ("", {}, 400, "invalid_type"),
            ("/delete", {"name": "eve"}, 404, "not_found"),
            ("/delete", {"name": "bob"}, 400, "written_by_hand"),
        ],
    )
    async def test_a_wrong_user_changes_nothing(
        self, chomp: Any, upstream: Any, path: str, body: Any, status: int, code: str
    ) -> None:
        client = await chomp(await upstream(), written=True, users=[member("bob")])
        async with client.post(f"/api/users{path}", json=body) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (status, code)
        assert list(client.services.credentials.users) == ["bob"]
        assert client.store.overrides().get("users", []) == []
        assert (await self.asks(client, "m", "bob"))[0] == 200

    async def test_users_come_and_go_while_a_file_is_broken(self, chomp: Any, upstream: Any) -> None:
        client = await chomp(router := await upstream(), written=True, users=[member("bob")])
        client.file.write_text("[server")
        for path, users in (("/api/users", ["bob", "eve"]), ("/api/users/delete", ["bob"])):
            async with client.post(path, json={"name": "eve"}) as answer:
                assert answer.status == 200
            assert list(client.services.credentials.users) == users
            assert (await self.reload(client, self.tables(router, users=[member("bob")])))[0] == 200
            assert list(client.services.credentials.users) == users
            client.file.write_text("[server")

    @pytest.mark.parametrize(
        "given", [{"models": [""]}, {"routers": ["nope"]}, {"tokens_per_day": 10**15}, {"name": "a b"}]
    )
    async def test_a_user_that_could_not_be_is_not_made(self, chomp: Any, upstream: Any, given: Any) -> None:
        client = await chomp(await upstream(), written=True)
        async with client.post("/api/users", json={"name": "eve", **given}) as answer:
            assert answer.status == 400
        assert not client.services.credentials.users
        assert not client.store.overrides()

    async def test_a_name_that_is_used_again_is_somebody_else(self, chomp: Any, upstream: Any) -> None:
        router = await upstream(speaks("responses"))
        router.speaks = {"apis": ["chat", "responses"]}
        client = await chomp(router, written=True)
        for _ in range(2):
            async with client.post("/api/users", json={"name": "rob"}) as answer:
                mine = {"authorization": f"Bearer {(await answer.json())['token']}"}
            async with client.get("/v1/responses/resp_1", headers=mine) as answer:
                assert answer.status == 404
            async with client.get("/api/jobs", headers=mine) as answer:
                assert await answer.json() == []
            async with client.post("/v1/responses", json={"model": "m", "input": "hi"}, headers=mine) as answer:
                assert answer.status == 200
                await answer.read()
            async with client.get("/v1/responses/resp_1", headers=mine) as answer:
                assert answer.status == 200
            async with client.post("/api/dispatch", json={"model": "m", "prompt": "hi"}, headers=mine) as answer:
                assert answer.status == 200
            async with client.post("/api/users/delete", json={"name": "rob"}) as answer:
                assert answer.status == 200

    async def test_what_a_name_that_is_gone_still_asked_for_is_not_kept(self, chomp: Any, upstream: Any) -> None:
        puppet = Puppet()
        router = await upstream(puppet)
        router.speaks = {"apis": ["responses"]}
        client = await chomp(router, written=True)

        async def made() -> dict[str, str]:
            async with client.post("/api/users", json={"name": "rob"}) as answer:
                return {"authorization": f"Bearer {(await answer.json())['token']}"}

        asked = {"model": "m", "input": "hi", "stream": True}
        async with client.post("/v1/responses", json=asked, headers=await made()) as answer:
            puppet.tell(*NATIVE_RESPONSE_STREAM[:4])
            await soon(answer.content.readuntil(b"hi "))
            async with client.post("/api/users/delete", json={"name": "rob"}) as gone:
                assert gone.status == 200
            puppet.tell(*NATIVE_RESPONSE_STREAM[4:], None)
            assert b"response.completed" in await soon(answer.read())
        async with client.get("/v1/responses/resp_1", headers=await made()) as answer:
            assert answer.status == 404


class TestOffline:
    """`chomp_server.py offline …`: what bin/chomp does when no server runs."""

    @pytest.fixture
    def run(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any) -> Callable[..., tuple[int, Any]]:
        """The exit status and the answer of one command."""

        def run(*words: str, request: Any = None) -> tuple[int, Any]:
            data = request if isinstance(request, bytes) else b"" if request is None else json.dumps(request).encode()
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
            status = cs.offline(words, tmp_path)
            return status, json.loads(capsysbinary.readouterr().out)

        return run

    async def child(self, folder: Path, request: Any) -> tuple[int, Any]:
        """The same of a process, as bin/chomp starts it."""
        child = await asyncio.create_subprocess_exec(
            sys.executable, str(Path(cs.__file__)), "offline", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "CHOMP_DIR": str(folder)},
        )  # fmt: skip
        out, _ = await child.communicate(json.dumps(request).encode())
        if (status := await child.wait()) == 75:  # others had the folder all the time: bin/chomp tries again, too
            return await self.child(folder, request)
        return status, json.loads(out)

    def test_tasks_are_added_shown_and_dropped(self, run: Any, tmp_path: Path) -> None:
        status, made = run(request={"command": "add", "fields": {"prompt": "dö it", "priority": 2}})
        assert status == 0 and made["status"] == "ok"
        assert {"id": "1", "prompt": "dö it", "status": "queued", "priority": 2}.items() <= made["task"].items()
        run("add", request={"fields": {"prompt": "then", "blocked_by": ["1"]}})
        assert run("show", "1") == (0, made["task"])
        status, dropped = run("drop", "1")
        assert status == 0 and dropped["task"]["id"] == "1" and dropped["task"]["deleted"]
        assert [one["id"] for one in run("list")[1]["tasks"]] == ["2"]
        status, found = run("status", request={"command": "status"})
        assert (status, found["next_id"], found["archived"]["count"]) == (0, 3, 0)
        status, refused = run("drop", "1")
        assert status == 1 and refused["error"]["code"] == "not_found"

    def test_the_log_has_finished_tasks_latest_first(self, run: Any, tmp_path: Path) -> None:
        store = opened(tmp_path / "state")
        store.finished = 2
        add(store, *(finished(number) for number in range(1, 6)), task(6))
        asyncio.run(store.close())
        status, found = run("log")
        assert status == 0 and [one["id"] for one in found["tasks"]] == ["5", "4", "3", "2", "1"]
        status, found = run("log", request={"fields": {"limit": "3"}})
        assert [one["id"] for one in found["tasks"]] == ["5", "4", "3"]
        assert run("show", "1")[1]["id"] == "1"

    @pytest.mark.parametrize(
        ("words", "request_"),
        [
            (["add"], {"fields": {"prompt": ""}}), (["add"], b"{"), (["add"], b"[]"), (["add"], b"\xff"), ([], None),
            (["add"], {"fields": 5}), (["run"], None), (["show"], None), (["list"], {"command": "add"}), (["show", "1 2"], None),
            (["log"], {"fields": {"limit": "x"}}), (["state", "restore"], None),
        ],
    )  # fmt: skip
    def test_a_wrong_request_is_answered_as_the_api_does(
        self, run: Any, tmp_path: Path, words: list[str], request_: Any
    ) -> None:
        status, answer = run(*words, request=request_)
        assert (
            status == 1
            and answer["error"].keys() >= ERROR_FIELDS
            and answer["error"]["type"] == "invalid_request_error"
        )

    async def test_twenty_at_once_make_twenty_tasks(self, tmp_path: Path) -> None:
        adds = (self.child(tmp_path, {"command": "add", "fields": {"prompt": f"p{number}"}}) for number in range(20))
        answers = await asyncio.gather(*adds)
        assert {status for status, _ in answers} == {0}
        assert {answer["task"]["id"] for _, answer in answers} == {str(number) for number in range(1, 21)}
        assert len(json.loads((tmp_path / "state" / "state.json").read_bytes())["tasks"]) == 20

    def test_a_running_server_is_named(self, run: Any, tmp_path: Path) -> None:
        store = opened(tmp_path / "state")
        add(store, task(1))
        asyncio.run(store.saved())
        for words in (["list"], ["add"], ["state", "restore", "state.json.1"]):
            status, answer = run(*words, request={"fields": {"prompt": "p"}})
            assert (status, answer["error"]["code"]) == (75, "state_in_use")
        assert run("state")[0] == 0  # looking at copies disturbs nobody
        asyncio.run(store.close())

    def test_a_broken_state_is_named_and_a_copy_can_be_put_back(self, run: Any, tmp_path: Path) -> None:
        path = tmp_path / "state" / "state.json"
        for number in range(3):
            run("add", request={"fields": {"prompt": f"p{number}"}})
        path.write_bytes(b"")
        for words in (["list"], ["add"]):
            status, answer = run(*words, request={"fields": {"prompt": "p"}})
            assert (
                status == 1
                and answer["error"]["code"] == "state_unreadable"
                and str(path) in answer["error"]["message"]
            )
        assert path.read_bytes() == b""
        status, found = run("state")
        assert status == 0
        (copy,) = found["copies"]
        assert (copy["name"], copy["tasks"]) == ("state.json.1", 1) and copy["at"].endswith("Z")
        status, found = run("state", "restore", "state.json.1")
        assert (status, found) == (0, {"status": "ok", "restored": "state.json.1", "tasks": 1})
        assert [one["prompt"] for one in run("list")[1]["tasks"]] == ["p0"]
        status, answer = run("state", "restore", "state.json.9")
        assert status == 1 and "state.json.2" in answer["error"]["message"]
