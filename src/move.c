/*-------------------------------------------------------------------------
 *
 * move.c
 *	  Leads that people move, pin, accept and reject.
 *
 * Whoever may change a lead's row may move the lead: the row is locked by a
 * query of the caller's own, so that privileges and row security are those of
 * the CRM's table, and then the state, in the same order as writers of the lead
 * take them.
 *
 * Two triggers guard stages that are written otherwise: guard_state() on the
 * state table, and guard_stage() on a table of the CRM's own that has a column
 * of type lead_stage.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "event.h"
#include "move.h"
#include "scorer.h"
#include "source.h"


/* --------------------------------------------------------------------
 * By hand
 * --------------------------------------------------------------------
 */

/*
 * The scorer of an attached model.
 */
static Scorer *
require_scorer(const char *model)
{
	Scorer	   *scorer;

	PushActiveSnapshot(GetLatestSnapshot());
	scorer = scorer_attachment(model);
	PopActiveSnapshot();
	if (scorer == NULL)
	{
		bool		known = has_row_for_model("model", model);

		ereport(ERROR,
				(errcode(known ? ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE : ERRCODE_UNDEFINED_OBJECT),
				 known ? errmsg("scoring model \"%s\" is not attached", model) :
				 errmsg("scoring model \"%s\" does not exist", model),
				 known ? errhint("Call leadscore.attach(%s) first.", quote_literal_cstr(model)) :
				 errhint("The table leadscore.model lists the models.")));
	}
	scorer = scorer_create(model);
	if (scorer->rulebook == NULL || scorer->states->key_index < 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("scoring model \"%s\" cannot score", model),
				 errhint("leadscore.doctor(%s) tells what is wrong.", quote_literal_cstr(model))));
	return scorer;
}

/*
 * lock_lead
 *		Lock a lead's row, as the caller.  Takes a scorer without rules as well.
 *		Errors: P0002 there is none that he may change, 42501 he may change none.
 */
void
lock_lead(Scorer *scorer, Oid key_type, Datum key)
{
	const char *target = qualified_relation_name(scorer->target);

	if (relation_lock_rows(scorer->target, psprintf("%s lock", scorer->model),
						   psprintf("SELECT FROM %s t WHERE t.%s OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE",
									target, quote_identifier(scorer->key_column)),
						   key_type, key) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("lead %s of scoring model \"%s\" does not exist",
						key_text(key, key_type), scorer->model),
				 errdetail("Table %s has no such row that you may change.",
						   target)));
}

/*
 * Change a lead by hand.  Arguments of the function: model, key.
 */
static void
change_lead(FunctionCallInfo fcinfo, ScorerChange *change,
			LeadStage (*target) (const char *model, const Funnel *funnel))
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "leadscore move",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Scorer	   *scorer = require_scorer(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 1);
	Datum		key;
	bool		known;

	if (target != NULL)
	{
		change->only_from = scorer->rulebook->funnel.handoff_stage;
		change->move_to = target(scorer->model, &scorer->rulebook->funnel);
	}
	if (!convert_key(PG_GETARG_DATUM(1), type, scorer->key_type, &key))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("lead %s of scoring model \"%s\" does not exist",
						key_text(PG_GETARG_DATUM(1), type), scorer->model),
				 errdetail("The keys of its leads are of type %s.",
						   format_type_be(scorer->key_type))));
	lock_lead(scorer, scorer->key_type, key);
	change->at = GetCurrentTimestamp();
	change->writes_back = true;
	(void) scorer_rescore_as_of(scorer, key, change, false, NULL);

	state_table_open(scorer->states);
	{
		StateRow	row;

		/* one that had to be read, and could not be, has not been moved */
		known = change->moved_to != 0 &&
			state_find(scorer->states, key, false, NULL, &row) &&
			DatumGetBool(row.values[STATE_LEAD_EXISTS]);
	}
	state_table_close(scorer->states);
	if (!known)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("lead %s of scoring model \"%s\" has no state",
						key_to_text(scorer, key), scorer->model),
				 errdetail("The model's source has no row for it, or could not be read.")));
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

