"""Accounts of subscriptions: an API, a command and a page of what the server knows, and Sign in with ChatGPT."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import html
import json
import secrets
import socket
import textwrap
import urllib.parse
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, Literal

import aiohttp
import msgspec
from aiohttp import web

from adapters.subscriptions import siwc
from adapters.subscriptions.kinds import KINDS

MANIFEST = {
    "id": "accounts",
    "name": "Accounts",
    "version": "1.0.0",
    "apiVersion": "^1",
    "contributes": {"routes": ["/accounts", "/api/accounts"], "commands": ["accounts"]},
    "capabilities": {"network": True},
}
RULES = (
    "A subscription is for the person who pays for it. Anthropic: ordinary use of Claude Code and native apps; "
    "OpenAI: one's own local use of Sign in with ChatGPT. Sharing an account with others is off, and against these "
    "rules."
)
USAGE = (
    "accounts [[list] [--json] | add PATH [NAME] | login chatgpt [--name NAME] | login ADDRESS | remove NAME | "
    "reset NAME | pin NAME [PATTERN] | pin none [PATTERN] | usage NAME]"
)
OF_CLAUDE = (
    "Claude's own sign-in belongs to Claude Code: run `claude`, then /login, then "
    "`chomp accounts add ~/.claude/.credentials.json`"
)
PATH_WORDS = "chomp itself reads the file, in no folder of yours: its path has to be absolute, or begin with ~/"
OVER = "this sign-in is over: begin another one"
PORT, CALLBACK = 1455, "/auth/callback"  # where browsers come back; another port when this one is taken
LOGIN_S = 600.0  # how long a sign-in waits for its person
EXCHANGE_S = 30.0
REPLY_BYTES = 256 << 10
SURE_FROM = 0.02  # of a window: what was used in less says nothing of the rest
WIDE = 200  # columns of what is no terminal


# -- how far what is left goes


class Forecast(msgspec.Struct, frozen=True):
    """Where a window is heading, if it goes on as it has since it began."""

    state: Literal["unknown", "lasts", "runs_out", "used_up"]
    at: float | None = None  # of "runs_out": Unix time


def elapsed_share(length_s: float, resets_at: float, now: float) -> float | None:
    """The share of a window that has gone by; None when it is too little, or not known."""
    if length_s <= 0 or resets_at <= now:
        return None
    share = (length_s - (resets_at - now)) / length_s
    return share if share >= SURE_FROM else None


def pace(used: float | None, length_s: float, resets_at: float, now: float) -> float | None:
    """How fast it is used: at 1.0 all of it would be, just when it resets. None when that cannot be said."""
    share = elapsed_share(length_s, resets_at, now)
    return None if used is None or share is None else used / share


def forecast(used: float | None, length_s: float, resets_at: float, now: float) -> Forecast:
    """What becomes of a window."""
    if used is not None and used >= 1:
        return Forecast("used_up")
    speed = pace(used, length_s, resets_at, now)
    if used is None or speed is None:
        return Forecast("unknown")
    if speed == 0:
        return Forecast("lasts")
    at = now + (1 - used) * length_s / speed
    return Forecast("runs_out", at) if at < resets_at else Forecast("lasts")


def rows_of(accounts: Any, now: float) -> list[dict[str, Any]]:
    """What the server reports of each account, with a pace and a forecast for each window."""
    rows: list[dict[str, Any]] = accounts.report()
    for row in rows:
        kind = KINDS.get(row["kind"])
        row["can_ask"] = kind is not None and bool(kind.USAGE)
        for window in row["windows"]:
            facts = (window["used"], window["length_s"], window["resets_at"], now)
            window["pace"], window["forecast"] = pace(*facts), msgspec.to_builtins(forecast(*facts))
    return rows


# -- words


def length_words(seconds: float) -> str:
    """A length for people: 40 s, 5 m, 2 h 5 m, 3 d 4 h."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    for size, unit, smaller, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "m")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {part}" if rest else f"{whole // size} {unit}"
    return f"{whole // 60} m"


def used_words(window: Mapping[str, Any]) -> str:
    """How much of a window is used, never rounded up to all of it."""
    used = window["used"]
    return "not said" if used is None else f"{int(used * 100 + 1e-6)} %"


def reset_words(window: Mapping[str, Any], now: float) -> str:
    return f"resets in {length_words(window['resets_at'] - now)}" if window["resets_at"] else ""


