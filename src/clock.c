/*-------------------------------------------------------------------------
 *
 * clock.c
 *	  Planned expressions -> comparisons that time alone can change.
 *
 * Time passes without an event, and yet "last_contact < now() - interval '30
 * days'" becomes true one day.  Whoever stores a score must know when.  That
 * can be told exactly if every use of the clock in an expression is a
 * comparison of the form
 *
 *		moment <op> clock plus or minus a constant interval
 *		clock - moment <op> constant interval
 *
 * where the moment is anything that the row alone decides: whatever stands
 * around such comparisons, the expression can change only where one of them
 * does.  All other uses are named, with a hint how to rewrite them.
 *
 * Calendars make this more than an addition.  Under a time zone with summer
 * time, or with months in the interval, the shifted clock now and then jumps
 * forth or back, so that a comparison may change several times.  Between two
 * jumps it runs as the clock does.  So we find all places where a jump is
 * possible, and walk from one to the next.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include <math.h>

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "clock.h"
#include "condition.h"

typedef struct ClockSearch
{
	List	   *comparisons;
	ClockProblem *problem;
} ClockSearch;

/* How far a calendar can be away from plain addition, with and without months. */
#define SLACK_OF_DAYS	(3 * USECS_PER_DAY)
#define SLACK_OF_MONTHS (6 * USECS_PER_DAY)

/* More changes of the offset than any zone has in the days we look at. */
#define MAX_TRANSITIONS 16

/* Moments beyond are as good as infinite; the clock will not get there. */
#define FIRST_MOMENT	(-6000 * (int64) DAYS_PER_YEAR * USECS_PER_DAY)
#define LAST_MOMENT		(280000 * (int64) DAYS_PER_YEAR * USECS_PER_DAY)

/* A change of a zone's offset from UTC. */
typedef struct Transition
{
	int64		moment;			/* these three in microseconds */
	int64		before;
	int64		after;
} Transition;


/* --------------------------------------------------------------------
 * Finding the comparisons
 * --------------------------------------------------------------------
 */

static bool
is_clock(Node *node)
{
	return IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXEC &&
		((Param *) node)->paramid < NUM_CLOCKS;
}

/*
 * Does an expression read the clock?
 */
static bool
reads_clock(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (is_clock(node))
		return true;
	if (IsA(node, FuncExpr) &&
		condition_reads_today(((FuncExpr *) node)->funcid))
		return true;
	return expression_tree_walker(node, reads_clock, context);
}

/*
 * An expression that gives a moment, converted to timestamptz; NULL if it is
 * of another type, or reads the clock.
 */
static Expr *
as_moment(Node *node)
{
	Oid			conversion;

	if (reads_clock(node, NULL))
		return NULL;
	switch (getBaseType(exprType(node)))
	{
		case TIMESTAMPTZOID:
			return (Expr *) node;
		case TIMESTAMPOID:
			conversion = F_TIMESTAMPTZ_TIMESTAMP;
			break;
		case DATEOID:
			conversion = F_TIMESTAMPTZ_DATE;
			break;
		default:
			return NULL;
	}
	return (Expr *) makeFuncExpr(conversion, TIMESTAMPTZOID, list_make1(node),
								 InvalidOid, InvalidOid,
								 COERCE_EXPLICIT_CALL);
}

static bool
constant_interval(Node *node, Interval *interval)
{
	Const	   *con = (Const *) node;

	if (!IsA(con, Const) || con->consttype != INTERVALOID || con->constisnull)
		return false;
	*interval = *DatumGetIntervalP(con->constvalue);
	return true;
}

static bool
negate(Interval *interval)
{
	if (interval->month == PG_INT32_MIN || interval->day == PG_INT32_MIN ||
		interval->time == PG_INT64_MIN)
		return false;
	interval->month = -interval->month;
	interval->day = -interval->day;
	interval->time = -interval->time;
	return true;
}

/*
 * The arguments of a call or operator, and which function it is.
 */
