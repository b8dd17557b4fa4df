"""Gives the built-in agent the tools of MCP servers: the owner's, and those that a folder names.

A folder's own list may have been written by anybody, so nothing of it is started or asked before a person has said
yes to it, as it stands. A server that is a process runs where the tools of its conversation do, in the sandbox, and
ends with the conversation; one elsewhere is asked over HTTP. https://modelcontextprotocol.io
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import fnmatch
import hashlib
import importlib
import importlib.util
import os
import re
import sys
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from aiohttp import web

from adapters.services.web import web_host

MANIFEST = {
    "id": "mcp",
    "name": "MCP servers",
    "version": "1.0.0",
    "apiVersion": "^1.3",
    "contributes": {
        "settings": ["mcp"],
        "routes": ["/conversations/{id}/mcp", "/conversations/{id}/mcp/{server}"],
        "surfaces": ["mcp"],
        "commands": ["mcp"],
    },
    "capabilities": {"spawn": True, "network": True},
}
SECRETS = ("servers",)
PROJECT_FILE, OWN_FILE = ".mcp.json", "chomp.toml"
CONFIG_BYTES = 256 << 10
SERVERS_MOST = 50  # of one file
START_S = 60.0  # for a server's first answers
PING_S, PINGED_S = 60.0, 3.0  # one that was left alone so long is asked whether it still answers
BYE_S = 2.0
RETRY_S, RETRY_MOST_S = 10.0, 300.0  # after a start that has failed, twice as long each time
LINKS_MOST = 500  # servers of conversations that are remembered
RESULT_CHARS = 200_000
SECRET_CHARS = 8  # a shorter value stands in too many texts to be hidden
USER_SECRET_CHARS = 20  # what the folder of a user has
NAME_CHARS = 64  # of a tool
PYTHON = os.path.realpath(sys.executable)  # that of a virtual environment may not be there in a sandbox
WITH_ENV = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin", "with-env")
PACKAGE = "the package for it is not installed: bin/up --install-only --extras mcp"
VARIABLES = "CHOMP_MCP_"  # what those begin with that a file may name: it gets no other

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]{0,99})(?::-([^}]*))?\}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
_SECRET_NAME = re.compile(
    r"key|token|secret|pass|pw|auth|cred|cookie|session|sid|priv|sign|salt|pin|otp|jwt|pat\b|dsn", re.I
)
_PART = (
    r"(?:[A-Za-z]{1,16}[0-9]{0,4}|v?[0-9]{1,9})"  # of a word or a name; no longer, and no mixture: that may be a key
)
_NAMES = rf"{_PART}(?:[._ -]{_PART})*"
_PATH = rf"(?:~|\.{{1,2}})?(?:/\.?(?:{_NAMES})?)*"
_PLAIN = re.compile(rf"{_NAMES}|{_PATH}(?::{_PATH})*|https?://{_NAMES}(?::[0-9]{{1,5}})?(?:/(?:{_NAMES})?)*")
_OPTION = re.compile(r"^--?[A-Za-z][A-Za-z-]*=")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """MCP servers, whose tools the built-in agent has."""

    servers: dict[str, dict[str, Any]] = {}  # { files = { command = "npx", args = [] }, other = { url = "" } }
    projects: bool = True  # false: a folder's .mcp.json is not read
    wait_s: float = 10.0  # so long a turn waits for a server; later than that it goes on without it
    call_s: float = 600.0  # for one call of a tool
    idle_s: float = 900.0  # a server that nobody has asked for so long is ended
    most: int = 32  # connections at once

    def __post_init__(self) -> None:
        for name, given in self.servers.items():
            read_definition(name, given, OWN_FILE)


# -- what is written of servers


class Definition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A server, as a file names it."""

    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    url: str = ""
    headers: dict[str, str] = {}
    disabled: bool = False
    tools: tuple[str, ...] = ()  # names or patterns of those that are offered; none: all
    users: bool = False  # whether conversations of users have it, too
    type: str = ""
    name: str = ""
    source: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether the owner has written it."""
        return self.source == OWN_FILE

    @property
    def key(self) -> str:
        """Another one for whatever is written differently."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()[:32]

    def offers(self, tool: str) -> bool:
        """Whether it is among those that are offered."""
        return not self.tools or any(fnmatch.fnmatchcase(tool, one) for one in self.tools)

    def shown(self) -> dict[str, Any]:
        """What a person is to see of it before a yes: all but values that may be secret."""
        if self.url:
            return {"url": shown_url(self.url), "headers": sorted(self.headers)}
        return {"command": self.command, "args": list(self.args), "env": sorted(self.env)}

    def words(self) -> str:
        """The same in a line."""
        names = f" ({', '.join(sorted(self.headers or self.env))})" if self.headers or self.env else ""
        return (shown_url(self.url) if self.url else " ".join((self.command, *self.args))[:1000]) + names


