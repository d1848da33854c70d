"""Where objects survive a restart: nowhere, or in one SQLite file."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

Key = tuple[str, str, str, str]
"""(group, plural, namespace, name); the namespace is empty for cluster-scoped objects."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
  api_group TEXT, resource TEXT, namespace TEXT, name TEXT, version INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (api_group, resource, namespace, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counter (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL);
INSERT OR IGNORE INTO counter VALUES (1, 0);
"""


class Backend(Protocol):
    """Write-through persistence of the store."""

    def load(self) -> Iterator[tuple[Key, int, bytes]]:
        """Yield every stored object with its resourceVersion."""
        ...

    def version(self) -> int:
        """Return the last resourceVersion that was handed out."""
        ...

    def put(self, key: Key, version: int, body: bytes) -> None:
        """Store an object and advance the counter, atomically."""
        ...

    def remove(self, key: Key, version: int) -> None:
        """Remove an object and advance the counter, atomically."""
        ...

    def close(self) -> None:
        """Flush and release."""
        ...


class MemoryBackend:
    """Keeps nothing: the objects end with the process."""

    def load(self) -> Iterator[tuple[Key, int, bytes]]:
        """Yield nothing."""
        return iter(())

    def version(self) -> int:
        """Return 0: no version was ever handed out."""
        return 0

    def put(self, key: Key, version: int, body: bytes) -> None:
        """Do nothing; the store itself holds the object."""

    def remove(self, key: Key, version: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class SQLiteBackend:
    """One file in WAL mode: a write survives the end of the process, and at worst the last ones are lost with power."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def load(self) -> Iterator[tuple[Key, int, bytes]]:
        """Yield every stored object with its resourceVersion."""
        query = "SELECT api_group, resource, namespace, name, version, body FROM objects"
        for group, resource, namespace, name, version, body in self._connection.execute(query):
            yield (group, resource, namespace, name), version, body

    def version(self) -> int:
        """Return the last resourceVersion that was handed out."""
        return int(self._connection.execute("SELECT version FROM counter").fetchone()[0])

    def put(self, key: Key, version: int, body: bytes) -> None:
        """Store an object and advance the counter in one transaction."""
        with self._connection:
            self._connection.execute("BEGIN")
            self._connection.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?)", (*key, version, body))
            self._connection.execute("UPDATE counter SET version = ?", (version,))

    def remove(self, key: Key, version: int) -> None:
        """Remove an object and advance the counter in one transaction."""
        where = "api_group = ? AND resource = ? AND namespace = ? AND name = ?"
        with self._connection:
            self._connection.execute("BEGIN")
            self._connection.execute(f"DELETE FROM objects WHERE {where}", key)
            self._connection.execute("UPDATE counter SET version = ?", (version,))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
