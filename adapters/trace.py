"""The story of every turn: its steps, what models and tools did in them, and how long all of it took.

What happens is heard, never waited for. Rows are made in memory, and written in the background: what cannot be kept is
counted and left out, and disturbs no turn.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import itertools
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

MANIFEST = {
    "id": "trace",
    "name": "Traces",
    "version": "1.0.0",
    "apiVersion": "^1.1",
    "contributes": {"settings": ["trace"], "commands": ["trace"]},
}
USAGE = "trace [--bodies] [TURN | REQUEST]"
FLUSH_S = 0.2  # what happens in so short a time is written in one go
RETRY_S = 5.0  # after a disk that was full
TIDY_S = 60.0
BATCH = 500  # rows of one transaction
WAITING_MOST = 10_000  # rows, and lines of the journal; more are left out
WAITING_CHARS = 64 << 20  # of their bodies
STORIES_MOST = 1000  # turns at once
WARNING_S = 60.0  # the same is not said again within that
BODY_BYTES = 1 << 20  # of one body; what is longer is cut
PACKED_FROM = 1024
ROW_BYTES = 150  # beside its texts, about
TEXT_CHARS = 200  # of an attribute
LISTED = 20
JOURNAL_BYTES = 50_000_000  # then a new file is begun, and the old one is NAME.1
SYNC_S = 5.0
TABLES = """
CREATE TABLE trace_rows (
  id TEXT PRIMARY KEY, story TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL, level TEXT NOT NULL,
  at REAL NOT NULL, number INTEGER NOT NULL, duration_ms REAL, failed INTEGER NOT NULL, attributes TEXT NOT NULL,
  body TEXT, body_bytes INTEGER NOT NULL, size INTEGER NOT NULL
);
CREATE INDEX trace_rows_story ON trace_rows (story);
CREATE INDEX trace_rows_at ON trace_rows (at, size);
CREATE INDEX trace_rows_body ON trace_rows (body) WHERE body IS NOT NULL;
CREATE INDEX trace_turns ON trace_rows (at) WHERE name = 'turn';
CREATE TABLE trace_bodies (sha256 TEXT PRIMARY KEY, packed INTEGER NOT NULL, data BLOB NOT NULL);
"""
_KEEP = "INSERT OR REPLACE INTO trace_rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_STEP = re.compile(r"(.+)#(\d{1,9})(?:\.\d{1,9}){0,2}")  # the id of a step's request: the turn's, and which step it is


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Traces."""

    bodies: bool = False  # true: prompts, answers, and what tools were given and gave back are kept as well
    keep_s: float = 7 * 86400.0  # how long
    keep_bytes: int = 256 << 20  # how much; the oldest goes first
    journal: str = ""  # a file, named from /, that gets all of it as lines of JSON; "" = none

    def __post_init__(self) -> None:
        if self.journal and not (os.path.isabs(self.journal) and self.journal.isprintable()):
            raise ValueError("journal: must be a path that begins with /")


class Row(msgspec.Struct):
    """Something that lasted, or a line of log where it has a `level`."""

    id: str
    story: str  # the turn, or the request, that it belongs to
    parent: str  # the row that it is a part of
    name: str
    at: float  # Unix seconds
    number: int  # of rows that began in one moment, the lowest comes first
    since_s: float = 0.0  # on the steady clock
    level: str = ""
    duration_ms: float | None = None  # None = it is not over
    failed: bool = False
    attributes: dict[str, Any] = {}
    said: str = ""  # its body, before it is written
    body: str | None = None  # the SHA-256 of a body that is written
    body_bytes: int = 0


def row_id(*parts: object) -> str:
    """The id of a row: the same for the same thing, so that nothing is kept twice."""
    return hashlib.blake2b("\0".join(map(str, parts)).encode("utf-8", "replace"), digest_size=8).hexdigest()


def attribute(value: Any) -> Any:
    """A number as it is, anything else as a short text that JSON can have."""
    if isinstance(value, bool | int | float):
        return value
    return clean(str(value)[:TEXT_CHARS])


def clean(text: str) -> str:
    """`text` without halves of signs, which no JSON can have."""
    return text.encode("utf-8", "replace").decode()


# -- hearing


class Step(msgspec.Struct):
    """A step that runs."""

    row: Row
    calls: dict[str, Row] = {}  # of tools, by id, while they run
    complete: bool = False  # its model has answered
    said: list[str] = []
    said_chars: int = 0


