"""How much of the bare driver's time each workload may take, by backend."""

TARGETS = {
    "postgres": {
        "A": 1.4, "A2": 1.0, "B": 1.3, "C": 1.5, "D": 1.9, "E": 1.9,
        "F": 1.3, "G": 1.4, "H": 1.3, "I": 1.3, "J": 1.6, "K": 1.6,
    },
    "mysql": {
        "A": 1.1, "A2": 1.0, "B": 1.1, "C": 1.3, "D": 1.4, "E": 1.3,
        "F": 1.15, "G": 1.4, "H": 1.15, "I": 1.25, "J": 1.4, "K": 1.6,
    },
    "sqlite": {"A": 1.3, "C": 2.5, "E": 2.4, "I": 1.3},
}  # fmt: skip

# Where peewee without asyncio must not be faster.
FASTER_THAN_SYNC = ("A", "C", "D", "E")
