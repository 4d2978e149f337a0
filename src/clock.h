/*-------------------------------------------------------------------------
 *
 * clock.h
 *	  Planned expressions -> comparisons that time alone can change.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_CLOCK_H
#define LEADSCORE_CLOCK_H

#include "leadscore.h"

#include "datatype/timestamp.h"
#include "nodes/primnodes.h"
#include "pgtime.h"

/*
 * A comparison of a moment, which a row gives, with the clock plus a constant
 * interval.
 */
typedef struct ClockComparison
{
	Expr	   *moment;			/* a timestamptz; reads no clock */
	Interval	shift;			/* added to the clock */
	bool		elapsed;		/* days of the shift have 24 hours */
	bool		strictly;		/* changes once the shifted clock is past the
								 * moment, not when it reaches it */
} ClockComparison;

/* Why nobody knows when an expression will change; message is NULL if not so. */
typedef struct ClockProblem
{
	const char *message;
	const char *hint;
} ClockProblem;

extern List *clock_comparisons(Expr *expr, ClockProblem *problem);
extern TimestampTz clock_next_change(const ClockComparison *comparison,
									 TimestampTz moment, pg_tz *time_zone,
									 TimestampTz at);

#endif							/* LEADSCORE_CLOCK_H */
