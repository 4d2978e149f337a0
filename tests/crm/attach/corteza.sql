-- Attaching to Corteza: run by the role that owns its tables, after ../corteza.sql.

-- a rule about the lead's account, which is a row of the same table
INSERT INTO leadscore.factor (model, name, axis) VALUES ('corteza', 'account', 'fit');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES
	('corteza', 'account', 'account in Banking', $$account_industry = 'Banking'$$, 4);

SELECT leadscore.attach('corteza');
SELECT leadscore.attach('corteza_more');

-- Which module is that of the leads, and the table itself for the accounts in it.
SELECT leadscore.watch('corteza', 'corteza.compose_module', 'SELECT r.id FROM corteza.compose_record r WHERE r.rel_module = compose_module.id');
SELECT leadscore.watch('corteza', 'corteza.compose_record',
	$$SELECT r.id FROM corteza.compose_record r WHERE r."values"->'AccountId'->>0 = compose_record.id::text$$);
