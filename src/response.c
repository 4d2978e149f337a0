/*-------------------------------------------------------------------------
 *
 * response.c
 *	  When leads were answered, and when they asked.
 *
 * A service level (leadscore.sla) names an activity whose events are responses,
 * with a condition over them, and may have an expression over the lead's row
 * that tells when the lead asked.  Here both are read for many leads at once;
 * what comes of it is worked out in SQL.  The events' own table is the truth:
 * what was delivered late is there as well.
 *
 * Whose an event is, when it happened, and which rows are one event delivered
 * several times, is as for rules (event.c).  A condition that ends in an error
 * does not hold; one that cannot be compiled is an error.
 *
 * Who may read the states of an attached model gets what the owners of the
 * tables would, who may not, or has leads kept from him by row security, what he
 * can read himself.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "event.h"
#include "problem.h"
#include "recall.h"
#include "ruletable.h"
#include "source.h"
#include "state.h"

/* What of a row of leadscore.sla is needed; NULL: not given. */
typedef struct ServiceLevel
{
	char	   *activity;
	char	   *condition;
	char	   *request_at;
	char	   *search_path;
} ServiceLevel;

/* What a call reads. */
typedef struct Reading
{
	Rulebook   *rulebook;
	Oid			key_type;
	const char *key_column;		/* quoted */
	Snapshot	snapshot;
	bool		as_owner;
	int			nkeys;			/* of the leads that are asked for; -1: all */
	char	  **keys;
	HTAB	   *wanted;			/* the same keys; NULL: all */
	MemoryContext context;		/* of all this; it takes the rulebook along */
	MemoryContextCallback release;
	MemoryContext caller;
	MemoryContext row_context;
	ReturnSetInfo *result;

	/* columns that are read, in the order of the query's */
	int			ncolumns;
	AttrNumber *columns;
	char	   *column_list;	/* the same as SQL, with a comma before each */

	/* events */
	ActivitySource *activity;
	EventCondition condition;
	HTAB	   *leads;			/* by the value they go by; NULL: events have keys */
	HTAB	   *seen;			/* values and leads, where the source may repeat any */
	HTAB	   *delivered;		/* events with a key; NULL: each row is an event */
	const char *where;			/* which rows */
	Oid			parameter_type;
	Datum		parameter;

	/* requests */
	ExprState  *request_at;
	bool		runs_queries;
	TupleTableSlot *slot;
	ExprContext *econtext;
	ParamExecData clocks[NUM_CLOCKS];
	Datum		value;
	bool		isnull;
} Reading;

/* Entries of the hash tables begin with their key, a string. */
typedef struct StringEntry
{
	char	   *key;
} StringEntry;

typedef struct LeadsOfValue
{
	char	   *value;
	List	   *keys;			/* of char * */
} LeadsOfValue;

typedef struct DeliveredResponse
{
	char	   *event_of_lead;
	char	   *lead_key;
	TimestampTz at;				/* the earliest delivery */
} DeliveredResponse;


/* --------------------------------------------------------------------
 * Getting ready
 * --------------------------------------------------------------------
 */

static char *
column_text(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, column, desc, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/*
 * The row of leadscore.sla for a stage, as a snapshot sees it.
 */
static void
read_service_level(const char *model, LeadStage stage, Snapshot snapshot,
				   ServiceLevel *level)
{
	Relation	rel = table_open(leadscore_relation("sla"), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, Anum_sla_model, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(model));
	scan = systable_beginscan(rel, leadscore_relation("sla_pkey"), true,
							  snapshot, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;

		if (DatumGetLeadStage(heap_getattr(tuple, Anum_sla_stage, desc, &isnull)) != stage)
			continue;
		found = true;
		level->activity = column_text(tuple, desc, Anum_sla_response_activity);
		level->condition = column_text(tuple, desc, Anum_sla_response_condition);
		level->request_at = column_text(tuple, desc, Anum_sla_request_at);
		level->search_path = column_text(tuple, desc, Anum_sla_search_path);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("stage \"%s\" of scoring model \"%s\" has no service level",
						lead_stage_label(stage), model),
				 errhint("The table leadscore.sla lists them.")));
}