class Story:
    """A turn that runs. `keep` takes every row that begins or ends."""

    def __init__(self, recorder: Recorder, turn: str, conversation: str):
        self._recorder, self._turn = recorder, turn
        self.row = recorder.row(turn, "", "turn", row_id(turn), conversation=conversation)
        self.steps: dict[int, Step] = {}
        self._last: Step | None = None  # the step that was heard of last
        self._at, self._since_s = self.row.at, self.row.since_s  # when the next step begins
        self._known = False  # whether its row was kept

    @property
    def waits(self) -> bool:
        """Whether anything that is heard now is of a step that is not known yet."""
        return self._last is None or self._last.complete

    def hear(self, event: Mapping[str, Any]) -> None:
        """Something has happened in it."""
        if (act := _HEARD.get(event["type"])) is not None:
            act(self, event)

    def _step(self, event: Mapping[str, Any]) -> Step:
        """The step that an event is of: the one it names, or the last that is not complete, or the next."""
        if found := _STEP.fullmatch(event.get("stepId") or ""):
            return self.step(int(found[2]))
        if self._last is not None and not self._last.complete:
            return self._last
        return self.step(max(self.steps, default=-1) + 1)

    def step(self, number: int) -> Step:
        """A step; one that is not known yet began when the one before had ended."""
        if number not in self.steps:
            id = row_id(self._turn, number)
            row = self._recorder.row(self._turn, self.row.id, "step", id, number=number)
            row.at, row.since_s = self._at, self._since_s
            self._last = self.steps[number] = Step(row)
            self._recorder.keep(row)
        return self.steps[number]

    def _settle(self, step: Step) -> None:
        """Ends a step, if all of it is over."""
        if step.complete and not step.calls and step.row.duration_ms is None:
            self._recorder.end(step.row)
            self._at, self._since_s = self._recorder.now()

    def _log(self, level: str, words: str, parent: Row, body: str = "") -> None:
        row = self._recorder.row(self._turn, parent.id, words, "")
        row.id, row.level, row.duration_ms = row_id(parent.id, row.at, row.number), level, 0.0
        self._recorder.keep(row, body)

    # -- what is heard

    def _begins(self, event: Mapping[str, Any]) -> None:
        if not self._known:
            self._known = True
            self._recorder.keep(self.row, event.get("text", ""))

    def _says(self, event: Mapping[str, Any]) -> None:
        step = self._step(event)
        if self._recorder.bodies and step.said_chars < BODY_BYTES:
            step.said.append(event["delta"])
            step.said_chars += len(event["delta"])

    def _calls(self, event: Mapping[str, Any]) -> None:
        id, tool = event["toolCallId"], event["toolName"]
        step = self._step(event)
        row = self._recorder.row(self._turn, step.row.id, "tool-call", row_id(step.row.id, "call", id), tool=tool)
        step.calls[id] = row
        self._recorder.keep(row, self._recorder.json(event.get("input")))

    def _result(self, event: Mapping[str, Any]) -> None:
        step = next((one for one in self.steps.values() if event["toolCallId"] in one.calls), None)
        if step is None:
            return
        row = step.calls.pop(event["toolCallId"])
        row.attributes["contentLength"] = len(event["content"])
        row.failed = bool(event.get("isError"))
        self._recorder.end(row, event.get("durationMs"), event["content"])
        self._settle(step)

    def _usage(self, event: Mapping[str, Any]) -> None:
        step = self._last if self._last is not None and not event.get("stepId") else self._step(event)
        step.row.attributes.update(numbers_of(event["usage"]))

    def _complete(self, event: Mapping[str, Any]) -> None:
        step = self._step(event)
        step.row.attributes.update({name: event[name] for name in _PARTS if isinstance(event.get(name), int | float)})
        step.complete = True
        if step.said:
            self._recorder.add_body(step.row, "".join(step.said))
            step.said.clear()
        self._settle(step)

    def _retries(self, event: Mapping[str, Any]) -> None:
        words = f"retry {event['attempt'] + 1} in {duration_words(event['delayMs'])}: {event['message']}"
        self._log("warn", self._recorder.words(words), self._step(event).row)

    def _steers(self, event: Mapping[str, Any]) -> None:
        self._log("info", "steering", self.row, event["text"])

    def _fails(self, event: Mapping[str, Any]) -> None:
        row = self.row if self.waits or self._last is None else self._last.row
        row.failed = self.row.failed = True
        self._log("error", self._recorder.words(event["message"]), row)

    def _done(self, event: Mapping[str, Any]) -> None:
        self.row.attributes["reason"] = attribute(event["reason"])
        self.row.attributes.update({**numbers_of(event.get("usage")), **numbers_of(event)})
        for step in self.steps.values():
            for row in step.calls.values():
                row.attributes["orphaned"] = row.failed = True
                self._recorder.end(row)
            step.calls.clear()
            step.complete = True
            self._settle(step)

    def _sealed(self, event: Mapping[str, Any]) -> None:
        self._recorder.end(self.row)

    def break_off(self, reason: str) -> None:
        """It is over, and was not stored as a whole."""
        self._done({"reason": self.row.attributes.get("reason") or reason})
        self.row.failed = True
        self._recorder.end(self.row)

    def repaired(self, facts: Mapping[str, Any]) -> None:
        """Its history was not as models take it."""
        counts = {name: value for name, value in facts.items() if isinstance(value, int) and value}
        row = self._recorder.row(self._turn, self.row.id, "reconcile.repair", row_id(self._turn, "repair"), **counts)
        self._recorder.end(row)

    def asked(self, step: int, request: str, body: bytes) -> None:
        """What a model is told, as it is before it is fitted to a router."""
        row = self._recorder.row(self._turn, self.step(step).row.id, "prompt", row_id(request, "prompt"))
        self._recorder.end(row, 0.0, body[:BODY_BYTES].decode("utf-8", "replace"))

    def request(self, fields: Mapping[str, Any], step: int) -> None:
        """A model was asked."""
        for row in self._recorder.rows_of(fields, self._turn, self.step(step).row.id):
            self._recorder.keep(row)


