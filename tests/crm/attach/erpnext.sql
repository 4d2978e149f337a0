-- Attaching to ERPNext and Frappe CRM: run by the role that owns the tables, after ../erpnext.sql.
SELECT leadscore.attach('erpnext');
SELECT leadscore.attach('erpnext_more');
SELECT leadscore.attach('frappe_more');

-- a relation with blanks in its name is quoted, as anywhere
SELECT leadscore.watch('frappe_more', 'erpnext."tabCRM Lead Status"',
	$$SELECT l.name FROM erpnext."tabCRM Lead" l WHERE l.status = "tabCRM Lead Status".name$$);
