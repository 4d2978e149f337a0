-- What Chatwoot does with its tables, by Rails: RETURNING "id", prepared
-- statements, jsonb without a schema, several accounts in one table.
SET client_min_messages TO warning;
SET standard_conforming_strings = on;
SET search_path = chatwoot, pg_catalog;

-- somebody opens the chat: contact, conversation (with a trigger of its own), message
BEGIN;
INSERT INTO "contacts" ("name", "email", "account_id", "created_at", "updated_at", "additional_attributes", "custom_attributes", "last_activity_at", "contact_type")
VALUES ('green-sky-42', NULL, 1, '2025-06-01 12:00:00', '2025-06-01 12:00:00', '{"browser":{"browser_name":"X"}}', '{}', '2025-06-01 12:00:00', 0) RETURNING "id";
INSERT INTO "conversations" ("account_id", "inbox_id", "status", "created_at", "updated_at", "contact_id", "display_id", "uuid", "last_activity_at")
VALUES (1, 1, 0, '2025-06-01 12:00:00', '2025-06-01 12:00:00', 261, 0, md5('conv1')::uuid, '2025-06-01 12:00:00') RETURNING "id", "display_id";
INSERT INTO "messages" ("content", "account_id", "inbox_id", "conversation_id", "message_type", "created_at", "updated_at", "sender_type", "sender_id")
VALUES ('Hello', 1, 1, 401, 0, '2025-06-01 12:00:00', '2025-06-01 12:00:00', 'Contact', 261) RETURNING "id";
SELECT lastval(), currval('contacts_id_seq'), currval('conversations_id_seq');
COMMIT;
CALL crm_check.step('a chat begins');
-- and says who they are
PREPARE a1 (text, timestamp, int) AS UPDATE "contacts" SET "email" = $1, "updated_at" = $2, "contact_type" = 1 WHERE "contacts"."id" = $3;
PREPARE a2 (jsonb, int) AS UPDATE "contacts" SET "custom_attributes" = $1 WHERE "contacts"."id" = $2;
PREPARE a3 (int) AS SELECT "contacts".* FROM "contacts" WHERE "contacts"."id" = $1 LIMIT 1;
EXECUTE a1 ('sky@example.com', '2025-06-01 12:01:00', 261);
EXECUTE a2 ('{"plan": "enterprise", "seats": 90}', 261);
EXECUTE a3 (261);
CALL crm_check.step('a contact is named');

-- whatever comes in by the API goes into the jsonb
EXECUTE a2 ('{"plan": "pro", "seats": "about 50"}', 1);
EXECUTE a2 ('{"plan": ["pro"], "seats": {"n": 50}}', 2);
EXECUTE a2 ('[]', 3);
EXECUTE a2 ('7', 4);
EXECUTE a2 (NULL, 5);
EXECUTE a2 ('null', 6);
EXECUTE a2 ('{"seats": "120"}', 7);
EXECUTE a2 ('{"seats": "1e3"}', 8);
EXECUTE a2 ('{"seats": 80.5}', 9);
EXECUTE a2 ('{"seats": " 85 "}', 10);
EXECUTE a2 ('{"seats": true, "plan": null}', 11);
EXECUTE a2 ('{"seats": ""}', 12);
SELECT id, custom_attributes FROM contacts WHERE id <= 12 ORDER BY id;
CALL crm_check.step('anything in the attributes');
CALL crm_check.so('chatwoot: the careless rule is recorded for each contact on which it fails, and for no other',
	$$SELECT array_agg(lead_key::int ORDER BY lead_key::int) FILTER (WHERE lead_key IS NOT NULL) =
		(SELECT array_agg(id ORDER BY id) FROM chatwoot.contacts
		 WHERE custom_attributes->>'seats' !~ '^\s*[0-9]{1,9}\s*$')
	  FROM leadscore.problem p JOIN leadscore.rule r ON r.id = p.rule WHERE r.model = 'chatwoot' AND r.parameter = 'careless'$$);
