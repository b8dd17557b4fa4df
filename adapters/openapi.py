"""The chat API as an OpenAPI 3.1 document, for generators of clients and for editors: GET /openapi.json.

What is sent and taken stands here as structs, once; ids, names and words of operations are those of their handlers. An
address that this server does not have, because an extension is off, is not in its document.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

MANIFEST = {
    "id": "openapi",
    "name": "OpenAPI",
    "version": "1.0.0",
    "apiVersion": "^1.1",
    "contributes": {"routes": ["/openapi.json"]},
}
SCHEMAS = "#/components/schemas/"

Text = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=0)]
Number = Annotated[int, Meta(ge=1)]
Ms = Annotated[int, Meta(ge=0, description="Milliseconds")]
At = Annotated[int, Meta(ge=0, description="Milliseconds since 1970")]
Slug = Annotated[str, Meta(pattern="^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
Id = Annotated[str, Meta(pattern="^[A-Za-z0-9._:-]{1,128}$")]
Effort = Literal["low", "medium", "high", "xhigh", "max"]
Mode = Literal["plan", "ask", "auto"]
Status = Literal["active", "idle", "closed"]
Scope = Literal["once", "conversation", "workspace"]


class Shape(Struct, rename="camel"):
    pass


class Tagged(Shape, tag_field="type"):
    pass


# -- what is stored


class TextChunk(Tagged, tag="text"):
    text: str


class ThinkingChunk(Tagged, tag="thinking"):
    text: str


class ToolCallChunk(Tagged, tag="tool-call"):
    tool_call_id: str
    tool_name: str
    input: Annotated[Any, Meta(description="Any JSON; a text where the model wrote no JSON")]
    step_id: str | UnsetType = UNSET


class ToolResultChunk(Tagged, tag="tool-result"):
    tool_call_id: str
    tool_name: str
    content: str
    is_error: bool
    step_id: str | UnsetType = UNSET


class ErrorChunk(Tagged, tag="error"):
    message: str
    code: str | UnsetType = UNSET


class SystemChunk(Tagged, tag="system"):
    text: str


class ImageChunk(Tagged, tag="image"):
    url: Annotated[str, Meta(description="An address of this server, which wants the token, too")]
    mime_type: str
    name: str | UnsetType = UNSET


Chunk = TextChunk | ThinkingChunk | ToolCallChunk | ToolResultChunk | ErrorChunk | SystemChunk | ImageChunk


class StoredChunk(Shape):
    """Numbers begin with 1 and have no gap: above 1 there are older ones. A compaction begins them anew."""

    seq: Number
    role: Literal["system", "user", "assistant", "tool"]
    chunk: Chunk


class Usage(Shape):
    """Tokens; those that come from a cache are part of `inputTokens`, and absent where no provider told them."""

    input_tokens: Count
    output_tokens: Count
    cache_read_tokens: Count | UnsetType = UNSET
    cache_write_tokens: Count | UnsetType = UNSET


class StepMetrics(Shape):
    step_id: str
    usage: Usage | UnsetType = UNSET
    ttft_ms: Ms | UnsetType = UNSET
    decode_ms: Ms | UnsetType = UNSET
    gen_total_ms: Ms | UnsetType = UNSET


class TurnMetrics(Shape):
    turn_id: str
    usage: Usage
    steps: list[StepMetrics]
    duration_ms: Ms | UnsetType = UNSET
    context_size: Annotated[Count, Meta(description="Tokens of the last step")] | UnsetType = UNSET
    latest_seq: Annotated[Count, Meta(description="Its last chunk, while the conversation has it")] | UnsetType = UNSET


class Queued(Shape):
    id: str
    text: str
    queued_at: At
    images: Number | UnsetType = UNSET


# -- events of a turn: lines of POST /chat, and `event` of chat.delta


class Event(Tagged):
    conversation_id: str
    turn_id: Annotated[str, Meta(description='Opaque; "" of an error where no turn began')]


class UserMessage(Event, tag="user-message"):
    text: str
    images: Number | UnsetType = UNSET


class TurnStart(Event, tag="turn-start"):
    seq: Annotated[int, Meta(description="The first stored chunk that belongs to this turn")] | UnsetType = UNSET


class TextDelta(Event, tag="text-delta"):
    delta: str


class ReasoningDelta(Event, tag="reasoning-delta"):
    delta: str


class ToolCall(Event, tag="tool-call"):
    step_id: str
    tool_call_id: str
    tool_name: str
    input: Any


class ToolOutput(Event, tag="tool-output"):
    """What a tool prints while it runs; it is not stored."""

    tool_call_id: str
    data: str
    stream: Literal["stdout", "stderr"]


class ToolResult(Event, tag="tool-result"):
    step_id: str
    tool_call_id: str
    tool_name: str
    content: str
    is_error: bool
    duration_ms: Ms | UnsetType = UNSET


class UsageTold(Event, tag="usage"):
    usage: Usage
    step_id: str | UnsetType = UNSET


class StepComplete(Event, tag="step-complete"):
    step_id: str
    ttft_ms: Ms | UnsetType = UNSET
    decode_ms: Ms | UnsetType = UNSET
    gen_total_ms: Ms | UnsetType = UNSET


class ProviderRetry(Event, tag="provider-retry"):
    attempt: Annotated[Count, Meta(description="Counted from 0")]
    delay_ms: Ms
    message: str
    code: str | UnsetType = UNSET


class Steering(Event, tag="steering"):
    """What was queued, now told to the model."""

    text: str
    images: Number | UnsetType = UNSET


class Child(Event, tag="child"):
    """A conversation that a tool has begun."""

    tool_call_id: str
    child_id: str
    title: str
    status: Literal["active", "idle"]


class Source(Shape):
    conversation_id: str
    title: str
    lineage: Annotated[list[str], Meta(description="Titles from the root on")]


class Question(Shape):
    """A call that waits for a person."""

    id: str
    conversation_id: str
    root_id: Annotated[str, Meta(description="The conversation at the top, which that one works for")]
    call_id: str
    tool_name: str
    input: Any
    reason: str
    rule: Annotated[str | None, Meta(description="What a longer scope allows, word for word; null: only once")]
    scopes: list[Scope]
    asked_at: At
    expires_at: At
    source: Source


class Approval(Event, tag="approval"):
    """A call waits for a person; see Question."""

    id: str
    call_id: str
    tool_name: str
    input: Any
    reason: str
    rule: str | None
    scopes: list[Scope]
    asked_at: At
    expires_at: At
    source: Source


class ApprovalAnswered(Event, tag="approval-answered"):
    id: str
    call_id: str
    allowed: bool
    scope: Scope


class Error(Event, tag="error"):
    message: str
    code: str | UnsetType | None = UNSET


class Done(Event, tag="done"):
    reason: Annotated[
        str,
        Meta(description="stop, tool-calls, length, content-filter, max-steps, loop, error, aborted, or another"),
    ]
    duration_ms: Ms | UnsetType = UNSET
    usage: Usage | UnsetType = UNSET
    context_size: Count | UnsetType = UNSET


class TurnSealed(Event, tag="turn-sealed"):
    """All of the turn is stored."""

    latest_seq: Annotated[int, Meta(description="The last stored chunk")] | UnsetType = UNSET


class StatusTold(Tagged, tag="status"):
    conversation_id: str
    status: Status


AnyEvent = (
    UserMessage | TurnStart | TextDelta | ReasoningDelta | ToolCall | ToolOutput | ToolResult | UsageTold | StepComplete
    | ProviderRetry | Steering | Child | Approval | ApprovalAnswered | Error | Done | TurnSealed | StatusTold
)  # fmt: skip

# -- requests and answers


class Attachment(Shape):
    """png, jpeg, gif and webp go to the model as images of up to 5 MB, UTF-8 of up to 256 KiB as text."""

    name: str
    data: Annotated[str, Meta(extra_json_schema={"contentEncoding": "base64"})]
    mime_type: str | UnsetType = UNSET


Attachments = Annotated[list[Attachment], Meta(max_length=10)]


class TurnFields(Shape):
    model: str | None = None
    cwd: str | None = None
    reasoning_effort: Effort | None = None
    workspace_id: Slug | None = None
    mode: Mode | None = None
    attachments: Attachments | UnsetType = UNSET


class ChatFields(TurnFields):
    message: Annotated[str, Meta(description="Needed where nothing is attached")] | UnsetType = UNSET
    conversation_id: Annotated[str, Meta(description="Without one a new conversation begins")] | None = None
    approvals: Annotated[bool, Meta(description="This client asks a person what `approval` is about")] | UnsetType = (
        UNSET
    )


class WarmFields(Shape):
    conversation_id: Id
    model: str | None = None
    cwd: str | None = None


class Warmed(Shape):
    input_tokens: Count
    output_tokens: Count
    cache_read_tokens: Count
    cache_write_tokens: Count
    cache_pct: Annotated[int, Meta(ge=0, le=100)]
    expected_cache_rate: Annotated[int, Meta(ge=0, le=100)]


class ModelInfo(Shape):
    context_window: Number | UnsetType = UNSET


class Models(Shape):
    models: list[str]
    model_info: dict[str, ModelInfo] | UnsetType = UNSET
    default_model: Annotated[str, Meta(description="Of conversations that name none")] | UnsetType = UNSET


class Match(Shape):
    seq: Count
    text: str


class Conversation(Shape):
    id: str
    created_at: At
    last_activity_at: At
    title: str
    status: Status
    workspace_id: str
    compacted_from: Annotated[str, Meta(description="The archive of before its last compaction")] | UnsetType = UNSET
    parent_id: str | UnsetType = UNSET
    parent_call: str | UnsetType = UNSET
    branched_from: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    mode: Mode | UnsetType = UNSET
    cwd: str | UnsetType = UNSET
    reasoning_effort: Effort | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    approvals: Annotated[Count, Meta(description="Calls that wait for a person")] | UnsetType = UNSET
    match: Annotated[Match, Meta(description="Where the words of a search stand")] | UnsetType = UNSET


class Conversations(Shape):
    conversations: list[Conversation]


class ConversationsQuery(Shape):
    q: Annotated[str, Meta(description="How ids begin")] | UnsetType = UNSET
    status: Annotated[str, Meta(description="active, idle, closed, joined by commas")] | UnsetType = UNSET
    workspace_id: str | UnsetType = UNSET
    search: Annotated[str, Meta(description="Words of titles and texts")] | UnsetType = UNSET
    parent_id: Annotated[str, Meta(description="Only the children of this one")] | UnsetType = UNSET


class History(Shape):
    chunks: list[StoredChunk]
    latest_seq: Annotated[Count, Meta(description="The last of `chunks`, else `sinceSeq`")]


class HistoryQuery(Shape):
    since_seq: Count | UnsetType = UNSET
    before_seq: Number | UnsetType = UNSET
    limit: Number | UnsetType = UNSET


class OfConversation(Shape):
    conversation_id: str


class ConversationStatus(OfConversation):
    is_active: bool
    status: Status


class LastWords(OfConversation):
    content: str
    turn_id: Annotated[str, Meta(description="Of the turn that was waited for")] | UnsetType = UNSET


class TurnsMeasured(Shape):
    turns: list[TurnMetrics]


class Cwd(OfConversation):
    cwd: str | None


class CwdFields(Shape):
    cwd: Text
    workspace_id: Slug | None = None


class ModelOf(OfConversation):
    model: str | None


class ModelFields(Shape):
    model: str | None


class EffortOf(OfConversation):
    reasoning_effort: Effort | None


class EffortFields(Shape):
    reasoning_effort: Effort | None


class ModeOf(OfConversation):
    mode: Mode | None


class ModeFields(Shape):
    mode: Mode | None


class TitleOf(OfConversation):
    title: str


class TitleFields(Shape):
    title: Text


class Queue(OfConversation):
    queue: list[Queued]


class QueueFields(TurnFields):
    """`message` is taken in the place of `text`, too; one of them is needed where nothing is attached."""

    text: str | UnsetType = UNSET
    message: str | UnsetType = UNSET


class Enqueued(Queue):
    started_turn: bool


class Unqueued(Queue):
    cancelled: bool


class Stopped(OfConversation):
    aborted_turn: bool


class CompactFields(Shape):
    keep_last_n: Count = 10
    model_name: str | UnsetType = UNSET


class Compacted(OfConversation):
    new_conversation_id: str
    messages_summarized: Count
    messages_kept: Count


class Percent(OfConversation):
    threshold: Count
    percent: Count


class PercentFields(Shape):
    """`percent` is taken in the place of `threshold`, too; 0: it is never compacted by itself."""

    threshold: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    percent: Annotated[float, Meta(ge=0)] | UnsetType = UNSET


class BranchFields(Shape):
    before_seq: Number


class Branched(OfConversation):
    new_conversation_id: str
    title: str


class AskedHere(OfConversation):
    approvals: list[Question]


class AskedAll(Shape):
    approvals: list[Question]
    away: list[str] | UnsetType = UNSET


class AnswerFields(Shape):
    allow: bool
    scope: Scope = "once"


class Answered(Shape):
    id: str
    allow: bool
    scope: Scope


class AnsweredHere(OfConversation):
    call_id: str
    allow: bool


class Grant(Shape):
    id: Number
    scope: Literal["conversation", "workspace"]
    tool: str
    rule: str
    created_at: At


class Grants(OfConversation):
    grants: list[Grant]


class ChangedFile(Shape):
    path: str
    change: Literal["added", "modified", "deleted"]


class SkippedFile(Shape):
    path: str
    reason: str


class ChangedTurn(Shape):
    turn_id: str
    at: At
    state: Literal["open", "pending", "reverted", "lost"]
    files: list[ChangedFile]
    more: Annotated[Count, Meta(description="Files that are not listed")]
    skipped: list[SkippedFile]
    skipped_more: Count
    reason: Annotated[str, Meta(description="Why it is as it is")] | UnsetType = UNSET


class ChangedTurns(Shape):
    turns: list[ChangedTurn]


class UndoFields(Shape):
    turn_id: str


class Undone(Shape):
    turn_id: str
    restored: list[str]
    more: Annotated[Count, Meta(description="Restored files that are not listed")]
    note: str


class LanguageServer(Shape):
    id: str
    name: str
    root: str
    extensions: list[str]
    state: Literal["connected", "starting", "error", "not-started"]
    error: str | UnsetType = UNSET
    config_source: str | UnsetType = UNSET


class LanguageServers(OfConversation):
    cwd: str | None
    servers: list[LanguageServer]


class McpServer(Shape):
    name: str
    source: Annotated[str, Meta(description="The file that names it")]
    state: Annotated[str, Meta(description="connected, connecting, disconnected, error, disabled or untrusted")]
    tool_count: Count
    definition: dict[str, Any]
    key: Annotated[str, Meta(description="Of the definition: what is allowed is that one")]
    refused: bool | UnsetType = UNSET
    tools: list[str] | UnsetType = UNSET
    variables: list[str] | UnsetType = UNSET
    error: str | UnsetType = UNSET


class McpServers(OfConversation):
    cwd: str
    servers: list[McpServer]
    faults: list[str]


class McpFields(Shape):
    """`trust` or `reconnect`."""

    trust: bool | UnsetType = UNSET
    key: str | UnsetType = UNSET
    reconnect: bool | UnsetType = UNSET


class Workspace(Shape):
    id: str
    title: str
    default_cwd: str | None
    created_at: At
    last_activity_at: At


class CountedWorkspace(Workspace):
    conversation_count: Count


class Workspaces(Shape):
    workspaces: list[CountedWorkspace]


class WorkspaceFields(Shape):
    title: Text | None = None
    default_cwd: str | UnsetType | None = UNSET


class FolderFields(Shape):
    default_cwd: str | None


class WorkspaceGone(Shape):
    workspace_id: str
    closed_count: Count


class Template(Shape):
    template: str
    default: Annotated[str, Meta(description="The built-in one, where it is asked for")] | UnsetType = UNSET


class Variable(Shape):
    type: str
    name: str
    description: str
    dynamic: Annotated[bool, Meta(description="The name is chosen in the template")] | UnsetType = UNSET


class Variables(Shape):
    variables: list[Variable]


class Speed(Shape):
    model: str
    tokens_per_second: float
    total_output_tokens: Count
    total_gen_ms: Ms
    turns: Number


class Throughput(Shape):
    period: Literal["day", "week", "month"]
    date: str
    start: At
    end: At
    models: list[Speed]


class ThroughputQuery(Shape):
    """Both, or neither: that is today."""

    period: Literal["day", "week", "month"] | UnsetType = UNSET
    date: Annotated[str, Meta(description="YYYY-MM-DD; of a month YYYY-MM")] | UnsetType = UNSET


class Failure(Shape):
    """Why it was not done, in words for a person; `code` for programs."""

    error: str
    code: str | UnsetType | None = UNSET


# -- web socket


class SocketQuery(Shape):
    approvals: Annotated[Literal["1"], Meta(description="This client asks a person")] | UnsetType = UNSET


class Action(Shape):
    action_id: str


class Option(Shape):
    value: str
    label: str


class Field(Struct, rename="camel", tag_field="kind"):
    pass


class ToggleField(Field, tag="toggle"):
    label: str
    value: bool
    action: Action


class ProgressField(Field, tag="progress"):
    label: str
    value: Annotated[float, Meta(ge=0, le=1)]


class SelectorField(Field, tag="selector"):
    label: str
    value: str
    options: list[Option]
    action: Action


class StatField(Field, tag="stat"):
    label: str
    value: str


class ButtonField(Field, tag="button"):
    label: str
    action: Action


class NumberField(Field, tag="number"):
    label: str
    value: float
    action: Action
    min: float | UnsetType = UNSET
    step: float | UnsetType = UNSET
    unit: str | UnsetType = UNSET


class CustomField(Field, tag="custom"):
    """A client that does not know `rendererId` leaves it out."""

    renderer_id: str
    payload: Any


class Surface(Shape):
    """Something to show beside a conversation, as data."""

    id: str
    region: Annotated[str, Meta(description="Where; `side` is beside the conversation, others may come")]
    title: str
    fields: list[ToggleField | ProgressField | SelectorField | StatField | ButtonField | NumberField | CustomField]


class SurfaceEntry(Shape):
    id: str
    region: str
    title: str
    scope: Literal["global", "conversation"] | UnsetType = UNSET


class Said(Tagged):
    pass


class SayPing(Said, tag="ping"):
    pass


class SaySubscribe(Said, tag="subscribe"):
    surface_id: str
    conversation_id: str | None = None


class SayUnsubscribe(Said, tag="unsubscribe"):
    surface_id: str
    conversation_id: str | None = None


class SayInvoke(Said, tag="invoke"):
    surface_id: str
    action_id: str
    payload: Any = None
    conversation_id: str | None = None


class SaySend(ChatFields, tag="chat.send", tag_field="type"):
    """As POST /chat; the sender follows the conversation from then on."""


class SayFollow(Said, tag="chat.subscribe"):
    """The running turn is told from its beginning, then what happens."""

    conversation_id: Id


class SayUnfollow(Said, tag="chat.unsubscribe"):
    conversation_id: Id


class SayQueue(QueueFields, kw_only=True, tag="chat.queue", tag_field="type"):
    conversation_id: Id


class SayUnqueue(Said, tag="chat.queue.cancel"):
    conversation_id: Id
    message_id: str


AnySaid = (
    SayPing | SaySubscribe | SayUnsubscribe | SayInvoke | SaySend | SayFollow | SayUnfollow | SayQueue | SayUnqueue
)  # fmt: skip


class Told(Tagged):
    pass


class TellCatalog(Told, tag="catalog"):
    """The first message."""

    catalog: list[SurfaceEntry]


class TellSurface(Told, tag="surface"):
    spec: Surface
    conversation_id: str | UnsetType = UNSET


class SurfaceUpdate(Shape):
    surface_id: str
    spec: Surface
    conversation_id: str | UnsetType = UNSET


class TellUpdate(Told, tag="update"):
    update: SurfaceUpdate


class TellError(Told, tag="error"):
    message: str
    surface_id: str | UnsetType = UNSET


class TellEvent(Told, tag="chat.delta"):
    event: AnyEvent


class TellChatError(Told, tag="chat.error"):
    message: str
    conversation_id: str | UnsetType = UNSET


class TellOpen(Told, tag="conversation.open"):
    conversation_id: str
    workspace_id: str


class TellStatus(Told, tag="conversation.statusChanged"):
    conversation_id: str
    status: Status
    workspace_id: str


class TellCompacted(Told, tag="conversation.compacted"):
    """Numbers of chunks begin anew: whoever has a cursor reloads."""

    conversation_id: str
    new_conversation_id: str
    messages_summarized: Count
    messages_kept: Count


class TellApprovals(Told, tag="approvals"):
    """All questions that wait, to who said `approvals=1`: at first and whenever they change."""

    approvals: list[Question]


class TellPong(Told, tag="pong"):
    pass


AnyTold = (
    TellCatalog | TellSurface | TellUpdate | TellError | TellEvent | TellChatError | TellOpen | TellStatus
    | TellCompacted | TellApprovals | TellPong
)  # fmt: skip


# -- the table


class Route(NamedTuple):
    """What an address takes and answers, and the errors a client has to reckon with beside those of every address."""

    answers: Any
    takes: Any = None
    query: Any = None
    refuses: tuple[int, ...] = ()
    media: str = "application/json"


_C = "/conversations/{id}"
ROUTES = {
    "GET /models": Route(Models, refuses=(502,)),
    "POST /chat": Route(AnyEvent, ChatFields, refuses=(404,), media="application/x-ndjson"),
    "POST /chat/warm": Route(Warmed, WarmFields, refuses=(404, 409)),
    "GET /conversations": Route(Conversations, query=ConversationsQuery),
    f"GET {_C}": Route(History, query=HistoryQuery, refuses=(404,)),
    f"DELETE {_C}": Route(OfConversation, refuses=(404,)),
    f"GET {_C}/status": Route(ConversationStatus, refuses=(404,)),
    f"GET {_C}/last": Route(LastWords, refuses=(404,)),
    f"GET {_C}/metrics": Route(TurnsMeasured, refuses=(404,)),
    f"GET {_C}/images/{{seq}}": Route(bytes, refuses=(404,), media="image/*"),
    f"GET {_C}/cwd": Route(Cwd, refuses=(404,)),
    f"PUT {_C}/cwd": Route(Cwd, CwdFields, refuses=(404,)),
    f"DELETE {_C}/cwd": Route(Cwd, refuses=(404,)),
    f"GET {_C}/model": Route(ModelOf, refuses=(404,)),
    f"PUT {_C}/model": Route(ModelOf, ModelFields, refuses=(404,)),
    f"GET {_C}/reasoning-effort": Route(EffortOf, refuses=(404,)),
    f"PUT {_C}/reasoning-effort": Route(EffortOf, EffortFields, refuses=(404,)),
    f"GET {_C}/mode": Route(ModeOf, refuses=(404,)),
    f"PUT {_C}/mode": Route(ModeOf, ModeFields, refuses=(404,)),
    f"PUT {_C}/title": Route(TitleOf, TitleFields, refuses=(404,)),
    f"GET {_C}/queue": Route(Queue, refuses=(404,)),
    f"POST {_C}/queue": Route(Enqueued, QueueFields, refuses=(404, 409)),
    f"DELETE {_C}/queue/{{message}}": Route(Unqueued, refuses=(404,)),
    f"POST {_C}/stop": Route(Stopped, refuses=(404,)),
    f"POST {_C}/close": Route(Stopped, refuses=(404,)),
    f"POST {_C}/open": Route(OfConversation, refuses=(404,)),
    f"POST {_C}/compact": Route(Compacted, CompactFields, refuses=(404, 409)),
    f"GET {_C}/compact-percent": Route(Percent, refuses=(404,)),
    f"PUT {_C}/compact-percent": Route(Percent, PercentFields, refuses=(404,)),
    f"POST {_C}/branch": Route(Branched, BranchFields, refuses=(404, 409)),
    f"GET {_C}/approvals": Route(AskedHere, refuses=(404,)),
    f"POST {_C}/approvals/{{call}}": Route(AnsweredHere, AnswerFields, refuses=(404, 409)),
    f"GET {_C}/grants": Route(Grants, refuses=(404,)),
    f"DELETE {_C}/grants/{{grant}}": Route(Grants, refuses=(404,)),
    f"GET {_C}/undo": Route(ChangedTurns, refuses=(404,)),
    f"POST {_C}/undo": Route(Undone, UndoFields, refuses=(404, 409)),
    f"GET {_C}/lsp": Route(LanguageServers, refuses=(404,)),
    f"GET {_C}/mcp": Route(McpServers, refuses=(404,)),
    f"POST {_C}/mcp/{{server}}": Route(McpServer, McpFields, refuses=(404, 409)),
    "GET /approvals": Route(AskedAll),
    "POST /approvals/{approval}": Route(Answered, AnswerFields, refuses=(404, 409)),
    "GET /workspaces": Route(Workspaces),
    "GET /workspaces/{id}": Route(Workspace, refuses=(404,)),
    "PUT /workspaces/{id}": Route(Workspace, WorkspaceFields),
    "DELETE /workspaces/{id}": Route(WorkspaceGone, refuses=(404, 409)),
    "PUT /workspaces/{id}/title": Route(Workspace, TitleFields),
    "PUT /workspaces/{id}/default-cwd": Route(Workspace, FolderFields),
    "GET /system-prompt": Route(Template),
    "PUT /system-prompt": Route(Template, Template),
    "GET /system-prompt/variables": Route(Variables),
    "GET /metrics/throughput": Route(Throughput, query=ThroughputQuery, refuses=(502,)),
    "GET /ws": Route(None, query=SocketQuery, refuses=(426,)),
}
_PATH_KINDS = {"seq": Number, "grant": Number}
_CHAT = re.compile(r"/(chat|models|conversations|approvals|workspaces|system-prompt)(/.*)?|/metrics/.+|/ws")
_STATUSES = {
    400: "The body, or a field that is named, cannot be used",
    401: "A valid token is needed",
    403: "It is for others",
    404: "There is no such thing, or it is somebody else's",
    409: "Not as it stands now",
    413: "The body is too large",
    426: "It is for web sockets",
    429: "Too much at once; `retry-after` says when",
    500: "chomp failed; its log says why",
    502: "Nobody further on has answered",
    503: "Not now",
}
EVERYWHERE = (400, 401, 403, 413, 429, 500, 503)
OPEN = {  # unions that grow: a client ignores what it does not know
    "Event": AnyEvent,
    "Chunk": Chunk,
    "SocketMessage": AnySaid,
    "SocketAnswer": AnyTold,
}
_ABOUT = (
    "Conversations with chomp's own agent. Turns go on by themselves: POST /chat and /ws show what happens in them as "
    "events, and nothing depends on who looks. New types of events and chunks, new kinds of surface fields and new "
    "fields of objects may come at any time: a client ignores what it does not know. `Unknown...` stands for those. On "
    "the web socket a client says SocketMessage and hears SocketAnswer, each a JSON object in a text frame."
)


# -- the document


def is_chat(path: str) -> bool:
    """Whether an address belongs to the chat API."""
    return _CHAT.fullmatch(path) is not None


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"{SCHEMAS}{name}"}


class Schemas:
    """JSON schemas of the structs above."""

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}
        for name, kind in OPEN.items():
            self.components[name] = self._made(kind)

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of a kind; what it is made of is among the components then."""
        name = next((name for name, one in OPEN.items() if one is kind), "")
        return _ref(name) if name else self._made(kind)

    def _made(self, kind: Any) -> dict[str, Any]:
        (schema,), found = msgspec.json.schema_components([kind], ref_template=f"{SCHEMAS}{{name}}")
        for name, one in found.items():
            one.pop("title", None)
            self.components.setdefault(name, self._opened(one))
        return cast(dict[str, Any], self._opened(schema, kind))

    def _opened(self, schema: Any, kind: Any = None) -> Any:
        """A schema, whose unions take what is not known yet; those that have a name are named."""
        if isinstance(schema, list):
            return [self._opened(one) for one in schema]
        if not isinstance(schema, dict):
            return schema
        if "discriminator" not in schema:
            return {name: self._opened(value) for name, value in schema.items()}
        tag, known = schema["discriminator"]["propertyName"], sorted(schema["discriminator"]["mapping"])
        name, union = next(((name, one) for name, one in OPEN.items() if known == sorted(_tags(one))), ("Field", None))
        if union is not None and union is not kind:
            return _ref(name)
        self.components[f"Unknown{name}"] = {
            "type": "object",
            "description": "One that a newer server has; it is ignored",
            "properties": {tag: {"type": "string", "not": {"enum": known}}},
            "required": [tag],
        }
        return {**schema, "anyOf": [*schema["anyOf"], _ref(f"Unknown{name}")]}


