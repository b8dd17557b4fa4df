"""The tool edit_file of the built-in agent: a piece of a text file is replaced by another.

The piece is looked for as it is given; then with any line endings; then also without the blanks at the ends of lines.
What was not meant to change stays as it is in the file: its line endings, mixed ones too, its blanks, its end.
"""

from __future__ import annotations

import asyncio
import bisect
import difflib
import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

MANIFEST = {
    "id": "edit-file",
    "name": "Edit file",
    "version": "1.0.0",
    "apiVersion": "^1.1",
    "contributes": {"tools": ["edit_file"]},
    "capabilities": {"fs": True},
}
MOST_BYTES = 8 << 20  # of a file, before and after
MATCHES = 100_000
LINES = 300_000  # of a file in which a piece is looked for line by line
EFFORT = 1 << 30  # characters that are compared for that
ENDING = re.compile("(\r\n|\n|\r)")
LAST_ENDING = re.compile("(\r\n|\n|\r)[ \t]*\\Z")
ENDING_CHARS = 4000  # around a place, where its line ending is looked for
NUMBER = re.compile(r"\d+:(?: |$)")  # as read_file shows it
NEAR_S = 0.25  # for the search of what is nearest to a piece that is not there
NEAR_RATIO = 0.6
NEAR_LINES, NEAR_CHARS = 30, 200  # of the piece, and of a line, that are compared
CANDIDATES = 5
SHOWN_LINES = 20


def activate(host: Any) -> None:
    host.tool(access="write", concurrency_safe=False)(edit_file)


async def edit_file(
    ctx: Any,
    path: Annotated[str, Meta(description="A text file inside the working folder.")],
    old_string: Annotated[str, Meta(description="What is to be replaced, as it stands in the file.")],
    new_string: Annotated[str, Meta(description="What is to stand there instead.")],
    replace_all: Annotated[bool, Meta(description="Whether every place is meant, not just one.")] = False,
) -> str:
    """Replaces a piece of a text file inside the working folder. oldString must be in the file exactly once, so
    give enough lines around it, without the line numbers that read_file shows; with replaceAll every place is
    replaced. Line endings are kept as they are in the file."""
    if not old_string:
        raise ValueError("oldString is empty: say what is to be replaced; write_file makes a new file")
    if old_string == new_string:
        raise ValueError("oldString and newString are identical: nothing would change")
    before = await ctx.files.look(path, most_bytes=MOST_BYTES)
    if before.kind != "file":
        what = {"missing": "is not there: write_file makes a new file", "folder": "is a folder"}
        raise ValueError(f"{before.path} {what.get(before.kind, 'is no file')}")
    # beside the server's own work: looking through a large file takes a while
    edit = await asyncio.to_thread(edited, before, old_string, new_string, replace_all)
    await ctx.files.write(path, edit.data, before.digest)
    where = f"{edit.count:,} replacements" if edit.count > 1 else f"1 replacement, in line {edit.line:,}"
    return f"Edited {before.path}: {where}{edit.note}"


class Edit(Struct, frozen=True):
    """What becomes of a file."""

    data: bytes
    count: int
    line: int  # of the first place
    note: str = ""


Span = tuple[int, int]  # a place in a text; one that ends behind it takes its end for the end of a line


class Found(Struct, frozen=True):
    """Where a piece is in a text."""

    spans: tuple[Span, ...] = ()  # none reaches into another; without replaceAll the first alone
    count: int = 0
    note: str = ""


# -- the file


def edited(before: Any, old: str, new: str, replace_all: bool) -> Edit:
    """The file with `new` where `old` was. Raises ValueError, in words."""
    text, bom = text_of(before)
    if bom:
        old, new = old.removeprefix("\ufeff"), new.removeprefix("\ufeff")
    try:
        new.encode()
    except UnicodeEncodeError:
        raise ValueError("newString has half a character in it (a lone surrogate), which no file can have") from None
    found = places(text, old, replace_all)
    if not found.count:
        raise ValueError(miss(text, before.path, old))
    if found.count > 1 and not replace_all:
        raise ValueError(
            f"oldString is in {before.path} {found.count:,} times: give more of the lines around it, or set replaceAll"
        )
    if len(text) + len(found.spans) * (len(new) - len(old)) > MOST_BYTES:
        raise ValueError(f"{before.path} would have more than {MOST_BYTES:,} bytes")
    data = (bom + replaced(text, found.spans, old, new)).encode()
    if data == before.data:
        raise ValueError(f"nothing would change: {before.path} has that already, but for line endings or blanks")
    if len(data) > MOST_BYTES:
        raise ValueError(f"{before.path} would have more than {MOST_BYTES:,} bytes")
    return Edit(data, len(found.spans), line_of(text, found.spans[0][0]), found.note)


def text_of(look: Any) -> tuple[str, str]:
    """What stands in a file, and the byte order mark before it. Raises ValueError when that is no text."""
    if b"\0" in look.data:
        raise ValueError(f"{look.path} is no text but a binary file of {look.size:,} bytes")
    try:
        text: str = look.data.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{look.path} ({look.size:,} bytes) is no UTF-8: only such text can be edited") from None
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    return text.removeprefix(bom), bom


