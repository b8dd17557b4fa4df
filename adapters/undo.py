"""Reverts what a turn of the built-in agent has done to files, whatever has done it: bin/undo keeps what was before."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import hashlib
import importlib.util
import json
import os
import py_compile
import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

MANIFEST = {
    "id": "undo",
    "name": "Undo",
    "version": "1.0.0",
    "apiVersion": "^1.3",
    "contributes": {"commands": ["undo"]},
    "capabilities": {"fs": True},
}
PYTHON = os.path.realpath(sys.executable)  # that of no virtual environment
PROGRAM = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin", "undo")
BESIDE = "undo"
BEFORE_S, AFTER_S, REVERT_S, FORGET_S = 60, 120, 300, 300
GRACE_S = 15.0  # for the sandbox, and git
ANSWER_BYTES = 1 << 20
TIDY_S = 6 * 3600.0
LISTED = 200  # turns
WORDS_CHARS, NAMED = 80, 20
LOST = "chomp ended while this turn ran: what the folder held after it is not known"
MIXED = "what was changed while this turn waited for an answer cannot be told from its own changes"
REVERT, USAGE = "undo/revert", "undo CONVERSATION [TURN|last]"
TABLE = """
CREATE TABLE undo_turns (
  conversation TEXT NOT NULL, turn TEXT NOT NULL,
  root TEXT NOT NULL,  -- the turn that it works for, or itself
  folder TEXT NOT NULL, key TEXT NOT NULL, words TEXT NOT NULL, began_at REAL NOT NULL, ended_at REAL,
  phase TEXT NOT NULL,  -- running waiting kept reverted failed
  before TEXT, after TEXT, reason TEXT NOT NULL DEFAULT '', told TEXT,
  PRIMARY KEY (conversation, turn)
) WITHOUT ROWID;
CREATE INDEX undo_folders ON undo_turns (folder, began_at);
"""
WAITS = "ALTER TABLE undo_turns ADD COLUMN waits TEXT NOT NULL DEFAULT '[]';"  # JSON: before and after each one


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What turns of the built-in agent have done to files can be reverted."""

    on: bool = True  # whether what a folder holds is kept before a turn changes something
    file_bytes: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 50_000_000  # larger files are not kept
    days: Annotated[float, Meta(gt=0, le=3650)] = 30  # after which a turn cannot be reverted any more


class Failed(Exception):
    """In words for a person."""


@functools.cache
def program() -> tuple[str, ...]:
    """bin/undo, compiled where that can be kept: it runs before the first change of each turn."""
    path = PROGRAM
    with contextlib.suppress(OSError, py_compile.PyCompileError):
        path = str(py_compile.compile(PROGRAM, cfile=importlib.util.cache_from_source(PROGRAM), doraise=True))
    return PYTHON, "-I", "-S", "-X", "utf8", path


class Change(msgspec.Struct, frozen=True):
    """What became of a file."""

    path: str
    change: str


class Skip(msgspec.Struct, frozen=True):
    """A file that was not kept, and why."""

    path: str
    reason: str


class Told(msgspec.Struct, frozen=True):
    """What a turn has done."""

    files: tuple[Change, ...] = ()
    more: int = 0
    skipped: tuple[Skip, ...] = ()
    skipped_more: int = 0


class Wait(msgspec.Struct, frozen=True, array_like=True):
    """The snapshots around a wait for a person; one is None until it is taken."""

    begin: str | None = None
    end: str | None = None


class Row(msgspec.Struct, frozen=True):
    """One turn that has changed something, or could have."""

    conversation: str
    turn: str
    root: str
    folder: str
    key: str
    words: str
    began_at: float
    ended_at: float | None
    phase: str
    before: str | None
    after: str | None
    reason: str
    told: str | None
    waits: str = "[]"

    @property
    def waited(self) -> list[Wait]:
        """What was changed meanwhile is somebody else's."""
        return msgspec.json.decode(self.waits, type=list[Wait])

    @property
    def waits_now(self) -> bool:
        """Whether the last wait is not over."""
        return bool(waited := self.waited) and waited[-1].end is None

    def shown(self, live: bool) -> dict[str, Any]:
        """As clients get it; `live`: the turn runs."""
        told = msgspec.json.decode(self.told, type=Told) if self.told else Told()
        reason = self.reason
        state = {"kept": "open", "reverted": "reverted", "failed": "lost"}.get(self.phase, "pending")
        if self.phase == "running" and not live:
            state, reason = "lost", LOST
        found = {"turnId": self.turn, "at": int(self.began_at * 1000), "state": state, **msgspec.to_builtins(told)}
        found["skippedMore"] = found.pop("skipped_more")
        return {**found, "reason": reason} if reason else found


