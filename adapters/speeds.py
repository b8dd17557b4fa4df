"""How fast models have answered at their best, by router; hosts that serve one model are compared by it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec

MANIFEST = {
    "id": "speeds",
    "name": "Speeds",
    "version": "1.0.0",
    "apiVersion": "^1",
    "contributes": {"routes": ["/api/speeds"]},
}
TOKENS_LEAST, MS_LEAST = 32, 250.0  # of an answer: less says nothing of how fast they come, nor does one burst
KEPT_S = 30 * 86400.0
ROWS = 1000
WRITE_S = 5.0
TABLE = """
    CREATE TABLE speeds_best (
        router TEXT NOT NULL, model TEXT NOT NULL, tok_s REAL NOT NULL, tokens INTEGER NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (router, model)
    ) WITHOUT ROWID
"""


class Speed(msgspec.Struct, frozen=True):
    """The fastest answer of a router's model."""

    router: str
    model: str
    tok_s: float  # after the first token, as the upstream counted them
    tokens: int
    at: float  # Unix seconds


Key = tuple[str, str]


class Speeds:
    """The best of each, in memory; the database is a few seconds behind."""

    def __init__(self, host: Any):
        self._host = host
        self._used: dict[Key, float] = host.service("routing").speeds
        self._best: dict[Key, Speed] = {}
        self._changed: set[Key] = set()
        self._loaded = False

    def hear(self, event: Any) -> None:
        """A request has been answered: the way of every one of them, so that it only compares."""
        end = event.data
        row = end.row
        if end.tokens_per_s is None or row.estimated or row.completion_tokens < TOKENS_LEAST:
            return
        if row.duration_ms - row.ttft_ms < MS_LEAST or row.reasoning_tokens:
            return  # nobody knows which thoughts came before the first token that was seen
        speed = Speed(row.router, row.sent_model, end.tokens_per_s, row.completion_tokens, self._host.clocks.wall())
        before = self._best.get((speed.router, speed.model))
        if before is None or before.tok_s < speed.tok_s or not self._counts(before):
            self._take(speed)
            self._changed.add((speed.router, speed.model))

    def _counts(self, speed: Speed) -> bool:
        """Whether it is of the last 30 days; one of a far future is none, the clock was wrong then."""
        return bool(abs(self._host.clocks.wall() - speed.at) < KEPT_S)

    def _take(self, speed: Speed) -> None:
        key = speed.router, speed.model
        self._best[key], self._used[key] = speed, speed.tok_s

    async def load(self) -> None:
        """What is kept, beside what was heard meanwhile."""
        for fields in await self._host.read("SELECT * FROM speeds_best"):
            speed = msgspec.convert(fields, Speed)
            key = speed.router, speed.model
            heard = self._best.get(key)
            if not self._counts(speed):
                self._changed.add(key)
            elif heard is None or heard.tok_s < speed.tok_s:
                self._take(speed)
                self._changed.discard(key)
        self._loaded = True

    async def keep(self) -> None:
        """Forgets what is too old or too much, and writes what has changed."""
        if not self._loaded:
            await self.load()
        newest = sorted(self._best.items(), key=lambda item: item[1].at, reverse=True)
        for at, (key, speed) in enumerate(newest):
            if at >= ROWS or not self._counts(speed):
                del self._best[key]
                self._used.pop(key, None)
                self._changed.add(key)
        if not self._changed:
            return
        changed, rows, gone = self._changed, [], []
        for key in changed:
            best = self._best.get(key)
            if best is None:
                gone.append(key)
            else:
                rows.append(msgspec.structs.astuple(best))
        self._changed = set()

        def write(database: Any) -> None:
            database.executemany("INSERT OR REPLACE INTO speeds_best VALUES (?, ?, ?, ?, ?)", rows)
            database.executemany("DELETE FROM speeds_best WHERE router = ? AND model = ?", gone)

        try:
            await self._host.write(write)
        except BaseException:
            self._changed |= changed  # the next time
            raise

    def listed(self) -> list[Speed]:
        """The fastest first."""
        found = filter(self._counts, self._best.values())
        return sorted(found, key=lambda one: (-one.tok_s, one.router, one.model))


def activate(host: Any) -> None:
    speeds = Speeds(host)
    host.tables(TABLE)
    host.provide("speeds", speeds)
    host.on("request_complete", speeds.hear)
    host.every(WRITE_S, speeds.keep)

    async def show_speeds(request: Any) -> dict[str, Any]:
        """GET /api/speeds -> {speeds: [{router, model, tok_s, tokens, at}]}, the fastest first"""
        return {"speeds": speeds.listed()}

    host.route("GET", "/api/speeds")(show_speeds)


async def deactivate(host: Any) -> None:
    """What was heard last is written before chomp is gone."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            await host.service("speeds").keep()
