-- What happens to Chatwoot's tables: migrations add columns under prepared
-- statements, and anything may be in the jsonb of a contact.
PREPARE one AS SELECT leadscore.score('chatwoot_more', c), leadscore.grade('chatwoot_more', c) FROM chatwoot.contacts c WHERE id = 42;
PREPARE rails AS SELECT c.* FROM chatwoot.contacts c WHERE id = 42;
CREATE TEMP TABLE before AS EXECUTE one;
EXECUTE rails \g /dev/null
ALTER TABLE chatwoot.contacts ADD COLUMN company_id bigint, ADD COLUMN blocked_at timestamp;
CREATE TEMP TABLE after AS EXECUTE one;
SELECT crm_check.so('chatwoot: scoring goes on in a prepared statement', (SELECT b FROM before b) IS NOT DISTINCT FROM (SELECT a FROM after a));
SELECT crm_check.fails('chatwoot: (a prepared SELECT * does not)', 'EXECUTE rails', '0A000');
SELECT crm_check.holds('chatwoot', 'columns are added');

-- a cast without a guard: the error of the row names the rule, and only who asks gets it
INSERT INTO chatwoot.contacts (account_id, name, created_at, updated_at, custom_attributes) VALUES
	(1, 'Vague', now(), now(), '{"plan": "pro", "seats": "about 50"}'),
	(1, 'Odd', now(), now(), '{"plan": ["pro"], "seats": {"n": 50}}'),
	(1, 'List', now(), now(), '[]'),
	(1, 'Scalar', now(), now(), '7'),
	(1, 'Nothing', now(), now(), NULL),
	(1, 'JSON null', now(), now(), 'null');
SELECT crm_check.holds('chatwoot', 'odd attributes meet a guarded cast');
SELECT crm_check.holds('chatwoot_more', 'odd attributes meet look-ups in jsonb');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES
	('chatwoot', 'seats', 'careless', $$(custom_attributes->>'seats')::int >= 80$$, 12);
SELECT id AS careless FROM leadscore.rule WHERE parameter = 'careless' \gset
SELECT crm_check.fails('chatwoot: an unguarded cast fails as it is, and names the rule',
	$$SELECT leadscore.score('chatwoot', c) FROM scoring.contact c$$, '22P02',
	'invalid input syntax for type integer: "(about 50|\{"n": 50\})".*rule ' || :careless || ' of scoring model "chatwoot"');
SELECT crm_check.fails('chatwoot: so does explain',
	$$SELECT e FROM scoring.contact c, leadscore.explain('chatwoot', c) e$$, '22P02', 'rule ' || :careless || ' of scoring model "chatwoot"');
SELECT crm_check.so('chatwoot: leads without it are scored', (SELECT count(leadscore.score('chatwoot', c)) = 260 FROM scoring.contact c WHERE id <= 260));
-- as one of several conditions it is tested after the one that is looked up
UPDATE leadscore.rule SET condition = $$account_id = 2 AND (custom_attributes->>'seats')::int >= 80$$ WHERE parameter = 'careless';
SELECT crm_check.holds('chatwoot', 'it is asked of another account only');
UPDATE leadscore.rule SET enabled = false WHERE parameter = 'careless';
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES
	('chatwoot', 'seats', 'careful', $$CASE WHEN jsonb_typeof(custom_attributes->'seats') = 'number' THEN (custom_attributes->>'seats')::numeric >= 5 END$$, 12);
DELETE FROM leadscore.rule WHERE parameter = 'careless';
SELECT crm_check.holds('chatwoot', 'it is guarded by the type');

-- labels come and go without the contact's row
SELECT leadscore.disqualified('chatwoot', c) AS was FROM scoring.contact c WHERE id = 7 \gset
INSERT INTO chatwoot.taggings (tag_id, taggable_type, taggable_id) VALUES (3, 'Contact', 7);
SELECT crm_check.so('chatwoot: a label counts at once', leadscore.disqualified('chatwoot', c) AND leadscore.temperature('chatwoot', c) = 'cold' AND NOT :'was')
FROM scoring.contact c WHERE id = 7;
DELETE FROM chatwoot.taggings WHERE taggable_type = 'Contact' AND taggable_id = 7;
SELECT crm_check.so('chatwoot: and no longer when it is taken away', NOT leadscore.disqualified('chatwoot', c)) FROM scoring.contact c WHERE id = 7;

-- a number of an enum is a number
ALTER TABLE chatwoot.contacts ALTER COLUMN additional_attributes SET DEFAULT '{}';
DROP VIEW scoring.contact;
ALTER TABLE chatwoot.contacts ALTER COLUMN contact_type TYPE smallint;
SELECT crm_check.holds('chatwoot_more', 'a type becomes narrower');
SELECT crm_check.so('chatwoot: that the view was dropped is recorded',
	(SELECT count(*) = 1 FROM leadscore.problem WHERE model = 'chatwoot' AND rule IS NULL AND lead_key IS NULL));
