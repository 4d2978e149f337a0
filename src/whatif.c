/*-------------------------------------------------------------------------
 *
 * whatif.c
 *	  What a model would say of a lead whose state is another model's.
 *
 * compare() asks it of a draft, for leads of the model that the draft is to
 * replace.  The answer is what a rescore by the draft would store, down to the
 * stage that automatic transitions would lead to; nothing is stored.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "evaluate.h"
#include "recall.h"
#include "score.h"
#include "scorer.h"
#include "stage.h"

/* Arguments of what_if(); the lead's stage and what goes with it may be NULL. */
#define ARG_LEAD			1
#define ARG_STAGE			2
#define ARG_STAGE_SINCE		3
#define ARG_STATUS			4
#define ARG_REARMED			5
#define ARG_PINNED_UNTIL	6

#define WHAT_IF_NATTS		8

/* What a call site keeps from row to row. */
typedef struct WhatIf
{
	TupleDesc	row_desc;		/* of the source */
	Datum	   *values;
	bool	   *nulls;
	TupleDesc	result_desc;
} WhatIf;

static WhatIf *
prepare(FunctionCallInfo fcinfo, CallSite *site)
{
	WhatIf	   *what_if = (WhatIf *) site->extra;
	Rulebook   *rulebook = site->rulebook;
	MemoryContext caller;
	TupleDesc	desc;

	if (!site->fresh && what_if != NULL)
		return what_if;
	caller = MemoryContextSwitchTo(site->context);
	what_if = palloc0(sizeof(WhatIf));
	what_if->row_desc = CreateTupleDescCopy(rulebook->tupdesc);
	what_if->values = palloc(sizeof(Datum) * rulebook->tupdesc->natts);
	what_if->nulls = palloc(sizeof(bool) * rulebook->tupdesc->natts);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	what_if->result_desc = BlessTupleDesc(CreateTupleDescCopy(desc));
	site->extra = what_if;
	MemoryContextSwitchTo(caller);

	return what_if;
}

/*
 * Get the lead into the rulebook's slot, with all that its conditions on moves
 * read as well.
 */
static void
load_lead(FunctionCallInfo fcinfo, WhatIf *what_if, Rulebook *rulebook)
{
	HeapTupleHeader header = PG_GETARG_HEAPTUPLEHEADER(ARG_LEAD);
	HeapTupleData tuple;

	if (HeapTupleHeaderGetTypeId(header) != rulebook->rowtype)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("record is not a row of the source of scoring model \"%s\"",
						rulebook->model)));
	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, what_if->row_desc, what_if->values, what_if->nulls);
	for (int i = 0; i < rulebook->ncapture_columns; i++)
	{
		int			column = rulebook->capture_columns[i] - 1;

		rulebook->slot->tts_values[column] = what_if->values[column];
		rulebook->slot->tts_isnull[column] = what_if->nulls[column];
	}
}

/*
 * Evaluate the lead in the slot; the message of what failed, or NULL.
 */
static char *
evaluate_lead(CallSite *site, TimestampTz at, Activities *did, Evaluation *result)
{
	Rulebook   *rulebook = site->rulebook;
	RuleFailure failure;
	RuleFailure *failures;
	char	   *volatile problem = NULL;
	volatile int nfailures = 0;

	did->at = at;
	did->created_at = DT_NOEND;
	did->summary = NULL;
	if (rulebook->needs_created_at &&
		!rulebook_created_at(rulebook, &did->created_at, &failure))
		problem = failure.message;
	if (rulebook->nterms > 0)
	{
		did->summary = recall_lead(site->recall, rulebook, at, GetActiveSnapshot());
		rulebook->did = did;
	}
	PG_TRY();
	{
		nfailures = evaluate_leniently(rulebook, NULL, result, NULL, &failures);
	}
	PG_FINALLY();
	{
		rulebook->did = NULL;
	}
	PG_END_TRY();

	return nfailures > 0 ? failures[0].message : problem;
}

static const char *
nobodys_key(void *arg)
{
	return "?";
}

static bool
load_nothing(void *arg)
{
	return false;
}

/*
 * Where would a rescore that moves stages leave the lead?
 */