CALL crm_check.so('chatwoot: such states say so',
	$$SELECT array_agg(lead_key ORDER BY lead_key) FILTER (WHERE has_problem) =
		(SELECT array_agg(lead_key::int ORDER BY lead_key::int) FROM leadscore.problem WHERE model = 'chatwoot' AND lead_key IS NOT NULL)
	  FROM leadscore.chatwoot_state$$);
INSERT INTO "contacts" ("name", "account_id", "created_at", "updated_at", "custom_attributes")
SELECT 'Bulk ' || i, 1 + i % 2, '2025-06-01 12:00:00', '2025-06-01 12:00:00', CASE WHEN i % 3 = 0 THEN '{"seats": "n/a", "plan": "pro"}' ELSE '{"seats": 81}' END::jsonb
FROM generate_series(1, 9) i RETURNING "id", "name";
COPY contacts (name, account_id, created_at, updated_at, custom_attributes) FROM stdin;
Copy 1	1	2025-06-01 12:00	2025-06-01 12:00	{"plan": "enterprise", "seats": "n/a"}
Copy 2	2	2025-06-01 12:00	2025-06-01 12:00	{"plan": "enterprise", "seats": "90"}
\.
CALL crm_check.step('bulk loads with odd attributes');
UPDATE "contacts" SET "custom_attributes" = "custom_attributes" || '{"seats": 88}' WHERE "id" IN (1, 2);
UPDATE "contacts" SET "custom_attributes" = '{}' WHERE "id" IN (8, 12);
DELETE FROM "contacts" WHERE "id" = 11;
CALL crm_check.step('attributes are mended');
CALL crm_check.so('chatwoot: and what was recorded of them goes',
	$$SELECT count(*) = 0 FROM leadscore.problem WHERE model = 'chatwoot' AND lead_key IN ('1', '2', '8', '11', '12')$$);
-- with a savepoint around, as rescued errors have
BEGIN;
SAVEPOINT active_record_1;
EXECUTE a2 ('{"seats": "xxl"}', 20);
INSERT INTO "contacts" ("name", "email", "account_id", "created_at", "updated_at") VALUES ('Twice', 'guest1@site1.example.com', 2, '2025-06-01 12:00:00', '2025-06-01 12:00:00');
ROLLBACK TO SAVEPOINT active_record_1;
EXECUTE a2 ('{"seats": "xxl"}', 21);
RELEASE SAVEPOINT active_record_1;
CALL crm_check.step('a rescued error, inside');
COMMIT;
CALL crm_check.step('a rescued error');
CALL crm_check.so('chatwoot: what was rolled back is not recorded',
	$$SELECT count(*) FILTER (WHERE lead_key = '20') = 0 AND count(*) FILTER (WHERE lead_key = '21') = 1 FROM leadscore.problem WHERE model = 'chatwoot'$$);

-- blocked, labelled
UPDATE "contacts" SET "blocked" = TRUE WHERE "contacts"."id" IN (30, 31) RETURNING "id", "blocked";
INSERT INTO "taggings" ("tag_id", "taggable_type", "taggable_id", "context") VALUES (3, 'Contact', 32, 'labels'), (3, 'Conversation', 33, 'labels'), (3, 'Contact', 34, 'labels') RETURNING "id";
CALL crm_check.step('blocked and labelled');
UPDATE "contacts" SET "blocked" = FALSE WHERE "contacts"."id" = 30;
DELETE FROM "taggings" WHERE "taggable_type" = 'Contact' AND "taggable_id" = 32 AND "tag_id" = 3;
UPDATE "taggings" SET "taggable_id" = 35 WHERE "taggable_type" = 'Contact' AND "taggable_id" = 34 AND "tag_id" = 3;
UPDATE "taggings" SET "taggable_type" = 'Contact' WHERE "taggable_id" = 33 AND "tag_id" = 3;
CALL crm_check.step('unblocked, labels taken off');
UPDATE "tags" SET "name" = CASE "name" WHEN 'spam' THEN 'sales' WHEN 'sales' THEN 'spam' ELSE "name" END;
CALL crm_check.step('labels swap their names');
DELETE FROM "tags" WHERE "name" = 'spam';
CALL crm_check.step('a label is deleted');
UPDATE "contacts" SET "last_activity_at" = '2025-05-31 12:00:00' WHERE "id" IN (40, 41, 42);
CALL crm_check.step('last activity');

