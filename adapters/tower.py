"""The control tower: a page, a command and a feed for another tower, of what the events tell."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

MANIFEST = {
    "id": "tower",
    "name": "Control tower",
    "version": "1.0.0",
    "apiVersion": "^1",
    "contributes": {"settings": ["tower"], "routes": ["/tower", "/api/tower"], "commands": ["tower"]},
    "capabilities": {"network": True},
}
SECONDS = 300  # of the charts
ROWS = 60  # of each kind in one frame; more are counted
HAPPENINGS = 100
FIELDS, FIELD_CHARS = 12, 200  # of one of them
FRAME_S = 0.5
SLOW_S = 10.0  # a viewer that takes nothing for so long is left
SENT_MOST = 2000  # events that wait to be sent to another tower; more are dropped, and counted
TOLD = ("host_*", "cooldown", "breaker", "failover", "remote_*", "arena_*", "proxy_*", "budget_*")  # in the list
INTERNAL = (
    "platforms", "settings", "logins", "toast", "notify_sent", "notify_said", "task_live", "task_session", "tower_seen",
    "tower_watched", "replicas",
)  # fmt: skip
FAR_LIVE, FAR_ENDED = 5, 8  # rows of one replica that the others are shown, each second
WATCHED_S, WATCHING_S = 15.0, 4.0  # how long somebody elsewhere looks, and how often that is said
OF_LIVE = (
    "number", "state", "ms", "position", "waited_ms", "router", "caller", "task", "attempts", "tokens", "tokens_per_s",
    "model", "sent_model",
)  # fmt: skip
OF_ENDED = (
    "number", "at", "status", "error_type", "asked_model", "sent_model", "router", "caller", "task", "attempts",
    "ttft_ms", "prompt_tokens", "completion_tokens", "estimated", "tokens_per_s", "duration_ms",
)  # fmt: skip


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The control tower."""

    url: str = ""  # another tower that gets all events, as --atc; its token is in CHOMP_ATC_TOKEN
    prompts: bool = False  # true: events have the end of each prompt, 200 bytes of it
    bodies: bool = False  # true: the last 500 requests are remembered with 16 KiB each of question and answer

    def __post_init__(self) -> None:
        if self.url and not self.url.startswith(("http://", "https://")):
            raise ValueError("url: must be an http or https address")


class Second(msgspec.Struct):
    """What was over within about one second."""

    at: int
    requests: int = 0
    errors: int = 0
    tokens: int = 0
    ttfts: list[float] = []  # ms, of the last ones


