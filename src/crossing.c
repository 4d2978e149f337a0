/*-------------------------------------------------------------------------
 *
 * crossing.c
 *	  When time alone changes what is said of a lead.
 *
 * Between two events the weight of a rule either stands still until it jumps
 * at a moment known in advance (at_least, inactive_for), or it only ever sinks
 * (half_life).  So over a stretch of time without a jump the points of each rule
 * lie between what they are at its two ends; sums, the best of several, floors
 * and caps carry such bounds along, up to the score.  As long as both bounds of
 * the score mean the same temperature, and those of the engagement the same
 * grade, neither changes in that stretch; nor does any condition on a move,
 * as long as the same levels are reached (transition.c).
 *
 * Halving stretches finds the last moment for which that is certain.  Where
 * the bounds are the values themselves, as they are if all points that fade have
 * one sign, the moment is the crossing, to the microsecond; where points of both
 * signs fade it may come before the crossing, never after it.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include <math.h>

#include "crossing.h"

/* What the points of a factor, or of a rule, are over a stretch of time. */
typedef struct Course
{
	bool		spoken;
	double		first;			/* at its two ends */
	double		last;
	double		low;			/* bounds of all they are in between */
	double		high;
	double		fall;			/* bounds of their change in a microsecond */
	double		rise;
} Course;

/* Two ends of a stretch of time, and what holds at both and in between. */
typedef struct Stretch
{
	Rulebook   *rulebook;
	const RowPart *row;
	const Activities *did;
	Course	   *factors;		/* work space */
} Stretch;

/* Jumps of rules, and stretches that are tried one after another, at most. */
#define MAX_STEPS 200

/* Moments beyond this are never; a score has long ceased to fade by then. */
#define FAR_FUTURE	((TimestampTz) INT64CONST(9000000000000000000))


static const EngagementEntry *
entry_of(const Stretch *stretch, const ActivityTerm *term)
{
	if (stretch->did->summary == NULL)
		return NULL;
	return engagement_find(stretch->did->summary,
						   stretch->rulebook->rules[term->rule].id);
}

/*
 * The next moment after 'at' at which the weight of some rule jumps.
 */
static TimestampTz
next_jump(const Stretch *stretch, TimestampTz at)
{
	const Rulebook *rulebook = stretch->rulebook;
	TimestampTz next = DT_NOEND;

	for (int i = 0; i < rulebook->nterms; i++)
	{
		const ActivityTerm *term = &rulebook->terms[i];
		const EngagementEntry *entry;
		TimestampTz jump = DT_NOEND;

		if (rulebook->rules[term->rule].skipped)
			continue;
		entry = entry_of(stretch, term);
		if (term->inactive_for != 0 && entry != NULL)
			jump = entry->last + term->inactive_for;
		else if (term->inactive_for != 0 && term->include_never &&
				 !TIMESTAMP_IS_NOEND(stretch->did->created_at))
			jump = stretch->did->created_at + term->inactive_for;
		else if (term->at_least != 0 && entry != NULL &&
				 entry->nkept >= term->at_least)
			jump = entry->kept[term->at_least - 1] + term->within;
		if (jump > at)
			next = Min(next, jump);
	}
	return next;
}

/*
 * Add the course of a rule to that of its factor.
 */
static void
add_course(Stretch *stretch, int32 factor, const Course *rule)
{
	bool		best = stretch->rulebook->factors[factor].combine == COMBINE_BEST;
	Course	   *course = &stretch->factors[factor];

	if (!course->spoken)
	{
		*course = *rule;
		course->spoken = true;
	}
	else if (best)
	{
		course->first = Max(course->first, rule->first);
		course->last = Max(course->last, rule->last);
		course->low = Max(course->low, rule->low);
		course->high = Max(course->high, rule->high);
		course->fall = Min(course->fall, rule->fall);
		course->rise = Max(course->rise, rule->rise);
	}
	else
	{
		course->first += rule->first;
		course->last += rule->last;
		course->low += rule->low;
		course->high += rule->high;
		course->fall += rule->fall;
		course->rise += rule->rise;
	}
}

/*
 * The same between a floor and a cap, where points do not change.
 */
static void
clamp_course(Course *course, double points_floor, double points_cap)
{
	if (course->low < points_floor || course->high > points_cap)
	{
		course->fall = Min(course->fall, 0);
		course->rise = Max(course->rise, 0);
	}
	course->first = clamp(course->first, points_floor, points_cap);
	course->last = clamp(course->last, points_floor, points_cap);
	course->low = clamp(course->low, points_floor, points_cap);
	course->high = clamp(course->high, points_floor, points_cap);
}

