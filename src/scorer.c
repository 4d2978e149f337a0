/*-------------------------------------------------------------------------
 *
 * scorer.c
 *	  One lead: read, evaluated, stored.
 *
 * What triggers, batches and repairs do with a lead is the same: get its row
 * of the source into the rulebook's slot, evaluate it, and bring its row of
 * the state table up to date.
 *
 * Promise: nothing in here costs the application its write.  A rule that
 * fails counts as no match, a source that cannot be read leaves the state as
 * it is; either is noted in leadscore.problem, with a WARNING once per rule
 * and session.  Only what would stop any statement (a cancel request, a full
 * disk) is passed on.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "announce.h"
#include "collect.h"
#include "crossing.h"
#include "lead_stage.h"
#include "pending.h"
#include "problem.h"
#include "recall.h"
#include "scorer.h"
#include "settle.h"
#include "source.h"

/*
 * The transaction that deleted a row of a state table last.  An insertion in
 * the same transaction may have to revive what it deleted.
 */
static TransactionId deleting_xact = InvalidTransactionId;


/* --------------------------------------------------------------------
 * Keys
 * --------------------------------------------------------------------
 */

/*
 * key_to_text
 *		A lead's key for people to read.
 */
char *
key_to_text(const Scorer *scorer, Datum key)
{
	return key_text(key, scorer->key_type);
}

/*
 * key_from_text
 *		The reverse.
 */
Datum
key_from_text(const Scorer *scorer, const char *text_key)
{
	Oid			input;
	Oid			param;

	getTypeInputInfo(scorer->key_type, &input, &param);
	return OidInputFunctionCall(input, unconstify(char *, text_key), param, -1);
}


/* --------------------------------------------------------------------
 * Setting up
 * --------------------------------------------------------------------
 */

/*
 * temperature_label
 *		The word for a temperature.
 */
const char *
temperature_label(Temperature temperature)
{
	static const char *const labels[] = {"cold", "warm", "hot"};

	return labels[temperature];
}

/*
 * same_key_type
 *		Can the values of a key be taken for those of another type?
 */
bool
same_key_type(Oid column, Oid key)
{
	return column == key ||
		(column == VARCHAROID && key == TEXTOID) ||
		(column == TEXTOID && key == VARCHAROID);
}

static void
release_scorer(void *arg)
{
	Scorer	   *scorer = (Scorer *) arg;

	if (scorer->rulebook != NULL)
		rulebook_release(scorer->rulebook);
	scorer->rulebook = NULL;
}

/*
 * Read the model's row of leadscore.attachment; false if it is not attached.
 */
static bool
load_attachment(Scorer *scorer, Snapshot snapshot)
{
	Relation	rel = table_open(leadscore_relation("attachment"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key, Anum_attachment_model, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(scorer->model));
	scan = systable_beginscan(rel, leadscore_relation("attachment_pkey"), true,
							  snapshot, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		Datum		values[Natts_attachment];
		bool		nulls[Natts_attachment];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		scorer->target = DatumGetObjectId(values[Anum_attachment_target - 1]);
		scorer->through_source = !nulls[Anum_attachment_source - 1] &&
			DatumGetObjectId(values[Anum_attachment_source - 1]) != scorer->target;
		scorer->key_column =
			pstrdup(NameStr(*DatumGetName(values[Anum_attachment_key_column - 1])));
		for (int i = 0; i < NUM_WRITE_BACKS; i++)
		{
			int			column = Anum_attachment_score_column - 1 + i;

			if (!nulls[column])
				scorer->write_back[i] = pstrdup(NameStr(*DatumGetName(values[column])));
		}
		if (!nulls[Anum_attachment_rescored_version - 1])
			scorer->rescored_version =
				DatumGetInt64(values[Anum_attachment_rescored_version - 1]);
		if (!nulls[Anum_attachment_activity_rules - 1])
			scorer->complete_for =
				DatumGetInt64(values[Anum_attachment_activity_rules - 1]);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	return found;
}

/*
 * scorer_attachment
 *		What leadscore.attachment says of a model, in the current memory
 *		context, as the active snapshot sees it; without rules and states.  NULL
 *		if it is not attached.
 */
Scorer *
scorer_attachment(const char *model)
{
	Scorer	   *scorer = palloc0(sizeof(Scorer));

	scorer->model = pstrdup(model);
	return load_attachment(scorer, GetActiveSnapshot()) ? scorer : NULL;
}

/*
 * Give a scorer the rules that a snapshot sees, to be released with the
 * current memory context; false if there are none.
 */
static bool
load_rules(Scorer *scorer, Snapshot snapshot)
{
	scorer->release.func = release_scorer;
	scorer->release.arg = scorer;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &scorer->release);
	scorer->rulebook = rulebook_acquire(scorer->model, snapshot, true);

	return scorer->rulebook != NULL;
}

/*
 * Columns that are computed when they are read are not in the row that a
 * trigger sees.
 */
static bool
reads_virtual_columns(const Rulebook *rulebook)
{
	for (int i = 0; i < rulebook->ncapture_columns; i++)
	{
		if (TupleDescAttr(rulebook->tupdesc,
						  rulebook->capture_columns[i] - 1)->attgenerated == 'v')
			return true;
	}
	return false;
}

/*
 * Has the source a key of the type that the states have?
 */
static bool
source_key_fits(const Scorer *scorer)
{
	TupleDesc	desc = scorer->rulebook->tupdesc;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped &&
			strcmp(NameStr(att->attname), scorer->key_column) == 0)
			return same_key_type(att->atttypid, scorer->key_type);
	}
	return false;
}

/*
 * Something is missing: tell the session, and do without rules.
 */
static void
give_up(Scorer *scorer, const char *missing)
{
	if (missing == NULL)
		return;
	release_scorer(scorer);
	warn_of_problem(scorer->model, NO_RULE,
					ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, missing);
}

/*
 * Can there never be two leads with one key, not even for a moment?
 *
 * Not where the index is checked late, nor where a table has parts.
 */
static bool
keeps_key_unique(const Scorer *scorer)
{
	Relation	rel;
	List	   *indexes;
	ListCell   *lc;
	bool		unique = false;

	if (get_rel_relkind(scorer->target) != RELKIND_RELATION ||
		has_subclass(scorer->target))
		return false;
	rel = table_open(scorer->target, AccessShareLock);
	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		AttrNumber	column = form->indkey.values[0];

		unique |= form->indisunique && form->indimmediate && form->indisvalid &&
			form->indnkeyatts == 1 && column > 0 &&
			RelationGetIndexPredicate(index) == NIL &&
			strcmp(NameStr(TupleDescAttr(RelationGetDescr(rel), column - 1)->attname),
				   scorer->key_column) == 0;
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	table_close(rel, AccessShareLock);

	return unique;
}

/*
 * scorer_prepare
 *		Get to know an attached model and its newest rules, in the current
 *		memory context, which also holds the rulebook.
 *
 * If the model cannot score, for whatever reason, the rulebook is NULL; the
 * session has been told.
 */
Scorer *
scorer_prepare(const char *model)
{
	Scorer	   *scorer = palloc0(sizeof(Scorer));
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	const char *missing = NULL;

	scorer->model = pstrdup(model);
	scorer->context = CurrentMemoryContext;
	if (!load_attachment(scorer, snapshot))
		missing = "the model is not attached";
	else if (!load_rules(scorer, snapshot))
		missing = "the model or its source is gone";
	else if (!ConditionalLockRelationOid(scorer->rulebook->source, AccessShareLock))
	{
		/* wait for it, and see what has become of it */
		LockRelationOid(scorer->rulebook->source, AccessShareLock);
		if (!OidIsValid(relation_owner(scorer->rulebook->source)))
			missing = "its source is gone";
	}
	if (missing == NULL)
	{
		scorer->through_source |= reads_virtual_columns(scorer->rulebook);
		scorer->is_watching = scorer->through_source && has_row_for_model("watched", model);
	}
	UnregisterSnapshot(snapshot);
	give_up(scorer, missing);

	return scorer;
}

static void
set_temperatures(Scorer *scorer)
{
	for (int i = 0; i < NUM_TEMPERATURES; i++)
		scorer->temperatures[i] = CStringGetTextDatum(temperature_label((Temperature) i));
}

/*
 * scorer_complete
 *		Get ready to read and write states as well; false if the model cannot
 *		score.
 */
bool
scorer_complete(Scorer *scorer)
{
	MemoryContext caller;
	const char *missing = NULL;
	Oid			states;

	if (scorer->rulebook == NULL || scorer->states != NULL)
		return scorer->rulebook != NULL;

	caller = MemoryContextSwitchTo(scorer->context);
	states = state_table_of(scorer->model);
	if (!OidIsValid(states) ||
		(scorer->states = state_table_create(states)) == NULL)
		missing = "its state table is not there, or not as attach() made it";
	else
	{
		scorer->key_type = TupleDescAttr(scorer->states->desc,
										 scorer->states->columns[STATE_LEAD_KEY] - 1)->atttypid;
		set_temperatures(scorer);
		scorer->unique_key = keeps_key_unique(scorer);
		if (!source_key_fits(scorer))
			missing = "the key of its leads is gone or of another type";
	}
	give_up(scorer, missing);
	MemoryContextSwitchTo(caller);

	return missing == NULL;
}

/*
 * scorer_unattached
 *		For a model that is not attached: nothing is stored by it, but leads can
 *		be evaluated.  Errors: 42704 unknown model.
 */
Scorer *
scorer_unattached(const char *model)
{
	Scorer	   *scorer = palloc0(sizeof(Scorer));
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());

	scorer->model = pstrdup(model);
	scorer->context = CurrentMemoryContext;
	scorer->release.func = release_scorer;
	scorer->release.arg = scorer;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &scorer->release);
	scorer->rulebook = rulebook_acquire(model, snapshot, false);
	UnregisterSnapshot(snapshot);
	set_temperatures(scorer);
	return scorer;
}

/*
 * scorer_create
 *		Both.
 */