static bool
two_arguments(Node *node, Oid *function, Node **left, Node **right)
{
	List	   *args;

	if (IsA(node, OpExpr))
	{
		set_opfuncid((OpExpr *) node);
		*function = ((OpExpr *) node)->opfuncid;
		args = ((OpExpr *) node)->args;
	}
	else if (IsA(node, FuncExpr))
	{
		*function = ((FuncExpr *) node)->funcid;
		args = ((FuncExpr *) node)->args;
	}
	else
		return false;
	if (list_length(args) != 2)
		return false;
	*left = (Node *) linitial(args);
	*right = (Node *) lsecond(args);
	return true;
}

/*
 * clock, or clock plus or minus a constant interval
 */
static bool
is_shifted_clock(Node *node, Interval *shift)
{
	Oid			function;
	Node	   *left;
	Node	   *right;

	memset(shift, 0, sizeof(Interval));
	if (is_clock(node))
		return true;
	if (!two_arguments(node, &function, &left, &right))
		return false;
	switch (function)
	{
		case F_TIMESTAMPTZ_PL_INTERVAL:
			return is_clock(left) && constant_interval(right, shift);
		case F_TIMESTAMPTZ_MI_INTERVAL:
			return is_clock(left) && constant_interval(right, shift) &&
				negate(shift);
		case F_INTERVAL_PL_TIMESTAMPTZ:
			return is_clock(right) && constant_interval(left, shift);
		default:
			return false;
	}
}

/*
 * The whole of an interval as time that passes, as comparisons of intervals
 * see it: days of 24 hours, months of 30 days.
 */
static bool
make_elapsed(Interval *interval)
{
	double		days = interval->month * (double) DAYS_PER_MONTH + interval->day;

	if (fabs(days) * USECS_PER_DAY + fabs((double) interval->time) >
		(double) (LAST_MOMENT - FIRST_MOMENT))
		return false;
	interval->time += (int64) days * USECS_PER_DAY;
	interval->day = 0;
	interval->month = 0;
	return true;
}

/*
 * clock - moment, or moment - clock
 */
static bool
is_elapsed_time(Node *node, bool *since, Expr **moment)
{
	Oid			function;
	Node	   *left;
	Node	   *right;

	if (!two_arguments(node, &function, &left, &right) ||
		function != F_TIMESTAMPTZ_MI)
		return false;
	*since = is_clock(left);
	if (!*since && !is_clock(right))
		return false;
	*moment = as_moment(*since ? right : left);
	return *moment != NULL;
}

/*
 * The place of an operator among the comparisons of a type, or 0.
 */
static int
comparison_strategy(Oid operator, Oid type)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY);

	return get_op_opfamily_strategy(operator, entry->btree_opf);
}

/*
 * Read an operator as a comparison whose changes can be foreseen; NULL if it
 * is none.
 */
static ClockComparison *
find_comparison(OpExpr *op)
{
	ClockComparison *result;
	ClockComparison found;
	Node	   *left;
	Node	   *right;
	int			strategy;
	bool		swapped = false;

	if (list_length(op->args) != 2)
		return NULL;
	left = (Node *) linitial(op->args);
	right = (Node *) lsecond(op->args);
	memset(&found, 0, sizeof(found));

	if ((strategy = comparison_strategy(op->opno, TIMESTAMPTZOID)) != 0)
	{
		/* moment <op> clock + shift */
		swapped = is_shifted_clock(left, &found.shift);
		if (!swapped && !is_shifted_clock(right, &found.shift))
			return NULL;
		found.moment = as_moment(swapped ? right : left);
	}
	else if ((strategy = comparison_strategy(op->opno, INTERVALOID)) != 0)
	{
		bool		since;

		/* clock - moment <op> shift is moment <swapped op> clock - shift */
		swapped = constant_interval(left, &found.shift);
		if (!swapped && !constant_interval(right, &found.shift))
			return NULL;
		if (!is_elapsed_time(swapped ? right : left, &since, &found.moment) ||
			!make_elapsed(&found.shift))
			return NULL;
		found.elapsed = true;
		if (since)
		{
			swapped = !swapped;
			found.shift.time = -found.shift.time;
		}
	}
	if (found.moment == NULL || strategy == BTEqualStrategyNumber)
		return NULL;

	/* as if the moment stood on the left */
	if (swapped)
		strategy = BTMaxStrategyNumber + 1 - strategy;
	found.strictly = strategy == BTLessStrategyNumber ||
		strategy == BTGreaterEqualStrategyNumber;
	result = palloc(sizeof(ClockComparison));
	*result = found;
	return result;
}

