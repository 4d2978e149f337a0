/*-------------------------------------------------------------------------
 *
 * stage.c
 *	  Leads that move from one stage of the funnel to another.
 *
 * Whoever is about to replace the row of a lead's state comes by here, with the
 * row as it will be: the stage that the CRM's status asks for is entered, the
 * automatic transitions whose conditions hold are made, one after another, and
 * it is found out which temperature is to be announced.  The moves are listed
 * for the history; the row is changed in place, and stored by the caller.
 *
 * Conditions read the lead's row only when something that they read may have
 * changed since they were found not to hold (stage_settled), so that an event
 * that makes no difference costs nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include <math.h>

#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "evaluate.h"
#include "problem.h"
#include "source.h"
#include "stage.h"


/* --------------------------------------------------------------------
 * Conditions
 * --------------------------------------------------------------------
 */

/*
 * stage_evaluate_status
 *		The CRM's status of the row in the rulebook's slot, into a row of the
 *		state table, with the stage that a new lead of that status starts in.
 */
void
stage_evaluate_status(Rulebook *rulebook, StateRow *row, RuleFailure *failure,
					  bool *failed)
{
	Funnel	   *funnel = &rulebook->funnel;
	LeadStage	first;
	Datum		value;
	bool		isnull;

	*failed = false;
	if (funnel->status == NULL)
		return;
	*failed = !evaluate_expression(rulebook, funnel->status, NULL,
								   funnel->status_runs_queries, &value, &isnull, failure);
	if (*failed || isnull)
		return;
	/* a copy: what it was read from goes on to another row */
	set_value(row, STATE_STATUS, PointerGetDatum(PG_DETOAST_DATUM_COPY(value)));
	(void) funnel_status_means(funnel, TextDatumGetCString(value), 0, &first);
	if (first != 0)
		set_value(row, STATE_STAGE, LeadStageGetDatum(first));
}

static void
set_param(Rulebook *rulebook, ScoredValue value, Datum datum, bool isnull)
{
	rulebook->params[NUM_CLOCKS + (int) value].value = datum;
	rulebook->params[NUM_CLOCKS + (int) value].isnull = isnull;
}

/*
 * Let conditions read the score that a row says.
 */
static void
set_params(Rulebook *rulebook, const StateRow *row)
{
	Oid			label = GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid,
										ObjectIdGetDatum(leadscore_type("temperature")),
										CStringGetDatum(TextDatumGetCString(row->values[STATE_TEMPERATURE])));

	set_param(rulebook, SCORED_SCORE, row->values[STATE_SCORE], false);
	set_param(rulebook, SCORED_FIT, row->values[STATE_FIT], false);
	set_param(rulebook, SCORED_ENGAGEMENT, row->values[STATE_ENGAGEMENT_POINTS], false);
	set_param(rulebook, SCORED_TEMPERATURE, ObjectIdGetDatum(label), !OidIsValid(label));
	set_param(rulebook, SCORED_GRADE, row->values[STATE_GRADE], false);
	set_param(rulebook, SCORED_DISQUALIFIED, row->values[STATE_DISQUALIFIED], false);
	set_param(rulebook, SCORED_STAGE, row->values[STATE_STAGE], false);
}

/* What a condition says. */
typedef enum Verdict
{
	HOLDS,
	HOLDS_NOT,
	UNKNOWN						/* the lead cannot be read */
} Verdict;

static Verdict
judge(Staging *staging, const Transition *transition, const StateRow *row)
{
	Rulebook   *rulebook = staging->rulebook;
	RuleFailure failure;
	Datum		value;
	bool		isnull;

	if (transition->skipped)
		return HOLDS_NOT;
	if (transition->condition == NULL)
		return HOLDS;
	if (transition->reads_row && !staging->loaded)
	{
		if (staging->cannot_load || !staging->load(staging->arg))
		{
			staging->cannot_load = true;
			return UNKNOWN;
		}
		staging->loaded = true;
	}
	set_params(rulebook, row);
	if (!evaluate_expression(rulebook, transition->condition, NULL,
							 transition->runs_queries, &value, &isnull, &failure))
	{
		staging->failed = psprintf("condition of transition %s -> %s: %s",
								   lead_stage_label(transition->from),
								   lead_stage_label(transition->to), failure.message);
		staging->failed_code = failure.sqlerrcode;
		return HOLDS_NOT;
	}
	return !isnull && DatumGetBool(value) ? HOLDS : HOLDS_NOT;
}


