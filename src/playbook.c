/*-------------------------------------------------------------------------
 *
 * playbook.c
 *	  What to do next with a lead.
 *
 * _next_action()	for the scored views, of leads whose temperature, grade and
 *					stage are at hand
 * next_action()	for a lead given by its key
 * acknowledge_action()
 *					notes that it was done, so that a programme goes on to its
 *					next step
 *
 * A statement reads the playbook of a model once, and sorts it so that the
 * first row that fits a lead is the one that wins.  A model without a playbook
 * costs a look at an index, once per statement.  What takes more than the
 * three words, a condition over the lead's row or the steps that were done, is
 * looked up only for leads that come to a row with such a thing.
 *
 * The lead's row is read as the owner of the source, and its conditions mean
 * what those of rules mean.  So whoever asks must be able to read the states
 * of the model, and must see this lead.
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
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "evaluate.h"
#include "lead_stage.h"
#include "live.h"
#include "move.h"
#include "problem.h"
#include "ruletable.h"
#include "score.h"
#include "scorer.h"
#include "source.h"

/* A row of the playbook. */
typedef struct Action
{
	int64		id;
	text	   *temperature;	/* these three: NULL is any */
	text	   *grade;
	text	   *stage;
	text	   *action;
	text	   *content;		/* or NULL */
	char	   *condition;		/* or NULL */
	char	   *search_path;
	int64		programme;		/* lowest id of the rows that differ by step alone */
	bool		has_step;
	int32		step;

	/* the condition, once it is compiled */
	ExprState  *compiled;		/* NULL: it cannot be used */
	bool		runs_queries;
	RuleFailure failure;		/* why it cannot */
} Action;

/* The playbook of a model, as a statement sees it. */
typedef struct Playbook
{
	MemoryContextCallback release;
	MemoryContext context;		/* of all that follows; emptied for each statement */
	StatementKey statement;
	char	   *model;
	int			nactions;
	Action	   *actions;		/* the one that wins first */
	Oid			key_type;		/* of the states */
	Scorer	   *attachment;		/* NULL: not attached */
	bool		row_security;	/* does any apply to the reader? */
	SPIPlanPtr	probe;			/* looks a lead up as the reader */

	/* what conditions take, once one is asked */
	Rulebook   *rulebook;		/* holds a reference; NULL: not compiled */
	int			ncolumns;
	AttrNumber *columns;		/* of the source, that they read */
	char	   *query;			/* NULL: the source has no such key */
	TupleTableSlot *slot;
	ExprContext *econtext;
	ParamExecData clocks[NUM_CLOCKS];
} Playbook;

/* A lead for which an action is looked for. */
typedef struct Lead
{
	Playbook   *playbook;
	Datum		key;			/* of the type of the states' */
	bool		lenient;		/* a condition that fails does not hold */
	bool		is_known;		/* visible is set */
	bool		visible;		/* may the reader see it? */
	bool		is_read;		/* exists is set, and the slot */
	bool		exists;			/* has the source a row for it? */
	bool		has_done;		/* the next two are set */
	int			ndone;
	int64	   *done;			/* rows of the playbook that were acknowledged */
	MemoryContext context;		/* of the lead's values */
} Lead;

/* Rows of playbooks of which the session has been told. */
static List *warned = NIL;		/* of int64 *, in CacheMemoryContext */


/* --------------------------------------------------------------------
 * Reading the playbook
 * --------------------------------------------------------------------
 */

static int
compare_words(const text *a, const text *b)
{
	if (a == NULL || b == NULL)
		return (a != NULL) - (b != NULL);
	if (VARSIZE_ANY_EXHDR(a) != VARSIZE_ANY_EXHDR(b))
		return VARSIZE_ANY_EXHDR(a) < VARSIZE_ANY_EXHDR(b) ? -1 : 1;
	return memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a));
}

static inline int
compare_int64(int64 a, int64 b)
{
	return (a > b) - (a < b);
}

/*
 * Brings the rows of a programme together, by id.
 */
static int
compare_programmes(const void *left, const void *right)
{
	const Action *a = (const Action *) left;
	const Action *b = (const Action *) right;
	int			result;

	if ((result = compare_words(a->temperature, b->temperature)) != 0 ||
		(result = compare_words(a->grade, b->grade)) != 0 ||
		(result = compare_words(a->stage, b->stage)) != 0)
		return result;
	if (a->condition == NULL || b->condition == NULL)
		result = (a->condition != NULL) - (b->condition != NULL);
	else
		result = strcmp(a->condition, b->condition);
	return result != 0 ? result : compare_int64(a->id, b->id);
}

