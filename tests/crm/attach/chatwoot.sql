-- Attaching to Chatwoot: run by the role that owns its tables, after ../chatwoot.sql.

-- Several companies share the table: here one of them has a matrix of its own, for
-- its own contacts only.
CREATE VIEW scoring.contact_2 AS SELECT * FROM scoring.contact WHERE account_id = 2;
SELECT leadscore.copy_model('chatwoot', 'chatwoot_2');
UPDATE leadscore.model SET source = 'scoring.contact_2' WHERE name = 'chatwoot_2';
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES
	('chatwoot_2', 'temperature', 'cold', '-Infinity'), ('chatwoot_2', 'temperature', 'warm', 5), ('chatwoot_2', 'temperature', 'hot', 10);

-- A rule with a cast that no one guards; and for comparison a model, not attached,
-- where it is guarded.
SELECT leadscore.copy_model('chatwoot', 'chatwoot_guarded');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES
	('chatwoot', 'seats', 'careless', $$(custom_attributes->>'seats')::int >= 80$$, 12),
	('chatwoot_guarded', 'seats', 'careful', $$CASE WHEN custom_attributes->>'seats' ~ '^\s*[0-9]{1,9}\s*$' THEN (custom_attributes->>'seats')::int >= 80 END$$, 12);

SELECT leadscore.attach('chatwoot');
SELECT leadscore.attach('chatwoot_2');
SELECT leadscore.attach('chatwoot_more');

SELECT leadscore.watch(m, 'chatwoot.taggings', $$CASE WHEN taggable_type = 'Contact' THEN taggable_id END$$),
	leadscore.watch(m, 'chatwoot.tags', $$SELECT t.taggable_id FROM chatwoot.taggings t WHERE t.tag_id = tags.id AND t.taggable_type = 'Contact'$$)
FROM unnest('{chatwoot,chatwoot_2}'::text[]) m;