_HEARD: dict[str, Callable[[Story, Mapping[str, Any]], None]] = {
    "user-message": Story._begins,
    "turn-start": Story._begins,
    "text-delta": Story._says,
    "reasoning-delta": Story._says,
    "tool-call": Story._calls,
    "tool-result": Story._result,
    "usage": Story._usage,
    "step-complete": Story._complete,
    "provider-retry": Story._retries,
    "steering": Story._steers,
    "error": Story._fails,
    "done": Story._done,
    "turn-sealed": Story._sealed,
}
_PARTS = {"ttftMs": "ttft", "decodeMs": "decode"}  # of a step, shown as rows of their own
_DELTAS = frozenset(("text-delta", "reasoning-delta", "tool-output"))
_numbers = itertools.count()


def numbers_of(usage: Any) -> dict[str, Any]:
    """The numbers of an event or of its tokens, by name."""
    found = msgspec.to_builtins(usage or {})
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


class Recorder:
    """Makes rows of what it hears, which takes no time, and hands them on."""

    def __init__(self, host: Any, writer: Writer):
        self._host, self._writer = host, writer
        self._stories: dict[str, Story] = {}

    @property
    def bodies(self) -> bool:
        return bool(self._host.settings.bodies)

    def now(self) -> tuple[float, float]:
        return self._host.clocks.wall(), self._host.clocks.steady()

    def hear(self, event: Mapping[str, Any]) -> None:
        """Something has happened in a conversation."""
        try:
            if (story := self._story(event)) is not None:
                story.hear(event)
                if event["type"] == "turn-sealed":
                    del self._stories[event["turnId"]]
        except Exception as error:  # a view: the turn it looks at goes on
            self._writer.lose(1, f"{event.get('type')}: {type(error).__name__}: {error}")

    def _story(self, event: Mapping[str, Any]) -> Story | None:
        """The turn that an event is of, where it has something to tell."""
        kind, turn = event["type"], event.get("turnId")
        story = self._stories.get(turn or "")
        if kind in _DELTAS:
            return story if story is not None and (story.waits or self.bodies) and kind != "tool-output" else None
        if story is None and turn and kind in ("user-message", "turn-start"):
            story = self._stories[turn] = Story(self, turn, event.get("conversationId") or "")
            if len(self._stories) > STORIES_MOST:
                del self._stories[next(iter(self._stories))]
        return story

    def hear_started(self, event: Any) -> None:
        """A turn has begun."""
        if (story := self._stories.get(event.data["turn"])) is not None:
            names = ("model", "caller")
            story.row.attributes.update({name: attribute(event.data[name]) for name in names if event.data.get(name)})

    def hear_repair(self, event: Any) -> None:
        """A history had to be mended before a model could be told of it."""
        if (story := self._stories.get(event.data["turn"])) is not None:
            story.repaired(event.data)

    def hear_body(self, request: str, body: bytes) -> None:
        """A model is asked something."""
        found = _STEP.fullmatch(request) if self.bodies else None
        if found and (story := self._stories.get(found[1])) is not None:
            story.asked(int(found[2]), request, body)

    def hear_settled(self, event: Any) -> None:
        """A turn is over, however it ended."""
        if (story := self._stories.pop(event.data["turn"], None)) is not None:
            story.break_off(attribute(event.data.get("reason") or "error"))

    def hear_request(self, event: Any) -> None:
        """A request is over. The ledger has it; here it counts when it is a turn's, or when attempts have failed."""
        end = event.data
        id = end.row.request_id
        found = _STEP.fullmatch(id) if "#" in id else None
        story = self._stories.get(found[1]) if found else None
        if story is not None and found:
            story.request(self._host.fields_of(event), int(found[2]))
        elif end.records:
            for row in self.rows_of(self._host.fields_of(event), id, ""):
                self.keep(row)

    # -- rows

    def row(self, story: str, parent: str, name: str, id: str, **attributes: Any) -> Row:
        at, since_s = self.now()
        kept = {key: attribute(value) for key, value in attributes.items() if value not in ("", None)}
        return Row(id, story, parent, name, at, next(_numbers), since_s, attributes=kept)

    def rows_of(self, fields: Mapping[str, Any], story: str, parent: str) -> Iterator[Row]:
        """The rows of a request and of its attempts that have failed."""
        id = row_id("request", fields["request_id"], fields["at"])
        failed = bool(fields["error_type"]) or fields["status"] >= 400
        row = self.row(story, parent, "provider.request", id, router=fields["router"], model=fields["sent_model"],
                       status=fields["status"], error=self.words(fields.get("error") or fields["error_type"]),
                       stream=bool(fields["stream"]), caller=fields["caller"], ttftMs=fields["ttft_ms"],
                       inputTokens=fields["prompt_tokens"], outputTokens=fields["completion_tokens"],
                       request=fields["request_id"])  # fmt: skip
        row.at, row.duration_ms, row.failed = fields["at"], fields["duration_ms"], failed
        yield row
        for number, attempt in enumerate(fields.get("attempts_failed") or ()):
            one = self.row(story, id, "attempt", row_id(id, number), router=attempt.router, status=attempt.status,
                           error=self.words(attempt.error), model=attempt.model)  # fmt: skip
            one.at, one.duration_ms, one.failed = fields["at"], float(attempt.ms), True
            yield one

    def keep(self, row: Row, body: str = "") -> None:
        """Has a row written, as it is when that is done."""
        self.add_body(row, body)
        self._writer.add(row)

    def end(self, row: Row, duration_ms: float | None = None, body: str = "") -> None:
        """A row is over."""
        if row.duration_ms is None:
            elapsed_ms = max(0.0, self._host.clocks.steady() - row.since_s) * 1000
            row.duration_ms = float(duration_ms if isinstance(duration_ms, int | float) else elapsed_ms)
        self.keep(row, body)

    def add_body(self, row: Row, body: str) -> None:
        """Adds to what was said, if that is wanted."""
        if body and self.bodies:
            row.said = f"{row.said}\n{body}"[:BODY_BYTES] if row.said else body[:BODY_BYTES]

    def json(self, value: Any) -> str:
        """`value` in JSON, where bodies are kept."""
        if not self.bodies:
            return ""
        try:
            return msgspec.json.encode(value).decode()
        except (TypeError, ValueError, RecursionError):
            return str(value)

    def words(self, text: object) -> str:
        """A sentence of somebody else's: one line, short and without secrets."""
        return str(attribute(" ".join(self._host.redact(str(text or "")).split())))


