-- From schema 2 to schema 3.

ALTER TABLE provider_model ADD COLUMN facts TEXT CHECK (json_valid(facts));
ALTER TABLE session ADD COLUMN cut INTEGER;