static char *
optional_text(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

/*
 * Model and key must be given, and what else the function needs, if anything.
 */
static void
require_arguments(FunctionCallInfo fcinfo, const char *function, const char *third)
{
	for (int i = 0; i < (third != NULL ? 3 : 2); i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 third != NULL ? errmsg("%s() needs a model, the key of a lead, and %s", function, third) :
					 errmsg("%s() needs a model and the key of a lead", function)));
	}
}

/*
 * leadscore.move(model text, lead_key anyelement, stage lead_stage, reason text)
 *		Moves a lead along the transitions of its model, and then on by itself
 *		as far as automatic ones lead; returns where it is.  Errors: 22004 an
 *		argument but the reason is NULL, 42704 unknown model, 55000 not
 *		attached, P0002 no such lead, 42501 the caller may not change it, 23514
 *		the move is not listed, or its condition does not hold.
 */
PG_FUNCTION_INFO_V1(leadscore_move);
Datum
leadscore_move(PG_FUNCTION_ARGS)
{
	ScorerChange change = {.cause = CAUSE_MANUAL};

	require_arguments(fcinfo, "move", "where to");
	change.move_to = PG_GETARG_LEAD_STAGE(2);
	change.reason = optional_text(fcinfo, 3);
	change_lead(fcinfo, &change, NULL);
	PG_RETURN_LEAD_STAGE(change.moved_to);
}

/*
 * leadscore.pin(model text, lead_key anyelement, until timestamptz, reason text)
 *		Keeps automatic transitions off a lead.  Errors: 22004 an argument but
 *		the reason is NULL, 22023 the time has passed, and as of move().
 */
PG_FUNCTION_INFO_V1(leadscore_pin);
Datum
leadscore_pin(PG_FUNCTION_ARGS)
{
	ScorerChange change = {.cause = CAUSE_PIN,.pins = true};

	require_arguments(fcinfo, "pin", "until when");
	change.pin_until = PG_GETARG_TIMESTAMPTZ(2);
	change.reason = optional_text(fcinfo, 3);
	if (change.pin_until <= GetCurrentTimestamp())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a lead cannot be pinned until a time that has passed"),
				 errhint("Use 'infinity' for as long as nobody unpins it.")));
	change_lead(fcinfo, &change, NULL);
	PG_RETURN_VOID();
}

/*
 * leadscore.unpin(model text, lead_key anyelement, reason text)
 *		Lets automatic transitions go on; returns where the lead is then.
 *		Errors: as of move().
 */
PG_FUNCTION_INFO_V1(leadscore_unpin);
Datum
leadscore_unpin(PG_FUNCTION_ARGS)
{
	ScorerChange change = {.cause = CAUSE_UNPIN,.pins = true,.pin_until = DT_NOBEGIN};

	require_arguments(fcinfo, "unpin", NULL);
	change.reason = optional_text(fcinfo, 2);
	change_lead(fcinfo, &change, NULL);
	PG_RETURN_LEAD_STAGE(change.moved_to);
}

/*
 * Where a lead goes that sales accepts: the next stage along the funnel.
 */
static LeadStage
accepted_stage(const char *model, const Funnel *funnel)
{
	if (!funnel->has_handoff)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("scoring model \"%s\" has no stage in which leads are handed over", model),
				 errhint("Set handoff_stage in leadscore.model.")));
	for (int i = 0; i < funnel->ntransitions; i++)
	{
		if (funnel->transitions[i].from == funnel->handoff_stage &&
			funnel->transitions[i].to > funnel->handoff_stage)
			return funnel->transitions[i].to;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("no transition of scoring model \"%s\" leads on from stage %s",
					model, lead_stage_label(funnel->handoff_stage)),
			 errhint("Add one to leadscore.transition.")));
	return 0;					/* keep compiler quiet */
}

static LeadStage
rejected_stage(const char *model, const Funnel *funnel)
{
	(void) accepted_stage(model, funnel);
	return LEAD_STAGE_NURTURE;
}

