/*-------------------------------------------------------------------------
 *
 * source.c
 *	  Leads read through their model's source.
 *
 * Where the source is a view with look-ups, the lead's own row is not enough:
 * its row of the view is read by its key.  That happens as the owner of the
 * view, in a security-restricted operation and under a bare search_path, since
 * the application's role may have no right on the look-ups, and since nobody
 * shall run code as whoever happens to write a lead.
 *
 * For triggers the newest committed rows are read, and those of the
 * transaction itself, whatever the isolation level.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "parser/parse_coerce.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "source.h"

/* Names of a model and an activity source; what is longer is cut off. */
#define PLAN_NAME_LENGTH	(3 * NAMEDATALEN)

/*
 * A query that reads one lead, or its events, kept for the session.  One of
 * the same name takes its place.
 */
typedef struct SourcePlan
{
	char		name[PLAN_NAME_LENGTH]; /* hash key: of the model, or of an activity */
	char	   *query;			/* in CacheMemoryContext; NULL: none */
	Oid			key_type;
	SPIPlanPtr	plan;
	int			busy;			/* executions going on */
} SourcePlan;

static HTAB *source_plans = NULL;

/*
 * impersonate, impersonate_end
 *		Act as another user, under another search_path, with the restrictions
 *		of a maintenance command.
 *
 * An error in between undoes it as any error does.
 */
void
impersonate(Impersonation *state, Oid userid, const char *path)
{
	if (!OidIsValid(userid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("a relation of the scoring model does not exist any more")));
	GetUserIdAndSecContext(&state->save_userid, &state->save_sec_context);
	SetUserIdAndSecContext(userid, state->save_sec_context |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION |
						   SECURITY_NOFORCE_RLS);
	state->save_nestlevel = NewGUCNestLevel();
	(void) set_config_option("search_path", path, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
impersonate_end(const Impersonation *state)
{
	AtEOXact_GUC(false, state->save_nestlevel);
	SetUserIdAndSecContext(state->save_userid, state->save_sec_context);
}

/*
 * Compiling to machine code takes longer than reading a lead, whatever a view
 * is estimated to cost.  Undone by impersonate_end().
 */
static void
jit_off(void)
{
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * relation_owner
 *		Owner of a relation; InvalidOid if it is gone.
 */
Oid
relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);

	return owner;
}

/*
 * qualified_relation_name
 *		Name of a relation as a query needs it under any search_path.
 */
char *
qualified_relation_name(Oid relid)
{
	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist any more", relid)));
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/*
 * source_column_list
 *		The columns that a model reads, each with a comma before it.
 */
char *
source_column_list(const Rulebook *rulebook)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < rulebook->ncapture_columns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(rulebook->tupdesc,
											  rulebook->capture_columns[i] - 1);

		appendStringInfo(&list, ", s.%s", quote_identifier(NameStr(att->attname)));
	}
	return list.data;
}

/*
 * source_fill_slot
 *		Put the columns of source_column_list, which follow the first column
 *		of a row, into the rulebook's slot.  The values stay where they are.
 */
void
source_fill_slot(Rulebook *rulebook, TupleTableSlot *row)
{
	slot_getallattrs(row);
	for (int i = 0; i < rulebook->ncapture_columns; i++)
	{
		int			to = rulebook->capture_columns[i] - 1;

		rulebook->slot->tts_values[to] = row->tts_values[i + 1];
		rulebook->slot->tts_isnull[to] = row->tts_isnull[i + 1];
	}
}

/*
 * The same for a row that was fetched, with copies in the current memory
 * context.
 */
static void
copy_to_slot(Rulebook *rulebook, HeapTuple tuple, TupleDesc desc)
{
	for (int i = 0; i < rulebook->ncapture_columns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i + 1);
		int			to = rulebook->capture_columns[i] - 1;
		bool		isnull;
		Datum		value = heap_getattr(tuple, i + 2, desc, &isnull);

		rulebook->slot->tts_values[to] = isnull ? (Datum) 0 :
			datumCopy(value, att->attbyval, att->attlen);
		rulebook->slot->tts_isnull[to] = isnull;
	}
}

/* A receiver that hands each row to a function. */
typedef struct RowReceiver
{
	DestReceiver pub;
	SourceRowFunction function;
	void	   *arg;
} RowReceiver;

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	RowReceiver *receiver = (RowReceiver *) self;

	receiver->function(slot, receiver->arg);
	return true;
}

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
receiver_nothing(DestReceiver *self)
{
}

