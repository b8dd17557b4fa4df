"""Folders of the owner, read by chomp itself: as ToolFiles, but without the sandbox.

An agent may have put a link, a pipe or a device in any of them. So only regular files are opened, nothing waits for
them, and what is open lies in the folder even if it was moved meanwhile.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Collection
from typing import Literal

import msgspec

NAMES = 1000  # of a folder; more are left out
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC


class Look(msgspec.Struct, frozen=True):
    """What is at a path."""

    kind: Literal["file", "folder", "missing", "other"]
    path: str  # from the folder on, links resolved
    data: bytes = b""
    names: tuple[str, ...] = ()  # of a folder, those of folders with a slash, those of links without


class OwnFolder:
    """A folder, and what is in it; with `owners` only what belongs to one of these users."""

    def __init__(self, path: str, owners: Collection[int] | None = None):
        self.path = os.path.realpath(path)
        self._owners = owners

    async def look(self, path: str, most_bytes: int = 8 << 20) -> Look:
        """What is there. Raises ValueError in words: outside of the folder, too large, cannot be read."""
        return await asyncio.to_thread(self._look, path, most_bytes)

    def _look(self, path: str, most_bytes: int) -> Look:
        try:
            full = os.path.realpath(os.path.join(self.path, path))
            shown = os.path.relpath(full, self.path)
            if not _within(full, self.path):
                raise ValueError(f"{path} is outside of {self.path}")
            kind = os.lstat(full).st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # even to open a device may do something
                return Look("other", shown)
            opened = os.open(full, _FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            return Look("missing", path)
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from None
        try:
            return self._read(opened, full, shown, most_bytes)
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from None
        finally:
            os.close(opened)

    def _read(self, opened: int, full: str, shown: str, most_bytes: int) -> Look:
        found = os.fstat(opened)
        if os.path.realpath(full) != full or not os.path.samestat(os.lstat(full), found):
            raise ValueError(f"{shown} was moved while it was read")
        if self._owners is not None and found.st_uid not in self._owners:
            raise ValueError(f"{shown} belongs to another user")
        if stat.S_ISDIR(found.st_mode):
            return Look("folder", shown, names=_names(opened))
        if not stat.S_ISREG(found.st_mode):
            return Look("other", shown)
        data = bytearray()
        while len(data) <= most_bytes and (piece := os.read(opened, most_bytes + 1 - len(data))):
            data += piece
        if len(data) > most_bytes:
            raise ValueError(f"{shown} has more than {most_bytes} bytes")
        return Look("file", shown, bytes(data))


def may_be(folder: str, path: str) -> bool:
    """Whether something may be at a path in a folder. Nobody needs to look in a sandbox for what is not there."""
    return not os.path.isdir(folder) or os.path.lexists(os.path.join(folder, path))


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _names(opened: int) -> tuple[str, ...]:
    names: list[str] = []
    with os.scandir(opened) as entries:
        for entry in entries:
            if len(names) == NAMES:
                break
            names.append(f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name)
    return tuple(sorted(names))
