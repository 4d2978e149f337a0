-- Makes up a CRM and scores it.
--
--     psql -f demo/generated.sql
--
-- into a database that has no schema "crm" yet: 900 companies, 4000 leads, and
-- for most of them whether they were won.  All of it is drawn by hashes of the
-- lead's number, so every machine gets the same CRM.  Whether a lead is won
-- depends on what it is and does, and on chance; the matrix does not know the
-- formula (see "outcome").

\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;

CREATE EXTENSION IF NOT EXISTS leadscore;
CREATE SCHEMA crm;

-- ---- chance ---------------------------------------------------------------

-- A number from 0 to 1 (1 excluded) that depends on nothing but the text.
CREATE FUNCTION crm.chance(seed text) RETURNS double precision
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN ('x' || left(md5(seed), 8))::bit(32)::bigint / 4294967296.0::float8;

-- One of several words; what stands in the list twice comes twice as often.
CREATE FUNCTION crm.pick(seed text, words text[]) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
	RETURN nullif(words[1 + floor(crm.chance(seed) * cardinality(words))::int], '-');

-- ---- industries and companies ---------------------------------------------

CREATE TABLE crm.industry (
	id		int PRIMARY KEY,
	name	text NOT NULL UNIQUE
);
INSERT INTO crm.industry VALUES
	(1, 'energy'), (2, 'mining'), (3, 'manufacturing'), (4, 'logistics'), (5, 'healthcare'),
	(6, 'finance'), (7, 'retail'), (8, 'media'), (9, 'education'), (10, 'public sector');

CREATE TABLE crm.company (
	id			int PRIMARY KEY,
	name		text NOT NULL UNIQUE,
	domain		text NOT NULL UNIQUE,
	industry_id	int NOT NULL REFERENCES crm.industry,
	country		text NOT NULL,
	employees	int,
	competitor	boolean NOT NULL DEFAULT false
);

WITH trade (industry_id, words) AS (VALUES
	(1, '{Power,Grid,Solar,Turbines}'::text[]),
	(2, '{Minerals,Quarries,Copper,Aggregates}'),
	(3, '{Castings,Valves,Tools,Packaging,Pumps,Plastics}'),
	(4, '{Freight,Lines,Warehousing,Couriers}'),
	(5, '{Clinics,Diagnostics,Pharma,Care}'),
	(6, '{Bank,Insurance,Leasing,Trust}'),
	(7, '{Stores,Markets,Outfitters,Foods}'),
	(8, '{Press,Studios,Broadcast,Games}'),
	(9, '{Academy,College,Training}'),
	(10, '{Waterworks,Transit,Housing}')
), first (word) AS (
	SELECT unnest('{Alder,Amberly,Arkona,Bellmar,Birchfield,Bluestone,Brightwell,Calderon,Carrow,
		Corvin,Dalmore,Eastgate,Elmhurst,Fairholm,Falkner,Fernbank,Greyling,Halden,Harrow,
		Hartwick,Highmoor,Ironbridge,Juniper,Kestrel,Kingsley,Larkspur,Lindholm,Longford,
		Marlow,Meridia,Millbrook,Norwell,Oakhurst,Orlando,Penrose,Quillon,Ravensby,Redwater,
		Rosemont,Saltmarsh,Silverlake,Stonefield,Tarnow,Thornbury,Valmont,Westbrook,
		Whitfield,Winterton,Yarrow,Zelden}'::text[])
), named AS (
	SELECT row_number() OVER (ORDER BY md5(first.word || second.word) COLLATE "C")::int AS id,
		   first.word AS one, second.word AS two, industry_id
	FROM first, trade, unnest(trade.words) AS second (word)
), placed AS (
	SELECT *, crm.pick(id || ' country', '{Germany,Germany,Germany,Poland,Poland,France,Netherlands,
		Sweden,United Kingdom,United Kingdom,United States,United States,Brazil,India}') AS country
	FROM named
	WHERE id <= 900
)
INSERT INTO crm.company
SELECT id,
	   one || ' ' || two || ' ' || CASE country
			WHEN 'Germany' THEN 'GmbH' WHEN 'Poland' THEN 'S.A.' WHEN 'France' THEN 'SA'
			WHEN 'Netherlands' THEN 'B.V.' WHEN 'Sweden' THEN 'AB' WHEN 'United States' THEN 'Inc.'
			WHEN 'Brazil' THEN 'Ltda.' ELSE 'Ltd' END,
	   lower(one || '-' || two) || '.example',
	   industry_id, country,
	   -- many small companies, few giants; some never told
	   CASE WHEN crm.chance(id || ' size known') < 0.93
			THEN round(3 * power(4000, power(crm.chance(id || ' employees'), 1.15)))::int END,
	   crm.chance(id || ' competitor') < 0.02
