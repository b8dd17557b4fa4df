"""Experiments: what programs tell of their sessions, steps, iterations and validations, kept as timelines.

A session is one row, which every event changes in a transaction of its own. Prompts and outputs lie beside it: they may
be long, and are read only when somebody wants to see them.
"""

from __future__ import annotations

import datetime
import itertools
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web

MANIFEST = {
    "id": "experiments",
    "name": "Experiments",
    "version": "1.0.0",
    "apiVersion": "^1",
    "contributes": {
        "settings": ["experiments"],
        "routes": ["/experiment", "/experiments", "/sessions"],
        "commands": ["experiments"],
    },
}
USAGE = "experiments [ID] [--json]"
BODY_BYTES = 64 << 10
EVENTS_PER_MINUTE = 600
SILENT_S = 86400.0  # a session that runs and tells nothing for so long is shown as silent
ID_CHARS, NAME_CHARS, ERROR_CHARS, PREVIEW_CHARS = 200, 200, 2000, 200
TEXT_CHARS = 16 << 10  # of a prompt or an output
SESSION_CHARS = 4 << 20  # of all of one session; further ones are cut to a preview
STEPS_MOST, ITERATIONS_MOST, VALIDATIONS_MOST = 200, 500, 500  # of one session
ERRORS_MOST = 50  # of one validation
LISTED = 200  # sessions of a list, the newest
GAP_S = 0.5  # between two steps; shorter ones are not shown
CUT = "… [cut]"
TABLES = """
CREATE TABLE experiments_sessions (
  id TEXT PRIMARY KEY, began_at REAL NOT NULL, heard_at REAL NOT NULL, session BLOB NOT NULL, steps BLOB NOT NULL
);
CREATE TABLE experiments_texts (
  session TEXT NOT NULL, number INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (session, number)
);
"""

Status = Literal["running", "completed", "failed"]
ENDINGS: dict[str, Status | None] = {"start": "running", "complete": "completed", "fail": "failed", "end": None}
EVENTS = {  # what it is about and what becomes of that; None: its data say it
    f"{about}_{verb}": (about, status) for about in ("session", "step", "iteration") for verb, status in ENDINGS.items()
}
EVENTS |= {"validation": ("validation", None), "validation_end": ("validation", None)}
VERDICTS = {
    **dict.fromkeys(("pass", "passed", "ok", "success", "true", "completed"), "pass"),
    **dict.fromkeys(("fail", "failed", "failure", "error", "false"), "fail"),
    **dict.fromkeys(("skip", "skipped"), "skip"),
}  # as programs write them


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Experiments."""

    kept: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200  # sessions; those that were silent longest are forgotten


# -- what is told

Number = Annotated[int, msgspec.Meta(ge=0, le=10**6)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Amount = Annotated[float, msgspec.Meta(ge=0, le=10**9)]


class Data(msgspec.Struct, frozen=True):
    """What an event tells, whatever it is about. What is `Any` may be a text or anything else."""

    name: Any = None
    total_steps: Number | None = None
    number: Number | None = None
    step: Any = None
    model: Any = None
    host: Any = None
    prompt: Any = None
    output: Any = None
    error: Any = None
    duration_sec: Amount | None = None
    tokens: Count | None = None
    tokens_sec: Amount | None = None
    context_size: Count | None = None
    command: Any = None
    status: Any = None
    success: Any = None
    errors: Any = None


class Event(msgspec.Struct, frozen=True):
    """Something that has happened in a session."""

    type: str
    session_id: str | int
    step_id: str | int | None = None
    data: Data | None = None


def text_of(value: Any, most: int, mark: str = CUT) -> str:
    """A text of whatever was sent, at most so long, with a mark where it was cut."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = text.encode("utf-8", "replace").decode()  # halves of signs, which no JSON can have
    return text if len(text) <= most else text[: most - len(mark)] + mark


