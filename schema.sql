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
    created_at    INTEGER NOT NULL,
    answer_bytes  INTEGER NOT NULL DEFAULT 0                -- of the answers in `idempotency`; kept by its triggers
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

-- Somebody who may become a member. Its link holds 32 random bytes, of which only the SHA-256 is kept; its row
-- goes when it is used.
CREATE TABLE invitation (
    id          TEXT    PRIMARY KEY,
    org_id      TEXT    NOT NULL REFERENCES org (id),
    user_id     TEXT    NOT NULL REFERENCES user (id),      -- who invites
    email       TEXT    NOT NULL COLLATE NOCASE,
    role        TEXT    NOT NULL CHECK (role IN ('owner', 'member')),
    hash        BLOB    NOT NULL UNIQUE,                    -- SHA-256 of what the link holds
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX invitation_by_org ON invitation (org_id, created_at);

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
    created_at   INTEGER NOT NULL,
    monthly_limit INTEGER CHECK (monthly_limit >= 0),       -- microcents that it may spend in a month; NULL: no limit
    last_address TEXT,                                      -- from where it was used last
    rotated_from TEXT    REFERENCES api_key (id),           -- the first of the keys that it replaced: it has their limit and month
    held         INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0) -- of all of them, at the first; kept by the ledger's trigger
) STRICT;
CREATE INDEX api_key_by_org ON api_key (org_id, created_at);

-- What a key, and those that it was replaced by, spent in a month of UTC. Kept by the ledger's trigger.
CREATE TABLE key_month (
    key_id TEXT    NOT NULL REFERENCES api_key (id),        -- the first of them
    month  TEXT    NOT NULL,                                -- such as `2026-11`
    spent  INTEGER NOT NULL,
    PRIMARY KEY (key_id, month)
) STRICT, WITHOUT ROWID;

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
    system_prompt TEXT    NOT NULL DEFAULT '',
    client_tools  TEXT CHECK (json_valid(client_tools)),    -- JSON array of tools that whoever asks runs; NULL: none
    tool_approval TEXT CHECK (tool_approval IN ('never', 'ask', 'owner', 'off')), -- the least its tools ask; NULL: not said
    response_format TEXT CHECK (json_valid(response_format)) -- JSON object: the shape of its replies; NULL: text
) STRICT;
CREATE UNIQUE INDEX agent_by_slug ON agent (org_id, slug) WHERE deleted_at IS NULL;
CREATE INDEX agent_by_age ON agent (org_id, is_builtin DESC, id) WHERE deleted_at IS NULL;

-- An agent as it was.
CREATE TABLE agent_version (
    agent_id   TEXT    NOT NULL REFERENCES agent (id) ON DELETE CASCADE,
    version    INTEGER NOT NULL,                            -- 1, 2, … for each agent
    user_id    TEXT    REFERENCES user (id),                -- who made it so; NULL: from before versions were kept
    created_at INTEGER NOT NULL,
    fields     TEXT    NOT NULL CHECK (json_valid(fields)), -- JSON object
    PRIMARY KEY (agent_id, version)
) STRICT, WITHOUT ROWID;

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
-- A private one takes its slug from nobody, or others would learn of it.
CREATE UNIQUE INDEX project_by_slug ON project (org_id, slug, CASE visibility WHEN 'private' THEN user_id ELSE '' END)
    WHERE deleted_at IS NULL;