# -- writing


class Writer:
    """Writes rows in the background, together those of a moment. None is waited for."""

    def __init__(self, host: Any):
        self._host = host
        self._rows: dict[str, Row] = {}  # that are not written as they are now
        self._chars = 0  # of their bodies, about
        self._some = asyncio.Event()
        self._turn = asyncio.Lock()
        self._warned_s: dict[str, float] = {}
        self.journal = Journal()
        self.written = self.dropped = 0
        self.fault = ""

    def add(self, row: Row) -> None:
        """Has it written soon."""
        if row.id not in self._rows and len(self._rows) >= WAITING_MOST:
            self.lose(1, "too much waits to be written")
            return
        if self._chars + len(row.said) > WAITING_CHARS:
            row.said = ""
            self.lose(0, "bodies are left out, too much waits to be written")
        self._chars += len(row.said)
        self._rows[row.id] = row
        if self._host.settings.journal:
            self.journal.add(row, self._host.clocks.wall())
        self._some.set()

    def lose(self, count: int, why: str) -> None:
        """Something is not kept."""
        self.dropped += count
        self.fault = self._host.redact(why)[:300]
        self._warn("rows", f"{self.dropped} rows of traces were not kept so far, the last: {self.fault}")

    def _warn(self, kind: str, words: str) -> None:
        now = self._host.clocks.steady()
        if now - self._warned_s.get(kind, -WARNING_S) >= WARNING_S:
            self._warned_s[kind] = now
            self._host.log.warning("%s", words)

    async def run(self) -> None:
        """Writes for ever, whatever happens."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._some.wait(), SYNC_S if self.journal.unsynced else None)
            await asyncio.sleep(FLUSH_S)
            try:
                is_written = await self.flush()
            except Exception as error:  # a bug: what comes next is written all the same
                self.lose(0, f"{type(error).__name__}: {error}")
                is_written = False
            if not is_written:
                await asyncio.sleep(RETRY_S)

    async def flush(self) -> bool:
        """Writes what waits, a batch at a time; False when that is to be tried again later."""
        async with self._turn:
            self._some.clear()
            await self._write_journal()
            while self._rows:
                batch = [self._rows.pop(id) for id in list(itertools.islice(self._rows, BATCH))]
                self._chars = sum(len(row.said) for row in self._rows.values())
                now = [msgspec.structs.replace(row, attributes=dict(row.attributes)) for row in batch]
                try:
                    kept = await asyncio.to_thread(lambda rows: [kept_of(row) for row in rows], now)
                    await self._host.write(functools.partial(keep_rows, kept))
                except Exception as error:  # of the database, or of something in a row that it cannot take
                    if self._put_back(batch, error):
                        return False
                except BaseException:  # nobody waits any more: they are written next time
                    for row in batch:
                        self._rows.setdefault(row.id, row)
                    self._some.set()
                    raise
                else:
                    self.written += len(batch)
                    self.fault = ""
        return True

    def _put_back(self, batch: Sequence[Row], error: Exception) -> bool:
        """Whether rows that were not written wait for a better time: a disk was full, or another program wrote."""
        self.fault = self._host.redact(f"{type(error).__name__}: {error}")[:300]
        passing = getattr(error, "passing", False)
        for row in batch[: max(0, WAITING_MOST - len(self._rows))] if passing else ():
            self._rows.setdefault(row.id, row)
        if lost := sum(row.id not in self._rows for row in batch):
            self.lose(lost, self.fault)
        if passing:
            self._some.set()
            self._warn("waits", f"rows of traces wait to be written: {self.fault}")
        return bool(passing)

    async def _write_journal(self) -> None:
        path = self._host.settings.journal
        if not path or not (self.journal.lines or self.journal.unsynced):
            return
        try:
            await asyncio.to_thread(self.journal.write, path, self._host.clocks.steady())
        except OSError as error:
            self.journal.fault = f"{path}: {error.strerror or error}"
            words = f"{self.journal.dropped} lines of the journal were not kept so far: {self.journal.fault}"
            self._warn("journal", words)

    async def tidy(self) -> None:
        """Removes what is too old, and the oldest of what is too much."""
        limits, now = self._host.settings, self._host.clocks.wall()
        while await self._host.write(functools.partial(remove_before, now - limits.keep_s)):
            pass
        await self._host.write(remove_orphans)
        while await self._size() > limits.keep_bytes:
            if not await self._host.write(remove_oldest):
                break

    async def _size(self) -> int:
        (rows,) = await self._host.read("SELECT coalesce(sum(size), 0) AS size FROM trace_rows")
        (bodies,) = await self._host.read("SELECT coalesce(sum(length(data)), 0) AS size FROM trace_bodies")
        return int(rows["size"] + bodies["size"])


class Kept(msgspec.Struct, frozen=True):
    """A row as the database has it, with its body."""

    values: tuple[Any, ...]
    sha256: str | None
    packed: bool
    body: bytes


def kept_of(row: Row) -> Kept:
    """A row as it is now."""
    attributes, name = msgspec.json.encode(row.attributes).decode(), row.name
    body = row.said.encode("utf-8", "replace")[:BODY_BYTES]
    sha256 = hashlib.sha256(body).hexdigest() if body else None
    size = ROW_BYTES + len(name) + len(row.story) + len(attributes)
    values = (row.id, row.story, row.parent, name, row.level, row.at, row.number, row.duration_ms, int(row.failed),
              attributes, sha256, len(body), size)  # fmt: skip
    packed = len(body) > PACKED_FROM
    return Kept(values, sha256, packed, zlib.compress(body) if packed else body)


def keep_rows(rows: Sequence[Kept], database: Any) -> None:
    """Writes rows, and each body once."""
    bodies = [(row.sha256, row.packed, row.body) for row in rows if row.sha256 is not None]
    database.executemany("INSERT OR IGNORE INTO trace_bodies VALUES (?, ?, ?)", bodies)
    database.executemany(_KEEP, [row.values for row in rows])


def remove_before(at: float, database: Any) -> int:
    sql = "DELETE FROM trace_rows WHERE id IN (SELECT id FROM trace_rows WHERE at < ? ORDER BY at LIMIT 2000)"
    return int(database.execute(sql, (at,)).rowcount)


def remove_oldest(database: Any) -> int:
    """Removes a twentieth of all rows, and bodies that nobody needs any more."""
    (count,) = database.execute("SELECT count(*) FROM trace_rows").fetchone()
    sql = "DELETE FROM trace_rows WHERE id IN (SELECT id FROM trace_rows ORDER BY at LIMIT ?)"
    removed = database.execute(sql, (count // 20 + 1,)).rowcount
    remove_orphans(database)
    return int(removed)


def remove_orphans(database: Any) -> None:
    sql = "DELETE FROM trace_bodies WHERE sha256 NOT IN (SELECT body FROM trace_rows WHERE body IS NOT NULL)"
    database.execute(sql)


class Journal:
    """A file to which lines are added. One that cannot be written costs its lines, and nothing else."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self._bytes = 0  # of them
        self.unsynced = False
        self.dropped = 0
        self.fault = ""
        self._synced_s = -SYNC_S

    def add(self, row: Row, at: float) -> None:
        """A line of what a row is now."""
        kind = "log" if row.level else "span-open" if row.duration_ms is None else "span-close"
        record: dict[str, Any] = {
            "kind": kind, "timestamp": int(at * 1000), "extensionId": "trace", "turnId": row.story,
            "spanId": row.id, "parentSpanId": row.parent or None,
            **({"level": row.level, "msg": row.name} if row.level else {"name": row.name}),
            "attributes": row.attributes, "body": clean(row.said) or None,
        }  # fmt: skip
        if kind == "span-close":
            record |= {"durationMs": row.duration_ms, "status": "error" if row.failed else "ok"}
        line = msgspec.json.encode({name: value for name, value in record.items() if value not in (None, {})}) + b"\n"
        if len(self.lines) >= WAITING_MOST or self._bytes + len(line) > WAITING_CHARS:
            self.dropped += 1
        else:
            self.lines.append(line)
            self._bytes += len(line)

    def write(self, path: str, now_s: float) -> None:
        """Adds the lines that wait to the file, or loses them; in a thread. Raises OSError."""
        lines, self.lines, self._bytes = self.lines, [], 0
        data = b"".join(lines)
        try:
            file = _opened(path)
            try:
                if data and (size := os.fstat(file).st_size) and size + len(data) > JOURNAL_BYTES:
                    os.fsync(file)
                    os.replace(path, f"{path}.1")
                    os.close(file)
                    file = _opened(path)
                _append(file, data)
                self.unsynced |= bool(data)
                if self.unsynced and now_s - self._synced_s >= SYNC_S:
                    self._synced_s = now_s
                    os.fsync(file)
                    self.unsynced = False
            finally:
                os.close(file)
            self.fault = ""
        except OSError:
            self.dropped += len(lines)
            self.unsynced = False
            raise


