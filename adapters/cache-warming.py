"""Keeps what a provider remembers of a conversation's prompt from being forgotten, while a person thinks."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

MANIFEST = {
    "id": "cache-warming",
    "name": "Cache warming",
    "version": "1.0.0",
    "apiVersion": "^1.1",
    "capabilities": {"network": True},
}
INTERVAL_MS = 240_000  # a provider forgets after five minutes
RETRY_S = 5.0  # after a database that could not be read
LEAST_S, MOST_S = 1, 24 * 3600
TOGGLE, SET_INTERVAL = "cache-warming/toggle", "cache-warming/set-interval"
UNKNOWN = "—"


class Wish(msgspec.Struct, frozen=True, rename="camel"):
    """What a person wants for a conversation, kept in the database."""

    enabled: bool = False
    interval_ms: int = INTERVAL_MS


class Last(msgspec.Struct, frozen=True):
    """What came of warming last."""

    at_ms: int
    cache_pct: int
    retention_pct: int


def seconds_of(payload: Any) -> float | None:
    """The seconds that a client has chosen: a number, or {"value": number}; None for anything else."""
    found = payload.get("value") if isinstance(payload, dict) else payload
    if isinstance(found, str):
        try:
            found = float(found)
        except ValueError:
            return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return None
    return found


class Warmer:
    """Warms conversations whose people want it, an interval after their last turn or warming, again and again.

    A conversation has at most one timer. A turn that begins ends it, and a warming that is under way, too.
    """

    def __init__(self, host: Any):
        self._host = host
        self._kept = host.storage("cache-warming")
        self._lock = asyncio.Lock()  # of what is read, changed and written
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._warming: set[str] = set()  # those whose timer is over
        self._next_ms: dict[str, int] = {}
        self._last: dict[str, Last] = {}
        self.changed: Callable[[str], None] = lambda conversation: None  # tells watchers

    # -- what people want

    async def wish(self, conversation: str) -> Wish:
        """What is wanted for a conversation."""
        kept = await self._kept.get(conversation)
        return Wish() if kept is None else msgspec.json.decode(kept, type=Wish)

    async def toggle(self, payload: Any, conversation: str | None) -> None:
        """Warms from now on, or no more; a client may say which of both it means."""
        wanted = payload.get("value") if isinstance(payload, dict) else payload

        def change(wish: Wish) -> Wish:
            return Wish(wanted if isinstance(wanted, bool) else not wish.enabled, wish.interval_ms)

        await self._change(conversation, change)

    async def set_interval(self, payload: Any, conversation: str | None) -> None:
        """Warms in another interval, given in seconds. Raises an error for what is no number."""
        seconds = seconds_of(payload)
        if seconds is None:
            raise self._host.error("the interval has to be a number of seconds")
        interval_ms = round(min(MOST_S, max(LEAST_S, seconds)) * 1000)
        await self._change(conversation, lambda wish: Wish(wish.enabled, interval_ms))

    async def _change(self, conversation: str | None, change: Callable[[Wish], Wish]) -> None:
        if not conversation:
            raise self._host.error("choose a conversation first")
        async with self._lock:
            wish = change(await self.wish(conversation))
            await self._kept.set(conversation, msgspec.json.encode(wish).decode())
        service = self._host.service("conversations")
        if not wish.enabled:
            self.rest(conversation)
        elif not service.active(conversation) and await service.meta(conversation) is not None:
            self.schedule(conversation)
        self.changed(conversation)

    # -- timers

    def schedule(self, conversation: str) -> None:
        """Begins an interval anew, if its people want it."""
        self.rest(conversation)
        self._timers[conversation] = self._host.start(f"warming {conversation}", self._warm_on(conversation))

    def rest(self, conversation: str) -> None:
        """Ends the timer of a conversation."""
        self._next_ms.pop(conversation, None)
        if (timer := self._timers.pop(conversation, None)) is not None:
            timer.cancel()

    async def _warm_on(self, conversation: str) -> None:
        try:
            while (wish := await self._wish_patiently(conversation)).enabled:
                self._next_ms[conversation] = self._now_ms() + wish.interval_ms
                self.changed(conversation)
                await asyncio.sleep(wish.interval_ms / 1000)
                self._warming.add(conversation)
                try:
                    self.note(conversation, await self._host.service("conversations").warm(conversation))
                except Exception as error:  # whatever refused or failed: it is tried again after the next interval
                    self._host.log.warning("%s was not warmed: %s", conversation, error)
                finally:
                    self._warming.discard(conversation)
        finally:
            if self._timers.get(conversation) is asyncio.current_task():
                del self._timers[conversation]
                self._next_ms.pop(conversation, None)

    async def _wish_patiently(self, conversation: str) -> Wish:
        """What is wanted, as soon as that can be read."""
        while True:
            try:
                return await self.wish(conversation)
            except Exception as error:  # of the database
                self._host.log.warning("%s is not warmed for now: %s", conversation, error)
                await asyncio.sleep(RETRY_S)

    def _now_ms(self) -> int:
        now: float = self._host.clocks.wall()
        return round(now * 1000)

    # -- what happens

    def note(self, conversation: str, told: Mapping[str, Any]) -> None:
        """A conversation has been warmed."""
        self._last[conversation] = Last(self._now_ms(), told["cachePct"], told["expectedCacheRate"])

    def hear_warmed(self, event: Any) -> None:
        """A person, or the timer, has warmed a conversation: the next time is an interval away."""
        conversation = event.data["conversation"]
        self.note(conversation, event.data)
        if conversation not in self._warming:
            self.schedule(conversation)
        self.changed(conversation)

    def hear_agent(self, event: Mapping[str, Any]) -> None:
        """A turn that begins warms by itself, and waits for no warming that is under way."""
        if event["type"] == "user-message":
            self.rest(event["conversationId"])
            self.changed(event["conversationId"])

    def hear_settled(self, event: Any) -> None:
        """From now on a person may be thinking."""
        if not event.data["carried"]:
            self.schedule(event.data["conversation"])

    def hear_closed(self, event: Any) -> None:
        """Nobody comes back to this one soon."""
        conversation = event.data["conversation"]
        self.rest(conversation)
        self._last.pop(conversation, None)
        self._host.start(f"no more warming of {conversation}", self._stop(conversation))

    async def _stop(self, conversation: str) -> None:
        if (await self.wish(conversation)).enabled:
            await self.toggle(False, conversation)

    # -- what is shown

    async def spec(self, conversation: str | None) -> list[dict[str, Any]]:
        """What the surface has."""
        if not conversation:
            return [{"kind": "stat", "label": "Status", "value": "No conversation is chosen"}]
        wish, last = await self.wish(conversation), self._last.get(conversation)
        seconds = wish.interval_ms / 1000
        shown = int(seconds) if seconds.is_integer() else seconds
        timer = {"nextWarmAt": self._next_ms.get(conversation), "lastWarmAt": last and last.at_ms}
        return [
            {"kind": "toggle", "label": "Enabled", "value": wish.enabled, "action": {"actionId": TOGGLE}},
            {
                "kind": "number", "label": "Refresh interval", "value": shown, "unit": "s",
                "min": LEAST_S, "step": 1, "action": {"actionId": SET_INTERVAL},
            },
            {"kind": "stat", "label": "Last cache rate", "value": f"{last.cache_pct}%" if last else UNKNOWN},
            {"kind": "stat", "label": "Cache retention", "value": f"{last.retention_pct}%" if last else UNKNOWN},
            {"kind": "custom", "rendererId": "cache-warming-timer", "payload": timer},
        ]  # fmt: skip


def activate(host: Any) -> None:
    warmer = Warmer(host)
    actions = {TOGGLE: warmer.toggle, SET_INTERVAL: warmer.set_interval}
    surface = host.surface(
        "cache-warming", "Cache warming", warmer.spec, region="side", scope="conversation", actions=actions
    )
    warmer.changed = surface.changed
    host.on("conversation_warmed", warmer.hear_warmed)
    host.on("turn_settled", warmer.hear_settled)
    host.on("conversation_closed", warmer.hear_closed)
    host.service("conversations").listen(warmer.hear_agent)
