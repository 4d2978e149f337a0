/*-------------------------------------------------------------------------
 *
 * rebuild.c
 *	  What all leads did, from all of their history at once.
 *
 * history_read() looks up the events of one lead; here each table of events is
 * read once, whatever the number of leads, and the summaries come out sorted by
 * the leads' keys.  There are two ways to read a table:
 *
 * - One query groups the events by lead and sums them up with the aggregate
 *	 _activity_agg(), in parallel workers if the planner likes.  That takes a
 *	 key to group by which cannot fail and depends on no settings (a column, as
 *	 a rule), and events of which each row is one.
 * - Otherwise all rows are read here and sorted by lead and by the event's key,
 *	 so that deliveries of one event lie side by side.
 *
 * Both give the same, but for rounding.  Tables are read as their owners, as
 * one snapshot sees them.  Where events go by a value of the lead's row, the
 * values of all leads are read as well, and both are sorted and merged.  All
 * sorting is the server's, which spills to disk.
 *
 * Events after the time up to which is summed up cannot go into a summary.
 * They leave a mark: an entry of a rule that no rule can be.  It lives through
 * whatever is done with a summary, and is taken out before anybody else sees
 * it.  The few leads that have it are looked up one by one.
 *
 * Whoever runs _activity_agg() learns by which rules rows match that he makes
 * up, so he must own the table of the events: then they are judged by triggers
 * on it anyway.  A privilege would not do, for the owner of the events, as who
 * the query runs, need not have any on what is ours.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"

#include "problem.h"
#include "rebuild.h"
#include "recall.h"
#include "source.h"

/* The mark that there are later events; rules are numbered from 1. */
#define LATER_EVENTS	PG_INT64_MIN


/* --------------------------------------------------------------------
 * The aggregate
 * --------------------------------------------------------------------
 */

/* What a call site of the transition function keeps. */
typedef struct AggregateCall
{
	MemoryContextCallback release;
	Rulebook   *rulebook;
	ActivitySource *activity;
	TimestampTz upto;
	int32	   *terms;
	int			first_term;		/* of the activity source */
	int			room;			/* for entries in a new summary */
} AggregateCall;

/* Room for more is made when it is needed. */
#define MAX_ROOM	7

/* The first of the columns among the arguments, the state being 0. */
#define FIRST_COLUMN	4

static void
release_call(void *arg)
{
	rulebook_release((Rulebook *) arg);
}

static void
add_mark(Engagement *summary, TimestampTz at)
{
	engagement_add(summary, LATER_EVENTS, 0, 0, at);
}

/*
 * The activity source of a name, if its events can be read.
 */
static ActivitySource *
find_usable(Rulebook *rulebook, const char *name)
{
	for (int i = 0; i < rulebook->nactivities; i++)
	{
		ActivitySource *activity = &rulebook->activities[i];

		if (strcmp(activity->name, name) == 0 && activity->usable)
			return activity;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("events of activity source \"%s\" cannot be read", name)));
	return NULL;				/* keep compiler quiet */
}

/*
 * First call at this site: find the rules, and see that the caller may ask and
 * that the columns are those that the rules read.
 */
static AggregateCall *
begin_call(FunctionCallInfo fcinfo)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;
	MemoryContext caller;
	AggregateCall *call;
	ActivitySource *activity;
	Oid			owner;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2) || PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("model, activity source and time must not be null")));

	caller = MemoryContextSwitchTo(flinfo->fn_mcxt);
	call = palloc0(sizeof(AggregateCall));
	call->rulebook = rulebook_acquire(text_to_cstring(PG_GETARG_TEXT_PP(1)),
									  GetActiveSnapshot(), false);
	call->release.func = release_call;
	call->release.arg = call->rulebook;
	MemoryContextRegisterResetCallback(flinfo->fn_mcxt, &call->release);
	call->activity = activity = find_usable(call->rulebook,
											text_to_cstring(PG_GETARG_TEXT_PP(2)));
	call->upto = PG_GETARG_TIMESTAMPTZ(3);
	call->first_term = call->rulebook->nterms;
	for (int i = call->rulebook->nterms - 1; i >= 0; i--)
	{
		if (&call->rulebook->activities[call->rulebook->terms[i].source] == activity)
			call->first_term = i;
	}
	call->room = Min(activity->nrules, MAX_ROOM);
	call->terms = palloc(sizeof(int32) * (call->rulebook->nterms + 1));
	MemoryContextSwitchTo(caller);

	owner = relation_owner(activity->relation);
	if (!OidIsValid(owner) || !has_privs_of_role(GetUserId(), owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of the events of activity source \"%s\"",
						activity->name)));
	if (PG_NARGS() - FIRST_COLUMN != activity->ncolumns)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("activity source \"%s\" reads %d columns",
						activity->name, activity->ncolumns)));
	for (int i = 0; i < activity->ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(activity->tupdesc,
											  activity->columns[i] - 1);

		if (get_fn_expr_argtype(flinfo, FIRST_COLUMN + i) != att->atttypid)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("argument for column \"%s\" of activity source \"%s\" is of another type",
							NameStr(att->attname), activity->name)));
	}
	flinfo->fn_extra = call;
	return call;
}

