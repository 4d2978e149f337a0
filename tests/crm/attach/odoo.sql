-- Attaching to Odoo: run by the role that owns its tables, after ../odoo.sql.

-- Two more rules that live by lookups: whether the stage is one of winning, and
-- the country.
INSERT INTO leadscore.factor (model, name, axis, combine) VALUES ('odoo', 'pipeline', 'engagement', 'sum');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES
	('odoo', 'pipeline', 'won', 'is_won', 40),
	('odoo', 'pipeline', 'late stage', 'stage_sequence >= 3', 5),
	('odoo', 'pipeline', 'Germany', $$country = 'DE'$$, 3);

SELECT leadscore.attach('odoo');
SELECT leadscore.attach('odoo_more');

SELECT leadscore.watch('odoo', 'odoo.res_partner', 'SELECT l.id FROM odoo.crm_lead l WHERE l.partner_id = res_partner.id');
SELECT leadscore.watch('odoo', 'odoo.res_partner_industry',
	'SELECT l.id FROM odoo.crm_lead l JOIN odoo.res_partner p ON p.id = l.partner_id WHERE p.industry_id = res_partner_industry.id');
SELECT leadscore.watch('odoo', 'odoo.utm_source', 'SELECT l.id FROM odoo.crm_lead l WHERE l.source_id = utm_source.id');
SELECT leadscore.watch('odoo', 'odoo.crm_stage', 'SELECT l.id FROM odoo.crm_lead l WHERE l.stage_id = crm_stage.id');
-- as an array, and with the column alone
SELECT leadscore.watch('odoo', 'odoo.res_country', 'ARRAY(SELECT l.id FROM odoo.crm_lead l WHERE l.country_id = res_country.id)');