def percentile(values: Iterable[float], share: float) -> float | None:
    """The value below which that share of them lies; None of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


class Tower:
    """What is to be seen: sums by second, requests that are over, and what else has happened."""

    def __init__(self, host: Any):
        self._host = host
        self._seconds: collections.deque[Second] = collections.deque(maxlen=SECONDS)
        self._sums = (0, 0, 0)
        self.happenings: collections.deque[dict[str, Any]] = collections.deque(maxlen=HAPPENINGS)
        self.stopping = False
        self.replicas = host.service("replicas")
        self._watched_until_s = -1.0  # by somebody on another replica
        self._said_s = -1000.0
        self._seen: dict[str, tuple[float, dict[str, Any]]] = {}  # by replica: when it was heard of, and what it does
        self._far: collections.deque[dict[str, Any]] = collections.deque(maxlen=10 * ROWS)  # requests that ended there
        self.far_over = 0

    # -- other replicas

    def watch(self) -> None:
        """Somebody looks: the others are to say what they do."""
        if self.replicas is not None and (now_s := self._host.clocks.steady()) - self._said_s >= WATCHING_S:
            self._said_s = now_s
            self._host.publish("watched", {})

    def hear_watched(self, event: Any) -> None:
        """Somebody looks on another replica."""
        if event.replica:
            self._watched_until_s = self._host.clocks.steady() + WATCHED_S

    def hear_seen(self, event: Any) -> None:
        """Another replica says what it does."""
        if event.replica:
            self._seen[event.replica] = self._host.clocks.steady(), event.data
            self.far_over += event.data["over"]
            self._far.extend({**row, "attempts_failed": [], "replica": event.replica} for row in event.data["ended"])

    def _tell(self, over: int, errors: int, tokens: int) -> None:
        """Says what this replica has done within the last second, if somebody elsewhere looks."""
        if self._host.clocks.steady() > self._watched_until_s:
            return
        requests = self._host.service("requests")
        ended = [end.flat() for end in self.ended(requests.over - over)][-FAR_ENDED:]
        told = {
            "running": requests.inflight, "over": over, "errors": errors, "tokens": tokens,
            "live": [_only(one, OF_LIVE) for one in requests.live(FAR_LIVE)],
            "ended": [_only(one, OF_ENDED) for one in ended],
        }  # fmt: skip
        self._host.publish("seen", told)

    def _there(self) -> list[dict[str, Any]]:
        """All replicas and what they do, as far as it is known."""
        now_s, found = self._host.clocks.steady(), []
        own = self.replicas.report()["id"]
        for one in self.replicas.all():
            heard_s, seen = self._seen.get(one.id, (-1000.0, {}))
            if one.id == own:
                second = self._seconds[-1] if self._seconds else Second(0)
                fresh = int(self._host.clocks.wall()) - second.at <= 2
                seen = {"running": self._host.service("requests").inflight, "over": second.requests * fresh}
            elif now_s - heard_s > WATCHED_S:
                seen = {}
            more = {name: seen.get(name) for name in ("running", "over")}
            name = self.replicas.name(one.id)
            found.append({"id": one.id, "name": name, "version": one.version, "alive": one.alive, **more})
        return found

    def _far_live(self) -> list[dict[str, Any]]:
        now_s = self._host.clocks.steady()
        recent = {replica: seen for replica, (at_s, seen) in self._seen.items() if now_s - at_s < 3}
        return [{"records": [], **row, "replica": replica} for replica, seen in recent.items() for row in seen["live"]]

    # -- this one

    async def look(self) -> None:
        """Adds up the last second. Requests do not wait for it: it reads what they have counted."""
        requests = self._host.service("requests")
        before, now = self._sums, (requests.over, requests.errors, requests.tokens)
        if now != before:
            self._sums = now
            over, errors, tokens = (new - old for new, old in zip(now, before, strict=True))
            ttfts = [end.row.ttft_ms for end in self.ended(before[0]) if end.row.ttft_ms is not None]
            self._seconds.append(Second(int(self._host.clocks.wall()), over, errors, tokens, ttfts))
        else:
            over = errors = tokens = 0
        if self.replicas is not None:
            self._tell(over, errors, tokens)

    def ended(self, since: int) -> list[Any]:
        """Those of the last requests that were over after the first `since` of all."""
        requests = self._host.service("requests")
        last = list(requests.traces)[-(requests.over - since) :] if requests.over > since else []
        return [trace.end for trace in last]

    def hear(self, event: Any) -> None:
        """Something else has happened."""
        if event.kind == "proxy_stop" and not event.replica:
            self.stopping = True
        fields = _flat(self._host.fields_of(event))
        if "number" in fields:  # of a request: there is more in its row
            fields = {name: fields[name] for name in ("router", "sent_model", "caller", "reason") if name in fields}
        wanted = [(name, value) for name, value in fields.items() if value not in ("", None)][:FIELDS]
        data = {name[:FIELD_CHARS]: _short(value) for name, value in wanted}  # others may have posted it
        if event.replica and self.replicas is not None:
            data["on"] = self.replicas.name(event.replica)
        self.happenings.append({"seq": event.seq, "at": event.at, "kind": event.kind, "data": data})

    def series(self, now: float) -> dict[str, list[Any]]:
        """The last five minutes, in steps of five seconds: per second, and milliseconds to the first token."""
        last, step = int(now) // 5 * 5, 5
        steps: dict[int, list[Second]] = {at: [] for at in range(last - SECONDS + step, last + step, step)}
        for second in self._seconds:
            if (at := second.at // step * step) in steps:
                steps[at].append(second)
        ttfts = [[ms for one in seconds for ms in one.ttfts] for seconds in steps.values()]
        return {
            "at": [*steps],
            "requests": [sum(one.requests for one in seconds) / step for seconds in steps.values()],
            "errors": [sum(one.errors for one in seconds) / step for seconds in steps.values()],
            "tokens": [sum(one.tokens for one in seconds) / step for seconds in steps.values()],
            "p50": [percentile(values, 0.5) for values in ttfts],
            "p95": [percentile(values, 0.95) for values in ttfts],
        }

    def frame(self, since: int, wanted: dict[str, str], since_far: int = 0) -> dict[str, Any]:
        """All that a viewer shows, `since` the last of the requests that it has; few rows, and how many there are."""
        requests, now = self._host.service("requests"), self._host.clocks.wall()
        live = [one for one in requests.live(10 * ROWS if wanted else ROWS) if _fits(one, wanted)]
        new = self.ended(since)
        shown = [one for one in (end.flat() for end in new) if _fits(one, wanted)]
        far: dict[str, Any] = {}
        if self.replicas is not None:
            own = self.replicas.report()["id"]
            live, shown = ([{**one, "replica": own} for one in rows] for rows in (live, shown))
            live += [one for one in self._far_live() if _fits(one, wanted)]
            count = min(self.far_over - since_far, len(self._far))
            shown += [one for one in list(self._far)[len(self._far) - count :] if _fits(one, wanted)]
            far = {"far": self.far_over, "replicas": self._there()}
        return {
            **far,
            "at": now,
            "count": requests.over,
            "running": requests.inflight,
            "live": live[:ROWS],
            "ended": shown[-ROWS:],
            "left_out": max(0, requests.over - since - len(new)) + max(0, len(shown) - ROWS),
            "series": self.series(now),
            "happenings": list(self.happenings)[-30:],
        }


def _flat(fields: Any) -> dict[str, Any]:
    if isinstance(fields, dict):
        return fields
    found = msgspec.to_builtins(fields)
    return found if isinstance(found, dict) else {"data": found}


def _short(value: Any) -> Any:
    """A number as it is, all else as a short text."""
    if isinstance(value, bool | int | float):
        return value
    return (value if isinstance(value, str) else msgspec.json.encode(value).decode())[:FIELD_CHARS]


def _only(row: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Some fields of a row, texts shortened: many are to go with one message."""
    return {name: _short(row[name]) if isinstance(row[name], str) else row[name] for name in names if name in row}