/*
 * leadscore._activity_agg_add(internal, model text, activity text,
 *		upto timestamptz, VARIADIC "any") returns internal
 *		Transition function of _activity_agg.  Model, activity source and time
 *		are taken from the first row.
 */
PG_FUNCTION_INFO_V1(leadscore_activity_agg_add);
Datum
leadscore_activity_agg_add(PG_FUNCTION_ARGS)
{
	AggregateCall *call = (AggregateCall *) fcinfo->flinfo->fn_extra;
	Engagement *state = PG_ARGISNULL(0) ? NULL : (Engagement *) PG_GETARG_POINTER(0);
	ActivitySource *activity;
	Datum	   *values;
	bool	   *nulls;
	Event		event;

	if (call == NULL)
	{
		if (!AggCheckCallContext(fcinfo, NULL))
			elog(ERROR, "aggregate function called in non-aggregate context");
		call = begin_call(fcinfo);
	}
	if (call->rulebook->busy)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a rule calls a function that reads events by the same rules")));

	activity = call->activity;
	values = activity->slot->tts_values;
	nulls = activity->slot->tts_isnull;
	for (int i = 0; i < activity->ncolumns; i++)
	{
		int			to = activity->columns[i] - 1;

		values[to] = fcinfo->args[FIRST_COLUMN + i].value;
		nulls[to] = fcinfo->args[FIRST_COLUMN + i].isnull;
	}
	/* what it leaves behind goes with the row: that is the current context */
	event_match(call->rulebook, activity, call->terms, &event);

	if (event.counts)
	{
		if (state == NULL)
		{
			MemoryContext context;
			MemoryContext caller;

			(void) AggCheckCallContext(fcinfo, &context);
			caller = MemoryContextSwitchTo(context);
			state = engagement_create_sized(call->rulebook->activity_rules, call->room);
			MemoryContextSwitchTo(caller);
		}
		if (event.at > call->upto)
			add_mark(state, event.at);
		else
		{
			/* as event_add() does; one who did everything has all entries */
			for (int i = 0; i < event.nterms; i++)
			{
				const ActivityTerm *term = &call->rulebook->terms[event.terms[i]];

				engagement_add_near(state, event.terms[i] - call->first_term,
									call->rulebook->rules[term->rule].id,
									term->half_life, term->keep, event.at);
			}
		}
	}
	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(state);
}


/* --------------------------------------------------------------------
 * Sorting
 * --------------------------------------------------------------------
 */

/* Rows that are put in, sorted and taken out again. */
typedef struct Sorting
{
	Tuplesortstate *sort;
	TupleTableSlot *in;
	TupleTableSlot *out;		/* the row at hand */
	bool		have;			/* is there one? */
} Sorting;

/* Columns by which is sorted come first. */
typedef struct SortColumn
{
	Oid			type;
	Oid			collation;		/* InvalidOid also of those that need none */
	bool		is_key;
} SortColumn;