Scorer *
scorer_create(const char *model)
{
	Scorer	   *scorer = scorer_prepare(model);

	(void) scorer_complete(scorer);
	return scorer;
}


/* --------------------------------------------------------------------
 * Reading and evaluating
 * --------------------------------------------------------------------
 */

/* What scorer_read() does where errors are caught. */
typedef struct SourceRead
{
	Scorer	   *scorer;
	Datum		key;
	int			nrows;
} SourceRead;

static void
read_source(void *arg)
{
	SourceRead *read = (SourceRead *) arg;
	Scorer	   *scorer = read->scorer;

	read->nrows = source_read(scorer->rulebook, scorer->key_column,
							  scorer->key_type, read->key, InvalidSnapshot);
}

/*
 * scorer_read
 *		Get a lead's row of the source into the rulebook's slot.
 */
ReadResult
scorer_read(Scorer *scorer, Datum key)
{
	SourceRead	read = {scorer, key, 0};
	ErrorData  *error;

	if (scorer->is_watching)
		settle_lead(scorer->model, scorer->key_type, key, scorer_settle);

	/* a view can do anything, so that nothing less would do */
	error = catch_error(read_source, &read);
	if (error != NULL)
	{
		note_problem(scorer->model, NO_RULE, key_to_text(scorer, key),
					 error->sqlerrcode, error->message);
		return READ_FAILED;
	}
	scorer->several_rows = read.nrows > 1;
	return read.nrows > 0 ? READ_FOUND : READ_NONE;
}

/*
 * scorer_note_failures
 *		Note what failed in the last evaluation; what failed for the lead before
 *		and does not any more is forgotten.
 */
void
scorer_note_failures(Scorer *scorer, Datum key)
{
	char	   *lead_key;
	int64	   *rules;

	if (scorer->nfailures == 0)
		return;
	lead_key = key_to_text(scorer, key);
	rules = palloc(sizeof(int64) * scorer->nfailures);
	for (int i = 0; i < scorer->nfailures; i++)
	{
		const RuleFailure *failure = &scorer->failures[i];

		rules[i] = failure->rule < 0 ? NO_RULE :
			scorer->rulebook->rules[failure->rule].id;
		note_problem(scorer->model, rules[i], lead_key,
					 failure->sqlerrcode, failure->message);
	}
	clear_problems(scorer->model, lead_key, scorer->nfailures, rules);
	scorer->nfailures = 0;
}

/*
 * A lead of the hot list is ranked by the most that its score can still be; one
 * that is never on it has no rank.
 */
static void
set_score_bound(Scorer *scorer, StateRow *row, double bound)
{
	LeadStage	stage = DatumGetLeadStage(row->values[STATE_STAGE]);

	row->isnull[STATE_SCORE_BOUND] = true;
	if (DatumGetBool(row->values[STATE_LEAD_EXISTS]) &&
		DatumGetBool(row->values[STATE_CONSENT]) &&
		!LeadStageIsExit(stage) && !LeadStageIsCustomer(stage) &&
		(!DatumGetBool(row->values[STATE_DISQUALIFIED]) ||
		 !row->isnull[STATE_ROW_CHANGES_AT] || DatumGetBool(row->values[STATE_FADING])))
		set_value(row, STATE_SCORE_BOUND, Float8GetDatum(bound));
}

/*
 * scorer_nothing_done
 *		The summary of a lead that has done nothing.
 */
const Engagement *
scorer_nothing_done(Scorer *scorer)
{
	if (scorer->nothing_done == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(scorer->context);

		scorer->nothing_done = engagement_create(scorer->rulebook->activity_rules);
		MemoryContextSwitchTo(caller);
	}
	return scorer->nothing_done;
}

/*
 * scorer_apply
 *		Work out the score of a lead from what its row of the state table
 *		remembers of the lead's own row, and a summary of what it did, as of
 *		'at', or of the last event if that is later.
 *
 * 'next_due' is when an event that is put off counts first; DT_NOEND: none is.
 */
void
scorer_apply(Scorer *scorer, StateRow *row, const Engagement *summary,
			 TimestampTz at, TimestampTz next_due)
{
	Rulebook   *rulebook = scorer->rulebook;
	TimestampTz limit = next_due;
	TimestampTz next;
	Activities	did;
	RowPart		part;
	Evaluation	result;

	did.summary = summary;
	did.at = Max(at, engagement_last(summary));
	did.created_at = row->isnull[STATE_CREATED_AT] ? DT_NOEND :
		DatumGetTimestampTz(row->values[STATE_CREATED_AT]);
	state_row_part(row, &part);
	evaluate_stored(rulebook, &part, &did, &result);

	set_value(row, STATE_ENGAGEMENT, engagement_pack(summary));
	set_value(row, STATE_ENGAGEMENT_POINTS, Float8GetDatum(result.axis[AXIS_ENGAGEMENT]));
	set_value(row, STATE_SCORED_AT, TimestampTzGetDatum(did.at));
	set_value(row, STATE_SCORE,
			  Int32GetDatum(evaluation_score_clamped(rulebook, &result)));
	set_value(row, STATE_DISQUALIFIED, BoolGetDatum(result.disqualified));
	set_value(row, STATE_TEMPERATURE,
			  scorer->temperatures[evaluation_temperature(rulebook, &result)]);
	set_value(row, STATE_GRADE,
			  PointerGetDatum(evaluation_grade(rulebook, &result)));
	set_value(row, STATE_FADING,
			  BoolGetDatum(summary->nentries > 0 || rulebook->needs_created_at ||
						   next_due != DT_NOEND));

	row->isnull[STATE_NEXT_CHANGE_AT] = true;
	if (!DatumGetBool(row->values[STATE_LEAD_EXISTS]))
	{
		row->isnull[STATE_SCORE_BOUND] = true;
		return;
	}
	if (!row->isnull[STATE_ROW_CHANGES_AT])
		limit = Min(limit, DatumGetTimestampTz(row->values[STATE_ROW_CHANGES_AT]));
	next = next_crossing(rulebook, &part, &did, limit);
	/* a jump may lie behind the last moment that there is */
	if (IS_VALID_TIMESTAMP(next))
		set_value(row, STATE_NEXT_CHANGE_AT, TimestampTzGetDatum(next));
	/* who asks looks at what changes otherwise by himself: see hot_list() */
	set_score_bound(scorer, row, summary->nentries == 0 && !rulebook->needs_created_at ?
					result.raw : highest_raw(rulebook, &part, &did));
}

/*
 * scorer_unknown_lead
 *		A new row of the state table for a lead of which nothing but activities
 *		is known, which have yet to be applied.
 */
void
scorer_unknown_lead(Scorer *scorer, Datum key, TimestampTz at, StateRow *row)
{
	Rulebook   *rulebook = scorer->rulebook;

	memset(row, 0, sizeof(StateRow));
	memset(row->isnull, true, sizeof(row->isnull));
	set_value(row, STATE_LEAD_KEY, key);
	set_value(row, STATE_FIT, Float8GetDatum(0));
	set_value(row, STATE_ENGAGEMENT_BASE, Float8GetDatum(0));
	set_value(row, STATE_RULES_VERSION, Int64GetDatum(rulebook->version.number));
	set_value(row, STATE_STAGE, LeadStageGetDatum(rulebook->initial_stage));
	set_value(row, STATE_STAGE_SINCE, TimestampTzGetDatum(at));
	set_value(row, STATE_HAS_PROBLEM, BoolGetDatum(false));
	set_value(row, STATE_LEAD_EXISTS, BoolGetDatum(false));
	set_value(row, STATE_CONSENT, BoolGetDatum(false));
	set_value(row, STATE_REARMED, Int32GetDatum(0));
	set_value(row, STATE_STAGE_SETTLED, BoolGetDatum(false));
	set_value(row, STATE_ANNOUNCED, scorer->temperatures[TEMPERATURE_COLD]);
}

/*
 * Keep what went wrong in an evaluation, to be noted later.
 */
static void
keep_failure(Scorer *scorer, const RuleFailure *failure)
{
	if (scorer->failures == NULL || scorer->nfailures == 0)
		scorer->failures = palloc(sizeof(RuleFailure));
	else
		scorer->failures = repalloc(scorer->failures,
									sizeof(RuleFailure) * (scorer->nfailures + 1));
	scorer->failures[scorer->nfailures++] = *failure;
}

/*
 * The values by which events may go for the lead in the rulebook's slot, each
 * with the name of its column before it.
 */
static void
set_match_values(Scorer *scorer, StateRow *row)
{
	Rulebook   *rulebook = scorer->rulebook;
	Datum	   *values = palloc(sizeof(Datum) * rulebook->nmatches);
	int			n = 0;

	for (int i = 0; i < rulebook->nmatches; i++)
	{
		char	   *value = slot_match_value(rulebook, i);

		if (value != NULL)
			values[n++] = CStringGetTextDatum(tagged_match_value(rulebook, i, value));
	}
	if (n > 0)
		set_value(row, STATE_MATCH_VALUES,
				  PointerGetDatum(construct_array(values, n, TEXTOID, -1, false,
												  TYPALIGN_INT)));
}

static void scorer_evaluate_as_of(Scorer *scorer, Datum key, bool quietly,
								  TimestampTz at, StateRow *row);

/*
 * scorer_evaluate
 *		Evaluate the row in the rulebook's slot into a new row of the state
 *		table, as of the start of the statement.
 *
 * The stage is that of a new lead, which has done nothing yet.  What failed is
 * kept for scorer_note_failures(), but not with 'quietly': then there will be
 * another evaluation.
 */
void
scorer_evaluate(Scorer *scorer, Datum key, bool quietly, StateRow *row)
{
	scorer_evaluate_as_of(scorer, key, quietly, GetCurrentStatementStartTimestamp(), row);
}

/*
 * scorer_evaluate_as_of
 *		The same as of another time.
 */
