"""Instructions for agents: AGENTS.md of the owner, the repository and its folders, CLAUDE.md where there is none."""

from __future__ import annotations

import asyncio
import collections
import hashlib
import os
import re
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from adapters.written.own import OwnFolder, may_be

MANIFEST = {
    "id": "instructions",
    "name": "Instructions",
    "version": "1.0.0",
    "apiVersion": "^1.1",
    "dependsOn": ["system-prompt"],
    "capabilities": {"fs": True},
}
NAMES = ("AGENTS.md", "CLAUDE.md")  # the first that is there counts
OWN = (".agents/AGENTS.md", "AGENTS.md")  # of the owner's home folder: both
OWN_ELSE = ".claude/CLAUDE.md"  # where there is none of them
MOST_BYTES = 32 << 10  # of all together, as Codex has it
MET_BYTES = 11 << 10  # of those that a tool's result ends with: so much of its end is kept when it is too long
FILE_BYTES = 256 << 10  # a longer file is left out
DEPTH = 5  # of imports within imports
IMPORTS = 40  # in one file; more are not looked at
NESTED = 100  # files that a conversation has met in folders below
REMEMBERED = 200  # conversations in memory; of others the database knows
TOUCHING = ("read_file", "edit_file", "write_file")  # tools whose `path` says where work is done
OTHERS = ("node_modules", "site-packages")  # folders of what others wrote: nobody here asked for their instructions
BEGIN = (
    "# Instructions\n\n"
    "They stand in these files of the user and of the project. Where they differ, the file further down counts: it is "
    "nearer to the working folder."
)


class Files(Protocol):
    """A folder that is looked into."""

    async def look(self, path: str, most_bytes: int = ...) -> Any: ...


class Part(msgspec.Struct, frozen=True):
    """What one file says."""

    shown: str  # its path, as a reader knows it
    text: str

    def section(self) -> str:
        return f"## {self.shown}\n\n{self.text}"


# -- texts

_CODE = re.compile(r"`+[^`]*`+")
_IMPORT = re.compile(r"(?:(?<=[\s(])|^)@([^\s`<>\"'()\[\]]+)")
_FENCE = re.compile(r" {0,3}(```+|~~~+)")


def imports_of(text: str) -> list[str]:
    """The paths that are imported as @path, once each; what stands in code is none."""
    found: dict[str, None] = {}
    fence = ""
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif not fence and "@" in line:
            paths = (one.rstrip(".,;:!?") for one in _IMPORT.findall(_CODE.sub(" ", line)))
            found.update(dict.fromkeys(path for path in paths if path and "@" not in path))
    return list(found)[:IMPORTS]


def joined(groups: Iterable[list[Part]], most: int = MOST_BYTES) -> tuple[str, list[str]]:
    """One text of what files say, the nearest last, and what of it was left out: the farthest goes first."""
    sections: list[list[str]] = []
    cut: list[str] = []
    left = most
    for group in reversed(list(groups)):
        sections.append([])
        for part in group:
            data = part.section().encode()
            if len(data) <= left:
                sections[-1].append(part.section())
            elif left > len(part.shown.encode()) + 100:  # so much that it says something
                sections[-1].append(data[:left].decode(errors="ignore"))
                cut.append(f"the end of {part.shown}")
            else:
                cut.append(part.shown)
            left = max(0, left - len(data) - 2)
    text = "\n\n".join(section for group in reversed(sections) for section in group)
    if cut:
        text += f"\n\n(Left out, since instructions may have {most >> 10} KiB: {', '.join(cut)})"
    return text, cut


def _text(data: bytes) -> str:
    """What a text file holds; "" of one that is none."""
    return "" if b"\0" in data else data.decode("utf-8-sig", "replace").strip()


def inner_path(path: str, folder: str) -> str:
    """Where a path leads, from a folder on."""
    return os.path.relpath(os.path.join(folder, path), folder)


def folders_of(inner: str) -> list[str]:
    """The folders that such a path leads through, from the outermost on; none outside, or of what others wrote."""
    names = inner.split(os.sep)[:-1]
    if names[:1] == [".."] or any(name in OTHERS for name in names):
        return []
    return [os.sep.join(names[: end + 1]) for end in range(len(names))]