def line_of(text: str, at: int) -> int:
    """The number of the line that a place is in."""
    head = text[:at]
    return head.count("\n") + head.count("\r") - head.count("\r\n") + 1


def replaced(text: str, spans: Sequence[Span], old: str, new: str) -> str:
    """`new` in the places of `old`."""
    first = ENDING.search(text)
    usual = first[0] if first else "\n"
    parts, at = [], 0
    for start, end in spans:
        there = text[start:end]
        if end > len(text):
            old, new = LAST_ENDING.sub("", old), LAST_ENDING.sub("", new)
        if there != old or ("\r" not in old and "\n" in f"{old}{new}"):
            parts += [text[at:start], merged(there, old, new, ending_at(text, end, usual))]
        else:  # who writes out line endings means them
            parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])


def merged(there: str, old: str, new: str, usual: str) -> str:
    """`new` as it is to stand in the place of what is `there`, which is `old` but for blanks and line endings.

    Lines of both stay as they are there, and so do line endings; more lines end like the one before them.
    """
    parts = ENDING.split(there)
    lines, endings = parts[::2], parts[1::2]
    was, will = ENDING.split(old)[::2], re.split("\r?\n", new)
    first = common(was, will)
    last = min(common(was[::-1], will[::-1]), min(len(was), len(will)) - first)
    more = len(was) - len(will)
    if endings:
        usual = endings[min(max(first - 1, 0), len(endings) - 1)]
    made = []
    for at, line in enumerate(will):
        made.append(lines[at] if at < first else lines[at + more] if at >= len(will) - last else line)
        if at + 1 == len(will):
            break
        if at < len(endings) and (at < first or not more):
            made.append(endings[at])
        elif at + 1 >= len(will) - last and at + more >= 0:
            made.append(endings[at + more])
        else:
            made.append(usual)
    return "".join(made)


def common(one: Sequence[str], other: Sequence[str]) -> int:
    """How many of their first elements are the same."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def ending_at(text: str, at: int, usual: str) -> str:
    """How the line at a place ends; where it is the last one, or a long one, as others do."""
    if after := ENDING.search(text, at, at + ENDING_CHARS):
        return "\r\n" if text.startswith("\r\n", after.start()) else after[0]
    before = max(text.rfind(sign, max(0, at - ENDING_CHARS), at) for sign in "\n\r")
    return usual if before < 0 else "\r\n" if text[max(before - 1, 0) : before + 1] == "\r\n" else text[before]


# -- where a piece is


def places(text: str, old: str, replace_all: bool) -> Found:
    """Where it is: as it is given, else with any line endings, else also without the blanks at the ends of lines.

    Raises ValueError when that takes too long.
    """
    halves = old.startswith("\n") and f"\r{old}" in text  # a line ending of two signs is not to be taken apart
    exact = Found() if halves else occurrences(text, old, replace_all)
    # who is shown a file sees no line endings: with all of them those are meant, too, that have others
    if exact.count and not (replace_all and "\n" in old and "\r" not in old):
        return exact
    if text.count("\n") + text.count("\r") > LINES:
        return exact
    table = Table(text)
    for shape, note in ((str, "line endings"), (stripped, "line endings and the blanks before them")):
        found = table.find(old, shape, replace_all)
        if len(found.spans) > len(exact.spans):
            return Found(found.spans, found.count, f" ({note} were not compared)")
        if found.count:
            break
    return exact


def occurrences(text: str, piece: str, all_of_them: bool) -> Found:
    """Where it stands exactly so. Raises ValueError when it does too often."""
    first, size = text.find(piece), len(piece)
    if first < 0:
        return Found()
    count = text.count(piece)
    if not all_of_them:  # two places may overlap
        return Found(((first, first + size),), max(count, 1 + (text.find(piece, first + 1) >= 0)))
    if count > MATCHES:
        raise too_many()
    return Found(tuple((at, at + size) for at in starts_of(text, piece)), count)


def too_many() -> ValueError:
    return ValueError("oldString is in too many places: make it longer, or change the file with run_shell")


def starts_of(text: str, piece: str) -> Iterator[int]:
    at = text.find(piece)
    while at >= 0:
        yield at
        at = text.find(piece, at + len(piece))


def unified(text: str) -> str:
    """A text with \\n for each line ending."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def stripped(line: str) -> str:
    return line.rstrip(" \t")


