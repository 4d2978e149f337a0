/*-------------------------------------------------------------------------
 *
 * ruletable.c
 *	  What may be written into the rule tables, and what follows from it.
 *
 * Conditions are compiled when they are written, so that whoever edits rules
 * learns at once what is wrong with them; nothing is stored that cannot be
 * scored by.  Every change raises the version of its model, which is how
 * other sessions learn of it.
 *
 * A restore is different: pg_restore writes rows that were right once, in an
 * order of its own, and it must not fail because a rule has gone bad since or
 * because a function that it calls comes later.  Then a bad rule is a warning.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "storage/lmgr.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "clock.h"
#include "condition.h"
#include "lead_stage.h"
#include "rulebook.h"
#include "ruletable.h"
#include "source.h"
#include "state.h"

/* Points beyond this are a slip of the keyboard, and sums stay exact. */
#define MAX_POINTS 1000000

/* What compiling an expression of a model needs to know of it. */
typedef struct ModelInfo
{
	Oid			source;			/* whose row it reads: the model's, or that of
								 * an activity */
	pg_tz	   *time_zone;
	bool		attached;
	bool		over_events;	/* it is an activity's */
	bool		over_scored;	/* it is a move's, which reads the score as well */
} ModelInfo;


/* --------------------------------------------------------------------
 * Compiling what is written
 * --------------------------------------------------------------------
 */

static pg_tz *
find_time_zone(const char *name)
{
	pg_tz	   *time_zone = pg_tzset(name);

	if (time_zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" not recognized", name),
				 errhint("The view pg_timezone_names lists the time zones.")));
	return time_zone;
}

/*
 * Look a model up as it is now; false if there is none.
 */
static bool
find_model(const char *name, ModelInfo *model)
{
	Relation	rel = table_open(leadscore_relation("model"), AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key, Anum_model_name, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(name));
	scan = systable_beginscan(rel, leadscore_relation("model_pkey"), true,
							  snapshot, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		Datum		values[Natts_model];
		bool		nulls[Natts_model];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		model->source = DatumGetObjectId(nulls[Anum_model_source - 1] ?
										 values[Anum_model_target - 1] :
										 values[Anum_model_source - 1]);
		model->time_zone =
			find_time_zone(TextDatumGetCString(values[Anum_model_time_zone - 1]));
		model->attached = has_row_for_model("attachment", name);
		model->over_events = false;
		model->over_scored = false;
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);

	return found;
}

/*
 * Turn to the events of one of the model's activity sources, as it is now;
 * false if there is none of the name.
 */
static bool
find_activity(const char *model_name, const char *name, ModelInfo *model)
{
	Relation	rel = table_open(leadscore_relation("activity_source"), AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&keys[0], Anum_activity_source_model, BTEqualStrategyNumber,
				F_TEXTEQ, CStringGetTextDatum(model_name));
	ScanKeyInit(&keys[1], Anum_activity_source_name, BTEqualStrategyNumber,
				F_TEXTEQ, CStringGetTextDatum(name));
	scan = systable_beginscan(rel, leadscore_relation("activity_source_pkey"), true,
							  snapshot, 2, keys);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		bool		isnull;

		model->source = DatumGetObjectId(heap_getattr(tuple, Anum_activity_source_relation,
													  RelationGetDescr(rel), &isnull));
		model->over_events = true;
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);

	return found;
}

/*
 * Compile an expression over a model's source, only to see whether it can be.
 *
 * 'type' is what it has to yield; InvalidOid: the key of a lead.  With 'nowait'
 * a source that somebody else has locked is error 55P03.
 */
static void
try_expression(const ModelInfo *model, const char *path, const char *text,
			   Oid type, const char *what, bool nowait)
{
	Relation	source;
	ConditionScope scope;
	Condition	condition;

	if (nowait && !ConditionalLockRelationOid(model->source, AccessShareLock))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not obtain lock on the source of the scoring model")));
	source = try_relation_open(model->source, AccessShareLock);

	if (source == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 model->over_events ?
				 errmsg("table of the activity source does not exist any more") :
				 errmsg("source of the scoring model does not exist any more"),
				 model->over_events ?
				 errhint("Point the column relation of leadscore.activity_source to a table that exists.") :
				 errhint("Point the columns target and source of leadscore.model to tables that exist.")));
	condition_scope_open(&scope, source, model->time_zone);
	condition_scope_path(&scope, path);
	scope.over_events = model->over_events;
	scope.reads_scored = model->over_scored;
	condition_analyze(&scope, text, type, what, &condition);
	condition_plan(&scope, text, what, &condition);
	if (model->over_scored)
	{
		Funnel		funnel = {0};

		transition_add_levels(&condition, &funnel);
	}
	if (model->over_events && condition.uses_clock)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s reads the clock", what),
				 errdetail("An event is judged once, when it happens."),
				 errhint("Let the rule's half_life, within or inactive_for say how its age matters.")));
	if (model->over_events)
		require_stored_columns(condition.columns, RelationGetDescr(source), what);
	if (model->attached && !model->over_events && !model->over_scored &&
		type != TIMESTAMPTZOID)
	{
		ClockProblem problem = {0};

		/* a stored score has to know when time changes it */
		(void) clock_comparisons(condition.expr, &problem);
		if (problem.message != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s cannot be used while the model is attached: %s",
							what, problem.message),
					 problem.hint != NULL ? errhint("%s", problem.hint) : 0));
	}
	if (type == InvalidOid && model->over_events &&
		!is_key_type(exprType((Node *) condition.expr)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s has type %s", what,
						format_type_be(exprType((Node *) condition.expr))),
				 errdetail("A lead's key is an integer, numeric, uuid or text."),
				 errhint("Cast it to the type of the key.")));
	condition_scope_close(&scope);
	relation_close(source, AccessShareLock);
	if (nowait)
		UnlockRelationOid(model->source, AccessShareLock);
}

/*
 * The same in a subtransaction: returns the error instead of throwing it, or
 * NULL if there was none.
 *
 * Errors that say nothing of the expression are thrown all the same.
 */
static ErrorData *
catch_expression_error(const ModelInfo *model, const char *path,
					   const char *text, Oid type, const char *what,
					   bool nowait)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		try_expression(model, path, text, type, what, nowait);
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;

	if (error != NULL && !condition_is_to_blame(error->sqlerrcode))
		ReThrowError(error);

	return error;
}

/*
 * What is wrong with the expressions of one of the model's activity sources,
 * as they are stored; NULL if nothing is.  It does not wait for locks.
 */