def _opened(path: str) -> int:
    """The end of a file of ours. Raises OSError for a link, a pipe, and whatever else is none."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    file = os.open(path, flags, 0o600)
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    raise OSError("this is no file")


def _append(file: int, data: bytes) -> None:
    size = os.fstat(file).st_size
    if data and size and os.pread(file, 1, size - 1) != b"\n":
        data = b"\n" + data  # a full disk has cut the last line
    while data:
        data = data[os.write(file, data) :]


# -- telling


def duration_words(ms: float) -> str:
    """A duration: 12ms, 1.8s, 2m5s."""
    if round(ms) < 1000:
        return f"{round(ms)}ms"
    if round(ms / 1000, 1) < 60:
        return f"{ms / 1000:.1f}s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    return f"{minutes}m{seconds}s"


def count_words(count: int) -> str:
    """A number of characters: 870, 1.2k."""
    return str(count) if count < 1000 else f"{count / 1000:.1f}k"


def plain(text: str) -> str:
    """`text` without signs that steer a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def line_of(row: Row) -> str:
    """A row in a line."""
    hint = f" [body {count_words(row.body_bytes)}]" if row.body_bytes else ""
    if row.level:
        return plain(f"- {'' if row.level == 'info' else f'[{row.level}] '}{row.name}{hint}")
    time = " (open)" if row.duration_ms is None else f" {duration_words(row.duration_ms)}"
    names = _SHOWN.get((row.name, row.failed)) or _SHOWN.get((row.name, False)) or tuple(row.attributes)[:3]
    shown = ", ".join(f"{name}: {_word(row.attributes[name])}" for name in names if name in row.attributes)
    return plain(f"- {row.name}{time}{' ERR' if row.failed else ''}{f' {{{shown}}}' if shown else ''}{hint}")