static void
scorer_evaluate_as_of(Scorer *scorer, Datum key, bool quietly, TimestampTz at,
					  StateRow *row)
{
	Rulebook   *rulebook = scorer->rulebook;
	TimestampTz next = DT_NOEND;
	TimestampTz created_at;
	Evaluation	result;
	RuleFailure *failures;
	RuleFailure failure = {-1, 0, NULL};
	int			nfailures;
	char	   *channel;
	bool		consent;
	bool		status_failed;

	scorer->nfailures = 0;
	rulebook->did = NULL;
	nfailures = evaluate_leniently(rulebook, &at, &result, NULL, &failures);
	for (int i = 0; i < nfailures; i++)
		keep_failure(scorer, &failures[i]);
	memset(row->isnull, true, sizeof(row->isnull));
	set_value(row, STATE_LEAD_KEY, key);
	set_value(row, STATE_FIT, Float8GetDatum(result.axis[AXIS_FIT]));
	set_value(row, STATE_ENGAGEMENT_POINTS, Float8GetDatum(result.axis[AXIS_ENGAGEMENT]));
	set_value(row, STATE_SCORED_AT, TimestampTzGetDatum(at));
	set_value(row, STATE_RULES_VERSION, Int64GetDatum(rulebook->version.number));
	set_value(row, STATE_STAGE_SINCE, TimestampTzGetDatum(at));
	set_value(row, STATE_SCORE,
			  Int32GetDatum(evaluation_score_clamped(rulebook, &result)));
	set_value(row, STATE_STAGE, LeadStageGetDatum(rulebook->initial_stage));
	set_value(row, STATE_DISQUALIFIED, BoolGetDatum(result.disqualified));
	set_value(row, STATE_LEAD_EXISTS, BoolGetDatum(true));
	set_value(row, STATE_FADING, BoolGetDatum(false));
	set_value(row, STATE_TEMPERATURE,
			  scorer->temperatures[evaluation_temperature(rulebook, &result)]);
	set_value(row, STATE_GRADE,
			  PointerGetDatum(evaluation_grade(rulebook, &result)));
	if (rulebook->uses_clock)
		next = rulebook_next_change(rulebook, at);
	if (!TIMESTAMP_NOT_FINITE(next))
	{
		set_value(row, STATE_NEXT_CHANGE_AT, TimestampTzGetDatum(next));
		set_value(row, STATE_ROW_CHANGES_AT, TimestampTzGetDatum(next));
	}

	if (!rulebook_channel(rulebook, &at, &channel, &failure))
		keep_failure(scorer, &failure);
	else if (channel != NULL)
		set_value(row, STATE_CHANNEL, CStringGetTextDatum(channel));
	if (!rulebook_consent(rulebook, &at, &consent, &failure))
		keep_failure(scorer, &failure);
	set_value(row, STATE_CONSENT, BoolGetDatum(consent));
	if (!rulebook_created_at(rulebook, &created_at, &failure))
		keep_failure(scorer, &failure);
	if (created_at != DT_NOEND)
		set_value(row, STATE_CREATED_AT, TimestampTzGetDatum(created_at));
	if (scorer->several_rows)
	{
		failure.rule = -1;
		failure.sqlerrcode = ERRCODE_CARDINALITY_VIOLATION;
		failure.message = "the source has several rows for this lead; one of them was taken";
		keep_failure(scorer, &failure);
	}
	stage_evaluate_status(rulebook, row, &failure, &status_failed);
	if (status_failed)
		keep_failure(scorer, &failure);
	set_value(row, STATE_HISTORY_AT, TimestampTzGetDatum(at));
	set_value(row, STATE_REARMED, Int32GetDatum(0));
	set_value(row, STATE_STAGE_SETTLED, BoolGetDatum(false));
	set_value(row, STATE_HAS_PROBLEM, BoolGetDatum(scorer->nfailures > 0));
	if (quietly)
		scorer->nfailures = 0;
	scorer->several_rows = false;

	set_value(row, STATE_ANNOUNCED, row->values[STATE_TEMPERATURE]);
	set_value(row, STATE_SCORE_BOUND, Float8GetDatum(result.raw));
	if (rulebook->nterms > 0)
	{
		Datum	   *kept = palloc(sizeof(Datum) * (rulebook->nkept + 1));

		set_value(row, STATE_ENGAGEMENT_BASE, Float8GetDatum(result.base));
		for (int i = 0; i < rulebook->nkept; i++)
			kept[i] = Int64GetDatum(rulebook->kept[i]);
		if (rulebook->nkept > 0)
			set_value(row, STATE_KEPT_RULES,
					  PointerGetDatum(construct_array(kept, rulebook->nkept, INT8OID, 8,
													  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)));
		set_match_values(scorer, row);
		scorer_apply(scorer, row, scorer_nothing_done(scorer), at, DT_NOEND);
	}
	else
		set_score_bound(scorer, row, result.raw);
}

/* What scorer_convert() does where errors are caught. */
typedef struct Conversion
{
	StateColumn column;
	Form_pg_attribute att;
	FmgrInfo   *input;
	Oid			param;
	Datum		value;
	const char *status;			/* the CRM's, of a stage */
} Conversion;

static void
convert_value(void *arg)
{
	Conversion *conversion = (Conversion *) arg;
	char	   *label;

	if (conversion->column == STATE_SCORE)
		label = psprintf("%d", DatumGetInt32(conversion->value));
	else if (conversion->column == STATE_STAGE)
		label = pstrdup(conversion->status);
	else
		label = TextDatumGetCString(conversion->value);
	conversion->value = InputFunctionCall(conversion->input, label,
										  conversion->param,
										  conversion->att->atttypmod);
}

/*
 * takes_any_value
 *		Can every value of a state's column be written to one of this type?
 */
bool
takes_any_value(StateColumn column, Oid type)
{
	return type == TEXTOID ||
		(column == STATE_SCORE && (type == INT4OID || type == INT8OID));
}

/*
 * scorer_convert
 *		Make a value of a state row one for a column of the lead's own row.
 *
 * False if the column does not take it, which is a problem of the lead.
 */
bool
scorer_convert(Scorer *scorer, const Datum *key, StateColumn column,
			   Form_pg_attribute att, FmgrInfo *input, Oid param, Datum *value)
{
	Conversion	conversion = {column, att, input, param, *value, NULL};
	ErrorData  *error = NULL;

	if (column == STATE_STAGE)
	{
		conversion.status = funnel_status_of(&scorer->rulebook->funnel, DatumGetLeadStage(*value));
		/* the CRM has no status for it: it keeps what it has */
		if (conversion.status == NULL)
			return false;
	}

	if (takes_any_value(column, att->atttypid))
	{
		/* as it is, but for those that are to become text or bigint */
		if ((column == STATE_SCORE && att->atttypid != INT4OID) || column == STATE_STAGE)
			convert_value(&conversion);
	}
	else
		error = catch_error(convert_value, &conversion);
	*value = conversion.value;
	if (error == NULL)
		return true;
	note_problem(scorer->model, NO_RULE,
				 key != NULL ? key_to_text(scorer, *key) : NULL,
				 error->sqlerrcode,
				 psprintf("column \"%s\" cannot be written back: %s",
						  NameStr(att->attname), error->message));
	return false;
}


/* --------------------------------------------------------------------
 * Storing
 * --------------------------------------------------------------------
 */

/*
 * Give a newly evaluated row what stays with a lead: its stage and what goes
 * with that, and the first channel that was known of it.
 */
static void
carry_over(const StateRow *old, StateRow *row)
{
	static const StateColumn carried[] = {
		STATE_STAGE, STATE_STAGE_SINCE, STATE_HISTORY_AT, STATE_PINNED_UNTIL, STATE_REARMED,
		STATE_STAGE_SETTLED
	};
	static const StateColumn carried_texts[] = {STATE_ANNOUNCED, STATE_PIN_REASON, STATE_CHANNEL};
	LeadStage	stage;

	for (int i = 0; i < lengthof(carried); i++)
	{
		row->values[carried[i]] = old->values[carried[i]];
		row->isnull[carried[i]] = old->isnull[carried[i]];
	}
	for (int i = 0; i < lengthof(carried_texts); i++)
	{
		StateColumn column = carried_texts[i];

		if (!old->isnull[column])
			set_value(row, column,
					  PointerGetDatum(PG_DETOAST_DATUM_COPY(old->values[column])));
		else if (column != STATE_CHANNEL)
			row->isnull[column] = true;
	}
	/* a status that cannot be told is the last one */
	if (row->isnull[STATE_STATUS] && !old->isnull[STATE_STATUS])
		set_value(row, STATE_STATUS,
				  PointerGetDatum(PG_DETOAST_DATUM_COPY(old->values[STATE_STATUS])));
	stage = DatumGetLeadStage(row->values[STATE_STAGE]);
	if (LeadStageIsExit(stage) || LeadStageIsCustomer(stage))
		row->isnull[STATE_SCORE_BOUND] = true;
}

/*
 * May a lead that comes now be the one that a state was of?  One that is known
 * by its activities alone never was; one that this transaction has deleted may
 * be.
 */
static bool
is_same_lead(const StateRow *old)
{
	return DatumGetBool(old->values[STATE_LEAD_EXISTS]) ||
		(old->is_own && TransactionIdIsValid(deleting_xact) &&
		 TransactionIdEquals(deleting_xact, GetTopTransactionIdIfAny()));
}

static bool
same_match_values(Scorer *scorer, const StateRow *a, const StateRow *b)
{
	return !state_differs(scorer->states, a, b, STATE_MATCH_VALUES);
}

/*
 * Is the summary that a state holds made by the rules at hand?
 */
static bool
is_current_summary(const Scorer *scorer, const StateRow *row)
{
	return !row->isnull[STATE_ENGAGEMENT] &&
		engagement_rules(row->values[STATE_ENGAGEMENT]) == scorer->rulebook->activity_rules;
}

/*
 * A lead has come by the values in a row.  The events that name them are read
 * as the transaction commits, when nobody else can be adding one.
 */