/*
 * May what a model reads be read with the rights of the owners, for the current
 * user?
 */
static bool
may_read_as_owner(const Rulebook *rulebook)
{
	Oid			states = state_table_of(rulebook->model);

	return OidIsValid(states) &&
		pg_class_aclcheck(states, GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		check_enable_rls(rulebook->target, InvalidOid, true) != RLS_ENABLED;
}

/*
 * The keys that are asked for, each once.
 */
static void
take_keys(Reading *reading, ArrayType *array)
{
	Datum	   *values;
	bool	   *nulls;
	int			n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	reading->nkeys = 0;
	reading->keys = palloc(sizeof(char *) * (n + 1));
	reading->wanted = create_string_table("leadscore wanted leads", sizeof(StringEntry),
										  CurrentMemoryContext);
	for (int i = 0; i < n; i++)
	{
		char	   *key;
		bool		found;

		if (nulls[i])
			continue;
		key = TextDatumGetCString(values[i]);
		(void) hash_search(reading->wanted, &key, HASH_ENTER, &found);
		if (!found)
			reading->keys[reading->nkeys++] = key;
	}
}

static void
release_rulebook(void *arg)
{
	rulebook_release((Rulebook *) arg);
}

/*
 * Get ready to read for the leads with the keys in the function's third
 * argument, or for all.  Until reading_end() the current memory context is the
 * reading's.
 */
static Reading *
reading_begin(FunctionCallInfo fcinfo, ServiceLevel *level)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	Reading    *reading;
	char	   *model;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("model and stage must not be null")));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	context = AllocSetContextCreate(caller, "leadscore responses", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	model = text_to_cstring(PG_GETARG_TEXT_PP(0));
	reading = palloc0(sizeof(Reading));
	reading->context = context;
	reading->caller = caller;
	reading->result = (ReturnSetInfo *) fcinfo->resultinfo;
	reading->snapshot = GetActiveSnapshot();
	read_service_level(model, PG_GETARG_LEAD_STAGE(1), reading->snapshot, level);

	reading->rulebook = rulebook_acquire(model, reading->snapshot, false);
	reading->release.func = release_rulebook;
	reading->release.arg = reading->rulebook;
	MemoryContextRegisterResetCallback(context, &reading->release);
	if (reading->rulebook->busy)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a condition calls a function that reads by the same scoring model")));
	if (reading->rulebook->key_column == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("scoring model \"%s\" has no key column", model),
				 errhint("Set key_column in leadscore.model to a unique column of target and source.")));
	reading->key_type = TupleDescAttr(reading->rulebook->tupdesc,
									  reading->rulebook->key_column - 1)->atttypid;
	reading->key_column =
		quote_identifier(NameStr(TupleDescAttr(reading->rulebook->tupdesc,
											   reading->rulebook->key_column - 1)->attname));
	reading->as_owner = may_read_as_owner(reading->rulebook);
	reading->nkeys = -1;
	if (!PG_ARGISNULL(2))
		take_keys(reading, PG_GETARG_ARRAYTYPE_P(2));
	reading->row_context = AllocSetContextCreate(context, "leadscore response",
												 ALLOCSET_SMALL_SIZES);
	return reading;
}

static void
reading_end(Reading *reading)
{
	MemoryContextSwitchTo(reading->caller);
	MemoryContextDelete(reading->context);
}

/*
 * Compile an expression over a relation, for as long as the call lasts.
 */
static ExprState *
compile(Oid relid, pg_tz *time_zone, const char *text, const char *path,
		Oid type, const char *what, bool stored, Condition *condition)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	ConditionScope scope;

	condition_scope_open(&scope, rel, time_zone);
	condition_scope_path(&scope, path != NULL ? path : "pg_catalog, pg_temp");
	condition_analyze(&scope, text, type, what, condition);
	condition_plan(&scope, text, what, condition);
	if (stored)
		require_stored_columns(condition->columns, RelationGetDescr(rel), what);
	condition_scope_close(&scope);
	relation_close(rel, AccessShareLock);

	return ExecInitExpr(condition->expr, NULL);
}

/*
 * Remember which columns are to be read, and how a query has them.
 */