class Table:
    """The lines of a text, to look for a piece in them whatever they end with. The end of the text ends a line, too."""

    def __init__(self, text: str):
        self._lines, self._starts = unified(text).split("\n"), [0]
        for line in self._lines:
            end = self._starts[-1] + len(line)
            self._starts.append(end + 1 + text.startswith("\r\n", end))
        if self._lines[-1]:
            self._lines.append("")
        else:
            self._starts.pop()

    def find(self, old: str, shape: Callable[[str], str], all_of_them: bool) -> Found:
        """Where it is when of each line, there and in it, only `shape` counts. Raises ValueError when it takes long."""
        given = unified(old).split("\n")
        piece = "\n".join(map(shape, given))
        if not piece.strip("\n") and shape is not str:
            return Found()  # blanks alone would be everywhere
        lines = [shape(line) for line in self._lines]
        text, starts = "\n".join(lines), [0, *itertools.accumulate(len(line) + 1 for line in lines)]
        spans: list[Span] = []
        count, left, begin = 0, EFFORT, text.find(piece)
        while begin >= 0:
            end, left = begin + len(piece), left - len(piece) - 1000
            if count > MATCHES or left < 0:
                raise too_many()
            first, last = (bisect.bisect_right(starts, at) - 1 for at in (begin, end))
            is_whole = end == starts[last] + len(lines[last])
            if is_whole or shape(given[-1]) == given[-1]:  # blanks that are not compared are those before an ending
                count += 1
                rest = len(self._lines[last]) if is_whole and given[-1] else end - starts[last]
                if all_of_them or not spans:
                    spans.append((self._starts[first] + begin - starts[first], self._starts[last] + rest))
                begin = text.find(piece, end if all_of_them or count > 1 else begin + 1)
            else:
                begin = text.find(piece, begin + 1)
        return Found(tuple(spans), count)


# -- what is near


def miss(text: str, path: str, old: str) -> str:
    """What is said of a piece that is not there: the lines that are nearest to it, and where they differ."""
    words, given = f"oldString is not in {path}", unified(old).split("\n")
    if len(given) > 1 and not given[-1]:
        given.pop()
    if all(NUMBER.match(line) for line in given):
        words += ": it has line numbers as read_file shows them, leave them out"
        given = [NUMBER.sub("", line, count=1) for line in given]
    lines = unified(text).split("\n", LINES)[:LINES]
    start = nearest(lines, given[:NEAR_LINES])
    if start is None:
        return f"{words}. Nothing there is like it: read the file again."
    there = lines[start : start + len(given)]
    differs = next((at for at, line in enumerate(there) if not is_in(line, at, given)), 0)
    begin = max(0, min(differs - 3, len(there) - SHOWN_LINES))
    shown = [f"{start + at + 1}: {there[at][:NEAR_CHARS]}" for at in range(begin, min(begin + SHOWN_LINES, len(there)))]
    text = "\n".join([f"{words}. Nearest to it there:", *shown])
    if is_in(there[differs], differs, given):
        return text
    number, one, other = start + differs + 1, quoted(there[differs]), quoted(given[differs])
    return f"{text}\nThe first that differs is line {number}: it is {one}, and in oldString {other}."


def is_in(line: str, at: int, given: Sequence[str]) -> bool:
    """Whether a line has what is given for it: of the first one the end, of the last one the beginning."""
    if at == len(given) - 1:
        return line.startswith(given[at]) if at else given[at] in line
    return line == given[at] if at else line.endswith(given[at])


def quoted(line: str) -> str:
    """A line with its blanks to be seen."""
    return json.dumps(line[:NEAR_CHARS], ensure_ascii=False)


def nearest(lines: Sequence[str], given: Sequence[str]) -> int | None:
    """The line from which on they are most like what is given; None when nothing is, or it is not found in time."""
    ends_at = time.monotonic() + NEAR_S
    sought = [line.strip()[:NEAR_CHARS] for line in given]
    known = {line: at for at, line in enumerate(sought) if line}
    if not known:
        return None
    longest = max(known, key=len)
    votes, ratios = Counter[int](), Counter[int]()  # for a first line: lines that are the same, the longest nearly
    matcher = difflib.SequenceMatcher(None, "", longest, autojunk=False)
    for at, line in enumerate(lines):
        short = line.strip()[:NEAR_CHARS]
        if short in known:
            votes[max(0, at - known[short])] += len(short)
        elif time.monotonic() < ends_at:
            matcher.set_seq1(short)
            if all(ratio() > NEAR_RATIO for ratio in (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio)):
                ratios[max(0, at - known[longest])] = int(matcher.ratio() * 1000)
    starts = {at for found in (votes, ratios) for at, _ in found.most_common(CANDIDATES)}
    scores = {at: alike(lines[at : at + len(sought)], sought, ends_at + NEAR_S) for at in sorted(starts)}
    best = max(scores, key=lambda at: scores[at], default=0)
    return best if scores.get(best, 0) > NEAR_RATIO else None


def alike(lines: Sequence[str], sought: Sequence[str], ends_at: float) -> float:
    """How much lines are like those that are sought, from 0 to 1: each counts as much as it is long."""
    total = 0.0
    for line, other in zip(lines, sought, strict=False):
        if time.monotonic() > ends_at:
            break
        total += difflib.SequenceMatcher(None, line.strip()[:NEAR_CHARS], other, autojunk=False).ratio() * len(other)
    return total / sum(map(len, sought))
