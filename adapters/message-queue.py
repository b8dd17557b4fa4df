"""Shows what a person has said while a turn runs, until the model is told."""

from __future__ import annotations

from typing import Any

MANIFEST = {"id": "message-queue", "name": "Message queue", "version": "1.0.0", "apiVersion": "^1.1"}


def activate(host: Any) -> None:
    def spec(conversation: str | None) -> list[dict[str, Any]]:
        messages = host.service("conversations").queued(conversation) if conversation else []
        return [{"kind": "custom", "rendererId": "message-queue", "payload": {"messages": messages}}]

    surface = host.surface("message-queue", "Message queue", spec, region="side", scope="conversation")
    host.on("queue", lambda event: surface.changed(event.data["conversation"]))
