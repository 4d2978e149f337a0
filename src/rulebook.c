/*-------------------------------------------------------------------------
 *
 * rulebook.c
 *	  Rule tables -> compiled, cached rulebook.
 *
 * A backend compiles the rules of a model once for each version of them, and
 * keeps the last few versions.  Which one a statement gets is decided by its
 * snapshot alone: the row of the model that the snapshot sees names the
 * version, and a version that is not cached is loaded with that very
 * snapshot.  So all rows and all parallel workers of a statement are scored by
 * the same rules, and nothing depends on when an invalidation arrives.
 *
 * What does arrive by invalidation is a change of the source relation (its
 * columns and types are compiled into the expressions).  The callbacks only
 * set flags; the next caller looks whether the change matters.
 *
 * Rulebooks are counted: a caller holds a reference as long as its call state
 * lives, and a version that fell out of the cache is freed when the last
 * reference goes.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "ruletable.h"
#include "rulebook.h"

/* How many versions of a model a backend keeps. */
#define CACHED_VERSIONS 4

typedef struct CacheEntry
{
	char		model[NAMEDATALEN]; /* hash key */
	Rulebook   *versions[CACHED_VERSIONS];	/* most recently used first */
} CacheEntry;

static HTAB *rulebook_cache = NULL;
static dlist_head all_rulebooks = DLIST_STATIC_INIT(all_rulebooks);
static List *warned_rules = NIL;	/* of int64 *, in CacheMemoryContext */
static List *warned_channels = NIL; /* of names of models, likewise */
static uint64 function_changes = 0; /* counts invalidations of functions */
static Oid	signal_relid = InvalidOid;	/* see rulebook_signals */
static uint64 signals_seen = 0;

static Rulebook *rulebook_load(const char *model, Snapshot snapshot,
							   HeapTuple model_tuple, TupleDesc model_desc,
							   const ModelVersion *version, bool missing_ok);


/* --------------------------------------------------------------------
 * Relations of the extension
 * --------------------------------------------------------------------
 */

/*
 * leadscore_relation
 *		OID of one of the extension's own tables or indexes.
 */
Oid
leadscore_relation(const char *name)
{
	Oid			schema = get_namespace_oid(LEADSCORE_SCHEMA, false);
	Oid			relid = get_relname_relid(name, schema);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s.%s\" does not exist",
						LEADSCORE_SCHEMA, name),
				 errhint("Reinstall the extension leadscore.")));
	return relid;
}

/*
 * has_row_for_model
 *		Is there a row for a model in one of our tables, whose primary key
 *		begins with it?  By what is committed, or our own.
 */
bool
has_row_for_model(const char *table, const char *model)
{
	Relation	rel = table_open(leadscore_relation(table), AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(model));
	scan = systable_beginscan(rel, leadscore_relation(psprintf("%s_pkey", table)),
							  true, snapshot, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);

	return found;
}

/*
 * rulebook_invalidate_plans
 *		Have cached plans that took columns from the rules made anew, in all
 *		sessions, once this transaction commits.
 *
 * Always for the table model, whichever table changed: a plan depends on that
 * one alone.
 */
void
rulebook_invalidate_plans(void)
{
	CacheInvalidateRelcacheByRelid(leadscore_relation("model"));
}


/* --------------------------------------------------------------------
 * References and invalidation
 * --------------------------------------------------------------------
 */

static void
free_if_unused(Rulebook *rulebook)
{
	if (rulebook->references == 0 && !rulebook->cached)
		MemoryContextDelete(rulebook->context);
}

/*
 * The memory of a rulebook is about to be freed, perhaps half-built.
 */
static void
forget_rulebook(void *arg)
{
	Rulebook   *rulebook = (Rulebook *) arg;

	dlist_delete(&rulebook->all);
	if (rulebook->guard != NULL)
		ResourceOwnerDelete(rulebook->guard);
}

/*
 * rulebook_release
 *		Give back a reference from rulebook_acquire.
 */
void
rulebook_release(Rulebook *rulebook)
{
	Assert(rulebook->references > 0);
	rulebook->references--;
	free_if_unused(rulebook);
}

static void
relcache_callback(Datum arg, Oid relid)
{
	dlist_iter	iter;

	if (relid == InvalidOid || relid == signal_relid)
		signals_seen++;

	dlist_foreach(iter, &all_rulebooks)
	{
		Rulebook   *rulebook = dlist_container(Rulebook, all, iter.cur);

		if (relid == InvalidOid || relid == rulebook->source)
			rulebook->valid = false;
	}
}

static void
function_callback(Datum arg, int cacheid, uint32 hashvalue)
{
	dlist_iter	iter;

	function_changes++;
	dlist_foreach(iter, &all_rulebooks)
	{
		Rulebook   *rulebook = dlist_container(Rulebook, all, iter.cur);

		if (rulebook->calls_user_code)
			rulebook->valid = false;
	}
}

