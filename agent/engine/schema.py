"""The state store's tables, as numbered migrations. A migration is never changed once released."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE definition (
        family        TEXT    NOT NULL,
        revision      INTEGER NOT NULL,
        registered_at REAL    NOT NULL,
        body          TEXT    NOT NULL,
        PRIMARY KEY (family, revision)
    ) STRICT;
    CREATE TABLE intent (
        task_id TEXT PRIMARY KEY,
        body    TEXT NOT NULL
    ) STRICT;
    CREATE TABLE progress (
        task_id TEXT PRIMARY KEY REFERENCES intent (task_id) ON DELETE CASCADE,
        body    TEXT NOT NULL
    ) STRICT;
    """,
)
"""Migration N brings ``PRAGMA user_version`` from N to N + 1."""
