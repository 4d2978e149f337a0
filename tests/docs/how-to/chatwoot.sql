-- The part of a Chatwoot database that docs/how-to/chatwoot.md reads: two accounts in
-- one set of tables, with a few invented contacts, owned by the role that the
-- application connects as.
CREATE ROLE chatwoot LOGIN;
SELECT format('ALTER DATABASE %I OWNER TO chatwoot', current_database()) \gexec
SET ROLE chatwoot;

\if :{?shape}
\i :shape
DROP SCHEMA public;
ALTER SCHEMA chatwoot RENAME TO public;
RESET search_path;
\else
SET TimeZone = 'UTC';	-- times are UTC, without a zone
CREATE TABLE accounts (
	id				serial PRIMARY KEY,
	name			varchar NOT NULL,
	created_at		timestamp NOT NULL DEFAULT now(),
	updated_at		timestamp NOT NULL DEFAULT now()
);
CREATE TABLE inboxes (
	id				serial PRIMARY KEY,
	account_id		integer NOT NULL,
	name			varchar NOT NULL,
	channel_type	varchar
);
CREATE TABLE contacts (
	id				serial PRIMARY KEY,
	name			varchar DEFAULT '',
	email			varchar,
	phone_number	varchar,
	account_id		integer NOT NULL,
	created_at		timestamp NOT NULL,
	updated_at		timestamp NOT NULL,
	additional_attributes jsonb DEFAULT '{}',
	identifier		varchar,
	custom_attributes jsonb DEFAULT '{}',
	last_activity_at timestamp,
	contact_type	integer DEFAULT 0,
	country_code	varchar DEFAULT '',
	blocked			boolean NOT NULL DEFAULT false
);
CREATE INDEX index_contacts_on_account_id ON contacts (account_id);
CREATE UNIQUE INDEX uniq_email_per_account_contact ON contacts (email, account_id);
CREATE TABLE conversations (
	id				serial PRIMARY KEY,
	account_id		integer NOT NULL,
	inbox_id		integer NOT NULL,
	status			integer NOT NULL DEFAULT 0,
	assignee_id		integer,
	created_at		timestamp NOT NULL,
	updated_at		timestamp NOT NULL,
	contact_id		bigint,
	display_id		integer NOT NULL,
	additional_attributes jsonb DEFAULT '{}',
	last_activity_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
	first_reply_created_at timestamp,
	cached_label_list text
);
CREATE TABLE messages (
	id				serial PRIMARY KEY,
	content			text,
	account_id		integer NOT NULL,
	inbox_id		integer NOT NULL,
	conversation_id	integer NOT NULL,
	message_type	integer NOT NULL,
	created_at		timestamp NOT NULL,
	updated_at		timestamp NOT NULL,
	private			boolean NOT NULL DEFAULT false,
	sender_type		varchar,
	sender_id		bigint
);
CREATE INDEX index_messages_on_conversation_id ON messages (conversation_id);
CREATE TABLE tags (
	id				serial PRIMARY KEY,
	name			varchar
);
CREATE TABLE taggings (
	id				serial PRIMARY KEY,
	tag_id			integer,
	taggable_type	varchar,
	taggable_id		integer,
	context			varchar(128),
	created_at		timestamp
);
CREATE TABLE csat_survey_responses (
	id				bigserial PRIMARY KEY,
	account_id		bigint NOT NULL,
	conversation_id	bigint NOT NULL,
	contact_id		bigint NOT NULL,
	rating			integer NOT NULL,
	created_at		timestamp NOT NULL DEFAULT now()
);
CREATE SEQUENCE conv_display_1;
CREATE SEQUENCE conv_display_2;
CREATE FUNCTION give_display_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.display_id := nextval('conv_display_' || NEW.account_id);
	RETURN NEW;
END
$$;
CREATE TRIGGER conversations_before_insert_row_tr BEFORE INSERT ON conversations FOR EACH ROW EXECUTE FUNCTION give_display_id();

INSERT INTO accounts (name) VALUES ('Blue Desk'), ('Green Desk');
INSERT INTO inboxes (account_id, name, channel_type) VALUES
	(1, 'Site', 'Channel::WebWidget'), (1, 'Mail', 'Channel::Email'), (2, 'Site', 'Channel::WebWidget');
INSERT INTO tags (name) VALUES ('opportunity'), ('spam'), ('billing');

