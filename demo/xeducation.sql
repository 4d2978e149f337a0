-- Scores the real leads of an on-line education company.
--
--     psql -f demo/xeducation.sql < xeducation_train.csv
--
-- into a database that has no schema "xeducation" yet: makes it, loads the file
-- from standard input, writes the matrix and prints the report.

\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;

CREATE EXTENSION IF NOT EXISTS leadscore;
CREATE SCHEMA xeducation;

-- ---- the leads ------------------------------------------------------------

-- The file as it is.  HEADER MATCH: another order of columns is an error, not
-- a matrix that reads the wrong ones.
CREATE TEMP TABLE file (
	"Prospect ID" text, "Lead Number" text, "Lead Origin" text, "Lead Source" text,
	"Do Not Email" text, "Do Not Call" text, "Converted" text, "TotalVisits" text,
	"Total Time Spent on Website" text, "Page Views Per Visit" text,
	"Last Activity" text, "Country" text, "Specialization" text,
	"How did you hear about X Education" text, "What is your current occupation" text,
	"What matters most to you in choosing a course" text, "Search" text,
	"Magazine" text, "Newspaper Article" text, "X Education Forums" text,
	"Newspaper" text, "Digital Advertisement" text, "Through Recommendations" text,
	"Receive More Updates About Our Courses" text, "Tags" text, "Lead Quality" text,
	"Update me on Supply Chain Content" text, "Get updates on DM Content" text,
	"Lead Profile" text, "City" text, "Asymmetrique Activity Index" text,
	"Asymmetrique Profile Index" text, "Asymmetrique Activity Score" text,
	"Asymmetrique Profile Score" text, "I agree to pay the amount through cheque" text,
	"A free copy of Mastering The Interview" text, "Last Notable Activity" text
);
\copy file FROM pstdin WITH (FORMAT csv, HEADER match)

-- "Select" is what a form's list shows before anybody chose: no answer.
-- Columns that never vary are left out; so are those that sales filled in
-- later and that therefore know the end of the story (tags, quality, profile,
-- the "Asymmetrique" ratings, last activities).
CREATE TABLE xeducation.lead AS
SELECT
	"Prospect ID"													AS prospect_id,
	"Lead Number"::int												AS lead_number,
	"Lead Origin"													AS lead_origin,
	"Lead Source"													AS lead_source,
	"Do Not Email" = 'Yes'											AS do_not_email,
	"Do Not Call" = 'Yes'											AS do_not_call,
	"TotalVisits"::numeric::int										AS total_visits,
	"Total Time Spent on Website"::numeric::int						AS seconds_on_website,
	"Page Views Per Visit"::numeric									AS page_views_per_visit,
	nullif("Country", 'unknown')									AS country,
	nullif("Specialization", 'Select')								AS specialization,
	nullif("How did you hear about X Education", 'Select')			AS heard_from,
	nullif("What is your current occupation", 'Select')				AS occupation,
	nullif("What matters most to you in choosing a course", 'Select') AS what_matters,
	nullif("City", 'Select')										AS city,
	"Search" = 'Yes'												AS saw_search_ad,
	"Newspaper Article" = 'Yes'										AS saw_newspaper_article,
	"X Education Forums" = 'Yes'									AS saw_forum,
	"Newspaper" = 'Yes'												AS saw_newspaper_ad,
	"Digital Advertisement" = 'Yes'									AS saw_digital_ad,
	"Through Recommendations" = 'Yes'								AS was_recommended,
	"A free copy of Mastering The Interview" = 'Yes'				AS took_free_booklet,
	"Converted" = '1'												AS converted,
	NULL::text														AS part
FROM file;
ALTER TABLE xeducation.lead ADD PRIMARY KEY (prospect_id);

-- The points below were found on 70 % of the leads (train); the demo judges
-- them on the other 30 % (test), which had no say.  The same share of winners
-- in both; the order is that of a hash, so that anybody gets the same split.
UPDATE xeducation.lead l
SET part = CASE WHEN s.place <= floor(0.7 * s.leads) THEN 'train' ELSE 'test' END
FROM (SELECT prospect_id,
			 row_number() OVER (PARTITION BY converted
								ORDER BY md5(prospect_id) COLLATE "C") AS place,
			 count(*) OVER (PARTITION BY converted) AS leads
	  FROM xeducation.lead) s