/*
 * Something happened to the source: is the rulebook still right?
 *
 * Analyzing a table invalidates it as well, and that must not cost a build.
 */
static bool
revalidate(Rulebook *rulebook)
{
	Relation	rel;

	if (rulebook->valid)
		return true;
	if (rulebook->calls_user_code)
		return false;
	rel = try_relation_open(rulebook->source, AccessShareLock);
	if (rel == NULL)
		return false;
	/* opening may have let in more invalidations, but not of this relation */
	rulebook->valid = equalTupleDescs(rulebook->tupdesc, RelationGetDescr(rel));
	relation_close(rel, AccessShareLock);

	return rulebook->valid;
}

static void
init_cache(void)
{
	HASHCTL		ctl;

	ctl.keysize = NAMEDATALEN;
	ctl.entrysize = sizeof(CacheEntry);
	ctl.hcxt = CacheMemoryContext;
	rulebook_cache = hash_create("leadscore rulebooks", 16, &ctl,
								 HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, function_callback, (Datum) 0);
}

static bool
same_version(const ModelVersion *a, const ModelVersion *b)
{
	return a->number == b->number && a->writer == b->writer &&
		ItemPointerEquals(unconstify(ItemPointerData *, &a->place),
						  unconstify(ItemPointerData *, &b->place));
}

/*
 * Drop the cache's hold on a rulebook.
 */
static void
uncache(CacheEntry *entry, int i)
{
	Rulebook   *rulebook = entry->versions[i];

	if (rulebook == NULL)
		return;
	entry->versions[i] = NULL;
	rulebook->cached = false;
	free_if_unused(rulebook);
}

/*
 * rulebook_acquire
 *		The rulebook of a model as a snapshot sees it, with a reference.
 *
 * Errors: 42704 if the snapshot sees no such model, 42P01 if the model's
 * source is gone; with 'missing_ok' the answer is NULL then.
 */
Rulebook *
rulebook_acquire(const char *model, Snapshot snapshot, bool missing_ok)
{
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;
	ModelVersion version;
	CacheEntry *entry = NULL;
	Rulebook   *rulebook = NULL;

	if (rulebook_cache == NULL)
		init_cache();

	/* let in what happened to the source since the last statement */
	AcceptInvalidationMessages();

	rel = table_open(leadscore_relation("model"), AccessShareLock);
	ScanKeyInit(&key, Anum_model_name, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(model));
	scan = systable_beginscan(rel, leadscore_relation("model_pkey"), true,
							  snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (!HeapTupleIsValid(tuple) && missing_ok)
	{
		systable_endscan(scan);
		table_close(rel, AccessShareLock);
		return NULL;
	}
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("scoring model \"%s\" does not exist", model),
				 errhint("The table leadscore.model lists the models.")));
	{
		bool		isnull;

		version.number = DatumGetInt64(heap_getattr(tuple, Anum_model_version,
													RelationGetDescr(rel),
													&isnull));
		version.writer = HeapTupleHeaderGetRawXmin(tuple->t_data);
		version.place = tuple->t_self;
	}

	if (strlen(model) < NAMEDATALEN)
		entry = hash_search(rulebook_cache, model, HASH_FIND, NULL);
	for (int i = 0; entry != NULL && i < CACHED_VERSIONS; i++)
	{
		rulebook = entry->versions[i];
		if (rulebook == NULL || !same_version(&rulebook->version, &version))
		{
			rulebook = NULL;
			continue;
		}
		if (!revalidate(rulebook))
		{
			uncache(entry, i);
			rulebook = NULL;
			break;
		}
		/* move it to the front */
		memmove(&entry->versions[1], &entry->versions[0],
				sizeof(Rulebook *) * i);
		entry->versions[0] = rulebook;
		break;
	}

	if (rulebook == NULL)
	{
		bool		found;

		rulebook = rulebook_load(model, snapshot, tuple, RelationGetDescr(rel),
								 &version, missing_ok);
		if (rulebook == NULL)
		{
			systable_endscan(scan);
			table_close(rel, AccessShareLock);
			return NULL;
		}
		entry = hash_search(rulebook_cache, model, HASH_ENTER, &found);
		if (!found)
			memset(entry->versions, 0, sizeof(entry->versions));
		uncache(entry, CACHED_VERSIONS - 1);
		memmove(&entry->versions[1], &entry->versions[0],
				sizeof(Rulebook *) * (CACHED_VERSIONS - 1));
		entry->versions[0] = rulebook;
		rulebook->cached = true;
	}

	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	rulebook->references++;
	return rulebook;
}


/*
 * rulebook_signals
 *		How often another session has invalidated one of our own relations
 *		since this one began.
 *
 * A backend has few slots for callbacks, and the one that there is is here.
 */
uint64
rulebook_signals(Oid relid)
{
	Assert(signal_relid == InvalidOid || signal_relid == relid);
	if (rulebook_cache == NULL)
		init_cache();
	signal_relid = relid;
	AcceptInvalidationMessages();
	return signals_seen;
}


