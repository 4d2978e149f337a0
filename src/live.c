/*-------------------------------------------------------------------------
 *
 * live.c
 *	  What readers of the scored views and state tables get.
 *
 * lead_visible()	may the reader see this lead?  The row security of the
 *					CRM's table decides, if it is on.
 * _live()			the evaluation of a lead as of now, for those whose rules
 *					look at the clock and whose stored values are past their
 *					time.
 *
 * Views and policies name no column of the CRM's table: that would keep it
 * from being altered.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

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
	bool		visible;

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
		state->row_security = state->scorer != NULL &&
			check_enable_rls(state->scorer->target, InvalidOid, true) == RLS_ENABLED;
		MemoryContextSwitchTo(caller);
	}
	if (state->scorer == NULL)
		PG_RETURN_BOOL(false);
	if (!state->row_security)
		PG_RETURN_BOOL(true);

	SPI_connect();
	if (state->plan == NULL)
	{
		Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 1);
		SPIPlanPtr	plan;

		plan = SPI_prepare(psprintf("SELECT FROM %s t WHERE t.%s OPERATOR(pg_catalog.=) $1",
									qualified_relation_name(state->scorer->target),
									quote_identifier(state->scorer->key_column)),
						   1, &type);
		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(plan);
		state->plan = plan;
	}
	if (SPI_execute_plan(state->plan, &key, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up a lead of scoring model \"%s\"", state->model);
	visible = SPI_processed > 0;
	SPI_finish();

	PG_RETURN_BOOL(visible);
}

/*
 * leadscore._live(model text, lead_key anyelement)
 *		Evaluation of a lead as of the start of the statement, read as the
 *		source's owner; for readers of the state table.  NULL if the source
 *		does not show the lead.  Errors: 42501 no SELECT privilege on the state
 *		table.
 */
PG_FUNCTION_INFO_V1(leadscore_live);
Datum
leadscore_live(PG_FUNCTION_ARGS)
{
	char	   *model = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum		key = PG_GETARG_DATUM(1);
	Oid			key_type = get_fn_expr_argtype(fcinfo->flinfo, 1);
	TimestampTz at = GetCurrentStatementStartTimestamp();
	Oid			states;
	Scorer	   *scorer;
	Rulebook   *rulebook;
	Evaluation	result;
	RuleFailure *failures;
	TupleDesc	desc;
	Datum		values[6];
	bool		nulls[6] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);

	states = get_relname_relid(psprintf("%s_state", model),
							   get_namespace_oid(LEADSCORE_SCHEMA, false));
	if (OidIsValid(states) &&
		pg_class_aclcheck(states, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(states));
	scorer = OidIsValid(states) ? scorer_attachment(model) : NULL;
	rulebook = scorer == NULL ? NULL :
		rulebook_acquire(model, GetActiveSnapshot(), true);
	if (rulebook == NULL)
		PG_RETURN_NULL();

	if (source_read(rulebook, scorer->key_column, key_type, key,
					GetActiveSnapshot()) == 0)
	{
		rulebook_release(rulebook);
		PG_RETURN_NULL();
	}
	/* user code can only be kept in check by a subtransaction */
	if (rulebook->runs_queries && IsInParallelMode())
		evaluate(rulebook, &at, &result, NULL);
	else
		(void) evaluate_leniently(rulebook, &at, &result, &failures);
	values[0] = Int32GetDatum(evaluation_score_clamped(rulebook, &result));
	values[1] = CStringGetTextDatum(temperature_label(evaluation_temperature(rulebook, &result)));
	values[2] = PointerGetDatum(evaluation_grade(rulebook, &result));
	values[3] = Float8GetDatum(result.axis[AXIS_FIT]);
	values[4] = Float8GetDatum(result.axis[AXIS_ENGAGEMENT]);
	values[5] = BoolGetDatum(result.disqualified);
	rulebook_release(rulebook);

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
