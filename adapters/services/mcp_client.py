"""A client of MCP servers: the official package's session, over pipes and requests that are chomp's own.

The package is an extra, so this is imported where a server is to be asked, and not before. It starts no process and
opens no connection by itself: a stdio server is a process that is handed in, HTTP goes where chomp's own goes. What a
server says is bounded before the package reads it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import aiohttp
import anyio
import httpx2
import mcp_types as types
import msgspec
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage

MESSAGE_BYTES = 4 << 20  # of one message, with a picture in it
FLOOD_S, FLOOD_BYTES, FLOOD_LINES = 60.0, 64 << 20, 20_000  # said within a minute: nobody needs as much
FLOOD_STREAMS = 200  # that were opened in that time: the package opens one anew as soon as its server says, without end
WRITE_S = 10.0  # for a server to take what it is told
CONNECT_S = 10.0
PAGES_MOST = 50  # of a list of tools
TOOLS_MOST = 512  # of one server
BLOCKS_MOST = 500  # of one result
SCHEMA_BYTES, SCHEMAS_BYTES = 64 << 10, 2 << 20  # of one tool, of all of a server
DESCRIPTION_CHARS = 4000
LISTEN_AGAIN_S = 30.0
KEPT_BACK = ("host", "content-length", "connection", "accept-encoding", "transfer-encoding")

# it logs what servers say, and addresses as they are; what matters of that is told as the state of a server
logging.getLogger("mcp").setLevel(logging.CRITICAL)
logging.getLogger("httpx2").setLevel(logging.WARNING)


class Failed(ValueError):
    """Why a server did not answer, in words."""


class Offer(msgspec.Struct, frozen=True):
    """A tool, as its server describes it."""

    name: str
    description: str
    parameters: dict[str, Any]
    read_only: bool = False
    open_world: bool = True


class Listing(msgspec.Struct, frozen=True):
    """The tools of a server, and for how long that is so where it says it."""

    offers: tuple[Offer, ...]
    ttl_s: float = 0.0
    left_out: int = 0


class Flood:
    """Counts what a server says. Raises Failed when that is more than anybody needs."""

    def __init__(self, clock: Callable[[], float]):
        self._clock, self._since_s = clock, clock()
        self._bytes = self._lines = self._streams = 0

    def _look_at_the_clock(self) -> None:
        now_s = self._clock()
        if now_s - self._since_s > FLOOD_S:
            self._since_s, self._bytes, self._lines, self._streams = now_s, 0, 0, 0

    def opened(self) -> None:
        """Another stream."""
        self._look_at_the_clock()
        self._streams += 1
        if self._streams > FLOOD_STREAMS:
            raise Failed("it drops its streams over and over, and was ended")

    def add(self, data: bytes) -> None:
        self._look_at_the_clock()
        self._bytes += len(data)
        self._lines += data.count(b"\n")
        if self._bytes > FLOOD_BYTES or self._lines > FLOOD_LINES:
            raise Failed("it says more than anybody could read, and was ended")


# -- over pipes


class Lines:
    """Messages out of the bytes of a server. Raises Failed for one that is too long."""

    def __init__(self) -> None:
        self._left = bytearray()

    def feed(self, data: bytes) -> Iterator[SessionMessage]:
        """Those that are complete with `data`; what is no message, such as a greeting, is left out."""
        *whole, rest = data.split(b"\n")
        for line in whole:
            self._left += line
            yield from self._message()
            self._left.clear()
        self._left += rest
        self._check()

    def _check(self) -> None:
        if len(self._left) > MESSAGE_BYTES:
            raise Failed(f"its message has more than {MESSAGE_BYTES >> 20} MiB")

    def _message(self) -> Iterator[SessionMessage]:
        self._check()
        if self._left.lstrip()[:1] == b"{":
            with contextlib.suppress(ValueError):
                yield SessionMessage(types.jsonrpc_message_adapter.validate_json(bytes(self._left), by_name=False))


@contextlib.asynccontextmanager
async def over_pipes(process: Any, flood: Flood, lost: Callable[[str], None]) -> AsyncIterator[Any]:
    """A transport of the package: messages to and from a process, a line each. `lost` hears why it is over."""
    heard, reads = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    writes, said = anyio.create_memory_object_stream[SessionMessage](0)

    async def read() -> None:
        lines, words = Lines(), ""
        try:
            async with heard:
                while data := await process.read(1 << 16):
                    flood.add(data)
                    for message in lines.feed(data):
                        await heard.send(message)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            return  # nobody listens any more
        except (Failed, OSError) as error:
            words = str(error)
        lost(words)

    async def write() -> None:
        try:
            async with said:
                async for one in said:
                    text = one.message.model_dump_json(by_alias=True, exclude_unset=True)
                    with anyio.fail_after(WRITE_S):
                        await process.write(f"{text}\n".encode())
        except TimeoutError:
            lost(f"it has read nothing for {WRITE_S:g} s")
        except OSError:
            pass  # it is gone: who reads hears why

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        group.start_soon(write)
        try:
            yield reads, writes
        finally:
            group.cancel_scope.cancel()
            for stream in (reads, writes, heard, said):
                stream.close()


# -- over HTTP


class _Body(httpx2.AsyncByteStream):
    """What a server answers, as it comes."""

    def __init__(self, answer: aiohttp.ClientResponse, flood: Flood, lost: Callable[[str], None]):
        self._answer, self._flood, self._lost = answer, flood, lost
        self._streams = answer.content_type == "text/event-stream"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for data in self._answer.content.iter_any():
                size += len(data)
                if not self._streams and size > MESSAGE_BYTES:
                    raise httpx2.StreamError(f"its message has more than {MESSAGE_BYTES >> 20} MiB")
                self._flood.add(data if self._streams else data.replace(b"\n", b""))
                yield data
        except Failed as error:
            self._lost(str(error))
            raise httpx2.StreamError(str(error)) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise httpx2.StreamError(f"its answer broke off: {type(error).__name__}") from None

    async def aclose(self) -> None:
        self._answer.close()


class _Wire(httpx2.AsyncBaseTransport):
    """Has the package's requests sent as chomp sends its own, through the proxy that is set.

    What cannot be reached, or refuses, answers with an error of the protocol: else it would end all other requests.
    """

    def __init__(self, ask: Callable[..., Any], flood: Flood, lost: Callable[[str], None]):
        self._ask, self._flood, self._lost = ask, flood, lost

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in KEPT_BACK}
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        try:
            if request.method == "GET":
                self._flood.opened()
        except Failed as error:
            self._lost(str(error))
            return self._refusal(429, str(error))
        try:
            answer = await self._ask(
                request.method, str(request.url), headers=headers, data=await request.aread(), timeout=limits
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return self._refusal(502, f"it cannot be reached: {type(error).__name__}")
        # as bytes: the package takes text as ASCII, and one odd header would end the connection
        told = [(name, value) for name, value in answer.raw_headers if name.decode().lower() not in KEPT_BACK]
        status, kind = answer.status, answer.content_type
        if answer.headers.get("content-encoding", "identity") != "identity":
            answer.close()
            return self._refusal(502, "it compresses its answers, for which it was not asked")
        if status >= 400 and status not in (404, 405) and kind != "application/json":
            answer.close()
            return self._refusal(status, f"it answers with HTTP {status} {answer.reason or ''}".strip())
        return httpx2.Response(status, headers=told, stream=_Body(answer, self._flood, self._lost))

    @staticmethod
    def _refusal(status: int, words: str) -> httpx2.Response:
        fault = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": words}}
        return httpx2.Response(status, json=fault)


@contextlib.asynccontextmanager
async def over_http(
    ask: Callable[..., Any], url: str, headers: Mapping[str, str], flood: Flood, lost: Callable[[str], None]
) -> AsyncIterator[Any]:
    """A transport of the package: messages as requests that `ask` sends, and their answers."""
    wire = _Wire(ask, flood, lost)
    async with (
        httpx2.AsyncClient(transport=wire, headers=dict(headers), timeout=None, trust_env=False) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=MESSAGE_BYTES) as streams,
    ):
        yield streams


# -- the session


class Session:
    """A server that has been connected to. Every method raises Failed in words."""

    def __init__(self, client: Client):
        self._client = client

    @property
    def is_stateless(self) -> bool:
        """Whether it is of the era without sessions, from 2026-07-28 on."""
        return self._client.session.initialize_result is None

    @property
    def version(self) -> str:
        return self._client.protocol_version

    async def tools(self) -> Listing:
        """All of its tools that can be offered."""
        offers: dict[str, Offer] = {}
        cursor, ttl_s, left_out, room = None, 0.0, 0, SCHEMAS_BYTES
        with _in_words():
            for _ in range(PAGES_MOST):
                page = await self._client.list_tools(cursor=cursor, cache_mode="bypass")
                ttl_s = max(0.0, (page.ttl_ms or 0) / 1000)
                for one in page.tools:
                    offer = _offer(one)
                    size = SCHEMAS_BYTES if offer is None else len(msgspec.json.encode(offer.parameters))
                    if offer is None or size > min(SCHEMA_BYTES, room) or len(offers) >= TOOLS_MOST:
                        left_out += 1
                    elif one.name not in offers:
                        offers[one.name] = offer
                        room -= size
                cursor = page.next_cursor
                if cursor is None or len(offers) >= TOOLS_MOST:
                    break
        return Listing(tuple(offers[name] for name in sorted(offers)), ttl_s, left_out)

    async def call(self, name: str, arguments: Any, heard: Callable[[str], None], limit_s: float) -> tuple[str, bool]:
        """What a tool answers as text, and whether that is an error."""
        if arguments is not None and not isinstance(arguments, dict):
            raise Failed(f"the arguments are no JSON object: {str(arguments)[:200]}")

        async def tell(progress: float, total: float | None, message: str | None) -> None:
            if message:
                heard(f"{message[:500]}\n")

        with _in_words():
            result = await self._client.call_tool(name, arguments or {}, limit_s, tell)
        return flattened(result), result.is_error

    async def ping(self, limit_s: float) -> None:
        """Whether it still answers; who has no session has no ping, either."""
        if not self.is_stateless:
            with _in_words(), anyio.fail_after(limit_s):
                await self._client.session.send_request(types.PingRequest(), types.EmptyResult)

    async def follow(self, changed: Callable[[], None]) -> None:
        """Hears that its tools have changed, where that takes a request; the others say it by themselves."""
        offered = self._client.server_capabilities.tools
        while self.is_stateless and offered is not None and offered.list_changed:
            try:
                async with self._client.listen(tools_list_changed=True) as events:
                    async for _ in events:
                        changed()
            except ListenNotSupportedError:
                return
            except (MCPError, SubscriptionLost, TimeoutError):
                pass  # it is tried again
            await anyio.sleep(LISTEN_AGAIN_S)
            changed()  # what was said meanwhile, nobody has heard


@contextlib.asynccontextmanager
async def session(transport: Any, folder_uri: str, changed: Callable[[], None], version: str) -> AsyncIterator[Session]:
    """Connects, in whichever era the server is. Raises Failed, or what the transport raises.

    A server may ask for the folder, where it is told of one; whatever else it asks for is refused by the package:
    chomp says that it has none of it.
    """

    async def roots(context: Any) -> types.ListRootsResult:
        return types.ListRootsResult.model_validate({"roots": [{"uri": folder_uri}]})

    async def hear(message: Any) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            changed()

    async def unchecked(name: str, result: types.CallToolResult) -> None:
        """Its own schema says what a result must be like: a pattern in there could take forever."""

    client = Client(
        transport,
        list_roots_callback=roots if folder_uri else None,
        message_handler=hear,
        client_info=types.Implementation(name="chomp", version=version),
        cache=None,
    )
    async with contextlib.AsyncExitStack() as stack:
        with _in_words():
            await stack.enter_async_context(client)
        client.session.validate_tool_result = unchecked  # type: ignore[method-assign]
        yield Session(client)


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """Errors of the package as words."""
    try:
        yield
    except MCPError as error:
        raise Failed(" ".join(str(error.error.message).split())[:500] or "it refused") from None
    except TimeoutError:
        raise Failed("it did not answer in time") from None
    except RuntimeError as error:  # an answer of no kind that was asked for
        raise Failed(f"it does not keep to the protocol: {str(error)[:300]}") from None
    except ValueError as error:
        if isinstance(error, Failed):
            raise
        raise Failed(f"it does not keep to the protocol: {type(error).__name__}") from None
    except (anyio.ClosedResourceError, anyio.BrokenResourceError):
        raise Failed("it has ended") from None


def _offer(tool: types.Tool) -> Offer | None:
    """A tool that can be offered; None for one whose arguments are no object: a model could be told of none then."""
    schema = tool.input_schema
    if not tool.name or not isinstance(schema, dict) or schema.get("type", "object") != "object":
        return None
    fields = schema.get("properties", {})  # a provider refuses all of a request in which one is no schema
    if not isinstance(fields, dict) or not all(isinstance(one, dict | bool) for one in fields.values()):
        return None
    notes = tool.annotations
    return Offer(
        tool.name,
        (tool.description or tool.title or "")[:DESCRIPTION_CHARS],
        {"type": "object", "properties": {}, **schema},
        notes is not None and notes.read_only_hint is True,
        notes is None or notes.open_world_hint is not False,
    )


def flattened(result: types.CallToolResult) -> str:
    """A result as text: what is none is named."""
    parts = [_text_of(block) for block in result.content[:BLOCKS_MOST]]
    if len(result.content) > BLOCKS_MOST:
        parts.append(f"[{len(result.content) - BLOCKS_MOST} more parts are left out]")
    if not any(parts) and result.structured_content is not None:
        parts = [msgspec.json.encode(result.structured_content).decode()]
    return "\n".join(part for part in parts if part)


def _text_of(block: types.ContentBlock) -> str:
    match block:
        case types.TextContent():
            return block.text
        case types.ImageContent() | types.AudioContent():
            return f"[{block.type}, {block.mime_type}, {len(block.data) * 3 // 4:,} bytes: not shown]"
        case types.ResourceLink():
            words = f": {block.description}" if block.description else ""
            return f"[{block.title or block.name}]({block.uri}){words}"
        case types.EmbeddedResource():
            inner = block.resource
            if isinstance(inner, types.TextResourceContents):
                return f"{inner.uri}:\n{inner.text}"
            return f"[{inner.uri}, {inner.mime_type or 'bytes'}, {len(inner.blob) * 3 // 4:,} bytes: not shown]"
