"""chomp's own Worker, of adapters/cloudflare/."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from adapters.places.seen import PIECE_BYTES, Ask, Done, Trouble, asked, read_as

REQUEST_S = 30.0  # beside what a command may take: a sandbox may have to be woken
OPEN_S = 180.0  # one has to be found room, and its image to be loaded


class _One(msgspec.Struct):
    id: str


class _All(msgspec.Struct):
    sandboxes: list[_One]


class Worker:
    """Sandboxes of a Worker that was deployed with `bin/sandbox deploy`."""

    relays = True

    def __init__(self, ask: Ask, url: str, token: str, owner: str):
        self._ask, self._url, self._token, self.owner = ask, url.rstrip("/"), token, owner

    def _at(self, route: str, sandbox: str = "", **query: object) -> str:
        path = f"{self._url}/{route}" + (f"/{quote(sandbox, safe='')}" if sandbox else "")
        return f"{path}?{urlencode(query)}" if query else path

    async def open(self, sandbox: str, lease_s: float) -> None:
        """See Sandboxes."""
        fields = {"id": sandbox, "owner": self.owner, "lease_s": int(min(max(lease_s, 60), 86400))}
        await asked(self._ask, "POST", self._at("dispatch"), limit_s=OPEN_S, key=self._token, fields=fields)

    async def execute(self, sandbox: str, argv: Sequence[str], env: Mapping[str, str], limit_s: float) -> Done:
        """See Sandboxes."""
        fields = {"argv": argv, "env": env, "timeout_s": int(min(max(limit_s, 1), 120))}
        at = self._at("exec", sandbox)
        _, body = await asked(self._ask, "POST", at, limit_s=limit_s + REQUEST_S, key=self._token, fields=fields)
        return read_as(Done, body)

    async def write(self, sandbox: str, path: str, data: bytes, offset: int) -> None:
        """See Sandboxes."""
        at = self._at("files", sandbox, path=path, offset=offset)
        await asked(self._ask, "PUT", at, limit_s=2 * REQUEST_S, key=self._token, data=data)

    async def read(self, sandbox: str, path: str, offset: int) -> tuple[bytes, int]:
        """See Sandboxes."""
        at = self._at("files", sandbox, path=path, offset=offset, most=PIECE_BYTES)
        headers, body = await asked(self._ask, "GET", at, limit_s=2 * REQUEST_S, key=self._token)
        if not (size := headers.get("x-size", "")).isdecimal():
            raise Trouble("away", "it answered something else")
        return body, int(size)

    async def end(self, sandbox: str) -> None:
        """See Sandboxes."""
        await asked(self._ask, "POST", self._at("kill", sandbox), limit_s=2 * REQUEST_S, key=self._token)

    async def all(self) -> list[str]:
        """See Sandboxes."""
        at = self._at("sandboxes", owner=self.owner)
        _, body = await asked(self._ask, "GET", at, limit_s=REQUEST_S, key=self._token)
        return [one.id for one in read_as(_All, body).sandboxes]

    def address(self, sandbox: str) -> str:
        """See Sandboxes. Who does not know the key in it gets no further than the Worker."""
        key = hmac.new(self._token.encode(), f"from:{sandbox}".encode(), hashlib.sha256).hexdigest()[:32]
        return self._at(f"from/{quote(sandbox, safe='')}/{key}")

    @property
    def tunnel(self) -> str:
        """Where chomp waits for the requests that come from inside, as a WebSocket."""
        return self._at("tunnel", owner=self.owner)


# -- the tunnel: requests of agents come from inside through the Worker, to a chomp that nobody can reach

OPEN, DATA, END, ABORT, CREDIT = 1, 2, 3, 4, 5  # kinds of frames
PAYLOAD_BYTES = 64 << 10
CREDIT_BYTES = 256 << 10  # that may be under way in one direction of a stream
STREAMS = 200
HEARTBEAT_S = 20.0
PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0  # between two tries to connect
_FOR_ONE_STEP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
    "upgrade", "host", "expect",
}  # fmt: skip


_NOT_PASSED = _FOR_ONE_STEP | {"authorization"}


class _Request(msgspec.Struct):
    method: str
    path: str
    headers: list[tuple[str, str]]


def _tokens(request: _Request) -> Iterator[str]:
    """All that a request has for a token, wherever a client puts it."""
    for name, value in request.headers:
        if name.lower() == "authorization":
            scheme, _, token = value.partition(" ")
            yield token.strip() if scheme.lower() == "bearer" else ""
        elif name.lower() in ("x-api-key", "x-goog-api-key"):
            yield value
    yield from parse_qs(request.path.partition("?")[2]).get("key", ())


class _Stream:
    """One request that is being answered."""

    def __init__(self) -> None:
        self.body: asyncio.Queue[bytes | None] = asyncio.Queue()  # None: its end; bounded by credit
        self.unread = 0  # bytes of it
        self.credit = CREDIT_BYTES
        self.granted = asyncio.Event()
        self.work: asyncio.Task[None] | None = None


class Tunnel:
    """A connection to the Worker that chomp keeps open, and the requests that come through it.

    `ask` is an aiohttp session's `request`, `connect` its `ws_connect`; `admits` says whether who has a token may
    come in this way; `start` starts a coroutine.
    """

    def __init__(
        self,
        worker: Worker,
        token: str,
        connect: Callable[..., AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]],
        ask: Ask,
        address: str,
        admits: Callable[[str], bool],
        start: Callable[[str, Coroutine[Any, Any, None]], asyncio.Task[None]],
    ):
        self._worker, self._token, self._connect, self._ask = worker, token, connect, ask
        self._address, self._admits, self._start = address, admits, start
        self.connected = asyncio.Event()
        self._streams: dict[int, _Stream] = {}

    async def serve(self, say: Callable[[str], object]) -> None:
        """Answers what comes, until it is cancelled; `say` is told when it cannot connect."""
        pause_s = PAUSE_S
        while True:
            try:
                headers = {"authorization": f"Bearer {self._token}"}
                async with self._connect(
                    self._worker.tunnel, headers=headers, heartbeat=HEARTBEAT_S, max_msg_size=1 << 20
                ) as socket:
                    pause_s = PAUSE_S
                    self.connected.set()
                    pings = self._start("tunnel pings", self._ping(socket))
                    try:
                        await self._listen(socket)
                    finally:
                        pings.cancel()
                say("the Worker closed the tunnel")
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                status = getattr(error, "status", "")
                say(f"no tunnel to the Worker: {type(error).__name__} {status}".strip())
            finally:
                self.connected.clear()
                for stream in self._streams.values():
                    if stream.work is not None:
                        stream.work.cancel()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _ping(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Says that this end is awake: what the connection itself says is answered before the Worker sees it."""
        with contextlib.suppress(ConnectionError, aiohttp.ClientError, RuntimeError):
            while not socket.closed:
                await asyncio.sleep(HEARTBEAT_S)
                await socket.send_str("ping")

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.BINARY or len(message.data) < 5:
                continue
            number, kind, payload = int.from_bytes(message.data[:4], "big"), message.data[4], message.data[5:]
            stream = self._streams.get(number)
            if kind == OPEN and stream is None:
                self._open(socket, number, payload)
            elif stream is None:
                continue  # one that is over
            elif kind in (DATA, END):
                stream.unread += len(payload)
                if stream.unread > CREDIT_BYTES:  # more than was granted: this is no Worker of ours
                    await socket.close()
                    return
                stream.body.put_nowait(payload if kind == DATA else None)
            elif kind == CREDIT and len(payload) == 4:
                stream.credit += int.from_bytes(payload, "big")
                stream.granted.set()
            elif kind == ABORT and stream.work is not None:
                stream.work.cancel()

    def _open(self, socket: aiohttp.ClientWebSocketResponse, number: int, payload: bytes) -> None:
        stream = self._streams[number] = _Stream()
        stream.work = self._start(f"tunnel {number}", self._answer(socket, number, stream, payload))

    async def _answer(
        self, socket: aiohttp.ClientWebSocketResponse, number: int, stream: _Stream, payload: bytes
    ) -> None:
        async def send(kind: int, data: bytes = b"") -> None:
            await socket.send_bytes(number.to_bytes(4, "big") + bytes((kind,)) + data)

        async def body() -> AsyncIterator[bytes]:
            while (piece := await stream.body.get()) is not None:
                yield piece
                stream.unread -= len(piece)
                await send(CREDIT, len(piece).to_bytes(4, "big"))

        async def pass_on(data: bytes) -> None:
            for at in range(0, len(data), PAYLOAD_BYTES):
                piece = data[at : at + PAYLOAD_BYTES]
                while stream.credit < len(piece):
                    stream.granted.clear()
                    await stream.granted.wait()
                stream.credit -= len(piece)
                await send(DATA, piece)

        async def head(status: int, headers: Iterable[tuple[str, str]]) -> None:
            passed = [(str(name), value) for name, value in headers if name.lower() not in _FOR_ONE_STEP]
            await send(OPEN, msgspec.json.encode({"status": status, "headers": passed}))

        try:
            request = msgspec.json.decode(payload, type=_Request)
            token = next(filter(self._admits, _tokens(request)), "")
            # the one that lets it in is the one that counts: chomp may look at another first
            headers = [(name, value) for name, value in request.headers if name.lower() not in _NOT_PASSED]
            headers.append(("authorization", f"Bearer {token}"))
            if len(self._streams) > STREAMS or not (request.path.startswith("/") and token):
                await head(503 if len(self._streams) > STREAMS else 401, [("content-type", "application/json")])
                await pass_on(b'{"error":{"message":"not let in","type":"invalid_request_error","code":"no_entry"}}')
                await send(END)
                return
            sent = body() if request.method not in ("GET", "HEAD") else None
            address = URL(self._address + request.path, encoded=True)
            async with self._ask(
                request.method, address, headers=headers, data=sent, allow_redirects=False, auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            ) as answer:  # fmt: skip
                await head(answer.status, answer.headers.items())
                async for piece in answer.content.iter_any():
                    await pass_on(piece)
            await send(END)
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError):
            with contextlib.suppress(ConnectionError, aiohttp.ClientError, RuntimeError):
                await send(ABORT)
        finally:
            del self._streams[number]