static Sorting *
sorting_begin(const SortColumn *columns, int n)
{
	Sorting    *sorting = palloc0(sizeof(Sorting));
	TupleDesc	desc = CreateTemplateTupleDesc(n);
	AttrNumber	numbers[4];
	Oid			operators[4];
	Oid			collations[4];
	bool		nulls_first[4] = {false};
	int			nkeys = 0;

	Assert(n <= 4);
	for (int i = 0; i < n; i++)
	{
		TupleDescInitEntry(desc, i + 1, NULL, columns[i].type, -1, 0);
		if (!columns[i].is_key)
			continue;
		numbers[nkeys] = i + 1;
		operators[nkeys] = lookup_type_cache(columns[i].type, TYPECACHE_LT_OPR)->lt_opr;
		collations[nkeys++] = columns[i].collation;
	}
	TupleDescFinalize(desc);
	sorting->in = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	sorting->out = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	sorting->sort = tuplesort_begin_heap(desc, nkeys, numbers, operators, collations,
										 nulls_first, Max(maintenance_work_mem / 2, 64), NULL,
										 TUPLESORT_NONE);
	return sorting;
}

static void
sorting_put(Sorting *sorting, const Datum *values, const bool *nulls)
{
	TupleTableSlot *slot = sorting->in;
	int			n = slot->tts_tupleDescriptor->natts;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, values, sizeof(Datum) * n);
	if (nulls != NULL)
		memcpy(slot->tts_isnull, nulls, sizeof(bool) * n);
	else
		memset(slot->tts_isnull, false, sizeof(bool) * n);
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(sorting->sort, slot);
}

/* Take the next row out; what the one before it held is gone. */
static void
sorting_next(Sorting *sorting)
{
	CHECK_FOR_INTERRUPTS();
	sorting->have = tuplesort_gettupleslot(sorting->sort, true, false, sorting->out, NULL);
	if (sorting->have)
		slot_getallattrs(sorting->out);
}

static void
sorting_finish(Sorting *sorting)
{
	tuplesort_performsort(sorting->sort);
	sorting_next(sorting);
}

static void
sorting_end(Sorting *sorting)
{
	ExecDropSingleTupleTableSlot(sorting->in);
	ExecDropSingleTupleTableSlot(sorting->out);
	tuplesort_end(sorting->sort);
	pfree(sorting);
}

#define SORTED_VALUE(sorting, column)	((sorting)->out->tts_values[column])
#define SORTED_NULL(sorting, column)	((sorting)->out->tts_isnull[column])


/* --------------------------------------------------------------------
 * Reading the tables
 * --------------------------------------------------------------------
 */

struct Rebuild
{
	Scorer	   *scorer;
	TimestampTz upto;
	Snapshot	snapshot;
	MemoryContext context;
	MemoryContext row_context;	/* of a row that is read */
	MemoryContext lead_context; /* of what is returned */
	Oid			key_type;
	int16		key_length;
	bool		key_by_value;
	Oid			collation;
	FmgrInfo	compare;

	Sorting    *sums;			/* key, summary: by key */
	Sorting    *values;			/* number of the match column, value, summary */
	Sorting    *names;			/* the same two, key of a lead */
	Sorting    *events;			/* of the table at hand: key or value, event's key,
								 * time, rules */
	ActivitySource *activity;	/* the table at hand */
	List	   *later;			/* RebuiltLeads that have later events, by key */
	int			next_later;		/* the first of them that is still to come */
};

/*
 * rebuild_collation
 *		By which collation keys are sorted: that of the index on them, once
 *		there is one.
 */
Oid
rebuild_collation(const Scorer *scorer)
{
	return TupleDescAttr(scorer->states->desc,
						 scorer->states->columns[STATE_LEAD_KEY] - 1)->attcollation;
}

/*
 * rebuild_compare_keys
 *		Which key comes first: negative, zero or positive.
 */
int
rebuild_compare_keys(Rebuild *rebuild, Datum a, Datum b)
{
	return DatumGetInt32(FunctionCall2Coll(&rebuild->compare, rebuild->collation, a, b));
}

/* A lead, by its key, did something. */
static void
put_sum(Rebuild *rebuild, Datum key, Datum summary)
{
	Datum		values[2] = {key, summary};

	sorting_put(rebuild->sums, values, NULL);
	if (engagement_has(summary, LATER_EVENTS))
	{
		MemoryContext caller = MemoryContextSwitchTo(rebuild->context);
		RebuiltLead *lead = palloc0(sizeof(RebuiltLead));

		lead->key = datumCopy(key, rebuild->key_by_value, rebuild->key_length);
		rebuild->later = lappend(rebuild->later, lead);
		MemoryContextSwitchTo(caller);
	}
}

