"""Tables copied from SQLite to PostgreSQL or back: counted and summed up where they come from and where they arrive."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

FETCHED = 2000  # rows at a time

Kind = Literal["int", "real", "text", "blob"]


class Column(NamedTuple):
    name: str
    kind: Kind
    required: bool = False
    default: str = ""  # SQL
    key: int = 0  # place in the primary key
    counts: bool = False  # its numbers are given by the database


class CopyError(Exception):
    """What could not be copied, in a sentence."""


class Sqlite:
    """A database that tables come from, or go to; inside a transaction of its owner."""

    def __init__(self, connection: sqlite3.Connection):
        self._connection = connection

    def tables(self) -> list[str]:
        sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
        return [name for (name,) in self._connection.execute(sql)]

    def columns(self, table: str) -> list[Column]:
        found = self._connection.execute(f"PRAGMA table_info({_quoted(table)})").fetchall()
        keys = sum(1 for row in found if row[5])
        return [
            Column(name, _affinity(kind), bool(required), default or "", key, bool(key) and keys == 1
                   and kind.upper() == "INTEGER")
            for _, name, kind, required, default, key in found
        ]  # fmt: skip

    def statements(self, table: str) -> list[str]:
        """SQL of SQLite that makes it, and its indexes."""
        sql = "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type = 'index'"
        made, *indexes = [words for (words,) in self._connection.execute(sql, (table,))]
        kinds = [row[2] for row in self._connection.execute(f"PRAGMA table_info({_quoted(table)})")]
        return [made if all(kinds) else _table(table, self.columns(table)), *indexes]  # a column may lack its type here

    def rows(self, table: str, names: Sequence[str]) -> Iterator[Sequence[Any]]:
        yield from self._connection.execute(f"SELECT {_list(names)} FROM {_quoted(table)}")  # noqa: S608 - of a schema

    def execute(self, sql: str) -> Any:
        return self._connection.execute(sql)

    def add(self, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        marks = ", ".join("?" * len(names))
        sql = f"INSERT INTO {_quoted(table)} ({_list(names)}) VALUES ({marks})"  # noqa: S608
        self._connection.executemany(sql, rows)

    def clear(self, table: str) -> None:
        self._connection.execute(f"DELETE FROM {_quoted(table)}")  # noqa: S608

    def settle(self, table: str) -> None:
        """Has the database go on counting behind what is there: this one does so itself."""


_KINDS: dict[str, Kind] = {
    "bigint": "int", "integer": "int", "smallint": "int", "boolean": "int", "double precision": "real", "real": "real",
    "numeric": "real", "text": "text", "jsonb": "text", "json": "text", "bytea": "blob",
}  # fmt: skip
_SQLITE_TYPES = {"int": "INTEGER", "real": "REAL", "text": "TEXT", "blob": "BLOB"}


class Postgres:
    """The same; `connection` is one of adapters/stores/postgres.py."""

    def __init__(self, connection: Any):
        self._connection = connection

    def tables(self) -> list[str]:
        sql = (
            "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')"
        )
        return sorted(name for (name,) in self._native(sql))

    def _native(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return list(self._connection.native.execute(sql, values))

    def columns(self, table: str) -> list[Column]:
        sql = """