def shown_url(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urllib.parse.urlsplit(url)
    query = "&".join(f"{name}=..." for name, _ in urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


def read_definition(name: str, given: Any, source: str) -> Definition:
    """A server as it is written somewhere. Raises ValueError, with no value in it."""
    place = f"the MCP server {name[:100]!r} of {source}"
    try:
        found = msgspec.convert(given, Definition)
    except msgspec.ValidationError as error:
        raise ValueError(f"{place}: {error}") from None
    if not 0 < len(name) <= 100 or not name.isprintable() or "/" in name:
        raise ValueError(f"{place}: a name has up to 100 signs, and no /")
    if found.type == "sse":
        raise ValueError(f"{place}: the transport sse is no more; most servers have http at another address")
    if bool(found.command) == bool(found.url):
        raise ValueError(f"{place} needs a command or a url")
    if found.url and not (web_host(found.url) or "${" in found.url):
        raise ValueError(f"{place}: url must be an http or https address")
    if odd := [one for one in found.env if not _ENV_NAME.fullmatch(one)]:
        raise ValueError(f"{place}: {odd[0][:50]!r} is no name of a variable")
    if odd := [one for one in found.headers if not _HEADER_NAME.fullmatch(one)]:
        raise ValueError(f"{place}: {odd[0][:50]!r} is no name of a header")
    if any("\0" in one for one in (found.command, *found.args, *found.env.values())):
        raise ValueError(f"{place}: there is a zero byte in it")
    if any(re.search(r"[\r\n\0]", one) for one in found.headers.values()):
        raise ValueError(f"{place}: a header has one line")
    ours = source == OWN_FILE
    return msgspec.structs.replace(found, name=name, source=source, type="", users=found.users and ours)


def read_project(data: bytes) -> tuple[dict[str, Definition], list[str]]:
    """The servers that a folder's file names, and what is wrong in it."""
    try:
        listed = msgspec.json.decode(data).get("mcpServers") or {}
        rows = list(listed.items())
    except (msgspec.DecodeError, AttributeError):
        return {}, [f"{PROJECT_FILE} is no JSON object with mcpServers"]
    found, faults = {}, []
    if len(rows) > SERVERS_MOST:
        faults.append(f"{PROJECT_FILE} names {len(rows)} servers: only the first {SERVERS_MOST} count")
    for name, given in rows[:SERVERS_MOST]:
        try:
            found[name] = read_definition(name, given, PROJECT_FILE)
        except ValueError as error:
            faults.append(str(error)[:500])
    return found, faults


def expanded(found: Definition, variable: Callable[[str], str]) -> tuple[Definition, list[str]]:
    """A definition with its variables' values, and the names of those that have none."""
    missing: list[str] = []

    def value(match: re.Match[str]) -> str:
        name = match[1] if match[1].startswith(VARIABLES) else VARIABLES + match[1]
        if known := variable(name):
            return known
        if match[2] is None:
            missing.append(name)
        return match[2] or ""

    def put(text: str) -> str:
        return _VARIABLE.sub(value, text)

    made = msgspec.structs.replace(
        found,
        command=put(found.command),
        args=tuple(map(put, found.args)),
        env={name: put(text) for name, text in found.env.items()},
        url=put(found.url),
        headers={name: put(text) for name, text in found.headers.items()},
    )
    return made, list(dict.fromkeys(missing))


def is_plain(name: str, value: str) -> bool:
    """Whether a value is plainly no secret: a word, a host, a path, an address, a number.

    What is hidden is hidden everywhere, from models and people: they would find nothing any more where it is a folder
    or a word of the language.
    """
    return not _SECRET_NAME.search(name) and _PLAIN.fullmatch(value) is not None


def secrets_of(found: Definition, made: Definition) -> list[str]:
    """What is to be shown to nobody: values of variables and headers, and what was put in elsewhere."""

    def names_in(text: str) -> str:
        return " ".join(match[1] for match in _VARIABLE.finditer(text))

    values: list[str] = []
    for old, new in ((found.env, made.env), (found.headers, made.headers)):
        values += [text for name, text in new.items() if not is_plain(f"{name} {names_in(old[name])}", text)]
    values += [text.rpartition(" ")[2] for text in values if text in made.headers.values()]  # without "Bearer"
    before, after = (found.command, found.url, *found.args), (made.command, made.url, *made.args)
    for text, put in zip(before, after, strict=True):
        if put != text and not is_plain(names_in(text), _OPTION.sub("", put)):
            values += [put, _OPTION.sub("", put)]
    query = urllib.parse.urlsplit(made.url)
    values += [text for name, text in urllib.parse.parse_qsl(query.query) if not is_plain(name, text)]
    return [*dict.fromkeys(text for text in [*values, query.password or ""] if len(text) >= SECRET_CHARS)]


# -- one connection


class Failed(ValueError):
    """Why a server cannot be asked, in words."""


def is_installed() -> bool:
    return importlib.util.find_spec("mcp") is not None


async def client_module() -> Any:
    """What asks servers: its package takes a moment to be read."""
    return await asyncio.to_thread(importlib.import_module, "adapters.services.mcp_client")


class Connection:
    """A server that is being asked.

    `phase` is "starting", "connected", or "ended", where `words` say why; they are empty when chomp has ended it.
    """

    def __init__(self, host: Any, found: Definition, made: Definition, turn: Any, changed: Callable[[], None]):
        self._host, self._found, self._made, self._turn, self._changed = host, found, made, turn, changed
        self.reads_only: bool = turn.mode == "plan"
        self.phase: Literal["starting", "connected", "ended"] = "starting"
        self.words = ""
        self.began_s = self.asked_s = self._listed_s = host.clocks.steady()
        self.calls = 0  # that run
        self.listing: Any = None
        self.is_told = False  # that its tools are others now
        self.session: Any = None
        self.ready = asyncio.Event()
        self._process: Any = None
        self._ends = False
        self._over = asyncio.Event()
        self._bye: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] = host.start(f"asks {found.name}", self._live())
        self.task.add_done_callback(self._is_done)

    @property
    def is_over(self) -> bool:
        return self.phase == "ended"

    @property
    def is_stale(self) -> bool:
        """Whether its tools may be others than those that are known."""
        ttl_s = self.listing.ttl_s if self.listing is not None else 0.0
        return self.is_told or (0 < ttl_s < self._host.clocks.steady() - self._listed_s)

    def _is_done(self, task: asyncio.Task[None]) -> None:
        if self.phase != "ended":  # it was stopped before it had begun: who waits for it must hear of that
            self.phase, self._ends = "ended", True
            self.ready.set()
            self._changed()

    async def _live(self) -> None:
        loop = asyncio.get_running_loop()
        late = loop.call_later(START_S, self.stop, f"it did not answer within {START_S:g} s")
        follows: asyncio.Task[None] | None = None
        fault = ""
        try:
            client = await client_module()
            flood = client.Flood(self._host.clocks.steady)
            transport = await self._transport(client, flood)
            uri = "" if self._made.url else "file://" + urllib.parse.quote(self._turn.cwd)
            async with client.session(transport, uri, self._tell, MANIFEST["version"]) as self.session:
                await self.list_tools()
                late.cancel()
                if not self._ends:
                    self.phase = "connected"
                    self.ready.set()
                    self._changed()
                    follows = self._host.start(f"hears of {self._found.name}", self.session.follow(self._tell))
                    await self._over.wait()
        except asyncio.CancelledError:
            if not self._ends:  # chomp is shutting down
                self._ends, self.words = True, "chomp is shutting down"
                raise
        except Exception as error:  # of the sandbox, or of a server that does not keep to the protocol
            fault = self._named(error)
        finally:
            for timer in (late, self._bye):
                if timer is not None:
                    timer.cancel()
            if follows is not None:
                follows.cancel()
            await self._end_process(fault)
            self.phase, self._ends = "ended", True
            self.ready.set()
            self._changed()

    async def _transport(self, client: Any, flood: Any) -> Any:
        """The way to it. Raises what the sandbox raises."""
        if self._made.url:
            if not web_host(self._made.url):
                raise Failed("its url is no http or https address")
            return client.over_http(self._host.request, self._made.url, self._made.headers, flood, self._lost)
        argv = (PYTHON, "-I", "-S", "-X", "utf8", WITH_ENV, self._made.command, *self._made.args)
        self._process = await self._turn.start(argv)
        await self._process.write(msgspec.json.encode(self._made.env) + b"\n")
        return client.over_pipes(self._process, flood, self._lost)

    def _named(self, error: BaseException) -> str:
        """What went wrong, in words."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        words = str(error) if isinstance(error, ValueError | OSError) else ""
        return str(self._host.redact(words or getattr(error, "message", "") or type(error).__name__))[:500]

    def _tell(self) -> None:
        self.is_told = True

    def _lost(self, words: str) -> None:
        """It is over, for a reason of its own."""
        self.words = self.words or words
        self._over.set()

    async def _end_process(self, fault: str) -> None:
        """Nothing of it is left then; it is said why, where that was not chomp's wish."""
        process = self._process
        if process is not None and not self._ends and not self.words:  # it has ended by itself, or is about to
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BYE_S):
                    code = await process.wait()
                    absent = f"{self._found.command} cannot be run: install it, or put it on PATH"
                    self.words = absent if code == 127 else f"it has ended with status {code}"
        if process is not None:
            await (process.end(BYE_S) if self._ends and not self.words else process.kill())
        if not self._ends:
            self.words = self.words or fault or "it has ended"

    def stop(self, words: str = "") -> None:
        """Ends it, without waiting: with `words` when something is wrong with it."""
        if self._ends:
            return
        self._ends, self.words = True, words
        if self.phase == "starting":
            self.task.cancel()
        else:
            self._over.set()
            self._bye = asyncio.get_running_loop().call_later(BYE_S, self.task.cancel)

    async def end(self, words: str = "") -> None:
        """Ends it; nothing of it is left when this returns."""
        self.stop(words)
        await asyncio.wait([self.task])

    async def list_tools(self) -> None:
        """Asks for its tools. Raises ValueError in words."""
        self.is_told = False
        listing = await self.session.tools()
        self._listed_s = self._host.clocks.steady()
        if listing != self.listing:  # else what models were told stays the very same
            self.listing = listing

    async def call(self, name: str, arguments: Any, output: Callable[[str], None], limit_s: float) -> str:
        """What a tool answers. Raises ValueError in words."""
        self.calls += 1
        self.asked_s = self._host.clocks.steady()
        try:
            text, is_error = await self.session.call(name, arguments, output, limit_s)
        except ValueError:
            await asyncio.sleep(0)  # it may just be ending, and say why
            if self._over.is_set() and not self.words:
                await asyncio.wait([self.task], timeout=2 * BYE_S)
            if self._over.is_set() and self.words:
                raise Failed(self.words) from None
            raise
        finally:
            self.calls -= 1
            self.asked_s = self._host.clocks.steady()
        text = self._host.redact(text)
        if len(text) > RESULT_CHARS:
            text = f"{text[:RESULT_CHARS]}\n[{len(text) - RESULT_CHARS:,} characters are left out]"
        if is_error:
            raise Failed(text or "it says that this failed, and not why")
        return str(text)