static void
set_receiver(RowReceiver *receiver, SourceRowFunction function, void *arg)
{
	memset(receiver, 0, sizeof(RowReceiver));
	receiver->pub.receiveSlot = receive_row;
	receiver->pub.rStartup = receiver_startup;
	receiver->pub.rShutdown = receiver_nothing;
	receiver->pub.rDestroy = receiver_nothing;
	receiver->pub.mydest = DestNone;
	receiver->function = function;
	receiver->arg = arg;
}

/*
 * relation_read_many
 *		Run a query over a relation, as its owner, with the rows that a
 *		snapshot sees, and hand each row to a function.
 *
 * 'values' of the 'types' are its parameters, NULL where 'nulls' says 'n'; it
 * may use parallel workers.
 */
void
relation_read_many(Oid relid, const char *query, int nargs, Oid *types,
				   Datum *values, const char *nulls, Snapshot snapshot,
				   SourceRowFunction function, void *arg)
{
	relation_read_how(relid, query, READ_PARALLEL, nargs, types, values, nulls,
					  snapshot, function, arg);
}

/*
 * relation_read_how
 *		The same with more to be said about how.
 *
 * With READ_PARALLEL it may use parallel workers; then it is in parallel mode
 * that each row is handed on.  With READ_OUR_NAMES the query is parsed as the current user, and only planned
 * and run as the relation's owner: it may name what is ours, though the owner
 * has no right on the schema.  Nothing but names is looked up by then.
 */
void
relation_read_how(Oid relid, const char *query, ReadHow how, int nargs,
				  Oid *types, Datum *values, const char *nulls, Snapshot snapshot,
				  SourceRowFunction function, void *arg)
{
	Impersonation names;
	Impersonation impersonation;
	SPIExecuteOptions options;
	SPIPlanPtr	plan;
	RowReceiver receiver;
	ParamListInfo params = makeParamList(nargs);

	for (int i = 0; i < nargs; i++)
	{
		params->params[i].value = values[i];
		params->params[i].isnull = nulls[i] == 'n';
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = types[i];
	}
	set_receiver(&receiver, function, arg);

	impersonate(&impersonation, relation_owner(relid), "pg_catalog, pg_temp");
	jit_off();
	PushActiveSnapshot(snapshot);
	SPI_connect();
	if (how & READ_OUR_NAMES)
		impersonate(&names, impersonation.save_userid, "pg_catalog, pg_temp");
	/* run to its end in one go, it may use parallel workers */
	plan = SPI_prepare_cursor(query, nargs, types,
							  how & READ_PARALLEL ? CURSOR_OPT_PARALLEL_OK : 0);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	if (how & READ_OUR_NAMES)
		impersonate_end(&names);
	memset(&options, 0, sizeof(options));
	options.params = params;
	options.read_only = true;
	options.dest = &receiver.pub;
	if (SPI_execute_plan_extended(plan, &options) < 0)
		elog(ERROR, "could not read %s", qualified_relation_name(relid));
	SPI_finish();
	PopActiveSnapshot();
	impersonate_end(&impersonation);
}

/*
 * Find the plan of a query, or make it.
 */
