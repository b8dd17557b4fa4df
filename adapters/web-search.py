"""A tool that looks things up in the web, by a service of the owner's choice: one like Firecrawl, or SearXNG.

chomp asks the service and nobody else: the addresses that a model names are fetched there, never from here.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from adapters.services.web import ask_json, is_private, web_host

MANIFEST = {
    "id": "web-search",
    "name": "Web search",
    "version": "1.0.0",
    "apiVersion": "^1.1",
    "contributes": {"settings": ["web-search"], "tools": ["web_search"]},
    "capabilities": {"network": True},
}
SECRETS = ("key",)
CRAWL_S, POLL_S = 300.0, 2.0
RESULT_CHARS = 50_000
DEFAULTS, MOST = {"search": 7, "crawl": 3}, 10  # results or pages

Mode = Literal["search", "scrape", "crawl", "map"]
Format = Literal["markdown", "text", "html"]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the built-in agent looks things up in the web; it has the tool for it when one of them is set."""

    url: str = ""  # a service like Firecrawl, such as "https://api.firecrawl.dev" or one of your own
    key: str = ""  # its key, where it wants one
    searxng: str = ""  # a SearXNG whose settings allow JSON: searches go there, pages cannot be read with it
    private: bool = False  # true: the service may also be asked for addresses in private networks

    def __post_init__(self) -> None:
        for name in ("url", "searxng"):
            if (address := getattr(self, name)) and not web_host(address):
                raise ValueError(f"{name}: must be an http or https address")


def plain_text(markdown: str) -> str:
    """Markdown without its marks: names of links and pictures stay, their addresses do not."""
    text = re.sub(r"!?\[([^\]]{0,1000})\]\([^)]{0,2000}\)", r"\1", markdown)
    text = re.sub(r"^#{1,6} +", "", text, flags=re.M)
    return re.sub(r"(\*\*|__)(?=\S)([^*_\n]{1,1000})\1", r"\2", text)


def capped(text: str) -> str:
    """`text`, cut where it is too long for a result."""
    note = f"\n... [cut: {RESULT_CHARS} characters are the most]"
    return text if len(text) <= RESULT_CHARS else text[: RESULT_CHARS - len(note)] + note


class Search:
    """Asks the services. Raises ValueError in words for the model."""

    def __init__(self, host: Any):
        self._host = host

    async def run(
        self, mode: Mode | None, query: str, url: str, limit: int | None, scrape: bool, lang: str, country: str,
        format: Format,
    ) -> str:  # fmt: skip
        """What is found."""
        settings = self._host.settings
        mode = mode or ("search" if query else "scrape")
        count = min(limit or DEFAULTS.get(mode, MOST), MOST)
        if mode == "search":
            if not query:
                raise ValueError("mode search needs a query")
            by_pages = settings.url and (scrape or not settings.searxng)
            find = self._search if by_pages else self._searxng
            return capped(await find(query, count, scrape, lang, country, format))
        if not url:
            raise ValueError(f"mode {mode} needs a url" if query else "a query or a url is needed")
        if not settings.url:
            raise ValueError(f"mode {mode} is not to be had: only searches can be made here")
        if not web_host(url) or not url.isprintable() or "\\" in url:
            raise ValueError("url must be an http or https address")
        if is_private(url) and not settings.private:
            raise ValueError(f"{web_host(url)} is in a private network, and is not asked for")
        match mode:
            case "scrape":
                page = await self._ask("POST", "/scrape", {"url": url, "formats": [wire_format(format)]})
                return capped(page_text(page.get("data"), format, url))
            case "crawl":
                return capped(await self._crawl(url, count, format))
            case _:
                return capped(await self._map(url, query, count))

    async def _search(self, query: str, count: int, scrape: bool, lang: str, country: str, format: Format) -> str:
        fields: dict[str, Any] = {"query": query, "limit": count}
        fields |= {name: value for name, value in (("lang", lang), ("country", country)) if value}
        if scrape:
            fields["scrapeOptions"] = {"formats": [wire_format(format)]}
        answer = await self._ask("POST", "/search", fields)
        found = answer.get("data")
        if isinstance(found, dict):  # of its second version
            found = found.get("web")
        return results_text(found, count, query, format)

    async def _searxng(self, query: str, count: int, scrape: bool, lang: str, country: str, format: Format) -> str:
        language = f"{lang}-{country.upper()}" if lang and country else lang
        wanted = {"q": query, "format": "json", **({"language": language} if language else {})}
        base = self._host.settings.searxng.rstrip("/")
        answer = await self._request("GET", f"{base}/search?{urllib.parse.urlencode(wanted)}", None, "")
        text = results_text(answer.get("results"), count, query, format)
        return f"{text}\n\n(The pages themselves cannot be read here.)" if scrape else text

    async def _crawl(self, url: str, count: int, format: Format) -> str:
        options = {"formats": [wire_format(format)]}
        begun = await self._ask("POST", "/crawl", {"url": url, "limit": count, "scrapeOptions": options})
        if not isinstance(id := begun.get("id"), str) or not id:
            raise ValueError("the service has begun no crawl")
        path = f"/crawl/{urllib.parse.quote(id, safe='')}"
        state: Mapping[str, Any] = {}
        is_over = False
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CRAWL_S):
                    while not is_over:
                        await asyncio.sleep(POLL_S)
                        state = await self._ask("GET", path)
                        is_over = state.get("status") in ("completed", "failed", "cancelled")
        finally:
            if not is_over:
                self._host.start("ends a crawl", self._end_crawl(path))
        found = state.get("data")
        pages = [page_text(one, format, url) for one in (found if isinstance(found, list) else [])[:count]]
        note = [] if is_over else [f"(The crawl has not ended within {CRAWL_S:g} s: this is what there was.)"]
        if state.get("status") in ("failed", "cancelled") or not pages:
            why = self._words(state.get("error")) or ("" if is_over else f"it has not ended within {CRAWL_S:g} s")
            raise ValueError("nothing was crawled" + (f": {why}" if why else ""))
        return "\n\n---\n\n".join([*pages, *note])

    async def _end_crawl(self, path: str) -> None:
        with contextlib.suppress(ValueError):
            await self._ask("DELETE", path)

    async def _map(self, url: str, query: str, count: int) -> str:
        answer = await self._ask("POST", "/map", {"url": url, "limit": count, **({"search": query} if query else {})})
        found = answer.get("links")
        links = [one.get("url") if isinstance(one, dict) else one for one in (found if isinstance(found, list) else [])]
        known = [one for one in links if isinstance(one, str)]
        return "\n".join(known[:count]) or f"No pages of {url} were found."

    # -- requests

    async def _ask(self, method: str, path: str, fields: Any = None) -> Mapping[str, Any]:
        base = self._host.settings.url.rstrip("/")
        base = base if re.search(r"/v\d+$", base) else f"{base}/v1"
        answer = await self._request(method, base + path, fields, self._host.settings.key)
        if answer.get("success") is False:
            raise ValueError(f"the service refused: {self._words(answer.get('error')) or 'it does not say why'}")
        return answer

    async def _request(self, method: str, url: str, fields: Any, key: str) -> Mapping[str, Any]:
        place = web_host(url)
        status, answered = await ask_json(self._host, method, url, fields, key)
        if not 200 <= status < 300:
            raise ValueError(f"{place} answered {status}{self._reason(status, answered.get('error'))}")
        if not answered:
            raise ValueError(f"{place} did not answer with a JSON object")
        return answered

    def _reason(self, status: int, error: Any) -> str:
        known = {401: "its key is wrong or missing", 403: "it refuses this key, or this kind of answer",
                 402: "its credit is used up", 429: "it is asked too often"}  # fmt: skip
        words = self._words(error) or known.get(status) or ("redirects are not followed" if 300 <= status < 400 else "")
        return f": {words}" if words else ""

    def _words(self, error: Any) -> str:
        """A sentence of the service's, short and without secrets."""
        text = error.get("message") if isinstance(error, dict) else error
        return self._host.redact(" ".join(text.split()))[:300] if isinstance(text, str) else ""


