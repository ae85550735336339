-- Rows as alm wrote them with schema 6: an organization that chatted once, edited its question, and paid; its owner signed in.
INSERT INTO user (id, email, created_at) VALUES ('u1', 'owner@example.com', 1760000000000);
INSERT INTO org (id, slug, owner_id, created_at) VALUES ('o1', 'acme', 'u1', 1760000000000);
INSERT INTO member VALUES ('o1', 'u1', 'owner', 1760000000000);
INSERT INTO api_key (id, org_id, user_id, hash, prefix, name, env, scopes, created_at)
VALUES ('k1', 'o1', 'u1', x'00ff', 'alm_live_abc', 'first', 'live', 'read,chat,write', 1760000000000);
INSERT INTO agent (id, org_id, slug, name, is_builtin, created_at, updated_at)
VALUES ('a1', 'o1', 'ala', 'Ala', 1, 1760000000000, 1760000000000);
INSERT INTO project (id, org_id, user_id, slug, name, visibility, created_at, updated_at)
VALUES ('p1', 'o1', 'u1', 'docs', 'Docs', 'team', 1760000000000, 1760000000000);
INSERT INTO provider (id, org_id, slug, kind, base_url, created_at, updated_at)
VALUES ('v1', 'o1', 'up', 'openai-compatible', 'http://127.0.0.1:1/v1', 1760000000000, 1760000000000);
INSERT INTO provider_model (provider_id, name, input_price, output_price) VALUES ('v1', 'paid', '1', '1');
INSERT INTO session (seq, org_id, id, user_id, agent_id, project_id, label, created_at, updated_at)
VALUES (1, 'o1', 'c', 'u1', 'a1', 'p1', '东京之旅', 1760000000000, 1760000001000);
INSERT INTO turn (seq, id, org_id, session, user_id, agent_id, model, message_id, status, started_at, ended_at, input_tokens, output_tokens, cost)
VALUES (1, 't1', 'o1', 1, 'u1', 'a1', 'up/paid', 'm3', 'complete', 1760000000000, 1760000001000, 5, 2, 7);
INSERT INTO message (seq, session, id, role, status, turn, superseded_by, created_at, content, parts)
VALUES (1, 1, 'm1', 'user', 'complete', NULL, 1, 1760000000000, 'Hi', '[{"type":"text","text":"Hi"}]'),
       (2, 1, 'm1', 'user', 'complete', 1, NULL, 1760000000000, '今天北京的天气很好', '[{"type":"text","text":"今天北京的天气很好"}]'),
       (3, 1, 'm3', 'assistant', 'complete', 1, NULL, 1760000001000, 'Grüße', '[{"type":"step-start"},{"type":"text","text":"Grüße","state":"done"}]');
INSERT INTO ledger_entry (id, org_id, kind, balance_delta, held_delta, turn_id, created_at)
VALUES ('l1', 'o1', 'deposit', 1000000, 0, NULL, 1760000000000),
       ('l2', 'o1', 'reserve', 0, 100, 't1', 1760000000000),
       ('l3', 'o1', 'settle', -7, -100, 't1', 1760000001000);
INSERT INTO sign_in (id, user_id, hash, created_at, last_seen_at, stepped_up_at, expires_at, user_agent)
VALUES ('s1', 'u1', x'00aa', 1760000000000, 1760000000000, 1760000000000, 1762592000000, 'Mozilla/5.0');
INSERT INTO idempotency (name, body_hash, turn, created_at, status, headers, body)
VALUES (x'01', x'02', 1, 1760000000000, 200, '{}', x'7b7d'),
       (x'03', x'04', NULL, 1760000000000, NULL, NULL, NULL);
INSERT INTO provider (id, org_id, slug, kind, base_url, cassette_file, created_at, updated_at)
VALUES ('v2', 'o1', 'tape', 'cassette', '', '/tapes/a.jsonl', 1760000000000, 1760000000000);