static void
take_columns(Reading *reading, const Bitmapset *columns, TupleDesc desc,
			 const char *prefix)
{
	StringInfoData list;
	int			column = -1;

	initStringInfo(&list);
	reading->columns = palloc(sizeof(AttrNumber) * (bms_num_members(columns) + 1));
	while ((column = bms_next_member(columns, column)) >= 0)
	{
		appendStringInfo(&list, ", %s%s", prefix,
						 quote_identifier(NameStr(TupleDescAttr(desc, column - 1)->attname)));
		reading->columns[reading->ncolumns++] = column;
	}
	reading->column_list = list.data;
}

/*
 * Put the columns that were read, which begin at column 'first' (from 0) of a
 * row, into a slot.
 */
static void
fill_slot(const Reading *reading, TupleTableSlot *slot, TupleTableSlot *row, int first)
{
	for (int i = 0; i < reading->ncolumns; i++)
	{
		int			to = reading->columns[i] - 1;

		slot->tts_values[to] = row->tts_values[first + i];
		slot->tts_isnull[to] = row->tts_isnull[first + i];
	}
}

/*
 * The key of a lead, of the model's key type, that a text stands for; false if
 * it stands for none.
 */
static bool
parse_key(const Reading *reading, const char *text, Datum *key)
{
	size_t		ndigits;

	if (reading->key_type != NUMERICOID)
		return convert_key(CStringGetTextDatum(text), TEXTOID, reading->key_type, key);

	/* convert_key() takes no fractions, which no other type has */
	ndigits = strspn(text + (*text == '-'), "0123456789.");
	if (ndigits == 0 || text[(*text == '-') + ndigits] != '\0' ||
		strchr(text, '.') != strrchr(text, '.') || strcmp(text, ".") == 0 ||
		strcmp(text, "-.") == 0)
		return false;
	*key = OidInputFunctionCall(F_NUMERIC_IN, (char *) text, InvalidOid, -1);
	return strcmp(key_text(*key, NUMERICOID), text) == 0;
}

/*
 * The keys that are asked for as an array of a type; those that cannot be of
 * the type, or are not written the way that it writes them, are nobody's.
 */
static Datum
key_array(const Reading *reading, Oid type)
{
	Datum	   *values = palloc(sizeof(Datum) * (reading->nkeys + 1));
	int			n = 0;
	int16		length;
	bool		by_value;
	char		align;

	for (int i = 0; i < reading->nkeys; i++)
	{
		Datum		key;

		if (parse_key(reading, reading->keys[i], &key) &&
			convert_key(key, reading->key_type, type, &values[n]))
			n++;
	}
	get_typlenbyvalalign(type, &length, &by_value, &align);
	return PointerGetDatum(construct_array(values, n, type, length, by_value, align));
}

/*
 * Read from the model's source: the key, and the columns given, which have a
 * comma before each.
 */
static void
read_source(Reading *reading, const char *columns, const char *name,
			SourceRowFunction function)
{
	Oid			type = BOOLOID;
	Datum		value = BoolGetDatum(true);
	const char *where = "$1";

	if (reading->nkeys >= 0)
	{
		type = get_array_type(reading->key_type);
		value = key_array(reading, reading->key_type);
		where = psprintf("s.%s OPERATOR(pg_catalog.=) ANY ($1)", reading->key_column);
	}
	relation_query(reading->rulebook->source,
				   psprintf("%s %s%s", reading->rulebook->model, name,
							reading->nkeys >= 0 ? "" : " all"),
				   reading->as_owner,
				   psprintf("SELECT s.%s%s FROM %s s WHERE s.%s IS NOT NULL AND %s",
							reading->key_column, columns,
							qualified_relation_name(reading->rulebook->source),
							reading->key_column, where),
				   type, value, reading->snapshot, function, reading);
}

/*
 * A lead, and a moment: if it is one that is asked for, a row of the result.
 */
static void
put_row(Reading *reading, const char *key, TimestampTz at)
{
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (reading->wanted != NULL &&
		hash_search(reading->wanted, &key, HASH_FIND, NULL) == NULL)
		return;
	values[0] = CStringGetTextDatum(key);
	values[1] = TimestampTzGetDatum(at);
	tuplestore_putvalues(reading->result->setResult, reading->result->setDesc,
						 values, nulls);
}


