/*-------------------------------------------------------------------------
 *
 * score.c
 *	  SQL face: score, fit, engagement, temperature, grade, disqualified,
 *	  evaluate, explain, _account.
 *
 * Each function comes in three shapes.  One takes the lead as a record.
 * Another takes just the columns that the rules read; the planner puts it in
 * place of the first where it can (see planner.c).  The third takes the lead's
 * key and a time, and reads the row as it is today.  All fill the rulebook's
 * slot and then do the same.
 *
 * A call site keeps its state from row to row: the rulebook, held by a
 * reference, and how the values it is given map to the source's columns.
 * Whether the rulebook still is the right one is asked for each row, by a look
 * at the active snapshot; see StatementKey.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "columncall.h"
#include "evaluate.h"
#include "recall.h"
#include "rulebook.h"
#include "score.h"
#include "source.h"

PG_MODULE_MAGIC;

typedef struct CallState
{
	CallSite	site;			/* for other rooms */
	MemoryContextCallback release;
	MemoryContext context;
	Rulebook   *rulebook;		/* holds a reference */
	StatementKey statement;
	bool		model_is_const;
	char	   *model;
	int			model_len;

	/* how the given values map to columns; for this rulebook */
	const Rulebook *mapped;
	bool		fits;			/* column calls: all columns are there */
	int			ncolumns;		/* column calls: columns given */
	AttrNumber *columns;
	bool		replan_asked;	/* column calls: plans were thrown away */
	Oid			record_type;	/* record calls: type the map is for */
	int32		record_typmod;
	uint64		record_version; /* of that type's definition, if it is not the source's */
	TupleDesc	record_desc;
	AttrNumber *map;			/* record column of each rulebook column */
	Datum	   *values;			/* work space of heap_deform_tuple */
	bool	   *nulls;

	/* what leads did; for this rulebook and statement */
	Recall	   *recall;			/* NULL: not known yet */
	MemoryContext recall_context;

	/* calls with a key */
	LeadReader *reader;			/* for this rulebook */
	const Rulebook *reader_for;
	bool		has_at;
	TimestampTz at;

	TupleDesc	result_desc;	/* evaluate */
	Oid			temperatures[NUM_TEMPERATURES];
	bool		have_temperatures;
} CallState;


/* --------------------------------------------------------------------
 * Call state
 * --------------------------------------------------------------------
 */

static inline bool
same_statement(const StatementKey *key, Snapshot snapshot)
{
	if (key->command != snapshot->curcid ||
		key->completed != snapshot_completed(snapshot) ||
		key->xmin != snapshot->xmin || key->xmax != snapshot->xmax ||
		key->xcnt != snapshot->xcnt || key->subxcnt != snapshot->subxcnt)
		return false;

	/*
	 * Whenever a transaction or subtransaction that wrote something ends, new
	 * snapshots have a higher count.  Only where snapshots are not taken anew,
	 * or come from elsewhere, there is more to ask.
	 */
	if (likely(key->completed != 0 && !IsolationUsesXactSnapshot()))
		return true;
	return key->subtransaction == GetCurrentSubTransactionId() &&
		key->started == GetCurrentStatementStartTimestamp();
}

static void
set_statement(StatementKey *key, Snapshot snapshot)
{
	key->started = GetCurrentStatementStartTimestamp();
	key->xmin = snapshot->xmin;
	key->xmax = snapshot->xmax;
	key->xcnt = snapshot->xcnt;
	key->subxcnt = snapshot->subxcnt;
	key->subtransaction = GetCurrentSubTransactionId();
	key->command = snapshot->curcid;
	key->completed = snapshot_completed(snapshot);
}

/*
 * is_same_statement, note_statement
 *		The same for other rooms.
 */
bool
is_same_statement(const StatementKey *key, Snapshot snapshot)
{
	return same_statement(key, snapshot);
}

void
note_statement(StatementKey *key, Snapshot snapshot)
{
	set_statement(key, snapshot);
}

static void
release_call_state(void *arg)
{
	CallState  *state = (CallState *) arg;

	if (state->rulebook != NULL)
		rulebook_release(state->rulebook);
	state->rulebook = NULL;
}

static CallState *
create_call_state(FunctionCallInfo fcinfo)
{
	MemoryContext context = fcinfo->flinfo->fn_mcxt;
	CallState  *state = MemoryContextAllocZero(context, sizeof(CallState));
	Node	   *expr = fcinfo->flinfo->fn_expr;

	state->context = context;
	if (expr != NULL && IsA(expr, FuncExpr))
		state->model_is_const =
			IsA(linitial(((FuncExpr *) expr)->args), Const);
	state->release.func = release_call_state;
	state->release.arg = state;
	MemoryContextRegisterResetCallback(context, &state->release);
	fcinfo->flinfo->fn_extra = state;

	return state;
}

/*
 * Find the rulebook for a row: the one of the row before, if the statement
 * and the model are still the same.
 */