/* How often a lead was contacted. */
typedef struct Attempts
{
	const char *model;
	const char *lead_key;
	bool		known;			/* a service level counts them */
	int64		n;
} Attempts;

/*
 * As leadscore.attempts() says; as the owner of the history, since whoever moves
 * leads need not be allowed to read that.
 *
 * What an attached model reads is read as the owners of that.  Of another nobody
 * has looked at whose tables those are, and they would be read as the owner of
 * the history, functions in views included: not here.
 */
static void
count_attempts(void *arg)
{
	static Oid	types[] = {TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Attempts   *attempts = (Attempts *) arg;
	Oid			states = state_table_of(attempts->model);
	Datum		values[3];
	Impersonation impersonation;
	Snapshot	snapshot;
	SPIPlanPtr	plan;
	bool		isnull;

	/* until the end of the transaction: nobody is to detach it meanwhile */
	if (OidIsValid(states))
		LockRelationOid(states, AccessShareLock);
	if (!OidIsValid(states) || state_table_of(attempts->model) != states)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("scoring model \"%s\" is not attached", attempts->model),
				 errhint("Call leadscore.attach(%s) first.",
						 quote_literal_cstr(attempts->model))));
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	values[0] = CStringGetTextDatum(attempts->model);
	values[1] = CStringGetTextDatum(attempts->lead_key);
	values[2] = TimestampTzGetDatum(GetCurrentTimestamp());
	impersonate(&impersonation, relation_owner(leadscore_relation("history")),
				"pg_catalog, pg_temp");
	SPI_connect();
	plan = SPI_prepare("SELECT leadscore.attempts($1, $2, $3)", 3, types);
	if (plan == NULL ||
		SPI_execute_snapshot(plan, values, NULL, snapshot, InvalidSnapshot,
							 true, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not count attempts");
	attempts->n = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
											  1, &isnull));
	attempts->known = !isnull;
	SPI_finish();
	impersonate_end(&impersonation);
	UnregisterSnapshot(snapshot);
}

/*
 * Was the lead contacted as often as people have to before they make a move?
 * If not, sets *detail.
 */
static bool
was_contacted(const Staging *staging, const Transition *transition, char **detail)
{
	Attempts	attempts = {staging->model, staging->key_text(staging->arg)};
	ErrorData  *error;

	if (transition->min_attempts == 0)
		return true;
	error = catch_error(count_attempts, &attempts);
	if (error == NULL && attempts.known && attempts.n >= transition->min_attempts)
		return true;
	if (error != NULL)
		*detail = psprintf("How often it was contacted cannot be told: %s.", error->message);
	else if (!attempts.known)
		*detail = psprintf("How often it was contacted cannot be told: no service level of stage %s has a response_activity.",
						lead_stage_label(transition->from));
	else
		*detail = psprintf("Attempts to contact it in stage %s: " INT64_FORMAT " of the %d that the transition of scoring model \"%s\" asks for.",
						lead_stage_label(transition->from), attempts.n,
						transition->min_attempts, staging->model);
	return false;
}


/* --------------------------------------------------------------------
 * Moves
 * --------------------------------------------------------------------
 */

/*
 * A lead enters a stage.
 */
static void
enter(Staging *staging, StateRow *row, LeadStage to, Cause cause, bool automatic,
	  bool listed)
{
	StageMove  *move;

	if (staging->nmoves >= MAX_STAGE_MOVES)
		elog(ERROR, "a lead moves round and round");
	move = &staging->moves[staging->nmoves++];
	move->from = DatumGetLeadStage(row->values[STATE_STAGE]);
	move->to = to;
	move->cause = cause;
	move->automatic = automatic;
	move->listed = listed;
	set_value(row, STATE_STAGE, LeadStageGetDatum(to));
	set_value(row, STATE_STAGE_SINCE, row->values[STATE_SCORED_AT]);
	set_value(row, STATE_REARMED, Int32GetDatum(0));
	set_value(row, STATE_STAGE_SETTLED, BoolGetDatum(false));
	if (!automatic)
	{
		/* a pin is against automation, and for where the lead was */
		row->isnull[STATE_PINNED_UNTIL] = true;
		row->isnull[STATE_PIN_REASON] = true;
	}
}

