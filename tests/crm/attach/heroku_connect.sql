-- Attaching to a Heroku Connect mirror: run by the role that owns it, after ../heroku_connect.sql.
SELECT leadscore.attach('salesforce');
SELECT leadscore.attach('salesforce_more');
