/*-------------------------------------------------------------------------
 *
 * evaluate.c
 *	  Rulebook x row -> evaluation.
 *
 * The row is in the rulebook's slot.  The dispatch names the candidates, the
 * residuals of those that have one are evaluated, and the points of those that
 * match are added up per factor, per axis and to the score, in the order of
 * clamps that SEMANTICS fixes: factor, axis, score.
 *
 * The cost of an evaluation is that of the columns that the conditions read
 * and of the rules that match, not of the rules there are.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include <math.h>

#include "access/parallel.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "evaluate.h"

typedef struct LenientEvaluation
{
	const TimestampTz *at;
	Evaluation *result;
	Account    *account;		/* or NULL */
	const Bitmapset *failed;	/* rules to be left out */
	bool		no_rules;		/* leave out all of them */
} LenientEvaluation;

typedef struct ChangeSearch
{
	TimestampTz at;
	TimestampTz next;
	int			watch;			/* the one being asked */
} ChangeSearch;

static void
evaluation_error_callback(void *arg)
{
	const Rulebook *rulebook = (const Rulebook *) arg;

	if (rulebook->at_rule >= 0)
		errcontext("rule %lld of scoring model \"%s\", factor \"%s\"",
				   (long long) rulebook->rules[rulebook->at_rule].id,
				   rulebook->model,
				   rulebook->factors[rulebook->rules[rulebook->at_rule].factor].name);
	else
		errcontext("scoring model \"%s\"", rulebook->model);
}

/*
 * Set the clocks that the conditions read: to 'at', or to the session's own.
 */
static void
set_clocks(Rulebook *rulebook, const TimestampTz *at)
{
	rulebook->params[CLOCK_TRANSACTION].value =
		TimestampTzGetDatum(at ? *at : GetCurrentTransactionStartTimestamp());
	rulebook->params[CLOCK_STATEMENT].value =
		TimestampTzGetDatum(at ? *at : GetCurrentStatementStartTimestamp());
}

/*
 * Add points of a matching rule to its factor.
 */
static inline void
count_rule(Rulebook *rulebook, int32 number, double points, int *ntouched)
{
	const Rule *rule = &rulebook->rules[number];
	FactorTotal *total = &rulebook->totals[rule->factor];

	if (total->evaluation != rulebook->evaluation)
	{
		total->evaluation = rulebook->evaluation;
		total->points = points;
		total->best_rule = number;
		rulebook->touched[(*ntouched)++] = rule->factor;
	}
	else if (total->best_rule < 0)
	{
		/* first rule of a factor that counts even without one */
		total->points = points;
		total->best_rule = number;
	}
	else if (rulebook->factors[rule->factor].combine == COMBINE_SUM)
		total->points += points;
	else if (points > total->points ||
			 (points == total->points && number < total->best_rule))
	{
		total->points = points;
		total->best_rule = number;
	}
}

/*
 * Add the points of what the lead did.
 */
static void
count_activities(Rulebook *rulebook, const Activities *did, Evaluation *result,
				 Account *account, int *ntouched)
{
	static const Activities nothing = {NULL, 0, DT_NOEND};
	const Engagement *summary;
	int			next = 0;

	if (did == NULL)
		did = &nothing;
	summary = did->summary;
	for (int i = 0; i < rulebook->nterms; i++)
	{
		const ActivityTerm *term = &rulebook->terms[i];
		const Rule *rule = &rulebook->rules[term->rule];
		const EngagementEntry *entry = NULL;
		TermValue	value;

		if (rule->skipped)
			continue;
		/* both are sorted by rule */
		while (summary != NULL && next < summary->nentries &&
			   summary->entries[next].rule < rule->id)
			next++;
		if (summary != NULL && next < summary->nentries &&
			summary->entries[next].rule == rule->id)
			entry = &summary->entries[next];
		term_value(term, entry, did, &value);
		if (!value.speaks)
			continue;
		if (rule->disqualifies)
			result->disqualified = true;
		count_rule(rulebook, term->rule, rule->points * value.weight, ntouched);
		if (account != NULL)
		{
			SpokenRule *spoken = &account->spoken[account->nspoken++];

			spoken->rule = term->rule;
			spoken->points = rule->points * value.weight;
			spoken->occurrences = value.occurrences;
			spoken->weight = value.weight;
			spoken->last_seen = entry != NULL ? entry->last : DT_NOBEGIN;
		}
	}
}

