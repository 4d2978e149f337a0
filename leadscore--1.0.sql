/* leadscore--1.0.sql */

-- complain if the script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION leadscore" to load this file. \quit

/* ----------------------------------------------------------------------
 * The story of the extension, from top to bottom:
 *
 *	1. Types		the stages of the funnel, what a lead did
 *	2. Tables		the scoring matrix
 *	3. Rules		what may be written into the tables
 *	4. Scoring		score, fit, temperature, grade, explain
 *	5. Attaching	scoring the leads of a CRM as they are written
 *	6. Stages		moves, history, hand-off, SLA, playbook, funnel, plan
 *	7. Matrices		copy, export, import, templates
 *	8. Reports		words, reasons, views over all models
 *
 * Every name is qualified, so that it does not matter who installs it under
 * which search_path.
 * ----------------------------------------------------------------------
 */

/*
 * The schema is a member of the extension, so that nothing is left when that
 * goes; the extension itself belongs to pg_catalog, as plpgsql does, so that it
 * goes with no schema of a user.
 */
CREATE SCHEMA leadscore;
COMMENT ON SCHEMA leadscore IS 'Lead scoring: models, rules and the functions that score by them.';

/* ----------------------------------------------------------------------
 * 1. Types
 * ----------------------------------------------------------------------
 */

--
-- lead_stage: where a lead stands in the funnel
--
-- The C side is src/lead_stage.c; the numbers behind the stages are in
-- src/lead_stage.h and never change.
--

CREATE TYPE leadscore.lead_stage;

CREATE FUNCTION leadscore.lead_stage_in(cstring) RETURNS leadscore.lead_stage
AS 'MODULE_PATHNAME', 'lead_stage_in'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_in(cstring) IS
'I/O: text to lead_stage; unknown text is error 22P02; NULL gives NULL';

CREATE FUNCTION leadscore.lead_stage_out(leadscore.lead_stage) RETURNS cstring
AS 'MODULE_PATHNAME', 'lead_stage_out'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_out(leadscore.lead_stage) IS
'I/O: lead_stage to its label';

CREATE FUNCTION leadscore.lead_stage_recv(internal) RETURNS leadscore.lead_stage
AS 'MODULE_PATHNAME', 'lead_stage_recv'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_recv(internal) IS
'I/O: binary form (the label as text) to lead_stage; anything else is error 22P03';

CREATE FUNCTION leadscore.lead_stage_send(leadscore.lead_stage) RETURNS bytea
AS 'MODULE_PATHNAME', 'lead_stage_send'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_send(leadscore.lead_stage) IS
'I/O: lead_stage to binary form, which is the label as text in the client''s encoding';

CREATE TYPE leadscore.lead_stage (
	INPUT = leadscore.lead_stage_in,
	OUTPUT = leadscore.lead_stage_out,
	RECEIVE = leadscore.lead_stage_recv,
	SEND = leadscore.lead_stage_send,
	INTERNALLENGTH = 2,
	PASSEDBYVALUE,
	ALIGNMENT = int2,
	STORAGE = plain,
	CATEGORY = 'U'
);
COMMENT ON TYPE leadscore.lead_stage IS
'Stage of a lead in the funnel: disqualified < lost < nurture < visitor < subscriber < contact < lead < prospect < mql < pql < sal < sql < opportunity < customer < advocate.  Input ignores case and surrounding blanks and takes long names such as "Marketing Qualified Lead".  Errors: 22P02 unknown text.';

-- Comparison.  None of these can fail or tell anything: LEAKPROOF.

CREATE FUNCTION leadscore.lead_stage_lt(leadscore.lead_stage, leadscore.lead_stage) RETURNS boolean
AS 'MODULE_PATHNAME', 'lead_stage_lt'
LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_lt(leadscore.lead_stage, leadscore.lead_stage) IS
'implementation of < operator';

CREATE FUNCTION leadscore.lead_stage_le(leadscore.lead_stage, leadscore.lead_stage) RETURNS boolean
AS 'MODULE_PATHNAME', 'lead_stage_le'
LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_le(leadscore.lead_stage, leadscore.lead_stage) IS
'implementation of <= operator';

CREATE FUNCTION leadscore.lead_stage_eq(leadscore.lead_stage, leadscore.lead_stage) RETURNS boolean
AS 'MODULE_PATHNAME', 'lead_stage_eq'
LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_eq(leadscore.lead_stage, leadscore.lead_stage) IS
'implementation of = operator';

CREATE FUNCTION leadscore.lead_stage_ne(leadscore.lead_stage, leadscore.lead_stage) RETURNS boolean
AS 'MODULE_PATHNAME', 'lead_stage_ne'
LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_ne(leadscore.lead_stage, leadscore.lead_stage) IS
'implementation of <> operator';

CREATE FUNCTION leadscore.lead_stage_ge(leadscore.lead_stage, leadscore.lead_stage) RETURNS boolean
AS 'MODULE_PATHNAME', 'lead_stage_ge'
LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_ge(leadscore.lead_stage, leadscore.lead_stage) IS
'implementation of >= operator';

CREATE FUNCTION leadscore.lead_stage_gt(leadscore.lead_stage, leadscore.lead_stage) RETURNS boolean
AS 'MODULE_PATHNAME', 'lead_stage_gt'
LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_gt(leadscore.lead_stage, leadscore.lead_stage) IS
'implementation of > operator';

CREATE FUNCTION leadscore.lead_stage_cmp(leadscore.lead_stage, leadscore.lead_stage) RETURNS integer
AS 'MODULE_PATHNAME', 'lead_stage_cmp'
LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_cmp(leadscore.lead_stage, leadscore.lead_stage) IS
'less-equal-greater: negative, zero or positive; NULL gives NULL';

CREATE FUNCTION leadscore.lead_stage_sortsupport(internal) RETURNS void
AS 'MODULE_PATHNAME', 'lead_stage_sortsupport'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_sortsupport(internal) IS
'sort support';

CREATE FUNCTION leadscore.lead_stage_hash(leadscore.lead_stage) RETURNS integer
AS 'MODULE_PATHNAME', 'lead_stage_hash'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_hash(leadscore.lead_stage) IS
'hash; NULL gives NULL';

CREATE FUNCTION leadscore.lead_stage_hash_extended(leadscore.lead_stage, bigint) RETURNS bigint
AS 'MODULE_PATHNAME', 'lead_stage_hash_extended'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_hash_extended(leadscore.lead_stage, bigint) IS
'hash with a seed; NULL gives NULL';

CREATE OPERATOR leadscore.< (
	FUNCTION = leadscore.lead_stage_lt,
	LEFTARG = leadscore.lead_stage,
	RIGHTARG = leadscore.lead_stage,
	COMMUTATOR = OPERATOR(leadscore.>),
	NEGATOR = OPERATOR(leadscore.>=),
	RESTRICT = pg_catalog.scalarltsel,
	JOIN = pg_catalog.scalarltjoinsel
);
COMMENT ON OPERATOR leadscore.< (leadscore.lead_stage, leadscore.lead_stage) IS
'less than';

CREATE OPERATOR leadscore.<= (
	FUNCTION = leadscore.lead_stage_le,
	LEFTARG = leadscore.lead_stage,
	RIGHTARG = leadscore.lead_stage,
	COMMUTATOR = OPERATOR(leadscore.>=),
	NEGATOR = OPERATOR(leadscore.>),
	RESTRICT = pg_catalog.scalarlesel,
	JOIN = pg_catalog.scalarlejoinsel
);
COMMENT ON OPERATOR leadscore.<= (leadscore.lead_stage, leadscore.lead_stage) IS
'less than or equal';

CREATE OPERATOR leadscore.= (
	FUNCTION = leadscore.lead_stage_eq,
	LEFTARG = leadscore.lead_stage,
	RIGHTARG = leadscore.lead_stage,
	COMMUTATOR = OPERATOR(leadscore.=),
	NEGATOR = OPERATOR(leadscore.<>),
	RESTRICT = pg_catalog.eqsel,
	JOIN = pg_catalog.eqjoinsel,
	HASHES,
	MERGES
);
COMMENT ON OPERATOR leadscore.= (leadscore.lead_stage, leadscore.lead_stage) IS
'equal';

CREATE OPERATOR leadscore.<> (
	FUNCTION = leadscore.lead_stage_ne,
	LEFTARG = leadscore.lead_stage,
	RIGHTARG = leadscore.lead_stage,
	COMMUTATOR = OPERATOR(leadscore.<>),
	NEGATOR = OPERATOR(leadscore.=),
	RESTRICT = pg_catalog.neqsel,
	JOIN = pg_catalog.neqjoinsel
);
COMMENT ON OPERATOR leadscore.<> (leadscore.lead_stage, leadscore.lead_stage) IS
'not equal';

CREATE OPERATOR leadscore.>= (
	FUNCTION = leadscore.lead_stage_ge,
	LEFTARG = leadscore.lead_stage,
	RIGHTARG = leadscore.lead_stage,
	COMMUTATOR = OPERATOR(leadscore.<=),
	NEGATOR = OPERATOR(leadscore.<),
	RESTRICT = pg_catalog.scalargesel,
	JOIN = pg_catalog.scalargejoinsel
);
COMMENT ON OPERATOR leadscore.>= (leadscore.lead_stage, leadscore.lead_stage) IS
'greater than or equal';

CREATE OPERATOR leadscore.> (
	FUNCTION = leadscore.lead_stage_gt,
	LEFTARG = leadscore.lead_stage,
	RIGHTARG = leadscore.lead_stage,
	COMMUTATOR = OPERATOR(leadscore.<),
	NEGATOR = OPERATOR(leadscore.<=),
	RESTRICT = pg_catalog.scalargtsel,
	JOIN = pg_catalog.scalargtjoinsel
);
COMMENT ON OPERATOR leadscore.> (leadscore.lead_stage, leadscore.lead_stage) IS
'greater than';

CREATE OPERATOR CLASS leadscore.lead_stage_ops
DEFAULT FOR TYPE leadscore.lead_stage USING btree AS
	OPERATOR 1 leadscore.<,
	OPERATOR 2 leadscore.<=,
	OPERATOR 3 leadscore.=,
	OPERATOR 4 leadscore.>=,
	OPERATOR 5 leadscore.>,
	FUNCTION 1 leadscore.lead_stage_cmp(leadscore.lead_stage, leadscore.lead_stage),
	FUNCTION 2 leadscore.lead_stage_sortsupport(internal),
	FUNCTION 4 pg_catalog.btequalimage(oid);
COMMENT ON OPERATOR CLASS leadscore.lead_stage_ops USING btree IS
'order of stages: exits first, then the funnel from visitor to advocate';
COMMENT ON OPERATOR FAMILY leadscore.lead_stage_ops USING btree IS
'order of stages: exits first, then the funnel from visitor to advocate';

CREATE OPERATOR CLASS leadscore.lead_stage_ops
DEFAULT FOR TYPE leadscore.lead_stage USING hash AS
	OPERATOR 1 leadscore.=,
	FUNCTION 1 leadscore.lead_stage_hash(leadscore.lead_stage),
	FUNCTION 2 leadscore.lead_stage_hash_extended(leadscore.lead_stage, bigint);
COMMENT ON OPERATOR CLASS leadscore.lead_stage_ops USING hash IS
'equality of stages';
COMMENT ON OPERATOR FAMILY leadscore.lead_stage_ops USING hash IS
'equality of stages';

-- Casts.  From text none is implicit, or "stage = some_text" would fail at run
-- time rather than when it is parsed; to a number neither, or stages could be
-- added up.

CREATE FUNCTION leadscore.lead_stage_to_text(stage leadscore.lead_stage) RETURNS text
AS 'MODULE_PATHNAME', 'lead_stage_to_text'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_to_text(leadscore.lead_stage) IS
'label of a stage, such as "mql"; implementation of the cast to text; NULL gives NULL';

CREATE CAST (leadscore.lead_stage AS text)
WITH FUNCTION leadscore.lead_stage_to_text(leadscore.lead_stage) AS ASSIGNMENT;
COMMENT ON CAST (leadscore.lead_stage AS text) IS
'label of a stage, such as "mql"';

CREATE CAST (text AS leadscore.lead_stage) WITH INOUT;
COMMENT ON CAST (text AS leadscore.lead_stage) IS
'read a stage as input does: case and surrounding blanks do not matter, long names are taken, anything else is error 22P02';

CREATE FUNCTION leadscore.stage_rank(stage leadscore.lead_stage) RETURNS smallint
AS 'MODULE_PATHNAME', 'lead_stage_to_int2'
LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.stage_rank(leadscore.lead_stage) IS
'Rank of a stage: a number that orders as stages do and never changes.  Below 100 are the exits, from 200 on the qualified stages, from 300 on the customers.  NULL gives NULL.';

CREATE CAST (leadscore.lead_stage AS smallint)
WITH FUNCTION leadscore.stage_rank(leadscore.lead_stage);
COMMENT ON CAST (leadscore.lead_stage AS smallint) IS
'rank of a stage';

CREATE FUNCTION leadscore.lead_stage_to_int4(stage leadscore.lead_stage) RETURNS integer
AS 'MODULE_PATHNAME', 'lead_stage_to_int4'
LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_to_int4(leadscore.lead_stage) IS
'rank of a stage; implementation of the cast to integer; NULL gives NULL';

CREATE CAST (leadscore.lead_stage AS integer)
WITH FUNCTION leadscore.lead_stage_to_int4(leadscore.lead_stage);
COMMENT ON CAST (leadscore.lead_stage AS integer) IS
'rank of a stage';

CREATE FUNCTION leadscore.lead_stage_smaller(leadscore.lead_stage, leadscore.lead_stage) RETURNS leadscore.lead_stage
AS 'MODULE_PATHNAME', 'lead_stage_smaller'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_smaller(leadscore.lead_stage, leadscore.lead_stage) IS
'smaller of two stages; NULL gives NULL';

CREATE FUNCTION leadscore.lead_stage_larger(leadscore.lead_stage, leadscore.lead_stage) RETURNS leadscore.lead_stage
AS 'MODULE_PATHNAME', 'lead_stage_larger'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.lead_stage_larger(leadscore.lead_stage, leadscore.lead_stage) IS
'larger of two stages; NULL gives NULL';

CREATE AGGREGATE leadscore.min(leadscore.lead_stage) (
	SFUNC = leadscore.lead_stage_smaller,
	STYPE = leadscore.lead_stage,
	COMBINEFUNC = leadscore.lead_stage_smaller,
	SORTOP = OPERATOR(leadscore.<),
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE leadscore.min(leadscore.lead_stage) IS
'The lowest of all stages.  NULLs are skipped; no stage at all gives NULL.';

CREATE AGGREGATE leadscore.max(leadscore.lead_stage) (
	SFUNC = leadscore.lead_stage_larger,
	STYPE = leadscore.lead_stage,
	COMBINEFUNC = leadscore.lead_stage_larger,
	SORTOP = OPERATOR(leadscore.>),
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE leadscore.max(leadscore.lead_stage) IS
'The highest of all stages.  NULLs are skipped; no stage at all gives NULL.';

CREATE FUNCTION leadscore.is_exit(stage leadscore.lead_stage) RETURNS boolean
AS 'MODULE_PATHNAME', 'lead_stage_is_exit'
LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.is_exit(leadscore.lead_stage) IS
'Has the lead left the funnel: disqualified, lost or nurture?  NULL gives NULL.';

CREATE FUNCTION leadscore.is_qualified(stage leadscore.lead_stage) RETURNS boolean
AS 'MODULE_PATHNAME', 'lead_stage_is_qualified'
LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.is_qualified(leadscore.lead_stage) IS
'Is the lead qualified: mql or beyond?  NULL gives NULL.';

CREATE FUNCTION leadscore.is_customer(stage leadscore.lead_stage) RETURNS boolean
AS 'MODULE_PATHNAME', 'lead_stage_is_customer'
LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.is_customer(leadscore.lead_stage) IS
'Has the lead bought: customer or beyond?  NULL gives NULL.';

CREATE FUNCTION leadscore.stage_label(stage leadscore.lead_stage) RETURNS text
AS 'MODULE_PATHNAME', 'lead_stage_to_label'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.stage_label(leadscore.lead_stage) IS
'English name of a stage for people to read, such as "Marketing Qualified Lead"; leadscore.label_of() has other languages.  NULL gives NULL.';

CREATE FUNCTION leadscore.lead_stages(
	OUT stage leadscore.lead_stage, OUT stage_rank smallint, OUT label text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'lead_stage_list'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 15;
COMMENT ON FUNCTION leadscore.lead_stages() IS
'All stages in ascending order, with their ranks and English names.';

--
-- engagement: the summary of what a lead did
--
-- The C side is src/engagement.c, which tells what is in it.
--

CREATE TYPE leadscore.engagement;

CREATE FUNCTION leadscore.engagement_in(cstring) RETURNS leadscore.engagement
AS 'MODULE_PATHNAME', 'engagement_in'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_in(cstring) IS
'I/O: JSON text to engagement; what no events can make is error 22P02; NULL gives NULL';

CREATE FUNCTION leadscore.engagement_out(leadscore.engagement) RETURNS cstring
AS 'MODULE_PATHNAME', 'engagement_out'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_out(leadscore.engagement) IS
'I/O: engagement to JSON text, which does not depend on any setting';

CREATE FUNCTION leadscore.engagement_recv(internal) RETURNS leadscore.engagement
AS 'MODULE_PATHNAME', 'engagement_recv'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_recv(internal) IS
'I/O: binary form to engagement; what no events can make is error 22P03';

CREATE FUNCTION leadscore.engagement_send(leadscore.engagement) RETURNS bytea
AS 'MODULE_PATHNAME', 'engagement_send'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_send(leadscore.engagement) IS
'I/O: engagement to binary form';

CREATE TYPE leadscore.engagement (
	INPUT = leadscore.engagement_in,
	OUTPUT = leadscore.engagement_out,
	RECEIVE = leadscore.engagement_recv,
	SEND = leadscore.engagement_send,
	INTERNALLENGTH = VARIABLE,
	ALIGNMENT = double,
	STORAGE = extended,
	CATEGORY = 'U'
);
COMMENT ON TYPE leadscore.engagement IS
'Summary of what a lead did: for each rule how many events it has matched, what they are worth as of the latest of them (halving with every half-life), when that was, and the latest few times.  As text it is JSON, such as {"entries": [{"rule": 17, "count": 1, "last": "2026-01-31T12:00:00Z"}]}, whatever the session''s settings.  Errors: 22P02 text that no events can make.';

-- Equality, for DISTINCT and the like.  There is no order.

CREATE FUNCTION leadscore.engagement_eq(leadscore.engagement, leadscore.engagement) RETURNS boolean
AS 'MODULE_PATHNAME', 'engagement_eq'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_eq(leadscore.engagement, leadscore.engagement) IS
'implementation of = operator';

CREATE FUNCTION leadscore.engagement_ne(leadscore.engagement, leadscore.engagement) RETURNS boolean
AS 'MODULE_PATHNAME', 'engagement_ne'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_ne(leadscore.engagement, leadscore.engagement) IS
'implementation of <> operator';

CREATE FUNCTION leadscore.engagement_hash(leadscore.engagement) RETURNS integer
AS 'MODULE_PATHNAME', 'engagement_hash'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_hash(leadscore.engagement) IS
'hash; NULL gives NULL';

CREATE FUNCTION leadscore.engagement_hash_extended(leadscore.engagement, bigint) RETURNS bigint
AS 'MODULE_PATHNAME', 'engagement_hash_extended'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_hash_extended(leadscore.engagement, bigint) IS
'hash with a seed; NULL gives NULL';

CREATE OPERATOR leadscore.= (
	FUNCTION = leadscore.engagement_eq,
	LEFTARG = leadscore.engagement,
	RIGHTARG = leadscore.engagement,
	COMMUTATOR = OPERATOR(leadscore.=),
	NEGATOR = OPERATOR(leadscore.<>),
	RESTRICT = pg_catalog.eqsel,
	JOIN = pg_catalog.eqjoinsel,
	HASHES
);
COMMENT ON OPERATOR leadscore.= (leadscore.engagement, leadscore.engagement) IS
'equal in all there is, to the last bit of what events are worth';

CREATE OPERATOR leadscore.<> (
	FUNCTION = leadscore.engagement_ne,
	LEFTARG = leadscore.engagement,
	RIGHTARG = leadscore.engagement,
	COMMUTATOR = OPERATOR(leadscore.<>),
	NEGATOR = OPERATOR(leadscore.=),
	RESTRICT = pg_catalog.neqsel,
	JOIN = pg_catalog.neqjoinsel
);
COMMENT ON OPERATOR leadscore.<> (leadscore.engagement, leadscore.engagement) IS
'not equal';

CREATE OPERATOR CLASS leadscore.engagement_ops
DEFAULT FOR TYPE leadscore.engagement USING hash AS
	OPERATOR 1 leadscore.=,
	FUNCTION 1 leadscore.engagement_hash(leadscore.engagement),
	FUNCTION 2 leadscore.engagement_hash_extended(leadscore.engagement, bigint);
COMMENT ON OPERATOR CLASS leadscore.engagement_ops USING hash IS
'equality of engagements';
COMMENT ON OPERATOR FAMILY leadscore.engagement_ops USING hash IS
'equality of engagements';

-- Merging

CREATE FUNCTION leadscore.engagement_plus(leadscore.engagement, leadscore.engagement) RETURNS leadscore.engagement
AS 'MODULE_PATHNAME', 'engagement_plus'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_plus(leadscore.engagement, leadscore.engagement) IS
'implementation of + operator';

CREATE OPERATOR leadscore.+ (
	FUNCTION = leadscore.engagement_plus,
	LEFTARG = leadscore.engagement,
	RIGHTARG = leadscore.engagement,
	COMMUTATOR = OPERATOR(leadscore.+)
);
COMMENT ON OPERATOR leadscore.+ (leadscore.engagement, leadscore.engagement) IS
'what both did, as for a lead that was there twice; NULL gives NULL; error 22023 if they were made by different sets of rules, or keep the events of a rule differently';

-- Reading

CREATE FUNCTION leadscore.engagement_count(engagement leadscore.engagement, rule bigint) RETURNS bigint
AS 'MODULE_PATHNAME', 'engagement_count_of'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_count(leadscore.engagement, bigint) IS
'How many events a rule, given by its id, has matched; 0 if none.  NULL gives NULL.';

CREATE FUNCTION leadscore.engagement_decayed(engagement leadscore.engagement, rule bigint, at timestamptz) RETURNS double precision
AS 'MODULE_PATHNAME', 'engagement_decayed_of'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_decayed(leadscore.engagement, bigint, timestamptz) IS
'What the events that a rule, given by its id, has matched are worth at a moment: each counts 1 when it happens, and half as much with every half-life; 0 if there were none.  A moment before the latest of them is taken for that one; infinity gives 0, if they fade.  Times the points of the rule it is what they add to the score, before limits.  NULL gives NULL.';

CREATE FUNCTION leadscore.engagement_last_seen(engagement leadscore.engagement, rule bigint) RETURNS timestamptz
AS 'MODULE_PATHNAME', 'engagement_last_seen_of'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_last_seen(leadscore.engagement, bigint) IS
'Time of the latest event that a rule, given by its id, has matched; NULL if there was none.  NULL gives NULL.';

CREATE FUNCTION leadscore.engagement_last_seen(engagement leadscore.engagement) RETURNS timestamptz
AS 'MODULE_PATHNAME', 'engagement_last_seen'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_last_seen(leadscore.engagement) IS
'Time of the latest event that any rule has matched; NULL if there was none.  NULL gives NULL.';

CREATE FUNCTION leadscore.engagement_entries(engagement leadscore.engagement,
	OUT rule bigint, OUT events bigint, OUT decayed double precision, OUT last_seen timestamptz,
	OUT half_life interval, OUT keep integer, OUT latest timestamptz[])
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'engagement_list'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10;
COMMENT ON FUNCTION leadscore.engagement_entries(leadscore.engagement) IS
'All there is in an engagement, a row for each rule that has matched something: how many events, what they are worth as of the latest, when that was, the half-life (NULL: they do not fade), how many of the latest times are kept, and those, latest first.  NULL gives no rows.';

-- Aggregates.  The four functions after the first two know nothing of what is
-- aggregated.

CREATE FUNCTION leadscore.engagement_agg_add(internal, rule bigint, occurred_at timestamptz, half_life interval, keep integer) RETURNS internal
AS 'MODULE_PATHNAME', 'engagement_agg_add'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_agg_add(internal, bigint, timestamptz, interval, integer) IS
'transition function of engagement_agg(rule, occurred_at, half_life, keep)';

CREATE FUNCTION leadscore.engagement_agg_merge(internal, leadscore.engagement) RETURNS internal
AS 'MODULE_PATHNAME', 'engagement_agg_merge'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_agg_merge(internal, leadscore.engagement) IS
'transition function of engagement_agg(engagement)';

CREATE FUNCTION leadscore.engagement_agg_combine(internal, internal) RETURNS internal
AS 'MODULE_PATHNAME', 'engagement_agg_combine'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_agg_combine(internal, internal) IS
'combine function of engagement aggregates';

CREATE FUNCTION leadscore.engagement_agg_serialize(internal) RETURNS bytea
AS 'MODULE_PATHNAME', 'engagement_agg_serialize'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_agg_serialize(internal) IS
'serialization function of engagement aggregates';

CREATE FUNCTION leadscore.engagement_agg_deserialize(bytea, internal) RETURNS internal
AS 'MODULE_PATHNAME', 'engagement_agg_deserialize'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_agg_deserialize(bytea, internal) IS
'deserialization function of engagement aggregates';

CREATE FUNCTION leadscore.engagement_agg_final(internal) RETURNS leadscore.engagement
AS 'MODULE_PATHNAME', 'engagement_agg_final'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore.engagement_agg_final(internal) IS
'final function of engagement aggregates';

CREATE AGGREGATE leadscore.engagement_agg(rule bigint, occurred_at timestamptz, half_life interval, keep integer) (
	SFUNC = leadscore.engagement_agg_add,
	STYPE = internal,
	SSPACE = 400,
	FINALFUNC = leadscore.engagement_agg_final,
	COMBINEFUNC = leadscore.engagement_agg_combine,
	SERIALFUNC = leadscore.engagement_agg_serialize,
	DESERIALFUNC = leadscore.engagement_agg_deserialize,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE leadscore.engagement_agg(bigint, timestamptz, interval, integer) IS
'Summary of events, one a row: the id of the rule it matched, when it happened, the half-life with which the events of this rule fade (NULL: they do not; a day has 24 hours), and how many of its latest times are kept (0 to 64; NULL: none).  Rows without a rule or a time are skipped, no row at all gives NULL.  Errors: 22023 a half-life that is not positive or has months, a keep below 0 or above 64, rows of a rule that differ in half_life or keep, 22008 an infinite time.';

CREATE AGGREGATE leadscore.engagement_agg(leadscore.engagement) (
	SFUNC = leadscore.engagement_agg_merge,
	STYPE = internal,
	SSPACE = 400,
	FINALFUNC = leadscore.engagement_agg_final,
	COMBINEFUNC = leadscore.engagement_agg_combine,
	SERIALFUNC = leadscore.engagement_agg_serialize,
	DESERIALFUNC = leadscore.engagement_agg_deserialize,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE leadscore.engagement_agg(leadscore.engagement) IS
'Sum of engagements, as + makes it.  NULLs are skipped, no engagement at all gives NULL.  Errors: 22023 they were made by different sets of rules, or keep the events of a rule differently.';

/* ----------------------------------------------------------------------
 * 2. Tables: the scoring matrix
 *
 * A model scores one table of leads.  Its matrix is made of factors, each
 * with rules; thresholds turn the numbers into words.  The C code reads
 * these tables by column number: new columns go at the end.
 * ----------------------------------------------------------------------
 */

CREATE TABLE leadscore.model (
	name			text COLLATE "C" PRIMARY KEY,
	target			regclass NOT NULL,
	source			regclass,
	key_column		name,
	channel			text,
	created_at		text,
	consent			text,
	time_zone		text NOT NULL DEFAULT 'UTC',
	score_min		double precision,
	score_max		double precision,
	fit_min			double precision,
	fit_max			double precision,
	engagement_min	double precision,
	engagement_max	double precision,
	initial_stage	leadscore.lead_stage NOT NULL DEFAULT 'lead',
	accepted_stage	leadscore.lead_stage NOT NULL DEFAULT 'sql',
	description		text,
	search_path		text,
	version			bigint NOT NULL DEFAULT 1,
	activity_version bigint NOT NULL DEFAULT 0,
	status			text,
	stage_mode		text COLLATE "C" NOT NULL DEFAULT 'lead',
	handoff_stage	leadscore.lead_stage,
	cooldown		interval NOT NULL DEFAULT '90 days',
	announce		boolean NOT NULL DEFAULT true,
	CONSTRAINT model_stage_mode_check CHECK (stage_mode IN ('lead', 'follow')),
	CONSTRAINT model_cooldown_check CHECK (cooldown >= '0' AND extract(month FROM cooldown) = 0 AND extract(year FROM cooldown) = 0),
	CONSTRAINT model_score_range_check CHECK (score_min <= score_max),
	CONSTRAINT model_fit_range_check CHECK (fit_min <= fit_max),
	CONSTRAINT model_engagement_range_check CHECK (engagement_min <= engagement_max),
	CONSTRAINT model_finite_check CHECK (
		score_min BETWEEN -1e15 AND 1e15 AND score_max BETWEEN -1e15 AND 1e15
		AND fit_min BETWEEN -1e15 AND 1e15 AND fit_max BETWEEN -1e15 AND 1e15
		AND engagement_min BETWEEN -1e15 AND 1e15 AND engagement_max BETWEEN -1e15 AND 1e15)
);
COMMENT ON TABLE leadscore.model IS
'Scoring models: one named scoring matrix each, for one table of leads.  Several models may score the same table.';
COMMENT ON COLUMN leadscore.model.name IS 'Name: a lower-case identifier of at most 40 characters; the model''s own tables and views are named after it.  An attached model cannot be renamed; history goes along with one that is.';
COMMENT ON COLUMN leadscore.model.target IS 'Table of the leads.';
COMMENT ON COLUMN leadscore.model.source IS 'View or table whose row the conditions read, for facts that live in other tables; it exposes the lead''s key and every column the conditions need.  NULL: the target itself.';
COMMENT ON COLUMN leadscore.model.key_column IS 'Column of target and source that identifies a lead; filled with the primary key when that has one column.';
COMMENT ON COLUMN leadscore.model.channel IS 'SQL expression over the source that gives the acquisition channel as text, for reports; NULL: no channel.  The first one that a lead has stays.';
COMMENT ON COLUMN leadscore.model.created_at IS 'SQL expression over the source that tells when the lead arose (timestamptz), for reports and include_never; NULL: not known.';
COMMENT ON COLUMN leadscore.model.consent IS 'SQL expression over the source: does the lead consent to be contacted?  Without consent a lead never shows on the hot list.  NULL: all do.';
COMMENT ON COLUMN leadscore.model.time_zone IS 'Time zone in which the conditions are read and months and days of reports are cut, whatever the session''s.';
COMMENT ON COLUMN leadscore.model.score_min IS 'Lowest score; NULL: open.';
COMMENT ON COLUMN leadscore.model.score_max IS 'Highest score; NULL: open.';
COMMENT ON COLUMN leadscore.model.fit_min IS 'Lowest total of the fit axis; NULL: open.';
COMMENT ON COLUMN leadscore.model.fit_max IS 'Highest total of the fit axis; NULL: open.';
COMMENT ON COLUMN leadscore.model.engagement_min IS 'Lowest total of the engagement axis; NULL: open.';
COMMENT ON COLUMN leadscore.model.engagement_max IS 'Highest total of the engagement axis; NULL: open.';
COMMENT ON COLUMN leadscore.model.initial_stage IS 'Stage in which a new lead starts.';
COMMENT ON COLUMN leadscore.model.accepted_stage IS 'Stage from which a lead counts as accepted by sales.';
COMMENT ON COLUMN leadscore.model.description IS 'What the model is for.';
COMMENT ON COLUMN leadscore.model.search_path IS 'Schemas in which the names of the model''s expressions are looked up; filled with the writer''s search_path.';
COMMENT ON COLUMN leadscore.model.version IS 'Counts the changes of the model and its rules; every change of the matrix raises it.';
COMMENT ON COLUMN leadscore.model.activity_version IS 'The version in which it last changed which events count for whom, and how they are summed up; summaries made before are made anew.';
COMMENT ON COLUMN leadscore.model.status IS 'SQL expression over the source that gives the CRM''s own status; leadscore.stage_map says which stages it means.  NULL: the CRM has none.';
COMMENT ON COLUMN leadscore.model.stage_mode IS 'Who is the master of the stage: lead (this extension: every move keeps to leadscore.transition, whoever makes it) or follow (the CRM''s status: its moves are recorded, not refused).';
COMMENT ON COLUMN leadscore.model.handoff_stage IS 'Stage in which a lead waits for sales to accept it; NULL: sal if the transitions use it, else mql.';
COMMENT ON COLUMN leadscore.model.cooldown IS 'How long a lead in nurture is left alone before a condition that held all the time may move it on, given a later activity.  A day has 24 hours, months are refused.';
COMMENT ON COLUMN leadscore.model.announce IS 'Are crossings of temperature and stage announced by NOTIFY leadscore?';

CREATE TABLE leadscore.factor (
	model			text COLLATE "C" NOT NULL
					REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	name			text COLLATE "C" NOT NULL,
	axis			text COLLATE "C" NOT NULL,
	combine			text COLLATE "C" NOT NULL,
	points_floor	double precision,
	points_cap		double precision,
	description		text,
	PRIMARY KEY (model, name),
	CONSTRAINT factor_name_check CHECK (name <> ''),
	CONSTRAINT factor_axis_check CHECK (axis IN ('fit', 'engagement')),
	CONSTRAINT factor_combine_check CHECK (combine IN ('sum', 'best')),
	CONSTRAINT factor_points_range_check CHECK (points_floor <= points_cap)
);
COMMENT ON TABLE leadscore.factor IS
'Factors: groups of rules about one question, for example "company size".';
COMMENT ON COLUMN leadscore.factor.model IS 'Model the factor belongs to.';
COMMENT ON COLUMN leadscore.factor.name IS 'Name, unique within the model.';
COMMENT ON COLUMN leadscore.factor.axis IS 'fit (who the lead is) or engagement (what the lead does).';
COMMENT ON COLUMN leadscore.factor.combine IS 'How the points of the matching rules become one number: sum, or best (the one with most points).  When not given: best on the fit axis, sum on the engagement axis.';
COMMENT ON COLUMN leadscore.factor.points_floor IS 'Lowest total of the factor; NULL: open.';
COMMENT ON COLUMN leadscore.factor.points_cap IS 'Highest total of the factor; NULL: open.';
COMMENT ON COLUMN leadscore.factor.description IS 'What the factor asks.';

CREATE TABLE leadscore.activity_source (
	model			text COLLATE "C" NOT NULL
					REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	name			text COLLATE "C" NOT NULL,
	relation		regclass NOT NULL,
	lead_key		text NOT NULL,
	match_column	name,
	occurred_at		text NOT NULL,
	time_zone		text,
	filter			text,
	event_key		text,
	description		text,
	search_path		text,
	relation_name	text,
	PRIMARY KEY (model, name),
	CONSTRAINT activity_source_name_check CHECK (name <> '')
);
COMMENT ON TABLE leadscore.activity_source IS
'Activity sources: the CRM''s own tables of events (visits, clicks, e-mails, calls), and how their rows point at leads.';
COMMENT ON COLUMN leadscore.activity_source.model IS 'Model whose leads do this.';
COMMENT ON COLUMN leadscore.activity_source.name IS 'Name, unique within the model; activity rules refer to it.';
COMMENT ON COLUMN leadscore.activity_source.relation IS 'Table of the events.';
COMMENT ON COLUMN leadscore.activity_source.lead_key IS 'SQL expression over an event''s row that gives the key of the lead, or with match_column a value of the lead.';
COMMENT ON COLUMN leadscore.activity_source.match_column IS 'Column of the model''s source, an e-mail address for example, that lead_key is compared with, upper and lower case alike; NULL: lead_key is the lead''s key.';
COMMENT ON COLUMN leadscore.activity_source.occurred_at IS 'SQL expression over an event''s row that tells when it happened: a timestamp with or without time zone, or a date (its first moment).  An event for which it is NULL does not count.';
COMMENT ON COLUMN leadscore.activity_source.time_zone IS 'Time zone of an occurred_at without one; NULL: the model''s.';
COMMENT ON COLUMN leadscore.activity_source.filter IS 'SQL boolean expression over an event''s row: only those for which it is true are events of leads; NULL: all.';
COMMENT ON COLUMN leadscore.activity_source.event_key IS 'SQL expression over an event''s row: rows of a lead in which it is the same are one event, delivered several times, of which the earliest counts; NULL: each row is an event.';
COMMENT ON COLUMN leadscore.activity_source.description IS 'What the events are.';
COMMENT ON COLUMN leadscore.activity_source.search_path IS 'Schemas in which the names of the expressions are looked up; filled with the writer''s search_path.';
COMMENT ON COLUMN leadscore.activity_source.relation_name IS 'The table''s name when relation was written, filled in by itself: a loader may put another table in its place.';

CREATE TABLE leadscore.rule (
	id				bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	model			text COLLATE "C" NOT NULL,
	factor			text COLLATE "C" NOT NULL,
	parameter		text,
	significance	text COLLATE "C",
	condition		text NOT NULL,
	points			double precision NOT NULL DEFAULT 0,
	disqualifies	boolean NOT NULL DEFAULT false,
	enabled			boolean NOT NULL DEFAULT true,
	note			text,
	search_path		text,
	activity		text COLLATE "C",
	half_life		interval,
	at_least		integer,
	within			interval,
	at_most			integer,
	inactive_for	interval,
	include_never	boolean NOT NULL DEFAULT false,
	FOREIGN KEY (model, factor) REFERENCES leadscore.factor (model, name)
		ON UPDATE CASCADE ON DELETE CASCADE,
	FOREIGN KEY (model, activity) REFERENCES leadscore.activity_source (model, name)
		ON UPDATE CASCADE,
	CONSTRAINT rule_significance_check CHECK (significance IN ('key', 'acceptable', 'negative'))
);
/* The order in which the rulebook is loaded; also serves the foreign key. */
CREATE UNIQUE INDEX rule_model_id_idx ON leadscore.rule (model, id);
CREATE INDEX rule_model_factor_idx ON leadscore.rule (model, factor);
CREATE INDEX rule_model_activity_idx ON leadscore.rule (model, activity) WHERE activity IS NOT NULL;
COMMENT ON TABLE leadscore.rule IS
'Rules: the lines of the scoring matrix.';
COMMENT ON COLUMN leadscore.rule.id IS 'Number of the rule; of equally good rules of a "best" factor the lowest counts.';
COMMENT ON COLUMN leadscore.rule.model IS 'Model the rule belongs to.';
COMMENT ON COLUMN leadscore.rule.factor IS 'Factor the rule belongs to.';
COMMENT ON COLUMN leadscore.rule.parameter IS 'What the rule looks for, in a word or two: "medium", "CEO".';
COMMENT ON COLUMN leadscore.rule.significance IS 'key, acceptable or negative: a label, which does not constrain the points.';
COMMENT ON COLUMN leadscore.rule.condition IS 'SQL boolean expression over the columns of the model''s source, or of the activity source''s table; NULL is no match.';
COMMENT ON COLUMN leadscore.rule.points IS 'Points when the condition holds, of an activity rule for each event, between -1000000 and 1000000.';
COMMENT ON COLUMN leadscore.rule.disqualifies IS 'A matching lead is disqualified and cold, whatever its points.';
COMMENT ON COLUMN leadscore.rule.enabled IS 'Disabled rules are kept but do not speak.';
COMMENT ON COLUMN leadscore.rule.note IS 'Why the rule is there; shown by explain.';
COMMENT ON COLUMN leadscore.rule.search_path IS 'Schemas in which the condition''s names are looked up; filled with the writer''s search_path.';
COMMENT ON COLUMN leadscore.rule.activity IS 'Activity source whose events the rule is about; NULL: a rule about the lead''s own row.';
COMMENT ON COLUMN leadscore.rule.half_life IS 'Time in which the points of an event halve; NULL: they do not fade.  A day has 24 hours, months are refused.';
COMMENT ON COLUMN leadscore.rule.at_least IS 'The points count once, as long as there are this many events within the time that within gives, 1 to 64.  Excludes half_life and at_most.';
COMMENT ON COLUMN leadscore.rule.within IS 'How far back at_least counts; an event that is exactly as old is out.  A day has 24 hours, months are refused.';
COMMENT ON COLUMN leadscore.rule.at_most IS 'Only this many of the latest events count, 1 to 64; NULL: all.';
COMMENT ON COLUMN leadscore.rule.inactive_for IS 'The points count once, as long as there was no event for this time, but only for leads that were active before; a latest event that is exactly as old is silence already.  Excludes half_life, at_least and at_most.  A day has 24 hours, months are refused.';
COMMENT ON COLUMN leadscore.rule.include_never IS 'inactive_for also speaks for leads that never were active, counted from the model''s created_at.';

CREATE TABLE leadscore.threshold (
	model			text COLLATE "C"
					REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	kind			text COLLATE "C" NOT NULL,
	label			text COLLATE "C" NOT NULL,
	at_least		double precision NOT NULL,
	margin			double precision NOT NULL DEFAULT 0,
	builtin			boolean NOT NULL DEFAULT false,
	CONSTRAINT threshold_key UNIQUE NULLS NOT DISTINCT (model, builtin, kind, label),
	CONSTRAINT threshold_kind_check CHECK (kind IN ('temperature', 'fit', 'engagement')),
	CONSTRAINT threshold_label_check CHECK (
		CASE kind WHEN 'temperature' THEN label IN ('cold', 'warm', 'hot')
				  ELSE label ~ '^[[:alnum:]]{1,8}$' END),
	CONSTRAINT threshold_at_least_check CHECK (at_least < 'Infinity'),
	CONSTRAINT threshold_margin_check CHECK (margin >= 0 AND margin < 'Infinity'),
	CONSTRAINT threshold_builtin_check CHECK (NOT builtin OR model IS NULL)
);
COMMENT ON TABLE leadscore.threshold IS
'Thresholds: from which score a lead is warm or hot, and from which total on each axis it has which grade.  A model''s rows replace the default of their kind; rows without a model replace the built-in default.';
COMMENT ON COLUMN leadscore.threshold.model IS 'Model the threshold belongs to; NULL: default for all models.';
COMMENT ON COLUMN leadscore.threshold.kind IS 'temperature (on the score), fit or engagement (on the total of that axis, for the grade).';
COMMENT ON COLUMN leadscore.threshold.label IS 'cold, warm or hot; a letter of the fit grade; a digit of the engagement grade.';
COMMENT ON COLUMN leadscore.threshold.at_least IS 'Reached from this value on.  Below all rows of a kind a lead is cold, or has the lowest grade.';
COMMENT ON COLUMN leadscore.threshold.margin IS 'How far below the threshold a lead must fall before a move down is announced; never changes what views show.';
COMMENT ON COLUMN leadscore.threshold.builtin IS 'The default that comes with the extension; used where nobody set another.';

INSERT INTO leadscore.threshold (kind, label, at_least, builtin) VALUES
	('temperature', 'cold', '-Infinity', true),
	('temperature', 'warm', 25, true),
	('temperature', 'hot', 50, true),
	('fit', 'A', 40, true),
	('fit', 'B', 20, true),
	('fit', 'C', 0, true),
	('fit', 'D', '-Infinity', true),
	('engagement', '1', 40, true),
	('engagement', '2', 20, true),
	('engagement', '3', 5, true),
	('engagement', '4', '-Infinity', true);

CREATE TABLE leadscore.transition (
	model			text COLLATE "C" NOT NULL
					REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	from_stage		leadscore.lead_stage NOT NULL,
	to_stage		leadscore.lead_stage NOT NULL,
	condition		text,
	automatic		boolean NOT NULL DEFAULT false,
	description		text,
	search_path		text,
	min_attempts	integer,
	PRIMARY KEY (model, from_stage, to_stage),
	CONSTRAINT transition_stages_check CHECK (from_stage OPERATOR(leadscore.<>) to_stage),
	CONSTRAINT transition_attempts_check CHECK (min_attempts IS NULL OR (min_attempts > 0 AND NOT automatic))
);
COMMENT ON TABLE leadscore.transition IS
'Transitions: the moves that leads may make from one stage of the funnel to another.  A model without any leaves every move open.';
COMMENT ON COLUMN leadscore.transition.model IS 'Model whose leads move.';
COMMENT ON COLUMN leadscore.transition.from_stage IS 'Stage that is left.';
COMMENT ON COLUMN leadscore.transition.to_stage IS 'Stage that is entered.';
COMMENT ON COLUMN leadscore.transition.condition IS 'SQL boolean expression over the columns of the model''s source and over scored.score, scored.fit, scored.engagement, scored.temperature, scored.grade and scored.disqualified, without which nobody may make the move (but for moves to an exit, which people may make at any time); NULL: none.';
COMMENT ON COLUMN leadscore.transition.automatic IS 'Is the move made as soon as the condition holds, in the commit that makes it hold?';
COMMENT ON COLUMN leadscore.transition.description IS 'What the move means.';
COMMENT ON COLUMN leadscore.transition.search_path IS 'Schemas in which the condition''s names are looked up; filled with the writer''s search_path.';
COMMENT ON COLUMN leadscore.transition.min_attempts IS 'How often a lead must have been contacted in from_stage before people may make the move, as to give it up: leadscore.attempts() counts, by a row of leadscore.sla for from_stage with a response_activity.  Not of an automatic transition, nor where the CRM''s status is the master; NULL: it need not be.';

CREATE TABLE leadscore.stage_map (
	model			text COLLATE "C" NOT NULL
					REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	status			text COLLATE "C" NOT NULL,
	stage			leadscore.lead_stage NOT NULL,
	description		text,
	PRIMARY KEY (model, status, stage)
);
COMMENT ON TABLE leadscore.stage_map IS
'Stage map: what the CRM''s own status means in stages.  A status may stand for several stages; a lead that comes to have it enters the model''s initial_stage if that is one of them, else the one that orders first, disqualified or lost only if there is no other; it moves among them without a change of the status.  A model without any takes the status for the name of a stage.';
COMMENT ON COLUMN leadscore.stage_map.model IS 'Model whose status it is.';
COMMENT ON COLUMN leadscore.stage_map.status IS 'Value of the model''s status expression, as text.';
COMMENT ON COLUMN leadscore.stage_map.stage IS 'Stage that it stands for.';
COMMENT ON COLUMN leadscore.stage_map.description IS 'What the CRM calls it.';

CREATE TABLE leadscore.problem (
	model			text COLLATE "C" NOT NULL
					REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	rule			bigint REFERENCES leadscore.rule ON UPDATE CASCADE ON DELETE CASCADE,
	lead_key		text,
	sqlstate		text COLLATE "C" NOT NULL,
	message			text NOT NULL,
	first_seen		timestamptz NOT NULL DEFAULT pg_catalog.now(),
	last_seen		timestamptz NOT NULL DEFAULT pg_catalog.now(),
	count			bigint NOT NULL DEFAULT 1,
	CONSTRAINT problem_key UNIQUE NULLS NOT DISTINCT (model, rule, lead_key)
);
CREATE INDEX problem_rule_idx ON leadscore.problem (rule);
COMMENT ON TABLE leadscore.problem IS
'What went wrong while scoring, instead of an error for the application.';
COMMENT ON COLUMN leadscore.problem.model IS 'Model that was scored.';
COMMENT ON COLUMN leadscore.problem.rule IS 'Rule that failed; NULL: the model as a whole.';
COMMENT ON COLUMN leadscore.problem.lead_key IS 'Key of the lead, as text; NULL: the rule fails for every lead.';
COMMENT ON COLUMN leadscore.problem.sqlstate IS 'SQLSTATE of the error.';
COMMENT ON COLUMN leadscore.problem.message IS 'Message of the error.';
COMMENT ON COLUMN leadscore.problem.first_seen IS 'When it happened first.';
COMMENT ON COLUMN leadscore.problem.last_seen IS 'When it happened last.';
COMMENT ON COLUMN leadscore.problem.count IS 'How often it was seen.';

CREATE TABLE leadscore.allowed_function (
	signature		text COLLATE "C" PRIMARY KEY,
	note			text
);
COMMENT ON TABLE leadscore.allowed_function IS
'Functions that conditions may call besides the built-in ones; only superusers may change it.';
COMMENT ON COLUMN leadscore.allowed_function.signature IS 'Schema-qualified name and argument types, as regprocedure shows them: crm.is_competitor(text).';
COMMENT ON COLUMN leadscore.allowed_function.note IS 'Who asked for it, and why it is safe.';

/* Their keys may hold NULL, which replication of changes would not accept. */
ALTER TABLE leadscore.threshold REPLICA IDENTITY FULL;
ALTER TABLE leadscore.problem REPLICA IDENTITY FULL;

/* Rows of users are part of their dumps. */
SELECT pg_catalog.pg_extension_config_dump('leadscore.model', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.factor', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.activity_source', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.rule', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.rule_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.threshold', 'WHERE NOT builtin');
SELECT pg_catalog.pg_extension_config_dump('leadscore.transition', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.stage_map', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.problem', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.allowed_function', '');

/* ----------------------------------------------------------------------
 * 3. Rules: what may be written into the tables
 *
 * The triggers fire ALWAYS: rule tables may be fed by replication as well.
 * They work under an empty search_path, as pg_restore has it.
 * ----------------------------------------------------------------------
 */

CREATE FUNCTION leadscore.check_model_relations() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	relation	regclass;
	kind		"char";
	key			name;
BEGIN
	IF NEW.name !~ '^[a-z_][a-z0-9_]{0,39}$' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_name',
			MESSAGE = format('invalid name for a scoring model: "%s"', NEW.name),
			HINT = 'Use a lower-case identifier of at most 40 characters; tables and views are named after it.';
	END IF;

	FOREACH relation IN ARRAY ARRAY[NEW.target, NEW.source] LOOP
		CONTINUE WHEN relation IS NULL;
		SELECT c.relkind INTO kind FROM pg_class c WHERE c.oid = relation;
		IF NOT FOUND THEN
			-- a dump may hold a model whose table is gone
			CONTINUE WHEN TG_OP = 'UPDATE' AND relation IN (OLD.target, OLD.source);
			RAISE WARNING USING
				ERRCODE = 'undefined_table',
				MESSAGE = format('relation %s of scoring model "%s" does not exist', relation, NEW.name);
			CONTINUE;
		END IF;
		IF kind NOT IN ('r', 'p', 'v', 'm', 'f') THEN
			RAISE EXCEPTION USING
				ERRCODE = 'wrong_object_type',
				MESSAGE = format('"%s" is not a table or view', relation),
				HINT = 'The target of a scoring model is a table of leads; its source is a table or view.';
		END IF;
		IF relation = NEW.target AND kind IN ('v', 'm') THEN
			RAISE EXCEPTION USING
				ERRCODE = 'wrong_object_type',
				MESSAGE = format('"%s" is not a table', relation),
				HINT = 'Make the table of leads the target, and the view the source of the scoring model.';
		END IF;
		IF EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
				   WHERE c.oid = relation AND n.nspname = 'leadscore') THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_object_definition',
				MESSAGE = format('scoring model "%s" cannot read "%s"', NEW.name, relation),
				DETAIL = 'A score that depends on scores would be cyclic.';
		END IF;
	END LOOP;

	IF NEW.key_column IS NULL THEN
		SELECT a.attname INTO key
		FROM pg_index i
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		WHERE i.indrelid = NEW.target AND i.indisprimary AND i.indnkeyatts = 1;
		IF NEW.source IS NULL OR EXISTS (
			SELECT FROM pg_attribute a
			WHERE a.attrelid = NEW.source AND a.attname = key AND NOT a.attisdropped) THEN
			NEW.key_column := key;
		END IF;
	ELSIF TG_OP = 'INSERT' OR NEW.key_column IS DISTINCT FROM OLD.key_column
		OR NEW.target IS DISTINCT FROM OLD.target OR NEW.source IS DISTINCT FROM OLD.source THEN
		FOREACH relation IN ARRAY ARRAY[NEW.target, NEW.source] LOOP
			CONTINUE WHEN relation IS NULL
				OR NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = relation)
				OR EXISTS (SELECT FROM pg_attribute a
						   WHERE a.attrelid = relation AND a.attname = NEW.key_column
							 AND a.attnum > 0 AND NOT a.attisdropped);
			RAISE EXCEPTION USING
				ERRCODE = 'undefined_column',
				MESSAGE = format('key column "%s" of scoring model "%s" does not exist in "%s"',
								 NEW.key_column, NEW.name, relation),
				HINT = 'Target and source of a model both have the column that identifies a lead.';
		END LOOP;
	END IF;

	RETURN NEW;
END
$$;
COMMENT ON FUNCTION leadscore.check_model_relations() IS
'Trigger on leadscore.model: checks name, target, source and key column, and fills in the key column';

CREATE FUNCTION leadscore.check_model_row() RETURNS trigger
AS 'MODULE_PATHNAME', 'leadscore_check_model_row'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.check_model_row() IS
'Trigger on leadscore.model: compiles the expressions channel, created_at and consent, fills in search_path, raises the version';

CREATE FUNCTION leadscore.check_rule_row() RETURNS trigger
AS 'MODULE_PATHNAME', 'leadscore_check_rule_row'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.check_rule_row() IS
'Trigger on leadscore.rule: compiles the condition and fills in search_path';
/*
 * Nobody may hang these on a table of his own; the triggers below need no
 * privilege to fire.
 */
REVOKE ALL ON FUNCTION leadscore.check_model_row() FROM PUBLIC;
REVOKE ALL ON FUNCTION leadscore.check_rule_row() FROM PUBLIC;

CREATE FUNCTION leadscore.check_activity_source_row() RETURNS trigger
AS 'MODULE_PATHNAME', 'leadscore_check_activity_source_row'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.check_activity_source_row() IS
'Trigger on leadscore.activity_source: compiles the expressions, fills in search_path; of an attached model only the owner of the events'' table may write it';
REVOKE ALL ON FUNCTION leadscore.check_activity_source_row() FROM PUBLIC;

CREATE FUNCTION leadscore.check_transition_row() RETURNS trigger
AS 'MODULE_PATHNAME', 'leadscore_check_transition_row'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.check_transition_row() IS
'Trigger on leadscore.transition: compiles the condition and fills in search_path';
REVOKE ALL ON FUNCTION leadscore.check_transition_row() FROM PUBLIC;

CREATE FUNCTION leadscore.name_activity_relation() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP = 'INSERT' OR NEW.relation IS DISTINCT FROM OLD.relation THEN
		NEW.relation_name := NEW.relation::text;
	ELSE
		NEW.relation_name := OLD.relation_name;
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION leadscore.name_activity_relation() IS
'Trigger on leadscore.activity_source: keeps the name that the table of the events had when it was chosen';

CREATE FUNCTION leadscore.matrix_changed() RETURNS trigger
AS 'MODULE_PATHNAME', 'leadscore_matrix_changed'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.matrix_changed() IS
'Trigger on all tables of the matrix: raises the version of the models concerned, so that every session loads the new rules';
REVOKE ALL ON FUNCTION leadscore.matrix_changed() FROM PUBLIC;

CREATE FUNCTION leadscore.set_factor_defaults() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NEW.combine IS NULL THEN
		NEW.combine := CASE NEW.axis WHEN 'fit' THEN 'best' ELSE 'sum' END;
	END IF;
	IF NEW.points_floor IN ('NaN', 'Infinity') OR NEW.points_cap IN ('NaN', '-Infinity') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'numeric_value_out_of_range',
			MESSAGE = format('floor or cap of factor "%s" is out of range', NEW.name),
			HINT = 'Use NULL for an open end.';
	END IF;
	IF TG_OP = 'UPDATE' AND NEW.axis = 'fit' AND OLD.axis <> 'fit'
		AND EXISTS (SELECT FROM leadscore.rule r
					WHERE r.model = OLD.model AND r.factor = OLD.name AND r.activity IS NOT NULL) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'check_violation',
			MESSAGE = format('factor "%s" cannot be moved to the fit axis', NEW.name),
			DETAIL = 'It has activity rules: what a lead does is engagement.';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION leadscore.set_factor_defaults() IS
'Trigger on leadscore.factor: the default of combine depends on the axis; activity rules stay on the engagement axis';

CREATE FUNCTION leadscore.check_threshold_row() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- the row that comes with the extension stays; what is written is one of
	-- the user's, which replaces all of its kind
	IF TG_OP = 'TRUNCATE' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'built-in thresholds cannot be truncated',
			HINT = 'Use DELETE FROM leadscore.threshold WHERE NOT builtin.';
	END IF;
	IF TG_OP <> 'INSERT' AND OLD.builtin THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'built-in thresholds cannot be changed',
			HINT = 'Insert thresholds of this kind with your own values: without a model they are the default of all models.';
	END IF;
	IF TG_OP = 'DELETE' THEN
		RETURN OLD;
	END IF;
	IF NEW.builtin THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = 'only the extension itself can write built-in thresholds',
			HINT = 'Leave out the column builtin: thresholds of your own replace the built-in ones.';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION leadscore.check_threshold_row() IS
'Trigger on leadscore.threshold: guards the built-in rows';

CREATE FUNCTION leadscore.check_threshold_order() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wrong record;
BEGIN
	-- cold < warm < hot; A above B above C; 1 above 2 above 3
	SELECT t.model, t.kind, t.label, t.next_label INTO wrong
	FROM (SELECT model, kind, label, at_least,
				 lead(label) OVER w AS next_label, lead(at_least) OVER w AS next_at_least
		  FROM leadscore.threshold
		  WHERE NOT builtin
		  WINDOW w AS (PARTITION BY model, kind
					   ORDER BY CASE kind WHEN 'temperature'
								THEN CASE label WHEN 'hot' THEN '1' WHEN 'warm' THEN '2' ELSE '3' END
								ELSE label END COLLATE "C")) t
	WHERE NOT t.at_least > t.next_at_least
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'check_violation',
			MESSAGE = format('thresholds of kind %s are out of order', wrong.kind),
			DETAIL = format('Label "%s" must begin above label "%s"%s.', wrong.label, wrong.next_label,
							CASE WHEN wrong.model IS NULL THEN '' ELSE format(' in model "%s"', wrong.model) END),
			HINT = 'Change all thresholds of a kind in one statement.';
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION leadscore.check_threshold_order() IS
'Trigger on leadscore.threshold: the better label begins at the higher value';

CREATE FUNCTION leadscore.check_allowed_function() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	function regprocedure;
BEGIN
	IF NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = 'only superusers can say which functions conditions may call';
	END IF;
	IF TG_OP = 'DELETE' THEN
		RETURN OLD;
	END IF;
	-- the search_path holds pg_catalog alone: the name must be qualified, and
	-- comes out qualified
	function := NEW.signature::regprocedure;
	IF (SELECT p.provolatile FROM pg_proc p WHERE p.oid = function) = 'v' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_object_definition',
			MESSAGE = format('function %s is volatile', function),
			DETAIL = 'A condition must give the same answer for the same row.',
			HINT = 'If it gives the same result for the same arguments, declare it IMMUTABLE.';
	END IF;
	NEW.signature := function::text;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION leadscore.check_allowed_function() IS
'Trigger on leadscore.allowed_function: superusers only, signatures in the form of regprocedure';

CREATE TRIGGER a_check_relations BEFORE INSERT OR UPDATE OF name, target, source, key_column ON leadscore.model
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_model_relations();
CREATE TRIGGER b_check_row BEFORE INSERT OR UPDATE OF name, target, source, key_column, channel,
	created_at, consent, time_zone, score_min, score_max, fit_min, fit_max, engagement_min,
	engagement_max, initial_stage, accepted_stage, description, search_path, status ON leadscore.model
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_model_row();
CREATE TRIGGER matrix_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore.model
	FOR EACH ROW EXECUTE FUNCTION leadscore.matrix_changed();
CREATE TRIGGER matrix_truncated AFTER TRUNCATE ON leadscore.model
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.matrix_changed();

CREATE TRIGGER set_defaults BEFORE INSERT OR UPDATE ON leadscore.factor
	FOR EACH ROW EXECUTE FUNCTION leadscore.set_factor_defaults();
CREATE TRIGGER matrix_changing BEFORE INSERT OR UPDATE OR DELETE ON leadscore.factor
	FOR EACH ROW EXECUTE FUNCTION leadscore.matrix_changed();
CREATE TRIGGER matrix_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore.factor
	FOR EACH ROW EXECUTE FUNCTION leadscore.matrix_changed();
CREATE TRIGGER matrix_truncated AFTER TRUNCATE ON leadscore.factor
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.matrix_changed();

/* Comes first and waits for attach(): whether the model is attached matters to the check. */
CREATE TRIGGER a_matrix_changing BEFORE INSERT OR UPDATE OR DELETE ON leadscore.activity_source
	FOR EACH ROW EXECUTE FUNCTION leadscore.matrix_changed();
CREATE TRIGGER b_name_relation BEFORE INSERT OR UPDATE ON leadscore.activity_source
	FOR EACH ROW EXECUTE FUNCTION leadscore.name_activity_relation();
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON leadscore.activity_source
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_activity_source_row();
CREATE TRIGGER matrix_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore.activity_source
	FOR EACH ROW EXECUTE FUNCTION leadscore.matrix_changed();
CREATE TRIGGER matrix_truncated AFTER TRUNCATE ON leadscore.activity_source
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.matrix_changed();

CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON leadscore.transition
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_transition_row();
CREATE TRIGGER matrix_changing BEFORE INSERT OR UPDATE OR DELETE ON leadscore.transition
	FOR EACH ROW EXECUTE FUNCTION leadscore.matrix_changed();
CREATE TRIGGER matrix_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore.transition
	FOR EACH ROW EXECUTE FUNCTION leadscore.matrix_changed();
CREATE TRIGGER matrix_truncated AFTER TRUNCATE ON leadscore.transition
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.matrix_changed();

CREATE TRIGGER matrix_changing BEFORE INSERT OR UPDATE OR DELETE ON leadscore.stage_map
	FOR EACH ROW EXECUTE FUNCTION leadscore.matrix_changed();
CREATE TRIGGER matrix_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore.stage_map
	FOR EACH ROW EXECUTE FUNCTION leadscore.matrix_changed();
CREATE TRIGGER matrix_truncated AFTER TRUNCATE ON leadscore.stage_map
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.matrix_changed();

CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON leadscore.rule
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_rule_row();
CREATE TRIGGER matrix_changing BEFORE INSERT OR UPDATE OR DELETE ON leadscore.rule
	FOR EACH ROW EXECUTE FUNCTION leadscore.matrix_changed();
CREATE TRIGGER matrix_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore.rule
	FOR EACH ROW EXECUTE FUNCTION leadscore.matrix_changed();
CREATE TRIGGER matrix_truncated AFTER TRUNCATE ON leadscore.rule
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.matrix_changed();

CREATE TRIGGER check_row BEFORE INSERT OR UPDATE OR DELETE ON leadscore.threshold
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_threshold_row();
CREATE TRIGGER check_order AFTER INSERT OR UPDATE ON leadscore.threshold
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.check_threshold_order();
CREATE TRIGGER matrix_changing BEFORE INSERT OR UPDATE OR DELETE ON leadscore.threshold
	FOR EACH ROW EXECUTE FUNCTION leadscore.matrix_changed();
CREATE TRIGGER matrix_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore.threshold
	FOR EACH ROW EXECUTE FUNCTION leadscore.matrix_changed();
CREATE TRIGGER check_truncate BEFORE TRUNCATE ON leadscore.threshold
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.check_threshold_row();

CREATE TRIGGER check_row BEFORE INSERT OR UPDATE OR DELETE ON leadscore.allowed_function
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_allowed_function();
CREATE TRIGGER matrix_changing BEFORE INSERT OR UPDATE OR DELETE ON leadscore.allowed_function
	FOR EACH ROW EXECUTE FUNCTION leadscore.matrix_changed();
CREATE TRIGGER matrix_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore.allowed_function
	FOR EACH ROW EXECUTE FUNCTION leadscore.matrix_changed();
CREATE TRIGGER matrix_truncated AFTER TRUNCATE ON leadscore.allowed_function
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.matrix_changed();

CREATE TYPE leadscore.rule_check AS (
	ok			boolean,
	sqlstate	text,
	message		text,
	detail		text,
	hint		text,
	"position"	integer
);
COMMENT ON TYPE leadscore.rule_check IS 'What leadscore.check_rule() found.';
COMMENT ON COLUMN leadscore.rule_check.ok IS 'Would it be accepted?  If so, the other columns are NULL.';
COMMENT ON COLUMN leadscore.rule_check.sqlstate IS 'SQLSTATE of the error that it would be refused with.';
COMMENT ON COLUMN leadscore.rule_check.message IS 'Message of that error.';
COMMENT ON COLUMN leadscore.rule_check.detail IS 'Its detail; NULL: it has none.';
COMMENT ON COLUMN leadscore.rule_check.hint IS 'What to write instead; NULL: no hint.';
COMMENT ON COLUMN leadscore.rule_check."position" IS 'Where in the condition, in characters from 1; NULL: nowhere in particular.';

CREATE FUNCTION leadscore.check_rule(model text, condition text, activity text DEFAULT NULL) RETURNS leadscore.rule_check
AS 'MODULE_PATHNAME', 'leadscore_check_rule'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.check_rule(text, text, text) IS
'Would this condition be accepted for a rule of this model, or for an activity rule over this activity source (NULL: over the model''s source)?  Writes nothing.  Returns ok, or what is wrong.  model or condition NULL gives NULL.  Errors: 42704 unknown model or activity source.';

/*
 * A column that disappears disables the rules that need it.  The CRM's DDL is
 * never refused: whatever goes wrong in here is a warning.
 */

CREATE FUNCTION leadscore._condition_error(model text, condition text, search_path text, activity text) RETURNS text[]
AS 'MODULE_PATHNAME', 'leadscore_condition_error'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore._condition_error(text, text, text, text) IS
'Internal: SQLSTATE and message of what is wrong with a stored condition over the model''s source, or over the events of an activity source or with that itself; NULL if nothing is.  Does not wait for a lock on the relation (55P03).';
REVOKE ALL ON FUNCTION leadscore._condition_error(text, text, text, text) FROM PUBLIC;

CREATE FUNCTION leadscore.note_problem(model text, rule bigint, lead_key text, sqlstate text, message text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO leadscore.problem AS p (model, rule, lead_key, sqlstate, message)
	VALUES (note_problem.model, note_problem.rule, note_problem.lead_key, note_problem.sqlstate, note_problem.message)
	ON CONFLICT ON CONSTRAINT problem_key DO UPDATE
	SET sqlstate = excluded.sqlstate, message = excluded.message,
		last_seen = excluded.last_seen, count = p.count + 1
$$;
COMMENT ON FUNCTION leadscore.note_problem(text, bigint, text, text, text) IS
'Records a problem, or that it was seen again.  rule NULL: the model as a whole; lead_key NULL: every lead.';

CREATE FUNCTION leadscore._require_own_triggers() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- whoever writes with the owner's rights must not run foreign code with them
	IF EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
			   WHERE t.tgrelid IN (SELECT c.oid FROM pg_class c
								   WHERE c.relnamespace = 'leadscore'::regnamespace
									 AND c.relname IN ('model', 'factor', 'activity_source', 'rule', 'threshold', 'problem',
													   'attachment', 'watched', 'unsettled_lead', 'pending_activity', 'rescore_run',
													   'sla', 'sla_breach', 'sla_progress', 'playbook_progress'))
				 AND NOT t.tgisinternal AND p.pronamespace <> 'leadscore'::regnamespace) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = 'a trigger on a table of leadscore does not belong to it',
			HINT = 'Drop the trigger, and grant no one TRIGGER on the tables of leadscore.';
	END IF;
END
$$;
COMMENT ON FUNCTION leadscore._require_own_triggers() IS
'Internal: error 42501 if somebody hung a trigger of his own on a table of leadscore.';

CREATE FUNCTION leadscore.check_rules(model text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	broken	record;
	found	bigint := 0;
BEGIN
	PERFORM leadscore._require_own_triggers();

	-- without its source no rule can be judged: that is one problem, not many
	IF EXISTS (SELECT FROM leadscore.model m
			   WHERE m.name = check_rules.model
				 AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = coalesce(m.source, m.target))) THEN
		-- said once: until the model is mended every migration comes by here
		IF EXISTS (SELECT FROM leadscore.problem p
				   WHERE p.model = check_rules.model AND p.rule IS NULL AND p.lead_key IS NULL) THEN
			RETURN 0;
		END IF;
		PERFORM leadscore.note_problem(check_rules.model, NULL, NULL, '42P01',
									   'source of the scoring model does not exist any more');
		RAISE WARNING USING
			ERRCODE = 'undefined_table',
			MESSAGE = format('source of scoring model "%s" does not exist any more', check_rules.model),
			HINT = 'Point the columns target and source of leadscore.model to tables that exist.';
		RETURN 0;
	END IF;

	FOR broken IN
		SELECT r.id, r.model, e.error
		FROM leadscore.rule r, leadscore._condition_error(r.model, r.condition, r.search_path, r.activity) AS e(error)
		WHERE r.model = check_rules.model AND r.enabled AND e.error IS NOT NULL
		ORDER BY r.id
	LOOP
		UPDATE leadscore.rule SET enabled = false WHERE id = broken.id;
		PERFORM leadscore.note_problem(broken.model, broken.id, NULL, broken.error[1], broken.error[2]);
		RAISE WARNING USING
			ERRCODE = broken.error[1],
			MESSAGE = format('rule %s of scoring model "%s" is disabled: %s', broken.id, broken.model, broken.error[2]),
			HINT = 'The table leadscore.problem keeps a record of it.';
		found := found + 1;
	END LOOP;

	-- and back: a migration that rebuilds a column breaks its rules for a moment
	FOR broken IN
		SELECT r.id, r.model
		FROM leadscore.rule r
		WHERE r.model = check_rules.model AND NOT r.enabled
		  AND EXISTS (SELECT FROM leadscore.problem p
					  WHERE p.model = r.model AND p.rule = r.id AND p.lead_key IS NULL)
		  AND leadscore._condition_error(r.model, r.condition, r.search_path, r.activity) IS NULL
		ORDER BY r.id
	LOOP
		UPDATE leadscore.rule SET enabled = true WHERE id = broken.id;
		RAISE NOTICE 'rule % of scoring model "%" is enabled again', broken.id, broken.model;
	END LOOP;
	RETURN found;
END
$$;
COMMENT ON FUNCTION leadscore.check_rules(text) IS
'Disables the rules of a model whose condition cannot be compiled any more, or whose activity source cannot be read, records each in leadscore.problem, and returns how many.  Those it disabled before and that compile again are enabled.  A source that is gone is recorded as one problem of the model, and its rules stay as they are.  Anyone may call it: it touches only what is broken.  NULL or an unknown model: 0.  Errors: 42501 somebody put a trigger of his own on a table of leadscore.';

CREATE FUNCTION leadscore.after_model_moved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore._require_own_triggers();
	DELETE FROM leadscore.problem WHERE model = NEW.name AND rule IS NULL AND lead_key IS NULL;
	PERFORM leadscore.check_rules(NEW.name);
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION leadscore.after_model_moved() IS
'Trigger on leadscore.model: when a model reads another relation, disables the rules that do not fit it';
REVOKE ALL ON FUNCTION leadscore.after_model_moved() FROM PUBLIC;

CREATE FUNCTION leadscore.after_rule_mended() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore._require_own_triggers();
	DELETE FROM leadscore.problem WHERE rule = NEW.id AND (lead_key IS NULL OR NEW.activity IS NOT NULL);
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION leadscore.after_rule_mended() IS
'Trigger on leadscore.rule: a rule that was written again and compiles is no problem any more';
REVOKE ALL ON FUNCTION leadscore.after_rule_mended() FROM PUBLIC;

CREATE FUNCTION leadscore.after_activity_source_moved() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore.check_rules(NEW.model);
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION leadscore.after_activity_source_moved() IS
'Trigger on leadscore.activity_source: disables the rules that do not fit the events of another table, and enables those that fit again';
REVOKE ALL ON FUNCTION leadscore.after_activity_source_moved() FROM PUBLIC;

CREATE TRIGGER moved AFTER UPDATE OF target, source ON leadscore.model
	FOR EACH ROW WHEN (NEW.target <> OLD.target OR NEW.source IS DISTINCT FROM OLD.source)
	EXECUTE FUNCTION leadscore.after_model_moved();
CREATE TRIGGER moved AFTER UPDATE OF relation, lead_key, match_column, occurred_at, filter, event_key, search_path ON leadscore.activity_source
	FOR EACH ROW EXECUTE FUNCTION leadscore.after_activity_source_moved();
CREATE TRIGGER mended AFTER UPDATE OF condition, enabled, search_path, activity ON leadscore.rule
	FOR EACH ROW WHEN (NEW.enabled)
	EXECUTE FUNCTION leadscore.after_rule_mended();

/*
 * A parallel pg_restore fills these tables in any order, and knows nothing of
 * their foreign keys; what it brings was consistent once.
 */
CREATE FUNCTION leadscore.relax_foreign_keys() RETURNS trigger
AS 'MODULE_PATHNAME', 'leadscore_relax_foreign_keys'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.relax_foreign_keys() IS
'Trigger BEFORE and AFTER INSERT on tables with foreign keys to others of leadscore: pg_restore may fill them in any order';
REVOKE ALL ON FUNCTION leadscore.relax_foreign_keys() FROM PUBLIC;
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.factor
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.factor
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.activity_source
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.activity_source
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.rule
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.rule
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.threshold
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.threshold
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.transition
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.transition
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.stage_map
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.stage_map
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.problem
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.problem
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();

DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT g.tgrelid::pg_catalog.regclass AS relation, g.tgname
			 FROM pg_catalog.pg_trigger g
			 WHERE g.tgrelid = ANY ('{leadscore.model,leadscore.factor,leadscore.activity_source,leadscore.rule,leadscore.threshold,leadscore.transition,leadscore.stage_map,leadscore.problem,leadscore.allowed_function}'::pg_catalog.regclass[])
			   AND NOT g.tgisinternal
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.relation, t.tgname);
	END LOOP;
END
$$;

CREATE FUNCTION leadscore._check_after_ddl(event text, tag text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m record;
BEGIN
	-- a column of another type is another moment, or another lead
	IF event = 'table_rewrite' THEN
		IF EXISTS (SELECT FROM leadscore.activity_source s WHERE s.relation = pg_event_trigger_table_rewrite_oid()
				   OR s.relation IN (SELECT pg_partition_ancestors(pg_event_trigger_table_rewrite_oid()))) THEN
			PERFORM leadscore._require_own_triggers();
			UPDATE leadscore.model SET version = version + 1, activity_version = version + 1
			WHERE name IN (SELECT s.model FROM leadscore.activity_source s WHERE s.relation = pg_event_trigger_table_rewrite_oid()
						   OR s.relation IN (SELECT pg_partition_ancestors(pg_event_trigger_table_rewrite_oid())));
		END IF;
		RETURN;
	END IF;

	-- a type, function or schema may be used by any rule; a relation only as
	-- the target or source of a model
	IF event = 'sql_drop' THEN
		FOR m IN
			SELECT model.name
			FROM leadscore.model
			WHERE EXISTS (SELECT FROM pg_event_trigger_dropped_objects() d
						  WHERE NOT d.is_temporary
							AND CASE WHEN d.classid = 'pg_class'::regclass
									 THEN d.objid IN (model.target, model.source)
										  OR EXISTS (SELECT FROM leadscore.activity_source s
													 WHERE s.model = model.name AND s.relation = d.objid)
									 ELSE d.original AND d.object_type IN
										  ('type', 'domain', 'function', 'operator', 'schema', 'extension', 'collation') END)
			ORDER BY model.name
		LOOP
			PERFORM leadscore.check_rules(m.name);
		END LOOP;
		RETURN;
	END IF;

	FOR m IN
		SELECT model.name, c.is_relation
		FROM leadscore.model,
			 (SELECT bool_and(classid = 'pg_class'::regclass), array_agg(objid)
			  FROM pg_event_trigger_ddl_commands()) AS c(is_relation, objects)
		WHERE NOT c.is_relation OR EXISTS (
			-- the relation itself, or one that it inherits from
			WITH RECURSIVE related(oid) AS (
				SELECT unnest(ARRAY[model.target, model.source]
							  || ARRAY(SELECT s.relation FROM leadscore.activity_source s WHERE s.model = model.name))::oid
				UNION
				SELECT i.inhparent FROM pg_inherits i JOIN related r ON i.inhrelid = r.oid)
			SELECT FROM related r WHERE r.oid = ANY (c.objects))
		ORDER BY model.name
	LOOP
		BEGIN
			PERFORM leadscore.check_rules(m.name);
			-- the column that identifies leads may have got another type
			IF m.is_relation AND EXISTS (SELECT FROM leadscore.attachment a WHERE a.model = m.name)
				AND leadscore._state_key_type(m.name) IS NOT NULL
				AND EXISTS (SELECT FROM leadscore.attachment a JOIN pg_attribute t ON t.attrelid = a.target
							WHERE a.model = m.name AND t.attname = a.key_column AND NOT t.attisdropped
							  AND (a.source IS NULL OR EXISTS (SELECT FROM pg_class c WHERE c.oid = a.source))) THEN
				PERFORM leadscore._follow_key_type(m.name);
				PERFORM leadscore._follow_row_security(m.name);
			END IF;
			-- a name in a condition may mean something else now
			IF NOT m.is_relation THEN
				PERFORM leadscore._require_own_triggers();
				UPDATE leadscore.model SET version = version + 1 WHERE name = m.name;
			END IF;
		EXCEPTION WHEN OTHERS THEN
			RAISE WARNING USING
				ERRCODE = SQLSTATE,
				MESSAGE = format('scoring model "%s" could not follow %s: %s', m.name, tag, SQLERRM),
				HINT = 'The function leadscore.doctor() tells what is wrong.';
		END;
	END LOOP;
EXCEPTION WHEN OTHERS THEN
	RAISE WARNING USING
		ERRCODE = SQLSTATE,
		MESSAGE = format('leadscore could not check its rules after %s: %s', tag, SQLERRM),
		HINT = 'Call leadscore.check_rules(model).';
END
$$;
COMMENT ON FUNCTION leadscore._check_after_ddl(text, text) IS
'Internal: what leadscore.after_ddl() does; works in an event trigger only.';

CREATE FUNCTION leadscore.after_ddl() RETURNS event_trigger
AS 'MODULE_PATHNAME', 'leadscore_after_ddl'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.after_ddl() IS
'Event trigger: disables the rules that a change of the schema broke, except under an empty search_path, which pg_restore has';
REVOKE ALL ON FUNCTION leadscore.after_ddl() FROM PUBLIC;

CREATE EVENT TRIGGER leadscore_after_ddl ON ddl_command_end
	WHEN TAG IN ('ALTER TABLE', 'ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER FOREIGN TABLE', 'CREATE VIEW',
				 'ALTER TYPE', 'ALTER DOMAIN', 'ALTER SCHEMA', 'ALTER FUNCTION', 'ALTER ROUTINE', 'ALTER OPERATOR',
				 'ALTER EXTENSION')
	EXECUTE FUNCTION leadscore.after_ddl();
COMMENT ON EVENT TRIGGER leadscore_after_ddl IS 'Disables scoring rules that a change of the schema broke; never refuses the change';

CREATE EVENT TRIGGER leadscore_after_drop ON sql_drop
	EXECUTE FUNCTION leadscore.after_ddl();
COMMENT ON EVENT TRIGGER leadscore_after_drop IS 'Disables scoring rules that need what was dropped; never refuses the drop';

CREATE EVENT TRIGGER leadscore_at_rewrite ON table_rewrite
	EXECUTE FUNCTION leadscore.after_ddl();
COMMENT ON EVENT TRIGGER leadscore_at_rewrite IS 'Has what leads did made anew when a table of events is rewritten with columns of other types; never refuses the change';

/* ----------------------------------------------------------------------
 * 4. Scoring
 *
 * Everything here takes the model's name and a row of its source, reads the
 * rules as the statement's snapshot sees them, and writes nothing.
 * ----------------------------------------------------------------------
 */

CREATE TYPE leadscore.temperature AS ENUM ('cold', 'warm', 'hot');
COMMENT ON TYPE leadscore.temperature IS 'How near a lead is to buying: cold, warm or hot.';

CREATE TYPE leadscore.evaluation AS (
	score			integer,
	temperature		leadscore.temperature,
	grade			text,
	fit				double precision,
	engagement		double precision,
	disqualified	boolean,
	version			bigint
);
COMMENT ON TYPE leadscore.evaluation IS 'All that scoring says of one lead, and by which version of the model.';
COMMENT ON COLUMN leadscore.evaluation.score IS 'Score: fit plus engagement, within the model''s range, rounded down.';
COMMENT ON COLUMN leadscore.evaluation.temperature IS 'cold, warm or hot: by the score, cold if disqualified.';
COMMENT ON COLUMN leadscore.evaluation.grade IS 'Letter of the fit axis, and digit of the engagement axis if there is one.';
COMMENT ON COLUMN leadscore.evaluation.fit IS 'Total of the fit axis, not rounded.';
COMMENT ON COLUMN leadscore.evaluation.engagement IS 'Total of the engagement axis, not rounded.';
COMMENT ON COLUMN leadscore.evaluation.disqualified IS 'Does a disqualifying rule match?';
COMMENT ON COLUMN leadscore.evaluation.version IS 'Version of the model that says so.';

CREATE FUNCTION leadscore.scoring_support(internal) RETURNS internal
AS 'MODULE_PATHNAME', 'leadscore_scoring_support'
LANGUAGE C STRICT;
COMMENT ON FUNCTION leadscore.scoring_support(internal) IS
'Planner support: passes the scoring functions just the columns that the rules read';

CREATE FUNCTION leadscore.score(model text, lead record) RETURNS integer
AS 'MODULE_PATHNAME', 'leadscore_score'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 20
SUPPORT leadscore.scoring_support;
COMMENT ON FUNCTION leadscore.score(text, record) IS
'Score of a lead: fit plus engagement, with what it did as of the start of the statement, within the range of the model, rounded down.  lead is a row of the model''s source; one without a key did nothing.  NULL for a NULL model or lead.  Errors: 42704 unknown model, 42804 not a row of the model''s source, 42501 no privilege on the tables of the events, and what a condition raises.';

CREATE FUNCTION leadscore._score_columns(model text, relation oid, columns int2[], ctid tid, tableoid oid, stored int2[], VARIADIC "any") RETURNS integer
AS 'MODULE_PATHNAME', 'leadscore_score_columns'
LANGUAGE C STABLE PARALLEL SAFE COST 20;
COMMENT ON FUNCTION leadscore._score_columns(text, oid, int2[], tid, oid, int2[], "any") IS
'Internal: score of a lead given by the columns that the rules read; the planner calls it.';

CREATE FUNCTION leadscore._score_row(model text, lead record) RETURNS integer
AS 'MODULE_PATHNAME', 'leadscore_score'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 20;
COMMENT ON FUNCTION leadscore._score_row(text, record) IS
'Internal: score of a lead given as a row, which the planner leaves alone.';

CREATE FUNCTION leadscore.fit(model text, lead record) RETURNS integer
AS 'MODULE_PATHNAME', 'leadscore_fit'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 20
SUPPORT leadscore.scoring_support;
COMMENT ON FUNCTION leadscore.fit(text, record) IS
'Total of the fit axis: who the lead is.  Rounded down.  NULL for a NULL model or lead.  Errors: as score(model, lead).';

CREATE FUNCTION leadscore._fit_columns(model text, relation oid, columns int2[], ctid tid, tableoid oid, stored int2[], VARIADIC "any") RETURNS integer
AS 'MODULE_PATHNAME', 'leadscore_fit_columns'
LANGUAGE C STABLE PARALLEL SAFE COST 20;
COMMENT ON FUNCTION leadscore._fit_columns(text, oid, int2[], tid, oid, int2[], "any") IS
'Internal: fit of a lead given by the columns that the rules read; the planner calls it.';

CREATE FUNCTION leadscore._fit_row(model text, lead record) RETURNS integer
AS 'MODULE_PATHNAME', 'leadscore_fit'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 20;
COMMENT ON FUNCTION leadscore._fit_row(text, record) IS
'Internal: fit of a lead given as a row, which the planner leaves alone.';

CREATE FUNCTION leadscore.engagement(model text, lead record) RETURNS double precision
AS 'MODULE_PATHNAME', 'leadscore_engagement'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 20
SUPPORT leadscore.scoring_support;
COMMENT ON FUNCTION leadscore.engagement(text, record) IS
'Total of the engagement axis: what the lead does, as of the start of the statement.  Not rounded.  NULL for a NULL model or lead.  Errors: as score(model, lead).';

CREATE FUNCTION leadscore._engagement_columns(model text, relation oid, columns int2[], ctid tid, tableoid oid, stored int2[], VARIADIC "any") RETURNS double precision
AS 'MODULE_PATHNAME', 'leadscore_engagement_columns'
LANGUAGE C STABLE PARALLEL SAFE COST 20;
COMMENT ON FUNCTION leadscore._engagement_columns(text, oid, int2[], tid, oid, int2[], "any") IS
'Internal: engagement of a lead given by the columns that the rules read; the planner calls it.';

CREATE FUNCTION leadscore._engagement_row(model text, lead record) RETURNS double precision
AS 'MODULE_PATHNAME', 'leadscore_engagement'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 20;
COMMENT ON FUNCTION leadscore._engagement_row(text, record) IS
'Internal: engagement of a lead given as a row, which the planner leaves alone.';

CREATE FUNCTION leadscore.temperature(model text, lead record) RETURNS leadscore.temperature
AS 'MODULE_PATHNAME', 'leadscore_temperature'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 20
SUPPORT leadscore.scoring_support;
COMMENT ON FUNCTION leadscore.temperature(text, record) IS
'Temperature of a lead: cold, warm or hot by its score, cold if disqualified.  NULL for a NULL model or lead.  Errors: as score(model, lead).';

CREATE FUNCTION leadscore._temperature_columns(model text, relation oid, columns int2[], ctid tid, tableoid oid, stored int2[], VARIADIC "any") RETURNS leadscore.temperature
AS 'MODULE_PATHNAME', 'leadscore_temperature_columns'
LANGUAGE C STABLE PARALLEL SAFE COST 20;
COMMENT ON FUNCTION leadscore._temperature_columns(text, oid, int2[], tid, oid, int2[], "any") IS
'Internal: temperature of a lead given by the columns that the rules read; the planner calls it.';

CREATE FUNCTION leadscore._temperature_row(model text, lead record) RETURNS leadscore.temperature
AS 'MODULE_PATHNAME', 'leadscore_temperature'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 20;
COMMENT ON FUNCTION leadscore._temperature_row(text, record) IS
'Internal: temperature of a lead given as a row, which the planner leaves alone.';

CREATE FUNCTION leadscore.grade(model text, lead record) RETURNS text
AS 'MODULE_PATHNAME', 'leadscore_grade'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 20
SUPPORT leadscore.scoring_support;
COMMENT ON FUNCTION leadscore.grade(text, record) IS
'Grade of a lead: letter of the fit axis, and digit of the engagement axis if the model has factors on it.  NULL for a NULL model or lead.  Errors: as score(model, lead).';

CREATE FUNCTION leadscore._grade_columns(model text, relation oid, columns int2[], ctid tid, tableoid oid, stored int2[], VARIADIC "any") RETURNS text
AS 'MODULE_PATHNAME', 'leadscore_grade_columns'
LANGUAGE C STABLE PARALLEL SAFE COST 20;
COMMENT ON FUNCTION leadscore._grade_columns(text, oid, int2[], tid, oid, int2[], "any") IS
'Internal: grade of a lead given by the columns that the rules read; the planner calls it.';

CREATE FUNCTION leadscore._grade_row(model text, lead record) RETURNS text
AS 'MODULE_PATHNAME', 'leadscore_grade'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 20;
COMMENT ON FUNCTION leadscore._grade_row(text, record) IS
'Internal: grade of a lead given as a row, which the planner leaves alone.';

CREATE FUNCTION leadscore.disqualified(model text, lead record) RETURNS boolean
AS 'MODULE_PATHNAME', 'leadscore_disqualified'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 20
SUPPORT leadscore.scoring_support;
COMMENT ON FUNCTION leadscore.disqualified(text, record) IS
'Does a disqualifying rule match?  NULL for a NULL model or lead.  Errors: as score(model, lead).';

CREATE FUNCTION leadscore._disqualified_columns(model text, relation oid, columns int2[], ctid tid, tableoid oid, stored int2[], VARIADIC "any") RETURNS boolean
AS 'MODULE_PATHNAME', 'leadscore_disqualified_columns'
LANGUAGE C STABLE PARALLEL SAFE COST 20;
COMMENT ON FUNCTION leadscore._disqualified_columns(text, oid, int2[], tid, oid, int2[], "any") IS
'Internal: disqualified of a lead given by the columns that the rules read; the planner calls it.';

CREATE FUNCTION leadscore._disqualified_row(model text, lead record) RETURNS boolean
AS 'MODULE_PATHNAME', 'leadscore_disqualified'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 20;
COMMENT ON FUNCTION leadscore._disqualified_row(text, record) IS
'Internal: disqualified of a lead given as a row, which the planner leaves alone.';

CREATE FUNCTION leadscore.evaluate(model text, lead record) RETURNS leadscore.evaluation
AS 'MODULE_PATHNAME', 'leadscore_evaluate'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 20
SUPPORT leadscore.scoring_support;
COMMENT ON FUNCTION leadscore.evaluate(text, record) IS
'All results for a lead in one go, and the version of the model they come from.  NULL for a NULL model or lead.  Errors: as score(model, lead).';

CREATE FUNCTION leadscore._evaluate_columns(model text, relation oid, columns int2[], ctid tid, tableoid oid, stored int2[], VARIADIC "any") RETURNS leadscore.evaluation
AS 'MODULE_PATHNAME', 'leadscore_evaluate_columns'
LANGUAGE C STABLE PARALLEL SAFE COST 20;
COMMENT ON FUNCTION leadscore._evaluate_columns(text, oid, int2[], tid, oid, int2[], "any") IS
'Internal: evaluate of a lead given by the columns that the rules read; the planner calls it.';

CREATE FUNCTION leadscore._evaluate_row(model text, lead record) RETURNS leadscore.evaluation
AS 'MODULE_PATHNAME', 'leadscore_evaluate'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 20;
COMMENT ON FUNCTION leadscore._evaluate_row(text, record) IS
'Internal: evaluate of a lead given as a row, which the planner leaves alone.';

CREATE FUNCTION leadscore.explain(model text, lead record,
	OUT rule_id bigint, OUT factor text, OUT parameter text, OUT significance text, OUT axis text,
	OUT points numeric, OUT occurrences bigint, OUT decayed numeric, OUT counted numeric, OUT note text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'leadscore_explain'
LANGUAGE C STABLE PARALLEL SAFE COST 100 ROWS 10;
COMMENT ON FUNCTION leadscore.explain(text, record) IS
'Why a lead has its score: one row per rule that spoke, with the events of an activity rule (occurrences) and what their points have faded to (decayed), then rows without rule_id whose note says what changed the sum: cap, floor, clamp or rounding.  The column counted sums to the score.  No rows for a NULL model or lead.  Errors: as score(model, lead).';

--
-- By key, as of any time: today's rules and today's row, with the activities
-- that are known today and had happened by then
--

CREATE FUNCTION leadscore.score(model text, lead_key anyelement, at timestamptz) RETURNS integer
AS 'MODULE_PATHNAME', 'leadscore_score_at'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION leadscore.score(text, anyelement, timestamptz) IS
'Score of the lead with this key as of a time: by today''s rules and today''s row, with the activities known today that had happened by then; a time to come counts those that are dated ahead, and lets points fade until then.  NULL for a NULL argument, and if there is no such lead.  Errors: 42704 unknown model, 55000 it has no key column, 42804 or 22P02 or 22003 not a key, 22008 an infinite time, 42501 no privilege on the source or the events, and what a condition raises.';

CREATE FUNCTION leadscore.score(model text, lead_key text, at timestamptz) RETURNS integer
AS 'MODULE_PATHNAME', 'leadscore_score_at'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION leadscore.score(text, text, timestamptz) IS
'The same, with the key of the lead as text.';

CREATE FUNCTION leadscore.fit(model text, lead_key anyelement, at timestamptz) RETURNS integer
AS 'MODULE_PATHNAME', 'leadscore_fit_at'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION leadscore.fit(text, anyelement, timestamptz) IS
'Total of the fit axis of the lead with this key as of a time, rounded down.  NULL for a NULL argument, and if there is no such lead.  Errors: as score(model, lead_key, at).';

CREATE FUNCTION leadscore.fit(model text, lead_key text, at timestamptz) RETURNS integer
AS 'MODULE_PATHNAME', 'leadscore_fit_at'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION leadscore.fit(text, text, timestamptz) IS
'The same, with the key of the lead as text.';

CREATE FUNCTION leadscore.engagement(model text, lead_key anyelement, at timestamptz) RETURNS double precision
AS 'MODULE_PATHNAME', 'leadscore_engagement_at'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION leadscore.engagement(text, anyelement, timestamptz) IS
'Total of the engagement axis of the lead with this key as of a time, not rounded.  NULL for a NULL argument, and if there is no such lead.  Errors: as score(model, lead_key, at).';

CREATE FUNCTION leadscore.engagement(model text, lead_key text, at timestamptz) RETURNS double precision
AS 'MODULE_PATHNAME', 'leadscore_engagement_at'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION leadscore.engagement(text, text, timestamptz) IS
'The same, with the key of the lead as text.';

CREATE FUNCTION leadscore.temperature(model text, lead_key anyelement, at timestamptz) RETURNS leadscore.temperature
AS 'MODULE_PATHNAME', 'leadscore_temperature_at'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION leadscore.temperature(text, anyelement, timestamptz) IS
'Temperature of the lead with this key as of a time.  NULL for a NULL argument, and if there is no such lead.  Errors: as score(model, lead_key, at).';

CREATE FUNCTION leadscore.temperature(model text, lead_key text, at timestamptz) RETURNS leadscore.temperature
AS 'MODULE_PATHNAME', 'leadscore_temperature_at'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION leadscore.temperature(text, text, timestamptz) IS
'The same, with the key of the lead as text.';

CREATE FUNCTION leadscore.grade(model text, lead_key anyelement, at timestamptz) RETURNS text
AS 'MODULE_PATHNAME', 'leadscore_grade_at'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION leadscore.grade(text, anyelement, timestamptz) IS
'Grade of the lead with this key as of a time.  NULL for a NULL argument, and if there is no such lead.  Errors: as score(model, lead_key, at).';

CREATE FUNCTION leadscore.grade(model text, lead_key text, at timestamptz) RETURNS text
AS 'MODULE_PATHNAME', 'leadscore_grade_at'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION leadscore.grade(text, text, timestamptz) IS
'The same, with the key of the lead as text.';

CREATE FUNCTION leadscore.disqualified(model text, lead_key anyelement, at timestamptz) RETURNS boolean
AS 'MODULE_PATHNAME', 'leadscore_disqualified_at'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION leadscore.disqualified(text, anyelement, timestamptz) IS
'Does a disqualifying rule match the lead with this key as of a time?  NULL for a NULL argument, and if there is no such lead.  Errors: as score(model, lead_key, at).';

CREATE FUNCTION leadscore.disqualified(model text, lead_key text, at timestamptz) RETURNS boolean
AS 'MODULE_PATHNAME', 'leadscore_disqualified_at'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION leadscore.disqualified(text, text, timestamptz) IS
'The same, with the key of the lead as text.';

CREATE FUNCTION leadscore.evaluate(model text, lead_key anyelement, at timestamptz) RETURNS leadscore.evaluation
AS 'MODULE_PATHNAME', 'leadscore_evaluate_at'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION leadscore.evaluate(text, anyelement, timestamptz) IS
'All results for the lead with this key as of a time, and the version of the model they come from.  NULL for a NULL argument, and if there is no such lead.  Errors: as score(model, lead_key, at).';

CREATE FUNCTION leadscore.evaluate(model text, lead_key text, at timestamptz) RETURNS leadscore.evaluation
AS 'MODULE_PATHNAME', 'leadscore_evaluate_at'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION leadscore.evaluate(text, text, timestamptz) IS
'The same, with the key of the lead as text.';

CREATE FUNCTION leadscore.explain(model text, lead_key anyelement, at timestamptz,
	OUT rule_id bigint, OUT factor text, OUT parameter text, OUT significance text, OUT axis text,
	OUT points numeric, OUT occurrences bigint, OUT decayed numeric, OUT counted numeric, OUT note text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'leadscore_explain_at'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000 ROWS 10;
COMMENT ON FUNCTION leadscore.explain(text, anyelement, timestamptz) IS
'Why the lead with this key has its score as of a time: as explain(model, lead), for what score(model, lead_key, at) says.  No rows for a NULL argument, and if there is no such lead.  Errors: as score(model, lead_key, at).';

CREATE FUNCTION leadscore.explain(model text, lead_key text, at timestamptz,
	OUT rule_id bigint, OUT factor text, OUT parameter text, OUT significance text, OUT axis text,
	OUT points numeric, OUT occurrences bigint, OUT decayed numeric, OUT counted numeric, OUT note text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'leadscore_explain_at'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000 ROWS 10;
COMMENT ON FUNCTION leadscore.explain(text, text, timestamptz) IS
'The same, with the key of the lead as text.';

CREATE FUNCTION leadscore._clock_problems(model text)
RETURNS TABLE (rule bigint, message text, hint text)
AS 'MODULE_PATHNAME', 'leadscore_clock_problems'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore._clock_problems(text) IS
'Internal: the enabled rules that read the clock in a way that does not tell when a score will change by it; rule NULL: the channel.';
REVOKE ALL ON FUNCTION leadscore._clock_problems(text) FROM PUBLIC;

/* ----------------------------------------------------------------------
 * 5. Attaching
 *
 * An attached model has triggers on its table of leads, a state table with a
 * row per lead and a view over it.  Those belong to the owner of the leads'
 * table and are no members of the extension, so that every dump has them.
 *
 * What users call is in C and checks that they own what the model reads; the
 * twin with an underscore does the work, as the owner of the extension.
 * ----------------------------------------------------------------------
 */

CREATE TABLE leadscore.attachment (
	model				text COLLATE "C" PRIMARY KEY
						REFERENCES leadscore.model ON UPDATE RESTRICT ON DELETE RESTRICT,
	target				regclass NOT NULL,
	target_name			text NOT NULL,
	source				regclass,
	source_name			text,
	key_column			name NOT NULL,
	score_column		name,
	temperature_column	name,
	grade_column		name,
	stage_column		name,
	attached_at			timestamptz NOT NULL DEFAULT pg_catalog.now(),
	rescored_version	bigint,
	rescored_at			timestamptz,
	activity_rules		bigint
);
COMMENT ON TABLE leadscore.attachment IS
'Attached models: which table their triggers are on, and what of a score is written back.  leadscore.attach() and its kin write it.';
COMMENT ON COLUMN leadscore.attachment.model IS 'Model that is attached.';
COMMENT ON COLUMN leadscore.attachment.target IS 'Table of the leads.';
COMMENT ON COLUMN leadscore.attachment.target_name IS 'Its name when the model was attached: a loader may put another table in its place.';
COMMENT ON COLUMN leadscore.attachment.source IS 'View or table whose rows the rules read; NULL: the target itself.';
COMMENT ON COLUMN leadscore.attachment.source_name IS 'Its name when the model was attached.';
COMMENT ON COLUMN leadscore.attachment.key_column IS 'Column of target and source that identifies a lead.';
COMMENT ON COLUMN leadscore.attachment.score_column IS 'Column of the target that is set to the score; NULL: none.';
COMMENT ON COLUMN leadscore.attachment.temperature_column IS 'Column of the target that is set to the temperature; NULL: none.';
COMMENT ON COLUMN leadscore.attachment.grade_column IS 'Column of the target that is set to the grade; NULL: none.';
COMMENT ON COLUMN leadscore.attachment.stage_column IS 'Column of the target that is set to the stage; NULL: none.';
COMMENT ON COLUMN leadscore.attachment.attached_at IS 'When the model was attached first.';
COMMENT ON COLUMN leadscore.attachment.rescored_version IS 'Version of the rules by which all leads were scored last; rows scored by an older one are right as well since.';
COMMENT ON COLUMN leadscore.attachment.rescored_at IS 'When that was.';
COMMENT ON COLUMN leadscore.attachment.activity_rules IS 'Identifies the activity sources and rules for which every lead that did something has a state, whether or not its row has come yet; NULL: none.';

CREATE TABLE leadscore.watched (
	model			text COLLATE "C" NOT NULL REFERENCES leadscore.attachment ON DELETE CASCADE,
	relation		regclass NOT NULL,
	relation_name	text NOT NULL,
	lead_key		text NOT NULL,
	search_path		text NOT NULL,
	PRIMARY KEY (model, relation)
);
COMMENT ON TABLE leadscore.watched IS
'Look-up tables whose changes re-score leads.  leadscore.watch() and leadscore.unwatch() write it.';
COMMENT ON COLUMN leadscore.watched.model IS 'Model whose leads are scored.';
COMMENT ON COLUMN leadscore.watched.relation IS 'Table that the model''s source looks things up in.';
COMMENT ON COLUMN leadscore.watched.relation_name IS 'Its name when it was first watched.';
COMMENT ON COLUMN leadscore.watched.lead_key IS 'SQL over a row of that table that gives the keys of the leads concerned.';
COMMENT ON COLUMN leadscore.watched.search_path IS 'Schemas in which its names are looked up.';

CREATE TABLE leadscore.unsettled_lead (
	model		text COLLATE "C" NOT NULL REFERENCES leadscore.attachment ON DELETE CASCADE,
	lead_key	text NOT NULL,
	PRIMARY KEY (model, lead_key)
);
COMMENT ON TABLE leadscore.unsettled_lead IS
'Leads whose look-up changed while another transaction held their state; that one scores them again as it commits, and if it never does, the next one that settles anything of the model.';
COMMENT ON COLUMN leadscore.unsettled_lead.model IS 'Model by which to score.';
COMMENT ON COLUMN leadscore.unsettled_lead.lead_key IS 'Key of the lead, as text.';

CREATE TABLE leadscore.pending_activity (
	model		text COLLATE "C" NOT NULL,
	lead_key	text COLLATE "C" NOT NULL,
	due_at		timestamptz NOT NULL,
	engagement	leadscore.engagement
);
CREATE INDEX pending_activity_lead_idx ON leadscore.pending_activity (model, lead_key);
CREATE INDEX pending_activity_due_idx ON leadscore.pending_activity (model, due_at);
COMMENT ON TABLE leadscore.pending_activity IS
'Activities that are not in their lead''s state yet: those dated in the future, and those whose lead somebody else held as they were committed.  Whoever reads a lead adds what is due.';
COMMENT ON COLUMN leadscore.pending_activity.model IS 'Model whose lead it is.';
COMMENT ON COLUMN leadscore.pending_activity.lead_key IS 'Key of the lead, as text.';
COMMENT ON COLUMN leadscore.pending_activity.due_at IS 'From when on they count; -infinity: already.';
COMMENT ON COLUMN leadscore.pending_activity.engagement IS 'Their summary; NULL: the lead''s is to be made anew from all its events.';
ALTER TABLE leadscore.pending_activity REPLICA IDENTITY FULL;

CREATE TABLE leadscore.rescore_run (
	model		text COLLATE "C" PRIMARY KEY REFERENCES leadscore.attachment ON DELETE CASCADE,
	version		bigint NOT NULL,
	started_at	timestamptz NOT NULL,
	updated_at	timestamptz NOT NULL,
	after_key	text,
	total		bigint NOT NULL,
	seen		bigint NOT NULL DEFAULT 0,
	written		bigint NOT NULL DEFAULT 0,
	inserted	bigint NOT NULL DEFAULT 0,
	write_back	boolean NOT NULL DEFAULT false,
	held		text[] NOT NULL DEFAULT '{}',
	walked		boolean NOT NULL DEFAULT false,
	finished	boolean NOT NULL DEFAULT false,
	activities	text CHECK (activities IN ('compare', 'recompute', 'done')),
	activity_rules bigint,
	move_stages	boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE leadscore.rescore_run IS
'How far the last rescore of a model has come; one that was interrupted goes on from here.  leadscore.rescore() writes it, the view leadscore.rescore_progress shows it.';
COMMENT ON COLUMN leadscore.rescore_run.model IS 'Model that is rescored.';
COMMENT ON COLUMN leadscore.rescore_run.version IS 'Version of the rules by which.';
COMMENT ON COLUMN leadscore.rescore_run.started_at IS 'When it began.';
COMMENT ON COLUMN leadscore.rescore_run.updated_at IS 'When the last batch was done.';
COMMENT ON COLUMN leadscore.rescore_run.after_key IS 'Key of the last lead done, as text.';
COMMENT ON COLUMN leadscore.rescore_run.total IS 'Leads there are, more or less.';
COMMENT ON COLUMN leadscore.rescore_run.seen IS 'Leads looked at.';
COMMENT ON COLUMN leadscore.rescore_run.written IS 'States that were written.';
COMMENT ON COLUMN leadscore.rescore_run.inserted IS 'States that are new.';
COMMENT ON COLUMN leadscore.rescore_run.write_back IS 'Are the columns refreshed that are written back?';
COMMENT ON COLUMN leadscore.rescore_run.held IS 'Keys of leads whose state somebody else held; they come last.';
COMMENT ON COLUMN leadscore.rescore_run.walked IS 'Are all but the held ones done?';
COMMENT ON COLUMN leadscore.rescore_run.finished IS 'Is it done?';
COMMENT ON COLUMN leadscore.rescore_run.activities IS 'If activities are gone through once more, after the leads: what comes next; compare of a run that is finished: the next one does.';
COMMENT ON COLUMN leadscore.rescore_run.move_stages IS 'Are automatic transitions made?';
COMMENT ON COLUMN leadscore.rescore_run.activity_rules IS 'Identifies the rules about activities by which.';

SELECT pg_catalog.pg_extension_config_dump('leadscore.attachment', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.watched', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.unsettled_lead', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.pending_activity', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.rescore_run', '');

CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.attachment
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.attachment
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.watched
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.watched
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.unsettled_lead
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.unsettled_lead
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.rescore_run
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.rescore_run
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();

/*
 * What an attached model is about must not change under its triggers.
 */
CREATE FUNCTION leadscore.guard_attached_model() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	a	leadscore.attachment;
BEGIN
	SELECT * INTO a FROM leadscore.attachment WHERE attachment.model = OLD.name;
	IF FOUND AND (TG_OP = 'DELETE' OR NEW.name <> a.model OR NEW.target <> a.target
				  OR NEW.source IS DISTINCT FROM a.source OR NEW.key_column IS DISTINCT FROM a.key_column) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_in_use',
			MESSAGE = format('scoring model "%s" is attached', OLD.name),
			DETAIL = 'Its name, target, source and key column stay as they are as long as triggers score by it.',
			HINT = format('Call leadscore.detach(%L) first.', OLD.name);
	END IF;
	IF TG_OP = 'DELETE' THEN
		RETURN OLD;
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION leadscore.guard_attached_model() IS
'Trigger on leadscore.model: an attached model keeps its name, target, source and key column';
REVOKE ALL ON FUNCTION leadscore.guard_attached_model() FROM PUBLIC;
CREATE TRIGGER a_guard_attached BEFORE UPDATE OF name, target, source, key_column OR DELETE ON leadscore.model
	FOR EACH ROW EXECUTE FUNCTION leadscore.guard_attached_model();

DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT g.tgrelid::pg_catalog.regclass AS relation, g.tgname
			 FROM pg_catalog.pg_trigger g
			 WHERE g.tgrelid = ANY ('{leadscore.model,leadscore.attachment,leadscore.watched,leadscore.unsettled_lead,leadscore.rescore_run}'::pg_catalog.regclass[])
			   AND NOT g.tgisinternal
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.relation, t.tgname);
	END LOOP;
END
$$;

--
-- Triggers on the CRM's tables
--

CREATE FUNCTION leadscore.capture() RETURNS trigger
AS 'MODULE_PATHNAME', 'leadscore_capture'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.capture() IS
'Trigger on a table of leads: scores each lead that is written, by the model that is its argument; attach() creates it';

CREATE FUNCTION leadscore.write_back() RETURNS trigger
AS 'MODULE_PATHNAME', 'leadscore_write_back'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.write_back() IS
'Trigger on a table of leads: sets the columns that attach() was told to write back';

CREATE FUNCTION leadscore.capture_watched() RETURNS trigger
AS 'MODULE_PATHNAME', 'leadscore_capture_watched'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.capture_watched() IS
'Trigger on a look-up table: re-scores the leads concerned; watch() creates it';

CREATE FUNCTION leadscore.capture_activity() RETURNS trigger
AS 'MODULE_PATHNAME', 'leadscore_capture_activity'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.capture_activity() IS
'Trigger on a table of events: has them counted for their leads, by the model and the activity source that are its arguments; attach() creates it';

CREATE FUNCTION leadscore._columns_changed(VARIADIC "any") RETURNS boolean
AS 'MODULE_PATHNAME', 'leadscore_columns_changed'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION leadscore._columns_changed("any") IS
'Internal: does any of the pairs of arguments differ as stored?';

CREATE FUNCTION leadscore.lead_changed_support(internal) RETURNS internal
AS 'MODULE_PATHNAME', 'leadscore_lead_changed_support'
LANGUAGE C STRICT;
COMMENT ON FUNCTION leadscore.lead_changed_support(internal) IS
'Planner support: puts the columns that the rules read in the place of whole rows';

CREATE FUNCTION leadscore.lead_changed(model text, old record, new record) RETURNS boolean
AS 'MODULE_PATHNAME', 'leadscore_lead_changed'
LANGUAGE C STABLE PARALLEL SAFE
SUPPORT leadscore.lead_changed_support;
COMMENT ON FUNCTION leadscore.lead_changed(text, record, record) IS
'Condition of the triggers: did an update change anything that the model reads?  Elsewhere it says yes.';

CREATE FUNCTION leadscore.refuse_rewrite_rule() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r	record;
BEGIN
	SELECT w.rulename, w.ev_class::regclass AS relation, a.model INTO r
	FROM pg_event_trigger_ddl_commands() c
	JOIN pg_rewrite w ON c.classid = 'pg_rewrite'::regclass AND w.oid = c.objid
	JOIN leadscore.attachment a ON (w.ev_class = a.target AND w.ev_type = '1')
		OR w.ev_class = to_regclass(format('leadscore.%I', a.model || '_state'))
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_in_use',
			MESSAGE = format('cannot create rule "%s" on table "%s"', r.rulename, r.relation),
			DETAIL = format('Scoring model "%s" is attached, and reads the table with rights other than its owner''s.', r.model),
			HINT = format('SELECT leadscore.detach(%L) first.', r.model);
	END IF;
END
$$;
COMMENT ON FUNCTION leadscore.refuse_rewrite_rule() IS
'Event trigger: refuses rules on the state tables of attached models, and rules that would make a view of a table of leads; what they call would run with the rights of those who read the table.  Errors: 55006.';
CREATE EVENT TRIGGER leadscore_refuse_rewrite_rule ON ddl_command_end
	WHEN TAG IN ('CREATE RULE')
	EXECUTE FUNCTION leadscore.refuse_rewrite_rule();
COMMENT ON EVENT TRIGGER leadscore_refuse_rewrite_rule IS 'Refuses rules on the state tables of attached models, and rules that would make a view of a table of leads';

CREATE FUNCTION leadscore._expected_triggers(model text)
RETURNS TABLE (relation regclass, trigger name, definition text)
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
	-- row triggers of a partitioned table reach its partitions by themselves;
	-- TRUNCATE of a partition fires its own triggers alone, and tables that
	-- inherit otherwise have nothing of their parent's
	WITH RECURSIVE a AS (
		SELECT * FROM leadscore.attachment WHERE attachment.model = _expected_triggers.model
	), tree(oid, partition) AS (
		SELECT c.oid, false FROM a JOIN pg_class c ON c.oid = a.target
		UNION
		SELECT i.inhrelid, c.relispartition
		FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid JOIN pg_class c ON c.oid = i.inhrelid
		WHERE NOT i.inhdetachpending
	), kinds(kind, prefix, clause, function, once) AS (VALUES
		('insert', 'leadscore_', 'AFTER INSERT ON %s FOR EACH ROW', 'leadscore.capture', true),
		('update', 'leadscore_', 'AFTER UPDATE ON %s FOR EACH ROW WHEN (leadscore.lead_changed(%L::text, old.*, new.*))', 'leadscore.capture', true),
		('delete', 'leadscore_', 'AFTER DELETE ON %s FOR EACH ROW', 'leadscore.capture', true),
		('truncate', 'leadscore_', 'BEFORE TRUNCATE ON %s FOR EACH STATEMENT', 'leadscore.capture', false),
		-- sorts behind all others, whose changes the score is of
		('write_back', '~leadscore_', 'BEFORE INSERT OR UPDATE ON %s FOR EACH ROW', 'leadscore.write_back', true)
	)
	SELECT tree.oid::regclass, n.name,
		   format('CREATE TRIGGER %I ', n.name) || format(k.clause, tree.oid::regclass, a.model)
		   || format(' EXECUTE FUNCTION %s(%L)', k.function, a.model)
	FROM a, tree JOIN pg_class c ON c.oid = tree.oid, kinds k,
		 LATERAL (SELECT (k.prefix || _expected_triggers.model || '_' || k.kind)::name) n(name)
	WHERE NOT (k.once AND tree.partition)
	  AND NOT (k.kind = 'truncate' AND c.relkind NOT IN ('r', 'p'))
	  AND (k.kind <> 'write_back'
		   OR coalesce(a.score_column, a.temperature_column, a.grade_column, a.stage_column) IS NOT NULL)
	UNION ALL
	SELECT w.relation, n.name,
		   format('CREATE TRIGGER %I AFTER INSERT OR DELETE OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION leadscore.capture_watched(%L)',
				  n.name, w.relation, w.model)
	FROM leadscore.watched w JOIN pg_class c ON c.oid = w.relation,
		 LATERAL (SELECT ('leadscore_' || w.model || '_watch')::name) n(name)
	WHERE w.model = _expected_triggers.model
	UNION ALL
	SELECT w.relation, n.name,
		   format('CREATE TRIGGER %I AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION leadscore.capture_watched(%L)',
				  n.name, w.relation, w.model)
	FROM leadscore.watched w JOIN pg_class c ON c.oid = w.relation AND c.relkind IN ('r', 'p'),
		 LATERAL (SELECT ('leadscore_' || w.model || '_watch_truncate')::name) n(name)
	WHERE w.model = _expected_triggers.model
	UNION ALL
	SELECT e.oid::regclass, n.name,
		   format('CREATE TRIGGER %I ' || k.clause || ' EXECUTE FUNCTION leadscore.capture_activity(%L, %L)',
				  n.name, e.oid::regclass, e.model, e.name)
	FROM (WITH RECURSIVE events(model, name, oid, partition) AS (
			SELECT s.model, s.name, c.oid, false
			FROM a JOIN leadscore.activity_source s ON s.model = a.model JOIN pg_class c ON c.oid = s.relation
			WHERE EXISTS (SELECT FROM leadscore.rule r WHERE r.model = s.model AND r.activity = s.name)
			UNION
			SELECT e.model, e.name, i.inhrelid, c.relispartition
			FROM events e JOIN pg_inherits i ON i.inhparent = e.oid JOIN pg_class c ON c.oid = i.inhrelid
			WHERE NOT i.inhdetachpending)
		  SELECT * FROM events) e
	JOIN pg_class c ON c.oid = e.oid,
		 (VALUES ('event', 'AFTER INSERT OR DELETE OR UPDATE ON %s FOR EACH ROW', true),
				 ('truncate', 'BEFORE TRUNCATE ON %s FOR EACH STATEMENT', false)) k(kind, clause, for_row),
		 -- the name of a source can be anything
		 LATERAL (SELECT ('leadscore_' || e.model || '_' || left(md5(e.name), 8) || '_' || k.kind)::name) n(name)
	WHERE NOT (k.for_row AND e.partition)
	  AND NOT (NOT k.for_row AND c.relkind NOT IN ('r', 'p'))
$$;
COMMENT ON FUNCTION leadscore._expected_triggers(text) IS
'Internal: the triggers that an attached model has, and how they are made.';

CREATE FUNCTION leadscore._uncaptured_activities(models text[]) RETURNS TABLE (model text, activity text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT s.model, s.name
	FROM leadscore.attachment a JOIN leadscore.activity_source s ON s.model = a.model JOIN pg_class c ON c.oid = s.relation
	WHERE a.model = ANY (models)
	  AND EXISTS (SELECT FROM leadscore.rule r WHERE r.model = s.model AND r.activity = s.name)
	  AND NOT EXISTS (SELECT FROM pg_trigger t
					  WHERE t.tgrelid = s.relation AND t.tgfoid = 'leadscore.capture_activity'::regproc
						AND t.tgargs = convert_to(s.model, getdatabaseencoding()) || '\x00'::bytea
									   || convert_to(s.name, getdatabaseencoding()) || '\x00'::bytea)
$$;
COMMENT ON FUNCTION leadscore._uncaptured_activities(text[]) IS
'Internal: activity sources of attached models that rules are about, but whose tables have no trigger yet.';

CREATE FUNCTION leadscore.after_activity_rule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	s	record;
BEGIN
	FOR s IN
		SELECT u.model, u.activity FROM leadscore._uncaptured_activities(ARRAY(SELECT DISTINCT w.model FROM written w WHERE w.activity IS NOT NULL)) u
		WHERE EXISTS (SELECT FROM written w WHERE w.model = u.model AND w.activity = u.activity)
		ORDER BY 1, 2
	LOOP
		RAISE WARNING USING
			ERRCODE = '01000',
			MESSAGE = format('activity source "%s" of scoring model "%s" is not captured yet', s.activity, s.model),
			DETAIL = 'No rule was about it when the model was attached.  Events that are written from now on would not count.',
			HINT = format('CALL leadscore.rescore(%L), as the owner of the tables.', s.model);
	END LOOP;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION leadscore.after_activity_rule() IS
'Trigger on leadscore.rule: warns of rules of an attached model about events that no trigger captures yet';
REVOKE ALL ON FUNCTION leadscore.after_activity_rule() FROM PUBLIC;
-- not while pg_restore, with its empty search_path, has yet to bring the triggers
CREATE TRIGGER uncaptured_inserted AFTER INSERT ON leadscore.rule
	REFERENCING NEW TABLE AS written
	FOR EACH STATEMENT WHEN (current_setting('search_path') <> '')
	EXECUTE FUNCTION leadscore.after_activity_rule();
CREATE TRIGGER uncaptured_updated AFTER UPDATE ON leadscore.rule
	REFERENCING NEW TABLE AS written
	FOR EACH STATEMENT WHEN (current_setting('search_path') <> '')
	EXECUTE FUNCTION leadscore.after_activity_rule();
ALTER TABLE leadscore.rule ENABLE ALWAYS TRIGGER uncaptured_inserted;
ALTER TABLE leadscore.rule ENABLE ALWAYS TRIGGER uncaptured_updated;

CREATE FUNCTION leadscore._present_triggers(model text)
RETURNS TABLE (relation regclass, trigger name, definition text, enabled boolean)
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
	-- one on a partition may have been left behind by what re-enabled them all
	SELECT t.tgrelid::regclass, t.tgname, pg_get_triggerdef(t.oid), t.tgenabled = 'A'
	FROM pg_trigger t
	WHERE t.tgfoid IN ('leadscore.capture'::regproc, 'leadscore.write_back'::regproc,
					   'leadscore.capture_watched'::regproc, 'leadscore.capture_activity'::regproc)
	  AND t.tgparentid = 0
	  -- the first argument, whichever follow
	  AND substring(t.tgargs, 1, octet_length(_present_triggers.model) + 1)
		  = convert_to(_present_triggers.model, getdatabaseencoding()) || '\x00'::bytea
$$;
COMMENT ON FUNCTION leadscore._present_triggers(text) IS
'Internal: the triggers that call our functions for a model, without those that partitions have from their parent; enabled means ALWAYS.';

CREATE FUNCTION leadscore._install_triggers(model text, of_activity text DEFAULT NULL) RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	prefix	text := 'leadscore_' || model || '_' || left(md5(of_activity), 8) || '_';
	e record;
BEGIN
	-- what is there and should not be, or is not what it should be
	FOR e IN
		SELECT p.relation, p.trigger FROM leadscore._present_triggers(_install_triggers.model) p
		WHERE (of_activity IS NULL OR starts_with(p.trigger::text, prefix))
		  AND NOT EXISTS (SELECT FROM leadscore._expected_triggers(_install_triggers.model) x
						  WHERE x.relation = p.relation AND x.trigger = p.trigger AND x.definition = p.definition)
		ORDER BY p.relation::text, p.trigger
	LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', e.trigger, e.relation);
		RETURN NEXT format('dropped trigger %I on %s', e.trigger, e.relation);
	END LOOP;
	FOR e IN
		SELECT x.relation, x.trigger, x.definition, p.enabled
		FROM leadscore._expected_triggers(_install_triggers.model) x
		LEFT JOIN leadscore._present_triggers(_install_triggers.model) p
			ON p.relation = x.relation AND p.trigger = x.trigger
		WHERE p.enabled IS NOT TRUE AND (of_activity IS NULL OR starts_with(x.trigger::text, prefix))
		ORDER BY x.relation::text, x.trigger
	LOOP
		IF e.enabled IS NULL THEN
			EXECUTE e.definition;
			EXECUTE format('COMMENT ON TRIGGER %I ON %s IS %L', e.trigger, e.relation,
						   format('Scores leads by the model %s; leadscore.detach(%L) removes it.', _install_triggers.model, _install_triggers.model));
		END IF;
		EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', e.relation, e.trigger);
		RETURN NEXT format(CASE WHEN e.enabled IS NULL THEN 'created trigger %I on %s' ELSE 'enabled trigger %I on %s' END,
						   e.trigger, e.relation);
	END LOOP;
	-- the partitions' own copies
	FOR e IN
		SELECT t.tgrelid::regclass AS relation, t.tgname AS trigger FROM pg_trigger t
		WHERE t.tgparentid <> 0 AND t.tgenabled <> 'A'
		  AND t.tgfoid IN ('leadscore.capture'::regproc, 'leadscore.write_back'::regproc,
						   'leadscore.capture_watched'::regproc, 'leadscore.capture_activity'::regproc)
		  AND substring(t.tgargs, 1, octet_length(_install_triggers.model) + 1)
			  = convert_to(_install_triggers.model, getdatabaseencoding()) || '\x00'::bytea
		  AND (of_activity IS NULL OR starts_with(t.tgname::text, prefix))
	LOOP
		EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', e.relation, e.trigger);
		RETURN NEXT format('enabled trigger %I on %s', e.trigger, e.relation);
	END LOOP;
END
$$;
COMMENT ON FUNCTION leadscore._install_triggers(text, text) IS
'Internal: brings the triggers of a model, or those for one of its activity sources alone, to what they should be, and says what it did.';

--
-- Reading states
--

CREATE FUNCTION leadscore.lead_visible(model text, lead_key anyelement) RETURNS boolean
AS 'MODULE_PATHNAME', 'leadscore_lead_visible'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 10;
COMMENT ON FUNCTION leadscore.lead_visible(text, anyelement) IS
'May the current user see this lead?  True unless row level security of the leads'' table applies to him; then the lead is looked up as him.  NULL gives NULL.  The policies of the state tables call it.';

CREATE TYPE leadscore._live_evaluation AS (
	score			integer,
	temperature		text,
	grade			text,
	fit				double precision,
	engagement		double precision,
	disqualified	boolean
);
COMMENT ON TYPE leadscore._live_evaluation IS 'Internal: what leadscore._live() returns.';

CREATE FUNCTION leadscore._live(model text, lead_key anyelement, fit double precision, engagement_base double precision,
	engagement leadscore.engagement, kept_rules bigint[], match_values text[], created_at timestamptz,
	row_changes_at timestamptz, rules_version bigint) RETURNS leadscore._live_evaluation
AS 'MODULE_PATHNAME', 'leadscore_live'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100;
COMMENT ON FUNCTION leadscore._live(text, anyelement, double precision, double precision, leadscore.engagement, bigint[], text[], timestamptz, timestamptz, bigint) IS
'Internal: evaluation of an attached model''s lead as of the start of the statement, by what its state says, for those who may read the state table; NULL: what is stored holds.  The scored views call it for leads whose score time alone changes.';

CREATE FUNCTION leadscore._has_overdue(model text) RETURNS boolean
LANGUAGE sql STABLE STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM leadscore.pending_activity p
				   WHERE p.model = _has_overdue.model AND p.due_at <= statement_timestamp())
$$;
COMMENT ON FUNCTION leadscore._has_overdue(text) IS
'Internal: are there activities that count by now and are in no state yet?';

CREATE FUNCTION leadscore.hot_list(model text, "limit" integer DEFAULT 100,
	OUT lead_key text, OUT score integer, OUT temperature text, OUT grade text, OUT fit integer,
	OUT engagement double precision, OUT stage text, OUT stage_rank integer, OUT channel text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'leadscore_hot_list'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 100;
COMMENT ON FUNCTION leadscore.hot_list(text, integer) IS
'The leads of an attached model with the highest scores as of now, best first, without those that are disqualified, have left the funnel, have bought or do not consent.  They need not be hot.  limit is how many at most, up to 1000000.  Of leads with equal scores any may be left out.  Reads few more leads than it shows, as long as advance() is called now and then.  A NULL argument gives no rows.  Errors: 42704 unknown model, 55000 not attached, or the state table has lost an index, 42501 no SELECT privilege on the state table, 22023 a limit below 0 or above 1000000, and what a condition raises.';

--
-- Attaching
--

CREATE FUNCTION leadscore._key_type(model text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	m			leadscore.model;
	relation	regclass;
	type		oid;
	key_collation oid;
	found		text;
BEGIN
	SELECT * INTO m FROM leadscore.model WHERE model.name = _key_type.model;
	FOREACH relation IN ARRAY ARRAY[m.target, coalesce(m.source, m.target)] LOOP
		type := NULL;
		SELECT a.atttypid, a.attcollation INTO type, key_collation
		FROM pg_attribute a
		WHERE a.attrelid = relation AND a.attname = m.key_column AND a.attnum > 0 AND NOT a.attisdropped;
		IF type IS NULL THEN
			RAISE EXCEPTION USING
				ERRCODE = 'undefined_column',
				MESSAGE = format('key column "%s" of scoring model "%s" does not exist in %s', m.key_column, m.name,
								 CASE WHEN EXISTS (SELECT FROM pg_class c WHERE c.oid = relation) THEN format('"%s"', relation)
									  ELSE 'a relation that was dropped' END),
				HINT = 'Set key_column in leadscore.model to a unique column of target and source.';
		END IF;
		IF type <> ALL ('{smallint,integer,bigint,uuid,numeric,text,character varying,character}'::regtype[]) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'datatype_mismatch',
				MESSAGE = format('key column "%s" of "%s" has type %s', m.key_column, relation, format_type(type, NULL)),
				DETAIL = 'A lead''s key is an integer, numeric, uuid or text column.',
				HINT = 'Set key_column in leadscore.model to another column that identifies a lead.';
		END IF;
		IF found IS NOT NULL AND found <> format_type(type, -1) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'datatype_mismatch',
				MESSAGE = format('key column "%s" has type %s in "%s" and type %s in "%s"',
								 m.key_column, found, m.target, format_type(type, -1), relation),
				HINT = 'Cast the column in the view to the type that it has in the table.';
		END IF;
		found := coalesce(found, format_type(type, -1));
	END LOOP;
	SELECT a.attcollation INTO key_collation FROM pg_attribute a WHERE a.attrelid = m.target AND a.attname = m.key_column;
	RETURN found || CASE WHEN key_collation IN (0, 100) THEN ''
						 ELSE (SELECT format(' COLLATE %I.%I', n.nspname, c.collname)
							   FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE c.oid = key_collation) END;
END
$$;
COMMENT ON FUNCTION leadscore._key_type(text) IS
'Internal: type of a model''s lead keys, with collation, as a column definition has it; an error if they cannot be keys.';

CREATE FUNCTION leadscore._require_attachable(model text, written_back name[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	m		leadscore.model;
	kind	"char";
	stray	record;
BEGIN
	SELECT * INTO m FROM leadscore.model WHERE model.name = _require_attachable.model;
	SELECT c.relkind INTO kind FROM pg_class c WHERE c.oid = m.target;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_table',
			MESSAGE = format('target of scoring model "%s" does not exist any more', m.name),
			HINT = CASE WHEN EXISTS (SELECT FROM leadscore.attachment a WHERE a.model = m.name)
						THEN format('If another table has its name now, call leadscore.repair(%L).', m.name)
						ELSE 'Point the columns target and source of leadscore.model to tables that exist.' END;
	END IF;
	IF (SELECT c.relpersistence FROM pg_class c WHERE c.oid = m.target) = 't' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'wrong_object_type',
			MESSAGE = format('"%s" is a temporary table', m.target),
			HINT = 'Score it without attaching: leadscore.score(model, lead).';
	END IF;
	IF m.key_column IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('scoring model "%s" has no key column', m.name),
			DETAIL = format('"%s" has no primary key of one column%s.', m.target,
							CASE WHEN m.source IS NULL THEN '' ELSE ' that its source shows' END),
			HINT = 'Set key_column in leadscore.model to a unique column of target and source.';
	END IF;
	PERFORM leadscore._key_type(m.name);
	-- partitioned and inherited tables cannot promise it; then what is there counts
	IF kind = 'r' AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = m.target)
		AND NOT EXISTS (
			SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
			WHERE i.indrelid = m.target AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1
			  AND i.indpred IS NULL AND a.attname = m.key_column) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('key column "%s" of "%s" is not unique', m.key_column, m.target),
			DETAIL = 'No unique index is on that column alone.',
			HINT = format('Create one (CREATE UNIQUE INDEX CONCURRENTLY ON %s (%I)), or set key_column in leadscore.model to a column that has one.',
						  m.target, m.key_column);
	END IF;

	SELECT * INTO stray FROM leadscore._clock_problems(m.name) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'feature_not_supported',
			MESSAGE = format('rule %s of scoring model "%s" cannot be attached: %s', stray.rule, m.name, stray.message),
			HINT = stray.hint;
	END IF;

	-- write-back
	written_back := array_remove(array_remove(written_back, NULL), '');
	IF written_back <> '{}' THEN
		IF m.source IS NOT NULL AND m.source <> m.target THEN
			RAISE EXCEPTION USING
				ERRCODE = 'feature_not_supported',
				MESSAGE = format('scores of model "%s" cannot be written back', m.name),
				DETAIL = 'Its source is not the table of leads, so that a lead''s score is known only after its row was written.',
				HINT = format('Read them from the view leadscore.%s_scored.', m.name);
		END IF;
		IF m.key_column = ANY (written_back)
			OR cardinality(written_back) > (SELECT count(DISTINCT c.name) FROM unnest(written_back) c(name)) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('scores of model "%s" cannot be written back', m.name),
				DETAIL = 'Each value needs a column of its own, which is not the lead''s key.';
		END IF;
		SELECT c.name INTO stray FROM unnest(written_back) c(name)
		WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = m.target AND a.attname = c.name
						  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity <> 'a');
		IF FOUND THEN
			RAISE EXCEPTION USING
				ERRCODE = 'undefined_column',
				MESSAGE = format('"%s" has no column "%s" that can be written', m.target, stray.name),
				HINT = 'Add it to the table; columns that the server itself generates cannot be written.';
		END IF;
		SELECT a.attname, a.attname = ANY (written_back) AS cyclic INTO stray
		FROM leadscore._columns_read(m.name) r JOIN pg_attribute a ON a.attrelid = m.target AND a.attname = r.name
		WHERE a.attname = ANY (written_back) OR a.attgenerated <> '' LIMIT 1;
		IF FOUND THEN
			RAISE EXCEPTION USING
				ERRCODE = 'feature_not_supported',
				MESSAGE = format('scores of model "%s" cannot be written back', m.name),
				DETAIL = format(CASE WHEN stray.cyclic THEN 'A rule reads the column "%s", which would be written.'
								ELSE 'A rule reads the generated column "%s", which is not known yet when a row is about to be written.' END,
								stray.attname);
		END IF;
	END IF;
END
$$;
COMMENT ON FUNCTION leadscore._require_attachable(text, name[]) IS
'Internal: an error if a model cannot be attached, or columns cannot be written back.';

CREATE FUNCTION leadscore._columns_read(model text) RETURNS TABLE (name name)
AS 'MODULE_PATHNAME', 'leadscore_columns_read'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION leadscore._columns_read(text) IS
'Internal: the columns of a model''s source that its rules and its channel read.';
REVOKE ALL ON FUNCTION leadscore._columns_read(text) FROM PUBLIC;

CREATE FUNCTION leadscore._missing_activity_indexes(model text)
RETURNS TABLE (activity text, relation regclass, definition text)
AS 'MODULE_PATHNAME', 'leadscore_missing_activity_indexes'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION leadscore._missing_activity_indexes(text) IS
'Internal: activity sources whose table has no index by which the events of a lead can be found, and the index as SQL.';

CREATE FUNCTION leadscore._slow_activities(model text)
RETURNS TABLE (activity text, relation regclass, definition text)
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
	-- of a table that was never analyzed, the size tells
	SELECT i.activity, i.relation, i.definition
	FROM leadscore._missing_activity_indexes(model) i JOIN pg_class c ON c.oid = i.relation
	WHERE CASE WHEN c.reltuples >= 0 THEN c.reltuples > 10000
			   ELSE (SELECT sum(pg_relation_size(t.relid)) FROM pg_partition_tree(c.oid) t) > 1000000
					OR pg_relation_size(c.oid) > 1000000 END
	ORDER BY i.activity
$$;
COMMENT ON FUNCTION leadscore._slow_activities(text) IS
'Internal: those of leadscore._missing_activity_indexes() whose table is large enough for it to matter.';

CREATE FUNCTION leadscore._create_state_table(model text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- the fixed-length columns first: the row is narrow, and updates that leave
	-- next_change_at alone stay on their page
	EXECUTE format('CREATE TABLE leadscore.%I (
		lead_key		%s,
		fit				double precision NOT NULL,
		engagement_points double precision NOT NULL,
		engagement_base	double precision,
		score_bound		double precision,
		scored_at		timestamptz NOT NULL,
		rules_version	bigint NOT NULL,
		stage_since		timestamptz NOT NULL,
		next_change_at	timestamptz,
		row_changes_at	timestamptz,
		created_at		timestamptz,
		history_at		timestamptz,
		pinned_until	timestamptz,
		score			integer NOT NULL,
		rearmed			integer NOT NULL DEFAULT 0,
		stage			leadscore.lead_stage NOT NULL,
		disqualified	boolean NOT NULL,
		has_problem		boolean NOT NULL,
		lead_exists		boolean NOT NULL,
		fading			boolean NOT NULL,
		consent			boolean NOT NULL,
		stage_settled	boolean NOT NULL DEFAULT false,
		temperature		text COLLATE "C" NOT NULL,
		grade			text COLLATE "C" NOT NULL,
		announced		text COLLATE "C" NOT NULL,
		status			text COLLATE "C",
		pin_reason		text,
		channel			text,
		engagement		leadscore.engagement,
		kept_rules		bigint[],
		match_values	text[] COLLATE "C"
	) USING heap WITH (fillfactor = 90)', model || '_state', leadscore._key_type(model));
END
$$;
COMMENT ON FUNCTION leadscore._create_state_table(text) IS
'Internal: creates the state table of a model, without its index.';

CREATE FUNCTION leadscore._missing_state_parts(model text)
RETURNS TABLE (part text, definition text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT p.part, format(p.definition, t.state, _missing_state_parts.model)
	FROM (SELECT format('leadscore.%I', _missing_state_parts.model || '_state')) t(state)
	JOIN pg_class c ON c.oid = to_regclass(t.state)
	CROSS JOIN LATERAL (VALUES
		(1, 'primary key', 'ALTER TABLE %1$s ADD PRIMARY KEY (lead_key)',
		 EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
				 WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indnkeyatts = 1
				   AND i.indpred IS NULL AND a.attname = 'lead_key')),
		(2, 'index on next_change_at', 'CREATE INDEX ON %1$s (next_change_at) WHERE next_change_at IS NOT NULL',
		 EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
				 WHERE i.indrelid = c.oid AND i.indisvalid AND i.indnkeyatts = 1 AND a.attname = 'next_change_at'
				   AND pg_get_expr(i.indpred, i.indrelid) = '(next_change_at IS NOT NULL)')),
		(3, 'index on score_bound', 'CREATE INDEX ON %1$s (score_bound) WHERE score_bound IS NOT NULL',
		 EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
				 WHERE i.indrelid = c.oid AND i.indisvalid AND i.indnkeyatts = 1 AND a.attname = 'score_bound'
				   AND pg_get_expr(i.indpred, i.indrelid) = '(score_bound IS NOT NULL)')),
		(4, 'row level security', 'ALTER TABLE %1$s ENABLE ROW LEVEL SECURITY', c.relrowsecurity),
		(5, 'policy lead_visible', 'CREATE POLICY lead_visible ON %1$s FOR SELECT USING (leadscore.lead_visible(%2$L, lead_key))',
		 EXISTS (SELECT FROM pg_policy y WHERE y.polrelid = c.oid AND y.polname = 'lead_visible')),
		(6, 'trigger guard_state', 'CREATE OR REPLACE TRIGGER guard_state BEFORE UPDATE ON %1$s FOR EACH ROW
			WHEN (OLD.stage OPERATOR(leadscore.<>) NEW.stage) EXECUTE FUNCTION leadscore.guard_state(%2$L);
			ALTER TABLE %1$s ENABLE ALWAYS TRIGGER guard_state;
			COMMENT ON TRIGGER guard_state ON %1$s IS ''A stage passes only along leadscore.transition.''',
		 EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgfoid = 'leadscore.guard_state'::regproc AND g.tgenabled = 'A'))
	) p(number, part, definition, present)
	WHERE NOT p.present
	ORDER BY p.number
$$;
COMMENT ON FUNCTION leadscore._missing_state_parts(text) IS
'Internal: what a state table should have besides its columns and has not, and how it is made.';

CREATE FUNCTION leadscore._complete_state_table(model text) RETURNS SETOF text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	p record;
BEGIN
	FOR p IN SELECT * FROM leadscore._missing_state_parts(_complete_state_table.model) LOOP
		EXECUTE p.definition;
		RETURN NEXT p.part;
	END LOOP;
END
$$;
COMMENT ON FUNCTION leadscore._complete_state_table(text) IS
'Internal: gives a state table its indexes, its policy and its guard where it has none, and says which.';

CREATE FUNCTION leadscore._index_match_values(model text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state	text := format('leadscore.%I', _index_match_values.model || '_state');
BEGIN
	IF NOT EXISTS (SELECT FROM leadscore.activity_source s WHERE s.model = _index_match_values.model AND s.match_column IS NOT NULL)
		OR EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
				   WHERE i.indrelid = state::regclass AND a.attname = 'match_values') THEN
		RETURN false;
	END IF;
	-- a commit must not have to work off what others left in a pending list
	EXECUTE format('CREATE INDEX ON %s USING gin (match_values) WITH (fastupdate = off)', state);
	RETURN true;
END
$$;
COMMENT ON FUNCTION leadscore._index_match_values(text) IS
'Internal: indexes the values by which events find their leads, if a source goes by any; was there anything to do?';

-- EXECUTE stays with everybody, since the query is run as the owner of the
-- events; the transition function refuses whoever is not that owner
CREATE FUNCTION leadscore._activity_agg_add(internal, model text, activity text, upto timestamptz, VARIADIC columns "any") RETURNS internal
AS 'MODULE_PATHNAME', 'leadscore_activity_agg_add'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION leadscore._activity_agg_add(internal, text, text, timestamptz, "any") IS
'transition function of _activity_agg';
REVOKE ALL ON FUNCTION leadscore._activity_agg_add(internal, text, text, timestamptz, "any") FROM PUBLIC;

CREATE AGGREGATE leadscore._activity_agg(model text, activity text, upto timestamptz, VARIADIC columns "any") (
	SFUNC = leadscore._activity_agg_add,
	STYPE = internal,
	SSPACE = 400,
	FINALFUNC = leadscore.engagement_agg_final,
	COMBINEFUNC = leadscore.engagement_agg_combine,
	SERIALFUNC = leadscore.engagement_agg_serialize,
	DESERIALFUNC = leadscore.engagement_agg_deserialize,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE leadscore._activity_agg(text, text, timestamptz, "any") IS
'Internal: summary of a lead''s events, given the columns that the activity source reads, in the order of the table; events later than upto leave the entry of a rule -9223372036854775808.  Whoever owns the events may ask.';

CREATE FUNCTION leadscore._rebuild(model text, exclusive boolean, OUT written bigint, OUT activity_rules bigint)
AS 'MODULE_PATHNAME', 'leadscore_rebuild'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION leadscore._rebuild(text, boolean) IS
'Internal: compares what the states say of activities with the whole history, and mends what differs if nobody else can write, or leaves that to _recompute_leads().';

CREATE FUNCTION leadscore._recompute_leads(model text, keys text[], nowait boolean, OUT written bigint, OUT held text[])
AS 'MODULE_PATHNAME', 'leadscore_recompute_leads'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION leadscore._recompute_leads(text, text[], boolean) IS
'Internal: makes what leads did anew from history.';

CREATE FUNCTION leadscore._rebuild_all(model text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	source		record;
	exclusive	boolean := true;
	rebuilt		record;
	written		bigint;
BEGIN
	-- the leads' table is locked already
	FOR source IN
		SELECT DISTINCT s.relation, c.relkind
		FROM leadscore.activity_source s JOIN pg_class c ON c.oid = s.relation
		WHERE s.model = _rebuild_all.model
		  AND EXISTS (SELECT FROM leadscore.rule r WHERE r.model = s.model AND r.activity = s.name AND r.enabled)
		ORDER BY s.relation
	LOOP
		IF source.relkind IN ('r', 'p') THEN
			EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', source.relation);
		ELSE
			exclusive := false;
		END IF;
	END LOOP;
	exclusive := exclusive AND (SELECT c.relkind IN ('r', 'p') FROM leadscore.attachment a JOIN pg_class c ON c.oid = a.target
								WHERE a.model = _rebuild_all.model);
	SELECT * INTO rebuilt FROM leadscore._rebuild(_rebuild_all.model, exclusive);
	written := rebuilt.written;
	written := written + (leadscore._recompute_leads(_rebuild_all.model, ARRAY(
		SELECT DISTINCT p.lead_key FROM leadscore.pending_activity p WHERE p.model = _rebuild_all.model), false)).written;
	UPDATE leadscore.attachment SET activity_rules = rebuilt.activity_rules WHERE attachment.model = _rebuild_all.model;
	RETURN written;
END
$$;
COMMENT ON FUNCTION leadscore._rebuild_all(text) IS
'Internal: has all states say of activities what the history does, in this transaction, while nobody else writes events; returns how many were written.';

CREATE FUNCTION leadscore._finish_state_table(model text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	state	text := format('leadscore.%I', model || '_state');
	owner	name;
	target	regclass;
BEGIN
	SELECT pg_get_userbyid(c.relowner), c.oid::regclass INTO owner, target
	FROM leadscore.attachment a JOIN pg_class c ON c.oid = a.target
	WHERE a.model = _finish_state_table.model;

	PERFORM leadscore._complete_state_table(model);
	PERFORM leadscore._index_match_values(model);
	IF (SELECT c.relforcerowsecurity FROM pg_class c WHERE c.oid = target) THEN
		EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', state);
	END IF;
	EXECUTE format('ALTER TABLE %s OWNER TO %I', state, owner);
	EXECUTE format('COMMENT ON TABLE %s IS %L', state,
				   format('What the scoring model %s knows of each lead in %s.  Triggers write it; read it through leadscore.%s_scored.', model, target, model));
	EXECUTE format('COMMENT ON COLUMN %s.lead_key IS %L', state, format('Key of the lead in %s.', target));
	EXECUTE format('COMMENT ON COLUMN %s.fit IS %L', state, 'Total of the fit axis.');
	EXECUTE format('COMMENT ON COLUMN %s.engagement_points IS %L', state, 'Total of the engagement axis, as of scored_at.');
	EXECUTE format('COMMENT ON COLUMN %s.engagement_base IS %L', state, 'That part of it which comes from factors without activity rules.');
	EXECUTE format('COMMENT ON COLUMN %s.score_bound IS %L', state, 'The most that the unrounded score can be from scored_at on without a new activity; NULL: never on the hot list.');
	EXECUTE format('COMMENT ON COLUMN %s.scored_at IS %L', state, 'When these values were worked out.');
	EXECUTE format('COMMENT ON COLUMN %s.rules_version IS %L', state, 'Version of the model that did; a later rescore that changed nothing leaves it as it is.');
	EXECUTE format('COMMENT ON COLUMN %s.stage_since IS %L', state, 'When the lead entered its stage.');
	EXECUTE format('COMMENT ON COLUMN %s.next_change_at IS %L', state, 'Until when temperature and grade hold if nobody touches the lead; NULL: for ever.');
	EXECUTE format('COMMENT ON COLUMN %s.row_changes_at IS %L', state, 'When time alone makes a rule about the lead''s own row say something else; NULL: never.');
	EXECUTE format('COMMENT ON COLUMN %s.created_at IS %L', state, 'When the lead arose, by the model''s created_at.');
	EXECUTE format('COMMENT ON COLUMN %s.score IS %L', state, 'Score: fit plus engagement, within the model''s range, rounded down.');
	EXECUTE format('COMMENT ON COLUMN %s.stage IS %L', state, 'Stage of the funnel.');
	EXECUTE format('COMMENT ON COLUMN %s.disqualified IS %L', state, 'Does a disqualifying rule match?');
	EXECUTE format('COMMENT ON COLUMN %s.has_problem IS %L', state, 'Did a rule fail on this lead?  See leadscore.problem.');
	EXECUTE format('COMMENT ON COLUMN %s.lead_exists IS %L', state, 'False for a lead of which only activities are known so far.');
	EXECUTE format('COMMENT ON COLUMN %s.fading IS %L', state, 'Does time alone change the score?  Views work it out as they are read.');
	EXECUTE format('COMMENT ON COLUMN %s.consent IS %L', state, 'May the lead be contacted, by the model''s consent?');
	EXECUTE format('COMMENT ON COLUMN %s.temperature IS %L', state, 'cold, warm or hot.');
	EXECUTE format('COMMENT ON COLUMN %s.grade IS %L', state, 'Letter of the fit axis, and digit of the engagement axis if there is one.');
	EXECUTE format('COMMENT ON COLUMN %s.channel IS %L', state, 'Acquisition channel: the first one known of the lead.');
	EXECUTE format('COMMENT ON COLUMN %s.engagement IS %L', state, 'Summary of what the lead did.');
	EXECUTE format('COMMENT ON COLUMN %s.kept_rules IS %L', state, 'Rules that the lead''s own row matched, where it takes them to work the engagement out.');
	EXECUTE format('COMMENT ON COLUMN %s.history_at IS %L', state, 'Time of the lead''s last row of leadscore.history.');
	EXECUTE format('COMMENT ON COLUMN %s.pinned_until IS %L', state, 'Until when automatic transitions leave the lead alone; NULL: they do not.');
	EXECUTE format('COMMENT ON COLUMN %s.pin_reason IS %L', state, 'Why.');
	EXECUTE format('COMMENT ON COLUMN %s.rearmed IS %L', state, 'Of a lead in nurture: which automatic transitions had a condition that did not hold since it came, a bit each.');
	EXECUTE format('COMMENT ON COLUMN %s.stage_settled IS %L', state, 'Has every automatic transition whose condition holds been made?');
	EXECUTE format('COMMENT ON COLUMN %s.announced IS %L', state, 'Temperature that was announced last.');
	EXECUTE format('COMMENT ON COLUMN %s.status IS %L', state, 'The CRM''s own status, as it was last seen.');
	EXECUTE format('COMMENT ON COLUMN %s.match_values IS %L', state, 'Values of the lead that events are matched by.');
END
$$;
COMMENT ON FUNCTION leadscore._finish_state_table(text) IS
'Internal: gives a state table that was filled its indexes, policy, guard, owner and comments.';

CREATE FUNCTION leadscore._create_scored_view(model text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	view	text := format('leadscore.%I', model || '_scored');
	owner	name;
	target	regclass;
BEGIN
	SELECT pg_get_userbyid(c.relowner), c.oid::regclass INTO owner, target
	FROM leadscore.attachment a JOIN pg_class c ON c.oid = a.target
	WHERE a.model = _create_scored_view.model;

	EXECUTE format($view$
		CREATE VIEW %s WITH (security_invoker = true) AS
		SELECT s.lead_key,
			   coalesce((n.live).score, s.score) AS score,
			   coalesce((n.live).temperature, s.temperature) AS temperature,
			   coalesce((n.live).grade, s.grade) AS grade,
			   floor(coalesce((n.live).fit, s.fit) + 1e-9)::integer AS fit,
			   trunc(coalesce((n.live).engagement, s.engagement_points)::numeric, 2)::numeric(10,2) AS engagement,
			   s.stage::text COLLATE "C" AS stage,
			   s.stage::integer AS stage_rank,
			   s.stage_since,
			   coalesce((n.live).disqualified, s.disqualified) AS disqualified,
			   s.channel,
			   s.scored_at,
			   s.next_change_at,
			   s.rules_version,
			   s.has_problem,
			   CASE WHEN s.pinned_until > statement_timestamp() THEN s.pinned_until END AS pinned_until,
			   CASE WHEN s.pinned_until > statement_timestamp() THEN s.pin_reason END AS pin_reason,
			   s.next_change_at <= statement_timestamp() IS TRUE
				   OR (NOT s.stage_settled AND s.pinned_until > statement_timestamp() IS NOT TRUE) AS settle_due,
			   leadscore._next_action(%2$L::text, s.lead_key, coalesce((n.live).temperature, s.temperature), coalesce((n.live).grade, s.grade), s.stage::text) COLLATE "C" AS next_action
		FROM leadscore.%3$I s,
			 -- worked out once for a row, whichever columns are read
			 LATERAL (SELECT CASE WHEN s.fading OR s.next_change_at <= statement_timestamp() OR (SELECT leadscore._has_overdue(%2$L::text))
								  THEN leadscore._live(%2$L::text, s.lead_key, s.fit, s.engagement_base, s.engagement, s.kept_rules,
													   s.match_values, s.created_at, s.row_changes_at, s.rules_version)
							 END AS live
					  OFFSET 0) n
		WHERE s.lead_exists
		$view$, view, model, model || '_state');
	EXECUTE format('ALTER VIEW %s OWNER TO %I', view, owner);
	EXECUTE format('COMMENT ON VIEW %s IS %L', view,
				   format('Leads of %s with their score by the model %s, as of now.', target, model));
	EXECUTE format('COMMENT ON COLUMN %s.lead_key IS %L', view, format('Key of the lead in %s; unique.', target));
	EXECUTE format('COMMENT ON COLUMN %s.score IS %L', view, 'Score: fit plus engagement, within the model''s range, rounded down.');
	EXECUTE format('COMMENT ON COLUMN %s.temperature IS %L', view, 'cold, warm or hot: by the score, cold if disqualified.');
	EXECUTE format('COMMENT ON COLUMN %s.grade IS %L', view, 'Letter of the fit axis, and digit of the engagement axis if there is one: A1 is best.');
	EXECUTE format('COMMENT ON COLUMN %s.fit IS %L', view, 'Who the lead is: total of the fit axis, rounded down.');
	EXECUTE format('COMMENT ON COLUMN %s.engagement IS %L', view, 'What the lead does: total of the engagement axis, cut to two decimals.');
	EXECUTE format('COMMENT ON COLUMN %s.stage IS %L', view, 'Stage of the funnel, as text.');
	EXECUTE format('COMMENT ON COLUMN %s.stage_rank IS %L', view, 'Number that orders as stages do: below 100 exits, from 200 qualified, from 300 customers.');
	EXECUTE format('COMMENT ON COLUMN %s.stage_since IS %L', view, 'When the lead entered its stage.');
	EXECUTE format('COMMENT ON COLUMN %s.disqualified IS %L', view, 'Does a disqualifying rule match?');
	EXECUTE format('COMMENT ON COLUMN %s.channel IS %L', view, 'Acquisition channel: the first one known of the lead.');
	EXECUTE format('COMMENT ON COLUMN %s.scored_at IS %L', view, 'When the stored values were worked out.');
	EXECUTE format('COMMENT ON COLUMN %s.next_change_at IS %L', view, 'When time alone changes the values next; NULL: never.  Those of leads past it are worked out as they are read.');
	EXECUTE format('COMMENT ON COLUMN %s.rules_version IS %L', view, 'Version of the model by which the stored values were worked out.');
	EXECUTE format('COMMENT ON COLUMN %s.pinned_until IS %L', view, 'Until when automatic transitions leave the lead where it is; NULL: they do not.');
	EXECUTE format('COMMENT ON COLUMN %s.pin_reason IS %L', view, 'Why the lead is pinned.');
	EXECUTE format('COMMENT ON COLUMN %s.settle_due IS %L', view, 'May the stage be behind what is shown of the score?  The next write of the lead settles it, and leadscore.advance() what time alone has changed.');
	EXECUTE format('COMMENT ON COLUMN %s.next_action IS %L', view, 'What to do next with the lead, by leadscore.playbook; NULL: it says nothing.');
	EXECUTE format('COMMENT ON COLUMN %s.has_problem IS %L', view, 'Did a rule fail on this lead?  See leadscore.problem.');
END
$$;
COMMENT ON FUNCTION leadscore._create_scored_view(text) IS
'Internal: creates the scored view of a model.';

CREATE TYPE leadscore.attach_summary AS (
	leads		bigint,
	skipped		bigint,
	hot			bigint,
	warm		bigint,
	cold		bigint,
	problems	bigint,
	seconds		numeric
);
COMMENT ON TYPE leadscore.attach_summary IS 'What leadscore.attach() did.';
COMMENT ON COLUMN leadscore.attach_summary.leads IS 'Leads that have a state now.';
COMMENT ON COLUMN leadscore.attach_summary.skipped IS 'Rows without a key, which wait until they have one.';
COMMENT ON COLUMN leadscore.attach_summary.hot IS 'Leads that are hot.';
COMMENT ON COLUMN leadscore.attach_summary.warm IS 'Leads that are warm.';
COMMENT ON COLUMN leadscore.attach_summary.cold IS 'Leads that are cold.';
COMMENT ON COLUMN leadscore.attach_summary.problems IS 'Leads on which a rule failed: see leadscore.problem.';
COMMENT ON COLUMN leadscore.attach_summary.seconds IS 'Time that it took, in seconds.';

CREATE FUNCTION leadscore._backfill(model text, OUT leads bigint, OUT skipped bigint, OUT activity_rules bigint)
AS 'MODULE_PATHNAME', 'leadscore_backfill'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION leadscore._backfill(text) IS
'Internal: scores all leads into an empty state table.';

CREATE FUNCTION leadscore._rescore_batch(model text, after text, size integer, move_stages boolean,
	OUT seen bigint, OUT written bigint, OUT last_key text, OUT version bigint, OUT finished boolean, OUT held text[], OUT inserted bigint)
AS 'MODULE_PATHNAME', 'leadscore_rescore_batch'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore._rescore_batch(text, text, integer, boolean) IS
'Internal: brings the states of the next leads behind a key up to date.';

CREATE FUNCTION leadscore._rescore_lead(model text, lead_key text, move_stages boolean DEFAULT false) RETURNS boolean
AS 'MODULE_PATHNAME', 'leadscore_rescore_lead'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION leadscore._rescore_lead(text, text, boolean) IS
'Internal: brings the state of one lead up to date; was anything written?';

CREATE FUNCTION leadscore._wait_for_writers(relations regclass[]) RETURNS void
AS 'MODULE_PATHNAME', 'leadscore_wait_for_writers'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION leadscore._wait_for_writers(regclass[]) IS
'Internal: waits until every transaction that writes to one of the relations now has ended.';

CREATE FUNCTION leadscore._rescore_all(model text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	batch	record;
	after	text;
	written	bigint := 0;
	key		text;
	held	text[] := '{}';
BEGIN
	LOOP
		SELECT * INTO batch FROM leadscore._rescore_batch(_rescore_all.model, after, 10000, false);
		written := written + batch.written;
		held := held || batch.held;
		after := coalesce(batch.last_key, after);
		EXIT WHEN batch.finished;
	END LOOP;
	FOREACH key IN ARRAY held LOOP
		written := written + leadscore._rescore_lead(_rescore_all.model, key)::integer;
	END LOOP;
	FOR key IN DELETE FROM leadscore.unsettled_lead WHERE model = _rescore_all.model RETURNING lead_key LOOP
		written := written + leadscore._rescore_lead(_rescore_all.model, key)::integer;
	END LOOP;
	UPDATE leadscore.attachment SET rescored_version = batch.version, rescored_at = clock_timestamp()
	WHERE model = _rescore_all.model;
	RETURN written;
END
$$;
COMMENT ON FUNCTION leadscore._rescore_all(text) IS
'Internal: brings all states of a model up to date in this transaction, and returns how many were written.';

CREATE FUNCTION leadscore._begin_history(model text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('INSERT INTO leadscore.history (at, model, lead_key, cause, to_stage, temperature, grade, score, fit, engagement,
												   disqualified, channel, rules_version)
					SELECT s.history_at, %L, s.lead_key::text, ''attach'', s.stage, s.temperature, s.grade, s.score,
						   s.fit, s.engagement_points, s.disqualified, s.channel, s.rules_version
					FROM leadscore.%I s WHERE s.lead_exists', model, model || '_state');
END
$$;
COMMENT ON FUNCTION leadscore._begin_history(text) IS
'Internal: begins the history of all leads of a model that was just attached.';

CREATE FUNCTION leadscore._attach(model text, backfill boolean, score_column name, temperature_column name, grade_column name, stage_column name)
RETURNS leadscore.attach_summary
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	m			leadscore.model;
	started		timestamptz := clock_timestamp();
	known		boolean;
	foreign_table boolean;
	skipped		bigint;
	filled		record;
	result		leadscore.attach_summary;
	slow		record;
BEGIN
	SELECT * INTO m FROM leadscore.model WHERE model.name = _attach.model;
	-- says what is wrong before it waits for a lock
	PERFORM leadscore._require_attachable(m.name, ARRAY[score_column, temperature_column, grade_column, stage_column]);
	foreign_table := (SELECT c.relkind = 'f' FROM pg_class c WHERE c.oid = m.target);
	IF NOT foreign_table THEN
		EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', m.target);
	END IF;

	known := EXISTS (SELECT FROM leadscore.attachment a WHERE a.model = m.name);
	INSERT INTO leadscore.attachment AS a (model, target, target_name, source, source_name, key_column,
										   score_column, temperature_column, grade_column, stage_column)
	VALUES (m.name, m.target, m.target::text, m.source, m.source::text, m.key_column,
			_attach.score_column, _attach.temperature_column, _attach.grade_column, _attach.stage_column)
	ON CONFLICT (model) DO UPDATE
	SET score_column = coalesce(excluded.score_column, a.score_column),
		temperature_column = coalesce(excluded.temperature_column, a.temperature_column),
		grade_column = coalesce(excluded.grade_column, a.grade_column),
		stage_column = coalesce(excluded.stage_column, a.stage_column);
	UPDATE leadscore.attachment a
	SET score_column = nullif(a.score_column, ''), temperature_column = nullif(a.temperature_column, ''),
		grade_column = nullif(a.grade_column, ''), stage_column = nullif(a.stage_column, '')
	WHERE a.model = m.name AND '' IN (a.score_column, a.temperature_column, a.grade_column, a.stage_column);

	IF to_regclass(format('leadscore.%I', m.name || '_state')) IS NULL THEN
		PERFORM leadscore._create_state_table(m.name);
		-- a foreign table cannot be locked but by the making of a trigger; and
		-- tables of events are locked by that as well
		IF foreign_table OR EXISTS (SELECT FROM leadscore.rule r WHERE r.model = m.name AND r.activity IS NOT NULL AND r.enabled) THEN
			PERFORM leadscore._install_triggers(m.name);
		END IF;
		IF coalesce(backfill, true) THEN
			SELECT * INTO filled FROM leadscore._backfill(m.name);
			skipped := filled.skipped;
			UPDATE leadscore.attachment SET rescored_version = m.version, rescored_at = clock_timestamp(), activity_rules = filled.activity_rules
			WHERE attachment.model = m.name;
			PERFORM leadscore._begin_history(m.name);
		END IF;
		BEGIN
			PERFORM leadscore._finish_state_table(m.name);
		EXCEPTION WHEN unique_violation THEN
			RAISE EXCEPTION USING
				ERRCODE = 'unique_violation',
				MESSAGE = format('key column "%s" of scoring model "%s" is not unique', m.key_column, m.name),
				DETAIL = format('Several rows of %s have the same key.', coalesce(m.source, m.target)),
				HINT = CASE WHEN m.source IS NULL THEN 'Set key_column in leadscore.model to a column that identifies a lead.'
							ELSE 'Write the view so that it has one row per lead.' END;
		END;
	ELSIF NOT known THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_table',
			MESSAGE = format('table leadscore.%I exists already', m.name || '_state'),
			DETAIL = format('It does not belong to scoring model "%s", which is not attached.', m.name),
			HINT = 'Drop or rename it.';
	ELSE
		PERFORM leadscore._follow_key_type(m.name);
		PERFORM leadscore._complete_state_table(m.name);
		PERFORM leadscore._install_triggers(m.name);
		IF coalesce(backfill, true) THEN
			PERFORM leadscore._rebuild_all(m.name);
			PERFORM leadscore._rescore_all(m.name);
		END IF;
	END IF;
	IF to_regclass(format('leadscore.%I', m.name || '_scored')) IS NULL THEN
		PERFORM leadscore._create_scored_view(m.name);
	END IF;
	PERFORM leadscore._install_triggers(m.name);
	PERFORM leadscore._index_match_values(m.name);

	FOR slow IN SELECT * FROM leadscore._slow_activities(m.name) LOOP
		RAISE WARNING USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('table %s of activity source "%s" has no index by which the events of a lead can be found', slow.relation, slow.activity),
			DETAIL = 'All of the table is read whenever what a lead did is made anew.',
			HINT = slow.definition;
	END LOOP;

	EXECUTE format('SELECT count(*), NULL, count(*) FILTER (WHERE temperature = ''hot''), count(*) FILTER (WHERE temperature = ''warm''),
						   count(*) FILTER (WHERE temperature = ''cold''), count(*) FILTER (WHERE has_problem), NULL
					FROM leadscore.%I WHERE lead_exists', m.name || '_state') INTO result;
	IF skipped IS NULL THEN
		EXECUTE format('SELECT count(*) FROM %s WHERE %I IS NULL', m.target, m.key_column) INTO skipped;
	END IF;
	result.skipped := skipped;
	result.seconds := round(extract(epoch FROM clock_timestamp() - started)::numeric, 3);
	RETURN result;
END
$$;
COMMENT ON FUNCTION leadscore._attach(text, boolean, name, name, name, name) IS
'Internal: what leadscore.attach() does.';

CREATE FUNCTION leadscore.attach(model text, backfill boolean DEFAULT true, score_column name DEFAULT NULL,
	temperature_column name DEFAULT NULL, grade_column name DEFAULT NULL, stage_column name DEFAULT NULL)
RETURNS leadscore.attach_summary
AS 'MODULE_PATHNAME', 'leadscore_act_as_owner'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.attach(text, boolean, name, name, name, name) IS
'Scores every lead of a model''s table from now on, in the commit that writes it: creates leadscore.<model>_state and the view leadscore.<model>_scored, puts triggers on the table and on those of the events, and scores the leads there are, unless backfill is false (NULL: true).  The columns named are set in the lead''s own row when that is written, and by rescore(write_back => true) in those that are there (NULL: none, or as before).  Writers wait until commit.  Again on an attached model: mends what is missing, takes the columns that are given ('''' for one to be left alone) and, unless backfill is false, brings all states up to date.  Warns of an activity source whose table is large and has no index for it.  The caller owns target, source and the tables of the activity sources.  Errors: 22004 model NULL, 42704 unknown model, 42501 not the owner, 55000 no key column or not a unique one, 42703 no such key column, or no such column to write to, 42804 the type of the key column is no key, 42P01 the leads'' table is gone, 42809 it is a temporary table, 42P07 another table has the name of the state table, 0A000 a rule that cannot be attached for its use of the clock, or a column that cannot be written to, 22023 two values for one column, or one for the key, 23505 several rows with one key.';

CREATE FUNCTION leadscore._detach(model text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	t		record;
	found	boolean := EXISTS (SELECT FROM leadscore.attachment a WHERE a.model = _detach.model);
BEGIN
	FOR t IN SELECT * FROM leadscore._present_triggers(_detach.model) LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', t.trigger, t.relation);
		found := true;
	END LOOP;
	IF found THEN
		EXECUTE format('DROP VIEW IF EXISTS leadscore.%I', _detach.model || '_scored');
		EXECUTE format('DROP TABLE IF EXISTS leadscore.%I', _detach.model || '_state');
		DELETE FROM leadscore.attachment a WHERE a.model = _detach.model;
		DELETE FROM leadscore.pending_activity p WHERE p.model = _detach.model;
		DELETE FROM leadscore.problem p WHERE p.model = _detach.model AND p.lead_key IS NOT NULL;
	END IF;
	RETURN found;
END
$$;
COMMENT ON FUNCTION leadscore._detach(text) IS
'Internal: what leadscore.detach() does.';

CREATE FUNCTION leadscore.detach(model text) RETURNS boolean
AS 'MODULE_PATHNAME', 'leadscore_act_as_owner'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.detach(text) IS
'Takes away what attach() made: triggers, scored view and state table with all states.  The model, its rules and its history stay.  Returns whether there was anything.  Errors: 22004 model NULL, 42704 unknown model, 42501 not the owner, 2BP01 other views depend on it.';

CREATE FUNCTION leadscore._watch(model text, relation regclass, lead_key_expression text, search_path text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	IF NOT EXISTS (SELECT FROM leadscore.attachment a WHERE a.model = _watch.model) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('scoring model "%s" is not attached', _watch.model),
			HINT = format('Call leadscore.attach(%L) first.', _watch.model);
	END IF;
	IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = relation AND c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'wrong_object_type',
			MESSAGE = format('"%s" is not a table', relation),
			HINT = 'Watch the tables that the source reads.';
	END IF;
	INSERT INTO leadscore.watched AS w (model, relation, relation_name, lead_key, search_path)
	VALUES (_watch.model, _watch.relation, _watch.relation::text, lead_key_expression, _watch.search_path)
	ON CONFLICT (model, relation) DO UPDATE
	SET lead_key = excluded.lead_key, search_path = excluded.search_path, relation_name = excluded.relation_name;
	PERFORM leadscore._install_triggers(_watch.model);
	-- the table may have changed since the leads were scored
	PERFORM leadscore._rescore_all(_watch.model);
END
$$;
COMMENT ON FUNCTION leadscore._watch(text, regclass, text, text) IS
'Internal: what leadscore.watch() does.';

CREATE FUNCTION leadscore.watch(model text, relation regclass, lead_key_expression text) RETURNS void
AS 'MODULE_PATHNAME', 'leadscore_watch'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.watch(text, regclass, text) IS
'Re-scores leads of an attached model when a table changes that its source looks things up in, and all of them now, in case that it has.  The expression is SQL over a row of that table: columns by their names, the row by the table''s; it gives a lead''s key, an array of keys, or is a SELECT of keys.  Again: another expression.  The caller owns the table, target and source.  Errors: 22004 NULL, 42704 unknown model, 42501 not the owner, 55000 not attached, 42809 not a table, and what is wrong with the expression.';

CREATE FUNCTION leadscore._unwatch(model text, relation regclass) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	DELETE FROM leadscore.watched w WHERE w.model = _unwatch.model AND w.relation = _unwatch.relation;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	PERFORM leadscore._install_triggers(_unwatch.model);
	RETURN true;
END
$$;
COMMENT ON FUNCTION leadscore._unwatch(text, regclass) IS
'Internal: what leadscore.unwatch() does.';

CREATE FUNCTION leadscore.unwatch(model text, relation regclass) RETURNS boolean
AS 'MODULE_PATHNAME', 'leadscore_act_as_owner'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.unwatch(text, regclass) IS
'Watches a table no longer.  Returns whether it was watched; of relation NULL it was not.  Errors: 22004 model NULL, 42704 unknown model, 42501 not the owner.';

--
-- Rescoring after the rules were edited
--

CREATE FUNCTION leadscore._run_as_owner_of(relation regclass, statement text) RETURNS bigint
AS 'MODULE_PATHNAME', 'leadscore_run_as_owner_of'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION leadscore._run_as_owner_of(regclass, text) IS
'Internal: runs a statement as the owner of a relation, in a security-restricted operation; number of rows.';

CREATE FUNCTION leadscore._write_back_batch(model text, after text, until text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	a		leadscore.attachment;
	stale	text;
BEGIN
	SELECT * INTO a FROM leadscore.attachment WHERE attachment.model = _write_back_batch.model;
	stale := leadscore._write_back_is_stale(_write_back_batch.model, 'l', 's');
	IF stale IS NULL OR until IS NULL THEN
		RETURN 0;
	END IF;
	-- the BEFORE trigger sets the columns; a row that the application holds is
	-- about to be set anyway
	RETURN leadscore._run_as_owner_of(a.target, format(
		'UPDATE %1$s t SET %2$I = t.%2$I WHERE t.%2$I IN (
			SELECT l.%2$I FROM %1$s l JOIN leadscore.%3$I s ON s.lead_key = l.%2$I
			WHERE s.lead_key <= %5$L AND (%4$L IS NULL OR s.lead_key > %4$L) AND (%6$s)
			FOR NO KEY UPDATE OF l SKIP LOCKED)',
		a.target, a.key_column, a.model || '_state', after, until, stale));
END
$$;
COMMENT ON FUNCTION leadscore._write_back_batch(text, text, text) IS
'Internal: has the columns that are written back set in leads of a range of keys where they are not as in the state.';

CREATE FUNCTION leadscore._write_back_is_stale(model text, lead text, state text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	-- a score that fades is as of the last write; a temperature whose time has
	-- passed is advance()'s.  A type may not take every value, a domain of the
	-- user's least of all; and of a stage that no status means the column says nothing
	SELECT string_agg(format('(%s AND %s)', format(c.while, state),
							 CASE WHEN c.state_column = 'stage' AND statuses.of_stage IS NOT NULL
								  THEN format('%1$L::jsonb ? %2$s.stage::text AND (%1$L::jsonb -> %2$s.stage::text ? %3$s.%4$I::text) IS NOT TRUE',
											  statuses.of_stage, state, lead, at.attname)
								  WHEN t.typcategory IN ('E', 'S')
								  THEN format('%s.%I::text IS DISTINCT FROM %s.%s::text', lead, at.attname, state, c.state_column)
								  WHEN c.state_column = 'score' AND t.typcategory = 'N' AND (t.typtype = 'd' OR t.oid = 'smallint'::regtype)
								  THEN format('%s.%I::numeric IS DISTINCT FROM %s.score::numeric', lead, at.attname, state)
								  ELSE format('%s.%I IS DISTINCT FROM %s.%s::text::%s', lead, at.attname, state, c.state_column,
											  format_type(at.atttypid, at.atttypmod)) END), ' OR ')
	FROM leadscore.attachment a,
		 LATERAL (VALUES (a.score_column, 'score', 'NOT %1$s.fading'),
						 (a.temperature_column, 'temperature', '(%1$s.next_change_at <= statement_timestamp()) IS NOT TRUE'),
						 (a.grade_column, 'grade', '(%1$s.next_change_at <= statement_timestamp()) IS NOT TRUE'),
						 (a.stage_column, 'stage', 'true')) c(lead_column, state_column, while)
	JOIN pg_attribute at ON at.attname = c.lead_column
	JOIN pg_type t ON t.oid = at.atttypid
	CROSS JOIN (SELECT jsonb_object_agg(m.stage, m.statuses) AS of_stage
				FROM (SELECT m.stage::text AS stage, jsonb_agg(m.status) AS statuses
					  FROM leadscore.stage_map m WHERE m.model = _write_back_is_stale.model GROUP BY m.stage::text) m) statuses
	WHERE a.model = _write_back_is_stale.model AND at.attrelid = a.target AND at.attnum > 0 AND NOT at.attisdropped
$$;
COMMENT ON FUNCTION leadscore._write_back_is_stale(text, text, text) IS
'Internal: SQL condition that a column written back differs from the state; NULL if none is.';

CREATE TYPE leadscore.rescore_step AS (
	finished	boolean,
	notice		text
);
COMMENT ON TYPE leadscore.rescore_step IS 'What one step of a rescore has to say.';
COMMENT ON COLUMN leadscore.rescore_step.finished IS 'Was it the last step?';
COMMENT ON COLUMN leadscore.rescore_step.notice IS 'What to tell the user; NULL: nothing.';

CREATE FUNCTION leadscore._rescore_step(model text, batch_size integer, write_back boolean, activities boolean, move_stages boolean) RETURNS leadscore.rescore_step
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	a		leadscore.attachment;
	r		leadscore.rescore_run;
	now		bigint;
	batch	record;
	before	numeric;
	elapsed	interval;
	orphan	text;
	uncaptured text;
	keys	text[];
	rebuilt	record;
	result	leadscore.rescore_step := (false, NULL);
BEGIN
	IF batch_size IS NULL OR batch_size < 1 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'batch_size must be at least 1';
	END IF;
	SELECT * INTO a FROM leadscore.attachment WHERE attachment.model = _rescore_step.model;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('scoring model "%s" is not attached', _rescore_step.model),
			HINT = format('Call leadscore.attach(%L) first.', _rescore_step.model);
	END IF;
	IF write_back AND coalesce(a.score_column, a.temperature_column, a.grade_column, a.stage_column) IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('scoring model "%s" writes nothing back', _rescore_step.model),
			HINT = 'Name the columns in leadscore.attach().';
	END IF;
	SELECT version INTO now FROM leadscore.model WHERE name = _rescore_step.model;

	SELECT * INTO r FROM leadscore.rescore_run WHERE rescore_run.model = _rescore_step.model FOR UPDATE;
	IF NOT FOUND OR r.finished OR r.version <> now OR (write_back AND NOT r.write_back) OR (_rescore_step.move_stages AND NOT r.move_stages)
		OR (_rescore_step.activities AND r.activities IS NULL) THEN
		-- a table of events that rules were written about since; each in a step of
		-- its own, since its writers wait as long as this transaction takes, and whoever
		-- writes to two of them must not find the one locked that waits for the other
		SELECT u.activity INTO uncaptured FROM leadscore._uncaptured_activities(ARRAY[a.model]) u ORDER BY u.activity LIMIT 1;
		IF FOUND THEN
			PERFORM leadscore._install_triggers(a.model, uncaptured);
			-- nobody has added what came meanwhile to leads that are up to date else
			INSERT INTO leadscore.rescore_run AS run (model, version, started_at, updated_at, total, finished, activities)
			VALUES (a.model, now, clock_timestamp(), clock_timestamp(), 0, true, 'compare')
			ON CONFLICT (model) DO UPDATE SET finished = true, activities = 'compare';
			RETURN result;
		END IF;
		-- from here on everybody writes by the new rules
		PERFORM leadscore._wait_for_writers(ARRAY[a.target] || ARRAY(
			SELECT w.relation FROM leadscore.watched w JOIN pg_class c ON c.oid = w.relation WHERE w.model = a.model));
		-- an estimate will do, where there is one
		SELECT c.reltuples::bigint INTO r.total FROM pg_class c WHERE c.oid = to_regclass(format('leadscore.%I', a.model || '_state'));
		IF r.total IS NULL OR r.total < 100000 THEN
			EXECUTE format('SELECT count(*) FROM leadscore.%I', a.model || '_state') INTO r.total;
		END IF;
		INSERT INTO leadscore.rescore_run AS run (model, version, started_at, updated_at, total, write_back, activities, move_stages)
		VALUES (a.model, now, clock_timestamp(), clock_timestamp(), r.total, coalesce(_rescore_step.write_back, false),
				CASE WHEN _rescore_step.activities OR (r.finished AND r.activities = 'compare') THEN 'compare' END,
				coalesce(_rescore_step.move_stages, false))
		ON CONFLICT (model) DO UPDATE
		SET version = excluded.version, started_at = excluded.started_at, updated_at = excluded.updated_at,
			after_key = NULL, total = excluded.total, seen = 0, written = 0, inserted = 0, write_back = excluded.write_back,
			held = '{}', finished = false, walked = false, activities = excluded.activities, activity_rules = NULL,
			move_stages = excluded.move_stages;
		RETURN result;
	END IF;

	IF NOT r.walked THEN
		-- what a crash takes back, it takes back together with the progress
		PERFORM set_config('synchronous_commit', 'off', true);
		SELECT * INTO batch FROM leadscore._rescore_batch(a.model, r.after_key, batch_size, r.move_stages);
		IF write_back THEN
			PERFORM leadscore._write_back_batch(a.model, r.after_key, batch.last_key);
		END IF;
		before := floor(10.0 * r.seen / greatest(r.total, 1));
		UPDATE leadscore.rescore_run
		SET after_key = coalesce(batch.last_key, after_key), seen = seen + batch.seen,
			written = written + batch.written, inserted = inserted + batch.inserted, held = held || batch.held,
			walked = batch.finished, updated_at = clock_timestamp()
		WHERE rescore_run.model = a.model
		RETURNING * INTO r;
		elapsed := r.updated_at - r.started_at;
		IF NOT batch.finished AND r.seen < r.total AND floor(10.0 * r.seen / greatest(r.total, 1)) > before THEN
			result.notice := format('rescore of %s: %s %%, about %s left', a.model, floor(100.0 * r.seen / greatest(r.total, 1)),
									justify_interval(date_trunc('second', elapsed * (1.0 * (r.total - r.seen) / r.seen)) + interval '1 second'));
		END IF;
		RETURN result;
	END IF;

	IF r.activities = 'compare' THEN
		-- nothing is locked here: what differs is noted, for the steps to come
		SELECT * INTO rebuilt FROM leadscore._rebuild(a.model, false);
		UPDATE leadscore.rescore_run
		SET activities = CASE WHEN rebuilt.activity_rules IS NULL THEN 'done' ELSE 'recompute' END,
			activity_rules = rebuilt.activity_rules, after_key = NULL, updated_at = clock_timestamp()
		WHERE rescore_run.model = a.model;
		RETURN result;
	END IF;

	IF r.activities = 'recompute' THEN
		PERFORM set_config('synchronous_commit', 'off', true);
		keys := ARRAY(SELECT DISTINCT p.lead_key FROM leadscore.pending_activity p
					  WHERE p.model = a.model AND (r.after_key IS NULL OR p.lead_key > r.after_key)
					  ORDER BY p.lead_key LIMIT batch_size);
		SELECT * INTO rebuilt FROM leadscore._recompute_leads(a.model, keys, true);
		UPDATE leadscore.rescore_run
		SET after_key = coalesce(keys[cardinality(keys)], after_key), written = written + rebuilt.written,
			held = held || rebuilt.held, updated_at = clock_timestamp(),
			activities = CASE WHEN cardinality(keys) < batch_size THEN 'done' ELSE 'recompute' END
		WHERE rescore_run.model = a.model;
		RETURN result;
	END IF;

	IF r.held <> '{}' THEN
		-- one to a transaction: whoever waits holds nothing that others wait for
		IF r.activities IS NULL THEN
			PERFORM leadscore._rescore_lead(a.model, r.held[1], r.move_stages);
		ELSE
			PERFORM leadscore._recompute_leads(a.model, r.held[1:1], false);
		END IF;
		UPDATE leadscore.rescore_run SET held = r.held[2:], updated_at = clock_timestamp()
		WHERE rescore_run.model = a.model;
		RETURN result;
	END IF;

	IF r.inserted > 0 THEN
		-- who was deleting a lead while its state was made, did not see that
		PERFORM leadscore._wait_for_writers(ARRAY[a.target]);
		FOR orphan IN EXECUTE format('SELECT s.lead_key::text FROM leadscore.%I s WHERE s.lead_exists
									 AND NOT EXISTS (SELECT FROM %s l WHERE l.%I = s.lead_key)', a.model || '_state', a.target, a.key_column) LOOP
			PERFORM leadscore._rescore_lead(a.model, orphan);
		END LOOP;
	END IF;
	UPDATE leadscore.rescore_run SET finished = true, updated_at = clock_timestamp()
	WHERE rescore_run.model = a.model;
	UPDATE leadscore.attachment SET rescored_version = r.version, rescored_at = clock_timestamp(),
		activity_rules = coalesce(r.activity_rules, activity_rules)
	WHERE attachment.model = a.model;
	IF r.written > 0 AND (SELECT m.announce FROM leadscore.model m WHERE m.name = a.model) THEN
		PERFORM pg_notify('leadscore', json_build_object('kind', 'rescore', 'model', a.model, 'leads', r.seen, 'written', r.written,
														 'rules_version', r.version, 'recorded_at', clock_timestamp())::text);
	END IF;
	result.finished := true;
	result.notice := format('rescore of %s: %s leads, %s states written, %s', a.model, r.seen, r.written,
							date_trunc('milliseconds', clock_timestamp() - r.started_at));
	RETURN result;
END
$$;
COMMENT ON FUNCTION leadscore._rescore_step(text, integer, boolean, boolean, boolean) IS
'Internal: what leadscore.rescore_step() does.';

CREATE FUNCTION leadscore.rescore_step(model text, batch_size integer, write_back boolean, activities boolean DEFAULT false, move_stages boolean DEFAULT false) RETURNS leadscore.rescore_step
AS 'MODULE_PATHNAME', 'leadscore_act_as_owner'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.rescore_step(text, integer, boolean, boolean, boolean) IS
'One transaction''s worth of a rescore; leadscore.rescore() calls it until it is finished.  Errors: as rescore().';

CREATE PROCEDURE leadscore.rescore(model text, batch_size integer DEFAULT 10000, write_back boolean DEFAULT false, activities boolean DEFAULT false, move_stages boolean DEFAULT false)
LANGUAGE plpgsql
AS $$
DECLARE
	step leadscore.rescore_step;
BEGIN
	LOOP
		step := leadscore.rescore_step(model, batch_size, write_back, activities, move_stages);
		COMMIT;
		IF step.notice IS NOT NULL THEN
			RAISE NOTICE '%', step.notice;
		END IF;
		EXIT WHEN step.finished;
	END LOOP;
END
$$;
COMMENT ON PROCEDURE leadscore.rescore(text, integer, boolean, boolean, boolean) IS
'Brings the states of all leads of an attached model up to date, in batches of batch_size leads (1 or more) with a commit after each, writing only what changed.  Waits at the beginning for transactions that score by older rules; who writes a lead waits for the batch at hand at most.  A table of events that rules were written about since the model was attached gets its triggers; who writes to it waits for that.  Interrupted, it goes on from there when it is called again; if the rules change meanwhile it begins anew.  With write_back it also refreshes the columns that attach() was told to write back; with activities it compares what is stored of what all leads did with all their events, and makes anew what differs.  Crossings go into leadscore.history with the cause rules, and are announced all together by one NOTIFY; stages stay, unless move_stages has the automatic transitions made.  NULL for one of these is false.  Not inside a transaction block.  The caller owns target, source and the tables of the activity sources.  Errors: 22004 model NULL, 42704 unknown model, 42501 not the owner, 55000 not attached, or nothing to write back, 22023 batch_size below 1 or NULL, 2D000 in a transaction block.';

--
-- What time changes
--

CREATE FUNCTION leadscore._advance_batch(model text, size integer, at timestamptz) RETURNS bigint
AS 'MODULE_PATHNAME', 'leadscore_advance_batch'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION leadscore._advance_batch(text, integer, timestamptz) IS
'Internal: brings the states of the next leads up to date whose time has come, but for those that somebody else holds; how many.';

CREATE FUNCTION leadscore._advance_step(model text, size integer, at timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	done	bigint;
BEGIN
	IF NOT EXISTS (SELECT FROM leadscore.attachment a WHERE a.model = _advance_step.model) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('scoring model "%s" is not attached', _advance_step.model),
			HINT = format('Call leadscore.attach(%L) first.', _advance_step.model);
	END IF;
	done := leadscore._advance_batch(_advance_step.model, size, at);
	IF done < size AND EXISTS (SELECT FROM leadscore.sla s WHERE s.model = _advance_step.model) THEN
		PERFORM leadscore._record_sla_breaches(_advance_step.model, at);
	END IF;
	RETURN done;
END
$$;
COMMENT ON FUNCTION leadscore._advance_step(text, integer, timestamptz) IS
'Internal: what leadscore.advance_step() does.';

CREATE FUNCTION leadscore.advance_step(model text, size integer, at timestamptz) RETURNS bigint
AS 'MODULE_PATHNAME', 'leadscore_act_as_owner'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.advance_step(text, integer, timestamptz) IS
'One transaction''s worth of leadscore.advance() for a model; returns how many leads it brought up to date.  Errors: 42704 unknown model, 42501 not the owner, 55000 not attached.';

CREATE PROCEDURE leadscore.advance("limit" integer DEFAULT NULL, at timestamptz DEFAULT NULL)
LANGUAGE plpgsql
AS $$
DECLARE
	models	text[];
	model	text;
	done	bigint;
	rest	bigint := "limit";
	step	integer;
BEGIN
	IF "limit" OPERATOR(pg_catalog.<) 0 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'limit must not be negative';
	END IF;
	-- what is somebody else's is his to advance
	models := ARRAY(SELECT a.model FROM leadscore.attachment a
					JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.target
					WHERE pg_catalog.pg_has_role(c.relowner, 'USAGE') ORDER BY a.model);
	FOREACH model IN ARRAY models LOOP
		LOOP
			step := LEAST(coalesce(rest, 1000), 1000);
			EXIT WHEN step OPERATOR(pg_catalog.=) 0;
			done := leadscore.advance_step(model, step, coalesce(at, pg_catalog.clock_timestamp()));
			COMMIT;
			rest := rest OPERATOR(pg_catalog.-) done;
			EXIT WHEN done OPERATOR(pg_catalog.<) step;
		END LOOP;
	END LOOP;
END
$$;
COMMENT ON PROCEDURE leadscore.advance(integer, timestamptz) IS
'Brings the states of those leads up to date that time alone has changed by now: whose temperature or grade is another, and whose activities were dated ahead; and records the response times that were missed (leadscore.sla_breach).  Touches no others, at most limit of them (NULL: all), in the order in which their time came, with a commit after each thousand.  Leads that somebody else holds are left for the next time, so that several sessions may call it.  Goes over the attached models whose leads'' table belongs to the caller.  at takes the place of now (NULL: now), for trials; with a time to come, what is recorded stays recorded.  Views are right without it.  Not inside a transaction block.  Errors: 42501 no SELECT privilege on leadscore.attachment, 22023 limit is negative, 2D000 in a transaction block.';

CREATE VIEW leadscore.rescore_progress AS
SELECT r.model, r.version, r.finished, r.started_at, r.updated_at, r.seen, r.total, r.written,
	   pg_catalog.cardinality(r.held) AS held,
	   CASE WHEN r.finished THEN 100 ELSE LEAST(99, 100 * r.seen / GREATEST(r.total, 1)) END::integer AS percent,
	   CASE WHEN r.finished OR r.seen = 0 THEN NULL
			ELSE (r.updated_at - r.started_at) * (GREATEST(r.total - r.seen, 0)::double precision / r.seen) END AS remaining
FROM leadscore.rescore_run r;
COMMENT ON VIEW leadscore.rescore_progress IS 'How far the last rescore of each model has come.';

COMMENT ON COLUMN leadscore.rescore_progress.model IS 'Model that is rescored.';
COMMENT ON COLUMN leadscore.rescore_progress.version IS 'Version of the rules by which.';
COMMENT ON COLUMN leadscore.rescore_progress.finished IS 'Is it done?';
COMMENT ON COLUMN leadscore.rescore_progress.started_at IS 'When it began.';
COMMENT ON COLUMN leadscore.rescore_progress.updated_at IS 'When the last batch was done.';
COMMENT ON COLUMN leadscore.rescore_progress.seen IS 'Leads looked at.';
COMMENT ON COLUMN leadscore.rescore_progress.total IS 'Leads there are, more or less.';
COMMENT ON COLUMN leadscore.rescore_progress.written IS 'States that were written.';
COMMENT ON COLUMN leadscore.rescore_progress.held IS 'Leads whose state somebody else held; they come last.';
COMMENT ON COLUMN leadscore.rescore_progress.percent IS 'Part of the leads that was looked at.';
COMMENT ON COLUMN leadscore.rescore_progress.remaining IS 'How long it may still take, at the pace so far.';

--
-- Health
--

CREATE FUNCTION leadscore._state_counts(model text, OUT leads bigint, OUT stale bigint, OUT hot bigint, OUT warm bigint, OUT cold bigint, OUT problems bigint, OUT due bigint)
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF to_regclass(format('leadscore.%I', model || '_state')) IS NULL
		OR NOT has_table_privilege(format('leadscore.%I', model || '_state'), 'SELECT') THEN
		RETURN;
	END IF;
	EXECUTE format('SELECT count(*) FILTER (WHERE s.lead_exists),
						   count(*) FILTER (WHERE s.lead_exists AND greatest(s.rules_version, a.rescored_version) < m.version),
						   count(*) FILTER (WHERE s.lead_exists AND s.temperature = ''hot''),
						   count(*) FILTER (WHERE s.lead_exists AND s.temperature = ''warm''),
						   count(*) FILTER (WHERE s.lead_exists AND s.temperature = ''cold''),
						   count(*) FILTER (WHERE s.has_problem),
						   count(*) FILTER (WHERE s.next_change_at <= statement_timestamp())
					FROM leadscore.attachment a JOIN leadscore.model m ON m.name = a.model CROSS JOIN leadscore.%I s
					WHERE a.model = $1', model || '_state')
	INTO leads, stale, hot, warm, cold, problems, due USING model;
END
$$;
COMMENT ON FUNCTION leadscore._state_counts(text) IS
'Internal: leads of an attached model, those whose state is older than the rules, and by temperature; NULL to those who may not read the state table.';

CREATE FUNCTION leadscore._unscored_leads(model text) RETURNS bigint
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	a		leadscore.attachment;
	result	bigint;
BEGIN
	SELECT * INTO a FROM leadscore.attachment WHERE attachment.model = _unscored_leads.model;
	EXECUTE format('SELECT count(*) FROM %s l WHERE l.%2$I IS NOT NULL
					AND NOT EXISTS (SELECT FROM leadscore.%3$I s WHERE s.lead_key = l.%2$I)',
				   coalesce(a.source, a.target), a.key_column, a.model || '_state') INTO result;
	RETURN result;
EXCEPTION
	-- no privilege, or something is missing: doctor() tells what
	WHEN insufficient_privilege OR undefined_table OR undefined_column OR undefined_function OR syntax_error THEN
		RETURN NULL;
END
$$;
COMMENT ON FUNCTION leadscore._unscored_leads(text) IS
'Internal: leads without a state; NULL to those who may not read the leads.';

CREATE VIEW leadscore.model_status WITH (security_invoker = true) AS
SELECT m.name AS model,
	   m.target::pg_catalog.text AS target,
	   a.model IS NOT NULL AS attached,
	   c.leads,
	   c.stale + u.unscored
	   + (SELECT pg_catalog.count(*) FROM leadscore.unsettled_lead l WHERE l.model = m.name) AS stale_leads,
	   c.hot, c.warm, c.cold,
	   c.problems AS leads_with_problems,
	   (SELECT pg_catalog.count(*) FROM leadscore.problem p WHERE p.model = m.name) AS problems,
	   c.due AS due_leads,
	   (SELECT pg_catalog.count(*) FROM leadscore.activity_source s WHERE s.model = m.name) AS activity_sources,
	   (SELECT pg_catalog.count(*) FROM leadscore.pending_activity p WHERE p.model = m.name) AS pending_activities,
	   t.present AS triggers_present,
	   t.expected AS triggers_expected,
	   m.version AS rules_version,
	   a.rescored_version,
	   a.rescored_at AS last_rescore,
	   a.attached_at
FROM leadscore.model m
LEFT JOIN leadscore.attachment a ON a.model = m.name
LEFT JOIN LATERAL leadscore._state_counts(a.model) c ON true
LEFT JOIN LATERAL leadscore._unscored_leads(a.model) u(unscored) ON true
LEFT JOIN LATERAL (
	SELECT pg_catalog.count(p.trigger) AS present, pg_catalog.count(*) AS expected
	FROM leadscore._expected_triggers(a.model) x
	LEFT JOIN leadscore._present_triggers(a.model) p
		ON p.relation = x.relation AND p.trigger = x.trigger AND p.definition = x.definition AND p.enabled) t
	ON a.model IS NOT NULL;
COMMENT ON VIEW leadscore.model_status IS
'Each model with its leads, how many of them were scored by older rules, and the state of its triggers.  Counts are of the leads that the reader may see; NULL without the privilege to.';
COMMENT ON COLUMN leadscore.model_status.model IS 'Model.';
COMMENT ON COLUMN leadscore.model_status.target IS 'Table of the leads.';
COMMENT ON COLUMN leadscore.model_status.attached IS 'Are its leads scored as they are written?';
COMMENT ON COLUMN leadscore.model_status.leads IS 'Leads with a score.';
COMMENT ON COLUMN leadscore.model_status.stale_leads IS 'Leads scored by older rules, or not at all yet; CALL leadscore.rescore(model).';
COMMENT ON COLUMN leadscore.model_status.hot IS 'Leads that are hot.';
COMMENT ON COLUMN leadscore.model_status.warm IS 'Leads that are warm.';
COMMENT ON COLUMN leadscore.model_status.cold IS 'Leads that are cold.';
COMMENT ON COLUMN leadscore.model_status.leads_with_problems IS 'Leads on which a rule failed.';
COMMENT ON COLUMN leadscore.model_status.problems IS 'Rows of leadscore.problem.';
COMMENT ON COLUMN leadscore.model_status.due_leads IS 'Leads whose stored values time has passed over; views work theirs out as they are read.';
COMMENT ON COLUMN leadscore.model_status.activity_sources IS 'Tables of events, as leadscore.activity_source has them.';
COMMENT ON COLUMN leadscore.model_status.pending_activities IS 'Rows of leadscore.pending_activity: activities of the future, and those that wait to be added to their lead''s state.';
COMMENT ON COLUMN leadscore.model_status.triggers_present IS 'Triggers that are there and fire always.';
COMMENT ON COLUMN leadscore.model_status.triggers_expected IS 'Triggers that there should be.';
COMMENT ON COLUMN leadscore.model_status.rules_version IS 'Version of the model now.';
COMMENT ON COLUMN leadscore.model_status.rescored_version IS 'Version by which all leads were scored last.';
COMMENT ON COLUMN leadscore.model_status.last_rescore IS 'When that was.';
COMMENT ON COLUMN leadscore.model_status.attached_at IS 'When the model was attached.';

CREATE FUNCTION leadscore._broken_expressions(model text)
RETURNS TABLE (finding text, object text, sqlstate text, message text)
AS 'MODULE_PATHNAME', 'leadscore_broken_expressions'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION leadscore._broken_expressions(text) IS
'Internal: the stored expressions of a model, of its transitions and of its service levels that cannot be used any more, and what is wrong with them.  Errors: 42704 unknown model, 42P01 its source is gone.';

CREATE FUNCTION leadscore._are_responses(model text, activity text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN EXISTS (SELECT FROM leadscore.sla s WHERE s.model = _are_responses.model AND s.response_activity = activity);
END
$$;
COMMENT ON FUNCTION leadscore._are_responses(text, text) IS
'Internal: are the events of an activity source responses by which a service level is kept?  So that whoever asks the doctor need not be able to read service levels.';

CREATE FUNCTION leadscore._doctor(model text)
RETURNS TABLE (finding text, object text, detail text, remedy text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	m		leadscore.model;
	a		leadscore.attachment;
	w		leadscore.watched;
	s		leadscore.activity_source;
	r		record;
	n		bigint;
	state	regclass := to_regclass(format('leadscore.%I', _doctor.model || '_state'));
	mend	text := format('SELECT leadscore.repair(%L);', _doctor.model);
	stale	text;
BEGIN
	SELECT * INTO m FROM leadscore.model WHERE name = _doctor.model;
	SELECT * INTO a FROM leadscore.attachment WHERE attachment.model = m.name;

	-- rules
	FOR r IN SELECT p.rule, p.message FROM leadscore.problem p JOIN leadscore.rule ON rule.id = p.rule
			 WHERE p.model = m.name AND p.lead_key IS NULL AND NOT rule.enabled ORDER BY p.rule LOOP
		RETURN QUERY SELECT 'rule_disabled', format('rule %s', r.rule), r.message,
			format('Mend its condition in leadscore.rule and set enabled; or SELECT leadscore.check_rules(%L);', m.name);
	END LOOP;
	FOR r IN SELECT p.message, p.last_seen FROM leadscore.problem p
			 WHERE p.model = m.name AND p.rule IS NULL AND p.lead_key IS NULL LOOP
		RETURN QUERY SELECT 'model_problem', m.name, r.message, format('See leadscore.problem; then %s', mend);
	END LOOP;
	SELECT count(*), min(p.message) INTO r FROM leadscore.problem p WHERE p.model = m.name AND p.lead_key IS NOT NULL;
	IF r.count > 0 THEN
		RETURN QUERY SELECT 'lead_problems', m.name, format('%s problems with leads, for example: %s', r.count, r.min),
			'See leadscore.problem; guard conditions that fail: CASE WHEN ... THEN ... END.'::text;
	END IF;

	-- other expressions, which are taken for unknown as long as they cannot be used
	IF EXISTS (SELECT FROM pg_class c WHERE c.oid = coalesce(m.source, m.target)) THEN
		RETURN QUERY SELECT b.finding, b.object, b.message,
			CASE b.finding WHEN 'model_expression' THEN 'Mend it in leadscore.model.'
				 WHEN 'transition_condition' THEN 'Mend it in leadscore.transition; until then nobody makes the move.'
				 ELSE 'Mend it in leadscore.sla.' END
			FROM leadscore._broken_expressions(m.name) b;
	END IF;

	-- activity sources
	FOR s IN SELECT * FROM leadscore.activity_source WHERE activity_source.model = m.name ORDER BY name LOOP
		IF to_regclass(s.relation_name) <> s.relation THEN
			RETURN QUERY SELECT 'activity_source_swapped', format('activity source "%s"', s.name),
				CASE WHEN EXISTS (SELECT FROM pg_class c WHERE c.oid = s.relation)
					 THEN format('Its table %s is now called %s, and another has its name.', s.relation_name, s.relation)
					 ELSE format('Its table %s was dropped, and another has its name.', s.relation_name) END,
				CASE WHEN a.model IS NOT NULL THEN mend
					 ELSE format('UPDATE leadscore.activity_source SET relation = %L WHERE model = %L AND name = %L;', s.relation_name, m.name, s.name) END;
		ELSIF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = s.relation) THEN
			RETURN QUERY SELECT 'activity_source_missing', format('activity source "%s"', s.name),
				format('Its table %s was dropped; no event counts.', s.relation_name),
				format('UPDATE leadscore.activity_source SET relation = ''...'' WHERE model = %L AND name = %L;', m.name, s.name)
				|| CASE WHEN a.model IS NULL THEN '' ELSE ' ' || mend END;
		END IF;
		IF NOT EXISTS (SELECT FROM leadscore.rule WHERE rule.model = m.name AND rule.activity = s.name)
			AND NOT leadscore._are_responses(m.name, s.name) THEN
			RETURN QUERY SELECT 'activity_source_unused', format('activity source "%s"', s.name), 'No rule counts its events.'::text,
				'Write rules with its name in the column activity, or delete it.'::text;
		END IF;
	END LOOP;

	-- playbook
	IF EXISTS (SELECT FROM pg_class c WHERE c.oid = coalesce(m.source, m.target)) THEN
		RETURN QUERY SELECT 'playbook_condition', format('row %s of the playbook', p.playbook), p.message,
			'Mend its condition in leadscore.playbook.'::text
			FROM leadscore.check_playbook(m.name) p ORDER BY p.playbook;
	END IF;

	IF a.model IS NULL THEN
		FOR r IN SELECT * FROM leadscore._present_triggers(m.name) LOOP
			RETURN QUERY SELECT 'trigger_left_over', format('%I on %s', r.trigger, r.relation), 'The model is not attached.'::text,
				format('SELECT leadscore.detach(%L);', m.name);
		END LOOP;
		RETURN;
	END IF;

	-- relations
	IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = a.target) THEN
		RETURN QUERY SELECT CASE WHEN to_regclass(a.target_name) IS NULL THEN 'target_missing' ELSE 'target_swapped' END, a.target_name,
			CASE WHEN to_regclass(a.target_name) IS NULL THEN 'The table of the leads was dropped.'
				 ELSE 'The table of the leads was dropped, and another has its name.' END,
			CASE WHEN to_regclass(a.target_name) IS NULL THEN format('SELECT leadscore.detach(%L);', m.name) ELSE mend END;
		RETURN;
	ELSIF to_regclass(a.target_name) <> a.target THEN
		RETURN QUERY SELECT 'target_swapped', a.target_name,
			format('The table of the leads is now called %s, and another has its name.', a.target), mend;
	END IF;
	IF a.source IS NOT NULL AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = a.source) THEN
		RETURN QUERY SELECT CASE WHEN to_regclass(a.source_name) IS NULL THEN 'source_missing' ELSE 'source_swapped' END, a.source_name,
			'The source of the model was dropped; its leads are not scored.'::text,
			CASE WHEN to_regclass(a.source_name) IS NULL THEN 'Create it again; then ' || mend ELSE mend END;
		RETURN;
	END IF;
	FOR w IN SELECT * FROM leadscore.watched WHERE watched.model = m.name ORDER BY relation_name LOOP
		IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = w.relation) THEN
			RETURN QUERY SELECT 'watched_missing', w.relation_name, 'A table that is watched was dropped.'::text, mend;
		ELSIF to_regclass(w.relation_name) <> w.relation THEN
			RETURN QUERY SELECT 'watched_swapped', w.relation_name,
				format('A table that is watched is now called %s, and another has its name.', w.relation), mend;
		END IF;
	END LOOP;
	IF NOT EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = a.target AND t.attname = a.key_column AND NOT t.attisdropped)
		OR NOT EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = coalesce(a.source, a.target) AND t.attname = a.key_column AND NOT t.attisdropped) THEN
		RETURN QUERY SELECT 'key_column_missing', a.key_column::text, 'The column that identifies leads is gone; they are not scored.'::text,
			format('SELECT leadscore.detach(%1$L); set key_column in leadscore.model; SELECT leadscore.attach(%1$L);', m.name);
		RETURN;
	END IF;
	IF state IS NULL THEN
		RETURN QUERY SELECT 'state_table_missing', format('leadscore.%I', m.name || '_state'), 'Leads are not scored.'::text, mend;
		RETURN;
	END IF;
	IF to_regclass(format('leadscore.%I', m.name || '_scored')) IS NULL THEN
		RETURN QUERY SELECT 'scored_view_missing', format('leadscore.%I', m.name || '_scored'), 'Nobody can read the scores.'::text, mend;
	END IF;
	RETURN QUERY SELECT 'state_table_incomplete', state::text,
		format('Its %s is missing%s.', p.part, CASE p.part WHEN 'primary key' THEN '; leads are not scored' ELSE '' END), mend
		FROM leadscore._missing_state_parts(m.name) p;
	IF (SELECT c.relowner FROM pg_class c WHERE c.oid = a.target) <> (SELECT c.relowner FROM pg_class c WHERE c.oid = state) THEN
		RETURN QUERY SELECT 'owner_changed', state::text, 'The table of the leads belongs to somebody else now.'::text, mend;
	END IF;
	IF leadscore._key_type(m.name) <> leadscore._state_key_type(m.name) THEN
		RETURN QUERY SELECT 'key_type_changed', format('%s.%I', a.target, a.key_column),
			format('The key has type %s, in the states %s; leads are not scored.', leadscore._key_type(m.name), leadscore._state_key_type(m.name)), mend;
		RETURN;
	END IF;

	-- triggers
	FOR r IN
		SELECT x.relation, x.trigger, p.enabled, c.relispartition OR i.inhrelid IS NOT NULL AS part,
			   strpos(x.definition, 'leadscore.capture_activity(') > 0 AS of_events
		FROM leadscore._expected_triggers(m.name) x
		LEFT JOIN leadscore._present_triggers(m.name) p
			ON p.relation = x.relation AND p.trigger = x.trigger AND p.definition = x.definition
		JOIN pg_class c ON c.oid = x.relation
		LEFT JOIN pg_inherits i ON i.inhrelid = x.relation
		WHERE p.enabled IS NOT TRUE ORDER BY x.relation::text, x.trigger
	LOOP
		RETURN QUERY SELECT CASE WHEN r.enabled IS NULL THEN 'trigger_missing' ELSE 'trigger_disabled' END,
			format('%I on %s', r.trigger, r.relation),
			CASE WHEN r.enabled IS NOT NULL THEN 'It does not fire always.'
				 WHEN r.part AND r.of_events THEN 'The table became a part of the events'' table later.'
				 WHEN r.part THEN 'The table became a part of the leads'' table later.'
				 WHEN r.of_events THEN 'Events that are written to the table are not counted.'
				 ELSE 'What is written to the table is not scored.' END, mend;
	END LOOP;
	FOR r IN
		SELECT t.tgrelid::regclass AS relation, t.tgname FROM pg_trigger t
		WHERE t.tgparentid <> 0 AND t.tgenabled <> 'A'
		  AND t.tgfoid IN ('leadscore.capture'::regproc, 'leadscore.write_back'::regproc,
						   'leadscore.capture_watched'::regproc, 'leadscore.capture_activity'::regproc)
		  AND substring(t.tgargs, 1, octet_length(m.name) + 1)
			  = convert_to(m.name, getdatabaseencoding()) || '\x00'::bytea
	LOOP
		RETURN QUERY SELECT 'trigger_disabled', format('%I on %s', r.tgname, r.relation), 'It does not fire always.'::text,
			mend;
	END LOOP;
	FOR r IN
		SELECT p.relation, p.trigger FROM leadscore._present_triggers(m.name) p
		WHERE NOT EXISTS (SELECT FROM leadscore._expected_triggers(m.name) x
						  WHERE x.relation = p.relation AND x.trigger = p.trigger AND x.definition = p.definition)
	LOOP
		RETURN QUERY SELECT 'trigger_left_over', format('%I on %s', r.trigger, r.relation), 'It is not one that the model needs.'::text, mend;
	END LOOP;
	FOR r IN
		SELECT c.lead_column FROM (VALUES (a.score_column), (a.temperature_column), (a.grade_column), (a.stage_column)) c(lead_column)
		WHERE c.lead_column IS NOT NULL
		  AND NOT EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = a.target AND t.attname = c.lead_column AND NOT t.attisdropped)
	LOOP
		RETURN QUERY SELECT 'write_back_column_missing', format('%s.%I', a.target, r.lead_column), 'The column that was written back to is gone.'::text,
			format('SELECT leadscore.attach(%L, ...) with the columns that there are.', m.name);
	END LOOP;

	-- activities
	FOR r IN SELECT * FROM leadscore._slow_activities(m.name) LOOP
		RETURN QUERY SELECT 'activity_index_missing', r.relation::text,
			format('It has no index by which the events of a lead can be found for activity source "%s".', r.activity), r.definition;
	END LOOP;
	SELECT count(*) INTO n FROM leadscore.pending_activity p
	WHERE p.model = m.name AND p.due_at <= statement_timestamp() - interval '1 hour';
	IF n > 0 THEN
		RETURN QUERY SELECT 'pending_activities', state::text,
			format('%s activities are due for an hour or more and not in their lead''s state; those who read the lead add them each time.', n),
			'CALL leadscore.advance(); and have a scheduler call it.'::text;
	END IF;

	-- rows; these read all leads
	BEGIN
		FOR r IN EXECUTE format('SELECT l.%1$I::text AS key, count(*) FROM %2$s l WHERE l.%1$I IS NOT NULL GROUP BY l.%1$I HAVING count(*) > 1 ORDER BY 2 DESC, 1 LIMIT 1',
								a.key_column, coalesce(a.source, a.target)) LOOP
			RETURN QUERY SELECT 'duplicate_keys', format('%s.%I', coalesce(a.source, a.target), a.key_column),
				format('Several rows have one key, for example %s rows %s; one of them is scored.', r.count, r.key),
				'Have the source show one row per lead.'::text;
		END LOOP;
		EXECUTE format('SELECT count(*) FROM %s s WHERE s.lead_exists AND NOT EXISTS (SELECT FROM %s l WHERE l.%I = s.lead_key)',
					   state, coalesce(a.source, a.target), a.key_column) INTO n;
		IF n > 0 THEN
			RETURN QUERY SELECT 'orphaned_states', state::text, format('%s states belong to no lead.', n), mend;
		END IF;
		n := leadscore._unscored_leads(m.name);
		IF n > 0 THEN
			RETURN QUERY SELECT 'unscored_leads', coalesce(a.source, a.target)::text, format('%s leads have no state.', n), format('CALL leadscore.rescore(%L);', m.name);
		END IF;
		n := (leadscore._state_counts(m.name)).stale;
		IF n > 0 THEN
			RETURN QUERY SELECT 'stale_states', state::text, format('%s leads were scored by older rules.', n), format('CALL leadscore.rescore(%L);', m.name);
		END IF;
		-- (attaching takes leads as they are, and says of no status that it stands for no stage)
		IF m.status IS NOT NULL AND has_table_privilege('leadscore.stage_map', 'SELECT') THEN
			FOR r IN EXECUTE format('SELECT s.status, count(*) FROM %s s WHERE s.lead_exists AND s.status IS NOT NULL
									 AND NOT EXISTS (SELECT FROM leadscore.stage_map p WHERE p.model = %L AND p.status = s.status)
									 GROUP BY s.status ORDER BY 2 DESC, 1', state, m.name) LOOP
				-- without a map, a status is the name of a stage
				BEGIN
					CONTINUE WHEN NOT EXISTS (SELECT FROM leadscore.stage_map p WHERE p.model = m.name)
						AND r.status::leadscore.lead_stage IS NOT NULL;
				EXCEPTION WHEN invalid_text_representation THEN
					NULL;
				END;
				RETURN QUERY SELECT 'status_unmapped', format('status "%s"', r.status),
					format('It stands for no stage; %s leads have it, and are in the stage in which they were before.', r.count),
					CASE WHEN EXISTS (SELECT FROM leadscore.stage_map p WHERE p.model = m.name)
						 THEN format('INSERT INTO leadscore.stage_map (model, status, stage) VALUES (%1$L, %2$L, ''...''); CALL leadscore.rescore(%1$L, move_stages => true);', m.name, r.status)
						 ELSE format('Map all statuses in leadscore.stage_map, those as well that are names of stages; then CALL leadscore.rescore(%L, move_stages => true);', m.name) END;
			END LOOP;
		END IF;
		SELECT count(*) INTO n FROM leadscore.unsettled_lead l WHERE l.model = m.name;
		IF n > 0 THEN
			RETURN QUERY SELECT 'unsettled_leads', state::text, format('%s leads may show an old look-up.', n), mend;
		END IF;
		stale := leadscore._write_back_is_stale(m.name, 'l', 's');
		IF stale IS NOT NULL THEN
			EXECUTE format('SELECT count(*) FROM %s l JOIN %s s ON s.lead_key = l.%I WHERE %s', a.target, state, a.key_column, stale) INTO n;
			IF n > 0 THEN
				RETURN QUERY SELECT 'write_back_stale', a.target::text, format('%s leads show another value than their state.', n),
					format('CALL leadscore.rescore(%L, write_back => true);', m.name);
			END IF;
		END IF;
	EXCEPTION WHEN insufficient_privilege THEN
		RETURN QUERY SELECT 'not_examined', m.name, format('The leads could not be examined: %s', SQLERRM), 'Let the owner of the leads'' table ask.'::text;
	END;
END
$$;
COMMENT ON FUNCTION leadscore._doctor(text) IS
'Internal: what leadscore.doctor() says of one model.';

CREATE FUNCTION leadscore.doctor(model text DEFAULT NULL)
RETURNS TABLE (model text, finding text, object text, detail text, remedy text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.name, d.finding, d.object, d.detail, d.remedy
	FROM leadscore.model m, LATERAL leadscore._doctor(m.name) d
	WHERE doctor.model IS NULL OR m.name = doctor.model
	UNION ALL
	SELECT doctor.model, 'unknown_model', doctor.model, 'There is no such model.', 'SELECT name FROM leadscore.model;'
	WHERE NOT EXISTS (SELECT FROM leadscore.model m WHERE m.name = doctor.model) AND doctor.model IS NOT NULL
	UNION ALL
	SELECT NULL, 'foreign_trigger', format('%I on %s', t.tgname, t.tgrelid::regclass),
		   'A trigger on a table of leadscore does not belong to it; it could run code with the owner''s rights.',
		   format('DROP TRIGGER %I ON %s;', t.tgname, t.tgrelid::regclass)
	FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = t.tgrelid
	JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid AND e.extname = 'leadscore'
	WHERE NOT t.tgisinternal AND p.pronamespace <> 'leadscore'::regnamespace
	ORDER BY 1, 2, 3, 4
$$;
COMMENT ON FUNCTION leadscore.doctor(text) IS
'Lists what is wrong with a model (NULL: with any), and how to mend it; no row if all is well, one for an unknown model.  remedy is SQL, or says what to do.  Reads all leads; without the privilege to it says so.  Errors: 42501 no SELECT privilege on leadscore.model and the tables beside.';

CREATE FUNCTION leadscore._state_key_type(model text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format_type(a.atttypid, -1) || CASE WHEN a.attcollation IN (0, 100) THEN ''
		   ELSE (SELECT format(' COLLATE %I.%I', n.nspname, c.collname)
				 FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE c.oid = a.attcollation) END
	FROM pg_attribute a
	WHERE a.attrelid = to_regclass(format('leadscore.%I', model || '_state')) AND a.attname = 'lead_key'
$$;
COMMENT ON FUNCTION leadscore._state_key_type(text) IS
'Internal: type of the keys in a state table, as leadscore._key_type() has it.';

CREATE FUNCTION leadscore._follow_key_type(model text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	type		text := leadscore._key_type(model);
	view		regclass := to_regclass(format('leadscore.%I', model || '_scored'));
	grants		aclitem[] := (SELECT c.relacl FROM pg_class c WHERE c.oid = view);
	dependents	text;
	g			record;
BEGIN
	IF type IS NOT DISTINCT FROM leadscore._state_key_type(model) THEN
		RETURN false;
	END IF;
	SELECT string_agg(DISTINCT r.ev_class::regclass::text, ', ') INTO dependents
	FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
	WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = view AND r.ev_class <> view;
	IF dependents IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'dependent_objects_still_exist',
			MESSAGE = format('keys of scoring model "%s" cannot become %s', model, type),
			DETAIL = format('Other views read leadscore.%I: %s.', model || '_scored', dependents),
			HINT = format('Drop them, call leadscore.repair(%L), and create them again.', model);
	END IF;
	EXECUTE format('DROP VIEW IF EXISTS leadscore.%I', model || '_scored');
	EXECUTE format('DROP POLICY IF EXISTS lead_visible ON leadscore.%I', model || '_state');
	-- as its owner, who may have put constraints on it that call functions
	PERFORM leadscore._run_as_owner_of(format('leadscore.%I', model || '_state')::regclass,
		format('ALTER TABLE leadscore.%I ALTER COLUMN lead_key TYPE %s USING lead_key::text::%s',
			   model || '_state', type, split_part(type, ' COLLATE ', 1)));
	EXECUTE format('CREATE POLICY lead_visible ON leadscore.%I FOR SELECT USING (leadscore.lead_visible(%L, lead_key))', model || '_state', model);
	PERFORM leadscore._create_scored_view(model);
	FOR g IN SELECT e.privilege_type, e.is_grantable, CASE e.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(e.grantee)) END AS grantee
			 FROM aclexplode(grants) e
			 WHERE e.grantee <> (SELECT c.relowner FROM pg_class c WHERE c.oid = format('leadscore.%I', model || '_scored')::regclass) LOOP
		EXECUTE format('GRANT %s ON leadscore.%I TO %s%s', g.privilege_type, model || '_scored', g.grantee,
					   CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
	END LOOP;
	RETURN true;
END
$$;
COMMENT ON FUNCTION leadscore._follow_key_type(text) IS
'Internal: gives the state table the type that the leads'' key has now; was there anything to do?';

CREATE FUNCTION leadscore._follow_row_security(model text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	forced	boolean := (SELECT c.relforcerowsecurity FROM leadscore.attachment a JOIN pg_class c ON c.oid = a.target
						WHERE a.model = _follow_row_security.model);
	state	regclass := to_regclass(format('leadscore.%I', _follow_row_security.model || '_state'));
BEGIN
	IF forced IS NOT DISTINCT FROM (SELECT c.relforcerowsecurity FROM pg_class c WHERE c.oid = state) THEN
		RETURN false;
	END IF;
	EXECUTE format('ALTER TABLE %s %s ROW LEVEL SECURITY', state, CASE WHEN forced THEN 'FORCE' ELSE 'NO FORCE' END);
	RETURN true;
END
$$;
COMMENT ON FUNCTION leadscore._follow_row_security(text) IS
'Internal: has row security of the leads'' table hold for the owner of the states if it does for that of the leads; was there anything to do?';

CREATE FUNCTION leadscore._repair(model text) RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	a		leadscore.attachment;
	w		leadscore.watched;
	s		leadscore.activity_source;
	replacement	regclass;
	new_source	regclass;
	owner	name;
	state	text := format('leadscore.%I', _repair.model || '_state');
	done	text[] := '{}';
	n		bigint;
BEGIN
	SELECT * INTO a FROM leadscore.attachment WHERE attachment.model = _repair.model FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('scoring model "%s" is not attached', _repair.model),
			HINT = format('Call leadscore.attach(%L) first.', _repair.model);
	END IF;

	-- relations that others took the place of; a table may have taken the view with
	-- it, and the model is checked with both
	replacement := a.target;
	IF to_regclass(a.target_name) IS NOT NULL THEN
		replacement := to_regclass(a.target_name);
	ELSIF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = a.target) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_table',
			MESSAGE = format('the leads'' table %s of scoring model "%s" was dropped', a.target_name, a.model),
			HINT = format('Create it again, or call leadscore.detach(%L).', a.model);
	END IF;
	new_source := a.source;
	IF a.source = a.target THEN
		new_source := replacement;
	ELSIF a.source IS NOT NULL AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = a.source) THEN
		new_source := to_regclass(a.source_name);
		IF new_source IS NULL THEN
			RAISE EXCEPTION USING
				ERRCODE = 'undefined_table',
				MESSAGE = format('the source %s of scoring model "%s" was dropped', a.source_name, a.model),
				HINT = format('Create it again, or call leadscore.detach(%L).', a.model);
		END IF;
	END IF;
	IF replacement <> a.target OR new_source <> a.source THEN
		UPDATE leadscore.attachment SET target = replacement, source = new_source WHERE attachment.model = a.model;
		UPDATE leadscore.model SET target = replacement, source = new_source WHERE name = a.model;
		IF replacement <> a.target THEN
			done := done || format('scores the leads of the new table %s', replacement);
		END IF;
		IF new_source <> a.source AND a.source <> a.target THEN
			done := done || format('reads the new source %s', new_source);
		END IF;
	END IF;
	FOR w IN SELECT * FROM leadscore.watched WHERE watched.model = a.model LOOP
		replacement := to_regclass(w.relation_name);
		IF replacement IS NOT NULL AND replacement <> w.relation THEN
			UPDATE leadscore.watched SET relation = replacement WHERE watched.model = a.model AND relation = w.relation;
			done := done || format('watches the new table %s', replacement);
		ELSIF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = w.relation) THEN
			DELETE FROM leadscore.watched WHERE watched.model = a.model AND relation = w.relation;
			done := done || format('watches %s no longer', w.relation_name);
		END IF;
	END LOOP;
	FOR s IN SELECT * FROM leadscore.activity_source WHERE activity_source.model = a.model ORDER BY name LOOP
		replacement := to_regclass(s.relation_name);
		IF replacement <> s.relation THEN
			UPDATE leadscore.activity_source SET relation = replacement WHERE activity_source.model = a.model AND name = s.name;
			done := done || format('counts the events of the new table %s', replacement);
		END IF;
	END LOOP;
	SELECT * INTO a FROM leadscore.attachment WHERE attachment.model = _repair.model;
	DELETE FROM leadscore.problem WHERE problem.model = a.model AND rule IS NULL AND lead_key IS NULL;
	PERFORM leadscore.check_rules(a.model);
	PERFORM leadscore._require_attachable(a.model, '{}');
	IF (SELECT c.relkind <> 'f' FROM pg_class c WHERE c.oid = a.target) THEN
		EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', a.target);
	END IF;

	-- state table and view
	IF to_regclass(state) IS NULL THEN
		PERFORM leadscore._create_state_table(a.model);
		PERFORM leadscore._backfill(a.model);
		PERFORM leadscore._finish_state_table(a.model);
		done := done || format('created %s', state);
	ELSIF leadscore._follow_key_type(a.model) THEN
		done := done || format('changed the type of keys in %s', state);
	END IF;
	done := done || ARRAY(SELECT format('made the %s of %s', p, state) FROM leadscore._complete_state_table(a.model) p);
	IF to_regclass(format('leadscore.%I', a.model || '_scored')) IS NULL THEN
		PERFORM leadscore._create_scored_view(a.model);
		done := done || format('created leadscore.%I', a.model || '_scored');
	END IF;
	SELECT pg_get_userbyid(c.relowner) INTO owner FROM pg_class c WHERE c.oid = a.target;
	IF owner <> (SELECT pg_get_userbyid(c.relowner) FROM pg_class c WHERE c.oid = state::regclass) THEN
		EXECUTE format('ALTER TABLE %s OWNER TO %I', state, owner);
		EXECUTE format('ALTER VIEW leadscore.%I OWNER TO %I', a.model || '_scored', owner);
		done := done || format('gave states and view to %I', owner);
	END IF;

	IF leadscore._follow_row_security(a.model) THEN
		done := done || 'row security follows the leads'' table'::text;
	END IF;
	done := done || ARRAY(SELECT t FROM leadscore._install_triggers(a.model) t);
	PERFORM leadscore._index_match_values(a.model);
	n := leadscore._rebuild_all(a.model) + leadscore._rescore_all(a.model);
	IF n > 0 THEN
		done := done || format('brought %s states up to date', n);
	END IF;
	EXECUTE format('DELETE FROM leadscore.problem p WHERE p.model = $1 AND p.lead_key IS NOT NULL
					AND NOT EXISTS (SELECT FROM %s s WHERE s.lead_key::text = p.lead_key)', state) USING a.model;
	RETURN done;
END
$$;
COMMENT ON FUNCTION leadscore._repair(text) IS
'Internal: what leadscore.repair() does.';

CREATE FUNCTION leadscore.repair(model text) RETURNS text[]
AS 'MODULE_PATHNAME', 'leadscore_act_as_owner'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.repair(text) IS
'Mends what leadscore.doctor() finds as far as it can be mended: follows tables that a loader swapped, those of events included, makes what is missing, brings triggers back and all states up to date; returns what it did, in words.  Writers wait until commit.  The caller owns what attach() wants him to, and the tables that took the place of others.  Errors: 22004 model NULL, 42704 unknown model, 42501 not the owner, 55000 not attached, 42P01 a table is gone and none has its name, and those of attach().';

/* What only the extension itself may call. */
DO $$
DECLARE
	f pg_catalog.regprocedure;
BEGIN
	FOR f IN
		SELECT p.oid FROM pg_catalog.pg_proc p
		WHERE p.pronamespace = 'leadscore'::pg_catalog.regnamespace
		  AND p.proname IN ('_install_triggers', '_create_state_table', '_complete_state_table', '_finish_state_table', '_create_scored_view',
							'_require_attachable', '_backfill', '_begin_history', '_rescore_batch', '_rescore_lead', '_rescore_all',
							'_wait_for_writers', '_attach', '_detach', '_watch', '_unwatch', '_run_as_owner_of',
							'_write_back_batch', '_rescore_step', '_index_match_values', '_rebuild', '_recompute_leads', '_rebuild_all', '_advance_batch', '_advance_step', '_follow_key_type', '_follow_row_security', '_repair')
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
	END LOOP;
END
$$;

/* ----------------------------------------------------------------------
 * 6. Stages: moves, history, hand-off, SLA, playbook, funnel, plan
 *
 * The C code moves leads along leadscore.transition and writes leadscore.history;
 * all reports are made from the latter.
 * ----------------------------------------------------------------------
 */

--
-- History
--

CREATE FUNCTION leadscore.next_xact_order() RETURNS integer
AS 'MODULE_PATHNAME', 'leadscore_next_xact_order'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.next_xact_order() IS
'The next number of a row that this transaction writes into leadscore.history, from 1 on';

CREATE TABLE leadscore.history (
	at				timestamptz NOT NULL,
	xact			xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
	xact_order		integer NOT NULL DEFAULT leadscore.next_xact_order(),
	recorded_at		timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	model			text COLLATE "C" NOT NULL,
	lead_key		text COLLATE "C" NOT NULL,
	cause			text COLLATE "C" NOT NULL,
	automatic		boolean NOT NULL DEFAULT false,
	listed			boolean NOT NULL DEFAULT true,
	from_stage		leadscore.lead_stage,
	to_stage		leadscore.lead_stage NOT NULL,
	from_temperature text COLLATE "C",
	temperature		text COLLATE "C" NOT NULL,
	from_grade		text COLLATE "C",
	grade			text COLLATE "C" NOT NULL,
	from_score		integer,
	score			integer NOT NULL,
	fit				double precision NOT NULL,
	engagement		double precision NOT NULL,
	disqualified	boolean NOT NULL DEFAULT false,
	channel			text,
	announced		text COLLATE "C",
	rules			bigint[],
	rules_version	bigint NOT NULL DEFAULT 0,
	changed_by		text NOT NULL DEFAULT SESSION_USER,
	reason			text
) PARTITION BY RANGE (at);
-- Indexes belong to the partitions: those of the whole would be made twice as a
-- dump with a partition that is no member of the extension is restored
CREATE TABLE leadscore.history_default PARTITION OF leadscore.history (PRIMARY KEY (xact, xact_order, at)) DEFAULT;
CREATE INDEX history_default_lead_idx ON leadscore.history_default (model, lead_key, at);
/* rows come nearly in the order of their time */
CREATE INDEX history_default_at_idx ON leadscore.history_default USING brin (at);
COMMENT ON TABLE leadscore.history IS
'History: one row for every change of a lead''s fit, temperature, grade or stage.  Rows are only ever added; leadscore.drop_history() and leadscore.forget() alone remove any.  Rows go along with a model that is renamed, and outlive one that is deleted.  Of one lead, the order is (at, xact, xact_order).  leadscore.add_history_partition() makes partitions; one that is no longer wanted is detached, and dropped.';
COMMENT ON COLUMN leadscore.history.at IS 'When the change was true; no two transactions change a lead at the same time.';
COMMENT ON COLUMN leadscore.history.xact IS 'Transaction that recorded it: see leadscore.changes().';
COMMENT ON COLUMN leadscore.history.xact_order IS 'Order of the rows of a transaction.';
COMMENT ON COLUMN leadscore.history.recorded_at IS 'When it was recorded: later than at if time alone made the change and nobody looked.';
COMMENT ON COLUMN leadscore.history.model IS 'Model by which the lead was scored, by the name that it has now, or had last.';
COMMENT ON COLUMN leadscore.history.lead_key IS 'Key of the lead, as text.';
COMMENT ON COLUMN leadscore.history.cause IS 'attach, row (the lead''s own row was written), event, decay (time alone), lookup, rules, manual (move), accept, reject, status (the CRM''s own status), pin, unpin, key (the lead changed its key: reason says from which).';
COMMENT ON COLUMN leadscore.history.automatic IS 'Was the stage moved by an automatic transition?';
COMMENT ON COLUMN leadscore.history.listed IS 'Is the move of the stage in leadscore.transition?';
COMMENT ON COLUMN leadscore.history.from_stage IS 'Stage before; NULL in the first row of a lead.  The stage was moved if it differs from to_stage.';
COMMENT ON COLUMN leadscore.history.to_stage IS 'Stage from then on.';
COMMENT ON COLUMN leadscore.history.from_temperature IS 'Temperature before; NULL in the first row of a lead.';
COMMENT ON COLUMN leadscore.history.temperature IS 'Temperature from then on.';
COMMENT ON COLUMN leadscore.history.from_grade IS 'Grade before; NULL in the first row of a lead.';
COMMENT ON COLUMN leadscore.history.grade IS 'Grade from then on.';
COMMENT ON COLUMN leadscore.history.from_score IS 'Score as it was last recorded; NULL in the first row of a lead.';
COMMENT ON COLUMN leadscore.history.score IS 'Score at that moment.';
COMMENT ON COLUMN leadscore.history.fit IS 'Total of the fit axis at that moment.';
COMMENT ON COLUMN leadscore.history.engagement IS 'Total of the engagement axis at that moment.';
COMMENT ON COLUMN leadscore.history.disqualified IS 'Did a disqualifying rule match?';
COMMENT ON COLUMN leadscore.history.channel IS 'Acquisition channel of the lead.';
COMMENT ON COLUMN leadscore.history.announced IS 'Temperature that was announced with this change; NULL: none was.';
COMMENT ON COLUMN leadscore.history.rules IS 'Rules that spoke from then on; NULL: not looked up.';
COMMENT ON COLUMN leadscore.history.rules_version IS 'Version of the model.';
COMMENT ON COLUMN leadscore.history.changed_by IS 'Who was logged in to the session that made the change.';
COMMENT ON COLUMN leadscore.history.reason IS 'What was given as a reason.';
DO $$
DECLARE
	c record;
BEGIN
	COMMENT ON TABLE leadscore.history_default IS 'Rows of leadscore.history that no other partition is for.';
	FOR c IN SELECT a.attname, pg_catalog.col_description(a.attrelid, a.attnum) AS comment
			 FROM pg_catalog.pg_attribute a WHERE a.attrelid = 'leadscore.history'::pg_catalog.regclass AND a.attnum > 0
	LOOP
		EXECUTE pg_catalog.format('COMMENT ON COLUMN leadscore.history_default.%I IS %L', c.attname, c.comment);
	END LOOP;
END
$$;
SELECT pg_catalog.pg_extension_config_dump('leadscore.history_default', '');

CREATE FUNCTION leadscore.history_guard() RETURNS trigger
AS 'MODULE_PATHNAME', 'leadscore_history_guard'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.history_guard() IS
'Trigger on leadscore.history: rows are only ever added.  Errors: 55000 unless leadscore.drop_history() or leadscore.forget() removes some.';
CREATE TRIGGER history_guard BEFORE UPDATE OR DELETE ON leadscore.history
	FOR EACH ROW EXECUTE FUNCTION leadscore.history_guard();
CREATE TRIGGER history_guard_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON leadscore.history
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.history_guard();
CREATE TRIGGER history_guard_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON leadscore.history_default
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.history_guard();
ALTER TABLE leadscore.history ENABLE ALWAYS TRIGGER history_guard;
ALTER TABLE leadscore.history ENABLE ALWAYS TRIGGER history_guard_statement;
ALTER TABLE leadscore.history_default ENABLE ALWAYS TRIGGER history_guard_statement;

CREATE FUNCTION leadscore.rename_history() RETURNS trigger
AS 'MODULE_PATHNAME', 'leadscore_rename_history'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.rename_history() IS
'Trigger on leadscore.model: has the history of a model that is renamed go by its new name.  Errors: 55000 there is history of another model that was called so.';
CREATE TRIGGER rename_history AFTER UPDATE OF name ON leadscore.model
	FOR EACH ROW EXECUTE FUNCTION leadscore.rename_history();
ALTER TABLE leadscore.model ENABLE ALWAYS TRIGGER rename_history;

CREATE FUNCTION leadscore.add_history_partition(starts timestamptz, ends timestamptz, name text DEFAULT NULL) RETURNS regclass
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	partition	text := coalesce(name, 'history_' || to_char(starts AT TIME ZONE 'UTC', 'YYYYMMDD'));
BEGIN
	IF starts IS NULL OR ends IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'add_history_partition() needs the times from which on and before which it holds rows';
	END IF;
	EXECUTE format('CREATE TABLE leadscore.%I (LIKE leadscore.history_default INCLUDING ALL)', partition);
	EXECUTE format('ALTER TABLE leadscore.history ATTACH PARTITION leadscore.%I FOR VALUES FROM (%L) TO (%L)', partition, starts, ends);
	-- TRUNCATE is the one thing that a trigger of the whole does not see
	EXECUTE format('CREATE TRIGGER history_guard_statement BEFORE UPDATE OR DELETE OR TRUNCATE ON leadscore.%I
					FOR EACH STATEMENT EXECUTE FUNCTION leadscore.history_guard()', partition);
	EXECUTE format('ALTER TABLE leadscore.%1$I ENABLE ALWAYS TRIGGER history_guard, ENABLE ALWAYS TRIGGER history_guard_statement', partition);
	EXECUTE format('COMMENT ON TABLE leadscore.%I IS %L', partition, 'Rows of leadscore.history of a stretch of time.');
	RETURN format('leadscore.%I', partition)::regclass;
END
$$;
COMMENT ON FUNCTION leadscore.add_history_partition(timestamptz, timestamptz, text) IS
'Makes a partition of leadscore.history for a time that is yet to come, from starts (inclusive) to ends (exclusive), with the indexes and the guards of leadscore.history_default; returns it.  Its name is history_ and the UTC date of starts, unless name is given.  CREATE TABLE ... PARTITION OF makes one too, but then indexes and the guard against TRUNCATE are for you to add.  It reads all rows that are in no partition of their own.  The caller owns leadscore.history.  Errors: 22004 a time is NULL, 42501 not the owner, 42P07 there is such a table, 42P17 it overlaps another partition, or ends before it starts, 23514 there are rows of that time.';

CREATE FUNCTION leadscore._delete_history(model text, lead_key text, before timestamptz, since timestamptz DEFAULT NULL) RETURNS bigint
AS 'MODULE_PATHNAME', 'leadscore_delete_history'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore._delete_history(text, text, timestamptz, timestamptz) IS
'Internal: removes rows of leadscore.history of a model, of a lead, before a time, from a time on; NULL: of all.  Returns how many.';
REVOKE ALL ON FUNCTION leadscore._delete_history(text, text, timestamptz, timestamptz) FROM PUBLIC;

--
-- Transitions
--

CREATE FUNCTION leadscore._automatic_cycles(model text) RETURNS SETOF text
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	start		integer;
	ways		jsonb;
	frontier	integer[];
	ahead		integer[];
	edge		record;
BEGIN
	-- each circle is told of from its lowest stage, so that the way back to
	-- that goes over higher ones only; the shortest will do
	FOR start IN
		SELECT DISTINCT t.from_stage::integer FROM leadscore.transition t
		WHERE t.model = _automatic_cycles.model AND t.automatic ORDER BY 1
	LOOP
		ways := '{}';
		frontier := ARRAY[start];
		WHILE frontier <> '{}' AND NOT ways ? start::text LOOP
			ahead := '{}';
			FOR edge IN
				SELECT DISTINCT ON (t.to_stage::integer) t.to_stage::integer AS stage,
					   coalesce(ways ->> t.from_stage::integer::text, t.from_stage::text) || ' -> ' || t.to_stage::text AS way
				FROM leadscore.transition t
				WHERE t.model = _automatic_cycles.model AND t.automatic
				  AND t.from_stage::integer = ANY (frontier) AND t.to_stage::integer >= start
				  AND NOT ways ? t.to_stage::integer::text
				ORDER BY t.to_stage::integer, t.from_stage::integer
			LOOP
				ways := ways || jsonb_build_object(edge.stage::text, edge.way);
				ahead := ahead || edge.stage;
			END LOOP;
			frontier := ahead;
		END LOOP;
		IF ways ? start::text THEN
			RETURN NEXT ways ->> start::text;
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION leadscore._automatic_cycles(text) IS
'Internal: circles of automatic transitions of a model, such as mql -> sal -> mql, whatever their conditions; for each stage the shortest in which it is the lowest.';

CREATE FUNCTION leadscore.refuse_automatic_cycle() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	circle	record;
BEGIN
	-- one after the other, or two sessions could bring half a circle each; what
	-- follows sees what those committed that it waited for here
	PERFORM m.name FROM leadscore.model m
	WHERE m.name IN (SELECT c.model FROM changed c WHERE c.automatic)
	ORDER BY m.name FOR NO KEY UPDATE;

	SELECT m.name, a.cycle INTO circle
	FROM (SELECT DISTINCT c.model AS name FROM changed c WHERE c.automatic) m,
		 LATERAL leadscore._automatic_cycles(m.name) WITH ORDINALITY a(cycle, n)
	ORDER BY m.name, a.n LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'check_violation',
			MESSAGE = format('automatic transitions of scoring model "%s" form a cycle: %s', circle.name, circle.cycle),
			DETAIL = 'A lead could move for ever without anybody touching it.',
			HINT = 'Have one of these moves made by hand: set automatic to false.';
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION leadscore.refuse_automatic_cycle() IS
'Trigger on leadscore.transition: refuses automatic transitions by which a lead could move in a circle, whatever their conditions (23514); judged when the statement is complete';
REVOKE ALL ON FUNCTION leadscore.refuse_automatic_cycle() FROM PUBLIC;

CREATE TRIGGER check_cycles_of_inserted AFTER INSERT ON leadscore.transition REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.refuse_automatic_cycle();
CREATE TRIGGER check_cycles_of_updated AFTER UPDATE ON leadscore.transition REFERENCING NEW TABLE AS changed
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.refuse_automatic_cycle();
ALTER TABLE leadscore.transition ENABLE ALWAYS TRIGGER check_cycles_of_inserted;
ALTER TABLE leadscore.transition ENABLE ALWAYS TRIGGER check_cycles_of_updated;

CREATE FUNCTION leadscore.check_transitions(model text)
RETURNS TABLE (finding text, stage text, to_stage text, detail text)
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	m		leadscore.model;
	-- where a lead's way may end: it has bought, or it is not wanted any more
	final	CONSTANT integer[] := ARRAY['disqualified'::leadscore.lead_stage::integer, 'lost'::leadscore.lead_stage::integer,
										'customer'::leadscore.lead_stage::integer, 'advocate'::leadscore.lead_stage::integer];
	used	integer[];
	starts	integer[];
	reached	integer[];
	mapped	boolean;
BEGIN
	SELECT * INTO m FROM leadscore.model WHERE name = check_transitions.model;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('scoring model "%s" does not exist', check_transitions.model),
			HINT = 'The table leadscore.model lists the models.';
	END IF;
	mapped := EXISTS (SELECT FROM leadscore.stage_map s WHERE s.model = m.name);
	IF mapped AND m.status IS NULL THEN
		RETURN QUERY SELECT 'stage_map_unused', NULL::text, NULL::text,
			'The model has no expression status, so that nothing is looked up in its stage map.'::text;
	END IF;
	-- without any transition every move is open
	IF NOT EXISTS (SELECT FROM leadscore.transition t WHERE t.model = m.name) THEN
		RETURN;
	END IF;

	used := ARRAY(SELECT t.from_stage::integer FROM leadscore.transition t WHERE t.model = m.name
				  UNION SELECT t.to_stage::integer FROM leadscore.transition t WHERE t.model = m.name
				  UNION SELECT m.initial_stage::integer);
	-- the CRM's status may put a lead into the first stage that it means, or
	-- into any if it is the name of a stage
	starts := ARRAY[m.initial_stage::integer]
		|| CASE WHEN m.status IS NULL THEN '{}'
				WHEN mapped THEN ARRAY(SELECT coalesce(min(s.stage::integer) FILTER (WHERE s.stage OPERATOR(leadscore.=) m.initial_stage),
										min(s.stage::integer) FILTER (WHERE s.stage OPERATOR(leadscore.>=) 'nurture'), min(s.stage::integer))
								  FROM leadscore.stage_map s WHERE s.model = m.name GROUP BY s.status)
				ELSE used END;
	WITH RECURSIVE way(stage) AS (
		SELECT unnest(starts)
		UNION
		SELECT t.to_stage::integer FROM way JOIN leadscore.transition t ON t.from_stage::integer = way.stage
		WHERE t.model = m.name)
	SELECT array_agg(way.stage) INTO reached FROM way;

	RETURN QUERY
		SELECT 'unreachable_stage', l.stage::text, NULL::text,
			   format('No way leads to %s from %s.', l.stage,
					  (SELECT string_agg(i.stage::text, ', ' ORDER BY i.stage_rank)
					   || CASE WHEN count(*) > 1 THEN ', where leads start' ELSE ', where every lead starts' END
					   FROM leadscore.lead_stages() i WHERE i.stage_rank = ANY (starts)))
		FROM leadscore.lead_stages() l
		WHERE l.stage_rank = ANY (used) AND l.stage_rank <> ALL (reached)
		ORDER BY l.stage_rank;
	RETURN QUERY
		SELECT 'idle_transition', t.from_stage::text, t.to_stage::text, format('No lead can come to %s, to move on from there.', t.from_stage)
		FROM leadscore.transition t
		WHERE t.model = m.name AND t.from_stage::integer <> ALL (reached)
		ORDER BY t.from_stage::integer, t.to_stage::integer;
	RETURN QUERY
		SELECT 'dead_end', l.stage::text, NULL::text, format('Nothing leads on from %s.', l.stage)
		FROM leadscore.lead_stages() l
		WHERE l.stage_rank = ANY (used) AND l.stage_rank <> ALL (final)
		  AND NOT EXISTS (SELECT FROM leadscore.transition t WHERE t.model = m.name AND t.from_stage::integer = l.stage_rank)
		ORDER BY l.stage_rank;
	-- a circle without an exit, which no dead end explains
	RETURN QUERY
		SELECT 'closed_loop', l.stage::text, NULL::text,
			   format('Ways lead on from %s, but none to customer, advocate, lost or disqualified, where one may end.', l.stage)
		FROM leadscore.lead_stages() l
		WHERE l.stage_rank = ANY (used)
		  AND NOT EXISTS (
			WITH RECURSIVE way(stage) AS (
				SELECT l.stage_rank::integer
				UNION
				SELECT t.to_stage::integer FROM way JOIN leadscore.transition t ON t.from_stage::integer = way.stage
				WHERE t.model = m.name)
			SELECT FROM way
			WHERE way.stage = ANY (final)
			   OR NOT EXISTS (SELECT FROM leadscore.transition t WHERE t.model = m.name AND t.from_stage::integer = way.stage))
		ORDER BY l.stage_rank;
	-- refused when they are written; but somebody may have switched that off
	RETURN QUERY
		SELECT 'automatic_cycle', split_part(a.cycle, ' -> ', 1), split_part(a.cycle, ' -> ', 2),
			   format('Leads could move for ever without anybody touching them: %s.', a.cycle)
		FROM leadscore._automatic_cycles(m.name) WITH ORDINALITY a(cycle, n)
		ORDER BY a.n;

	IF NOT EXISTS (SELECT FROM unnest(reached) r(stage) WHERE r.stage >= m.accepted_stage::integer) THEN
		RETURN QUERY SELECT 'accepted_stage_unreachable', m.accepted_stage::text, NULL::text,
			format('No lead ever counts as accepted by sales: none comes to %s, the model''s accepted_stage, or beyond.', m.accepted_stage);
	END IF;
	IF m.handoff_stage::integer <> ALL (reached) THEN
		RETURN QUERY SELECT 'handoff_stage_unreachable', m.handoff_stage::text, NULL::text,
			format('No lead is ever handed to sales: none comes to %s, the model''s handoff_stage.', m.handoff_stage);
	END IF;

	RETURN QUERY
		SELECT 'attempts_not_counted', t.from_stage::text, t.to_stage::text,
			   format('Nobody can make the move: attempts to contact the lead are asked for (min_attempts), and no service level of %s has a response_activity.',
					  t.from_stage)
		FROM leadscore.transition t
		WHERE t.model = m.name AND t.min_attempts IS NOT NULL
		  AND NOT EXISTS (SELECT FROM leadscore.sla s
						  WHERE s.model = t.model AND s.stage::integer = t.from_stage::integer AND s.response_activity IS NOT NULL)
		ORDER BY t.from_stage::integer, t.to_stage::integer;
	IF mapped AND m.status IS NOT NULL THEN
		RETURN QUERY
			SELECT 'status_without_stage', (array_agg(s.stage::text ORDER BY s.stage::integer))[1], NULL::text,
				   format('Status "%s" means %s, which no transition uses.', s.status,
						  string_agg(s.stage::text, ' or ' ORDER BY s.stage::integer))
			FROM leadscore.stage_map s WHERE s.model = m.name
			GROUP BY s.status HAVING NOT bool_or(s.stage::integer = ANY (used))
			ORDER BY s.status;
		RETURN QUERY
			SELECT 'stage_without_status', l.stage::text, NULL::text, format('No status of the CRM means %s.', l.stage)
			FROM leadscore.lead_stages() l
			WHERE l.stage_rank = ANY (used)
			  AND NOT EXISTS (SELECT FROM leadscore.stage_map s WHERE s.model = m.name AND s.stage::integer = l.stage_rank)
			ORDER BY l.stage_rank;
	END IF;
END
$$;
COMMENT ON FUNCTION leadscore.check_transitions(text) IS
'Lists what looks wrong with the transitions of a model, a row each, none if all is well or if the model has no transitions.  unreachable_stage: no way leads there from the initial stage, or from a stage that the CRM''s status puts leads into; idle_transition: it leads away from such a stage; dead_end: nothing leads on from a stage that is not customer, advocate, lost or disqualified, where a lead''s way may end; closed_loop: ways lead on, but to none of these; automatic_cycle: refused when it is written, unless triggers were off; accepted_stage_unreachable, handoff_stage_unreachable: no lead ever comes to what the model names; attempts_not_counted: it asks for min_attempts, which no service level counts; status_without_stage: a status means only stages that no transition uses; stage_without_status: a stage in use that no status means; stage_map_unused: the model has no status.  NULL gives no rows.  Errors: 42704 unknown model, 42501 no SELECT privilege on the tables of the matrix.';

--
-- Moves
--

CREATE FUNCTION leadscore.move(model text, lead_key anyelement, stage leadscore.lead_stage, reason text DEFAULT NULL) RETURNS leadscore.lead_stage
AS 'MODULE_PATHNAME', 'leadscore_move'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.move(text, anyelement, leadscore.lead_stage, text) IS
'Moves a lead to a stage, along the transitions of its model, and then on as far as automatic ones lead; returns where it is.  It ends a pin.  Who may change the lead''s row may do that.  Errors: 22004 an argument but the reason is NULL, 42704 unknown model, 55000 not attached, P0002 no such lead that the caller may change, 42501 no right to change leads, 23514 the transitions do not list the move, its condition does not hold, or it asks for more attempts to contact the lead than there have been; the hint names the stages it can move to.';
CREATE FUNCTION leadscore.move(model text, lead_key text, stage leadscore.lead_stage, reason text DEFAULT NULL) RETURNS leadscore.lead_stage
AS 'MODULE_PATHNAME', 'leadscore_move'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.move(text, text, leadscore.lead_stage, text) IS
'The same, with the key of the lead as text.';
CREATE FUNCTION leadscore.pin(model text, lead_key anyelement, until timestamptz, reason text DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME', 'leadscore_pin'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.pin(text, anyelement, timestamptz, text) IS
'Keeps automatic transitions off a lead until a time (''infinity'': until unpin()); any move by hand or by the CRM''s status ends it.  Who may change the lead''s row may do that.  Errors: 22004 an argument but the reason is NULL, 42704 unknown model, 55000 not attached, P0002 no such lead that the caller may change, 42501 no right to change leads, 22023 the time has passed.';
CREATE FUNCTION leadscore.pin(model text, lead_key text, until timestamptz, reason text DEFAULT NULL) RETURNS void
AS 'MODULE_PATHNAME', 'leadscore_pin'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.pin(text, text, timestamptz, text) IS
'The same, with the key of the lead as text.';
CREATE FUNCTION leadscore.unpin(model text, lead_key anyelement, reason text DEFAULT NULL) RETURNS leadscore.lead_stage
AS 'MODULE_PATHNAME', 'leadscore_unpin'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.unpin(text, anyelement, text) IS
'Lets automatic transitions of a pinned lead go on, and makes those that are due; returns where the lead is, pinned before or not.  Who may change the lead''s row may do that.  Errors: 22004 an argument but the reason is NULL, 42704 unknown model, 55000 not attached, P0002 no such lead that the caller may change, 42501 no right to change leads.';
CREATE FUNCTION leadscore.unpin(model text, lead_key text, reason text DEFAULT NULL) RETURNS leadscore.lead_stage
AS 'MODULE_PATHNAME', 'leadscore_unpin'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.unpin(text, text, text) IS
'The same, with the key of the lead as text.';
CREATE FUNCTION leadscore.guard_state() RETURNS trigger
AS 'MODULE_PATHNAME', 'leadscore_guard_state'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.guard_state() IS
'Trigger on a model''s state table: a stage that is written there passes only along the model''s transitions.  Argument: the model.  Errors: 23514 the move is not listed, its condition does not hold, or the lead was not contacted as often as it asks for.';

CREATE FUNCTION leadscore.guard_stage() RETURNS trigger
AS 'MODULE_PATHNAME', 'leadscore_guard_stage'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.guard_stage() IS
'Trigger BEFORE UPDATE FOR EACH ROW for a table of your own with a column of type lead_stage: it passes only along the transitions of a model.  Arguments: the model, and the column if there are several.  The model need not be attached; if it is, the owner of the table owns the leads table as well.  Errors: 42704 unknown model, 42703 no such column, 42702 several, 42501 the leads are of another owner, 23514 the move is not listed, its condition does not hold, or the lead was not contacted as often as it asks for.';

--
-- Hand-off
--

CREATE FUNCTION leadscore.accept(model text, lead_key anyelement, reason text DEFAULT NULL) RETURNS leadscore.lead_stage
AS 'MODULE_PATHNAME', 'leadscore_accept'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.accept(text, anyelement, text) IS
'Sales takes over a lead that waits in the model''s hand-off stage: it moves to the first stage beyond that the transitions list; returns where it is.  Who may change the lead''s row may do that.  Errors: as move(), 55000 it is not waiting for that, or no transition leads on from the hand-off stage.';
CREATE FUNCTION leadscore.accept(model text, lead_key text, reason text DEFAULT NULL) RETURNS leadscore.lead_stage
AS 'MODULE_PATHNAME', 'leadscore_accept'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.accept(text, text, text) IS
'The same, with the key of the lead as text.';
CREATE FUNCTION leadscore.reject(model text, lead_key anyelement, reason text) RETURNS leadscore.lead_stage
AS 'MODULE_PATHNAME', 'leadscore_reject'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.reject(text, anyelement, text) IS
'Sales gives back a lead that waits in the model''s hand-off stage: it goes to nurture; returns where it is.  A reason is needed: marketing learns from it.  Who may change the lead''s row may do that.  Errors: as move(), 22004 the reason is NULL or blank as well, 55000 it is not waiting to be accepted.';
CREATE FUNCTION leadscore.reject(model text, lead_key text, reason text) RETURNS leadscore.lead_stage
AS 'MODULE_PATHNAME', 'leadscore_reject'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.reject(text, text, text) IS
'The same, with the key of the lead as text.';

CREATE FUNCTION leadscore._handoff()
RETURNS TABLE (model text, lead_key text, stage text, stage_rank integer, handed_off_at timestamptz, waiting interval,
			   score integer, temperature text, grade text, channel text, pinned_until timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m record;
BEGIN
	FOR m IN
		SELECT o.name, o.stage FROM leadscore._handoff_stages() o
		WHERE to_regclass(format('leadscore.%I', o.name || '_scored')) IS NOT NULL
		  AND has_table_privilege(to_regclass(format('leadscore.%I', o.name || '_scored')), 'SELECT')
		ORDER BY o.name
	LOOP
		RETURN QUERY EXECUTE format('SELECT %L::text, s.lead_key::text, s.stage, s.stage_rank, s.stage_since, statement_timestamp() - s.stage_since,
										   s.score, s.temperature, s.grade, s.channel, s.pinned_until
									 FROM leadscore.%I s WHERE s.stage = %L', m.name, m.name || '_scored', m.stage);
	END LOOP;
END
$$;
COMMENT ON FUNCTION leadscore._handoff() IS
'Internal: the leads that leadscore.handoff shows, of the models whose scored view the caller may read.';

CREATE FUNCTION leadscore._handoff_stages() RETURNS TABLE (name text, stage text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT m.name,
		   coalesce(m.handoff_stage,
					(SELECT leadscore.max(t.stage)
					 FROM (SELECT t.from_stage FROM leadscore.transition t WHERE t.model = m.name
						   UNION ALL SELECT t.to_stage FROM leadscore.transition t WHERE t.model = m.name) t(stage)
					 WHERE t.stage::text IN ('sal', 'mql')))::text
	FROM leadscore.attachment a JOIN leadscore.model m ON m.name = a.model;
END;
COMMENT ON FUNCTION leadscore._handoff_stages() IS
'Internal: attached models, and the stage in which their leads wait to be accepted; NULL: there is none.';

CREATE VIEW leadscore.handoff WITH (security_invoker = true) AS
	SELECT pg_catalog.concat_ws('/', h.model, h.lead_key) AS key,
		   h.model, h.lead_key, h.stage, h.stage_rank, h.handed_off_at, h.waiting, h.score, h.temperature, h.grade, h.channel, h.pinned_until
	FROM leadscore._handoff() h;
COMMENT ON VIEW leadscore.handoff IS
'Leads that wait for sales to accept or to reject them: those in the hand-off stage of each model whose scored view the reader may read, as row security of the leads'' table lets him.  leadscore.accept() and leadscore.reject() take a lead off.';
COMMENT ON COLUMN leadscore.handoff.key IS 'Unique: model and lead.';
COMMENT ON COLUMN leadscore.handoff.model IS 'Model that handed the lead over.';
COMMENT ON COLUMN leadscore.handoff.lead_key IS 'Key of the lead, as text.';
COMMENT ON COLUMN leadscore.handoff.stage IS 'The model''s hand-off stage, as text.';
COMMENT ON COLUMN leadscore.handoff.stage_rank IS 'Number that orders as stages do.';
COMMENT ON COLUMN leadscore.handoff.handed_off_at IS 'When the lead entered it: response times run from here.';
COMMENT ON COLUMN leadscore.handoff.waiting IS 'How long ago that is.';
COMMENT ON COLUMN leadscore.handoff.score IS 'Score as of now.';
COMMENT ON COLUMN leadscore.handoff.temperature IS 'cold, warm or hot, as of now.';
COMMENT ON COLUMN leadscore.handoff.grade IS 'Grade as of now.';
COMMENT ON COLUMN leadscore.handoff.channel IS 'Acquisition channel.';
COMMENT ON COLUMN leadscore.handoff.pinned_until IS 'Until when automation leaves the lead alone; NULL: it does not.';

CREATE FUNCTION leadscore._complete_snapshot(since pg_snapshot) RETURNS pg_snapshot
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	current	pg_snapshot := pg_current_snapshot();
	own		xid8 := pg_current_xact_id_if_assigned();
	running	text;
BEGIN
	IF pg_is_in_recovery() THEN
		-- which transactions are running a replica does not tell, but for the first
		IF since IS NULL OR pg_snapshot_xmax(since) <= pg_snapshot_xmin(current) THEN
			RETURN format('%1$s:%1$s:', pg_snapshot_xmin(current));
		END IF;
		SELECT coalesce(string_agg(x::text, ',' ORDER BY x), '') INTO running
		FROM pg_snapshot_xip(since) x WHERE x >= pg_snapshot_xmin(current);
		RETURN format('%s:%s:%s', coalesce(nullif(split_part(running, ',', 1), ''), pg_snapshot_xmax(since)::text), pg_snapshot_xmax(since), running);
	END IF;
	IF own IS NULL OR NOT pg_visible_in_snapshot(own, current) THEN
		RETURN current;
	END IF;
	-- one's own transaction is running, too
	SELECT string_agg(x::text, ',' ORDER BY x) INTO running
	FROM (SELECT pg_snapshot_xip(current) UNION SELECT own) r(x);
	RETURN format('%s:%s:%s', split_part(running, ',', 1), pg_snapshot_xmax(current), running);
END
$$;
COMMENT ON FUNCTION leadscore._complete_snapshot(pg_snapshot) IS
'Internal: what leadscore.changes() has told of once it is through, given what it has told of before (NULL: nothing): transactions that have ended.';

CREATE FUNCTION leadscore.changes(since text DEFAULT NULL, of_model text DEFAULT NULL)
RETURNS TABLE ("position" text, model text, lead_key text, at timestamptz, recorded_at timestamptz, cause text, automatic boolean, listed boolean,
			   from_stage text, to_stage text, from_temperature text, temperature text, announced text, from_grade text, grade text,
			   from_score integer, score integer, fit double precision, engagement double precision, disqualified boolean, channel text,
			   rules_gained bigint[], rules_lost bigint[], rules_version bigint, changed_by text, reason text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	server		text := (SELECT c.system_identifier::text FROM pg_control_system() c);
	told		text[] := regexp_match(since, '^(\d+)/(\d{1,19}:\d{1,19}:(?:\d{1,19}(?:,\d{1,19})*)?)@(\d{4,6}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)$');
	seen		pg_snapshot;
	seen_at		timestamptz;
	own			xid8 := pg_current_xact_id_if_assigned();
	horizon		xid8 := pg_snapshot_xmax(pg_current_snapshot());
	complete	pg_snapshot;
BEGIN
	IF since IS NOT NULL THEN
		BEGIN
			seen := told[2]::pg_snapshot;
			-- UTC, as ISO 8601 writes it: that means the same in every session
			seen_at := told[3]::timestamptz;
		EXCEPTION WHEN data_exception THEN
			told := NULL;
		END;
		IF told IS NULL THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('"%s" is no position in the history', since),
				HINT = 'Hand in what the column position said last, or NULL for everything.';
		END IF;
		-- after a restore on another server transactions have other numbers; after one
		-- of an earlier state those that were told of are given to others (a replica
		-- may be behind the server that told of them)
		IF told[1] <> server OR (NOT pg_is_in_recovery() AND pg_snapshot_xmax(seen) > horizon) THEN
			seen := NULL;
		END IF;
	END IF;
	complete := leadscore._complete_snapshot(seen);
	RETURN QUERY
	-- the transaction began before the snapshot was taken
	SELECT server || '/' || complete || '@' || to_char(transaction_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
		   h.model, h.lead_key, h.at, h.recorded_at, h.cause, h.automatic, h.listed,
		   h.from_stage::text, h.to_stage::text, h.from_temperature, h.temperature, h.announced, h.from_grade, h.grade,
		   h.from_score, h.score, h.fit, h.engagement, h.disqualified, h.channel,
		   ARRAY(SELECT unnest(h.rules) EXCEPT SELECT unnest(b.rules) ORDER BY 1),
		   ARRAY(SELECT unnest(b.rules) EXCEPT SELECT unnest(h.rules) ORDER BY 1),
		   h.rules_version, h.changed_by, h.reason
	FROM leadscore.history h
	LEFT JOIN LATERAL (
		SELECT p.rules FROM leadscore.history p
		WHERE p.model = h.model AND p.lead_key = h.lead_key AND (p.at, p.xact, p.xact_order) < (h.at, h.xact, h.xact_order)
		  AND p.rules IS NOT NULL
		ORDER BY p.at DESC, p.xact DESC, p.xact_order DESC LIMIT 1) b ON h.rules IS NOT NULL
	WHERE (of_model IS NULL OR h.model = of_model)
	  AND h.xact IS DISTINCT FROM own
	  -- beyond the horizon are rows of another server, that came with a restore
	  AND (h.xact >= horizon OR pg_visible_in_snapshot(h.xact, complete))
	  AND (since IS NULL
		   OR (seen IS NOT NULL AND h.xact >= pg_snapshot_xmin(seen) AND h.xact < horizon AND NOT pg_visible_in_snapshot(h.xact, seen)
			   AND (h.xact < pg_snapshot_xmax(seen) OR h.recorded_at >= seen_at - interval '1 hour'))
		   OR (seen IS NULL AND h.recorded_at >= seen_at - interval '1 hour'))
	ORDER BY h.xact, h.xact_order;
END
$$;
COMMENT ON FUNCTION leadscore.changes(text, text) IS
'What leadscore.history has to tell since a position: the rows that could not be seen yet when that was returned (since NULL: all of them), of a model (of_model NULL: of all), with the rules that each change gained and lost; the other columns are as there, stages as text.  Every row says the position to hand in next time, in any session whatever its settings; nothing is told twice and nothing is left out, however long a transaction takes to commit.  What the caller''s own transaction has recorded is told once that has committed.  A replica tells of a transaction once those that began before it have ended.  After a restore on another server what was recorded in the hour before the position comes again; so it does after one of an earlier state, as long as fewer transactions have been since than were lost.  No rows for an unknown model.  Errors: 22023 since is no position, 42501 no SELECT privilege on leadscore.history.';

CREATE FUNCTION leadscore._former_keys(model text, lead_key text)
RETURNS TABLE (former_key text, since timestamptz, before timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	arrivals	leadscore.history[];
	arrival		leadscore.history;
	first		leadscore.history;
	seen		text[] := '{}';
	nth			integer;
BEGIN
	arrivals := ARRAY(SELECT h FROM leadscore.history h
					  WHERE h.model = _former_keys.model AND h.lead_key = _former_keys.lead_key
						AND h.cause = 'key' AND h.from_temperature IS NULL);
	WHILE cardinality(arrivals) > 0 LOOP
		arrival := arrivals[1];
		arrivals := arrivals[2:];
		CONTINUE WHEN format('%s/%s', arrival.xact, arrival.xact_order) = ANY (seen);
		seen := seen || format('%s/%s', arrival.xact, arrival.xact_order);
		-- "was 1"
		former_key := substr(arrival.reason, 5);
		-- Several may have come to that key and gone from it in one transaction,
		-- even in one command, before whoever was there had left: first come,
		-- first gone.  0: the one who was there before.
		nth := (SELECT count(*) FROM leadscore.history h
				WHERE h.xact = arrival.xact AND h.xact_order <= arrival.xact_order AND h.model = _former_keys.model
				  AND h.cause = 'key' AND h.from_temperature IS NULL AND h.reason = arrival.reason)
			- EXISTS (SELECT FROM leadscore.history h
					  WHERE h.model = _former_keys.model AND h.lead_key = former_key AND h.xact <> arrival.xact
						AND (h.at, h.xact, h.xact_order) < (arrival.at, arrival.xact, arrival.xact_order))::integer;
		-- Its first row there, and that of the next lead with this key.  That a
		-- model was attached anew is no sign of another lead, unless it had gone.
		SELECT h.* INTO first FROM leadscore.history h
		WHERE h.model = _former_keys.model AND h.lead_key = former_key AND h.from_temperature IS NULL AND h.cause <> 'attach'
		  AND (h.at, h.xact, h.xact_order) < (arrival.at, arrival.xact, arrival.xact_order) AND (h.xact = arrival.xact) = (nth > 0)
		ORDER BY CASE WHEN nth > 0 THEN h.xact_order END, h.at DESC, h.xact DESC, h.xact_order DESC
		OFFSET greatest(nth - 1, 0) LIMIT 1;
		since := first.at;
		before := (SELECT h.at FROM leadscore.history h
				   WHERE h.model = _former_keys.model AND h.lead_key = former_key AND h.from_temperature IS NULL
					 AND CASE WHEN nth > 0 THEN (h.at, h.xact, h.xact_order) > (coalesce(first.at, arrival.at), arrival.xact, coalesce(first.xact_order, arrival.xact_order))
							  ELSE h.xact = arrival.xact OR (h.at, h.xact, h.xact_order) > (arrival.at, arrival.xact, arrival.xact_order) END
				   ORDER BY h.at, h.xact, h.xact_order LIMIT 1);
		IF former_key <> _former_keys.lead_key THEN
			RETURN NEXT;
		END IF;
		IF first.cause = 'key' THEN
			arrivals := arrivals || first;
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION leadscore._former_keys(text, text) IS
'Internal: keys that a lead had before the one given, as history tells, with the time from which on each was its own (NULL: from the beginning) and that from which on it was another lead''s (NULL: it was nobody''s since).';

CREATE FUNCTION leadscore._forget(model text, lead_key text)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	state	regclass := to_regclass(format('leadscore.%I', _forget.model || '_state'));
	erased	jsonb := '{}';
	former	text[];
	line	record;
	n		bigint;
	t		text;
BEGIN
	IF _forget.lead_key IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'forget() needs the key of a lead';
	END IF;
	FOR line IN
		SELECT _forget.lead_key AS key, NULL::timestamptz AS since, NULL::timestamptz AS before, false AS is_former
		UNION ALL
		SELECT f.former_key, f.since, f.before, true FROM leadscore._former_keys(_forget.model, _forget.lead_key) f
	LOOP
		IF line.is_former AND line.key <> ALL (coalesce(former, '{}')) THEN
			former := former || line.key;
		END IF;
		-- a key that another lead has got since is that one's
		IF state IS NOT NULL AND line.before IS NULL THEN
			-- as its owner, who may have put triggers and rules on it
			n := leadscore._run_as_owner_of(state, format('DELETE FROM %s s WHERE %s AND s.lead_key::text = %L%s', state,
				leadscore._state_has_key(_forget.model, 's', quote_literal(line.key) || '::text'), line.key,
				CASE WHEN line.is_former THEN ' AND NOT s.lead_exists' ELSE '' END));
			erased := erased || jsonb_build_object('state', coalesce((erased ->> 'state')::bigint, 0) + n);
		END IF;
		n := leadscore._delete_history(_forget.model, line.key, line.before, line.since);
		erased := erased || jsonb_build_object('history', coalesce((erased ->> 'history')::bigint, 0) + n);
		FOREACH t IN ARRAY ARRAY['problem', 'pending_activity', 'unsettled_lead', 'playbook_progress', 'sla_breach'] LOOP
			CONTINUE WHEN line.before IS NOT NULL AND t NOT IN ('playbook_progress', 'sla_breach');
			EXECUTE format('DELETE FROM leadscore.%I WHERE model = $1 AND lead_key = $2', t)
				|| CASE WHEN line.before IS NULL THEN ''
						WHEN t = 'sla_breach' THEN ' AND started_at < $3' ELSE ' AND acknowledged_at < $3' END
				USING _forget.model, line.key, line.before;
			GET DIAGNOSTICS n = ROW_COUNT;
			erased := erased || jsonb_build_object(t, coalesce((erased ->> t)::bigint, 0) + n);
		END LOOP;
	END LOOP;
	RETURN erased || jsonb_build_object('former_keys', cardinality(coalesce(former, '{}')));
END
$$;
COMMENT ON FUNCTION leadscore._forget(text, text) IS
'Internal: what leadscore.forget() does.';

CREATE FUNCTION leadscore.forget(model text, lead_key text) RETURNS jsonb
AS 'MODULE_PATHNAME', 'leadscore_act_on_history'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.forget(text, text) IS
'The same, with the key of the lead as text.';

CREATE FUNCTION leadscore.forget(model text, lead_key anyelement) RETURNS jsonb
LANGUAGE sql
AS $$
	SELECT leadscore.forget(model, lead_key::pg_catalog.text)
$$;
COMMENT ON FUNCTION leadscore.forget(text, anyelement) IS
'Erases what is kept of the lead with this key: state, history, problems, what was done of the playbook, missed deadlines and what is pending, and returns how many rows of each; also what is kept of it under the keys that it had before, as far as its history tells of them (former_keys: how many).  All that is kept under the key that is given goes, whoever had it once, and what those had done under keys before.  The CRM''s own rows are yours to erase, before: a lead that is still there is scored again when it is written next.  0 of each for a lead that is not known.  The caller owns the leads'' table; of a model that was deleted, whose history is left, leadscore.history.  Errors: 22004 NULL, 42704 unknown model, without any history, 42501 not the owner.';

CREATE FUNCTION leadscore._drop_history(model text, before timestamptz)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF before IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'drop_history() needs the time from which on history is kept';
	END IF;
	RETURN leadscore._delete_history(model, NULL, before);
END
$$;
COMMENT ON FUNCTION leadscore._drop_history(text, timestamptz) IS
'Internal: what leadscore.drop_history() does.';

CREATE FUNCTION leadscore.drop_history(model text, before timestamptz) RETURNS bigint
AS 'MODULE_PATHNAME', 'leadscore_act_on_history'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.drop_history(text, timestamptz) IS
'Removes the history of a model before a time (''infinity'': all of it), and returns how many rows that were.  Reports are made from what is left.  Whole months of all models go faster by detaching partitions of leadscore.history.  The caller owns the leads'' table; of a model that was deleted, whose history is left, leadscore.history.  Errors: 22004 NULL, 42704 unknown model, without any history, 42501 not the owner.';

DO $$
DECLARE
	f pg_catalog.regprocedure;
BEGIN
	FOR f IN
		SELECT p.oid FROM pg_catalog.pg_proc p
		WHERE p.pronamespace = 'leadscore'::pg_catalog.regnamespace AND p.proname IN ('_forget', '_former_keys', '_drop_history')
	LOOP
		EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
	END LOOP;
END
$$;

--
-- SLA: how soon leads are to be answered, and how soon they are
--
-- Clocks are not stored: they come from history, and responses from the events'
-- own tables, so that what is delivered late or mended is right at once.  Only
-- that a deadline was missed is recorded, once, with the message it gives.
--

/* Visits to a stage are looked up by their entry. */
CREATE INDEX history_default_entry_idx ON leadscore.history_default (model, to_stage, at)
	WHERE from_stage::integer IS DISTINCT FROM to_stage::integer;

CREATE TABLE leadscore.calendar (
	name			text COLLATE "C" PRIMARY KEY,
	time_zone		text NOT NULL,
	description		text,
	CONSTRAINT calendar_name_check CHECK (name <> '')
);
COMMENT ON TABLE leadscore.calendar IS
'Calendars: when sales is at work.  A service level may name one; then its time runs only while that is open.';
COMMENT ON COLUMN leadscore.calendar.name IS 'Name of the calendar.';
COMMENT ON COLUMN leadscore.calendar.time_zone IS 'Time zone of its hours and holidays: they are what clocks on the wall say there.';
COMMENT ON COLUMN leadscore.calendar.description IS 'Whose hours they are.';

CREATE TABLE leadscore.calendar_hours (
	calendar		text COLLATE "C" NOT NULL
					REFERENCES leadscore.calendar ON UPDATE CASCADE ON DELETE CASCADE,
	weekday			smallint NOT NULL,
	opens			time NOT NULL,
	closes			time NOT NULL,
	PRIMARY KEY (calendar, weekday, opens),
	CONSTRAINT calendar_hours_weekday_check CHECK (weekday BETWEEN 1 AND 7),
	CONSTRAINT calendar_hours_order_check CHECK (opens < closes)
);
COMMENT ON TABLE leadscore.calendar_hours IS
'Open hours of a calendar, several a day if need be; hours over midnight are two rows.';
COMMENT ON COLUMN leadscore.calendar_hours.calendar IS 'Calendar that they belong to.';
COMMENT ON COLUMN leadscore.calendar_hours.weekday IS 'Day of the week, from 1 (Monday) to 7 (Sunday).';
COMMENT ON COLUMN leadscore.calendar_hours.opens IS 'First moment that is open, by the clock on the wall.';
COMMENT ON COLUMN leadscore.calendar_hours.closes IS 'First moment that is closed again; 24:00 is the end of the day.';

CREATE TABLE leadscore.holiday (
	calendar		text COLLATE "C" NOT NULL
					REFERENCES leadscore.calendar ON UPDATE CASCADE ON DELETE CASCADE,
	day				date NOT NULL,
	description		text,
	PRIMARY KEY (calendar, day),
	CONSTRAINT holiday_day_check CHECK (isfinite(day))
);
COMMENT ON TABLE leadscore.holiday IS 'Days on which a calendar is closed.';
COMMENT ON COLUMN leadscore.holiday.calendar IS 'Calendar that they belong to.';
COMMENT ON COLUMN leadscore.holiday.day IS 'The day, in the calendar''s time zone.';
COMMENT ON COLUMN leadscore.holiday.description IS 'What is celebrated.';

CREATE TABLE leadscore.sla (
	model			text COLLATE "C" NOT NULL
					REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	stage			leadscore.lead_stage NOT NULL,
	starts			text COLLATE "C" NOT NULL DEFAULT 'stage',
	request_at		text,
	respond_within	interval NOT NULL DEFAULT '24:00',
	target_within	interval NOT NULL DEFAULT '1:00',
	response_activity text COLLATE "C",
	response_condition text,
	response_stages	leadscore.lead_stage[],
	calendar		text COLLATE "C" REFERENCES leadscore.calendar ON UPDATE CASCADE,
	description		text,
	search_path		text,
	PRIMARY KEY (model, stage),
	-- a matrix that is written anew brings its activity sources again
	FOREIGN KEY (model, response_activity) REFERENCES leadscore.activity_source (model, name)
		ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED,
	CONSTRAINT sla_starts_check CHECK (starts IN ('stage', 'request')),
	CONSTRAINT sla_request_at_check CHECK ((starts = 'request') = (request_at IS NOT NULL)),
	CONSTRAINT sla_respond_within_check CHECK (respond_within > '0' AND respond_within <= '3660 days'
		AND extract(month FROM respond_within) = 0 AND extract(year FROM respond_within) = 0),
	CONSTRAINT sla_target_within_check CHECK (target_within > '0' AND target_within <= '3660 days'
		AND extract(month FROM target_within) = 0 AND extract(year FROM target_within) = 0),
	CONSTRAINT sla_response_condition_check CHECK (response_condition IS NULL OR response_activity IS NOT NULL),
	CONSTRAINT sla_response_check CHECK (response_stages IS NULL OR response_activity IS NULL),
	CONSTRAINT sla_response_stages_check CHECK (cardinality(response_stages) > 0
		AND array_position(response_stages, NULL) IS NULL AND stage OPERATOR(leadscore.<>) ALL (response_stages))
);
COMMENT ON TABLE leadscore.sla IS
'Service levels: how soon leads that enter a stage are to be answered, and what an answer is.  leadscore.sla_clocks() and the view leadscore.sla_clock show how it goes, leadscore.sla_report and leadscore.sla_band how it went.';
COMMENT ON COLUMN leadscore.sla.model IS 'Model whose leads they are.';
COMMENT ON COLUMN leadscore.sla.stage IS 'Stage in which leads wait for an answer; each entry opens a clock, which leaving the stage closes.';
COMMENT ON COLUMN leadscore.sla.starts IS 'From when on the time counts: stage (the entry into the stage) or request (the lead''s own request).';
COMMENT ON COLUMN leadscore.sla.request_at IS 'With starts = request: SQL expression over the columns of the model''s source that gives the time of the lead''s request (timestamptz).  It belongs to the visit to the stage that was going on or came next; a visit without one has no clock.  Of several requests only the one that the expression gives is known.';
COMMENT ON COLUMN leadscore.sla.respond_within IS 'Time in which the lead is to be answered; an answer exactly at its end is in time.  A day has 24 hours, of open time if there is a calendar; months are refused.';
COMMENT ON COLUMN leadscore.sla.target_within IS 'Time in which it should be answered, shown beside.';
COMMENT ON COLUMN leadscore.sla.response_activity IS 'Activity source of the model whose events are responses; NULL: leaving the stage for another is one, as response_stages says.';
COMMENT ON COLUMN leadscore.sla.response_condition IS 'SQL boolean expression over an event''s row: only those for which it is true are responses; NULL: all.  It must not read the clock.';
COMMENT ON COLUMN leadscore.sla.response_stages IS 'Without response_activity: stages that a move to is a response, whoever makes it; NULL: every stage further on that somebody moves the lead to, but for the model''s accepted_stage: acceptance is no response, nor is an automatic move.';
COMMENT ON COLUMN leadscore.sla.calendar IS 'Calendar of open hours in which the time runs; NULL: it always does.';
COMMENT ON COLUMN leadscore.sla.description IS 'What was agreed, and with whom.';
COMMENT ON COLUMN leadscore.sla.search_path IS 'Schemas in which the names of the expressions are looked up; filled with the writer''s search_path.';

CREATE TABLE leadscore.sla_breach (
	model			text COLLATE "C" NOT NULL
					REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	lead_key		text COLLATE "C" NOT NULL,
	stage			leadscore.lead_stage NOT NULL,
	started_at		timestamptz NOT NULL,
	deadline		timestamptz NOT NULL,
	recorded_at		timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	PRIMARY KEY (model, lead_key, stage, started_at)
);
COMMENT ON TABLE leadscore.sla_breach IS
'Deadlines that were missed, each recorded once, as leadscore.advance() came by.  A record stays, even if a response turns up later that was in time: whether the deadline was missed by what is known now, leadscore.sla_clocks() says.';
COMMENT ON COLUMN leadscore.sla_breach.model IS 'Model whose lead it is.';
COMMENT ON COLUMN leadscore.sla_breach.lead_key IS 'Key of the lead, as text.';
COMMENT ON COLUMN leadscore.sla_breach.stage IS 'Stage in which it waited.';
COMMENT ON COLUMN leadscore.sla_breach.started_at IS 'When its clock started.';
COMMENT ON COLUMN leadscore.sla_breach.deadline IS 'When it was to be answered.';
COMMENT ON COLUMN leadscore.sla_breach.recorded_at IS 'When this was recorded.';

CREATE TABLE leadscore.sla_progress (
	model			text COLLATE "C" NOT NULL,
	stage			leadscore.lead_stage NOT NULL,
	xact			xid8 NOT NULL,
	undecided_since	timestamptz NOT NULL,
	PRIMARY KEY (model, stage),
	FOREIGN KEY (model, stage) REFERENCES leadscore.sla ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE leadscore.sla_progress IS
'How far breaches of each service level have been recorded.  No row: all visits are looked at once more.';
COMMENT ON COLUMN leadscore.sla_progress.model IS 'Model.';
COMMENT ON COLUMN leadscore.sla_progress.stage IS 'Stage.';
COMMENT ON COLUMN leadscore.sla_progress.xact IS 'History of transactions before this one has been seen.';
COMMENT ON COLUMN leadscore.sla_progress.undecided_since IS 'Of what has been seen, the first entry into the stage whose deadline was still to come.';

SELECT pg_catalog.pg_extension_config_dump('leadscore.calendar', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.calendar_hours', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.holiday', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.sla', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.sla_breach', '');

CREATE FUNCTION leadscore.check_sla_row() RETURNS trigger
AS 'MODULE_PATHNAME', 'leadscore_check_sla_row'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.check_sla_row() IS
'Trigger on leadscore.sla: compiles the expressions and fills in search_path';
REVOKE ALL ON FUNCTION leadscore.check_sla_row() FROM PUBLIC;

CREATE FUNCTION leadscore.after_sla_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM leadscore._require_own_triggers();
	DELETE FROM leadscore.sla_progress p
	WHERE p.model = NEW.model AND p.stage OPERATOR(leadscore.=) NEW.stage;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION leadscore.after_sla_changed() IS
'Trigger on leadscore.sla: what was decided by another service level is decided anew';
REVOKE ALL ON FUNCTION leadscore.after_sla_changed() FROM PUBLIC;

CREATE FUNCTION leadscore.check_calendar_row() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- an unknown time zone is an error
	PERFORM now() AT TIME ZONE NEW.time_zone;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION leadscore.check_calendar_row() IS
'Trigger on leadscore.calendar: the time zone must be known';

CREATE FUNCTION leadscore.check_calendar_hours() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	wrong record;
BEGIN
	SELECT h.calendar, h.weekday, h.opens, h.closes, h.next_opens INTO wrong
	FROM (SELECT c.*, lead(c.opens) OVER (PARTITION BY c.calendar, c.weekday ORDER BY c.opens) AS next_opens
		  FROM leadscore.calendar_hours c) h
	WHERE h.next_opens < h.closes
	ORDER BY h.calendar, h.weekday, h.opens LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'check_violation',
			MESSAGE = format('hours of calendar "%s" overlap', wrong.calendar),
			DETAIL = format('On day %s of the week it opens at %s, before it closes at %s.', wrong.weekday, wrong.next_opens, wrong.closes);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION leadscore.check_calendar_hours() IS
'Trigger on leadscore.calendar_hours: hours of a day do not overlap';

CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON leadscore.sla
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_sla_row();
CREATE TRIGGER changed AFTER UPDATE OF starts, request_at, respond_within, response_activity, response_condition,
	response_stages, calendar ON leadscore.sla
	FOR EACH ROW EXECUTE FUNCTION leadscore.after_sla_changed();
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON leadscore.calendar
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_calendar_row();
CREATE TRIGGER check_hours AFTER INSERT OR UPDATE ON leadscore.calendar_hours
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.check_calendar_hours();

CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.calendar_hours
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.calendar_hours
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.holiday
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.holiday
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.sla
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.sla
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.sla_breach
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.sla_breach
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();

DO $$
DECLARE
	t record;
BEGIN
	FOR t IN SELECT g.tgrelid::pg_catalog.regclass AS relation, g.tgname
			 FROM pg_catalog.pg_trigger g
			 WHERE g.tgrelid = ANY ('{leadscore.sla,leadscore.sla_breach,leadscore.calendar,leadscore.calendar_hours,leadscore.holiday}'::pg_catalog.regclass[])
			   AND NOT g.tgisinternal
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.relation, t.tgname);
	END LOOP;
END
$$;

/*
 * Business hours.  In all of these the session's time zone is UTC, so that a
 * day is 24 hours long.
 */

CREATE FUNCTION leadscore._zone_offsets(time_zone text, since timestamptz, until timestamptz)
RETURNS TABLE (starts timestamptz, ends timestamptz, utc_offset interval)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
DECLARE
	low		timestamptz := date_trunc('second', since);
	high	timestamptz;
	upper	timestamptz;
	middle	timestamptz;
BEGIN
	starts := low;
	utc_offset := (low AT TIME ZONE time_zone) - (low AT TIME ZONE 'UTC');
	WHILE low < until LOOP
		-- no time zone changes its offset twice within a day
		upper := low + interval '1 day';
		high := upper;
		IF (high AT TIME ZONE time_zone) - (high AT TIME ZONE 'UTC') <> utc_offset THEN
			-- at a whole second in between
			WHILE high - low > interval '1 second' LOOP
				middle := date_trunc('second', low + (high - low) / 2);
				IF (middle AT TIME ZONE time_zone) - (middle AT TIME ZONE 'UTC') = utc_offset THEN
					low := middle;
				ELSE
					high := middle;
				END IF;
			END LOOP;
			ends := high;
			RETURN NEXT;
			starts := high;
			utc_offset := (high AT TIME ZONE time_zone) - (high AT TIME ZONE 'UTC');
		END IF;
		low := upper;
	END LOOP;
	ends := low;
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION leadscore._zone_offsets(text, timestamptz, timestamptz) IS
'Internal: the offsets from UTC that a time zone has between two times, or a little longer, each from when to when.';

CREATE FUNCTION leadscore._open_periods(calendar text, since timestamptz, until timestamptz)
RETURNS TABLE (opens timestamptz, closes timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
	c leadscore.calendar;
BEGIN
	SELECT * INTO c FROM leadscore.calendar k WHERE k.name = _open_periods.calendar;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('calendar "%s" does not exist', _open_periods.calendar),
			HINT = 'The table leadscore.calendar lists the calendars.';
	END IF;
	IF NOT EXISTS (SELECT FROM leadscore.calendar_hours h WHERE h.calendar = c.name) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('calendar "%s" is never open', c.name),
			HINT = 'Write its open hours into leadscore.calendar_hours.';
	END IF;
	IF NOT (isfinite(since) AND isfinite(until)) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'datetime_field_overflow',
			MESSAGE = 'business hours are counted from one finite time to another';
	END IF;
	-- a moment is open if the clock on the wall says so: an hour that is skipped
	-- in spring has no moments, one that comes twice in autumn has all of its
	-- moments twice
	RETURN QUERY
	SELECT lower(r.period), upper(r.period)
	FROM unnest((SELECT range_agg(tstzrange(p.opens, p.closes))
				 FROM (SELECT greatest((d.day + h.opens - z.utc_offset) AT TIME ZONE 'UTC', z.starts, since) AS opens,
							  least((d.day + h.closes - z.utc_offset) AT TIME ZONE 'UTC', z.ends, until) AS closes
					   FROM leadscore._zone_offsets(c.time_zone, since, until) z,
							generate_series(date_trunc('day', z.starts AT TIME ZONE 'UTC' + z.utc_offset) - interval '1 day',
											z.ends AT TIME ZONE 'UTC' + z.utc_offset, interval '1 day') d(day)
					   JOIN leadscore.calendar_hours h ON h.weekday = extract(isodow FROM d.day)
					   WHERE h.calendar = c.name
						 AND NOT EXISTS (SELECT FROM leadscore.holiday o WHERE o.calendar = c.name AND o.day = d.day::date)) p
				 WHERE p.opens < p.closes)) r(period)
	ORDER BY 1;
END
$$;
COMMENT ON FUNCTION leadscore._open_periods(text, timestamptz, timestamptz) IS
'Internal: when a calendar is open between two times, in order.  Errors: 42704 no such calendar, 55000 never open, 22008 infinite.';

CREATE FUNCTION leadscore._business_deadlines(calendar text, starts timestamptz[], duration interval)
RETURNS TABLE (start timestamptz, deadline timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
	needed		bigint := extract(epoch FROM duration) * 1000000;
	span		interval := interval '14 days' + 5 * duration;
	first_start	timestamptz;
	last_start	timestamptz;
	opens_at	timestamptz[];
	closes_at	timestamptz[];
	open_before	bigint[];		-- microseconds, up to each of these periods
	available	bigint;
BEGIN
	SELECT min(s.at), max(s.at) INTO first_start, last_start FROM unnest(starts) s(at);
	IF first_start IS NULL THEN
		RETURN;
	END IF;
	-- as far as there is enough open time after the last start
	LOOP
		SELECT array_agg(p.opens ORDER BY p.opens), array_agg(p.closes ORDER BY p.opens), array_agg(p.before ORDER BY p.opens),
			   sum(extract(epoch FROM p.closes - greatest(p.opens, last_start)) * 1000000) FILTER (WHERE p.closes > last_start)
		INTO opens_at, closes_at, open_before, available
		FROM (SELECT o.opens, o.closes,
					 (sum(extract(epoch FROM o.closes - o.opens) * 1000000) OVER (ORDER BY o.opens)
					  - extract(epoch FROM o.closes - o.opens) * 1000000)::bigint AS before
			  FROM leadscore._open_periods(_business_deadlines.calendar, first_start, last_start + span) o) p;
		EXIT WHEN available >= needed;
		IF span > interval '36525 days' THEN
			RAISE EXCEPTION USING
				ERRCODE = 'datetime_field_overflow',
				MESSAGE = format('calendar "%s" is not open for %s in the hundred years after %s',
								 _business_deadlines.calendar, duration, last_start),
				HINT = 'Look at its hours in leadscore.calendar_hours, and at leadscore.holiday.';
		END IF;
		span := 2 * span;
	END LOOP;
	RETURN QUERY
	SELECT s.at,
		   CASE WHEN needed = 0 THEN s.at
				ELSE opens_at[e.period] + (e.open_time - open_before[e.period]) * interval '1 microsecond' END
	FROM unnest(starts) s(at),
		 LATERAL (SELECT width_bucket(s.at, opens_at) AS period OFFSET 0) i,
		 -- open time from the first start on at which the time is up, and in which period
		 LATERAL (SELECT CASE WHEN i.period = 0 THEN 0
							  ELSE open_before[i.period]
								   + (extract(epoch FROM least(s.at, closes_at[i.period]) - opens_at[i.period]) * 1000000)::bigint
						 END + needed AS open_time OFFSET 0) n,
		 LATERAL (SELECT n.open_time, width_bucket(n.open_time - 1, open_before) AS period OFFSET 0) e;
END
$$;
COMMENT ON FUNCTION leadscore._business_deadlines(text, timestamptz[], interval) IS
'Internal: leadscore.business_deadline() for many starts at once, none of them NULL.';

CREATE FUNCTION leadscore.business_deadline(calendar text, start timestamptz, duration interval) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
BEGIN
	IF start IS NULL OR duration IS NULL THEN
		RETURN NULL;
	END IF;
	IF duration < interval '0' OR extract(month FROM duration) <> 0 OR extract(year FROM duration) <> 0 OR NOT isfinite(duration) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'duration must not be negative, infinite or contain months',
			HINT = 'Say 30 days, for example; a day has 24 hours.';
	END IF;
	IF calendar IS NULL THEN
		IF NOT isfinite(start) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'datetime_field_overflow',
				MESSAGE = 'a deadline needs a finite start';
		END IF;
		RETURN start + duration;
	END IF;
	RETURN (SELECT d.deadline FROM leadscore._business_deadlines(calendar, ARRAY[start], duration) d);
END
$$;
COMMENT ON FUNCTION leadscore.business_deadline(text, timestamptz, interval) IS
'When a duration is up that begins at start and runs only while a calendar is open: the first moment by which it was open for as long.  Open hours are what the clock on the wall says, the duration is time that really passes; a day is 24 hours of it, so that a working day of eight hours is ''8 hours''.  A duration of 0 gives start.  calendar NULL: time always runs; start or duration NULL gives NULL.  Errors: 42704 no such calendar, 42501 no SELECT privilege on leadscore.calendar, calendar_hours and holiday, 55000 the calendar is never open, 22008 the time is not up within a hundred years (five times the duration, if that is more), or start is infinite, 22023 the duration is negative, infinite or has months.';

CREATE FUNCTION leadscore.business_time(calendar text, "from" timestamptz, "to" timestamptz) RETURNS interval
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
DECLARE
	microseconds numeric;
BEGIN
	IF "from" IS NULL OR "to" IS NULL THEN
		RETURN NULL;
	END IF;
	IF calendar IS NULL THEN
		IF NOT (isfinite("from") AND isfinite("to")) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'datetime_field_overflow',
				MESSAGE = 'time is counted from one finite time to another';
		END IF;
		microseconds := extract(epoch FROM "to" - "from") * 1000000;
	ELSE
		SELECT coalesce(sum(extract(epoch FROM p.closes - p.opens)) * 1000000, 0) * CASE WHEN "from" <= "to" THEN 1 ELSE -1 END
		INTO microseconds
		FROM leadscore._open_periods(calendar, least("from", "to"), greatest("from", "to")) p;
	END IF;
	RETURN microseconds::double precision * interval '1 microsecond';
END
$$;
COMMENT ON FUNCTION leadscore.business_time(text, timestamptz, timestamptz) IS
'How long a calendar is open from one time to another, in hours, minutes and seconds that really pass; negative if they are the other way round.  calendar NULL: all of the time between; from or to NULL gives NULL.  Errors: 42704 no such calendar, 42501 no SELECT privilege on leadscore.calendar, calendar_hours and holiday, 55000 the calendar is never open, 22008 an infinite time.';

/*
 * Clocks
 */

CREATE FUNCTION leadscore._responses(model text, stage leadscore.lead_stage, keys text[])
RETURNS TABLE (lead_key text, at timestamptz)
AS 'MODULE_PATHNAME', 'leadscore_responses'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION leadscore._responses(text, leadscore.lead_stage, text[]) IS
'Internal: lead and time of each event that is a response by the service level of a stage, of the leads with these keys, NULL: of all.  With the rights of the events'' owner for those who may read the states of the model, else with the caller''s.  Errors: 42704 no such model, service level or activity source, 42501, and what is wrong with the condition.';

CREATE FUNCTION leadscore._requests(model text, stage leadscore.lead_stage, keys text[])
RETURNS TABLE (lead_key text, at timestamptz)
AS 'MODULE_PATHNAME', 'leadscore_requests'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION leadscore._requests(text, leadscore.lead_stage, text[]) IS
'Internal: lead and time of its own request, by the service level of a stage; as leadscore._responses().';

CREATE FUNCTION leadscore._state_has_key(model text, state text, key text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	-- a key that is none of the type is nobody's, and no error
	SELECT CASE
		WHEN a.atttypid = ANY ('{smallint,integer,bigint}'::regtype[]) THEN
			format('%1$s.lead_key = CASE WHEN %2$s !~ ''^-?[0-9]{1,19}$'' THEN NULL
					WHEN %2$s::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 THEN %2$s::bigint END', state, key)
		WHEN a.atttypid = 'numeric'::regtype THEN
			format('%1$s.lead_key = CASE WHEN %2$s ~ ''^-?[0-9]{1,200}([.][0-9]{1,200})?$'' THEN %2$s::numeric END', state, key)
		WHEN a.atttypid = 'uuid'::regtype THEN
			format('%1$s.lead_key = CASE WHEN %2$s ~ ''^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'' THEN %2$s::uuid END', state, key)
		ELSE
			format('%1$s.lead_key = (%2$s)::%3$s COLLATE %4$I.%5$I', state, key, format_type(a.atttypid, -1), n.nspname, c.collname)
		END
	FROM pg_attribute a
	LEFT JOIN (pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace) ON c.oid = a.attcollation
	WHERE a.attrelid = to_regclass(format('leadscore.%I', model || '_state')) AND a.attname = 'lead_key'
$$;
COMMENT ON FUNCTION leadscore._state_has_key(text, text, text) IS
'Internal: SQL condition that a row of a model''s state table is of the lead with a key, given as text, such that the index serves; NULL if the model is not attached.';

CREATE FUNCTION leadscore._sla_visits(which text, by_request boolean) RETURNS text
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	moved	text := '%1$s.from_stage::integer IS DISTINCT FROM %1$s.to_stage::integer';
	entry	text := 'SELECT h.lead_key, h.at, h.xact, h.xact_order FROM leadscore.history h
					 WHERE h.model = $1 AND h.to_stage OPERATOR(leadscore.=) $2 AND h.at <= $3 AND ' || format(moved, 'h');
BEGIN
	-- of all visits it is known what became of the lead; that takes the moves of
	-- all leads, in order
	IF which = 'all' THEN
		RETURN format($q$
			SELECT v.*, lag(v.left_at) OVER (PARTITION BY v.lead_key ORDER BY v.entered_at, v.left_at) AS left_before
			FROM (SELECT h.lead_key, h.at AS entered_at, lead(h.at) OVER w AS left_at, lead(h.to_stage) OVER w AS left_to,
						 lead(h.automatic OR h.cause = 'accept') OVER w AS left_automatically,
						 max(h.to_stage::integer) OVER w AS best_rank, last_value(h.to_stage::integer) OVER w AS last_rank,
						 last_value(h.at) OVER w AS last_at, h.to_stage
				  FROM leadscore.history h
				  WHERE h.model = $1 AND h.at <= $3 AND %s
				  WINDOW w AS (PARTITION BY h.lead_key ORDER BY h.at, h.xact, h.xact_order
							   ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)) v
			WHERE v.to_stage OPERATOR(leadscore.=) $2$q$, format(moved, 'h'));
	END IF;

	IF which IN ('running', 'lead') THEN
		entry := entry || CASE which WHEN 'lead' THEN ' AND h.lead_key = $11' ELSE '' END || format(' AND NOT EXISTS (SELECT FROM leadscore.history l
			WHERE l.model = $1 AND l.lead_key = h.lead_key AND (l.at, l.xact, l.xact_order) > (h.at, h.xact, h.xact_order)
			  AND l.at <= $3 AND %s)', format(moved, 'l'));
	ELSE
		-- undecided when they were looked at last, or recorded since; a request
		-- may come long after the entry
		entry := format('%s%s UNION %1$s AND h.xact >= $4', entry, CASE WHEN by_request THEN '' ELSE ' AND h.at >= $5' END);
	END IF;
	RETURN format($q$
		SELECT h.lead_key, h.at AS entered_at, x.at AS left_at, x.to_stage AS left_to, x.automatic OR x.cause = 'accept' AS left_automatically,
			   NULL::integer AS best_rank, NULL::integer AS last_rank, NULL::timestamptz AS last_at, %1$s AS left_before
		FROM (%2$s) h
		LEFT JOIN LATERAL (
			SELECT l.at, l.xact, l.to_stage, l.automatic, l.cause
			FROM leadscore.history l
			WHERE l.model = $1 AND l.lead_key = h.lead_key AND (l.at, l.xact, l.xact_order) > (h.at, h.xact, h.xact_order)
			  AND l.at <= $3 AND %3$s
			ORDER BY l.at, l.xact, l.xact_order LIMIT 1) x ON %4$s
		WHERE %5$s$q$,
		CASE WHEN by_request THEN format('(SELECT max(b.at) FROM leadscore.history b
			WHERE b.model = $1 AND b.lead_key = h.lead_key AND (b.at, b.xact, b.xact_order) < (h.at, h.xact, h.xact_order)
			  AND b.from_stage OPERATOR(leadscore.=) $2 AND %s)', format(moved, 'b'))
			 ELSE 'NULL::timestamptz' END,
		entry, format(moved, 'l'), CASE which WHEN 'new' THEN 'true' ELSE 'false' END,
		CASE WHEN which = 'new' AND by_request THEN 'x.at IS NULL OR x.xact >= $4 OR h.xact >= $4' ELSE 'true' END);
END
$$;
COMMENT ON FUNCTION leadscore._sla_visits(text, boolean) IS
'Internal: query for the visits of leads to a stage ($1 model, $2 stage, $3 as of when): all; running, those that go on; lead, the one of a lead ($11) that goes on; or new, those recorded since a transaction ($4) or entered since a time ($5).';

CREATE FUNCTION leadscore._sla_stage_clocks(model text, stage leadscore.lead_stage, at timestamptz, which text, xact xid8 DEFAULT NULL,
	undecided_since timestamptz DEFAULT NULL, the_lead text DEFAULT NULL)
RETURNS TABLE (lead_key text, entered_at timestamptz, started_at timestamptz, deadline timestamptz, target_at timestamptz,
	responded_at timestamptz, attempts bigint, ended_at timestamptz, left_to leadscore.lead_stage, left_automatically boolean,
	best_rank integer, last_rank integer, last_at timestamptz, outcome text, breached boolean)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET jit = off
SET max_parallel_workers_per_gather = 0
AS $$
DECLARE
	s			leadscore.sla;
	by_request	boolean;
	state		regclass := to_regclass(format('leadscore.%I', _sla_stage_clocks.model || '_state'));
	accepted	leadscore.lead_stage;
	some_hidden	boolean;
	keys		text := CASE WHEN which = 'all' THEN 'NULL' ELSE 'ARRAY(SELECT DISTINCT k.lead_key FROM %s k)' END;
	has_state	text;
	response	text;
BEGIN
	SELECT * INTO s FROM leadscore.sla l
	WHERE l.model = _sla_stage_clocks.model AND l.stage OPERATOR(leadscore.=) _sla_stage_clocks.stage;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	SELECT m.accepted_stage, state IS NOT NULL AND row_security_active(m.target) INTO accepted, some_hidden
	FROM leadscore.model m WHERE m.name = s.model;
	by_request := s.starts = 'request';
	IF state IS NOT NULL THEN
		has_state := format('EXISTS (SELECT FROM %s st WHERE %s', state,
							leadscore._state_has_key(s.model, 'st', '%1$s.lead_key'));
	END IF;

	IF s.response_activity IS NOT NULL THEN
		-- what moved the lead into the stage is no response to that
		response := format('
			SELECT c.number, count(*) AS attempts, min(r.at) AS at
			FROM clock c
			JOIN leadscore._responses($1, $2, %s) r
				ON r.lead_key = c.lead_key AND r.at %s c.started_at AND r.at <= coalesce(c.left_at, $3)
			GROUP BY c.number', format(keys, 'clock'), CASE WHEN by_request THEN '>=' ELSE '>' END);
	ELSE
		-- a move that is made by itself is nobody's answer, unless it is listed
		response := format('
			SELECT c.number, 1::bigint AS attempts, c.left_at AS at
			FROM clock c
			WHERE %s', CASE WHEN s.response_stages IS NOT NULL THEN 'c.left_to OPERATOR(leadscore.=) ANY ($8)'
					   ELSE 'c.left_to OPERATOR(leadscore.>) $2 AND c.left_to OPERATOR(leadscore.<>) $9 AND NOT c.left_automatically' END);
	END IF;

	-- not in parallel: where a condition fails, a subtransaction is called for
	RETURN QUERY EXECUTE format($q$
		WITH visit AS MATERIALIZED (
			SELECT * FROM (%1$s) v WHERE %2$s
		), clock AS MATERIALIZED (
			SELECT row_number() OVER () AS number, v.*, %3$s AS started_at
			FROM visit v %4$s
		), due AS (
			%5$s
		), response AS MATERIALIZED (
			%6$s
		), decided AS MATERIALIZED (
			SELECT d.*, r.at AS responded_at, coalesce(r.attempts, 0) AS attempts,
				   CASE WHEN r.at <= d.deadline THEN 'answered'
						WHEN r.at > d.deadline THEN 'late'
						WHEN d.left_at <= d.deadline THEN 'void'
						WHEN d.left_at > d.deadline THEN 'breached'
						-- the lead is no more
						WHEN %7$s THEN 'void'
						ELSE 'open' END AS outcome
			FROM due d
			LEFT JOIN response r ON r.number = d.number
		)
		SELECT d.lead_key, d.entered_at, d.started_at, d.deadline, d.target_at, d.responded_at, d.attempts, d.left_at,
			   d.left_to, d.left_automatically, d.best_rank, d.last_rank, d.last_at, d.outcome,
			   d.outcome IN ('late', 'breached') OR (d.outcome = 'open' AND $3 > d.deadline)
		FROM decided d$q$,
		leadscore._sla_visits(which, by_request),
		-- of leads that are kept from the reader, their clocks are as well
		CASE WHEN some_hidden THEN format(has_state || ')', 'v') ELSE 'true' END,
		CASE WHEN by_request THEN 'q.at' ELSE 'v.entered_at' END,
		CASE WHEN by_request THEN format('
			JOIN (SELECT a.lead_key, max(a.at) AS at FROM leadscore._requests($1, $2, %s) a GROUP BY a.lead_key) q
				ON q.lead_key = v.lead_key AND q.at <= least(v.left_at, $3) AND (q.at > v.left_before) IS NOT false',
			format(keys, 'visit')) ELSE '' END,
		CASE WHEN s.calendar IS NULL THEN
			'SELECT c.*, c.started_at + $6 AS deadline, c.started_at + $7 AS target_at FROM clock c'
		ELSE
			'SELECT c.*, d.deadline, t.deadline AS target_at
			 FROM clock c
			 JOIN leadscore._business_deadlines($10, ARRAY(SELECT DISTINCT c.started_at FROM clock c), $6) d ON d.start = c.started_at
			 JOIN leadscore._business_deadlines($10, ARRAY(SELECT DISTINCT c.started_at FROM clock c), $7) t ON t.start = c.started_at'
		END,
		response,
		CASE WHEN state IS NULL THEN 'false' ELSE format('NOT ' || has_state || ' AND st.lead_exists)', 'd') END)
	USING s.model, s.stage, _sla_stage_clocks.at, _sla_stage_clocks.xact, _sla_stage_clocks.undecided_since,
		  s.respond_within, s.target_within, s.response_stages, accepted, s.calendar, the_lead;
END
$$;
COMMENT ON FUNCTION leadscore._sla_stage_clocks(text, leadscore.lead_stage, timestamptz, text, xid8, timestamptz, text) IS
'Internal: clocks of a service level as of a time, for the visits that leadscore._sla_visits() says; of all visits also the highest stage that the lead reached from then on, and in which it is.';

CREATE FUNCTION leadscore._sla_is_to_blame(sqlstate text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT (left(sqlstate, 2) IN ('42', '22', '0A', '3F') OR sqlstate = '55000') AND sqlstate <> '42501'
$$;
COMMENT ON FUNCTION leadscore._sla_is_to_blame(text) IS
'Internal: does an error say something of the service level, rather than of the server or of who asks?';

CREATE FUNCTION leadscore._sla_all(model text, at timestamptz, which text)
RETURNS TABLE (stage leadscore.lead_stage, starts text, lead_key text, entered_at timestamptz, started_at timestamptz,
	deadline timestamptz, target_at timestamptz, responded_at timestamptz, attempts bigint, ended_at timestamptz,
	left_to leadscore.lead_stage, left_automatically boolean, best_rank integer, last_rank integer, last_at timestamptz,
	outcome text, breached boolean, response_time interval, band text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
	s	leadscore.sla;
BEGIN
	-- says so if there is no such model
	PERFORM leadscore._reporting_time_zone(_sla_all.model);
	FOR s IN SELECT * FROM leadscore.sla l WHERE l.model = _sla_all.model ORDER BY l.stage::integer LOOP
		BEGIN
			RETURN QUERY
			SELECT s.stage, s.starts, c.lead_key, c.entered_at, c.started_at, c.deadline, c.target_at, c.responded_at, c.attempts,
				   c.ended_at, c.left_to, c.left_automatically, c.best_rank, c.last_rank, c.last_at, c.outcome, c.breached,
				   c.responded_at - c.started_at,
				   CASE WHEN c.responded_at <= c.started_at + interval '1:00' THEN 'within 1 h'
						WHEN c.responded_at <= c.started_at + interval '24:00' THEN 'within 24 h'
						WHEN c.responded_at IS NOT NULL THEN 'later'
						ELSE 'none' END
			FROM leadscore._sla_stage_clocks(s.model, s.stage, coalesce(_sla_all.at, statement_timestamp()), which) c;
		EXCEPTION WHEN OTHERS THEN
			-- one that is broken does not hide the others
			IF NOT leadscore._sla_is_to_blame(SQLSTATE) THEN
				RAISE;
			END IF;
			RAISE WARNING USING
				ERRCODE = SQLSTATE,
				MESSAGE = format('service level of stage "%s" of scoring model "%s" is left out: %s', s.stage::text, s.model, SQLERRM),
				HINT = 'Mend it in leadscore.sla.';
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION leadscore._sla_all(text, timestamptz, text) IS
'Internal: clocks of all service levels of a model as of a time, NULL: now; those that cannot be worked out are left out with a warning.  Errors: 22004 no model, 42704 unknown model, 42501.';

CREATE FUNCTION leadscore.sla_clocks(model text, at timestamptz DEFAULT NULL)
RETURNS TABLE (model text, lead_key text, stage leadscore.lead_stage, starts text, entered_at timestamptz, started_at timestamptz,
	target_at timestamptz, deadline timestamptz, responded_at timestamptz, attempts bigint, ended_at timestamptz,
	left_to leadscore.lead_stage, outcome text, breached boolean, response_time interval, band text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT sla_clocks.model, c.lead_key, c.stage, c.starts, c.entered_at, c.started_at, c.target_at, c.deadline, c.responded_at,
		   c.attempts, c.ended_at, c.left_to, c.outcome, c.breached, c.response_time, c.band
	FROM leadscore._sla_all(sla_clocks.model, sla_clocks.at, 'all') c
$$;
COMMENT ON FUNCTION leadscore.sla_clocks(text, timestamptz) IS
'All clocks of a model''s service levels as of a time (NULL: now), from history and what the events'' tables say today: one for each time that a lead entered the stage.  Of a lead that was in it when the model was attached, the clock starts then.  A response comes after the entry (not before the request, where that starts the clock), and not after the lead left the stage; attempts counts all of them.  outcome is answered (in time), late (answered after the deadline), breached (left after the deadline without a response), void (left by then without one; the lead is deleted) or open; breached whether the deadline was missed, by an open one as well.  response_time and band (within 1 h, within 24 h, later, none) are by the clock on the wall, whatever the calendar.  Leads that row security of the state table keeps from the caller are left out; a service level that cannot be worked out is, with a warning.  Errors: 22004 model NULL, 42704 unknown model, 42501 without the privilege to read leadscore.history, the state table or, for those who may not read that, the events.';

CREATE FUNCTION leadscore.attempts(model text, lead_key text, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	the_stage leadscore.lead_stage;
	as_of	timestamptz := coalesce(attempts.at, statement_timestamp());
BEGIN
	SELECT h.to_stage INTO the_stage
	FROM leadscore.history h
	WHERE h.model = attempts.model AND h.lead_key = attempts.lead_key AND h.at <= as_of
	  AND h.from_stage::integer IS DISTINCT FROM h.to_stage::integer
	ORDER BY h.at DESC, h.xact DESC, h.xact_order DESC LIMIT 1;
	IF NOT EXISTS (SELECT FROM leadscore.sla s
				   WHERE s.model = attempts.model AND s.stage OPERATOR(leadscore.=) the_stage AND s.response_activity IS NOT NULL) THEN
		RETURN NULL;
	END IF;
	RETURN coalesce((SELECT c.attempts FROM leadscore._sla_stage_clocks(attempts.model, the_stage, as_of, 'lead', the_lead => attempts.lead_key) c), 0);
END
$$;
COMMENT ON FUNCTION leadscore.attempts(text, text, timestamptz) IS
'The same, with the key of the lead as text.';

CREATE FUNCTION leadscore.attempts(model text, lead_key anyelement, at timestamptz DEFAULT NULL) RETURNS bigint
LANGUAGE sql STABLE
AS $$
	SELECT leadscore.attempts(model, lead_key::pg_catalog.text, at)
$$;
COMMENT ON FUNCTION leadscore.attempts(text, anyelement, timestamptz) IS
'How often the lead with this key has been contacted since the clock of its stage started, as of a time (NULL: now), by the stage''s service level; NULL if that has none, or one without response_activity, and for an unknown lead or model.  Errors: 42501 without the privilege to read leadscore.history, the state table or, for those who may not read that, the events, and what is wrong with the service level.';

CREATE VIEW leadscore.sla_clock WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', a.model, c.lead_key, c.stage::text, extract(epoch FROM c.started_at)) AS key,
	   a.model, c.lead_key, c.stage::text COLLATE "C" AS stage, c.stage::integer AS stage_rank, c.starts, c.started_at, c.target_at,
	   c.deadline, c.deadline - pg_catalog.statement_timestamp() AS remaining,
	   c.target_at < pg_catalog.statement_timestamp() AS past_target, c.breached
FROM leadscore.attachment a, LATERAL leadscore._sla_all(a.model, NULL, 'running') c
WHERE c.outcome = 'open';
COMMENT ON VIEW leadscore.sla_clock IS
'Running clocks of all attached models: leads that wait for an answer now.  ORDER BY deadline is the order to answer them in.';
COMMENT ON COLUMN leadscore.sla_clock.key IS 'Unique: model, lead, stage and when the clock started.';
COMMENT ON COLUMN leadscore.sla_clock.model IS 'Model.';
COMMENT ON COLUMN leadscore.sla_clock.lead_key IS 'Key of the lead, as text.';
COMMENT ON COLUMN leadscore.sla_clock.stage IS 'Stage in which it waits, as text.';
COMMENT ON COLUMN leadscore.sla_clock.stage_rank IS 'Number that orders as stages do.';
COMMENT ON COLUMN leadscore.sla_clock.starts IS 'What started the clock: stage (the entry) or request.';
COMMENT ON COLUMN leadscore.sla_clock.started_at IS 'When that was.';
COMMENT ON COLUMN leadscore.sla_clock.target_at IS 'When the lead should be answered.';
COMMENT ON COLUMN leadscore.sla_clock.deadline IS 'When the lead has to be answered.';
COMMENT ON COLUMN leadscore.sla_clock.remaining IS 'Time until the deadline by the clock on the wall; negative: since then.';
COMMENT ON COLUMN leadscore.sla_clock.past_target IS 'Has the target passed?';
COMMENT ON COLUMN leadscore.sla_clock.breached IS 'Has the deadline passed?';

CREATE FUNCTION leadscore._record_sla_breaches(model text, at timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
SET DateStyle = 'ISO'
AS $$
DECLARE
	s			leadscore.sla;
	p			leadscore.sla_progress;
	breach		leadscore.sla_breach;
	breaches	leadscore.sla_breach[];
	seen		xid8;
	undecided	timestamptz;
	announced	bigint := 0;
	recorded	bigint := 0;
	problem		text;
	announce	boolean;
	message		text;
BEGIN
	-- one at a time is enough
	IF NOT EXISTS (SELECT FROM leadscore.sla l WHERE l.model = _record_sla_breaches.model)
		OR NOT pg_try_advisory_xact_lock('leadscore.sla_breach'::regclass::oid::integer, hashtext(_record_sla_breaches.model)) THEN
		RETURN 0;
	END IF;
	SELECT m.announce INTO announce FROM leadscore.model m WHERE m.name = _record_sla_breaches.model;

	FOR s IN SELECT * FROM leadscore.sla l WHERE l.model = _record_sla_breaches.model ORDER BY l.stage::integer LOOP
		BEGIN
			-- before anything is read: whatever this misses comes later
			seen := pg_snapshot_xmin(pg_current_snapshot());
			SELECT * INTO p FROM leadscore.sla_progress g WHERE g.model = s.model AND g.stage OPERATOR(leadscore.=) s.stage;
			WITH clock AS MATERIALIZED (
				SELECT * FROM leadscore._sla_stage_clocks(s.model, s.stage, _record_sla_breaches.at,
					CASE WHEN p.xact <= seen THEN 'new' ELSE 'all' END, p.xact, p.undecided_since)
			), recorded AS (
				INSERT INTO leadscore.sla_breach AS b (model, lead_key, stage, started_at, deadline)
				SELECT s.model, c.lead_key, s.stage, c.started_at, c.deadline
				FROM clock c
				WHERE c.breached
				ON CONFLICT DO NOTHING
				RETURNING b.*
			)
			SELECT (SELECT min(c.entered_at) FROM clock c WHERE c.outcome = 'open' AND NOT c.breached),
				   (SELECT array_agg(r::leadscore.sla_breach ORDER BY r.deadline, r.lead_key) FROM recorded r)
			INTO undecided, breaches;
			-- what is later than this time is yet to come
			undecided := least(undecided, _record_sla_breaches.at);
			INSERT INTO leadscore.sla_progress AS g (model, stage, xact, undecided_since)
			VALUES (s.model, s.stage, seen, undecided)
			ON CONFLICT ON CONSTRAINT sla_progress_pkey DO UPDATE
			SET xact = excluded.xact, undecided_since = excluded.undecided_since
			WHERE (g.xact, g.undecided_since) IS DISTINCT FROM (excluded.xact, excluded.undecided_since);
		EXCEPTION WHEN OTHERS THEN
			-- others are not to wait until this one is mended
			IF NOT leadscore._sla_is_to_blame(SQLSTATE) THEN
				RAISE;
			END IF;
			problem := format('service level of stage "%s" cannot be worked out: %s', s.stage::text, SQLERRM);
			IF NOT EXISTS (SELECT FROM leadscore.problem q
						   WHERE q.model = s.model AND q.rule IS NULL AND q.lead_key IS NULL
							 AND (q.message = problem OR NOT starts_with(q.message, 'service level'))) THEN
				PERFORM leadscore.note_problem(s.model, NULL, NULL, SQLSTATE, problem);
			END IF;
			CONTINUE;
		END;
		CONTINUE WHEN breaches IS NULL;
		recorded := recorded + cardinality(breaches);
		FOREACH breach IN ARRAY breaches LOOP
			EXIT WHEN NOT announce OR announced >= 1000;
			message := json_build_object('kind', 'sla_breach', 'model', breach.model, 'lead_key', breach.lead_key,
				'stage', breach.stage::text, 'started_at', breach.started_at, 'deadline', breach.deadline,
				'recorded_at', breach.recorded_at)::text;
			IF octet_length(message) >= 8000 THEN
				message := json_build_object('kind', 'sla_breach', 'model', breach.model, 'lead_key', NULL,
					'stage', breach.stage::text, 'started_at', breach.started_at, 'deadline', breach.deadline,
					'recorded_at', breach.recorded_at)::text;
			END IF;
			PERFORM pg_notify('leadscore', message);
			announced := announced + 1;
		END LOOP;
	END LOOP;

	IF announce AND announced < recorded THEN
		PERFORM pg_notify('leadscore', json_build_object('kind', 'sla_breaches', 'model', _record_sla_breaches.model,
			'recorded', recorded, 'announced', announced)::text);
	END IF;
	IF problem IS NULL THEN
		DELETE FROM leadscore.problem q
		WHERE q.model = _record_sla_breaches.model AND q.rule IS NULL AND q.lead_key IS NULL
		  AND starts_with(q.message, 'service level');
	END IF;
	RETURN recorded;
END
$$;
COMMENT ON FUNCTION leadscore._record_sla_breaches(text, timestamptz) IS
'Internal: records in leadscore.sla_breach the deadlines that were missed as of a time and are not there yet, sends a NOTIFY leadscore for each if the model announces, for more than 1000 one for all the rest, and returns how many.  Looks at visits whose deadline was still to come the last time and at what was recorded in history since; at all visits the first time, and after the service level was changed.  One that cannot be worked out is noted in leadscore.problem.  Does nothing while another transaction is at it.';
REVOKE ALL ON FUNCTION leadscore._record_sla_breaches(text, timestamptz) FROM PUBLIC;

/*
 * Reports
 */

CREATE FUNCTION leadscore._sla_report(model text, at timestamptz)
RETURNS TABLE (stage leadscore.lead_stage, starts text, calendar text, respond_within interval, target_within interval,
	clocks bigint, waiting bigint, overdue bigint, void bigint, decided bigint,
	answered bigint, answered_1h bigint, answered_24h bigint, answered_on_target bigint, answered_in_time bigint,
	share_1h numeric, share_24h numeric, share_on_target numeric, share_in_time numeric,
	median_response interval, p90_response interval, median_since_entry interval, p90_since_entry interval,
	average_attempts numeric, rejected_without_contact bigint, lost_after_breach bigint,
	breaches_recorded bigint, breaches_withdrawn bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH clock AS MATERIALIZED (
		SELECT c.*, NOT (c.outcome = 'void' OR (c.outcome = 'open' AND NOT c.breached)) AS is_decided
		FROM leadscore._sla_all(_sla_report.model, _sla_report.at, 'all') c
	), counted AS (
		SELECT c.stage,
			   count(*) AS clocks,
			   count(*) FILTER (WHERE c.outcome = 'open' AND NOT c.breached) AS waiting,
			   count(*) FILTER (WHERE c.outcome = 'open' AND c.breached) AS overdue,
			   count(*) FILTER (WHERE c.outcome = 'void') AS void,
			   count(*) FILTER (WHERE c.is_decided) AS decided,
			   count(c.responded_at) AS answered,
			   count(*) FILTER (WHERE c.band = 'within 1 h') AS answered_1h,
			   count(*) FILTER (WHERE c.band IN ('within 1 h', 'within 24 h')) AS answered_24h,
			   count(*) FILTER (WHERE c.responded_at <= c.target_at) AS answered_on_target,
			   count(*) FILTER (WHERE c.outcome = 'answered') AS answered_in_time,
			   percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM c.response_time)) AS median_response,
			   percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM c.response_time)) AS p90_response,
			   percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM c.responded_at - c.entered_at)) AS median_since_entry,
			   percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM c.responded_at - c.entered_at)) AS p90_since_entry,
			   avg(c.attempts) FILTER (WHERE c.is_decided) AS average_attempts,
			   count(*) FILTER (WHERE leadscore.is_exit(c.left_to) AND NOT c.left_automatically AND c.attempts = 0) AS rejected_without_contact,
			   count(*) FILTER (WHERE c.breached AND c.last_rank < 100 AND c.last_at >= c.deadline) AS lost_after_breach
		FROM clock c
		GROUP BY c.stage
	), recorded AS (
		SELECT b.stage::integer AS rank, count(*) AS breaches, count(*) FILTER (WHERE NOT EXISTS (
				   SELECT FROM clock c
				   WHERE c.stage OPERATOR(leadscore.=) b.stage AND c.lead_key = b.lead_key AND c.started_at = b.started_at
					 AND c.breached)) AS withdrawn
		FROM leadscore.sla_breach b
		WHERE b.model = _sla_report.model
		GROUP BY b.stage::integer
	)
	SELECT s.stage, s.starts, s.calendar, s.respond_within, s.target_within,
		   coalesce(c.clocks, 0), coalesce(c.waiting, 0), coalesce(c.overdue, 0), coalesce(c.void, 0), coalesce(c.decided, 0),
		   coalesce(c.answered, 0), coalesce(c.answered_1h, 0), coalesce(c.answered_24h, 0), coalesce(c.answered_on_target, 0),
		   coalesce(c.answered_in_time, 0),
		   round(c.answered_1h::numeric / nullif(c.decided, 0), 4), round(c.answered_24h::numeric / nullif(c.decided, 0), 4),
		   round(c.answered_on_target::numeric / nullif(c.decided, 0), 4), round(c.answered_in_time::numeric / nullif(c.decided, 0), 4),
		   justify_hours(c.median_response * interval '1 second'), justify_hours(c.p90_response * interval '1 second'),
		   justify_hours(c.median_since_entry * interval '1 second'), justify_hours(c.p90_since_entry * interval '1 second'),
		   -- moves tell nothing of attempts
		   CASE WHEN s.response_activity IS NOT NULL THEN round(c.average_attempts, 2) END,
		   CASE WHEN s.response_activity IS NOT NULL THEN coalesce(c.rejected_without_contact, 0) END,
		   coalesce(c.lost_after_breach, 0), coalesce(r.breaches, 0), coalesce(r.withdrawn, 0)
	FROM leadscore.sla s
	LEFT JOIN counted c ON c.stage OPERATOR(leadscore.=) s.stage
	LEFT JOIN recorded r ON r.rank = s.stage::integer
	WHERE s.model = _sla_report.model
$$;
COMMENT ON FUNCTION leadscore._sla_report(text, timestamptz) IS
'Internal: what leadscore.sla_report shows of a model, as of a time.';

CREATE VIEW leadscore.sla_report WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', a.model, r.stage::text) AS key,
	   a.model, r.stage::text COLLATE "C" AS stage, r.stage::integer AS stage_rank, r.starts, r.calendar, r.respond_within, r.target_within,
	   r.clocks, r.waiting, r.overdue, r.void, r.decided,
	   r.answered, r.answered_1h, r.answered_24h, r.answered_on_target, r.answered_in_time,
	   r.share_1h, r.share_24h, r.share_on_target, r.share_in_time,
	   r.median_response, r.p90_response, r.median_since_entry, r.p90_since_entry,
	   r.average_attempts, r.rejected_without_contact, r.lost_after_breach, r.breaches_recorded, r.breaches_withdrawn
FROM leadscore.attachment a, LATERAL leadscore._sla_report(a.model, NULL) r;
COMMENT ON VIEW leadscore.sla_report IS
'How the service levels of all attached models were kept, by stage.  The shares are of the clocks that are decided; leadscore.sla_clocks(model) has each of them, for reports by month or channel.';
COMMENT ON COLUMN leadscore.sla_report.key IS 'Unique: model and stage.';
COMMENT ON COLUMN leadscore.sla_report.model IS 'Model.';
COMMENT ON COLUMN leadscore.sla_report.stage IS 'Stage in which leads wait for an answer, as text.';
COMMENT ON COLUMN leadscore.sla_report.stage_rank IS 'Number that orders as stages do.';
COMMENT ON COLUMN leadscore.sla_report.starts IS 'What starts a clock: stage (the entry) or request.';
COMMENT ON COLUMN leadscore.sla_report.calendar IS 'Calendar in whose open hours deadlines are counted; NULL: wall clock.';
COMMENT ON COLUMN leadscore.sla_report.respond_within IS 'Time in which leads are to be answered.';
COMMENT ON COLUMN leadscore.sla_report.target_within IS 'Time in which they should be.';
COMMENT ON COLUMN leadscore.sla_report.clocks IS 'Clocks: entries into the stage, or those of them with a request.';
COMMENT ON COLUMN leadscore.sla_report.waiting IS 'Of the clocks: running, with the deadline still to come.';
COMMENT ON COLUMN leadscore.sla_report.overdue IS 'Of the clocks: running, past the deadline.';
COMMENT ON COLUMN leadscore.sla_report.void IS 'Of the clocks: the lead left the stage by the deadline, without a response.';
COMMENT ON COLUMN leadscore.sla_report.decided IS 'Of the clocks: answered, or past the deadline; all but waiting and void.';
COMMENT ON COLUMN leadscore.sla_report.answered IS 'Of those decided: with a response, in time or late.';
COMMENT ON COLUMN leadscore.sla_report.answered_1h IS 'Of those decided: with a response within one hour, by the clock on the wall.';
COMMENT ON COLUMN leadscore.sla_report.answered_24h IS 'Of those decided: with a response within 24 hours, by the clock on the wall.';
COMMENT ON COLUMN leadscore.sla_report.answered_on_target IS 'Of those decided: with a response within target_within.';
COMMENT ON COLUMN leadscore.sla_report.answered_in_time IS 'Of those decided: with a response within respond_within.';
COMMENT ON COLUMN leadscore.sla_report.share_1h IS 'answered_1h divided by decided.';
COMMENT ON COLUMN leadscore.sla_report.share_24h IS 'answered_24h divided by decided.';
COMMENT ON COLUMN leadscore.sla_report.share_on_target IS 'answered_on_target divided by decided.';
COMMENT ON COLUMN leadscore.sla_report.share_in_time IS 'answered_in_time divided by decided.';
COMMENT ON COLUMN leadscore.sla_report.median_response IS 'Median time from the start of the clock to the response, of the answered ones, by the clock on the wall.';
COMMENT ON COLUMN leadscore.sla_report.p90_response IS '90th percentile of the same.';
COMMENT ON COLUMN leadscore.sla_report.median_since_entry IS 'Median time from the entry into the stage to the response, of the answered ones: where a request starts the clock, beside median_response.';
COMMENT ON COLUMN leadscore.sla_report.p90_since_entry IS '90th percentile of the same.';
COMMENT ON COLUMN leadscore.sla_report.average_attempts IS 'Responses per clock that is decided; NULL where moves are the responses.';
COMMENT ON COLUMN leadscore.sla_report.rejected_without_contact IS 'Clocks of leads that somebody moved to an exit (disqualified, lost, nurture) without any response; NULL where moves are the responses.';
COMMENT ON COLUMN leadscore.sla_report.lost_after_breach IS 'Clocks that were breached and whose lead is in an exit now, since the deadline or later.';
COMMENT ON COLUMN leadscore.sla_report.breaches_recorded IS 'Rows of leadscore.sla_breach.';
COMMENT ON COLUMN leadscore.sla_report.breaches_withdrawn IS 'Of those recorded: no breach by what is known now, since a response was delivered late or the service level was changed.';

CREATE FUNCTION leadscore._sla_bands(model text, at timestamptz)
RETURNS TABLE (stage leadscore.lead_stage, band_rank integer, band text, clocks bigint, accepted bigint, customers bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT s.stage, b.band_rank, b.band, count(c.lead_key),
		   CASE WHEN s.stage OPERATOR(leadscore.<) m.accepted_stage THEN
				count(*) FILTER (WHERE c.best_rank >= m.accepted_stage::integer) END,
		   CASE WHEN NOT leadscore.is_customer(s.stage) THEN
				count(*) FILTER (WHERE c.best_rank >= 300) END
	FROM leadscore.model m
	JOIN leadscore.sla s ON s.model = m.name
	CROSS JOIN (VALUES (1, 'within 1 h'), (2, 'within 24 h'), (3, 'later'), (4, 'none')) b(band_rank, band)
	LEFT JOIN leadscore._sla_all(_sla_bands.model, _sla_bands.at, 'all') c
		ON c.stage OPERATOR(leadscore.=) s.stage AND c.band = b.band AND (c.outcome <> 'open' OR c.breached)
	WHERE m.name = _sla_bands.model
	GROUP BY s.stage, b.band_rank, b.band, m.accepted_stage
$$;
COMMENT ON FUNCTION leadscore._sla_bands(text, timestamptz) IS
'Internal: what leadscore.sla_band shows of a model, as of a time.';

CREATE VIEW leadscore.sla_band WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', a.model, b.stage::text, b.band_rank) AS key,
	   a.model, b.stage::text COLLATE "C" AS stage, b.stage::integer AS stage_rank, b.band_rank, b.band COLLATE "C" AS band, b.clocks,
	   b.accepted, pg_catalog.round(b.accepted::numeric / NULLIF(b.clocks, 0), 4) AS accepted_share,
	   b.customers, pg_catalog.round(b.customers::numeric / NULLIF(b.clocks, 0), 4) AS customer_share
FROM leadscore.attachment a, LATERAL leadscore._sla_bands(a.model, NULL) b;
COMMENT ON VIEW leadscore.sla_band IS
'What became of leads by how soon they were answered, for all attached models, by stage and band.';
COMMENT ON COLUMN leadscore.sla_band.key IS 'Unique: model, stage and band.';
COMMENT ON COLUMN leadscore.sla_band.model IS 'Model.';
COMMENT ON COLUMN leadscore.sla_band.stage IS 'Stage in which leads wait for an answer, as text.';
COMMENT ON COLUMN leadscore.sla_band.stage_rank IS 'Number that orders as stages do.';
COMMENT ON COLUMN leadscore.sla_band.band_rank IS 'Number that orders the bands, from 1.';
COMMENT ON COLUMN leadscore.sla_band.band IS 'Time from the start of the clock to the first response, by the clock on the wall: within 1 h, within 24 h, later, or none (there was no response).';
COMMENT ON COLUMN leadscore.sla_band.clocks IS 'Clocks of the band, without those that run and whose deadline is still to come.';
COMMENT ON COLUMN leadscore.sla_band.accepted IS 'Of them: the lead reached the model''s accepted_stage or one beyond, afterwards; NULL where the stage itself is beyond.';
COMMENT ON COLUMN leadscore.sla_band.accepted_share IS 'accepted divided by clocks of the band.';
COMMENT ON COLUMN leadscore.sla_band.customers IS 'Of them: the lead became a customer afterwards; NULL where the stage itself is a customer''s.';
COMMENT ON COLUMN leadscore.sla_band.customer_share IS 'customers divided by clocks of the band.';

--
-- Playbook
--

CREATE TABLE leadscore.playbook (
	id				bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	model			text COLLATE "C" NOT NULL
					REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	temperature		text COLLATE "C",
	grade			text COLLATE "C",
	stage			leadscore.lead_stage,
	action			text NOT NULL,
	content			text,
	condition		text,
	step			integer,
	search_path		text,
	CONSTRAINT playbook_temperature_check CHECK (temperature IN ('cold', 'warm', 'hot')),
	CONSTRAINT playbook_grade_check CHECK (grade ~ '^[[:alnum:]]{1,16}$'),
	CONSTRAINT playbook_action_check CHECK (action <> ''),
	CONSTRAINT playbook_step_check CHECK (step > 0)
);
/* Conditions can be longer than a key of an index. */
CREATE UNIQUE INDEX playbook_key ON leadscore.playbook (model, temperature, grade, stage, pg_catalog.md5(condition), step) NULLS NOT DISTINCT;
COMMENT ON TABLE leadscore.playbook IS
'Playbook: what to do next with a lead, by its temperature, grade and stage.  Of the rows that fit a lead the one wins that names most of these three; of several that name as many, one that names the stage, then one that names the grade; of equals one whose condition holds before one without a condition, and the lowest id.';
COMMENT ON COLUMN leadscore.playbook.id IS 'Number of the row.';
COMMENT ON COLUMN leadscore.playbook.model IS 'Model whose leads it is for.';
COMMENT ON COLUMN leadscore.playbook.temperature IS 'cold, warm or hot; NULL: any.';
COMMENT ON COLUMN leadscore.playbook.grade IS 'Grade as the scored view shows it, such as A1; NULL: any.';
COMMENT ON COLUMN leadscore.playbook.stage IS 'Stage; NULL: any.';
COMMENT ON COLUMN leadscore.playbook.action IS 'What to do, in a few words: "call within the hour".';
COMMENT ON COLUMN leadscore.playbook.content IS 'What to say or to send: a text, or where to find it; NULL: nothing in particular.';
COMMENT ON COLUMN leadscore.playbook.condition IS 'SQL boolean expression over the columns of the model''s source, such as the interests of a lead, without which the row is not meant for it; NULL: none.';
COMMENT ON COLUMN leadscore.playbook.step IS 'Rows that differ in nothing but this are the steps of a programme, from the lowest number on: each is to be done once, and leadscore.acknowledge_action() goes on to the next.  After the last one the row without a step comes, if there is one, or the next best.  NULL: to be done as long as it fits.';
COMMENT ON COLUMN leadscore.playbook.search_path IS 'Schemas in which the condition''s names are looked up; filled with the writer''s search_path.';

CREATE TABLE leadscore.playbook_progress (
	model			text COLLATE "C" NOT NULL
					REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	lead_key		text COLLATE "C" NOT NULL,
	playbook		bigint NOT NULL
					REFERENCES leadscore.playbook ON UPDATE CASCADE ON DELETE CASCADE,
	acknowledged_at	timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	acknowledged_by	name NOT NULL DEFAULT SESSION_USER,
	times			integer NOT NULL DEFAULT 1,
	PRIMARY KEY (model, lead_key, playbook)
);
CREATE INDEX playbook_progress_playbook_idx ON leadscore.playbook_progress (playbook);
COMMENT ON TABLE leadscore.playbook_progress IS
'What of the playbook was done with whom.  leadscore.acknowledge_action() writes it; to begin a programme anew with a lead, delete its rows.';
COMMENT ON COLUMN leadscore.playbook_progress.model IS 'Model whose lead it is.';
COMMENT ON COLUMN leadscore.playbook_progress.lead_key IS 'Key of the lead, as text.';
COMMENT ON COLUMN leadscore.playbook_progress.playbook IS 'Row of the playbook that was done.';
COMMENT ON COLUMN leadscore.playbook_progress.acknowledged_at IS 'When that was acknowledged last.';
COMMENT ON COLUMN leadscore.playbook_progress.acknowledged_by IS 'Who was logged in to the session that did.';
COMMENT ON COLUMN leadscore.playbook_progress.times IS 'How often it was acknowledged.';

SELECT pg_catalog.pg_extension_config_dump('leadscore.playbook', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.playbook_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.playbook_progress', '');

CREATE FUNCTION leadscore.check_playbook_row() RETURNS trigger
AS 'MODULE_PATHNAME', 'leadscore_check_playbook_row'
LANGUAGE C;
COMMENT ON FUNCTION leadscore.check_playbook_row() IS
'Trigger on leadscore.playbook: compiles the condition and fills in search_path';
REVOKE ALL ON FUNCTION leadscore.check_playbook_row() FROM PUBLIC;

CREATE TRIGGER check_row BEFORE INSERT OR UPDATE ON leadscore.playbook
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_playbook_row();
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.playbook
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.playbook
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.playbook_progress
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.playbook_progress
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
ALTER TABLE leadscore.playbook ENABLE ALWAYS TRIGGER check_row;
ALTER TABLE leadscore.playbook ENABLE ALWAYS TRIGGER a_relax_foreign_keys;
ALTER TABLE leadscore.playbook ENABLE ALWAYS TRIGGER z_relax_foreign_keys;
ALTER TABLE leadscore.playbook_progress ENABLE ALWAYS TRIGGER a_relax_foreign_keys;
ALTER TABLE leadscore.playbook_progress ENABLE ALWAYS TRIGGER z_relax_foreign_keys;

/* Reads the source of a lead in the leader only, as _live() does. */
CREATE FUNCTION leadscore._next_action(model text, lead_key anyelement, temperature text, grade text, stage text) RETURNS text
AS 'MODULE_PATHNAME', 'leadscore_next_action_of_row'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10;
COMMENT ON FUNCTION leadscore._next_action(text, anyelement, text, text, text) IS
'Internal: action of the playbook for a lead of an attached model that has this temperature, grade and stage; the scored views call it.  A condition that fails counts as one that does not hold.  NULL if there is none, or the model is not attached.  Errors: 42501 no SELECT privilege on the state table, 42804 the key is of another type.';

CREATE FUNCTION leadscore.next_action(model text, lead_key anyelement,
	OUT action text, OUT content text, OUT step integer, OUT playbook bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'leadscore_next_action'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION leadscore.next_action(text, anyelement) IS
'What to do next with the lead that has this key, by the playbook of an attached model and the lead''s temperature, grade and stage as of now: action, content, step of a programme, and which row of leadscore.playbook says so.  All NULL if none fits, for a lead that is not there or that the caller may not see, and for a NULL argument.  Errors: 42704 unknown model, 55000 not attached, 42804 or 22P02 or 22003 not a key, 42501 no SELECT privilege on the state table or the scored view, and what a condition raises.';

CREATE FUNCTION leadscore.next_action(model text, lead_key text,
	OUT action text, OUT content text, OUT step integer, OUT playbook bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'leadscore_next_action'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000;
COMMENT ON FUNCTION leadscore.next_action(text, text) IS
'The same, with the key of the lead as text.';

CREATE FUNCTION leadscore.acknowledge_action(model text, lead_key anyelement, done bigint DEFAULT NULL,
	OUT action text, OUT content text, OUT step integer, OUT playbook bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'leadscore_acknowledge_action'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.acknowledge_action(text, anyelement, bigint) IS
'Notes in leadscore.playbook_progress that the next action for a lead was done, or the row of the playbook that is given in done (NULL: the next action), and returns what next_action() says then: of a programme, the next step.  Who may change the lead''s row may do that.  All NULL, and nothing is noted, for a lead that has no next action.  Errors: 22004 model or lead_key NULL, P0002 no such lead that the caller may change, 42704 unknown model, or its playbook has no row done, and as next_action(model, lead_key).';

CREATE FUNCTION leadscore.acknowledge_action(model text, lead_key text, done bigint DEFAULT NULL,
	OUT action text, OUT content text, OUT step integer, OUT playbook bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'leadscore_acknowledge_action'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION leadscore.acknowledge_action(text, text, bigint) IS
'The same, with the key of the lead as text.';

CREATE FUNCTION leadscore.check_playbook(model text)
RETURNS TABLE (playbook bigint, sqlstate text, message text)
AS 'MODULE_PATHNAME', 'leadscore_check_playbook'
LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION leadscore.check_playbook(text) IS
'The rows of a model''s playbook whose condition cannot be used any more, because a column is gone for example, and what is wrong with it; they are passed over.  If the model''s source is gone, all rows with a condition.  No row if all is well.  NULL gives no rows.  Errors: 42704 unknown model.';

--
-- Funnel
--
-- All of it is made from leadscore.history when it is read, in one pass over
-- the rows that moved a stage.  A lead has come to "A or beyond" once the rank
-- of its stage was that of A or higher; ranks below 100 are exits and so never
-- beyond anything.  Months are those of the model's time zone.
--
-- A filter on the model reaches the history through each of these views, since
-- their windows and groups are parted by it.  They see the history by ranks:
-- the operators of stages are in no search_path here.
--

CREATE TABLE leadscore.channel_cost (
	model			text COLLATE "C" NOT NULL
					REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	channel			text,
	month			date NOT NULL,
	cost			numeric,
	direction		text COLLATE "C",
	description		text,
	CONSTRAINT channel_cost_key UNIQUE NULLS NOT DISTINCT (model, channel, month),
	CONSTRAINT channel_cost_month_check CHECK (pg_catalog.isfinite(month) AND extract(day FROM month) = 1),
	CONSTRAINT channel_cost_cost_check CHECK (cost >= 0 AND cost < 'Infinity'),
	CONSTRAINT channel_cost_direction_check CHECK (direction IN ('inbound', 'outbound'))
);
COMMENT ON TABLE leadscore.channel_cost IS
'Costs of the acquisition channels by month, for leadscore.channel_report.';
COMMENT ON COLUMN leadscore.channel_cost.model IS 'Model whose leads the channel brings.';
COMMENT ON COLUMN leadscore.channel_cost.channel IS 'Channel, written as the model''s channel expression gives it; NULL: that of leads without one.';
COMMENT ON COLUMN leadscore.channel_cost.month IS 'Month, as its first day.';
COMMENT ON COLUMN leadscore.channel_cost.cost IS 'What the channel cost in that month, in the currency of the reports; 0: nothing; NULL: not known, and then no cost per lead is shown.';
COMMENT ON COLUMN leadscore.channel_cost.direction IS 'inbound (leads come by themselves) or outbound (they are sought); months without a row take it from the nearest earlier month that has it, else from the nearest later one.  NULL: not known.';
COMMENT ON COLUMN leadscore.channel_cost.description IS 'What the money was spent on.';

CREATE TABLE leadscore.target (
	model			text COLLATE "C" NOT NULL
					REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	month			date NOT NULL,
	generated		bigint,
	accepted		bigint,
	customers		bigint,
	description		text,
	PRIMARY KEY (model, month),
	CONSTRAINT target_month_check CHECK (pg_catalog.isfinite(month) AND extract(day FROM month) = 1),
	CONSTRAINT target_generated_check CHECK (generated >= 0),
	CONSTRAINT target_accepted_check CHECK (accepted >= 0),
	CONSTRAINT target_customers_check CHECK (customers >= 0)
);
COMMENT ON TABLE leadscore.target IS
'What marketing and sales agreed on for a month: how many leads are to be generated, accepted and won.  The view leadscore.agreement sets it against what came.';
COMMENT ON COLUMN leadscore.target.model IS 'Model whose leads are counted.';
COMMENT ON COLUMN leadscore.target.month IS 'Month, as its first day.';
COMMENT ON COLUMN leadscore.target.generated IS 'Leads that marketing is to generate: that come to the stage lead or beyond for the first time in the month; NULL: no target.';
COMMENT ON COLUMN leadscore.target.accepted IS 'Leads that sales is to accept in the month; NULL: no target.';
COMMENT ON COLUMN leadscore.target.customers IS 'Leads that are to become customers in the month; NULL: no target.';
COMMENT ON COLUMN leadscore.target.description IS 'What else was agreed on.';

/* Its key may hold NULL, which replication of changes would not accept. */
ALTER TABLE leadscore.channel_cost REPLICA IDENTITY FULL;

SELECT pg_catalog.pg_extension_config_dump('leadscore.channel_cost', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.target', '');

CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.channel_cost
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.channel_cost
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.target
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.target
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
ALTER TABLE leadscore.channel_cost ENABLE ALWAYS TRIGGER a_relax_foreign_keys;
ALTER TABLE leadscore.channel_cost ENABLE ALWAYS TRIGGER z_relax_foreign_keys;
ALTER TABLE leadscore.target ENABLE ALWAYS TRIGGER a_relax_foreign_keys;
ALTER TABLE leadscore.target ENABLE ALWAYS TRIGGER z_relax_foreign_keys;

CREATE FUNCTION leadscore._state_channels(model text)
RETURNS TABLE (lead_key text, channel text)
LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED
COST 1000 ROWS 2000		-- were it more, queries over a handful of leads would be compiled
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF has_table_privilege(to_regclass(format('leadscore.%I', model || '_state')), 'SELECT') THEN
		RETURN QUERY EXECUTE format('SELECT s.lead_key::text, s.channel FROM leadscore.%I s WHERE s.channel IS NOT NULL', model || '_state');
	END IF;
END
$$;
COMMENT ON FUNCTION leadscore._state_channels(text) IS
'Internal: the channels that the states of an attached model know, also of leads whose channel became known after their stage last moved; no rows for those who may not read the state table.';

CREATE VIEW leadscore.stage_visit WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', v.model, v.lead_key, v.visit) AS key,
	   v.model,
	   v.lead_key,
	   v.visit,
	   leadscore.lead_stage_to_text(v.to_stage) COLLATE "C" AS stage,
	   v.to_rank AS stage_rank,
	   v.at AS entered_at,
	   v.left_at,
	   v.left_at - v.at AS duration,
	   extract(epoch FROM v.left_at - v.at)::double precision AS seconds,
	   leadscore.lead_stage_to_text(v.from_stage) COLLATE "C" AS from_stage,
	   v.from_rank AS from_stage_rank,
	   leadscore.lead_stage_to_text(v.next_stage) COLLATE "C" AS next_stage,
	   v.next_stage::integer AS next_stage_rank,
	   v.cause,
	   v.automatic,
	   v.listed,
	   v.score,
	   coalesce(v.channel, c.channel) AS channel,
	   v.recycled,
	   v.furthest_before AS furthest_before_rank,
	   v.furthest AS furthest_rank,
	   v.current_rank AS current_stage_rank,
	   pg_catalog.sum(v.recycled::integer) OVER (PARTITION BY v.model, v.lead_key) AS recycles
FROM (SELECT w.*,
			 -- up again in the funnel: out of an exit after it had been there, or after a step back
			 coalesce(w.to_rank >= 100 AND w.to_rank > w.from_rank
					  AND CASE WHEN w.from_rank < 100 THEN w.furthest_before >= 100
							   ELSE w.from_rank < w.before_that_rank END, false) AS recycled
	  FROM (SELECT h.model, h.lead_key, h.at, h.to_stage, h.to_rank, h.from_stage, h.from_rank,
				   h.cause, h.automatic, h.listed, h.score,
				   pg_catalog.row_number() OVER in_order AS visit,
				   pg_catalog.lead(h.at) OVER in_order AS left_at,
				   pg_catalog.lead(h.to_stage) OVER in_order AS next_stage,
				   pg_catalog.lag(h.from_rank) OVER in_order AS before_that_rank,
				   -- what the first row came from was there before, whether or not it is still known when
				   greatest(h.from_rank, pg_catalog.max(greatest(h.from_rank, h.to_rank))
							OVER (in_order ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS furthest_before,
				   pg_catalog.max(greatest(h.from_rank, h.to_rank)) OVER whole AS furthest,
				   pg_catalog.last_value(h.to_rank) OVER whole AS current_rank,
				   pg_catalog.last_value(h.channel) OVER whole AS channel
			FROM (SELECT a.*, a.from_stage::integer AS from_rank, a.to_stage::integer AS to_rank
				  FROM leadscore.history a) h
			WHERE h.from_rank IS DISTINCT FROM h.to_rank
			WINDOW in_order AS (PARTITION BY h.model, h.lead_key ORDER BY h.at, h.xact, h.xact_order),
				   whole AS (in_order ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)) w) v
	 -- grouped, so that the planner sees it has one row for a lead, and leaves it out when nobody asks for channels
	 LEFT JOIN (SELECT m.name AS model, s.lead_key COLLATE "C" AS lead_key, pg_catalog.max(s.channel) AS channel
				FROM leadscore.model m, LATERAL leadscore._state_channels(m.name) s
				WHERE m.channel IS NOT NULL
				GROUP BY m.name, s.lead_key COLLATE "C") c
		ON c.model = v.model AND c.lead_key = v.lead_key;
COMMENT ON VIEW leadscore.stage_visit IS
'Each visit that a lead paid to a stage: one row for every time it entered one.  A visit that began before its model was attached begins with the attachment.  The other views of the funnel are made from this one.';
COMMENT ON COLUMN leadscore.stage_visit.key IS 'Unique: model, lead and number of the visit.';
COMMENT ON COLUMN leadscore.stage_visit.model IS 'Model.';
COMMENT ON COLUMN leadscore.stage_visit.lead_key IS 'Key of the lead, as text.';
COMMENT ON COLUMN leadscore.stage_visit.visit IS 'Which of the lead''s visits it is: 1 for the first one known.';
COMMENT ON COLUMN leadscore.stage_visit.stage IS 'Stage that was entered, as text.';
COMMENT ON COLUMN leadscore.stage_visit.stage_rank IS 'Number that orders as stages do: below 100 exits, from 200 qualified, from 300 customers.';
COMMENT ON COLUMN leadscore.stage_visit.entered_at IS 'When it was entered.';
COMMENT ON COLUMN leadscore.stage_visit.left_at IS 'When it was left; NULL: the visit is open, the lead is still there, or was when it was deleted.';
COMMENT ON COLUMN leadscore.stage_visit.duration IS 'How long the visit was; NULL while it is open.';
COMMENT ON COLUMN leadscore.stage_visit.seconds IS 'The same in seconds.';
COMMENT ON COLUMN leadscore.stage_visit.from_stage IS 'Stage the lead came from; NULL: it is its first.';
COMMENT ON COLUMN leadscore.stage_visit.from_stage_rank IS 'Its rank.';
COMMENT ON COLUMN leadscore.stage_visit.next_stage IS 'Stage it went on to; NULL while the visit is open.';
COMMENT ON COLUMN leadscore.stage_visit.next_stage_rank IS 'Its rank.';
COMMENT ON COLUMN leadscore.stage_visit.cause IS 'What moved the lead there: see leadscore.history.';
COMMENT ON COLUMN leadscore.stage_visit.automatic IS 'Was it an automatic transition?';
COMMENT ON COLUMN leadscore.stage_visit.listed IS 'Was the move in leadscore.transition?';
COMMENT ON COLUMN leadscore.stage_visit.score IS 'Score of the lead as it entered.';
COMMENT ON COLUMN leadscore.stage_visit.channel IS 'Acquisition channel of the lead, as it is known today; NULL: none.';
COMMENT ON COLUMN leadscore.stage_visit.recycled IS 'Did the lead come again with this visit: up in the funnel after a step back, or into it out of an exit (nurture, lost, disqualified)?';
COMMENT ON COLUMN leadscore.stage_visit.furthest_before_rank IS 'Rank of the furthest stage the lead had been in before; NULL: it is its first.';
COMMENT ON COLUMN leadscore.stage_visit.furthest_rank IS 'Rank of the furthest stage the lead was ever in, up to today.';
COMMENT ON COLUMN leadscore.stage_visit.current_stage_rank IS 'Rank of the stage it is in today.';
COMMENT ON COLUMN leadscore.stage_visit.recycles IS 'How often the lead came again, in all.';

CREATE FUNCTION leadscore._named_stages() RETURNS TABLE (model text, stage_rank integer)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT m.name, m.initial_stage::integer FROM leadscore.model m
	UNION ALL SELECT t.model, t.from_stage::integer FROM leadscore.transition t
	UNION ALL SELECT t.model, t.to_stage::integer FROM leadscore.transition t
	UNION ALL SELECT s.model, s.stage::integer FROM leadscore.stage_map s;
END;
COMMENT ON FUNCTION leadscore._named_stages() IS
'Internal: ranks of the stages that the tables of each model name, some of them several times.';

/*
 * A row of leadscore.stage_visit whose stage_rank is above furthest_before_rank
 * is the first entry, at once, into all stages after the latter up to the
 * former: "A or beyond", of which those between were skipped.  A stage is in
 * use if a lead entered it in this way, or if the model's tables name it.
 */
CREATE VIEW leadscore.funnel WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', f.model, pg_catalog.to_char(f.month, 'YYYY-MM'), a.stage::text, f.channel) AS key,
	   f.model,
	   f.month,
	   f.channel,
	   a.stage::text COLLATE "C" AS from_stage,
	   f.rank AS from_stage_rank,
	   b.stage::text COLLATE "C" AS to_stage,
	   f.next_rank AS to_stage_rank,
	   f.leads,
	   f.converted,
	   pg_catalog.round(f.converted::numeric / f.leads, 4) AS conversion_rate,
	   f.exited,
	   f.leads - f.converted - f.exited AS still_open,
	   f.recycled,
	   f.recycles
FROM (SELECT n.model, n.month, n.channel, n.rank, n.next_rank,
			 pg_catalog.sum(n.leads)::bigint AS leads,
			 pg_catalog.sum(CASE WHEN n.furthest >= n.next_rank THEN n.leads WHEN n.furthest < n.next_rank THEN 0 END)::bigint AS converted,
			 pg_catalog.sum(CASE WHEN n.furthest < n.next_rank AND n.is_out THEN n.leads WHEN n.next_rank IS NOT NULL THEN 0 END)::bigint AS exited,
			 pg_catalog.sum(n.recycled)::bigint AS recycled,
			 pg_catalog.sum(n.recycles)::bigint AS recycles
	  FROM (SELECT u.*,
				   pg_catalog.min(u.rank) OVER (PARTITION BY u.model ORDER BY u.rank RANGE BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS next_rank
			FROM (SELECT e.*, pg_catalog.bool_or(e.named) OVER (PARTITION BY e.model, e.rank) AS in_use
				  FROM (SELECT c.model, c.month, c.channel, s.stage_rank::integer AS rank, c.entered = s.stage_rank AS named,
							   c.furthest, c.is_out, c.leads, c.recycled, c.recycles
						FROM (SELECT v.model,
									 pg_catalog.date_trunc('month', v.entered_at AT TIME ZONE m.time_zone)::date AS month,
									 v.channel,
									 v.furthest_before_rank AS passed,
									 v.stage_rank AS entered,
									 v.furthest_rank AS furthest,
									 v.current_stage_rank < 100 AS is_out,
									 pg_catalog.count(*) AS leads,
									 pg_catalog.count(*) FILTER (WHERE v.recycles > 0) AS recycled,
									 pg_catalog.sum(v.recycles) AS recycles
							  FROM leadscore.stage_visit v JOIN leadscore.model m ON m.name = v.model
							  WHERE v.stage_rank >= 100 AND (v.stage_rank > v.furthest_before_rank) IS NOT FALSE
							  GROUP BY 1, 2, 3, 4, 5, 6, 7) c
						JOIN leadscore.lead_stages() s
							ON s.stage_rank BETWEEN 100 AND c.entered AND (s.stage_rank > c.passed) IS NOT FALSE
						UNION ALL
						-- so that a stage where nobody has come yet may be the next one
						SELECT n.model, NULL, NULL, n.stage_rank, true, NULL, NULL, NULL, NULL, NULL
						FROM leadscore._named_stages() n WHERE n.stage_rank >= 100) e) u
			WHERE u.in_use) n
	  WHERE n.leads IS NOT NULL
	  GROUP BY n.model, n.month, n.channel, n.rank, n.next_rank) f
JOIN leadscore.lead_stages() a ON a.stage_rank = f.rank
LEFT JOIN leadscore.lead_stages() b ON b.stage_rank = f.next_rank;
COMMENT ON VIEW leadscore.funnel IS
'Conversion from each stage in use to the next one, by month and channel.  The month is the cohort: that in which a lead came to from_stage or beyond for the first time, in the model''s time zone.  A lead that skips stages counts in all it passed, one that is recycled counts once, and one in an exit (nurture, lost, disqualified) is never beyond any.  The latest cohorts have had less time to convert, and leads that were deleted stand where they last stood.  leadscore.conversion() has any two stages and any period.';
COMMENT ON COLUMN leadscore.funnel.key IS 'Unique: model, month, stage and channel.';
COMMENT ON COLUMN leadscore.funnel.model IS 'Model.';
COMMENT ON COLUMN leadscore.funnel.month IS 'Month of the cohort, as its first day.';
COMMENT ON COLUMN leadscore.funnel.channel IS 'Acquisition channel; NULL: leads without one.';
COMMENT ON COLUMN leadscore.funnel.from_stage IS 'Stage, as text.';
COMMENT ON COLUMN leadscore.funnel.from_stage_rank IS 'Its rank: a number that orders as stages do.';
COMMENT ON COLUMN leadscore.funnel.to_stage IS 'The next stage that the model uses; NULL: there is none.';
COMMENT ON COLUMN leadscore.funnel.to_stage_rank IS 'Its rank.';
COMMENT ON COLUMN leadscore.funnel.leads IS 'Leads that came to from_stage or beyond for the first time in the month.';
COMMENT ON COLUMN leadscore.funnel.converted IS 'Those of them that ever came to to_stage or beyond, up to today; NULL if there is no to_stage.';
COMMENT ON COLUMN leadscore.funnel.conversion_rate IS 'converted, divided by leads.';
COMMENT ON COLUMN leadscore.funnel.exited IS 'Those of leads that did not convert and are in an exit today.';
COMMENT ON COLUMN leadscore.funnel.still_open IS 'Those of leads that did neither, and may still convert.';
COMMENT ON COLUMN leadscore.funnel.recycled IS 'Those of leads that ever came again, in whatever stage: after a step back, or out of an exit.';
COMMENT ON COLUMN leadscore.funnel.recycles IS 'How often they did.';

CREATE FUNCTION leadscore._reporting_time_zone(model text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	zone text := (SELECT m.time_zone FROM leadscore.model m WHERE m.name = _reporting_time_zone.model);
BEGIN
	IF _reporting_time_zone.model IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'the name of a scoring model is needed',
			HINT = 'The table leadscore.model lists the models.';
	ELSIF zone IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('scoring model "%s" does not exist', _reporting_time_zone.model),
			HINT = 'The table leadscore.model lists the models.';
	END IF;
	RETURN zone;
END
$$;
COMMENT ON FUNCTION leadscore._reporting_time_zone(text) IS
'Internal: time zone of a model''s months and days.  Errors: 22004 no model, 42704 unknown model.';

CREATE FUNCTION leadscore.conversion(model text, from_stage leadscore.lead_stage, to_stage leadscore.lead_stage,
	since date DEFAULT NULL, until date DEFAULT NULL, channel text DEFAULT NULL,
	OUT leads bigint, OUT converted bigint, OUT rate numeric)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan		-- what is not asked for costs nothing
AS $$
DECLARE
	zone		text := leadscore._reporting_time_zone(conversion.model);
	from_rank	integer := conversion.from_stage::integer;
	to_rank		integer := conversion.to_stage::integer;
BEGIN
	IF from_rank IS NULL OR to_rank IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'conversion() needs two stages';
	ELSIF least(from_rank, to_rank) < 100 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('cannot tell a conversion from %s to %s', conversion.from_stage::text, conversion.to_stage::text),
			DETAIL = format('Stage %s is an exit, and no stage of the funnel.', CASE WHEN from_rank < 100 THEN conversion.from_stage::text ELSE conversion.to_stage::text END),
			HINT = 'The views leadscore.funnel and leadscore.acceptance count the leads that exited.';
	ELSIF to_rank <= from_rank THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('cannot tell a conversion from %s to %s', conversion.from_stage::text, conversion.to_stage::text),
			DETAIL = format('Stage %s does not come after %s.', conversion.to_stage::text, conversion.from_stage::text),
			HINT = 'Steps back are in the view leadscore.stage_visit.';
	END IF;

	SELECT count(*), count(*) FILTER (WHERE v.furthest_rank >= to_rank) INTO leads, converted
	FROM leadscore.stage_visit v
	WHERE v.model = conversion.model AND v.stage_rank >= from_rank AND (v.furthest_before_rank < from_rank) IS NOT FALSE
	  AND (v.entered_at >= since::timestamp AT TIME ZONE zone) IS NOT FALSE
	  AND (v.entered_at < until::timestamp AT TIME ZONE zone) IS NOT FALSE
	  AND (conversion.channel IS NULL OR v.channel = conversion.channel);
	rate := converted::numeric / nullif(leads, 0);
END
$$;
COMMENT ON FUNCTION leadscore.conversion(text, leadscore.lead_stage, leadscore.lead_stage, date, date, text) IS
'Conversion from one stage to a later one: leads that came to from_stage or beyond for the first time from since on (NULL: ever) and before until (NULL: up to now), those of them that ever came to to_stage or beyond, up to today, and the rate: converted divided by leads, NULL without any.  Days are the model''s; channel NULL: all channels.  Skipped stages count, recycled leads count once, exits are never beyond.  Errors: 22004 model or a stage is NULL, 42704 unknown model, 22023 a stage is an exit, or to_stage does not come after from_stage, 42501 no SELECT privilege on leadscore.model or leadscore.history.';

CREATE VIEW leadscore.time_in_stage WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', t.model, pg_catalog.to_char(t.month, 'YYYY-MM'), t.stage, t.channel) AS key,
	   t.model,
	   t.month,
	   t.channel,
	   t.stage,
	   t.stage_rank,
	   t.visits,
	   t.leads,
	   t.recycled,
	   t.closed,
	   t.visits - t.closed AS still_open,
	   pg_catalog.justify_hours(pg_catalog.make_interval(secs => t.seconds[1])) AS median_time,
	   pg_catalog.justify_hours(pg_catalog.make_interval(secs => t.seconds[2])) AS p90_time,
	   pg_catalog.round((t.seconds[1] / 86400)::numeric, 3) AS median_days,
	   pg_catalog.round((t.seconds[2] / 86400)::numeric, 3) AS p90_days
FROM (SELECT v.model,
			 pg_catalog.date_trunc('month', v.entered_at AT TIME ZONE m.time_zone)::date AS month,
			 v.channel, v.stage, v.stage_rank,
			 pg_catalog.count(*) AS visits,
			 pg_catalog.count(DISTINCT v.lead_key) AS leads,
			 pg_catalog.count(*) FILTER (WHERE v.recycled) AS recycled,
			 pg_catalog.count(v.left_at) AS closed,
			 pg_catalog.percentile_cont('{0.5,0.9}'::double precision[]) WITHIN GROUP (ORDER BY v.seconds) AS seconds
	  FROM leadscore.stage_visit v JOIN leadscore.model m ON m.name = v.model
	  GROUP BY 1, 2, 3, 4, 5) t;
COMMENT ON VIEW leadscore.time_in_stage IS
'How long leads stay in a stage, by the month in which they entered it and by channel.  Medians cannot be added up: leadscore.stage_times() has them for any period.';
COMMENT ON COLUMN leadscore.time_in_stage.key IS 'Unique: model, month, stage and channel.';
COMMENT ON COLUMN leadscore.time_in_stage.model IS 'Model.';
COMMENT ON COLUMN leadscore.time_in_stage.month IS 'Month in which the visits began, as its first day, in the model''s time zone.';
COMMENT ON COLUMN leadscore.time_in_stage.channel IS 'Acquisition channel; NULL: leads without one.';
COMMENT ON COLUMN leadscore.time_in_stage.stage IS 'Stage, as text; exits are there as well.';
COMMENT ON COLUMN leadscore.time_in_stage.stage_rank IS 'Its rank: a number that orders as stages do.';
COMMENT ON COLUMN leadscore.time_in_stage.visits IS 'Visits to the stage that began in the month; a lead may have paid several.';
COMMENT ON COLUMN leadscore.time_in_stage.leads IS 'Leads that paid them.';
COMMENT ON COLUMN leadscore.time_in_stage.recycled IS 'Visits with which a lead came again: up in the funnel after a step back, or into it out of an exit.';
COMMENT ON COLUMN leadscore.time_in_stage.closed IS 'Visits that have ended.';
COMMENT ON COLUMN leadscore.time_in_stage.still_open IS 'Visits that have not; where there are many, those that ended were the short ones.';
COMMENT ON COLUMN leadscore.time_in_stage.median_time IS 'Half of the closed visits were shorter; NULL if none is closed.  A day has 24 hours.';
COMMENT ON COLUMN leadscore.time_in_stage.p90_time IS 'Nine tenths of the closed visits were shorter.';
COMMENT ON COLUMN leadscore.time_in_stage.median_days IS 'median_time in days.';
COMMENT ON COLUMN leadscore.time_in_stage.p90_days IS 'p90_time in days.';

CREATE FUNCTION leadscore.stage_times(model text, since date DEFAULT NULL, until date DEFAULT NULL, channel text DEFAULT NULL)
RETURNS TABLE (stage text, stage_rank integer, visits bigint, leads bigint, recycled bigint, closed bigint, still_open bigint,
			   median_time interval, p90_time interval, median_days numeric, p90_days numeric)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 15
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan		-- what is not asked for costs nothing
AS $$
#variable_conflict use_column
DECLARE
	zone text := leadscore._reporting_time_zone(stage_times.model);
BEGIN
	RETURN QUERY
		SELECT t.stage, t.stage_rank, t.visits, t.leads, t.recycled, t.closed, t.visits - t.closed,
			   justify_hours(make_interval(secs => t.seconds[1])), justify_hours(make_interval(secs => t.seconds[2])),
			   round((t.seconds[1] / 86400)::numeric, 3), round((t.seconds[2] / 86400)::numeric, 3)
		FROM (SELECT v.stage, v.stage_rank, count(*) AS visits, count(DISTINCT v.lead_key) AS leads,
					 count(*) FILTER (WHERE v.recycled) AS recycled, count(v.left_at) AS closed,
					 percentile_cont('{0.5,0.9}'::double precision[]) WITHIN GROUP (ORDER BY v.seconds) AS seconds
			  FROM leadscore.stage_visit v
			  WHERE v.model = stage_times.model
				AND (v.entered_at >= stage_times.since::timestamp AT TIME ZONE zone) IS NOT FALSE
				AND (v.entered_at < stage_times.until::timestamp AT TIME ZONE zone) IS NOT FALSE
				AND (stage_times.channel IS NULL OR v.channel = stage_times.channel)
			  GROUP BY v.stage, v.stage_rank) t
		ORDER BY t.stage_rank;
END
$$;
COMMENT ON FUNCTION leadscore.stage_times(text, date, date, text) IS
'How long leads stay in each stage, as the view leadscore.time_in_stage has it, over all visits that began from since on (NULL: ever) and before until (NULL: up to now), days being the model''s; channel NULL: all channels.  Median and 90th percentile are of the closed visits, NULL without any.  Errors: 22004 model NULL, 42704 unknown model, 42501 no SELECT privilege on leadscore.model or leadscore.history.';

CREATE FUNCTION leadscore._open_visits(model text)
RETURNS TABLE (lead_key text, stage leadscore.lead_stage, since timestamptz, channel text)
LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED
COST 1000 ROWS 2000		-- were it more, queries over a handful of leads would be compiled
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	-- the states know which leads are gone
	IF has_table_privilege(to_regclass(format('leadscore.%I', model || '_state')), 'SELECT') THEN
		RETURN QUERY EXECUTE format('SELECT s.lead_key::text, s.stage, s.stage_since, s.channel FROM leadscore.%I s WHERE s.lead_exists', model || '_state');
	ELSE
		RETURN QUERY SELECT v.lead_key, v.stage::leadscore.lead_stage, v.entered_at, v.channel
					 FROM leadscore.stage_visit v
					 WHERE v.model = _open_visits.model AND v.left_at IS NULL;
	END IF;
END
$$;
COMMENT ON FUNCTION leadscore._open_visits(text) IS
'Internal: the stage of each lead of a model now, and since when.  Of an attached model by its states, if the caller may read them, else by history, which does not know of leads that were deleted.';

CREATE VIEW leadscore.ageing WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', o.model, o.stage::text, o.channel) AS key,
	   o.model,
	   o.channel,
	   o.stage::text COLLATE "C" AS stage,
	   o.stage::integer AS stage_rank,
	   pg_catalog.count(*) AS leads,
	   pg_catalog.count(*) FILTER (WHERE o.days < 1) AS under_1_day,
	   pg_catalog.count(*) FILTER (WHERE o.days >= 1 AND o.days < 7) AS from_1_to_7_days,
	   pg_catalog.count(*) FILTER (WHERE o.days >= 7 AND o.days < 30) AS from_7_to_30_days,
	   pg_catalog.count(*) FILTER (WHERE o.days >= 30 AND o.days < 90) AS from_30_to_90_days,
	   pg_catalog.count(*) FILTER (WHERE o.days >= 90) AS over_90_days,
	   pg_catalog.min(o.since) AS oldest_since,
	   pg_catalog.round(pg_catalog.max(o.days), 3) AS oldest_days
FROM (SELECT m.name AS model, v.channel, v.stage, v.since,
			 extract(epoch FROM pg_catalog.statement_timestamp() - v.since) / 86400 AS days
	  FROM leadscore.model m, LATERAL leadscore._open_visits(m.name) v) o
GROUP BY o.model, o.channel, o.stage;
COMMENT ON VIEW leadscore.ageing IS
'How long the leads that are in a stage now have been there, by channel.  A day has 24 hours; whoever has been there for exactly 7 days is counted with 7 to 30.  Leads that were deleted are left out if the model is attached and the reader may see its states.';
COMMENT ON COLUMN leadscore.ageing.key IS 'Unique: model, stage and channel.';
COMMENT ON COLUMN leadscore.ageing.model IS 'Model.';
COMMENT ON COLUMN leadscore.ageing.channel IS 'Acquisition channel; NULL: leads without one.';
COMMENT ON COLUMN leadscore.ageing.stage IS 'Stage, as text; exits are there as well.';
COMMENT ON COLUMN leadscore.ageing.stage_rank IS 'Its rank: a number that orders as stages do.';
COMMENT ON COLUMN leadscore.ageing.leads IS 'Leads in the stage; the next five columns sum to it.';
COMMENT ON COLUMN leadscore.ageing.under_1_day IS 'Leads that entered it less than 24 hours ago.';
COMMENT ON COLUMN leadscore.ageing.from_1_to_7_days IS 'Leads that have been there for 1 day or more, and less than 7.';
COMMENT ON COLUMN leadscore.ageing.from_7_to_30_days IS 'Leads that have been there for 7 days or more, and less than 30.';
COMMENT ON COLUMN leadscore.ageing.from_30_to_90_days IS 'Leads that have been there for 30 days or more, and less than 90.';
COMMENT ON COLUMN leadscore.ageing.over_90_days IS 'Leads that have been there for 90 days or more.';
COMMENT ON COLUMN leadscore.ageing.oldest_since IS 'Since when the lead is there that has been there for the longest time.';
COMMENT ON COLUMN leadscore.ageing.oldest_days IS 'For how many days that is.';

CREATE VIEW leadscore.recycling WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', r.model, pg_catalog.to_char(r.month, 'YYYY-MM'), r.channel) AS key,
	   r.model,
	   r.month,
	   r.channel,
	   r.leads,
	   r.recycled,
	   pg_catalog.round(r.recycled::numeric / r.leads, 4) AS recycled_share,
	   r.recycles
FROM (SELECT v.model,
			 pg_catalog.date_trunc('month', v.entered_at AT TIME ZONE m.time_zone)::date AS month,
			 v.channel,
			 pg_catalog.count(*) AS leads,
			 pg_catalog.count(*) FILTER (WHERE v.recycles > 0) AS recycled,
			 pg_catalog.sum(v.recycles)::bigint AS recycles
	  FROM leadscore.stage_visit v JOIN leadscore.model m ON m.name = v.model
	  WHERE v.stage_rank >= 100 AND (v.furthest_before_rank < 100) IS NOT FALSE
	  GROUP BY 1, 2, 3) r;
COMMENT ON VIEW leadscore.recycling IS
'How many leads came again, by channel and by the month in which they entered the funnel: up after a step back, or into it out of an exit (nurture, lost, disqualified).';
COMMENT ON COLUMN leadscore.recycling.key IS 'Unique: model, month and channel.';
COMMENT ON COLUMN leadscore.recycling.model IS 'Model.';
COMMENT ON COLUMN leadscore.recycling.month IS 'Month of the cohort, as its first day, in the model''s time zone.';
COMMENT ON COLUMN leadscore.recycling.channel IS 'Acquisition channel; NULL: leads without one.';
COMMENT ON COLUMN leadscore.recycling.leads IS 'Leads that entered the funnel, in whatever stage but an exit, for the first time in the month.';
COMMENT ON COLUMN leadscore.recycling.recycled IS 'Those of them that came again, up to today.';
COMMENT ON COLUMN leadscore.recycling.recycled_share IS 'recycled, divided by leads.';
COMMENT ON COLUMN leadscore.recycling.recycles IS 'How often they came again; visits of each stage are counted in leadscore.time_in_stage.';

CREATE VIEW leadscore.acceptance WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', a.model, pg_catalog.to_char(a.month, 'YYYY-MM'), a.channel) AS key,
	   a.model,
	   a.month,
	   a.channel,
	   a.leads,
	   a.accepted,
	   a.rejected,
	   a.leads - a.accepted - a.rejected AS still_open,
	   pg_catalog.round(a.accepted::numeric / a.leads, 4) AS accepted_share
FROM (SELECT v.model,
			 pg_catalog.date_trunc('month', v.entered_at AT TIME ZONE m.time_zone)::date AS month,
			 v.channel,
			 pg_catalog.count(*) AS leads,
			 pg_catalog.count(*) FILTER (WHERE v.furthest_rank >= m.accepted_stage::integer) AS accepted,
			 pg_catalog.count(*) FILTER (WHERE v.furthest_rank < m.accepted_stage::integer AND v.current_stage_rank < 100) AS rejected
	  FROM leadscore.stage_visit v JOIN leadscore.model m ON m.name = v.model
	  WHERE v.stage_rank >= leadscore.stage_rank('lead') AND (v.furthest_before_rank < leadscore.stage_rank('lead')) IS NOT FALSE
	  GROUP BY 1, 2, 3) a;
COMMENT ON VIEW leadscore.acceptance IS
'Quality of marketing''s leads: the share that sales accepted, by channel and by the month in which they came to the stage lead or beyond for the first time.  Leads that were deleted stand where they last stood.';
COMMENT ON COLUMN leadscore.acceptance.key IS 'Unique: model, month and channel.';
COMMENT ON COLUMN leadscore.acceptance.model IS 'Model.';
COMMENT ON COLUMN leadscore.acceptance.month IS 'Month of the cohort, as its first day, in the model''s time zone.';
COMMENT ON COLUMN leadscore.acceptance.channel IS 'Acquisition channel; NULL: leads without one.';
COMMENT ON COLUMN leadscore.acceptance.leads IS 'Leads that came to the stage lead or beyond for the first time in the month.';
COMMENT ON COLUMN leadscore.acceptance.accepted IS 'Those of them that ever came to the model''s accepted_stage or beyond, up to today.';
COMMENT ON COLUMN leadscore.acceptance.rejected IS 'Those of leads that never were accepted and are in an exit today (nurture, lost, disqualified).';
COMMENT ON COLUMN leadscore.acceptance.still_open IS 'Those of leads that never were accepted and may still be.';
COMMENT ON COLUMN leadscore.acceptance.accepted_share IS 'accepted, divided by leads: those still open count against it.';

CREATE VIEW leadscore.channel_report WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', r.model, pg_catalog.to_char(r.month, 'YYYY-MM'), r.channel) AS key,
	   r.model,
	   r.month,
	   r.channel,
	   r.direction,
	   r.leads,
	   r.accepted,
	   r.customers,
	   r.cost,
	   pg_catalog.round(r.cost / nullif(r.leads, 0), 2) AS cost_per_lead,
	   pg_catalog.round(r.cost / nullif(r.accepted, 0), 2) AS cost_per_accepted,
	   pg_catalog.round(r.cost / nullif(r.customers, 0), 2) AS cost_per_customer,
	   pg_catalog.round(r.leads / nullif(pg_catalog.sum(r.leads) OVER (PARTITION BY r.model, r.month), 0), 4) AS leads_share,
	   CASE WHEN r.direction IS NOT NULL
			THEN pg_catalog.round(pg_catalog.sum(r.leads) OVER (PARTITION BY r.model, r.month, r.direction)
								  / nullif(pg_catalog.sum(r.leads) FILTER (WHERE r.direction IS NOT NULL) OVER (PARTITION BY r.model, r.month), 0), 4)
			END AS direction_share
FROM (SELECT g.*,
			 (SELECT d.direction FROM leadscore.channel_cost d
			  WHERE d.model = g.model AND d.channel IS NOT DISTINCT FROM g.channel AND d.direction IS NOT NULL
			  ORDER BY d.month > g.month, pg_catalog.abs(d.month - g.month) LIMIT 1) AS direction
	  FROM (SELECT u.model, u.month, u.channel,
				   pg_catalog.sum(u.leads)::bigint AS leads,
				   pg_catalog.sum(u.accepted)::bigint AS accepted,
				   pg_catalog.sum(u.customers)::bigint AS customers,
				   pg_catalog.sum(u.cost) AS cost
			FROM (SELECT v.model,
						 pg_catalog.date_trunc('month', v.entered_at AT TIME ZONE m.time_zone)::date AS month,
						 v.channel,
						 pg_catalog.count(*) AS leads,
						 pg_catalog.count(*) FILTER (WHERE v.furthest_rank >= m.accepted_stage::integer) AS accepted,
						 pg_catalog.count(*) FILTER (WHERE v.furthest_rank >= leadscore.stage_rank('customer')) AS customers,
						 NULL::numeric AS cost
				  FROM leadscore.stage_visit v JOIN leadscore.model m ON m.name = v.model
				  WHERE v.stage_rank >= leadscore.stage_rank('lead')
					AND (v.furthest_before_rank < leadscore.stage_rank('lead')) IS NOT FALSE
				  GROUP BY 1, 2, 3
				  UNION ALL
				  SELECT c.model, c.month, c.channel, 0, 0, 0, c.cost FROM leadscore.channel_cost c) u
			GROUP BY 1, 2, 3) g) r;
COMMENT ON VIEW leadscore.channel_report IS
'What the acquisition channels bring and cost, by month: of the leads that came to the stage lead or beyond for the first time in the month, how many were accepted and became customers up to today, and what leadscore.channel_cost says the channel cost in it.  The latest cohorts have had less time, so their customers still look dear.';
COMMENT ON COLUMN leadscore.channel_report.key IS 'Unique: model, month and channel.';
COMMENT ON COLUMN leadscore.channel_report.model IS 'Model.';
COMMENT ON COLUMN leadscore.channel_report.month IS 'Month of the cohort and of the costs, as its first day, in the model''s time zone.';
COMMENT ON COLUMN leadscore.channel_report.channel IS 'Acquisition channel; NULL: leads and costs without one.';
COMMENT ON COLUMN leadscore.channel_report.direction IS 'inbound or outbound, by leadscore.channel_cost; NULL: not known.';
COMMENT ON COLUMN leadscore.channel_report.leads IS 'Leads that came to the stage lead or beyond for the first time in the month.';
COMMENT ON COLUMN leadscore.channel_report.accepted IS 'Those of them that ever came to the model''s accepted_stage or beyond, up to today.';
COMMENT ON COLUMN leadscore.channel_report.customers IS 'Those of leads that became customers, up to today.';
COMMENT ON COLUMN leadscore.channel_report.cost IS 'What the channel cost in the month; NULL: not known.';
COMMENT ON COLUMN leadscore.channel_report.cost_per_lead IS 'cost, divided by leads; NULL if there are none or the cost is not known.';
COMMENT ON COLUMN leadscore.channel_report.cost_per_accepted IS 'cost, divided by accepted; NULL if there are none or the cost is not known.';
COMMENT ON COLUMN leadscore.channel_report.cost_per_customer IS 'cost, divided by customers; NULL if there are none or the cost is not known.';
COMMENT ON COLUMN leadscore.channel_report.leads_share IS 'leads, divided by all leads of the model in the month.';
COMMENT ON COLUMN leadscore.channel_report.direction_share IS 'Leads of all channels of this direction, divided by the leads of all channels whose direction is known, of the model in the month: the mix of inbound and outbound.';

CREATE FUNCTION leadscore._sla_answered(model text)
RETURNS TABLE (month date, share numeric)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT date_trunc('month', c.started_at AT TIME ZONE m.time_zone)::date,
		   round((count(*) FILTER (WHERE c.outcome = 'answered'))::numeric / nullif(count(*) FILTER (WHERE c.outcome <> 'void' AND (c.outcome <> 'open' OR c.breached)), 0), 4)
	FROM leadscore.sla_clocks(_sla_answered.model) c JOIN leadscore.model m ON m.name = c.model
	GROUP BY 1
$$;
COMMENT ON FUNCTION leadscore._sla_answered(text) IS
'Internal: share of the response times that began in a month, and are decided, which were kept; NULL if none is decided.';

CREATE VIEW leadscore.agreement WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', a.model, pg_catalog.to_char(a.month, 'YYYY-MM')) AS key,
	   a.model,
	   a.month,
	   a.generated_target,
	   a.generated,
	   a.accepted_target,
	   a.accepted,
	   a.customers_target,
	   a.customers,
	   pg_catalog.round(a.accepted_target::numeric / nullif(a.generated_target, 0), 4) AS accepted_share_target,
	   pg_catalog.round(a.ever_accepted::numeric / nullif(a.generated, 0), 4) AS accepted_share,
	   n.share AS answered_share
FROM (SELECT u.model, u.month,
			 pg_catalog.max(u.generated_target) AS generated_target,
			 pg_catalog.max(u.accepted_target) AS accepted_target,
			 pg_catalog.max(u.customers_target) AS customers_target,
			 pg_catalog.sum(u.generated)::bigint AS generated,
			 pg_catalog.sum(u.accepted)::bigint AS accepted,
			 pg_catalog.sum(u.customers)::bigint AS customers,
			 pg_catalog.sum(u.ever_accepted)::bigint AS ever_accepted
	  FROM (SELECT t.model, t.month, t.generated AS generated_target, t.accepted AS accepted_target, t.customers AS customers_target,
				   0 AS generated, 0 AS accepted, 0 AS customers, 0 AS ever_accepted
			FROM leadscore.target t
			UNION ALL
			SELECT v.model,
				   pg_catalog.date_trunc('month', v.entered_at AT TIME ZONE m.time_zone)::date,
				   NULL, NULL, NULL,
				   pg_catalog.count(*) FILTER (WHERE v.stage_rank >= leadscore.stage_rank('lead')
											   AND (v.furthest_before_rank < leadscore.stage_rank('lead')) IS NOT FALSE),
				   pg_catalog.count(*) FILTER (WHERE v.stage_rank >= m.accepted_stage::integer
											   AND (v.furthest_before_rank < m.accepted_stage::integer) IS NOT FALSE),
				   pg_catalog.count(*) FILTER (WHERE v.stage_rank >= leadscore.stage_rank('customer')
											   AND (v.furthest_before_rank < leadscore.stage_rank('customer')) IS NOT FALSE),
				   pg_catalog.count(*) FILTER (WHERE v.stage_rank >= leadscore.stage_rank('lead')
											   AND (v.furthest_before_rank < leadscore.stage_rank('lead')) IS NOT FALSE
											   AND v.furthest_rank >= m.accepted_stage::integer)
			FROM leadscore.stage_visit v JOIN leadscore.model m ON m.name = v.model
			WHERE v.stage_rank >= 100 AND (v.stage_rank > v.furthest_before_rank) IS NOT FALSE
			GROUP BY 1, 2) u
	  GROUP BY u.model, u.month) a
LEFT JOIN (SELECT k.model, c.month, c.share
		   FROM (SELECT DISTINCT l.model FROM leadscore.sla l JOIN leadscore.attachment t ON t.model = l.model) k,
				LATERAL leadscore._sla_answered(k.model) c) n ON n.model = a.model AND n.month = a.month;
COMMENT ON VIEW leadscore.agreement IS
'What marketing and sales agreed on in leadscore.target against what came, by month: one row for each month that has a target or in which a lead moved up.';
COMMENT ON COLUMN leadscore.agreement.key IS 'Unique: model and month.';
COMMENT ON COLUMN leadscore.agreement.model IS 'Model.';
COMMENT ON COLUMN leadscore.agreement.month IS 'Month, as its first day, in the model''s time zone.';
COMMENT ON COLUMN leadscore.agreement.generated_target IS 'Leads that were to be generated; NULL: no target.';
COMMENT ON COLUMN leadscore.agreement.generated IS 'Leads that came to the stage lead or beyond for the first time in the month.';
COMMENT ON COLUMN leadscore.agreement.accepted_target IS 'Leads that were to be accepted; NULL: no target.';
COMMENT ON COLUMN leadscore.agreement.accepted IS 'Leads that came to the model''s accepted_stage or beyond for the first time in the month, whenever they were generated.';
COMMENT ON COLUMN leadscore.agreement.customers_target IS 'Customers that were to be won; NULL: no target.';
COMMENT ON COLUMN leadscore.agreement.customers IS 'Leads that became customers in the month, whenever they were generated.';
COMMENT ON COLUMN leadscore.agreement.accepted_share_target IS 'accepted_target, divided by generated_target.';
COMMENT ON COLUMN leadscore.agreement.accepted_share IS 'Of the leads generated in the month, those that ever were accepted, up to today, divided by generated; NULL if none was.';
COMMENT ON COLUMN leadscore.agreement.answered_share IS 'Of the response times (leadscore.sla) that began in the month and are decided, the share that were kept; NULL if there were none.';

CREATE FUNCTION leadscore.stage_at(model text, lead_key text, at timestamptz) RETURNS leadscore.lead_stage
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT h.to_stage FROM leadscore.history h
	WHERE h.model = stage_at.model AND h.lead_key = stage_at.lead_key AND h.at <= stage_at.at
	ORDER BY h.at DESC, h.xact DESC, h.xact_order DESC LIMIT 1;
END;
COMMENT ON FUNCTION leadscore.stage_at(text, text, timestamptz) IS
'The same, with the key of the lead as text.';

CREATE FUNCTION leadscore.stage_at(model text, lead_key anyelement, at timestamptz) RETURNS leadscore.lead_stage
LANGUAGE sql STABLE STRICT PARALLEL SAFE
AS $$
	SELECT leadscore.stage_at(model, lead_key::pg_catalog.text, at)
$$;
COMMENT ON FUNCTION leadscore.stage_at(text, anyelement, timestamptz) IS
'Stage in which the lead with this key was at a time, by its history; NULL before its first row, for a NULL argument, and for a lead or model that history does not know.  Errors: 42501 no SELECT privilege on leadscore.history.';

CREATE FUNCTION leadscore.stages_at(model text, at timestamptz)
RETURNS TABLE (lead_key text, stage leadscore.lead_stage)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100000
BEGIN ATOMIC
	SELECT DISTINCT ON (h.lead_key) h.lead_key, h.to_stage FROM leadscore.history h
	WHERE h.model = stages_at.model AND h.at <= stages_at.at
	ORDER BY h.lead_key DESC, h.at DESC, h.xact DESC, h.xact_order DESC;
END;
COMMENT ON FUNCTION leadscore.stages_at(text, timestamptz) IS
'Stage in which each lead of a model was at a time, by its history: one row for each lead that had come by then, in no order.  No rows for a NULL argument, and for a model that history does not know.  Errors: 42501 no SELECT privilege on leadscore.history.';

--
-- Plan
--
-- From the revenue backwards: customers, accepted leads, leads.  A rate that is
-- not given is measured from closed leads, those whose case is settled: they
-- became customers or are in an exit (nurture, lost, disqualified).  Open ones
-- would count as failures, which they are not yet.
--

CREATE FUNCTION leadscore._round_up(number numeric) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN pg_catalog.ceil(number - least(number * 1e-9, 0.001))::bigint;
COMMENT ON FUNCTION leadscore._round_up(numeric) IS
'Internal: the least integer that is not below a number that is not negative, but for what rates cut off somewhere make of it: 50 / 0.333333333333 are 150.  Error 22003 for more than a bigint holds.';

CREATE FUNCTION leadscore._closed_leads(model text, since date)
RETURNS TABLE (stage text, stage_rank integer, closed bigint, to_lead bigint, to_accepted bigint, to_customer bigint)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 12
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan		-- what is not asked for costs nothing
AS $$
#variable_conflict use_column
DECLARE
	zone		text := leadscore._reporting_time_zone(_closed_leads.model);
	accepted	integer := (SELECT m.accepted_stage::integer FROM leadscore.model m WHERE m.name = _closed_leads.model);
	named		integer[] := ARRAY(SELECT s.stage_rank FROM leadscore._named_stages() s WHERE s.model = _closed_leads.model);
BEGIN
	RETURN QUERY
		SELECT s.stage::text, s.stage_rank::integer,
			   coalesce(sum(c.leads), 0)::bigint,
			   coalesce(sum(c.leads) FILTER (WHERE c.furthest >= leadscore.stage_rank('lead')), 0)::bigint,
			   coalesce(sum(c.leads) FILTER (WHERE c.furthest >= accepted), 0)::bigint,
			   coalesce(sum(c.leads) FILTER (WHERE c.furthest >= leadscore.stage_rank('customer')), 0)::bigint
		FROM leadscore.lead_stages() s
		LEFT JOIN (SELECT v.furthest_before_rank AS passed, v.stage_rank AS entered, v.furthest_rank AS furthest, count(*) AS leads
				   FROM leadscore.stage_visit v
				   WHERE v.model = _closed_leads.model
					 AND v.stage_rank >= 100 AND (v.stage_rank > v.furthest_before_rank) IS NOT FALSE
					 AND (v.current_stage_rank < 100 OR v.furthest_rank >= leadscore.stage_rank('customer'))
					 AND (v.entered_at >= _closed_leads.since::timestamp AT TIME ZONE zone) IS NOT FALSE
				   GROUP BY 1, 2, 3) c
			ON c.entered >= s.stage_rank AND (c.passed < s.stage_rank) IS NOT FALSE
		WHERE s.stage_rank >= 100
		GROUP BY s.stage, s.stage_rank
		HAVING bool_or(c.entered = s.stage_rank) OR s.stage_rank = ANY (named)
			   OR s.stage_rank IN (accepted, leadscore.stage_rank('lead'), leadscore.stage_rank('customer'))
		ORDER BY s.stage_rank;
END
$$;
COMMENT ON FUNCTION leadscore._closed_leads(text, date) IS
'Internal: for each stage in use, the closed leads of a model that came to it or beyond for the first time from since on (NULL: ever), and those of them that ever came to lead, to the model''s accepted_stage and to customer or beyond.  Closed: became a customer, or in an exit today.  Errors: 42704 unknown model, 22004 model NULL.';

CREATE FUNCTION leadscore.plan(model text, revenue numeric, average_deal numeric,
	accepted_to_customer numeric DEFAULT NULL, lead_to_accepted numeric DEFAULT NULL,
	acquisition_share numeric DEFAULT NULL, since date DEFAULT NULL)
RETURNS TABLE (customers bigint, accepted bigint, leads bigint,
			   cost_per_customer numeric, cost_per_accepted numeric, cost_per_lead numeric, revenue_per_lead numeric,
			   basis text, accepted_to_customer_rate numeric, accepted_to_customer_leads bigint,
			   lead_to_accepted_rate numeric, lead_to_accepted_leads bigint,
			   stages jsonb)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	enough			constant bigint := 30;
	accepted_stage	text;
	seen			jsonb;
	stage			record;
	volume			bigint;
	later_volume	bigint;
BEGIN
	IF revenue IS NULL OR average_deal IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'plan() needs the revenue and the average deal';
	ELSIF NOT (revenue >= 0 AND revenue < 'Infinity') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('cannot plan a revenue of %s', revenue),
			DETAIL = 'The revenue must be a number that is not negative.';
	ELSIF NOT (average_deal > 0 AND average_deal < 'Infinity') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('cannot plan with an average deal of %s', average_deal),
			DETAIL = 'The average deal must be more than 0.',
			HINT = 'Divide the revenue of past deals by their number.';
	ELSIF NOT (accepted_to_customer > 0 AND accepted_to_customer <= 1) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('cannot plan with a rate of %s from accepted leads to customers', accepted_to_customer),
			DETAIL = 'The rate must be more than 0 and at most 1.',
			HINT = 'If every second accepted lead becomes a customer: accepted_to_customer => 0.5.';
	ELSIF NOT (lead_to_accepted > 0 AND lead_to_accepted <= 1) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('cannot plan with a rate of %s from leads to accepted leads', lead_to_accepted),
			DETAIL = 'The rate must be more than 0 and at most 1.',
			HINT = 'If every second lead is accepted: lead_to_accepted => 0.5.';
	ELSIF NOT (acquisition_share >= 0 AND acquisition_share <= 1) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('cannot plan with an acquisition share of %s', acquisition_share),
			DETAIL = 'The share of a deal that may be spent on winning it must be between 0 and 1.',
			HINT = 'If a tenth of it may: acquisition_share => 0.10.';
	ELSIF model IS NULL AND (accepted_to_customer IS NULL OR lead_to_accepted IS NULL) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'plan() needs a scoring model or both rates',
			DETAIL = format('Not given: %s.', concat_ws(', ', CASE WHEN accepted_to_customer IS NULL THEN 'accepted_to_customer' END,
														CASE WHEN lead_to_accepted IS NULL THEN 'lead_to_accepted' END)),
			HINT = 'Rates that are not given are measured from the history of a model.';
	END IF;

	IF model IS NOT NULL THEN
		accepted_stage := (SELECT m.accepted_stage::text FROM leadscore.model m WHERE m.name = model);
		seen := (SELECT jsonb_agg(to_jsonb(c) ORDER BY c.stage_rank DESC) FROM leadscore._closed_leads(model, since) c);
		SELECT c.closed, CASE WHEN c.closed >= enough THEN nullif(c.to_customer, 0)::numeric / c.closed END
		INTO accepted_to_customer_leads, accepted_to_customer_rate
		FROM jsonb_to_recordset(seen) c(stage text, closed bigint, to_customer bigint)
		WHERE c.stage = accepted_stage AND accepted_to_customer IS NULL;
		SELECT c.closed, CASE WHEN c.closed >= enough THEN nullif(c.to_accepted, 0)::numeric / c.closed END
		INTO lead_to_accepted_leads, lead_to_accepted_rate
		FROM jsonb_to_recordset(seen) c(stage text, closed bigint, to_accepted bigint)
		WHERE c.stage = 'lead' AND lead_to_accepted IS NULL;
	END IF;
	basis := CASE WHEN accepted_to_customer IS NOT NULL THEN 'accepted_to_customer given'
				  WHEN accepted_to_customer_rate IS NOT NULL THEN format('accepted_to_customer measured from %s closed leads that were accepted', accepted_to_customer_leads)
				  WHEN accepted_to_customer_leads >= enough THEN format('accepted_to_customer missing: of %s closed leads that were accepted none became a customer', accepted_to_customer_leads)
				  ELSE format('accepted_to_customer missing: it takes %s closed leads that were accepted, there are %s', enough, accepted_to_customer_leads) END
		|| CASE WHEN lead_to_accepted IS NOT NULL THEN '; lead_to_accepted given'
				WHEN lead_to_accepted_rate IS NOT NULL THEN format('; lead_to_accepted measured from %s closed leads', lead_to_accepted_leads)
				WHEN lead_to_accepted_leads >= enough THEN format('; lead_to_accepted missing: of %s closed leads none was accepted', lead_to_accepted_leads)
				ELSE format('; lead_to_accepted missing: it takes %s closed leads, there are %s', enough, lead_to_accepted_leads) END
		|| CASE WHEN since IS NOT NULL AND (accepted_to_customer IS NULL OR lead_to_accepted IS NULL)
				THEN format(' (since %s)', to_char(since, 'YYYY-MM-DD')) ELSE '' END;
	accepted_to_customer_rate := coalesce(accepted_to_customer, accepted_to_customer_rate);
	lead_to_accepted_rate := coalesce(lead_to_accepted, lead_to_accepted_rate);

	customers := leadscore._round_up(revenue / average_deal);
	accepted := leadscore._round_up(customers / accepted_to_customer_rate);
	leads := leadscore._round_up(accepted / lead_to_accepted_rate);
	cost_per_customer := trim_scale(round(average_deal * acquisition_share, 6));
	cost_per_accepted := trim_scale(round(average_deal * acquisition_share * accepted_to_customer_rate, 6));
	cost_per_lead := trim_scale(round(average_deal * acquisition_share * accepted_to_customer_rate * lead_to_accepted_rate, 6));
	revenue_per_lead := trim_scale(round(revenue / nullif(leads, 0), 6));

	-- The stages between those three by what became of the closed leads that
	-- came there, from the last stage backwards: none sees fewer leads than a
	-- later one, nor more than an earlier of the three.
	IF model IS NOT NULL THEN
		stages := '[]';
		FOR stage IN SELECT * FROM jsonb_to_recordset(seen) c(stage text, stage_rank integer, closed bigint, to_lead bigint, to_accepted bigint, to_customer bigint)
					 WHERE c.stage_rank <= leadscore.stage_rank('customer') LOOP
			volume := CASE
				WHEN stage.stage = 'customer' THEN customers
				WHEN stage.stage = accepted_stage THEN accepted
				WHEN stage.stage = 'lead' THEN leads
				WHEN stage.closed < enough THEN NULL
				WHEN stage.stage_rank > accepted_stage::leadscore.lead_stage::integer
					THEN leadscore._round_up(customers * stage.closed::numeric / nullif(stage.to_customer, 0))
				WHEN stage.stage_rank > leadscore.stage_rank('lead')
					THEN leadscore._round_up(accepted * stage.closed::numeric / nullif(stage.to_accepted, 0))
				ELSE leadscore._round_up(leads * stage.closed::numeric / nullif(stage.to_lead, 0)) END;
			IF volume IS NOT NULL THEN
				volume := greatest(later_volume, least(volume, CASE WHEN stage.stage_rank > accepted_stage::leadscore.lead_stage::integer THEN accepted
																	WHEN stage.stage_rank > leadscore.stage_rank('lead') THEN leads END));
				later_volume := volume;
			END IF;
			stages := jsonb_build_object('stage', stage.stage, 'leads', volume,
										 'closed_leads', CASE stage.stage WHEN 'customer' THEN NULL WHEN accepted_stage THEN accepted_to_customer_leads
														 WHEN 'lead' THEN lead_to_accepted_leads ELSE stage.closed END) || stages;
		END LOOP;
	END IF;
	accepted_to_customer_rate := trim_scale(round(accepted_to_customer_rate, 6));
	lead_to_accepted_rate := trim_scale(round(lead_to_accepted_rate, 6));
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION leadscore.plan(text, numeric, numeric, numeric, numeric, numeric, date) IS
'Plans from the revenue backwards, in one row: how many customers it takes at the average deal, how many accepted leads at the rate accepted_to_customer (customers divided by accepted leads), how many leads at the rate lead_to_accepted (accepted leads divided by leads).  Each step rounds up and goes on from there.  A rate that is not given is measured from the model''s closed leads (those that became customers or are in an exit today: nurture, lost, disqualified) that came to the accepted_stage, or the stage lead, or beyond for the first time from since on (NULL: ever), if there are at least 30 of them; else what depends on it is NULL, and basis says what is missing.  acquisition_share, the share of a deal that may be spent on winning it, gives the affordable cost of a customer (average deal times share), of an accepted lead (that times its rate) and of a lead; NULL gives none.  revenue_per_lead is revenue divided by leads.  lead_to_accepted_rate (leads to accepted) and accepted_to_customer_rate (accepted to customers) are the rates used, lead_to_accepted_leads and accepted_to_customer_leads the closed leads that those measured rest on.  stages is what each stage in use must see: [{"stage", "leads", "closed_leads"}], those between measured likewise; NULL without a model.  Errors: 22004 revenue or deal NULL, 22023 not a plan (a negative revenue, a deal of 0 or less, a rate not above 0 or over 1, a share not within 0 and 1, no model although a rate is missing), 42704 unknown model, 42501 no SELECT privilege on leadscore.model or leadscore.history, 22003 more leads than a bigint holds.';

/* ----------------------------------------------------------------------
 * 7. Matrices as a whole: copy, export, import, templates
 * ----------------------------------------------------------------------
 */

/*
 * What goes with a model, table by table, in the order in which it is written.
 * A table that joins them is a row here, and nothing else.
 */
CREATE FUNCTION leadscore._matrix_parts()
RETURNS TABLE (part text, relation text, left_out text[], sort text, optional boolean, content text, same text)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	VALUES ('factors', 'factor', '{model}'::text[], 't.name', false, 'to_jsonb(t)', NULL),
		   ('activity_sources', 'activity_source', '{model,relation_name}', 't.name', true,
			'to_jsonb(t) || jsonb_build_object(''relation'', t.relation::text)', NULL),
		   -- what a rule about the lead's own row says of activities says nothing
		   ('rules', 'rule', '{model,id}', 't.id', false,
			'to_jsonb(t) - CASE WHEN t.activity IS NULL THEN ''{activity,half_life,at_least,within,at_most,inactive_for,include_never}''::text[] ELSE ''{}'' END', NULL),
		   ('thresholds', 'threshold', '{model,builtin}', 't.kind, t.at_least DESC', false, 'to_jsonb(t)', NULL),
		   ('transitions', 'transition', '{model}', 't.from_stage::integer, t.to_stage::integer', true, 'to_jsonb(t)', NULL),
		   ('stage_map', 'stage_map', '{model}', 't.status, t.stage::integer', true, 'to_jsonb(t)', NULL),
		   ('sla', 'sla', '{model}', 't.stage::integer', true, 'to_jsonb(t)', NULL),
		   -- what was done with a lead is known by the row's id
		   ('playbook', 'playbook', '{model,id}', 't.id', true, 'to_jsonb(t)',
			'model, temperature, grade, stage, md5(condition), step')
$$;
COMMENT ON FUNCTION leadscore._matrix_parts() IS
'Internal: the tables that a model has rows in, but for those that attaching fills: name of the part in an exported model, table, columns that are not exported, order of rows t, is the part left out if there are none, a row as JSON, and what tells rows apart whose id is to be kept when they are replaced by themselves.';

CREATE FUNCTION leadscore._has_part(part text, model text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	has	boolean;
BEGIN
	EXECUTE format('SELECT EXISTS (SELECT FROM leadscore.%I t WHERE t.model = $1)',
				   (SELECT p.relation FROM leadscore._matrix_parts() p WHERE p.part = _has_part.part))
	INTO has USING model;
	RETURN has;
END
$$;
COMMENT ON FUNCTION leadscore._has_part(text, text) IS
'Internal: has a model any rows of a part of its matrix?  So that who may not write a table need not be asked about it if there is nothing in it.';

CREATE FUNCTION leadscore._matrix_columns(relation text, left_out text[]) RETURNS name[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT array_agg(a.attname ORDER BY a.attnum)
	FROM pg_attribute a
	WHERE a.attrelid = format('leadscore.%I', relation)::regclass AND a.attnum > 0 AND NOT a.attisdropped
	  AND a.attname <> ALL (left_out)
$$;
COMMENT ON FUNCTION leadscore._matrix_columns(text, text[]) IS
'Internal: columns of a table of leadscore, in their order, without some.';

CREATE FUNCTION leadscore._matrix_defaults(relation text) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET IntervalStyle = 'postgres'
AS $$
DECLARE
	defaults	text;
	result		jsonb;
BEGIN
	SELECT string_agg(format('%s AS %I', pg_get_expr(d.adbin, d.adrelid), a.attname), ', ') INTO defaults
	FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
	WHERE d.adrelid = format('leadscore.%I', relation)::regclass AND a.attgenerated = '' AND a.attidentity = '';
	IF defaults IS NULL THEN
		RETURN '{}';
	END IF;
	EXECUTE format('SELECT to_jsonb(d) FROM (SELECT %s) d', defaults) INTO result;
	RETURN result;
END
$$;
COMMENT ON FUNCTION leadscore._matrix_defaults(text) IS
'Internal: what columns of a table of leadscore are when nothing is said.';

CREATE FUNCTION leadscore.export_model(model text) RETURNS jsonb
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
SET extra_float_digits = 1
SET IntervalStyle = 'postgres'
AS $$
#variable_conflict use_column
DECLARE
	matrix	jsonb;
	p		record;
	rows	jsonb;
BEGIN
	SELECT jsonb_build_object('format', 1, 'model', to_jsonb(m) - 'version' - 'activity_version'
							  || jsonb_build_object('target', m.target::text, 'source', m.source::text))
	INTO matrix
	FROM leadscore.model m
	WHERE m.name = export_model.model;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('scoring model "%s" does not exist', export_model.model),
			HINT = 'The table leadscore.model lists the models.';
	END IF;

	FOR p IN SELECT * FROM leadscore._matrix_parts() LOOP
		CONTINUE WHEN p.optional AND NOT leadscore._has_part(p.part, export_model.model);
		EXECUTE format('SELECT jsonb_agg((%s) - $2 ORDER BY %s) FROM leadscore.%I t WHERE t.model = $1', p.content, p.sort, p.relation)
		INTO rows USING export_model.model, p.left_out;
		IF rows IS NOT NULL OR NOT p.optional THEN
			matrix := matrix || jsonb_build_object(p.part, coalesce(rows, '[]'));
		END IF;
	END LOOP;
	RETURN matrix;
END
$$;
COMMENT ON FUNCTION leadscore.export_model(text) IS
'The whole matrix of a model as one JSON document, to be kept in version control: the model without its version, its factors by name, its activity sources by name if it has any, its rules in their order, its own thresholds, and if it has any, its transitions, its stage map, its service levels and its playbook.  import_model() reads it.  NULL gives NULL.  Errors: 42704 unknown model, 42501 no SELECT privilege on the tables of the matrix.';

CREATE FUNCTION leadscore.import_model(matrix jsonb, name text DEFAULT NULL, replace boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET IntervalStyle = 'postgres'
AS $$
#variable_conflict use_column
DECLARE
	the_name	text := coalesce(import_model.name, matrix -> 'model' ->> 'name');
	m			leadscore.model;
	p			record;
	stray		text;
	columns		name[];
	list		text;
	rows		jsonb;
	replacing	boolean;
	twice		boolean;
BEGIN
	IF jsonb_typeof(matrix) IS DISTINCT FROM 'object' OR jsonb_typeof(matrix -> 'model') IS DISTINCT FROM 'object'
		OR matrix ->> 'format' IS DISTINCT FROM '1' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'not an exported scoring model',
			HINT = 'Pass what leadscore.export_model() returned.';
	END IF;

	-- a key that is not known is a slip of the pen, not something to ignore
	SELECT format('%s.%s', part, key) INTO stray FROM (
		SELECT 'matrix', key FROM jsonb_object_keys(matrix) k(key)
		WHERE key NOT IN ('format', 'model') AND key NOT IN (SELECT part FROM leadscore._matrix_parts())
		UNION ALL
		SELECT 'model', key FROM jsonb_object_keys(matrix -> 'model') k(key)
		WHERE key <> ALL (leadscore._matrix_columns('model', '{version,activity_version}'))
		UNION ALL
		SELECT p.part, key
		FROM leadscore._matrix_parts() p, jsonb_array_elements(coalesce(matrix -> p.part, '[]')) e, jsonb_object_keys(e) k(key)
		WHERE key <> ALL (leadscore._matrix_columns(p.relation, p.left_out))
	) s(part, key) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('unknown key "%s" in the exported scoring model', stray),
			HINT = 'leadscore.export_model() shows which keys there are.';
	END IF;

	m := jsonb_populate_record(NULL::leadscore.model, leadscore._matrix_defaults('model') || jsonb_strip_nulls(matrix -> 'model'));
	m.name := the_name;
	m.version := 1;
	m.activity_version := 0;

	replacing := EXISTS (SELECT FROM leadscore.model WHERE model.name = the_name);
	IF replacing THEN
		IF replace IS NOT TRUE THEN
			RAISE EXCEPTION USING
				ERRCODE = 'duplicate_object',
				MESSAGE = format('scoring model "%s" already exists', the_name),
				HINT = 'Import it under another name, or with replace => true.';
		END IF;
		FOR p IN SELECT * FROM leadscore._matrix_parts() WITH ORDINALITY ORDER BY ordinality DESC LOOP
			CONTINUE WHEN p.optional AND NOT leadscore._has_part(p.part, the_name);
			-- those that stay keep what depends on them
			EXECUTE format('DELETE FROM leadscore.%1$I WHERE model = $1'
						   || CASE WHEN p.same IS NULL THEN '' ELSE
							  ' AND ROW(%2$s)::text <> ALL (SELECT ROW(%2$s)::text FROM jsonb_array_elements($2) e,
								LATERAL jsonb_populate_record(NULL::leadscore.%1$I, e || jsonb_build_object(''model'', $1)) r)' END,
						   p.relation, p.same)
			USING the_name, coalesce(matrix -> p.part, '[]');
		END LOOP;
		-- an expression that changes takes the search_path of who changes it,
		-- unless that is new as well; here it comes with the expressions
		UPDATE leadscore.model SET channel = NULL, created_at = NULL, consent = NULL, status = NULL, search_path = NULL
		WHERE model.name = the_name;
		SELECT string_agg(format('%1$I = ($1).%1$I', c), ', ') INTO list
		FROM unnest(leadscore._matrix_columns('model', '{name,version,activity_version}')) c;
		EXECUTE format('UPDATE leadscore.model SET %s WHERE name = $2', list) USING m, the_name;
	ELSE
		INSERT INTO leadscore.model SELECT m.*;
	END IF;

	FOR p IN SELECT * FROM leadscore._matrix_parts() LOOP
		rows := coalesce(matrix -> p.part, '[]');
		CONTINUE WHEN rows = '[]';
		columns := leadscore._matrix_columns(p.relation, p.left_out);
		IF p.same IS NOT NULL THEN
			EXECUTE format('SELECT EXISTS (SELECT FROM jsonb_populate_recordset(NULL::leadscore.%I, $1) GROUP BY %s HAVING count(*) > 1)', p.relation, p.same)
			INTO twice USING rows;
			IF twice THEN
				RAISE EXCEPTION USING
					ERRCODE = 'unique_violation',
					MESSAGE = format('part "%s" of the exported scoring model has one row twice', p.part),
					HINT = 'Leave one of the two out.';
			END IF;
		END IF;
		SELECT string_agg(quote_ident(c), ', ') INTO list FROM unnest(columns) c;
		EXECUTE format('INSERT INTO leadscore.%1$I (model, %2$s)
						SELECT $1, %2$s
						FROM jsonb_array_elements($2) WITH ORDINALITY e(element, position),
							 LATERAL jsonb_populate_record(NULL::leadscore.%1$I, $3 || jsonb_strip_nulls(
								-- where there is something to look up
								CASE WHEN e.element ->> ''condition'' IS NULL AND ($4 OR e.element ? ''search_path'') THEN ''{}''
									 ELSE jsonb_build_object(''search_path'', $5) END
								|| jsonb_strip_nulls(e.element))) r
						ORDER BY e.position'
					   || CASE WHEN p.same IS NULL OR NOT replacing THEN '' ELSE
						  -- the new order of rows is that of the document
						  ' ON CONFLICT (%3$s) DO UPDATE SET id = excluded.id, '
						  || (SELECT string_agg(format('%1$I = excluded.%1$I', c), ', ') FROM unnest(columns) c) END,
					   p.relation, list, p.same)
		USING the_name, rows, leadscore._matrix_defaults(p.relation), 'condition' = ANY (columns), m.search_path;
	END LOOP;

	RETURN the_name;
END
$$;
COMMENT ON FUNCTION leadscore.import_model(jsonb, text, boolean) IS
'Writes a matrix that export_model() returned, under its own (name NULL) or another name, and returns the name.  With replace (NULL: false) an existing model of that name gets the new matrix; what was acknowledged of its playbook stays with the rows that are in the new one as well.  All or nothing.  Errors: 42710 the model exists, and is not to be replaced, 22023 matrix is NULL or not an exported model, or has an unknown key, 23505 two rows of its playbook are for the same, 42501 no privilege to write the tables of the matrix, and those of writing models, rules and transitions.';

CREATE FUNCTION leadscore.copy_model("from" text, "to" text) RETURNS text
LANGUAGE plpgsql STRICT
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	m	leadscore.model;
	p	record;
BEGIN
	SELECT * INTO m FROM leadscore.model WHERE name = copy_model."from";
	IF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('scoring model "%s" does not exist', copy_model."from"),
			HINT = 'The table leadscore.model lists the models.';
	END IF;
	IF EXISTS (SELECT FROM leadscore.model WHERE name = copy_model."to") THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_object',
			MESSAGE = format('scoring model "%s" already exists', copy_model."to"),
			HINT = 'Choose another name, or delete the model first.';
	END IF;

	-- not by way of export_model: that would look the relations up by name,
	-- which takes privileges on their schemas
	m.name := copy_model."to";
	m.version := 1;
	m.activity_version := 0;
	INSERT INTO leadscore.model SELECT m.*;
	FOR p IN SELECT part, relation, sort, optional, string_agg(quote_ident(c), ', ') AS columns
			 FROM leadscore._matrix_parts() WITH ORDINALITY, unnest(leadscore._matrix_columns(relation, left_out)) c
			 GROUP BY ordinality, part, relation, sort, optional ORDER BY ordinality LOOP
		CONTINUE WHEN p.optional AND NOT leadscore._has_part(p.part, copy_model."from");
		EXECUTE format('INSERT INTO leadscore.%1$I (model, %2$s) SELECT $2, %2$s FROM leadscore.%1$I t WHERE t.model = $1 ORDER BY %3$s',
					   p.relation, p.columns, p.sort)
		USING copy_model."from", copy_model."to";
	END LOOP;
	-- who may not publish need not make a draft
	IF has_table_privilege('leadscore.draft', 'INSERT') AND has_table_privilege('leadscore.transition', 'SELECT')
		AND has_table_privilege('leadscore.stage_map', 'SELECT') AND has_table_privilege('leadscore.activity_source', 'SELECT') THEN
		PERFORM leadscore._note_draft(copy_model."from", copy_model."to");
	END IF;
	RETURN copy_model."to";
END
$$;
COMMENT ON FUNCTION leadscore.copy_model(text, text) IS
'Copies a model with its factors, activity sources, rules, thresholds, transitions, stage map, service levels and playbook to a new name, which is returned.  The copy is not attached.  It is a draft, if the caller may write leadscore.draft: see leadscore.compare() and leadscore.publish().  NULL gives NULL, and copies nothing.  Errors: 42704 unknown model, 42710 the new name is taken, 42602 it is no name for a model, 42501 no privilege to write the tables of the matrix.';

/*
 * Templates are exported matrices whose conditions name columns in double
 * braces, to be replaced by the columns of the user's table.  Those of activity
 * rules are columns of the events' table; the template says which activity
 * sources there may be, and what each row of them is.
 *
 * Some have rules, others transitions.  The conditions of these name criteria
 * in double braces as well, which users may want to replace altogether.
 */

CREATE FUNCTION leadscore.template(name text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF template.name = 'b2b_webinar' THEN
		RETURN jsonb_build_object(
			'description', 'Classic matrix for a business-to-business offer with a webinar',
			'columns', '["company_size", "knowledge_level", "purchase_motivation", "decision_power", "position", "webinar"]'::jsonb,
			'factors', '[
				{"name": "company size", "axis": "fit", "combine": "best"},
				{"name": "knowledge level", "axis": "fit", "combine": "best"},
				{"name": "purchase motivation", "axis": "fit", "combine": "best"},
				{"name": "decision power", "axis": "fit", "combine": "best"},
				{"name": "position", "axis": "fit", "combine": "best"},
				{"name": "webinar", "axis": "engagement", "combine": "best"}
			]'::jsonb,
			'rules', (
				SELECT jsonb_agg(jsonb_build_object('factor', v.factor, 'parameter', v.parameter, 'significance', v.significance,
													'condition', format('{{%s}} = %L', replace(v.factor, ' ', '_'), v.parameter),
													'points', v.points) ORDER BY v.number)
				FROM (VALUES
					(1, 'company size', 'large', 'acceptable', 0),
					(2, 'company size', 'medium', 'key', 5),
					(3, 'company size', 'small', 'negative', -5),
					(4, 'knowledge level', 'expert', 'key', 30),
					(5, 'knowledge level', 'specialist', 'acceptable', 10),
					(6, 'knowledge level', 'junior specialist', 'negative', -20),
					(7, 'purchase motivation', 'fear of mistakes', 'key', 5),
					(8, 'purchase motivation', 'peace at work', 'acceptable', 2),
					(9, 'purchase motivation', 'personal growth', 'acceptable', 2),
					(10, 'decision power', 'decides alone', 'key', 20),
					(11, 'decision power', 'short path', 'acceptable', 10),
					(12, 'decision power', 'long path', 'acceptable', -5),
					(13, 'position', 'director', 'acceptable', 5),
					(14, 'position', 'manager', 'key', 15),
					(15, 'position', 'specialist', 'negative', -10),
					(16, 'webinar', 'not registered', 'negative', -30),
					(17, 'webinar', 'registered, absent', 'negative', -20),
					(18, 'webinar', 'attended', 'acceptable', 10),
					(19, 'webinar', 'attended + question', 'key', 20),
					(20, 'webinar', 'attended + e-book', 'key', 20),
					(21, 'webinar', 'attended + question + e-book', 'key', 35)
				) v(number, factor, parameter, significance, points)),
			'thresholds', '[
				{"kind": "engagement", "label": "1", "at_least": 30},
				{"kind": "engagement", "label": "2", "at_least": 20},
				{"kind": "engagement", "label": "3", "at_least": 5},
				{"kind": "engagement", "label": "4", "at_least": "-Infinity"}
			]'::jsonb);
	ELSIF template.name = 'b2b_activities' THEN
		-- points that fade, for a matrix of rows to be added to; a typical lead
		-- that comes every week has between 20 and 60
		RETURN jsonb_build_object(
			'description', 'What leads of a business-to-business offer do',
			'columns', '[]'::jsonb,
			'activity_sources', '[
				{"name": "visit", "columns": ["url"], "description": "Pages of the website that were read"},
				{"name": "form", "columns": ["form"], "description": "Forms that were sent; the column names the form"},
				{"name": "email", "columns": ["action"], "description": "What became of e-mails: clicked, unsubscribed, hard bounce"},
				{"name": "webinar", "columns": ["status"], "description": "Registrations for webinars: attended, absent"},
				{"name": "conference", "columns": [], "description": "Visits to our stand, talks at trade fairs and conferences"},
				{"name": "chat", "columns": [], "description": "Conversations that the lead began"}
			]'::jsonb,
			'factors', '[
				{"name": "website", "axis": "engagement", "combine": "sum", "points_floor": -15, "points_cap": 35, "description": "Does the lead read what buyers read?"},
				{"name": "requests", "axis": "engagement", "combine": "best", "description": "Did the lead ask for us?"},
				{"name": "e-mail", "axis": "engagement", "combine": "sum", "points_floor": -25, "points_cap": 15, "description": "Does the lead take to our e-mails?"},
				{"name": "webinars and conferences", "axis": "engagement", "combine": "sum", "points_floor": -10, "points_cap": 40, "description": "Does the lead give us time?"},
				{"name": "conversations", "axis": "engagement", "combine": "sum", "points_cap": 20, "description": "Does the lead talk to us?"},
				{"name": "silence", "axis": "engagement", "combine": "best", "description": "Has the lead fallen silent?"}
			]'::jsonb,
			'rules', (
				SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
									'factor', v.factor, 'parameter', v.parameter, 'significance', v.significance, 'activity', v.activity,
									'condition', v.condition, 'points', v.points, 'half_life', v.half_life, 'at_least', v.at_least,
									'within', v.within, 'at_most', v.at_most, 'inactive_for', v.inactive_for,
									'disqualifies', v.disqualifies, 'note', v.note)) ORDER BY v.number)
				FROM (VALUES
					(1, 'website', 'any page', 'acceptable', 'visit', '{{url}} !~* ''/(support|help|docs|knowledge)''', 1, '7 days', NULL, NULL, 10, NULL, NULL,
						'Who reads is interested a little; that passes within days, and many pages are still reading.'),
					(2, 'website', 'pricing page', 'key', 'visit', '{{url}} ~* ''/(pricing|prices|plans)''', 10, '14 days', NULL, NULL, 3, NULL, NULL,
						'Who looks at prices compares offers.'),
					(3, 'website', 'technical support content', 'negative', 'visit', '{{url}} ~* ''/(support|help|docs|knowledge)''', -5, '30 days', NULL, NULL, 3, NULL, NULL,
						'Who looks for help with the product has it already: a customer, and no buyer.'),
					(4, 'website', 'comes back', 'key', 'visit', '{{url}} !~* ''/(support|help|docs|knowledge)''', 8, NULL, 5, '7 days', NULL, NULL, NULL,
						'Five pages in a week: the question is at hand now.'),
					(5, 'requests', 'demo request', 'key', 'form', '{{form}} ~* ''(demo|trial|offer|quote)''', 30, '30 days', NULL, NULL, 1, NULL, NULL,
						'Asks for us, and waits for the answer; to ask twice is no more than to ask.'),
					(6, 'e-mail', 'click', 'acceptable', 'email', 'lower({{action}}::text) IN (''click'', ''clicked'')', 5, '14 days', NULL, NULL, 4, NULL, NULL,
						'A click is read by a person; mere openings are counted by machines as well.'),
					(7, 'e-mail', 'unsubscribe', 'negative', 'email', 'lower({{action}}::text) IN (''unsubscribe'', ''unsubscribed'', ''opt-out'', ''opted out'')', -25, '180 days', NULL, NULL, 1, NULL, NULL,
						'Wants no more mail.  That is no disqualification: such leads buy by telephone.'),
					(8, 'e-mail', 'hard bounce', 'negative', 'email', 'lower({{action}}::text) IN (''hard bounce'', ''hard_bounce'', ''hard-bounce'', ''hardbounce'')', 0, NULL, 1, '365 days', NULL, NULL, true,
						'The address does not exist, so the lead cannot be reached, or made it up.'),
					(9, 'webinars and conferences', 'webinar attended', 'key', 'webinar', 'lower({{status}}::text) IN (''attended'', ''joined'', ''present'')', 15, '60 days', NULL, NULL, 3, NULL, NULL,
						'An hour of attention; the subject stays with a company for months.'),
					(10, 'webinars and conferences', 'registered, absent', 'negative', 'webinar', 'lower({{status}}::text) IN (''absent'', ''no show'', ''no_show'', ''no-show'', ''missed'')', -5, '60 days', NULL, NULL, 2, NULL, NULL,
						'The interest did not last until the day.'),
					(11, 'webinars and conferences', 'conference', 'key', 'conference', 'true', 20, '90 days', NULL, NULL, 2, NULL, NULL,
						'Travelled, and spoke to us in person.'),
					(12, 'conversations', 'chat', 'key', 'chat', 'true', 8, '14 days', NULL, NULL, 3, NULL, NULL,
						'Has a question now; answered or not, it is stale in a few weeks.'),
					(13, 'silence', '30 days of silence', 'negative', 'visit', 'true', -15, NULL, NULL, NULL, NULL, '30 days', NULL,
						'Was there, and has not come back for a month.  Who never came is not meant: their points are low anyway.')
				) v(number, factor, parameter, significance, activity, condition, points, half_life, at_least, within, at_most, inactive_for, disqualifies, note)),
			'thresholds', '[]'::jsonb);
	ELSIF template.name = 'mars' THEN
		RETURN jsonb_build_object(
			'description', 'Stages: a lead that meets the criteria is qualified, and is accepted when sales registers it as an opportunity',
			'columns', '["employees", "industry", "title"]'::jsonb,
			'criteria', jsonb_build_object(
				'mql', '{{employees}} > 1000 AND {{industry}}::text ILIKE ''%energy%'' AND {{title}}::text ~* '
					|| quote_literal('[[:<:]](cio|cto|cdo|chief (information|technology|digital|data) officer)[[:>:]]'
									 '|[[:<:]](chief|director|head|manager|vp)[[:>:]].*[[:<:]](it|information technology)[[:>:]]'
									 '|[[:<:]](it|information technology)[[:>:]].*[[:<:]](director|head|manager|officer)[[:>:]]')),
			'model', '{"initial_stage": "lead", "accepted_stage": "sql", "handoff_stage": "mql"}'::jsonb,
			'transitions', (
				SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
									'from_stage', v.from_stage, 'to_stage', v.to_stage, 'condition', v.condition,
									'automatic', v.automatic, 'description', v.description)) ORDER BY v.number)
				FROM (VALUES
					(1, 'lead', 'mql', '{{criteria.mql}}', true,
						'The lead is whom we want.  How interested it is, is not known yet: sales finds out.'),
					(2, 'mql', 'sql', NULL, false,
						'Sales takes the lead over and registers it as an opportunity.'),
					(3, 'sql', 'customer', NULL, false,
						'The lead has bought.'),
					(4, 'mql', 'nurture', NULL, false,
						'Sales does not want the lead yet: marketing keeps in touch with it.'),
					(5, 'sql', 'nurture', NULL, false,
						'It came to nothing this time: marketing keeps in touch with the lead.'),
					(6, 'nurture', 'mql', '{{criteria.mql}}', true,
						'The lead is whom we want again, or was for long enough and has stirred.'),
					(7, 'lead', 'disqualified', 'scored.disqualified', true, 'A rule says that we do not want the lead.'),
					(8, 'nurture', 'disqualified', 'scored.disqualified', true, 'A rule says that we do not want the lead.'),
					(9, 'mql', 'disqualified', 'scored.disqualified', true, 'A rule says that we do not want the lead.'),
					(10, 'sql', 'disqualified', 'scored.disqualified', true, 'A rule says that we do not want the lead.'),
					(11, 'disqualified', 'lead', 'NOT scored.disqualified', false,
						'No rule objects to the lead any more, and somebody has looked at it: it begins anew.')
				) v(number, from_stage, to_stage, condition, automatic, description)));
	ELSIF template.name = 'demand_gen' THEN
		RETURN jsonb_build_object(
			'description', 'Stages: demand generation, from a contact to a customer, with a hand-off to sales when a qualified lead is hot',
			'columns', '["email", "phone", "consent"]'::jsonb,
			'criteria', '{
				"lead": "({{email}} IS NOT NULL OR {{phone}} IS NOT NULL) AND {{consent}}",
				"mql": "scored.fit >= 20",
				"sal": "scored.temperature = ''hot''"
			}'::jsonb,
			'model', '{"initial_stage": "contact", "accepted_stage": "sal", "handoff_stage": "sal"}'::jsonb,
			'transitions', (
				SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
									'from_stage', v.from_stage, 'to_stage', v.to_stage, 'condition', v.condition,
									'automatic', v.automatic, 'description', v.description)) ORDER BY v.number)
				FROM (VALUES
					(1, 'contact', 'lead', '{{criteria.lead}}', true,
						'The contact can be reached, and consents to that.'),
					(2, 'lead', 'mql', '{{criteria.mql}}', true,
						'The lead is whom we want: its fit is good enough for grade B.'),
					(3, 'mql', 'sal', '{{criteria.sal}}', true,
						'The lead is interested now: sales is told, and the time to answer runs.'),
					(4, 'sal', 'sql', NULL, false,
						'Sales has talked to the lead and takes it over.'),
					(5, 'sql', 'opportunity', NULL, false,
						'Price and terms are discussed.'),
					(6, 'opportunity', 'customer', NULL, false,
						'The lead has bought.'),
					(7, 'contact', 'nurture', NULL, false, 'Not now: marketing keeps in touch.'),
					(8, 'lead', 'nurture', NULL, false, 'Not now: marketing keeps in touch.'),
					(9, 'mql', 'nurture', NULL, false, 'Not now: marketing keeps in touch.'),
					(10, 'sal', 'nurture', NULL, false, 'Sales sends the lead back: marketing keeps in touch.'),
					(11, 'sql', 'nurture', NULL, false, 'Sales sends the lead back: marketing keeps in touch.'),
					(12, 'opportunity', 'nurture', NULL, false, 'It came to nothing this time: marketing keeps in touch.'),
					(13, 'customer', 'nurture', NULL, false, 'A customer that has left is worth keeping in touch with.'),
					(14, 'nurture', 'mql', '{{criteria.mql}}', true,
						'The lead is whom we want again, or was for long enough and has stirred.'),
					(15, 'nurture', 'sal', '{{criteria.mql}} AND {{criteria.sal}}', true,
						'The lead has become hot again: sales is told at once.'),
					(16, 'contact', 'disqualified', 'scored.disqualified', true, 'A rule says that we do not want the lead.'),
					(17, 'lead', 'disqualified', 'scored.disqualified', true, 'A rule says that we do not want the lead.'),
					(18, 'nurture', 'disqualified', 'scored.disqualified', true, 'A rule says that we do not want the lead.'),
					(19, 'mql', 'disqualified', 'scored.disqualified', true, 'A rule says that we do not want the lead.'),
					(20, 'sal', 'disqualified', 'scored.disqualified', true, 'A rule says that we do not want the lead.'),
					(21, 'sql', 'disqualified', 'scored.disqualified', true, 'A rule says that we do not want the lead.'),
					(22, 'opportunity', 'disqualified', 'scored.disqualified', true, 'A rule says that we do not want the lead.'),
					(23, 'customer', 'disqualified', NULL, false,
						'We part with a customer; that is for people to decide, not for a rule.'),
					(24, 'disqualified', 'contact', 'NOT scored.disqualified', false,
						'No rule objects to the lead any more, and somebody has looked at it: it begins anew.')
				) v(number, from_stage, to_stage, condition, automatic, description)));
	ELSIF template.name = 'conversation' THEN
		RETURN jsonb_build_object(
			'description', 'Stages: sales talks to every lead, and people alone move it on',
			'columns', '[]'::jsonb,
			'model', '{"initial_stage": "lead", "accepted_stage": "prospect", "handoff_stage": "lead"}'::jsonb,
			'transitions', (
				SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
									'from_stage', v.from_stage, 'to_stage', v.to_stage, 'condition', v.condition,
									'automatic', v.automatic, 'description', v.description)) ORDER BY v.number)
				FROM (VALUES
					(1, 'lead', 'prospect', NULL, false,
						'Contact: the lead has answered, and both sides talk.'),
					(2, 'prospect', 'opportunity', NULL, false,
						'Price and terms are discussed.'),
					(3, 'opportunity', 'customer', NULL, false,
						'The lead has bought.'),
					(4, 'lead', 'nurture', NULL, false, 'Does not answer, or not now: marketing keeps in touch.'),
					(5, 'prospect', 'nurture', NULL, false, 'Not now: marketing keeps in touch.'),
					(6, 'opportunity', 'nurture', NULL, false, 'It came to nothing this time: marketing keeps in touch.'),
					(7, 'nurture', 'lead', NULL, false, 'Worth another try.'),
					(8, 'lead', 'disqualified', 'scored.disqualified', true, 'A rule says that we do not want the lead.'),
					(9, 'nurture', 'disqualified', 'scored.disqualified', true, 'A rule says that we do not want the lead.'),
					(10, 'prospect', 'disqualified', 'scored.disqualified', true, 'A rule says that we do not want the lead.'),
					(11, 'opportunity', 'disqualified', 'scored.disqualified', true, 'A rule says that we do not want the lead.'),
					(12, 'disqualified', 'lead', 'NOT scored.disqualified', false,
						'No rule objects to the lead any more, and somebody has looked at it: it begins anew.')
				) v(number, from_stage, to_stage, condition, automatic, description)));
	END IF;
	RAISE EXCEPTION USING
		ERRCODE = 'undefined_object',
		MESSAGE = format('scoring template "%s" does not exist', template.name),
		HINT = 'There are: b2b_webinar, about the lead''s own row; b2b_activities, to be added to it; and the stages mars, demand_gen and conversation.';
END
$$;
COMMENT ON FUNCTION leadscore.template(text) IS
'A ready matrix, or the transitions between stages, as JSON: its columns, activity sources, factors, rules and thresholds; or its columns, criteria, transitions and what they mean for the model.  Templates: b2b_webinar, about the lead''s own row; b2b_activities, about what leads do, to be loaded in addition to another matrix; and for the stages, whichever the matrix, mars, demand_gen or conversation.  NULL gives NULL.  Errors: 42704 unknown template.';

CREATE FUNCTION leadscore._template_activities(template text, model text, activities jsonb)
RETURNS TABLE (template_name text, source text, condition text, needed jsonb, columns jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	sources	jsonb := coalesce(leadscore.template(_template_activities.template) -> 'activity_sources', '[]');
	known	text := (SELECT string_agg(e ->> 'name', ', ') FROM jsonb_array_elements(sources) e);
	stray	text;
	source_name text;
BEGIN
	IF jsonb_typeof(activities) <> 'object' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'activities must be a JSON object',
			HINT = 'For example: activities => ''{"visit": "page_view"}''.';
	END IF;
	SELECT a INTO stray FROM jsonb_object_keys(activities) a
	WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(sources) e WHERE e ->> 'name' = a) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('template "%s" has no activity source "%s"', _template_activities.template, stray),
			HINT = CASE WHEN known IS NULL THEN 'It has none.' ELSE format('Its activity sources are: %s.', known) END;
	END IF;
	SELECT a.key INTO stray FROM jsonb_each(activities) a
	WHERE jsonb_typeof(a.value) NOT IN ('string', 'object', 'null')
	   OR (jsonb_typeof(a.value) = 'object'
		   AND (a.value - '{source,when,columns}'::text[] <> '{}' OR jsonb_typeof(coalesce(a.value -> 'columns', '{}')) <> 'object')) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('activity source "%s" of template "%s" is not described the way it should be', stray, _template_activities.template),
			HINT = format('Give the name of yours: {"%1$s": "..."}; or {"%1$s": {"source": "...", "when": "...", "columns": {...}}}; or null if there is none.', stray);
	END IF;
	SELECT e ->> 'name', c, (SELECT string_agg(k, ', ') FROM jsonb_array_elements_text(e -> 'columns') k)
	INTO source_name, stray, known
	FROM jsonb_array_elements(sources) e, jsonb_object_keys(coalesce(activities -> (e ->> 'name') -> 'columns', '{}')) c
	WHERE NOT e -> 'columns' ? c LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('activity source "%s" of template "%s" has no column "%s"', source_name, _template_activities.template, stray),
			HINT = coalesce(format('Its columns are: %s.', known), 'It has none.');
	END IF;

	RETURN QUERY
		SELECT e.element ->> 'name',
			   CASE jsonb_typeof(a.value) WHEN 'string' THEN a.value #>> '{}'
					WHEN 'object' THEN coalesce(a.value ->> 'source', e.element ->> 'name')
					WHEN 'null' THEN NULL ELSE e.element ->> 'name' END,
			   CASE jsonb_typeof(a.value) WHEN 'object' THEN a.value ->> 'when' END,
			   e.element -> 'columns',
			   CASE jsonb_typeof(a.value) WHEN 'object' THEN coalesce(a.value -> 'columns', '{}') ELSE '{}' END
		FROM jsonb_array_elements(sources) WITH ORDINALITY e(element, position)
		LEFT JOIN jsonb_each(activities) a ON a.key = e.element ->> 'name'
		ORDER BY e.position;
END
$$;
COMMENT ON FUNCTION leadscore._template_activities(text, text, jsonb) IS
'Internal: the activity sources of a template, and what of the user''s takes the place of each; source NULL: nothing.';

CREATE FUNCTION leadscore.load_template(name text, model text, target regclass DEFAULT NULL, columns jsonb DEFAULT '{}', activities jsonb DEFAULT '{}', criteria jsonb DEFAULT '{}') RETURNS text
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
	template	jsonb := leadscore.template(load_template.name);
	stray		text;
	rule		record;
	transition	leadscore.transition;
	events		record;
	condition	text;
	needed		text;
	left_out	text[] := '{}';
	loaded		text[];
BEGIN
	IF load_template.name IS NULL OR load_template.model IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'load_template() needs the name of a template and of a model';
	END IF;
	SELECT c INTO stray FROM pg_catalog.jsonb_object_keys(columns) c
	WHERE NOT template -> 'columns' OPERATOR(pg_catalog.?) c LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = pg_catalog.format('template "%s" has no column "%s"', load_template.name, stray),
			HINT = CASE WHEN template -> 'columns' OPERATOR(pg_catalog.=) '[]'
						THEN CASE WHEN template OPERATOR(pg_catalog.?) 'activity_sources' THEN 'The columns of its events go into the argument activities.'
								  ELSE 'It has none.' END
						ELSE pg_catalog.format('Its columns are: %s.', (SELECT pg_catalog.string_agg(c, ', ') FROM pg_catalog.jsonb_array_elements_text(template -> 'columns') c)) END;
	END IF;
	SELECT c INTO stray FROM pg_catalog.jsonb_object_keys(criteria) c
	WHERE NOT coalesce(template -> 'criteria', '{}') OPERATOR(pg_catalog.?) c LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = pg_catalog.format('template "%s" has no criteria "%s"', load_template.name, stray),
			HINT = coalesce((SELECT 'Its criteria are: ' OPERATOR(pg_catalog.||) pg_catalog.string_agg(c, ', ') OPERATOR(pg_catalog.||) '.'
							 FROM pg_catalog.jsonb_object_keys(template -> 'criteria') c), 'It has none.');
	END IF;

	IF target IS NOT NULL THEN
		INSERT INTO leadscore.model (name, target, description)
		VALUES (load_template.model, load_template.target, template ->> 'description');
	ELSIF NOT EXISTS (SELECT FROM leadscore.model m WHERE m.name OPERATOR(pg_catalog.=) load_template.model) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = pg_catalog.format('scoring model "%s" does not exist', load_template.model),
			HINT = 'Insert it into leadscore.model first, or name the table of leads with target => ''...''.';
	END IF;
	IF template OPERATOR(pg_catalog.?) 'transitions'
		AND EXISTS (SELECT FROM leadscore.transition t WHERE t.model OPERATOR(pg_catalog.=) load_template.model) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = pg_catalog.format('scoring model "%s" has transitions already', load_template.model),
			HINT = pg_catalog.format('Delete them first: DELETE FROM leadscore.transition WHERE model = %L.', load_template.model);
	END IF;

	-- which of the activity sources are there?
	FOR events IN
		SELECT a.*, s.name AS own,
			   pg_catalog.count(*) FILTER (WHERE s.name IS NOT NULL) OVER () AS usable,
			   pg_catalog.count(*) OVER (PARTITION BY s.name) AS sharing
		FROM leadscore._template_activities(load_template.name, load_template.model, coalesce(activities, '{}')) a
		LEFT JOIN leadscore.activity_source s
			ON s.model OPERATOR(pg_catalog.=) load_template.model AND s.name OPERATOR(pg_catalog.=) a.source
	LOOP
		IF events.own IS NULL AND activities OPERATOR(pg_catalog.?) events.template_name AND events.source IS NOT NULL THEN
			RAISE EXCEPTION USING
				ERRCODE = 'undefined_object',
				MESSAGE = pg_catalog.format('activity source "%s" of scoring model "%s" does not exist', events.source, load_template.model),
				HINT = 'Insert it into leadscore.activity_source first.';
		ELSIF events.usable OPERATOR(pg_catalog.=) 0 THEN
			RAISE EXCEPTION USING
				ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = pg_catalog.format('scoring model "%s" has none of the activity sources of template "%s"', load_template.model, load_template.name),
				HINT = pg_catalog.format('Insert yours into leadscore.activity_source first, and say which is which: activities => ''{"%s": "..."}''.', events.template_name);
		ELSIF events.own IS NOT NULL AND events.sharing OPERATOR(pg_catalog.>) 1 AND events.condition IS NULL THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = pg_catalog.format('activity source "%s" stands for several of template "%s"', events.own, load_template.name),
				HINT = pg_catalog.format('Say which of its events are meant: activities => ''{"%s": {"source": "%s", "when": "kind = ''''...''''"}}''.',
										 events.template_name, events.own);
		ELSIF events.own IS NULL THEN
			left_out := pg_catalog.array_append(left_out, events.template_name);
			SELECT pg_catalog.string_agg(r ->> 'parameter', ', ') INTO stray
			FROM pg_catalog.jsonb_array_elements(template -> 'rules') r
			WHERE r ->> 'activity' OPERATOR(pg_catalog.=) events.template_name;
			IF NOT coalesce(activities, '{}') OPERATOR(pg_catalog.?) events.template_name THEN
				RAISE NOTICE USING
					MESSAGE = pg_catalog.format('scoring model "%s" has no activity source "%s"; left out: %s', load_template.model, events.template_name, stray),
					HINT = pg_catalog.format('If it has another name: activities => ''{"%s": "..."}''.', events.template_name);
			END IF;
		END IF;
	END LOOP;
	SELECT pg_catalog.array_agg(DISTINCT r ->> 'factor') INTO loaded
	FROM pg_catalog.jsonb_array_elements(template -> 'rules') r
	WHERE (r ->> 'activity' OPERATOR(pg_catalog.=) ANY (left_out)) IS NOT TRUE;

	INSERT INTO leadscore.factor (model, name, axis, combine, points_floor, points_cap, description)
	SELECT load_template.model, f.name, f.axis, f.combine, f.points_floor, f.points_cap, f.description
	FROM pg_catalog.jsonb_populate_recordset(NULL::leadscore.factor, template -> 'factors') f
	WHERE f.name OPERATOR(pg_catalog.=) ANY (loaded);

	FOR rule IN
		SELECT r.*, a.source, a.condition AS only_when, a.needed AS event_columns, a.columns AS own_columns
		FROM pg_catalog.jsonb_array_elements(template -> 'rules') WITH ORDINALITY e(element, position)
		CROSS JOIN LATERAL pg_catalog.jsonb_populate_record(NULL::leadscore.rule, e.element) r
		LEFT JOIN leadscore._template_activities(load_template.name, load_template.model, coalesce(activities, '{}')) a
			ON a.template_name OPERATOR(pg_catalog.=) r.activity
		WHERE (r.activity OPERATOR(pg_catalog.=) ANY (left_out)) IS NOT TRUE
		ORDER BY e.position
	LOOP
		condition := rule.condition;
		FOR needed IN SELECT pg_catalog.jsonb_array_elements_text(coalesce(rule.event_columns, template -> 'columns')) LOOP
			condition := pg_catalog.replace(condition, '{{' OPERATOR(pg_catalog.||) needed OPERATOR(pg_catalog.||) '}}',
											pg_catalog.quote_ident(coalesce(CASE WHEN rule.activity IS NULL THEN columns ELSE rule.own_columns END ->> needed, needed)));
		END LOOP;
		IF rule.only_when IS NOT NULL THEN
			condition := CASE WHEN condition OPERATOR(pg_catalog.=) 'true' THEN rule.only_when
							  ELSE pg_catalog.format('(%s) AND %s', rule.only_when, condition) END;
		END IF;
		BEGIN
			INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies, note,
										activity, half_life, at_least, within, at_most, inactive_for, include_never)
			VALUES (load_template.model, rule.factor, rule.parameter, rule.significance, condition, rule.points,
					coalesce(rule.disqualifies, false), rule.note, rule.source, rule.half_life, rule.at_least, rule.within,
					rule.at_most, rule.inactive_for, coalesce(rule.include_never, false));
		EXCEPTION WHEN undefined_column THEN
			RAISE EXCEPTION USING
				ERRCODE = 'undefined_column',
				MESSAGE = pg_catalog.format('template "%s" does not fit the %s of model "%s": %s', load_template.name,
											CASE WHEN rule.activity IS NULL THEN 'leads' ELSE pg_catalog.format('activity source "%s"', rule.source) END,
											load_template.model, SQLERRM),
				HINT = CASE WHEN rule.activity IS NULL
							THEN pg_catalog.format('Say which columns take the place of the template''s: columns => ''{"%s": "..."}''.',
												   pg_catalog.substring(rule.condition, '\{\{(\w+)\}\}'))
							ELSE pg_catalog.format('Say which columns take the place of the template''s: activities => ''{"%s": {"source": "%s", "columns": {"%s": "..."}}}''.',
												   rule.activity, rule.source, pg_catalog.substring(rule.condition, '\{\{(\w+)\}\}')) END;
		END;
	END LOOP;

	INSERT INTO leadscore.threshold (model, kind, label, at_least)
	SELECT load_template.model, t.kind, t.label, t.at_least
	FROM pg_catalog.jsonb_populate_recordset(NULL::leadscore.threshold, template -> 'thresholds') t
	WHERE NOT EXISTS (SELECT FROM leadscore.threshold own
					  WHERE own.model OPERATOR(pg_catalog.=) load_template.model AND own.kind OPERATOR(pg_catalog.=) t.kind);

	-- how leads move, and from where
	FOR transition IN
		SELECT t.*
		FROM pg_catalog.jsonb_array_elements(template -> 'transitions') WITH ORDINALITY e(element, position)
		CROSS JOIN LATERAL pg_catalog.jsonb_populate_record(NULL::leadscore.transition, e.element) t
		ORDER BY e.position
	LOOP
		condition := transition.condition;
		FOR needed IN SELECT pg_catalog.jsonb_object_keys(template -> 'criteria') LOOP
			stray := coalesce(criteria ->> needed, template -> 'criteria' ->> needed);
			needed := '{{criteria.' OPERATOR(pg_catalog.||) needed OPERATOR(pg_catalog.||) '}}';
			condition := CASE WHEN condition OPERATOR(pg_catalog.=) needed THEN stray
							  ELSE pg_catalog.replace(condition, needed, pg_catalog.format('(%s)', stray)) END;
		END LOOP;
		stray := condition;
		FOR needed IN SELECT pg_catalog.jsonb_array_elements_text(template -> 'columns') LOOP
			condition := pg_catalog.replace(condition, '{{' OPERATOR(pg_catalog.||) needed OPERATOR(pg_catalog.||) '}}',
											pg_catalog.quote_ident(coalesce(columns ->> needed, needed)));
		END LOOP;
		BEGIN
			INSERT INTO leadscore.transition (model, from_stage, to_stage, condition, automatic, description, min_attempts)
			VALUES (load_template.model, transition.from_stage, transition.to_stage, condition,
					coalesce(transition.automatic, false), transition.description, transition.min_attempts);
		EXCEPTION WHEN undefined_column THEN
			SELECT c INTO needed FROM pg_catalog.jsonb_array_elements_text(template -> 'columns') c
			WHERE pg_catalog.strpos(stray, '{{' OPERATOR(pg_catalog.||) c OPERATOR(pg_catalog.||) '}}') OPERATOR(pg_catalog.>) 0
			  AND pg_catalog.strpos(SQLERRM, pg_catalog.format('"%s"', coalesce(columns ->> c, c))) OPERATOR(pg_catalog.>) 0;
			RAISE EXCEPTION USING
				ERRCODE = 'undefined_column',
				MESSAGE = pg_catalog.format('template "%s" does not fit the leads of model "%s": %s', load_template.name, load_template.model, SQLERRM),
				HINT = CASE WHEN needed IS NULL THEN 'Look at the criteria that you gave.'
							ELSE pg_catalog.format('Say which columns take the place of the template''s: columns => ''{"%s": "..."}''; or give criteria of your own: criteria => ''{"%s": "..."}''.',
												   needed, pg_catalog.substring(transition.condition, '\{\{criteria\.(\w+)\}\}')) END;
		END;
	END LOOP;
	IF template OPERATOR(pg_catalog.?) 'model' THEN
		UPDATE leadscore.model m
		SET initial_stage = (template #>> '{model,initial_stage}')::leadscore.lead_stage,
			accepted_stage = (template #>> '{model,accepted_stage}')::leadscore.lead_stage,
			handoff_stage = (template #>> '{model,handoff_stage}')::leadscore.lead_stage
		WHERE m.name OPERATOR(pg_catalog.=) load_template.model;
	END IF;

	RETURN load_template.model;
END
$$;
COMMENT ON FUNCTION leadscore.load_template(text, text, regclass, jsonb, jsonb, jsonb) IS
'Adds the factors, rules and thresholds of a template, or its transitions between stages, to a model, which is made for the table target if that is given (NULL: the model is there), and returns the model.  columns maps the template''s column names to those of the table, as in {"company_size": "size_band"}.  activities maps its activity sources to those of the model where they have other names, as in {"visit": "page_view"}; to tell several apart that are in one table, or to name columns: {"visit": {"source": "activity", "when": "kind = ''visit''", "columns": {"url": "page"}}}.  Rules about an activity source that the model has not are left out, with a notice; null says that it has none.  criteria replaces what a template of transitions takes for a good lead by conditions of one''s own, as in {"mql": "employees > 500"}; such a template sets initial_stage, accepted_stage and handoff_stage of the model.  columns, activities and criteria NULL: nothing is mapped.  Errors: 22004 name or model is NULL, 42704 unknown template, model or activity source, 55000 the model has none of the activity sources, or has transitions already, 42703 a column is missing, 22023 the template has no such column, activity source or criteria, or several sources are one without a "when", or what maps them is no JSON object, 23505 the model, or a factor of that name, is there already, 42501 no privilege to write the tables of the matrix, and those of writing rules and transitions.';

/* ----------------------------------------------------------------------
 * 8. Reports: for people and for BI tools
 *
 * Views over all attached models, whose first column is a unique key of type
 * text.  They show of each model what its scored view shows the reader, so
 * that row security of the CRM holds here as well.  A filter on the model
 * reaches the function behind a view: other models are not looked at then.
 *
 * Values are codes, which do not depend on the language; what is for people
 * to read is in columns whose names end in _label, and in reasons.
 * ----------------------------------------------------------------------
 */

--
-- Words
--

CREATE TABLE leadscore.label (
	kind			text COLLATE "C" NOT NULL,
	code			text COLLATE "C" NOT NULL,
	language		text COLLATE "C" NOT NULL,
	label			text NOT NULL,
	builtin			boolean NOT NULL DEFAULT false,
	PRIMARY KEY (kind, code, language, builtin),
	CONSTRAINT label_kind_check CHECK (kind IN ('temperature', 'stage', 'significance', 'axis', 'cause', 'word', 'activity', 'factor', 'parameter')),
	CONSTRAINT label_code_check CHECK (code <> ''),
	CONSTRAINT label_language_check CHECK (language ~ '^[a-z]{2,3}(-[a-z0-9]{2,8})*$')
);
COMMENT ON TABLE leadscore.label IS
'Words for people to read, in several languages.  SET leadscore.language chooses one; what has no word in it is shown in English, else as its code.  Insert rows for other languages, and for what you call things yourself: they replace the built-in ones.';
COMMENT ON COLUMN leadscore.label.kind IS 'temperature, stage, significance, axis, cause (of leadscore.history), word (of reasons and of compare()), activity (events of an activity source), factor or parameter (of your own matrix, which has no built-in words).';
COMMENT ON COLUMN leadscore.label.code IS 'Value that the word is for, such as hot.  Of activities and of words that are counted, with the plural form of the language as Unicode names it after a dot: visit.one, visit.few, visit.many, visit.other; a form that is missing is taken from other.  An activity source whose name ends in s may have its word without that.';
COMMENT ON COLUMN leadscore.label.language IS 'Language, as a lower-case tag: en, pl, pt-br.';
COMMENT ON COLUMN leadscore.label.label IS 'The word.  In words, %s stands for what they are about.';
COMMENT ON COLUMN leadscore.label.builtin IS 'Comes with the extension; used where nobody wrote another.';

CREATE FUNCTION leadscore._builtin_labels(OUT kind text, OUT code text, OUT language text, OUT label text)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'leadscore_builtin_labels'
LANGUAGE C STABLE PARALLEL SAFE ROWS 200;
COMMENT ON FUNCTION leadscore._builtin_labels() IS
'Internal: the words that come with the extension, but for the English names of the stages; without those that the database''s encoding cannot write.';

INSERT INTO leadscore.label (kind, code, language, label, builtin)
SELECT b.kind, b.code, b.language, b.label, true FROM leadscore._builtin_labels() b
UNION ALL
SELECT 'stage', s.stage::text, 'en', s.label, true FROM leadscore.lead_stages() s;

SELECT pg_catalog.pg_extension_config_dump('leadscore.label', 'WHERE NOT builtin');

CREATE FUNCTION leadscore.check_label_row() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_OP = 'TRUNCATE' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'built-in labels cannot be truncated',
			HINT = 'Use DELETE FROM leadscore.label WHERE NOT builtin.';
	END IF;
	IF TG_OP <> 'INSERT' AND OLD.builtin THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'built-in labels cannot be changed',
			HINT = 'Insert a label of your own for this code and language: it is used instead.';
	END IF;
	IF TG_OP = 'DELETE' THEN
		RETURN OLD;
	END IF;
	IF NEW.builtin THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = 'only the extension itself can write built-in labels',
			HINT = 'Leave out the column builtin: labels of your own replace the built-in ones.';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION leadscore.check_label_row() IS
'Trigger on leadscore.label: guards the built-in rows';
CREATE TRIGGER check_row BEFORE INSERT OR UPDATE OR DELETE ON leadscore.label
	FOR EACH ROW EXECUTE FUNCTION leadscore.check_label_row();
CREATE TRIGGER check_truncate BEFORE TRUNCATE ON leadscore.label
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.check_label_row();
ALTER TABLE leadscore.label ENABLE ALWAYS TRIGGER check_row;
ALTER TABLE leadscore.label ENABLE ALWAYS TRIGGER check_truncate;

/* Not even a search_path: so the next two become part of the queries that use them. */
CREATE FUNCTION leadscore._languages() RETURNS TABLE (language text, preference integer)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 3
BEGIN ATOMIC
	-- the session's, that without its region, English
	SELECT l.language COLLATE "C", pg_catalog.min(l.preference)
	FROM (SELECT pg_catalog.replace(pg_catalog.lower(pg_catalog.current_setting('leadscore.language', true)), '_', '-') AS wanted) s,
		 LATERAL (VALUES (s.wanted, 1), (pg_catalog.split_part(s.wanted, '-', 1), 2), ('en', 3)) l(language, preference)
	WHERE l.language <> ''
	GROUP BY 1;
END;
COMMENT ON FUNCTION leadscore._languages() IS
'Internal: the languages in which words are looked for, by preference.';

CREATE FUNCTION leadscore._labels(kind text) RETURNS TABLE (code text, label text)
LANGUAGE sql STABLE STRICT PARALLEL SAFE SECURITY DEFINER ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT DISTINCT ON (l.code) l.code, l.label
	FROM leadscore.label l JOIN leadscore._languages() g ON g.language = l.language
	WHERE l.kind = _labels.kind
	ORDER BY l.code, g.preference, l.builtin
$$;
COMMENT ON FUNCTION leadscore._labels(text) IS
'Internal: all words of a kind in the session''s language, for whoever asks: they are no secret.';

CREATE FUNCTION leadscore.label_of(kind text, code text) RETURNS text
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SECURITY DEFINER	-- keeps its plan, as the next ones do
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN coalesce((SELECT l.label
					 FROM leadscore.label l JOIN leadscore._languages() g ON g.language = l.language
					 WHERE l.kind = label_of.kind AND l.code = label_of.code
					 ORDER BY g.preference, l.builtin LIMIT 1), label_of.code);
END
$$;
COMMENT ON FUNCTION leadscore.label_of(text, text) IS
'Word for a code of a kind (see leadscore.label) in the language of the session (SET leadscore.language), else in English, else the code itself.  Anyone may call it.  NULL gives NULL.';

CREATE FUNCTION leadscore._plural_form(language text, n bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT CASE
		WHEN pg_catalog.split_part(language, '-', 1) IN ('ru', 'uk', 'be', 'sr', 'hr', 'bs') THEN
			CASE WHEN n % 10 = 1 AND n % 100 <> 11 THEN 'one'
				 WHEN n % 10 BETWEEN 2 AND 4 AND n % 100 NOT BETWEEN 12 AND 14 THEN 'few' ELSE 'many' END
		WHEN pg_catalog.split_part(language, '-', 1) = 'pl' THEN
			CASE WHEN n = 1 THEN 'one'
				 WHEN n % 10 BETWEEN 2 AND 4 AND n % 100 NOT BETWEEN 12 AND 14 THEN 'few' ELSE 'many' END
		WHEN pg_catalog.split_part(language, '-', 1) IN ('cs', 'sk') THEN
			CASE WHEN n = 1 THEN 'one' WHEN n BETWEEN 2 AND 4 THEN 'few' ELSE 'other' END
		WHEN pg_catalog.split_part(language, '-', 1) IN ('fr', 'pt') THEN
			CASE WHEN n IN (0, 1) THEN 'one' ELSE 'other' END
		ELSE CASE WHEN n = 1 THEN 'one' ELSE 'other' END END;
END;
COMMENT ON FUNCTION leadscore._plural_form(text, bigint) IS
'Internal: which plural form a whole number takes in a language.';

CREATE FUNCTION leadscore._counted(kind text, what text, n bigint) RETURNS text
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT replace(l.label, '%s', n::text)
			FROM leadscore.label l JOIN leadscore._languages() g ON g.language = l.language
			WHERE l.kind = _counted.kind AND l.code IN (what || '.' || leadscore._plural_form(l.language, n), what || '.other')
			ORDER BY g.preference, l.code = what || '.' || leadscore._plural_form(l.language, n) DESC, l.builtin
			LIMIT 1);
END
$$;
COMMENT ON FUNCTION leadscore._counted(text, text, bigint) IS
'Internal: so many of something, in words: "3 visits"; NULL if there is no word for it.';

--
-- Reasons
--

CREATE FUNCTION leadscore._account(model text, lead_key anyelement, at timestamptz,
	OUT rule_id bigint, OUT factor text, OUT parameter text, OUT significance text, OUT axis text,
	OUT points numeric, OUT occurrences bigint, OUT decayed numeric, OUT counted numeric, OUT note text,
	OUT kind text, OUT shadowed boolean, OUT disqualifies boolean, OUT activity text, OUT silence boolean,
	OUT undecayed numeric, OUT last_seen timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'leadscore_account'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000 ROWS 10;
COMMENT ON FUNCTION leadscore._account(text, anyelement, timestamptz) IS
'Internal: the rows of explain(model, lead_key, at) and more of each, and a last one of kind score.  A condition that ends in an error does not match.  No rows for NULL, and if there is no such lead.  Errors: as explain(), but for those of conditions.';

CREATE FUNCTION leadscore._account(model text, lead_key text, at timestamptz,
	OUT rule_id bigint, OUT factor text, OUT parameter text, OUT significance text, OUT axis text,
	OUT points numeric, OUT occurrences bigint, OUT decayed numeric, OUT counted numeric, OUT note text,
	OUT kind text, OUT shadowed boolean, OUT disqualifies boolean, OUT activity text, OUT silence boolean,
	OUT undecayed numeric, OUT last_seen timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'leadscore_account'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000 ROWS 10;
COMMENT ON FUNCTION leadscore._account(text, text, timestamptz) IS
'Internal: the same, with the key of the lead as text.';

CREATE FUNCTION leadscore._points_text(points numeric, plus text DEFAULT '+', digits integer DEFAULT 1) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rounded	numeric := round(points, digits);
	minus	text;
BEGIN
	IF rounded >= 0 THEN
		RETURN plus || trim_scale(rounded);
	END IF;
	-- not every encoding has the real one
	minus := leadscore.label_of('word', 'minus');
	RETURN CASE minus WHEN 'minus' THEN '-' ELSE minus END || trim_scale(-rounded);
END
$$;
COMMENT ON FUNCTION leadscore._points_text(numeric, text, integer) IS
'Internal: points as people write them, to so many decimals at most and with their sign, in any language with a decimal point.';

CREATE FUNCTION leadscore._reason_name(factor text, parameter text, activity text, silence boolean, occurrences bigint,
	last_seen timestamptz, at timestamptz) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	name	text := coalesce(leadscore.label_of('parameter', parameter), leadscore.label_of('factor', factor));
	seconds	bigint;
BEGIN
	-- an activity says itself what it is about
	IF activity IS NULL THEN
		RETURN CASE WHEN parameter IS NULL THEN name ELSE leadscore.label_of('factor', factor) || ': ' || name END;
	END IF;
	IF occurrences > 0 AND NOT silence THEN
		name := name || ', ' || coalesce(leadscore._counted('activity', activity, occurrences),
									   leadscore._counted('activity', rtrim(activity, 's'), occurrences),
									   leadscore._counted('word', 'time', occurrences));
	END IF;
	IF isfinite(last_seen) THEN
		seconds := floor(extract(epoch FROM at) - extract(epoch FROM last_seen));
		name := name || ', ' || CASE
			WHEN seconds < 60 THEN leadscore.label_of('word', 'now')
			ELSE replace(leadscore.label_of('word', 'last'), '%s', replace(leadscore.label_of('word', 'ago'), '%s',
				CASE WHEN seconds < 3600 THEN leadscore._counted('word', 'minute', seconds / 60)
					 WHEN seconds < 86400 THEN leadscore._counted('word', 'hour', seconds / 3600)
					 ELSE leadscore._counted('word', 'day', seconds / 86400) END)) END;
	END IF;
	RETURN name;
END
$$;
COMMENT ON FUNCTION leadscore._reason_name(text, text, text, boolean, bigint, timestamptz, timestamptz) IS
'Internal: what a rule that spoke says of a lead, for people to read: "pricing page, 3 visits, last 2 days ago".';

CREATE FUNCTION leadscore.reasons(model text, lead_key text, n integer DEFAULT 3) RETURNS text
LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED COST 5000
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	r		record;
	reasons	text;
BEGIN
	FOR r IN
		SELECT e.kind, e.factor, e.parameter, e.activity, e.silence, e.occurrences, e.last_seen, e.disqualifies, e.counted, e.undecayed
		FROM leadscore._account(reasons.model, reasons.lead_key, statement_timestamp()) e
		WHERE e.kind = 'score' OR (e.kind = 'rule' AND (e.disqualifies OR round(e.counted, 1) <> 0))
		ORDER BY e.kind = 'score' DESC, e.disqualifies DESC, abs(e.counted) DESC, e.rule_id
		LIMIT greatest(n, 0)::bigint + 1
	LOOP
		-- which any lead has
		IF r.kind = 'score' THEN
			reasons := '';
			CONTINUE;
		END IF;
		reasons := concat_ws('; ', nullif(reasons, ''),
			leadscore._reason_name(r.factor, r.parameter, r.activity, r.silence, r.occurrences, r.last_seen, statement_timestamp())
			|| ' (' || concat_ws(', ',
				CASE WHEN round(r.counted, 1) <> 0 THEN leadscore._points_text(r.counted) END,
				CASE WHEN round(r.counted, 1) <> 0 AND round(r.undecayed, 1) <> round(r.counted, 1)
					 THEN replace(leadscore.label_of('word', 'was'), '%s', leadscore._points_text(r.undecayed, '')) END,
				CASE WHEN r.disqualifies THEN leadscore.label_of('word', 'disqualifies') END) || ')');
	END LOOP;
	RETURN reasons;
END
$$;
COMMENT ON FUNCTION leadscore.reasons(text, text, integer) IS
'The same, with the key of the lead as text.';

CREATE FUNCTION leadscore.reasons(model text, lead_key anyelement, n integer DEFAULT 3) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL RESTRICTED COST 5000
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT leadscore.reasons(model, lead_key::text, n)
$$;
COMMENT ON FUNCTION leadscore.reasons(text, anyelement, integer) IS
'Why the lead with this key has its score as of now, for people to read: the n rules that say most (3; below 1: none), by the absolute value of their points, those that disqualify before all others.  In brackets the points that count, and what they were before they faded.  In the language of the session: SET leadscore.language.  Rules that fail on the lead are left out.  Empty if no rule says anything; NULL for a NULL argument, and if there is no such lead.  Errors: as score(model, lead_key, at), but for those of conditions.';

CREATE FUNCTION leadscore._rule_names(rules bigint[]) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(coalesce(leadscore._reason_name(r.factor, r.parameter, r.activity, true, NULL, NULL, NULL), '#' || u.id), ', ' ORDER BY u.id)
	FROM unnest(rules) u(id) LEFT JOIN leadscore.rule r ON r.id = u.id
$$;
COMMENT ON FUNCTION leadscore._rule_names(bigint[]) IS
'Internal: rules by their names, for people to read; those that are gone by their numbers.';

CREATE FUNCTION leadscore.changes(model text, lead_key text, since timestamptz)
RETURNS TABLE (kind text, at timestamptz, rule_id bigint, factor text, parameter text,
			   points_before numeric, points_now numeric, points_change numeric,
			   cause text, from_stage text, to_stage text, from_temperature text, to_temperature text, from_grade text, to_grade text,
			   rules_gained bigint[], rules_lost bigint[], reason text)
LANGUAGE plpgsql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
	IF since > statement_timestamp() THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'cannot tell what has changed since a time in the future',
			HINT = 'Name a time that has passed.';
	END IF;

	RETURN QUERY
	SELECT d.kind, NULL::timestamptz, d.rule_id, d.factor, d.parameter, d.before, d.now, d.now - d.before,
		   NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::bigint[], NULL::bigint[],
		   CASE d.kind WHEN 'rule' THEN leadscore._reason_name(d.factor, d.parameter, d.activity, d.silence, d.occurrences, d.last_seen, statement_timestamp())
				ELSE concat_ws(': ', leadscore.label_of('factor', d.factor), CASE WHEN d.factor IS NULL THEN leadscore.label_of('axis', d.axis) END, leadscore.label_of('word', d.kind)) END
		   || ' (' || leadscore._points_text(d.now - d.before) || ')'
	FROM (SELECT coalesce(n.kind, b.kind) AS kind, coalesce(n.rule_id, b.rule_id) AS rule_id, coalesce(n.factor, b.factor) AS factor,
				 coalesce(n.parameter, b.parameter) AS parameter, coalesce(n.axis, b.axis) AS axis,
				 coalesce(b.counted, 0) AS before, coalesce(n.counted, 0) AS now,
				 coalesce(n.activity, b.activity) AS activity, coalesce(n.silence, b.silence) AS silence,
				 n.occurrences, coalesce(n.last_seen, b.last_seen) AS last_seen
		  FROM (SELECT a.*, concat_ws('/', a.kind, a.rule_id, a.axis, a.factor) AS line
				FROM leadscore._account(changes.model, changes.lead_key, statement_timestamp()) a) n
		  FULL JOIN (SELECT a.*, concat_ws('/', a.kind, a.rule_id, a.axis, a.factor) AS line
					 FROM leadscore._account(changes.model, changes.lead_key, since) a) b ON b.line = n.line) d
	WHERE d.kind = 'score' OR d.now <> d.before
	ORDER BY d.kind <> 'score', d.kind <> 'rule', abs(d.now - d.before) DESC, d.rule_id, d.kind, d.axis, d.factor;
	-- no such lead, or not for the eyes of this reader
	IF NOT FOUND THEN
		RETURN;
	END IF;

	RETURN QUERY
	SELECT 'event', h.at, NULL::bigint, NULL::text, NULL::text, h.from_score::numeric, h.score::numeric, (h.score - h.from_score)::numeric,
		   h.cause, h.from_stage, h.to_stage, h.from_temperature, h.temperature, h.from_grade, h.grade, h.gained, h.lost,
		   leadscore.label_of('cause', h.cause)
		   || coalesce(': ' || nullif(concat_ws('; ',
				CASE WHEN h.from_stage <> h.to_stage THEN leadscore.label_of('stage', h.from_stage) || ' > ' || leadscore.label_of('stage', h.to_stage) END,
				CASE WHEN h.from_temperature <> h.temperature THEN leadscore.label_of('temperature', h.from_temperature) || ' > ' || leadscore.label_of('temperature', h.temperature) END,
				CASE WHEN h.from_grade <> h.grade THEN h.from_grade || ' > ' || h.grade END,
				leadscore.label_of('word', 'gained') || ' ' || leadscore._rule_names(h.gained),
				leadscore.label_of('word', 'lost') || ' ' || leadscore._rule_names(h.lost),
				CASE WHEN h.cause = 'key' THEN replace(leadscore.label_of('word', 'was'), '%s', substr(h.reason, 5)) ELSE h.reason END), ''), '')
	FROM (SELECT h.at, h.xact, h.xact_order, h.from_score, h.score, h.cause, h.from_stage::text, h.to_stage::text, h.from_temperature, h.temperature,
				 h.from_grade, h.grade, h.reason, g.gained, g.lost
		  FROM leadscore.history h
		  LEFT JOIN LATERAL (
			  SELECT p.rules FROM leadscore.history p
			  WHERE p.model = h.model AND p.lead_key = h.lead_key AND (p.at, p.xact, p.xact_order) < (h.at, h.xact, h.xact_order)
				AND p.rules IS NOT NULL
			  ORDER BY p.at DESC, p.xact DESC, p.xact_order DESC LIMIT 1) b ON h.rules IS NOT NULL,
			   -- where it is known what spoke before
			   LATERAL (SELECT CASE WHEN b.rules IS NOT NULL OR h.from_temperature IS NULL THEN
								   nullif(ARRAY(SELECT unnest(h.rules) EXCEPT SELECT unnest(b.rules) ORDER BY 1), '{}') END AS gained,
							   CASE WHEN b.rules IS NOT NULL THEN
								   nullif(ARRAY(SELECT unnest(b.rules) EXCEPT SELECT unnest(h.rules) ORDER BY 1), '{}') END AS lost) g
		  WHERE h.model = changes.model AND h.lead_key = changes.lead_key AND h.at > since) h
	ORDER BY h.at, h.xact, h.xact_order;
END
$$;
COMMENT ON FUNCTION leadscore.changes(text, text, timestamptz) IS
'The same, with the key of the lead as text.';

CREATE FUNCTION leadscore.changes(model text, lead_key anyelement, since timestamptz)
RETURNS TABLE (kind text, at timestamptz, rule_id bigint, factor text, parameter text,
			   points_before numeric, points_now numeric, points_change numeric,
			   cause text, from_stage text, to_stage text, from_temperature text, to_temperature text, from_grade text, to_grade text,
			   rules_gained bigint[], rules_lost bigint[], reason text)
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT * FROM leadscore.changes(model, lead_key::text, since)
$$;
COMMENT ON FUNCTION leadscore.changes(text, anyelement, timestamptz) IS
'What changed in the score of the lead with this key since a time, and why.  First the score then and now (kind score), by today''s rules and today''s row, as score(model, lead_key, at) has it: what it did since, and what has faded.  Then each rule whose points are others by now (kind rule), and what limits and rounding made of them (cap, floor, clamp, rounding): points_change of these sums to that of the score.  Then what leadscore.history recorded since (kind event), in order: moves, temperatures, grades, the rules that each gained and lost where that is known (NULL: none, or not known), with the scores as they were; changes of the lead''s own row and of the rules are there.  reason says each in words, in the language of the session.  No rows for a NULL argument, and if there is no such lead.  Errors: 22023 a time to come, 42501 no SELECT privilege on leadscore.history or leadscore.rule, and as score(model, lead_key, at), but for those of conditions.';

--
-- Views
--

CREATE FUNCTION leadscore._attached_models()
RETURNS TABLE (name text, source regclass, events regclass[], time_zone text, accepted_rank integer)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.name, coalesce(a.source, a.target),
		   ARRAY(SELECT s.relation FROM leadscore.activity_source s WHERE s.model = m.name),
		   m.time_zone, m.accepted_stage::integer
	FROM leadscore.attachment a JOIN leadscore.model m ON m.name = a.model
$$;
COMMENT ON FUNCTION leadscore._attached_models() IS
'Internal: attached models, and the relations that their scores are made from, for whoever asks.';

CREATE FUNCTION leadscore._readable_models()
RETURNS TABLE (name text, explicable boolean, time_zone text, accepted_rank integer)
LANGUAGE sql STABLE ROWS 3
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.name,
		   has_table_privilege(m.source, 'SELECT') IS TRUE
		   -- one that is gone has no rules any more
		   AND NOT EXISTS (SELECT FROM unnest(m.events) e(relation) WHERE NOT has_table_privilege(e.relation, 'SELECT')),
		   m.time_zone, m.accepted_rank
	FROM leadscore._attached_models() m
	WHERE has_table_privilege(to_regclass(format('leadscore.%I', m.name || '_scored')), 'SELECT')
	  AND has_table_privilege(to_regclass(format('leadscore.%I', m.name || '_state')), 'SELECT')
$$;
COMMENT ON FUNCTION leadscore._readable_models() IS
'Internal: attached models whose scored view the caller may read; explicable: he may also read what explain() does.';

CREATE FUNCTION leadscore._scored_leads(model text)
RETURNS TABLE (lead_key text, score integer, temperature text, temperature_label text, grade text, fit integer, engagement numeric,
			   stage text, stage_rank integer, stage_label text, stage_since timestamptz, disqualified boolean, channel text,
			   created_at timestamptz, scored_at timestamptz, next_change_at timestamptz, rules_version bigint, has_problem boolean,
			   pinned_until timestamptz, pin_reason text, settle_due boolean)
LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED COST 1000 ROWS 2000
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY EXECUTE format(
		'SELECT s.lead_key::text, s.score, s.temperature, coalesce(t.label, s.temperature), s.grade, s.fit, s.engagement::numeric,
				s.stage, s.stage_rank, coalesce(g.label, s.stage), s.stage_since, s.disqualified, s.channel,
				x.created_at, s.scored_at, s.next_change_at, s.rules_version, s.has_problem, s.pinned_until, s.pin_reason, s.settle_due
		 FROM leadscore.%I s
		 JOIN leadscore.%I x ON x.lead_key = s.lead_key
		 LEFT JOIN leadscore._labels(''temperature'') t ON t.code = s.temperature
		 LEFT JOIN leadscore._labels(''stage'') g ON g.code = s.stage', model || '_scored', model || '_state');
END
$$;
COMMENT ON FUNCTION leadscore._scored_leads(text) IS
'Internal: what the scored view of a model shows, with the key as text and with labels.';

CREATE VIEW leadscore.scored_lead WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', m.name, s.lead_key) AS key,
	   m.name AS model,
	   s.lead_key, s.score, s.temperature, s.temperature_label, s.grade, s.fit, s.engagement::numeric(10,2) AS engagement,
	   s.stage, s.stage_rank, s.stage_label, s.stage_since, s.disqualified, s.channel, s.created_at, s.scored_at, s.next_change_at,
	   s.rules_version, s.has_problem, s.pinned_until, s.pin_reason, s.settle_due
FROM leadscore._readable_models() m, LATERAL leadscore._scored_leads(m.name) s;
COMMENT ON VIEW leadscore.scored_lead IS
'The leads of all attached models with their scores as of now: what the scored views of the models show, of those that the reader may read.  For a single model its own view is quicker.';
COMMENT ON COLUMN leadscore.scored_lead.key IS 'Unique: model and lead.';
COMMENT ON COLUMN leadscore.scored_lead.model IS 'Model by which the lead is scored.';
COMMENT ON COLUMN leadscore.scored_lead.lead_key IS 'Key of the lead in its table, as text.';
COMMENT ON COLUMN leadscore.scored_lead.score IS 'Score: fit plus engagement, within the model''s range, rounded down.';
COMMENT ON COLUMN leadscore.scored_lead.temperature IS 'cold, warm or hot: by the score, cold if disqualified.';
COMMENT ON COLUMN leadscore.scored_lead.temperature_label IS 'The same in the language of the session.';
COMMENT ON COLUMN leadscore.scored_lead.grade IS 'Letter of the fit axis, and digit of the engagement axis if there is one: A1 is best.';
COMMENT ON COLUMN leadscore.scored_lead.fit IS 'Who the lead is: total of the fit axis, rounded down.';
COMMENT ON COLUMN leadscore.scored_lead.engagement IS 'What the lead does: total of the engagement axis, cut to two decimals.';
COMMENT ON COLUMN leadscore.scored_lead.stage IS 'Stage of the funnel, as text.';
COMMENT ON COLUMN leadscore.scored_lead.stage_rank IS 'Number that orders as stages do: below 100 exits, from 200 qualified, from 300 customers.';
COMMENT ON COLUMN leadscore.scored_lead.stage_label IS 'Name of the stage in the language of the session.';
COMMENT ON COLUMN leadscore.scored_lead.stage_since IS 'When the lead entered its stage.';
COMMENT ON COLUMN leadscore.scored_lead.disqualified IS 'Does a disqualifying rule match?';
COMMENT ON COLUMN leadscore.scored_lead.channel IS 'Acquisition channel: the first one known of the lead.';
COMMENT ON COLUMN leadscore.scored_lead.created_at IS 'When the lead arose, by the model''s created_at; NULL: not known.';
COMMENT ON COLUMN leadscore.scored_lead.scored_at IS 'When the stored values were worked out.';
COMMENT ON COLUMN leadscore.scored_lead.next_change_at IS 'When time alone changes the values next; NULL: never.';
COMMENT ON COLUMN leadscore.scored_lead.rules_version IS 'Version of the model by which the stored values were worked out.';
COMMENT ON COLUMN leadscore.scored_lead.has_problem IS 'Did a rule fail on this lead?  See leadscore.problem.';
COMMENT ON COLUMN leadscore.scored_lead.pinned_until IS 'Until when automatic transitions leave the lead where it is; NULL: they do not.';
COMMENT ON COLUMN leadscore.scored_lead.pin_reason IS 'Why the lead is pinned.';
COMMENT ON COLUMN leadscore.scored_lead.settle_due IS 'May the stage be behind what is shown of the score?  The next write of the lead, or leadscore.advance(), settles it.';

CREATE FUNCTION leadscore._hot_leads(model text, explicable boolean)
RETURNS TABLE (place bigint, lead_key text, score integer, temperature text, temperature_label text, grade text, fit integer, engagement numeric,
			   stage text, stage_rank integer, stage_label text, channel text, reasons text, next_action text)
LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED COST 100000 ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY EXECUTE format(
		'SELECT h.ordinality, h.lead_key, h.score, h.temperature, leadscore.label_of(''temperature'', h.temperature), h.grade, h.fit,
				trunc(h.engagement::numeric, 2), h.stage, h.stage_rank, leadscore.label_of(''stage'', h.stage), h.channel,
				CASE WHEN $1 THEN leadscore.reasons(%1$L, h.lead_key, 3) END, %2$s
		 FROM leadscore.hot_list(%1$L, 100) WITH ORDINALITY h',
		model,
		-- a playbook says what is next, where there are playbooks
		CASE WHEN to_regprocedure('leadscore._next_action(text, anyelement, text, text, text)') IS NULL THEN 'NULL::text'
			 ELSE format('leadscore._next_action(%L, h.lead_key::%s, h.temperature, h.grade, h.stage)', model, leadscore._state_key_type(model)) END)
	USING explicable;
END
$$;
COMMENT ON FUNCTION leadscore._hot_leads(text, boolean) IS
'Internal: the hot list of a model, with reasons if they can be given.';

CREATE VIEW leadscore.hot_lead WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', m.name, h.lead_key) AS key,
	   m.name AS model,
	   h.place, h.lead_key, h.score, h.temperature, h.temperature_label, h.grade, h.fit, h.engagement::numeric(10,2) AS engagement,
	   h.stage, h.stage_rank, h.stage_label, h.channel, h.reasons, h.next_action
FROM leadscore._readable_models() m, LATERAL leadscore._hot_leads(m.name, m.explicable) h;
COMMENT ON VIEW leadscore.hot_lead IS
'Whom to call now, and why: of each attached model the 100 leads with the highest scores as of now, as leadscore.hot_list() has them: without those that are disqualified, have left the funnel, have bought or do not consent.  They need not all be hot.';
COMMENT ON COLUMN leadscore.hot_lead.key IS 'Unique: model and lead.';
COMMENT ON COLUMN leadscore.hot_lead.model IS 'Model by which the lead is scored.';
COMMENT ON COLUMN leadscore.hot_lead.place IS 'Place on the model''s list; 1 is best.';
COMMENT ON COLUMN leadscore.hot_lead.lead_key IS 'Key of the lead in its table, as text.';
COMMENT ON COLUMN leadscore.hot_lead.score IS 'Score as of now.';
COMMENT ON COLUMN leadscore.hot_lead.temperature IS 'cold, warm or hot.';
COMMENT ON COLUMN leadscore.hot_lead.temperature_label IS 'The same in the language of the session.';
COMMENT ON COLUMN leadscore.hot_lead.grade IS 'Grade as of now.';
COMMENT ON COLUMN leadscore.hot_lead.fit IS 'Who the lead is: total of the fit axis, rounded down.';
COMMENT ON COLUMN leadscore.hot_lead.engagement IS 'What the lead does: total of the engagement axis, cut to two decimals.';
COMMENT ON COLUMN leadscore.hot_lead.stage IS 'Stage of the funnel, as text.';
COMMENT ON COLUMN leadscore.hot_lead.stage_rank IS 'Number that orders as stages do.';
COMMENT ON COLUMN leadscore.hot_lead.stage_label IS 'Name of the stage in the language of the session.';
COMMENT ON COLUMN leadscore.hot_lead.channel IS 'Acquisition channel.';
COMMENT ON COLUMN leadscore.hot_lead.reasons IS 'The three rules that say most, in the language of the session, as leadscore.reasons() has them; NULL if the reader has no SELECT privilege on what the model reads: its source and the tables of events.';
COMMENT ON COLUMN leadscore.hot_lead.next_action IS 'What to do next, by the model''s playbook; NULL: nothing in particular.';

CREATE FUNCTION leadscore._contributions(model text)
RETURNS TABLE (lead_key text, kind text, rule_id bigint, factor text, parameter text, significance text, axis text,
			   points numeric, occurrences bigint, faded_points numeric, counted_points numeric, last_seen timestamptz, shadowed boolean)
LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED COST 100000 ROWS 2000
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY EXECUTE format(
		'SELECT s.lead_key::text, a.kind, a.rule_id, a.factor, a.parameter, a.significance, a.axis, a.points, a.occurrences,
				a.decayed, a.counted, a.last_seen, a.shadowed
		 FROM leadscore.%I s, LATERAL leadscore._account(%L, s.lead_key, statement_timestamp()) a
		 WHERE s.lead_exists AND a.kind <> ''score''', model || '_state', model);
END
$$;
COMMENT ON FUNCTION leadscore._contributions(text) IS
'Internal: why each lead of a model has its score.';

CREATE VIEW leadscore.contribution WITH (security_invoker = true) AS
SELECT CASE WHEN c.rule_id IS NULL THEN pg_catalog.concat_ws('/', m.name, c.lead_key, c.kind, c.axis, c.factor)
			ELSE pg_catalog.concat_ws('/', m.name, c.lead_key, c.rule_id) END AS key,
	   m.name AS model,
	   c.lead_key, c.kind, c.rule_id, c.factor, c.parameter, c.significance, c.axis, c.points, c.occurrences, c.faded_points,
	   c.counted_points, c.last_seen, c.shadowed
FROM leadscore._readable_models() m, LATERAL leadscore._contributions(m.name) c
WHERE m.explicable;
COMMENT ON VIEW leadscore.contribution IS
'What each rule contributes to the score of each lead as of now, one row for each rule that says something of a lead, as leadscore.explain() has them; and what limits and rounding make of the sum.  counted_points of all rows of a lead sum to its score.  Models of which the reader has no SELECT privilege on the source and the tables of events are left out.  A rule that fails on a lead says nothing of it.';
COMMENT ON COLUMN leadscore.contribution.key IS 'Unique: model, lead and rule; without a rule, kind, axis and factor.';
COMMENT ON COLUMN leadscore.contribution.model IS 'Model.';
COMMENT ON COLUMN leadscore.contribution.lead_key IS 'Key of the lead, as text.';
COMMENT ON COLUMN leadscore.contribution.kind IS 'rule, or what changed the sum: cap, floor (of a factor), clamp (to the range of an axis or of the score), rounding.';
COMMENT ON COLUMN leadscore.contribution.rule_id IS 'Rule; NULL for other kinds.';
COMMENT ON COLUMN leadscore.contribution.factor IS 'Factor of the rule or of the limit; NULL: of none.';
COMMENT ON COLUMN leadscore.contribution.parameter IS 'What the rule looks for.';
COMMENT ON COLUMN leadscore.contribution.significance IS 'key, acceptable or negative.';
COMMENT ON COLUMN leadscore.contribution.axis IS 'fit or engagement; NULL: the score as a whole.';
COMMENT ON COLUMN leadscore.contribution.points IS 'Points of the rule, of an activity rule for each event.';
COMMENT ON COLUMN leadscore.contribution.occurrences IS 'Events of an activity rule; NULL: the rule is about the lead''s own row.';
COMMENT ON COLUMN leadscore.contribution.faded_points IS 'Points that all the events come to as of now.';
COMMENT ON COLUMN leadscore.contribution.counted_points IS 'Points that count: 0 if another rule of the factor is better.';
COMMENT ON COLUMN leadscore.contribution.last_seen IS 'When the latest event of the rule was; NULL: there is none.';
COMMENT ON COLUMN leadscore.contribution.shadowed IS 'Does another rule of the factor count in its place?';

CREATE FUNCTION leadscore._furthest(model text)
RETURNS TABLE (lead_key text, furthest_rank integer, was_hot boolean, first_at timestamptz)
LANGUAGE sql STABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
	SELECT h.lead_key, pg_catalog.max(greatest(h.from_stage::integer, h.to_stage::integer)),
		   coalesce(pg_catalog.bool_or(h.temperature = 'hot' OR h.from_temperature = 'hot'), false), pg_catalog.min(h.at)
	FROM leadscore.history h WHERE h.model = _furthest.model GROUP BY h.lead_key;
END;
COMMENT ON FUNCTION leadscore._furthest(text) IS
'Internal: what the history of a model says of each lead as a whole.';

CREATE FUNCTION leadscore._score_bands(model text)
RETURNS TABLE (band_from bigint, leads bigint, hot bigint, warm bigint, cold bigint, customers bigint, exited bigint)
LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED COST 100000 ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY EXECUTE format(
		'SELECT (floor(s.score / 10.0) * 10)::bigint, count(*), count(*) FILTER (WHERE s.temperature = ''hot''),
				count(*) FILTER (WHERE s.temperature = ''warm''), count(*) FILTER (WHERE s.temperature = ''cold''),
				count(*) FILTER (WHERE greatest(s.stage_rank, f.furthest_rank) >= leadscore.stage_rank(''customer'')),
				count(*) FILTER (WHERE greatest(s.stage_rank, f.furthest_rank) < leadscore.stage_rank(''customer'') AND s.stage_rank < 100)
		 FROM leadscore.%I s LEFT JOIN leadscore._furthest(%L) f ON f.lead_key = s.lead_key::text COLLATE "C"
		 GROUP BY 1', model || '_scored', model);
END
$$;
COMMENT ON FUNCTION leadscore._score_bands(text) IS
'Internal: the leads of a model by score, in bands of ten.';

CREATE VIEW leadscore.score_distribution WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', m.name, b.band_from) AS key,
	   m.name AS model,
	   b.band_from,
	   b.band_from + 9 AS band_to,
	   b.leads,
	   pg_catalog.round(b.leads / pg_catalog.sum(b.leads) OVER (PARTITION BY m.name), 4) AS leads_share,
	   b.hot, b.warm, b.cold,
	   b.customers,
	   b.exited,
	   b.leads - b.customers - b.exited AS still_open,
	   pg_catalog.round(b.customers::numeric / b.leads, 4) AS conversion_rate,
	   pg_catalog.round(b.customers::numeric / nullif(b.customers + b.exited, 0), 4) AS closed_conversion_rate
FROM leadscore._readable_models() m, LATERAL leadscore._score_bands(m.name) b;
COMMENT ON VIEW leadscore.score_distribution IS
'How many leads of each attached model have which score as of now, in bands of ten, and how many of them became customers.  A band without leads has no row.  The score is that of now: what a lead did before it bought has faded since.  Needs SELECT on leadscore.history.';
COMMENT ON COLUMN leadscore.score_distribution.key IS 'Unique: model and band.';
COMMENT ON COLUMN leadscore.score_distribution.model IS 'Model.';
COMMENT ON COLUMN leadscore.score_distribution.band_from IS 'Lowest score of the band.';
COMMENT ON COLUMN leadscore.score_distribution.band_to IS 'Highest score of the band.';
COMMENT ON COLUMN leadscore.score_distribution.leads IS 'Leads with such a score as of now.';
COMMENT ON COLUMN leadscore.score_distribution.leads_share IS 'leads, divided by all leads of the model.';
COMMENT ON COLUMN leadscore.score_distribution.hot IS 'Those of them that are hot.';
COMMENT ON COLUMN leadscore.score_distribution.warm IS 'Those of them that are warm.';
COMMENT ON COLUMN leadscore.score_distribution.cold IS 'Those of them that are cold.';
COMMENT ON COLUMN leadscore.score_distribution.customers IS 'Those of leads that ever became customers, up to today.';
COMMENT ON COLUMN leadscore.score_distribution.exited IS 'Those of leads that never became customers and are in an exit today (nurture, lost, disqualified).';
COMMENT ON COLUMN leadscore.score_distribution.still_open IS 'Those of leads that are neither.';
COMMENT ON COLUMN leadscore.score_distribution.conversion_rate IS 'customers, divided by leads: those still open count against it.';
COMMENT ON COLUMN leadscore.score_distribution.closed_conversion_rate IS 'customers, divided by customers and exited together; NULL if there are none.';

CREATE FUNCTION leadscore._temperature_cohorts(model text, time_zone text, accepted_rank integer)
RETURNS TABLE (month date, channel text, leads bigint, ever_hot bigint, hot bigint, warm bigint, cold bigint, accepted bigint, customers bigint)
LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED COST 100000 ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY EXECUTE format(
		'SELECT date_trunc(''month'', coalesce(x.created_at, f.first_at, x.stage_since) AT TIME ZONE $1)::date, s.channel, count(*),
				count(*) FILTER (WHERE s.temperature = ''hot'' OR f.was_hot), count(*) FILTER (WHERE s.temperature = ''hot''),
				count(*) FILTER (WHERE s.temperature = ''warm''), count(*) FILTER (WHERE s.temperature = ''cold''),
				count(*) FILTER (WHERE greatest(s.stage_rank, f.furthest_rank) >= $2),
				count(*) FILTER (WHERE greatest(s.stage_rank, f.furthest_rank) >= leadscore.stage_rank(''customer''))
		 FROM leadscore.%I s JOIN leadscore.%I x ON x.lead_key = s.lead_key
		 LEFT JOIN leadscore._furthest(%L) f ON f.lead_key = s.lead_key::text COLLATE "C"
		 GROUP BY 1, 2', model || '_scored', model || '_state', model)
	USING time_zone, accepted_rank;
END
$$;
COMMENT ON FUNCTION leadscore._temperature_cohorts(text, text, integer) IS
'Internal: the leads of a model by the month in which they arose and by channel.';

CREATE VIEW leadscore.temperature_by_channel WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', c.model, pg_catalog.to_char(c.month, 'YYYY-MM'), c.channel) AS key,
	   c.model, c.month, c.channel, c.leads, c.ever_hot, c.hot, c.warm, c.cold, c.accepted, c.customers, c.cost,
	   pg_catalog.round(c.ever_hot::numeric / nullif(c.leads, 0), 4) AS ever_hot_share,
	   pg_catalog.round(c.accepted::numeric / nullif(c.leads, 0), 4) AS accepted_share,
	   pg_catalog.round(c.customers::numeric / nullif(c.leads, 0), 4) AS customers_share,
	   pg_catalog.round(c.cost / nullif(c.leads, 0), 2) AS cost_per_lead,
	   pg_catalog.round(c.cost / nullif(c.ever_hot, 0), 2) AS cost_per_hot,
	   pg_catalog.round(c.cost / nullif(c.accepted, 0), 2) AS cost_per_accepted,
	   pg_catalog.round(c.cost / nullif(c.customers, 0), 2) AS cost_per_customer
FROM (SELECT u.model, u.month, u.channel,
			 pg_catalog.sum(u.leads)::bigint AS leads, pg_catalog.sum(u.ever_hot)::bigint AS ever_hot,
			 pg_catalog.sum(u.hot)::bigint AS hot, pg_catalog.sum(u.warm)::bigint AS warm, pg_catalog.sum(u.cold)::bigint AS cold,
			 pg_catalog.sum(u.accepted)::bigint AS accepted, pg_catalog.sum(u.customers)::bigint AS customers,
			 pg_catalog.sum(u.cost) AS cost
	  FROM (SELECT m.name AS model, t.month, t.channel, t.leads, t.ever_hot, t.hot, t.warm, t.cold, t.accepted, t.customers, NULL::numeric AS cost
			FROM leadscore._readable_models() m, LATERAL leadscore._temperature_cohorts(m.name, m.time_zone, m.accepted_rank) t
			UNION ALL
			SELECT m.name, k.month, k.channel, 0, 0, 0, 0, 0, 0, 0, k.cost
			FROM leadscore._readable_models() m JOIN leadscore.channel_cost k ON k.model = m.name) u
	  GROUP BY u.model, u.month, u.channel) c;
COMMENT ON VIEW leadscore.temperature_by_channel IS
'How hot the leads of each channel get, and what that costs: leads that are there now, by the month in which they arose, and the costs of the channel in that month.  The latest cohorts have had less time to get hot and to buy.  Needs SELECT on leadscore.history and leadscore.channel_cost.';
COMMENT ON COLUMN leadscore.temperature_by_channel.key IS 'Unique: model, month and channel.';
COMMENT ON COLUMN leadscore.temperature_by_channel.model IS 'Model.';
COMMENT ON COLUMN leadscore.temperature_by_channel.month IS 'Month of the cohort, as its first day, in the model''s time zone: that in which a lead arose by the model''s created_at, else that of its first row of leadscore.history.';
COMMENT ON COLUMN leadscore.temperature_by_channel.channel IS 'Acquisition channel; NULL: leads without one.';
COMMENT ON COLUMN leadscore.temperature_by_channel.leads IS 'Leads that arose in the month; those that were deleted are left out.';
COMMENT ON COLUMN leadscore.temperature_by_channel.ever_hot IS 'Those of them that are hot now or ever were, by leadscore.history.';
COMMENT ON COLUMN leadscore.temperature_by_channel.hot IS 'Those of leads that are hot now; hot, warm and cold sum to leads.';
COMMENT ON COLUMN leadscore.temperature_by_channel.warm IS 'Those of leads that are warm now.';
COMMENT ON COLUMN leadscore.temperature_by_channel.cold IS 'Those of leads that are cold now.';
COMMENT ON COLUMN leadscore.temperature_by_channel.accepted IS 'Those of leads that ever came to the model''s accepted_stage or beyond, up to today.';
COMMENT ON COLUMN leadscore.temperature_by_channel.customers IS 'Those of leads that ever became customers, up to today.';
COMMENT ON COLUMN leadscore.temperature_by_channel.cost IS 'What the channel cost in the month, by leadscore.channel_cost; NULL: not known.';
COMMENT ON COLUMN leadscore.temperature_by_channel.ever_hot_share IS 'ever_hot, divided by leads.';
COMMENT ON COLUMN leadscore.temperature_by_channel.accepted_share IS 'accepted, divided by leads.';
COMMENT ON COLUMN leadscore.temperature_by_channel.customers_share IS 'customers, divided by leads.';
COMMENT ON COLUMN leadscore.temperature_by_channel.cost_per_lead IS 'cost, divided by leads; NULL if there are none or the cost is not known.';
COMMENT ON COLUMN leadscore.temperature_by_channel.cost_per_hot IS 'cost, divided by ever_hot; NULL if there are none or the cost is not known.';
COMMENT ON COLUMN leadscore.temperature_by_channel.cost_per_accepted IS 'cost, divided by accepted; NULL if there are none or the cost is not known.';
COMMENT ON COLUMN leadscore.temperature_by_channel.cost_per_customer IS 'cost, divided by customers; NULL if there are none or the cost is not known.';

CREATE FUNCTION leadscore._rule_statistics(model text)
RETURNS TABLE (rule_id bigint, factor text, parameter text, significance text, axis text, activity text, points double precision,
			   enabled boolean, disqualifies boolean, leads bigint, customers bigint, hits bigint, customers_hit bigint,
			   shadowed bigint, counted_points numeric)
LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED COST 100000 ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- each lead has one row of kind score
	RETURN QUERY EXECUTE format(
		'WITH said AS MATERIALIZED (
			SELECT a.kind, a.rule_id, count(*) AS n,
				   count(*) FILTER (WHERE greatest(s.stage::integer, f.furthest_rank) >= leadscore.stage_rank(''customer'')) AS customers,
				   count(*) FILTER (WHERE a.shadowed) AS shadowed, sum(a.counted) AS counted
			FROM leadscore.%I s
			CROSS JOIN LATERAL leadscore._account(%2$L, s.lead_key, statement_timestamp()) a
			LEFT JOIN leadscore._furthest(%2$L) f ON f.lead_key = s.lead_key::text COLLATE "C"
			WHERE s.lead_exists AND a.kind IN (''rule'', ''score'')
			GROUP BY a.kind, a.rule_id)
		 SELECT r.id, r.factor, r.parameter, r.significance, f.axis, r.activity, r.points, r.enabled, r.disqualifies,
				coalesce(w.n, 0), coalesce(w.customers, 0), coalesce(t.n, 0), coalesce(t.customers, 0), coalesce(t.shadowed, 0), coalesce(t.counted, 0)
		 FROM leadscore.rule r
		 JOIN leadscore.factor f ON f.model = r.model AND f.name = r.factor
		 LEFT JOIN said w ON w.kind = ''score''
		 LEFT JOIN said t ON t.kind = ''rule'' AND t.rule_id = r.id
		 WHERE r.model = %2$L', model || '_state', model);
END
$$;
COMMENT ON FUNCTION leadscore._rule_statistics(text) IS
'Internal: what each rule of a model says of its leads.';

CREATE VIEW leadscore.rule_statistics WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', m.name, s.rule_id) AS key,
	   m.name AS model,
	   s.rule_id, s.factor, s.parameter, s.significance, s.axis, s.activity, s.points, s.enabled,
	   s.leads,
	   s.hits,
	   pg_catalog.round(s.hits::numeric / nullif(s.leads, 0), 4) AS hit_rate,
	   s.customers_hit AS customers,
	   pg_catalog.round(s.customers_hit::numeric / nullif(s.hits, 0), 4) AS conversion_with,
	   pg_catalog.round((s.customers - s.customers_hit)::numeric / nullif(s.leads - s.hits, 0), 4) AS conversion_without,
	   pg_catalog.round(s.customers_hit::numeric * s.leads / nullif(s.hits::numeric * s.customers, 0), 4) AS lift,
	   s.hits - s.shadowed AS counting_hits,
	   s.counted_points AS points_at_work,
	   s.enabled AND s.leads > 0 AND s.hits = 0 AS dead,
	   s.enabled AND s.hits > 0 AND s.shadowed = s.hits AND NOT s.disqualifies AS shadowed
FROM leadscore._readable_models() m, LATERAL leadscore._rule_statistics(m.name) s
WHERE m.explicable;
COMMENT ON VIEW leadscore.rule_statistics IS
'What each rule of each attached model does: how many leads it speaks of as of now, how many of those became customers, and whether it is of any use.  Leads are those there are now and that the reader may see; what a rule says is as of now, what became of the lead may be of long ago.  Models of which the reader has no SELECT privilege on the source and the tables of events are left out.  Needs SELECT on leadscore.rule, leadscore.factor and leadscore.history.';
COMMENT ON COLUMN leadscore.rule_statistics.key IS 'Unique: model and rule.';
COMMENT ON COLUMN leadscore.rule_statistics.model IS 'Model.';
COMMENT ON COLUMN leadscore.rule_statistics.rule_id IS 'Rule.';
COMMENT ON COLUMN leadscore.rule_statistics.factor IS 'Factor it belongs to.';
COMMENT ON COLUMN leadscore.rule_statistics.parameter IS 'What it looks for.';
COMMENT ON COLUMN leadscore.rule_statistics.significance IS 'key, acceptable or negative.';
COMMENT ON COLUMN leadscore.rule_statistics.axis IS 'fit or engagement.';
COMMENT ON COLUMN leadscore.rule_statistics.activity IS 'Activity source whose events it is about; NULL: the lead''s own row.';
COMMENT ON COLUMN leadscore.rule_statistics.points IS 'Its points, of an activity rule for each event.';
COMMENT ON COLUMN leadscore.rule_statistics.enabled IS 'Does it speak at all?';
COMMENT ON COLUMN leadscore.rule_statistics.leads IS 'Leads of the model.';
COMMENT ON COLUMN leadscore.rule_statistics.hits IS 'Those of them that the rule says something of, whether or not it counts.';
COMMENT ON COLUMN leadscore.rule_statistics.hit_rate IS 'hits, divided by leads.';
COMMENT ON COLUMN leadscore.rule_statistics.customers IS 'Those of hits that ever became customers, up to today.';
COMMENT ON COLUMN leadscore.rule_statistics.conversion_with IS 'customers, divided by hits.';
COMMENT ON COLUMN leadscore.rule_statistics.conversion_without IS 'Of the leads that are no hits, those that ever became customers, divided by all that are no hits.';
COMMENT ON COLUMN leadscore.rule_statistics.lift IS 'conversion_with, divided by the conversion of all leads: above 1, hits buy more often than leads do on the whole; NULL without hits or customers.';
COMMENT ON COLUMN leadscore.rule_statistics.counting_hits IS 'Those of hits for which no better rule of the factor counts in its place.';
COMMENT ON COLUMN leadscore.rule_statistics.points_at_work IS 'Points that the rule contributes to all scores together, before limits of factors, axes and scores.';
COMMENT ON COLUMN leadscore.rule_statistics.dead IS 'Is it enabled without a hit, although there are leads?';
COMMENT ON COLUMN leadscore.rule_statistics.shadowed IS 'Does it never count, because a better rule of its factor always does?  One that disqualifies is not shadowed.';

CREATE VIEW leadscore.lead_history WITH (security_invoker = true) AS
SELECT pg_catalog.concat_ws('/', h.model, h.lead_key, h.xact, h.xact_order, extract(epoch FROM h.at)) AS key,
	   h.model,
	   h.lead_key,
	   h.at,
	   h.recorded_at,
	   h.cause,
	   h.automatic,
	   h.listed,
	   h.from_stage::text COLLATE "C" AS from_stage,
	   h.from_stage::integer AS from_stage_rank,
	   h.to_stage::text COLLATE "C" AS to_stage,
	   h.to_stage::integer AS to_stage_rank,
	   (h.from_stage::integer <> h.to_stage::integer) IS NOT FALSE AS moved,
	   h.from_temperature,
	   h.temperature AS to_temperature,
	   h.announced,
	   h.from_grade,
	   h.grade AS to_grade,
	   h.from_score,
	   h.score AS to_score,
	   pg_catalog.floor(h.fit + 1e-9)::integer AS fit,
	   pg_catalog.trunc(h.engagement::numeric, 2)::numeric(10,2) AS engagement,
	   h.disqualified,
	   h.channel,
	   h.rules_version,
	   h.changed_by,
	   h.reason
FROM leadscore.history h;
COMMENT ON VIEW leadscore.lead_history IS
'History of the leads in types that any tool reads: one row for every change of a lead''s fit, temperature, grade or stage.';
COMMENT ON COLUMN leadscore.lead_history.key IS 'Unique: model, lead, transaction, order within it, and time.';
COMMENT ON COLUMN leadscore.lead_history.model IS 'Model by which the lead was scored.';
COMMENT ON COLUMN leadscore.lead_history.lead_key IS 'Key of the lead, as text.';
COMMENT ON COLUMN leadscore.lead_history.at IS 'When the change was true.';
COMMENT ON COLUMN leadscore.lead_history.recorded_at IS 'When it was recorded: later than at if time alone made the change and nobody looked.';
COMMENT ON COLUMN leadscore.lead_history.cause IS 'What made it: see leadscore.history.';
COMMENT ON COLUMN leadscore.lead_history.automatic IS 'Was the stage moved by an automatic transition?';
COMMENT ON COLUMN leadscore.lead_history.listed IS 'Is the move of the stage in leadscore.transition?';
COMMENT ON COLUMN leadscore.lead_history.from_stage IS 'Stage before, as text; NULL in the first row of a lead.';
COMMENT ON COLUMN leadscore.lead_history.from_stage_rank IS 'Its rank.';
COMMENT ON COLUMN leadscore.lead_history.to_stage IS 'Stage from then on, as text.';
COMMENT ON COLUMN leadscore.lead_history.to_stage_rank IS 'Its rank: a number that orders as stages do.';
COMMENT ON COLUMN leadscore.lead_history.moved IS 'Did the lead enter the stage with this row?';
COMMENT ON COLUMN leadscore.lead_history.from_temperature IS 'Temperature before; NULL in the first row of a lead.';
COMMENT ON COLUMN leadscore.lead_history.to_temperature IS 'Temperature from then on.';
COMMENT ON COLUMN leadscore.lead_history.announced IS 'Temperature that was announced with this change; NULL: none was.';
COMMENT ON COLUMN leadscore.lead_history.from_grade IS 'Grade before; NULL in the first row of a lead.';
COMMENT ON COLUMN leadscore.lead_history.to_grade IS 'Grade from then on.';
COMMENT ON COLUMN leadscore.lead_history.from_score IS 'Score as it was last recorded; NULL in the first row of a lead.';
COMMENT ON COLUMN leadscore.lead_history.to_score IS 'Score at that moment.';
COMMENT ON COLUMN leadscore.lead_history.fit IS 'Total of the fit axis at that moment, rounded down.';
COMMENT ON COLUMN leadscore.lead_history.engagement IS 'Total of the engagement axis at that moment, cut to two decimals.';
COMMENT ON COLUMN leadscore.lead_history.disqualified IS 'Did a disqualifying rule match?';
COMMENT ON COLUMN leadscore.lead_history.channel IS 'Acquisition channel of the lead.';
COMMENT ON COLUMN leadscore.lead_history.rules_version IS 'Version of the model.';
COMMENT ON COLUMN leadscore.lead_history.changed_by IS 'Who was logged in to the session that made the change.';
COMMENT ON COLUMN leadscore.lead_history.reason IS 'What was given as a reason.';

--
-- What if: drafts, what they would change, publishing and taking back
--
-- A draft is a model on the same leads, as a rule a copy that is not attached.
-- It is compared with its model lead by lead, and nothing is written.  To
-- publish it is to write what differs into the model: rules that stay keep
-- their ids, so that history goes on meaning the same by them, and what leads
-- did need not be summed up anew unless the rules that count it change.
--

CREATE TABLE leadscore.draft (
	model		text COLLATE "C" PRIMARY KEY
				REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	draft_of	text COLLATE "C" NOT NULL
				REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	base_version bigint NOT NULL,
	base		jsonb NOT NULL,
	rules		jsonb NOT NULL DEFAULT '{}',
	made_at		timestamptz NOT NULL DEFAULT pg_catalog.statement_timestamp(),
	made_by		text NOT NULL DEFAULT SESSION_USER,
	CONSTRAINT draft_of_another_check CHECK (model <> draft_of)
);
COMMENT ON TABLE leadscore.draft IS
'Drafts: which model a copy was made of, and what that was like then.  leadscore.copy_model() and leadscore.publish() write it.';
COMMENT ON COLUMN leadscore.draft.model IS 'The draft.';
COMMENT ON COLUMN leadscore.draft.draft_of IS 'Model that it is to replace.';
COMMENT ON COLUMN leadscore.draft.base_version IS 'Version of that model from which the draft was made, or with which it was published last.';
COMMENT ON COLUMN leadscore.draft.base IS 'Matrix of that version: publish() refuses to overwrite what was changed since.';
COMMENT ON COLUMN leadscore.draft.rules IS 'Ids of the draft''s rules, and of the model''s rules that they stand for: {"draft''s": model''s}.';
COMMENT ON COLUMN leadscore.draft.made_at IS 'When the draft was made, or published last.';
COMMENT ON COLUMN leadscore.draft.made_by IS 'Who was logged in to the session that did.';

CREATE TABLE leadscore.model_version (
	model		text COLLATE "C" NOT NULL
				REFERENCES leadscore.model ON UPDATE CASCADE ON DELETE CASCADE,
	version		bigint NOT NULL,
	published_at timestamptz,
	published_by text,
	draft		text COLLATE "C",
	matrix		jsonb NOT NULL,
	rules		bigint[] NOT NULL,
	note		text,
	PRIMARY KEY (model, version)
);
COMMENT ON TABLE leadscore.model_version IS
'Versions of models: the matrix that leadscore.publish() and leadscore.rollback_model() put into force, and the one that was in force before.  The column rules_version of leadscore.history names them.';
COMMENT ON COLUMN leadscore.model_version.model IS 'Model.';
COMMENT ON COLUMN leadscore.model_version.version IS 'Version of the model with this matrix.';
COMMENT ON COLUMN leadscore.model_version.published_at IS 'When it was published; NULL: it was edited in place, and kept when it was replaced.';
COMMENT ON COLUMN leadscore.model_version.published_by IS 'Who was logged in to the session that published it; NULL like published_at.';
COMMENT ON COLUMN leadscore.model_version.draft IS 'Draft that it was made of; NULL: none.';
COMMENT ON COLUMN leadscore.model_version.matrix IS 'The matrix, in the format of leadscore.export_model().';
COMMENT ON COLUMN leadscore.model_version.rules IS 'Ids of its rules, in the order in which the matrix has them.';
COMMENT ON COLUMN leadscore.model_version.note IS 'What was said of it when it was published.';

SELECT pg_catalog.pg_extension_config_dump('leadscore.draft', '');
SELECT pg_catalog.pg_extension_config_dump('leadscore.model_version', '');

CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.draft
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.draft
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER a_relax_foreign_keys BEFORE INSERT ON leadscore.model_version
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
CREATE TRIGGER z_relax_foreign_keys AFTER INSERT ON leadscore.model_version
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore.relax_foreign_keys();
ALTER TABLE leadscore.draft ENABLE ALWAYS TRIGGER a_relax_foreign_keys;
ALTER TABLE leadscore.draft ENABLE ALWAYS TRIGGER z_relax_foreign_keys;
ALTER TABLE leadscore.model_version ENABLE ALWAYS TRIGGER a_relax_foreign_keys;
ALTER TABLE leadscore.model_version ENABLE ALWAYS TRIGGER z_relax_foreign_keys;

CREATE FUNCTION leadscore._matrix(model text, by_oid boolean DEFAULT false) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET extra_float_digits = 1
SET IntervalStyle = 'postgres'
AS $$
	SELECT jsonb_build_object(
		'format', 1,
		'model', to_jsonb(m) - 'version' - 'activity_version'
			|| jsonb_build_object('target', CASE WHEN by_oid THEN m.target::oid::text ELSE m.target::text END,
								  'source', CASE WHEN by_oid THEN m.source::oid::text ELSE m.source::text END),
		'factors', coalesce((SELECT jsonb_agg(to_jsonb(f) - 'model' ORDER BY f.name)
							 FROM leadscore.factor f WHERE f.model = m.name), '[]'),
		'activity_sources', coalesce((SELECT jsonb_agg(to_jsonb(s) - 'model' - 'relation_name'
													   || jsonb_build_object('relation', CASE WHEN by_oid THEN s.relation::oid::text ELSE s.relation::text END)
													   ORDER BY s.name)
									  FROM leadscore.activity_source s WHERE s.model = m.name), '[]'),
		'rules', coalesce((SELECT jsonb_agg(to_jsonb(r) - 'model' - 'id' ORDER BY r.id)
						   FROM leadscore.rule r WHERE r.model = m.name), '[]'),
		'thresholds', coalesce((SELECT jsonb_agg(to_jsonb(t) - 'model' - 'builtin' ORDER BY t.kind, t.at_least DESC)
								FROM leadscore.threshold t WHERE t.model = m.name), '[]'),
		'transitions', coalesce((SELECT jsonb_agg(to_jsonb(t) - 'model' ORDER BY t.from_stage::integer, t.to_stage::integer)
								 FROM leadscore.transition t WHERE t.model = m.name), '[]'),
		'stage_map', coalesce((SELECT jsonb_agg(to_jsonb(t) - 'model' ORDER BY t.status, t.stage::integer)
							   FROM leadscore.stage_map t WHERE t.model = m.name), '[]'))
	FROM leadscore.model m
	WHERE m.name = _matrix.model
$$;
COMMENT ON FUNCTION leadscore._matrix(text, boolean) IS
'Internal: all that is published of a model, in the format of export_model(); with by_oid tables are given by their numbers, which takes no privilege to look up.  NULL: no such model.';

CREATE FUNCTION leadscore._same_matrix(a jsonb, b jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT a #- '{model,name}' #- '{model,target}' = b #- '{model,name}' #- '{model,target}'
$$;
COMMENT ON FUNCTION leadscore._same_matrix(jsonb, jsonb) IS
'Internal: do two matrices say the same, whatever the model''s name?';

CREATE FUNCTION leadscore._note_draft("from" text, "to" text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
	-- rules were copied in the order of their ids
	INSERT INTO leadscore.draft (model, draft_of, base_version, base, rules)
	SELECT "to", m.name, m.version, leadscore._matrix(m.name),
		   coalesce((SELECT jsonb_object_agg(c.id, o.id)
					 FROM (SELECT r.id, row_number() OVER (ORDER BY r.id) AS n FROM leadscore.rule r WHERE r.model = "from") o
					 JOIN (SELECT r.id, row_number() OVER (ORDER BY r.id) AS n FROM leadscore.rule r WHERE r.model = "to") c ON c.n = o.n), '{}')
	FROM leadscore.model m WHERE m.name = "from"
$$;
COMMENT ON FUNCTION leadscore._note_draft(text, text) IS
'Internal: notes that a model was just copied.';

CREATE FUNCTION leadscore._rule_pairs(model text, draft text) RETURNS TABLE (rule bigint, draft_rule bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	WITH known AS (
		SELECT r.id AS rule, e.key::bigint AS draft_rule
		FROM leadscore.draft d, jsonb_each_text(d.rules) e, leadscore.rule r
		WHERE d.model = _rule_pairs.draft AND d.draft_of = _rule_pairs.model
		  AND r.id = e.value::bigint AND r.model = d.draft_of
		  AND EXISTS (SELECT FROM leadscore.rule own WHERE own.id = e.key::bigint AND own.model = d.model)
	), rest AS (
		-- rules that look for the same in the same way, in their order
		SELECT r.model, r.id, row(r.factor, r.parameter, r.condition, r.search_path, r.activity, r.half_life, r.at_least, r.within,
								  r.at_most, r.inactive_for, r.include_never)::text AS content,
			   row(r.factor, r.parameter)::text AS name
		FROM leadscore.rule r
		WHERE r.model IN (_rule_pairs.model, _rule_pairs.draft)
		  AND r.id NOT IN (SELECT known.rule FROM known UNION ALL SELECT known.draft_rule FROM known)
	), numbered AS (
		SELECT rest.*, row_number() OVER (PARTITION BY rest.model, rest.content ORDER BY rest.id) AS n FROM rest
	), alike AS (
		SELECT a.id AS rule, b.id AS draft_rule
		FROM numbered a JOIN numbered b USING (content, n)
		WHERE a.model = _rule_pairs.model AND b.model = _rule_pairs.draft
	), unique_names AS (
		SELECT rest.*, count(*) OVER (PARTITION BY rest.model, rest.name) AS n FROM rest
		WHERE rest.id NOT IN (SELECT alike.rule FROM alike UNION ALL SELECT alike.draft_rule FROM alike)
	)
	SELECT * FROM known
	UNION ALL
	SELECT * FROM alike
	UNION ALL
	SELECT a.id, b.id
	FROM unique_names a JOIN unique_names b USING (name)
	WHERE a.model = _rule_pairs.model AND b.model = _rule_pairs.draft AND a.n = 1 AND b.n = 1
$$;
COMMENT ON FUNCTION leadscore._rule_pairs(text, text) IS
'Internal: rules of a model, and the rules of a draft that stand for them: those that were copied from them, those that look for the same, and those that alone have the same factor and parameter.';

CREATE FUNCTION leadscore._require_draft(model text, draft text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	unknown	text;
	m		leadscore.model;
	d		leadscore.model;
BEGIN
	IF _require_draft.model IS NULL OR _require_draft.draft IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'a model and a draft must be named';
	END IF;
	FOREACH unknown IN ARRAY ARRAY[_require_draft.model, _require_draft.draft] LOOP
		CONTINUE WHEN EXISTS (SELECT FROM leadscore.model WHERE name = unknown);
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('scoring model "%s" does not exist', unknown),
			HINT = 'The table leadscore.model lists the models.';
	END LOOP;
	IF _require_draft.model = _require_draft.draft THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('scoring model "%s" is no draft of itself', _require_draft.model),
			HINT = 'Make a draft with leadscore.copy_model().';
	END IF;
	SELECT * INTO m FROM leadscore.model WHERE name = _require_draft.model;
	SELECT * INTO d FROM leadscore.model WHERE name = _require_draft.draft;
	IF m.target <> d.target THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('scoring models "%s" and "%s" score different tables', m.name, d.name),
			DETAIL = format('"%s" scores %s, "%s" scores %s.', m.name, m.target, d.name, d.target),
			HINT = 'Make a draft with leadscore.copy_model().';
	END IF;
END
$$;
COMMENT ON FUNCTION leadscore._require_draft(text, text) IS
'Internal: errors 22004, 42704 and 22023 unless the one may be a draft of the other.';

CREATE TYPE leadscore._what_if AS (
	score			integer,
	temperature		text,
	grade			text,
	fit				double precision,
	engagement		double precision,
	disqualified	boolean,
	stage			leadscore.lead_stage,
	problem			text
);
COMMENT ON TYPE leadscore._what_if IS 'Internal: what a model would store of a lead.';

CREATE FUNCTION leadscore._what_if(model text, lead record, stage leadscore.lead_stage, stage_since timestamptz, status text,
								   rearmed integer, pinned_until timestamptz) RETURNS leadscore._what_if
AS 'MODULE_PATHNAME', 'leadscore_what_if'
LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION leadscore._what_if(text, record, leadscore.lead_stage, timestamptz, text, integer, timestamptz) IS
'Internal: what a model would store of a lead, a row of its source, that is in this stage; and what fails.  stage NULL: no stage is worked out.  A NULL lead gives NULL.  Errors: 42704 unknown model, 42804 not a row of its source.';

CREATE FUNCTION leadscore._compare(model text, draft text)
RETURNS TABLE (lead_key text, score integer, draft_score integer, temperature text, draft_temperature text, grade text, draft_grade text,
			   stage text, draft_stage text, disqualified boolean, draft_disqualified boolean, problem text, draft_problem text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	m		leadscore.model;
	d		leadscore.model;
	states	regclass;
BEGIN
	PERFORM leadscore._require_draft(_compare.model, _compare.draft);
	SELECT * INTO m FROM leadscore.model WHERE name = _compare.model;
	SELECT * INTO d FROM leadscore.model WHERE name = _compare.draft;
	IF m.key_column IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('scoring model "%s" has no key column', m.name),
			HINT = 'Set leadscore.model.key_column to the column that identifies a lead.';
	END IF;
	states := to_regclass(format('leadscore.%I', m.name || '_state'));
	IF NOT has_table_privilege(states, 'SELECT') THEN
		states := NULL;
	END IF;
	RETURN QUERY EXECUTE format($query$
		SELECT c.lead_key, (c.a).score, (c.b).score, (c.a).temperature, (c.b).temperature, (c.a).grade, (c.b).grade,
			   c.stage::text, (c.b).stage::text, (c.a).disqualified, (c.b).disqualified, (c.a).problem, (c.b).problem
		FROM (SELECT l.%1$I::text AS lead_key, s.stage,
					 leadscore._what_if(%2$L::text, l, NULL, NULL, NULL, NULL, NULL) AS a,
					 leadscore._what_if(%3$L::text, %4$s, s.stage, s.stage_since, s.status, s.rearmed, s.pinned_until) AS b
			  FROM %5$s l %6$s
			  LEFT JOIN %7$s ON s.lead_key = l.%1$I
			  WHERE l.%1$I IS NOT NULL
			  OFFSET 0) c
		$query$, m.key_column, m.name, d.name,
		CASE WHEN coalesce(m.source, m.target) = coalesce(d.source, d.target) THEN 'l' ELSE 'd' END,
		coalesce(m.source, m.target),
		CASE WHEN coalesce(m.source, m.target) = coalesce(d.source, d.target) THEN ''
			 ELSE format('LEFT JOIN %s d ON d.%I = l.%I', coalesce(d.source, d.target), d.key_column, m.key_column) END,
		CASE WHEN states IS NOT NULL THEN format('(SELECT * FROM %s WHERE lead_exists) s', states)
			 ELSE format('(SELECT NULL::%s AS lead_key, NULL::leadscore.lead_stage AS stage, NULL::timestamptz AS stage_since, NULL::text AS status,
								 NULL::integer AS rearmed, NULL::timestamptz AS pinned_until WHERE false) s',
						(SELECT format_type(t.atttypid, t.atttypmod) FROM pg_attribute t
						 WHERE t.attrelid = m.target AND t.attname = m.key_column)) END);
END
$$;
COMMENT ON FUNCTION leadscore._compare(text, text) IS
'Internal: all leads by a model and by a draft of it.';

CREATE FUNCTION leadscore._comparison(model text, draft text) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_build_object('rule', (SELECT coalesce(jsonb_object_agg(p.draft_rule, p.rule), '{}') FROM leadscore._rule_pairs(model, draft) p))
		|| (SELECT jsonb_object_agg(k.kind, (SELECT coalesce(jsonb_object_agg(l.code, l.label), '{}') FROM leadscore._labels(k.kind) l))
			FROM unnest('{factor,parameter,axis,word}'::text[]) k(kind))
$$;
COMMENT ON FUNCTION leadscore._comparison(text, text) IS
'Internal: what leadscore._reasons() goes by: the rules of a draft that are rules of the model, and the words of the session''s language, which are not looked up for each lead.';

CREATE FUNCTION leadscore._reasons(model text, draft text, lead_key text, comparison jsonb, otherwise text) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	words	jsonb := comparison -> 'word';
	reasons	text[];
BEGIN
	SELECT array_agg(concat_ws(': ', coalesce(comparison -> 'factor' ->> c.factor, c.factor),
							   CASE WHEN c.factor IS NULL THEN coalesce(comparison -> 'axis' ->> c.axis, c.axis) END,
							   coalesce(comparison -> 'parameter' ->> c.parameter, c.parameter),
							   coalesce(words ->> c.limits, c.limits))
					 || ' ' || concat_ws(', ',
						CASE WHEN c.before IS NULL THEN replace(words ->> 'counts', '%s', leadscore._points_text(c.after, '', 2))
							 WHEN c.after IS NULL THEN replace(words ->> 'counted', '%s', leadscore._points_text(c.before, '', 2))
							 WHEN c.before <> c.after THEN
								  replace(words ->> 'counts', '%s', leadscore._points_text(c.after, '', 2)) || ' '
								  || replace(words ->> 'instead', '%s', leadscore._points_text(c.before, '', 2)) END,
						CASE WHEN c.draft_disqualifies AND NOT c.disqualifies THEN words ->> 'disqualifies'
							 WHEN c.disqualifies AND NOT c.draft_disqualifies THEN words ->> 'disqualified' END)
					 ORDER BY abs(coalesce(c.after, 0) - coalesce(c.before, 0)) DESC,
							  concat_ws(': ', coalesce(c.factor, c.axis), c.parameter, c.limits) COLLATE "C")
	INTO reasons
	FROM (SELECT coalesce(a.factor, b.factor) AS factor, coalesce(a.axis, b.axis) AS axis, coalesce(a.parameter, b.parameter) AS parameter,
				 CASE WHEN a.rule_id IS NULL AND b.rule_id IS NULL THEN coalesce(a.note, b.note) END AS limits,
				 CASE WHEN a.n IS NOT NULL THEN a.counted END AS before, CASE WHEN b.n IS NOT NULL THEN b.counted END AS after,
				 (a.note = 'disqualifies') IS TRUE AS disqualifies, (b.note = 'disqualifies') IS TRUE AS draft_disqualifies,
				 a.n IS NULL OR b.n IS NULL OR a.counted <> b.counted OR (a.note = 'disqualifies') IS DISTINCT FROM (b.note = 'disqualifies') AS differs
		  FROM (SELECT e.*, row_number() OVER () AS n, coalesce(e.rule_id::text, concat_ws(' ', e.note, e.factor, e.axis)) AS what
				FROM leadscore.explain(_reasons.model, _reasons.lead_key, statement_timestamp()) e) a
		  FULL JOIN (SELECT e.*, row_number() OVER () AS n,
							coalesce(_reasons.comparison -> 'rule' ->> e.rule_id::text, 'draft ' || e.rule_id::text, concat_ws(' ', e.note, e.factor, e.axis)) AS what
					 FROM leadscore.explain(_reasons.draft, _reasons.lead_key, statement_timestamp()) e) b USING (what)) c
	WHERE c.differs AND c.limits IS DISTINCT FROM 'rounding';
	RETURN coalesce(reasons, array_remove(ARRAY[words ->> otherwise], NULL));
EXCEPTION WHEN OTHERS THEN
	-- a rule that fails on the lead: the column problem says so
	RETURN '{}';
END
$$;
COMMENT ON FUNCTION leadscore._reasons(text, text, text, jsonb, text) IS
'Internal: rules that count another number of points for a lead by the draft, for people to read, the greatest difference first; if there are none, the word for what it is otherwise.';

CREATE FUNCTION leadscore.compare(model text, draft_model text)
RETURNS TABLE (lead_key text, score integer, draft_score integer, temperature text, draft_temperature text, grade text, draft_grade text,
			   stage text, draft_stage text, disqualified boolean, draft_disqualified boolean, reasons text[], problem text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	comparison jsonb;
BEGIN
	PERFORM leadscore._require_draft(compare.model, draft_model);
	comparison := leadscore._comparison(compare.model, draft_model);
	RETURN QUERY
	SELECT c.lead_key, c.score, c.draft_score, c.temperature, c.draft_temperature, c.grade, c.draft_grade, c.stage, c.draft_stage,
		   c.disqualified, c.draft_disqualified,
		   leadscore._reasons(compare.model, draft_model, c.lead_key, comparison,
			CASE WHEN c.draft_problem IS NOT NULL THEN NULL
				 WHEN c.score = c.draft_score AND (c.temperature <> c.draft_temperature OR c.grade <> c.draft_grade) THEN 'thresholds'
				 WHEN c.stage <> c.draft_stage THEN 'transitions' END),
		   c.draft_problem
	FROM leadscore._compare(compare.model, draft_model) c
	WHERE row(c.score, c.temperature, c.grade, c.disqualified) IS DISTINCT FROM row(c.draft_score, c.draft_temperature, c.draft_grade, c.draft_disqualified)
	   OR c.stage IS DISTINCT FROM c.draft_stage OR (c.draft_problem IS NOT NULL AND c.problem IS NULL)
	ORDER BY abs(c.draft_score - c.score) DESC NULLS LAST, c.lead_key COLLATE "C";
END
$$;
COMMENT ON FUNCTION leadscore.compare(text, text) IS
'What would publishing a draft change?  The leads whose score, temperature, grade, stage or disqualification are others by the draft than by the model, as of now, with their activities, the greatest change of the score first; nothing is written.  stage is where the lead is, draft_stage where the draft''s status map and automatic transitions would lead it, as rescore(move_stages => true) would after publish(); both are NULL unless the model is attached and the caller may read its state table.  reasons tells which rules count differently, the greatest difference first, in the language of the session: SET leadscore.language.  A rule that fails on a lead is left out, as when leads are scored in the commit; of the draft''s, problem has the message, and leads on which only they fail are listed too.  The caller may read the model''s source and the tables of the draft''s events.  Errors: 22004 NULL, 42704 unknown model, 22023 the two score different tables, or are the same, 55000 no key column, 42501 no privilege on the tables of the matrix, the source or the events.';

CREATE FUNCTION leadscore.compare_matrix(model text, draft_model text)
RETURNS TABLE (kind text, before text, after text, leads bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT k.kind, k.before, k.after, count(*)
	FROM leadscore._compare(compare_matrix.model, draft_model) c,
		 LATERAL (VALUES ('temperature', c.temperature, c.draft_temperature, position(left(c.temperature, 1) IN 'hwc'), position(left(c.draft_temperature, 1) IN 'hwc')),
						 ('grade', c.grade, c.draft_grade, 0, 0),
						 ('stage', c.stage, c.draft_stage, -leadscore.stage_rank(c.stage::leadscore.lead_stage), -leadscore.stage_rank(c.draft_stage::leadscore.lead_stage)))
			 k(kind, before, after, before_order, after_order)
	WHERE k.before IS NOT NULL OR k.after IS NOT NULL
	GROUP BY k.kind, k.before, k.after, k.before_order, k.after_order
	ORDER BY array_position('{temperature,grade,stage}', k.kind), k.before_order, k.before COLLATE "C", k.after_order, k.after COLLATE "C"
$$;
COMMENT ON FUNCTION leadscore.compare_matrix(text, text) IS
'How many leads would move from where to where if a draft were published, as of now: a row for each kind (temperature, grade, and stage if the model is attached) and each pair of values that any lead has before and after, also where they are the same; leads of a kind sum up to all.  Nothing is written.  Errors: as compare().';

CREATE FUNCTION leadscore.compare_summary(model text, draft_model text, top integer DEFAULT 10)
RETURNS TABLE (leads bigint, changed bigint, score_up bigint, score_down bigint, hotter bigint, colder bigint, hot bigint, draft_hot bigint,
			   grade_changed bigint, stage_changed bigint, newly_disqualified bigint, no_longer_disqualified bigint, problems bigint,
			   average_change numeric, top_movers jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	comparison jsonb;
	movers	jsonb;
BEGIN
	PERFORM leadscore._require_draft(compare_summary.model, draft_model);
	IF top < 0 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'top must not be negative';
	END IF;
	comparison := leadscore._comparison(compare_summary.model, draft_model);
	SELECT count(*), count(*) FILTER (WHERE c.differs), count(*) FILTER (WHERE c.draft_score > c.score), count(*) FILTER (WHERE c.draft_score < c.score),
		   count(*) FILTER (WHERE c.warmth > 0), count(*) FILTER (WHERE c.warmth < 0),
		   count(*) FILTER (WHERE c.temperature = 'hot'), count(*) FILTER (WHERE c.draft_temperature = 'hot'),
		   count(*) FILTER (WHERE c.grade <> c.draft_grade), count(*) FILTER (WHERE c.stage <> c.draft_stage),
		   count(*) FILTER (WHERE c.draft_disqualified AND NOT c.disqualified), count(*) FILTER (WHERE c.disqualified AND NOT c.draft_disqualified),
		   count(c.draft_problem), trim_scale(round(avg(c.draft_score::numeric - c.score), 2)),
		   jsonb_agg(jsonb_build_object('lead_key', c.lead_key, 'score', c.score, 'draft_score', c.draft_score,
										'temperature', c.temperature, 'draft_temperature', c.draft_temperature,
										'grade', c.grade, 'draft_grade', c.draft_grade, 'stage', c.stage, 'draft_stage', c.draft_stage,
										'otherwise', CASE WHEN c.draft_problem IS NOT NULL THEN NULL
														  WHEN c.score = c.draft_score AND (c.warmth <> 0 OR c.grade <> c.draft_grade) THEN 'thresholds'
														  WHEN c.stage <> c.draft_stage THEN 'transitions' END)
					 ORDER BY c.place) FILTER (WHERE c.differs AND c.place <= coalesce(top, 10))
	INTO leads, changed, score_up, score_down, hotter, colder, hot, draft_hot, grade_changed, stage_changed, newly_disqualified,
		 no_longer_disqualified, problems, average_change, movers
	FROM (SELECT d.*, row_number() OVER (ORDER BY d.differs DESC, abs(d.draft_score - d.score) DESC NULLS LAST, d.warmth <> 0 DESC, d.lead_key COLLATE "C") AS place
		  FROM (SELECT a.*, position(left(a.draft_temperature, 1) IN 'cwh') - position(left(a.temperature, 1) IN 'cwh') AS warmth,
					   row(a.score, a.temperature, a.grade, a.disqualified, a.stage)
					   IS DISTINCT FROM row(a.draft_score, a.draft_temperature, a.draft_grade, a.draft_disqualified, a.draft_stage) AS differs
				FROM leadscore._compare(compare_summary.model, draft_model) a) d) c;
	SELECT coalesce(jsonb_agg((e.mover - 'otherwise') || jsonb_build_object('reasons',
								leadscore._reasons(compare_summary.model, draft_model, e.mover ->> 'lead_key', comparison, e.mover ->> 'otherwise'))
							  ORDER BY e.position), '[]')
	INTO top_movers
	FROM jsonb_array_elements(movers) WITH ORDINALITY e(mover, position);
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION leadscore.compare_summary(text, text, integer) IS
'What publishing a draft would change, in one row: leads in all, leads that change at all, whose score rises or falls, that become hotter or colder, that are hot by the model and by the draft, whose grade or stage changes, that are disqualified by the draft alone or by the model alone, on which a rule of the draft fails; the average change of the score over all leads; and the leads whose score changes most (top, 10 unless told, or NULL) as a JSON array with what compare() says of them and why, in the language of the session.  Nothing is written.  Errors: as compare(), 22023 top is negative.';

CREATE FUNCTION leadscore._swap_matrix(model text, matrix jsonb, ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET IntervalStyle = 'postgres'
AS $$
#variable_conflict use_column
DECLARE
	old				leadscore.model;
	new				leadscore.model;
	sources			leadscore.activity_source[];
	factors			leadscore.factor[];
	rules			leadscore.rule[];
	thresholds		leadscore.threshold[];
	transitions		leadscore.transition[];
	map				leadscore.stage_map[];
	of_model		jsonb := jsonb_build_object('model', _swap_matrix.model);
	moved			text[];
	kinds			text[];
	position		integer;
	added			bigint;
BEGIN
	SELECT * INTO old FROM leadscore.model WHERE name = _swap_matrix.model;
	new := jsonb_populate_record(old, (matrix -> 'model') - '{name,target,version,activity_version}'::text[]);

	-- what there is to be
	SELECT array_agg(s) INTO sources FROM jsonb_array_elements(matrix -> 'activity_sources') e,
		LATERAL jsonb_populate_record(NULL::leadscore.activity_source, e || of_model) s;
	SELECT array_agg(f) INTO factors FROM jsonb_array_elements(matrix -> 'factors') e,
		LATERAL jsonb_populate_record(NULL::leadscore.factor, e || of_model) f;
	-- an id that some other model has taken since is not this rule's any more
	SELECT array_agg(r ORDER BY e.ordinality) INTO rules
	FROM jsonb_array_elements(matrix -> 'rules') WITH ORDINALITY e(element, ordinality),
		 LATERAL jsonb_populate_record(NULL::leadscore.rule, e.element || of_model || jsonb_build_object('id',
			CASE WHEN NOT EXISTS (SELECT FROM leadscore.rule o WHERE o.id = ids[e.ordinality] AND o.model <> _swap_matrix.model) THEN ids[e.ordinality] END)) r;
	SELECT array_agg(t) INTO thresholds FROM jsonb_array_elements(matrix -> 'thresholds') e,
		LATERAL jsonb_populate_record(NULL::leadscore.threshold, e || of_model || '{"builtin": false}') t;
	SELECT array_agg(t) INTO transitions FROM jsonb_array_elements(matrix -> 'transitions') e,
		LATERAL jsonb_populate_record(NULL::leadscore.transition, e || of_model) t;
	SELECT array_agg(t) INTO map FROM jsonb_array_elements(matrix -> 'stage_map') e,
		LATERAL jsonb_populate_record(NULL::leadscore.stage_map, e || of_model) t;
	moved := ARRAY(SELECT s.name FROM leadscore.activity_source s
				   WHERE s.model = old.name
					 AND NOT EXISTS (SELECT FROM unnest(sources) w WHERE to_jsonb(w) - 'relation_name' = to_jsonb(s) - 'relation_name'));

	-- A row whose expression changes takes the search_path of who changes it,
	-- so such rows are written anew, under their ids.  Rules that only come to
	-- give other points are not: what leads did is not summed up anew for that.
	DELETE FROM leadscore.rule r
	WHERE r.model = old.name
	  AND (new.source IS DISTINCT FROM old.source
		   OR NOT EXISTS (SELECT FROM unnest(rules) w
						  WHERE w.id = r.id AND w.condition = r.condition AND w.activity IS NOT DISTINCT FROM r.activity)
		   OR EXISTS (SELECT FROM leadscore.factor f JOIN unnest(factors) w ON w.name = f.name
					  WHERE f.model = r.model AND f.name = r.factor AND f.axis <> w.axis));
	DELETE FROM leadscore.transition t
	WHERE t.model = old.name AND (new.source IS DISTINCT FROM old.source
								  OR NOT EXISTS (SELECT FROM unnest(transitions) w WHERE w IS NOT DISTINCT FROM t));
	DELETE FROM leadscore.stage_map t
	WHERE t.model = old.name AND NOT EXISTS (SELECT FROM unnest(map) w WHERE w IS NOT DISTINCT FROM t);

	IF row(new.channel, new.created_at, new.consent, new.status) IS DISTINCT FROM row(old.channel, old.created_at, old.consent, old.status) THEN
		UPDATE leadscore.model SET channel = NULL, created_at = NULL, consent = NULL, status = NULL, search_path = NULL
		WHERE name = old.name;
	END IF;
	IF new IS DISTINCT FROM old THEN
		UPDATE leadscore.model SET
			source = new.source, key_column = new.key_column, channel = new.channel, created_at = new.created_at, consent = new.consent,
			time_zone = new.time_zone, score_min = new.score_min, score_max = new.score_max, fit_min = new.fit_min, fit_max = new.fit_max,
			engagement_min = new.engagement_min, engagement_max = new.engagement_max, initial_stage = new.initial_stage,
			accepted_stage = new.accepted_stage, description = new.description, search_path = new.search_path, status = new.status,
			stage_mode = new.stage_mode, handoff_stage = new.handoff_stage, cooldown = new.cooldown, announce = new.announce
		WHERE name = old.name;
	END IF;

	-- in one statement, since rules and service levels refer to what stays
	WITH gone AS (
		DELETE FROM leadscore.activity_source s WHERE s.model = old.name AND s.name = ANY (moved) RETURNING s.name
	)
	INSERT INTO leadscore.activity_source (model, name, relation, lead_key, match_column, occurred_at, time_zone, filter, event_key, description, search_path)
	SELECT w.model, w.name, w.relation, w.lead_key, w.match_column, w.occurred_at, w.time_zone, w.filter, w.event_key, w.description, w.search_path
	FROM unnest(sources) w
	WHERE (SELECT count(*) FROM gone) >= 0
	  AND (w.name = ANY (moved)
		   OR NOT EXISTS (SELECT FROM leadscore.activity_source s WHERE s.model = old.name AND s.name = w.name));

	UPDATE leadscore.factor f
	SET axis = w.axis, combine = w.combine, points_floor = w.points_floor, points_cap = w.points_cap, description = w.description
	FROM unnest(factors) w
	WHERE f.model = old.name AND f.name = w.name AND f IS DISTINCT FROM w;
	INSERT INTO leadscore.factor
	SELECT w.* FROM unnest(factors) w
	WHERE NOT EXISTS (SELECT FROM leadscore.factor f WHERE f.model = old.name AND f.name = w.name);

	UPDATE leadscore.rule r
	SET factor = w.factor, parameter = w.parameter, significance = w.significance, points = w.points, disqualifies = w.disqualifies,
		enabled = w.enabled, note = w.note, search_path = w.search_path, half_life = w.half_life, at_least = w.at_least,
		within = w.within, at_most = w.at_most, inactive_for = w.inactive_for, include_never = w.include_never
	FROM unnest(rules) w
	WHERE r.model = old.name AND r.id = w.id AND r IS DISTINCT FROM w;
	INSERT INTO leadscore.rule
	SELECT w.* FROM unnest(rules) w
	WHERE w.id IS NOT NULL AND NOT EXISTS (SELECT FROM leadscore.rule r WHERE r.id = w.id);
	FOR position IN 1 .. coalesce(cardinality(rules), 0) LOOP
		CONTINUE WHEN rules[position].id IS NOT NULL;
		INSERT INTO leadscore.rule (model, factor, parameter, significance, condition, points, disqualifies, enabled, note, search_path,
									activity, half_life, at_least, within, at_most, inactive_for, include_never)
		SELECT w.model, w.factor, w.parameter, w.significance, w.condition, w.points, w.disqualifies, w.enabled, w.note, w.search_path,
			   w.activity, w.half_life, w.at_least, w.within, w.at_most, w.inactive_for, w.include_never
		FROM unnest(rules[position:position]) w
		RETURNING id INTO added;
		ids[position] := added;
	END LOOP;
	DELETE FROM leadscore.factor f
	WHERE f.model = old.name AND NOT EXISTS (SELECT FROM unnest(factors) w WHERE w.name = f.name);

	kinds := ARRAY(SELECT coalesce(t.kind, w.kind)
				   FROM (SELECT * FROM leadscore.threshold WHERE threshold.model = old.name) t FULL JOIN unnest(thresholds) w USING (kind, label)
				   WHERE row(t.at_least, t.margin) IS DISTINCT FROM row(w.at_least, w.margin));
	DELETE FROM leadscore.threshold t WHERE t.model = old.name AND t.kind = ANY (kinds);
	INSERT INTO leadscore.threshold (model, kind, label, at_least, margin)
	SELECT w.model, w.kind, w.label, w.at_least, w.margin FROM unnest(thresholds) w WHERE w.kind = ANY (kinds);

	INSERT INTO leadscore.transition
	SELECT w.* FROM unnest(transitions) w
	WHERE NOT EXISTS (SELECT FROM leadscore.transition t
					  WHERE t.model = old.name AND t.from_stage::integer = w.from_stage::integer AND t.to_stage::integer = w.to_stage::integer);
	INSERT INTO leadscore.stage_map
	SELECT w.* FROM unnest(map) w
	WHERE NOT EXISTS (SELECT FROM leadscore.stage_map t
					  WHERE t.model = old.name AND t.status = w.status AND t.stage::integer = w.stage::integer);

	-- tables of events may have been altered since rules were written for them
	IF moved <> '{}' THEN
		PERFORM leadscore.check_rules(old.name);
	END IF;

	-- one version more, however many statements it took
	UPDATE leadscore.model
	SET version = old.version + 1,
		activity_version = CASE WHEN activity_version > old.version THEN old.version + 1 ELSE activity_version END
	WHERE name = old.name;
	RETURN ids;
END
$$;
COMMENT ON FUNCTION leadscore._swap_matrix(text, jsonb, bigint[]) IS
'Internal: has a model become what a matrix says, by writing what differs, and raises its version by one.  ids are those of the matrix''s rules, NULL for new ones; returned with the ids that these got.';

CREATE FUNCTION leadscore._keep_version(model text) RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	now		jsonb := leadscore._matrix(_keep_version.model);
	kept	jsonb;
BEGIN
	SELECT v.matrix INTO kept
	FROM leadscore.model_version v JOIN leadscore.model m ON m.name = v.model AND m.version = v.version
	WHERE v.model = _keep_version.model;
	IF kept IS NOT NULL AND leadscore._same_matrix(kept, now) THEN
		RETURN now;
	END IF;
	-- transitions are edited without a new version
	IF kept IS NOT NULL THEN
		UPDATE leadscore.model SET version = version + 1 WHERE name = _keep_version.model;
	END IF;
	INSERT INTO leadscore.model_version (model, version, matrix, rules)
	SELECT m.name, m.version, now, ARRAY(SELECT r.id FROM leadscore.rule r WHERE r.model = m.name ORDER BY r.id)
	FROM leadscore.model m WHERE m.name = _keep_version.model;
	RETURN now;
END
$$;
COMMENT ON FUNCTION leadscore._keep_version(text) IS
'Internal: keeps the matrix that is in force, unless it is kept already, and returns it.';

CREATE FUNCTION leadscore._lock_models(models text[]) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
	-- whoever edits a matrix rewrites the row of its model first
	SELECT FROM leadscore.model m WHERE m.name = ANY (models) ORDER BY m.name FOR NO KEY UPDATE
$$;
COMMENT ON FUNCTION leadscore._lock_models(text[]) IS
'Internal: waits for those who edit the matrices of models, and keeps others from doing so until the transaction ends.';

CREATE FUNCTION leadscore.publish(draft text, note text DEFAULT NULL, model text DEFAULT NULL, force boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	the_model	text := publish.model;
	d			leadscore.draft;
	before		jsonb;
	after		jsonb;
	own			bigint[];
	ids			bigint[];
	version		bigint;
BEGIN
	IF publish.draft IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'publish() needs the name of a draft';
	END IF;
	SELECT * INTO d FROM leadscore.draft t WHERE t.model = publish.draft;
	the_model := coalesce(the_model, d.draft_of, '');
	IF the_model = '' AND EXISTS (SELECT FROM leadscore.model m WHERE m.name = publish.draft) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('scoring model "%s" is not a draft', publish.draft),
			HINT = 'Make a draft with leadscore.copy_model(), or name the model that it is to replace: leadscore.publish(..., model => ''...'').';
	END IF;
	PERFORM leadscore._require_draft(coalesce(nullif(the_model, ''), publish.draft), publish.draft);
	PERFORM leadscore._lock_models(ARRAY[publish.draft, the_model]);
	-- what was in the way may have published it
	SELECT * INTO d FROM leadscore.draft t WHERE t.model = publish.draft AND t.draft_of = the_model;

	before := leadscore._matrix(the_model);
	after := leadscore._matrix(publish.draft);
	IF d.base IS NOT NULL AND NOT coalesce(force, false) AND NOT leadscore._same_matrix(before, d.base) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('scoring model "%s" has changed since draft "%s" was made', the_model, publish.draft),
			DETAIL = format('The draft was made of version %s; the model is at version %s now.', d.base_version,
							(SELECT m.version FROM leadscore.model m WHERE m.name = the_model)),
			HINT = 'Publishing would take that change back.  Make a new draft with leadscore.copy_model(), or say force => true.';
	END IF;
	IF leadscore._same_matrix(before, after) THEN
		SELECT m.version INTO version FROM leadscore.model m WHERE m.name = the_model;
		RAISE NOTICE 'scoring model "%" is what draft "%" says already', the_model, publish.draft;
		RETURN version;
	END IF;

	PERFORM leadscore._keep_version(the_model);
	SELECT array_agg(r.id ORDER BY r.id), array_agg(p.rule ORDER BY r.id) INTO own, ids
	FROM leadscore.rule r LEFT JOIN leadscore._rule_pairs(the_model, publish.draft) p ON p.draft_rule = r.id
	WHERE r.model = publish.draft;
	ids := leadscore._swap_matrix(the_model, leadscore._matrix(publish.draft, true), ids);
	SELECT m.version INTO version FROM leadscore.model m WHERE m.name = the_model;
	after := leadscore._matrix(the_model);
	INSERT INTO leadscore.model_version (model, version, published_at, published_by, draft, matrix, rules, note)
	VALUES (the_model, version, statement_timestamp(), SESSION_USER, publish.draft, after,
			ARRAY(SELECT r.id FROM leadscore.rule r WHERE r.model = the_model ORDER BY r.id), publish.note);

	-- the draft can be edited and published again
	INSERT INTO leadscore.draft AS t (model, draft_of, base_version, base, rules)
	SELECT publish.draft, the_model, version, after,
		   coalesce((SELECT jsonb_object_agg(u.draft_rule, u.rule) FROM unnest(own, ids) u(draft_rule, rule)), '{}')
	ON CONFLICT (model) DO UPDATE
	SET draft_of = excluded.draft_of, base_version = excluded.base_version, base = excluded.base, rules = excluded.rules,
		made_at = excluded.made_at, made_by = excluded.made_by;
	RETURN version;
END
$$;
COMMENT ON FUNCTION leadscore.publish(text, text, text, boolean) IS
'Puts a draft into force: its model gets the draft''s factors, activity sources, rules, thresholds, transitions, stage map and settings, all at once when the transaction commits, and raises its version, which is returned.  A draft that says what the model says changes nothing.  The model stays attached; stored scores are stale until leadscore.rescore(), and no lead changes its stage.  Rules that come from the model''s keep their ids.  What was in force before is kept in leadscore.model_version, and what is now with the note (NULL: none).  The draft stays, and can be edited and published again.  Service levels and whatever else is not the matrix stay the model''s own.  model names the model to be replaced if the draft was not made by copy_model(), or of another model (NULL: the one that it was made of).  A draft of a model that has been changed since is refused, unless force overwrites the change (NULL: false).  Who may write the tables of the matrix, leadscore.draft and leadscore.model_version may publish.  Errors: 22004 draft NULL, 42704 unknown model, 55000 not a draft, or the model has changed since, 55006 another source or key although the model is attached, 22023 the two score different tables, or are the same, 42501 no privilege to write these tables, and those of writing rules.';

CREATE FUNCTION leadscore.rollback_model(model text, version bigint DEFAULT NULL, note text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	before	jsonb;
	v		leadscore.model_version;
	number	bigint;
BEGIN
	IF rollback_model.model IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'rollback_model() needs the name of a model';
	END IF;
	IF NOT EXISTS (SELECT FROM leadscore.model m WHERE m.name = rollback_model.model) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('scoring model "%s" does not exist', rollback_model.model),
			HINT = 'The table leadscore.model lists the models.';
	END IF;
	PERFORM leadscore._lock_models(ARRAY[rollback_model.model]);
	before := leadscore._matrix(rollback_model.model);
	SELECT * INTO v FROM leadscore.model_version t
	WHERE t.model = rollback_model.model
	  AND CASE WHEN rollback_model.version IS NOT NULL THEN t.version = rollback_model.version
			   ELSE NOT leadscore._same_matrix(t.matrix, before) END
	ORDER BY t.version DESC LIMIT 1;
	IF NOT FOUND AND rollback_model.version IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('version %s of scoring model "%s" is not kept', rollback_model.version, rollback_model.model),
			HINT = 'The table leadscore.model_version lists the versions that are.';
	ELSIF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('scoring model "%s" has no version to go back to', rollback_model.model),
			HINT = 'leadscore.publish() keeps the version that it replaces.';
	END IF;
	IF leadscore._same_matrix(before, v.matrix) THEN
		SELECT m.version INTO number FROM leadscore.model m WHERE m.name = rollback_model.model;
		RAISE NOTICE 'scoring model "%" is what version % was already', rollback_model.model, v.version;
		RETURN number;
	END IF;

	PERFORM leadscore._keep_version(rollback_model.model);
	PERFORM leadscore._swap_matrix(rollback_model.model, v.matrix, v.rules);
	SELECT m.version INTO number FROM leadscore.model m WHERE m.name = rollback_model.model;
	INSERT INTO leadscore.model_version (model, version, published_at, published_by, matrix, rules, note)
	VALUES (rollback_model.model, number, statement_timestamp(), SESSION_USER, leadscore._matrix(rollback_model.model),
			ARRAY(SELECT r.id FROM leadscore.rule r WHERE r.model = rollback_model.model ORDER BY r.id),
			coalesce(rollback_model.note, format('back to version %s', v.version)));
	RETURN number;
END
$$;
COMMENT ON FUNCTION leadscore.rollback_model(text, bigint, text) IS
'Puts an earlier version of a model into force again, as a new version, whose number is returned: the one named, of those in leadscore.model_version, or (version NULL) the last that differs from what is in force now.  note is kept with it; NULL says which version it was.  Rules have the ids that they had.  Like publish() it makes stored scores stale and moves no lead; history and stages are never rewound.  Errors: 22004 model NULL, 42704 unknown model or version, 55000 there is no earlier version, 55006 another source or key although the model is attached, 42501 no privilege to write the tables of the matrix or leadscore.model_version, and those of writing rules, if columns that they read are gone.';
