/*-------------------------------------------------------------------------
 *
 * live.c
 *	  What readers of the scored views and state tables get.
 *
 * lead_visible()	may the reader see this lead?  The row security of the
 *					CRM's table decides, if it is on.
 * _live()			the evaluation of a lead as of now, where time alone
 *					changes it: what it did fades, or its rules look at the
 *					clock.
 * hot_list()		the leads with the highest scores as of now.
 *
 * Views and policies name no column of the CRM's table: that would keep it
 * from being altered.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include <math.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "lib/binaryheap.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "lead_stage.h"
#include "live.h"
#include "pending.h"
#include "problem.h"
#include "recall.h"
#include "score.h"
#include "scorer.h"
#include "source.h"

/* What lead_visible() keeps from row to row. */
typedef struct VisibleState
{
	Scorer	   *scorer;
	Oid			reader;
	bool		row_security;	/* does any apply to the reader? */
	SPIPlanPtr	plan;
	char	   *model;
	MemoryContextCallback release;
} VisibleState;

static void
release_visible_state(void *arg)
{
	VisibleState *state = (VisibleState *) arg;

	if (state->plan != NULL)
		SPI_freeplan(state->plan);
	state->plan = NULL;
}

/*
 * probe_lead
 *		Look a lead up in its table, as the current user, by a plan that is made
 *		when '*plan' is NULL.
 */
bool
probe_lead(const Scorer *scorer, SPIPlanPtr *plan, Oid key_type, Datum key)
{
	bool		visible;

	SPI_connect();
	if (*plan == NULL)
	{
		SPIPlanPtr	made;

		made = SPI_prepare(psprintf("SELECT FROM %s t WHERE t.%s OPERATOR(pg_catalog.=) $1",
									qualified_relation_name(scorer->target),
									quote_identifier(scorer->key_column)),
						   1, &key_type);
		if (made == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(made);
		*plan = made;
	}
	if (SPI_execute_plan(*plan, &key, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up a lead of scoring model \"%s\"", scorer->model);
	visible = SPI_processed > 0;
	SPI_finish();

	return visible;
}

/*
 * row_security_applies
 *		Does row security of the leads' table apply to the current user?
 */
bool
row_security_applies(const Scorer *scorer)
{
	return OidIsValid(relation_owner(scorer->target)) &&
		check_enable_rls(scorer->target, InvalidOid, true) == RLS_ENABLED;
}

/*
 * leadscore.lead_visible(model text, lead_key anyelement)
 *		Does the CRM's row security let the current user see this lead?
 *
 * True if there is none that applies to him; then the lead's table is not
 * read at all.  Otherwise it is looked up as the reader.  NULL or a model that
 * is not attached: false.  Errors: 42501 no privilege on a table under row
 * security.
 */
PG_FUNCTION_INFO_V1(leadscore_lead_visible);
Datum
leadscore_lead_visible(PG_FUNCTION_ARGS)
{
	VisibleState *state = (VisibleState *) fcinfo->flinfo->fn_extra;
	text	   *model = PG_GETARG_TEXT_PP(0);
	Datum		key = PG_GETARG_DATUM(1);

	if (state == NULL)
	{
		state = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(VisibleState));
		state->release.func = release_visible_state;
		state->release.arg = state;
		MemoryContextRegisterResetCallback(fcinfo->flinfo->fn_mcxt, &state->release);
		fcinfo->flinfo->fn_extra = state;
	}
	if (state->model == NULL || state->reader != GetUserId() ||
		strlen(state->model) != VARSIZE_ANY_EXHDR(model) ||
		memcmp(state->model, VARDATA_ANY(model), VARSIZE_ANY_EXHDR(model)) != 0)
	{
		MemoryContext caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		release_visible_state(state);
		state->model = text_to_cstring(model);
		state->reader = GetUserId();
		state->scorer = scorer_attachment(state->model);
		state->row_security = state->scorer != NULL && row_security_applies(state->scorer);
		MemoryContextSwitchTo(caller);
	}
	if (state->scorer == NULL)
		PG_RETURN_BOOL(false);
	if (!state->row_security)
		PG_RETURN_BOOL(true);

	PG_RETURN_BOOL(probe_lead(state->scorer, &state->plan,
							  get_fn_expr_argtype(fcinfo->flinfo, 1), key));
}

/* --------------------------------------------------------------------
 * As of now
 * --------------------------------------------------------------------
 */

/* What is known of a statement that reads a model's states. */
typedef struct LiveModel
{
	Oid			key_type;		/* of the states */
	int64		rescored_version;	/* rows of older rules are right by these too */
	Scorer	   *attachment;		/* NULL: not attached */
	bool		row_security;
	LeadReader *reader;
	SPIPlanPtr	plan;
	TupleDesc	result_desc;	/* of _live() */
} LiveModel;

/* A lead to be evaluated as of now. */
typedef struct LiveLead
{
	CallSite   *site;
	LiveModel  *model;
	Datum		key;
	const StateRow *row;
	bool		known;
	Evaluation	result;
} LiveLead;

/*
 * Get ready to work out what is stored in a model's states, for those who may
 * read them.  Errors: 42501 no SELECT privilege, 42804 the key is of another
 * type.
 */
static LiveModel *
get_live_model(CallSite *site, Oid key_type)
{
	LiveModel  *model = (LiveModel *) site->extra;
	MemoryContext caller;
	Oid			states;

	if (!site->fresh && model != NULL)
		return model;
	caller = MemoryContextSwitchTo(site->context);
	if (model != NULL && model->plan != NULL)
		SPI_freeplan(model->plan);
	model = palloc0(sizeof(LiveModel));
	site->extra = model;
	states = state_table_of(site->rulebook->model);
	if (OidIsValid(states) && pg_class_aclcheck(states, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(states));
	if (OidIsValid(states))
		model->attachment = scorer_attachment(site->rulebook->model);
	if (model->attachment != NULL)
	{
		model->key_type = get_atttype(states, get_attnum(states, "lead_key"));
		/* another type could bring casts along, to be run as the owner */
		if (OidIsValid(key_type) && key_type != model->key_type)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("key of a lead of scoring model \"%s\" has another type than %s",
							site->rulebook->model, format_type_be(key_type))));
		model->rescored_version = model->attachment->rescored_version;
		model->row_security = row_security_applies(model->attachment);
		/* row security lets nobody see more than his leads: the view is filtered */
		if (site->recall->states == NULL && site->rulebook->nterms > 0)
			site->recall->overdue = pending_leads(site->rulebook->model, GetActiveSnapshot());
	}
	MemoryContextSwitchTo(caller);

	return model;
}