static bool
same_programme(const Action *a, const Action *b)
{
	return compare_words(a->temperature, b->temperature) == 0 &&
		compare_words(a->grade, b->grade) == 0 &&
		compare_words(a->stage, b->stage) == 0 &&
		(a->condition == NULL || b->condition == NULL ?
		 a->condition == b->condition : strcmp(a->condition, b->condition) == 0);
}

/*
 * How specific a row is: most words first, then the stage before the grade
 * before the temperature.
 */
static int
rank_of(const Action *action)
{
	int			n = (action->temperature != NULL) + (action->grade != NULL) +
		(action->stage != NULL);

	return 8 * n + 4 * (action->stage != NULL) + 2 * (action->grade != NULL) +
		(action->temperature != NULL);
}

/*
 * Brings the row that wins to the front.
 */
static int
compare_precedence(const void *left, const void *right)
{
	const Action *a = (const Action *) left;
	const Action *b = (const Action *) right;

	if (rank_of(a) != rank_of(b))
		return rank_of(b) - rank_of(a);
	if ((a->condition != NULL) != (b->condition != NULL))
		return a->condition != NULL ? -1 : 1;
	if (a->programme != b->programme)
		return compare_int64(a->programme, b->programme);
	if (a->has_step != b->has_step)
		return a->has_step ? -1 : 1;
	if (a->has_step && a->step != b->step)
		return compare_int64(a->step, b->step);
	return compare_int64(a->id, b->id);
}

static text *
text_copy(Datum value, bool isnull)
{
	return isnull ? NULL : DatumGetTextPCopy(value);
}

/*
 * Read the rows of a model, in the current memory context.
 */