/*
 * Rules of a factor that counts even without one have no points yet.
 */
static void
start_forced_factors(Rulebook *rulebook)
{
	for (int i = 0; i < rulebook->nforced; i++)
	{
		FactorTotal *total = &rulebook->totals[rulebook->touched[i]];

		total->evaluation = rulebook->evaluation;
		total->points = 0;
		total->best_rule = -1;
	}
}

static int
compare_spoken(const void *a, const void *b)
{
	return ((const SpokenRule *) a)->rule - ((const SpokenRule *) b)->rule;
}

static int
compare_ids(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return (left > right) - (left < right);
}

static void
note_adjustment(Account *account, const char *kind, int32 factor, int axis,
				double before, double after)
{
	Adjustment *adjustment;

	/* less is noise of the sums, which the rounding takes up */
	if (account == NULL || fabs(before - after) <= SCORE_EPSILON)
		return;
	adjustment = &account->adjustments[account->nadjustments++];
	adjustment->kind = kind;
	adjustment->factor = factor;
	adjustment->axis = axis;
	adjustment->counted = after - before;
}

/*
 * Clamp the axes, and add them up to the score.
 */
static inline void
add_up(Rulebook *rulebook, Evaluation *result, Account *account)
{
	double		sum;

	for (int axis = 0; axis < NUM_AXES; axis++)
	{
		double		clamped = clamp(result->axis[axis],
									rulebook->axis_min[axis],
									rulebook->axis_max[axis]);

		note_adjustment(account, "clamp", -1, axis,
						result->axis[axis], clamped);
		result->axis[axis] = clamped;
	}

	sum = result->axis[AXIS_FIT] + result->axis[AXIS_ENGAGEMENT];
	result->raw = clamp(sum, rulebook->score_min, rulebook->score_max);
	note_adjustment(account, "clamp", -1, -1, sum, result->raw);
}

/*
 * The same as evaluate_row, for rulebooks in which the outcome of every chain
 * is known: no rule to be tested, no factor to be added up.
 */
static inline void
evaluate_directly(Rulebook *rulebook, Evaluation *result)
{
	double		fit = 0;
	double		engagement = 0;
	bool		disqualified = false;
	int			nheads;

	nheads = dispatch_lookup(rulebook->dispatch, rulebook->slot,
							 rulebook->econtext, rulebook->heads);
	for (int i = 0; i < nheads; i++)
	{
		const Outcome *outcome = &rulebook->outcomes[rulebook->heads[i]];

		fit += outcome->points[AXIS_FIT];
		engagement += outcome->points[AXIS_ENGAGEMENT];
		disqualified |= outcome->disqualifies;
	}
	result->axis[AXIS_FIT] = fit;
	result->axis[AXIS_ENGAGEMENT] = engagement;
	result->disqualified = disqualified;
	add_up(rulebook, result, NULL);
}

/*
 * find_rule
 *		Number of the rule with an id, or -1.
 */
int32
find_rule(const Rulebook *rulebook, int64 id)
{
	int			low = 0;
	int			high = rulebook->nrules - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (rulebook->rules[middle].id == id)
			return middle;
		if (rulebook->rules[middle].id < id)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return -1;
}

/*
 * evaluate_stored
 *		Score a lead by what is stored of its row, made by this rulebook's
 *		rules, and what it did.
 */
