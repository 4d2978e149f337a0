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
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/ruleutils.h"
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
static List *warned_expressions = NIL;	/* of descriptions, likewise */
static uint64 function_changes = 0; /* counts invalidations of functions */
static Oid	signal_relid = InvalidOid;	/* see rulebook_signals */
static uint64 signals_seen = 0;

static bool comparing_can_fail(Oid type);
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
		for (int i = 0; i < rulebook->nactivities; i++)
		{
			if (relid == rulebook->activities[i].relation)
				rulebook->valid = false;
		}
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
 * Has a relation still the columns that were compiled into a rulebook?
 */
static bool
has_same_columns(Oid relid, TupleDesc desc)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	bool		same;

	if (rel == NULL)
		return desc == NULL;
	same = desc != NULL && equalTupleDescs(desc, RelationGetDescr(rel));
	relation_close(rel, AccessShareLock);

	return same;
}

/*
 * Something happened to the source, or to a table of events: is the rulebook
 * still right?
 *
 * Analyzing a table invalidates it as well, and that must not cost a build.
 */
static bool
revalidate(Rulebook *rulebook)
{
	bool		same;

	if (rulebook->valid)
		return true;
	if (rulebook->calls_user_code)
		return false;
	/* opening may let in more invalidations, but not of the relation at hand */
	rulebook->valid = true;
	same = has_same_columns(rulebook->source, rulebook->tupdesc);
	for (int i = 0; same && i < rulebook->nactivities; i++)
		same = has_same_columns(rulebook->activities[i].relation,
								rulebook->activities[i].tupdesc);
	rulebook->valid &= same;

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
		factor->has_activities = false;
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
			list->grades[list->n].margin =
				DatumGetFloat8(values[Anum_threshold_margin - 1]);
			list->n++;
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	for (int i = 0; i < lengthof(lists); i++)
		qsort(lists[i]->grades, lists[i]->n, sizeof(Grade), compare_grades);
	/* with a margin it matters as well when a lead falls below that */
	for (int i = 0; i < rulebook->temperatures.n; i++)
	{
		const Grade *grade = &rulebook->temperatures.grades[i];

		if (grade->margin > 0)
			levels_add(&rulebook->funnel.score_levels, grade->at_least - grade->margin);
	}
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

static int
compare_transitions(const void *a, const void *b)
{
	const Transition *left = (const Transition *) a;
	const Transition *right = (const Transition *) b;

	return left->from != right->from ? left->from - right->from : left->to - right->to;
}

/*
 * How far a stage is from being the one in which a status puts a lead: a new
 * lead's first, and a lead is not given up because its status leaves room for
 * that.
 */
static int
distance(LeadStage stage, LeadStage initial_stage)
{
	return stage == initial_stage ? 0 : stage >= LEAD_STAGE_NURTURE ? 1 : 2;
}

static int
compare_mapped(const void *a, const void *b, void *initial_stage)
{
	const MappedStatus *left = (const MappedStatus *) a;
	const MappedStatus *right = (const MappedStatus *) b;
	LeadStage	initial = *(LeadStage *) initial_stage;
	int			order = strcmp(left->status, right->status);

	if (order == 0)
		order = distance(left->stage, initial) - distance(right->stage, initial);
	return order != 0 ? order : left->stage - right->stage;
}

/*
 * Load the moves between stages, still to be compiled, and what the CRM's own
 * status means.
 */
static void
load_funnel(Rulebook *rulebook, const Datum *model, const bool *model_nulls,
			Snapshot snapshot)
{
	Funnel	   *funnel = &rulebook->funnel;
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		uses_sal = false;
	bool		uses_mql = false;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(rulebook->model));
	rel = table_open(leadscore_relation("transition"), AccessShareLock);
	scan = systable_beginscan(rel, leadscore_relation("transition_pkey"), true,
							  snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum		values[Natts_transition];
		bool		nulls[Natts_transition];
		Transition *transition;

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		funnel->transitions = funnel->transitions == NULL ? palloc(sizeof(Transition)) :
			repalloc(funnel->transitions, sizeof(Transition) * (funnel->ntransitions + 1));
		transition = &funnel->transitions[funnel->ntransitions++];
		memset(transition, 0, sizeof(Transition));
		transition->from = DatumGetLeadStage(values[Anum_transition_from_stage - 1]);
		transition->to = DatumGetLeadStage(values[Anum_transition_to_stage - 1]);
		transition->automatic = DatumGetBool(values[Anum_transition_automatic - 1]);
		if (!nulls[Anum_transition_condition - 1])
			transition->text = TextDatumGetCString(values[Anum_transition_condition - 1]);
		if (!nulls[Anum_transition_min_attempts - 1])
			transition->min_attempts = DatumGetInt32(values[Anum_transition_min_attempts - 1]);
		if (!nulls[Anum_transition_search_path - 1])
			transition->search_path = TextDatumGetCString(values[Anum_transition_search_path - 1]);
		uses_sal |= transition->from == LEAD_STAGE_SAL || transition->to == LEAD_STAGE_SAL;
		uses_mql |= transition->from == LEAD_STAGE_MQL || transition->to == LEAD_STAGE_MQL;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (funnel->ntransitions > 0)
		qsort(funnel->transitions, funnel->ntransitions, sizeof(Transition), compare_transitions);

	rel = table_open(leadscore_relation("stage_map"), AccessShareLock);
	scan = systable_beginscan(rel, leadscore_relation("stage_map_pkey"), true,
							  snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;

		funnel->mapped = funnel->mapped == NULL ? palloc(sizeof(MappedStatus)) :
			repalloc(funnel->mapped, sizeof(MappedStatus) * (funnel->nmapped + 1));
		funnel->mapped[funnel->nmapped].status =
			TextDatumGetCString(heap_getattr(tuple, Anum_stage_map_status,
											 RelationGetDescr(rel), &isnull));
		funnel->mapped[funnel->nmapped].stage =
			DatumGetLeadStage(heap_getattr(tuple, Anum_stage_map_stage,
										   RelationGetDescr(rel), &isnull));
		funnel->nmapped++;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (funnel->nmapped > 0)
		qsort_arg(funnel->mapped, funnel->nmapped, sizeof(MappedStatus), compare_mapped,
				  &rulebook->initial_stage);

	funnel->follows = strcmp(TextDatumGetCString(model[Anum_model_stage_mode - 1]), "follow") == 0;
	funnel->announces = DatumGetBool(model[Anum_model_announce - 1]);
	funnel->cooldown = interval_to_microseconds(DatumGetIntervalP(model[Anum_model_cooldown - 1]));
	/* longer than 10000 years */
	if (funnel->cooldown < 0)
		funnel->cooldown = INT64CONST(3652425) * USECS_PER_DAY;
	funnel->has_handoff = !model_nulls[Anum_model_handoff_stage - 1] || uses_sal || uses_mql;
	funnel->handoff_stage = !model_nulls[Anum_model_handoff_stage - 1] ?
		DatumGetLeadStage(model[Anum_model_handoff_stage - 1]) :
		uses_sal ? LEAD_STAGE_SAL : LEAD_STAGE_MQL;
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
 * Columns of events that are computed as they are read are not in the row that
 * a trigger sees.
 */
void
require_stored_columns(const Bitmapset *columns, TupleDesc desc, const char *what)
{
	int			column = -1;

	while ((column = bms_next_member(columns, column)) >= 0)
	{
		Form_pg_attribute att = TupleDescAttr(desc, column - 1);

		if (att->attgenerated == 'v')
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s reads the virtual column \"%s\"", what,
							NameStr(att->attname)),
					 errhint("Write what the column is generated from, or make it a stored one.")));
	}
}

