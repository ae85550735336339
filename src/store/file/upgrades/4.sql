-- From schema 3 to schema 4.

ALTER TABLE agent ADD COLUMN client_tools TEXT CHECK (json_valid(client_tools));
ALTER TABLE agent ADD COLUMN tool_approval TEXT CHECK (tool_approval IN ('never', 'ask', 'owner', 'off'));
ALTER TABLE agent ADD COLUMN response_format TEXT CHECK (json_valid(response_format));
ALTER TABLE provider ADD COLUMN added_by TEXT NOT NULL DEFAULT 'api' CHECK (added_by IN ('operator', 'api'));
ALTER TABLE session ADD COLUMN origin TEXT NOT NULL DEFAULT 'chat' CHECK (origin IN ('chat', 'agent', 'mcp', 'responses', 'completions'));
ALTER TABLE idempotency ADD COLUMN org_id TEXT;
ALTER TABLE org ADD COLUMN answer_bytes INTEGER NOT NULL DEFAULT 0;
CREATE INDEX idempotency_answers ON idempotency (org_id, created_at) WHERE status IS NOT NULL;
CREATE TRIGGER answer_counted AFTER UPDATE OF headers, body ON idempotency BEGIN
    UPDATE org SET answer_bytes = answer_bytes
        + coalesce(length(CAST(NEW.headers AS BLOB)), 0) + coalesce(length(NEW.body), 0)
        - coalesce(length(CAST(OLD.headers AS BLOB)), 0) - coalesce(length(OLD.body), 0)
    WHERE id = NEW.org_id;
END;
CREATE TRIGGER answer_uncounted AFTER DELETE ON idempotency WHEN OLD.status IS NOT NULL BEGIN
    UPDATE org SET answer_bytes = answer_bytes
        - coalesce(length(CAST(OLD.headers AS BLOB)), 0) - coalesce(length(OLD.body), 0)
    WHERE id = OLD.org_id;
END;

DROP INDEX project_by_slug;
CREATE UNIQUE INDEX project_by_slug ON project (org_id, slug, CASE visibility WHEN 'private' THEN user_id ELSE '' END)
    WHERE deleted_at IS NULL;

CREATE TABLE tool (
    id          TEXT    PRIMARY KEY,
    org_id      TEXT    NOT NULL REFERENCES org (id),
    name        TEXT    NOT NULL,
    added_by    TEXT    NOT NULL DEFAULT 'api' CHECK (added_by IN ('operator', 'api')),
    is_active   INTEGER NOT NULL DEFAULT 1,
    approval    TEXT    NOT NULL CHECK (approval IN ('never', 'ask', 'owner', 'off')),
    idempotent  INTEGER NOT NULL DEFAULT 0,
    price       INTEGER NOT NULL DEFAULT 0 CHECK (price >= 0),
    method      TEXT    NOT NULL,
    url         TEXT    NOT NULL,
    body        TEXT    NOT NULL CHECK (body IN ('json', 'form', 'none')),
    headers     TEXT    NOT NULL DEFAULT '{}',
    secrets     TEXT    NOT NULL DEFAULT '{}',
    timeout_ms  INTEGER NOT NULL,
    response_bytes_max INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    deleted_at  INTEGER,
    description TEXT    NOT NULL,
    input_schema TEXT   NOT NULL CHECK (json_valid(input_schema))
) STRICT;
CREATE UNIQUE INDEX tool_by_name ON tool (org_id, name) WHERE deleted_at IS NULL;

CREATE TABLE mcp_server (
    id          TEXT    PRIMARY KEY,
    org_id      TEXT    NOT NULL REFERENCES org (id),
    slug        TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    transport   TEXT    NOT NULL CHECK (transport IN ('http', 'stdio')),
    added_by    TEXT    NOT NULL DEFAULT 'api' CHECK (added_by IN ('operator', 'api')),
    is_active   INTEGER NOT NULL DEFAULT 1,
    approval    TEXT    NOT NULL CHECK (approval IN ('never', 'ask', 'owner', 'hints')),
    new_tools   TEXT    NOT NULL DEFAULT 'off' CHECK (new_tools IN ('off', 'ask')),
    url         TEXT,
    headers     TEXT    NOT NULL DEFAULT '{}',
    command     TEXT,
    args        TEXT    NOT NULL DEFAULT '[]',
    cwd         TEXT,
    secrets     TEXT    NOT NULL DEFAULT '{}',
    timeout_ms  INTEGER NOT NULL,
    handshake_ms INTEGER NOT NULL,
    idle_stop_minutes INTEGER,
    use_instructions INTEGER NOT NULL DEFAULT 0,
    instructions TEXT,
    info        TEXT,
    era         TEXT,
    listed_at   INTEGER,
    ttl_ms      INTEGER,
    last_error  TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (org_id, slug),
    CHECK ((transport = 'http') = (url IS NOT NULL)),
    CHECK ((transport = 'stdio') = (command IS NOT NULL)),
    CHECK (transport = 'http' OR added_by = 'operator')
) STRICT;

