-- What ERPNext does to its tables of events: bench migrate runs ALTER COLUMN TYPE,
-- users rename documents, DocTypes get other names.
ALTER TABLE erpnext."tabCommunication" ALTER COLUMN communication_date TYPE timestamp(3), ALTER COLUMN sent_or_received TYPE text, ALTER COLUMN reference_name TYPE varchar(255), ADD COLUMN seen smallint DEFAULT 0;
INSERT INTO erpnext."tabCommunication" (name, communication_date, sent_or_received, reference_doctype, reference_name) VALUES
	('n1', now() AT TIME ZONE 'Asia/Kolkata', 'Received', 'Lead', 'CRM-LEAD-2025-00001'), ('n2', now() AT TIME ZONE 'Asia/Kolkata', 'Received', 'CRM Lead', 'CRM-LEAD-2025-00002'), ('n3', NULL, 'Received', 'Lead', 'CRM-LEAD-2025-00003');
SELECT crm_check.holds('erpnext', 'migrate changes types');
UPDATE erpnext."tabLead" SET name = 'Acme' WHERE name = 'CRM-LEAD-2025-00001';
UPDATE erpnext."tabCommunication" SET reference_name = 'Acme' WHERE reference_name = 'CRM-LEAD-2025-00001' AND reference_doctype = 'Lead';
SELECT crm_check.holds('erpnext', 'a lead gets another name, and its mails follow');
SELECT crm_check.so('erpnext: with what it did', (SELECT engagement_points >= 12 FROM leadscore.erpnext_state WHERE lead_key = 'Acme'));
ALTER TABLE erpnext."tabCommunication" RENAME TO "tabMessage";
INSERT INTO erpnext."tabMessage" (name, communication_date, sent_or_received, reference_doctype, reference_name) VALUES ('n4', now() AT TIME ZONE 'Asia/Kolkata', 'Received', 'Lead', 'CRM-LEAD-2025-00004');
SELECT crm_check.holds('erpnext', 'a DocType is renamed');
ALTER SCHEMA erpnext RENAME TO site1;
INSERT INTO site1."tabMessage" (name, communication_date, sent_or_received, reference_doctype, reference_name) VALUES ('n5', now() AT TIME ZONE 'Asia/Kolkata', 'Received', 'Lead', 'CRM-LEAD-2025-00005');
CALL leadscore.rescore('erpnext');
SELECT crm_check.holds('erpnext', 'the schema is renamed');
ALTER TABLE site1."tabMessage" ALTER COLUMN communication_date TYPE date;
INSERT INTO site1."tabMessage" (name, communication_date, sent_or_received, reference_doctype, reference_name) VALUES ('n6', now() AT TIME ZONE 'Asia/Kolkata', 'Received', 'Lead', 'CRM-LEAD-2025-00006');
CALL leadscore.rescore('erpnext');
SELECT crm_check.holds('erpnext', 'a time becomes a day');
ALTER TABLE site1."tabMessage" ALTER COLUMN communication_date TYPE varchar(140);
INSERT INTO site1."tabMessage" (name, communication_date, sent_or_received, reference_doctype, reference_name) VALUES ('n7', 'yesterday', 'Received', 'Lead', 'CRM-LEAD-2025-00007');
CALL leadscore.rescore('erpnext');
SELECT crm_check.holds('erpnext', 'and a text, which is no time', 'answered by mail in 30 days');