static inline CallState *
get_call_state(FunctionCallInfo fcinfo)
{
	CallState  *state = (CallState *) fcinfo->flinfo->fn_extra;
	Snapshot	snapshot = GetActiveSnapshot();
	text	   *model;
	Rulebook   *rulebook;

	if (likely(state != NULL && state->rulebook != NULL &&
			   state->rulebook->valid &&
			   same_statement(&state->statement, snapshot)))
	{
		if (likely(state->model_is_const))
			return state;
		model = PG_GETARG_TEXT_PP(0);
		if (VARSIZE_ANY_EXHDR(model) == state->model_len &&
			memcmp(VARDATA_ANY(model), state->model, state->model_len) == 0)
			return state;
	}

	if (state == NULL)
		state = create_call_state(fcinfo);

	model = PG_GETARG_TEXT_PP(0);
	if (state->model == NULL ||
		VARSIZE_ANY_EXHDR(model) != state->model_len ||
		memcmp(VARDATA_ANY(model), state->model, state->model_len) != 0)
	{
		MemoryContext caller = MemoryContextSwitchTo(state->context);

		if (state->model != NULL)
			pfree(state->model);
		state->model = text_to_cstring(model);
		state->model_len = VARSIZE_ANY_EXHDR(model);
		MemoryContextSwitchTo(caller);
	}

	rulebook = rulebook_acquire(state->model, snapshot, false);
	if (state->rulebook != NULL)
		rulebook_release(state->rulebook);
	if (rulebook != state->rulebook)
		state->mapped = NULL;
	state->rulebook = rulebook;
	state->recall = NULL;
	set_statement(&state->statement, snapshot);

	return state;
}

/*
 * From where what leads did is taken; the same for a statement's rows.
 */
static Recall *
get_recall(CallState *state)
{
	MemoryContext caller;

	if (state->recall != NULL)
		return state->recall;
	if (state->recall_context == NULL)
		state->recall_context = AllocSetContextCreate(state->context, "leadscore recall",
													  ALLOCSET_SMALL_SIZES);
	MemoryContextReset(state->recall_context);
	caller = MemoryContextSwitchTo(state->recall_context);
	state->recall = recall_create(state->rulebook, GetActiveSnapshot());
	MemoryContextSwitchTo(caller);

	return state->recall;
}

/*
 * call_site
 *		What a function of another room, whose first argument is a model, keeps
 *		from row to row.  Errors: 42704 unknown model.
 */
CallSite *
call_site(FunctionCallInfo fcinfo)
{
	CallState  *state = get_call_state(fcinfo);

	state->site.fresh = state->recall == NULL || state->site.rulebook != state->rulebook;
	state->site.context = state->context;
	state->site.rulebook = state->rulebook;
	state->site.recall = get_recall(state);
	return &state->site;
}

/*
 * Evaluate the lead in the slot as of now or of the call's own time; leniently,
 * what ends in an error does not match.
 */
static void
evaluate_slot(CallState *state, Evaluation *result, Account *account, bool leniently)
{
	TimestampTz *at = state->has_at ? &state->at : NULL;
	RuleFailure *failures;

	if (leniently)
		(void) evaluate_leniently(state->rulebook, at, result, account, &failures);
	else
		evaluate(state->rulebook, at, result, account);
}

/*
 * The same with what the lead did.
 */
static void
evaluate_call_or_not(CallState *state, Evaluation *result, Account *account,
					 bool leniently)
{
	Rulebook   *rulebook = state->rulebook;
	Activities	did;

	if (likely(rulebook->nterms == 0))
	{
		evaluate_slot(state, result, account, leniently);
		return;
	}
	did.at = state->has_at ? state->at : GetCurrentStatementStartTimestamp();
	did.created_at = DT_NOEND;
	if (rulebook->needs_created_at)
	{
		RuleFailure failure;

		if (!rulebook_created_at(rulebook, &did.created_at, &failure) && !leniently)
			ereport(ERROR,
					(errcode(failure.sqlerrcode),
					 errmsg("%s", failure.message),
					 errcontext("expression created_at of scoring model \"%s\"",
								rulebook->model)));
	}
	did.summary = recall_lead(get_recall(state), rulebook, did.at, GetActiveSnapshot());
	rulebook->did = &did;
	PG_TRY();
	{
		evaluate_slot(state, result, account, leniently);
	}
	PG_FINALLY();
	{
		rulebook->did = NULL;
	}
	PG_END_TRY();
}

static void
evaluate_call(CallState *state, Evaluation *result, Account *account)
{
	evaluate_call_or_not(state, result, account, false);
}


/* --------------------------------------------------------------------
 * Filling the slot from a record
 * --------------------------------------------------------------------
 */

/*
 * Complain that a record is not a row of the model's source.
 */
