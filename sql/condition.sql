--
-- condition: what a condition may say, what it may not, and that it means the
-- same for everybody
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
CREATE SCHEMA cond;
CREATE SCHEMA cond_ext;
CREATE EXTENSION citext SCHEMA cond_ext;
CREATE EXTENSION hstore SCHEMA cond_ext;
CREATE EXTENSION ltree SCHEMA cond_ext;
CREATE EXTENSION pg_trgm SCHEMA cond_ext;
CREATE EXTENSION unaccent SCHEMA cond_ext;
CREATE EXTENSION intarray SCHEMA cond_ext;
CREATE EXTENSION fuzzystrmatch SCHEMA cond_ext;
RESET client_min_messages;
SET search_path = cond, cond_ext;

CREATE TYPE mood AS ENUM ('cross', 'calm', 'keen');
CREATE DOMAIN size AS integer CHECK (VALUE >= 0);
CREATE TYPE address AS (street text, zip text, floor integer);

CREATE TABLE lead (
	id			integer PRIMARY KEY,
	name		text,
	email		varchar(60),
	country		char(5),
	employees	integer,
	revenue		numeric,
	rate		double precision,
	active		boolean,
	tags		text[],
	numbers		integer[],
	custom		jsonb,
	doc			json,
	created_at	timestamptz,
	seen		timestamp,
	birthday	date,
	opens		time,
	span		interval,
	mood		mood,
	moods		mood[],
	size		size,
	sizes		size[],
	address		address,
	period		daterange,
	uid			uuid,
	ip			inet,
	raw			bytea,
	price		money,
	words		tsvector,
	"Weird ""Col"	text,
	code		citext,
	attrs		hstore,
	path		ltree
);
INSERT INTO lead VALUES (
	1, 'Anna Director', 'anna@example.com', 'DE', 120, 1500.50, 0.25, true,
	'{partner,eu}', '{3,1,2}',
	'{"budget": "yes", "amount": 5000, "deep": {"list": [1, 2, {"x": "y"}]}}', '{"a": {"b": "c"}}',
	now() - interval '10 days', '2020-02-29 13:30', '1980-05-06', '08:30', '3 days 04:00',
	'keen', '{calm,keen}', 7, '{7,8}', ('Main St', '10115', 3), '[2020-01-01,2020-12-31)',
	'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '192.168.1.5', '\x6162', 12.5, 'big:1 deal:2',
	'odd', 'AbC', 'k=>v, n=>NULL', 'top.science.astronomy');
INSERT INTO lead (id) VALUES (2);		-- everything unknown
INSERT INTO leadscore.model (name, target, time_zone) VALUES ('cond', 'lead', 'UTC');
INSERT INTO leadscore.factor (model, name, axis) VALUES ('cond', 'f', 'fit');

-- A rule for each of the conditions in turn; what scoring says of the two
-- leads, which must be what the server says of the bare expression
CREATE FUNCTION judge(condition text) RETURNS text
LANGUAGE plpgsql SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET intervalstyle = 'postgres' AS $$
DECLARE
	verdict	leadscore.rule_check := leadscore.check_rule('cond', condition);
	scored	boolean[];
	said	boolean[];
BEGIN
	IF NOT verdict.ok THEN
		RETURN format('REFUSED %s: %s', verdict.sqlstate, verdict.message);
	END IF;
	DELETE FROM leadscore.rule WHERE model = 'cond';
	INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1000001, 'cond', 'f', judge.condition, 1);
	SELECT array_agg(leadscore.score('cond', l) = 1 ORDER BY l.id) INTO scored FROM lead l;
	EXECUTE format('SELECT array_agg((%s) IS TRUE ORDER BY id) FROM lead', condition) INTO said;
	RETURN CASE WHEN scored = said THEN scored::text ELSE format('scored %s but is %s', scored, said) END;
END
$$;

--
-- What is accepted
--
\pset format unaligned
\pset tuples_only on

-- comparison, patterns
SELECT c, judge(c) FROM (VALUES
	($$true$$), ($$active$$), ($$NOT active$$), ($$active IS NOT TRUE$$), ($$active IS UNKNOWN$$), ($$NULL$$),
	($$employees >= 50$$), ($$employees BETWEEN 50 AND 249$$), ($$employees NOT BETWEEN 50 AND 249$$),
	($$employees BETWEEN SYMMETRIC 249 AND 50$$), ($$employees IN (1, 120, NULL)$$), ($$employees NOT IN (1, 2)$$),
	($$employees % 7 = 1 AND @(-employees) = 120 AND employees ^ 2 > 14000$$),
	($$revenue > 1000 OR rate > 1$$), ($$rate = 0.25$$), ($$employees = 120.0$$), ($$employees IS NULL$$),
	($$name LIKE '%Director'$$), ($$name NOT LIKE 'anna%'$$), ($$name ILIKE 'anna%'$$), ($$name LIKE 'A!%' ESCAPE '!'$$),
	($$name ~ '^A.*r$'$$), ($$name ~* 'DIRECTOR'$$), ($$name !~ 'x'$$), ($$name SIMILAR TO 'Anna (Director|Manager)'$$),
	($$name LIKE ANY (ARRAY['%Dir%', 'x'])$$), ($$name ^@ 'Anna'$$), ($$country = 'DE'$$), ($$email = 'anna@example.com'$$),
	($$name IS DISTINCT FROM 'x'$$), ($$name IS NOT DISTINCT FROM NULL$$),
	($$(name, employees) = ('Anna Director', 120)$$), ($$(employees, revenue) > (120, 1000)$$), ($$ROW(name, id) IS NOT NULL$$),
	($$(id, name) IN ((1, 'Anna Director'), (2, 'x'))$$), ($$ROW(id, name) IS DISTINCT FROM ROW(2, NULL::text)$$),
	($$"Weird ""Col" = 'odd'$$), ($$lead.employees = 120$$), ($$cond.lead.employees = 120$$),
	($$name COLLATE "C" < 'B'$$), ($$U&'\0041nna Director' = name$$), ($$E'Anna\x20Director' = name$$),
	($$  employees -- a comment
	   > 5 /* and another */ $$)
) v(c);