void
evaluate_stored(Rulebook *rulebook, const RowPart *row, const Activities *did,
				Evaluation *result)
{
	int			ntouched = rulebook->nforced;
	double		did_points = 0;

	result->disqualified = false;
	rulebook->evaluation++;
	start_forced_factors(rulebook);
	for (int i = 0; i < row->nkept; i++)
	{
		int32		number = find_rule(rulebook, row->kept[i]);

		if (number < 0 || !rulebook->rules[number].kept)
			continue;
		result->disqualified |= rulebook->rules[number].disqualifies;
		if (rulebook->factors[rulebook->rules[number].factor].has_activities)
			count_rule(rulebook, number, rulebook->rules[number].points, &ntouched);
	}
	count_activities(rulebook, did, result, NULL, &ntouched);
	for (int i = 0; i < ntouched; i++)
	{
		const Factor *factor = &rulebook->factors[rulebook->touched[i]];

		/* those of the others are in what is stored */
		if (factor->has_activities)
			did_points += clamp(rulebook->totals[rulebook->touched[i]].points,
								factor->points_floor, factor->points_cap);
	}
	result->axis[AXIS_FIT] = row->fit;
	result->base = row->base;
	result->axis[AXIS_ENGAGEMENT] = row->base + did_points;
	add_up(rulebook, result, NULL);
}

/*
 * The rules of 'failed' do not match, whatever the row; with 'no_rules' none
 * does.
 */
static void
evaluate_row(Rulebook *rulebook, Evaluation *result, Account *account,
			 const Bitmapset *failed, bool no_rules)
{
	const PostingCell *cells = dispatch_cells(rulebook->dispatch);
	ErrorContextCallback callback;
	int			ntouched = rulebook->nforced;
	int			nheads;
	double		did_points = 0;

	callback.callback = evaluation_error_callback;
	callback.arg = rulebook;
	rulebook->at_rule = -1;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	result->axis[AXIS_FIT] = 0;
	result->axis[AXIS_ENGAGEMENT] = 0;
	result->disqualified = false;
	rulebook->evaluation++;
	rulebook->nkept = 0;
	start_forced_factors(rulebook);

	nheads = no_rules ? 0 :
		dispatch_lookup(rulebook->dispatch, rulebook->slot,
						rulebook->econtext, rulebook->heads);
	for (int i = 0; i < nheads; i++)
	{
		Posting		head = rulebook->heads[i];

		/* who wants an account wants to see each rule */
		if (likely(account == NULL))
		{
			const Outcome *outcome = &rulebook->outcomes[head];

			result->axis[AXIS_FIT] += outcome->points[AXIS_FIT];
			result->axis[AXIS_ENGAGEMENT] += outcome->points[AXIS_ENGAGEMENT];
			result->disqualified |= outcome->disqualifies;
			head = outcome->rest;
		}

		for (Posting posting = head; posting != NO_POSTING;
			 posting = cells[posting].next)
		{
			int32		number = cells[posting].rule;
			const Rule *rule = &rulebook->rules[number];

			/* one that hangs in several places has a residual */
			if (rule->residual != NULL)
			{
				bool		isnull;
				Datum		matches;

				if (rule->several)
				{
					if (rulebook->met[number] == rulebook->evaluation)
						continue;
					rulebook->met[number] = rulebook->evaluation;
				}
				if (unlikely(failed != NULL) && bms_is_member(number, failed))
					continue;
				rulebook->at_rule = number;
				matches = ExecEvalExpr(rule->residual, rulebook->econtext,
									   &isnull);
				rulebook->at_rule = -1;
				if (isnull || !DatumGetBool(matches))
					continue;
			}
			if (rule->disqualifies)
				result->disqualified = true;
			count_rule(rulebook, number, rule->points, &ntouched);
			if (rule->kept)
				rulebook->kept[rulebook->nkept++] = rule->id;
			if (account != NULL)
			{
				SpokenRule *spoken = &account->spoken[account->nspoken++];

				spoken->rule = number;
				spoken->points = rule->points;
				spoken->occurrences = 0;
				spoken->weight = 1;
				spoken->last_seen = DT_NOBEGIN;
			}
		}
	}
	error_context_stack = callback.previous;
	if (rulebook->nterms > 0)
	{
		qsort(rulebook->kept, rulebook->nkept, sizeof(int64), compare_ids);
		count_activities(rulebook, rulebook->did, result, account, &ntouched);
	}

	for (int i = 0; i < ntouched; i++)
	{
		int32		number = rulebook->touched[i];
		const Factor *factor = &rulebook->factors[number];
		double		points = rulebook->totals[number].points;
		double		clamped = clamp(points, factor->points_floor,
									factor->points_cap);

		note_adjustment(account, clamped < points ? "cap" : "floor",
						number, factor->axis, points, clamped);
		if (factor->has_activities)
			did_points += clamped;
		else
			result->axis[factor->axis] += clamped;
	}
	result->base = result->axis[AXIS_ENGAGEMENT];
	result->axis[AXIS_ENGAGEMENT] += did_points;

	if (account != NULL)
	{
		qsort(account->spoken, account->nspoken, sizeof(SpokenRule),
			  compare_spoken);
		for (int i = 0; i < account->nspoken; i++)
		{
			SpokenRule *spoken = &account->spoken[i];
			const Rule *rule = &rulebook->rules[spoken->rule];

			if (rulebook->factors[rule->factor].combine == COMBINE_SUM ||
				rulebook->totals[rule->factor].best_rule == spoken->rule)
				spoken->counted = spoken->points;
			else
				spoken->counted = 0;
		}
	}

	add_up(rulebook, result, account);
}

