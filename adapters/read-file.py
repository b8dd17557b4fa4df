"""The tool read_file of the built-in agent: lines of a text file, or the names in a folder."""

from __future__ import annotations

import asyncio
import difflib
import itertools
import posixpath
import re
from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta

MANIFEST = {
    "id": "read-file",
    "name": "Read file",
    "version": "1.0.0",
    "apiVersion": "^1.1",
    "contributes": {"tools": ["read_file"]},
    "capabilities": {"fs": True},
}
LINES = 5000  # at once
LINE_CHARS = 2000  # of one of them
MOST_CHARS = 49_800  # of the answer: with a last line that says how it goes on it is what a tool may say
NEAR = 3  # names that are offered for one that is not there


def activate(host: Any) -> None:
    host.tool(access="read", concurrency_safe=True)(read_file)


async def read_file(
    ctx: Any,
    path: Annotated[str, Meta(description="A file or folder inside the working folder.")],
    offset: Annotated[int, Meta(ge=1, description="The first line to show, counted from 1.")] = 1,
    limit: Annotated[int, Meta(ge=1, description="How many lines to show, at most 5000.")] = 500,
) -> str:
    """Shows lines of a text file inside the working folder, each as `<number>: <text>`; the numbers are not part of
    the file. Of a folder it shows the names in it, sorted, with / after folders. When there is more, the last line
    says with which offset to go on. Lines above 2000 characters are cut."""
    look = await ctx.files.look(path)
    limit = min(limit, LINES)
    if look.kind == "folder":
        return folder(look, offset, limit)
    if look.kind != "file":
        raise ValueError(await missing(ctx.files, look, path))
    return lines(text_of(look), look.path, offset, limit)


def text_of(look: Any) -> str:
    """What stands in a file. Raises ValueError when that is no text."""
    if look.data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{look.path} is UTF-16 ({look.size:,} bytes), not UTF-8: iconv can convert it")
    if b"\0" in look.data:
        raise ValueError(f"{look.path} is no text but a binary file of {look.size:,} bytes")
    try:
        text: str = look.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = look.data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{look.path} ({look.size:,} bytes) is no UTF-8: line {at} has other bytes; iconv can convert it"
        ) from None
    return text


def lines(text: str, path: str, offset: int, limit: int) -> str:
    """Numbered lines of a text. Raises ValueError when there are not so many."""
    found = re.split("\r\n|\n|\r", text)
    if not found[-1]:
        found.pop()
    if not found and offset == 1:
        return "(the file is empty)"
    if offset > len(found):
        raise ValueError(f"{path} has {len(found):,} lines: there is none with the number {offset:,}")
    numbered = (f"{at}: {cut(line)}" for at, line in enumerate(found[offset - 1 : offset - 1 + limit], offset))
    return page(list(numbered), offset, len(found), "lines")


def cut(line: str) -> str:
    """A line, or its beginning and how long it is."""
    if len(line) <= LINE_CHARS:
        return line
    return f"{line[:LINE_CHARS]}… (cut: this line has {len(line):,} characters)"


def folder(look: Any, offset: int, limit: int) -> str:
    """The names in a folder. Raises ValueError when there are not so many."""
    if not look.size:
        return "(the folder is empty)"
    if offset > len(look.names):
        more = f", of which the first {len(look.names):,} can be shown" if len(look.names) < look.size else ""
        raise ValueError(f"{look.path} has {look.size:,} names{more}: there is none with the number {offset:,}")
    return page(look.names[offset - 1 : offset - 1 + limit], offset, look.size, "names", len(look.names))


def page(shown: Sequence[str], offset: int, count: int, what: str, most: int = 0) -> str:
    """As many of them as an answer can have, and how it goes on: of `count` the first `most` can be asked for."""
    sizes = itertools.accumulate(len(line) + 1 for line in shown)
    end = sum(size <= MOST_CHARS for size in sizes)
    text, last = "\n".join(shown[:end]), offset - 1 + end
    if last == count:
        return text
    on = f"go on with offset {last + 1}" if last < (most or count) else "the others are left out"
    return f"{text}\n({what} {offset:,} to {last:,} of {count:,}; {on})"


async def missing(files: Any, look: Any, path: str) -> str:
    """Why nothing can be read there, in words; for what may be a slip, the names that are like it."""
    if look.kind == "other":
        return f"{look.path} is neither a file nor a folder"
    try:
        beside = await files.look(posixpath.dirname(path.rstrip("/")) or ".")
    except ValueError:
        return f"{look.path} is not there"
    name = posixpath.basename(path.rstrip("/")).casefold()
    known = {one.rstrip("/").casefold(): one for one in beside.names}
    near = await asyncio.to_thread(difflib.get_close_matches, name, known, NEAR)
    return f"{look.path} is not there{'; there is ' if near else ''}{', '.join(known[one] for one in near)}"