/*
 * What a lead did, by what its state says or by its history; false if the
 * reader may not see the lead.
 */
static bool
find_activities(LiveLead *lead, TimestampTz at, Activities *did)
{
	Rulebook   *rulebook = lead->site->rulebook;
	const StateRow *row = lead->row;
	Engagement *summary = NULL;

	did->at = at;
	did->summary = NULL;
	did->created_at = row->isnull[STATE_CREATED_AT] ? DT_NOEND :
		DatumGetTimestampTz(row->values[STATE_CREATED_AT]);
	if (rulebook->nterms == 0)
		return true;
	if (row->isnull[STATE_ENGAGEMENT] ||
		!recall_summary(lead->site->recall, rulebook, lead->model->key_type, lead->key,
						row->values[STATE_ENGAGEMENT], at, GetActiveSnapshot(), &summary))
	{
		if (lead->model->row_security &&
			!probe_lead(lead->model->attachment, &lead->model->plan, lead->model->key_type, lead->key))
			return false;
		summary = recall_history(rulebook, lead->model->key_type, lead->key,
								 state_match_values(rulebook, row), at,
								 GetActiveSnapshot(), true);
	}
	did->summary = summary;
	return true;
}

/*
 * The same for a lead whose own row has to be read.
 */
static void
evaluate_by_row(LiveLead *lead, TimestampTz at, Activities *did)
{
	Rulebook   *rulebook = lead->site->rulebook;
	RuleFailure *failures;

	if (lead->model->row_security &&
		!probe_lead(lead->model->attachment, &lead->model->plan, lead->model->key_type, lead->key))
		return;
	if (lead->model->reader == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(lead->site->context);

		lead->model->reader = lead_reader_create(rulebook, lead->model->key_type);
		MemoryContextSwitchTo(caller);
	}
	if (!lead_reader_read(lead->model->reader, rulebook, lead->key, GetActiveSnapshot(), true))
		return;
	rulebook->did = did;
	PG_TRY();
	{
		/* user code can only be kept in check by a subtransaction */
		if (rulebook->runs_queries && IsInParallelMode())
			evaluate(rulebook, &at, &lead->result, NULL);
		else
			(void) evaluate_leniently(rulebook, &at, &lead->result, NULL, &failures);
	}
	PG_FINALLY();
	{
		rulebook->did = NULL;
	}
	PG_END_TRY();
	lead->known = true;
}