static ErrorData *
find_activity_error(const char *model_name, const char *name,
					const ModelInfo *lead_model, const ModelInfo *model)
{
	static const struct
	{
		int			attno;
		const char *name;
		Oid			type;
	}			expressions[] =
	{
		{Anum_activity_source_lead_key, "lead_key", InvalidOid},
		{Anum_activity_source_occurred_at, "occurred_at", TIMESTAMPTZOID},
		{Anum_activity_source_filter, "filter", BOOLOID},
		{Anum_activity_source_event_key, "event_key", TEXTOID}
	};
	Relation	rel = table_open(leadscore_relation("activity_source"), AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	Datum		values[Natts_activity_source];
	bool		nulls[Natts_activity_source];
	ErrorData  *error = NULL;

	ScanKeyInit(&keys[0], Anum_activity_source_model, BTEqualStrategyNumber,
				F_TEXTEQ, CStringGetTextDatum(model_name));
	ScanKeyInit(&keys[1], Anum_activity_source_name, BTEqualStrategyNumber,
				F_TEXTEQ, CStringGetTextDatum(name));
	scan = systable_beginscan(rel, leadscore_relation("activity_source_pkey"), true,
							  snapshot, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		tuple = heap_copytuple(tuple);
		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	if (!HeapTupleIsValid(tuple))
		return NULL;

	if (!nulls[Anum_activity_source_match_column - 1] &&
		get_rel_relkind(lead_model->source) != '\0' &&
		get_attnum(lead_model->source,
				   NameStr(*DatumGetName(values[Anum_activity_source_match_column - 1]))) <= 0)
	{
		error = palloc0(sizeof(ErrorData));
		error->sqlerrcode = ERRCODE_UNDEFINED_COLUMN;
		error->message = psprintf("source of scoring model \"%s\" has no column \"%s\" to match",
								  model_name,
								  NameStr(*DatumGetName(values[Anum_activity_source_match_column - 1])));
		return error;
	}
	for (int i = 0; i < lengthof(expressions) && error == NULL; i++)
	{
		int			column = expressions[i].attno - 1;
		Oid			type = expressions[i].type;
		char	   *what;

		if (nulls[column] || nulls[Anum_activity_source_search_path - 1])
			continue;
		if (type == InvalidOid && !nulls[Anum_activity_source_match_column - 1])
			type = TEXTOID;
		what = psprintf("expression %s of activity source \"%s\"", expressions[i].name, name);
		error = catch_expression_error(model,
									   TextDatumGetCString(values[Anum_activity_source_search_path - 1]),
									   TextDatumGetCString(values[column]), type, what, true);
		/* the rule's condition is not to blame */
		if (error != NULL && strstr(error->message, what) == NULL)
			error->message = psprintf("%s: %s", what, error->message);
	}

	return error;
}

/*
 * Compile an expression that is being written.
 */
static void
check_expression(const ModelInfo *model, const char *path, bool restoring,
				 const char *text, Oid type, const char *what)
{
	ErrorData  *error;

	if (!restoring)
	{
		try_expression(model, path, text, type, what, false);
		return;
	}
	error = catch_expression_error(model, path, text, type, what, false);
	if (error != NULL)
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("%s cannot be used: %s", what, error->message)));
}


/* --------------------------------------------------------------------
 * Triggers that check
 * --------------------------------------------------------------------
 */

/*
 * These functions rely on the columns of our own tables, and some act with
 * the rights of their owner: nobody may hang them on another table.
 */
static TriggerData *
require_trigger(FunctionCallInfo fcinfo, const char *name,
				const char *const *tables, int ntables)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager",
						name)));
	for (int i = 0; i < ntables; i++)
	{
		if (RelationGetRelid(trigger->tg_relation) == leadscore_relation(tables[i]))
			return trigger;
	}
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("function \"%s\" is for tables of leadscore only", name)));
	return NULL;				/* keep compiler quiet */
}

static void
require_row_trigger(FunctionCallInfo fcinfo, const char *name, const char *table)
{
	TriggerData *trigger = require_trigger(fcinfo, name, &table, 1);

	if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired BEFORE INSERT OR UPDATE for each row",
						name)));
}

/*
 * The text value of a column, or NULL.
 */
static char *
row_text(HeapTuple row, TupleDesc desc, int attno)
{
	bool		isnull;
	Datum		value = heap_getattr(row, attno, desc, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static bool
same_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

/* A row that is being written, with expressions that are to be compiled. */
typedef struct WrittenRow
{
	TupleDesc	desc;
	HeapTuple	row;
	HeapTuple	old_row;		/* NULL: there was none */
	bool		changed;		/* an expression is another than it was */
	bool		restoring;		/* it comes from a dump */
	char	   *path;			/* search_path that goes with it */
	int			path_attno;
	bool		fill;			/* the path is yet to be stored */
} WrittenRow;

/*
 * Look at the row that a trigger on a table of ours is fired for.
 *
 * A row that brings its own search_path is a copy of one written before.
 * Otherwise, and when expressions were changed without it, it is the writer's.
 * A dump is restored by the owner of the table, whose word is good enough.
 */
static void
look_at_row(FunctionCallInfo fcinfo, const char *function, const char *table,
			int path_attno, const int *expressions, int nexpressions,
			WrittenRow *written)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	char	   *path;

	require_row_trigger(fcinfo, function, table);
	memset(written, 0, sizeof(WrittenRow));
	written->desc = RelationGetDescr(trigger->tg_relation);
	written->row = trigger->tg_trigtuple;
	written->changed = true;
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		written->old_row = trigger->tg_trigtuple;
		written->row = trigger->tg_newtuple;
		written->changed = false;
		for (int i = 0; i < nexpressions; i++)
			written->changed |= !same_text(row_text(written->row, written->desc, expressions[i]),
										   row_text(written->old_row, written->desc, expressions[i]));
	}

	path = row_text(written->row, written->desc, path_attno);
	written->path_attno = path_attno;
	written->restoring = written->old_row == NULL && path != NULL && condition_path_is_bare() &&
		has_privs_of_role(GetUserId(), trigger->tg_relation->rd_rel->relowner);
	written->fill = path == NULL ||
		(written->old_row != NULL && written->changed &&
		 same_text(path, row_text(written->old_row, written->desc, path_attno)));
	written->path = written->fill ? condition_current_path() : path;
}

/*
 * The row as it is to be stored, once all is well with it.
 */
static Datum
finish_row(WrittenRow *written)
{
	Datum		value;
	bool		null = false;

	if (!written->fill)
		return PointerGetDatum(written->row);
	value = CStringGetTextDatum(written->path);
	return PointerGetDatum(heap_modify_tuple_by_cols(written->row, written->desc, 1,
													 &written->path_attno, &value, &null));
}

/*
 * The model of a row that is being written; false if a restore is yet to bring
 * it.
 */
static bool
find_model_of_row(const WrittenRow *written, const char *name, ModelInfo *model)
{
	if (find_model(name, model))
		return true;
	if (!written->restoring)
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg("scoring model \"%s\" does not exist", name),
				 errhint("The table leadscore.model lists the models.")));
	return false;
}

/*
 * The same for its activity source.
 */
static bool
find_activity_of_row(const WrittenRow *written, const char *model_name,
					 const char *name, ModelInfo *model)
{
	if (find_activity(model_name, name, model))
		return true;
	if (!written->restoring)
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg("activity source \"%s\" of scoring model \"%s\" does not exist",
						name, model_name),
				 errhint("The table leadscore.activity_source lists them.")));
	return false;
}

/*
 * An interval column in microseconds, days being 24 hours long; 0 if it is
 * NULL.
 */