_SHOWN = {  # attributes of what has failed, or has not
    ("turn", False): ("model", "reason", "outputTokens"),
    ("step", False): ("inputTokens", "outputTokens"),
    ("provider.request", False): ("router", "model", "status"),
    ("provider.request", True): ("router", "status", "error"),
    ("attempt", True): ("router", "status", "error"),
    ("tool-call", False): ("tool", "contentLength", "orphaned"),
}


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def outline(rows: Iterable[Row], top: str = "", bodies: Mapping[str, str] | None = None) -> list[str]:
    """Rows as indented lines, each below the one that it is a part of; `top` is the one to begin with."""
    known = {row.id: row for row in rows}
    below: dict[str, list[Row]] = {}
    for row in sorted(known.values(), key=lambda row: (row.at, row.number)):
        below.setdefault(row.parent if row.parent in known else "", []).append(row)
    lines: list[str] = []
    left = [(row, 0) for row in reversed([known[top]] if top else below.get("", []))]
    while left:
        row, depth = left.pop()
        lines.append("  " * depth + line_of(row))
        text = (bodies or {}).get(row.body or "", "")
        lines += ["  " * depth + "  | " + plain(line) for line in text.splitlines()]
        parts = _with_parts(row, below.get(row.id, []))
        left += [(one, depth + 1) for one in reversed(parts)]
    return lines