static void
evaluate_live(void *arg)
{
	LiveLead   *lead = (LiveLead *) arg;
	const StateRow *row = lead->row;
	TimestampTz at = GetCurrentStatementStartTimestamp();
	Activities	did;
	RowPart		part;

	if (!find_activities(lead, at, &did))
		return;
	if (!row->isnull[STATE_ROW_CHANGES_AT] &&
		DatumGetTimestampTz(row->values[STATE_ROW_CHANGES_AT]) <= at)
	{
		evaluate_by_row(lead, at, &did);
		return;
	}
	state_row_part(row, &part);
	evaluate_stored(lead->site->rulebook, &part, &did, &lead->result);
	lead->known = true;
}

/*
 * Does a state's summary tell what the lead did by now, without reading
 * anything else?
 */
static bool
summary_tells(const Rulebook *rulebook, const StateRow *row)
{
	return engagement_rules(row->values[STATE_ENGAGEMENT]) == rulebook->activity_rules;
}

/*
 * Evaluate a lead as of the start of the statement by its row of the state
 * table; false if what is stored is all there is to say: it is of older rules
 * that no rescore has been over, or the lead cannot be read.
 */
static bool
evaluate_state(CallSite *site, LiveModel *model, const StateRow *row, Evaluation *result)
{
	LiveLead	lead = {site, model, row->values[STATE_LEAD_KEY], row, false};
	bool		is_stale;

	if (model->attachment == NULL)
		return false;
	is_stale = Max(DatumGetInt64(row->values[STATE_RULES_VERSION]), model->rescored_version) <
		site->rulebook->version.number;
	/* what the lead did goes on fading, whatever became of other rules */
	if (is_stale && (site->rulebook->nterms == 0 || row->isnull[STATE_ENGAGEMENT] ||
					 !summary_tells(site->rulebook, row)))
		return false;
	if (site->rulebook->nterms == 0 &&
		(row->isnull[STATE_ROW_CHANGES_AT] ||
		 DatumGetTimestampTz(row->values[STATE_ROW_CHANGES_AT]) > GetCurrentStatementStartTimestamp()))
		return false;

	/* one lead that cannot be read is no error for the reader of them all */
	if (IsInParallelMode() ||
		(row->isnull[STATE_ROW_CHANGES_AT] && site->rulebook->nterms > 0 &&
		 !row->isnull[STATE_ENGAGEMENT] &&
		 !recall_is_overdue(site->recall, model->key_type, row->values[STATE_LEAD_KEY]) &&
		 summary_tells(site->rulebook, row)))
		evaluate_live(&lead);
	else if (catch_error(evaluate_live, &lead) != NULL)
		return false;
	*result = lead.result;
	return lead.known;
}

/*
 * leadscore._live(model text, lead_key anyelement, fit float8,
 * engagement_base float8, engagement engagement, kept_rules bigint[],
 * match_values text[], created_at timestamptz, row_changes_at timestamptz,
 * rules_version bigint)
 *		Evaluation of a lead as of the start of the statement, by what its state
 *		says, for readers of the state table; NULL if what is stored is to be
 *		shown.  Errors: 42501 no SELECT privilege on the state table, 42804 the
 *		key is of another type.
 */
