/*-------------------------------------------------------------------------
 *
 * activity.c
 *	  What a rule's events count for at a moment.
 *
 * A rule's points are multiplied by its weight.  At the time t that is
 *
 *	the number of events				by default, at_most n of them
 *	the sum of 2^(-age / half_life)		over the same events
 *	1 or 0								with at_least n within w: is the n-th
 *										latest event younger than w?
 *	1 or 0								with inactive_for w: is the latest event
 *										w old, or older?
 *
 * All of it comes from the summary (engagement.c); no history is read.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "catalog/pg_collation.h"
#include "utils/formatting.h"

#include "activity.h"

/*
 * Sum of what is left of each event that is kept.
 */
static double
decayed_of_kept(const ActivityTerm *term, const EngagementEntry *entry,
				TimestampTz at, int n)
{
	double		sum = 0;

	/* from the oldest on, so that the small ones come first */
	for (int i = n - 1; i >= 0; i--)
		sum += decay_factor(Max(time_between(entry->kept[i], at), 0), term->half_life);
	return sum;
}

/*
 * term_value
 *		What the events that a rule matched count for.
 *
 * 'entry' is the rule's in the summary, NULL if it has matched none.
 */
void
term_value(const ActivityTerm *term, const EngagementEntry *entry,
		   const Activities *activities, TermValue *value)
{
	TimestampTz at = activities->at;

	value->occurrences = entry != NULL ? entry->count : 0;
	value->weight = 0;
	/* what has faded away entirely was there all the same */
	value->speaks = entry != NULL && term->inactive_for == 0 && term->at_least == 0;
	if (term->inactive_for != 0)
	{
		if (entry != NULL)
			value->weight = time_between(entry->last, at) >= term->inactive_for;
		else if (term->include_never && !TIMESTAMP_IS_NOEND(activities->created_at))
			value->weight = time_between(activities->created_at, at) >= term->inactive_for;
	}
	else if (entry == NULL)
		;
	else if (term->at_least != 0)
		value->weight = entry->nkept >= term->at_least &&
			time_between(entry->kept[term->at_least - 1], at) < term->within;
	else if (term->at_most != 0)
	{
		int			n = Min(entry->nkept, term->at_most);

		value->weight = term->half_life == 0 ? n :
			decayed_of_kept(term, entry, at, n);
	}
	else if (term->half_life == 0)
		value->weight = (double) entry->count;
	else
		value->weight = engagement_decayed(entry, at);
	value->speaks |= value->weight > 0;
}

/*
 * normalize_match_value
 *		The form in which values of events and of leads are compared: without
 *		regard to case.  NULL if the value is not one to go by.
 */
char *
normalize_match_value(const char *value)
{
	size_t		length = strlen(value);

	if (length == 0 || length > MAX_MATCH_LENGTH)
		return NULL;
	return str_tolower(value, length, DEFAULT_COLLATION_OID);
}