-- CASE and its kin
SELECT c, judge(c) FROM (VALUES
	($$CASE WHEN employees > 100 THEN true ELSE active END$$), ($$CASE mood WHEN 'keen' THEN true END$$),
	($$CASE employees WHEN 120 THEN 'big' ELSE 'small' END = 'big'$$),
	($$COALESCE(employees, 0) = 0$$), ($$NULLIF(name, '') IS NULL$$),
	($$GREATEST(employees, 500) = 500$$), ($$LEAST(name, 'B') = 'Anna Director'$$), ($$GREATEST(mood, 'cross') = 'keen'$$),
	($$num_nulls(name, email, employees) = 3$$)
) v(c);

-- arrays, ranges
SELECT c, judge(c) FROM (VALUES
	($$tags && '{partner}'$$), ($$tags @> ARRAY['eu']$$), ($$ARRAY['eu'] <@ tags$$), ($$'eu' = ANY (tags)$$),
	($$'x' <> ALL (tags)$$), ($$tags[1] = 'partner'$$), ($$tags[1:1] = '{partner}'$$), ($$cardinality(tags) = 2$$),
	($$array_length(numbers, 1) = 3$$), ($$array_position(tags, 'eu') = 2$$), ($$numbers[2] + numbers[1] = 4$$),
	($$tags || 'new'::text = '{partner,eu,new}'$$), ($$numbers::text[] = '{3,1,2}'$$), ($$'2' = ANY (numbers::text[])$$),
	($$string_to_array(name, ' ') = '{Anna,Director}'$$), ($$'keen' = ANY (moods)$$), ($$moods @> '{calm}'$$),
	($$period @> date '2020-06-01'$$), ($$period && daterange('2020-03-01', NULL)$$), ($$upper(period) > '2020-01-01'$$),
	($$numbers @@ '1&3'::query_int$$), ($$sort(numbers) = '{1,2,3}'$$)
) v(c);