/* Somebody, by what the activity source at hand knows him by, did something. */
static void
put_group(Rebuild *rebuild, Datum whose, Datum summary)
{
	ActivitySource *activity = rebuild->activity;
	Datum		key;

	if (engagement_rules(summary) != rebuild->scorer->rulebook->activity_rules)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("rules of scoring model \"%s\" have changed meanwhile",
						rebuild->scorer->model),
				 errhint("Try again.")));
	if (activity->match >= 0)
	{
		char	   *value = normalize_match_value(TextDatumGetCString(whose));
		Datum		values[3] = {Int32GetDatum(activity->match)};

		if (value == NULL)
			return;
		values[1] = CStringGetTextDatum(value);
		values[2] = summary;
		sorting_put(rebuild->values, values, NULL);
	}
	else if (convert_key(whose, activity->lead_key_type, rebuild->key_type, &key))
		put_sum(rebuild, key, summary);
}

/* A row of the query that groups. */
static void
read_group(TupleTableSlot *row, void *arg)
{
	Rebuild    *rebuild = (Rebuild *) arg;
	MemoryContext caller;

	slot_getallattrs(row);
	if (row->tts_isnull[0] || row->tts_isnull[1])
		return;
	MemoryContextReset(rebuild->row_context);
	caller = MemoryContextSwitchTo(rebuild->row_context);
	put_group(rebuild, row->tts_values[0], row->tts_values[1]);
	MemoryContextSwitchTo(caller);
}

static bool
has_row_security(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		result = true;

	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_class) GETSTRUCT(tuple))->relrowsecurity;
		ReleaseSysCache(tuple);
	}
	return result;
}

/*
 * Is it certain that keys of a type which are equal are one lead's, and no
 * other's?  1.0 equals 1, but is no integer's text.
 */
static bool
groups_by_lead(Oid type, Oid key_type)
{
	return type == NUMERICOID ? key_type == NUMERICOID : is_key_type(type);
}

/*
 * Can one query group the events of the activity source at hand?
 *
 * Under row security it would be parsed once more as the events' owner, who
 * might not see what is ours.
 */
static bool
can_group(Rebuild *rebuild)
{
	ActivitySource *activity = rebuild->activity;
	char		kind = get_rel_relkind(activity->relation);

	return activity->key_is_plain && activity->event_key == NULL &&
		!activity->runs_queries && !activity->calls_user_code &&
		activity->ncolumns > 0 && activity->ncolumns < FUNC_MAX_ARGS - FIRST_COLUMN &&
		(kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE) &&
		!has_row_security(activity->relation) &&
		(activity->match >= 0 ? activity->lead_key_type == TEXTOID :
		 groups_by_lead(activity->lead_key_type, rebuild->key_type));
}

/*
 * One query groups the events and sums them up.
 */
static void
read_groups(Rebuild *rebuild)
{
	ActivitySource *activity = rebuild->activity;
	/* bytes tell keys apart; what else is equal is for the leads' keys to say */
	const char *collate = OidIsValid(get_typcollation(activity->lead_key_type)) ?
		" COLLATE \"C\"" : "";
	Oid			type = TIMESTAMPTZOID;
	Datum		upto = TimestampTzGetDatum(rebuild->upto);

	relation_read_how(activity->relation,
					  psprintf("SELECT %s%s, %s._activity_agg(%s, %s, $1%s) FROM %s WHERE %s IS NOT NULL%s GROUP BY 1",
							   activity->lead_key_sql, collate, LEADSCORE_SCHEMA,
							   quote_literal_cstr(rebuild->scorer->model),
							   quote_literal_cstr(activity->name),
							   activity_column_list(activity),
							   qualified_relation_name(activity->relation),
							   activity->lead_key_sql, activity->filter_sql),
					  READ_PARALLEL | READ_OUR_NAMES, 1, &type, &upto, " ",
					  rebuild->snapshot, read_group, rebuild);
}

