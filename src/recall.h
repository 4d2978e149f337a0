/*-------------------------------------------------------------------------
 *
 * recall.h
 *	  What a lead did by a given time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RECALL_H
#define LEADSCORE_RECALL_H

#include "leadscore.h"

#include "utils/snapshot.h"

#include "event.h"
#include "state.h"

/* From where a statement takes what leads did. */
typedef struct Recall
{
	StateTable *states;			/* NULL: from history, with the caller's rights */
	struct HTAB *overdue;		/* keys, as text, of leads of whom something is due
								 * that is not in their summary; NULL: none */
} Recall;

extern Recall *recall_create(Rulebook *rulebook, Snapshot snapshot);
extern bool recall_is_overdue(const Recall *recall, Oid key_type, Datum key);
extern bool recall_summary(const Recall *recall, Rulebook *rulebook, Oid key_type,
						   Datum key, Datum packed, TimestampTz at,
						   Snapshot snapshot, Engagement **summary);
extern Engagement *recall_history(Rulebook *rulebook, Oid key_type, Datum key,
								  char *const *matches, TimestampTz at,
								  Snapshot snapshot, bool as_owner);
extern Engagement *recall_lead(const Recall *recall, Rulebook *rulebook,
							   TimestampTz at, Snapshot snapshot);
extern char *tagged_match_value(const Rulebook *rulebook, int match,
								const char *value);
extern char **state_match_values(const Rulebook *rulebook, const StateRow *row);
extern char *slot_match_value(Rulebook *rulebook, int match);

#endif							/* LEADSCORE_RECALL_H */
