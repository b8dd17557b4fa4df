"""chomp: one port between a person's agents and every model.

Read from the top: words, rules about words, things that hold state, doors to the outside.
A section uses only what stands above it.

Settings      every limit, timeout and name, from flags, environment and files
Types         the vocabulary: small frozen structs
Errors        ChompError and its kinds: status, OpenAI type and code, retry hint
Tables        rows only: the routers
Protocols     bytes and shapes without sockets: SSE frames, headers, usage, error bodies
Policy        pure decisions: model names, ranking, what is retryable, cooldowns, cost
Store         what lives in state/: lock, the state file and its archive, token, secrets, the SQLite database
Background    owner of every background task
Events        the bounded live feed
Usage         one row per request, totals, Prometheus text; users' allowances, tasks' meters and budgets
Credentials   router keys, callers' tokens, sign-in, what must never be shown
Upstream      compressed bodies; our own connection pool; the embedded model's child process
Hosts         machines that serve models: how they are, what they have in memory; those found on this one
Routing       routers, their catalogues, cooldowns and breakers; who is asked, in which order
Proxy         one request: fails over until an answer is committed, relays and meters it
Jobs          asynchronous completions
Tasks         the queue: tasks and their sessions, what may start next
Kernel        the extension host: what extensions are handed, in which order they start, what fails with them
Dispatch      running agents: processes, sandboxes, terminals, the folders they work in
Web           callers, host and origin checks, body reading, errors, the client's side of a relay
Gateway API   /v1/*, /api/models/*, /api/usage, /health, /status, /metrics
Task API      /api/tasks, /api/state, /api/clean, /api/dispatch, /api/result, /api/jobs
Settings API  /api/config, /api/platforms, /api/users
Live          /events: everything that happens, and what open pages are told of it; /ws/terminal/{task}
Pages         /, /docs, /usage, /login, /partials/*, /static/*
Extensions    what extensions contribute to the outside: routes, pages, /api/commands
App           services built bottom up; main()
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import bisect
import calendar
import collections
import colorsys
import contextlib
import datetime
import difflib
import email.utils
import errno
import fcntl
import fnmatch
import functools
import gc
import glob
import gzip
import hashlib
import hmac
import html
import http
import importlib.util
import inspect
import ipaddress
import itertools
import json
import logging
import math
import os
import pwd
import py_compile
import random
import re
import resource
import secrets
import shlex
import shutil
import signal
import socket
import sqlite3
import ssl
import stat
import sys
import termios
import textwrap
import threading
import time
import tomllib
import urllib.parse
import weakref
import zlib
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Container,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, Protocol, TypeVar, cast

import aiohappyeyeballs
import aiohttp
import aiohttp_jinja2
import brotli  # type: ignore[import-untyped]
import httptools
import jinja2
import msgspec
import prometheus_client
from aiohttp import http_exceptions, web
from aiohttp.abc import AbstractStreamWriter
from msgspec import UNSET, Raw, UnsetType
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from adapters.dialects import chat as chat_dialect
from adapters.dialects import form
from adapters.dialects import gemini as gemini_dialect
from adapters.dialects import messages as messages_dialect
from adapters.dialects import responses as responses_dialect
from adapters.dialects.form import Usage
from adapters.hosts.kinds import BACKENDS, Backend, identify, speaks
from adapters.hosts.seen import CannotDo, Down, HostModel, NotThis, Reply, Seen

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

VERSION = "0.1.0"
HERE = Path(__file__).resolve().parent
IN_CLONE = (HERE / "pyproject.toml").exists()  # else it was installed as a package
log = logging.getLogger("chomp")
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS: its monotonic one runs on, too


def boot_s() -> float:
    """Seconds since the machine was started, those it slept included: never set, unlike the wall clock.

    For waits until a moment that somebody named. Silence and durations are `time.monotonic`'s, days `time.time`'s.
    """
    return time.clock_gettime(_BOOT_CLOCK)


class Clocks(msgspec.Struct, frozen=True):
    """The kinds of time there are, each as a function that says how many seconds it is."""

    wall: Callable[[], float] = time.time  # Unix: days, and what people read; it may be set to anything
    lasting: Callable[[], float] = boot_s  # until a moment that somebody named
    steady: Callable[[], float] = time.monotonic  # silence and durations; it stands while the machine sleeps


CLOCKS = Clocks()


# == Settings ==========================================================================================================


class Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds; in chomp.toml without the `_s`, as "60s", "5m" or a number."""

    connect_s: float = 10.0  # TCP and TLS handshake with a router
    first_byte_s: float = 120.0  # until a stream's first frame that is not a comment
    first_byte_local_s: float = 300.0  # the same for local models, which may still be loading
    answer_s: float = 600.0  # until an answer that is not streamed
    idle_s: float = 120.0  # silence inside a stream or a body
    hold_s: float = 10.0  # how long frames without content are held back, so that failover stays possible
    keepalive_s: float = 15.0  # silence towards a streaming client before a comment is sent
    body_s: float = 30.0  # silence while a client sends its request body
    catalog_s: float = 10.0  # fetching one router's model list
    catalog_wait_s: float = 5.0  # how long a request waits for model lists being fetched
    catalog_ttl_s: float = 900.0  # age at which a model list is fetched again
    pool_idle_s: float = 30.0  # an unused connection to a router is closed
    client_idle_s: float = 75.0  # an unused connection of a client is closed
    stalled_s: float = 600.0  # a client that reads nothing of its answer is left
    drain_s: float = 30.0  # at shutdown, for streams to end
    job_s: float = 600.0  # one job of /api/dispatch
    probe_s: float = 3.0  # one question to a host; one that drops packets costs nobody more
    busy_s: float = 10.0  # how long a busy host that has the model in memory is waited for before a cold one takes over
    queue_s: float = 300.0  # how long a request waits for a free slot of a host or router
    local_start_s: float = 30.0  # the embedded model must have started by then
    local_idle_s: float = 300.0  # the embedded model gives its memory back


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Counts, and bytes where the name says so; sizes may be written "64MiB"."""

    body_bytes: int = 64 << 20  # one request body, unpacked; more is answered 413
    inflight_bytes: int = 512 << 20  # all request bodies being handled; more is answered 429
    answer_bytes: int = 1 << 20  # an answer that is not streamed is checked whole up to here, larger ones pass through
    frame_bytes: int = 1 << 20  # a stream's frame above this passes uninspected
    head_bytes: int = 64 << 10  # a router's response head
    error_bytes: int = 64 << 10  # what is read of a router's error
    requests: int = 4096  # being handled at once; more are answered 503
    idle_connections: int = 1024  # kept open to routers
    catalog_bytes: int = 32 << 20  # one router's model list
    catalog_models: int = 20_000  # models kept of one router
    names: int = 4096  # cooldowns, delays and prices remembered, each
    ledger_rows: int = 20_000  # waiting to be written; more are dropped and counted
    events: int = 1000  # kept for late watchers
    queue: int = 100  # requests that wait for a free slot of one host or router; more go elsewhere, or are answered 429
    jobs_parallel: int = 4  # jobs of /api/dispatch running at once
    jobs_waiting: int = 1000  # more are answered 429
    jobs_kept: int = 1000  # finished jobs that can still be read
    responses_kept: int = 10_000  # answers of /v1/responses that can be gone on from
    responses_bytes: int = 256 << 20  # the same, all together
    event_streams: int = 64  # open pages that are told what changes


_Some = Annotated[int, msgspec.Meta(ge=1)]


Isolation = Literal["auto", "required", "none"]


class TaskSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How tasks are run; `_s` are seconds, without it in chomp.toml. 0 means no limit where that is said."""

    parallel: _Some = 4  # sessions at once
    platform_parallel: dict[str, _Some] = {}  # the same for single platforms, such as { codex = 2 }
    auto: bool = False  # true: queued tasks start by themselves
    platform: str = ""  # for tasks that name none; "": the first that is available
    roots: tuple[str, ...] = ()  # folders tasks may work in; []: any but the system's and chomp's own
    isolation: Isolation = "auto"  # bubblewrap where it works; "required": or not at all; "none": never
    budget_tokens: int = 300_000  # of one task, soft: crossing it is shown and told; 0: none
    budget_tokens_per_day: int = 0  # of all tasks, UTC: requests are held when it is used up; 0: none
    budget_usd_per_day: float = 0.0  # the same
    strict: bool = False  # true: answers are asked for no longer than what is left of a budget that pauses
    hold_s: float = 300.0  # how long a request over a budget is held before it is refused, sent again or not
    gate: str = "gates/health.sh"  # run in a task's folder when it is there and the task names no other
    gate_timeout_s: float = 600.0  # a gate that takes longer has failed
    max_gate_loops: int = 3  # sessions a task gets to please its gate
    setup: str = ".chomp/setup.sh"  # run in a new clone when it is there
    setup_timeout_s: float = 600.0  # a setup that takes longer has failed
    session_s: float = 0.0  # an agent that takes longer is stopped; 0: no limit
    stalled_s: float = 600.0  # neither output nor traffic for so long: shown as stalled
    stalled_stop_s: float = 1800.0  # and for so long: stopped; 0: never
    kept_done_s: float = 7 * 86400.0  # folders of tasks that are done
    kept_failed_s: float = 30 * 86400.0  # and of those that failed
    finished: int = 200  # finished tasks in state.json; older ones are in archive.jsonl
    transcript_bytes: int = 32 << 20  # kept of a session's output


class ExtensionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which extensions are loaded beside those in adapters/, and which are not."""

    folders: tuple[str, ...] = ()  # further folders with extensions; what lies there runs with chomp's own rights
    off: tuple[str, ...] = ()  # ids of extensions that are not loaded


def home_folder(environ: Mapping[str, str]) -> Path:
    """The folder with state/ and chomp.toml, by bin/chomp's rule: a package keeps nothing beside its code."""
    if named := environ.get("CHOMP_DIR"):
        return Path(named).expanduser()
    if IN_CLONE:
        return HERE
    return Path(environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser() / "chomp"


class Proxies(msgspec.Struct, frozen=True):
    """The proxies through which others are reached, as the environment names them."""

    http: str = ""  # for http targets: http://user:password@proxy.example:3128, "" for none
    https: str = ""
    spared: tuple[str, ...] = ()  # NO_PROXY

    def of(self, tls: bool, host: str, port: int) -> str:
        """The proxy to ask for a target, "" for none.

        This machine is reached without one: to a proxy, localhost is another. curl, httpx and requests ask it all the
        same, Go does not.
        """
        address = self.https if tls else self.http
        host = host.rstrip(".").lower()
        if not address or is_loopback(host) or host.endswith(".localhost"):
            return ""
        return "" if any(_is_spared(entry, host, port) for entry in self.spared) else address

    def options(self, address: str, headers: dict[str, str]) -> dict[str, Any]:
        """Headers and proxy of a request to `address` for aiohttp, whose errors show the proxy's address as given."""
        url = urllib.parse.urlsplit(address)
        tls = url.scheme == "https"
        proxy = self.of(tls, url.hostname or "", url.port or (443 if tls else 80))
        if not proxy:
            return {"headers": headers}
        own = {"proxy-authorization": f"Basic {basic_credentials(proxy)}"} if "@" in proxy else {}
        bare = f"http://{urllib.parse.urlsplit(proxy).netloc.rpartition('@')[2]}"
        if tls:
            return {"headers": headers, "proxy": bare, "proxy_headers": own}
        return {"headers": {**headers, **own}, "proxy": bare}

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown: passwords as they are written, as they are meant, and as they are sent."""
        with_user = [one for one in (self.http, self.https) if "@" in one]
        written = (urllib.parse.urlsplit(one).password or "" for one in with_user)
        return (*written, *(_user_of(one)[1] for one in with_user), *map(basic_credentials, with_user))


NO_PROXIES = Proxies()


def _user_of(proxy: str) -> tuple[str, str]:
    url = urllib.parse.urlsplit(proxy)
    return urllib.parse.unquote(url.username or ""), urllib.parse.unquote(url.password or "")


def basic_credentials(proxy: str) -> str:
    """User and password of a proxy's address as they are sent (RFC 7617)."""
    return base64.b64encode(":".join(_user_of(proxy)).encode()).decode()


def _is_spared(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY means that host: its name or a domain it is in, its address or network, its port."""
    name, colon, number = entry.rpartition(":")
    if colon and number.isdecimal() and (":" not in name or name.endswith("]")):
        if int(number) != port:
            return False
        entry = name
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        domain = entry.removeprefix("*").strip(".")
        return entry == "*" or host == domain or host.endswith(f".{domain}")
    try:
        return entry == "*" or address in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return False


class Settings(msgspec.Struct, frozen=True):
    """Everything a person can set, as `read_settings` reads it."""

    dir: Path  # base of state/ and chomp.toml
    port: int = 8001
    host: str = "127.0.0.1"
    api_token: str = ""
    token_variable: bool = False  # that is in chomp's own environment, which other programs do not have
    v1_no_auth: bool = False
    public_url: str = ""
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    prefer: str = ""
    log_form: str = "text"
    log_level: str = "INFO"
    local_gguf: Path | None = None
    cache_dir: Path = Path()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    tasks: TaskSettings = TaskSettings()
    extensions: ExtensionSettings = ExtensionSettings()
    of_extensions: dict[str, Any] = {}  # their tables as written, by id; Kernel reads them
    routers: tuple[dict[str, Any], ...] = ()  # [[routers]] as written; Tables makes rows of them
    hosts: tuple[dict[str, Any], ...] = ()  # [[hosts]] as written
    strategy: str = "latency"
    users: tuple[dict[str, Any], ...] = ()  # [[users]] as written
    aliases: dict[str, Any] = {}
    headers: dict[str, dict[str, str]] = {}
    proxies: Proxies = NO_PROXIES
    environ: dict[str, str] = {}  # router keys and base URLs by variable name, dotenv included

    @property
    def state(self) -> Path:
        return self.dir / "state"


UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_UNITS_BYTES = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 1000, "mb": 10**6, "gb": 10**9}


def duration_s(value: object) -> float:
    """Seconds of "90s", "1m30s", "500ms", 90 or "90". Raises ValueError for anything else, or below zero."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        text = str(value).strip().lower()
        if re.fullmatch(r"\d+(\.\d+)?", text):
            seconds = float(text)
        elif re.fullmatch(r"(\d+(\.\d+)?(ms|[smhd]))+", text):
            seconds = sum(float(n) * UNITS_S[unit] for n, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd])", text))
        else:
            raise ValueError(f'{value!r} is not a duration such as "90s" or "5m"')
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{value!r} is not a duration")
    return seconds


def size_bytes(value: object) -> int:
    """Bytes of "64MiB", "10kb" or a whole number. Raises ValueError for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, float):
        raise ValueError(f'{value!r} is not a size such as "64MiB"')
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(value).strip().lower())
    if not found or found[2] not in _UNITS_BYTES:
        raise ValueError(f'{value!r} is not a size such as "64MiB"')
    return int(float(found[1]) * _UNITS_BYTES[found[2]])


class _Server(msgspec.Struct):
    """The table [server]; flags and variables win over it."""

    port: int = 8001  # where it listens, on 127.0.0.1 and ::1
    host: str = "127.0.0.1"  # anything else needs api_token
    api_token: str = ""  # the owner's; "": the one in state/token
    public_url: str = ""  # how others reach it, such as "https://chomp.example"
    allowed_hosts: tuple[str, ...] = ()  # further Host names served, such as "chomp.lan"
    cors_origins: tuple[str, ...] = ()  # web pages that may call chomp, such as "https://chat.example.com"
    prefer: str = ""  # "fast", "cheap" or "free"; "": the order of the routers
    strategy: str = "latency"  # among hosts with a model: or "priority", "round-robin", "least-loaded"
    log: str = "text"  # or "json"
    log_level: str = "INFO"  # DEBUG, INFO, WARNING, ERROR
    local_gguf: str = ""  # another model file for the embedded router


def field_notes(kind: type[Any]) -> dict[str, str]:
    """What stands beside the fields of a struct of settings: one comment for whoever reads the code or the docs."""
    file = cast(str, sys.modules[kind.__module__].__file__)
    source = Path(file).read_text("utf-8")  # inspect.getsource would parse all of it
    found = re.search(rf"^class {kind.__name__}\(.*?(?=^\S)", source, re.M | re.S)
    return dict(re.findall(r"^    (\w+): .*?  # (.*)$", found[0] if found else "", re.M))


_TABLES = ("server", "timeouts", "limits", "tasks", "extensions", "routers", "hosts", "users", "aliases", "headers")
_LISTS = ("routers", "hosts", "users")
_NUMBERS = ("timeouts", "limits")
WRITTEN_TABLES: dict[str, type[Any]] = {
    "server": _Server, "timeouts": Timeouts, "limits": Limits, "tasks": TaskSettings,
    "extensions": ExtensionSettings,
}  # fmt: skip
VARIABLES = (  # of the environment or state/.env: name, meaning, default
    ("PORT", "where it listens; also `--port`", "8001"),
    ("HOST", "on which address; `127.0.0.1` is `::1` too, and `0.0.0.0` is `::`; also `--host`", "127.0.0.1"),
    ("CHOMP_DIR", "the folder with `state/` and `chomp.toml` (not from `state/.env`)", "the clone"),
    ("CHOMP_CONFIG", "another path for `chomp.toml` (not from `state/.env`)", ""),
    ("CHOMP_API_TOKEN", "the owner's token, at least 16 characters", "made at first start, kept in state/token"),
    ("CHOMP_V1_NO_AUTH=1", "`/v1/*` without a token, on 127.0.0.1 only. A request without one is the owner's: what an "
     "agent asks that way is not counted to its task, and no budget holds it", ""),
    ("CHOMP_ATC_TOKEN", "the token of the tower that `--atc` or `[tower] url` names", ""),
    ("CHOMP_PUBLIC_URL", "how others reach it: scheme and host, such as `https://chomp.example`, without a path", ""),
    ("CHOMP_ALLOWED_HOSTS", "further `Host` names served, separated by commas", ""),
    ("CHOMP_PREFER", "`fast`, `cheap` or `free`: how targets are ranked", "the order of the table"),
    ("CHOMP_LOCAL_GGUF", "another model file for the embedded router", ""),
    ("CHOMP_LOG", "`json` for log lines as JSON", "text"),
    ("CHOMP_LOG_LEVEL", "`DEBUG`, `INFO`, `WARNING` or `ERROR`", "INFO"),
    ("CHOMP_<ROUTER>_BASE_URL", "another base URL for a router: `CHOMP_GROQ_BASE_URL`, `CHOMP_ZEN_GO_BASE_URL`", ""),
    ("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY", "the proxy through which routers, model lists and notices are reached: "
     "`http://user:password@proxy.example:3128`; this machine is not", ""),
    ("NO_PROXY", "who is reached without one: hosts and their subdomains, `host:port`, addresses, networks, `*`", ""),
)  # fmt: skip
PREFERENCES = ("", "fast", "cheap", "free")
STRATEGIES = ("latency", "priority", "round-robin", "least-loaded")


class SettingsError(Exception):
    """A setting that cannot be used; its message is for the person who wrote it.

    Of a setting of a table it begins with `[table] setting: `, which the pages show at the field of that name.
    """

    @property
    def param(self) -> str | None:
        """The setting that is wrong, as "table.setting"."""
        found = re.match(r"\[(\w+)\] (\w+):", str(self))
        return f"{found[1]}.{found[2]}" if found else None


def near_name(name: str, known: Iterable[str]) -> str:
    found = difflib.get_close_matches(name[:100], list(known), n=1)  # it would think about a long one for seconds
    return f" (did you mean {found[0]!r}?)" if found else ""


_PLAIN_WORDS = (  # of msgspec's, for people
    (r"Expected `int` >= (\d+)|Expected `int >= (\d+)`", r"must be \1\2 or more"),
    (r"Expected `int`, got .*", "must be a whole number"),
    (r"Expected `float`, got .*", "must be a number"),
    (r"Expected `bool`, got .*", "must be true or false"),
)


def read_table(table: str, kind: type[Any], given: Any) -> Any:
    """`given` as the struct `kind`, durations and sizes read from their written forms.

    In [timeouts] and [limits] everything must be more than 0. Raises SettingsError.
    """
    if not isinstance(given, dict):
        raise SettingsError(f"[{table}] must be a table")
    known = {name.removesuffix("_s"): name for name in kind.__struct_fields__}
    values: dict[str, Any] = {}
    for key, value in given.items():
        field = known.get(key)
        if field is None:
            raise SettingsError(f"[{table}] has no setting {key!r}{near_name(key, known)}")
        try:
            if field.endswith("_s"):
                values[field] = duration_s(value)
            elif field.endswith("_bytes"):
                values[field] = size_bytes(value)
            elif table in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int)):
                raise ValueError(f"{value!r} is not a whole number")
            else:
                values[field] = value
            if table in _NUMBERS and values[field] <= 0:
                raise ValueError("must be more than 0")
            if isinstance(values[field], (int, float)) and not 0 <= values[field] < 10**15:
                raise ValueError("must be between 0 and 10^15")
        except (TypeError, ValueError, OverflowError) as error:
            raise SettingsError(f"[{table}] {key}: {error}") from None
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        path = re.search(r"`\$\.([^`]*)`", str(error))
        words = str(error).partition(" - at")[0]
        for pattern, plain in _PLAIN_WORDS:
            words = re.sub(pattern, plain, words)
        raise SettingsError(f"[{table}] {path[1].removesuffix('_s') + ': ' if path else ''}{words}") from None


def merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    """`low` with `high` laid over it key by key, tables within tables; lists are replaced whole."""
    both = dict(low)
    for key, value in high.items():
        under = both.get(key)
        both[key] = merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return both


def upgraded(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Tables that chomp has written, as they are meant today: 0.1.0 took `parallel = 0`, which is refused now."""
    found = json.loads(json.dumps(tables))
    tasks = found.get("tasks")
    if isinstance(tasks, dict):
        if tasks.get("parallel") == 0:
            del tasks["parallel"]
        if isinstance(each := tasks.get("platform_parallel"), dict):
            tasks["platform_parallel"] = {name: most for name, most in each.items() if most != 0}
    for user in found.get("users") or ():
        if isinstance(user, dict) and user.get("parallel") == 0:
            del user["parallel"]
            user["requests_per_minute"] = 0  # still nothing
    return dict(found)


def parse_dotenv(text: str) -> dict[str, str]:
    """NAME=value lines; `export`, comments and matching quotes are understood, nothing is expanded."""
    found = {}
    for line in text.removeprefix("\ufeff").splitlines():
        name, sep, value = line.strip().removeprefix("export ").partition("=")
        if sep and re.fullmatch(r"[A-Za-z_]\w*", name.strip()):
            value = value.strip()
            if quoted := re.fullmatch(r"""(["'])(.*?)\1(?:\s+#.*)?""", value):
                value = quoted[2]
            else:
                value = re.split(r"(?:^|\s)#", value, maxsplit=1)[0].rstrip()
            found[name.strip()] = value
    return found


def read_toml(path: Path, *, required: bool) -> dict[str, Any]:
    """The tables of `path`; empty when it is not there and need not be. Raises SettingsError naming file and place."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if required:
            raise SettingsError(f"there is no {path}") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from None


def read_proxies(env: Mapping[str, str]) -> Proxies:
    """The proxies that variables name; of two spellings the lower one counts, also when it is empty.

    Raises SettingsError for one that cannot be asked, without its address: a password may stand anywhere in it.
    """

    def pick(name: str) -> str:
        return env.get(name.lower(), env.get(name, "")).strip()

    spared = tuple(pick("NO_PROXY").lower().replace(",", " ").split())
    found = {}
    for scheme in ("http", "https") if "*" not in spared else ():
        name = f"{scheme}_proxy".upper()
        address = pick(name)
        if not address:
            name, address = "ALL_PROXY", pick("ALL_PROXY")
        if not address:
            continue
        address = address if "://" in address else f"http://{address}"
        try:
            url = urllib.parse.urlsplit(address)
            usable = url.scheme == "http" and url.hostname and url.port != 0 and re.fullmatch(r"[!-~]+", address)
        except ValueError:
            usable = None
        if not usable:
            raise SettingsError(
                f"{name} must be an address such as http://proxy.example:3128, TLS and SOCKS to a proxy do not work; "
                "NO_PROXY=* uses none"
            )
        found[scheme] = address
    return Proxies(spared=spared, **found)


def extension_files(settings: ExtensionSettings) -> dict[str, list[Path]]:
    """The files of extensions by id, which is their name; more than one of an id cannot be. Raises SettingsError."""
    found: dict[str, list[Path]] = {}
    for folder in (HERE / "adapters", *(Path(one).expanduser() for one in settings.folders)):
        if not folder.is_absolute():
            raise SettingsError(f"[extensions] folders: {folder} is not named from / or ~ on")
        if not folder.is_dir():  # on a disk that is not there today, perhaps
            log.warning("[extensions] folders: there is no folder %s", folder)
        for path in sorted(folder.glob("*.py")):
            if path.stem != "__init__":
                found.setdefault(path.stem, []).append(path)
    return {name: paths for name, paths in found.items() if name not in settings.off}


def _checked_tables(file: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of both; where both say something, `overrides` does. Raises SettingsError for one that cannot be."""
    tables = merged(file, overrides)
    extensions = read_table("extensions", ExtensionSettings, tables.get("extensions", {}))
    known = (*_TABLES, *extension_files(extensions), *extensions.off)
    is_whole = all(Path(one).expanduser().is_dir() for one in extensions.folders)
    for name in list(tables):
        if name not in known and not (is_whole and name in file):  # an extension that is gone may have had it
            log.warning("nothing knows the table [%s]: it is left alone", name)
            del tables[name]
            continue
        if name not in known:
            raise SettingsError(f"chomp.toml has no table [{name}]{near_name(name, known)}")
        if name not in _LISTS and not isinstance(tables[name], dict):
            raise SettingsError(f"[{name}] must be a table")
    for name in _LISTS:
        for listed in (file.get(name, []), overrides.get(name, [])):
            if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
                raise SettingsError(f"{name} are written as [[{name}]] tables")
    headers = tables.get("headers", {})
    if not all(isinstance(v, dict) and all(isinstance(x, str) for x in v.values()) for v in headers.values()):
        raise SettingsError('[headers] holds one table of strings per router: groq = { "x-name" = "value" }')
    return tables


def read_settings(
    folder: Path,
    *,
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    dotenv: Mapping[str, str],
    overrides: Mapping[str, Any],
    file: Mapping[str, Any],
) -> Settings:
    """Settings from all sources, strongest first: flags, environment, state/.env, state/settings.json, chomp.toml.

    Raises SettingsError with a sentence for whoever wrote the wrong value.
    """
    env = {**dotenv, **environ}
    if not env.get("HOME"):  # some services are started without; it is to be hidden from agents all the same
        home = os.path.expanduser("~")
        env["HOME"] = home if home.startswith("/") else "/"  # nobody knows
    tables = _checked_tables(file, overrides)
    made = {str(one.get("name")) for one in overrides.get("users", [])}  # with the CLI: beside the file's, not instead
    users = [one for one in file.get("users", []) if str(one.get("name")) not in made] + overrides.get("users", [])
    changed: dict[str, dict[str, Any]] = {str(one.get("name")): one for one in overrides.get("hosts", [])}
    listed = [{**one, **changed.pop(str(one.get("name")), {})} for one in file.get("hosts", [])]
    server = read_table("server", _Server, tables.get("server", {}))
    if server.strategy not in STRATEGIES:
        raise SettingsError(f"[server] strategy: must be one of {', '.join(STRATEGIES)}, not {server.strategy!r}")

    def pick(key: str, variable: str) -> str:
        flag = flags.get(key)
        return str(flag if flag is not None else env.get(variable) or getattr(server, key))

    port = pick("port", "PORT")
    if not port.isdecimal() or int(port) > 65535:
        raise SettingsError(f"PORT must be a number up to 65535, not {port!r}")
    prefer = pick("prefer", "CHOMP_PREFER")
    if prefer not in PREFERENCES:
        raise SettingsError(f"prefer must be fast, cheap or free, not {prefer!r}")
    gguf = pick("local_gguf", "CHOMP_LOCAL_GGUF")
    cache = env.get("XDG_CACHE_HOME") or str(Path(env["HOME"]) / ".cache")
    log_form = pick("log", "CHOMP_LOG")
    if log_form not in ("text", "json"):
        raise SettingsError(f"CHOMP_LOG is text or json, not {log_form!r}")
    hosts = env.get("CHOMP_ALLOWED_HOSTS", "").replace(",", " ").split()
    settings = Settings(
        dir=folder,
        port=int(port),
        host=pick("host", "HOST").strip("[]"),
        api_token=pick("api_token", "CHOMP_API_TOKEN"),
        token_variable=bool(environ.get("CHOMP_API_TOKEN")),
        v1_no_auth=env.get("CHOMP_V1_NO_AUTH") == "1",
        public_url=read_origin(pick("public_url", "CHOMP_PUBLIC_URL")),
        allowed_hosts=tuple(map(host_name, hosts or server.allowed_hosts)),
        cors_origins=tuple(origin.rstrip("/") for origin in server.cors_origins),
        prefer=prefer,
        log_form=log_form,
        log_level=pick("log_level", "CHOMP_LOG_LEVEL").upper(),
        local_gguf=Path(gguf).expanduser() if gguf else None,
        cache_dir=Path(cache) / "chomp",
        timeouts=read_table("timeouts", Timeouts, tables.get("timeouts", {})),
        limits=read_table("limits", Limits, tables.get("limits", {})),
        tasks=read_table("tasks", TaskSettings, tables.get("tasks", {})),
        extensions=read_table("extensions", ExtensionSettings, tables.get("extensions", {})),
        of_extensions=_tables_of_extensions(tables, flags),
        routers=tuple(tables.get("routers", ())),
        hosts=(*listed, *changed.values()),  # as they are in the file, changed with the CLI or the page
        strategy=server.strategy,
        users=tuple(users),
        aliases=tables.get("aliases", {}),
        headers=tables.get("headers", {}),
        proxies=read_proxies(env),
        environ={name: value for name, value in env.items() if value and name.isascii()},
    )
    check_exposure(settings)
    return settings


def _tables_of_extensions(tables: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: table for name, table in tables.items() if name not in _TABLES}
    if flags.get("atc"):
        found["tower"] = {**found.get("tower", {}), "url": flags["atc"]}
    return found


def read_origin(address: str) -> str:
    """A public address as browsers name it: lower case, without the scheme's own port. Raises SettingsError."""
    if not address:
        return ""
    try:
        url = urllib.parse.urlsplit(address)
        port = {"http": 80, "https": 443}[url.scheme] if url.port is None else url.port
        usable = url.hostname and re.fullmatch(r"[!-~]+", address) and url.path in ("", "/")
        if not (usable and port) or url.username is not None or url.query or url.fragment:
            raise ValueError
    except (ValueError, KeyError):
        shown = re.sub(r"//.*@", "//...@", address)  # a password may stand there
        words = f"CHOMP_PUBLIC_URL is an address such as https://chomp.example, without a path, not {shown!r}"
        raise SettingsError(words) from None
    host = f"[{url.hostname}]" if ":" in cast(str, url.hostname) else url.hostname
    return f"{url.scheme}://{host}" + ("" if (url.scheme, port) in (("http", 80), ("https", 443)) else f":{port}")


def host_name(text: str) -> str:
    """The name in an allowed host, however it is written: with scheme, port, brackets or a final dot."""
    name = text.rpartition("://")[2].partition("/")[0].lower()
    if name.count(":") == 1 or name.startswith("["):
        name = re.sub(r":\d*$", "", name)
    return name.strip("[]").rstrip(".")


def is_loopback(host: str) -> bool:
    """Whether binding `host` keeps the port on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def local_address(settings: Settings, port: int) -> str:
    """Where programs on this machine reach chomp, which listens on `port`."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "localhost") else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def address_of(settings: Settings, port: int) -> str:
    """Where others reach chomp, which listens on `port`."""
    return settings.public_url or local_address(settings, port)


def check_exposure(settings: Settings) -> None:
    """Raises SettingsError when the port would be open to others without a token."""
    if settings.api_token and len(settings.api_token) < 16:
        raise SettingsError("CHOMP_API_TOKEN must have at least 16 characters")
    if settings.v1_no_auth and settings.public_url:  # to chomp, whoever comes through a proxy is on this machine
        raise SettingsError("CHOMP_V1_NO_AUTH lets everybody in who reaches CHOMP_PUBLIC_URL: unset one of them")
    if is_loopback(settings.host):
        return
    if settings.v1_no_auth:
        raise SettingsError(f"CHOMP_V1_NO_AUTH works on 127.0.0.1 only: unset it, or unset HOST={settings.host}")
    if not settings.api_token:
        raise SettingsError(f"HOST={settings.host} is reachable by others: set CHOMP_API_TOKEN to a long random text")


# == Types =============================================================================================================

TargetApi = Literal["chat", "completions", "embeddings", "messages", "responses", "count_tokens"]
Api = Literal[TargetApi, "gemini"]  # the last for clients alone
Dialect = Literal["chat", "messages", "responses", "gemini"]  # how an answer is streamed and an error is shaped
T = TypeVar("T")


class Price(msgspec.Struct, frozen=True):
    """USD per token; None where the source says nothing."""

    prompt: float
    completion: float
    cached: float | None = None
    cache_write: float | None = None


class RequestFacts(msgspec.Struct, frozen=True, gc=False):
    """What events tell of a request while it runs; `number` tells one from another, ids may be the client's own."""

    number: int
    id: str
    api: str = ""
    caller: str = ""
    task: str = ""
    session: str = ""
    model: str = ""  # as asked for
    router: str = ""
    sent_model: str = ""
    attempt: int = 0
    stream: bool = False
    ms: float = 0.0  # since it came in
    reason: str = ""
    prompt: str = ""  # its end, where [tower] prompts is on


class RequestEnd(msgspec.Struct, frozen=True, gc=False):
    """What events tell of a request that is over."""

    number: int
    row: LedgerRow
    tokens_per_s: float | None  # of its answer, after the first token
    words: str  # what went wrong
    records: Sequence[AttemptRecord]  # attempts that failed

    def flat(self) -> dict[str, Any]:
        """As it is sent."""
        facts = {"number": self.number, "id": self.row.request_id, "tokens_per_s": self.tokens_per_s}
        return {**facts, "error": self.words, "attempts_failed": self.records, **msgspec.structs.asdict(self.row)}


class RouterDef(msgspec.Struct, frozen=True):
    """One row one can send to, with its quirks as data."""

    id: str
    name: str
    base_url: str
    key_env: tuple[str, ...] = ()  # variables holding keys; one may hold several, comma-separated
    key_page: str = ""  # where one makes a key
    color: str = "#71717A"
    default_model: str = ""  # asked for by `auto`; "" = none
    default_rule: str = ""  # "" = default_model; "free" = first id containing `free`; "largest-free" = OpenRouter's
    kind: Literal["hosted", "host", "subscription", "local"] = "hosted"
    apis: tuple[TargetApi, ...] = ("chat", "completions", "embeddings")
    model_apis: tuple[tuple[str, tuple[TargetApi, ...]], ...] = ()  # for models that match a pattern, instead of `apis`
    auth: str = "bearer"  # or "x-api-key", "none"
    messages_auth: str = ""  # for the messages dialect; "" = as `auth`
    headers: tuple[tuple[str, str], ...] = ()  # sent with every request
    stream_options: bool = True  # takes {"include_usage": true}
    effort: bool = True  # takes a setting of how much to think, in requests that are translated
    models: tuple[str, ...] = ()  # a fixed catalogue, not fetched
    models_auth: bool = True  # its model list needs the key
    price_unit: Literal["", "token", "million"] = ""  # of the catalogue's prices: "token", "million" or "" for none
    prices: tuple[tuple[str, Price], ...] = ()  # written by the person, before all other sources
    credits: str = ""  # the path below base_url that tells what is left of a key
    prepare: str = ""  # a rewriting of the request this router needs, by name (Protocols)
    slots: int = 0  # requests it gets at once, the others wait; 0 = no limit that is known
    priority: int = 10  # among hosts, the lowest first
    backend: Literal["auto", "ollama", "openai"] = "auto"  # of hosts: what is asked of it
    context: int = 0  # of hosts: tokens of a prompt, whatever it says itself; 0 = what it says
    keys: tuple[str, ...] = ()  # literal keys from chomp.toml


class Key(msgspec.Struct, frozen=True):
    """One credential of a router; `id` may be shown, `secret` never."""

    id: str
    secret: str


class Target(msgspec.Struct, frozen=True):
    """Who is asked: a router with one of its keys, for a model by the router's own name."""

    router: RouterDef
    key: Key
    model: str
    api: Api = "chat"  # what it is asked in; the client's own, or one that is translated to


class User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody else than the owner who may ask: for what, and how much of it. None = without limit."""

    name: str
    token_sha256: str
    models: tuple[str, ...] = ()  # patterns of names; none = all
    routers: tuple[str, ...] = ()  # ids; none = all
    requests_per_minute: int | None = None
    parallel: _Some | None = None
    tokens_per_day: int | None = None
    usd_per_month: float | None = None
    strict: bool = False  # answers are asked for no longer than what is left (`max_tokens`)

    def limited(self) -> bool:
        """Whether anything is counted."""
        return any(getattr(self, limit) is not None for limit in USER_LIMITS)


USER_LIMITS = ("requests_per_minute", "parallel", "tokens_per_day", "usd_per_month")


class Caller(msgspec.Struct, frozen=True):
    """Who is asking: the owner, a named user, or an agent's session by its task token."""

    kind: Literal["owner", "user", "task"] = "owner"
    name: str = "owner"
    task: str = ""
    session: str = ""
    user: User | None = None
    router: str = ""  # pins a task's requests


OWNER = Caller()


class Model(msgspec.Struct, frozen=True):
    """One entry of a router's catalogue."""

    id: str
    name: str = ""
    created: int = 0
    owned_by: str = ""
    context_length: int = 0  # tokens; 0 = not said
    max_output: int = 0
    price: Price | None = None


class Origin(msgspec.Struct, frozen=True):
    """Where a connection goes."""

    tls: bool
    host: str
    port: int


class ChatRequest(msgspec.Struct):
    """What a client sent: the body as received, and the little of it that was looked at."""

    api: Api
    body: bytes
    headers: Sequence[tuple[bytes, bytes]] = ()
    request_id: str = ""
    prefer: str = ""
    fallback: bool = True
    received_at: float = 0.0  # time.perf_counter()
    query: bytes = b""  # of the address, for targets that speak the client's dialect
    resolved: tuple[str, ...] = ()  # fields that have done their work here, and mean nothing to a target
    heads: dict[int, tuple[Target, tuple[Origin, bytes]]] = {}  # for upstreams, once made, by identity of the target


class Fault(msgspec.Struct, frozen=True, gc=False):
    """Why one attempt failed, in the upstream's own words where it had any."""

    kind: str  # of ERROR_TYPES
    message: str
    status: int = 502
    code: str | None = None
    type: str | None = None
    param: str | None = None
    wait_s: float | None = None  # the upstream's own wish
    more: bytes = b""  # JSON of its error's further members, for clients of the same dialect


class AttemptRecord(msgspec.Struct, frozen=True, gc=False):
    """One failed attempt, as listed in the error the client gets."""

    router: str
    model: str
    key: str
    status: int
    ms: int
    error: str


class LedgerRow(msgspec.Struct, frozen=True, gc=False):
    """One request, as accounted. Field order is the table's column order."""

    at: float  # Unix seconds when it came in
    request_id: str
    caller: str
    task: str = ""
    session: str = ""
    api: str = ""
    asked_model: str = ""
    sent_model: str = ""
    router: str = ""
    key: str = ""
    status: int = 0
    error_type: str = ""
    attempts: int = 0
    stream: int = 0
    ttft_ms: float | None = None
    duration_ms: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float | None = None
    estimated: int = 0


class Event(msgspec.Struct, frozen=True, gc=False):
    """Something that happened, for watchers."""

    seq: int
    at: float
    kind: str
    data: Any


class Job(msgspec.Struct, omit_defaults=True):
    """An asynchronous completion, with the field names clients know."""

    id: str
    prompt: str
    status: str  # pending, running, done, error
    created: str
    model: str = ""
    router: str = ""
    system: str = ""
    result: str = ""
    error: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    finished: str = ""
    latency_ms: int = 0


Status = Literal["queued", "active", "done", "failed"]
Phase = Literal["", "starting", "running", "needs_input", "stalled", "verifying", "waiting"]  # where an active task is
Reason = Literal["", "gate", "crash", "stopped", "limit", "interrupted", "refused"]  # why a task failed


class Session(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One agent's attempt at a task. Moments are RFC 3339 in UTC."""

    id: str  # s1, s2, ... of its task
    agent: str
    model: str
    started_at: str
    tokens: int  # prompt and completion, measured; what the agent reports where nothing was measured
    ended_at: str = ""
    result: str = ""  # done, failed, handoff, stopped, interrupted, limit; "" while it is open
    summary: str = ""  # what the agent claims to have done
    sandbox_id: str = ""
    place: str = "local"  # where it runs; later also a sandbox
    isolation: str = ""  # bubblewrap or none
    run: str = ""  # random; in the environment of all its processes as TASK_RUN
    pid: int = 0
    pid_started: int = 0  # of /proc, so that another process with the same pid is not taken for it
    exit_code: int | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0  # part of prompt_tokens
    cost_usd: float | None = None  # of what is priced
    requests: int = 0
    unpriced: int = 0  # answered requests whose price nobody knows
    estimated: int = 0  # requests whose tokens were estimated
    reported: bool = False  # `tokens` is what the agent says
    base: str = ""  # the commit it started from
    head: str = ""  # and ended with
    left_out: str = ""  # of the source folder, in words
    verdict: str = ""  # of the gate: passed, failed, timeout; "" = it did not run
    gate_exit: int | None = None
    gate_output: str = ""  # its end
    gate_edited: bool = False  # the agent changed the gate; the original was run
    error: str = ""  # why it failed, with the remedy where there is one
    warnings: tuple[str, ...] = ()
    handoff: str = ""  # the record the next one starts with


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """A follow-up for an agent, delivered once: after its turn."""

    id: str
    text: str
    created: str
    session: str = ""  # that got it


class Task(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Queued work. Moments are RFC 3339 in UTC."""

    id: str
    prompt: str
    dir: str
    status: Status
    created: str
    result: str
    platform: str
    tokens: int  # of all sessions
    model: str = ""
    repo_url: str = ""
    budget_exceeded: bool = False
    sessions: tuple[Session, ...] = ()
    phase: Phase = ""
    reason: Reason = ""
    verified: bool | None = None  # whether a gate passed; None = none ran
    effort: str = ""
    router: str = ""  # pins its traffic
    gate: str = ""  # "" = the default one, where its folder has it
    setup: str = ""
    priority: int = 0  # higher starts first
    blocked_by: tuple[str, ...] = ()
    wanted: bool = False  # starts as soon as there is room
    until: str = ""  # does not start, or go on, before this
    note: str = ""  # what `phase` or `until` waits for, in words
    budget_tokens: int | None = None  # set by somebody: crossing it pauses
    budget_usd: float | None = None
    grants: int = 0  # further budgets of the same size
    isolation: str = ""  # auto, required, none; "" = as set for all
    in_place: bool = False  # works in `dir` itself
    branch: str = ""
    finished: str = ""
    cost_usd: float | None = None
    messages: tuple[Message, ...] = ()
    handoff: str = ""  # for the next session; may be edited
    deleted: str = ""  # when; it can be restored for a while


class Archived(msgspec.Struct, frozen=True):
    """What is in archive.jsonl, summed up."""

    count: int = 0
    tokens: int = 0
    cost_usd: float = 0.0


class State(msgspec.Struct):
    """All there is in state.json."""

    tasks: dict[str, Task]  # by id, oldest first; an array in the file
    next_id: int = 1
    archived: Archived = Archived()
    version: int = 1  # of the newest chomp that has written it
    foreign: dict[str, bytes] = {}  # tasks that only a newer one understands, by id: they stay as they are
    more: dict[str, dict[str, Any]] = {}  # what else a newer one has written: fields by task; "" for those of the file


class Launch(msgspec.Struct, frozen=True):
    """A process that is to run for a session: what, where, and what it may see."""

    argv: tuple[str, ...]
    cwd: Path
    env: dict[str, str]
    level: Literal["bubblewrap", "none"] = "none"
    writable: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()  # shown although they lie in something hidden
    hidden: tuple[Path, ...] = ()
    network: bool = True
    as_root: bool = False  # with root's right to write to what belongs to others, and no other


class Transition(msgspec.Struct, frozen=True):
    """What an action does to a task, and to its open session."""

    action: str
    of: tuple[Status, ...]  # from where it is allowed
    to: Status | Literal[""]  # "": it stays where it is, only fields change
    session: Literal["", "open", "close"] = ""
    result: str = ""  # of the session it closes
    reason: Reason = ""  # of the task


class Platform(msgspec.Struct, frozen=True):
    """An agent that can run tasks: an adapter's header, or an entry of agents.json."""

    id: str
    name: str
    color: str = "#71717A"
    command: tuple[str, ...] = ()  # of agents.json; an adapter's is its file
    adapter: Path | None = None
    home: tuple[str, ...] = ()  # paths of the owner's home it needs, read-only
    needs: tuple[str, ...] = ()  # programs
    models: tuple[str, ...] = ()
    efforts: tuple[str, ...] = ()
    metered: bool = True  # its model traffic comes through chomp
    order: int = 50  # among those taken when a task names none; from 90 on it must be named
    script: bool = False  # its prompt is a program: nothing may be added to it
    note: str = ""
    builtin: bool = True


# == Errors ============================================================================================================

ERROR_TYPES = frozenset(  # whose fault, for ledger and metrics
    {
        "caller_invalid_request", "caller_model_unknown", "caller_cancelled", "policy_denied", "policy_rate_limited",
        "policy_budget",
        "provider_auth", "provider_billing", "provider_rate_limited", "provider_overloaded", "provider_error",
        "provider_timeout", "provider_connect", "provider_incomplete", "chomp_internal", "chomp_shed",
    }
)  # fmt: skip


class ChompError(Exception):
    """An error with an answer: one middleware gives it its HTTP status and OpenAI shape."""

    status = 500
    type = "server_error"
    code: str | None = None
    fault = "chomp_internal"  # of ERROR_TYPES
    response_id = ""  # of the response stream that it ends

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        fault: str | None = None,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
        headers: Mapping[str, str] | None = None,
        attempts: Sequence[AttemptRecord] = (),
        more: Mapping[str, Any] | None = None,
    ):
        super().__init__(message)
        self.message = message
        self.status = self.status if status is None else status
        self.type = self.type if type is None else type
        self.code = self.code if code is None else code
        self.fault = self.fault if fault is None else fault
        self.param = param
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry
        self.headers = dict(headers or {})
        self.attempts = tuple(attempts)
        self.more = dict(more or {})  # of an upstream's error, for clients of its dialect

    def body(self) -> dict[str, Any]:
        """The OpenAI error object (https://platform.openai.com/docs/guides/error-codes), attempts added."""
        error: dict[str, Any] = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        if self.attempts:
            error["attempts"] = [msgspec.to_builtins(one) for one in self.attempts]
        return {"error": {**self.more, **error}}

    def retry_headers(self) -> dict[str, str]:
        """`retry-after` in whole seconds, rounded up, and `x-should-retry`, which the OpenAI SDKs obey."""
        found = {}
        if self.retry_after_s is not None:
            found["retry-after"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.should_retry is not None:
            found["x-should-retry"] = "true" if self.should_retry else "false"
        return found


class BadRequest(ChompError):
    status, type, fault = 400, "invalid_request_error", "caller_invalid_request"


class Unauthorized(ChompError):
    status, type, code, fault = 401, "invalid_request_error", "invalid_api_key", "policy_denied"


class Forbidden(ChompError):
    status, type, code, fault = 403, "permission_error", "forbidden", "policy_denied"


class NotFound(ChompError):
    status, type, code, fault = 404, "invalid_request_error", "not_found", "caller_invalid_request"


class ContextTooLong(ChompError):
    """The prompt is longer than every host's context: none of them is sent it, to be cut there without a word."""

    status, type, code, fault = 400, "invalid_request_error", "context_length_exceeded", "caller_invalid_request"


class ModelNotFound(NotFound):
    code, fault = "model_not_found", "caller_model_unknown"


class Conflict(ChompError):
    status, type, code, fault = 409, "invalid_request_error", "conflict", "caller_invalid_request"


class TooLarge(ChompError):
    status, type, code = 413, "invalid_request_error", "request_too_large"
    fault = "caller_invalid_request"


class TooSlow(ChompError):
    status, type, code, fault = 408, "timeout_error", "request_timeout", "caller_invalid_request"


class Busy(ChompError):
    status, type, code, fault = 429, "rate_limit_error", "rate_limit_exceeded", "policy_rate_limited"


class Unavailable(ChompError):
    status, type, code, fault = 503, "overloaded_error", "unavailable", "chomp_shed"


class UpstreamFailed(ChompError):
    status, type, code, fault = 502, "upstream_error", "upstream_error", "provider_error"


# == Tables ============================================================================================================

_ZEN_APIS: tuple[tuple[str, tuple[TargetApi, ...]], ...] = (  # each family in its maker's dialect, and in no other
    ("claude-*", ("messages",)),
    ("gpt-*", ("responses",)),
    ("gemini-*", ()),  # Google's own, which chomp does not speak
)
ROUTERS: tuple[RouterDef, ...] = (
    RouterDef(
        id="zen",
        name="OpenCode Zen",
        base_url="https://opencode.ai/zen/v1",
        key_env=("OPENCODE_ZEN_API_KEY",),
        key_page="https://opencode.ai/auth",
        color="#10B981",
        default_model="minimax-m2.5-free",
        default_rule="free",
        stream_options=False,  # it asks its own upstreams for usage
        model_apis=_ZEN_APIS,
        messages_auth="x-api-key",
    ),
    RouterDef(
        id="groq",
        name="Groq",
        base_url="https://api.groq.com/openai/v1",
        key_env=("GROQ_API_KEY",),
        key_page="https://console.groq.com/keys",
        color="#F55036",
        default_model="llama-3.3-70b-versatile",
    ),
    RouterDef(
        id="cerebras",
        name="Cerebras",
        base_url="https://api.cerebras.ai/v1",
        key_env=("CEREBRAS_API_KEY",),
        key_page="https://cloud.cerebras.ai",
        color="#5046E4",
        default_model="llama-3.3-70b",
        headers=(("user-agent", f"chomp/{VERSION}"),),  # refuses requests without one
    ),
    RouterDef(
        id="sambanova",
        name="SambaNova",
        base_url="https://api.sambanova.ai/v1",
        key_env=("SAMBANOVA_API_KEY",),
        key_page="https://cloud.sambanova.ai/apis",
        color="#FF6600",
        default_model="Meta-Llama-3.3-70B-Instruct",
        price_unit="token",
    ),
    RouterDef(
        id="together",
        name="Together",
        base_url="https://api.together.xyz/v1",
        key_env=("TOGETHER_API_KEY",),
        key_page="https://api.together.ai/settings/api-keys",
        color="#0EA5E9",
        default_model="meta-llama/Llama-3.3-70B-Instruct-Turbo",
        price_unit="million",
    ),
    RouterDef(
        id="fireworks",
        name="Fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        key_env=("FIREWORKS_API_KEY",),
        key_page="https://app.fireworks.ai/settings/users/api-keys",
        color="#FF4500",
        default_model="accounts/fireworks/models/llama-v3p3-70b-instruct",
    ),
    RouterDef(
        id="openrouter",
        name="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        key_env=("OPENROUTER_API_KEY",),
        key_page="https://openrouter.ai/settings/keys",
        color="#7C3AED",
        default_rule="largest-free",
        headers=(("http-referer", "https://github.com/acoyfellow/chomp"), ("x-title", "chomp")),
        apis=("chat", "completions", "embeddings", "messages", "responses"),
        models_auth=False,
        price_unit="token",
        stream_options=False,  # always sends usage
        credits="/auth/key",
    ),
    RouterDef(
        id="zen-go",
        name="OpenCode Go",
        base_url="https://opencode.ai/zen/go/v1",
        key_env=("OPENCODE_GO_API_KEY",),
        key_page="https://opencode.ai/auth",
        color="#059669",
        default_rule="first",
        stream_options=False,
        model_apis=_ZEN_APIS,
        messages_auth="x-api-key",
    ),
    RouterDef(
        id="umans",
        name="Umans",
        base_url="https://api.code.umans.ai/v1",
        key_env=("UMANS_API_KEY",),
        color="#0F766E",
        default_rule="first",
    ),
    RouterDef(
        id="deepinfra",
        name="DeepInfra",
        base_url="https://api.deepinfra.com/v1/openai",
        key_env=("DEEPINFRA_API_KEY",),
        key_page="https://deepinfra.com/dash/api_keys",
        color="#2563EB",
        default_model="meta-llama/Llama-3.3-70B-Instruct-Turbo",
    ),
    RouterDef(
        id="local",
        name="Embedded (tiny demonstration model)",
        base_url="",  # known once its child process listens
        color="#C8A630",
        default_model="smollm2-135m",
        kind="local",
        # its stream of responses lacks the output_index that OpenAI's SDK needs: those are translated
        apis=("chat", "completions", "messages", "count_tokens"),
        models=("smollm2-135m",),
        prices=(("smollm2-135m", Price(0.0, 0.0)),),
        prepare="demonstration",
    ),
)

_ROUTER_KEYS = {
    "id", "name", "base_url", "key_env", "keys", "color", "default_model", "auth", "headers", "stream_options",
    "effort", "models", "price_unit", "prices", "apis", "model_apis", "messages_auth", "enabled", "kind", "slots",
}  # fmt: skip
_HOST_KEYS = ("name", "url", "priority", "enabled", "backend", "api_key", "models", "slots", "context")


_ROUTER_ID = re.compile(r"[a-z0-9]+([-_.][a-z0-9]+)*")


def _written_row(given: Mapping[str, Any], row: RouterDef | None) -> RouterDef:
    """A [[routers]] table as a row, laid over the built-in row of the same id. Raises SettingsError."""
    router_id = given["id"]
    for key in given:
        if key not in _ROUTER_KEYS:
            raise SettingsError(f"[[routers]] {router_id}: there is no setting {key!r}{near_name(key, _ROUTER_KEYS)}")
    fields: dict[str, Any] = {key: value for key, value in given.items() if key != "enabled"}
    if isinstance(fields.get("key_env"), str):
        fields["key_env"] = [fields["key_env"]]
    for name in ("headers", "model_apis"):
        if isinstance(fields.get(name), dict):
            fields[name] = list(fields[name].items())
    if "prices" in fields:
        fields["prices"] = _written_prices(router_id, fields["prices"])
    if "keys" in fields and isinstance(fields["keys"], list):
        fields["keys"] = [key.strip() if isinstance(key, str) else key for key in fields["keys"]]
    base = (
        msgspec.structs.asdict(row)
        if row
        else {"name": router_id, "default_rule": "" if "default_model" in given else "first"}
    )
    if row is None:
        base["key_env"] = [f"{_variable(router_id)}_API_KEY"]
    if "default_model" in given:
        base["default_rule"] = ""
    try:
        made = msgspec.convert({**base, **fields}, RouterDef)
    except msgspec.ValidationError as error:
        raise SettingsError(f"[[routers]] {router_id}: {error}") from None
    for auth in (made.auth, made.messages_auth or made.auth):
        if auth not in ("bearer", "x-api-key", "none"):
            raise SettingsError(f"[[routers]] {router_id}: auth is bearer, x-api-key or none, not {auth!r}")
    if made.kind not in ("hosted", "host"):
        raise SettingsError(f"[[routers]] {router_id}: kind is hosted or host, not {made.kind!r}")
    return made


def _written_prices(router_id: str, written: Any) -> list[tuple[str, Price]]:
    """`prices` of a [[routers]] table: USD per million tokens, as price lists are written. Raises SettingsError."""
    prices = []
    try:
        for model, price in written.items():
            usd = {name: float(amount) / 1e6 for name, amount in price.items() if not isinstance(amount, (bool, str))}
            if odd := [name for name in price if name not in ("input", "output", "cached")]:
                raise SettingsError(f"[[routers]] {router_id}: prices are input, output and cached, not {odd[0]!r}")
            if usd.keys() != price.keys() or not all(0 <= amount < math.inf for amount in usd.values()):
                raise ValueError
            prices.append((model, Price(usd["input"], usd["output"], usd.get("cached"))))
    except (TypeError, KeyError, ValueError, AttributeError):
        raise SettingsError(
            f'[[routers]] {router_id}: prices are written "model" = {{ input = 0.1, output = 0.4, cached = 0.01 }}, '
            "in USD per million tokens"
        ) from None
    return prices


def _check_row(row: RouterDef, address_from: str) -> None:
    """Raises SettingsError for what cannot be sent or connected to."""
    try:
        url = urllib.parse.urlsplit(row.base_url)
        usable = re.fullmatch(r"https?://[!\"$->A-~]+", row.base_url, re.IGNORECASE) and url.hostname and url.port != 0
    except ValueError:
        usable = False
    if not usable:
        shown = re.sub(r"//.*@", "//...@", row.base_url)  # a password may stand there, or a key after a ?
        shown = re.sub(r"[?#].*", "?...", shown)
        raise SettingsError(f"{address_from} must be an http(s) address and no more, not {shown!r}")
    for name, value in row.headers:
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not re.fullmatch(
            r"[\t\x20-\x7e\xa0-\xff]*", value
        ):
            raise SettingsError(f"router {row.id}: {name!r} is not a header that can be sent")
        if name.lower() in ("content-length", "transfer-encoding", "connection"):
            raise SettingsError(f"router {row.id}: the header {name!r} is chomp's own to set")


def host_root(row: RouterDef) -> str:
    """The address of a host itself, below which its APIs are."""
    return row.base_url.removesuffix("/v1")


def host_variable(name: str) -> str:
    """Where a host's key is, apart from chomp.toml; other programs' keys have other names."""
    return f"HOST_{_variable(name)}_API_KEY"


def host_row(written: Mapping[str, Any]) -> RouterDef | None:
    """A [[hosts]] table as a row; None for one that is switched off. Raises SettingsError."""
    name, url = written.get("name"), written.get("url")
    if not isinstance(name, str) or not _ROUTER_ID.fullmatch(name):
        raise SettingsError(f'[[hosts]] needs a name in lower case such as "gpu", not {name!r}')
    where = f"[[hosts]] {name}"
    for key in written:
        if key not in _HOST_KEYS:
            raise SettingsError(f"{where}: there is no setting {key!r}{near_name(key, _HOST_KEYS)}")
    if not isinstance(url, str) or not url:
        raise SettingsError(f'{where} needs an address: url = "http://{name}:11434"')
    url = (url if "://" in url else f"http://{url}").rstrip("/").removesuffix("/v1")
    try:
        has_user = "@" in urllib.parse.urlsplit(url).netloc
    except ValueError:
        raise SettingsError(f"{where}: url is no address") from None
    if has_user:
        bare = re.sub(r"//.*@", "//", url)
        raise SettingsError(
            f"{where}: user and password do not belong into an address, which is shown. These lines are right:\n"
            f'url = "{bare}"\napi_key = "..." # what stood behind the colon, if the host wants it as a bearer token'
        )
    api_key, enabled = written.get("api_key", ""), written.get("enabled", True)
    if not isinstance(api_key, str) or not isinstance(enabled, bool):
        raise SettingsError(f"{where}: api_key is a text, enabled is true or false")
    fields = {key: written[key] for key in ("priority", "backend", "models", "slots", "context") if key in written}
    made = {
        "id": name, "name": name, "base_url": f"{url}/v1", "kind": "host", "default_rule": "first", "color": "#0891B2",
        "key_env": [host_variable(name)], "keys": [api_key.strip()] if api_key else [],
    }  # fmt: skip
    try:
        row = msgspec.convert({**made, **fields}, RouterDef)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{where}: {error}") from None
    for key in ("priority", "slots", "context"):
        if not 0 <= getattr(row, key) < 10**9:
            raise SettingsError(f"{where}: {key} must be 0 or more")
    _check_row(row, f"{where}: url")
    return row if enabled else None


def _as_host(row: RouterDef) -> RouterDef:
    """A [[routers]] table that says it is a host, as such. Raises SettingsError."""
    _check_row(row, f"[[routers]] {row.id}: base_url")  # before its address is shown
    log.warning('[[routers]] %s with kind = "host" is read as [[hosts]]: name = "%s", url = "%s"', row.id, row.id,
                host_root(row))  # fmt: skip
    apis: tuple[TargetApi, ...] = tuple(dict.fromkeys(("chat", *row.apis)))
    return msgspec.structs.replace(row, default_rule=row.default_rule or "first", apis=apis)


def router_rows(settings: Settings) -> tuple[RouterDef, ...]:
    """The rows in force: built-in ones as overridden, then the person's own, hosts, the embedded model last.

    Raises SettingsError.
    """
    rows = {row.id: row for row in ROUTERS}
    local: RouterDef | None = rows.pop("local")
    seen: set[str] = set()
    for given in settings.routers:
        router_id = given.get("id")
        if not isinstance(router_id, str) or not _ROUTER_ID.fullmatch(router_id):
            raise SettingsError(f'[[routers]] needs an id in lower case such as "my-router", not {router_id!r}')
        if router_id in seen:
            raise SettingsError(f"[[routers]] {router_id} is written twice")
        if router_id in ("auto", "free"):
            raise SettingsError(f"[[routers]] {router_id}: this word means something else to chomp")
        seen.add(router_id)
        if not isinstance(given.get("enabled", True), bool):
            raise SettingsError(f"[[routers]] {router_id}: enabled is true or false, not {given['enabled']!r}")
        if given.get("enabled") is False:
            rows.pop(router_id, None)
            if router_id == "local":
                local = None
            continue
        if router_id == "local":
            raise SettingsError("[[routers]] local: only enabled = false can be set for the embedded model")
        row = _written_row(given, rows.get(router_id))
        rows[router_id] = _as_host(row) if row.kind == "host" else row
    variables: set[str] = set()
    for written in settings.hosts:
        host = host_row(written)
        name = str(written.get("name"))
        if name in seen or name in rows or name in ("auto", "free", "local"):
            raise SettingsError(f"[[hosts]] {name}: there is a router, or another host, of this name")
        if host_variable(name) in variables:
            words = f"its key would have the name of another host's, {host_variable(name)}"
            raise SettingsError(f"[[hosts]] {name}: {words}")
        variables.add(host_variable(name))
        seen.add(name)
        if host is not None:
            rows[name] = host
    for router_id in settings.headers:
        if router_id not in rows:
            raise SettingsError(f"[headers] {router_id}: there is no such router{near_name(router_id, rows)}")
    made = []
    for row in rows.values():
        variable = f"CHOMP_{_variable(row.id)}_BASE_URL"
        url = settings.environ.get(variable, "")
        extra = settings.headers.get(row.id, {})
        names = {name.lower() for name in extra}
        headers = tuple(pair for pair in row.headers if pair[0].lower() not in names) + tuple(extra.items())
        made.append(msgspec.structs.replace(row, base_url=(url or row.base_url).rstrip("/"), headers=headers))
        _check_row(made[-1], variable if url else f"[[routers]] {row.id}: base_url")
    made.sort(key=lambda row: row.kind == "host")
    return (*made, local) if local else tuple(made)


def user_rows(settings: Settings, owner_token: str) -> tuple[User, ...]:
    """The users in force. Raises SettingsError."""
    if settings.users and settings.v1_no_auth:
        raise SettingsError("CHOMP_V1_NO_AUTH=1 lets everybody in: unset it, or take out the [[users]]")
    owners = hashlib.sha256(owner_token.encode()).hexdigest()
    made: dict[str, User] = {}
    tokens = {owners: "the owner"}
    for given in settings.users:
        name = given.get("name")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][\w.@+-]{0,63}", name, re.ASCII):
            raise SettingsError(f"[[users]] needs a name of letters, digits and .@_+-, not {name!r}")
        where = f"[[users]] {name}"
        if name == "owner" or name in made:
            raise SettingsError(f"{where} is {'the name of the owner' if name == 'owner' else 'written twice'}")
        if re.fullmatch(r"task-\d+", name):
            raise SettingsError(f"{where} is the name of a task")
        known = (*User.__struct_fields__, "token")
        if odd := [key for key in given if key not in known]:
            raise SettingsError(f"{where}: there is no setting {odd[0]!r}{near_name(odd[0], known)}")
        fields = dict(given)
        if (token := fields.pop("token", None)) is not None:
            if "token_sha256" in given:
                raise SettingsError(f"{where}: token or token_sha256, not both")
            if not isinstance(token, str) or len(token) < 16:
                raise SettingsError(f"{where}: the token must have at least 16 characters")
            fields["token_sha256"] = hashlib.sha256(token.encode()).hexdigest()
        digest = fields.get("token_sha256")
        if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
            raise SettingsError(f"{where} needs a token, or its SHA-256 in hex as token_sha256")
        fields["token_sha256"] = digest.lower()
        if taken := tokens.get(digest.lower()):
            raise SettingsError(f"{where} has the same token as {taken}")
        tokens[digest.lower()] = name
        try:
            user = made[name] = msgspec.convert(fields, User)
        except msgspec.ValidationError as error:
            raise SettingsError(f"{where}: {error}") from None
        for limit in USER_LIMITS:
            if (value := getattr(user, limit)) is not None and not 0 <= value < 10**15:
                raise SettingsError(f"{where}: {limit} must be between 0 and 10^15")
        if not all((*user.models, *user.routers)):
            raise SettingsError(f"{where}: an empty name matches nothing")
    return tuple(made.values())


def _variable(router_id: str) -> str:
    return re.sub(r"\W", "_", router_id).upper()


TRANSITIONS: dict[str, Transition] = {
    row.action: row
    for row in (
        Transition("run", ("queued",), "active", "open"),
        Transition("done", ("queued", "active"), "done", "close", "done"),
        Transition("next", ("active",), "active", "close", "failed"),  # the gate is red, another session follows
        Transition("follow", ("active",), "active", "close", "done"),  # a message waits, another session follows
        Transition("open", ("active",), "active", "open"),  # that session
        Transition("handoff", ("active",), "queued", "close", "handoff"),
        Transition("wait", ("active",), "queued", "close", "limit"),  # until a provider's limit is over
        Transition("gate", ("active",), "failed", "close", "failed", "gate"),
        Transition("crash", ("active",), "failed", "close", "failed", "crash"),
        Transition("limit", ("active",), "failed", "close", "failed", "limit"),
        Transition("refuse", ("queued", "active"), "failed", "close", "failed", "refused"),
        Transition("stop", ("queued", "active"), "failed", "close", "stopped", "stopped"),
        Transition("interrupt", ("active",), "failed", "close", "interrupted", "interrupted"),
        Transition("retry", ("done", "failed"), "queued"),
        Transition("want", ("queued",), ""),
        Transition("delete", ("queued", "done", "failed"), ""),
        Transition("restore", ("queued", "done", "failed"), ""),
    )
}


# == Protocols =========================================================================================================

_EMPTY = Raw(b"")


class Envelope(msgspec.Struct, frozen=True):
    """The few fields of a request that chomp looks at; the rest is left as it came."""

    model: str | None = None
    stream: bool | None = None
    router: str | UnsetType | None = UNSET
    messages: Raw = _EMPTY
    prompt: Raw = _EMPTY
    input: Raw = _EMPTY
    contents: Raw = _EMPTY
    system: Raw = _EMPTY
    instructions: Raw = _EMPTY
    systemInstruction: Raw = _EMPTY
    tools: Raw = _EMPTY
    stream_options: Raw = _EMPTY
    max_tokens: Raw = _EMPTY
    max_completion_tokens: Raw = _EMPTY
    max_output_tokens: Raw = _EMPTY
    n: Raw = _EMPTY

    def content(self) -> bytes:
        """What a router counts as the prompt."""
        asked = self.messages or self.prompt or self.input or self.contents
        instructions = (self.system, self.instructions, self.systemInstruction)
        return b"".join(map(bytes, (asked, *instructions, self.tools)))

    def most_tokens(self, api: Api, otherwise: int) -> int:
        """How many tokens the answer may have at most; each of several may have `otherwise` where nothing is said.

        Fields of another API are not looked at, nor is what is no number above 0: routers ignore both, or refuse it.
        """
        most = max((_positive(getattr(self, name)) for name in _MOST_TOKENS.get(api, ())), default=0)
        return min(most or otherwise, otherwise) * self.many()

    def many(self) -> int:
        """How many answers the client asked for at once."""
        return min(_positive(self.n) or 1, 1000) if self.n else 1

    def wants_usage(self) -> bool:
        """Whether the client asked for the usage frame itself."""
        options = _decode_or_none(self.stream_options) if self.stream_options else None
        return isinstance(options, dict) and options.get("include_usage") is True


_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_raw = msgspec.json.Decoder(Raw).decode
_REQUIRED: dict[Api, str] = {
    "chat": "messages", "completions": "prompt", "embeddings": "input", "messages": "messages", "responses": "input",
    "count_tokens": "messages", "gemini": "contents",
}  # fmt: skip
_MOST_TOKENS: dict[Api, tuple[str, ...]] = {
    "chat": ("max_tokens", "max_completion_tokens"), "completions": ("max_tokens",), "messages": ("max_tokens",),
    "responses": ("max_output_tokens",), "gemini": ("max_output_tokens",),
}  # fmt: skip
_DIALECTS: dict[Api, Dialect] = {
    "messages": "messages", "count_tokens": "messages", "responses": "responses", "gemini": "gemini",
}  # fmt: skip


def dialect_of(api: Api) -> Dialect:
    """The dialect of the answers and errors at `api`."""
    return _DIALECTS.get(api, "chat")


def _decode_or_none(raw: Raw | bytes, decode: Callable[[Any], Any] = msgspec.json.decode) -> Any:
    try:
        return decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def is_null(raw: Raw | bytes) -> bool:
    """Whether a field is absent or null."""
    return not raw or (len(view := memoryview(raw)) == 4 and bytes(view) == b"null")


_NOTHING = re.compile(  # names, brackets, and values that are empty
    rb'(?s:"(?:[^"\\]|\\.)*+"\s*+:|"\s*+"|null|false|0(?:\.0*+)?(?![\w.])|[\s{}\[\],])*+'
)
_ERROR_OBJECT = re.compile(rb'("error"\s*+:\s*+)(\{(?:[^{}]|\{[^{}]*+\})*+\}|\[\s*+\])')
_HALF_PAIR_ALONE = re.compile(rb"\\u[dD][89aAbB][0-9a-fA-F]{2}+(?!\\u[dD][c-fC-F]|\Z)")


def is_error(raw: Raw | bytes) -> bool:
    """Whether an answer's `error` says anything: routers send `{"message":"","code":null}` with good answers."""
    return bool(raw) and _NOTHING.fullmatch(raw) is None


def without_blank_errors(run: bytes) -> bytes:
    """JSON with null for each `error` that says nothing: the official SDKs raise on any object there."""
    return _ERROR_OBJECT.sub(lambda found: found[0] if is_error(found[2]) else found[1] + b"null", run)


def decoded(decode: Callable[[Any], T], body: bytes | Raw) -> T:
    """What `decode` makes of JSON. Raises BadRequest with the byte position or the path of what is wrong."""
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest(f"wrong type in the request: {error}", code="invalid_type", param=error_path(error)) from None
    except msgspec.DecodeError as error:
        words = str(error)
        if "truncated" in words and (half := _HALF_PAIR_ALONE.search(body)):  # msgspec looks for the other half
            words = f"JSON is malformed: invalid utf-16 surrogate pair (byte {half.start()})"
        elif "truncated" in words and isinstance(body, bytes):
            words += f" (byte {len(body)})"
        raise BadRequest(f"the request body is not JSON: {words}", code="invalid_json") from None
    except UnicodeDecodeError as error:
        raise BadRequest(f"the request body is not UTF-8: {error.reason}", code="invalid_json") from None
    except ValueError as error:
        raise BadRequest(f"the request body is not JSON: {error}", code="invalid_json") from None
    except RecursionError:
        raise BadRequest("the request body is nested too deeply", code="invalid_json") from None


def check_fields(names: Iterable[str], known: Collection[str]) -> None:
    """Raises BadRequest for a name that nobody knows: what was meant by it would not happen."""
    if odd := [name[:40] for name in names if name not in known]:
        raise BadRequest(f"there is no field {odd[0]!r}{near_name(odd[0], known)}", code="unknown_field", param=odd[0])


@functools.cache
def _types_of(kind: Any) -> dict[str, set[type]]:
    """What the fields of a struct may hold, by their names."""
    inspected = cast(msgspec.inspect.StructType, msgspec.inspect.type_info(kind))
    found = {}
    for field in inspected.fields:
        of_field = field.type
        found[field.encode_name] = {
            type(one) for one in (of_field.types if isinstance(of_field, msgspec.inspect.UnionType) else (of_field,))
        }
    return found


def fields_as(fields: Mapping[str, Any], kind: type[T], *, names: bool = True) -> T:
    """`fields` as `kind`, as JSON or a form has them. Raises BadRequest.

    Numbers may be texts, and where texts are `names`, such as ids, these numbers; an empty text is no number, and "on"
    is a checkbox.
    """
    types = _types_of(cast(Any, kind))
    check_fields(fields, types)
    found = dict(fields)
    for name, value in fields.items():
        wanted = types[name]
        if msgspec.inspect.VarTupleType in wanted and isinstance(value, str):
            found[name] = [part.strip() for part in value.split(",") if part.strip()]
        elif not wanted.isdisjoint(_OF_WORDS):
            if names and isinstance(value, (int, float)) and not isinstance(value, bool):
                found[name] = str(value)
        elif value == "":
            del found[name]
        elif msgspec.inspect.BoolType in wanted and value == "on":
            found[name] = True
    return cast(T, decoded(functools.partial(msgspec.convert, type=kind, strict=False), cast(Any, found)))


_OF_WORDS = {msgspec.inspect.StrType, msgspec.inspect.LiteralType}


def fields_of(body: bytes) -> dict[str, Raw]:
    """The top-level fields of a JSON object, each as it came. Raises BadRequest."""
    return decoded(_decode_fields, body)


def _positive(raw: Raw) -> int:
    """A number above 0, whole; 0 for anything else."""
    with contextlib.suppress(msgspec.DecodeError, ValueError, OverflowError):
        return max(0, int(msgspec.json.decode(raw, type=float)))
    return 0


_MODEL_CHARS = 1024  # of a model's name


def read_envelope(api: Api, body: bytes) -> Envelope:
    """The envelope of a request body. Raises BadRequest with the byte position or the path of what is wrong."""
    envelope = decoded(_decode_envelope, body)
    if envelope.model is not None and len(envelope.model) > _MODEL_CHARS:
        shown = envelope.model[:200] + "..."
        raise ModelNotFound(f"no configured router serves the model {shown!r}", param="model")
    required = _REQUIRED[api]
    view = memoryview(getattr(envelope, required))  # a copy of 100 KB would cost more than all the rest
    if len(view) < 16 and bytes(view) in (b"", b"null"):
        raise BadRequest(f"{required!r} is required", code="missing_required_parameter", param=required)
    if required == "messages":
        if view[0] != 0x5B:  # "["
            raise BadRequest("'messages' must be an array - at `$.messages`", code="invalid_type", param="messages")
        if len(view) < 16 and not bytes(view[1:-1]).strip():
            raise BadRequest("'messages' is empty", code="missing_required_parameter", param="messages")
    return envelope


def error_path(error: Exception) -> str | None:
    found = re.search(r"`\$\.?([^`]*)`", str(error))
    return found[1] or None if found else None


ITEM_REFERENCE = b'"item_reference"'  # in a request that names an item of a response instead of sending it


class Conversing(msgspec.Struct):
    """What of a responses request concerns this server, not its target."""

    input: Raw = _EMPTY
    previous_response_id: str | None = None
    store: bool | None = None
    model: str | None = None
    router: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing of it came from here and nothing is to stay."""
        return self.store is False and not self.previous_response_id


decode_conversing = msgspec.json.Decoder(Conversing).decode


def spliced(
    body: bytes, envelope: Envelope, *, model: str | None, ask_usage: bool, without: Sequence[str] = ()
) -> bytes:
    """The request as it goes upstream: values byte-exact and keys in order, but for what has to change.

    `model` replaces the model name, `ask_usage` sets stream_options.include_usage beside the client's other
    stream options; chomp's own `router` field and the fields `without` are taken out.
    """
    if model is None and envelope.router is UNSET and not without:
        if not ask_usage:
            return body
        if not envelope.stream_options:
            cut = body.index(b"{") + 1
            return b'%b"stream_options":{"include_usage":true},%b' % (body[:cut], body[cut:])
    try:
        fields = _decode_fields(body)
    except RecursionError:  # one level deeper than the envelope was looked at
        raise BadRequest("the request body is nested too deeply", code="invalid_json") from None
    for name in ("router", *without):
        fields.pop(name, None)
    if model is not None:
        fields["model"] = Raw(msgspec.json.encode(model))
    if ask_usage:
        try:
            options = {} if is_null(envelope.stream_options) else _decode_fields(envelope.stream_options)
        except (msgspec.DecodeError, RecursionError):
            raise BadRequest(
                "'stream_options' must be an object", code="invalid_type", param="stream_options"
            ) from None
        fields["stream_options"] = Raw(msgspec.json.encode({**options, "include_usage": True}))
    return msgspec.json.encode(fields)


_BILLING = b"x-anthropic-billing-header:"
decode_raws = msgspec.json.Decoder(list[Raw]).decode


class _Block(msgspec.Struct):
    text: str = ""


_decode_block = msgspec.json.Decoder(_Block).decode


def without_billing(body: bytes) -> bytes:
    """A request in the messages dialect without Claude Code's line for Anthropic's billing.

    It stands before the system prompt and differs in each request, so that a host finds nothing of what follows in its
    prompt cache.
    """
    if _BILLING not in body:
        return body
    fields = fields_of(body)
    system = fields.get("system", _EMPTY)
    try:
        if bytes(system).startswith(b'"'):
            fields["system"] = Raw(msgspec.json.encode(_unbilled(msgspec.json.decode(system, type=str))))
        else:
            blocks = []
            for raw in decode_raws(system):
                if _BILLING in bytes(raw):
                    text = _decode_block(raw).text
                    if (left := _unbilled(text)) != text:
                        if left.strip():
                            block = {**_decode_fields(raw), "text": Raw(msgspec.json.encode(left))}
                            blocks.append(Raw(msgspec.json.encode(block)))
                        continue
                blocks.append(raw)
            fields["system"] = Raw(msgspec.json.encode(blocks))
    except (msgspec.DecodeError, RecursionError):
        return body  # no system prompt: whoever gets it will say so
    return msgspec.json.encode(fields)


def _unbilled(text: str) -> str:
    return text.partition("\n")[2] if text.startswith(_BILLING.decode()) else text


class _Turn(msgspec.Struct):
    role: str = ""


def conversation_key(envelope: Envelope, caller: str, named: str = "") -> str:
    """What tells one conversation from another: the client's own name for it, else how it begins."""
    if not named:
        begins = b""
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            for raw in decode_raws(envelope.messages or envelope.input or envelope.contents):
                begins = bytes(raw)
                if msgspec.json.decode(raw, type=_Turn).role == "user":
                    break
        begins = begins or bytes(envelope.input)[:4096] or bytes(envelope.prompt)[:4096]
        named = hashlib.sha256(begins).hexdigest()[:32]
    return f"{caller}\n{named}"


def capped(api: Api, body: bytes, most: int) -> bytes:
    """The request for an answer of at most `most` tokens, or of as few as it asks for itself."""
    fields = _decode_fields(body)
    names = _MOST_TOKENS[api]
    for name in [name for name in names if not is_null(fields.get(name, _EMPTY))] or names[:1]:
        fields[name] = Raw(str(min(_positive(fields.get(name, _EMPTY)) or most, most)).encode())
    if api == "messages":
        _fit_thinking(fields, int(bytes(fields["max_tokens"])))
    return msgspec.json.encode(fields)


def _fit_thinking(fields: dict[str, Raw], most: int) -> None:
    """Has a thinking budget fit in `most` tokens: Anthropic refuses a larger one, and one below its least."""
    thinking = _decode_or_none(fields.get("thinking", _EMPTY), _THINKING.decode)
    if thinking is None or thinking.budget_tokens < most:
        return
    if most <= _LEAST_THINKING:
        del fields["thinking"]
    else:
        budget = max(_LEAST_THINKING, most // 2)
        fields["thinking"] = Raw(msgspec.json.encode({"type": "enabled", "budget_tokens": budget}))


_LEAST_THINKING = 1024


class _Thinking(msgspec.Struct):
    budget_tokens: int


_THINKING = msgspec.json.Decoder(_Thinking)


DEMONSTRATION_SYSTEM = "You are a helpful AI assistant."


def prepare_demonstration(api: Api, body: bytes) -> bytes:
    """What the embedded model needs: a system message and temperature 0 where none is given.

    Without a system message it loops on simple questions. It has no tools and sees no images: those raise BadRequest
    rather than being dropped.
    """
    fields = _decode_fields(body)
    for name in ("tools", "functions"):
        if bytes(fields.get(name, _EMPTY)) not in (b"", b"null", b"[]"):
            raise BadRequest(
                f"the embedded demonstration model cannot use {name}: choose another router",
                code="unsupported_parameter",
                param=name,
            )
    messages: list[dict[str, Raw]] = []
    if "messages" in fields:
        try:
            messages = msgspec.json.decode(fields["messages"], type=list[dict[str, Raw]])
        except msgspec.DecodeError as error:
            raise BadRequest(f"'messages' must be an array of objects: {error}", param="messages") from None
        for message in messages:
            with contextlib.suppress(msgspec.DecodeError):
                for part in msgspec.json.decode(message.get("content", Raw(b"[]")), type=list[dict[str, Any]]):
                    if part.get("type", "text") != "text":
                        raise BadRequest(
                            f"the embedded demonstration model reads text only, not {part.get('type')!r}",
                            code="unsupported_parameter",
                            param="messages",
                        )
    if dialect_of(api) == "messages":
        if is_null(fields.get("system", _EMPTY)):
            fields["system"] = Raw(msgspec.json.encode(DEMONSTRATION_SYSTEM))
    elif messages and not any(bytes(one.get("role", _EMPTY)) in (b'"system"', b'"developer"') for one in messages):
        said = {"role": "system", "content": DEMONSTRATION_SYSTEM}
        fields["messages"] = Raw(msgspec.json.encode([said, *messages]))
    fields.setdefault("temperature", Raw(b"0"))
    return msgspec.json.encode(fields)


PREPARE: dict[str, Callable[[Api, bytes], bytes]] = {"demonstration": prepare_demonstration}


# -- headers

_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer trailers "
    b"transfer-encoding upgrade http2-settings".split()
)
_NOT_UPWARDS = _HOP_BY_HOP | frozenset(
    b"authorization x-api-key api-key x-goog-api-key cookie host content-length accept-encoding expect origin referer "
    b"forwarded via x-real-ip true-client-ip openai-organization openai-project content-encoding "
    b"access-control-request-method access-control-request-headers "
    # what proxies tell of a client, tokens among it
    b"x-forwarded x-client-ip x-cluster-client-ip fastly-client-ip remote-user x-remote-user "
    b"x-goog-iap-jwt-assertion x-goog-authenticated-user-email x-goog-authenticated-user-id".split()
)
_NOT_UPWARDS_PREFIX = (
    b"x-stainless-", b"x-chomp-", b"x-forwarded-", b"sec-", b"cf-", b"proxy-", b"x-original-", b"x-envoy-",
    b"x-auth-request-", b"x-amzn-oidc-", b"x-authentik-", b"x-ms-token-", b"x-ms-client-principal", b"tailscale-",
)  # fmt: skip
_OF_NOBODY = _HOP_BY_HOP | frozenset(
    b"authorization x-api-key api-key x-goog-api-key cookie host content-length accept-encoding expect "
    b"content-encoding".split()
)


def tells_of_client(name: bytes) -> bool:
    """Whether a header, in lower case, may tell who or where a client is, as proxies add it: that is kept nowhere."""
    return (name in _NOT_UPWARDS and name not in _OF_NOBODY) or name.startswith(_NOT_UPWARDS_PREFIX)


_DOWNWARDS = frozenset(b"content-type cf-ray retry-after retry-after-ms server-timing".split())
_DOWNWARDS_PREFIX = (b"x-", b"openai-", b"anthropic-", b"fireworks-", b"ratelimit")
_NOT_DOWNWARDS = frozenset(
    b"x-accel-buffering x-accel-redirect x-sendfile x-powered-by x-frame-options x-xss-protection "
    b"x-content-type-options x-robots-tag x-should-retry".split()
)


NAMES_MOST = 2048  # names remembered; real clients and routers send a few dozen
_up_names: dict[bytes, bytes] = {}  # a name as sent -> as it goes up, empty when it does not
_down_names: dict[bytes, bytes] = {}


def _up_name(low: bytes) -> bytes:
    return b"" if low in _NOT_UPWARDS or low.startswith(_NOT_UPWARDS_PREFIX) else low


_FRAMED, _ENCODING, _CONNECTION = b"framed", b"encoding", b"connection"  # what else a header of an answer may be
_TYPE = b"content-type: "
_OF_ANSWERS = {
    b"content-length": _FRAMED, b"transfer-encoding": _FRAMED, b"content-encoding": _ENCODING,
    b"connection": _CONNECTION, b"content-type": _TYPE,
    b"x-request-id": b"x-upstream-request-id: ",  # ours has that name
}  # fmt: skip


def _down_line(low: bytes) -> bytes:
    """How the line of a header begins that a client may see; empty for others; or what else it is."""
    if (known := _OF_ANSWERS.get(low)) is not None:
        return known
    if low in _NOT_DOWNWARDS or low.startswith(b"x-chomp-"):
        return b""
    return low + b": " if low in _DOWNWARDS or low.startswith(_DOWNWARDS_PREFIX) else b""


def headers_up(given: Iterable[tuple[bytes, bytes]], own: frozenset[bytes]) -> bytes:
    """A client's headers as they go upstream, ready for the wire.

    Without hop-by-hop headers (RFC 9110 7.6.1, also those named in Connection), the caller's credentials and origin,
    SDK telemetry, and the names in `own`, which the router's row sets itself.
    """
    lines: list[bytes] = []
    named = b""
    for name, value in given:
        low = _up_names.get(name)
        if low is None:
            low = _up_name(name.lower())
            if len(_up_names) < NAMES_MOST:
                _up_names[name] = low
        if low and low not in own:
            lines.append(b"%b: %b\r\n" % (low, value))
        elif name.lower() == b"connection":
            named += b"," + value.lower()
    return b"".join(_not_named(lines, named))


def answer_head(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bytes, bytes, bool]:
    """What an upstream's headers say: lines that the client may see, the type, the encodings, whether it is framed.

    A client may see the type, limits and the vendor's own `x-` information.
    """
    shown: list[bytes] = []
    kind = encoding = named = b""
    is_framed = False
    for name, value in headers:
        line = _down_names.get(name)
        if line is None:
            line = _down_line(name.lower())
            if len(_down_names) < NAMES_MOST:
                _down_names[name] = line
        if not line:
            continue
        if line is _FRAMED:
            is_framed = True
        elif line is _ENCODING:
            encoding = b"%b, %b" % (encoding, value) if encoding else value
        elif line is _CONNECTION:
            named += b"," + value.lower()
        else:
            shown.append(b"%b%b\r\n" % (line, value))
            if line is _TYPE:
                kind = value.lower()
    return b"".join(_not_named(shown, named) if named else shown), kind, encoding, is_framed


def _not_named(lines: list[bytes], connection: bytes) -> list[bytes]:
    """Header lines without those that a Connection header names."""
    if connection in (b"", b",keep-alive", b",close"):
        return lines
    dropped = {token.strip() for token in connection.split(b",")}
    return [line for line in lines if line.partition(b": ")[0] not in dropped]


def header_value(text: str) -> str:
    """`text` as a header may carry it; anything else is percent-encoded."""
    return text if text.isascii() and text.isprintable() else urllib.parse.quote(text, safe="/:@ -._~")


_SPAN = (
    r"(\d{1,12}(?:\.\d{1,12})?)\s?(ms|[smhd]|milliseconds?|sec(?:ond)?s?|min(?:ute)?s?|h(?:ou)?rs?|days?)(?![a-z])"
    r",?\s{0,2}(?:and\s)?"
)
_DURATION = re.compile(_SPAN, re.I)
_DURATIONS = re.compile(f"(?:{_SPAN}){{1,6}}", re.I)
_WAIT_WORDS = re.compile(  # "Please retry in 26.66s", "try again in 9m21.6s", "wait 30 seconds", "resets at 2026-..."
    r"\b(?:retry|try(?:ing)? again|wait|reset|resets|resetting|available again|regain access|come back)\b[^\d.;]{0,40}?"
    rf"(\d{{4}}-\d\d-\d\dT[\d:.]{{5,20}}(?:Z|[+-]\d\d:?\d\d)|(?:{_SPAN}){{1,6}})",
    re.I,
)


def _reset_s(text: str, now: float, unit_s: float = 1.0) -> float | None:
    """Seconds from now: a number of `unit_s`, "1m2.5s", "PT26S"; or until Unix time (s, ms), an RFC 3339, HTTP date."""
    text = text.strip()
    seconds = -math.inf
    try:
        seconds = float(text) * unit_s
        if seconds > 1e8:  # not a wait, a time
            seconds = (seconds / 1000 if seconds > 1e11 else seconds) - now
    except ValueError:
        spans = text[1:].upper().replace("T", "") if text[:1] in ("P", "p") else text
        if unit_s == 1.0 and _DURATIONS.fullmatch(spans):
            seconds = _duration_s(spans)
        elif len(text) < 64 and (moment := _moment(text)) is not None:
            seconds = moment - now
    return seconds if 0 < seconds < 1e9 else None  # thirty years are no wait


def _duration_s(text: str) -> float:
    """Seconds of "1m2.5s", "1 hour and 5 minutes"."""
    spans = [(float(number), unit.lower()) for number, unit in _DURATION.findall(text)]
    return sum(number * UNITS_S["ms" if unit.startswith(("ms", "mil")) else unit[0]] for number, unit in spans)


def _moment(text: str) -> float | None:
    """Unix seconds of an RFC 3339 or HTTP date."""
    for read in (datetime.datetime.fromisoformat, email.utils.parsedate_to_datetime):
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            moment = read(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    return None


_WAIT_HEADERS = (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("retry-after", 1.0))


def wait_s(headers: Iterable[tuple[bytes, bytes]], now: float) -> float | None:
    """Seconds an upstream asks us to stay away, from any form of header; None when it says nothing readable.

    `retry-after-ms` wins over `retry-after` (seconds or HTTP-date), that over the `x-ratelimit-reset` family, of which
    the limit that is used up counts, else the shortest. A wait that is over is none: whoever refuses us now is left
    alone for our own while.
    """
    found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}
    for name, unit_s in _WAIT_HEADERS:
        if name in found and (seconds := _reset_s(found[name], now, unit_s)) is not None:
            return seconds
    used_up, resets = [], []
    for name, value in found.items():
        reset = _reset_s(value, now) if "ratelimit" in name and "reset" in name else None
        if reset is not None:
            resets.append(reset)
            if found.get(name.replace("reset", "remaining"), "").strip().split(".")[0] == "0":
                used_up.append(reset)
    return max(used_up) if used_up else min(resets, default=None)


_WAIT_FIELDS = (
    ("retryDelay", 1.0), ("retry_after_ms", 0.001), ("retryAfterMs", 0.001), ("retry_after_seconds", 1.0),
    ("retry_after", 1.0), ("retryAfter", 1.0), ("resets_in_seconds", 1.0), ("quotaResetDelay", 1.0), ("resets_at", 1.0),
    ("reset_at", 1.0),
)  # fmt: skip
_WAIT_PLACES = ("details", "metadata", "availability")  # Google's, OpenRouter's


def _body_wait_s(levels: Sequence[dict[str, Any]], message: str, now: float) -> float | None:
    """The same from an error's body: fields of its own, headers it quotes, words."""
    places = list(levels)
    for place in places:
        for value in (place[name] for name in _WAIT_PLACES if name in place):
            places += [one for one in (value[:8] if isinstance(value, list) else (value,)) if isinstance(one, dict)]
        if len(places) > 64:
            break
    for name, unit_s in _WAIT_FIELDS:
        texts = [str(place[name]) for place in places if type(place.get(name)) in (int, float, str)]
        waits = [wait for text in texts if (wait := _reset_s(text[:64], now, unit_s)) is not None]
        if waits:
            return max(waits)
    for quoted in (place.get("headers") for place in places):
        if isinstance(quoted, dict):
            pairs = itertools.islice(quoted.items(), 64)
            lines = [[str(part)[:64].encode(errors="replace") for part in pair] for pair in pairs]
            if (wait := wait_s(cast(Any, lines), now)) is not None:
                return wait
    words = _WAIT_WORDS.search(message)
    if words is None:
        return None
    return _reset_s(words[1], now) if "T" in words[1] else _duration_s(words[1]) or None


def rate_limits(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, float]:
    """What is left of each limit an upstream reports, by kind: {"requests": 99, "tokens-minute": 5000}."""
    left = {}
    for name, value in headers:
        low = name.decode("latin-1").lower()
        if "ratelimit-remaining" in low:
            with contextlib.suppress(ValueError):
                left[low.partition("remaining")[2].strip("-") or "requests"] = float(value)
    return left


# -- SSE frames (https://html.spec.whatwg.org/multipage/server-sent-events.html)

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# a blank line ends a frame; CR LF CR may still become CR LF CR LF with the next read
BLANK_LINE = re.compile(rb"\n\n|\r\r|\n\r\n|\n\r(?=[^\n])")


class Framer:
    """Cuts a byte stream into whole SSE frames; what is unfinished waits inside.

    `rest` is what waits. A frame above `limit_bytes` is handed on as it comes; `torn` says that one has begun to be.
    """

    __slots__ = ("_limit", "rest", "torn")

    def __init__(self, limit_bytes: int):
        self.rest = bytearray()
        self._limit = limit_bytes
        self.torn = False

    def feed(self, data: bytes) -> bytes:
        """The frames complete after `data`, as one run of bytes, unchanged; empty when none is."""
        rest = self.rest
        if not rest and not self.torn and data.endswith(b"\n\n"):
            return data  # the usual read
        seen = max(0, len(rest) - 3)
        rest += data
        if self.torn:
            first = BLANK_LINE.search(rest, seen)
            if not first:
                out = bytes(rest[:-3])  # a blank line may be cut by the read
                del rest[:-3]
                return out
            self.torn = False
        end = 0
        for found in BLANK_LINE.finditer(rest, seen):
            end = found.end()
        if not end:
            end = _line_ends(rest, seen)
        if not end and len(rest) > self._limit:
            self.torn = True
            end = len(rest) - 3
        out = bytes(rest[:end])
        del rest[:end]
        return out

    def close(self) -> bytes:
        """What is left when the body ended properly: the last frame without its blank line, unless it is broken."""
        left = bytes(self.rest)
        self.rest.clear()
        if self.torn:
            self.torn = False
            return left
        is_broken = any(payload != b"[DONE]" and not _is_json(payload) for payload in payloads(left))
        return b"" if is_broken else left


def _line_ends(rest: bytearray, seen: int) -> int:
    """Where a frame ends in a stream that parts its frames by single newlines (seen from SambaNova); 0 = nowhere.

    A `data:` line after a line that is a whole JSON value cannot be its continuation.
    """
    start = max(0, seen - 3)  # the read may have cut this, too
    at = max(rest.rfind(b"\ndata:", start), rest.rfind(b"\rdata:", start))
    if at < 0:
        return 0
    end = at - (rest[at - 1 : at] == b"\r")
    begin = rest.rfind(b"\n", 0, end) + 1
    line = bytes(rest[max(begin, rest.rfind(b"\r", begin, end) + 1) : end])
    payload = line[5:].strip()
    return at + 1 if line.startswith(b"data:") and (payload == b"[DONE]" or _is_json(payload)) else 0


def _is_json(payload: bytes) -> bool:
    return _decode_or_none(payload, _decode_raw) is not None


_DATA_LINE = re.compile(rb"(?<=[\r\n])(?=data:)")  # where frames parted by single newlines begin
_FRAME = re.compile(rb"(?s:.+?)(?:\r\n\r\n|\n\n|\r\r|\n\r\n|\n\r|\Z)")


def split_frames(run: bytes) -> list[bytes]:
    """The single frames of a run of whole frames; joined they are the run again."""
    if run.find(b"\n") >= len(run) - 2 and b"\r" not in run:
        return [run] if run else []
    if b"\r" in run:
        frames = _FRAME.findall(run)
    else:
        *parts, last = run.split(b"\n\n")
        frames = [part + b"\n\n" for part in parts]
        if last:
            frames.append(last)
    found: list[bytes] = []
    for frame in frames:
        has_several = (b"\ndata:" in frame or b"\rdata:" in frame) and len(payloads(frame)) > 1
        found += _DATA_LINE.split(frame) if has_several else [frame]
    return found


_LEADS = BYTE_ORDER_MARK + b" \t"  # before a line


def payloads(run: bytes) -> list[bytes]:
    """The data of each event in a run of frames, without comments and other fields.

    `data` lines of one frame are one event, unless each is a JSON value of its own.
    """
    if run.startswith(b"data: ") and run.endswith(b"\n\n") and run.find(b"\n") == len(run) - 2 and b"\r" not in run:
        return [run[6:-2]]
    found: list[bytes] = []
    lines: list[bytes] = []
    if b"data:" not in run:
        return found
    for line in [*run.splitlines(), b""]:
        line = line.lstrip(_LEADS)
        if line.startswith(b"data:"):
            lines.append(line[6:] if line[5:6] == b" " else line[5:])
        elif not line and lines:
            found += (
                lines if len(lines) == 1 or all(x == b"[DONE]" or _is_json(x) for x in lines) else [b"\n".join(lines)]
            )
            lines = []
    return found


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: Raw = _EMPTY


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Raw = _EMPTY
    error: Raw = _EMPTY
    x_groq: Raw = _EMPTY
    cost: Raw = _EMPTY
    type: Raw = _EMPTY


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_chunks = msgspec.json.Decoder(_Chunk).decode_lines
_USAGE_FRAME_KEYS = frozenset(  # a frame of these alone tells a client nothing but usage
    [
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
        "system_fingerprint",
        "service_tier",
        "provider",
        "timings",
        "time_info",
        "x_groq",
        "obfuscation",
    ]
)


FrameKind = Literal["comment", "startup", "content", "error", "done"]
_STARTUP_TYPES = (
    None, "message_start", "ping", "response.created", "response.queued", "response.in_progress",
    "response.content_part.added", "response.reasoning_summary_part.added",
)  # fmt: skip


def frame_kind(run: bytes) -> FrameKind:
    """What one frame is to a client still waiting for its first token.

    Role-only and empty deltas are start-up; whatever is not known to be empty is content.
    """
    kind: FrameKind = "comment"
    for payload in payloads(run):
        if (kind := payload_kind(payload)) != "startup":
            break
    return kind


def payload_kind(payload: bytes) -> FrameKind:
    if payload.strip() == b"[DONE]":
        return "done"
    chunk: _Chunk | None = _decode_or_none(payload, _decode_chunk)  # most frames are decided here
    if chunk is not None and chunk.error is _EMPTY and chunk.x_groq is _EMPTY and chunk.choices:
        choice = chunk.choices[0]
        if choice.text or (choice.delta is not None and choice.delta.content):
            return "content"
    frame = _decode_or_none(payload)
    if not isinstance(frame, dict):
        return "content"
    groq = frame.get("x_groq")
    kind = frame.get("type")
    told = (frame.get("error"), groq.get("error") if isinstance(groq, dict) else None)
    if kind in ("error", "response.failed") or (any(told) and is_error(form.encode(told))):
        return "error"
    if kind in ("content_block_start", "response.output_item.added"):
        is_empty = _is_empty_block(frame.get("content_block") or frame.get("item"))
    else:
        choices = frame.get("choices") or ()
        is_empty = not frame.get("usage") and kind in _STARTUP_TYPES and isinstance(choices, (list, tuple))
        is_empty = is_empty and all(map(_is_empty_choice, choices))
    return "startup" if is_empty else "content"


def _is_empty_block(block: Any) -> bool:
    """Whether a block or an item is one of words, all of which are still to come."""
    if not isinstance(block, dict) or block.get("type") not in ("text", "thinking", "message", "reasoning"):
        return False
    return not (block.get("text") or block.get("thinking") or block.get("content"))


def _is_empty_choice(choice: Any) -> bool:
    if not isinstance(choice, dict) or choice.get("finish_reason") is not None or choice.get("text"):
        return False
    delta = choice.get("delta")
    return not isinstance(delta, dict) or not any(value for name, value in delta.items() if name != "role")


_COUNTED = re.compile(rb"[1-9]")


class StreamMeter:
    """Looks at the frames of one stream as they pass: usage, errors, how it ends, how much was said."""

    __slots__ = (
        "_cost",
        "_groq",
        "_hide",
        "_usage",
        "blank",
        "done",
        "error",
        "finished",
        "frames",
        "malformed",
        "response_id",
        "said",
    )

    def __init__(self, *, hide_usage: bool):
        self._hide = hide_usage
        self._usage = self._groq = self._cost = _EMPTY
        self.done = self.finished = False
        self.error = b""  # payload of an error frame
        self.response_id = ""  # of a responses stream
        self.blank = False  # there was an `error` that says nothing
        self.frames = 0  # with content
        self.said = 0  # characters of content
        self.malformed = 0

    def skim(self, run: bytes) -> None:
        """Looks at the beginning of a frame that is too large to be looked at whole."""

    def look(self, run: bytes) -> bytes:
        """`run` as the client should have it: the same, but for a usage frame it did not ask for."""
        if run.startswith(b"data: {"):
            if run.find(b"\n") == len(run) - 2:  # the usual: one frame, one line
                return b"" if self._look(run[6:]) else run
            if (kept := self._look_at_all(run)) is not None:
                return kept
        if b"data:" not in run:  # comments, blank lines
            return run
        frames = split_frames(run)
        shown = [frame for frame in frames if not max(map(self._look, payloads(frame)), default=False)]
        return run if len(shown) == len(frames) else b"".join(shown)

    def _look_at_all(self, run: bytes) -> bytes | None:
        """`look` for a run of plain `data` frames, which a fast upstream sends by the dozen; None for any other."""
        end = b"\n\n" if run.endswith(b"\n\n") else b"\r\n\r\n"
        if not run.endswith(end):
            return None
        text = run[6 : -len(end)].replace(end + b"data: ", b"\n")  # JSON has no newlines inside
        last = text.endswith(b"\n[DONE]")
        text = text.removesuffix(b"\n[DONE]")
        chunks = _decode_or_none(text, _decode_chunks)
        if chunks is None or len(chunks) != text.count(b"\n") + 1:
            return None
        special = [at for at, chunk in enumerate(chunks) if self._add(chunk)]
        self.done = self.done or last
        if not special:
            return run
        parts = text.split(b"\n")
        hidden = {at for at in special if self._look_closer(chunks[at], parts[at])}
        if not hidden:
            return run
        kept = [part for at, part in enumerate(parts) if at not in hidden]
        return b"".join([b"data: %b%b" % (part, end) for part in (*kept, *((b"[DONE]",) if last else ()))])

    def _look(self, payload: bytes) -> bool:
        """Takes note of one payload; whether its frame is to be hidden."""
        try:
            chunk = _decode_chunk(payload)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            if payload.strip() == b"[DONE]":  # to msgspec an array, where an object is due
                self.done = True
            elif isinstance(error, msgspec.ValidationError):
                self.frames += 1  # JSON of a shape we do not know
                return self._look_loosely(payload)
            else:
                self.malformed += 1
            return False
        return self._add(chunk) and self._look_closer(chunk, payload)

    def _add(self, chunk: _Chunk) -> bool:
        """Counts what was said; whether there is more to `chunk` than that."""
        for choice in chunk.choices or ():
            delta = choice.delta
            if delta is None:
                text = choice.text
            elif not (text := delta.content or delta.reasoning or delta.reasoning_content) and delta.tool_calls:
                text = bytes(delta.tool_calls).decode("utf-8", "replace")
            if text:
                self.frames += 1
                self.said += len(text)
            if choice.finish_reason:
                self.finished = True
        return not (
            chunk.usage is _EMPTY
            and chunk.error is _EMPTY
            and chunk.x_groq is _EMPTY
            and chunk.cost is _EMPTY
            and (chunk.type is _EMPTY or chunk.choices is not None)
        )

    def _look_loosely(self, payload: bytes) -> bool:
        fields = _decode_or_none(payload, _decode_fields)
        if fields is None:
            return False
        self.finished = self.finished or b'"finish_reason":"' in payload.replace(b" ", b"")
        parts = {name: fields[name] for name in ("usage", "error", "x_groq", "cost") if name in fields}
        return self._look_closer(_Chunk(**parts), payload)

    def _look_closer(self, chunk: _Chunk, payload: bytes) -> bool:
        if is_error(chunk.error) or (chunk.choices is None and bytes(chunk.type) == b'"error"'):
            self.error = payload
        elif chunk.error:
            self.blank = True
        if groq := _decode_or_none(chunk.x_groq, _decode_fields) if chunk.x_groq else None:
            self._groq = Raw(bytes(groq.get("usage", self._groq)))
            if is_error(groq.get("error", _EMPTY)):
                self.error = payload
        if chunk.cost is not _EMPTY:
            self._cost = Raw(bytes(chunk.cost))
        if is_null(chunk.usage):
            return False
        usage = bytes(chunk.usage)
        if not self._usage or _COUNTED.search(usage):  # an empty one at the end tells nothing
            self._usage = Raw(usage)
        if not self._hide or chunk.choices != []:
            return False
        fields = _decode_or_none(payload, _decode_fields)
        return fields is not None and fields.keys() <= _USAGE_FRAME_KEYS

    @property
    def complete(self) -> bool:
        """Whether the upstream said that its answer is over."""
        return self.done or self.finished or bool(self.error)

    def usage(self) -> Usage | None:
        """The last usage seen, top level before Groq's own; never a sum."""
        return read_usage(self._usage or self._groq, self._cost)


class _EventDelta(msgspec.Struct, gc=False):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    delta: _EventDelta | str | None = None
    usage: Raw = _EMPTY
    message: Raw = _EMPTY
    response: Raw = _EMPTY
    item: Raw = _EMPTY
    error: Raw = _EMPTY
    cost: Raw = _EMPTY


class _Response(msgspec.Struct):
    id: str = ""
    status: str | None = None
    output: list[Raw] = []


def _read_response(raw: Raw | bytes) -> _Response:
    return _decode_or_none(raw, _decode_response) or _Response()


_decode_response = msgspec.json.Decoder(_Response).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_events = msgspec.json.Decoder(_Event).decode_lines
_DATA = re.compile(rb"^data: (.*)$", re.M)
_LAST_EVENT = re.compile(rb'"type"\s*:\s*"response\.(?:completed|incomplete)"')


class _ResponseItem(msgspec.Struct):
    id: str | None = None
    type: str | None = None


_decode_response_item = msgspec.json.Decoder(_ResponseItem).decode


def _item_of_response(raw: Raw) -> _ResponseItem:
    return _decode_or_none(raw, _decode_response_item) or _ResponseItem()


class EventsMeter(StreamMeter):
    """The same for streams of the messages and responses dialects, whose frames are typed events."""

    __slots__ = ("_counts", "_items", "_response", "_words")

    def __init__(self) -> None:
        super().__init__(hide_usage=False)
        self._response = b""  # as the last event of a responses stream has it
        self._items: list[Raw] = []  # of its output, as they were done
        self._words: list[str] = []  # of its text
        self._counts: dict[str, Any] = {}

    def skim(self, run: bytes) -> None:
        """The last event of a response holds all of it, and pictures make that large."""
        self.finished = self.finished or _LAST_EVENT.search(run[:256]) is not None

    def look(self, run: bytes) -> bytes:
        at = run.find(b"data: ")
        if at >= 0 and run.find(b"\n", at) == len(run) - 2 and (not at or run[at - 1] == 0x0A):  # one frame, one line
            self._look(run[at + 6 :])
            return run
        lines = _DATA.findall(run)
        is_plain = len(lines) == run.count(b"\n\n") and b"\r" not in run
        events = _decode_or_none(b"\n".join(lines), _decode_events) if is_plain else None
        if events is not None and len(events) == len(lines):
            for event, line in zip(events, lines, strict=True):
                self._note(event, line)
            return run
        for payload in payloads(run):
            self._look(payload)
        return run

    def _look(self, payload: bytes) -> bool:
        try:
            self._note(_decode_event(payload), payload)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            if isinstance(error, msgspec.ValidationError) and payload.strip() != b"[DONE]":
                self.frames += 1  # JSON of a shape we do not know
            elif payload.strip() != b"[DONE]":
                self.malformed += 1
        return False

    def _note(self, event: _Event, payload: bytes) -> None:
        delta, kind = event.delta, event.type
        if delta is not None:
            words = delta if type(delta) is str else delta.text or delta.thinking or delta.partial_json  # type: ignore[union-attr]
            if words:
                self.frames += 1
                self.said += len(words)
                if kind == "response.output_text.delta":
                    self._words.append(words)
                return
            if type(delta) is _EventDelta and delta.stop_reason:
                self.finished = True
        if kind == "error" or kind == "response.failed" or is_error(event.error):
            self.error = payload.strip()
        if kind == "message_stop":
            self.done = True
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            self.done = True
            self._response = bytes(event.response)
            if _read_response(event.response).status in ("failed", "cancelled"):
                self.error = payload.strip()
        elif kind == "response.output_item.done":
            self._items.append(Raw(bytes(event.item)))
        elif kind == "response.created":
            self.response_id = _read_response(event.response).id
        if event.cost:
            self._cost = Raw(bytes(event.cost))
        for found in (event.message, event.response):
            if not is_null(found) and (whole := _decode_or_none(found, _decode_whole)) is not None:
                self._count(whole.usage)
        self._count(event.usage)

    def _count(self, usage: Raw) -> None:
        """Later counts stand beside earlier ones: a message's input is counted at its start, its output at its end."""
        found = None if is_null(usage) else _decode_or_none(usage)
        if isinstance(found, dict):
            self._counts.update({name: value for name, value in found.items() if value is not None})

    @property
    def response(self) -> bytes:
        """The whole Response object of a finished stream: with what was streamed, whatever its last event says."""
        fields = _decode_or_none(self._response, _decode_fields)
        ended = items = _read_response(self._response).output
        if len(ended) < len(self._items):
            known = {_item_of_response(item).id for item in self._items}
            items = [*self._items, *(item for item in ended if _item_of_response(item).id not in known)]
        if self._words and not any(_item_of_response(item).type == "message" for item in items):
            part = {"type": "output_text", "text": "".join(self._words), "annotations": []}
            message = {"type": "message", "role": "assistant", "status": "completed", "content": [part]}
            items = [*items, Raw(form.encode({**message, "id": f"msg_{secrets.token_hex(20)}"}))]
        if fields is None or items is ended:
            return self._response
        return msgspec.json.encode({**fields, "output": items})

    def usage(self) -> Usage | None:
        return read_usage(msgspec.json.encode(self._counts) if self._counts else _EMPTY, self._cost)


_COUNT_MAX = 10**12  # tokens nobody has ever sent; more is an error, and would break sums


def _count(value: object) -> int:
    if (type(value) is int or type(value) is float) and 0 <= value <= _COUNT_MAX:
        return int(value)
    return 0


def _amount(value: object) -> float | None:
    """USD from a number or its text; None for anything else."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        number = float(cast(Any, value))
        if math.isfinite(number) and number >= 0 and not isinstance(value, bool):
            return number
    return None


def estimated_tokens(size_bytes: int) -> int:
    """A rough count for text nobody counted: four bytes a token, as English runs."""
    return (size_bytes + 3) // 4


_ENCODED = re.compile(rb"(?<![A-Za-z0-9+/=\\])[A-Za-z0-9+/=\\]{2048,}+")  # base64: a picture, a sound
_ENCODED_TOKENS = 1000  # of one of them, roughly


def estimated_prompt(content: bytes) -> int:
    """The same for a request's content, whose pictures are not text."""
    encoded = [len(found) for found in _ENCODED.findall(content)]
    return estimated_tokens(len(content) - sum(encoded)) + _ENCODED_TOKENS * len(encoded)


class _Counts(msgspec.Struct, gc=False):
    """A `usage` object of the OpenAI family or of Anthropic; its values may be anything."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    input_tokens: Any = None
    output_tokens: Any = None
    total_tokens: Any = None
    prompt_tokens_details: Any = None
    input_tokens_details: Any = None
    completion_tokens_details: Any = None
    output_tokens_details: Any = None
    prompt_cache_hit_tokens: Any = None  # DeepSeek's
    cache_read_input_tokens: Any = None
    cache_creation_input_tokens: Any = None
    cost: Any = None


_decode_counts = msgspec.json.Decoder(_Counts).decode


def read_usage(raw: Raw | bytes, cost: Raw | bytes = b"") -> Usage | None:
    """Usage in the OpenAI family's shapes and Anthropic's; None when there is none. A router's own cost is taken."""
    found = (_decode_or_none(raw, _decode_counts) if raw else None) or _Counts()
    reported = _amount(_decode_or_none(cost)) if cost else None
    has_prompt = found.prompt_tokens is not None
    prompt = _count(found.prompt_tokens if has_prompt else found.input_tokens)
    completion = _count(found.output_tokens if found.completion_tokens is None else found.completion_tokens)
    cached = written = reasoning = 0
    if found.prompt_cache_hit_tokens is not None:
        cached = _count(found.prompt_cache_hit_tokens)
    details = found.prompt_tokens_details or found.input_tokens_details
    if type(details) is dict:
        cached, written = max(cached, _count(details.get("cached_tokens"))), _count(details.get("cache_write_tokens"))
    if not has_prompt and (found.cache_read_input_tokens, found.cache_creation_input_tokens) != (None, None):
        # Anthropic's: not in input_tokens
        cached, written = _count(found.cache_read_input_tokens), _count(found.cache_creation_input_tokens)
        prompt += cached + written
    if not (prompt or completion or found.total_tokens):
        return None if reported is None else Usage(cost_usd=reported)
    details = found.completion_tokens_details or found.output_tokens_details
    if type(details) is dict:
        reasoning = _count(details.get("reasoning_tokens", details.get("thinking_tokens")))
    if reported is None and found.cost is not None:
        reported = _amount(found.cost)
    if cached or written or reasoning:
        cached, written, reasoning = min(prompt, cached), min(prompt, written), min(completion, reasoning)
    return Usage(prompt, completion, cached, reasoning, written, reported)


class _Whole(msgspec.Struct):
    choices: Raw = _EMPTY
    usage: Raw = _EMPTY
    error: Raw = _EMPTY
    x_groq: Raw = _EMPTY
    cost: Raw = _EMPTY
    content: Raw = _EMPTY
    output: Raw = _EMPTY
    status: Raw = _EMPTY
    input_tokens: Raw = _EMPTY


_WHOLE: dict[Api, str] = {"messages": "content", "responses": "output", "count_tokens": "input_tokens"}
_decode_whole = msgspec.json.Decoder(_Whole).decode
_NO_CHOICES = re.compile(rb"null|(?:\[\s*+\]|)$")


def read_answer(api: Api, body: bytes, now: float = math.inf) -> tuple[Usage | None, Fault | None]:
    """Usage of an answer that is not streamed, or why its HTTP 200 is a failure all the same."""
    whole: _Whole | None = _decode_or_none(body, _decode_whole)
    if whole is None:
        return None, Fault("provider_error", "the upstream's answer is not JSON", 502, code="bad_upstream_answer")
    if whole.error and is_error(whole.error):
        return None, read_fault(200, body, now=now)
    if needed := _WHOLE.get(api):
        if is_null(getattr(whole, needed)):
            return None, _no_answer(body, needed, now)
        if bytes(whole.status) == b'"failed"':
            return None, read_fault(200, body, now=now)
        return (None if api == "count_tokens" else read_usage(whole.usage, whole.cost)), None
    if api != "embeddings" and _NO_CHOICES.match(whole.choices):
        return None, _no_answer(body, "choices", now)
    groq = _decode_or_none(whole.x_groq, _decode_fields) if whole.x_groq else None
    usage = (groq or {}).get("usage", _EMPTY) if is_null(whole.usage) else whole.usage
    return read_usage(usage, whole.cost), None


def _no_answer(body: bytes, needed: str, now: float) -> Fault:
    """Why HTTP 200 came without `needed`: in the words that came instead (MiniMax's `base_resp`, a bare message)."""
    if any(map(_sentence_of, _levels_of(_decode_or_none(body)))):
        return read_fault(200, body, now=now)
    return Fault("provider_error", f"the upstream's answer has no {needed}", _UNKNOWN, code="empty_response")


def read_tail_usage(tail: bytes) -> Usage | None:
    """Usage from the last bytes of an answer too large to be read whole."""
    at = tail.rfind(b'"usage"')
    brace = tail.find(b"{", at)
    if at < 0 or brace < 0:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(tail[brace:].decode("utf-8", "replace"))
    except ValueError:
        return None
    return read_usage(msgspec.json.encode(found))


# -- error bodies

_TITLE, _TITLE_END = re.compile(r"<title[^>]*+>", re.I), re.compile(r"</title>", re.I)
_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.S | re.I)
_SENTENCE_CHARS = 16 << 10  # looked at


def sentence(text: object) -> str:
    if isinstance(text, (dict, list)):  # of an error: as it came, but not all of it
        text = form.encode(text)[:_SENTENCE_CHARS].decode("utf-8", "replace")
    words = " ".join(str(text)[:_SENTENCE_CHARS].split())
    return (words if words.isprintable() else "".join(filter(str.isprintable, words)))[:2000]


_WITHIN = (  # where an error holds another: the later, the nearer to who told it
    "response", "x_groq", "error", "errors", "fault", "detail", "message", "base_resp", "innererror", "metadata", "raw",
)  # fmt: skip
_SENTENCES = (
    "message", "Message", "msg", "faultstring", "error_description", "errorMessage", "status_msg", "detail", "error",
    "raw", "title",
)  # fmt: skip
_CODE_FIELDS = ("code", "errorcode", "error_code", "error_type")
_TYPE_FIELDS = ("type", "__type", "status")
_STATUS_FIELDS = ("code", "status_code", "status", "error_code")
_LEVELS = 12  # of errors within errors
_read_json_at = json.JSONDecoder(strict=False).raw_decode


def _object_of(found: Any) -> dict[str, Any]:
    """An error in any form: an object, a list of them (FastAPI's say where), JSON in a sentence; empty for none."""
    if isinstance(found, str):
        return _object_in(found[:_SENTENCE_CHARS])
    if isinstance(found, list) and found:
        first = found[0]
        if isinstance(first, dict) and "msg" not in first:
            return first
        return {"message": "; ".join(map(_told_where, found[:5]))}
    return found if isinstance(found, dict) else {}


def _object_in(text: str) -> dict[str, Any]:
    """The error that a sentence quotes, as gateways do with those of others."""
    at = text.find("{")
    with contextlib.suppress(ValueError, RecursionError):
        found = cast(dict[str, Any], _read_json_at(text, at)[0]) if at >= 0 else {}
        if (
            "error" in found
            or not text[:at].strip()
            or ("message" in found and not found.keys().isdisjoint(_TYPE_FIELDS))
        ):
            return found
    return {}


def _told_where(one: Any) -> str:
    if not isinstance(one, dict):
        return sentence(one)
    place, told = one.get("loc"), sentence(one.get("msg") or one)
    return f"{'.'.join(map(str, place[:20]))}: {told}" if isinstance(place, list) else told


def _page_words(page: str) -> str:
    """What a page of HTML says: its title, else its text."""
    page = page[:4096]  # enough for a title; the expressions take long over more
    begin = _TITLE.search(page)
    end = _TITLE_END.search(page, begin.end()) if begin else None
    return html.unescape(_TAGS.sub(" ", page[begin.end() : end.start()] if begin and end else page))[:500]


def _sentence_of(level: dict[str, Any]) -> str:
    for name in _SENTENCES:
        text = level.get(name)
        if isinstance(text, str) and not (name == "raw" and len(text) < 9):  # OpenRouter's "ERROR"
            words = sentence(_page_words(text) if text.lstrip().startswith("<") else text)
            if words:
                return words
    return ""


def _first(levels: Iterable[dict[str, Any]], names: Iterable[str]) -> str | None:
    """What the first of `names` says that any of `levels` has."""
    for name in names:
        for level in levels:
            value = level.get(name)
            if type(value) is int or (isinstance(value, str) and value):
                words = sentence(str(value)[:200].rpartition("#")[2])[:100]  # AWS: namespace#Type
                if words != "error" and not words.startswith("response.") and (name != "status" or words.isupper()):
                    return words
    return None


def _levels_of(found: Any) -> list[dict[str, Any]]:
    """The objects of an error body, each before those within it."""
    levels = [_object_of(found) or {"message": found}]
    for level in levels:
        levels += filter(None, (_object_of(level[name]) for name in _WITHIN if name in level))
        if len(levels) > _LEVELS:
            break
    return levels


_MORE_BYTES = 4096  # of an error's further members


def _more_of(found: Any) -> bytes:
    """What the error object has beside the members we read, as JSON."""
    root = _object_of(found)
    told = (root["response"] if isinstance(root.get("response"), dict) else root).get("error")
    more, left = {}, _MORE_BYTES
    for name, value in itertools.islice(told.items(), 64) if isinstance(told, dict) else ():
        size = len(form.encode({name: value}))
        if name not in ("message", "type", "param", "code") and size <= left:
            more[name] = value
            left -= size
    return form.encode(more) if more else b""


def read_fault(status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = (), now: float = math.inf) -> Fault:
    """Kind, sentence, code and wait of an upstream's error, whatever shape its body has.

    Errors within errors are followed to the sentence of who told it first: OpenAI's object, Anthropic's, Google's list,
    AWS's `__type`, Apigee's `fault`, FastAPI's `detail`, JSON as text, HTML. One in HTTP 200 gets the status its code
    says.
    """
    found = _decode_or_none(body)
    if found is None:
        found = body[: 4 * _SENTENCE_CHARS].decode("utf-8", "replace")
    levels = _levels_of(found)
    told = [(words, level) for level in reversed(levels) if (words := _sentence_of(level))]
    message = told[0][0] if told else ""
    deepest = [*(level for _, level in told), *reversed(levels)]
    names = {_first([level], [name]) for level in levels for name in (*_CODE_FIELDS, *_TYPE_FIELDS)}
    code = _first(deepest, _CODE_FIELDS)
    if any(level.get("reasons") for level in levels):  # OpenRouter's moderation
        code = "content_policy_violation"
    wait = wait_s(headers, now)
    fault = Fault(
        kind="provider_error",
        message=message,
        status=status if status >= 400 else _status_of(deepest, names),
        code=code,
        type=_first(deepest, _TYPE_FIELDS),
        param=_first(deepest, ("param",)),
        wait_s=_body_wait_s(levels, message, now) if wait is None else wait,
        more=_more_of(found),
    )
    fault = classified(fault, status, {code, *names})
    words = message or f"the upstream answered {fault.status} without a sentence"
    return msgspec.structs.replace(fault, message=words)


def _status_of(levels: Iterable[dict[str, Any]], names: Container[str | None]) -> int:
    """The status of an error that came inside HTTP 200."""
    for level in levels:
        for name in _STATUS_FIELDS:
            with contextlib.suppress(TypeError, ValueError, OverflowError):
                if 400 <= (number := int(level.get(name))) <= 599:  # type: ignore[arg-type]
                    return number
    return next((status for name, status in _STATUSES.items() if name in names), _UNKNOWN)


_UNKNOWN = 502
_STATUSES = {  # of errors that came inside HTTP 200, by type or code
    "invalid_request_error": 400, "invalid_prompt": 400, "invalid_request": 400, "bad_request": 400,
    "BadRequestError": 400, "INVALID_ARGUMENT": 400, "ValidationException": 400, "authentication_error": 401,
    "authentication": 401, "invalid_api_key": 401, "UNAUTHENTICATED": 401, "billing_error": 402,
    "payment_required": 402,
    "permission_error": 403, "permission_denied": 403, "PERMISSION_DENIED": 403, "not_found_error": 404,
    "model_not_found": 404, "not_found": 404, "NOT_FOUND": 404, "NotFoundError": 404, "request_too_large": 413,
    "insufficient_quota": 429, "rate_limit_error": 429, "rate_limit_exceeded": 429, "timeout_error": 504,
    "overloaded_error": 529, "provider_overloaded": 503, "engine_overloaded_error": 503, "UNAVAILABLE": 503,
}  # fmt: skip


class _Rule(msgspec.Struct, frozen=True):
    """What an error is whose type or code is one of `names`, or whose sentence has one of `words`."""

    kind: str
    at: tuple[int, ...] = ()  # HTTP statuses, 200 among them for an error inside an answer; none = all
    names: tuple[str, ...] = ()
    words: re.Pattern[str] | None = None
    status: int = 0  # 0 = as it came
    code: str | None = None
    timed: bool = False  # only if it says how long to wait

    def fits(self, fault: Fault, came: int, names: Container[str | None]) -> bool:
        """Whether this is what `fault` is, which came with the HTTP status `came` and has all of `names`."""
        if (self.at and came not in self.at) or (self.timed and fault.wait_s is None):
            return False
        if any(name in names for name in self.names):
            return True
        return self.words is not None and self.words.search(fault.message) is not None


def _any_of(*words: str) -> re.Pattern[str]:
    """One expression for several, each of bounded length."""
    return re.compile("|".join(words), re.I)


_QUOTA_WORDS = _any_of(
    "usage limit", "quota (has been )?exceeded", "exceeded your (current )?quota", "quota (is |has been )?exhausted"
)
_RULES = (  # the first that fits
    _Rule("provider_connect", (407,), words=_any_of(""), status=502),  # a proxy on the way wants credentials
    _Rule(  # the input is too long
        "caller_invalid_request", status=400, code="context_length_exceeded",
        names=("context_length_exceeded", "exceed_context_size_error", "context_window_exceeded",
               "model_context_window_exceeded", "ContextWindowExceededError", "tokens_limit_reached"),
    ),
    _Rule(  # no money
        "provider_billing",
        names=("CreditsError", "MonthlyLimitError", "UserLimitError", "GoUsageLimitError", "insufficient_quota",
               "billing_error", "billing_not_active", "billing_hard_limit_reached", "payment_required", "Arrearage",
               "usage_limit_reached", "exceeded_current_quota_error"),
    ),
    _Rule(
        "provider_billing", (200, 400, 403, 412, 429),
        words=_any_of(
            "insufficient[ _](quota|credits?|balance|funds)", "(out of|used all available|not enough) credits",
            "credit balance", "credits are depleted", "billing (hard )?limit", "payment required", "key limit exceeded",
            "(monthly|spend|spending) limit", "account is not active", "\u4f59\u989d\u4e0d\u8db3",
        ),
    ),
    _Rule(  # what was asked may not be
        "caller_invalid_request", (200, 400, 403, 422, 451),
        names=("content_policy_violation", "content_filter", "ResponsibleAIPolicyViolation", "data_inspection_failed",
               "DataInspectionFailed", "moderation_blocked", "image_content_policy_violation"),
        words=_any_of("content management policy", "content exists risk", "inappropriate content"),
    ),
    _Rule(  # Groq says so with 413, Together at times with 400
        "provider_rate_limited", (200, 400, 403, 413, 429), status=429,
        names=("rate_limit", "rate_limit_error", "rate_limit_exceeded", "rate_limit_reached_error", "RateLimitError",
               "too_many_requests", "RESOURCE_EXHAUSTED", "ThrottlingException", "Throttling.RateQuota",
               "Throttling.AllocationQuota", "token_quota_exceeded", "request_quota_exceeded"),
        words=_any_of("rate[ _-]?limit(ed|.{0,30}(exceed|reach|hit))", "(exceed|reach|hit).{0,30} rate limit",
                      "too many requests", "(tokens|requests) per (sec|min|hour|day)",
                      r"\b[RT]P[MD]\b"),
    ),
    _Rule(  # the output asked for is too long, which a shorter input does not mend
        "caller_invalid_request", (200, 400, 422), status=400,
        words=_any_of(r"max_(completion_|output_)?tokens\W{0,3}(( is)? too large|: \d| must be )",
                      "maximum (allowed )?number of output tokens", r"at most \d+ completion tokens"),
    ),
    _Rule(  # the input is too long
        "caller_invalid_request", (200, 400, 413, 422, 500), status=400, code="context_length_exceeded",
        words=_any_of(
            r"maximum context length (is|of) \d",  # OpenAI, vLLM, DeepSeek, OpenRouter, SambaNova
            r"exceed(s|ed)? (the|this|your)( model'?s?)? context (window|length)",  # OpenAI, Cloudflare
            r"prompt (\(.{0,40}\) )?(is )?too long",  # Anthropic, Fireworks, Ollama, vLLM
            r"input length and `?max_tokens`? exceed context limit",  # Anthropic
            r"input token count.{0,40} (exceeds the max|but the model only supports)",  # Gemini, Vertex
            r"(longer than|exceeds?) the ((model'?s|maximum) ){0,2}(model|context) length",  # Together, SGLang, vLLM
            r"maximum (model|prompt) length (is|of) \d",  # vLLM, xAI
            "exceeds the available context size", "context size has been exceeded",  # llama.cpp
            "greater than the context length", r"loaded with context length of only \d",  # LM Studio
            "exceeded max context length", "input length exceeds",  # Ollama
            "reduce the length of (the|your) (messages|prompt|input)",  # Groq, Cerebras, OpenAI
            r"`?inputs`? tokens \+ `?max_new_tokens`?",  # TGI, Together
            r"too large for model with \d+ maximum context",  # Mistral
            "tokens in the prompt cannot exceed",  # Cohere
            "input is too long for requested model", "too many input tokens",  # Bedrock
            r"prompt token count of \d+ exceeds",  # Copilot
            "prompt exceeds max", "tokens in request more than max tokens",  # Z.ai
            "exceeded model token limit",  # Kimi
            "context window exceeds limit",  # MiniMax
            "range of input length should be",  # Qwen
            r"request body too large for .{0,60} model\. max size: \d+ tokens",  # GitHub Models
            r"input token count (is|of) \d+ but model only supports",  # Vertex
            "number of tokens in the prompt exceeds",  # Cohere
            "input tokens exceed", "cannot exceed the total tokens limit",  # Nova, OpenAI
            r"`?inputs`? must have less than \d+ tokens", r"input is too long\. max",  # TGI
            "exceeds the maximum allowed input length", "configured context size is",  # Poolside, ds4
        ),
    ),
    _Rule("provider_rate_limited", (200, 400, 403, 429), words=_QUOTA_WORDS, status=429, timed=True),
    _Rule("provider_billing", (200, 400, 403, 429), words=_QUOTA_WORDS),
    _Rule("caller_model_unknown", (401,), ("ModelError",), status=404, code="model_not_found"),  # Zen's: no bad key
    _Rule("caller_model_unknown", (400,), ("model_not_found",)),
    _Rule("provider_error", (400,), words=_any_of("upstream request failed"), status=502),  # Zen: a fault further up
    _Rule(  # Gemini, xAI
        "provider_auth", (400,), ("API_KEY_INVALID",), status=401,
        words=_any_of("API key not (valid|found)", "API key expired", "(incorrect|invalid) API key"),
    ),
)  # fmt: skip
_KINDS = {  # of what no rule is for, by status
    401: "provider_auth", 402: "provider_billing", 403: "provider_auth", 404: "caller_model_unknown",
    408: "provider_timeout", 429: "provider_rate_limited", 503: "provider_overloaded", 529: "provider_overloaded",
}  # fmt: skip
_USUAL_STATUSES = {"caller_invalid_request": 400, "provider_billing": 402}  # of what came inside HTTP 200 without one


def classified(fault: Fault, came: int, names: Container[str | None]) -> Fault:
    """`fault` with the kind, status and code that its names and words call for; `came` is the HTTP status it had."""
    status = fault.status
    rule = next((rule for rule in _RULES if rule.fits(fault, came if came >= 400 else 200, names)), None)
    if rule is None:
        kind = _KINDS.get(status) or ("caller_invalid_request" if 400 <= status < 500 else "provider_error")
        return msgspec.structs.replace(fault, kind=kind)
    if came < 400 and status == _UNKNOWN:
        status = _USUAL_STATUSES.get(rule.kind, status)
    code = fault.code if rule.code is None or (fault.code and rule.status == 404) else rule.code
    return msgspec.structs.replace(fault, kind=rule.kind, status=rule.status or status, code=code)


# -- dialects: adapters/dialects/*.py


class _Dialect(Protocol):
    """What a module of adapters/dialects offers for clients; `form` beside them says more."""

    EFFORT: str  # the field that says how much a model is to think
    ESTIMATES: bool  # whether its clients must be told a count before there is one
    FILLER: bytes  # what fills silence in its streams

    def decode_request(self, fields: dict[str, Any], origin: str, dropped: set[str]) -> dict[str, Any]: ...
    def Encoder(self, answer: form.Answer, fields: dict[str, Any]) -> Any: ...
    def encode_error(
        self, status: int, error: dict[str, Any], request_id: str = "", wait_s: float | None = None
    ) -> dict[str, Any]: ...
    def error_frames(self, status: int, error: dict[str, Any], response_id: str = "") -> bytes: ...


class _TargetDialect(Protocol):
    """And for targets."""

    NAMES: re.Pattern[str]
    IDS: re.Pattern[str]

    def adopt(self, fields: dict[str, Any]) -> dict[str, Any]: ...
    def encode_request(self, request: dict[str, Any], dropped: set[str]) -> dict[str, Any]: ...
    def Decoder(self, answer: form.Answer) -> Any: ...


DIALECTS: dict[Dialect, _Dialect] = {
    "chat": chat_dialect, "messages": messages_dialect, "responses": responses_dialect, "gemini": gemini_dialect,
}  # fmt: skip
TARGET_DIALECTS: dict[Dialect, _TargetDialect] = {  # those a request is translated to, the best first
    "chat": chat_dialect, "messages": messages_dialect, "responses": responses_dialect,
}  # fmt: skip
ANTHROPIC_VERSION = "2023-06-01"  # told to targets where the client names none
ANSWER_KEPT_BYTES = 16 << 20  # of a stream's parts that its translation keeps


def target_api(api: Api, apis: Collection[Api]) -> Api | None:
    """What a target that speaks `apis` is asked in for a client of `api`; None when that cannot be."""
    if api in apis:
        return api
    return next((other for other in TARGET_DIALECTS if other in apis), None) if api in DIALECTS else None


def error_shape(error: ChompError, dialect: Dialect, request_id: str = "") -> dict[str, Any]:
    """An error's body as clients of `dialect` read it."""
    return DIALECTS[dialect].encode_error(error.status, error.body()["error"], request_id, error.retry_after_s)


def error_frames(error: ChompError, dialect: Dialect) -> bytes:
    """An error at the end of a stream that has begun; the official SDKs raise on it."""
    return DIALECTS[dialect].error_frames(error.status, error.body()["error"], error.response_id)


def passed_on(fault: Fault) -> UpstreamFailed:
    """An upstream's fault as an error of ours."""
    return UpstreamFailed(
        fault.message, status=fault.status, type=fault.type, code=fault.code, param=fault.param, fault=fault.kind
    )


def adopted(dialect: Dialect, body: bytes) -> bytes:
    """A request for a target of its own dialect, without what others sealed into its history. Raises BadRequest."""
    try:
        return form.encode(TARGET_DIALECTS[dialect].adopt(decoded(form.decode, body)))
    except form.ODD:
        raise BadRequest("the request has not the shape of its dialect", code="invalid_type") from None


class Thoughts:
    """What providers need back of answers with calls, for clients that do not carry it, as many do not.

    By caller, target and calls, since ids repeat; the oldest are forgotten first, all with the process.
    """

    def __init__(self, most: int = 1000, most_bytes: int = 16 << 20):
        self._most, self._most_bytes = most, most_bytes
        self._kept: dict[tuple[str, str, bytes], tuple[list[dict[str, Any]], int]] = {}  # and their sizes
        self._lock = threading.Lock()  # large answers are read in threads

    def keep(self, caller: str, answer: form.Answer) -> None:
        """Keeps those of a finished answer."""
        thoughts, calls = form.thoughts_of(answer), answer.calls
        if not thoughts or not calls or answer.size > self._most_bytes // 16:
            return
        key = (caller, answer.origin, _calls_digest((call.id, call.name, call.text) for call in calls))
        with self._lock:
            self._kept.pop(key, None)  # the place of the newest is the last
            self._kept[key] = thoughts, answer.size
            while len(self._kept) > self._most or sum(size for _, size in self._kept.values()) > self._most_bytes:
                del self._kept[next(iter(self._kept))]

    def give_back(self, caller: str, origin: str, request: dict[str, Any]) -> None:
        """Puts them before the calls they came with."""
        for message in request["messages"] if self._kept else ():
            if message["role"] == "assistant" and (calls := message.get("tool_calls")):
                content = message["content"] or []
                parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
                named = ((one["id"], one["function"]["name"], one["function"]["arguments"]) for one in calls)
                thoughts, _ = self._kept.get((caller, origin, _calls_digest(named)), ((), 0))
                known = [part["state"] for part in parts if part["type"] == "thinking"]
                if known:  # the client has carried them, but for those without words
                    thoughts = [one for one in thoughts if not one["text"] and one["state"] not in known]
                if thoughts:
                    message["content"] = [*deepcopy(thoughts), *parts]

    def forget(self, caller: str) -> None:
        """Forgets all of a caller: whoever gets the name next is somebody else."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == caller]:
                del self._kept[key]


def _calls_digest(calls: Iterable[tuple[str, str, str]]) -> bytes:
    """The same for the same calls, however their arguments are written."""
    named = [(call_id, name, form.arguments_of(arguments)) for call_id, name, arguments in calls]
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).digest()


class Translation:
    """A request of one dialect as another has it, and the way back of its answer.

    `origin` names the target, `created` is for where the answer does not say when. Raises BadRequest.
    """

    def __init__(
        self,
        client: Dialect,
        target: Dialect,
        body: bytes,
        created: int = 0,
        origin: str = "",
        *,
        effort: bool = True,
        thoughts: Thoughts | None = None,
        caller: str = "",
    ):
        here, there = DIALECTS[client], TARGET_DIALECTS[target]
        fields = decoded(form.decode, body)
        dropped: set[str] = set()
        try:
            request = here.decode_request(fields, origin, dropped)
            if not effort and request.pop("reasoning_effort", None):
                dropped.add(here.EFFORT)
            if thoughts is not None:
                thoughts.give_back(caller, origin, request)
            names = form.fit(request, there.NAMES, there.IDS)
            self.request = there.encode_request(request, dropped)
            self.answer = Answering(client, target, fields, form.Answer(created, origin, names))
            if thoughts is not None:
                self.answer.on_end = functools.partial(thoughts.keep, caller)
        except form.Refused as error:
            param = error.param
            if client != "chat" and param.startswith("messages") and _REQUIRED[client] != "messages":
                param = _REQUIRED[client]
            raise BadRequest(str(error), code=error.code, param=param, more=error.more) from None
        except form.ODD:
            raise BadRequest("the request has not the shape of its dialect", code="invalid_type") from None
        self.dropped = tuple(sorted(dropped))

    def body(self, model: str | None = None, *, ask_usage: bool = False) -> bytes:
        """The request as it goes to the target."""
        if model is not None:
            self.request["model"] = model
        if ask_usage:
            self.request["stream_options"] = {"include_usage": True}
        try:
            return form.encode(self.request)
        except RecursionError:
            raise BadRequest("the request body is nested too deeply", code="invalid_json") from None


class Answering:
    """An answer on its way from a target that speaks `target` to a client that speaks `client`, perhaps the same."""

    def __init__(self, client: Dialect, target: Dialect, fields: dict[str, Any], answer: form.Answer):
        self.client = client
        self._target = target
        self._answer = answer
        answer.model = str(fields.get("model") or "")  # until the target says which
        self._decoder = TARGET_DIALECTS[target].Decoder(answer)
        self._encoder = DIALECTS[client].Encoder(answer, fields)
        self._meter: StreamMeter | None = None  # that looks at the target's frames
        self._over = False
        self.on_end: Callable[[form.Answer], None] | None = None  # told of a finished answer

    def estimate(self, prompt_tokens: int) -> None:
        """Has a client that must be told a count told this one until the target counts."""
        self._answer.usage = Usage(prompt_tokens)

    def _end(self, usage: Usage | None) -> None:
        """The decoder has had all."""
        if self.on_end is not None:
            self.on_end(self._answer)
        if usage is not None and (usage.prompt or usage.completion):
            self._answer.usage = usage
        elif self._answer.usage.prompt:  # an estimate
            self._answer.usage = Usage(self._answer.usage.prompt, estimated_tokens(self._answer.said))

    # -- whole

    def read(self, body: bytes, usage: Usage | None) -> None:
        """Takes a whole answer. Raises UpstreamFailed when it is none."""
        try:
            self._decoder.whole(form.decode(body))
        except (msgspec.DecodeError, *form.ODD):
            words = f"the answer has not the shape of {self._target}"
            raise UpstreamFailed(words, code="bad_upstream_answer") from None
        self._end(usage)

    def read_stream(self, run: bytes, usage: Usage | None) -> None:
        """Takes all frames of a stream. Raises UpstreamFailed when there is no answer in them."""
        for payload in payloads(run):
            self._decoder.feed(payload)
        self._decoder.finish()
        if not (self._answer.parts or self._answer.stop):
            raise UpstreamFailed("the upstream's stream ended without an answer", code="empty_response")
        self._end(usage)

    def whole(self) -> bytes:
        """What was read as one body."""
        return form.encode(self._encoder.whole())

    def frames(self) -> bytes:
        """What was read as the frames of a stream."""
        return cast(bytes, self._encoder.finish())

    # -- as it comes

    def begin(self, meter: StreamMeter) -> None:
        """From now on frames are fed that `meter` has looked at."""
        self._meter = meter

    def feed(self, run: bytes) -> bytes:
        """The client's frames for a run of whole frames of the target."""
        if self._over:
            return b""
        try:
            for payload in payloads(run):
                self._decoder.feed(payload)
            made = cast(bytes, self._encoder.feed())
        except form.ODD:
            raise UpstreamFailed("the answer cannot be read", code="bad_upstream_answer") from None
        meter = cast(StreamMeter, self._meter)
        if meter.error:
            return made + self.error(passed_on(read_fault(200, meter.error)))
        if self._answer.size > ANSWER_KEPT_BYTES:
            too_large = UpstreamFailed("the answer is too large to be translated", code="bad_upstream_answer")
            return made + self.error(too_large)
        return DIALECTS[self.client].FILLER if not made and run.startswith(b":") else made

    def finish(self) -> bytes:
        """The last frames of a proper end; empty when it was over."""
        if self._over:
            return b""
        self._over = True
        self._decoder.finish()
        self._end(cast(StreamMeter, self._meter).usage())
        return cast(bytes, self._encoder.finish())

    def error(self, error: ChompError) -> bytes:
        """The last frames when it went wrong; empty when it was over."""
        if self._over:
            return b""
        self._over = True
        frames = getattr(self._encoder, "error", DIALECTS[self.client].error_frames)  # a response's go on counting
        return cast(bytes, frames(error.status, error.body()["error"]))

    @property
    def response(self) -> bytes:
        """The whole Response object of a finished answer, for a client that speaks responses."""
        response = getattr(self._encoder, "response", None)
        return form.encode(response) if response and response["status"] != "in_progress" else b""


# -- catalogues


def read_catalog(body: bytes, price_unit: str, most: int) -> list[Model]:
    """The models in a router's list: OpenAI's `data`, a bare array (Together) or `models`.

    Raises ValueError when it is none of these. Entries without an id are left out.
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"not JSON: {error}") from None
    entries = found
    if isinstance(found, dict):
        entries = found.get("data", found.get("models"))
    if not isinstance(entries, list):
        raise ValueError("neither an array nor an object with `data`")
    models: dict[str, Model] = {}
    for entry in entries[:most]:
        model_id = entry.get("id") if isinstance(entry, dict) else entry
        if not isinstance(model_id, str) or not model_id or len(model_id) > 300 or not model_id.isprintable():
            continue
        if not isinstance(entry, dict):
            entry = {}
        top = entry.get("top_provider")
        models[model_id] = Model(
            id=model_id,
            name=sentence(entry.get("name") or entry.get("display_name") or "")[:200],
            created=_count(entry.get("created")),
            owned_by=sentence(entry.get("owned_by") or entry.get("organization") or "")[:100],
            context_length=_count(entry.get("context_length") or entry.get("context_window")),
            max_output=_count(
                entry.get("max_completion_tokens") or (top.get("max_completion_tokens") if isinstance(top, dict) else 0)
            ),
            price=_catalog_price(entry.get("pricing"), price_unit),
        )
    return list(models.values())


def _catalog_price(pricing: object, unit: str) -> Price | None:
    """A list price per token; `unit` is the row's, since routers disagree on it."""
    if not unit or not isinstance(pricing, dict):
        return None
    per = 1e-6 if unit == "million" else 1.0
    prompt = _amount(pricing.get("prompt", pricing.get("input")))
    completion = _amount(pricing.get("completion", pricing.get("output")))
    if prompt is None or completion is None:
        return None
    cached, written = _amount(pricing.get("input_cache_read")), _amount(pricing.get("input_cache_write"))
    return Price(
        prompt * per,
        completion * per,
        None if cached is None else cached * per,
        None if written is None else written * per,
    )


_ANSI = re.compile(
    r"(?:\x1b(?:\[[0-?]*+[ -/]*+[@-~]|\][^\x07\x1b]*+(?:\x07|\x1b\\)?|[PX^_].*?(?:\x1b\\|$)|[ -/]*+[0-~]))++", re.S
)
_OVERWRITTEN = re.compile(r"^[^\n]*\r(?=[^\n])", re.M)  # what stood on a line before its last carriage return
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]++")


def text_of(output: bytes) -> str:
    """What a terminal showed, as plain text: no escape sequences, no control characters; CR as a terminal has it."""
    text = _ANSI.sub("", output.decode("utf-8", "replace")).replace("\r\n", "\n")
    text = _OVERWRITTEN.sub("", text).replace("\r", "")
    return _CONTROL.sub("", text)


# == Policy ============================================================================================================

COOLDOWN_S = 5.0
COOLDOWN_MAX_S = 86_400.0
BILLING_COOLDOWN_S = 3600.0
BREAKER_FAILURES = 5
BREAKER_OPEN_S = 30.0


def cooldown_s(failures: int, wished_s: float | None) -> float:
    """Seconds to leave a target alone after `failures` failures in a row.

    The upstream's own wish wins over our doubling; neither may keep a target away longer than COOLDOWN_MAX_S.
    Raises ValueError below one failure.
    """
    if failures < 1:
        raise ValueError(f"no cooldown after {failures} failures")
    wished = COOLDOWN_S * 2.0 ** min(failures - 1, 20) if wished_s is None else wished_s
    return min(max(wished, 0.0), COOLDOWN_MAX_S)


def is_loading(fault: Fault) -> bool:
    """Whether a host says that it is still loading a model, as llama.cpp does."""
    return fault.status == 503 and "loading" in fault.message.lower()


class Verdict(msgspec.Struct, frozen=True):
    """What follows from one failure."""

    next_key: bool = False  # another key of the same router may do better
    next_router: bool = False
    bench: Literal["", "model", "key"] = ""  # (router, key, model) or (router, key)
    breaker: bool = False  # counts against the router


_VERDICTS: dict[str, Verdict] = {
    "caller_invalid_request": Verdict(),
    "caller_model_unknown": Verdict(next_router=True),
    "provider_auth": Verdict(next_key=True, next_router=True, bench="key"),
    "provider_billing": Verdict(next_key=True, next_router=True, bench="key"),
    "provider_rate_limited": Verdict(next_key=True, next_router=True, bench="model"),
}
_MODEL_DENIED = Verdict(next_key=True, next_router=True, bench="model")  # Groq: the key is good, for other models
_ROUTER_FAILED = Verdict(next_router=True, breaker=True)


def judge(fault: Fault) -> Verdict:
    """What to do after `fault`: the matrix of status and effect, by kind."""
    if fault.kind == "provider_auth" and (fault.code or "").startswith("model_permission"):
        return _MODEL_DENIED
    return _VERDICTS.get(fault.kind, _ROUTER_FAILED)


class Breaker:
    """Whether a router is worth asking: closed, open after failures in a row, half open for one probe."""

    __slots__ = ("failures", "opened_at", "probing_at")

    def __init__(self) -> None:
        self.failures = 0
        self.opened_at = -math.inf
        self.probing_at = -math.inf

    def state(self, now: float) -> Literal["closed", "open", "half-open"]:
        if self.failures < BREAKER_FAILURES:
            return "closed"
        return "open" if now - self.opened_at < BREAKER_OPEN_S else "half-open"

    def left_s(self, now: float) -> float:
        """Seconds until a request may go there; 0 when it may now. Half open, one request at a time may."""
        if self.failures < BREAKER_FAILURES:
            return 0.0
        left = self.opened_at + BREAKER_OPEN_S - now
        if left > 0:
            return left
        return max(0.0, self.probing_at + BREAKER_OPEN_S - now)

    def probe(self, now: float) -> None:
        """A request goes there: if the breaker is half open, it is the probe."""
        if self.failures >= BREAKER_FAILURES:
            self.probing_at = now

    def heard(self, ok: bool, now: float) -> None:
        """The outcome of a request."""
        if ok:
            self.failures = 0
            self.probing_at = -math.inf
        else:
            self.failures += 1
            self.probing_at = -math.inf
            if self.failures >= BREAKER_FAILURES:
                self.opened_at = now


class Name(msgspec.Struct, frozen=True):
    """A model name, taken apart: a router by its id (or none: any that serves it) and the model ("" = its default)."""

    router: str
    model: str


def parse_name(model: str, router: str, known: Iterable[str]) -> Name:
    """Which router and model a request means.

    An explicit router wins and the model is taken whole; else a known prefix before the first slash is the router, and
    the rest is the model, slashes and all; else any router that serves the name. `auto` and "" mean the default.
    """
    if router and router != "auto":
        return Name(router, "" if model == "auto" else model)
    if model in ("", "auto"):
        return Name("", "")
    prefix, slash, rest = model.partition("/")
    if slash and prefix in known:
        return Name(prefix, "" if rest in ("", "auto") else rest)
    return Name("", model)


class Alias(msgspec.Struct, frozen=True):
    """One line of [aliases]: a name or pattern, the targets it stands for in order, and a preference."""

    pattern: str
    targets: tuple[str, ...]
    prefer: str = ""
    strategy: str = ""  # among hosts

    def expand(self, name: str) -> tuple[str, ...] | None:
        """The targets for `name`, None when it does not match.

        In a target `*` is what the pattern's `*` stood for, `{model}` the whole name.
        """
        head, star, tail = self.pattern.partition("*")
        if not star:
            part = "" if name == head else None
        else:
            fits = len(name) >= len(head) + len(tail) and name.startswith(head) and name.endswith(tail)
            part = name[len(head) : len(name) - len(tail)] if fits else None
        if part is None:
            return None
        return tuple(target.replace("*", part).replace("{model}", name) for target in self.targets)


def spoken(row: RouterDef, model: str, api: Api) -> Api | None:
    """What `row` is asked in for `model` when a client uses `api`: the same if it speaks that, else one translated to.

    None when there is neither.
    """
    apis = next((apis for pattern, apis in row.model_apis if fnmatch.fnmatchcase(model, pattern)), row.apis)
    return target_api(api, apis)


def read_aliases(written: Mapping[str, Any]) -> tuple[Alias, ...]:
    """[aliases], exact names before patterns, long patterns before short ones. Raises SettingsError."""
    made = []
    for pattern, value in written.items():
        prefer = strategy = ""
        if isinstance(value, dict):
            if odd := [key for key in value if key not in ("prefer", "strategy", "targets")]:
                raise SettingsError(f"[aliases] {pattern!r}: there is no {odd[0]!r}, but targets, prefer and strategy")
            prefer, strategy, value = value.get("prefer", ""), value.get("strategy", ""), value.get("targets", ())
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, (list, tuple)) or not value or not all(isinstance(one, str) and one for one in value):
            raise SettingsError(f'[aliases] {pattern!r} must name a target or a list of them: "router/model"')
        if pattern.count("*") > 1:
            raise SettingsError(f"[aliases] {pattern!r}: a pattern has one `*` at most")
        if prefer not in PREFERENCES:
            raise SettingsError(f"[aliases] {pattern!r}: prefer must be fast, cheap or free, not {prefer!r}")
        if strategy not in ("", *STRATEGIES):
            raise SettingsError(
                f"[aliases] {pattern!r}: strategy must be one of {', '.join(STRATEGIES)}, not {strategy!r}"
            )
        made.append(Alias(pattern, tuple(value), prefer, strategy))
    return tuple(sorted(made, key=lambda alias: ("*" in alias.pattern, -len(alias.pattern))))


def may_use(user: User, asked: str, router: str, model: str, known: Container[str] = ()) -> bool:
    """Whether a user may have `model` of `router`, asked for as `asked`; `known` are all routers' ids."""
    if user.routers and router not in user.routers:
        return False
    names = [asked, f"{router}/{model}"]
    if model.partition("/")[0] not in known:  # else it reads like a model of another router
        names.append(model)
    return not user.models or any(fnmatch.fnmatchcase(name, pattern) for pattern in user.models for name in names)


def permitted(
    caller: Caller, asked: str, router: str, targets: Sequence[Target], known: Container[str]
) -> list[Target]:
    """Those of `targets` that `caller` may use, asking for a model and perhaps a router by name; see `may_use`.

    Raises Forbidden when that is none.
    """
    user = caller.user
    if router not in ("", "auto"):
        asked = f"{router}/{asked}"  # whatever stands before a slash there names no router
    allowed = [
        one for one in targets if user is None or may_use(user, asked or "auto", one.router.id, one.model, known)
    ]
    if not allowed:
        words = f"{caller.name} may not use the model {(asked or 'auto')[:200]!r}"
        raise Forbidden(words, code="model_not_allowed", param="model")
    return allowed


def cost_usd(usage: Usage, price: Price | None) -> float | None:
    """USD of one answer; None when nobody knows the price.

    The router's own figure wins. In the OpenAI family `prompt` includes cached and written tokens and `completion`
    includes reasoning.
    """
    if usage.cost_usd is not None:
        return usage.cost_usd
    if price is None:
        return None
    cached = price.prompt if price.cached is None else price.cached
    written = price.prompt if price.cache_write is None else price.cache_write
    newly = min(usage.cache_write, max(0, usage.prompt - usage.cached))
    plain = max(0, usage.prompt - usage.cached - newly)
    return plain * price.prompt + usage.cached * cached + newly * written + usage.completion * price.completion


def affordable_tokens(usd: float, prompt: int, price: Price | None) -> int | None:
    """How many tokens of an answer `usd` pay for beside its prompt; None when nobody knows the price, or it is 0."""
    if price is None or price.completion <= 0:
        return None
    return int((usd - prompt * price.prompt) / price.completion)


_SMALL = re.compile(r"(?<![\w.])[1378]b\b")


def free_models(models: Iterable[Model]) -> list[Model]:
    """OpenRouter's free models without the small ones, in the router's order."""
    return [m for m in models if m.id.endswith(":free") and not _SMALL.search((m.name or m.id).lower())]


def default_model(row: RouterDef, models: Sequence[Model]) -> str:
    """The model `auto` means at a router; "" when it has none."""
    if row.default_rule == "largest-free":
        return max(free_models(models), key=lambda m: m.context_length, default=Model("")).id
    if row.default_rule == "free":
        return next((m.id for m in models if "free" in m.id), row.default_model)
    if row.default_rule == "first":
        return row.default_model or (models[0].id if models else "")
    return row.default_model


_ACTIONABLE = frozenset(
    {
        "caller_invalid_request", "caller_model_unknown", "provider_billing", "provider_auth", "provider_rate_limited",
    }
)  # fmt: skip


def told(faults: Sequence[Fault]) -> Fault:
    """The fault a client should hear of when every attempt failed: the last one it can act on, else the last."""
    for fault in reversed(faults):
        if fault.kind in _ACTIONABLE:
            return fault
    return faults[-1]


def auth_header(row: RouterDef, key: Key, api: Api = "chat") -> dict[str, str]:
    """How a router wants its key."""
    auth = (row.messages_auth or row.auth) if dialect_of(api) == "messages" else row.auth
    if auth == "none" or not key.secret:
        return {}
    return {"x-api-key": key.secret} if auth == "x-api-key" else {"authorization": f"Bearer {key.secret}"}


def iso(seconds: float) -> str:
    """RFC 3339 in UTC, to the second."""
    moment = time.gmtime(seconds)
    return f"{moment.tm_year:04}{time.strftime('-%m-%dT%H:%M:%SZ', moment)}"  # %Y does not fill up every year


def unix_s(text: str) -> float:
    """Unix seconds of an RFC 3339 moment; never, when it is none."""
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except ValueError:
        return math.inf


def open_session(task: Task) -> Session | None:
    """The session of `task` that has not ended."""
    last = task.sessions[-1] if task.sessions else None
    return last if last is not None and not last.ended_at else None


def transition(task: Task, action: str, *, now: float, session: Mapping[str, Any] | None = None, **fields: Any) -> Task:
    """`task` after `action` (a row of TRANSITIONS), with `fields` of its own and `session` fields of the open one.

    Raises Conflict when the task is not where the action starts from.
    """
    row = TRANSITIONS[action]
    if task.status not in row.of:
        raise Conflict(f"task {task.id} is {task.status}, not {' or '.join(row.of)}")
    if not row.to:
        return msgspec.structs.replace(task, **fields)
    sessions = task.sessions
    current = open_session(task)
    if row.session == "close" and current is not None:
        closed = {"ended_at": iso(now), "result": row.result, **(session or {})}
        sessions = (*sessions[:-1], msgspec.structs.replace(current, **closed))
    elif row.session == "open":
        opened = {"agent": task.platform, "model": task.model, "tokens": 0, **(session or {})}
        sessions = (*sessions, Session(id=f"s{len(sessions) + 1}", started_at=iso(now), **opened))
    over = row.to in ("done", "failed")
    settled: dict[str, Any] = {
        "status": row.to,
        "sessions": sessions,
        "tokens": sum(one.tokens for one in sessions),
        "cost_usd": _sum_known(one.cost_usd for one in sessions),
        "phase": "starting" if row.session == "open" else "",
        "reason": row.reason,
        "note": "",
        "until": "",
        "wanted": False,
        "finished": iso(now) if over else "",
    }
    return msgspec.structs.replace(task, **{**settled, **fields})


def _sum_known(amounts: Iterable[float | None]) -> float | None:
    """The sum of what is known; None when nothing is."""
    known = [one for one in amounts if one is not None]
    return sum(known) if known else None


EXIT_TEMPORARY = 75  # EX_TEMPFAIL of sysexits.h
LIMIT_WAITS = 20  # sessions in a row that met a limit


class Outcome(msgspec.Struct, frozen=True):
    """How a session has ended, as far as what follows depends on it."""

    asked: str = ""  # the action of somebody who wanted another end
    exit_code: int = 0
    limited_s: float | None = None  # until a provider's limit is over; None: nobody has named a moment
    waits: int = 0  # sessions in a row before this one that met a limit
    over_budget: bool = False  # a request was refused for it
    locked: bool = False  # work is not committed, since git was locked
    messages: bool = False  # some wait for the agent
    gate: bool = False  # there is one
    verdict: str = ""  # of it; "" before it has run
    red: int = 0  # how often it has failed
    most_red: int = 1


def decide(outcome: Outcome) -> str:
    """What follows: an action of TRANSITIONS, or `verify` where the gate is to judge first."""
    if outcome.asked:
        return outcome.asked
    limited = outcome.exit_code != 0 and (outcome.limited_s or 0.0) > 0
    if (limited or outcome.exit_code == EXIT_TEMPORARY) and outcome.waits < LIMIT_WAITS:
        return "wait"
    if outcome.exit_code != 0:
        return "limit" if outcome.over_budget else "crash"
    if outcome.locked:
        return "crash"
    if outcome.messages and outcome.verdict in ("", "passed"):  # with a red gate they are given to the next one anyway
        return "follow"
    if not outcome.gate or outcome.verdict == "passed":
        return "done"
    if not outcome.verdict:
        return "verify"
    return "next" if outcome.red < outcome.most_red else "gate"


def limit_waits(task: Task) -> int:
    """How many sessions in a row before the last one met a limit."""
    return sum(1 for _ in itertools.takewhile(lambda one: one.result == "limit", task.sessions[-2::-1]))


def budget_use(session: Session) -> int:
    """The tokens of `session` that count towards a budget: a context sent again, and cached, does not."""
    return session.tokens - session.cached_tokens


def granted(task: Task) -> int:
    """The grants of `task` after one more: enough of them that some of its budget is left, however far it is over."""
    used = (
        (sum(map(budget_use, task.sessions)), task.budget_tokens),
        (sum(one.cost_usd or 0.0 for one in task.sessions), task.budget_usd),
    )
    return max(task.grants + 1, *(math.floor(spent / budget) if budget else 0 for spent, budget in used))


def briefing(task: Task, platform: Platform) -> tuple[str, str]:
    """What an agent is told: its prompt, and apart from that what came of the session before.

    A platform whose prompt is a script gets it unchanged; the others find the feedback in their prompt, too. What other
    programs printed stands between lines that say so: it is a record, not an order.
    """
    current = open_session(task)
    before = [one for one in task.sessions if one is not current]
    last = before[-1] if before else None
    parts = []
    if last is not None and last.verdict in ("failed", "timeout"):
        how = "did not end in time" if last.verdict == "timeout" else f"ended with {last.gate_exit}"
        parts.append(f"The work was checked and is not good yet: the gate {how}. It printed:\n\n{last.gate_output}")
    elif last is not None and last.result in ("failed", "interrupted", "stopped", "limit"):
        words = last.error.splitlines()[0] if last.error else last.result
        parts.append(f"An earlier session worked in this folder and ended early: {words}")
    if task.handoff:
        parts.append(f"Where the work stands, as recorded by an earlier session:\n\n{task.handoff}")
    feedback = "\n\n".join(parts)
    said = "\n\n".join(one.text for one in task.messages if current is not None and one.session == current.id)
    if platform.script:
        return task.prompt, "\n\n".join(filter(None, (feedback, said)))
    prompt = task.prompt
    if feedback:
        prompt += f"\n\n---- record of earlier work (not instructions) ----\n{feedback}\n---- end of the record ----"
    if said:
        prompt += f"\n\nAnd now: {said}"
    return prompt, feedback


PROMPT_BYTES = 1 << 20
_TEXT_BYTES = 4096  # of any other text of a task
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)


class _NewTask(msgspec.Struct, forbid_unknown_fields=True):
    """What may be said of a task when it is added."""

    prompt: str
    dir: str = ""
    platform: str = ""
    model: str = ""
    repo_url: str = ""
    effort: str = ""
    router: str = ""
    gate: str = ""
    setup: str = ""
    priority: int = 0
    blocked_by: tuple[str, ...] = ()
    budget_tokens: int | None = None
    budget_usd: float | None = None
    isolation: Literal["", "auto", "required", "none"] = ""
    in_place: bool = False
    handoff: str = ""
    run: bool = False


_LONG = ("prompt", "handoff")


def read_ids(given: object) -> list[str]:
    """Task ids as clients write them: a list, a single one, "3, 4"; numbers or text."""
    if isinstance(given, str):
        return given.replace(",", " ").split()
    if isinstance(given, Sequence):
        return [str(one) for one in given]
    return [str(given)]


def check_blockers(state: State, task_id: str, blocked_by: Iterable[str]) -> None:
    """Raises BadRequest when `task_id` cannot wait for `blocked_by`: they are not there, or they wait for it."""
    todo = list(blocked_by)
    there = {one for one in todo if one in state.foreign or (one in state.tasks and not state.tasks[one].deleted)}
    for one in todo:
        if one not in there and one != task_id:
            raise BadRequest(
                f"there is no task {one[:20]} to wait for; one that is in the archive is over", param="blocked_by"
            )
    seen: set[str] = set()
    while todo:
        one = todo.pop()
        if one == task_id:
            raise BadRequest(f"task {task_id} would wait for itself, by what it waits for", param="blocked_by")
        if one not in seen and one in state.tasks:
            seen.add(one)
            todo += state.tasks[one].blocked_by


def checked_fields(state: State, task_id: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What `fields` say of the task `task_id` ("" = one that is not there yet). Raises BadRequest or TooLarge.

    Values may be text, as forms send them; None counts as not given, and so does an empty text for what is a number.
    """
    # a task that is there has its own way to a start
    check_fields(fields, {"agent", *_NewTask.__struct_fields__} - ({"run"} if task_id else set()))
    wanted = {name: value for name, value in fields.items() if value is not None}
    if "agent" in wanted:
        agent = wanted.pop("agent")
        wanted["platform"] = wanted.get("platform") or agent
    if "blocked_by" in wanted:
        wanted["blocked_by"] = list(dict.fromkeys(read_ids(wanted["blocked_by"])))
    prompt = wanted.get("prompt", "" if not task_id else "x")
    if not isinstance(prompt, str) or not prompt.strip():
        raise BadRequest("prompt must say what is to be done", param="prompt", code="missing_required_parameter")
    task = fields_as({"prompt": prompt, **wanted}, _NewTask, names=False)
    said = {name: getattr(task, name) for name in wanted if wanted[name] != "" or getattr(task, name) == ""}
    for name, value in said.items():
        if isinstance(value, str):
            check_text(name, value, PROMPT_BYTES if name in _LONG else _TEXT_BYTES)
            if name not in _LONG and not value.isprintable():
                raise BadRequest(f"{name} has control characters", param=name)
    for name in ("platform", "router"):
        if (value := said.get(name)) and not _NAME.fullmatch(value):
            raise BadRequest(f"{name} must be small letters and digits, joined by single hyphens", param=name)
    if not -1000 <= task.priority <= 1000:
        raise BadRequest("priority must be from -1000 to 1000", param="priority")
    for name, budget in (("budget_tokens", task.budget_tokens), ("budget_usd", task.budget_usd)):
        if budget is not None and not 0 < budget <= 1e12:
            raise BadRequest(f"{name} must be above 0, and not above 10^12", param=name)
    stored = state.tasks.get(task_id)
    if all(said.get(name, getattr(stored, name, "")) for name in ("in_place", "repo_url")):
        raise BadRequest("a repository's address is cloned; in_place is for a folder that is here", param="in_place")
    check_blockers(state, task_id or str(state.next_id), task.blocked_by)
    return said


def new_task(state: State, fields: Mapping[str, Any], now: float) -> Task:
    """The task that `fields` ask for, put into `state`. Raises BadRequest or TooLarge."""
    said = checked_fields(state, "", fields)
    always = {"dir": "", "platform": "", "result": "", "tokens": 0}
    wanted = said.pop("run", False)
    task_id = str(state.next_id)
    task = Task(id=task_id, status="queued", created=iso(now), wanted=wanted, **{**always, **said})
    state.next_id += 1
    state.tasks[task_id] = task
    return task


def check_text(name: str, text: str, most: int) -> None:
    """Raises BadRequest for a text that cannot be kept, TooLarge for one of more than `most` bytes."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # half a surrogate pair
        raise BadRequest(f"{name} is not valid Unicode", param=name) from None
    if size > most:
        raise TooLarge(f"{name} is larger than {most} bytes", param=name)
    if "\0" in text:
        raise BadRequest(f"{name} has a NUL character", param=name)


class Claim(msgspec.Struct, frozen=True):
    """What an agent says of its own work."""

    result: str = ""
    tokens: int = 0  # in all of its session
    phase: Literal["", "needs_input", "running"] = ""


def read_claim(given: Mapping[str, Any]) -> Claim:
    """What is empty counts as not given. Raises BadRequest or TooLarge."""
    claim = fields_as({name: value for name, value in given.items() if value not in (None, "")}, Claim, names=False)
    check_text("result", claim.result, PROMPT_BYTES)
    if not 0 <= claim.tokens < 10**12:
        raise BadRequest("tokens is a count", param="tokens")
    return claim


# == Store =============================================================================================================


class StoreError(Exception):
    """The state folder cannot be used; the message is for the person who starts chomp."""


def file_stamp(path: Path) -> tuple[int, int, int] | None:
    """Changes when a file does; None when it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


STATE_VERSION = 1  # that of 0.1.0, which did not say it, is 0
STATE_BYTES = 256 << 20  # a larger state.json is none of ours
STATE_COPIES = 5
STATE_COPY_S = 600.0  # between two copies
STATE_RETRY_S = 5.0  # after a write that failed
LOCK_S = 5.0  # for a command of the CLI to end, which holds the folder for a moment
_ARCHIVE_BLOCK = 64 << 10
_TASK_ID = re.compile(r"[1-9]\d{0,14}", re.ASCII)  # of tasks; they become names of folders
_SESSION_ID = re.compile(r"s[1-9]\d{0,8}", re.ASCII)
_TASK_STATUSES: tuple[Status, ...] = ("queued", "active", "done", "failed")
_LINE_ID = re.compile(rb'\{"id":"([1-9]\d{0,14})"')  # as a line of archive.jsonl begins
_OLD_TASK = {"prompt": "", "dir": "", "status": "queued", "created": "", "result": "", "platform": "", "tokens": 0}
_OLD_SESSION = {"agent": "", "model": "", "started_at": "", "tokens": 0}


class StoreBusy(StoreError):
    """Another process has the state folder."""


class _Unreadable(Exception):
    """What is wrong with state.json, and where in it."""


class _ChangedOutside(Exception):
    """state.json is no longer what we last wrote or read."""


def _filled(entry: object, defaults: Mapping[str, Any], place: str) -> dict[str, Any]:
    """An object as an older chomp, or a person, wrote it: null is not there, what is missing is as it was then."""
    if not isinstance(entry, dict):
        raise _Unreadable(f"{place} is not an object")
    return {**defaults, **{name: value for name, value in entry.items() if value is not None}}


def _texts(found: object) -> object:
    """Ids, which may be numbers; anything else as it is."""
    if isinstance(found, list):
        return [_texts(one) for one in found]
    return str(found) if isinstance(found, int) and not isinstance(found, bool) else found


def _read_task(entry: object, place: str) -> Task:
    given = _filled(entry, _OLD_TASK, place)
    for name in ("id", "blocked_by"):
        if name in given:
            given[name] = _texts(given[name])
    if not isinstance(given.get("id"), str) or not _TASK_ID.fullmatch(given["id"]):
        raise _Unreadable(f"{place}.id is not a task's number")
    place = f"{place} (task {given['id']})"
    if given["status"] not in _TASK_STATUSES:
        shown = str(given["status"])[:40]
        raise _Unreadable(f'{place}: the status "{shown}" is unknown; there are {", ".join(_TASK_STATUSES)}')
    for name, defaults in (("sessions", _OLD_SESSION), ("messages", {})):
        if isinstance(given.get(name), list):
            given[name] = [_filled(one, defaults, f"{place}.{name}[{at}]") for at, one in enumerate(given[name])]
    try:
        task = msgspec.convert(given, Task, strict=False)
    except msgspec.ValidationError as error:
        raise _Unreadable(f"{place}: {error}") from None
    if wrong := [one.id for one in task.sessions if not _SESSION_ID.fullmatch(one.id)]:
        raise _Unreadable(f"{place}: a session cannot have the id {wrong[0][:40]!r}")
    return task


def _unknown_fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What a task has that we do not know: fields of its own, and by id of its sessions and messages."""
    found = {name: value for name, value in entry.items() if name not in Task.__struct_fields__}
    for name, kind in (("sessions", Session), ("messages", Message)):
        under = {
            str(one.get("id")): more for one in entry.get(name) or ()
            if (more := {key: value for key, value in one.items() if key not in kind.__struct_fields__})
        }  # fmt: skip
        found |= {name: under} if under else {}
    return found


def _with_unknown(written: bytes, more: Mapping[str, Any]) -> bytes:
    """A task as JSON, with what we do not know of it."""
    if not more:
        return written
    task: dict[str, Any] = msgspec.json.decode(written)
    for name, value in more.items():
        if name in ("sessions", "messages"):
            for one in task.get(name) or ():
                one |= value.get(one["id"], {})
        else:
            task[name] = value
    return msgspec.json.encode(task)


def _first_not_utf8(data: bytes) -> int | None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


def read_state(data: bytes) -> tuple[State, int]:
    """The state in `data`, and how much of archive.jsonl it counts. Also what older versions wrote.

    Raises _Unreadable with the place of the fault.
    """
    try:
        found = msgspec.json.decode(data)
    except RecursionError:
        raise _Unreadable("it is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        at = re.search(r"\(byte (\d+)\)", str(error))
        byte = min(int(at[1]), len(data)) if at else len(data)
        words = str(error).removeprefix("JSON is malformed: ").partition(" (byte ")[0]
        if (bad := _first_not_utf8(data)) is not None:  # msgspec counts from the beginning of a text, or not at all
            byte, words = bad, "it is not UTF-8"
        line, column = data.count(b"\n", 0, byte) + 1, byte - data.rfind(b"\n", 0, byte)
        raise _Unreadable(f"line {line}, column {column}: {words}") from None
    known = {"tasks": [], "next_id": 1, "archived": {}, "archive_bytes": 0, "version": 0}
    top = _filled(found, known, "the file")
    if not isinstance(top["tasks"], list):
        raise _Unreadable("tasks is not an array")
    newer = isinstance(top["version"], int) and top["version"] > STATE_VERSION
    tasks: dict[str, Task] = {}
    foreign: dict[str, bytes] = {}
    other = {name: value for name, value in top.items() if name not in known}
    if isinstance(top["archived"], dict):
        odd = {name: value for name, value in top["archived"].items() if name not in Archived.__struct_fields__}
        other |= {"archived": odd} if odd else {}
    more: dict[str, dict[str, Any]] = {"": other} if other else {}
    for number, entry in enumerate(top["tasks"]):
        try:
            task = _read_task(entry, f"tasks[{number}]")
        except _Unreadable:
            task_id = str(entry.get("id")) if isinstance(entry, dict) else ""
            if not newer or not _TASK_ID.fullmatch(task_id) or task_id in tasks or task_id in foreign:
                raise
            foreign[task_id] = msgspec.json.format(msgspec.json.encode(entry), indent=2).replace(b"\n", b"\n    ")
            continue
        if task.id in tasks or task.id in foreign:
            raise _Unreadable(f"two tasks have the id {task.id}")
        tasks[task.id] = task
        if unknown := _unknown_fields(entry):
            more[task.id] = unknown
    try:
        version = max(STATE_VERSION, msgspec.convert(top["version"], int, strict=False))
        next_id = msgspec.convert(top["next_id"], int, strict=False)
        archive_bytes = msgspec.convert(top["archive_bytes"], int, strict=False)
        archived = msgspec.convert(_filled(top["archived"], {}, "archived"), Archived, strict=False)
    except msgspec.ValidationError as error:
        raise _Unreadable(f"next_id, archived or archive_bytes: {error}") from None
    if not 0 <= next_id < 10**15 or not 0 <= archive_bytes < 1 << 60:
        raise _Unreadable("next_id or archive_bytes is not a possible number")
    next_id = max(1, next_id, *(int(one) + 1 for one in (*tasks, *foreign)))
    return State(tasks, next_id, archived, version, foreign, more), archive_bytes


def _task_json(task: Task, more: Mapping[str, Any] | None = None) -> bytes:
    """A task as it is written, on several lines. What could not be read again is refused.

    Raises BadRequest for text that is not Unicode: half a surrogate pair comes in as JSON, but cannot go out.
    """
    try:
        written = msgspec.json.encode(task)
    except UnicodeEncodeError:
        raise BadRequest(f"task {task.id}: the text is not valid Unicode", code="invalid_text") from None
    msgspec.json.decode(written, type=Task)
    written = _with_unknown(written, more or {})
    if not _TASK_ID.fullmatch(task.id):
        raise ValueError(f"a task cannot have the id {task.id!r}")
    return msgspec.json.format(written, indent=2).replace(b"\n", b"\n    ")


def _added(archived: Archived, tasks: Iterable[Task]) -> Archived:
    """The sums with `tasks` in them."""
    more = tuple(tasks)
    if not more:
        return archived
    return Archived(
        archived.count + len(more),
        archived.tokens + sum(task.tokens for task in more),
        archived.cost_usd + sum(task.cost_usd or 0.0 for task in more),
    )


def _state_json(tasks: Iterable[bytes], state: State, archive_bytes: int) -> bytes:
    """state.json, indented so that people can read it."""
    lines = b",\n    ".join((*tasks, *state.foreign.values()))
    other = state.more.get("", {})
    archived = {**msgspec.to_builtins(state.archived), **other.get("archived", {})}
    more = b"".join(b',\n  %b: %b' % (json.dumps(name).encode(), msgspec.json.encode(value))
                    for name, value in other.items() if name != "archived")  # fmt: skip
    return (
        b'{\n  "version": %d,\n  "tasks": [%b],\n  "next_id": %d,\n  "archived": %b,\n  "archive_bytes": %d%b\n}\n'
        % (
            state.version,
            b"\n    %b\n  " % lines if lines else b"",
            state.next_id,
            msgspec.json.encode(archived),
            archive_bytes,
            more,
        )
    )


def _sync_folder(folder: Path) -> None:
    """A file's new name survives a power cut after this."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _write_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """`data` on disk under `path`, not yet its name; readable by its user only. Raises OSError and leaves nothing."""
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with contextlib.suppress(OSError):  # a full disk is not to stay full of this
            path.unlink()
        raise


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """`path` holds `data` now, on disk: all of it, or what was there. Raises OSError and leaves nothing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")
    _write_file(temporary, data, mode)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink()
        raise
    _sync_folder(path.parent)


class Archive:
    """archive.jsonl: tasks that finished long ago, a line each, the latest last. Blocking; one writer, many readers."""

    def __init__(self, path: Path):
        self.path = path
        self.torn: set[int] = set()  # where lines began that could not be read
        self.end = 0  # what stands behind it is in state.json still

    def open(self, counted: int, tasks: Container[str]) -> None:
        """Looks at what stands behind the `counted` bytes that state.json knows of. Raises OSError.

        A crash between the two files leaves copies of what is among `tasks`: they are cut off. Anything else stays.
        """
        with contextlib.suppress(FileNotFoundError):
            self.end = self.path.stat().st_size
        found = [task_id for task_id, at, line in self.newest(counted) if self.read(at, line)]
        if found and all(task_id in tasks for task_id in found):
            self.cut(counted)
            self.end = counted

    def uncounted(self, counted: int, tasks: Container[str]) -> list[Task]:
        """Tasks behind the first `counted` bytes that are not among `tasks`: an older state.json was put back."""
        more = {task_id: task for task_id, at, line in self.newest(counted) if (task := self.read(at, line))}
        return [task for task_id, task in more.items() if task_id not in tasks]

    def append(self, lines: Sequence[bytes]) -> int:
        """The file's end with `lines` behind it, on disk. Raises OSError, and nothing is left of them."""
        new = not self.path.exists()
        with open(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "rb+") as file:
            start = file.seek(0, os.SEEK_END)
            try:
                if start:
                    file.seek(start - 1)
                    if file.read(1) != b"\n":  # a torn line stays one line
                        file.write(b"\n")
                file.write(b"".join(line + b"\n" for line in lines))
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(file.fileno(), start)
                raise
            if new:
                _sync_folder(self.path.parent)
            return file.seek(0, os.SEEK_END)

    def cut(self, end: int) -> None:
        """Takes back what stands behind `end`: those tasks are in state.json."""
        with contextlib.suppress(OSError):  # then they are in both, and state.json wins
            if self.path.stat().st_size > end:
                os.truncate(self.path, end)

    def newest(self, until: int = 0) -> Iterator[tuple[str, int, bytes]]:
        """Task id, place and line of what stands behind the byte `until`, the latest first. Raises OSError.

        Reads blocks from the end, never the whole file at once. `read` makes a task of a line.
        """
        for at, line in self._lines(until):
            if found := _LINE_ID.match(line):
                yield found[1].decode(), at, line
            elif line.strip() and (task := self.read(at, line)):  # a person wrote it
                yield task.id, at, line

    def read(self, at: int, line: bytes) -> Task | None:
        """The task of a line; None when the line is torn, which is counted."""
        try:
            return _read_task(msgspec.json.decode(line), "the line")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _Unreadable):
            if at not in self.torn:
                log.warning("%s: the line at byte %d cannot be read and is left out", self.path, at)
                self.torn.add(at)
            return None

    def find(self, task_id: str) -> Task | None:
        """Raises OSError."""
        for found, at, line in self.newest():
            if found == task_id and (task := self.read(at, line)):
                return task
        return None

    def page(self, limit: int, before: str, known: Container[str]) -> list[Task]:
        """`limit` tasks that were archived before the task `before`, without `known` ones, the latest first.

        Raises OSError.
        """
        page: list[Task] = []
        seen: set[str] = set()
        past = not before
        for task_id, at, line in self.newest():
            if past and task_id not in seen and task_id not in known and (task := self.read(at, line)):
                page.append(task)
                if len(page) == limit:
                    break
            past = past or task_id == before
            seen.add(task_id)
        return page

    def _lines(self, until: int) -> Iterator[tuple[int, bytes]]:
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            at = min(self.end, file.seek(0, os.SEEK_END))
            rest, block = b"", _ARCHIVE_BLOCK
            while at > until:
                size = min(block, at - until)
                at -= size
                file.seek(at)
                lines = (file.read(size) + rest).split(b"\n")
                rest = lines[0]
                block = _ARCHIVE_BLOCK if len(lines) > 1 else block * 2  # a long line is not joined again and again
                start = at + len(rest) + 1 + sum(len(line) + 1 for line in lines[1:])
                for line in reversed(lines[1:]):
                    start -= len(line) + 1
                    yield start, line
            if rest:
                yield at, rest


class StateFile:
    """state.json, its rolling copies state.json.1 (the latest) to .5, and the archive. Blocking.

    One thread writes while another looks whether the file was changed outside: `_guard` is held for renaming together
    with noting the new stamp, never for waiting on the disk.
    """

    def __init__(self, folder: Path, now: Callable[[], float]):
        self.path = folder / "state.json"
        self.archive = Archive(folder / "archive.jsonl")
        self._now = now
        self._guard = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None  # of what we last wrote or read
        self._copied_at = 0.0

    def changed(self) -> tuple[int, int, int] | None:
        """The file's stamp when somebody else has written it. One that is gone is written anew, not read."""
        with self._guard:
            found = file_stamp(self.path)
            return found if found != self._stamp else None

    def read(self) -> tuple[State, int] | None:
        """What is in the file, which is known from now on; None without one. Raises _Unreadable or OSError."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return None
        with file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode) or before.st_size > STATE_BYTES:
                raise _Unreadable(f"it is not a file of at most {STATE_BYTES >> 20} MiB")
            data = file.read(STATE_BYTES + 1)
            after = os.fstat(file.fileno())
        stamp = (before.st_ino, before.st_mtime_ns, before.st_size)
        if stamp != (after.st_ino, after.st_mtime_ns, after.st_size) or len(data) != before.st_size:
            raise _Unreadable("it is being written at this moment")
        found = read_state(data)
        with self._guard:
            self._stamp = stamp
        return found

    def write(self, tasks: Sequence[bytes], state: State, finished: Sequence[bytes]) -> None:
        """`state`, whose tasks are `tasks`, on disk, and lines for the archive before it. For one thread only.

        A crash in between leaves tasks in both files. Raises OSError or _ChangedOutside, and nothing is changed then.
        """
        if self.changed():
            raise _ChangedOutside
        if not 0 <= self._now() - self._copied_at < STATE_COPY_S:
            self.copy()
        temporary = self.path.with_name("state.json.tmp")
        end = self.archive.append(finished) if finished else self.archive.end
        try:
            _write_file(temporary, _state_json(tasks, state, end))
            stamp = file_stamp(temporary)  # taken along by the new name: a file moved over ours right away is noticed
            with self._guard:
                # what is moved here between these two lines is lost: some microseconds, and no system call can tell
                if file_stamp(self.path) not in (self._stamp, None):
                    raise _ChangedOutside
                temporary.replace(self.path)
                self._stamp = stamp
        except BaseException:
            if finished:
                self.archive.cut(self.archive.end)
            raise
        self.archive.end = end
        _sync_folder(self.path.parent)

    def copy(self, data: bytes | None = None) -> None:
        """Keeps `data`, or what the file holds, as the latest copy. A failure is logged: the file matters more."""
        try:
            self._copy(data)
        except OSError as error:
            log.warning("no copy of %s could be kept: %s", self.path, error.strerror)
        self._copied_at = self._now()

    def _copy(self, data: bytes | None = None) -> None:
        latest = self._copy_path(1)
        with contextlib.suppress(FileNotFoundError):
            data = self.path.read_bytes() if data is None else data
        if data is None or (latest.exists() and latest.read_bytes() == data):
            return
        temporary = self.path.with_name("state.json.copy.tmp")
        _write_file(temporary, data)
        for number in range(self._first_free() - 1, 0, -1):
            self._copy_path(number).replace(self._copy_path(number + 1))
        temporary.replace(latest)
        _sync_folder(self.path.parent)

    def copy_in_time(self) -> None:
        """A copy of what is there at the start, unless one is young: a server that crashes must not use them up."""
        with contextlib.suppress(OSError):
            self._copied_at = self._copy_path(1).stat().st_mtime
        if not 0 <= self._now() - self._copied_at < STATE_COPY_S:
            self.copy()

    def _first_free(self) -> int:
        """The first copy that is not there, else the last one: it is replaced."""
        numbers = (number for number in range(1, STATE_COPIES) if not self._copy_path(number).exists())
        return next(numbers, STATE_COPIES)

    def _copy_path(self, number: int) -> Path:
        return self.path.with_name(f"state.json.{number}")

    def copies(self) -> list[dict[str, Any]]:
        """The copies, latest first: name, when it was made, bytes, tasks or what is wrong with it."""
        found: list[dict[str, Any]] = []
        for number in range(1, STATE_COPIES + 1):
            path = self._copy_path(number)
            try:
                made, data = path.stat(), path.read_bytes()
            except FileNotFoundError:
                continue
            row: dict[str, Any] = {"name": path.name, "at": iso(made.st_mtime), "bytes": len(data)}
            try:
                state, _ = read_state(data)
                row["tasks"] = len(state.tasks)
            except _Unreadable as error:
                row["error"] = str(error)
            found.append(row)
        return found

    def restore(self, name: str) -> State:
        """Puts the copy `name` back; what was there becomes the latest copy. Raises StoreError."""
        names = [self._copy_path(number).name for number in range(1, STATE_COPIES + 1)]
        path = self.path.with_name(name if name in names else "state.json.")
        try:
            data = path.read_bytes()
            state, _ = read_state(data)
            self._copy()  # without it nothing is put back
            replace_file(self.path, data)
        except FileNotFoundError:
            there = ", ".join(row["name"] for row in self.copies()) or "none"
            raise StoreError(f"there is no copy {name[:80]!r} in {self.path.parent}; there are: {there}") from None
        except _Unreadable as error:
            raise StoreError(f"{path} cannot be read: {error}; nothing was changed") from None
        except OSError as error:
            raise StoreError(f"cannot put back {path}: {error.strerror}") from None
        return state


class _Round(msgspec.Struct, frozen=True):
    """One write under way."""

    writing: Future[None]
    ended: asyncio.Future[str]  # what went wrong
    state: State  # that is written
    moved: int  # tasks to the archive
    covers: int  # changes


class Store:
    """Opens what lives in state/: one server per folder. Raises StoreError when it cannot be had.

    `database` runs SQL on a thread of its own; sections bring their own statements. `state` are the tasks, changed in
    memory by `change` and written by a thread; `saved` waits for that. `finished` is how many finished tasks stay in
    state.json, None: all.
    """

    def __init__(self, folder: Path, now: Callable[[], float] = time.time):
        self.folder = folder
        self.finished: int | None = TaskSettings().finished
        self.fault = ""  # why state.json cannot be read or written now
        self._lock: int | None = None
        self._database: Database | None = None
        self._transcripts: ThreadPoolExecutor | None = None
        self._file = StateFile(folder, now)
        self._writer = ThreadPoolExecutor(1, "chomp-state")
        self._reader = ThreadPoolExecutor(1, "chomp-archive")
        self._state = State({})
        self._base = self._state  # as the file has it
        self._texts: dict[str, bytes] = {}  # of the tasks in `_state`, as they are written
        self._archiving: list[Task] = []  # no longer in `_state`, not yet in the archive
        self._changing = False
        self._unreadable: tuple[object, str] = (None, "")  # stamp of a file that was looked at, and what is wrong
        self._changes = 0  # so far
        self._written = 0  # of them, all up to this one
        self._covers = 0  # and up to this one when the write that runs now succeeds
        self._round: _Round | None = None  # that write
        self._taken = 0  # states written outside
        self._retry: asyncio.TimerHandle | None = None

    def open(self, holder: Literal["server", "command"] = "server") -> None:
        """Makes the folder, takes its lock, reads state.json. Raises StoreError, StoreBusy when another has it."""
        self.lock(holder)
        try:
            self._read()
        except BaseException:
            self.unlock()
            raise

    def lock(self, holder: Literal["server", "command"] = "server") -> None:
        """The folder for this process alone; waits for a command, not for a server. Raises StoreError or StoreBusy."""
        path = self.folder / "lock"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"cannot use {self.folder}: {error.strerror}") from None
        try:
            self._lock_file(lock)
            with contextlib.suppress(OSError):  # a full disk: the lock holds without its word
                os.pwrite(lock, holder.ljust(7).encode(), 0)
        except OSError as error:
            os.close(lock)
            raise StoreError(f"cannot lock {self.folder}: {error.strerror}") from None
        except StoreError:
            os.close(lock)
            raise
        self._lock = lock

    def _lock_file(self, lock: int) -> None:
        until = time.monotonic() + LOCK_S
        servers = 0
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # seen twice: whoever has just got the lock may not have put its word over the one of before
                servers = 0 if os.pread(lock, 7, 0) == b"command" else servers + 1
                if servers == 2 or time.monotonic() > until:
                    raise StoreBusy(
                        f"another chomp already uses {self.folder}: "
                        "stop it, or give this one its own CHOMP_DIR and PORT"
                    ) from None
                time.sleep(0.02)

    def unlock(self) -> None:
        """Gives the folder back, when nothing of it is open."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _read(self) -> None:
        file = self._file
        try:
            found = file.read()
            if found is None and (copies := file.copies()):
                names = ", ".join(row["name"] for row in copies)
                log.warning("%s is gone, chomp starts without tasks; there are copies: %s", file.path, names)
            state, counted = found or (State({}), 0)
            file.archive.open(counted, state.tasks)
            file.copy_in_time()
            if state.version > STATE_VERSION:
                words = f"; {len(state.foreign)} tasks that it does not understand stay as they are"
                log.warning("%s was written by a newer chomp%s", file.path, words if state.foreign else "")
            self._texts = {task.id: _task_json(task, state.more.get(task.id)) for task in state.tasks.values()}
            self._state = self._base = self._counted(state, counted)
        except _Unreadable as error:
            raise StoreError(
                f"{file.path} cannot be read: {error}. It was left as it is: mend it, or put an earlier one back with "
                "`bin/chomp state restore`"
            ) from None
        except OSError as error:
            raise StoreError(f"cannot read {error.filename or file.path}: {error.strerror}") from None
        except ChompError as error:
            raise StoreError(f"{file.path}: {error}") from None

    def _counted(self, state: State, counted: int) -> State:
        """`state` with what the archive has and it does not know of. Raises OSError."""
        more = self._file.archive.uncounted(counted, state.tasks)
        next_id = max(state.next_id, *(int(task.id) + 1 for task in more)) if more else state.next_id
        return msgspec.structs.replace(state, next_id=next_id, archived=_added(state.archived, more))

    async def close(self) -> None:
        """Waits for what is being written, then gives the folder back."""
        try:
            await self.saved()
        except Unavailable as error:
            log.error("what was changed last is lost: %s", error)
        if self._retry is not None:
            self._retry.cancel()
        if self._database is not None:
            await self._database.close()
        loop = asyncio.get_running_loop()
        for executor in (self._writer, self._reader, self._transcripts):
            if executor is not None:
                await loop.run_in_executor(None, executor.shutdown)
        self.unlock()

    @property
    def state(self) -> State:
        """The tasks as they are now; to be read only."""
        return self._state

    @contextlib.contextmanager
    def change(self) -> Iterator[State]:
        """The state, to be changed in this block: memory only, no await inside. A raised error rolls everything back.

        The writing begins by itself; `saved` waits for it. What somebody else wrote to state.json is taken over first.
        Raises Unavailable when that cannot be read.
        """
        if self._lock is None:
            raise RuntimeError("the store is not open")
        if self._changing:
            raise RuntimeError("a change inside a change")
        self._look()
        before = self._state
        draft = msgspec.structs.replace(before, tasks=dict(before.tasks))
        self._changing = True
        try:
            yield draft
        finally:
            self._changing = False
        if self._take(draft):
            self._begin()

    def _take(self, draft: State) -> bool:
        """Makes `draft` the state, without what goes to the archive; whether that is a change."""
        before = self._state
        new = [task for task_id, task in draft.tasks.items() if task is not before.tasks.get(task_id)]
        texts = {task.id: _task_json(task, draft.more.get(task.id)) for task in new}
        moved = self._past(draft)
        for task in moved:
            del draft.tasks[task.id]
        draft.archived = _added(draft.archived, moved)
        draft.next_id = max(draft.next_id, before.next_id, *(int(task.id) + 1 for task in new), 1)
        same = list(draft.tasks) == list(before.tasks) and draft.archived == before.archived
        if not new and same and draft.next_id == before.next_id:
            return False
        known = self._texts
        self._texts = {task_id: texts.get(task_id) or known[task_id] for task_id in draft.tasks}
        self._archiving += moved
        self._state = draft
        self._changes += 1
        return True

    def _past(self, draft: State) -> list[Task]:
        """Finished tasks above their number, oldest first, but none that an unfinished one waits for."""
        if self.finished is None:
            return []
        over = [one for one in draft.tasks.values() if one.status in ("done", "failed") and not one.deleted]
        if len(over) <= self.finished:
            return []
        waiting = (one for one in draft.tasks.values() if one.status in ("queued", "active"))
        needed = {task_id for one in waiting for task_id in one.blocked_by}
        over.sort(key=lambda one: (one.finished or one.created, int(one.id)))
        return [one for one in over[: len(over) - self.finished] if one.id not in needed]

    def refresh(self) -> bool:
        """Whether state.json was changed outside and is taken over now. A file that cannot be read is not: `fault`."""
        try:
            return self._look()
        except Unavailable:
            return False

    def _look(self) -> bool:
        if self._file.changed() is None:
            return False
        taken = self._taken
        if self._round is not None:  # its end first: otherwise nobody could say what the file was changed from
            self._wrote(self._round)
        stamp = self._file.changed()
        if stamp is None:
            return self._taken != taken
        if self._unreadable[0] == stamp:
            raise Unavailable(self._unreadable[1], code="state_unreadable")
        try:
            found = self._file.read()
            if found is None:
                return False
            given = self._counted(*found)
            texts = {task.id: _task_json(task, given.more.get(task.id)) for task in given.tasks.values()}
        except (_Unreadable, OSError, ChompError) as error:
            words = error.strerror if isinstance(error, OSError) else str(error)
            self.fault = (
                f"{self._file.path} was changed by another program and cannot be read: {words}. "
                "Mend it, or move it away: then chomp writes it anew from memory"
            )
            self._unreadable = (stamp, self.fault)
            log.error("%s", self.fault)
            raise Unavailable(self.fault, code="state_unreadable") from None
        self._adopt(given, texts)
        return True

    def _adopt(self, given: State, texts: dict[str, bytes]) -> None:
        """Takes a state written outside, whole; of ours only what was not yet written is put on top of it, by task."""
        base, mine = self._base, self._state
        if base.tasks:
            written = (_task_json(task, base.more.get(task.id)) for task in base.tasks.values())
            kept = _state_json(written, base, self._file.archive.end)
            self._writer.submit(self._file.copy, kept)
        tasks = dict(given.tasks)
        next_id = max(given.next_id, mine.next_id)
        for task_id in base.tasks.keys() - mine.tasks.keys():
            tasks.pop(task_id, None)
        for task in mine.tasks.values():
            if task is base.tasks.get(task.id):
                continue
            if task.id in given.tasks and task.id not in base.tasks:  # two new tasks have got the same number
                moved = msgspec.structs.replace(given.tasks[task.id], id=str(next_id))
                tasks[moved.id], texts[moved.id] = moved, _task_json(moved)
                next_id += 1
            tasks[task.id], texts[task.id] = task, self._texts[task.id]
        self._base = given
        self._state = msgspec.structs.replace(
            given,
            tasks=tasks,
            next_id=next_id,
            archived=Archived(
                given.archived.count + mine.archived.count - base.archived.count,
                given.archived.tokens + mine.archived.tokens - base.archived.tokens,
                given.archived.cost_usd + mine.archived.cost_usd - base.archived.cost_usd,
            ),
        )
        self._texts = {task_id: texts[task_id] for task_id in tasks}
        self._taken += 1
        self.fault = ""
        log.info("%s was changed outside and taken over: %d tasks", self._file.path, len(tasks))
        if self._state != given:
            self._changes += 1
            self._begin()
        else:
            self._written = self._changes

    async def check(self) -> None:
        """Finds out whether state.json can be written now, by writing it. Raises Unavailable."""
        self._look()
        self._changes += 1
        await self.saved()

    async def saved(self) -> None:
        """Returns when all that was changed so far is on disk. Raises Unavailable when it could not be written."""
        wanted = self._changes
        while self._written < wanted:
            self._begin()
            running = self._round
            assert running is not None
            await asyncio.wait([running.ended])
            if (wrong := running.ended.result()) and running.covers >= wanted:
                raise Unavailable(wrong, code="state_not_written")

    def _begin(self) -> None:
        """Starts to write what is not written. While a write is under way, all that comes in waits for the next one."""
        if self._round is not None or self._written == self._changes:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # nobody serves yet: `saved` and `close` see to it
            return
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        texts, more = list(self._texts.values()), self._state.more
        lines = [_with_unknown(msgspec.json.encode(task), more.get(task.id, {})) for task in self._archiving]
        writing = self._writer.submit(self._file.write, texts, self._state, lines)
        running = self._round = _Round(writing, loop.create_future(), self._state, len(lines), self._changes)
        writing.add_done_callback(lambda _: loop.call_soon_threadsafe(self._wrote, running))

    def _wrote(self, ended: _Round) -> None:
        """What follows from the end of a write, for which this waits; once."""
        if self._round is not ended:
            return
        error = ended.writing.exception()
        self._round = None
        wrong = ""
        if error is None:
            self._base = ended.state
            del self._archiving[: ended.moved]
            self._written = ended.covers
            self.fault = ""
        elif isinstance(error, _ChangedOutside):
            try:
                self._look()
            except Unavailable as unreadable:
                wrong = str(unreadable)
        else:
            words = error.strerror if isinstance(error, OSError) else repr(error)
            wrong = f"{self._file.path} could not be written: {words}"
            if wrong != self.fault:
                log.error("%s", wrong, exc_info=None if isinstance(error, OSError) else error)
            self.fault = wrong
        if not wrong or ended.covers < self._changes:
            self._begin()
        else:
            self._retry = ended.ended.get_loop().call_later(STATE_RETRY_S, self._begin)
        ended.ended.set_result(wrong)

    async def archived(self, limit: int, before: str = "") -> list[Task]:
        """Tasks of the archive, the latest first, those before the task `before`. Raises Unavailable."""
        limit = max(1, min(limit, 1000))
        known = frozenset(self._state.tasks)
        recent = self._archiving[::-1]
        names = [task.id for task in recent]
        start = names.index(before) + 1 if before in names else 0 if not before else len(recent)
        page = recent[start : start + limit]
        if len(page) == limit:
            return page
        rest = self._file.archive.page
        skipped = known | set(names)
        return page + await self._archive(rest, limit - len(page), "" if before in names else before, skipped)

    async def archived_task(self, task_id: str) -> Task | None:
        """A task of the archive, unless it is in the state. Raises Unavailable."""
        if task_id in self._state.tasks:
            return None
        for task in self._archiving:
            if task.id == task_id:
                return task
        return await self._archive(self._file.archive.find, task_id)

    async def _archive(self, work: Callable[..., T], *given: object) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reader, work, *given)
        except OSError as error:
            path = self._file.archive.path
            raise Unavailable(f"{path} cannot be read: {error.strerror}", code="state_unreadable") from None

    def copies(self) -> list[dict[str, Any]]:
        """The rolling copies of state.json, latest first: name, at, bytes, tasks or error. Raises StoreError."""
        try:
            return self._file.copies()
        except OSError as error:
            raise StoreError(f"cannot read {error.filename}: {error.strerror}") from None

    def restore(self, name: str) -> State:
        """Puts a rolling copy back; what was there becomes the latest copy. Needs `lock` only. Raises StoreError."""
        if self._lock is None:
            raise RuntimeError("the store is not locked")
        return self._file.restore(name)

    @property
    def database(self) -> Database:
        if self._database is None:
            self._database = Database(self.folder / "chomp.db")
        return self._database

    def transcript(self, path: Path, limit: int) -> Transcript:
        """A session's output, what is already there included; `limit` bytes of it are kept."""
        if self._transcripts is None:
            self._transcripts = ThreadPoolExecutor(1, "chomp-transcripts")
        return Transcript(path, limit, self._transcripts)

    def output(self, task_id: str, session_id: str) -> Path:
        """Where the transcript of a session is."""
        return self.folder / "output" / f"task-{task_id}" / f"{session_id}.log"

    def forget_outputs(self, before: float, running: Collection[str]) -> None:
        """Deletes transcripts of tasks that printed nothing since `before` (unix seconds) and are not `running`."""
        for folder in (self.folder / "output").glob("task-*"):
            if folder.name.removeprefix("task-") in running:
                continue
            with contextlib.suppress(OSError):
                if max((path.stat().st_mtime for path in folder.iterdir()), default=0.0) < before:
                    shutil.rmtree(folder)

    def dotenv(self) -> dict[str, str]:
        """Variables of state/.env; empty without it."""
        return parse_dotenv(self._text(".env"))

    def overrides(self) -> dict[str, Any]:
        """Tables of state/settings.json: what the UI and the CLI changed. Raises StoreError when it is broken."""
        return upgraded(self.read_json("settings.json"))

    def keys(self) -> dict[str, str]:
        """Keys the person entered, by variable name, from state/keys.json. Raises StoreError when it is broken."""
        return {k: v for k, v in self.read_json("keys.json").items() if isinstance(v, str)}

    def token(self) -> str:
        """The owner's token in state/token, made at first use, readable by its user only."""
        path = self.folder / "token"
        if found := self._text("token").strip():
            return found
        token = "chomp-" + secrets.token_urlsafe(32)
        self._write(path, (token + "\n").encode())
        return token

    def stamps(self) -> tuple[object, ...]:
        """Change when the files do that a person or the CLI writes settings to."""
        return tuple(file_stamp(self.folder / name) for name in (".env", "settings.json", "keys.json"))

    def agents(self) -> dict[str, Any]:
        """Agents the person added, by id, from state/agents.json. Raises StoreError when it is broken."""
        return self.read_json("agents.json")

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Writes a file of settings whole: settings.json, keys.json or agents.json. Raises StoreError."""
        data = json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace")
        self._write(self.folder / name, data)

    def _write(self, path: Path, data: bytes) -> None:
        try:
            replace_file(path, data)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}") from None

    def _text(self, name: str) -> str:
        try:
            return (self.folder / name).read_text("utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"cannot read {self.folder / name}: {error}") from None

    def read_json(self, name: str) -> dict[str, Any]:
        """The object in such a file; empty without one. Raises StoreError when it is broken."""
        text = self._text(name)
        try:
            found = json.loads(text) if text else {}
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{self.folder / name} is not JSON: {error}; mend it or move it away") from None
        if not isinstance(found, dict):
            raise StoreError(f"{self.folder / name} must hold an object")
        return found


class DatabaseFault(Unavailable, sqlite3.Error):
    """What SQLite could not do; `errorcode` is its own."""

    code = "database_not_written"
    errorcode = 0

    @property
    def passing(self) -> bool:
        """Whether the disk, or another program, is to blame: it may be better later."""
        return self.errorcode in _PASSING


# SQLITE_PERM, BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN
_PASSING = frozenset({3, 5, 6, 8, 10, 13, 14})
WAL_BYTES = 16 << 20  # of SQLite's log of what it writes, once it is in the database
DATABASE_WAIT_S = 1.0  # for a database that another program has locked
# How a database of version N becomes one of N + 1, each in one transaction. One of 0.1.0 has version 0; sections make
# the tables that are not there, as they are now.
MIGRATIONS: tuple[Callable[[sqlite3.Connection], object], ...] = (lambda connection: None,)


class Database:
    """SQLite in WAL mode: one thread writes, another reads, the event loop waits for neither."""

    def __init__(self, path: Path):
        self._path = path
        self._writer = ThreadPoolExecutor(1, "chomp-db-write")
        self._reader = ThreadPoolExecutor(1, "chomp-db-read")
        self._connections: dict[str, sqlite3.Connection] = {}
        self._closed = False
        self.fault = ""  # why it cannot be used

    async def open(self) -> None:
        """Brings the file up to date. Raises StoreError when a newer chomp has written it, or sqlite3.Error."""

        def check() -> None:
            connection = self._connection("write")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise StoreError(
                    f"{self._path} was written by a newer chomp (its version is {version}, this one knows "
                    f"{len(MIGRATIONS)}): start that one, or move the file away"
                )
            is_new = not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
            for number in range(len(MIGRATIONS) - 1 if is_new else version, len(MIGRATIONS)):
                connection.execute("BEGIN IMMEDIATE")
                try:
                    if not is_new:
                        MIGRATIONS[number](connection)
                    connection.execute(f"PRAGMA user_version = {number + 1}")
                    connection.commit()
                except BaseException:
                    connection.rollback()
                    raise

        await asyncio.get_running_loop().run_in_executor(self._writer, self._told, check)

    def _connection(self, role: str) -> sqlite3.Connection:
        if role not in self._connections:
            connection = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, timeout=DATABASE_WAIT_S
            )
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
                connection.execute("PRAGMA synchronous=FULL")  # what is acknowledged survives a power cut
                self._path.chmod(0o600)
            except BaseException:
                connection.close()
                raise
            self._connections[role] = connection
        return self._connections[role]

    def _patient(self, role: str, due: float) -> sqlite3.Connection:
        """A connection that waits for other programs until `due`: who asked together waits together, not in a row."""
        connection = self._connection(role)
        left_ms = max(0, round((due - time.monotonic()) * 1000))
        connection.execute(f"PRAGMA busy_timeout = {left_ms}")
        return connection

    def _told(self, work: Callable[[], T]) -> T:
        """What `work` comes to, its errors with the file's name. Raises DatabaseFault."""
        try:
            return work()
        except sqlite3.Error as error:
            fault = DatabaseFault(f"{self._path}: {error}")
            fault.errorcode = getattr(error, "sqlite_errorcode", 0) & 0xFF
            raise fault from error

    async def write(self, work: Callable[[sqlite3.Connection], T], first: Callable[[], object] | None = None) -> T:
        """`work` done in one transaction; all of it or nothing. Raises what `work` raises and DatabaseFault.

        It is done even when whoever waits for it is cancelled. `first` is done before, by the same thread, whatever
        becomes of the transaction.
        """

        due = time.monotonic() + DATABASE_WAIT_S

        def run() -> T:
            if first is not None:
                first()
            connection = self._patient("write", due)
            connection.execute("BEGIN IMMEDIATE")
            try:
                done = work(connection)
                connection.commit()
            except BaseException:
                connection.rollback()
                raise
            return done

        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._writer, self._told, run))

    async def read(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Rows by column name. Raises DatabaseFault."""

        due = time.monotonic() + DATABASE_WAIT_S

        def run() -> list[dict[str, Any]]:
            cursor = self._patient("read", due).execute(sql, values)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

        return await asyncio.get_running_loop().run_in_executor(self._reader, self._told, run)

    async def close(self) -> None:
        """Waits for work in hand, then closes; a second time does nothing."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        for role, executor in (("write", self._writer), ("read", self._reader)):
            await loop.run_in_executor(executor, self._disconnect, role)
            executor.shutdown(wait=True)

    def _disconnect(self, role: str) -> None:
        if connection := self._connections.pop(role, None):
            connection.close()


EVENTS_BYTES = 256 << 10  # of an agent's events read at once


class WorkFiles:
    """Files that chomp shares with an agent, who may have put anything in their place."""

    @staticmethod
    def write(home: Path, files: Mapping[str, str]) -> None:
        """Makes an agent's home, and files for it. Raises OSError."""
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in files.items():
            path = Path(name)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
                file.write(text.encode())

    @staticmethod
    def _regular(path: Path) -> BinaryIO | None:
        """An open file; None for what is none: a link leads elsewhere, a pipe would make us wait."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return open(descriptor, "rb")
        os.close(descriptor)
        return None

    @staticmethod
    def read(path: Path, most: int) -> bytes:
        """The first `most` bytes of a file; none of what is none."""
        if (file := WorkFiles._regular(path)) is None:
            return b""
        with file:
            return file.read(most)

    @staticmethod
    def events(path: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
        """The JSON objects in the whole lines after `offset`, and where they end; lines that are none are left out."""
        if (file := WorkFiles._regular(path)) is None:
            return [], offset
        with file:
            file.seek(offset)
            data = file.read(EVENTS_BYTES)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == EVENTS_BYTES:
            end = len(data)  # a line longer than that says nothing
        found = []
        for line in data[:end].splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                if isinstance(event := json.loads(line), dict):
                    found.append(event)
        return found, offset + end

    @staticmethod
    def inside(path: Path, root: Path) -> tuple[bytes, bool] | None:
        """A file in `root`, links within it followed, and whether it can be run; None when there is no such file."""
        with contextlib.suppress(OSError, RuntimeError):
            real = path.resolve(strict=True)
            if real.is_relative_to(root.resolve()) and (file := WorkFiles._regular(real)) is not None:
                with file:
                    return file.read(GATE_FILE_BYTES + 1), bool(os.fstat(file.fileno()).st_mode & 0o100)
        return None


GATE_FILE_BYTES = 1 << 20  # of a gate that is a file


class Transcript:
    """A session's output in files: all of it, or its beginning and its end once it is more than `limit` bytes.

    Positions count every byte there was. The first half of `limit` is in the file itself; what follows is in parts
    beside it, named for where they begin (s1.log, s1.16777216.log), of which the last two are kept: nothing is ever
    written anew, and a crash in between loses nothing. A thread writes; `waiting` bytes are still to be written.
    """

    def __init__(self, path: Path, limit: int, thread: ThreadPoolExecutor):
        self.path = path
        self._limit = max(limit, 4096)
        self._thread = thread
        self._lock = threading.Lock()
        self._queue: list[bytes] = []
        self._writing = False
        self._failed = False
        self._parts = self._found()  # where each begins, and its size
        self._end = self._parts[-1][0] + self._parts[-1][1]  # of what was handed to the disk
        self.size = self._end
        self.waiting = 0

    def append(self, data: bytes) -> None:
        """Adds `data`; returns at once."""
        with self._lock:
            self._queue.append(data)
            self.waiting += len(data)
            self.size += len(data)
            if self._writing:
                return
            self._writing = True
        self._thread.submit(self._write)

    async def close(self) -> None:
        """Waits until everything is written."""
        await asyncio.get_running_loop().run_in_executor(self._thread, int)

    async def read(self, since: int, most: int) -> tuple[int, bytes]:
        """Up to `most` bytes after `since`, and where they begin: later than `since` when that is not kept."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, since, most)

    def _part(self, begins: int) -> Path:
        return self.path.with_name(f"{self.path.stem}.{begins}{self.path.suffix}") if begins else self.path

    def _found(self) -> list[tuple[int, int]]:
        parts = []
        for path in (self.path, *self.path.parent.glob(f"{glob.escape(self.path.stem)}.*{self.path.suffix}")):
            begins = "0" if path == self.path else path.stem.removeprefix(f"{self.path.stem}.")
            with contextlib.suppress(OSError):
                if begins.isdecimal():
                    parts.append((int(begins), path.stat().st_size))
        return sorted(parts) or [(0, 0)]

    def _write(self) -> None:
        while True:
            with self._lock:
                data = b"".join(self._queue)
                self._queue.clear()
                if not data:
                    self._writing = False
                    return
            try:
                self._keep(data)
                self._failed = False
            except OSError as error:
                if not self._failed:
                    log.error("output is lost: cannot write %s: %s", self.path, error.strerror)
                self._failed = True
                if self._parts[-1][1] == 0 and len(self._parts) > 1:
                    del self._parts[-1]  # nothing came of it
                self._parts.append((self._end + len(data), 0))  # what comes after the gap begins a part
            self._end += len(data)
            with self._lock:
                self.waiting -= len(data)

    def _keep(self, data: bytes) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        at = self._end
        while data:
            begins, size = self._parts[-1]
            room = (self._limit // 4 if begins else self._limit // 2) - size
            if room <= 0:
                self._parts.append((at, 0))
                for old, _ in self._parts[1:-2]:
                    self._part(old).unlink(missing_ok=True)
                del self._parts[1:-2]
                continue
            piece, data = data[:room], data[room:]
            with open(os.open(self._part(begins), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "wb") as file:
                file.write(piece)
            self._parts[-1] = (begins, size + len(piece))
            at += len(piece)

    def _read(self, since: int, most: int) -> tuple[int, bytes]:
        found, first = bytearray(), -1
        for begins, size in self._parts:
            at = max(since, begins) if first < 0 else first + len(found)
            if not begins <= at < begins + size or len(found) >= most:
                continue
            try:
                with open(self._part(begins), "rb") as file:
                    file.seek(at - begins)
                    found += file.read(min(most - len(found), begins + size - at))
            except OSError:
                continue
            if first < 0:
                first = at
        return (first, bytes(found)) if first >= 0 else (self._end, b"")


# == Background ========================================================================================================


class Background:
    """Owner of every background task: names them, logs a death at once, stops all at shutdown."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task whose owner keeps it, sees to its errors and ends it: for what happens with every request."""
        return asyncio.get_running_loop().create_task(work)

    def start(self, name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """The task doing `work`, kept until it ends."""
        task = self.spawn(work)
        task.set_name(name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("background task %r died", task.get_name(), exc_info=error)

    async def stop(self) -> None:
        """Cancels what still runs and waits for it."""
        while tasks := [task for task in self._tasks if task is not asyncio.current_task()]:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


# == Events ============================================================================================================


def event_fields(event: Event) -> Any:
    """What an event tells, as it is sent."""
    return event.data.flat() if isinstance(event.data, RequestEnd) else event.data


class EventBus:
    """The bounded live feed: views for watchers, lossy by design, never control."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.time):
        self._ring: collections.deque[Event] = collections.deque(maxlen=limits.events)
        self._watchers: tuple[Callable[[Event], None], ...] = ()
        self._clock = clock
        self._seq = 0
        self.details = 0  # how many watchers want to hear of what happens all the time, which is told only then

    def publish(self, kind: str, data: Any) -> None:
        """Tells all watchers; a watcher that fails is dropped."""
        self._seq += 1
        event = Event(self._seq, self._clock(), kind, data)
        self._ring.append(event)
        for watcher in self._watchers:
            try:
                watcher(event)
            except Exception:  # a broken view must not disturb what it looks at
                log.exception("an event watcher failed and was dropped")
                self._drop(watcher)

    def _drop(self, watcher: Callable[[Event], None]) -> None:
        self._watchers = tuple(one for one in self._watchers if one != watcher)

    @contextlib.contextmanager
    def subscribe(self, watcher: Callable[[Event], None]) -> Iterator[None]:
        """Calls `watcher` for each event while the block runs; it must return at once."""
        self._watchers = (*self._watchers, watcher)
        try:
            yield
        finally:
            self._drop(watcher)

    def recent(self, after_seq: int = 0) -> list[Event]:
        """Events still remembered after `after_seq`, oldest first."""
        return [event for event in self._ring if event.seq > after_seq]


# == Usage =============================================================================================================

LEDGER_SQL = """
CREATE TABLE IF NOT EXISTS requests (
  at REAL NOT NULL, request_id TEXT NOT NULL, caller TEXT NOT NULL, task TEXT NOT NULL, session TEXT NOT NULL,
  api TEXT NOT NULL, asked_model TEXT NOT NULL, sent_model TEXT NOT NULL, router TEXT NOT NULL, key TEXT NOT NULL,
  status INTEGER NOT NULL, error_type TEXT NOT NULL, attempts INTEGER NOT NULL, stream INTEGER NOT NULL, ttft_ms REAL,
  duration_ms REAL NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL, cost_usd REAL, estimated INTEGER NOT NULL
)"""
LEDGER_INDEX_SQL = "CREATE INDEX IF NOT EXISTS requests_at ON requests (at)"
_LEDGER_INSERT = f"INSERT INTO requests ({', '.join(LedgerRow.__struct_fields__)}) VALUES "  # noqa: S608 - our own
_LEDGER_ROW = f"({','.join('?' * len(LedgerRow.__struct_fields__))})"
_ROWS_AT_ONCE = 64  # one statement for many rows: the interpreter is asked for less often
LEDGER_BATCH = 512
LEDGER_FLUSH_S = 0.25  # what a kill -9 may take with it
_GROUPS = {
    "router": "router",
    "key": "router || '/' || key",
    "model": "router || '/' || sent_model",
    "caller": "caller",
    "user": "caller",
    "task": "task",
    "session": "session",
    "day": "date(at, 'unixepoch')",
}
_DURATION_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_OVERHEAD_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5)
_CHUNK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class _Histogram:
    """Counts by bucket, cheap to add to; prometheus-client's own would cost the request path ten times as much."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]):
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value

    def metric(self, name: str, words: str) -> Metric:
        family = HistogramMetricFamily(name, words)
        running = 0
        buckets = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            buckets.append((bound, running))
        family.add_metric([], buckets, self.total)
        return family


class _Totals(msgspec.Struct, gc=False):
    """What requests of one kind add up to."""

    requests: int = 0
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0
    cost_usd: float = 0.0
    priced: int = 0  # of those with tokens
    unpriced: int = 0

    def add(self, other: _Totals) -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_DATED = re.compile(r"(?:\d{8}|\d{4}-\d\d-\d\d)$")


class PriceTable:
    """The list prices baked in at release, with their source and date."""

    def __init__(self, text: str):
        found = json.loads(text)
        self.source: str = found["source"]
        self.date: str = found["date"]
        self._baked: dict[str, dict[str, Price]] = {
            router: {
                model: Price(*cast(Any, [None if n is None else n / 1e6 for n in numbers]))
                for model, numbers in models.items()
            }
            for router, models in found["prices"].items()
        }

    def baked(self, router: str, model: str) -> Price | None:
        """The table's price; its ids are in lower case, and `*` at an id's end stands for a date and nothing else."""
        if router == "openrouter" and model.endswith(":free"):
            return Price(0.0, 0.0)
        models = self._baked.get(router, {})
        name = model.lower()
        return models.get(name) or models.get(name[:-11] + _DATED.sub("*", name[-11:]))


_SUMS = """
count(*) AS requests, sum(status >= 400) AS errors, sum(prompt_tokens) AS prompt_tokens,
sum(completion_tokens) AS completion_tokens, sum(cached_tokens) AS cached_tokens,
sum(reasoning_tokens) AS reasoning_tokens, sum(cost_usd) AS cost_usd,
sum(cost_usd IS NULL AND prompt_tokens + completion_tokens > 0) AS unpriced,
sum(estimated) AS estimated, avg(ttft_ms) AS ttft_ms"""


async def sums(
    database: Database, where: str, values: Sequence[Any], by: str = "''", most: int = -1
) -> list[dict[str, Any]]:
    """What requests add up to, by a column, without one in a single row; none of nothing. Raises DatabaseFault.

    `cost_usd` sums what is priced; `unpriced` counts the answered requests whose price nobody knows.
    """
    sql = f"SELECT {by}, {_SUMS} FROM requests WHERE {where} GROUP BY 1 ORDER BY requests DESC LIMIT {most}"  # noqa: S608 - our own
    return await database.read(sql, values)


class UsageLedger:
    """One row per request, written in batches off the event loop; totals for Prometheus.

    Recording never waits: with the disk stuck, rows queue up to a limit, then are dropped and counted.
    """

    def __init__(
        self, database: Database, limits: Limits, *, log_form: str, out: Callable[[str], object] | None = None
    ):
        self._database = database
        self._limit = limits.ledger_rows
        self._log_form = log_form
        self._out = out
        self._waiting: list[tuple[LedgerRow, float, int]] = []
        self._some, self._full = asyncio.Event(), asyncio.Event()  # rows wait, or a batch of them
        self._flushing = asyncio.Lock()
        self._counted = 0  # of those that wait: they are in the totals already, and could not be written
        self._lock = threading.Lock()  # the totals are added to by the thread that writes
        self._writing = 0
        self.fault = ""  # why rows wait
        self.dropped = 0
        self.written = 0
        self._totals: dict[tuple[str, str, int, int, str], _Totals] = {}  # by router, API, stream, status, error
        self.attempts: collections.Counter[tuple[str, str]] = collections.Counter()
        self.failovers: collections.Counter[tuple[str, str, str]] = collections.Counter()
        self.malformed_frames = 0
        self.loop_lag_s = 0.0
        self._duration = _Histogram(_DURATION_BUCKETS)
        self._overhead = _Histogram(_OVERHEAD_BUCKETS)
        self._ttft = _Histogram(_DURATION_BUCKETS)
        self._chunk_gap = _Histogram(_CHUNK_BUCKETS)

    async def open(self) -> None:
        """Makes the table where there is none."""

        def make(connection: sqlite3.Connection) -> None:
            connection.execute(LEDGER_SQL)
            connection.execute(LEDGER_INDEX_SQL)

        await self._database.write(make)

    def record(self, row: LedgerRow, *, overhead_s: float = 0.0, chunks: int = 0) -> None:
        """Takes one request into account."""
        waiting = self._waiting
        if len(waiting) + self._writing < self._limit:
            waiting.append((row, overhead_s, chunks))
            if len(waiting) == 1:
                self._some.set()
            elif len(waiting) == LEDGER_BATCH:
                self._full.set()
        else:
            self.dropped += 1
            self._take([(row, overhead_s, chunks)])

    def count(self, row: LedgerRow) -> None:
        """Adds a request to the totals alone."""
        self._tally(((row, 0.0, 0),))

    def soon(self) -> None:
        """What is recorded now is not to wait for more."""
        self._full.set()

    def _tally(self, entries: Iterable[tuple[LedgerRow, float, int]]) -> None:
        """Adds to the totals."""
        with self._lock:
            for row, overhead_s, chunks in entries:
                self._add(row, overhead_s, chunks)

    def _add(self, row: LedgerRow, overhead_s: float, chunks: int) -> None:
        kind = (row.router or "none", row.api, row.stream, row.status, row.error_type)
        totals = self._totals.get(kind)
        if totals is None:
            totals = self._totals[kind] = _Totals()
        totals.requests += 1
        if row.prompt_tokens or row.completion_tokens:
            totals.prompt += row.prompt_tokens
            totals.completion += row.completion_tokens
            totals.cached += row.cached_tokens
            totals.reasoning += row.reasoning_tokens
            if row.cost_usd is None:
                totals.unpriced += 1
            else:
                totals.priced += 1
                totals.cost_usd += row.cost_usd
        self._duration.add(row.duration_ms / 1000)
        if overhead_s:
            self._overhead.add(overhead_s)
        if row.ttft_ms is not None:
            self._ttft.add(row.ttft_ms / 1000)
            if chunks > 1:
                self._chunk_gap.add((row.duration_ms - row.ttft_ms) / 1000 / (chunks - 1))

    async def run(self) -> None:
        """Writes what was recorded, again and again: soon, and in batches small enough to disturb nobody."""
        while True:
            await self._some.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEDGER_FLUSH_S):
                    await self._full.wait()
            await asyncio.shield(self.flush())  # rows taken out are written, or put back, even at a stop

    async def flush(self) -> None:
        """Writes what was recorded until now.

        What cannot be written now waits for the next time, as far as `ledger_rows` go; the rest is dropped and counted.
        """
        async with self._flushing:
            entries, self._waiting = self._waiting, []
            counted, self._counted = self._counted, 0
            self._some.clear()
            self._full.clear()
            if not entries:
                return
            self._writing = len(entries)
            left: list[tuple[LedgerRow, float, int]] = []
            try:
                take = functools.partial(self._take, entries[counted:])
                await self._database.write(functools.partial(self._write, entries), take)
                self.written += len(entries)
                self.fault = ""
            except Exception as error:  # whatever is wrong with these, the next ones are to be written
                left = entries[: self._limit] if isinstance(error, DatabaseFault) and error.passing else []
                self.dropped += len(entries) - len(left)
                if left and not self.fault:
                    log.error("the ledger cannot be written, %d rows wait: %s", len(left), error)
                if len(entries) > len(left):
                    log.error("%d ledger rows are lost: %s", len(entries) - len(left), error)
                self.fault = str(error)
            finally:
                self._writing = 0
                self._waiting[:0] = left
                self._counted = len(left)
                if left:
                    self._some.set()

    def _take(self, entries: list[tuple[LedgerRow, float, int]]) -> None:
        """Adds to the totals and the log: once, whatever becomes of the database."""
        self._tally(entries)
        if self._out is not None:
            rows = [entry[0] for entry in entries]
            with contextlib.suppress(OSError, ValueError):  # no log is no reason to lose rows
                self._out("".join(map(log_line if self._log_form == "text" else json_line, rows)))

    def _write(self, entries: list[tuple[LedgerRow, float, int]], connection: sqlite3.Connection) -> None:
        rows = [entry[0] for entry in entries]
        for at in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[at : at + _ROWS_AT_ONCE]
            values = list(itertools.chain.from_iterable(map(msgspec.structs.astuple, some)))
            connection.execute(_LEDGER_INSERT + ",".join([_LEDGER_ROW] * len(some)), values)

    async def report(self, by: str, since: float, caller: str = "") -> list[dict[str, Any]]:
        """`sums` since a Unix time, of one caller or all, by one of `_GROUPS`. Raises BadRequest.

        Raises Unavailable while there are rows that cannot be written.
        """
        group = _GROUPS.get(by)
        if group is None:
            raise BadRequest(f"usage is shown by {', '.join(_GROUPS)}, not by {by!r}", param="by")
        await self.flush()
        if self._counted:  # the sums would lack them
            raise Unavailable(
                f"{self._counted} requests are not written yet: {self.fault}",
                code="database_not_written",
                retry_after_s=1,
                should_retry=True,
            )
        return await sums(
            self._database, "at >= ? AND (caller = ? OR ? = '')", (since, caller, caller), f"{group} AS {by}", 1000
        )

    def collect(self) -> Iterator[Metric]:
        """The totals, for prometheus-client."""
        with self._lock:  # the thread that writes would add to them meanwhile
            totals = tuple(self._families())
        yield from totals
        for name, words, labels, counts in (
            ("chomp_attempts", "Upstream calls", ("router", "outcome"), self.attempts),
            ("chomp_failovers", "Moves to another target", ("from", "to", "reason"), self.failovers),
        ):
            family = CounterMetricFamily(name, words, labels=labels)
            for key, count in counts.items():
                family.add_metric(key, count)
            yield family
        yield CounterMetricFamily(
            "chomp_malformed_frames", "Stream frames that were not JSON, passed on", value=self.malformed_frames
        )
        yield GaugeMetricFamily("chomp_ledger_queue", "Ledger rows not yet on disk", value=self.queued)
        yield CounterMetricFamily(
            "chomp_ledger_dropped", "Ledger rows lost to a full queue or a failing disk", value=self.dropped
        )
        yield GaugeMetricFamily("chomp_event_loop_lag_seconds", "How late a timer last fired", value=self.loop_lag_s)

    def _families(self) -> Iterator[Metric]:
        """What the thread that writes adds to."""
        requests = CounterMetricFamily(
            "chomp_requests", "Requests answered", labels=["router", "endpoint", "stream", "status", "error_type"]
        )
        routers: dict[str, _Totals] = {}
        for (router, api, stream, status, error_type), one in self._totals.items():
            requests.add_metric([router, api, "true" if stream else "false", str(status), error_type], one.requests)
            routers.setdefault(router, _Totals()).add(one)
        yield requests
        yield self._duration.metric("chomp_request_duration_seconds", "From a request's arrival to its last byte")
        yield self._overhead.metric(
            "chomp_overhead_seconds", "Time to the answer's start that was not spent waiting upstream"
        )
        yield self._ttft.metric("chomp_ttft_seconds", "From a request's arrival to its first content")
        yield self._chunk_gap.metric(
            "chomp_inter_chunk_seconds", "Mean gap between a stream's reads, one value a stream"
        )
        tokens = CounterMetricFamily(
            "chomp_tokens", "Tokens, cached within prompt, reasoning within completion", labels=["router", "type"]
        )
        cost = CounterMetricFamily("chomp_cost_usd", "Cost of what is priced", labels=["router"])
        for router, one in routers.items():
            for kind in ("prompt", "completion", "cached", "reasoning"):
                if count := getattr(one, kind):
                    tokens.add_metric([router, kind], count)
            if one.priced:
                cost.add_metric([router], one.cost_usd)
        yield tokens
        yield cost
        unpriced = sum(one.unpriced for one in routers.values())
        yield CounterMetricFamily("chomp_unpriced_requests", "Answers whose price nobody knows", value=unpriced)

    @property
    def queued(self) -> int:
        return len(self._waiting) + self._writing


@functools.lru_cache(maxsize=2)
def _clock_time(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


def log_line(row: LedgerRow) -> str:
    """One request for a person's eyes."""
    target = f"{row.router}/{row.sent_model}" if row.router else row.asked_model or "-"
    cost = "unpriced" if row.cost_usd is None else f"${row.cost_usd:.6f}"
    ttft = "" if row.ttft_ms is None else f" ttft {row.ttft_ms:.0f}ms"
    tries = f" {row.attempts} attempts" if row.attempts > 1 else ""
    return (
        f"{_clock_time(int(row.at))} {row.api} {header_value(target)} {row.status}{' ' if row.error_type else ''}"
        f"{row.error_type} {row.duration_ms:.0f}ms{ttft} {'~' if row.estimated else ''}{row.prompt_tokens}+"
        f"{row.completion_tokens} tok {cost}{tries} {row.caller} {row.request_id}\n"
    )


def json_line(row: LedgerRow) -> str:
    """One request for a log collector."""
    return msgspec.json.encode(row).decode() + "\n"


RESERVED_TOKENS = 8192  # of an answer, at most, until it is known


class Budget(msgspec.Struct, eq=False):
    """Tokens and USD that may be used until a moment, and what of them is used, or reserved by requests under way.

    Without a limit (None) it only counts.
    """

    tokens: int | None = None
    usd: float | None = None
    ends_at: float = math.inf  # Unix seconds
    used_tokens: int = 0
    used_usd: float = 0.0
    reserved_tokens: int = 0
    reserved_usd: float = 0.0

    @property
    def left_tokens(self) -> int | None:
        """May be below 0."""
        return None if self.tokens is None else self.tokens - self.used_tokens - self.reserved_tokens

    @property
    def left_usd(self) -> float | None:
        return None if self.usd is None else self.usd - self.used_usd - self.reserved_usd

    def use(self, tokens: int, usd: float) -> None:
        self.used_tokens += tokens
        self.used_usd += usd

    def reserve(self, tokens: int, usd: float) -> None:
        """Below 0 to give back what was reserved."""
        self.reserved_tokens += tokens
        self.reserved_usd = max(0.0, self.reserved_usd + usd)  # sums of fractions are not exact

    def used_up(self, who: str, whose: str, notes: tuple[str, str] = ("", "")) -> str:
        """What is used up, in words, with `notes` on tokens and USD; "" when nothing is."""
        if self.tokens is not None and self.used_tokens >= self.tokens:
            return f"{who} used {self.used_tokens:,} of {whose} {self.tokens:,} tokens{notes[0]}"
        if self.usd is not None and self.used_usd >= self.usd:
            return f"{who} used ${self.used_usd:.4f} of {whose} ${self.usd:.4f}{notes[1]}"
        return ""


def most_tokens(budgets: Iterable[Budget], prompt: int, price: Price | None) -> int | None:
    """How many tokens are left in all `budgets` for an answer to `prompt` tokens; None when it may have any number."""
    left = []
    for one in budgets:
        if (tokens := one.left_tokens) is not None:
            left.append(tokens - prompt)
        if (usd := one.left_usd) is not None and (payable := affordable_tokens(usd, prompt, price)) is not None:
            left.append(payable)
    return min(left, default=None)


class _Spending:
    """One user's budgets, and running requests."""

    __slots__ = ("day", "minute", "month", "running")

    def __init__(self) -> None:
        self.minute: collections.deque[float] = collections.deque()  # when requests of the last 60 s came
        self.running = 0
        self.day = Budget(ends_at=-math.inf)
        self.month = Budget(ends_at=-math.inf)


class Reservation(msgspec.Struct, gc=False):
    """What an admitted request may use at most, of budgets that may have ended when it is over."""

    spending: _Spending
    day: Budget
    month: Budget
    tokens: int
    usd: float


def day_end(now: float) -> float:
    """The next midnight, UTC."""
    return (now // 86400 + 1) * 86400


def month_end(now: float) -> float:
    """The first second of the next month, UTC."""
    year, month = time.gmtime(now)[:2]
    return float(calendar.timegm((year + month // 12, month % 12 + 1, 1, 0, 0, 0)))


def month_start(now: float) -> float:
    return float(calendar.timegm((*time.gmtime(now)[:2], 1, 0, 0, 0)))


class Allowances:
    """What users may still use: reserved when a request is admitted, settled when it is over.

    Days and months are UTC's. What was used is in the ledger, from which a start reads it; reservations die with the
    process.
    """

    def __init__(self, database: Database, clocks: Clocks = CLOCKS):
        self._database = database
        self._now, self._steady = clocks.wall, clocks.steady
        self._spending: dict[str, _Spending] = {}

    async def open(self, until: float = math.inf) -> None:
        """Reads what was used today and this month, by requests that came in up to `until`."""
        now = self._now()
        where = "at >= ? AND at <= ? AND task = ''"
        for row in await sums(self._database, where, (day_end(now) - 86400, until), "caller"):
            self._of(row["caller"], now).day.use(row["prompt_tokens"] + row["completion_tokens"], 0.0)
        for row in await sums(self._database, where, (month_start(now), until), "caller"):
            self._of(row["caller"], now).month.use(0, row["cost_usd"] or 0.0)

    def _of(self, name: str, now: float) -> _Spending:
        spending = self._spending.get(name)
        if spending is None:
            spending = self._spending[name] = _Spending()
        if now >= spending.day.ends_at:
            spending.day = Budget(ends_at=day_end(now))
        if now >= spending.month.ends_at:
            spending.month = Budget(ends_at=month_end(now))
        while spending.minute and self._steady() - spending.minute[0] >= 60:
            spending.minute.popleft()
        return spending

    def _of_user(self, user: User) -> _Spending:
        """The same, with the limits that `user` has now."""
        spending = self._of(user.name, self._now())
        spending.day.tokens, spending.month.usd = user.tokens_per_day, user.usd_per_month
        return spending

    def admit(self, user: User, tokens: int, usd: float) -> Reservation:
        """Reserves what a request may use at most. Raises Busy when that is more than is left."""
        now, spending = self._now(), self._of_user(user)
        day, month = spending.day, spending.month
        if user.parallel is not None and spending.running >= user.parallel:
            raise self._refusal(user, f"{user.parallel} requests of {user.name} are running already", 1.0)
        if user.requests_per_minute is not None and len(spending.minute) >= user.requests_per_minute:
            words = f"{user.name} may send {user.requests_per_minute} requests a minute"
            raise self._refusal(user, words, self._minute_s(spending) or 60.0)
        if (left := day.left_tokens) is not None and tokens > left:
            words = f"{max(0, left)} of {user.name}'s {day.tokens} tokens are left today (UTC)"
            if left > 0:
                words += f", this request may use {tokens}: a smaller max_tokens makes it fit"
            raise self._refusal(user, words, day.ends_at - now, quota=True)
        if (left_usd := month.left_usd) is not None and usd > left_usd + 1e-9:
            words = f"{max(0.0, left_usd):.4f} of {user.name}'s {month.usd:g} USD are left this month (UTC)"
            if left_usd > 0:
                words += f", this request may cost {usd:.4f}"
            raise self._refusal(user, words, month.ends_at - now, quota=True)
        spending.running += 1
        if user.requests_per_minute is not None:
            spending.minute.append(self._steady())
        day.reserve(tokens, 0.0)
        month.reserve(0, usd)
        return Reservation(spending, day, month, tokens, usd)

    def _minute_s(self, spending: _Spending) -> float:
        """When the first request of the last minute no longer counts; 0 when there is none."""
        return 60 - (self._steady() - spending.minute[0]) if spending.minute else 0.0

    def most_tokens(self, user: User, prompt: int, price: Price | None) -> int | None:
        """How many tokens `user` has left for an answer; None when it may have any number."""
        if not user.strict:
            return None
        spending = self._of_user(user)
        return most_tokens((spending.day, spending.month), prompt, price)

    def _refusal(self, user: User, words: str, wait_s: float, *, quota: bool = False) -> Busy:
        return Busy(
            words,
            type="insufficient_quota" if quota else None,
            code="insufficient_quota" if quota else None,
            fault="policy_budget" if quota else "policy_rate_limited",
            retry_after_s=wait_s,
            should_retry=not quota,
            headers=self.headers(user),
        )

    def settle(self, reservation: Reservation, tokens: int, usd: float) -> None:
        """A request is over and has used that much of the budgets it was admitted in."""
        reservation.spending.running -= 1
        reservation.day.reserve(-reservation.tokens, 0.0)
        reservation.month.reserve(0, -reservation.usd)
        reservation.day.use(tokens, 0.0)
        reservation.month.use(0, usd)

    def headers(self, user: User) -> dict[str, str]:
        """A user's limits as OpenAI's headers have them; nothing for what is without limit."""
        spending = self._of_user(user)
        lines: dict[str, str] = {}
        if (most := user.requests_per_minute) is not None:
            lines |= _limit_headers("requests", most, most - len(spending.minute), self._minute_s(spending))
        if (most := user.tokens_per_day) is not None:
            lines |= _limit_headers("tokens", most, spending.day.left_tokens or 0, spending.day.ends_at - self._now())
        return lines

    def report(self, user: User) -> dict[str, Any]:
        """What a user has used in the running windows."""
        spending = self._of(user.name, self._now())
        return {
            "running": spending.running,
            "tokens_today": spending.day.used_tokens,
            "usd_this_month": round(spending.month.used_usd, 6),
        }


def _limit_headers(kind: str, most: int, left: int, reset_s: float) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{kind}": str(most),
        f"x-ratelimit-remaining-{kind}": str(max(0, left)),
        f"x-ratelimit-reset-{kind}": f"{math.ceil(reset_s)}s",
    }


class Meter:
    """The traffic of one session of a task, as it happens.

    `earlier` is what sessions before it used of the task's budgets: tokens and USD.
    """

    __slots__ = (
        "_on_change", "budget_tokens", "budget_usd", "cached", "closed", "completion", "cost_usd", "earlier",
        "estimated", "flowing", "held", "held_for", "held_since", "last_s", "limited_until_s", "prompt", "refused",
        "reported", "requests", "running", "session", "soft_times", "soft_tokens", "task", "unpriced",
    )  # fmt: skip

    def __init__(self, task: str, session: str, on_change: Callable[[Meter], None], now_s: float):
        self.task = task
        self.session = session
        self._on_change = on_change
        self.requests = self.prompt = self.completion = self.cached = 0
        self.cost_usd: float | None = None  # of what is priced
        self.unpriced = 0  # answered requests whose price nobody knows
        self.estimated = 0  # requests whose tokens were estimated
        self.last_s = now_s  # when a request last came in or ended; of the steady clock
        self.running = 0  # requests under way
        self.flowing: dict[int, Usage] = {}  # what those of them have used so far that are being answered
        self.held = 0  # those of them that wait for a budget
        self.held_for = ""  # which, in words
        self.held_since: float | None = None  # the first of those since there was room; of the loop's clock
        self.refused = False  # one of them waited in vain
        self.limited_until_s = 0.0  # a router said 429 and until when, and nothing has succeeded; of the lasting clock
        self.closed = False
        self.earlier = (0, 0.0)
        self.budget_tokens: int | None = None  # set by somebody, all grants in it; None = none
        self.budget_usd: float | None = None
        self.soft_tokens: int | None = None  # crossing it is shown, and stops nothing
        self.soft_times = 0  # how often the default one; 0 = somebody said what it is to be
        self.reported = 0  # tokens the agent says it has used: they count where nothing was measured

    @property
    def measured(self) -> bool:
        """Whether anything was measured."""
        return bool(self.requests or self.flowing)

    def counted(self) -> Usage:
        """What was measured until now, with what is just coming."""
        flowing = self.flowing.values()
        return Usage(
            self.prompt + sum(one.prompt for one in flowing),
            self.completion + sum(one.completion for one in flowing),
            self.cached + sum(one.cached for one in flowing),
        )

    @property
    def tokens(self) -> int:
        now = self.counted()
        return now.prompt + now.completion

    def used(self) -> dict[str, Any]:
        """The session's numbers until now, as fields of `Session`; none without any."""
        if not self.measured:
            return {"tokens": self.reported, "reported": True} if self.reported else {}
        now = self.counted()
        tokens = {"prompt_tokens": now.prompt, "completion_tokens": now.completion, "cached_tokens": now.cached}
        counts = {name: getattr(self, name) for name in ("cost_usd", "requests", "unpriced", "estimated")}
        return {"tokens": now.prompt + now.completion, **tokens, **counts}

    @property
    def budget(self) -> Budget:
        """The task's, of all its sessions: a context sent again, and cached, does not count."""
        now = self.counted()
        measured = max(0, now.prompt + now.completion - now.cached)
        return Budget(
            self.budget_tokens,
            self.budget_usd,
            used_tokens=self.earlier[0] + (measured if self.measured else self.reported),
            used_usd=self.earlier[1] + (self.cost_usd or 0.0),
        )

    @property
    def exceeded(self) -> bool:
        """Whether a budget of the task is used up, be it one that stops nothing."""
        soft = self.soft_tokens is not None and self.budget.used_tokens >= self.soft_tokens
        return soft or self.over() != ""

    def over(self) -> str:
        """Which budget that somebody set for the task is used up, in words; "" when none is."""
        return self.budget.used_up(f"task {self.task} has", "its")

    def changed(self) -> None:
        try:
            self._on_change(self)
        except Exception:  # whoever looks on must not disturb the request
            log.exception("who watches the meter of task %s failed", self.task)


class Meters:
    """What running tasks use, and their budgets: a request over one is held until somebody grants more.

    Nothing is reserved: what runs already may overrun a budget, what comes after it waits. Days are UTC's; what all
    tasks used today is in the ledger, from which a start reads it.
    """

    def __init__(self, database: Database, settings: TaskSettings, clocks: Clocks = CLOCKS):
        self._database = database
        self._settings = settings
        self._now, self._lasting, self._steady = clocks.wall, clocks.lasting, clocks.steady
        self._meters: dict[tuple[str, str], Meter] = {}
        self._waiting: set[asyncio.Future[None]] = set()
        self._stopping = False
        self._day = Budget(ends_at=day_end(clocks.wall()))
        self._grants = 0  # of today

    def adopt(self, settings: TaskSettings) -> None:
        """Takes over settings written anew."""
        self._settings = settings
        for meter in self._meters.values():
            meter.soft_tokens = settings.budget_tokens * meter.soft_times or None
        self._look_again()

    async def read_today(self, until: float = math.inf) -> None:
        """Reads what all tasks have used today, by requests that came in up to `until`."""
        where = "at >= ? AND at <= ? AND task != ''"
        for row in await sums(self._database, where, (self._day.ends_at - 86400, until)):
            used = row["prompt_tokens"] + row["completion_tokens"] - row["cached_tokens"]
            self._day.use(used, row["cost_usd"] or 0.0)

    async def recorded(self, task: str, session: str) -> dict[str, Any]:
        """What a session used as the ledger has it, as fields of `Session`; empty without a request."""
        for row in await sums(self._database, "task = ? AND session = ?", (task, session)):
            fields = {name: value for name, value in row.items() if name in Session.__struct_fields__}
            return {**fields, "tokens": row["prompt_tokens"] + row["completion_tokens"]}
        return {}

    def today(self) -> Budget:
        """Of all tasks today."""
        now, settings = self._now(), self._settings
        if now >= self._day.ends_at:
            self._day, self._grants = Budget(ends_at=day_end(now)), 0
        times = 1 + self._grants
        self._day.tokens = settings.budget_tokens_per_day * times or None
        self._day.usd = settings.budget_usd_per_day * times or None
        return self._day

    # -- sessions

    def open(self, task: Task, session_id: str, on_change: Callable[[Meter], None]) -> Meter:
        """The meter of a session that starts. `on_change` is called when a request ends, is held or goes on."""
        meter = Meter(task.id, session_id, on_change, self._steady())
        before = [one for one in task.sessions if one.id != session_id]
        meter.earlier = (sum(map(budget_use, before)), sum(one.cost_usd or 0.0 for one in before))
        self._set_budgets(meter, task)
        self._meters[task.id, session_id] = meter
        return meter

    def _set_budgets(self, meter: Meter, task: Task) -> None:
        times = 1 + task.grants
        tokens, usd = task.budget_tokens, task.budget_usd  # 0 is said by who wants none
        meter.budget_tokens = tokens * times if tokens else None
        meter.budget_usd = usd * times if usd else None
        meter.soft_times = times if tokens is None else 0
        meter.soft_tokens = self._settings.budget_tokens * meter.soft_times or None

    def close(self, meter: Meter) -> None:
        """The session is over: what it still has waiting is refused."""
        meter.closed = True
        if self._meters.get((meter.task, meter.session)) is meter:
            del self._meters[meter.task, meter.session]
        self._look_again()

    def of(self, caller: Caller) -> Meter | None:
        """The meter of the session that `caller` is."""
        return self._meters.get((caller.task, caller.session))

    def budgeted(self, task: Task) -> None:
        """Somebody has given `task` other budgets."""
        for meter in self._meters.values():
            if meter.task == task.id:
                self._set_budgets(meter, task)
                meter.changed()
        self._look_again()

    def granted(self, task: Task) -> None:
        """Somebody lets `task` go on: its budgets are written anew; where the day's is used up, there is another."""
        for meter in self._meters.values():
            if meter.task == task.id:
                self._set_budgets(meter, task)
        while self._over_today():
            self._grants += 1
        self._look_again()

    # -- requests

    def began(self, caller: Caller) -> Meter | None:
        """A request of a task comes in; its meter, to be given back to `settled`."""
        meter = self._meters.get((caller.task, caller.session))
        if meter is not None:
            meter.running += 1
            meter.last_s = self._steady()
        return meter

    def over(self, meter: Meter) -> str:
        """Why a request of `meter`'s session has to wait, in words; "" when it need not, which ends a hold."""
        over = meter.over() or self._over_today()
        if not over:
            meter.held_since = None
        return over

    def _over_today(self) -> str:
        notes = " (UTC, budget_tokens_per_day)", " (UTC, budget_usd_per_day)"
        return self.today().used_up("all tasks have", "today's", notes)

    def flows(self, meter: Meter, request: int, usage: Usage) -> None:
        """What a request under way has used so far."""
        meter.flowing[request] = usage
        meter.changed()

    def most_tokens(self, meter: Meter, prompt: int, price: Price | None) -> int | None:
        """How many tokens are left for an answer of the budgets that hold `meter`'s session; None for any number."""
        if not self._settings.strict:
            return None
        return most_tokens((meter.budget, self.today()), prompt, price)

    async def room(self, meter: Meter) -> None:
        """Returns when a request of `meter`'s session may go on. Raises Busy when nobody let it for too long.

        What is sent again joins the hold of what was sent first: clients that try five times wait once.
        """
        loop = asyncio.get_running_loop()
        if meter.held_since is None:
            meter.held_since = loop.time()
        ends_at = meter.held_since + self._settings.hold_s
        if loop.time() >= ends_at and (over := self.over(meter)):
            raise self._refusal(meter, over)
        meter.held += 1
        try:
            while over := self.over(meter):
                if meter.closed:
                    raise Forbidden(f"session {meter.session} of task {meter.task} has ended", code="session_ended")
                if self._stopping:
                    raise Unavailable(
                        "chomp is shutting down", code="shutting_down", should_retry=True, fault="chomp_shed"
                    )
                if meter.held_for != over:
                    meter.held_for = over
                    meter.changed()
                waiter = loop.create_future()
                self._waiting.add(waiter)
                try:
                    async with asyncio.timeout_at(ends_at):
                        await waiter
                except TimeoutError:
                    raise self._refusal(meter, over) from None
                finally:
                    self._waiting.discard(waiter)
        finally:
            meter.held -= 1
            if not meter.held:
                meter.held_for = ""
                meter.changed()

    def _refusal(self, meter: Meter, over: str) -> Busy:
        meter.refused = True
        return Busy(
            f"{over}; `bin/chomp continue {meter.task}` grants as much again",
            code="budget_exceeded",
            fault="policy_budget",
            retry_after_s=None if meter.over() else self._day.ends_at - self._now(),
            should_retry=False,
        )

    def settled(self, meter: Meter | None, request: int, row: LedgerRow, retry_after_s: float | None) -> None:
        """A request of a task is over; `retry_after_s` is what it was told when it failed."""
        used = max(0, row.prompt_tokens + row.completion_tokens - row.cached_tokens)
        self.today().use(used, row.cost_usd or 0.0)  # of the day it ends on: what was held overnight is of the new one
        if meter is None:
            return
        meter.flowing.pop(request, None)
        meter.requests += 1
        meter.running -= 1
        meter.last_s = self._steady()
        meter.prompt += row.prompt_tokens
        meter.completion += row.completion_tokens
        meter.cached += row.cached_tokens
        meter.estimated += row.estimated
        if row.cost_usd is not None:
            meter.cost_usd = (meter.cost_usd or 0.0) + row.cost_usd
        elif row.prompt_tokens or row.completion_tokens:
            meter.unpriced += 1
        limited = row.status == 429 and row.error_type != "policy_budget"
        if retry_after_s and (limited or (row.status == 503 and row.error_type == "provider_overloaded")):
            meter.limited_until_s = self._lasting() + retry_after_s
        elif row.status < 400 and not row.error_type and row.api != "count_tokens":
            meter.limited_until_s = 0.0
        meter.changed()

    def tick(self) -> None:
        """Lets go what waited for the next day."""
        if self._waiting and self._now() >= self._day.ends_at:
            self._look_again()

    def stop(self) -> None:
        """chomp is shutting down: what is held waits no longer."""
        self._stopping = True
        self._look_again()

    def _look_again(self) -> None:
        for meter in self._meters.values():
            self.over(meter)
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)


# == Credentials =======================================================================================================

SHOWN_SECRET = "[hidden]"
_SECRET_NAME = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)  # of a header
_TASK_TOKEN = r"sk-chomp-task-\w+-[0-9a-f]{32}"  # the shape of all: hidden, also when they are dead
TASK_TOKENS = "sk-chomp-task-"  # what they begin with


def is_secret_name(name: str) -> bool:
    """Whether a header of that name holds a secret."""
    return bool(_SECRET_NAME.search(name))


class Credentials:
    """Router keys, callers' tokens, and the list of what must never be shown."""

    def __init__(self, settings: Settings, entered: Mapping[str, str], owner_token: str, users: Sequence[User] = ()):
        self._issued: dict[tuple[str, str], str] = {}  # task and session -> the hash of its token
        self._agents: dict[str, Caller] = {}  # by that hash
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.generation = 0  # another one hides more, or lets fewer in
        self.adopt(settings, entered, owner_token, users)

    def adopt(self, settings: Settings, entered: Mapping[str, str], owner_token: str, users: Sequence[User]) -> None:
        """Takes over what was written anew; secrets of before stay hidden."""
        self._environ = {**settings.environ, **entered}  # what the person entered wins
        self._owner_token = owner_token.encode()
        self.users = {user.name: user for user in users}
        self._callers = {user.token_sha256: Caller("user", user.name, user=user) for user in users} | self._agents
        for secret in (owner_token, *(given.get("token") for given in settings.users), *settings.proxies.secrets):
            if isinstance(secret, str):
                self.hide(secret)

    def keys(self, row: RouterDef) -> tuple[Key, ...]:
        """A router's key pool, in order; one empty key for routers that need none, nothing when it has none."""
        made: list[Key] = []
        for variable in row.key_env:
            for secret in self._environ.get(variable, "").replace(",", " ").split():
                made.append(Key(variable if not made else f"{variable}#{len(made) + 1}", secret))
        for secret in row.keys:
            made.append(Key(f"chomp.toml#{len(made) + 1}", secret))
        for name, value in row.headers:
            if _SECRET_NAME.search(name) and len(value) >= 8:
                self._secrets |= {value, value.removeprefix("Bearer ").strip()}
        usable = []
        for key in made:
            if not key.secret:
                continue
            if key.secret.isascii() and key.secret.isprintable():
                usable.append(key)
                self._secrets.add(key.secret)
            else:
                log.error("the key in %s has characters no key can have and is left out", key.id)
        self._forget_pattern()
        if not usable and (row.auth == "none" or row.kind in ("local", "host")):
            return (Key("none", ""),)
        return tuple(usable)

    def _forget_pattern(self) -> None:
        self._pattern = None
        self.generation += 1

    def hide(self, secret: str) -> None:
        """`secret` is one from now on."""
        self._secrets.add(secret)
        self._forget_pattern()

    def issue(self, task_id: str, session_id: str, router: str = "") -> str:
        """A token for one session of a task, whose requests go to `router` where one is named.

        Only its hash is kept, in memory. It is good until `revoke`, or until another is issued for the session.
        """
        self.revoke(task_id, session_id)
        token = f"{TASK_TOKENS}{task_id}-{secrets.token_hex(16)}"
        digest = hashlib.sha256(token.encode()).hexdigest()
        agent = Caller("task", f"task-{task_id}", task_id, session_id, router=router)
        self._issued[task_id, session_id] = digest
        self._agents[digest] = self._callers[digest] = agent
        return token

    def revoke(self, task_id: str, session_id: str) -> None:
        """The token of a session, if it has one, is nobody's from now on; its running requests go on."""
        if digest := self._issued.pop((task_id, session_id), None):
            del self._agents[digest], self._callers[digest]
            self.generation += 1

    def caller(self, authorization: str, api_key: str) -> Caller | None:
        """Whose token a request's `Authorization` or `x-api-key` header carries; None when it is nobody's."""
        scheme, _, token = authorization.partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else ""
        caller = self._caller(given or api_key)
        return caller if caller is not None or not (given and api_key) else self._caller(api_key)

    def knows(self, caller: Caller) -> bool:
        """Whether `caller` still is who came in: not a user taken out meanwhile, nor one whose token is another.

        Nor a session that has ended.
        """
        user = caller.user
        if caller.task:
            return self._callers.get(self._issued.get((caller.task, caller.session), "")) is caller
        return user is None or self._callers.get(user.token_sha256, OWNER).name == user.name

    def _caller(self, token: str) -> Caller | None:
        secret = token.encode("utf-8", "surrogateescape")
        if hmac.compare_digest(secret, self._owner_token):
            return OWNER
        if not self._callers or not token:
            return None
        caller = self._callers.get(hashlib.sha256(secret).hexdigest())  # how long that takes tells nothing of a hash
        if caller is not None and token not in self._secrets and not caller.task:
            self.hide(token)  # only its hash was known
        return caller

    def known(self) -> tuple[str, ...]:
        """Every known secret that is long enough to be one, for those who look for them in bytes."""
        return tuple(one for one in self._secrets if len(one) >= 8)

    def redact(self, text: str) -> str:
        """`text` with every known secret replaced, whatever put it there."""
        if self._pattern is None:
            words = sorted((s for s in self._secrets if len(s) >= 4), key=len, reverse=True)
            self._pattern = re.compile("|".join((*map(re.escape, words), _TASK_TOKEN)))
        return self._pattern.sub(SHOWN_SECRET, text)


def new_user_token(name: str) -> tuple[str, str]:
    """A token for a user, and the hash by which it is known."""
    token = f"chomp-{name}-{secrets.token_urlsafe(32)}"
    return token, hashlib.sha256(token.encode()).hexdigest()


CODE_S = 600.0
BANNER_CODE_S = 86400.0
BROWSER_KEY_S = 30 * 86400
_CODES_OPEN = 32
_TRIES = 10  # that one address may get wrong in a row; then it is told to wait
_TRIES_S = 60.0  # after so much quiet they are forgotten
_ADDRESSES = 1024  # whose wrong tries are remembered
BROWSER_KEY = "chomp-key-"  # what the keys of browsers begin with


class Logins:
    """How the owner's browser signs in: a code that is good once, then a key of its own that is good for 30 days.

    Keys are signed with one made from the owner's token: they survive a restart, and end with that token. A browser
    sends its key as a bearer token. It is no cookie: a browser sends those to every port of a host name, so to a server
    that an agent has started there.
    """

    def __init__(
        self,
        owner_token: str,
        clock: Callable[[], float] = time.time,
        lasting: Callable[[], float] = boot_s,
    ):
        self._now = clock
        self._lasting = lasting
        self._codes: dict[bytes, float] = {}  # the hash of a code -> until when it is good
        self._ended: dict[str, int] = {}  # of keys that were signed out, until they are too old anyway
        self._failures: dict[str, tuple[int, float]] = {}  # by address: wrong tries in a row, and when the last was
        self._key = b""
        self.adopt(owner_token)

    def adopt(self, owner_token: str) -> None:
        """Takes over the token: another one than before ends all keys and codes."""
        key = hmac.digest(owner_token.encode(), b"chomp browsers", "sha256")
        if key != self._key:
            self._key = key
            self._codes.clear()

    def code(self, lasts_s: float = CODE_S) -> str:
        """A code that signs in, once. Of too many, the one that would end first is given up."""
        now = self._lasting()
        self._codes = {digest: ends_at for digest, ends_at in self._codes.items() if now < ends_at}
        if len(self._codes) >= _CODES_OPEN:
            del self._codes[min(self._codes, key=self._codes.__getitem__)]
        code = secrets.token_urlsafe(24)
        self._codes[hashlib.sha256(code.encode()).digest()] = now + lasts_s
        return code

    def key(self, code: str) -> str | None:
        """A browser's key for a good code, which is used up then; None for any other."""
        digest = hashlib.sha256(code.encode("utf-8", "replace")).digest()
        found = [one for one in self._codes if hmac.compare_digest(one, digest)]
        if not found or self._lasting() >= self._codes.pop(found[0]):
            return None
        return self.new_key()

    def new_key(self) -> str:
        """A key for a browser that has proved to be the owner's."""
        signed = f"{secrets.token_hex(16)}.{int(self._now()) + BROWSER_KEY_S}"
        return f"{BROWSER_KEY}{signed}.{self._signature(signed)}"

    def _signature(self, signed: str) -> str:
        return hmac.digest(self._key, signed.encode("utf-8", "replace"), "sha256").hex()

    def check(self, key: str) -> bool:
        """Whether a browser's key is one of ours, and still good."""
        signed, _, signature = key.removeprefix(BROWSER_KEY).rpartition(".")
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), self._signature(signed).encode()):
            return False
        name, _, ends_at = signed.partition(".")
        return name not in self._ended and self._now() < int(ends_at)

    def end(self, key: str) -> None:
        """Signs out: a good key is none any more, unless chomp restarts."""
        if self.check(key):
            now = self._now()
            self._ended = {name: ends_at for name, ends_at in self._ended.items() if now < ends_at}
            name, ends_at, _ = key.removeprefix(BROWSER_KEY).split(".")
            self._ended[name] = int(ends_at)

    def failed(self, address: str) -> None:
        """A code or token from `address` was wrong. Raises Busy after too many of them.

        Nobody who has a good one is held up by those who guess, and nobody by what another address does.
        """
        now = self._lasting()
        failures, last_at = self._failures.pop(address, (0, 0.0))
        failures = failures + 1 if now - last_at < _TRIES_S else 1
        self._failures[address] = failures, now
        while len(self._failures) > _ADDRESSES:
            del self._failures[next(iter(self._failures))]  # who has been quiet longest
        if failures > _TRIES:
            raise Busy("too many wrong codes: wait a while", retry_after_s=_TRIES_S)

    def signed_in(self, address: str) -> None:
        """A try from `address` went well."""
        self._failures.pop(address, None)


# == Upstream ==========================================================================================================


# -- compressed bodies, of clients and of upstreams (RFC 9110 8.4)

DECODED_BYTES = 64 << 10  # at most, or not much more, in one piece
_CODED_BYTES = 4 << 10  # decoded at once
_CODINGS_MOST = 4  # one over another
_ZSTD_WINDOW = 23  # 8 MiB: more no sender may ask for (RFC 9659)
_MEMBERS_FREE, _MEMBER_BYTES = 256, 32  # members beyond these hold so much on average, or cost more than they bring


class CodingError(Exception):
    """A compressed body that cannot be decoded."""


class UnknownCoding(Exception):
    """A content coding that nobody here can decode."""


class _Zlib:
    """One member of gzip, or a zlib stream."""

    bits = 31

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(self.bits)
        self.rest = b""  # of what was taken: to be given again, or beyond the end
        self.full = False  # there is more, whether or not something comes
        self.over = False

    def take(self, data: bytes) -> bytes:
        """What comes of `data`, as far as it fits into one piece."""
        made = self._stream.decompress(data, DECODED_BYTES)
        self.over = self._stream.eof
        self.rest = self._stream.unused_data if self.over else self._stream.unconsumed_tail
        self.full = len(made) == DECODED_BYTES and not self.over
        return made


class _Deflate(_Zlib):
    """A zlib stream, or what some send instead: the same without its head."""

    def __init__(self) -> None:
        super().__init__()
        self._head = b""

    def take(self, data: bytes) -> bytes:
        if len(self._head) < 2:
            self._head += data
            if len(self._head) < 2:
                self.rest = b""
                return b""
            data = self._head
            has_head = data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._stream = zlib.decompressobj(15 if has_head else -15)
        return super().take(data)


class _Brotli:
    rest = b""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()
        self.full = self.over = False

    def take(self, data: bytes) -> bytes:
        made: bytes = self._stream.process(data, output_buffer_limit=DECODED_BYTES)
        self.over = self._stream.is_finished()
        self.full = not self.over and (bool(made) or not self._stream.can_accept_more_data())
        return made


class _Zstd:
    """One frame."""

    def __init__(self) -> None:
        self._stream = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW})
        self.rest = b""
        self.full = self.over = False

    def take(self, data: bytes) -> bytes:
        made = self._stream.decompress(data, DECODED_BYTES)
        self.over = self._stream.eof
        self.rest = self._stream.unused_data if self.over else b""
        self.full = not (self.over or self._stream.needs_input)
        return made


_CODINGS: dict[str, type[_Zlib | _Brotli | _Zstd]] = {
    "zstd": _Zstd, "br": _Brotli, "gzip": _Zlib, "x-gzip": _Zlib, "deflate": _Deflate,
}  # fmt: skip
_JOINED = (_Zlib, _Zstd)  # of these, one member after another is one body
ACCEPTED_CODINGS = "zstd, br, gzip, deflate"


def read_codings(values: Iterable[str]) -> tuple[str, ...]:
    """The codings that `Content-Encoding` names, in the order they were applied. Raises UnknownCoding."""
    found = tuple(
        name for value in values for one in value.split(",") if (name := one.strip().lower()) not in ("", "identity")
    )
    for name in found:
        if name not in _CODINGS:
            raise UnknownCoding(f"the content coding {name[:40]!r} is unknown here, {ACCEPTED_CODINGS} are known")
    if len(found) > _CODINGS_MOST:
        raise UnknownCoding(f"{len(found)} content codings, one over another, are more than {_CODINGS_MOST}")
    return found


class _Coding:
    """One coding of a body."""

    def __init__(self, kind: type[_Zlib | _Brotli | _Zstd]):
        self._kind = kind
        self._member: _Zlib | _Brotli | _Zstd | None = None  # until something comes
        self._members = self._made = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), _CODED_BYTES):
            rest, full = data[at : at + _CODED_BYTES], False
            while rest or full:
                member = self._member
                if member is None or member.over:
                    member = self._next()
                made = member.take(rest)
                rest, full = member.rest, member.full
                self._made += len(made)
                yield made

    def _next(self) -> _Zlib | _Brotli | _Zstd:
        if self._members and self._kind not in _JOINED:
            raise CodingError("something follows its end")
        self._members += 1
        if self._members > _MEMBERS_FREE and self._made < self._members * _MEMBER_BYTES:
            raise CodingError("it consists of many parts with next to nothing in them")
        self._member = self._kind()
        return self._member

    def end(self) -> None:
        if self._member is not None and not self._member.over:
            raise CodingError("its end is missing")


class Decoding:
    """A compressed body on its way, decoded as it comes: never more than a piece ahead of whoever takes it."""

    def __init__(self, codings: Sequence[str]):
        self._codings = [_Coding(_CODINGS[name]) for name in reversed(codings)]

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What `data` brings, in pieces, some of them empty: each is short work. Raises CodingError."""
        try:
            yield from self._through(data, 0)
        except (zlib.error, brotli.error, zstd.ZstdError, EOFError) as error:
            raise CodingError(str(error)) from None

    def _through(self, data: bytes, step: int) -> Iterator[bytes]:
        if step == len(self._codings):
            yield data
            return
        for piece in self._codings[step].feed(data):
            yield from self._through(piece, step + 1)

    def end(self) -> None:
        """Nothing more comes. Raises CodingError when it is not whole."""
        for coding in self._codings:
            coding.end()


# -- connections


_PIECE_BYTES = 16 << 10  # of a stream, worked on in one turn of the loop
_DECODED_AT_ONCE = 256 << 10  # of a compressed body, the same
_DECODED_LAST = 16 << 20  # of one whose connection is gone: there are no further turns


class UpstreamError(Exception):
    """An exchange with an upstream broke; `kind` is of ERROR_TYPES."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


class Taker(Protocol):
    """Who is handed an answer as it comes in. All of it is called from the event loop, none of it may block."""

    relays: bool  # whether `chunk` may be called

    def body(self, data: bytes) -> None:
        """What one read brought."""

    def chunk(self, run: bytes, framed: bytes) -> None:
        """The same when it was one chunk of whole frames, also with its framing."""

    def head(self, wire: Wire) -> None:
        """Status and headers are known."""

    def end(self, error: UpstreamError | None) -> None:
        """The answer is over: properly (None) or broken."""


PAUSE_BYTES = 256 << 10  # unsent towards a slow client, at which its upstream is paused


class Wire(asyncio.Protocol):
    """One connection to an upstream, one exchange at a time.

    llhttp parses the answer; framing it does not accept breaks the exchange. Bytes that come when nobody asked, or
    after an answer's end, close the connection, so that no answer is ever taken for another's.
    """

    __slots__ = (
        "_between", "_body", "_close_delimited", "_decoding", "_ends_at", "_fed", "_head_limit", "_in_head",
        "_informational", "_keep", "_parser", "_pieces", "_pool", "_proxy", "_rest", "_spoiled", "_taker",
        "_transport", "answer_head", "headers", "idle_since", "on_body", "origin", "paused", "received", "reused",
        "status",
    )  # fmt: skip

    def __init__(self, pool: UpstreamPool, origin: Origin, head_limit: int, proxy: str = ""):
        self._pool = pool
        self.origin = origin
        self._proxy = proxy  # at the other end, which has to be told the whole address
        self._head_limit = head_limit
        self._transport: asyncio.Transport | None = None
        self._taker: Taker | None = None
        self._body: list[bytes] = []  # what a read brought of it
        self.on_body = self._body.append  # what llhttp calls: nothing of ours in between
        self._ends_at = 0  # how many parts of that belong to the answer
        self._rest = b""  # of what a read brought, for further turns of the loop
        self._decoding: Decoding | None = None  # of a compressed body
        self._pieces: Iterator[bytes] | None = None  # of what a read brought, being decoded
        self._between = False  # the parser stands between two chunks
        self._in_head = True
        self._informational = self._close_delimited = self._spoiled = self._keep = False
        self._fed = 0
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.answer_head = (b"", b"", b"")  # of them: lines for the client, type, encodings
        self.received = False  # any byte of the present answer
        self.reused = self.paused = False
        self.idle_since = 0.0
        self._parser: Any = httptools.HttpResponseParser(self)

    # -- the exchange

    def start(self, taker: Taker, head: bytes, body: bytes) -> None:
        """Sends a request; `taker` hears of the answer."""
        assert self._transport is not None
        self._taker = taker
        self._in_head = True
        self._between = False
        self._fed = 0
        self._decoding = None
        self.headers = []
        self.received = False
        if self._proxy:
            head = _for_proxy(head, self.origin, self._proxy)
        if len(body) < 65536:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def decode(self, codings: Sequence[str]) -> None:
        """The body that follows is compressed: it is handed on decoded."""
        self._decoding = Decoding(codings)

    def abort(self, taker: Taker) -> None:
        """Ends `taker`'s exchange at once, if it is still going on; the upstream sees the connection go."""
        if self._taker is taker:
            self._taker = None
            self.drop()

    def drop(self) -> None:
        """Closes the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Reads no more until `resume`, so that the upstream feels its client's pace."""
        if not self.paused and self.usable:
            self.paused = True
            cast(asyncio.Transport, self._transport).pause_reading()

    def resume(self) -> None:
        if self.paused and self.usable:
            self.paused = False
            if self._rest or self._pieces is not None:
                asyncio.get_running_loop().call_soon(self._go_on)
            else:
                cast(asyncio.Transport, self._transport).resume_reading()

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if len(data) > _PIECE_BYTES and self._put_off(data):
            data = data[:_PIECE_BYTES]
        taker = self._taker
        if taker is None:
            self.close()
            return
        if self._between and taker.relays:
            # The usual read of a stream: one chunk, framed as we frame. The parser would stand where it stands now.
            start = data.find(b"\n", 0, 8) + 1
            size = len(data) - start - 2
            if size > 0 and data.startswith(b"%x\r\n" % size) and data.endswith(b"\n\n\r\n"):
                taker.chunk(data[start:-2], data)
                return
        self.received = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if not self._keep:
                self._break("provider_error", "the upstream switched protocols")
                return
            self._spoiled = True
        except httptools.HttpParserError as error:
            if not self._keep:
                kind = "provider_error" if self._in_head else "provider_incomplete"
                self._break(kind, f"the upstream sent bad HTTP: {error}")
                return
            self._spoiled = True  # the answer is whole, what follows it is not HTTP
        if self._in_head:
            self._fed += len(data)
            if self._fed > self._head_limit:
                self._break("provider_error", "the upstream's response head is too large")
                return
        if self._taker is not taker:  # its head was enough
            return
        if parts := self._body:
            if self._spoiled:
                del parts[self._ends_at :]
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            parts.clear()
            if self._decoding is not None:
                self._between = False
                self._pieces = self._decoding.feed(body)
                self._hand_on()
                return
            # what ends like this can only be the end of a chunk whose last bytes were `body`'s
            self._between = body.endswith(b"\n\n") and data.endswith(b"\n\n\r\n")
            taker.body(body)
        else:
            self._between = False
        if self._keep:  # the message is complete
            self._complete()

    def _put_off(self, data: bytes) -> bool:
        """Whether the rest of `data` waits for further turns of the loop: many small frames take long."""
        if not self._in_head and b"event-stream" not in self.answer_head[1]:
            return False
        self._rest = data[_PIECE_BYTES:]
        if self._transport is not None:
            self._transport.pause_reading()
        asyncio.get_running_loop().call_soon(self._go_on)
        return True

    def _go_on(self) -> None:
        if self.paused or not self.usable:
            return
        if self._pieces is not None:
            self._hand_on()
            if self._rest and self._pieces is None:
                asyncio.get_running_loop().call_soon(self._go_on)
        elif self._rest:
            rest, self._rest = self._rest, b""
            self.data_received(rest)
        else:
            return
        if not (self._rest or self.paused or self._pieces is not None) and self.usable:
            cast(asyncio.Transport, self._transport).resume_reading()

    def _hand_on(self) -> None:
        """Hands on what a read brought, decoded: a little may become much, so that others have their turn meanwhile."""
        pieces, taker, worked = cast(Iterator[bytes], self._pieces), self._taker, 0
        lost = self._transport is None  # then all of it is due, within bounds
        most = _DECODED_LAST if lost else _DECODED_AT_ONCE
        try:
            while worked < most and (lost or not self.paused):
                piece = next(pieces, None)
                worked += _CODED_BYTES + len(piece or b"")
                if piece and taker is not None:
                    taker.body(piece)
                if piece is None or taker is None or self._taker is not taker:  # it has heard all, or enough
                    self._pieces = None
                    break
        except CodingError as error:
            self._pieces = None
            self._break("provider_error", f"the upstream's compressed answer cannot be decoded: {error}")
            return
        if self._pieces is None:
            if self._keep:
                self._complete()
        elif self._transport is None:
            self._pieces = None
            self._break("provider_incomplete", "the upstream left with more of its answer than can be held")
        elif not self.paused:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._go_on)

    def _whole(self) -> UpstreamError | None:
        """What is wrong with a body whose last byte came."""
        try:
            if self._decoding is not None:
                self._decoding.end()
        except CodingError as error:
            return UpstreamError("provider_incomplete", f"the upstream's compressed answer is not whole: {error}")
        return None

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        while self._taker is not None and (self._rest or self._pieces is not None):  # it came before
            if self._pieces is not None:
                self._hand_on()
                continue
            rest, self._rest = self._rest, b""
            self.data_received(rest)
        self._parser = None  # breaks a reference cycle
        self._pool.forget(self)
        taker, self._taker = self._taker, None
        if taker is None:
            return
        if self._close_delimited and not self._in_head and exc is None:
            taker.end(self._whole())
        elif self.received:
            taker.end(
                UpstreamError("provider_incomplete", "the upstream closed the connection in the middle of its answer")
            )
        else:
            taker.end(UpstreamError("provider_connect", "the upstream closed the connection without an answer"))

    # -- llhttp

    def on_message_begin(self) -> None:
        if self._keep or self._taker is None:
            self._spoiled = True  # more than the answer that was asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head and not self._spoiled:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._spoiled:
            return
        status = self._parser.get_status_code()
        self._informational = 100 <= status < 200
        if self._informational:  # 100 Continue, 103 Early Hints: the answer is still to come
            self.headers = []
            return
        self.status = status
        self._in_head = False
        shown, kind, encoding, is_framed = answer_head(self.headers)
        self.answer_head = shown, kind, encoding
        self._close_delimited = not is_framed and status not in (204, 304)
        if self._taker is not None:
            self._taker.head(self)

    def on_message_complete(self) -> None:
        if not self._spoiled:
            self._ends_at = len(self._body)
        if self._informational:
            self._informational = False
        elif self._parser.should_keep_alive():
            self._keep = True
        else:
            self._keep = self._spoiled = True

    def _complete(self) -> None:
        taker, self._taker = self._taker, None
        if self._spoiled or not self._keep or self._rest or self._transport is None:
            self.close()
        else:
            self._keep = False
            self._pool.give_back(self)
        if taker is not None:
            taker.end(None if self._decoding is None else self._whole())

    def _break(self, kind: str, message: str) -> None:
        taker, self._taker = self._taker, None
        if parts := self._body:
            if taker is not None and not self._in_head:
                taker.body(b"".join(parts))
            parts.clear()
        if self._transport is not None:
            self._transport.abort()
        if taker is not None:
            taker.end(UpstreamError(kind, message))


async def _reached(host: str, port: int) -> socket.socket:
    """A socket that is connected to one of the host's addresses. Raises OSError or UnicodeError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    sock = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=0.25, loop=loop)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _authority(origin: Origin) -> str:
    return f"{f'[{origin.host}]' if ':' in origin.host else origin.host}:{origin.port}"


def _proxy_authorization(proxy: str) -> str:
    return f"proxy-authorization: Basic {basic_credentials(proxy)}\r\n" if "@" in proxy else ""


def _for_proxy(head: bytes, origin: Origin, proxy: str) -> bytes:
    """A request's head in the form that a proxy is sent (RFC 9112 3.2.2)."""
    method, _, rest = head.partition(b" ")
    line, _, lines = rest.partition(b"\r\n")
    host, own = _authority(origin).removesuffix(":80").encode("ascii"), _proxy_authorization(proxy).encode()
    return b"%b http://%b%b\r\n%b%b" % (method, host, line, own, lines)


async def _tunnelled(sock: socket.socket, origin: Origin, proxy: str) -> None:
    """Has the proxy at the other end of `sock` connect it to `origin` (RFC 9110 9.3.6).

    It is done on the bare socket, so that TLS begins on it as on any other. Closes it and raises UpstreamError when the
    proxy does not want to.
    """
    loop = asyncio.get_running_loop()
    target, answer = _authority(origin), b""
    try:
        asked = f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n{_proxy_authorization(proxy)}\r\n"
        await loop.sock_sendall(sock, asked.encode("ascii"))
        while b"\r\n\r\n" not in answer:
            part = await loop.sock_recv(sock, 4096)
            answer += part
            if not part or len(answer) > _PROXY_HEAD_BYTES:
                raise UpstreamError("provider_connect", "the proxy gave no answer that can be understood")
        said, _, rest = answer.partition(b"\r\n\r\n")
        status = re.match(rb"HTTP/1\.[01] (\d{3})(?!\d)", said)
        if status is None or (status[1].startswith(b"2") and rest):  # TLS begins with us
            raise UpstreamError("provider_connect", "the proxy gave no answer that can be understood")
        if status[1] == b"407":
            raise UpstreamError("provider_connect", "the proxy wants a user and a password, or other ones (407)")
        if not status[1].startswith(b"2"):
            raise UpstreamError("provider_connect", f"the proxy answered {status[1].decode()}")
    except BaseException:
        sock.close()
        raise


_PROXY_HEAD_BYTES = 64 << 10  # of a proxy's answer


class UpstreamPool:
    """Keep-alive connections to upstreams, by origin; the last used is the first used again."""

    def __init__(self, timeouts: Timeouts, limits: Limits, proxies: Proxies = NO_PROXIES):
        self._timeouts = timeouts
        self._limits = limits
        self._proxies = proxies
        self._idle: dict[Origin, list[Wire]] = {}
        self._idle_count = 0
        self._open: set[Wire] = set()
        self._tls: ssl.SSLContext | None = None

    def take(self, origin: Origin) -> Wire | None:
        """An idle connection; it may turn out to be stale."""
        idle = self._idle.get(origin)
        while idle:
            wire = idle.pop()
            self._idle_count -= 1
            if wire.usable:
                wire.reused = True
                return wire
        return None

    async def connect(self, origin: Origin) -> Wire:
        """A new connection, through the proxy that is set for it. Raises UpstreamError."""
        loop = asyncio.get_running_loop()
        proxy = self._proxies.of(origin.tls, origin.host, origin.port)
        tls: dict[str, Any] = {}
        if origin.tls:
            if self._tls is None:
                self._tls = ssl.create_default_context()
            tls = {"ssl": self._tls, "server_hostname": origin.host}
        through = " through the proxy" if proxy else ""
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                if not proxy:
                    sock = await _reached(origin.host, origin.port)
                else:
                    url = urllib.parse.urlsplit(proxy)
                    sock = await _reached(url.hostname or "", url.port or 80)
                    if origin.tls:
                        await _tunnelled(sock, origin, proxy)
                _, wire = await loop.create_connection(
                    lambda: Wire(self, origin, self._limits.head_bytes, "" if origin.tls else proxy), sock=sock, **tls
                )
        except TimeoutError:
            words = f"no connection{through} within {self._timeouts.connect_s:g} s"
            raise UpstreamError("provider_connect", words) from None
        except ssl.SSLError as error:
            raise UpstreamError("provider_connect", f"TLS failed: {error.reason or error}") from None
        except (OSError, UnicodeError) as error:
            number = getattr(error, "errno", None) or 0
            words = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or str(error)
            raise UpstreamError("provider_connect", f"no connection{through}: {words}") from None
        self._open.add(wire)
        return wire

    def give_back(self, wire: Wire) -> None:
        """A connection whose answer is complete."""
        if self._idle_count >= self._limits.idle_connections or not wire.usable:
            wire.close()
            return
        wire.idle_since = time.monotonic()
        if wire.paused:
            wire.resume()
        idle = self._idle.get(wire.origin)
        if idle is None:
            idle = self._idle[wire.origin] = []
        idle.append(wire)
        self._idle_count += 1

    def forget(self, wire: Wire) -> None:
        """A connection that is gone."""
        self._open.discard(wire)
        idle = self._idle.get(wire.origin)
        if idle and wire in idle:
            idle.remove(wire)
            self._idle_count -= 1

    async def run(self) -> None:
        """Closes connections unused for too long, again and again."""
        while True:
            await asyncio.sleep(min(10.0, self._timeouts.pool_idle_s))
            limit = time.monotonic() - self._timeouts.pool_idle_s
            for origin, idle in list(self._idle.items()):
                for wire in [wire for wire in idle if wire.idle_since < limit]:
                    wire.close()
                if not idle:
                    del self._idle[origin]

    def close(self) -> None:
        """Closes all connections."""
        for wire in tuple(self._open):
            wire.drop()


class LocalModel:
    """The embedded model: a child process started on first use, that ends when chomp does.

    Restarted when it dies, at most RESTARTS times in RESTARTS_S seconds.
    """

    RESTARTS = 3
    RESTARTS_S = 600.0
    SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    FILE = "smollm2-135m-instruct-q4_1.gguf"

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        background: Background,
        script: Path = HERE / "bin" / "local-model",
    ):
        self._settings = settings
        self._credentials = credentials
        self._script = script
        self._background = background
        self._starting: asyncio.Task[Unavailable | None] | None = None
        self._child: asyncio.subprocess.Process | None = None
        self._starts: collections.deque[float] = collections.deque(maxlen=self.RESTARTS + 1)
        self.origin: Origin | None = None
        self.key = ""
        self.load_ms = 0.0
        self.starts = 0
        self.error = ""

    @property
    def weights(self) -> Path:
        return self._settings.local_gguf or self._settings.cache_dir / self.FILE

    @property
    def missing(self) -> str:
        """What has to be done before it can run, as a sentence; "" when nothing has."""
        own = self._settings.local_gguf
        if own is not None and not own.is_file():
            return f"the embedded model's file is not there: {own}"
        in_venv = Path(sys.prefix) == HERE / ".venv"
        words = shlex.join([sys.executable, str(self._script), "install"])
        remedy = f"run `{HERE / 'bin' / 'up'} --install-only`" if in_venv else f"run `{words}`"
        if importlib.util.find_spec("xllamacpp") is None:
            return f"the embedded model's engine is not installed: {remedy}"
        if not self.weights.is_file():
            return f"the embedded model's weights are not here: {remedy}"
        return ""

    @property
    def state(self) -> str:
        """For people: running, ready to start, or what is missing."""
        if self._child is not None and self._child.returncode is None and self.origin:
            return "running"
        return self.missing or self.error or "starts on first use"

    async def ready(self) -> tuple[Origin, str]:
        """Where the child listens and its key, the child started if need be. Raises Unavailable."""
        if self.origin and self._child is not None and self._child.returncode is None:
            return self.origin, self.key
        if self._starting is None:
            # its own task: an asker who leaves does not take the start away from the others
            self._starting = self._background.start("start of the embedded model", self._try_start())
        if (refused := await asyncio.shield(self._starting)) is not None:
            raise refused
        assert self.origin is not None
        return self.origin, self.key

    async def _try_start(self) -> Unavailable | None:
        try:
            await self._start()
        except Unavailable as error:
            return error
        finally:
            self._starting = None
        return None

    async def _start(self) -> None:
        self.origin = None
        if missing := self.missing:
            raise Unavailable(missing, code="local_model_not_installed", should_retry=False)
        now = time.monotonic()
        if len(self._starts) > self.RESTARTS and now - self._starts[0] < self.RESTARTS_S:
            wait = self.RESTARTS_S - (now - self._starts[0])
            raise Unavailable(
                f"the embedded model died {self.RESTARTS} times and rests now: {self.error or 'no reason given'}",
                code="local_model_down",
                retry_after_s=wait,
                should_retry=False,
            )
        self._starts.append(now)
        self.key = secrets.token_urlsafe(24)
        self._credentials.hide(self.key)
        argv = [sys.executable, str(self._script), "serve", str(self.weights)]
        argv += ["--sleep-s", str(max(1, round(self._settings.timeouts.local_idle_s)))]
        if self._settings.local_gguf is None:
            argv += ["--check-sha256", self.SHA256]
        passed_on = ("PATH", "HOME", "XDG_CACHE_HOME", "LANG", "LD_LIBRARY_PATH")
        environ = {name: self._settings.environ[name] for name in passed_on if name in self._settings.environ}
        child = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environ,
        )
        self._child = child
        assert child.stdin is not None and child.stdout is not None
        line = b""
        try:
            async with asyncio.timeout(self._settings.timeouts.local_start_s):
                child.stdin.write(self.key.encode() + b"\n")
                await child.stdin.drain()
                line = await child.stdout.readline()
            said = msgspec.json.decode(line, type=dict[str, Any])
            url = urllib.parse.urlsplit(said["url"])
            self.origin = Origin(False, url.hostname or "", url.port or 0)
        except (TimeoutError, OSError, msgspec.DecodeError, KeyError, ValueError):
            self.error = await self._why(child, line)
            raise Unavailable(
                f"the embedded model did not start: {self.error}", code="local_model_down", should_retry=False
            ) from None
        except BaseException:
            _kill(child)
            raise
        with contextlib.suppress(TypeError, ValueError):
            self.load_ms = float(said.get("load_ms", 0))
        self.starts += 1
        self.error = ""
        log.info("the embedded model listens after %.0f ms", self.load_ms)

    async def _why(self, child: asyncio.subprocess.Process, line: bytes) -> str:
        with contextlib.suppress(msgspec.DecodeError):
            said = msgspec.json.decode(line, type=dict[str, Any])
            if said.get("error"):
                await self.stop()
                return self._credentials.redact(str(said["error"]))
        if child.returncode is None and not line:
            await asyncio.sleep(0.1)
        code = child.returncode
        await self.stop()
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"it was ended by {signal.Signals(-code).name}; this processor may lack AVX2"
        return f"it ended with status {code}" if code is not None else "it took too long"

    async def stop(self) -> None:
        """Ends the child and waits for it."""
        child, self._child, self.origin = self._child, None, None
        if child is None:
            return
        _kill(child)
        await child.wait()


def _kill(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()


# == Hosts =============================================================================================================

LOST_MOST = 3  # probes in a row: one that is lost is no outage
LOOK_S = 60.0  # how often a host is asked for all; between that it is glanced at
PAUSES_S = {"checking": 1.0, "up": 10.0, "asleep": 10.0, "warming": 1.0}  # between probes
DOWN_PAUSES_S = (2.0, 5.0, 10.0, 30.0)
REPLY_TEXT = 16 << 10
BUSY_S = 60.0  # a host that works for us may be too busy to answer for so long
FIND_S = 30.0
WELL_KNOWN_PORTS = (11434, 8080, 9931, 8000, 1234)  # Ollama, llama.cpp now and soon, vLLM, LM Studio
SYSTEM_UIDS = 1000  # accounts below are the system's own: what runs there, its administrator has started
_TELLING = 50  # tokens of a prompt whose count says something about the next
CUT_CONTEXT = 4096  # what Ollama cuts to where nobody has set more

HostState = Literal["checking", "up", "warming", "asleep", "down"]
_decode_reply = msgspec.json.Decoder(strict=False).decode


class Host:
    """A machine that serves models, as it was when it was last asked."""

    def __init__(self, row: RouterDef, key: Key, at: float):
        self.row, self.key = row, key
        self.state: HostState = "checking"
        self.note = ""  # why it is as it is
        self.since = at  # Unix seconds
        self.backend: Backend | None = None
        self.seen = Seen("up")
        self.apis: tuple[str, ...] | None = None  # beside chat completions, once it has been asked
        self.latency_ms: float | None = None
        self.lost = 0  # probes in a row
        self.looked_s = self.seen_s = -math.inf
        self.soon = asyncio.Event()  # it is to be asked now
        self.settled = asyncio.Event()  # it does not warm up
        self.loads: dict[str, float] = {}  # models that somebody waits for, and since when
        self.assumed: dict[str, int] = {}  # contexts of models of which it says nothing
        self.ratios: dict[str, float] = {}  # by model: tokens it counts, for each that is estimated
        self.owner = ""  # of one that was found: whose it is, where it is not ours
        self.first: asyncio.Task[None] | None = None  # its first probe

    @property
    def models(self) -> tuple[HostModel, ...]:
        """What it has: resident ones first, those that only embed last."""
        return tuple(sorted(self.seen.models, key=lambda one: (one.embeds, not one.resident)))

    def model(self, id: str) -> HostModel | None:
        return next((one for one in self.seen.models if one.id == id), None)

    def is_resident(self, id: str) -> bool:
        """Whether a model is in memory; where a host does not say, one is."""
        model = self.model(id)
        return model is not None and (model.resident or not self.seen.tells)

    def context(self, id: str) -> int:
        """How many tokens of a prompt the model takes; 0 when nobody knows."""
        model = self.model(id)
        return self.row.context or (model.context if model is not None else 0) or self.assumed.get(id, 0)

    def assume(self, id: str) -> None:
        """A model is in memory: where its context is not told even now, it is the least."""
        if not self.context(id):
            self.assumed[id] = CUT_CONTEXT

    def tokens(self, id: str, estimated: int) -> int:
        """How many tokens a prompt has for a model, after what it counted before; rather too many where it cuts."""
        careful = 1.1 if self.seen.cuts else 1.0
        return int(estimated * self.ratios.get(id, 1.0) * careful)

    def counted(self, id: str, estimated: int, tokens: int) -> None:
        """A model has counted the tokens of a prompt."""
        if estimated >= _TELLING and tokens >= _TELLING:
            ratio = min(max(tokens / estimated, 0.25), 4.0)
            self.ratios[id] = self.ratios.get(id, ratio) * 0.7 + ratio * 0.3
            if len(self.ratios) > 1000:
                del self.ratios[next(iter(self.ratios))]

    @property
    def slots(self) -> int:
        """How many requests it works on at once; 0 when nobody knows."""
        return self.row.slots or self.seen.slots

    def named(self, name: str) -> str:
        """What it calls the model that `name` means: the same, else one of that family; "" when it has none."""
        ids = [one.id for one in self.models]
        if name in ids:
            return name
        family = [id for id in ids if name in (id.partition(":")[0], _file_name(id))]
        return next((id for id in family if id.endswith(":latest")), family[0] if family else "")


def down_pause_s(lost: int) -> float:
    """How long a host that is down is left alone after so many probes that were lost in a row."""
    return DOWN_PAUSES_S[min(max(0, lost - LOST_MOST), len(DOWN_PAUSES_S) - 1)]


def _file_name(id: str) -> str:
    """What a model is called that has its file as its id, as llama.cpp's have."""
    return id.rpartition("/")[2].removesuffix(".gguf") if id.endswith(".gguf") else ""


class Hosts:
    """Probes hosts in the background, finds those of this machine, and loads and unloads their models."""

    def __init__(
        self,
        settings: Settings,
        session: aiohttp.ClientSession,
        background: Background,
        events: EventBus,
        credentials: Credentials,
        clocks: Clocks = CLOCKS,
    ):
        self._settings = settings
        self._session = session
        self._background = background
        self._events = events
        self._credentials = credentials
        self._redact = credentials.redact
        self._clocks = clocks
        self._watches: dict[str, asyncio.Task[None]] = {}
        self.all: dict[str, Host] = {}
        self.found: dict[str, Host] = {}  # of this machine, and not accepted
        self.changed: Callable[[Host], None] = lambda host: None  # told to Routing
        self.is_serving: Callable[[str], bool] = lambda id: False  # whether a host works for us just now
        self.own_ports: set[int] = set()  # where chomp listens
        self._names: set[str] = set()  # that others have
        self._ports: set[int | None] = set()  # of this machine, of hosts that are known

    def adopt(self, rows: Sequence[RouterDef], settings: Settings) -> None:
        """Takes over hosts written anew; one that stays as it is is not asked anew."""
        self._settings = settings
        before, self.all = self.all, {}
        for row in rows:
            if row.kind != "host":
                continue
            host, key = before.pop(row.id, None), self._credentials.keys(row)[0]
            if host is not None and (host.row.base_url, host.row.backend, host.key) == (row.base_url, row.backend, key):
                if host.row != row:
                    host.row, host.looked_s = row, -math.inf
                    host.soon.set()
            else:
                if host is not None:
                    host.settled.set()  # who waits for it looks anew
                host = Host(row, key, self._clocks.wall())
                self._start(host)
            self.all[row.id] = host
        for host in before.values():
            host.settled.set()
            if (watch := self._watches.pop(host.row.id, None)) is not None:
                watch.cancel()
        self._names = {*self.all, *(row.id for row in rows), *(str(one.get("name")) for one in settings.hosts), "auto"}
        self._ports = {_port_of(str(one.get("url", ""))) for one in settings.hosts}
        self._ports |= {_port_of(host.row.base_url) for host in self.all.values()}
        self.found = {id: one for id, one in self.found.items() if _port_of(one.row.base_url) not in self._ports}

    def _start(self, host: Host) -> None:
        if (watch := self._watches.pop(host.row.id, None)) is not None:
            watch.cancel()
        host.first = self._background.start(f"first look at {host.row.id}", self._probe(host))
        self._watches[host.row.id] = self._background.start(f"probes of {host.row.id}", self._watch(host))

    # -- probes

    async def _watch(self, host: Host) -> None:
        if host.first is not None:
            await asyncio.wait([host.first])
            host.first = None
        while True:
            pause_s = PAUSES_S.get(host.state) or down_pause_s(host.lost)
            if host.lost and host.state != "down":
                pause_s = PAUSES_S["checking"]  # whether it was only once
            host.soon.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s * random.uniform(0.8, 1.2)):  # all at once would be a storm
                    await host.soon.wait()
            await self._probe(host)

    async def _probe(self, host: Host) -> None:
        """Asks a host how it is, with as few questions as will do."""
        times: list[float] = []

        async def ask(method: str, path: str, payload: Any = None) -> Reply:
            began = time.perf_counter()
            reply = await self._ask(host, method, path, payload, self._settings.timeouts.probe_s)
            times.append((time.perf_counter() - began) * 1000)
            return reply

        now = self._clocks.steady()
        try:
            if host.backend is None:
                host.backend = await self._software(host, ask)
            if host.state not in ("up", "asleep") or now - host.looked_s >= LOOK_S or host.lost:
                seen = await host.backend.look(ask, host.seen)
                host.looked_s = now
            else:
                seen = await host.backend.glance(ask, host.seen)
            if host.apis is None and seen.state == "up" and host.row.id in self.all:
                host.apis = await speaks(ask)
        except NotThis as error:
            host.backend = None  # something else listens there now
            self._lose(host, str(error) or "it is not what it was")
        except TimeoutError:
            silent_s = self._clocks.steady() - host.seen_s
            if silent_s > BUSY_S or not self.is_serving(host.row.id):  # else it is busy, and not away
                self._lose(host, f"no answer within {self._settings.timeouts.probe_s:g} s")
        except (Down, OSError, aiohttp.ClientError, ValueError) as error:
            self._lose(host, str(error) or type(error).__name__)
        else:
            quickest = min(times)
            host.latency_ms = quickest if host.latency_ms is None else host.latency_ms * 0.7 + quickest * 0.3
            self._take(host, seen)

    async def _software(self, host: Host, ask: Any) -> Backend:
        """What a host runs. Raises Down, NotThis or OSError."""
        if host.row.backend != "auto":
            return BACKENDS[host.row.backend]
        found = await identify(ask)
        if found is None:
            raise NotThis("no model server answers there")
        return found

    async def _ask(self, host: Host, method: str, path: str, payload: Any, limit_s: float) -> Reply:
        """One question to a host. Raises OSError, TimeoutError, aiohttp.ClientError or ValueError."""
        url = f"{host_root(host.row)}{path}"
        headers = {**auth_header(host.row, host.key), **dict(host.row.headers)}
        body = None if payload is None else msgspec.json.encode(payload)
        if body is not None:
            headers["content-type"] = "application/json"
        limit = self._settings.limits.catalog_bytes
        proxied = self._settings.proxies.options(url, headers)
        async with asyncio.timeout(limit_s):
            async with self._session.request(method, url, data=body, allow_redirects=False, **proxied) as answer:
                read = bytearray()
                async for part in answer.content.iter_any():
                    read += part
                    if len(read) > limit:
                        raise ValueError(f"{path} is larger than {limit} bytes")
                server = answer.headers.get("server", "")[:100]
        fields: Any = None
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            fields = _decode_reply(read)
        text = "" if fields is not None else bytes(read[:REPLY_TEXT]).decode("utf-8", "replace")
        return Reply(answer.status, fields, text, server)

    def _take(self, host: Host, seen: Seen) -> None:
        """A host was seen."""
        before = host.state
        if host.row.models:  # those that the person wrote, and no others
            there = {one.id: one for one in seen.models}
            seen = msgspec.structs.replace(seen, models=tuple(there.get(id) or HostModel(id) for id in host.row.models))
        facts = (seen.models, seen.slots, seen.single, seen.state)
        same = facts == (host.seen.models, host.seen.slots, host.seen.single, before)
        host.seen_s = self._clocks.steady()
        host.seen, host.lost = seen, 0
        for model in seen.models:
            if model.resident:
                host.loads.pop(model.id, None)
        self._become(host, seen.state, seen.note)
        if not same:
            self.changed(host)

    def _lose(self, host: Host, words: str) -> None:
        """A probe brought nothing."""
        host.lost += 1
        host.note = self._redact(words)[:300]
        if host.lost >= LOST_MOST or host.state == "checking":
            self._become(host, "down", host.note)

    def _become(self, host: Host, state: HostState, note: str) -> None:
        host.note = note
        if state == host.state:
            return
        before, host.state, host.since = host.state, state, self._clocks.wall()
        if state == "warming":
            host.settled.clear()
        else:
            host.settled.set()
        if state == "down":
            host.loads.clear()
            host.apis = None  # whatever comes back may be another one
            log.warning("the host %s is down: %s", host.row.id, note)
        self.changed(host)
        if state in ("up", "down") and host.row.id in self.all:
            self._events.publish(f"host_{state}", {"id": host.row.id, "before": before, "note": note})
        self._events.publish("platforms", {"id": host.row.id})

    # -- what requests tell

    def suspect(self, id: str) -> None:
        """A request could not reach a host: it is asked how it is, now."""
        self.all[id].soon.set()

    def asked(self, id: str, model: str) -> None:
        """A request goes to a host; a model that is not in memory is loaded then."""
        host = self.all[id]
        found = host.model(model)
        if found is not None and not host.is_resident(model) and model not in host.loads:
            host.loads[model] = self._clocks.wall()
            self._events.publish("host_loading", {"id": id, "model": model})

    def answered(self, id: str, model: str) -> None:
        """A model of a host has begun to answer: it is in memory."""
        host = self.all[id]
        if host.loads.pop(model, None) is not None:
            models = tuple(
                msgspec.structs.replace(one, resident=one.id == model or (one.resident and not host.seen.single))
                for one in host.seen.models
            )
            host.seen = msgspec.structs.replace(host.seen, models=models)
            host.soon.set()

    def counted(self, id: str, model: str, estimated: int, tokens: int) -> None:
        """A host has counted the tokens of a prompt."""
        if id in self.all:
            self.all[id].counted(model, estimated, tokens)

    def warms(self, id: str) -> None:
        """A host has said that it is loading."""
        host = self.all[id]
        if host.state in ("up", "asleep"):
            self._become(host, "warming", "it is loading")
        host.soon.set()

    def assume(self, id: str, model: str) -> None:
        """A model has been loaded, and its context is still not told."""
        if id in self.all:
            self.all[id].assume(model)

    def gave_up(self, id: str, model: str) -> None:
        """A request that had a model loaded, perhaps, is over without an answer."""
        if id in self.all:
            self.all[id].loads.pop(model, None)

    # -- orders

    async def order(self, id: str, model: str, action: str, seconds: float = 0.0) -> None:
        """Has a host `load`, `unload` or `keep` a model for so long. Raises ChompError."""
        host = self.all.get(id)
        if host is None:
            raise NotFound(f"no host {id[:100]!r}{near_name(id, self.all)}", param="host")
        if host.state == "down" or host.backend is None:
            raise Unavailable(f"{id} is {host.state}: {host.note or 'not asked yet'}", code="host_down")
        real = host.named(model)
        if not real:
            known = [one.id for one in host.models]
            raise NotFound(f"{id} has no model {model[:200]!r}{near_name(model, known)}", param="model")
        if action == "load" and host.seen.tells and host.is_resident(real):
            return
        timeouts = self._settings.timeouts

        async def ask(method: str, path: str, payload: Any = None) -> Reply:
            return await self._ask(host, method, path, payload, timeouts.first_byte_local_s)

        if action == "load":
            self.asked(id, real)
        try:
            if action == "load":
                await host.backend.load(ask, real)
            elif action == "unload":
                await host.backend.unload(ask, real)
            else:
                await host.backend.keep(ask, real, seconds)
        except CannotDo as error:
            raise BadRequest(f"{id}: {self._redact(str(error))[:300]}", code="host_refused") from None
        except TimeoutError:
            raise Unavailable(
                f"{id} did not answer within {timeouts.first_byte_local_s:g} s", code="host_down"
            ) from None
        except (Down, OSError, aiohttp.ClientError, ValueError) as error:
            words = self._redact(str(error) or type(error).__name__)[:300]
            raise Unavailable(f"{id} cannot be asked: {words}", code="host_down") from None
        finally:
            host.loads.pop(real, None)
        host.looked_s = -math.inf
        await self._probe(host)

    # -- finding those of this machine

    async def find(self) -> None:
        """Looks for hosts on the well-known ports of this machine, again and again."""
        while True:
            await self.look_around()
            await asyncio.sleep(FIND_S)

    async def look_around(self) -> None:
        """Looks once. A port counts where our own user, or the system, listens."""
        ports = self._ports | {_port_of(one.row.base_url) for one in self.found.values()}
        listening = await asyncio.to_thread(listeners)
        for id, host in tuple(self.found.items()):
            if _port_of(host.row.base_url) not in listening:
                del self.found[id]
                self._events.publish("platforms", {"id": id})
        for port in WELL_KNOWN_PORTS:
            address, uid = listening.get(port, ("", -1))
            is_ours = address and (uid == os.getuid() or uid < SYSTEM_UIDS)
            if is_ours and port not in ports and port not in self.own_ports:
                await self._meet(address, port, uid)

    async def _meet(self, address: str, port: int, uid: int) -> None:
        """Finds out whether a host listens on a port."""
        row = RouterDef("", "", f"http://{address}:{port}/v1", kind="host")
        host = Host(row, Key("none", ""), self._clocks.wall())

        async def ask(method: str, path: str, payload: Any = None) -> Reply:
            return await self._ask(host, method, path, payload, self._settings.timeouts.probe_s)

        try:
            found = await identify(ask)
        except (Down, NotThis, OSError, aiohttp.ClientError, ValueError):
            return
        if found is None:
            return
        name = next(id for id, one in BACKENDS.items() if one is found)
        id = name if name not in {*self._names, *self.found} else f"{name}-{port}"
        if id in self._names:
            return
        host.row = msgspec.structs.replace(host.row, id=id, name=id)
        if uid != os.getuid():
            with contextlib.suppress(KeyError):
                host.owner = pwd.getpwuid(uid).pw_name
        self.found[id] = host
        host.backend = found
        log.info("found %s on port %d: it is asked once you accept it as %s", found.NAME, port, id)
        await self._probe(host)


def _port_of(address: str) -> int | None:
    """The port of an address on this machine; None for any other."""
    with contextlib.suppress(ValueError):
        url = urllib.parse.urlsplit(address if "://" in address else f"http://{address}")
        if is_loopback(url.hostname or ""):
            return url.port or {"http": 80, "https": 443}.get(url.scheme)
    return None


def listeners() -> dict[int, tuple[str, int]]:
    """Ports of this machine: at which loopback address they are to be asked, and whose socket that is (proc_net(5))."""
    found: dict[int, tuple[str, int]] = {}
    for name, reached in (("tcp", ("0100007F", "00000000")), ("tcp6", ("0" * 24 + "01000000", "0" * 32))):
        try:
            lines = Path(f"/proc/self/net/{name}").read_text("utf-8").splitlines()[1:]
        except OSError:
            continue
        for words in map(str.split, lines):
            address, _, port = words[1].rpartition(":")
            if words[3] == "0A" and address in reached:  # it listens
                found.setdefault(int(port, 16), ("127.0.0.1" if name == "tcp" else "[::1]", int(words[7])))
    return found


# == Routing ===========================================================================================================


class _KeyLimit(msgspec.Struct):
    limit_remaining: float | None = None


class _KeyAnswer(msgspec.Struct):
    data: _KeyLimit  # https://openrouter.ai/docs/api-reference/limits


class KeyCheck(msgspec.Struct):
    """What a router last said of a key."""

    at: float = -math.inf
    credits: float | None = None  # USD
    error: str = ""  # its words when it refused the key


class Bench(msgspec.Struct, frozen=True):
    """Why a key, or a model with it, is left alone."""

    until: float  # of the lasting clock
    failures: int  # in a row
    words: str


class Router:
    """One router: its row and keys, its models as last fetched, and what asking it has taught."""

    def __init__(self, row: RouterDef, keys: tuple[Key, ...], now: float):
        self.row = row
        self.keys = keys
        self.models = tuple(Model(name, owned_by=row.id) for name in row.models)
        self.fetched_at = self.tried_at = now if row.models else -math.inf  # the last success, and the last try
        self.error = ""  # of that
        self.fetch: asyncio.Task[None] | None = None
        self.breaker = Breaker()
        self.benches: dict[tuple[str, str], Bench] = {}  # by key and model, "" for all
        self.ttft: dict[str, float] = {}  # by model: seconds to the first token of a stream
        self.whole: dict[str, float] = {}  # to the end of an answer that was not streamed
        self.limits_left: dict[str, float] = {}
        self.check = KeyCheck()
        self.lane = Lane(time.monotonic)
        self.requests = self.tokens = 0  # answered since the start
        self.mean_ms: float | None = None  # of those
        self.used_at = 0.0  # Unix seconds

    @property
    def is_fetching(self) -> bool:
        """Whether its list, or a host's first answer, is on its way."""
        return self.fetch is not None and not self.fetch.done()

    def stop_fetching(self) -> None:
        """Its list is waited for no longer."""
        if self.fetch is not None:
            self.fetch.cancel()
            self.fetch = None

    def rest(self, key: str, model: str, now: float) -> Bench | None:
        """Why `model` is not asked for with `key` now; None when it may be."""
        benches = [self.benches[scope] for scope in ((key, model), (key, "")) if scope in self.benches]
        return max((one for one in benches if one.until > now), key=lambda one: one.until, default=None)

    def key_rest_s(self, key: str, now: float) -> float:
        """Seconds for which all of `key` rests."""
        bench = self.benches.get((key, ""))
        return 0.0 if bench is None else max(0.0, bench.until - now)


KEY_CHECK_S = 300.0
_OWN_MACHINE = Price(0.0, 0.0)  # nobody sends a bill

CATALOG_RETRY_S = 30.0  # after a failed fetch
PLAN_S = 5.0  # how long an undisturbed plan is used again
CATALOG_GRACE_S = 0.5  # for further lists once the first is in
HOSTS_GRACE_S = 0.1  # for the first answers of hosts


WAKING_S = 30.0  # after the machine has slept, connections still turn out to be dead
_NEAR_CHARS = 300 * 50**2


Question = tuple[str, str, str, Api, bool]  # what a request says of its target: as `RouterPool.plan` takes it


class Plan(list[Target]):
    """Who is asked, in order: of those that serve what is asked for, `usable`, the ones that are awake.

    Where hosts are among them, each request has an order of its own: `strategy` says how it is made.
    """

    def __init__(
        self,
        targets: Iterable[Target],
        usable: Sequence[tuple[RouterDef, str, Api]],
        made_s: float,
        strategy: str = "",
    ):
        super().__init__(targets)
        self.usable = usable
        self.made_s = made_s
        self.strategy = strategy


class Seat:
    """A request's place among those that a host or router works on."""

    __slots__ = ("_lane", "began_s", "caller", "model")

    def __init__(self, lane: Lane, model: str, caller: str, now: float):
        self._lane: Lane | None = lane
        self.model, self.caller, self.began_s = model, caller, now

    def leave(self) -> None:
        """The request is over; a second time does nothing."""
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.leave(self)


class Waiter:
    """A request that waits for a seat."""

    __slots__ = ("caller", "future", "model", "since_s")

    def __init__(self, model: str, caller: str, now: float):
        self.model, self.caller, self.since_s = model, caller, now
        self.future: asyncio.Future[Seat] = asyncio.get_running_loop().create_future()


GROUP_S = 30.0  # when somebody has waited so long, it is their model's turn
_USUAL_S = 5.0  # that a request takes, before one has


class Lane:
    """Who a host or router works for, and who waits for that: bounded, in turn, model by model.

    A host that loads one model for another gets those of one model together. Among these callers take turns, and each
    is served in the order in which it came.
    """

    def __init__(self, now: Callable[[], float]):
        self._now = now
        self.slots = 0  # 0: no limit that is known
        self.single = False  # one model is in memory at a time
        self.seats: set[Seat] = set()
        self.waiting: list[Waiter] = []
        self._last_model = ""
        self._served: dict[str, float] = {}  # callers, and when they last got a seat
        self._mean_s = _USUAL_S

    def has_room(self, model: str) -> bool:
        """Whether a request for `model` need not wait."""
        if not self.slots:
            return True
        if len(self.seats) >= self.slots or self.waiting:
            return False
        return not self.single or all(one.model == model for one in self.seats)

    def take(self, model: str, caller: str) -> Seat:
        """A seat, now."""
        seat = Seat(self, model, caller, self._now())
        self.seats.add(seat)
        if self.slots:
            self._last_model = model
            self._served.pop(caller, None)
            self._served[caller] = seat.began_s
            if len(self._served) > 1000:
                del self._served[next(iter(self._served))]
        return seat

    def leave(self, seat: Seat) -> None:
        """A request is over: the next one gets its turn."""
        self.seats.discard(seat)
        if self.slots:
            self._mean_s = self._mean_s * 0.8 + (self._now() - seat.began_s) * 0.2
        self.stir()

    def stir(self) -> None:
        """Lets in who can be let in."""
        while self.waiting and (not self.slots or len(self.seats) < self.slots):
            waiter = self._next()
            if waiter is None:
                return
            self.waiting.remove(waiter)
            if not waiter.future.done():
                waiter.future.set_result(self.take(waiter.model, waiter.caller))

    def _next(self) -> Waiter | None:
        oldest = self.waiting[0]
        running = {seat.model for seat in self.seats}
        model = next(iter(running)) if self.single and running else self._last_model
        if self._now() - oldest.since_s >= GROUP_S:
            model = oldest.model  # whatever has to be loaded for it
        same = [one for one in self.waiting if one.model == model] or self.waiting
        if self.single and running and same[0].model not in running:
            return None  # first those end that run
        return min(same, key=lambda one: self._served.get(one.caller, -math.inf))

    def position(self, waiter: Waiter) -> int:
        """How many are served before it, as far as one can tell, and itself."""
        return self.waiting.index(waiter) + 1 if waiter in self.waiting else 0

    def wait_s(self) -> float:
        """How long one more would wait, roughly."""
        return self._mean_s * (len(self.waiting) + 1) / max(1, self.slots)

    def may_wait(self, caller: str, most: int) -> bool:
        """Whether one more request of `caller` may wait where `most` may in all: one caller leaves room for others."""
        own = sum(one.caller == caller for one in self.waiting)
        return len(self.waiting) < most and own < max(1, most * 3 // 4)

    async def seat(self, waiter: Waiter, most: int, limit_s: float) -> Seat | None:
        """A seat, when it is the request's turn; None when that takes longer than `limit_s`. Raises Busy when full."""
        if waiter not in self.waiting:
            if not self.may_wait(waiter.caller, most):
                raise self.full()
            self.waiting.append(waiter)
            self.stir()
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.shield(waiter.future)
        except TimeoutError:
            return None

    def full(self) -> Busy:
        """The error of a request for which there is no room."""
        wait_s = min(max(1.0, self.wait_s()), 120.0)
        return Busy(f"{len(self.waiting)} requests wait here already", code="queue_full", retry_after_s=wait_s,
                    should_retry=wait_s <= 60, fault="chomp_shed")  # fmt: skip

    def give_up(self, waiter: Waiter) -> None:
        """A request waits no longer; a seat that it has got meanwhile is the next one's."""
        if waiter in self.waiting:
            self.waiting.remove(waiter)
        if waiter.future.done() and not waiter.future.cancelled():
            waiter.future.result().leave()
        else:
            waiter.future.cancel()
        self.stir()


class RouterPool:
    """Routers with their keys, catalogues, cooldowns and breakers; who is asked, in which order."""

    def __init__(
        self,
        rows: Sequence[RouterDef],
        settings: Settings,
        credentials: Credentials,
        prices: PriceTable,
        session: aiohttp.ClientSession,
        background: Background,
        events: EventBus,
        hosts: Hosts,
        clocks: Clocks = CLOCKS,
    ):
        self.hosts = hosts
        hosts.changed = self._host_changed
        hosts.is_serving = lambda id: id in self._known and bool(self._known[id].lane.seats)
        self._conversations: dict[str, str] = {}  # and the host that has each in its prompt cache
        self._turn = 0  # of round-robin
        self._credentials = credentials
        self._prices = prices
        self._session = session
        self._background = background
        self._events = events
        self._clocks = clocks
        self._now, self._steady = (
            clocks.lasting,
            clocks.steady,
        )  # how long something rests is mostly what a router names
        self._slept_s = clocks.lasting() - clocks.steady()
        self._woken_s = -math.inf
        self.rows: dict[str, RouterDef] = {}
        self._routers: dict[str, Router] = {}
        self._known: dict[str, Router] = {}  # these, and what was taken out: its running answers have a price
        self._serving: dict[str, list[str]] = {}  # model -> routers, in registry order
        self._benched_until = -math.inf
        self._price_of: dict[tuple[str, str], Price | None] = {}
        self._plans: dict[Question, Plan] = {}
        self.adopt(rows, settings)

    def adopt(self, rows: Sequence[RouterDef], settings: Settings) -> None:
        """Takes over routers and aliases written anew. What was learnt of a router that stays as it is is kept."""
        self._settings = settings
        self._aliases = read_aliases(settings.aliases)
        self._by_speed = "fast" in (
            settings.prefer,
            *(alias.prefer for alias in self._aliases),
        )  # plans change by the answer
        before, now = self._routers, self._now()
        self.rows = {row.id: row for row in rows}
        self._routers = {}
        for row in rows:
            keys, router = self._credentials.keys(row), before.get(row.id)
            same = router is not None and (
                (row.kind == router.row.kind == "host" and router.row.base_url == row.base_url) or router.row == row
            )
            stays = same and cast(Router, router).keys == keys
            self._routers[row.id] = cast(Router, router) if stays else Router(row, keys, now)
        for router in before.values():
            if self._routers.get(router.row.id) is not router:
                router.stop_fetching()  # from where the router was before; it would hold up the next
        self._known = {**self._known, **self._routers}
        self.hosts.adopt(rows, settings)
        for router in self._routers.values():
            if (of_before := before.get(router.row.id)) is not None:
                router.lane = of_before.lane  # who waits there goes on waiting
            router.lane.slots = self.rows[router.row.id].slots
            router.lane.stir()
            if (host := self.hosts.all.get(router.row.id)) is not None:
                router.fetch = host.first
                self._host_changed(host)
        self._index()

    def _host_changed(self, host: Host) -> None:
        """A host has other models than before, or is in another state."""
        router = self._routers.get(host.row.id)
        if router is None or self.hosts.all.get(host.row.id) is not host:
            return
        apis = (*host.row.apis, *cast(tuple[TargetApi, ...], host.apis or ()))
        row = msgspec.structs.replace(host.row, apis=tuple(dict.fromkeys(apis)))
        if router.row != row:
            router.row = row
        self.rows[host.row.id] = router.row
        router.models = tuple(
            Model(one.id, one.name, owned_by=host.row.id, context_length=host.context(one.id) or one.context_most)
            for one in host.models
        )
        router.tried_at = self._now() if host.state != "checking" else -math.inf
        router.fetched_at = self._now() if host.state in ("up", "asleep", "warming") else -math.inf
        router.error = host.note if host.state == "down" else ""
        router.lane.slots, router.lane.single = host.slots, host.seen.single
        router.lane.stir()
        self._index()

    def counted(self, row: LedgerRow) -> None:
        """A router has answered a request."""
        known, ms = self._known[row.router], row.duration_ms
        known.requests += 1
        known.tokens += row.prompt_tokens + row.completion_tokens
        known.mean_ms = ms if known.mean_ms is None else known.mean_ms * 0.9 + ms * 0.1
        known.used_at = row.at

    def host_status(self) -> dict[str, dict[str, Any]]:
        """Every host by name, for GET /status; the first seven members are those of clood's."""
        shown = {}
        for id, host in self.hosts.all.items():
            router = self._known[id]
            shown[id] = {
                "name": id, "url": host_root(host.row), "request_count": router.requests,
                "total_tokens": router.tokens, "avg_latency_ms": router.mean_ms and round(router.mean_ms, 1),
                "LastUsed": iso(router.used_at) if router.used_at else None,
                "Online": host.state in ("up", "warming", "asleep"),
                **self.host_report(host),
            }  # fmt: skip
        return shown

    def host_report(self, host: Host) -> dict[str, Any]:
        """How a host is, and what it has."""
        router = self._known.get(host.row.id)
        lane = router.lane if router is not None else Lane(self._steady)
        now = self._steady()
        return {
            "state": host.state, "note": host.note, "owner": host.owner, "since": iso(host.since),
            "priority": host.row.priority,
            "backend": host.row.backend, "software": host.backend.NAME if host.backend is not None else "",
            "version": host.seen.version, "latency_ms": host.latency_ms and round(host.latency_ms, 2),
            "slots": host.slots, "busy": max(len(lane.seats), host.seen.busy or 0), "queued": len(lane.waiting),
            "longest_wait_s": round(max((now - one.since_s for one in lane.waiting), default=0.0), 1),
            "context": host.row.context,
            "models": [
                {
                    "id": one.id, "resident": one.resident if host.seen.tells else None,
                    "loading": one.loading or one.id in host.loads, "context": host.context(one.id),
                    "context_most": one.context_most, "size_bytes": one.size_bytes, "memory_bytes": one.memory_bytes,
                    "until": one.until,
                }
                for one in host.models
            ],
            "speaks": list(host.apis or ()),
        }  # fmt: skip

    def is_asked_first(self, router: str) -> bool:
        """Whether a router is a host that has not answered yet for the first time."""
        host = self.hosts.all.get(router)
        return host is not None and host.state == "checking"

    def is_warming(self, router: str) -> bool:
        """Whether a router is a host that is loading."""
        host = self.hosts.all.get(router)
        return host is not None and host.state == "warming"

    def is_away(self, router: str) -> bool:
        """Whether a router is a host that is down: its models are listed nowhere."""
        host = self.hosts.all.get(router)
        return host is not None and host.state in ("down", "checking")

    def keys(self, router: str) -> tuple[Key, ...]:
        """A router's keys, in order; none when it has none that it needs."""
        return self._routers[router].keys

    # -- catalogues

    @property
    def configured(self) -> list[RouterDef]:
        """Routers that can be asked: those with a key, in order; the embedded model when it is the only one."""
        hosted = [
            one.row
            for one in self._routers.values()
            if one.keys and one.row.kind != "local" and not (one.row.kind == "host" and self.is_away(one.row.id))
        ]
        return hosted or [row for row in self.rows.values() if row.kind == "local" and row.models]

    def _fetched(self) -> list[Router]:
        return [
            one
            for one in self._routers.values()
            if not one.row.models and one.keys and one.row.kind not in ("local", "host")
        ]

    def refresh(self) -> None:
        """Starts fetching every list that is old; whoever asks is not kept waiting."""
        for router in self._fetched():
            self._refresh(router)

    def _refresh(self, router: Router) -> None:
        if router.row.kind == "host":  # it is probed
            return
        now = self._now()
        age, since_try = now - router.fetched_at, now - router.tried_at
        old = age >= self._settings.timeouts.catalog_ttl_s and since_try >= (CATALOG_RETRY_S if router.error else 0)
        if old and router.fetch is None:
            router.fetch = self._background.start(f"catalogue of {router.row.id}", self._fetch(router))

    async def _fetch(self, router: Router) -> None:
        try:
            models = await self._read_list(router)
            router.models = tuple(models) or router.models  # an empty list is a fault, not news
            router.fetched_at, router.error = self._now(), ""
            self._index()
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            words = str(error) or type(error).__name__
            router.error = self._credentials.redact(words)[:300]
            log.warning("the model list of %s could not be fetched: %s", router.row.id, router.error)
        finally:
            router.tried_at = self._now()
            if router.fetch is asyncio.current_task():
                router.fetch = None
            self._events.publish("platforms", {"id": router.row.id})

    async def _until(self, ready: Callable[[], bool], routers: Iterable[Router], limit_s: float) -> None:
        """Waits until `ready`, as long as a list of `routers` is being fetched, and no longer than `limit_s`."""
        end = time.monotonic() + limit_s
        while not ready() and (fetches := [cast(Any, one.fetch) for one in routers if one.is_fetching]):
            if (left := end - time.monotonic()) <= 0:
                break
            await asyncio.wait(fetches, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    async def _read_list(self, router: Router) -> list[Model]:
        row = router.row
        keys = router.keys if row.models_auth else ()
        for key in keys[:-1]:
            status, body = await self._get_list(row, key)
            if status not in (401, 402, 403, 429):
                break
        else:  # the last key, or none
            status, body = await self._get_list(row, keys[-1] if keys else Key("none", ""))
        if status != 200:
            raise ValueError(f"{status}: {read_fault(status, body[:65536]).message}")
        return await asyncio.to_thread(read_catalog, body, row.price_unit, self._settings.limits.catalog_models)

    async def _get_list(self, row: RouterDef, key: Key) -> tuple[int, bytes]:
        return await self._get(row, "/models", key)

    async def _get(self, row: RouterDef, path: str, key: Key) -> tuple[int, bytes]:
        version = {"anthropic-version": ANTHROPIC_VERSION} if row.auth == "x-api-key" else {}
        headers = {**auth_header(row, key), **version, **{name.lower(): value for name, value in row.headers}}
        limit = self._settings.limits.catalog_bytes
        timeout = aiohttp.ClientTimeout(total=self._settings.timeouts.catalog_s)
        url = f"{row.base_url}{path}"
        proxied = self._settings.proxies.options(url, headers)
        async with self._session.get(url, timeout=timeout, allow_redirects=False, **proxied) as answer:
            body = bytearray()
            async for part in answer.content.iter_any():
                body += part
                if len(body) > limit:
                    raise ValueError(f"larger than {limit} bytes")
            return answer.status, bytes(body)

    def _index(self) -> None:
        serving: dict[str, list[str]] = {}
        for router in self._routers.values():
            row = router.row
            if not router.keys and not row.models:
                continue
            for model in router.models:
                serving.setdefault(model.id, []).append(row.id)
            if row.default_model and row.id not in serving.setdefault(row.default_model, []):
                serving[row.default_model].append(row.id)
        self._serving = {name: routers for name, routers in serving.items() if routers}
        self._price_of.clear()
        self._plans.clear()

    def models(self, router: str) -> tuple[Model, ...]:
        """A router's models as last fetched, or, of one that is gone, as they were."""
        return self._known[router].models

    async def first_lists(self) -> None:
        """Waits, within bounds, until some list is there; slow routers keep nobody waiting."""
        self.refresh()
        fetched = self._fetched()
        missing = [one for one in fetched if one.fetched_at == -math.inf]
        there = any(one.models for one in self._routers.values() if one.row.kind != "local")
        if missing and len(missing) == len(fetched) and not there:
            await self._until(
                lambda: any(one.models for one in missing), missing, self._settings.timeouts.catalog_wait_s
            )
        hosts = [one for one in self._routers.values() if one.row.kind == "host"]
        await self._until(lambda: False, hosts, HOSTS_GRACE_S)
        first = [one for one in missing if one.tried_at == -math.inf]  # those that have failed are not waited for again
        await self._until(lambda: False, first, CATALOG_GRACE_S)

    def alias_names(self, user: User | None) -> list[str]:
        """Aliases that can be asked for by name, not by pattern, as far as `user` may use one of their targets."""
        names = [alias.pattern for alias in self._aliases if "*" not in alias.pattern]
        return [name for name in names if self.is_alias(name, user)]

    def is_alias(self, name: str, user: User | None) -> bool:
        """Whether `name` stands for something else, of which `user` may use one."""
        if all(alias.expand(name) is None for alias in self._aliases):
            return False
        pairs = (pair for written, _ in self._expand(name, "") for pair in self._pairs(written))
        return user is None or any(may_use(user, name, *pair, self.rows) for pair in pairs)

    def _pairs(self, name: Name) -> list[tuple[str, str]]:
        """Routers and models that `name` may mean, by what is known now."""
        if name.model:
            return [
                (router, name.model) for router in ([name.router] if name.router else self._serving.get(name.model, ()))
            ]
        rows = [self.rows[name.router]] if name.router else self.configured
        return [(row.id, default_model(row, self.models(row.id))) for row in rows]

    async def free(self) -> list[Model]:
        """OpenRouter's free models, its public list being read without a key. Raises UpstreamFailed."""
        router = self._routers.get("openrouter")
        if router is None:
            raise NotFound("the router openrouter is switched off")
        await self._list(router)
        return free_models(router.models)

    async def listed(self, router: str) -> tuple[Model, ...]:
        """A router's models. Raises BadRequest for an unknown router, UpstreamFailed without key or list."""
        found = self._routers.get(router)
        if found is None:
            known = ", ".join(self.rows)
            raise BadRequest(
                f"unknown router: {router[:100]!r}{near_name(router, self.rows)}; there are {known}",
                code="unknown_router",
            )
        if not found.keys:
            raise UpstreamFailed(
                f"{router} has no key: set {', '.join(found.row.key_env)}", code="router_not_configured"
            )
        await self._list(found)
        return found.models

    async def _list(self, router: Router) -> None:
        """Waits for a list nobody has yet. Raises UpstreamFailed when it does not come."""
        if router.row.models:
            return
        self._refresh(router)
        if not router.models:
            await self._until(lambda: False, [router], self._settings.timeouts.catalog_s)
        if router.fetched_at == -math.inf:
            words = f"the model list of {router.row.id} could not be fetched: {router.error or 'too slow'}"
            raise UpstreamFailed(words, code="no_catalog")

    # -- planning

    def pinned(self, model: str, router: str, pin: str) -> str:
        """What a task whose requests all go to `pin` means by `model`. Raises Forbidden when it names another router.

        A name that `pin` lists itself is taken whole, slashes and all; of an alias it is the target there.
        """
        if router == pin:
            return model
        if router not in ("", "auto"):
            raise self._elsewhere(f"{router}/{model}", pin)
        names = next((found for alias in self._aliases if (found := alias.expand(model)) is not None), (model,))
        if names != (model,):
            for name in (parse_name(name, "", self.rows) for name in names):
                if name.router in ("", pin):
                    return name.model or "auto"
        if pin in self._serving.get(model, ()):
            return model
        name = parse_name(model, "", self.rows)
        if name.router not in ("", pin) or names != (model,):
            raise self._elsewhere(model, pin)
        return name.model or "auto"

    def _elsewhere(self, model: str, pin: str) -> Forbidden:
        return Forbidden(
            f"this task's requests go to {pin}: {model[:200]!r} is not there", code="router_pinned", param="model"
        )

    def planned(self, question: Question) -> Plan | None:
        """The answer `plan` gave to the same question a moment ago, while nothing has happened to change it."""
        plan = self._plans.get(question)
        return plan if plan is not None and self._steady() - plan.made_s < PLAN_S else None

    def rest_s(self, plan: Plan) -> float | None:
        """Seconds until one of those that `plan` was made of rests no more; None while one is awake."""
        try:
            self._awake(plan.usable)
        except ChompError as error:
            return error.retry_after_s
        return None

    async def plan(self, model: str, router: str, prefer: str, api: Api, fallback: bool = True) -> Plan:
        """Who to ask, in order: every usable key of every candidate. Never empty.

        Raises ModelNotFound, BadRequest, Unavailable, or Busy when all are cooling down.
        """
        question = (model, router, prefer, api, fallback)
        usable = await self._usable(model, router, prefer, api)
        targets = self._awake(usable)
        strategy = ""
        if any(target.router.kind == "host" for target in targets):
            named = (alias.strategy for alias in self._aliases if alias.expand(model) is not None)
            strategy = next(named, "") or self._settings.strategy
        plan = Plan(targets if fallback or strategy else targets[:1], usable, self._steady(), strategy)
        undisturbed = self._now() >= self._benched_until and not self._troubled(plan)
        if len(model) < 200 and not self._by_speed and prefer != "fast" and undisturbed:
            if len(self._plans) >= self._settings.limits.names:
                self._plans.clear()
            self._plans[question] = plan
        return plan

    def arranged(self, targets: Sequence[Target], strategy: str, prompt: int, conversation: str) -> list[Target]:
        """`targets` for one request: of hosts those first that have its model at hand, none whose context it exceeds.

        `prompt` is how many tokens it has, `conversation` what it is a part of. Raises ContextTooLong without any.
        """
        self._turn += 1
        fitting: list[Target] = []
        exceeded: list[tuple[int, int]] = []
        for target in targets:
            host = self.hosts.all.get(target.router.id)
            most = 0 if host is None else host.context(target.model)
            if host is not None and most and (tokens := host.tokens(target.model, prompt)) > most:
                exceeded.append((most, tokens))
            else:
                fitting.append(target)
        if not fitting and exceeded:
            most, tokens = max(exceeded)
            words = f"the prompt has about {tokens} tokens, the context of this model's hosts is {most} at most"
            raise ContextTooLong(words, param="messages")
        made: list[Target] = []
        for is_host, group in itertools.groupby(fitting, key=lambda target: target.router.kind == "host"):
            hosts = list(group)
            if is_host and len(hosts) > 1:
                ids = list(dict.fromkeys(target.router.id for target in hosts))
                shift = self._turn % len(ids)
                turns = {id: (at - shift) % len(ids) for at, id in enumerate(ids)}
                stays = self._conversations.get(conversation, "")
                hosts = [target for target in hosts if target.router.id in self.hosts.all]  # none taken out just now
                hosts.sort(key=lambda target: self._host_rank(target, strategy, stays, turns[target.router.id]))
            made += hosts
        return made

    def _host_rank(self, target: Target, strategy: str, stays: str, turn: int) -> tuple[Any, ...]:
        """The lower, the better: awake, the conversation in its cache, the model in memory, idle, then `strategy`."""
        host, lane = self.hosts.all[target.router.id], self._known[target.router.id].lane
        resident = host.is_resident(target.model)
        latency = math.inf if host.latency_ms is None else host.latency_ms
        load = max(len(lane.seats) + len(lane.waiting), host.seen.busy or 0) / max(1, host.slots)
        order: dict[str, tuple[float, ...]] = {
            "latency": (latency, host.row.priority), "priority": (host.row.priority, latency), "round-robin": (turn,),
            "least-loaded": (load, latency),
        }  # fmt: skip
        state = ("up", "asleep", "warming", "checking", "down").index(host.state)
        return (state, not (resident and stays == host.row.id), not resident, load >= 1, *order[strategy])

    def affinity(self, conversation: str, target: Target) -> str:
        """Whether a conversation is where it was: `hit`, `moved`, or `miss` for a new one. It is remembered."""
        before = self._conversations.pop(conversation, "")
        self._conversations[conversation] = target.router.id
        if len(self._conversations) > self._settings.limits.names:
            del self._conversations[next(iter(self._conversations))]
        return "miss" if not before else "hit" if before == target.router.id else "moved"

    def lane(self, target: Target) -> Lane | None:
        """Where requests to a host, or to a router with so many slots, take turns."""
        router = target.router
        return self._known[router.id].lane if router.kind == "host" or router.slots else None

    def has_room(self, target: Target) -> bool:
        """Whether a target would begin at once."""
        lane = self.lane(target)
        return (lane is None or lane.has_room(target.model)) and self.awake(target)

    def _troubled(self, targets: Sequence[Target]) -> bool:
        return any(self._known[target.router.id].breaker.failures for target in targets)

    async def context(self, model: str, router: str) -> int:
        """How many tokens the model takes that `model` means; 0 when nobody says. Raises as `plan` does."""
        first = (await self.plan(model, router, "", "chat"))[0]
        return next((one.context_length for one in self.models(first.router.id) if one.id == first.model), 0)

    async def _usable(self, model: str, router: str, prefer: str, api: Api) -> list[tuple[RouterDef, str, Api]]:
        """Who serves what is asked for, in order. Raises ModelNotFound, BadRequest or Unavailable."""
        wanted: list[tuple[RouterDef, str]] = []
        refusal: ChompError | None = None
        for name, alias_prefer in self._expand(model, router):
            prefer = prefer or alias_prefer
            try:
                wanted += await self._candidates(name)
            except (ModelNotFound, Unavailable) as error:  # an alias has further targets
                refusal = refusal or error
        # a list was waited for, perhaps, and routers were written anew meanwhile
        wanted = [(self.rows[row.id], served) for row, served in dict.fromkeys(wanted) if row.id in self.rows]
        if not wanted:
            raise refusal or self._unknown(model)
        prefer = prefer or self._settings.prefer
        usable = [(row, served, way) for row, served in wanted if (way := spoken(row, served, api)) is not None]
        if not usable:
            row, served = wanted[0]
            raise BadRequest(
                f"{row.id} does not serve {api} for {served[:200]!r}", code="unsupported_endpoint", param="model"
            )
        if prefer:
            usable.sort(key=lambda one: self._rank(prefer, one[0], one[1]))
        return usable

    def _expand(self, model: str, router: str) -> list[tuple[Name, str]]:
        if router and router != "auto":
            if router not in self.rows:
                raise BadRequest(
                    f"unknown router: {router[:100]!r}{near_name(router, self.rows)}; there are {', '.join(self.rows)}",
                    code="unknown_router",
                    param="router",
                )
        else:
            for alias in self._aliases:
                if (targets := alias.expand(model)) is not None:
                    return [(parse_name(target, "", self.rows), alias.prefer) for target in targets]
        return [(parse_name(model, router, self.rows), "")]

    async def _candidates(self, name: Name) -> list[tuple[RouterDef, str]]:
        """Routers that serve a name, with their model ids."""
        wait_s = self._settings.timeouts.catalog_wait_s
        if name.router:
            router = self._routers.get(name.router)
            if router is None:
                raise self._unknown(f"{name.router}/{name.model}")
            row = router.row
            if not router.keys:
                variable = row.key_env[0] if row.key_env else "a key in chomp.toml"
                words = f"{row.id} has no key: set {variable}"
                raise Unavailable(words, code="router_not_configured", fault="provider_auth", should_retry=False)
            if row.kind == "local" and name.model and name.model not in row.models:
                raise self._unknown(f"{row.id}/{name.model}")
            if row.kind == "host":
                return [(router.row, await self._model_of_host(router, name.model))]
            if not row.models:
                self._refresh(router)
            return [(row, name.model or await self._default(router))]
        if not name.model:
            asked = [one for one in self._routers.values() if self.is_asked_first(one.row.id)]
            if asked and not any(row.kind == "hosted" for row in self.configured):
                await self._until(lambda: any(row.kind == "host" for row in self.configured), asked, wait_s)
            rows = self.configured
            if not rows:
                raise Unavailable("no router is configured: set a router's key", code="no_router", should_retry=False)
            if any(row.default_rule for row in rows):
                await self._wait_for_defaults([self._routers[row.id] for row in rows])
            found = [(row, default_model(row, self.models(row.id))) for row in rows]
            if found := [(row, model) for row, model in found if model]:
                return found
            raise Unavailable(
                "no configured router has a default model: name one", code="no_default_model", should_retry=False
            )
        self.refresh()
        await self._until(lambda: name.model in self._serving, self._routers.values(), wait_s)
        rows = [self.rows[router] for router in self._serving.get(name.model, ()) if self.keys(router)]
        hosted = [row for row in rows if row.kind != "local"]
        if rows:
            return [(row, name.model) for row in hosted or rows]
        family = [(self.rows[id], host.named(name.model)) for id, host in self.hosts.all.items()]
        if family := [(row, model) for row, model in family if model]:
            return family
        raise self._unknown(name.model)

    async def _model_of_host(self, router: Router, wanted: str) -> str:
        """What a host calls a model; its default for "". Raises ModelNotFound or Unavailable."""
        host = self.hosts.all[router.row.id]
        if host.state == "checking":
            await self._until(lambda: False, [router], self._settings.timeouts.catalog_wait_s)
        if host.state == "checking" or (host.state == "down" and not host.seen.models):
            raise self._host_down(host)
        model = host.named(wanted) if wanted else default_model(router.row, router.models)
        if not model and host.seen.models:
            raise self._unknown(f"{host.row.id}/{wanted}")
        return model or wanted

    @staticmethod
    def _host_down(host: Host) -> Unavailable:
        words = "has not answered yet" if host.state == "checking" else f"is down since {iso(host.since)}: {host.note}"
        wait_s = down_pause_s(host.lost)
        return Unavailable(
            f"the host {host.row.id} {words}", code="host_down", fault="provider_connect", retry_after_s=wait_s,
            should_retry=True,
        )  # fmt: skip

    async def _wait_for_defaults(self, routers: Sequence[Router]) -> None:
        """For lists that defaults are picked from, while no default is known; a little longer for a first one."""
        self.refresh()
        unknown = [one for one in routers if one.row.default_rule and not one.models]
        wait_s = self._settings.timeouts.catalog_wait_s
        await self._until(lambda: any(default_model(one.row, one.models) for one in routers), unknown, wait_s)
        first = [one for one in unknown if one.tried_at == -math.inf]
        await self._until(lambda: False, first, min(CATALOG_GRACE_S, wait_s))

    async def _default(self, router: Router) -> str:
        row = router.row
        if row.default_rule:
            await self._wait_for_defaults([router])
        model = default_model(row, router.models)
        if not model:
            why = f" ({router.error})" if router.error else ""
            raise Unavailable(
                f"{row.id} has no default model{why}: name one", code="no_default_model", should_retry=False
            )
        return model

    def _unknown(self, model: str) -> ModelNotFound:
        prefix, slash, _ = model.partition("/")
        near = self.near(model)
        if slash and (routers := difflib.get_close_matches(prefix, list(self.rows), n=1)):
            near = [name for name in (f"{routers[0]}/{model.partition('/')[2]}", *near) if name != model][:3]
        hint = f"; near: {', '.join(near)}" if near else ""
        shown = model if len(model) <= 200 else model[:200] + "..."
        return ModelNotFound(f"no configured router serves the model {shown!r}{hint}", param="model")

    def near(self, model: str) -> list[str]:
        """Up to three known names that look like `model`."""
        tail = model.rpartition("/")[2].lower()[:100]
        known = list(self._serving)
        if tail and (holding := [name for name in known if tail in name.lower()]):
            return sorted(holding, key=len)[:3]
        pool = [name for name in known if name.rpartition("/")[2][:2].lower() == tail[:2]] or known
        left, looked_at = _NEAR_CHARS, []  # the work grows with the square of a name's length
        for name in pool:
            if (left := left - (len(name) + 20) ** 2) < 0:
                break
            looked_at.append(name)
        return difflib.get_close_matches(model[:100], looked_at, n=3, cutoff=0.6)

    def _rank(self, prefer: str, row: RouterDef, model: str) -> tuple[int, float]:
        if prefer == "fast":
            router = self._routers[row.id]
            if model in router.ttft:
                return 1, router.ttft[model]
            if model in router.whole:  # which takes longer, and says less
                return 2, router.whole[model]
            return 0, 0.0  # who was never asked is tried once
        price = self.price(row.id, model)
        cost = math.inf if price is None else price.prompt + price.completion
        if prefer == "free":
            return 0, 0.0 if cost == 0 or model.endswith((":free", "-free")) else 1.0
        return 0, cost

    def _awake(self, wanted: Sequence[tuple[RouterDef, str, Api]]) -> list[Target]:
        """The targets that are neither benched nor broken. Raises Busy or Unavailable when none is."""
        now = self._now()
        targets: list[Target] = []
        shortest, why, broken = math.inf, "", math.inf
        down: Host | None = None
        for row, model, api in wanted:
            router = self._known[row.id]
            if row.kind == "host" and (host := self.hosts.all.get(row.id)) is not None and host.state == "down":
                down = host
                continue
            left = router.breaker.left_s(now)
            if left > 0:
                broken = min(broken, left)
                continue
            for key in router.keys:
                bench = router.rest(key.id, model, now) if router.benches else None
                if bench is not None:
                    if bench.until - now < shortest:
                        shortest, why = bench.until - now, f"{row.id}: {bench.words}"
                else:
                    targets.append(Target(row, key, model, api))
        if targets:
            return targets
        if down is not None and shortest == broken == math.inf:
            raise self._host_down(down)
        if shortest < math.inf:
            raise Busy(
                f"every target for this model is cooling down for at least {math.ceil(shortest)} s ({why})",
                fault="provider_rate_limited",
                retry_after_s=shortest,
                should_retry=shortest <= 60,
            )
        raise Unavailable(
            f"every router for this model has been failing; tried again in {math.ceil(broken)} s",
            code="router_unavailable",
            fault="provider_overloaded",
            retry_after_s=broken,
            should_retry=True,
        )

    # -- what is heard of targets

    def asked(self, target: Target) -> None:
        """A request goes to `target` now."""
        breaker = self._known[target.router.id].breaker
        if breaker.failures:
            breaker.probe(self._now())
        if target.router.kind == "host" and target.router.id in self.hosts.all:
            self.hosts.asked(target.router.id, target.model)

    def began(self, target: Target) -> None:
        """`target` has begun to answer."""
        if target.router.kind == "host" and target.router.id in self.hosts.all:
            self.hosts.answered(target.router.id, target.model)

    def abandoned(self, target: Target) -> None:
        """A request to `target` was given up by its client, which says nothing about the router."""
        breaker = self._known[target.router.id].breaker
        if breaker.failures:
            breaker.probing_at = -math.inf
        if target.router.kind == "host":
            self.hosts.gave_up(target.router.id, target.model)

    def answered(
        self, target: Target, ttft_s: float | None, whole_s: float, headers: Sequence[tuple[bytes, bytes]]
    ) -> None:
        """`target` gave a good answer: the first token of a stream after `ttft_s`, or all of it after `whole_s`."""
        router, model = self._known[target.router.id], target.model
        if router.breaker.failures:
            was_closed = router.breaker.state(self._now()) == "closed"
            router.breaker.heard(True, self._now())
            if not was_closed:
                self._tell_of_breaker(router, self._now())
        if router.benches:
            for scope in (model, ""):
                router.benches.pop((target.key.id, scope), None)
        times, seconds = (router.whole, whole_s) if ttft_s is None else (router.ttft, ttft_s)
        before = times.get(model, math.inf)
        times[model] = seconds if before == math.inf else before * 0.8 + seconds * 0.2
        if len(times) > self._settings.limits.names:
            del times[next(iter(times))]
        if headers and (left := rate_limits(headers)):
            router.limits_left = left

    def awake(self, target: Target) -> bool:
        """Whether `target` may be asked now."""
        now, router = self._now(), self._known[target.router.id]
        host = self.hosts.all.get(target.router.id)
        if host is not None and host.state == "down":
            return False
        return not router.breaker.left_s(now) and router.rest(target.key.id, target.model, now) is None

    def failed(self, target: Target, fault: Fault, verdict: Verdict) -> float:
        """`target` failed: what follows is benched or counted. Seconds it is benched for."""
        now = self._now()
        router, key = self._known[target.router.id], target.key.id
        seconds = 0.0
        self._plans.clear()
        if router.row.kind == "host" and target.router.id in self.hosts.all:
            self.hosts.gave_up(target.router.id, target.model)
            self.hosts.suspect(target.router.id)
        if verdict.bench:
            scope = (key, target.model if verdict.bench == "model" else "")
            failures = router.benches[scope].failures if scope in router.benches else 0
            wished = fault.wait_s
            if wished is None and fault.kind == "provider_billing":
                wished = BILLING_COOLDOWN_S
            elif wished is None and fault.kind == "provider_auth":
                wished = BILLING_COOLDOWN_S / 12 * 2 ** min(failures, 4)  # a key may be mended at any time
            seconds = cooldown_s(failures + 1, wished)
            self._bench(router, scope, Bench(now + seconds, failures + 1, fault.message[:200]))
        if verdict.breaker:
            self.notice_sleep()
            if now - self._woken_s >= WAKING_S:  # else the connection was cut by the machine's sleep, not by the router
                before = router.breaker.state(now)
                router.breaker.heard(False, now)
                if router.breaker.state(now) != before:
                    self._tell_of_breaker(router, now)
            if fault.wait_s:
                seconds = cooldown_s(1, fault.wait_s)
                self._bench(router, (key, target.model), Bench(now + seconds, 1, fault.message[:200]))
        else:
            router.breaker.heard(True, now)  # it answers, whatever it says
        router.whole.setdefault(target.model, math.inf)  # it has been asked, and is not to be tried first for ever
        return seconds

    def _tell_of_breaker(self, router: Router, now: float) -> None:
        self._events.publish("breaker", {"router": router.row.id, "state": router.breaker.state(now)})

    def notice_sleep(self) -> None:
        """Finds out whether the machine has slept since the last look."""
        now = self._now()
        slept_s = now - self._clocks.steady()
        if slept_s > self._slept_s + WAKING_S / 10:
            self._woken_s = now
        self._slept_s = slept_s

    def _bench(self, router: Router, scope: tuple[str, str], bench: Bench) -> None:
        router.benches.pop(scope, None)  # it is the last now
        router.benches[scope] = bench
        until = iso(self._clocks.wall() + bench.until - self._now())
        facts = {"router": router.row.id, "key": scope[0], "model": scope[1], "until": until, "reason": bench.words}
        self._events.publish("cooldown", facts)
        self._benched_until = max(self._benched_until, bench.until)
        if len(router.benches) > self._settings.limits.names:
            del router.benches[next(iter(router.benches))]

    def price(self, router: str, model: str) -> Price | None:
        """USD per token: the person's own prices, then the router's list, then the baked table; None = unknown."""
        key = (router, model)
        if key in self._price_of:
            return self._price_of[key]
        known = self._known[router]
        price = dict(known.row.prices).get(model)
        if price is None and known.row.kind == "host":
            price = _OWN_MACHINE
        if price is None:
            price = next((m.price for m in known.models if m.id == model), None)
        if price is None:
            price = self._prices.baked(router, model)
        if len(self._price_of) < self._settings.limits.names:
            self._price_of[key] = price
        return price

    def metrics(self) -> Iterator[Metric]:
        """Breakers, keys and limits, for prometheus-client."""
        now = self._now()
        breakers = GaugeMetricFamily("chomp_breaker_state", "0 closed, 1 half open, 2 open", labels=["router"])
        keys = GaugeMetricFamily("chomp_key_up", "1 unless a key is benched", labels=["router", "key"])
        left = GaugeMetricFamily(
            "chomp_ratelimit_remaining", "What a router last said is left", labels=["router", "kind"]
        )
        for name, router in self._routers.items():
            if router.keys:
                breakers.add_metric([name], ("closed", "half-open", "open").index(router.breaker.state(now)))
            for key in router.keys:
                keys.add_metric([name, key.id], 0.0 if router.key_rest_s(key.id, now) else 1.0)
            for kind, number in router.limits_left.items():
                left.add_metric([name, kind], number)
        yield from (breakers, keys, left)

    def health(self, router: str) -> tuple[str, str]:
        """How a router is, in a word and a sentence: live, limited, down, checking or unconfigured.

        Live is one whose model list came with its key, or that needs none and is not resting.
        """
        found, now = self._routers[router], self._now()
        row = found.row
        if (host := self.hosts.all.get(router)) is not None and host.state != "up":
            return {"asleep": "live", "warming": "limited"}.get(host.state, host.state), host.note or host.state
        if not found.keys:
            return "unconfigured", f"set {row.key_env[0]}" if row.key_env else "no key in chomp.toml"
        if (state := found.breaker.state(now)) != "closed":
            return "down", f"it has been failing (breaker {state})"
        if all(found.key_rest_s(key.id, now) for key in found.keys):
            return "down", f"every key rests: {found.benches[found.keys[0].id, ''].words}"
        if resting := [bench for bench in found.benches.values() if bench.until > now]:
            last = max(resting, key=lambda bench: bench.until)
            return "limited", f"until {iso(self._clocks.wall() + last.until - now)}: {last.words}"
        if row.credits:
            self._check_key(found)
            if error := found.check.error:
                return "down", f"the key is refused: {self._credentials.redact(error)}"
        if found.error:
            return "down", f"its model list cannot be had: {found.error}"
        return ("live", "") if found.tried_at > -math.inf else ("checking", "its model list is being fetched")

    async def try_keys(self, router: str, variable: str) -> tuple[str, str]:
        """What a router says to the keys of a variable, in a word and a sentence.

        `accepted`, `refused`, `unreachable`, or `unproven` where whoever asks is answered.
        """
        row, shown, known = self.rows[router], self._credentials.redact, ""
        for key in [one for one in self.keys(router) if one.secret and one.id.partition("#")[0] == variable]:
            try:
                status, body = await self._get(row, row.credits or "/models", key)
                if status in (401, 403):
                    return "refused", shown(
                        f"Saved, but {row.name} refuses this key: {read_fault(status, body[:65536]).message}"
                    )
                if status != 200:
                    return "unreachable", shown(f"Saved. {row.name} answers {read_fault(status, body[:65536]).message}")
                if not row.credits:
                    nobody, _ = await self._get(row, "/models", Key("none", "no-key"))
                    known = known or ("unproven" if nobody == 200 else "")
            except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
                return "unreachable", shown(f"Saved. {row.name} cannot be reached now: {error or type(error).__name__}")
        if known:
            return (
                known,
                f"Saved. {row.name} lists its models to anybody: the first request will tell if the key is good",
            )
        return "accepted", f"{row.name} takes this key"

    def credits(self, router: str) -> float | None:
        """USD left of a router's first key as it last said; None when it does not say."""
        return self._routers[router].check.credits

    def _check_key(self, router: Router) -> None:
        """Starts asking what is left of a key, when that was long ago; whoever asks is not kept waiting."""
        if self._now() - router.check.at >= KEY_CHECK_S:
            router.check.at = self._now()
            self._background.start(f"key of {router.row.id}", self._ask_about_key(router))

    async def _ask_about_key(self, router: Router) -> None:
        check = router.check
        try:
            status, body = await self._get(router.row, router.row.credits, router.keys[0])
            refused = status in (401, 403)
            check.error = read_fault(status, body[:65536]).message[:300] if refused else ""
            if status == 200:
                left = msgspec.json.decode(body, type=_KeyAnswer).data.limit_remaining
                check.credits = left if left is not None and left > 0.001 else None
            self._events.publish("platforms", {"id": router.row.id})
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError):
            return  # the router's trouble, not the key's

    def report(self) -> list[dict[str, Any]]:
        """The state of every router, for /status."""
        now, wall = self._now(), self._clocks.wall()
        return [
            {
                "id": one.row.id,
                "name": one.row.name,
                "kind": one.row.kind,
                "configured": bool(one.keys) and (one.row.kind != "local" or bool(one.row.models)),
                "set": None if one.keys else (one.row.key_env[0] if one.row.key_env else None),
                "keys": [{"id": key.id, "benched_s": round(one.key_rest_s(key.id, now), 1)} for key in one.keys],
                "breaker": one.breaker.state(now),
                "models": len(one.models),
                "catalog_age_s": None if (age := now - one.fetched_at) == math.inf else round(age),
                "catalog_error": one.error,
                "limits_left": one.limits_left,
                "cooling": [
                    {"key": key, "model": model, "until": iso(wall + bench.until - now), "why": bench.words}
                    for (key, model), bench in one.benches.items()
                    if bench.until > now
                ],
                "requests": one.requests,
                "slots": one.lane.slots,
                "queued": len(one.lane.waiting),
            }
            for one in self._routers.values()
        ]


# == Proxy =============================================================================================================

_PATHS: dict[Api, str] = {
    "chat": "/chat/completions", "completions": "/completions", "embeddings": "/embeddings", "messages": "/messages",
    "responses": "/responses", "count_tokens": "/messages/count_tokens",
}  # fmt: skip
_TAIL_BYTES = 8192
_FRAME_SIGNS = (b"data:", b"event:", b": ", b":\n", b"id:", b"retry:")  # how a stream of events begins
_LEAD_BYTES = 1024  # of blanks, before a type is believed
_LAST_FRAMES = (b"data: [DONE]\n\n", b'"type":"message_stop"}\n\n')  # after which nothing comes that matters
_TRANSLATED_AT_ONCE = 128 << 10  # a larger request or answer is translated in a thread
_HOLD_FRAMES, _HOLD_BYTES = 64, 256 << 10
_COMMENT_BYTES = 1024  # of comments that came together
_BURST_BYTES = 256 << 10
ERROR_BODY_S = 5.0  # for the body of an error; its status is known
DONE_S = 2.0  # for the end of the body after [DONE]
TICK_S = 0.05  # how exactly time limits are kept
FLOW_S = 1.0  # how often a task's meter hears of an answer that is coming
_TARGETS = 64  # whose request heads are remembered with one of a client's


class Sink(Protocol):
    """Where an answer goes: a client's connection, or a reader in this process.

    It may hear comments while there is no answer yet; then `whole`, or `fail`, or `start`, `write`s, and one of `end`,
    `fail` and `abort`. `done` comes last, when the request is accounted for. A sink that has fallen behind calls
    `Exchange.pause`, and `resume` when it has caught up.
    """

    started: bool  # whether a head is on its way

    @property
    def paused(self) -> bool:
        """Whether the reader has fallen behind."""

    def comment(self, run: bytes) -> None:
        """Comments: the stream begins with them where it has not begun, and what answers is still open then."""

    def whole(self, status: int, head: bytes, body: bytes) -> None:
        """Status, header lines and body of a whole answer."""

    def start(self, status: int, head: bytes, *, stream: bool) -> None:
        """Status and header lines of an answer that comes in pieces."""

    def write(self, run: bytes) -> None:
        """A piece of the body."""

    def write_chunk(self, run: bytes, framed: bytes) -> None:
        """`write(run)`, where `framed` is `run` as one chunk of HTTP already."""

    def end(self) -> None:
        """The body is over, properly."""

    def fail(self, error: ChompError) -> None:
        """There is no answer, or no more of it: the reader is told in its own way."""

    def abort(self) -> None:
        """The body is broken; the reader must be able to tell."""

    def done(self) -> None:
        """Nothing more comes."""


class Tap:
    """A stream on its way through: whole frames out of what reads bring, metered, as the client may have them."""

    __slots__ = ("_redact", "framer", "meter")

    def __init__(self, meter: StreamMeter, frame_bytes: int, redact: Callable[[bytes], bytes]):
        self.framer = Framer(frame_bytes)
        self._redact = redact
        self.meter = meter

    @property
    def plain(self) -> bool:
        """Whether nothing of a frame waits, so that a read of whole frames may go on as it came."""
        return not (self.framer.rest or self.framer.torn)

    @property
    def torn(self) -> bool:
        """Whether half of a frame that is too large to be looked at has been handed on."""
        return self.framer.torn

    def frames(self, data: bytes) -> bytes:
        """The frames that are complete with `data`, not looked at; of a frame that is too large, what is here."""
        run = self.framer.feed(data)
        if run and self.framer.torn:
            self.meter.skim(run)
        return run

    def feed(self, data: bytes) -> bytes:
        """The same, looked at."""
        framer = self.framer
        if framer.rest or framer.torn or not data.endswith(b"\n\n"):  # else the usual read: whole frames
            torn = framer.torn
            data = framer.feed(data)
            if not data or framer.torn:
                if data and not torn:
                    self.meter.skim(data)
                return data
            if torn:  # the end of the large frame comes first
                found = BLANK_LINE.search(data)
                end = found.end() if found else len(data)
                return data[:end] + self.shown(data[end:])
        return self.shown(data)

    def shown(self, run: bytes) -> bytes:
        """Whole frames, looked at, as the client may have them."""
        return self.cleaned(self.meter.look(run)) if run else run

    def cleaned(self, run: bytes) -> bytes:
        """`run` without errors that are none, and without our secrets, which an upstream's error may repeat."""
        run = without_blank_errors(run) if self.meter.blank else run
        return self._redact(run) if self.meter.error else run

    def close(self) -> bytes:
        """At a proper end: what is left, when it can be the answer's last frame without its blank line."""
        torn, last = self.framer.torn, self.framer.close()
        if not torn:
            last = self.shown(last)
        if self.meter.complete:
            return last
        self.framer.torn = torn
        return b""  # no blank line ends it: an error frame of ours would become a part of it

    def rest(self) -> bytes:
        """What is left, not looked at, when it is a frame."""
        return self.framer.close()


class Wanted(msgspec.Struct, frozen=True, gc=False):
    """In which form a client wants its answer."""

    stream: bool
    convertible: bool  # whether a whole answer can become a stream, and a stream whole
    usage: bool  # the usage frame itself


class Attempt(msgspec.Struct, eq=False):
    """What a target answers, until it is known what that is worth.

    `phase` is "asking" until a head comes; "holding" while a whole body is collected, or frames are kept back until one
    has content; "whole" when all of a body is here and has yet to be read; then "good", and the answer is `body`, or
    begins with `parts`; or "failed", and `fault` says why. It hears of its answer and calls nobody.
    """

    target: Target
    translation: Translation | None
    _wanted: Wanted
    _limits: Limits
    _redact: Callable[[bytes], bytes]
    _now: Callable[[], float]
    converts: bool  # whether a whole answer has to become another one, or frames
    started_at: float
    last_at: float  # when a frame came that is no comment
    headed_at: float
    phase: Literal["asking", "holding", "whole", "good", "failed"] = "asking"
    form: Literal["", "error", "whole", "frames", "stream"] = ""  # "frames": they are due as a whole answer
    fault: Fault | None = None
    body: bytes | None = None
    parts: list[bytes] = []
    size: int = 0  # of a body that is not streamed
    tap: Tap | None = None  # of a stream
    answering: Answering | None = None  # what makes another form of the answer
    usage: Usage | None = None  # of a whole answer
    status: int = 0
    headers: Sequence[tuple[bytes, bytes]] = ()
    shown: bytes = b""
    _type: bytes = b""
    content_at: float | None = None
    started_up: bool = False  # frames without content came
    streamed: bool = False  # whether a whole answer has become frames
    retyped: bool = False  # whether the answer's type was wrong
    unended: bool = False  # the last frame lacked its blank line

    @property
    def stream(self) -> bool:
        return self.form == "stream"

    @property
    def may_stream(self) -> bool:
        """Whether it is a stream, or will be one by its type."""
        return self.form == "stream" or (not self.form and self._streams())

    # -- what comes in

    def head(self, wire: Wire) -> None:
        """Status and headers."""
        self.status, self.headers = wire.status, wire.headers
        self.shown, self._type, encoding = wire.answer_head
        self.phase = "holding"
        if encoding:  # though none was asked for
            with contextlib.suppress(UnknownCoding):
                if codings := read_codings((encoding.decode("latin-1"),)):
                    wire.decode(codings)
                encoding = b""
        if not 200 <= wire.status < 300 or wire.status == 204:
            self.form, self.headed_at = "error", time.perf_counter()
            if encoding:  # what it says cannot be read, what it is can
                self.refuse()
        elif encoding:
            words = f"the upstream compressed its answer ({encoding.decode('latin-1')})"
            self.fail(Fault("provider_error", words, 502))
        elif not self._wanted.convertible and not self._streams():
            self.form = "whole"

    def _streams(self) -> bool:
        """What the answer's type makes of it."""
        return self._type.startswith(b"text/event-stream") or (self._wanted.stream and b"json" not in self._type)

    def feed(self, data: bytes) -> None:
        """A piece of the body."""
        if not self.form:
            if data[:1] == b"{" and not self.parts and self._type.startswith(b"application/json"):
                self.form = "whole"  # the usual one
            elif not (data := self._begun(data)):
                return
        if self.form == "stream":
            self._hold(data)
        else:
            self._collect(data)

    def _begun(self, data: bytes) -> bytes:
        """The beginning of an answer, from when its first sign says whether it streams, which its type may get wrong.

        A byte order mark is left out.
        """
        words = data
        if self.parts or data[:1] not in (b"{", b"d"):
            self.parts.append(data)
            begun = b"".join(self.parts)
            data = begun.removeprefix(BYTE_ORDER_MARK)
            words = data.lstrip()
            if len(begun) < _LEAD_BYTES and (BYTE_ORDER_MARK.startswith(begun) or not words):
                return b""
            self.parts.clear()
        self._decide(words)
        return data

    def _decide(self, words: bytes) -> None:
        """What the answer is that begins with `words`: a stream to be relayed, one to be put together, or whole."""
        wanted, streams = self._wanted, self._streams()
        if wanted.convertible:
            if words[:1] in (b"{", b"["):
                streams = False
            elif words.startswith(_FRAME_SIGNS):
                streams = True
        self.form = "whole" if not streams else "stream" if wanted.stream or not wanted.convertible else "frames"
        self.converts = self.converts or self.form == "frames"
        self.retyped = wanted.convertible and (b"event-stream" if self.stream else b"json") not in self._type
        if self.stream:
            most = self._limits.frame_bytes if self.translation is None else ANSWER_KEPT_BYTES
            self.tap = Tap(self._new_meter(), most, self._redact)

    def _new_meter(self) -> StreamMeter:
        if dialect_of(self.target.api) != "chat":
            return EventsMeter()
        return StreamMeter(hide_usage=self.translation is None and not self._wanted.usage)

    def _collect(self, data: bytes) -> None:
        """A body that is not streamed: kept whole up to a limit."""
        self.parts.append(data)
        self.size += len(data)
        limits = self._limits
        if self.form == "error":
            if self.size >= limits.error_bytes:
                self.refuse()
        elif self.converts:
            if self.size > limits.body_bytes:
                words = f"the answer is larger than {limits.body_bytes} bytes, too large to be translated"
                self.fail(Fault("provider_error", words, 502, code="bad_upstream_answer"))
            elif self.form == "frames" and b"".join(self.parts[-2:]).endswith(_LAST_FRAMES):
                self.phase = "whole"
        elif self.size > limits.answer_bytes:
            self.phase = "good"  # the rest is passed on as it comes

    def _hold(self, data: bytes) -> None:
        """A stream whose content has not begun: frames are kept back."""
        tap = cast(Tap, self.tap)
        run = tap.frames(data)
        if not run:
            return
        if tap.torn:  # too large to be looked at: content
            self._keep(run)
            self.phase = "good"
        elif self.parts or not self._begins(run):
            self._sort(run)

    def _begins(self, run: bytes) -> bool:
        """Whether `run`, the first of a stream, brings content and nothing wrong: the usual way a stream begins."""
        tap = cast(Tap, self.tap)
        meter = tap.meter
        shown = meter.look(run)
        if not meter.frames or meter.malformed or meter.error or meter.blank:
            tap.meter = self._new_meter()  # to be looked at frame by frame
            return False
        self.content_at = time.perf_counter()
        self._keep(shown)
        self.phase = "good"
        return True

    def _sort(self, run: bytes) -> None:
        tap = cast(Tap, self.tap)
        frames = split_frames(run) if b"data:" in run else [run]  # else comments, blank lines
        for at, frame in enumerate(frames):
            kind = frame_kind(frame)
            if kind == "error":
                payload = next(one for one in payloads(frame) if payload_kind(one) == "error")
                self.fail(read_fault(200, payload, now=self._now()))
                return
            if kind == "comment":
                if len(self.parts) < _HOLD_FRAMES and len(frame) <= _COMMENT_BYTES:  # more tells nobody more
                    self._keep(frame)
                continue
            self.last_at = time.perf_counter()
            self.started_up = self.started_up or kind != "content"
            if kind == "content" or len(self.parts) > 2 * _HOLD_FRAMES or self.size > _HOLD_BYTES:
                self.content_at = self.last_at if kind == "content" else None
                self._keep(tap.shown(b"".join(frames[at:])))
                self.phase = "good"
                return
            self._keep(tap.shown(frame))

    def _keep(self, run: bytes) -> None:
        if run:
            self.parts.append(run)
            self.size += len(run)

    def take(self) -> bytes:
        """What was kept back."""
        run = b"".join(self.parts)
        self.parts.clear()
        return run

    def end(self, error: UpstreamError | None) -> None:
        """The answer is over, before it could be committed to."""
        if self.phase == "holding" and not self.form:  # nothing came that says what it is
            self._decide(b"")
        if self.form == "error":
            self.refuse()
        elif error is not None:
            code = "upstream_unreachable" if error.kind == "provider_connect" else "upstream_interrupted"
            self.fail(Fault(error.kind, str(error), 502, code=code))
        elif self.tap is not None:
            if left := self.tap.rest():
                self.unended = True
                self._sort(left)
            if self.phase == "holding":
                words = "the upstream's stream ended without an answer"
                self.fail(Fault("provider_error", words, 502, code="empty_response"))
        else:
            self.phase = "whole"

    def fail(self, fault: Fault) -> None:
        """This target will not do."""
        self.phase, self.fault = "failed", fault

    def refuse(self) -> None:
        """It has said no, and as much about it as is read."""
        body = b"".join(self.parts)[: self._limits.error_bytes]
        fault = read_fault(self.status, body, self.headers, self._now())
        if not 400 <= self.status < 600:
            words = f"the upstream answered {self.status}, which is no answer"
            fault = Fault("provider_error", words, 502, wait_s=fault.wait_s)
        self.fail(fault)

    # -- whole answers

    def read(self, answering: Callable[[Attempt], Answering]) -> None:
        """Makes of a whole body what the client wants, or finds out what is wrong with it."""
        parts = self.parts
        body = (parts[0] if len(parts) == 1 else b"".join(parts)).removeprefix(BYTE_ORDER_MARK)
        if self.form == "frames":
            fault = self._gathered(body)
        else:
            self.usage, fault = read_answer(self.target.api, body, self._now())
        try:
            if fault is None and self.converts:
                self.body = self._converted(body, answering)
            elif fault is None:
                self.body = without_blank_errors(body) if body.find(b'"error"') >= 0 else body
        except ChompError as refused:
            kind = refused.fault if isinstance(refused, UpstreamFailed) else "provider_error"
            fault = Fault(kind, refused.message, refused.status, code=refused.code)
        parts.clear()
        if fault is not None:
            self.fail(fault)
        else:
            self.phase = "good"

    def _gathered(self, body: bytes) -> Fault | None:
        """What is wrong with a whole stream."""
        meter = self._new_meter()
        meter.look(body)
        self.usage = meter.usage()
        if meter.error:
            return read_fault(200, meter.error)
        if not meter.complete:
            return Fault("provider_incomplete", "the upstream's stream ended in the middle of its answer", 502)
        return None

    def _converted(self, body: bytes, answering: Callable[[Attempt], Answering]) -> bytes:
        """A whole answer in the dialect and the form that the client wants. Raises ChompError."""
        wanted = self._wanted
        try:
            if self.translation is None and self.form == "whole" and dialect_of(self.target.api) == "chat":
                self.streamed = True
                return chat_dialect.frames_of(form.decode(body), wants_usage=wanted.usage)
            made = self.answering = answering(self)
            if self.form == "frames":
                made.read_stream(body, self.usage)
            else:
                made.read(body, self.usage)
            self.streamed = wanted.stream
            return made.frames() if wanted.stream else made.whole()
        except ChompError:
            raise
        except form.ODD:
            raise UpstreamFailed("the upstream did not stream", code="bad_upstream_answer") from None
        except Exception:  # a bug: the client gets an error, the log the reason
            log.exception("an answer could not be translated")
            raise ChompError("chomp failed; its log says why") from None


class Exchange(msgspec.Struct, eq=False):  # a struct is made ten times as fast as an object with forty attributes
    """One request and its answer: fails over until an answer is committed to, then relays and meters it.

    `phase` is "waiting" while a task works for it (a budget, a list of models, a connection, a large translation);
    "asking" when a target has been asked and nothing is committed; "relaying" while its answer goes on to the sink as
    it comes; "over" when it is accounted for, once, however it ended. Its connection to the upstream, its client's and
    the ticker call it, and nobody waits for it.
    """

    proxy: Proxy
    request: ChatRequest
    caller: Caller
    _sink: Sink
    _at: float  # Unix seconds when it came in
    _started: float  # the same, of the steady clock
    _heard_at: float  # when the client last heard of it
    _last_at: float  # when the upstream last said something
    phase: Literal["waiting", "asking", "relaying", "over"] = "waiting"
    envelope: Envelope = Envelope()
    _wanted: Wanted = Wanted(False, False, False)
    meter: Meter | None = None  # of the task that asks
    limit: asyncio.Timeout | None = None  # set by whoever has one for it
    attempt: Attempt | None = None
    relays: bool = False  # whether chunks go to the sink as they come
    records: list[AttemptRecord] = []
    _faults: list[tuple[Fault, Attempt]] = []
    _plan: Plan | None = None
    _targets: Sequence[Target] = ()  # those of the plan that the caller may use
    _position: int = 0  # of the target that is asked
    _wire: Wire | None = None
    _sent: tuple[tuple[Origin, bytes], bytes] | None = None  # where to, and what
    _task: asyncio.Task[None] | None = None  # what is waited for
    _on_hold: bool = False  # until there is a budget
    _translations: dict[tuple[str, str, Api], Translation] = {}  # each for one attempt
    _adopted: bytes = b""  # the request without what targets of before needed back
    _reservation: Reservation | None = None
    _most: int | None = None  # tokens that its user has left for an answer
    _prompt: int = -1  # tokens, once estimated
    _broken: UpstreamError | None = None  # what went wrong after the commitment
    _complete: bool = False  # all of a good answer has come
    _restarted: bool = False
    _stopping: bool = False
    number: int = 0
    _words: str = ""  # what went wrong
    _seat: Seat | None = None  # among those its target works on
    _waiter: Waiter | None = None  # for one
    _conversation: str = ""  # where several hosts could have it in their prompt caches
    _affinity: str = ""
    _queued_s: float = 0.0  # that it has waited for a seat
    _passed_by: tuple[str, ...] = ()  # hosts that cannot, or are loading, and are not asked again before the others
    _tail: bytes = b""  # of an answer too large to be read whole
    _asked_at: float = 0.0
    _waited_s: float = 0.0
    _overhead_s: float = 0.0
    _due: float = 0.0  # when `tick` has something to do
    _reads: int = 0
    _seen: int = 0  # the ticker compares both, so that nobody looks at a clock for each read
    _burst: int = 0  # bytes relayed since others had their turn
    _paused_at: float | None = None
    _flowed_at: float = 0.0  # when the meter last heard of it

    # -- opening

    def begin(self) -> None:
        """Starts. What comes of it the sink is told."""
        proxy = self.proxy
        try:
            if proxy.inflight > proxy.limits.requests:
                words = f"more than {proxy.limits.requests} requests at once"
                raise Unavailable(words, retry_after_s=1, should_retry=True)
            question = self._read()
            if proxy.events.details:
                proxy.tell("request_start", self)
            plan = proxy.routing.planned(question)
            if plan is None or (self.meter is not None and self._over_budget()):
                self._wait(self._find_targets, question)
            else:
                self._begin_with(plan)
        except Exception as error:
            self._fail(_chomps_own(error))

    def _wait(self, work: Callable[..., Awaitable[None]], *more: Any) -> None:
        """Has a task do `work`, which must wait for something."""
        self.phase, self._due = "waiting", 0.0
        self._task = self.proxy.background.spawn(self._work(work, more))

    async def _work(self, work: Callable[..., Awaitable[None]], more: Sequence[Any]) -> None:
        task = asyncio.current_task()
        try:
            await work(*more)
        except Exception as error:
            self._fail(_chomps_own(error))
        finally:
            if self._task is task:
                self._task = None

    def _read(self) -> Question:
        """Reads the request; the question to Routing. Raises BadRequest or Forbidden."""
        request = self.request
        api = request.api
        envelope = self.envelope = read_envelope(api, request.body)
        stream = envelope.stream is True and api not in ("embeddings", "count_tokens")
        asks_usage = bool(envelope.stream_options) and envelope.wants_usage()
        self._wanted = Wanted(stream, api in DIALECTS and not (envelope.n and envelope.many() > 1), asks_usage)
        fallback = request.fallback or self._restricted  # else the one target would be picked before those are left out
        model, router = envelope.model or "", envelope.router or ""
        if pin := self.caller.router:
            model, router = self.proxy.routing.pinned(model, router, pin), pin
        return (model, router, request.prefer, api, fallback)

    def _over_budget(self) -> bool:
        """Whether the task that asks has to wait; counting tokens costs nothing."""
        meter = self.meter
        return meter is not None and self.request.api != "count_tokens" and bool(self.proxy.meters.over(meter))

    async def _find_targets(self, question: Question) -> None:
        """Waits for a budget of the task that asks and for lists of models. Raises ChompError."""
        if self._over_budget():
            self._on_hold, self._due = True, 0.0  # a streaming client hears comments meanwhile
            try:
                await self.proxy.meters.room(cast(Meter, self.meter))
            finally:
                self._on_hold = False
        routing = self.proxy.routing
        self._begin_with(routing.planned(question) or await routing.plan(*question))

    def _begin_with(self, plan: Plan) -> None:
        """Asks the first target of `plan`. Raises ChompError."""
        self._plan = self._targets = plan
        if (user := self.caller.user) is not None:
            self._targets = self._permitted(plan)
            self._admit(user)
        if plan.strategy:
            self._arrange(0)
        self._ask(0)

    def _arrange(self, position: int) -> None:
        """Puts the hosts among the targets from `position` on into this request's order. Raises ContextTooLong."""
        routing, strategy = self.proxy.routing, cast(Plan, self._plan).strategy
        head, rest = self._targets[:position], self._targets[position:]
        if len({target.router.id for target in rest if target.router.kind == "host"}) > 1:
            self._conversation = conversation_key(self.envelope, self.caller.name, self._conversation_name())
        rest = routing.arranged(rest, strategy, self._longest_prompt(), self._conversation)
        if not rest:
            raise Unavailable("every host of this model was taken out", code="host_down", should_retry=True)
        self._targets = [*head, *(rest if self.request.fallback else rest[:1])]

    def _longest_prompt(self) -> int:
        """Tokens that have to fit in a context: of several texts to embed the longest one's."""
        if self.request.api != "embeddings":
            return self._prompt_tokens()
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            texts = list(map(bytes, decode_raws(self.envelope.input)))
            if texts and texts[0][:1] in (b'"', b"["):
                return max(map(estimated_prompt, texts))
            return len(texts)  # tokens
        return self._prompt_tokens()

    def _conversation_name(self) -> str:
        """What the client itself calls the conversation, where it does."""
        for name, value in self.request.headers:
            if name.lower() in _CONVERSATION_HEADERS:
                return value.decode("latin-1")[:200]
        return ""

    @property
    def _restricted(self) -> bool:
        user = self.caller.user
        return user is not None and bool(user.models or user.routers)

    def _permitted(self, targets: Sequence[Target]) -> Sequence[Target]:
        """Those of `targets` the caller may use. Raises Forbidden when that is none."""
        if not self._restricted:
            return targets
        envelope, known = self.envelope, self.proxy.routing.rows
        allowed = permitted(self.caller, envelope.model or "", envelope.router or "", targets, known)
        arranged = self.request.fallback or cast(Plan, self._plan).strategy  # then the first is chosen among them
        for name in fields_of(self.request.body):
            # OpenRouter would take another one of `models`; routers written in Go see a model in `Model`, too
            if (folded := name.casefold()) == "models" or (folded == "model" and name != "model"):
                words = f"{self.caller.name} may not name further models"
                raise Forbidden(words, code="model_not_allowed", param=name)
        return allowed if arranged else allowed[:1]

    def _admit(self, user: User) -> None:
        """Reserves what the request may use of its user's allowance. Raises Busy when that is more than is left."""
        api = self.request.api
        if api == "count_tokens":
            return
        tokens, usd = 0, 0.0
        if user.limited():  # the others are counted: they may get limits while chomp runs
            prompt, answer = self._prompt_tokens(), 0
            if api != "embeddings":
                answer = self.envelope.most_tokens(api, RESERVED_TOKENS)
            pairs = {(one.router.id, one.model) for one in self._targets}
            prices = [self.proxy.routing.price(router, model) for router, model in pairs]
            left = [self.proxy.allowances.most_tokens(user, prompt, price) for price in prices] if answer else []
            if (most := min((one for one in left if one is not None), default=0)) > 0:
                self._most, answer = most, min(answer, most)
            usd = max(cost_usd(Usage(prompt, answer), price) or 0.0 for price in prices)
            tokens = prompt + answer
        self._reservation = self.proxy.allowances.admit(user, tokens, usd)

    def _prompt_tokens(self) -> int:
        """Of the request, roughly."""
        if self._prompt < 0:
            self._prompt = estimated_prompt(self.envelope.content())
        return self._prompt

    def _capped(self, target: Target, body: bytes) -> bytes:
        """The request as it goes to `target`, for no longer an answer than what is left of a strict budget."""
        most, api = self._most, self.request.api
        if self.meter is not None and api not in ("embeddings", "count_tokens"):
            price = self.proxy.routing.price(target.router.id, target.model)
            most = self.proxy.meters.most_tokens(self.meter, self._prompt_tokens(), price)
        return body if most is None else capped(target.api, body, max(1, most // self.envelope.many()))

    # -- asking

    def _ask(self, position: int) -> None:
        """Asks the target at `position`, at once where that takes no waiting. Raises ChompError when none can be."""
        proxy, request = self.proxy, self.request
        while True:
            target = self._targets[position]
            self._position = position
            if (target.router.slots or target.router.kind == "host") and self._waits_for(target):
                return
            if len(request.body) > _TRANSLATED_AT_ONCE and self._takes_long(target):
                self._wait(self._translate_aside, target)
                return
            try:
                body = self._next_attempt(target)
                break
            except BadRequest as error:
                position = self._elsewhere(error)
        proxy.routing.asked(target)
        if proxy.events.details:
            proxy.tell("request_attempt", self)
        address = proxy.known_address(target, request)
        wire = None if address is None else proxy.pool.take(address[0])
        if address is None or wire is None:
            self._wait(self._connect, address, body)
        else:
            self._send(wire, address, body)

    def _waits_for(self, target: Target) -> bool:
        """Whether something has to be waited for before `target` can be asked: a seat, or that a host is ready."""
        lane = self.proxy.routing.lane(target)
        if lane is None or self.request.api == "count_tokens":
            return False
        if self._seat is None:
            if not lane.has_room(target.model):
                self._wait(self._queue, lane)
                return True
            self._seat = lane.take(target.model, self.caller.name)
        host = self.proxy.routing.hosts.all.get(target.router.id)
        if host is not None and host.state == "warming":
            if (other := self._idle_elsewhere()) is not None:
                self._leave_seat()
                self._targets = _moved(self._targets, other, self._position)
                self._wait(self._again)
            else:
                self._wait(self._warm_up, host)
            return True
        if host is None or not host.seen.cuts or host.context(target.model):
            return False
        if host.tokens(target.model, self._longest_prompt()) <= CUT_CONTEXT:
            return False  # it fits, whatever the context is
        self._wait(self._load_first, target)
        return True

    async def _queue(self, lane: Lane) -> None:
        """Waits for a seat, or goes where there is one after a while. Raises Busy."""
        proxy, target = self.proxy, self._targets[self._position]
        times, began = proxy.timeouts, time.monotonic()
        waiter = self._waiter = Waiter(target.model, self.caller.name, began)
        self._on_hold, self._due = True, 0.0  # a streaming client hears comments meanwhile
        if lane.may_wait(self.caller.name, proxy.limits.queue):
            proxy.tell("request_queued", self)
        try:
            while self._seat is None:
                left_s = times.queue_s - (time.monotonic() - began)
                try:
                    if left_s <= 0:
                        words = f"no slot of {target.router.id} became free within {times.queue_s:g} s"
                        wait_s = lane.full().retry_after_s
                        raise Busy(words, code="queue_timeout", retry_after_s=wait_s, fault="chomp_shed")
                    self._seat = await lane.seat(waiter, proxy.limits.queue, min(times.busy_s, left_s))
                except Busy:
                    if (other := self._idle_elsewhere()) is None:
                        raise
                    self._targets = _moved(self._targets, other, self._position)
                    break
                if self._seat is None and (other := self._idle_elsewhere()) is not None:
                    self._targets = _moved(self._targets, other, self._position)
                    break
        finally:
            self._on_hold, self._waiter = False, None
            self._queued_s += time.monotonic() - began
            if self._seat is None:
                lane.give_up(waiter)
        self._ask(self._position)

    def _idle_elsewhere(self) -> int | None:
        """The position of another target that would begin at once, and has not said that it cannot."""
        routing, here = self.proxy.routing, self._targets[self._position].router.id
        for at in range(self._position + 1, len(self._targets)):
            target = self._targets[at]
            away = target.router.id in (here, *self._passed_by) or routing.is_warming(target.router.id)
            if not away and routing.has_room(target):
                return at
        return None

    async def _warm_up(self, host: Host) -> None:
        """Waits until a host has loaded what it serves. Raises Unavailable when that takes too long."""
        left_s = self._started + self.proxy.timeouts.first_byte_local_s - time.perf_counter()
        self._on_hold, self._due = True, 0.0
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                await asyncio.sleep(_WARMING_S)  # it may say again that it is loading, at once
                await host.settled.wait()
        except TimeoutError:
            self._passed_by = (*self._passed_by, host.row.id)
            if (other := self._idle_elsewhere()) is not None:
                self._targets = _moved(self._targets, other, self._position)
                self._leave_seat()
                self._wait(self._again)
                return
            words = f"the host {host.row.id} is still loading"
            raise Unavailable(words, code="host_loading", fault="provider_timeout", should_retry=True) from None
        finally:
            self._on_hold = False
        self._ask(self._position)

    async def _load_first(self, target: Target) -> None:
        """Has a host load a model, so that its context is known before a long prompt is sent."""
        hosts = self.proxy.routing.hosts
        self._on_hold, self._due = True, 0.0
        try:
            await hosts.order(target.router.id, target.model, "load")
            hosts.assume(target.router.id, target.model)
            self._arrange(self._position)
        except (BadRequest, NotFound, Unavailable):
            self._passed_by = (*self._passed_by, target.router.id)
            if (other := self._idle_elsewhere()) is None:
                raise
            self._targets = _moved(self._targets, other, self._position)
        finally:
            self._on_hold = False
            self._leave_seat()
        self._ask(self._position)

    def _leave_seat(self) -> None:
        """The target works for this request no longer."""
        seat, self._seat = self._seat, None
        if seat is not None:
            seat.leave()

    def _send(self, wire: Wire, address: tuple[Origin, bytes], body: bytes) -> None:
        self.phase = "asking"
        self._due = 0.0
        self._wire = wire
        self._sent = address, body
        wire.start(self, b"%bcontent-length: %d\r\n\r\n" % (address[1], len(body)), body)

    async def _connect(self, address: tuple[Origin, bytes] | None, body: bytes, *, anew: bool = False) -> None:
        """Asks over another connection, and over a new one when it is to be `anew`. Raises Unavailable."""
        attempt, pool = cast(Attempt, self.attempt), self.proxy.pool
        address = address or await self.proxy.address(attempt.target, self.request)
        try:
            wire = (None if anew else pool.take(address[0])) or await pool.connect(address[0])
        except UpstreamError as error:
            self._sent = address, body
            attempt.fail(Fault(error.kind, str(error), 502, code="upstream_unreachable"))
            self._look()
            return
        self._send(wire, address, body)

    def _elsewhere(self, refused: BadRequest) -> int:
        """The position of a target whose dialect may have a place for what is asked. Raises ChompError without one."""
        self._leave_seat()
        api = self._targets[self._position].api
        for at in range(self._position + 1, len(self._targets)):
            if self._targets[at].api != api:
                return at
        raise self._failure() if self._faults else refused  # a target could have served it, and failed

    def _takes_long(self, target: Target) -> bool:
        """Whether the request has to be translated for `target`, and is so large that others must not wait for it."""
        api = self.request.api
        if target.api != api:
            return _translated(target) not in self._translations
        return not self._adopted and _holds_sealed(api, self.request.body)

    async def _translate_aside(self, target: Target) -> None:
        position = self._position
        try:
            if target.api == self.request.api:
                self._adopted = await asyncio.to_thread(adopted, dialect_of(target.api), self.request.body)
            else:
                self._translations[_translated(target)] = await asyncio.to_thread(self._translate, target)
        except BadRequest as error:
            position = self._elsewhere(error)
        self._ask(position)

    def _next_attempt(self, target: Target) -> bytes:
        """Makes `target` the one that is asked. The request's body as it goes there. Raises BadRequest."""
        request, row, envelope, wanted = self.request, target.router, self.envelope, self._wanted
        ask_usage = wanted.stream and row.stream_options and target.api in _ASK_USAGE
        translation = None
        if target.api != request.api:
            translation = self._translations.pop(_translated(target), None) or self._translate(target)
            body = translation.body(target.model, ask_usage=ask_usage)
        else:
            body = self._body_for(target)
            if form.may_be_sealed(body) and _holds_sealed(target.api, body):
                body = self._adopted = self._adopted or adopted(dialect_of(target.api), body)
            model = None if target.model == envelope.model and self.caller.user is None else target.model
            ask_usage = ask_usage and not wanted.usage
            if ask_usage or model is not None or envelope.router is not UNSET or request.resolved:
                body = spliced(body, envelope, model=model, ask_usage=ask_usage, without=request.resolved)
        if row.prepare:
            body = PREPARE[row.prepare](target.api, body)
        if self._most is not None or self.meter is not None:
            body = self._capped(target, body)
        proxy = self.proxy
        now = self._asked_at = time.perf_counter()
        converts = translation is not None or (wanted.stream and wanted.convertible)
        self.attempt = Attempt(
            target, translation, wanted, proxy.limits, proxy.redacted, proxy.now, converts, now, now, now
        )
        self._sent = None
        return body

    def _translate(self, target: Target) -> Translation:
        """The request for a target of another dialect. Raises BadRequest."""
        request, row = self.request, target.router
        client, there = dialect_of(request.api), dialect_of(target.api)
        origin = f"{row.id}/{target.model}"
        return Translation(
            client, there, self._body_for(target), int(self._at), origin,
            effort=row.effort, thoughts=self.proxy.thoughts, caller=self.caller.name,
        )  # fmt: skip

    def _body_for(self, target: Target) -> bytes:
        """The client's request, as `target` may have it."""
        own = target.router.kind == "host" and dialect_of(self.request.api) == "messages"
        return without_billing(self.request.body) if own else self.request.body

    def answering(self, attempt: Attempt) -> Answering:
        """What brings the answer of `attempt` into the client's dialect."""
        client = dialect_of(self.request.api)
        if attempt.translation is not None:
            answering = attempt.translation.answer
        else:
            fields = decoded(form.decode, self.request.body)
            answering = Answering(client, client, fields, form.Answer(int(self._at)))
        if DIALECTS[client].ESTIMATES:
            answering.estimate(self._prompt_tokens())
        return answering

    # -- what the connection to the upstream tells

    def head(self, wire: Wire) -> None:
        """Status and headers are known."""
        attempt: Any = self.attempt
        attempt.head(wire)
        if attempt.form == "error" or attempt.phase == "failed":
            self._due = 0.0
            self._look()

    def body(self, data: bytes) -> None:
        """What one read brought."""
        self._reads += 1
        attempt: Any = self.attempt
        if self.phase != "relaying":
            self._due = 0.0  # what is kept back has a limit of its own
            attempt.feed(data)
            if attempt.phase != "holding":
                self._look()
            elif attempt.parts and attempt.tap is not None:
                self._kept_back(attempt)
            return
        self._burst += len(data)
        if self._burst > _BURST_BYTES:
            self._yield()
        if attempt.tap is None:
            self._tail = (self._tail + data)[-_TAIL_BYTES:]
            attempt.size += len(data)
            self._sink.write(data)
        elif run := attempt.tap.feed(data):
            self._show(run)

    def chunk(self, run: bytes, framed: bytes) -> None:
        """The hot path: a read that was one chunk of whole frames goes on as it came."""
        tap: Any = self.attempt.tap  # type: ignore[union-attr]
        framer, meter = tap.framer, tap.meter
        if framer.rest or framer.torn:
            self.body(run)
            return
        self._reads += 1
        self._burst += len(framed)
        if self._burst > _BURST_BYTES:
            self._yield()
        shown = meter.look(run)
        if shown is run and not (meter.error or meter.blank):
            self._sink.write_chunk(run, framed)
        elif shown:
            self._sink.write(tap.cleaned(shown))

    def end(self, error: UpstreamError | None) -> None:
        """The answer is over: properly, or broken."""
        wire, self._wire = self._wire, None
        attempt: Any = self.attempt
        if self.phase == "relaying":
            self._finish(error)
        elif error is not None and not attempt.status and wire is not None and wire.reused and not wire.received:
            # an idle connection the upstream had closed meanwhile: nothing was answered, ask again
            self._wait(functools.partial(self._connect, *cast(Any, self._sent), anew=True))
        else:
            attempt.end(error)
            self._look()

    def _look(self) -> None:
        """Does what is due now that the attempt has got somewhere."""
        attempt: Any = self.attempt
        if self.phase != "waiting":  # to read an answer aside is our time, not its upstream's
            self._last_at = time.perf_counter()
        if attempt.phase == "whole":
            if self._wire is not None:
                self._drop_wire()
            if attempt.size > _TRANSLATED_AT_ONCE and attempt.converts:
                self._wait(self._read_aside, attempt)
                return
            attempt.read(self.answering)
        if attempt.phase == "good":
            self._commit(attempt)
        elif attempt.phase == "failed":
            self._drop_wire()
            self._drop_task()  # it may have been connecting
            self._failed(attempt)

    async def _read_aside(self, attempt: Attempt) -> None:
        """Others do not wait until a large body is read."""
        await asyncio.to_thread(attempt.read, self.answering)
        self._look()

    def _kept_back(self, attempt: Attempt) -> None:
        """Comments that came go to a client whose stream has begun with comments: failover stays possible."""
        if self._sink.started and not attempt.started_up:
            self._comment(attempt.take())

    def _drop_wire(self) -> None:
        """Leaves the upstream at once, unless it has said all."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.abort(self)

    def _drop_task(self) -> None:
        """Waits no longer, unless that is what is just going on."""
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    # -- failing over

    def _failed(self, attempt: Attempt) -> None:
        """The target will not do: the next one is asked, or the client gets an error."""
        proxy, target, row = self.proxy, attempt.target, attempt.target.router
        fault = cast(Fault, attempt.fault)
        if row.kind == "local" and fault.kind == "provider_connect" and not self._restarted:
            self._restarted = True
            proxy.routing.abandoned(target)
            self._wait(self._restart)  # nothing was answered: its successor is asked
            return
        waited_s = time.perf_counter() - self._asked_at
        self._waited_s += waited_s
        more = b"" if attempt.translation is not None else proxy.redacted(fault.more)
        words = proxy.redacted_text(fault.message)
        if fault.kind == "provider_auth":
            words = f"{row.id} refused the key in {target.key.id}: {words}"
        fault = msgspec.structs.replace(fault, message=words, more=more)
        self.records.append(
            AttemptRecord(row.id, target.model, target.key.id, fault.status, round(waited_s * 1000), words[:300])
        )
        self._leave_seat()
        if row.kind == "host" and is_loading(fault) and self._waits_while_loading(target):
            return
        verdict = judge(fault)
        benched_s = proxy.routing.failed(target, fault, verdict)
        if fault.kind == "provider_rate_limited" and fault.wait_s is None:
            fault = msgspec.structs.replace(fault, wait_s=benched_s)
        self._faults.append((fault, attempt))
        proxy.usage.attempts[row.id, fault.kind] += 1
        position = None if self._stopping else self._next(fault, verdict)
        try:
            if position is None:
                raise self._failure()
            proxy.usage.failovers[row.id, self._targets[position].router.id, fault.kind] += 1
            proxy.tell("failover", self, f"{fault.status} {fault.kind}")
            self._ask(position)
        except Exception as error:
            self._fail(_chomps_own(error))

    def _waits_while_loading(self, target: Target) -> bool:
        """Whether a host that is loading is waited for: it is no failure, and another target may do as well."""
        routing = self.proxy.routing
        routing.abandoned(target)
        if self._stopping or target.router.id not in routing.hosts.all:
            return False
        routing.hosts.warms(target.router.id)
        self._passed_by = (*self._passed_by, target.router.id)
        other = self._idle_elsewhere()
        if other is not None:
            self._targets = _moved(self._targets, other, self._position)
            self._wait(self._again)
        else:
            self._wait(self._warm_up, routing.hosts.all[target.router.id])
        return True

    async def _again(self) -> None:
        self._ask(self._position)

    async def _restart(self) -> None:
        await self.proxy.local_died(cast(Any, self._sent)[0][0])
        self._ask(self._position)

    def _next(self, fault: Fault, verdict: Verdict) -> int | None:
        """The position of the target to try after the one that has failed; None when its failure is final."""
        failed = self._targets[self._position]
        for at in range(self._position + 1, len(self._targets)):
            target = self._targets[at]
            if target.router.id == failed.router.id:
                if target.model == failed.model:
                    allowed = verdict.next_key
                else:
                    allowed = verdict.next_router and fault.kind != "provider_connect"
            else:
                allowed = verdict.next_router
            if allowed and self.proxy.routing.awake(target):
                return at
        return None

    def _failure(self) -> ChompError:
        """The error of a request none of whose targets answered."""
        faults = [fault for fault, _ in self._faults]
        fault = told(faults)
        attempt = next(one for found, one in self._faults if found is fault)
        status = 502 if len(faults) > 1 and all(one.status >= 500 for one in faults) else fault.status
        waits = [one.wait_s for one in faults if one.wait_s is not None] if status in (429, 503) else []
        if waits and (rest_s := self.proxy.routing.rest_s(cast(Plan, self._plan))) is not None:
            waits.append(rest_s)  # those that were resting before may be the first to be back
        wait = min(waits, default=None)
        should_retry = None
        if wait is not None:
            should_retry = wait <= 60
        elif len(faults) > 1:
            should_retry = False  # chomp has tried again already
        default_type, default_code = _DEFAULTS.get(status, ("upstream_error", "upstream_error"))
        return UpstreamFailed(
            fault.message,
            status=status,
            type=fault.type or default_type,
            code=fault.code or default_code,
            param=fault.param,
            fault=fault.kind,
            retry_after_s=wait,
            should_retry=should_retry,
            attempts=self.records,
            headers=self._failure_headers(attempt),
            more=msgspec.json.decode(fault.more) if fault.more else {},
        )

    def _failure_headers(self, attempt: Attempt) -> dict[str, str]:
        """chomp's own headers, and what the upstream of `attempt` said about its limits."""
        target = attempt.target
        overhead_s = time.perf_counter() - self.request.received_at - self._waited_s
        headers = {
            "x-chomp-router": target.router.id,
            "x-chomp-model": header_value(target.model),
            "x-chomp-attempts": str(len(self.records)),
            "x-chomp-overhead-ms": f"{max(0.0, overhead_s) * 1000:.2f}",
        }
        for name, value in attempt.headers:
            if b"ratelimit" in (low := name.lower()) and low not in _NOT_TOLD:
                headers[low.decode("latin-1")] = self.proxy.redacted_text(value.decode("latin-1"))
        return headers

    def _fail(self, error: ChompError) -> None:
        """Nobody answers: the client is told why."""
        if self.phase == "over":
            return
        error.message = self._words = self.proxy.redacted_text(error.message)
        self._sink.fail(error)
        self.settle(error)

    # -- relaying

    def _commit(self, attempt: Attempt) -> None:
        """The answer is good: the client gets it, and no other target is asked any more."""
        sink, translation = self._sink, attempt.translation
        self.proxy.usage.attempts[attempt.target.router.id, "ok"] += 1
        if self.proxy.events.details and attempt.body is None:  # else all of it is here
            self.proxy.tell("request_first_byte", self)
        if attempt.target.router.kind == "host":
            self.proxy.routing.began(attempt.target)
            if self._conversation:
                self._affinity = self.proxy.routing.affinity(self._conversation, attempt.target)
        if translation is not None:
            translation.request = {}  # it may be large, and the answer long
        self._translations.clear()
        self._adopted, self._sent = b"", None  # a body may be large, and the answer long
        self._complete = attempt.body is not None
        if (body := attempt.body) is not None and not (attempt.streamed or sink.started):
            sink.whole(attempt.status, self._head_lines(attempt), body)
            self.settle(None)
            return
        streams = attempt.stream or attempt.streamed
        if not sink.started:
            sink.start(attempt.status, self._head_lines(attempt), stream=streams)
        elif not streams:  # a stream was begun with comments, and no stream came
            self._drop_wire()
            self._complete = False
            self._broken = UpstreamError("provider_error", "the upstream did not stream")
            sink.fail(UpstreamFailed(str(self._broken), code="bad_upstream_answer"))
            self.settle(None)
            return
        if body is not None:
            sink.write(body)
            sink.end()
            self.settle(None)
            return
        self.phase = "relaying"
        self._due, self._last_at = 0.0, time.perf_counter()
        if attempt.stream and translation is not None:
            attempt.answering = self.answering(attempt)
            attempt.answering.begin(cast(Tap, attempt.tap).meter)
        self.relays = attempt.stream and attempt.answering is None
        if run := attempt.take():
            self._tail = b"" if attempt.stream else run[-_TAIL_BYTES:]
            self._show(run)
        if self.phase == "relaying" and sink.paused:
            self.pause()
        if self.phase == "relaying" and self._wire is None:  # it was the last frame
            self._finish(None)

    def _head_lines(self, attempt: Attempt) -> bytes:
        """Header lines of the answer: the upstream's that may be shown, then chomp's own."""
        waited_s = self._waited_s + self._last_at - self._asked_at
        self._overhead_s = max(0.0, time.perf_counter() - self.request.received_at - waited_s)
        target, translation, shown = attempt.target, attempt.translation, attempt.shown
        own = b"%bx-chomp-attempts: %d\r\nx-chomp-overhead-ms: %.2f\r\n" % (
            _target_lines(target.router.id, target.model),
            len(self.records) + 1,
            self._overhead_s * 1000,
        )
        if self._affinity:
            own += f"x-chomp-affinity: {self._affinity}\r\n".encode()
        if self._queued_s:
            own += b"x-chomp-queued-ms: %d\r\n" % (self._queued_s * 1000)
        if translation is not None and translation.dropped:
            names = ", ".join(map(header_value, translation.dropped))
            own += f"x-chomp-dropped: {names[:500]}\r\n".encode()
        if translation is not None or attempt.form == "frames" or attempt.streamed or attempt.retyped:
            # the upstream told the type of its own words, rightly or not
            shown = b"".join(line for line in shown.splitlines(True) if not line.startswith(b"content-type:"))
            streamed = attempt.stream or attempt.streamed
            own += b"content-type: %b\r\n" % (b"text/event-stream; charset=utf-8" if streamed else b"application/json")
        if (user := self.caller.user) is not None and user.limited():  # the limits of a user are not the router's
            shown = b"".join(line for line in shown.splitlines(True) if b"ratelimit" not in line.partition(b":")[0])
            own += "".join(f"{k}: {v}\r\n" for k, v in self.proxy.allowances.headers(user).items()).encode()
        secret = target.key.secret
        if secret and secret.encode() in shown:
            shown = self.proxy.redacted(shown)
        return shown + own

    def _show(self, run: bytes) -> None:
        """Gives the sink a piece of the answer, in the client's dialect."""
        attempt = cast(Attempt, self.attempt)
        answering = attempt.answering
        if answering is None or attempt.tap is None:
            self._sink.write(run)
            return
        try:
            if attempt.tap.torn:
                raise UpstreamFailed("a frame of the answer is too large to be translated")
            made = answering.feed(run)
            if attempt.tap.meter.done and attempt.tap.plain:  # its connection may stay open for a while
                made += answering.finish()
        except Exception as wrong:
            error = _chomps_own(wrong)
            self._drop_wire()
            self._broken = UpstreamError(error.fault, error.message)
            self._break_off(error)
            self.settle(None)
            return
        if made:
            self._heard_at = time.perf_counter()
            self._sink.write(made)

    def _finish(self, error: UpstreamError | None) -> None:
        """The end of an answer that was relayed, such that half of one is never taken for all of it."""
        attempt, sink = cast(Attempt, self.attempt), self._sink
        if attempt.tap is None:
            self._broken, self._complete = error, error is None
            if error is None:
                sink.end()
            else:
                sink.abort()
            self.settle(None)
            return
        tap, meter = attempt.tap, attempt.tap.meter
        if meter.done and tap.plain:
            error = None  # all of it is here, however the connection ended
        elif error is None:
            last = tap.close()
            if not meter.complete:
                words = "the upstream's stream ended in the middle of its answer"
                error = UpstreamError("provider_incomplete", words)
            elif last:
                self._show(last)
        if self.phase == "over":
            return
        self._broken, self._complete = error, error is None
        if error is None:
            if attempt.answering is not None and (last := attempt.answering.finish()):
                sink.write(last)
            sink.end()
        elif tap.torn and attempt.answering is None:  # half of a frame has been sent
            sink.abort()
        else:
            if attempt.unended:
                sink.write(b"\n\n")
            failed = UpstreamFailed(f"{attempt.target.router.id}: {error}", code="upstream_stream_interrupted")
            failed.response_id = meter.response_id
            self._break_off(failed)
        self.settle(None)

    def _break_off(self, error: ChompError) -> None:
        """Tells the client, within its answer, why there is no more of it."""
        answering = cast(Attempt, self.attempt).answering
        if answering is None:
            self._sink.fail(error)
            return
        if last := answering.error(error):  # it goes on counting its events
            self._sink.write(last)
        self._sink.end()

    def _give_up(self, error: UpstreamError) -> None:
        self._drop_wire()
        self._finish(error)

    def _yield(self) -> None:
        """Lets everybody else have a turn of the loop: one wake-up of a fast upstream may bring megabytes."""
        self._burst = 0
        wire = self._wire
        if wire is not None and self._paused_at is None:
            wire.pause()
            self.proxy.loop.call_soon(self._go_on, wire)

    def _go_on(self, wire: Wire) -> None:
        if wire is self._wire and self._paused_at is None:
            wire.resume()

    # -- what the client's side tells

    def pause(self) -> None:
        """The reader has fallen behind: so does its upstream."""
        if self.phase == "relaying" and self._paused_at is None:
            self._paused_at = time.perf_counter()
            self._due = 0.0
            if self._wire is not None:
                self._wire.pause()

    def resume(self) -> None:
        """The reader has caught up."""
        if self._paused_at is not None:
            self._paused_at = None
            self._due, self._last_at = 0.0, time.perf_counter()
            if self._wire is not None:
                self._wire.resume()

    def leave(self) -> None:
        """The client is gone."""
        self.settle(asyncio.CancelledError())

    def _leave_stalled(self) -> None:
        """The client reads nothing, and does not leave."""
        self._sink.abort()
        self.leave()

    def stop(self) -> None:
        """chomp is shutting down: the answer ends here."""
        self._stopping = True
        if self.phase == "relaying":
            self._give_up(UpstreamError("chomp_internal", "chomp is shutting down"))
        elif self.phase == "asking":
            attempt = cast(Attempt, self.attempt)
            attempt.fail(Fault("chomp_shed", "chomp is shutting down", 503, code="shutting_down"))
            self._look()
        elif self.phase == "waiting":
            self._fail(Unavailable("chomp is shutting down", code="shutting_down", fault="chomp_shed"))

    # -- time

    def tick(self, now: float) -> None:
        """Some time has passed."""
        if self._reads != self._seen:
            self._seen, self._last_at = self._reads, now
            attempt = self.attempt
            if attempt is not None and attempt.tap is not None and attempt.tap.meter.done:
                self._due = 0.0  # it has said its last word
            if self.meter is not None and self.phase == "relaying" and now - self._flowed_at >= FLOW_S:
                self._flowed_at = now
                self.proxy.meters.flows(self.meter, id(self), self._tokens(cast(Attempt, attempt))[0])
        if now >= self._due:
            self._due, act = self._deadline()
            if now >= self._due:
                self._due = 0.0
                act()

    def _deadline(self) -> tuple[float, Callable[[], None]]:
        """When something has to be done if nothing happens until then, and what."""
        times, attempt, wanted = self.proxy.timeouts, self.attempt, self._wanted
        when, act = math.inf, self.leave
        if self.phase == "relaying":
            if self._paused_at is not None:
                when, act = self._paused_at + times.stalled_s, self._leave_stalled
            else:
                tap = cast(Attempt, attempt).tap
                idle_s = min(DONE_S, times.idle_s) if tap is not None and tap.meter.done else times.idle_s
                when, act = self._last_at + idle_s, self._fell_silent
        elif attempt is not None and (self.phase == "asking" or attempt.phase == "asking"):  # or being connected to
            if attempt.form == "error":
                when = attempt.headed_at + ERROR_BODY_S
            elif attempt.started_up:
                when = attempt.last_at + times.idle_s
            else:
                when = self._asked_at + self._patience_s(attempt.target)
            act = self._lose_patience
        if wanted.stream and (comment_at := self._comment_at()) < when:
            return comment_at, self._break_silence
        return when, act

    def _patience_s(self, target: Target) -> float:
        times = self.proxy.timeouts
        if not self._wanted.stream:
            return times.answer_s
        return times.first_byte_local_s if target.router.kind in ("local", "host") else times.first_byte_s

    def _lose_patience(self) -> None:
        attempt = cast(Attempt, self.attempt)
        if attempt.form == "error":
            attempt.refuse()
        else:
            words = f"no answer within {self._patience_s(attempt.target):g} s"
            if attempt.started_up:
                words = f"nothing but start-up frames for {self.proxy.timeouts.idle_s:g} s"
            attempt.fail(Fault("provider_timeout", words, 504, code="upstream_timeout"))
        self._look()

    def _fell_silent(self) -> None:
        words = f"the upstream was silent for {self.proxy.timeouts.idle_s:g} s"
        self._give_up(UpstreamError("provider_timeout", words))

    def _comment_at(self) -> float:
        """When a streaming client should hear something."""
        times, attempt = self.proxy.timeouts, self.attempt
        if self._on_hold:
            return self._heard_at + times.keepalive_s
        if self.phase == "relaying" and attempt is not None:
            if not attempt.stream or self._paused_at is not None:
                return math.inf
            # of what comes in another dialect not everything becomes something for the client: pings do not
            heard_at = self._heard_at if attempt.answering is not None else max(self._heard_at, self._last_at)
            return heard_at + times.keepalive_s
        if self.phase == "waiting" and attempt is None:
            return math.inf
        has_parts = self.phase == "asking" and attempt is not None and attempt.stream and bool(attempt.parts)
        if self._sink.started:
            return self._heard_at + (times.hold_s if has_parts else times.keepalive_s)
        if attempt is not None and attempt.status and not attempt.may_stream:
            return math.inf  # its answer is no event stream: a comment would spoil it
        return self._started + times.hold_s if has_parts else self._heard_at + times.keepalive_s

    def _break_silence(self) -> None:
        """The client has heard nothing for a while: what was kept back goes out, or a comment."""
        attempt = self.attempt
        if self.phase == "asking" and attempt is not None and attempt.stream and attempt.parts:
            if attempt.started_up:
                attempt.phase = "good"  # no content for so long: start-up frames are shown
                self._look()
            else:
                self._comment(attempt.take())
        elif attempt is None or attempt.tap is None or not attempt.tap.torn:
            self._comment(DIALECTS[dialect_of(self.request.api)].FILLER)

    def _comment(self, run: bytes) -> None:
        self._heard_at = time.perf_counter()
        self._sink.comment(run)

    # -- reading in this process

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The answer in pieces, for an exchange without a sink of its own. Raises ChompError."""
        reader = cast(_Reader, self._sink)
        reader.exchange = self
        self.begin()
        try:
            while piece := await reader.next():
                yield piece
        finally:
            self.leave()

    async def read(self, limit_bytes: int) -> bytes:
        """The whole answer. Raises UpstreamFailed when it breaks off or is larger than that."""
        pieces, size = [], 0
        async with contextlib.aclosing(cast(Any, self.__aiter__())) as answer:
            async for piece in answer:
                pieces.append(piece)
                size += len(piece)
                if size > limit_bytes:
                    raise UpstreamFailed(f"the answer is larger than {limit_bytes} bytes", code="bad_upstream_answer")
        return b"".join(pieces)

    # -- accounting

    @property
    def target(self) -> Target:
        """Who was asked last."""
        return cast(Attempt, self.attempt).target

    @property
    def aim(self) -> Target | None:
        """Who is asked, or is to be; None while that is not known."""
        return self._targets[self._position] if self._targets else None

    @property
    def streams(self) -> bool:
        """Whether the client wants a stream."""
        return self._wanted.stream

    @property
    def started_s(self) -> float:
        """When it came in, by time.perf_counter()."""
        return self._started

    @property
    def prompt_end(self) -> str:
        """The end of the prompt, for people."""
        return self.proxy.redacted_text(bytes(self.envelope.content()[-PROMPT_SHOWN:]).decode("utf-8", "replace"))

    def live(self) -> dict[str, Any]:
        """Where it is, for people."""
        attempt = self.attempt
        target = self.aim
        state = {"asking": "connecting", "relaying": "streaming"}.get(self.phase, self.phase)
        if self._on_hold:
            state = "queued" if self._waiter is not None else "waiting"
        elif attempt is not None and self.phase == "asking" and attempt.status:
            state = "first byte"
        now = time.perf_counter()
        facts: dict[str, Any] = {
            "number": self.number, "id": self.request.request_id, "at": self._at, "api": self.request.api,
            "caller": self.caller.name, "task": self.caller.task, "model": (self.envelope.model or "")[:300],
            "router": "" if target is None else target.router.id, "sent_model": "" if target is None else target.model,
            "attempts": len(self.records) + (attempt is not None and attempt.phase != "failed"), "stream": self.streams,
            "state": state, "ms": round((now - self._started) * 1000), "records": self.records[-10:],
        }  # fmt: skip
        if self._waiter is not None and target is not None and (lane := self.proxy.routing.lane(target)) is not None:
            facts["position"] = lane.position(self._waiter)
            facts["waited_ms"] = round((time.monotonic() - self._waiter.since_s) * 1000)
        if self.phase == "relaying" and attempt is not None:
            tokens = self._tokens(attempt)[0].completion
            facts["tokens"] = tokens
            if attempt.content_at is not None and now > attempt.content_at:
                facts["ttft_ms"] = round((attempt.content_at - self._started) * 1000)
                facts["tokens_per_s"] = round(tokens / (now - attempt.content_at), 1)
        return facts

    def usage(self) -> Usage | None:
        """What the upstream counted; None when it did not say."""
        attempt = self.attempt
        if attempt is None or attempt.phase != "good":
            return None
        if attempt.tap is not None:
            return attempt.tap.meter.usage()
        return attempt.usage or (read_tail_usage(self._tail) if self._tail else None)

    def response(self) -> bytes:
        """The whole Response object of a good answer in that dialect; empty when there is none."""
        attempt = self.attempt
        if attempt is None or not self._is_complete(attempt):
            return b""
        if attempt.answering is not None:
            return attempt.answering.response
        if attempt.tap is None:
            return attempt.body or b""
        return attempt.tap.meter.response if isinstance(attempt.tap.meter, EventsMeter) else b""

    def _is_complete(self, attempt: Attempt) -> bool:
        """Whether all of a good answer has come."""
        return self._complete or (self._broken is None and attempt.tap is not None and attempt.tap.meter.done)

    def settle(self, error: BaseException | None) -> None:
        """Accounts for the request, once."""
        if self.phase == "over":
            return
        attempt, proxy, caller = self.attempt, self.proxy, self.caller
        if error is None and attempt is not None and attempt.body is not None and self._broken is None:
            status, error_type = attempt.status, ""  # the usual end
        else:
            status, error_type = self._outcome(error)
        is_asked, self._sent = self._sent is not None, None
        self.phase, self.relays = "over", False
        if self._wire is not None:
            self._drop_wire()
        if self._task is not None:
            self._drop_task()
        if self._seat is not None:
            self._leave_seat()
        now = time.perf_counter()
        usage, estimated, asked = _NO_USAGE, False, len(self.records)
        router = model = key = ""
        cost = ttft_ms = None
        if attempt is not None:
            target = attempt.target
            router, model, key = target.router.id, target.model, target.key.id
            if attempt.phase == "good":
                asked += 1
                usage, estimated = self._tokens(attempt)
            elif is_asked and attempt.phase != "failed":
                asked += 1
                proxy.usage.attempts[router, error_type] += 1
            if usage.prompt or usage.completion or usage.cost_usd is not None:
                cost = cost_usd(usage, proxy.routing.price(router, model))
            if attempt.content_at is not None:
                ttft_ms = round((attempt.content_at - self._started) * 1000, 3)
            if attempt.phase != "failed":  # else Routing has been told
                self._report(attempt, error_type, now)
            if target.router.kind == "host" and not estimated and attempt.phase == "good":
                proxy.routing.hosts.counted(router, model, self._prompt_tokens(), usage.prompt)
        row = LedgerRow(
            self._at, self.request.request_id, caller.name, caller.task, caller.session, self.request.api,
            *proxy.shown_names(self.envelope.model or "", model), router, key, status, error_type,
            asked, 1 if self._wanted.stream else 0, ttft_ms,
            round((now - self._started) * 1000, 3), usage.prompt, usage.completion, usage.cached, usage.reasoning, cost,
            1 if estimated else 0,
        )  # fmt: skip
        if self._reservation is not None:
            proxy.usage.soon()  # a crash is not to forget what was used of an allowance
            proxy.allowances.settle(self._reservation, usage.prompt + usage.completion, cost or 0.0)
        if caller.task:
            proxy.usage.soon()  # nor of a budget
            wait_s = error.retry_after_s if isinstance(error, ChompError) else None
            proxy.meters.settled(self.meter, id(self), row, wait_s)
        rate = None
        if ttft_ms is not None and row.completion_tokens > 1 and row.stream and row.duration_ms > ttft_ms:
            rate = round((row.completion_tokens - 1) / (row.duration_ms - ttft_ms) * 1000, 2)
        answer_head = b"" if attempt is None else attempt.shown
        trace = Trace(RequestEnd(self.number, row, rate, self._words, self.records), self.request.headers, answer_head)
        if isinstance(self._sink, _Capture):
            bodies = self.request.body[:CAPTURE_BYTES], self._sink.seen
            trace = msgspec.structs.replace(trace, bodies=bodies)
        proxy.settled(self, trace, overhead_s=self._overhead_s, chunks=self._reads)
        self._sink.done()

    def _report(self, attempt: Attempt, error_type: str, now: float) -> None:
        """Tells Routing what became of the request to its last target."""
        proxy, target = self.proxy, attempt.target
        if attempt.phase != "good":
            proxy.routing.abandoned(target)
            return
        if attempt.tap is not None:
            proxy.usage.malformed_frames += attempt.tap.meter.malformed
        if not error_type or error_type.startswith("caller_"):
            first_s = None if attempt.content_at is None else attempt.content_at - attempt.started_at
            limits = attempt.headers if attempt.shown.find(b"emaining") > 0 else ()
            proxy.routing.answered(target, first_s, now - attempt.started_at, limits)
        elif error_type.startswith("provider_"):
            fault = Fault(error_type, str(self._broken or "in-band error"))
            proxy.routing.failed(target, fault, judge(fault))
        else:
            proxy.routing.abandoned(target)

    def _outcome(self, error: BaseException | None) -> tuple[int, str]:
        """HTTP status and error type for the ledger; a client that left after the end got its answer."""
        attempt = self.attempt
        if isinstance(error, ChompError):
            return error.status, error.fault
        if attempt is not None and attempt.phase == "good":
            if self._broken is not None:
                return 502, self._broken.kind
            if attempt.tap is not None and attempt.tap.meter.error:
                fault = read_fault(200, attempt.tap.meter.error)
                return (fault.status, fault.kind) if fault.kind == "caller_invalid_request" else (502, "provider_error")
            if self._is_complete(attempt):
                return attempt.status, ""
        if self.limit is not None and self.limit.expired():
            return 504, "policy_denied"
        return 499, "caller_cancelled"

    def _tokens(self, attempt: Attempt) -> tuple[Usage, bool]:
        """Of a good answer: counted by the upstream, or estimated from what passed."""
        if self.request.api == "count_tokens":  # counting costs nothing
            return _NO_USAGE, False
        counted = attempt.usage or self.usage()
        if counted is not None and (counted.prompt or counted.completion):
            return counted, False
        said = 0
        if attempt.tap is not None:  # a frame has a token at least
            said = max(attempt.tap.meter.frames, estimated_tokens(attempt.tap.meter.said))
        elif self.request.api != "embeddings":
            said = estimated_tokens(attempt.size)
        cost = counted.cost_usd if counted else None
        return Usage(self._prompt_tokens(), said, cost_usd=cost), True


_NO_USAGE = Usage()
PROMPT_SHOWN = 200  # bytes of a prompt that watchers are told
_WARMING_S = 0.3  # before a host that is loading is asked again
_CONVERSATION_HEADERS = frozenset((b"x-session-id", b"session_id", b"session-id", b"x-claude-code-session-id",
                                   b"x-conversation-id", b"x-session-affinity", b"x-openwebui-chat-id"))  # fmt: skip


def _moved(targets: Sequence[Target], from_: int, to: int) -> list[Target]:
    """`targets` with one of them further in front."""
    made = list(targets)
    made.insert(to, made.pop(from_))
    return made


def _chomps_own(error: Exception) -> ChompError:
    """What a client is told of `error`: a bug must not hold its connection, and the log has the reason."""
    if isinstance(error, ChompError):
        return error
    log.error("a request failed", exc_info=error)
    return ChompError("chomp failed; its log says why")


def _holds_sealed(api: Api, body: bytes) -> bool:
    """Whether a request may hold what a target of before needed back."""
    return form.may_be_sealed(body) and (api in TARGET_DIALECTS or api == "count_tokens")


def _translated(target: Target) -> tuple[str, str, Api]:
    """What a translation depends on."""
    return target.router.id, target.model, target.api


_ASK_USAGE: tuple[Api, ...] = ("chat", "completions")
_DEFAULTS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "model_not_found"),
    408: ("timeout_error", "upstream_timeout"),
    413: ("invalid_request_error", "request_too_large"),
    422: ("invalid_request_error", None),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    500: ("server_error", "upstream_error"),
    503: ("overloaded_error", "upstream_overloaded"),
    504: ("upstream_error", "upstream_timeout"),
}


_NOT_TOLD = frozenset([b"access-control-expose-headers"])


@functools.lru_cache(maxsize=1024)
def _target_lines(router: str, model: str) -> bytes:
    return f"x-chomp-router: {router}\r\nx-chomp-model: {header_value(model)}\r\n".encode("latin-1")


CAPTURE_BYTES = 16 << 10  # of a request's body, and of its answer's


class _Capture:
    """A sink that remembers the beginning of what passes."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.seen = b""

    @property
    def started(self) -> bool:
        return self._sink.started

    @property
    def paused(self) -> bool:
        return self._sink.paused

    def _see(self, run: bytes) -> None:
        if (room := CAPTURE_BYTES - len(self.seen)) > 0:
            self.seen += run[:room]

    def comment(self, run: bytes) -> None:
        self._sink.comment(run)

    def whole(self, status: int, head: bytes, body: bytes) -> None:
        self._see(body)
        self._sink.whole(status, head, body)

    def start(self, status: int, head: bytes, *, stream: bool) -> None:
        self._sink.start(status, head, stream=stream)

    def write(self, run: bytes) -> None:
        self._see(run)
        self._sink.write(run)

    def write_chunk(self, run: bytes, framed: bytes) -> None:
        self._see(run)
        self._sink.write_chunk(run, framed)

    def end(self) -> None:
        self._sink.end()

    def fail(self, error: ChompError) -> None:
        self._see(error.message.encode())
        self._sink.fail(error)

    def abort(self) -> None:
        self._sink.abort()

    def done(self) -> None:
        self._sink.done()


class _Reader:
    """A sink for whoever reads an answer in this process."""

    started = False

    def __init__(self) -> None:
        self.exchange: Exchange | None = None
        self._pieces: collections.deque[bytes] = collections.deque()
        self._size = 0
        self._error: ChompError | None = None
        self._over = False
        self._waiter: asyncio.Future[None] | None = None

    @property
    def paused(self) -> bool:
        return self._size > PAUSE_BYTES

    async def next(self) -> bytes:
        """The next piece; empty at the end. Raises ChompError when there is no answer, or no more of it."""
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._over:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        piece = self._pieces.popleft()
        self._size -= len(piece)
        if self.exchange is not None and not self.paused:
            self.exchange.resume()
        return piece

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def comment(self, run: bytes) -> None:
        """Nobody waits for those."""

    def whole(self, status: int, head: bytes, body: bytes) -> None:
        self.write(body)

    def start(self, status: int, head: bytes, *, stream: bool) -> None:
        self.started = True

    def write(self, run: bytes) -> None:
        if run:
            self._pieces.append(run)
            self._size += len(run)
            self._wake()
        if self.exchange is not None and self.paused:
            self.exchange.pause()

    def write_chunk(self, run: bytes, framed: bytes) -> None:
        self.write(run)

    def end(self) -> None:
        """`done` follows."""

    def fail(self, error: ChompError) -> None:
        self._error = error

    def abort(self) -> None:
        words = "the upstream closed the connection in the middle of its answer"
        self._error = UpstreamFailed(words, code="upstream_interrupted", fault="provider_incomplete")

    def done(self) -> None:
        self._over = True
        self._wake()


TRACES = 500  # requests of which more is known than the ledger keeps


class Trace(msgspec.Struct, frozen=True, gc=False):
    """What is remembered of a request for a while, and told to whoever asks for it alone."""

    end: RequestEnd
    headers: Sequence[tuple[bytes, bytes]] = ()  # of the client
    answer_head: bytes = b""  # header lines of the upstream that answered last
    bodies: tuple[bytes, bytes] = (b"", b"")  # the beginnings of request and answer, where somebody wants them


class Proxy:
    """Opens exchanges and keeps count of them."""

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        pool: UpstreamPool,
        routing: RouterPool,
        usage: UsageLedger,
        allowances: Allowances,
        meters: Meters,
        events: EventBus,
        local: LocalModel,
        background: Background,
        clock: Callable[[], float] = time.time,
    ):
        self.loop = asyncio.get_running_loop()
        self.timeouts = settings.timeouts
        self.limits = settings.limits
        self.pool = pool
        self.routing = routing
        self.usage = usage
        self.allowances = allowances
        self.meters = meters
        self.background = background
        self.now = clock
        self.thoughts = Thoughts()
        self._credentials = credentials
        self.events = events
        self._local = local
        self._active: set[Exchange] = set()
        self.over = self.errors = self.tokens = 0  # since the start: requests, those that failed, tokens of answers
        self._begun = 0
        self.traces: collections.deque[Trace] = collections.deque(maxlen=TRACES)
        self.shows_prompts = False  # to watchers
        self.captures = False  # the beginnings of bodies
        self._ticker: asyncio.TimerHandle | None = None  # while there are any
        self._drained: asyncio.Future[None] | None = None  # while chomp waits for the last of them
        self._addresses: dict[tuple[str, str, str], tuple[RouterDef, Key, Origin, bytes, frozenset[bytes]]] = {}
        self._names: dict[tuple[str, str], tuple[str, str]] = {}
        self._names_of = 0  # the generation of what is hidden in them

    @property
    def inflight(self) -> int:
        return len(self._active)

    def live(self, most: int) -> list[dict[str, Any]]:
        """Requests that run, the newest first."""
        newest = sorted(self._active, key=lambda one: one.number, reverse=True)[:most]
        shown = [one.live() for one in newest]
        return [{**one, "model": self.redacted_text(one["model"])} for one in shown]

    def trace(self, number: int) -> dict[str, Any] | None:
        """All that is known of a request that is over; None when it is too long ago."""
        found = next((one for one in reversed(self.traces) if one.end.number == number), None)
        if found is None:
            return None
        lines = [line.partition(b":") for line in found.answer_head.splitlines()]
        answer_headers = [(name, value.strip()) for name, _, value in lines]
        headers: dict[str, Sequence[tuple[bytes, bytes]]] = {
            "request_headers": found.headers, "answer_headers": answer_headers,
        }  # fmt: skip
        bodies = [self.redacted_text(body.decode("utf-8", "replace")) for body in found.bodies]
        return {
            **found.end.flat(),
            **{name: self._shown_headers(pairs) for name, pairs in headers.items()},
            "request_body": bodies[0],
            "answer_body": bodies[1],
        }

    def _shown_headers(self, headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
        """Headers without what may be secret."""
        shown = []
        for raw, value in headers:
            name = raw.decode("latin-1").lower()
            text = self.redacted_text(value.decode("latin-1"))[:500]
            if not tells_of_client(raw.lower()):
                shown.append((name, SHOWN_SECRET if is_secret_name(name) else text))
        return shown

    @property
    def total(self) -> int:
        """Requests since the start, those that run among them."""
        return self.over + len(self._active)

    def exchange(self, request: ChatRequest, caller: Caller, sink: Sink | None = None) -> Exchange:
        """The exchange of `request`, to be begun; without a sink, to be read."""
        now = time.perf_counter()
        if sink is not None and self.captures:
            sink = cast(Sink, _Capture(sink))
        exchange = Exchange(self, request, caller, sink or _Reader(), self.now(), now, now, now)
        self._begun += 1
        exchange.number = self._begun
        if caller.task:
            exchange.meter = self.meters.began(caller)
        if self._ticker is None:
            self._ticker = self.loop.call_later(TICK_S, self._tick)
        self._active.add(exchange)
        return exchange

    def _tick(self) -> None:
        """Looks after time limits; one timer for all exchanges, and none while there are none."""
        self._ticker = self.loop.call_later(TICK_S, self._tick) if self._active else None
        now = time.perf_counter()
        self.meters.tick()
        for exchange in tuple(self._active):
            exchange.tick(now)

    async def address(self, target: Target, request: ChatRequest) -> tuple[Origin, bytes]:
        """Where the embedded model listens, and the request head up to its length. Raises Unavailable."""
        origin, secret = await self._local.ready()
        base = f"http://{origin.host}:{origin.port}/v1"
        origin, fixed, own = _request_head(target.router, base, Key("child", secret), target.api)
        return origin, fixed + _lines_up(request, target.api, own)

    def known_address(self, target: Target, request: ChatRequest) -> tuple[Origin, bytes] | None:
        """The same for all other targets; None for the embedded model, which may have to be started."""
        known = request.heads.get(id(target))
        if known is not None and known[0] is target:
            return known[1]
        row = target.router
        if row.kind == "local":
            return None
        found = self._addresses.get((row.id, target.key.id, target.api))
        if found is None or found[0] is not row or found[1] is not target.key:  # written anew, or a target of before
            found = row, target.key, *_request_head(row, row.base_url, target.key, target.api)
            self._addresses[row.id, target.key.id, target.api] = found
        _, _, origin, fixed, own = found
        if request.query and target.api == request.api:
            fixed = fixed.replace(b" HTTP/1.1", b"?%b HTTP/1.1" % request.query, 1)
        address = origin, fixed + _lines_up(request, target.api, own)
        if len(request.heads) >= _TARGETS:
            request.heads.clear()
        request.heads[id(target)] = target, address
        return address

    def forget_addresses(self) -> None:
        """Routers have been written anew."""
        self._addresses.clear()

    async def local_died(self, origin: Origin) -> None:
        """The embedded model's child at `origin` does not answer: the next request starts another."""
        if self._local.origin == origin:
            await self._local.stop()

    def redacted(self, run: bytes) -> bytes:
        """`run` without known secrets."""
        text = run.decode("utf-8", "surrogateescape")
        return self._credentials.redact(text).encode("utf-8", "surrogateescape")

    def redacted_text(self, text: str) -> str:
        return self._credentials.redact(text)

    def shown_names(self, asked: str, sent: str) -> tuple[str, str]:
        """Names of models for ledger and log: they may be anything, a key pasted in the wrong place for one."""
        if self._names_of != self._credentials.generation:  # what was no secret may be one now
            self._names_of = self._credentials.generation
            self._names.clear()
        shown = self._names.get((asked, sent))
        if shown is None:
            shown = self.redacted_text(asked[:300]), self.redacted_text(sent[:300])
            if len(self._names) < self.limits.names and len(asked) + len(sent) <= 600:
                self._names[asked, sent] = shown
        return shown

    def tell(self, kind: str, exchange: Exchange, reason: str = "") -> None:
        """Tells watchers where a request is."""
        request, caller, target = exchange.request, exchange.caller, exchange.aim
        prompt = exchange.prompt_end if self.shows_prompts else ""
        facts = RequestFacts(
            exchange.number, request.request_id, request.api, caller.name, caller.task, caller.session,
            exchange.envelope.model or "", "" if target is None else target.router.id,
            "" if target is None else target.model, len(exchange.records) + 1, exchange.streams,
            (time.perf_counter() - exchange.started_s) * 1000, reason, prompt,
        )  # fmt: skip
        self.events.publish(kind, facts)

    def settled(self, exchange: Exchange, trace: Trace, *, overhead_s: float, chunks: int) -> None:
        """An exchange is over."""
        end, row = trace.end, trace.end.row
        self._active.discard(exchange)
        if self._drained is not None and not self._active and not self._drained.done():
            self._drained.set_result(None)
        self.usage.record(row, overhead_s=overhead_s, chunks=chunks)
        self.over += 1
        self.tokens += row.completion_tokens
        if row.error_type or row.status >= 500:
            self.errors += 1
            self.events.publish("request_error", end)
        else:
            self.routing.counted(row)
            self.events.publish("request_complete", end)
        self.traces.append(trace)

    async def drain(self, limit_s: float) -> None:
        """Waits for exchanges to end; after `limit_s` ends them with an error their clients can see."""
        self.meters.stop()
        if not self._active:
            return
        self._drained = self.loop.create_future()
        if await asyncio.wait([self._drained], timeout=limit_s) == (set(), {self._drained}):
            log.warning("%d requests were still running and are ended", len(self._active))
            for exchange in tuple(self._active):
                exchange.stop()


_VENDORS = (  # told to whoever speaks their dialect alone
    b"anthropic-", b"openai-", b"x-claude-code-", b"x-codex-", b"x-goog-", b"x-gemini-",
)  # fmt: skip


def _lines_up(request: ChatRequest, api: Api, own: frozenset[bytes]) -> bytes:
    """The client's headers as a target has them that is asked in `api` and whose row sets those in `own`."""
    headers = request.headers
    if api != request.api:
        headers = [pair for pair in headers if not pair[0].lower().startswith(_VENDORS)]
        if api == "messages":
            headers.append((b"anthropic-version", ANTHROPIC_VERSION.encode()))
    return headers_up(headers, own)


def _request_head(row: RouterDef, base_url: str, key: Key, api: Api) -> tuple[Origin, bytes, frozenset[bytes]]:
    """What is the same for all requests to a target: origin, fixed head lines, and the names those lines use."""
    url = urllib.parse.urlsplit(base_url)
    tls = url.scheme == "https"
    origin = Origin(tls, url.hostname or "", url.port or (443 if tls else 80))
    headers = {"host": url.netloc.rpartition("@")[2].removesuffix(":"), "accept-encoding": "identity"}
    headers.update(auth_header(row, key, api))
    headers.update({name.lower(): value for name, value in row.headers})  # what the person wrote wins
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {url.path}{_PATHS[api]} HTTP/1.1\r\n{lines}".encode("latin-1")
    return origin, head, frozenset(name.encode("latin-1") for name in headers)


# == Jobs ==============================================================================================================

JOBS_SQL = """
CREATE TABLE IF NOT EXISTS jobs (
  id INTEGER PRIMARY KEY AUTOINCREMENT, caller TEXT NOT NULL, prompt TEXT NOT NULL, status TEXT NOT NULL,
  created TEXT NOT NULL, model TEXT NOT NULL, router TEXT NOT NULL, system TEXT NOT NULL,
  result TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '', tokens_in INTEGER NOT NULL DEFAULT 0,
  tokens_out INTEGER NOT NULL DEFAULT 0, finished TEXT NOT NULL DEFAULT '', latency_ms INTEGER NOT NULL DEFAULT 0
)"""
_JOB_COLUMNS = ", ".join(Job.__struct_fields__)
JOBS_SHOWN = 50
DATABASE_RETRY_S = 5.0  # after a write that failed


class NewJob(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /api/dispatch."""

    prompt: str
    model: str = ""
    system: str = ""
    router: str = ""


class JobQueue:
    """Asynchronous completions: kept in SQLite across restarts, bounded in parallel and in time."""

    def __init__(self, proxy: Proxy, database: Database, background: Background, settings: Settings):
        self._proxy = proxy
        self._database = database
        self._background = background
        self._limits = settings.limits
        self._time_s = settings.timeouts.job_s
        self._slots = asyncio.Semaphore(settings.limits.jobs_parallel)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    def stop(self) -> None:
        """chomp is shutting down: what waits does not begin any more."""
        self._stopping = True

    @staticmethod
    async def open(database: Database) -> None:
        """Makes the table; what a dead process left running ends as interrupted."""

        def make(connection: sqlite3.Connection) -> None:
            connection.execute(JOBS_SQL)
            connection.execute(
                "UPDATE jobs SET status = 'error', error = 'interrupted', finished = ? "
                "WHERE status IN ('pending', 'running')",
                (iso(time.time()),),
            )

        await database.write(make)

    async def add(self, given: NewJob, caller: Caller) -> Job:
        """The job, on disk and started or waiting for a slot. Raises ChompError when its model cannot be had."""
        if not given.prompt.strip():
            raise BadRequest("prompt is required", code="missing_required_parameter", param="prompt")
        if len(self._running) >= self._limits.jobs_waiting:
            raise Busy(f"{self._limits.jobs_waiting} jobs are waiting already", retry_after_s=10)
        targets = await self._proxy.routing.plan(given.model, given.router, "", "chat")
        first = permitted(caller, given.model, given.router, targets, self._proxy.routing.rows)[0]
        status = "pending" if self._slots.locked() else "running"
        created = iso(time.time())
        values = (caller.name, given.prompt, status, created, first.model, first.router.id, given.system)

        def insert(connection: sqlite3.Connection) -> int:
            cursor = connection.execute(
                "INSERT INTO jobs (caller, prompt, status, created, model, router, system) VALUES (?,?,?,?,?,?,?)",
                values,
            )
            last = cast(int, cursor.lastrowid)
            sql = "DELETE FROM jobs WHERE id <= ? AND status NOT IN ('pending', 'running')"
            connection.execute(sql, (last - self._limits.jobs_kept,))
            return last

        job_id = str(await self._database.write(insert))
        self._running[job_id] = self._background.start(f"job {job_id}", self._work(job_id, given, caller))
        return Job(job_id, given.prompt, status, created, first.model, first.router.id, given.system)

    async def _work(self, job_id: str, given: NewJob, caller: Caller) -> None:
        messages = [{"role": "user", "content": given.prompt}]
        if given.system:
            messages.insert(0, {"role": "system", "content": given.system})
        asked: dict[str, Any] = {"model": given.model, "messages": messages}
        if given.router:
            asked["router"] = given.router
        started = time.perf_counter()
        done: dict[str, Any] = {"status": "error", "error": "interrupted"}
        try:
            async with self._slots:
                if self._stopping:
                    return
                started = time.perf_counter()
                with contextlib.suppress(DatabaseFault):  # it is shown as pending then; its end is written later
                    await self._set(job_id, status="running")
                async with asyncio.timeout(self._time_s) as limit:
                    done = await self._complete(job_id, msgspec.json.encode(asked), caller, limit)
        except TimeoutError:
            done = {"status": "error", "error": f"time limit: {self._time_s:g} s"}
        except ChompError as error:
            if not (self._stopping and error.code in ("shutting_down", "upstream_interrupted")):
                done = {"status": "error", "error": error.message}
        except asyncio.CancelledError:
            if self._running.get(job_id) is None:  # cancelled by the caller, who has been told
                done = {}
                return
            raise
        except Exception:  # a bug: the job ends, the log has the reason
            log.exception("job %s failed", job_id)
            done = {"status": "error", "error": "chomp failed; its log says why"}
        finally:
            self._running.pop(job_id, None)
            if done:
                done["finished"] = iso(time.time())
                done["latency_ms"] = round((time.perf_counter() - started) * 1000)
                await self._end(job_id, done)

    async def _end(self, job_id: str, done: dict[str, Any]) -> None:
        """Writes down how a job ended, as soon as that can be written."""
        while True:
            try:
                return await self._set(job_id, **done)
            except DatabaseFault as error:
                if self._stopping or not error.passing:
                    raise
                log.error("the end of job %s cannot be written yet: %s", job_id, error)
            await asyncio.sleep(DATABASE_RETRY_S)

    async def _complete(self, job_id: str, body: bytes, caller: Caller, limit: asyncio.Timeout) -> dict[str, Any]:
        request = ChatRequest(
            "chat", body, request_id=f"job-{job_id}", received_at=time.perf_counter(), headers=_JSON_HEADERS
        )
        exchange = self._proxy.exchange(request, caller)
        exchange.limit = limit
        answer = await exchange.read(self._limits.body_bytes)
        usage = exchange.usage() or Usage()
        try:
            content = msgspec.json.decode(answer)["choices"][0].get("message", {}).get("content")
        except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
            raise UpstreamFailed("the answer has no message", code="bad_upstream_answer") from None
        return {
            "status": "done",
            "result": str(content or ""),
            "model": exchange.target.model,
            "router": exchange.target.router.id,
            "tokens_in": usage.prompt,
            "tokens_out": usage.completion,
        }

    async def _set(self, job_id: str, *, only_open: bool = False, **values: Any) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        more = " AND status IN ('pending', 'running')" if only_open else ""  # one that has ended stays as it is

        def update(connection: sqlite3.Connection) -> None:
            sql = f"UPDATE jobs SET {columns} WHERE id = ?{more}"  # noqa: S608 - our own column names
            connection.execute(sql, (*values.values(), int(job_id)))

        await self._database.write(update)

    async def get(self, job_id: str, caller: Caller) -> Job:
        """A caller's job; the owner sees all. Raises NotFound."""
        found = []
        if job_id.isdecimal() and len(job_id) < 18:
            found = await self._database.read(
                f"SELECT {_JOB_COLUMNS} FROM jobs WHERE id = ? AND (caller = ? OR ?)",  # noqa: S608
                (int(job_id), caller.name, caller.kind == "owner"),
            )
        if not found:
            raise NotFound(f"no job {job_id[:50]}")
        return _job(found[0])

    async def recent(self, caller: Caller) -> list[Job]:
        """The newest jobs, newest first."""
        found = await self._database.read(
            f"SELECT {_JOB_COLUMNS} FROM jobs WHERE caller = ? OR ? ORDER BY id DESC LIMIT {JOBS_SHOWN}",  # noqa: S608
            (caller.name, caller.kind == "owner"),
        )
        return [_job(row) for row in found]

    async def forget(self, name: str) -> None:
        """Cancels and forgets all jobs of a caller: whoever gets the name next is somebody else."""
        for row in await self._database.read("SELECT id FROM jobs WHERE caller = ?", (name,)):
            if (task := self._running.pop(str(row["id"]), None)) is not None:
                task.cancel()
        sql = "DELETE FROM jobs WHERE caller = ?"
        await self._database.write(lambda connection: connection.execute(sql, (name,)))

    async def cancel(self, job_id: str, caller: Caller) -> Job:
        """The job, ended. One that is over stays as it is. Raises NotFound."""
        await self.get(job_id, caller)
        if job_id in self._running:
            await self._set(job_id, only_open=True, status="error", error="cancelled", finished=iso(time.time()))
            if (task := self._running.pop(job_id, None)) is not None:
                task.cancel()
        return await self.get(job_id, caller)


RESPONSES_SQL = """
CREATE TABLE IF NOT EXISTS responses (
  caller TEXT NOT NULL, id TEXT NOT NULL, previous TEXT NOT NULL, used_at REAL NOT NULL, size INTEGER NOT NULL,
  input BLOB NOT NULL, response BLOB NOT NULL, PRIMARY KEY (caller, id)
)"""
_RESPONSE_INSERT = (
    "INSERT OR REPLACE INTO responses (caller, id, previous, used_at, size, input, response) VALUES (?,?,?,?,?,?,?)"
)
_RESPONSES_USED = """
WITH RECURSIVE chain(id) AS (
  SELECT :id UNION SELECT previous FROM responses JOIN chain USING (id) WHERE caller = :caller
) UPDATE responses SET used_at = :now WHERE caller = :caller AND id IN chain"""
RESPONSES_CHAIN = 1000  # responses that follow each other


class KeptResponse(msgspec.Struct, frozen=True):
    """One answer of /v1/responses, with what was asked for it."""

    caller: str
    id: str
    previous: str
    input: bytes  # a JSON array of items
    response: bytes


class _Outcome(msgspec.Struct):
    id: str
    output: list[Raw]


class _ItemId(msgspec.Struct):
    id: str | None = None


class ResponseStore:
    """Answers of /v1/responses, so that `previous_response_id` works on routers that keep nothing.

    Bounded, give or take a tenth: the conversations that were not gone on with for longest are forgotten first.
    """

    def __init__(self, database: Database, limits: Limits, clock: Callable[[], float] = time.time):
        self._database = database
        self._limits = limits
        self._now = clock
        self._unwritten: dict[tuple[str, str], KeptResponse] = {}
        self._turn = asyncio.Lock()
        self._new = self._new_bytes = 0  # since the limits were last looked at

    async def open(self) -> None:
        """Makes the table where there is none."""

        def make(connection: sqlite3.Connection) -> None:
            connection.execute(RESPONSES_SQL)
            self._trim(connection)

        await self._database.write(make)

    async def keep(self, caller: Caller, previous: str, given: bytes, response: bytes) -> None:
        """Keeps a response and the input it answers; at hand at once, on disk when this returns."""
        try:
            outcome = msgspec.json.decode(response, type=_Outcome)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # of a router, and without an id: nobody can ask for it
        kept = KeptResponse(caller.name, outcome.id, previous, given, response)
        key = (kept.caller, kept.id)
        self._unwritten[key] = kept
        async with self._turn:  # those that came while another was written share one transaction
            if self._unwritten.get(key) is not kept:
                return
            batch = tuple(self._unwritten.values())
            try:
                await self._database.write(functools.partial(self._write, batch, self._now()))
            except sqlite3.Error as error:
                log.error("%d responses could not be kept: %s", len(batch), error)
            finally:
                for one in batch:
                    if self._unwritten.get((one.caller, one.id)) is one:
                        del self._unwritten[one.caller, one.id]

    def _write(self, batch: Sequence[KeptResponse], now: float, connection: sqlite3.Connection) -> None:
        for kept in batch:
            size = len(kept.input) + len(kept.response)
            if size > self._limits.responses_bytes:
                continue  # no room would be left for any other
            row = (kept.caller, kept.id, kept.previous, now, size, kept.input, kept.response)
            connection.execute(_RESPONSE_INSERT, row)
            if kept.previous:
                connection.execute(_RESPONSES_USED, {"now": now, "caller": kept.caller, "id": kept.id})
            self._new += 1
            self._new_bytes += size
        if self._new * 10 >= self._limits.responses_kept or self._new_bytes * 10 >= self._limits.responses_bytes:
            self._trim(connection)

    def _trim(self, connection: sqlite3.Connection) -> None:
        self._new = self._new_bytes = 0
        connection.execute(
            "DELETE FROM responses WHERE rowid IN (SELECT rowid FROM (SELECT rowid, sum(size) OVER newest AS bytes, "
            "count(*) OVER newest AS number FROM responses WINDOW newest AS (ORDER BY used_at DESC, rowid DESC)) "
            "WHERE bytes > ? OR number > ?)",
            (self._limits.responses_bytes, self._limits.responses_kept),
        )

    async def get(self, response_id: str, caller: Caller) -> KeptResponse:
        """A caller's response; the owner sees all. Raises NotFound."""
        if kept := self._unwritten.get((caller.name, response_id)):
            return kept
        found = await self._database.read(
            "SELECT caller, id, previous, input, response FROM responses WHERE id = ? AND (caller = ? OR ?) "
            "ORDER BY caller = ? DESC LIMIT 1",  # routers choose the ids: two callers may have the same
            (response_id, caller.name, caller.kind == "owner", caller.name),
        )
        if not found:
            raise NotFound(f"no response {response_id[:100]!r} is kept here")
        return KeptResponse(**found[0])

    async def item(self, item_id: str, caller: Caller, *, anywhere: bool) -> Raw:
        """An item of a caller's responses. Raises NotFound.

        Those made here have ids that lead to the response; for the others all has to be looked through.
        """
        stem = item_id.partition("_")[2]
        with contextlib.suppress(NotFound):
            return _item_of(await self.get(f"resp_{stem[:40]}", caller), item_id)
        if anywhere:
            for kept in [one for key, one in self._unwritten.items() if key[0] == caller.name]:
                with contextlib.suppress(NotFound):
                    return _item_of(kept, item_id)
            found = await self._database.read(
                "SELECT caller, id, previous, input, response FROM responses "
                "WHERE caller = ? AND instr(response, CAST(? AS BLOB)) ORDER BY used_at DESC LIMIT 1",
                (caller.name, form.encode(item_id).decode()),
            )
            if found:
                return _item_of(KeptResponse(**found[0]), item_id)
        raise NotFound(f"no item {item_id[:100]!r} is kept here")

    async def forget(self, name: str) -> None:
        """Forgets all responses of a caller: whoever gets the name next is somebody else."""
        for key in [key for key in self._unwritten if key[0] == name]:
            del self._unwritten[key]
        sql = "DELETE FROM responses WHERE caller = ?"
        await self._database.write(lambda connection: connection.execute(sql, (name,)))

    async def delete(self, response_id: str, caller: Caller) -> None:
        """Forgets a caller's response. Raises NotFound."""
        kept = await self.get(response_id, caller)
        sql = "DELETE FROM responses WHERE caller = ? AND id = ?"
        await self._database.write(lambda connection: connection.execute(sql, (kept.caller, kept.id)))
        self._unwritten.pop((kept.caller, kept.id), None)

    async def items(self, response_id: str, caller: Caller) -> list[Raw]:
        """What was said up to and with a response, as input items, oldest first. Raises NotFound or TooLarge."""
        parts: list[list[Raw]] = []
        size, most = 0, self._limits.body_bytes
        while response_id:
            kept = await self.get(response_id, caller)
            size += len(kept.input) + len(kept.response)
            if size > most:  # as a request body it would be refused: no need to hold all of it first
                raise TooLarge(f"what was said before has more than {most} bytes, which are allowed")
            outcome = msgspec.json.decode(kept.response, type=_Outcome)
            parts.append(msgspec.json.decode(kept.input, type=list[Raw]) + outcome.output)
            response_id = kept.previous
            if len(parts) > RESPONSES_CHAIN:
                raise TooLarge(f"more than {RESPONSES_CHAIN} responses follow each other")
        return list(itertools.chain.from_iterable(reversed(parts)))


def _item_of(kept: KeptResponse, item_id: str) -> Raw:
    """One item of a response. Raises NotFound."""
    for item in msgspec.json.decode(kept.response, type=_Outcome).output:
        if msgspec.json.decode(item, type=_ItemId).id == item_id:
            return item
    raise NotFound(f"no item {item_id[:100]!r} is kept here")


_JSON_HEADERS = ((b"Content-Type", b"application/json"), (b"User-Agent", f"chomp/{VERSION}".encode()))


def _job(row: dict[str, Any]) -> Job:
    return Job(**{**row, "id": str(row["id"])})


# == Tasks =============================================================================================================

MESSAGES_WAITING = 50
DELETED_S = 3600.0  # how long a deleted task can be brought back
_ALWAYS = frozenset({"priority", "handoff", "budget_tokens", "budget_usd", "gate"})  # can be changed while it runs


def over(task: Task) -> bool:
    """Whether nothing is to happen with `task` by itself."""
    return task.status in ("done", "failed")


class TaskQueue:
    """Tasks and their sessions, on TRANSITIONS; what it returns is on disk."""

    def __init__(
        self,
        store: Store,
        events: EventBus,
        settings: Callable[[], TaskSettings],
        live: Callable[[Task], Task] = lambda task: task,
        clocks: Clocks = CLOCKS,
    ):
        self._store = store
        self._events = events
        self._settings = settings
        self.live = live  # lays the numbers of a running session over a task
        self.now, self.clocks = clocks.wall, clocks
        self.stirred = asyncio.Event()  # something has changed that may let a task start
        self._waits: dict[str, tuple[str, float]] = {}  # until when tasks wait, and when that is by the lasting clock

    # -- reading

    @property
    def state(self) -> State:
        """All that is stored; to be read only."""
        return self._store.state

    def all(self) -> list[Task]:
        """Every task that is not in the archive and not deleted, oldest first, with live numbers."""
        self._store.refresh()
        return [self.live(task) for task in self._store.state.tasks.values() if not task.deleted]

    def get(self, task_id: str) -> Task:
        """A task as stored. Raises NotFound."""
        state = self._store.state
        task = state.tasks.get(task_id)
        if task_id in state.foreign:
            raise Conflict(f"task {task_id} was written by a newer chomp, which this one leaves alone")
        if task is None or task.deleted:
            known = task_id.isdecimal() and len(task_id) < 16 and 0 < int(task_id) < state.next_id
            words = f"task {task_id} is deleted, or in the archive" if known else f"no task {task_id[:50]!r}"
            raise NotFound(words, param="id")
        return task

    async def found(self, task_id: str) -> Task:
        """The same with live numbers, also from the archive. Raises NotFound."""
        self._store.refresh()
        if task_id in self._store.state.tasks:
            return self.live(self.get(task_id))
        if (archived := await self._store.archived_task(task_id)) is not None:
            return archived
        raise NotFound(f"no task {task_id[:50]!r}", param="id")

    async def finished(self, limit: int, before: str = "") -> list[Task]:
        """Finished tasks, newest first, older than the task `before`; those of the archive follow."""
        ended = sorted((one for one in self.all() if over(one)), key=lambda one: (one.finished, int(one.id)))[::-1]
        ids = [one.id for one in ended]
        if before in ids:
            ended = ended[ids.index(before) + 1 :]
        elif before:
            ended = []
        if len(ended) < limit and self._store.state.archived.count:
            after = before if before and before not in ids else ""
            ended += await self._store.archived(limit - len(ended), after)
        return ended[:limit]

    def counts(self) -> dict[str, Any]:
        """Tasks by status, and what all of them used, with the archived and deleted ones."""
        counted = dict.fromkeys(("queued", "active", "done", "failed"), 0)
        tokens, usd = 0, 0.0
        for task in self._store.state.tasks.values():
            shown = self.live(task)
            tokens += shown.tokens
            usd += shown.cost_usd or 0.0
            if not task.deleted:
                counted[task.status] += 1
        archived = self._store.state.archived
        return {
            **counted,
            "all": sum(counted.values()) + archived.count,
            "tokens": tokens + archived.tokens,
            "cost_usd": usd + archived.cost_usd,
        }

    # -- changing

    async def add(self, fields: Mapping[str, Any]) -> Task:
        """The new task. Raises BadRequest, TooLarge or Unavailable."""
        with self._store.change() as state:
            task = new_task(state, fields, self.now())
        return await self._changed(task, None)

    async def act(self, task_id: str, action: str, *, session: Mapping[str, Any] | None = None, **fields: Any) -> Task:
        """One transition. Raises NotFound or Conflict."""
        before = self._store.state.tasks.get(task_id)
        return await self._changed(self.act_now(task_id, action, session=session, **fields), before)

    def act_now(self, task_id: str, action: str, *, session: Mapping[str, Any] | None = None, **fields: Any) -> Task:
        """The same, and not yet on disk."""
        with self._store.change() as state:
            before = state.tasks.get(task_id) if action == "restore" else self.get(task_id)
            task = transition(cast(Task, before), action, now=self.now(), session=session, **fields)
            state.tasks[task_id] = task
        ended = over(task) and not task.deleted and before is not None and not over(before)
        how = "stopped" if task.reason == "stopped" else task.status
        self._told(task_id, action, **({"ended": how, "title": task.prompt[:80]} if ended else {}))
        self._tell_of_session(task, TRANSITIONS[action].session)
        return task

    def _tell_of_session(self, task: Task, what: str) -> None:
        if not what or not task.sessions:
            return
        last = task.sessions[-1]
        facts = {"id": task.id, "session": last.id, "platform": last.agent, "model": last.model}
        if what == "open":
            self._events.publish("session_start", facts)
        elif last.ended_at:
            self._events.publish("session_end", {**facts, "result": last.result, "tokens": last.tokens})

    async def edit(self, task_id: str, fields: Mapping[str, Any]) -> Task:
        """The task with fields written anew; what an agent works from, only while it is queued.

        Raises NotFound, BadRequest, TooLarge or Conflict.
        """
        with self._store.change() as state:
            before = self.get(task_id)
            said = checked_fields(state, task_id, fields)
            fixed = said.keys() - _ALWAYS
            if fixed and before.status != "queued":
                raise Conflict(f"task {task_id} is {before.status}: {', '.join(sorted(fixed))} cannot be changed now")
            task = state.tasks[task_id] = msgspec.structs.replace(before, **said)
        return await self._changed(task, before)

    async def set(self, task_id: str, **fields: Any) -> Task:
        """The task with `fields` as they are. Raises NotFound."""
        before = self._store.state.tasks.get(task_id)
        return await self._changed(self.set_now(task_id, **fields), before)

    def set_now(self, task_id: str, **fields: Any) -> Task:
        """The same, and not yet on disk; nothing happens when nothing changes."""
        before = self.get(task_id)
        task = msgspec.structs.replace(before, **fields)
        if task != before:
            with self._store.change() as state:
                task = state.tasks[task_id] = msgspec.structs.replace(self.get(task_id), **fields)
            self._events.publish("task_set", {"id": task_id})
        return task

    def set_session(self, task_id: str, **fields: Any) -> None:
        """Writes down facts of the open session; not yet on disk."""
        with self._store.change() as state:
            task = self.get(task_id)
            if (current := open_session(task)) is not None:
                sessions = (*task.sessions[:-1], msgspec.structs.replace(current, **fields))
                state.tasks[task_id] = msgspec.structs.replace(task, sessions=sessions)
        self._events.publish("task_session", {"id": task_id})

    def shown_anew(self, task_id: str) -> None:
        """Tells who looks on that something not stored has changed: the numbers of a running session."""
        self._events.publish("task_live", {"id": task_id})

    async def delete(self, task_id: str) -> Task:
        """Takes a task away; it can be restored for a while. Raises NotFound or Conflict."""
        return await self.act(task_id, "delete", deleted=iso(self.now()), wanted=False)

    async def restore(self, task_id: str) -> Task:
        """Brings a deleted task back. Raises NotFound."""
        before = self._store.state.tasks.get(task_id)
        if before is None or not before.deleted:
            raise NotFound(f"no deleted task {task_id[:50]!r} can be restored", param="id")
        return await self.act(task_id, "restore", deleted="")

    def purge(self) -> None:
        """Forgets tasks deleted long ago; what they used stays counted."""
        before = iso(self.now() - DELETED_S)
        if not any(task.deleted and task.deleted < before for task in self._store.state.tasks.values()):
            return
        with self._store.change() as state:
            for task in [one for one in state.tasks.values() if one.deleted and one.deleted < before]:
                del state.tasks[task.id]
                sums = state.archived
                state.archived = msgspec.structs.replace(
                    sums, tokens=sums.tokens + task.tokens, cost_usd=sums.cost_usd + (task.cost_usd or 0.0)
                )

    def _told(self, task_id: str, action: str, **more: str) -> None:
        """Tells who looks on, and who starts tasks: another may be able to begin now."""
        self.stirred.set()
        self._events.publish(f"task_{action}", {"id": task_id, **more})

    async def _changed(self, task: Task, before: Task | None) -> Task:
        """The task, when that is on disk; when it cannot be, it is as it was `before`. Raises Unavailable then."""
        self._told(task.id, "change")
        try:
            await self._store.saved()
        except Unavailable:
            if self._store.state.tasks.get(task.id) is task:  # nobody has built on it meanwhile
                with contextlib.suppress(Unavailable), self._store.change() as state:
                    if before is None:
                        del state.tasks[task.id]
                    else:
                        state.tasks[task.id] = before
                self._events.publish("task_change", {"id": task.id})
            raise
        return self.live(task)

    # -- messages

    async def message(self, task_id: str, text: str, message_id: str = "", *, delete: bool = False) -> Task:
        """Adds a follow-up, or changes or takes away one that waits.

        Raises NotFound, BadRequest, TooLarge or Conflict.
        """
        if delete and not message_id:
            raise BadRequest("say which message to take away", param="message", code="missing_required_parameter")
        if not delete:
            check_text("text", text, PROMPT_BYTES)
            if not text.strip():
                raise BadRequest("text must say something", param="text", code="missing_required_parameter")
        with self._store.change() as state:
            task = self.get(task_id)
            waiting = [one for one in task.messages if not one.session]
            if message_id:
                old = next((one for one in task.messages if one.id == message_id), None)
                if old is None:
                    raise NotFound(f"task {task_id} has no message {message_id[:50]!r}", param="message")
                if old.session:
                    raise Conflict(f"message {message_id} was delivered to {old.session} already")
                new = () if delete else (msgspec.structs.replace(old, text=text),)
                messages = tuple(itertools.chain.from_iterable(new if one is old else (one,) for one in task.messages))
            else:
                if len(waiting) >= MESSAGES_WAITING:
                    raise Busy(f"{MESSAGES_WAITING} messages wait for task {task_id} already")
                number = 1 + max((int(one.id[1:]) for one in task.messages), default=0)
                messages = (*task.messages, Message(id=f"m{number}", text=text, created=iso(self.now())))
            before = task
            task = state.tasks[task_id] = msgspec.structs.replace(before, messages=messages)
        return await self._changed(task, before)

    # -- what starts next

    def blockers(self, task: Task) -> list[str]:
        """The tasks that `task` still waits for; a deleted or forgotten one holds up nobody."""
        tasks, foreign = self._store.state.tasks, self._store.state.foreign
        return [
            one for one in task.blocked_by
            if one in foreign or (one in tasks and not tasks[one].deleted and tasks[one].status != "done")
        ]  # fmt: skip

    def room(self, platform: str) -> bool:
        """Whether another session may start: every start asks here."""
        settings = self._settings()
        active = [task for task in self._store.state.tasks.values() if task.status == "active"]
        most = settings.platform_parallel.get(platform)
        return len(active) < settings.parallel and (
            most is None or sum(task.platform == platform for task in active) < most
        )

    def startable(self) -> list[Task]:
        """Queued tasks that may start now, but for room: by priority, then age."""
        auto = self._settings().auto
        if len(self._waits) > len(self._store.state.tasks):
            self._waits.clear()
        ready = [
            task
            for task in self._store.state.tasks.values()
            if task.status == "queued"
            and not task.deleted
            and (task.wanted or auto)
            and self._waited(task)
            and not self.blockers(task)
        ]
        return sorted(ready, key=lambda task: (-task.priority, int(task.id)))

    def _waited(self, task: Task) -> bool:
        """Whether the moment has come that a task waits for, by the clock that nobody sets."""
        if not task.until:
            self._waits.pop(task.id, None)
            return True
        until, ends_s = self._waits.get(task.id, ("", 0.0))
        if until != task.until:
            ends_s = self.clocks.lasting() + unix_s(task.until) - self.now()
            self._waits[task.id] = task.until, ends_s
        return self.clocks.lasting() >= ends_s

    def queued(self) -> list[Task]:
        """Queued tasks that nobody has asked to start: those that could first, then by priority and age."""
        queued = [task for task in self.all() if task.status == "queued" and not task.wanted]
        return sorted(queued, key=lambda task: (bool(self.blockers(task)), -task.priority, int(task.id)))

    def unowned(self) -> list[Task]:
        """Tasks a dead process left active."""
        return [task for task in self._store.state.tasks.values() if task.status == "active"]


# == Kernel ============================================================================================================

API_VERSION = (1, 0, 0)  # of what extensions are handed
ACTIVATION_S = 10.0  # an extension that takes longer is disabled
COMMAND_BYTES = 1 << 20  # of what is piped into a command
RESERVED_IDS = frozenset(("server", "timeouts", "limits", "tasks", "extensions", "routers", "hosts", "users", "aliases",
                          "headers", "agents", "isolation"))  # fmt: skip
_EXTENSION_ID = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", re.ASCII)


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """What an extension says of itself."""

    id: str
    name: str
    version: str
    api_version: str  # "^1": what it needs of API_VERSION
    depends_on: tuple[str, ...] = ()
    activation: str = "eager"
    contributes: dict[str, Any] = {}  # for readers
    capabilities: dict[str, bool] = {}


class Command(msgspec.Struct, frozen=True):
    """A command of bin/chomp that an extension does."""

    name: str
    usage: str
    help: str
    input: bool  # whether it wants what is piped into it
    extension: str
    run: Callable[[Call], Any]


class Call(msgspec.Struct, frozen=True):
    """How a command was called."""

    args: tuple[str, ...] = ()
    input: str = ""  # what was piped into it
    tty: bool = False  # whether its output is a terminal, how large that is, and whether it is to have colours
    colour: bool = False
    columns: int = 80
    lines: int = 24


class Page(msgspec.Struct, frozen=True):
    """A page that the bar above every page leads to."""

    path: str
    title: str
    icon: str  # of macros.html
    template: str = ""  # of an extension's


Handle = Callable[[Any], Awaitable[Any]]


class Extension:
    """One extension and what it contributes.

    `phase` is "loaded" once its file has been run, "active" once `activate` has returned, "disabled" when either, or
    something it needs, has failed; `reason` says why, and what last failed in an active one.
    """

    def __init__(self, id: str, path: Path):
        self.id, self.path = id, path
        self.trust = "bundled" if path.parent == HERE / "adapters" else "external"
        self.manifest = Manifest(id, id, "", "")
        self.module: Any = None
        self.kind: type[Any] | None = None  # of its settings
        self.settings: Any = None
        self.phase: Literal["loaded", "active", "disabled"] = "loaded"
        self.reason = ""
        self.failures = 0
        self.routes: list[tuple[str, str, Handle]] = []
        self.pages: list[Page] = []
        self.signals: dict[str, tuple[tuple[str, float], ...]] = {}  # by kind of event, as SIGNALS has them
        self.hears: list[tuple[str, Callable[[Event], object]]] = []
        self.chores: list[tuple[float, Callable[[], Awaitable[object]]]] = []
        self.tables: tuple[str, ...] = ()
        self.commands: list[Command] = []
        self.panels: list[str] = []  # templates of the settings
        self.status: Callable[[], Any] | None = None
        self.redact: Callable[[str], str] = str

    @property
    def secrets(self) -> tuple[str, ...]:
        """Its settings that are shown to nobody."""
        return tuple(getattr(self.module, "SECRETS", ()))

    def disable(self, reason: str) -> None:
        """It is not used from now on."""
        self.phase, self.reason = "disabled", self.redact(reason)[:500]
        log.warning("the extension %s is disabled: %s", self.id, self.reason)

    def failed(self, where: str, error: BaseException) -> None:
        """Something of it went wrong, which stops nothing else."""
        self.failures += 1
        self.reason = self.redact(f"{where}: {type(error).__name__}: {error}")[:500]
        log.error("the extension %s: %s failed", self.id, where, exc_info=error)


class Toolbox(msgspec.Struct, frozen=True):
    """What the kernel hands on to extensions, and does not do itself."""

    background: Background
    events: EventBus
    database: Database
    session: aiohttp.ClientSession
    settings: Callable[[], Settings]  # in force now
    credentials: Credentials
    clocks: Clocks
    fields: Callable[[Any], Awaitable[dict[str, Any]]]  # of a request's body
    render: Callable[..., Any]  # a page
    is_known: Callable[[Any], bool]  # who asks


class ExtensionApi:
    """What `activate(host)` is handed: all that an extension may contribute and use.

    What is contributed is taken only while `activate` runs; afterwards it raises RuntimeError.
    """

    def __init__(self, kernel: Kernel, extension: Extension, tools: Toolbox):
        self._kernel, self._extension, self._tools = kernel, extension, tools
        self.id = extension.id
        self.log = logging.getLogger(f"chomp.{extension.id}")
        self.clocks = tools.clocks
        self._sealed = self._details = False
        self._begun: list[asyncio.Task[Any]] = []  # while it is activated
        self._undone: list[tuple[str, Any]] = []

    def seal(self) -> None:
        """Nothing more is contributed."""
        self._sealed = True
        self._begun.clear()

    def undo(self) -> None:
        """It was not activated: what it has begun and provided is taken back."""
        for task in self._begun:
            task.cancel()
        while self._undone:
            name, before = self._undone.pop()
            if before is None:
                self._kernel.services.pop(name, None)
            else:
                self._kernel.services[name] = before
        self._extension.hears.clear()
        self.wants_details(False)

    def _open(self) -> Extension:
        if self._sealed:
            raise RuntimeError(f"{self.id}: only activate(host) can contribute something")
        return self._extension

    # -- what it contributes

    def route(self, method: str, path: str) -> Callable[[Handle], Handle]:
        """Routes `method` and `path` to a handler of aiohttp's request, for the owner.

        It returns a response of aiohttp, or what is sent as JSON, or a string that is sent as HTML.
        """

        def routed(handle: Handle) -> Handle:
            if not path.startswith("/"):
                raise ValueError(f"{path!r} does not begin with /")
            self._open().routes.append((method.upper(), path, handle))
            return handle

        return routed

    def page(self, path: str, title: str, template: str, icon: str = "list") -> None:
        """A page in the bar above every page: `template` is a shell that everybody may see and that shows no data."""
        self._open().pages.append(Page(path, title, icon, template))

    def panel(self, template: str) -> None:
        """A part of the settings drawer; the template finds `settings` there."""
        self._open().panels.append(template)

    def event(self, name: str, *signals: str, pace_s: float = 1.0) -> None:
        """Events of its own, called ID_NAME, on which pages hear `signals` (of hx-trigger), each once in `pace_s`."""
        self._open().signals[f"{self.id}_{name}"] = tuple((signal, pace_s) for signal in signals)

    def on(self, pattern: str, hear: Callable[[Event], object]) -> None:
        """Calls `hear` with each event whose kind matches, such as "task_*"; it must return at once. At any time."""
        if not isinstance(pattern, str):  # it would silence everybody
            raise ValueError(f"the kind of an event is a word, not {pattern!r}")
        self._extension.hears.append((pattern, hear))
        self._kernel.forget_listeners()

    def off(self, hear: Callable[[Event], object]) -> None:
        """Calls `hear` no more."""
        self._extension.hears = [(pattern, one) for pattern, one in self._extension.hears if one != hear]
        self._kernel.forget_listeners()

    def every(self, seconds: float, chore: Callable[[], Awaitable[object]]) -> None:
        """Does `chore` once in so many seconds, from the start on; one that fails is tried again next time."""
        self._open().chores.append((max(0.01, seconds), chore))

    def tables(self, *migrations: str) -> None:
        """Its tables: SQL that makes version 1 of them, then what makes version 2 of that, and so on.

        Their names begin with its id. They are there when `activate` has returned.
        """
        self._open().tables = migrations

    def command(
        self, name: str, help: str, usage: str = "", *, input: bool = False
    ) -> Callable[[Callable[[Call], Any]], Any]:
        """A command of bin/chomp: a function of a Call that returns text or an exit status, or yields text.

        Only with `input` it gets what is piped into it. The commands that bin/chomp has itself come first.
        """
        if not _EXTENSION_ID.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a command: small letters and digits, joined by hyphens")

        def added(run: Callable[[Call], Any]) -> Any:
            self._open().commands.append(Command(name, usage or name, help, input, self.id, run))
            return run

        return added

    def provide(self, name: str, service: Any) -> None:
        """A service for other extensions; of two with one name the last counts."""
        self._open()
        if name in self._kernel.own_services:
            raise ValueError(f"the service {name} is the server's")
        if name in self._kernel.services:
            self.log.warning("the service %s is provided anew by %s", name, self.id)
        self._undone.append((name, self._kernel.services.get(name)))
        self._kernel.services[name] = service

    def reports(self, status: Callable[[], Any]) -> None:
        """What it says of itself in GET /status."""
        self._open().status = status

    # -- what it uses

    @property
    def settings(self) -> Any:
        """Its table in chomp.toml as its class `Settings` has it, as it is in force now."""
        return self._extension.settings

    @property
    def address(self) -> str:
        """Where others reach chomp."""
        settings = self._tools.settings()
        return address_of(settings, settings.port)

    def service(self, name: str) -> Any:
        """A service of the server (`tasks`) or of another extension. Raises LookupError when nobody provides it."""
        if name not in self._kernel.services:
            raise LookupError(f"nobody provides {name}")
        return self._kernel.services[name]

    def publish(self, name: str, data: Any) -> None:
        """Tells watchers that ID_NAME has happened."""
        self._tools.events.publish(f"{self.id}_{name}", data)

    def wants_details(self, wanted: bool) -> None:
        """Whether it wants to hear of `request_start`, `request_attempt` and `request_first_byte`, too."""
        if wanted != self._details:
            self._details = wanted
            self._tools.events.details += 1 if wanted else -1

    def fields_of(self, event: Event) -> Any:
        """What an event tells, as it is sent: JSON can have it."""
        return event_fields(event)

    def is_known(self, request: Any) -> bool:
        """Whether who opened a stream may still have it."""
        return self._tools.is_known(request)

    def recent(self, after: int = 0) -> list[Event]:
        """Events still remembered, after the one with the number `after`."""
        return self._tools.events.recent(after)

    def start(self, name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Work in the background, which ends with chomp; when it dies that is logged and shown."""
        task = self._tools.background.start(f"{self.id}: {name}", self._kernel.watched(self._extension, name, work))
        if not self._sealed:
            self._begun.append(task)
        return task

    async def read(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Rows of the database by column name. Raises an error that answers with 503."""
        return await self._tools.database.read(sql, values)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` does with the database in one transaction: all of it or nothing."""
        return await self._tools.database.write(work)

    def variable(self, name: str) -> str:
        """A variable of the environment, or of state/.env, whose name begins with CHOMP_; "" when it is not there."""
        return self._tools.settings().environ.get(name, "") if name.startswith("CHOMP_") else ""

    def request(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Any:
        """An HTTP request to others as aiohttp's ClientSession makes it, through the proxy that is set."""
        proxied = self._tools.settings().proxies.options(url, dict(headers or {}))
        return self._tools.session.request(method, url, **{"allow_redirects": False, **proxied, **more})

    async def fields(self, request: Any) -> dict[str, Any]:
        """The fields of a request that is JSON or a form. Raises an error that answers with 400."""
        return await self._tools.fields(request)

    def render(self, request: Any, template: str, **shown: Any) -> Any:
        """A page or a part of one: a template of `templates/`, beside chomp's or beside the extension."""
        return self._tools.render(request, template, **shown)

    def redact(self, text: str) -> str:
        """`text` without secrets that chomp knows."""
        return self._tools.credentials.redact(text)

    def hide(self, secret: str) -> None:
        """`secret` is one from now on."""
        self._tools.credentials.hide(secret)

    def error(self, message: str, status: int = 400, code: str | None = None, param: str | None = None) -> Exception:
        """An error to raise in a handler, which answers with it, or in a command, which ends with it."""
        return ChompError(message, status=status, type="invalid_request_error", code=code, param=param)


def is_stopped(error: BaseException) -> bool:
    """Whether `error` is chomp's own word to stop, and not something that went wrong in an extension."""
    task = asyncio.current_task() if isinstance(error, asyncio.CancelledError) else None
    return isinstance(error, KeyboardInterrupt) or (task is not None and task.cancelling() > 0)


def fits_api(wanted: str) -> bool:
    """Whether `wanted`, such as "^1" or "^1.2.0", is what this kernel has (https://semver.org)."""
    found = re.fullmatch(r"\^?(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?", wanted.strip())
    if not found:
        return False
    parts = tuple(int(part or 0) for part in found.groups())
    return parts[0] == API_VERSION[0] and parts <= API_VERSION


def _check_owner(path: Path) -> None:
    """Raises ValueError for a file that others could have written."""
    for one in (path, path.parent):
        found = one.stat()
        if found.st_uid not in (0, os.getuid()) or found.st_mode & stat.S_IWOTH:
            raise ValueError(f"{one} belongs to somebody else, or everybody may write to it")


class Kernel:
    """The extension host: which extensions there are, in which order they start, what fails with them.

    It knows none of them by name. Whatever goes wrong in one leaves all others, and the server, as they are.
    """

    def __init__(self, settings: Settings):
        self.extensions = [self._loaded(id, paths) for id, paths in extension_files(settings.extensions).items()]
        self._order()
        self._hearing: dict[str, list[tuple[Extension, Callable[[Event], object]]]] = {}
        self._started: list[tuple[Extension, ExtensionApi]] = []
        self._listening = contextlib.ExitStack()
        self.open_paths: frozenset[str] = frozenset()  # of pages: shells that everybody may see
        self.services: dict[str, Any] = {}  # of the server and of extensions, by name
        self.own_services: frozenset[str] = frozenset()
        self.adopt(settings)

    # -- loading

    def _loaded(self, id: str, paths: Sequence[Path]) -> Extension:
        """The extension of a file, which is run. Raises SettingsError when there are two."""
        if len(paths) > 1:
            raise SettingsError(f"there are two extensions {id}: {' and '.join(map(str, paths))}; [extensions] off = "
                                f'["{id}"] leaves both out')  # fmt: skip
        extension = Extension(id, paths[0])
        try:
            if id in RESERVED_IDS:
                raise ValueError("chomp has a table of that name itself")
            if not _EXTENSION_ID.fullmatch(id):
                raise ValueError("its file is not named by an id in lower case, such as my-extension.py")
            if extension.trust == "external":
                _check_owner(paths[0])
            name = f"chomp_extensions.{id}"
            spec = cast(Any, importlib.util.spec_from_file_location(name, paths[0]))
            module = extension.module = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            extension.manifest = manifest = msgspec.convert(module.MANIFEST, Manifest)
            extension.kind = getattr(module, "Settings", None)
            if manifest.id != id:
                raise ValueError(f"its MANIFEST has the id {manifest.id!r}, its file another one")
            if not fits_api(manifest.api_version):
                have = ".".join(map(str, API_VERSION))
                raise ValueError(
                    f"it needs version {manifest.api_version!r} of what extensions are handed: here is {have}"
                )
            if not callable(getattr(module, "activate", None)):
                raise ValueError("it has no activate(host)")
            if extension.kind is not None:
                if not (isinstance(extension.kind, type) and issubclass(extension.kind, msgspec.Struct)):
                    raise ValueError("its Settings are no msgspec.Struct")
                msgspec.to_builtins(msgspec.convert({}, extension.kind))  # without a table of its own it must do, too
            if not all(isinstance(name, str) for name in extension.secrets):
                raise ValueError("its SECRETS are no names")
        except BaseException as error:  # whatever stands in that file
            if isinstance(error, KeyboardInterrupt):
                raise
            extension.kind = None
            extension.disable(str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}")
        return extension

    def _order(self) -> None:
        """Puts each behind those it depends on, else as they were. Raises SettingsError when that cannot be."""
        known = {one.id: one for one in self.extensions}
        for one in self.extensions:
            for id in one.manifest.depends_on:
                if id not in known:
                    raise SettingsError(f"the extension {one.id} needs {id}, which is not there{near_name(id, known)}")
        ordered: list[Extension] = []
        left = list(self.extensions)
        while left:
            ready = [one for one in left if all(known[id] in ordered for id in one.manifest.depends_on)]
            if not ready:
                raise SettingsError(f"the extensions {', '.join(one.id for one in left)} need one another in a circle")
            ordered += ready
            left = [one for one in left if one not in ready]
        self.extensions = ordered

    # -- settings

    def kinds(self) -> dict[str, type[Any]]:
        """The tables that extensions have in chomp.toml."""
        return {one.id: one.kind for one in self.extensions if one.kind is not None}

    def settings(self, id: str) -> Any:
        """Those of an extension, as they are in force."""
        return next((one.settings for one in self.extensions if one.id == id), None)

    def secrets(self, id: str) -> tuple[str, ...]:
        """Names of settings of an extension that are shown to nobody."""
        return next((one.secrets for one in self.extensions if one.id == id), ())

    def _read(self, settings: Settings) -> list[tuple[Extension, Any]]:
        """Settings of extensions, as they would be. Raises SettingsError."""
        found = []
        for one in self.extensions:
            if one.kind is not None:
                try:
                    found.append((one, read_table(one.id, one.kind, settings.of_extensions.get(one.id, {}))))
                except SettingsError:
                    raise
                except Exception as error:  # of its own check
                    raise SettingsError(f"[{one.id}] cannot be used: {type(error).__name__}: {error}") from None
        return found

    def check(self, settings: Settings) -> None:
        """Raises SettingsError for a table of an extension that cannot be."""
        self._read(settings)

    def adopt(self, settings: Settings) -> None:
        """Takes over settings written anew. Raises SettingsError, and has changed nothing then."""
        for extension, found in self._read(settings):
            extension.settings = found

    def shown_settings(self) -> dict[str, Any]:
        """Settings by table, of secret ones only whether they are there."""
        return {
            one.id: {
                name: bool(value) if name in one.secrets else value
                for name, value in msgspec.to_builtins(one.settings).items()
            }
            for one in self.extensions
            if one.settings is not None
        }

    # -- starting and stopping

    async def activate(self, tools: Toolbox) -> None:
        """Activates each in turn; one that fails is disabled, and with it those that depend on it."""
        known = {one.id: one for one in self.extensions}
        for extension in self.extensions:
            extension.redact = tools.credentials.redact
            missing = [id for id in extension.manifest.depends_on if known[id].phase != "active"]
            if extension.phase == "loaded" and missing:
                extension.disable(f"it needs {missing[0]}, which is disabled")
            if extension.phase == "loaded":
                await self._activate(extension, ExtensionApi(self, extension, tools))
        self._listening.enter_context(tools.events.subscribe(self._hear))

    async def _activate(self, extension: Extension, host: ExtensionApi) -> None:
        try:
            async with asyncio.timeout(ACTIVATION_S):
                made = extension.module.activate(host)
                if inspect.isawaitable(made):
                    await made
        except TimeoutError:
            host.undo()
            extension.disable(f"activate did not end within {ACTIVATION_S:g} s")
        except BaseException as error:  # whatever it does
            if is_stopped(error):
                raise
            log.error("the extension %s was not activated", extension.id, exc_info=error)
            host.undo()
            extension.disable(f"activate failed: {type(error).__name__}: {error}")
        else:
            extension.phase = "active"
            self._started.append((extension, host))
        finally:
            host.seal()

    @property
    def active(self) -> list[Extension]:
        """Those that are in use, in the order in which they were started."""
        return [one for one in self.extensions if one.phase == "active"]

    async def make_tables(self, database: Database) -> None:
        """Brings tables up to date; an extension whose SQL is wrong is disabled. Raises DatabaseFault."""

        def make(connection: sqlite3.Connection) -> None:
            connection.execute("CREATE TABLE IF NOT EXISTS extensions (id TEXT PRIMARY KEY, version INTEGER NOT NULL)")

        if any(one.tables for one in self.active):
            await database.write(make)
        for one in self.active:
            if one.tables:
                try:
                    await database.write(functools.partial(_make_tables, one))
                except DatabaseFault as fault:
                    if fault.passing:
                        raise
                    self.disable(one, f"its tables cannot be made: {fault}")
                except Exception as error:  # whatever it has there
                    self.disable(one, str(error) if isinstance(error, ValueError) else f"its tables: {error!r}")

    def disable(self, extension: Extension, reason: str) -> None:
        """It is not used from now on, and what depends on it is not, either."""
        extension.disable(reason)
        for one in self.active:
            if extension.id in one.manifest.depends_on:
                self.disable(one, f"it needs {extension.id}, which is disabled")

    def begin(self, background: Background) -> None:
        """Starts the chores of all."""
        for one in self.active:
            for seconds, chore in one.chores:
                background.start(f"{one.id}: every {seconds:g} s", self._do_chore(one, seconds, chore))

    async def _do_chore(self, extension: Extension, seconds: float, chore: Callable[[], Awaitable[object]]) -> None:
        while True:
            try:
                await chore()
            except BaseException as error:  # it is tried again
                if is_stopped(error):
                    raise
                extension.failed(getattr(chore, "__name__", "a chore"), error)
            await asyncio.sleep(seconds)

    async def watched(self, extension: Extension, name: str, work: Coroutine[Any, Any, T]) -> T:
        """`work`, whose death is shown at its extension."""
        try:
            return await work
        except Exception as error:
            extension.failed(name, error)
            raise

    async def stop(self) -> None:
        """Deactivates all, the last one first; what fails is logged."""
        self._listening.close()
        while self._started:
            extension, host = self._started.pop()
            if (end := getattr(extension.module, "deactivate", None)) is None:
                continue
            try:
                async with asyncio.timeout(ACTIVATION_S):
                    made = end(host)
                    if inspect.isawaitable(made):
                        await made
            except BaseException as error:  # the others are to end all the same
                if is_stopped(error):
                    raise
                extension.failed("deactivate", error)

    # -- what happens

    def forget_listeners(self) -> None:
        """Others listen than before."""
        self._hearing.clear()

    def _hear(self, event: Event) -> None:
        listening = self._hearing.get(event.kind)
        if listening is None:
            listening = self._hearing[event.kind] = [
                (one, hear)
                for one in self.active
                for pattern, hear in one.hears
                if fnmatch.fnmatchcase(event.kind, pattern)
            ]
        for extension, hear in listening:
            try:
                hear(event)
            except Exception as error:  # it hears the next one all the same
                extension.failed(f"hearing of {event.kind}", error)

    def signals(self, kind: str) -> tuple[tuple[str, float], ...]:
        """What pages fetch again after an event of an extension, as SIGNALS has it."""
        return next((one.signals[kind] for one in self.extensions if kind in one.signals), ())

    @property
    def every_signal(self) -> list[str]:
        """What a page fetches again that may have missed something."""
        return [signal for one in self.active for signals in one.signals.values() for signal, _ in signals]

    @property
    def pages(self) -> list[Page]:
        """Further pages for the bar above every page."""
        return [page for one in self.active for page in one.pages]

    def commands(self) -> dict[str, Command]:
        """The commands of bin/chomp that extensions do, by name; the first one of a name counts."""
        found: dict[str, Command] = {}
        for one in self.active:
            for command in one.commands:
                found.setdefault(command.name, command)
        return found

    def failed(self, command: str, error: BaseException) -> None:
        """A command went wrong."""
        id = self.commands()[command].extension
        next(one for one in self.extensions if one.id == id).failed(f"the command {command}", error)

    async def run(self, name: str, call: Call) -> AsyncIterator[str | int]:
        """What a command prints, piece by piece, and at last its exit status. Raises NotFound and what it raises."""
        command = self.commands().get(name)
        if command is None:
            raise NotFound(f"no extension has a command {name[:50]!r}")
        made, status = command.run(call), 0
        if inspect.isawaitable(made):
            made = await made
        if hasattr(made, "__aiter__"):
            async with contextlib.aclosing(made) as pieces:
                async for piece in pieces:
                    yield piece
        elif isinstance(made, int):
            status = made
        elif made:
            yield str(made)
        yield status

    def report(self) -> dict[str, Any]:
        """The state of all, for /status."""
        return {
            one.id: {
                **({} if one.status is None or one.phase != "active" else self._status(one)),
                "name": one.manifest.name,
                "version": one.manifest.version,
                "trust": one.trust,
                "state": one.phase,
                "reason": one.reason or None,
                "failures": one.failures,
            }
            for one in self.extensions
        }

    @staticmethod
    def _status(extension: Extension) -> dict[str, Any]:
        try:
            return dict(msgspec.to_builtins(cast(Any, extension.status)()))
        except Exception as error:  # the status of all others is shown
            extension.failed("its status", error)
            return {}


def _make_tables(extension: Extension, connection: sqlite3.Connection) -> None:
    """Does what is still to be done of an extension's migrations. Raises ValueError."""
    (version,) = connection.execute("SELECT coalesce(max(version), 0) FROM extensions WHERE id = ?",
                                    (extension.id,)).fetchone()  # fmt: skip
    if version > len(extension.tables):
        raise ValueError(f"its tables were written by a newer one (version {version}, this one knows "
                         f"{len(extension.tables)})")  # fmt: skip
    begin = extension.id.replace("-", "_")
    before = _table_names(connection)
    for sql in extension.tables[version:]:
        for statement in _statements(sql):
            connection.execute(statement)
    if odd := [name for name in _table_names(connection) ^ before if not name.startswith(begin)]:
        raise ValueError(f"its table {odd[0]} does not begin with {begin}")
    connection.execute("INSERT OR REPLACE INTO extensions VALUES (?, ?)", (extension.id, len(extension.tables)))


def _table_names(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite%'")}


def _statements(sql: str) -> Iterator[str]:
    """The statements of a text: `executescript` would commit what was begun."""
    statement = ""
    for part in re.findall(r"[^;]*;?", sql):
        statement += part
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


# == Dispatch ==========================================================================================================

Level = Literal["bubblewrap", "none"]
SCREEN = 120, 32  # columns and rows of a terminal that nobody looks at yet
RING_BYTES = 1 << 20  # of a terminal's output, in memory
INPUT_BYTES = 1 << 20  # waiting to be read by the program in a terminal
TRANSCRIPT_WAITING_BYTES = 4 << 20  # a disk this far behind holds up the terminal
FLOOD_BYTES, FLOOD_PAUSE_S = 64 << 10, 0.01  # read at once, then the program waits: 6 MB/s cost little
DRAIN_S = 1.0  # after its program has ended, a terminal's output may still come
SECRET_HOLD_S = 0.05  # what may begin a secret is shown after so much silence
QUIET_S = 3.0  # after an unfinished line: it may be a question
PROBE_S = 5.0
ENDING_S = 3.0  # for what is left of a command that ended or was cancelled
_READ_BYTES = 16 << 10
_SCREEN_COLS, _SCREEN_ROWS = 1000, 1000
_HIDDEN_SECRET = b"[hidden]"

_BIN = HERE / "bin"
_PYTHON = (Path(os.path.realpath(sys.executable)), Path(sys.base_prefix))  # that of no virtual environment


@functools.cache
def _compiled(name: str) -> str:
    """A program of bin/, compiled where that can be kept: they run often, and are to start at once."""
    with contextlib.suppress(OSError, py_compile.PyCompileError):
        made = importlib.util.cache_from_source(str(_BIN / name))
        return str(py_compile.compile(str(_BIN / name), cfile=made, doraise=True))
    return str(_BIN / name)


def program(name: str, *words: str) -> tuple[str, ...]:
    """A program of bin/, to be run by the Python that runs this one, with nothing but its library."""
    return (str(_PYTHON[0]), "-I", "-S", "-X", "utf8", _compiled(name), *words)


class _Process(msgspec.Struct, frozen=True, gc=False):
    """What /proc/PID/stat says."""

    parent: int
    group: int
    state: str
    started: int  # clock ticks since boot: another process with the same pid has another


def _process(pid: int | str) -> _Process | None:
    """The process `pid`; None when there is none, or when it only waits to be collected."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            words = file.read().rpartition(b")")[2].split()
        found = _Process(int(words[1]), int(words[2]), words[0].decode(), int(words[19]))
    except (OSError, IndexError, ValueError):
        return None
    return None if found.state in "ZX" else found


def _all_processes() -> dict[int, _Process]:
    """Every process there is, except ourselves; nothing where there is no /proc."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return {}
    seen = {int(name): process for name in names if name.isdecimal() and (process := _process(name))}
    seen.pop(os.getpid(), None)
    return seen


def processes_of(runs: Collection[str], known: Mapping[int, int]) -> dict[int, int]:
    """When each process started that is one of `known`, has TASK_RUN in `runs`, or descends from such a one, by pid."""
    marks = {f"TASK_RUN={run}".encode() for run in runs if run}
    seen = _all_processes()
    found: dict[int, int] = {}
    for pid, process in seen.items():
        ours = known.get(pid) == process.started
        if not ours and marks:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:  # of others: not allowed
                environ = file.read()
                ours = b"TASK_RUN=" in environ and not marks.isdisjoint(environ.split(b"\0"))
        if ours:
            found[pid] = process.started
    children: dict[int, list[int]] = {}
    for pid, process in seen.items():
        children.setdefault(process.parent, []).append(pid)
    unseen = list(found)
    while unseen:
        for pid in children.get(unseen.pop(), ()):
            if pid not in found:
                found[pid] = seen[pid].started
                unseen.append(pid)
    return found


def _send(pid: int, started: int, *signals: int) -> None:
    """Sends `signals` to the process `pid` that started at `started`, never to another that has its pid by now."""
    with contextlib.suppress(OSError):
        held = os.pidfd_open(pid)
        try:
            if (process := _process(pid)) and process.started == started:
                for number in signals:
                    signal.pidfd_send_signal(held, number)
        finally:
            os.close(held)


class Spawned:
    """A command and all that it has started, which ends with it: a sandbox does, and bin/shut-in sees to it.

    An agent may have ended that, or stopped it. So where there is no sandbox, who ends a command looks for those that
    have its mark as well.
    """

    def __init__(self, child: asyncio.subprocess.Process, launch: Launch, info: int | None):
        self.child = child
        self.level = launch.level
        self._mark = launch.env.get("TASK_RUN", "")
        self._info = info  # where bwrap says which is the first process inside
        self._first: int | None = None  # of that: it is not known by its number, which another may have later
        self._struck = False
        if info is not None:
            os.set_blocking(info, False)
            asyncio.get_running_loop().add_reader(info, self._hear)

    def strike(self) -> None:
        """Ends all of it, without waiting."""
        if self.child.returncode is None:
            self._struck = True
            with contextlib.suppress(ProcessLookupError):
                for number in (signal.SIGTERM, signal.SIGCONT) if self.level == "none" else (signal.SIGKILL,):
                    self.child.send_signal(number)

    async def gone(self, limit_s: float) -> bool:
        """Waits until nothing of it is left: bwrap itself ends a moment before what is inside. Whether that is so."""
        try:
            async with asyncio.timeout(limit_s):
                await self.child.wait()
                await self._first_gone()
                if self.level == "none" and (self._struck or cast(int, self.child.returncode) < 0):
                    return not await _sweep({self._mark}, limit_s)
                return True
        except TimeoutError:
            if self.level == "none" and self.child.returncode is None:
                self.child.kill()
                return not await _sweep({self._mark}, 1.0)
            return False

    async def _first_gone(self) -> None:
        for _ in range(4):  # what it has said, and the end
            self._hear()
        self._close_info()  # though somebody inside should hold the other end
        first, self._first = self._first, None
        if first is None:
            return
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        try:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(first, signal.SIGKILL)
            loop.add_reader(first, ended.set)
            await ended.wait()
        finally:
            loop.remove_reader(first)
            os.close(first)

    def _hear(self) -> None:
        """A piece of what bwrap says; it is heard to its end, since bwrap fails when nobody listens."""
        if self._info is None:
            return
        try:
            data = os.read(self._info, 4096)
        except BlockingIOError:
            return
        if named := re.search(rb'"child-pid": *(\d+)', data):
            with contextlib.suppress(OSError):
                self._first = os.pidfd_open(int(named[1]))
        if not data:
            self._close_info()

    def _close_info(self) -> None:
        info, self._info = self._info, None
        if info is not None:
            asyncio.get_running_loop().remove_reader(info)
            os.close(info)


async def _sweep(runs: Collection[str], grace_s: float) -> list[int]:
    """Ends every process that has one of `runs` as TASK_RUN, and what descends from it; the pids that are left."""
    loop = asyncio.get_running_loop()
    ends_at, known = loop.time() + grace_s, dict[int, int]()
    while found := await asyncio.to_thread(processes_of, frozenset(runs), known):
        if loop.time() >= ends_at:
            break
        known.update(found)
        for pid, started in found.items():
            _send(pid, started, signal.SIGKILL)
        await asyncio.sleep(0.02)
    return sorted(found)


class SecretFilter:
    """Replaces secrets in a stream of bytes, also those that come in pieces.

    Held back is only what may be the beginning of a secret. What was let go meanwhile is not forgotten: when a secret
    is completed after all, its rest is replaced.
    """

    def __init__(self, secrets: Iterable[str]):
        words = sorted({word.encode() for word in secrets if len(word) >= 4}, key=len, reverse=True)
        self._secrets = tuple(words)
        self._pattern = re.compile(b"|".join(map(re.escape, words)) or rb"(?!)")
        self._beginnings = frozenset(word[:n] for word in words for n in range(1, len(word)))
        self._longest = max(map(len, words), default=1) - 1
        self._tail = b""  # may begin a secret
        self._shown = 0  # bytes of it that were let go

    @property
    def holds(self) -> bool:
        return len(self._tail) > self._shown

    def feed(self, data: bytes) -> bytes:
        """What can be shown of `data` and of what was held."""
        if not self._secrets:
            return data
        return self._let_go(self._tail + data, last=False)

    def flush(self) -> bytes:
        """What is held: nothing more has come."""
        if not self.holds:
            return b""
        tail = self._tail
        shown = self._let_go(tail, last=True)
        begins = self._unfinished(tail, 0)
        self._tail = tail[begins:] if not self._pattern.search(tail) else b""
        self._shown = len(self._tail)
        return shown

    def _unfinished(self, data: bytes, since: int) -> int:
        """Where in `data`, from `since` on, something begins that may become a secret; its length when nothing does."""
        for at in range(max(since, len(data) - self._longest), len(data)):
            if data[at:] in self._beginnings:
                return at
        return len(data)

    def _let_go(self, data: bytes, last: bool) -> bytes:
        out, at, shown = [], 0, self._shown
        held = len(data) if last else self._unfinished(data, 0)
        if any(word in data for word in self._secrets):
            for match in self._pattern.finditer(data):
                if match.start() >= held:
                    break
                out += [data[max(at, shown) : match.start()], _HIDDEN_SECRET]
                at = match.end()
                if at > held:
                    held = self._unfinished(data, at)
        out.append(data[max(at, shown) : held])
        self._tail, self._shown = data[held:], max(0, shown - held)
        return b"".join(out)


class Output:
    """What a session's programs print, wherever they run: in a ring, in a transcript, for all who look on.

    Positions count bytes from the beginning of the session. `version` changes with everything that a viewer must hear
    of: output, size, end.
    """

    def __init__(self, transcript: Transcript, secrets: Iterable[str], size: tuple[int, int]):
        self.transcript = transcript
        self.cols, self.rows = size
        self.offset = 0
        self.version = 0
        self.last_s = time.monotonic()  # when something was printed
        self.exit_code: int | None = None
        self.ended = False
        self._secrets = SecretFilter(secrets)
        self._ring = bytearray()
        self._waiting: set[asyncio.Future[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._release: asyncio.TimerHandle | None = None  # of what is held back, since it may begin a secret

    async def wait(self) -> int:
        """The exit code, when all output was read; negative for a signal."""
        while not self.ended:
            await self.changed(self.version)
        assert self.exit_code is not None
        return self.exit_code

    async def changed(self, seen: int) -> int:
        """The version, as soon as it is another than `seen`."""
        while self.version == seen:
            waiter = self._loop.create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)
        return self.version

    def since(self, position: int, most: int = RING_BYTES) -> tuple[int, bytes]:
        """Up to `most` bytes of what came after `position`, and where they begin: later when that is lost already."""
        first = self.offset - len(self._ring)
        begins = min(max(position, first), self.offset)
        return begins, bytes(self._ring[begins - first : begins - first + most])

    def last_line(self) -> bytes:
        """What stands on the last line, without colours and blanks; "" when the line is finished."""
        return _last_line(bytes(self._ring[-4096:]))

    async def more(self, position: int) -> bool:
        """Waits for output after `position`; False when there will be none."""
        while self.offset <= position and not self.ended:
            await self.changed(self.version)
        return self.offset > position

    def feed(self, data: bytes) -> None:
        """More of it."""
        self.last_s = time.monotonic()
        self._keep(self._secrets.feed(data))
        if self._release is not None:
            self._release.cancel()
        self._release = self._loop.call_later(SECRET_HOLD_S, self.flush) if self._secrets.holds else None

    def flush(self) -> None:
        """Nothing more has come for a while."""
        self._keep(self._secrets.flush())

    def resized(self, cols: int, rows: int) -> None:
        """The terminal has another size now."""
        self.cols, self.rows = cols, rows
        self._tell()

    async def close(self, code: int) -> None:
        """All has come, and the agent has ended with `code`."""
        try:
            self._last()
            await self.transcript.close()
        finally:
            self.end(code)

    def end(self, code: int) -> None:
        """The same, at once."""
        self._last()
        self.exit_code, self.ended = code, True
        self._tell()

    def _last(self) -> None:
        if self._release is not None:
            self._release.cancel()
        self.flush()

    def _keep(self, data: bytes) -> None:
        if not data:
            return
        self._ring += data
        if len(self._ring) > RING_BYTES:
            del self._ring[: len(self._ring) - RING_BYTES]
        self.offset += len(data)
        self.transcript.append(data)
        self._tell()

    def _tell(self) -> None:
        self.version += 1
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)


class Pty:
    """An agent's terminal on this machine: what it prints goes to an Output, what is typed to the agent."""

    def __init__(self, spawned: Spawned, master: int, launch: Launch, output: Output):
        self.pid = spawned.child.pid
        process = _process(self.pid)
        self.pid_started = process.started if process else 0
        self.typed_s = -math.inf
        self.level = launch.level
        self.output = output
        self._spawned = spawned
        self._runs = (launch.env.get("TASK_RUN", ""),)
        self._gone = False  # nothing of it is left
        self._master = master
        self._input = bytearray()
        self._closed = asyncio.Event()  # no more output comes
        self._loop = asyncio.get_running_loop()
        self._last_read_s = self._loop.time()
        self._burst_since, self._burst = 0.0, 0
        self._timer: asyncio.TimerHandle | None = None  # of the pause
        self._loop.add_reader(master, self._read)

    def input(self, data: bytes) -> None:
        """Types `data`. Raises Busy when too much was not read yet, Conflict when nobody can read it any more."""
        self.typed_s = time.monotonic()
        if self.output.ended or self._closed.is_set():
            raise Conflict("the session has ended")
        if len(self._input) + len(data) > INPUT_BYTES:
            raise Busy("the program in this terminal does not read what was typed")
        waits = bool(self._input)
        self._input += data
        if not waits:
            self._type()

    def resize(self, cols: int, rows: int) -> None:
        """Another size; its programs are told by SIGWINCH."""
        self.output.resized(min(max(cols, 2), _SCREEN_COLS), min(max(rows, 1), _SCREEN_ROWS))
        self._set_size(self.output.cols)

    def nudge(self) -> None:
        """Lets a full-screen program paint its screen anew: for a moment it has a column less."""
        self._set_size(self.output.cols - 1)
        self._loop.call_later(0.1, lambda: self._set_size(self.output.cols))

    def asks(self) -> bool:
        """Whether it seems to wait for a person: a program reads the terminal, and its last line is not finished."""
        if self.output.ended or self._closed.is_set() or not (line := self.output.last_line()):
            return False
        reads = _reads_terminal(self._master)
        if reads:
            return True
        try:
            by_keys = not termios.tcgetattr(self._master)[3] & termios.ICANON  # it waits in poll() for single keys
        except (OSError, termios.error):
            return False
        quiet = self._loop.time() - self._last_read_s >= QUIET_S
        return (reads is None or by_keys) and quiet and line.endswith((b"?", b":", b">", b"]"))

    async def stop(self, grace_s: float = 4.0) -> list[int]:
        """Ends all that runs for this session; its pid when that could not be done.

        Who has the terminal is told by SIGTERM, and has half of `grace_s` to end by itself.
        """
        with contextlib.suppress(OSError, TimeoutError):
            if (group := os.tcgetpgrp(self._master)) > 1:
                for number in (signal.SIGTERM, signal.SIGCONT):
                    os.killpg(group, number)
                async with asyncio.timeout(min(grace_s / 2, 2.0)):
                    await self._spawned.child.wait()
        self._spawned.strike()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s + DRAIN_S + 0.5):
                await self.output.wait()
        if self.level == "none":  # what keeps another one from seeing to it may be long gone
            return await _sweep(self._runs, grace_s / 2) or ([] if self._gone else [self.pid])
        return [] if self._gone else [self.pid]

    async def watch(self) -> None:
        """Sees to the end: the program's, then its output's. Cancelled, it takes the program with it."""
        code = -signal.SIGKILL
        try:
            code = await self._spawned.child.wait()
            self._gone = await self._spawned.gone(ENDING_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    await self._closed.wait()
            self._close()
            await self.output.close(code)
        finally:
            self._spawned.strike()
            self._close()
            self.output.end(code)

    def _read(self) -> None:
        now = self._loop.time()
        if now - self._burst_since > FLOOD_PAUSE_S:
            self._burst_since, self._burst = now, 0
        came = []
        ended, size = False, 0
        while size < _READ_BYTES:
            try:
                data = os.read(self._master, _READ_BYTES)
            except BlockingIOError:
                break
            except OSError:  # EIO: nobody has the terminal open any more
                data = b""
            if not data:
                ended = True
                break
            came.append(data)
            size += len(data)
        if came:
            self._last_read_s = now
            self._burst += size
            self.output.feed(b"".join(came))
        if ended:
            self._loop.remove_reader(self._master)
            self._closed.set()
        elif self._burst >= FLOOD_BYTES or self._is_behind:
            self._loop.remove_reader(self._master)
            self._timer = self._loop.call_later(FLOOD_PAUSE_S, self._go_on)

    @property
    def _is_behind(self) -> bool:
        return self.output.transcript.waiting > TRANSCRIPT_WAITING_BYTES

    def _go_on(self) -> None:
        if self._is_behind:
            self._timer = self._loop.call_later(FLOOD_PAUSE_S, self._go_on)
        else:
            self._loop.add_reader(self._master, self._read)

    def _type(self) -> None:
        try:
            while self._input:
                del self._input[: os.write(self._master, self._input[:4096])]
        except BlockingIOError:
            self._loop.add_writer(self._master, self._type)
            return
        except OSError:  # nobody is there
            self._input.clear()
        self._loop.remove_writer(self._master)

    def _set_size(self, cols: int) -> None:
        if self._master >= 0:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetwinsize(self._master, (self.output.rows, cols))

    def _close(self) -> None:
        if self._master < 0:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._master)
        self._loop.remove_writer(self._master)
        os.close(self._master)
        self._master = -1
        self._closed.set()
        self._input.clear()


class Ended(msgspec.Struct, frozen=True):
    """A session that is over: its output, and how its agent ended."""

    transcript: Transcript
    exit_code: int | None


_ESCAPES = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")


def _last_line(output: bytes) -> bytes:
    """What stands on the last line of `output`, without colours and blanks; "" when the line is finished."""
    return re.split(rb"[\r\n]", _ESCAPES.sub(b"", output))[-1].strip()


def _reads_terminal(master: int) -> bool | None:
    """Whether a program in the terminal's foreground is blocked reading it; None when that cannot be seen."""
    try:
        group = os.tcgetpgrp(master)
    except OSError:
        return None
    seen = False
    for pid, process in _in_order(group):
        if process.group != group or process.state != "S":
            continue
        try:
            place = Path(f"/proc/{pid}/wchan").read_text("utf-8")
            call = Path(f"/proc/{pid}/syscall").read_text("utf-8").split()
        except OSError:
            continue
        if len(call) < 2:
            continue
        seen = True
        if place in ("n_tty_read", "wait_woken"):  # the second also waits for sockets
            with contextlib.suppress(OSError, ValueError):
                if os.readlink(f"/proc/{pid}/fd/{int(call[1], 16)}").startswith(_TERMINALS):
                    return True
    return False if seen else None


def _in_order(group: int) -> Iterator[tuple[int, _Process]]:
    """Every process, the one a group is named for first: mostly it is the one that is looked for."""
    if first := _process(group):
        yield group, first
    yield from _all_processes().items()


_TERMINALS = ("/dev/pts/", "/dev/tty", "/dev/console")


class _BothEnds:
    """The first quarter and the last of what is longer than `most` bytes."""

    def __init__(self, most: int):
        self._first, self._last = most // 4, most - most // 4
        self._head, self._tail = bytearray(), bytearray()
        self._size = 0

    def add(self, data: bytes) -> None:
        self._size += len(data)
        room = self._first - len(self._head)
        self._head += data[:room]
        self._tail += data[max(0, room) :]
        if len(self._tail) > self._last:
            del self._tail[: len(self._tail) - self._last]

    @property
    def kept(self) -> bytes:
        left_out = self._size - len(self._head) - len(self._tail)
        return bytes(self._head) + (left_out_note(left_out) if left_out else b"") + bytes(self._tail)


def left_out_note(size: int) -> bytes:
    """A line that stands for `size` bytes of output."""
    return f"\r\n[chomp: {size} bytes are left out here]\r\n".encode()


PLATFORM = sys.platform
_LINUX_ONLY = (
    f"tasks need Linux: on {PLATFORM} chomp cannot find all that an agent starts, so it could not end it; the gateway "
    "works here, for tasks run chomp in a Linux machine or a container"
)


class LocalRunner:
    """Runs agents on this machine: in a sandbox where bubblewrap works, else below a process that ends what they start.

    Raises Unavailable, with the remedy, for what cannot be started.
    """

    def __init__(self, background: Background, settings: Callable[[], Settings]):
        self.level: Level = "none"
        self.level_why = "not tried yet"
        self._background = background
        self._settings = settings
        self._private: tuple[Path, ...] = ()  # what only root may read of the system's settings

    async def probe(self) -> None:
        """Finds out what isolation works here, by trying it."""
        self.level = "none"
        if PLATFORM != "linux":
            self.level_why = _LINUX_ONLY
            return
        folder = self._settings().state.resolve()
        own = Launch((), folder, {"PATH": self._path})
        code, listed = await self._run(program("shut-in", "private"), own, PROBE_S, 1 << 20)
        self._private = tuple(map(Path, listed.decode(errors="surrogateescape").splitlines())) if code == 0 else ()
        if not (bwrap := self._which("bwrap")):
            self.level_why = "bubblewrap is not installed (no `bwrap` on PATH)"
            return
        # what every launch has, and one path of each kind
        tried = Launch(
            ("true",), folder, {"PATH": self._path}, "bubblewrap", writable=(folder,), hidden=(folder.parent,)
        )
        try:
            code, said = await self._run(self._shut_in(tried, bwrap, False), tried, PROBE_S, 4096)
        except OSError as error:
            code, said = None, (error.strerror or str(error)).encode()
        if code == 0:
            self.level, self.level_why = "bubblewrap", bwrap
        else:
            reason = sentence(said.decode(errors="replace")) or "it took too long"
            self.level_why = f"bubblewrap does not work here: {reason}"

    def argv(self, launch: Launch, terminal: bool = True) -> list[str]:
        """The whole command, sandbox included. Raises Unavailable when it needs one that does not work here."""
        if launch.level == "bubblewrap":
            if self.level != "bubblewrap":
                raise Unavailable(f"no sandbox: {self.level_why}", code="no_isolation", should_retry=False)
            return self._shut_in(launch, self.level_why, terminal)
        if not launch.network:
            raise Unavailable(
                f"the network cannot be taken away without a sandbox: {self.level_why}", code="no_isolation"
            )
        return self._shut_in(launch, "", terminal)

    async def start(self, launch: Launch, output: Output) -> Pty:
        """`launch` in a terminal of its own, running. Raises Unavailable or OSError."""
        self._check(launch)
        argv = self.argv(launch)
        cols, rows = output.cols, output.rows
        master, slave = os.openpty()
        try:
            termios.tcsetwinsize(slave, (rows, cols))  # before anything can ask for it
            os.set_blocking(master, False)
            spawned = await self._spawn(argv, launch, stdin=slave, stdout=slave, stderr=slave)
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        terminal = Pty(spawned, master, launch, output)
        self._background.start(f"terminal {terminal.pid}", terminal.watch())
        return terminal

    async def capture(
        self, launch: Launch, limit_s: float, most_bytes: int, secrets: Sequence[str] = ()
    ) -> tuple[int | None, bytes]:
        """The exit code and the output, errors included; None when the time was over. Raises Unavailable or OSError.

        Of an output above `most_bytes` the middle is left out. What was started is gone when this returns or raises.
        """
        self._check(launch)
        return await self._run(self.argv(launch, terminal=False), launch, limit_s, most_bytes, secrets)

    async def sweep(self, runs: Collection[str], grace_s: float = 2.0) -> list[int]:
        """Ends every process that has one of `runs` as TASK_RUN, and what descends from it; the pids that are left."""
        return await _sweep(runs, grace_s)

    async def _spawn(self, argv: Sequence[str], launch: Launch, **pipes: Any) -> Spawned:
        info, told = os.pipe() if launch.level == "bubblewrap" else (None, None)
        if told is not None:
            at = argv.index("--")
            argv = [*argv[:at], "--info", str(told), *argv[at:]]
        try:
            child = await asyncio.create_subprocess_exec(
                *argv, cwd=launch.cwd, env=launch.env, start_new_session=True, **pipes,
                pass_fds=() if told is None else (told,),
            )  # fmt: skip
        except BaseException:
            if info is not None:
                os.close(info)
            raise
        finally:
            if told is not None:
                os.close(told)
        return Spawned(child, launch, info)

    async def _run(
        self, argv: Sequence[str], launch: Launch, limit_s: float, most_bytes: int, secrets: Sequence[str] = ()
    ) -> tuple[int | None, bytes]:
        pipe, none = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        spawned = await self._spawn(argv, launch, stdin=none, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
        hider, kept = SecretFilter(secrets), _BothEnds(most_bytes)
        output, code = cast(asyncio.StreamReader, spawned.child.stdout), None
        try:
            async with asyncio.timeout(limit_s):
                while data := await output.read(65536):
                    kept.add(hider.feed(data))
                code = await spawned.child.wait()
        except TimeoutError:
            pass
        finally:
            spawned.strike()  # where time is over, or whoever waited was cancelled
            await spawned.gone(ENDING_S)
        if code is None:  # what was written before the end came
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    while data := await output.read(65536):
                        kept.add(hider.feed(data))
        kept.add(hider.flush())
        return code, kept.kept

    def hidden(self) -> tuple[Path, ...]:
        """What no sandbox shows, but for what a launch says: the owner's home, chomp's state and its settings."""
        settings = self._settings()
        places = (settings.environ.get("HOME", ""), settings.state, settings.environ.get("CHOMP_CONFIG", ""))
        named = (Path(one) for one in places if one and Path(one) != Path("/"))
        return (*named, settings.dir / "chomp.toml", *self._private)

    def sandboxed(self, argv: tuple[str, ...], cwd: Path, env: dict[str, str], writable: tuple[Path, ...]) -> Launch:
        """A process shut in as well as it can be here."""
        return Launch(argv, cwd, env, self.level, writable, (), self.hidden())

    @property
    def _path(self) -> str:
        return self._settings().environ.get("PATH") or os.defpath

    def _which(self, program: str) -> str:
        return shutil.which(program, path=self._path) or ""

    def _check(self, launch: Launch) -> None:
        if PLATFORM != "linux":
            raise Unavailable(_LINUX_ONLY, code="no_linux", should_retry=False)
        program = launch.argv[0]
        if not launch.cwd.is_dir():
            raise Unavailable(f"the folder {launch.cwd} is not there", code="no_folder", should_retry=False)
        search = launch.env.get("PATH") or os.defpath
        if not shutil.which(launch.cwd / program if "/" in program else program, path=search):
            raise Unavailable(
                f"{program} cannot be run: install it, or put it on PATH", code="no_program", should_retry=False
            )
        for path in launch.writable:
            if not path.exists():
                raise Unavailable(f"the folder {path} is not there", code="no_folder", should_retry=False)
            if launch.level != "none" and (where := os.path.realpath(path)) != str(path):
                words = f"{path} leads to {where}: there is a link on the way"
                raise Unavailable(words, code="moved", should_retry=False)

    def _shut_in(self, launch: Launch, bwrap: str, terminal: bool) -> list[str]:
        """The command of bin/shut-in; without `bwrap` there is no sandbox."""
        words = ["--bwrap", bwrap] if bwrap else ["--parent", str(os.getpid())]
        lists = {"--write": launch.writable, "--read": launch.readable, "--hide": launch.hidden if bwrap else ()}
        for option, paths in lists.items():
            words += itertools.chain.from_iterable((option, str(path)) for path in paths)
        flags = {"--offline": not launch.network, "--as-root": launch.as_root, "--terminal": terminal}
        words += [option for option, wanted in flags.items() if wanted]
        return [*program("shut-in", *words), "--", *launch.argv]


class Folder(msgspec.Struct, frozen=True):
    """Where a task's agent works.

    A `clone` is the task's own copy of a repository, `in_place` is a repository itself, `plain` a folder that is in
    none, `empty` a new one.
    """

    path: Path  # its working directory
    root: Path  # top of the repository, or `path`
    kind: Literal["clone", "in_place", "plain", "empty"]
    source: Path | None = None  # the repository that commits go back to
    base: str = ""  # the commit it started from; "" when there was none
    branch: str = ""  # what it works on there
    left_out: str = ""  # of the source, in words
    writable: tuple[Path, ...] = ()  # what the agent must be able to change
    readable: tuple[Path, ...] = ()  # and to read beside that: what a clone borrows its objects from
    env: dict[str, str] = {}  # for the agent's processes: who commits, where no configuration of its own can say it

    @property
    def git(self) -> bool:
        return self.kind in ("clone", "in_place")


class Leftover(msgspec.Struct, frozen=True):
    """The folder of a task that is over."""

    task: str
    bytes: int  # on disk: what is got back
    unsaved: str  # what would be lost with it, in words


class Saved(msgspec.Struct, frozen=True):
    """What a session left in its folder, and where its commits are now."""

    head: str = ""
    commits: int = 0  # since the base
    branch: str = ""  # of the source, where they are now; "" = nowhere but in the folder
    dirty: tuple[str, ...] = ()  # files that are changed or new and not committed, the first of them
    dirty_count: int = 0
    stat: str = ""  # git diff --stat of the commits
    note: str = ""  # what a person should know
    locks: tuple[str, ...] = ()  # of git, that were there when the session ended
    log: tuple[str, ...] = ()  # the last commits, a line each
    readable: bool = True  # else `note` says why not


DIFF_CUT = "… cut here: the diff is longer"  # last line of a diff that was cut

_GIT_S = 60.0  # one git command on files that are here
_GIT_BYTES = 4 << 20  # read of what one says
_SUBMODULES = 200
_LOCK_S = 0.3  # a lock of git that is older was left
_UNKNOWN_S = 3600.0  # folders of tasks that nobody knows are kept for so long after their last change
_GIT = ("git", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "maintenance.auto=false")
_SYSTEM = tuple(
    Path(name)
    for name in (
        "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys",
        "/usr", "/var/cache", "/var/lib", "/var/log", "/var/run", "/var/spool",
        "/System", "/Library", "/private/etc", "/private/var/db",
    )
)  # fmt: skip
_OWNERS = ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
_PASSED_ON = (  # of chomp's environment to the owner's git, never to an agent's
    "PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "GIT_SSH", "GIT_SSH_COMMAND",
    "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_SSL_CAINFO", "SSL_CERT_FILE",
    "http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip


class _State(msgspec.Struct):
    head: str
    branch: str
    identity: dict[str, str]


class _Owners(msgspec.Struct):
    files: tuple[str, ...]
    ignore: str


class _Made(msgspec.Struct):
    base: str
    saved: str  # of the task's branch, where it goes on from an earlier clone
    left_out: str


class _Span(msgspec.Struct):
    """Commits since the base, as git has them in one place."""

    head: str
    commits: int
    stat: str
    descends: bool
    log: tuple[str, ...]


class _Work(_Span):
    on: str  # the branch that is checked out
    note: str
    dirty: tuple[str, ...]
    dirty_count: int
    inner: tuple[str, ...] = ()  # submodules with commits of their own


class _Given(msgspec.Struct):
    branch: str = ""
    note: str = ""
    head: str = ""
    lacks: bool = False


class _File(msgspec.Struct):
    data: bytes | None = None
    executable: bool = False


class _Diff(msgspec.Struct):
    diff: str


class _Lost(msgspec.Struct):
    lost: str = ""
    tips: tuple[str, ...] = ()
    lacks: bool = False


def _is_foreign(found: _Repository) -> bool:
    """Whether a repository belongs to somebody else."""
    return any(path.lstat().st_uid != os.geteuid() for path in (found.top, found.git))


def _known(paths: Iterable[Path]) -> list[tuple[Path, int, int]]:
    """Device and number of folders: nothing else may have come in their place when they are mounted.

    Raises Unavailable when it has.
    """
    known = []
    for path in paths:
        if path.is_dir():
            found = path.lstat()
            if os.path.realpath(path) != str(path):
                raise Unavailable(f"{path} leads to another folder now", code="moved", should_retry=False)
            known.append((path, found.st_dev, found.st_ino))
    return known


def _why(code: int | None, output: bytes) -> str:
    """Why a command has failed, for people."""
    if code is None:
        return "it took too long"
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return " ".join(fatal[:4] or lines[-1:])[:600] or f"it ended with {code}"


class _Repository(msgspec.Struct, frozen=True):
    """A repository a folder is in."""

    top: Path  # of its files, or the repository when it is bare
    git: Path  # where its HEAD and index are: `common`, but for a further worktree
    common: Path  # where its objects and branches are
    inside: str  # the folder's path below `top`; "" for the top
    bare: bool

    @property
    def shown(self) -> tuple[Path, ...]:
        """All that reading it needs."""
        return (self.top, *(path for path in {self.git, self.common} if not path.is_relative_to(self.top)))


class _Kept(msgspec.Struct, frozen=True):
    """What is remembered of a folder, beside it: it must be found again after a restart."""

    folder: Folder
    ready: bool = False  # it was made completely
    set_up: bool = False  # its setup script ran well
    saved: dict[str, str] = {}  # the commit we put on each branch of the source


class Folders:
    """The folders tasks work in: made, found again, their commits brought back, cleaned up.

    What an agent could have written configures git: the clone it worked in, and the repository or folder it worked in
    itself, which later tasks are given as well. So git is run by bin/folder, in the sandbox, without a network, and
    with nothing to write to but what the step needs. Outside it runs for one thing: to clone from a URL, into a store
    of chomp's own. What comes out of a clone is a bundle, a single file that configures nothing.
    """

    def __init__(
        self,
        work: Path,
        settings: Callable[[], Settings],
        run: Callable[[Launch, float, int], Awaitable[tuple[int | None, bytes]]],
        sandboxed: Callable[[tuple[str, ...], Path, dict[str, str], tuple[Path, ...]], Launch],
        now: Callable[[], float] = time.time,
    ):
        self._work = work.resolve()
        self._settings = settings
        self._run = run
        self._sandboxed = sandboxed  # argv, working directory, environment, what it may write
        self._now = now
        self._opened: collections.Counter[str] = collections.Counter()  # how often a task's folder was asked for

    def judged(self, task: Task) -> Path:
        """The folder with what judges a task: it stays when the task's folder is cleaned up, for the task may go on."""
        return self._work / ".gates" / f"task-{task.id}"

    def place(self, task: Task) -> Path:
        """The folder of a task's own files: its clone, its prompts, its sessions' homes."""
        return self._work / f"task-{task.id}"

    # -- made, and found again

    async def prepare(self, task: Task, platform: Platform, model: str = "") -> Folder:
        """The folder for a task's next session: the same as before where there is one, nothing in it touched.

        Raises BadRequest or Unavailable with what can be done about it.
        """
        self._opened[task.id] += 1
        place = self.place(task)
        kept = self._kept(place)
        if kept is not None and kept.ready and kept.folder.root.is_dir():
            folder = self._again(kept.folder)
            await self._unlock(task, folder)
        else:
            try:
                await self._unmake(place)
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
                try:
                    folder, saved = await self._make(task, place)
                except ChompError:
                    await self._unmake(place)
                    raise
            except OSError as error:
                raise Unavailable(f"the folder of task {task.id} cannot be made: {error}", should_retry=False) from None
            self._keep(place, _Kept(folder, ready=True, saved=saved))
        if folder.kind != "clone":
            return folder
        signed = {"chomp.agent": platform.name, "chomp.model": model or task.model or "auto"}  # by the clone's hook
        words = {name: re.sub(r"[\0-\x1f\x7f]+", " ", text).strip() for name, text in signed.items()}
        return msgspec.structs.replace(folder, env=_configuring(words))

    async def _unlock(self, task: Task, folder: Folder) -> tuple[str, ...]:
        """Removes locks that a git of this task's sessions has left, which was killed; those of others stay.

        The names of all there were. Nothing of the task may run.
        """
        if not folder.git or not task.sessions:
            return ()
        spans = [(unix_s(one.started_at), unix_s(one.ended_at or iso(self._now() + 1))) for one in task.sessions]
        refs: Path | None = None  # of a clone all are the task's
        tops: tuple[Path, ...] = (folder.root,)
        places = [folder.root / ".git"]
        if folder.kind == "clone":
            refs = places[0] / "refs"
        elif (found := _locate(folder.root)) is not None:
            tops = _worktrees(found)
            places = [found.git, *((found.common / "refs" / "heads" / folder.branch).parent,) * bool(folder.branch)]
        locks = await asyncio.to_thread(_locks, places, refs, folder.branch, spans)
        if locks and not await asyncio.to_thread(_git_works, tops):
            await asyncio.sleep(_LOCK_S)  # one that is in use for a moment goes by itself
            again = await asyncio.to_thread(_locks, places, refs, folder.branch, spans)
            stale = {path: number for path, number in locks.items() if again.get(path) == number}
            if not await asyncio.to_thread(_git_works, tops):
                for path in stale:
                    path.unlink(missing_ok=True)
        return tuple(path.name for path in locks)

    async def _unmake(self, place: Path) -> None:
        """Deletes what was begun and not finished: no agent has been in it."""
        kept = self._kept(place)
        if kept is not None and not kept.ready:
            await asyncio.to_thread(_delete, kept.folder.root)
        await asyncio.to_thread(_delete, _store_of(place))

    async def _make(self, task: Task, place: Path) -> tuple[Folder, dict[str, str]]:
        if task.repo_url:
            return await self._from_url(task, place), {}
        if not task.dir:
            files = place / "files"
            files.mkdir(mode=0o700, exist_ok=True)
            return Folder(files, files, "empty", writable=(files,)), {}
        path, found = self._found(task.dir, task.in_place)
        if found is None:
            return Folder(path, path, "plain", writable=(path,)), {}
        if task.in_place:
            return await self._in_place(path, found), {}
        return await self._clone(task, path, found, place)

    def check(self, folder: str, in_place: bool) -> str:
        """What a task would work in: "clone", "in_place" or "plain". Raises BadRequest where it must not."""
        _, found = self._found(folder, in_place)
        return "plain" if found is None else "in_place" if in_place else "clone"

    def _found(self, text: str, in_place: bool) -> tuple[Path, _Repository | None]:
        """The folder of a task's `dir`, and the repository it is in. Raises BadRequest where tasks may not work."""
        path = self._directory(text)
        self._allow(path)
        found = _locate(path)
        if found is None:
            self._allow(path, changes=True)
        for needed in set() if found is None else {found.top, found.common}:
            self._allow(needed, changes=in_place, of=path)
        return path, found

    def _again(self, folder: Folder) -> Folder:
        """A folder that is there: still itself, still allowed, and where the agent was. Raises BadRequest."""
        if folder.kind in ("plain", "in_place"):
            for path in folder.writable:
                if path.resolve() != path or not path.is_dir():
                    raise BadRequest(f"{path} is not the folder any more that this task was given", param="dir")
                self._allow(path, changes=True)
        if folder.kind == "in_place":
            found = _locate(folder.root)
            known = (*folder.writable, folder.root / ".git")
            if found is None or found.top != folder.root or found.common not in known:
                raise BadRequest(f"{folder.root} has another repository than when this task began", param="dir")
            folder = msgspec.structs.replace(folder, writable=_writable(found), readable=_protected(found))
        if folder.path != folder.root and not folder.path.resolve().is_relative_to(folder.root.resolve()):
            return msgspec.structs.replace(folder, path=folder.root)  # the agent made a link out of its subfolder
        if not folder.path.is_dir():
            return msgspec.structs.replace(folder, path=folder.root)
        return folder

    def _directory(self, text: str) -> Path:
        """The real path of a task's `dir`. Raises BadRequest."""
        home = self._settings().environ.get("HOME", "/")
        if re.search(r"[\0-\x1f\x7f]", text):
            raise BadRequest("dir has control characters in it", param="dir")
        path = Path(home, text.removeprefix("~").lstrip("/")) if re.match(r"~(/|$)", text) else Path(text)
        if not path.is_absolute():
            raise BadRequest(f"dir must be an absolute path, not {text!r}", param="dir")
        path = Path(os.path.normpath(path))
        roots = (Path(home, re.sub("^~/*", "", root)) for root in self._settings().tasks.roots)
        if link := _link_on_the_way(path, (Path(home), *roots)):
            where = os.path.realpath(path)
            raise BadRequest(f"{link} is a link, {path} leads to {where}: give that path", param="dir")
        try:
            path = path.resolve(strict=True)
            if not path.is_dir():
                raise BadRequest(f"{path} is not a folder: give the folder the task is to work in", param="dir")
            os.scandir(path).close()
        except (OSError, RuntimeError) as error:  # RuntimeError: links that lead to each other
            words = getattr(error, "strerror", None) or str(error)
            raise BadRequest(f"{text} cannot be used: {words}; make it, or give another folder", param="dir") from None
        return path

    def _allow(self, path: Path, *, changes: bool = False, of: Path | None = None) -> None:
        """Raises BadRequest where tasks may not work: `changes` in the folder itself, or only on a copy of it."""
        settings = self._settings()
        home = Path(settings.environ.get("HOME", "/")).resolve()
        state = self._work.parent.resolve()
        what = f"{path}, the repository of {of}," if of is not None and of != path else str(path)
        if path.is_relative_to(state):
            raise BadRequest(f"{what} is inside chomp's own state folder: give another folder", param="dir")
        if changes and state.is_relative_to(path):
            raise BadRequest(
                f"{what} has chomp's own state folder in it, which an agent must not change: give a folder below it, "
                "or a repository without in_place",
                param="dir",
            )
        if settings.tasks.roots:
            roots = [home / re.sub("^~/*", "", root) for root in settings.tasks.roots]
            if not any(path.is_relative_to(root.resolve()) for root in roots):
                listed = ", ".join(map(str, roots))
                raise BadRequest(
                    f"{what} is outside the folders tasks may work in ({listed}): give one of them, or add it to "
                    "tasks.roots",
                    param="dir",
                )
            return
        if path == Path(path.anchor) or any(path.is_relative_to(system) for system in _SYSTEM):
            raise BadRequest(
                f"{what} belongs to the system: give another folder, or name those tasks may work in as tasks.roots",
                param="dir",
            )
        if changes and home.is_relative_to(path):
            raise BadRequest(
                f"{what} has all of your files in it: give a folder below it, or name it in tasks.roots", param="dir"
            )

    async def _source(self, folder: Folder) -> _Repository:
        """The repository a clone was made of, as it is now. Raises Unavailable or BadRequest."""
        assert folder.source is not None
        found = _locate(folder.source) if folder.source.is_dir() else None
        if found is None or found.top != folder.source:
            raise Unavailable(f"{folder.source} is not there any more")
        return found

    async def _in_place(self, path: Path, found: _Repository) -> Folder:
        if found.bare:
            raise BadRequest(
                f"{path} is a bare repository, which is always cloned: leave in_place out", param="in_place"
            )
        state = await self._git("state", _State, found.shown, source=found, owner=True)
        # the agent has no keys, and cannot change the repository's configuration
        own = {**state.identity, "commit.gpgSign": "false", "branch.autoSetupMerge": "false"}
        return Folder(
            path, found.top, "in_place", base=_oid(state.head), branch=state.branch, writable=_writable(found),
            readable=_protected(found), env=_configuring(own),
        )  # fmt: skip

    async def _clone(self, task: Task, path: Path, found: _Repository, place: Path) -> tuple[Folder, dict[str, str]]:
        """A task's own copy of a repository.

        The objects are hard links to the source's in a store of their own, and the clone borrows from that. So a clone
        costs next to nothing, lives on when the source is pruned, and the agent gets nothing to write that is the
        source's as well: an object that is changed through one link would be changed in both.
        """
        before = next((session.base for session in task.sessions if session.base), "")
        name = found.common.name.removesuffix(".git") if found.bare else found.top.name
        return await self._copied(place, name, task, found, {"base": before, "branch": task.branch})

    async def _copied(
        self, place: Path, name: str, task: Task, found: _Repository, before: dict[str, str], url: str = ""
    ) -> tuple[Folder, dict[str, str]]:
        """A clone, and the branches of its source that are a task's: an earlier clone of it was cleaned up."""
        root, store, branch = _root(place, name), _store_of(place), _branch(task)
        source = None if url else found.top
        folder = Folder(root / found.inside, root, "clone", source, "", branch, writable=(root,), readable=(store,))
        self._keep(place, _Kept(folder))
        await asyncio.to_thread(_link, found, store)
        root.mkdir()
        made = await self._git(
            "make", _Made, found.shown, (store, root), self._settings().tasks.setup_timeout_s,
            source=found, owner=True, store=store, root=root, branch=branch, url=url,
            before=before if all(before.values()) else {}, ignore="",
        )  # fmt: skip
        saved = {before["branch"]: oid} if (oid := _oid(made.saved)) else {}
        return msgspec.structs.replace(folder, base=_oid(made.base), left_out=made.left_out), saved

    async def _from_url(self, task: Task, place: Path) -> Folder:
        url = self._url(task.repo_url)
        if task.in_place:
            raise BadRequest("a repository of another place is always cloned: leave in_place out", param="in_place")
        inside = Path(task.dir)
        if inside.is_absolute() or ".." in inside.parts or re.search(r"[\0-\x1f\x7f]", task.dir):
            raise BadRequest("with repo_url, dir is a folder of that repository, such as src", param="dir")
        name = re.split(r"[/:]", url.rstrip("/"))[-1].removesuffix(".git")
        if url.startswith("/"):
            found = _locate(Path(url))
            if found is None or found.inside:
                raise BadRequest(f"{url} is not a repository: give the path of one", param="repo_url")
            self._allow(found.common, of=found.top)  # a .git file may lead anywhere
        else:
            store = _store_of(place)
            words = ("clone", "--bare", "--no-local", "--template=", "--quiet", "--", url, str(store))
            launch = Launch((*_GIT, *words), place, self._env())
            code, output = await self._ran(launch, self._settings().tasks.setup_timeout_s)
            if code != 0:
                raise BadRequest(f"{url} could not be cloned: {_why(code, output)}", param="repo_url")
            found = _Repository(store, store, store, "", True)
        inner = msgspec.structs.replace(found, inside=str(inside).removeprefix("."))
        return (await self._copied(place, name, task, inner, {}, url))[0]

    def _url(self, text: str) -> str:
        """A repository's address that git may be given. Raises BadRequest."""
        said = "repo_url must be https://…, ssh://…, git@host:path or the path of a repository"
        if text.startswith("-") or re.search(r"[\0-\x20\x7f]|^[\w+.-]*::", text):
            raise BadRequest(said, param="repo_url")
        if "://" in text:
            try:
                url = urllib.parse.urlsplit(text)
                host, password = url.hostname or "", url.password
            except ValueError:
                raise BadRequest(said, param="repo_url") from None
            near = url.scheme == "http" and host in ("127.0.0.1", "localhost", "::1")
            if url.scheme in ("https", "ssh") or near:
                if password:
                    raise BadRequest(
                        "repo_url has a password in it, which every agent could read: leave it out and let git's "
                        "credential helper have it",
                        param="repo_url",
                    )
                if not host or host.startswith("-"):
                    raise BadRequest(said, param="repo_url")
                return text
            if url.scheme != "file" or host:
                raise BadRequest(said, param="repo_url")
            text = urllib.parse.unquote(url.path)
        elif re.fullmatch(r"(?!-)[\w.-]+@(?!-)[\w.-]+:[^-:].*", text):
            return text
        if not text.startswith(("/", "~/")):
            raise BadRequest(said, param="repo_url")
        path = self._directory(text)
        self._allow(path)
        return str(path)

    async def setup(
        self, task: Task, folder: Folder, env: dict[str, str], tools: Sequence[Path] = ()
    ) -> tuple[int | None, bytes] | None:
        """Runs a new clone's setup script, until it has run well once: its exit code (None: time limit) and output.

        None when there is nothing to run. Raises BadRequest when the task names a script that is not there.
        """
        kept = self._kept(self.place(task))
        if folder.kind != "clone" or kept is None or kept.set_up:
            return None
        settings = self._settings().tasks
        script = _script(folder, task.setup or settings.setup)
        if script is None:
            if task.setup:
                raise BadRequest(f"the setup script {task.setup} is not in {folder.root}: commit it", param="setup")
            return None
        argv = (str(script),) if os.access(script, os.X_OK) else ("/bin/sh", str(script))
        home = Path(env.get("HOME", "/"))
        own = (home,) if home.is_relative_to(self.place(task)) else ()
        launch = self._launch(argv, folder, env, (*folder.writable, *own))
        launch = msgspec.structs.replace(launch, readable=(*launch.readable, *tools))
        code, output = await self._run(launch, settings.setup_timeout_s, 256 << 10)
        if code == 0:
            self._keep(self.place(task), msgspec.structs.replace(kept, set_up=True))
        return code, output

    # -- what is in it

    async def save(self, task: Task, folder: Folder) -> Saved:
        """Brings a session's commits back to the source, however it ended. What could not be done is in `note`."""
        if not folder.git:
            return Saved()
        seen = Saved(readable=False)
        try:
            note = _unplanted(folder.root / ".git") if folder.kind == "in_place" else ""
            locks = await self._unlock(task, folder)
            with self._scratch(task) as scratch:
                work = await self._work_in(folder, scratch if folder.kind == "clone" else None)
                seen = self._saved(folder, work)
                seen = msgspec.structs.replace(seen, locks=locks, note=_sentences(seen.note, note))
                if folder.kind == "clone" and work.commits:
                    seen = await self._bring_back(task, folder, work, seen, scratch)
        except (ChompError, OSError) as error:
            note = f"the commits are in {folder.root} only: {error}"
            return msgspec.structs.replace(seen, branch="", note=_sentences(seen.note, note))
        return seen

    async def _work_in(self, folder: Folder, scratch: Path | None = None, *, whole: bool = False) -> _Work:
        """What is in a repository now; its commits as a bundle, where there is a folder for it. Raises Unavailable."""
        found = self._repository(folder)
        bundle = scratch / "bundle" if scratch is not None else None
        work = await self._git(
            "save", _Work, self._shown(folder, found), () if scratch is None else (scratch,), 3 * _GIT_S, repo=found,
            base=folder.base, branch=folder.branch, in_place=folder.kind == "in_place", whole=whole,
            bundle=bundle or "", store=_store_of(folder.root.parent) if bundle is not None else "",
        )  # fmt: skip
        # the sandbox wrote it: a link, or a file that leads git to a repository, would be read by the next one
        if work.commits and bundle is not None and not _is_bundle(bundle):
            raise Unavailable("git made no bundle")
        return work

    def _saved(self, folder: Folder, work: _Work) -> Saved:
        note, branch = work.note, work.on if folder.kind == "in_place" else folder.branch
        if not work.descends:
            note = _sentences(note, f"{branch or 'HEAD'} no longer descends from {folder.base[:12]}")
        if not work.commits and folder.kind == "clone":
            note = _sentences(note, "no commits were made")
        here = branch if folder.kind == "in_place" else ""
        return Saved(_oid(work.head), work.commits, here, work.dirty, work.dirty_count, work.stat, note, log=work.log)

    async def _bring_back(self, task: Task, folder: Folder, work: _Work, seen: Saved, scratch: Path) -> Saved:
        """Has a session's commits in the task's store, and on a branch of its source.

        Raises Unavailable or BadRequest.
        """
        store, bundle = _store_of(self.place(task)), scratch / "bundle"
        if store.is_dir():
            taken = await self._git("take", _Span, (bundle,), (store,), store=store, bundle=bundle, base=folder.base)
            seen = msgspec.structs.replace(seen, head=_oid(taken.head), commits=taken.commits, stat=taken.stat)
        if folder.source is None:
            note = f"the commits are in {folder.root}, and in its origin if the agent could push"
            return msgspec.structs.replace(seen, note=_sentences(seen.note, note))
        source = await self._source(folder)
        kept = self._kept(self.place(task)) or _Kept(folder)
        for whole in (False, True):
            if whole:  # the source has rewritten its history: the commits are needed from the beginning
                await self._work_in(folder, scratch, whole=True)
            given = await self._git(
                "give", _Given, (*source.shown, bundle), _refs_of(source), source=source, owner=True, bundle=bundle,
                head=seen.head, branch=_branch(task), saved=kept.saved, task=task.id,
            )  # fmt: skip
            if not given.lacks:
                break
        else:
            raise Unavailable(f"{source.top} has not what they build on")
        if given.head:
            self._remember(task, given.branch, _oid(given.head))
        inner = f"its submodules ({', '.join(work.inner)}) have commits that nothing else has" if work.inner else ""
        return msgspec.structs.replace(seen, branch=given.branch, note=_sentences(seen.note, given.note, inner))

    def _remember(self, task: Task, branch: str, oid: str) -> None:
        kept = self._kept(self.place(task))
        if kept is not None and kept.saved.get(branch) != oid:
            saved = {**kept.saved, branch: oid}
            self._keep(self.place(task), msgspec.structs.replace(kept, saved=saved))

    async def original(self, task: Task, folder: Folder, name: str) -> tuple[bytes, bool] | None:
        """A file of a clone as it was when the task began, and whether it can be run; None when there was none."""
        path, store = _below(folder, name), _store_of(self.place(task))
        if not folder.base or not path or not store.is_dir():
            return None
        file = await self._git("original", _File, (store,), store=store, base=folder.base, path=path)
        return None if file.data is None else (file.data, file.executable)

    async def diff(self, task: Task, most_bytes: int) -> str:
        """What a task changed since its base, as unified diff: commits, and what is not committed while it is there.

        Cut at a line where it is longer than `most_bytes`; DIFF_CUT follows then. Raises Unavailable.
        """
        kept = self._kept(self.place(task))
        most = most_bytes + 1
        if kept is not None and kept.ready and kept.folder.git and kept.folder.root.is_dir():
            found = self._repository(kept.folder)
            shown = self._shown(kept.folder, found)
            answer = await self._git(
                "diff", _Diff, shown, most_bytes=8 * most, repo=found, base=kept.folder.base, most=most,
                in_place=kept.folder.kind == "in_place",
            )  # fmt: skip
            return _cut(answer.diff, most_bytes)
        if kept is not None and not kept.folder.git:
            return ""
        base = next((session.base for session in task.sessions if session.base), "")
        head = next((session.head for session in reversed(task.sessions) if session.head), "")
        if not (base and head and task.dir) or task.repo_url:
            return ""
        path = self._directory(task.dir)
        self._allow(path)
        if (source := _locate(path)) is None:
            return ""
        answer = await self._git(
            "compare",
            _Diff,
            source.shown,
            most_bytes=8 * most,
            source=source,
            owner=True,
            base=base,
            head=head,
            most=most,
        )
        return _cut(answer.diff, most_bytes)

    # -- cleaned up

    async def leftovers(self, tasks: Callable[[], Mapping[str, Task]]) -> list[Leftover]:
        """The folders of tasks that have ended or that nobody knows: what goes in the end, and what does not."""
        found = []
        for task_id, size in sorted((await asyncio.to_thread(_sizes, self._work)).items()):
            if task_id.isdecimal() and self._is_over(tasks().get(task_id)):
                found.append(Leftover(task_id, size, await self._lost_with(self._work / f"task-{task_id}")))
        return found

    async def free(self, task_id: str, tasks: Callable[[], Mapping[str, Task]], *, unsaved: bool) -> str:
        """Deletes the folder of a task that is over, with work that is nowhere else where that is `unsaved`.

        Why it was not done, in words; "" when it was.
        """
        place = self._work / f"task-{task_id}"
        if place.is_symlink() or not place.is_dir():
            return "it has no folder"
        if not self._is_over(tasks().get(task_id)):
            return "it has not ended"
        reason = await self._delete_when(place, lambda: self._is_over(tasks().get(task_id)), unsaved=unsaved)
        return reason or ("it is being worked in again" if place.exists() else "")

    @staticmethod
    def _is_over(task: Task | None) -> bool:
        return task is None or bool(task.deleted and task.status != "active") or over(task)

    async def clean(self, tasks: Callable[[], Mapping[str, Task]], now: float) -> list[str]:
        """Deletes the folders of tasks that ended long ago; those it must not delete, in words.

        `tasks` gives them as they are at any moment: one may start meanwhile. What is not committed, and commits that
        the source does not have, are kept for as long as it takes.
        """
        said = []
        for gone in self._work.glob(".gone-*"):  # of a clean-up that was cut off
            with contextlib.suppress(OSError):
                await asyncio.to_thread(_delete, gone)
        for place in self._work.glob(".gates/task-*"):
            task = tasks().get(place.name.removeprefix("task-"))
            if task is None and now - place.lstat().st_mtime > _UNKNOWN_S:
                await asyncio.to_thread(_delete, place)
        for place in sorted(self._work.glob("task-*")):
            task_id = place.name.removeprefix("task-")
            if place.is_symlink() or not self._is_due(place, tasks().get(task_id), now):
                continue
            if reason := await self._delete_when(place, lambda: self._is_due(place, tasks().get(task_id), now)):  # noqa: B023
                said.append(f"{place} is kept: {reason}")
                task = tasks().get(task_id)
                for home in place.glob("home-*") if task is None or task.deleted else ():  # nobody goes on there
                    with contextlib.suppress(OSError):
                        await asyncio.to_thread(_delete, home)
        return said

    async def _delete_when(self, place: Path, may: Callable[[], bool], *, unsaved: bool = False) -> str:
        """Deletes the folder of a task, if `may` still says so when it has been looked at.

        Why it cannot be, in words: nothing that is nowhere else goes but where it is `unsaved`.
        """
        task_id = place.name.removeprefix("task-")
        opened = self._opened[task_id]
        if not unsaved and (reason := await self._lost_with(place)):
            return reason
        if self._opened[task_id] == opened and may():  # nobody began to work in it meanwhile
            gone = self._work / f".gone-{secrets.token_hex(8)}"
            try:
                os.rename(place, gone)
                await asyncio.to_thread(_delete, gone)
            except OSError as error:
                return f"it cannot be deleted: {error.strerror}"
        return ""

    async def _lost_with(self, place: Path) -> str:
        """What would be lost with the folder of a task, in words; "" when nothing."""
        try:
            kept = self._kept(place)
            return await self._unsaved(kept.folder) if kept is not None and kept.ready else ""
        except (ChompError, OSError) as error:
            return str(error)

    def _is_due(self, place: Path, task: Task | None, now: float) -> bool:
        settings = self._settings().tasks
        if task is None:
            times = [path.lstat().st_mtime for path in (place, place / _RECORD) if path.exists()]
            return bool(times) and now - max(times) > _UNKNOWN_S
        if task.deleted:
            return task.status != "active" and now - unix_s(task.deleted) > DELETED_S
        if task.status not in ("done", "failed") or not task.finished:
            return False
        kept_s = settings.kept_done_s if task.status == "done" else settings.kept_failed_s
        return now - unix_s(task.finished) > kept_s

    async def _unsaved(self, folder: Folder) -> str:
        """What would be lost with a folder, in words; "" when nothing."""
        if folder.kind in ("plain", "in_place") or not folder.root.is_dir():
            return ""
        if folder.kind == "empty":
            return "it has files in it" if any(folder.root.iterdir()) else ""
        found, store = self._repository(folder), _store_of(folder.root.parent)
        remote = folder.source is None
        lost = await self._git(
            "unsaved", _Lost, self._shown(folder, found), root=folder.root, store=store, remote=remote
        )
        if lost.lost or folder.source is None or not lost.tips:
            return lost.lost
        if folder.source.is_dir():
            source = await self._source(folder)
            if not (await self._git("lacks", _Lost, source.shown, source=source, owner=True, tips=lost.tips)).lacks:
                return ""
        return f"it has commits that {folder.source} does not have"

    # -- how git is run

    def _env(self) -> dict[str, str]:
        environ = self._settings().environ
        # what git may fetch from, whatever is configured: no ext::, which is any command
        fixed = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": "file:http:https:ssh"}
        return {**{name: environ[name] for name in _PASSED_ON if name in environ}, **fixed}

    async def _git(
        self,
        command: str,
        kind: type[T],
        shown: tuple[Path, ...] = (),
        writable: tuple[Path, ...] = (),
        limit_s: float = _GIT_S,
        *,
        most_bytes: int = _GIT_BYTES,
        **fields: Any,
    ) -> T:
        """The answer of bin/folder, run in the sandbox: it sees and writes to what is named, and has no network.

        `owner`: it may read the owner's own configuration of git, where it has to. Raises BadRequest or Unavailable
        with what it says.
        """
        source = cast(_Repository, fields.get("source"))
        if "owner" in fields and (command in ("make", "state") or _is_foreign(source)):  # who commits; who is trusted
            env = {name: value for name, value in self._env().items() if name in _OWNERS}
            own = await self._answer("owners", _Owners, Launch((), _BIN, {}), limit_s, most_bytes, {"owner": env})
            shown, fields["owner"] = (*shown, *map(Path, own.files)), env
            if "ignore" in fields and own.ignore:
                shown, fields["ignore"] = (*shown, Path(own.ignore)), own.ignore
        elif "owner" in fields:
            fields["owner"] = {}
        fields["mounted"] = _known((*shown, *writable))
        launch = self._sandboxed((), _BIN, {}, writable)
        as_root = command == "give" and os.geteuid() == 0 and source.common.stat().st_uid != 0
        readable = tuple(path for path in (*shown, *_PYTHON, _BIN) if path not in writable)
        launch = msgspec.structs.replace(
            launch, readable=(*launch.readable, *readable), network=launch.level == "none", as_root=as_root
        )
        return await self._answer(command, kind, launch, limit_s, most_bytes, fields)

    async def _answer(
        self, command: str, kind: type[T], launch: Launch, limit_s: float, most_bytes: int, fields: Mapping[str, Any]
    ) -> T:
        text = json.dumps(msgspec.to_builtins(fields, enc_hook=str))  # a path may be no text
        argv = program("folder", command, text)
        path = self._settings().environ.get("PATH", os.defpath)
        launch = msgspec.structs.replace(launch, argv=argv, env={"PATH": path, "LC_ALL": "C.UTF-8"})
        code, output = await self._ran(launch, limit_s, most_bytes)
        try:
            answer = msgspec.json.decode(output)
            words, param = (answer.get("error"), answer.get("param")) if isinstance(answer, dict) else (None, None)
            if words is None:
                return msgspec.convert(answer, kind)
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise Unavailable(f"git {command}: {_why(code, output)}", should_retry=False) from None
        raise BadRequest(words, param=param) if param else Unavailable(words, should_retry=False)

    def _repository(self, folder: Folder) -> _Repository:
        """Where the repository of a folder is that an agent has worked in. Raises Unavailable or BadRequest."""
        self._itself(folder)
        if folder.kind == "clone":
            return _Repository(folder.root, folder.root / ".git", folder.root / ".git", "", False)
        found = _locate(folder.root)
        if found is None or found.top != folder.root:
            raise Unavailable(f"{folder.root} has no repository any more")
        return found

    def _shown(self, folder: Folder, found: _Repository) -> tuple[Path, ...]:
        return (*found.shown, *(path for path in folder.readable if folder.kind == "clone" and path.is_dir()))

    def _launch(self, argv: tuple[str, ...], folder: Folder, env: dict[str, str], writable: tuple[Path, ...]) -> Launch:
        self._itself(folder)
        launch = self._sandboxed(argv, folder.path if folder.path.is_dir() else folder.root, env, writable)
        shown = [path for path in (folder.root, *folder.writable, *folder.readable) if path not in writable]
        return msgspec.structs.replace(launch, readable=(*launch.readable, *shown))

    def _itself(self, folder: Folder) -> None:
        """Raises Unavailable when something else is in its place: what an agent of another task may have put there."""
        if folder.root.resolve() != folder.root:
            raise Unavailable(f"{folder.root} leads to another folder now", code="moved", should_retry=False)

    async def _ran(self, launch: Launch, limit_s: float, most_bytes: int = _GIT_BYTES) -> tuple[int | None, bytes]:
        try:
            return await self._run(launch, limit_s, most_bytes)
        except OSError as error:
            raise Unavailable(f"git cannot be run: {error}", should_retry=False) from None

    # -- what is remembered

    def _kept(self, place: Path) -> _Kept | None:
        """What is remembered of a task's folder. Raises Unavailable when that cannot be read."""
        try:
            text = (place / _RECORD).read_bytes()
            return msgspec.json.decode(text, type=_Kept, dec_hook=lambda kind, value: kind(value))
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise Unavailable(f"{place / _RECORD} cannot be read: {error}; mend it or move it away") from None

    def _keep(self, place: Path, kept: _Kept) -> None:
        temporary = place / f"{_RECORD}.tmp"
        try:
            temporary.write_bytes(msgspec.json.encode(kept, enc_hook=str))
        except UnicodeEncodeError:
            raise BadRequest(f"{kept.folder.root} belongs to a folder whose name is no text", param="dir") from None
        temporary.replace(place / _RECORD)

    @contextlib.contextmanager
    def _scratch(self, task: Task) -> Iterator[Path]:
        """A folder the sandbox may write to, for as long as it is needed."""
        path = self.place(task) / f".scratch-{secrets.token_hex(8)}"
        path.mkdir(mode=0o700, parents=True)
        try:
            yield path
        finally:
            _delete(path)


_RECORD = ".folder.json"


_IN_GIT = (
    "HEAD", "index", "config", "config.worktree", "packed-refs", "shallow", "objects", "objects/info", "objects/pack",
    "refs", "refs/heads", "refs/tags", "refs/remotes", "logs", "modules", "worktrees", "info",
)  # fmt: skip
_POINTER_BYTES = 4096  # of a file that says where a repository is


def _locate(path: Path) -> _Repository | None:
    """The repository a real path is in; None when it is in none. No git runs, so nothing that it configures does.

    Raises BadRequest where it is made of links, or borrows from another.
    """
    for top in (path, *path.parents):
        git = top / ".git"
        if git.is_symlink():
            raise BadRequest(f"{git} is a link: give the folder it belongs to", param="dir")
        if git.is_file():
            git, common = _elsewhere(top, git)
        elif _is_git(git):
            common = git
        elif _is_git(top):
            if path != top or top.name == ".git":
                raise BadRequest(f"{path} is inside a .git folder: give the folder of the files", param="dir")
            git = common = top
        else:
            continue
        for one in (place / name for place in {git, common} for name in _IN_GIT):
            if one.is_symlink():
                raise BadRequest(f"{one} is a link: chomp works with a repository that is in one place", param="dir")
        if git == common and os.path.lexists(git / "commondir"):
            raise BadRequest(f"{git / 'commondir'} says that its objects are elsewhere", param="dir")
        for name in ("alternates", "http-alternates"):
            if os.path.lexists(common / "objects" / "info" / name):
                raise BadRequest(
                    f"{common} borrows objects of another repository: copy them with `git repack -a -d`, then remove "
                    f"objects/info/{name}",
                    param="dir",
                )
        inside = str(path.relative_to(top))
        return _Repository(top, git, common, "" if inside == "." else inside, git == top)
    return None


def _is_git(path: Path) -> bool:
    """Whether git would take `path` for a repository."""
    return os.path.lexists(path / "HEAD") and (path / "objects").is_dir() and (path / "refs").is_dir()


def _elsewhere(top: Path, file: Path) -> tuple[Path, Path]:
    """Where the .git file of a further worktree, or of a submodule, leads, and where its objects are.

    Raises BadRequest unless that repository knows `top`: anybody can write such a file.
    """

    def pointer(path: Path) -> str:
        return WorkFiles.read(path, _POINTER_BYTES).decode(errors="surrogateescape").strip()

    git = Path(os.path.realpath(top / pointer(file).removeprefix("gitdir:").strip()))
    if not git.is_dir():
        raise BadRequest(f"{file} is not a git repository: it leads to {git}, which is not there", param="dir")
    if git.parent.name == "worktrees" and (back := pointer(git / "gitdir")) and _same(str(git / back), file):
        common = git.parent.parent
        if (git / pointer(git / "commondir")).resolve() == common:
            return git, common
    for above in top.parents:  # a submodule's is in that of the repository around it
        around = _locate(above) if os.path.lexists(above / ".git") else None
        if around is not None and any(git.is_relative_to(one / "modules") for one in (around.git, around.common)):
            return git, git
    raise BadRequest(f"{file} leads to a repository that does not know this folder", param="dir")


def _writable(found: _Repository) -> tuple[Path, ...]:
    """What an agent that works in a repository itself must be able to change.

    The folder of git is named, too: what is mounted by itself cannot be moved out of the way.
    """
    return (found.top, *dict.fromkeys((found.git, found.common)))


def _protected(found: _Repository) -> tuple[Path, ...]:
    """What it must not change: what git would run or read for the owner. Raises BadRequest when it cannot be kept."""
    for name in ("hooks", "info", "objects/info", "modules"):
        path = found.common / name
        if path.is_symlink():
            raise BadRequest(f"{path} is a link, which no sandbox can protect: leave in_place out", param="in_place")
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            raise BadRequest(f"{path} cannot be made: {error.strerror}", param="in_place") from None
    if b"worktreeconfig" in WorkFiles.read(found.common / "config", _GIT_BYTES).lower():
        (found.git / "config.worktree").touch()
    names = ("config", "config.worktree", "hooks", "info", "modules", "objects/info", "worktrees")
    own = [found.common / name for name in names]
    if found.git != found.common:  # what says where the repository of a further worktree is
        own += [found.git / name for name in ("commondir", "gitdir", "config.worktree")]
    if found.git != found.top / ".git":
        own.append(found.top / ".git")
    return tuple(path for path in own if path.exists())


def _refs_of(found: _Repository) -> tuple[Path, ...]:
    """What commits are written to. Raises BadRequest when one of it is a link."""
    places = [found.common / name for name in ("objects", "refs", "logs")]
    for path in places:
        if path.is_symlink():
            raise BadRequest(f"{path} is a link now", param="dir")
    return tuple(path for path in places if path.is_dir())


def _link(found: _Repository, store: Path) -> None:
    """Links what a repository has into a new store, and what its submodules have. Raises OSError.

    It is done here: from one folder that a sandbox mounts into another there can be no links.
    """
    if store == found.common:
        return
    places = [found.common]
    for modules in {found.git / "modules", found.common / "modules"}:
        for folder, folders, _ in os.walk(modules):  # it follows no link
            if _is_git(Path(folder)):
                places.append(Path(folder))
                folders[:] = [name for name in folders if name == "modules"]
    for place in places[:_SUBMODULES]:
        for _ in range(3):
            if _link_objects(place, store):
                break


def _link_objects(common: Path, store: Path) -> bool:
    """Hard links of a repository's objects, or copies where that cannot be; no link is followed. Raises OSError.

    False when git took some away meanwhile, to put them into another pack.
    """
    whole = True
    for folder, _, names, fd in os.fwalk(common / "objects", follow_symlinks=False):
        inside = Path(folder).relative_to(common / "objects")
        if inside.parts[:1] == ("info",):
            continue
        to = store / "objects" / inside
        to.mkdir(parents=True, exist_ok=True)
        for name in names:
            try:
                if not stat.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode) or "tmp_" in name:
                    continue
                os.link(name, to / name, src_dir_fd=fd, follow_symlinks=False)
            except FileExistsError:
                pass
            except FileNotFoundError:
                whole = False
            except OSError:  # another disk, another owner, a file system without links
                opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
                with open(opened, "rb") as file, open(to / name, "xb") as copy:
                    shutil.copyfileobj(file, copy)
    return whole


def _link_on_the_way(path: Path, trusted: Iterable[Path]) -> Path | None:
    """The first link on the way to `path` that an agent could have made; None when there is none.

    Above a `trusted` folder, and at the top of the file system, nothing is an agent's to write.
    """
    begins = max((len(one.parts) for one in trusted if path.is_relative_to(one)), default=2)
    for number in range(max(begins, 2), len(path.parts)):
        one = Path(*path.parts[: number + 1])
        if one.is_symlink():
            return one
    return None


def _configuring(values: Mapping[str, str]) -> dict[str, str]:
    """An environment that configures git, over what a repository says (git 2.31, git-config(1))."""
    env = {"GIT_CONFIG_COUNT": str(len(values))}
    for number, (name, value) in enumerate(values.items()):
        env |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return env


def _branch(task: Task) -> str:
    return f"chomp/task-{task.id}"


def _store_of(place: Path) -> Path:
    return place / ".objects"


def _root(place: Path, name: str) -> Path:
    """Where a clone of a repository called `name` goes: not where something else of the task is."""
    name = re.sub(r"[^\w.-]", "-", name).lstrip(".-")[:100] or "repository"
    root = place / (f"repository-{name}" if re.match(r"(home|prompt|files|handoff|gate)", name) else name)
    if root.exists() or root.is_symlink():
        raise Conflict(f"{root} is in the way: move it away")
    return root


def _script(folder: Folder, name: str) -> Path | None:
    """A script of a folder, of its working directory or its top; None when there is none. Raises BadRequest."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise BadRequest(f"{name!r} must be a path inside the task's folder", param="setup")
    for top in (folder.path, folder.root):
        script = (top / name).resolve()
        if name and script.is_file() and script.is_relative_to(folder.root.resolve()):
            return script
    return None


def _is_bundle(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return re.fullmatch(rb"# v[23] git bundle\n", file.readline(64)) is not None


def _worktrees(found: _Repository) -> tuple[Path, ...]:
    """The folders in which somebody may work with a repository."""
    others = [WorkFiles.read(path, _POINTER_BYTES) for path in (found.common / "worktrees").glob("*/gitdir")]
    texts = [text.decode(errors="surrogateescape").strip() for text in others]
    return tuple(dict.fromkeys((found.top, found.common.parent, *(Path(text).parent for text in texts if text))))


def _locks(
    places: Sequence[Path], refs: Path | None, branch: str, spans: Sequence[tuple[float, float]]
) -> dict[Path, int]:
    """Locks of git that were made in one of `spans`, with their inodes.

    Those in the first of `places`, in the second only that of `branch`, and all below `refs`; no link is followed.
    """
    name = branch.rpartition("/")[2]
    paths = [*places[0].glob("*.lock"), *(place / f"{name}.lock" for place in places[1:])]
    if refs is not None and not refs.is_symlink():
        every = (Path(folder, one) for folder, _, names in os.walk(refs) for one in names)
        paths += [path for path in every if path.suffix == ".lock"]
    found = {}
    for path in () if places[0].is_symlink() else paths:
        with contextlib.suppress(OSError):  # it is gone
            seen = path.lstat()
            if any(begun - 1 <= seen.st_mtime <= ended for begun, ended in spans):
                found[path] = seen.st_ino
    return found


def _unplanted(git: Path) -> str:
    """Removes what an agent has put into a .git folder to lead its owner to another repository; what, in words."""
    path = git / "commondir"
    if git.is_symlink() or not git.is_dir() or not os.path.lexists(path):
        return ""
    path.unlink()
    return f"{path}, which leads git to another repository, was removed"


def _git_works(tops: Sequence[Path]) -> bool:
    """Whether a process is git, and in one of these folders."""
    for pid in _all_processes():
        with contextlib.suppress(OSError):
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("git"):
                place = Path(os.readlink(f"/proc/{pid}/cwd"))
                if any(place.is_relative_to(top) for top in tops):
                    return True
    return False


def _same(text: str, path: Path) -> bool:
    return os.path.realpath(text) == str(path)


def _below(folder: Folder, name: str) -> str:
    """Where below a repository's top a file of the working directory is; "" when it is elsewhere."""
    path = os.path.relpath(os.path.normpath(folder.path / name), folder.root)
    return "" if path.startswith("..") else path


def _oid(text: str) -> str:
    """An object's name, when it is one."""
    return text if re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", text) else ""


def _sentences(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _cut(diff: str, most_bytes: int) -> str:
    data = diff.encode()
    if len(data) <= most_bytes:
        return diff
    whole = data[: data.rfind(b"\n", 0, most_bytes) + 1].decode(errors="replace")
    return f"{whole}{DIFF_CUT} than {most_bytes:,} bytes\n"


def _delete(path: Path) -> None:
    """Deletes a folder and all in it, what is read-only as well, following no link. Raises OSError."""

    def again(function: Callable[..., Any], name: str, error: Any) -> None:
        above = os.path.dirname(name)
        for folder in (above, name):  # a folder without the right to write keeps what is in it
            if stat.S_ISDIR(os.lstat(folder).st_mode) and Path(folder).is_relative_to(path):
                os.chmod(folder, 0o700)
        if function in (os.unlink, os.rmdir):
            function(name)
        else:
            shutil.rmtree(name)

    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path, onerror=again)


def _sizes(work: Path) -> dict[str, int]:
    found = {}
    for place in work.glob("task-*"):
        total, folders = 0, [place]
        while folders:
            with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):
                        seen = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(seen.st_mode):
                            folders.append(Path(entry.path))
                        if stat.S_ISDIR(seen.st_mode) or seen.st_nlink == 1:  # a link to the source's costs nothing
                            total += seen.st_blocks * 512
        found[place.name.removeprefix("task-")] = total
    return found


_PLATFORM_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_NO_COLOR = "#71717A"
_PROGRAM = re.compile(r"[\w.+-]+", re.ASCII)
_HEADER_KEYS = (
    "name", "colour", "home", "needs", "models", "efforts", "metered", "script", "order", "note",
)  # fmt: skip
_HEADER_LISTS = ("home", "needs", "models", "efforts")
_HEADER_LINES = 15
_AGENT_KEYS = {"name", "command", "models", "color"}  # of an entry of agents.json
AGENT_NAME = 60  # characters
AGENT_COMMAND = 4000
AGENT_MODELS = 200
NAMED_ONLY = 90  # platforms from this order on are never chosen by themselves
AVAILABLE_S = 2.0  # what an adapter has to answer `available`
AVAILABLE_KEPT_S = 10.0


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    """What an adapter's header says of its agent, or an entry of agents.json."""

    name: str = ""
    command: str = ""
    color: str = _NO_COLOR
    order: str = "50"
    metered: str = "yes"
    script: str = "no"
    note: str = ""
    home: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    efforts: tuple[str, ...] = ()


_FORMS = {  # how each of its words is written, and what is said of one that is not
    "name": (rf"(?s)(?=.*\S).{{1,{AGENT_NAME}}}", f"its name is empty, or longer than {AGENT_NAME} characters"),
    "command": (rf"[^\0]{{,{AGENT_COMMAND}}}", f"its command has more than {AGENT_COMMAND} characters, or NUL"),
    "color": (r"#[0-9a-fA-F]{6}", "the colour {!r} is not written as #4F6EC5"),
    "order": (r"[0-9]{1,4}", "the order {!r} is no number up to 9999"),
    "metered": ("yes|no", "metered is yes or no, not {!r}"),
    "script": ("yes|no", "script is yes or no, not {!r}"),
    "home": (r"~(/(?!\.\.?(/|$))[^/]+)+", "the home path {!r} does not begin with ~/, or leads out of it"),
    "needs": (_PROGRAM.pattern, "{!r} is not the name of a program"),
    "models": (rf"(?s).{{1,{AGENT_MODELS}}}", f"its models are names of at most {AGENT_MODELS} characters"),
}


def _platform(platform_id: str, found: Mapping[str, Any], **more: Any) -> Platform:
    """The platform that an entry describes. Raises ValueError in words."""
    try:
        entry = msgspec.convert(found, _Entry)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    for field, (pattern, words) in _FORMS.items():
        value = getattr(entry, field)
        for one in value if isinstance(value, tuple) else (value,):
            if not re.fullmatch(pattern, one, re.ASCII):
                raise ValueError(words.format(one))
    if len(entry.models) > AGENT_MODELS:
        raise ValueError(f"it has more than {AGENT_MODELS} models")
    same = {name: getattr(entry, name) for name in ("color", "note", *_HEADER_LISTS)}
    flags = {name: getattr(entry, name) == "yes" for name in ("metered", "script")}
    return Platform(id=platform_id, name=entry.name.strip(), order=int(entry.order), **same, **flags, **more)


def read_adapter(path: Path) -> Platform:
    """The platform an adapter is for, from the comments in its first lines. Raises ValueError in words."""
    if not _PLATFORM_ID.fullmatch(path.stem):
        raise ValueError("its name must be lower-case words joined by hyphens")
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read(16384).splitlines()[:_HEADER_LINES]
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    if not os.access(path, os.X_OK):
        raise ValueError(f"it is not executable: chmod +x {path}")
    found: dict[str, Any] = {"name": path.stem, **_header(lines)}
    found |= {key: tuple(found[key].split()) for key in _HEADER_LISTS if key in found}
    color = {"color": found.pop("colour")} if "colour" in found else {}
    return _platform(path.stem, {**found, **color}, adapter=path)


def _header(lines: Iterable[str]) -> dict[str, str]:
    """`# key: value   key: value`; a line that begins with no key of ours is prose. Raises ValueError."""
    found: dict[str, str] = {}
    for line in lines:
        parts = re.split(r"\s{2,}", line[1:].strip()) if line.startswith("#") else [""]
        if parts[0].partition(":")[0] not in _HEADER_KEYS:
            continue
        for part in parts:
            key, colon, value = part.partition(":")
            if not colon or key not in _HEADER_KEYS:
                raise ValueError(f"{part!r} in its header begins with none of {', '.join(_HEADER_KEYS)}")
            if key in found and key not in _HEADER_LISTS:
                raise ValueError(f"its header says {key} twice")
            found[key] = f"{found.get(key, '')} {value.strip()}".strip()
    return found


def read_agent(agent_id: str, entry: object) -> Platform:
    """The platform of an entry of agents.json: {name, command, models, color}. Raises ValueError in words."""
    if not (_PLATFORM_ID.fullmatch(agent_id) and len(agent_id) <= AGENT_NAME):
        raise ValueError("its id must be lower-case words joined by hyphens")
    if not isinstance(entry, dict) or (unknown := entry.keys() - _AGENT_KEYS):
        raise ValueError(f"it has {', '.join(sorted(unknown))}" if isinstance(entry, dict) else "it is no object")
    found = {key: value for key, value in entry.items() if value != ""}
    made = _platform(agent_id, found, builtin=False)
    try:
        words = shlex.split(str(found.get("command", "")))
    except ValueError as error:
        raise ValueError(f"its command cannot be split into words: {error}") from None
    if not words or not (_PROGRAM.fullmatch(words[0]) or words[0].startswith(("/", "~/"))):
        raise ValueError("its command must begin with a program: a name on PATH, or a path from / or ~/")
    return msgspec.structs.replace(made, command=tuple(words))


def asked_model(task: Task) -> str:
    """The model a task's agent asks for, as chomp knows it: with the router that the task is pinned to."""
    model = task.model or "auto"
    pinned = task.router and not model.startswith(f"{task.router}/")
    return f"{task.router}/{model}" if pinned else model


# folders below a home in which programs lead to each other in their own ways: scripts, links, versions; no secrets
_TOOLCHAINS = (
    ".nvm", ".fnm", ".volta", ".nodenv", ".asdf", ".pyenv", ".bun", ".deno", ".local/share/mise", ".local/share/fnm",
    ".local/share/pnpm", ".local/share/uv", ".local/share/pipx", ".rustup",
)  # fmt: skip


def _parts(program: Path, home: Path, path: str, seen: set[Path]) -> Iterator[Path]:
    """What must be visible for `program` to run: folders of its links, its package, its interpreter."""
    while program not in seen:
        seen.add(program)
        yield _place(program, home)
        if not program.is_symlink():
            break
        program = Path(os.path.normpath(program.parent / os.readlink(program)))
    real = program.resolve()
    yield _place(real, home)
    try:
        with open(real, "rb") as file:
            first = file.read(256).partition(b"\n")[0].decode(errors="replace")
    except OSError:
        return
    words = first[2:].split() if first.startswith("#!") else []
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    found = shutil.which(words[0], path=path) if words else None
    if found and Path(found) not in seen:
        yield from _parts(Path(found), home, path, seen)


def _place(program: Path, home: Path) -> Path:
    """The folder a program needs: its toolchain, the packages it is among, its environment, or where it lies."""
    for name in _TOOLCHAINS:
        if program.is_relative_to(home / name):
            return home / name
    for folder in reversed(program.parents):
        if folder.name == "node_modules":
            return folder
    if (program.parent.parent / "pyvenv.cfg").is_file():
        return program.parent.parent
    return program if home.is_relative_to(program.parent) else program.parent  # never a whole home


class Platforms:
    """The agents that can be: one for each adapter, and those of agents.json.

    `agents` gives the entries of agents.json; `run` runs a process to its end (seconds, bytes kept) and gives its exit
    status, None when time was up, and what it printed; `env` is what agents get of chomp's own environment, with HOME.
    """

    def __init__(
        self,
        folder: Path,
        agents: Callable[[], Mapping[str, Any]],
        run: Callable[[Launch, float, int], Awaitable[tuple[int | None, bytes]]],
        env: Mapping[str, str],
        now: Callable[[], float] = time.monotonic,
    ):
        self._folder = folder
        self._agents = agents
        self._run = run
        self._env = dict(env)
        self._now = now
        self._stamps: tuple[object, ...] | None = None
        self._adapters: dict[str, Platform] = {}
        self._given: Mapping[str, Any] = {}
        self._custom: dict[str, Platform] = {}
        self._complaint = ""
        self._available: dict[str, tuple[Platform, float, str]] = {}

    def all(self) -> dict[str, Platform]:
        """By id, in the order in which they are chosen; a new or changed adapter is found without a restart."""
        self._read_adapters()
        self._read_agents()
        both = {**self._custom, **self._adapters}  # an adapter is not replaced by an entry of the same name
        return {one.id: one for one in sorted(both.values(), key=lambda one: (one.order, one.name, one.id))}

    def _read_adapters(self) -> None:
        paths = sorted(self._folder.glob("*.sh"))
        stamps = (file_stamp(self._folder), *((path, file_stamp(path), os.access(path, os.X_OK)) for path in paths))
        if stamps == self._stamps:
            return
        self._stamps, self._adapters = stamps, {}
        self._available.clear()
        for path in paths:
            try:
                self._adapters[path.stem] = read_adapter(path)
            except ValueError as error:
                log.warning("the adapter %s is left out: %s", path.name, error)

    def _read_agents(self) -> None:
        try:
            given = self._agents()
        except StoreError as error:  # what was read before stays in force
            if str(error) != self._complaint:
                self._complaint = str(error)
                log.warning("%s", error)
            return
        self._complaint = ""
        if given == self._given:
            return
        self._given, self._custom = given, {}
        for agent_id, entry in given.items():
            try:
                self._custom[agent_id] = read_agent(agent_id, entry)
                if agent_id in self._adapters:
                    raise ValueError("an adapter has this name")
            except ValueError as error:
                log.warning("the agent %r of agents.json is left out: %s", agent_id[:AGENT_NAME], error)

    async def available(self, platform: Platform) -> str:
        """Empty when the platform can run here, else what is missing, in words; true for some seconds."""
        known, at, words = self._available.get(platform.id, (None, 0.0, ""))
        if known == platform and self._now() - at < AVAILABLE_KEPT_S:
            return words
        words = await self._missing(platform)
        self._available[platform.id] = platform, self._now(), words
        return words

    async def _missing(self, platform: Platform) -> str:
        if platform.adapter is None:
            program = platform.command[0]
            if shutil.which(self._expanded(program), path=self._env.get("PATH")):
                return ""
            return f"{program} is not on PATH: install it, or change the command of {platform.name}"
        asked = f"{platform.adapter.name} available"
        launch = Launch(argv=(str(platform.adapter), "available"), cwd=self._folder, env=self._env)
        try:
            status, printed = await self._run(launch, AVAILABLE_S, 4096)
        except (OSError, ChompError) as error:
            return f"{asked} cannot be run: {error}"
        if status is None:
            return f"{asked} did not end within {AVAILABLE_S:g} s"
        said = text_of(printed).strip().splitlines()
        return "" if status == 0 else said[-1][:300] if said else f"{asked} ended with {status}"

    async def pick(self) -> Platform | None:
        """The first that is available, for a task that names none; those that must be named are left out."""
        for platform in self.all().values():
            if platform.order < NAMED_ONLY and not await self.available(platform):
                return platform
        return None

    def command(self, platform: Platform, task: Task, prompt_file: Path, cwd: Path) -> tuple[str, ...]:
        """What to run for a task, word by word: no shell sees a task's words."""
        if platform.adapter is not None:
            return (str(platform.adapter), "run")
        values = {"prompt_file": str(prompt_file), "model": asked_model(task), "dir": str(cwd), "effort": task.effort}
        words = (re.sub(r"\{(prompt_file|model|dir|effort)\}", lambda m: values[m[1]], w) for w in platform.command[1:])
        return (self._expanded(platform.command[0]), *words)

    def _expanded(self, program: str) -> str:
        return self._env["HOME"] + program[1:] if program.startswith("~/") else program

    def tools(self, path: str, program: str = "") -> list[Path]:
        """What must be visible of the owner's home for `program` to run, and a script that calls programs of PATH."""
        home = Path(self._env["HOME"])
        found = {home / name for name in _TOOLCHAINS}
        found |= {one for one in map(Path, path.split(os.pathsep)) if one.is_relative_to(home) and one != home}
        if os.path.isabs(program):
            found |= set(_parts(Path(program), home, path, set()))
        return sorted(one for one in found if one.exists())

    def binaries(self, platform: Platform, path: str) -> list[Path]:
        """Folders and files that must be visible for a platform's programs to run; none lies in another."""
        names = [*platform.needs, *map(self._expanded, platform.command[:1])]
        found = [program for name in names if (program := shutil.which(name, path=path))]
        home, seen = Path(self._env["HOME"]), set[Path]()
        wanted = {one for program in found for one in _parts(Path(os.path.abspath(program)), home, path, seen)}
        if platform.adapter is not None:
            wanted.add(platform.adapter.parent)
        return sorted(one for one in wanted if not any(other in wanted for other in one.parents))


class Gate(msgspec.Struct, frozen=True, omit_defaults=True):
    """What judges a task's work, as it was decided before an agent could change it; no `argv`: nothing does.

    It lies beside the folder, where no agent can write. `argv` begins with the path of a program, but for a file of the
    folder: of that, what it was is in `copy`.
    """

    named: str  # as the task or the settings have it
    argv: tuple[str, ...] = ()
    path: str = ""  # of that file, below the working directory; also of the script that an interpreter is given
    copy: str = ""  # beside the folder
    executable: bool = False
    left: str | None = None  # SHA-256 of the file as the last session left it, "" for none; None: not known


class Printed(msgspec.Struct, frozen=True):
    """Part of what a session printed; positions count its bytes."""

    data: bytes
    since: int  # where it begins
    next: int
    ended: bool  # nothing comes after it


PROMPT_IN_ENVIRONMENT_BYTES = 32 << 10
SUMMARY_CHARS = 4000
GATE_BYTES = 8 << 10
WATCH_S = 1.0
UNFINISHED_S = 0.25  # a character or escape sequence that is printed in pieces
STIR_S = 0.05  # between two looks at the queue, at least
STOPPING_S = 8.0
COUNTED_S = 2.0
AFTER_LIMIT_S = 30.0  # not in the second a limit ends: others wait for it, too
CLEAN_EVERY_S = 600.0
PRINTED_BYTES = 256 << 10
_GATE_RECORD = "gate.json"
_INTERPRETERS = re.compile(r"(ba|da|z|k)?sh|python[\d.]*|node|ruby|perl|php|deno|bun")
# runs what follows with the original file in place, then gives the agent its own version back
_PUT_BACK = (
    'o=$1 p=$2; shift 2; k=$(mktemp); cp -p -- "$p" "$k" 2>/dev/null || k=; mkdir -p -- "${p%/*}"; '
    'cp -p -- "$o" "$p" || exit 70; "$@"; s=$?; [ -z "$k" ] || cp -p -- "$k" "$p"; exit $s'
)


def _named_in(folder: Folder, word: str) -> str:
    """The path below the working directory that `word` names; "" when it is an absolute one of elsewhere."""
    if not os.path.isabs(word):
        return word
    real = Path(os.path.realpath(word))
    return os.path.relpath(real, folder.path) if real.is_relative_to(folder.root) else ""


def _script_of(argv: Sequence[str]) -> str:
    """The script that a command gives to its interpreter, as far as one can see; "" for none."""
    if not _INTERPRETERS.fullmatch(os.path.basename(argv[0])) or len(argv) < 2 or argv[1].startswith("-"):
        return ""
    return argv[1]


_UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*|[ -/]*)\Z")


def whole_part(data: bytes) -> int:
    """How much of `data` can be shown: no character and no escape sequence is cut in its end."""
    end = len(data)
    if (at := data.rfind(b"\x1b", max(0, end - 256))) >= 0 and _UNFINISHED.match(data, at):
        end = at
    for back in range(1, min(4, end) + 1):
        byte = data[end - back]
        if byte >= 0xC0:  # the first of a character
            return end - back if back < (2 if byte < 0xE0 else 3 if byte < 0xF0 else 4) else end
        if byte < 0x80:
            break
    return end


def agent_environment(settings: Settings) -> dict[str, str]:
    """What agents get of chomp's own environment: no keys. HOME is the owner's."""
    names = ("PATH", "LANG", "TZ", "USER", "LOGNAME", "SHELL", "HOME")
    passed_on = {name: value for name, value in settings.environ.items() if name in names or name.startswith("LC_")}
    return {"PATH": os.defpath, "HOME": "/", **passed_on}


class Agent(Protocol):
    """An agent that runs somewhere, in a terminal."""

    pid: int
    pid_started: int
    typed_s: float  # when something was last typed
    output: Output

    def input(self, data: bytes) -> None:
        """Types `data`. Raises Busy or Conflict."""

    def resize(self, cols: int, rows: int) -> None:
        """Gives its terminal another size."""

    def nudge(self) -> None:
        """Has a full-screen program paint anew."""

    def asks(self) -> bool:
        """Whether it seems to wait for a person."""

    async def stop(self) -> list[int]:
        """Ends it and all that it has started; what could not be ended."""


class Stay(msgspec.Struct, frozen=True):
    """One session of a task where its agent works."""

    task: Task
    session: str
    platform: Platform
    level: Level
    folder: Folder
    env: dict[str, str]  # of everything that runs for it


class Place(Protocol):
    """Where agents run. What it raises is Unavailable or BadRequest, with the remedy."""

    def isolation(self, task: Task) -> Level:
        """How a task's agent is to be shut in."""

    async def check(self, folder: str, *, in_place: bool) -> str:
        """What a task would work in: "clone", "in_place" or "plain". Raises BadRequest where it must not."""

    async def prepare(self, task: Task, platform: Platform, level: Level, model: str) -> Stay:
        """The folder of a task for its open session: the same as before where there is one."""

    async def setup(self, stay: Stay) -> None:
        """Runs the setup script of a new clone."""

    async def file(self, stay: Stay, name: str, *, original: bool = False) -> tuple[bytes, bool] | None:
        """A file of the folder, and whether it can be run; the `original` is that of the commit a clone began with."""

    def program(self, stay: Stay, name: str) -> str:
        """The path of a program that no agent can have put there; "" without."""

    async def put(self, stay: Stay, name: str, data: bytes, *, executable: bool = False) -> str:
        """Has a file lie where the session can read it and its agent cannot write: its path there."""

    async def start(self, stay: Stay, argv: Sequence[str], env: Mapping[str, str], output: Output) -> Agent:
        """An agent, running: what it prints goes to `output`."""

    async def capture(
        self, stay: Stay, argv: Sequence[str], limit_s: float, most_bytes: int, secrets: Sequence[str]
    ) -> tuple[int | None, bytes]:
        """Runs what judges: exit code (None: time limit) and output. Nothing that the agent has left has a say."""

    async def events(self, stay: Stay, since: int) -> tuple[list[dict[str, Any]], int]:
        """What the agent's adapter has said after a position, and the next."""

    async def bundle(self, stay: Stay) -> Saved:
        """Brings the session's commits back."""

    async def diff(self, task: Task, most_bytes: int) -> str:
        """What a task has changed."""

    async def sweep(self, runs: Collection[str]) -> list[int]:
        """Ends what has one of these as TASK_RUN; what could not be ended."""


_LOOKS, _LOOK_S = 8, 5.0  # folders being looked at, and how long that may take


class Machine:
    """The machine that chomp runs on, as a place for agents."""

    def __init__(self, settings: Callable[[], Settings], runner: LocalRunner, folders: Folders, platforms: Platforms):
        self._settings = settings
        self.runner = runner
        self.folders = folders
        self._platforms = platforms
        self._looks = 0

    def isolation(self, task: Task) -> Level:
        """As the task or the settings wish, where that is possible."""
        wished = task.isolation or self._settings().tasks.isolation
        if wished == "required" and self.runner.level == "none":
            raise Unavailable(f"isolation is required, and there is none here: {self.runner.level_why}")
        return "none" if wished == "none" else self.runner.level

    async def check(self, folder: str, *, in_place: bool) -> str:
        """See Place. On a thread of its own: a folder on a disk that is gone may never answer, and keeps it."""
        if self._looks >= _LOOKS:
            raise Unavailable(f"{folder} is not looked at: other folders have not answered yet", param="dir")
        loop = asyncio.get_running_loop()
        found: asyncio.Future[str] = loop.create_future()

        def settle(kind: str, error: BaseException | None) -> None:
            self._looks -= 1
            if not found.done():
                found.set_result(kind) if error is None else found.set_exception(error)

        def look() -> None:
            answer: tuple[str, BaseException | None]
            try:
                answer = self.folders.check(folder, in_place), None
            except Exception as error:  # whoever waits is told of it
                answer = "", error
            with contextlib.suppress(RuntimeError):  # chomp has ended meanwhile
                loop.call_soon_threadsafe(settle, *answer)

        self._looks += 1
        threading.Thread(target=look, name="folder", daemon=True).start()
        try:
            async with asyncio.timeout(_LOOK_S):
                return await found
        except TimeoutError:
            raise BadRequest(
                f"{folder} does not answer within {_LOOK_S:.0f} s: is its disk there?", param="dir"
            ) from None

    async def prepare(self, task: Task, platform: Platform, level: Level, model: str) -> Stay:
        """See Place."""
        folder = await self.folders.prepare(task, platform, model)
        session = cast(Session, open_session(task))
        env = self._environ(task, session, folder, level)
        await asyncio.to_thread(WorkFiles.write, Path(env["HOME"]), {env["TASK_EVENTS"]: ""})
        return Stay(task, session.id, platform, level, folder, env)

    def _environ(self, task: Task, session: Session, folder: Folder, level: Level) -> dict[str, str]:
        """What an agent, a setup script and a gate may know."""
        outer, place = agent_environment(self._settings()), self.folders.place(task)
        home = place / f"home-{session.id}"
        return {
            **outer,
            **folder.env,
            **task_environment(task, session),
            "HOME": str(home),
            "OWNER_HOME": outer["HOME"],
            "TASK_DIR": str(folder.path),
            "TASK_ISOLATION": level,
            "TASK_PROMPT_FILE": str(place / f"prompt-{session.id}.txt"),
            "TASK_FEEDBACK_FILE": str(place / f"feedback-{session.id}.txt"),
            "TASK_EVENTS": str(home / "events.jsonl"),
            "CHOMP_BIN": str(HERE / "bin" / "chomp"),
        }

    async def setup(self, stay: Stay) -> None:
        """See Place."""
        own = {name: value for name, value in stay.env.items() if name != "TASK_EVENTS"}
        tools = self._platforms.tools(own["PATH"])
        ran = await self.folders.setup(stay.task, stay.folder, own, tools)
        if ran is not None and ran[0] != 0:
            how = "took too long" if ran[0] is None else f"ended with {ran[0]}"
            raise Unavailable(f"the setup script {how}:\n{text_of(ran[1][-16384:])[-2000:].strip()}")

    async def file(self, stay: Stay, name: str, *, original: bool = False) -> tuple[bytes, bool] | None:
        """See Place."""
        if original:
            return await self.folders.original(stay.task, stay.folder, name)
        return await asyncio.to_thread(WorkFiles.inside, stay.folder.path / name, stay.folder.root)

    def _trusted_path(self, folder: Folder) -> str:
        """PATH without what an agent could put programs into."""
        path = agent_environment(self._settings())["PATH"]
        return os.pathsep.join(
            one for one in path.split(os.pathsep)
            if os.path.isabs(one) and not Path(os.path.realpath(one)).is_relative_to(folder.root)
        )  # fmt: skip

    def program(self, stay: Stay, name: str) -> str:
        """See Place."""
        return shutil.which(name, path=self._trusted_path(stay.folder)) or ""

    async def put(self, stay: Stay, name: str, data: bytes, *, executable: bool = False) -> str:
        """See Place."""
        path = self.folders.place(stay.task) / name
        await asyncio.to_thread(replace_file, path, data, 0o755 if executable else 0o600)
        return str(path)

    async def start(self, stay: Stay, argv: Sequence[str], env: Mapping[str, str], output: Output) -> Agent:
        """See Place."""
        owner = stay.env["OWNER_HOME"]
        shown = [Path(owner, one.removeprefix("~/")) for one in stay.platform.home]
        shown += self._platforms.binaries(stay.platform, stay.env.get("PATH", ""))
        return await self.runner.start(self._launch(stay, argv, {**stay.env, **env}, shown), output)

    def _launch(self, stay: Stay, argv: Sequence[str], env: Mapping[str, str], shown: Iterable[Path]) -> Launch:
        """A process in a task's folder, that sees of what is hidden only what it needs."""
        folder, path, env = stay.folder, stay.folder.path, dict(env)
        if not (path.is_dir() and path.resolve().is_relative_to(folder.root.resolve())):
            path = folder.root  # an agent may have made it a link that leads elsewhere
            env["TASK_DIR"] = str(path)
        return Launch(
            tuple(argv), path, env, stay.level, (*folder.writable, Path(env["HOME"])),
            (HERE / "bin", self.folders.place(stay.task), *folder.readable, *shown), self.runner.hidden(),
        )  # fmt: skip

    async def capture(
        self, stay: Stay, argv: Sequence[str], limit_s: float, most_bytes: int, secrets: Sequence[str]
    ) -> tuple[int | None, bytes]:
        """See Place."""
        # nothing that the agent has left in its home, such as a usercustomize.py, has a say
        home = self.folders.place(stay.task) / f"gate-home-{os.urandom(8).hex()}"
        env = {**stay.env, "HOME": str(home), "PATH": self._trusted_path(stay.folder)}
        del env["TASK_EVENTS"]
        try:
            home.mkdir(mode=0o700)
            tools = self._platforms.tools(env["PATH"], argv[0])
            return await self.runner.capture(self._launch(stay, argv, env, tools), limit_s, most_bytes, secrets)
        finally:
            await asyncio.to_thread(_delete, home)

    async def events(self, stay: Stay, since: int) -> tuple[list[dict[str, Any]], int]:
        """See Place."""
        return await asyncio.to_thread(WorkFiles.events, Path(stay.env["TASK_EVENTS"]), since)

    async def bundle(self, stay: Stay) -> Saved:
        """See Place."""
        return await self.folders.save(stay.task, stay.folder)

    async def diff(self, task: Task, most_bytes: int) -> str:
        """See Place."""
        return await self.folders.diff(task, most_bytes)

    async def sweep(self, runs: Collection[str]) -> list[int]:
        """See Place."""
        return await self.runner.sweep(runs)


def task_environment(task: Task, session: Session) -> dict[str, str]:
    """What everything that runs for a session knows of it, wherever that is."""
    return {
        "TERM": "xterm-256color",
        "TASK_ID": task.id,
        "TASK_RUN": session.run,
        "TASK_MODEL": asked_model(task),
        "TASK_EFFORT": task.effort,
        "SESSION_ID": session.id,
    }


def folder_facts(folder: Folder, saved: Saved) -> str:
    """What the next agent should know of a folder, as Markdown."""
    if not folder.git:
        return f"- Folder: `{folder.path}`, not a git repository\n"
    if not saved.readable:
        return f"- Folder: `{folder.path}`: {saved.note}\n"
    where = f"- Branch: `{folder.branch or 'none'}`"
    lines = [where + (f", from commit `{folder.base[:12]}`" if folder.base else ", from nothing")]
    lines.append(f"- Commits since then: {saved.commits}")
    if saved.commits:
        lines += ["", *(f"      {line}" for line in saved.log), ""]
        lines += ["- Files changed by them:", "", *(f"      {line}" for line in saved.stat.splitlines()), ""]
    lines.append(f"- Files not committed: {saved.dirty_count}")
    if saved.dirty:
        lines += ["", *(f"      {name}" for name in saved.dirty[:20])]
        lines += [f"      and {saved.dirty_count - 20} more"] if saved.dirty_count > 20 else []
    if saved.note:
        lines.append(f"- {saved.note}")
    return "\n".join(lines) + "\n"


def save_warnings(folder: Folder, saved: Saved) -> Iterator[str]:
    """What a person should know of a session's work."""
    if saved.note:
        yield saved.note
    if saved.dirty_count and folder.kind == "clone":
        names = ", ".join(saved.dirty[:3]) + (", …" if saved.dirty_count > 3 else "")
        yield f"not committed, so it is in {folder.root} only: {saved.dirty_count} files ({names})"


class Gates:
    """What judges a task's work: decided before an agent can have a say in it, kept where none can write, run."""

    def __init__(self, settings: Callable[[], Settings], store: Store, folder: Callable[[Task], Path]):
        self._settings = settings
        self._store = store
        self._folder = folder  # of what is remembered of a task's gate

    async def of(self, place: Place, stay: Stay, warn: Callable[[str], object]) -> Gate | None:
        """The gate for a session; None without. Raises BadRequest."""
        named = stay.task.gate or self._settings().tasks.gate
        gate = self._known(stay.task)
        if gate is None or gate.named != named:
            gate = await self._decided(place, stay, named, gate)
        else:
            gate = await self._mended(place, stay, gate, warn)
        self._remember(stay.task, msgspec.structs.replace(gate, left=None))  # what this session leaves is not known yet
        return gate if gate.argv else None

    async def _decided(self, place: Place, stay: Stay, named: str, before: Gate | None) -> Gate:
        try:
            argv = tuple(shlex.split(named))
        except ValueError as error:
            raise BadRequest(f"the gate {named[:200]!r} cannot be read: {error}", param="gate") from None
        if not argv:
            return Gate(named)
        name, program = _named_in(stay.folder, argv[0]), ""
        if not name or "/" not in name:  # a program is the owner's, whatever the folder has
            program = place.program(stay, argv[0])
        if program:
            gate, script = Gate(named, (program, *argv[1:])), _script_of(argv)
            file = await self._file(place, stay, script, before) if script else None
            return self._kept(stay.task, msgspec.structs.replace(gate, path=script), file) if file else gate
        if name and (file := await self._file(place, stay, name, before)) is not None:
            return self._kept(stay.task, Gate(named, (name, *argv[1:]), name), file)
        if not stay.task.gate:
            return Gate(named, path=name)
        raise BadRequest(f"the gate {named[:200]!r} is not in the task's folder, and no program", param="gate")

    async def _file(self, place: Place, stay: Stay, name: str, before: Gate | None) -> tuple[bytes, bool] | None:
        """A file of the folder that is to be the gate, and whether it can be run, as no agent has changed it."""
        task, folder = stay.task, stay.folder
        if all(one.exit_code is None and not one.pid for one in task.sessions[:-1]):  # none has been here yet
            file = await place.file(stay, name)
        elif folder.kind == "clone" and folder.source is not None:
            file = await place.file(stay, name, original=True)
        elif before is not None and task.gate:  # a file that the owner names only now is one that he has seen
            file = await place.file(stay, name)
        elif task.gate:
            raise BadRequest(
                f"agents have been in {folder.root}, and what the gate {name[:200]!r} was before is not known: "
                "name another, or add the task anew",
                param="gate",
            )
        else:
            file = None
        if file is not None and len(file[0]) > GATE_FILE_BYTES:
            raise BadRequest(f"the gate {name[:200]!r} is larger than {GATE_FILE_BYTES:,} bytes", param="gate")
        return file

    async def _mended(self, place: Place, stay: Stay, gate: Gate, warn: Callable[[str], object]) -> Gate:
        """`gate` as its owner has made it since the last session, where it is certain that nobody else has."""
        if gate.left is None or not gate.path or self._others_there(stay.task, stay.folder):
            return gate
        found = await place.file(stay, gate.path)
        if found is None or hashlib.sha256(found[0]).hexdigest() == gate.left:
            return gate
        kept = await asyncio.to_thread(WorkFiles.read, Path(gate.copy), GATE_FILE_BYTES) if gate.copy else None
        changed = f"{gate.path} was changed between two sessions"
        if gate.left != (hashlib.sha256(kept).hexdigest() if kept is not None else "") or (
            (stay.folder.path / gate.path).is_symlink()
        ):
            words = "but its agent had changed it before: the gate is as it was; name another for a change to count"
            warn(f"{changed}, {words}")
            return gate
        warn(f"{changed}: it is the gate as it is now")
        return self._kept(stay.task, gate, found)

    def _kept(self, task: Task, gate: Gate, file: tuple[bytes, bool]) -> Gate:
        """`gate` with a copy of its file. Raises OSError."""
        argv = gate.argv or tuple(shlex.split(gate.named))
        copy = self._folder(task) / f"gate-{hashlib.sha256(file[0]).hexdigest()[:12]}"
        replace_file(copy, file[0], 0o755 if file[1] else 0o644)
        return msgspec.structs.replace(gate, argv=argv, copy=str(copy), executable=file[1])

    def _known(self, task: Task) -> Gate | None:
        path = self._folder(task) / _GATE_RECORD
        if not path.exists():
            return None
        try:
            return msgspec.json.decode(WorkFiles.read(path, 64 << 10), type=Gate)
        except msgspec.DecodeError as error:
            raise Unavailable(f"{path} cannot be read: {error}; mend it or move it away", should_retry=False) from None

    def _remember(self, task: Task, gate: Gate) -> None:
        replace_file(self._folder(task) / _GATE_RECORD, msgspec.json.encode(gate))

    async def leave(self, place: Place, stay: Stay) -> None:
        """Notes what the session has made of the gate's file: who changes it after that is not its agent."""
        with contextlib.suppress(OSError, ChompError):  # what is not noted is not taken for the owner's, no more
            if (gate := self._known(stay.task)) is not None and gate.path:
                found = await place.file(stay, gate.path)
                left = hashlib.sha256(found[0]).hexdigest() if found is not None else ""
                self._remember(stay.task, msgspec.structs.replace(gate, left=left))

    def _others_there(self, task: Task, folder: Folder) -> bool:
        """Whether an agent of another task may have been in the folder since this task's last session."""
        since = max((unix_s(one.ended_at) for one in task.sessions[:-1]), default=math.inf)
        for other in self._store.state.tasks.values():
            if other.id == task.id or not other.dir or folder.kind == "clone":
                continue
            there = Path(os.path.realpath(os.path.expanduser(other.dir)))
            if not (there.is_relative_to(folder.root) or folder.root.is_relative_to(there)):
                continue
            if any(not one.ended_at or unix_s(one.ended_at) >= since - 1 for one in other.sessions):
                return True
        return False

    async def verify(self, place: Place, stay: Stay, gate: Gate, secrets: Sequence[str]) -> dict[str, Any]:
        """Runs the gate: fields of Session. The verdict is its exit status; one that the agent changed is put back."""
        argv, edited = gate.argv, False
        try:
            if gate.copy:
                path = str(stay.folder.path / gate.path)
                found = await place.file(stay, gate.path)
                original = await asyncio.to_thread(WorkFiles.read, Path(gate.copy), GATE_FILE_BYTES)
                edited = found is None or found[0] != original
                if gate.argv[0] == gate.path:
                    script = (path, *gate.argv[1:])
                    argv = script if gate.executable else (place.program(stay, "bash") or "bash", *script)
                if edited:
                    mode = gate.executable
                    copy = await place.put(stay, f"gate-{stay.session}", original, executable=mode)
                    argv = ("/bin/sh", "-c", _PUT_BACK, "gate", copy, path, *argv)
            limit_s = self._settings().tasks.gate_timeout_s
            exit_code, output = await place.capture(stay, argv, limit_s, GATE_BYTES, secrets)
        except (OSError, ChompError) as error:
            exit_code, output = 127, f"the gate cannot be run: {error}".encode()
        finally:
            await self.leave(place, stay)  # the gate has run what the agent wrote, too
        return {
            "verdict": "timeout" if exit_code is None else "passed" if exit_code == 0 else "failed",
            "gate_exit": exit_code,
            "gate_output": text_of(output),
            "gate_edited": edited,
        }


class Run:
    """One active task, from its start to its end: what Dispatch knows of it beside the queue."""

    def __init__(self, task_id: str):
        self.task_id = task_id
        self.told: set[str] = set()
        self.red = 0  # how often its gate has failed
        self.ended = asyncio.Event()
        self.begun = asyncio.Event()  # the session has a terminal, or never will
        self.counted = asyncio.Event()  # set when its meter has changed
        self.stay: Stay | None = None
        self.dropped = False  # when it is stopped, it goes
        self._step: asyncio.Task[Any] | None = None  # what may be cancelled
        self._cancels = 0
        self.begin("")

    def begin(self, session_id: str, place: str = "local") -> None:
        """Another session."""
        self.session_id = session_id
        self.place = place
        self.agent: Agent | None = None
        self.meter: Meter | None = None
        self.asked = ""  # the action of somebody who wants another end
        self.why = ""  # words for it
        self.unasked = False  # it was chomp that wanted it: its owner does not know
        self.claim = ""  # what the agent says it has done
        self.reported = 0  # tokens it says it has used
        self.limited_until_s = 0.0  # as the agent says; of the lasting clock
        self.asks = False  # it says it needs somebody
        self.asks_since_s = 0.0
        self.warnings: list[str] = []
        self.saved = Saved()
        self.locked = ""  # a lock of git that was left, and work that is not committed
        self.events_read = 0
        self.begun.clear()

    def ask(self, action: str, words: str = "") -> bool:
        """Another end than its own is wanted: whether that is what comes. The first who asks is heard."""
        if self.asked in ("", "follow"):
            self.asked, self.why = action, words
            if self._step is not None and self._step is not asyncio.current_task():
                self._cancels += 1
                self._step.cancel()
        return self.asked == action

    async def unless_asked(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What `work` comes to; None when somebody asks for another end, which cancels it."""
        if self.asked:
            work.close()
            return None
        step = cast(asyncio.Task[Any], asyncio.current_task())
        self._step, self._cancels = step, 0
        try:
            return await work
        except asyncio.CancelledError:
            if not self._cancels or step.cancelling() > self._cancels:  # somebody else ends us
                raise
            return None
        finally:
            for _ in range(self._cancels):
                step.uncancel()
            self._step = None


class Dispatch:
    """Starts agents on tasks, watches them, and settles what came of it."""

    def __init__(
        self,
        settings: Callable[[], Settings],
        queue: TaskQueue,
        store: Store,
        machine: Machine,
        platforms: Platforms,
        meters: Meters,
        credentials: Credentials,
        background: Background,
        events: EventBus,
        routing: RouterPool,
    ):
        self._settings = settings
        self.queue = queue
        self._store = store
        self.machine = machine
        self.places: dict[str, Place] = {"local": machine}
        self._gates = Gates(settings, store, machine.folders.judged)
        self.platforms = platforms
        self._meters = meters
        self._credentials = credentials
        self._background = background
        self._events = events
        self._routing = routing
        self._runs: dict[str, Run] = {}
        self._address = ""  # where agents reach chomp; nothing is started before it is known
        self._stopping = False
        self._not_cleaned: frozenset[str] = frozenset()  # what was said of folders
        self._complaint = ""
        self._cleaning: asyncio.Task[None] | None = None
        queue.live = self.live

    # -- what others ask

    def live(self, task: Task) -> Task:
        """`task` with the numbers of its running session."""
        run = self._runs.get(task.id)
        if run is None or (current := open_session(task)) is None or not (measured := self._measured(run)):
            return task
        sessions = (*task.sessions[:-1], msgspec.structs.replace(current, **measured))
        known = [one.cost_usd for one in sessions if one.cost_usd is not None]
        return msgspec.structs.replace(
            task,
            sessions=sessions,
            tokens=sum(one.tokens for one in sessions),
            cost_usd=sum(known) if known else None,
        )

    async def begun(self, task_id: str, session_id: str = "") -> None:
        """Waits for the terminal of a session that is being prepared; it may never get one."""
        run = self._runs.get(task_id)
        if run is not None and session_id in ("", run.session_id):
            await run.begun.wait()

    def terminal(self, task_id: str, session_id: str = "") -> Agent | Ended | None:
        """The terminal of a task's session ("" = its last), or what is kept of it."""
        run = self._runs.get(task_id)
        if run is not None and run.agent is not None and session_id in ("", run.session_id):
            return run.agent
        task = self._store.state.tasks.get(task_id)
        for session in reversed(task.sessions if task is not None else ()):
            if session_id in ("", session.id) and (session.ended_at or session_id):
                return Ended(self._transcript(task_id, session.id), session.exit_code)
        return None

    async def printed(self, task: Task, session_id: str, since: int, wait_s: float, *, raw: bool = False) -> Printed:
        """What a session of `task` printed after `since`; waits for more of a running one, up to `wait_s`.

        Below 0 it counts from the end. Unless it is to be `raw`, no character or escape sequence is cut in two.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + wait_s
        found = await self._printed(task, session_id, since, wait_s)
        while not (raw or found.ended) and found.data and not (whole := whole_part(found.data)):
            if (left_s := ends_at - loop.time()) <= 0:
                return Printed(b"", found.since, found.since, False)
            await asyncio.sleep(min(left_s, UNFINISHED_S))
            found = await self._printed(task, session_id, since, 0.0)
        if raw or found.ended or not found.data:
            return found
        return Printed(found.data[:whole], found.since, found.since + whole, False)

    async def _printed(self, task: Task, session_id: str, since: int, wait_s: float) -> Printed:
        run = self._runs.get(task.id)
        running = run is not None and run.session_id == session_id
        if run is not None and running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await run.begun.wait()
                    if run.agent is not None and run.session_id == session_id and since >= 0:
                        await run.agent.output.more(since)
            running = run.session_id == session_id and not run.ended.is_set()
        agent = run.agent if run is not None and running else None
        if agent is None:
            if running:
                return Printed(b"", max(since, 0), max(since, 0), False)
            transcript = self._transcript(task.id, session_id)
            since = max(0, transcript.size + since) if since < 0 else since
            begins, data = await transcript.read(since, PRINTED_BYTES)
            ended = len(data) < PRINTED_BYTES
        else:
            output = agent.output
            since = max(0, output.offset + since) if since < 0 else since
            begins, data = output.since(since, PRINTED_BYTES)
            if begins > since:  # the ring has lost it, the transcript has it
                begins, data = await output.transcript.read(since, PRINTED_BYTES)
            ended = output.ended and begins + len(data) >= output.offset
        return Printed(data, begins, begins + len(data), ended)

    def pump(self) -> None:
        """Starts what may start, as far as there is room: every way to a start ends here."""
        if self._stopping or not self._address or self._store.fault:  # what cannot be put on record does not start
            return
        for task in self.queue.startable():
            if task.platform and task.id not in self._runs and self.queue.room(task.platform):
                self._launch(task.id)

    async def add(self, fields: Mapping[str, Any]) -> Task:
        """A new task; when it is to run, running or waiting for room. Raises BadRequest, TooLarge or Conflict."""
        said = checked_fields(self.queue.state, "", fields)
        if said.get("dir") and not said.get("blocked_by"):  # what another task makes first cannot be looked at now
            await self.check(said["dir"], in_place=said.get("in_place", False))
        if not said.get("run"):
            return await self.queue.add(fields)
        task = await self.queue.add({**fields, "platform": said.get("platform") or await self._pick()})
        return await self._pumped(task.id)

    async def check(self, folder: str, *, in_place: bool = False) -> str:
        """What a task would work in: "clone", "in_place" or "plain". Raises BadRequest where it must not."""
        return await self.places["local"].check(folder, in_place=in_place)

    async def run_task(self, task_id: str, **fields: Any) -> Task:
        """The task, running, or waiting for room. Raises NotFound or Conflict."""
        task = self.queue.get(task_id)
        if not (fields.get("platform") or task.platform):
            fields["platform"] = await self._pick()
        await self.queue.act(task_id, "want", wanted=True, **fields)
        return await self._pumped(task_id)

    async def retry(self, task_id: str, *, run: bool) -> Task:
        """A finished task queued again, to go on in the same folder. Raises NotFound or Conflict."""
        await self.queue.act(task_id, "retry", wanted=run, verified=None)
        return await self._pumped(task_id)

    async def stop_task(self, task_id: str, words: str = "") -> Task:
        """The task, stopped: nothing of it runs any more. Raises NotFound or Conflict."""
        task = self.queue.get(task_id)
        if task.status == "queued" and self._settings().tasks.auto:  # else it would start by itself
            return await self.queue.act(task_id, "stop")
        if task.status == "queued" and (task.wanted or task.until):
            return await self.queue.set(task_id, wanted=False, until="", note="", phase="")
        # on a full disk, too: that it has ended is on record later
        return await self._ask(task_id, "stop", words or "stopped by its owner", on_record=False)

    async def drop(self, task_id: str) -> Task:
        """The task, deleted for now; what runs of it is ended first. Raises NotFound or Conflict."""
        if self.queue.get(task_id).status != "active":
            return await self.queue.delete(task_id)
        if (run := self._runs.get(task_id)) is not None:
            run.dropped = True  # in the moment it ends: nobody shall see it stand there as failed
        task = await self._ask(task_id, "stop", "deleted by its owner", gone=True)
        return task if task.deleted else await self.queue.delete(task_id)

    async def diff(self, task: Task, most_bytes: int) -> str:
        """What a task has changed, as unified diff. Raises Unavailable."""
        place = task.sessions[-1].place if task.sessions else "local"
        return await self.places[place].diff(task, most_bytes)

    async def finish(self, task_id: str, words: str) -> Task:
        """The owner says the task is done; a running agent is ended. Raises NotFound or Conflict."""
        if self.queue.get(task_id).status != "active":
            result = words or self.queue.get(task_id).result
            return await self.queue.act(task_id, "done", result=result)
        return await self._ask(task_id, "done", words)

    async def hand_off(self, task_id: str, words: str, *, wait: bool = True) -> Task:
        """Closes the session and queues the task again with a record. Raises NotFound or Conflict."""
        return await self._ask(task_id, "handoff", words, wait=wait)

    async def interrupt(self, task_id: str) -> Task:
        """Ends the agent's turn: the messages that wait are delivered now. Raises NotFound or Conflict."""
        if all(one.session for one in self.queue.get(task_id).messages):  # one that just began has them
            return self.queue.live(self.queue.get(task_id))
        return await self._ask(task_id, "follow", "", wait=False)

    async def edit(self, task_id: str, fields: Mapping[str, Any]) -> Task:
        """The task with fields written anew; budgets of a running one hold at once. Raises as TaskQueue's does."""
        task = await self.queue.edit(task_id, fields)
        self._meters.budgeted(task)
        return await self._pumped(task_id)

    async def go_on(self, task_id: str) -> Task:
        """Grants one more budget, or ends a wait. Raises NotFound or Conflict."""
        task = self.queue.get(task_id)
        if task.status == "queued" and task.until:
            await self.queue.set(task_id, until="", note="", wanted=True, phase="")
        elif task.status == "active":
            task = await self.queue.set(task_id, grants=granted(self.live(task)), budget_exceeded=False)
            self._meters.granted(task)
            if (run := self._runs.get(task_id)) is not None:
                run.told.discard("budget_reached")
        elif task.status == "failed" and task.reason == "limit":
            self._meters.granted(task)  # the day's, where that is used up
            grants = granted(task)
            await self.queue.act(task_id, "retry", wanted=True, verified=None, grants=grants, budget_exceeded=False)
        else:
            raise Conflict(f"task {task_id} is {task.status} and waits for nothing")
        return await self._pumped(task_id)

    def type_in(self, task_id: str, data: bytes, session_id: str = "") -> None:
        """Writes to the terminal of a running session. Raises NotFound, Conflict or Busy."""
        run = self._typing(task_id, session_id)
        run.asks = False
        cast(Agent, run.agent).input(data)

    def _typing(self, task_id: str, session_id: str) -> Run:
        self.queue.get(task_id)
        run = self._runs.get(task_id)
        if run is None or run.agent is None or run.agent.output.ended or session_id not in ("", run.session_id):
            raise Conflict(f"task {task_id} has no terminal to write to now")
        return run

    def resize(self, task_id: str, cols: int, rows: int, session_id: str = "") -> None:
        """Gives the terminal of a running session another size. Raises NotFound or Conflict."""
        agent = cast(Agent, self._typing(task_id, session_id).agent)
        if (agent.output.cols, agent.output.rows) == (cols, rows):
            agent.nudge()  # whoever looks now has seen nothing yet
        else:
            agent.resize(cols, rows)

    def claimant(self, task_id: str, session_id: str) -> Run:
        """The open session that something is said of. Raises NotFound or Conflict."""
        self.queue.get(task_id)
        run = self._runs.get(task_id)
        if run is None or (session_id and run.session_id != session_id):
            raise Conflict(f"no session of task {task_id} is open to report on")
        return run

    def claim(self, task_id: str, session_id: str, claim: Claim) -> None:
        """What a session's agent, or the owner for it, says; it changes no status. Raises NotFound or Conflict."""
        run = self.claimant(task_id, session_id)
        if claim.result:
            run.claim = claim.result
        if claim.tokens:
            self._report(run, claim.tokens)
        if claim.phase:
            run.asks, run.asks_since_s = claim.phase == "needs_input", time.monotonic()
        self.queue.shown_anew(task_id)

    async def _ask(
        self, task_id: str, action: str, words: str, *, wait: bool = True, on_record: bool = True, gone: bool = False
    ) -> Task:
        task = self.queue.get(task_id)
        run = self._runs.get(task_id)
        if task.status != "active" or run is None:
            raise Conflict(f"task {task_id} is {task.status}, not active")
        if on_record:
            await self._store.check()  # what is refused must not have happened
        if self._runs.get(task_id) is not run:
            raise Conflict(f"task {task_id} has just ended")
        if not run.ask(action, words):
            raise Conflict(f"task {task_id} is ending already: somebody asked for {run.asked}")
        if wait:
            await run.ended.wait()
            with contextlib.nullcontext() if on_record else contextlib.suppress(Unavailable):
                await self._store.saved()
        return self._store.state.tasks[task_id] if gone else self.queue.live(self.queue.get(task_id))

    async def _pumped(self, task_id: str) -> Task:
        self.pump()
        with contextlib.suppress(Unavailable):  # what was asked for is on disk; the start can wait
            await self._store.saved()
        return self.queue.live(self.queue.get(task_id))

    async def _pick(self) -> str:
        if wished := self._settings().tasks.platform:
            return wished
        if (picked := await self.platforms.pick()) is None:
            raise Conflict("no agent is available: name a platform, or install one", code="no_platform")
        return picked.id

    # -- starting and stopping chomp

    async def recover(self) -> None:
        """Settles what a dead process left: survivors are ended, their tasks fail as interrupted."""
        left = self.queue.unowned()
        runs = {current.run for task in left if (current := open_session(task)) is not None and current.run}
        survivors = [one for place in self.places.values() for one in await place.sweep(runs)] if runs else []
        for task in left:
            current = open_session(task)
            used: dict[str, Any] = {}
            with contextlib.suppress(DatabaseFault):
                used = await self._meters.recorded(task.id, current.id) if current is not None else {}
            words = "chomp ended while it ran; Resume goes on in the same folder"
            if survivors:
                words += f"; these processes could not be ended: {', '.join(map(str, survivors))}"
            self.queue.act_now(task.id, "interrupt", session={**used, "error": words})
        with contextlib.suppress(Unavailable):  # a full disk: it is tried again, and said
            await self._store.saved()

    def open(self, address: str) -> None:
        """Agents reach chomp at `address`: tasks start as soon as it is known what shuts them in."""
        self._background.start("tasks", self._watch(address))

    async def _watch(self, address: str) -> None:
        """Starts what a moment in time lets start, and cleans up, again and again."""
        await self.machine.runner.probe()
        self._address = address
        cleaned_s = -math.inf
        while True:
            try:
                self.queue.stirred.clear()
                self._store.refresh()  # nobody else may look for long at what another program wrote
                self.queue.purge()
                self._end_disowned()
                await self._settle_orphans()
                self.pump()  # at first those that have an agent: there may be none for the others
                await self._name_platforms()
                self.pump()
                now_s = time.monotonic()
                if now_s - cleaned_s >= CLEAN_EVERY_S and (self._cleaning is None or self._cleaning.done()):
                    cleaned_s = now_s
                    self._cleaning = self._background.start("clean-up", self._clean(self.queue.now()))
            except (ChompError, OSError) as error:  # a state file nobody can read: the next look may find it mended
                self._complain(f"the queue cannot be looked at: {error}")
            await asyncio.sleep(STIR_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_S if self._runs else 5 * WATCH_S):
                    await self.queue.stirred.wait()

    def _end_disowned(self) -> None:
        """Ends agents whose task is active no more: others may write state.json, and what they wrote stays."""
        for run in self._runs.values():
            task = self._store.state.tasks.get(run.task_id)
            if task is None or task.status != "active":
                run.ask("interrupt", "its task was changed by another program")

    async def _settle_orphans(self) -> None:
        """Ends tasks as interrupted that are active and that nobody runs: others may write state.json."""
        for task in self.queue.unowned():
            if task.id not in self._runs:
                current = open_session(task)
                used: dict[str, Any] = {}
                with contextlib.suppress(DatabaseFault):
                    used = await self._meters.recorded(task.id, current.id) if current is not None else {}
                if task.id not in self._runs:
                    self.queue.act_now(task.id, "interrupt", session={**used, "error": "nobody ran it any more"})

    async def _name_platforms(self) -> None:
        """Gives those that may start and name no platform one: limits count by it."""
        with contextlib.suppress(Conflict, NotFound):  # there is none
            for task in self.queue.startable():
                if not task.platform:
                    picked = await self._pick()
                    now = self.queue.get(task.id)
                    if now.status == "queued" and not now.platform:
                        self.queue.set_now(task.id, platform=picked)

    async def _clean(self, now: float) -> None:
        """Deletes folders and output kept long enough."""
        said = await self.machine.folders.clean(lambda: self._store.state.tasks, now)
        for words in said:
            if words not in self._not_cleaned:  # once
                log.info("%s", words)
        self._not_cleaned = frozenset(said)
        kept_s = self._settings().tasks.kept_failed_s
        await asyncio.to_thread(self._store.forget_outputs, now - kept_s, frozenset(self._runs))

    async def leftovers(self) -> list[Leftover]:
        """The folders of tasks that are over."""
        return await self.machine.folders.leftovers(lambda: self._store.state.tasks)

    async def free(self, ids: Sequence[str], *, unsaved: bool) -> dict[str, str]:
        """Deletes folders of tasks that are over; by id why one was not, "" where it was."""
        return {
            one: await self.machine.folders.free(one, lambda: self._store.state.tasks, unsaved=unsaved)
            for one in dict.fromkeys(ids)
        }

    def _complain(self, words: str) -> None:
        if words != self._complaint:
            self._complaint = words
            log.error("%s", words)

    async def stop(self) -> None:
        """chomp is shutting down: agents are ended, their tasks can be resumed."""
        self._stopping = True
        runs = tuple(self._runs.values())
        for run in runs:
            run.ask("interrupt", "chomp was shut down while it ran; Resume goes on in the same folder")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOPPING_S):
                for run in runs:
                    await run.ended.wait()

    # -- one task

    def _launch(self, task_id: str) -> None:
        run = Run(task_id)
        try:
            self._open(run, "run")
        except ChompError as error:
            self._complain(f"task {task_id} could not be started: {error}")
            return
        self._complaint = ""
        self._runs[task_id] = run
        self._background.start(f"task {task_id}", self._work(run))

    def _open(self, run: Run, action: str) -> None:
        """A session opened; what it is run under is on record before anything runs."""
        task = self.queue.act_now(run.task_id, action, session={"run": secrets.token_hex(12)})
        session = cast(Session, open_session(task))
        run.begin(session.id, session.place)

    async def _work(self, run: Run) -> None:
        """Session after session, until the task is done, failed or queued again."""
        try:
            while await self._session(run):
                if run.asked not in ("", "follow"):  # between two sessions
                    await self._close(run, run.asked, {}, asked=True)
                    break
                self._open(run, "open")
            if run.asked == "stop" and (task := self.queue.get(run.task_id)).status == "queued":
                self.queue.set_now(task.id, wanted=False, until="", note="", phase="")
        except (ChompError, OSError) as error:
            await self._end(run)
            await self._refused(run, error)
        except asyncio.CancelledError:
            await self._end(run)
            await self._settle(run, "interrupt", {"error": "chomp ended while it ran"})
            raise
        except Exception:  # a bug: the task fails, the log has the reason
            log.exception("task %s failed", run.task_id)
            await self._end(run)
            await self._settle(run, "crash", {"error": "chomp failed; its log says why"})
        finally:
            await self._end(run)
            self._close_meter(run)
            self._runs.pop(run.task_id, None)
            run.begun.set()
            run.ended.set()
            self.queue.shown_anew(run.task_id)
            self.pump()

    async def _refused(self, run: Run, error: ChompError | OSError) -> None:
        """A session that could not be begun, or not be settled."""
        facts = {"error": str(error)}
        if self._store.fault and run.agent is None:  # its agent never ran: it waits until it can be on record
            await self._settle(run, "wait", facts, wanted=True, until="", note="", phase="")
        elif (
            getattr(error, "code", "") == "router_unavailable"
            and run.agent is None
            and limit_waits(self.queue.get(run.task_id)) < LIMIT_WAITS
        ):
            wait_s = cast(ChompError, error).retry_after_s
            await self._settle(run, "wait", facts, **self._until(run, wait_s, "its router has been failing"))
        else:
            await self._settle(run, "refuse", facts)

    async def _end(self, run: Run) -> None:
        """Ends everything a session started; what cannot be ended is a warning."""
        if run.agent is None:
            return
        if survivors := await run.agent.stop():
            run.warnings.append(f"these processes could not be ended: {', '.join(map(str, survivors))}")

    async def _counted(self, run: Run) -> None:
        """Waits until the requests of an agent that has ended are over, too: what they used belongs to its session."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COUNTED_S):
                while run.meter is not None and run.meter.running:
                    run.counted.clear()
                    await run.counted.wait()

    async def _settle(self, run: Run, action: str, session: Mapping[str, Any], **fields: Any) -> None:
        """Ends the session by `action`; what was measured goes on record. A task deleted meanwhile is left alone.

        While state.json cannot be read, it waits: until then the task is active, and holds its place.
        """
        told = {**self._measured(run), "warnings": tuple(run.warnings), **session}
        if run.dropped and action == "stop":
            fields["deleted"] = iso(self.queue.now())
        while True:
            try:
                if run.agent is None or action == "wait":  # nobody has read what was delivered to it
                    fields["messages"] = tuple(
                        msgspec.structs.replace(one, session="") if one.session == run.session_id else one
                        for one in self.queue.get(run.task_id).messages
                    )
                task = self.queue.act_now(run.task_id, action, session=told, **fields)
            except Unavailable as error:
                self._complain(f"task {run.task_id} cannot be settled: {error}")
                if not self._stopping:
                    await asyncio.sleep(WATCH_S)
                    continue
            except (NotFound, Conflict):
                pass
            else:
                if task.status in ("done", "failed") and (run.unasked or task.reason not in ("stopped", "interrupted")):
                    words = task.result if task.status == "done" else told.get("error", "")
                    self._announce(run, f"notice_{task.status}", words)
            break
        self._close_meter(run)
        with contextlib.suppress(ChompError):
            await self._store.saved()

    def _close_meter(self, run: Run) -> None:
        if run.meter is not None:
            self._meters.close(run.meter)
            run.meter = None
        if run.session_id:
            self._credentials.revoke(run.task_id, run.session_id)

    async def _session(self, run: Run) -> bool:
        """One session, opened already, to its end. Whether another is to follow."""
        gate, interrupted = None, run.asked == "follow"
        if (prepared := await run.unless_asked(self._prepare(run))) is not None:
            gate, argv, env = prepared
            await self._store.saved()  # what is started must be on record before it is
            await self._start(run, argv, env)
            await run.unless_asked(self._attend(run))
            interrupted = run.asked == "follow"  # later there is no turn to end: the agent itself has
            await self._end(run)
            await self._hear(run)
        await self._counted(run)
        facts: dict[str, Any] = {}
        if run.stay is not None:
            facts["head"] = await self._save(run, run.stay)
        if run.agent is not None:
            facts["exit_code"] = run.agent.output.exit_code
        asked = run.asked if interrupted or run.asked != "follow" else ""
        action = decide(self._outcome(run, asked, gate, facts))
        if action == "verify":
            self._phase(run, "verifying")
            known = self._credentials.known()
            self._events.publish("gate_start", {"id": run.task_id, "session": run.session_id})
            verdict = self._gates.verify(self._place(run), self._stay(run), cast(Gate, gate), known)
            facts |= await run.unless_asked(verdict) or {}
            outcome = {"id": run.task_id, "session": run.session_id, "verdict": facts.get("verdict", "")}
            self._events.publish("gate_end", outcome)
            run.red += facts.get("verdict") not in (None, "passed")
            asked = run.asked
            action = decide(self._outcome(run, asked, gate, facts))
        return await self._close(run, action, facts, asked=asked != "")

    def _place(self, run: Run) -> Place:
        return self.places[run.place]

    def _stay(self, run: Run) -> Stay:
        """Where the session is, and its task as it is now."""
        return msgspec.structs.replace(cast(Stay, run.stay), task=self.queue.get(run.task_id))

    def _outcome(self, run: Run, asked: str, gate: Gate | None, facts: Mapping[str, Any]) -> Outcome:
        task = self.queue.get(run.task_id)
        return Outcome(
            asked=asked,
            exit_code=facts.get("exit_code") or 0,
            limited_s=self._limited_s(run),
            waits=limit_waits(task),
            over_budget=run.meter is not None and run.meter.refused,
            locked=bool(run.locked),
            messages=any(not one.session for one in task.messages),
            gate=gate is not None,
            verdict=facts.get("verdict", ""),
            red=run.red,
            most_red=self._settings().tasks.max_gate_loops,
        )

    def _limited_s(self, run: Run) -> float | None:
        """Seconds until a provider's limit is over; None when nobody has named a moment."""
        named_s = max(run.meter.limited_until_s if run.meter is not None else 0.0, run.limited_until_s)
        return named_s - self.queue.clocks.lasting() if named_s else None

    def _until(self, run: Run, wait_s: float | None, note: str) -> dict[str, Any]:
        """Fields of a task that goes on by itself, in so many seconds where somebody has named them."""
        if wait_s is None:
            wait_s = 60.0 * 2 ** min(limit_waits(self.queue.get(run.task_id)), 6)
        until = iso(self.queue.now() + wait_s + AFTER_LIMIT_S)
        return {"wanted": True, "until": until, "note": note, "phase": "waiting"}

    async def _close(self, run: Run, action: str, facts: dict[str, Any], *, asked: bool) -> bool:
        """Settles a session as it was decided, or as somebody asked. Whether another follows."""
        judged, fields = "verdict" in facts, dict[str, Any]()
        tail = "" if asked or run.agent is None else self._tail(run.agent.output)
        said = (run.why or run.claim) if asked else run.claim or tail
        facts["summary"] = said if action in ("done", "next", "gate", "handoff") else run.claim or tail
        match action:
            case "done":
                fields = {"result": said} if asked else {"result": said, "verified": True if judged else None}
            case "wait":
                fields = self._until(run, self._limited_s(run), "a provider's limit")
            case "handoff":
                facts["handoff"] = fields["handoff"] = self._record(run)
            case "gate":
                facts["error"] = f"the gate failed {run.red} times"
                fields = {"verified": False, "result": said}
            case "crash" | "limit" if not asked:
                facts |= {"error": self._failure(run, facts, tail), "summary": run.claim}
            case "follow" | "next":
                pass
            case _:
                facts["error"] = run.why
        await self._settle(run, action, facts, **fields)
        return action in ("follow", "next")

    def _failure(self, run: Run, facts: Mapping[str, Any], tail: str) -> str:
        """Why an agent's work is not taken, in words."""
        code = facts.get("exit_code") or 0
        if run.meter is not None and run.meter.refused and code:
            return f"the budget is used up: {self._meters.over(run.meter)}".removesuffix(": ")
        if code:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
            return f"the agent {how}\n{tail}".strip()
        return f"its work is not committed: git was locked by {run.locked}, left by one that did not end"

    # -- before it runs

    async def _prepare(self, run: Run) -> tuple[Gate | None, tuple[str, ...], dict[str, str]]:
        """Folder, gate, home, prompt and token for a session. Raises ChompError, with the remedy."""
        task, place = self.queue.get(run.task_id), self._place(run)
        platform = await self._platform(task.platform)
        level = place.isolation(task)
        context = await self._context(task, platform)
        self.queue.set_session(run.task_id, agent=platform.id, isolation=level)
        model = asked_model(task) if platform.metered else task.model
        stay = run.stay = await place.prepare(task, platform, level, model)
        self.queue.set_session(run.task_id, base=stay.folder.base, left_out=stay.folder.left_out)
        gate = await self._gates.of(place, stay, run.warnings.append)
        await place.setup(stay)
        self._deliver(run)
        task = self.queue.get(run.task_id)
        prompt, feedback = briefing(task, platform)
        path = await place.put(stay, f"prompt-{stay.session}.txt", prompt.encode())
        await place.put(stay, f"feedback-{stay.session}.txt", feedback.encode())
        token = self._credentials.issue(run.task_id, run.session_id, task.router)
        run.meter = self._meters.open(task, run.session_id, lambda meter: self._metered(run))
        argv = self.platforms.command(platform, task, Path(path), stay.folder.path)
        env = self._addresses(token)
        if context:
            env["TASK_CONTEXT"] = str(context)
        if len(prompt.encode()) <= PROMPT_IN_ENVIRONMENT_BYTES:
            env["TASK_PROMPT"] = prompt
        return gate, argv, env

    async def _platform(self, name: str) -> Platform:
        """A task's platform. Raises Unavailable when it cannot run here."""
        platforms = self.platforms.all()
        platform = platforms.get(name)
        if platform is None:
            raise Unavailable(f"there is no platform {name!r}{near_name(name, platforms)}")
        if remedy := await self.platforms.available(platform):
            raise Unavailable(remedy)
        return platform

    async def _context(self, task: Task, platform: Platform) -> int:
        """How many tokens the model takes; 0 when nobody says. Raises ChompError when there is no such model for it."""
        if not platform.metered or platform.script:
            return 0
        with contextlib.suppress(Busy):  # all are cooling down: the agent's requests wait, or are told until when
            return await self._routing.context(asked_model(task), task.router)
        return 0

    def _addresses(self, token: str) -> dict[str, str]:
        """Where an agent's model traffic goes, and as whom."""
        api = self._address
        return {
            "CHOMP_API": api,
            "CHOMP_API_TOKEN": token,
            "OPENAI_BASE_URL": f"{api}/v1",
            "OPENAI_API_BASE": f"{api}/v1",
            "OPENAI_API_KEY": token,
            "ANTHROPIC_BASE_URL": api,
            "ANTHROPIC_AUTH_TOKEN": token,
        }

    def _deliver(self, run: Run) -> None:
        """Messages that wait belong to the session that starts."""
        messages = self.queue.get(run.task_id).messages
        got = tuple(one if one.session else msgspec.structs.replace(one, session=run.session_id) for one in messages)
        self.queue.set_now(run.task_id, messages=got)

    # -- while it runs

    async def _start(self, run: Run, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Starts the agent. Raises Unavailable."""
        secret = (*self._credentials.known(), env["CHOMP_API_TOKEN"])
        output = Output(self._transcript(run.task_id, run.session_id), secret, SCREEN)
        try:
            run.agent = await self._place(run).start(self._stay(run), argv, env, output)
        except OSError as error:
            raise Unavailable(f"{argv[0]} cannot be started: {error}") from None
        run.begun.set()
        with contextlib.suppress(Unavailable):
            self.queue.set_session(run.task_id, pid=run.agent.pid, pid_started=run.agent.pid_started)
        self._phase(run, "running")

    async def _attend(self, run: Run) -> None:
        """Looks after an agent until it has ended, or is to end."""
        output, began = cast(Agent, run.agent).output, time.monotonic()
        while not output.ended and not run.asked:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_S):
                    await output.wait()
            await self._hear(run)
            if not output.ended:
                self._judge(run, time.monotonic() - began)

    def _judge(self, run: Run, ran_s: float) -> None:
        """What the agent is doing, as far as one can see from outside; ends it when it has done nothing for long."""
        agent, meter, settings = cast(Agent, run.agent), cast(Meter, run.meter), self._settings().tasks
        clocks, limited_s = self.queue.clocks, self._limited_s(run) or 0.0
        silent = min(time.monotonic() - agent.output.last_s, clocks.steady() - meter.last_s)
        if settings.session_s and ran_s > settings.session_s:
            run.ask("limit", f"it ran longer than {settings.session_s:g} s (session)")
        elif meter.held:
            self._phase(run, "waiting", note=f"{meter.held_for}: Continue grants as much again")
            self._announce(run, "budget_reached", meter.held_for)
        elif limited_s > 0:
            self._phase(run, "waiting", until=iso(clocks.wall() + limited_s), note="a provider's limit")
        elif (run.asks and agent.typed_s <= run.asks_since_s) or agent.asks():
            self._phase(run, "needs_input")
            self._announce(run, "notice_needs_input", "the agent waits for input")
        elif meter.running or silent < settings.stalled_s:
            self._phase(run, "running")
            run.told.discard("notice_needs_input")
        elif settings.stalled_stop_s and silent > settings.stalled_stop_s:
            run.unasked = run.ask("stop", f"neither output nor traffic for {silent:.0f} s (stalled_stop)")
        else:
            self._phase(run, "stalled", note=f"neither output nor traffic for {settings.stalled_s:g} s")

    def _phase(self, run: Run, phase: Phase, *, until: str = "", note: str = "") -> None:
        with contextlib.suppress(Unavailable):  # of a state.json that somebody writes just now; another look follows
            self.queue.set_now(run.task_id, phase=phase, until=until, note=note)

    def _metered(self, run: Run) -> None:
        """Traffic of the session was counted."""
        meter = run.meter
        run.counted.set()
        if meter is None:
            return
        if meter.exceeded != self.queue.get(run.task_id).budget_exceeded:
            self.queue.set_now(run.task_id, budget_exceeded=meter.exceeded)
            if meter.exceeded:
                words = f"{meter.budget.used_tokens:,} tokens are used, more than planned"
                self._announce(run, "budget_reached", meter.over() or words)
        self.queue.shown_anew(run.task_id)

    def _report(self, run: Run, tokens: int) -> None:
        """The agent says what it has used."""
        run.reported = tokens
        if run.meter is not None:
            run.meter.reported = tokens
            run.meter.changed()

    async def _hear(self, run: Run) -> None:
        """Reads what the agent's adapter wrote to TASK_EVENTS."""
        events, run.events_read = await self._place(run).events(cast(Stay, run.stay), run.events_read)
        for event in events:
            kind, text = event.get("type"), event.get("text")
            if kind == "needs_input":
                run.asks, run.asks_since_s = True, time.monotonic()
            elif kind in ("working", "progress"):
                run.asks = False
            elif kind == "result" and isinstance(text, str):
                run.claim = text_of(text[: 4 * SUMMARY_CHARS].encode("utf-8", "replace"))[:SUMMARY_CHARS]
            elif kind == "warning" and isinstance(text, str) and len(run.warnings) < 20:
                run.warnings.append(text_of(text[: 4 * SUMMARY_CHARS].encode("utf-8", "replace"))[:500])
            elif kind == "tokens" and type(event.get("total")) is int and 0 <= event["total"] < 10**12:
                self._report(run, event["total"])
            elif kind == "limit" and isinstance(at := event.get("reset_at"), (int, float)) and 0 < at < 1e12:
                left_s = min(float(at) - self.queue.now(), 30 * 86400)
                run.limited_until_s = self.queue.clocks.lasting() + left_s

    def _measured(self, run: Run) -> dict[str, Any]:
        """The open session's numbers: measured, else as the agent reports them."""
        if run.meter is None:
            return {"tokens": run.reported, "reported": True} if run.reported else {}
        return run.meter.used()

    def _record(self, run: Run) -> str:
        """The handoff record: goal, done, next, and what git says."""
        task = self.queue.get(run.task_id)
        facts = folder_facts(run.stay.folder, run.saved) if run.stay is not None else ""
        done = run.claim or "(the agent did not say)"
        git = f"\n## Git\n\n{facts}\n" if facts else ""
        return f"## Goal\n\n{task.prompt}\n\n## Done\n\n{done}\n\n## Next\n\n{run.why or '(not said)'}\n{git}"

    async def _save(self, run: Run, stay: Stay) -> str:
        """Brings the session's commits back, and says what is not among them; the last commit."""
        saved = run.saved = await self._place(run).bundle(self._stay(run))
        run.warnings += save_warnings(stay.folder, saved)
        run.locked = saved.locks[0] if saved.locks and saved.dirty_count else ""
        if saved.branch:
            self.queue.set_now(run.task_id, branch=saved.branch)
        await self._gates.leave(self._place(run), self._stay(run))
        return saved.head

    def _transcript(self, task_id: str, session_id: str) -> Transcript:
        limit = self._settings().tasks.transcript_bytes
        return self._store.transcript(self._store.output(task_id, session_id), limit)

    @staticmethod
    def _tail(output: Output) -> str:
        """The end of what the session printed, as text."""
        _, data = output.since(max(0, output.offset - SUMMARY_CHARS * 2))
        return text_of(data).strip()[-SUMMARY_CHARS:]

    def _announce(self, run: Run, kind: str, words: str) -> None:
        """Tells watchers, once in a session, what a person may want to know of a task."""
        if kind not in run.told:
            run.told.add(kind)
            self._events.publish(kind, {"id": run.task_id, "session": run.session_id, "words": words})


# == Web ===============================================================================================================


class Services(msgspec.Struct):
    """What handlers ask; made in App, bottom up."""

    settings: Settings
    credentials: Credentials
    routing: RouterPool
    proxy: Proxy
    usage: UsageLedger
    allowances: Allowances
    meters: Meters
    logins: Logins
    kernel: Kernel
    jobs: JobQueue
    dispatch: Dispatch
    responses: ResponseStore
    local: LocalModel
    prices: PriceTable
    bodies: BodyRoom
    background: Background
    store: Store
    events: EventBus
    reload: Callable[..., Awaitable[list[str]]]  # of the files, or of the settings it is given
    started_at: float
    started_s: float = msgspec.field(default_factory=time.monotonic)
    hosts: dict[str, bool] = {}  # Host headers seen, and whether they are served
    sockets: set[web.WebSocketResponse] = set()  # that are open

    def serves(self, host: str) -> bool:
        served = self.hosts.get(host)
        if served is None:
            served = serves_host(host, self.settings)
            if len(self.hosts) < 256:
                self.hosts[host] = served
        return served


SERVICES: web.AppKey[Services] = web.AppKey("services", Services)
CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)
REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
CROSS_ORIGIN: web.RequestKey[str] = web.RequestKey("cross_origin", str)
ACCOUNTED: web.RequestKey[bool] = web.RequestKey("accounted", bool)
MODEL_PATHS: dict[bytes, Api] = {
    b"/v1/chat/completions": "chat", b"/v1/completions": "completions", b"/v1/embeddings": "embeddings",
    b"/v1/messages": "messages", b"/v1/messages/count_tokens": "count_tokens", b"/v1/responses": "responses",
}  # fmt: skip
_SHORT_WAY: dict[bytes, Api] = {  # what the Door lets in; the others need more than a relay
    path: api for path, api in MODEL_PATHS.items() if api != "count_tokens"
}
routes = web.RouteTableDef()
_OPEN_PATHS = frozenset({"/health", "/login", "/", "/docs", "/usage"})  # the pages are shells: they show no data
_SOCKET_KEY = "chomp.key."  # a subprotocol that carries the browser's key: no header can be set on a WebSocket there
SOCKET_PROTOCOL = "chomp"
_CALLBACKS = frozenset({"/api/tasks/update", "/api/tasks/done", "/api/tasks/handoff"})  # of a task's own agent
_MODELS_PATHS = ("/v1/", "/v1beta/")
_USERS_PATHS = (  # beside the owner
    *_MODELS_PATHS, "/api/models/", "/api/usage", "/api/dispatch", "/api/result/", "/api/jobs",
)  # fmt: skip


_LARGE_BYTES = 1 << 20
_SLOWEST_BYTES_S = 1024  # a body that comes slower than this is a way to hold memory


class BodyRoom:
    """Bytes of request bodies being handled, bounded."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._turn = asyncio.Lock()
        self._reading: set[asyncio.Timeout] = set()
        self._stopping = False
        self.held = 0

    def stop(self) -> None:
        """chomp is shutting down: bodies still coming in are waited for no longer."""
        self._stopping = True
        for limit in self._reading:
            limit.reschedule(0)

    def has_room(self, size: int) -> bool:
        """Whether a body of that size may come in."""
        limits = self._limits
        return size <= limits.body_bytes and self.held + size <= limits.inflight_bytes

    def check(self, size: int | None, held: int = 0) -> None:
        """Raises TooLarge or Busy for a body that may not come in, `held` bytes of which are here.

        `size` is the declared one, None when there is none.
        """
        if size is not None and size > self._limits.body_bytes:
            raise TooLarge(f"the request body has {size} bytes, {self._limits.body_bytes} are allowed")
        if size is not None and self.held + size - held > self._limits.inflight_bytes:
            raise Busy(
                "too many request bytes are being handled", retry_after_s=1, should_retry=True, fault="chomp_shed"
            )

    async def read(self, request: web.Request, silence_s: float) -> bytes:
        """The decoded body, to be given back with `release`. Raises TooLarge, Busy, TooSlow or BadRequest."""
        size = request.content_length
        content = request.content
        decoding = decoding_of(request) if "content-encoding" in request.headers else None
        if not request.can_read_body:
            return b""
        if size is not None and decoding is None and content.is_eof() and size <= 65536:
            self.held += size  # all of it is here
            return content.read_nowait()
        self.check(size)
        held = size or 0
        self.held += held
        parts, came = [], 0
        loop, limit = asyncio.get_running_loop(), None
        started = loop.time()
        try:
            async with asyncio.timeout(0 if self._stopping and not content.is_eof() else silence_s) as limit:
                self._reading.add(limit)
                while not content.at_eof():
                    coded = await content.readany()
                    for part in (coded,) if decoding is None else decoding.feed(coded):
                        parts.append(part)
                        came += len(part)
                        if came > held:
                            self.check(came, held)
                            self.held += came - held
                            held = came
                        if decoding is not None:
                            await asyncio.sleep(0)  # a little may become much: others have their turn
                    now = loop.time()
                    if now - started > silence_s and came < (now - started) * _SLOWEST_BYTES_S:
                        raise TimeoutError
                    if not self._stopping:
                        limit.reschedule(now + silence_s)
            if decoding is not None:
                decoding.end()
            if came >= _LARGE_BYTES:
                async with self._turn:  # to join, read and send 20 MiB takes 20 ms: never ten in one turn of the loop
                    await asyncio.sleep(0)
            body = b"".join(parts)
        except BaseException as error:
            self.held -= held
            if isinstance(error, web.RequestPayloadError):
                content.feed_eof()  # else aiohttp reads on, and logs what we answer
            if (refusal := self._refusal(error, silence_s)) is not None:
                raise refusal from None
            raise
        finally:
            if limit is not None:
                self._reading.discard(limit)
        self.held += came - held
        return body

    def _refusal(self, error: BaseException, silence_s: float) -> ChompError | None:
        """What a client is told when its body could not be read; None for what has words of its own."""
        if isinstance(error, TimeoutError) and self._stopping:
            return Unavailable("chomp is shutting down", code="shutting_down", should_retry=True, fault="chomp_shed")
        if isinstance(error, TimeoutError):
            return TooSlow(f"the request body did not come within {silence_s:g} s")
        if isinstance(error, web.RequestPayloadError):
            return BadRequest("the request body is broken", code="invalid_body")
        if isinstance(error, CodingError):
            return BadRequest(f"the request body cannot be decoded: {error}", code="invalid_body")
        return None

    @contextlib.asynccontextmanager
    async def of(self, request: web.Request, silence_s: float) -> AsyncIterator[bytes]:
        """The decoded body, counted while the block runs. Raises TooLarge, Busy, TooSlow or BadRequest."""
        body = await self.read(request, silence_s)
        try:
            yield body
        finally:
            self.held -= len(body)

    @contextlib.contextmanager
    def counting(self, body: bytes) -> Iterator[None]:
        """Counts another body while the block runs, made of the one that came."""
        self.held += len(body)
        try:
            yield
        finally:
            self.held -= len(body)


def decoding_of(request: web.Request) -> Decoding | None:
    """What a body sent compressed has to go through. Raises BadRequest."""
    try:
        codings = read_codings(request.headers.getall("content-encoding", ()))
    except UnknownCoding as error:
        raise BadRequest(
            str(error), status=415, code="unsupported_encoding", headers={"accept-encoding": ACCEPTED_CODINGS}
        ) from None
    return Decoding(codings) if codings else None


_id_prefix = secrets.token_hex(4)
_id_count = 0
_GIVEN_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


def new_request_id(given: str | None) -> str:
    """A request's id: the client's own when it sent a usable one."""
    global _id_count
    if given is not None and _GIVEN_ID.fullmatch(given):
        return given
    _id_count += 1
    return f"req-{_id_prefix}-{_id_count:x}"


def serves_host(host: str, settings: Settings) -> bool:
    """Whether a `Host` header is one of ours: an address or a name that no foreign DNS can point here.

    Literal addresses cannot be rebound; other names have to be allowed.
    """
    try:
        name = urllib.parse.urlsplit(f"//{host}").hostname or ""
        public = urllib.parse.urlsplit(settings.public_url).hostname
    except ValueError:
        return False
    name = name.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    if name in (*settings.allowed_hosts, settings.host.lower(), public):
        return bool(name)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def check_origin(request: web.Request, settings: Settings) -> str:
    """The origin that may read the answer across origins, "" for none. Raises Forbidden for foreign pages."""
    origin = request.headers.get("origin")
    if origin is None:
        return ""
    if origin in settings.cors_origins:
        return origin
    if request.method not in _READING and not _is_own(origin, request, settings):
        raise Forbidden(
            f"requests from {origin[:100]} are not allowed; add it to cors_origins to allow them", code="foreign_origin"
        )
    return ""


_READING = ("GET", "HEAD", "OPTIONS")


def _is_own(origin: str, request: web.Request, settings: Settings) -> bool:
    """Whether `origin` is that of our own pages."""
    try:
        return urllib.parse.urlsplit(origin).netloc == request.headers.get("host") or origin == settings.public_url
    except ValueError:
        return False


def _asks_for_websocket(request: web.Request) -> bool:
    return request.headers.get("upgrade", "").lower() == "websocket"


def check_upgrade(request: web.Request, settings: Settings) -> None:
    """Raises Forbidden for a WebSocket of a foreign page. Who does not say where it is from is no browser."""
    origin = request.headers.get("origin")
    if origin is not None and not _is_own(origin, request, settings):
        raise Forbidden(f"WebSockets from {origin[:100]} are not allowed", code="foreign_origin")


def browser_key(request: web.Request) -> str:
    """The key that one of our pages sent, "" when there is none: as bearer, or among a WebSocket's subprotocols."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and (token := token.strip()).startswith(BROWSER_KEY):
        return token
    if _asks_for_websocket(request):
        for word in request.headers.get("sec-websocket-protocol", "").split(","):
            if (word := word.strip()).startswith(_SOCKET_KEY):
                return word.removeprefix(_SOCKET_KEY)
    return ""


def _for_tasks(method: str, path: str) -> bool:
    """Whether a task's token is good for that; whether the task of a callback is its own, its handler knows."""
    if method == "POST":
        return path.startswith(_MODELS_PATHS) or path in _CALLBACKS
    return method in ("GET", "HEAD") and path.startswith(("/v1/models", "/v1beta/models"))


def _api_key(request: web.Request) -> str:
    """The key that a client sends elsewhere than as a bearer token; Google's have other places for it."""
    headers = request.headers
    if client_dialect(request) == "gemini" and (key := headers.get("x-goog-api-key") or request.query.get("key")):
        return key
    return headers.get("x-api-key", "")


def authenticate(request: web.Request, services: Services) -> Caller:
    """Who is asking. Raises Unauthorized, with the same words for a missing and a wrong token."""
    path = request.path
    if path in _OPEN_PATHS or path.startswith("/static/"):
        return OWNER
    if path in services.kernel.open_paths and request.method in ("GET", "HEAD"):
        return OWNER
    headers = request.headers
    authorization, api_key = headers.get("authorization", ""), _api_key(request)
    caller = services.credentials.caller(authorization, api_key)
    if caller is not None:
        if caller.kind == "task" and not _for_tasks(request.method, path):
            raise Forbidden(f"{request.method} {path[:100]} is not for a task's agent")
        if caller.kind == "user" and not path.startswith(_USERS_PATHS):
            raise Forbidden(f"{path[:100]} is for the owner")
        return caller
    # one that looks like a task's is dead
    if services.settings.v1_no_auth and path.startswith(_MODELS_PATHS) and TASK_TOKENS not in authorization + api_key:
        return OWNER
    if (key := browser_key(request)) and services.logins.check(key):
        return OWNER
    raise Unauthorized(
        "a valid chomp token is needed (`Authorization: Bearer ...` or `x-api-key: ...`); `bin/chomp token` prints it",
        headers={"www-authenticate": 'Bearer realm="chomp"'},
    )


def is_known(request: web.Request) -> bool:
    """Whether who opened a connection may still have it: a key ends while streams and sockets are open."""
    try:
        authenticate(request, request.app[SERVICES])
    except ChompError:
        return False
    return True


def error_answer(
    error: ChompError, request_id: str, redact: Callable[[str], str], dialect: Dialect = "chat"
) -> tuple[dict[str, str], bytes]:
    """Headers and body of `error` in the shape of `dialect`, without secrets."""
    text = redact(msgspec.json.encode(error_shape(error, dialect, request_id)).decode()).encode()
    own = {"x-request-id": request_id}
    if dialect == "messages":
        own["request-id"] = request_id
    return {**own, **error.headers, **error.retry_headers(), **SAFE_HEADERS}, text


def path_dialect(path: str) -> Dialect:
    """What the clients at `path` understand."""
    if path.startswith("/v1beta/"):
        return "gemini"
    if path.startswith("/v1/messages"):
        return "messages"
    return "responses" if path.startswith("/v1/responses") else "chat"


def client_dialect(request: web.Request) -> Dialect:
    """What the client of `request` understands."""
    if request.path.startswith("/v1/models") and "anthropic-version" in request.headers:
        return "messages"
    if request.path.startswith(_GOOGLES_TOO) and _is_googles(request):
        return "gemini"
    return path_dialect(request.path)


_GOOGLES_TOO = ("/v1/models", "/v1/interactions")  # its SDK for Python asks below /v1


def _is_googles(request: web.Request) -> bool:
    """Whether a client speaks Google's dialect where others ask, too."""
    names = ("x-goog-api-key", "x-goog-api-client")
    called = request.method == "POST" and ":" in request.path  # a method of a model
    return called or "key" in request.query or any(name in request.headers for name in names)


def error_response(request: web.Request, error: ChompError, credentials: Credentials) -> web.Response:
    """`error` as aiohttp answers it."""
    request_id = request.get(REQUEST_ID) or new_request_id(request.headers.get("x-request-id"))
    headers, text = error_answer(error, request_id, credentials.redact, client_dialect(request))
    response = web.Response(body=text, status=error.status, headers=headers, content_type="application/json")
    if error.status in (408, 413):
        response.force_close()  # the rest of the body is not read
    return response


def refused(request: web.Request, error: ChompError) -> web.Response:
    """The answer to a request that did not get as far as the proxy, which accounts for all others."""
    services = request.app[SERVICES]
    api = MODEL_PATHS.get(request.path.encode()) if request.method == "POST" else None
    if request.method == "POST" and request.path.endswith(_GENERATES):
        api = "gemini"
    if api is not None and not request.get(ACCOUNTED, False):
        request_id = request[REQUEST_ID] = request.get(REQUEST_ID) or new_request_id(
            request.headers.get("x-request-id")
        )
        known = request.get(CALLER)
        row = LedgerRow(
            at=time.time(),
            request_id=request_id,
            caller="" if known is None else known.name,
            api=api,
            status=error.status,
            error_type=error.fault,
        )
        if known is None:  # whoever reaches the port must not be able to fill the disk
            services.usage.count(row)
        else:
            services.usage.record(row)
    return error_response(request, error, services.credentials)


_GENERATES = (":generateContent", ":streamGenerateContent")
SAFE_HEADERS = {"x-content-type-options": "nosniff", "cache-control": "no-store"}


def http_error(error: web.HTTPException) -> ChompError:
    """aiohttp's own errors (no such route, wrong method, ...) as ours."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return BadRequest(
            f"{error.method} is not allowed here, {allowed} is",
            status=405,
            code="method_not_allowed",
            headers={"allow": allowed},
        )
    if error.status == 404:
        return NotFound("there is nothing at this address")
    return BadRequest(error.reason or "bad request", status=error.status, code="bad_request")


_PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with "no-referrer" browsers hide the Origin of our own requests, too
    "cache-control": "no-store",
}


def page_headers() -> dict[str, str]:
    """Headers of every page: what it may load, who may frame it, and that its address stays here."""
    return dict(_PAGE_HEADERS)


def error_page(request: web.Request) -> web.Response | None:
    """For a person who has opened an address that is none; None for programs, and where there is something."""
    nowhere = getattr(request.match_info, "http_exception", None)
    wants = request.method == "GET" and request.headers.get("accept", "").startswith("text/html")
    if not wants or "hx-request" in request.headers or not isinstance(nowhere, web.HTTPNotFound):
        return None
    response = aiohttp_jinja2.render_template("error.html", request, {"error": http_error(nowhere)}, status=404)
    response.headers.update(page_headers())
    return response


@web.middleware
async def guard(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Host, origin, caller, then the handler; every error gets its status and shape here and nowhere else."""
    services = request.app[SERVICES]
    settings = services.settings
    protocol = request.protocol
    cross = ""
    try:
        headers = request.headers
        if sum(len(name) + len(value) + 4 for name, value in request.raw_headers) > HEAD_BYTES:
            raise BadRequest(
                f"the request's headers are more than {HEAD_BYTES} bytes", status=431, code="headers_too_large"
            )
        for name in ("host", "authorization", "x-api-key", "x-goog-api-key"):
            if len(headers.getall(name, ())) > 1:
                raise BadRequest(f"the header {name} is there twice", code="repeated_header")
        host = headers.get("host", "")
        if not services.serves(host):
            raise Forbidden(
                f"this chomp does not serve the host {host[:100]!r}; CHOMP_ALLOWED_HOSTS adds names",
                code="unknown_host",
            )
        if "origin" in headers and (cross := check_origin(request, settings)):
            request[CROSS_ORIGIN] = cross
            if request.method == "OPTIONS":
                return web.Response(status=204, headers=_preflight(request, cross))
        if "upgrade" in headers and _asks_for_websocket(request):
            check_upgrade(request, settings)
        request[CALLER] = authenticate(request, services)
        response = await handler(request)
    except ChompError as error:
        response = error_page(request) or refused(request, error)
    except web.HTTPException as error:
        response = error_page(request) or error_response(request, http_error(error), services.credentials)
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception as error:  # a bug: the client gets an error in its shape, the log the reason
        log.exception("%s %s failed", request.method, request.path)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer broke off") from error
        response = error_response(request, ChompError("chomp failed; its log says why"), services.credentials)
    finally:
        if isinstance(protocol, Handler):
            protocol.busy = False
    if not response.prepared and not isinstance(response, _Sent) and "x-request-id" not in response.headers:
        request_id = request.get(REQUEST_ID) or new_request_id(request.headers.get("x-request-id"))
        response.headers["x-request-id"] = request_id
    if cross and not response.prepared and not isinstance(response, _Sent):
        response.headers["access-control-allow-origin"] = cross
        response.headers["vary"] = "origin"
        response.headers["access-control-expose-headers"] = "*"
    return response


def _preflight(request: web.Request, origin: str) -> dict[str, str]:
    return {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "GET, POST, DELETE",
        "access-control-allow-headers": request.headers.get(
            "access-control-request-headers", "authorization, content-type"
        ),
        "access-control-max-age": "600",
        "vary": "origin",
    }


async def expect(request: web.Request) -> web.StreamResponse | None:
    """Answers `Expect: 100-continue`: bodies that would be refused are refused before they are sent."""
    services = request.app[SERVICES]
    try:
        if request.headers.get("expect", "").lower() != "100-continue":
            raise BadRequest("only 100-continue can be expected", status=417, code="expectation_failed")
        request[CALLER] = authenticate(request, services)
        decoding_of(request)
        services.bodies.check(request.content_length)
    except ChompError as error:
        response = refused(request, error)
        response.force_close()
        return response
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer itself has not begun
    return None


async def body_of(request: web.Request, kind: type[T]) -> T:
    """A small JSON body as `kind`. Raises BadRequest naming position or path."""
    services = request.app[SERVICES]
    async with services.bodies.of(request, services.settings.timeouts.body_s) as raw:
        return decoded_body(raw, kind)


def decoded_body(raw: bytes, kind: type[T]) -> T:
    """`raw` as `kind`. Raises BadRequest naming position or path."""
    return cast(T, decoded(functools.partial(msgspec.json.decode, type=kind), raw or b"{}"))


async def given_fields(request: web.Request) -> dict[str, Any]:
    """The fields of a JSON object or of a form. Raises BadRequest."""
    if request.content_type == "multipart/form-data":
        raise BadRequest("a form is sent as application/x-www-form-urlencoded", code="invalid_form")
    if request.content_type != "application/x-www-form-urlencoded":
        return await body_of(request, dict[str, Any])
    services = request.app[SERVICES]
    async with services.bodies.of(request, services.settings.timeouts.body_s) as raw:
        if raw.lstrip().startswith(b"{"):  # curl -d sends JSON as a form unless it is told not to
            return decoded_body(raw, dict[str, Any])
        try:
            fields = urllib.parse.parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=200, errors="strict")
        except (UnicodeDecodeError, ValueError) as error:
            raise BadRequest(f"the form cannot be read: {error}", code="invalid_form") from None
        found: dict[str, Any] = {name: value for name, value in fields if not name.endswith("[]")}
        boxes: dict[str, list[str]] = {}
        for name, value in fields:
            if name.endswith("[]"):  # one box among several; an empty one says that there are none
                boxes.setdefault(name[:-2], []).extend([value] * bool(value))
        return found | boxes


async def given_of(request: web.Request, kind: type[T]) -> T:
    """A JSON object or a form as `kind`. Raises BadRequest."""
    return fields_as(await given_fields(request), kind)


REFRESH_S = 0.25
SIGNALS: dict[str, tuple[tuple[str, float], ...]] = {  # event -> what pages fetch again, each at most once in so many s
    "task": (("refreshTasks", REFRESH_S), ("refreshTask-{id}", REFRESH_S), ("refreshBalance", 1.0)),
    "platforms": (("refreshBalance", 1.0), ("refreshSettings", 1.0)),
    "settings": (("refreshTasks", REFRESH_S), ("refreshBalance", REFRESH_S), ("refreshSettings", REFRESH_S)),
    "request_complete": (("refreshBalance", 5.0),),  # how the routers are
    "request_error": (("refreshBalance", 5.0),),
}
EVERY_SIGNAL = ("refreshTasks", "refreshTask", "refreshBalance", "refreshSettings")  # for a page that missed some


def signals_of(kind: str, id: str = "") -> str:
    """What the page that has caused an event fetches again at once, as the header HX-Trigger names it."""
    return ", ".join(name.format(id=id) for name, _ in SIGNALS[kind] if id or "{id}" not in name)


def reply(value: Any, status: int = 200, *, trigger: str = "") -> web.Response:
    """`value` as JSON; `trigger` names events for the page that asked."""
    headers = {**SAFE_HEADERS, "hx-trigger": trigger} if trigger else SAFE_HEADERS
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers=headers, content_type="application/json"
    )


def json_post(path: str, kind: type[T]) -> Callable[[Callable[[Services, Caller, T], Awaitable[Any]]], Any]:
    """Routes POST `path` to a handler of its body as `kind`; what the handler returns is the answer."""

    def routed(handle: Callable[[Services, Caller, T], Awaitable[Any]]) -> Any:
        @functools.wraps(handle)
        async def answer(request: web.Request) -> web.Response:
            fields = await body_of(request, kind)
            return reply(await handle(request.app[SERVICES], request[CALLER], fields))

        return routes.post(path)(answer)

    return routed


class _Sent(web.StreamResponse):
    """Tells aiohttp that the answer has been written already."""

    def __init__(self, keep_alive: bool):
        super().__init__()
        self._keeps = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._keeps

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


SENT_KEEP, SENT_CLOSE = _Sent(True), _Sent(False)


def _status_line(status: int, phrase: str) -> str:
    return f"HTTP/1.1 {status} {phrase}\r\n"


_STATUS_LINES = {int(status): _status_line(status, status.phrase) for status in http.HTTPStatus}


class Connection(Protocol):
    """A client's connection, as a sink sees it."""

    @property
    def transport(self) -> asyncio.Transport | None: ...

    @property
    def writing_paused(self) -> bool: ...


class ClientSink(msgspec.Struct, eq=False):
    """The client's side of a relay: writes our own head and framing straight to its connection.

    aiohttp's `prepare()` costs as much as the rest of a relayed request. `writer.output_size` is kept true, so that
    aiohttp knows an answer has begun and writes no second one.
    """

    _connection: Connection
    id: str
    _redact: Callable[[str], str]
    dialect: Dialect = "chat"
    on_done: Callable[[], None] | None = None
    started: bool = False
    chunked: bool = True
    close: bool = False
    cross_origin: str = ""
    writer: AbstractStreamWriter | None = None
    _head: bytes = b""  # until the first write
    _framed: bool = False

    @property
    def paused(self) -> bool:
        return self._connection.writing_paused

    def _lines(self, status: int) -> str:
        """The first lines of the head."""
        self.started = True
        lines = f"{_STATUS_LINES.get(status) or _status_line(status, '')}x-request-id: {self.id}\r\n"
        if self.dialect == "messages":
            lines += f"request-id: {self.id}\r\n"
        if self.close:
            lines += "connection: close\r\n"
        if origin := self.cross_origin:
            lines += f"access-control-allow-origin: {origin}\r\naccess-control-expose-headers: *\r\nvary: origin\r\n"
        return lines

    def _send(self, data: bytes) -> None:
        transport = self._connection.transport
        if transport is not None and not transport.is_closing():
            if self.writer is not None:
                self.writer.output_size += len(data)
            transport.write(data)

    def whole(self, status: int, head: bytes, body: bytes) -> None:
        lines = f"{self._lines(status)}content-length: {len(body)}\r\nx-content-type-options: nosniff\r\n"
        self._send(b"%b%b\r\n%b" % (lines.encode("latin-1"), head, body))

    def start(self, status: int, head: bytes, *, stream: bool) -> None:
        lines = self._lines(status)
        if stream:
            if b"content-type:" not in head:
                lines += "content-type: text/event-stream\r\n"
            lines += "cache-control: no-cache, no-transform\r\nx-accel-buffering: no\r\n"
        if self.chunked:
            self._framed = True
            lines += "transfer-encoding: chunked\r\n"
        self._head = b"%b%bx-content-type-options: nosniff\r\n\r\n" % (lines.encode("latin-1"), head)

    def write(self, run: bytes) -> None:
        if self._framed:
            run = b"%x\r\n%b\r\n" % (len(run), run)
        if self._head:
            run, self._head = self._head + run, b""
        self._send(run)

    def write_chunk(self, run: bytes, framed: bytes) -> None:
        transport = self._connection.transport
        if self._head or not self._framed or self.writer is not None or transport is None:
            self.write(run)
        elif not transport.is_closing():
            transport.write(framed)

    def comment(self, run: bytes) -> None:
        if not self.started:
            self.start(200, b"content-type: text/event-stream; charset=utf-8\r\n", stream=True)
        self.write(run)

    def end(self) -> None:
        last, self._head = self._head, b""
        if self._framed:
            last += b"0\r\n\r\n"
        if last:
            self._send(last)

    def fail(self, error: ChompError) -> None:
        if self.started:  # its frame, and a proper end
            self.write(error_frames(error, self.dialect))
            self.end()
            return
        headers, text = error_answer(error, self.id, self._redact, self.dialect)
        own = ("x-request-id", "request-id", "x-content-type-options")  # written anyway
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if name not in own)
        head = f"content-type: application/json; charset=utf-8\r\n{lines}".encode("latin-1", "replace")
        self.whole(error.status, head, text)

    def abort(self) -> None:
        self.close = True
        transport = self._connection.transport
        if transport is not None:
            transport.abort()

    def done(self) -> None:
        if self.on_done is not None:
            self.on_done()


class ArraySink(ClientSink, eq=False):
    """A stream as one JSON array, as Google's clients have it that do not ask for events."""

    _begun: bool = False
    _streams: bool = False

    def start(self, status: int, head: bytes, *, stream: bool) -> None:
        self._streams = stream
        super().start(status, head.replace(b"text/event-stream", b"application/json"), stream=stream)

    def write(self, run: bytes) -> None:
        if self._streams and (found := gemini_dialect.elements(run)):
            run = (b",\n" if self._begun else b"[") + b",\n".join(found)
            self._begun = True
        super().write(run)

    def write_chunk(self, run: bytes, framed: bytes) -> None:
        self.write(run)

    def end(self) -> None:
        if self._streams:
            super().write(b"]\n" if self._begun else b"[]\n")
        super().end()


async def relay(request: web.Request, exchange: Exchange, sink: ClientSink) -> None:
    """One exchange to a client that came aiohttp's way."""
    over = asyncio.Event()
    sink.on_done = over.set
    handler = request.protocol if isinstance(request.protocol, Handler) else None
    if handler is not None:
        handler.exchange = exchange  # hears how its client keeps pace
    try:
        exchange.begin()
        await over.wait()
    finally:
        if handler is not None:
            handler.exchange = None
        sink.on_done = None
        exchange.leave()


HEAD_BYTES = 65536  # of a request; more than that upstreams hang up on
_FIELD_BYTES = 8000
_PLAIN_BYTES = 1 << 20  # larger bodies are read under the limits of `BodyRoom`
_PLAIN_S = 1.0  # so are those that take longer than this to come
_HEADS, _HEAD_REMEMBERED_BYTES = 256, 4096  # heads remembered, and how large one of them may be
_LONG_WAY = frozenset(  # headers that need aiohttp's way: they are seldom sent, or change what is done
    b"origin expect transfer-encoding content-encoding upgrade connection x-chomp-prefer x-chomp-no-fallback".split()
)
_ONCE = frozenset(b"host authorization x-api-key content-length".split())  # aiohttp knows what to think of two


class RequestHead(msgspec.Struct, gc=False):
    """What the head of a plain request means, whatever the length of its body."""

    api: Api
    caller: Caller
    headers: Sequence[tuple[bytes, bytes]]
    query: bytes
    request_id: str  # the client's own
    dialect: Dialect
    generation: int  # of the credentials by which it was let in
    heads: dict[int, tuple[Target, tuple[Origin, bytes]]]  # what of it goes to upstreams


class _HeadReader:
    """A request's head, as llhttp sees it."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_whole = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.is_whole = True

    def read(self, head: bytes) -> bool:
        """Whether it is the head of a plain POST: nothing unusual about it, and nothing large."""
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(head)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        is_plain = self.is_whole and parser.get_method() == b"POST" and parser.get_http_version() == "1.1"
        if not is_plain or not parser.should_keep_alive() or parser.should_upgrade():
            return False
        sizes = [len(self.url), *(len(value) for _, value in self.headers)]
        return len(head) <= HEAD_BYTES and len(sizes) <= 100 and max(sizes) <= _FIELD_BYTES


class Door(asyncio.Protocol):
    """A client's connection, as long as what comes over it is plain.

    A plain, authenticated POST to a completions path that comes without delay needs neither aiohttp's request object
    nor its two tasks: that is a quarter of what a relayed request costs. Whatever is unusual, wrong or refused goes
    to aiohttp, with the connection, for good: so of any byte only one parser thinks what it is.
    """

    __slots__ = (
        "_exchange", "_head", "_late", "_missing", "_patience", "_pieces", "_raw", "_runner", "_sink", "idle_since",
        "transport", "writing_paused",
    )  # fmt: skip

    def __init__(self, runner: Runner):
        self._runner = runner
        self.transport: asyncio.Transport | None = None
        self.writing_paused = False
        self.idle_since = time.monotonic()
        self._exchange: Exchange | None = None  # of the request under way
        self._sink: ClientSink | None = None
        self._head: RequestHead | None = None  # of a request whose body is still coming
        self._raw = b""
        self._pieces: list[bytes] = []
        self._missing = 0
        self._patience: asyncio.TimerHandle | None = None
        self._late = b""

    @property
    def busy(self) -> bool:
        """Whether a request is being read or answered."""
        return self._exchange is not None or self._patience is not None or bool(self._late)

    # -- what comes in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=PAUSE_BYTES)
        self._runner.came(self)

    def data_received(self, data: bytes) -> None:
        if self._exchange is not None or self._late:  # pipelined: after the answer
            self._late += data
            if len(self._late) > _PLAIN_BYTES and self.transport is not None:
                self.transport.abort()  # paused, its leaving would not be noticed
            return
        if self._missing:
            self._go_on(data)
            return
        end = data.find(b"\r\n\r\n")
        at = data.find(b"\r\nContent-Length: ", 0, end)
        if at < 0:
            at = data.find(b"\r\ncontent-length: ", 0, end)
        if at < 0 or end < 0:
            self._hand_over(data)
            return
        at += 18
        line_end = data.find(b"\r", at, end + 1)
        digits = data[at:line_end]
        if not digits.isdigit() or len(digits) > 7:
            self._hand_over(data)
            return
        key = data[:at] + data[line_end:end]  # the head, but for the length
        head = self._runner.heads.get(key)
        if head is None or head.generation != self._runner.credentials.generation:
            head = self._runner.read_head(key, data[: end + 4], digits)
        end += 4
        size = int(digits)
        missing = size - len(data) + end
        if head is None or size > _PLAIN_BYTES:
            self._hand_over(data)
        elif missing <= 0:
            if not self._begin(head, data[end : end + size]):
                self._hand_over(data)
            elif missing:
                self._put_off(data[end + size :])
        else:
            self._head, self._raw, self._pieces, self._missing = head, data[:end], [data[end:]], missing
            self._patience = self._runner.loop.call_later(_PLAIN_S, self._give_up)

    def _go_on(self, data: bytes) -> None:
        """The next piece of a body."""
        rest = data[self._missing :]
        self._pieces.append(data[: self._missing] if rest else data)
        self._missing = max(0, self._missing - len(data))
        if self._missing:
            return
        cast(asyncio.TimerHandle, self._patience).cancel()
        self._patience = None
        body = b"".join(self._pieces)
        self._pieces = []
        if not self._begin(cast(RequestHead, self._head), body):
            self._hand_over(self._raw + body + rest)
        elif rest:
            self._put_off(rest)

    def _put_off(self, data: bytes) -> None:
        """What came with a request waits until that has its answer."""
        self._late = data
        if self._exchange is None:
            self._runner.loop.call_soon(self._take_late)

    def _take_late(self) -> None:
        late, self._late = self._late, b""
        if late and self.transport is not None and not self.transport.is_closing():
            self.data_received(late)

    def _give_up(self) -> None:
        """The body takes its time: aiohttp's way has limits for that."""
        self._patience = None
        self._hand_over(b"".join((self._raw, *self._pieces)))

    def _begin(self, head: RequestHead, body: bytes) -> bool:
        """Starts the relay of a request that passes every check without a word; False leaves it to aiohttp's way."""
        runner = self._runner
        services = runner.services
        bodies, size = services.bodies, len(body)
        if runner.closing or not bodies.has_room(size):
            return False
        if head.generation != runner.credentials.generation:  # while its body came; who asks may be nobody by now
            return False
        if head.api == "responses":  # what is kept, or goes on from there, needs more than a relay
            try:
                if ITEM_REFERENCE in body or not decode_conversing(body).is_over:
                    return False
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return False
        request_id = new_request_id(head.request_id or None)
        request = ChatRequest(
            head.api, body, head.headers, request_id, "", True, time.perf_counter(), head.query, (), head.heads
        )
        sink = ClientSink(self, request_id, runner.credentials.redact, head.dialect, self._answered)
        self._sink = sink
        bodies.held += size
        self._exchange = exchange = services.proxy.exchange(request, head.caller, sink)
        exchange.begin()
        return True

    def _hand_over(self, data: bytes) -> None:
        """From now on the connection is aiohttp's."""
        transport, runner = self.transport, self._runner
        runner.left(self)
        if transport is None:
            return
        inner = runner.handler()
        transport.set_protocol(inner)
        inner.connection_made(transport)
        if self.writing_paused:
            inner.pause_writing()  # it asserts that a pause came before the end of one
        inner.data_received(data)
        if runner.closing:
            inner.close()

    # -- what goes out

    def _answered(self) -> None:
        """The answer has gone out: this connection is free for the next request."""
        exchange, sink, runner = self._exchange, self._sink, self._runner
        if exchange is None or sink is None:
            return
        runner.services.bodies.held -= len(exchange.request.body)
        self._exchange = self._sink = None
        self.idle_since = time.monotonic()
        if self.transport is None:
            return
        if sink.close or (runner.closing and not self._late):
            self.transport.close()
        elif self._late:
            runner.loop.call_soon(self._take_late)

    def pause_writing(self) -> None:
        self.writing_paused = True
        if self._exchange is not None:
            self._exchange.pause()

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._exchange is not None:
            self._exchange.resume()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.transport, self._late = None, b""
        self._runner.left(self)
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self._exchange is not None:
            self._exchange.leave()

    def abort(self) -> None:
        """Leaves whoever is there."""
        if self._exchange is not None:
            self._exchange.leave()
        if self.transport is not None:
            self.transport.abort()

    def close(self) -> None:
        """chomp is shutting down: a connection that waits for a request goes, another after its answer."""
        if self._patience is not None:
            self._patience.cancel()
            self._give_up()  # aiohttp's way answers
        elif not self.busy and self.transport is not None:
            self.transport.close()


class Handler(web.RequestHandler):
    """aiohttp's side of a connection: for all that is not plain."""

    __slots__ = ("_line", "_runner", "busy", "exchange")

    def __init__(self, runner: Runner, server: web.Server, **options: Any):
        super().__init__(server, **options)
        self._runner = runner
        self._line: re.Match[bytes] | None = None  # of the last request
        self.busy = False  # whether a request is being read or answered
        self.exchange: Exchange | None = None  # that is relayed here

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._runner.came(self)

    def data_received(self, data: bytes) -> None:
        self.busy = self.busy or data.find(b"\r\n\r\n") >= 0  # a whole head: a request is due
        if line := _REQUEST_LINE.match(data):  # aiohttp's parser forgets what was asked when it cannot go on
            self._line = line
        super().data_received(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.exchange is not None:
            self.exchange.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.exchange is not None:
            self.exchange.resume()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._runner.left(self)
        super().connection_lost(exc)

    def close(self) -> None:
        super().close()
        if not self.busy and self.transport is not None:
            self.transport.close()  # aiohttp leaves an idle connection open, and deaf

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError("the answer broke off") from exc
        path, line = request.path, self._line
        if status >= 500:
            log.error("a request failed outside its handler", exc_info=exc)
            error = ChompError("chomp failed; its log says why", status=status)
        else:
            if isinstance(exc, http_exceptions.LineTooLong) or "many headers" in (message or ""):
                status = 414 if line is not None and line.end() > _FIELD_BYTES else 431
            error = BadRequest(f"bad HTTP request: {sentence(message or '')[:200]}", status=status, code="bad_http")
            if line is not None:
                path = line["path"].decode("latin-1")
        redact = self._runner.services.credentials.redact
        sink = ClientSink(self, new_request_id(None), redact, path_dialect(path))
        sink.close = True
        sink.fail(error)
        return SENT_CLOSE


_REQUEST_LINE = re.compile(rb"[A-Z]+ (?P<path>/[^ ?\r\n]*)[^ \r\n]*")


class Runner:
    """The server: listens, knows every client's connection, and remembers heads of requests that were let in."""

    def __init__(self, app: web.Application, settings: Settings):
        self._app = app
        self._idle_s = settings.timeouts.client_idle_s
        self._aiohttp = web.AppRunner(
            app,
            handler_cancellation=True,  # else a client that leaves is not noticed
            access_log=None,  # the ledger writes one line per request
            handle_signals=False,
            shutdown_timeout=2.0,
        )
        self._listeners: list[asyncio.Server] = []
        self._connections: set[Door | Handler] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self.heads: dict[bytes, RequestHead] = {}
        self.closing = False

    async def setup(self) -> None:
        """Starts the application."""
        self.loop = asyncio.get_running_loop()
        await self._aiohttp.setup()
        self.services = self._app[SERVICES]
        self.credentials = self.services.credentials

    async def listen(self, opened: socket.socket) -> None:
        """Lets clients in that connect to a bound socket."""
        self._listeners.append(await self.loop.create_server(lambda: Door(self), sock=opened, backlog=4096))

    @property
    def addresses(self) -> list[Any]:
        """Where it listens."""
        return [one.getsockname() for listener in self._listeners for one in listener.sockets]

    def handler(self) -> Handler:
        """aiohttp's side of one connection."""
        server = cast(web.Server, self._aiohttp.server)
        return Handler(
            self,
            server,
            loop=self.loop,
            access_log=None,
            auto_decompress=False,  # `BodyRoom` does it, under its limits
            keepalive_timeout=self._idle_s,
            lingering_time=2.0,
        )

    # -- connections

    def came(self, connection: Door | Handler) -> None:
        """A connection is there."""
        self._connections.add(connection)
        if self._sweep is None:
            self._sweep = self.loop.call_later(min(5.0, self._idle_s / 2), self._close_unused)

    def left(self, connection: Door | Handler) -> None:
        """It is gone, or another's."""
        self._connections.discard(connection)

    def _close_unused(self) -> None:
        """Closes doors nobody came through for too long; aiohttp looks after its own."""
        doors = [one for one in self._connections if isinstance(one, Door)]
        self._sweep = self.loop.call_later(min(5.0, self._idle_s / 2), self._close_unused) if doors else None
        oldest = time.monotonic() - self._idle_s
        for door in doors:
            if door.idle_since < oldest and not door.busy:
                door.close()

    # -- heads

    def read_head(self, key: bytes, raw: bytes, digits: bytes) -> RequestHead | None:
        """What a head means that is plain, and whose caller may come in; remembered by `key`. None for others."""
        reader = _HeadReader()
        if not reader.read(raw):
            return None
        path, _, query = reader.url.partition(b"?")
        api = _SHORT_WAY.get(path)
        fields: dict[bytes, bytes] = {}
        for name, value in reader.headers:
            low = name.lower()
            if low in _LONG_WAY and not (low == b"connection" and value.lower() == b"keep-alive"):
                return None
            if low in _ONCE and low in fields:
                return None
            fields[low] = value
        services, credentials = self.services, self.credentials
        authorization, api_key, host = (
            fields.get(name, b"").decode("latin-1") for name in (b"authorization", b"x-api-key", b"host")
        )
        caller = credentials.caller(authorization, api_key)
        if api is None or caller is None or not services.serves(host) or fields.get(b"content-length") != digits:
            return None
        request_id = fields.get(b"x-request-id", b"").decode("latin-1")
        dialect = dialect_of(api)
        head = RequestHead(api, caller, reader.headers, query, request_id, dialect, credentials.generation, {})
        if len(key) <= _HEAD_REMEMBERED_BYTES:
            if len(self.heads) >= _HEADS:
                self.heads.clear()
            self.heads[key] = head
        return head

    # -- the end

    def close(self) -> None:
        """Lets nobody in any more: what waits for a request is closed, the others after their answer."""
        self.closing = True
        for listener in self._listeners:
            listener.close()
        for connection in tuple(self._connections):
            connection.close()

    async def answered(self, limit_s: float) -> None:
        """Waits, within bounds, until every request that came in has its answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while any(one.busy for one in self._connections):  # noqa: ASYNC110 - aiohttp says no more
                    await asyncio.sleep(0.02)

    async def cleanup(self) -> None:
        """Ends every connection, then the application."""
        self.close()
        if self._sweep is not None:
            self._sweep.cancel()
        for door in [one for one in self._connections if isinstance(one, Door)]:
            door.abort()
        await self._aiohttp.cleanup()


# -- template filters: numbers, moments and colours as pages show them


def token_words(count: int) -> str:
    """500, 1k, 1.2M."""
    return str(count) if count < 1000 else f"{count // 1000}k" if count < 10**6 else f"{count / 1e6:.1f}M"


def usd_words(amount: float | None) -> str:
    """$0.42, $0.0042; "no price" when nobody knows it, never an invented sum."""
    if amount is None:
        return "no price"
    if 0 < amount < 0.00005:
        return "<$0.0001"
    return f"${amount:,.2f}" if amount == 0 or amount >= 0.1 else f"${amount:.4f}"


def duration_words(seconds: float) -> str:
    """42s, 3m 5s, 2h 10m, 3d."""
    whole = max(0, int(seconds))
    if whole >= 48 * 3600:
        return f"{whole // 86400}d"
    if whole >= 3600:
        return f"{whole // 3600}h {whole % 3600 // 60}m"
    return f"{whole // 60}m {whole % 60}s" if whole >= 60 else f"{whole}s"


def setting_words(seconds: float) -> str:
    """A duration as it is written in chomp.toml: 90s, 5m, 7d."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:g}s"


def shown_address(address: str) -> str:
    """Where an address leads, without what may be secret in it: user, password, path and query."""
    url = urllib.parse.urlsplit(address)
    bare = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
    return address if address in ("", bare, f"{bare}/") else f"{bare}/..."


def moment_s(moment: str) -> float:
    """Unix seconds of an RFC 3339 moment; 0 for what is none."""
    with contextlib.suppress(ValueError):
        return datetime.datetime.fromisoformat(moment).timestamp()
    return 0.0


def luminance(color: str) -> float:
    """Relative luminance of #RRGGBB (WCAG 2.2)."""
    parts = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


LIGHT_GROUND, DARK_GROUND = "#f4f4f5", "#3a3a3d"  # the worst ground a coloured name stands on, by theme


@functools.lru_cache(maxsize=1024)
def readable(color: str, dark: bool = False) -> str:
    """`color` made darker, or lighter on dark ground, until it can be read as text (4.5:1)."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", color):
        color = "#71717a"
    ground = DARK_GROUND if dark else LIGHT_GROUND
    hue, light, full = colorsys.rgb_to_hls(*(int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)))
    while contrast(color, ground) < 4.6:  # white and black, where this ends, reach it
        light = min(1.0, max(0.0, light + (0.01 if dark else -0.01)))
        color = "#" + "".join(f"{round(part * 255):02x}" for part in colorsys.hls_to_rgb(hue, light, full))
    return color


def ink(color: str) -> str:
    """The style attribute of a name in its colour: one for each theme."""
    return f"--name-light:{readable(color)};--name-dark:{readable(color, True)}"


class BudgetUse(msgspec.Struct, frozen=True):
    """How much of a task's budget is used."""

    words: str
    share: float  # 0 to 1
    hard: bool  # somebody set it: crossing it pauses
    over: bool


def budget_of(task: Task, default_tokens: int) -> BudgetUse | None:
    """Of its budgets the one that is used most; the soft one of all tasks when it has none. None without any."""
    used = max(0, sum(map(budget_use, task.sessions)))  # what an agent reports may be less than what was cached
    found = []
    if tokens := task.budget_tokens if task.budget_tokens is not None else default_tokens:
        total = tokens * (1 + task.grants)
        found.append(
            (used / total, f"{token_words(used)} of {token_words(total)} tokens", task.budget_tokens is not None)
        )
    if task.budget_usd:
        most = task.budget_usd * (1 + task.grants)
        spent = task.cost_usd or 0.0
        found.append((spent / most, f"{usd_words(spent)} of {usd_words(most)}", True))
    if not found:
        return None
    share, words, hard = max(found, key=lambda one: (one[2], one[0]))
    return BudgetUse(words, min(share, 1.0), hard, share >= 1 or (task.budget_exceeded and not hard))


_STATE_WORDS = {
    "queued": "Queued", "starting": "Starting", "running": "Running", "needs_input": "Needs you", "stalled": "Stalled",
    "verifying": "Checking", "waiting": "Waiting", "paused": "Paused", "done": "Done", "failed": "Failed",
    "stopped": "Stopped",
}  # fmt: skip
_REASON_WORDS = {
    "gate": "The gate stayed red", "crash": "The agent failed", "stopped": "Stopped",
    "limit": "A limit was reached", "interrupted": "chomp ended while it ran", "refused": "Could not start",
}  # fmt: skip


def state_of(task: Task) -> str:
    """Where a task is, in one word: its status, or the phase while it is active; `paused` waits for a person."""
    if task.status == "active":
        return "paused" if task.phase == "waiting" and not task.until else task.phase or "running"
    if task.status == "queued":
        return "waiting" if task.until else "queued"
    return "stopped" if task.reason == "stopped" else task.status


def state_words(task: Task) -> str:
    return _STATE_WORDS[state_of(task)]


def reason_words(task: Task) -> str:
    """Why a task failed; "" when it did not."""
    return _REASON_WORDS.get(task.reason, "")


def session_seconds(session: Session, now: Callable[[], float] = time.time) -> float:
    """How long a session took, or takes."""
    return max(0.0, (moment_s(session.ended_at) if session.ended_at else now()) - moment_s(session.started_at))


TEMPLATE_FILTERS: dict[str, Callable[..., Any]] = {
    "tokens": token_words, "usd": usd_words, "duration": duration_words, "written": setting_words, "ink": ink,
    "state": state_of, "state_words": state_words, "reason_words": reason_words, "seconds": session_seconds,
    "address": shown_address,
}  # fmt: skip


# == Gateway API =======================================================================================================


async def _relay(request: web.Request, api: Api) -> web.StreamResponse:
    services = request.app[SERVICES]
    request[REQUEST_ID] = new_request_id(request.headers.get("x-request-id"))
    async with services.bodies.of(request, services.settings.timeouts.body_s) as body:
        if not services.credentials.knows(request[CALLER]):  # any more: the body may have taken its time
            raise Unauthorized("the token of this request has ended while its body came")
        asked = _asked(request, api, body)
        if api == "gemini":
            _address(request, asked)
        conversing = decoded(decode_conversing, body) if api == "responses" else None
        items = [] if conversing is None else await _items_of(request, asked, conversing)
        with services.bodies.counting(b"" if asked.body is body else asked.body):
            sink = _sink_for(request, api)
            exchange = services.proxy.exchange(asked, request[CALLER], sink)
            request[ACCOUNTED] = True
            try:
                await relay(request, exchange, sink)
            finally:  # a client may leave with the event that completes the response, before the end of the stream
                if conversing is not None and conversing.store is not False:
                    await _keep_response(request, exchange, conversing, items)
            return SENT_CLOSE if sink.close else SENT_KEEP


def _sink_for(request: web.Request, api: Api) -> ClientSink:
    """The client's side of a relay."""
    as_array = api == "gemini" and request.query.get("alt") != "sse"
    kind = ArraySink if as_array else ClientSink
    sink = kind(request.protocol, request[REQUEST_ID], request.app[SERVICES].credentials.redact, dialect_of(api))
    sink.chunked = request.version >= (1, 1)
    sink.close = not (sink.chunked and request.keep_alive)
    sink.writer = request.writer
    sink.cross_origin = request.get(CROSS_ORIGIN, "")
    return sink


async def _items_of(request: web.Request, asked: ChatRequest, conversing: Conversing) -> list[Raw]:
    """The items of a responses request, of what is kept those it names in their place. Raises ChompError."""
    # what is wrong with them must be found before there is an answer
    items = _items(conversing.input) if conversing.store is not False else []
    if ITEM_REFERENCE in asked.body:
        items = await _dereferenced(request, asked, conversing)
    if conversing.previous_response_id:
        await _continued(request, asked, conversing, items)
    return items


async def _keep_response(
    request: web.Request, exchange: Exchange, conversing: Conversing, items: Sequence[Raw]
) -> None:
    """Keeps a whole answer, for whoever goes on from there."""
    services, caller = request.app[SERVICES], request[CALLER]
    if services.credentials.knows(caller) and (answer := exchange.response()):
        previous = (conversing.previous_response_id if exchange.request.resolved else None) or ""
        keeping = services.responses.keep(caller, previous, msgspec.json.encode(items), answer)
        await asyncio.shield(services.background.start(f"response of {request[REQUEST_ID]}", keeping))


def _asked(request: web.Request, api: Api, body: bytes) -> ChatRequest:
    """What the client wants. Raises BadRequest."""
    headers = request.headers
    prefer = headers.get("x-chomp-prefer", "")
    if prefer not in PREFERENCES:
        raise BadRequest(f"x-chomp-prefer is fast, cheap or free, not {prefer[:50]!r}", param="x-chomp-prefer")
    fallback = headers.get("x-chomp-no-fallback", "0") in ("0", "false")
    query = request.rel_url.raw_query_string.encode("latin-1", "replace")
    return ChatRequest(
        api, body, request.raw_headers, request[REQUEST_ID], prefer, fallback, time.perf_counter(), query
    )


@routes.post("/v1/chat/completions")
async def relay_chat(request: web.Request) -> web.StreamResponse:
    """POST /v1/chat/completions {model, messages, stream?, router?, ...} -> the router's answer"""
    return await _relay(request, "chat")


@routes.post("/v1/completions")
async def relay_completions(request: web.Request) -> web.StreamResponse:
    """POST /v1/completions {model, prompt, stream?, router?, ...} -> the router's answer

    For routers that still offer it.
    """
    return await _relay(request, "completions")


@routes.post("/v1/embeddings")
async def relay_embeddings(request: web.Request) -> web.StreamResponse:
    """POST /v1/embeddings {model, input, router?, ...} -> the router's answer

    From a router that offers them.
    """
    return await _relay(request, "embeddings")


@routes.post("/v1/messages")
async def relay_messages(request: web.Request) -> web.StreamResponse:
    """POST /v1/messages {model, max_tokens, messages, ...} -> a message, or its events, of any router's model"""
    return await _relay(request, "messages")


class _Counted(msgspec.Struct):
    model: str
    messages: Raw
    system: Raw = Raw()
    tools: Raw = Raw()
    router: str | None = None


_decode_counted = msgspec.json.Decoder(_Counted).decode


@routes.post("/v1/responses")
async def relay_responses(request: web.Request) -> web.StreamResponse:
    """POST /v1/responses {model, input, previous_response_id?, ...} -> a response, or its events, of any model"""
    return await _relay(request, "responses")


class _Reference(msgspec.Struct):
    type: str = ""
    id: str = ""


_decode_reference = msgspec.json.Decoder(_Reference).decode


async def _dereferenced(request: web.Request, asked: ChatRequest, given: Conversing) -> list[Raw]:
    """The input with items that are kept here in the place of what names them; so it stands in `asked`, too."""
    services, items = request.app[SERVICES], _items(given.input)
    targets = await services.routing.plan(given.model or "", given.router or "", asked.prefer, "responses")
    knows = targets[0].api == "responses" and request[CALLER].user is None  # the router, those it gave itself
    found: dict[str, Raw] = {}
    size = 0
    for at, item in enumerate(items):
        if ITEM_REFERENCE in bytes(item) and (named := decoded(_decode_reference, item)).type == "item_reference":
            if named.id not in found:
                if len(found) >= RESPONSES_CHAIN:
                    raise TooLarge(f"more than {RESPONSES_CHAIN} items are named and not sent")
                try:
                    found[named.id] = await services.responses.item(named.id, request[CALLER], anywhere=not knows)
                except NotFound as error:
                    if not knows:
                        words = f"{error.message}: send the item itself"
                        raise BadRequest(words, code="item_not_found", param=f"input[{at}]") from None
                    found[named.id] = item
            items[at] = found[named.id]
        size += len(items[at])
        services.bodies.check(size)
    asked.body = msgspec.json.encode({**fields_of(asked.body), "input": items})
    services.bodies.check(len(asked.body))
    return items


async def _continued(request: web.Request, asked: ChatRequest, given: Conversing, items: list[Raw]) -> None:
    """Puts what was said before into `asked`, which names the response it goes on from. Raises BadRequest."""
    services, previous = request.app[SERVICES], given.previous_response_id or ""
    try:
        said = await services.responses.items(previous, request[CALLER])
    except NotFound as error:
        if request[CALLER].user is not None:  # the router may know it, from somebody else: callers share its keys
            raise _lost(error) from None
        targets = await services.routing.plan(given.model or "", given.router or "", asked.prefer, "responses")
        if targets[0].api == "responses":  # it may know
            return
        raise _lost(error) from None
    fields = fields_of(asked.body)
    fields["input"] = Raw(msgspec.json.encode([*said, *(items or _items(given.input))]))
    asked.body = msgspec.json.encode(fields)
    asked.resolved = ("previous_response_id",)
    services.bodies.check(len(asked.body))


def _lost(error: NotFound) -> BadRequest:
    words = f"{error.message}: send the whole input"
    return BadRequest(words, code="previous_response_not_found", param="previous_response_id")


def _items(given: Raw) -> list[Raw]:
    """The input of a responses request as a list. Raises BadRequest."""
    if is_null(given):
        return []
    if bytes(memoryview(given)[:1]) == b'"':
        return [Raw(b'{"role":"user","content":%b}' % bytes(given))]
    return decoded(_decode_items, given)


_decode_items = msgspec.json.Decoder(list[Raw]).decode


_MODEL = "/{version:v1|v1beta}/models/{model:.+}"  # its SDK for Python asks below /v1


@routes.post(f"{_MODEL}:generateContent")
async def generate_content(request: web.Request) -> web.StreamResponse:
    """POST /{version}/models/{model}:generateContent {contents, ...} -> Google's form of an answer, of any model"""
    return await _relay(request, "gemini")


@routes.post(f"{_MODEL}:streamGenerateContent")
async def stream_generate_content(request: web.Request) -> web.StreamResponse:
    """POST /{version}/models/{model}:streamGenerateContent {contents, ...} -> events with ?alt=sse, else an array

    The array grows while the answer comes.
    """
    return await _relay(request, "gemini")


def _address(request: web.Request, asked: ChatRequest) -> None:
    """Puts what the address says into `asked`, where the other dialects have it. Raises BadRequest."""
    model = request.match_info["model"].removeprefix("models/")
    stream = request.path.endswith(":streamGenerateContent")
    asked.body = msgspec.json.encode(gemini_dialect.envelope(fields_of(asked.body), model, stream=stream))
    asked.query = b""  # a key may stand there


@routes.post(f"{_MODEL}:countTokens")
async def count_gemini_tokens(request: web.Request) -> web.Response:
    """POST /{version}/models/{model}:countTokens {contents, ...} -> {totalTokens}, estimated: four bytes a token

    `x-chomp-estimated: 1` says so.
    """
    services = request.app[SERVICES]
    async with services.bodies.of(request, services.settings.timeouts.body_s) as body:
        fields = fields_of(body)
        if inner := fields.get("generateContentRequest") or fields.get("generate_content_request"):
            fields = fields_of(bytes(inner))
        counted = msgspec.json.encode(gemini_dialect.envelope(fields, "", stream=False))
        answer = reply({"totalTokens": estimated_prompt(read_envelope("gemini", counted).content())})
        answer.headers["x-chomp-estimated"] = "1"
        return answer


@routes.get("/v1/responses")
async def refuse_responses_socket(request: web.Request) -> web.Response:
    """GET /v1/responses -> 426: there is no web socket here, POST serves the same

    Clients that ask for one then use POST.
    """
    if request.headers.get("upgrade", "").lower() != "websocket":
        raise web.HTTPMethodNotAllowed("GET", ["POST"])
    raise BadRequest("there is no websocket here: use POST", status=426, code="upgrade_required")


@routes.get("/v1/responses/{id}")
async def show_response(request: web.Request) -> web.Response:
    """GET /v1/responses/{id} -> a response that was kept"""
    if request.query.get("stream") == "true":
        raise BadRequest("a kept response is not streamed again", code="unsupported_parameter", param="stream")
    kept = await request.app[SERVICES].responses.get(request.match_info["id"], request[CALLER])
    return reply(Raw(kept.response))


@routes.delete("/v1/responses/{id}")
async def delete_response(request: web.Request) -> web.Response:
    """DELETE /v1/responses/{id} -> {id, object, deleted}

    Forgets a response that was kept.
    """
    response_id = request.match_info["id"]
    await request.app[SERVICES].responses.delete(response_id, request[CALLER])
    return reply({"id": response_id, "object": "response", "deleted": True})


@routes.post("/v1/messages/count_tokens")
async def count_tokens(request: web.Request) -> web.StreamResponse:
    """POST /v1/messages/count_tokens {model, messages, ...} -> {input_tokens}; says in a header when it is estimated

    The count of a target that counts, else a rough one, four bytes a token; then `x-chomp-estimated: 1` says so.
    """
    services = request.app[SERVICES]
    request[REQUEST_ID] = new_request_id(request.headers.get("x-request-id"))
    async with services.bodies.of(request, services.settings.timeouts.body_s) as body:
        asked = _asked(request, "count_tokens", body)
        fields = decoded(_decode_counted, body)
        if not bytes(fields.messages).startswith(b"["):
            raise BadRequest("'messages' must be an array", code="invalid_type", param="messages")
        try:
            await services.routing.plan(fields.model, fields.router or "", asked.prefer, asked.api, asked.fallback)
            exchange = services.proxy.exchange(asked, request[CALLER])
            request[ACCOUNTED] = True
            answer = reply(Raw(await exchange.read(services.settings.limits.answer_bytes)))
            answer.headers["x-chomp-router"] = exchange.target.router.id
            return answer
        except Forbidden:
            raise
        except ChompError:
            pass  # nobody counts, or nobody can now: that is no reason not to answer
        content = b"".join(map(bytes, (fields.messages, fields.system, fields.tools)))
        answer = reply({"input_tokens": estimated_prompt(content)})
        answer.headers["x-chomp-estimated"] = "1"
        return answer


@routes.head("/")
async def answer_root(request: web.Request) -> web.Response:
    """HEAD / -> nothing: clients look whether somebody is there

    Open to all.
    """
    return web.Response()


def _listed(row: RouterDef, model: Model) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": f"{row.id}/{model.id}",
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by or row.id,
    }
    if model.name:
        entry["name"] = model.name
    if row.kind == "local":
        entry["name"] = "SmolLM2 135M (tiny demonstration model)"
    if model.context_length:
        entry["context_length"] = model.context_length
    return entry


async def _all_models(services: Services, caller: Caller) -> list[dict[str, Any]]:
    """The models a caller may use, as GET /v1/models lists them."""
    routing, user = services.routing, caller.user
    await routing.first_lists()
    entries = [{"id": name, "object": "model", "created": 0, "owned_by": "chomp"} for name in routing.alias_names(user)]
    for row in routing.rows.values():
        away = services.local.missing if row.kind == "local" else routing.is_away(row.id)
        if routing.keys(row.id) and not away:
            entries += [
                _listed(row, model)
                for model in routing.models(row.id)
                if user is None or may_use(user, "", row.id, model.id, routing.rows)
            ]
    return entries


@routes.get("/v1/models")
async def list_models(request: web.Request) -> web.Response:
    """GET /v1/models -> {object: "list", data: [{id: "router/model", ...}]}, or as Anthropic or Google have it

    The models of all routers that have a key, and the aliases.
    """
    entries = await _all_models(request.app[SERVICES], request[CALLER])
    dialect = client_dialect(request)
    if dialect == "gemini":
        return reply({"models": [_gemini_model(entry) for entry in entries]})
    if dialect == "messages":
        listed = [_messages_model(entry) for entry in entries]
        ends = {"first_id": listed[0]["id"] if listed else None, "last_id": listed[-1]["id"] if listed else None}
        return reply({"data": listed, "has_more": False, **ends})
    return reply({"object": "list", "data": entries})


def _messages_model(entry: Mapping[str, Any]) -> dict[str, Any]:
    created = iso(min(entry["created"], 2**32))
    return {"type": "model", "id": entry["id"], "display_name": entry.get("name", entry["id"]), "created_at": created}


def _gemini_model(entry: Mapping[str, Any]) -> dict[str, Any]:
    methods = ["generateContent", "streamGenerateContent", "countTokens"]
    size = {"inputTokenLimit": entry["context_length"]} if "context_length" in entry else {}
    named = {"name": f"models/{entry['id']}", "version": "1", "displayName": entry.get("name", entry["id"])}
    return {**named, **size, "supportedGenerationMethods": methods}


@routes.get("/v1beta/models")
async def list_gemini_models(request: web.Request) -> web.StreamResponse:
    """GET /v1beta/models -> {models: [{name: "models/router/model", ...}]}"""
    return await list_models(request)


_SHAPES: dict[Dialect, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "messages": _messages_model, "gemini": _gemini_model,
}  # fmt: skip


@routes.get("/v1beta/models/{id:.+}")
async def show_gemini_model(request: web.Request) -> web.StreamResponse:
    """GET /v1beta/models/{id} -> one model in Google's shape"""
    return await show_model(request)


@routes.get("/v1/models/{id:.+}")
async def show_model(request: web.Request) -> web.Response:
    """GET /v1/models/{id} -> one model, by `router/model` or a bare name"""
    wanted = request.match_info["id"]
    entries = await _all_models(request.app[SERVICES], request[CALLER])
    shaped = _SHAPES.get(client_dialect(request), dict)
    for entry in entries:
        if entry["id"] == wanted:
            return reply(shaped(entry))
    for entry in entries:
        if entry["id"].partition("/")[2] == wanted:
            return reply(shaped(entry))
    routing, user = request.app[SERVICES].routing, request[CALLER].user
    if routing.is_alias(wanted, user):
        return reply(shaped({"id": wanted, "object": "model", "created": 0, "owned_by": "chomp"}))
    near = routing.near(wanted)
    hint = f"; near: {', '.join(near)}" if near else ""
    raise ModelNotFound(f"no configured router lists the model {wanted[:200]!r}{hint}", param="model")


@routes.get("/api/models/free")
async def list_free_models(request: web.Request) -> web.Response:
    """GET /api/models/free -> {count, models: OpenRouter's free models without the small ones}

    OpenRouter needs no key to list them.
    """
    found = []
    for m in await request.app[SERVICES].routing.free():
        entry: dict[str, Any] = {"id": m.id, "name": m.name or m.id, "context_length": m.context_length}
        if m.max_output:
            entry["max_output"] = m.max_output
        if m.created:
            entry["created"] = m.created
        found.append(entry)
    return reply({"count": len(found), "models": found})


@routes.get("/api/models/{router}")
async def list_router_models(request: web.Request) -> web.Response:
    """GET /api/models/{router} -> {router, count, models: [{id, name}]}"""
    services, router, user = request.app[SERVICES], request.match_info["router"], request[CALLER].user
    listed = await services.routing.listed(router)
    found = [model for model in listed if user is None or may_use(user, "", router, model.id, services.routing.rows)]
    return reply(
        {"router": router, "count": len(found), "models": [{"id": m.id, "name": m.name or m.id} for m in found]}
    )


_YEAR_1, _YEAR_10000 = -62135596800, 253402300800  # the years a date can show


def _since(text: str, now: float) -> float:
    """Unix time of "24h" (ago), "2026-11-01", an ISO time or Unix seconds. Raises BadRequest."""
    since = math.nan
    with contextlib.suppress(ValueError):
        moment = datetime.datetime.fromisoformat(text)
        since = (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    with contextlib.suppress(ValueError):
        since = float(text) if re.fullmatch(r"\d{9,}(\.\d+)?", text) else now - duration_s(text)
    if _YEAR_1 <= since < _YEAR_10000:
        return since
    raise BadRequest(
        f"since is a time ago such as 24h or 7d, a date, or Unix seconds, not {text[:50]!r}", param="since"
    )


@routes.get("/api/usage")
async def show_usage(request: web.Request) -> web.Response:
    """GET /api/usage?by=router|key|model|caller|user|task|session|day&since=24h -> {by, since, prices, rows}

    `caller` is the same as `user`. `since` is a time ago (`24h`, `7d`), a date, or Unix seconds (`30d` if it is not
    said). 503 while there are requests that cannot be written to the database.
    """
    services = request.app[SERVICES]
    by = request.query.get("by", "router")
    since = _since(request.query.get("since", "30d"), time.time())
    caller = request[CALLER]
    rows = await services.usage.report(by, since, "" if caller.kind == "owner" else caller.name)
    return reply(
        {
            "by": by,
            "since": iso(since),
            "prices": {"source": services.prices.source, "date": services.prices.date},
            "rows": rows,
        }
    )


def found_host(services: Services, host: Host) -> dict[str, Any]:
    """A host of this machine that has been found, and not accepted."""
    return {"name": host.row.id, "url": host_root(host.row), **services.routing.host_report(host), "state": "found"}


@routes.get("/health")
async def show_health(request: web.Request) -> web.Response:
    """GET /health -> {ok, status}; open to all, always cheap"""
    return reply({"ok": True, "status": "ok"})


@routes.get("/status")
async def show_status(request: web.Request) -> web.Response:
    """GET /status -> version, uptime, requests, hosts, queues, tasks, isolation, routers, extensions

    `total_requests`, `active_requests` and `hosts` by name, with their state, models, slots and who waits;
    `found_hosts` are not used yet. What is in the queues and how agents are isolated, the state of every router (keys,
    cooldowns, breaker, model list, limits left), and of every extension: why it is disabled, what it says of itself
    (the last notices).
    """
    services = request.app[SERVICES]
    return reply(
        {
            "version": VERSION,
            "uptime_s": round(time.monotonic() - services.started_s, 1),
            "total_requests": services.proxy.total,
            "active_requests": services.proxy.inflight,
            "hosts": services.routing.host_status(),
            "found_hosts": [found_host(services, host) for host in services.routing.hosts.found.values()],
            "strategy": services.settings.strategy,
            "inflight": services.proxy.inflight,
            "inflight_bytes": services.bodies.held,
            "ledger": {
                "queued": services.usage.queued,
                "written": services.usage.written,
                "dropped": services.usage.dropped,
            },
            "prices": {"source": services.prices.source, "date": services.prices.date},
            "database_fault": services.store.database.fault or services.usage.fault or None,
            "event_loop_lag_ms": round(services.usage.loop_lag_s * 1000, 2),
            "tasks": {
                **services.dispatch.queue.counts(),
                "isolation": services.dispatch.machine.runner.level,
                "isolation_why": services.dispatch.machine.runner.level_why,
                "state_fault": services.store.fault or None,
            },
            "local_model": {
                "state": services.local.state,
                "starts": services.local.starts,
                "load_ms": services.local.load_ms or None,
                "note": "tiny demonstration model",
            },
            "routers": services.routing.report(),
            "extensions": services.kernel.report(),
        }
    )


METRICS_WAIT_S = 1.0  # for rows being written: a stuck disk must not hide that it is stuck


class _Collector:
    def __init__(self, services: Services):
        self._services = services

    def collect(self) -> Iterator[Metric]:
        yield from self._services.usage.collect()
        yield from self._services.routing.metrics()
        yield GaugeMetricFamily("chomp_inflight", "Requests being handled", value=self._services.proxy.inflight)
        yield GaugeMetricFamily("chomp_inflight_bytes", "Request bytes being handled", value=self._services.bodies.held)
        counts = self._services.dispatch.queue.counts()
        tasks = GaugeMetricFamily("chomp_tasks", "Tasks that are not archived", labels=("status",))
        for status in ("queued", "active", "done", "failed"):
            tasks.add_metric((status,), counts[status])
        yield tasks


@routes.get("/metrics")
async def show_metrics(request: web.Request) -> web.Response:
    """GET /metrics -> Prometheus text

    What `/status` has, and more.
    """
    services = request.app[SERVICES]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(METRICS_WAIT_S):
            await asyncio.shield(services.background.start("flush", services.usage.flush()))
    registry = prometheus_client.CollectorRegistry()
    registry.register(cast(Any, _Collector(services)))
    text = prometheus_client.generate_latest(registry)
    return web.Response(body=text, headers={"content-type": prometheus_client.CONTENT_TYPE_LATEST})


# == Task API ==========================================================================================================


@json_post("/api/dispatch", NewJob)
async def add_job(services: Services, caller: Caller, fields: NewJob) -> dict[str, str]:
    """POST /api/dispatch {prompt, model?, system?, router?} -> {id, model, router, status}

    Takes a prompt and answers at once with a job.
    """
    job = await services.jobs.add(fields, caller)
    return {"id": job.id, "model": job.model, "router": job.router, "status": job.status}


@routes.get("/api/result/{id}")
async def show_result(request: web.Request) -> web.Response:
    """GET /api/result/{id} -> Job

    Its `status` is `pending`, `running`, `done` or `error`.
    """
    return reply(await request.app[SERVICES].jobs.get(request.match_info["id"], request[CALLER]))


@routes.get("/api/jobs")
async def list_jobs(request: web.Request) -> web.Response:
    """GET /api/jobs -> [Job], newest first, at most 50"""
    return reply(await request.app[SERVICES].jobs.recent(request[CALLER]))


class _JobId(msgspec.Struct, forbid_unknown_fields=True):
    id: str | int


@json_post("/api/jobs/cancel", _JobId)
async def cancel_job(services: Services, caller: Caller, fields: _JobId) -> Job:
    """POST /api/jobs/cancel {id} -> Job"""
    return await services.jobs.cancel(str(fields.id), caller)


DIFF_BYTES = 1 << 20


class TaskId(msgspec.Struct):
    id: str = ""


class _Started(msgspec.Struct):
    id: str = ""
    all: bool = False


class _Claimed(msgspec.Struct):
    id: str = ""
    result: str | None = None
    summary: str | None = None
    context: str | None = None
    tokens: int | None = None


class _Retried(msgspec.Struct):
    id: str = ""
    run: bool = False


class _Typed(msgspec.Struct):
    id: str = ""
    text: str = ""
    enter: bool = True
    data: bytes = b""  # in base64: keys as they are
    session: str = ""  # the one that is meant; "" for whichever runs


class _Resized(msgspec.Struct):
    id: str = ""
    session: str = ""
    cols: Annotated[int, msgspec.Meta(gt=0)] = SCREEN[0]
    rows: Annotated[int, msgspec.Meta(gt=0)] = SCREEN[1]


class _Messaged(msgspec.Struct):
    id: str = ""
    text: str = ""
    message: str = ""
    delete: bool = False
    now: bool = False


def check_id(caller: Caller, task_id: str) -> None:
    """Raises BadRequest without an id, Forbidden when an agent means another task than its own."""
    if not task_id:
        raise BadRequest("id is required", code="missing_required_parameter", param="id")
    if caller.kind == "task" and caller.task != task_id:
        raise Forbidden(f"this token is task {caller.task}'s: it can call back for that alone")


def _changed(task: Task) -> web.Response:
    """The answer to a change of a task."""
    return reply({"status": "ok", "task": task}, trigger=signals_of("task", task.id))


def _task_post(path: str, kind: type[T]) -> Callable[[Callable[[Dispatch, Caller, T], Awaitable[Task]]], Any]:
    """Routes POST `path`, JSON or a form, to a handler that changes the task `id` as `kind` says, and returns it."""

    def routed(handle: Callable[[Dispatch, Caller, T], Awaitable[Task]]) -> Any:
        @functools.wraps(handle)
        async def answer(request: web.Request) -> web.Response:
            fields: Any = await given_of(request, kind)
            check_id(request[CALLER], fields.id)
            return _changed(await handle(request.app[SERVICES].dispatch, request[CALLER], fields))

        return routes.post(path)(answer)

    return routed


@routes.get("/api/state")
async def show_state(request: web.Request) -> web.Response:
    """GET /api/state -> {tasks: [Task], next_id, archived}

    All tasks that are not archived, with the numbers of running sessions.
    """
    services = request.app[SERVICES]
    found = services.dispatch.queue.all()
    stored = services.store.state
    return reply({"tasks": found, "next_id": stored.next_id, "archived": stored.archived})


@routes.get("/api/tasks")
async def list_tasks(request: web.Request) -> web.Response:
    """GET /api/tasks?tab=active|completed&limit=&before= -> {tasks: [Task]}; completed ones newest first

    `tab=completed` has the archive, too: `limit` of them (50, at most 1000), those before the id `before`. Without
    `tab` all that are not archived.
    """
    queue, asked = request.app[SERVICES].dispatch.queue, request.query
    if asked.get("tab", "") not in ("", "active", "completed"):
        raise BadRequest("tab is active or completed", param="tab")
    if asked.get("tab") == "completed":
        limit = asked.get("limit", "50")
        if not limit.isdecimal() or len(limit) > 4 or not 0 < int(limit) <= 1000:
            raise BadRequest("limit is a number up to 1000", param="limit")
        return reply({"tasks": await queue.finished(int(limit), asked.get("before", ""))})
    found = queue.all()
    return reply({"tasks": [task for task in found if not over(task)] if asked.get("tab") == "active" else found})


@routes.get("/api/tasks/{id}")
async def show_task(request: web.Request) -> web.Response:
    """GET /api/tasks/{id} -> Task"""
    return reply(await request.app[SERVICES].dispatch.queue.found(request.match_info["id"]))


@routes.get("/api/tasks/{id}/output")
async def show_output(request: web.Request) -> web.Response:
    """GET /api/tasks/{id}/output?since=&session=&wait=&raw= -> {session, since, next, ended, text}

    What a session printed, the last one if none is named, as text. `since` counts bytes of it, below 0 from its
    end; the answer's `next` goes on. `wait` (seconds, up to 25) waits for more of a running one. With `raw=1` there
    is `data` in place of `text`: base64, with the escape sequences.
    """
    services, asked = request.app[SERVICES], request.query
    task = await services.dispatch.queue.found(request.match_info["id"])
    session = asked.get("session") or (task.sessions[-1].id if task.sessions else "")
    since, wait_s = asked.get("since", "0"), asked.get("wait", "0")
    if not re.fullmatch(r"-?[0-9]{1,15}", since) or not re.fullmatch("[0-9]{1,2}", wait_s):
        raise BadRequest("since and wait are whole numbers")
    if session and session not in {one.id for one in task.sessions}:
        raise NotFound(f"task {task.id} has no session {session[:20]!r}", param="session")
    raw = asked.get("raw") == "1"
    found = await services.dispatch.printed(task, session, int(since), min(int(wait_s), 25), raw=raw)
    if raw:
        told: dict[str, Any] = {"data": base64.b64encode(found.data).decode()}
    else:
        told = {"text": text_of(found.data)}
    return reply({"session": session, "since": found.since, "next": found.next, "ended": found.ended, **told})


@routes.get("/api/tasks/{id}/diff")
async def show_diff(request: web.Request) -> web.Response:
    """GET /api/tasks/{id}/diff -> {diff}: what its branch and folder differ in from where it started"""
    dispatch = request.app[SERVICES].dispatch
    task = await dispatch.queue.found(request.match_info["id"])
    return reply({"diff": await dispatch.diff(task, DIFF_BYTES)})


@routes.post("/api/tasks")
async def add_task(request: web.Request) -> web.Response:
    """POST /api/tasks {prompt, dir?, repo_url?, platform?, model?, effort?, ..., run?} -> Task

    Fields: `prompt`, and if wanted `dir` or `repo_url`, `platform` (or `agent`), `model`, `effort`, `router`,
    `gate`, `setup`, `priority`, `blocked_by`, `budget_tokens`, `budget_usd`, `isolation`, `in_place`, `handoff`,
    `run`.
    """
    services, fields = request.app[SERVICES], await given_fields(request)
    check_names(services, fields)
    task = await services.dispatch.add(fields)
    return reply(task, trigger=signals_of("task", task.id))


def check_names(services: Services, fields: Mapping[str, Any]) -> None:
    """Raises BadRequest for a platform or router that is not there."""
    for name, what, known in (
        ("agent", "platform", services.dispatch.platforms.all()),
        ("platform", "platform", services.dispatch.platforms.all()),
        ("router", "router", services.routing.rows),
    ):
        if (value := fields.get(name)) and isinstance(value, str) and value not in known:
            raise BadRequest(f"there is no {what} {value[:50]!r}{near_name(value[:50], known)}", param=name)


@routes.post("/api/tasks/run")
async def run_task(request: web.Request) -> web.Response:
    """POST /api/tasks/run {id?, platform?, model?, effort?, router?, all?} -> {status, task}; it waits for room

    Starts a queued task, or the next one, or `all`.
    """
    given, services = await given_fields(request), request.app[SERVICES]
    check_fields(given, (*_Started.__struct_fields__, *_RUN_WITH))
    fields = {name: value for name, value in given.items() if value not in (None, "")}  # an empty one changes nothing
    asked = fields_as({name: fields.pop(name) for name in ("id", "all") if name in fields}, _Started)
    dispatch, task_id = services.dispatch, asked.id
    check_names(services, fields)
    said = checked_fields(dispatch.queue.state, task_id or "0", fields)
    if asked.all:
        ran: dict[str, Task] = {}
        while left := [one.id for one in dispatch.queue.queued() if one.id not in ran]:
            ran[left[0]] = dispatch.queue.get(left[0])
            with contextlib.suppress(Conflict):  # somebody else was faster
                ran[left[0]] = await dispatch.run_task(left[0], **said)
        return reply({"status": "ok", "tasks": tuple(ran.values())}, trigger=signals_of("task"))
    if not task_id:
        if not (queued := dispatch.queue.queued()):
            raise NotFound("nothing is queued", code="nothing_queued")
        task_id = queued[0].id
    return _changed(await dispatch.run_task(task_id, **said))


_RUN_WITH = ("agent", "platform", "model", "effort", "router")  # what can be said of a start
_CLAIMS = ("tokens", "result", "phase")  # what an agent can say of itself


@routes.post("/api/tasks/update")
async def update_task(request: web.Request) -> web.Response:
    """POST /api/tasks/update {id, tokens?, result?, phase?, prompt?, ...} -> {status, task}

    `tokens`, `result` and `phase` as an agent reports them; of the owner also the fields of a new task.
    """
    fields, dispatch = await given_fields(request), request.app[SERVICES].dispatch
    task_id = fields_as({"id": fields.pop("id", "")}, TaskId).id
    caller = request[CALLER]
    check_id(caller, task_id)
    claims = {name: fields.pop(name) for name in _CLAIMS if name in fields}
    if caller.kind == "task" and fields:
        raise Forbidden("an agent reports tokens, result and phase; the rest is the owner's")
    check_names(request.app[SERVICES], fields)
    claim = read_claim(claims)
    if claims:
        dispatch.claimant(task_id, caller.session)  # all of it can be done, or none of it is
    if fields:
        await dispatch.edit(task_id, fields)
    if claims:
        with contextlib.suppress(Conflict):  # the session has ended just now: nobody asks what it had to say
            dispatch.claim(task_id, caller.session, claim)
    return _changed(dispatch.queue.live(dispatch.queue.get(task_id)))


@_task_post("/api/tasks/done", _Claimed)
async def finish_task(dispatch: Dispatch, caller: Caller, fields: _Claimed) -> Task:
    """POST /api/tasks/done {id, result?|summary?, tokens?} -> {status, task}; an agent's is a claim

    From a task's own token it is a claim, and only exit status and gate decide; from the owner it is the end.
    """
    claim = read_claim({"result": fields.summary or fields.result or "", "tokens": fields.tokens})
    if caller.kind == "task" or fields.tokens is not None:
        dispatch.claim(fields.id, caller.session, claim)
    if caller.kind == "task":
        return dispatch.queue.live(dispatch.queue.get(fields.id))
    return await dispatch.finish(fields.id, claim.result)


@_task_post("/api/tasks/handoff", _Claimed)
async def hand_off_task(dispatch: Dispatch, caller: Caller, fields: _Claimed) -> Task:
    """POST /api/tasks/handoff {id, summary?|result?|context?} -> {status, task}; the next session goes on from there"""
    claim = read_claim({"result": fields.summary or fields.context or fields.result or ""})
    return await dispatch.hand_off(fields.id, claim.result, wait=caller.kind != "task")


@routes.get("/api/clean")
async def list_leftovers(request: web.Request) -> web.Response:
    """GET /api/clean -> {folders: [{task, bytes, unsaved}]}: of tasks that are over; `unsaved`: what would be lost

    `bytes` are those on disk.
    """
    return reply({"folders": await request.app[SERVICES].dispatch.leftovers()})


class _Freed(msgspec.Struct, forbid_unknown_fields=True):
    ids: Annotated[list[Annotated[str, msgspec.Meta(pattern="^[0-9]{1,18}$")]], msgspec.Meta(max_length=1000)]
    unsaved: bool = False


@json_post("/api/clean", _Freed)
async def free_folders(services: Services, caller: Caller, fields: _Freed) -> dict[str, Any]:
    """POST /api/clean {ids, unsaved?} -> {deleted: [id], kept: {id: why}}; `unsaved`: with work that is nowhere else

    Deletes the folders of these tasks, and says which it kept and why.
    """
    found = await services.dispatch.free(fields.ids, unsaved=fields.unsaved)
    kept = {one: why for one, why in found.items() if why}
    return {"deleted": [one for one in found if one not in kept], "kept": kept}


@_task_post("/api/tasks/stop", TaskId)
async def stop_task(dispatch: Dispatch, caller: Caller, fields: TaskId) -> Task:
    """POST /api/tasks/stop {id} -> {status, task}, when nothing of it runs any more

    One that waits for its start is queued again, or failed where queued tasks start by themselves.
    """
    return await dispatch.stop_task(fields.id)


@_task_post("/api/tasks/retry", _Retried)
async def retry_task(dispatch: Dispatch, caller: Caller, fields: _Retried) -> Task:
    """POST /api/tasks/retry {id, run?} -> {status, task}; in the same folder

    Queues a task that has ended again; with `run` it starts, too.
    """
    return await dispatch.retry(fields.id, run=fields.run)


@_task_post("/api/tasks/continue", TaskId)
async def continue_task(dispatch: Dispatch, caller: Caller, fields: TaskId) -> Task:
    """POST /api/tasks/continue {id} -> {status, task}; grants one more budget, or ends a wait"""
    return await dispatch.go_on(fields.id)


@_task_post("/api/tasks/input", _Typed)
async def type_into_task(dispatch: Dispatch, caller: Caller, fields: _Typed) -> Task:
    """POST /api/tasks/input {id, text, enter?} -> {status, task}; typed into its terminal; `data`: keys in base64"""
    keys = fields.data or fields.text.encode() + (b"\r" if fields.enter else b"")
    dispatch.type_in(fields.id, keys, fields.session)
    return dispatch.queue.live(dispatch.queue.get(fields.id))


@_task_post("/api/tasks/resize", _Resized)
async def resize_task(dispatch: Dispatch, caller: Caller, fields: _Resized) -> Task:
    """POST /api/tasks/resize {id, cols, rows} -> {status, task}; another size of its terminal, painted anew"""
    dispatch.resize(fields.id, fields.cols, fields.rows, fields.session)
    return dispatch.queue.live(dispatch.queue.get(fields.id))


@_task_post("/api/tasks/message", _Messaged)
async def message_task(dispatch: Dispatch, caller: Caller, fields: _Messaged) -> Task:
    """POST /api/tasks/message {id, text?, message?, delete?, now?} -> {status, task}; after its turn

    A follow-up, delivered once, after the agent's turn; `now` interrupts it. `message` with `text` or `delete`
    changes one that waits.
    """
    task = await dispatch.queue.message(fields.id, fields.text, fields.message, delete=fields.delete)
    return await dispatch.interrupt(fields.id) if fields.now and task.status == "active" else task


@_task_post("/api/tasks/delete", TaskId)
async def delete_task(dispatch: Dispatch, caller: Caller, fields: TaskId) -> Task:
    """POST /api/tasks/delete {id} -> {status, task}; an active one is stopped first"""
    return await dispatch.drop(fields.id)


@_task_post("/api/tasks/restore", TaskId)
async def restore_task(dispatch: Dispatch, caller: Caller, fields: TaskId) -> Task:
    """POST /api/tasks/restore {id} -> {status, task}; a task deleted within the last hour"""
    return await dispatch.queue.restore(fields.id)


# == Settings API ======================================================================================================


@routes.post("/api/config/reload")
async def reload_config(request: web.Request) -> web.Response:
    """POST /api/config/reload -> {restart: [names of changed settings that take one]}

    Reads the settings again, as SIGHUP does. Settings that cannot be used change nothing, and the answer says why.
    """
    return reply({"restart": await request.app[SERVICES].reload()}, trigger=signals_of("settings"))


class _NewUser(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    name: str
    models: list[str] = []
    routers: list[str] = []
    requests_per_minute: int | None = None
    parallel: _Some | None = None
    tokens_per_day: int | None = None
    usd_per_month: float | None = None
    strict: bool = False


class _UserName(msgspec.Struct):
    name: str


@routes.get("/api/users")
async def list_users(request: web.Request) -> web.Response:
    """GET /api/users -> {users: [{name, models, routers, ..., running, tokens_today, usd_this_month}]}

    Their limits, and what they have used.
    """
    services = request.app[SERVICES]
    told = []
    for user in services.credentials.users.values():
        limits = {name: value for name, value in msgspec.to_builtins(user).items() if name != "token_sha256"}
        told.append({**limits, **services.allowances.report(user)})
    return reply({"users": told})


@json_post("/api/users", _NewUser)
async def add_user(services: Services, caller: Caller, fields: _NewUser) -> dict[str, str]:
    """POST /api/users {name, models?, routers?, tokens_per_day?, ...} -> {name, token}; the token is shown this once

    The limits are fields of their own: `models`, `routers`, `requests_per_minute`, `parallel`, `tokens_per_day`,
    `usd_per_month`, `strict`.
    """
    for router in fields.routers:
        if router not in services.routing.rows:
            near = near_name(router, services.routing.rows)
            raise BadRequest(f"there is no router {router[:100]!r}{near}", code="unknown_router", param="routers")
    if fields.name in services.credentials.users:
        raise BadRequest(f"there is a user {fields.name!r} already", code="user_exists", param="name")
    token, digest = new_user_token(fields.name)
    await _change_users(services, lambda users: [*users, {**msgspec.to_builtins(fields), "token_sha256": digest}])
    return {"name": fields.name, "token": token}


@json_post("/api/users/delete", _UserName)
async def delete_user(services: Services, caller: Caller, fields: _UserName) -> dict[str, str]:
    """POST /api/users/delete {name} -> {name}; jobs and kept responses go with the user, the ledger stays"""
    name = fields.name
    if name not in services.credentials.users:
        raise NotFound(f"there is no user {name[:100]!r}")

    def without(users: list[Any]) -> list[Any]:
        left = [one for one in users if one.get("name") != name]
        if len(left) == len(users):
            raise BadRequest(f"{name} is written in chomp.toml: take the table out there", code="written_by_hand")
        return left

    await _change_users(services, without)
    await services.responses.forget(name)
    services.proxy.thoughts.forget(name)
    await services.jobs.forget(name)
    return {"name": name}


Tables = dict[str, Any]


async def _change_users(services: Services, change: Callable[[list[Any]], list[Any]]) -> None:
    """Changes the users of state/settings.json; those of chomp.toml stay as they are in force."""
    made: set[str] = set()

    def changed(tables: Tables) -> Tables:
        tables = upgraded(tables)
        users = tables.get("users", [])
        after = {**tables, "users": change(users)}
        made.update(str(one.get("name")) for one in (*users, *after["users"]))
        return after

    def in_force(tables: Tables) -> Settings:
        by_hand = [one for one in services.settings.users if str(one.get("name")) not in made]
        return msgspec.structs.replace(services.settings, users=(*by_hand, *tables["users"]))

    await change_file(services, "settings.json", changed, in_force)


async def change_file(
    services: Services, name: str, change: Callable[[Tables], Tables], force: Callable[[Tables], Settings] | None = None
) -> list[str]:
    """Changes state/settings.json or keys.json and puts it into force; what takes a restart.

    All sources are read again, or what `force` makes of the file is taken, whatever state the others are in. What
    cannot be used is taken back. Raises ChompError, Unavailable where the file cannot be read or written.
    """
    before, after = rewrite(services.store, name, change)
    try:
        return await services.reload(None if force is None else force(after))
    except ChompError:
        rewrite(services.store, name, lambda _: before)
        raise


def rewrite(store: Store, name: str, change: Callable[[Tables], Tables]) -> tuple[Tables, Tables]:
    """Changes a file of state/; what was in it, and what is now. Raises Unavailable where that cannot be."""
    try:
        before = store.read_json(name)
        after = change(before)
        store.write_json(name, after)
    except StoreError as error:
        raise Unavailable(str(error), code="settings_not_written") from None
    return before, after


class _NewHost(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    name: str
    url: str | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    backend: str | UnsetType = UNSET
    api_key: str | UnsetType | None = UNSET
    models: tuple[str, ...] | UnsetType = UNSET
    slots: int | UnsetType = UNSET
    context: int | UnsetType = UNSET


class _HostName(msgspec.Struct):
    name: str


class _HostNames(msgspec.Struct):
    names: tuple[str, ...]


class _HostOrder(msgspec.Struct):
    host: str
    model: str
    action: Literal["load", "unload", "keep"] = "load"
    for_: str = msgspec.field(default="5m", name="for")


async def _change_hosts(services: Services, change: Callable[[dict[str, Tables]], None]) -> list[str]:
    """Changes the hosts of state/settings.json, by name."""

    def changed(tables: Tables) -> Tables:
        hosts = {str(one.get("name")): dict(one) for one in tables.get("hosts", [])}
        change(hosts)
        return {**tables, "hosts": list(hosts.values())}

    return await change_file(services, "settings.json", changed)


def _written_hosts(services: Services) -> dict[str, Tables]:
    return {str(one["name"]): one for one in services.settings.hosts}


def shown_hosts(services: Services) -> list[dict[str, Any]]:
    """All hosts as GET /api/hosts has them: those in use, those switched off, those found."""
    routing, shown = services.routing, []
    for name, written in _written_hosts(services).items():
        host = routing.hosts.all.get(name)
        if host is None:
            row = cast(RouterDef, host_row({**written, "enabled": True}))
            facts = {**routing.host_report(Host(row, Key("none", ""), 0.0)), "state": "off", "since": ""}
        else:
            facts = routing.host_report(host)
        used = {"enabled": host is not None, "accepted": True, "found": False}
        shown.append({"name": name, "url": host_root(row if host is None else host.row), **used, **facts})
    used = {"enabled": True, "accepted": True, "found": False}
    for name in routing.hosts.all.keys() - _written_hosts(services).keys():  # of [[routers]]
        host = routing.hosts.all[name]
        shown.append({"name": name, "url": host_root(host.row), **used, **routing.host_report(host)})
    not_used = {"enabled": False, "accepted": False, "found": True}
    shown += [{**found_host(services, host), **not_used} for host in routing.hosts.found.values()]
    return sorted(shown, key=lambda one: (one["found"], one["priority"]))


@routes.get("/api/hosts")
async def list_hosts(request: web.Request) -> web.Response:
    """GET /api/hosts -> {hosts: [{name, url, state, models, slots, busy, queued, ...}], strategy}

    `state` is `up`, `warming` (it loads), `asleep`, `down`, `checking`, `off`, or `found`: of this machine, and asked
    for nothing before it is accepted.
    """
    services = request.app[SERVICES]
    return reply({"hosts": shown_hosts(services), "strategy": services.settings.strategy})


@routes.post("/api/hosts")
async def change_host(request: web.Request) -> web.Response:
    """POST /api/hosts {name, url?, priority?, enabled?, backend?, ...} -> {status, name}: adds a host, or changes it

    The fields are those of [[hosts]]: also `api_key`, `models`, `slots`, `context`. They are kept in
    `state/settings.json`, the key in `state/keys.json` (`api_key: null` takes it away).
    """
    services, fields = request.app[SERVICES], await given_of(request, _NewHost)
    name, entry = fields.name, msgspec.to_builtins(fields)
    if name not in _written_hosts(services) and not fields.url:
        raise BadRequest(f"{name[:50]!r} is new: it needs an url", param="url")
    key = entry.pop("api_key", UNSET)
    if key and isinstance(key, str) and not (key.isascii() and key.isprintable() and len(key) <= 4096):
        raise BadRequest("a key has printable ASCII characters only", param="api_key")
    if not all(entry.get("models", ["-"])) and entry.get("models"):
        raise BadRequest("an empty name is no model", param="models")

    def change(hosts: dict[str, Tables]) -> None:
        hosts[name] = {**hosts.get(name, {}), **entry}

    try:
        host_row({**_written_hosts(services).get(name, {}), **entry})
    except SettingsError as error:
        raise BadRequest(str(error), code="invalid_settings") from None
    await _change_hosts(services, change)
    if key is not UNSET:
        variable = host_variable(name)
        more = {variable: key} if key else {}
        await change_file(services, "keys.json", lambda keys: {**_without(keys, variable), **more})
    return reply({"status": "ok", "name": name}, trigger=signals_of("settings"))


@routes.delete("/api/hosts")
async def remove_host(request: web.Request) -> web.Response:
    """DELETE /api/hosts {name} -> {status, name}; one of `chomp.toml` can be switched off only"""
    services, query = request.app[SERVICES], request.query
    name = (fields_as(query, _HostName) if query else await given_of(request, _HostName)).name
    if name not in _written_hosts(services):
        raise NotFound(f"there is no host {name[:50]!r}{near_name(name, _written_hosts(services))}", param="name")

    def change(hosts: dict[str, Tables]) -> None:
        if "url" not in hosts.pop(name, {}):
            words = f"{name} is written in chomp.toml: take it out there, or switch it off"
            raise BadRequest(words, code="written_by_hand")

    await _change_hosts(services, change)
    if name in _written_hosts(services):
        words = f"{name} is as chomp.toml has it now: take it out there, or switch it off"
        return reply({"status": "ok", "name": name, "words": words}, trigger=signals_of("settings"))
    await change_file(services, "keys.json", lambda keys: _without(keys, host_variable(name)))
    return reply({"status": "ok", "name": name}, trigger=signals_of("settings"))


@routes.post("/api/hosts/accept")
async def accept_host(request: web.Request) -> web.Response:
    """POST /api/hosts/accept {name} -> {status, name}: a host that was found on this machine is used from now on"""
    services, name = request.app[SERVICES], (await given_of(request, _HostName)).name
    found = services.routing.hosts.found.get(name)
    if found is None:
        raise NotFound(f"no host {name[:50]!r} was found{near_name(name, services.routing.hosts.found)}", param="name")
    if name in services.routing.rows or name in _written_hosts(services):
        raise Conflict(f"there is another {name} already: add {host_root(found.row)} under another name")
    await change_file(services, "keys.json", lambda keys: _without(keys, host_variable(name)))  # of one that is gone
    entry = {"name": name, "url": host_root(found.row)}
    await _change_hosts(services, lambda hosts: hosts.update({name: entry}))
    return reply({"status": "ok", "name": name}, trigger=signals_of("settings"))


@routes.post("/api/hosts/order")
async def order_hosts(request: web.Request) -> web.Response:
    """POST /api/hosts/order {names} -> {status, names}: the priorities of all, the first one first"""
    services, names = request.app[SERVICES], (await given_of(request, _HostNames)).names
    known = _written_hosts(services)
    for name in names:
        if name not in known:
            raise NotFound(f"there is no host {name[:50]!r}{near_name(name, known)}", param="names")
    rest = sorted((name for name in known if name not in names), key=lambda name: int(known[name].get("priority", 10)))
    order = list(dict.fromkeys((*names, *rest)))

    def change(hosts: dict[str, Tables]) -> None:
        for at, name in enumerate(order):
            hosts[name] = {"name": name, **hosts.get(name, {}), "priority": at + 1}

    await _change_hosts(services, change)
    return reply({"status": "ok", "names": order}, trigger=signals_of("settings"))


_ORDERS = {"load": "{host} has loaded {model}", "unload": "{host} has unloaded {model}", "keep": "{host} keeps {model}"}


@routes.post("/api/hosts/models")
async def order_model(request: web.Request) -> web.Response:
    """POST /api/hosts/models {host, model, action: load|unload|keep, for?: "1h"} -> {status, host, model, words}

    What the host's software cannot is 400 `host_refused`.
    """
    services, fields = request.app[SERVICES], await given_of(request, _HostOrder)
    try:
        seconds = duration_s(fields.for_)
    except ValueError as error:
        raise BadRequest(str(error), param="for") from None
    await services.routing.hosts.order(fields.host, fields.model, fields.action, seconds)
    words = _ORDERS[fields.action].format(host=fields.host, model=fields.model)
    answer = {"status": "ok", "host": fields.host, "model": fields.model, "words": words}
    return reply(answer, trigger=signals_of("settings"))


_ROUTER_WORDS = {"live": "", "checking": "its model list is being fetched", "unconfigured": "no key"}


@routes.get("/api/platforms")
async def list_platforms(request: web.Request) -> web.Response:
    """GET /api/platforms -> [{id, Name, Color, Status, Credits, Note}]: the routers, as they are

    `Status` is `live` (its model list came with its key), `checking`, `limited` (some of its models or keys rest,
    and until when), `down` (and why) or `unconfigured`; `Credits` what OpenRouter says is left of its key.
    """
    services = request.app[SERVICES]
    return reply([shown_router(services, row) for row in services.routing.rows.values()])


def shown_router(services: Services, row: RouterDef) -> dict[str, Any]:
    """A router for a person's eyes: what is known of it, nothing guessed."""
    status, words = services.routing.health(row.id)
    if row.kind == "local":
        status, words = ("unconfigured", services.local.missing) if services.local.missing else ("live", "")
    credits = services.routing.credits(row.id)
    return {
        "id": row.id,
        "Name": row.name,
        "Color": row.color,
        "Status": status,
        "Credits": "" if credits is None else f"${credits:.2f}",
        "Note": words or _ROUTER_WORDS.get(status, ""),
    }


def preview(secret: str) -> str:
    """A key's ends, for whoever knows it; nothing of a short one."""
    return f"{secret[:4]}...{secret[-4:]}" if len(secret) >= 20 else "****"


async def shown_config(services: Services) -> dict[str, Any]:
    """GET /api/config, also for the pages."""
    dispatch = services.dispatch
    found = tuple(dispatch.platforms.all().values())
    looks = []
    for platform in found:
        looks.append(services.background.spawn(dispatch.platforms.available(platform)))
        await asyncio.sleep(0)  # to start a process holds up the loop: one at a time
    remedies = await asyncio.gather(*looks)
    agents = {}
    for platform, remedy in zip(found, remedies, strict=True):
        agents[platform.id] = {
            "name": platform.name, "builtin": platform.builtin, "available": not remedy, "remedy": remedy,
            "command": shlex.join(platform.command), "models": platform.models, "efforts": platform.efforts,
            "color": platform.color, "note": platform.note, "metered": platform.metered,
        }  # fmt: skip
    routers = {}
    for row in services.routing.rows.values():
        if row.kind == "host":  # GET /api/hosts has them
            continue
        known = {key.id.partition("#")[0]: key.secret for key in services.routing.keys(row.id) if key.secret}
        keys = [
            {"name": "API Key", "env_var": name, "set": name in known,
             "preview": preview(known[name]) if name in known else ""}
            for name in row.key_env
        ]  # fmt: skip
        routers[row.id] = {
            "name": row.name, "color": row.color, "configured": bool(services.routing.keys(row.id)), "keys": keys,
            "key_page": row.key_page,
        }  # fmt: skip
    return {
        "agents": agents,
        "routers": routers,
        "tasks": msgspec.to_builtins(services.settings.tasks),
        **services.kernel.shown_settings(),
        "isolation": {"level": dispatch.machine.runner.level, "why": dispatch.machine.runner.level_why},
    }


@routes.get("/api/config")
async def show_config(request: web.Request) -> web.Response:
    """GET /api/config -> {agents, routers, tasks, isolation, notify, ...}; secrets only by their ends

    Agents and what they lack, routers and the ends of their keys, the tables of extensions.
    """
    return reply(await shown_config(request.app[SERVICES]))


def _tables(fields: Mapping[str, Any], kinds: Mapping[str, type[Any]]) -> Tables:
    """`{"tasks.parallel": "4"}`, as a form says it, as `{"tasks": {"parallel": 4}}`; tables as they are."""
    found: Tables = {}
    for name, value in fields.items():
        table, dot, key = name.partition(".")
        kind = kinds.get(table)
        types = {} if kind is None else {one.name: one.type for one in msgspec.structs.fields(kind)}
        if isinstance(value, str) and key in types and not key.endswith("_bytes"):  # durations are read as they stand
            with contextlib.suppress(msgspec.ValidationError):
                value = msgspec.convert(value, types[key], strict=False)
        if dot:
            if not isinstance(found.setdefault(table, {}), dict):
                raise BadRequest(f"{table} is a table", code="invalid_type", param=table)
            found[table] = {**found[table], key: value}
        else:
            found[name] = value
    return found


@routes.post("/api/config")
async def change_config(request: web.Request) -> web.Response:
    """POST /api/config {tasks?, notify?, ...} -> {status, restart}; names as in chomp.toml

    Tables of tasks and of extensions; kept in `state/settings.json`.
    """
    services = request.app[SERVICES]
    kernel = services.kernel
    kinds: dict[str, type[Any]] = {"tasks": TaskSettings, **kernel.kinds()}
    new = _tables(await given_fields(request), kinds)
    for name, table in new.items():
        if name not in kinds:
            raise BadRequest(f"there is no table {name[:50]!r}{near_name(name, kinds)}", param=name[:50])
        if not isinstance(table, dict):
            raise BadRequest(f"{name} is a table", code="invalid_type", param=name)
        for key in kernel.secrets(name):  # an address that comes back as it was shown is the one there is
            if table.get(key) and table[key] == shown_address(getattr(kernel.settings(name), key)):
                new[name] = {other: value for other, value in new[name].items() if other != key}

    def changed(tables: Tables) -> Tables:
        after = merged(upgraded(tables), {name: table for name, table in new.items() if table})
        try:
            for name in new:
                read_table(name, kinds[name], after.get(name, {}))
        except SettingsError as error:
            raise BadRequest(str(error)[:300], code="invalid_settings", param=error.param) from None
        return after

    check_names(services, {"platform": new.get("tasks", {}).get("platform")})
    restart = await change_file(services, "settings.json", changed)
    return reply({"status": "ok", "restart": restart}, trigger=signals_of("settings"))


class _NewKey(msgspec.Struct):
    key: str = ""
    value: str = ""


@routes.post("/api/config/keys")
async def change_key(request: web.Request) -> web.Response:
    """POST /api/config/keys {key, value} -> {status, key, restart, verdict, words}; "" takes the key away

    `key` is a router's variable. What the router says to the key is its `verdict`: `accepted`, `refused`,
    `unreachable`, or `unproven` where the router answers whoever asks; "" when the key was taken away.
    Kept in `state/keys.json`.
    """
    services, fields = request.app[SERVICES], await given_of(request, _NewKey)
    routing, variable, value = services.routing, fields.key, fields.value.strip()
    known = {name: row for row in routing.rows.values() for name in row.key_env}
    if variable not in known:
        raise BadRequest(f"no router has its key in {variable[:100]!r}{near_name(variable, known)}", param="key")
    if value and not (value.isascii() and value.isprintable() and len(value) <= 4096 and value.strip(", ")):
        raise BadRequest("a key has printable ASCII characters only", param="value")
    entry = {variable: value} if value else {}
    restart = await change_file(services, "keys.json", lambda keys: {**_without(keys, variable), **entry})
    row, verdict = known[variable], ""
    if row.id not in routing.rows:
        words = f"{row.name} is no router any more"
    elif value:
        verdict, words = await routing.try_keys(row.id, variable)
    else:
        left = any(key.secret for key in routing.keys(row.id))  # of the environment
        words = f"{row.name} has {'the key of the environment' if left else 'no key'} now"
    answer = {"status": "ok", "key": variable, "restart": restart, "verdict": verdict, "words": words}
    return reply(answer, trigger=signals_of("settings"))


def _without(table: Tables, name: str) -> Tables:
    return {key: value for key, value in table.items() if key != name}


class _NewAgent(msgspec.Struct):
    id: str = ""
    name: str = ""
    command: str = ""
    models: tuple[str, ...] = ()
    color: str = "#888888"


_AGENT_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)


@routes.get("/api/config/agents")
async def list_agents(request: web.Request) -> web.Response:
    """GET /api/config/agents -> {id: agent}

    The agents as `/api/config` has them.
    """
    return reply((await shown_config(request.app[SERVICES]))["agents"])


@routes.post("/api/config/agents")
async def add_agent(request: web.Request) -> web.Response:
    """POST /api/config/agents {id, name, command, models?, color?} -> {status, id}; adds an agent, or writes it anew"""
    services, given = request.app[SERVICES], await given_of(request, _NewAgent)
    entry = {"name": given.name or given.id, "command": given.command, "models": given.models, "color": given.color}
    if not _AGENT_ID.fullmatch(given.id):
        raise BadRequest("id must be small letters and digits, joined by single hyphens", param="id")
    if (there := services.dispatch.platforms.all().get(given.id)) is not None and there.builtin:
        raise Conflict(f"{given.id} is an adapter: take another id")
    try:
        read_agent(given.id, entry)
    except ValueError as error:
        raise BadRequest(f"the agent cannot be used: {error}", code="invalid_agent") from None
    rewrite(services.store, "agents.json", lambda agents: {**agents, given.id: entry})
    return reply({"status": "ok", "id": given.id}, trigger=signals_of("settings"))


@routes.delete("/api/config/agents")
async def remove_agent(request: web.Request) -> web.Response:
    """DELETE /api/config/agents {id} -> {status, id}; takes an agent away that was added"""
    services, query = request.app[SERVICES], request.query
    fields = fields_as(query, TaskId) if query else await given_of(request, TaskId)
    check_id(request[CALLER], fields.id)

    def changed(agents: Tables) -> Tables:
        if fields.id not in agents:
            raise NotFound(f"no agent {fields.id[:50]!r} was added", param="id")
        return _without(agents, fields.id)

    rewrite(services.store, "agents.json", changed)
    return reply({"status": "ok", "id": fields.id}, trigger=signals_of("settings"))


# == Live ==============================================================================================================

HEARTBEAT_S = 20.0
UNREAD_HIGH_BYTES, UNREAD_LOW_BYTES = 256 << 10, 64 << 10  # sent to a viewer and not acknowledged: stop, go on
TAIL_BYTES = 256 << 10  # shown of a session that is over
_SEND_BYTES = 64 << 10
_MESSAGE_BYTES = 256 << 10  # one frame of a viewer
RESET = b"\x1bc"


class _Told(msgspec.Struct):
    """What a viewer says beside what it types."""

    type: str
    cols: int = 0
    rows: int = 0
    bytes: int = 0


def replay(data: bytes, whole: bool) -> bytes:
    """`data` for a screen that is empty: after a reset and, when it is not the `whole`, from a safe place on.

    A place is safe where a line or an escape sequence begins; else where a character does.
    """
    if not whole:
        escape, line = data.find(b"\x1b", 0, 65536), data.find(b"\n", 0, 65536) + 1
        cuts = [escape] * (escape >= 0) + [line] * (line > 0)
        data = data[min(cuts) :] if cuts else data.lstrip(bytes(range(0x80, 0xC0)))
    return RESET + data


class Seats:
    """Who looks at which terminal: it has the size of who typed last, and when they leave, of who typed before them."""

    def __init__(self) -> None:
        self._viewers: weakref.WeakKeyDictionary[Agent, list[Viewer]] = weakref.WeakKeyDictionary()  # the last decides

    def sit(self, viewer: Viewer) -> None:
        """Somebody looks, and has not typed."""
        self._viewers.setdefault(viewer.agent, []).insert(0, viewer)

    def decide(self, viewer: Viewer) -> None:
        """Somebody types."""
        seated = self._viewers[viewer.agent]
        if seated[-1] is not viewer:
            seated.remove(viewer)
            seated.append(viewer)
        self.fit(viewer)  # also when a command line has changed it meanwhile

    def leave(self, viewer: Viewer) -> None:
        """Somebody looks no more."""
        seated = self._viewers[viewer.agent]
        decided = seated[-1] is viewer
        seated.remove(viewer)
        if decided and seated:
            self.fit(seated[-1])

    def fit(self, viewer: Viewer) -> None:
        """Gives the terminal the size of `viewer`, if that decides and has one."""
        output = viewer.agent.output
        decides = self._viewers[viewer.agent][-1] is viewer
        if decides and viewer.wished and viewer.wished != (output.cols, output.rows) and not output.ended:
            viewer.agent.resize(*viewer.wished)
            viewer.wished = output.cols, output.rows  # as far as there is room


SEATS: web.AppKey[Seats] = web.AppKey("seats", Seats)


class Viewer:
    """One web socket that shows a terminal: its own position in the output, its own pace."""

    def __init__(self, socket: web.WebSocketResponse, agent: Agent, seats: Seats):
        self._socket = socket
        self.agent, self._seats = agent, seats
        self.wished: tuple[int, int] | None = None  # the size it has room for
        self._output = agent.output
        self._offset = 0
        self._size = (self._output.cols, self._output.rows)  # that it knows of
        self._acknowledges = False
        self._unread = 0
        self._room = asyncio.Event()

    async def send(self) -> None:
        """Everything there is to see, until the session ends. The viewer's pace is nobody else's."""
        output = self._output
        try:
            await self._show_again(RING_BYTES)
            await self._say({"type": "ready"})
            await self._say({"type": "size", "cols": output.cols, "rows": output.rows})
            self.agent.nudge()
            while True:
                version = output.version
                if self._size != (output.cols, output.rows):
                    self._size = (output.cols, output.rows)
                    await self._say({"type": "size", "cols": output.cols, "rows": output.rows})
                begins, data = output.since(self._offset, _SEND_BYTES)
                if begins > self._offset:  # slower than the ring turns
                    await self._show_again(TAIL_BYTES)
                elif data:
                    self._offset += len(data)
                    await self._send(data)
                elif output.ended:
                    break
                else:
                    await output.changed(version)
            await self._say(exit_notice(output.exit_code))
            await self._socket.close()
        except ConnectionError:
            pass  # the viewer is gone

    async def heard(self, message: aiohttp.WSMessage) -> None:
        """Does what a viewer's message asks for; says so when it cannot."""
        try:
            if message.type is aiohttp.WSMsgType.BINARY:
                self.agent.input(message.data)
                self._seats.decide(self)
                return
            told = msgspec.json.decode(message.data, type=_Told)
            if told.type == "resize" and told.cols > 0 and told.rows > 0:
                self.wished = self._size = told.cols, told.rows  # that it has now; it hears when another decides
                self._seats.fit(self)
                if self._size != (self._output.cols, self._output.rows):
                    self._output.resized(self._output.cols, self._output.rows)
            elif told.type == "ack":
                self._acknowledges = True
                self._unread = max(0, self._unread - max(0, told.bytes))
                if self._unread <= UNREAD_LOW_BYTES:
                    self._room.set()
        except ChompError as error:
            await self._say({"type": "error", "message": error.message})
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            await self._say({"type": "error", "message": "a message that is not understood"})

    async def _show_again(self, most: int) -> None:
        """A screen from scratch: the last `most` bytes, after a line that says what the viewer has missed."""
        seen = self._offset
        begins, data = self._output.since(max(0, self._output.offset - most))
        self._offset = begins + len(data)
        data = replay(data, begins == 0)
        if seen:
            data = RESET + left_out_note(begins - seen) + data.removeprefix(RESET)
        for at in range(0, len(data), _SEND_BYTES):
            await self._send(data[at : at + _SEND_BYTES])

    async def _send(self, data: bytes) -> None:
        self._unread += len(data)
        await self._socket.send_bytes(data)
        while self._acknowledges and self._unread > UNREAD_HIGH_BYTES:
            self._room.clear()
            await self._room.wait()

    async def _say(self, told: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.send_str(json.dumps(told))


def exit_notice(code: int | None) -> dict[str, Any]:
    """What viewers are told at the end; a signal's code as shells count."""
    if code is None or code >= 0:
        return {"type": "exit", "code": code}
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return {"type": "exit", "code": 128 - code, "signal": name}


@routes.get("/ws/terminal/{task}")
async def serve_terminal(request: web.Request) -> web.WebSocketResponse:
    """GET /ws/terminal/{task}?session= -> web socket: output and input as binary, control as JSON text

    Shows the terminal of a task's agent; `session=s1` names an earlier session, whose output is shown once. As JSON
    text the server says `{"type":"ready"}` after what was written before, `size` (when another viewer has changed
    it), `exit` and `error`; a viewer says `{"type":"resize","cols":80,"rows":24}` and, when it wants to be sent no
    more than it can show, `{"type":"ack","bytes":n}`.
    """
    services = request.app[SERVICES]
    task, session = request.match_info["task"], request.query.get("session", "")
    await services.dispatch.begun(task, session)
    shown = services.dispatch.terminal(task, session)
    if shown is None:
        raise NotFound(f"task {task[:100]} has no such session" if session else f"task {task[:100]} has not run yet")
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_S, max_msg_size=_MESSAGE_BYTES, compress=False, timeout=2.0, protocols=(SOCKET_PROTOCOL,)
    )
    if not socket.can_prepare(request):
        raise BadRequest("this address is for web sockets", status=426, code="upgrade_required")
    await socket.prepare(request)
    services.sockets.add(socket)
    try:
        if isinstance(shown, Ended):
            await _show_ended(socket, shown)
            return socket
        viewer = Viewer(socket, shown, request.app[SEATS])
        request.app[SEATS].sit(viewer)
        sending = services.background.start(f"viewer of task {task}", viewer.send())

        def look(event: Event) -> None:
            if event.kind == "logins" and not is_known(request):
                services.background.start("a viewer is signed out", socket.close(code=4401))

        try:
            with services.events.subscribe(look):
                async for message in socket:
                    if not is_known(request):
                        break
                    if message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT):
                        await viewer.heard(message)
        finally:
            sending.cancel()
            request.app[SEATS].leave(viewer)
            await asyncio.gather(sending, return_exceptions=True)
    finally:
        services.sockets.discard(socket)
    return socket


async def _show_ended(socket: web.WebSocketResponse, ended: Ended) -> None:
    begins, data = await ended.transcript.read(max(0, ended.transcript.size - TAIL_BYTES), TAIL_BYTES)
    with contextlib.suppress(ConnectionError):
        for at in range(0, len(data), _SEND_BYTES):
            piece = data[at : at + _SEND_BYTES]
            await socket.send_bytes(piece if at else replay(piece, begins == 0))
        await socket.send_str(json.dumps({"type": "ready"}))
        await socket.send_str(json.dumps(exit_notice(ended.exit_code)))
        await socket.close()


async def close_sockets(app: web.Application) -> None:
    """Ends every web socket: at shutdown they would be waited for."""
    sockets = tuple(app[SERVICES].sockets)
    await asyncio.gather(*(one.close(code=1001) for one in sockets), return_exceptions=True)


_STREAM_HEADERS = {
    "content-type": "text/event-stream",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
    "x-content-type-options": "nosniff",
}
FEED_PACE_S = 0.05
DETAILS_S = 30.0  # for a viewer that has left
_SIGNALS_KEPT = 1000  # of one page
_SLOWEST_S = 30.0  # a page that takes nothing for so long is left


class LiveStreams:
    """The event streams of open pages: bounded in number, ended together.

    Events are collapsed to "this changed, ask again", so a page that reads slowly holds names and not a queue.
    """

    def __init__(self, events: EventBus, settings: Settings, kernel: Kernel, born: float):
        self._events = events
        self._kernel = kernel
        self._settings = settings
        self._life = f"{int(born * 1000):x}"  # event numbers begin anew with every start
        self._open: set[_Stream] = set()
        self._feeds: set[Feed] = set()
        self._posts: dict[str, tuple[float, int]] = {}  # by caller: since when, and how many
        self._closed = False

    @property
    def position(self) -> str:
        """The id of the newest event."""
        recent = self._events.recent()
        return f"{self._life}.{recent[-1].seq if recent else 0}"

    def missed(self, position: str) -> bool:
        """Whether something a page shows changed after `position`, or may have."""
        life, _, seq = position.partition(".")
        if life != self._life or not seq.isdecimal():
            return True
        recent = self._events.recent()
        if recent and recent[0].seq > int(seq) + 1:
            return True
        return any(self.signals(event.kind) for event in recent if event.seq > int(seq))

    def signals(self, kind: str) -> tuple[tuple[str, float], ...]:
        """What pages fetch again after an event of that kind, each at most once in so many seconds."""
        return SIGNALS.get("task" if kind.startswith("task_") else kind) or self._kernel.signals(kind)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Tells one page until it leaves, or chomp stops. Raises Busy when too many are open."""
        if self._closed or len(self._open) >= self._settings.limits.event_streams:
            raise Busy(f"{len(self._open)} pages are open already", retry_after_s=5, should_retry=True)
        stream = _Stream(self.signals, asyncio.get_running_loop().time)
        self._open.add(stream)
        try:
            with self._events.subscribe(stream.hear):
                known = request.headers.get("last-event-id") or request.query.get("after", "")
                if known and self.missed(known):
                    stream.due = dict.fromkeys((*EVERY_SIGNAL, *self._kernel.every_signal), 0.0)
                response = web.StreamResponse(headers=_STREAM_HEADERS)
                await response.prepare(request)
                await response.write(b"id: %b\n\n" % self.position.encode())
                await self._tell(stream, response, request)
                return response
        finally:
            self._open.discard(stream)

    async def _tell(self, stream: _Stream, response: web.StreamResponse, request: web.Request) -> None:
        while not self._closed and is_known(request):
            wait_s = stream.wait_s()
            if wait_s > 0:
                stream.wake.clear()
                try:
                    async with asyncio.timeout(min(wait_s, self._settings.timeouts.keepalive_s)):
                        await stream.wake.wait()
                except TimeoutError:
                    if wait_s > self._settings.timeouts.keepalive_s:
                        await self._write(response, request, b"event: here\ndata: {}\n\n")  # which pages can hear
                continue
            await self._write(response, request, stream.take(self.position))

    async def _write(self, response: web.StreamResponse, request: web.Request, data: bytes) -> None:
        try:
            async with asyncio.timeout(_SLOWEST_S):
                await response.write(data)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the page reads nothing") from None

    async def feed(self, request: web.Request, feed: Feed) -> web.StreamResponse:
        """Sends one viewer what happens, until it leaves or chomp stops. Raises Busy when too many look."""
        count = len(self._open) + len(self._feeds)
        if self._closed or count >= self._settings.limits.event_streams:
            raise Busy(f"{count} viewers look already", retry_after_s=5, should_retry=True)
        self._feeds.add(feed)
        self._events.details += 1
        try:
            with self._events.subscribe(feed.hear):
                life, _, seq = request.headers.get("last-event-id", "").partition(".")
                if seq.isdecimal() and len(seq) < 19:
                    recent = self._events.recent(int(seq) if life == self._life else 0)
                    if life != self._life:
                        feed.is_of_another_life = True
                    elif recent and recent[0].seq > int(seq) + 1:
                        feed.missed += recent[0].seq - int(seq) - 1
                    for event in recent:
                        feed.hear(event)
                response = web.StreamResponse(headers=_STREAM_HEADERS)
                await response.prepare(request)
                await response.write(b": chomp\n\n")
                while not self._closed and is_known(request):
                    if data := feed.take(self._life):
                        await self._write(response, request, data)
                        continue
                    try:
                        async with asyncio.timeout(self._settings.timeouts.keepalive_s):
                            await feed.some.wait()
                    except TimeoutError:
                        await self._write(response, request, b": here\n\n")
                    await asyncio.sleep(FEED_PACE_S)  # what comes at once goes together
                return response
        finally:
            self._feeds.discard(feed)
            asyncio.get_running_loop().call_later(DETAILS_S, self._end_details)  # it may come back in a moment

    def _end_details(self) -> None:
        self._events.details -= 1

    def admit(self, caller: str) -> None:
        """Counts an event that `caller` posts. Raises Busy for too many of them."""
        now = time.monotonic()
        since, count = self._posts.get(caller, (now, 0))
        if now - since >= 60:
            since, count = now, 0
        if count >= POSTS_PER_MINUTE:
            raise Busy(f"more than {POSTS_PER_MINUTE} events a minute", retry_after_s=60 - (now - since))
        if len(self._posts) > 1000:
            self._posts.clear()
        self._posts[caller] = since, count + 1

    def close(self) -> None:
        """Ends all streams; pages come back by themselves."""
        self._closed = True
        for stream in self._open:
            stream.wake.set()
        for feed in self._feeds:
            feed.some.set()


class _Stream:
    """What one page is still to be told."""

    def __init__(self, signals: Callable[[str], tuple[tuple[str, float], ...]], now: Callable[[], float]) -> None:
        self._signals = signals
        self._now = now
        self.wake = asyncio.Event()
        self.due: dict[str, float] = {}  # signals, and when the page may have them
        self._sent: dict[str, float] = {}
        self.toasts: collections.deque[Any] = collections.deque(maxlen=16)

    def hear(self, event: Event) -> None:
        """Notes what follows from an event."""
        data = event.data if isinstance(event.data, dict) else {}
        for name, pace_s in self._signals(event.kind):
            name = name.format(id=data.get("id", ""))
            self.due.setdefault(name, self._sent.get(name, -math.inf) + pace_s)
        if data.get("ended"):
            words = {"done": "is done", "failed": "failed", "stopped": "was stopped"}[data["ended"]]
            self.toasts.append({"message": f"Task {data['id']} {words}: {data['title']}", "task": data["id"]})
        elif event.kind == "toast":
            self.toasts.append(event.data)
        if self.due or self.toasts or event.kind == "logins":
            self.wake.set()

    def wait_s(self) -> float:
        """How long nothing is to be told."""
        return 0.0 if self.toasts else min(self.due.values(), default=math.inf) - self._now()

    def take(self, position: str) -> bytes:
        """The frames for what has happened; it is told then."""
        id_line, now = b"id: %b\n" % position.encode(), self._now()
        frames = [b"event: toast\n%bdata: %b\n\n" % (id_line, msgspec.json.encode(data)) for data in self.toasts]
        self.toasts.clear()
        if len(self._sent) > _SIGNALS_KEPT:
            self._sent.clear()
        for name in [one for one, at in self.due.items() if at <= now]:
            del self.due[name]
            self._sent[name] = now
            frames.append(b"event: %b\n%bdata: {}\n\n" % (name.encode(), id_line))
        return b"".join(frames)


LIVE: web.AppKey[LiveStreams] = web.AppKey("live", LiveStreams)


@routes.get("/events/pages")
async def stream_signals(request: web.Request) -> web.StreamResponse:
    """GET /events/pages -> SSE: what a page has to ask for again, such as `refreshTasks`; `toast`

    `toast` comes with a message. With `Last-Event-ID` a page that was away is told whether it missed something.
    """
    return await request.app[LIVE].serve(request)


FEED_WAITING = 1000  # events that a slow viewer has not read; it loses the oldest
POSTED_BYTES = 64 << 10
POSTS_PER_MINUTE = 600  # of one caller
_SEED_KINDS = {"start": "arena_start", "progress": "arena_progress", "complete": "arena_complete",
               "analysis": "arena_analysis", "error": "arena_error"}  # fmt: skip
_POSTED_KIND = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", re.ASCII)


class Feed:
    """The events that one viewer is still to be sent: bounded, so that it slows nobody down."""

    def __init__(self, kinds: Sequence[str], wanted: Mapping[str, str]):
        self._kinds, self._wanted = kinds, wanted
        self._waiting: collections.deque[Event] = collections.deque()
        self.missed = 0
        self.is_of_another_life = False  # it has seen events before chomp was started: nobody knows what it missed
        self.some = asyncio.Event()

    def hear(self, event: Event) -> None:
        """Notes an event, if the viewer wants it."""
        if self._kinds and not any(fnmatch.fnmatchcase(event.kind, pattern) for pattern in self._kinds):
            return
        if self._wanted:
            fields = event_fields(event)
            if isinstance(fields, msgspec.Struct):
                fields = msgspec.structs.asdict(fields)
            if not isinstance(fields, dict) or any(
                str(fields.get(name, "")) != value for name, value in self._wanted.items()
            ):
                return
        if len(self._waiting) >= FEED_WAITING:
            self._waiting.popleft()
            self.missed += 1
        self._waiting.append(event)
        self.some.set()

    def take(self, life: str) -> bytes:
        """The frames of what waits, a gap said before them; it is sent then."""
        frames = []
        if self.missed or self.is_of_another_life:
            missed = None if self.is_of_another_life else self.missed
            frames.append(b"event: gap\ndata: %b\n\n" % msgspec.json.encode({"missed": missed}))
            self.missed, self.is_of_another_life = 0, False
        for event in self._waiting:
            kind = event.kind.encode()
            data = msgspec.json.encode({"type": event.kind, "timestamp": iso(event.at), "data": event_fields(event)})
            frames.append(b"id: %b.%d\nevent: %b\ndata: %b\n\n" % (life.encode(), event.seq, kind, data))
        self._waiting.clear()
        self.some.clear()
        return b"".join(frames)


_FILTERS = ("router", "caller", "task", "id", "model")


@routes.get("/events")
async def stream_events(request: web.Request) -> web.StreamResponse:
    """GET /events?kinds=request_*,host_*&router=&caller=&task= -> SSE of everything that happens

    Named events with `{type, timestamp, data}`, such as `request_complete`; filters by kinds and by fields of `data`
    (also `id`, `model`). With `Last-Event-ID` those that were missed come first, as far as they are remembered. A
    viewer that reads too slowly loses events, and is told by `gap` how many; `null` when chomp was started meanwhile.
    """
    query = request.query
    kinds = [word for word in query.get("kinds", "").split(",") if word]
    feed = Feed(kinds, {name: query[name] for name in _FILTERS if query.get(name)})
    return await request.app[LIVE].feed(request, feed)


class _Posted(msgspec.Struct):
    type: str
    data: Any = None
    timestamp: str = ""


@routes.post("/events")
async def post_event(request: web.Request) -> web.Response:
    """POST /events {type, data} -> {status, type}: an event of another program, for whoever watches

    The seed's names `start`, `progress`, `complete`, `analysis`, `error` are taken as `arena_*`; chomp's own kinds
    come in as `remote_*`. At most 64 KiB, and 600 a minute.
    """
    services = request.app[SERVICES]
    if (request.content_length or 0) > POSTED_BYTES:
        raise TooLarge(f"an event has {POSTED_BYTES >> 10} KiB at most")
    posted = await body_of(request, _Posted)
    kind = _SEED_KINDS.get(posted.type, posted.type)
    if len(kind) > 64 or not _POSTED_KIND.fullmatch(kind):
        raise BadRequest(f"{posted.type[:64]!r} is no type of an event: small letters, joined by _", param="type")
    if len(msgspec.json.encode(posted.data)) > POSTED_BYTES:
        raise TooLarge(f"an event has {POSTED_BYTES >> 10} KiB at most")
    if kind.partition("_")[0] in _OWN_KINDS:  # nobody else says what chomp does
        kind = f"remote_{kind}"
    request.app[LIVE].admit(request[CALLER].name)
    services.events.publish(kind, posted.data)
    return reply({"status": "ok", "type": kind})


_OWN_KINDS = frozenset((
    "proxy", "request", "failover", "cooldown", "breaker", "host", "task", "session", "gate", "budget", "notice",
    "conversation", "platforms", "settings", "logins", "toast", "notify",
))  # fmt: skip


# == Pages =============================================================================================================

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_NOT_SERVED = ("input.css",)  # what style.css is made of
_FOREVER = "public, max-age=31536000, immutable"


class StaticFile(msgspec.Struct, frozen=True):
    """A file of static/, and the same compressed where that pays."""

    data: bytes
    packed: bytes
    etag: str
    type: str
    versioned: bool  # its name carries its version


def read_static(folder: Path) -> dict[str, StaticFile]:
    """What is served of `folder`, by name: files of known types, and nothing below."""
    found = {}
    for path in folder.iterdir():
        if path.suffix in _TYPES and path.name not in _NOT_SERVED:
            data = path.read_bytes()
            packed = b"" if path.suffix == ".woff2" else gzip.compress(data, 9, mtime=0)
            versioned = bool(re.search(r"-\d+\.\d+\.\d+\.", path.name))
            etag = hashlib.sha256(data).hexdigest()[:20]
            found[path.name] = StaticFile(data, packed, etag, _TYPES[path.suffix], versioned)
    return found


class Board:
    """What pages ask about tasks; numbers of running sessions are live."""

    def __init__(self, services: Services):
        self._services = services
        self._queue = services.dispatch.queue

    async def tasks(self, tab: str, query: str, status: str, platform: str, limit: int) -> list[Task]:
        """Of tab "active": active ones, then queued ones in the order they will start; "completed": newest first.

        `query` is looked for in prompts, results and ids; "" is no filter. At most `limit`.
        """

        def shown(task: Task) -> bool:
            return (
                (not query or query.lower() in f"#{task.id}\n{task.prompt}\n{task.result}".lower())
                and status in ("", state_of(task))
                and platform in ("", task.platform)
            )

        if tab == "completed":
            filtered = bool(query or status or platform)
            return list(filter(shown, await self._queue.finished(SEARCHED if filtered else limit)))[:limit]
        waiting = [task for task in self._queue.all() if not over(task)]
        waiting.sort(key=lambda task: (task.status == "queued", not task.wanted, -task.priority, int(task.id)))
        return list(filter(shown, waiting))[:limit]

    def just_finished(self) -> list[Task]:
        """What has ended within the last hour, the newest first; few."""
        since = iso(self._queue.now() - FINISHED_S)
        ended = [task for task in self._queue.all() if over(task) and task.finished > since]
        return sorted(ended, key=lambda task: task.finished, reverse=True)[:FINISHED_SHOWN]

    async def task(self, id: str) -> Task:
        """Raises NotFound."""
        return await self._queue.found(id)

    def archived(self, id: str) -> bool:
        """Whether a task that there is can be read only."""
        return id not in self._queue.state.tasks

    def counts(self) -> dict[str, int]:
        """`live` and all `tasks`, and tokens `burned`, the archive included."""
        found = self._queue.counts()
        return {"live": found["active"], "tasks": found["all"], "burned": found["tokens"]}

    def platforms(self) -> list[dict[str, Any]]:
        """The routers: id, name, color, status (as GET /api/platforms has it), credits, note."""
        rows = self._services.routing.rows.values()
        return [{name.lower(): value for name, value in shown_router(self._services, row).items()} for row in rows]

    def agents(self) -> dict[str, Platform]:
        """The platforms tasks can have, whether they can run here or not."""
        return self._services.dispatch.platforms.all()

    async def config(self) -> dict[str, Any]:
        """As GET /api/config."""
        return await shown_config(self._services)

    async def diff(self, id: str) -> tuple[str, bool]:
        """What the task's branch changes, and whether that was cut. Raises NotFound."""
        text = await self._services.dispatch.diff(await self.task(id), DIFF_BYTES)
        return text, text.rstrip("\n").endswith(DIFF_CUT)


BOARD: web.AppKey[Board] = web.AppKey("board", Board)
STATIC: web.AppKey[dict[str, StaticFile]] = web.AppKey("static", dict)
PAGE_SIZE, PAGE_MOST = 20, 400
ACTIVE_SIZE = 100  # of those that run and wait
SEARCHED = 2000  # finished tasks looked through for words, the newest
FINISHED_S, FINISHED_SHOWN = 3600.0, 5  # that stay among the active ones for a while
_MODELS_SHOWN = 60
_DIFF_LINES = 4000


def set_up_pages(app: web.Application, folder: Path, further: Sequence[Path] = ()) -> None:
    """Gives `app` the templates and static files of `folder`, and templates of `further` ones."""
    files = app[STATIC] = read_static(folder / "static")

    def asset(name: str) -> str:
        """The address of a static file, which changes when its content does."""
        return f"/static/{name}" if files[name].versioned else f"/static/{name}?v={files[name].etag}"

    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader([one / "templates" for one in (folder, *further)]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        default_helpers=False,
        filters=TEMPLATE_FILTERS,
    )
    for path in (folder / "templates").rglob("*.html"):
        environment.get_template(str(path.relative_to(folder / "templates")))  # compiled now, not when somebody asks
    environment.globals.update(
        PAGES=PAGES, asset=asset, version=VERSION, budget_of=budget_of, open_session=open_session
    )


def html_page(request: web.Request, template: str, status: int = 200, **shown: Any) -> web.Response:
    """`template` filled in, with the headers every page carries."""
    response = aiohttp_jinja2.render_template(template, request, shown, status=status)
    response.headers.update(page_headers())
    return response


def origin_of(request: web.Request) -> str:
    """The address of this chomp, as whoever asks reaches it."""
    return request.app[SERVICES].settings.public_url or f"{request.scheme}://{request.host}"


def command_words(settings: Settings, port: int = 0) -> str:
    """How bin/chomp is called for this chomp; `port` where it is not the one in `settings`."""
    command = "bin/chomp" if Path.cwd() == HERE else str(HERE / "bin" / "chomp") if IN_CLONE else "chomp"
    if settings.dir != home_folder({}):
        command = f"CHOMP_DIR={shlex.quote(str(settings.dir))} {command}"
    if config := settings.environ.get("CHOMP_CONFIG"):
        command = f"CHOMP_CONFIG={shlex.quote(str(Path(config).expanduser().resolve()))} {command}"
    if (port or settings.port) != Settings(settings.dir).port:  # the command may not know it otherwise
        command = f"PORT={port or settings.port} {command}"
    return command


class Filter(msgspec.Struct, frozen=True):
    """What is listed: the state of the form above the list."""

    tab: str
    q: str
    status: str
    platform: str
    limit: int


def _filter(request: web.Request, tab: str) -> Filter:
    """What a request asks for; `tab` when it names none."""
    given = request.query
    limit, tab = given.get("limit", ""), given.get("tab", tab)
    return Filter(
        "completed" if tab == "completed" else "active",
        given.get("q", "")[:200],
        given.get("status", ""),
        given.get("platform", ""),
        min(max(int(limit) if limit.isdecimal() and len(limit) < 6 else PAGE_SIZE, PAGE_SIZE), PAGE_MOST),
    )


async def _list_view(request: web.Request, tab: str = "active") -> dict[str, Any]:
    board, wanted = request.app[BOARD], _filter(request, tab)
    filtered = wanted.q or wanted.status or wanted.platform
    limit = wanted.limit if wanted.tab == "completed" else wanted.limit - PAGE_SIZE + ACTIVE_SIZE
    tasks = await board.tasks(wanted.tab, wanted.q, wanted.status, wanted.platform, limit + 1)
    return {
        "filter": wanted,
        "tasks": tasks[:limit],
        "more": len(tasks) > limit,
        "page_size": (PAGE_SIZE if wanted.tab == "completed" else ACTIVE_SIZE) if wanted.limit < PAGE_MOST else 0,
        "finished": board.just_finished() if wanted.tab == "active" and not filtered else [],
        "first_run": {} if filtered or board.counts()["tasks"] else _first_run(request),
        "agents": board.agents(),
        "settings": request.app[SERVICES].settings,
    }


def _first_run(request: web.Request) -> dict[str, Any]:
    """What the three ways to begin need to know."""
    services = request.app[SERVICES]
    routing = services.routing
    hosted = [row for row in routing.rows.values() if row.kind != "local"]
    return {
        "embedded": not services.local.missing and not any(routing.keys(row.id) for row in hosted),
        "routers": hosted,
        "origin": origin_of(request),
        "command": command_words(services.settings),
    }


async def _detail_view(request: web.Request, id: str) -> dict[str, Any]:
    board, settings = request.app[BOARD], request.app[SERVICES].settings
    task = await board.task(id)
    return {"task": task, "agents": board.agents(), "settings": settings, "archived": board.archived(id)}


def _balance_view(request: web.Request) -> dict[str, Any]:
    board = request.app[BOARD]
    return {"platforms": board.platforms(), "counts": board.counts()}


@routes.get("/", allow_head=False)
async def show_page(request: web.Request) -> web.Response:
    """GET / -> the dashboard; ?task= opens a task, ?tab= and ?q= set the list; open to all, filled by /partials/page"""
    return html_page(request, "page.html")


@routes.get("/partials/page")
async def show_page_part(request: web.Request) -> web.Response:
    """GET /partials/page?task=&tab=&q=&status=&platform=&limit= -> all that the dashboard shows at first"""
    opened = request.query.get("task", "")
    detail: dict[str, Any] = {"task": None}
    with contextlib.suppress(NotFound):
        detail = await _detail_view(request, opened) if opened else detail
    task = detail["task"]
    tab = "completed" if task is not None and over(task) else "active"  # where the task is that is opened
    shown = {**await _list_view(request, tab), **_balance_view(request), **detail}
    missing = opened[:20] if opened and task is None else ""
    return html_page(request, "partials/page.html", missing=missing, position=request.app[LIVE].position, **shown)


PAGES = (Page("/", "Tasks", "list"), Page("/usage", "Usage", "chart"), Page("/docs", "Documentation", "book"))

_DOCS = (
    "clients", "tasks", "models", "hosts", "tower", "dialects", "failover", "users", "usage", "api", "settings",
    "safety", "running",
)  # fmt: skip
_ORIGIN = "http://127.0.0.1:8001"  # as it is written in the docs; a page has its own address in its place


class DocsSection(msgspec.Struct, frozen=True):
    """A file of the docs, as the page shows it."""

    id: str
    title: str
    html: str
    parts: tuple[tuple[str, str], ...]  # anchors and words of its headings


def settings_text() -> str:
    """A complete chomp.toml: every setting with its default, and what it means."""

    of_extensions = Kernel(Settings(HERE)).kinds()

    def table(name: str) -> str:
        kind, lines = {**WRITTEN_TABLES, **of_extensions}[name], []
        notes = field_notes(kind)
        for field in msgspec.structs.fields(kind):
            default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            if field.name.endswith("_s"):
                default = setting_words(default) if default else 0
            elif field.name.endswith("_bytes"):
                default = next(f"{default // size}{unit}" for unit, size in _SIZES if default % size == 0)
            written = "{}" if default == {} else json.dumps(default)
            lines.append(f"{field.name.removesuffix('_s')} = {written}".ljust(24) + f" # {notes[field.name]}")
        return "\n".join(lines)

    return _docs_templates().get_template("chomp.toml").render(table=table, extensions=of_extensions)


_SIZES = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1))


def _docs_templates() -> jinja2.Environment:
    """Templates of texts that are no HTML: what becomes HTML of them is escaped when it does."""
    loader = jinja2.FileSystemLoader([HERE / "templates", HERE / "templates" / "docs"])
    return jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def endpoints(*patterns: str) -> str:
    """Markdown about the routes whose paths match: what their handlers' docstrings say."""
    texts = []
    for route in routes:
        if not isinstance(route, web.RouteDef):
            continue
        path = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route.path)
        if any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns):
            line, _, more = inspect.cleandoc(route.handler.__doc__ or f"{route.method} {path} -> ?").partition("\n")
            method, target, rest = (*line.split(" ", 2), "")[:3]
            fields, _, answer = rest.rpartition("-> ")
            texts.append(
                f"### `{method} {target}`\n\n{f'`{fields.strip()}` ' if fields else ''}→ {answer}\n\n{more.strip()}"
            )
    return "\n\n".join(texts)


def docs_texts() -> dict[str, str]:
    """The docs as Markdown, by section."""
    templates = _docs_templates()
    shown = {
        "origin": _ORIGIN, "version": VERSION, "routers": ROUTERS, "settings": settings_text(), "endpoints": endpoints,
        "variables": [{"name": name, "meaning": meaning, "default": default} for name, meaning, default in VARIABLES],
    }  # fmt: skip
    found = {name: templates.get_template(f"{name}.md").render(shown) for name in _DOCS}
    for folder in ("adapters", "bin"):
        found[folder] = (HERE / folder / "README.md").read_text("utf-8")
    return found


@functools.cache
def docs_sections() -> tuple[DocsSection, ...]:
    """The docs as HTML: what is not Markdown in them is text."""
    import markdown_it  # takes 25 ms and some memory, which a chomp whose docs nobody reads need not spend

    markdown = markdown_it.MarkdownIt("commonmark", {"html": False}).enable("table")
    for rule in (_code_inline_html, _fence_html, _table_open_html, _table_close_html):
        markdown.add_render_rule(rule.__name__.removeprefix("_").removesuffix("_html"), rule)
    sections: list[DocsSection] = []
    anchors = {*_DOCS, "adapters", "bin"}
    for name, text in docs_texts().items():
        tokens = markdown.parse(text)
        title, parts = name, []
        for at, token in enumerate(tokens):
            for child in token.children or ():
                if child.type == "link_open" and (file := _DOCS_FILE.fullmatch(str(child.attrs.get("href", "")))):
                    child.attrs["href"] = f"#{file['part'] or file['name'] or file['folder']}"
            if (place := str(token.attrs.pop("style", "")).partition("text-align:")[2]) in ("right", "center"):
                token.attrs["data-align"] = place  # of a table's cell: pages have no styles in their elements
            if token.type != "heading_open":
                continue
            words = "".join(one.content for one in tokens[at + 1].children or ())
            if token.tag == "h1":
                title, anchor = words, name
            else:
                anchor = re.sub(r"[^\w -]", "", words.lower()).strip().replace(" ", "-")
                anchor = f"{name}-{anchor}" if anchor in anchors else anchor
                if token.tag == "h2":
                    parts.append((anchor, words))
            anchors.add(anchor)
            token.attrs["id"] = anchor
            token.tag = tokens[at + 2].tag = f"h{int(token.tag[1]) + 1}"  # the page has a title of its own
        html_text = markdown.renderer.render(tokens, markdown.options, {})
        sections.append(DocsSection(name, title, html_text, tuple(parts)))
    return tuple(sections)


_DOCS_FILE = re.compile(
    r"(?:[\w./-]*?(?:(?P<folder>adapters|bin)/)?(?:README|(?P<name>[a-z]+))\.md)(?:#(?P<part>[\w-]+))?"
)


def _code_inline_html(renderer: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    text = html.escape(tokens[at].content)
    if route := re.match(r"(GET|POST|DELETE|HEAD) (?=/)", text):
        return f'<span class="method" data-method="{route[1]}">{route[1]}</span> <code>{text[route.end() :]}</code>'
    return f"<code>{text}</code>"


def _fence_html(renderer: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    return f'<pre tabindex="0">{html.escape(tokens[at].content)}</pre>\n'


def _table_open_html(renderer: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    return '<div class="scroller" tabindex="0"><table class="table">\n'


def _table_close_html(renderer: Any, tokens: Any, at: int, options: Any, env: Any) -> str:
    return "</table></div>\n"


@routes.get("/docs")
async def show_docs(request: web.Request) -> web.Response:
    """GET /docs -> how all of it is used, for people; open to all"""
    sections = await asyncio.to_thread(docs_sections)
    return html_page(request, "docs.html", sections=sections, written=_ORIGIN, origin=origin_of(request))


@routes.get("/partials/limits")
async def show_limits(request: web.Request) -> web.Response:
    """GET /partials/limits -> the limits in force, in words, for the docs page"""
    return html_page(request, "partials/limits.html", settings=request.app[SERVICES].settings)


_USAGE_BY = ("router", "model", "caller", "day")
_USAGE_SINCE = {"24h": "24 hours", "7d": "7 days", "30d": "30 days"}


async def _usage_view(request: web.Request) -> dict[str, Any]:
    by, since = request.query.get("by", "router"), request.query.get("since", "7d")
    by, since = by if by in _USAGE_BY else "router", since if since in _USAGE_SINCE else "7d"
    services = request.app[SERVICES]
    rows = await services.usage.report(by, time.time() - duration_s(since))
    names = {row.id: row.name for row in services.routing.rows.values()} if by == "router" else {}
    prices = {"source": services.prices.source, "date": services.prices.date}
    return {
        "by": by, "since": since, "rows": rows[:200], "names": names, "groups": _USAGE_BY, "periods": _USAGE_SINCE,
        "prices": prices,
    }  # fmt: skip


@routes.get("/usage")
async def show_usage_page(request: web.Request) -> web.Response:
    """GET /usage -> tokens, cost, requests and time to first token; open to all, filled by /partials/usage"""
    return html_page(request, "usage.html", groups=_USAGE_BY, periods=_USAGE_SINCE)


@routes.get("/partials/usage")
async def show_usage_part(request: web.Request) -> web.Response:
    """GET /partials/usage?by=router|model|caller|day&since=24h|7d|30d -> the table of the usage page"""
    return html_page(request, "partials/usage.html", **await _usage_view(request))


@routes.get("/partials/balance")
async def show_balance(request: web.Request) -> web.Response:
    """GET /partials/balance -> platforms and totals, from memory"""
    return html_page(request, "partials/balance.html", **_balance_view(request))


@routes.get("/partials/tasks")
async def show_tasks(request: web.Request) -> web.Response:
    """GET /partials/tasks?tab=active|completed&q=&status=&platform=&limit= -> the list"""
    return html_page(request, "partials/tasks.html", **await _list_view(request))


@routes.get("/partials/detail/{id}")
async def show_detail(request: web.Request) -> web.Response:
    """GET /partials/detail/{id} -> one task"""
    return html_page(request, "partials/detail.html", **await _detail_view(request, request.match_info["id"]))


@routes.get("/partials/diff/{id}")
async def show_diff_part(request: web.Request) -> web.Response:
    """GET /partials/diff/{id} -> what a task's branch changes"""
    text, cut = await request.app[BOARD].diff(request.match_info["id"])
    return html_page(request, "partials/diff.html", files=diff_files(text), cut=cut or text.count("\n") > _DIFF_LINES)


def extension_panels(app: web.Application) -> list[str]:
    """What extensions add to the settings; one that cannot be shown is left out, and shown as failing."""
    panels = []
    for extension in app[SERVICES].kernel.active:
        for template in extension.panels:
            try:
                text = app[aiohttp_jinja2.APP_KEY].get_template(template).render(settings=extension.settings)
            except Exception as error:  # whatever stands in that template
                extension.failed(template, error)
            else:
                panels.append(text)
    return panels


@routes.get("/partials/settings")
async def show_settings(request: web.Request) -> web.Response:
    """GET /partials/settings -> agents, keys, limits, what extensions add"""
    services = request.app[SERVICES]
    users = services.credentials.users
    board = request.app[BOARD]
    config, health = await board.config(), {one["id"]: one for one in board.platforms()}
    return html_page(
        request, "partials/settings.html", config=config, health=health, settings=services.settings, users=users,
        extensions=services.kernel.extensions, hosts=shown_hosts(services), panels=extension_panels(request.app),
    )  # fmt: skip


@routes.get("/partials/create")
async def show_create(request: web.Request) -> web.Response:
    """GET /partials/create -> the form for a new task"""
    services = request.app[SERVICES]
    waiting = await request.app[BOARD].tasks("active", "", "", "", PAGE_MOST)
    config = await request.app[BOARD].config()
    return html_page(
        request, "partials/create.html", config=config, settings=services.settings, waiting=waiting, kind="", fault=""
    )


@routes.get("/partials/folder")
async def show_folder(request: web.Request) -> web.Response:
    """GET /partials/folder?dir=&in_place= -> what a task would work in there, or why it must not"""
    wanted, kind, fault = request.query.get("dir", "").strip(), "", ""
    try:
        if wanted:
            in_place = bool(request.query.get("in_place"))
            kind = await request.app[SERVICES].dispatch.check(wanted, in_place=in_place)
    except (BadRequest, Unavailable) as error:
        fault = error.message
    return html_page(request, "partials/folder.html", kind=kind, fault=fault)


@routes.get("/partials/models")
async def show_models(request: web.Request) -> web.Response:
    """GET /partials/models?router=&model=&agent= -> models to choose from; `model` is looked for"""
    routing, given = request.app[SERVICES].routing, request.query
    words = given.get("model", "").lower().split()
    found = [
        {"id": f"{row.id}/{model.id}", "model": model, "router": row}
        for row in routing.rows.values()
        if routing.keys(row.id) and given.get("router", "") in ("", row.id)
        for model in routing.models(row.id)
        if all(word in f"{row.id}/{model.id} {model.name}".lower() for word in words)
    ]
    agent = request.app[BOARD].agents().get(given.get("agent", ""))
    own = [name for name in (agent.models if agent else ()) if all(word in name.lower() for word in words)]
    shown = found[:_MODELS_SHOWN]
    return html_page(request, "partials/models.html", models=shown, own=own, agent=agent, count=len(found))


class DiffFile(msgspec.Struct):
    """One file of a diff, as it is shown."""

    name: str
    added: int = 0
    removed: int = 0
    lines: list[tuple[str, str]] = []  # what a line is: "add", "cut", "at", "note" or "same", and its text


def diff_files(text: str) -> list[DiffFile]:
    """The files of a unified diff."""
    files: list[DiffFile] = []
    inside = False
    lines = text.removesuffix("\n").split("\n", _DIFF_LINES) if text else []  # git's ends of lines, no others
    for line in lines[:_DIFF_LINES]:
        if line.startswith("diff --git "):
            files.append(DiffFile(line.rpartition(" b/")[2] or line[11:]))
            inside = False
            continue
        if not files:
            files.append(DiffFile("changes"))
        file = files[-1]
        if line.startswith("@@"):
            inside = True
            file.lines.append(("at", line))
        elif inside and line.startswith("+"):
            file.added += 1
            file.lines.append(("add", line))
        elif inside and line.startswith("-"):
            file.removed += 1
            file.lines.append(("cut", line))
        elif inside:
            file.lines.append(("same", line))
        elif not line.startswith(("index ", "--- ", "+++ ")):
            file.lines.append(("note", line))
    return files


@routes.get("/static/{file}")
async def send_static(request: web.Request) -> web.Response:
    """GET /static/{file} -> scripts, styles, font; open to all"""
    file = request.app[STATIC].get(request.match_info["file"])
    if file is None:
        raise NotFound("there is nothing at this address")
    packed = bool(file.packed) and "gzip" in request.headers.get("accept-encoding", "")
    etag = f'"{file.etag}-gz"' if packed else f'"{file.etag}"'
    lasting = file.versioned or request.query.get("v") == file.etag
    headers = {
        "etag": etag,
        "cache-control": _FOREVER if lasting else "no-cache",
        "vary": "accept-encoding",
        "x-content-type-options": "nosniff",
    }
    if etag in request.headers.get("if-none-match", ""):
        return web.Response(status=304, headers=headers)
    headers["content-type"] = file.type
    if packed:
        headers["content-encoding"] = "gzip"
    return web.Response(body=file.packed if packed else file.data, headers=headers)


CODE_BYTES = 4096  # of what is sent to sign in
_OLD_COOKIE = "chomp_session"  # of earlier versions: other ports of this host name could read it


class SignIn(msgspec.Struct):
    """What a browser sends to sign in."""

    code: str


@routes.get("/login")
async def show_login(request: web.Request) -> web.Response:
    """GET /login -> a page that signs a browser in with the code of its link, or asks for one; it uses none up

    Its link is `/login#code=...`: what follows `#` is sent to no server, so whoever only looks at a link uses
    nothing up. The page sends the code, or the token that is typed into it, to `POST /login`.
    """
    response = html_page(request, "login.html")
    if _OLD_COOKIE in request.cookies:
        response.del_cookie(_OLD_COOKIE, path="/", httponly=True, samesite="Strict")
    return response


@routes.post("/login")
async def sign_in(request: web.Request) -> web.Response:
    """POST /login {code: a code or the owner's token} -> {key}: what the browser sends as bearer for 30 days

    The key is good wherever the token is, as `Authorization: Bearer ...`. Wrong codes and tokens are 401, and 429
    after ten in a row from one address; a good one always gets in.
    """
    services, address = request.app[SERVICES], request.remote or ""
    if request.content_length is None:
        raise BadRequest("its length must be said", status=411, code="length_required")
    if request.content_length > CODE_BYTES:
        raise TooLarge(f"more than {CODE_BYTES} bytes are no code")
    code = (await body_of(request, SignIn)).code.strip()
    key = services.logins.key(code)
    if key is None and services.credentials.caller("", code) is OWNER:
        key = services.logins.new_key()
    if key is None:
        services.logins.failed(address)
        raise Unauthorized("that is neither a code that is good, nor the token: `bin/chomp open` makes a code")
    services.logins.signed_in(address)
    return reply({"key": key})


@routes.post("/logout")
async def sign_out(request: web.Request) -> web.Response:
    """POST /logout -> the browser's key is none any more"""
    services = request.app[SERVICES]
    services.logins.end(browser_key(request))
    services.events.publish("logins", {})
    return reply({"status": "ok"})


@routes.post("/api/login")
async def make_login_link(request: web.Request) -> web.Response:
    """POST /api/login -> {url}: a link that signs a browser in, once, within 10 minutes

    `bin/chomp open` asks for it.
    """
    services = request.app[SERVICES]
    return reply({"url": f"{origin_of(request)}/login#code={services.logins.code()}"})


# == Extensions ========================================================================================================


def mount(app: web.Application, kernel: Kernel) -> None:
    """Adds the routes and pages of extensions; one whose routes are taken is disabled."""
    own = [(route.method, cast(Any, route.resource)) for route in app.router.routes()]
    patterns = [(method, one.get_info()["pattern"]) for method, one in own if "pattern" in one.get_info()]
    patterns += [(method, re.compile(re.escape(one.canonical))) for method, one in own]
    taken: set[tuple[str, str]] = set()
    for extension in kernel.active:
        shells: list[tuple[str, str, Handle]] = [
            ("GET", page.path, functools.partial(_show_shell, page.template)) for page in extension.pages
        ]
        for method, path, handle in (*extension.routes, *shells):
            try:
                example = re.sub(r"\{[^{}]*\}", "x", path)  # of an address that it would have
                methods = (method, "*")
                if (method, path) in taken or any(
                    (method == "*" or kind in methods) and one.fullmatch(example) for kind, one in patterns
                ):
                    raise ValueError("it is there already")
                if path.startswith("/{"):
                    raise ValueError("it would be the address of everything else")
                add = app.router.add_get if method == "GET" else functools.partial(app.router.add_route, method)
                add(path, _answering(extension, handle), expect_handler=expect)
            except (RuntimeError, ValueError) as error:
                kernel.disable(extension, f"{method} {path} cannot be served: {error}")
                break
            taken.add((method, path))
    kernel.open_paths = frozenset(page.path for page in kernel.pages)
    environment = app[aiohttp_jinja2.APP_KEY]
    environment.globals["PAGES"] = (*PAGES[:-1], *kernel.pages, PAGES[-1])


async def _show_shell(template: str, request: web.Request) -> web.Response:
    return html_page(request, template)


def _answering(extension: Extension, handle: Handle) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A handler that answers for `handle` of an extension, whatever it does."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if extension.phase != "active":
            raise Unavailable(f"the extension {extension.id} is disabled: {extension.reason}", should_retry=False)
        try:
            found = await handle(request)
            if isinstance(found, web.StreamResponse):
                return found
            if isinstance(found, str):
                return web.Response(text=found, headers=page_headers(), content_type="text/html")
            return reply(found)
        except (ChompError, web.HTTPException, ConnectionError):
            raise
        except BaseException as error:  # a bug of the extension: one answer fails, and everybody can see why
            if is_stopped(error) or isinstance(error, SystemExit):
                raise
            extension.failed(f"{request.method} {request.path}", error)
            if request.writer.output_size > 0:
                raise ConnectionError("the answer broke off") from error
            raise ChompError(f"the extension {extension.id} failed; chomp's log says why") from None

    return answer


@routes.get("/api/commands")
async def list_commands(request: web.Request) -> web.Response:
    """GET /api/commands -> {commands: [{name, usage, help, input, extension}]}: what extensions add to bin/chomp"""
    listed = [
        {"name": one.name, "usage": one.usage, "help": one.help, "input": one.input, "extension": one.extension}
        for one in request.app[SERVICES].kernel.commands().values()
    ]
    return reply({"commands": listed})


@routes.post("/api/commands/{name}")
async def run_command(request: web.Request) -> web.StreamResponse:
    """POST /api/commands/{name} {args, input, tty, colour, columns, lines} -> NDJSON: {out}, {err}, {exit} at last

    Does a command that an extension adds; `out` and `err` are what it prints, `exit` is its exit status.
    """
    services, name = request.app[SERVICES], request.match_info["name"]
    call = await body_of(request, Call)
    if len(call.input) > COMMAND_BYTES:
        raise TooLarge(f"input has more than {COMMAND_BYTES} characters")
    if name not in services.kernel.commands():
        raise NotFound(f"no extension has a command {name[:50]!r}")
    response = web.StreamResponse(
        headers={**SAFE_HEADERS, "content-type": "application/x-ndjson", "x-accel-buffering": "no"}
    )
    await response.prepare(request)

    async def tell(**piece: Any) -> None:
        await response.write(msgspec.json.encode(piece) + b"\n")

    status: int | None = None
    try:
        async for piece in services.kernel.run(name, call):
            if isinstance(piece, int):
                status = piece
            else:
                await tell(out=piece)
    except ChompError as error:
        await tell(err=f"{services.credentials.redact(error.message)}\n")
    except ConnectionError:
        raise
    except Exception as error:  # a bug of the extension
        services.kernel.failed(name, error)
        await tell(err=f"{name} failed; chomp's log says why\n")
    await tell(exit=1 if status is None else status)
    return response


# == App ===============================================================================================================


class Sources:
    """Where settings come from: read at start, and again when something of it has changed."""

    def __init__(self, store: Store, folder: Path, flags: Mapping[str, Any], environ: Mapping[str, str]):
        self._store = store
        self._folder = folder
        self._flags = flags
        self._environ = environ
        config = environ.get("CHOMP_CONFIG")
        self._named = bool(config)
        self.path = Path(config).expanduser() if config else folder / "chomp.toml"
        self.seen: tuple[object, ...] = ()

    def read(self) -> Settings:
        """Raises SettingsError or StoreError."""
        self.seen = self.stamp()
        return read_settings(
            self._folder,
            flags=self._flags,
            environ=self._environ,
            dotenv=self._store.dotenv(),
            overrides=self._store.overrides(),
            file=read_toml(self.path, required=self._named),
        )

    def stamp(self) -> tuple[object, ...]:
        """Changes when one of the files does."""
        return (file_stamp(self.path), *self._store.stamps())


_AT_START = {  # settings that take a restart, with the names they are written by
    "host": "host", "port": "port", "log_form": "log", "log_level": "log_level", "local_gguf": "local_gguf",
    "timeouts": "timeouts", "limits": "limits", "extensions": "extensions",
    "cache_dir": "XDG_CACHE_HOME", "proxies": "the proxy variables",
}  # fmt: skip
CHANGES_S = 2.0  # how often the files are looked at
LAG_S = 10.0  # how often it is measured how late a timer fires


def adopt(services: Services, settings: Settings) -> list[str]:
    """Puts new settings into force, running answers undisturbed. What takes a restart is left and returned by name.

    Raises SettingsError or StoreError, and has changed nothing then.
    """
    before = services.settings
    left = [written for name, written in _AT_START.items() if getattr(settings, name) != getattr(before, name)]
    settings = msgspec.structs.replace(settings, **{name: getattr(before, name) for name in _AT_START})
    check_exposure(settings)
    rows = router_rows(settings)
    read_aliases(settings.aliases)
    owner_token = settings.api_token or services.store.token()
    users = user_rows(settings, owner_token)
    services.kernel.adopt(settings)
    services.credentials.adopt(settings, services.store.keys(), owner_token, users)
    services.logins.adopt(owner_token)
    services.routing.adopt(rows, settings)
    services.meters.adopt(settings.tasks)
    services.proxy.forget_addresses()
    services.settings = settings
    services.store.finished = settings.tasks.finished
    services.hosts.clear()
    services.routing.refresh()
    services.dispatch.queue.stirred.set()  # more may run
    services.events.publish("settings", {})
    services.events.publish("logins", {})  # with another token nobody is signed in
    return left


async def _watch_files(services: Services, sources: Sources) -> None:
    """Reloads when a file of settings has changed, and has come to rest: half a file may be good TOML, too."""
    now = last = sources.stamp()
    while True:
        pause_s = CHANGES_S if now == sources.seen else CHANGES_S / 4  # soon again where something has changed
        await asyncio.sleep(pause_s)
        now = sources.stamp()
        if now == last != sources.seen:
            with contextlib.suppress(ChompError):  # logged; what was in force stays
                await services.reload()
        last = now


def make_app(
    settings: Settings,
    store: Store,
    clocks: Clocks = CLOCKS,
    log_lines: Callable[[str], object] | None = None,
    sources: Sources | None = None,
) -> web.Application:
    """The application; `store` is open and is closed with it. Raises SettingsError or StoreError.

    `log_lines` (stderr) takes a line for each request, from another thread. `sources` are watched for changes.
    """
    rows = router_rows(settings)
    owner_token = settings.api_token or store.token()
    credentials = Credentials(settings, store.keys(), owner_token, user_rows(settings, owner_token))
    logins = Logins(owner_token, clocks.wall, clocks.lasting)
    kernel = Kernel(settings)
    store.finished = settings.tasks.finished
    read_aliases(settings.aliases)
    app = web.Application(middlewares=[guard], client_max_size=settings.limits.body_bytes)
    for route in routes:
        cast(web.RouteDef, route).kwargs["expect_handler"] = expect
    app.add_routes(routes)
    set_up_pages(app, HERE, [Path(one).expanduser() for one in settings.extensions.folders])
    app.on_shutdown.append(_end_streams)
    app.on_response_prepare.append(_leave_out)

    async def reload(changed: Settings | None = None) -> list[str]:
        try:
            left = adopt(app[SERVICES], changed or (sources.read() if sources is not None else settings))
        except (SettingsError, StoreError) as error:
            log.error("the settings were not taken over: %s", error)
            param = error.param if isinstance(error, SettingsError) else None
            raise BadRequest(f"nothing was changed: {error}", code="invalid_settings", param=param) from None
        after = f"; after a restart: {', '.join(left)}" if left else ""
        log.info("the settings were read again%s", after)
        return left

    def now_set() -> Settings:
        return app[SERVICES].settings if SERVICES in app else settings

    async def services(app: web.Application) -> AsyncIterator[None]:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": f"chomp/{VERSION}"},
        )
        write = log_lines or sys.stderr.write
        made = _services(settings, now_set, store, clocks, write, credentials, logins, kernel, rows, session, reload)
        app[SERVICES] = made
        try:
            kernel.services.update(tasks=made.dispatch.queue, requests=made.proxy, routing=made.routing)
            kernel.own_services = frozenset(kernel.services)
            await kernel.activate(_tools_for(made, session, now_set, clocks))
            await _open_database(made)
        except StoreError:
            await session.close()
            await store.close()
            raise
        mount(app, kernel)
        await made.dispatch.recover()
        app[LIVE] = LiveStreams(made.events, settings, kernel, made.started_at)
        app[BOARD] = Board(made)
        if sources is not None:
            made.background.start("changed files", _watch_files(made, sources))
        made.background.start("ledger", made.usage.run())
        made.background.start("idle connections", made.proxy.pool.run())
        made.background.start("hosts of this machine", made.routing.hosts.find())
        made.background.start("event loop lag", _watch_lag(made.usage, made.routing))
        made.routing.refresh()
        kernel.begin(made.background)
        try:
            yield
        finally:
            await made.dispatch.stop()
            await kernel.stop()
            await made.background.stop()
            await made.local.stop()
            made.proxy.pool.close()
            await session.close()
            await made.usage.flush()
            await store.close()

    app.cleanup_ctx.append(services)
    app[SEATS] = Seats()
    app.on_shutdown.append(close_sockets)
    return app


def _services(
    settings: Settings,
    now_set: Callable[[], Settings],
    store: Store,
    clocks: Clocks,
    log_lines: Callable[[str], object],
    credentials: Credentials,
    logins: Logins,
    kernel: Kernel,
    rows: Sequence[RouterDef],
    session: aiohttp.ClientSession,
    reload: Callable[..., Awaitable[list[str]]],
) -> Services:
    """All of them, of which none has begun. `now_set` says which settings are in force."""
    background, events, database = Background(), EventBus(settings.limits), store.database
    out = log_lines if logging.getLogger().isEnabledFor(logging.INFO) else None
    usage = UsageLedger(database, settings.limits, log_form=settings.log_form, out=out)
    allowances, meters = Allowances(database, clocks), Meters(database, settings.tasks, clocks)
    prices = PriceTable((HERE / "static" / "prices.json").read_text("utf-8"))
    local = LocalModel(settings, credentials, background)
    hosts = Hosts(settings, session, background, events, credentials, clocks)
    routing = RouterPool(rows, settings, credentials, prices, session, background, events, hosts, clocks)
    pool = UpstreamPool(settings.timeouts, settings.limits, settings.proxies)
    proxy = Proxy(
        settings, credentials, pool, routing, usage, allowances, meters, events, local, background, clocks.wall
    )
    runner = LocalRunner(background, now_set)
    folders = Folders(settings.state / "work", now_set, runner.capture, runner.sandboxed, clocks.wall)
    platforms = Platforms(HERE / "adapters", store.agents, runner.capture, agent_environment(settings))
    dispatch = Dispatch(
        now_set,
        TaskQueue(store, events, lambda: now_set().tasks, clocks=clocks),
        store,
        Machine(now_set, runner, folders, platforms),
        platforms,
        meters,
        credentials,
        background,
        events,
        routing,
    )
    return Services(
        settings=settings,
        credentials=credentials,
        routing=routing,
        proxy=proxy,
        usage=usage,
        allowances=allowances,
        meters=meters,
        logins=logins,
        kernel=kernel,
        jobs=JobQueue(proxy, database, background, settings),
        dispatch=dispatch,
        responses=ResponseStore(database, settings.limits, clocks.wall),
        local=local,
        prices=prices,
        bodies=BodyRoom(settings.limits),
        background=background,
        store=store,
        events=events,
        reload=reload,
        started_at=clocks.wall(),
    )


def _tools_for(
    services: Services, session: aiohttp.ClientSession, now_set: Callable[[], Settings], clocks: Clocks
) -> Toolbox:
    """What extensions are handed."""
    return Toolbox(
        services.background, services.events, services.store.database, session, now_set, services.credentials, clocks,
        given_fields, html_page, is_known,
    )  # fmt: skip


async def _open_database(services: Services) -> None:
    """Opens it and reads what is counted from it; where a disk is full, again until it succeeds. Raises StoreError."""
    database, began_at = services.store.database, services.started_at
    steps: list[Callable[[], Awaitable[None]]] = [
        database.open, services.usage.open, services.responses.open, lambda: JobQueue.open(database),
        lambda: services.allowances.open(began_at), lambda: services.meters.read_today(began_at),
        lambda: services.kernel.make_tables(database),
    ]  # fmt: skip

    async def take_steps() -> None:
        while steps:  # each until it has succeeded, and once
            await steps[0]()
            del steps[0]
        database.fault = ""

    async def try_again() -> None:
        while database.fault:
            await asyncio.sleep(DATABASE_RETRY_S)
            with contextlib.suppress(sqlite3.Error):
                await take_steps()
        log.info("%s can be used again", services.settings.state / "chomp.db")

    try:
        await take_steps()
    except sqlite3.Error as error:
        if not (isinstance(error, DatabaseFault) and error.passing):
            raise StoreError(f"{error}; move it away or restore it") from None
        database.fault = str(error)
        log.error("%s: chomp serves without ledger, jobs and kept responses, and tries again", error)
        services.background.start("database", try_again())


async def _end_streams(app: web.Application) -> None:
    if LIVE in app:  # else it did not start
        app[LIVE].close()


async def _watch_lag(usage: UsageLedger, routing: RouterPool) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_S
        await asyncio.sleep(LAG_S)
        usage.loop_lag_s = max(0.0, loop.time() - due)
        routing.notice_sleep()


async def _leave_out(request: web.Request, response: web.StreamResponse) -> None:
    """What an answer that aiohttp writes need not tell: with which versions."""
    response.headers.pop("server", None)


class _JsonLog(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


LOG_BYTES = 1 << 20


class LogWriter:
    """Writes log lines to stderr from a thread of its own: a stopped terminal, or a pipe nobody reads, stops nothing.

    Up to LOG_BYTES wait; more is dropped, and counted in a line that says so.
    """

    def __init__(self) -> None:
        self._waiting: collections.deque[bytes] = collections.deque()
        self._size = self._dropped = 0
        self._some = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="chomp-log", daemon=True)
        self._thread.start()

    def write(self, lines: str) -> None:
        data = lines.encode("utf-8", "replace")
        with self._some:
            if self._size + len(data) > LOG_BYTES:
                self._dropped += lines.count("\n")
                return
            self._waiting.append(data)
            self._size += len(data)
            self._some.notify()

    def close(self, limit_s: float = 1.0) -> None:
        """Writes what waits, as far as it goes out within `limit_s`."""
        with self._some:
            self._closed = True
            self._some.notify()
        self._thread.join(limit_s)

    def _run(self) -> None:
        while True:
            with self._some:
                while not self._waiting:
                    if self._closed:
                        return
                    self._some.wait()
                data = self._waiting[0]
                dropped, self._dropped = self._dropped, 0
            note = b"%d log lines were dropped: nobody read them\n" % dropped if dropped else b""
            with contextlib.suppress(OSError):
                unsent = memoryview(note + data)
                while unsent:
                    unsent = unsent[os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, unsent) :]
            with self._some:
                self._waiting.popleft()
                self._size -= len(data)


class _Redacting(logging.Handler):
    """Hands on log lines without known secrets."""

    def __init__(self, write: Callable[[str], object], redact: Callable[[str], str] = str):
        super().__init__()
        self._write = write
        self.redact = redact

    def emit(self, record: logging.LogRecord) -> None:
        self._write(self.redact(self.format(record)) + "\n")


def set_up_logging(settings: Settings, write: Callable[[str], object]) -> _Redacting:
    """Log lines go to `write`, in the form asked for. Raises SettingsError for an unknown level."""
    if settings.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise SettingsError(f"CHOMP_LOG_LEVEL is DEBUG, INFO, WARNING or ERROR, not {settings.log_level!r}")
    handler = _Redacting(write)
    if settings.log_form == "json":
        handler.setFormatter(_JsonLog())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    return handler


def banner(settings: Settings, services: Services, port: int) -> str:
    """What a person needs to know at start."""
    address = address_of(settings, port)
    command = command_words(settings, port)
    auth = "" if settings.v1_no_auth else f'  -H "Authorization: Bearer $({command} token)" \\\n'
    lines = [
        f"\nchomp {VERSION} listens on {address}\n",
        f"  dashboard    {address}/login#code={services.logins.code(BANNER_CODE_S)}\n"
        f"               opens it once; for another link: {command} open\n"
        + "               (set CHOMP_API_TOKEN there, too: it is in the environment of this chomp only)\n"
        * settings.token_variable,
        f"  curl {address}/v1/chat/completions \\\n{auth}"
        "  -H 'Content-Type: application/json' \\\n"
        '  -d \'{"model": "auto", "messages": [{"role": "user", "content": "What is the capital of France?"}]}\'\n',
    ]
    for row in services.routing.rows.values():
        if row.kind == "local":
            state = f"tiny demonstration model, {services.local.state}"
        elif keys := services.routing.keys(row.id):
            state = (
                "no key needed"
                if not keys[0].secret
                else "key present"
                if len(keys) == 1
                else f"{len(keys)} keys present"
            )
        else:
            state = f"set {row.key_env[0]}" if row.key_env else "no key in chomp.toml"
        lines.append(f"  {row.id:<12} {state}")
    lines.append(f"\n  prices: {services.prices.source}, {services.prices.date}\n")
    return "\n".join(lines)


_TWINS = {"127.0.0.1": "::1", "::1": "127.0.0.1", "0.0.0.0": "::", "::": "0.0.0.0"}
_NO_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


async def listen(runner: Runner, settings: Settings) -> int:
    """Has `runner` listen; the port, one for all addresses. Raises SettingsError when one of them is taken.

    Of the loopback addresses, and of the addresses that stand for all, those of both families: else another program
    could have the second one and be `localhost` for a browser, which would give it the key it has for that name.
    """
    found = 0
    missing: OSError | None = None
    host, port = settings.host, settings.port
    try:
        named = dict.fromkeys(str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        twins = [_TWINS[one] for one in named if one in _TWINS and _TWINS[one] not in named]
        for number, address in enumerate((*named, *twins)):
            if number == len(named) and missing is not None and not found:
                break  # what was asked for is not there
            try:
                opened = _bound(address, port)
            except OSError as error:
                if error.errno not in _NO_FAMILY:
                    host = address
                    raise
                missing = error  # a machine without this family: nobody else can listen there, either
                continue
            await runner.listen(opened)
            found += 1
            port = opened.getsockname()[1]
        if missing is not None and not found:
            raise missing
    except OSError as error:
        host = f"[{host}]" if ":" in host else host
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return port


def _bound(address: str, port: int) -> socket.socket:
    """A socket bound to that. Raises OSError."""
    opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of before a restart may linger
        if ":" in address:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((address, port))
        opened.setblocking(False)
    except BaseException:
        opened.close()
        raise
    return opened


async def serve(settings: Settings, store: Store, sources: Sources) -> None:
    """Serves until SIGTERM or SIGINT, then drains. Raises SettingsError when the address cannot be had."""
    writer = LogWriter()
    logs = set_up_logging(settings, writer.write)
    app = make_app(settings, store, log_lines=writer.write, sources=sources)
    runner = Runner(app, settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await runner.setup()
        services = app[SERVICES]
        logs.redact = services.credentials.redact
        port = await listen(runner, settings)
        services.routing.hosts.own_ports.add(port)
        services.dispatch.open(local_address(settings, port))
        services.events.publish("proxy_start", {"port": port, "hosts": len(services.routing.hosts.all)})
        print(banner(settings, services, port), flush=True)
        loop.add_signal_handler(signal.SIGHUP, lambda: services.background.start("reload", _reloaded(services)))
        gc.collect()
        gc.freeze()  # what lives since the start is not looked at again
        gc.set_threshold(50_000, 20, 20)
        await stop.wait()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)  # a second one ends at once
        log.info("stopping: %d requests are running", services.proxy.inflight)
        services.events.publish("proxy_stop", {"running": services.proxy.inflight})
        services.jobs.stop()
        services.bodies.stop()
        await close_sockets(app)
        app[LIVE].close()
        runner.close()
        services.meters.stop()
        await asyncio.gather(services.dispatch.stop(), services.proxy.drain(settings.timeouts.drain_s))
        await runner.answered(limit_s=2.0)
    finally:
        await runner.cleanup()
        await store.close()
        writer.close()


async def _reloaded(services: Services) -> None:
    with contextlib.suppress(ChompError):  # logged
        await services.reload()


def raise_file_limit() -> None:
    """Lets this process open as many files as it may: a relayed stream takes two, and shells often allow 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def route_table() -> str:
    """The routes, as their handlers describe them."""
    return "\n".join((r.handler.__doc__ or "").splitlines()[0] for r in routes if isinstance(r, web.RouteDef))


OFFLINE_BYTES = 16 << 20  # of a request on standard input
_SERVED = 75  # exit status: a server has the state folder, it is to be asked instead


async def _offline(queue: TaskQueue, command: str, fields: Mapping[str, Any]) -> Any:
    """The answer to `command`, as the HTTP API shapes it. Raises ChompError."""
    if command == "add":
        return {"status": "ok", "task": await queue.add(fields)}
    if command == "drop":
        if (task := queue.get(_one_id(fields))).status == "active":
            raise Conflict(f"task {task.id} is active: start chomp, which settles what was running, or stop it")
        return {"status": "ok", "task": await queue.delete(task.id)}
    if command == "show":
        return await queue.found(_one_id(fields))
    if command == "list":
        return {"tasks": queue.all()}
    if command == "status":
        return {"tasks": queue.all(), "next_id": queue.state.next_id, "archived": queue.state.archived}
    if command == "log":
        limit = fields_as({"limit": fields.get("limit") or 50}, _Limit).limit
        return {"tasks": await queue.finished(max(1, min(limit, 1000)))}
    raise BadRequest(f"{command[:40]!r} does not work without a server; add, list, show, drop, log, status do")


class _Limit(msgspec.Struct):
    limit: int


def _one_id(fields: Mapping[str, Any]) -> str:
    ids = read_ids(fields.get("id", ""))
    if len(ids) != 1:
        raise BadRequest("id must name one task", param="id")
    return ids[0]


def offline(argv: Sequence[str], folder: Path) -> int:
    """What bin/chomp can do while no server runs: `offline COMMAND [ID]`; the exit status.

    A JSON object {"command", "fields"} on standard input says the same and more. Prints JSON as the HTTP API does;
    errors with exit status 1, with 75 when a server has the folder. `offline state` lists the copies of state.json,
    `offline state restore NAME` puts one back.
    """
    store = Store(folder / "state")
    store.finished = None  # how many stay is the server's to know
    answer: Any = None
    wrong: ChompError | None = None
    exit_status = 1

    async def work(command: str, fields: Mapping[str, Any]) -> Any:
        try:
            queue = TaskQueue(store, EventBus(Limits()), TaskSettings)
            return await _offline(queue, command, fields)
        finally:
            await store.close()

    try:
        command, fields = _offline_request(argv)
        if command == "state":
            answer = _offline_state(store, argv[1:])
        else:
            store.open("command")
            answer = asyncio.run(work(command, fields))
        exit_status = 0
    except StoreBusy:
        words = f"a running chomp has {store.folder}: ask it instead, or stop it first"
        wrong, exit_status = Conflict(words, code="state_in_use"), _SERVED
    except StoreError as error:
        wrong = Unavailable(str(error), code="state_unreadable")
    except ChompError as error:
        wrong = error
    finally:
        store.unlock()
    sys.stdout.buffer.write(msgspec.json.encode(wrong.body() if wrong is not None else answer) + b"\n")
    sys.stdout.flush()
    return exit_status


def _offline_request(argv: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Command and fields, of the arguments and of standard input. Raises BadRequest."""
    given: Any = {}
    if argv[:1] != ["state"] and not sys.stdin.isatty():
        data = sys.stdin.buffer.read(OFFLINE_BYTES + 1)
        if len(data) > OFFLINE_BYTES:
            raise TooLarge(f"the request is larger than {OFFLINE_BYTES >> 20} MiB")
        try:
            given = msgspec.json.decode(data) if data.strip() else {}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"the request is not JSON: {error}") from None
    fields = given.get("fields") or {} if isinstance(given, dict) else None
    if not isinstance(fields, dict):
        raise BadRequest('the request must be {"command": …, "fields": {…}}')
    command = argv[0] if argv else given.get("command")
    if not isinstance(command, str) or given.get("command", command) != command:
        raise BadRequest("the command is missing, or there are two", param="command")
    return command, {"id": argv[1], **fields} if len(argv) > 1 else fields


def _offline_state(store: Store, words: Sequence[str]) -> dict[str, Any]:
    """The copies of state.json, or which one was put back. Raises StoreError."""
    if not words:
        return {"copies": store.copies()}
    if words[0] != "restore" or len(words) != 2:
        raise BadRequest("it is `state`, or `state restore NAME`")
    store.lock("command")
    state = store.restore(words[1])
    return {"status": "ok", "restored": words[1], "tasks": len(state.tasks)}


def main(argv: Sequence[str] | None = None) -> int:
    """The commands `python chomp_server.py` and `chomp-server`; their exit status."""
    if sys.getfilesystemencoding() != "utf-8":  # a locale in which paths, prompts and names could not be passed on
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    argv = sys.argv[1:] if argv is None else argv
    folder = home_folder(os.environ).resolve()
    if argv[:1] == ["offline"]:
        return offline(argv[1:], folder)
    variables = [(name, words.replace("`", "")) for name, words, _ in VARIABLES]
    keys = [(row.key_env[0], f"key of {row.name}") for row in ROUTERS if row.key_env]
    listed = (textwrap.fill(f"{name:<26} {words}", 100, initial_indent="  ", subsequent_indent=" " * 29)
              for name, words in (*variables, *keys))  # fmt: skip
    parser = argparse.ArgumentParser(
        prog="chomp_server.py",
        description="One port between your agents and every model.",
        epilog="environment, or state/.env (--settings prints chomp.toml):\n" + "\n".join(listed),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, help="port to listen on")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--atc", metavar="URL", help="a control tower to send events to, CHOMP_ATC_TOKEN is its token")
    parser.add_argument("--routes", action="store_true", help="print the routes and exit")
    parser.add_argument("--settings", action="store_true", help="print a complete chomp.toml and exit")
    parser.add_argument("--version", action="version", version=f"chomp {VERSION}")
    given = parser.parse_args(argv)
    if given.routes:
        print(route_table())
        return 0
    if given.settings:
        print(settings_text(), end="")
        return 0
    raise_file_limit()
    store = Store(folder / "state")
    try:
        store.open()
        sources = Sources(store, folder, {"port": given.port, "host": given.host, "atc": given.atc}, os.environ)
        settings = sources.read()
        try:
            import uvloop

            factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
        except ImportError:  # not on every platform
            factory = None
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(serve(settings, store, sources))
    except (SettingsError, StoreError) as error:
        print(f"chomp: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