/* One expression of a model, and where it goes. */
typedef struct Compilation
{
	ConditionScope *scope;
	ActivitySource *activity;	/* whose rows it reads; NULL: the model's source */
	Transition *transition;		/* whose condition it is, or NULL */
	Bitmapset  *columns;		/* read by what was compiled so far */
} Compilation;

typedef enum ModelExpression
{
	EXPRESSION_RULE,
	EXPRESSION_CHANNEL,
	EXPRESSION_CREATED_AT,
	EXPRESSION_CONSENT,
	EXPRESSION_LEAD_KEY,
	EXPRESSION_OCCURRED_AT,
	EXPRESSION_FILTER,
	EXPRESSION_EVENT_KEY,
	EXPRESSION_STATUS,
	EXPRESSION_TRANSITION
} ModelExpression;

static const struct
{
	const char *name;
	Oid			type;
}			model_expressions[] =
{
	{"condition", BOOLOID},
	{"channel", TEXTOID},
	{"created_at", TIMESTAMPTZOID},
	{"consent", BOOLOID},
	{"lead_key", InvalidOid},
	{"occurred_at", TIMESTAMPTZOID},
	{"filter", BOOLOID},
	{"event_key", TEXTOID},
	{"status", InvalidOid},
	{"condition of a transition", BOOLOID}
};

/*
 * Compile the condition of one rule and hang it into the dispatch.
 *
 * 'scratch' is the current memory context and is reset by the caller; what
 * lasts goes to the rulebook's.
 */
static void
compile_rule(Rulebook *rulebook, Compilation *compilation, Rule *rule,
			 const char *text, const char *path, volatile CompileState *state)
{
	MemoryContext scratch = CurrentMemoryContext;
	ActivitySource *activity = compilation->activity;
	Condition	condition;
	List	   *residual;
	char		what[128];

	snprintf(what, sizeof(what), "condition of rule %lld of scoring model \"%s\"",
			 (long long) rule->id, rulebook->model);
	compile_expression(compilation->scope, text, path, BOOLOID, what, &condition, state);
	if (activity != NULL)
		require_stored_columns(condition.columns, activity->tupdesc, what);
	residual = dispatch_add_rule(activity ? activity->dispatch : rulebook->dispatch,
								 rule - rulebook->rules, condition.expr,
								 &rule->several);

	MemoryContextSwitchTo(rulebook->context);
	if (residual != NIL)
		rule->residual = ExecInitExpr((Expr *) copyObject(make_ands_explicit(residual)),
									  NULL);
	compilation->columns = bms_add_members(compilation->columns, condition.columns);
	rulebook->calls_user_code |= condition.calls_user_code;
	if (activity != NULL)
	{
		activity->uses_settings |= condition.uses_settings;
		activity->calls_user_code |= condition.calls_user_code;
		activity->runs_queries |= condition.runs_queries;
		activity->can_fail |= residual != NIL || condition.calls_user_code;
	}
	else
	{
		rulebook->uses_settings |= condition.uses_settings;
		rulebook->runs_queries |= condition.runs_queries;
		rulebook->can_fail |= residual != NIL;
		add_watches(rulebook, &condition, &rule->clock);
	}
	MemoryContextSwitchTo(scratch);
}

/*
 * An expression over events as SQL, in parentheses.
 *
 * Written from what it was found to mean: its text would be looked up again
 * by whoever reads the events, and mean something else by then.  Conversions
 * are written out, since the type is what it is compared by.
 */