static int64
check_span(HeapTuple row, TupleDesc desc, int attno)
{
	const char *column = NameStr(TupleDescAttr(desc, attno - 1)->attname);
	bool		isnull;
	Datum		value = heap_getattr(row, attno, desc, &isnull);
	const Interval *span;

	if (isnull)
		return 0;
	span = DatumGetIntervalP(value);
	if (span->month != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of a rule must not contain months", column),
				 errdetail("Months are of different length."),
				 errhint("Say 30 days, for example.")));
	if (interval_to_microseconds(span) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of a rule must be positive, and less than 10000 years",
						column)));
	return interval_to_microseconds(span);
}

/*
 * A count column; 0 if it is NULL.
 */
static int
check_count(HeapTuple row, TupleDesc desc, int attno)
{
	bool		isnull;
	Datum		value = heap_getattr(row, attno, desc, &isnull);

	if (isnull)
		return 0;
	if (DatumGetInt32(value) < 1 || DatumGetInt32(value) > MAX_KEPT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s of a rule must be between 1 and %d",
						NameStr(TupleDescAttr(desc, attno - 1)->attname), MAX_KEPT)));
	return DatumGetInt32(value);
}

/*
 * Is the factor of a rule one of the fit axis?
 */
static bool
is_fit_factor(const char *model, const char *factor)
{
	Relation	rel = table_open(leadscore_relation("factor"), AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		is_fit = false;

	ScanKeyInit(&keys[0], Anum_factor_model, BTEqualStrategyNumber,
				F_TEXTEQ, CStringGetTextDatum(model));
	ScanKeyInit(&keys[1], Anum_factor_name, BTEqualStrategyNumber,
				F_TEXTEQ, CStringGetTextDatum(factor));
	scan = systable_beginscan(rel, leadscore_relation("factor_pkey"), true,
							  snapshot, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		is_fit = strcmp(row_text(tuple, RelationGetDescr(rel), Anum_factor_axis),
						"fit") == 0;
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);

	return is_fit;
}

/*
 * Do the columns that say how events count fit together?
 */
static void
check_activity_columns(HeapTuple row, TupleDesc desc, const char *model,
					   const char *activity, bool restoring)
{
	int64		half_life = check_span(row, desc, Anum_rule_half_life);
	int64		within = check_span(row, desc, Anum_rule_within);
	int64		inactive_for = check_span(row, desc, Anum_rule_inactive_for);
	int			at_least = check_count(row, desc, Anum_rule_at_least);
	int			at_most = check_count(row, desc, Anum_rule_at_most);
	char	   *factor = row_text(row, desc, Anum_rule_factor);
	const char *detail = NULL;
	bool		isnull;
	bool		include_never =
		DatumGetBool(heap_getattr(row, Anum_rule_include_never, desc, &isnull)) && !isnull;

	if (activity == NULL)
	{
		if (half_life != 0 || within != 0 || inactive_for != 0 ||
			at_least != 0 || at_most != 0 || include_never)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("a rule about the lead's own row does not count events"),
					 errdetail("half_life, at_least, within, at_most, inactive_for and include_never are for activity rules."),
					 errhint("Name the activity source in the column activity.")));
		return;
	}
	if ((at_least != 0) != (within != 0))
		detail = "at_least and within go together.";
	else if (at_least != 0 && half_life != 0)
		detail = "With at_least the points count once, and do not fade: it excludes half_life.";
	else if (at_least != 0 && at_most != 0)
		detail = "With at_least the points count once: it excludes at_most.";
	else if (inactive_for != 0 && (half_life != 0 || at_least != 0 || at_most != 0))
		detail = "With inactive_for the points count while there are no events: it excludes half_life, at_least, within and at_most.";
	else if (include_never && inactive_for == 0)
		detail = "include_never goes with inactive_for.";
	if (detail != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("columns of an activity rule do not fit together"),
				 errdetail("%s", detail)));
	if (!restoring && factor != NULL && is_fit_factor(model, factor))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("factor \"%s\" is on the fit axis", factor),
				 errdetail("What a lead does is engagement."),
				 errhint("Put activity rules into a factor of the engagement axis.")));
}

/*
 * Are some columns the same in two versions of a row?
 */
static bool
same_columns(HeapTuple a, HeapTuple b, TupleDesc desc, const int *columns, int n)
{
	for (int i = 0; i < n; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, columns[i] - 1);
		bool		a_isnull;
		bool		b_isnull;
		Datum		a_value = heap_getattr(a, columns[i], desc, &a_isnull);
		Datum		b_value = heap_getattr(b, columns[i], desc, &b_isnull);

		if (a_isnull != b_isnull ||
			(!a_isnull && !datum_image_eq(a_value, b_value, att->attbyval, att->attlen)))
			return false;
	}
	return true;
}

/*
 * Is a row that is being written, in some columns, what it was?
 */
static bool
is_as_before(const WrittenRow *written, const int *columns, int n)
{
	return written->old_row != NULL &&
		same_columns(written->row, written->old_row, written->desc, columns, n);
}

/* The columns of a rule that its check looks at. */
static const int checked_columns[] = {
	Anum_rule_model, Anum_rule_factor, Anum_rule_condition, Anum_rule_enabled,
	Anum_rule_search_path, Anum_rule_activity, Anum_rule_half_life,
	Anum_rule_at_least, Anum_rule_within, Anum_rule_at_most,
	Anum_rule_inactive_for, Anum_rule_include_never
};

/*
 * leadscore.check_rule_row(): trigger BEFORE INSERT OR UPDATE ON leadscore.rule
 *		Compiles the condition, fills in search_path, refuses points out of
 *		range and ways to count events that do not fit together.  Errors: 23503
 *		unknown model or activity source, 22003 points, 22023 columns of an
 *		activity rule, 0A000 an activity rule that reads the clock, and those
 *		of condition_analyze.
 */
PG_FUNCTION_INFO_V1(leadscore_check_rule_row);
Datum
leadscore_check_rule_row(PG_FUNCTION_ARGS)
{
	static const int expressions[] = {Anum_rule_condition};
	WrittenRow	written;
	TupleDesc	desc;
	HeapTuple	row;
	char	   *model_name;
	char	   *condition;
	char	   *activity;
	double		points;
	bool		isnull;
	ModelInfo	model;

	look_at_row(fcinfo, "check_rule_row", "rule", Anum_rule_search_path,
				expressions, lengthof(expressions), &written);
	desc = written.desc;
	row = written.row;

	points = DatumGetFloat8(heap_getattr(row, Anum_rule_points, desc, &isnull));
	if (!isnull && !(fabs(points) <= MAX_POINTS))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("points are out of range"),
				 errdetail("A rule gives between %d and %d points.",
						   -MAX_POINTS, MAX_POINTS),
				 errhint("To have a lead cold whatever its points, use a rule that disqualifies it.")));

	model_name = row_text(row, desc, Anum_rule_model);
	condition = row_text(row, desc, Anum_rule_condition);
	if (model_name == NULL || condition == NULL)
		return PointerGetDatum(row);	/* NOT NULL will complain */
	if (is_as_before(&written, checked_columns, lengthof(checked_columns)))
		return PointerGetDatum(row);
	activity = row_text(row, desc, Anum_rule_activity);
	check_activity_columns(row, desc, model_name, activity, written.restoring);
	if (!find_model_of_row(&written, model_name, &model) ||
		(activity != NULL && !find_activity_of_row(&written, model_name, activity, &model)))
		return PointerGetDatum(row);

	/* a rule that is switched off may stay as broken as it is */
	if (written.changed ||
		DatumGetBool(heap_getattr(row, Anum_rule_enabled, desc, &isnull)))
		check_expression(&model, written.path, written.restoring, condition, BOOLOID,
						 psprintf("condition of rule %lld of scoring model \"%s\"",
								  (long long) DatumGetInt64(heap_getattr(row, Anum_rule_id, desc, &isnull)),
								  model_name));
	return finish_row(&written);
}