WHERE s.prospect_id = l.prospect_id;
ANALYZE xeducation.lead;

-- ---- the matrix -----------------------------------------------------------

-- The points come from the log-odds of winning on the train part (a logistic
-- regression over these very conditions), at 20 points to double the odds and
-- rounded to fives.  A note tells how many train leads a rule matched and how
-- many of them enrolled; the points differ from what these shares suggest where
-- several rules tend to match the same leads.

INSERT INTO leadscore.model (name, target, channel, description) VALUES
	('xeducation', 'xeducation.lead', 'lead_source',
	 'Will the lead enrol?  20 points double the odds; a score of 0 is about one in two.');

INSERT INTO leadscore.factor (model, name, axis, combine, description) VALUES
	('xeducation', 'occupation',	'fit',			'best',	'Who would study'),
	('xeducation', 'source',		'fit',			'best',	'Where the lead came from'),
	('xeducation', 'form',			'fit',			'sum',	'The form by which the lead came in'),
	('xeducation', 'specialization','fit',			'best',	'The field the lead works in'),
	('xeducation', 'about',			'fit',			'sum',	'What else the lead told'),
	('xeducation', 'time on site',	'engagement',	'best',	'Seconds spent on the website'),
	('xeducation', 'visits',		'engagement',	'best',	'Number of visits'),
	('xeducation', 'behaviour',		'engagement',	'sum',	'What several figures say together');