/* --------------------------------------------------------------------
 * Responses
 * --------------------------------------------------------------------
 */

/*
 * A lead was contacted.
 */
static void
put_response(Reading *reading, const char *key, const Event *event)
{
	MemoryContext caller;
	DeliveredResponse *entry;
	char	   *event_of_lead;
	bool		found;

	if (event->key == NULL)
	{
		put_row(reading, key, event->at);
		return;
	}
	caller = MemoryContextSwitchTo(reading->context);
	event_of_lead = psprintf("%d %s%s", (int) strlen(key), key, event->key);
	entry = hash_search(reading->delivered, &event_of_lead, HASH_ENTER, &found);
	if (!found)
	{
		entry->lead_key = pstrdup(key);
		entry->at = event->at;
	}
	else
	{
		pfree(event_of_lead);
		entry->at = Min(entry->at, event->at);
	}
	MemoryContextSwitchTo(caller);
}

static void
read_event_row(TupleTableSlot *row, void *arg)
{
	Reading    *reading = (Reading *) arg;
	ActivitySource *activity = reading->activity;
	MemoryContext caller;
	Event		event;
	Datum		key;

	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(reading->row_context);
	caller = MemoryContextSwitchTo(reading->row_context);
	slot_getallattrs(row);
	fill_slot(reading, activity->slot, row, 0);
	event_read_if(reading->rulebook, activity, &reading->condition, &event);
	if (!event.counts)
		;
	else if (reading->leads != NULL)
	{
		LeadsOfValue *entry = hash_search(reading->leads, &event.match, HASH_FIND, NULL);
		ListCell   *lc;

		foreach(lc, entry != NULL ? entry->keys : NIL)
			put_response(reading, (char *) lfirst(lc), &event);
	}
	else if (convert_key(event.lead_key, activity->lead_key_type, reading->key_type, &key))
		put_response(reading, key_text(key, reading->key_type), &event);
	MemoryContextSwitchTo(caller);
}

static void
query_events(void *arg)
{
	Reading    *reading = (Reading *) arg;
	ActivitySource *activity = reading->activity;
	HASH_SEQ_STATUS all;
	DeliveredResponse *entry;

	reading->delivered = activity->event_key == NULL ? NULL :
		create_string_table("leadscore delivered responses", sizeof(DeliveredResponse),
							reading->context);
	relation_query(activity->relation,
				   psprintf("%s responses %s", reading->rulebook->model, activity->name),
				   reading->as_owner,
				   psprintf("SELECT %s FROM %s WHERE %s%s",
							reading->ncolumns > 0 ? reading->column_list + 2 : "1",
							qualified_relation_name(activity->relation),
							reading->where, activity->filter_sql),
				   reading->parameter_type, reading->parameter, reading->snapshot,
				   read_event_row, reading);
	if (reading->delivered != NULL)
	{
		hash_seq_init(&all, reading->delivered);
		while ((entry = hash_seq_search(&all)) != NULL)
			put_row(reading, entry->lead_key, entry->at);
		hash_destroy(reading->delivered);
		reading->delivered = NULL;
	}
}

/*
 * Read the events of the leads that are asked for, by a query that finds them,
 * or all that there are.
 *
 * Where the lead's key takes some computing, a row of anybody may not have one:
 * no query gets past it, but one that leaves it to us.
 */