-- Where models come from. The built-in provider `demo` is not stored.
CREATE TABLE provider (
    id             TEXT    PRIMARY KEY,
    org_id         TEXT    NOT NULL REFERENCES org (id),
    slug           TEXT    NOT NULL,
    kind           TEXT    NOT NULL CHECK (kind IN ('openai-compatible', 'cassette')),
    base_url       TEXT    NOT NULL,                        -- empty: a cassette has no address
    api_key_sealed BLOB,                                    -- sealed with the key file beside this file
    api_key_env    TEXT,                                    -- or: the environment variable that holds it
    headers        TEXT    NOT NULL DEFAULT '{}',           -- JSON object of extra request headers
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    added_by       TEXT    NOT NULL DEFAULT 'api' CHECK (added_by IN ('operator', 'api')), -- who vouches for its address
    -- These four are of a cassette alone.
    cassette_file  TEXT    CHECK ((kind = 'cassette') = (cassette_file IS NOT NULL)), -- a path on this machine
    cassette_speed REAL    NOT NULL DEFAULT 1 CHECK (cassette_speed >= 0), -- times as fast as it was recorded; 0: at once
    cassette_match TEXT    NOT NULL DEFAULT 'nearest' CHECK (cassette_match IN ('exact', 'shape', 'nearest')),
    cassette_tools TEXT    NOT NULL DEFAULT 'recorded' CHECK (cassette_tools IN ('recorded', 'real')), -- where none was recorded
    paid_elsewhere  INTEGER NOT NULL DEFAULT 0,             -- its models without a price are paid for in another place
    system_anywhere INTEGER,                                -- whether it takes system messages anywhere; NULL: as its address says
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
    is_offered         INTEGER NOT NULL DEFAULT 1,          -- 0: listed to its owner, and asked by nobody
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
    origin        TEXT    NOT NULL DEFAULT 'chat' CHECK (origin IN ('chat', 'agent', 'mcp', 'responses', 'completions')),
    kept_until    INTEGER,                                  -- NULL: for ever
    UNIQUE (org_id, id)
) STRICT;
CREATE INDEX session_by_update ON session (org_id, updated_at, seq) WHERE deleted_at IS NULL;
CREATE INDEX session_pinned ON session (org_id, updated_at, seq)
    WHERE deleted_at IS NULL AND json_type(metadata, '$.pinned') = 'true';
CREATE INDEX session_unkept ON session (kept_until) WHERE kept_until IS NOT NULL;

-- A message never changes and never moves: an edit or a new reply supersedes the row and inserts another, and what stands again is
-- inserted again. History is the rows of a session that nothing superseded, by `seq`.
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
    parts         TEXT    NOT NULL,                         -- JSON array of AI SDK v6 UIMessage parts
    version       INTEGER NOT NULL DEFAULT 1,               -- which of those that stood in its place; the newest row of it counts
    place         INTEGER                                   -- the first row that stood there; NULL: this one
) STRICT;
CREATE UNIQUE INDEX message_by_id ON message (session, id) WHERE superseded_by IS NULL;
CREATE INDEX message_history ON message (session, seq) WHERE superseded_by IS NULL;
CREATE INDEX message_by_turn ON message (turn) WHERE turn IS NOT NULL;
CREATE INDEX message_superseded ON message (superseded_by) WHERE superseded_by IS NOT NULL;
CREATE INDEX message_replaced ON message (session, id) WHERE superseded_by IS NOT NULL;
CREATE INDEX message_version ON message (place, version) WHERE place IS NOT NULL;

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
-- One without a session is not stored: its bill is, and no word of it. One that restores a version asks no model.
CREATE TABLE turn (
    seq               INTEGER PRIMARY KEY,
    id                TEXT    NOT NULL UNIQUE,
    org_id            TEXT    NOT NULL REFERENCES org (id),
    session           INTEGER REFERENCES session (seq),     -- NULL: nothing of it is stored
    user_id           TEXT    NOT NULL REFERENCES user (id),
    agent_id          TEXT    REFERENCES agent (id),
    project_id        TEXT    REFERENCES project (id),
    model             TEXT    NOT NULL,
    message_id        TEXT    NOT NULL,                     -- the answer's
    kind              TEXT    NOT NULL DEFAULT 'chat' CHECK (kind IN ('chat', 'embedding', 'restore')),
    status            TEXT    NOT NULL CHECK (status IN ('running', 'complete', 'stopped', 'interrupted', 'error')),
    started_at        INTEGER NOT NULL,
    ended_at          INTEGER,
    input_tokens      INTEGER NOT NULL DEFAULT 0,
    cache_read_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens     INTEGER NOT NULL DEFAULT 0,
    cost              INTEGER NOT NULL DEFAULT 0,           -- what the ledger was charged
    key_id            TEXT                                  -- the key that asked; NULL: a person at a browser
) STRICT;
CREATE UNIQUE INDEX turn_running ON turn (session) WHERE status = 'running';
CREATE INDEX turn_by_start ON turn (org_id, started_at);
CREATE INDEX turn_by_key ON turn (key_id, started_at) WHERE key_id IS NOT NULL;

