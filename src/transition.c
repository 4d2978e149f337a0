/*-------------------------------------------------------------------------
 *
 * transition.c
 *	  Which moves a model's leads may make between stages, and when.
 *
 * A condition on a move reads the lead's row, which changes when somebody writes
 * it, and values of the score, which time alone may change.  For the moment at
 * which it turns to be known in advance, those that fade may only be compared
 * with constants: then all that matters is which constants the score has
 * reached.  The moments at which it reaches them are crossings like those of
 * temperature and grade.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include <math.h>

#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "transition.h"


/* --------------------------------------------------------------------
 * Levels
 * --------------------------------------------------------------------
 */

/*
 * levels_add
 *		Add a level, once, in the current memory context.
 */
void
levels_add(Levels *levels, double level)
{
	if (isnan(level) || isinf(level))
		return;
	for (int i = 0; i < levels->n; i++)
	{
		if (levels->levels[i] == level)
			return;
	}
	levels->levels = levels->levels == NULL ? palloc(sizeof(double)) :
		repalloc(levels->levels, sizeof(double) * (levels->n + 1));
	levels->levels[levels->n++] = level;
}

/*
 * levels_reached
 *		How many times a value reaches a level, or goes beyond it: a number that
 *		grows with the value.
 */
int
levels_reached(const Levels *levels, double value, double epsilon)
{
	int			n = 0;

	for (int i = 0; i < levels->n; i++)
		n += (value + epsilon >= levels->levels[i]) + (value + epsilon > levels->levels[i]);
	return n;
}

static bool
is_scored(Node *node, ScoredValue value)
{
	return IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC &&
		((Param *) node)->paramid == NUM_CLOCKS + (int) value;
}

/*
 * A value of the score that fades, perhaps cast to a wider type of number: one
 * that rounds would turn elsewhere.
 */
static bool
is_fading(Node *node, ScoredValue *value)
{
	while (node != NULL && (IsA(node, RelabelType) ||
							(IsA(node, FuncExpr) &&
							 list_length(((FuncExpr *) node)->args) == 1 &&
							 ((FuncExpr *) node)->funcformat != COERCE_EXPLICIT_CALL &&
							 ((exprType(node) == INT8OID &&
							   exprType(linitial(((FuncExpr *) node)->args)) == INT4OID) ||
							  exprType(node) == FLOAT8OID || exprType(node) == NUMERICOID))))
		node = IsA(node, RelabelType) ? (Node *) ((RelabelType *) node)->arg :
			(Node *) linitial(((FuncExpr *) node)->args);
	if (node == NULL)
		return false;
	*value = is_scored(node, SCORED_SCORE) ? SCORED_SCORE : SCORED_ENGAGEMENT;
	return is_scored(node, *value);
}

/*
 * A constant as a number; false if it is none.
 */
static bool
number_of(Oid type, Datum value, double *number)
{
	switch (type)
	{
		case INT2OID:
			*number = DatumGetInt16(value);
			return true;
		case INT4OID:
			*number = DatumGetInt32(value);
			return true;
		case INT8OID:
			*number = (double) DatumGetInt64(value);
			return true;
		case FLOAT4OID:
			*number = DatumGetFloat4(value);
			return true;
		case FLOAT8OID:
			*number = DatumGetFloat8(value);
			return true;
		case NUMERICOID:
			*number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
			return true;
		default:
			return false;
	}
}

/*
 * A value is compared with a number.  A score is an integer: what is said of it
 * may turn as it reaches the number, or the next integer.
 */
static void
add_level(Funnel *funnel, ScoredValue value, double number)
{
	if (value == SCORED_ENGAGEMENT)
		levels_add(&funnel->engagement_levels, number);
	else
	{
		levels_add(&funnel->score_levels, ceil(number));
		levels_add(&funnel->score_levels, floor(number) + 1);
	}
}

static bool
add_constant(Funnel *funnel, ScoredValue value, Node *other)
{
	Const	   *constant = (Const *) other;
	double		number;

	if (!IsA(other, Const))
		return false;
	if (constant->constisnull)
		return true;
	if (number_of(constant->consttype, constant->constvalue, &number))
	{
		add_level(funnel, value, number);
		return true;
	}
	if (OidIsValid(get_element_type(constant->consttype)))
	{
		Oid			type = get_element_type(constant->consttype);
		int16		length;
		bool		by_value;
		char		align;
		Datum	   *values;
		bool	   *nulls;
		int			n;

		get_typlenbyvalalign(type, &length, &by_value, &align);
		deconstruct_array(DatumGetArrayTypeP(constant->constvalue), type, length,
						  by_value, align, &values, &nulls, &n);
		for (int i = 0; i < n; i++)
		{
			if (nulls[i])
				continue;
			if (!number_of(type, values[i], &number))
				return false;
			add_level(funnel, value, number);
		}
		return true;
	}
	return false;
}

/*
 * Does an operator compare two numbers, by size or for being equal?
 */