FROM placed;

-- ---- leads ----------------------------------------------------------------

CREATE TABLE crm.lead (
	id				int PRIMARY KEY,
	company_id		int NOT NULL REFERENCES crm.company,
	first_name		text NOT NULL,
	last_name		text NOT NULL,
	email			text UNIQUE,
	job_title		text,
	channel			text,
	knowledge		text,				-- expert, specialist, junior
	motivation		text,				-- fear of mistakes, peace at work, personal growth
	decision_path	text,				-- alone, short, long
	budget			int,
	webinar			text NOT NULL,		-- not registered, registered, attended
	asked_question	boolean NOT NULL,
	took_ebook		boolean NOT NULL,
	visits			int NOT NULL,
	pricing_views	int NOT NULL,
	support_views	int NOT NULL,
	consent			boolean NOT NULL,
	created_at		timestamptz NOT NULL,
	won				boolean				-- NULL: still open
);

WITH person AS (
	SELECT row_number() OVER (ORDER BY md5(f || l) COLLATE "C")::int AS id, f, l
	FROM unnest('{Ada,Agnes,Alice,Anders,Anna,Anton,Beata,Bruno,Camille,Carl,Carmen,Clara,Daniel,
			Diego,Dora,Edith,Elias,Elena,Emil,Erik,Esther,Eva,Felix,Fiona,Frank,Gita,Greta,Hanna,
			Hugo,Ida,Ines,Ivan,Jakob,James,Jana,Joan,Jonas,Julia,Karin,Kofi,Lars,Laura,Leo,Lena,
			Lucas,Maria,Marta,Max,Mila,Nadia,Nina,Noah,Olga,Oscar,Paula,Peter,Priya,Ravi,Rosa,
			Ruth,Sara,Simon,Sofia,Tomas,Vera,Viktor,Wanda,Yara}'::text[]) AS f,
		 unnest('{Abel,Adler,Andrade,Arnold,Baker,Bauer,Becker,Berg,Bianchi,Blom,Bosch,Brandt,
			Carter,Castro,Clarke,Cole,Costa,Dahl,Desai,Dubois,Ekman,Ferrer,Fischer,Fontaine,Frost,
			Garcia,Gupta,Haas,Hansen,Hayes,Hill,Holm,Horvat,Hughes,Iyer,Janssen,Kaminski,Keller,
			Klein,Kowal,Krause,Lambert,Lang,Lindgren,Lopez,Marsh,Martin,Mendes,Meyer,Moreau,
			Murphy,Nair,Nowak,Olsen,Palmer,Pereira,Petrov,Rao,Reed,Ricci,Roth,Santos,Sato,Schmidt,
			Silva,Stein,Urban,Vogel,Walsh,Weber,Wolf,Zielinski}'::text[]) AS l
), drawn AS (
	SELECT id, f, l,
		   1 + floor(900 * crm.chance(id || ' company'))::int AS company_id,
		   crm.pick(id || ' level', '{chief,director,director,manager,manager,manager,manager,
				specialist,specialist,specialist,specialist,junior,student,-}') AS level,
		   crm.pick(id || ' department', '{Operations,Operations,IT,IT,Quality,Finance,
				Procurement,Marketing}') AS department,
		   crm.chance(id || ' webinar') AS w,
		   crm.chance(id || ' interest') AS interest
	FROM person
	WHERE id <= 4000
)
INSERT INTO crm.lead
SELECT d.id, d.company_id, f, l,
	   CASE WHEN crm.chance(d.id || ' mail') < 0.05 THEN NULL
			WHEN crm.chance(d.id || ' mail') < 0.13 OR level = 'student'
			THEN lower(f || '.' || l) || '@freemail.example'
			ELSE lower(f || '.' || l) || '@' || c.domain END,
	   CASE level
			WHEN 'chief' THEN CASE department WHEN 'IT' THEN 'CIO' WHEN 'Finance' THEN 'CFO' ELSE 'CEO' END
			WHEN 'director' THEN 'Director of ' || department
			WHEN 'manager' THEN crm.pick(d.id || ' title', ARRAY[department || ' Manager', 'Head of ' || department])
			WHEN 'specialist' THEN department || ' Specialist'
			WHEN 'junior' THEN 'Junior ' || department || ' Specialist'
			WHEN 'student' THEN 'Student'
	   END,
	   crm.pick(d.id || ' channel', '{organic search,organic search,paid search,paid search,referral,
			social media,social media,trade fair,cold call,cold call}'),
	   CASE level WHEN 'student' THEN 'junior' WHEN 'junior' THEN 'junior'
			ELSE crm.pick(d.id || ' knowledge', '{expert,specialist,specialist,junior,-}') END,
	   crm.pick(d.id || ' motivation', '{fear of mistakes,peace at work,personal growth,-}'),
	   CASE level WHEN 'chief' THEN 'alone'
			WHEN 'director' THEN crm.pick(d.id || ' path', '{alone,short,short,long}')
			WHEN 'student' THEN NULL
			ELSE crm.pick(d.id || ' path', '{alone,short,short,long,long,long,-}') END,
	   CASE WHEN crm.chance(d.id || ' budget told') < 0.4
			THEN 1000 * round(2 + 60 * power(crm.chance(d.id || ' budget'), 2))::int END,
	   CASE WHEN w < 0.50 THEN 'not registered' WHEN w < 0.72 THEN 'registered' ELSE 'attended' END,
	   w >= 0.72 AND crm.chance(d.id || ' question') < 0.35,
	   w >= 0.72 AND crm.chance(d.id || ' e-book') < 0.40,
	   floor(14 * power(interest, 2))::int,
	   floor(6 * power(interest, 2) * crm.chance(d.id || ' pricing'))::int,
	   floor(4 * power(interest, 3) * crm.chance(d.id || ' support'))::int,
	   crm.chance(d.id || ' consent') < 0.9,
	   timestamptz '2025-01-01 08:00+00' + (d.id - 1) * interval '110 minutes',
	   NULL
