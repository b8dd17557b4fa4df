"""Asks language servers about code: what is wrong with it, what a name means, where it is used.

A server is a process over a folder that anybody may have written, so it runs where the tools of its conversation do:
in the sandbox. It is started when it is needed first, and ended when nobody has asked it for a while.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import json
import os
import re
import sys
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

MANIFEST = {
    "id": "lsp",
    "name": "Language servers",
    "version": "1.0.0",
    "apiVersion": "^1.1",
    "contributes": {"settings": ["lsp"], "tools": ["lsp"], "routes": ["/conversations/{id}/lsp"]},
    "capabilities": {"spawn": True},
}
START_S = 60.0  # for a server's first answer
ANSWER_S = 30.0
DIAGNOSTICS_S = 10.0  # of one server; a slower one is left out
QUIET_S = 0.3  # without further diagnostics: they are all there
WRITE_S = 10.0  # for a server to take what it is told
BYE_S = 1.0
IDLE_S = 900.0
RETRY_S, RETRY_MOST_S = 10.0, 300.0  # after a start that has failed, twice as long each time
SERVERS_MOST = 8  # processes; who was asked longest ago has to go
BROKEN_MOST = 100
OPEN_MOST = 50  # documents of one server
PUSHED_MOST = 100  # documents whose diagnostics are remembered
DIAGNOSTICS_MOST = 1000  # of one document
HEAD_BYTES, MESSAGE_BYTES = 8 << 10, 16 << 20
FILE_BYTES = 2 << 20
CHANGES_MOST = 1000  # told at once
WATCHES_MOST = 200  # patterns of one server
LINES_MOST = 200
CONFIG_BYTES = 256 << 10
ROOTS_MOST = 500
SENDING_MOST = 1000  # messages
PYTHON = os.path.realpath(sys.executable)  # that of a virtual environment may not be there in a sandbox
CHANGES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin", "changes")

Operation = Literal["diagnostics", "hover", "definition", "references", "documentSymbol"]


class Server(msgspec.Struct, frozen=True, rename="camel"):
    """A language server, as settings and files name it."""

    command: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()  # of files: ".py"
    root_markers: tuple[str, ...] = ()  # files or folders that a project has at its root
    env: dict[str, str] = {}
    initialization: dict[str, Any] = {}  # what it is told at its start, and when it asks for its configuration
    disabled: bool = False
    name: str = ""
    id: str = ""
    source: str = ""  # where this stands


_SCRIPTS = (".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs")
BUILT_IN = {
    "typescript": Server(("typescript-language-server", "--stdio"), _SCRIPTS, ("tsconfig.json", "package.json")),
    "python": Server(("pylsp",), (".py", ".pyi"), ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt")),
    "go": Server(("gopls",), (".go",), ("go.work", "go.mod")),
    "rust": Server(("rust-analyzer",), (".rs",), ("Cargo.toml",)),
    "c": Server(("clangd",), (".c", ".h", ".cc", ".cpp", ".hpp"), ("compile_commands.json", ".clangd")),
}
FILES = ((".dispatch/lsp.json", "servers"), ("opencode.json", "lsp"))  # of a folder; the first with servers counts
LANGUAGES = {
    ".ts": "typescript", ".mts": "typescript", ".cts": "typescript", ".tsx": "typescriptreact", ".js": "javascript",
    ".mjs": "javascript", ".cjs": "javascript", ".jsx": "javascriptreact", ".py": "python", ".pyi": "python", ".h": "c",
    ".cc": "cpp", ".hpp": "cpp", ".rs": "rust", ".rb": "ruby", ".sh": "shellscript", ".cs": "csharp", ".md": "markdown",
    ".yml": "yaml", ".kt": "kotlin", ".ex": "elixir", ".hs": "haskell", ".ml": "ocaml",
}  # fmt: skip
SEVERITIES = {1: "error", 2: "warning", 3: "information", 4: "hint"}
SYMBOLS = (
    "", "file", "module", "namespace", "package", "class", "method", "property", "field", "constructor", "enum",
    "interface", "function", "variable", "constant", "string", "number", "boolean", "array", "object", "key", "null",
    "enum member", "struct", "event", "operator", "type parameter",
)  # fmt: skip
CODE_UNITS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Language servers."""

    asks: bool = True  # false: to use one counts as reading, whoever named it: for folders that you trust
    servers: dict[str, dict[str, Any]] = {}  # further ones: { ruby = { command = ["ruby-lsp"], extensions = [".rb"] } }

    def __post_init__(self) -> None:
        for id, given in self.servers.items():
            read_server(id, given, "chomp.toml")


def read_server(id: str, given: Any, source: str) -> Server:
    """A server as it is written somewhere. Raises ValueError."""
    try:
        found = msgspec.convert(given, Server)
    except msgspec.ValidationError as error:
        raise ValueError(f"the language server {id} of {source}: {error}") from None
    endings = tuple(one if one.startswith(".") else f".{one}" for one in found.extensions)
    made = msgspec.structs.replace(found, id=id, name=found.name or id, source=source, extensions=endings)
    if not made.disabled and not (made.command and all(made.command)):
        raise ValueError(f"the language server {id} of {source} has no command")
    return made