PG_FUNCTION_INFO_V1(leadscore_live);
Datum
leadscore_live(PG_FUNCTION_ARGS)
{
	static const StateColumn columns[] = {
		STATE_LEAD_KEY, STATE_FIT, STATE_ENGAGEMENT_BASE, STATE_ENGAGEMENT,
		STATE_KEPT_RULES, STATE_MATCH_VALUES, STATE_CREATED_AT,
		STATE_ROW_CHANGES_AT, STATE_RULES_VERSION
	};
	CallSite   *site;
	LiveModel  *model;
	StateRow	row;
	Evaluation	result;
	Datum		values[6];
	bool		nulls[6] = {false};

	for (int i = 0; i < 3; i++)
	{
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();
	}
	if (PG_ARGISNULL(9))
		PG_RETURN_NULL();
	site = call_site(fcinfo);
	model = get_live_model(site, get_fn_expr_argtype(fcinfo->flinfo, 1));
	memset(row.isnull, true, sizeof(row.isnull));
	for (int i = 0; i < lengthof(columns); i++)
	{
		row.values[columns[i]] = fcinfo->args[i + 1].value;
		row.isnull[columns[i]] = fcinfo->args[i + 1].isnull;
	}
	if (!evaluate_state(site, model, &row, &result))
		PG_RETURN_NULL();

	if (model->result_desc == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(site->context);
		TupleDesc	desc;

		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		model->result_desc = BlessTupleDesc(CreateTupleDescCopy(desc));
		MemoryContextSwitchTo(caller);
	}
	values[0] = Int32GetDatum(evaluation_score_clamped(site->rulebook, &result));
	values[1] = CStringGetTextDatum(temperature_label(evaluation_temperature(site->rulebook, &result)));
	values[2] = PointerGetDatum(evaluation_grade(site->rulebook, &result));
	values[3] = Float8GetDatum(result.axis[AXIS_FIT]);
	values[4] = Float8GetDatum(result.axis[AXIS_ENGAGEMENT]);
	values[5] = BoolGetDatum(result.disqualified);

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(model->result_desc, values, nulls)));
}


/* --------------------------------------------------------------------
 * The hot list
 * --------------------------------------------------------------------
 */

/* A lead that may be on the list. */
typedef struct HotLead
{
	double		raw;
	char	   *key;
	Evaluation	result;
	LeadStage	stage;
	Datum		channel;
	bool		has_channel;
} HotLead;

/* The best leads so far; the worst of them is on top. */
static int
compare_hot_leads(Datum a, Datum b, void *arg)
{
	double		left = ((HotLead *) DatumGetPointer(a))->raw;
	double		right = ((HotLead *) DatumGetPointer(b))->raw;

	return (left < right) - (left > right);
}

/*
 * May a lead be on the list as its state says?
 */
static bool
is_listed(const StateRow *row)
{
	LeadStage	stage = DatumGetLeadStage(row->values[STATE_STAGE]);

	return DatumGetBool(row->values[STATE_LEAD_EXISTS]) &&
		DatumGetBool(row->values[STATE_CONSENT]) &&
		!LeadStageIsExit(stage) && !LeadStageIsCustomer(stage);
}

