"""A tool that reads what is said in a video of YouTube, by a service of the owner's choice.

The service gets `POST {"url": ...}`, and answers with JSON whose `status` is "completed" (with `text`, or `segments` of
`start` in seconds and `text`), "queued" or "processing" (with `position` and `eta`), or "failed" (with `error`: `type`,
`details`).
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from adapters.services.web import ask_json, web_host

MANIFEST = {
    "id": "youtube-transcript",
    "name": "Transcripts of YouTube",
    "version": "1.0.0",
    "apiVersion": "^1.1",
    "contributes": {"settings": ["youtube-transcript"], "tools": ["youtube_transcript"]},
    "capabilities": {"network": True},
}
SECRETS = ("key",)
RESULT_CHARS = 50_000
HOSTS = ("youtube.com", "youtu.be", "youtube-nocookie.com")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the built-in agent has videos of YouTube written down; it has the tool for it when this is set."""

    url: str = ""  # a service that transcribes; adapters/youtube-transcript.py says how it is asked
    key: str = ""  # sent as a bearer token

    def __post_init__(self) -> None:
        if self.url and not web_host(self.url):
            raise ValueError("url: must be an http or https address")


def is_video(address: str) -> bool:
    """Whether an address is one of YouTube's."""
    host = web_host(address).partition(":")[0].lower()
    return any(host == one or host.endswith(f".{one}") for one in HOSTS)


def clock_words(seconds: float) -> str:
    """A moment of a video: 0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def capped(text: str) -> str:
    """`text`, cut where it is too long for a result."""
    note = f"\n... [cut: {RESULT_CHARS} characters are the most]"
    return text if len(text) <= RESULT_CHARS else text[: RESULT_CHARS - len(note)] + note


def transcript(answer: Mapping[str, Any]) -> str:
    """What is said in a video, with its moments where they are known. Raises ValueError when there is nothing."""
    found = answer.get("segments")
    lines = []
    for one in found if isinstance(found, list) else []:
        if isinstance(one, dict) and isinstance(text := one.get("text"), str) and text.strip():
            start = one.get("start")
            at = f"[{clock_words(start)}] " if isinstance(start, int | float) and abs(start) < 10**7 else ""
            lines.append(at + " ".join(text.split()))
    text = answer.get("text")
    if not lines and isinstance(text, str) and text.strip():
        lines = [text.strip()]
    if not lines:
        raise ValueError("the transcript is empty")
    title = answer.get("title")
    return "\n".join([*([title.strip(), ""] if isinstance(title, str) and title.strip() else []), *lines])


def waiting_words(answer: Mapping[str, Any], now: float) -> str:
    """What is said of a video whose turn has not come yet."""
    position, eta = answer.get("position"), answer.get("eta")
    words = f"The transcript is not ready: it is {answer['status']}"
    if isinstance(position, int) and not isinstance(position, bool):
        words += f" at position {position}"
    if isinstance(eta, int | float) and not isinstance(eta, bool) and 0 <= eta < 10**14:
        at = now + eta if eta < 10**9 else eta / 1000 if eta > 10**11 else eta  # seconds from now, or since 1970
        eta = datetime.datetime.fromtimestamp(int(at), datetime.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(eta, str) and eta:
        words += f", and expected at {eta[:40]}"
    return f"{words}. Ask again later."


class Transcripts:
    """Asks the service. Raises ValueError in words for the model."""

    def __init__(self, host: Any):
        self._host = host

    async def run(self, url: str) -> str:
        """What is said in a video, or when that can be known."""
        if not is_video(url):
            raise ValueError("url must be the address of a video of YouTube")
        answer = await self._ask(url)
        match answer.get("status"):
            case "completed":
                return capped(transcript(answer))
            case "queued" | "processing":
                return waiting_words(answer, self._host.clocks.wall())
            case "failed":
                raise ValueError(f"there is no transcript: {self._why(answer)}")
            case _:
                raise ValueError("the service did not say what became of it")

    def _why(self, answer: Mapping[str, Any]) -> str:
        error = answer.get("error")
        facts = error if isinstance(error, dict) else answer
        words = [facts.get("type"), facts.get("details") or facts.get("message"), error]
        known = [" ".join(word.split()) for word in words if isinstance(word, str) and word.strip()]
        return self._host.redact(": ".join(dict.fromkeys(known)))[:500] or "the service does not say why"

    async def _ask(self, url: str) -> Mapping[str, Any]:
        settings = self._host.settings
        place = web_host(settings.url)
        status, fields = await ask_json(self._host, "POST", settings.url, {"url": url}, settings.key)
        if not 200 <= status < 300 and fields.get("status") not in ("failed", "queued", "processing"):
            raise ValueError(f"{place} answered {status}: {self._why(fields)}")
        if not fields:
            raise ValueError(f"{place} did not answer with a JSON object")
        return fields


def activate(host: Any) -> None:
    transcripts = Transcripts(host)

    async def youtube_transcript(
        ctx: Any, url: Annotated[str, msgspec.Meta(description="The address of a video of YouTube")]
    ) -> str:
        """Reads what is said in a video of YouTube, with the moments at which it is said. It may have to be asked for
        again when the video was not written down before.
        """
        return await transcripts.run(url.strip())

    def offered(tools: Sequence[Any], turn: Any) -> list[Any]:
        return [tool for tool in tools if host.settings.url or tool.name != "youtube_transcript"]

    host.tool(access="network")(youtube_transcript)
    host.filter("tools", offered)