def id_of(value: Any, name: str) -> str:
    """An id as a text; "" is none. Raises ValueError: it cannot be cut, for two could become one."""
    text = str(value).strip() if isinstance(value, str | int) else text_of(value, ID_CHARS + 1)
    if len(text) > ID_CHARS or not text.isprintable() or text in (".", ".."):
        raise ValueError(f"{name}: an id has {ID_CHARS} characters at most, which can be seen")
    return text


# -- what is known


class Span(msgspec.Struct, kw_only=True):
    """Something that lasts."""

    status: Status = "running"
    started_at: float | None = None  # None = only its end was told
    ended_at: float | None = None
    told_s: float | None = None  # how long it took, where a program says it
    error: str = ""

    @property
    def seconds(self) -> float | None:
        """How long it took: as it was told, or else as it was measured here."""
        if self.told_s is not None or self.started_at is None or self.ended_at is None:
            return self.told_s
        return max(0.0, self.ended_at - self.started_at)

    @property
    def measured(self) -> bool:
        """Whether that was measured here."""
        return self.told_s is None and self.seconds is not None

    def hear(self, status: Status, data: Data, now: float) -> None:
        """Takes in its beginning or its end. What is over stays over: a beginning may be repeated, or come late."""
        if status == "running":
            return
        self.status = status
        self.error = text_of(data.error, ERROR_CHARS) or (self.error if status == "failed" else "")
        self.ended_at = now if self.ended_at is None else self.ended_at
        self.told_s = self.told_s if data.duration_sec is None else data.duration_sec
        if self.started_at is None and self.told_s is not None:
            self.started_at = self.ended_at - self.told_s


class Iteration(Span, kw_only=True):
    """One try of a model."""

    number: int
    model: str = ""
    host: str = ""
    tokens: int | None = None
    tokens_sec: float | None = None
    context_size: int | None = None
    prompt: str = ""  # the beginning of it
    prompt_text: int | None = None  # which text is all of it
    output_text: int | None = None


class Validation(msgspec.Struct, kw_only=True):
    """One check of what came of a step."""

    at: float
    command: str
    status: str
    errors: list[str]
    told_s: float | None
    output: str  # the beginning of it
    output_text: int | None = None

    def repeats(self, other: Validation) -> bool:
        """Whether it is the same once more; only a duration tells."""
        mine, theirs = (msgspec.structs.replace(one, at=0.0, output_text=None) for one in (self, other))
        return self.told_s is not None and mine == theirs


class Step(Span, kw_only=True):
    """A part of a session."""

    id: str
    number: int | None = None
    name: str = ""
    iterations: list[Iteration] = []
    validations: list[Validation] = []


class Session(Span, kw_only=True):
    """What is known of a session, without its steps."""

    id: str
    name: str = ""
    total_steps: int | None = None
    current_step: int | None = None
    steps: int = 0
    heard_at: float = 0.0
    texts: int = 0  # how many there are, and how long all of them are
    chars: int = 0

    def silent_since(self, now: float) -> float | None:
        """Since when it has told nothing, if that is too long for one that runs."""
        return self.heard_at if self.status == "running" and now - self.heard_at > SILENT_S else None


class Full(ValueError):
    """A session has as many parts as it may have."""