/*
 * leadscore.accept(model text, lead_key anyelement, reason text)
 *		Sales takes over a lead that was handed over; returns where it is.
 *		Errors: 55000 it is not waiting for that, and as of move().
 */
PG_FUNCTION_INFO_V1(leadscore_accept);
Datum
leadscore_accept(PG_FUNCTION_ARGS)
{
	ScorerChange change = {.cause = CAUSE_ACCEPT};

	require_arguments(fcinfo, "accept", NULL);
	change.reason = optional_text(fcinfo, 2);
	change_lead(fcinfo, &change, accepted_stage);
	PG_RETURN_LEAD_STAGE(change.moved_to);
}

/*
 * leadscore.reject(model text, lead_key anyelement, reason text)
 *		Sales gives a lead back, which goes to nurture; returns where it is.
 *		Errors: 22004 no reason given, 55000 it is not waiting to be accepted,
 *		and as of move().
 */
PG_FUNCTION_INFO_V1(leadscore_reject);
Datum
leadscore_reject(PG_FUNCTION_ARGS)
{
	ScorerChange change = {.cause = CAUSE_REJECT};

	require_arguments(fcinfo, "reject", NULL);
	change.reason = optional_text(fcinfo, 2);
	if (change.reason == NULL || change.reason[strspn(change.reason, " \t\n")] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("reject() needs a reason"),
				 errdetail("Marketing learns from it which leads sales does not want.")));
	change_lead(fcinfo, &change, rejected_stage);
	PG_RETURN_LEAD_STAGE(change.moved_to);
}


/* --------------------------------------------------------------------
 * Guards
 * --------------------------------------------------------------------
 */

/*
 * leadscore.guard_state(): trigger BEFORE UPDATE FOR EACH ROW on a state table
 *		A stage that is written into the state table itself passes only along
 *		the model's transitions, as by move().  Argument: the model.  Errors:
 *		23514 the move is not listed, or its condition does not hold.
 */
PG_FUNCTION_INFO_V1(leadscore_guard_state);
Datum
leadscore_guard_state(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	static const StateColumn set[] = {
		STATE_STAGE, STATE_STAGE_SINCE, STATE_HISTORY_AT, STATE_REARMED, STATE_STAGE_SETTLED,
		STATE_PINNED_UNTIL, STATE_PIN_REASON, STATE_ANNOUNCED, STATE_HAS_PROBLEM
	};
	int			columns[lengthof(set)];
	Datum		values[lengthof(set)];
	bool		nulls[lengthof(set)];
	Scorer	   *scorer;
	StateTable *states;
	StateRow	before = {0};
	StateRow	row;
	Datum		stage;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ||
		trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by the trigger it is made for",
						"guard_state"),
				 errhint("Use leadscore.attach() to create its triggers.")));
	scorer = require_scorer(trigger->tg_trigger->tgargs[0]);
	states = scorer->states;
	if (states->relid != RelationGetRelid(trigger->tg_relation))
		return PointerGetDatum(trigger->tg_newtuple);

	state_row_of_tuple(states, trigger->tg_trigtuple, &before);
	stage = heap_getattr(trigger->tg_newtuple, states->columns[STATE_STAGE],
						 RelationGetDescr(trigger->tg_relation), &isnull);
	if (isnull || DatumGetLeadStage(stage) == DatumGetLeadStage(before.values[STATE_STAGE]) ||
		!DatumGetBool(before.values[STATE_LEAD_EXISTS]))
		return PointerGetDatum(trigger->tg_newtuple);
	row = before;
	scorer_tell_move(scorer, before.values[STATE_LEAD_KEY], &before, &row, DatumGetLeadStage(stage));
	for (int i = 0; i < lengthof(set); i++)
	{
		columns[i] = states->columns[set[i]];
		values[i] = row.values[set[i]];
		nulls[i] = row.isnull[set[i]];
	}
	return PointerGetDatum(heap_modify_tuple_by_cols(trigger->tg_newtuple,
													 RelationGetDescr(trigger->tg_relation),
													 lengthof(set), columns, values, nulls));
}

