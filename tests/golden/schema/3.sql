-- Everything alm knows. One file, this schema, nothing beside it.
--
-- How to read it: times are milliseconds since 1970 (UTC); money is whole microcents (1 USD = 1,000,000); ids are
-- UUIDv7 text unless a comment says that a client may make them up. `seq` is SQLite's own row number: for joins, never
-- shown. Soft-deleted rows keep `deleted_at`; every list leaves them out.
-- `user_version` numbers this file; src/store/file/upgrade.rs says what happens to a file of another number.

-- A tenant. Every row below belongs to exactly one, directly or through its session.
CREATE TABLE org (
    id            TEXT    PRIMARY KEY,
    slug          TEXT    NOT NULL UNIQUE,
    owner_id      TEXT    NOT NULL REFERENCES user (id),
    default_model TEXT,                                     -- `provider/model`; NULL: the built-in model
    -- Kept by the ledger's trigger and by nothing else. The checks are the last line of defence: no race, no bug and
    -- no crash can spend what is not there.
    balance       INTEGER NOT NULL DEFAULT 0 CHECK (balance >= 0),
    held          INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0 AND held <= balance),
    created_at    INTEGER NOT NULL
) STRICT;

-- A person. `password_hash` is Argon2id; NULL: this person cannot sign in.
CREATE TABLE user (
    id            TEXT    PRIMARY KEY,
    email         TEXT    NOT NULL UNIQUE COLLATE NOCASE,
    password_hash TEXT,
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE member (
    org_id     TEXT    NOT NULL REFERENCES org (id),
    user_id    TEXT    NOT NULL REFERENCES user (id),
    role       TEXT    NOT NULL CHECK (role IN ('owner', 'member')),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, user_id)
) STRICT, WITHOUT ROWID;

-- A person at a browser. Its cookie is 32 random bytes, of which only the SHA-256 is kept. A row ends when its person
-- signs out, sets a new password, or lets it expire.
CREATE TABLE sign_in (
    id            TEXT    PRIMARY KEY,
    user_id       TEXT    NOT NULL REFERENCES user (id),
    hash          BLOB    NOT NULL UNIQUE,                  -- SHA-256 of the cookie's value
    created_at    INTEGER NOT NULL,
    last_seen_at  INTEGER NOT NULL,                         -- to the minute
    stepped_up_at INTEGER NOT NULL,                         -- when the password was last given
    expires_at    INTEGER NOT NULL,
    user_agent    TEXT    NOT NULL                          -- its first characters, to tell browsers apart
) STRICT;
CREATE INDEX sign_in_by_user ON sign_in (user_id, created_at);