# -- all of them


class Link:
    """One server of one conversation: its connection where there is one, and what is known of it else."""

    def __init__(self, conversation: str, found: Definition, cwd: str):
        self.conversation, self.found, self.cwd = conversation, found, cwd
        self.connection: Connection | None = None
        self.listing: Any = None  # its tools, as far as they can be offered: it is started again for a call
        self.words = ""  # why it could not be asked the last time
        self.pause_s = self.until_s = 0.0  # it is left alone

    @property
    def state(self) -> str:
        connection = self.connection
        if connection is not None and not connection.is_over:
            return "connecting" if connection.phase == "starting" else "connected"
        return "error" if self.words else "disconnected"


Key = tuple[str, str]  # a conversation, and the name of a server


class Links:
    """The servers of all conversations."""

    def __init__(self, host: Any):
        self._host = host
        self._links: collections.OrderedDict[Key, Link] = collections.OrderedDict()
        self.changed: Callable[[str], None] = lambda conversation: None

    def of(self, conversation: str, found: Definition, cwd: str) -> Link:
        """That of a server; a new one where it is written differently now."""
        key = conversation, found.name
        link = self._links.get(key)
        if link is None or (link.found, link.cwd) != (found, cwd):
            if link is not None:
                self._let_go(link)
            link = self._links[key] = Link(conversation, found, cwd)
        self._links.move_to_end(key)
        for old in list(self._links):
            if len(self._links) <= LINKS_MOST:
                break
            if self._links[old].connection is None:
                del self._links[old]
        return link

    def known(self, conversation: str, found: Definition) -> Link | None:
        """That of a server, when it was asked already as it is written now."""
        link = self._links.get((conversation, found.name))
        return link if link is not None and link.found == found else None

    def holds(self, link: Link) -> bool:
        """Whether it is still one of a conversation."""
        return self._links.get((link.conversation, link.found.name)) is link

    @property
    def running(self) -> list[Link]:
        return [one for one in self._links.values() if one.connection is not None and not one.connection.is_over]

    def _let_go(self, link: Link, words: str = "") -> asyncio.Task[None] | None:
        """Ends a link's connection, in the background."""
        connection, link.connection = link.connection, None
        if connection is None or connection.is_over:
            return None
        task: asyncio.Task[None] = self._host.start(f"ends {link.found.name}", connection.end(words))
        return task

    def _note(self, link: Link) -> None:
        """Takes from a connection what is to be remembered of it."""
        connection = link.connection
        if connection is None:
            return
        if connection.phase == "connected":
            link.words, link.pause_s, link.until_s = "", 0.0, 0.0
        if connection.listing is not None and connection.listing != link.listing:
            link.listing = connection.listing
        if connection.is_over:
            link.connection = None
            if not connection.words:
                return
            link.words = connection.words
            if connection.session is None or connection.listing is None:
                link.listing = None  # it could not be started
            now_s = self._host.clocks.steady()
            if link.listing is None or now_s - connection.began_s < RETRY_S:
                link.pause_s = min(link.pause_s * 2, RETRY_MOST_S) if link.pause_s else RETRY_S
                link.until_s = now_s + link.pause_s

    def begin(self, link: Link, turn: Any) -> Connection:
        """A connection of a link that has none. Raises Failed."""
        running = self.running
        if len(running) >= self._host.settings.most:
            idle = [one.connection for one in running if one.connection and one.connection.phase == "connected"]
            idle = [one for one in idle if not one.calls]
            if not idle:
                raise Failed(f"{len(running)} servers run already ([mcp] most), and all are busy")
            oldest = min(idle, key=lambda one: one.asked_s)
            self._let_go(next(one for one in running if one.connection is oldest))
        owns = turn.caller == "owner" or link.found.is_ours
        made, missing = expanded(link.found, self._host.variable if owns else lambda name: "")
        for secret in secrets_of(link.found, made):
            if owns or (len(secret) >= USER_SECRET_CHARS and secret.isprintable() and " " not in secret):
                self._host.hide(secret)  # from all: a user's folder must not take words from others
        if missing:
            self._host.log.warning("%s: %s is not set, and empty for it", link.found.name, ", ".join(missing))

        def changed() -> None:
            if link.connection is connection:
                self._note(link)
                self.changed(link.conversation)

        link.words = ""
        connection = link.connection = Connection(self._host, link.found, made, turn, changed)
        self.changed(link.conversation)
        return connection

    async def prepare(self, link: Link, turn: Any) -> None:
        """Has a link's tools known, as far as that can be in the time that a turn waits."""
        clock, wait_s = self._host.clocks.steady, self._host.settings.wait_s
        until_s = clock() + wait_s
        for _ in range(2):
            connection = link.connection
            if connection is None:
                if link.listing is not None or clock() < link.until_s:
                    return  # it is started when it is called
                try:
                    connection = self.begin(link, turn)
                except Failed as error:
                    link.words = str(error)
                    return
            try:
                async with asyncio.timeout(max(0.01, min(until_s, connection.began_s + wait_s) - clock())):
                    await connection.ready.wait()
            except TimeoutError:
                return  # it goes on without this turn
            if connection.is_over:
                return
            if connection.reads_only != (turn.mode == "plan"):
                self._let_go(link)  # what it may do to the folder was said at its start
                continue
            try:
                async with asyncio.timeout(max(0.01, until_s - clock())):
                    if connection.is_stale:
                        await connection.list_tools()
                        self._note(link)
                    elif clock() - connection.asked_s > PING_S and not connection.calls:
                        await connection.session.ping(PINGED_S)
                        connection.asked_s = clock() if not connection.is_over else connection.asked_s
            except (ValueError, TimeoutError):
                link.listing = None
                self._let_go(link, "it does not answer any more")
                continue
            return

    async def call(self, link: Link, turn: Any, name: str, arguments: Any, output: Callable[[str], None]) -> str:
        """What a tool answers, of a server that is started where it does not run. Raises ValueError in words."""
        for attempt in range(2):
            if not self.holds(link):
                raise Failed("this server is not one of the conversation any more")
            connection, now_s = link.connection, self._host.clocks.steady()
            if connection is not None and connection.reads_only != (turn.mode == "plan"):
                self._let_go(link)
                connection = None
            if connection is None:
                if now_s < link.until_s:
                    raise Failed(f"{link.words} (it is tried again in {link.until_s - now_s:.0f} s)")
                connection = self.begin(link, turn)
            connection.calls += 1
            try:
                await connection.ready.wait()
                if connection.is_over:
                    raise Failed(connection.words or "it was ended")
                return await connection.call(name, arguments, output, self._host.settings.call_s)
            except ValueError as error:
                if str(error) != "Session terminated" or attempt:  # a server's word that it has not done it
                    raise
                self._let_go(link)
            finally:
                connection.calls -= 1
        raise AssertionError  # pragma: no cover

    async def again(self, link: Link, turn: Any) -> None:
        """Connects anew, now."""
        if (ending := self._let_go(link)) is not None:
            await asyncio.wait([ending])
        link.listing, link.words, link.pause_s, link.until_s = None, "", 0.0, 0.0
        await self.prepare(link, turn)

    def keep(self, conversation: str, names: set[str]) -> None:
        """Ends those of a conversation that are not among `names`: nobody writes or allows them any more."""
        for key in [key for key in self._links if key[0] == conversation and key[1] not in names]:
            self._let_go(self._links.pop(key))

    async def leave(self, conversation: str) -> None:
        """A conversation is over: so is all that runs for it."""
        await self._leave([key for key in self._links if key[0] == conversation])

    async def forget(self, key: str, cwd: str) -> None:
        """A definition is not allowed any more: what runs by it is ended, whosesoever."""
        await self._leave([at for at, link in self._links.items() if link.found.key == key and link.cwd == cwd])

    async def _leave(self, keys: Iterable[Key]) -> None:
        ending = [task for at in keys if (task := self._let_go(self._links.pop(at))) is not None]
        if ending:
            await asyncio.wait(ending)

    async def tidy(self) -> None:
        """Ends those that nobody has asked for a while; they are started again for a call."""
        since_s = self._host.clocks.steady() - self._host.settings.idle_s
        for link in self.running:
            connection = link.connection
            if connection is None or connection.phase != "connected" or connection.calls:
                continue
            if connection.asked_s < since_s:
                self._let_go(link)
                self.changed(link.conversation)

    async def close(self) -> None:
        """Ends all."""
        await self._leave(list(self._links))


