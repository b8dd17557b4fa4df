"""What a person sets for a conversation, as a surface: where it works, with which model, what its tools may do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec

MANIFEST = {
    "id": "conversation-settings",
    "name": "Settings of a conversation",
    "version": "1.0.0",
    "apiVersion": "^1.1",
}
EFFORTS = ("low", "medium", "high", "xhigh", "max")
MODES = {
    "plan": "Plan: nothing is changed",
    "ask": "Ask: what changes something waits for your yes",
    "auto": "Auto: without asking, in the sandbox",
}
TEXT_CHARS = 4096


def value_of(payload: Any) -> Any:
    """What a client has chosen: a value, or {"value": value}."""
    return payload.get("value") if isinstance(payload, dict) else payload


class Desk:
    """Shows the settings of a conversation, and changes them."""

    def __init__(self, host: Any):
        self._host = host

    @property
    def _chats(self) -> Any:
        return self._host.service("conversations")

    # -- what is shown

    async def spec(self, conversation: str | None) -> list[dict[str, Any]]:
        """What the surface has."""
        found = await self._chats.meta(conversation) if conversation else None
        if found is None:
            return [{"kind": "text", "value": "They are here once the conversation has begun."}]
        usual = self._chats.defaults(found)
        folder, fault, grants = "", "", []
        try:
            folder = (await self._chats.turn_facts(found.id)).cwd
            grants = await self._chats.grants(self._chats.caller_of(found), found.id)
        except Exception as error:  # a folder that is gone, or a user: it can be changed here
            fault = str(error)
        if found.task:
            words = f"It is the agent of task {found.task}: where it works, and what it may, is the task's to say."
            facts = [
                ("Folder", folder or fault),
                ("Model", found.model or usual["model"]),
                ("Sandbox", usual["sandbox"]),
            ]
            return [{"kind": "text", "value": words}, *({"kind": "stat", "label": a, "value": b} for a, b in facts)]
        modes = {"": f"As set for all: {usual['mode'] or 'ask or auto'}", **MODES}
        efforts = {"": f"As set for all: {usual['effort']}", **{one: one for one in EFFORTS}}
        percent = usual["compact_percent"] if found.compact_percent is None else found.compact_percent
        fields: list[dict[str, Any]] = [
            _text("Folder", found.cwd, "set-cwd", placeholder=folder or "its workspace's"),
            _text("Model", found.model, "set-model", placeholder=usual["model"], complete="models"),
            _selector("Effort", found.effort, "set-effort", efforts),
            _selector("Mode", found.mode, "set-mode", modes),
            {
                "kind": "number", "label": "Compacted at", "value": percent, "min": 0, "step": 1,
                "unit": "% of the context", "action": {"actionId": "conversation/set-compact-percent"},
            },
            {"kind": "stat", "label": "Sandbox", "value": usual["sandbox"]},
        ]  # fmt: skip
        none = "Nothing: what changes something is asked about, as the mode says."
        rows = [_row(one) for one in grants]
        fields.append({"kind": "list", "label": "Allowed without asking", "items": rows, "empty": none})
        if fault:
            fields.insert(1, {"kind": "text", "value": f"This folder cannot be used: {fault}"})
        return fields

    # -- what is changed

    async def _own(self, conversation: str | None) -> Any:
        """A conversation of whoever asks, which is known to be theirs. Raises an error for one of a task."""
        found = await self._chats.meta(conversation) if conversation else None
        if found is None:
            raise self._host.error("choose a conversation first")
        if found.task:
            raise self._host.error("where the tools of a task work, and what they may, is said by who made it", 403)
        return found

    async def _set(self, conversation: str | None, **values: Any) -> None:
        """Changes it."""
        found = await self._own(conversation)
        caller = self._chats.caller_of(found)
        if values.get("cwd"):
            await self._chats.folder(
                caller, msgspec.structs.replace(found, **values)
            )  # which says what is wrong with it
        await self._chats.change(caller, found.id, **values)

    def _words(self, payload: Any, name: str) -> str | None:
        """A text without blanks around it; None for an empty one. Raises an error that names it."""
        text = value_of(payload)
        if text is not None and (not isinstance(text, str) or len(text) > TEXT_CHARS):
            raise self._host.error(f"{name} must be a text of at most {TEXT_CHARS} characters")
        return (text or "").strip() or None

    def _choice(self, payload: Any, name: str, among: Any) -> str | None:
        """One of several, or None for none of them. Raises an error that lists them."""
        found = value_of(payload) or None
        if found is not None and found not in tuple(among):
            raise self._host.error(f"{name} must be one of {', '.join(among)}, or empty")
        return str(found) if found else None

    async def set_cwd(self, payload: Any, conversation: str | None) -> None:
        """Works in another folder; an empty one is its workspace's."""
        await self._set(conversation, cwd=self._words(payload, "the folder"))

    async def set_model(self, payload: Any, conversation: str | None) -> None:
        """Asks another model; an empty one is that of all."""
        await self._set(conversation, model=self._words(payload, "the model"))

    async def set_effort(self, payload: Any, conversation: str | None) -> None:
        """Has it think more or less."""
        await self._set(conversation, effort=self._choice(payload, "the effort", EFFORTS))

    async def set_mode(self, payload: Any, conversation: str | None) -> None:
        """Says what its tools may do."""
        await self._set(conversation, mode=self._choice(payload, "the mode", MODES))

    async def revoke(self, payload: Any, conversation: str | None) -> None:
        """Asks again about what was allowed for longer than once."""
        found, id = await self._own(conversation), payload.get("id") if isinstance(payload, dict) else payload
        if not isinstance(id, int) or isinstance(id, bool):
            raise self._host.error("say which permission: its id")
        await self._chats.revoke(self._chats.caller_of(found), found.id, id)

    async def set_percent(self, payload: Any, conversation: str | None) -> None:
        """Says when it is compacted by itself; None is as it is set for all."""
        found = value_of(payload)
        is_number = isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
        if found is not None and not (is_number and 0 <= found <= 100):
            raise self._host.error("it is compacted at 0 to 100 % of the context; 0: never")
        await self._set(conversation, compact_percent=None if found is None else int(found))