def _with_parts(row: Row, rows: Sequence[Row]) -> list[Row]:
    """What is below a row: of a step also how long its model took, before its tools."""
    parts = [
        Row(f"{row.id}/{part}", row.story, row.id, part, row.at, 0, duration_ms=row.attributes[name])
        for name, part in _PARTS.items()
        if row.name == "step" and name in row.attributes
    ]
    tools = next((at for at, one in enumerate(rows) if one.name == "tool-call"), len(rows))
    return [*rows[:tools], *parts, *rows[tools:]]


def read_row(found: Mapping[str, Any]) -> Row:
    """A row of the database."""
    return Row(
        found["id"], found["story"], found["parent"], found["name"], found["at"], found["number"], 0.0, found["level"],
        found["duration_ms"], bool(found["failed"]), msgspec.json.decode(found["attributes"]), "", found["body"],
        found["body_bytes"],
    )  # fmt: skip


class Teller:
    """Finds stories, and tells them."""

    def __init__(self, host: Any, recorder: Recorder, writer: Writer):
        self._host, self._recorder, self._writer = host, recorder, writer

    async def run(self, call: Any) -> str:
        """What `chomp trace` prints. Raises an error for an id that is not known, and for words that mean nothing."""
        words = [word for word in call.args if word != "--bodies"]
        if len(words) > 1 or any(word.startswith("-") or not word for word in words):
            raise self._host.error(f"usage: chomp {USAGE}", code="usage")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await self._writer.flush()
        lines = await (self._told(words[0], "--bodies" in call.args) if words else self._listed())
        return "\n".join(lines) + "\n"

    async def _listed(self) -> list[str]:
        sql = "SELECT * FROM trace_rows WHERE name = 'turn' AND level = '' ORDER BY at DESC LIMIT ?"
        rows = [read_row(found) for found in await self._host.read(sql, (LISTED,))]
        now = self._host.clocks.wall()
        lines = [f"{plain(row.story)}  {_ago(now - row.at)}  {line_of(row)[2:]}" for row in rows]
        return lines or ["no turn is known yet"]

    async def _told(self, id: str, bodies: bool) -> list[str]:
        rows, top = await self._turn(id)
        if not any(row.name == "turn" for row in rows):
            rows = list({row.id: row for row in (*await self._requests(id), *rows)}.values())
        if not rows:
            raise self._host.error(f"no turn or request {plain(id)[:100]} is known", status=404, code="not_found")
        return outline(rows, top, await self._bodies(rows) if bodies else None)

    async def _turn(self, id: str) -> tuple[list[Row], str]:
        """The rows of a turn, and where to begin for a step or the request of one."""
        rows, found = await self._rows(id), _STEP.fullmatch(id)
        if rows or not found:
            return rows, ""
        rows = await self._rows(found[1])
        step = row_id(found[1], int(found[2])) if id == f"{found[1]}#{found[2]}" else ""
        tops = [row.id for row in rows if row.id == step or row.attributes.get("request") == id]
        return (rows, tops[0]) if tops else ([], "")

    async def _rows(self, story: str) -> list[Row]:
        found = await self._host.read("SELECT * FROM trace_rows WHERE story = ?", (story,))
        return [read_row(row) for row in found]

    async def _requests(self, id: str) -> list[Row]:
        """The rows of plain requests: as the ledger has them, and as they are remembered."""
        since = self._host.clocks.wall() - self._host.settings.keep_s
        sql = "SELECT * FROM requests WHERE at >= ? AND request_id = ? ORDER BY at DESC LIMIT ?"
        known = [dict(row) for row in await self._host.read(sql, (since, id, LISTED))]
        traces = self._host.service("requests").traces
        known += [trace.end.flat() for trace in tuple(traces) if trace.end.row.request_id == id]
        rows = [row for fields in known for row in self._recorder.rows_of(fields, id, "")]
        return list({row.id: row for row in rows}.values())

    async def _bodies(self, rows: Iterable[Row]) -> dict[str, str]:
        found = {}
        for sha256 in {row.body for row in rows if row.body}:
            for kept in await self._host.read("SELECT packed, data FROM trace_bodies WHERE sha256 = ?", (sha256,)):
                data = zlib.decompress(kept["data"]) if kept["packed"] else kept["data"]
                found[sha256] = data.decode("utf-8", "replace")
        return found


def _ago(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit} ago"
    return "just now"


def activate(host: Any) -> None:
    writer = Writer(host)
    recorder = Recorder(host, writer)
    host.tables(TABLES)
    host.provide("traces", writer)
    host.service("conversations").listen(recorder.hear)
    host.service("conversations").listen_to_requests(recorder.hear_body)
    host.on("turn_started", recorder.hear_started)
    host.on("conversation_repaired", recorder.hear_repair)
    host.on("turn_settled", recorder.hear_settled)
    for kind in ("request_complete", "request_error"):
        host.on(kind, recorder.hear_request)
    host.every(TIDY_S, writer.tidy)
    host.start("what is to be written", writer.run())
    host.command("trace", "shows what happened in a turn or with a request", usage=USAGE)(
        Teller(host, recorder, writer).run
    )
    host.reports(
        lambda: {
            "written": writer.written,
            "dropped": writer.dropped,
            "fault": writer.fault or None,
            "journal_dropped": writer.journal.dropped,
            "journal_fault": writer.journal.fault or None,
        }
    )


async def deactivate(host: Any) -> None:
    """What is known is written before chomp is gone."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            await host.service("traces").flush()
