"""Claude plans, with what Claude Code signs in with (its `.credentials.json`).

Anthropic means these tokens for Claude Code and its own applications: what comes from it is passed on as it is.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from typing import Any, Literal

from adapters.subscriptions import seen
from adapters.subscriptions.seen import Limits, Refusal, Tokens, Window

NAME = "Claude"
ROUTER = "claude"
BASE = ""
MARKS: tuple[str, ...] = ("claudeAiOauth",)
TOKEN_URL = "https://platform.claude.com/v1/oauth/token"
FORM = False
MODELS = "/models?limit=1000"
USAGE = "/api/oauth/usage"
CHECKS = False
CLIENT = "9d1c250a-e61b-44d9-88ed-5944d1962f5e"
SCOPES = ("user:profile", "user:inference", "user:sessions:claude_code", "user:mcp_servers", "user:file_upload")

PATHS: seen.Paths = (
    ("POST", re.compile(r"/messages"), "messages"),
    ("POST", re.compile(r"/messages/count_tokens"), "count_tokens"),
    ("GET", re.compile(r"/models"), "other"),
    ("GET", re.compile(r"/models/[A-Za-z0-9](?:[._:@-]?[A-Za-z0-9]){0,127}"), "other"),
)

_SIGN_IN = "this Claude account is signed out: sign in with the program it belongs to, `claude` and there /login"
_UNIFIED = "anthropic-ratelimit-unified"
_WINDOW = re.compile(rf"{_UNIFIED}-([a-z0-9_]{{1,40}})-(utilization|status|reset)")
_LENGTH = re.compile(r"([1-9][0-9]{0,3})([hdm])(?:_([a-z0-9_]+))?")
_FIELD = re.compile(r"(five_hour|seven_day)((?:_[a-z0-9_]{1,40})?)")  # of the usage
_UNIT_S = {"m": 60, "h": 3600, "d": seen.DAY_S}
_SCOPES = {"oi": "fable"}  # "overage included": the weekly window of the one family that is billed so
_CLAIMS = {"five_hour": "5h", "seven_day": "7d", "seven_day_overage_included": "7d_oi"}
_OF_THE_CLIENT = "only authorized for use with claude code"


# -- signing in


def read(fields: Any) -> Tokens | None:
    """Raises ValueError when it is signed out."""
    if not isinstance(fields, dict) or MARKS[0] not in fields:
        return None
    entry = fields[MARKS[0]]
    access, refresh = seen.secret(entry, "accessToken"), seen.secret(entry, "refreshToken")
    if not access and not refresh:
        raise ValueError(_SIGN_IN)
    return Tokens(
        access=access,
        refresh=refresh,
        expires_at=_ends(entry) if access else 0.0,
        account=seen.text(entry, "account", "uuid") or seen.text(fields, "oauthAccount", "accountUuid"),
        organisation=seen.text(entry, "organization", "uuid") or seen.text(fields, "oauthAccount", "organizationUuid"),
        email=seen.text(entry, "account", "email_address") or seen.text(fields, "oauthAccount", "emailAddress"),
        plan=_plan(entry),
        client_id=seen.text(entry, "clientId") or CLIENT,
        scopes=seen.scopes(seen.member(entry, "scopes")),
    )


def _ends(entry: Any) -> float:
    found = seen.number(seen.member(entry, "expiresAt"))
    return seen.expiry(None if found is None else found / 1000, 0.0)


def _plan(entry: Any) -> str:
    """ "max 20x": the tier has the multiple, and the name where there is no other."""
    tier = seen.text(entry, "rateLimitTier").lower()
    name = seen.text(entry, "subscriptionType").lower().removeprefix("claude_")
    is_max = "_max" in tier or seen.member(entry, "isMax") is True
    times = re.search(r"_(\d{1,3}x)$", tier)
    return " ".join(word for word in (name or ("max" if is_max else ""), times[1] if times else "") if word)


def refresh(tokens: Tokens) -> dict[str, str]:
    return {
        "grant_type": "refresh_token",
        "refresh_token": tokens.refresh,
        "client_id": tokens.client_id or CLIENT,
        "scope": " ".join(tokens.scopes or SCOPES),
    }


def refreshed(fields: Mapping[str, Any], reply: Any, now: float) -> dict[str, Any]:
    """Whose they are is said only here, so it goes into the file, beside what Claude Code has there."""
    entry, access = seen.member(fields, *MARKS), seen.secret(reply, "access_token")
    if not isinstance(entry, dict) or not access:
        raise ValueError("no token came from Claude's token endpoint")
    seconds = seen.number(seen.member(reply, "expires_in"))
    changes = {
        "accessToken": access,
        "refreshToken": seen.secret(reply, "refresh_token") or None,
        "scopes": list(seen.scopes(seen.member(reply, "scope"))) or None,
        "account": _part(reply, "account", "uuid", "email_address"),
        "organization": _part(reply, "organization", "uuid", "name"),
    }
    expires_at = None if seconds is None else int((now + seconds) * 1000)
    return {**fields, MARKS[0]: {**seen.with_new(entry, changes), "expiresAt": expires_at}}


def _part(reply: Any, name: str, *names: str) -> dict[str, str] | None:
    found = {one: seen.text(reply, name, one) for one in names}
    return {one: value for one, value in found.items() if value} if found["uuid"] else None


def headers(tokens: Tokens) -> list[tuple[str, str]]:
    return []


# -- limits


def limits(headers: Iterable[tuple[bytes, bytes]], now: float) -> Limits | None:
    values = seen.told(headers)
    windows = _windows(values)
    found = Limits(
        windows=tuple(windows[name] for name in sorted(windows, key=lambda name: (windows[name].length_s, name))),
        overage=_overage(values),
        is_paid=values.get(f"{_UNIFIED}-overage-in-use", "").lower() == "true",
    )
    return None if found == Limits() else found


def _windows(values: Mapping[str, str]) -> dict[str, Window]:
    """The windows by the vendor's own names: "5h", "7d_oi"."""
    parts: dict[str, dict[str, str]] = {}
    for name, value in values.items():
        if (match := _WINDOW.fullmatch(name)) and match[1] != "overage" and value:
            parts.setdefault(match[1], {})[match[2]] = value
    windows = {name: _window(name, fields) for name, fields in list(parts.items())[: seen.WINDOWS_MOST]}
    return {name: one for name, one in windows.items() if one.used is not None or one.resets_at or one.status}