/*
 * Evaluate under the model's own settings and clock.
 */
static void
evaluate_pinned(Rulebook *rulebook, const TimestampTz *at, Evaluation *result,
				Account *account, const Bitmapset *failed, bool no_rules)
{
	PinnedSettings settings;

	if (rulebook->busy)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("conditions of scoring model \"%s\" depend on its own score",
						rulebook->model),
				 errhint("Remove the function that calls it from leadscore.allowed_function.")));
	rulebook->busy = true;
	settings_pin(rulebook->time_zone, &settings);
	PG_TRY();
	{
		if (rulebook->uses_clock)
			set_clocks(rulebook, at);
		evaluate_row(rulebook, result, account, failed, no_rules);
	}
	PG_FINALLY();
	{
		settings_unpin(&settings);
		rulebook->busy = false;
	}
	PG_END_TRY();
}

static void
start_account(const Rulebook *rulebook, Account *account)
{
	account->nspoken = 0;
	account->spoken = palloc(sizeof(SpokenRule) * (rulebook->nrules + 1));
	account->nadjustments = 0;
	account->adjustments = palloc(sizeof(Adjustment) *
								  (rulebook->nfactors + NUM_AXES + 1));
}

/*
 * evaluate
 *		Score the row in the rulebook's slot.
 *
 * 'at' is what the conditions take for the current time; NULL means the
 * session's own clocks.  If 'account' is given it is filled in, in the current
 * memory context.  Errors: whatever a condition raises, with the rule in the
 * context; 55000 if a condition calls a function that scores by the same
 * rulebook.
 */
void
evaluate(Rulebook *rulebook, const TimestampTz *at, Evaluation *result,
		 Account *account)
{
	if (account != NULL)
		start_account(rulebook, account);

	/* the usual case: nothing to set up, nothing to set right */
	if (likely(rulebook->all_direct && account == NULL &&
			   !rulebook->uses_settings && !rulebook->calls_user_code))
		evaluate_directly(rulebook, result);
	else if (likely(!rulebook->uses_settings && !rulebook->calls_user_code))
		evaluate_row(rulebook, result, account, NULL, false);
	else
		evaluate_pinned(rulebook, at, result, account, NULL, false);
}