static void
read_actions(Playbook *playbook, Snapshot snapshot)
{
	Relation	rel = table_open(leadscore_relation("playbook"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			max_actions = 16;

	playbook->nactions = 0;
	playbook->actions = palloc(sizeof(Action) * max_actions);
	ScanKeyInit(&key, Anum_playbook_model, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(playbook->model));
	scan = systable_beginscan(rel, leadscore_relation("playbook_key"), true,
							  snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Datum		values[Natts_playbook];
		bool		nulls[Natts_playbook];
		Action	   *action;

		if (playbook->nactions == max_actions)
		{
			max_actions *= 2;
			playbook->actions = repalloc_huge(playbook->actions,
											  sizeof(Action) * (Size) max_actions);
		}
		action = &playbook->actions[playbook->nactions++];
		memset(action, 0, sizeof(Action));
		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		action->id = DatumGetInt64(values[Anum_playbook_id - 1]);
		action->temperature = text_copy(values[Anum_playbook_temperature - 1],
										nulls[Anum_playbook_temperature - 1]);
		action->grade = text_copy(values[Anum_playbook_grade - 1],
								  nulls[Anum_playbook_grade - 1]);
		if (!nulls[Anum_playbook_stage - 1])
			action->stage =
				cstring_to_text(lead_stage_label(DatumGetLeadStage(values[Anum_playbook_stage - 1])));
		action->action = text_copy(values[Anum_playbook_action - 1], false);
		action->content = text_copy(values[Anum_playbook_content - 1],
									nulls[Anum_playbook_content - 1]);
		if (!nulls[Anum_playbook_condition - 1])
			action->condition = TextDatumGetCString(values[Anum_playbook_condition - 1]);
		if (!nulls[Anum_playbook_search_path - 1])
			action->search_path = TextDatumGetCString(values[Anum_playbook_search_path - 1]);
		action->has_step = !nulls[Anum_playbook_step - 1];
		if (action->has_step)
			action->step = DatumGetInt32(values[Anum_playbook_step - 1]);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	qsort(playbook->actions, playbook->nactions, sizeof(Action), compare_programmes);
	for (int i = 0; i < playbook->nactions; i++)
		playbook->actions[i].programme =
			i > 0 && same_programme(&playbook->actions[i - 1], &playbook->actions[i]) ?
			playbook->actions[i - 1].programme : playbook->actions[i].id;
	qsort(playbook->actions, playbook->nactions, sizeof(Action), compare_precedence);
}

/*
 * Let go of what does not belong to the playbook's memory context.
 */
static void
release_playbook(void *arg)
{
	Playbook   *playbook = (Playbook *) arg;

	if (playbook->probe != NULL)
		SPI_freeplan(playbook->probe);
	playbook->probe = NULL;
	if (playbook->rulebook != NULL)
		rulebook_release(playbook->rulebook);
	playbook->rulebook = NULL;
}

/*
 * Find out who asks, and whether he may.  Errors: 42501 no SELECT privilege on
 * the state table.
 */
static void
check_reader(Playbook *playbook)
{
	Oid			states = state_table_of(playbook->model);

	if (!OidIsValid(states))
		return;
	if (pg_class_aclcheck(states, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(states));
	playbook->attachment = scorer_attachment(playbook->model);
	playbook->key_type = get_atttype(states, get_attnum(states, "lead_key"));
	if (playbook->attachment != NULL)
		playbook->row_security = row_security_applies(playbook->attachment);
}

/*
 * The playbook of the model that is a function's first argument, as the active
 * snapshot sees it: that of the row before, if the statement is still the same.
 */
static Playbook *
get_playbook(FunctionCallInfo fcinfo)
{
	Playbook   *playbook = (Playbook *) fcinfo->flinfo->fn_extra;
	text	   *model = PG_GETARG_TEXT_PP(0);
	Snapshot	snapshot = GetActiveSnapshot();
	MemoryContext caller;

	if (likely(playbook != NULL && playbook->model != NULL &&
			   is_same_statement(&playbook->statement, snapshot) &&
			   strlen(playbook->model) == VARSIZE_ANY_EXHDR(model) &&
			   memcmp(playbook->model, VARDATA_ANY(model), VARSIZE_ANY_EXHDR(model)) == 0))
		return playbook;

	if (playbook == NULL)
	{
		playbook = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Playbook));
		playbook->context = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt,
												  "leadscore playbook",
												  ALLOCSET_SMALL_SIZES);
		playbook->release.func = release_playbook;
		playbook->release.arg = playbook;
		MemoryContextRegisterResetCallback(fcinfo->flinfo->fn_mcxt, &playbook->release);
		fcinfo->flinfo->fn_extra = playbook;
	}
	release_playbook(playbook);
	MemoryContextReset(playbook->context);
	playbook->model = NULL;
	playbook->attachment = NULL;
	playbook->row_security = false;

	caller = MemoryContextSwitchTo(playbook->context);
	note_statement(&playbook->statement, snapshot);
	playbook->model = text_to_cstring(model);
	read_actions(playbook, snapshot);
	if (playbook->nactions > 0)
		check_reader(playbook);
	MemoryContextSwitchTo(caller);

	return playbook;
}


/* --------------------------------------------------------------------
 * Conditions
 * --------------------------------------------------------------------
 */

static char *
condition_name(const Playbook *playbook, const Action *action)
{
	return psprintf("condition of row %lld of the playbook of scoring model \"%s\"",
					(long long) action->id, playbook->model);
}

/*
 * Tell the session, once per row, that a condition is of no use.
 */
static void
warn_of_condition(const Playbook *playbook, const Action *action,
				  int sqlerrcode, const char *message)
{
	MemoryContext caller;
	ListCell   *lc;
	int64	   *id;

	foreach(lc, warned)
	{
		if (*(int64 *) lfirst(lc) == action->id)
			return;
	}
	caller = MemoryContextSwitchTo(CacheMemoryContext);
	id = palloc(sizeof(int64));
	*id = action->id;
	warned = lappend(warned, id);
	MemoryContextSwitchTo(caller);

	ereport(WARNING,
			(errcode(sqlerrcode),
			 errmsg("row %lld of the playbook of scoring model \"%s\" is passed over: %s",
					(long long) action->id, playbook->model, message),
			 errhint("Mend its condition in leadscore.playbook.")));
}

/* One condition while it is compiled. */
typedef struct Compilation
{
	Playbook   *playbook;
	ConditionScope *scope;
	Action	   *action;
	Condition	condition;
} Compilation;

static void
analyze_condition(Rulebook *rulebook, void *arg)
{
	Compilation *compilation = (Compilation *) arg;
	Action	   *action = compilation->action;

	if (action->search_path != NULL)
		condition_scope_path(compilation->scope, action->search_path);
	condition_analyze(compilation->scope, action->condition, BOOLOID,
					  condition_name(compilation->playbook, action),
					  &compilation->condition);
}

static void
plan_condition(Rulebook *rulebook, void *arg)
{
	Compilation *compilation = (Compilation *) arg;
	Action	   *action = compilation->action;
	MemoryContext caller = CurrentMemoryContext;

	condition_plan(compilation->scope, action->condition,
				   condition_name(compilation->playbook, action),
				   &compilation->condition);
	MemoryContextSwitchTo(compilation->playbook->context);
	action->runs_queries = compilation->condition.runs_queries;
	action->compiled = ExecInitExpr((Expr *) copyObject(compilation->condition.expr), NULL);
	MemoryContextSwitchTo(caller);
}

/*
 * Note why a condition cannot be used.
 */
static void
keep_failure(Playbook *playbook, Action *action, const RuleFailure *failure)
{
	action->compiled = NULL;
	action->failure = *failure;
	action->failure.message = MemoryContextStrdup(playbook->context, failure->message);
}

/*
 * Compile all conditions against the source, and get ready to read it.
 *
 * What they need of the rulebook is the row of the source as it was when that
 * was made, and a guard against their errors.
 */
static void
compile_conditions(Playbook *playbook, bool missing_ok)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext scratch;
	Rulebook   *rulebook;
	Relation	source;
	ConditionScope scope;
	Compilation compilation = {playbook, &scope};
	Bitmapset  *columns = NULL;
	AttrNumber	key_column = 0;
	StringInfoData list;
	int			column = -1;

	/* one that is used up was made for a source that has changed since */
	if (playbook->rulebook != NULL)
		rulebook_release(playbook->rulebook);
	playbook->query = NULL;
	playbook->rulebook = rulebook = rulebook_acquire(playbook->model,
													 GetActiveSnapshot(), missing_ok);
	if (rulebook == NULL)
		return;
	source = try_relation_open(rulebook->source, AccessShareLock);
	if (source == NULL)
		return;

	scratch = AllocSetContextCreate(caller, "leadscore playbook conditions",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(scratch);
	condition_scope_open(&scope, source, rulebook->time_zone);
	for (int i = 0; i < playbook->nactions; i++)
	{
		RuleFailure failure;

		compilation.action = &playbook->actions[i];
		compilation.action->compiled = NULL;
		if (compilation.action->condition == NULL)
			continue;
		/* only a function of somebody's can do what takes a subtransaction */
		if (run_guarded(rulebook, analyze_condition, &compilation, false, &failure) &&
			run_guarded(rulebook, plan_condition, &compilation,
						compilation.condition.calls_user_code, &failure))
			columns = bms_add_members(columns, compilation.condition.columns);
		else
		{
			keep_failure(playbook, compilation.action, &failure);
			condition_scope_recover(&scope);
		}
	}
	condition_scope_close(&scope);
	relation_close(source, AccessShareLock);

	MemoryContextSwitchTo(playbook->context);
	playbook->columns = palloc(sizeof(AttrNumber) * (bms_num_members(columns) + 1));
	playbook->ncolumns = 0;
	initStringInfo(&list);
	while ((column = bms_next_member(columns, column)) >= 0)
	{
		appendStringInfo(&list, "%ss.%s", playbook->ncolumns > 0 ? ", " : "",
						 quote_identifier(NameStr(TupleDescAttr(rulebook->tupdesc,
																column - 1)->attname)));
		playbook->columns[playbook->ncolumns++] = column;
	}
	for (int i = 0; i < rulebook->tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(rulebook->tupdesc, i);

		/* another type could bring operators along */
		if (!att->attisdropped && att->atttypid == playbook->key_type &&
			strcmp(NameStr(att->attname), playbook->attachment->key_column) == 0)
			key_column = i + 1;
	}
	if (key_column > 0)
		playbook->query = psprintf("SELECT %s FROM %s s WHERE s.%s OPERATOR(pg_catalog.=) $1 LIMIT 1",
								   list.data, qualified_relation_name(rulebook->source),
								   quote_identifier(playbook->attachment->key_column));
	playbook->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(rulebook->tupdesc),
											  &TTSOpsVirtual);
	memset(playbook->slot->tts_isnull, true, sizeof(bool) * rulebook->tupdesc->natts);
	ExecStoreVirtualTuple(playbook->slot);
	playbook->econtext = CreateStandaloneExprContext();
	playbook->econtext->ecxt_scantuple = playbook->slot;
	playbook->econtext->ecxt_param_exec_vals = playbook->clocks;
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);
}

