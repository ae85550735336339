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

CREATE TABLE sign_in (
    id            TEXT    PRIMARY KEY,
    user_id       TEXT    NOT NULL REFERENCES user (id),
    hash          BLOB    NOT NULL UNIQUE,
    created_at    INTEGER NOT NULL,
    last_seen_at  INTEGER NOT NULL,
    stepped_up_at INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    user_agent    TEXT    NOT NULL
) STRICT;
CREATE INDEX sign_in_by_user ON sign_in (user_id, created_at);