/* --------------------------------------------------------------------
 * Whose fault is it?
 * --------------------------------------------------------------------
 */

/*
 * Does an error say something of a condition and the row it met, rather than
 * of the server, a lock or somebody who wants an end of it?
 */
static bool
rule_is_to_blame(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_TO_CATEGORY(ERRCODE_FEATURE_NOT_SUPPORTED):
		case ERRCODE_TO_CATEGORY(ERRCODE_CASE_NOT_FOUND):
		case ERRCODE_TO_CATEGORY(ERRCODE_CARDINALITY_VIOLATION):
		case ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION):
		case ERRCODE_TO_CATEGORY(ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION):
		case ERRCODE_TO_CATEGORY(ERRCODE_SQL_ROUTINE_EXCEPTION):
		case ERRCODE_TO_CATEGORY(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION):
		case ERRCODE_TO_CATEGORY(ERRCODE_EXTERNAL_ROUTINE_INVOCATION_EXCEPTION):
		case ERRCODE_TO_CATEGORY(ERRCODE_INVALID_SCHEMA_NAME):
		case ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR):
		case ERRCODE_TO_CATEGORY(ERRCODE_PROGRAM_LIMIT_EXCEEDED):
		case ERRCODE_TO_CATEGORY(ERRCODE_PLPGSQL_ERROR):
			return true;
		default:
			return sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	}
}

/*
 * run_guarded
 *		Do some work on a rulebook; if that ends in an error that is a condition's
 * fault, fill in 'failure', in the current memory context, and return false.
 * Other errors are thrown.
 *
 * Where only the server's own code runs it is enough to release what that code
 * held, so a resource owner of our own does; a subtransaction would cost many
 * times what the work does, and a transaction number of its own if anything is
 * written after it.  The owner is kept from one time to the next, without a
 * parent, and is empty then.
 *
 * Parallel workers cannot start subtransactions: there all errors are thrown,
 * if the conditions run queries.
 */
bool
run_guarded(Rulebook *rulebook, GuardedWork work, void *arg,
			bool subtransaction, RuleFailure *failure)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner caller_owner = CurrentResourceOwner;
	volatile int32 outer_rule = rulebook->busy ? rulebook->at_rule : -1;
	volatile bool succeeded = true;

	if (subtransaction && IsInParallelMode())
	{
		work(rulebook, arg);
		return true;
	}

	if (subtransaction)
	{
		BeginInternalSubTransaction(NULL);
		MemoryContextSwitchTo(caller);
	}
	else
	{
		if (rulebook->guard == NULL)
			rulebook->guard = ResourceOwnerCreate(NULL, "leadscore rule");
		ResourceOwnerNewParent(rulebook->guard, caller_owner);
		CurrentResourceOwner = rulebook->guard;
	}
	rulebook->at_rule = -1;

	PG_TRY();
	{
		work(rulebook, arg);
		if (subtransaction)
			ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ResourceOwner guard = rulebook->guard;
		ErrorData  *error;

		/* one that was used is not used again */
		if (!subtransaction)
			rulebook->guard = NULL;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		if (!rule_is_to_blame(error->sqlerrcode))
		{
			/* what it holds will be released with its parent */
			if (!subtransaction)
				CurrentResourceOwner = caller_owner;
			PG_RE_THROW();
		}
		FlushErrorState();
		if (subtransaction)
			RollbackAndReleaseCurrentSubTransaction();
		else
			leadscore_release_owner(guard, false);
		MemoryContextSwitchTo(caller);

		failure->rule = rulebook->at_rule;
		failure->sqlerrcode = error->sqlerrcode;
		failure->message = pstrdup(error->message ? error->message : "");
		FreeErrorData(error);
		succeeded = false;
	}
	PG_END_TRY();

	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = caller_owner;
	rulebook->at_rule = outer_rule;
	if (!subtransaction && succeeded)
		ResourceOwnerNewParent(rulebook->guard, NULL);
	return succeeded;
}