static void
wrong_record(const Rulebook *rulebook, Oid type)
{
	Oid			relid = type == RECORDOID ? InvalidOid : typeidTypeRelid(type);

	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("record is not a row of the source of scoring model \"%s\"",
					rulebook->model),
			 errdetail("The record has type %s; the model's source is %s.",
					   format_type_be(type),
					   format_type_be(rulebook->rowtype)),
			 OidIsValid(relid) && relid == rulebook->target ?
			 errhint("The model reads its leads through that source: pass the source's row instead of the table's.") :
			 errhint("Pass a row of the source, as in: SELECT leadscore.score(%s, l) FROM %s l.",
					 quote_literal_cstr(rulebook->model),
					 format_type_be(rulebook->rowtype))));
}

/*
 * Find the columns that the rules read in a row of another shape, by name.
 */
static void
map_by_name(const Rulebook *rulebook, TupleDesc desc, Oid type, AttrNumber *map)
{
	for (int i = 0; i < rulebook->ncolumns; i++)
	{
		Form_pg_attribute wanted = TupleDescAttr(rulebook->tupdesc,
												 rulebook->columns[i] - 1);

		map[i] = 0;
		for (int j = 0; j < desc->natts; j++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, j);

			if (!att->attisdropped && att->atttypid == wanted->atttypid &&
				strcmp(NameStr(att->attname), NameStr(wanted->attname)) == 0)
			{
				map[i] = j + 1;
				break;
			}
		}
		if (map[i] != 0)
			continue;
		if (type != RECORDOID)
			wrong_record(rulebook, type);
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("record is not a row of the source of scoring model \"%s\"",
						rulebook->model),
				 errdetail("The record has no column \"%s\" of type %s.",
						   NameStr(wanted->attname),
						   format_type_with_typemod(wanted->atttypid, -1)),
				 errhint("Pass a row of %s, or a record with the columns that the rules read.",
						 format_type_be(rulebook->rowtype))));
	}
}

/*
 * What tells one definition of a row type from the next.  The rulebook itself
 * looks after the source's type, and anonymous types never change.
 */
static inline uint64
record_type_version(const Rulebook *rulebook, Oid type)
{
	if (likely(type == rulebook->rowtype || type == RECORDOID))
		return 0;
	return lookup_type_cache(type, TYPECACHE_TUPDESC)->tupDesc_identifier;
}

/*
 * Learn how records of a type map to the rulebook's columns.
 */
static void
map_record(CallState *state, Oid type, int32 typmod)
{
	Rulebook   *rulebook = state->rulebook;
	MemoryContext caller = MemoryContextSwitchTo(state->context);
	TupleDesc	desc = lookup_rowtype_tupdesc_copy(type, typmod);
	AttrNumber *map = palloc(sizeof(AttrNumber) * (rulebook->ncolumns + 1));

	state->mapped = NULL;
	if (type == rulebook->rowtype)
	{
		for (int i = 0; i < rulebook->ncolumns; i++)
			map[i] = rulebook->columns[i];
	}
	else if (type == RECORDOID || typeInheritsFrom(type, rulebook->rowtype))
		map_by_name(rulebook, desc, type, map);
	else
		wrong_record(rulebook, type);

	state->record_type = type;
	state->record_typmod = typmod;
	state->record_version = record_type_version(rulebook, type);
	state->record_desc = desc;
	state->map = map;
	state->values = palloc(sizeof(Datum) * desc->natts);
	state->nulls = palloc(sizeof(bool) * desc->natts);
	state->mapped = rulebook;
	MemoryContextSwitchTo(caller);
}

/*
 * Get the call's record into the slot of its rulebook.
 */
static CallState *
load_record(FunctionCallInfo fcinfo)
{
	CallState  *state = get_call_state(fcinfo);
	HeapTupleHeader header = PG_GETARG_HEAPTUPLEHEADER(1);
	Oid			type = HeapTupleHeaderGetTypeId(header);
	int32		typmod = HeapTupleHeaderGetTypMod(header);
	Rulebook   *rulebook = state->rulebook;
	TupleTableSlot *slot = rulebook->slot;
	HeapTupleData tuple;

	if (unlikely(state->mapped != rulebook || type != state->record_type ||
				 typmod != state->record_typmod ||
				 state->record_version != record_type_version(rulebook, type)))
		map_record(state, type, typmod);

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, state->record_desc, state->values, state->nulls);

	for (int i = 0; i < rulebook->ncolumns; i++)
	{
		int			to = rulebook->columns[i] - 1;
		int			from = state->map[i] - 1;

		slot->tts_values[to] = state->values[from];
		slot->tts_isnull[to] = state->nulls[from];
	}
	return state;
}


/* --------------------------------------------------------------------
 * Filling the slot from columns
 * --------------------------------------------------------------------
 */

/*
 * Do the columns that a call was planned with suffice for the rulebook?
 */