-- A key is 24 random bytes, so SHA-256 is enough: there is nothing to guess. The key itself is stored nowhere.
CREATE TABLE api_key (
    id           TEXT    PRIMARY KEY,
    org_id       TEXT    NOT NULL REFERENCES org (id),
    user_id      TEXT    NOT NULL REFERENCES user (id),
    hash         BLOB    NOT NULL UNIQUE,                   -- SHA-256 of the whole key
    prefix       TEXT    NOT NULL,                          -- its first 12 characters, to tell keys apart
    name         TEXT    NOT NULL,
    env          TEXT    NOT NULL CHECK (env IN ('live', 'test')),
    scopes       TEXT    NOT NULL,                          -- out of `read,chat,write`
    expires_at   INTEGER,
    last_used_at INTEGER,                                   -- to the minute
    revoked_at   INTEGER,
    created_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX api_key_by_org ON api_key (org_id, created_at);

CREATE TABLE agent (
    id            TEXT    PRIMARY KEY,
    org_id        TEXT    NOT NULL REFERENCES org (id),
    slug          TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    is_builtin    INTEGER NOT NULL DEFAULT 0,               -- Ala: first in every list, always there
    is_active     INTEGER NOT NULL DEFAULT 1,
    avatar        TEXT,
    model         TEXT,                                     -- `provider/model`; NULL: the organization's default
    temperature   REAL,                                     -- this and the next four: NULL: not said
    top_p         REAL,
    output_tokens_max INTEGER,
    reasoning_effort  TEXT,
    steps_max     INTEGER,
    allowed_tools TEXT,                                     -- JSON array of names; NULL: every tool
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    deleted_at    INTEGER,
    description   TEXT    NOT NULL DEFAULT '',
    system_prompt TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX agent_by_slug ON agent (org_id, slug) WHERE deleted_at IS NULL;
CREATE INDEX agent_by_age ON agent (org_id, is_builtin DESC, id) WHERE deleted_at IS NULL;

CREATE TABLE project (
    id          TEXT    PRIMARY KEY,
    org_id      TEXT    NOT NULL REFERENCES org (id),
    user_id     TEXT    NOT NULL REFERENCES user (id),      -- who made it; a private one is visible to them alone
    slug        TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    emoji       TEXT,
    visibility  TEXT    NOT NULL CHECK (visibility IN ('team', 'private')),
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    deleted_at  INTEGER,
    description TEXT    NOT NULL DEFAULT '',
    prompt      TEXT    NOT NULL DEFAULT ''                 -- goes before the agent's system prompt
) STRICT;
CREATE UNIQUE INDEX project_by_slug ON project (org_id, slug) WHERE deleted_at IS NULL;

-- Where models come from. The built-in provider `demo` is not stored.
CREATE TABLE provider (
    id             TEXT    PRIMARY KEY,
    org_id         TEXT    NOT NULL REFERENCES org (id),
    slug           TEXT    NOT NULL,
    kind           TEXT    NOT NULL CHECK (kind IN ('openai-compatible')),
    base_url       TEXT    NOT NULL,
    api_key_sealed BLOB,                                    -- sealed with the key file beside this file
    api_key_env    TEXT,                                    -- or: the environment variable that holds it
    headers        TEXT    NOT NULL DEFAULT '{}',           -- JSON object of extra request headers
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    UNIQUE (org_id, slug)
) STRICT;

-- A model of a provider. Prices are decimal text, US dollars per million tokens; all NULL: free.
CREATE TABLE provider_model (
    provider_id        TEXT    NOT NULL REFERENCES provider (id) ON DELETE CASCADE,
    name               TEXT    NOT NULL,                    -- as the provider knows it
    input_price        TEXT,
    output_price       TEXT,
    cached_input_price TEXT,
    context_window     INTEGER,                             -- tokens; NULL: unknown
    facts              TEXT CHECK (json_valid(facts)),      -- JSON object: what its server said or showed of it; NULL: nothing yet
    PRIMARY KEY (provider_id, name)
) STRICT, WITHOUT ROWID;

-- A conversation. Its id may be a client's own (`useChat` generates them), unique inside the organization.
CREATE TABLE session (
    seq           INTEGER PRIMARY KEY,
    org_id        TEXT    NOT NULL REFERENCES org (id),
    id            TEXT    NOT NULL,
    user_id       TEXT    NOT NULL REFERENCES user (id),
    agent_id      TEXT    REFERENCES agent (id),            -- NULL until the first turn binds one
    project_id    TEXT    REFERENCES project (id),
    label         TEXT    NOT NULL,
    status        TEXT    NOT NULL DEFAULT 'idle' CHECK (status IN ('idle', 'running', 'awaiting_approval', 'interrupted')),
    message_count INTEGER NOT NULL DEFAULT 0,               -- kept by triggers on `message`
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    deleted_at    INTEGER,
    metadata      TEXT    NOT NULL DEFAULT '{}',
    cut           INTEGER,                                  -- the first message that a model is still sent; NULL: all are
    UNIQUE (org_id, id)
) STRICT;
CREATE INDEX session_by_update ON session (org_id, updated_at, seq) WHERE deleted_at IS NULL;

-- A message never changes and never moves: an edit or a new reply supersedes the row and inserts another. History is
-- the rows of a session that nothing superseded, by `seq`.
CREATE TABLE message (
    seq           INTEGER PRIMARY KEY,
    session       INTEGER NOT NULL REFERENCES session (seq),
    id            TEXT    NOT NULL,                         -- may be a client's own, unique in its session's history
    role          TEXT    NOT NULL CHECK (role IN ('system', 'user', 'assistant')),
    status        TEXT    NOT NULL CHECK (status IN ('complete', 'stopped', 'interrupted', 'error')),
    turn          INTEGER,                                  -- the turn that brought it; NULL: appended
    superseded_by INTEGER,                                  -- the turn that replaced it
    created_at    INTEGER NOT NULL,
    metadata      TEXT    NOT NULL DEFAULT '{}',
    content       TEXT    NOT NULL,                         -- the text of its parts, for reading and searching
    parts         TEXT    NOT NULL                          -- JSON array of AI SDK v6 UIMessage parts
) STRICT;
CREATE UNIQUE INDEX message_by_id ON message (session, id) WHERE superseded_by IS NULL;
CREATE INDEX message_history ON message (session, seq) WHERE superseded_by IS NULL;
CREATE INDEX message_by_turn ON message (turn) WHERE turn IS NOT NULL;
CREATE INDEX message_superseded ON message (superseded_by) WHERE superseded_by IS NOT NULL;

CREATE TRIGGER message_counted AFTER INSERT ON message WHEN NEW.superseded_by IS NULL BEGIN
    UPDATE session SET message_count = message_count + 1 WHERE seq = NEW.session;
END;
CREATE TRIGGER message_uncounted AFTER DELETE ON message WHEN OLD.superseded_by IS NULL BEGIN
    UPDATE session SET message_count = message_count - 1 WHERE seq = OLD.session;
END;
CREATE TRIGGER message_recounted AFTER UPDATE OF superseded_by ON message BEGIN
    UPDATE session SET message_count = message_count + (NEW.superseded_by IS NULL) - (OLD.superseded_by IS NULL)
    WHERE seq = NEW.session;
END;

-- One reply, from the question to the stored message. At most one runs in a session: the index says so, not the code.
CREATE TABLE turn (
    seq               INTEGER PRIMARY KEY,
    id                TEXT    NOT NULL UNIQUE,
    org_id            TEXT    NOT NULL REFERENCES org (id),
    session           INTEGER NOT NULL REFERENCES session (seq),
    user_id           TEXT    NOT NULL REFERENCES user (id),
    agent_id          TEXT    REFERENCES agent (id),
    project_id        TEXT    REFERENCES project (id),
    model             TEXT    NOT NULL,
    message_id        TEXT    NOT NULL,                     -- the answer's
    status            TEXT    NOT NULL CHECK (status IN ('running', 'complete', 'stopped', 'interrupted', 'error')),
    started_at        INTEGER NOT NULL,
    ended_at          INTEGER,
    input_tokens      INTEGER NOT NULL DEFAULT 0,
    cache_read_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens     INTEGER NOT NULL DEFAULT 0,
    cost              INTEGER NOT NULL DEFAULT 0            -- what the ledger was charged
) STRICT;
CREATE UNIQUE INDEX turn_running ON turn (session) WHERE status = 'running';
CREATE INDEX turn_by_start ON turn (org_id, started_at);

-- What a running turn has streamed so far, for recovery after a crash. Gone when the turn ends.
CREATE TABLE turn_journal (
    turn   INTEGER NOT NULL REFERENCES turn (seq),
    n      INTEGER NOT NULL,
    frames BLOB    NOT NULL,                                -- whole server-sent events
    PRIMARY KEY (turn, n)
) STRICT, WITHOUT ROWID;

-- The ledger: append-only, and the balance is its sum because only its trigger writes the balance.
--   deposit  +balance           reserve  +held (what a turn may cost at most)
--   settle   -balance -held     release  -held (the turn cost nothing)
CREATE TABLE ledger_entry (
    seq           INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    org_id        TEXT    NOT NULL REFERENCES org (id),
    kind          TEXT    NOT NULL CHECK (kind IN ('deposit', 'reserve', 'settle', 'release')),
    balance_delta INTEGER NOT NULL,
    held_delta    INTEGER NOT NULL,
    turn_id       TEXT,                                     -- outlives a turn that failed before its first byte
    created_at    INTEGER NOT NULL,
    note          TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX ledger_by_org ON ledger_entry (org_id, seq);
CREATE INDEX ledger_by_turn ON ledger_entry (turn_id) WHERE turn_id IS NOT NULL;

CREATE TRIGGER ledger_applied AFTER INSERT ON ledger_entry BEGIN
    UPDATE org SET balance = balance + NEW.balance_delta, held = held + NEW.held_delta WHERE id = NEW.org_id;
END;
CREATE TRIGGER ledger_unchanged BEFORE UPDATE ON ledger_entry BEGIN
    SELECT RAISE (ABORT, 'the ledger is append-only');
END;
CREATE TRIGGER ledger_undeleted BEFORE DELETE ON ledger_entry BEGIN
    SELECT RAISE (ABORT, 'the ledger is append-only');
END;

-- Full-text search in messages and labels: terms with spaces between them, and no text, which stays where it is. Rows come
-- from src/store/search, which knows what a term is in any script, and go by trigger.
CREATE VIRTUAL TABLE message_fts USING fts5 (content, content = '', contentless_delete = 1, tokenize = 'ascii');
CREATE TRIGGER message_unindexed AFTER DELETE ON message BEGIN
    DELETE FROM message_fts WHERE rowid = OLD.seq;
END;

CREATE VIRTUAL TABLE session_fts USING fts5 (label, content = '', contentless_delete = 1, tokenize = 'ascii');
CREATE TRIGGER session_renamed AFTER UPDATE OF label ON session BEGIN
    DELETE FROM session_fts WHERE rowid = OLD.seq;
END;
CREATE TRIGGER session_unindexed AFTER DELETE ON session BEGIN
    DELETE FROM session_fts WHERE rowid = OLD.seq;
END;

-- What a POST with an Idempotency-Key did, for a day, so that it is done once over a restart too. The row comes with the
-- commit that does the work; what was answered follows it.
CREATE TABLE idempotency (
    name       BLOB    PRIMARY KEY,                         -- SHA-256 of who, where, and their key
    body_hash  BLOB    NOT NULL,                            -- SHA-256 of the request's body
    turn       INTEGER REFERENCES turn (seq) ON DELETE CASCADE, -- the reply, which is read again as it is stored
    created_at INTEGER NOT NULL,
    status     INTEGER,                                     -- this and the next two: the answer; NULL: not kept
    headers    TEXT,                                        -- JSON object
    body       BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_at);
CREATE INDEX idempotency_by_turn ON idempotency (turn) WHERE turn IS NOT NULL;