/*
 * The column of a table that guard_stage() is for.
 */
static AttrNumber
stage_column(TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	Oid			type = leadscore_type("lead_stage");
	AttrNumber	column = InvalidAttrNumber;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped || att->atttypid != type)
			continue;
		if (trigger->tg_trigger->tgnargs > 1)
		{
			if (strcmp(NameStr(att->attname), trigger->tg_trigger->tgargs[1]) == 0)
				return i + 1;
			continue;
		}
		if (column != InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_AMBIGUOUS_COLUMN),
					 errmsg("table \"%s\" has several columns of type lead_stage",
							RelationGetRelationName(trigger->tg_relation)),
					 errhint("Name the column: leadscore.guard_stage('model', 'column').")));
		column = i + 1;
	}
	if (column == InvalidAttrNumber && trigger->tg_trigger->tgnargs > 1)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\" of type lead_stage",
						RelationGetRelationName(trigger->tg_relation),
						trigger->tg_trigger->tgargs[1])));
	if (column == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column of type lead_stage",
						RelationGetRelationName(trigger->tg_relation)),
				 errhint("Put the trigger on a table that has one.")));
	return column;
}

/* The lead of guard_stage(), for stage.c. */
typedef struct GuardedLead
{
	Scorer	   *scorer;
	Datum		key;
	const char *text;
} GuardedLead;

static const char *
guarded_key(void *arg)
{
	return ((GuardedLead *) arg)->text;
}

static bool
load_guarded(void *arg)
{
	GuardedLead *lead = (GuardedLead *) arg;

	return scorer_read(lead->scorer, lead->key) == READ_FOUND;
}

/*
 * What judges a move of a lead whose model may be attached or not.
 */
static Scorer *
scorer_for_guard(const char *model)
{
	Scorer	   *scorer;

	PushActiveSnapshot(GetLatestSnapshot());
	scorer = scorer_attachment(model);
	PopActiveSnapshot();
	return scorer != NULL ? require_scorer(model) : scorer_unattached(model);
}

/*
 * Whoever owns a table can hang guard_stage() on it: of leads that are not his
 * it tells nothing.
 */
static void
require_own_leads(const Scorer *scorer, Relation rel)
{
	if (RelationGetRelid(rel) == scorer->target ||
		typeInheritsFrom(rel->rd_rel->reltype, get_rel_type_id(scorer->target)) ||
		has_privs_of_role(rel->rd_rel->relowner, relation_owner(scorer->target)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for the leads of scoring model \"%s\"", scorer->model),
			 errdetail("A trigger with guard_stage() is on table \"%s\".",
					   RelationGetRelationName(rel)),
			 errhint("Its owner has to own table %s as well.",
					 qualified_relation_name(scorer->target))));
}

/*
 * Put the new row into the rulebook's slot; false if it is no row of the
 * model's source.
 */
static bool
fill_from_trigger(Rulebook *rulebook, TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	Oid			relid = RelationGetRelid(trigger->tg_relation);

	if (relid != rulebook->source &&
		!typeInheritsFrom(trigger->tg_relation->rd_rel->reltype, rulebook->rowtype))
		return false;
	for (int i = 0; i < rulebook->ncapture_columns; i++)
	{
		int			column = rulebook->capture_columns[i] - 1;
		AttrNumber	from = get_attnum(relid, NameStr(TupleDescAttr(rulebook->tupdesc, column)->attname));

		if (from <= 0 ||
			TupleDescAttr(desc, from - 1)->atttypid != TupleDescAttr(rulebook->tupdesc, column)->atttypid)
			return false;
		rulebook->slot->tts_values[column] =
			heap_getattr(trigger->tg_newtuple, from, desc, &rulebook->slot->tts_isnull[column]);
	}
	return true;
}

