--
-- lead_stage: the stage type
--
SET client_min_messages = warning;	-- the extension may be there already
CREATE EXTENSION IF NOT EXISTS leadscore;
RESET client_min_messages;
SET search_path = public, leadscore;

-- Check whether any of our opclasses fail amvalidate
SELECT am.amname, opc.opcname, amvalidate(opc.oid)
  FROM pg_opclass opc JOIN pg_am am ON am.oid = opc.opcmethod
 WHERE opc.opcintype = 'lead_stage'::regtype
 ORDER BY am.amname COLLATE "C";

SELECT am.amname, amproc.amprocnum, amproc.amproc
  FROM pg_amproc amproc
       JOIN pg_opfamily opf ON opf.oid = amproc.amprocfamily
       JOIN pg_am am ON am.oid = opf.opfmethod
 WHERE amproc.amproclefttype = 'lead_stage'::regtype
 ORDER BY am.amname COLLATE "C", amproc.amprocnum;

-- The vocabulary.  The numbers are on disk in users' tables: a difference here
-- is an upgrade that breaks them.
SELECT * FROM lead_stages();

SELECT typlen, typbyval, typalign, typstorage, typcategory
  FROM pg_type WHERE oid = 'lead_stage'::regtype;

SELECT stage FROM lead_stages() LIMIT 2;
SELECT (s).stage, (s).stage_rank FROM (SELECT lead_stages() AS s) AS t LIMIT 2;

-- A table of them, in no particular order
CREATE TABLE stage_pool (id int PRIMARY KEY, stage lead_stage);
INSERT INTO stage_pool
  SELECT row_number() OVER (ORDER BY md5(stage::text) COLLATE "C"), stage
    FROM lead_stages();
INSERT INTO stage_pool VALUES (16, NULL);

--
-- Input and output
--

-- each label, in upper case and with blanks around it; the long label as it
-- is, in lower case, and with other separators or none: all the same stage
SELECT stage,
       upper(stage::text COLLATE "C")::lead_stage = stage AS upper_case,
       (E' \t' || stage || E'\n\r ')::lead_stage = stage AS blanks,
       stage_label(stage)::lead_stage = stage AS long,
       lower(stage_label(stage) COLLATE "C")::lead_stage = stage AS long_lower,
       replace(stage_label(stage), ' ', '_')::lead_stage = stage AS underscores,
       replace(stage_label(stage), ' ', '-')::lead_stage = stage AS hyphens,
       replace(stage_label(stage), ' ', E' -\t ')::lead_stage = stage AS mixed,
       replace(stage_label(stage), ' ', '')::lead_stage = stage AS joined
  FROM stage_pool WHERE stage IS NOT NULL ORDER BY stage;

SELECT lead_stage 'Marketing Qualified Lead' AS title_case,
       lead_stage ' marketing_qualified_lead ' AS snake_case,
       lead_stage 'marketing-qualified lead' AS hyphenated,
       lead_stage 'marketingqualifiedlead' AS hubspot,
       lead_stage 'MARKETING QUALIFIED LEAD' AS upper_case,
       lead_stage E'\x0BMqL\f' AS odd_blanks;
SELECT lead_stage 'sales accepted lead' AS sal,
       lead_stage 'sales qualified lead' AS sql,
       lead_stage 'product qualified lead' AS pql;

-- no stage; the message quotes what was given
SELECT 'hot'::lead_stage;
DO $$
BEGIN
  PERFORM 'hot'::lead_stage;
EXCEPTION WHEN invalid_text_representation THEN
  RAISE NOTICE USING MESSAGE = SQLSTATE || ': ' || SQLERRM;
