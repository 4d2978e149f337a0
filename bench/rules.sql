-- bench/rules.sql: three sets of rules, each in four sizes.
--
-- bench.rule is the one list from which every contender is made: the rules of
-- leadscore (condition), the CASE (condition, value), the rules table of the
-- join and of the plpgsql loop (field, op, value ...).  A set of size N is the
-- rules with no <= N, so the small sets are the beginning of the large ones.

CREATE TABLE bench.rule (
	set			text,
	no			integer,
	factor		text NOT NULL,
	combine		text NOT NULL,		-- best: at most one rule of the factor can match
	condition	text NOT NULL,
	points		integer NOT NULL,
	-- the same condition as data: field op value, and perhaps one more
	field		text NOT NULL,
	op			text NOT NULL,		-- = in number time null like ilike; number and time: low <= x < high
	value		text,
	vals		text[],
	low			numeric,
	high		numeric,
	since		timestamptz,
	until		timestamptz,
	field2		text,
	op2			text,				-- = number time like
	value2		text,
	low2		numeric,
	high2		numeric,
	since2		timestamptz,
	PRIMARY KEY (set, no)
);

-- Equality: the template matrix (DESIGN 3), then job codes in the column of
-- the template's position: sets of all sizes read the same six columns.
INSERT INTO bench.rule (set, no, factor, combine, condition, points, field, op, value)
SELECT 'equality', row_number() OVER (ORDER BY ord), factor, 'best',
	   format('%I = %L', field, value), points, field, '=', value
FROM (VALUES
	(1, 'company size', 'company_size', 'large', 0),
	(2, 'company size', 'company_size', 'medium', 5),
	(3, 'company size', 'company_size', 'small', -5),
	(4, 'knowledge level', 'knowledge_level', 'expert', 30),
	(5, 'knowledge level', 'knowledge_level', 'specialist', 10),
	(6, 'knowledge level', 'knowledge_level', 'junior specialist', -20),
	(7, 'purchase motivation', 'purchase_motivation', 'fear of mistakes', 5),
	(8, 'purchase motivation', 'purchase_motivation', 'peace at work', 2),
	(9, 'purchase motivation', 'purchase_motivation', 'personal growth', 2),
	(10, 'decision power', 'decision_power', 'decides alone', 20),
	(11, 'decision power', 'decision_power', 'short path', 10),
	(12, 'decision power', 'decision_power', 'long path', -5),
	(13, 'position', 'position', 'director', 5),
	(14, 'position', 'position', 'manager', 15),
	(15, 'position', 'position', 'specialist', -10),
	(16, 'webinar', 'webinar', 'not registered', -30),
	(17, 'webinar', 'webinar', 'registered, absent', -20),
	(18, 'webinar', 'webinar', 'attended', 10),
	(19, 'webinar', 'webinar', 'attended + question', 20),
	(20, 'webinar', 'webinar', 'attended + e-book', 20),
	(21, 'webinar', 'webinar', 'attended + question + e-book', 35)
) AS v (ord, factor, field, value, points);

INSERT INTO bench.rule (set, no, factor, combine, condition, points, field, op, value)
SELECT 'equality', i, 'position', 'best', format('position = %L', code), points, 'position', '=', code
FROM generate_series(22, 10000) AS i,
	 LATERAL (SELECT bench.code(i * 7919 % 12000) AS code, i * 31 % 41 - 20 AS points) AS t;

