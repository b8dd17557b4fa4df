"""The system prompt: a template with variables and conditions, which a person may write anew."""

from __future__ import annotations

import asyncio
import datetime
import inspect
import platform
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

MANIFEST = {
    "id": "system-prompt",
    "name": "System prompt",
    "version": "1.0.0",
    "apiVersion": "^1.1",
    "contributes": {"routes": ["/system-prompt"], "services": ["system-prompt"]},
    "capabilities": {"fs": True, "shell": True},
}
TEMPLATE = """\
You are chomp, an assistant that works with the user in a folder, with the tools that you are given.
[if prompt:instructions]
[prompt:instructions]
[endif]
Your working folder is [prompt:cwd]"""
TEMPLATE_BYTES = 256 << 10
PROMPT_CHARS = 1 << 20
FILE_BYTES = 128 << 10
STATUS_BYTES = 8 << 10
VARIABLES = 100  # different ones in a template
AT_ONCE = 4
ASK_S = 5.0  # for a file, or what git says
LIMIT_S = 30.0  # for any variable: it is absent when it takes longer

# -- the template

# A tag's beginning is looked at before its end: a bracket that begins none costs no more than that.
_BEGIN = re.compile(r"\[(?:(if) {1,8}(!?) ?)?([a-z][a-z0-9_-]{0,31}):(?=[^\]\s])|\[(else|endif)\]")
_END = re.compile(r"[\]\n]")


class Piece(msgspec.Struct, frozen=True):
    """A part of a template."""

    kind: Literal["text", "insert", "if", "else", "endif"]
    raw: str  # as it stands there
    type: str = ""
    name: str = ""
    negated: bool = False  # [if !...]


def pieces_of(template: str, types: frozenset[str]) -> list[Piece]:
    """A template in pieces, which together are all of it.

    Text is also what names none of `types`, and an [if], [else] or [endif] without the others. It takes time that grows
    with the length alone.
    """
    pieces: list[Piece] = []
    opened: list[list[int]] = []  # of each [if] that waits: where it and its [else] are; nothing when it is text
    begin, stop = 0, -1
    for found in _BEGIN.finditer(template):
        if found.start() < begin:  # within a tag
            continue
        condition, negated, type, word = found.groups()
        known = type in types
        end = found.end()
        if not word:
            if stop < end:  # each sign is looked at once, however many tags wait for their end
                closing = _END.search(template, end)
                stop = closing.start() if closing else len(template)
            if template[stop : stop + 1] != "]":  # a tag stands in one line
                continue
            end = stop + 1
        elif not opened:
            continue
        elif word == "else":
            known = len(opened[-1]) == 1
        else:
            known = bool(opened.pop())
        if known and begin < found.start():
            pieces.append(Piece("text", template[begin : found.start()]))
        if condition:
            opened.append([len(pieces)] if known else [])
        elif word == "else" and known:
            opened[-1].append(len(pieces))
        if known:
            kind: Any = word or condition or "insert"
            raw, name = template[found.start() : end], "" if word else template[found.end() : stop].rstrip()
            pieces.append(Piece(kind, raw, type or "", name, bool(negated)))
            begin = end
    if begin < len(template):
        pieces.append(Piece("text", template[begin:]))
    for at in (at for one in opened for at in one):
        pieces[at] = Piece("text", pieces[at].raw)
    return pieces


def rendered(pieces: Sequence[Piece], values: Mapping[tuple[str, str], str | None], most: int = PROMPT_CHARS) -> str:
    """The text of a template, with `values` by type and name: one that is not there is empty, and does not exist."""
    made: list[str] = []
    branches: list[bool] = []  # of each [if] around: whether this branch of it is taken
    left, untaken = most, 0
    for piece in pieces:
        value = values.get((piece.type, piece.name))
        if piece.kind == "if":
            branches.append((value is not None) != piece.negated)
            untaken += not branches[-1]
        elif piece.kind == "else":
            untaken += 1 if branches[-1] else -1
            branches[-1] = not branches[-1]
        elif piece.kind == "endif":
            untaken -= not branches.pop()
        elif not untaken:
            text = piece.raw if piece.kind == "text" else value or ""
            made.append(text[:left])
            left -= len(text)
            if left < 0:
                made.append(f"\n(Cut here: a system prompt has at most {most} characters.)")
                break
    return "".join(made)


def named(pieces: Sequence[Piece]) -> list[tuple[str, str]]:
    """Type and name of each variable in a template, once."""
    return list(dict.fromkeys((piece.type, piece.name) for piece in pieces if piece.kind in ("insert", "if")))


# -- its variables


class Variable(msgspec.Struct, frozen=True):
    """What a template may name."""

    type: str
    name: str  # a form such as <path> when it is dynamic
    description: str
    resolve: Callable[..., Any]  # of a turn, and of the name when it is dynamic: its text, or None
    dynamic: bool = False

    def fields(self) -> dict[str, Any]:
        """As a client is told of it."""
        told = {"type": self.type, "name": self.name, "description": self.description}
        return {**told, "dynamic": True} if self.dynamic else told


