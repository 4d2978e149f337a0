/*-------------------------------------------------------------------------
 *
 * decay.h
 *	  Arithmetic of half-lives.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DECAY_H
#define LEADSCORE_DECAY_H

#include "leadscore.h"

#include "datatype/timestamp.h"

extern int64 time_between(TimestampTz from, TimestampTz to);
extern int64 interval_to_microseconds(const Interval *span);
extern double decay_factor(int64 elapsed, int64 half_life);

#endif							/* LEADSCORE_DECAY_H */