-- contacts are merged: what hangs on the one goes to the other
BEGIN;
UPDATE "conversations" SET "contact_id" = 50 WHERE "contact_id" = 52;
UPDATE "messages" SET "sender_id" = 50 WHERE "sender_type" = 'Contact' AND "sender_id" = 52;
UPDATE "taggings" SET "taggable_id" = 50 WHERE "taggable_type" = 'Contact' AND "taggable_id" = 52;
DELETE FROM "contacts" WHERE "contacts"."id" = 52;
UPDATE "contacts" SET "custom_attributes" = '{"plan":"enterprise","seats":"99","newsletter":true}', "email" = 'guest52@site2.example.com' WHERE "contacts"."id" = 50;
COMMIT;
CALL crm_check.step('merged');
-- a contact goes to the other account, and one comes
UPDATE "contacts" SET "account_id" = 3 - "account_id" WHERE "id" IN (60, 61, 62) RETURNING "id", "account_id";
CALL crm_check.step('contacts change their account');
CALL crm_check.so('chatwoot_2: the leads of its account, and no others',
	$$SELECT array_agg(lead_key ORDER BY lead_key) = (SELECT array_agg(id ORDER BY id) FROM chatwoot.contacts WHERE account_id = 2) FROM leadscore.chatwoot_2_scored$$);
UPDATE "contacts" SET "account_id" = 1 WHERE "account_id" = 2 AND "id" < 100;
DELETE FROM "contacts" WHERE "id" IN (101, 102, 103, 104);
CALL crm_check.step('an account loses contacts');

-- upsert by address, as the contact importer does it
INSERT INTO "contacts" ("name", "email", "account_id", "created_at", "updated_at", "custom_attributes") VALUES
	('Known', 'guest201@site1.example.com', 2, '2025-06-01 12:00:00', '2025-06-01 12:00:00', '{"plan": "pro", "seats": "60"}'),
	('Unknown', 'unknown@site1.example.com', 2, '2025-06-01 12:00:00', '2025-06-01 12:00:00', '{"plan": "pro", "seats": 60}'),
	('Unknown here', 'guest201@site1.example.com', 1, '2025-06-01 12:00:00', '2025-06-01 12:00:00', '{"plan": "pro"}')
ON CONFLICT ("email", "account_id") DO UPDATE SET "custom_attributes" = "contacts"."custom_attributes" || EXCLUDED."custom_attributes"
RETURNING "id", "name", "custom_attributes", xmax = 0 AS inserted;
SELECT lastval();
MERGE INTO "contacts" c USING (VALUES (210, true), (211, false), (5000, true)) v(id, b) ON v.id = c.id
WHEN MATCHED AND NOT v.b THEN DELETE
WHEN MATCHED THEN UPDATE SET blocked = v.b
WHEN NOT MATCHED THEN INSERT (id, name, account_id, created_at, updated_at, custom_attributes) VALUES (v.id, 'Merged', 2, '2025-06-01', '2025-06-01', '{"seats": "?"}');
CALL crm_check.step('upserts');

CALL crm_check.remember();
UPDATE "contacts" SET "updated_at" = '2025-06-01 12:06:00', "location" = 'somewhere';
CALL crm_check.untouched('columns that no rule reads', 'chatwoot_more');
CALL crm_check.remember();
UPDATE "contacts" SET "blocked" = "blocked", "custom_attributes" = "custom_attributes";
UPDATE "taggings" SET "created_at" = '2025-06-01 12:07:00';
CALL crm_check.untouched('the same values again', 'chatwoot_2', 'chatwoot_more');
CALL crm_check.step('nothing has changed');
BEGIN;
TRUNCATE "contacts";
INSERT INTO "contacts" ("name", "account_id", "created_at", "updated_at", "custom_attributes") VALUES ('First', 2, '2025-06-01', '2025-06-01', '{"seats": "xs"}') RETURNING "id";
CALL crm_check.step('truncated, inside');
ROLLBACK;
CALL crm_check.step('not truncated');
SET client_min_messages = notice;
DO $$
DECLARE
	n bigint;
	r record;