FROM drawn d JOIN crm.company c ON c.id = d.company_id;

-- What the conditions read: the lead with the facts of its company.
CREATE VIEW crm.lead_facts AS
SELECT l.id, l.first_name, l.last_name, l.email, l.job_title, l.channel, l.knowledge,
	   l.motivation, l.decision_path, l.budget, l.webinar, l.asked_question, l.took_ebook,
	   l.visits, l.pricing_views, l.support_views, l.consent, l.created_at, l.won,
	   c.name AS company, c.country, c.employees, c.competitor, i.name AS industry
FROM crm.lead l
	 JOIN crm.company c ON c.id = l.company_id
	 JOIN crm.industry i ON i.id = c.industry_id;

-- ---- outcome --------------------------------------------------------------

-- The truth of this little world: log-odds of winning.  The sum of four draws
-- stands for all that no CRM knows.  The last 400 leads are still open.
UPDATE crm.lead l
SET won = crm.chance(l.id || ' won') < 1 / (1 + exp(-(t.log_odds)))
FROM (SELECT id, -3.5
	+ CASE WHEN employees BETWEEN 50 AND 999 THEN 0.8 WHEN employees >= 1000 THEN 0.3
		   WHEN employees < 10 THEN -1.2 ELSE 0 END
	+ CASE industry WHEN 'energy' THEN 0.8 WHEN 'mining' THEN 0.8 WHEN 'manufacturing' THEN 0.5
		   WHEN 'public sector' THEN -0.6 WHEN 'education' THEN -0.6 ELSE 0 END
	+ CASE knowledge WHEN 'expert' THEN 1.1 WHEN 'specialist' THEN 0.4 WHEN 'junior' THEN -0.8 ELSE 0 END
	+ CASE motivation WHEN 'fear of mistakes' THEN 0.3 ELSE 0 END
	+ CASE decision_path WHEN 'alone' THEN 0.9 WHEN 'short' THEN 0.4 WHEN 'long' THEN -0.3 ELSE 0 END
	+ CASE WHEN job_title ~ '^(Head|.* Manager)' THEN 0.6 WHEN job_title ~ '^(Director|C.O)' THEN 0.3 ELSE 0 END
	+ CASE webinar WHEN 'attended' THEN 1.0 WHEN 'registered' THEN -0.3 ELSE 0 END
	+ 0.5 * asked_question::int + 0.6 * took_ebook::int
	+ 0.3 * least(pricing_views, 3) + 0.2 * least(support_views, 2)
	+ CASE WHEN budget >= 20000 THEN 0.9 ELSE 0 END
	+ CASE channel WHEN 'referral' THEN 0.7 WHEN 'cold call' THEN -0.5 ELSE 0 END
	- CASE WHEN competitor OR job_title = 'Student' THEN 5 ELSE 0 END
	+ 1.5 * (crm.chance(id || ' a') + crm.chance(id || ' b')
			 + crm.chance(id || ' c') + crm.chance(id || ' d') - 2) AS log_odds
	FROM crm.lead_facts) t
