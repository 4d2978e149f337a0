/*-------------------------------------------------------------------------
 *
 * watch.c
 *	  Which leads a row of a look-up table concerns, and scoring them again.
 *
 * What watch() was given is SQL over a row of the watched table.  It is run as
 * the table's owner, in a security-restricted operation, under the search_path
 * of whoever wrote it; who changes a look-up needs no right on anything.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "capture.h"
#include "problem.h"
#include "rulebook.h"
#include "settle.h"
#include "source.h"
#include "watch.h"

/* The columns of leadscore.watched, in the order of the install script. */
#define Anum_watched_model			1
#define Anum_watched_relation		2
#define Anum_watched_lead_key		4
#define Anum_watched_search_path	5
#define Natts_watched				5

/* What a trigger knows of its table. */
typedef struct WatchedTable
{
	Scorer	   *scorer;
	Oid			relid;
	bool		usable;
	char	   *query;			/* yields the keys; its parameter is the row */
	char	   *path;
	SPIPlanPtr	plan;
	MemoryContextCallback release;
} WatchedTable;


/* An expression, and whether it is a query rather than what to select. */
typedef struct Parsing
{
	const char *expression;
	bool		is_query;
} Parsing;

static void
parse_query(void *arg)
{
	Parsing    *parsing = (Parsing *) arg;
	List	   *statements = raw_parser(parsing->expression, RAW_PARSE_DEFAULT);

	parsing->is_query = list_length(statements) == 1 &&
		IsA(linitial_node(RawStmt, statements)->stmt, SelectStmt);
}

static bool
is_query(const char *expression)
{
	Parsing		parsing = {expression, false};

	(void) catch_error(parse_query, &parsing);
	return parsing.is_query;
}

/*
 * The query that yields the keys of the leads that a row concerns.  The row
 * goes by the name of the watched table, even if it is one of a partition.
 */
static char *
watch_query(Oid relid, const char *expression)
{
	return psprintf("SELECT k.* FROM (SELECT ($1).*) AS %s, "
					"LATERAL (%s%s\n) AS k(lead_key)",
					quote_identifier(get_rel_name(relid)),
					is_query(expression) ? "" : "SELECT ", expression);
}

/*
 * watch_check
 *		An error if an expression yields no keys.
 */
void
watch_check(Oid relid, const char *expression, const char *path)
{
	Oid			type = get_rel_type_id(relid);
	Impersonation impersonation;
	SPIPlanPtr	plan;
	List	   *sources;

	impersonate(&impersonation, relation_owner(relid), path);
	SPI_connect();
	plan = SPI_prepare(watch_query(relid, expression), 1, &type);
	sources = plan != NULL ? SPI_plan_get_plan_sources(plan) : NIL;
	if (list_length(sources) != 1 ||
		((CachedPlanSource *) linitial(sources))->resultDesc == NULL ||
		((CachedPlanSource *) linitial(sources))->resultDesc->natts != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("expression does not yield the keys of leads"),
				 errhint("Write an expression over a row of the table, or a SELECT of keys.")));
	SPI_finish();
	impersonate_end(&impersonation);
}

static void
release_watched_table(void *arg)
{
	WatchedTable *table = (WatchedTable *) arg;

	if (table->plan != NULL)
		SPI_freeplan(table->plan);
	table->plan = NULL;
}

/*
 * Find what watch() stored for a table, or for one that it is a part of.
 */
