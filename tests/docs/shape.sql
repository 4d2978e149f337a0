-- Run by tools/page --shape when a page has run: are the models that it attached
-- sound, has each of their tables of events an index, and does each of their rules
-- speak of the leads, and count the events, that plain SQL finds?  Prints lines "ok - WHAT" and "not ok - WHAT".

-- the leads of a rule, and how many events of each count, in plain SQL (leads
-- whose key is NULL wait for one, and are left out below)
CREATE FUNCTION pg_temp.plain(r leadscore.rule) RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
	m leadscore.model;
	s leadscore.activity_source;
	source regclass;
	events text;
	kept text := '';
BEGIN
	SELECT * INTO m FROM leadscore.model WHERE name = r.model;
	source := coalesce(m.source, m.target);
	IF r.activity IS NULL THEN
		RETURN format('SELECT %I::text AS key, NULL::bigint AS n FROM %s WHERE (%s)', m.key_column, source, r.condition);
	END IF;
	SELECT * INTO s FROM leadscore.activity_source a WHERE a.model = r.model AND a.name = r.activity;
	events := format('SELECT DISTINCT ON (e.id, l.key) l.key, (e.at)::timestamptz AS at FROM
		(SELECT %s AS who, %s AS at, %s AS id FROM %s WHERE (%s) AND (%s)) e
		JOIN (SELECT %I::text AS key, (%s)::text AS who FROM %s) l ON %s
		WHERE e.at IS NOT NULL AND (e.at)::timestamptz <= now() ORDER BY e.id, l.key, 2',
		s.lead_key, s.occurred_at, coalesce('ROW(' || s.lead_key || ', ' || s.event_key || ')', 'ctid'), s.relation, coalesce(s.filter, 'true'), r.condition,
		m.key_column, coalesce(quote_ident(s.match_column), quote_ident(m.key_column)), source,
		CASE WHEN s.match_column IS NULL THEN 'e.who::text = l.who' ELSE 'lower(e.who::text) = lower(l.who)' END);
	IF r.at_least IS NOT NULL THEN
		kept := format('HAVING count(*) FILTER (WHERE at > now() - interval %L) >= %s', r.within, r.at_least);
	ELSIF r.inactive_for IS NOT NULL THEN
		kept := format('HAVING max(at) <= now() - interval %L', r.inactive_for);
		IF r.include_never THEN
			RETURN format('SELECT l.%I::text AS key, NULL::bigint AS n FROM %s l LEFT JOIN (%s) e ON e.key = l.%I::text
				GROUP BY 1 HAVING coalesce(max(e.at), min(%s)) <= now() - interval %L',
				m.key_column, source, events, m.key_column, m.created_at, r.inactive_for);
		END IF;
	END IF;
	RETURN format('SELECT key, %s::bigint AS n FROM (%s) e GROUP BY key %s',
		CASE WHEN r.at_least IS NOT NULL OR r.inactive_for IS NOT NULL THEN 'NULL' ELSE 'count(*)' END,
		events, kept);
END
$f$;

CREATE FUNCTION pg_temp.lines() RETURNS SETOF text LANGUAGE plpgsql AS $f$
DECLARE
	m leadscore.model;
	r leadscore.rule;
	bad text;
	dead text;
	leads bigint;
	hits bigint;
	wrong bigint;
	example text;
BEGIN
	FOR m IN SELECT model.* FROM leadscore.model JOIN leadscore.attachment a ON a.model = model.name ORDER BY name LOOP
		SELECT string_agg(concat_ws(', ', finding, object, detail), '; ') INTO bad FROM leadscore.doctor(m.name);
		RETURN NEXT format('%sok - %s: the doctor finds nothing%s', CASE WHEN bad IS NOT NULL THEN 'not ' ELSE '' END, m.name, ' (' || bad || ')');
		SELECT string_agg(message, '; ') INTO bad FROM leadscore.problem p WHERE p.model = m.name;
		RETURN NEXT format('%sok - %s: no problem is recorded%s', CASE WHEN bad IS NOT NULL THEN 'not ' ELSE '' END, m.name, ' (' || bad || ')');

		SELECT string_agg(definition, ' ') INTO bad FROM leadscore._missing_activity_indexes(m.name);
		RETURN NEXT format('%sok - %s: the events of a lead are found by an index%s', CASE WHEN bad IS NOT NULL THEN 'not ' ELSE '' END, m.name, ' (' || bad || ')');

		EXECUTE format('CREATE TEMP TABLE ours AS SELECT lead_key, rule_id, occurrences FROM leadscore.contribution WHERE model = %L AND kind = ''rule''', m.name);
		SELECT c.leads INTO leads FROM leadscore.model_status c WHERE c.model = m.name;
		bad := NULL;
		dead := NULL;
		FOR r IN SELECT * FROM leadscore.rule WHERE model = m.name AND enabled ORDER BY id LOOP
			PERFORM set_config('search_path', r.search_path, true), set_config('TimeZone',
				coalesce((SELECT a.time_zone FROM leadscore.activity_source a WHERE a.model = r.model AND a.name = r.activity), m.time_zone), true);
			EXECUTE format('SELECT count(*) FILTER (WHERE o.lead_key IS NULL OR p.key IS NULL OR p.n <> o.occurrences), count(p.key), min(concat_ws('' '', p.key, p.n, o.lead_key, o.occurrences)) FILTER (WHERE o.lead_key IS NULL OR p.key IS NULL OR p.n <> o.occurrences)
				FROM (SELECT * FROM pg_temp.ours WHERE rule_id = %s) o FULL JOIN (SELECT * FROM (%s) q WHERE key IS NOT NULL) p ON p.key = o.lead_key', r.id, pg_temp.plain(r)) INTO wrong, hits, example;
			IF wrong > 0 THEN
				bad := concat_ws('; ', bad, format('"%s %s": %s leads differ, such as %s', r.factor, r.parameter, wrong, example));
			ELSIF hits = 0 THEN
				dead := concat_ws(', ', dead, format('"%s %s"', r.factor, r.parameter));
			END IF;
		END LOOP;
		RETURN NEXT format('%sok - %s: each of %s rules says of %s leads what plain SQL does%s%s', CASE WHEN bad IS NOT NULL OR leads = 0 THEN 'not ' ELSE '' END,
			m.name, (SELECT count(*) FROM leadscore.rule WHERE model = m.name AND enabled), leads, '; no lead for ' || dead, ' (' || bad || ')');
		DROP TABLE pg_temp.ours;
	END LOOP;
	IF m.name IS NULL THEN
		RETURN NEXT 'not ok - the page leaves a model attached';
	END IF;
END
$f$;
SELECT pg_temp.lines();
