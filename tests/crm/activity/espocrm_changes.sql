-- What EspoCRM does to its tables of events: rebuilds change types, a hard one
-- drops what its metadata does not know; records move between entities.
ALTER TABLE espocrm.campaign_log_record ALTER COLUMN action TYPE varchar(255), ALTER COLUMN parent_id TYPE varchar(36), ALTER COLUMN action_date TYPE timestamp(6), ADD COLUMN queue_item_id varchar(24);
ALTER TABLE espocrm."call" ALTER COLUMN status TYPE text, ALTER COLUMN date_start TYPE timestamp(6);
INSERT INTO espocrm."call" (id, status, date_start, parent_type, parent_id) VALUES ('c1', 'Held', now() AT TIME ZONE 'UTC', 'Lead', substr(md5('l1'), 1, 17)),
	('c2', 'Held', NULL, 'Lead', substr(md5('l2'), 1, 17)), ('c3', 'Planned', now() AT TIME ZONE 'UTC' + interval '3 days', 'Lead', substr(md5('l3'), 1, 17));
SELECT crm_check.holds('espocrm', 'a rebuild changes types');
UPDATE espocrm."call" SET status = 'Held' WHERE id = 'c3';
UPDATE espocrm."call" SET deleted = true WHERE id = 'c1';
UPDATE espocrm.campaign_log_record SET parent_type = 'Contact', parent_id = 'contact' WHERE parent_id = substr(md5('l5'), 1, 17);
UPDATE espocrm.campaign_log_record SET is_test = NOT is_test WHERE id < '8';
SELECT crm_check.holds('espocrm', 'a call ahead is held, others are deleted, records move');
ALTER TABLE espocrm.campaign_log_record DROP COLUMN is_test;
INSERT INTO espocrm.campaign_log_record (id, action, action_date, parent_type, parent_id) VALUES ('r1', 'Clicked', now() AT TIME ZONE 'UTC', 'Lead', substr(md5('l6'), 1, 17));
CALL leadscore.rescore('espocrm');
SELECT crm_check.holds('espocrm', 'a hard rebuild drops a column of a filter', 'campaign mail clicked in 45 days');
UPDATE leadscore.activity_source SET filter = $$parent_type = 'Lead' AND NOT deleted$$ WHERE model = 'espocrm' AND name = 'campaign';
UPDATE leadscore.rule SET enabled = true WHERE NOT enabled;
CALL leadscore.rescore('espocrm');
SELECT crm_check.holds('espocrm', 'the filter is written anew');
ALTER TABLE espocrm."call" RENAME TO phone_call;
INSERT INTO espocrm.phone_call (id, status, date_start, parent_type, parent_id) VALUES ('c4', 'Held', now() AT TIME ZONE 'UTC', 'Lead', substr(md5('l8'), 1, 17));
SELECT crm_check.holds('espocrm', 'an entity has another name');
