"""The SQL of the bare drivers: what peewee sends for the same."""

from benchmarks.data import COLUMNS


def _columns(table: str, alias: str) -> str:
    return ", ".join(f'"{alias}"."{column}"' for column in COLUMNS[table])


def _from(table: str) -> str:
    return f'SELECT {_columns(table, "t1")} FROM "{table}" AS "t1"'


_NEW = COLUMNS["entry"][1:]
_PLACES = f"({', '.join('%s' for _ in _NEW)})"
_NAMES = ", ".join(f'"{name}"' for name in _NEW)
_INSERT = f'INSERT INTO "entry" ({_NAMES}) VALUES '

GET = f'{_from("person")} WHERE ("t1"."id" = %s) LIMIT %s OFFSET %s'
SELECT = f'{_from("person")} WHERE ("t1"."id" <= %s)'
STREAM = _from("person")
JOIN = (
    f"SELECT {_columns('review', 't1')}, {_columns('book', 't2')} "
    'FROM "review" AS "t1" INNER JOIN "book" AS "t2" '
    'ON ("t1"."book_id" = "t2"."id") WHERE ("t1"."id" <= %s)'
)
TREE = (
    _from("author"),
    f'{_from("book")} WHERE ("t1"."author_id" IN '
    '(SELECT "t2"."id" FROM "author" AS "t2"))',
    f'{_from("review")} WHERE ("t1"."book_id" IN (SELECT "t2"."id" FROM "book" AS "t2" '
    'WHERE ("t2"."author_id" IN (SELECT "t3"."id" FROM "author" AS "t3"))))',
)
GET_ENTRY = f'{_from("entry")} WHERE ("t1"."id" = %s) LIMIT %s OFFSET %s'
ENTRIES = f"{_from('entry')}"
_SET = ", ".join(f'"{name}" = %s' for name in _NEW)
UPDATE = f'UPDATE "entry" SET {_SET} WHERE ("entry"."id" = %s)'
COUNT = (
    'SELECT COUNT(1) FROM (SELECT 1 FROM "author" AS "t1" '
    'WHERE ("t1"."age" > %s)) AS "_wrapped"'
)
SCALAR = 'SELECT MAX("t1"."age") FROM "author" AS "t1" WHERE ("t1"."age" < %s) LIMIT %s'
EXISTS = 'SELECT 1 FROM "author" AS "t1" WHERE ("t1"."id" = %s) LIMIT %s'


def insert(family: str, rows: int = 1) -> str:
    """Give the INSERT of so many entries; on PostgreSQL it gives back the keys."""
    returning = ' RETURNING "entry"."id"' if family == "postgres" else ""
    return spelt(_INSERT + ", ".join([_PLACES] * rows) + returning, family)


def spelt(text: str, family: str) -> str:
    """Write a statement as a driver wants it."""
    if family == "mysql":
        return text.replace('"', "`")
    return text.replace("%s", "?") if family == "sqlite" else text