def _text(label: str, value: str | None, action: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "text",
        "label": label,
        "value": value or "",
        "action": {"actionId": f"conversation/{action}"},
        **more,
    }


def _row(grant: Any) -> dict[str, Any]:
    """A permission, and how it is taken back."""
    revoke = {"actionId": "conversation/revoke", "label": "Revoke", "confirm": "Sure?", "payload": {"id": grant.id}}
    return {"id": str(grant.id), "label": grant.rule, "note": f"in this {grant.scope}", "action": revoke}


def _selector(label: str, value: str | None, action: str, words: dict[str, str]) -> dict[str, Any]:
    options = [{"value": one, "label": text} for one, text in words.items()]
    found = {"kind": "selector", "label": label, "value": value or "", "options": options}
    return {**found, "action": {"actionId": f"conversation/{action}"}}


def activate(host: Any) -> None:
    desk = Desk(host)
    actions: dict[str, Callable[..., Any]] = {
        "set-cwd": desk.set_cwd,
        "set-model": desk.set_model,
        "set-effort": desk.set_effort,
        "set-mode": desk.set_mode,
        "set-compact-percent": desk.set_percent,
        "revoke": desk.revoke,
    }
    named = {f"conversation/{name}": do for name, do in actions.items()}
    surface = host.surface("conversation", "Conversation settings", desk.spec, scope="conversation", actions=named)
    for event in ("conversation_changed", "turn_started", "turn_settled"):
        host.on(event, lambda event: surface.changed(event.data["conversation"]))
    host.on(
        "approval", lambda event: surface.changed()
    )  # what is allowed in a workspace is so in all of its conversations
