-- What bench migrate does to its tables: ALTER COLUMN TYPE whenever a field's
-- definition changed; custom fields come and go; a user renames a record.
ALTER TABLE erpnext."tabLead"
	ALTER COLUMN no_of_employees TYPE varchar(255), ALTER COLUMN status TYPE text, ALTER COLUMN source TYPE text,
	ALTER COLUMN annual_revenue TYPE numeric(30,6), ALTER COLUMN unsubscribed TYPE bigint, ALTER COLUMN disabled TYPE integer,
	ALTER COLUMN _user_tags TYPE varchar(500);
SELECT crm_check.holds('erpnext', 'migrate changes types');
SELECT crm_check.holds('erpnext_more', 'migrate changes types');
ALTER TABLE erpnext."tabCRM Lead" ALTER COLUMN first_name TYPE text, ALTER COLUMN organization TYPE text, ALTER COLUMN lost_reason TYPE text;
SELECT crm_check.holds('frappe_more', 'migrate changes types of columns that the view does not name');

ALTER TABLE erpnext."tabLead" ALTER COLUMN annual_revenue DROP DEFAULT, ALTER COLUMN annual_revenue TYPE varchar(140);
SELECT crm_check.holds('erpnext_more', 'a number becomes text', 'revenue from 5 million');
UPDATE leadscore.rule SET condition = 'annual_revenue::numeric >= 5000000', enabled = true WHERE NOT enabled;
SELECT crm_check.holds('erpnext_more', 'its rule is written anew');
-- the fields that hold the band: a type that still compares with text
ALTER TABLE erpnext."tabLead" ALTER COLUMN unsubscribed DROP DEFAULT, ALTER COLUMN unsubscribed TYPE boolean USING unsubscribed = 1;
SELECT crm_check.holds('erpnext', 'a check becomes a boolean', 'unsubscribed');
ALTER TABLE erpnext."tabLead" ALTER COLUMN unsubscribed TYPE smallint USING unsubscribed::int;
UPDATE leadscore.rule SET enabled = true WHERE NOT enabled;
SELECT crm_check.holds('erpnext', 'and a number again, and the rule is enabled');

ALTER TABLE erpnext."tabLead" DROP COLUMN custom_budget_range;
SELECT crm_check.holds('erpnext', 'a custom field is deleted', 'budget above 50k (custom field)');
ALTER TABLE erpnext."tabLead" ADD COLUMN custom_budget_range varchar(140);
UPDATE erpnext."tabLead" SET custom_budget_range = '> 50k' WHERE name LIKE '%3';
UPDATE leadscore.rule SET enabled = true WHERE NOT enabled;
SELECT crm_check.holds('erpnext', 'it is made again, and the rule is enabled');

-- keys are text that users change
UPDATE erpnext."tabLead" SET name = 'Renamed' WHERE name = 'CRM-LEAD-2025-00018';
UPDATE erpnext."tabLead" SET industry = '', territory = '', no_of_employees = NULL WHERE name LIKE '%7';
SELECT crm_check.holds('erpnext', 'a lead gets another name');
SELECT crm_check.holds('erpnext_more', 'a lead gets another name');

-- a DocType is renamed and back
ALTER TABLE erpnext."tabLead" RENAME TO "tabProspective Customer";
SELECT crm_check.so('erpnext: a renamed table is scored', sum(leadscore.score('erpnext', l)) IS NOT NULL AND count(*) = 240)
FROM erpnext."tabProspective Customer" l;
SELECT crm_check.holds('erpnext_more', 'the table is renamed');
ALTER TABLE erpnext."tabProspective Customer" RENAME TO "tabLead";
ALTER SCHEMA erpnext RENAME TO site1;
SELECT crm_check.holds('frappe_more', 'the schema is renamed');
ALTER SCHEMA site1 RENAME TO erpnext;
SELECT crm_check.holds('erpnext', 'the schema is named as before');

-- what a status means is in the linked row
UPDATE erpnext."tabCRM Lead Status" SET "type" = 'Lost' WHERE name = 'Nurture';
SELECT crm_check.holds('frappe_more', 'a status gets another meaning');
UPDATE erpnext."tabCRM Lead" SET status = 'Deleted status' WHERE name LIKE '%1';
SELECT crm_check.holds('frappe_more', 'a link points nowhere');
-- a column of a view can be renamed without a change of its table
ALTER VIEW scoring."CRM Lead" RENAME COLUMN "type" TO status_type;
SELECT crm_check.holds('frappe_more', 'a column of the view is renamed', 'open', 'ongoing', 'won', 'lost');
ALTER VIEW scoring."CRM Lead" RENAME COLUMN status_type TO "type";
UPDATE leadscore.rule SET enabled = true WHERE NOT enabled;
SELECT crm_check.holds('frappe_more', 'and back, and the rules are enabled');

-- columns named like words of SQL
INSERT INTO leadscore.model (name, target) VALUES ('log', 'erpnext."tabCRM Status Change Log"');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('log', 'move', 'engagement');
INSERT INTO leadscore.rule (model, factor, parameter, condition, points) VALUES
	('log', 'move', 'forward', $$"from" = 'New' AND "to" IN ('Contacted')$$, 5);
SELECT crm_check.so('erpnext: columns "from" and "to"', bool_and(leadscore.score('log', l) = 5)) FROM erpnext."tabCRM Status Change Log" l;
SELECT crm_check.so('erpnext: unquoted, they are an error with its position', (c).sqlstate = '42601' AND (c)."position" = 1)
FROM leadscore.check_rule('log', $$to = 'Contacted'$$) c;
