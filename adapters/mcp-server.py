"""chomp as an MCP server: POST /mcp, for agents that use its models, tasks and arena as tools.

Streamable HTTP of both eras (https://modelcontextprotocol.io/specification): that with `initialize` (2024-11-05 to
2025-11-25), and the stateless one (2026-07-28), whose requests each say what they speak. chomp asks nothing of a
client, so there is no stream to GET; an answer that takes long becomes a stream of its own, with progress.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import collections
import contextlib
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

MANIFEST = {
    "id": "mcp-server",
    "name": "MCP server",
    "version": "1.0.0",
    "apiVersion": "^1.2",
    "contributes": {"settings": ["mcp-server"], "routes": ["/mcp"]},
}
HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")  # what `initialize` agrees on
STATELESS = ("2026-07-28",)
UNSAID = "2025-03-26"  # who names no version speaks this one
BATCHES = ("2025-03-26",)  # the only one that has them
META = "io.modelcontextprotocol/"
PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602
INTERNAL, CANCELLED = -32603, -32800
HEADER_MISMATCH, UNSUPPORTED_VERSION = -32020, -32022
STATUS = {  # of HTTP, for the errors of a stateless request
    PARSE_ERROR: 400, INVALID_REQUEST: 400, INVALID_PARAMS: 400, HEADER_MISMATCH: 400, UNSUPPORTED_VERSION: 400,
    NO_METHOD: 404,
}  # fmt: skip
BODY_BYTES, BODY_S = 4 << 20, 30.0
BATCH_MOST = 50
TEXT_CHARS = 100_000  # of one answer of a model, or of what a session printed
ARENA_CHARS = 20_000  # of each answer there
HOLD_S = 8.0  # an answer that comes within that is JSON, else a stream
PING_S = 15.0  # a stream says so often that it is still there
SLOW_S = 30.0  # a client that takes nothing for so long is left
PACE_S = 0.25  # between two words of progress
POLL_S = 0.5
SESSIONS = 1000  # that have ended, and are remembered
SESSION = re.compile(r"[\x21-\x7e]{1,128}")
INSTRUCTIONS = (
    "chomp is a gateway to many models, and runs coding agents. `ask` asks a model and waits; `dispatch` and `result` "
    "do so in the background; `arena` asks several and measures them. `add_task` gives an agent work in a folder, "
    "`list_tasks` and `task_output` show how it goes."
)
_B64 = re.compile(r"=\?base64\?(.*)\?=")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The MCP server."""

    answer_s: Annotated[float, Meta(gt=0)] = 600.0  # seconds that `ask` may take
    parallel: Annotated[int, Meta(ge=1, le=1000)] = 32  # calls at once


class RpcError(Exception):
    """An error of JSON-RPC."""

    def __init__(self, code: int, message: str, data: Any = None):
        super().__init__(message)
        self.code, self.message, self.data = code, message, data

    def shape(self, id: Any) -> dict[str, Any]:
        more = {} if self.data is None else {"data": self.data}
        return {"jsonrpc": "2.0", "id": id, "error": {"code": self.code, "message": self.message, **more}}


# -- tools

Words = Annotated[str, Meta(max_length=1 << 20)]
Name = Annotated[str, Meta(max_length=300)]
Model = Annotated[
    str, Meta(max_length=300, description="router/model, such as groq/llama-3.3-70b-versatile; auto: chomp chooses")
]
TaskId = Annotated[str, Meta(pattern="^#?[0-9]{1,18}$", description="The id of a task, as list_tasks has it")]


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks a model one question and waits for its answer, which comes with measured figures. The model knows nothing of
    this conversation, and has no tools."""

    prompt: Annotated[Words, Meta(min_length=1, description="All that the model is told")]
    model: Model = "auto"
    system: Annotated[Words, Meta(description="A system message")] = ""
    max_tokens: Annotated[int, Meta(ge=0, le=10_000_000, description="The answer is not longer; 0: no limit")] = 0


class Dispatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks a model one question in the background. Returns an id at once, with which `result` gets the answer."""

    prompt: Annotated[Words, Meta(min_length=1, description="All that the model is told")]
    model: Model = "auto"
    system: Annotated[Words, Meta(description="A system message")] = ""
    router: Annotated[Name, Meta(description="The only router that may be asked")] = ""


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of a `dispatch`: its status is pending, running, done or error."""

    id: Annotated[str, Meta(pattern="^[0-9]{1,17}$", description="As dispatch returned it")]
    wait_s: Annotated[float, Meta(ge=0, le=50, description="Seconds to wait for its end, up to 50")] = 0


class AddTask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Adds a task for a coding agent to chomp's queue. The agent works in a copy of the folder, on a branch of its own.
    With `run` it starts as soon as there is room."""

    prompt: Annotated[Words, Meta(min_length=1, description="What the agent is to do; it knows nothing else")]
    dir: Annotated[str, Meta(max_length=4096, description="The folder on chomp's machine that it works on")] = ""
    repo_url: Annotated[str, Meta(max_length=4096, description="A git repository to clone, instead of dir")] = ""
    platform: Annotated[Name, Meta(description="The agent, such as claude-code; empty: chomp chooses")] = ""
    model: Annotated[Name, Meta(description="The agent's model; empty: the agent's default")] = ""
    gate: Annotated[Words, Meta(description="A command that must succeed before the task counts as done")] = ""
    priority: Annotated[int, Meta(ge=-1000, le=1000, description="Higher starts first")] = 0
    budget_tokens: Annotated[int, Meta(ge=0, le=10**12, description="It pauses there; 0: no limit")] = 0
    run: Annotated[bool, Meta(description="Whether it is to start, or just waits in the queue")] = False


