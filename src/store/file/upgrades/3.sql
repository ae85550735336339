-- From schema 2 to schema 3.

ALTER TABLE provider_model ADD COLUMN facts TEXT CHECK (json_valid(facts));
ALTER TABLE session ADD COLUMN cut INTEGER;

DROP TRIGGER message_indexed;
DROP TRIGGER message_unindexed;
DROP TRIGGER session_indexed;
DROP TRIGGER session_reindexed;
DROP TRIGGER session_unindexed;
DROP TABLE message_fts;
DROP TABLE session_fts;
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
