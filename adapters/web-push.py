"""Web Push: tells browsers that asked for it what a person should know of a task, also when no page of chomp is open.

A browser hands over the address that its maker's push service has given it, and keys: what is sent there can be read by
that browser alone. What to tell of is what [notify] says. Needs the package of the extra `push`.
"""

from __future__ import annotations

import asyncio
import email.utils
import importlib
import importlib.util
import json
import sqlite3
import urllib.parse
from typing import Any

import aiohttp
import msgspec

from adapters.services.web import is_private, web_host

MANIFEST = {
    "id": "web-push",
    "name": "Web Push",
    "version": "1.0.0",
    "apiVersion": "^1.3",
    "contributes": {
        "settings": ["web-push"],
        "routes": ["/api/push", "/api/push/subscribe", "/api/push/unsubscribe", "/api/push/test"],
    },
    "capabilities": {"network": True},
}
PACKAGE = "the package for it is not installed: bin/up --install-only --extras push"
BROWSERS_MOST = 50
ADDRESS_CHARS = 2000
BODY_CHARS = 80
LASTS_S = {"needs_input": 86400, "done": 86400, "failed": 86400, "budget": 86400, "test": 60}  # at the push service
URGENT = ("needs_input", "budget", "test")  # of tasks that stand still until somebody comes


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Notifications of browsers."""

    contact: str = ""  # whom push services write to, such as "mailto:you@example.org"; Apple's refuses what cannot be
    private: bool = False  # true: push services in private networks are asked, too, also over http

    def __post_init__(self) -> None:
        if self.contact and not self.contact.startswith(("mailto:", "https://")):
            raise ValueError("contact: must begin with mailto: or https://")


class Browser(msgspec.Struct, frozen=True):
    """A browser that wants to be told."""

    endpoint: str
    p256dh: str
    auth: str
    login: str  # whose it is: it is told as long as that is good
    at: float


class Refused(Exception):
    """A push service takes no message for this browser, in words; `is_gone` when it never will again."""

    def __init__(self, words: str, *, is_gone: bool = False):
        super().__init__(words)
        self.is_gone = is_gone


def is_installed() -> bool:
    return importlib.util.find_spec("cryptography") is not None


def retry_after_s(value: str | None, now: float) -> float:
    """Seconds that a Retry-After asks for; 0 when it is none."""
    if value is None:
        return 0.0
    if value.isdecimal() and len(value) < 10:
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError):
        return 0.0


class Push:
    """Knows the browsers and tells them. Nobody waits; what cannot be delivered is tried again, then given up."""

    LIMIT_S = 10.0  # of one try
    PAUSES_S: tuple[float, ...] = (1.0, 5.0)  # between tries
    PATIENCE_S = 60.0  # a push service that asks for more gets nothing
    MOST = 64  # notices on their way at once

    def __init__(self, host: Any):
        self._host = host
        self._kept = host.storage("keys")
        self._making = asyncio.Lock()
        self._module: Any = None
        self._signer: Any = None
        self.underway = 0
        self.sent = self.failed = 0
        self.fault = ""  # of the last one that was not delivered

    async def signer(self) -> Any:
        """Our own key, made once. Raises an error where the package is missing."""
        if not is_installed():
            raise self._host.error(PACKAGE, 501)
        async with self._making:
            if self._signer is None:
                self._module = await asyncio.to_thread(importlib.import_module, "adapters.services.push")
                if (kept := await self._kept.get("vapid")) is None:
                    kept = await self._kept.first("vapid", self._module.new_key())
                self._host.hide(kept)
                self._signer = self._module.Signer(kept)
        return self._signer

    # -- browsers

    async def browsers(self) -> list[Browser]:
        """Those whose login is still good, the oldest first; others are forgotten."""
        rows = await self._host.read("SELECT endpoint, p256dh, auth, login, at FROM web_push_browsers ORDER BY at")
        found = [Browser(**row) for row in rows]
        good = [one for one in found if not one.login or self._host.is_signed_in(one.login)]
        for one in found:
            if one not in good:
                await self.forget(one.endpoint)
        return good

    async def add(self, browser: Browser) -> None:
        """Keeps a browser, anew where it is known; of too many the oldest is forgotten."""
        values = msgspec.structs.astuple(browser)

        def keep(database: Any) -> None:
            database.execute("INSERT OR REPLACE INTO web_push_browsers VALUES (?, ?, ?, ?, ?)", values)
            database.execute(
                "DELETE FROM web_push_browsers WHERE endpoint NOT IN "
                "(SELECT endpoint FROM web_push_browsers ORDER BY at DESC LIMIT ?)",
                (BROWSERS_MOST,),
            )

        await self._host.write(keep)

    async def forget(self, endpoint: str) -> None:
        sql = "DELETE FROM web_push_browsers WHERE endpoint = ?"
        await self._host.write(lambda database: database.execute(sql, (endpoint,)))

    async def checked(self, fields: Any, login: str) -> Browser:
        """The browser that a subscription's fields describe. Raises an error that answers with 400."""
        await self.signer()
        try:
            endpoint, keys = fields["endpoint"], fields["keys"]
            browser = Browser(endpoint, keys["p256dh"], keys["auth"], login, self._host.clocks.wall())
            browser = msgspec.convert(msgspec.to_builtins(browser), Browser)
            self._module.check_keys(browser.p256dh, browser.auth)
            url = urllib.parse.urlsplit(browser.endpoint)
            if not web_host(browser.endpoint) or len(browser.endpoint) > ADDRESS_CHARS or url.username is not None:
                raise ValueError("no address")
            inside = is_private(browser.endpoint)
        except (KeyError, TypeError, ValueError):  # msgspec's are ValueErrors
            raise self._host.error("that is no subscription of a browser", param="endpoint") from None
        if not self._host.settings.private and (url.scheme != "https" or inside):
            words = "a push service is asked over https, and not in a private network ([web-push] private)"
            raise self._host.error(words, param="endpoint")
        return browser

    # -- telling

    def tell(self, said: Any) -> None:
        """Tells all browsers of a task, in the background."""
        if not is_installed():
            return
        if self.underway >= self.MOST:
            self._failed("too many are on their way")
            return
        self.underway += 1
        words = {"title": said.title, "body": said.body[:BODY_CHARS], "task": said.task, "kind": said.kind}
        self._host.start(f"push of task {said.task}", self._tell_all(words))

    async def _tell_all(self, words: dict[str, str]) -> None:
        try:
            browsers = await self.browsers()
            await asyncio.gather(*(self._deliver(browser, words) for browser in browsers))
        except sqlite3.Error as error:  # the browsers are not known: the database is away, perhaps
            self._failed(str(error))
        finally:
            self.underway -= 1

    async def _deliver(self, browser: Browser, words: dict[str, str]) -> None:
        """Tells one browser, or gives up."""
        try:
            await self.send(browser, words)
        except Refused as refused:
            self._failed(f"{web_host(browser.endpoint)}: {refused}")

    async def send(self, browser: Browser, words: dict[str, str]) -> None:
        """Delivers to the push service of one browser, which is forgotten when it is gone. Raises Refused."""
        signer, kind = await self.signer(), words["kind"]
        pauses = iter(self.PAUSES_S)
        while True:
            body = self._module.encrypted(json.dumps(words).encode(), browser.p256dh, browser.auth)
            headers = {
                "content-encoding": "aes128gcm",
                "content-type": "application/octet-stream",
                "ttl": str(LASTS_S[kind]),
                "urgency": "high" if kind in URGENT else "normal",
                "topic": f"task-{words['task']}"[:32] if words["task"] else "test",  # replaces an older one
                "authorization": signer.authorization(browser.endpoint, self._contact(), self._host.clocks.wall()),
            }
            status, after_s, fault = await self._post(browser.endpoint, headers, body)
            if not fault:
                self.sent += 1
                return
            if status in (404, 410):
                await self.forget(browser.endpoint)
                raise Refused("this browser takes no more messages at the address it gave", is_gone=True)
            pause_s = next(pauses, None)
            if pause_s is None or after_s > self.PATIENCE_S or (400 <= status < 500 and status not in (408, 429)):
                raise Refused(fault)
            await asyncio.sleep(max(pause_s, after_s))

    def _contact(self) -> str:
        address = self._host.address
        return self._host.settings.contact or (
            address if address.startswith("https://") else "mailto:chomp@example.com"
        )

    async def _post(self, endpoint: str, headers: dict[str, str], body: bytes) -> tuple[int, float, str]:
        """The answer's status, how long to wait before another try, and what is wrong, without the address."""
        try:
            async with asyncio.timeout(self.LIMIT_S):
                async with self._host.request("POST", endpoint, headers=headers, data=body) as answer:
                    after_s = retry_after_s(answer.headers.get("retry-after"), self._host.clocks.wall())
                    good = 200 <= answer.status < 300
                    return answer.status, after_s, "" if good else f"the push service answered {answer.status}"
        except TimeoutError:
            return 0, 0.0, f"the push service did not answer within {self.LIMIT_S:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = (isinstance(error, OSError) and error.strerror) or type(error).__name__
            return 0, 0.0, f"the push service cannot be asked: {why}"

    def _failed(self, words: str) -> None:
        self.failed += 1
        self.fault = words
        self._host.log.warning("a browser could not be told: %s", words)