INSERT INTO leadscore.rule (model, factor, parameter, significance, points, condition, note) VALUES
	('xeducation', 'occupation',      'working',                 'key',          70, $$occupation IN ('Working Professional', 'Businessman')$$,
		'train: 323 of 354 enrolled'),
	('xeducation', 'occupation',      'other',                   'acceptable',   20, $$occupation IN ('Housewife', 'Other')$$,
		'train: 13 of 17 enrolled'),
	('xeducation', 'occupation',      'between jobs',            'acceptable',    0, $$occupation = 'Unemployed'$$,
		'train: 1198 of 2753 enrolled; most leads, the base line'),
	('xeducation', 'occupation',      'student',                 'negative',    -10, $$occupation = 'Student'$$,
		'train: 36 of 105 enrolled'),
	('xeducation', 'occupation',      'not told',                'negative',    -50, $$occupation IS NULL$$,
		'train: 174 of 1297 enrolled'),

	('xeducation', 'source',          'partner site',            'key',          80, $$lead_source = 'Welingak Website'$$,
		'train: 68 of 69 enrolled'),
	('xeducation', 'source',          'reference',               'key',          40, $$lead_source = 'Reference'$$,
		'train: 250 of 272 enrolled'),
	('xeducation', 'source',          'search',                  'acceptable',    0, $$lower(lead_source) IN ('google', 'bing', 'organic search')$$,
		'train: 765 of 1965 enrolled'),
	('xeducation', 'source',          'direct',                  'acceptable',    0, $$lead_source = 'Direct Traffic'$$,
		'train: 408 of 1273 enrolled'),
	('xeducation', 'source',          'chat',                    'negative',    -20, $$lead_source IN ('Olark Chat', 'Live Chat')$$,
		'train: 224 of 847 enrolled'),
	('xeducation', 'source',          'referral site',           'negative',    -20, $$lead_source = 'Referral Sites'$$,
		'train: 13 of 53 enrolled'),
	('xeducation', 'source',          'social media',            'negative',    -65, $$lead_source = 'Facebook'$$,
		'train: 1 of 22 enrolled'),

	('xeducation', 'form', 'entered by hand', 'key', 40,
		$$lead_origin IN ('Lead Add Form', 'Quick Add Form') AND lead_source IS DISTINCT FROM 'Reference'
		AND lead_source IS DISTINCT FROM 'Welingak Website'$$,
		'train: 15 of 19 enrolled; someone talked to the lead'),
	('xeducation', 'form',            'landing page',            'negative',    -35, $$lead_origin = 'Landing Page Submission'$$,
		'train: 868 of 2409 enrolled'),
	('xeducation', 'form',            'landing page, no field',  'negative',    -45, $$lead_origin = 'Landing Page Submission' AND specialization IS NULL$$,
		'train: 2 of 58 enrolled; skipped the question of that page'),

	('xeducation', 'specialization',  'finance sector',          'key',          30, $$specialization = 'Banking, Investment And Insurance'$$,
		'train: 85 of 154 enrolled'),
	('xeducation', 'specialization', 'management', 'key', 15,
		$$specialization IN ('Business Administration', 'Finance Management', 'Healthcare Management',
		'Human Resource Management', 'Marketing Management', 'Operations Management',
		'Supply Chain Management')$$,
		'train: 953 of 2038 enrolled'),
	('xeducation', 'specialization', 'other field', 'acceptable', 10,
		$$specialization IN ('E-Business', 'E-COMMERCE', 'Hospitality Management',
		'International Business', 'IT Projects Management', 'Media and Advertising',
		'Retail Management', 'Rural and Agribusiness', 'Services Excellence', 'Travel and Tourism')$$,
		'train: 262 of 712 enrolled'),

	('xeducation', 'about',           'city told',               'acceptable',   20, $$city IS NOT NULL$$,
		'train: 1143 of 2741 enrolled'),
	('xeducation', 'about',           'knows a participant',     'acceptable',   15, $$heard_from = 'Student of SomeSchool'$$,
		'train: 88 of 160 enrolled'),
	('xeducation', 'about',           'no e-mail please',        'negative',    -30, $$do_not_email$$,
		'train: 62 of 358 enrolled'),

	('xeducation', 'time on site',    'from 700 s',              'key',          20, $$seconds_on_website >= 700$$,
		'train: 937 of 1346 enrolled'),
	('xeducation', 'time on site',    '600 to 699 s',            'acceptable',    0, $$seconds_on_website BETWEEN 600 AND 699$$,
		'train: 40 of 92 enrolled'),
	('xeducation', 'time on site',    '500 to 599 s',            'negative',    -20, $$seconds_on_website BETWEEN 500 AND 599$$,
		'train: 35 of 103 enrolled'),
	('xeducation', 'time on site',    '400 to 499 s',            'negative',    -40, $$seconds_on_website BETWEEN 400 AND 499$$,
		'train: 39 of 197 enrolled'),
	('xeducation', 'time on site',    'under 400 s',             'negative',    -55, $$seconds_on_website BETWEEN 1 AND 399$$,
		'train: 237 of 1720 enrolled'),
	('xeducation', 'time on site',    'never there',             'acceptable',    0, $$seconds_on_website = 0$$,
		'train: 456 of 1068 enrolled; came another way, which says nothing'),

	('xeducation', 'visits',          'eight or more',           'acceptable',    5, $$total_visits >= 8$$,
		'train: 202 of 421 enrolled'),
	('xeducation', 'visits',          'two',                     'negative',    -10, $$total_visits = 2$$,
		'train: 257 of 834 enrolled'),
	('xeducation', 'visits',          'one',                     'negative',    -25, $$total_visits = 1$$,
		'train: 27 of 209 enrolled'),

	('xeducation', 'behaviour',       'came back',               'acceptable',   10, $$total_visits >= 2 * page_views_per_visit AND total_visits > 0$$,
		'train: 469 of 1075 enrolled; several visits, not one long one'),
	('xeducation', 'behaviour',       'silent reader',           'acceptable',   20, $$occupation IS NULL AND seconds_on_website >= 700$$,
		'train: 112 of 254 enrolled; tells nothing, but reads');

-- Thresholds of this model's own, since the default 25 and 50 belong to another
-- scale.  At 20 points about seven of ten train leads enrol, and a quarter of the
-- leads have as many: those that sales can call at once.  At -30 it is three of ten.
INSERT INTO leadscore.threshold (model, kind, label, at_least) VALUES
	('xeducation', 'temperature', 'hot',	20),
	('xeducation', 'temperature', 'warm',	-30),
	('xeducation', 'temperature', 'cold',	'-Infinity');

-- ---- the report -----------------------------------------------------------

\set title 'X Education: real leads'
\set model xeducation
\set source xeducation.lead
\set key prospect_id
\set label 'concat_ws('', '', lead_source, occupation, specialization, city)'
\set outcome converted
\set listed 'part = ''test'''
\set listed_words 'leads of the test part'
\set judged 'part = ''test'''
\set judged_words 'leads of the test part, on which no points were found'
\set won_word enrolled
\ir report.sql
