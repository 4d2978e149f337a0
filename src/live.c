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

#include "problem.h"
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
 * Look a lead up in its table, as the current user.
 */
static bool
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
 * Does row security of the leads' table apply to the current user?
 */
static bool
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

/* A lead to be evaluated as of now. */
typedef struct LiveLead
{
	Scorer	   *scorer;
	Oid			key_type;
	Datum		key;
	bool		found;
	Evaluation	result;
} LiveLead;

static void
evaluate_live(void *arg)
{
	LiveLead   *lead = (LiveLead *) arg;
	Rulebook   *rulebook = lead->scorer->rulebook;
	TimestampTz at = GetCurrentStatementStartTimestamp();
	RuleFailure *failures;

	if (source_read(rulebook, lead->scorer->key_column, lead->key_type,
					lead->key, GetActiveSnapshot()) == 0)
		return;
	/* user code can only be kept in check by a subtransaction */
	if (rulebook->runs_queries && IsInParallelMode())
		evaluate(rulebook, &at, &lead->result, NULL);
	else
		(void) evaluate_leniently(rulebook, &at, &lead->result, &failures);
	lead->found = true;
}

/*
 * leadscore._live(model text, lead_key anyelement)
 *		Evaluation of a lead as of the start of the statement, read as the
 *		source's owner; for readers of the state table.  NULL if the source
 *		does not show the lead or cannot be read, or if the reader may not see
 *		it.  Errors: 42501 no SELECT privilege on the state table, 42804 the key
 *		is of another type.
 */
PG_FUNCTION_INFO_V1(leadscore_live);
Datum
leadscore_live(PG_FUNCTION_ARGS)
{
	char	   *model = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum		key = PG_GETARG_DATUM(1);
	Oid			key_type = get_fn_expr_argtype(fcinfo->flinfo, 1);
	SPIPlanPtr	plan = NULL;
	bool		visible = true;
	Oid			states;
	Scorer	   *scorer;
	LiveLead	lead = {0};
	TupleDesc	desc;
	Datum		values[6];
	bool		nulls[6] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);

	states = get_relname_relid(psprintf("%s_state", model),
							   get_namespace_oid(LEADSCORE_SCHEMA, false));
	if (!OidIsValid(states))
		PG_RETURN_NULL();
	if (pg_class_aclcheck(states, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(states));

	/* another type could bring casts along, to be run as the owner */
	if (key_type != get_atttype(states, get_attnum(states, "lead_key")))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("key of a lead of scoring model \"%s\" has another type than %s",
						model, format_type_be(key_type))));

	scorer = scorer_attachment(model);
	if (scorer == NULL || !scorer_load_rules(scorer, GetActiveSnapshot()))
		PG_RETURN_NULL();
	if (row_security_applies(scorer))
	{
		visible = probe_lead(scorer, &plan, key_type, key);
		SPI_freeplan(plan);
	}
	if (!visible)
		PG_RETURN_NULL();

	/* one lead that cannot be read is no error for the reader of them all */
	lead.scorer = scorer;
	lead.key_type = key_type;
	lead.key = key;
	if (IsInParallelMode())
		evaluate_live(&lead);
	else if (catch_error(evaluate_live, &lead) != NULL)
		PG_RETURN_NULL();
	if (!lead.found)
		PG_RETURN_NULL();

	values[0] = Int32GetDatum(evaluation_score_clamped(scorer->rulebook, &lead.result));
	values[1] = CStringGetTextDatum(temperature_label(evaluation_temperature(scorer->rulebook, &lead.result)));
	values[2] = PointerGetDatum(evaluation_grade(scorer->rulebook, &lead.result));
	values[3] = Float8GetDatum(lead.result.axis[AXIS_FIT]);
	values[4] = Float8GetDatum(lead.result.axis[AXIS_ENGAGEMENT]);
	values[5] = BoolGetDatum(lead.result.disqualified);

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
