/*-------------------------------------------------------------------------
 *
 * pending.h
 *	  Activities that are not in a lead's summary yet.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_PENDING_H
#define LEADSCORE_PENDING_H

#include "leadscore.h"

#include "utils/hsearch.h"
#include "utils/snapshot.h"

#include "engagement.h"

/* What is pending for a lead. */
typedef struct Pending
{
	Engagement *due;			/* NULL: nothing */
	bool		recompute;		/* its summary is to be made anew from history */
	TimestampTz next_due;		/* when more is; DT_NOEND: never */
} Pending;

extern bool pending_exists(const char *model);
extern HTAB *pending_leads(const char *model, Snapshot snapshot);
extern void pending_add(const char *model, const char *lead_key,
						TimestampTz due_at, const Engagement *added);
extern void pending_read(const char *model, const char *lead_key,
						 uint64 rules, TimestampTz upto, Snapshot snapshot,
						 Pending *pending);
extern void pending_take(const char *model, const char *lead_key,
						 uint64 rules, TimestampTz upto, Snapshot snapshot,
						 Pending *pending);

#endif							/* LEADSCORE_PENDING_H */
