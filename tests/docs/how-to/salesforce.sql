-- A mirror of Salesforce as Heroku Connect keeps it, cut down to what the page
-- is about: lower-cased names, custom fields with __c, picklists as text, times
-- without a zone that are UTC, a local number (id) that a reload gives anew, and
-- the lasting key sfid, which is NULL until Salesforce has given one.
--
-- What is written here is to be sent to Salesforce: a trigger notes it in
-- _trigger_log.  The sync itself writes with another setting of xmlbinary, by
-- which the trigger knows it.
CREATE ROLE heroku LOGIN;
SELECT format('ALTER DATABASE %I OWNER TO heroku', current_database()) \gexec
SET ROLE heroku;
\if :{?shape}
\i :shape
\else
CREATE SCHEMA salesforce;
CREATE TABLE salesforce._trigger_log (
	id serial PRIMARY KEY, txid bigint, created_at timestamptz DEFAULT now(), state varchar(8), action varchar(7),
	table_name varchar(128), record_id integer, sfid varchar(18));
CREATE TABLE salesforce.lead (
	id serial PRIMARY KEY, sfid varchar(18), firstname varchar(40), lastname varchar(80), name varchar(121), title varchar(128),
	company varchar(255), email varchar(80), phone varchar(40), country varchar(80), leadsource varchar(255), status varchar(255),
	industry varchar(255), numberofemployees integer, ownerid varchar(18), hasoptedoutofemail boolean, donotcall boolean,
	emailbounceddate timestamp, isconverted boolean, converteddate date, convertedopportunityid varchar(18),
	isdeleted boolean, masterrecordid varchar(18), createddate timestamp, systemmodstamp timestamp,
	mql_date__c timestamp, sql_date__c timestamp, lead_score__c double precision, product_interest__c varchar(4099),
	gdpr_consent__c boolean, _hc_lastop varchar(32), _hc_err text);
CREATE UNIQUE INDEX hcu_idx_lead_sfid ON salesforce.lead (sfid);
CREATE TABLE salesforce.task (
	id serial PRIMARY KEY, sfid varchar(18), whoid varchar(18), subject varchar(255), status varchar(255), tasksubtype varchar(40),
	type varchar(40), calltype varchar(40), calldurationinseconds integer, activitydate date, isclosed boolean, isdeleted boolean, createddate timestamp, systemmodstamp timestamp,
	_hc_lastop varchar(32), _hc_err text);
CREATE UNIQUE INDEX hcu_idx_task_sfid ON salesforce.task (sfid);
CREATE TABLE salesforce.campaignmember (
	id serial PRIMARY KEY, sfid varchar(18), campaignid varchar(18), leadid varchar(18), contactid varchar(18), status varchar(255),
	hasresponded boolean, firstrespondeddate date, isdeleted boolean, createddate timestamp, systemmodstamp timestamp,
	_hc_lastop varchar(32), _hc_err text);
CREATE UNIQUE INDEX hcu_idx_campaignmember_sfid ON salesforce.campaignmember (sfid);
CREATE TABLE salesforce.opportunity (
	id serial PRIMARY KEY, sfid varchar(18), name varchar(120), stagename varchar(255), amount double precision, closedate date,
	isclosed boolean, iswon boolean, isdeleted boolean, createddate timestamp, systemmodstamp timestamp, _hc_lastop varchar(32), _hc_err text);
CREATE UNIQUE INDEX hcu_idx_opportunity_sfid ON salesforce.opportunity (sfid);

CREATE FUNCTION salesforce.note_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF current_setting('xmlbinary') = 'base64' AND (TG_OP = 'INSERT' OR NEW IS DISTINCT FROM OLD) THEN
		INSERT INTO salesforce._trigger_log (txid, state, action, table_name, record_id, sfid)
		VALUES (txid_current(), 'NEW', TG_OP, TG_TABLE_NAME, NEW.id, NEW.sfid);
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER hc_lead_logtrigger AFTER INSERT OR UPDATE ON salesforce.lead FOR EACH ROW EXECUTE FUNCTION salesforce.note_write();

BEGIN;
SET LOCAL xmlbinary = 'hex';
SET LOCAL TimeZone = 'UTC';
INSERT INTO salesforce.lead (sfid, firstname, lastname, title, company, country, leadsource, status, industry, numberofemployees,
							 product_interest__c, gdpr_consent__c)