static void
collect_matches(Scorer *scorer, Datum key, const StateRow *row)
{
	Datum	   *values;
	int			n;

	collect_recompute(scorer->model, scorer->key_type, key, NULL);
	if (row->isnull[STATE_MATCH_VALUES])
		return;
	deconstruct_array(DatumGetArrayTypeP(row->values[STATE_MATCH_VALUES]), TEXTOID, -1,
					  false, TYPALIGN_INT, &values, NULL, &n);
	for (int i = 0; i < n; i++)
		collect_value(scorer->model, scorer->key_type, TextDatumGetCString(values[i]));
}

/*
 * Give a newly evaluated row what the lead did, as its state has it.
 *
 * If that cannot be told from the state, it is made anew from the history as
 * the transaction commits.
 */
static void
apply_stored(Scorer *scorer, StateRow *row, Datum key, const StateRow *old)
{
	TimestampTz next_due = DT_NOEND;
	Engagement *summary;

	if (scorer->rulebook->nterms == 0)
		return;
	if (!same_match_values(scorer, old, row))
		collect_matches(scorer, key, row);
	else if (!is_current_summary(scorer, old))
		collect_recompute(scorer->model, scorer->key_type, key, NULL);
	if (old->isnull[STATE_ENGAGEMENT])
		return;
	summary = engagement_unpack(old->values[STATE_ENGAGEMENT]);
	if (DatumGetBool(old->values[STATE_FADING]) && pending_exists(scorer->model))
	{
		Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
		Pending		pending;

		pending_read(scorer->model, key_to_text(scorer, key),
					 scorer->rulebook->activity_rules,
					 DatumGetTimestampTz(row->values[STATE_SCORED_AT]), snapshot, &pending);
		UnregisterSnapshot(snapshot);
		next_due = pending.due != NULL ?
			DatumGetTimestampTz(row->values[STATE_SCORED_AT]) : pending.next_due;
	}
	scorer_apply(scorer, row, summary,
				 DatumGetTimestampTz(row->values[STATE_SCORED_AT]), next_due);
}

/* Columns that time alone changes. */
static bool
depends_on_time(StateColumn column)
{
	return column == STATE_SCORE || column == STATE_ENGAGEMENT_POINTS ||
		column == STATE_NEXT_CHANGE_AT || column == STATE_SCORE_BOUND ||
		column == STATE_TEMPERATURE || column == STATE_GRADE ||
		column == STATE_DISQUALIFIED;
}

/* One crossing worked out at different times differs by less than that. */
#define ROUNDING_NOISE	1000

/*
 * Do the stored values promise more than the new ones: that temperature and
 * grade hold for longer, or that the score stays lower?  So they do where an
 * event of the future has come.
 */
static bool
promises_too_much(const StateRow *old, const StateRow *row)
{
	if (!row->isnull[STATE_NEXT_CHANGE_AT] &&
		(old->isnull[STATE_NEXT_CHANGE_AT] ||
		 DatumGetTimestampTz(row->values[STATE_NEXT_CHANGE_AT]) <
		 DatumGetTimestampTz(old->values[STATE_NEXT_CHANGE_AT]) - ROUNDING_NOISE))
		return true;
	if (row->isnull[STATE_SCORE_BOUND] || old->isnull[STATE_SCORE_BOUND])
		return row->isnull[STATE_SCORE_BOUND] != old->isnull[STATE_SCORE_BOUND];
	return DatumGetFloat8(row->values[STATE_SCORE_BOUND]) >
		DatumGetFloat8(old->values[STATE_SCORE_BOUND]) + SCORE_EPSILON;
}

/*
 * Does a row say anything that the stored one does not?
 *
 * Where points fade the numbers are others whenever one looks.  What counts is
 * whether the stored ones were right when they were worked out, and still say
 * the same.
 */
static bool
has_news(Scorer *scorer, const StateRow *old, const StateRow *row)
{
	StateRow	then = *row;
	bool		is_unknown = !DatumGetBool(row->values[STATE_LEAD_EXISTS]) &&
		!DatumGetBool(old->values[STATE_LEAD_EXISTS]);

	if (DatumGetBool(row->values[STATE_FADING]) && DatumGetBool(old->values[STATE_FADING]) &&
		DatumGetBool(row->values[STATE_LEAD_EXISTS]) &&
		!old->isnull[STATE_ENGAGEMENT] &&
		(old->isnull[STATE_NEXT_CHANGE_AT] ||
		 DatumGetTimestampTz(old->values[STATE_NEXT_CHANGE_AT]) >
		 DatumGetTimestampTz(row->values[STATE_SCORED_AT])))
	{
		if (state_differs(scorer->states, old, row, STATE_ENGAGEMENT) ||
			promises_too_much(old, row))
			return true;
		if (DatumGetInt64(old->values[STATE_RULES_VERSION]) ==
			DatumGetInt64(row->values[STATE_RULES_VERSION]))
		{
			for (int i = 0; i < NUM_STATE_COLUMNS; i++)
			{
				if (depends_on_time((StateColumn) i))
				{
					then.values[i] = old->values[i];
					then.isnull[i] = old->isnull[i];
				}
			}
		}
		else
			scorer_apply(scorer, &then, engagement_unpack(row->values[STATE_ENGAGEMENT]),
						 DatumGetTimestampTz(old->values[STATE_SCORED_AT]), DT_NOEND);
	}
	for (int i = 0; i < NUM_STATE_COLUMNS; i++)
	{
		if (i == STATE_LEAD_KEY || i == STATE_SCORED_AT ||
			i == STATE_RULES_VERSION)
			continue;
		/* nobody asks for the score of a lead that does not exist */
		if (is_unknown && depends_on_time((StateColumn) i))
			continue;
		if (state_differs(scorer->states, old, &then, (StateColumn) i))
			return true;
	}
	return false;
}

/* --------------------------------------------------------------------
 * Stages, history, announcements
 * --------------------------------------------------------------------
 */

/* The lead that a Staging is about. */
typedef struct StagedLead
{
	Scorer	   *scorer;
	Datum		key;
} StagedLead;

/* What there is to tell of a change of a lead, once it is stored. */
typedef struct Telling
{
	StagedLead	lead;
	Staging		staging;
	Datum		rules;			/* that speak, or 0 */
	const char *announced_before;
	bool		announced_up;
	bool		tells;
	const char *reason;
} Telling;

static const char *
staged_key_text(void *arg)
{
	StagedLead *lead = (StagedLead *) arg;

	return key_to_text(lead->scorer, lead->key);
}

static bool
load_staged_row(void *arg)
{
	StagedLead *lead = (StagedLead *) arg;

	return scorer_read(lead->scorer, lead->key) == READ_FOUND;
}

/* Listing the rules that speak where errors are caught. */
typedef struct RuleListing
{
	const StateRow *row;
	Datum		rules;
} RuleListing;