END $$;
\set VERBOSITY terse
SELECT ''::lead_stage;
SELECT '   '::lead_stage;
SELECT 'mq'::lead_stage;				-- prefix of a stage
SELECT 'mqls'::lead_stage;				-- a stage is a prefix of it
SELECT 'm q l'::lead_stage;				-- only long labels have gaps
SELECT '_mql'::lead_stage;				-- only blanks are trimmed
SELECT 'sales qualified'::lead_stage;
SELECT 'sales qualified lead '::lead_stage, 'sales qualified lead-'::lead_stage;
SELECT '200'::lead_stage;				-- a rank is no stage
SELECT repeat('-', 40)::lead_stage;
SELECT 'mql'::text::lead_stage AS from_text, 'hot'::text::lead_stage;
SELECT ('{mql,hot}'::text[])::lead_stage[];
-- only ASCII counts: neither is a no-break space a blank, nor a dotted I an I
\set VERBOSITY sqlstate
SELECT E'mql\xC2\xA0'::lead_stage;
SELECT E'v\xC4\xB0sitor'::lead_stage;
\set VERBOSITY default

-- From 16 on, input errors are soft; before, there is no way to ask.
DO $$
DECLARE
  found text;
BEGIN
  IF current_setting('server_version_num')::int >= 160000 THEN
    EXECUTE $q$
      SELECT concat_ws(' ', pg_input_is_valid('Sales Accepted Lead', 'leadscore.lead_stage'),
                            pg_input_is_valid('hot', 'leadscore.lead_stage'),
                            e.sql_error_code, e.message)
        FROM pg_input_error_info('hot', 'leadscore.lead_stage') AS e $q$ INTO found;
    ASSERT found = 't f 22P02 invalid input value for type lead_stage: "hot"', found;
  END IF;
END $$;

