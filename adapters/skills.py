"""Skills: folders with a SKILL.md, and single *.md files, which a model is told of and loads when it needs one."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Protocol

import msgspec

from adapters.written.own import OwnFolder, may_be

MANIFEST = {
    "id": "skills",
    "name": "Skills",
    "version": "1.0.0",
    "apiVersion": "^1.1",
    "contributes": {"tools": ["load_skill"]},
    "capabilities": {"fs": True},
}
PLACES = (".agents/skills", ".claude/skills", ".skills")  # of the working folder and the owner's home; the first counts
FLAT = ".skills"  # there single files are skills, too
FILE_BYTES = 256 << 10
LOOKS = 400  # at files and folders, for the skills of one folder
AT_ONCE = 4
LEVELS = 3  # of folders within a place
STAMPED = 2000  # files in all places of a folder
LINKED_S = 30.0  # so long is remembered what there is, where a link leads somewhere
REMEMBERED = 100  # folders
HEAD_LINES, HEAD_CHARS = 300, 16_000  # of front matter
CATALOGUE_CHARS = 16_000
NAME_CHARS, DESCRIPTION_CHARS = 64, 1024
WARNED = 1000  # skills whose fault has been logged
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)


class Files(Protocol):
    """A folder that is looked into."""

    async def look(self, path: str, most_bytes: int = ...) -> Any: ...


class Skill(msgspec.Struct, frozen=True):
    """What a model may load."""

    name: str
    description: str
    path: str  # of its text, from the folder on in which the place is
    folder: str  # its own; "" of a single file
    home: bool = False  # whether that is the owner's home folder

    @property
    def shown(self) -> str:
        return f"~/{self.path}" if self.home else self.path


# -- front matter

_KEY = re.compile(r"""((?!- )[^\s:#"']+(?: [^\s:#"']+)*|"[^"\\]*"|'[^']*')\s*:(?:\s+(.*))?""")
_BLOCK = re.compile(r"([|>])(?:[+-]?([1-9])?|([1-9])[+-])\s*(?:#.*)?")
_QUOTED = re.compile(r"""(?:"((?:[^"\\]|\\.)*)"|'((?:[^']|'')*)')\s*(?:#.*)?""", re.DOTALL)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)|\n(\n*)", re.DOTALL)
_ESCAPES = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b",
    " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029", "\n": "",
}  # fmt: skip


