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

#include "executor/executor.h"
#include "utils/memutils.h"

#include "evaluate.h"

typedef struct EvaluationErrorArg
{
	const Rulebook *rulebook;
	int32		rule;			/* rule being evaluated, or -1 */
} EvaluationErrorArg;

static void
evaluation_error_callback(void *arg)
{
	EvaluationErrorArg *error = (EvaluationErrorArg *) arg;

	if (error->rule >= 0)
		errcontext("rule %lld of scoring model \"%s\", factor \"%s\"",
				   (long long) error->rulebook->rules[error->rule].id,
				   error->rulebook->model,
				   error->rulebook->factors[error->rulebook->rules[error->rule].factor].name);
	else
		errcontext("scoring model \"%s\"", error->rulebook->model);
}

static inline double
clamp(double value, double low, double high)
{
	/* where the two cross, the cap wins */
	if (value < low)
		value = low;
	if (value > high)
		value = high;
	return value;
}

/*
 * Add the points of a matching rule to its factor.
 */
static inline void
count_rule(Rulebook *rulebook, int32 number, int *ntouched)
{
	const Rule *rule = &rulebook->rules[number];
	FactorTotal *total = &rulebook->totals[rule->factor];

	if (total->evaluation != rulebook->evaluation)
	{
		total->evaluation = rulebook->evaluation;
		total->points = rule->points;
		total->best_rule = number;
		rulebook->touched[(*ntouched)++] = rule->factor;
	}
	else if (total->best_rule < 0)
	{
		/* first rule of a factor that counts even without one */
		total->points = rule->points;
		total->best_rule = number;
	}
	else if (rulebook->factors[rule->factor].combine == COMBINE_SUM)
		total->points += rule->points;
	else if (rule->points > total->points ||
			 (rule->points == total->points && number < total->best_rule))
	{
		total->points = rule->points;
		total->best_rule = number;
	}
}

static int
compare_spoken(const void *a, const void *b)
{
	return ((const SpokenRule *) a)->rule - ((const SpokenRule *) b)->rule;
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

static void
evaluate_row(Rulebook *rulebook, Evaluation *result, Account *account)
{
	const PostingCell *cells = dispatch_cells(rulebook->dispatch);
	EvaluationErrorArg error = {rulebook, -1};
	ErrorContextCallback callback;
	int			ntouched = rulebook->nforced;
	int			nheads;

	callback.callback = evaluation_error_callback;
	callback.arg = &error;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	result->axis[AXIS_FIT] = 0;
	result->axis[AXIS_ENGAGEMENT] = 0;
	result->disqualified = false;
	rulebook->evaluation++;
	for (int i = 0; i < rulebook->nforced; i++)
	{
		FactorTotal *total = &rulebook->totals[rulebook->touched[i]];

		total->evaluation = rulebook->evaluation;
		total->points = 0;
		total->best_rule = -1;
	}

	nheads = dispatch_lookup(rulebook->dispatch, rulebook->slot,
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
				error.rule = number;
				matches = ExecEvalExpr(rule->residual, rulebook->econtext,
									   &isnull);
				error.rule = -1;
				if (isnull || !DatumGetBool(matches))
					continue;
			}
			if (rule->disqualifies)
				result->disqualified = true;
			count_rule(rulebook, number, &ntouched);
			if (account != NULL)
				account->spoken[account->nspoken++].rule = number;
		}
	}
	error_context_stack = callback.previous;

	for (int i = 0; i < ntouched; i++)
	{
		int32		number = rulebook->touched[i];
		const Factor *factor = &rulebook->factors[number];
		double		points = rulebook->totals[number].points;
		double		clamped = clamp(points, factor->points_floor,
									factor->points_cap);

		note_adjustment(account, clamped < points ? "cap" : "floor",
						number, factor->axis, points, clamped);
		result->axis[factor->axis] += clamped;
	}

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
				spoken->counted = rule->points;
			else
				spoken->counted = 0;
		}
	}

	add_up(rulebook, result, account);
}

/*
 * evaluate
 *		Score the row in the rulebook's slot.
 *
 * If 'account' is given it is filled in, in the current memory context.
 * Errors: whatever a condition raises, with the rule in the context; 55000 if
 * a condition calls a function that scores by the same rulebook.
 */
void
evaluate(Rulebook *rulebook, Evaluation *result, Account *account)
{
	PinnedSettings settings;

	if (account != NULL)
	{
		account->nspoken = 0;
		account->spoken = palloc(sizeof(SpokenRule) * (rulebook->nrules + 1));
		account->nadjustments = 0;
		account->adjustments = palloc(sizeof(Adjustment) *
									  (rulebook->nfactors + NUM_AXES + 1));
	}

	/* the usual case: nothing to set up, nothing to set right */
	if (likely(rulebook->all_direct && account == NULL &&
			   !rulebook->uses_settings && !rulebook->calls_user_code))
	{
		evaluate_directly(rulebook, result);
		return;
	}
	if (likely(!rulebook->uses_settings && !rulebook->calls_user_code))
	{
		evaluate_row(rulebook, result, account);
		return;
	}

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
		evaluate_row(rulebook, result, account);
	}
	PG_FINALLY();
	{
		settings_unpin(&settings);
		rulebook->busy = false;
	}
	PG_END_TRY();
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
 * The best grade whose threshold a value reaches, or the lowest one.
 */
static const char *
find_grade(const GradeList *list, double value)
{
	for (int i = 0; i < list->n; i++)
	{
		if (value + SCORE_EPSILON >= list->grades[i].at_least)
			return list->grades[i].label;
	}
	return list->n > 0 ? list->grades[list->n - 1].label : "";
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
 *		has factors on it.
 */
char *
evaluation_grade(const Rulebook *rulebook, const Evaluation *result)
{
	const char *fit = find_grade(&rulebook->grades[AXIS_FIT],
								 result->axis[AXIS_FIT]);

	if (!rulebook->has_engagement)
		return pstrdup(fit);
	return psprintf("%s%s", fit,
					find_grade(&rulebook->grades[AXIS_ENGAGEMENT],
							   result->axis[AXIS_ENGAGEMENT]));
}
