-- From schema 1 to schema 2.

CREATE TABLE idempotency (
    name       BLOB    PRIMARY KEY,
    body_hash  BLOB    NOT NULL,
    turn       INTEGER REFERENCES turn (seq) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    status     INTEGER,
    headers    TEXT,
    body       BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_at);
CREATE INDEX idempotency_by_turn ON idempotency (turn) WHERE turn IS NOT NULL;
