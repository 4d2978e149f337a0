/*-------------------------------------------------------------------------
 *
 * collect.h
 *	  What a transaction owes its leads when it commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_COLLECT_H
#define LEADSCORE_COLLECT_H

#include "leadscore.h"

#include "nodes/pg_list.h"
#include "utils/hsearch.h"

#include "event.h"

/* An event that may have been delivered before. */
typedef struct CollectedKey
{
	int32		activity;		/* number of the activity source */
	char	   *key;
} CollectedKey;

/* A lead, given by its key or by a value that it goes by. */
typedef struct CollectedLead
{
	uint32		hash;			/* hash key: this and the next two */
	Datum		key;
	char	   *value;			/* with the name of its column before it, or NULL */

	Engagement *added;			/* NULL: nothing */
	List	   *later;			/* of LaterEvent */
	List	   *event_keys;		/* of CollectedKey */
	bool		recompute;		/* what it did is to be made anew from history */
} CollectedLead;

/* The leads of a model. */
typedef struct Collected
{
	char	   *model;
	Oid			key_type;
	uint64		rules;			/* that the summaries were made by */
	HTAB	   *leads;			/* by key and by value */
} Collected;

/*
 * Puts what was collected (a list of Collected, by model) into the states.
 * Locks may be waited for only if 'may_wait'.
 */
typedef void (*FoldFunction) (List *models, bool may_wait);

extern void collect_set_fold(FoldFunction fold);
extern void collect_event(const char *model, Oid key_type, Datum key,
						  const char *value, const Rulebook *rulebook,
						  int32 activity, const Event *event);
extern void collect_recompute(const char *model, Oid key_type, Datum key,
							  const char *value);
extern void collect_distrust(const char *model);
extern void collect_written(const char *model, Oid key_type, Datum key);
extern void collect_value(const char *model, Oid key_type, const char *value);
extern void collected_set_key_type(Collected *collected, Oid key_type);
extern CollectedLead *collected_lead(Collected *collected, Datum key,
									 const char *value);
extern void collected_merge(CollectedLead *into, const CollectedLead *from);

#endif							/* LEADSCORE_COLLECT_H */