-- jsonb and json
SELECT c, judge(c) FROM (VALUES
	($$custom->>'budget' = 'yes'$$), ($$custom->'amount' = '5000'$$), ($$(custom->>'amount')::int >= 5000$$),
	($$(custom->'amount')::int >= 5000$$), ($$custom #>> '{deep,list,2,x}' = 'y'$$), ($$custom #> '{deep,list,0}' = '1'$$),
	($$custom @> '{"budget": "yes"}'$$), ($$custom ? 'budget'$$), ($$custom ?| '{x,amount}'$$), ($$custom ?& ARRAY['x', 'amount']$$),
	($$custom @? '$.deep.list[*] ? (@ > 1)'$$), ($$custom @@ '$.amount > 1000'$$),
	($$jsonb_path_exists(custom, '$.amount ? (@ > $min)', '{"min": 10}')$$),
	($$jsonb_path_exists(custom, '$.amount ? (@ > $min)', vars => '{"min": 10}', silent => true)$$),
	($$custom['budget'] = '"yes"'$$), ($$custom['deep']['list'][0] = '1'$$), ($$jsonb_typeof(custom->'deep') = 'object'$$),
	($$jsonb_array_length(custom->'deep'->'list') = 3$$), ($$(custom - 'budget') ? 'amount'$$),
	($$(custom || '{"z": 1}')->>'z' = '1'$$), ($$doc->'a'->>'b' = 'c'$$), ($$doc #>> '{a,b}' = 'c'$$),
	($$(custom->>'amount')::numeric / 2 = 2500$$)
) v(c);

-- casts, also those through the text form
SELECT c, judge(c) FROM (VALUES
	($$employees::text = '120'$$), ($$CAST(revenue AS integer) = 1501$$), ($$employees::numeric(10,2)::text = '120.00'$$),
	($$uid::text LIKE 'a0ee%'$$), ($$uid = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'$$), ($$mood::text = 'keen'$$),
	($$'keen'::mood = mood$$), ($$(custom->>'mood')::mood IS NULL$$), ($$'{keen,calm}'::mood[] @> moods$$),
	($$ip <<= '192.168.0.0/16'$$), ($$host(ip) = '192.168.1.5'$$), ($$ip::text = '192.168.1.5/32'$$),
	($$created_at::text > '2000'$$), ($$rate::text = '0.25'$$), ($$raw::text = '\x6162'$$), ($$raw = 'ab'$$), ($$span::text = '3 days 04:00:00'$$),
	($$seen::text = '2020-02-29 13:30:00'$$), ($$employees::float8 / 7 > 17.1$$), ($$int4(revenue) = 1501$$), ($$float8(employees) = 120$$),
	($$active::int = 1$$), ($$'120' = employees$$), ($$text 'Anna Director' = name$$), ($$varchar(4) 'Anna Director' = 'Anna'$$),
	($$'{"b": 1}'::jsonb ? 'b'$$), ($$doc::jsonb ? 'a'$$), ($$words @@ 'deal'::tsquery$$)
) v(c);

-- enum, domain and composite columns
SELECT c, judge(c) FROM (VALUES
	($$mood = 'keen'$$), ($$mood > 'calm'$$), ($$mood IN ('cross', 'keen')$$), ($$size = 7$$), ($$size BETWEEN 5 AND 9$$), ($$size + 1 = 8$$),
	($$size = '7'$$), ($$sizes[1] = 7$$), ($$7 = ANY (sizes)$$), ($$(address).zip = '10115'$$), ($$(address).floor > 2 AND (lead.address).street LIKE 'Main%'$$),
	($$address IS NULL$$), ($$COALESCE(size, 0) = 0$$), ($$size::text = '7'$$)
) v(c);

-- text and other functions, arguments by name
SELECT c, judge(c) FROM (VALUES
	($$lower(name) = 'anna director'$$), ($$upper(left(name, 4)) = 'ANNA'$$), ($$length(trim(name)) = 13$$), ($$split_part(email, '@', 2) = 'example.com'$$),
	($$substring(name FROM 1 FOR 4) = 'Anna'$$), ($$substring(email FROM '@(.*)$') = 'example.com'$$), ($$position('@' IN email) = 5$$),
	($$overlay(name PLACING 'x' FROM 1 FOR 4) = 'x Director'$$), ($$TRIM(BOTH 'A' FROM name) = 'nna Director'$$),
	($$regexp_replace(email, '@.*', '') = 'anna'$$), ($$replace(name, 'Anna', 'Bob') || '!' = 'Bob Director!'$$), ($$starts_with(name, 'Anna')$$),
	($$md5(name) = md5('Anna Director')$$), ($$strpos(name, 'D') > 0$$), ($$initcap(email) = 'Anna@Example.Com'$$), ($$round(revenue, 1) = 1500.5$$),
	($$width_bucket(employees, 0, 200, 4) = 3$$), ($$encode(raw, 'hex') = '6162'$$), ($$get_byte(raw, 0) = 97$$),
	($$make_date(year => 1980, month => 5, day => 6) = birthday$$), ($$make_interval(days => 3, hours => 4) = span$$),
	($$normalize(name) = name$$), ($$name IS NFC NORMALIZED$$)
) v(c);

-- dates and times
SELECT c, judge(c) FROM (VALUES
	($$created_at > now() - interval '30 days'$$), ($$created_at < now() - interval '7 days'$$), ($$created_at < current_timestamp$$),
	($$created_at < statement_timestamp()$$), ($$created_at < transaction_timestamp()$$), ($$created_at::date < current_date$$), ($$seen < localtimestamp$$),
	($$age(created_at) > '9 days'$$), ($$age(now(), created_at) = '10 days'$$), ($$date_trunc('month', seen) = '2020-02-01'$$),
	($$date_trunc('day', created_at) < now()$$), ($$extract(year FROM birthday) = 1980$$), ($$date_part('dow', seen) = 6$$), ($$extract(epoch FROM span) = 273600$$),
	($$(now() - created_at) = interval '10 days'$$), ($$birthday + 1 = '1980-05-07'$$), ($$birthday - date '1980-05-01' = 5$$),
	($$seen + span > '2020-03-03'$$), ($$created_at AT TIME ZONE 'Europe/Berlin' > '2000-01-01'$$), ($$seen AT TIME ZONE 'America/New_York' > '2020-02-29 18:00+00'$$),
	($$created_at > birthday$$), ($$seen < created_at$$), ($$birthday = timestamp '1980-05-06 00:00'$$), ($$created_at > date '2000-01-01'$$), ($$current_date > date '2000-01-01'$$),
	($$created_at::date + 5 < now()$$), ($$(seen, seen + span) OVERLAPS (timestamp '2020-03-01', timestamp '2020-04-01')$$), ($$seen::timestamptz = '2020-02-29 13:30+00'$$),
	($$opens < time '09:00'$$), ($$opens + interval '1 hour' = '09:30'$$), ($$justify_days(interval '30 days') = interval '1 mon'$$), ($$isfinite(birthday)$$),
	($$to_timestamp(0) < created_at$$), ($$to_date('2020-02-29', 'YYYY-MM-DD') = seen::date$$), ($$to_timestamp('2020', 'YYYY') < created_at$$), ($$make_timestamptz(2020, 2, 29, 13, 30, 0) = seen$$),
	($$seen = '2020-02-29 13:30'$$), ($$created_at > '2000-01-01'$$), ($$created_at < 'infinity'$$), ($$date '2020-02-29' + time '13:30' = seen$$)
) v(c);

-- types and functions of well-known extensions
SELECT c, judge(c) FROM (VALUES
	($$code = 'aBc'$$), ($$code LIKE 'ab%'$$), ($$code IN ('x', 'ABC')$$), ($$code::text = 'AbC'$$), ($$name::citext = 'ANNA DIRECTOR'$$), ($$replace(code, 'B', 'x') = 'AxC'$$),
	($$attrs->'k' = 'v'$$), ($$attrs ? 'n'$$), ($$attrs @> 'k=>v'$$), ($$exist(attrs, 'k')$$), ($$attrs['k'] = 'v'$$), ($$akeys(attrs) @> '{n}'$$), ($$'a=>1'::hstore -> 'a' = '1'$$),
	($$path <@ 'top.science'$$), ($$path ~ '*.science.*'$$), ($$nlevel(path) = 3$$), ($$subpath(path, 0, 1) = 'top'$$),
	($$similarity(name, 'anna') > 0.3$$), ($$word_similarity('anna', name) > 0.9$$), ($$name <-> 'anna' < 0.9$$),
	($$unaccent('Ánna Director') = name$$), ($$levenshtein(name, 'Anna Direktor') = 1$$), ($$soundex(name) = soundex('Ana'||' '||'director')$$),
	($$leadscore.is_qualified('mql')$$), ($$'sql'::leadscore.lead_stage > 'mql'$$), ($$(custom->>'stage')::leadscore.lead_stage >= 'mql'$$)
) v(c);
\pset tuples_only off
\pset format aligned

--
-- What is refused, and what it says
--
DELETE FROM leadscore.rule WHERE model = 'cond';

-- not one expression
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'employees >');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'employees > > 5');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', '(employees > 5');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', $$name = 'open$$);
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', '');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', '-- nothing');
\set VERBOSITY terse
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', NULL);
\set VERBOSITY default
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active, employees > 5');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active; SELECT 1');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active;');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active AS ok');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active ok');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'a.active FROM cond.lead a');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active WHERE id = 1');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active GROUP BY id');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active HAVING true');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active ORDER BY id');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active LIMIT 1');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active OFFSET 1');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active FOR UPDATE');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active INTO TEMP t');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'DISTINCT active');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active UNION SELECT true');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'SELECT true');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'employees := 5');

-- names and types
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'employes > 5');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'lead.employes > 5');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'other.employees > 5');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', '"Employees" > 5');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', '(address).city IS NULL');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'employees');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', $$'yes?'$$);
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', $$name = 'é' AND employees = 'many'$$);
\set VERBOSITY terse
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', $$created_at > '30/30/2020'$$);	-- the hint differs between servers
\set VERBOSITY default
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', $$mood = 'furious'$$);
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', $$name = 'x'::nowhere.such$$);
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active AND 1');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', '1 / 0 = 1');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', '$1 > 5');

-- more than the row
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'employees > (SELECT 5)');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active AND EXISTS (SELECT FROM cond.lead)');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'employees IN (SELECT 5)');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'ARRAY(SELECT 5) = numbers');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'sum(employees) > 5');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'count(*) > 5');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'count(DISTINCT id) > 5');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'sum(employees) FILTER (WHERE active) > 5');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'row_number() OVER () > 5');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'generate_series(1, 5) > 3');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', $$ctid = '(0,1)'$$);
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active AND tableoid > 0');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'lead IS NOT NULL');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'lead.* IS NOT NULL');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', '* IS NOT NULL');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', '(address).* IS NULL');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active = DEFAULT');