BEGIN
	UPDATE chatwoot.contacts SET custom_attributes = jsonb_set(custom_attributes, '{seats}', '"80"') WHERE jsonb_typeof(custom_attributes) = 'object' AND id BETWEEN 120 AND 140;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE NOTICE 'update: % rows, found %', n, FOUND;
	FOR r IN UPDATE chatwoot.contacts SET custom_attributes = custom_attributes || '{"seats": "?"}' WHERE id IN (121, 123) RETURNING id, custom_attributes->>'seats' AS seats LOOP
		RAISE NOTICE '%', r;
	END LOOP;
	INSERT INTO chatwoot.contacts (account_id, created_at, updated_at) VALUES (2, '2025-06-01', '2025-06-01') RETURNING id INTO n;
	RAISE NOTICE 'insert: % % %', n, lastval(), FOUND;
END
$$;
CALL crm_check.step('a function');

-- messages: far more than contacts, in prepared statements, of several senders
PREPARE m1 (int, int, varchar, bigint, timestamp, boolean) AS INSERT INTO "messages" ("content", "account_id", "inbox_id", "conversation_id", "message_type", "created_at", "updated_at", "sender_type", "sender_id", "private")
	VALUES ('Hello', 1, 1, $1, $2, $5, $5, $3, $4, $6) RETURNING "id";
EXECUTE m1 (3, 0, 'Contact', 170, '2026-05-30 10:00:00', false);
EXECUTE m1 (3, 1, 'User', 1, '2026-05-30 10:01:00', false);
EXECUTE m1 (3, 0, 'Contact', 170, '2026-05-30 10:02:00.5', false);
EXECUTE m1 (3, 0, 'Contact', 171, '2026-05-30 10:03:00', true);
EXECUTE m1 (3, 0, NULL, NULL, '2026-05-30 10:04:00', false);
EXECUTE m1 (3, 0, 'Contact', 999999999999, '2026-05-30 10:04:00', false);
EXECUTE m1 (3, 0, 'Contact', 172, '2999-05-30 10:05:00', false);
SELECT lastval() = currval('messages_id_seq') AS same;
CALL crm_check.step('messages');
BEGIN;
INSERT INTO "conversations" ("account_id", "inbox_id", "created_at", "updated_at", "contact_id", "display_id", "uuid", "last_activity_at", "additional_attributes")
SELECT 1 + i % 2, 1, timestamp '2026-05-01' + i * interval '1 hour', '2026-05-31', 173 + i % 4, 0, md5('c' || i)::uuid, '2026-05-31', jsonb_build_object('referer', 'https://x.example.com/pricing?' || i) FROM generate_series(1, 20) i RETURNING "display_id" > 0 AS given;
INSERT INTO "messages" ("account_id", "inbox_id", "conversation_id", "message_type", "created_at", "updated_at", "sender_type", "sender_id")
SELECT 1, 1, 5, i % 2, timestamp '2026-05-01' + i * interval '1 minute', '2026-05-31', 'Contact', 173 + i % 7 FROM generate_series(1, 500) i;
UPDATE "contacts" SET "last_activity_at" = '2026-05-31' WHERE "id" BETWEEN 173 AND 180;
COMMIT;
CALL crm_check.step('a busy hour');
UPDATE "messages" SET "content" = 'This message was deleted', "content_attributes" = '{"deleted": true}' WHERE "sender_id" = 174 AND "sender_type" = 'Contact';
UPDATE "messages" SET "sender_id" = 175 WHERE "sender_type" = 'Contact' AND "sender_id" = 176;
UPDATE "conversations" SET "contact_id" = 175 WHERE "contact_id" = 176;
DELETE FROM "contacts" WHERE "id" = 176;
UPDATE "conversations" SET "additional_attributes" = '[]' WHERE "contact_id" = 173;
UPDATE "conversations" SET "status" = 1, "last_activity_at" = '2026-06-01';
DELETE FROM "messages" WHERE "conversation_id" IN (SELECT "id" FROM "conversations" WHERE "contact_id" = 177);
DELETE FROM "conversations" WHERE "contact_id" = 177;
CALL crm_check.step('contacts with messages are merged, conversations deleted');

