"""The list of what an agent is to do, written by itself, shown to people, kept through a compaction."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec

MANIFEST = {
    "id": "todo",
    "name": "Todo list",
    "version": "1.0.0",
    "apiVersion": "^1.1",
    "contributes": {"tools": ["todo_write"]},
}
STATUSES = ("pending", "in_progress", "completed", "cancelled")
MOST = 200
CHARS = 2000
PARAMETERS = {
    "type": "object",
    "properties": {
        "todos": {
            "type": "array",
            "description": "The whole list as it is from now on, in order",
            "items": {
                "type": "object",
                "properties": {
                    "content": {"type": "string", "description": "What is to be done"},
                    "status": {"type": "string", "enum": list(STATUSES)},
                },
                "required": ["content", "status"],
            },
        }
    },
    "required": ["todos"],
}


class Todo(msgspec.Struct, frozen=True):
    """One thing to do. It has no id: its place in the list is what it is known by."""

    content: Annotated[str, msgspec.Meta(min_length=1, max_length=CHARS)]
    status: Literal["pending", "in_progress", "completed", "cancelled"]


def todos_of(found: Any) -> list[Todo]:
    """A list as a model wrote it. Raises ValueError that names the one that cannot be."""
    if not isinstance(found, list):
        raise ValueError("todos: must be a list of {content, status}")
    if len(found) > MOST:
        raise ValueError(f"todos: has {len(found)} entries, {MOST} are possible")
    made: list[Todo] = []
    for at, one in enumerate(found):
        try:
            made.append(msgspec.convert(one, Todo))
        except msgspec.ValidationError as error:
            words, _, place = str(error).partition(" - at `$")
            among = f"; it is one of {', '.join(STATUSES)}" if place == ".status`" else ""
            raise ValueError(f"todos[{at}]{place.rstrip('`')}: {words}{among}") from None
        if not made[-1].content.strip():
            raise ValueError(f"todos[{at}].content: it is empty")
    return made


def written(todos: list[Todo]) -> str:
    """A list as a model is told it."""
    return json.dumps([msgspec.structs.asdict(one) for one in todos], indent=2, ensure_ascii=False)


class Lists:
    """The list of each conversation."""

    def __init__(self, host: Any):
        self._kept = host.storage("todo")

    async def get(self, conversation: str) -> list[Todo]:
        """That of a conversation; empty where there is none."""
        kept = await self._kept.get(conversation)
        return [] if kept is None else msgspec.json.decode(kept, type=list[Todo])

    async def set(self, conversation: str, todos: list[Todo]) -> None:
        """Puts a list in the place of another; an empty one is none."""
        if todos:
            await self._kept.set(conversation, msgspec.json.encode(todos).decode())
        else:
            await self._kept.delete(conversation)


def activate(host: Any) -> None:
    lists = Lists(host)

    async def spec(conversation: str | None) -> list[dict[str, Any]]:
        todos = await lists.get(conversation) if conversation else []
        payload = {"todos": [msgspec.structs.asdict(one) for one in todos]}
        return [{"kind": "custom", "rendererId": "todo", "payload": payload}]

    surface = host.surface("todo", "Tasks", spec, region="side", scope="conversation")

    async def todo_write(ctx: Any, arguments: Any) -> str:
        """Write the list of what is to be done in this conversation; the user sees it.

        Use it for work of three steps or more, and whenever the user names several things at once. Send the whole list
        each time, in order: it takes the place of the one before; an empty list clears it. Have one entry
        `in_progress` at a time, mark it `completed` as soon as it is done, and `cancelled` when it is needed no more.
        """
        if not ctx.turn.conversation:
            raise ValueError("there is no conversation that the list could belong to")
        made = todos_of(arguments.get("todos") if isinstance(arguments, dict) else None)
        await lists.set(ctx.turn.conversation, made)
        surface.changed(ctx.turn.conversation)
        return written(made)

    host.tool(access="read", concurrency_safe=False, parameters=PARAMETERS)(todo_write)

    async def keep(kept: list[str], turn: Any) -> list[str]:
        todos = await lists.get(turn.conversation)
        return [*kept, f"The todo list, as todo_write wrote it last:\n\n{written(todos)}"] if todos else kept

    host.filter("compaction", keep)