/* A row of events, to be sorted. */
static void
read_event_row(TupleTableSlot *row, void *arg)
{
	Rebuild    *rebuild = (Rebuild *) arg;
	ActivitySource *activity = rebuild->activity;
	Rulebook   *rulebook = rebuild->scorer->rulebook;
	MemoryContext caller;
	Event		event;
	RuleFailure *failures;

	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(rebuild->row_context);
	caller = MemoryContextSwitchTo(rebuild->row_context);
	activity_fill_slot(activity, row, 0);
	(void) event_read(rulebook, activity, &event, &failures);
	if (event.counts)
	{
		Datum		values[4];
		bool		nulls[4] = {false};
		Size		size = VARHDRSZ + sizeof(int32) * event.nterms;
		bytea	   *terms = palloc(size);
		bool		is_known = true;

		SET_VARSIZE(terms, size);
		memcpy(VARDATA(terms), event.terms, size - VARHDRSZ);
		if (activity->match >= 0)
			values[0] = CStringGetTextDatum(event.match);
		else
			is_known = convert_key(event.lead_key, activity->lead_key_type,
								   rebuild->key_type, &values[0]);
		nulls[1] = event.key == NULL;
		values[1] = event.key != NULL ? CStringGetTextDatum(event.key) : (Datum) 0;
		values[2] = TimestampTzGetDatum(event.at);
		values[3] = PointerGetDatum(terms);
		if (is_known)
			sorting_put(rebuild->events, values, nulls);
	}
	MemoryContextSwitchTo(caller);
}

/* The event at hand among those that were sorted. */
static void
sorted_event(Sorting *events, Event *event)
{
	bytea	   *terms = DatumGetByteaPCopy(SORTED_VALUE(events, 3));

	memset(event, 0, sizeof(Event));
	event->counts = true;
	event->key = SORTED_NULL(events, 1) ? NULL :
		TextDatumGetCString(SORTED_VALUE(events, 1));
	event->at = DatumGetTimestampTz(SORTED_VALUE(events, 2));
	event->nterms = (VARSIZE(terms) - VARHDRSZ) / sizeof(int32);
	event->terms = (int32 *) VARDATA(terms);
}

static bool
is_same_group(Rebuild *rebuild, Datum a, Datum b)
{
	if (rebuild->activity->match >= 0)
		return datum_image_eq(a, b, false, -1);
	return rebuild_compare_keys(rebuild, a, b) == 0;
}

/*
 * Sum up the events of one lead, or value, that come next.
 */
static Engagement *
sum_events(Rebuild *rebuild, Datum whose)
{
	Rulebook   *rulebook = rebuild->scorer->rulebook;
	Sorting    *events = rebuild->events;
	Engagement *summary = engagement_create(rulebook->activity_rules);
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "leadscore event",
												  ALLOCSET_SMALL_SIZES);

	while (events->have && is_same_group(rebuild, whose, SORTED_VALUE(events, 0)))
	{
		Event		event;
		Event		again;

		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		sorted_event(events, &event);
		sorting_next(events);
		while (event.key != NULL && events->have && !SORTED_NULL(events, 1) &&
			   is_same_group(rebuild, whose, SORTED_VALUE(events, 0)))
		{
			sorted_event(events, &again);
			if (strcmp(again.key, event.key) != 0)
				break;
			if (compare_deliveries(&again, &event) < 0)
				event = again;
			sorting_next(events);
		}
		MemoryContextSwitchTo(caller);
		if (event.at > rebuild->upto)
			add_mark(summary, event.at);
		else
			event_add(rulebook, &event, summary);
	}
	MemoryContextDelete(context);
	return summary;
}

/*
 * The rows are read here, sorted and summed up.
 */
