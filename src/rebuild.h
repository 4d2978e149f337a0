/*-------------------------------------------------------------------------
 *
 * rebuild.h
 *	  What all leads did, from all of their history at once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_REBUILD_H
#define LEADSCORE_REBUILD_H

#include "leadscore.h"

#include "utils/snapshot.h"

#include "event.h"
#include "scorer.h"

typedef struct Rebuild Rebuild;

/* What a lead did, or a key of which no lead is known. */
typedef struct RebuiltLead
{
	Datum		key;
	Engagement *summary;		/* of its events up to a time */
	bool		has_later;		/* there are events after it, ... */
	History    *history;		/* ... and then this is all of them, if asked for */
} RebuiltLead;

extern Rebuild *rebuild_read(Scorer *scorer, TimestampTz upto,
							 Snapshot snapshot, bool with_later);
extern bool rebuild_next(Rebuild *rebuild, RebuiltLead *lead);
extern int	rebuild_compare_keys(Rebuild *rebuild, Datum a, Datum b);
extern void rebuild_end(Rebuild *rebuild);
extern Oid	rebuild_collation(const Scorer *scorer);

#endif							/* LEADSCORE_REBUILD_H */