/*
 * leadscore.check_playbook_row(): trigger BEFORE INSERT OR UPDATE ON
 * leadscore.playbook
 *		Compiles the condition and fills in search_path.  It may read the clock
 *		as it likes: it is asked whenever somebody looks.  Errors: 23503 unknown
 *		model, and those of condition_analyze.
 */
PG_FUNCTION_INFO_V1(leadscore_check_playbook_row);
Datum
leadscore_check_playbook_row(PG_FUNCTION_ARGS)
{
	static const int expressions[] = {Anum_playbook_condition};
	static const int checked[] = {
		Anum_playbook_model, Anum_playbook_condition, Anum_playbook_search_path
	};
	WrittenRow	written;
	char	   *model_name;
	char	   *condition;
	bool		isnull;
	ModelInfo	model;

	look_at_row(fcinfo, "check_playbook_row", "playbook", Anum_playbook_search_path,
				expressions, lengthof(expressions), &written);
	model_name = row_text(written.row, written.desc, Anum_playbook_model);
	condition = row_text(written.row, written.desc, Anum_playbook_condition);
	if (model_name == NULL || condition == NULL ||
		is_as_before(&written, checked, lengthof(checked)) ||
		!find_model_of_row(&written, model_name, &model))
		return PointerGetDatum(written.row);
	model.attached = false;
	check_expression(&model, written.path, written.restoring, condition, BOOLOID,
					 psprintf("condition of row %lld of the playbook of scoring model \"%s\"",
							  (long long) DatumGetInt64(heap_getattr(written.row, Anum_playbook_id, written.desc, &isnull)),
							  model_name));
	return finish_row(&written);
}

/*
 * leadscore.check_activity_source_row(): trigger BEFORE INSERT OR UPDATE ON
 * leadscore.activity_source
 *		Compiles the expressions and fills in search_path.  Errors: 23503
 *		unknown model, 42809 not a table, 42703 no such match_column, 42804 type
 *		of lead_key or occurred_at, 22023 unknown time zone, 42501 the model is
 *		attached and the writer does not own the table, 0A000 an expression
 *		reads the clock, and those of condition_analyze.
 */
PG_FUNCTION_INFO_V1(leadscore_check_activity_source_row);
Datum
leadscore_check_activity_source_row(PG_FUNCTION_ARGS)
{
	static const int expressions[] = {
		Anum_activity_source_lead_key, Anum_activity_source_occurred_at,
		Anum_activity_source_filter, Anum_activity_source_event_key
	};
	static const int checked[] = {
		Anum_activity_source_model, Anum_activity_source_relation,
		Anum_activity_source_lead_key, Anum_activity_source_match_column,
		Anum_activity_source_occurred_at, Anum_activity_source_time_zone,
		Anum_activity_source_filter, Anum_activity_source_event_key,
		Anum_activity_source_search_path
	};
	WrittenRow	written;
	Datum		values[Natts_activity_source];
	bool		nulls[Natts_activity_source];
	char	   *model_name;
	char	   *name;
	char		kind;
	Oid			source;
	ModelInfo	model;

	look_at_row(fcinfo, "check_activity_source_row", "activity_source",
				Anum_activity_source_search_path, expressions, lengthof(expressions), &written);
	if (is_as_before(&written, checked, lengthof(checked)))
		return PointerGetDatum(written.row);
	heap_deform_tuple(written.row, written.desc, values, nulls);
	if (nulls[Anum_activity_source_model - 1] || nulls[Anum_activity_source_name - 1] ||
		nulls[Anum_activity_source_relation - 1] ||
		nulls[Anum_activity_source_lead_key - 1] ||
		nulls[Anum_activity_source_occurred_at - 1])
		return PointerGetDatum(written.row);	/* NOT NULL will complain */

	model_name = TextDatumGetCString(values[Anum_activity_source_model - 1]);
	name = TextDatumGetCString(values[Anum_activity_source_name - 1]);
	if (!nulls[Anum_activity_source_time_zone - 1])
		(void) find_time_zone(TextDatumGetCString(values[Anum_activity_source_time_zone - 1]));
	if (!find_model_of_row(&written, model_name, &model))
		return PointerGetDatum(written.row);

	source = model.source;
	model.source = DatumGetObjectId(values[Anum_activity_source_relation - 1]);
	model.over_events = true;
	kind = get_rel_relkind(model.source);
	if (kind == '\0' && written.restoring)
		return PointerGetDatum(written.row);
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE &&
		kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("activity source \"%s\" does not read a table", name),
				 errhint("Name the table that the events are written to.")));
	if (!nulls[Anum_activity_source_match_column - 1] &&
		get_attnum(source, NameStr(*DatumGetName(values[Anum_activity_source_match_column - 1]))) <= 0 &&
		get_rel_relkind(source) != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("source of scoring model \"%s\" has no column \"%s\" to match",
						model_name,
						NameStr(*DatumGetName(values[Anum_activity_source_match_column - 1]))),
				 errhint("Name a column of the table or view that the model reads its leads from.")));

	/* events are read with the rights of the owner of their table */
	if (model.attached && !written.restoring && OidIsValid(relation_owner(model.source)) &&
		!has_privs_of_role(GetUserId(), relation_owner(model.source)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of %s", qualified_relation_name(model.source)),
				 errdetail("Scoring model \"%s\" is attached, and reads the table with the rights of its owner.",
						   model_name),
				 errhint("Let the owner write the activity source, or a superuser.")));

	for (int i = 0; i < lengthof(expressions); i++)
	{
		int			column = expressions[i] - 1;
		Oid			type = TEXTOID;

		if (expressions[i] == Anum_activity_source_occurred_at)
			type = TIMESTAMPTZOID;
		else if (expressions[i] == Anum_activity_source_filter)
			type = BOOLOID;
		else if (expressions[i] == Anum_activity_source_lead_key &&
				 nulls[Anum_activity_source_match_column - 1])
			type = InvalidOid;
		if (!nulls[column])
			check_expression(&model, written.path, written.restoring,
							 TextDatumGetCString(values[column]),
							 type,
							 psprintf("expression %s of activity source \"%s\" of scoring model \"%s\"",
									  NameStr(TupleDescAttr(written.desc, column)->attname),
									  name, model_name));
	}
	return finish_row(&written);
}

/*
 * leadscore.check_transition_row(): trigger BEFORE INSERT OR UPDATE ON
 * leadscore.transition
 *		Compiles the condition and fills in search_path.  Errors: 23503 unknown
 *		model, 0A000 it is not known in advance when the condition turns, and
 *		those of condition_analyze.
 */