/* --------------------------------------------------------------------
 * Loading
 * --------------------------------------------------------------------
 */

static char *
text_or_null(Datum value, bool isnull)
{
	return isnull ? NULL : TextDatumGetCString(value);
}

static double
double_or(Datum value, bool isnull, double otherwise)
{
	return isnull ? otherwise : DatumGetFloat8(value);
}

/*
 * Load the factors of a model; they come sorted by name.
 */
static void
load_factors(Rulebook *rulebook, Snapshot snapshot)
{
	Relation	rel = table_open(leadscore_relation("factor"), AccessShareLock);
	Relation	index = index_open(leadscore_relation("factor_pkey"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			max_factors = 16;

	rulebook->factors = palloc(sizeof(Factor) * max_factors);
	ScanKeyInit(&key, Anum_factor_model, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(rulebook->model));
	scan = systable_beginscan_ordered(rel, index, snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		Datum		values[Natts_factor];
		bool		nulls[Natts_factor];
		Factor	   *factor;

		if (rulebook->nfactors == max_factors)
		{
			max_factors *= 2;
			rulebook->factors = repalloc(rulebook->factors,
										 sizeof(Factor) * max_factors);
		}
		factor = &rulebook->factors[rulebook->nfactors++];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		factor->name = TextDatumGetCString(values[Anum_factor_name - 1]);
		factor->axis = strcmp(TextDatumGetCString(values[Anum_factor_axis - 1]),
							  "fit") == 0 ? AXIS_FIT : AXIS_ENGAGEMENT;
		factor->combine = strcmp(TextDatumGetCString(values[Anum_factor_combine - 1]),
								 "best") == 0 ? COMBINE_BEST : COMBINE_SUM;
		factor->points_floor = double_or(values[Anum_factor_points_floor - 1],
										 nulls[Anum_factor_points_floor - 1],
										 -get_float8_infinity());
		factor->points_cap = double_or(values[Anum_factor_points_cap - 1],
									   nulls[Anum_factor_points_cap - 1],
									   get_float8_infinity());
		if (factor->axis == AXIS_ENGAGEMENT)
			rulebook->has_engagement = true;
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
}

static int
find_factor(const Rulebook *rulebook, const char *name)
{
	int			low = 0;
	int			high = rulebook->nfactors - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		int			order = strcmp(name, rulebook->factors[middle].name);

		if (order == 0)
			return middle;
		if (order < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return -1;					/* its foreign key is not checked yet */
}

static int
compare_grades(const void *a, const void *b)
{
	double		left = ((const Grade *) a)->at_least;
	double		right = ((const Grade *) b)->at_least;

	return (left < right) - (left > right);
}

/*
 * Load the thresholds: for each kind the model's own, else the common ones,
 * else those built in.
 */
static void
load_thresholds(Rulebook *rulebook, Snapshot snapshot)
{
	static const char *const kinds[] = {"temperature", "fit", "engagement"};
	GradeList  *lists[] = {&rulebook->temperatures,
		&rulebook->grades[AXIS_FIT], &rulebook->grades[AXIS_ENGAGEMENT]};
	int			levels[] = {0, 0, 0};
	Relation	rel = table_open(leadscore_relation("threshold"), AccessShareLock);
	SysScanDesc scan;
	HeapTuple	tuple;

	scan = systable_beginscan(rel, InvalidOid, false, snapshot, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum		values[Natts_threshold];
		bool		nulls[Natts_threshold];
		char	   *kind;
		int			level;

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		if (!nulls[Anum_threshold_model - 1])
		{
			if (strcmp(TextDatumGetCString(values[Anum_threshold_model - 1]),
					   rulebook->model) != 0)
				continue;
			level = 3;
		}
		else
			level = DatumGetBool(values[Anum_threshold_builtin - 1]) ? 1 : 2;

		kind = TextDatumGetCString(values[Anum_threshold_kind - 1]);
		for (int i = 0; i < lengthof(kinds); i++)
		{
			GradeList  *list = lists[i];

			if (strcmp(kind, kinds[i]) != 0 || level < levels[i])
				continue;
			if (level > levels[i])
			{
				/* rows of a higher level replace all others */
				levels[i] = level;
				list->n = 0;
			}
			if (list->grades == NULL)
				list->grades = palloc(sizeof(Grade));
			else
				list->grades = repalloc(list->grades,
										sizeof(Grade) * (list->n + 1));
			list->grades[list->n].label =
				TextDatumGetCString(values[Anum_threshold_label - 1]);
			list->grades[list->n].at_least =
				DatumGetFloat8(values[Anum_threshold_at_least - 1]);
			list->n++;
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	for (int i = 0; i < lengthof(lists); i++)
		qsort(lists[i]->grades, lists[i]->n, sizeof(Grade), compare_grades);
}

/*
 * Write out the grades: letter of the fit axis, and digit of the engagement
 * axis if there are factors on it.
 */
static void
build_grade_texts(Rulebook *rulebook)
{
	const GradeList *fit = &rulebook->grades[AXIS_FIT];
	const GradeList *engagement = &rulebook->grades[AXIS_ENGAGEMENT];
	int			nfit = Max(fit->n, 1);
	int			nengagement = Max(engagement->n, 1);

	rulebook->grade_texts = palloc(sizeof(text *) * nfit * nengagement);
	for (int i = 0; i < nfit; i++)
	{
		for (int j = 0; j < nengagement; j++)
			rulebook->grade_texts[i * nengagement + j] =
				cstring_to_text(psprintf("%s%s", fit->n > 0 ? fit->grades[i].label : "",
										 rulebook->has_engagement && engagement->n > 0 ?
										 engagement->grades[j].label : ""));
	}
}

/* How far a compilation had come when an error was caught. */
typedef enum CompileState
{
	COMPILE_HARMLESS,			/* only the server's own code was run */
	COMPILE_SUBTRANSACTION,		/* in a subtransaction of ours */
	COMPILE_UNPROTECTED			/* anything may have been run */
} CompileState;

/*
 * Analyze and plan an expression of a rulebook.
 */
static void
compile_expression(ConditionScope *scope, const char *text, const char *path,
				   Oid type, const char *what, Condition *condition,
				   volatile CompileState *state)
{
	MemoryContext scratch = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	if (path != NULL)
		condition_scope_path(scope, path);
	condition_analyze(scope, text, type, what, condition);
	if (!condition->calls_user_code)
		condition_plan(scope, text, what, condition);
	else if (IsInParallelMode())
	{
		/* no subtransactions here; the leader has been through it already */
		*state = COMPILE_UNPROTECTED;
		condition_plan(scope, text, what, condition);
		*state = COMPILE_HARMLESS;
	}
	else
	{
		BeginInternalSubTransaction(NULL);
		*state = COMPILE_SUBTRANSACTION;
		MemoryContextSwitchTo(scratch);
		condition_plan(scope, text, what, condition);
		ReleaseCurrentSubTransaction();
		*state = COMPILE_HARMLESS;
		MemoryContextSwitchTo(scratch);
		CurrentResourceOwner = owner;
	}
}

/*
 * Note when a compiled expression may change by the clock alone.
 *
 * The current memory context is the rulebook's.
 */
static void
add_watches(Rulebook *rulebook, const Condition *condition,
			ClockProblem *problem)
{
	List	   *comparisons;
	ListCell   *lc;

	if (!condition->uses_clock)
		return;
	rulebook->uses_clock = true;
	comparisons = clock_comparisons(condition->expr, problem);
	if (comparisons == NIL)
		return;
	if (rulebook->watches == NULL)
		rulebook->watches = palloc(sizeof(ClockWatch) * list_length(comparisons));
	else
		rulebook->watches = repalloc_huge(rulebook->watches,
										  sizeof(ClockWatch) *
										  ((Size) rulebook->nwatches + list_length(comparisons)));
	foreach(lc, comparisons)
	{
		ClockWatch *watch = &rulebook->watches[rulebook->nwatches++];

		watch->comparison = *(ClockComparison *) lfirst(lc);
		watch->comparison.moment = copyObject(watch->comparison.moment);
		watch->moment = ExecInitExpr(watch->comparison.moment, NULL);
	}
	list_free_deep(comparisons);
}

/*
 * Compile the condition of one rule and hang it into the dispatch.
 *
 * 'scratch' is the current memory context and is reset by the caller; what
 * lasts goes to the rulebook's.
 */
static void
compile_rule(Rulebook *rulebook, ConditionScope *scope, Rule *rule,
			 int32 number, const char *text, const char *path,
			 Bitmapset **columns, volatile CompileState *state)
{
	MemoryContext scratch = CurrentMemoryContext;
	Condition	condition;
	List	   *residual;
	char		what[128];

	snprintf(what, sizeof(what), "condition of rule %lld of scoring model \"%s\"",
			 (long long) rule->id, rulebook->model);
	compile_expression(scope, text, path, BOOLOID, what, &condition, state);
	residual = dispatch_add_rule(rulebook->dispatch, number, condition.expr,
								 &rule->several);

	MemoryContextSwitchTo(rulebook->context);
	if (residual != NIL)
		rule->residual = ExecInitExpr((Expr *) copyObject(make_ands_explicit(residual)),
									  NULL);
	*columns = bms_add_members(*columns, condition.columns);
	rulebook->uses_settings |= condition.uses_settings;
	rulebook->calls_user_code |= condition.calls_user_code;
	rulebook->runs_queries |= condition.runs_queries;
	rulebook->can_fail |= residual != NIL;
	add_watches(rulebook, &condition, &rule->clock);
	MemoryContextSwitchTo(scratch);
}

/*
 * The same for the model's expression channel.
 */
static void
compile_channel(Rulebook *rulebook, ConditionScope *scope, const char *text,
				const char *path, Bitmapset **columns,
				volatile CompileState *state)
{
	MemoryContext scratch = CurrentMemoryContext;
	Condition	condition;
	char		what[128];

	snprintf(what, sizeof(what), "channel of scoring model \"%s\"",
			 rulebook->model);
	compile_expression(scope, text, path, TEXTOID, what, &condition, state);

	MemoryContextSwitchTo(rulebook->context);
	*columns = bms_add_members(*columns, condition.columns);
	/* a function that changes must make it compile anew */
	rulebook->calls_user_code |= condition.calls_user_code;
	rulebook->channel_runs_queries = condition.runs_queries;
	add_watches(rulebook, &condition, &rulebook->channel_clock);
	rulebook->channel = ExecInitExpr((Expr *) copyObject(condition.expr), NULL);
	MemoryContextSwitchTo(scratch);
}

/*
 * A rule cannot be compiled (any more): say so, once per session, and go on
 * without it.
 *
 * This may be a parallel worker or a standby, so that nothing can be written
 * here; the event trigger that watches the source records it.
 */
static void
skip_rule(const Rulebook *rulebook, const Rule *rule, const ErrorData *error)
{
	MemoryContext caller;
	ListCell   *lc;
	int64	   *id;

	foreach(lc, warned_rules)
	{
		if (*(int64 *) lfirst(lc) == rule->id)
			return;
	}
	caller = MemoryContextSwitchTo(CacheMemoryContext);
	id = palloc(sizeof(int64));
	*id = rule->id;
	warned_rules = lappend(warned_rules, id);
	MemoryContextSwitchTo(caller);

	if (!IsParallelWorker())
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("rule %lld of scoring model \"%s\" is skipped: %s",
						(long long) rule->id, rulebook->model, error->message),
				 errhint("Mend the rule or disable it.")));
}

/*
 * The same for a channel.
 */
static void
skip_channel(const Rulebook *rulebook, const ErrorData *error)
{
	MemoryContext caller;
	ListCell   *lc;

	foreach(lc, warned_channels)
	{
		if (strcmp((char *) lfirst(lc), rulebook->model) == 0)
			return;
	}
	caller = MemoryContextSwitchTo(CacheMemoryContext);
	warned_channels = lappend(warned_channels, pstrdup(rulebook->model));
	MemoryContextSwitchTo(caller);

	if (!IsParallelWorker())
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("channel of scoring model \"%s\" is taken for unknown: %s",
						rulebook->model, error->message),
				 errhint("Mend the expression in leadscore.model.")));
}

/*
 * leadscore_release_owner
 *		Release all that a resource owner holds, and the owner.
 */
void
leadscore_release_owner(ResourceOwner owner, bool success)
{
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_BEFORE_LOCKS, success, false);
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_LOCKS, success, false);
	ResourceOwnerRelease(owner, RESOURCE_RELEASE_AFTER_LOCKS, success, false);
	if (CurrentResourceOwner == owner)
		CurrentResourceOwner = ResourceOwnerGetParent(owner);
	ResourceOwnerDelete(owner);
}

