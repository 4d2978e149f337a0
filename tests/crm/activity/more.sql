-- Rules of every kind about the events of the rules in this folder, for the model
-- <name>_more: after one of the other files here.
INSERT INTO leadscore.activity_source (model, name, relation, lead_key, match_column, occurred_at, time_zone, filter, event_key)
SELECT s.model || '_more', s.name, s.relation, s.lead_key, s.match_column, s.occurred_at, s.time_zone, s.filter, s.event_key
FROM leadscore.activity_source s JOIN leadscore.model m ON m.name = s.model || '_more' ORDER BY s.name;

INSERT INTO leadscore.factor (model, name, axis, combine, points_floor, points_cap)
SELECT DISTINCT model, f.name, 'engagement', f.combine, f.points_floor, f.points_cap
FROM leadscore.activity_source, (VALUES ('events', 'sum', NULL, 25::float8), ('recency of events', 'best', -10, NULL)) f(name, combine, points_floor, points_cap)
WHERE model LIKE '%\_more';
INSERT INTO leadscore.rule (model, factor, parameter, activity, condition, points, half_life, at_least, within, at_most, inactive_for)
SELECT s.model, r.factor, s.name || ': ' || r.parameter, s.name, 'true', r.points, r.half_life, r.at_least, r.within, r.at_most, r.inactive_for
FROM leadscore.activity_source s,
	 (VALUES ('events', 'fades', 3.5, interval '200 days', NULL, NULL::interval, NULL, NULL::interval),
			 ('events', 'the latest three', 1, NULL, NULL, NULL, 3, NULL),
			 ('events', 'the latest two fade', -2, '1000 days', NULL, NULL, 2, NULL),
			 ('recency of events', 'twice of late', 6, NULL, 2, '560 days', NULL, NULL),
			 ('recency of events', 'fallen silent', -4, NULL, NULL, NULL, NULL, '570 days'))
	 r(factor, parameter, points, half_life, at_least, within, at_most, inactive_for)
WHERE s.model LIKE '%\_more'
ORDER BY s.model, s.name, r.parameter;