static bool
columns_fit(const Rulebook *rulebook, Oid relation, int ncolumns,
			const AttrNumber *columns)
{
	int			given = 0;

	if (rulebook->source != relation)
		return false;
	/* both lists are sorted */
	for (int i = 0; i < rulebook->ncolumns; i++)
	{
		while (given < ncolumns && columns[given] < rulebook->columns[i])
			given++;
		if (given == ncolumns || columns[given] != rulebook->columns[i])
			return false;
	}
	return true;
}

/*
 * Only the planner makes column calls.
 */
static void
require_column_call(FunctionCallInfo fcinfo)
{
	Node	   *expr = fcinfo->flinfo->fn_expr;

	if (expr == NULL || !IsA(expr, FuncExpr) ||
		((FuncExpr *) expr)->funcformat != COLUMN_CALL_FORMAT)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("function %s is internal to leadscore",
						get_func_name(fcinfo->flinfo->fn_oid)),
				 errhint("Call leadscore.score(model, lead) or one of its kin.")));
}

static AttrNumber *
read_column_list(ArrayType *array, int *ncolumns)
{
	AttrNumber *columns;

	*ncolumns = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	columns = palloc(sizeof(AttrNumber) * (*ncolumns + 1));
	memcpy(columns, ARR_DATA_PTR(array), sizeof(AttrNumber) * *ncolumns);
	return columns;
}

/*
 * Have all cached plans of this session made anew for the next time.
 */
static void
ask_for_replan(CallState *state)
{
	if (!state->replan_asked)
		ResetPlanCache();
	state->replan_asked = true;
}

/*
 * Learn whether the call's columns suffice for its rulebook.
 *
 * If they do not, the planner saw other rules: they changed between planning
 * and execution, or the plan outlived a snapshot older than it.  Then the row
 * itself is read.
 */
static void
map_columns(FunctionCallInfo fcinfo, CallState *state)
{
	Rulebook   *rulebook = state->rulebook;
	bool		fits = true;

	if (state->columns == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(state->context);

		state->columns =
			read_column_list(PG_GETARG_ARRAYTYPE_P(COLUMN_CALL_COLUMNS),
							 &state->ncolumns);
		MemoryContextSwitchTo(caller);
	}

	fits = columns_fit(rulebook, PG_GETARG_OID(COLUMN_CALL_RELATION),
					   state->ncolumns, state->columns);
	for (int i = 0; fits && i < state->ncolumns; i++)
	{
		AttrNumber	attno = state->columns[i];

		/* one that the rules do not read may have changed in any way */
		if (attno > rulebook->tupdesc->natts ||
			get_fn_expr_argtype(fcinfo->flinfo, COLUMN_CALL_FIRST + i) !=
			TupleDescAttr(rulebook->tupdesc, attno - 1)->atttypid)
			fits = false;
	}
	if (!fits)
		ask_for_replan(state);
	state->fits = fits;
	state->mapped = rulebook;
}

/*
 * Find the columns that the rules read in the stored row behind a simple view.
 */
static void
map_by_list(const Rulebook *rulebook, TupleDesc desc, ArrayType *array,
			AttrNumber *map)
{
	int			nstored;
	AttrNumber *stored = read_column_list(array, &nstored);

	for (int i = 0; i < rulebook->ncolumns; i++)
	{
		AttrNumber	attno = rulebook->columns[i];

		map[i] = attno <= nstored ? stored[attno - 1] : 0;
		if (map[i] <= 0 || map[i] > desc->natts ||
			TupleDescAttr(desc, map[i] - 1)->atttypid !=
			TupleDescAttr(rulebook->tupdesc, attno - 1)->atttypid)
			elog(ERROR, "view of scoring model \"%s\" changed while it was read",
				 rulebook->model);
	}
}

/*
 * Read the row that a column call is about from its table.
 */
static void
load_stored_row(FunctionCallInfo fcinfo, CallState *state)
{
	Rulebook   *rulebook = state->rulebook;
	ItemPointer tid = (ItemPointer) PG_GETARG_POINTER(COLUMN_CALL_CTID);
	Oid			relid = PG_GETARG_OID(COLUMN_CALL_TABLEOID);
	Relation	rel = relation_open(relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	AttrNumber *map = palloc(sizeof(AttrNumber) * (rulebook->ncolumns + 1));
	TupleTableSlot *row;

	/* the planner makes sure of it */
	if (rel->rd_tableam == NULL)
		elog(ERROR, "row to be scored is not stored in \"%s\"",
			 RelationGetRelationName(rel));
	row = table_slot_create(rel, NULL);
	if (!table_tuple_fetch_row_version(rel, tid, SnapshotAny, row))
		elog(ERROR, "could not find the row to be scored");
	if (!PG_ARGISNULL(COLUMN_CALL_STORED) &&
		rulebook->source != PG_GETARG_OID(COLUMN_CALL_RELATION))
		wrong_record(rulebook,
					 get_rel_type_id(PG_GETARG_OID(COLUMN_CALL_RELATION)));
	if (!PG_ARGISNULL(COLUMN_CALL_STORED))
		map_by_list(rulebook, desc,
					PG_GETARG_ARRAYTYPE_P(COLUMN_CALL_STORED), map);
	else if (relid != rulebook->source &&
		!typeInheritsFrom(rel->rd_rel->reltype, rulebook->rowtype))
		wrong_record(rulebook, rel->rd_rel->reltype);
	else
		map_by_name(rulebook, desc, rel->rd_rel->reltype, map);
	slot_getallattrs(row);
	for (int i = 0; i < rulebook->ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, map[i] - 1);
		int			to = rulebook->columns[i] - 1;

		rulebook->slot->tts_isnull[to] = row->tts_isnull[map[i] - 1];
		if (!row->tts_isnull[map[i] - 1])
			rulebook->slot->tts_values[to] =
				datumCopy(row->tts_values[map[i] - 1],
						  att->attbyval, att->attlen);
	}
	ExecDropSingleTupleTableSlot(row);
	relation_close(rel, AccessShareLock);
}