def activate(host: Any) -> None:
    push = Push(host)
    host.tables(
        "CREATE TABLE web_push_browsers (endpoint TEXT PRIMARY KEY, p256dh TEXT NOT NULL, auth TEXT NOT NULL, "
        "login TEXT NOT NULL, at REAL NOT NULL)"
    )
    host.provide("web-push", push)
    host.reports(lambda: {"sent": push.sent, "failed": push.failed, "fault": push.fault or None})
    try:
        host.service("notify").ways.append(push.tell)
    except LookupError:  # it is switched off, and with it all notices
        host.log.warning("the extension notify is off: browsers are told of nothing")

    def look_at_logins(event: Any) -> None:  # somebody signed out; a restart would not know of it any more
        host.start("forgets browsers", push.browsers())

    host.on("logins", look_at_logins)

    async def show_push(request: Any) -> dict[str, Any]:
        """GET /api/push -> {key, count, why}: the key browsers subscribe with, "" where they cannot, and why not"""
        count = len(await push.browsers())
        if not is_installed():
            return {"key": "", "count": count, "why": PACKAGE}
        return {"key": (await push.signer()).public, "count": count, "why": ""}

    async def subscribe(request: Any) -> dict[str, Any]:
        """POST /api/push/subscribe {endpoint, keys: {p256dh, auth}} -> {count}: tells this browser from now on"""
        await push.add(await push.checked(await host.fields(request), host.login_of(request)))
        return {"count": len(await push.browsers())}

    async def unsubscribe(request: Any) -> dict[str, Any]:
        """POST /api/push/unsubscribe {endpoint} -> {count}: tells this browser no more"""
        await push.forget(str((await host.fields(request)).get("endpoint", "")))
        return {"count": len(await push.browsers())}

    async def send_test(request: Any) -> dict[str, Any]:
        """POST /api/push/test {endpoint} -> {words}: tells one browser something, and how that went"""
        endpoint = (await host.fields(request)).get("endpoint")
        found = next((one for one in await push.browsers() if one.endpoint == endpoint), None)
        if found is None:
            raise host.error("this browser is not among those that are told", 404)
        words = {"title": "chomp", "body": "This is how a task calls you.", "task": "", "kind": "test"}
        try:
            await push.send(found, words)
        except Refused as refused:
            raise host.error(str(refused), 410 if refused.is_gone else 502) from None
        return {"words": "Sent: it comes by the push service of this browser"}

    host.route("GET", "/api/push")(show_push)
    host.route("POST", "/api/push/subscribe")(subscribe)
    host.route("POST", "/api/push/unsubscribe")(unsubscribe)
    host.route("POST", "/api/push/test")(send_test)