def _fits(row: dict[str, Any], wanted: dict[str, str]) -> bool:
    return all(value.lower() in str(row.get(name, "")).lower() for name, value in wanted.items())


class Sender:
    """Sends events on to another tower: in order, in the background, and never in anybody's way."""

    def __init__(self, host: Any):
        self._host = host
        self._waiting: collections.deque[Any] = collections.deque()
        self._some = asyncio.Event()
        self.sent = self.dropped = 0
        self.error = ""
        self._listens = False

    def follow(self) -> None:
        """Listens while there is somebody to send it to."""
        if (wanted := bool(self._host.settings.url)) != self._listens:
            self._listens = wanted
            self._host.wants_details(wanted)
            if wanted:
                self._host.on("*", self.hear)
            else:
                self._host.off(self.hear)

    def hear(self, event: Any) -> None:
        """Has an event sent."""
        if event.kind in INTERNAL or event.kind.startswith("remote_"):
            return
        if len(self._waiting) >= SENT_MOST:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(event)
        self._some.set()

    async def run(self) -> None:
        """Sends what waits, for ever."""
        while True:
            await self._some.wait()
            self._some.clear()
            await self.flush()

    async def flush(self) -> None:
        """Sends what waits. What cannot be sent is given up: it is a view."""
        while self._waiting:
            event = self._waiting.popleft()
            data = msgspec.to_builtins(self._host.fields_of(event))
            try:
                async with asyncio.timeout(5), self._post({"type": event.kind, "data": data}) as answer:
                    self.error = "" if answer.status < 400 else f"it answered {answer.status}"
                    self.sent += answer.status < 400
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
                self.error = type(error).__name__
                self.dropped += 1 + len(self._waiting)
                self._waiting.clear()
                await asyncio.sleep(1)

    def _post(self, payload: dict[str, Any]) -> Any:
        headers = {"content-type": "application/json"}
        if token := self._host.variable("CHOMP_ATC_TOKEN"):
            self._host.hide(token)
            headers["authorization"] = f"Bearer {token}"
        url = self._host.settings.url.rstrip("/")
        return self._host.request("POST", f"{url}/events", headers=headers, data=json.dumps(payload).encode())


def lines_of(tower: Tower, host: Any, columns: int) -> list[str]:
    """The tower in text."""
    frame, routing = tower.frame(0, {}), host.service("routing")
    rate, errors, tokens = (frame["series"][name][-2] for name in ("requests", "errors", "tokens"))
    words = f"{rate:.1f} requests/s, {tokens:.0f} tokens/s, {errors:.1f} errors/s"
    words = words if frame["count"] or frame["running"] else "no traffic yet"
    lines = [f"{frame['running']} running, {frame['count']} over; {words}", ""]
    for one in frame["live"][:20]:
        where = f"#{one['position']} at {one['router']}" if one.get("position") else one["router"] or "-"
        speed = f"{one['tokens_per_s']} tok/s" if one.get("tokens_per_s") else ""
        lines.append(_line(one["state"], one["ms"], where, one["model"], one["caller"], speed))
    lines += [""] * bool(frame["live"])
    for name, one in routing.host_status().items():
        resident = ", ".join(model["id"] for model in one["models"] if model["resident"]) or "-"
        latency = "-" if one["latency_ms"] is None else f"{one['latency_ms']:.3g} ms"
        busy = f"{one['busy']}/{one['slots'] or '-'} busy, {one['queued']} queued"
        lines.append(f"{name:<16} {one['state']:<8} {latency:>7}  {busy}  {resident}")
    lines += [""] * bool(routing.hosts.all)
    for row in [end.flat() for end in tower.ended(0)[-10:]][::-1]:
        outcome = row["error_type"] or "ok"
        lines.append(
            _line(str(row["status"]), row["duration_ms"], row["router"], row["sent_model"], row["caller"], outcome)
        )
    return ["".join(sign if sign.isprintable() else "?" for sign in line)[:columns] for line in lines]