WHERE t.id = l.id AND l.id <= 3600;
ANALYZE;

-- ---- the matrix -----------------------------------------------------------

INSERT INTO leadscore.model (name, target, source, channel, created_at, consent, description) VALUES
	('b2b', 'crm.lead', 'crm.lead_facts', 'channel', 'created_at', 'consent',
	 'Who should sales call first?');

INSERT INTO leadscore.factor (model, name, axis, combine, points_floor, points_cap, description) VALUES
	('b2b', 'company size',		'fit',			'best',	NULL, NULL,	'Employees of the company'),
	('b2b', 'industry',			'fit',			'best',	NULL, NULL,	'Trade of the company'),
	('b2b', 'knowledge level',	'fit',			'best',	NULL, NULL,	'What the person knows of the field'),
	('b2b', 'motivation',		'fit',			'best',	NULL, NULL,	'Why the person would buy'),
	('b2b', 'decision power',	'fit',			'best',	NULL, NULL,	'Who has to say yes'),
	('b2b', 'position',			'fit',			'best',	NULL, NULL,	'Job title'),
	('b2b', 'budget',			'fit',			'best',	NULL, NULL,	'Money set aside'),
	('b2b', 'contact',			'fit',			'sum',	 -15, NULL,	'How the lead came and can be reached'),
	('b2b', 'unwanted',			'fit',			'sum',	NULL, NULL,	'Not every lead is welcome'),
	('b2b', 'webinar',			'engagement',	'best',	NULL, NULL,	'Did they come, and stay?'),
	('b2b', 'website',			'engagement',	'sum',	NULL,   20,	'Pages read; at most 20 points');

INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies, note) VALUES
	('b2b', 'company size',		'large',			'acceptable',	$$employees >= 1000$$,				  0, false, 'long tenders'),
	('b2b', 'company size',		'upper medium',		'key',			$$employees BETWEEN 250 AND 999$$,	  5, false, NULL),
	('b2b', 'company size',		'medium',			'key',			$$employees BETWEEN 50 AND 249$$,	  5, false, NULL),
	('b2b', 'company size',		'small',			'negative',		$$employees BETWEEN 10 AND 49$$,	 -5, false, NULL),
	('b2b', 'company size',		'tiny',				'negative',		$$employees < 10$$,					-15, false, 'costs more to serve than it pays'),

	('b2b', 'industry',			'heavy industry',	'key',			$$industry IN ('energy', 'mining')$$,			 10, false, NULL),
	('b2b', 'industry',			'manufacturing',	'key',			$$industry = 'manufacturing'$$,					  5, false, NULL),
	('b2b', 'industry',			'public purse',		'negative',		$$industry IN ('education', 'public sector')$$,	-10, false, 'buys by tender only'),

	('b2b', 'knowledge level',	'expert',			'key',			$$knowledge = 'expert'$$,			 30, false, NULL),
	('b2b', 'knowledge level',	'specialist',		'acceptable',	$$knowledge = 'specialist'$$,		 10, false, NULL),
	('b2b', 'knowledge level',	'junior specialist','negative',		$$knowledge = 'junior'$$,			-20, false, NULL),

	('b2b', 'motivation',		'fear of mistakes',	'key',			$$motivation = 'fear of mistakes'$$,  5, false, NULL),
	('b2b', 'motivation',		'peace at work',	'acceptable',	$$motivation = 'peace at work'$$,	  2, false, NULL),
	('b2b', 'motivation',		'personal growth',	'acceptable',	$$motivation = 'personal growth'$$,	  2, false, NULL),

	('b2b', 'decision power',	'decides alone',	'key',			$$decision_path = 'alone'$$,		 20, false, NULL),
	('b2b', 'decision power',	'short path',		'acceptable',	$$decision_path = 'short'$$,		 10, false, NULL),
	('b2b', 'decision power',	'long path',		'acceptable',	$$decision_path = 'long'$$,			 -5, false, NULL),

	('b2b', 'position',			'director',			'acceptable',	$$job_title LIKE 'Director %' OR job_title ~ '^C[A-Z]O$'$$,		  5, false, NULL),
	('b2b', 'position',			'manager',			'key',			$$job_title ILIKE '% manager' OR job_title ILIKE 'head of %'$$,	 15, false, 'has the problem on the desk'),
	('b2b', 'position',			'specialist',		'negative',		$$job_title ILIKE '%specialist'$$,								-10, false, NULL),

	('b2b', 'budget',			'enough',			'key',			$$budget >= 20000$$,				 15, false, NULL),
	('b2b', 'budget',			'a beginning',		'acceptable',	$$budget BETWEEN 5000 AND 19999$$,	  5, false, NULL),

	('b2b', 'contact',			'recommended',		'key',			$$channel = 'referral'$$,			 10, false, NULL),
	('b2b', 'contact',			'cold call',		'negative',		$$channel = 'cold call'$$,			-10, false, 'did not ask for us'),
	('b2b', 'contact',			'no e-mail',		'negative',		$$email IS NULL$$,					 -5, false, NULL),
	('b2b', 'contact',			'private address',	'negative',		$$email LIKE '%@freemail.example'$$, -10, false, NULL),

	('b2b', 'unwanted',			'competitor',		'negative',		$$competitor$$,						  0, true,  'gets no offer'),
	('b2b', 'unwanted',			'student',			'negative',		$$lower(job_title) = 'student'$$,	-20, true,  'writes a thesis'),

	('b2b', 'webinar',			'not registered',	'negative',		$$webinar = 'not registered'$$,		-30, false, NULL),
	('b2b', 'webinar',			'registered, absent','negative',	$$webinar = 'registered'$$,			-20, false, NULL),
	('b2b', 'webinar',			'attended',			'acceptable',	$$webinar = 'attended'$$,			 10, false, NULL),
	('b2b', 'webinar',			'attended + question','key',		$$webinar = 'attended' AND asked_question$$,	 20, false, NULL),
	('b2b', 'webinar',			'attended + e-book','key',			$$webinar = 'attended' AND took_ebook$$,		 20, false, NULL),
	('b2b', 'webinar',			'attended + question + e-book','key', $$webinar = 'attended' AND asked_question AND took_ebook$$, 35, false, NULL),

	('b2b', 'website',			'came back',		'acceptable',	$$visits >= 3$$,					  2, false, 'general pages count little'),
	('b2b', 'website',			'regular',			'acceptable',	$$visits >= 8$$,					  3, false, NULL),
	('b2b', 'website',			'read the prices',	'key',			$$pricing_views >= 1$$,				 10, false, 'a decision is near'),
	('b2b', 'website',			'again the prices',	'key',			$$pricing_views >= 3$$,				  5, false, NULL),
	('b2b', 'website',			'technical pages',	'key',			$$support_views >= 1$$,				  5, false, NULL),
	('b2b', 'website',			'mostly prices',	'key',			$$visits > 0 AND 2 * (pricing_views + support_views) >= visits$$, 5, false, 'came for that, not for the blog');

-- ---- the report -----------------------------------------------------------

\set title 'A made-up CRM'
\set model b2b
\set source crm.lead_facts
\set key id
\set label 'concat_ws('', '', first_name || '' '' || last_name, job_title, company)'
\set outcome won
\set listed 'won IS NULL AND consent'
\set listed_words 'open leads that consent to be contacted'
\set judged 'won IS NOT NULL'
\set judged_words 'closed leads'
\set won_word won
\ir report.sql