# -- what models and people are told


def tool_names(pairs: Sequence[tuple[str, str]], taken: Iterable[str]) -> list[str]:
    """A name for each tool of a server, of the signs and the length that providers take, and all different.

    One that would not be unique has a mark that depends on itself alone: what else there is changes no other name.
    """
    fitting = [_UNFIT.sub("_", f"{server}__{tool}") for server, tool in pairs]
    counts = collections.Counter([name[:NAME_CHARS] for name in fitting] + list(taken))

    def marked(server: str, tool: str, name: str) -> str:
        mark = hashlib.sha256(f"{server}\0{tool}".encode()).hexdigest()[:8]
        return f"{name[: NAME_CHARS - 9]}_{mark}"

    def is_fine(name: str) -> bool:
        return len(name) <= NAME_CHARS and counts[name] == 1

    rows = list(zip(pairs, fitting, strict=True))
    marks = {marked(*pair, name) for pair, name in rows if not is_fine(name)}  # which a server could call a tool itself
    return [name if is_fine(name) and name not in marks else marked(*pair, name) for pair, name in rows]


def access_of(found: Definition, offer: Any) -> str:
    """What a tool does here; of a server that a folder has brought, nothing is believed."""
    if not (found.is_ours and offer.read_only):
        return "write"
    return "network" if offer.open_world or found.url else "read"