static void
evaluate_for_guard(Rulebook *rulebook, void *arg)
{
	LenientEvaluation *lenient = (LenientEvaluation *) arg;

	if (lenient->account != NULL)
		start_account(rulebook, lenient->account);
	if (rulebook->uses_settings || rulebook->calls_user_code)
		evaluate_pinned(rulebook, lenient->at, lenient->result, lenient->account,
						lenient->failed, lenient->no_rules);
	else
		evaluate_row(rulebook, lenient->result, lenient->account,
					 lenient->failed, lenient->no_rules);
}

/*
 * evaluate_leniently
 *		Score the row in the rulebook's slot; a condition that ends in an error
 *		does not match.
 *
 * Returns how many did, and in 'failures' which; that and the messages are
 * allocated in the current memory context, as is whatever the conditions leave
 * behind, so that it should be one that is reset for each row.  If an error is
 * no rule's in particular, no rule matches.  Errors that are not the fault of a
 * condition are thrown: cancelled queries, lack of memory, failures of the
 * server.  'account' is as of evaluate().
 */
int
evaluate_leniently(Rulebook *rulebook, const TimestampTz *at,
				   Evaluation *result, Account *account, RuleFailure **failures)
{
	LenientEvaluation lenient = {at, result, account, NULL, false};
	Bitmapset  *failed = NULL;
	RuleFailure failure;
	int			nfailures = 0;

	*failures = NULL;
	if (!rulebook->can_fail)
	{
		evaluate(rulebook, at, result, account);
		return 0;
	}

	/* each round leaves out one rule more */
	while (!run_guarded(rulebook, evaluate_for_guard, &lenient,
						rulebook->runs_queries, &failure))
	{
		if (nfailures == 0)
			*failures = palloc(sizeof(RuleFailure));
		else
			*failures = repalloc(*failures,
								 sizeof(RuleFailure) * (nfailures + 1));
		(*failures)[nfailures++] = failure;
		if (lenient.no_rules)
			ereport(ERROR,
					(errcode(failure.sqlerrcode),
					 errmsg("%s", failure.message)));
		if (failure.rule < 0)
			lenient.no_rules = true;
		else
			lenient.failed = failed = bms_add_member(failed, failure.rule);
	}
	bms_free(failed);
	return nfailures;
}

/* Reading an expression of the model that is no rule. */
typedef struct ModelReading
{
	const TimestampTz *at;
	ExprState  *expression;
	Datum		value;
	bool		isnull;
} ModelReading;

static void
read_expression(Rulebook *rulebook, void *arg)
{
	ModelReading *reading = (ModelReading *) arg;
	PinnedSettings settings;
	bool		was_busy = rulebook->busy;

	/* a function that scores by this rulebook would change the row */
	rulebook->busy = true;
	settings_pin(rulebook->time_zone, &settings);
	PG_TRY();
	{
		set_clocks(rulebook, reading->at);
		reading->value = ExecEvalExpr(reading->expression, rulebook->econtext,
									  &reading->isnull);
	}
	PG_FINALLY();
	{
		settings_unpin(&settings);
		rulebook->busy = was_busy;
	}
	PG_END_TRY();
}

/*
 * evaluate_expression
 *		What an expression of the model says of the row in the rulebook's slot,
 *		as of 'at' or the session's own clocks.  False if it ended in an error;
 *		what evaluate_leniently says of errors holds here as well.
 */
bool
evaluate_expression(Rulebook *rulebook, ExprState *expression,
					const TimestampTz *at, bool runs_queries, Datum *value,
					bool *isnull, RuleFailure *failure)
{
	ModelReading reading = {at, expression, (Datum) 0, true};

	if (!run_guarded(rulebook, read_expression, &reading, runs_queries, failure))
		return false;
	*value = reading.value;
	*isnull = reading.isnull;
	return true;
}