static void
read_events(Rebuild *rebuild)
{
	ActivitySource *activity = rebuild->activity;
	MemoryContext caller = MemoryContextSwitchTo(rebuild->context);
	char	   *columns = activity_column_list(activity);
	SortColumn	sorted[] = {
		{rebuild->key_type, rebuild->collation, true},
		{TEXTOID, C_COLLATION_OID, true},
		{TIMESTAMPTZOID, InvalidOid, false},
		{BYTEAOID, InvalidOid, false}
	};

	if (activity->match >= 0)
	{
		sorted[0].type = TEXTOID;
		sorted[0].collation = C_COLLATION_OID;
	}
	rebuild->events = sorting_begin(sorted, lengthof(sorted));
	/* conditions may need subtransactions, which workers keep one from */
	relation_read_how(activity->relation,
					  psprintf("SELECT %s FROM %s WHERE true%s",
							   activity->ncolumns > 0 ? columns + 2 : "1",
							   qualified_relation_name(activity->relation),
							   activity->filter_sql),
					  0, 0, NULL, NULL, NULL, rebuild->snapshot, read_event_row, rebuild);
	sorting_finish(rebuild->events);
	while (rebuild->events->have)
	{
		Datum		whose;
		Datum		values[3];

		MemoryContextReset(rebuild->row_context);
		MemoryContextSwitchTo(rebuild->row_context);
		if (activity->match >= 0)
			whose = datumCopy(SORTED_VALUE(rebuild->events, 0), false, -1);
		else
			whose = datumCopy(SORTED_VALUE(rebuild->events, 0),
							  rebuild->key_by_value, rebuild->key_length);
		values[0] = Int32GetDatum(activity->match);
		values[1] = whose;
		values[2] = engagement_pack(sum_events(rebuild, whose));
		if (activity->match >= 0)
			sorting_put(rebuild->values, values, NULL);
		else
			put_sum(rebuild, whose, values[2]);
		MemoryContextSwitchTo(rebuild->context);
	}
	sorting_end(rebuild->events);
	rebuild->events = NULL;
	MemoryContextSwitchTo(caller);
}


/* --------------------------------------------------------------------
 * Whose values are they?
 * --------------------------------------------------------------------
 */

/* The columns of the source that events are matched by, after its key. */
static char *
match_column_list(const Rulebook *rulebook)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < rulebook->nmatches; i++)
		appendStringInfo(&list, ", s.%s",
						 quote_identifier(NameStr(TupleDescAttr(rulebook->tupdesc,
																rulebook->match_columns[i] - 1)->attname)));
	return list.data;
}

static void
fill_match_values(Rulebook *rulebook, TupleTableSlot *row)
{
	slot_getallattrs(row);
	for (int i = 0; i < rulebook->nmatches; i++)
	{
		int			to = rulebook->match_columns[i] - 1;

		rulebook->slot->tts_values[to] = row->tts_values[i + 1];
		rulebook->slot->tts_isnull[to] = row->tts_isnull[i + 1];
	}
}

static void
read_names(TupleTableSlot *row, void *arg)
{
	Rebuild    *rebuild = (Rebuild *) arg;
	Rulebook   *rulebook = rebuild->scorer->rulebook;
	MemoryContext caller;

	MemoryContextReset(rebuild->row_context);
	caller = MemoryContextSwitchTo(rebuild->row_context);
	fill_match_values(rulebook, row);
	for (int i = 0; i < rulebook->nmatches; i++)
	{
		char	   *value = slot_match_value(rulebook, i);
		Datum		values[3] = {Int32GetDatum(i)};

		if (value == NULL)
			continue;
		values[1] = CStringGetTextDatum(value);
		values[2] = row->tts_values[0];
		sorting_put(rebuild->names, values, NULL);
	}
	MemoryContextSwitchTo(caller);
}

static int
compare_values(Sorting *a, Sorting *b)
{
	int32		left = DatumGetInt32(SORTED_VALUE(a, 0));
	int32		right = DatumGetInt32(SORTED_VALUE(b, 0));

	if (left != right)
		return left < right ? -1 : 1;
	return DatumGetInt32(DirectFunctionCall2Coll(bttextcmp, C_COLLATION_OID,
												 SORTED_VALUE(a, 1), SORTED_VALUE(b, 1)));
}

/*
 * Give what goes by a value to all leads that do.
 */
