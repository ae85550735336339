-- From schema 6 to schema 7.

ALTER TABLE api_key ADD COLUMN monthly_limit INTEGER CHECK (monthly_limit >= 0);
ALTER TABLE api_key ADD COLUMN last_address TEXT;
ALTER TABLE api_key ADD COLUMN rotated_from TEXT REFERENCES api_key (id);
ALTER TABLE provider ADD COLUMN paid_elsewhere INTEGER NOT NULL DEFAULT 0;
ALTER TABLE provider ADD COLUMN system_anywhere INTEGER;
ALTER TABLE provider_model ADD COLUMN is_offered INTEGER NOT NULL DEFAULT 1;
ALTER TABLE turn ADD COLUMN key_id TEXT;
CREATE INDEX turn_by_key ON turn (key_id, started_at) WHERE key_id IS NOT NULL;
CREATE TABLE agent_version (
    agent_id   TEXT    NOT NULL REFERENCES agent (id) ON DELETE CASCADE,
    version    INTEGER NOT NULL,
    user_id    TEXT    NOT NULL REFERENCES user (id),
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
    expires_at  INTEGER NOT NULL,
    accepted_at INTEGER
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
    http_status       INTEGER NOT NULL,
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