-- Ranges: six factors over six columns (integer, numeric, timestamptz, date),
-- open and closed, then bands of ten postal codes in one of the six columns.
INSERT INTO bench.rule (set, no, factor, combine, condition, points, field, op, low, high, since, until)
SELECT 'range', no, factor, 'best', condition, points, field, op, low, high, since::timestamptz, until::timestamptz
FROM (VALUES
	(1, 'employees', 'employees < 10', -10, 'employees', 'number', '-infinity'::numeric, 10::numeric, NULL, NULL),
	(2, 'employees', 'employees BETWEEN 10 AND 49', -5, 'employees', 'number', 10, 50, NULL, NULL),
	(3, 'employees', 'employees BETWEEN 50 AND 249', 5, 'employees', 'number', 50, 250, NULL, NULL),
	(4, 'employees', 'employees >= 250', 10, 'employees', 'number', 250, 'infinity', NULL, NULL),
	(5, 'revenue', 'revenue < 100000', -5, 'revenue', 'number', '-infinity', 100000, NULL, NULL),
	(6, 'revenue', 'revenue >= 100000 AND revenue < 5000000', 10, 'revenue', 'number', 100000, 5000000, NULL, NULL),
	(7, 'revenue', 'revenue >= 5000000', 20, 'revenue', 'number', 5000000, 'infinity', NULL, NULL),
	(8, 'age', 'created_at < ''2024-01-01 00:00+00''', -10, 'created_at', 'time', NULL, NULL, '-infinity', '2024-01-01 00:00+00'),
	(9, 'age', 'created_at >= ''2024-01-01 00:00+00'' AND created_at < ''2025-01-01 00:00+00''', 5, 'created_at', 'time', NULL, NULL, '2024-01-01 00:00+00', '2025-01-01 00:00+00'),
	(10, 'age', 'created_at >= ''2025-01-01 00:00+00''', 15, 'created_at', 'time', NULL, NULL, '2025-01-01 00:00+00', 'infinity'),
	(11, 'visits', 'page_views BETWEEN 1 AND 4', 2, 'page_views', 'number', 1, 5, NULL, NULL),
	(12, 'visits', 'page_views BETWEEN 5 AND 19', 8, 'page_views', 'number', 5, 20, NULL, NULL),
	(13, 'visits', 'page_views >= 20', 20, 'page_views', 'number', 20, 'infinity', NULL, NULL),
	(14, 'last visit', 'last_visit < ''2024-07-01''', -15, 'last_visit', 'time', NULL, NULL, '-infinity', '2024-07-01 00:00+00'),
	(15, 'last visit', 'last_visit BETWEEN ''2024-07-01'' AND ''2025-06-30''', 5, 'last_visit', 'time', NULL, NULL, '2024-07-01 00:00+00', '2025-07-01 00:00+00'),
	(16, 'last visit', 'last_visit >= ''2025-07-01''', 25, 'last_visit', 'time', NULL, NULL, '2025-07-01 00:00+00', 'infinity'),
	(17, 'region', 'postal_code < 20000', 1, 'postal_code', 'number', '-infinity', 20000, NULL, NULL),
	(18, 'region', 'postal_code BETWEEN 20000 AND 39999', 2, 'postal_code', 'number', 20000, 40000, NULL, NULL),
	(19, 'region', 'postal_code BETWEEN 40000 AND 59999', 3, 'postal_code', 'number', 40000, 60000, NULL, NULL),
	(20, 'region', 'postal_code BETWEEN 60000 AND 79999', 4, 'postal_code', 'number', 60000, 80000, NULL, NULL),
	(21, 'region', 'postal_code >= 80000', 5, 'postal_code', 'number', 80000, 'infinity', NULL, NULL)
) AS v (no, factor, condition, points, field, op, low, high, since, until);

INSERT INTO bench.rule (set, no, factor, combine, condition, points, field, op, low, high)
SELECT 'range', i, 'territory', 'best', format('postal_code BETWEEN %s AND %s', first, first + 9),
	   i * 31 % 41 - 20, 'postal_code', 'number', first, first + 10
FROM generate_series(22, 10000) AS i, LATERAL (SELECT i * 7919 % 10000 * 10 AS first) AS t;

-- Mixed: conditions of which a part remains after the value was found
-- ("title = ... AND employees >= 50"), lists, and at most ten that no value
-- can be looked up for (LIKE '%...', ILIKE): two among the first 21 rules, ten
-- from 29 on.
INSERT INTO bench.rule (set, no, factor, combine, condition, points, field, op, value, vals, low, high,
						field2, op2, value2, low2, high2, since2)
SELECT 'mixed', no, factor, combine, condition, points, field, op, value, vals, low, high,
	   field2, op2, value2, low2, high2, since2::timestamptz
