-- The part of a Twenty database that docs/how-to/twenty.md reads: two workspaces, a
-- schema each, with a few invented records, owned by the role that the application
-- connects as.
CREATE ROLE twenty LOGIN;
SELECT format('ALTER DATABASE %I OWNER TO twenty', current_database()) \gexec
SET ROLE twenty;

-- the first workspace is all of the shape, the second is ours
\if :{?shape}
\i :shape
CREATE SCHEMA workspace_7d0xq2m8vbn4kz6w1rtyc5hje;
\else
CREATE SCHEMA workspace_3ixj3i1a5avy16ptijtb3lae3;
CREATE SCHEMA workspace_7d0xq2m8vbn4kz6w1rtyc5hje;
\endif
DO $make$
DECLARE
	workspace text;
BEGIN
	FOREACH workspace IN ARRAY '{workspace_3ixj3i1a5avy16ptijtb3lae3,workspace_7d0xq2m8vbn4kz6w1rtyc5hje}'::text[] LOOP
		CONTINUE WHEN to_regclass(workspace || '.person') IS NOT NULL;
		EXECUTE format('SET LOCAL search_path = %I, pg_catalog', workspace);
		EXECUTE $ddl$
			CREATE TYPE "person_createdBySource_enum" AS ENUM ('EMAIL', 'CALENDAR', 'WORKFLOW', 'API', 'IMPORT', 'MANUAL', 'SYSTEM', 'WEBHOOK');
			CREATE TYPE opportunity_stage_enum AS ENUM ('NEW', 'SCREENING', 'MEETING', 'PROPOSAL', 'CUSTOMER');
			CREATE TYPE "_lead_status_enum" AS ENUM ('NEW', 'CONTACTED', 'MQL', 'SAL', 'SQL', 'DISQUALIFIED');
			CREATE TYPE "_lead_interests_enum" AS ENUM ('PLATFORM', 'ADD_ON', 'SERVICES');

			CREATE TABLE company (
				id						uuid PRIMARY KEY DEFAULT gen_random_uuid(),
				"createdAt"				timestamptz NOT NULL DEFAULT now(),
				"updatedAt"				timestamptz NOT NULL DEFAULT now(),
				"deletedAt"				timestamptz,
				name					text DEFAULT '',
				"domainNamePrimaryLinkUrl" text,
				employees				double precision,
				"annualRecurringRevenueAmountMicros" numeric,
				"annualRecurringRevenueCurrencyCode" text,
				"addressAddressCountry"	text,
				"idealCustomerProfile"	boolean NOT NULL DEFAULT false,
				"searchVector"			tsvector GENERATED ALWAYS AS (to_tsvector('simple', coalesce(name, ''))) STORED
			);

			CREATE TABLE person (
				id						uuid PRIMARY KEY DEFAULT gen_random_uuid(),
				"createdAt"				timestamptz NOT NULL DEFAULT now(),
				"updatedAt"				timestamptz NOT NULL DEFAULT now(),
				"deletedAt"				timestamptz,
				"nameFirstName"			text DEFAULT '',
				"nameLastName"			text DEFAULT '',
				"emailsPrimaryEmail"	text DEFAULT '',
				"emailsAdditionalEmails" jsonb,
				"jobTitle"				text DEFAULT '',
				"phonesPrimaryPhoneNumber" text,
				city					text DEFAULT '',
				position				double precision NOT NULL DEFAULT 0,
				"createdBySource"		"person_createdBySource_enum" NOT NULL DEFAULT 'MANUAL',
				"createdByName"			text NOT NULL DEFAULT 'System',
				"companyId"				uuid REFERENCES company ON DELETE SET NULL,
				"searchVector"			tsvector GENERATED ALWAYS AS (to_tsvector('simple',
					coalesce("nameFirstName", '') || ' ' || coalesce("nameLastName", ''))) STORED
			);

			CREATE TABLE opportunity (
				id						uuid PRIMARY KEY DEFAULT gen_random_uuid(),
				"createdAt"				timestamptz NOT NULL DEFAULT now(),
				"updatedAt"				timestamptz NOT NULL DEFAULT now(),
				"deletedAt"				timestamptz,
				name					text DEFAULT '',
				"amountAmountMicros"	numeric,
				"amountCurrencyCode"	text,
				"closeDate"				timestamptz,
				stage					opportunity_stage_enum NOT NULL DEFAULT 'NEW',
				"pointOfContactId"		uuid REFERENCES person ON DELETE SET NULL,
				"companyId"				uuid REFERENCES company ON DELETE SET NULL
			);

			CREATE TABLE "_lead" (
				id						uuid PRIMARY KEY DEFAULT gen_random_uuid(),
				"createdAt"				timestamptz NOT NULL DEFAULT now(),
				"updatedAt"				timestamptz NOT NULL DEFAULT now(),
				"deletedAt"				timestamptz,
				name					text DEFAULT 'Untitled',
				status					"_lead_status_enum" DEFAULT 'NEW',
				interests				"_lead_interests_enum"[],
				"leadSource"			text,
				"personId"				uuid REFERENCES person ON DELETE SET NULL,
				"budgetAmountMicros"	numeric,
				"budgetCurrencyCode"	text
			);

			CREATE TABLE "timelineActivity" (
				id						uuid PRIMARY KEY DEFAULT gen_random_uuid(),
				"createdAt"				timestamptz NOT NULL DEFAULT now(),
				"updatedAt"				timestamptz NOT NULL DEFAULT now(),
				"deletedAt"				timestamptz,
				"happensAt"				timestamptz NOT NULL DEFAULT now(),
				name					text DEFAULT '',
				properties				jsonb,
				"linkedRecordCachedName" text DEFAULT '',
				"targetPersonId"		uuid REFERENCES person ON DELETE SET NULL,
				"targetCompanyId"		uuid REFERENCES company ON DELETE SET NULL,
				"targetOpportunityId"	uuid REFERENCES opportunity ON DELETE SET NULL
			);
		$ddl$;
	END LOOP;
