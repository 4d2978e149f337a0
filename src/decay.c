/*-------------------------------------------------------------------------
 *
 * decay.c
 *	  Arithmetic of half-lives.
 *
 * What an activity is worth halves with every half-life that has passed since
 * it happened: after a time t it counts for 2^(-t/h).  Sums of such terms are
 * kept as of the latest of their events, never scaled up to a fixed landmark,
 * which would overflow in a few years (forward decay: Cormode, Shkapenyuk,
 * Srivastava and Xu, ICDE 2009).
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include <math.h>

#include "common/int.h"

#include "decay.h"

/* 2^-1100 and less is no double any more. */
#define MAX_HALVINGS 1100.0

/*
 * time_between
 *		Microseconds from one moment to another, the largest number there is
 *		for moments too far apart.
 */
int64
time_between(TimestampTz from, TimestampTz to)
{
	int64		elapsed;

	if (pg_sub_s64_overflow(to, from, &elapsed))
		return to > from ? PG_INT64_MAX : PG_INT64_MIN;
	return elapsed;
}

/*
 * interval_to_microseconds
 *		Length of an interval without months, whose days have 24 hours; -1 if
 *		it has months, is negative or longer than 10000 years.
 */
int64
interval_to_microseconds(const Interval *span)
{
	int64		result;

	if (span->month != 0 ||
		pg_mul_s64_overflow(span->day, USECS_PER_DAY, &result) ||
		pg_add_s64_overflow(result, span->time, &result) ||
		result < 0 || result > INT64CONST(3652425) * USECS_PER_DAY)
		return -1;
	return result;
}

/*
 * decay_factor
 *		What is left of 1 after some time: 2^(-elapsed / half_life).
 *
 * Both are in microseconds; a half-life of 0 means that nothing fades.  What
 * is too small to be told from nothing is 0.
 */
double
decay_factor(int64 elapsed, int64 half_life)
{
	double		halvings;

	if (half_life <= 0 || elapsed == 0)
		return 1.0;
	halvings = (double) elapsed / (double) half_life;
	if (halvings > MAX_HALVINGS)
		return 0.0;
	return exp2(-halvings);
}
