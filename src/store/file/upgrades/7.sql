-- From schema 6 to schema 7.

ALTER TABLE api_key ADD COLUMN monthly_limit INTEGER CHECK (monthly_limit >= 0);
ALTER TABLE api_key ADD COLUMN last_address TEXT;
ALTER TABLE api_key ADD COLUMN rotated_from TEXT REFERENCES api_key (id);
ALTER TABLE api_key ADD COLUMN held INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0);
CREATE TABLE key_month (
    key_id TEXT    NOT NULL REFERENCES api_key (id),
    month  TEXT    NOT NULL,
    spent  INTEGER NOT NULL,
    PRIMARY KEY (key_id, month)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER ledger_applied_to_key AFTER INSERT ON ledger_entry WHEN NEW.turn_id IS NOT NULL BEGIN
    UPDATE api_key SET held = held + NEW.held_delta WHERE id = (SELECT coalesce(k.rotated_from, k.id)
        FROM turn t JOIN api_key k ON k.id = t.key_id WHERE t.id = NEW.turn_id);
    INSERT INTO key_month (key_id, month, spent)
        SELECT coalesce(k.rotated_from, k.id), strftime('%Y-%m', NEW.created_at / 1000, 'unixepoch'), -NEW.balance_delta
        FROM turn t JOIN api_key k ON k.id = t.key_id WHERE t.id = NEW.turn_id AND NEW.balance_delta <> 0
        ON CONFLICT (key_id, month) DO UPDATE SET spent = spent + excluded.spent;
END;
ALTER TABLE provider ADD COLUMN paid_elsewhere INTEGER NOT NULL DEFAULT 0;
ALTER TABLE provider ADD COLUMN system_anywhere INTEGER;
ALTER TABLE provider_model ADD COLUMN is_offered INTEGER NOT NULL DEFAULT 1;

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
    kind              TEXT    NOT NULL DEFAULT 'chat' CHECK (kind IN ('chat', 'embedding', 'restore')),
    status            TEXT    NOT NULL CHECK (status IN ('running', 'complete', 'stopped', 'interrupted', 'error')),
    started_at        INTEGER NOT NULL,
    ended_at          INTEGER,
    input_tokens      INTEGER NOT NULL DEFAULT 0,
    cache_read_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens     INTEGER NOT NULL DEFAULT 0,
    cost              INTEGER NOT NULL DEFAULT 0,
    key_id            TEXT
) STRICT;
INSERT INTO turn (seq, id, org_id, session, user_id, agent_id, project_id, model, message_id, kind, status, started_at, ended_at,
        input_tokens, cache_read_tokens, output_tokens, cost)
    SELECT seq, id, org_id, session, user_id, agent_id, project_id, model, message_id, kind, status, started_at, ended_at,
        input_tokens, cache_read_tokens, output_tokens, cost
    FROM turn_before;
DROP TABLE turn_before;
PRAGMA legacy_alter_table = OFF;
CREATE UNIQUE INDEX turn_running ON turn (session) WHERE status = 'running';
CREATE INDEX turn_by_start ON turn (org_id, started_at);

ALTER TABLE message ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE message ADD COLUMN place INTEGER;
CREATE INDEX message_replaced ON message (session, id) WHERE superseded_by IS NOT NULL;
CREATE INDEX message_version ON message (place, version) WHERE place IS NOT NULL;
-- What came in place of what: of each turn that replaced messages the first that it brought, and what went on under its id.
CREATE TEMP TABLE came AS
    SELECT n.seq AS came, o.seq AS gone, n.role = 'assistant' AND n.id = o.id AS is_same
    FROM (SELECT superseded_by AS turn, min(seq) AS seq FROM message
              WHERE superseded_by IS NOT NULL AND turn IS NOT superseded_by GROUP BY superseded_by) g
        JOIN message o ON o.seq = g.seq
        JOIN message n ON n.seq = (SELECT min(seq) FROM message WHERE turn = g.turn)
    UNION ALL
    SELECT (SELECT max(seq) FROM message WHERE turn = m.turn AND id = m.id), m.seq, 1
    FROM message m WHERE m.superseded_by = m.turn;
CREATE INDEX came_by ON came (gone);
WITH RECURSIVE stood (seq, place, version) AS (
    SELECT gone, gone, 1 FROM came WHERE gone NOT IN (SELECT came FROM came)
    UNION
    SELECT came.came, stood.place, stood.version + NOT came.is_same FROM stood JOIN came ON came.gone = stood.seq
)
UPDATE message SET place = stood.place, version = stood.version FROM stood
    WHERE message.seq = stood.seq AND stood.seq <> stood.place;
DROP TABLE came;

CREATE INDEX turn_by_key ON turn (key_id, started_at) WHERE key_id IS NOT NULL;
CREATE TABLE agent_version (
    agent_id   TEXT    NOT NULL REFERENCES agent (id) ON DELETE CASCADE,
    version    INTEGER NOT NULL,
    user_id    TEXT    REFERENCES user (id),
    created_at INTEGER NOT NULL,
    fields     TEXT    NOT NULL CHECK (json_valid(fields)),
    PRIMARY KEY (agent_id, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE invitation (
    id          TEXT    PRIMARY KEY,
    org_id      TEXT    NOT NULL REFERENCES org (id),
    user_id     TEXT    NOT NULL REFERENCES user (id),
    email       TEXT    NOT NULL COLLATE NOCASE,
    role        TEXT    NOT NULL CHECK (role IN ('owner', 'member')),
    hash        BLOB    NOT NULL UNIQUE,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX invitation_by_org ON invitation (org_id, created_at);
CREATE TABLE request (
    org_id            TEXT    NOT NULL REFERENCES org (id),
    n                 INTEGER NOT NULL,
    id                TEXT    NOT NULL UNIQUE,
    request_id        TEXT    NOT NULL,
    route             TEXT    NOT NULL,
    user_id           TEXT    NOT NULL REFERENCES user (id),
    key_id            TEXT,
    agent_id          TEXT,
    model             TEXT,
    session_id        TEXT,
    at                INTEGER NOT NULL,
    status            TEXT    NOT NULL CHECK (status IN ('running', 'complete', 'stopped', 'interrupted', 'error', 'refused')),
    http_status       INTEGER,
    code              TEXT,
    first_ms          INTEGER,
    duration_ms       INTEGER,
    input_tokens      INTEGER NOT NULL DEFAULT 0,
    cache_read_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens     INTEGER NOT NULL DEFAULT 0,
    cost              INTEGER NOT NULL DEFAULT 0,
    unlisted          INTEGER NOT NULL DEFAULT 0,
    upstream_said     TEXT,
    PRIMARY KEY (org_id, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_by_name ON request (org_id, request_id);
CREATE TABLE audit (
    seq     INTEGER PRIMARY KEY,
    id      TEXT    NOT NULL UNIQUE,
    org_id  TEXT    NOT NULL REFERENCES org (id),
    at      INTEGER NOT NULL,
    user_id TEXT    REFERENCES user (id),
    via     TEXT    NOT NULL CHECK (via IN ('browser', 'key', 'cli')),
    kind    TEXT    NOT NULL,
    target  TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX audit_by_org ON audit (org_id, seq);
CREATE INDEX audit_sign_ins ON audit (org_id, seq)
    WHERE kind IN ('sign_in.began', 'sign_in.ended', 'sign_in.password_changed');
CREATE INDEX session_pinned ON session (org_id, updated_at, seq)
    WHERE deleted_at IS NULL AND json_type(metadata, '$.pinned') = 'true';
