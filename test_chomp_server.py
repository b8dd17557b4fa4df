"""Tests of chomp, a class per section: `pytest test_chomp_server.py::TestRouting` is how a section is worked on.

Real servers on real ports. An `Upstream` is told what to answer and remembers what it was asked; `chomp` starts a whole
server in this process; `chomp_process` starts one as a user would.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import uvloop
from aiohttp import web

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
        while not reader.at_eof() and reader.exception() is None and not reader._buffer:  # type: ignore[attr-defined]  # noqa: ASYNC110
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


class Chomp:
    """A chomp in this process, and a client of it that carries the owner's token."""

    def __init__(
        self, folder: Path, config: dict[str, Any], environ: dict[str, str], clock: Callable[[], float] | None
    ):
        self.store = cs.Store(folder / "state")
        self.store.open()
        environ = {"CHOMP_API_TOKEN": TOKEN, "XDG_CACHE_HOME": str(folder / "no-cache"), **environ}
        self.settings = cs.read_settings(
            folder, flags={}, environ=environ, dotenv=self.store.dotenv(), overrides=self.store.overrides(), file=config
        )
        self.app = cs.make_app(self.settings, self.store, **({"clock": clock} if clock else {}))
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
        **tables: Any,
    ) -> Chomp:
        routers = [one.router if isinstance(one, Upstream) else one for one in upstreams]
        config = {"routers": routers, **tables}
        config["timeouts"] = {**SHORT, **tables.get("timeouts", {})}
        folder = tmp_path / f"chomp{len(started)}"
        folder.mkdir(exist_ok=True)
        started.append(await Chomp(folder, config, environ or {}, clock).start())
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


# == Settings ==========================================================================================================


# == Proxy =============================================================================================================


class TestProxy:
    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_busy_router_is_passed_over(self, chomp: Any, upstream: Any, stream: bool) -> None:
        busy, ready = await upstream(fails(429)), await upstream(says("hi there"))
        client = await chomp(busy, ready)
        async with client.chat("m", stream=stream) as answer:
            assert answer.status == 200
            assert answer.headers["x-chomp-router"] == ready.id
            assert answer.headers["x-chomp-attempts"] == "2"
            body = await answer.read()
        assert (
            said(body) == "hi there" if stream else json.loads(body)["choices"][0]["message"]["content"] == "hi there"
        )
        assert (len(busy.calls), len(ready.calls)) == (1, 1)
        (row,) = await client.rows(1)
        assert (row["router"], row["status"], row["attempts"]) == (ready.id, 200, 2)
        assert (row["prompt_tokens"], row["completion_tokens"], row["estimated"]) == (7, 2, 0)
