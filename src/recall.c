/*-------------------------------------------------------------------------
 *
 * recall.c
 *	  What a lead did by a given time.
 *
 * The summary in the lead's state tells, with what is pending and due, for any
 * time that no event of the summary is later than.  For times before that, and
 * where the summary was made by other rules, the history is read.
 *
 * Who may read the states of a model gets what they say.  Who may not, or has
 * rows kept from him by row security, gets what he can read of the events
 * himself; so does everybody for a model that is not attached.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "pending.h"
#include "recall.h"


/*
 * recall_create
 *		Find out from where the current user takes what a model's leads did.
 */
Recall *
recall_create(Rulebook *rulebook, Snapshot snapshot)
{
	Recall	   *recall = palloc0(sizeof(Recall));
	Oid			states = state_table_of(rulebook->model);

	if (!OidIsValid(states) ||
		pg_class_aclcheck(states, GetUserId(), ACL_SELECT) != ACLCHECK_OK ||
		check_enable_rls(states, InvalidOid, true) == RLS_ENABLED)
		return recall;
	recall->states = state_table_create_reader(states);
	if (recall->states != NULL && recall->states->key_index < 0)
		recall->states = NULL;
	if (rulebook->nterms > 0)
		recall->overdue = pending_leads(rulebook->model, snapshot);

	return recall;
}

/*
 * recall_is_overdue
 *		May there be anything that is pending for a lead?
 */
bool
recall_is_overdue(const Recall *recall, Oid key_type, Datum key)
{
	char	   *text_key;

	if (recall->overdue == NULL)
		return false;
	text_key = key_text(key, key_type);
	return hash_search(recall->overdue, &text_key, HASH_FIND, NULL) != NULL;
}

/*
 * recall_history
 *		What a lead did, from its history.
 */
Engagement *
recall_history(Rulebook *rulebook, Oid key_type, Datum key,
			   char *const *matches, TimestampTz at, Snapshot snapshot,
			   bool as_owner)
{
	History		history;

	history_read(rulebook, key_type, key, matches, at, snapshot, as_owner, &history);
	return history.summary;
}

/*
 * recall_summary
 *		What a lead did by a packed summary from its state; false if that does
 *		not tell.
 */
bool
recall_summary(const Recall *recall, Rulebook *rulebook, Oid key_type,
			   Datum key, Datum packed, TimestampTz at, Snapshot snapshot,
			   Engagement **summary)
{
	if (engagement_rules(packed) != rulebook->activity_rules)
		return false;
	*summary = engagement_unpack(packed);
	if (recall_is_overdue(recall, key_type, key))
	{
		Pending		pending;

		pending_read(rulebook->model, key_text(key, key_type),
					 rulebook->activity_rules, at, snapshot, &pending);
		if (pending.recompute)
			return false;
		if (pending.due != NULL)
			engagement_merge(*summary, pending.due);
	}
	return engagement_last(*summary) <= at;
}

/*
 * slot_match_value
 *		A lead's value of one of the columns that events are matched by, from the
 *		rulebook's slot; NULL if it has none to go by.
 */
char *
slot_match_value(Rulebook *rulebook, int match)
{
	AttrNumber	column = rulebook->match_columns[match];

	if (rulebook->slot->tts_isnull[column - 1])
		return NULL;
	/* as events have it: without the blanks that pad a char(n) */
	return normalize_match_value(key_text(rulebook->slot->tts_values[column - 1],
										  TupleDescAttr(rulebook->tupdesc, column - 1)->atttypid));
}

/*
 * tagged_match_value
 *		A value as it stands in the state's match_values.
 */
char *
tagged_match_value(const Rulebook *rulebook, int match, const char *value)
{
	return psprintf("%s=%s",
					NameStr(TupleDescAttr(rulebook->tupdesc,
										  rulebook->match_columns[match] - 1)->attname),
					value);
}

/*
 * state_match_values
 *		The reverse: the values in a row of the state table, by column.
 */
char **
state_match_values(const Rulebook *rulebook, const StateRow *row)
{
	char	  **matches = palloc0(sizeof(char *) * (rulebook->nmatches + 1));
	Datum	   *values;
	int			n;

	if (row->isnull[STATE_MATCH_VALUES])
		return matches;
	deconstruct_array(DatumGetArrayTypeP(row->values[STATE_MATCH_VALUES]), TEXTOID, -1,
					  false, TYPALIGN_INT, &values, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *value = TextDatumGetCString(values[i]);

		for (int j = 0; j < rulebook->nmatches; j++)
		{
			char	   *tag = tagged_match_value(rulebook, j, "");

			if (strncmp(value, tag, strlen(tag)) == 0)
				matches[j] = value + strlen(tag);
		}
	}
	return matches;
}

/*
 * Does a lead still go by the values that its state has?
 */
static bool
same_matches(const Rulebook *rulebook, const StateRow *row, char *const *matches)
{
	char	  **stored;

	if (rulebook->nmatches == 0)
		return true;
	stored = state_match_values(rulebook, row);
	for (int i = 0; i < rulebook->nmatches; i++)
	{
		if (stored[i] == NULL || matches[i] == NULL ? stored[i] != matches[i] :
			strcmp(stored[i], matches[i]) != 0)
			return false;
	}
	return true;
}

/*
 * recall_lead
 *		What the lead in the rulebook's slot did; NULL if it has no key.
 */
Engagement *
recall_lead(const Recall *recall, Rulebook *rulebook, TimestampTz at,
			Snapshot snapshot)
{
	AttrNumber	column = rulebook->key_column;
	Oid			key_type;
	Datum		key;
	char	  **matches;
	Engagement *summary = NULL;

	if (column == 0 || rulebook->slot->tts_isnull[column - 1])
		return NULL;
	key = rulebook->slot->tts_values[column - 1];
	key_type = TupleDescAttr(rulebook->tupdesc, column - 1)->atttypid;

	matches = palloc(sizeof(char *) * (rulebook->nmatches + 1));
	for (int i = 0; i < rulebook->nmatches; i++)
		matches[i] = slot_match_value(rulebook, i);
	if (recall->states != NULL)
	{
		StateRow	row;
		Datum		packed = (Datum) 0;
		bool		found;

		state_table_open(recall->states);
		found = state_read(recall->states, key, snapshot, &row) &&
			!row.isnull[STATE_ENGAGEMENT] &&
			same_matches(rulebook, &row, matches);
		if (found)
			packed = PointerGetDatum(PG_DETOAST_DATUM_COPY(row.values[STATE_ENGAGEMENT]));
		state_table_close(recall->states);
		if (found && recall_summary(recall, rulebook, key_type, key, packed, at,
									snapshot, &summary))
			return summary;
	}
	return recall_history(rulebook, key_type, key, matches, at, snapshot,
						  recall->states != NULL);
}
