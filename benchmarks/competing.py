"""Who competes, and in which environment: `.venv-bench-NAME`, made by make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FAMILIES = {"postgres": "PostgreSQL", "mysql": "MySQL", "sqlite": "SQLite"}
OURS, DRIVER, SYNC = "ours", "driver", "sync_peewee"

# The module in benchmarks.competitors, and the heading of its column.
COMPETITORS = {
    OURS: "peewee_async",
    DRIVER: "driver",
    SYNC: "sync peewee",
    "pwasyncio": "pwasyncio",
    "tortoise_orm": "Tortoise",
    "sqlalchemy_asyncio": "SQLAlchemy",
}


@dataclass(frozen=True)
class Environment:
    """A virtual environment, or the reason why there is none."""

    python: Path
    reason: str | None


def environment(name: str) -> Environment:
    """Find the environment of a competitor."""
    folder = ROOT / f".venv-bench-{name}"
    python = folder / "bin" / "python"
    failed = folder.with_suffix(".log")
    if (folder / "ready").exists():
        return Environment(python, None)
    lines = failed.read_text().strip().splitlines() if failed.exists() else []
    why = lines[-1] if lines else f"there is no {folder.name}: run `make bench`"
    return Environment(python, f"not installed: {why}")