static bool
is_comparison(Oid operator)
{
	return get_op_index_interpretation(operator) != NIL;
}

static bool
level_walker(Node *node, void *context)
{
	Funnel	   *funnel = (Funnel *) context;
	List	   *args = NIL;
	ScoredValue value;

	if (node == NULL)
		return false;
	if (IsA(node, OpExpr) || IsA(node, DistinctExpr))
		args = ((OpExpr *) node)->args;
	else if (IsA(node, ScalarArrayOpExpr))
		args = ((ScalarArrayOpExpr *) node)->args;
	if (list_length(args) == 2 &&
		is_comparison(IsA(node, ScalarArrayOpExpr) ? ((ScalarArrayOpExpr *) node)->opno :
					  ((OpExpr *) node)->opno) &&
		((is_fading(linitial(args), &value) && add_constant(funnel, value, lsecond(args))) ||
		 (is_fading(lsecond(args), &value) && add_constant(funnel, value, linitial(args)))))
		return false;
	if (is_scored(node, SCORED_SCORE) || is_scored(node, SCORED_ENGAGEMENT))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("scored.score and scored.engagement can only be compared with constants"),
				 errdetail("They change as time goes by, and it has to be known in advance when the condition turns."),
				 errhint("Write scored.score >= 50, or use scored.temperature or scored.grade.")));
	return expression_tree_walker(node, level_walker, context);
}

/*
 * transition_add_levels
 *		Note what levels a planned condition on a move waits for, in the current
 *		memory context.  Errors: 0A000 if it is not known when it turns.
 */
void
transition_add_levels(const Condition *condition, Funnel *funnel)
{
	if (condition->uses_clock)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the condition of a transition cannot read the clock"),
				 errhint("Let a rule say what time changes, and the condition read the score, or what the rule does to scored.disqualified.")));
	(void) level_walker((Node *) condition->expr, funnel);
}


/* --------------------------------------------------------------------
 * Looking things up
 * --------------------------------------------------------------------
 */

/*
 * find_transition
 *		The move from one stage to another; NULL if it is not listed.
 */
const Transition *
find_transition(const Funnel *funnel, LeadStage from, LeadStage to)
{
	for (int i = 0; i < funnel->ntransitions; i++)
	{
		if (funnel->transitions[i].from == from && funnel->transitions[i].to == to)
			return &funnel->transitions[i];
	}
	return NULL;
}

/*
 * next_transition
 *		The next automatic way out of a stage after one that was looked at, or
 *		the first: exits first, then the stage that is farthest along.
 */
const Transition *
next_transition(const Funnel *funnel, LeadStage from, const Transition *after)
{
	const Transition *next = NULL;

	/* order: exits ascending, then the rest descending */
#define COMES_BEFORE(a, b) \
	(LeadStageIsExit(a) != LeadStageIsExit(b) ? LeadStageIsExit(a) : \
	 LeadStageIsExit(a) ? (a) < (b) : (a) > (b))
	for (int i = 0; i < funnel->ntransitions; i++)
	{
		const Transition *transition = &funnel->transitions[i];

		if (transition->from != from || !transition->automatic ||
			(after != NULL && !COMES_BEFORE(after->to, transition->to)))
			continue;
		if (next == NULL || COMES_BEFORE(transition->to, next->to))
			next = transition;
	}
	return next;
}

/*
 * funnel_status_means
 *		May a lead with this status of the CRM's be in this stage?  Sets the
 *		first of the stages that the status stands for; 0: none.
 */
bool
funnel_status_means(const Funnel *funnel, const char *status, LeadStage stage,
					LeadStage *first)
{
	bool		means = false;

	*first = 0;
	if (funnel->nmapped == 0)
	{
		if (!lead_stage_parse(status, strlen(status), first))
			*first = 0;
		return *first == stage;
	}
	for (int i = 0; i < funnel->nmapped; i++)
	{
		if (strcmp(funnel->mapped[i].status, status) != 0)
			continue;
		if (*first == 0)
			*first = funnel->mapped[i].stage;
		means |= funnel->mapped[i].stage == stage;
	}
	return means;
}

/*
 * funnel_status_of
 *		The CRM's status that stands for a stage, the first by name; NULL if none
 *		does.
 */
const char *
funnel_status_of(const Funnel *funnel, LeadStage stage)
{
	if (funnel->nmapped == 0)
		return lead_stage_label(stage);
	for (int i = 0; i < funnel->nmapped; i++)
	{
		if (funnel->mapped[i].stage == stage)
			return funnel->mapped[i].status;
	}
	return NULL;
}

/*
 * funnel_ways_out
 *		The stages that a lead may move to, for people to read; NULL if there
 *		are none.
 */
char *
funnel_ways_out(const Funnel *funnel, LeadStage from)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < funnel->ntransitions; i++)
	{
		if (funnel->transitions[i].from == from)
			appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "",
							 lead_stage_label(funnel->transitions[i].to));
	}
	return list.len > 0 ? list.data : NULL;
}
