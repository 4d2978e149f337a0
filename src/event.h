/*-------------------------------------------------------------------------
 *
 * event.h
 *	  Row of an activity source x rulebook -> what it counts for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_EVENT_H
#define LEADSCORE_EVENT_H

#include "leadscore.h"

#include "utils/hsearch.h"
#include "utils/snapshot.h"

#include "engagement.h"
#include "evaluate.h"
#include "rulebook.h"

/*
 * What an event's row says.  It counts if it is of a lead, has a time and is
 * matched by a rule.
 */
typedef struct Event
{
	bool		counts;
	Datum		lead_key;		/* of the type that the expression has */
	char	   *match;			/* instead of it: the lead's value, normalized */
	TimestampTz at;
	char	   *key;			/* NULL: the row is an event of its own */
	int			nterms;
	int32	   *terms;			/* of the rulebook, ascending */
} Event;

/* A condition over events that is no rule's. */
typedef struct EventCondition
{
	ExprState  *condition;		/* NULL: any event will do */
	bool		uses_settings;
	bool		runs_queries;
} EventCondition;

/* An event that is yet to come, or one that was put off. */
typedef struct LaterEvent
{
	TimestampTz at;
	Engagement *added;
} LaterEvent;

/* What a lead's history comes to. */
typedef struct History
{
	Engagement *summary;		/* of events up to a time */
	List	   *later;			/* of LaterEvent: those after it */
} History;

extern int	event_read(Rulebook *rulebook, ActivitySource *activity,
					   Event *event, RuleFailure **failures);
extern void event_match(Rulebook *rulebook, ActivitySource *activity,
						int32 *terms, Event *event);
extern void event_read_if(Rulebook *rulebook, ActivitySource *activity,
						  const EventCondition *condition, Event *event);
extern char *event_whose(Rulebook *rulebook, ActivitySource *activity);
extern void event_add(const Rulebook *rulebook, const Event *event,
					  Engagement *summary);
extern bool same_event(const ActivitySource *activity, const Event *a,
					   const Event *b);
extern HTAB *create_string_table(const char *name, Size entry_size,
								 MemoryContext context);
extern char *key_text(Datum value, Oid type);
extern int	compare_deliveries(const Event *a, const Event *b);
extern bool convert_key(Datum value, Oid from, Oid to, Datum *result);
extern char *activity_column_list(const ActivitySource *activity);
extern void activity_fill_slot(ActivitySource *activity, TupleTableSlot *row,
							   int first);
extern void history_read(Rulebook *rulebook, Oid key_type, Datum key,
						 char *const *matches, TimestampTz upto,
						 Snapshot snapshot, bool as_owner, History *history);
extern bool event_is_delivered_again(Rulebook *rulebook, ActivitySource *activity,
									 const char *event_key, Snapshot snapshot);

#endif							/* LEADSCORE_EVENT_H */