/*
 * Compile a rule, or the channel if 'rule' is NULL.  Returns what is wrong with
 * it, or NULL.
 *
 * Neither its author nor the one who dropped a column is the one who asks for
 * a score now, so no error is thrown.  Parallel workers may not start a
 * subtransaction for that, and it would be a high price for each rule; so what
 * a failed compilation held is released through a resource owner of its own.
 * That suffices as long as only the parser and the planner themselves were at
 * work (see compile_expression).
 */
static ErrorData *
try_compile(Rulebook *rulebook, ConditionScope *scope, Rule *rule,
			const char *text, const char *path, Bitmapset **columns,
			ResourceOwner *owner)
{
	MemoryContext scratch = CurrentMemoryContext;
	ResourceOwner caller_owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	volatile CompileState state = COMPILE_HARMLESS;

	CurrentResourceOwner = *owner;
	PG_TRY();
	{
		if (rule != NULL)
			compile_rule(rulebook, scope, rule, rulebook->nrules,
						 text, path, columns, &state);
		else
			compile_channel(rulebook, scope, text, path, columns, &state);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(scratch);
		error = CopyErrorData();
		/* what is wrong with the server is no fault of the rule */
		if (!condition_is_to_blame(error->sqlerrcode))
			PG_RE_THROW();
		if (state == COMPILE_UNPROTECTED)
			PG_RE_THROW();
		FlushErrorState();
		if (state == COMPILE_SUBTRANSACTION)
		{
			RollbackAndReleaseCurrentSubTransaction();
			MemoryContextSwitchTo(scratch);
		}
		leadscore_release_owner(*owner, false);
		*owner = ResourceOwnerCreate(caller_owner, "leadscore rules");
		condition_scope_recover(scope);
	}
	PG_END_TRY();
	CurrentResourceOwner = caller_owner;

	return error;
}

