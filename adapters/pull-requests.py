"""Pull requests for what tasks have made: with what the owner's git signs in with, once the branch is pushed.

GitHub's API is spoken, of github.com or an Enterprise server. Of every other forge that is known by its host the
address of the form is told, which a person fills in there.
"""

from __future__ import annotations

import re
import urllib.parse
from typing import Any

import msgspec

from adapters.services.web import ask_json, web_host

MANIFEST = {
    "id": "pull-requests",
    "name": "Pull requests",
    "version": "1.0.0",
    "apiVersion": "^1.3",
    "contributes": {"settings": ["pull-requests"], "routes": ["/api/tasks/pull"]},
    "capabilities": {"network": True},
}
TITLE_CHARS, BODY_CHARS = 250, 60_000
_FORMS = {  # by what a host is called: the form for a new one, below the repository's address
    "gitlab": "/-/merge_requests/new?merge_request%5Bsource_branch%5D={branch}&merge_request%5Btarget_branch%5D={base}",
    "bitbucket": "/pull-requests/new?source={branch}&dest={base}",
    "codeberg": "/compare/{base}...{branch}",
    "gitea": "/compare/{base}...{branch}",
    "forgejo": "/compare/{base}...{branch}",
    "github": "/compare/{base}...{branch}?expand=1",
}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where pull requests are opened; [tasks] push has to be on."""

    github: str = "https://api.github.com"  # the API; of an Enterprise server https://HOST/api/v3

    def __post_init__(self) -> None:
        if not web_host(self.github):
            raise ValueError("github: must be an http or https address")


class Repository(msgspec.Struct, frozen=True):
    """A repository at a forge."""

    scheme: str
    host: str  # with its port
    path: str  # owner/name

    @property
    def page(self) -> str:
        return f"{self.scheme}://{self.host}/{self.path}"

    def form(self, branch: str, base: str) -> str:
        """The address of the form for a new pull request; "" at a host that is not known."""
        kind = next((kind for kind in _FORMS if kind in self.host), "")
        if not kind:
            return ""
        words = {
            "branch": urllib.parse.quote(branch, safe="/" if "compare" in _FORMS[kind] else ""),
            "base": urllib.parse.quote(base, safe="/"),
        }
        return f"{self.page}{_FORMS[kind].format(**words)}"


def repository_of(url: str) -> Repository | None:
    """The repository that a remote's address names: https://host/owner/name.git, git@host:owner/name, ssh://…"""
    if found := re.fullmatch(r"[\w.-]+@([\w.-]+):/?([\w.~/-]+?)(?:\.git)?/?", url):
        return Repository("https", found[1].lower(), found[2])
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    path = parts.path.strip("/").removesuffix(".git")
    if parts.scheme not in ("https", "http", "ssh") or not host or not re.fullmatch(r"[\w.~-]+(/[\w.~-]+)+", path):
        return None
    if parts.scheme == "ssh":  # its port is not that of the pages
        return Repository("https", host, path)
    return Repository(parts.scheme, f"{host}:{port}" if port else host, path)


class Wanted(msgspec.Struct):
    """What is said of a pull request; empty is for chomp to say."""

    id: str = ""
    title: str = ""
    body: str = ""
    base: str = ""
    draft: bool = False


class PullRequests:
    """Opens them, by GitHub's API."""

    def __init__(self, host: Any):
        self._host = host

    def speaks(self, found: Repository) -> bool:
        """Whether the API that is set is that repository's host's."""
        api = web_host(self._host.settings.github)
        return found.host == ("github.com" if api == "api.github.com" else api)

    async def opens(self, wanted: Wanted) -> dict[str, Any]:
        """Pushes the branch, and opens a pull request: its `url`, or the `form` where one is opened by hand.

        Raises ChompError of the server's, ValueError in words.
        """
        dispatch = self._host.service("dispatch")
        dispatch.here(wanted.id, kept=True)
        task = dispatch.queue.get(wanted.id)
        review = await dispatch.review(task)
        url = await dispatch.push(wanted.id)
        task = dispatch.queue.get(wanted.id)
        found, branch = repository_of(url), task.branch or f"chomp/task-{task.id}"
        base = wanted.base or review.base or (review.ending.into if review.ending else "") or "main"
        if found is None:
            return {"pushed": url, "form": "", "words": f"{branch} is pushed"}
        form = found.form(branch, base)
        token = await dispatch.machine.folders.credential(f"{found.page}.git") if self.speaks(found) else ""
        if not token:
            words = f"{branch} is pushed: open the pull request there" if form else f"{branch} is pushed"
            return {"pushed": url, "form": form, "words": words}
        title = (wanted.title or task.prompt.strip().partition("\n")[0])[:TITLE_CHARS] or branch
        fields = {
            "title": title, "head": branch, "base": base, "draft": wanted.draft,
            "body": (wanted.body or self._body(task))[:BODY_CHARS],
        }  # fmt: skip
        api = f"{self._host.settings.github.rstrip('/')}/repos/{found.path}/pulls"
        status, answer = await ask_json(self._host, "POST", api, fields, key=token)
        page = answer.get("html_url")
        if status == 201 and isinstance(page, str) and web_host(page) == found.host:
            await dispatch.queue.set(task.id, pull_request=page)
            return {"pushed": url, "url": page, "words": "The pull request is open"}
        said, faults = answer.get("message"), answer.get("errors")
        more = [one.get("message") for one in faults if isinstance(one, dict)] if isinstance(faults, list) else []
        why = "; ".join(one for one in (said, *more) if isinstance(one, str) and one)
        why = self._host.redact(why)[:500] or f"it answered {status}"
        return {
            "pushed": url,
            "form": form,
            "words": f"{branch} is pushed, and {found.host} opened no pull request: {why}",
        }

    def _body(self, task: Any) -> str:
        """What a reader should know: what was asked for, what came of it, whether it was checked."""
        checked = {True: "A gate passed.", False: "The gate is red.", None: "No gate ran."}[task.verified]
        parts = [task.prompt.strip(), task.result.strip(), checked]
        return str(self._host.redact("\n\n".join(part for part in parts if part)))


def activate(host: Any) -> None:
    pulls = PullRequests(host)

    async def open_pull(request: Any) -> dict[str, Any]:
        """POST /api/tasks/pull {id, title?, body?, base?, draft?} -> {pushed, url | form, words}

        Pushes the branch of a task and opens a pull request; `form` is where that is done by hand.
        """
        try:  # a form has texts alone
            wanted = msgspec.convert(await host.fields(request), Wanted, strict=False)
        except msgspec.ValidationError as error:
            raise host.error(str(error)) from None
        answer = await pulls.opens(wanted)
        host.publish("opened", {"id": wanted.id})
        return answer

    host.event("opened")
    host.route("POST", "/api/tasks/pull")(open_pull)
