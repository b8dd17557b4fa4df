"""The ways to sign in to a subscription, and which of them a file of credentials belongs to."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any, Protocol

from adapters.subscriptions import claude, codex, siwc
from adapters.subscriptions.seen import Limits, Paths, Refusal, Tokens


class Kind(Protocol):
    """A module beside this one: see `seen`."""

    NAME: str
    ROUTER: str
    BASE: str
    MARKS: tuple[str, ...]
    TOKEN_URL: str
    FORM: bool
    PATHS: Paths
    MODELS: str
    USAGE: str
    CHECKS: bool

    def read(self, fields: Any) -> Tokens | None: ...
    def refresh(self, tokens: Tokens) -> dict[str, str]: ...
    def refreshed(self, fields: Mapping[str, Any], reply: Any, now: float) -> dict[str, Any]: ...
    def headers(self, tokens: Tokens) -> list[tuple[str, str]]: ...
    def limits(self, headers: Iterable[tuple[bytes, bytes]], now: float) -> Limits | None: ...
    def refusal(
        self,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        names: Container[str | None],
        words: str,
        model: str,
        now: float,
    ) -> Refusal | None: ...
    def usage(self, fields: Any, now: float) -> Limits: ...
    def models(self, fields: Any) -> tuple[tuple[str, str], ...]: ...
    def check(self, fields: Any) -> None: ...
    def prepare(self, fields: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]: ...


# OpenAI's own door for programs like this one stands before the one of Codex.
KINDS: dict[str, Kind] = {"claude": claude, "siwc": siwc, "codex": codex}


def kind_of(fields: Any) -> str:
    """The name of the kind that a file of credentials belongs to. Raises ValueError when it is none's."""
    for name, kind in KINDS.items():
        if isinstance(fields, dict) and fields.keys() & set(kind.MARKS):
            return name
    raise ValueError("this is no file of credentials: .credentials.json of Claude Code and auth.json of Codex are")
