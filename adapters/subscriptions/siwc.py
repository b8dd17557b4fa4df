"""ChatGPT plans by "Sign in with ChatGPT", OpenAI's door for open-source programs that run at home.

https://developers.openai.com/siwc/token-sharing-open-source: one signs in with a browser, the program gets a client
id of its own, and the plan pays for the Responses API, which refuses there what a plan does not cover.
"""

from __future__ import annotations

import base64
import hashlib
import re
import urllib.parse
from collections.abc import Container, Iterable, Mapping
from typing import Any

from adapters.subscriptions import codex, seen
from adapters.subscriptions.seen import Limits, Refusal, Tokens

NAME = "ChatGPT"
ROUTER = "chatgpt"
BASE = "https://api.openai.com/v1"
MARKS: tuple[str, ...] = ("siwc",)
AUTHORIZE_URL = "https://auth.openai.com/api/accounts/authorize"
TOKEN_URL = "https://auth.openai.com/api/accounts/oauth/token"
FORM = True
MODELS = codex.MODELS
USAGE = ""
CHECKS = True
ISSUER = "https://auth.openai.com"
CLIENT = "dynamic_agent_client"  # asks for the first sign-in, which brings the client id of all that follows
PLAN = "chatgpt.tokens.use.direct"  # the scope without which the plan pays for nothing
SCOPES = ("openid", "profile", "email", "offline_access", "resource.invoke", PLAN)

PATHS: seen.Paths = (
    ("GET", re.compile(r"/models"), "other"),
    ("POST", re.compile(r"/responses"), "responses"),
)

REFUSED = codex.REFUSED - {"stream_options"} | {
    "moderation",
    "multi_agent",
    "prompt_cache_breakpoint",
    "prompt_cache_options",
}

_SIGN_IN = "this ChatGPT account is signed out: sign in with ChatGPT again"
_SPENT = "subscription_sharing_usage_limit_exceeded"
_STATE = {  # what asks for something that is kept, and what to do instead
    "previous_response_id": "nothing is kept there: send the whole conversation as input",
    "conversation": "nothing is kept there: send the whole conversation as input",
    "background": "nothing is kept there: wait for the stream",
}


# -- signing in