static void
read_events(Reading *reading)
{
	ActivitySource *activity = reading->activity;
	ErrorData  *error;

	if (reading->nkeys >= 0 && activity->match >= 0)
	{
		HASH_SEQ_STATUS all;
		LeadsOfValue *entry;
		Datum	   *values = palloc(sizeof(Datum) * (hash_get_num_entries(reading->leads) + 1));
		int			n = 0;

		hash_seq_init(&all, reading->leads);
		while ((entry = hash_seq_search(&all)) != NULL)
			values[n++] = CStringGetTextDatum(entry->value);
		reading->where = psprintf("lower(%s) = ANY ($1)", activity->lead_key_sql);
		reading->parameter_type = TEXTARRAYOID;
		reading->parameter = PointerGetDatum(construct_array(values, n, TEXTOID, -1, false,
															 TYPALIGN_INT));
	}
	else if (reading->nkeys >= 0)
	{
		reading->where = psprintf("%s = ANY ($1)", activity->lead_key_sql);
		reading->parameter_type = get_array_type(activity->lead_key_type);
		reading->parameter = key_array(reading, activity->lead_key_type);
	}
	if (reading->where != NULL && !activity->lead_key_fails)
	{
		query_events(reading);
		return;
	}
	if (reading->where != NULL)
	{
		/* an index on the expression keeps such rows away */
		error = catch_error(query_events, reading);
		if (error == NULL)
			return;
		tuplestore_clear(reading->result->setResult);
	}
	reading->where = "$1";
	reading->parameter_type = BOOLOID;
	reading->parameter = BoolGetDatum(true);
	query_events(reading);
}

/* A lead, and the value that it goes by. */
static void
read_value(TupleTableSlot *row, void *arg)
{
	Reading    *reading = (Reading *) arg;
	AttrNumber	column = reading->rulebook->match_columns[reading->activity->match];
	MemoryContext caller;
	LeadsOfValue *entry;
	char	   *key;
	char	   *value;
	char	   *both;
	bool		found = false;

	slot_getallattrs(row);
	if (row->tts_isnull[1])
		return;
	caller = MemoryContextSwitchTo(reading->context);
	value = normalize_match_value(key_text(row->tts_values[1],
										   TupleDescAttr(reading->rulebook->tupdesc,
														 column - 1)->atttypid));
	key = key_text(row->tts_values[0], reading->key_type);
	if (value != NULL && reading->seen != NULL)
	{
		both = psprintf("%d %s%s", (int) strlen(value), value, key);
		(void) hash_search(reading->seen, &both, HASH_ENTER, &found);
	}
	if (value != NULL && !found)
	{
		entry = hash_search(reading->leads, &value, HASH_ENTER, &found);
		if (!found)
			entry->keys = NIL;
		entry->keys = lappend(entry->keys, key);
	}
	MemoryContextSwitchTo(caller);
}

/*
 * The activity source of a name, ready to be read.
 */
static ActivitySource *
find_usable(Rulebook *rulebook, const char *name)
{
	for (int i = 0; i < rulebook->nactivities; i++)
	{
		if (strcmp(rulebook->activities[i].name, name) == 0 &&
			rulebook->activities[i].usable)
			return &rulebook->activities[i];
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("events of activity source \"%s\" of scoring model \"%s\" cannot be read",
					name, rulebook->model),
			 errhint("Mend it in leadscore.activity_source.")));
	return NULL;				/* keep compiler quiet */
}

/*
 * leadscore._responses(model text, stage leadscore.lead_stage, keys text[])
 *		Key of the lead, and time, of each event that is a response by the
 *		service level of a stage, of the leads with the keys or of all.  Errors:
 *		42704 no such model, service level or activity source, and those of
 *		condition_analyze.
 */
PG_FUNCTION_INFO_V1(leadscore_responses);
Datum
leadscore_responses(PG_FUNCTION_ARGS)
{
	ServiceLevel level;
	Reading    *reading = reading_begin(fcinfo, &level);
	ActivitySource *activity;
	Bitmapset  *columns = NULL;

	if (level.activity == NULL)
	{
		reading_end(reading);
		return (Datum) 0;
	}
	activity = reading->activity = find_usable(reading->rulebook, level.activity);
	for (int i = 0; i < activity->ncolumns; i++)
		columns = bms_add_member(columns, activity->columns[i]);
	if (level.condition != NULL)
	{
		Condition	condition;

		reading->condition.condition =
			compile(activity->relation, activity->time_zone, level.condition,
					level.search_path, BOOLOID,
					psprintf("response_condition of stage \"%s\" of scoring model \"%s\"",
							 lead_stage_label(PG_GETARG_LEAD_STAGE(1)),
							 reading->rulebook->model),
					true, &condition);
		reading->condition.uses_settings = condition.uses_settings || condition.calls_user_code;
		reading->condition.runs_queries = condition.runs_queries;
		columns = bms_add_members(columns, condition.columns);
	}
	take_columns(reading, columns, activity->tupdesc, "");
	if (activity->match >= 0)
	{
		AttrNumber	match = reading->rulebook->match_columns[activity->match];

		reading->leads = create_string_table("leadscore leads by value", sizeof(LeadsOfValue),
											 CurrentMemoryContext);
		if (reading->rulebook->source != reading->rulebook->target)
			reading->seen = create_string_table("leadscore leads and values",
												sizeof(StringEntry), CurrentMemoryContext);
		read_source(reading,
					psprintf(", s.%s",
							 quote_identifier(NameStr(TupleDescAttr(reading->rulebook->tupdesc,
																	match - 1)->attname))),
					"values", read_value);
	}
	read_events(reading);
	reading_end(reading);

	return (Datum) 0;
}