-- The log of what was asked of models: each request that began a turn, and each that was refused. The newest rows of an
-- organization stay, for a while; the numbers say which those are.
CREATE TABLE request (
    org_id            TEXT    NOT NULL REFERENCES org (id),
    n                 INTEGER NOT NULL,                     -- 1, 2, … for each organization
    id                TEXT    NOT NULL UNIQUE,              -- its turn's; of one that was refused, its own
    request_id        TEXT    NOT NULL,                     -- as its response and the log name it; may be a client's own
    route             TEXT    NOT NULL,                     -- the pattern of its path; `ask_agent`: an agent asked
    user_id           TEXT    NOT NULL REFERENCES user (id),
    key_id            TEXT,
    agent_id          TEXT,
    model             TEXT,
    session_id        TEXT,
    at                INTEGER NOT NULL,
    status            TEXT    NOT NULL CHECK (status IN ('running', 'complete', 'stopped', 'interrupted', 'error', 'refused')),
    http_status       INTEGER,                              -- of a refusal; NULL: as its code says
    code              TEXT,                                 -- of what went wrong
    first_ms          INTEGER,                              -- until the first word
    duration_ms       INTEGER,
    input_tokens      INTEGER NOT NULL DEFAULT 0,
    cache_read_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens     INTEGER NOT NULL DEFAULT 0,
    cost              INTEGER NOT NULL DEFAULT 0,
    unlisted          INTEGER NOT NULL DEFAULT 0,           -- refusals before this one that were too many for rows of their own
    upstream_said     TEXT,                                 -- the provider's own words
    PRIMARY KEY (org_id, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX request_by_name ON request (org_id, request_id);

-- What people and keys changed: keys, money, providers, tools, people; and who signed in.
CREATE TABLE audit (
    seq     INTEGER PRIMARY KEY,
    id      TEXT    NOT NULL UNIQUE,
    org_id  TEXT    NOT NULL REFERENCES org (id),
    at      INTEGER NOT NULL,
    user_id TEXT    REFERENCES user (id),                   -- NULL: whoever runs the machine
    via     TEXT    NOT NULL CHECK (via IN ('browser', 'key', 'cli')),
    kind    TEXT    NOT NULL,
    target  TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX audit_by_org ON audit (org_id, seq);
CREATE INDEX audit_sign_ins ON audit (org_id, seq)
    WHERE kind IN ('sign_in.began', 'sign_in.ended', 'sign_in.password_changed');

-- A turn that a client of the Responses API asked for. Its words are the turn's messages.
CREATE TABLE response (
    turn       INTEGER PRIMARY KEY REFERENCES turn (seq),
    session    INTEGER NOT NULL REFERENCES session (seq),   -- the turn's
    previous   INTEGER REFERENCES turn (seq),               -- the response that it goes on from
    background INTEGER NOT NULL,                            -- whether nobody waits for it
    deleted_at INTEGER,
    asked      TEXT    NOT NULL CHECK (json_valid(asked)),  -- JSON object: what it repeats of its request
    ending     TEXT    CHECK (json_valid(ending))           -- JSON object: how it ended, beside its message
) STRICT;
CREATE INDEX response_by_session ON response (session);

-- What a running turn has streamed so far, for recovery after a crash. Gone when the turn ends.
CREATE TABLE turn_journal (
    turn   INTEGER NOT NULL REFERENCES turn (seq),
    n      INTEGER NOT NULL,
    frames BLOB    NOT NULL,                                -- whole server-sent events
    PRIMARY KEY (turn, n)
) STRICT, WITHOUT ROWID;

-- A tool that is a request to an HTTP API. Whoever added it vouches for its address: `operator` on the machine, `api` over HTTP.
CREATE TABLE tool (
    id          TEXT    PRIMARY KEY,
    org_id      TEXT    NOT NULL REFERENCES org (id),
    name        TEXT    NOT NULL,                           -- as models know it
    added_by    TEXT    NOT NULL DEFAULT 'api' CHECK (added_by IN ('operator', 'api')),
    is_active   INTEGER NOT NULL DEFAULT 1,
    approval    TEXT    NOT NULL CHECK (approval IN ('never', 'ask', 'owner', 'off')),
    idempotent  INTEGER NOT NULL DEFAULT 0,                 -- the same call twice is once, says its owner
    price       INTEGER NOT NULL DEFAULT 0 CHECK (price >= 0), -- microcents a call
    method      TEXT    NOT NULL,
    url         TEXT    NOT NULL,                           -- a template
    body        TEXT    NOT NULL CHECK (body IN ('json', 'form', 'none')),
    headers     TEXT    NOT NULL DEFAULT '{}',              -- JSON object
    secrets     TEXT    NOT NULL DEFAULT '{}',              -- JSON object: header -> {"sealed": base64} or {"env": name}
    timeout_ms  INTEGER NOT NULL,
    response_bytes_max INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    deleted_at  INTEGER,
    description TEXT    NOT NULL,
    input_schema TEXT   NOT NULL CHECK (json_valid(input_schema))
) STRICT;
CREATE UNIQUE INDEX tool_by_name ON tool (org_id, name) WHERE deleted_at IS NULL;

-- An MCP server: reached by its URL, or a command that is run here. A command is the operator's alone.
CREATE TABLE mcp_server (
    id          TEXT    PRIMARY KEY,
    org_id      TEXT    NOT NULL REFERENCES org (id),
    slug        TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    transport   TEXT    NOT NULL CHECK (transport IN ('http', 'stdio')),
    added_by    TEXT    NOT NULL DEFAULT 'api' CHECK (added_by IN ('operator', 'api')),
    is_active   INTEGER NOT NULL DEFAULT 1,
    approval    TEXT    NOT NULL CHECK (approval IN ('never', 'ask', 'owner', 'hints')),
    new_tools   TEXT    NOT NULL DEFAULT 'off' CHECK (new_tools IN ('off', 'ask')), -- what a tool is that comes later
    url         TEXT,
    headers     TEXT    NOT NULL DEFAULT '{}',              -- JSON object
    command     TEXT,
    args        TEXT    NOT NULL DEFAULT '[]',              -- JSON array
    cwd         TEXT,                                       -- NULL: a folder of its own
    secrets     TEXT    NOT NULL DEFAULT '{}',              -- JSON object: header or variable -> {"sealed": base64} or {"env": name}
    timeout_ms  INTEGER NOT NULL,
    handshake_ms INTEGER NOT NULL,
    idle_stop_minutes INTEGER,                              -- NULL: it is kept
    use_instructions INTEGER NOT NULL DEFAULT 0,            -- whether models read what it says of itself
    instructions TEXT,                                      -- that
    info        TEXT,                                       -- JSON object: its `serverInfo`
    era         TEXT,                                       -- the protocol's version that it speaks; NULL: not known yet
    listed_at   INTEGER,                                    -- when its tools were read; NULL: never
    ttl_ms      INTEGER,                                    -- how long that list is good for; NULL: not said
    last_error  TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (org_id, slug),
    CHECK ((transport = 'http') = (url IS NOT NULL)),
    CHECK ((transport = 'stdio') = (command IS NOT NULL)),
    CHECK (transport = 'http' OR added_by = 'operator')
) STRICT;

-- A tool of an MCP server, as the server told of it and as a person allowed it.
CREATE TABLE mcp_tool (
    server_id   TEXT    NOT NULL REFERENCES mcp_server (id) ON DELETE CASCADE,
    remote_name TEXT    NOT NULL,
    name        TEXT    NOT NULL,                           -- as models know it; it never changes
    approval    TEXT    CHECK (approval IN ('never', 'ask', 'owner', 'off')), -- NULL: the server's
    price       INTEGER NOT NULL DEFAULT 0 CHECK (price >= 0), -- microcents a call
    idempotent  INTEGER NOT NULL DEFAULT 0,
    is_on       INTEGER NOT NULL,
    is_there    INTEGER NOT NULL DEFAULT 1,                 -- whether the last list had it
    fault       TEXT,                                       -- why it cannot be offered; NULL: it can
    fingerprint BLOB    NOT NULL,                           -- SHA-256 of its definition
    accepted    BLOB,                                       -- the fingerprint that a person allowed; NULL: none
    definition  TEXT    NOT NULL,                           -- JSON object: title, description, inputSchema, annotations
    accepted_definition TEXT,
    PRIMARY KEY (server_id, remote_name)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX mcp_tool_by_name ON mcp_tool (server_id, name);

-- A call of a tool: what a model asked for, who allowed it, and what became of it. Its id is also the approval's id and the
-- idempotency key. A row moves forward only: whatever comes back after a crash, nothing runs twice and no answer changes.
CREATE TABLE tool_call (
    seq          INTEGER PRIMARY KEY,
    id           TEXT    NOT NULL UNIQUE,
    org_id       TEXT    NOT NULL REFERENCES org (id),
    session      INTEGER REFERENCES session (seq),          -- NULL: of a turn that is not stored
    turn         INTEGER NOT NULL REFERENCES turn (seq),    -- the turn that asked for it
    message_id   TEXT    NOT NULL,
    call_id      TEXT    NOT NULL,                          -- as the model named it
    tool         TEXT    NOT NULL,                          -- as the model knows it
    origin       TEXT    NOT NULL CHECK (origin IN ('builtin', 'http', 'mcp', 'client', 'host')),
    fingerprint  BLOB    NOT NULL,                          -- of the tool's definition
    input_hash   BLOB    NOT NULL,                          -- SHA-256 of the input
    policy       TEXT    NOT NULL CHECK (policy IN ('never', 'ask', 'owner', 'off')),
    idempotent   INTEGER NOT NULL DEFAULT 0,                -- as it was when it was called
    status       TEXT    NOT NULL CHECK (status IN ('waiting', 'approved', 'denied', 'withdrawn', 'called', 'done', 'failed', 'unknown')),
    asked_at     INTEGER NOT NULL,
    decided_at   INTEGER,
    decided_by   TEXT    REFERENCES user (id),
    decided_via  TEXT,                                      -- a key's id, `sign-in` or `command line`
    decided_turn INTEGER REFERENCES turn (seq),             -- the turn that went on with it
    called_turn  INTEGER REFERENCES turn (seq),             -- the turn that made it first, and is charged for it
    called_at    INTEGER,
    ended_at     INTEGER,
    output_bytes INTEGER NOT NULL DEFAULT 0,
    cost         INTEGER NOT NULL DEFAULT 0,                -- microcents
    reason       TEXT,                                      -- of a denial, or why it failed
    input        TEXT,                                      -- JSON; NULL: of a turn that is not stored
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

-- A tool that a person allowed for the rest of a session, as it was then.
CREATE TABLE tool_grant (
    session     INTEGER NOT NULL REFERENCES session (seq) ON DELETE CASCADE,
    tool        TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    PRIMARY KEY (session, tool, fingerprint)
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
CREATE TRIGGER ledger_applied_to_key AFTER INSERT ON ledger_entry WHEN NEW.turn_id IS NOT NULL BEGIN
    UPDATE api_key SET held = held + NEW.held_delta WHERE id = (SELECT coalesce(k.rotated_from, k.id)
        FROM turn t JOIN api_key k ON k.id = t.key_id WHERE t.id = NEW.turn_id);
    INSERT INTO key_month (key_id, month, spent)
        SELECT coalesce(k.rotated_from, k.id), strftime('%Y-%m', NEW.created_at / 1000, 'unixepoch'), -NEW.balance_delta
        FROM turn t JOIN api_key k ON k.id = t.key_id WHERE t.id = NEW.turn_id AND NEW.balance_delta <> 0
        ON CONFLICT (key_id, month) DO UPDATE SET spent = spent + excluded.spent;
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
    body       BLOB,
    org_id     TEXT                                         -- whose bound it counts for; NULL: a row of before that
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created_at);
CREATE INDEX idempotency_by_turn ON idempotency (turn) WHERE turn IS NOT NULL;
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