/*
 * stage_move
 *		Have a lead enter a stage by hand, or since the CRM's status says so.
 *
 * Errors, if it 'must_be_listed': 23514 if the model's transitions do not list
 * the move, its condition does not hold, or the lead was not contacted as often
 * as it asks for; but the way to an exit is open to people whatever makes
 * automation take it.
 */
void
stage_move(Staging *staging, StateRow *row, LeadStage to, Cause cause,
		   bool must_be_listed)
{
	const Funnel *funnel = &staging->rulebook->funnel;
	LeadStage	from = DatumGetLeadStage(row->values[STATE_STAGE]);
	const Transition *transition = find_transition(funnel, from, to);
	bool		listed = transition != NULL || funnel->ntransitions == 0;
	char	   *ways;
	char	   *why;

	if (from == to)
		return;
	if (!must_be_listed)
	{
		enter(staging, row, to, cause, false, listed);
		return;
	}
	ways = funnel_ways_out(funnel, from);
	if (!listed)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("lead %s cannot move from stage %s to %s",
						staging->key_text(staging->arg), lead_stage_label(from),
						lead_stage_label(to)),
				 errdetail("The transitions of scoring model \"%s\" do not list this move.",
						   staging->model),
				 ways != NULL ? errhint("From %s a lead can move to: %s.", lead_stage_label(from), ways) :
				 errhint("From %s a lead cannot move on.", lead_stage_label(from))));
	/* a lead may be given up at any time */
	if (transition != NULL && !LeadStageIsExit(to) && judge(staging, transition, row) != HOLDS)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("lead %s cannot move from stage %s to %s yet",
						staging->key_text(staging->arg), lead_stage_label(from),
						lead_stage_label(to)),
				 errdetail("The condition of this transition of scoring model \"%s\" does not hold: %s",
						   staging->model, transition->text),
				 errhint("From %s a lead can move to: %s.", lead_stage_label(from), ways)));
	if (transition != NULL && !was_contacted(staging, transition, &why))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("lead %s cannot move from stage %s to %s yet",
						staging->key_text(staging->arg), lead_stage_label(from),
						lead_stage_label(to)),
				 errdetail_internal("%s", why),
				 errhint("leadscore.attempts() counts the responses of the stage's service level, leadscore.sla.")));
	enter(staging, row, to, cause, false, true);
}

/*
 * A bit for each stage, to remember the ways out of nurture by, whatever becomes
 * of the other transitions.
 */
static int32
stage_bit(LeadStage stage)
{
	return (int32) ((uint32) 1 << Min(stage / 10, 31));
}

/*
 * May the lead leave nurture by an automatic transition whose condition holds?
 *
 * Only if it did not hold some time since the lead came, or if after the
 * cool-down the lead did something.
 */
static bool
may_leave_nurture(const Staging *staging, const StateRow *row, const Transition *transition)
{
	const Funnel *funnel = &staging->rulebook->funnel;
	TimestampTz cooled = DatumGetTimestampTz(row->values[STATE_STAGE_SINCE]) + funnel->cooldown;

	return (DatumGetInt32(row->values[STATE_REARMED]) & stage_bit(transition->to)) != 0 ||
		(DatumGetTimestampTz(row->values[STATE_SCORED_AT]) >= cooled &&
		 staging->last_seen >= cooled);
}

/*
 * The automatic transition that the lead is to make next; NULL: none.  Sets
 * *unknown if that cannot be told of some.
 *
 * Of a lead in nurture it is remembered which did not hold.
 */