/*
 * Get the call's columns into the slot of its rulebook.
 *
 * NULL if there is no row at all: an outer join found no partner.  NULL also
 * if the columns do not suffice and the row is not stored anywhere.
 */
static CallState *
load_columns(FunctionCallInfo fcinfo)
{
	CallState  *state;
	TupleTableSlot *slot;

	if (unlikely(fcinfo->flinfo->fn_extra == NULL))
		require_column_call(fcinfo);
	if (PG_ARGISNULL(COLUMN_CALL_CTID))
		return NULL;
	state = get_call_state(fcinfo);
	if (unlikely(state->mapped != state->rulebook))
		map_columns(fcinfo, state);
	if (unlikely(!state->fits))
	{
		/* not stored anywhere: the planner has provided for NULL */
		if (!ItemPointerIsValid((ItemPointer) PG_GETARG_POINTER(COLUMN_CALL_CTID)))
			return NULL;
		load_stored_row(fcinfo, state);
		return state;
	}

	slot = state->rulebook->slot;
	for (int i = 0; i < state->ncolumns; i++)
	{
		int			to = state->columns[i] - 1;

		slot->tts_values[to] = fcinfo->args[COLUMN_CALL_FIRST + i].value;
		slot->tts_isnull[to] = fcinfo->args[COLUMN_CALL_FIRST + i].isnull;
	}
	return state;
}


/* --------------------------------------------------------------------
 * Filling the slot by key
 * --------------------------------------------------------------------
 */

/*
 * Get the row of the lead with the call's key into the slot of its rulebook;
 * NULL if there is none.
 */
static CallState *
load_key(FunctionCallInfo fcinfo)
{
	CallState  *state = get_call_state(fcinfo);

	if (state->reader == NULL || state->reader_for != state->rulebook)
	{
		MemoryContext caller = MemoryContextSwitchTo(state->context);

		state->reader = lead_reader_create(state->rulebook,
										   get_fn_expr_argtype(fcinfo->flinfo, 1));
		state->reader_for = state->rulebook;
		MemoryContextSwitchTo(caller);
	}
	state->has_at = true;
	state->at = PG_GETARG_TIMESTAMPTZ(2);
	if (TIMESTAMP_NOT_FINITE(state->at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("a lead cannot be scored as of %s",
						TIMESTAMP_IS_NOBEGIN(state->at) ? "-infinity" : "infinity")));
	if (!lead_reader_read(state->reader, state->rulebook, PG_GETARG_DATUM(1),
						  GetActiveSnapshot(), get_recall(state)->states != NULL))
		return NULL;
	return state;
}


/* --------------------------------------------------------------------
 * Results
 * --------------------------------------------------------------------
 */

/*
 * The enum value of a temperature.
 */
static Oid
temperature_oid(CallState *state, Oid type, Temperature temperature)
{
	static const char *const labels[] = {"cold", "warm", "hot"};

	if (!state->have_temperatures)
	{
		for (int i = 0; i < NUM_TEMPERATURES; i++)
		{
			state->temperatures[i] =
				GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid,
								ObjectIdGetDatum(type),
								CStringGetDatum(labels[i]));
			if (!OidIsValid(state->temperatures[i]))
				elog(ERROR, "type %s has no value \"%s\"",
					 format_type_be(type), labels[i]);
		}
		state->have_temperatures = true;
	}
	return state->temperatures[temperature];
}

static Datum
score_result(FunctionCallInfo fcinfo, CallState *state)
{
	Evaluation	result;

	if (state == NULL)
		PG_RETURN_NULL();
	evaluate_call(state, &result, NULL);
	PG_RETURN_INT32(evaluation_score(state->rulebook, &result));
}

static Datum
fit_result(FunctionCallInfo fcinfo, CallState *state)
{
	Evaluation	result;

	if (state == NULL)
		PG_RETURN_NULL();
	evaluate_call(state, &result, NULL);
	PG_RETURN_INT32(points_to_integer(state->rulebook, result.axis[AXIS_FIT]));
}