static char *
expression_sql(Compilation *compilation, Expr *expr)
{
	Relation	rel = compilation->scope->rel;

	condition_scope_path(compilation->scope, "pg_catalog, pg_temp");
	return psprintf("(%s)", deparse_expression((Node *) expr,
											   deparse_context_for(RelationGetRelationName(rel),
																   RelationGetRelid(rel)),
											   false, true));
}

/*
 * The expression lead_key, to be compared the way that we do: values that leads
 * go by in lower case by the database's rules, and keys byte by byte.
 */
static char *
lead_key_sql(Compilation *compilation, Expr *expr)
{
	char	   *sql = expression_sql(compilation, expr);
	Oid			collation = exprCollation((Node *) expr);

	if (exprType((Node *) expr) == TEXTOID && compilation->activity->match >= 0 &&
		collation != DEFAULT_COLLATION_OID)
		return psprintf("(%s COLLATE pg_catalog.\"default\")", sql);
	if (OidIsValid(collation) && collation != DEFAULT_COLLATION_OID &&
		!get_collation_isdeterministic(collation))
		return psprintf("(%s COLLATE pg_catalog.\"C\")", sql);
	return sql;
}

/*
 * What of a filter can be left to a query: the conditions that cannot fail, on
 * rows of other leads for example.
 */
static char *
filter_sql(Compilation *compilation, Expr *expr)
{
	List	   *safe = NIL;
	ListCell   *lc;

	foreach(lc, make_ands_implicit(expr))
	{
		if (!contain_leaked_vars((Node *) lfirst(lc)))
			safe = lappend(safe, lfirst(lc));
	}
	return safe == NIL ? "" :
		psprintf(" AND %s", expression_sql(compilation, make_ands_explicit(safe)));
}

/*
 * A status may be a number, an enum or text: it is compared as text, as
 * status::text shows it.  Of casts only the server's own are called.
 */
static Expr *
status_as_text(Expr *expr)
{
	CoerceViaIO *coerce;
	Oid			type = exprType((Node *) expr);
	Oid			cast;

	if (type == TEXTOID)
		return expr;
	/* char(n) without its blanks, "true" for a boolean */
	if (find_coercion_pathway(TEXTOID, type, COERCION_EXPLICIT, &cast) == COERCION_PATH_FUNC &&
		cast < FirstNormalObjectId)
		return (Expr *) makeFuncExpr(cast, TEXTOID, list_make1(expr), DEFAULT_COLLATION_OID,
									 InvalidOid, COERCE_EXPLICIT_CAST);
	coerce = makeNode(CoerceViaIO);
	coerce->arg = expr;
	coerce->resulttype = TEXTOID;
	coerce->resultcollid = DEFAULT_COLLATION_OID;
	coerce->coerceformat = COERCE_EXPLICIT_CAST;
	coerce->location = -1;
	return (Expr *) coerce;
}

/*
 * The same for an expression of the model or of an activity source.
 */
