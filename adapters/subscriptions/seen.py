"""What an account of a subscription is, and what its vendor says about it.

Each way to sign in is a module beside this one with the same names:

    NAME                         as it is shown
    ROUTER                       the row it serves: "claude" or "chatgpt"
    BASE                         where its requests go; "" = where the row says
    MARKS                        a file of its credentials has one of these at the top
    TOKEN_URL                    where its tokens are refreshed
    FORM                         whether that is sent as a form; else as JSON
    PATHS                        what may be asked for: (method, pattern of the whole path below /v1, api)
    MODELS                       the list of models below the base, with its query
    USAGE                        the path, at the base's origin, that tells what is used; "" = there is none
    CHECKS                       whether `check` looks at anything
    read(fields)                 its tokens in a file of credentials -> Tokens; None: another's; ValueError: it has none
    refresh(tokens)              what the token endpoint is sent
    refreshed(fields, reply, now)  the file with new tokens and all else as it was; ValueError: there are none
    headers(tokens)              of every request, beside the bearer token
    limits(headers, now)         what an answer's headers say of its windows -> Limits; None: nothing
    refusal(status, headers, names, words, model, now)  what an error means for the account -> Refusal; None: nothing
    usage(fields, now)           the answer of USAGE -> Limits
    models(fields)               the answer of MODELS -> (id, name) of each
    check(fields)                a request of the responses dialect; ValueError: a sentence why it is not allowed
    prepare(fields)              one that chomp itself has written: as it has to be, and the names that were left out

`headers` of answers are pairs of bytes as they came, `now` is Unix time. What comes is a stranger's: it is read by the
functions below, and nothing in it is a surprise.
"""

from __future__ import annotations

import base64
import contextlib
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

TEXT_MOST = 300
SECRET_MOST = 64 << 10
WINDOWS_MOST = 16
DAY_S = 86400.0

Paths = tuple[tuple[str, re.Pattern[str], str], ...]


class Tokens(msgspec.Struct, frozen=True):
    """What an account is asked with, and whose it is as far as that is said."""

    access: str
    refresh: str  # "" = it cannot be refreshed
    expires_at: float  # Unix time; math.inf = not said
    account: str = ""  # the vendor's id of the person
    organisation: str = ""  # and of what pays: one e-mail address may belong to several
    email: str = ""
    plan: str = ""  # as people say it: "max 20x"
    client_id: str = ""
    scopes: tuple[str, ...] = ()
    refresh_from: float = 0.0  # Unix time: before it, a refresh fails and spends the refresh token


class Window(msgspec.Struct, frozen=True):
    """How much of what a plan allows in a while is used."""

    name: str  # "5 h", "7 d", "7 d fable", "primary"
    used: float | None  # 1.0 = all of it, and it may be more; None = not said
    resets_at: float = 0.0  # Unix time; 0 = not said
    length_s: float = 0.0  # 0 = not said
    status: str = ""  # "allowed", "allowed_warning", "rejected", as the vendor says
    scope: str = ""  # the family of models it is for; "" = all


class Limits(msgspec.Struct, frozen=True):
    """What an answer says of an account."""

    windows: tuple[Window, ...] = ()
    overage: Literal["", "allowed", "rejected"] = ""  # whether more than the plan is served, and billed
    is_paid: bool = False  # whether that was done now
    plan: str = ""


class Refusal(msgspec.Struct, frozen=True):
    """What an error says of an account."""

    kind: Literal["spent", "burst", "parked"]  # until a reset; for moments; until a person does something
    scope: str = ""  # of "spent" and "parked": the family of models it is for
    until: float = 0.0  # Unix time; 0 = not said
    words: str = ""


# -- reading what a stranger says


def member(fields: Any, *path: str) -> Any:
    """The value at `path` through objects; None where there is none."""
    for name in path:
        fields = fields.get(name) if isinstance(fields, dict) else None
    return fields


def text(fields: Any, *path: str, most: int = TEXT_MOST) -> str:
    """The line of text at `path`; "" where there is none, or one that no header could carry."""
    value = member(fields, *path)
    return value.strip() if isinstance(value, str) and len(value) <= most and value.isprintable() else ""


def secret(fields: Any, *path: str) -> str:
    """The token at `path`; "" where there is none that a header could carry."""
    value = text(fields, *path, most=SECRET_MOST)
    return value if value.isascii() and " " not in value else ""


def number(value: Any) -> float | None:
    """`value` as a finite number that is not below zero, from text, too; None when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | bytes):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if 0 <= found < 1e13 else None


def told(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name in lower case."""
    return {name.decode("latin-1").lower(): value.decode("latin-1").strip()[:TEXT_MOST] for name, value in headers}


def claims(token: str) -> dict[str, Any]:
    """What a JSON web token says, not verified: it is the vendor's own that we hand back; {} when it is none."""
    part = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def family(model: str) -> str:
    """The family of a Claude model: "opus" of "claude-opus-4-5" and of "claude-3-opus-20240229"; itself of others."""
    words = re.split(r"[-_.@:\[]", model.rpartition("/")[2].lower())
    rest = words[words.index("claude") + 1 :] if "claude" in words else ()
    return next((word for word in rest if word.isalpha() and word != "latest"), model)


def rows(fields: Any, *path: str) -> list[dict[str, Any]]:
    """The objects of the list at `path`."""
    value = member(fields, *path)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def scopes(value: Any) -> tuple[str, ...]:
    """The scopes of a token, from a list of them or from a line with spaces between."""
    if isinstance(value, str):
        value = value.split()
    return tuple(one for one in value if secret(one)) if isinstance(value, list) else ()


def moment(value: Any) -> float:
    """Unix time of a date as in RFC 3339, of seconds, and of milliseconds; 0.0 where none is said."""
    found = number(value)
    if found is None and isinstance(value, str):
        with contextlib.suppress(ValueError):
            date = datetime.fromisoformat(value)
            found = number(date.replace(tzinfo=date.tzinfo or UTC).timestamp())
    found = found or 0.0
    return found / 1000 if found > 1e11 else found


def share(percent: Any) -> float | None:
    """What is used, as a fraction."""
    found = number(percent)
    return None if found is None else found / 100


def span(seconds: float) -> str:
    """A length as it names a window: "5 h", "7 d"; "" for none. Vendors say 299 minutes, too."""
    hours = round(seconds / 3600)
    if hours and abs(seconds - hours * 3600) <= 120:
        return f"{hours} h" if hours % 24 else f"{hours // 24} d"
    return f"{max(1, round(seconds / 60))} min" if seconds else ""


def wait_over(headers: Mapping[str, str], now: float) -> float:
    """When the wait that Retry-After asks for in seconds is over; 0.0 where it does not."""
    found = number(headers.get("retry-after"))
    return now + found if found else 0.0


def expiry(seconds: Any, now: float) -> float:
    """When a token ends that is good for so many seconds; math.inf when that is not said."""
    found = number(seconds)
    return math.inf if found is None else now + found


def with_new(fields: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` with `changes` that are not None, in the order in which they were."""
    return {**fields, **{name: value for name, value in changes.items() if value is not None}}
