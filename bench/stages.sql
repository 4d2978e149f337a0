-- stages.sql: contenders for a change of one lead's stage: leadscore.move(), the
-- state table under its guard, the CRM's own column as the model's status; and
-- by hand, an UPDATE and an INSERT of a row as wide as those of leadscore.history,
-- with the same indexes.

CREATE TABLE bench.stage_lead (id integer PRIMARY KEY, employees integer, country text, stage text, stage_since timestamptz);
INSERT INTO bench.stage_lead SELECT i, i % 1000, 'C' || i % 10, 'lead', now() FROM generate_series(1, :leads) i;
CREATE TABLE bench.moved_lead (LIKE bench.stage_lead INCLUDING ALL);
INSERT INTO bench.moved_lead SELECT * FROM bench.stage_lead;
CREATE TABLE bench.status_lead (LIKE bench.stage_lead INCLUDING ALL);
INSERT INTO bench.status_lead SELECT * FROM bench.stage_lead;

CREATE TABLE bench.stage_history (
	at timestamptz, xact xid8, xact_order integer, recorded_at timestamptz, model text, lead_key text, cause text, automatic boolean,
	listed boolean, from_stage text, to_stage text, from_temperature text, temperature text, from_grade text, grade text, from_score integer,
	score integer, fit double precision, engagement double precision, disqualified boolean, rules bigint[], rules_version bigint,
	changed_by text, reason text, PRIMARY KEY (xact, xact_order, at));
CREATE INDEX ON bench.stage_history (model, lead_key, at);
CREATE INDEX ON bench.stage_history USING brin (at);

INSERT INTO leadscore.model (name, target, status) VALUES ('stages', 'bench.moved_lead', NULL), ('statuses', 'bench.status_lead', 'stage');
INSERT INTO leadscore.factor (model, name, axis) SELECT m, 'size', 'fit' FROM unnest('{stages, statuses}'::text[]) m;
INSERT INTO leadscore.rule (model, factor, condition, points)
SELECT m, 'size', format('employees BETWEEN %s AND %s', i * 100, i * 100 + 99), i FROM unnest('{stages, statuses}'::text[]) m, generate_series(0, 9) i;
INSERT INTO leadscore.transition (model, from_stage, to_stage)
SELECT m, f::leadscore.lead_stage, t::leadscore.lead_stage FROM unnest('{stages, statuses}'::text[]) m, (VALUES ('lead', 'prospect'), ('prospect', 'lead')) v(f, t);
SELECT leadscore.attach(m) FROM unnest('{stages, statuses}'::text[]) m;

-- history says what the states say
CREATE PROCEDURE bench.check_stages()
LANGUAGE plpgsql AS $$
DECLARE
	wrong bigint;
BEGIN
	SELECT count(*) INTO wrong
	FROM (SELECT DISTINCT ON (h.model, h.lead_key) h.model, h.lead_key, h.to_stage
		  FROM leadscore.history h WHERE h.model IN ('stages', 'statuses') ORDER BY h.model, h.lead_key, h.at DESC, h.xact DESC, h.xact_order DESC) h
	FULL JOIN (SELECT 'stages' AS model, s.lead_key, s.stage FROM leadscore.stages_state s
			   UNION ALL SELECT 'statuses', s.lead_key, s.stage FROM leadscore.statuses_state s) s ON s.model = h.model AND s.lead_key::text = h.lead_key
	WHERE h.to_stage::text IS DISTINCT FROM s.stage::text;
	IF wrong > 0 THEN
		RAISE EXCEPTION 'the history of % leads does not lead to their stage', wrong;
	END IF;
	SELECT count(*) INTO wrong FROM bench.status_lead l JOIN leadscore.statuses_state s ON s.lead_key = l.id WHERE s.stage::text <> l.stage;
	IF wrong > 0 THEN
		RAISE EXCEPTION 'the stage of % leads is not the one of their status', wrong;
	END IF;
END
$$;
