/*-------------------------------------------------------------------------
 *
 * engagement.h
 *	  The summary of what a lead did.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_ENGAGEMENT_H
#define LEADSCORE_ENGAGEMENT_H

#include "leadscore.h"

#include "datatype/timestamp.h"

/* How many of the latest occurrences of a rule are kept at most. */
#define MAX_KEPT 64

/* What there is to know of the events that one rule matched. */
typedef struct EngagementEntry
{
	int64		rule;
	int64		half_life;		/* microseconds; 0: they do not fade */
	int64		count;			/* of events, more than 0 */
	double		decayed;		/* decayed count as of 'last'; the count itself
								 * if they do not fade */
	TimestampTz last;			/* the latest one */
	int			keep;			/* how many of the latest are kept, 0 to
								 * MAX_KEPT */
	int			nkept;			/* how many there are: Min(count, keep) */
	TimestampTz *kept;			/* latest first; the first is 'last' */
} EngagementEntry;

/*
 * A summary, unpacked, to be worked on.
 *
 * 'rules' identifies the set of rules it was made by; 0: unknown.  Entries are
 * sorted by rule; a rule that has matched nothing has none.
 */
typedef struct Engagement
{
	uint64		rules;
	int			nentries;
	int			max_entries;
	EngagementEntry *entries;
	MemoryContext context;		/* everything is allocated in there */
} Engagement;

extern Engagement *engagement_create(uint64 rules);
extern Engagement *engagement_create_sized(uint64 rules, int nentries);
extern Engagement *engagement_unpack(Datum packed);
extern Datum engagement_pack(const Engagement *engagement);
extern uint64 engagement_rules(Datum packed);
extern void engagement_add(Engagement *engagement, int64 rule,
						   int64 half_life, int keep, TimestampTz at);
extern void engagement_add_near(Engagement *engagement, int guess, int64 rule,
								int64 half_life, int keep, TimestampTz at);
extern void engagement_merge(Engagement *into, const Engagement *from);
extern void engagement_forget(Engagement *engagement, int64 rule);
extern bool engagement_close(const Engagement *a, const Engagement *b);
extern bool engagement_has(Datum packed, int64 rule);
extern const EngagementEntry *engagement_find(const Engagement *engagement,
											  int64 rule);
extern TimestampTz engagement_last(const Engagement *engagement);
extern double engagement_decayed(const EngagementEntry *entry, TimestampTz at);

#endif							/* LEADSCORE_ENGAGEMENT_H */