-- A number that is no stage (a damaged page, or a later version's) cannot be
-- named, but it can be compared, hashed and sorted.  Only a trick makes one.
BEGIN;
CREATE CAST (int2 AS lead_stage) WITHOUT FUNCTION;
SELECT 0::int2::lead_stage < 'disqualified' AS lower, 32767::int2::lead_stage > 'advocate' AS higher,
       lead_stage_cmp(32767::int2::lead_stage, (-32768)::int2::lead_stage) > 0 AS far_apart;
SELECT array_agg(n ORDER BY n::lead_stage) FROM unnest('{7,-32768,300,-1,32767,0}'::int2[]) AS n;
SELECT bool_and(n::lead_stage::int2 = n) AS every_number_is_kept,
       bool_and(lead_stage_hash(n::lead_stage) = hashint2(n)) AS hashed_as_int2
  FROM (SELECT g::int2 AS n FROM generate_series(-32768, 32767) AS g) AS t;
SAVEPOINT s;
SELECT 0::int2::lead_stage;
ROLLBACK TO s;
SELECT 15::int2::lead_stage::text;
ROLLBACK TO s;
SELECT stage_label((-1)::int2::lead_stage);
ROLLBACK TO s;
SELECT lead_stage_send(201::int2::lead_stage);
ROLLBACK;

-- Binary output is the label ...
SELECT stage, lead_stage_send(stage), convert_from(lead_stage_send(stage), 'UTF8') = stage::text AS same
  FROM stage_pool WHERE stage IS NOT NULL ORDER BY stage;

-- ... and comes back, through binary COPY
\getenv abs_builddir PG_ABS_BUILDDIR
\cd :abs_builddir
CREATE TABLE stage_copy (LIKE stage_pool);
\copy stage_pool TO 'results/lead_stage.bin' (FORMAT binary)
\copy stage_copy FROM 'results/lead_stage.bin' (FORMAT binary)
SELECT count(*) AS differ FROM stage_pool p FULL JOIN stage_copy c USING (id)
 WHERE p.stage IS DISTINCT FROM c.stage OR p.id IS NULL OR c.id IS NULL;

-- Binary COPY carries no types, so a text or bytea column says whatever we like
TRUNCATE stage_copy;
\copy (SELECT 1, ' Sales_Qualified Lead'::text) TO 'results/lead_stage.bin' (FORMAT binary)
\copy stage_copy FROM 'results/lead_stage.bin' (FORMAT binary)
SELECT stage FROM stage_copy;
\copy (SELECT 1, 'hot'::text) TO 'results/lead_stage.bin' (FORMAT binary)
\copy stage_copy FROM 'results/lead_stage.bin' (FORMAT binary)
\set VERBOSITY sqlstate
\copy stage_copy FROM 'results/lead_stage.bin' (FORMAT binary)
\copy (SELECT 1, ''::text) TO 'results/lead_stage.bin' (FORMAT binary)
\copy stage_copy FROM 'results/lead_stage.bin' (FORMAT binary)
\copy (SELECT 1, repeat('mql', 100000)) TO 'results/lead_stage.bin' (FORMAT binary)
\copy stage_copy FROM 'results/lead_stage.bin' (FORMAT binary)
\copy (SELECT 1, 200::int2) TO 'results/lead_stage.bin' (FORMAT binary)
\copy stage_copy FROM 'results/lead_stage.bin' (FORMAT binary)
\copy (SELECT 1, '\x6d716c00'::bytea) TO 'results/lead_stage.bin' (FORMAT binary)
\copy stage_copy FROM 'results/lead_stage.bin' (FORMAT binary)
\set VERBOSITY default
SELECT count(*) FROM stage_copy;

--
-- Comparison
--

-- every operator and support function agrees with the rank, over all pairs
SELECT count(*),
       bool_and((a < b) = (a::int2 < b::int2)) AS lt,
       bool_and((a <= b) = (a::int2 <= b::int2)) AS le,
       bool_and((a = b) = (a::int2 = b::int2)) AS eq,
       bool_and((a <> b) = (a::int2 <> b::int2)) AS ne,
       bool_and((a >= b) = (a::int2 >= b::int2)) AS ge,
       bool_and((a > b) = (a::int2 > b::int2)) AS gt,
       bool_and(sign(lead_stage_cmp(a, b)) = sign(a::int2 - b::int2)) AS cmp,
       bool_and(lead_stage_smaller(a, b)::int2 = least(a::int2, b::int2)) AS smaller,
       bool_and(lead_stage_larger(a, b)::int2 = greatest(a::int2, b::int2)) AS larger,
       bool_and((lead_stage_hash(a) = lead_stage_hash(b)) = (a = b)) AS hash,
       bool_and((lead_stage_hash_extended(a, 42) = lead_stage_hash_extended(b, 42)) = (a = b)) AS hash_ext
  FROM (SELECT x.stage AS a, y.stage AS b
          FROM lead_stages() AS x CROSS JOIN lead_stages() AS y) AS pairs;

-- the rank agrees with the order that is promised
SELECT array_agg(stage ORDER BY stage::int2) =
       '{disqualified,lost,nurture,visitor,subscriber,contact,lead,prospect,mql,pql,sal,sql,opportunity,customer,advocate}'::lead_stage[]
       AS as_promised
  FROM stage_pool WHERE stage IS NOT NULL;

-- with seed 0 the extended hash holds the plain one; with another it does not
SELECT bool_and((lead_stage_hash_extended(stage, 0) & 4294967295) =
                (lead_stage_hash(stage)::int8 & 4294967295)) AS same,
       bool_and(lead_stage_hash_extended(stage, 1) <> lead_stage_hash_extended(stage, 0)) AS seed_matters
  FROM lead_stages();

-- hash partitions depend on these
SELECT stage, lead_stage_hash(stage), lead_stage_hash_extended(stage, 42)
  FROM lead_stages() WHERE stage IN ('lost', 'mql', 'advocate') ORDER BY stage;

-- commutators, negators and estimators
SELECT oprname, oprcom::regoperator, oprnegate::regoperator, oprrest, oprjoin, oprcanhash, oprcanmerge
  FROM pg_operator WHERE oprleft = 'lead_stage'::regtype
 ORDER BY oprname COLLATE "C";

-- NULL in, NULL out
SELECT NULL::lead_stage < 'mql' AS lt, is_exit(NULL), is_qualified(NULL), is_customer(NULL),
       stage_rank(NULL), stage_label(NULL), NULL::lead_stage::text AS text;

--
-- Sorting, indexes, joins, aggregates
--
SELECT stage FROM stage_pool ORDER BY stage DESC NULLS LAST, id LIMIT 3;
SELECT stage FROM stage_pool ORDER BY stage NULLS FIRST, id LIMIT 3;

-- many rows: the sort agrees with the operators, and hashing with sorting
CREATE TABLE stage_many (id int, stage lead_stage);
INSERT INTO stage_many
  SELECT g, (SELECT stage FROM stage_pool WHERE id = 1 + g % 16)
    FROM generate_series(1, 16000) AS g;
ANALYZE stage_pool, stage_many;
SELECT count(*) FILTER (WHERE stage < previous) AS out_of_order, count(*)
  FROM (SELECT stage, lag(stage) OVER (ORDER BY stage) AS previous FROM stage_many) AS t;

SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT stage, count(*) FROM stage_many GROUP BY stage;
SELECT count(*), min(n), max(n)
  FROM (SELECT stage, count(*) AS n FROM stage_many GROUP BY stage OFFSET 0) AS t;
RESET enable_sort;
SET enable_hashagg = off;
EXPLAIN (COSTS OFF) SELECT stage, count(*) FROM stage_many GROUP BY stage;
SELECT count(*), min(n), max(n)
  FROM (SELECT stage, count(*) AS n FROM stage_many GROUP BY stage OFFSET 0) AS t;
RESET enable_hashagg;

SET enable_mergejoin = off;
SET enable_nestloop = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM stage_many m JOIN stage_pool p USING (stage);
SELECT count(*) FROM stage_many m JOIN stage_pool p USING (stage);
RESET enable_mergejoin;
SET enable_hashjoin = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM stage_many m JOIN stage_pool p USING (stage);
SELECT count(*) FROM stage_many m JOIN stage_pool p USING (stage);
RESET enable_nestloop;
RESET enable_hashjoin;

-- the estimators see the most common values: 7 of 16 rows are qualified
CREATE FUNCTION pg_temp.plan(query text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  plan jsonb;
BEGIN
  EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
  RETURN plan;
END $$;
SELECT condition,
       round((pg_temp.plan('SELECT FROM stage_many WHERE stage ' || condition)
              #>> '{0,Plan,Plan Rows}')::numeric, -2) AS estimate
  FROM unnest(ARRAY['< $$visitor$$', '<= $$visitor$$', '= $$mql$$',
                    '<> $$mql$$', '>= $$mql$$', '> $$mql$$'])
       WITH ORDINALITY AS u(condition, n)
 ORDER BY n;

CREATE INDEX stage_many_btree ON stage_many (stage);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM stage_many WHERE stage >= 'mql';
SELECT count(*) FROM stage_many WHERE stage >= 'mql';
SELECT count(*) FROM stage_many WHERE stage < 'visitor';
SELECT count(*) FROM stage_many WHERE stage > 'nurture' AND stage <= 'lead';
SELECT count(*) FROM stage_many WHERE stage IN ('mql', 'sal');
SELECT min(stage), max(stage) FROM stage_many;
-- (how a plan shows such a query differs between versions)
SELECT scan ->> 'Node Type' AS node, scan ->> 'Scan Direction' AS direction
  FROM jsonb_path_query(pg_temp.plan('SELECT min(stage), max(stage) FROM stage_many'),
                        'strict $.** ? (@."Index Name" == "stage_many_btree")') AS scan
 ORDER BY scan ->> 'Scan Direction' COLLATE "C";
-- equalimage: the index is deduplicated, far less than the 20 bytes an entry
-- that it would take otherwise
SELECT pg_relation_size('stage_many_btree') < 16000 * 16 AS deduplicated;
DROP INDEX stage_many_btree;

CREATE INDEX stage_many_hash ON stage_many USING hash (stage);
EXPLAIN (COSTS OFF) SELECT count(*) FROM stage_many WHERE stage = 'sql';
SELECT count(*) FROM stage_many WHERE stage = 'sql';
DROP INDEX stage_many_hash;
RESET enable_seqscan;
RESET enable_bitmapscan;

-- min and max without an index, over NULLs, over nothing, moving, in parallel
SELECT min(stage), max(stage) FROM stage_pool;
SELECT min(stage), max(stage) FROM stage_pool WHERE stage IS NULL;
SELECT min(stage), max(stage) FROM stage_pool WHERE false;
SELECT stage, max(stage) OVER w, min(stage) OVER w FROM stage_pool
 WHERE is_qualified(stage)
WINDOW w AS (ORDER BY stage ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) ORDER BY stage;

SELECT aggfnoid, aggtransfn, aggcombinefn, aggsortop::regoperator FROM pg_aggregate
 WHERE aggtranstype = 'lead_stage'::regtype ORDER BY aggfnoid::text COLLATE "C" DESC;

SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
ALTER TABLE stage_many SET (parallel_workers = 2);
EXPLAIN (COSTS OFF)
SELECT min(stage), max(stage), count(*) FROM stage_many WHERE NOT is_exit(stage);
SELECT min(stage), max(stage), count(*) FROM stage_many WHERE NOT is_exit(stage);
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET max_parallel_workers_per_gather;

-- partitions by range and by hash
CREATE TABLE stage_range (stage lead_stage) PARTITION BY RANGE (stage);
CREATE TABLE stage_range_out PARTITION OF stage_range FOR VALUES FROM (MINVALUE) TO ('visitor');
CREATE TABLE stage_range_in PARTITION OF stage_range FOR VALUES FROM ('visitor') TO ('customer');
CREATE TABLE stage_range_won PARTITION OF stage_range FOR VALUES FROM ('customer') TO (MAXVALUE);
INSERT INTO stage_range SELECT stage FROM lead_stages();
SELECT tableoid::regclass, count(*), min(stage), max(stage) FROM stage_range
 GROUP BY tableoid ORDER BY min(stage);
EXPLAIN (COSTS OFF) SELECT * FROM stage_range WHERE stage >= 'customer';
CREATE TABLE stage_hashed (stage lead_stage) PARTITION BY HASH (stage);
CREATE TABLE stage_hashed_0 PARTITION OF stage_hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE stage_hashed_1 PARTITION OF stage_hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO stage_hashed SELECT stage FROM lead_stages();
SELECT tableoid::regclass, array_agg(stage ORDER BY stage) FROM stage_hashed
 GROUP BY tableoid ORDER BY min(stage);

-- arrays
SELECT '{sql, "Sales Accepted Lead", NULL, MQL}'::lead_stage[] AS stages;
SELECT 'sal' = ANY ('{mql,sal}'::lead_stage[]) AS "any",
       '{mql,sal}'::lead_stage[] < '{mql,sql}' AS less,
       '{mql,sal}'::lead_stage[] @> '{sal}' AS contains,
       array_position('{mql,sal}'::lead_stage[], 'sal') AS position;
SELECT array_agg(DISTINCT s ORDER BY s) FROM unnest('{sql,mql,lost,mql}'::lead_stage[]) AS s;

--
-- Casts
--
SELECT castsource::regtype, casttarget::regtype, castcontext, castmethod
  FROM pg_cast WHERE 'lead_stage'::regtype IN (castsource, casttarget)
 ORDER BY castsource::regtype::text COLLATE "C", casttarget::regtype::text COLLATE "C";
SELECT 'mql'::lead_stage::text AS text, 'mql'::lead_stage::int2 AS int2,
       'mql'::lead_stage::int4 AS int4, 'mql'::lead_stage::varchar(2) AS varchar,
       'MQL'::varchar::lead_stage AS from_varchar;
SELECT bool_and(stage::int2 = stage_rank(stage) AND stage::int4 = stage_rank(stage)) AS rank_is_cast,
       bool_and(stage::text::lead_stage = stage) AS round_trip
  FROM lead_stages();
CREATE TABLE stage_report (stage text);
INSERT INTO stage_report SELECT stage FROM stage_pool WHERE is_customer(stage);
SELECT * FROM stage_report ORDER BY stage COLLATE "C";
\set VERBOSITY terse
INSERT INTO stage_pool SELECT 17, stage FROM stage_report LIMIT 1;	-- not implicit
SELECT 200::lead_stage;												-- no such cast
\set VERBOSITY default

--
-- Questions about a stage
--
SELECT stage, stage_rank(stage), stage_label(stage),
       is_exit(stage), is_qualified(stage), is_customer(stage)
  FROM stage_pool ORDER BY stage;
SELECT bool_and(is_exit(stage) = (stage IN ('disqualified', 'lost', 'nurture'))) AS is_exit,
       bool_and(is_qualified(stage) = (stage >= 'mql')) AS is_qualified,
       bool_and(is_customer(stage) = (stage >= 'customer')) AS is_customer
  FROM lead_stages();

-- immutable: good for index expressions and generated columns
CREATE TABLE stage_generated (
  stage lead_stage,
  label text GENERATED ALWAYS AS (stage::text) STORED,
  rank int2 GENERATED ALWAYS AS (stage::int2) STORED,
  qualified boolean GENERATED ALWAYS AS (is_qualified(stage)) STORED
);
CREATE INDEX ON stage_generated (stage_label(stage)) WHERE NOT is_exit(stage);
INSERT INTO stage_generated VALUES ('Sales Accepted Lead'), ('lost');
SELECT * FROM stage_generated ORDER BY stage;

-- Without our schema in the path: I/O, sorting, grouping, casts and indexes
-- work; operators, min and max are qualified.
SET search_path = pg_catalog;
SELECT stage, count(*) FROM public.stage_many WHERE leadscore.is_customer(stage)
 GROUP BY stage ORDER BY stage;
SELECT leadscore.max(stage) FROM public.stage_many WHERE stage OPERATOR(leadscore.<) 'mql';
SELECT stage::text, stage::int2 FROM public.stage_many WHERE id = 1;
SET search_path = public, leadscore;

--
-- What the catalogs say of the objects of this type
--
-- functions that are not immutable, strict, parallel safe and commented; the
-- aggregates cannot be strict
SELECT p.oid::regprocedure, p.provolatile, p.proisstrict, p.proparallel, obj_description(p.oid, 'pg_proc')
  FROM pg_proc p
 WHERE p.pronamespace = 'leadscore'::regnamespace
   AND (p.proname ~ '^lead_stage' OR
        p.proname IN ('is_exit', 'is_qualified', 'is_customer', 'stage_rank', 'stage_label') OR
        (p.proname IN ('min', 'max') AND p.prorettype = 'lead_stage'::regtype))
   AND (p.provolatile <> 'i' OR p.proparallel <> 's' OR
        (p.prokind = 'f' AND NOT p.proisstrict) OR
        obj_description(p.oid, 'pg_proc') IS NULL)
 ORDER BY p.proname COLLATE "C";
-- leakproof is what cannot fail: all that needs no label
SELECT p.proname FROM pg_proc p
 WHERE p.pronamespace = 'leadscore'::regnamespace AND p.proleakproof
   AND 'lead_stage'::regtype = ANY (p.proargtypes)
 ORDER BY p.proname COLLATE "C";
-- the other objects without a comment
SELECT 'operator' AS kind, oprname::text FROM pg_operator
 WHERE oprleft = 'lead_stage'::regtype AND obj_description(oid, 'pg_operator') IS NULL
UNION ALL
SELECT 'opclass', opcname FROM pg_opclass
 WHERE opcintype = 'lead_stage'::regtype AND obj_description(oid, 'pg_opclass') IS NULL
UNION ALL
SELECT 'cast', castsource::regtype || '-' || casttarget::regtype FROM pg_cast
 WHERE 'lead_stage'::regtype IN (castsource, casttarget) AND obj_description(oid, 'pg_cast') IS NULL
UNION ALL
SELECT 'type', typname FROM pg_type
 WHERE oid = 'lead_stage'::regtype AND obj_description(oid, 'pg_type') IS NULL
 ORDER BY 1, 2;

DROP TABLE stage_pool, stage_copy, stage_many, stage_range, stage_hashed, stage_report, stage_generated;
RESET search_path;
