--
-- dispatch: looking rules up gives what evaluating them would have given
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
CREATE SCHEMA t1_dispatch;
SET search_path = t1_dispatch, leadscore;

-- Where the server has neither, plain text stands in: what is printed below
-- must be the same.
DO $$
BEGIN
	CREATE EXTENSION citext SCHEMA t1_dispatch;
EXCEPTION WHEN OTHERS THEN
	CREATE DOMAIN citext AS text;
END
$$;
DO $$
BEGIN
	CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
EXCEPTION WHEN OTHERS THEN
	CREATE COLLATION caseless FROM "C";
END
$$;
SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citext') AS have_citext \gset

CREATE TYPE level AS ENUM ('mid', 'Low');
ALTER TYPE level ADD VALUE 'low' BEFORE 'mid';	-- so that OIDs do not order as labels do
ALTER TYPE level ADD VALUE 'high';
ALTER TYPE level ADD VALUE 'none' BEFORE 'low';
CREATE DOMAIN short_text AS text CHECK (length(VALUE) < 100);
CREATE DOMAIN small_int AS int CHECK (VALUE < 1000000);
CREATE DOMAIN some_level AS level;
CREATE DOMAIN yes_no AS boolean;

CREATE TABLE lead (
	id		int PRIMARY KEY,
	b		boolean,
	b2		boolean,
	i2		smallint,
	i4		integer,
	i8		bigint,
	f4		real,
	f8		double precision,
	num		numeric,
	txt		text,
	vc		varchar(20),
	c10		char(10),
	nm		name,
	ct		citext,
	nd		text COLLATE caseless,
	en		level,
	dt		short_text,
	di		small_int,
	de		some_level,
	db		yes_no,
	d		date,
	ts		timestamp,
	tz		timestamptz,
	tm		time,
	iv		interval,
	uu		uuid,
	ip		inet,
	cr		cidr,
	js		jsonb,
	jn		json,
	ta		text[],
	ia		int[],
	by		bytea,
	qc		"char",
	oi		oid,
	st		lead_stage,
	i4r		int4range
);

--
-- Data: made of edge cases, the same on every server
--

CREATE FUNCTION rnd(seed text, n int) RETURNS int
LANGUAGE sql IMMUTABLE AS $$
	SELECT ('x' || substr(md5(seed), 1, 7))::bit(28)::int % n
$$;
CREATE FUNCTION pick(seed text, VARIADIC items text[]) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
	SELECT items[1 + rnd(seed, cardinality(items))]
$$;