class Timeline(msgspec.Struct):
    """A session and all that happened in it."""

    session: Session
    steps: list[Step]
    texts: dict[int, str] = {}  # those that are new

    def hear(self, event: Event, now: float) -> str:
        """Takes an event in; the id of the step that it is of. Raises ValueError for one that means nothing."""
        about, status = EVENTS[event.type]
        data = event.data or Data()
        status = status or _ending(data)
        self.session.heard_at = now
        if about == "session":
            self.session.name = text_of(data.name, NAME_CHARS) or self.session.name
            if data.total_steps is not None:
                self.session.total_steps = data.total_steps
            self.session.hear(status, data, now)
            return ""
        is_start = about == "validation" or status == "running"
        step = self._step(event, data, about, now if about != "step" or is_start else None)
        if about == "step":
            step.name = text_of(data.name, NAME_CHARS) or step.name
            step.number = step.number if data.number is None else data.number
            step.hear(status, data, now)
        elif about == "iteration":
            iteration = self._iteration(step, data.number, starts=is_start, now=now)
            self._fill(iteration, data)
            iteration.hear(status, data, now)
        else:
            self._validate(step, data, now)
        self.session.steps = len(self.steps)
        last = next((one for one in reversed(self.steps) if one.status == "running"), self.steps[-1])
        self.session.current_step = self.steps.index(last) + 1 if last.number is None else last.number
        return step.id

    def _step(self, event: Event, data: Data, about: str, started_at: float | None) -> Step:
        """The step that an event is of: the one it names, or the one that runs; one that is not known is made."""
        named = id_of(event.step_id, "step_id") if event.step_id is not None else id_of(data.step, "data.step")
        number = data.number if about == "step" else None
        if number is None and named.isdecimal() and len(named) < 7:
            number = int(named)
        name = text_of(data.name, NAME_CHARS) if about == "step" else named
        known = self._known_step(named, number, name, about, starts=event.type == "step_start")
        if known is not None:
            return known
        if len(self.steps) >= STEPS_MOST:
            raise Full(f"session {self.session.id} has {STEPS_MOST} steps: more are not kept")
        if number is None and not named:
            taken = {one.id for one in self.steps} | {str(one.number) for one in self.steps}
            number = next(at for at in itertools.count(len(self.steps) + 1) if str(at) not in taken)
        made = Step(id=named or str(number), number=number, name=name if name != named else "", started_at=started_at)
        self.steps.append(made)
        return made

    def _known_step(self, named: str, number: int | None, name: str, about: str, *, starts: bool) -> Step | None:
        latest = self.steps[::-1]

        def first(fits: Callable[[Step], bool]) -> Step | None:
            return next((one for one in latest if fits(one)), None)

        if named and (found := first(lambda one: one.id == named)) is not None:
            return found
        if named and about == "step":
            found = first(lambda one: one.id == str(number))  # it was known by its number only
            if found is not None:
                found.id = named
            return found
        if number is not None:
            return first(lambda one: one.number == number) or first(lambda one: one.id == str(number))
        if name:
            return first(lambda one: one.name == name and (one.status == "running" or not starts))
        if starts or not latest:
            return None
        return first(lambda one: one.status == "running") or latest[0]

    def _iteration(self, step: Step, number: int | None, *, starts: bool, now: float) -> Iteration:
        for one in step.iterations:
            if one.number == number:
                return one
        if number is None and not starts and step.iterations:
            return next((one for one in reversed(step.iterations) if one.status == "running"), step.iterations[-1])
        if sum(len(one.iterations) for one in self.steps) >= ITERATIONS_MOST:
            raise Full(f"session {self.session.id} has {ITERATIONS_MOST} iterations: more are not kept")
        if number is None:
            number = max((one.number for one in step.iterations), default=0) + 1
        made = Iteration(number=number, started_at=now if starts else None)
        step.iterations.append(made)
        return made

    def _fill(self, iteration: Iteration, data: Data) -> None:
        iteration.model = text_of(data.model, NAME_CHARS) or iteration.model
        iteration.host = text_of(data.host, NAME_CHARS) or iteration.host
        for name in ("tokens", "tokens_sec", "context_size"):
            if (value := getattr(data, name)) is not None:
                setattr(iteration, name, value)
        if data.prompt is not None:
            iteration.prompt = text_of(data.prompt, PREVIEW_CHARS, "…")
            iteration.prompt_text = self._keep(data.prompt, iteration.prompt_text)
        if data.output is not None:
            iteration.output_text = self._keep(data.output, iteration.output_text)

    def _validate(self, step: Step, data: Data, now: float) -> None:
        errors = data.errors if isinstance(data.errors, list) else [data.errors] if data.errors else []
        shown = [text_of(one, ERROR_CHARS) for one in errors[:ERRORS_MOST]]
        shown += [f"and {len(errors) - ERRORS_MOST} more {CUT}"] * (len(errors) > ERRORS_MOST)
        if data.error:
            shown.insert(0, text_of(data.error, ERROR_CHARS))
        made = Validation(
            at=now, command=text_of(data.command, ERROR_CHARS), status=_verdict(data, shown), errors=shown,
            told_s=data.duration_sec, output=text_of(data.output, PREVIEW_CHARS, "…"),
        )  # fmt: skip
        if any(made.repeats(one) for one in step.validations):
            return
        if sum(len(one.validations) for one in self.steps) >= VALIDATIONS_MOST:
            raise Full(f"session {self.session.id} has {VALIDATIONS_MOST} validations: more are not kept")
        if data.output is not None:
            made.output_text = self._keep(data.output, None)
        step.validations.append(made)

    def _keep(self, value: Any, number: int | None) -> int | None:
        """Keeps a text, in the place of the one with that number; its number, None for an empty one."""
        left = max(PREVIEW_CHARS, SESSION_CHARS - self.session.chars)
        if not (text := text_of(value, min(TEXT_CHARS, left))):
            return number
        if number is None:
            self.session.texts += 1
            self.session.chars += len(text)
            number = self.session.texts
        self.texts[number] = text
        return number