/*
 * leadscore.guard_stage(): trigger BEFORE UPDATE FOR EACH ROW on a table of
 * the CRM's own with a column of type lead_stage
 *		The stage passes only along the transitions of a model.  Arguments: the
 *		model, and the column if there are several of the type.  The model need
 *		not be attached; the score that conditions read is that of the new row,
 *		with what the lead did if it is.  Errors: 42704 unknown model, 42703 no
 *		such column, 42702 several, 42501 the model's leads are of another owner,
 *		23514 the move is not listed, or its condition does not hold.
 */
PG_FUNCTION_INFO_V1(leadscore_guard_stage);
Datum
leadscore_guard_stage(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	MemoryContext context;
	MemoryContext caller;
	AttrNumber	column;
	TupleDesc	desc;
	Datum		old_stage;
	Datum		new_stage;
	bool		old_isnull;
	bool		new_isnull;
	GuardedLead lead;
	Staging		staging = {0};
	Scorer	   *scorer;
	Rulebook   *rulebook;
	StateRow	row;
	Datum		key = (Datum) 0;
	bool		key_isnull = true;
	AttrNumber	key_column;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired BEFORE UPDATE for each row", "guard_stage")));
	if (trigger->tg_trigger->tgnargs < 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" must name a scoring model", trigger->tg_trigger->tgname),
				 errhint("Write EXECUTE FUNCTION leadscore.guard_stage('model').")));
	column = stage_column(trigger);
	desc = RelationGetDescr(trigger->tg_relation);
	old_stage = heap_getattr(trigger->tg_trigtuple, column, desc, &old_isnull);
	new_stage = heap_getattr(trigger->tg_newtuple, column, desc, &new_isnull);
	if (old_isnull || (!new_isnull && DatumGetLeadStage(old_stage) == DatumGetLeadStage(new_stage)))
		return PointerGetDatum(trigger->tg_newtuple);
	if (new_isnull)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("a lead cannot leave stage %s for none",
						lead_stage_label(DatumGetLeadStage(old_stage))),
				 errhint("Write the stage that it moves to.")));

	context = AllocSetContextCreate(CurrentMemoryContext, "leadscore guard",
									ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	scorer = scorer_for_guard(trigger->tg_trigger->tgargs[0]);
	if (scorer->states != NULL)
		require_own_leads(scorer, trigger->tg_relation);
	rulebook = scorer->rulebook;
	key_column = rulebook->key_column > 0 ?
		get_attnum(RelationGetRelid(trigger->tg_relation),
				   NameStr(TupleDescAttr(rulebook->tupdesc, rulebook->key_column - 1)->attname)) : 0;
	if (key_column > 0)
		key = heap_getattr(trigger->tg_newtuple, key_column, desc, &key_isnull);
	lead.scorer = scorer;
	lead.key = key;
	lead.text = key_isnull ? "?" : key_text(key, TupleDescAttr(desc, key_column - 1)->atttypid);
	staging.rulebook = rulebook;
	staging.model = rulebook->model;
	staging.key_text = guarded_key;
	staging.load = load_guarded;
	staging.arg = &lead;
	staging.cause = CAUSE_ROW;
	staging.cannot_load = scorer->states == NULL || key_isnull ||
		!same_key_type(TupleDescAttr(desc, key_column - 1)->atttypid, scorer->key_type);
	staging.loaded = fill_from_trigger(rulebook, trigger);
	if (staging.loaded)
		scorer_evaluate(scorer, key, true, &row);
	else
	{
		scorer_unknown_lead(scorer, key, GetCurrentTimestamp(), &row);
		scorer_apply(scorer, &row, scorer_nothing_done(scorer), GetCurrentTimestamp(), DT_NOEND);
	}
	scorer_add_stored(scorer, !staging.cannot_load, key, staging.loaded, &row);
	set_value(&row, STATE_STAGE, old_stage);
	stage_move(&staging, &row, DatumGetLeadStage(new_stage), CAUSE_MANUAL, true);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);

	return PointerGetDatum(trigger->tg_newtuple);
}