/*
 * Load and compile the rules, and the expression 'channel' if it is not NULL.
 *
 * What cannot be compiled is skipped.
 */
static void
load_rules(Rulebook *rulebook, Relation source, Snapshot snapshot,
		   const char *channel, const char *channel_path,
		   Bitmapset **columns, Bitmapset **channel_columns)
{
	Relation	rel = table_open(leadscore_relation("rule"), AccessShareLock);
	Relation	index = index_open(leadscore_relation("rule_model_id_idx"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	ConditionScope scope;
	ResourceOwner caller_owner = CurrentResourceOwner;
	ResourceOwner owner;
	MemoryContext caller_context = CurrentMemoryContext;
	MemoryContext scratch;
	uint64		changes_before = function_changes;
	int			max_rules = 64;

	scratch = AllocSetContextCreate(caller_context, "leadscore rule",
									ALLOCSET_DEFAULT_SIZES);
	rulebook->rules = MemoryContextAlloc(rulebook->context,
										 sizeof(Rule) * max_rules);

	ScanKeyInit(&key, Anum_rule_model, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(rulebook->model));
	scan = systable_beginscan_ordered(rel, index, snapshot, 1, &key);

	owner = ResourceOwnerCreate(caller_owner, "leadscore rules");
	condition_scope_open(&scope, source, rulebook->time_zone);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		Datum		values[Natts_rule];
		bool		nulls[Natts_rule];
		Rule	   *rule;
		int			factor;
		ErrorData  *error;

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		if (!DatumGetBool(values[Anum_rule_enabled - 1]))
			continue;
		MemoryContextSwitchTo(scratch);
		factor = find_factor(rulebook,
							 TextDatumGetCString(values[Anum_rule_factor - 1]));
		if (factor < 0)
		{
			MemoryContextSwitchTo(caller_context);
			continue;
		}

		if (rulebook->nrules == max_rules)
		{
			max_rules *= 2;
			rulebook->rules = repalloc_huge(rulebook->rules,
											sizeof(Rule) * (Size) max_rules);
		}
		rule = &rulebook->rules[rulebook->nrules];
		memset(rule, 0, sizeof(Rule));
		rule->id = DatumGetInt64(values[Anum_rule_id - 1]);
		rule->points = DatumGetFloat8(values[Anum_rule_points - 1]);
		rule->factor = factor;
		rule->disqualifies = DatumGetBool(values[Anum_rule_disqualifies - 1]);

		error = try_compile(rulebook, &scope, rule,
							TextDatumGetCString(values[Anum_rule_condition - 1]),
							text_or_null(values[Anum_rule_search_path - 1],
										 nulls[Anum_rule_search_path - 1]),
							columns, &owner);
		if (error != NULL)
			skip_rule(rulebook, rule, error);

		MemoryContextSwitchTo(rulebook->context);
		if (error != NULL)
		{
			/* it may hang in the dispatch already, so it keeps its number */
			rule->residual = ExecInitExpr((Expr *) makeBoolConst(false, false),
										  NULL);
		}
		else
		{
			rule->parameter = text_or_null(values[Anum_rule_parameter - 1],
										   nulls[Anum_rule_parameter - 1]);
			rule->significance = text_or_null(values[Anum_rule_significance - 1],
											  nulls[Anum_rule_significance - 1]);
			rule->note = text_or_null(values[Anum_rule_note - 1],
									  nulls[Anum_rule_note - 1]);
		}
		rulebook->nrules++;
		MemoryContextSwitchTo(caller_context);
		MemoryContextReset(scratch);
	}
	if (channel != NULL)
	{
		ErrorData  *error;

		MemoryContextSwitchTo(scratch);
		error = try_compile(rulebook, &scope, NULL, channel, channel_path,
							channel_columns, &owner);
		if (error != NULL)
			skip_channel(rulebook, error);
		MemoryContextSwitchTo(caller_context);
	}
	condition_scope_close(&scope);

	CurrentResourceOwner = owner;
	leadscore_release_owner(owner, true);
	CurrentResourceOwner = caller_owner;

	/* a function changed while its calls were compiled */
	if (rulebook->calls_user_code && function_changes != changes_before)
		rulebook->valid = false;

	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	MemoryContextDelete(scratch);
}

/* For build_outcomes. */
#define GROUP_UNKNOWN	(-2)
#define GROUP_SEVERAL	(-1)
#define MAX_DIRECT_CHAIN 32

typedef struct OutcomeBuild
{
	Rulebook   *rulebook;
	int		   *groups;			/* of each factor: where its rules hang */
	int			walked;			/* chains without an outcome */
} OutcomeBuild;

/*
 * Learn in which groups of chains the rules of each factor hang.
 */
static void
note_group(void *arg, Posting head, int group)
{
	OutcomeBuild *build = (OutcomeBuild *) arg;
	const PostingCell *cells = dispatch_cells(build->rulebook->dispatch);

	for (Posting posting = head; posting != NO_POSTING; posting = cells[posting].next)
	{
		const Rule *rule = &build->rulebook->rules[cells[posting].rule];
		int		   *factor_group = &build->groups[rule->factor];

		if (*factor_group == GROUP_UNKNOWN && rule->residual == NULL)
			*factor_group = group;
		else if (*factor_group != group || rule->residual != NULL)
			*factor_group = GROUP_SEVERAL;
	}
}

/*
 * Work out the outcome of a chain, if all its rules belong to factors that
 * hang in one group.
 */
static void
set_outcome(void *arg, Posting head, int group)
{
	OutcomeBuild *build = (OutcomeBuild *) arg;
	Rulebook   *rulebook = build->rulebook;
	const PostingCell *cells = dispatch_cells(rulebook->dispatch);
	Outcome    *outcome = &rulebook->outcomes[head];
	int			length = 0;

	memset(outcome, 0, sizeof(Outcome));
	outcome->rest = head;
	build->walked++;
	for (Posting posting = head; posting != NO_POSTING; posting = cells[posting].next)
	{
		if (build->groups[rulebook->rules[cells[posting].rule].factor] < 0 ||
			++length > MAX_DIRECT_CHAIN)
			return;
	}

	outcome->rest = NO_POSTING;
	build->walked--;
	for (Posting posting = head; posting != NO_POSTING; posting = cells[posting].next)
	{
		const Rule *rule = &rulebook->rules[cells[posting].rule];
		const Factor *factor = &rulebook->factors[rule->factor];
		double		points = rule->points;
		bool		seen = false;

		if (rule->disqualifies)
			outcome->disqualifies = true;
		for (Posting other = head; other != posting; other = cells[other].next)
			seen |= rulebook->rules[cells[other].rule].factor == rule->factor;
		if (seen)
			continue;
		for (Posting other = cells[posting].next; other != NO_POSTING; other = cells[other].next)
		{
			const Rule *sibling = &rulebook->rules[cells[other].rule];

			if (sibling->factor != rule->factor)
				continue;
			if (factor->combine == COMBINE_SUM)
				points += sibling->points;
			else
				points = Max(points, sibling->points);
		}
		points = Max(points, factor->points_floor);
		points = Min(points, factor->points_cap);
		outcome->points[factor->axis] += points;
	}
}

/*
 * Work out what finding each chain means.
 */
static void
build_outcomes(Rulebook *rulebook)
{
	OutcomeBuild build;

	build.rulebook = rulebook;
	build.groups = palloc(sizeof(int) * (rulebook->nfactors + 1));
	for (int i = 0; i < rulebook->nfactors; i++)
		build.groups[i] = GROUP_UNKNOWN;
	for (int i = 0; i < rulebook->nforced; i++)
		build.groups[rulebook->touched[i]] = GROUP_SEVERAL;
	dispatch_visit_chains(rulebook->dispatch, note_group, &build);

	rulebook->outcomes = palloc(sizeof(Outcome) *
								(dispatch_ncells(rulebook->dispatch) + 1));
	build.walked = 0;
	dispatch_visit_chains(rulebook->dispatch, set_outcome, &build);
	rulebook->all_direct = build.walked == 0 && rulebook->nforced == 0;
	pfree(build.groups);
}

/*
 * The columns of a set, sorted.
 */
static AttrNumber *
list_columns(const Bitmapset *set, int *ncolumns)
{
	AttrNumber *columns = palloc(sizeof(AttrNumber) * (bms_num_members(set) + 1));
	int			column = -1;

	*ncolumns = 0;
	while ((column = bms_next_member(set, column)) >= 0)
		columns[(*ncolumns)++] = column;
	return columns;
}

/*
 * Might a function that compares values of a type fail, or be anybody's?
 */
static bool
comparing_can_fail(Oid type)
{
	return type >= FirstUnpinnedObjectId ?
		get_typtype(type) != TYPTYPE_ENUM :
		get_typtype(type) != TYPTYPE_BASE || OidIsValid(get_element_type(type));
}

/*
 * Read a model, its factors, thresholds and rules as a snapshot sees them and
 * compile them.
 */
static Rulebook *
rulebook_load(const char *model, Snapshot snapshot, HeapTuple model_tuple,
			  TupleDesc model_desc, const ModelVersion *version,
			  bool missing_ok)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	Rulebook   *rulebook;
	Relation	source;
	Datum		values[Natts_model];
	bool		nulls[Natts_model];
	Bitmapset  *columns = NULL;
	Bitmapset  *channel_columns = NULL;

	/* a child of the caller's context, so that an error frees it */
	context = AllocSetContextCreate(caller, "leadscore rulebook",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	rulebook = palloc0(sizeof(Rulebook));
	rulebook->context = context;
	rulebook->model = pstrdup(model);
	MemoryContextSetIdentifier(context, rulebook->model);
	rulebook->version = *version;

	/* from now on invalidations reach it, those during the build included */
	rulebook->valid = true;
	dlist_push_tail(&all_rulebooks, &rulebook->all);
	rulebook->forget.func = forget_rulebook;
	rulebook->forget.arg = rulebook;
	MemoryContextRegisterResetCallback(context, &rulebook->forget);

	heap_deform_tuple(model_tuple, model_desc, values, nulls);
	rulebook->target = DatumGetObjectId(values[Anum_model_target - 1]);
	rulebook->source = nulls[Anum_model_source - 1] ?
		rulebook->target : DatumGetObjectId(values[Anum_model_source - 1]);
	rulebook->time_zone =
		pg_tzset(TextDatumGetCString(values[Anum_model_time_zone - 1]));
	if (rulebook->time_zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone of scoring model \"%s\" is not known to this server",
						model)));
	rulebook->initial_stage =
		DatumGetLeadStage(values[Anum_model_initial_stage - 1]);
	rulebook->score_min = double_or(values[Anum_model_score_min - 1],
									nulls[Anum_model_score_min - 1],
									-get_float8_infinity());
	rulebook->score_max = double_or(values[Anum_model_score_max - 1],
									nulls[Anum_model_score_max - 1],
									get_float8_infinity());
	rulebook->axis_min[AXIS_FIT] = double_or(values[Anum_model_fit_min - 1],
											 nulls[Anum_model_fit_min - 1],
											 -get_float8_infinity());
	rulebook->axis_max[AXIS_FIT] = double_or(values[Anum_model_fit_max - 1],
											 nulls[Anum_model_fit_max - 1],
											 get_float8_infinity());
	rulebook->axis_min[AXIS_ENGAGEMENT] =
		double_or(values[Anum_model_engagement_min - 1],
				  nulls[Anum_model_engagement_min - 1],
				  -get_float8_infinity());
	rulebook->axis_max[AXIS_ENGAGEMENT] =
		double_or(values[Anum_model_engagement_max - 1],
				  nulls[Anum_model_engagement_max - 1],
				  get_float8_infinity());

	source = try_relation_open(rulebook->source, AccessShareLock);
	if (source == NULL && missing_ok)
	{
		MemoryContextSwitchTo(caller);
		MemoryContextDelete(context);
		return NULL;
	}
	if (source == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("source of scoring model \"%s\" does not exist any more",
						model),
				 errhint("Point the columns target and source of leadscore.model to tables that exist.")));
	rulebook->rowtype = source->rd_rel->reltype;
	rulebook->tupdesc = CreateTupleDescCopyConstr(RelationGetDescr(source));

	load_factors(rulebook, snapshot);
	load_thresholds(rulebook, snapshot);
	build_grade_texts(rulebook);
	rulebook->dispatch = dispatch_create();
	MemoryContextSwitchTo(caller);
	load_rules(rulebook, source, snapshot,
			   text_or_null(values[Anum_model_channel - 1],
							nulls[Anum_model_channel - 1]),
			   text_or_null(values[Anum_model_search_path - 1],
							nulls[Anum_model_search_path - 1]),
			   &columns, &channel_columns);
	MemoryContextSwitchTo(context);
	dispatch_finish(rulebook->dispatch);
	relation_close(source, AccessShareLock);

	rulebook->columns = list_columns(columns, &rulebook->ncolumns);
	channel_columns = bms_add_members(channel_columns, columns);
	rulebook->capture_columns = list_columns(channel_columns,
											 &rulebook->ncapture_columns);
	bms_free(columns);
	bms_free(channel_columns);
	for (int i = 0; i < rulebook->ncolumns; i++)
		rulebook->can_fail |=
			comparing_can_fail(TupleDescAttr(rulebook->tupdesc,
											 rulebook->columns[i] - 1)->atttypid);

	rulebook->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(rulebook->tupdesc),
											  &TTSOpsVirtual);
	memset(rulebook->slot->tts_isnull, true,
		   sizeof(bool) * rulebook->tupdesc->natts);
	ExecStoreVirtualTuple(rulebook->slot);
	rulebook->econtext = CreateStandaloneExprContext();
	rulebook->econtext->ecxt_scantuple = rulebook->slot;
	rulebook->econtext->ecxt_param_exec_vals = rulebook->clocks;
	rulebook->at_rule = -1;
	rulebook->heads = palloc(sizeof(Posting) * dispatch_max_heads(rulebook->dispatch));
	rulebook->totals = palloc0(sizeof(FactorTotal) * (rulebook->nfactors + 1));
	rulebook->touched = palloc(sizeof(int32) * (rulebook->nfactors + 1));

	/* a floor above zero, or a cap below it, counts even without a rule */
	for (int i = 0; i < rulebook->nfactors; i++)
	{
		if (rulebook->factors[i].points_floor > 0 ||
			rulebook->factors[i].points_cap < 0)
			rulebook->touched[rulebook->nforced++] = i;
	}
	rulebook->met = palloc0(sizeof(uint64) * (rulebook->nrules + 1));
	build_outcomes(rulebook);
	MemoryContextSwitchTo(caller);

	MemoryContextSetParent(context, CacheMemoryContext);

	return rulebook;
}