def wire_format(format: Format) -> str:
    return "html" if format == "html" else "markdown"


def page_text(page: Any, format: Format, url: str) -> str:
    """A page that was read."""
    if not isinstance(page, dict):
        raise ValueError("the service sent no page")
    about = page.get("metadata")
    about = about if isinstance(about, dict) else {}
    content = page.get(wire_format(format))
    text = content if isinstance(content, str) else ""
    title = next((one for one in (about.get("title"), page.get("title")) if isinstance(one, str) and one), "")
    place = next(
        (one for one in (about.get("sourceURL"), about.get("url"), page.get("url")) if isinstance(one, str)), url
    )
    head = "\n".join(filter(None, (title.strip(), place)))
    body = plain_text(text) if format == "text" else text
    return f"{head}\n\n{body.strip() or '(The page is empty.)'}"


def results_text(found: Any, count: int, query: str, format: Format) -> str:
    """Results of a search."""
    results: Sequence[Any] = found if isinstance(found, list) else []
    shown = []
    for number, one in enumerate([one for one in results if isinstance(one, dict)][:count], 1):
        about = one.get("description") or one.get("content") or one.get("snippet")
        lines = [f"{number}. {_line(one.get('title')) or '(no title)'}", f"   {_line(one.get('url'))}"]
        lines += [f"   {_line(about)}"] if isinstance(about, str) and about.strip() else []
        content = one.get(wire_format(format))
        if isinstance(content, str) and content.strip():
            lines += ["", plain_text(content) if format == "text" else content, ""]
        shown.append("\n".join(lines))
    return "\n".join(shown) or f"Nothing was found for {query!r}."


def _line(text: Any) -> str:
    return " ".join(text.split())[:500] if isinstance(text, str) else ""


def activate(host: Any) -> None:
    search = Search(host)

    async def web_search(
        ctx: Any,
        query: Annotated[str, msgspec.Meta(description="What to search for")] = "",
        url: Annotated[str, msgspec.Meta(description="The page or the site to read")] = "",
        mode: Annotated[
            Mode | None, msgspec.Meta(description="Without it: search for a query, scrape for a url")
        ] = None,
        limit: Annotated[int, msgspec.Meta(ge=1, description="Results or pages, 10 at most")] | None = None,
        scrape: Annotated[bool, msgspec.Meta(description="Of a search: the pages as well")] = False,
        lang: Annotated[str, msgspec.Meta(pattern="^[A-Za-z]{0,8}$", description="A language, such as en")] = "",
        country: Annotated[str, msgspec.Meta(pattern="^[A-Za-z]{0,3}$", description="A country, such as us")] = "",
        format: Annotated[Format, msgspec.Meta(description="How pages are given back")] = "markdown",
    ) -> str:
        """Looks things up in the web. Modes: search (results for a query), scrape (the content of one page), crawl (of
        several pages of a site), map (the addresses of a site's pages).
        """
        return await search.run(mode, query.strip(), url.strip(), limit, scrape, lang, country, format)

    def offered(tools: Sequence[Any], turn: Any) -> list[Any]:
        is_set = host.settings.url or host.settings.searxng
        return [tool for tool in tools if is_set or tool.name != "web_search"]

    host.tool(access="network")(web_search)
    host.filter("tools", offered)