static const Transition *
find_way_out(Staging *staging, StateRow *row, bool *unknown)
{
	const Funnel *funnel = &staging->rulebook->funnel;
	LeadStage	from = DatumGetLeadStage(row->values[STATE_STAGE]);
	const Transition *to = NULL;
	const Transition *transition = NULL;

	while ((transition = next_transition(funnel, from, transition)) != NULL)
	{
		LeadStage	first;
		Verdict		verdict;

		/* where the CRM is the master we move within its status */
		if (funnel->follows && funnel->has_status &&
			(row->isnull[STATE_STATUS] ||
			 !funnel_status_means(funnel, TextDatumGetCString(row->values[STATE_STATUS]),
								  transition->to, &first)))
			continue;
		if (to != NULL && from != LEAD_STAGE_NURTURE)
			break;
		verdict = judge(staging, transition, row);
		*unknown |= verdict == UNKNOWN;
		if (verdict == HOLDS && to == NULL &&
			(from != LEAD_STAGE_NURTURE || may_leave_nurture(staging, row, transition)))
			to = transition;
		if (verdict == HOLDS_NOT && from == LEAD_STAGE_NURTURE)
			set_value(row, STATE_REARMED,
					  Int32GetDatum(DatumGetInt32(row->values[STATE_REARMED]) |
									stage_bit(transition->to)));
	}
	return to;
}

/*
 * Has automation just led the lead out of a stage?
 */
static bool
was_left(const Staging *staging, LeadStage stage)
{
	for (int i = 0; i < staging->nmoves; i++)
	{
		if (staging->moves[i].automatic && staging->moves[i].from == stage)
			return true;
	}
	return false;
}

/*
 * Make the automatic transitions whose conditions hold.  Should they lead round
 * and round, the lead stays where it is.
 */
static void
move_automatically(Staging *staging, StateRow *row)
{
	const StateRow start = *row;
	int			nmoves = staging->nmoves;
	bool		unknown = false;
	const Transition *to;

	while ((to = find_way_out(staging, row, &unknown)) != NULL)
	{
		if (was_left(staging, to->to))
		{
			staging->failed = psprintf("automatic transitions lead round and round: from %s back to %s",
									   lead_stage_label(to->from), lead_stage_label(to->to));
			staging->failed_code = ERRCODE_INVALID_OBJECT_DEFINITION;
			staging->nmoves = nmoves;
			*row = start;
			break;
		}
		enter(staging, row, to->to, staging->cause, true, true);
	}
	set_value(row, STATE_STAGE_SETTLED, BoolGetDatum(!unknown));
}

/*
 * Does a row say the same as another of all that conditions on moves read of
 * the score?
 */
static bool
says_the_same(const Rulebook *rulebook, const StateRow *a, const StateRow *b)
{
	const Funnel *funnel = &rulebook->funnel;
	double		raw[2];
	double		engagement[2];
	const StateRow *rows[2] = {a, b};

	for (int i = 0; i < 2; i++)
	{
		engagement[i] = DatumGetFloat8(rows[i]->values[STATE_ENGAGEMENT_POINTS]);
		raw[i] = clamp(DatumGetFloat8(rows[i]->values[STATE_FIT]) + engagement[i],
					   rulebook->score_min, rulebook->score_max);
	}
	return DatumGetFloat8(a->values[STATE_FIT]) == DatumGetFloat8(b->values[STATE_FIT]) &&
		DatumGetBool(a->values[STATE_DISQUALIFIED]) == DatumGetBool(b->values[STATE_DISQUALIFIED]) &&
		strcmp(TextDatumGetCString(a->values[STATE_TEMPERATURE]),
			   TextDatumGetCString(b->values[STATE_TEMPERATURE])) == 0 &&
		strcmp(TextDatumGetCString(a->values[STATE_GRADE]),
			   TextDatumGetCString(b->values[STATE_GRADE])) == 0 &&
		levels_reached(&funnel->score_levels, raw[0], SCORE_EPSILON) ==
		levels_reached(&funnel->score_levels, raw[1], SCORE_EPSILON) &&
		levels_reached(&funnel->engagement_levels, engagement[0], 0) ==
		levels_reached(&funnel->engagement_levels, engagement[1], 0);
}

/*
 * Is the lead to be left alone by automation?
 */