CREATE TABLE mcp_tool (
    server_id   TEXT    NOT NULL REFERENCES mcp_server (id) ON DELETE CASCADE,
    remote_name TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    approval    TEXT    CHECK (approval IN ('never', 'ask', 'owner', 'off')),
    price       INTEGER NOT NULL DEFAULT 0 CHECK (price >= 0),
    idempotent  INTEGER NOT NULL DEFAULT 0,
    is_on       INTEGER NOT NULL,
    is_there    INTEGER NOT NULL DEFAULT 1,
    fault       TEXT,
    fingerprint BLOB    NOT NULL,
    accepted    BLOB,
    definition  TEXT    NOT NULL,
    accepted_definition TEXT,
    PRIMARY KEY (server_id, remote_name)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX mcp_tool_by_name ON mcp_tool (server_id, name);

CREATE TABLE tool_call (
    seq          INTEGER PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    org_id       TEXT    NOT NULL REFERENCES org (id),
    session      INTEGER REFERENCES session (seq),
    turn         INTEGER NOT NULL REFERENCES turn (seq),
    message_id   TEXT    NOT NULL,
    call_id      TEXT    NOT NULL,
    tool         TEXT    NOT NULL,
    origin       TEXT    NOT NULL CHECK (origin IN ('builtin', 'http', 'mcp', 'client', 'host')),
    fingerprint  BLOB    NOT NULL,
    input_hash   BLOB    NOT NULL,
    policy       TEXT    NOT NULL CHECK (policy IN ('never', 'ask', 'owner', 'off')),
    idempotent   INTEGER NOT NULL DEFAULT 0,
    status       TEXT    NOT NULL CHECK (status IN ('waiting', 'approved', 'denied', 'withdrawn', 'called', 'done', 'failed', 'unknown')),
    asked_at     INTEGER NOT NULL,
    decided_at   INTEGER,
    decided_by   TEXT    REFERENCES user (id),
    decided_via  TEXT,
    decided_turn INTEGER REFERENCES turn (seq),
    called_turn  INTEGER REFERENCES turn (seq),
    called_at    INTEGER,
    ended_at     INTEGER,
    output_bytes INTEGER NOT NULL DEFAULT 0,
    cost         INTEGER NOT NULL DEFAULT 0,
    reason       TEXT,
    input        TEXT,
    UNIQUE (turn, message_id, call_id)
) STRICT;
CREATE UNIQUE INDEX tool_call_by_message ON tool_call (session, message_id, call_id) WHERE session IS NOT NULL;
CREATE INDEX tool_call_by_org ON tool_call (org_id, seq);
CREATE INDEX tool_call_waiting ON tool_call (org_id, seq) WHERE status = 'waiting';
CREATE INDEX tool_call_open ON tool_call (session) WHERE status IN ('waiting', 'approved', 'called');
CREATE INDEX tool_call_answered ON tool_call (session) WHERE decided_at IS NOT NULL AND decided_turn IS NULL;
CREATE INDEX tool_call_decided ON tool_call (decided_turn) WHERE decided_turn IS NOT NULL;
CREATE INDEX tool_call_called ON tool_call (called_turn) WHERE called_turn IS NOT NULL;

CREATE TRIGGER tool_call_forward BEFORE UPDATE OF status ON tool_call WHEN NOT (
    OLD.status = 'waiting' AND NEW.status IN ('approved', 'denied', 'withdrawn')
    OR OLD.status = 'approved' AND NEW.status IN ('called', 'failed', 'withdrawn')
    OR OLD.status = 'called' AND NEW.status IN ('done', 'failed', 'unknown')) BEGIN
    SELECT RAISE (ABORT, 'a call of a tool moves forward only');
END;
CREATE TRIGGER tool_call_kept BEFORE DELETE ON tool_call WHEN EXISTS (
    SELECT 1 FROM message WHERE session = OLD.session AND id = OLD.message_id AND superseded_by IS NULL) BEGIN
    SELECT RAISE (ABORT, 'a call of a tool goes with its message');
END;

CREATE TABLE tool_grant (
    session     INTEGER NOT NULL REFERENCES session (seq) ON DELETE CASCADE,
    tool        TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    PRIMARY KEY (session, tool, fingerprint)
) STRICT, WITHOUT ROWID;