def _ending(data: Data) -> Status:
    """How something ended whose event does not say it by its name."""
    verdict = VERDICTS.get(str(data.status).lower())
    return "failed" if verdict == "fail" or data.success is False or (verdict is None and data.error) else "completed"


def _verdict(data: Data, errors: Sequence[str]) -> str:
    """pass, fail or skip. Raises ValueError."""
    value = data.success if data.status is None else data.status
    if value is None and errors:
        return "fail"
    if (found := VERDICTS.get(str(value).lower())) is None:
        raise ValueError("data.status: a validation's is pass, fail or skip")
    return found


def gaps(steps: Sequence[Step]) -> list[float]:
    """How long nothing was done before each step; 0 where that is unknown, or short."""
    found, free_at = [], None
    for step in steps:
        gap = 0.0 if free_at is None or step.started_at is None else step.started_at - free_at
        found.append(gap if gap > GAP_S else 0.0)
        free_at = max(free_at or 0.0, step.ended_at) if step.ended_at is not None else None
    return found


def parts(step: Step) -> list[tuple[str, Any]]:
    """What happened in a step, in order: "iteration" or "validation", and what is known of it."""
    found: list[tuple[str, Any]] = [("iteration", one) for one in step.iterations]
    found += [("validation", one) for one in step.validations]
    return sorted(found, key=lambda part: _began_at(part[1]))


def _began_at(part: Iteration | Validation) -> float:
    if isinstance(part, Validation):
        return part.at
    return part.started_at or part.ended_at or 0.0


# -- keeping