def imported(target: str, path: str, *, from_home: bool) -> str:
    """The path that an import in the file `path` means; "" for one that leads out of the folder that both are in."""
    if target.startswith("~/") and from_home:
        target, path = target[2:], ""
    inner = os.path.normpath(os.path.join(os.path.dirname(path), target))
    return "" if inner.startswith(("../", "/", "~")) or inner == ".." else inner


# -- reading them


class Reader:
    """Reads instruction files with what they import, none of them twice."""

    def __init__(self, log: Any, seen: set[str]):
        self._log = log
        self.seen = seen  # paths and texts

    async def level(self, files: Files, base: str, folder: str, shown: str, names: Iterable[str] = NAMES) -> list[Part]:
        """What a folder's own file says: the first of `names` that is there. `shown` is how `base` is called."""
        for name in names:
            path = os.path.join(folder, name)
            if not await asyncio.to_thread(may_be, base, path):
                continue
            look = await self._look(files, path)
            if look is None or look.kind != "missing":
                return await self._parts(files, base, path, shown, look, 0)
        return []

    async def _look(self, files: Files, path: str) -> Any:
        """What is there; None where that cannot be said."""
        try:
            return await files.look(path, most_bytes=FILE_BYTES)
        except (OSError, ValueError) as error:
            self._log.warning("instructions: %s", error)
            return None

    async def _parts(self, files: Files, base: str, path: str, shown: str, look: Any, depth: int) -> list[Part]:
        if look is None or look.kind != "file" or not (text := _text(look.data)):
            return []
        marks = _marks(base, look.path, text)
        if marks & self.seen:
            return []
        self.seen |= marks
        parts = [Part(os.path.join(shown, path), text)]
        if depth < DEPTH:
            for target in imports_of(text):
                inner = imported(target, path, from_home=shown == "~")
                if inner and os.path.join(base, inner) not in self.seen:
                    found = await self._look(files, inner)
                    parts += await self._parts(files, base, inner, shown, found, depth + 1)
        return parts


def _marks(base: str, path: str, text: str) -> set[str]:
    """By which a file is known again: where it is, and what it says."""
    return {os.path.normpath(os.path.join(base, path)), hashlib.sha256(text.encode()).hexdigest()}


def repository(cwd: str) -> tuple[OwnFolder, list[str]]:
    """The repository around a folder, and the folders from its root on to that one, which is left out."""
    cwd = folder = os.path.realpath(cwd)
    while not os.path.lexists(os.path.join(folder, ".git")):
        if folder == os.path.dirname(folder):
            return OwnFolder(cwd), []
        folder = os.path.dirname(folder)
    owners = {0, os.getuid(), os.stat(cwd).st_uid}  # nobody else plants instructions in a folder above
    names = [] if folder == cwd else os.path.relpath(cwd, folder).split(os.sep)
    return OwnFolder(folder, owners), [os.sep.join(names[:end]) for end in range(len(names))]


class Known:
    """What a conversation has been told."""

    def __init__(self, cwd: str = "", seen: Iterable[str] = (), nested: Iterable[str] = ()):
        self.cwd = cwd  # the folder that the rest is about
        self.seen = set(seen)  # paths and texts of what its prompt holds
        self.nested = list(nested)  # files in folders below, as a tool met them
        self.turn = ""  # in which the folders were looked into
        self.folders: set[str] = set()
        self.lock = asyncio.Lock()

    def move(self, cwd: str) -> None:
        """What was told of another folder does not count."""
        if cwd != self.cwd:
            self.cwd, self.seen, self.nested, self.folders = cwd, set(), [], set()

    def kept(self) -> str:
        """What is remembered beyond a restart."""
        return msgspec.json.encode({"cwd": self.cwd, "seen": sorted(self.seen), "nested": self.nested}).decode()