def servers_of(files: Mapping[str, bytes], own: Mapping[str, Any]) -> tuple[list[Server], list[str]]:
    """The servers for a folder that has `files`, and what is wrong in them; `own` stand in chomp.toml, and win."""
    found: dict[str, Server] = {}
    faults: list[str] = []
    for name, key in FILES:
        if found or name not in files:
            continue
        try:
            listed = msgspec.json.decode(files[name]).get(key) or {}
            for id, given in listed.items():
                found[id] = read_server(id, given, name)
        except (msgspec.DecodeError, AttributeError):
            faults.append(f"{name} is no JSON that names language servers")
        except ValueError as error:
            faults.append(str(error))
    if not found:
        found = {id: msgspec.structs.replace(one, id=id, name=id, source="built-in") for id, one in BUILT_IN.items()}
    found |= {id: read_server(id, given, "chomp.toml") for id, given in own.items()}
    return [one for one in found.values() if not one.disabled], faults


# -- addresses and positions


def uri_of(path: str) -> str:
    return "file://" + urllib.parse.quote(path)


def path_of(uri: str) -> str:
    """The path of a file's address; other addresses as they are."""
    return urllib.parse.unquote(uri.removeprefix("file://")) if uri.startswith("file://") else uri


def units_before(line: str, characters: int, encoding: str) -> int:
    """How many units of `encoding` the first `characters` of a line are: what servers count in."""
    codec, size = CODE_UNITS[encoding]
    return len(line[:characters].encode(codec, "replace")) // size


def characters_before(line: str, units: int, encoding: str) -> int:
    """The other way round."""
    codec, size = CODE_UNITS[encoding]
    return len(line.encode(codec, "replace")[: units * size].decode(codec, "ignore"))


def endings(glob: str) -> tuple[str, ...]:
    """How the paths end that a glob may match, such as (".js", ".ts") for "**/*.{js,ts}"; ("",) for any.

    It is not matched as a whole: a server may write one that takes forever, and it knows itself what it wants.
    """
    found = re.search(r"[^*?\[\]{}]*(?:\{([^*?\[\]{}]*)\})?\Z", glob[-1000:])
    if found is None or found[1] is None:
        return (found[0] if found else "",)
    before = found[0].partition("{")[0]
    return tuple(before + one for one in found[1].split(",")[:100])


# -- the protocol


class Framer:
    """Messages out of the bytes of a server. Raises ValueError for what is none."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """The messages that are complete with `data`."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            size = self._size(bytes(self._data[:end]))
            if len(self._data) < end + 4 + size:
                return
            body = bytes(self._data[end + 4 : end + 4 + size])
            del self._data[: end + 4 + size]
            yield msgspec.json.decode(body)
        if len(self._data) > HEAD_BYTES:
            raise ValueError("it said something that is no message")

    @staticmethod
    def _size(head: bytes) -> int:
        found = re.search(rb"^content-length: *(\d{1,12}) *$", head.replace(b"\r", b""), re.I | re.M)
        if len(head) > HEAD_BYTES or not found:
            raise ValueError("it said something that is no message")
        if (size := int(found[1])) > MESSAGE_BYTES:
            raise ValueError(f"its message has more than {MESSAGE_BYTES >> 20} MiB")
        return size


def framed(message: Any) -> bytes:
    body = msgspec.json.encode(message)
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


class Failed(ValueError):
    """Why a server did not answer, in words."""


class Document(msgspec.Struct):
    """A file that a server has open."""

    uri: str
    version: int
    digest: str
    text: str


class Pushed(msgspec.Struct, frozen=True):
    """What a server has said of a file by itself."""

    number: int  # another one each time
    diagnostics: list[Any]


class Watch(msgspec.Struct, frozen=True):
    """Which changes of files a server wants to hear of."""

    base: str  # a folder
    endings: tuple[str, ...]  # one of them
    kinds: int  # 1 created, 2 changed, 4 deleted

    def wants(self, kind: int, path: str) -> bool:
        return bool(self.kinds & 1 << (kind - 1)) and path.endswith(self.endings)