PG_FUNCTION_INFO_V1(leadscore_check_transition_row);
Datum
leadscore_check_transition_row(PG_FUNCTION_ARGS)
{
	static const int expressions[] = {Anum_transition_condition};
	static const int checked[] = {
		Anum_transition_model, Anum_transition_condition, Anum_transition_search_path
	};
	WrittenRow	written;
	char	   *model_name;
	char	   *condition;
	bool		isnull;
	ModelInfo	model;

	look_at_row(fcinfo, "check_transition_row", "transition", Anum_transition_search_path,
				expressions, lengthof(expressions), &written);
	model_name = row_text(written.row, written.desc, Anum_transition_model);
	condition = row_text(written.row, written.desc, Anum_transition_condition);
	if (model_name == NULL || condition == NULL ||
		is_as_before(&written, checked, lengthof(checked)) ||
		!find_model_of_row(&written, model_name, &model))
		return PointerGetDatum(written.row);
	model.over_scored = true;
	check_expression(&model, written.path, written.restoring, condition, BOOLOID,
					 psprintf("condition of transition %s -> %s of scoring model \"%s\"",
							  lead_stage_label(DatumGetLeadStage(heap_getattr(written.row, Anum_transition_from_stage, written.desc, &isnull))),
							  lead_stage_label(DatumGetLeadStage(heap_getattr(written.row, Anum_transition_to_stage, written.desc, &isnull))),
							  model_name));
	return finish_row(&written);
}

/*
 * leadscore.check_model_row(): trigger BEFORE INSERT OR UPDATE ON leadscore.model
 *		Compiles the model's expressions, fills in search_path, raises the
 *		version on UPDATE.  Errors: 22023 unknown time zone, and those of
 *		condition_analyze.
 */
PG_FUNCTION_INFO_V1(leadscore_check_model_row);
Datum
leadscore_check_model_row(PG_FUNCTION_ARGS)
{
	static const int expressions[] = {
		Anum_model_channel, Anum_model_created_at, Anum_model_consent, Anum_model_status
	};
	static const Oid types[] = {TEXTOID, TIMESTAMPTZOID, BOOLOID, InvalidOid};
	/* what events are found and read by */
	static const int activity_columns[] = {
		Anum_model_target, Anum_model_source, Anum_model_key_column, Anum_model_time_zone
	};
	WrittenRow	written;
	Datum		values[Natts_model];
	bool		nulls[Natts_model];
	char	   *name;
	ModelInfo	model;

	look_at_row(fcinfo, "check_model_row", "model", Anum_model_search_path,
				expressions, lengthof(expressions), &written);
	heap_deform_tuple(written.row, written.desc, values, nulls);
	if (nulls[Anum_model_name - 1] || nulls[Anum_model_target - 1] ||
		nulls[Anum_model_time_zone - 1])
		return PointerGetDatum(written.row);	/* NOT NULL will complain */

	name = TextDatumGetCString(values[Anum_model_name - 1]);
	model.source = DatumGetObjectId(nulls[Anum_model_source - 1] ?
									values[Anum_model_target - 1] :
									values[Anum_model_source - 1]);
	model.time_zone =
		find_time_zone(TextDatumGetCString(values[Anum_model_time_zone - 1]));
	model.attached = has_row_for_model("attachment", name);
	model.over_events = false;
	model.over_scored = false;

	for (int i = 0; i < lengthof(expressions); i++)
	{
		int			column = expressions[i] - 1;

		if (!nulls[column])
			check_expression(&model, written.path, written.restoring,
							 TextDatumGetCString(values[column]), types[i],
							 psprintf("expression %s of scoring model \"%s\"",
									  NameStr(TupleDescAttr(written.desc, column)->attname), name));
	}

	if (written.fill)
	{
		values[Anum_model_search_path - 1] = CStringGetTextDatum(written.path);
		nulls[Anum_model_search_path - 1] = false;
	}
	if (written.old_row != NULL)
	{
		bool		isnull;
		Datum		version = heap_getattr(written.old_row, Anum_model_version, written.desc, &isnull);

		values[Anum_model_version - 1] = Int64GetDatum(DatumGetInt64(version) + 1);
		nulls[Anum_model_version - 1] = false;
		if (!is_as_before(&written, activity_columns, lengthof(activity_columns)))
			values[Anum_model_activity_version - 1] = values[Anum_model_version - 1];
	}
	return PointerGetDatum(heap_form_tuple(written.desc, values, nulls));
}

/*
 * leadscore.check_sla_row(): trigger BEFORE INSERT OR UPDATE ON leadscore.sla
 *		Compiles the expressions and fills in search_path.  Errors: 23503
 *		unknown model or activity source, 0A000 the condition reads the clock,
 *		and those of condition_analyze.
 */
PG_FUNCTION_INFO_V1(leadscore_check_sla_row);
Datum
leadscore_check_sla_row(PG_FUNCTION_ARGS)
{
	static const int expressions[] = {
		Anum_sla_request_at, Anum_sla_response_condition
	};
	static const int checked[] = {
		Anum_sla_model, Anum_sla_request_at, Anum_sla_response_activity,
		Anum_sla_response_condition, Anum_sla_search_path
	};
	WrittenRow	written;
	char	   *model_name;
	char	   *activity;
	char	   *request_at;
	char	   *condition;
	const char *stage;
	Datum		value;
	bool		isnull;
	ModelInfo	model;

	look_at_row(fcinfo, "check_sla_row", "sla", Anum_sla_search_path,
				expressions, lengthof(expressions), &written);
	if (is_as_before(&written, checked, lengthof(checked)))
		return PointerGetDatum(written.row);
	model_name = row_text(written.row, written.desc, Anum_sla_model);
	value = heap_getattr(written.row, Anum_sla_stage, written.desc, &isnull);
	if (model_name == NULL || isnull)
		return PointerGetDatum(written.row);	/* NOT NULL will complain */
	stage = lead_stage_label(DatumGetLeadStage(value));
	if (!find_model_of_row(&written, model_name, &model))
		return PointerGetDatum(written.row);

	request_at = row_text(written.row, written.desc, Anum_sla_request_at);
	if (request_at != NULL)
		check_expression(&model, written.path, written.restoring, request_at, TIMESTAMPTZOID,
						 psprintf("request_at of stage \"%s\" of scoring model \"%s\"",
								  stage, model_name));
	activity = row_text(written.row, written.desc, Anum_sla_response_activity);
	if (activity != NULL && !find_activity_of_row(&written, model_name, activity, &model))
		return PointerGetDatum(written.row);
	condition = row_text(written.row, written.desc, Anum_sla_response_condition);
	if (activity != NULL && condition != NULL)
		check_expression(&model, written.path, written.restoring, condition, BOOLOID,
						 psprintf("response_condition of stage \"%s\" of scoring model \"%s\"",
								  stage, model_name));
	return finish_row(&written);
}


/* --------------------------------------------------------------------
 * Triggers that tell others
 * --------------------------------------------------------------------
 */

/*
 * Is this pg_restore at work?  Then versions come with the dump.
 */
bool
is_restoring(void)
{
	const char *query = debug_query_string;

	return query != NULL && pg_strncasecmp(query, "COPY ", 5) == 0 &&
		condition_path_is_bare();
}