static Datum
engagement_result(FunctionCallInfo fcinfo, CallState *state)
{
	Evaluation	result;

	if (state == NULL)
		PG_RETURN_NULL();
	evaluate_call(state, &result, NULL);
	PG_RETURN_FLOAT8(result.axis[AXIS_ENGAGEMENT]);
}

static Datum
temperature_result(FunctionCallInfo fcinfo, CallState *state)
{
	Evaluation	result;

	if (state == NULL)
		PG_RETURN_NULL();
	evaluate_call(state, &result, NULL);
	PG_RETURN_OID(temperature_oid(state,
								  get_func_rettype(fcinfo->flinfo->fn_oid),
								  evaluation_temperature(state->rulebook, &result)));
}

static Datum
grade_result(FunctionCallInfo fcinfo, CallState *state)
{
	Evaluation	result;

	if (state == NULL)
		PG_RETURN_NULL();
	evaluate_call(state, &result, NULL);
	PG_RETURN_TEXT_P(evaluation_grade(state->rulebook, &result));
}

static Datum
disqualified_result(FunctionCallInfo fcinfo, CallState *state)
{
	Evaluation	result;

	if (state == NULL)
		PG_RETURN_NULL();
	evaluate_call(state, &result, NULL);
	PG_RETURN_BOOL(result.disqualified);
}

static Datum
evaluate_result(FunctionCallInfo fcinfo, CallState *state)
{
	Evaluation	result;
	Rulebook   *rulebook;
	Datum		values[7];
	bool		nulls[7] = {false};

	if (state == NULL)
		PG_RETURN_NULL();
	if (state->result_desc == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(state->context);
		TupleDesc	desc;

		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		state->result_desc = BlessTupleDesc(CreateTupleDescCopy(desc));
		MemoryContextSwitchTo(caller);
	}
	rulebook = state->rulebook;
	evaluate_call(state, &result, NULL);

	values[0] = Int32GetDatum(evaluation_score(rulebook, &result));
	values[1] = ObjectIdGetDatum(temperature_oid(state,
												 TupleDescAttr(state->result_desc, 1)->atttypid,
												 evaluation_temperature(rulebook, &result)));
	values[2] = PointerGetDatum(evaluation_grade(rulebook, &result));
	values[3] = Float8GetDatum(result.axis[AXIS_FIT]);
	values[4] = Float8GetDatum(result.axis[AXIS_ENGAGEMENT]);
	values[5] = BoolGetDatum(result.disqualified);
	values[6] = Int64GetDatum(rulebook->version.number);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(state->result_desc,
													  values, nulls)));
}

/*
 * The functions of the SQL face: name(model, record), its column call, and
 * name(model, key, at).
 */