-- not the same each time
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'random() > 0.5');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'created_at < clock_timestamp()');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'nextval(1259) > 0');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'pg_sleep(1) IS NULL');

-- functions that look around
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', $$current_setting('TimeZone') = 'UTC'$$);
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', $$query_to_xml('SELECT 1', true, true, '') IS NULL$$);
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', $$table_to_xml(1259, true, true, '') IS NULL$$);
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'pg_partition_root(1259) IS NULL');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'satisfies_hash_partition(1259, 1, 0, id)');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', $$concat(name, 'x') = 'x'$$);
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'current_user = name');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', $$'cond.lead'::regclass = 1$$);
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', $$regclass('cond.lead') = 1$$);
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'size::cond.size = 7');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', $$price > '5'$$);
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'price = 5::money');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'xmlelement(name a) IS NULL');
SELECT count(*) FROM leadscore.rule WHERE model = 'cond' AND id = 1;

-- and more of them, without the messages of the server's own
\pset format unaligned
\pset tuples_only on
SELECT c, r.ok FROM (VALUES
	($$timeofday() IS NULL$$), ($$gen_random_uuid() = uid$$), ($$txid_current() > 0$$), ($$setval('leadscore.rule_id_seq', 5) = 5$$), ($$set_config('a.b', 'c', false) = 'c'$$),
	($$pg_read_file('PG_VERSION') = ''$$), ($$pg_stat_file('x') IS NULL$$), ($$lo_get(1) = raw$$), ($$lo_import('/etc/passwd') = 1$$),
	($$has_table_privilege('pg_class', 'select')$$), ($$has_table_privilege(name, 'pg_class', 'select')$$), ($$pg_has_role('postgres', 'member')$$), ($$row_security_active('pg_class')$$),
	($$pg_get_viewdef(1259) = ''$$), ($$pg_get_userbyid(10) = name$$), ($$pg_typeof(name) = 25$$), ($$pg_table_is_visible(1259)$$), ($$obj_description(1259, 'pg_class') = ''$$), ($$format_type(23, NULL) = name$$),
	($$schema_to_xml('cond', true, true, '') IS NULL$$), ($$cursor_to_xml('c', 1, true, true, '') IS NULL$$), ($$database_to_xml(true, true, '') IS NULL$$), ($$ts_rewrite('a'::tsquery, 'SELECT 1') IS NULL$$),
	($$to_json(name) IS NULL$$), ($$to_jsonb(name) IS NULL$$), ($$row_to_json(address) IS NULL$$), ($$array_to_json(tags) IS NULL$$), ($$json_build_object('a', name) IS NULL$$), ($$jsonb_build_array(name) IS NULL$$),
	($$json_populate_record(address, '{}') IS NULL$$), ($$jsonb_populate_record(address, '{}') IS NULL$$),
	($$concat_ws(',', name, email) = ''$$), ($$format('%s', name) = ''$$), ($$quote_literal(employees) = ''$$), ($$array_to_string(tags, ',') = ''$$), ($$to_char(created_at, 'Day') = ''$$), ($$to_char(employees, '9') = ''$$),
	($$session_user = name$$), ($$user = name$$), ($$current_role = name$$), ($$current_schema = name$$), ($$current_schema() = name$$), ($$current_schemas(true) IS NULL$$), ($$current_catalog = name$$), ($$current_database() = name$$), ($$version() = name$$), ($$inet_client_addr() = ip$$),
	($$'x'::regproc = 1$$), ($$'lower(text)'::regprocedure = 1$$), ($$'postgres'::regrole = 1$$), ($$'cond'::regnamespace = 1$$), ($$'text'::regtype = 25$$), ($$'simple'::regconfig = 1$$), ($$to_regclass('x') IS NULL$$), ($$regclass(name) = 1$$), ($$name::regclass = 1$$), ($$'{x}'::regclass[] IS NULL$$), ($$'=r/x'::aclitem IS NULL$$),
	($$xmlparse(document '<a/>') IS NULL$$), ($$xmlforest(name) IS NULL$$), ($$xmlserialize(content '<a/>'::xml AS text) = ''$$), ($$'<a/>'::xml IS DOCUMENT$$),
	($$name::money = price$$), ($$price::numeric > 5$$), ($$price IN ('1', '2')$$), ($$5::money IS NULL$$),
	($$leadscore.score('cond', NULL) > 1$$), ($$(leadscore.check_rule('cond', 'true')).ok$$), ($$leadscore._condition_error('cond', 'true', '') IS NULL$$), ($$leadscore.export_model('cond') IS NULL$$), ($$leadscore.template('b2b_webinar') IS NULL$$), ($$(leadscore.lead_stages()).stage = 'mql'$$),
	($$set_limit(0.5) > 0$$), ($$show_trgm(name) @> '{x}' AND show_limit() > 0$$), ($$name % 'anna'$$),
	($$int4in('5') = 5 AND domain_in('x', 1, 1) IS NULL$$), ($$array_in('{x}', 1259, -1) IS NULL$$), ($$record_in('(x)', 1259, -1) IS NULL$$), ($$xpath('a', '<a/>') IS NULL AND pg_sleep(1) IS NULL$$)
) v(c), leadscore.check_rule('cond', c) r;