def _tags(kind: Any) -> Iterator[str]:
    for one in kind.__args__:
        yield one.__struct_config__.tag


def _parameters(schemas: Schemas, path: str, query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in re.findall(r"\{(\w+)\}", path):
        kind = _PATH_KINDS.get(name) or (Slug if path.startswith("/workspaces") else Id if name == "id" else str)
        found.append({"name": name, "in": "path", "required": True, "schema": schemas.of(kind)})
    if query is not None:
        (_,), shapes = msgspec.json.schema_components([query])
        for name, schema in shapes[query.__name__]["properties"].items():
            about = {"description": schema.pop("description")} if "description" in schema else {}
            found.append({"name": name, "in": "query", **about, "schema": schema})
    return found


def _responses(schemas: Schemas, route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if route.answers is None:
        found["101"] = {"description": "A web socket: text frames of SocketMessage and SocketAnswer"}
    else:
        schema = {} if route.answers is bytes else schemas.of(route.answers)
        found["200"] = {"description": "Done", "content": {route.media: {"schema": schema}}}
    if route.media == "application/x-ndjson":
        about = "One event a line; see Event"
        header = {"description": "The conversation's id, for the next request", "schema": {"type": "string"}}
        found["200"] |= {"description": about, "headers": {"X-Conversation-Id": {**header, "required": True}}}
    for status in sorted({*EVERYWHERE, *route.refuses}):
        found[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return found


def _operation(schemas: Schemas, path: str, route: Route, handler: Any) -> dict[str, Any]:
    line, _, more = inspect.cleandoc(handler.__doc__ or "").partition("\n")
    words, id = " ".join(line.split()[2:]), handler.__name__
    about = re.sub(r"/\{\w+\}", "", path).rpartition("/")[2].replace("-", "_")
    if "_" not in id and id != about:  # two extensions may both call it `show`
        id = f"{id}_{about}"
    made = {
        "operationId": id,
        "summary": id.replace("_", " ").capitalize(),
        "description": f"{words}\n{more}".strip(),
        "tags": [path.split("/")[1]],
        "parameters": _parameters(schemas, path, route.query),
        "responses": _responses(schemas, route),
    }
    if route.takes is not None:
        content = {"application/json": {"schema": schemas.of(route.takes)}}
        made["requestBody"] = {"required": True, "content": content}
    return made


def document(handlers: dict[str, Any], address: str) -> dict[str, Any]:
    """The document of a server that has these handlers, by method and path."""
    schemas, paths = Schemas(), dict[str, Any]()
    failure = {"application/json": {"schema": schemas.of(Failure)}}
    for name, route in ROUTES.items():
        if name in handlers:
            method, path = name.split(" ")
            operation = _operation(schemas, path, route, handlers[name])
            paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "chomp: the chat API", "version": MANIFEST["version"], "description": _ABOUT},
        "servers": [{"url": address}],
        "security": [{"bearer": []}, {"key": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": {
                str(status): {"description": words, "content": failure} for status, words in _STATUSES.items()
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def handlers_of(router: Any) -> dict[str, Any]:
    """The handlers of a server by method and path, such as "PUT /conversations/{id}/cwd"."""
    found = {}
    for route in router.routes():
        if route.resource is not None and route.method != "HEAD":
            found[f"{route.method} {route.resource.canonical}"] = route.handler
    return found


def activate(host: Any) -> None:
    async def show_document(request: Any) -> dict[str, Any]:
        """GET /openapi.json -> the chat API as OpenAPI 3.1"""
        return document(handlers_of(request.app.router), host.address)

    host.route("GET", "/openapi.json")(show_document)
