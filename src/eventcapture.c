/*-------------------------------------------------------------------------
 *
 * eventcapture.c
 *	  Triggers on the tables of events.
 *
 * capture_activity()	AFTER each row, and BEFORE TRUNCATE, on a table of events
 *
 * They fire ALWAYS, on behalf of whoever writes, and only collect (collect.c);
 * the leads' states are written as the transaction commits (fold.c).  An event
 * that is inserted is added.  One that is changed or deleted cannot be
 * subtracted from a sum without losing digits: what its lead did is made anew
 * from history, unless the change makes no difference.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/htup_details.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "capture.h"
#include "collect.h"
#include "problem.h"
#include "recall.h"
#include "source.h"

/* What a trigger knows of its table. */
typedef struct EventTable
{
	Scorer	   *scorer;
	Rulebook   *rulebook;		/* NULL: there is nothing to do */
	ActivitySource *activity;
	int32		number;			/* of the activity source */
	Oid			key_type;
	AttrNumber *map;			/* column of each that the expressions read */
	AttrNumber	last_column;	/* the last of them */
	MemoryContext row_context;
} EventTable;


/*
 * Learn how a table's rows map to the columns that the expressions read.
 */
static bool
map_events(EventTable *table, Relation rel)
{
	ActivitySource *activity = table->activity;
	TupleDesc	desc = RelationGetDescr(rel);

	/* whoever owns a table can hang the function on it: not these events */
	if (RelationGetRelid(rel) != activity->relation &&
		!typeInheritsFrom(rel->rd_rel->reltype, activity->rowtype))
		return false;
	table->map = palloc0(sizeof(AttrNumber) * (activity->ncolumns + 1));
	for (int i = 0; i < activity->ncolumns; i++)
	{
		Form_pg_attribute wanted = TupleDescAttr(activity->tupdesc,
												 activity->columns[i] - 1);

		for (int j = 0; j < desc->natts && table->map[i] == 0; j++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, j);

			if (!att->attisdropped && att->atttypid == wanted->atttypid &&
				strcmp(NameStr(att->attname), NameStr(wanted->attname)) == 0)
				table->map[i] = j + 1;
		}
		if (table->map[i] == 0)
		{
			note_problem(table->scorer->model, NO_RULE, NULL, ERRCODE_UNDEFINED_COLUMN,
						 psprintf("column \"%s\" of events is gone or of another type",
								  NameStr(wanted->attname)));
			return false;
		}
		table->last_column = Max(table->last_column, table->map[i]);
	}
	return true;
}

/*
 * What the trigger at hand needs; NULL if it has nothing to do.
 */
static EventTable *
get_event_table(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	EventTable *table = (EventTable *) fcinfo->flinfo->fn_extra;

	if (restores_leads())
		return NULL;
	if (table == NULL)
	{
		MemoryContext context = fcinfo->flinfo->fn_mcxt;
		MemoryContext caller = MemoryContextSwitchTo(context);
		Rulebook   *rulebook;

		table = palloc0(sizeof(EventTable));
		table->scorer = statement_scorer(context, trigger->tg_trigger->tgargs[0]);
		rulebook = table->scorer->rulebook;
		for (int i = 0; rulebook != NULL && i < rulebook->nactivities; i++)
		{
			if (strcmp(rulebook->activities[i].name, trigger->tg_trigger->tgargs[1]) != 0 ||
				!rulebook->activities[i].usable || rulebook->activities[i].nrules == 0 ||
				rulebook->key_column == 0)
				continue;
			table->activity = &rulebook->activities[i];
			table->number = i;
			table->key_type = TupleDescAttr(rulebook->tupdesc,
											rulebook->key_column - 1)->atttypid;
			if (map_events(table, trigger->tg_relation))
				table->rulebook = rulebook;
		}
		table->row_context = AllocSetContextCreate(context, "leadscore event",
												   ALLOCSET_SMALL_SIZES);
		fcinfo->flinfo->fn_extra = table;
		MemoryContextSwitchTo(caller);
	}
	return table->rulebook != NULL ? table : NULL;
}