/*
 * leadscore.relax_foreign_keys(): trigger BEFORE and AFTER INSERT, for each
 * statement, on tables with foreign keys to others of ours
 *		Lets pg_restore fill the tables in any order.
 *
 * A parallel pg_restore loads tables side by side, and rules may come before
 * their model.  As a replica the server checks no foreign keys; so be one for
 * this statement.
 */
PG_FUNCTION_INFO_V1(leadscore_relax_foreign_keys);
Datum
leadscore_relax_foreign_keys(PG_FUNCTION_ARGS)
{
	static const char *const tables[] = {"factor", "activity_source", "rule", "threshold", "problem",
		"attachment", "watched", "unsettled_lead", "rescore_run", "transition", "stage_map",
	"sla", "sla_breach", "calendar_hours", "holiday", "channel_cost", "target",
	"playbook", "playbook_progress", "draft", "model_version"};
	static const char *role_before = NULL;
	TriggerData *trigger = require_trigger(fcinfo, "relax_foreign_keys",
										   tables, lengthof(tables));
	const char *role = NULL;

	if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
	{
		role_before = NULL;
		if (is_restoring() &&
			has_privs_of_role(GetUserId(), trigger->tg_relation->rd_rel->relowner))
		{
			role_before = SessionReplicationRole == SESSION_REPLICATION_ROLE_ORIGIN ? "origin" :
				SessionReplicationRole == SESSION_REPLICATION_ROLE_LOCAL ? "local" : "replica";
			role = "replica";
		}
	}
	else
	{
		role = role_before;
		role_before = NULL;
	}
	if (role != NULL)
		(void) set_config_option("session_replication_role", role,
								 PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);

	return PointerGetDatum(NULL);
}

/*
 * Refuse to go on with the owner's rights if that would run foreign code.
 */
static void
require_own_triggers(Relation rel)
{
	/* to look a function up may let in an invalidation, which frees it */
	TriggerDesc *triggers = CopyTriggerDesc(rel->trigdesc);

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (!trigger->tgisinternal &&
			get_func_namespace(trigger->tgfoid) != RelationGetNamespace(rel))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("trigger \"%s\" on table \"%s.%s\" does not belong to leadscore",
							trigger->tgname, LEADSCORE_SCHEMA,
							RelationGetRelationName(rel)),
					 errdetail("It would run with the rights of the table's owner."),
					 errhint("Drop the trigger, and grant no one TRIGGER on the tables of leadscore.")));
	}
}

/*
 * Raise the version of a model, or of all of them if 'model' is NULL; and with
 * 'activities' note that summaries of events made before it are not to be
 * trusted, even if the rules should become again what they were.
 *
 * As the owner of the table: who may write rules need not be allowed to write
 * models.  The row is rewritten even if 'increment' is false, since that is
 * what rulebooks are told apart by.
 */
static void
raise_version(const char *model, bool increment, bool activities)
{
	Relation	rel = table_open(leadscore_relation("model"), AccessShareLock);
	Oid			owner = rel->rd_rel->relowner;
	Oid			save_userid;
	int			save_sec_context;
	int			nestlevel;
	Oid			type = TEXTOID;
	Datum		value = model ? CStringGetTextDatum(model) : (Datum) 0;
	char		null = model ? ' ' : 'n';
	const char *update;

	require_own_triggers(rel);
	table_close(rel, AccessShareLock);

	/*
	 * A restore comes with its versions, and its processes must not wait for
	 * each other.  All models are locked in one order, against deadlocks.
	 */
	if (is_restoring())
		update = "UPDATE leadscore.model SET version = version WHERE name IN "
			"(SELECT m.name FROM leadscore.model m WHERE m.name = coalesce($1, m.name) "
			"FOR NO KEY UPDATE SKIP LOCKED)";
	else if (model != NULL)
		update = !increment ?
			"UPDATE leadscore.model SET version = version WHERE name = $1" :
			activities ?
			"UPDATE leadscore.model SET version = version + 1, activity_version = version + 1 WHERE name = $1" :
			"UPDATE leadscore.model SET version = version + 1 WHERE name = $1";
	else
		update = increment ?
			"UPDATE leadscore.model SET version = version + 1, activity_version = version + 1 WHERE name IN "
			"(SELECT m.name FROM leadscore.model m WHERE $1 IS NULL ORDER BY m.name FOR NO KEY UPDATE)" :
			"UPDATE leadscore.model SET version = version WHERE name IN "
			"(SELECT m.name FROM leadscore.model m WHERE $1 IS NULL ORDER BY m.name FOR NO KEY UPDATE)";

	GetUserIdAndSecContext(&save_userid, &save_sec_context);
	SetUserIdAndSecContext(owner, save_sec_context |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
	nestlevel = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);

	SPI_connect();
	if (SPI_execute_with_args(update, 1, &type, &value, &null, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not raise the version of a scoring model");
	SPI_finish();

	AtEOXact_GUC(false, nestlevel);
	SetUserIdAndSecContext(save_userid, save_sec_context);
}

/*
 * Raise the version of the model that a row belongs to, once per statement.
 */
static void
matrix_row_changed(FunctionCallInfo fcinfo, HeapTuple row, TupleDesc desc,
				   int model_attno, bool increment, bool activities)
{
	List	   *raised = (List *) fcinfo->flinfo->fn_extra;
	char	   *model = model_attno > 0 ? row_text(row, desc, model_attno) : NULL;
	MemoryContext caller;
	ListCell   *lc;

	/*
	 * The list lives as long as the statement; "" stands for all models.  What
	 * was raised for activities has a mark before it, and is raised altogether.
	 */
	foreach(lc, raised)
	{
		const char *entry = (char *) lfirst(lc);

		if (strcmp(entry + 1, model ? model : "") == 0 &&
			(*entry == '+' || !activities))
			return;
	}
	raise_version(model, increment, activities);
	caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	fcinfo->flinfo->fn_extra = lappend(raised, psprintf("%c%s", activities ? '+' : '-',
														model ? model : ""));
	MemoryContextSwitchTo(caller);
}

/*
 * Does the change of a row change which events count for whom, or how they are
 * summed up?  What they are worth does not.
 */
static bool
changes_activities(TriggerData *trigger)
{
	static const int columns[] = {
		Anum_rule_id, Anum_rule_model, Anum_rule_condition, Anum_rule_enabled,
		Anum_rule_search_path, Anum_rule_activity, Anum_rule_half_life,
		Anum_rule_at_least, Anum_rule_at_most
	};
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	Oid			relid = RelationGetRelid(trigger->tg_relation);
	HeapTuple	old_row = trigger->tg_trigtuple;
	HeapTuple	row = old_row;

	if (relid == leadscore_relation("activity_source") ||
		relid == leadscore_relation("allowed_function"))
		return true;
	if (relid != leadscore_relation("rule"))
		return false;
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		row = trigger->tg_newtuple;
		if (same_columns(row, old_row, desc, columns, lengthof(columns)))
			return false;
	}
	return row_text(row, desc, Anum_rule_activity) != NULL ||
		row_text(old_row, desc, Anum_rule_activity) != NULL;
}

/*
 * leadscore.matrix_changed(): trigger BEFORE and AFTER INSERT OR UPDATE OR
 * DELETE, for each row, and AFTER TRUNCATE, on the tables that make up a matrix
 *		Raises the version of the models concerned and has plans made anew.
 *		The table's column "model" says which; a table without it, and NULL,
 *		concern all models.
 *
 * The version counts up AFTER the statement, when all its rows are in.  But
 * the row of the model is rewritten BEFORE it as well: a function that the
 * statement itself calls may score halfway through, and what it sees must not
 * be taken for the version before, should the change be rolled back.
 */
PG_FUNCTION_INFO_V1(leadscore_matrix_changed);
Datum
leadscore_matrix_changed(PG_FUNCTION_ARGS)
{
	static const char *const tables[] = {
		"model", "factor", "activity_source", "rule", "threshold", "allowed_function",
		"transition", "stage_map"
	};
	TriggerData *trigger = require_trigger(fcinfo, "matrix_changed",
										   tables, lengthof(tables));
	Oid			relid = RelationGetRelid(trigger->tg_relation);
	bool		scores = relid != leadscore_relation("transition") &&
		relid != leadscore_relation("stage_map");
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	bool		before = TRIGGER_FIRED_BEFORE(trigger->tg_event);
	bool		by_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);

	if (relid != leadscore_relation("model"))
	{
		int			attno = SPI_fnumber(desc, "model");

		if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
			raise_version(NULL, scores, scores);
		else
		{
			bool		activities = changes_activities(trigger);

			/* moves between stages are loaded anew, but scores stay what they are */
			matrix_row_changed(fcinfo, trigger->tg_trigtuple, desc, attno, !before && scores, activities);
			if (by_update)
				matrix_row_changed(fcinfo, trigger->tg_newtuple, desc, attno, !before && scores, activities);
		}
	}
	rulebook_invalidate_plans();

	if (!before)
		return PointerGetDatum(NULL);
	return PointerGetDatum(by_update ? trigger->tg_newtuple : trigger->tg_trigtuple);
}


