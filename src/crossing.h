/*-------------------------------------------------------------------------
 *
 * crossing.h
 *	  When time alone changes what is said of a lead.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_CROSSING_H
#define LEADSCORE_CROSSING_H

#include "leadscore.h"

#include "evaluate.h"

extern TimestampTz next_crossing(Rulebook *rulebook, const RowPart *row,
								 const Activities *did, TimestampTz limit);
extern double highest_raw(Rulebook *rulebook, const RowPart *row,
						  const Activities *did);

#endif							/* LEADSCORE_CROSSING_H */
