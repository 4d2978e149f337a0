-- What Chatwoot does to its tables of events: columns come under prepared
-- statements, keys become bigint, conversations are merged and deleted.
PREPARE send (bigint, int) AS INSERT INTO chatwoot.messages (content, account_id, inbox_id, conversation_id, message_type, created_at, updated_at, sender_type, sender_id)
	VALUES ('Hi', 1, 1, 1, $2, now() AT TIME ZONE 'UTC', now(), 'Contact', $1);
EXECUTE send (1, 0);
ALTER TABLE chatwoot.messages ADD COLUMN content_hash text, ALTER COLUMN message_type TYPE smallint, ALTER COLUMN id TYPE bigint;
ALTER TABLE chatwoot.conversations ALTER COLUMN id TYPE bigint, ADD COLUMN first_seen timestamp DEFAULT '2025-01-01';
EXECUTE send (1, 0);
EXECUTE send (2, 1);
EXECUTE send (99999999999, 0);
SELECT crm_check.holds('chatwoot', 'keys become bigint under a prepared statement');
UPDATE chatwoot.messages SET sender_id = 3 WHERE sender_id = 1 AND sender_type = 'Contact';
UPDATE chatwoot.conversations SET contact_id = 3 WHERE contact_id IN (1, 4, 7);
DELETE FROM chatwoot.messages WHERE conversation_id IN (10, 20, 30);
SELECT crm_check.holds('chatwoot', 'contacts are merged, conversations deleted');
-- anything may be in the jsonb of a conversation
UPDATE chatwoot.conversations SET additional_attributes = CASE id % 5 WHEN 0 THEN '[]'::jsonb WHEN 1 THEN 'null' WHEN 2 THEN '"x/pricing"' WHEN 3 THEN NULL ELSE '{"referer": {"a": "/pricing"}}' END WHERE id <= 100;
SELECT crm_check.holds('chatwoot', 'anything is in the attributes of a conversation');
ALTER TABLE chatwoot.conversations ALTER COLUMN additional_attributes DROP DEFAULT, ALTER COLUMN additional_attributes TYPE text;
INSERT INTO chatwoot.conversations (account_id, inbox_id, created_at, updated_at, contact_id, display_id, additional_attributes) VALUES (1, 1, now() AT TIME ZONE 'UTC', now(), 9, 0, '{"referer": "https://a.example.com/pricing"}');
CALL leadscore.rescore('chatwoot');
SELECT crm_check.holds('chatwoot', 'a jsonb becomes text', 'came from the pricing page');
ALTER TABLE chatwoot.conversations ALTER COLUMN additional_attributes TYPE jsonb USING additional_attributes::jsonb;
CALL leadscore.rescore('chatwoot');
SELECT crm_check.holds('chatwoot', 'and jsonb again');
-- a rule that casts what is there without a guard fails on some events only
INSERT INTO leadscore.rule (model, factor, parameter, activity, condition, points) VALUES
	('chatwoot', 'activity', 'careless', 'conversation', $$(custom_attributes->>'seats')::int > 5$$, 1);
UPDATE chatwoot.conversations SET custom_attributes = '{"seats": "many"}' WHERE id = 50;
UPDATE chatwoot.conversations SET custom_attributes = '{"seats": "7"}' WHERE id = 51;
CALL leadscore.rescore('chatwoot');
SELECT crm_check.so('chatwoot: the application may write what a rule cannot read', (SELECT custom_attributes = '{"seats": "many"}' FROM chatwoot.conversations WHERE id = 50));
SELECT crm_check.so('chatwoot: that a rule failed on an event is recorded for its lead',
	EXISTS (SELECT FROM leadscore.problem WHERE model = 'chatwoot' AND lead_key = (SELECT contact_id::text FROM chatwoot.conversations WHERE id = 50)));