/*
 * leadscore.after_ddl(): event trigger ON ddl_command_end and sql_drop
 *		Has rules checked that the command may have broken.
 *
 * Not while pg_restore is at work: it adds constraints to the tables of leads
 * while other processes of it still load what the rules need.
 */
PG_FUNCTION_INFO_V1(leadscore_after_ddl);
Datum
leadscore_after_ddl(PG_FUNCTION_ARGS)
{
	EventTriggerData *event = (EventTriggerData *) fcinfo->context;
	Oid			types[2] = {TEXTOID, TEXTOID};
	Oid			function;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by event trigger manager",
						"after_ddl")));

	/* the extension itself may be what is dropped */
	if (condition_path_is_bare() ||
		!OidIsValid(get_namespace_oid(LEADSCORE_SCHEMA, true)))
		PG_RETURN_VOID();

	/* by its number: the role that alters a table may not even see our schema */
	function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
							   CStringGetDatum("_check_after_ddl"),
							   PointerGetDatum(buildoidvector(types, 2)),
							   ObjectIdGetDatum(get_namespace_oid(LEADSCORE_SCHEMA, false)));
	if (OidIsValid(function))
		OidFunctionCall2Coll(function, DEFAULT_COLLATION_OID,
							 CStringGetTextDatum(event->event),
							 CStringGetTextDatum(GetCommandTagName(event->tag)));

	PG_RETURN_VOID();
}


/* --------------------------------------------------------------------
 * Checking without writing
 * --------------------------------------------------------------------
 */

#define CHECK_NATTS 6

/*
 * leadscore.check_rule(model text, condition text, activity text)
 *		Would this condition be accepted?  Returns (ok, sqlstate, message,
 *		detail, hint, position); position counts characters from 1.  Errors:
 *		42704 unknown model or activity source.
 */
PG_FUNCTION_INFO_V1(leadscore_check_rule);
Datum
leadscore_check_rule(PG_FUNCTION_ARGS)
{
	char	   *name;
	char	   *condition;
	ModelInfo	model;
	ErrorData  *error;
	TupleDesc	desc;
	Datum		values[CHECK_NATTS] = {0};
	bool		nulls[CHECK_NATTS];

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	condition = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);

	if (!find_model(name, &model))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("scoring model \"%s\" does not exist", name),
				 errhint("The table leadscore.model lists the models.")));
	if (!PG_ARGISNULL(2) &&
		!find_activity(name, text_to_cstring(PG_GETARG_TEXT_PP(2)), &model))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("activity source \"%s\" of scoring model \"%s\" does not exist",
						text_to_cstring(PG_GETARG_TEXT_PP(2)), name),
				 errhint("The table leadscore.activity_source lists them.")));
	error = catch_expression_error(&model, condition_current_path(), condition,
								   BOOLOID, "condition", false);

	memset(nulls, true, sizeof(nulls));
	values[0] = BoolGetDatum(error == NULL);
	nulls[0] = false;
	if (error != NULL)
	{
		values[1] = CStringGetTextDatum(unpack_sql_state(error->sqlerrcode));
		nulls[1] = false;
		values[2] = CStringGetTextDatum(error->message);
		nulls[2] = false;
		if (error->detail != NULL)
		{
			values[3] = CStringGetTextDatum(error->detail);
			nulls[3] = false;
		}
		if (error->hint != NULL)
		{
			values[4] = CStringGetTextDatum(error->hint);
			nulls[4] = false;
		}
		if (error->internalpos > 0)
		{
			values[5] = Int32GetDatum(error->internalpos);
			nulls[5] = false;
		}
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/*
 * leadscore._condition_error(model text, condition text, search_path text, activity text)
 *		SQLSTATE and message of what is wrong with a stored condition, or with
 *		its activity source, as an array of two; NULL if nothing is.  For the
 *		event trigger that looks after models whose source changes; it does not
 *		wait for locks (55P03).
 */
PG_FUNCTION_INFO_V1(leadscore_condition_error);
Datum
leadscore_condition_error(PG_FUNCTION_ARGS)
{
	char	   *name;
	char	   *activity = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	ModelInfo	model;
	ModelInfo	lead_model;
	ErrorData  *error;
	Datum		values[2];

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (!find_model(name, &model))
		PG_RETURN_NULL();
	lead_model = model;
	if (activity != NULL && !find_activity(name, activity, &model))
		PG_RETURN_NULL();
	error = catch_expression_error(&model,
								   text_to_cstring(PG_GETARG_TEXT_PP(2)),
								   text_to_cstring(PG_GETARG_TEXT_PP(1)),
								   BOOLOID, "condition", true);
	if (error == NULL && activity != NULL)
		error = find_activity_error(name, activity, &lead_model, &model);
	if (error == NULL)
		PG_RETURN_NULL();
	values[0] = CStringGetTextDatum(unpack_sql_state(error->sqlerrcode));
	values[1] = CStringGetTextDatum(error->message);
	PG_RETURN_ARRAYTYPE_P(construct_array(values, 2, TEXTOID, -1, false,
										  TYPALIGN_INT));
}

/* A condition of a playbook, as it is stored. */
typedef struct StoredCondition
{
	int64		id;
	char	   *text;
	char	   *path;
} StoredCondition;

/*
 * leadscore.check_playbook(model text)
 *		The rows of a playbook whose stored condition cannot be used, with
 *		SQLSTATE and message.  Errors: 42704 unknown model.
 */
PG_FUNCTION_INFO_V1(leadscore_check_playbook);
Datum
leadscore_check_playbook(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Relation	rel;
	Snapshot	snapshot;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *stored = NIL;
	ListCell   *lc;
	ModelInfo	model;

	InitMaterializedSRF(fcinfo, 0);
	if (!find_model(name, &model))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("scoring model \"%s\" does not exist", name),
				 errhint("The table leadscore.model lists the models.")));
	model.attached = false;

	rel = table_open(leadscore_relation("playbook"), AccessShareLock);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyInit(&key, Anum_playbook_model, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(name));
	scan = systable_beginscan(rel, leadscore_relation("playbook_key"), true,
							  snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		StoredCondition *condition = palloc(sizeof(StoredCondition));
		bool		isnull;

		condition->id = DatumGetInt64(heap_getattr(tuple, Anum_playbook_id,
												   RelationGetDescr(rel), &isnull));
		condition->text = row_text(tuple, RelationGetDescr(rel), Anum_playbook_condition);
		condition->path = row_text(tuple, RelationGetDescr(rel), Anum_playbook_search_path);
		if (condition->text != NULL && condition->path != NULL)
			stored = lappend(stored, condition);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);

	foreach(lc, stored)
	{
		StoredCondition *condition = (StoredCondition *) lfirst(lc);
		ErrorData  *error = catch_expression_error(&model, condition->path,
												   condition->text, BOOLOID,
												   "condition", false);
		Datum		values[3];
		bool		nulls[3] = {false};

		if (error == NULL)
			continue;
		values[0] = Int64GetDatum(condition->id);
		values[1] = CStringGetTextDatum(unpack_sql_state(error->sqlerrcode));
		values[2] = CStringGetTextDatum(error->message);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}

	return (Datum) 0;
}