static void
compile_other(Rulebook *rulebook, Compilation *compilation,
			  ModelExpression kind, const char *text, const char *path,
			  volatile CompileState *state)
{
	MemoryContext scratch = CurrentMemoryContext;
	ActivitySource *activity = compilation->activity;
	Oid			type = model_expressions[kind].type;
	Condition	condition;
	ExprState  *compiled;
	bool		is_plain;
	char		what[256];

	if (compilation->transition != NULL)
		snprintf(what, sizeof(what), "condition of transition %s -> %s of scoring model \"%s\"",
				 lead_stage_label(compilation->transition->from),
				 lead_stage_label(compilation->transition->to), rulebook->model);
	else if (activity != NULL)
		snprintf(what, sizeof(what), "expression %s of activity source \"%s\" of scoring model \"%s\"",
				 model_expressions[kind].name, activity->name, rulebook->model);
	else
		snprintf(what, sizeof(what), "expression %s of scoring model \"%s\"",
				 model_expressions[kind].name, rulebook->model);
	if (kind == EXPRESSION_LEAD_KEY && activity->match >= 0)
		type = TEXTOID;
	compilation->scope->reads_scored = kind == EXPRESSION_TRANSITION;
	compile_expression(compilation->scope, text, path, type, what, &condition, state);
	compilation->scope->reads_scored = false;
	if (activity != NULL)
		require_stored_columns(condition.columns, activity->tupdesc, what);
	if (kind == EXPRESSION_STATUS)
		condition.expr = status_as_text(condition.expr);

	MemoryContextSwitchTo(rulebook->context);
	compilation->columns = bms_add_members(compilation->columns, condition.columns);
	/* a function that changes must make it compile anew */
	rulebook->calls_user_code |= condition.calls_user_code;
	compiled = ExecInitExpr((Expr *) copyObject(condition.expr), NULL);
	/* what leaks nothing throws nothing */
	is_plain = !condition.uses_settings && !condition.calls_user_code &&
		!condition.runs_queries && !contain_leaked_vars((Node *) condition.expr);
	if (activity != NULL)
	{
		activity->uses_settings |= condition.uses_settings;
		activity->calls_user_code |= condition.calls_user_code;
		activity->runs_queries |= condition.runs_queries;
		activity->can_fail |= !is_plain;
	}
	switch (kind)
	{
		case EXPRESSION_CHANNEL:
			rulebook->channel_runs_queries = condition.runs_queries;
			add_watches(rulebook, &condition, &rulebook->channel_clock);
			rulebook->channel = compiled;
			break;
		case EXPRESSION_CREATED_AT:
			rulebook->created_at_runs_queries = condition.runs_queries;
			rulebook->created_at = compiled;
			break;
		case EXPRESSION_CONSENT:
			rulebook->consent_runs_queries = condition.runs_queries;
			add_watches(rulebook, &condition, &rulebook->channel_clock);
			rulebook->consent = compiled;
			break;
		case EXPRESSION_LEAD_KEY:
			activity->lead_key = compiled;
			activity->lead_key_sql = lead_key_sql(compilation, condition.expr);
			activity->lead_key_type = exprType((Node *) condition.expr);
			activity->lead_key_fails = contain_leaked_vars((Node *) condition.expr);
			activity->key_is_plain = is_plain;
			break;
		case EXPRESSION_OCCURRED_AT:
			activity->occurred_at = compiled;
			break;
		case EXPRESSION_FILTER:
			activity->filter = compiled;
			activity->filter_sql = filter_sql(compilation, condition.expr);
			activity->filter_is_sql = is_plain;
			break;
		case EXPRESSION_EVENT_KEY:
			activity->event_key = compiled;
			activity->event_key_sql = expression_sql(compilation, condition.expr);
			break;
		case EXPRESSION_STATUS:
			rulebook->funnel.status_runs_queries = condition.runs_queries;
			{
				Node	   *read = (Node *) condition.expr;

				/* the cast of status_as_text() aside */
				if (IsA(read, FuncExpr) && exprType(read) == TEXTOID &&
					((FuncExpr *) read)->funcformat == COERCE_EXPLICIT_CAST)
					read = linitial(((FuncExpr *) read)->args);
				while (IsA(read, CoerceViaIO) || IsA(read, RelabelType))
					read = IsA(read, CoerceViaIO) ? (Node *) ((CoerceViaIO *) read)->arg :
						(Node *) ((RelabelType *) read)->arg;
				if (IsA(read, Var))
					rulebook->funnel.status_column = ((Var *) read)->varattno;
			}
			rulebook->funnel.status = compiled;
			break;
		case EXPRESSION_TRANSITION:
			transition_add_levels(&condition, &rulebook->funnel);
			compilation->transition->reads_row = !bms_is_empty(condition.columns);
			compilation->transition->runs_queries = condition.runs_queries;
			compilation->transition->condition = compiled;
			break;
		case EXPRESSION_RULE:
			break;
	}
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
 * The same for another expression: what cannot be computed is unknown.
 */
static void
skip_expression(const Rulebook *rulebook, const Compilation *compilation,
				ModelExpression kind, const ErrorData *error)
{
	const ActivitySource *activity = compilation->activity;
	const Transition *transition = compilation->transition;
	MemoryContext caller;
	char	   *what = transition != NULL ?
		psprintf("condition of transition %s -> %s of scoring model \"%s\"",
				 lead_stage_label(transition->from), lead_stage_label(transition->to),
				 rulebook->model) :
		activity == NULL ?
		psprintf("%s of scoring model \"%s\"", model_expressions[kind].name, rulebook->model) :
		psprintf("%s of activity source \"%s\" of scoring model \"%s\"",
				 model_expressions[kind].name, activity->name, rulebook->model);
	ListCell   *lc;

	foreach(lc, warned_expressions)
	{
		if (strcmp((char *) lfirst(lc), what) == 0)
			return;
	}
	caller = MemoryContextSwitchTo(CacheMemoryContext);
	warned_expressions = lappend(warned_expressions, pstrdup(what));
	MemoryContextSwitchTo(caller);

	if (!IsParallelWorker())
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("%s is taken for unknown: %s", what, error->message),
				 transition != NULL ?
				 errhint("Mend the condition in leadscore.transition; until then nobody makes the move.") :
				 activity == NULL ?
				 errhint("Mend the expression in leadscore.model.") :
				 errhint("Mend the expression in leadscore.activity_source.")));
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
 * Compile a rule, or another expression if 'rule' is NULL.  Returns what is
 * wrong with it, or NULL.
 *
 * Neither its author nor the one who dropped a column is the one who asks for
 * a score now, so no error is thrown.  Parallel workers may not start a
 * subtransaction for that, and it would be a high price for each rule; so what
 * a failed compilation held is released through a resource owner of its own.
 * That suffices as long as only the parser and the planner themselves were at
 * work (see compile_expression).
 */
static ErrorData *
try_compile(Rulebook *rulebook, Compilation *compilation, ModelExpression kind,
			Rule *rule, const char *text, const char *path,
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
			compile_rule(rulebook, compilation, rule, text, path, &state);
		else
			compile_other(rulebook, compilation, kind, text, path, &state);
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
		condition_scope_recover(compilation->scope);
	}
	PG_END_TRY();
	CurrentResourceOwner = caller_owner;

	return error;
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

/* A rule as it was read, still to be compiled. */
typedef struct RuleText
{
	const char *condition;
	const char *search_path;
} RuleText;

static int
span_or_none(Datum value, bool isnull, int64 *span)
{
	*span = isnull ? 0 : interval_to_microseconds(DatumGetIntervalP(value));
	return *span >= 0;
}

static ActivitySource *
find_activity(const Rulebook *rulebook, const char *name)
{
	for (int i = 0; i < rulebook->nactivities; i++)
	{
		if (strcmp(rulebook->activities[i].name, name) == 0)
			return &rulebook->activities[i];
	}
	return NULL;				/* its foreign key is not checked yet */
}

/*
 * How a rule counts events, if it does; false if that cannot be.
 */