-- well-known extensions and the list of date functions hold some that are not
-- harmless; and sets, whoever notices them first
SELECT c, r.ok FROM (VALUES
	($$populate_record(address, 'zip=>1') IS NULL$$), ($$(address #= 'zip=>1') IS NULL$$), ($$age('1'::xid) > 5$$),
	($$generate_series(1, 5) > 3$$), ($$unnest(tags) = 'eu'$$), ($$pg_ls_dir('.') = ''$$), ($$ts_stat('SELECT 1') IS NULL$$)
) v(c), leadscore.check_rule('cond', c) r;

-- words that mean the clock would mean the moment of compilation, in each session another
SELECT c, r.ok FROM (VALUES
	($$created_at < 'now'$$), ($$created_at < timestamptz 'now'$$), ($$seen < 'Today'$$), ($$birthday = 'tomorrow'::date$$), ($$created_at > ' yesterday '$$), ($$opens < 'now'$$), ($$created_at IN ('now', 'today')$$)
) v(c), leadscore.check_rule('cond', c) r;
\pset tuples_only off
\pset format aligned

--
-- Rules are no way in
--
SET client_min_messages = warning;
CREATE ROLE regress_ls_owner;			-- owns the table of leads
CREATE ROLE regress_ls_writer;			-- may write rules, and nothing of the CRM
CREATE ROLE regress_ls_app;				-- scores
RESET client_min_messages;
GRANT USAGE ON SCHEMA leadscore, cond, cond_ext TO regress_ls_owner, regress_ls_writer, regress_ls_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA leadscore TO regress_ls_writer;
GRANT SELECT ON leadscore.model, leadscore.factor, leadscore.rule, leadscore.threshold TO regress_ls_app;
GRANT SELECT, INSERT ON lead TO regress_ls_app;
ALTER TABLE lead OWNER TO regress_ls_owner;
CREATE SCHEMA regress_mal AUTHORIZATION regress_ls_writer;
GRANT USAGE ON SCHEMA regress_mal TO PUBLIC;
RESET search_path;

SET ROLE regress_ls_writer;
-- what must never run as anybody else, nor as the writer by way of a rule; a
-- sequence remembers even what is rolled back
CREATE SEQUENCE regress_mal.calls;
GRANT ALL ON SEQUENCE regress_mal.calls TO PUBLIC;
CREATE FUNCTION regress_mal.trap(anyelement) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RAISE WARNING 'the trap ran as %', current_user;
	PERFORM nextval('regress_mal.calls');
	RETURN true;
END
$$;
CREATE FUNCTION regress_mal.never(integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT regress_mal.trap($1)';
CREATE FUNCTION regress_mal.plp(integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN regress_mal.trap($1); END';

-- own functions
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'regress_mal.never(employees)');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'regress_mal.plp(5)');
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'active AND regress_mal.trap(name)');
SELECT (leadscore.check_rule('cond', 'regress_mal.plp(employees)')).sqlstate;

-- own domains: a CHECK is a function call
CREATE DOMAIN regress_mal.evil AS text CHECK (regress_mal.trap(VALUE));
CREATE DOMAIN regress_mal.evil_not_null AS text NOT NULL CHECK (regress_mal.trap(VALUE));
CREATE TYPE regress_mal.pair AS (a integer, b regress_mal.evil);
CREATE TYPE regress_mal.pairs AS (p regress_mal.pair[]);
CREATE DOMAIN regress_mal.evil_pair AS regress_mal.pair CHECK (regress_mal.trap(1));
CREATE TYPE regress_mal.evil_range AS RANGE (subtype = regress_mal.evil, subtype_opclass = pg_catalog.text_ops, multirange_type_name = regress_mal.evil_multi);
CREATE TYPE regress_mal.plain AS (a integer, b text);
CREATE TYPE regress_mal.kind AS ENUM ('a', 'b');
CREATE FUNCTION regress_mal.takes(regress_mal.evil) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION regress_mal.takes_array(regress_mal.evil[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION regress_mal.takes_pair(regress_mal.pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION regress_mal.takes_range(regress_mal.evil_range) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION regress_mal.same(text, regress_mal.evil[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR regress_mal.=== (FUNCTION = regress_mal.same, LEFTARG = text, RIGHTARG = regress_mal.evil[]);
\pset format unaligned
\pset tuples_only on
SELECT c, r.ok FROM (VALUES
	($$'x'::regress_mal.evil = 'x'$$), ($$name::regress_mal.evil = 'x'$$), ($$CAST('x' AS regress_mal.evil) IS NULL$$), ($$regress_mal.evil 'x' IS NULL$$), ($$NULL::regress_mal.evil_not_null IS NULL$$),
	($$'{x}'::regress_mal.evil[] IS NULL$$), ($$ARRAY['x']::regress_mal.evil[] IS NULL$$), ($$tags::regress_mal.evil[] IS NULL$$), ($$ARRAY['x'::regress_mal.evil] IS NULL$$), ($$name = ANY ('{x}'::regress_mal.evil[])$$),
	($$'(1,x)'::regress_mal.pair IS NULL$$), ($$ROW(1, 'x')::regress_mal.pair IS NULL$$), ($$name::regress_mal.pair IS NULL$$), ($$'{"(1,x)"}'::regress_mal.pair[] IS NULL$$), ($$'("{""(1,x)""}")'::regress_mal.pairs IS NULL$$),
	($$'(1,x)'::regress_mal.evil_pair IS NULL$$), ($$ROW(1, 'x')::regress_mal.evil_pair IS NULL$$), ($$'[a,b]'::regress_mal.evil_range IS NULL$$), ($$'{[a,b]}'::regress_mal.evil_multi IS NULL$$),
	($$regress_mal.evil('x') IS NULL$$), ($$regress_mal.evil(name) IS NULL$$), ($$regress_mal._evil('{x}') IS NULL$$), ($$regress_mal.pair('(1,x)') IS NULL$$), ($$regress_mal.evil_range('[a,b]') IS NULL$$), ($$regress_mal.evil_range('a', 'b') IS NULL$$), ($$(name).evil IS NULL$$),
	($$('x'::text)::regress_mal.evil IS NULL$$), ($$CASE WHEN active THEN 'x'::regress_mal.evil END IS NULL$$), ($$COALESCE(NULL::regress_mal.evil, 'x') IS NULL$$)
) v(c), leadscore.check_rule('cond', c) r;

-- the same by way of the argument of a function or an operator, which is found
-- to be refused only after the literal took on its type
SELECT c, r.ok FROM (VALUES
	($$regress_mal.takes('x')$$), ($$regress_mal.takes_array('{x}')$$), ($$regress_mal.takes_pair('(1,x)')$$), ($$regress_mal.takes_range('[a,b]')$$), ($$name OPERATOR(regress_mal.===) '{x}'$$)
) v(c), leadscore.check_rule('cond', c) r;
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', $$regress_mal.takes_array('{x}')$$);

-- a type without a domain today may have one tomorrow, in the middle of a statement
SELECT c, r.ok FROM (VALUES ($$name::regress_mal.plain IS NULL$$), ($$tags::regress_mal.plain[] IS NULL$$), ($$(custom->>'x')::regress_mal.plain IS NULL$$)) v(c), leadscore.check_rule('cond', c) r;

-- own operators, own casts, own names before those of the server
CREATE FUNCTION regress_mal.lower(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT CASE WHEN regress_mal.trap($1) THEN $1 END';
CREATE FUNCTION regress_mal.eq(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT regress_mal.trap($1)';
CREATE FUNCTION regress_mal.eq(varchar, varchar) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT regress_mal.trap($1::text)';
CREATE FUNCTION regress_mal.eq(regress_mal.kind, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT regress_mal.trap($2)';
CREATE FUNCTION regress_mal.kind_to_text(regress_mal.kind) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT CASE WHEN regress_mal.trap(1) THEN ''a'' END';
CREATE OPERATOR regress_mal.= (FUNCTION = regress_mal.eq, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR regress_mal.= (FUNCTION = regress_mal.eq, LEFTARG = varchar, RIGHTARG = varchar);
CREATE OPERATOR regress_mal.= (FUNCTION = regress_mal.eq, LEFTARG = regress_mal.kind, RIGHTARG = text);
CREATE OPERATOR regress_mal.+ (FUNCTION = regress_mal.never, RIGHTARG = integer);
CREATE CAST (regress_mal.kind AS text) WITH FUNCTION regress_mal.kind_to_text(regress_mal.kind) AS IMPLICIT;
-- an operator of the server's function whose negator is not: the planner would swap them
CREATE OPERATOR regress_mal.==== (FUNCTION = pg_catalog.texteq, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR regress_mal.!=== (FUNCTION = regress_mal.eq, LEFTARG = text, RIGHTARG = text, NEGATOR = OPERATOR(regress_mal.====));
SELECT c, r.ok FROM (VALUES
	($$name OPERATOR(regress_mal.=) 'x'$$), ($$OPERATOR(regress_mal.+) employees$$), ($$'x' OPERATOR(regress_mal.=) ANY (tags)$$), ($$(name, name) OPERATOR(regress_mal.=) ('x', 'x')$$),
	($$'a'::regress_mal.kind::text = 'a'$$), ($$lower('a'::regress_mal.kind) = 'a'$$), ($$'a'::regress_mal.kind || 'x' = 'ax'$$),
	($$name OPERATOR(regress_mal.====) 'x'$$), ($$NOT (name OPERATOR(regress_mal.====) 'x')$$), ($$NOT ('x' OPERATOR(regress_mal.====) ANY (tags))$$)
) v(c), leadscore.check_rule('cond', c) r;
SET search_path = regress_mal, pg_catalog;
SELECT c, r.ok FROM (VALUES
	($$'a'::kind = 'x'::text$$), ($$CASE 'a'::kind WHEN 'x'::text THEN true END$$), ($$NULLIF('a'::kind, 'x'::text) IS NULL$$), ($$'a'::kind IS DISTINCT FROM 'x'::text$$), ($$'a'::kind IN ('x'::text)$$),
	($$email = 'x'::varchar$$), ($$'b'::kind > 'a'$$)
) v(c), leadscore.check_rule('cond', c) r;
-- the server's own names come first
SELECT c, r.ok, r.sqlstate FROM (VALUES ($$lower(name) = 'x'$$), ($$name = 'x'$$), ($$+ employees > 5$$)) v(c), leadscore.check_rule('cond', c) r;
\pset tuples_only off
\pset format aligned
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1000001, 'cond', 'f', $$lower(name) = 'anna director'$$, 1);
-- unless the rule says otherwise; then they are refused
INSERT INTO leadscore.rule (id, model, factor, condition, search_path) VALUES (1, 'cond', 'f', $$lower(name) LIKE 'x'$$, 'regress_mal, pg_catalog');
\set VERBOSITY sqlstate
INSERT INTO leadscore.rule (id, model, factor, condition, search_path) VALUES (1, 'cond', 'f', $$name = 'x'$$, 'regress_mal, pg_catalog');
\set VERBOSITY default
INSERT INTO leadscore.rule (id, model, factor, condition, search_path) VALUES (1, 'cond', 'f', 'true', '"open');
RESET search_path;
SELECT condition, search_path FROM leadscore.rule WHERE model = 'cond';

-- a writer need not see the leads, and does not see them by way of rules
SELECT name FROM cond.lead;
SELECT leadscore.score('cond', l) FROM cond.lead l;
SELECT leadscore._score_columns('cond', 1, '{}', '(0,1)', 1, NULL, 1);

-- only superusers say which functions may be called, whatever the grants
\set SHOW_CONTEXT never
INSERT INTO leadscore.allowed_function (signature) VALUES ('regress_mal.plp(integer)');
RESET ROLE;
INSERT INTO leadscore.allowed_function (signature, note) VALUES ('pg_catalog.pg_sleep_for(interval)', 'no');
INSERT INTO leadscore.allowed_function (signature, note) VALUES ('pg_catalog.current_setting(text)', 'test');
SET ROLE regress_ls_writer;
UPDATE leadscore.allowed_function SET signature = 'regress_mal.plp(integer)';
DELETE FROM leadscore.allowed_function;
RESET ROLE;
DELETE FROM leadscore.allowed_function;

-- what runs with the extension's own rights cannot be called or used elsewhere
SET ROLE regress_ls_writer;
SELECT leadscore.after_ddl();
\set VERBOSITY terse
CREATE EVENT TRIGGER regress_mal_ddl ON ddl_command_end EXECUTE FUNCTION leadscore.after_ddl();
\set VERBOSITY default
CREATE TABLE regress_mal.own (model text);
CREATE TRIGGER t AFTER INSERT ON regress_mal.own FOR EACH ROW EXECUTE FUNCTION leadscore.matrix_changed();
CREATE TRIGGER t AFTER INSERT ON regress_mal.own FOR EACH ROW EXECUTE FUNCTION leadscore.after_model_moved();
CREATE TRIGGER t AFTER INSERT ON regress_mal.own FOR EACH ROW EXECUTE FUNCTION leadscore.after_rule_mended();
SELECT leadscore.matrix_changed();
RESET ROLE;
-- nor does a trigger of the writer's fire with them, even with too many grants
GRANT TRIGGER ON leadscore.model, leadscore.rule, leadscore.problem TO regress_ls_writer;
SET ROLE regress_ls_writer;
CREATE FUNCTION regress_mal.trapdoor() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM regress_mal.trap(1); RETURN NEW; END';
CREATE TRIGGER trapdoor BEFORE UPDATE ON leadscore.model FOR EACH ROW EXECUTE FUNCTION regress_mal.trapdoor();
CREATE TRIGGER trapdoor BEFORE INSERT ON leadscore.problem FOR EACH ROW EXECUTE FUNCTION regress_mal.trapdoor();
INSERT INTO leadscore.rule (id, model, factor, condition) VALUES (1, 'cond', 'f', 'true');
SELECT leadscore.check_rules('cond');
RESET ROLE;
DROP TRIGGER trapdoor ON leadscore.problem;
-- a change of a type concerns all models, while the trigger on model is there
\set VERBOSITY terse
SET client_min_messages = error;	-- whatever is said of it
SET ROLE regress_ls_writer;
ALTER DOMAIN regress_mal.evil_not_null DROP NOT NULL;
RESET ROLE;
DROP TRIGGER trapdoor ON leadscore.model;
-- a rule is mended, a model moved: old problems are deleted
SET ROLE regress_ls_writer;
CREATE TRIGGER trapdoor BEFORE DELETE ON leadscore.problem FOR EACH STATEMENT EXECUTE FUNCTION regress_mal.trapdoor();
DO $$
BEGIN
	UPDATE leadscore.rule SET enabled = true WHERE model = 'cond';
EXCEPTION WHEN insufficient_privilege THEN NULL;
END
$$;
DO $$
BEGIN
	UPDATE leadscore.model SET source = target WHERE name = 'cond';
EXCEPTION WHEN insufficient_privilege THEN NULL;
END
$$;
RESET ROLE;
DROP TRIGGER trapdoor ON leadscore.problem;
RESET client_min_messages;
\set VERBOSITY default
SELECT is_called AS the_trap_ran FROM regress_mal.calls;
UPDATE leadscore.model SET source = NULL WHERE name = 'cond';
REVOKE TRIGGER ON leadscore.model, leadscore.rule, leadscore.problem FROM regress_ls_writer;

\set SHOW_CONTEXT errors
SET ROLE regress_ls_writer;
\set VERBOSITY sqlstate
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1000002, 'cond', 'f', $$NOT (name OPERATOR(regress_mal.====) 'x')$$, 1);
\set VERBOSITY default
RESET ROLE;
-- another session scores by the writer's rules; nothing of the writer's runs
SET ROLE regress_ls_app;
SELECT l.id, leadscore.score('cond', l) FROM cond.lead l ORDER BY id;
SET search_path = regress_mal, pg_catalog;
UPDATE leadscore.factor SET description = 'new' WHERE model = 'cond';	-- may not
SELECT l.id, leadscore.score('cond', l) FROM cond.lead l ORDER BY id;
RESET search_path;
RESET ROLE;
SELECT is_called AS the_trap_ran FROM regress_mal.calls;

--
-- A condition means the same in every session
--
-- The columns: as written, later with another setting, and compiled anew
-- under that setting
CREATE FUNCTION cond.under(setting text, value text, condition text) RETURNS integer[]
LANGUAGE plpgsql AS $$
DECLARE
	before	text := current_setting(setting);
	scores	integer[];
	score	integer;
BEGIN
	DELETE FROM leadscore.rule WHERE model = 'cond';
	INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1000101, 'cond', 'f', condition, 1);
	SELECT leadscore.score('cond', l) INTO score FROM cond.lead l WHERE l.id = 1;
	scores := array[score];
	PERFORM set_config(setting, value, false);
	SELECT leadscore.score('cond', l) INTO score FROM cond.lead l WHERE l.id = 1;
	scores := scores || score;
	UPDATE leadscore.factor SET description = setting WHERE model = 'cond';
	SELECT leadscore.score('cond', l) INTO score FROM cond.lead l WHERE l.id = 1;
	scores := scores || score;
	PERFORM set_config(setting, before, false);
	RETURN scores;
EXCEPTION WHEN feature_not_supported THEN
	IF setting <> 'xmloption' THEN
		RAISE;
	END IF;
	RETURN '{1,1,1}';		-- a server without XML
END
$$;
SET search_path = cond, cond_ext;
SELECT s, v, c, cond.under(s, v, c) FROM (VALUES
	(1, 'search_path', '', $$mood = 'keen'::mood$$),
	(2, 'search_path', 'regress_mal, cond', $$lower(name) = 'anna director' AND code = 'abc'$$),
	(3, 'TimeZone', 'Asia/Tokyo', $$extract(hour FROM timestamptz '2020-01-01 12:00+00') = 12$$),
	(4, 'TimeZone', 'Asia/Tokyo', $$seen::timestamptz = '2020-02-29 13:30+00'$$),
	(5, 'TimeZone', 'Asia/Tokyo', $$seen::timestamptz::text = '2020-02-29 13:30:00+00'$$),
	(6, 'DateStyle', 'German, DMY', $$date '01/02/2020' = '2020-01-02'$$),
	(7, 'DateStyle', 'SQL, DMY', $$birthday::text = '1980-05-06'$$),
	(8, 'DateStyle', 'SQL, DMY', $$((employees / 12)::text || '/5/1980')::date = '1980-10-05'$$),
	(9, 'IntervalStyle', 'iso_8601', $$span::text = '3 days 04:00:00'$$),
	(10, 'IntervalStyle', 'sql_standard', $$interval '-1 2:00' = interval '-1 day +2:00'$$),
	(11, 'extra_float_digits', '-10', $$(rate / 3)::text = '0.08333333333333333'$$),
	(12, 'bytea_output', 'escape', $$raw::text = '\x6162'$$),
	(13, 'lc_messages', 'C', $$name = 'Anna Director'$$),
	(14, 'transform_null_equals', 'on', $$(name = NULL) IS NULL$$),
	(15, 'array_nulls', 'off', $$('{NULL}'::text[])[1] IS NULL$$),
	(16, 'array_nulls', 'off', $$(('{' || 'NULL' || left(name, 0) || '}')::text[])[1] IS NULL$$),
	(17, 'xmloption', 'document', $$'just text'::xml IS NOT NULL$$),
	(18, 'timezone_abbreviations', 'Australia', $$timestamptz '2020-01-01 00:00 EST' = '2020-01-01 05:00+00'$$)
) v(n, s, v, c) ORDER BY n;
SET escape_string_warning = off;
SELECT s, v, c, cond.under(s, v, c) FROM (VALUES
	('standard_conforming_strings', 'off', $$length('a\\b') = 4$$)
) v(s, v, c);
RESET escape_string_warning;
RESET search_path;

-- the model's time zone, not the session's; and a change of it is heeded
DELETE FROM leadscore.rule WHERE model = 'cond';
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES
	(1000001, 'cond', 'f', $$extract(hour FROM timestamptz '2020-01-01 12:00+00') = 12$$, 1),
	(1000002, 'cond', 'f', $$seen AT TIME ZONE 'UTC' = seen::timestamptz$$, 2),
	(1000003, 'cond', 'f', $$seen::timestamptz < '2020-02-29 13:30'$$, 4),
	(1000004, 'cond', 'f', $$seen::timestamptz = '2020-02-29 13:30 America/New_York'$$, 8);
UPDATE leadscore.factor SET combine = 'sum' WHERE model = 'cond';
SELECT leadscore.score('cond', l) FROM cond.lead l WHERE id = 1;
UPDATE leadscore.model SET time_zone = 'America/New_York' WHERE name = 'cond';
SELECT leadscore.score('cond', l) FROM cond.lead l WHERE id = 1;
SET TimeZone = 'Asia/Tokyo';
SELECT leadscore.score('cond', l) FROM cond.lead l WHERE id = 1;
UPDATE leadscore.model SET time_zone = 'UTC' WHERE name = 'cond';
SELECT leadscore.score('cond', l) FROM cond.lead l WHERE id = 1;
SHOW TimeZone;
RESET TimeZone;

-- settings are back even when a condition fails
UPDATE leadscore.rule SET condition = $$(name || '1980')::date = birthday OR now() < '2000-01-01'$$ WHERE id = 1000001;
SELECT leadscore.score('cond', l) FROM cond.lead l WHERE id = 1;
SELECT current_setting('TimeZone') <> 'UTC' AS kept, timestamptz '2020-01-01 12:00+00';

--
-- Functions that a superuser allows
--
DELETE FROM leadscore.rule WHERE model = 'cond';
CREATE FUNCTION cond.is_big(integer) RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL UNSAFE AS 'BEGIN RETURN $1 > 100; END';
CREATE FUNCTION cond.is_boss(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$SELECT $1 LIKE '%' || $2$$;
CREATE FUNCTION cond.is_lucky() RETURNS boolean LANGUAGE sql VOLATILE AS 'SELECT random() > 0.5';
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1000001, 'cond', 'f', 'cond.is_big(employees)', 1);
\set SHOW_CONTEXT never
INSERT INTO leadscore.allowed_function (signature) VALUES ('cond.is_lucky()');
INSERT INTO leadscore.allowed_function (signature) VALUES ('is_big(integer)');
INSERT INTO leadscore.allowed_function (signature) VALUES ('cond.is_small(integer)');
INSERT INTO leadscore.allowed_function (signature) VALUES ('nonsense');
\set SHOW_CONTEXT errors
INSERT INTO leadscore.allowed_function (signature) VALUES ('cond.is_big(int4)'), (' cond . is_boss ( text, pg_catalog.text )');
SELECT signature FROM leadscore.allowed_function ORDER BY signature;
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES
	(1000001, 'cond', 'f', 'cond.is_big(employees)', 1),
	(1000002, 'cond', 'f', $$cond.is_boss(name, 'Director')$$, 2);
SELECT l.id, leadscore.score('cond', l) FROM cond.lead l ORDER BY id;
SET ROLE regress_ls_app;
SELECT l.id, leadscore.score('cond', l) FROM cond.lead l ORDER BY id;
RESET ROLE;

-- made volatile, or replaced: asked again
ALTER FUNCTION cond.is_big(integer) VOLATILE;
SELECT id, enabled FROM leadscore.rule WHERE model = 'cond' ORDER BY id;
ALTER FUNCTION cond.is_big(integer) STABLE;
UPDATE leadscore.rule SET enabled = true WHERE id = 1000001;
CREATE OR REPLACE FUNCTION cond.is_boss(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
SELECT l.id, leadscore.score('cond', l) FROM cond.lead l ORDER BY id;

-- not allowed any more
DELETE FROM leadscore.allowed_function WHERE signature = 'cond.is_big(integer)';
SELECT l.id, leadscore.score('cond', l) FROM cond.lead l ORDER BY id;
SELECT l.id, leadscore.score('cond', l) FROM cond.lead l ORDER BY id;	-- warns but once

-- one that scores by the rules that call it
CREATE FUNCTION cond.circle(integer) RETURNS boolean LANGUAGE sql STABLE AS
	'SELECT leadscore.score(''cond'', l) > 0 FROM cond.lead l WHERE id = $1';
INSERT INTO leadscore.allowed_function (signature) VALUES ('cond.circle(integer)');
DELETE FROM leadscore.rule WHERE model = 'cond';
INSERT INTO leadscore.rule (id, model, factor, condition, points) VALUES (1000003, 'cond', 'f', 'cond.circle(id)', 1);
\set VERBOSITY terse
SELECT leadscore.score('cond', l) FROM cond.lead l;
SELECT leadscore.score('cond', l) FROM cond.lead l;
\set VERBOSITY default
DROP FUNCTION cond.circle;
SELECT leadscore.score('cond', l) FROM cond.lead l ORDER BY l.id;
DELETE FROM leadscore.allowed_function;

-- clean up
SET client_min_messages = error;
DELETE FROM leadscore.model WHERE name = 'cond';
DROP SCHEMA cond, regress_mal CASCADE;
DROP SCHEMA cond_ext CASCADE;
REVOKE ALL ON ALL TABLES IN SCHEMA leadscore FROM regress_ls_writer, regress_ls_app;
REVOKE ALL ON SCHEMA leadscore FROM regress_ls_owner, regress_ls_writer, regress_ls_app;
DROP ROLE regress_ls_owner, regress_ls_writer, regress_ls_app;