class Allowed(msgspec.Struct, frozen=True):
    """A server that a conversation could have."""

    found: Definition
    answer: Literal["", "yes", "no"]  # a person's; the owner's need none

    @property
    def may(self) -> bool:
        return (self.found.is_ours or self.answer == "yes") and not self.found.disabled

    @property
    def is_open(self) -> bool:
        """Whether a person is to be asked."""
        return not (self.found.is_ours or self.found.disabled or self.answer)


class Desk:
    """Offers tools to models, and asks people."""

    def __init__(self, host: Any):
        self._host = host
        self.links = Links(host)
        self._trust = host.storage("trust")
        self._told: collections.OrderedDict[Key, str] = collections.OrderedDict()  # which definition people see
        self._asked: collections.OrderedDict[tuple[str, str], None] = collections.OrderedDict()
        self.changed: Callable[[str], None] = lambda conversation: None

    # -- which servers

    async def _meta(self, conversation: str) -> Any:
        return await self._host.service("conversations").meta(conversation)

    @staticmethod
    def _trust_key(caller: str, cwd: str, found: Definition) -> str:
        return hashlib.sha256(f"{caller}\0{cwd}\0{found.key}".encode()).hexdigest()

    async def servers(self, turn: Any) -> tuple[list[Allowed], list[str]]:
        """Those of a conversation, by name, and what is wrong in its folder's list."""
        own = {name: read_definition(name, one, OWN_FILE) for name, one in self._host.settings.servers.items()}
        data = await self._project(turn)
        if not own and data is None:
            return [], []
        meta = await self._meta(turn.conversation)
        if meta is None or meta.task:
            return [], []  # the agent of a task has what its task gives it
        found, faults = read_project(data) if data is not None else ({}, [])
        for name, one in own.items():
            if meta.caller == "owner" or one.users:
                found[name] = one
        allowed = []
        for name in sorted(found):
            one = found[name]
            answer = "" if one.is_ours else await self._trust.get(self._trust_key(turn.caller, turn.cwd, one))
            allowed.append(Allowed(one, "yes" if answer == "yes" else "no" if answer == "no" else ""))
        return allowed, faults

    async def _project(self, turn: Any) -> bytes | None:
        """The folder's own list, read in the sandbox; None where there is none."""
        if not self._host.settings.projects:
            return None
        if not await asyncio.to_thread(os.path.lexists, os.path.join(turn.cwd, PROJECT_FILE)):
            return None  # which is said without a process
        try:
            look = await turn.files.look(PROJECT_FILE, CONFIG_BYTES)
        except ValueError:
            return None
        if look.kind != "file" or look.size > CONFIG_BYTES:
            return b"" if look.kind == "file" else None
        return bytes(look.data)

    # -- tools

    async def offer(self, tools: Sequence[Any], turn: Any) -> list[Any]:
        """The tools of a turn, and behind them those of its servers, always in the same order."""
        allowed, faults = await self.servers(turn)
        for fault in faults:
            self._host.log.warning("%s: %s", turn.conversation, fault)
        self._ask(turn.conversation, allowed)
        self.links.keep(turn.conversation, {one.found.name for one in allowed if one.may})
        # in plan mode nothing of a folder's own server could be called: all that it has may change something
        wanted = [one.found for one in allowed if one.may and not (turn.mode == "plan" and not one.found.is_ours)]
        if not wanted:
            return list(tools)
        if not is_installed():
            self._host.log.warning("%s has MCP servers: %s", turn.conversation, PACKAGE)
            return list(tools)
        links = [self.links.of(turn.conversation, one, turn.cwd) for one in wanted]
        await asyncio.gather(*(self.links.prepare(link, turn) for link in links))
        offers = [
            (link, offer)
            for link in links
            for offer in (link.listing.offers if link.listing is not None else ())
            if link.found.offers(offer.name)
        ]
        names = tool_names([(link.found.name, offer.name) for link, offer in offers], [one.name for one in tools])
        made: dict[str, Any] = {}
        for name, (link, offer) in zip(names, offers, strict=True):
            made.setdefault(name, self._tool(name, link, offer))  # a provider refuses all where a name is there twice
        return [*tools, *(made[name] for name in sorted(made))]

    def _tool(self, name: str, link: Link, offer: Any) -> Any:
        found = link.found
        access = access_of(found, offer)

        async def run(ctx: Any, arguments: Any) -> str:
            if not found.is_ours:
                key = self._trust_key(ctx.turn.caller, link.cwd, found)
                if await self._trust.get(key) != "yes":
                    raise ValueError(f"the MCP server {found.name} is not allowed any more")
            try:
                return await self.links.call(link, ctx.turn, offer.name, arguments, lambda text: ctx.output(text))
            except Failed:
                raise
            except ValueError as error:
                raise ValueError(self._host.redact(str(error))) from None

        words = f"[{found.name}] {offer.description}".strip()
        return self._host.make_tool(
            run, name, words, offer.parameters, access=access, concurrency_safe=access != "write"
        )

    # -- people

    def _ask(self, conversation: str, allowed: Sequence[Allowed]) -> None:
        """Says, once for each definition, that a person is to be asked."""
        fresh = [one for one in allowed if one.is_open and (conversation, one.found.key) not in self._asked]
        if not fresh:
            return
        for one in fresh:
            self._asked[conversation, one.found.key] = None
        while len(self._asked) > LINKS_MOST * 2:
            self._asked.popitem(last=False)
        rows = [self._row(conversation, one) for one in fresh]
        self._host.publish("asks", {"conversation": conversation, "servers": rows})
        self.changed(conversation)

    def _row(self, conversation: str, one: Allowed) -> dict[str, Any]:
        found = one.found
        link = self.links.known(conversation, found)
        state = "disabled" if found.disabled else "untrusted" if not one.may else link.state if link else "disconnected"
        words = link.words if link is not None and one.may else ""
        if one.may and not is_installed():
            state, words = "error", PACKAGE
        listing = link.listing if link is not None and one.may else None
        tools = [offer.name for offer in listing.offers if found.offers(offer.name)] if listing is not None else []
        self._told[conversation, found.name] = found.key
        self._told.move_to_end((conversation, found.name))
        while len(self._told) > LINKS_MOST * 2:
            self._told.popitem(last=False)
        row: dict[str, Any] = {
            "name": found.name, "source": found.source, "state": state,
            "toolCount": len(tools),
            "definition": found.shown(), "key": found.key,
        }  # fmt: skip
        if one.answer == "no":
            row["refused"] = True
        if listing is not None:
            row["tools"] = tools
        names = _VARIABLE.findall(" ".join((found.command, *found.args, *found.env.values(), found.url,
                                            *found.headers.values())))  # fmt: skip
        if names:
            row["variables"] = sorted({name if name.startswith(VARIABLES) else VARIABLES + name for name, _ in names})
        return {**row, "error": self._host.redact(words)} if words else row

    async def show(self, conversation: Any) -> dict[str, Any]:
        """The servers of a conversation, and how they are."""
        turn = await self._host.service("conversations").turn_facts(conversation.id)
        allowed, faults = await self.servers(turn)
        rows = [self._row(conversation.id, one) for one in allowed]
        return {"conversationId": conversation.id, "cwd": turn.cwd, "servers": rows, "faults": faults}

    async def answer(self, conversation: Any, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """What a person wants with a server; how it is then. Raises an error that says what is wrong with that."""
        trust, again = fields.get("trust"), fields.get("reconnect")
        if isinstance(trust, bool) == (again is True) or set(fields) - {"trust", "reconnect", "key"}:
            raise self._host.error("say either trust: true or false, or reconnect: true")
        if conversation.task:
            raise self._host.error("only a person can say that, not the agent of a task", status=403)
        turn = await self._host.service("conversations").turn_facts(conversation.id)
        allowed, _ = await self.servers(turn)
        one = next((one for one in allowed if one.found.name == name), None)
        if one is None:
            raise self._host.error(f"there is no MCP server {name[:100]!r} here", status=404, code="not_found")
        if isinstance(trust, bool):
            await self._say(turn, one, trust, fields.get("key") or self._told.get((turn.conversation, name)))
        elif not one.may:
            raise self._host.error(f"{name} is not allowed, or disabled", status=409)
        else:
            await self.links.again(self.links.of(turn.conversation, one.found, turn.cwd), turn)
        self.changed(turn.conversation)
        allowed, _ = await self.servers(turn)
        return next((self._row(turn.conversation, one) for one in allowed if one.found.name == name), {})

    async def _say(self, turn: Any, one: Allowed, trust: bool, seen: Any) -> None:
        found = one.found
        if found.is_ours:
            raise self._host.error(f"{found.name} is the owner's: [mcp.servers] of {OWN_FILE} says what is with it")
        if trust and seen != found.key:
            words = f"{found.name} is written differently now: look at it again (GET .../mcp)"
            raise self._host.error(words, status=409, code="changed")
        await self._trust.set(self._trust_key(turn.caller, turn.cwd, found), "yes" if trust else "no")
        if not trust:
            await self.links.forget(found.key, turn.cwd)
        elif is_installed() and not found.disabled:
            link = self.links.of(turn.conversation, found, turn.cwd)
            self._host.start(f"prepares {found.name}", self.links.prepare(link, turn))

    async def spec(self, conversation: str | None) -> list[dict[str, Any]]:
        """What the surface has."""
        found = await self._meta(conversation) if conversation else None
        if found is None or found.task:
            return []
        try:
            shown = await self.show(found)
        except Exception as error:  # such as a folder that is not there any more: that is what there is to be shown
            return [{"kind": "stat", "label": "Wrong", "value": self._host.redact(str(error))[:300]}]
        fields: list[dict[str, Any]] = [{"kind": "stat", "label": "Wrong", "value": fault} for fault in shown["faults"]]
        for row in shown["servers"]:
            fields += _fields(row)
        if any(row["state"] in ("error", "disconnected", "connected") for row in shown["servers"]):
            fields.append({"kind": "button", "label": "Connect again", "action": {"actionId": "mcp/reconnect"}})
        return fields

    async def act_answer(self, payload: Any, conversation: str | None) -> None:
        """A person has chosen: yes or no, to one definition of one server."""
        chosen = payload.get("value") if isinstance(payload, dict) else payload
        said = re.fullmatch(r"(yes|no) ([0-9a-f]{32}) (.{1,100})", chosen if isinstance(chosen, str) else "")
        found = await self._meta(conversation) if conversation else None
        if found is None or said is None:
            return
        await self.answer(found, said[3], {"trust": said[1] == "yes", "key": said[2]})

    async def act_reconnect(self, payload: Any, conversation: str | None) -> None:
        """All of them that may run."""
        found = await self._meta(conversation) if conversation else None
        if found is None or found.task:
            return
        turn = await self._host.service("conversations").turn_facts(found.id)
        allowed, _ = await self.servers(turn)
        links = [self.links.of(found.id, one.found, turn.cwd) for one in allowed if one.may and is_installed()]
        await asyncio.gather(*(self.links.again(link, turn) for link in links))
        self.changed(found.id)

    # -- the command

    async def command(self, call: Any) -> AsyncIterator[str]:
        """What `chomp mcp` prints."""
        if len(call.args) > 2:
            raise self._host.error("chomp mcp [CONVERSATION [SERVER]]")
        if not call.args:
            yield self._own()
            return
        found = await self._meta(call.args[0])
        if found is None:
            raise self._host.error(f"no conversation {call.args[0][:100]}", status=404)
        if len(call.args) == 2:
            yield f"connecting to {call.args[1]} ...\n"
            row = await self.answer(found, call.args[1], {"reconnect": True})
            yield _line(row) + "".join(f"  {name}\n" for name in row.get("tools", ()))
            return
        shown = await self.show(found)
        yield "".join([f"{shown['cwd']}\n", *map(_line, shown["servers"]), *(f"{one}\n" for one in shown["faults"])])
        if not shown["servers"]:
            yield "no MCP servers\n"

    def _own(self) -> str:
        own = [read_definition(name, one, OWN_FILE) for name, one in sorted(self._host.settings.servers.items())]
        lines = [f"{one.name:20} {'disabled' if one.disabled else OWN_FILE:14} {one.words()}\n" for one in own]
        lines += [
            f"{link.found.name:20} {link.state:14} in {link.conversation}\n"
            for link in sorted(self.links.running, key=lambda link: (link.found.name, link.conversation))
        ]
        if own and not is_installed():
            lines.append(f"{PACKAGE}\n")
        none = f"no MCP servers: [mcp.servers.NAME] of {OWN_FILE} has them, or a folder's {PROJECT_FILE}\n"
        return "".join(lines) or none


def _line(row: Mapping[str, Any]) -> str:
    """A server for the command line."""
    what = row["definition"]
    words = what["url"] if "url" in what else " ".join((what["command"], *what["args"]))
    more = row.get("error") or (f"{row['toolCount']} tools" if row["state"] == "connected" else words)
    return f"{row['name']:20} {row['state']:14} {more}\n"


def _fields(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A server on the surface: how it is, and the question where there is one."""
    name, what = row["name"], row["definition"]
    state = f"connected, {row['toolCount']} tools" if row["state"] == "connected" else row["state"]
    fields: list[dict[str, Any]] = [
        {"kind": "stat", "label": name, "value": f"{state}: {row['error']}" if row.get("error") else state}
    ]
    if row["source"] == OWN_FILE or row["state"] == "disabled":
        return fields
    given = what.get("env") or what.get("headers") or []
    text = what["url"] if "url" in what else " ".join((what["command"], *what["args"]))
    fields.append({"kind": "stat", "label": f"{name} runs" if "command" in what else f"{name} is at",
                   "value": text + (f" (with {', '.join(given)})" if given else "")})  # fmt: skip
    now = "no" if row.get("refused") else "" if row["state"] == "untrusted" else "yes"
    options = [{"value": f"{word} {row['key']} {name}", "label": label}
               for word, label in (("yes", "Allow, in this folder"), ("no", "Do not allow"))]  # fmt: skip
    value = f"{now} {row['key']} {name}" if now else ""
    if not now:
        options.insert(0, {"value": "", "label": "Nothing of it runs before you say yes"})
    fields.append({"kind": "selector", "label": f"Allow {name}?", "value": value, "options": options,
                   "action": {"actionId": "mcp/answer"}})  # fmt: skip
    return fields


def activate(host: Any) -> None:
    desk = Desk(host)
    host.provide("mcp", desk)
    host.every(30.0, desk.links.tidy)
    host.event("asks")
    actions = {"mcp/answer": desk.act_answer, "mcp/reconnect": desk.act_reconnect}
    surface = host.surface("mcp", "MCP servers", desk.spec, region="side", scope="conversation", actions=actions)
    desk.changed = desk.links.changed = surface.changed

    async def show(request: web.Request) -> dict[str, Any]:
        """GET /conversations/{id}/mcp -> {conversationId, cwd, servers: [{name, state, toolCount, ...}], faults}"""
        return await desk.show(await host.conversation(request))

    async def answer(request: web.Request) -> dict[str, Any]:
        """POST /conversations/{id}/mcp/{server} {trust: bool, key?} or {reconnect: true} -> the server"""
        conversation = await host.conversation(request)
        return await desk.answer(conversation, request.match_info["server"], await host.fields(request))

    def over(event: Any) -> None:
        host.start("ends servers", desk.links.leave(event.data["conversation"]))

    host.filter("tools", desk.offer)
    host.route("GET", "/conversations/{id}/mcp", chat=True)(show)
    host.route("POST", "/conversations/{id}/mcp/{server}", chat=True)(answer)
    host.on("conversation_closed", over)
    host.on("conversation_deleted", over)
    host.command("mcp", "lists MCP servers, or connects to one", "mcp [CONVERSATION [SERVER]]")(desk.command)
    host.reports(lambda: {"connections": len(desk.links.running), "installed": is_installed()})


async def deactivate(host: Any) -> None:
    """No server outlives chomp."""
    await host.service("mcp").links.close()
