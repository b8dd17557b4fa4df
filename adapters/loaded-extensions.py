"""Shows which extensions are in use."""

from __future__ import annotations

from typing import Any

MANIFEST = {"id": "loaded-extensions", "name": "Loaded extensions", "version": "1.0.0", "apiVersion": "^1.1"}
COLUMNS = ("Name", "Version", "Trust", "Activation")


def activate(host: Any) -> None:
    def spec(conversation: str | None) -> list[dict[str, Any]]:
        loaded = [one for one in host.service("conversations").extensions() if one["state"] == "active"]
        rows = [[one["name"], one["version"], one["trust"], one.get("activation", "eager")] for one in loaded]
        return [
            {"kind": "stat", "label": "Loaded", "value": str(len(rows))},
            {"kind": "custom", "rendererId": "table", "payload": {"columns": [*COLUMNS], "rows": rows}},
        ]

    host.surface("loaded-extensions", "Loaded extensions", spec, region="side", scope="global")