def forecast_words(window: Mapping[str, Any], now: float) -> str:
    found = window["forecast"]
    words = {"unknown": "", "lasts": "lasts", "used_up": "used up"}
    return words.get(found["state"]) or (f"runs out in {length_words(found['at'] - now)}" if found["at"] else "")


def _plain(text: str) -> str:
    """`text` without signs that steer a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


# -- the list in a terminal

_TITLES = ("NAME", "VENDOR", "PLAN", "STATE", "SESSIONS", "WINDOW", "USED", "RESETS", "FORECAST")
_STATE, _COLOURS = 3, {"ready": 32, "paid": 33, "resting": 33, "partly": 33}  # of an account; others are red
_RIGHT = (4, 6)  # numbers


def lines_of(rows: Sequence[Mapping[str, Any]], now: float, columns: int, colour: bool) -> list[str]:
    """Accounts as a table, or one below the other where that is too wide; then why some of them do not serve."""
    cells = [cell for row in rows for cell in _cells(row, now)]
    widths = [max(map(len, column)) for column in zip(_TITLES, *cells, strict=True)]
    if sum(widths) + 2 * (len(widths) - 1) <= columns:
        lines = [_line(one, widths, colour) for one in (_TITLES, *cells)]
    else:
        lines = [line for row in rows for line in _folded(_cells(row, now), columns, colour)]
    for row in rows:
        if words := "; ".join(dict.fromkeys(filter(None, (row["words"], row["refresh_fault"], row["usage_words"])))):
            lines += ["", *textwrap.wrap(_plain(f"{row['name']}: {words}"), max(20, columns), subsequent_indent="  ")]
    return lines


def _cells(row: Mapping[str, Any], now: float) -> list[list[str]]:
    """A line for each window; only the first one says whose it is."""
    head = [row["name"], row["kind_name"] or "?", row["plan"] or "-", row["state"], str(row["sessions"])]
    windows = [
        [window["name"], used_words(window), reset_words(window, now), forecast_words(window, now)]
        for window in row["windows"]
    ] or [["-", "", "", ""]]
    blank = [""] * len(head)
    return [[*map(_plain, (*(blank if at else head), *window))] for at, window in enumerate(windows)]


def _line(cells: Sequence[str], widths: Sequence[int], colour: bool) -> str:
    shown = [cell.rjust(wide) if at in _RIGHT else cell.ljust(wide)
             for at, (cell, wide) in enumerate(zip(cells, widths, strict=True))]  # fmt: skip
    shown[_STATE] = _painted(shown[_STATE], colour)
    return "  ".join(shown).rstrip()


def _painted(state: str, colour: bool) -> str:
    """The state of an account in its colour."""
    word = state.strip()
    return f"\x1b[{_COLOURS.get(word, 31)}m{state}\x1b[0m" if colour and word and word not in _TITLES else state


def _folded(cells: Sequence[Sequence[str]], columns: int, colour: bool) -> list[str]:
    name, vendor, plan, state, sessions = cells[0][:5]
    words = f"{name}: {vendor}, {plan}, {sessions} session{'' if sessions == '1' else 's'}"
    lines = textwrap.wrap(words, max(20, columns), subsequent_indent="  ")
    lines.append(f"  {_painted(state, colour)}")
    for one in cells:
        words = "  ".join(filter(None, one[5:]))
        lines += textwrap.wrap(words, max(20, columns), initial_indent="  ", subsequent_indent="    ")
    return lines


# -- signing in


class Login:
    """One sign-in with ChatGPT: it waits for a browser to come back, exchanges what that brings, and is over."""

    def __init__(self, name: str, client_id: str, host_id: str):
        self.name, self.client_id, self.host_id = name, client_id, host_id  # the name: as wished, then as it is
        self.id = secrets.token_urlsafe(9)
        self.state, self.nonce, self.verifier = (secrets.token_urlsafe(48) for _ in range(3))
        self.redirect = self.url = ""
        self.phase: Literal["waiting", "exchanging", "done", "failed"] = "waiting"
        self.words = ""  # of what has failed
        self.answer: asyncio.Future[Mapping[str, str]] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()

    def owns(self, query: Mapping[str, str]) -> bool:
        """Whether a browser comes back from this one."""
        return hmac.compare_digest(query.get("state", "").encode(errors="replace"), self.state.encode())

    async def ended(self, query: Mapping[str, str]) -> None:
        """Goes on with what the browser has brought, and waits for the end; what comes later is as good as not said."""
        if not self.answer.done():
            self.answer.set_result(query)
        await self.over.wait()

    def report(self) -> dict[str, str]:
        """How it stands, for people."""
        if self.phase == "done":
            return {"state": "done", "name": self.name}
        return {"state": "failed", "words": self.words} if self.phase == "failed" else {"state": "waiting"}


class Logins:
    """Signs in one person at a time: who begins again ends what was begun before."""

    def __init__(self, host: Any):
        self._host = host
        self._last: Login | None = None
        self._work: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    def report(self, id: str) -> dict[str, str] | None:
        """How the last sign-in stands, if that is its id."""
        return self._last.report() if self._last is not None and self._last.id == id else None

    def whose(self, query: Mapping[str, str]) -> Login:
        """The sign-in that a browser comes back from. Raises an error that answers with 400."""
        if self._last is None or not self._last.owns(query):
            words = "this address belongs to no sign-in that waits: paste the whole one, or begin another sign-in"
            raise self._host.error(words, param="address")
        return self._last

    async def begin(self, name: str = "") -> Login:
        """Waits for a browser from now on. Raises an error where the name, or every port, is taken."""
        async with self._turn:
            login = self._made(name)
            await self._end()
            runner = await self._listen(login)
            self._last = login
            self._work = self._host.start("Sign in with ChatGPT", self._run(login, runner))
            return login

    async def end(self, login: Login) -> None:
        """Waits for `login` no more."""
        if self._last is login:
            await self._end()

    async def close(self) -> None:
        """Waits for nobody."""
        async with self._turn:
            await self._end()

    async def _end(self) -> None:
        if self._work is not None and not self._work.done():
            self._work.cancel()
            await asyncio.wait([self._work])

    def _made(self, name: str) -> Login:
        """A sign-in; one of an account that there is goes on with its registration."""
        service = self._host.service("accounts")
        accounts = service.all
        account = accounts.get(name)
        if account is not None and account.kind_id not in ("siwc", ""):
            words = f"the account {name} was not signed in here: another name, or no one, is needed"
            raise self._host.error(words, status=409, param="name")
        entry = siwc_entry(account)
        known = (entry, *map(siwc_entry, accounts.values()))
        host_id = next((one["host_id"] for one in known if one.get("host_id")), "") or uuid.uuid4().urn
        if name and account is None:
            name = service.free_name(name)  # one that can be, or it would be found out when somebody has signed in
        return Login(name, entry.get("client_id") or siwc.CLIENT, host_id)

    async def _listen(self, login: Login) -> web.AppRunner:
        """Has a browser come back to a port of this machine, and says where it is to sign in for that."""
        try:
            opened = _bound(PORT)
        except OSError:
            opened = _bound(0)
        port = opened.getsockname()[1]
        login.redirect = f"http://127.0.0.1:{port}{CALLBACK}"
        base = self._host.variable("CHOMP_SIWC_AUTHORIZE_URL") or siwc.AUTHORIZE_URL
        login.url = siwc.authorize_url(base, login.redirect, login.state, login.nonce, siwc.challenge(login.verifier),
                                       login.host_id, "chomp", login.client_id)  # fmt: skip
        # no access log: what it logs are addresses, with the code in them
        runner = web.AppRunner(_callback_app(login, port), access_log=None, shutdown_timeout=2.0)
        try:
            await runner.setup()
            await web.SockSite(runner, opened).start()
        except BaseException:
            await runner.cleanup()
            opened.close()
            raise
        return runner

    async def _run(self, login: Login, runner: web.AppRunner) -> None:
        """Waits, exchanges, saves."""
        words = "another one was begun, or nobody waits for it any more"
        try:
            async with asyncio.timeout(LOGIN_S):
                query = await login.answer
            login.phase = "exchanging"
            login.name = await self._exchanged(login, query)
            login.phase = "done"
        except TimeoutError:
            words = f"nobody has signed in within {length_words(LOGIN_S)}"
            if login.phase == "exchanging":
                words = f"ChatGPT has not answered within {length_words(EXCHANGE_S)}"
        except Exception as error:  # whatever it was, also that an account cannot be saved: who waits hears of it
            words = _plain(self._host.redact(str(error) or type(error).__name__))[:300]
            self._host.log.warning("nobody was signed in with ChatGPT: %s", words)
        finally:
            if login.phase != "done":
                login.phase, login.words = "failed", words
            login.over.set()
            await runner.cleanup()

    async def _exchanged(self, login: Login, query: Mapping[str, str]) -> str:
        """Saves the account that a code is for; its name. Raises ValueError, and what requests and saving raise."""
        if refusal := query.get("error_description") or query.get("error"):
            raise ValueError(f"ChatGPT says: {refusal}")
        code, own = query.get("code", ""), "" if login.client_id == siwc.CLIENT else login.client_id
        if not code or not (client_id := query.get("client_id") or own):
            raise ValueError("ChatGPT sent no code, or no client id, back with the browser: sign in again")
        for secret in (code, login.verifier):
            self._host.hide(secret)
        reply = await self._ask(siwc.exchange(code, client_id, login.redirect, login.verifier))
        fields = siwc.signed_in(reply, client_id, login.host_id, self._host.clocks.wall(), login.nonce)
        name: str = await self._host.service("accounts").save(fields, login.name)
        return name

    async def _ask(self, payload: Mapping[str, str]) -> Any:
        """What the token endpoint answers. Raises ValueError, and what a request raises."""
        url = self._host.variable("CHOMP_SIWC_TOKEN_URL") or siwc.TOKEN_URL
        timeout = aiohttp.ClientTimeout(total=EXCHANGE_S)
        headers = {"accept": "application/json"}
        async with self._host.request("POST", url, data=payload, headers=headers, timeout=timeout) as answer:
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > REPLY_BYTES:
                    raise ValueError("ChatGPT's answer to the sign-in is too long")
            try:
                reply = json.loads(body)
            except ValueError:
                reply = None
            if answer.status != 200:
                raise ValueError(f"ChatGPT answered {answer.status}{_reason(reply)}")
        return reply


def siwc_entry(account: Any) -> dict[str, str]:
    """What is known of the sign-in of an account; {} when it has none."""
    entry = account.fields.get(siwc.MARKS[0]) if account is not None else None
    names = ("client_id", "host_id")
    return {name: entry[name] for name in names if isinstance(entry.get(name), str)} if isinstance(entry, dict) else {}


def _reason(reply: Any) -> str:
    """Why a token endpoint refuses, as RFC 6749 and the API have it."""
    if not isinstance(reply, dict):
        return ""
    error = reply.get("error")
    words = reply.get("error_description") or (error.get("message") if isinstance(error, dict) else error)
    return f": {words}" if isinstance(words, str) else ""


def _bound(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))


def _callback_app(login: Login, port: int) -> web.Application:
    """What browsers come back to. It answers its own name alone, so that no page of elsewhere can make one its own."""

    @web.middleware
    async def check_host(request: web.Request, handler: Any) -> web.StreamResponse:
        if request.host not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            return _page("Nothing is here.", 400)
        response: web.StreamResponse = await handler(request)
        return response

    async def take(request: web.Request) -> web.Response:
        if not login.owns(request.query):
            return _page("This is no sign-in that chomp waits for.", 400)
        await login.ended(request.query)
        if login.phase == "done":
            return _page("Signed in. You can close this.")
        return _page(f"Not signed in: {login.words}", 400)

    app = web.Application(middlewares=[check_host])
    app.router.add_get(CALLBACK, take, allow_head=False)
    return app


def _page(words: str, status: int = 200) -> web.Response:
    """A page of one sentence, that nothing keeps and nothing hears of."""
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        f"<title>chomp</title><p>{html.escape(words)}</p></html>"
    )
    headers = {
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",  # the code stands in the address
        "x-content-type-options": "nosniff",
    }
    response = web.Response(text=text, status=status, content_type="text/html", headers=headers)
    response.force_close()
    return response


# -- for the owner


class Desk:
    """What the owner does with accounts: by the API, on the page, in a terminal."""

    def __init__(self, host: Any):
        self._host = host
        self.logins = Logins(host)

    @property
    def _accounts(self) -> Any:
        return self._host.service("accounts")

    def rows(self) -> list[dict[str, Any]]:
        """Every account."""
        return rows_of(self._accounts, self._host.clocks.wall())

    async def add(self, path: str, name: str = "") -> dict[str, str]:
        if not path.startswith(("/", "~/")) or not path.isprintable():
            raise self._host.error(PATH_WORDS, param="path")
        name = await self._accounts.add(path, name)
        return {"name": name, "words": f"{name} is used from now on"}

    async def remove(self, name: str) -> dict[str, str]:
        await self._accounts.remove(name)
        return {"name": name, "words": f"{name} is used no more"}

    async def reset(self, name: str) -> dict[str, str]:
        self._accounts.reset(name)
        return {"name": name, "words": f"{name} is asked again, whatever was heard of it"}

    async def pin(self, name: str, pattern: str = "") -> dict[str, str]:
        pattern = pattern or "*"
        name = "" if name == "none" else name
        await self._accounts.pin(name, pattern)
        words = f"{name} is asked first for {pattern}" if name else f"no account is asked first for {pattern}"
        return {"name": name, "words": words}

    async def usage(self, name: str) -> dict[str, str]:
        words = await self._accounts.ask_usage(name)
        return {"name": name, "words": words or f"what is left of {name} is as its vendor says"}

    async def login(self, kind: str, name: str = "") -> Login:
        """Begins a sign-in. Raises an error that says what can be done instead, where it is another program's."""
        if kind != "chatgpt":
            words = OF_CLAUDE if kind == "claude" else f"chomp signs in to chatgpt, not to {kind[:50]!r}"
            raise self._host.error(words, code="no_login", param="kind")
        return await self.logins.begin(name)

    async def finish(self, address: str) -> Login:
        """Ends a sign-in with the address where its browser is. Raises an error for any other address."""
        query = query_of(address)
        login = self.logins.whose(query)
        if not query.keys() & {"code", "error"}:
            raise self._host.error("this is not where a sign-in ends: its address has a code", param="address")
        await login.ended(query)
        return login

    # -- as a command

    async def run(self, call: Any) -> AsyncIterator[str]:
        """What `chomp accounts` prints. Raises an error with the code "usage" for words that mean nothing."""
        match tuple(part for word in call.args for part in _parts(word)):
            case () | ("list",):
                yield self._listed(call)
            case ("--json",) | ("list", "--json"):
                yield json.dumps({"accounts": self.rows()}, indent=2) + "\n"
            case ("add", path, *rest) if len(rest) < 2:
                yield _said(await self.add(path, *rest))
            case ("login", "chatgpt", *rest) if not rest or (len(rest) == 2 and rest[0] == "--name"):
                async with contextlib.aclosing(self._sign_in("".join(rest[1:]))) as pieces:
                    async for words in pieces:
                        yield words
            case ("login", address) if "://" in address:
                yield self._outcome(await self.finish(address))
            case ("login", kind) if not kind.startswith("-"):
                await self.login(kind)
            case ("remove", name):
                yield _said(await self.remove(name))
            case ("reset", name):
                yield _said(await self.reset(name))
            case ("pin", name, *rest) if len(rest) < 2:
                yield _said(await self.pin(name, *rest))
            case ("usage", name):
                yield _said(await self.usage(name)) + self._listed(call, name)
            case _:
                raise self._host.error(f"usage: chomp {USAGE}", code="usage")

    def _listed(self, call: Any, name: str = "") -> str:
        rows = [row for row in self.rows() if name in ("", row["name"])]
        if not rows:
            words = (f"no account yet. {OF_CLAUDE}. ChatGPT: `chomp accounts login chatgpt`.", RULES)
            return "\n".join("\n".join(textwrap.wrap(one, max(20, call.columns))) for one in words) + "\n"
        columns = call.columns if call.tty else WIDE
        return "\n".join(lines_of(rows, self._host.clocks.wall(), columns, call.colour)) + "\n"

    async def _sign_in(self, name: str) -> AsyncGenerator[str, None]:
        """Says where to sign in, then how that went; a person who leaves has it end."""
        login = await self.login("chatgpt", name)
        try:
            yield (
                f"Open this in your browser, sign in, and allow your plan to be used:\n\n{login.url}\n\n"
                "A browser on another machine ends at an address that it cannot open: give that to\n"
                f"`chomp accounts login 'ADDRESS'` in another terminal. Waiting {length_words(LOGIN_S)} ...\n"
            )
            await login.over.wait()
            yield self._outcome(login)
        finally:
            if not login.over.is_set():
                await self.logins.end(login)

    def _outcome(self, login: Login) -> str:
        if login.phase != "done":
            raise self._host.error(login.words)
        return f"Signed in: {login.name}\n"


