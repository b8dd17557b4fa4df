"""To ask a service over HTTP: bounded in time and size, with errors in words and without secrets."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import unicodedata
import urllib.parse
from typing import Any

import aiohttp
import msgspec

ANSWER_S = 30.0  # of one request
ANSWER_BYTES = 8 << 20


def web_host(address: str) -> str:
    """Host and port of an http or https address; "" when it is none. More of it may be secret."""
    try:
        url = urllib.parse.urlsplit(address)
        if url.scheme not in ("http", "https") or not url.hostname:
            return ""
        host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
        return f"{host}:{url.port}" if url.port else host
    except ValueError:
        return ""


def is_private(address: str) -> bool:
    """Whether an address says itself that it is in a network of its own; what a name leads to is not looked up.

    It is read as a browser would read it, in all the ways there are to write a number.
    """
    host = unicodedata.normalize("NFKC", urllib.parse.unquote(urllib.parse.urlsplit(address).hostname or ""))
    host = host.replace("\u3002", ".").rstrip(".").lower()
    if ":" in host:
        six = ipaddress.IPv6Address(host.partition("%")[0])
        return not (six.ipv4_mapped or six).is_global
    if "." not in host or host.endswith((".localhost", ".local", ".internal", ".lan", ".home.arpa")):
        return True
    if host.rpartition(".")[2][:1].isdigit():  # no name ends like that
        try:
            return not ipaddress.IPv4Address(host).is_global
        except ValueError:
            return True
    return False


async def ask_json(host: Any, method: str, url: str, fields: Any = None, key: str = "") -> tuple[int, dict[str, Any]]:
    """The status of a service's answer, and its JSON object, {} where it is none. Raises ValueError in words.

    `fields` are sent as JSON, `key` as a bearer token; `host` is what the extension was handed.
    """
    place, headers = web_host(url), {"accept": "application/json"}
    if key:
        host.hide(key)
        headers["authorization"] = f"Bearer {key}"
    body = None
    if fields is not None:
        headers["content-type"], body = "application/json", json.dumps(fields).encode()
    try:
        async with asyncio.timeout(ANSWER_S), host.request(method, url, headers=headers, data=body) as answer:
            data = b""
            async for piece in answer.content.iter_chunked(1 << 16):
                data += piece
                if len(data) > ANSWER_BYTES:
                    raise ValueError(f"{place} answered with more than {ANSWER_BYTES >> 20} MiB")
            status: int = answer.status
    except TimeoutError:
        raise ValueError(f"{place} did not answer within {ANSWER_S:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise ValueError(f"{place} cannot be asked: {type(error).__name__}") from None
    try:
        found = msgspec.json.decode(data)
    except msgspec.DecodeError:
        found = None
    return status, found if isinstance(found, dict) else {}