FROM (VALUES
	(1, 'company size', 'best', 'company_size = ''large''', 0, 'company_size', '=', 'large', NULL::text[], NULL::numeric, NULL::numeric, NULL, NULL, NULL, NULL::numeric, NULL::numeric, NULL),
	(2, 'company size', 'best', 'company_size = ''medium''', 5, 'company_size', '=', 'medium', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(3, 'company size', 'best', 'company_size = ''small''', -5, 'company_size', '=', 'small', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(4, 'position', 'best', 'position = ''director'' AND employees >= 250', 20, 'position', '=', 'director', NULL, NULL, NULL, 'employees', 'number', NULL, 250, 'infinity', NULL),
	(5, 'position', 'best', 'position = ''manager'' AND employees >= 50', 15, 'position', '=', 'manager', NULL, NULL, NULL, 'employees', 'number', NULL, 50, 'infinity', NULL),
	(6, 'position', 'best', 'position = ''specialist'' AND employees < 50', -10, 'position', '=', 'specialist', NULL, NULL, NULL, 'employees', 'number', NULL, '-infinity', 50, NULL),
	(7, 'webinar', 'best', 'webinar IN (''attended'', ''attended + question'') AND last_visit >= ''2025-01-01''', 20, 'webinar', 'in', NULL, '{attended,attended + question}', NULL, NULL, 'last_visit', 'time', NULL, NULL, NULL, '2025-01-01 00:00+00'),
	(8, 'webinar', 'best', 'webinar IN (''attended + e-book'', ''attended + question + e-book'') AND last_visit >= ''2024-07-01''', 35, 'webinar', 'in', NULL, '{attended + e-book,attended + question + e-book}', NULL, NULL, 'last_visit', 'time', NULL, NULL, NULL, '2024-07-01 00:00+00'),
	(9, 'webinar', 'best', 'webinar = ''not registered'' AND page_views < 3', -30, 'webinar', '=', 'not registered', NULL, NULL, NULL, 'page_views', 'number', NULL, '-infinity', 3, NULL),
	(10, 'market', 'best', 'country IN (''DE'', ''AT'', ''CH'')', 10, 'country', 'in', NULL, '{DE,AT,CH}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(11, 'market', 'best', 'country IN (''FR'', ''BE'')', 5, 'country', 'in', NULL, '{FR,BE}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(12, 'market', 'best', 'country = ''US'' AND revenue >= 1000000', 15, 'country', '=', 'US', NULL, NULL, NULL, 'revenue', 'number', NULL, 1000000, 'infinity', NULL),
	(13, 'market', 'best', 'country = ''GB'' AND email LIKE ''%.com''', 5, 'country', '=', 'GB', NULL, NULL, NULL, 'email', 'like', '%.com', NULL, NULL, NULL),
	(14, 'business mail', 'best', 'employees BETWEEN 50 AND 249 AND email LIKE ''%.com''', 5, 'employees', 'number', NULL, NULL, 50, 250, 'email', 'like', '%.com', NULL, NULL, NULL),
	(15, 'business mail', 'best', 'employees >= 250 AND email LIKE ''%.net''', 10, 'employees', 'number', NULL, NULL, 250, 'infinity', 'email', 'like', '%.net', NULL, NULL, NULL),
	(16, 'business mail', 'best', 'employees < 10 AND email LIKE ''%@gmail.com''', -10, 'employees', 'number', NULL, NULL, '-infinity', 10, 'email', 'like', '%@gmail.com', NULL, NULL, NULL),
	(17, 'signals', 'sum', 'email IS NULL', -20, 'email', 'null', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(18, 'signals', 'sum', 'custom ->> ''budget'' = ''yes''', 15, 'custom,budget', '=', 'yes', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(19, 'signals', 'sum', 'purchase_motivation = ''fear of mistakes'' AND decision_power = ''decides alone''', 10, 'purchase_motivation', '=', 'fear of mistakes', NULL, NULL, NULL, 'decision_power', '=', 'decides alone', NULL, NULL, NULL),
	(20, 'signals', 'sum', 'title ILIKE ''%director%''', 10, 'title', 'ilike', '%director%', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(21, 'signals', 'sum', 'email LIKE ''%.edu''', -15, 'email', 'like', '%.edu', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(22, 'signals', 'sum', 'title ILIKE ''%sales%''', 5, 'title', 'ilike', '%sales%', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(23, 'signals', 'sum', 'title LIKE ''%energy''', 7, 'title', 'like', '%energy', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(24, 'signals', 'sum', 'title LIKE ''%mining''', 7, 'title', 'like', '%mining', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(25, 'signals', 'sum', 'title LIKE ''%junior%''', -7, 'title', 'like', '%junior%', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(26, 'signals', 'sum', 'title LIKE ''head of%''', 9, 'title', 'like', 'head of%', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(27, 'signals', 'sum', 'email LIKE ''%@acme.com''', 30, 'email', 'like', '%@acme.com', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(28, 'signals', 'sum', 'email LIKE ''%.de''', 3, 'email', 'like', '%.de', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(29, 'signals', 'sum', 'email LIKE ''%.org''', 1, 'email', 'like', '%.org', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
) AS v (no, factor, combine, condition, points, field, op, value, vals, low, high, field2, op2, value2, low2, high2, since2);

INSERT INTO bench.rule (set, no, factor, combine, condition, points, field, op, value, field2, op2, value2, low2, high2)
SELECT 'mixed', i, 'title', 'best',
	   format('title = %L', title) ||
	   CASE i % 4 WHEN 0 THEN '' WHEN 1 THEN ' AND employees >= 50'
				  WHEN 2 THEN ' AND email LIKE ''%.com''' ELSE ' AND country = ''DE''' END,
	   i * 31 % 41 - 20, 'title', '=', title,
	   (ARRAY[NULL, 'employees', 'email', 'country'])[1 + i % 4],
	   (ARRAY[NULL, 'number', 'like', '='])[1 + i % 4],
	   (ARRAY[NULL, NULL, '%.com', 'DE'])[1 + i % 4],
	   CASE i % 4 WHEN 1 THEN 50 END, CASE i % 4 WHEN 1 THEN 'infinity'::numeric END
FROM generate_series(30, 10000) AS i, LATERAL (SELECT bench.title(i * 7919 % 12000) AS title) AS t;

VACUUM (ANALYZE) bench.rule;