class Archive:
    """The sessions in the database: what was taken in is on disk."""

    def __init__(self, host: Any):
        self._host = host

    async def hear(self, event: Event) -> tuple[Session, str]:
        """Takes an event in; its session and the id of its step. Raises ValueError for one that means nothing."""
        id, now = id_of(event.session_id, "session_id"), self._host.clocks.wall()
        if not id:
            raise ValueError("session_id: it must be named")

        def change(database: Any) -> tuple[Session, str]:
            known = database.execute("SELECT session, steps FROM experiments_sessions WHERE id = ?", (id,)).fetchone()
            timeline = _timeline(*known) if known else Timeline(Session(id=id, started_at=now, heard_at=now), [])
            step = timeline.hear(event, now)
            session = timeline.session
            began_at = now if session.started_at is None else session.started_at
            database.execute(
                "INSERT OR REPLACE INTO experiments_sessions VALUES (?, ?, ?, ?, ?)",
                (id, began_at, now, msgspec.json.encode(session), msgspec.json.encode(timeline.steps)),
            )
            rows = [(id, number, text) for number, text in timeline.texts.items()]
            database.executemany("INSERT OR REPLACE INTO experiments_texts VALUES (?, ?, ?)", rows)
            if not known:
                _expire(database, self._host.settings.kept)
            return session, step

        found: tuple[Session, str] = await self._host.write(change)
        return found

    async def sessions(self) -> list[Session]:
        """The newest ones, the newest first."""
        sql = "SELECT session FROM experiments_sessions ORDER BY began_at DESC, id DESC LIMIT ?"
        rows = await self._host.read(sql, (LISTED,))
        return [msgspec.json.decode(row["session"], type=Session) for row in rows]

    async def timelines(self) -> list[Timeline]:
        """The same with their steps."""
        sql = "SELECT session, steps FROM experiments_sessions ORDER BY began_at DESC, id DESC LIMIT ?"
        rows = await self._host.read(sql, (LISTED,))
        return [_timeline(**row) for row in rows]

    async def timeline(self, id: str) -> Timeline | None:
        """One of them."""
        rows = await self._host.read("SELECT session, steps FROM experiments_sessions WHERE id = ?", (id,))
        return _timeline(**rows[0]) if rows else None

    async def texts(self, id: str) -> dict[int, str]:
        """All prompts and outputs of a session."""
        rows = await self._host.read("SELECT number, text FROM experiments_texts WHERE session = ?", (id,))
        return {row["number"]: row["text"] for row in rows}

    async def text(self, id: str, number: int) -> str | None:
        """One of them."""
        sql = "SELECT text FROM experiments_texts WHERE session = ? AND number = ?"
        rows = await self._host.read(sql, (id, number))
        return rows[0]["text"] if rows else None

    async def forget(self, id: str) -> bool:
        """Deletes a session; whether there was one."""
        return bool(await self._host.write(lambda database: _forget(database, [id])))


def _timeline(session: bytes, steps: bytes) -> Timeline:
    return Timeline(msgspec.json.decode(session, type=Session), msgspec.json.decode(steps, type=list[Step]))


def _expire(database: Any, kept: int) -> None:
    sql = "SELECT id FROM experiments_sessions ORDER BY heard_at DESC, id DESC LIMIT -1 OFFSET ?"
    _forget(database, [id for (id,) in database.execute(sql, (kept,)).fetchall()])


def _forget(database: Any, ids: Sequence[str]) -> int:
    rows = [(id,) for id in ids]
    database.executemany("DELETE FROM experiments_texts WHERE session = ?", rows)
    return int(database.executemany("DELETE FROM experiments_sessions WHERE id = ?", rows).rowcount)


# -- telling