def key_of(conversation: str, turn: str) -> str:
    """By which the store knows a turn's snapshots."""
    return hashlib.sha256(f"{conversation}\0{turn}".encode()).hexdigest()[:32]


def told_of(answer: Mapping[str, Any]) -> Told:
    """What bin/undo says of two snapshots."""
    return Told(
        tuple(Change(path, change) for change, path in answer["changes"]),
        answer["more"],
        tuple(Skip(path, why) for path, why in answer["skipped"]),
        answer["skipped_more"],
    )


def named(paths: Iterable[str], more: int = 0) -> str:
    """Some paths in a sentence."""
    names = list(paths)
    more += max(0, len(names) - NAMED)
    names = [json.dumps(one, ensure_ascii=False) if " " in one or "," in one else one for one in names[:NAMED]]
    if more:
        return f"{', '.join(names)} and {more} more"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def words_of(error: BaseException) -> str:
    """What went wrong, for a person."""
    return str(getattr(error, "message", "") or error or type(error).__name__)


class Work:
    """What a turn and the agents that work for it do in one folder."""

    def __init__(self) -> None:
        self.calls: set[Any] = set()  # which run, and may change something
        self.asked = False  # a person is about to be asked, and no conversation says yet that it waits
        self.waits = False  # the folder is kept as it was when a wait began, or is about to be