#define SCORING_FUNCTION(name) \
PG_FUNCTION_INFO_V1(leadscore_##name); \
Datum \
leadscore_##name(PG_FUNCTION_ARGS) \
{ \
	return name##_result(fcinfo, load_record(fcinfo)); \
} \
PG_FUNCTION_INFO_V1(leadscore_##name##_columns); \
Datum \
leadscore_##name##_columns(PG_FUNCTION_ARGS) \
{ \
	return name##_result(fcinfo, load_columns(fcinfo)); \
} \
PG_FUNCTION_INFO_V1(leadscore_##name##_at); \
Datum \
leadscore_##name##_at(PG_FUNCTION_ARGS) \
{ \
	return name##_result(fcinfo, load_key(fcinfo)); \
}

/* *INDENT-OFF* */
SCORING_FUNCTION(score)
SCORING_FUNCTION(fit)
SCORING_FUNCTION(engagement)
SCORING_FUNCTION(temperature)
SCORING_FUNCTION(grade)
SCORING_FUNCTION(disqualified)
SCORING_FUNCTION(evaluate)
/* *INDENT-ON* */


/* --------------------------------------------------------------------
 * Explanation
 * --------------------------------------------------------------------
 */

#define EXPLAIN_RULE_ID			0
#define EXPLAIN_FACTOR			1
#define EXPLAIN_PARAMETER		2
#define EXPLAIN_SIGNIFICANCE	3
#define EXPLAIN_AXIS			4
#define EXPLAIN_POINTS			5
#define EXPLAIN_OCCURRENCES		6
#define EXPLAIN_DECAYED			7
#define EXPLAIN_COUNTED			8
#define EXPLAIN_NOTE			9
#define EXPLAIN_NATTS			10
/* what else _account() tells */
#define ACCOUNT_KIND			10
#define ACCOUNT_SHADOWED		11
#define ACCOUNT_DISQUALIFIES	12
#define ACCOUNT_ACTIVITY		13
#define ACCOUNT_SILENCE			14
#define ACCOUNT_UNDECAYED		15
#define ACCOUNT_LAST_SEEN		16
#define ACCOUNT_NATTS			17

static const char *const axis_names[] = {"fit", "engagement"};

/*
 * A number for people to read: what has faded to less than a millionth of a
 * millionth is nothing.
 */
static Datum
double_to_numeric(double value)
{
	Datum		exact = DirectFunctionCall1(float8_numeric, Float8GetDatum(value));

	return DirectFunctionCall1(numeric_trim_scale,
							   DirectFunctionCall2(numeric_round, exact, Int32GetDatum(12)));
}

/*
 * Add one row to the result, and what it counts to the running sum.
 */
static void
put_explain_row(ReturnSetInfo *rsinfo, Datum *values, bool *nulls, Datum *sum)
{
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	*sum = DirectFunctionCall2(numeric_add, *sum, values[EXPLAIN_COUNTED]);
}

static void
put_text(Datum *values, bool *nulls, int column, const char *text)
{
	if (text == NULL)
		return;
	values[column] = CStringGetTextDatum(text);
	nulls[column] = false;
}

static void
put_boolean(Datum *values, bool *nulls, int column, bool value)
{
	values[column] = BoolGetDatum(value);
	nulls[column] = false;
}

/*
 * What _account() tells of a rule that spoke, besides what explain() does.
 */
static void
put_details(const Rulebook *rulebook, const SpokenRule *spoken,
			Datum *values, bool *nulls)
{
	const Rule *rule = &rulebook->rules[spoken->rule];
	const ActivityTerm *term;

	put_text(values, nulls, ACCOUNT_KIND, "rule");
	put_boolean(values, nulls, ACCOUNT_SHADOWED,
				rulebook->factors[rule->factor].combine == COMBINE_BEST &&
				rulebook->totals[rule->factor].best_rule != spoken->rule);
	put_boolean(values, nulls, ACCOUNT_DISQUALIFIES, rule->disqualifies);
	if (rule->term < 0)
		return;
	term = &rulebook->terms[rule->term];
	put_text(values, nulls, ACCOUNT_ACTIVITY, rulebook->activities[term->source].name);
	put_boolean(values, nulls, ACCOUNT_SILENCE, term->inactive_for != 0);
	if (term->half_life != 0)
	{
		int64		n = term->at_most != 0 ?
			Min(spoken->occurrences, term->at_most) : spoken->occurrences;

		values[ACCOUNT_UNDECAYED] = double_to_numeric(rule->points * n);
		nulls[ACCOUNT_UNDECAYED] = false;
	}
	if (!TIMESTAMP_IS_NOBEGIN(spoken->last_seen))
	{
		values[ACCOUNT_LAST_SEEN] = TimestampTzGetDatum(spoken->last_seen);
		nulls[ACCOUNT_LAST_SEEN] = false;
	}
}

/*
 * One row per rule that spoke, then what caps, floors, clamps and the
 *		rounding changed.  The column counted sums to the score, exactly: it
 *		is numeric, and the rounding is taken from the sum of the rows shown.
 */
static Datum
explain_result(FunctionCallInfo fcinfo, CallState *state, bool leniently)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Rulebook   *rulebook;
	Evaluation	result;
	Account		account;
	Datum		sum = double_to_numeric(0);
	Datum		rounding;
	Datum		values[ACCOUNT_NATTS];
	bool		nulls[ACCOUNT_NATTS];

	if (state == NULL)
		return (Datum) 0;
	rulebook = state->rulebook;
	evaluate_call_or_not(state, &result, &account, leniently);

	for (int i = 0; i < account.nspoken; i++)
	{
		const SpokenRule *spoken = &account.spoken[i];
		const Rule *rule = &rulebook->rules[spoken->rule];
		const Factor *factor = &rulebook->factors[rule->factor];

		memset(nulls, true, sizeof(nulls));
		values[EXPLAIN_RULE_ID] = Int64GetDatum(rule->id);
		nulls[EXPLAIN_RULE_ID] = false;
		put_text(values, nulls, EXPLAIN_FACTOR, factor->name);
		put_text(values, nulls, EXPLAIN_PARAMETER, rule->parameter);
		put_text(values, nulls, EXPLAIN_SIGNIFICANCE, rule->significance);
		put_text(values, nulls, EXPLAIN_AXIS, axis_names[factor->axis]);
		values[EXPLAIN_POINTS] = double_to_numeric(rule->points);
		nulls[EXPLAIN_POINTS] = false;
		/* points of a row do not fade */
		values[EXPLAIN_DECAYED] = double_to_numeric(spoken->points);
		nulls[EXPLAIN_DECAYED] = false;
		if (rule->term >= 0)
		{
			values[EXPLAIN_OCCURRENCES] = Int64GetDatum(spoken->occurrences);
			nulls[EXPLAIN_OCCURRENCES] = false;
		}
		values[EXPLAIN_COUNTED] = double_to_numeric(spoken->counted);
		nulls[EXPLAIN_COUNTED] = false;
		if (rule->disqualifies)
			put_text(values, nulls, EXPLAIN_NOTE, "disqualifies");
		else if (factor->combine == COMBINE_BEST &&
				 rulebook->totals[rule->factor].best_rule != spoken->rule)
			put_text(values, nulls, EXPLAIN_NOTE, "not the best of its factor");
		else
			put_text(values, nulls, EXPLAIN_NOTE, rule->note);
		if (leniently)
			put_details(rulebook, spoken, values, nulls);
		put_explain_row(rsinfo, values, nulls, &sum);
	}

	for (int i = 0; i < account.nadjustments; i++)
	{
		const Adjustment *adjustment = &account.adjustments[i];

		memset(nulls, true, sizeof(nulls));
		if (adjustment->factor >= 0)
			put_text(values, nulls, EXPLAIN_FACTOR,
					 rulebook->factors[adjustment->factor].name);
		if (adjustment->axis >= 0)
			put_text(values, nulls, EXPLAIN_AXIS, axis_names[adjustment->axis]);
		values[EXPLAIN_COUNTED] = double_to_numeric(adjustment->counted);
		nulls[EXPLAIN_COUNTED] = false;
		put_text(values, nulls, EXPLAIN_NOTE, adjustment->kind);
		put_text(values, nulls, ACCOUNT_KIND, adjustment->kind);
		put_explain_row(rsinfo, values, nulls, &sum);
	}

	rounding = DirectFunctionCall2(numeric_sub,
								   DirectFunctionCall1(int4_numeric,
													   Int32GetDatum(evaluation_score(rulebook, &result))),
								   sum);
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, rounding,
										  double_to_numeric(0))))
	{
		memset(nulls, true, sizeof(nulls));
		values[EXPLAIN_COUNTED] = rounding;
		nulls[EXPLAIN_COUNTED] = false;
		put_text(values, nulls, EXPLAIN_NOTE, "rounding");
		put_text(values, nulls, ACCOUNT_KIND, "rounding");
		put_explain_row(rsinfo, values, nulls, &sum);
	}
	if (leniently)
	{
		memset(nulls, true, sizeof(nulls));
		put_text(values, nulls, ACCOUNT_KIND, "score");
		values[EXPLAIN_COUNTED] =
			DirectFunctionCall1(int4_numeric,
								Int32GetDatum(evaluation_score(rulebook, &result)));
		nulls[EXPLAIN_COUNTED] = false;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}

	return (Datum) 0;
}