/* --------------------------------------------------------------------
 * Requests
 * --------------------------------------------------------------------
 */

static void
evaluate_request(Rulebook *rulebook, void *arg)
{
	Reading    *reading = (Reading *) arg;
	PinnedSettings settings;
	bool		was_busy = rulebook->busy;

	rulebook->busy = true;
	settings_pin(rulebook->time_zone, &settings);
	PG_TRY();
	{
		reading->value = ExecEvalExpr(reading->request_at, reading->econtext,
									  &reading->isnull);
	}
	PG_FINALLY();
	{
		settings_unpin(&settings);
		rulebook->busy = was_busy;
	}
	PG_END_TRY();
}

static void
read_request(TupleTableSlot *row, void *arg)
{
	Reading    *reading = (Reading *) arg;
	MemoryContext caller;
	RuleFailure failure;

	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(reading->row_context);
	caller = MemoryContextSwitchTo(reading->row_context);
	slot_getallattrs(row);
	fill_slot(reading, reading->slot, row, 1);
	/* a lead of which it cannot be told asked for nothing */
	if (run_guarded(reading->rulebook, evaluate_request, reading,
					reading->runs_queries, &failure) &&
		!reading->isnull && !TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(reading->value)))
		put_row(reading, key_text(row->tts_values[0], reading->key_type),
				DatumGetTimestampTz(reading->value));
	MemoryContextSwitchTo(caller);
}

/*
 * leadscore._requests(model text, stage leadscore.lead_stage, keys text[])
 *		Key of the lead, and time of its own request by the service level of a
 *		stage, of the leads with the keys or of all; none of leads that made no
 *		request.  Errors: as leadscore._responses().
 */
PG_FUNCTION_INFO_V1(leadscore_requests);
Datum
leadscore_requests(PG_FUNCTION_ARGS)
{
	ServiceLevel level;
	Reading    *reading = reading_begin(fcinfo, &level);
	Rulebook   *rulebook = reading->rulebook;
	Condition	condition;

	if (level.request_at == NULL)
	{
		reading_end(reading);
		return (Datum) 0;
	}
	reading->request_at =
		compile(rulebook->source, rulebook->time_zone, level.request_at,
				level.search_path, TIMESTAMPTZOID,
				psprintf("request_at of stage \"%s\" of scoring model \"%s\"",
						 lead_stage_label(PG_GETARG_LEAD_STAGE(1)), rulebook->model),
				false, &condition);
	reading->runs_queries = condition.runs_queries;
	reading->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(rulebook->tupdesc),
											 &TTSOpsVirtual);
	memset(reading->slot->tts_isnull, true, sizeof(bool) * rulebook->tupdesc->natts);
	ExecStoreVirtualTuple(reading->slot);
	reading->econtext = CreateStandaloneExprContext();
	reading->econtext->ecxt_scantuple = reading->slot;
	reading->econtext->ecxt_param_exec_vals = reading->clocks;
	reading->clocks[CLOCK_TRANSACTION].value =
		TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	reading->clocks[CLOCK_STATEMENT].value =
		TimestampTzGetDatum(GetCurrentStatementStartTimestamp());
	take_columns(reading, condition.columns, rulebook->tupdesc, "s.");
	read_source(reading, reading->column_list, "requests", read_request);
	FreeExprContext(reading->econtext, true);
	ExecDropSingleTupleTableSlot(reading->slot);
	reading_end(reading);

	return (Datum) 0;
}
