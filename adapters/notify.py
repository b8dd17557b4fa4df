"""Tells a person what they should know of a task: by webhook and ntfy, on open pages, and in what other ways there are.

[notify] says of what.
"""

from __future__ import annotations

import asyncio
import base64
import collections
import datetime
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

from adapters.services.web import web_host

MANIFEST = {
    "id": "notify",
    "name": "Notifications",
    "version": "1.0.0",
    "apiVersion": "^1",
    "contributes": {"settings": ["notify"], "events": ["notify_sent", "notify_said"], "routes": ["/api/notices"]},
    "capabilities": {"network": True},
}
SECRETS = ("webhook", "ntfy")  # there may be a token in an address
KINDS = {
    "notice_needs_input": "needs_input",
    "notice_done": "done",
    "notice_failed": "failed",
    "budget_reached": "budget",
}
TITLES = {
    "needs_input": "Task {} needs you",
    "done": "Task {} is done",
    "failed": "Task {} failed",
    "budget": "Task {} has used up its budget",
}
_TAGS = {"needs_input": "question", "done": "white_check_mark", "failed": "x", "budget": "moneybag"}  # of ntfy


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to tell when a person is needed."""

    webhook: str = ""  # gets a JSON object by POST
    ntfy: str = ""  # a topic's address, such as https://ntfy.sh/my-topic
    on: tuple[str, ...] = ("needs_input", "done", "failed", "budget")  # of what

    def __post_init__(self) -> None:
        for name in SECRETS:
            if (address := getattr(self, name)) and not web_host(address):
                raise ValueError(f"{name}: must be an http or https address")


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of telling a person something of a task."""

    task: str
    kind: str
    host: str  # who was asked to tell; the rest of the address may be secret
    ok: bool
    at: float
    tries: int
    status: int = 0  # of the last answer
    error: str = ""


class Said(msgspec.Struct, frozen=True):
    """What a person should know of a task, in a few words."""

    at: int  # they are in order; milliseconds or later, so that those after a restart are larger
    task: str
    kind: str
    title: str
    body: str  # how the prompt begins