def query_of(address: str) -> dict[str, str]:
    """The query of an address; {} when it has none."""
    try:
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address.strip()).query, max_num_fields=100))
    except ValueError:
        return {}


def _parts(word: str) -> tuple[str, ...]:
    """An option and its value, which may be one word."""
    return ("--name", word.removeprefix("--name=")) if word.startswith("--name=") else (word,)


def _said(answer: Mapping[str, str]) -> str:
    return f"{_plain(answer['words'])}\n"


def activate(host: Any) -> None:
    desk = Desk(host)
    host.page("/accounts", "Accounts", "accounts/page.html", icon="person")
    host.provide("account-logins", desk.logins)
    host.command("accounts", "shows and changes accounts of subscriptions, and signs in with ChatGPT", usage=USAGE)(
        desk.run
    )

    async def texts_of(request: web.Request, *names: str) -> list[str]:
        """Fields of a request; "" for each that it has not."""
        fields = await host.fields(request)
        for name in names:
            if not isinstance(fields.get(name, ""), str):
                raise host.error(f"{name} has to be a text", param=name)
        return [fields.get(name, "").strip() for name in names]

    def known(request: web.Request) -> dict[str, str]:
        """How the sign-in that an address names stands. Raises an error that answers with 404."""
        if (report := desk.logins.report(request.match_info["id"])) is None:
            raise host.error(OVER, status=404, code="not_found")
        return report

    async def list_accounts(request: web.Request) -> dict[str, Any]:
        """GET /api/accounts -> {accounts}: what is known of each, without its tokens"""
        return {"accounts": desk.rows()}

    async def add(request: web.Request) -> dict[str, str]:
        """POST /api/accounts/add {path, name?} -> {name, words}: uses a file of credentials where it is"""
        return await desk.add(*await texts_of(request, "path", "name"))

    async def remove(request: web.Request) -> dict[str, str]:
        """POST /api/accounts/remove {name} -> {name, words}: a file of another program stays as it is"""
        return await desk.remove(*await texts_of(request, "name"))

    async def reset(request: web.Request) -> dict[str, str]:
        """POST /api/accounts/reset {name} -> {name, words}: forgets why it was left alone"""
        return await desk.reset(*await texts_of(request, "name"))

    async def pin(request: web.Request) -> dict[str, str]:
        """POST /api/accounts/pin {name, pattern?} -> {name, words}: asked first; "" or "none" takes a pin away"""
        return await desk.pin(*await texts_of(request, "name", "pattern"))

    async def usage(request: web.Request) -> dict[str, str]:
        """POST /api/accounts/usage {name} -> {name, words}: asks its vendor what is left, at most once in 5 minutes"""
        return await desk.usage(*await texts_of(request, "name"))

    async def begin_login(request: web.Request) -> Any:
        """POST /api/accounts/login {kind: "chatgpt", name?} -> {url, id}: signs in, one person at a time"""
        login = await desk.login(*await texts_of(request, "kind", "name"))
        if "hx-request" in request.headers:
            return host.render(request, "accounts/login.html", login=login, id=login.id, report=login.report())
        return {"url": login.url, "id": login.id}

    async def show_login(request: web.Request) -> dict[str, str]:
        """GET /api/accounts/login/{id} -> {state, name?, words?}: waiting, done or failed"""
        return known(request)

    async def finish_login(request: web.Request) -> dict[str, str]:
        """POST /api/accounts/login/{id} {address} -> as GET: for a browser on another machine, where it ended"""
        known(request)
        return (await desk.finish(*await texts_of(request, "address"))).report()

    async def show_cards(request: web.Request) -> Any:
        """GET /partials/accounts -> a card for each account"""
        shown = {
            "now": host.clocks.wall(), "address": host.address, "rules": RULES, "length": length_words,
            "settings": host.service("accounts").settings,
            "used": used_words, "resets": reset_words, "forecast": forecast_words,
        }  # fmt: skip
        return host.render(request, "accounts/cards.html", accounts=desk.rows(), **shown)

    async def show_login_state(request: web.Request) -> Any:
        """GET /partials/accounts/login/{id} -> how a sign-in stands"""
        id = request.match_info["id"]
        report = desk.logins.report(id) or {"state": "failed", "words": OVER}
        return host.render(request, "accounts/state.html", id=id, report=report)

    host.route("GET", "/api/accounts")(list_accounts)
    for name, handle in (("add", add), ("remove", remove), ("reset", reset), ("pin", pin), ("usage", usage)):
        host.route("POST", f"/api/accounts/{name}")(handle)
    host.route("POST", "/api/accounts/login")(begin_login)
    host.route("GET", "/api/accounts/login/{id}")(show_login)
    host.route("POST", "/api/accounts/login/{id}")(finish_login)
    host.route("GET", "/partials/accounts")(show_cards)
    host.route("GET", "/partials/accounts/login/{id}")(show_login_state)


async def deactivate(host: Any) -> None:
    """No browser is waited for when chomp is gone."""
    await host.service("account-logins").close()