class Undo:
    """What turns have done to files."""

    def __init__(self, host: Any):
        self._host = host
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._facts: dict[tuple[str, str], Any] = {}  # of turns whose beginning is kept, or could not be
        self._works: dict[tuple[str, str], Work] = {}  # by the turn at the top, and the folder
        self._faults: dict[str, str] = {}  # of these turns, why it is not known what is their own
        self._ending: dict[str, set[asyncio.Task[Any]]] = {}  # by folder: turns that are over and not yet looked at
        self._looked_at: set[tuple[str, str]] = set()  # these turns
        self._touched: set[str] = set()  # folders whose store may have more than is needed
        self._notes: dict[str, list[str]] = {}  # for models, when their turn is over
        self.changed: Any = None

    @property
    def _chats(self) -> Any:
        return self._host.service("conversations")

    def _lock(self, *names: str) -> asyncio.Lock:
        name = "\0".join(names)
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock

    async def _rows(self, where: str, *values: Any) -> list[Row]:
        found = await self._host.read(f"SELECT * FROM undo_turns WHERE {where}", values)  # noqa: S608 - our own words
        return [msgspec.convert(one, Row) for one in found]

    async def _set(self, conversation: str, turn: str, **values: Any) -> None:
        fields = ", ".join(f"{name} = ?" for name in values)
        sql = f"UPDATE undo_turns SET {fields} WHERE conversation = ? AND turn = ?"  # noqa: S608 - names of columns
        await self._host.write(lambda database: database.execute(sql, (*values.values(), conversation, turn)))
        self._tell(conversation)

    def _tell(self, conversation: str) -> None:
        self.changed.changed(conversation)
        self._host.publish("changed", {"conversation": conversation})

    async def _run(self, facts: Any, seconds: float, *, changes: bool = False, **request: Any) -> dict[str, Any]:
        """What bin/undo answers in the folder of a turn. Raises Failed."""
        try:
            found = os.stat(facts.cwd)
            stdin = msgspec.json.encode({**request, "seconds": seconds, "mounted": [found.st_dev, found.st_ino]})
            ran = await facts.run(program(), timeout_s=seconds + GRACE_S, most_bytes=ANSWER_BYTES, stdin=stdin,
                                  beside=BESIDE, changes=changes)  # fmt: skip
        except Exception as error:  # of the sandbox, in words: the folder is gone, there is no sandbox
            raise Failed(words_of(error)) from None
        if ran.code is None:
            raise Failed("it takes too long")
        try:
            answer: dict[str, Any] = msgspec.json.decode(ran.output.strip().rpartition("\n")[2])
        except msgspec.DecodeError:
            raise Failed(ran.output.strip()[-300:] or f"it ended with {ran.code}") from None
        if "error" in answer:
            raise Failed(str(answer["error"]))
        return answer

    # -- before and after

    async def before(self, tool: Any, ctx: Any) -> Any:
        """Keeps what is there before the first call of a turn that could change something; the call waits for it."""
        turn = ctx.turn
        changes = tool.access in ("write", "shell") and turn.turn and turn.conversation
        if not (changes and self._host.settings.on):
            return tool
        await self._go_on(ctx)
        if (turn.conversation, turn.turn) not in self._facts:
            async with self._lock(turn.conversation, turn.turn):
                if (turn.conversation, turn.turn) not in self._facts:
                    try:
                        await self._begin(turn)
                    except Exception as error:  # of the database: the turn goes on, and cannot be reverted
                        self._host.log.warning("a turn in %s cannot be reverted: %s", turn.cwd, words_of(error))
                    self._facts[turn.conversation, turn.turn] = turn
        return tool

    async def _begin(self, turn: Any) -> None:
        meta = await self._chats.meta(turn.conversation)
        if meta is None or meta.task:
            return
        while ending := self._ending.get(turn.cwd):
            await asyncio.wait(ending)
        async with self._lock(turn.cwd):
            new = [one for one in await self._lineage(turn) if not await self._rows(
                "conversation = ? AND turn = ?", one.conversation, one.turn)]  # fmt: skip
            if not new or new[0].turn != turn.turn:  # it goes on after a restart
                for one in await self._rows("conversation = ? AND turn = ?", turn.conversation, turn.turn):
                    if one.phase == "waiting":
                        await self._set(turn.conversation, turn.turn, phase="running")
                return
            sql = "INSERT INTO undo_turns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            rows = [msgspec.structs.astuple(one) for one in new]
            await self._host.write(lambda database: database.executemany(sql, rows))
            self._touched.add(turn.cwd)
            names, size = [f"{one.key}-before" for one in new], self._host.settings.file_bytes
            try:
                answer = await self._run(turn, BEFORE_S, op="take", names=names, file_bytes=size)
            except Failed as error:
                self._host.log.warning("a turn in %s cannot be reverted: %s", turn.cwd, error)
                reason = f"what the folder held before this turn was not kept: {error}"
                for one in new:
                    await self._set(one.conversation, one.turn, phase="failed", reason=reason)
                return
            for one in new:
                self._facts[one.conversation, one.turn] = turn
                await self._set(one.conversation, one.turn, before=answer["id"])

    async def _lineage(self, turn: Any) -> list[Row]:
        """The turn, and those in the same folder that it works for, as they begin."""
        lives, now = self._lives(turn), self._host.clocks.wall()
        root = lives[-1].id if lives else turn.turn
        found = [(turn.conversation, turn.turn, lives[0].text if lives else "")]
        for one in lives[1:]:
            with contextlib.suppress(Exception):  # whose folder is gone
                if (await self._chats.turn_facts(one.conversation_id)).cwd == turn.cwd:
                    found.append((one.conversation_id, one.id, one.text))
        return [
            Row(conversation, id, root, turn.cwd, key_of(conversation, id), " ".join(words[:400].split())[:WORDS_CHARS],
                now, None, "running", None, None, "", None)
            for conversation, id, words in found
        ]  # fmt: skip

    def _lives(self, turn: Any) -> list[Any]:
        """The turn and those that it works for, the last one at the top."""
        live = self._chats.live(turn.conversation)
        return [] if live is None or live.id != turn.turn else live.lineage

    # -- while a person is asked: what is changed then is not the turn's

    def _work(self, turn: Any) -> tuple[str, Work]:
        """What is done in its folder for the turn at the top, and that turn."""
        lives = self._lives(turn)
        root = lives[-1].id if lives else turn.turn
        return root, self._works.setdefault((root, turn.cwd), Work())

    async def asks(self, call: Any, turn: Any) -> Any:
        """A person is about to be asked, who waits for this."""
        if self._host.settings.on and turn.turn:
            self._work(turn)[1].asked = True
            await self._wait(turn)
        return call

    async def after(self, result: Any, ctx: Any) -> Any:
        """A call is over; where a person was asked meanwhile, what follows is not its doing."""
        for work in [one for one in self._works.values() if ctx in one.calls]:
            work.calls.discard(ctx)
            await self._wait(ctx.turn)
        return result

    async def _wait(self, turn: Any) -> None:
        """Keeps what is there when a person is asked and nothing runs that could change something."""
        root, work = self._work(turn)
        lives = self._lives(turn)
        if work.calls or work.waits or not (work.asked or (lives and self._chats.waiting(lives[-1].conversation_id))):
            return
        work.waits = True
        async with self._lock(turn.cwd):
            if work.waits:  # no call has come first
                work.asked = False
                with self._faults_of(root):
                    await self._begin_wait(turn, root)

    async def _begin_wait(self, turn: Any, root: str) -> None:
        rows = [one for one in await self._of_root(root, turn.cwd) if not one.waits_now]
        # on disk before: should chomp be killed now, it is known that something is missing
        await self._write_waits({one: [*one.waited, Wait()] for one in rows})
        taken = await self._take_around(turn, rows, "b")
        await self._write_waits({one: [*one.waited, Wait(id)] for one, id in taken.items()})

    async def _go_on(self, ctx: Any) -> None:
        """A call that may change something is about to be done: a wait is over."""
        turn = ctx.turn
        root, work = self._work(turn)
        known = (turn.conversation, turn.turn) in self._facts  # else it may have waited while chomp was restarted
        if work.waits or not known:
            async with self._lock(turn.cwd):
                with self._faults_of(root):
                    await self._end_wait(turn, root)
                work.waits = False
                work.calls.add(ctx)  # before the lock is free: nothing is taken for a wait any more
        work.calls.add(ctx)

    @contextlib.contextmanager
    def _faults_of(self, root: str) -> Iterator[None]:
        """The turn goes on, and cannot be reverted."""
        try:
            yield
        except Exception as error:  # of the database, which cannot be told either
            self._host.log.warning("%s cannot be reverted: %s", root, words_of(error))
            self._faults[root] = words_of(error)

    async def _end_wait(self, turn: Any, root: str) -> None:
        rows = [one for one in await self._of_root(root, turn.cwd) if one.waits_now]
        for one in rows:
            if one.waited[-1].begin is None:
                await self._set(one.conversation, one.turn, phase="failed", reason=f"{MIXED}: it was not kept")
        rows = [one for one in rows if one.waited[-1].begin is not None]
        waits = {}
        for one, id in (await self._take_around(turn, rows, "e")).items():
            *earlier, last = one.waited
            waits[one] = earlier if last.begin == id else [*earlier, Wait(last.begin, id)]  # mostly nothing has changed
        await self._write_waits(waits)

    async def _of_root(self, root: str, folder: str) -> list[Row]:
        where = "root = ? AND folder = ? AND phase IN ('running', 'waiting') AND before IS NOT NULL"
        return await self._rows(where, root, folder)

    async def _take_around(self, turn: Any, rows: list[Row], end: str) -> dict[Row, str]:
        """Snapshots at an end of the last wait, by turn; those of which none can be taken fail."""
        taken: dict[Row, str] = {}
        for before in {one.before for one in rows}:  # by which it is known what each of them ignores
            some = [one for one in rows if one.before == before]
            names = [f"{one.key}-{len(one.waited) - (end == 'e')}{end}" for one in some]
            try:
                answer = await self._run(turn, BEFORE_S, op="take", names=names, since=before,
                                         file_bytes=self._host.settings.file_bytes)  # fmt: skip
            except Failed as error:
                self._host.log.warning("a turn in %s cannot be reverted: %s", turn.cwd, error)
                for one in some:
                    await self._set(one.conversation, one.turn, phase="failed", reason=f"{MIXED}: {error}")
                continue
            taken |= dict.fromkeys(some, answer["id"])
        return taken

    async def _write_waits(self, waits: Mapping[Row, list[Wait]]) -> None:
        values = [(msgspec.json.encode(found).decode(), one.conversation, one.turn) for one, found in waits.items()]
        if values:
            sql = "UPDATE undo_turns SET waits = ? WHERE conversation = ? AND turn = ?"
            await self._host.write(lambda database: database.executemany(sql, values))

    # -- over

    def settled(self, event: Any) -> None:
        """A turn is over."""
        conversation, turn = event.data["conversation"], event.data["turn"]
        facts = self._facts.pop((conversation, turn), None)
        for (root, folder), done in list(self._works.items()):
            if root == turn:
                del self._works[root, folder]
            else:  # its calls that were cancelled have no result
                done.calls = {ctx for ctx in done.calls if ctx.turn.turn != turn}
        self._looked_at.add((conversation, turn))
        work = self._end(conversation, turn, facts, suspended=event.data["reason"] == "suspended")
        task = self._host.start(f"what {turn} has done", work)
        task.add_done_callback(lambda over: self._looked_at.discard((conversation, turn)))
        if facts is not None:
            self._ending.setdefault(facts.cwd, set()).add(task)
            task.add_done_callback(lambda over: self._ended(facts.cwd, over))

    def _ended(self, folder: str, task: asyncio.Task[Any]) -> None:
        tasks = self._ending[folder]
        tasks.discard(task)
        if not tasks:
            del self._ending[folder]

    async def _end(self, conversation: str, turn: str, facts: Any, *, suspended: bool) -> None:
        for row in await self._rows("conversation = ? AND phase IN ('running', 'waiting')", conversation):
            if row.turn != turn and self._is_live(row):
                continue
            if row.turn != turn:  # a later one is over
                await self._set(conversation, row.turn, phase="failed", reason=LOST)
            elif suspended:
                await self._set(conversation, turn, phase="waiting")
            else:
                await self._look(row, facts)
        if notes := self._notes.pop(conversation, ()):
            for note in notes:
                await self._note(conversation, note)

    async def _look(self, row: Row, facts: Any) -> None:
        """Keeps what is there after a turn."""
        try:
            if facts is None:  # it has waited for a person while chomp was restarted
                facts = await self._facts_of(row)
            async with self._lock(row.folder):
                found = await self._rows("conversation = ? AND turn = ?", row.conversation, row.turn)
                row = next(iter(found), row)
                waits = row.waited
                if row.phase == "failed":
                    return
                fault = self._faults.get(row.root, "")
                if fault or any(one.begin is None for one in waits):
                    reason = f"{MIXED}: {fault or 'it was not kept'}"
                    await self._set(row.conversation, row.turn, phase="failed", reason=reason)
                    return
                answer = await self._run(facts, AFTER_S, op="take", names=[f"{row.key}-after"], since=row.before,
                                         waits=waits, file_bytes=self._host.settings.file_bytes)  # fmt: skip
                ended_at = self._host.clocks.wall()
        except Failed as error:
            reason = f"what the folder held after this turn was not kept: {error}"
            self._host.log.warning("a turn in %s cannot be reverted: %s", row.folder, error)
            await self._set(row.conversation, row.turn, phase="failed", reason=reason)
            return
        told = told_of(answer)
        if told == Told():
            sql = "DELETE FROM undo_turns WHERE conversation = ? AND turn = ?"
            await self._host.write(lambda database: database.execute(sql, (row.conversation, row.turn)))
            self._tell(row.conversation)
            return
        values = {
            "after": answer["id"],
            "told": msgspec.json.encode(told).decode(),
            "ended_at": ended_at,
            "waits": msgspec.json.encode([Wait(one.begin, one.end or answer["id"]) for one in waits]).decode(),
        }
        await self._set(row.conversation, row.turn, phase="kept", **values)

    async def _facts_of(self, row: Row) -> Any:
        """Where the tools of a turn have worked, when they still do. Raises Failed."""
        try:
            facts = await self._chats.turn_facts(row.conversation)
        except Exception as error:  # the conversation, its folder or its user is gone
            raise Failed(words_of(error)) from None
        if facts.cwd != row.folder:
            raise Failed(f"the turn worked in {row.folder}, and the conversation works in {facts.cwd} now")
        return facts

    # -- shown and reverted

    async def turns(self, conversation: str) -> dict[str, Any]:
        """What the turns of a conversation have done, the newest first."""
        rows = await self._rows("conversation = ? ORDER BY began_at DESC LIMIT ?", conversation, LISTED)
        return {"turns": [row.shown(self._is_live(row)) for row in rows]}

    def _is_live(self, row: Row) -> bool:
        """Whether a turn runs, or what it has done is being found out."""
        live = self._chats.live(row.conversation)
        return (live is not None and live.id == row.turn) or (row.conversation, row.turn) in self._looked_at

    async def revert(self, conversation: str, turn: Any) -> dict[str, Any]:
        """Puts back what a turn has changed. Raises an error that answers with 400, 404 or 409."""
        error = self._host.error
        if not isinstance(turn, str) or not turn:
            raise error("turnId: it is missing", param="turnId")
        if self._chats.active(conversation):
            raise error("a turn of this conversation is active: stop it, or wait until it is over", 409, "turn_active")
        rows = await self._rows("conversation = ? AND turn = ?", conversation, turn)
        if not rows:
            raise error(f"no turn {turn[:100]} that has changed files is known", 404, "not_found")
        folder = rows[0].folder
        while ending := self._ending.get(folder):
            await asyncio.wait(ending)
        async with self._lock(folder):
            row = next(iter(await self._rows("conversation = ? AND turn = ?", conversation, turn)), rows[0])
            shown = row.shown(self._is_live(row))
            if shown["state"] == "lost":
                raise error(f"this turn cannot be reverted: {shown['reason']}", 409, "lost")
            if shown["state"] == "pending":
                raise error("this turn is not over", 409, "turn_active")
            if shown["state"] == "reverted":  # what is as this turn has left it is somebody else's by now
                note = self._words(row, {"restored": []})
                return {"turnId": turn, "restored": [], "more": 0, "note": note}
            others = await self._others(row)
            try:
                facts = await self._facts_of(row)
                answer = await self._run(facts, REVERT_S, changes=True, op="revert", before=row.before,
                                         after=row.after, others=others, waits=row.waited)  # fmt: skip
            except Failed as failed:
                raise error(f"this turn cannot be reverted: {failed}", 409, "not_reverted") from None
            if "conflicts" in answer:
                names = named(answer["conflicts"], answer["more"])
                words = f"changed since, by a person or another turn, or in the way: {names}. Nothing was touched"
                raise error(words, 409, "edited_since")
            await self._set(conversation, turn, phase="reverted")
        note = self._words(row, answer)
        if answer["restored"]:
            await self._note(conversation, note)
        return {"turnId": turn, "restored": answer["restored"], "more": answer["more"], "note": note}

    async def _others(self, row: Row) -> list[list[str | None]]:
        """Snapshots of turns that others had at the same time in this folder. Raises an error when one runs."""
        found = await self._rows("folder = ? AND root <> ? AND phase IN ('running', 'kept')", row.folder, row.root)
        for one in found:
            if one.phase == "running" and self._is_live(one):
                words = f"another conversation ({one.conversation}) is at work in {row.folder}: wait until it is done"
                raise self._host.error(words, 409, "turn_active")
        ended = row.ended_at or 0
        return [
            [one.before, one.after]
            for one in found
            if one.phase == "kept" and one.began_at < ended and (one.ended_at or 0) > row.began_at
        ]

    def _words(self, row: Row, answer: Mapping[str, Any]) -> str:
        at = datetime.datetime.fromtimestamp(row.began_at).astimezone().strftime("%Y-%m-%d %H:%M")
        which = f'the turn of {at} ("{row.words}")' if row.words else f"the turn of {at}"
        if not answer["restored"]:
            done = "it is reverted already" if row.phase == "reverted" else "all files are as they were before it"
            return f"Nothing had to be put back of {which}: {done}."
        files = named(answer["restored"], answer["more"])
        return f"The user has reverted {which}. These files are again as they were before it: {files}."

    async def _note(self, conversation: str, note: str) -> None:
        """Tells the model, after the turn that has begun meanwhile."""
        try:
            await self._chats.note(conversation, note)
        except Exception as error:  # a turn has begun, or the database is full
            if not self._chats.active(conversation):
                self._host.log.warning("%s is not told what was reverted: %s", conversation, words_of(error))
            else:
                self._notes.setdefault(conversation, []).append(note)

    # -- forgotten

    def deleted(self, event: Any) -> None:
        """A conversation is no more."""
        self._host.start("forgets a conversation", self._forget("conversation = ?", event.data["conversation"]))

    async def _forget(self, where: str, *values: Any) -> None:
        rows = await self._rows(where, *values)
        sql = f"DELETE FROM undo_turns WHERE {where}"  # noqa: S608 - our own words
        await self._host.write(lambda database: database.execute(sql, values))
        for folder in {row.folder for row in rows}:
            await self._tidy(folder)

    async def tidy(self) -> None:
        """Forgets what is too old, or of conversations that are gone."""
        await self._forget("began_at < ?", self._host.clocks.wall() - self._host.settings.days * 86_400)
        for one in await self._host.read("SELECT DISTINCT conversation FROM undo_turns"):
            if await self._chats.meta(one["conversation"]) is None:
                await self._forget("conversation = ?", one["conversation"])
        for folder in list(self._touched):
            await self._tidy(folder)

    async def _tidy(self, folder: str) -> None:
        """Leaves in the store of a folder only what turns have that are known."""
        async with self._lock(folder):
            self._touched.discard(folder)
            rows = await self._rows("folder = ?", folder)
            if not rows:
                await self._chats.forget_beside(BESIDE, folder)
                return
            keep = [f"{row.key}-{end}" for row in rows for end in ("before", "after")]
            keep += [f"{row.key}-{n}{end}" for row in rows for n in range(len(row.waited)) for end in "be"]
            for row in {row.conversation: row for row in rows}.values():
                with contextlib.suppress(Failed):  # another one may work there
                    await self._run(await self._facts_of(row), FORGET_S, op="forget", keep=keep)
                    return