class ListTasks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lists tasks of chomp's queue, newest first, with what they have used. Archived ones are not among them."""

    status: Annotated[Literal["", "queued", "active", "done", "failed"], Meta(description="Empty: all")] = ""
    limit: Annotated[int, Meta(ge=1, le=200, description="How many")] = 30


class TaskOutput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shows what the agent of a task has printed, as text, and how the task is. `next` goes on from there."""

    id: TaskId
    since: Annotated[
        int, Meta(ge=-(10**15), le=10**15, description="Bytes from the start; below 0: from the end")
    ] = -16_000
    session: Annotated[str, Meta(max_length=20, description="s1, s2, ...; empty: the last one")] = ""
    wait_s: Annotated[float, Meta(ge=0, le=25, description="Seconds to wait for more, up to 25")] = 0


class CompareModels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks several models the same, side by side, and returns all answers with what was measured: time to first token,
    tokens per second, cost."""

    prompt: Annotated[Words, Meta(min_length=1, description="All that the models are told")]
    models: Annotated[list[Annotated[str, Meta(min_length=1, max_length=300)]],
                      Meta(min_length=1, max_length=16, description="Names, as router/model")]  # fmt: skip
    system: Annotated[Words, Meta(description="A system message")] = ""
    max_tokens: Annotated[int, Meta(ge=0, le=10_000_000, description="No answer is longer; 0: no limit")] = 0
    judge: Annotated[Name, Meta(description="A model that says which answer is best; empty: none")] = ""


Tell = Callable[[float, float | None, str], None]  # how far it is: progress, of what, in words
Output = tuple[dict[str, Any], str]  # as data, and as text: "" for the data as JSON


class Tool(msgspec.Struct, frozen=True):
    """One tool as clients see it, and what it does."""

    name: str
    title: str
    kind: type[msgspec.Struct]
    output: dict[str, Any]
    hints: dict[str, bool]
    run: Callable[[Any, Tell], Awaitable[Output]]

    def wire(self) -> dict[str, Any]:
        (_,), shapes = msgspec.json.schema_components([self.kind], ref_template="#/$defs/{name}")
        schema = shapes[self.kind.__name__]
        schema.pop("title", None)
        return {
            "name": self.name, "title": self.title, "description": schema.pop("description"),
            "inputSchema": {"properties": {}, **schema}, "outputSchema": self.output,
            "annotations": {"title": self.title, **self.hints},
        }  # fmt: skip

    def arguments(self, found: Any) -> Any:
        """What a model wrote, as the tool takes it. Raises ValueError in words for the model."""
        known = self.kind.__struct_fields__
        if odd := [name for name in found if name not in known]:
            raise ValueError(f"{self.name} has no argument {odd[0][:50]!r}; it has {', '.join(known)}")
        try:  # a null is how some say that they say nothing
            given = msgspec.convert({k: v for k, v in found.items() if v is not None}, self.kind, strict=False)
        except msgspec.ValidationError as error:
            words, _, place = str(error).partition(" - at `$.")
            raise ValueError(f"{place.rstrip('`')}: {words}" if place else words) from None
        if not getattr(given, "prompt", "x").strip():
            raise ValueError("prompt: it says nothing")
        return given


def shape(required: str, **types: Any) -> dict[str, Any]:
    """A JSON schema of an object: `types` by name, as a word or a schema; "number?" may be null, too."""
    properties = {
        name: ({"type": [kind[:-1], "null"]} if kind.endswith("?") else {"type": kind})
        if isinstance(kind, str)
        else kind
        for name, kind in types.items()
    }
    return {"type": "object", "properties": properties, "required": required.split()}


