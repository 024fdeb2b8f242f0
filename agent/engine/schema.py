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
    # A sandbox can be that of a whole task, so what is known of it is no longer its container's.
    """
    UPDATE progress SET body = json_set(
        body,
        '$.networks', json((
            SELECT json_group_object(key, json_object(
                'attachment', json(coalesce(json_extract(value, '$.network'), 'null')),
                'detached', json(iif(json_extract(value, '$.detached'), 'true', 'false'))
            )) FROM json_each(body, '$.containers')
        )),
        '$.containers', json((
            SELECT json_group_object(key, json_remove(value, '$.network', '$.detached'))
            FROM json_each(body, '$.containers')
        ))
    );
    """,
    # Tasks had what they needed once they were accepted; from now on they may have to wait for it.
    """
    UPDATE progress SET body = json_set(body, '$.admitted_at', coalesce((
        SELECT json_extract(intent.body, '$.task.accepted_at')
        FROM intent WHERE intent.task_id = progress.task_id
    ), 0));
    CREATE TABLE host (mark TEXT PRIMARY KEY) STRICT;
    CREATE TABLE deregistered (
        family   TEXT    NOT NULL,
        revision INTEGER NOT NULL,
        at       REAL    NOT NULL,
        PRIMARY KEY (family, revision)
    ) STRICT;
    """,
)
"""Migration N brings ``PRAGMA user_version`` from N to N + 1."""
