"""Calls of tools that a local model writes as words, since its host does not read them (llama.cpp, Ollama, vLLM).

Three forms are known: Hermes' and Qwen's `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, Llama's
`<function=NAME>{...}</function>` and that of Qwen3-Coder with `<parameter=NAME>` in it, and an answer that is nothing
but the JSON of a call. Only a name that is offered makes a call; what stands in code, or between other words of a
sentence, is prose.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from adapters.dialects.form import decode

_OPENING = re.compile(r"<tool_call>|<function=([\w.:-]{1,64})>")
_FUNCTION = re.compile(r"\s*<function=([\w.:-]{1,64})>(.*?)</function>\s*", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([\w.:-]{1,64})>\n?(.*?)\n?</parameter>", re.DOTALL)
_FENCED = re.compile(r"```(?:json|tool_call)?\s*\n(.*)\n```", re.DOTALL)
_LONGEST = len("<function=") + 64 + 1  # of what opens a call
_MOST = 128 << 10  # characters of one call


class Written(NamedTuple):
    """A call as it was written."""

    name: str
    input: Any


class TextCalls:
    """Takes calls out of the words of one answer, as they come."""

    def __init__(self, names: frozenset[str]):
        self._names = names
        self._held = ""  # what may be, or become, a call
        self._phase = "start"  # "json": the answer may be nothing but a call; "prose"; "call"
        self._ticks = 0  # of code that is open
        self._line = ""  # the words of the line so far

    def feed(self, words: str) -> list[str | Written]:
        """The words that are prose, and the calls, in order."""
        self._held += words
        if self._phase == "start" and (begun := self._held.lstrip()):
            self._phase = "json" if begun[0] in "{[" or "```".startswith(begun[:3]) else "prose"
        if self._phase == "json" and len(self._held) > _MOST:
            self._phase = "prose"
        return [] if self._phase in ("start", "json") else self._sorted(last=False)

    def finish(self) -> list[str | Written]:
        """What is left at the end."""
        if self._phase == "json" and (call := self._whole(self._held.strip())) is not None:
            self._held = ""
            return [call]
        self._phase = "prose"
        return self._sorted(last=True)

    def _sorted(self, *, last: bool) -> list[str | Written]:
        found: list[str | Written] = []
        while self._held:
            opening = _OPENING.search(self._held)
            if opening is None:
                cut = len(self._held) if last else self._safe()
                found += self._prose(cut)
                break
            found += self._prose(opening.start())
            end = "</tool_call>" if opening[0] == "<tool_call>" else "</function>"
            at = self._held.find(end)
            call = None
            if not self._is_code():
                if at < 0 and not last and len(self._held) < _MOST:
                    break
                call = self._read(self._held[: at + len(end)] if at >= 0 else self._held + end)
            if call is None:
                found += self._prose(len(opening[0]))
            else:
                found.append(call)
                self._held = self._held[at + len(end) :] if at >= 0 else ""
        return found

    def _safe(self) -> int:
        """How much of what is held cannot be the beginning of a call."""
        at = self._held.rfind("<", max(0, len(self._held) - _LONGEST))
        tail = self._held[at:]
        may_open = at >= 0 and ("<tool_call>".startswith(tail) or "<function=".startswith(tail[:10]))
        return at if may_open else len(self._held.rstrip("`"))  # more of those may come

    def _prose(self, cut: int) -> list[str | Written]:
        words, self._held = self._held[:cut], self._held[cut:]
        for run in re.findall(r"`+", words):
            if not self._ticks:
                self._ticks = len(run)
            elif self._ticks == len(run):
                self._ticks = 0
        _, newline, tail = words.rpartition("\n")
        self._line = tail if newline else self._line + words
        return [words] if words else []

    def _is_code(self) -> bool:
        """Whether what follows is quoted, or in the middle of a sentence."""
        return bool(self._ticks or self._line.strip())

    def _read(self, text: str) -> Written | None:
        if text.startswith("<tool_call>"):
            text = text.removeprefix("<tool_call>").removesuffix("</tool_call>").strip()
            if not text.startswith("<function="):
                return self._call(text)
        function = _FUNCTION.fullmatch(text)
        if function is None or function[1] not in self._names:
            return None
        body = function[2].strip()
        if body.startswith("<parameter="):
            rest = _PARAMETER.sub("", body).strip()
            return (
                None if rest else Written(function[1], {name: _value(word) for name, word in _PARAMETER.findall(body)})
            )
        return self._made(function[1], _json(body or "{}"))

    def _whole(self, text: str) -> Written | None:
        fenced = _FENCED.fullmatch(text)
        return self._call(fenced[1] if fenced else text)

    def _call(self, text: str) -> Written | None:
        found = _json(text)
        if isinstance(found, list) and len(found) == 1:
            found = found[0]
        if isinstance(found, dict) and isinstance(found.get("function"), dict):
            found = found["function"]
        if not isinstance(found, dict) or not isinstance(name := found.get("name"), str):
            return None
        if set(found) - {"name", "arguments", "parameters", "id", "type"}:
            return None
        return self._made(name, found.get("arguments", found.get("parameters", {})))

    def _made(self, name: str, input: Any) -> Written | None:
        if isinstance(input, str):
            input = _json(input)
        return Written(name, input) if name in self._names and isinstance(input, dict) else None


def _json(text: str) -> Any:
    """None for what is none."""
    try:
        return decode(text)
    except (ValueError, RecursionError):
        return None


def _value(word: str) -> Any:
    """A parameter that is written without quotes: JSON where it is some other than a text."""
    found = _json(word)
    return word if found is None or isinstance(found, str) else found