static bool
load_term(Rulebook *rulebook, Rule *rule, const Datum *values, const bool *nulls)
{
	ActivitySource *activity;
	ActivityTerm *term;

	rule->term = -1;
	if (nulls[Anum_rule_activity - 1])
		return true;
	activity = find_activity(rulebook,
							 TextDatumGetCString(values[Anum_rule_activity - 1]));
	if (activity == NULL || rulebook->factors[rule->factor].axis == AXIS_FIT)
		return false;

	rule->term = rulebook->nterms;
	if (rulebook->terms == NULL)
		rulebook->terms = MemoryContextAlloc(rulebook->context, sizeof(ActivityTerm));
	else
		rulebook->terms = repalloc(rulebook->terms,
								   sizeof(ActivityTerm) * (rulebook->nterms + 1));
	term = &rulebook->terms[rulebook->nterms];
	memset(term, 0, sizeof(ActivityTerm));
	term->rule = rule - rulebook->rules;
	term->source = activity - rulebook->activities;
	term->at_least = nulls[Anum_rule_at_least - 1] ? 0 :
		DatumGetInt32(values[Anum_rule_at_least - 1]);
	term->at_most = nulls[Anum_rule_at_most - 1] ? 0 :
		DatumGetInt32(values[Anum_rule_at_most - 1]);
	term->include_never = DatumGetBool(values[Anum_rule_include_never - 1]);
	term->keep = Max(term->at_least, term->at_most);
	if (!span_or_none(values[Anum_rule_half_life - 1],
					  nulls[Anum_rule_half_life - 1], &term->half_life) ||
		!span_or_none(values[Anum_rule_within - 1],
					  nulls[Anum_rule_within - 1], &term->within) ||
		!span_or_none(values[Anum_rule_inactive_for - 1],
					  nulls[Anum_rule_inactive_for - 1], &term->inactive_for))
		return false;
	rulebook->nterms++;
	return true;
}

/*
 * Read the rules of a model, by id, without compiling them; what there is to
 * compile of each is returned in the current memory context.
 */
