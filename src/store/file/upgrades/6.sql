-- From schema 5 to schema 6.

-- What refers to providers refers to the new table: its name is what they know.
PRAGMA legacy_alter_table = ON;
ALTER TABLE provider RENAME TO provider_before;
CREATE TABLE provider (
    id             TEXT    PRIMARY KEY,
    org_id         TEXT    NOT NULL REFERENCES org (id),
    slug           TEXT    NOT NULL,
    kind           TEXT    NOT NULL CHECK (kind IN ('openai-compatible', 'cassette')),
    base_url       TEXT    NOT NULL,
    api_key_sealed BLOB,
    api_key_env    TEXT,
    headers        TEXT    NOT NULL DEFAULT '{}',
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    added_by       TEXT    NOT NULL DEFAULT 'api' CHECK (added_by IN ('operator', 'api')),
    cassette_file  TEXT    CHECK ((kind = 'cassette') = (cassette_file IS NOT NULL)),
    cassette_speed REAL    NOT NULL DEFAULT 1 CHECK (cassette_speed >= 0),
    cassette_match TEXT    NOT NULL DEFAULT 'nearest' CHECK (cassette_match IN ('exact', 'shape', 'nearest')),
    cassette_tools TEXT    NOT NULL DEFAULT 'recorded' CHECK (cassette_tools IN ('recorded', 'real')),
    UNIQUE (org_id, slug)
) STRICT;
INSERT INTO provider (id, org_id, slug, kind, base_url, api_key_sealed, api_key_env, headers, created_at, updated_at, added_by)
    SELECT id, org_id, slug, kind, base_url, api_key_sealed, api_key_env, headers, created_at, updated_at, added_by
    FROM provider_before;
DROP TABLE provider_before;
PRAGMA legacy_alter_table = OFF;