/*
 * Say what is wrong with an expression that reads the clock in another way.
 */
static void
describe_problem(Node *node, ClockProblem *problem)
{
	List	   *args = NIL;
	ListCell   *lc;

	if (problem->message != NULL)
		return;
	if (IsA(node, OpExpr) || IsA(node, DistinctExpr))
		args = ((OpExpr *) node)->args;
	else if (IsA(node, ScalarArrayOpExpr))
		args = ((ScalarArrayOpExpr *) node)->args;

	foreach(lc, args)
	{
		Node	   *arg = (Node *) lfirst(lc);
		Oid			type = getBaseType(exprType(arg));

		if (!reads_clock(arg, NULL))
			continue;
		if (contain_var_clause(arg) &&
			(type == TIMESTAMPTZOID || type == TIMESTAMPOID ||
			 (type == INTERVALOID && !IsA(linitial(args), Const) &&
			  !IsA(llast(args), Const))))
		{
			problem->message = "the current time is combined with a column before it is compared";
			problem->hint = "Keep now() apart from columns: write created + patience < now() instead of created < now() - patience.";
			return;
		}
		if (type == DATEOID || type == TIMESTAMPOID || type == TIMEOID ||
			type == TIMETZOID)
		{
			problem->message = "the current date or time of day is used";
			problem->hint = "Compare with now(): write due + 1 <= now() instead of due < current_date.";
			return;
		}
		if (contain_var_clause(arg))
		{
			problem->message = "the time from or to now is computed before it is compared";
			problem->hint = "Write last_contact < now() - interval '30 days' instead of age(last_contact) > interval '30 days'.";
			return;
		}
		if (is_clock(arg) && exprType(node) == BOOLOID)
		{
			problem->message = "the current time is compared in another way than by <, <=, > or >=";
			problem->hint = "Only these four tell when a score will change.";
			return;
		}
	}
	problem->message = "the current time is used in another way than in a comparison with now() plus or minus a constant interval";
	problem->hint = "Write comparisons such as last_contact < now() - interval '30 days'.";
}

static bool
comparison_walker(Node *node, ClockSearch *search)
{
	if (node == NULL || !reads_clock(node, NULL))
		return false;

	switch (nodeTag(node))
	{
		case T_OpExpr:
			{
				OpExpr	   *op = (OpExpr *) node;
				ClockComparison *comparison = find_comparison(op);
				ListCell   *lc;

				if (comparison != NULL)
				{
					search->comparisons = lappend(search->comparisons,
												  comparison);
					return false;
				}
				/* of two truths, or of what a CASE made of one */
				foreach(lc, op->args)
				{
					Oid			type = getBaseType(exprType((Node *) lfirst(lc)));

					if (reads_clock((Node *) lfirst(lc), NULL) &&
						(type == TIMESTAMPTZOID || type == TIMESTAMPOID ||
						 type == DATEOID || type == TIMEOID ||
						 type == TIMETZOID || type == INTERVALOID))
					{
						describe_problem(node, search->problem);
						return false;
					}
				}
				break;
			}
		case T_DistinctExpr:
		case T_ScalarArrayOpExpr:
		case T_FuncExpr:
		case T_Param:
			break;
		default:
			return expression_tree_walker(node, comparison_walker, search);
	}

	/* the clock itself, or something made of it, outside a comparison */
	if (is_clock(node) ||
		(IsA(node, FuncExpr) &&
		 condition_reads_today(((FuncExpr *) node)->funcid)))
	{
		describe_problem(node, search->problem);
		return false;
	}
	{
		bool		known = search->problem->message != NULL;

		(void) expression_tree_walker(node, comparison_walker, search);
		/* what stands around it says more */
		if (!known && search->problem->message != NULL &&
			!IsA(node, FuncExpr))
		{
			search->problem->message = NULL;
			describe_problem(node, search->problem);
		}
	}
	return false;
}