VALUES
	('00Q5e00000Lead1EAA', 'Anna',  'Novak',   'VP Engineering',  'Voltra',      'Germany',       'Web',              'Open - Not Contacted',   'Technology',    800,  'Platform;Add-on', true),
	('00Q5e00000Lead2EAA', 'Ben',   'Okafor',  'CIO',             'Harbor Bank', 'United States', 'Trade Show',       'Working - Contacted',    'Banking',       2400, 'Platform',        true),
	('00Q5e00000Lead3EAA', 'Clara', 'Jansen',  'Director of IT',  'Jansen Glas', 'Netherlands',   'Web',              'Open - Not Contacted',   'Manufacturing', 300,  'Platform',        true),
	('00Q5e00000Lead4EAA', 'David', 'Kim',     'Student',         'TU Delft',    'Netherlands',   'Web',              'Open - Not Contacted',   'Education',     NULL, 'Training',        true),
	('00Q5e00000Lead5EAA', 'Eva',   'Lind',    'Buyer',           'Norrlog',     'Sweden',        'Partner Referral', 'Open - Not Contacted',   'Technology',    120,  NULL,              true),
	('00Q5e00000Lead6EAA', 'Farid', 'Haddad',  'CTO',             'Cedar Soft',  'Germany',       'Purchased List',   'Open - Not Contacted',   'Technology',    650,  NULL,              NULL),
	('00Q5e00000Lead7EAA', 'Greta', 'Huber',   'Sales Assistant', 'Alpen AG',    'Austria',       'Other',            'Open - Not Contacted',   'Education',     90,   NULL,              true),
	('00Q5e00000Lead8EAA', 'Hugo',  'Costa',   'VP Finance',      'Banco Azul',  'Portugal',      'Web',              'Open - Not Contacted',   'Banking',       1500, 'Platform',        true),
	('00Q5e00000Lead9EAA', 'Ines',  'Morel',   'CFO',             'Credit Sud',  'France',        'Web',              'Open - Not Contacted',   'Banking',       900,  'Platform',        false),
	('00Q5e00000LeadAEAA', 'Jonas', 'Weiss',   'Director of IT',  'Weiss Bau',   'Germany',       'Web',              'Closed - Converted',     'Technology',    520,  'Platform',        true),
	('00Q5e00000LeadBEAA', 'Kira',  'Sato',    'CEO',             'Mori',        'Japan',         'Trade Show',       'Closed - Converted',     'Technology',    510,  NULL,              true),
	('00Q5e00000LeadCEAA', 'Liam',  'Byrne',   'VP Sales',        'Byrne',       'Ireland',       'Trade Show',       'Closed - Not Converted', 'Banking',       700,  NULL,              true),
	('00Q5e00000LeadDEAA', 'Mara',  'Silva',   'Analyst',         'Voltra',      'Germany',       'Web',              'Working - Contacted',    'Technology',    800,  'Add-on',          true);
UPDATE salesforce.lead SET
	name = firstname || ' ' || lastname, email = lower(firstname) || '@' || lower(replace(company, ' ', '-')) || '.example.com',
	ownerid = '0055e000004Owner' || lpad((id % 2)::text, 2, 'A'), hasoptedoutofemail = firstname = 'Hugo', donotcall = false,
	isconverted = status = 'Closed - Converted', isdeleted = false,
	createddate = now() - id * interval '5 days' - interval '3 hours', systemmodstamp = now(), _hc_lastop = 'SYNCED';
UPDATE salesforce.lead SET convertedopportunityid = CASE firstname WHEN 'Jonas' THEN '0065e00000Opp01EAA' ELSE '0065e00000Opp02EAA' END,
	converteddate = current_date - 8, mql_date__c = now() - interval '20 days', sql_date__c = now() - interval '9 days'
WHERE isconverted;
UPDATE salesforce.lead SET mql_date__c = now() - interval '6 days' WHERE firstname IN ('Ben', 'Eva');

INSERT INTO salesforce.opportunity (sfid, name, stagename, amount, closedate, isclosed, iswon, isdeleted, createddate, systemmodstamp, _hc_lastop)
SELECT v.sfid, v.name, v.stage, v.amount, current_date - 1, v.stage = 'Closed Won', v.stage = 'Closed Won', false, now() - interval '8 days', now(), 'SYNCED'
FROM (VALUES ('0065e00000Opp01EAA', 'Weiss Bau', 'Closed Won', 18000), ('0065e00000Opp02EAA', 'Mori', 'Qualification', 24000)) v(sfid, name, stage, amount);

