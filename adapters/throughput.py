"""How fast models have answered in a day, a week or a month: GET /metrics/throughput."""

from __future__ import annotations

import datetime
import re
from typing import Any

MANIFEST = {
    "id": "throughput",
    "name": "Throughput",
    "version": "1.0.0",
    "apiVersion": "^1.1",
    "contributes": {"routes": ["/metrics/throughput"]},
}
DAYS = {"day": 1, "week": 7, "month": 31}  # by period
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MONTH = re.compile(r"\d{4}-\d{2}", re.ASCII)
_SUMS = (
    "SELECT model, coalesce(sum(output_tokens), 0) AS tokens, sum(gen_ms) AS gen_ms, count(*) AS turns, "
    "sum(coalesce((SELECT sum(CAST(json_extract(value, '$.usage.outputTokens') AS INTEGER)) FROM json_each(steps) "
    "WHERE json_extract(value, '$.genTotalMs') IS NOT NULL), output_tokens)) AS timed "  # calls alone have no time
    "FROM turns WHERE at >= ? AND at < ? AND model != '' AND gen_ms > 0 GROUP BY model"
)


def span_of(period: str, date: str) -> tuple[float, float]:
    """The beginning of a period, and of the next one, in Unix seconds. Raises ValueError for a day that is none.

    It is in the time of this machine, where a day may have 23 hours; a week begins on Monday.
    """
    if not (_MONTH if period == "month" else _DAY).fullmatch(date):
        raise ValueError(f"must be written as {'YYYY-MM' if period == 'month' else 'YYYY-MM-DD'}")
    try:
        first = datetime.date.fromisoformat(f"{date}-01" if period == "month" else date)
        if period == "week":
            first -= datetime.timedelta(days=first.weekday())
        after = first + datetime.timedelta(days=DAYS[period])
        if period == "month":
            after = after.replace(day=1)
        return _midnight(first), _midnight(after)
    except (OverflowError, OSError, ValueError):
        raise ValueError(f"{date} is no day that can be looked up") from None


def _midnight(day: datetime.date) -> float:
    return datetime.datetime.combine(day, datetime.time()).timestamp()


def stats_of(sums: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is told of each model, the fastest first."""
    told = [
        {
            "model": one["model"],
            "tokensPerSecond": one["timed"] * 1000 / one["gen_ms"],
            "totalOutputTokens": one["tokens"],
            "totalGenMs": one["gen_ms"],
            "turns": one["turns"],
        }
        for one in sums
    ]
    return sorted(told, key=lambda one: (-one["tokensPerSecond"], one["model"]))


def activate(host: Any) -> None:
    async def show_throughput(request: Any) -> dict[str, Any]:
        """GET /metrics/throughput ?period=day|week|month&date= -> {period, date, start, end, models}: today without"""
        period, date = request.query.get("period", ""), request.query.get("date", "")
        if not period and not date:
            today = datetime.datetime.fromtimestamp(host.clocks.wall()).date()
            period, date = "day", today.isoformat()
        if period not in DAYS:
            raise host.error(f"period: must be one of {', '.join(DAYS)}", param="period")
        try:
            start, end = span_of(period, date)
        except ValueError as error:
            raise host.error(f"date: {error}", param="date") from None
        try:
            sums = await host.read(_SUMS, (start, end))
        except Exception as error:  # whatever the database has: nothing could be added up
            host.log.error("throughput could not be added up: %s", error)
            raise host.error("the turns could not be added up; chomp's log says why", status=502) from None
        models = stats_of(sums)
        return {
            "period": period, "date": date, "start": round(start * 1000), "end": round(end * 1000), "models": models,
        }  # fmt: skip

    host.route("GET", "/metrics/throughput")(show_throughput)