SELECT a.attname, format_type(a.atttypid, NULL), a.attnotnull, coalesce(pg_get_expr(d.adbin, d.adrelid), ''),
  coalesce((SELECT k.n FROM unnest(i.indkey) WITH ORDINALITY AS k(num, n) WHERE k.num = a.attnum), 0),
  a.attidentity <> ''
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""
        made = []
        for name, kind, required, default, key, counts in self._native(sql, (_quoted(table),)):
            if kind not in _KINDS:
                raise CopyError(f"the column {name} of {table} is of the type {kind}, which files do not have")
            default = re.sub(r"::[a-z ]+", "", default)
            made.append(Column(name, _KINDS[kind], required, default, key, counts))
        return made

    def statements(self, table: str) -> list[str]:
        sql = ("SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = to_regclass(%s) AND NOT indisprimary "
               "ORDER BY 1")  # fmt: skip
        indexes = [_sqlite_index(words) for (words,) in self._native(sql, (_quoted(table),))]
        return [_table(table, self.columns(table)), *indexes]

    def rows(self, table: str, names: Sequence[str]) -> Iterator[Sequence[Any]]:
        self._native_run(f"DECLARE moved NO SCROLL CURSOR FOR SELECT {_list(names)} FROM {_quoted(table)}")  # noqa: S608
        while found := self._native(f"FETCH {FETCHED} FROM moved"):
            yield from found
        self._native_run("CLOSE moved")

    def _native_run(self, sql: str) -> None:
        self._connection.native.execute(sql)

    def execute(self, sql: str) -> Any:
        return self._connection.execute(sql)

    def add(self, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        self._connection.copy(_quoted(table), [_quoted(one) for one in names], rows)

    def clear(self, table: str) -> None:
        self._native_run(f"TRUNCATE {_quoted(table)}")

    def settle(self, table: str) -> None:
        for one in self.columns(table):
            if one.counts:
                self._native(
                    f"SELECT setval(pg_get_serial_sequence(%s, %s), greatest(max({_quoted(one.name)}), 1), "  # noqa: S608
                    f"max({_quoted(one.name)}) IS NOT NULL) FROM {_quoted(table)}",
                    (_quoted(table), one.name),
                )


class Tally:
    """Rows, and a sum over all of them, whatever their order."""

    def __init__(self) -> None:
        self.rows = self._sum = 0

    @property
    def checksum(self) -> str:
        return f"{self._sum:016x}"

    def of(self, rows: Iterable[Sequence[Any]], columns: Sequence[Column]) -> Iterator[tuple[Any, ...]]:
        """The rows as these columns have them. Raises CopyError for a value that one of them cannot have."""
        for row in rows:
            made = tuple(_value(value, column) for value, column in zip(row, columns, strict=True))
            digest = hashlib.blake2b(repr(made).encode("utf-8", "surrogatepass"), digest_size=8).digest()
            self._sum = (self._sum + int.from_bytes(digest)) % (1 << 64)
            self.rows += 1
            yield made


def copied(source: Sqlite | Postgres, target: Sqlite | Postgres, table: str) -> Tally:
    """All rows of a table, which is made where there is none; what was in it is gone. Raises CopyError."""
    if table not in target.tables():
        for sql in source.statements(table):
            target.execute(sql)
    known = {one.name for one in target.columns(table)}
    for one in source.columns(table):
        if one.name not in known:  # of a version before, or after
            target.execute(f"ALTER TABLE {_quoted(table)} ADD COLUMN {_quoted(one.name)} {_SQLITE_TYPES[one.kind]}")
    there = {one.name: one for one in target.columns(table)}
    names = [one.name for one in source.columns(table)]
    return filled(target, table, [there[name] for name in names], source.rows(table, names))


def filled(target: Sqlite | Postgres, table: str, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> Tally:
    """Has a table hold these rows and no others, and reads them again. Raises CopyError."""
    names = [one.name for one in columns]
    target.clear(table)
    sent, found = Tally(), Tally()
    target.add(table, names, sent.of(rows, columns))
    target.settle(table)
    for _ in found.of(target.rows(table, names), columns):
        pass
    if (sent.rows, sent.checksum) != (found.rows, found.checksum):
        raise CopyError(f"of {sent.rows} rows of {table} not all arrived as they were: {found.rows} are there")
    return sent


def _value(value: Any, column: Column) -> Any:
    if value is None:
        return None
    try:
        match column.kind:
            case "int":
                if isinstance(value, float) and not value.is_integer():
                    raise ValueError
                return int(value)
            case "real":
                return float(value)
            case "text":
                text = bytes(value).decode() if isinstance(value, bytes | memoryview) else str(value)
                return text.replace("\0", "\u2400")  # PostgreSQL has no NUL in a text
            case "blob":
                return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
    except (ValueError, TypeError):
        raise CopyError(f"a value in the column {column.name} cannot be kept as {column.kind}") from None


def _affinity(kind: str) -> Kind:
    """Of a declared type, by SQLite's rules (datatype3.html)."""
    kind = kind.upper()
    if "INT" in kind:
        return "int"
    if any(part in kind for part in ("CHAR", "CLOB", "TEXT")):
        return "text"
    return "blob" if "BLOB" in kind or not kind else "real"


def _table(table: str, columns: Sequence[Column]) -> str:
    """SQL of SQLite that makes it."""
    keys = [one.name for one in sorted(columns, key=lambda one: one.key) if one.key]
    parts = []
    for one in columns:
        if one.counts and keys == [one.name]:
            parts.append(f"{_quoted(one.name)} INTEGER PRIMARY KEY")
            keys = []
            continue
        words = f"{_quoted(one.name)} {_SQLITE_TYPES[one.kind]}{' NOT NULL' if one.required else ''}"
        parts.append(words + (f" DEFAULT {one.default}" if one.default else ""))
    if keys:
        parts.append(f"PRIMARY KEY ({_list(keys)})")
    return f"CREATE TABLE {_quoted(table)} ({', '.join(parts)})"


def _sqlite_index(words: str) -> str:
    """An index as PostgreSQL tells it, in SQLite's words."""
    words = re.sub(r" ON (ONLY )?(\"?\w+\"?\.)?", " ON ", words, count=1).replace(" USING btree", "")
    return re.sub(r"::[a-z]+( precision)?|\s+COLLATE \"[^\"]*\"", "", words)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(_quoted, names))