/*
 * Take over the columns that the conditions read.
 */
static void
receive_lead(TupleTableSlot *row, void *arg)
{
	Lead	   *lead = (Lead *) arg;
	Playbook   *playbook = lead->playbook;
	MemoryContext caller = MemoryContextSwitchTo(lead->context);

	slot_getallattrs(row);
	lead->exists = true;
	for (int i = 0; i < playbook->ncolumns; i++)
	{
		int			to = playbook->columns[i] - 1;
		Form_pg_attribute att = TupleDescAttr(playbook->slot->tts_tupleDescriptor, to);

		/* altered while we were on the way to it */
		if (TupleDescAttr(row->tts_tupleDescriptor, i)->atttypid != att->atttypid)
			lead->exists = false;
		if (!lead->exists)
			break;
		playbook->slot->tts_isnull[to] = row->tts_isnull[i];
		if (!row->tts_isnull[i])
			playbook->slot->tts_values[to] =
				datumCopy(row->tts_values[i], att->attbyval, att->attlen);
	}
	MemoryContextSwitchTo(caller);
}

static void
read_lead(void *arg)
{
	Lead	   *lead = (Lead *) arg;
	Playbook   *playbook = lead->playbook;

	if (playbook->rulebook == NULL || !playbook->rulebook->valid)
		compile_conditions(playbook, lead->lenient);
	if (playbook->rulebook == NULL || playbook->query == NULL)
		return;
	/* no activity source can have made a plan of this name */
	relation_query(playbook->rulebook->source, psprintf("%s: playbook", playbook->model),
				   true, playbook->query, playbook->key_type, lead->key,
				   GetActiveSnapshot(), receive_lead, lead);
}