static void
put_hot_lead(ReturnSetInfo *rsinfo, Rulebook *rulebook, const HotLead *lead)
{
	Datum		values[9];
	bool		nulls[9] = {false};

	values[0] = CStringGetTextDatum(lead->key);
	values[1] = Int32GetDatum(evaluation_score_clamped(rulebook, &lead->result));
	values[2] = CStringGetTextDatum(temperature_label(evaluation_temperature(rulebook, &lead->result)));
	values[3] = PointerGetDatum(evaluation_grade(rulebook, &lead->result));
	values[4] = Int32GetDatum((int32) floor(lead->result.axis[AXIS_FIT] + SCORE_EPSILON));
	values[5] = Float8GetDatum(lead->result.axis[AXIS_ENGAGEMENT]);
	values[6] = CStringGetTextDatum(lead_stage_label(lead->stage));
	values[7] = Int32GetDatum(lead->stage);
	values[8] = lead->channel;
	nulls[8] = !lead->has_channel;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* The list while it is made. */
typedef struct HotList
{
	CallSite   *site;
	LiveModel  *model;
	int			limit;
	binaryheap *best;
	MemoryContext context;		/* of one lead */
} HotList;

static double
worst_of(const HotList *hot)
{
	return ((HotLead *) DatumGetPointer(binaryheap_first(hot->best)))->raw;
}

/*
 * Is a lead not to be found where its bound says?
 */
static bool
is_elsewhere(const HotList *hot, const StateRow *row)
{
	return (!row->isnull[STATE_ROW_CHANGES_AT] &&
			DatumGetTimestampTz(row->values[STATE_ROW_CHANGES_AT]) <=
			GetCurrentStatementStartTimestamp()) ||
		recall_is_overdue(hot->site->recall, hot->model->key_type, row->values[STATE_LEAD_KEY]);
}

/*
 * Put a lead on the list if it is better than the worst there.
 */
static void
list_lead(HotList *hot, const StateRow *row)
{
	MemoryContext caller;
	HotLead		found;
	HotLead    *entry;

	if (!is_listed(row))
		return;
	MemoryContextReset(hot->context);
	caller = MemoryContextSwitchTo(hot->context);
	if (!evaluate_state(hot->site, hot->model, row, &found.result))
	{
		found.result.axis[AXIS_FIT] = DatumGetFloat8(row->values[STATE_FIT]);
		found.result.axis[AXIS_ENGAGEMENT] = DatumGetFloat8(row->values[STATE_ENGAGEMENT_POINTS]);
		found.result.raw = Min(row->isnull[STATE_SCORE_BOUND] ? get_float8_infinity() :
							   DatumGetFloat8(row->values[STATE_SCORE_BOUND]),
							   found.result.axis[AXIS_FIT] + found.result.axis[AXIS_ENGAGEMENT]);
		found.result.disqualified = DatumGetBool(row->values[STATE_DISQUALIFIED]);
	}
	MemoryContextSwitchTo(caller);
	found.raw = found.result.raw;
	if (found.result.disqualified ||
		(hot->best->bh_size == hot->limit && found.raw <= worst_of(hot)) ||
		(hot->model->row_security &&
		 !probe_lead(hot->model->attachment, &hot->model->plan, hot->model->key_type,
					 row->values[STATE_LEAD_KEY])))
		return;

	entry = palloc(sizeof(HotLead));
	*entry = found;
	entry->key = key_text(row->values[STATE_LEAD_KEY], hot->model->key_type);
	entry->stage = DatumGetLeadStage(row->values[STATE_STAGE]);
	entry->has_channel = !row->isnull[STATE_CHANNEL];
	if (entry->has_channel)
		entry->channel = PointerGetDatum(PG_DETOAST_DATUM_COPY(row->values[STATE_CHANNEL]));
	if (hot->best->bh_size < hot->limit)
		binaryheap_add(hot->best, PointerGetDatum(entry));
	else
		binaryheap_replace_first(hot->best, PointerGetDatum(entry));
}

/*
 * Go through the states along an index: from the highest bound on as long as
 * it is above the worst on the list; or those whose time has come, for the sake
 * of leads whose rows time has changed.
 */
static void
walk_index(HotList *hot, StateTable *states, Oid indexid, bool due)
{
	Relation	index;
	IndexScanDesc scan;
	ScanKeyData key;

	if (!OidIsValid(indexid))
		return;
	index = index_open(indexid, AccessShareLock);
	scan = begin_index_scan(states->rel, index, GetActiveSnapshot(), due ? 1 : 0);
	if (due)
		ScanKeyInit(&key, 1, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE,
					TimestampTzGetDatum(GetCurrentStatementStartTimestamp()));
	index_rescan(scan, &key, due ? 1 : 0, NULL, 0);
	while (index_getnext_slot(scan, due ? ForwardScanDirection : BackwardScanDirection,
							  states->old_slot))
	{
		StateRow	row;

		CHECK_FOR_INTERRUPTS();
		state_row_of_slot(states, &row);
		/* sums come out a hair apart when they are added up another way */
		if (!due && hot->best->bh_size == hot->limit &&
			DatumGetFloat8(row.values[STATE_SCORE_BOUND]) + SCORE_EPSILON < worst_of(hot))
			break;
		if (due ?
			row.isnull[STATE_ROW_CHANGES_AT] ||
			DatumGetTimestampTz(row.values[STATE_ROW_CHANGES_AT]) >
			GetCurrentStatementStartTimestamp() ||
			recall_is_overdue(hot->site->recall, hot->model->key_type, row.values[STATE_LEAD_KEY]) :
			is_elsewhere(hot, &row))
			continue;
		list_lead(hot, &row);
	}
	index_endscan(scan);
	index_close(index, AccessShareLock);
}

/*
 * The leads of whom something is pending.
 */
static void
list_pending(HotList *hot, StateTable *states)
{
	HASH_SEQ_STATUS all;
	char	  **lead_key;
	Oid			input;
	Oid			param;

	getTypeInputInfo(hot->model->key_type, &input, &param);
	hash_seq_init(&all, hot->site->recall->overdue);
	while ((lead_key = hash_seq_search(&all)) != NULL)
	{
		StateRow	row;

		if (state_read(states, OidInputFunctionCall(input, *lead_key, param, -1),
					   GetActiveSnapshot(), &row))
			list_lead(hot, &row);
	}
}

/*
 * leadscore.hot_list(model text, limit integer)
 *		The leads with the highest scores as of now, best first.
 *
 * Scores fade at different rates, so that no stored order lasts.  What lasts is
 * the most that each score can still be: the leads are gone through by that,
 * from the highest on, until it is no more than the worst of those found.  Apart
 * from that it looks at those whose own row says something else by now, and
 * those of whom something is pending.
 * Errors: 42704 unknown model, 55000 not attached, 42501 no SELECT privilege
 * on the state table, 22023 limit.
 */
PG_FUNCTION_INFO_V1(leadscore_hot_list);
Datum
leadscore_hot_list(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext caller = CurrentMemoryContext;
	CallSite   *site;
	LiveModel  *model;
	StateTable *states;
	Oid			bound_index;
	Oid			due_index;
	HotList		hot;
	binaryheap *best;
	int			limit;
	HotLead   **sorted;
	int			n;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	limit = PG_GETARG_INT32(1);
	if (limit < 0 || limit > 1000000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("limit must be between 0 and 1000000")));
	site = call_site(fcinfo);
	model = get_live_model(site, InvalidOid);
	states = model->attachment == NULL ? NULL :
		state_table_create_reader(state_table_of(site->rulebook->model));
	if (states == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("scoring model \"%s\" is not attached", site->rulebook->model),
				 errhint("Call leadscore.attach(%s) first.",
						 quote_literal_cstr(site->rulebook->model))));
	bound_index = state_bound_index(states);
	due_index = state_due_index(states);
	if (!OidIsValid(bound_index) || !OidIsValid(due_index))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("state table of scoring model \"%s\" has no index on %s",
						site->rulebook->model,
						OidIsValid(bound_index) ? "next_change_at" : "score_bound"),
				 errhint("Call leadscore.repair(%s).", quote_literal_cstr(site->rulebook->model))));
	if (limit == 0)
		return (Datum) 0;

	hot.site = site;
	hot.model = model;
	hot.limit = limit;
	hot.context = AllocSetContextCreate(caller, "leadscore hot list", ALLOCSET_DEFAULT_SIZES);
	hot.best = binaryheap_allocate(limit, compare_hot_leads, NULL);
	state_table_open(states);
	/* whose rows time has changed, and of whom something is pending, may be anywhere */
	if (site->rulebook->uses_clock)
		walk_index(&hot, states, due_index, true);
	if (site->recall->overdue != NULL)
		list_pending(&hot, states);
	walk_index(&hot, states, bound_index, false);
	state_table_close(states);
	MemoryContextDelete(hot.context);
	best = hot.best;

	n = best->bh_size;
	sorted = palloc(sizeof(HotLead *) * (n + 1));
	for (int i = n - 1; i >= 0; i--)
		sorted[i] = (HotLead *) DatumGetPointer(binaryheap_remove_first(best));
	for (int i = 0; i < n; i++)
		put_hot_lead(rsinfo, site->rulebook, sorted[i]);

	return (Datum) 0;
}