/*
 * Bounds of the score between two moments without a jump in between; 'to' may
 * be DT_NOEND.  With 'whatever_jumps' the bounds hold for ever, jumps included.
 */
static void
find_bounds(Stretch *stretch, TimestampTz from, TimestampTz to,
			bool whatever_jumps, Evaluation *low, Evaluation *high)
{
	Rulebook   *rulebook = stretch->rulebook;
	const RowPart *row = stretch->row;
	Activities	first = *stretch->did;
	Activities	last = *stretch->did;
	Course		sum = {true, row->base, row->base, row->base, row->base};

	first.at = from;
	last.at = to;
	memset(stretch->factors, 0, sizeof(Course) * rulebook->nfactors);
	low->disqualified = high->disqualified = false;
	for (int i = 0; i < row->nkept; i++)
	{
		int32		number = find_rule(rulebook, row->kept[i]);
		const Rule *rule;

		if (number < 0 || !rulebook->rules[number].kept)
			continue;
		rule = &rulebook->rules[number];
		low->disqualified |= rule->disqualifies;
		if (rulebook->factors[rule->factor].has_activities)
		{
			Course		steady = {true, rule->points, rule->points, rule->points, rule->points};

			add_course(stretch, rule->factor, &steady);
		}
	}
	for (int i = 0; i < rulebook->nterms; i++)
	{
		const ActivityTerm *term = &rulebook->terms[i];
		const Rule *rule = &rulebook->rules[term->rule];
		const EngagementEntry *entry;
		TermValue	begin;
		TermValue	end;
		Course		course = {true};

		if (rule->skipped)
			continue;
		entry = entry_of(stretch, term);
		term_value(term, entry, &first, &begin);
		end = begin;
		if (term->half_life != 0 && entry != NULL)
		{
			if (to == DT_NOEND)
				end.weight = 0;
			else
				term_value(term, entry, &last, &end);
		}
		else if (whatever_jumps && term->at_least != 0)
			end.weight = 0;
		else if (whatever_jumps && term->inactive_for != 0 &&
				 (entry != NULL || term->include_never))
			end.weight = 1;
		if (!begin.speaks && end.weight == 0)
			continue;
		low->disqualified |= rule->disqualifies && begin.speaks;
		course.first = rule->points * begin.weight;
		course.last = rule->points * end.weight;
		course.low = Min(course.first, course.last);
		course.high = Max(course.first, course.last);
		if (term->half_life != 0)
		{
			course.fall = -course.high * M_LN2 / term->half_life;
			course.rise = -course.low * M_LN2 / term->half_life;
		}
		add_course(stretch, rule->factor, &course);
	}
	for (int i = 0; i < rulebook->nfactors; i++)
	{
		const Factor *factor = &rulebook->factors[i];
		Course	   *course = &stretch->factors[i];

		/* a floor above zero, or a cap below it, counts even without a rule */
		if (!factor->has_activities ||
			(!course->spoken && factor->points_floor <= 0 && factor->points_cap >= 0))
			continue;
		clamp_course(course, factor->points_floor, factor->points_cap);
		sum.first += course->first;
		sum.last += course->last;
		sum.low += course->low;
		sum.high += course->high;
		sum.fall += course->fall;
		sum.rise += course->rise;
	}
	/* it goes one way */
	if (!whatever_jumps && (sum.fall >= 0 || sum.rise <= 0))
	{
		sum.low = Min(sum.first, sum.last);
		sum.high = Max(sum.first, sum.last);
	}
	high->disqualified = low->disqualified;
	low->axis[AXIS_FIT] = high->axis[AXIS_FIT] = row->fit;
	low->axis[AXIS_ENGAGEMENT] = clamp(sum.low, rulebook->axis_min[AXIS_ENGAGEMENT],
									   rulebook->axis_max[AXIS_ENGAGEMENT]);
	high->axis[AXIS_ENGAGEMENT] = clamp(sum.high, rulebook->axis_min[AXIS_ENGAGEMENT],
										rulebook->axis_max[AXIS_ENGAGEMENT]);
	low->raw = clamp(row->fit + low->axis[AXIS_ENGAGEMENT],
					 rulebook->score_min, rulebook->score_max);
	high->raw = clamp(row->fit + high->axis[AXIS_ENGAGEMENT],
					  rulebook->score_min, rulebook->score_max);
}

/* What is said of a lead. */
typedef struct Said
{
	Temperature temperature;
	bool		disqualified;	/* which a cold lead may come to be as well */
	text	   *grade;			/* the rulebook's */
	int			score_levels;	/* how many are reached */
	int			engagement_levels;
} Said;