/* A condition that is asked of the lead in the slot. */
typedef struct Question
{
	Playbook   *playbook;
	Action	   *action;
	bool		holds;
} Question;

static void
ask_condition(Rulebook *rulebook, void *arg)
{
	Question   *question = (Question *) arg;
	PinnedSettings settings;
	bool		isnull;
	Datum		value;

	settings_pin(rulebook->time_zone, &settings);
	PG_TRY();
	{
		value = ExecEvalExpr(question->action->compiled, question->playbook->econtext,
							 &isnull);
		question->holds = !isnull && DatumGetBool(value);
	}
	PG_FINALLY();
	{
		settings_unpin(&settings);
	}
	PG_END_TRY();
}

static void
name_condition(void *arg)
{
	Question   *question = (Question *) arg;

	errcontext("%s", condition_name(question->playbook, question->action));
}

/*
 * May the reader see the lead?
 */
static bool
is_visible(Lead *lead)
{
	Playbook   *playbook = lead->playbook;

	if (!lead->is_known)
		lead->visible = !playbook->row_security ||
			probe_lead(playbook->attachment, &playbook->probe, playbook->key_type, lead->key);
	lead->is_known = true;
	return lead->visible;
}

/*
 * Does the condition of a row hold for a lead that may be seen?
 *
 * One lead that cannot be read, or one bad cast, is no error for the reader of
 * them all.
 */
static bool
condition_holds(Lead *lead, Action *action)
{
	Playbook   *playbook = lead->playbook;
	Question	question = {playbook, action, false};
	TimestampTz now = GetCurrentStatementStartTimestamp();
	RuleFailure failure;

	if (!lead->is_read)
	{
		ErrorData  *error = NULL;

		lead->is_read = true;
		lead->exists = false;
		/* no subtransactions in parallel mode */
		if (lead->lenient && !IsInParallelMode())
			error = catch_error(read_lead, lead);
		else
			read_lead(lead);
		if (error != NULL)
		{
			lead->exists = false;
			warn_of_condition(playbook, action, error->sqlerrcode, error->message);
		}
	}
	if (!lead->exists)
		return false;

	if (action->compiled == NULL)
	{
		if (!lead->lenient)
			ereport(ERROR,
					(errcode(action->failure.sqlerrcode),
					 errmsg("%s", action->failure.message),
					 errcontext("%s", condition_name(playbook, action))));
		warn_of_condition(playbook, action, action->failure.sqlerrcode,
						  action->failure.message);
		return false;
	}
	/* as the rest of what a view shows: as of the start of the statement */
	playbook->clocks[CLOCK_TRANSACTION].value = TimestampTzGetDatum(now);
	playbook->clocks[CLOCK_STATEMENT].value = TimestampTzGetDatum(now);
	if (!lead->lenient)
	{
		ErrorContextCallback callback;

		callback.callback = name_condition;
		callback.arg = &question;
		callback.previous = error_context_stack;
		error_context_stack = &callback;
		ask_condition(playbook->rulebook, &question);
		error_context_stack = callback.previous;
	}
	else if (!run_guarded(playbook->rulebook, ask_condition, &question,
						  action->runs_queries, &failure))
	{
		warn_of_condition(playbook, action, failure.sqlerrcode, failure.message);
		return false;
	}
	return question.holds;
}