-- Equal in their first and last eight bytes, but not between; and lengths on
-- either side of 3, 4, 7, 8, 15, 16 and 17 bytes.
CREATE FUNCTION some_text(seed text, len int DEFAULT 60) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
	SELECT left(pick(seed, NULL, NULL, '', ' ', '  ', 'a', 'A', 'a ', 'a  ', ' a', 'ab', 'abc', 'ABC', 'Abc', 'cba', 'bca',
		'abcd', 'abcdefg', 'abcdefgh', 'abcdefghi', '0123456789abcde', '0123456789abcdef', '0123456789abcdefg',
		'01234567-x-89abcdef', '01234567-y-89abcdef', '01234567' || repeat('x', 24) || '89abcdef',
		'01234567' || repeat('x', 23) || 'y89abcdef', '01234567' || repeat('y', 24) || '89abcdef',
		E'\u00e9', E'\u00c9', E'e\u0301', E'stra\u00dfe', 'STRASSE', '%', '_', 'it''s', '\', '0', '1', '1.0', '10', 'NULL', 'low'), len)
$$;

INSERT INTO lead
SELECT id,
	pick('b' || id, NULL, 't', 'f')::boolean,
	pick('b2' || id, NULL, 't', 'f')::boolean,
	pick('i2' || id, NULL, '-32768', '-1', '0', '1', '2', '5', '50', '100', '32767')::smallint,
	pick('i4' || id, NULL, '-2147483648', '-1', '0', '1', '2', '3', '5', '49', '50', '51', '100', '32768', '2147483647')::int,
	pick('i8' || id, NULL, '-9223372036854775808', '-1', '0', '1', '2', '5', '50', '4294967296', '4294967297', '2147483648', '9223372036854775807')::bigint,
	pick('f4' || id, NULL, 'NaN', 'Infinity', '-Infinity', '0', '-0', '0.1', '1', '1.5', '-1.5', '16777216', '1e-45', '3.4e38')::real,
	pick('f8' || id, NULL, 'NaN', 'Infinity', '-Infinity', '0', '-0', '0.1', '1', '1.5', '-1.5', '0.3', '5e-324', '-5e-324', '1.7e308')::float8,
	pick('num' || id, NULL, 'NaN', 'Infinity', '-Infinity', '0', '0.00', '-0.0', '1', '1.0', '1.00', '1.5', '1.50', '-1.5', '0.1', '50', '12345678901234567890.123', '1e30')::numeric,
	some_text('txt' || id),
	some_text('vc' || id, 20),
	some_text('c10' || id, 10),
	some_text('nm' || id),
	some_text('ct' || id),
	some_text('nd' || id),
	pick('en' || id, NULL, 'none', 'low', 'mid', 'Low', 'high')::level,
	some_text('dt' || id),
	pick('di' || id, NULL, '-1', '0', '1', '2', '5', '50', '999999')::int,
	pick('de' || id, NULL, 'none', 'low', 'mid', 'Low', 'high')::level,
	pick('db' || id, NULL, 't', 'f')::boolean,
	pick('d' || id, NULL, '-infinity', 'infinity', '2024-01-01', '2023-12-31', '2024-02-29', '1900-01-01', '0044-03-15 BC', '2000-01-01')::date,
	pick('ts' || id, NULL, '-infinity', 'infinity', '2024-01-01', '2023-12-31 23:59:59.999999', '2024-01-01 00:00:00.000001', '1999-12-31', '2000-01-01')::timestamp,
	pick('tz' || id, NULL, '-infinity', 'infinity', '2024-01-01 00:00+00', '2024-01-01 02:00+02', '2023-12-31 23:59:59.999999+00', '2000-01-01 00:00+00')::timestamptz,
	pick('tm' || id, NULL, '00:00', '24:00', '12:30', '12:30:00.000001', '23:59:59')::time,
	pick('iv' || id, NULL, '0', '1 mon', '30 days', '720:00:00', '-1 day', '1 year', '360 days', '1 day', '24:00:00')::interval,
	pick('uu' || id, NULL, '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000001', 'ffffffff-ffff-ffff-ffff-ffffffffffff')::uuid,
	pick('ip' || id, NULL, '10.0.0.1', '10.0.0.1/8', '10.0.0.0/8', '10.0.0.2', '::1', '::ffff:10.0.0.1', '255.255.255.255')::inet,
	pick('cr' || id, NULL, '10.0.0.0/8', '10.0.0.0/16', '10.0.0.1/32', '::1/128')::cidr,
	pick('js' || id, NULL, '{}', '{"k": "x"}', '{"k": "X"}', '{"k": null}', '{"k": 1}', '{"k": 1.0}', '{"k": ""}', '{"k": {"m": "x"}}', '{"k": ["x", "y"]}', '{"j": "x"}', '[]', '["x"]', '["y", "x"]', '"x"', '1', 'null', '{"k": true, "j": "x"}')::jsonb,
	pick('jn' || id, NULL, '{}', '{"k": "x"}', '{"k": "X"}', '{"k": null}', '{"k": 1}', '{"k": 1.0}', '{"k": "y", "k": "x"}', '{"k": ""}', '[]', '["x"]', '"x"', '1', 'null')::json,
	pick('ta' || id, NULL, '{}', '{a}', '{a,b}', '{b,a}', '{NULL,a}', '{NULL}', '{partner}')::text[],
	pick('ia' || id, NULL, '{}', '{1}', '{1,2}', '{2,1}', '{NULL,1}')::int[],
	pick('by' || id, NULL, '', '\x00', '\x0001', '\x61', '\x000102030405060708090a0b0c0d0e0f', '\x000102030405060708090a0b0c0d0e0f10')::bytea,
	pick('qc' || id, NULL, '', 'a', 'A', 'z')::"char",
	pick('oi' || id, NULL, '0', '1', '2147483648', '4294967295')::oid,
	pick('st' || id, NULL, 'disqualified', 'nurture', 'lead', 'mql', 'sql', 'customer')::lead_stage,
	pick('i4r' || id, NULL, 'empty', '[1,5)', '[1,4]', '(,3)', '[50,)')::int4range
FROM generate_series(1, 300) id;
INSERT INTO lead (id) VALUES (301);		-- nothing but NULLs

--
-- Conditions: each shape over each column
--

CREATE TABLE cond (
	n		int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	col		text,
	shape	text,
	cond	text NOT NULL
);

CREATE TABLE literals (col text, vals text[]);
INSERT INTO literals VALUES
	('b', '{t,f,t,f}'), ('db', '{t,f,t,f}'),
	('i2', '{1,-32768,32767,50}'), ('i4', '{50,0,2147483647,-2147483648}'),
	('i8', '{1,4294967296,-9223372036854775808,9223372036854775807}'),
	('f4', '{0.1,NaN,-0,Infinity}'), ('f8', '{0.1,-0,NaN,-Infinity}'), ('f8', '{0,0.3,5e-324,Infinity}'),
	('num', '{1,NaN,0.000,Infinity}'), ('num', '{1.500,-Infinity,12345678901234567890.1230,nan}'),
	('txt', '{abc,"",0123456789abcdef,"a "}'), ('txt', '{01234567-x-89abcdef,0123456789abcdefg,abcdefgh,zz}'),
	('txt', E'{01234567xxxxxxxxxxxxxxxxxxxxxxxx89abcdef,01234567yyyyyyyyyyyyyyyyyyyyyyyy89abcdef,\u00e9,it''s}'),
	('vc', '{abc,"","a ",01234567-x-89abcdef}'), ('vc', '{ABC,abcdefg,"  ",%}'),
	('c10', '{abc,"","a  ",abcdefghi}'), ('c10', '{" ",ABC,"abc         ",0123456789}'),
	('nm', '{abc,"","a ",0123456789abcdefg}'),
	('ct', E'{ABC,"",a,\u00c9}'), ('ct', '{strasse,"A ",01234567-X-89ABCDEF,zz}'),
	('nd', E'{ABC,"",a,\u00c9}'), ('nd', '{strasse,"A ",01234567-X-89ABCDEF,zz}'),
	('en', '{low,high,Low,none}'), ('en', '{mid,Low,low,mid}'), ('de::level', '{low,high,Low,none}'),
	('dt', '{abc,"",0123456789abcdef,"a "}'), ('di', '{50,0,1,999999}'),
	('d', '{2024-01-01,infinity,-infinity,2024-02-29}'),
	('ts', '{2024-01-01,infinity,-infinity,2000-01-01}'),
	('tz', '{2024-01-01 00:00+00,infinity,-infinity,2024-01-01 02:00+02}'),
	('tm', '{12:30,24:00,00:00,23:59:59}'),
	('iv', '{30 days,1 year,24:00:00,0}'),
	('uu', '{00000000-0000-0000-0000-000000000000,ffffffff-ffff-ffff-ffff-ffffffffffff,00000000-0000-0000-0000-000000000001,12345678-0000-0000-0000-000000000001}'),
	('ip', '{10.0.0.1,10.0.0.0/8,::1,10.0.0.1/8}'), ('cr', '{10.0.0.0/8,10.0.0.0/16,10.0.0.1,::1}'),
	('js', '{"{\"k\": 1}","{}","\"x\"",[]}'),
	('ta', '{"{a,b}","{}","{NULL,a}","{a}"}'), ('ia', '{"{1,2}","{}","{NULL,1}","{1}"}'),
	('by', '{"","\\\\x0001","\\\\x000102030405060708090a0b0c0d0e0f","\\\\x61"}'),
	('qc', '{a,"",A,z}'), ('oi', '{1,4294967295,0,2147483648}'),
	('st', '{mql,lead,customer,disqualified}'),
	('i4r', '{"[1,4]",empty,"[50,)","[1,6)"}');

INSERT INTO cond (col, shape, cond)
SELECT l.col, s.shape,
	   replace(replace(replace(replace(replace(s.template, '%c', l.col),
			'%1', quote_literal(v.vals[1])), '%2', quote_literal(v.vals[2])), '%3', quote_literal(v.vals[3])), '%4', quote_literal(v.vals[4]))
FROM literals l
CROSS JOIN (VALUES
	('equal', '%c = %1', 3), ('equal', '%1 = %c', 1),
	('range', '%c < %1', 1), ('range', '%c <= %2', 1), ('range', '%c > %1', 1), ('range', '%c >= %2', 1), ('range', '%1 >= %c', 1),
	('equal', '%c IN (%1, %2, %1)', 1), ('equal', '%c IN (%1, NULL, %3)', 1), ('equal', '%c = %1 OR %c IN (%2, %1) OR %4 = %c', 1),
	('other', '%c = %1 OR %c IS NULL', 1), ('other', '%c = %1 OR %c < %2', 1), ('other', '%c NOT IN (%1, %2)', 1), ('other', 'NOT %c = %2', 1),
	('other', '%c IS DISTINCT FROM %1', 1), ('other', '%c IS NOT DISTINCT FROM %1', 1), ('other', '%c NOT BETWEEN %1 AND %2', 1),
	('between', '%c BETWEEN %1 AND %2', 2), ('between', '%c BETWEEN %2 AND %1', 2), ('between', '%c BETWEEN %1 AND %1', 1),
	('between', '%c > %1 AND %c <= %2', 1), ('between', '%c >= %1 AND %c < %1', 1), ('between', '%2 >= %c AND %1 < %c', 1),
	('range', '%c >= %1 AND %c > %2', 1), ('range', '%c >= %4 AND %c <= %3 AND %c >= %2 AND %c < %1', 1),
	('null', '%c IS NULL', 1), ('null', '%c IS NOT NULL', 1),
	('never', '%c = NULL', 1), ('never', '%c BETWEEN %1 AND NULL', 1),
	('equal', '%c IN (%1, %2) AND b', 1), ('equal', 'i2 > 0 AND %c = %2', 1), ('range', '%c > %1 AND txt LIKE ''a%''', 1), ('null', '%c IS NULL AND b IS NOT TRUE', 1)
	) s(shape, template, rotations)
CROSS JOIN LATERAL (
	SELECT CASE r WHEN 1 THEN l.vals ELSE l.vals[r:] || l.vals[:r - 1] END
	FROM generate_series(1, s.rotations) r) v(vals);

-- and some of their own
CREATE FUNCTION add_conds(shape text, VARIADIC conds text[]) RETURNS void
LANGUAGE sql AS $$ INSERT INTO cond (shape, cond) SELECT add_conds.shape, c FROM unnest(conds) c $$;

SELECT add_conds('boolean', 'b', 'NOT b', 'b IS TRUE', 'b IS FALSE', 'b IS NOT TRUE', 'b IS NOT FALSE', 'b IS UNKNOWN', 'b IS NOT UNKNOWN',
	'NOT (b IS TRUE)', 'NOT (b IS UNKNOWN)', 'b = true', 'false = b', 'b <> true', 'b > false', 'b AND b2', 'NOT b AND NOT b2', 'b OR b2',
	'NOT (b AND b2)', 'NOT (b OR b2)', 'b IS NULL AND NOT b2', 'b = b2', 'db', 'NOT db', 'db IS TRUE', 'db IS NOT FALSE', 'db IS UNKNOWN',
	'coalesce(b, b2)', 'coalesce(b, b2) IS TRUE', 'coalesce(b, b2) IS FALSE', 'coalesce(b, b2) IS NULL', 'coalesce(b, true) IS NOT UNKNOWN', 'NOT coalesce(b, false)',
	'b IN (true)', 'b IN (true, NULL)', 'b IN (true, false)', 'b AND i4 > 0', 'b AND b');
SELECT add_conds('constant', 'true', 'false', 'NULL', 'NULL::boolean', '1 = 1', '1 = 2', 'true AND b', 'b OR true', 'b AND false', 'b AND NULL', 'b OR NULL',
	'NULL OR i4 = 50', 'i4 = 50 AND true', 'true IS NOT TRUE', 'b OR NOT b', '''x'' = ''x''', 'i4 = ANY (NULL::int[])', 'i4 = ANY (''{}''::int[])', 'i4 IN (50) AND false');
SELECT add_conds('integers', 'i2 = 50::int', 'i2 = 50::bigint', 'i2 = 100000', 'i2 < 100000', 'i2 > -100000::bigint', 'i2 = 3000000000', 'i2 IN (1, 50, 100000)', 'i2 = ANY (''{1,50,NULL}''::bigint[])',
	'i4 = 50::smallint', 'i4 = 50::bigint', '50::bigint = i4', 'i4 = 4294967297', 'i4 = 4294967296', 'i4 < 4294967296', 'i4 > -4294967296', 'i4 >= 50::smallint AND i4 < 3000000000', 'i4 BETWEEN 0::smallint AND 50::bigint', 'i4 IN (1::bigint, 50)', 'i4 = ANY (''{1,50}''::smallint[])',
	'i8 = 50::smallint', 'i8 = 1', '1::smallint = i8', 'i8 < 5', 'i8 >= 4294967296', 'i8 BETWEEN 1::smallint AND 2147483648', 'i8 IN (1, 5)', 'i8 = ANY (''{1,5}''::int[])',
	'i4 = 50 OR i4 = 1::bigint', 'i4 = 1::smallint OR i4 = 50::smallint', 'i4 > 1::bigint AND i4 < 50::smallint', 'i4 = i2', 'i4 < i8', 'i4 = i4', 'i8 = i8',
	'i2 = 50.0', 'i2 < 1.5', 'i4 = 50.0', 'i4 = 50.5', '50.00 = i4', 'i4 > 1.5', 'i4 >= 1.0 AND i4 < 50.01', 'i4 BETWEEN 0.5 AND 50.5', 'i4 IN (1.0, 50.00, 2.5)', 'i8 = 9223372036854775807.0', 'i8 <= 9223372036854775808', 'i8 = 9223372036854775808',
	'i4 = 50::float8', 'i4 < 0.5::float8', 'i2 = 1::float8', 'i8 = 4294967296::float8', 'i4 IN (1::float8, 50::float8)', 'i4::bigint = 50', 'i2::int = 50', 'i2::bigint < 5', 'i4::numeric = 50', 'i4::float8 = 50',
	'di = 50::bigint', 'di = 50.0', 'di > 1 AND di < 3000000000', 'di IN (1, 2::bigint)', 'i4 / 2 = 25', 'abs(i4::bigint) = 1', 'i4 % 2 = 0', '-1 = i4', 'i4 = -1', 'i4 = +50',
	'oi = 1::oid', 'oi = 4294967295::oid', 'oi > 2147483647', 'oi::int4 = -1', 'oi::int4 < 0', 'oi::bigint = 4294967295', 'i4::oid = 4294967295', 'i4::oid = 50', 'i4::oid > 2147483647');
SELECT add_conds('floats', 'f4 = 0.1', 'f4 = 0.1::real', 'f4 = 0.1::float8', 'f4 = 1.5::float8', '1.5::float8 = f4', 'f4 > 0.1', 'f4 > 0.1::real', 'f4 >= 0.1::float8', 'f4 < 0', 'f4 = 0', 'f4 = 16777217', 'f4 = 16777216', 'f4 = ''NaN''', 'f4 > ''Infinity''', 'f4 IN (0, 1.5)', 'f4 BETWEEN 0 AND 1.5', 'f4 BETWEEN ''-0'' AND ''0''',
	'f8 = 0.1', 'f8 = 0.1::real', 'f8 = 1.5::real', 'f8 = 0', 'f8 < 0', 'f8 > 0', 'f8 >= 0 AND f8 <= 0', 'f8 = 0.1::numeric + 0.2', 'f8 > ''Infinity''', 'f8 < ''NaN''', 'f8 BETWEEN ''Infinity'' AND ''NaN''', 'f8 < ''-Infinity''', 'f8 <= ''-Infinity''', 'f8 = ANY (''{0,NaN,1.5}''::real[])', 'f8 IN (1, 1.5)', 'f4::float8 = 1.5', 'f4 = f8', 'f8 = num');
SELECT add_conds('numerics', 'num = 1', 'num = 1.0', 'num = 1.000', 'num = 0', 'num < 0', 'num <= 0.0', 'num > 1', 'num IN (1, 1.5, 1.50)', 'num = 1 OR num = 1.0', 'num >= 1 AND num <= 1.00', 'num > ''Infinity''', 'num = ''NaN''', 'num = 1::smallint', 'num = 50::bigint', 'num = 1.5::float8', 'num = 1 AND num::int = 1', 'num BETWEEN 1 AND 1.5', 'num = i4');
SELECT add_conds('texts', 'lower(txt) = ''abc''', 'lower(txt) = ''ABC''', 'upper(txt) = ''ABC''', '''abc'' = lower(txt)', 'lower(txt) IN (''abc'', ''a'', NULL, ''abc'')', 'lower(txt) = ''abc'' OR lower(txt) = ''a''', 'lower(txt) = ''abc'' OR txt = ''a''', 'lower(txt) = ''abc'' AND txt = ''Abc''', 'lower(txt) IS NULL', 'lower(txt) IS NOT NULL', 'btrim(txt) = ''a''', 'ltrim(txt) = ''a''', 'rtrim(txt) = ''''', 'trim(txt) = ''''', 'lower(btrim(txt)) = ''a''', 'lower(coalesce(txt, vc)) = ''abc''', 'coalesce(txt, ''none'') = ''none''', 'coalesce(txt, ''none'') IN (''none'', '''')', 'coalesce(txt, vc, ''x'') = ''x''',
	'txt = ''a''::varchar', 'txt = ''a ''::bpchar', 'txt::bpchar = ''a''', 'txt::varchar = ''a ''', 'txt = ''abc''::name', 'txt COLLATE "C" = ''abc''', 'txt COLLATE "C" < ''abc''', 'txt COLLATE "C" BETWEEN ''A'' AND ''Z''', 'txt COLLATE "POSIX" >= ''a''', 'txt COLLATE caseless = ''ABC''', 'txt COLLATE caseless IN (''ABC'', ''strasse'')', 'txt COLLATE caseless > ''ABC'' AND txt COLLATE caseless <= ''a ''', 'lower(txt COLLATE "C") = ''abc''',
	'txt LIKE ''a%''', 'txt ILIKE ''ABC%''', 'txt LIKE ''abc''', 'txt ~ ''^[0-9]+$''', 'txt ~* ''^A''', 'txt NOT LIKE ''%a%''', 'txt LIKE ''\%''', 'txt SIMILAR TO ''(a|b)%''', 'starts_with(txt, ''abc'')', 'txt || ''x'' = ''abcx''', 'length(txt) = 3', 'substr(txt, 1, 3) = ''abc''', 'txt = vc', 'txt IS NULL AND vc IS NOT NULL', 'txt ~<~ ''b''', 'txt ~>=~ ''a'' AND txt ~<~ ''b''', 'txt ^@ ''abc''', 'nullif(txt, ''abc'') IS NULL', 'replace(txt, '' '', '''') = ''a''', 'txt = '''' OR txt IS NULL',
	'vc = ''a''::text', 'vc = ''a ''::bpchar', 'vc::text = ''a ''', 'lower(vc) = ''abc''', 'vc IN (''abc''::text, ''A'')', 'vc::bpchar IN (''a'', ''abc'')', 'vc::bpchar = ''a   ''', 'lower(vc) = ''abc'' AND vc LIKE ''A%''',
	'c10 = ''abc''::text', 'c10::text = ''abc''', 'c10::text = ''abc       ''', 'c10::varchar = ''a''', 'c10 = ''a''::varchar', 'c10 = ''a          ''', 'c10 = ''a''::char(1)', 'lower(c10) = ''abc''', 'c10::text IN ('''', ''a'')', 'c10 LIKE ''abc%''', 'c10 > ''a'' AND c10 <= ''abc''', 'c10 COLLATE "C" < ''a''',
	'nm = ''abc''::text', 'nm::text = ''abc''', '''abc''::text = nm', 'nm IN (''abc''::text, '''')', 'lower(nm::text) = ''abc''',
	'ct::text = ''abc''', 'lower(ct::text) = ''abc''', 'ct::text IN (''abc'', ''ABC'')', 'ct::text > ''b'' COLLATE "C"', 'ct LIKE ''abc''',
	'nd = ''abc'' COLLATE "C"', 'nd COLLATE "C" = ''abc''', 'nd COLLATE "C" IN (''abc'', ''ABC'')', 'lower(nd) = ''ABC''', 'lower(nd COLLATE "C") = ''abc''', 'nd COLLATE "C" > ''B''', 'nd = ''abc'' OR nd COLLATE "C" = ''A''', 'nd IN (''ABC'', ''abc'')', 'coalesce(nd, ''X'') = ''x''',
	'dt = ''abc''::text', 'lower(dt) = ''abc''', 'dt::text = ''abc''', 'dt LIKE ''abc%''', 'qc::text = ''a''', 'en::text = ''low''', 'en::text IN (''low'', ''mid'')', 'de::level::text = ''low''');
\if :have_citext
SELECT add_conds('citext', 'ct = ''abc''::citext', 'ct = ''ABC''::text::citext', 'txt::citext = ''ABC''', 'txt::citext IN (''ABC'', ''strasse'')', 'txt::citext > ''ABC'' AND txt::citext <= ''b''', 'ct IN (''ABC''::citext, ''a'')', 'ct = ''abc''::text', 'vc::citext = ''A ''', 'coalesce(ct, ''none'') = ''NONE''');
\else
SELECT add_conds('citext', 'ct = ''abc''', 'ct = ''ABC''::text', 'txt = ''ABC''', 'txt IN (''ABC'', ''strasse'')', 'txt > ''ABC'' AND txt <= ''b''', 'ct IN (''ABC'', ''a'')', 'ct = ''abc''::text', 'vc = ''A ''', 'coalesce(ct, ''none'') = ''NONE''');
\endif
SELECT add_conds('times', 'd = date ''2024-01-01''', 'd > ''2024-01-01''::timestamp', 'd = ''2024-01-01''::timestamptz', 'd BETWEEN ''2023-12-31'' AND ''2024-01-01''::timestamp', 'd IN (''2024-01-01'', ''infinity'')', 'd < now()', 'd < current_date', 'd + 1 = ''2024-01-01''', 'extract(year FROM d) = 2024', 'd >= ''epoch''',
	'ts = ''2024-01-01''::date', 'ts < ''2024-01-01''::timestamptz', 'ts >= ''2024-01-01'' AND ts < ''2024-01-02''', 'date_trunc(''day'', ts) = ''2024-01-01''', 'ts::date = ''2024-01-01''', 'ts > now() - interval ''7 days''',
	'tz = ''2024-01-01''', 'tz = ''2024-01-01''::date', 'tz >= ''2024-01-01'' AND tz < ''2024-01-02''', 'tz::date = ''2024-01-01''', 'tz < now()', 'tz AT TIME ZONE ''UTC'' = ''2024-01-01''',
	'iv = ''1 mon''', 'iv = ''720:00:00''', 'iv IN (''1 mon'', ''1 day'')', 'iv > ''29 days'' AND iv < ''31 days''', 'iv = ''30 days'' OR iv = ''1 mon''', 'tm > ''12:30'' AND tm <= ''24:00''', 'ts::text LIKE ''2024%''');
SELECT add_conds('json', 'js ->> ''k'' = ''x''', '''x'' = js ->> ''k''', 'js ->> ''k'' IN (''x'', ''1'', ''1.0'', '''')', 'js ->> ''k'' = ''x'' OR js ->> ''k'' = ''1''', 'lower(js ->> ''k'') = ''x''', 'js ->> ''k'' IS NULL', 'js ->> ''k'' IS NOT NULL', 'js -> ''k'' IS NULL', 'js -> ''k'' = ''1''', 'js -> ''k'' = ''1.00''', 'js -> ''k'' = ''null''', 'js -> ''k'' IN (''"x"'', ''1'')', 'js -> ''k'' ->> ''m'' = ''x''', 'js ->> 0 = ''x''', 'js -> -1 = ''"x"''', 'js -> ''k'' ->> 0 = ''x''', 'js #>> ''{k,m}'' = ''x''', 'js ? ''k''', 'js @> ''{"k": "x"}''', 'js[''k''] = ''1''', 'js ->> ''k'' > ''a'' COLLATE "C"', 'js ->> ''k'' COLLATE "C" BETWEEN ''a'' AND ''z''', 'js ->> ''k'' = ''true'' AND js ->> ''j'' = ''x''', 'js ->> ''j'' = ''x'' AND b', '(js ->> ''k'') = ''x'' AND i4 > 0', 'js = ''{"k": 1.0}''', 'js ->> NULL = ''x''', 'jsonb_typeof(js) = ''object''', 'coalesce(js ->> ''k'', ''none'') = ''none''', 'js ->> ''k'' ~ ''^[0-9]+$'' AND (js ->> ''k'')::int = 1',
	'jn ->> ''k'' = ''x''', 'jn ->> ''k'' IN (''x'', ''1'')', 'jn ->> ''k'' IS NULL', 'jn ->> 0 = ''x''', 'lower(jn ->> ''k'') = ''x''', 'jn -> ''k'' IS NOT NULL', 'jn IS NULL', 'jn IS NOT NULL', 'jn::text = ''{}''', 'json_typeof(jn) = ''array''');
SELECT add_conds('arrays', 'ta && ''{a,partner}''', 'ta @> ''{a}''', '''a'' = ANY (ta)', '''b'' = ALL (ta)', '1 = ANY (ia)', 'i4 = ANY (ia)', 'ta[1] = ''a''', 'cardinality(ta) = 0', 'array_length(ia, 1) IS NULL', 'ia = ''{1,2}''::int[]', 'ta < ''{b}''', 'i4 <@ int4range(0, 50)', 'i4r @> 3', 'i4r && ''[2,3]''', 'isempty(i4r)', 'i4 > ANY (''{1,5}''::int[])', 'i4 <= ALL (''{1,5}''::int[])', 'i4 <> ALL (''{1,5}''::int[])', 'i4 <> ANY (''{1,5}''::int[])',
	'ip << ''10.0.0.0/8''', 'ip <<= cr', 'cr = ''10.0.0.1''::inet', 'ip = ''10.0.0.1''::inet', 'host(ip) = ''10.0.0.1''', 'family(ip) = 6', 'octet_length(by) = 16');
SELECT add_conds('enums', 'en < ''high''', 'en >= ''low'' AND en <= ''mid''', 'en BETWEEN ''none'' AND ''low''', 'en IN (''low'', ''Low'')', 'en = ''low''::level', '''low''::level = en', 'en = ''low'' OR en = ''high''', 'de::level = ''low''::level', 'de::level IN (''low'', NULL, ''mid'')', 'de::level > ''low''', 'en = de::level', 'en = ''low'' AND de::level <> ''low''', 'st >= ''mql''', 'st = ''mql''', 'st IN (''mql'', ''sql'')', 'is_qualified(st)', 'is_exit(st) OR st = ''lead''', 'st::text = ''mql''', 'stage_rank(st) >= 200', 'st BETWEEN ''lead'' AND ''sql''');
SELECT add_conds('mixed', 'i4 = 50 AND txt = ''abc''', 'i4 IN (50, 1) AND txt IN (''abc'', ''a'')', 'i4 > 1 AND i8 > 1', 'i4 BETWEEN 0 AND 50 AND num > 1 AND b', 'txt IS NULL AND vc IS NULL', '(i4 = 50 OR i4 = 1) AND (b OR b2)', '(i4 = 50 AND b) OR (i4 = 1 AND b2)', 'NOT (i4 = 50 AND b)', 'NOT (i4 > 50 OR b)', 'CASE WHEN i4 > 50 THEN b ELSE b2 END', 'CASE i4 WHEN 50 THEN true WHEN 1 THEN b END', 'greatest(i4, i2) = 50', 'least(i4, 5) = 5', '(i4, txt) = (50, ''abc'')', '(i4, i2) < (50, 1)', 'ROW(i4, b) IS NULL', 'ROW(i4, b) IS NOT NULL', 'i4 = 50 AND i4 = 1', 'i4 = 1 AND i4 < 50', 'i4 < 50 AND i4 = 1', 'i4 IS NULL AND i4 = 1', 'b AND NOT b', 'b IS NULL AND b', 'i4 IS NOT NULL AND i4 > 0 AND i4 < 51',
	'i4 <> 0 AND 100 / i4 = 2', 'i4 > 0 AND 100 / i4 >= 2 AND txt IS NOT NULL', 'txt ~ ''^[0-9]+$'' AND txt::int >= 1', 'b AND txt ~ ''^[0-9]+$'' AND txt::int = 1', 'i4 = 50 AND i4 = 50 AND i4 = 50', '((((i4 = 50))))', 'NOT NOT i4 = 50', 'i4 = 50 IS TRUE', '(i4 = 50) IS NOT TRUE', '(i4 = 50) IS UNKNOWN', '(i4 = 50) = b', '(i4 = 50) IS NOT NULL', 'i4 BETWEEN SYMMETRIC 50 AND 0');

SELECT count(*) > 1000 AS enough FROM cond;

--
-- Dispatched = evaluated = plain SQL
--

-- plain SQL knows no time zone of a model: here it is that of the session
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, MDY';
CREATE TABLE plain (n int, id int, PRIMARY KEY (n, id));
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN SELECT n, cond FROM cond LOOP
		EXECUTE format('INSERT INTO plain SELECT %s, id FROM lead WHERE (%s)', c.n, c.cond);
	END LOOP;
END
$$;

INSERT INTO model (name, target) VALUES ('t1_own', 'lead'), ('t1_one', 'lead'), ('t1_wrapped', 'lead');
INSERT INTO factor (model, name, axis, combine)
SELECT 't1_own', 'c' || n, CASE n % 3 WHEN 0 THEN 'engagement' ELSE 'fit' END, CASE n % 2 WHEN 0 THEN 'best' ELSE 'sum' END FROM cond
UNION ALL SELECT 't1_one', 'one', 'fit', 'sum'
UNION ALL SELECT 't1_wrapped', 'one', 'fit', 'sum';
-- a factor for each, one factor for all, and nothing that can be dispatched
INSERT INTO rule (model, factor, parameter, condition, points)
SELECT 't1_own', 'c' || n, n, cond, (n * 37 % 41 - 20) * 1.125 FROM cond ORDER BY n;
INSERT INTO rule (model, factor, parameter, condition, points)
SELECT 't1_one', 'one', n, cond, (n * 37 % 41 - 20) * 1.125 FROM cond ORDER BY n;
INSERT INTO rule (model, factor, parameter, condition, points)
SELECT 't1_wrapped', 'one', n, format('CASE WHEN (%s) THEN true END', cond), (n * 37 % 41 - 20) * 1.125 FROM cond ORDER BY n;

CREATE TABLE spoke AS
SELECT m.name AS model, e.parameter::int AS n, l.id
FROM unnest('{t1_own,t1_one,t1_wrapped}'::text[]) m(name), lead l, leadscore.explain(m.name, l) e
WHERE e.rule_id IS NOT NULL;

ANALYZE plain, spoke;

-- what must be empty: rules that spoke where plain SQL finds no match, or were
-- silent where it does
SELECT model, c.shape, c.cond,
	   count(*) FILTER (WHERE p.id IS NULL) AS too_many, count(*) FILTER (WHERE s.id IS NULL) AS missing
FROM (SELECT m.name AS model, p.n, p.id FROM plain p, unnest('{t1_own,t1_one,t1_wrapped}'::text[]) m(name)) p
FULL JOIN spoke s USING (model, n, id)
JOIN cond c USING (n)
WHERE p.id IS NULL OR s.id IS NULL
GROUP BY model, c.n
ORDER BY c.n, model
LIMIT 40;

-- what was tried: how many conditions of each shape, did enough of them match
-- some rows but not all, and did each rule speak as often as plain SQL matched
WITH hits AS (
	SELECT n, count(*) AS hits FROM plain GROUP BY n
), spoken AS (
	SELECT n, count(*) FILTER (WHERE model = 't1_own') AS own, count(*) FILTER (WHERE model = 't1_one') AS one,
		   count(*) FILTER (WHERE model = 't1_wrapped') AS wrapped
	FROM spoke GROUP BY n
)
SELECT c.shape, count(*) AS conditions,
	   5 * count(*) FILTER (WHERE h.hits <= 300) > count(*) AS discerning,
	   coalesce(bool_and(h.hits = s.own AND h.hits = s.one AND h.hits = s.wrapped), true) AS same_counts
FROM cond c LEFT JOIN hits h USING (n) LEFT JOIN spoken s USING (n)
GROUP BY c.shape ORDER BY c.shape COLLATE "C";

-- and the scores are the sums of plain SQL
WITH truth AS (
	SELECT l.id, floor(coalesce(sum((p.n * 37 % 41 - 20) * 1.125), 0)) AS score
	FROM lead l LEFT JOIN plain p ON p.id = l.id GROUP BY l.id
)
SELECT count(*) AS leads, count(DISTINCT t.score) > 100 AS spread,
	   count(*) FILTER (WHERE leadscore.score('t1_own', l) IS DISTINCT FROM t.score) AS own_wrong,
	   count(*) FILTER (WHERE leadscore.score('t1_one', l) IS DISTINCT FROM t.score) AS one_wrong,
	   count(*) FILTER (WHERE leadscore.score('t1_wrapped', l) IS DISTINCT FROM t.score) AS wrapped_wrong,
	   count(*) FILTER (WHERE leadscore._score_row('t1_own', l) IS DISTINCT FROM t.score) AS own_row_wrong
FROM lead l JOIN truth t USING (id);

-- whatever the session's settings are
SET TimeZone = 'America/New_York';
SET DateStyle = 'German, DMY';
SET IntervalStyle = 'sql_standard';
SET extra_float_digits = -10;
SET bytea_output = 'escape';
SELECT count(*) AS leads, count(*) FILTER (WHERE leadscore.score('t1_own', l) IS DISTINCT FROM s.score) AS wrong
FROM lead l
JOIN (SELECT l.id, floor(coalesce(sum((p.n * 37 % 41 - 20) * 1.125), 0)) AS score
	  FROM lead l LEFT JOIN plain p ON p.id = l.id GROUP BY l.id) s USING (id);
RESET TimeZone;
RESET DateStyle;
RESET IntervalStyle;
RESET extra_float_digits;
RESET bytea_output;

DELETE FROM model WHERE name IN ('t1_own', 't1_one', 't1_wrapped');

--
-- Factors, floors, caps and ranges: score() works outcomes out in advance,
-- explain() does not, and plain SQL knows of neither
--

CREATE FUNCTION random_models(first int, last int) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	name	text;
	kind	int;
	k		text;
	the_col	text;
	pool	int[];
BEGIN
	FOR m IN first..last LOOP
		name := 't1_m' || m;
		INSERT INTO leadscore.model (name, target, score_min, score_max, fit_min, fit_max, engagement_min, engagement_max)
		VALUES (name, 'lead',
				pick('smin' || m, NULL, NULL, NULL, '-20', '0', '-3.5')::float8, pick('smax' || m, NULL, NULL, NULL, '20', '10.75', '0')::float8,
				pick('fmin' || m, NULL, NULL, '-10', '0', '1.5')::float8, pick('fmax' || m, NULL, NULL, '15', '1.5')::float8,
				pick('emin' || m, NULL, NULL, '-10', '0.5')::float8, pick('emax' || m, NULL, NULL, '7.25', '100')::float8);
		FOR f IN 1..1 + rnd('factors' || m, 7) LOOP
			k := m || ':' || f;
			INSERT INTO leadscore.factor (model, name, axis, combine, points_floor, points_cap)
			SELECT name, 'f' || f, pick('axis' || k, 'fit', 'fit', 'engagement'), pick('combine' || k, 'best', 'sum'),
				   CASE WHEN low <= high THEN low END, high
			FROM (VALUES (coalesce(pick('low' || k, NULL, NULL, NULL, '-5', '0', '2', '-0.75', '-1000')::float8, '-Infinity'),
						  coalesce(pick('high' || k, NULL, NULL, NULL, '10', '3.3', '0', '-1', '1000')::float8, 'Infinity'))) v(low, high);
			-- one column for the whole factor; one shape; anything; or the same thing again
			kind := rnd('kind' || k, 8);
			the_col := pick('col' || k, 'i4', 'txt', 'b', 'num', 'en', 'f8', 'c10', 'nd', 'd', 'st', 'i8', 'js');
			SELECT array_agg(c.n ORDER BY c.n) INTO pool FROM cond c
			WHERE CASE kind WHEN 0 THEN c.col = the_col AND c.shape = 'equal'
							WHEN 1 THEN c.col = the_col AND c.shape = 'equal'
							WHEN 2 THEN c.col = the_col
							WHEN 3 THEN c.col = the_col AND c.shape IN ('range', 'between')
							WHEN 4 THEN c.col = the_col AND c.shape = 'between'
							WHEN 5 THEN c.col = the_col AND c.cond ~ '^\w+ = ''[^'']*''$'
							WHEN 6 THEN c.shape IN ('boolean', 'null', 'constant')
							ELSE true END;
			INSERT INTO leadscore.rule (model, factor, parameter, condition, points, disqualifies)
			SELECT name, 'f' || f, c.n, c.cond,
				   pick('points' || k || r, '-30', '-7.5', '-0.1', '0', '0.1', '0.2', '0.7', '5', '5', '12.25', '33', '0.333333')::float8,
				   rnd('disqualifies' || k || r, 20) = 0
			FROM generate_series(1, 1 + rnd('rules' || k, CASE WHEN m % 5 = 0 THEN 90 ELSE 14 END)) r
			JOIN cond c ON c.n = pool[1 + rnd('rule' || k || CASE WHEN kind = 5 AND f % 2 = 0 THEN 0 ELSE r END, cardinality(pool))]
			ORDER BY r;
		END LOOP;
	END LOOP;
END
$$;

CREATE FUNCTION check_models() RETURNS TABLE (models bigint, rows bigint, score_wrong bigint, row_wrong bigint,
	explain_wrong bigint, fit_wrong bigint, engagement_wrong bigint, disqualified_wrong bigint, temperature_wrong bigint, grade_wrong bigint)
LANGUAGE sql AS $$
	WITH factors AS (
		SELECT f.model, f.axis, l.id, bool_or(coalesce(x.disqualified, false)) AS disqualified,
			   sum(least(greatest(coalesce(CASE f.combine WHEN 'sum' THEN x.total ELSE x.best END, 0), f.points_floor::numeric), f.points_cap::numeric)) AS points
		FROM leadscore.factor f
		CROSS JOIN lead l
		LEFT JOIN (SELECT r.model, r.factor, p.id, sum(r.points::numeric) AS total, max(r.points::numeric) AS best, bool_or(r.disqualifies) AS disqualified
				   FROM leadscore.rule r JOIN plain p ON p.n = r.parameter::int
				   WHERE r.model LIKE 't1\_m%' GROUP BY r.model, r.factor, p.id) x ON (x.model, x.factor, x.id) = (f.model, f.name, l.id)
		WHERE f.model LIKE 't1\_m%'
		GROUP BY f.model, f.axis, l.id
	), axes AS (
		SELECT m.name, m.score_min::numeric, m.score_max::numeric, l.id,
			   bool_or(f.disqualified) AS disqualified, bool_or(f.axis = 'engagement') AS has_engagement,
			   least(greatest(coalesce(sum(f.points) FILTER (WHERE f.axis = 'fit'), 0), m.fit_min::numeric), m.fit_max::numeric) AS fit,
			   least(greatest(coalesce(sum(f.points) FILTER (WHERE f.axis = 'engagement'), 0), m.engagement_min::numeric), m.engagement_max::numeric) AS engagement
		FROM leadscore.model m CROSS JOIN lead l LEFT JOIN factors f ON f.model = m.name AND f.id = l.id
		WHERE m.name LIKE 't1\_m%'
		GROUP BY m.name, l.id
	), truth AS (
		SELECT *, floor(least(greatest(fit + engagement, score_min), score_max) + 0.000000001) AS score FROM axes
	)
	SELECT count(DISTINCT t.name), count(*),
		   count(*) FILTER (WHERE e.score IS DISTINCT FROM t.score),
		   count(*) FILTER (WHERE leadscore._score_row(t.name, l) IS DISTINCT FROM t.score),
		   count(*) FILTER (WHERE (SELECT coalesce(sum(x.counted), 0) FROM leadscore.explain(t.name, l) x) IS DISTINCT FROM t.score),
		   count(*) FILTER (WHERE NOT abs(e.fit - t.fit) < 1e-9),
		   count(*) FILTER (WHERE NOT abs(e.engagement - t.engagement) < 1e-9),
		   count(*) FILTER (WHERE e.disqualified IS DISTINCT FROM coalesce(t.disqualified, false)),
		   count(*) FILTER (WHERE e.temperature::text IS DISTINCT FROM
				CASE WHEN t.disqualified OR t.score < 25 THEN 'cold' WHEN t.score < 50 THEN 'warm' ELSE 'hot' END),
		   count(*) FILTER (WHERE e.grade IS DISTINCT FROM
				CASE WHEN t.fit >= 40 THEN 'A' WHEN t.fit >= 20 THEN 'B' WHEN t.fit >= 0 THEN 'C' ELSE 'D' END ||
				CASE WHEN NOT t.has_engagement THEN '' WHEN t.engagement >= 40 THEN '1' WHEN t.engagement >= 20 THEN '2' WHEN t.engagement >= 5 THEN '3' ELSE '4' END)
	FROM truth t JOIN lead l USING (id) CROSS JOIN LATERAL leadscore.evaluate(t.name, l) e
$$;

ANALYZE lead;
SELECT random_models(1, 30);
SELECT * FROM check_models();

-- they cover what they should
SELECT count(*) FILTER (WHERE f.combine = 'best') > 20 AS best, count(*) FILTER (WHERE f.combine = 'sum') > 20 AS sum,
	   count(*) FILTER (WHERE f.points_floor > 0) > 3 AS forced_up, count(*) FILTER (WHERE f.points_cap < 0) > 3 AS forced_down,
	   count(*) FILTER (WHERE r.n > 32) > 3 AS many_rules, count(*) FILTER (WHERE r.d > 0) > 10 AS disqualifying
FROM leadscore.factor f
CROSS JOIN LATERAL (SELECT count(*) AS n, count(*) FILTER (WHERE disqualifies) AS d
					FROM leadscore.rule r WHERE r.model = f.model AND r.factor = f.name) r
WHERE f.model LIKE 't1\_m%';

-- half of the rules switched off, then back on with the opposite points
UPDATE rule SET enabled = false WHERE model LIKE 't1\_m%' AND rnd('enabled' || model || factor || parameter, 2) = 0;
CREATE TABLE disabled AS SELECT * FROM rule WHERE model LIKE 't1\_m%' AND NOT enabled;
DELETE FROM rule WHERE model LIKE 't1\_m%' AND NOT enabled;
SELECT score_wrong, row_wrong, explain_wrong, disqualified_wrong, grade_wrong FROM check_models();
INSERT INTO rule SELECT * FROM disabled;	-- still disabled: must not speak
SELECT count(*) AS wrong
FROM lead l, model m
WHERE m.name LIKE 't1\_m_'
  AND (leadscore.score(m.name, l) IS DISTINCT FROM (SELECT coalesce(sum(counted), 0) FROM leadscore.explain(m.name, l))
	   OR EXISTS (SELECT FROM leadscore.explain(m.name, l) e JOIN disabled x ON x.id = e.rule_id));
UPDATE rule SET points = -points, enabled = true WHERE model LIKE 't1\_m%';
SELECT score_wrong, row_wrong, explain_wrong, disqualified_wrong, grade_wrong FROM check_models();
DELETE FROM model WHERE name LIKE 't1\_m%';

--
-- More rules on one value than are worked out in advance, and a factor that
-- hangs on two columns beside one that hangs on one
--
INSERT INTO model (name, target) VALUES ('t1_many', 'lead');
INSERT INTO factor (model, name, axis, combine, points_cap) VALUES
	('t1_many', 'sum', 'fit', 'sum', 70), ('t1_many', 'best', 'fit', 'best', NULL), ('t1_many', 'two columns', 'engagement', 'sum', 5);
INSERT INTO rule (model, factor, condition, points)
SELECT 't1_many', CASE i % 2 WHEN 0 THEN 'sum' ELSE 'best' END, 'i4 = 50', i FROM generate_series(1, 32) i;
INSERT INTO rule (model, factor, condition, points) VALUES
	('t1_many', 'two columns', 'i4 = 1', 3), ('t1_many', 'two columns', 'b', 4), ('t1_many', 'best', 'i4 = 1', -2);
-- 2 + 4 + ... + 32 = 272, but no more than 70; best of 1, 3, ... 31; and no more than 5 of 3 + 4
SELECT v.i4, v.b, evaluate.score, fit, engagement, leadscore._score_row('t1_many', l)
FROM (VALUES (50, NULL), (50, true), (1, false), (1, true), (NULL, true), (NULL, NULL::boolean)) v(i4, b),
	 LATERAL (SELECT x.* FROM jsonb_populate_record(NULL::lead, jsonb_build_object('i4', v.i4, 'b', v.b)) x) l,
	 LATERAL leadscore.evaluate('t1_many', l)
ORDER BY v.i4 DESC NULLS LAST, v.b;
INSERT INTO rule (model, factor, condition, points) VALUES ('t1_many', 'best', 'i4 = 50', 40), ('t1_many', 'sum', 'i4 = 50', -230);
SELECT v.i4, v.b, evaluate.score, fit, engagement, leadscore._score_row('t1_many', l)
FROM (VALUES (50, NULL), (50, true), (1, true), (NULL, NULL::boolean)) v(i4, b),
	 LATERAL (SELECT x.* FROM jsonb_populate_record(NULL::lead, jsonb_build_object('i4', v.i4, 'b', v.b)) x) l,
	 LATERAL leadscore.evaluate('t1_many', l)
ORDER BY v.i4 DESC NULLS LAST, v.b;
DELETE FROM model WHERE name = 't1_many';

--
-- A conjunct that guards another still does: nothing is looked up by an
-- expression that can fail
--
CREATE TABLE guarded (id int PRIMARY KEY, kind text, jn json, txt text, n int);
INSERT INTO guarded VALUES
	(1, 'good', '{"k": "x"}', '7', 1), (2, 'good', '{"k": "y"}', '8', 2), (3, 'bad', '{"k": "x", "j": "\u0000"}', 'x', 0),
	(4, 'bad', '{"k": "\ud800"}', '', 0), (5, NULL, NULL, NULL, NULL);
SELECT id FROM guarded WHERE kind <> 'bad' AND jn ->> 'k' = 'x' ORDER BY id;
INSERT INTO model (name, target) VALUES ('t1_guarded', 'guarded');
INSERT INTO factor (model, name, axis, combine) VALUES ('t1_guarded', 'f', 'fit', 'sum');
INSERT INTO rule (model, factor, condition, points) VALUES
	('t1_guarded', 'f', $$kind <> 'bad' AND jn ->> 'k' = 'x'$$, 1),
	('t1_guarded', 'f', $$kind <> 'bad' AND jn -> 'k' IS NOT NULL$$, 10),
	('t1_guarded', 'f', $$kind <> 'bad' AND txt::int = 7$$, 100),
	('t1_guarded', 'f', $$kind <> 'bad' AND 10 / n = 5$$, 1000);
SELECT id, leadscore.score('t1_guarded', g), leadscore._score_row('t1_guarded', g) FROM guarded g ORDER BY id;
-- and what fails, fails naming the rule
INSERT INTO rule (id, model, factor, parameter, condition, points) OVERRIDING SYSTEM VALUE VALUES
	(-1, 't1_guarded', 'f', 'bare', $$10 / n = 5$$, 10000);
SELECT id, leadscore.score('t1_guarded', g) FROM guarded g WHERE id < 3 ORDER BY id;
SELECT id, leadscore.score('t1_guarded', g) FROM guarded g WHERE id = 3;
SELECT id, leadscore._score_row('t1_guarded', g) FROM guarded g WHERE id = 3;
DELETE FROM model WHERE name = 't1_guarded';

--
-- Many intervals over the same values, so that they need a tree: open on
-- either side, nested, adjacent and empty, for integers and for numerics
--
CREATE TABLE nested (id int PRIMARY KEY, i int, n numeric);
INSERT INTO nested SELECT k, CASE WHEN k % 97 <> 0 THEN (k * 37) % 260 - 30 END, ((k * 53) % 2600 - 300) / 10.0
FROM generate_series(1, 400) k;
INSERT INTO model (name, target) VALUES ('t1_nested', 'nested');
INSERT INTO factor (model, name, axis, combine) VALUES ('t1_nested', 'f', 'fit', 'sum');
INSERT INTO rule (model, factor, condition, points)
SELECT 't1_nested', 'f', c, 1
FROM generate_series(0, 199) k,
	 LATERAL unnest(ARRAY[format('i > %s', k), format('i <= %s', k), format('i BETWEEN %s AND %s', k / 3, k), format('i > %s AND i < %s', k, k),
						  format('n >= %s.5', k), format('n < %s', k), format('n > %s AND n <= %s', k - 10, k + 0.5), format('n BETWEEN %s AND %s', k, k - 1)]) c;
SELECT format('SELECT count(*) AS leads, sum(score) AS points, count(*) FILTER (WHERE score <> expected OR score <> row_score) AS wrong FROM (
	SELECT leadscore.score(''t1_nested'', l), leadscore._score_row(''t1_nested'', l) AS row_score, %s AS expected FROM nested l) s',
	string_agg(format('coalesce((%s)::int, 0)', condition), ' + ')) AS query
FROM rule WHERE model = 't1_nested' \gset
:query;
DELETE FROM model WHERE name = 't1_nested';

DROP SCHEMA t1_dispatch CASCADE;