INSERT INTO contacts (account_id, name, email, phone_number, contact_type, custom_attributes, additional_attributes, blocked, created_at, updated_at)
SELECT account, name, email, phone, type, custom::jsonb, more::jsonb, blocked, now() - age::interval, now()
FROM (VALUES
	(1, 'Lena Vogt',        'lena@vogt-systems.example', NULL,           1, '{"plan": "enterprise", "seats": 120}',   '{"company_name": "Vogt Systems"}', false, '300 hours'),
	(1, 'Arjun Mehta',      'arjun@mehta.example',       '+4930111',     1, '{"plan": "pro", "seats": "60"}',         '{"company_name": "Mehta Traders"}', false, '700 hours'),
	(1, 'Pia Lund',         'pia@lund.example',          NULL,           1, '{"plan": "pro", "seats": 12}',           '{}',                               false, '1100 hours'),
	(1, 'Tom Okafor',       'tom@okafor.example',        NULL,           1, '{"plan": "free", "seats": "about 50"}',  '{}',                               false, '100 hours'),
	(1, 'Iris Novy',        'iris@novy.example',         '+4201234',     2, '{"plan": "enterprise", "seats": 80}',    '{"company_name": "Novy"}',         false, '9000 hours'),
	(1, 'quiet-river-7',    NULL,                        NULL,           0, '{}',                                     '{}',                               false, '30 hours'),
	(1, 'Max Gain',         'win@prizes.example',        NULL,           1, '{"seats": null}',                        '{}',                               false, '80 hours'),
	(1, 'Rude Rob',         'rob@rob.example',           NULL,           1, '{"plan": "pro"}',                        '{}',                               true,  '500 hours'),
	(1, 'Sana Idris',       'sana@gmail.com',            NULL,           1, '{"plan": ["pro"]}',                      '{}',                               false, '2500 hours'),
	(2, 'Yuki Mori',        'yuki@mori.example',         NULL,           1, '{"plan": "pro", "seats": 30}',           '{"company_name": "Mori"}',         false, '200 hours'),
	(2, 'Dario Costa',      'dario@costa.example',       NULL,           1, '{"plan": "free"}',                       '{}',                               false, '50 hours'),
	(2, 'green-leaf-3',     NULL,                        NULL,           0, '{}',                                     '{}',                               false, '20 hours'))
	c(account, name, email, phone, type, custom, more, blocked, age);

INSERT INTO conversations (account_id, inbox_id, contact_id, display_id, created_at, updated_at, additional_attributes)
SELECT c.account_id, inbox, c.id, 0, now() - age::interval, now(), jsonb_build_object('referer', 'https://site.example' || page)
FROM (VALUES
	('Lena Vogt',     1, '48 hours',   '/pricing'), ('Arjun Mehta',  2, '240 hours',  '/'),  ('Pia Lund',    1, '1000 hours', '/pricing'),
	('Tom Okafor',    1, '90 hours',   '/docs'),    ('Iris Novy',    1, '72 hours',   '/help'), ('quiet-river-7', 1, '30 hours', '/pricing'),
	('Max Gain',      1, '80 hours',   '/'),        ('Rude Rob',     1, '400 hours',  '/pricing'), ('Sana Idris', 1, '2400 hours', '/'),
	('Yuki Mori',     3, '20 hours',   '/pricing'), ('green-leaf-3', 3, '20 hours',   '/'))
	v(contact, inbox, age, page) JOIN contacts c ON c.name = v.contact;
-- messages of the contact, and answers
INSERT INTO messages (account_id, inbox_id, conversation_id, content, message_type, created_at, updated_at, sender_type, sender_id)
SELECT v.account_id, v.inbox_id, v.id, 'message', type, v.created_at + i * interval '20 minutes', now(),
	CASE type WHEN 0 THEN 'Contact' ELSE 'User' END, CASE type WHEN 0 THEN v.contact_id ELSE 1 END
FROM conversations v JOIN contacts c ON c.id = v.contact_id
JOIN (VALUES ('Lena Vogt', 4), ('Arjun Mehta', 2), ('Pia Lund', 3), ('Tom Okafor', 1), ('Iris Novy', 2), ('quiet-river-7', 3),
			 ('Max Gain', 5), ('Rude Rob', 6), ('Sana Idris', 1), ('Yuki Mori', 3), ('green-leaf-3', 1)) n(contact, messages) ON n.contact = c.name,
	 LATERAL generate_series(1, n.messages) i, LATERAL (VALUES (0), (1)) t(type);
INSERT INTO csat_survey_responses (account_id, conversation_id, contact_id, rating, created_at)
SELECT v.account_id, v.id, v.contact_id, rating, v.created_at + interval '3 hours'
FROM (VALUES ('Arjun Mehta', 5), ('Iris Novy', 4), ('Pia Lund', 2)) s(contact, rating) JOIN contacts c ON c.name = s.contact
JOIN conversations v ON v.contact_id = c.id;
INSERT INTO taggings (tag_id, taggable_type, taggable_id, context, created_at)
SELECT t.id, 'Contact', c.id, 'labels', now() FROM contacts c JOIN tags t ON t.name = CASE c.name WHEN 'Max Gain' THEN 'spam' WHEN 'Arjun Mehta' THEN 'opportunity' END;
INSERT INTO taggings (tag_id, taggable_type, taggable_id, context, created_at)
SELECT t.id, 'Conversation', v.id, 'labels', now() FROM conversations v, tags t WHERE t.name = 'spam' AND v.id = 1;
RESET TimeZone;
\endif
RESET ROLE;