-- in another session it is attached anew, while ours keeps its statements
\! $CRM_OTHER "SELECT leadscore.detach('chatwoot_more')"
EXECUTE a2 ('{"plan": "pro"}', 150);
EXECUTE a3 (150);
\! $CRM_OTHER "SELECT leadscore.attach('chatwoot_more'); GRANT SELECT ON leadscore.chatwoot_more_state, leadscore.chatwoot_more_scored TO check_attach_analyst"
EXECUTE a2 ('{"plan": "enterprise"}', 151);
EXECUTE a3 (151);
CALL crm_check.step('detached and attached while a session goes on');
\! $CRM_OTHER "UPDATE leadscore.rule SET points = 7 WHERE model = 'chatwoot_more' AND parameter = 'pro'"
EXECUTE a2 ('{"plan": "pro"}', 152);
CALL crm_check.stale('a rule gets other points', 'chatwoot_more');
CALL crm_check.so('chatwoot_more: a lead that is written meanwhile has the new score',
	$$SELECT s.score = leadscore.score('chatwoot_more', c) FROM leadscore.chatwoot_more_state s JOIN chatwoot.contacts c ON c.id = s.lead_key WHERE c.id = 152$$);
\! $CRM_OTHER "CALL leadscore.rescore('chatwoot_more')"
CALL crm_check.step('the leads are scored anew');

-- migrations
\c - :owner
ALTER TABLE chatwoot.contacts ADD COLUMN company_id bigint, ADD COLUMN blocked_at timestamp;
CALL crm_check.ours('the views go', 'DROP VIEW scoring.contact_2, scoring.contact');
ALTER TABLE chatwoot.contacts ALTER COLUMN contact_type TYPE smallint;
ALTER TABLE chatwoot.contacts ALTER COLUMN id TYPE bigint;
ALTER TABLE chatwoot.contacts DROP COLUMN phone_number;
\c - :app
INSERT INTO chatwoot.contacts (id, name, account_id, created_at, updated_at, custom_attributes) VALUES (5000000000, 'Big', 2, '2025-06-01', '2025-06-01', '{"seats": "?"}') RETURNING id;
UPDATE chatwoot.contacts SET contact_type = 2, blocked = true WHERE id IN (160, 161);
INSERT INTO chatwoot.taggings (tag_id, taggable_type, taggable_id) VALUES (1, 'Contact', 162);
DELETE FROM chatwoot.contacts WHERE id = 163;
CALL crm_check.step('migrations, and two models have no view', 'chatwoot', 'chatwoot_2');
\c - :owner
CALL crm_check.doctor('the doctor misses the view', 'chatwoot', 'source_missing');
CALL crm_check.ours('the view is made without the column', $$CREATE VIEW scoring.contact AS
	SELECT c.id, c.account_id, c.email, c.contact_type, c.country_code, c.blocked, c.last_activity_at, c.custom_attributes, c.additional_attributes,
	       ARRAY(SELECT g.name::text FROM chatwoot.taggings t JOIN chatwoot.tags g ON g.id = t.tag_id
	             WHERE t.taggable_type = 'Contact' AND t.taggable_id = c.id) AS labels
	FROM chatwoot.contacts c$$);
CALL crm_check.ours('and the one that reads it', 'CREATE VIEW scoring.contact_2 AS SELECT * FROM scoring.contact WHERE account_id = 2');
CALL crm_check.ours('the guarded model is pointed to it', $$UPDATE leadscore.model SET source = 'scoring.contact' WHERE name = 'chatwoot_guarded'$$);
CALL crm_check.ours('the models are mended', $$SELECT leadscore.repair('chatwoot'), leadscore.repair('chatwoot_2'), leadscore.repair('chatwoot_more')$$);
CALL crm_check.step('the views are back');
CALL crm_check.doctor('the doctor is content', 'chatwoot_more');
\c - :app
UPDATE chatwoot.contacts SET blocked = NOT blocked WHERE id > 200;
CALL crm_check.step('and goes on');