def challenge(verifier: str) -> str:
    """What the sign-in is begun with, so that only who has `verifier` can end it (RFC 7636)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def authorize_url(
    base: str,
    redirect: str,
    state: str,
    nonce: str,
    challenge: str,
    host_id: str,
    app_name: str,
    client_id: str = CLIENT,
) -> str:
    """Where a browser signs in; `base` is AUTHORIZE_URL, `host_id` the "urn:uuid:..." of this installation.

    With the `client_id` that an earlier sign-in brought, that registration is used again.
    """
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect,
        "scope": " ".join(SCOPES),
        "resource": BASE,
        "state": state,
        "nonce": nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "ext_agent_host_id": host_id,
    }
    if client_id == CLIENT:
        query["agent_name_hint"] = app_name
    return f"{base}?{urllib.parse.urlencode(query, quote_via=urllib.parse.quote)}"


def exchange(code: str, client_id: str, redirect: str, verifier: str) -> dict[str, str]:
    """What the token endpoint is sent for a code; `client_id` came back with it."""
    return {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "code": code,
        "redirect_uri": redirect,
        "code_verifier": verifier,
        "resource": BASE,
    }


def signed_in(reply: Any, client_id: str, host_id: str, now: float, nonce: str) -> dict[str, Any]:
    """The file of the new account. Raises ValueError when it is not what was asked for, or cannot be used."""
    if not client_id or client_id == CLIENT:
        raise ValueError("ChatGPT gave this program no client id of its own: sign in again")
    tokens = codex.new_tokens(reply)
    if missing := [name for name, value in tokens.items() if not value]:
        raise ValueError(f"ChatGPT's answer to the sign-in has no {missing[0]}: sign in again")
    if PLAN not in seen.scopes(seen.member(reply, "scope")):
        raise ValueError("ChatGPT did not allow the plan to be used: sign in again, and allow that, with a paid plan")
    _check_person(seen.claims(tokens["id_token"] or ""), client_id, nonce, now)
    entry = {**tokens, "client_id": client_id, "host_id": host_id, **_terms(reply, now)}
    return {MARKS[0]: entry}


def _check_person(claims: Mapping[str, Any], client_id: str, nonce: str, now: float) -> None:
    """Raises ValueError. Its signature is not looked at: it came from its issuer over TLS (OpenID Connect 3.1.3.7)."""
    audience = claims.get("aud")
    is_for_us = client_id in (audience if isinstance(audience, list) else [audience])
    ends = seen.number(claims.get("exp"))
    if not is_for_us or claims.get("iss") != ISSUER or (ends is not None and ends + 300 < now):
        raise ValueError("the identity that ChatGPT sent is not for this program: sign in again")
    if not nonce or claims.get("nonce") != nonce:
        raise ValueError("the identity that ChatGPT sent belongs to another sign-in: sign in again")


def _terms(reply: Any, now: float) -> dict[str, Any]:
    """How long the tokens are good for, and what for."""
    seconds = seen.number(seen.member(reply, "expires_in"))
    scopes = seen.scopes(seen.member(reply, "scope"))
    return {
        "expires_at": None if seconds is None else int(now + seconds),
        "earliest_refresh_at": seen.moment(seen.member(reply, "earliest_refresh_at")) or None,
        **({"scope": " ".join(scopes)} if scopes else {}),
    }


def read(fields: Any) -> Tokens | None:
    """Raises ValueError when it is signed out."""
    if not isinstance(fields, dict) or MARKS[0] not in fields:
        return None
    entry = fields[MARKS[0]]
    access, refresh = seen.secret(entry, "access_token"), seen.secret(entry, "refresh_token")
    if not access and not refresh:
        raise ValueError(_SIGN_IN)
    person = seen.claims(seen.secret(entry, "id_token"))
    return Tokens(
        access=access,
        refresh=refresh,
        expires_at=seen.expiry(entry.get("expires_at"), 0.0) if access else 0.0,
        account=seen.text(person, "sub"),
        organisation=seen.text(person, codex.AUTH, "chatgpt_account_id"),
        email=seen.text(person, "email"),
        plan=seen.text(person, codex.AUTH, "chatgpt_plan_type"),
        client_id=seen.text(entry, "client_id"),
        scopes=seen.scopes(entry.get("scope")),
        refresh_from=seen.moment(entry.get("earliest_refresh_at")) if access else 0.0,
    )


def refresh(tokens: Tokens) -> dict[str, str]:
    return {
        "grant_type": "refresh_token",
        "client_id": tokens.client_id,
        "refresh_token": tokens.refresh,
        "resource": BASE,
    }


def refreshed(fields: Mapping[str, Any], reply: Any, now: float) -> dict[str, Any]:
    entry, changes = seen.member(fields, *MARKS), codex.new_tokens(reply)
    if not isinstance(entry, dict) or not changes["access_token"]:
        raise ValueError("no token came from ChatGPT's token endpoint")
    return {**fields, MARKS[0]: {**seen.with_new(entry, changes), **_terms(reply, now)}}


def headers(tokens: Tokens) -> list[tuple[str, str]]:
    return []


# -- limits


limits = codex.limits  # none is documented; what the API says of requests in a minute is no window of a plan


def refusal(
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    names: Container[str | None],
    words: str,
    model: str,
    now: float,
) -> Refusal | None:
    """The limit may be the plan's, or one that its owner has set for this program: that is not said."""
    pairs = tuple(headers)
    if _SPENT in names or _SPENT in words:
        return Refusal("spent", until=codex.spent_until(codex.limits(pairs, now), "", now), words=words)
    if status == 403:
        return Refusal("parked", words=words)
    return Refusal("burst", until=seen.wait_over(seen.told(pairs), now), words=words) if status == 429 else None


def usage(fields: Any, now: float) -> Limits:
    return Limits()


models = codex.models


# -- requests


def check(fields: Any) -> None:
    if seen.member(fields, "stream") is not True:
        raise ValueError("stream has to be true: a ChatGPT plan answers with streams only")
    if seen.member(fields, "store") is not False:
        raise ValueError("store has to be false: a ChatGPT plan keeps no answers")
    for name in sorted(REFUSED & fields.keys()):
        if fields[name] is not None and fields[name] is not False:
            raise ValueError(f"{name} is not taken by a ChatGPT plan: {_STATE.get(name, 'leave it out')}")
    items = fields.get("input")
    if not isinstance(items, list):
        raise ValueError("input has to be a list of items: a ChatGPT plan takes no plain text")
    if any(codex.is_system(item) for item in items):
        raise ValueError('input has an item of role "system": send it with role "developer", or as instructions')


def prepare(fields: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    return codex.stateless(fields, REFUSED)