static SourcePlan *
get_plan(const char *name, const char *query, Oid key_type)
{
	SourcePlan *entry;
	bool		found;

	if (source_plans == NULL)
	{
		HASHCTL		ctl;

		ctl.keysize = PLAN_NAME_LENGTH;
		ctl.entrysize = sizeof(SourcePlan);
		ctl.hcxt = CacheMemoryContext;
		source_plans = hash_create("leadscore sources", 16, &ctl,
								   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	entry = hash_search(source_plans, name, HASH_ENTER, &found);
	if (!found)
	{
		entry->query = NULL;
		entry->plan = NULL;
		entry->busy = 0;
	}
	if (entry->query != NULL && entry->key_type == key_type &&
		strcmp(entry->query, query) == 0)
		return entry;

	if (entry->query != NULL)
	{
		pfree(entry->query);
		entry->query = NULL;
		/* a view may call what writes leads; then the old plan is in use */
		if (entry->busy == 0)
			SPI_freeplan(entry->plan);
		entry->plan = NULL;
	}
	entry->plan = SPI_prepare(query, 1, &key_type);
	if (entry->plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(entry->plan);
	entry->key_type = key_type;
	entry->query = MemoryContextStrdup(CacheMemoryContext, query);

	return entry;
}

/*
 * relation_query
 *		Run a query with one parameter over a relation, with the rows that a
 *		snapshot sees, and hand each row to a function.
 *
 * As the relation's owner if 'as_owner', else as the current user.  The plan is
 * kept for the session under 'name', as long as the query is the same.
 */
void
relation_query(Oid relid, const char *name, bool as_owner, const char *query,
			   Oid type, Datum value, Snapshot snapshot,
			   SourceRowFunction function, void *arg)
{
	Impersonation impersonation;
	SPIExecuteOptions options;
	SourcePlan *plan;
	RowReceiver receiver;
	ParamListInfo params = makeParamList(1);
	volatile int result = 0;

	params->params[0].value = value;
	params->params[0].isnull = false;
	params->params[0].pflags = PARAM_FLAG_CONST;
	params->params[0].ptype = type;
	set_receiver(&receiver, function, arg);

	impersonate(&impersonation, as_owner ? relation_owner(relid) : GetUserId(),
				"pg_catalog, pg_temp");
	jit_off();
	PushActiveSnapshot(snapshot);
	SPI_connect();
	plan = get_plan(name, query, type);
	memset(&options, 0, sizeof(options));
	options.params = params;
	options.read_only = true;
	options.dest = &receiver.pub;
	plan->busy++;
	PG_TRY();
	{
		result = SPI_execute_plan_extended(plan->plan, &options);
	}
	PG_FINALLY();
	{
		plan->busy--;
	}
	PG_END_TRY();
	if (result < 0)
		elog(ERROR, "could not read %s", qualified_relation_name(relid));
	SPI_finish();
	PopActiveSnapshot();
	impersonate_end(&impersonation);
}

/*
 * relation_lock_rows
 *		Run a query with one parameter that locks rows of a relation, as the
 *		current user, who needs the right to.  Returns how many there are.  The
 *		plan is kept as by relation_query().
 */
uint64
relation_lock_rows(Oid relid, const char *name, const char *query, Oid type,
				   Datum value)
{
	SourcePlan *plan;
	uint64		nrows = 0;

	SPI_connect();
	plan = get_plan(name, query, type);
	plan->busy++;
	PG_TRY();
	{
		if (SPI_execute_plan(plan->plan, &value, NULL, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not lock rows of %s", qualified_relation_name(relid));
		nrows = SPI_processed;
	}
	PG_FINALLY();
	{
		plan->busy--;
	}
	PG_END_TRY();
	SPI_finish();

	return nrows;
}

/*
 * source_read
 *		Read the row of a lead into the rulebook's slot.
 *
 * 'snapshot' says which rows are seen; InvalidSnapshot: the newest committed
 * and the transaction's own.  Returns how many rows the source has for the
 * key: 0, 1, or 2 for several, of which one is taken.  The values are copies in
 * the current memory context.
 */
int
source_read(Rulebook *rulebook, const char *key_column, Oid key_type, Datum key,
			Snapshot snapshot)
{
	MemoryContext caller = CurrentMemoryContext;
	Impersonation impersonation;
	bool		newest = snapshot == InvalidSnapshot;
	SourcePlan *plan;
	char	   *query;
	volatile int result = 0;
	int			nrows;

	query = psprintf("SELECT 1%s FROM %s s WHERE s.%s OPERATOR(pg_catalog.=) $1",
					 source_column_list(rulebook),
					 qualified_relation_name(rulebook->source),
					 quote_identifier(key_column));

	impersonate(&impersonation, relation_owner(rulebook->source),
				"pg_catalog, pg_temp");
	jit_off();
	SPI_connect();
	plan = get_plan(rulebook->model, query, key_type);
	snapshot = RegisterSnapshot(newest ? GetLatestSnapshot() : snapshot);
	plan->busy++;
	PG_TRY();
	{
		result = SPI_execute_snapshot(plan->plan, &key, NULL, snapshot,
									  InvalidSnapshot, !newest, false, 2);
	}
	PG_FINALLY();
	{
		plan->busy--;
	}
	PG_END_TRY();
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not read the source of scoring model \"%s\"",
			 rulebook->model);
	UnregisterSnapshot(snapshot);
	nrows = (int) SPI_processed;
	if (nrows > 0)
	{
		MemoryContext spi = MemoryContextSwitchTo(caller);

		copy_to_slot(rulebook, SPI_tuptable->vals[0], SPI_tuptable->tupdesc);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	impersonate_end(&impersonation);
	pfree(query);

	return nrows;
}

/* How leads are read by keys of a given type. */
struct LeadReader
{
	Oid			column_type;	/* of the key */
	bool		from_text;
	Oid			from_integer;	/* another integer type, or InvalidOid */
	FmgrInfo	input;
	Oid			param;
	char	   *query;
	Rulebook   *rulebook;		/* while it reads */
	MemoryContext context;
	bool		found;
};

static bool
is_integer_type(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID || type == NUMERICOID;
}

/*
 * lead_reader_create
 *		Get ready to read leads of a model by keys of a type, in the current
 *		memory context.
 *
 * Errors: 55000 the model has no key column, 42804 the type is not that of the
 * key, nor text.
 */
LeadReader *
lead_reader_create(const Rulebook *rulebook, Oid key_type)
{
	LeadReader *reader = palloc0(sizeof(LeadReader));
	Form_pg_attribute att;
	Oid			input;
	StringInfoData columns;

	if (rulebook->key_column == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("scoring model \"%s\" has no key column", rulebook->model),
				 errhint("Set key_column in leadscore.model to a unique column of target and source.")));
	att = TupleDescAttr(rulebook->tupdesc, rulebook->key_column - 1);
	reader->column_type = att->atttypid;
	/* another type could bring casts along */
	reader->from_text = key_type != att->atttypid && IsBinaryCoercible(key_type, TEXTOID);
	if (key_type != att->atttypid && !reader->from_text &&
		!(is_integer_type(key_type) && is_integer_type(att->atttypid)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("key of a lead of scoring model \"%s\" has type %s, not %s",
						rulebook->model, format_type_be(att->atttypid),
						format_type_be(key_type)),
				 errhint("Cast the key to that type, or to text.")));
	getTypeInputInfo(att->atttypid, &input, &reader->param);
	fmgr_info(input, &reader->input);
	reader->from_integer = key_type != att->atttypid && !reader->from_text ? key_type : InvalidOid;

	initStringInfo(&columns);
	for (int i = 0; i < rulebook->ncolumns; i++)
		appendStringInfo(&columns, "%ss.%s", i > 0 ? ", " : "",
						 quote_identifier(NameStr(TupleDescAttr(rulebook->tupdesc,
																rulebook->columns[i] - 1)->attname)));
	reader->query = psprintf("SELECT %s FROM %s s WHERE s.%s OPERATOR(pg_catalog.=) $1 LIMIT 1",
							 columns.data, qualified_relation_name(rulebook->source),
							 quote_identifier(NameStr(att->attname)));
	return reader;
}

static void
read_lead(TupleTableSlot *row, void *arg)
{
	LeadReader *reader = (LeadReader *) arg;
	Rulebook   *rulebook = reader->rulebook;
	MemoryContext caller = MemoryContextSwitchTo(reader->context);

	slot_getallattrs(row);
	for (int i = 0; i < rulebook->ncolumns; i++)
	{
		int			to = rulebook->columns[i] - 1;
		Form_pg_attribute att = TupleDescAttr(rulebook->tupdesc, to);

		rulebook->slot->tts_isnull[to] = row->tts_isnull[i];
		if (!row->tts_isnull[i])
			rulebook->slot->tts_values[to] =
				datumCopy(row->tts_values[i], att->attbyval, att->attlen);
	}
	reader->found = true;
	MemoryContextSwitchTo(caller);
}

/*
 * lead_reader_read
 *		Read a lead into the rulebook's slot; false if the source shows none of
 *		that key.
 *
 * As the source's owner if 'as_owner', else as the current user.  The values
 * are copies in the current memory context.
 */
bool
lead_reader_read(LeadReader *reader, Rulebook *rulebook, Datum key,
				 Snapshot snapshot, bool as_owner)
{
	if (reader->from_text)
		key = InputFunctionCall(&reader->input, TextDatumGetCString(key), reader->param, -1);
	else if (OidIsValid(reader->from_integer))
	{
		Oid			output;
		bool		is_varlena;

		getTypeOutputInfo(reader->from_integer, &output, &is_varlena);
		key = InputFunctionCall(&reader->input, OidOutputFunctionCall(output, key),
								reader->param, -1);
	}
	reader->rulebook = rulebook;
	reader->context = CurrentMemoryContext;
	reader->found = false;
	relation_query(rulebook->source, psprintf("%s row", rulebook->model), as_owner,
				   reader->query, reader->column_type, key, snapshot, read_lead, reader);
	return reader->found;
}