END
$make$;

\if :{?shape}
\else
SET search_path = workspace_3ixj3i1a5avy16ptijtb3lae3, pg_catalog;
INSERT INTO company (id, name, employees, "addressAddressCountry", "idealCustomerProfile", "deletedAt") VALUES
	(md5('Nordwerk')::uuid,     'Nordwerk',     420,  'Germany',     true,  NULL),
	(md5('Baltic Foods')::uuid, 'Baltic Foods', 85,   'Poland',      true,  NULL),
	(md5('Delta Grid')::uuid,   'Delta Grid',   900,  'Netherlands', false, NULL),
	(md5('Hexa Studio')::uuid,  'Hexa Studio',  6,    'France',      false, NULL),
	(md5('Old Mill')::uuid,     'Old Mill',     300,  'Poland',      true,  now() - interval '4 days');
INSERT INTO person (id, "nameFirstName", "nameLastName", "jobTitle", "emailsPrimaryEmail", "phonesPrimaryPhoneNumber", "companyId", "createdBySource", "createdAt", "deletedAt")
SELECT md5(first || ' ' || last)::uuid, first, last, title, email, phone, md5(company)::uuid, source::"person_createdBySource_enum",
	now() - age::interval, now() - deleted::interval
FROM (VALUES
	('Ines',  'Albrecht',  'CTO',                'ines@nordwerk.example',     '',        'Nordwerk',     'MANUAL',   '40 days',  NULL),
	('Rosa',  'Diaz',      'Head of IT',         'rosa@nordwerk.example',     '',        'Nordwerk',     'CALENDAR', '6 days',   NULL),
	('Sofia', 'Lind',      'IT Director',        'sofia@nordwerk.example',    '3010203', 'Nordwerk',     'MANUAL',   '200 days', NULL),
	('Marek', 'Zielinski', 'Head of Operations', 'marek@balticfoods.example', '',        'Baltic Foods', 'EMAIL',    '35 days',  NULL),
	('Anna',  'Kowalska',  'Purchasing',         'anna@balticfoods.example',  '',        'Baltic Foods', 'IMPORT',   '120 days', NULL),
	('Laura', 'Rossi',     'VP Operations',      'laura@deltagrid.example',   '2015550', 'Delta Grid',   'CALENDAR', '80 days',  NULL),
	('Piet',  'de Vries',  'Engineer',           'piet@deltagrid.example',    NULL,      'Delta Grid',   'IMPORT',   '60 days',  NULL),
	('Chloe', 'Martin',    'Founder',            'chloe@hexa.example',        '',        'Hexa Studio',  'API',      '9 days',   NULL),
	('Tomas', 'Novak',     'CEO',                '',                          '5550199', 'Old Mill',     'MANUAL',   '50 days',  NULL),
	('Jonas', 'Beck',      'Student',            'jonas@uni.example',         '',        NULL,           'API',      '4 days',   NULL),
	('Emil',  'Vogel',     '',                   'emil@post.example',         '',        NULL,           'EMAIL',    '90 days',  NULL),
	('',      'Reception', '',                   '',                          '',        'Delta Grid',   'MANUAL',   '30 days',  NULL),
	('Greta', 'Holm',      'CFO',                'greta@nordwerk.example',    '',        'Nordwerk',     'MANUAL',   '70 days',  '2 days'))
	p(first, last, title, email, phone, company, source, age, deleted);