static void
list_rules(Rulebook *rulebook, void *arg)
{
	RuleListing *listing = (RuleListing *) arg;
	TimestampTz at = DatumGetTimestampTz(listing->row->values[STATE_SCORED_AT]);
	Activities	did = {0};
	Evaluation	result;
	Account		account;
	Datum	   *ids;

	if (rulebook->nterms > 0 && !listing->row->isnull[STATE_ENGAGEMENT])
	{
		did.summary = engagement_unpack(listing->row->values[STATE_ENGAGEMENT]);
		did.at = at;
		did.created_at = listing->row->isnull[STATE_CREATED_AT] ? DT_NOEND :
			DatumGetTimestampTz(listing->row->values[STATE_CREATED_AT]);
		rulebook->did = &did;
	}
	evaluate(rulebook, &at, &result, &account);
	ids = palloc(sizeof(Datum) * (account.nspoken + 1));
	for (int i = 0; i < account.nspoken; i++)
		ids[i] = Int64GetDatum(rulebook->rules[account.spoken[i].rule].id);
	listing->rules = PointerGetDatum(construct_array(ids, account.nspoken, INT8OID, 8,
													 FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * The rules that speak for a lead whose row is in the rulebook's slot; 0 if that
 * cannot be told.
 */
static Datum
rules_that_speak(Scorer *scorer, const StateRow *row)
{
	RuleListing listing = {row, (Datum) 0};
	RuleFailure failure;
	bool		listed;

	listed = run_guarded(scorer->rulebook, list_rules, &listing,
						 scorer->rulebook->runs_queries, &failure);
	scorer->rulebook->did = NULL;
	return listed ? listing.rules : (Datum) 0;
}

static int
temperature_rank(const char *label)
{
	int			rank = 0;

	while (rank < NUM_TEMPERATURES - 1 &&
		   strcmp(temperature_label((Temperature) rank), label) != 0)
		rank++;
	return rank;
}

static bool
same_text_value(const StateRow *a, const StateRow *b, StateColumn column)
{
	return strcmp(TextDatumGetCString(a->values[column]),
				  TextDatumGetCString(b->values[column])) == 0;
}

/*
 * Bring the stage in a row that is about to be stored up to date, and find out
 * what is to be told of the change.  'before' is the lead's state so far, NULL
 * if it is new.  Errors: as of stage_settle().
 */
static void
settle_stage(Scorer *scorer, Datum key, const StateRow *before, StateRow *row,
			 const ScorerChange *change, bool loaded, Telling *telling)
{
	Staging    *staging = &telling->staging;
	/* nobody is told that a lead without a pin has none any more */
	bool		pins = change->pins &&
		(change->pin_until != DT_NOBEGIN || !row->isnull[STATE_PINNED_UNTIL]);
	TimestampTz at;

	memset(telling, 0, sizeof(Telling));
	telling->lead.scorer = scorer;
	telling->lead.key = key;
	telling->reason = change->reason;
	staging->rulebook = scorer->rulebook;
	staging->model = scorer->model;
	staging->key_text = staged_key_text;
	staging->load = load_staged_row;
	staging->arg = &telling->lead;
	staging->loaded = loaded;
	staging->cause = change->cause;
	staging->may_move = change->cause != CAUSE_RULES || scorer->moves_stages;
	staging->refuses = change->cause == CAUSE_ROW;
	staging->written_back = scorer->write_back[WRITE_BACK_STAGE] != NULL;
	staging->last_seen = row->isnull[STATE_ENGAGEMENT] ? DT_NOBEGIN :
		engagement_last(engagement_unpack(row->values[STATE_ENGAGEMENT]));

	if (change->only_from != 0 && DatumGetLeadStage(row->values[STATE_STAGE]) != change->only_from)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("lead %s is not waiting to be accepted", key_to_text(scorer, key)),
				 errdetail("It is in stage %s; leads are handed over in stage %s.",
						   lead_stage_label(DatumGetLeadStage(row->values[STATE_STAGE])),
						   lead_stage_label(change->only_from)),
				 errhint("The view leadscore.handoff lists the leads that are.")));
	if (change->move_to != 0)
		stage_move(staging, row, change->move_to, change->cause, true);
	if (pins)
	{
		row->isnull[STATE_PIN_REASON] = true;
		row->isnull[STATE_PINNED_UNTIL] = change->pin_until == DT_NOBEGIN;
		if (change->pin_until != DT_NOBEGIN)
		{
			set_value(row, STATE_PINNED_UNTIL, TimestampTzGetDatum(change->pin_until));
			if (change->reason != NULL)
				set_value(row, STATE_PIN_REASON, CStringGetTextDatum(change->reason));
		}
		set_value(row, STATE_STAGE_SETTLED, BoolGetDatum(false));
	}
	stage_settle(staging, before, row);
	if (change->dry_run)
		return;
	if (staging->unmapped != NULL)
		note_problem(scorer->model, NO_RULE, key_to_text(scorer, key),
					 ERRCODE_INVALID_PARAMETER_VALUE,
					 psprintf("status \"%s\" stands for no stage", staging->unmapped));
	if (staging->failed != NULL)
		note_problem(scorer->model, NO_RULE, key_to_text(scorer, key),
					 staging->failed_code, staging->failed);
	if (staging->unmapped != NULL || staging->failed != NULL)
		set_value(row, STATE_HAS_PROBLEM, BoolGetDatum(true));

	telling->tells = DatumGetBool(row->values[STATE_LEAD_EXISTS]) &&
		(before == NULL || staging->nmoves > 0 || pins ||
		 DatumGetFloat8(before->values[STATE_FIT]) != DatumGetFloat8(row->values[STATE_FIT]) ||
		 !same_text_value(before, row, STATE_TEMPERATURE) ||
		 !same_text_value(before, row, STATE_GRADE) || staging->announced);
	if (!telling->tells)
		return;
	/* what the old row points to may be gone by the time it is told */
	if (before != NULL)
		telling->announced_before = TextDatumGetCString(before->values[STATE_ANNOUNCED]);
	telling->announced_up = before == NULL ||
		temperature_rank(telling->announced_before) <
		temperature_rank(TextDatumGetCString(row->values[STATE_ANNOUNCED]));
	at = DatumGetTimestampTz(row->values[STATE_SCORED_AT]);
	if (before == NULL)
	{
		/* whoever had the key before is gone by now, perhaps since the statement began */
		at = Max(at, GetCurrentTimestamp());
	}
	else if (!before->isnull[STATE_HISTORY_AT])
	{
		TimestampTz last = DatumGetTimestampTz(before->values[STATE_HISTORY_AT]);

		/* what another transaction wrote came before */
		if (at <= last)
			at = before->is_own ? last : last + 1;
	}
	set_value(row, STATE_HISTORY_AT, TimestampTzGetDatum(at));
	if (staging->nmoves > 0 || (before == NULL && change->cause != CAUSE_KEY))
		set_value(row, STATE_STAGE_SINCE, row->values[STATE_HISTORY_AT]);
	if (staging->loaded || (!staging->cannot_load && load_staged_row(&telling->lead)))
		telling->rules = rules_that_speak(scorer, row);
}

/*
 * A change has been stored: write its history, and announce what there is to
 * announce.
 */
static void
tell(Scorer *scorer, const StateRow *before, const StateRow *row,
	 const Telling *telling, Cause cause)
{
	const Staging *staging = &telling->staging;
	bool		announces = scorer->rulebook->funnel.announces && cause != CAUSE_RULES;
	char	   *lead_key;
	HistoryEntry entry = {cause};

	if (!telling->tells)
		return;
	lead_key = key_to_text(scorer, telling->lead.key);
	if (scorer->history == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(scorer->context);

		scorer->history = history_writer_create();
		MemoryContextSwitchTo(caller);
	}
	entry.at = DatumGetTimestampTz(row->values[STATE_HISTORY_AT]);
	entry.rules = telling->rules;
	entry.announced = staging->announced && announces;
	entry.reason = telling->reason;
	entry.listed = true;
	entry.to = staging->nmoves > 0 ? staging->moves[0].from :
		DatumGetLeadStage(row->values[STATE_STAGE]);
	/* a lead that has got another key does not come a second time */
	entry.from = before == NULL && cause != CAUSE_KEY ? 0 : entry.to;
	/* a lead's first row, or one without a move */
	if (before == NULL || staging->nmoves == 0)
	{
		history_add(scorer->history, scorer->model, lead_key, before, row, &entry);
		before = row;
		entry.announced = false;
	}
	if (staging->announced && announces)
		announce_crossing("temperature", scorer->model, lead_key,
						  telling->announced_before, TextDatumGetCString(row->values[STATE_ANNOUNCED]),
						  telling->announced_up, row, &entry);
	for (int i = 0; i < staging->nmoves; i++)
	{
		const StageMove *move = &staging->moves[i];

		entry.cause = move->cause;
		entry.automatic = move->automatic;
		entry.listed = move->listed;
		entry.from = move->from;
		entry.to = move->to;
		history_add(scorer->history, scorer->model, lead_key, before, row, &entry);
		before = row;
		entry.announced = false;
		if (announces)
			announce_crossing("stage", scorer->model, lead_key, lead_stage_label(move->from),
							  lead_stage_label(move->to), move->to > move->from, row, &entry);
	}
}

/*
 * scorer_tell_move
 *		Somebody writes the state table himself, and moves a lead: see whether it
 *		may, and tell of it.  'row' is completed, to be stored by the caller.
 */
void
scorer_tell_move(Scorer *scorer, Datum key, const StateRow *before, StateRow *row,
				 LeadStage to)
{
	ScorerChange change = {.cause = CAUSE_MANUAL,.move_to = to};
	Telling		telling;

	set_value(row, STATE_SCORED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
	settle_stage(scorer, key, before, row, &change, false, &telling);
	tell(scorer, before, row, &telling, change.cause);
	row->values[STATE_SCORED_AT] = before->values[STATE_SCORED_AT];
}

/*
 * scorer_insert
 *		Insert the state of a lead that is new; false if there is one.
 */
bool
scorer_insert(Scorer *scorer, Datum key, StateRow *row, Cause cause)
{
	StateTable *states = scorer->states;
	ScorerChange change = {.cause = cause};
	Telling		telling;

	/* scorer_evaluate() has just had the lead's row */
	settle_stage(scorer, key, NULL, row, &change, true, &telling);
	if (!state_insert(states, row, false))
		return false;
	tell(scorer, NULL, row, &telling, cause);
	return true;
}

/*
 * scorer_add_stored
 *		Give a row what the state of the lead says of what it did; and, unless it
 *		was evaluated, of its score as well.  False if it has no state.
 */
bool
scorer_add_stored(Scorer *scorer, bool has_key, Datum key, bool evaluated,
				  StateRow *row)
{
	StateTable *states = scorer->states;
	StateRow	old;
	bool		found;

	if (states == NULL || !has_key)
		return false;
	state_table_open(states);
	found = state_find(states, key, false, NULL, &old);
	if (found)
		state_copy_values(states, &old);
	state_table_close(states);
	if (!found)
		return false;
	if (!evaluated)
		*row = old;
	if (scorer->rulebook->nterms > 0 && !old.isnull[STATE_ENGAGEMENT])
		scorer_apply(scorer, row, engagement_unpack(old.values[STATE_ENGAGEMENT]),
					 GetCurrentStatementStartTimestamp(), DT_NOEND);
	return true;
}

/*
 * scorer_complete_row
 *		Give a newly evaluated row what the state of the lead has besides: what
 *		it did, and the stage that it will be in; which is the one that it is in
 *		if it is not 'changed', since nobody will store the row.  It has no state
 *		yet unless 'has_key'.  Errors: as of stage_settle().
 */
void
scorer_complete_row(Scorer *scorer, bool has_key, Datum key, bool changed,
					StateRow *row)
{
	StateTable *states = scorer->states;
	StateRow	before;
	bool		known = false;
	ScorerChange change = {.cause = CAUSE_ROW,.dry_run = true};
	Telling		telling;

	state_table_open(states);
	if (has_key && state_find(states, key, false, NULL, &before))
	{
		state_copy_values(states, &before);
		known = DatumGetBool(before.values[STATE_LEAD_EXISTS]);
		if (known)
			carry_over(&before, row);
	}
	state_table_close(states);
	(void) scorer_add_stored(scorer, has_key, key, true, row);
	if (changed || !known)
		settle_stage(scorer, row->values[STATE_LEAD_KEY], known ? &before : NULL, row, &change,
					 true, &telling);
}

/*
 * scorer_would_change
 *		The same, with what stays with the lead carried over.
 */
bool
scorer_would_change(Scorer *scorer, const StateRow *old, StateRow *row)
{
	if (scorer->rulebook->nterms > 0)
	{
		if (!is_current_summary(scorer, old) || !same_match_values(scorer, old, row))
			return true;
		/* it was brought to a later time, and is to come back: see sum_up() */
		if (DatumGetTimestampTz(old->values[STATE_SCORED_AT]) > GetCurrentStatementStartTimestamp())
			return true;
		scorer_apply(scorer, row, engagement_unpack(old->values[STATE_ENGAGEMENT]),
					 DatumGetTimestampTz(row->values[STATE_SCORED_AT]), DT_NOEND);
	}
	carry_over(old, row);
	if (scorer->moves_stages)
	{
		ScorerChange change = {.cause = CAUSE_RULES,.dry_run = true};
		Telling		telling;

		/* whoever stores it does that again */
		settle_stage(scorer, row->values[STATE_LEAD_KEY], old, row, &change, true, &telling);
	}
	return has_news(scorer, old, row);
}

/*
 * scorer_flag_problem
 *		Mark the state of a lead that could not be read.
 */
void
scorer_flag_problem(Scorer *scorer, Datum key)
{
	StateTable *states = scorer->states;
	StateRow	old;

	state_table_open(states);
	while (state_find(states, key, false, NULL, &old) &&
		   !DatumGetBool(old.values[STATE_HAS_PROBLEM]))
	{
		StateRow	row = old;

		set_value(&row, STATE_HAS_PROBLEM, BoolGetDatum(true));
		if (state_update(states, &old, &row))
			break;
	}
	state_table_close(states);
}

/*
 * scorer_is_busy
 *		Is a rule of this model being evaluated just now?  Then a function
 *		that it calls has written a lead, which cannot be scored.
 */
bool
scorer_is_busy(Scorer *scorer, Datum key)
{
	if (!scorer->rulebook->busy)
		return false;
	note_problem(scorer->model, NO_RULE, key_to_text(scorer, key),
				 ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				 "a rule calls a function that writes leads");
	return true;
}

/*
 * Is a state worth keeping for what it says of activities?
 */
static bool
has_done_something(const StateRow *row)
{
	return !row->isnull[STATE_ENGAGEMENT] &&
		engagement_last(engagement_unpack(row->values[STATE_ENGAGEMENT])) != DT_NOBEGIN;
}

/*
 * Make a state one of which activities alone are known.
 */
static void
forget_lead(Scorer *scorer, StateRow *row)
{
	set_value(row, STATE_LEAD_EXISTS, BoolGetDatum(false));
	set_value(row, STATE_STAGE, LeadStageGetDatum(scorer->rulebook->initial_stage));
	set_value(row, STATE_HAS_PROBLEM, BoolGetDatum(false));
	row->isnull[STATE_CHANNEL] = true;
	row->isnull[STATE_KEPT_RULES] = true;
	row->isnull[STATE_CREATED_AT] = true;
	row->isnull[STATE_ROW_CHANGES_AT] = true;
	row->isnull[STATE_NEXT_CHANGE_AT] = true;
	row->isnull[STATE_SCORE_BOUND] = true;
}

/*
 * Take the state of a lead that has changed its key away from the old one, and
 * carry over what stays with the lead.  Had it a problem?
 *
 * What is carried over is what was there before the command 'replaced_by',
 * which may have given the old key to another lead already.  If it has not, it
 * is what is replaced here: somebody who scores the lead without holding it, for
 * what it did or by other rules, may be just about to commit.
 */
static bool
move_away(Scorer *scorer, Datum old_key, CommandId replaced_by, StateRow *row)
{
	StateTable *states = scorer->states;
	StateRow	old;
	bool		found = false;
	bool		had_problem = false;

	while (state_find(states, old_key, false, NULL, &old) &&
		   !(old.is_own && old.command >= replaced_by))
	{
		StateRow	gone = old;

		found = true;
		carry_over(&old, row);
		had_problem = DatumGetBool(old.values[STATE_HAS_PROBLEM]);

		/* lest somebody who gets the old key is taken for this lead */
		forget_lead(scorer, &gone);
		if (!state_update(states, &old, &gone))
			continue;
		if (has_done_something(&gone))
			break;
		if (state_find(states, old_key, false, NULL, &old) &&
			state_delete(states, &old))
			break;
	}
	if (!found && state_find_before(states, old_key, replaced_by, &old))
	{
		carry_over(&old, row);
		had_problem = DatumGetBool(old.values[STATE_HAS_PROBLEM]);
	}
	return had_problem;
}

/*
 * scorer_store
 *		Bring the state of a lead up to date with a newly evaluated row.
 *
 * 'old_key' is given if the lead has just changed its key, by the command
 * 'replaced_by': then its state moves.  'is_new' says that it is worth trying
 * to insert first.
 */
void
scorer_store(Scorer *scorer, Datum key, const Datum *old_key, StateRow *row,
			 bool is_new, CommandId replaced_by)
{
	StateTable *states = scorer->states;
	bool		counts_events = scorer->rulebook->nterms > 0;
	StateRow	old;
	StateRow	before;
	StateRow	fresh;
	bool		comes_back = false;
	ScorerChange change = {.cause = old_key != NULL ? CAUSE_KEY : CAUSE_ROW};
	Telling		telling;
	bool		moved = old_key != NULL;
	bool		had_problem = false;
	bool		expected = !is_new && !moved;

	/*
	 * An insertion that fails must leave nothing behind that others wait for as
	 * they commit, unless nobody else can know of the key.
	 */
	bool		guarded = scorer->unique_key && !expected && !counts_events;

	if (counts_events)
	{
		collect_written(scorer->model, scorer->key_type, key);
		/* what it did before it came */
		if (!expected && !row->isnull[STATE_MATCH_VALUES])
			collect_matches(scorer, key, row);
		else if (moved && !scorer->unique_key)
			collect_recompute(scorer->model, scorer->key_type, key, NULL);
	}
	state_table_open(states);

	if (moved)
	{
		/* the history of the new key says from where */
		change.reason = psprintf("was %s", key_to_text(scorer, *old_key));
		had_problem = move_away(scorer, *old_key, replaced_by, row);
		is_new = true;
	}
	else if (is_new && TransactionIdIsValid(deleting_xact) &&
			 TransactionIdEquals(deleting_xact, GetTopTransactionIdIfAny()) &&
			 state_find_deleted(states, key, &old))
	{
		state_copy_values(states, &old);
		carry_over(&old, row);
		before = old;
		comes_back = DatumGetBool(old.values[STATE_LEAD_EXISTS]);
	}
	fresh = *row;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();

		if (is_new)
		{
			settle_stage(scorer, key, comes_back ? &before : NULL, row, &change, true, &telling);
		}
		if (is_new && state_insert(states, row, guarded))
		{
			tell(scorer, comes_back ? &before : NULL, row, &telling, change.cause);
			/* it may have had a problem that kept it from getting one */
			had_problem |= expected;
			if (counts_events && expected && !row->isnull[STATE_MATCH_VALUES])
				collect_matches(scorer, key, row);
			if (counts_events &&
				scorer->complete_for != (int64) scorer->rulebook->activity_rules)
				collect_recompute(scorer->model, scorer->key_type, key, NULL);
			break;
		}
		is_new = true;
		guarded = false;
		if (!state_find(states, key, false, NULL, &old))
			continue;
		/* the row of an attempt that failed is gone */
		*row = fresh;
		if (!moved && is_same_lead(&old))
			carry_over(&old, row);
		apply_stored(scorer, row, key, &old);
		before = old;
		settle_stage(scorer, key, !moved && is_same_lead(&old) ? &before : NULL, row,
					 &change, true, &telling);

		/*
		 * One that has just come makes the row its own, even if that says the
		 * same: the event of the lead that was there before may be yet to come.
		 */
		if ((expected &&
			 DatumGetInt64(old.values[STATE_RULES_VERSION]) ==
			 DatumGetInt64(row->values[STATE_RULES_VERSION]) &&
			 !has_news(scorer, &old, row)) ||
			state_update(states, &old, row))
		{
			tell(scorer, !moved && is_same_lead(&old) ? &before : NULL, row, &telling, change.cause);
			if (!moved)
				had_problem = DatumGetBool(old.values[STATE_HAS_PROBLEM]);
			break;
		}
	}
	state_table_close(states);

	scorer_note_failures(scorer, key);
	if (had_problem && (moved || !DatumGetBool(row->values[STATE_HAS_PROBLEM])))
		clear_problems(scorer->model,
					   key_to_text(scorer, moved ? *old_key : key), 0, NULL);
}

/*
 * Remove a state that was found, unless something is known of what the lead
 * did: it may come again.  False if the state was changed since.
 */
static bool
remove_state(Scorer *scorer, StateRow *old)
{
	StateRow	gone = *old;

	if (scorer->rulebook->nterms == 0 || !has_done_something(old))
	{
		if (!state_delete(scorer->states, old))
			return false;
	}
	else
	{
		/* the stage stays until the transaction ends: see is_same_lead() */
		set_value(&gone, STATE_LEAD_EXISTS, BoolGetDatum(false));
		gone.isnull[STATE_NEXT_CHANGE_AT] = true;
		gone.isnull[STATE_ROW_CHANGES_AT] = true;
		gone.isnull[STATE_SCORE_BOUND] = true;
		if (!state_update(scorer->states, old, &gone))
			return false;
	}
	deleting_xact = GetTopTransactionId();
	return true;
}

/*
 * scorer_remove
 *		Remove the state of a lead that is gone since the command 'deleted_by'
 *		of this transaction.
 *
 * A state written since belongs to a lead that came again under the same key.
 */
void
scorer_remove(Scorer *scorer, Datum key, CommandId deleted_by)
{
	StateTable *states = scorer->states;
	StateRow	old;
	bool		had_problem = false;

	state_table_open(states);
	while (state_find(states, key, false, NULL, &old) &&
		   !(old.is_own && old.command >= deleted_by))
	{
		bool		had = DatumGetBool(old.values[STATE_HAS_PROBLEM]);

		if (!remove_state(scorer, &old))
			continue;
		had_problem = had;
		break;
	}
	state_table_close(states);

	if (had_problem)
		clear_problems(scorer->model, key_to_text(scorer, key), 0, NULL);
}

/* Reading a history where errors are caught. */
typedef struct HistoryRead
{
	Scorer	   *scorer;
	Datum		key;
	char	  **matches;
	TimestampTz upto;
	Snapshot	snapshot;
	History		history;
} HistoryRead;

static void
read_history(void *arg)
{
	HistoryRead *read = (HistoryRead *) arg;

	history_read(read->scorer->rulebook, read->scorer->key_type, read->key,
				 read->matches, read->upto, read->snapshot, true, &read->history);
}

/*
 * Whoever alters a table of events may be about to wait for what we hold.
 */
static bool
events_can_be_read(const Scorer *scorer)
{
	const Rulebook *rulebook = scorer->rulebook;

	for (int i = 0; i < rulebook->nactivities && scorer->must_not_wait; i++)
	{
		ListCell   *lc;

		if (!rulebook->activities[i].usable || rulebook->activities[i].nrules == 0)
			continue;
		/* its partitions as well */
		foreach(lc, find_all_inheritors(rulebook->activities[i].relation, NoLock, NULL))
		{
			if (!ConditionalLockRelationOid(lfirst_oid(lc), AccessShareLock))
				return false;
		}
	}
	return true;
}

/*
 * Sum up what a lead did, whose state is locked: what the state says, what was
 * put off, and what is new; or all of it from its history.  Sets when something
 * that is put off counts first.  NULL if the history cannot be read.
 */
static Engagement *
sum_up(Scorer *scorer, Datum key, const StateRow *old, const StateRow *row,
	   ScorerChange *change, TimestampTz *next_due)
{
	Rulebook   *rulebook = scorer->rulebook;
	char	   *text_key = key_to_text(scorer, key);
	List	   *later = change->later;
	Engagement *summary;
	Snapshot	snapshot;
	Pending		pending = {NULL, false, DT_NOEND};
	ListCell   *lc;
	bool		recompute = change->recompute || change->history != NULL ||
		!is_current_summary(scorer, old) ||
		!same_match_values(scorer, old, row);

	/* it may have been brought to a later time, which cannot be taken back */
	if (!recompute && DatumGetTimestampTz(old->values[STATE_SCORED_AT]) > change->at)
	{
		summary = engagement_unpack(old->values[STATE_ENGAGEMENT]);
		recompute = engagement_last(summary) > change->at;
	}
	/* taken now, it sees what the last holder of the state committed */
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	/* what history holds by now may have been put off since nothing was */
	if (!scorer->ignores_pending || recompute)
		pending_take(scorer->model, text_key, rulebook->activity_rules,
					 recompute ? DT_NOEND : change->at, snapshot, &pending);
	if (pending.recompute && !recompute)
	{
		recompute = true;
		pending_take(scorer->model, text_key, rulebook->activity_rules,
					 DT_NOEND, snapshot, &pending);
	}
	if (recompute && change->history != NULL)
	{
		UnregisterSnapshot(snapshot);
		summary = change->history->summary;
		later = change->history->later;
		pending.next_due = DT_NOEND;
	}
	else if (recompute)
	{
		HistoryRead read = {scorer, key, state_match_values(rulebook, row), change->at, snapshot};
		bool		can_read = events_can_be_read(scorer);
		ErrorData  *error = can_read ? catch_error(read_history, &read) : NULL;

		UnregisterSnapshot(snapshot);
		if (error != NULL || !can_read)
		{
			if (error != NULL)
				note_problem(scorer->model, NO_RULE, text_key, error->sqlerrcode,
							 psprintf("activities could not be read: %s", error->message));
			/* try again when somebody comes by next */
			pending_add(scorer->model, text_key, DT_NOBEGIN, NULL);
			*next_due = change->at;
			scorer->nunread++;
			return NULL;
		}
		summary = read.history.summary;
		later = read.history.later;
		pending.next_due = DT_NOEND;
	}
	else
	{
		UnregisterSnapshot(snapshot);
		summary = engagement_unpack(old->values[STATE_ENGAGEMENT]);
		if (change->added != NULL)
			engagement_merge(summary, change->added);
		if (pending.due != NULL)
			engagement_merge(summary, pending.due);
		/* it was not time alone */
		if (pending.due != NULL && change->cause == CAUSE_DECAY)
			change->cause = CAUSE_EVENT;
	}
	foreach(lc, later)
	{
		LaterEvent *event = (LaterEvent *) lfirst(lc);

		pending_add(scorer->model, text_key, event->at, event->added);
		pending.next_due = Min(pending.next_due, event->at);
	}
	*next_due = pending.next_due;
	return summary;
}

/* Writing back where errors are caught. */
typedef struct LeadUpdate
{
	Scorer	   *scorer;
	Datum		key;
} LeadUpdate;

static void
update_lead(void *arg)
{
	LeadUpdate *update = (LeadUpdate *) arg;
	Scorer	   *scorer = update->scorer;
	const char *target = qualified_relation_name(scorer->target);
	const char *column = quote_identifier(scorer->key_column);
	Impersonation impersonation;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SPIPlanPtr	plan;

	impersonate(&impersonation, relation_owner(scorer->target), "pg_catalog, pg_temp");
	SPI_connect();
	/* the trigger write_back() sets the columns; who holds the row will set them */
	plan = SPI_prepare(psprintf("UPDATE %s t SET %s = t.%s WHERE t.%s OPERATOR(pg_catalog.=) $1 "
								"AND EXISTS (SELECT FROM %s l WHERE l.%s OPERATOR(pg_catalog.=) $1 "
								"FOR NO KEY UPDATE SKIP LOCKED)",
								target, column, column, column, target, column),
					   1, &scorer->key_type);
	if (plan == NULL ||
		SPI_execute_snapshot(plan, &update->key, NULL, snapshot, InvalidSnapshot,
							 false, true, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write back to %s", target);
	SPI_finish();
	impersonate_end(&impersonation);
	UnregisterSnapshot(snapshot);
}

/*
 * Has a table triggers for updated rows that may be put off until the end of
 * the transaction?
 */
static bool
may_defer_triggers(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	TriggerDesc *triggers = rel->trigdesc;
	bool		found = rel->rd_rel->relkind != RELKIND_RELATION;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		found |= triggers->triggers[i].tgdeferrable &&
			TRIGGER_FOR_UPDATE(triggers->triggers[i].tgtype);
	table_close(rel, AccessShareLock);

	return found;
}

/*
 * The temperature or the grade of a lead has changed without a write of its
 * row: have the columns set that are written back.
 *
 * What is queued as the transaction commits is never fired: then the columns
 * are left to advance() or the next write.
 */
static void
write_back_crossing(Scorer *scorer, Datum key, bool at_commit)
{
	LeadUpdate	update = {scorer, key};
	ErrorData  *error;
	bool		any = false;

	for (int i = 0; i < NUM_WRITE_BACKS; i++)
		any |= scorer->write_back[i] != NULL;
	if (!any || (at_commit && may_defer_triggers(scorer->target)))
		return;
	error = catch_error(update_lead, &update);
	if (error != NULL &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) !=
		ERRCODE_TO_CATEGORY(ERRCODE_T_R_SERIALIZATION_FAILURE))
		note_problem(scorer->model, NO_RULE, key_to_text(scorer, key), error->sqlerrcode,
					 psprintf("columns could not be written back: %s", error->message));
}

/* Crossings of a lead that are settled one by one before it is changed. */
#define MAX_DUE_CROSSINGS	1000

/*
 * When does a stored state change by time alone, no later than 'at'?  DT_NOEND
 * if it does not, or if that cannot be told any more.
 */
static TimestampTz
due_crossing(Scorer *scorer, const StateRow *row, TimestampTz at)
{
	TimestampTz due;

	if (!DatumGetBool(row->values[STATE_LEAD_EXISTS]) || row->isnull[STATE_NEXT_CHANGE_AT] ||
		DatumGetInt64(row->values[STATE_RULES_VERSION]) != scorer->rulebook->version.number ||
		(scorer->rulebook->nterms > 0 && !is_current_summary(scorer, row)))
		return DT_NOEND;
	due = DatumGetTimestampTz(row->values[STATE_NEXT_CHANGE_AT]);
	return due <= at && due > DatumGetTimestampTz(row->values[STATE_SCORED_AT]) ? due : DT_NOEND;
}

/*
 * Does a column of the state differ, so that the lead's own row is to be
 * written?  Not if that shows neither the column nor the score.
 */
static bool
shows_crossing(Scorer *scorer, StateRow *old, StateRow *row,
			   StateColumn column, int shown_as)
{
	return (scorer->write_back[shown_as] != NULL || scorer->write_back[WRITE_BACK_SCORE] != NULL) &&
		state_differs(scorer->states, old, row, column);
}

/*
 * Change a lead whose state this transaction has written or locked, in one
 * step.  Returns whether anything was written; sets *crossed if what is written
 * back has changed.
 */
static bool
update_once(Scorer *scorer, Datum key, ScorerChange *change, bool *crossed)
{
	StateTable *states = scorer->states;
	Rulebook   *rulebook = scorer->rulebook;
	StateRow	old;
	StateRow	before;
	StateRow	row;
	ReadResult	read = READ_FAILED;
	Engagement *summary = NULL;
	TimestampTz next_due = DT_NOEND;
	Telling		telling = {{0}};
	bool		reread;
	bool		existed;
	bool		had_problem;
	bool		gone;
	bool		is_same;
	bool		written = false;

	scorer->nfailures = 0;
	state_table_open(states);
	if (!state_find(states, key, false, NULL, &old))
		elog(ERROR, "lost a locked row of \"%s\"", RelationGetRelationName(states->rel));
	state_copy_values(states, &old);
	state_table_close(states);
	before = old;
	/* what was worked out as of a later time stays so until it is scored anew */
	if (!change->reread)
		change->at = Max(change->at, DatumGetTimestampTz(old.values[STATE_SCORED_AT]));
	existed = DatumGetBool(old.values[STATE_LEAD_EXISTS]);
	is_same = is_same_lead(&old);
	had_problem = DatumGetBool(old.values[STATE_HAS_PROBLEM]) || change->is_new;
	reread = change->reread ||
		(existed &&
		 (DatumGetInt64(old.values[STATE_RULES_VERSION]) != rulebook->version.number ||
		  (!old.isnull[STATE_ROW_CHANGES_AT] &&
		   DatumGetTimestampTz(old.values[STATE_ROW_CHANGES_AT]) <= change->at)));
	row = old;
	if (reread)
	{
		/* a snapshot taken only now sees what the last writer committed */
		read = change->row_in_slot ? READ_FOUND : scorer_read(scorer, key);
		if (read == READ_FAILED)
			scorer->nunread++;
		if (read == READ_FAILED && change->settles)
			return false;
		if (read == READ_FAILED && change->added == NULL && !change->recompute)
		{
			scorer_flag_problem(scorer, key);
			return false;
		}
		if (read == READ_FAILED)
			set_value(&row, STATE_HAS_PROBLEM, BoolGetDatum(true));
		if (read == READ_FOUND)
		{
			scorer_evaluate_as_of(scorer, key, false, change->at, &row);
			if (is_same)
				carry_over(&old, &row);
		}
	}
	gone = reread ? read == READ_NONE : !existed;
	/* what becomes of it is for the change itself to say */
	if (gone && change->settles)
		return false;
	if (gone && existed)
		forget_lead(scorer, &row);

	if (rulebook->nterms > 0)
	{
		/* read now, and again when nobody can be adding an event by them */
		if (read == READ_FOUND && !same_match_values(scorer, &old, &row))
			collect_matches(scorer, key, &row);
		summary = sum_up(scorer, key, &old, &row, change, &next_due);
		if (summary == NULL)
			summary = old.isnull[STATE_ENGAGEMENT] ? engagement_create(0) :
				engagement_unpack(old.values[STATE_ENGAGEMENT]);
		scorer_apply(scorer, &row, summary, change->at, next_due);
	}
	else if (!reread)
		set_value(&row, STATE_SCORED_AT, TimestampTzGetDatum(change->at));
	if (!gone)
		settle_stage(scorer, key, is_same ? &before : NULL, &row, change,
					 read == READ_FOUND || change->row_in_slot, &telling);
	change->moved_to = DatumGetLeadStage(row.values[STATE_STAGE]);

	state_table_open(states);
	if (!state_find(states, key, false, NULL, &old))
		elog(ERROR, "lost a locked row of \"%s\"", RelationGetRelationName(states->rel));
	if (gone && (summary == NULL || summary->nentries == 0) && next_due == DT_NOEND)
	{
		if (state_delete(states, &old))
			written = true;
		deleting_xact = GetTopTransactionId();
	}
	else if (has_news(scorer, &old, &row))
	{
		*crossed |= DatumGetBool(row.values[STATE_LEAD_EXISTS]) &&
			(shows_crossing(scorer, &old, &row, STATE_TEMPERATURE, WRITE_BACK_TEMPERATURE) ||
			 shows_crossing(scorer, &old, &row, STATE_GRADE, WRITE_BACK_GRADE) ||
			 shows_crossing(scorer, &old, &row, STATE_STAGE, WRITE_BACK_STAGE));
		written = state_update(states, &old, &row);
	}
	state_table_close(states);
	if (written && !gone)
		tell(scorer, is_same ? &before : NULL, &row, &telling, change->cause);

	if (read == READ_FOUND && !change->row_in_slot)
		scorer_note_failures(scorer, key);
	/* one that cannot be read has a problem still */
	if (reread && read != READ_FAILED && had_problem &&
		(gone || !DatumGetBool(row.values[STATE_HAS_PROBLEM])))
		clear_problems(scorer->model, key_to_text(scorer, key), 0, NULL);
	return written;
}

/*
 * Settle what time has changed since a lead was last written, in order, each
 * crossing as of its own time.
 */
static bool
settle_crossings(Scorer *scorer, Datum key, TimestampTz at, bool row_in_slot,
				 bool *crossed)
{
	StateTable *states = scorer->states;
	bool		written = false;

	for (int i = 0; i < MAX_DUE_CROSSINGS; i++)
	{
		ScorerChange step = {.cause = CAUSE_DECAY,.row_in_slot = row_in_slot,.settles = true};
		StateRow	old;

		CHECK_FOR_INTERRUPTS();
		state_table_open(states);
		if (state_find(states, key, false, NULL, &old))
			step.at = due_crossing(scorer, &old, at);
		else
			step.at = DT_NOEND;
		state_table_close(states);
		if (step.at == DT_NOEND || !update_once(scorer, key, &step, crossed))
			break;
		written = true;
	}
	return written;
}

/*
 * scorer_update_locked
 *		Bring the state of a lead up to date, which this transaction has
 *		written or locked.  Returns whether anything was written.
 *
 * What time has changed before is settled first, so that history is the same
 * whether or not somebody looked meanwhile.
 */
bool
scorer_update_locked(Scorer *scorer, Datum key, ScorerChange *change)
{
	bool		crossed = false;
	bool		written;

	written = settle_crossings(scorer, key, change->at, false, &crossed);
	written |= update_once(scorer, key, change, &crossed);
	if (crossed && change->writes_back)
		write_back_crossing(scorer, key, change->at_commit);
	return written;
}

/*
 * scorer_settle_due
 *		A lead is about to be replaced whose row as it was is in the rulebook's
 *		slot: settle what time has changed before.
 */
void
scorer_settle_due(Scorer *scorer, Datum key, TimestampTz at)
{
	StateTable *states = scorer->states;
	StateRow	old;
	bool		crossed = false;
	bool		due;

	do
	{
		CHECK_FOR_INTERRUPTS();
		state_table_open(states);
		due = state_find(states, key, false, NULL, &old) &&
			due_crossing(scorer, &old, at) != DT_NOEND;
		if (due && state_lock(states, &old, false, NULL))
		{
			state_table_close(states);
			if (scorer->rulebook->nterms > 0)
				collect_written(scorer->model, scorer->key_type, key);
			(void) settle_crossings(scorer, key, at, true, &crossed);
			return;
		}
		state_table_close(states);
	} while (due);
}

/*
 * scorer_rescore
 *		Bring the state of one lead up to date, whatever it is now.
 *
 * For causes other than a write of the lead itself: a look-up that changed,
 * new rules, a repair.  The state row is locked before the lead is read, so
 * that a writer of the lead who comes meanwhile waits and has the last word.
 * With 'nowait' a state that somebody else holds is left alone: *locked.
 * Returns whether anything was written.
 */
bool
scorer_rescore(Scorer *scorer, Datum key, Cause cause, bool nowait, bool *locked)
{
	ScorerChange change = {.reread = true,.cause = cause};

	change.at = GetCurrentStatementStartTimestamp();
	return scorer_rescore_as_of(scorer, key, &change, nowait, locked);
}

/*
 * scorer_rescore_as_of
 *		The same, with more to be changed.
 */
bool
scorer_rescore_as_of(Scorer *scorer, Datum key, ScorerChange *change,
					 bool nowait, bool *locked)
{
	StateTable *states = scorer->states;
	StateRow	old;
	StateRow	row;
	bool		written = false;
	bool		is_new = false;

	if (locked != NULL)
		*locked = false;
	if (scorer->rulebook->nterms > 0)
		collect_written(scorer->model, scorer->key_type, key);
	for (;;)
	{
		bool		busy = false;
		bool		found;

		CHECK_FOR_INTERRUPTS();

		state_table_open(states);
		found = state_find(states, key, nowait, &busy, &old);
		if (found && !state_lock(states, &old, nowait, &busy) && !busy)
		{
			state_table_close(states);
			continue;
		}
		state_table_close(states);
		if (busy)
		{
			*locked = true;
			return written;
		}
		if (!found)
		{
			ReadResult	read = scorer_read(scorer, key);

			if (read != READ_FOUND)
				return written;
			scorer_evaluate(scorer, key, false, &row);
			state_table_open(states);
			/* look again, now that nobody else can insert or remove it */
			is_new = scorer_insert(scorer, key, &row, change->cause);
			written |= is_new;
			state_table_close(states);
			continue;
		}

		if (is_new)
		{
			ScorerChange anew = *change;

			/* it may have done something before it got a state */
			anew.recompute = true;
			anew.is_new = true;
			if (scorer->rulebook->nterms > 0 && !row.isnull[STATE_MATCH_VALUES])
				collect_matches(scorer, key, &row);
			(void) scorer_update_locked(scorer, key, &anew);
		}
		else
			written |= scorer_update_locked(scorer, key, change);
		return written;
	}
}

/*
 * scorer_remove_all
 *		Remove the states of all leads.
 *
 * The rows are deleted rather than truncated, so that leads which come back
 * in the same transaction find their stage again.
 */
void
scorer_remove_all(Scorer *scorer)
{
	StateTable *states = scorer->states;
	Form_pg_attribute att = TupleDescAttr(states->desc,
										  states->columns[STATE_LEAD_KEY] - 1);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	IndexScanDesc scan;
	StateRow	row;

	state_table_open(states);
	scan = state_scan_begin(states, snapshot, NULL);
	while (state_scan_next(states, scan, &row))
	{
		Datum		key = datumCopy(row.values[STATE_LEAD_KEY], att->attbyval, att->attlen);
		StateRow	old;

		CHECK_FOR_INTERRUPTS();
		while (state_find(states, key, false, NULL, &old) &&
			   !remove_state(scorer, &old))
			;
		if (!att->attbyval)
			pfree(DatumGetPointer(key));
	}
	state_scan_end(states, scan);
	state_table_close(states);
	UnregisterSnapshot(snapshot);

	clear_all_problems(scorer->model);
}

/*
 * Bring the state of a lead up to date, now or later.
 */
void
scorer_rescore_or_leave(Scorer *scorer, Datum key)
{
	bool		locked;

	(void) scorer_rescore(scorer, key, CAUSE_LOOKUP, true, &locked);
	if (locked)
		settle_later(scorer->model, key_to_text(scorer, key));
}

/*
 * scorer_settle
 *		As the transaction commits, and look-ups have changed since they were
 *		scored: score leads again, and those that others left over.
 */
void
scorer_settle(const char *model, List *keys, List *left_over)
{
	Scorer	   *scorer;
	ListCell   *lc;

	if (keys == NIL && left_over == NIL)
		return;
	scorer = scorer_create(model);
	if (scorer->rulebook == NULL)
		return;
	foreach(lc, keys)
		scorer_rescore_or_leave(scorer, *(Datum *) lfirst(lc));
	foreach(lc, left_over)
		scorer_rescore_or_leave(scorer, key_from_text(scorer, (char *) lfirst(lc)));
}
