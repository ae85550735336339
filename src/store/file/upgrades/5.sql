-- From schema 4 to schema 5.

ALTER TABLE session ADD COLUMN kept_until INTEGER;
CREATE INDEX session_unkept ON session (kept_until) WHERE kept_until IS NOT NULL;

CREATE TABLE response (
    turn       INTEGER PRIMARY KEY REFERENCES turn (seq),
    session    INTEGER NOT NULL REFERENCES session (seq),
    previous   INTEGER REFERENCES turn (seq),
    background INTEGER NOT NULL,
    deleted_at INTEGER,
    asked      TEXT    NOT NULL CHECK (json_valid(asked)),
    ending     TEXT    CHECK (json_valid(ending))
) STRICT;
CREATE INDEX response_by_session ON response (session);