static void
load_watched(WatchedTable *table, Relation target)
{
	Relation	rel = table_open(leadscore_relation("watched"), AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_watched_model, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(table->scorer->model));
	scan = systable_beginscan(rel, leadscore_relation("watched_pkey"), true,
							  snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum		values[Natts_watched];
		bool		nulls[Natts_watched];
		Oid			relid;

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		relid = DatumGetObjectId(values[Anum_watched_relation - 1]);
		if (relid != RelationGetRelid(target) &&
			(!OidIsValid(get_rel_type_id(relid)) ||
			 !typeInheritsFrom(target->rd_rel->reltype, get_rel_type_id(relid))))
			continue;
		table->query = watch_query(relid, TextDatumGetCString(values[Anum_watched_lead_key - 1]));
		table->path = TextDatumGetCString(values[Anum_watched_search_path - 1]);
		table->usable = scorer_complete(table->scorer) &&
			table->scorer->states->key_index >= 0;
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
}

static WatchedTable *
get_watched_table(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	WatchedTable *table = (WatchedTable *) fcinfo->flinfo->fn_extra;

	if (table == NULL)
	{
		MemoryContext context = fcinfo->flinfo->fn_mcxt;
		MemoryContext caller = MemoryContextSwitchTo(context);

		table = palloc0(sizeof(WatchedTable));
		table->scorer = statement_scorer(context, trigger->tg_trigger->tgargs[0]);
		load_watched(table, trigger->tg_relation);
		table->release.func = release_watched_table;
		table->release.arg = table;
		MemoryContextRegisterResetCallback(context, &table->release);
		fcinfo->flinfo->fn_extra = table;
		MemoryContextSwitchTo(caller);
	}
	return table->usable ? table : NULL;
}

/*
 * Add a key, converted to the type that the model has, to a list of Datum
 * pointers.
 */
static List *
add_key(List *keys, const Scorer *scorer, Datum value, Oid type)
{
	Datum	   *key = palloc(sizeof(Datum));
	int16		length;
	bool		by_value;

	get_typlenbyval(scorer->key_type, &length, &by_value);
	if (type == scorer->key_type)
		*key = datumCopy(value, by_value, length);
	else
	{
		Oid			output;
		bool		is_varlena;
		Oid			input;
		Oid			param;

		getTypeOutputInfo(type, &output, &is_varlena);
		getTypeInputInfo(scorer->key_type, &input, &param);
		*key = OidInputFunctionCall(input, OidOutputFunctionCall(output, value),
									param, -1);
	}
	return lappend(keys, key);
}

/*
 * The keys of the leads that a row concerns, in the current memory context.
 */
static List *
find_keys(WatchedTable *table, Oid relid, Datum row, List *keys)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid			type = get_rel_type_id(relid);
	Impersonation impersonation;
	Snapshot	snapshot;
	Oid			key_type;
	Oid			element_type;

	impersonate(&impersonation, relation_owner(relid), table->path);
	SPI_connect();
	if (table->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(table->query, 1, &type);

		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		table->plan = plan;
	}
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (SPI_execute_snapshot(table->plan, &row, NULL, snapshot, InvalidSnapshot,
							 false, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not find the leads that a look-up concerns");
	UnregisterSnapshot(snapshot);

	key_type = SPI_gettypeid(SPI_tuptable->tupdesc, 1);
	element_type = get_element_type(key_type);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		key = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
										1, &isnull);
		MemoryContext spi;

		if (isnull)
			continue;
		spi = MemoryContextSwitchTo(caller);
		if (OidIsValid(element_type) && key_type != table->scorer->key_type)
		{
			ArrayIterator iterator = array_create_iterator(DatumGetArrayTypeP(key), 0, NULL);
			Datum		element;

			while (array_iterate(iterator, &element, &isnull))
			{
				if (!isnull)
					keys = add_key(keys, table->scorer, element, element_type);
			}
			array_free_iterator(iterator);
		}
		else
			keys = add_key(keys, table->scorer, key, key_type);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	impersonate_end(&impersonation);

	return keys;
}

/*
 * Are two versions of a row the same, as stored?
 */
static bool
same_row(TupleTableSlot *a, TupleTableSlot *b)
{
	slot_getallattrs(a);
	slot_getallattrs(b);
	for (int i = 0; i < a->tts_tupleDescriptor->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(a->tts_tupleDescriptor, i);

		if (a->tts_isnull[i] != b->tts_isnull[i] ||
			(!a->tts_isnull[i] &&
			 !datum_image_eq(a->tts_values[i], b->tts_values[i],
							 att->attbyval, att->attlen)))
			return false;
	}
	return true;
}

/*
 * All leads of the model may be concerned.
 */
static void
rescore_all(const char *model)
{
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(model);
	Impersonation impersonation;

	impersonate(&impersonation, relation_owner(leadscore_relation("watched")),
				"pg_catalog, pg_temp");
	SPI_connect();
	if (SPI_execute_with_args("SELECT leadscore._rescore_all($1)", 1, &type,
							  &value, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not rescore the leads of scoring model \"%s\"", model);
	SPI_finish();
	impersonate_end(&impersonation);
}

/* What list_sort's comparison needs to know. */
static StateTable *sorting_states;

static int
compare_keys(const ListCell *a, const ListCell *b)
{
	return state_compare_keys(sorting_states, *(Datum *) lfirst(a),
							  *(Datum *) lfirst(b));
}

/*
 * Score leads again, except those whose keys are in 'done'.  What somebody
 * else holds is left to him: he has yet to settle it (see settle.c).
 */
static void
rescore_keys(Scorer *scorer, List *keys, List *done, bool at_commit)
{
	StateTable *states = scorer->states;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "leadscore lead",
												  ALLOCSET_DEFAULT_SIZES);
	Datum	   *previous = NULL;
	int			ndone = 0;
	ListCell   *lc;

	sorting_states = states;
	list_sort(keys, compare_keys);
	list_sort(done, compare_keys);
	foreach(lc, keys)
	{
		Datum		key = *(Datum *) lfirst(lc);
		int			order = -1;
		bool		locked;

		if (previous != NULL && state_compare_keys(states, *previous, key) == 0)
			continue;
		previous = (Datum *) lfirst(lc);
		while (ndone < list_length(done) &&
			   (order = state_compare_keys(states, *(Datum *) list_nth(done, ndone), key)) < 0)
			ndone++;
		if (ndone < list_length(done) && order == 0)
			continue;
		MemoryContextSwitchTo(context);
		if (at_commit)
			scorer_rescore_or_leave(scorer, key);
		else
			(void) scorer_rescore(scorer, key, CAUSE_LOOKUP, true, &locked);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
}

/*
 * As the transaction commits: score the leads that rows concern by now.
 */
static void
rescore_concerned_at_commit(const char *model, List *rows, List *done)
{
	Scorer	   *scorer = scorer_create(model);
	List	   *keys = NIL;
	WatchedTable table;
	ListCell   *lc;

	memset(&table, 0, sizeof(table));
	foreach(lc, rows)
	{
		UnsettledRow *row = (UnsettledRow *) lfirst(lc);

		if (table.relid != row->relid)
		{
			Relation	rel = try_relation_open(row->relid, AccessShareLock);

			release_watched_table(&table);
			memset(&table, 0, sizeof(table));
			if (rel == NULL)
				continue;
			table.scorer = scorer;
			table.relid = row->relid;
			load_watched(&table, rel);
			relation_close(rel, NoLock);
		}
		if (table.usable)
			keys = find_keys(&table, row->relid, row->row, keys);
	}
	release_watched_table(&table);
	if (keys != NIL)
		rescore_keys(scorer, keys, done, true);
}

/*
 * Score the leads again that the trigger's rows concern.
 */
static void
rescore_concerned(WatchedTable *table, TriggerData *trigger)
{
	Oid			relid = RelationGetRelid(trigger->tg_relation);
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	List	   *keys = NIL;
	Datum		row;

	if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
	{
		rescore_all(table->scorer->model);
		return;
	}
	row = heap_copy_tuple_as_datum(trigger->tg_trigtuple, desc);
	settle_row(table->scorer->model, relid, row,
			   rescore_concerned_at_commit, scorer_settle);
	keys = find_keys(table, relid, row, keys);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		row = heap_copy_tuple_as_datum(trigger->tg_newtuple, desc);
		settle_row(table->scorer->model, relid, row,
			   rescore_concerned_at_commit, scorer_settle);
		keys = find_keys(table, relid, row, keys);
	}
	rescore_keys(table->scorer, keys, NIL, false);
}

/* What a trigger does where errors are caught. */
typedef struct WatchEvent
{
	WatchedTable *table;
	TriggerData *trigger;
} WatchEvent;

static void
handle_event(void *arg)
{
	WatchEvent *event = (WatchEvent *) arg;

	rescore_concerned(event->table, event->trigger);
}

/*
 * leadscore.capture_watched(): trigger AFTER INSERT OR UPDATE OR DELETE FOR
 * EACH ROW, and AFTER TRUNCATE, on a table that a source looks things up in
 *		Scores the leads concerned in the same commit.  Argument: the model.
 *		Never fails because of rules, sources or the expression of watch().
 */
PG_FUNCTION_INFO_V1(leadscore_capture_watched);
Datum
leadscore_capture_watched(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	WatchedTable *table;
	WatchEvent	event;
	ErrorData  *error;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by the trigger it is made for",
						"capture_watched"),
				 errhint("Use leadscore.watch() to create it.")));
	if (restores_leads())
		return PointerGetDatum(NULL);
	table = get_watched_table(fcinfo);
	if (table == NULL)
		return PointerGetDatum(NULL);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) &&
		same_row(trigger->tg_trigslot, trigger->tg_newslot))
		return PointerGetDatum(NULL);

	/* the expression can do anything, so that nothing less would do */
	event.table = table;
	event.trigger = trigger;
	error = catch_error(handle_event, &event);
	if (error != NULL)
	{
		state_table_recover(table->scorer->states);
		note_problem(table->scorer->model, NO_RULE, NULL, error->sqlerrcode,
					 psprintf("leads could not be scored after a change of \"%s\": %s",
							  RelationGetRelationName(trigger->tg_relation),
							  error->message));
	}
	return PointerGetDatum(NULL);
}