/* An expression of a model, as it is stored; rules and the playbook aside. */
typedef struct StoredExpression
{
	const char *finding;
	char	   *object;
	char	   *text;
	char	   *path;
	char	   *activity;		/* it is over the events of; NULL: over leads */
	Oid			type;
	bool		over_scored;
} StoredExpression;

static void
add_stored(List **stored, const char *finding, char *object, char *text,
		   char *path, char *activity, Oid type)
{
	StoredExpression *expression;

	if (text == NULL || path == NULL)
		return;
	expression = palloc(sizeof(StoredExpression));
	expression->finding = finding;
	expression->object = object;
	expression->text = text;
	expression->path = path;
	expression->activity = activity;
	expression->type = type;
	expression->over_scored = false;
	*stored = lappend(*stored, expression);
}

static void
add_of_model(HeapTuple row, TupleDesc desc, List **stored)
{
	char	   *path = row_text(row, desc, Anum_model_search_path);

	add_stored(stored, "model_expression", "expression channel",
			   row_text(row, desc, Anum_model_channel), path, NULL, TEXTOID);
	add_stored(stored, "model_expression", "expression created_at",
			   row_text(row, desc, Anum_model_created_at), path, NULL, TIMESTAMPTZOID);
	add_stored(stored, "model_expression", "expression consent",
			   row_text(row, desc, Anum_model_consent), path, NULL, BOOLOID);
	add_stored(stored, "model_expression", "expression status",
			   row_text(row, desc, Anum_model_status), path, NULL, InvalidOid);
}

static const char *
row_stage(HeapTuple row, TupleDesc desc, int attno)
{
	bool		isnull;

	return lead_stage_label(DatumGetLeadStage(heap_getattr(row, attno, desc, &isnull)));
}

static void
add_of_transition(HeapTuple row, TupleDesc desc, List **stored)
{
	int			before = list_length(*stored);

	add_stored(stored, "transition_condition",
			   psprintf("transition %s -> %s", row_stage(row, desc, Anum_transition_from_stage),
						row_stage(row, desc, Anum_transition_to_stage)),
			   row_text(row, desc, Anum_transition_condition),
			   row_text(row, desc, Anum_transition_search_path), NULL, BOOLOID);
	if (list_length(*stored) > before)
		((StoredExpression *) llast(*stored))->over_scored = true;
}

static void
add_of_sla(HeapTuple row, TupleDesc desc, List **stored)
{
	char	   *object = psprintf("service level of stage %s", row_stage(row, desc, Anum_sla_stage));
	char	   *path = row_text(row, desc, Anum_sla_search_path);

	add_stored(stored, "service_level", object,
			   row_text(row, desc, Anum_sla_request_at), path, NULL, TIMESTAMPTZOID);
	add_stored(stored, "service_level", object,
			   row_text(row, desc, Anum_sla_response_condition), path,
			   row_text(row, desc, Anum_sla_response_activity), BOOLOID);
}

/*
 * leadscore._broken_expressions(model text)
 *		The stored expressions of a model, of its transitions and of its service
 *		levels that cannot be used, with SQLSTATE and message.  Errors: 42704
 *		unknown model.
 */
PG_FUNCTION_INFO_V1(leadscore_broken_expressions);
Datum
leadscore_broken_expressions(PG_FUNCTION_ARGS)
{
	static const struct
	{
		const char *table;
		const char *index;		/* on the model's name first */
		void		(*add) (HeapTuple row, TupleDesc desc, List **stored);
	}			tables[] =
	{
		{"model", "model_pkey", add_of_model},
		{"transition", "transition_pkey", add_of_transition},
		{"sla", "sla_pkey", add_of_sla}
	};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Snapshot	snapshot;
	List	   *stored = NIL;
	ListCell   *lc;
	ModelInfo	model;

	InitMaterializedSRF(fcinfo, 0);
	if (!find_model(name, &model))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("scoring model \"%s\" does not exist", name),
				 errhint("The table leadscore.model lists the models.")));

	snapshot = RegisterSnapshot(GetLatestSnapshot());
	for (int i = 0; i < lengthof(tables); i++)
	{
		Relation	rel = table_open(leadscore_relation(tables[i].table), AccessShareLock);
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(name));
		scan = systable_beginscan(rel, leadscore_relation(tables[i].index), true,
								  snapshot, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
			tables[i].add(tuple, RelationGetDescr(rel), &stored);
		systable_endscan(scan);
		table_close(rel, AccessShareLock);
	}
	UnregisterSnapshot(snapshot);

	foreach(lc, stored)
	{
		StoredExpression *expression = (StoredExpression *) lfirst(lc);
		ModelInfo	over = model;
		ErrorData  *error;
		Datum		values[4];
		bool		nulls[4] = {false};

		/* the rules that count the events say that they cannot be read */
		if (expression->activity != NULL &&
			(!find_activity(name, expression->activity, &over) ||
			 get_rel_relkind(over.source) == '\0'))
			continue;
		over.over_scored = expression->over_scored;
		error = catch_expression_error(&over, expression->path, expression->text,
									   expression->type, expression->object, false);
		if (error == NULL)
			continue;
		values[0] = CStringGetTextDatum(expression->finding);
		values[1] = CStringGetTextDatum(expression->object);
		values[2] = CStringGetTextDatum(unpack_sql_state(error->sqlerrcode));
		values[3] = CStringGetTextDatum(error->message);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}

	return (Datum) 0;
}