static LeadStage
settle(FunctionCallInfo fcinfo, Rulebook *rulebook, TimestampTz at, const Activities *did,
	   const Evaluation *result, char **problem)
{
	Staging		staging = {0};
	StateRow	old;
	StateRow	row;
	RuleFailure failure;
	bool		failed;

	memset(&old, 0, sizeof(old));
	memset(old.isnull, true, sizeof(old.isnull));
	set_value(&old, STATE_LEAD_EXISTS, BoolGetDatum(true));
	set_value(&old, STATE_SCORED_AT, TimestampTzGetDatum(at));
	set_value(&old, STATE_SCORE, Int32GetDatum(evaluation_score_clamped(rulebook, result)));
	set_value(&old, STATE_FIT, Float8GetDatum(result->axis[AXIS_FIT]));
	set_value(&old, STATE_ENGAGEMENT_POINTS, Float8GetDatum(result->axis[AXIS_ENGAGEMENT]));
	set_value(&old, STATE_TEMPERATURE,
			  CStringGetTextDatum(temperature_label(evaluation_temperature(rulebook, result))));
	set_value(&old, STATE_ANNOUNCED, old.values[STATE_TEMPERATURE]);
	set_value(&old, STATE_GRADE, PointerGetDatum(evaluation_grade(rulebook, result)));
	set_value(&old, STATE_DISQUALIFIED, BoolGetDatum(result->disqualified));
	set_value(&old, STATE_STAGE_SETTLED, BoolGetDatum(false));
	set_value(&old, STATE_STAGE_SINCE,
			  PG_ARGISNULL(ARG_STAGE_SINCE) ? TimestampTzGetDatum(at) : PG_GETARG_DATUM(ARG_STAGE_SINCE));
	set_value(&old, STATE_REARMED,
			  PG_ARGISNULL(ARG_REARMED) ? Int32GetDatum(0) : PG_GETARG_DATUM(ARG_REARMED));
	if (!PG_ARGISNULL(ARG_PINNED_UNTIL))
		set_value(&old, STATE_PINNED_UNTIL, PG_GETARG_DATUM(ARG_PINNED_UNTIL));
	if (!PG_ARGISNULL(ARG_STATUS))
		set_value(&old, STATE_STATUS, PG_GETARG_DATUM(ARG_STATUS));

	row = old;
	row.isnull[STATE_STATUS] = true;
	stage_evaluate_status(rulebook, &row, &failure, &failed);
	if (failed)
		*problem = failure.message;
	/* a status that was evaluated has set the stage that a new lead starts in */
	set_value(&old, STATE_STAGE, PG_GETARG_DATUM(ARG_STAGE));
	set_value(&row, STATE_STAGE, PG_GETARG_DATUM(ARG_STAGE));

	staging.rulebook = rulebook;
	staging.model = rulebook->model;
	staging.key_text = nobodys_key;
	staging.load = load_nothing;
	staging.loaded = true;
	staging.may_move = true;
	staging.cause = CAUSE_RULES;
	staging.last_seen = did->summary == NULL ? DT_NOBEGIN : engagement_last(did->summary);
	stage_settle(&staging, &old, &row);
	if (staging.failed != NULL)
		*problem = pstrdup(staging.failed);

	return DatumGetLeadStage(row.values[STATE_STAGE]);
}

/*
 * leadscore._what_if(model text, lead record, stage lead_stage, stage_since
 * timestamptz, status text, rearmed integer, pinned_until timestamptz)
 *		All that the model would store of a lead, and what failed.  The lead is
 *		a row of the model's source; without a stage none is worked out.
 *		Errors: 42704 unknown model, 42804 another record.
 */
PG_FUNCTION_INFO_V1(leadscore_what_if);
Datum
leadscore_what_if(PG_FUNCTION_ARGS)
{
	TimestampTz at = GetCurrentStatementStartTimestamp();
	CallSite   *site;
	WhatIf	   *what_if;
	Rulebook   *rulebook;
	Activities	did;
	Evaluation	result;
	char	   *problem;
	Datum		values[WHAT_IF_NATTS];
	bool		nulls[WHAT_IF_NATTS] = {false};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(ARG_LEAD))
		PG_RETURN_NULL();
	site = call_site(fcinfo);
	rulebook = site->rulebook;
	what_if = prepare(fcinfo, site);
	load_lead(fcinfo, what_if, rulebook);
	problem = evaluate_lead(site, at, &did, &result);

	values[0] = Int32GetDatum(evaluation_score_clamped(rulebook, &result));
	values[1] = CStringGetTextDatum(temperature_label(evaluation_temperature(rulebook, &result)));
	values[2] = PointerGetDatum(evaluation_grade(rulebook, &result));
	values[3] = Float8GetDatum(result.axis[AXIS_FIT]);
	values[4] = Float8GetDatum(result.axis[AXIS_ENGAGEMENT]);
	values[5] = BoolGetDatum(result.disqualified);
	nulls[6] = PG_ARGISNULL(ARG_STAGE);
	if (!nulls[6])
		values[6] = LeadStageGetDatum(settle(fcinfo, rulebook, at, &did, &result, &problem));
	nulls[7] = problem == NULL;
	if (!nulls[7])
		values[7] = CStringGetTextDatum(problem);

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(what_if->result_desc, values, nulls)));
}
