"""What is in the tables before each case."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

from tests.integration.differential.models import Mood
from tests.integration.models import EVERYTHING

Rows = dict[str, list[dict[str, Any]]]

D = decimal.Decimal

TYPICAL: dict[str, Any] = {
    **{name: value for name, value in EVERYTHING.items() if name != "bigint"},
    "fixed": "fixed",
    "small": -(2**15),
    "big": 2**63 - 1,
    "double": 0.1,
    "real": 0.5,
    "rounded": D("1.005"),
    "stamp": datetime.datetime(2024, 2, 29, 1, 2, 3),
    "fine_stamp": datetime.datetime(2024, 2, 29, 1, 2, 3, 456789),
    "binary_uuid": uuid.UUID("12345678-1234-5678-1234-567812345678"),
    "ip": "192.168.1.255",
    "flags": 3,
    "bits": b"\x05\x00\xff",
    "mood": Mood.GOOD,
    "parts": ["a", "b", ""],
}

EXTREME: dict[str, Any] = {
    "char": "",
    "fixed": "",
    "text": "%s %% \\ ' \" \x01\t\r\n €𝄞 ?",
    "small": 2**15 - 1,
    "integer": 2**31 - 1,
    "big": -(2**63),
    "real": -0.25,
    "double": -1.5e300,
    "decimal": D("-0.00001"),
    "rounded": D("-1.001"),
    "boolean": False,
    "date": datetime.date(1000, 1, 1),
    "time": datetime.time(0, 0),
    "datetime": datetime.datetime(9999, 12, 31, 23, 59, 59),
    "stamp": datetime.datetime(1970, 1, 2),
    "fine_stamp": datetime.datetime(1970, 1, 1, 0, 0, 0, 1),
    "uuid": uuid.UUID(int=0),
    "binary_uuid": uuid.UUID(int=2**128 - 1),
    "ip": "255.255.255.255",
    "blob": b"\x00'\\\"%s\xff",
    "flags": 0,
    "bits": b"",
    "json": [{"deep": [None, {}]}, "€", 1.5],
    "mood": Mood.BAD,
    "parts": [""],
}


def rows(family: str) -> Rows:
    """Give the rows of each model that has some, in an order that keys allow."""
    given: Rows = {
        **_library(),
        "Big": [{"id": 2**40, "label": "big"}],
        "Country": [
            {"code": "de", "label": "Germany"},
            {"code": "fr", "label": "France"},
        ],
        "Token": [{"id": uuid.UUID(int=1), "label": "one"}],
        "Packed": [
            {"id": uuid.UUID(int=5), "token": uuid.UUID(int=1)},
            {"id": uuid.UUID(int=6), "token": None},
        ],
        "Shelf": [
            {"room": room, "number": number, "label": f"{room}{number}"}
            for room in ("attic", "cellar")
            for number in (1, 2)
        ],
        "Line": [{"text": text, "number": len(text)} for text in ("one", "three")],
        "Passport": [{"country": "de", "number": 49}],
        "Draft": [{"id": 1, "title": "first", "text": "...", "mood": Mood.GOOD}],
        "Stateful": [
            {"id": 1, "name": "small", "size": 1},
            {"id": 2, "name": "large", "size": 9},
        ],
        "Vehicle": [{"id": 1, "name": "car"}, {"id": 2, "name": "bus", "wheels": 6}],
        "Truck": [
            {"id": 1, "name": "lorry", "wheels": 8, "towed_by": 2},
            {"id": 2, "name": "van", "towed_by": None},
        ],
        "Slot": [
            {"id": 1, "name": "early", "room": 1, "hour": 8},
            {"id": 2, "name": None, "room": 1, "hour": 9, "seats": 4},
        ],
        "Setting": [{"id": 1, "note": "set", "rank": 1}],
        "Strange": [
            {"id": 1, "spaced": "a", "chosen": 1, "single": "'", "other": "`"},
            {"id": 2, "spaced": "b", "order": 7, "parent": 1},
        ],
        "Elsewhere": [{"id": 1, "label": "over there", "author": 1}, {"id": 2}],
        "CamelCased": [{"id": 1}],
        "OldCamelCased": [{"id": 1}],
        "Named": [{"id": 1, "label": "by a function"}],
        "Everything": [
            {"id": 1, **TYPICAL},
            {"id": 2, **EXTREME},
            {"id": 3, **dict.fromkeys(TYPICAL)},
        ],
    }
    if family == "postgres":
        given["Identity"] = [{"id": 1, "label": "first"}]
    if family == "sqlite":
        given["Bare"] = [
            {"id": number, "anything": value, "whatever": value}
            for number, value in enumerate((1, 1.5, "text", b"\x00\xff", None), 1)
        ]
    return given


def _library() -> Rows:
    authors = [
        ("ada", datetime.date(1815, 12, 10), False),
        ("bob", None, True),
        ("cyd", datetime.date(1990, 1, 2), True),
        ("dee", None, True),
        ("100% eve", datetime.date(1990, 1, 2), False),
    ]
    books = [
        (1, 2, "Notes", D("3.50")),
        (1, None, "Letters", None),
        (2, 2, "100% wool", D("12.25")),
        (2, 3, "Letters", D("3.50")),
        (3, 1, "Ducks", D("8.00")),
        (1, 3, "Ärger_", D("0.00")),
    ]
    reviews = [(1, "good", 5), (1, None, 1), (3, "warm", 4), (5, "good", 3)]
    categories = [
        ("all", None),
        ("prose", 1),
        ("verse", 1),
        ("novel", 2),
        ("sonnet", 3),
    ]
    return {
        "Author": [
            {"id": number, "name": name, "born": born, "alive": alive}
            for number, (name, born, alive) in enumerate(authors, 1)
        ],
        "Book": [
            {
                "id": number,
                "author": author,
                "editor": editor,
                "title": title,
                "price": price,
            }
            for number, (author, editor, title, price) in enumerate(books, 1)
        ],
        "Review": [
            {"id": number, "book": book, "text": text, "stars": stars}
            for number, (book, text, stars) in enumerate(reviews, 1)
        ],
        "Category": [
            {"id": number, "name": name, "parent": parent}
            for number, (name, parent) in enumerate(categories, 1)
        ],
        "Nickname": [
            {"id": 1, "author": "ada", "nickname": "countess"},
            {"id": 2, "author": "bob", "nickname": "bobby"},
            {"id": 3, "author": "ada", "nickname": "enchantress"},
        ],
        "Tag": [{"label": label} for label in ("old", "new", "unused")],
        "Club": [{"id": 1, "name": "readers"}, {"id": 2, "name": "empty"}],
        "ClubBookThrough": [
            {"id": 1, "club": 1, "book": 1},
            {"id": 2, "club": 1, "book": 3},
        ],
        "BookTag": [
            {"book": 1, "tag": "old", "weight": 2},
            {"book": 1, "tag": "new", "weight": 1},
            {"book": 3, "tag": "old", "weight": 3},
        ],
    }