/*
 * rulebook_channel
 *		The channel of the row in the rulebook's slot, which must have the
 *		capture_columns.
 *
 * NULL if the model has no channel, or the row has none.  False if the
 * expression ended in an error; what evaluate_leniently says of errors holds
 * here as well.
 */
bool
rulebook_channel(Rulebook *rulebook, const TimestampTz *at, char **channel,
				 RuleFailure *failure)
{
	Datum		value;
	bool		isnull;

	*channel = NULL;
	if (rulebook->channel == NULL)
		return true;
	if (!evaluate_expression(rulebook, rulebook->channel, at, rulebook->channel_runs_queries,
							 &value, &isnull, failure))
		return false;
	if (!isnull)
		*channel = TextDatumGetCString(value);
	return true;
}

/*
 * rulebook_created_at
 *		When the lead in the rulebook's slot arose; DT_NOEND if that is not
 *		known.  False if the expression ended in an error; what
 *		evaluate_leniently says of errors holds here as well.
 */
bool
rulebook_created_at(Rulebook *rulebook, TimestampTz *created_at,
					RuleFailure *failure)
{
	Datum		value;
	bool		isnull;

	*created_at = DT_NOEND;
	if (rulebook->created_at == NULL)
		return true;
	if (!evaluate_expression(rulebook, rulebook->created_at, NULL, rulebook->created_at_runs_queries,
							 &value, &isnull, failure))
		return false;
	if (!isnull && !TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)))
		*created_at = DatumGetTimestampTz(value);
	return true;
}

/*
 * rulebook_consent
 *		Does the lead in the rulebook's slot consent to be contacted?  It does
 *		if the model does not ask, and does not if the answer is unknown, as that
 *		of an expression that lost its column.  False if the expression ended in
 *		an error.
 */
bool
rulebook_consent(Rulebook *rulebook, const TimestampTz *at, bool *consent,
				 RuleFailure *failure)
{
	Datum		value;
	bool		isnull;

	*consent = rulebook->consent == NULL && !rulebook->consent_unknown;
	if (rulebook->consent == NULL)
		return true;
	if (!evaluate_expression(rulebook, rulebook->consent, at, rulebook->consent_runs_queries,
							 &value, &isnull, failure))
		return false;
	*consent = !isnull && DatumGetBool(value);
	return true;
}

static void
search_change(Rulebook *rulebook, void *arg)
{
	ChangeSearch *search = (ChangeSearch *) arg;
	PinnedSettings settings;
	bool		was_busy = rulebook->busy;

	/* a function that scores by this rulebook would change the row */
	rulebook->busy = true;
	settings_pin(rulebook->time_zone, &settings);
	PG_TRY();
	{
		for (; search->watch < rulebook->nwatches; search->watch++)
		{
			const ClockWatch *watch = &rulebook->watches[search->watch];
			Datum		moment;
			bool		isnull;
			TimestampTz next;

			moment = ExecEvalExpr(watch->moment, rulebook->econtext, &isnull);
			if (isnull)
				continue;
			next = clock_next_change(&watch->comparison,
									 DatumGetTimestampTz(moment),
									 rulebook->time_zone, search->at);
			search->next = Min(search->next, next);
		}
	}
	PG_FINALLY();
	{
		settings_unpin(&settings);
		rulebook->busy = was_busy;
	}
	PG_END_TRY();
}

/*
 * rulebook_next_change
 *		The first moment after 'at' at which the clock alone changes what a
 *		comparison says of the row in the rulebook's slot; DT_NOEND if it never
 *		will.
 *
 * The slot must have the capture_columns.  The score need not change then, but
 * it does not change before; provided that no rule has a ClockProblem.
 * Leaves garbage in the current memory context.
 */