INSERT INTO salesforce.task (sfid, whoid, subject, status, type, tasksubtype, calltype, calldurationinseconds, activitydate, isclosed, isdeleted,
							 createddate, systemmodstamp, _hc_lastop)
SELECT '00T5e00000Task' || chr(64 + v.n) || 'EAA', v.who, v.subject, v.status, v.type, CASE v.type WHEN 'Call' THEN 'Call' WHEN 'Email' THEN 'Email' ELSE 'Task' END,
	   CASE v.type WHEN 'Call' THEN 'Outbound' END, v.seconds, current_date - v.days, v.status = 'Completed', false,
	   now() - abs(v.days) * interval '1 day', now(), 'SYNCED'
FROM (VALUES (1, '00Q5e00000Lead1EAA', 'Call back, asked for prices', 'Completed',   'Call',    540,  3),
			 (2, '00Q5e00000Lead1EAA', 'Send offer',                  'Not Started', 'Other',   NULL, -2),
			 (3, '00Q5e00000Lead2EAA', 'First call',                  'Completed',   'Call',    300,  6),
			 (4, '00Q5e00000Lead5EAA', 'No answer',                   'Completed',   'Call',    10,   12),
			 (5, '00Q5e00000Lead7EAA', 'Email: price list',           'Completed',   'Email',   NULL, 20),
			 (6, '00Q5e00000Lead6EAA', 'Call',                        'Completed',   'Call',    20,   100),
			 (7, '0035e00000Cont1EAA', 'Call with a customer',        'Completed',   'Call',    600,  2),
			 (8, '00Q5e00000LeadBEAA', 'Demo',                        'Completed',   'Meeting', NULL, 10)) v(n, who, subject, status, type, seconds, days);

INSERT INTO salesforce.campaignmember (sfid, campaignid, leadid, status, hasresponded, firstrespondeddate, isdeleted, createddate, systemmodstamp, _hc_lastop)
SELECT '00v5e00000Memb' || chr(64 + v.n) || 'EAA', '7015e00000Camp1EAA', v.lead, v.status, v.days IS NOT NULL, current_date - v.days, false,
	   now() - interval '45 days', now(), 'SYNCED'
FROM (VALUES (1, '00Q5e00000Lead1EAA', 'Attended',   10), (2, '00Q5e00000Lead2EAA', 'Attended',   10),
			 (3, '00Q5e00000Lead3EAA', 'Registered', 11), (4, '00Q5e00000Lead4EAA', 'Attended',   10),
			 (5, '00Q5e00000Lead5EAA', 'Sent',     NULL), (6, '00Q5e00000Lead8EAA', 'Attended',   10),
			 (7, '00Q5e00000Lead9EAA', 'Attended',   10), (8, '00Q5e00000LeadAEAA', 'Attended',   40)) v(n, lead, status, days);
COMMIT;
\endif

-- The same leads as Fivetran lands them in its history mode: the lead's id stands
-- in several rows, one of which is active.
CREATE SCHEMA fivetran;
CREATE TABLE fivetran.lead (
	id varchar(18), first_name text, last_name text, title text, lead_source text, number_of_employees integer, status text,
	is_deleted boolean, mql_date_c timestamptz, _fivetran_synced timestamptz, _fivetran_active boolean,
	_fivetran_start timestamptz, _fivetran_end timestamptz, PRIMARY KEY (id, _fivetran_start));
INSERT INTO fivetran.lead (id, first_name, last_name, title, status, _fivetran_active, _fivetran_start, _fivetran_end) VALUES
	('00Q5e00000Lead1EAA', 'Anna', 'Novak',  'Engineer',       'Open - Not Contacted', false, now() - interval '90 days', now() - interval '9 days'),
	('00Q5e00000Lead1EAA', 'Anna', 'Novak',  'VP Engineering', 'Open - Not Contacted', true,  now() - interval '9 days',  'infinity'),
	('00Q5e00000Lead2EAA', 'Ben',  'Okafor', 'CIO',            'Working - Contacted',  true,  now() - interval '30 days', 'infinity');