class SystemPrompt:
    """The template, and the variables that it may name."""

    def __init__(self, host: Any):
        self._host = host
        self._kept = host.storage("system-prompt")
        self._variables: dict[tuple[str, str], Variable] = {}

    def variable(
        self, type: str, name: str, description: str, resolve: Callable[..., Any], *, dynamic: bool = False
    ) -> None:
        """Adds `[type:name]`: `resolve(turn)` is its text, or None where it does not exist; it may be awaited.

        With `dynamic` any name of that type is asked for by `resolve(turn, name)`, and `name` says how one looks.
        """
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", type) or not name or re.search(r"[\]\s]", name):
            raise ValueError(f"[{type}:{name}] could not stand in a template")
        self._variables[type, "" if dynamic else name] = Variable(type, name, description, resolve, dynamic)

    def variables(self) -> list[dict[str, Any]]:
        """What a template may name."""
        return [one.fields() for one in self._variables.values()]

    async def template(self) -> str:
        """The one in use."""
        kept = await self._kept.get("template")
        return TEMPLATE if kept is None else kept

    async def write(self, template: Any) -> str:
        """Takes over a template, for conversations that begin from now on. Raises an error that answers with 400."""
        if not isinstance(template, str):
            raise self._host.error("template: must be a text", param="template")
        try:
            size = len(template.encode())
        except UnicodeEncodeError:
            raise self._host.error("template: has half of a sign in it", param="template") from None
        if size > TEMPLATE_BYTES:
            raise self._host.error(f"template: has more than {TEMPLATE_BYTES >> 10} KiB", param="template")
        if len(named(self._pieces(template))) > VARIABLES:
            raise self._host.error(f"template: names more than {VARIABLES} variables", param="template")
        await self._kept.set("template", template)
        return template

    def _pieces(self, template: str) -> list[Piece]:
        return pieces_of(template, frozenset(type for type, _ in self._variables))

    async def made(self, turn: Any) -> str:
        """The prompt of a conversation."""
        pieces = self._pieces(await self.template())
        wanted = named(pieces)[:VARIABLES]
        limit = asyncio.Semaphore(AT_ONCE)

        async def value(type: str, name: str) -> str | None:
            async with limit:
                return await self._value(type, name, turn)

        values = await asyncio.gather(*(value(*one) for one in wanted))
        text = rendered(pieces, dict(zip(wanted, values, strict=True)))
        return text if text.strip() else ""

    async def _value(self, type: str, name: str, turn: Any) -> str | None:
        """The text of a variable; None where it does not exist, or cannot be had."""
        one = self._variables.get((type, name))
        by_name = self._variables.get((type, ""))
        try:
            async with asyncio.timeout(LIMIT_S):
                if one is not None:
                    found = one.resolve(turn)
                elif by_name is not None:
                    found = by_name.resolve(turn, name)
                else:
                    return None
                if inspect.isawaitable(found):
                    found = await found
        except Exception as error:  # of another extension: the rest of the prompt is made all the same
            self._host.log.warning("[%s:%s] could not be made: %s: %s", type, name, error.__class__.__name__, error)
            return None
        return found if isinstance(found, str) else None


def system_name() -> str:
    """What this machine runs, such as "Debian GNU/Linux 12 (bookworm)"."""
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        name = platform.system()
    return f"{name} (WSL)" if "microsoft" in platform.release().lower() else name


async def _git(turn: Any, *words: str) -> str | None:
    """What git says in the turn's folder; None when it fails."""
    argv = ["git", "--no-optional-locks", "-c", "safe.directory=*", *words]
    ran = await turn.run(argv, timeout_s=ASK_S, most_bytes=STATUS_BYTES)
    return ran.output.rstrip() if ran.code == 0 else None


async def _branch(turn: Any) -> str | None:
    return await _git(turn, "branch", "--show-current") or None


async def _file(turn: Any, path: str) -> str | None:
    """What a file of the turn's folder holds; None when that cannot be read."""
    try:
        async with asyncio.timeout(ASK_S):
            look = await turn.files.look(path, most_bytes=FILE_BYTES)
    except (OSError, ValueError):
        return None
    return look.data.decode(errors="replace") if look.kind == "file" else None


def activate(host: Any) -> None:
    prompt = SystemPrompt(host)
    host.provide("system-prompt", prompt)

    def now() -> datetime.datetime:
        return datetime.datetime.fromtimestamp(host.clocks.wall()).astimezone()

    add = prompt.variable
    add("system", "time", "When the conversation began", lambda turn: now().isoformat(timespec="seconds"))
    add("system", "date", "The day on which it began", lambda turn: now().date().isoformat())
    add("system", "os", "The system of this machine", lambda turn: system_name())
    add("system", "hostname", "The name of this machine", lambda turn: socket.gethostname())
    add("prompt", "cwd", "The working folder", lambda turn: turn.cwd)
    add("prompt", "model", "The model's name", lambda turn: turn.model)
    add("prompt", "conversation_id", "The conversation's id", lambda turn: turn.conversation)
    add("prompt", "workspace_id", "The workspace's id", lambda turn: turn.workspace)
    add("git", "branch", "The branch that is checked out", _branch)
    add("git", "status", "What git status says, in its short form", lambda turn: _git(turn, "status", "--short"))
    add("file", "<path>", "What a file of the working folder holds", _file, dynamic=True)

    async def fill(text: str, turn: Any) -> str:
        return await prompt.made(turn)  # in the place of the server's own words

    host.filter("system-prompt", fill)

    async def show_template(request: Any) -> dict[str, str]:
        """GET /system-prompt -> {template, default}: that of conversations that begin from now on; the built-in one"""
        return {"template": await prompt.template(), "default": TEMPLATE}

    async def write_template(request: Any) -> dict[str, str]:
        """PUT /system-prompt {template} -> {template}: an empty one means no system prompt"""
        return {"template": await prompt.write((await host.fields(request)).get("template"))}

    async def list_variables(request: Any) -> dict[str, Any]:
        """GET /system-prompt/variables -> {variables: [{type, name, description, dynamic?}]}: what it may name"""
        return {"variables": prompt.variables()}

    host.route("GET", "/system-prompt")(show_template)
    host.route("PUT", "/system-prompt")(write_template)
    host.route("GET", "/system-prompt/variables")(list_variables)
