-- Attaching to two workspaces of Twenty: run by the role that owns them, after ../twenty.sql.

-- the same matrix for the other workspace
CREATE VIEW scoring.person_b AS
SELECT p.id, p."jobTitle", p.city, p."emailsPrimaryEmail", p."phonesPrimaryPhoneNumber", p."deletedAt", p."createdAt",
       to_jsonb(p) ->> 'createdBySource' AS "createdBySource",
       c.employees, c."idealCustomerProfile", c."addressAddressCountry" AS "companyCountry",
       c."annualRecurringRevenueAmountMicros" / 1e6 AS arr, c."deletedAt" AS "companyDeletedAt"
FROM workspace_b.person p
LEFT JOIN workspace_b.company c ON c.id = p."companyId";
SELECT leadscore.copy_model('twenty', 'twenty_b'), leadscore.copy_model('twenty_lead_more', 'twenty_lead_b');
UPDATE leadscore.model SET target = 'workspace_b.person', source = 'scoring.person_b' WHERE name = 'twenty_b';
UPDATE leadscore.model SET target = 'workspace_b."_lead"' WHERE name = 'twenty_lead_b';
UPDATE leadscore.activity_source SET relation = 'workspace_b."timelineActivity"' WHERE model = 'twenty_b';
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES
	('twenty_b', 'temperature', 'cold', '-Infinity'), ('twenty_b', 'temperature', 'warm', 10), ('twenty_b', 'temperature', 'hot', 30);

SELECT leadscore.attach(name) FROM leadscore.model ORDER BY name;

SELECT leadscore.watch('twenty', 'workspace_3ixj3i1a5avy16ptijtb3lae3.company',
	'SELECT p.id FROM workspace_3ixj3i1a5avy16ptijtb3lae3.person p WHERE p."companyId" = company.id');
SELECT leadscore.watch('twenty_more', 'workspace_3ixj3i1a5avy16ptijtb3lae3.company',
	'ARRAY(SELECT p.id FROM workspace_3ixj3i1a5avy16ptijtb3lae3.person p WHERE p."companyId" = company.id)');
SELECT leadscore.watch('twenty_b', 'workspace_b.company', 'SELECT p.id FROM workspace_b.person p WHERE p."companyId" = company.id');