static void
join_values(Rebuild *rebuild)
{
	Scorer	   *scorer = rebuild->scorer;
	const char *key = quote_identifier(scorer->key_column);
	Sorting    *values = rebuild->values;
	Sorting    *names = rebuild->names;
	MemoryContext caller = CurrentMemoryContext;

	relation_read_many(scorer->rulebook->source,
					   psprintf("SELECT s.%s%s FROM %s s WHERE s.%s IS NOT NULL",
								key, match_column_list(scorer->rulebook),
								qualified_relation_name(scorer->rulebook->source), key),
					   0, NULL, NULL, NULL, rebuild->snapshot, read_names, rebuild);
	sorting_finish(values);
	sorting_finish(names);
	while (values->have && names->have)
	{
		int			order = compare_values(values, names);
		Datum		summary;
		Datum		last_key = (Datum) 0;
		Engagement *sum = NULL;
		Datum		match;
		Datum		value;

		if (order != 0)
		{
			sorting_next(order < 0 ? values : names);
			continue;
		}

		/* several sources may have events of it */
		MemoryContextReset(rebuild->row_context);
		MemoryContextSwitchTo(rebuild->row_context);
		match = SORTED_VALUE(values, 0);
		value = datumCopy(SORTED_VALUE(values, 1), false, -1);
		while (values->have && SORTED_VALUE(values, 0) == match &&
			   datum_image_eq(SORTED_VALUE(values, 1), value, false, -1))
		{
			Engagement *part = engagement_unpack(SORTED_VALUE(values, 2));

			if (sum == NULL)
				sum = part;
			else
				engagement_merge(sum, part);
			sorting_next(values);
		}
		summary = engagement_pack(sum);

		/* and several leads may go by it; none twice, should the source repeat it */
		for (bool first = true;
			 names->have && SORTED_VALUE(names, 0) == match &&
			 datum_image_eq(SORTED_VALUE(names, 1), value, false, -1);
			 first = false)
		{
			Datum		lead = SORTED_VALUE(names, 2);

			if (first || rebuild_compare_keys(rebuild, last_key, lead) != 0)
				put_sum(rebuild, lead, summary);
			last_key = datumCopy(lead, rebuild->key_by_value, rebuild->key_length);
			sorting_next(names);
		}
		MemoryContextSwitchTo(caller);
	}
}


/* --------------------------------------------------------------------
 * Leads with later events
 * --------------------------------------------------------------------
 */

static Rebuild *sorting_rebuild;

static int
compare_later(const ListCell *a, const ListCell *b)
{
	return rebuild_compare_keys(sorting_rebuild, ((RebuiltLead *) lfirst(a))->key,
								((RebuiltLead *) lfirst(b))->key);
}

/*
 * Each lead once, in order; and its history if that was asked for.
 */
static void
read_later(Rebuild *rebuild, bool with_later)
{
	Scorer	   *scorer = rebuild->scorer;
	Rulebook   *rulebook = scorer->rulebook;
	List	   *all = rebuild->later;
	MemoryContext caller = CurrentMemoryContext;
	ListCell   *lc;

	sorting_rebuild = rebuild;
	list_sort(all, compare_later);
	rebuild->later = NIL;
	foreach(lc, all)
	{
		RebuiltLead *lead = (RebuiltLead *) lfirst(lc);
		char	  **matches;

		CHECK_FOR_INTERRUPTS();
		if (rebuild->later != NIL &&
			rebuild_compare_keys(rebuild, lead->key, ((RebuiltLead *) llast(rebuild->later))->key) == 0)
			continue;
		MemoryContextSwitchTo(rebuild->context);
		rebuild->later = lappend(rebuild->later, lead);
		if (!with_later)
			continue;

		lead->history = palloc(sizeof(History));
		matches = palloc0(sizeof(char *) * (rulebook->nmatches + 1));
		if (rulebook->nmatches > 0 &&
			source_read(rulebook, scorer->key_column, scorer->key_type, lead->key,
						rebuild->snapshot) > 0)
		{
			for (int i = 0; i < rulebook->nmatches; i++)
				matches[i] = slot_match_value(rulebook, i);
		}
		history_read(rulebook, scorer->key_type, lead->key, matches, rebuild->upto,
					 rebuild->snapshot, true, lead->history);
	}
	MemoryContextSwitchTo(caller);
	list_free(all);
}


/* --------------------------------------------------------------------
 * All of it
 * --------------------------------------------------------------------
 */

/*
 * rebuild_read
 *		Sum up the events of all leads up to a time, as a snapshot sees them; to
 *		be taken out with rebuild_next().
 *
 * 'with_later' asks for all there is of leads that have events after it.
 * Everything is in the current memory context, and gone with rebuild_end().
 * Errors of the rules' conditions are passed over, as history_read() does; what
 * keeps a table from being read is thrown.
 */