def line_of(turn: Mapping[str, Any]) -> str:
    """A turn in a list."""
    at = datetime.datetime.fromtimestamp(turn["at"] / 1000).astimezone().strftime("%Y-%m-%d %H:%M")
    lines = [f"{turn['turnId']}  {at}  {turn['state']}"]
    if "reason" in turn:
        lines.append(f"  {turn['reason']}")
    lines += [f"  {one['change']:9}{one['path']}" for one in turn["files"]]
    if turn["more"]:
        lines.append(f"  and {turn['more']} more")
    lines += [f"  not kept {one['path']}: {one['reason']}" for one in turn["skipped"]]
    if turn["skippedMore"]:
        lines.append(f"  and {turn['skippedMore']} more that were not kept")
    return "".join(f"{line}\n" for line in lines)


def activate(host: Any) -> None:
    undo = Undo(host)
    host.tables(TABLE, WAITS)
    host.event("changed", "refreshUndo")

    async def spec(conversation: str | None) -> list[dict[str, Any]]:
        payload = await undo.turns(conversation) if conversation else {"turns": []}
        return [{"kind": "custom", "rendererId": "undo", "payload": payload}]

    async def do_revert(payload: Any, conversation: str | None) -> None:
        if conversation:
            await undo.revert(conversation, payload.get("turnId") if isinstance(payload, dict) else None)

    undo.changed = host.surface(
        "undo", "Undo", spec, region="side", scope="conversation", actions={REVERT: do_revert}
    )  # fmt: skip
    host.filter("approval", undo.asks)
    host.filter("tool-call", undo.before)
    host.filter("tool-result", undo.after)
    host.on("turn_settled", undo.settled)
    host.on("conversation_deleted", undo.deleted)
    host.every(TIDY_S, undo.tidy)

    async def list_changes(request: Any) -> Any:
        """GET /conversations/{id}/undo -> {turns: [{turnId, at, state, files, more, skipped, ...}]}, newest first"""
        return await undo.turns((await host.conversation(request)).id)

    async def revert_turn(request: Any) -> Any:
        """POST /conversations/{id}/undo {turnId} -> {turnId, restored, more, note}: files are as they were before"""
        conversation = await host.conversation(request)
        return await undo.revert(conversation.id, (await host.fields(request)).get("turnId"))

    async def run(call: Any) -> str:
        if not 1 <= len(call.args) <= 2:
            raise host.error(f"bin/chomp {USAGE}", code="usage")
        found = await host.service("conversations").meta(call.args[0])
        if found is None or found.caller != "owner":
            raise host.error(f"no conversation {call.args[0][:128]}", 404)
        turns = (await undo.turns(found.id))["turns"]
        if len(call.args) == 1:
            return "\n".join(map(line_of, turns)) or "No turn has changed files.\n"
        turn = call.args[1]
        if turn == "last":
            turn = next((one["turnId"] for one in turns if one["state"] == "open"), "")
            if not turn:
                raise host.error("there is no turn that could be reverted", 404)
        return f"{(await undo.revert(found.id, turn))['note']}\n"

    host.route("GET", "/conversations/{id}/undo", chat=True)(list_changes)
    host.route("POST", "/conversations/{id}/undo", chat=True)(revert_turn)
    host.command("undo", "shows what turns of the built-in agent have changed, and reverts one", usage=USAGE)(run)