def _window(name: str, fields: Mapping[str, str]) -> Window:
    match = _LENGTH.fullmatch(name)
    scope = _SCOPES.get(match[3], match[3]) or "" if match else ""
    words = (match[1], match[2], scope.replace("_", " ")) if match else (name.replace("_", " "),)
    return Window(
        name=" ".join(word for word in words if word),
        used=seen.number(fields.get("utilization")),
        resets_at=seen.moment(fields.get("reset")),
        length_s=int(match[1]) * _UNIT_S[match[2]] if match else 0.0,
        status=seen.text(fields, "status", most=40).lower(),
        scope=scope,
    )


def _overage(values: Mapping[str, str]) -> Literal["", "allowed", "rejected"]:
    status = values.get(f"{_UNIFIED}-overage-status", "").lower()
    if status == "rejected":
        return "rejected"
    return "allowed" if status.startswith("allowed") else ""


def refusal(
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    names: Container[str | None],
    words: str,
    model: str,
    now: float,
) -> Refusal | None:
    if status == 403 and _OF_THE_CLIENT not in words.lower():
        return Refusal("parked", scope=seen.family(model) if _is_about(words, model) else "", words=words)
    if status != 429:
        return None
    values = seen.told(headers)
    windows = _windows(values)
    if not _is_spent(values, windows):
        return Refusal("burst", until=seen.wait_over(values, now), words=words)
    is_scoped, resets_at = _spent(values, windows)
    scope = seen.family(model) or next((one.scope for one in windows.values() if _is_rejected(one)), "")
    ends = (resets_at, seen.moment(values.get(f"{_UNIFIED}-reset")), seen.wait_over(values, now))
    return Refusal("spent", scope if is_scoped else "", next((end for end in ends if end > now), 0.0), words)