def front_matter(text: str) -> tuple[dict[str, str | None], str]:
    """What stands between the two lines --- at the beginning of a text, and what comes after it.

    It is the part of YAML that skills use: texts in all their forms, each by its key; a key that has something else,
    such as a list, has None. Raises ValueError for what is not that, with the number of its line.
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    end = next((at for at, line in enumerate(lines[:HEAD_LINES]) if at and line.rstrip() in ("---", "...")), 0)
    if lines[0].rstrip() != "---" or not end or sum(map(len, lines[:end])) > HEAD_CHARS:
        raise ValueError("it does not begin with front matter between two lines ---")
    fields: dict[str, str | None] = {}
    at = 1
    while at < end:
        line, first = lines[at].rstrip(), at
        at += 1
        if not line or line.startswith("#"):
            continue
        found = _KEY.fullmatch(line)
        if not found:
            raise ValueError(f"line {at} is no `key: value`")
        key, value = found[1].strip("\"'"), re.sub(r"^#.*", "", (found[2] or "").strip())
        if key in fields:
            raise ValueError(f"line {at}: {key} is there twice")
        while at < end and (not lines[at].strip() or lines[at][0] in " \t" or (not value and _is_entry(lines[at]))):
            at += 1
        try:
            fields[key] = _scalar(value, [line.rstrip() for line in lines[first + 1 : at]])
        except ValueError as error:
            raise ValueError(f"line {first + 1}: {key}: {error}") from None
    return fields, "\n".join(lines[end + 1 :])


def _is_entry(line: str) -> bool:
    return line.rstrip() == "-" or line.startswith("- ")


def _scalar(value: str, more: Sequence[str]) -> str | None:
    """The text that stands behind a key and in the lines below it. Raises ValueError."""
    below = next((line.strip() for line in more if line.strip()), "")
    if not value and below[:1] in ("|", ">", '"', "'"):
        start = next(at for at, line in enumerate(more) if line.strip())
        value, more = below, more[start + 1 :]
    if value[:1] in ("|", ">"):
        text = _block(value, more)
    elif value[:1] in ('"', "'"):
        found = _QUOTED.fullmatch("\n".join((value, *(line.strip() for line in more))).rstrip())
        if not found:
            raise ValueError("its quotes do not end, or something follows them")
        text = _ESCAPE.sub(_sign, found[1]) if found[1] is not None else _folded(found[2].replace("''", "'"))
    elif value[:1] in ("[", "{", "&", "*", "!") or (not value and (_is_entry(below) or _KEY.fullmatch(below))):
        return None
    elif value[:1] in ("%", "@", "`"):
        raise ValueError(f"it cannot begin with {value[:1]} without quotes")
    else:
        text = _folded("\n".join(re.sub(r"(^|\s)#.*", "", line.strip()) for line in (value, *more))).strip()
        if text in ("", "~", "null", "Null", "NULL"):
            return None
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise ValueError("it has half of a sign in it")
    return text.strip()


def _block(value: str, more: Sequence[str]) -> str:
    """The text of a block behind | or >. Raises ValueError."""
    header = _BLOCK.fullmatch(value)
    if not header:
        raise ValueError(f"{value!r} begins no block")
    filled = [line for line in more if line.strip()]
    indent = int(header[2] or header[3] or 0) or (len(filled[0]) - len(filled[0].lstrip(" ")) if filled else 0)
    if any(line[:indent].strip(" ") for line in filled) or (filled and not indent):
        raise ValueError("a line of its block is indented less than the first one, or with tabs")
    text = "\n".join(line[indent:] for line in more).strip("\n")
    return text if header[1] == "|" else _folded(text)


def _folded(text: str) -> str:
    """Lines as one; an empty one begins a paragraph, and what is indented stays as it is."""
    made = ""
    for line in text.split("\n"):
        if not line:
            made += "\n"
        elif not made or made.endswith("\n"):
            made += line
        else:
            made += f"\n{line}" if line[0] in " \t" else f" {line}"
    return made


def _sign(found: re.Match[str]) -> str:
    """What an escape means, or the end of a line in double quotes. Raises ValueError."""
    code = found[1]
    if code is None:
        return found[2] or " "
    if len(code) == 1 and code in _ESCAPES:
        return _ESCAPES[code]
    try:
        return chr(int(code[1:], 16))
    except (OverflowError, ValueError):
        raise ValueError(f"\\{code} is no sign") from None


# -- what is there


def skill_of(text: str, path: str, folder: str, *, home: bool) -> Skill:
    """The skill of a folder's SKILL.md. Raises ValueError that says why it is none."""
    fields, _ = front_matter(text)
    name, description = fields.get("name"), fields.get("description")
    if not name or len(name) > NAME_CHARS or not _NAME.fullmatch(name):
        raise ValueError(f"its name has to be 1 to {NAME_CHARS} small letters and digits, joined by hyphens")
    if name != os.path.basename(folder):
        raise ValueError(f"its name {name} is not that of its folder")
    if not description or len(description) > DESCRIPTION_CHARS:
        raise ValueError(f"its description has to be 1 to {DESCRIPTION_CHARS} characters")
    return Skill(name, " ".join(description.split()), path, folder, home)


def flat_skill(text: str, path: str, *, home: bool) -> Skill:
    """The skill of a single file: its first line says what it is for, if --- is the second. Raises ValueError."""
    name = os.path.basename(path).removesuffix(".md")
    if not name.isprintable() or name != name.strip() or not 0 < len(name) <= NAME_CHARS or ".." in name:
        raise ValueError("it cannot be named so")
    summary, _ = split_flat(text)
    return Skill(name, " ".join(summary.split())[:DESCRIPTION_CHARS], path, "", home)


def split_flat(text: str) -> tuple[str, str]:
    """What a single file says of itself, and what a model gets of it."""
    if text.startswith("---"):
        with contextlib.suppress(ValueError):
            fields, body = front_matter(text)
            return fields.get("description") or "", body
    first, _, rest = text.partition("\n")
    second, _, body = rest.partition("\n")
    return (first, body) if second.rstrip("\r") == "---" else ("", text)


def catalogue(skills: Iterable[Skill], most: int = CATALOGUE_CHARS) -> tuple[str, list[str]]:
    """The lines that tell a model what it may load, and the names in them; the longer they are, the less is said."""
    listed = sorted(skills, key=lambda one: one.name)
    for chars in (DESCRIPTION_CHARS, 300, 100, 0):
        lines = [f"- {one.name}: {_short(one.description, chars)}".rstrip(": ") for one in listed]
        if sum(len(line) + 1 for line in lines) <= most:
            break
    shown, left = 0, most
    while shown < len(lines) and (left := left - len(lines[shown]) - 1) >= 0:
        shown += 1
    rest = [f"({len(lines) - shown} more are left out)"] if shown < len(lines) else []
    return "\n".join(lines[:shown] + rest), [one.name for one in listed[:shown]]


def _short(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[: chars - 1]}…" if chars else ""