INSERT INTO opportunity (id, name, stage, "pointOfContactId", "companyId", "createdAt")
SELECT md5(name)::uuid, name, stage::opportunity_stage_enum, md5(person)::uuid, md5(company)::uuid, now() - age::interval
FROM (VALUES
	('Grid monitoring',  'PROPOSAL',  'Laura Rossi', 'Delta Grid', '60 days'),
	('Pilot plant',      'NEW',       'Laura Rossi', 'Delta Grid', '5 days'),
	('Works council',    'CUSTOMER',  'Sofia Lind',  'Nordwerk',   '150 days'))
	o(name, stage, person, company, age);
INSERT INTO "_lead" (id, name, interests, "leadSource", "personId", "budgetAmountMicros", "budgetCurrencyCode")
SELECT md5('lead of ' || person)::uuid, name, interests::"_lead_interests_enum"[], source, md5(person)::uuid, budget * 1000000::numeric, 'EUR'
FROM (VALUES
	('Plant control',   '{PLATFORM,SERVICES}', 'website',  'Ines Albrecht',   60000),
	('Cold chain',      '{PLATFORM}',          'referral', 'Marek Zielinski', NULL),
	('Thesis',          NULL,                  'website',  'Jonas Beck',      NULL),
	('Studio licences', '{ADD_ON}',            'event',    'Chloe Martin',    3000))
	l(name, interests, source, person, budget);
INSERT INTO "timelineActivity" (name, "targetPersonId", "happensAt")
SELECT name, md5(person)::uuid, now() + day * interval '24 hours'
FROM (VALUES
	('calendarEvent.linked', 'Ines Albrecht',   -3), ('message.linked', 'Ines Albrecht',   -2), ('message.linked', 'Ines Albrecht', -5),
	('person.updated',       'Ines Albrecht',   -1),
	('calendarEvent.linked', 'Rosa Diaz',        2), ('message.linked', 'Rosa Diaz',       -4),
	('calendarEvent.linked', 'Sofia Lind',    -160), ('message.linked', 'Sofia Lind',      -9),
	('message.linked',       'Marek Zielinski', -1),
	('message.linked',       'Anna Kowalska',  -95),
	('calendarEvent.linked', 'Laura Rossi',    -20), ('message.linked', 'Laura Rossi',    -10),
	('message.linked',       'Chloe Martin',    -1), ('message.linked', 'Chloe Martin',    -6),
	('message.linked',       'Tomas Novak',    -30),
	('message.linked',       'Jonas Beck',      -2),
	('message.linked',       'Emil Vogel',     -88), ('person.updated', 'Emil Vogel',      -1),
	('calendarEvent.linked', 'Greta Holm',     -10),
	('person.created',       'Piet de Vries',  -60)) a(name, person, day);
\endif

SET search_path = workspace_7d0xq2m8vbn4kz6w1rtyc5hje, pg_catalog;
INSERT INTO company (id, name, employees, "idealCustomerProfile") VALUES
	(md5('Harbour Labs')::uuid, 'Harbour Labs', 240, true),
	(md5('Tiny Tea')::uuid,     'Tiny Tea',     4,   false);
INSERT INTO person (id, "nameFirstName", "nameLastName", "jobTitle", "emailsPrimaryEmail", "companyId", "createdBySource") VALUES
	(md5('Noor')::uuid, 'Noor', 'Haddad', 'Head of Research', 'noor@harbour.example', md5('Harbour Labs')::uuid, 'MANUAL'),
	(md5('Olle')::uuid, 'Olle', 'Berg',   'Assistant',        'olle@harbour.example', md5('Harbour Labs')::uuid, 'IMPORT'),
	(md5('Mina')::uuid, 'Mina', 'Sato',   'Owner',            'mina@tinytea.example', md5('Tiny Tea')::uuid,     'API');
INSERT INTO "timelineActivity" (name, "targetPersonId", "happensAt") VALUES
	('message.linked', md5('Noor')::uuid, now() - interval '1 day'),
	('message.linked', md5('Mina')::uuid, now() - interval '1 day');
RESET ROLE;
RESET search_path;