/*
 * Note what failed on an event, for its lead; what failed on a version that
 * goes is over.
 */
static void
note_failures(EventTable *table, int nfailures, const RuleFailure *failures, bool is_new)
{
	const char *model = table->scorer->model;
	char	   *whose = event_whose(table->rulebook, table->activity);

	for (int i = 0; i < nfailures; i++)
	{
		const RuleFailure *failure = &failures[i];
		int64		rule = failure->rule < 0 ? NO_RULE : table->rulebook->rules[failure->rule].id;

		if (!is_new && rule != NO_RULE)
			clear_rule_problem(model, whose != NULL ? whose : "unknown", rule);
		else if (is_new && rule != NO_RULE)
			note_problem(model, rule, whose != NULL ? whose : "unknown",
						 failure->sqlerrcode, failure->message);
		else if (is_new)
			note_problem(model, NO_RULE, NULL, failure->sqlerrcode,
						 psprintf("events of activity source \"%s\" cannot be read: %s",
								  table->activity->name, failure->message));
	}
}

/*
 * What a version of a row says; 'is_new' if it is the one that stays.
 */
static void
read_version(EventTable *table, TupleTableSlot *row, bool is_new, Event *event)
{
	ActivitySource *activity = table->activity;
	RuleFailure *failures;
	int			nfailures;

	slot_getsomeattrs(row, table->last_column);
	for (int i = 0; i < activity->ncolumns; i++)
	{
		int			to = activity->columns[i] - 1;

		activity->slot->tts_values[to] = row->tts_values[table->map[i] - 1];
		activity->slot->tts_isnull[to] = row->tts_isnull[table->map[i] - 1];
	}
	nfailures = event_read(table->rulebook, activity, event, &failures);
	if (nfailures > 0)
		note_failures(table, nfailures, failures, is_new);
}

/*
 * Whose event it is: a key, or a value; false if nobody's.
 */
static bool
find_lead(EventTable *table, const Event *event, Datum *key, char **value)
{
	*key = (Datum) 0;
	*value = NULL;
	if (!event->counts)
		return false;
	if (event->match != NULL)
	{
		*value = tagged_match_value(table->rulebook, table->activity->match, event->match);
		return true;
	}
	return convert_key(event->lead_key, table->activity->lead_key_type,
					   table->key_type, key);
}

static void
add_event(EventTable *table, const Event *event)
{
	Datum		key;
	char	   *value;

	if (find_lead(table, event, &key, &value))
		collect_event(table->scorer->model, table->key_type, key, value,
					  table->rulebook, table->number, event);
}

static void
recompute_lead(EventTable *table, const Event *event)
{
	Datum		key;
	char	   *value;

	if (find_lead(table, event, &key, &value))
		collect_recompute(table->scorer->model, table->key_type, key, value);
}

static void
event_changed(EventTable *table, TriggerData *trigger)
{
	Event		before;
	Event		after;

	read_version(table, trigger->tg_trigslot, false, &before);
	/* a key may point into the slot */
	if (before.counts && before.match == NULL)
	{
		int16		length;
		bool		by_value;

		get_typlenbyval(table->activity->lead_key_type, &length, &by_value);
		before.lead_key = datumCopy(before.lead_key, by_value, length);
	}
	read_version(table, trigger->tg_newslot, true, &after);
	if (same_event(table->activity, &before, &after))
		return;
	if (!before.counts)
	{
		add_event(table, &after);
		return;
	}
	recompute_lead(table, &before);
	if (after.key != NULL)
		recompute_lead(table, &after);
	else
		add_event(table, &after);
}

/* Leads of whom events are about to go. */
static void
truncated_event(TupleTableSlot *row, void *arg)
{
	EventTable *table = (EventTable *) arg;
	Event		event = {0};
	MemoryContext caller;

	slot_getallattrs(row);
	if (row->tts_isnull[0])
		return;
	MemoryContextReset(table->row_context);
	caller = MemoryContextSwitchTo(table->row_context);
	event.counts = true;
	if (table->activity->match >= 0)
		event.match = normalize_match_value(TextDatumGetCString(row->tts_values[0]));
	else
		event.lead_key = row->tts_values[0];
	if (table->activity->match < 0 || event.match != NULL)
		recompute_lead(table, &event);
	MemoryContextSwitchTo(caller);
}

