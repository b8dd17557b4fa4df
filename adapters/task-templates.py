"""Task templates: named sets of fields of a task, from which the form for a new one is filled in.

A prompt may have blanks, `{{like this}}`: whoever uses the template is asked for them, and fills them in as text.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec

MANIFEST = {
    "id": "task-templates",
    "name": "Task templates",
    "version": "1.0.0",
    "apiVersion": "^1.2",
    "contributes": {"routes": ["/api/templates"]},
}
MOST = 100
NAME_CHARS = 60
PROMPT_BYTES = 64 << 10
TEXT_BYTES = 4096  # of any other text
TABLES = "CREATE TABLE task_templates (id TEXT PRIMARY KEY, template TEXT NOT NULL) WITHOUT ROWID;"

_Id = Annotated[str, msgspec.Meta(pattern=r"\A([a-z0-9]+(-[a-z0-9]+)*)?\Z")]
_Amount = Annotated[float, msgspec.Meta(gt=0, le=1e12)]


class Template(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """What is filled in; what it does not have is left as the form has it. The fields are those of a new task."""

    name: str
    prompt: str = ""
    dir: str = ""
    repo_url: str = ""
    agent: _Id = ""
    model: str = ""
    router: _Id = ""
    effort: str = ""
    gate: str = ""
    setup: str = ""
    place: Literal["", "local", "sandbox"] = ""
    isolation: Literal["", "auto", "required", "none"] = ""
    in_place: bool = False
    priority: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] = 0
    budget_tokens: Annotated[int, msgspec.Meta(ge=1, le=10**12)] | None = None
    budget_usd: _Amount | None = None

    @property
    def id(self) -> str:
        """Names that differ only in capitals are one."""
        return self.name.casefold()


def read_template(host: Any, fields: Mapping[str, Any]) -> Template:
    """The template that a request's fields are. Raises an error that answers with 400 or 413."""
    given = {name: value for name, value in fields.items() if value not in (None, "") or name == "name"}
    if isinstance(given.get("name"), str):
        given["name"] = given["name"].strip()
    try:  # a form has texts alone
        template = msgspec.convert(given, Template, strict=False)
    except msgspec.ValidationError as error:
        found = re.search(r"`\$\.(\w+)", str(error)) or re.search(r"field `(\w+)`", str(error))
        raise host.error(str(error), param=found and found[1]) from None
    for name, value in msgspec.structs.asdict(template).items():
        if not isinstance(value, str):
            continue
        most = PROMPT_BYTES if name == "prompt" else TEXT_BYTES
        if (size := len(value.encode())) > most:
            words = f"{name} has {size} bytes; {most} are the most"
            raise host.error(words, status=413, code="request_too_large", param=name)
        if "\0" in value or (name != "prompt" and not value.isprintable()):
            raise host.error(f"{name} has control characters", param=name)
    if not 0 < len(template.name) <= NAME_CHARS:
        raise host.error(f"a template needs a name of 1 to {NAME_CHARS} characters", param="name")
    if not any(value for name, value in msgspec.to_builtins(template).items() if name != "name"):
        raise host.error("a template needs something to fill in, such as a prompt", param="prompt")
    if template.in_place and (template.repo_url or template.place == "sandbox"):
        raise host.error("in_place is for a folder that is here", param="in_place")
    return template


def activate(host: Any) -> None:
    host.tables(TABLES)
    host.event("changed", "refreshTemplates")

    async def list_templates(request: Any) -> Any:
        """GET /api/templates -> {templates: [{name, prompt?, dir?, agent?, model?, gate?, ...}]}, by name"""
        rows = await host.read("SELECT template FROM task_templates ORDER BY id")
        return {"templates": [msgspec.json.decode(row["template"]) for row in rows]}

    async def save_template(request: Any) -> Any:
        """POST /api/templates {name, prompt?, dir?, agent?, model?, ...} -> {status, template, replaced}

        One that has the name already is replaced; there are 100 at most.
        """
        template = read_template(host, await host.fields(request))
        values = (template.id, msgspec.json.encode(template).decode())

        def save(database: sqlite3.Connection) -> bool:
            (there,) = database.execute("SELECT count(*) FROM task_templates WHERE id = ?", values[:1]).fetchone()
            (count,) = database.execute("SELECT count(*) FROM task_templates").fetchone()
            if not there and count >= MOST:
                words = f"there are {MOST} templates already: delete one first"
                raise host.error(words, status=409, code="conflict", param="name")
            database.execute("INSERT OR REPLACE INTO task_templates VALUES (?, ?)", values)
            return bool(there)

        replaced = await host.write(save)
        host.publish("changed", {"name": template.name})
        return {"status": "ok", "template": template, "replaced": replaced}

    async def delete_template(request: Any) -> Any:
        """POST /api/templates/delete {name} -> {status}"""
        name = (await host.fields(request)).get("name")
        if not isinstance(name, str):
            raise host.error("name says which template", param="name")
        values = (name.strip().casefold(),)

        def delete(database: sqlite3.Connection) -> int:
            return database.execute("DELETE FROM task_templates WHERE id = ?", values).rowcount

        if not await host.write(delete):
            raise host.error(f"there is no template {name[:NAME_CHARS]!r}", status=404, code="not_found", param="name")
        host.publish("changed", {"name": name[:NAME_CHARS]})
        return {"status": "ok"}

    add: Callable[..., Any] = host.route
    add("GET", "/api/templates")(list_templates)
    add("POST", "/api/templates")(save_template)
    add("POST", "/api/templates/delete")(delete_template)