static bool
is_pinned(const StateRow *row)
{
	return !row->isnull[STATE_PINNED_UNTIL] &&
		DatumGetTimestampTz(row->values[STATE_PINNED_UNTIL]) >
		DatumGetTimestampTz(row->values[STATE_SCORED_AT]);
}

/*
 * The status was written back by us, in the same statement: it shows where
 * automation has led the lead, from where it was or where it starts.
 */
static bool
retrace_automation(Staging *staging, const StateRow *old, StateRow *row, const char *status)
{
	Staging		attempt = *staging;
	StateRow	moved = *row;
	LeadStage	first;

	if (!staging->may_move || is_pinned(row))
		return false;
	if (old == NULL)
		set_value(&moved, STATE_STAGE, LeadStageGetDatum(staging->rulebook->initial_stage));
	move_automatically(&attempt, &moved);
	if (!funnel_status_means(&staging->rulebook->funnel, status,
							 DatumGetLeadStage(moved.values[STATE_STAGE]), &first))
		return false;
	*staging = attempt;
	*row = moved;
	return true;
}

/*
 * The same of a lead that was moved by hand first.
 */
static bool
retrace(Staging *staging, StateRow *row, const char *status)
{
	const Funnel *funnel = &staging->rulebook->funnel;
	LeadStage	from = DatumGetLeadStage(row->values[STATE_STAGE]);
	LeadStage	first;

	for (int i = 0; i < funnel->ntransitions; i++)
	{
		const Transition *transition = &funnel->transitions[i];
		Staging		attempt = *staging;
		StateRow	moved = *row;

		if (transition->from != from || judge(&attempt, transition, &moved) != HOLDS)
			continue;
		enter(&attempt, &moved, transition->to, CAUSE_STATUS, false, true);
		move_automatically(&attempt, &moved);
		if (!funnel_status_means(funnel, status, DatumGetLeadStage(moved.values[STATE_STAGE]), &first))
			continue;
		*staging = attempt;
		*row = moved;
		return true;
	}
	return false;
}

/*
 * Enter the stage that the CRM's status asks for.
 */
static void
follow_status(Staging *staging, const StateRow *old, StateRow *row)
{
	const Funnel *funnel = &staging->rulebook->funnel;
	LeadStage	stage = DatumGetLeadStage(row->values[STATE_STAGE]);
	LeadStage	first;
	bool		changed;
	char	   *status;

	if (row->isnull[STATE_STATUS])
		return;
	status = TextDatumGetCString(row->values[STATE_STATUS]);
	changed = old == NULL || old->isnull[STATE_STATUS] ||
		strcmp(TextDatumGetCString(old->values[STATE_STATUS]), status) != 0;
	if (staging->written_back && changed && retrace_automation(staging, old, row, status))
		return;
	if (funnel_status_means(funnel, status, stage, &first))
		return;
	if (first == 0)
	{
		staging->unmapped = status;
		return;
	}
	/* a new lead has started in the stage of its status */
	if (old == NULL ||
		(!changed && !(staging->cause == CAUSE_RULES && funnel->follows && staging->may_move)))
		return;
	if (funnel->follows)
		stage_move(staging, row, first, CAUSE_STATUS, false);
	else if (staging->written_back && find_transition(funnel, stage, first) == NULL &&
			 retrace(staging, row, status))
		return;
	else if (staging->refuses)
		stage_move(staging, row, first, CAUSE_STATUS, true);
	else
	{
		/* nobody is there to be told: keep the stage */
		staging->failed = psprintf("status \"%s\" stands for stage %s, but the lead is in %s",
								   status, lead_stage_label(first), lead_stage_label(stage));
		staging->failed_code = ERRCODE_CHECK_VIOLATION;
	}
}

/* --------------------------------------------------------------------
 * Announcing
 * --------------------------------------------------------------------
 */

static const Grade *
find_temperature(const Rulebook *rulebook, const char *label)
{
	for (int i = 0; i < rulebook->temperatures.n; i++)
	{
		if (strcmp(rulebook->temperatures.grades[i].label, label) == 0)
			return &rulebook->temperatures.grades[i];
	}
	return NULL;
}