def header_words(text: str) -> str:
    """`text` as a header's value: one line, in RFC 2047's form where it is not ASCII."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    if line.isascii():
        return line
    return f"=?UTF-8?B?{base64.b64encode(line.encode()).decode()}?="


class Notifier:
    """Nobody waits for it. What cannot be delivered is tried again, then given up, logged, remembered in `recent`."""

    QUIET_S = 60.0  # the same of a task is not told again within that
    LIMIT_S = 10.0  # of one try
    PAUSES_S: tuple[float, ...] = (1.0, 5.0)  # between tries
    MOST = 64  # on their way at once; more are given up

    def __init__(self, host: Any):
        self._host = host
        self._sent_at: dict[tuple[str, str], float] = {}  # by task and kind
        self.underway = 0
        self.recent: collections.deque[Notice] = collections.deque(maxlen=100)
        self.said: collections.deque[Said] = collections.deque(maxlen=50)
        self.at = int(host.clocks.wall() * 1000)  # of the last one said
        self.ways: list[Callable[[Said], object]] = []  # others that tell; they return at once
        self.replicas: Any = None  # the others, where there are any

    def hear_said(self, event: Any) -> None:
        """Another replica has told of a task, in all ways: open pages here can have it, too."""
        if event.replica:
            told = event.data
            self.at = max(self.at + 1, int(self._host.clocks.wall() * 1000))
            self.said.append(Said(self.at, told["task"], told["kind"], told["title"], told["body"]))

    def hear(self, event: Any) -> None:
        """Tells of what has happened to a task, if that is wanted."""
        self.tell(KINDS[event.kind], self._host.service("tasks").get(event.data["id"]), event.data["words"])

    def tell(self, kind: str, task: Any, words: str) -> None:
        """Tells of `task`, if `kind` is one the person wants to hear of and was not told a moment ago."""
        wanted, now = self._host.settings, self._host.clocks.steady()
        if kind not in wanted.on:
            return
        self._sent_at = {key: at for key, at in self._sent_at.items() if now - at < self.QUIET_S}
        if (task.id, kind) in self._sent_at:
            return
        self._sent_at[task.id, kind] = now
        title = self._shown(task.prompt.strip().partition("\n")[0], 80) or f"task {task.id}"
        text, page = self._shown(words, 2000), f"{self._host.address}/?task={task.id}"
        self.at = max(self.at + 1, int(self._host.clocks.wall() * 1000))
        self.said.append(Said(self.at, task.id, kind, TITLES[kind].format(task.id), title))
        if self.replicas is not None:
            self._host.publish("said", self.said[-1])
        for way in self.ways:
            way(self.said[-1])
        if wanted.webhook:
            at = datetime.datetime.fromtimestamp(int(self._host.clocks.wall()), datetime.UTC)
            payload = {
                "event": kind,
                "task": {
                    "id": task.id, "title": title, "status": task.status, "reason": task.reason,
                    "platform": task.platform, "model": task.model, "tokens": task.tokens, "cost_usd": task.cost_usd,
                },
                "text": text,
                "url": page,
                "at": at.isoformat().replace("+00:00", "Z"),
            }  # fmt: skip
            self._send(
                task.id, kind, wanted.webhook, json.dumps(payload).encode(), {"content-type": "application/json"}
            )
        if wanted.ntfy:
            headers = {"title": header_words(f"#{task.id} {title}"), "click": page, "tags": _TAGS[kind]}
            self._send(task.id, kind, wanted.ntfy, text.encode(), headers)

    def _shown(self, text: str, most: int) -> str:
        """The beginning of `text`, without secrets and without halves of signs, which no JSON can have."""
        redacted: str = self._host.redact(text)
        return redacted[:most].encode("utf-8", "replace").decode()

    def _send(self, task: str, kind: str, address: str, body: bytes, headers: dict[str, str]) -> None:
        if self.underway >= self.MOST:
            words = "too many are on their way"
            self._record(Notice(task, kind, web_host(address), False, self._host.clocks.wall(), 0, error=words))
            return
        self.underway += 1
        self._host.start(f"notice of task {task}", self._deliver(task, kind, address, body, headers))

    async def _deliver(self, task: str, kind: str, address: str, body: bytes, headers: dict[str, str]) -> None:
        tries, status, error = 0, 0, "chomp stopped"
        try:
            for pause_s in (0.0, *self.PAUSES_S):
                await asyncio.sleep(pause_s)
                tries += 1
                status, error = await self._post(address, body, headers)
                if not error or (400 <= status < 500 and status not in (408, 429)):
                    break
        finally:
            self.underway -= 1
            now = self._host.clocks.wall()
            self._record(Notice(task, kind, web_host(address), not error, now, tries, status, error))

    async def _post(self, address: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        """The answer's status, and what is wrong; in our words, those of others may have the address in them."""
        try:
            async with asyncio.timeout(self.LIMIT_S):
                async with self._host.request("POST", address, headers=headers, data=body) as answer:
                    return answer.status, "" if 200 <= answer.status < 300 else f"it answered {answer.status}"
        except TimeoutError:
            return 0, f"no answer within {self.LIMIT_S:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return 0, (isinstance(error, OSError) and error.strerror) or type(error).__name__

    def _record(self, notice: Notice) -> None:
        if not notice.ok:
            self._host.log.warning("%s could not be told of task %s: %s", notice.host, notice.task, notice.error)
        self.recent.append(notice)
        self._host.publish("sent", notice)


def activate(host: Any) -> None:
    notifier = Notifier(host)

    async def list_notices(request: Any) -> dict[str, Any]:
        """GET /api/notices?after= -> {at, live, needs, notices: [{at, task, kind, title, body}]}, for hidden pages"""
        after = request.query.get("after", "")
        seen = int(after) if after.isdecimal() and len(after) < 16 else notifier.at
        tasks = host.service("tasks").all()
        live = [task for task in tasks if task.status == "active"]
        needs = [one for one in live if one.phase == "needs_input" or (one.phase == "waiting" and not one.until)]
        found = [said for said in notifier.said if said.at > seen]
        return {"at": notifier.at, "live": len(live), "needs": len(needs), "notices": found}

    host.provide("notify", notifier)
    host.event("sent")
    notifier.replicas = host.service("replicas")
    if notifier.replicas is not None:
        host.event("said")
        host.on("notify_said", notifier.hear_said, everywhere=True)
    host.route("GET", "/api/notices")(list_notices)
    host.panel("notify/settings.html")
    host.reports(lambda: {"notices": [*notifier.recent][-20:]})
    for kind in KINDS:
        host.on(kind, notifier.hear)
