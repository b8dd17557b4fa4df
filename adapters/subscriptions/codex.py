"""ChatGPT plans, with what Codex signs in with (its `auth.json`): the backend of Codex itself.

It serves the responses dialect alone, keeps nothing between requests, and says how many per cent are used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Container, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from adapters.subscriptions import seen
from adapters.subscriptions.seen import Limits, Refusal, Tokens, Window

NAME = "ChatGPT (Codex)"
ROUTER = "chatgpt"
BASE = ""
MARKS: tuple[str, ...] = ("tokens", "OPENAI_API_KEY")
TOKEN_URL = "https://auth.openai.com/oauth/token"
FORM = False
MODELS = "/models?client_version=1.0.0"  # models that want a newer client than that are left out of the list
USAGE = "/backend-api/wham/usage"
CHECKS = False
CLIENT = "app_EMoamEEZ73f0CkXaXp7hrann"
AUTH = "https://api.openai.com/auth"  # a claim
REFRESH_S = 8 * seen.DAY_S  # after the last time, where the token does not say when it ends

PATHS: seen.Paths = (
    ("POST", re.compile(r"/responses"), "responses"),
    ("POST", re.compile(r"/responses/compact|/images/(?:generations|edits)|/alpha/search"), "other"),
    ("GET", re.compile(r"/models"), "other"),
)

REFUSED = frozenset(
    {
        "background",
        "conversation",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "previous_response_id",
        "prompt",
        "prompt_cache_retention",
        "safety_identifier",
        "stream_options",
        "temperature",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)
TIERS = ("priority", "flex")  # of service; others are refused
REASONING = "reasoning.encrypted_content"  # so that the next request can send it back

_WINDOWS = ("primary", "secondary")
_DEFAULTS = {"truncation": "disabled", "service_tier": "auto"}  # they say nothing
_API_KEY = "this file holds an API key and no sign-in of a plan: set the key as that of a router"
_SIGN_IN = "this ChatGPT account is signed out: sign in with the program it belongs to, `codex login`"


# -- signing in


def read(fields: Any) -> Tokens | None:
    """Raises ValueError when it is signed out, and where there is an API key instead."""
    if not isinstance(fields, dict) or not fields.keys() & set(MARKS):
        return None
    tokens = fields.get("tokens")
    access, refresh = seen.secret(tokens, "access_token"), seen.secret(tokens, "refresh_token")
    if not access and not refresh:
        raise ValueError(_API_KEY if seen.secret(fields, "OPENAI_API_KEY") else _SIGN_IN)
    person, token = seen.claims(seen.secret(tokens, "id_token")), seen.claims(access)

    def claim(name: str) -> str:
        return seen.text(token, AUTH, name) or seen.text(person, AUTH, name)

    return Tokens(
        access=access,
        refresh=refresh,
        expires_at=_ends(token, seen.member(fields, "last_refresh")) if access else 0.0,
        account=claim("chatgpt_user_id") or claim("user_id"),
        organisation=seen.secret(tokens, "account_id") or seen.secret(claim("chatgpt_account_id")),
        email=seen.text(person, "email") or seen.text(token, "https://api.openai.com/profile", "email"),
        plan=claim("chatgpt_plan_type"),
        client_id=CLIENT,
    )


def _ends(token: Any, last_refresh: Any) -> float:
    if found := seen.number(seen.member(token, "exp")):
        return found
    before = seen.moment(last_refresh)
    return before + REFRESH_S if before else math.inf


def refresh(tokens: Tokens) -> dict[str, str]:
    return {
        "client_id": tokens.client_id or CLIENT,
        "grant_type": "refresh_token",
        "refresh_token": tokens.refresh,
        "scope": "openid profile email",
    }


def refreshed(fields: Mapping[str, Any], reply: Any, now: float) -> dict[str, Any]:
    tokens, changes = seen.member(fields, "tokens"), new_tokens(reply)
    if not isinstance(tokens, dict) or not changes["access_token"]:
        raise ValueError("no token came from ChatGPT's token endpoint")
    last_refresh = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**fields, "tokens": seen.with_new(tokens, changes), "last_refresh": last_refresh}


def new_tokens(reply: Any) -> dict[str, str | None]:
    """Those that a token endpoint has sent; None for each that stays as it is."""
    return {name: seen.secret(reply, name) or None for name in ("access_token", "refresh_token", "id_token")}


def headers(tokens: Tokens) -> list[tuple[str, str]]:
    return [("chatgpt-account-id", tokens.organisation)] if tokens.organisation else []


# -- limits


def limits(headers: Iterable[tuple[bytes, bytes]], now: float) -> Limits | None:
    """A limit of one model has headers of its own, and the plan's then repeat them while it is the active one."""
    values = seen.told(headers)
    plan, (family, scope) = _windows(values, "codex", "", now), _active(values)
    windows = plan
    if scope:
        own = _windows(values, family, scope, now) or _windows(values, "codex", scope, now)
        copies = {_figures(window) for window in own}
        windows = (*(window for window in plan if _figures(window) not in copies), *own)
    found = Limits(windows, plan=seen.text(values, "x-codex-plan-type"))
    return None if found == Limits() else found