def _is_about(words: str, model: str) -> bool:
    """Whether a sentence names the model, or its family."""
    sentence, family = words.lower(), seen.family(model)
    is_family = family != model and family in re.findall(r"[a-z]+", sentence)
    return is_family or bool(model and model.lower() in sentence)


def _is_rejected(window: Window) -> bool:
    return window.status == "rejected"


def _is_spent(values: Mapping[str, str], windows: Mapping[str, Window]) -> bool:
    """Whether a 429 is about the plan. Answers that were allowed have a claim and a reset, too."""
    status = values.get(f"{_UNIFIED}-status", "").lower()
    if status.startswith("allowed") and _overage(values) == "allowed":
        return False  # its windows are used up, and what goes beyond is served
    if status == "rejected" or any(map(_is_rejected, windows.values())):
        return True
    return not status and {f"{_UNIFIED}-representative-claim", f"{_UNIFIED}-reset"} <= values.keys()


def _spent(values: Mapping[str, str], windows: Mapping[str, Window]) -> tuple[bool, float]:
    """Whether it is one family's limit, and when that which was rejected is reset; 0.0 where it is not said."""
    rejected = [window for window in windows.values() if _is_rejected(window)]
    general = [window for window in rejected if not window.scope]
    if rejected:
        return not general, max(window.resets_at for window in general or rejected)
    if _overage(values) == "rejected" and all(name in windows and windows[name].status for name in ("5h", "7d")):
        return True, seen.moment(values.get(f"{_UNIFIED}-overage-reset"))
    claim = values.get(f"{_UNIFIED}-representative-claim", "")
    name = _CLAIMS.get(claim, claim.replace("seven_day_", "7d_"))
    return bool(_window(name, {}).scope), windows[name].resets_at if name in windows else 0.0


def usage(fields: Any, now: float) -> Limits:
    """From its list of limits and from the older fields beside it, which are null on newer plans."""
    found: dict[str, Window] = {}
    for name, entry in fields.items() if isinstance(fields, dict) else ():
        if isinstance(entry, dict) and (match := _FIELD.fullmatch(name)):
            _add(found, ("5h" if match[1] == "five_hour" else "7d") + match[2], entry)
    for entry in seen.rows(fields, "limits"):
        kind = seen.text(entry, "kind")
        scope = _scope(entry)
        if kind == "weekly_scoped" and scope:
            _add(found, f"7d_{scope}", entry)
        elif kind in ("session", "weekly_all"):
            _add(found, "5h" if kind == "session" else "7d", entry)
    return Limits(windows=tuple(found.values())[: seen.WINDOWS_MOST])


def _add(windows: dict[str, Window], name: str, entry: Mapping[str, Any]) -> None:
    values = (seen.share(entry.get(one)) for one in ("utilization", "percent", "used_percent"))
    used = next((value for value in values if value is not None), None)
    window = _window(name, {})
    resets_at = seen.moment(entry.get("resets_at"))
    if used is not None or resets_at:
        windows[window.name] = Window(window.name, used, resets_at, window.length_s, scope=window.scope)


def _scope(entry: Any) -> str:
    """The family that a limit is for, from the name or the id of a model, wherever it stands."""
    for path in (("scope", "model"), ("model",), ("scope", "surface"), ("scope",), ("name",)):
        for name in ("", "display_name", "name", "id"):
            label = seen.text(entry, *path, *([name] if name else []))
            words = re.findall(r"[a-z]+", label.lower())
            if found := next((word for word in words if word not in ("claude", "anthropic", "weekly")), ""):
                return found
    return ""


def models(fields: Any) -> tuple[tuple[str, str], ...]:
    listing = [(seen.text(row, "id"), seen.text(row, "display_name")) for row in seen.rows(fields, "data")]
    return tuple((id, name or id) for id, name in listing if id)


def check(fields: Any) -> None:
    """Requests of the responses dialect are translated before they come here."""


def prepare(fields: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    return dict(fields), ()