static bool
says(Rulebook *rulebook, const Evaluation *result, const Said *said)
{
	return evaluation_temperature(rulebook, result) == said->temperature &&
		result->disqualified == said->disqualified &&
		evaluation_grade(rulebook, result) == said->grade &&
		levels_reached(&rulebook->funnel.score_levels, result->raw,
					   SCORE_EPSILON) == said->score_levels &&
		levels_reached(&rulebook->funnel.engagement_levels, result->axis[AXIS_ENGAGEMENT],
					   0) == said->engagement_levels;
}

/*
 * Is the same said all the time between two moments?
 */
static bool
is_steady(Stretch *stretch, TimestampTz from, TimestampTz to, const Said *said)
{
	Evaluation	low;
	Evaluation	high;

	find_bounds(stretch, from, to, false, &low, &high);
	return says(stretch->rulebook, &low, said) && says(stretch->rulebook, &high, said);
}

static bool
is_said_at(Stretch *stretch, TimestampTz at, const Said *said)
{
	return is_steady(stretch, at, at, said);
}

/*
 * The last moment from 'from' on, and before 'to', up to which it is certain
 * that the same is said; 'from' itself if none is.
 */
static TimestampTz
last_steady(Stretch *stretch, TimestampTz from, TimestampTz to, const Said *said)
{
	TimestampTz steady = from;
	TimestampTz not_steady = to;
	TimestampTz step = USECS_PER_HOUR;

	/* it need not be far: look near by first */
	while (to - from > step)
	{
		if (!is_steady(stretch, from, from + step, said))
		{
			not_steady = from + step;
			break;
		}
		steady = from + step;
		if (step > (to - from) / 16)
			break;
		step *= 16;
	}
	while (not_steady - steady > 1)
	{
		TimestampTz middle = steady + (not_steady - steady) / 2;

		if (is_steady(stretch, from, middle, said))
			steady = middle;
		else
			not_steady = middle;
	}
	return steady;
}

static void
prepare(Stretch *stretch, Rulebook *rulebook, const RowPart *row,
		const Activities *did)
{
	stretch->rulebook = rulebook;
	stretch->row = row;
	stretch->did = did;
	stretch->factors = palloc(sizeof(Course) * (rulebook->nfactors + 1));
}

/*
 * next_crossing
 *		The first moment after did->at at which time alone changes the
 *		temperature, the grade, whether the lead is disqualified or what else a
 *		condition on a move reads, or 'limit', at which something else does; it
 *		may be early, and never is late.  DT_NOEND: never.
 *
 * Leaves garbage in the current memory context.
 */
TimestampTz
next_crossing(Rulebook *rulebook, const RowPart *row, const Activities *did,
			  TimestampTz limit)
{
	TimestampTz at = did->at;
	Stretch		stretch;
	Evaluation	now;
	Said		said;

	if (rulebook->nterms == 0)
		return limit;
	prepare(&stretch, rulebook, row, did);
	evaluate_stored(rulebook, row, did, &now);
	said.temperature = evaluation_temperature(rulebook, &now);
	said.disqualified = now.disqualified;
	said.grade = evaluation_grade(rulebook, &now);
	said.score_levels = levels_reached(&rulebook->funnel.score_levels, now.raw, SCORE_EPSILON);
	said.engagement_levels = levels_reached(&rulebook->funnel.engagement_levels,
											now.axis[AXIS_ENGAGEMENT], 0);

	for (int i = 0; i < MAX_STEPS; i++)
	{
		TimestampTz jump = Min(next_jump(&stretch, at), limit);
		TimestampTz end = Min(jump, FAR_FUTURE);
		TimestampTz steady;

		if (end <= at)
			return jump;
		if (is_steady(&stretch, at, jump == DT_NOEND ? DT_NOEND : jump - 1, &said))
		{
			if (jump >= limit)
				return limit;
			if (!is_said_at(&stretch, jump, &said))
				return jump;
			at = jump;
			continue;
		}
		steady = last_steady(&stretch, at, end, &said);
		/* the bounds may have been too wide to be certain of more */
		if (steady + 1 >= end || !is_said_at(&stretch, steady + 1, &said) ||
			steady - at < USECS_PER_SEC)
			return steady + 1;
		at = steady;
	}
	return at + 1;
}

/*
 * highest_raw
 *		The most that the score can be from did->at on, unrounded, without a
 *		new event or another row.
 */
double
highest_raw(Rulebook *rulebook, const RowPart *row, const Activities *did)
{
	Stretch		stretch;
	Evaluation	low;
	Evaluation	high;

	prepare(&stretch, rulebook, row, did);
	find_bounds(&stretch, did->at, DT_NOEND, true, &low, &high);
	return high.raw;
}
