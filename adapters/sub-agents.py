"""The tool agent of the built-in agent: another one, in a conversation of its own, that does one thing and reports."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

MANIFEST = {
    "id": "sub-agents",
    "name": "Sub-agents",
    "version": "1.0.0",
    "apiVersion": "^1.3",
    "contributes": {"tools": ["agent"]},
}
PROMPT_CHARS = 100_000


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Agents that agents begin."""

    depth: Annotated[int, Meta(ge=0, le=8)] = 2  # how deep agents may begin agents; 0: none may
    most: Annotated[int, Meta(ge=1, le=32)] = 4  # at work at once below one conversation


def activate(host: Any) -> None:
    async def agent(
        ctx: Any,
        prompt: Annotated[str, Meta(description="The whole task: the other agent knows nothing of this conversation.")],
        title: Annotated[str, Meta(max_length=80, description="What people see of it, in a few words.")] = "",
        model: Annotated[str, Meta(max_length=300, description="Another model than this one's.")] = "",
    ) -> str:
        """Has another agent do one thing, with the same tools in the same folder, and returns what it reports.

        Use it for what takes many steps whose details do not matter here, such as a search through many files. It sees
        nothing of this conversation and ends with its report; say what that is to contain.
        """
        if not prompt.strip():
            raise ValueError("the prompt is empty")
        if len(prompt) > PROMPT_CHARS:
            raise ValueError(
                f"the prompt has {len(prompt)} characters, {PROMPT_CHARS} are possible: name files instead"
            )
        chats, settings = host.service("conversations"), host.settings
        text: str = await chats.ask_child(
            ctx, prompt, title=title, model=model, depth=settings.depth, most=settings.most
        )
        return text

    # "read": it changes nothing by itself, and its own tools are asked about when they do
    host.tool(access="read")(agent)

    def offered(tools: list[Any], turn: Any) -> list[Any]:
        deep_enough = host.service("conversations").depth(turn.conversation) >= host.settings.depth
        return [one for one in tools if one.name != "agent" or not deep_enough]

    host.filter("tools", offered)
