/*-------------------------------------------------------------------------
 *
 * activity.h
 *	  Events of leads, and the rules that count them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_ACTIVITY_H
#define LEADSCORE_ACTIVITY_H

#include "leadscore.h"

#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "pgtime.h"

#include "decay.h"
#include "dispatch.h"
#include "engagement.h"

/* Values that leads are matched by are no longer than that. */
#define MAX_MATCH_LENGTH 512

/* How a rule counts the events that it matches. */
typedef struct ActivityTerm
{
	int32		rule;			/* number in the rulebook */
	int32		source;			/* which activity source */
	int			at_least;		/* 0: not given, as in all of these */
	int			at_most;
	int64		half_life;		/* microseconds, as are the others */
	int64		within;
	int64		inactive_for;
	bool		include_never;
	int			keep;			/* timestamps that the summary keeps */
} ActivityTerm;

/* A table of events, compiled. */
typedef struct ActivitySource
{
	char	   *name;
	Oid			relation;
	Oid			rowtype;
	TupleDesc	tupdesc;		/* a copy; NULL: the table is gone */
	bool		usable;			/* its events can be read */
	pg_tz	   *time_zone;		/* of moments without one */
	char	   *search_path;
	char	   *match_name;		/* column of the model's source, or NULL */
	char	   *lead_key_text;	/* the expressions as they were written */
	char	   *occurred_at_text;
	char	   *filter_text;
	char	   *event_key_text;
	char	   *lead_key_sql;	/* in parentheses, for queries under a search_path
								 * that holds pg_catalog alone */
	char	   *event_key_sql;
	bool		lead_key_fails;	/* lead_key may end in an error, on rows of
								 * anybody */
	char	   *filter_sql;		/* with AND before it: that part of the filter that
								 * cannot fail, or empty */
	ExprState  *lead_key;
	Oid			lead_key_type;
	bool		key_is_plain;	/* lead_key cannot fail and depends on no settings,
								 * so that a query may group by it */
	bool		filter_is_sql;	/* filter_sql is all of the filter */
	int			match;			/* number of the column that lead_key is compared
								 * with, or -1 */
	ExprState  *occurred_at;
	ExprState  *filter;			/* NULL: all are events of leads */
	ExprState  *event_key;		/* NULL: each row is an event of its own */
	Dispatch   *dispatch;		/* of the rules' conditions */
	int			nrules;
	bool		uses_settings;
	bool		calls_user_code;
	bool		runs_queries;
	bool		can_fail;		/* reading an event may end in an error */

	int			ncolumns;
	AttrNumber *columns;		/* that the expressions and conditions read, sorted */
	TupleTableSlot *slot;		/* an event's row */
	ExprContext *econtext;
	Posting    *heads;
} ActivitySource;

/*
 * What a lead is known to have done, as rules are to count it.
 */
typedef struct Activities
{
	const Engagement *summary;	/* NULL: nothing */
	TimestampTz at;				/* not before any event of the summary */
	TimestampTz created_at;		/* of the lead; DT_NOEND if unknown */
} Activities;

/* What a term comes to. */
typedef struct TermValue
{
	bool		speaks;
	double		weight;			/* what the rule's points are multiplied by */
	int64		occurrences;
} TermValue;

extern void term_value(const ActivityTerm *term, const EngagementEntry *entry,
					   const Activities *activities, TermValue *value);
extern char *normalize_match_value(const char *value);

#endif							/* LEADSCORE_ACTIVITY_H */