/*
 * leadscore.explain(model text, lead record)
 */
PG_FUNCTION_INFO_V1(leadscore_explain);
Datum
leadscore_explain(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	/* not strict, since a set-returning function may not return NULL */
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	return explain_result(fcinfo, load_record(fcinfo), false);
}

/*
 * leadscore.explain(model text, lead_key anyelement, at timestamptz)
 */
PG_FUNCTION_INFO_V1(leadscore_explain_at);
Datum
leadscore_explain_at(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		return (Datum) 0;
	return explain_result(fcinfo, load_key(fcinfo), false);
}


/* --------------------------------------------------------------------
 * The clock
 * --------------------------------------------------------------------
 */

static void
put_clock_problem(ReturnSetInfo *rsinfo, const Rule *rule,
				  const ClockProblem *problem)
{
	Datum		values[3];
	bool		nulls[3] = {false};

	if (problem->message == NULL)
		return;
	nulls[0] = rule == NULL;
	values[0] = rule == NULL ? (Datum) 0 : Int64GetDatum(rule->id);
	values[1] = CStringGetTextDatum(problem->message);
	values[2] = CStringGetTextDatum(problem->hint);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * leadscore._clock_problems(model text)
 *		The rules that read the clock in a way that does not tell when they
 *		will change; last the channel, which is no rule.
 */
PG_FUNCTION_INFO_V1(leadscore_clock_problems);
Datum
leadscore_clock_problems(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Rulebook   *rulebook;

	InitMaterializedSRF(fcinfo, 0);
	rulebook = rulebook_acquire(text_to_cstring(PG_GETARG_TEXT_PP(0)),
								GetActiveSnapshot(), false);
	for (int i = 0; i < rulebook->nrules; i++)
		put_clock_problem(rsinfo, &rulebook->rules[i], &rulebook->rules[i].clock);
	put_clock_problem(rsinfo, NULL, &rulebook->channel_clock);
	rulebook_release(rulebook);

	return (Datum) 0;
}

/*
 * leadscore._account(model text, lead_key anyelement, at timestamptz)
 *		What explain() says and more, for reports about many leads: a condition
 *		that ends in an error does not match, as when leads are scored.  The last
 *		row is the score.
 */
PG_FUNCTION_INFO_V1(leadscore_account);
Datum
leadscore_account(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		return (Datum) 0;
	return explain_result(fcinfo, load_key(fcinfo), true);
}
