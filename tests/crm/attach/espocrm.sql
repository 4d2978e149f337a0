-- Attaching to EspoCRM: run by the role that owns its tables, after ../espocrm.sql.

-- a rule that lives by the user's name
INSERT INTO leadscore.factor (model, name, axis) VALUES ('espocrm', 'rep', 'engagement');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES
	('espocrm', 'rep', 'the best', $$rep = 'rep3'$$, 20),
	('espocrm', 'rep', 'reachable', $$email IS NOT NULL AND "primary"$$, 2);

SELECT leadscore.attach('espocrm');
SELECT leadscore.attach('espocrm_more');

-- polymorphic links: of other entities' rows the key is NULL
SELECT leadscore.watch('espocrm', 'espocrm.entity_email_address', $$CASE WHEN entity_type = 'Lead' THEN entity_id END$$);
SELECT leadscore.watch('espocrm', 'espocrm.email_address',
	$$SELECT x.entity_id FROM espocrm.entity_email_address x WHERE x.email_address_id = email_address.id AND x.entity_type = 'Lead'$$);
SELECT leadscore.watch('espocrm', 'espocrm."user"', $$SELECT l.id FROM espocrm.lead l WHERE l.assigned_user_id = "user".id$$);