class Client:
    """One running server, over one root.

    `phase` is "starting", "connected", or "ended", where `words` say why.
    """

    def __init__(self, host: Any, server: Server, root: str, start: Callable[[Sequence[str]], Awaitable[Any]]):
        self._host, self.server, self.root, self._start = host, server, root, start
        self.phase: Literal["starting", "connected", "ended"] = "starting"
        self.words = ""
        self._ends = False
        self.changed: Callable[[], None] = lambda: None  # tells watchers
        self.asked_s = host.clocks.steady()
        self.conversations: set[str] = set()
        self.encoding = "utf-16"
        self._can: dict[str, Any] = {}
        self._process: Any = None
        self._watcher: Any = None
        self._work: list[asyncio.Task[Any]] = []
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._sending: asyncio.Queue[bytes] = asyncio.Queue(SENDING_MOST)
        self._syncing = asyncio.Lock()
        self._documents: collections.OrderedDict[str, Document] = collections.OrderedDict()
        self._pushed: collections.OrderedDict[str, Pushed] = collections.OrderedDict()
        self._told = asyncio.Condition()
        self._watches: dict[str, list[Watch]] = {}  # by registration
        self._pulls: set[str] = set()  # registrations of textDocument/diagnostic
        self.ready: asyncio.Task[None] = host.start(f"starts {server.id}", self._begin())

    @property
    def is_over(self) -> bool:
        return self.phase == "ended"

    @property
    def state(self) -> str:
        return "error" if self.is_over else self.phase

    # -- its life

    async def _begin(self) -> None:
        """Starts it; it is connected or has ended when this returns."""
        try:
            async with asyncio.timeout(START_S):
                argv = self.server.command
                if self.server.env:
                    argv = ("env", *(f"{name}={value}" for name, value in self.server.env.items()), *argv)
                self._process = await self._started(argv)
                self._work.append(self._host.start(f"reads {self.server.id}", self._read()))
                self._work.append(self._host.start(f"writes to {self.server.id}", self._write()))
                answer = await self._request("initialize", self._introduction())
                can = answer.get("capabilities")
                self._can = can if isinstance(can, dict) else {}
                encoding = self._can.get("positionEncoding")
                self.encoding = encoding if encoding in CODE_UNITS else "utf-16"
                await self._notify("initialized", {})
                if self.server.initialization:
                    settings = {"settings": self.server.initialization}
                    await self._notify("workspace/didChangeConfiguration", settings)
                if not self.is_over:
                    self.phase = "connected"
                    self.changed()
        except TimeoutError:
            await self.end(f"it did not answer within {START_S:g} s")
        except asyncio.CancelledError:
            await self.end("chomp is shutting down")
            raise
        except Exception as error:  # of the sandbox, or of a server that does not keep to the protocol
            await self.end(self._host.redact(str(error)) or type(error).__name__)

    async def _started(self, argv: Sequence[str]) -> Any:
        """A process that ends with this. Raises Failed when this has ended meanwhile."""
        process = await self._start(argv)
        if self._ends:
            await process.kill()
            raise Failed(self.words)
        return process

    def _introduction(self) -> dict[str, Any]:
        folder = {"uri": uri_of(self.root), "name": os.path.basename(self.root) or "/"}
        document = {
            "synchronization": {"didSave": True},
            "publishDiagnostics": {"versionSupport": True},
            "diagnostic": {"dynamicRegistration": True},
            "hover": {"contentFormat": ["markdown", "plaintext"]},
            "definition": {"linkSupport": True},
            "references": {},
            "documentSymbol": {"hierarchicalDocumentSymbolSupport": True},
        }
        workspace = {
            "configuration": True,
            "workspaceFolders": True,
            "didChangeConfiguration": {"dynamicRegistration": True},
            "didChangeWatchedFiles": {"dynamicRegistration": True, "relativePatternSupport": True},
        }
        return {
            "processId": None,  # it is in a sandbox, where ours is not to be seen
            "clientInfo": {"name": "chomp"},
            "rootPath": self.root,
            "rootUri": folder["uri"],
            "workspaceFolders": [folder],
            "initializationOptions": self.server.initialization,
            "capabilities": {
                "textDocument": document,
                "workspace": workspace,
                "window": {"workDoneProgress": True},
                "general": {"positionEncodings": ["utf-32", "utf-16", "utf-8"]},
            },
        }

    async def end(self, words: str) -> None:
        """Ends the process, and whoever waits for it."""
        if self._ends:
            return
        self._ends = True
        if self.phase == "connected" and not words:
            with contextlib.suppress(Exception):  # it is ended in any case
                async with asyncio.timeout(BYE_S):
                    await self._request("shutdown", None)
                    await self._notify("exit", None)
                    await self._process.wait()
        self.phase, self.words = "ended", words or "it was ended"
        self.changed()
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(Failed(self.words))
        self._waiting.clear()
        self._documents.clear()
        self._pushed.clear()
        async with self._told:
            self._told.notify_all()
        for process in (self._process, self._watcher):
            if process is not None:
                await process.kill()
        for task in self._work:
            if task is not asyncio.current_task():
                task.cancel()

    async def _read(self) -> None:
        framer, words = Framer(), ""
        try:
            while data := await self._process.read(1 << 16):
                for message in framer.feed(data):
                    await self._hear(message)
        except (ValueError, OSError) as error:
            words = str(error)
        except Exception as error:  # whatever it says: it costs itself, and nobody else
            words = f"it does not keep to the protocol: {type(error).__name__}: {error}"
        if not words:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BYE_S):
                    words = f"it has ended with status {await self._process.wait()}"
        await self.end(words or "it has ended")

    # -- what is said

    async def _write(self) -> None:
        try:
            while True:
                data = await self._sending.get()
                async with asyncio.timeout(WRITE_S):
                    await self._process.write(data)
        except TimeoutError:
            await self.end(f"it has read nothing for {WRITE_S:g} s")
        except (OSError, RuntimeError):
            pass  # it is gone: who reads hears why

    async def _send(self, message: dict[str, Any]) -> None:
        """Has it told. Raises Failed when it does not take what it is told, or is no more."""
        if self.is_over:
            raise Failed(self.words)
        try:
            async with asyncio.timeout(WRITE_S):
                await self._sending.put(framed({"jsonrpc": "2.0", **message}))
        except TimeoutError:
            raise Failed(f"it has read nothing for {WRITE_S:g} s") from None

    async def _notify(self, method: str, params: Any) -> None:
        await self._send({"method": method, "params": params})

    async def _request(self, method: str, params: Any) -> Any:
        """Its answer. Raises Failed."""
        id = next(self._ids)
        answer = self._waiting[id] = asyncio.get_running_loop().create_future()
        try:
            await self._send({"id": id, "method": method, "params": params})
            return await answer
        except asyncio.CancelledError:  # nobody waits any more: it need not go on
            with contextlib.suppress(asyncio.QueueFull):
                self._sending.put_nowait(framed({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": id}}))
            raise
        finally:
            self._waiting.pop(id, None)

    async def request(self, method: str, params: Any) -> Any:
        """Its answer, within the time there is. Raises Failed."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._request(method, params)
        except TimeoutError:
            raise Failed(f"it did not answer within {ANSWER_S:g} s") from None

    async def _hear(self, message: Any) -> None:
        if not isinstance(message, dict):
            return
        id, method = message.get("id"), message.get("method")
        if isinstance(method, str):
            params = message.get("params")
            if id is None:
                await self._noted(method, params if isinstance(params, dict) else {})
            else:
                await self._answer(id, method, params if isinstance(params, dict) else {})
        elif isinstance(id, int) and (waiter := self._waiting.get(id)) is not None and not waiter.done():
            if isinstance(fault := message.get("error"), dict):
                waiter.set_exception(Failed(str(fault.get("message") or "it refused")[:500]))
            else:
                waiter.set_result(message.get("result"))

    async def _noted(self, method: str, params: dict[str, Any]) -> None:
        if method != "textDocument/publishDiagnostics" or not isinstance(uri := params.get("uri"), str):
            return
        uri, found = uri_of(path_of(uri)), params.get("diagnostics")
        open_one, version = self._documents.get(uri), params.get("version")
        if open_one is not None and isinstance(version, int) and version < open_one.version:
            return  # of what stood there before
        self._pushed[uri] = Pushed(next(self._ids), found[:DIAGNOSTICS_MOST] if isinstance(found, list) else [])
        self._pushed.move_to_end(uri)
        while len(self._pushed) > PUSHED_MOST:
            self._pushed.popitem(last=False)
        async with self._told:
            self._told.notify_all()

    async def _answer(self, id: Any, method: str, params: dict[str, Any]) -> None:
        """What it asks chomp."""
        result: Any = None
        match method:
            case "workspace/configuration":
                result = [self._configuration(item) for item in params.get("items") or ()]
            case "workspace/workspaceFolders":
                result = self._introduction()["workspaceFolders"]
            case "workspace/applyEdit":
                result = {"applied": False}  # nobody has asked it to change files
            case "client/registerCapability":
                await self._register(params.get("registrations") or ())
            case "client/unregisterCapability":
                for one in params.get("unregisterations") or ():
                    self._watches.pop(one.get("id"), None)
                    self._pulls.discard(one.get("id"))
            case "window/workDoneProgress/create" | "window/showMessageRequest":
                pass
            case _:
                fault = {"code": -32601, "message": f"{method} is not known here"}
                await self._send({"id": id, "error": fault})
                return
        await self._send({"id": id, "result": result})

    def _configuration(self, item: Any) -> Any:
        """The part of its settings that it names, such as "python.analysis"."""
        found: Any = self.server.initialization
        section = item.get("section") if isinstance(item, dict) else None
        for name in section.split(".") if isinstance(section, str) and section else ():
            found = found.get(name) if isinstance(found, dict) else None
        return found

    # -- files that change

    async def _register(self, registrations: Iterable[Any]) -> None:
        for one in registrations:
            if not isinstance(one, dict):
                continue
            options, id = one.get("registerOptions") or {}, str(one.get("id"))
            if one.get("method") == "textDocument/diagnostic":
                self._pulls.add(id)
            elif one.get("method") == "workspace/didChangeWatchedFiles":
                left = WATCHES_MOST - sum(map(len, self._watches.values()))
                self._watches[id] = list(self._read_watches(itertools.islice(options.get("watchers") or (), left)))
                if self._watches[id] and self._watcher is None:
                    await self._watch()

    def _read_watches(self, watchers: Iterable[Any]) -> Iterator[Watch]:
        for one in watchers:
            glob, base = one.get("globPattern"), self.root
            if isinstance(glob, dict):
                uri = glob.get("baseUri")
                base = path_of(str(uri["uri"] if isinstance(uri, dict) else uri))
                glob = glob.get("pattern")
            with contextlib.suppress(ValueError, TypeError):
                yield Watch(base.rstrip("/"), endings(glob), one.get("kind") or 7)

    async def _watch(self) -> None:
        """Has a process say what changes below the root: it sees no more than the server does."""
        try:
            self._watcher = await self._started((PYTHON, "-I", "-S", "-X", "utf8", CHANGES, self.root))
        except Exception as error:  # of the sandbox: it goes on without
            self._host.log.warning("%s does not hear of changed files: %s", self.server.id, error)
            return
        self._work.append(self._host.start(f"watches for {self.server.id}", self._follow()))

    async def _follow(self) -> None:
        async for batch in self._changes():
            told = [
                {"uri": uri_of(path), "type": kind}
                for kind, path in dict.fromkeys(batch)
                if any(one.wants(kind, path) for watches in self._watches.values() for one in watches)
            ]
            if told and self.phase == "connected":
                with contextlib.suppress(Failed):
                    await self._notify("workspace/didChangeWatchedFiles", {"changes": told[:CHANGES_MOST]})

    async def _changes(self) -> AsyncIterator[list[tuple[int, str]]]:
        kinds, left = {"created": 1, "changed": 2, "deleted": 3}, b""
        while data := await self._watcher.read(1 << 16):
            *lines, left = (left + data).split(b"\n")
            if len(left) > HEAD_BYTES:
                return
            found = []
            for line in lines:
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    one = json.loads(line)
                    if one["what"] in kinds:
                        found.append((kinds[one["what"]], str(one["path"])))
            yield found

    # -- documents

    async def open(self, path: str, text: str, digest: str) -> Document:
        """Shows it a file as it is now. Raises Failed."""
        uri = uri_of(path)
        async with self._syncing:
            known = self._documents.get(uri)
            if known is None:
                known = self._documents[uri] = Document(uri, 1, digest, text)
                language = LANGUAGES.get(ending := os.path.splitext(path)[1], ending.removeprefix(".") or "plaintext")
                item = {"uri": uri, "languageId": language, "version": 1, "text": text}
                await self._notify("textDocument/didOpen", {"textDocument": item})
            elif known.digest != digest:
                known.version, known.digest, known.text = known.version + 1, digest, text
                self._pushed.pop(uri, None)
                item = {"uri": uri, "version": known.version}
                await self._notify("textDocument/didChange", {"textDocument": item, "contentChanges": [{"text": text}]})
                await self._notify("textDocument/didSave", {"textDocument": {"uri": uri}, "text": text})
            self._documents.move_to_end(uri)
            while len(self._documents) > OPEN_MOST:
                gone, _ = self._documents.popitem(last=False)
                self._pushed.pop(gone, None)
                await self._notify("textDocument/didClose", {"textDocument": {"uri": gone}})
        return known

    def can(self, what: str) -> bool:
        """Whether it offers something, such as "hoverProvider"."""
        return self._can.get(what) not in (None, False)

    async def diagnostics(self, document: Document) -> list[Any]:
        """What it finds wrong in a file: what it says by itself, and what it says when it is asked. Raises Failed."""
        pulled: list[Any] = []
        try:
            async with asyncio.timeout(DIAGNOSTICS_S):
                if self.can("diagnosticProvider") or self._pulls:
                    answer = await self._request("textDocument/diagnostic", {"textDocument": {"uri": document.uri}})
                    items = answer.get("items") if isinstance(answer, dict) else None
                    pulled = items[:DIAGNOSTICS_MOST] if isinstance(items, list) else []
                else:
                    await self._wait_pushed(document.uri)
        except TimeoutError:
            raise Failed(f"it did not answer within {DIAGNOSTICS_S:g} s") from None
        pushed = self._pushed.get(document.uri)
        return [*pulled, *(pushed.diagnostics if pushed is not None else ())]

    async def _wait_pushed(self, uri: str) -> None:
        """Waits for what it says of a file by itself, and, where that is new, until it says no more for a moment."""
        is_new = uri not in self._pushed
        await self._wait_other(uri, None)
        while is_new and not self.is_over:
            try:
                async with asyncio.timeout(QUIET_S):
                    await self._wait_other(uri, self._pushed.get(uri))
            except TimeoutError:
                break
        if self.is_over:
            raise Failed(self.words)

    async def _wait_other(self, uri: str, known: Pushed | None) -> None:
        """Waits until it has said something else of a file than is known, or is over."""
        async with self._told:
            await self._told.wait_for(lambda: self.is_over or self._pushed.get(uri, known) is not known)


# -- all of them


class Broken(msgspec.Struct, frozen=True):
    """A server that could not be started, and is left alone for a while."""

    server: Server
    root: str
    words: str
    until_s: float
    pause_s: float


Key = tuple[str, str, str, str]  # who asks, in which folder; which server, over which root


class Clients:
    """The servers that run, for everybody. One is shared by those only who may do the same."""

    def __init__(self, host: Any):
        self._host = host
        self._running: dict[Key, Client] = {}
        self.changed: Callable[[], None] = lambda: None  # tells watchers
        self._turn = asyncio.Lock()  # who has it starts one
        self._broken: collections.OrderedDict[Key, Broken] = collections.OrderedDict()
        self._roots: collections.OrderedDict[tuple[str, ...], str] = collections.OrderedDict()

    async def servers(self, files: Any) -> tuple[list[Server], list[str]]:
        """The servers for a folder, and what is wrong in its own list of them."""
        found: dict[str, bytes] = {}

        async def look(name: str) -> None:
            with contextlib.suppress(ValueError):
                there = await files.look(name, CONFIG_BYTES)
                if there.kind == "file":
                    found[name] = there.data

        await asyncio.gather(*(look(name) for name, _ in FILES))
        return servers_of(found, self._host.settings.servers)

    async def root(self, files: Any, cwd: str, folder: str, server: Server) -> str:
        """The nearest folder, from that of a file up to `cwd`, that has one of a server's markers; else `cwd`."""
        key = (cwd, folder, *server.root_markers)
        if key not in self._roots:
            place = folder
            while not (found := await self._has(files, place, server.root_markers)) and place:
                place = os.path.dirname(place)
            self._roots[key] = os.path.join(cwd, place).rstrip("/") if found else cwd
            while len(self._roots) > ROOTS_MOST:
                self._roots.popitem(last=False)
        return self._roots[key]

    @staticmethod
    async def _has(files: Any, folder: str, markers: Sequence[str]) -> bool:
        try:
            names = {name.rstrip("/") for name in (await files.look(folder or ".")).names}
        except ValueError:
            return False
        return not names.isdisjoint(markers)

    async def client(self, turn: Any, server: Server, root: str) -> Client:
        """The running server, started where it does not run. Raises Failed."""
        key: Key = (turn.caller, turn.cwd, server.id, root)
        async with self._turn:
            client = await self._found(key, turn, server, root)
        client.asked_s = self._host.clocks.steady()
        client.conversations.add(turn.conversation)
        await asyncio.wait([client.ready])
        if client.is_over:
            if self._running.get(key) is client:
                await self._drop(key)
            raise Failed(client.words)
        self._broken.pop(key, None)
        return client

    async def _found(self, key: Key, turn: Any, server: Server, root: str) -> Client:
        """The server of a key, starting where it was not there. Raises Failed."""
        client = self._running.get(key)
        if client is not None and not client.is_over and client.server == server:
            return client
        if client is not None:
            await self._drop(key)
        broken, now = self._broken.get(key), self._host.clocks.steady()
        if broken is not None and broken.server == server and now < broken.until_s:
            raise Failed(f"{broken.words} (it is tried again in {broken.until_s - now:.0f} s)")
        while len(self._running) >= SERVERS_MOST:
            await self._drop(min(self._running, key=lambda key: self._running[key].asked_s))
        client = self._running[key] = Client(self._host, server, root, turn.start)
        client.changed = self.changed
        self.changed()
        return client

    async def _drop(self, key: Key) -> None:
        """Forgets a server; one that has ended by itself is left alone for a while."""
        client = self._running.pop(key, None)
        if client is None:
            return
        if client.is_over:
            before = self._broken.pop(key, None)
            pause_s = min(before.pause_s * 2, RETRY_MOST_S) if before is not None else RETRY_S
            until_s = self._host.clocks.steady() + pause_s
            self._broken[key] = Broken(client.server, client.root, client.words, until_s, pause_s)
            while len(self._broken) > BROKEN_MOST:
                self._broken.popitem(last=False)
        await client.end("")

    async def tidy(self) -> None:
        """Ends those that nobody has asked for a while."""
        self._roots.clear()
        since_s = self._host.clocks.steady() - IDLE_S
        for key in [key for key, one in self._running.items() if one.asked_s < since_s]:
            await self._drop(key)

    async def leave(self, conversation: str) -> None:
        """A conversation is closed: servers that were used by it alone are ended."""
        for key, client in list(self._running.items()):
            client.conversations.discard(conversation)
            if not client.conversations:
                await self._drop(key)

    async def close(self) -> None:
        """Ends all."""
        running, self._running = list(self._running.values()), {}
        await asyncio.gather(*(client.end("") for client in running), return_exceptions=True)

    def report(self, caller: str, cwd: str, servers: Iterable[Server]) -> list[dict[str, Any]]:
        """The servers of a folder, and how they are."""
        rows = []
        for server in servers:
            there: dict[str, tuple[str, str]] = {
                key[3]: ("error", one.words) for key, one in self._broken.items() if key[:3] == (caller, cwd, server.id)
            }
            for key, one in self._running.items():
                if key[:3] == (caller, cwd, server.id):
                    there[one.root] = (one.state, one.words)
            if not there and server.source == "built-in" and server.id != "typescript":
                continue  # it is not said that anybody wants it
            for root, (state, words) in (there or {cwd: ("not-started", "")}).items():
                row: dict[str, Any] = {
                    "id": server.id,
                    "name": server.name,
                    "root": root,
                    "extensions": server.extensions,
                }
                rows.append(
                    {**row, "state": state, "configSource": server.source, **({"error": words} if words else {})}
                )
        return rows


# -- what models are told


class Answers:
    """Words for what a server has answered, about files of one folder."""

    def __init__(self, cwd: str, client: Client, document: Document):
        self._cwd, self._client, self._document = cwd, client, document
        self._lines = re.split(r"\r\n|\n|\r", document.text)

    def position(self, line: int, character: int) -> dict[str, int]:
        """A place in the file, from 1 on, as the server counts."""
        text = self._lines[line - 1] if line <= len(self._lines) else ""
        return {"line": line - 1, "character": units_before(text, character - 1, self._client.encoding)}

    def place(self, uri: str, start: Any) -> str:
        """A place for people: path:line:character."""
        line, units = int(start["line"]), int(start["character"])
        if uri == self._document.uri and line < len(self._lines):
            units = characters_before(self._lines[line], units, self._client.encoding)
        path = path_of(uri)
        shown = path.removeprefix(f"{self._cwd}/")
        return f"{shown}:{line + 1}:{units + 1}"

    def diagnostics(self, found: Sequence[Any]) -> list[str]:
        lines: dict[tuple[int, int, str], None] = {}
        for one in found:
            with contextlib.suppress(KeyError, TypeError, ValueError):
                start = one["range"]["start"]
                words = " ".join(str(one["message"]).split())
                code = ", ".join(str(one[name]) for name in ("source", "code") if isinstance(one.get(name), str | int))
                severity = SEVERITIES.get(one.get("severity"), "error")
                text = f"{self.place(self._document.uri, start)}: {severity}: {words}{f' [{code}]' if code else ''}"
                lines[int(start["line"]), int(start["character"]), text] = None
        return [text for _, _, text in sorted(lines)]

    def hover(self, found: Any) -> list[str]:
        contents = found.get("contents") if isinstance(found, dict) else None
        parts = contents if isinstance(contents, list) else [contents]
        texts = [part.get("value") if isinstance(part, dict) else part for part in parts]
        return [text.strip() for text in texts if isinstance(text, str) and text.strip()]

    def places(self, found: Any) -> list[str]:
        places: dict[str, None] = {}
        for one in found if isinstance(found, list) else [found]:
            with contextlib.suppress(KeyError, TypeError, ValueError):
                uri = one.get("targetUri") or one["uri"]
                where = one.get("targetSelectionRange") or one["range"]
                places[self.place(uri_of(path_of(uri)), where["start"])] = None
        return list(places)

    def symbols(self, found: Any) -> list[str]:
        lines: list[str] = []
        left = [(one, 0) for one in reversed(found if isinstance(found, list) else [])]
        while left and len(lines) <= LINES_MOST:
            one, depth = left.pop()
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                where = one.get("selectionRange") or one.get("range") or one["location"]["range"]
                kind = one.get("kind")
                word = SYMBOLS[kind] if isinstance(kind, int) and 0 < kind < len(SYMBOLS) else "symbol"
                lines.append(f"{'  ' * min(depth, 20)}{word} {one['name']} (line {int(where['start']['line']) + 1})")
                left += [(child, depth + 1) for child in reversed(one.get("children") or ())]
        return lines


class Desk:
    """Answers models, and tells people which servers there are."""

    def __init__(self, host: Any):
        self._host = host
        self.clients = Clients(host)

    async def ask(
        self, turn: Any, operation: Operation, path: str, line: int | None = None, character: int | None = None
    ) -> str:
        """What servers say. Raises ValueError in words for the model."""
        if operation in ("hover", "definition", "references") and (line is None or character is None):
            raise ValueError(f"{operation} needs line and character, both counted from 1")
        look = await turn.files.look(path, FILE_BYTES)
        if look.kind != "file":
            raise ValueError(f"{look.path} is {'not there' if look.kind == 'missing' else 'no file'}")
        if look.size > len(look.data):
            raise ValueError(f"{look.path} has more than {FILE_BYTES >> 20} MiB: no language server is asked about it")
        whole = os.path.join(turn.cwd, look.path)
        servers, faults = await self.clients.servers(turn.files)
        fitting = [one for one in servers if whole.endswith(one.extensions)] if servers else []
        if not fitting:
            words = f"there is no language server for {look.path}"
            raise ValueError("; ".join([words, *faults]))
        told, notes = [], list(faults)
        for server in fitting:
            try:
                root = await self.clients.root(turn.files, turn.cwd, os.path.dirname(look.path), server)
                client = await self.clients.client(turn, server, root)
                document = await client.open(whole, look.data.decode(errors="replace"), look.digest)
                answers = Answers(turn.cwd, client, document)
                lines = await self._asked(client, document, answers, operation, line or 1, character or 1)
            except Failed as error:
                notes.append(f"{server.id} was left out: {self._host.redact(str(error))}")
            else:
                told += [one for one in lines if one not in told]
        if not told and len(notes) >= len(fitting) + len(faults):
            raise ValueError("; ".join(notes))
        left_out = [f"... and {len(told) - LINES_MOST} more"] if len(told) > LINES_MOST else []
        nothing = [] if told else [_NOTHING[operation].format(path=look.path)]
        return "\n".join([*told[:LINES_MOST], *left_out, *nothing, *(f"({note})" for note in notes)])

    @staticmethod
    async def _asked(
        client: Client, document: Document, answers: Answers, operation: Operation, line: int, character: int
    ) -> list[str]:
        if operation == "diagnostics":
            return answers.diagnostics(await client.diagnostics(document))
        if not client.can(f"{operation}Provider"):
            raise Failed(f"it has no {operation}")
        params: dict[str, Any] = {"textDocument": {"uri": document.uri}}
        if operation != "documentSymbol":
            params["position"] = answers.position(line, character)
        if operation == "references":
            params["context"] = {"includeDeclaration": True}
        found = await client.request(f"textDocument/{operation}", params)
        tell = {"hover": answers.hover, "documentSymbol": answers.symbols}.get(operation, answers.places)
        return tell(found)

    async def show(self, conversation: Any) -> dict[str, Any]:
        """The servers of a conversation's folder."""
        if conversation.cwd is None:
            return {"conversationId": conversation.id, "cwd": None, "servers": []}
        facts, servers, _ = await self._servers(conversation.id)
        return {"conversationId": conversation.id, "cwd": facts.cwd, "servers": servers}

    async def _servers(self, conversation_id: str) -> tuple[Any, list[dict[str, Any]], list[str]]:
        """Where a conversation works, the servers there, and what is wrong in its list of them."""
        facts = await self._host.service("conversations").turn_facts(conversation_id)
        servers, faults = await self.clients.servers(facts.files)
        return facts, self.clients.report(facts.caller, facts.cwd, servers), faults

    async def spec(self, conversation: str | None) -> list[dict[str, Any]]:
        """The same as clients show it."""
        found = await self._host.service("conversations").meta(conversation) if conversation else None
        if found is None or found.task:
            return [{"kind": "text", "value": "They are here once the conversation has begun."}]
        _, servers, faults = await self._servers(found.id)
        rows = [
            {
                "label": one["name"],
                "value": one["state"],
                "note": self._host.redact(f"{one['root']} {one.get('error', '')}").strip(),
            }
            for one in servers
        ]
        words = [] if servers else ["No language server is named for this folder, or runs in it."]
        fields = [{"kind": "text", "value": one} for one in (*words, *faults)]
        return [{"kind": "list", "items": rows}, *fields] if rows else fields


_NOTHING = {
    "diagnostics": "No diagnostics: nothing is wrong in {path}.",
    "hover": "Nothing is known of this place in {path}.",
    "definition": "No definition was found.",
    "references": "No references were found.",
    "documentSymbol": "{path} has no symbols.",
}


def activate(host: Any) -> None:
    desk = Desk(host)
    host.provide("language-servers", desk.clients)
    host.every(60.0, desk.clients.tidy)

    async def lsp(
        ctx: Any,
        operation: Annotated[Operation, msgspec.Meta(description="What to ask for")],
        path: Annotated[str, msgspec.Meta(description="A file, in the working folder")],
        line: Annotated[int, msgspec.Meta(ge=1, description="Counted from 1")] | None = None,
        character: Annotated[int, msgspec.Meta(ge=1, description="Counted from 1")] | None = None,
    ) -> str:
        """Asks a language server about code: diagnostics (errors and warnings of a file), hover (type and documentation
        of a name), definition and references (where a name is made, and where it is used), documentSymbol (an outline
        of a file). hover, definition and references need line and character of the name.
        """
        return await desk.ask(ctx.turn, operation, path, line, character)

    def free(tools: Sequence[Any], turn: Any) -> list[Any]:
        if host.settings.asks:
            return list(tools)
        return [msgspec.structs.replace(one, access="read") if one.name == "lsp" else one for one in tools]

    async def list_language_servers(request: web.Request) -> dict[str, Any]:
        """GET /conversations/{id}/lsp -> {conversationId, cwd, servers: [{id, name, root, extensions, state, ...}]}"""
        id = request.match_info["id"]
        found = await host.service("conversations").meta(id)
        if found is None:
            return {"conversationId": id, "cwd": None, "servers": []}
        if found.caller != "owner":  # who asks is the owner
            raise host.error(f"no conversation {id[:100]}", status=404, code="not_found")
        return await desk.show(found)

    surface = host.surface("lsp", "Language servers", desk.spec, scope="conversation")
    desk.clients.changed = surface.changed
    for event in ("conversation_changed", "turn_settled"):
        host.on(event, lambda event: surface.changed(event.data["conversation"]))

    def closed(event: Any) -> None:
        host.start("ends servers", desk.clients.leave(event.data["conversation"]))

    host.tool(access="shell")(lsp)
    host.filter("tools", free)
    host.route("GET", "/conversations/{id}/lsp")(list_language_servers)
    host.on("conversation_closed", closed)


async def deactivate(host: Any) -> None:
    """No server outlives chomp."""
    await host.service("language-servers").close()