static RuleText *
read_rules(Rulebook *rulebook, Snapshot snapshot)
{
	MemoryContext caller = CurrentMemoryContext;
	Relation	rel = table_open(leadscore_relation("rule"), AccessShareLock);
	Relation	index = index_open(leadscore_relation("rule_model_id_idx"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	RuleText   *texts;
	int			max_rules = 64;

	rulebook->rules = MemoryContextAlloc(rulebook->context,
										 sizeof(Rule) * max_rules);
	texts = palloc(sizeof(RuleText) * max_rules);
	ScanKeyInit(&key, Anum_rule_model, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(rulebook->model));
	scan = systable_beginscan_ordered(rel, index, snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		Datum		values[Natts_rule];
		bool		nulls[Natts_rule];
		Rule	   *rule;
		int			factor;

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		if (!DatumGetBool(values[Anum_rule_enabled - 1]))
			continue;
		factor = find_factor(rulebook,
							 TextDatumGetCString(values[Anum_rule_factor - 1]));
		if (factor < 0)
			continue;

		if (rulebook->nrules == max_rules)
		{
			max_rules *= 2;
			rulebook->rules = repalloc_huge(rulebook->rules,
											sizeof(Rule) * (Size) max_rules);
			texts = repalloc_huge(texts, sizeof(RuleText) * (Size) max_rules);
		}
		rule = &rulebook->rules[rulebook->nrules];
		memset(rule, 0, sizeof(Rule));
		rule->id = DatumGetInt64(values[Anum_rule_id - 1]);
		rule->points = DatumGetFloat8(values[Anum_rule_points - 1]);
		rule->factor = factor;
		rule->disqualifies = DatumGetBool(values[Anum_rule_disqualifies - 1]);
		if (!load_term(rulebook, rule, values, nulls))
			continue;
		texts[rulebook->nrules].condition =
			TextDatumGetCString(values[Anum_rule_condition - 1]);
		texts[rulebook->nrules].search_path =
			text_or_null(values[Anum_rule_search_path - 1],
						 nulls[Anum_rule_search_path - 1]);

		MemoryContextSwitchTo(rulebook->context);
		rule->parameter = text_or_null(values[Anum_rule_parameter - 1],
									   nulls[Anum_rule_parameter - 1]);
		rule->significance = text_or_null(values[Anum_rule_significance - 1],
										  nulls[Anum_rule_significance - 1]);
		rule->note = text_or_null(values[Anum_rule_note - 1],
								  nulls[Anum_rule_note - 1]);
		MemoryContextSwitchTo(caller);
		rulebook->nrules++;
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);

	return texts;
}

/*
 * Read the activity sources of a model, by name, without compiling them.
 */
static void
read_activities(Rulebook *rulebook, Snapshot snapshot)
{
	MemoryContext caller = MemoryContextSwitchTo(rulebook->context);
	Relation	rel = table_open(leadscore_relation("activity_source"), AccessShareLock);
	Relation	index = index_open(leadscore_relation("activity_source_pkey"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_activity_source_model, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(rulebook->model));
	scan = systable_beginscan_ordered(rel, index, snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext_ordered(scan, ForwardScanDirection)))
	{
		Datum		values[Natts_activity_source];
		bool		nulls[Natts_activity_source];
		ActivitySource *activity;

		if (rulebook->activities == NULL)
			rulebook->activities = palloc(sizeof(ActivitySource));
		else
			rulebook->activities = repalloc(rulebook->activities,
											sizeof(ActivitySource) * (rulebook->nactivities + 1));
		activity = &rulebook->activities[rulebook->nactivities];
		memset(activity, 0, sizeof(ActivitySource));
		activity->match = -1;
		activity->filter_sql = "";

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		activity->name = TextDatumGetCString(values[Anum_activity_source_name - 1]);
		activity->relation = DatumGetObjectId(values[Anum_activity_source_relation - 1]);
		activity->time_zone = nulls[Anum_activity_source_time_zone - 1] ? rulebook->time_zone :
			pg_tzset(TextDatumGetCString(values[Anum_activity_source_time_zone - 1]));
		if (activity->time_zone == NULL)
			activity->time_zone = rulebook->time_zone;
		activity->search_path = text_or_null(values[Anum_activity_source_search_path - 1],
											 nulls[Anum_activity_source_search_path - 1]);
		activity->lead_key_text = TextDatumGetCString(values[Anum_activity_source_lead_key - 1]);
		activity->occurred_at_text = TextDatumGetCString(values[Anum_activity_source_occurred_at - 1]);
		activity->filter_text = text_or_null(values[Anum_activity_source_filter - 1],
											 nulls[Anum_activity_source_filter - 1]);
		activity->event_key_text = text_or_null(values[Anum_activity_source_event_key - 1],
												nulls[Anum_activity_source_event_key - 1]);
		activity->match_name = nulls[Anum_activity_source_match_column - 1] ? NULL :
			pstrdup(NameStr(*DatumGetName(values[Anum_activity_source_match_column - 1])));
		rulebook->nactivities++;
	}
	systable_endscan_ordered(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	MemoryContextSwitchTo(caller);
}

/*
 * The column of the source that has a name; 0 if there is none.
 */
static AttrNumber
source_column(const Rulebook *rulebook, const char *name)
{
	for (int i = 0; i < rulebook->tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(rulebook->tupdesc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return i + 1;
	}
	return 0;
}

/*
 * Which of the columns that values of events are compared with an activity
 * source has; false if it is gone.
 */
static bool
find_match_column(Rulebook *rulebook, ActivitySource *activity)
{
	AttrNumber	column;

	if (activity->match_name == NULL)
		return true;
	column = source_column(rulebook, activity->match_name);
	if (column == 0)
		return false;
	for (int i = 0; i < rulebook->nmatches; i++)
	{
		if (rulebook->match_columns[i] == column)
			activity->match = i;
	}
	if (activity->match < 0)
	{
		if (rulebook->match_columns == NULL)
			rulebook->match_columns = MemoryContextAlloc(rulebook->context, sizeof(AttrNumber));
		else
			rulebook->match_columns = repalloc(rulebook->match_columns,
											   sizeof(AttrNumber) * (rulebook->nmatches + 1));
		activity->match = rulebook->nmatches++;
		rulebook->match_columns[activity->match] = column;
	}
	return true;
}

/*
 * A rule cannot be compiled: it may hang in the dispatch already, so it keeps
 * its number.
 */
static void
disable_rule(Rulebook *rulebook, Rule *rule)
{
	MemoryContext caller = MemoryContextSwitchTo(rulebook->context);

	rule->residual = ExecInitExpr((Expr *) makeBoolConst(false, false), NULL);
	rule->skipped = true;
	MemoryContextSwitchTo(caller);
}

/*
 * Compile the rules over the events of an activity source, or if it is NULL
 * those over the lead's own row.  What cannot be compiled is skipped.
 */
static void
compile_rules(Rulebook *rulebook, Compilation *compilation,
			  const RuleText *texts, ResourceOwner *owner)
{
	ActivitySource *activity = compilation->activity;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch = AllocSetContextCreate(caller, "leadscore rule",
												  ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(scratch);
	for (int i = 0; i < rulebook->nrules; i++)
	{
		Rule	   *rule = &rulebook->rules[i];
		ErrorData  *error;

		if (rule->term < 0 ? activity != NULL :
			activity != &rulebook->activities[rulebook->terms[rule->term].source])
			continue;
		error = try_compile(rulebook, compilation, EXPRESSION_RULE, rule,
							texts[i].condition, texts[i].search_path, owner);
		if (error != NULL)
		{
			skip_rule(rulebook, rule, error);
			disable_rule(rulebook, rule);
		}
		else if (activity != NULL)
			activity->nrules++;
		MemoryContextReset(scratch);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
}

/*
 * Compile an activity source and the rules over its events.  If its events
 * cannot be read its rules never match.
 */
static void
compile_activity(Rulebook *rulebook, ActivitySource *activity,
				 const RuleText *texts, ResourceOwner *owner)
{
	const struct
	{
		ModelExpression kind;
		const char *text;
	}			expressions[] =
	{
		{EXPRESSION_LEAD_KEY, activity->lead_key_text},
		{EXPRESSION_OCCURRED_AT, activity->occurred_at_text},
		{EXPRESSION_FILTER, activity->filter_text},
		{EXPRESSION_EVENT_KEY, activity->event_key_text}
	};
	MemoryContext caller;
	Relation	rel = try_relation_open(activity->relation, AccessShareLock);
	ConditionScope scope;
	Compilation compilation = {&scope, activity, NULL, NULL};
	bool		failed = !find_match_column(rulebook, activity);

	if (rel != NULL)
	{
		caller = MemoryContextSwitchTo(rulebook->context);
		activity->tupdesc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
		activity->rowtype = rel->rd_rel->reltype;
		activity->dispatch = dispatch_create();
		activity->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(activity->tupdesc),
												  &TTSOpsVirtual);
		memset(activity->slot->tts_isnull, true,
			   sizeof(bool) * activity->tupdesc->natts);
		ExecStoreVirtualTuple(activity->slot);
		activity->econtext = CreateStandaloneExprContext();
		activity->econtext->ecxt_scantuple = activity->slot;
		activity->econtext->ecxt_param_exec_vals = rulebook->params;
		MemoryContextSwitchTo(caller);

		condition_scope_open(&scope, rel, activity->time_zone);
		for (int i = 0; i < lengthof(expressions); i++)
		{
			ErrorData  *error;

			if (expressions[i].text == NULL)
				continue;
			error = try_compile(rulebook, &compilation, expressions[i].kind, NULL,
								expressions[i].text, activity->search_path, owner);
			if (error != NULL)
			{
				skip_expression(rulebook, &compilation, expressions[i].kind, error);
				failed = true;
			}
		}
		compile_rules(rulebook, &compilation, texts, owner);
		condition_scope_close(&scope);
		relation_close(rel, AccessShareLock);

		caller = MemoryContextSwitchTo(rulebook->context);
		dispatch_finish(activity->dispatch);
		activity->heads = palloc(sizeof(Posting) * dispatch_max_heads(activity->dispatch));
		activity->columns = list_columns(compilation.columns, &activity->ncolumns);
		MemoryContextSwitchTo(caller);
		for (int i = 0; i < activity->ncolumns; i++)
			activity->can_fail |=
				comparing_can_fail(TupleDescAttr(activity->tupdesc,
												 activity->columns[i] - 1)->atttypid);
	}
	activity->usable = rel != NULL && !failed;
	for (int i = 0; i < rulebook->nterms && !activity->usable; i++)
	{
		if (&rulebook->activities[rulebook->terms[i].source] == activity)
			rulebook->rules[rulebook->terms[i].rule].skipped = true;
	}
}

/*
 * Identify what the events that a summary is of are matched by, and how they
 * are counted: summaries made by the same are good for each other.
 */
static uint64
identify_activity_rules(const Rulebook *rulebook, const RuleText *texts)
{
	StringInfoData all;
	uint64		hash;

	/* rules that have become again what they were have missed what came between */
	initStringInfo(&all);
	appendStringInfo(&all, "%lld ", (long long) rulebook->activity_version);
	for (int i = 0; i < rulebook->nterms; i++)
	{
		const ActivityTerm *term = &rulebook->terms[i];
		const Rule *rule = &rulebook->rules[term->rule];
		const ActivitySource *activity = &rulebook->activities[term->source];

		if (rule->skipped)
			continue;
		appendStringInfo(&all, "%lld %lld %d", (long long) rule->id,
						 (long long) term->half_life, term->keep);
		appendBinaryStringInfo(&all, texts[term->rule].condition,
							   strlen(texts[term->rule].condition) + 1);
		if (texts[term->rule].search_path != NULL)
			appendStringInfoString(&all, texts[term->rule].search_path);
		appendStringInfoChar(&all, '\0');

		/* by name: a dump that is restored brings other numbers */
		appendStringInfo(&all, "%s%c%s%c%s%c%s%c%s%c%s%c%s%c%s%c%s%c",
						 get_namespace_name(get_rel_namespace(activity->relation)), '\0',
						 get_rel_name(activity->relation), '\0',
						 activity->lead_key_text, '\0',
						 activity->match_name ? activity->match_name : "", '\0',
						 activity->occurred_at_text, '\0',
						 pg_get_timezone_name(activity->time_zone), '\0',
						 activity->filter_text ? activity->filter_text : "", '\0',
						 activity->event_key_text ? activity->event_key_text : "", '\0',
						 activity->search_path ? activity->search_path : "", '\0');
	}
	hash = DatumGetUInt64(hash_any_extended((unsigned char *) all.data, all.len, 0));
	pfree(all.data);

	/* 0 means that nothing is known of it */
	return hash != 0 ? hash : 1;
}

/*
 * Which rules does a state have to remember that the lead's row matched, for
 * its engagement to be worked out without the row?
 */
static void
mark_kept_rules(Rulebook *rulebook)
{
	int			nkept = 0;

	for (int i = 0; i < rulebook->nterms; i++)
	{
		if (!rulebook->rules[rulebook->terms[i].rule].skipped)
			rulebook->factors[rulebook->rules[rulebook->terms[i].rule].factor].has_activities = true;
	}
	for (int i = 0; i < rulebook->nrules && rulebook->nterms > 0; i++)
	{
		Rule	   *rule = &rulebook->rules[i];

		rule->kept = rule->term < 0 &&
			(rule->disqualifies || rulebook->factors[rule->factor].has_activities);
		nkept += rule->kept;
	}
	rulebook->kept = MemoryContextAlloc(rulebook->context, sizeof(int64) * (nkept + 1));
}

/*
 * Load and compile the rules, and the expressions of the model.  Sets the
 * columns that the rules read, and those read besides for the sake of stored
 * states.
 */
static void
load_rules(Rulebook *rulebook, Relation source, Snapshot snapshot,
		   const char *channel, const char *consent, const char *created_at,
		   const char *status, const char *path, Bitmapset **columns, Bitmapset **more_columns)
{
	ConditionScope scope;
	Compilation compilation = {&scope, NULL, NULL, NULL};
	ResourceOwner caller_owner = CurrentResourceOwner;
	ResourceOwner owner;
	MemoryContext caller_context = CurrentMemoryContext;
	MemoryContext text_context;
	uint64		changes_before = function_changes;
	RuleText   *texts;
	ErrorData  *error;

	text_context = AllocSetContextCreate(caller_context, "leadscore rules",
										 ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(text_context);
	read_activities(rulebook, snapshot);
	texts = read_rules(rulebook, snapshot);

	owner = ResourceOwnerCreate(caller_owner, "leadscore rules");
	condition_scope_open(&scope, source, rulebook->time_zone);
	compile_rules(rulebook, &compilation, texts, &owner);
	*columns = compilation.columns;
	compilation.columns = NULL;
	if (channel != NULL &&
		(error = try_compile(rulebook, &compilation, EXPRESSION_CHANNEL, NULL,
							 channel, path, &owner)) != NULL)
		skip_expression(rulebook, &compilation, EXPRESSION_CHANNEL, error);
	if (consent != NULL &&
		(error = try_compile(rulebook, &compilation, EXPRESSION_CONSENT, NULL,
							 consent, path, &owner)) != NULL)
	{
		rulebook->consent_unknown = true;
		skip_expression(rulebook, &compilation, EXPRESSION_CONSENT, error);
	}
	for (int i = 0; i < rulebook->funnel.ntransitions; i++)
	{
		Transition *transition = &rulebook->funnel.transitions[i];

		if (transition->text == NULL)
			continue;
		compilation.transition = transition;
		error = try_compile(rulebook, &compilation, EXPRESSION_TRANSITION, NULL,
							transition->text, transition->search_path, &owner);
		scope.reads_scored = false;
		if (error != NULL)
		{
			transition->skipped = true;
			skip_expression(rulebook, &compilation, EXPRESSION_TRANSITION, error);
		}
		compilation.transition = NULL;
	}
	*more_columns = compilation.columns;
	compilation.columns = NULL;
	for (int i = 0; i < rulebook->nterms; i++)
		rulebook->needs_created_at |= rulebook->terms[i].include_never;
	if (created_at != NULL &&
		(error = try_compile(rulebook, &compilation, EXPRESSION_CREATED_AT, NULL,
							 created_at, path, &owner)) != NULL)
		skip_expression(rulebook, &compilation, EXPRESSION_CREATED_AT, error);
	MemoryContextSwitchTo(rulebook->context);
	if (rulebook->needs_created_at)
		*columns = bms_add_members(*columns, compilation.columns);
	*more_columns = bms_add_members(*more_columns, compilation.columns);
	MemoryContextSwitchTo(text_context);
	compilation.columns = NULL;
	rulebook->funnel.has_status = status != NULL;
	if (status != NULL &&
		(error = try_compile(rulebook, &compilation, EXPRESSION_STATUS, NULL,
							 status, path, &owner)) != NULL)
		skip_expression(rulebook, &compilation, EXPRESSION_STATUS, error);
	MemoryContextSwitchTo(rulebook->context);
	if (bms_is_member(rulebook->funnel.status_column, *columns) ||
		bms_is_member(rulebook->funnel.status_column, *more_columns))
		rulebook->funnel.status_column = InvalidAttrNumber;
	*more_columns = bms_add_members(*more_columns, compilation.columns);
	MemoryContextSwitchTo(text_context);
	condition_scope_close(&scope);

	for (int i = 0; i < rulebook->nactivities; i++)
		compile_activity(rulebook, &rulebook->activities[i], texts, &owner);
	if (rulebook->nterms > 0)
		rulebook->activity_rules = identify_activity_rules(rulebook, texts);
	mark_kept_rules(rulebook);

	CurrentResourceOwner = owner;
	leadscore_release_owner(owner, true);
	CurrentResourceOwner = caller_owner;

	/* a function changed while its calls were compiled */
	if (rulebook->calls_user_code && function_changes != changes_before)
		rulebook->valid = false;

	MemoryContextSwitchTo(caller_context);
	MemoryContextDelete(text_context);
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
		/* the rules of a chain that is kept are looked at one by one */
		if (rule->kept)
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
		build.groups[i] = rulebook->factors[i].has_activities ?
			GROUP_SEVERAL : GROUP_UNKNOWN;
	for (int i = 0; i < rulebook->nforced; i++)
		build.groups[rulebook->touched[i]] = GROUP_SEVERAL;
	dispatch_visit_chains(rulebook->dispatch, note_group, &build);

	rulebook->outcomes = palloc(sizeof(Outcome) *
								(dispatch_ncells(rulebook->dispatch) + 1));
	build.walked = 0;
	dispatch_visit_chains(rulebook->dispatch, set_outcome, &build);
	rulebook->all_direct = build.walked == 0 && rulebook->nforced == 0 &&
		rulebook->nterms == 0;
	pfree(build.groups);
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
	Bitmapset  *more_columns = NULL;

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
	rulebook->activity_version =
		DatumGetInt64(values[Anum_model_activity_version - 1]);
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
	load_funnel(rulebook, values, nulls, snapshot);
	build_grade_texts(rulebook);
	rulebook->dispatch = dispatch_create();
	MemoryContextSwitchTo(caller);
	load_rules(rulebook, source, snapshot,
			   text_or_null(values[Anum_model_channel - 1],
							nulls[Anum_model_channel - 1]),
			   text_or_null(values[Anum_model_consent - 1],
							nulls[Anum_model_consent - 1]),
			   text_or_null(values[Anum_model_created_at - 1],
							nulls[Anum_model_created_at - 1]),
			   text_or_null(values[Anum_model_status - 1],
							nulls[Anum_model_status - 1]),
			   text_or_null(values[Anum_model_search_path - 1],
							nulls[Anum_model_search_path - 1]),
			   &columns, &more_columns);
	MemoryContextSwitchTo(context);

	/* what a lead did is looked up by its key, or by the values it goes by */
	if (!nulls[Anum_model_key_column - 1])
		rulebook->key_column =
			source_column(rulebook, NameStr(*DatumGetName(values[Anum_model_key_column - 1])));
	if (rulebook->nterms > 0 && rulebook->key_column > 0)
		columns = bms_add_member(columns, rulebook->key_column);
	for (int i = 0; i < rulebook->nmatches; i++)
		columns = bms_add_member(columns, rulebook->match_columns[i]);
	dispatch_finish(rulebook->dispatch);
	relation_close(source, AccessShareLock);

	rulebook->columns = list_columns(columns, &rulebook->ncolumns);
	more_columns = bms_add_members(more_columns, columns);
	rulebook->capture_columns = list_columns(more_columns,
											 &rulebook->ncapture_columns);
	bms_free(columns);
	bms_free(more_columns);
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
	rulebook->econtext->ecxt_param_exec_vals = rulebook->params;
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