def moment(at: float | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond."""
    if at is None:
        return None
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _span_fields(span: Span) -> dict[str, Any]:
    seconds = span.seconds
    return {
        "status": span.status,
        "start_time": moment(span.started_at),
        "end_time": moment(span.ended_at),
        "duration_sec": None if seconds is None else round(seconds, 3),
        "measured": span.measured,
        "error": span.error or None,
    }


def session_fields(timeline: Timeline, now: float, texts: Mapping[int, str] | None = None) -> dict[str, Any]:
    """A session as it is told to programs; without `texts` prompts are previews, and there are no outputs."""
    session = timeline.session
    return {
        "id": session.id,
        "name": session.name or session.id,
        **_span_fields(session),
        "last_event": moment(session.heard_at),
        "silent_since": moment(session.silent_since(now)),
        "current_step": session.current_step,
        "total_steps": session.total_steps,
        "steps": [
            _step_fields(step, gap, texts) for step, gap in zip(timeline.steps, gaps(timeline.steps), strict=True)
        ],
    }


def _step_fields(step: Step, gap: float, texts: Mapping[int, str] | None) -> dict[str, Any]:
    validations = [
        {
            "command": one.command,
            "status": one.status,
            **({} if texts is None else {"output": texts.get(one.output_text or 0, "")}),
            "errors": one.errors,
            "duration_sec": one.told_s,
            "time": moment(one.at),
        }
        for one in step.validations
    ]
    return {
        "id": step.id,
        "name": step.name,
        "number": step.number,
        **_span_fields(step),
        "gap_sec": round(gap, 3),
        "iterations": [_iteration_fields(one, texts) for one in step.iterations],
        "validation": validations[-1] if validations else None,
        "validations": validations,
    }


def _iteration_fields(one: Iteration, texts: Mapping[int, str] | None) -> dict[str, Any]:
    found = {"number": one.number, "model": one.model, "host": one.host, **_span_fields(one), "tokens": one.tokens,
             "tokens_sec": one.tokens_sec, "context_size": one.context_size, "prompt": one.prompt}  # fmt: skip
    if texts is not None:
        found["prompt"] = texts.get(one.prompt_text or 0, "")
        found["output"] = texts.get(one.output_text or 0, "")
    return found


def seconds_words(seconds: float | None) -> str:
    """0.25 s, 12.3 s, 3 m 5 s, 2 h 10 m."""
    if seconds is None:
        return ""
    if seconds < 59.95:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole // 3600} h {whole % 3600 // 60} m" if whole >= 3600 else f"{whole // 60} m {whole % 60} s"


def amounts(one: Iteration) -> list[str]:
    """Its figures, in words."""
    found = []
    if one.tokens is not None:
        found.append(f"{one.tokens:,} token{'' if one.tokens == 1 else 's'}")
    if one.tokens_sec is not None:
        found.append(f"{one.tokens_sec:.1f} tok/s")
    if one.context_size:
        found.append(f"context {one.context_size:,}")
    return found


def progress(session: Session) -> str:
    """step 2 of 5; of one that is over: 5 of 5 steps."""
    if session.ended_at is not None:
        total = f" of {session.total_steps}" if session.total_steps else ""
        return f"{session.steps}{total} step{'' if session.steps == 1 and not total else 's'}"
    if session.current_step is None:
        return f"{session.total_steps} steps" if session.total_steps else "no step yet"
    total = f" of {session.total_steps}" if session.total_steps else ""
    return f"step {session.current_step}{total}"


def lane(span: Span, session: Session, now: float) -> tuple[float, float]:
    """Where something lies within its session, and how much of it that is, in percent."""
    begin, end = session.started_at or now, session.ended_at or max(now, session.heard_at)
    if session.silent_since(now) is not None:
        end = session.heard_at
    if span.started_at is None or end <= begin:
        return 0.0, 0.0
    until = end if span.ended_at is None else span.ended_at
    first, last = (min(1.0, max(0.0, (at - begin) / (end - begin))) for at in (span.started_at, until))
    return round(min(first, 0.99) * 100, 2), round(max(0.01, last - first) * 100, 2)


# -- in a terminal


def state_words(session: Session, now: float) -> str:
    """running, completed, failed, or silent."""
    return "silent" if session.silent_since(now) is not None else session.status


def list_lines(sessions: Sequence[Session], now: float) -> Iterator[str]:
    """A line each."""
    wide = max((len(one.id) for one in sessions), default=0)
    for one in sessions:
        length = seconds_words(one.seconds if one.ended_at else now - (one.started_at or now))
        yield f"{one.id:<{wide}}  {state_words(one, now):<9}  {length:>9}  {progress(one)}  {one.name}".rstrip()
    if not sessions:
        yield "no session yet: POST /experiment tells of one"


def timeline_lines(timeline: Timeline, now: float, clock: Callable[[float | None], str]) -> Iterator[str]:
    """All that happened in a session, in order."""
    session = timeline.session
    length = seconds_words(session.seconds if session.ended_at else now - (session.started_at or now))
    yield f"{session.name or session.id}  {session.status}  {length}  {progress(session)}"
    if (since := session.silent_since(now)) is not None:
        yield f"  silent since {moment(since)}"
    yield from _error_lines("  ", session.error)
    for at, (step, gap) in enumerate(zip(timeline.steps, gaps(timeline.steps), strict=True)):
        if gap:
            yield f"  +{gap:.1f}s gap"
        name = step.name or step.id
        yield f"  {clock(step.started_at)}  {step.number or at + 1}. {name}  {_span_words(step)}".rstrip()
        yield from _error_lines("      ", step.error)
        for _, one in parts(step):
            yield from _part_lines(one, clock)


def _part_lines(one: Iteration | Validation, clock: Callable[[float | None], str]) -> Iterator[str]:
    if isinstance(one, Validation):
        yield f"      {clock(one.at)}  validation: {one.status}  {one.command}  {seconds_words(one.told_s)}".rstrip()
        errors = one.errors
    else:
        where = " on ".join(filter(None, (one.model, one.host)))
        facts = ", ".join(filter(None, (_span_words(one), *amounts(one))))
        yield f"      {clock(one.started_at)} → {clock(one.ended_at)}  #{one.number} {where}  {facts}"
        errors = [one.error]
    for error in errors:
        yield from _error_lines("          ", error)


def _span_words(span: Span) -> str:
    length = f" {seconds_words(span.seconds)}" if span.seconds is not None else ""
    return f"{span.status}{length}{' (measured here)' * span.measured}"


def _error_lines(indent: str, error: str) -> Iterator[str]:
    yield from (f"{indent}! {line}" for line in error.splitlines())


def printable(lines: Iterator[str], columns: int) -> str:
    """Lines for a terminal: what would steer it is not sent."""
    shown = ("".join(sign if sign.isprintable() else "?" for sign in line) for line in lines)
    return "".join(f"{line[:columns] if columns else line}\n" for line in shown)


def _clock(at: float | None) -> str:
    if at is None:
        return "--:--:--"
    return datetime.datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


# -- the extension


def activate(host: Any) -> None:
    archive = Archive(host)
    minute = {"since": host.clocks.steady(), "count": 0}
    host.tables(TABLES)
    host.event("changed", "refreshExperiments")

    def admit() -> None:
        """Counts an event. Raises an error that answers with 429 for too many of them."""
        now = host.clocks.steady()
        if now - minute["since"] >= 60:
            minute.update(since=now, count=0)
        if minute["count"] >= EVENTS_PER_MINUTE:
            busy = host.error(f"more than {EVENTS_PER_MINUTE} events a minute", status=429, code="rate_limit_exceeded")
            busy.retry_after_s = 60 - (now - minute["since"])
            raise busy
        minute["count"] += 1

    def too_large() -> Any:
        return host.error(f"an event has {BODY_BYTES >> 10} KiB at most", status=413, code="request_too_large")

    async def event_of(request: web.Request) -> Event:
        if (request.content_length or 0) > BODY_BYTES:
            raise too_large()
        fields = await host.fields(request)
        text = msgspec.json.encode(fields)
        if len(text) > BODY_BYTES:
            raise too_large()
        kind = fields.get("type")
        if not isinstance(kind, str) or kind not in EVENTS:
            known = ", ".join(sorted(EVENTS))
            raise host.error(f"{text_of(kind, 64)!r} is no type of an event; there are {known}", param="type")
        try:
            return msgspec.convert(msgspec.json.decode(host.redact(text.decode())), Event, strict=False)
        except msgspec.ValidationError as error:
            raise host.error(f"the event cannot be read: {error}") from None

    async def found(id: str) -> Timeline:
        if (timeline := await archive.timeline(id)) is None:
            raise host.error(f"there is no session {text_of(id, 100)!r}", status=404, code="not_found")
        return timeline

    async def tell(request: web.Request) -> dict[str, Any]:
        """POST /experiment {type, session_id, step_id?, data} -> {status, session, step?, state}"""
        admit()
        event = await event_of(request)
        try:
            session, step = await archive.hear(event)
        except Full as error:
            raise host.error(str(error), status=409, code="session_full") from None
        except ValueError as error:
            raise host.error(str(error), param=str(error).partition(":")[0]) from None
        host.publish("changed", {"id": session.id, "type": event.type})
        return {"status": "ok", "session": session.id, **({"step": step} if step else {}), "state": session.status}

    async def list_sessions(request: web.Request) -> list[dict[str, Any]]:
        """GET /sessions -> [session]: newest first, without prompts and outputs"""
        now = host.clocks.wall()
        return [session_fields(one, now) for one in await archive.timelines()]

    async def list_experiments(request: web.Request) -> dict[str, Any]:
        """GET /experiments -> {sessions}: the same, for whoever does not ask for a page"""
        return {"sessions": await list_sessions(request)}

    async def show_experiment(request: web.Request) -> dict[str, Any]:
        """GET /experiments/{id} -> session: with prompts and outputs"""
        timeline = await found(request.match_info["id"])
        return session_fields(timeline, host.clocks.wall(), await archive.texts(timeline.session.id))

    async def forget(request: web.Request) -> dict[str, str]:
        """DELETE /experiments/{id} -> {status}"""
        id = request.match_info["id"]
        if not await archive.forget(id):
            raise host.error(f"there is no session {text_of(id, 100)!r}", status=404, code="not_found")
        host.publish("changed", {"id": id, "type": "deleted"})
        return {"status": "ok"}

    async def show_part(request: web.Request) -> Any:
        """GET /partials/experiments?session= -> the list, and the timeline of one"""
        wanted = request.query.get("session", "")
        sessions = await archive.sessions()
        shown = wanted or (sessions[0].id if sessions else "")
        timeline = await archive.timeline(shown) if shown else None
        return host.render(
            request, "experiments/timeline.html", sessions=sessions, wanted=text_of(wanted, ID_CHARS),
            timeline=timeline, gaps=gaps(timeline.steps) if timeline else [], now=host.clocks.wall(), moment=moment,
            words=seconds_words, amounts=amounts, parts=parts, progress=progress, lane=lane, state_words=state_words,
            address=host.address, quoted=lambda id: urllib.parse.quote(id, safe=""),
        )  # fmt: skip

    async def show_text(request: web.Request) -> Any:
        """GET /partials/experiments/text?session=&number= -> a prompt or an output"""
        number = request.query.get("number", "")
        is_number = number.isdecimal() and len(number) < 10
        text = await archive.text(request.query.get("session", ""), int(number)) if is_number else None
        if text is None:
            raise host.error("there is no such text any more", status=404, code="not_found")
        return host.render(request, "experiments/text.html", text=text)

    async def run(call: Any) -> str:
        ids = [word for word in call.args if word != "--json"]
        if len(ids) > 1 or any(word.startswith("-") for word in ids):
            raise host.error(f"usage: chomp {USAGE}", code="usage")
        now, columns = host.clocks.wall(), call.columns if call.tty else 0
        if ids:
            timeline = await found(ids[0])
            if "--json" not in call.args:
                return printable(timeline_lines(timeline, now, _clock), columns)
            shown: Any = session_fields(timeline, now, await archive.texts(ids[0]))
        elif "--json" not in call.args:
            return printable(list_lines(await archive.sessions(), now), columns)
        else:
            shown = {"sessions": [session_fields(one, now) for one in await archive.timelines()]}
        return msgspec.json.format(msgspec.json.encode(shown), indent=2).decode() + "\n"

    host.page("/experiments", "Experiments", "experiments/page.html", icon="experiments", data=list_experiments)
    host.route("POST", "/experiment")(tell)
    host.route("GET", "/sessions")(list_sessions)
    host.route("GET", "/experiments/{id}")(show_experiment)
    host.route("DELETE", "/experiments/{id}")(forget)
    host.route("GET", "/partials/experiments")(show_part)
    host.route("GET", "/partials/experiments/text")(show_text)
    host.command("experiments", "shows timelines of experiments", usage=USAGE)(run)