def _line(state: str, ms: float, where: str, model: str, caller: str, more: str) -> str:
    return f"{state:<10} {ms / 1000:>7.1f} s  {where:<16} {model[:40]:<40} {caller:<12} {more}"


def activate(host: Any) -> None:
    tower, sender = Tower(host), Sender(host)
    host.page("/tower", "Tower", "tower/page.html", icon="tower")
    host.panel("tower/settings.html")
    host.provide("tower", tower)
    host.provide("tower-sender", sender)
    host.every(1.0, tower.look)
    for pattern in TOLD:
        host.on(pattern, tower.hear, everywhere=True)
    if tower.replicas is not None:
        host.on("tower_watched", tower.hear_watched, everywhere=True)
        host.on("tower_seen", tower.hear_seen, everywhere=True)
    sender.follow()
    host.start("events for another tower", sender.run())
    host.reports(lambda: {"sent": sender.sent, "dropped": sender.dropped, "sending_error": sender.error or None})

    async def follow() -> None:
        requests = host.service("requests")
        requests.shows_prompts, requests.captures = host.settings.prompts, host.settings.bodies
        sender.follow()

    host.every(2.0, follow)

    async def show(request: web.Request) -> dict[str, Any]:
        """GET /api/tower?caller=&task=&router= -> {running, count, live, ended, series, happenings, replicas?}"""
        tower.watch()
        return tower.frame(0, _filters(request))

    async def show_request(request: web.Request) -> dict[str, Any]:
        """GET /api/tower/requests/{number}?replica= -> all that is known of a request"""
        number, replica = request.match_info["number"], request.query.get("replica", "")
        if replica and tower.replicas is not None and replica != tower.replicas.report()["id"]:
            raise host.elsewhere(replica[:64], "this request")
        found = host.service("requests").trace(int(number)) if number.isdecimal() and len(number) < 19 else None
        if found is None:
            raise host.error("this request is too long ago, or still running", status=404, code="not_found")
        return dict(found)

    async def show_cards(request: web.Request) -> Any:
        """GET /partials/tower -> the hosts and routers, as cards"""
        routing = host.service("routing")
        routers = [one for one in routing.report() if one["configured"] and one["kind"] != "host"]
        health = {one["id"]: routing.health(one["id"]) for one in routers}
        return host.render(request, "tower/cards.html", hosts=routing.host_status(), routers=routers, health=health)

    async def stream(request: web.Request) -> web.StreamResponse:
        """GET /api/tower/stream?caller=&task=&router= -> SSE: twice a second what /api/tower has, ended ones once"""
        response = web.StreamResponse(headers=_STREAM_HEADERS)
        await response.prepare(request)
        since, far, filters = 0, tower.far_over, _filters(request)
        while not tower.stopping and host.is_known(request):
            tower.watch()
            frame = tower.frame(since, filters, far)
            since, far = frame["count"], frame.get("far", 0)
            try:
                async with asyncio.timeout(SLOW_S):
                    await response.write(b"data: " + msgspec.json.encode(frame) + b"\n\n")
            except TimeoutError:
                raise ConnectionResetError("the viewer reads nothing") from None
            await asyncio.sleep(FRAME_S)
        return response

    async def watch(call: Any) -> AsyncIterator[str]:
        if "--once" in call.args or not call.tty:
            yield "\n".join(lines_of(tower, host, 200)) + "\n"
            return
        yield "\x1b[?1049h\x1b[?25l"
        while not tower.stopping:
            shown = lines_of(tower, host, call.columns)[: max(1, call.lines - 1)]
            yield "\x1b[H" + "\r\n".join(f"{line}\x1b[K" for line in shown) + "\x1b[J"
            await asyncio.sleep(1)

    host.route("GET", "/api/tower")(show)
    host.route("GET", "/api/tower/requests/{number}")(show_request)
    host.route("GET", "/api/tower/stream")(stream)
    host.route("GET", "/partials/tower")(show_cards)
    host.command("tower", "shows live what happens", usage="tower [--once]")(watch)


def _filters(request: web.Request) -> dict[str, str]:
    return {name: request.query[name][:200] for name in ("caller", "task", "router") if request.query.get(name)}


_STREAM_HEADERS = {"content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no"}


async def deactivate(host: Any) -> None:
    """What has happened is told before chomp is gone."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            await host.service("tower-sender").flush()