/* --------------------------------------------------------------------
 * Choosing
 * --------------------------------------------------------------------
 */

/*
 * Read which rows of the playbook were acknowledged for a lead.
 */
static void
read_done(Lead *lead)
{
	Relation	rel = table_open(leadscore_relation("playbook_progress"), AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	int			max_done = 8;

	lead->has_done = true;
	lead->ndone = 0;
	lead->done = palloc(sizeof(int64) * max_done);
	ScanKeyInit(&keys[0], Anum_playbook_progress_model, BTEqualStrategyNumber,
				F_TEXTEQ, CStringGetTextDatum(lead->playbook->model));
	ScanKeyInit(&keys[1], Anum_playbook_progress_lead_key, BTEqualStrategyNumber,
				F_TEXTEQ, CStringGetTextDatum(key_text(lead->key, lead->playbook->key_type)));
	scan = systable_beginscan(rel, leadscore_relation("playbook_progress_pkey"), true,
							  GetActiveSnapshot(), 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;

		if (lead->ndone == max_done)
		{
			max_done *= 2;
			lead->done = repalloc(lead->done, sizeof(int64) * max_done);
		}
		lead->done[lead->ndone++] =
			DatumGetInt64(heap_getattr(tuple, Anum_playbook_progress_playbook,
									   RelationGetDescr(rel), &isnull));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static const Action *
find_action(const Playbook *playbook, int64 id)
{
	for (int i = 0; i < playbook->nactions; i++)
	{
		if (playbook->actions[i].id == id)
			return &playbook->actions[i];
	}
	return NULL;
}

/*
 * Is a step of a programme behind a lead?  So are those before one that was
 * done: who comes late to the programme is not sent back by a step put in.
 */
static bool
is_done(Lead *lead, const Action *action)
{
	if (!lead->has_done)
		read_done(lead);
	for (int i = 0; i < lead->ndone; i++)
	{
		const Action *done = find_action(lead->playbook, lead->done[i]);

		if (done != NULL && done->programme == action->programme &&
			done->has_step && done->step >= action->step)
			return true;
	}
	return false;
}

/*
 * Does a lead have what a row asks for?
 */
static inline bool
fits(const text *wanted, const text *word)
{
	return wanted == NULL || (word != NULL && compare_words(wanted, word) == 0);
}

/*
 * The row of the playbook that is meant for a lead, or NULL.
 */
static const Action *
choose_action(Lead *lead, const text *temperature, const text *grade,
			  const text *stage)
{
	Playbook   *playbook = lead->playbook;

	for (int i = 0; i < playbook->nactions; i++)
	{
		Action	   *action = &playbook->actions[i];

		if (!fits(action->stage, stage) || !fits(action->grade, grade) ||
			!fits(action->temperature, temperature))
			continue;
		if ((action->has_step || action->condition != NULL) && !is_visible(lead))
			return NULL;
		if (action->has_step && is_done(lead, action))
			continue;
		if (action->condition != NULL && !condition_holds(lead, action))
			continue;
		return action;
	}
	return NULL;
}

static text *
text_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : PG_GETARG_TEXT_PP(n);
}

/*
 * leadscore._next_action(model text, lead_key anyelement, temperature text,
 * grade text, stage text)
 *		What to do next with a lead of which that much is known; NULL if the
 *		playbook does not say.  Errors: 42501 no SELECT privilege on the state
 *		table, 42804 the key is of another type.
 */
PG_FUNCTION_INFO_V1(leadscore_next_action_of_row);
Datum
leadscore_next_action_of_row(PG_FUNCTION_ARGS)
{
	Playbook   *playbook;
	Lead		lead;
	const Action *action;
	Oid			key_type;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	playbook = get_playbook(fcinfo);
	if (likely(playbook->nactions == 0) || playbook->attachment == NULL)
		PG_RETURN_NULL();
	key_type = get_fn_expr_argtype(fcinfo->flinfo, 1);
	if (key_type != playbook->key_type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("key of a lead of scoring model \"%s\" has type %s, not %s",
						playbook->model, format_type_be(playbook->key_type),
						format_type_be(key_type))));

	memset(&lead, 0, sizeof(lead));
	lead.playbook = playbook;
	lead.key = PG_GETARG_DATUM(1);
	lead.lenient = true;
	lead.context = CurrentMemoryContext;
	action = choose_action(&lead, text_arg(fcinfo, 2), text_arg(fcinfo, 3), text_arg(fcinfo, 4));
	if (action == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(datumCopy(PointerGetDatum(action->action), false, -1));
}


/* --------------------------------------------------------------------
 * By key
 * --------------------------------------------------------------------
 */

static bool
model_exists(const char *model, Snapshot snapshot)
{
	Relation	rel = table_open(leadscore_relation("model"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	ScanKeyInit(&key, Anum_model_name, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(model));
	scan = systable_beginscan(rel, leadscore_relation("model_pkey"), true,
							  snapshot, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	return found;
}

static bool
is_integer_type(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID || type == NUMERICOID;
}

/*
 * A key as the states have it, from one of another type that means the same.
 */
static Datum
key_of_states(const Playbook *playbook, Oid type, Datum key)
{
	Oid			input;
	Oid			param;
	Oid			output;
	bool		is_varlena;
	char	   *text_key;

	if (type == playbook->key_type)
		return key;
	if (IsBinaryCoercible(type, TEXTOID))
		text_key = TextDatumGetCString(key);
	else if (is_integer_type(type) && is_integer_type(playbook->key_type))
	{
		getTypeOutputInfo(type, &output, &is_varlena);
		text_key = OidOutputFunctionCall(output, key);
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("key of a lead of scoring model \"%s\" has type %s, not %s",
						playbook->model, format_type_be(playbook->key_type),
						format_type_be(type)),
				 errhint("Cast the key to that type, or to text.")));
	getTypeInputInfo(playbook->key_type, &input, &param);
	return OidInputFunctionCall(input, text_key, param, -1);
}

/*
 * Read temperature, grade and stage of a lead from the scored view, as the
 * caller; false if that does not show it.
 */
static bool
read_scored(Lead *lead, text **words)
{
	MemoryContext caller = CurrentMemoryContext;
	Playbook   *playbook = lead->playbook;
	char	   *view = psprintf("%s_scored", playbook->model);
	bool		found;

	SPI_connect();
	if (SPI_execute_with_args(psprintf("SELECT s.temperature, s.grade, s.stage FROM %s s "
									   "WHERE s.lead_key OPERATOR(pg_catalog.=) $1",
									   quote_qualified_identifier(LEADSCORE_SCHEMA, view)),
							  1, &playbook->key_type, &lead->key, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read %s", view);
	found = SPI_processed > 0;
	for (int i = 0; found && i < 3; i++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
										  i + 1, &isnull);
		MemoryContext spi = MemoryContextSwitchTo(caller);

		words[i] = isnull ? NULL : DatumGetTextPCopy(value);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();

	return found;
}

/*
 * Look for the action for the lead that a function's second argument is the
 * key of.  False if there is no such lead; 'action' is NULL if there is none
 * for it.
 */
static bool
next_action_by_key(FunctionCallInfo fcinfo, Lead *lead, const Action **action)
{
	Playbook   *playbook = get_playbook(fcinfo);
	text	   *words[3];

	*action = NULL;
	if (playbook->nactions == 0)
	{
		MemoryContext caller = MemoryContextSwitchTo(playbook->context);

		check_reader(playbook);
		MemoryContextSwitchTo(caller);
	}
	if (playbook->attachment == NULL && !model_exists(playbook->model, GetActiveSnapshot()))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("scoring model \"%s\" does not exist", playbook->model),
				 errhint("The table leadscore.model lists the models.")));
	if (playbook->attachment == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("scoring model \"%s\" is not attached", playbook->model),
				 errhint("Call leadscore.attach(%s) first.",
						 quote_literal_cstr(playbook->model))));

	memset(lead, 0, sizeof(Lead));
	lead->playbook = playbook;
	lead->context = CurrentMemoryContext;
	lead->key = key_of_states(playbook, get_fn_expr_argtype(fcinfo->flinfo, 1),
							  PG_GETARG_DATUM(1));
	if (!read_scored(lead, words))
		return false;
	/* who sees it in the view may see it */
	lead->is_known = lead->visible = true;
	*action = choose_action(lead, words[0], words[1], words[2]);
	return true;
}

/*
 * The result of next_action(), in the current memory context.
 */
static Datum
action_record(FunctionCallInfo fcinfo, const Action *action)
{
	TupleDesc	desc;
	Datum		values[4] = {0};
	bool		nulls[4] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = PointerGetDatum(action->action);
	nulls[1] = action->content == NULL;
	values[1] = PointerGetDatum(action->content);
	nulls[2] = !action->has_step;
	values[2] = Int32GetDatum(action->step);
	values[3] = Int64GetDatum(action->id);

	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * leadscore.next_action(model text, lead_key)
 *		What to do next with the lead that has a key, by the scored view as the
 *		caller sees it; NULL if there is no such lead, or the playbook does not
 *		say.  Errors: 42704 unknown model, 55000 not attached, 42804 or 22P02
 *		not a key, 42501 no privilege, and what a condition raises.
 */
PG_FUNCTION_INFO_V1(leadscore_next_action);
Datum
leadscore_next_action(PG_FUNCTION_ARGS)
{
	Lead		lead;
	const Action *action;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	if (!next_action_by_key(fcinfo, &lead, &action) || action == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(action_record(fcinfo, action));
}

/*
 * Note that a row of the playbook was done, as the owner of our tables.
 */
static void
note_done(const Lead *lead, int64 id)
{
	static Oid	types[] = {TEXTOID, TEXTOID, INT8OID};
	Datum		values[3];
	Impersonation impersonation;

	values[0] = CStringGetTextDatum(lead->playbook->model);
	values[1] = CStringGetTextDatum(key_text(lead->key, lead->playbook->key_type));
	values[2] = Int64GetDatum(id);
	impersonate(&impersonation, relation_owner(leadscore_relation("playbook_progress")),
				"pg_catalog, pg_temp");
	SPI_connect();
	/* no foreign code with the owner's rights */
	if (SPI_execute("SELECT leadscore._require_own_triggers()", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look at the triggers of leadscore's tables");
	if (SPI_execute_with_args("INSERT INTO leadscore.playbook_progress AS p (model, lead_key, playbook) "
							  "VALUES ($1, $2, $3) ON CONFLICT (model, lead_key, playbook) DO UPDATE "
							  "SET acknowledged_at = excluded.acknowledged_at, "
							  "acknowledged_by = excluded.acknowledged_by, times = p.times + 1",
							  3, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not acknowledge an action of scoring model \"%s\"",
			 lead->playbook->model);
	SPI_finish();
	impersonate_end(&impersonation);
}

/*
 * leadscore.acknowledge_action(model text, lead_key, done bigint)
 *		Notes that the next action for a lead, or the row of the playbook that
 *		is given, was done, and returns what is next then.
 *
 * What was done is looked up before the lead is locked: of two who acknowledge
 * the same step at once neither goes on beyond the next.  Errors: 22004 no
 * model or key, P0002 no such lead, 42501 the caller may not change it, 42704
 * the playbook has no row 'done', and as of next_action().
 */
PG_FUNCTION_INFO_V1(leadscore_acknowledge_action);
Datum
leadscore_acknowledge_action(PG_FUNCTION_ARGS)
{
	Lead		lead;
	const Action *action;
	Datum		result = (Datum) 0;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("acknowledge_action() needs a model and the key of a lead")));

	PushActiveSnapshot(GetTransactionSnapshot());
	if (!next_action_by_key(fcinfo, &lead, &action))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("lead %s of scoring model \"%s\" does not exist",
						key_text(lead.key, lead.playbook->key_type), lead.playbook->model),
				 errdetail("The scored view shows you no such lead.")));
	if (!PG_ARGISNULL(2))
	{
		action = find_action(lead.playbook, PG_GETARG_INT64(2));
		if (action == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("playbook of scoring model \"%s\" has no row %lld",
							lead.playbook->model, (long long) PG_GETARG_INT64(2)),
					 errhint("Pass the column playbook of what leadscore.next_action() returned.")));
	}
	lock_lead(lead.playbook->attachment, lead.playbook->key_type, lead.key);
	if (action != NULL)
		note_done(&lead, action->id);
	PopActiveSnapshot();
	if (action == NULL)
		PG_RETURN_NULL();

	/* what was just written, and by those who were waited for */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (next_action_by_key(fcinfo, &lead, &action) && action != NULL)
		result = action_record(fcinfo, action);
	PopActiveSnapshot();
	if (action == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}
