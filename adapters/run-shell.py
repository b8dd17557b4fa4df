"""The tool run_shell of the built-in agent: a command, in the working folder and the sandbox."""

from __future__ import annotations

import re
import signal
from typing import Annotated, Any

from msgspec import Meta

MANIFEST = {
    "id": "run-shell",
    "name": "Run shell",
    "version": "1.0.0",
    "apiVersion": "^1.1",
    "contributes": {"tools": ["run_shell"]},
    "capabilities": {"shell": True, "spawn": True},
}
MOST_CHARS = 49_800  # of what it has printed: what is said of that comes on top
MOST_BYTES = 4 * 50_000  # no character has more than four
COMMAND_BYTES = 100_000  # Linux takes 128 KiB
Milliseconds = Annotated[int, Meta(ge=1, le=3_600_000, description="Milliseconds after which it is ended.")]


def activate(host: Any) -> None:
    host.tool(access="shell", concurrency_safe=False)(run_shell)


async def run_shell(
    ctx: Any,
    command: Annotated[str, Meta(description="What `sh -c` is to run.")],
    timeout: Milliseconds = 120_000,  # noqa: ASYNC109
) -> str:
    """Runs a command with `sh -c` in the working folder: what it prints, errors included. Nothing can be typed
    into it. All that it has started ends with it, also in the background. Of a long output the middle is left
    out."""
    if not command.strip():
        raise ValueError("the command is empty")
    if len(command.encode("utf-8", "replace")) > COMMAND_BYTES:
        raise ValueError("the command is too long: write it to a file with write_file, and run that")
    if re.search("[\0\ud800-\udfff]", command):
        raise ValueError("the command has signs in it that no command can have")
    ran = await ctx.run(["sh", "-c", command], timeout_s=timeout / 1000, most_bytes=MOST_BYTES)
    output = both_ends(ran.output)
    if ran.code == 0:
        return output or "(it has printed nothing)"
    words = f"{output.rstrip()}\n({ended(ran.code, timeout)})"
    raise ValueError(words.lstrip("\n"))


def both_ends(text: str) -> str:
    """The first quarter and the end of what is too long, and what is missing between."""
    if len(text) <= MOST_CHARS:
        return text
    first, last = MOST_CHARS // 4, MOST_CHARS - MOST_CHARS // 4
    left_out = len(text) - MOST_CHARS  # and what was left out before, of what is longer still
    return f"{text[:first]}\n[{left_out:,} characters or more are left out here]\n{text[-last:]}"


def ended(code: int | None, timeout: int) -> str:
    """How a command has failed, in words."""
    if code is None:
        return f"ended after {timeout / 1000:,g} s, when its time was over; timeout gives it more"
    number = -code if code < 0 else code - 128  # a shell adds 128 for what a signal has ended
    try:
        return f"exit code {code}: ended by {signal.Signals(number).name}"
    except ValueError:
        return f"exit code {code}"
