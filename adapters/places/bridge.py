"""The bridge that Cloudflare's Sandbox SDK brings: sandboxes over HTTP without a Worker of chomp's.

It has no leases and no list, and nothing inside reaches chomp through it: CHOMP_PUBLIC_URL must be set.
"""

from __future__ import annotations

import base64
import secrets
import shlex
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from adapters.places.seen import PIECE_BYTES, Ask, Done, Trouble, asked, read_as

REQUEST_S, OPEN_S = 30.0, 180.0
ENV_BYTES = 16 << 10  # of short values, which may stand in a command
WORKSPACE = "/workspace"  # outside of it the bridge writes nothing
# a piece is appended at its offset, whatever was written there before
_PUT = 'mkdir -p -- "$(dirname -- "$2")" && { [ -e "$2" ] || : >"$2"; } && truncate -s "$3" -- "$2" && cat -- "$1" >>"$2"; s=$?; rm -f -- "$1"; exit $s'  # noqa: E501
_GET = 'test -f "$1" || exit 44; stat -c %s -- "$1"; tail -c +"$2" -- "$1" | head -c "$3" | base64 -w0'
# agents may have been given /workspace: they are to find nothing there, and to put nothing in its place
_OPEN = "mkdir -p /workspace && chown 0:0 /workspace && chmod 711 /workspace"
_WITH = 'set -a; . "$1"; set +a; rm -f -- "$1"; shift; exec "$@"'  # values stand in no list of processes


class _Exit(msgspec.Struct):
    exit_code: int


class Bridge:
    """Sandboxes of a Worker that has the bridge."""

    relays = False

    def __init__(self, ask: Ask, url: str, token: str, owner: str):
        self._ask, self._url, self._token, self.owner = ask, url.rstrip("/"), token, owner

    def _at(self, sandbox: str, route: str = "") -> str:
        name = base64.b32encode(f"{self.owner}-{sandbox}".encode()).decode().rstrip("=").lower()
        return f"{self._url}/v1/sandbox/{name}{route}"

    async def open(self, sandbox: str, lease_s: float) -> None:
        """See Sandboxes. It sleeps as it was deployed to: no lease can be said."""
        done = await self._execute(sandbox, ("sh", "-c", _OPEN), OPEN_S)
        if done.exit_code:
            raise Trouble("refused", f"{WORKSPACE} cannot be closed to agents: {done.stderr.strip()[:300]}")

    async def execute(self, sandbox: str, argv: Sequence[str], env: Mapping[str, str], limit_s: float) -> Done:
        """See Sandboxes."""
        if env:
            text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in env.items())
            file = await self._part(sandbox, text.encode())
            argv = ("sh", "-c", _WITH, "sh", file, *argv)
        return await self._execute(sandbox, argv, limit_s)

    async def _execute(self, sandbox: str, argv: Sequence[str], limit_s: float) -> Done:
        fields = {"argv": argv, "timeout_ms": int(limit_s * 1000)}
        at, limit_s = self._at(sandbox, "/exec"), limit_s + REQUEST_S
        _, body = await asked(self._ask, "POST", at, limit_s=limit_s, key=self._token, fields=fields)
        said: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        for event in body.decode("utf-8", "replace").split("\n\n"):
            lines = dict(line.split(": ", 1) for line in event.splitlines() if ": " in line)
            kind, data = lines.get("event", ""), lines.get("data", "")
            if kind in said:
                said[kind].append(base64.b64decode(data))
            elif kind == "error":
                raise Trouble("away", f"the command was not run: {data[:300]}")
            elif kind == "exit":
                texts = [b"".join(said[name]).decode("utf-8", "replace") for name in ("stdout", "stderr")]
                return Done(read_as(_Exit, data.encode()).exit_code, *texts)
        raise Trouble("away", "the answer ended before the command did")

    async def _part(self, sandbox: str, data: bytes) -> str:
        name = f".chomp-{secrets.token_hex(12)}"
        at = self._at(sandbox, f"/file{WORKSPACE}/{quote(name)}")
        await asked(self._ask, "PUT", at, limit_s=2 * REQUEST_S, key=self._token, data=data)
        return f"{WORKSPACE}/{name}"

    async def write(self, sandbox: str, path: str, data: bytes, offset: int) -> None:
        """See Sandboxes."""
        part = await self._part(sandbox, data)
        done = await self._execute(sandbox, ("sh", "-c", _PUT, "sh", part, path, str(offset)), REQUEST_S)
        if done.exit_code:
            raise Trouble("refused", f"{path} cannot be written: {done.stderr.strip()[:300]}")

    async def read(self, sandbox: str, path: str, offset: int) -> tuple[bytes, int]:
        """See Sandboxes."""
        words = ("sh", "-c", _GET, "sh", path, str(offset + 1), str(PIECE_BYTES))
        done = await self._execute(sandbox, words, 2 * REQUEST_S)
        if done.exit_code:
            raise Trouble("refused" if done.exit_code == 44 else "away", f"there is no file {path}")
        number, _, text = done.stdout.partition("\n")
        try:
            return base64.b64decode(text), int(number)
        except ValueError as error:
            raise Trouble("away", f"it answered something else: {error}") from None

    async def end(self, sandbox: str) -> None:
        """See Sandboxes."""
        await asked(self._ask, "DELETE", self._at(sandbox), limit_s=2 * REQUEST_S, key=self._token)

    async def all(self) -> list[str]:
        """See Sandboxes. Nobody knows: what is forgotten falls asleep by itself."""
        return []

    def address(self, sandbox: str) -> str:
        """See Sandboxes."""
        return ""