def _figures(window: Window) -> tuple[float | None, float, float]:
    return window.used, window.resets_at, window.length_s


def _active(values: Mapping[str, str]) -> tuple[str, str]:
    """The family of headers of the active limit, and the model that it is for; "" = the plan's own.

    The plan's is named "premium" on paid plans and has no headers of that name.
    """
    family = seen.text(values, "x-codex-active-limit").lower().replace("_", "-")
    has_own = any(f"x-{family}-{name}-used-percent" in values for name in _WINDOWS)
    if family == "codex" or not (has_own or family.startswith("codex-")):
        return "codex", ""
    return family, seen.text(values, f"x-{family}-limit-name").lower().replace(" ", "-") or family


def _windows(values: Mapping[str, str], family: str, scope: str, now: float) -> tuple[Window, ...]:
    found = []
    for name in _WINDOWS:
        prefix = f"x-{family}-{name}"
        used = seen.share(values.get(f"{prefix}-used-percent"))
        minutes = seen.number(values.get(f"{prefix}-window-minutes"))
        after = seen.number(values.get(f"{prefix}-reset-after-seconds"))
        resets_at = seen.moment(values.get(f"{prefix}-reset-at")) or (now + after if after else 0.0)
        is_absent = minutes == 0 and not used  # a plan with one window says zeros of the other
        if not is_absent and (used is not None or resets_at):
            found.append(_window(name, used, resets_at, (minutes or 0) * 60, scope))
    return tuple(found)


def _window(name: str, used: float | None, resets_at: float, length_s: float, scope: str = "") -> Window:
    label = seen.span(length_s) or name
    return Window(f"{label} {scope}".rstrip(), used, resets_at, length_s, scope=scope)


def refusal(
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    names: Container[str | None],
    words: str,
    model: str,
    now: float,
) -> Refusal | None:
    """How long it lasts stands in the body, too: "resets_at" there is the caller's to read."""
    if status == 403 or (status == 429 and _says("usage_not_included", names, words)):
        return Refusal("parked", model if model and model in words else "", words=words)
    if status != 429:
        return None
    pairs = tuple(headers)
    values = seen.told(pairs)
    if not _says("usage_limit_reached", names, words):
        return Refusal("burst", until=seen.wait_over(values, now), words=words)
    scope = _active(values)[1]
    until = spent_until(limits(pairs, now), scope, now)
    return Refusal("spent", scope and (model or scope), until, words)


def _says(name: str, names: Container[str | None], words: str) -> bool:
    return name in names or name in words


def spent_until(found: Limits | None, scope: str, now: float) -> float:
    """When those windows of `scope` are reset of which all is used; 0.0 where that is not said."""
    windows = found.windows if found else ()
    full = [one.resets_at for one in windows if one.scope == scope and one.used is not None and one.used >= 1]
    return max((end for end in full if end > now), default=0.0)


def usage(fields: Any, now: float) -> Limits:
    windows = []
    for name in _WINDOWS:
        entry = seen.member(fields, "rate_limit", f"{name}_window")
        used = seen.share(seen.member(entry, "used_percent"))
        resets_at = seen.moment(seen.member(entry, "reset_at"))
        if used is not None or resets_at:
            windows.append(
                _window(name, used, resets_at, seen.number(seen.member(entry, "limit_window_seconds")) or 0.0)
            )
    return Limits(windows=tuple(windows), plan=seen.text(fields, "plan_type"))


def models(fields: Any) -> tuple[tuple[str, str], ...]:
    """Those that are shown to people."""
    shown = [row for row in seen.rows(fields, "models") if seen.text(row, "visibility") not in ("hide", "none")]
    listing = [(seen.text(row, "slug"), seen.text(row, "display_name")) for row in shown]
    return tuple((slug, name or slug) for slug, name in listing if slug)


# -- requests


def check(fields: Any) -> None:
    """Codex knows what its backend takes, and the backend says it to others."""


def prepare(fields: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    refused = REFUSED if fields.get("service_tier") in TIERS else REFUSED | {"service_tier"}
    request, names = stateless(fields, refused)
    instructions = request.get("instructions")
    return {**request, "instructions": instructions if isinstance(instructions, str) else ""}, names


def stateless(fields: Mapping[str, Any], refused: Collection[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A request of which the vendor keeps nothing, without what is `refused`, and the names of what that was."""
    request = {name: value for name, value in fields.items() if name not in refused}
    names = tuple(name for name, value in fields.items() if name in refused and not _is_default(name, value))
    include = fields.get("include")
    include = [one for one in include if one != REASONING] if isinstance(include, list) else []
    request |= {"stream": True, "store": False, "include": [*include, REASONING]}
    if "input" in fields:
        request["input"] = _items(fields["input"])
    return request, names


def _is_default(name: str, value: Any) -> bool:
    return value is None or value is False or value == _DEFAULTS.get(name)


def _items(value: Any) -> Any:
    """The input as a list, which is all that is taken, with no system messages in it."""
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    if not isinstance(value, list):
        return value
    return [{**item, "role": "developer"} if is_system(item) else item for item in value]


def is_system(item: Any) -> bool:
    return seen.text(item, "role") == "system" and seen.member(item, "type") in (None, "message")