FIGURES = {
    "prompt_tokens": "integer?", "completion_tokens": "integer?", "cost_usd": "number?", "ttft_ms": "number?",
}  # fmt: skip
TASK = {
    "id": "string", "prompt": "string", "status": "string", "phase": "string", "platform": "string", "model": "string",
    "dir": "string", "created": "string", "finished": "string", "tokens": "integer", "cost_usd": "number?",
    "verified": "boolean?", "branch": "string", "result": "string",
}  # fmt: skip
OUTPUTS = {
    "ask": shape(
        "text model router finish_reason truncated", text="string", model="string", router="string",
        finish_reason="string", truncated="boolean", duration_ms="number?", tokens_per_s="number?", **FIGURES,
    ),
    "dispatch": shape("id status", id="string", status="string", model="string", router="string"),
    "result": shape(
        "id status", id="string", status="string", model="string", router="string", result="string", error="string",
        truncated="boolean", tokens_in="integer", tokens_out="integer", created="string", finished="string",
        latency_ms="integer",
    ),
    "task": shape("id status", **TASK),
    "tasks": shape(
        "tasks more", tasks={"type": "array", "items": shape("id status", **TASK)}, more="integer",
    ),
    "printed": shape(
        "id status text next ended", id="string", status="string", session="string", text="string", since="integer",
        next="integer", ended="boolean",
    ),
    "arena": shape(
        "id status answers", id="string", status="string", summary="string?", judge={"type": ["object", "null"]},
        answers={"type": "array", "items": shape(
            "model status text", model="string", status="string", text="string", truncated="boolean", error="string?",
            router="string", finish_reason="string", tok_s="number?", wall_ms="number?", estimated="boolean", **FIGURES,
        )},
    ),
}  # fmt: skip


def plain(text: str, most: int) -> tuple[str, bool]:
    """`text` as JSON can have it, and whether it is cut."""
    return text[:most].encode("utf-8", "replace").decode(), len(text) > most


def brief(task: Any) -> dict[str, Any]:
    """A task in a list."""
    found = {name: getattr(task, name, "") for name in TASK}
    found |= {"prompt": plain(task.prompt, 300)[0], "result": plain(task.result, 2000)[0]}
    return {name: value for name, value in found.items() if value not in ("", None)} | {"status": task.status}


