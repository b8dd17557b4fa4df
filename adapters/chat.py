"""The page of conversations. All that it shows comes from the chat API and the web socket, with the browser's key."""

from __future__ import annotations

from typing import Any

MANIFEST = {"id": "chat", "name": "Chat page", "version": "1.0.0", "apiVersion": "^1.1"}


def activate(host: Any) -> None:
    host.page("/chat", "Chat", "chat/page.html", icon="chat")