/*
 * clock_comparisons
 *		The comparisons with the clock in a planned expression.
 *
 * Returns a list of ClockComparison, in the current memory context.  If the
 * expression reads the clock in a way that does not tell when it will change,
 * 'problem' says so; its strings are constants.
 */
List *
clock_comparisons(Expr *expr, ClockProblem *problem)
{
	ClockSearch search = {NIL, problem};

	problem->message = NULL;
	problem->hint = NULL;
	(void) comparison_walker((Node *) expr, &search);

	return search.comparisons;
}


/* --------------------------------------------------------------------
 * When they change
 * --------------------------------------------------------------------
 */

static int64
floor_division(int64 a, int64 b)
{
	int64		quotient = a / b;

	return quotient * b > a ? quotient - 1 : quotient;
}

/*
 * The changes of a zone's offset between two moments, both included.
 *
 * If there are more than fit, only the first ones.  'offset' is the one in
 * force at the start.
 */
static int
find_transitions(pg_tz *time_zone, int64 from, int64 to,
				 Transition *transitions, int64 *offset)
{
	const int64 epoch = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) SECS_PER_DAY;
	pg_time_t	now = floor_division(from, USECS_PER_SEC) + epoch - 1;
	int			n = 0;

	for (;;)
	{
		pg_time_t	boundary;
		long		before;
		long		after;
		int			is_dst;
		int			found;

		found = pg_next_dst_boundary(&now, &before, &is_dst,
									 &boundary, &after, &is_dst, time_zone);
		if (n == 0)
			*offset = found < 0 ? 0 : before * USECS_PER_SEC;
		if (found <= 0 || n == MAX_TRANSITIONS ||
			(boundary - epoch) * USECS_PER_SEC > to)
			return n;
		transitions[n].moment = (boundary - epoch) * USECS_PER_SEC;
		transitions[n].before = before * USECS_PER_SEC;
		transitions[n].after = after * USECS_PER_SEC;
		n++;
		now = boundary;
	}
}

static TimestampTz
shifted_clock(const ClockComparison *comparison, TimestampTz clock)
{
	if (comparison->elapsed)
		return clock + comparison->shift.time;
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												   TimestampTzGetDatum(clock),
												   IntervalPGetDatum(&comparison->shift)));
}

static int
compare_moments(const void *a, const void *b)
{
	int64		left = *(const int64 *) a;
	int64		right = *(const int64 *) b;

	return (left > right) - (left < right);
}

/*
 * The moments between two others at which the shifted clock may jump.
 *
 * It may where the zone's offset changes, and where the shifted day and time
 * of day meet the hour that such a change skips or repeats; with months also
 * at each midnight, since the last days of a month may all become the same.
 * Not at each of these moments there is a jump.
 */