class Tools:
    """What the tools do, on chomp's services."""

    def __init__(self, host: Any):
        self._host = host

    def all(self) -> dict[str, Tool]:
        """The tools there are, by name."""
        reads = {"readOnlyHint": True, "openWorldHint": False}
        asks = {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False, "openWorldHint": True}
        works = {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": False, "openWorldHint": True}
        found = [
            Tool("ask", "Ask a model", Ask, OUTPUTS["ask"], asks, self.ask),
            Tool("dispatch", "Ask a model in the background", Dispatch, OUTPUTS["dispatch"], asks, self.dispatch),
            Tool("result", "Result of a dispatch", Result, OUTPUTS["result"], reads, self.result),
            Tool("add_task", "Add a task for an agent", AddTask, OUTPUTS["task"], works, self.add_task),
            Tool("list_tasks", "List tasks", ListTasks, OUTPUTS["tasks"], reads, self.list_tasks),
            Tool("task_output", "Output of a task", TaskOutput, OUTPUTS["printed"], reads, self.task_output),
        ]
        with contextlib.suppress(LookupError):
            self._host.service("arena")
            found.append(Tool("arena", "Compare models", CompareModels, OUTPUTS["arena"], asks, self.arena))
        return {one.name: one for one in found}

    async def ask(self, given: Ask, tell: Tell) -> Output:
        messages = [{"role": "user", "content": given.prompt}]
        if given.system:
            messages.insert(0, {"role": "system", "content": given.system})
        fields: dict[str, Any] = {"model": given.model or "auto", "messages": messages, "stream": True}
        if given.max_tokens:
            fields["max_tokens"] = given.max_tokens
        question = self._host.ask(fields, f"ask-{secrets.token_hex(4)}")
        pieces: list[str] = []
        chars = thought = 0
        limit_s = self._host.settings.answer_s
        try:
            async with asyncio.timeout(limit_s), contextlib.aclosing(question):
                async for kind, words in question:
                    if kind == "text":
                        if chars <= TEXT_CHARS:
                            pieces.append(words)
                        chars += len(words)
                    else:
                        thought += len(words)
                    said = f"{chars:,} characters" if chars else f"it thinks: {thought:,} characters"
                    tell(chars + thought, None, said)
        except TimeoutError:
            raise ValueError(f"the answer took longer than {limit_s:g} s") from None
        text, is_cut = plain("".join(pieces), TEXT_CHARS)
        found: dict[str, Any] = {
            "text": text, "truncated": is_cut, "finish_reason": question.finish_reason or "", "model": given.model,
            "router": "",
        }  # fmt: skip
        if (end := question.end) is not None:
            row = end.row
            found |= {
                "model": row.sent_model, "router": row.router, "prompt_tokens": row.prompt_tokens,
                "completion_tokens": row.completion_tokens, "cost_usd": row.cost_usd, "ttft_ms": row.ttft_ms,
                "duration_ms": row.duration_ms, "tokens_per_s": end.tokens_per_s,
            }  # fmt: skip
        return found, text or "(it answered nothing)"

    async def dispatch(self, given: Dispatch, tell: Tell) -> Output:
        job = await self._host.service("jobs").add(
            {"prompt": given.prompt, "model": given.model, "system": given.system, "router": given.router}
        )
        return {"id": job.id, "status": job.status, "model": job.model, "router": job.router}, ""

    async def result(self, given: Result, tell: Tell) -> Output:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + given.wait_s
        while True:
            job = await self._host.service("jobs").get(given.id)
            left_s = ends_at - loop.time()
            if job.status not in ("pending", "running") or left_s <= 0:
                break
            await asyncio.sleep(min(POLL_S, left_s))
        text, is_cut = plain(job.result, TEXT_CHARS)
        found = {name: getattr(job, name) for name in OUTPUTS["result"]["properties"] if name != "truncated"}
        return {**found, "result": text, "truncated": is_cut}, ""

    async def add_task(self, given: AddTask, tell: Tell) -> Output:
        fields = {name: value for name, value in msgspec.structs.asdict(given).items() if value}
        platforms = self._host.service("platforms").all()
        if given.platform and given.platform not in platforms:
            raise ValueError(f"platform: there is none {given.platform[:50]!r}; there are {', '.join(platforms)}")
        return brief(await self._host.service("dispatch").add(fields)), ""

    async def list_tasks(self, given: ListTasks, tell: Tell) -> Output:
        found = [one for one in self._host.service("tasks").all() if given.status in ("", one.status)]
        shown = found[::-1][: given.limit]
        return {"tasks": [brief(one) for one in shown], "more": len(found) - len(shown)}, ""

    async def task_output(self, given: TaskOutput, tell: Tell) -> Output:
        task = await self._host.service("tasks").found(given.id.removeprefix("#"))
        ids = [one.id for one in task.sessions]
        session = given.session or (ids[-1] if ids else "")
        facts = {"id": task.id, "status": task.status, "session": session}
        if not session:
            return {**facts, "text": "", "since": 0, "next": 0, "ended": False}, ""
        if session not in ids:
            raise ValueError(f"session: task {task.id} has {', '.join(ids)}, not {session!r}")
        try:
            self._host.service("dispatch").here(task, kept=True)
        except Exception as error:  # it is kept where it was printed
            if not (replica := getattr(error, "replica", "")):
                raise
            path = f"/api/tasks/{task.id}/output?session={session}&since={given.since}&wait={given.wait_s:.0f}"
            return {**facts, **await self._host.service("replicas").ask(replica, path)}, ""
        found = await self._host.service("dispatch").printed(task, session, given.since, given.wait_s)
        if len(found.data) > TEXT_CHARS:
            cut = found.data.rfind(b"\n", 0, TEXT_CHARS) + 1 or TEXT_CHARS
            found = msgspec.structs.replace(found, data=found.data[:cut], next=found.since + cut, ended=False)
        text, _ = plain(found.text, TEXT_CHARS)
        return {**facts, "text": text, "since": found.since, "next": found.next, "ended": found.ended}, ""

    async def arena(self, given: CompareModels, tell: Tell) -> Output:
        arena = self._host.service("arena")
        fields: dict[str, Any] = {"targets": given.models, "prompt": given.prompt, "system": given.system}
        if given.max_tokens:
            fields["max_tokens"] = given.max_tokens
        if given.judge:
            fields["judge"] = given.judge
        match = await arena.begin_with(fields)
        total = len(match.answers)
        try:
            async with contextlib.aclosing(match.events()) as events:
                async for _ in events:
                    done = sum(one.is_over for one in match.answers)
                    tell(done, total, f"{done} of {total} answers")
        finally:
            if not match.is_over:  # whoever wanted it has left
                self._host.start(f"the end of run {match.run.id}", arena.stop(match.run.id))
        return self._compared(match.shown()), ""

    @staticmethod
    def _compared(run: Mapping[str, Any]) -> dict[str, Any]:
        answers = []
        for contender in run["contenders"]:
            for one in contender["answers"]:
                text, is_cut = plain(one["text"], ARENA_CHARS)
                names = (*FIGURES, "status", "router", "finish_reason", "tok_s", "wall_ms", "estimated")
                error = one["error"] and str(one["error"]["message"])
                facts = {name: one[name] for name in names}
                answers.append(
                    {"model": contender["model"], "text": text, "truncated": is_cut, "error": error, **facts}
                )
        judge = run["judge"]
        if judge is not None:
            winner = None if judge["winner"] is None else run["contenders"][judge["winner"]]["label"]
            names = ("model", "status", "reason", "error")
            judge = {"winner": winner, **{name: judge[name] for name in names}}
        summary = run["summary"] and run["summary"]["words"]
        return {"id": run["id"], "status": run["status"], "answers": answers, "summary": summary, "judge": judge}


# -- messages


def decoded(body: bytes) -> Any:
    """A body as JSON. Raises RpcError."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RpcError(PARSE_ERROR, f"Parse error: {error}") from None
    except RecursionError:
        raise RpcError(PARSE_ERROR, "Parse error: it is nested too deeply") from None


def is_id(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def id_of(message: Any) -> Any:
    """The id that an error answers; None where there is no usable one."""
    found = message.get("id") if isinstance(message, dict) else None
    return found if is_id(found) else None


def check_message(message: Any) -> None:
    """Raises RpcError for what is no message of JSON-RPC."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'a message is one JSON object with "jsonrpc": "2.0"')
    if not isinstance(message.get("method"), str):
        raise RpcError(INVALID_REQUEST, "the message has no method")
    if "id" in message and not is_id(message["id"]):
        raise RpcError(INVALID_REQUEST, "the id of a request is a text or a whole number")
    if not isinstance(message.get("params", {}), dict):
        raise RpcError(INVALID_PARAMS, "params must be an object")


def is_response(message: Any) -> bool:
    """Whether it answers a request, of which chomp makes none."""
    return isinstance(message, dict) and "method" not in message and ("result" in message or "error" in message)


def header_value(text: str | None) -> str | None:
    """A header's value; what no header could have is sent in base64."""
    found = _B64.fullmatch(text or "")
    if found is None:
        return text
    try:
        return base64.b64decode(found[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


class Call:
    """A tool at work: how far it is, and what came of it."""

    def __init__(self, id: Any, token: Any):
        self.id, self.token = id, token
        self.changed = asyncio.Event()
        self.progress: tuple[float, float | None, str] | None = None
        self.told = -1.0  # progress must grow
        self.task: asyncio.Task[dict[str, Any]] | None = None
        self.is_cancelled = False

    def tell(self, progress: float, total: float | None, words: str) -> None:
        """Of several words in a moment the last one is told."""
        if self.token is not None:
            self.progress = (progress, total, words)
            self.changed.set()

    def news(self) -> bytes:
        """What is new, as an event of a stream; b"" for nothing."""
        if self.progress is None or self.progress[0] <= self.told:
            return b""
        (self.told, total, words), self.progress = self.progress, None
        params = {"progressToken": self.token, "progress": self.told, "message": words}
        if total is not None:
            params["total"] = total
        return event({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})

    def cancel(self) -> None:
        self.is_cancelled = True
        if self.task is not None:
            self.task.cancel()


def event(message: Any) -> bytes:
    """A message in a stream."""
    return b"event: message\ndata: " + msgspec.json.encode(message) + b"\n\n"


class Era:
    """What a request speaks: how its results look, and which status its errors have."""

    def __init__(self, version: str, info: dict[str, Any]):
        self.version, self.is_stateless = version, version in STATELESS
        self._info = info

    def result(self, id: Any, found: dict[str, Any]) -> dict[str, Any]:
        if self.is_stateless:
            found = {**found, "resultType": "complete", "_meta": {f"{META}serverInfo": self._info}}
        return {"jsonrpc": "2.0", "id": id, "result": found}

    def status(self, answer: Any) -> int:
        """A 2025 request that was understood has 200, whatever came of it."""
        error = answer.get("error") if isinstance(answer, dict) else None
        return STATUS.get(error["code"], 200) if error and self.is_stateless else 200


class Server:
    """The endpoint: messages in, answers out."""

    def __init__(self, host: Any):
        self._host, self._tools = host, Tools(host)
        self._calls: dict[tuple[str, Any], Call] = {}  # of sessions, by the id of the request
        self._running: set[Call] = set()
        self._ended: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._info = {"name": "chomp", "title": "chomp", "version": MANIFEST["version"]}

    # -- HTTP

    async def post(self, request: web.Request) -> web.StreamResponse:
        """POST /mcp: a message of JSON-RPC -> its answer, as JSON or a stream; 202 for a notification"""
        host = self._host
        if request.content_type != "application/json":
            raise host.error("the body must be JSON, with content-type: application/json", status=415)
        takes = accepted(request)
        if not takes:
            raise host.error("accept must have application/json and text/event-stream", status=406)
        try:
            message = decoded(await self._body(request))
        except RpcError as error:
            return answered(error.shape(None), 400)
        try:
            era = self._era(request, message)
            if isinstance(message, list):
                return await self._batch(request, era, message)
            if not era.is_stateless and is_response(message):
                return web.Response(status=202)
            check_message(message)
            if era.is_stateless and "id" in message:
                self._check_envelope(request, message)
        except RpcError as error:
            return answered(error.shape(id_of(message)), STATUS.get(error.code, 400))
        session = "" if era.is_stateless else self._session(request)
        if "id" not in message:
            self._hear(session, message)
            return web.Response(status=202)
        if message["method"] == "tools/call":
            return await self._call(request, era, session, message, takes)
        answer = self._answer(era, message)
        made = answered(answer, era.status(answer))
        if message["method"] == "initialize" and "result" in answer:
            made.headers["mcp-session-id"] = secrets.token_hex(16)
        return made

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """DELETE /mcp: ends a session, and what runs in it"""
        session = self._session(request)
        if not session:
            raise self._host.error("mcp-session-id says which session is to end", status=400)
        for (one, _), call in list(self._calls.items()):
            if one == session:
                call.cancel()
        self._ended[session] = None
        while len(self._ended) > SESSIONS:
            self._ended.popitem(last=False)
        return web.Response(status=204)

    def stop(self) -> None:
        """chomp shuts down: what runs is not waited for."""
        for call in list(self._running):
            call.cancel()

    async def _body(self, request: web.Request) -> bytes:
        """Raises an error that answers with 408, 413 or 415."""
        error = self._host.error
        if request.headers.get("content-encoding", "identity") != "identity":
            raise error("the body must not be compressed", status=415)
        body = bytearray()
        too_large = f"the body has more than {BODY_BYTES >> 20} MiB"
        if (request.content_length or 0) > BODY_BYTES:
            raise error(too_large, status=413, code="request_too_large")
        try:
            async with asyncio.timeout(BODY_S):
                while not request.content.at_eof():
                    body += await request.content.readany()
                    if len(body) > BODY_BYTES:
                        raise error(too_large, status=413, code="request_too_large")
        except TimeoutError:
            raise error(f"the body did not come within {BODY_S:g} s", status=408) from None
        return bytes(body)

    def _era(self, request: web.Request, message: Any) -> Era:
        """Raises RpcError for a version that is not spoken here, or for two at once."""
        named = request.headers.getall("mcp-protocol-version", [])
        if len(named) > 1:
            raise RpcError(HEADER_MISMATCH, "MCP-Protocol-Version is there twice")
        version = named[0] if named else ""
        params = message.get("params") if isinstance(message, dict) else None
        meta = params.get("_meta") if isinstance(params, dict) else None
        inside = meta.get(f"{META}protocolVersion") if isinstance(meta, dict) else None
        if inside is not None and inside != version and version not in STATELESS:
            raise RpcError(HEADER_MISMATCH, "MCP-Protocol-Version differs from the version in params._meta")
        if version and version not in HANDSHAKE + STATELESS:
            raise unsupported(version)
        return Era(version or UNSAID, self._info)

    @staticmethod
    def _check_envelope(request: web.Request, message: dict[str, Any]) -> None:
        """Raises RpcError where a stateless request does not say what it must, or its headers say something else."""
        for name in ("mcp-method", "mcp-name"):
            if len(request.headers.getall(name, [])) > 1:
                raise RpcError(HEADER_MISMATCH, f"{name} is there twice")
        params = message.get("params", {})
        meta = params.get("_meta")
        needed = (f"{META}protocolVersion", f"{META}clientCapabilities")
        if not isinstance(meta, dict) or (missing := [name for name in needed if name not in meta]):
            words = ", ".join(missing) if isinstance(meta, dict) else " and ".join(needed)
            raise RpcError(INVALID_PARAMS, f"params._meta must have {words}")
        if not isinstance(meta[needed[1]], dict):
            raise RpcError(INVALID_PARAMS, f"{needed[1]} must be an object")
        headers, method = request.headers, message["method"]
        if headers.get("mcp-protocol-version") != meta[needed[0]]:
            raise RpcError(HEADER_MISMATCH, "MCP-Protocol-Version differs from the version in params._meta")
        if headers.get("mcp-method") != method:
            raise RpcError(HEADER_MISMATCH, "Mcp-Method differs from the method in the body")
        key = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}.get(method)
        if key and params.get(key) is not None and header_value(headers.get("mcp-name")) != params[key]:
            raise RpcError(HEADER_MISMATCH, f"Mcp-Name differs from the {key} in the body")

    def _session(self, request: web.Request) -> str:
        """The session that a request is of, "" for none. Raises an error that answers with 400 or 404.

        Nothing is kept of one but its calls, so that a client's outlives a restart of chomp.
        """
        session: str = request.headers.get("mcp-session-id", "")
        if session and not SESSION.fullmatch(session):
            raise self._host.error("that is no id of a session", status=400)
        if session in self._ended:
            raise self._host.error("that session has ended: begin another one", status=404)
        return session

    # -- messages

    def _hear(self, session: str, message: dict[str, Any]) -> None:
        """A notification: only what is cancelled matters here, and only within a session."""
        if message["method"] == "notifications/cancelled" and session:
            id = message.get("params", {}).get("requestId")
            if is_id(id) and (call := self._calls.get((session, id))) is not None:
                call.cancel()

    def _answer(self, era: Era, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request that calls no tool."""
        id, method, params = message["id"], message["method"], message.get("params", {})
        try:
            match method, era.is_stateless:
                case "initialize", False:
                    return era.result(id, self._initialized(params))
                case "ping", False:
                    return era.result(id, {})
                case "server/discover", True:
                    return era.result(id, self._discovered())
                case "tools/list", _:
                    return era.result(id, self._listed(era, params))
            raise RpcError(NO_METHOD, f"Method not found: {method[:100]}")
        except RpcError as error:
            return error.shape(id)

    def _initialized(self, params: dict[str, Any]) -> dict[str, Any]:
        wanted = params.get("protocolVersion")
        if not isinstance(wanted, str):
            raise RpcError(INVALID_PARAMS, "initialize needs protocolVersion")
        return {
            "protocolVersion": wanted if wanted in HANDSHAKE else HANDSHAKE[-1],
            "capabilities": {"tools": {"listChanged": False}}, "serverInfo": self._info, "instructions": INSTRUCTIONS,
        }  # fmt: skip

    @staticmethod
    def _discovered() -> dict[str, Any]:
        return {
            "supportedVersions": [*STATELESS], "capabilities": {"tools": {}}, "instructions": INSTRUCTIONS,
            "ttlMs": 60_000, "cacheScope": "private",
        }  # fmt: skip

    def _listed(self, era: Era, params: dict[str, Any]) -> dict[str, Any]:
        if params.get("cursor") is not None:
            raise RpcError(INVALID_PARAMS, "there is one page of tools: leave cursor out")
        more = {"ttlMs": 60_000, "cacheScope": "private"} if era.is_stateless else {}
        return {"tools": [one.wire() for one in self._tools.all().values()], **more}

    async def _batch(self, request: web.Request, era: Era, messages: list[Any]) -> web.StreamResponse:
        """The answers to several messages, which one version has. Raises RpcError for all others."""
        if era.version not in BATCHES:
            raise RpcError(INVALID_REQUEST, f"{era.version} has no batches: send one message")
        if not 0 < len(messages) <= BATCH_MOST:
            raise RpcError(INVALID_REQUEST, f"a batch has 1 to {BATCH_MOST} messages")
        session, calls = self._session(request), list[Call | dict[str, Any]]()
        try:
            for message in messages:
                if is_response(message):
                    continue
                try:
                    check_message(message)
                    if message["method"] == "initialize":
                        raise RpcError(INVALID_REQUEST, "initialize stands alone")
                    if "id" not in message:
                        self._hear(session, message)
                    elif message["method"] == "tools/call":
                        calls.append(self._begin(era, session, message))
                    else:
                        calls.append(self._answer(era, message))
                except RpcError as error:
                    calls.append(error.shape(id_of(message)))
            tasks = [one.task for one in calls if isinstance(one, Call) and one.task is not None]
            if tasks:
                await asyncio.wait(tasks)
        finally:
            for one in calls:
                if isinstance(one, Call):
                    self._leave(session, one)
        found = [self._result(era, one) if isinstance(one, Call) else one for one in calls]
        return answered(found, 200) if found else web.Response(status=202)

    # -- calls of tools

    def _begin(self, era: Era, session: str, message: dict[str, Any]) -> Call:
        """A tool, at work. Raises RpcError for one that is not there."""
        params = message.get("params", {})
        name, arguments, meta = params.get("name"), params.get("arguments"), params.get("_meta")
        if not isinstance(name, str):
            raise RpcError(INVALID_PARAMS, "tools/call needs name")
        if not isinstance(arguments, dict | None):
            raise RpcError(INVALID_PARAMS, "arguments must be an object")
        if (tool := self._tools.all().get(name)) is None:
            raise RpcError(INVALID_PARAMS, f"Unknown tool: {name[:100]}")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        call = Call(message["id"], token if is_id(token) else None)
        if len(self._running) >= self._host.settings.parallel:
            raise RpcError(INTERNAL, f"{len(self._running)} calls run already: try again later")
        if session:
            if (session, call.id) in self._calls:
                raise RpcError(INVALID_REQUEST, "a request with this id runs already")
            self._calls[session, call.id] = call
        self._running.add(call)
        call.task = self._host.start(f"the tool {name}", self._work(tool, arguments or {}, call))
        call.task.add_done_callback(lambda _: call.changed.set())
        return call

    def _leave(self, session: str, call: Call) -> None:
        """Nobody waits for it any more."""
        self._running.discard(call)
        if self._calls.get((session, call.id)) is call:
            del self._calls[session, call.id]
        if call.task is not None and not call.task.done():
            call.cancel()

    async def _work(self, tool: Tool, arguments: dict[str, Any], call: Call) -> dict[str, Any]:
        """The result of a tool; what goes wrong is a result, too, from which a model can learn."""
        try:
            found, text = await tool.run(tool.arguments(arguments), call.tell)
            text = text or json.dumps(found, ensure_ascii=False)
            return {"content": [{"type": "text", "text": text}], "structuredContent": found, "isError": False}
        except Exception as error:
            if not isinstance(error, ValueError) and not hasattr(error, "code"):  # a bug; of others these are words
                raise
            words = self._host.redact(str(error))[:2000]
            return {"content": [{"type": "text", "text": words}], "isError": True}

    def _result(self, era: Era, call: Call) -> dict[str, Any]:
        """The answer of a call that is over."""
        task = call.task
        assert task is not None
        if task.cancelled():
            return RpcError(CANCELLED, "Request cancelled").shape(call.id)
        if task.exception() is not None:  # it is logged already
            return RpcError(INTERNAL, "the tool failed; chomp's log says why").shape(call.id)
        return era.result(call.id, task.result())

    async def _call(
        self, request: web.Request, era: Era, session: str, message: dict[str, Any], takes: str
    ) -> web.StreamResponse:
        """The answer to a call: JSON when it comes soon or nothing else is taken, else a stream."""
        try:
            call = self._begin(era, session, message)
        except RpcError as error:
            answer = error.shape(message["id"])
            return answered(answer, era.status(answer))
        try:
            assert call.task is not None
            if "stream" in takes:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(HOLD_S):
                        while not call.task.done() and call.progress is None:
                            call.changed.clear()
                            await call.changed.wait()
            if "json" in takes and ("stream" not in takes or call.task.done()):
                await asyncio.wait([call.task])
                answer = self._result(era, call)
                return answered(answer, era.status(answer))
            return await self._stream(request, era, call)
        finally:
            self._leave(session, call)

    async def _stream(self, request: web.Request, era: Era, call: Call) -> web.StreamResponse:
        assert call.task is not None
        headers = {"content-type": "text/event-stream", "cache-control": "no-cache, no-transform",
                   "x-accel-buffering": "no", "x-content-type-options": "nosniff"}  # fmt: skip
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)

        async def write(words: bytes) -> None:
            try:
                async with asyncio.timeout(SLOW_S):
                    await response.write(words)
            except TimeoutError:
                raise ConnectionResetError("the client reads nothing") from None

        while True:
            call.changed.clear()
            is_over = call.task.done()
            if words := call.news():
                await write(words)
            if is_over:
                await write(event(self._result(era, call)))
                return response
            try:
                async with asyncio.timeout(PING_S):
                    await call.changed.wait()
            except TimeoutError:
                if not self._host.is_known(request):
                    raise ConnectionResetError("the key of this client has ended") from None
                await write(b": ping\n\n")
            if not call.task.done():
                await asyncio.sleep(PACE_S)  # what comes within that is told together


def unsupported(version: Any) -> RpcError:
    data = {"supported": [*HANDSHAKE, *STATELESS], "requested": str(version)[:100]}
    return RpcError(UNSUPPORTED_VERSION, "Unsupported protocol version", data)


def accepted(request: web.Request) -> str:
    """What a client takes: "json", "stream", both, or "" for nothing of that."""
    found = {part.partition(";")[0].strip().lower() for part in request.headers.get("accept", "*/*").split(",")}
    json_too = found & {"application/json", "application/*", "*/*"}
    return " ".join(["json"] * bool(json_too) + ["stream"] * bool("text/event-stream" in found))


def answered(message: Any, status: int) -> web.Response:
    """An answer as JSON."""
    headers = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
    body = msgspec.json.encode(message)
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def activate(host: Any) -> None:
    server = Server(host)
    host.on("proxy_stop", lambda event: server.stop())
    add: Callable[..., Any] = host.route
    add("POST", "/mcp")(server.post)
    add("DELETE", "/mcp")(server.delete)
