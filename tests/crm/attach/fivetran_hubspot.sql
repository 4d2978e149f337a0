-- Attaching to HubSpot's contacts as Fivetran lands them: run by the role that loads the tables, after ../fivetran_hubspot.sql.

-- A rule with the clock in it: what was seen lately.
INSERT INTO leadscore.factor (model, name, axis) VALUES ('hubspot_more', 'recency', 'engagement');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES
	('hubspot_more', 'recency', 'seen lately', $$property_hs_analytics_last_visit_timestamp > now() - interval '30 days'$$, 25);

SELECT leadscore.attach('hubspot');
SELECT leadscore.attach('hubspot_more');

-- the company's id is a double precision there; forms have it as it is
SELECT leadscore.watch('hubspot', 'hubspot.company', 'SELECT c.id FROM hubspot.contact c WHERE c.property_associatedcompanyid = company.id');
SELECT leadscore.watch('hubspot', 'hubspot.contact_form_submission', 'contact_id');