static int64 *
find_jumps(const ClockComparison *comparison, TimestampTz moment,
		   pg_tz *time_zone, int64 from, int64 to, int *njumps)
{
	int64		slack = to - from;
	int64		shifted_at = moment - comparison->shift.time;
	bool		months = comparison->shift.month != 0;
	Transition	own[MAX_TRANSITIONS];
	Transition	met[MAX_TRANSITIONS];
	int64		offsets[MAX_TRANSITIONS + 1];
	int64		times[2 * MAX_TRANSITIONS + 1];
	int			ntimes = 0;
	int64	   *jumps;
	int64		ignored;
	int			nown;
	int			nmet;

	nown = find_transitions(time_zone, from - USECS_PER_DAY,
							to + USECS_PER_DAY, own, &offsets[0]);
	for (int i = 0; i < nown; i++)
		offsets[i + 1] = own[i].after;
	nmet = find_transitions(time_zone, shifted_at - slack, shifted_at + slack,
							met, &ignored);
	if (months)
		times[ntimes++] = 0;
	for (int i = 0; i < nmet; i++)
	{
		int64		before = met[i].moment + met[i].before;
		int64		after = met[i].moment + met[i].after;

		times[ntimes++] = before - floor_division(before, USECS_PER_DAY) * USECS_PER_DAY;
		times[ntimes++] = after - floor_division(after, USECS_PER_DAY) * USECS_PER_DAY;
	}

	*njumps = 0;
	jumps = palloc(sizeof(int64) *
				   (nown + (Size) (nown + 1) * ntimes * (slack / USECS_PER_DAY + 3)));
	for (int i = 0; i < nown; i++)
		jumps[(*njumps)++] = own[i].moment;
	for (int i = 0; i <= nown && ntimes > 0; i++)
	{
		int64		first = floor_division(from + offsets[i], USECS_PER_DAY);
		int64		last = floor_division(to + offsets[i], USECS_PER_DAY);

		for (int64 day = first; day <= last; day++)
		{
			for (int j = 0; j < ntimes; j++)
				jumps[(*njumps)++] = day * USECS_PER_DAY + times[j] - offsets[i];
		}
	}
	qsort(jumps, *njumps, sizeof(int64), compare_moments);
	return jumps;
}

/*
 * clock_next_change
 *		The first moment after 'at' at which a comparison of 'moment' changes;
 *		DT_NOEND if it never will.
 *
 * Exact: at that very microsecond it gives another answer than before.
 * To be called under the model's settings (settings_pin), in a memory context
 * that is reset soon.  May throw 22008 where the calendar ends.
 */
TimestampTz
clock_next_change(const ClockComparison *comparison, TimestampTz moment,
				  pg_tz *time_zone, TimestampTz at)
{
	const Interval *shift = &comparison->shift;
	int64		goal;
	double		estimate;
	int64		slack;
	int64		from;
	int64		to;
	int64	   *jumps;
	int			njumps;
	bool		reached;

	if (TIMESTAMP_NOT_FINITE(moment))
		return DT_NOEND;
	estimate = (double) moment - (double) shift->time -
		(shift->day + shift->month * (DAYS_PER_YEAR / MONTHS_PER_YEAR)) * USECS_PER_DAY;
	if (estimate < FIRST_MOMENT || estimate > LAST_MOMENT ||
		moment < FIRST_MOMENT || moment > LAST_MOMENT)
		return DT_NOEND;

	/* the comparison asks whether the shifted clock has come so far */
	goal = moment + (comparison->strictly ? 1 : 0);

	if (shift->month == 0 && (shift->day == 0 || comparison->elapsed))
		return goal - shift->time > at ? goal - shift->time : DT_NOEND;

	/* where it comes there, but for what calendars do */
	slack = shift->month == 0 ? SLACK_OF_DAYS : SLACK_OF_MONTHS;
	from = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
												   TimestampTzGetDatum(moment),
												   IntervalPGetDatum(shift)));
	to = from + slack;
	from = from - slack;
	if (at >= to)
		return DT_NOEND;

	jumps = find_jumps(comparison, moment, time_zone, from, to, &njumps);
	from = Max(from, at);
	reached = shifted_clock(comparison, from) >= goal;
	for (int i = 0; i <= njumps; i++)
	{
		int64		end = i < njumps ? jumps[i] : to;
		int64		shifted;

		if (end <= from)
			continue;

		/* up to the next jump it runs as the clock does */
		shifted = shifted_clock(comparison, from);
		if ((shifted >= goal) != reached)
			return from;
		if (!reached && goal - shifted < end - from)
			return from + (goal - shifted);
		if (end >= to)
			break;
		from = end;
	}
	/* it is not far then */
	return reached ? DT_NOEND : to;
}