/*
 * The temperature to be announced of a lead that was announced as 'announced':
 * upwards as soon as it is there, downwards only once the score has fallen below
 * the threshold by more than its margin.
 */
static char *
temperature_to_announce(const Rulebook *rulebook, const char *announced,
						const StateRow *row)
{
	static const char *const labels[] = {"cold", "warm", "hot"};
	char	   *now = TextDatumGetCString(row->values[STATE_TEMPERATURE]);
	double		raw = clamp(DatumGetFloat8(row->values[STATE_FIT]) +
							DatumGetFloat8(row->values[STATE_ENGAGEMENT_POINTS]),
							rulebook->score_min, rulebook->score_max);
	int			at = 0;
	int			is = 0;

	for (int i = 0; i < lengthof(labels); i++)
	{
		if (strcmp(labels[i], announced) == 0)
			at = i;
		if (strcmp(labels[i], now) == 0)
			is = i;
	}
	if (DatumGetBool(row->values[STATE_DISQUALIFIED]))
		return now;
	while (at > is)
	{
		const Grade *grade = find_temperature(rulebook, labels[at]);

		if (grade != NULL && raw + SCORE_EPSILON >= grade->at_least - grade->margin)
			break;
		at--;
	}
	return pstrdup(labels[Max(at, is)]);
}

/*
 * stage_settle
 *		Bring the stage of a lead up to date, given its state as it was (NULL:
 *		it is new) and as it is about to be.
 *
 * Errors: 23514 if the CRM's status, in lead mode, asks for a move that the
 * model's transitions do not list.
 */
void
stage_settle(Staging *staging, const StateRow *old, StateRow *row)
{
	Rulebook   *rulebook = staging->rulebook;
	const Funnel *funnel = &rulebook->funnel;
	LeadStage	stage;
	char	   *announced;

	if (!DatumGetBool(row->values[STATE_LEAD_EXISTS]))
		return;
	if (funnel->status != NULL)
		follow_status(staging, old, row);
	stage = DatumGetLeadStage(row->values[STATE_STAGE]);
	if (!staging->may_move)
	{
		/* whoever comes by next makes what moves there are */
		if (old != NULL && !says_the_same(rulebook, old, row))
			set_value(row, STATE_STAGE_SETTLED, BoolGetDatum(false));
	}
	else if (next_transition(funnel, stage, NULL) == NULL)
		set_value(row, STATE_STAGE_SETTLED, BoolGetDatum(true));
	else if (is_pinned(row))
	{
		bool		unknown = false;

		/* the pin is no reason to forget what did not hold meanwhile */
		if (stage == LEAD_STAGE_NURTURE)
			(void) find_way_out(staging, row, &unknown);
		set_value(row, STATE_STAGE_SETTLED, BoolGetDatum(false));
	}
	else if (old == NULL || staging->loaded || stage == LEAD_STAGE_NURTURE ||
			 staging->nmoves > 0 ||
			 !DatumGetBool(row->values[STATE_STAGE_SETTLED]) ||
			 !says_the_same(rulebook, old, row))
		move_automatically(staging, row);

	announced = temperature_to_announce(rulebook,
										old == NULL ? "cold" :
										TextDatumGetCString(row->values[STATE_ANNOUNCED]), row);
	if (old == NULL ? strcmp(announced, "cold") != 0 :
		strcmp(announced, TextDatumGetCString(row->values[STATE_ANNOUNCED])) != 0)
		staging->announced = true;
	set_value(row, STATE_ANNOUNCED, CStringGetTextDatum(announced));

	/* automation goes on as the pin expires */
	if (!row->isnull[STATE_PINNED_UNTIL])
	{
		TimestampTz until = DatumGetTimestampTz(row->values[STATE_PINNED_UNTIL]);

		if (until > DatumGetTimestampTz(row->values[STATE_SCORED_AT]) &&
			!TIMESTAMP_NOT_FINITE(until) &&
			(row->isnull[STATE_NEXT_CHANGE_AT] ||
			 until < DatumGetTimestampTz(row->values[STATE_NEXT_CHANGE_AT])))
			set_value(row, STATE_NEXT_CHANGE_AT, TimestampTzGetDatum(until));
	}
}