/*
 * The same, given the columns that the expressions read.
 */
static void
truncated_row(TupleTableSlot *row, void *arg)
{
	EventTable *table = (EventTable *) arg;
	Event		event;
	RuleFailure *failures;
	MemoryContext caller;

	MemoryContextReset(table->row_context);
	caller = MemoryContextSwitchTo(table->row_context);
	activity_fill_slot(table->activity, row, 0);
	(void) event_read(table->rulebook, table->activity, &event, &failures);
	recompute_lead(table, &event);
	MemoryContextSwitchTo(caller);
}

static void
events_truncated(EventTable *table, Relation rel)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	char	   *columns = activity_column_list(table->activity);
	bool		by_row = table->activity->lead_key_fails;

	/*
	 * Tables that inherit from this one may keep their rows.  A query over
	 * lead_key ends where a row has none.
	 */
	relation_read_many(RelationGetRelid(rel),
					   psprintf("SELECT %s FROM %s%s AS %s WHERE true%s",
								!by_row ? psprintf("DISTINCT %s", table->activity->lead_key_sql) :
								table->activity->ncolumns > 0 ? columns + 2 : "1",
								rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ",
								qualified_relation_name(RelationGetRelid(rel)),
								quote_identifier(get_rel_name(table->activity->relation)),
								table->activity->filter_sql),
					   0, NULL, NULL, NULL, snapshot,
					   by_row ? truncated_row : truncated_event, table);
	UnregisterSnapshot(snapshot);
}

/* A truncation where errors are caught. */
typedef struct Truncation
{
	EventTable *table;
	Relation	rel;
} Truncation;

static void
truncate_events(void *arg)
{
	Truncation *truncation = (Truncation *) arg;

	events_truncated(truncation->table, truncation->rel);
}

/*
 * leadscore.capture_activity(): trigger AFTER INSERT OR UPDATE OR DELETE FOR
 * EACH ROW, and BEFORE TRUNCATE, on a table of events or a partition of it
 *		Has the events counted in the same commit.  Arguments: the model and the
 *		activity source.  Never fails because of rules or expressions.  Errors:
 *		39P01 on a trigger of another kind.
 */
PG_FUNCTION_INFO_V1(leadscore_capture_activity);
Datum
leadscore_capture_activity(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	EventTable *table;
	MemoryContext caller;
	Event		event;

	if (!CALLED_AS_TRIGGER(fcinfo) || trigger->tg_trigger->tgnargs != 2 ||
		(TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event) ?
		 !TRIGGER_FIRED_BEFORE(trigger->tg_event) :
		 !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		 !TRIGGER_FIRED_AFTER(trigger->tg_event)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by the trigger it is made for",
						"capture_activity"),
				 errhint("Use leadscore.attach() to create its triggers.")));
	table = get_event_table(fcinfo);
	if (table == NULL)
		return PointerGetDatum(NULL);

	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
	{
		Truncation	truncation = {table, trigger->tg_relation};
		ErrorData  *error = catch_error(truncate_events, &truncation);

		if (error != NULL)
			note_problem(table->scorer->model, NO_RULE, NULL, error->sqlerrcode,
						 psprintf("leads could not be found whose events were truncated: %s",
								  error->message));
		return PointerGetDatum(NULL);
	}

	if (table->rulebook->busy)
	{
		note_problem(table->scorer->model, NO_RULE, NULL,
					 ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					 "a rule calls a function that writes events");
		return PointerGetDatum(NULL);
	}
	MemoryContextReset(table->row_context);
	caller = MemoryContextSwitchTo(table->row_context);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		event_changed(table, trigger);
	else
	{
		read_version(table, trigger->tg_trigslot,
					 TRIGGER_FIRED_BY_INSERT(trigger->tg_event), &event);
		if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
			add_event(table, &event);
		else
			recompute_lead(table, &event);
	}
	MemoryContextSwitchTo(caller);
	return PointerGetDatum(NULL);
}