def stamp(folder: str, now_s: float) -> tuple[Any, ...] | None:
    """How the places of a folder look from outside: it changes with what is in them. None when that cannot be said.

    No link is followed: where there is one, what is known gets old.
    """
    seen: list[tuple[str, int, int, int]] = []
    waiting: list[tuple[str, int]] = []
    linked = False
    try:
        os.lstat(folder)
        for place in PLACES:
            path = folder
            for step in place.split("/"):
                path = os.path.join(path, step)
                try:
                    found = os.lstat(path)
                except FileNotFoundError:
                    break
                seen.append((path, found.st_ino, found.st_mtime_ns, found.st_size))
                linked = linked or stat.S_ISLNK(found.st_mode)
                if not stat.S_ISDIR(found.st_mode):
                    break
            else:
                waiting.append((path, LEVELS + 1))
        while waiting:
            path, levels = waiting.pop()
            with os.scandir(path) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    seen.append((entry.path, found.st_ino, found.st_mtime_ns, found.st_size))
                    linked = linked or stat.S_ISLNK(found.st_mode)
                    if len(seen) > STAMPED:
                        return None
                    if stat.S_ISDIR(found.st_mode) and levels:
                        waiting.append((entry.path, levels - 1))
    except OSError:
        return None
    return (*sorted(seen), now_s // LINKED_S if linked else 0)


class Scan:
    """Looks for the skills of one folder, or of the home folder."""

    def __init__(self, files: Files, warn: Callable[[str, str], None], *, home: bool):
        self._files, self._warn, self._home = files, warn, home
        self._left = LOOKS
        self._limit = asyncio.Semaphore(AT_ONCE)

    async def skills(self, places: Sequence[str] = PLACES) -> dict[str, Skill]:
        """By name; of two with one name the first counts."""
        found: dict[str, Skill] = {}
        for place in places:
            for skill in await self._folder(place, place, LEVELS):
                if found.setdefault(skill.name, skill) is not skill:
                    self._warn(skill.shown, f"{found[skill.name].shown} has its name")
        if self._left < 0:
            self._warn(self._shown(", ".join(places)), f"there is more than chomp looks at: {LOOKS} files and folders")
        return dict(sorted(found.items()))

    async def _look(self, path: str) -> Any:
        """What is there; None when enough has been looked at. Raises ValueError where that cannot be said."""
        async with self._limit:
            self._left -= 1
            return await self._files.look(path, most_bytes=FILE_BYTES) if self._left >= 0 else None

    async def _folder(self, folder: str, place: str, levels: int) -> list[Skill]:
        """The skills in a folder and those within it."""
        try:
            look = await self._look(folder)
        except (OSError, ValueError) as error:
            self._warn(self._shown(folder), str(error))
            return []
        names = [] if look is None else [name for name in look.names if not name.startswith(".")]
        found = await asyncio.gather(*(self._entry(folder, name, place, levels) for name in names))
        return [skill for skills in found for skill in skills]

    async def _entry(self, folder: str, name: str, place: str, levels: int) -> list[Skill]:
        path = f"{folder}/{name.removesuffix('/')}"
        is_flat = name.endswith(".md")
        if is_flat and place != FLAT:
            return []
        if not is_flat and not name.endswith("/") and not _NAME.fullmatch(name):  # which a link to a folder would have
            return []
        try:
            look = await self._look(path if is_flat else f"{path}/SKILL.md")
            if look is None:
                return []
            if look.kind == "file" and is_flat:
                return [flat_skill(text_of(look.data), path, home=self._home)]
            if look.kind == "file":
                return [skill_of(text_of(look.data), f"{path}/SKILL.md", path, home=self._home)]
        except (OSError, ValueError) as error:
            self._warn(self._shown(path), str(error))
            return []
        return await self._folder(path, place, levels - 1) if name.endswith("/") and levels else []

    def _shown(self, path: str) -> str:
        return f"~/{path}" if self._home else path


class Skills:
    """The skills of a turn: those of its folder, and, for the owner, those of the home folder."""

    def __init__(self, host: Any):
        self._log, self._clock = host.log, host.clocks.steady
        self._warned: set[tuple[str, str]] = set()
        self._known: collections.OrderedDict[str, tuple[Any, dict[str, Skill]]] = collections.OrderedDict()

    async def all(self, turn: Any) -> dict[str, Skill]:
        """By name; one of the working folder comes before one of the home folder."""
        own = await Scan(OwnFolder(turn.home), self._warn, home=True).skills() if turn.home else {}
        return own | await self._here(turn)

    async def _here(self, turn: Any) -> dict[str, Skill]:
        """Those of the working folder: it is looked at in the sandbox again when something has changed there."""
        now = await asyncio.to_thread(stamp, turn.cwd, self._clock())
        known = self._known.get(turn.cwd)
        if now is not None and known is not None and known[0] == now:
            self._known.move_to_end(turn.cwd)
            return known[1]
        places = [place for place in PLACES if await asyncio.to_thread(may_be, turn.cwd, place)]
        found = await Scan(turn.files, self._warn, home=False).skills(places)
        self._known[turn.cwd] = now, found
        self._known.move_to_end(turn.cwd)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    def _warn(self, path: str, words: str) -> None:
        """Says in the log, once, why a skill is not offered."""
        if (path, words) not in self._warned:
            self._warned = self._warned if len(self._warned) < WARNED else set()
            self._warned.add((path, words))
            self._log.warning("the skill %s is not offered: %s", path, words)

    async def load(self, turn: Any, name: str, file: str = "") -> str:
        """What a skill says, or one of its files. Raises ValueError in words for the model."""
        if not name or "/" in name or "\\" in name or ".." in name:
            raise ValueError(f"{name!r} is no name of a skill")
        skills = await self.all(turn)
        if (skill := skills.get(name)) is None:
            raise ValueError(f"there is no skill {name}. There are: {', '.join(sorted(skills)) or 'none'}")
        files: Files = OwnFolder(turn.home) if skill.home else turn.files
        if file:
            return await self._file(files, skill, file)
        text = text_of((await files.look(skill.path, most_bytes=FILE_BYTES)).data)
        if not skill.folder:
            return split_flat(text)[1].strip() or "(This skill is empty.)"
        names = [one for one in (await files.look(skill.folder)).names if one != "SKILL.md" and not one.startswith(".")]
        words = f"The skill {name} stands in {os.path.dirname(skill.shown)}."
        if names:
            words += f" Beside it: {', '.join(names[:50])}. load_skill with `file` shows one."
        return f"{words}\n\n{front_matter(text)[1].strip()}"

    async def _file(self, files: Files, skill: Skill, file: str) -> str:
        """A file of a skill's folder, or the names in a folder of it."""
        if not skill.folder:
            raise ValueError(f"the skill {skill.name} is a single file: there is nothing beside it")
        path = _joined(skill.folder, file)
        look = await files.look(path, most_bytes=FILE_BYTES)
        if look.kind not in ("file", "folder"):
            raise ValueError(f"the skill {skill.name} has no file {file}")
        if not _is_in(look.path, (await files.look(skill.folder)).path):
            raise ValueError(f"{file} leads out of the skill's folder")
        return text_of(look.data) if look.kind == "file" else "\n".join(look.names)


def _joined(folder: str, file: str) -> str:
    """The path of a file in a folder. Raises ValueError for one that leads out of it."""
    path = os.path.normpath(f"{folder}/{file}")
    if file.startswith("/") or not _is_in(path, folder):
        raise ValueError(f"{file} is outside of the skill's folder")
    return path


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def text_of(data: bytes) -> str:
    """What a text file holds. Raises ValueError for one that is none."""
    if b"\0" in data:
        raise ValueError("it is no text")
    return data.decode("utf-8-sig", "replace")


def offered(tool: Any, skills: Mapping[str, Skill]) -> Any:
    """`load_skill` as a turn has it, with what there is to load."""
    if not skills:
        return msgspec.structs.replace(tool, description=f"{tool.description}\n\nThere are no skills here.")
    lines, names = catalogue(skills.values())
    properties = tool.parameters["properties"]
    parameters = {**tool.parameters, "properties": {**properties, "name": {**properties["name"], "enum": names}}}
    description = f"{tool.description}\n\nThe skills here:\n{lines}"
    return msgspec.structs.replace(tool, description=description, parameters=parameters)


def activate(host: Any) -> None:
    skills = Skills(host)

    async def load_skill(
        ctx: Any,
        name: Annotated[str, msgspec.Meta(description="The skill's name")],
        file: Annotated[str, msgspec.Meta(description="A file in the skill's folder; without it SKILL.md")] = "",
    ) -> str:
        """Load a skill: instructions for a kind of work, written by people who know it.

        Load the skill that fits what is to be done before you begin, then follow it.
        """
        return await skills.load(ctx.turn, name, file)

    host.tool(access="read", concurrency_safe=True)(load_skill)

    async def offer(tools: list[Any], turn: Any) -> list[Any]:
        """Tells of the skills that this turn may load."""
        if not any(tool.name == "load_skill" for tool in tools):
            return tools
        there = await skills.all(turn)
        return [offered(tool, there) if tool.name == "load_skill" else tool for tool in tools]

    host.filter("tools", offer)
