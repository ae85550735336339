-- From schema 4 to schema 5.

-- What refers to turns refers to the new table: its name is what they know.
PRAGMA legacy_alter_table = ON;
ALTER TABLE turn RENAME TO turn_before;
CREATE TABLE turn (
    seq               INTEGER PRIMARY KEY,
    id                TEXT    NOT NULL UNIQUE,
    org_id            TEXT    NOT NULL REFERENCES org (id),
    session           INTEGER REFERENCES session (seq),
    user_id           TEXT    NOT NULL REFERENCES user (id),
    agent_id          TEXT    REFERENCES agent (id),
    project_id        TEXT    REFERENCES project (id),
    model             TEXT    NOT NULL,
    message_id        TEXT    NOT NULL,
    kind              TEXT    NOT NULL DEFAULT 'chat' CHECK (kind IN ('chat', 'embedding')),
    status            TEXT    NOT NULL CHECK (status IN ('running', 'complete', 'stopped', 'interrupted', 'error')),
    started_at        INTEGER NOT NULL,
    ended_at          INTEGER,
    input_tokens      INTEGER NOT NULL DEFAULT 0,
    cache_read_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens     INTEGER NOT NULL DEFAULT 0,
    cost              INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO turn (seq, id, org_id, session, user_id, agent_id, project_id, model, message_id, status, started_at, ended_at,
        input_tokens, cache_read_tokens, output_tokens, cost)
    SELECT seq, id, org_id, session, user_id, agent_id, project_id, model, message_id, status, started_at, ended_at,
        input_tokens, cache_read_tokens, output_tokens, cost
    FROM turn_before;
DROP TABLE turn_before;
PRAGMA legacy_alter_table = OFF;
CREATE UNIQUE INDEX turn_running ON turn (session) WHERE status = 'running';
CREATE INDEX turn_by_start ON turn (org_id, started_at);

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