TimestampTz
rulebook_next_change(Rulebook *rulebook, TimestampTz at)
{
	ChangeSearch search = {at, DT_NOEND, 0};
	RuleFailure failure;

	if (rulebook->nwatches == 0)
		return DT_NOEND;

	/* a moment that cannot be computed now cannot be computed later either */
	while (!run_guarded(rulebook, search_change, &search,
						rulebook->runs_queries || rulebook->channel_runs_queries,
						&failure))
		search.watch++;
	return search.next;
}


/* --------------------------------------------------------------------
 * From numbers to words
 * --------------------------------------------------------------------
 */

/*
 * points_to_integer
 *		floor(points + 1e-9), as SEMANTICS defines scores.
 *
 * Errors: 22003 if the result is no integer.
 */
int32
points_to_integer(const Rulebook *rulebook, double points)
{
	double		raised = points + SCORE_EPSILON;
	int32		rounded;

	if (unlikely(!(raised >= PG_INT32_MIN && raised < -(double) PG_INT32_MIN)))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("score of model \"%s\" is out of range for type integer",
						rulebook->model),
				 errhint("Lower the points of its rules, or set score_min and score_max.")));
	/* the conversion rounds towards zero; floor() would be a call */
	rounded = (int32) raised;
	return rounded > raised ? rounded - 1 : rounded;
}

int32
evaluation_score(const Rulebook *rulebook, const Evaluation *result)
{
	return points_to_integer(rulebook, result->raw);
}

/*
 * evaluation_score_clamped
 *		The same for callers that must not fail: a score that is no integer is
 *		the nearest one.
 */
int32
evaluation_score_clamped(const Rulebook *rulebook, const Evaluation *result)
{
	if (isnan(result->raw))
		return 0;
	if (result->raw + SCORE_EPSILON < PG_INT32_MIN)
		return PG_INT32_MIN;
	if (result->raw + SCORE_EPSILON >= -(double) PG_INT32_MIN)
		return PG_INT32_MAX;
	return evaluation_score(rulebook, result);
}

/*
 * The best grade whose threshold a value reaches, or the lowest one.
 */
static int
find_grade(const GradeList *list, double value)
{
	for (int i = 0; i < list->n; i++)
	{
		if (value + SCORE_EPSILON >= list->grades[i].at_least)
			return i;
	}
	return Max(list->n - 1, 0);
}

/*
 * evaluation_temperature
 *		Cold, warm or hot: by the score, but cold if disqualified.
 */
Temperature
evaluation_temperature(const Rulebook *rulebook, const Evaluation *result)
{
	double		score = floor(result->raw + SCORE_EPSILON);

	if (result->disqualified)
		return TEMPERATURE_COLD;
	for (int i = 0; i < rulebook->temperatures.n; i++)
	{
		const Grade *grade = &rulebook->temperatures.grades[i];

		if (score < grade->at_least)
			continue;
		return strcmp(grade->label, "hot") == 0 ? TEMPERATURE_HOT :
			strcmp(grade->label, "warm") == 0 ? TEMPERATURE_WARM :
			TEMPERATURE_COLD;
	}
	return TEMPERATURE_COLD;
}

/*
 * evaluation_grade
 *		Letter of the fit axis, and digit of the engagement axis if the model
 *		has factors on it.  The text is the rulebook's.
 */
text *
evaluation_grade(Rulebook *rulebook, const Evaluation *result)
{
	int			fit = find_grade(&rulebook->grades[AXIS_FIT],
								 result->axis[AXIS_FIT]);
	int			engagement = rulebook->has_engagement ?
		find_grade(&rulebook->grades[AXIS_ENGAGEMENT],
				   result->axis[AXIS_ENGAGEMENT]) : 0;

	return rulebook->grade_texts[fit * Max(rulebook->grades[AXIS_ENGAGEMENT].n, 1) + engagement];
}