Rebuild *
rebuild_read(Scorer *scorer, TimestampTz upto, Snapshot snapshot, bool with_later)
{
	Rulebook   *rulebook = scorer->rulebook;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "leadscore rebuild",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Rebuild    *rebuild = palloc0(sizeof(Rebuild));
	Oid			summary = TupleDescAttr(scorer->states->desc,
										scorer->states->columns[STATE_ENGAGEMENT] - 1)->atttypid;
	SortColumn	sums[] = {
		{scorer->key_type, rebuild_collation(scorer), true},
		{summary, InvalidOid, false}
	};
	SortColumn	values[] = {
		{INT4OID, InvalidOid, true},
		{TEXTOID, C_COLLATION_OID, true},
		{summary, InvalidOid, false}
	};
	SortColumn	names[] = {
		{INT4OID, InvalidOid, true},
		{TEXTOID, C_COLLATION_OID, true},
		{scorer->key_type, rebuild_collation(scorer), true}
	};

	rebuild->scorer = scorer;
	rebuild->upto = upto;
	rebuild->snapshot = snapshot;
	rebuild->context = context;
	rebuild->row_context = AllocSetContextCreate(context, "leadscore rebuild row",
												 ALLOCSET_DEFAULT_SIZES);
	rebuild->lead_context = AllocSetContextCreate(context, "leadscore rebuilt lead",
												  ALLOCSET_DEFAULT_SIZES);
	rebuild->key_type = scorer->key_type;
	get_typlenbyval(rebuild->key_type, &rebuild->key_length, &rebuild->key_by_value);
	rebuild->collation = rebuild_collation(scorer);
	fmgr_info_copy(&rebuild->compare,
				   &lookup_type_cache(rebuild->key_type,
									  TYPECACHE_CMP_PROC_FINFO)->cmp_proc_finfo,
				   context);

	rebuild->sums = sorting_begin(sums, lengthof(sums));
	for (int i = 0; i < rulebook->nactivities; i++)
	{
		ActivitySource *activity = &rulebook->activities[i];

		if (!activity->usable || activity->nrules == 0)
			continue;
		if (activity->match >= 0 && rebuild->values == NULL)
		{
			rebuild->values = sorting_begin(values, lengthof(values));
			rebuild->names = sorting_begin(names, lengthof(names));
		}
		rebuild->activity = activity;
		if (can_group(rebuild))
			read_groups(rebuild);
		else
			read_events(rebuild);
	}
	if (rebuild->values != NULL)
	{
		join_values(rebuild);
		sorting_end(rebuild->values);
		sorting_end(rebuild->names);
	}
	sorting_finish(rebuild->sums);
	read_later(rebuild, with_later);
	MemoryContextSwitchTo(caller);

	return rebuild;
}

/*
 * rebuild_next
 *		The next lead in the order of keys that did anything; false if there is
 *		none.  It is valid until the next one is asked for.
 */
bool
rebuild_next(Rebuild *rebuild, RebuiltLead *lead)
{
	Sorting    *sums = rebuild->sums;
	MemoryContext caller;

	if (!sums->have)
		return false;
	MemoryContextReset(rebuild->lead_context);
	caller = MemoryContextSwitchTo(rebuild->lead_context);
	memset(lead, 0, sizeof(RebuiltLead));
	lead->key = datumCopy(SORTED_VALUE(sums, 0), rebuild->key_by_value,
						  rebuild->key_length);
	lead->summary = engagement_unpack(SORTED_VALUE(sums, 1));
	for (;;)
	{
		sorting_next(sums);
		if (!sums->have || rebuild_compare_keys(rebuild, lead->key, SORTED_VALUE(sums, 0)) != 0)
			break;
		engagement_merge(lead->summary, engagement_unpack(SORTED_VALUE(sums, 1)));
	}
	if (engagement_find(lead->summary, LATER_EVENTS) != NULL)
	{
		RebuiltLead *later = (RebuiltLead *) list_nth(rebuild->later, rebuild->next_later++);

		Assert(rebuild_compare_keys(rebuild, lead->key, later->key) == 0);
		engagement_forget(lead->summary, LATER_EVENTS);
		lead->has_later = true;
		lead->history = later->history;
		if (lead->history != NULL)
			lead->summary = lead->history->summary;
	}
	MemoryContextSwitchTo(caller);
	return true;
}

/*
 * rebuild_end
 *		Free all of it.
 */
void
rebuild_end(Rebuild *rebuild)
{
	sorting_end(rebuild->sums);
	MemoryContextDelete(rebuild->context);
}