class Instructions:
    """What conversations are told of instruction files, each of them once."""

    def __init__(self, host: Any):
        self._log = host.log
        self._kept = host.storage("instructions")
        self._known: collections.OrderedDict[str, Known] = collections.OrderedDict()

    async def _of(self, turn: Any) -> Known:
        kept = None if turn.conversation in self._known else await self._kept.get(turn.conversation)
        if turn.conversation not in self._known:
            self._known[turn.conversation] = Known(**msgspec.json.decode(kept)) if kept else Known()
        self._known.move_to_end(turn.conversation)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return self._known[turn.conversation]

    async def begin(self, turn: Any) -> str | None:
        """What stands in the prompt of a conversation in a folder; None where nobody has instructions."""
        known = await self._of(turn)
        async with known.lock:
            known.move(turn.cwd)
            reader = Reader(self._log, set())
            groups = await self._owner(reader, turn) if turn.home else []
            groups.append(await reader.level(turn.files, turn.cwd, "", turn.cwd))
            known.seen |= reader.seen
            await self._kept.set(turn.conversation, known.kept())
        text, cut = joined(groups)
        if cut:
            self._log.warning("instructions for %s are too long, left out: %s", turn.cwd, ", ".join(cut))
        return f"{BEGIN}\n\n{text}" if text else None

    async def _owner(self, reader: Reader, turn: Any) -> list[list[Part]]:
        """What only the owner's conversations are told: of the home folder, and of those around the working folder."""
        home = OwnFolder(turn.home)
        groups = [await reader.level(home, home.path, "", "~", (name,)) for name in OWN]
        if not any(groups):
            groups.append(await reader.level(home, home.path, "", "~", (OWN_ELSE,)))
        around, folders = await asyncio.to_thread(repository, turn.cwd)
        return groups + [await reader.level(around, around.path, folder, around.path) for folder in folders]

    async def meet(self, result: Any, ctx: Any) -> Any:
        """A tool's result, with the instructions of folders that it is the first to work in."""
        path = ctx.arguments.get("path") if isinstance(ctx.arguments, dict) else None
        turn = ctx.turn
        if result.is_error or ctx.name not in TOUCHING or not isinstance(path, str) or not turn.conversation:
            return result
        inner = inner_path(path, turn.cwd)
        if not (folders := folders_of(inner)):
            return result
        known = await self._of(turn)
        async with known.lock:
            known.move(turn.cwd)
            if known.turn != turn.turn:  # somebody may have written one meanwhile
                known.turn, known.folders = turn.turn, set()
            before = len(known.nested)
            groups = [await self._met(known, turn, folder) for folder in folders if folder not in known.folders]
            if len(known.nested) > before:
                await self._kept.set(turn.conversation, known.kept())
        is_told = ctx.name != "edit_file" and not {"offset", "limit"} & ctx.arguments.keys()  # the file itself
        told = [[part for part in group if not (is_told and part.shown == inner)] for group in groups]
        text, _ = joined((group for group in told if group), MET_BYTES)
        if not text:
            return result
        words = "These instructions are for the files in that folder:"
        return msgspec.structs.replace(result, content=f"{result.content}\n\n{words}\n\n{text}")

    async def _met(self, known: Known, turn: Any, folder: str) -> list[Part]:
        """What the files of a folder say that the conversation does not know yet."""
        known.folders.add(folder)
        if len(known.nested) >= NESTED:
            return []
        parts = await Reader(self._log, known.seen).level(turn.files, turn.cwd, folder, "")
        known.nested += [part.shown for part in parts[:1]]
        return parts

    async def keep(self, kept: list[str], turn: Any) -> list[str]:
        """What stays after a compaction: the prompt is made anew, but the results of tools are gone."""
        known = await self._of(turn)
        if known.cwd != turn.cwd or not known.nested:
            return kept
        reader = Reader(self._log, set())
        groups = [await reader.level(turn.files, turn.cwd, os.path.dirname(path), "") for path in known.nested]
        text, _ = joined(group for group in groups if group)
        return [*kept, f"# Instructions for files in these folders\n\n{text}"] if text else kept


def activate(host: Any) -> None:
    instructions = Instructions(host)
    host.service("system-prompt").variable(
        "prompt", "instructions", "AGENTS.md of the owner, the repository and the working folder", instructions.begin
    )
    host.filter("tool-result", instructions.meet)
    host.filter("compaction", instructions.keep)
