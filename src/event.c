/*-------------------------------------------------------------------------
 *
 * event.c
 *	  Row of an activity source x rulebook -> what it counts for.
 *
 * An event is judged by its row alone: whose it is, when it happened, and
 * which rules it matches.  A condition that ends in an error does not match;
 * an event whose lead or time cannot be told does not count.
 *
 * A lead's history is all of its events, read through the tables' own indexes
 * as their owner.  Rows with one event key are one event, of which the earliest
 * counts, and of those the one that matches the lowest rules.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include <ctype.h>

#include "access/parallel.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "event.h"
#include "problem.h"
#include "source.h"
#include "state.h"


/* --------------------------------------------------------------------
 * One event
 * --------------------------------------------------------------------
 */

/* Reading an event where errors are caught. */
typedef struct EventReading
{
	ActivitySource *activity;
	Event	   *event;
	const Bitmapset *failed;	/* rules to be left out */
	int32	   *terms;			/* room for the event's, or NULL */
	bool		grouped;		/* it is known whose the event is */
	const EventCondition *instead;	/* asked in the place of rules, or NULL */
} EventReading;

static int
compare_terms(const void *a, const void *b)
{
	return *(const int32 *) a - *(const int32 *) b;
}

/*
 * The rules that match the row in the slot.
 */
static void
match_rules(Rulebook *rulebook, EventReading *reading)
{
	ActivitySource *activity = reading->activity;
	Event	   *event = reading->event;
	const PostingCell *cells = dispatch_cells(activity->dispatch);
	int			nheads;

	nheads = dispatch_lookup(activity->dispatch, activity->slot,
							 activity->econtext, activity->heads);
	rulebook->evaluation++;
	for (int i = 0; i < nheads; i++)
	{
		for (Posting posting = activity->heads[i]; posting != NO_POSTING;
			 posting = cells[posting].next)
		{
			int32		number = cells[posting].rule;
			const Rule *rule = &rulebook->rules[number];

			if (rule->skipped)
				continue;
			if (rule->residual != NULL)
			{
				bool		isnull;
				Datum		matches;

				/* it may hang in several places */
				if (rulebook->met[number] == rulebook->evaluation ||
					bms_is_member(number, reading->failed))
					continue;
				rulebook->met[number] = rulebook->evaluation;
				rulebook->at_rule = number;
				matches = ExecEvalExpr(rule->residual, activity->econtext, &isnull);
				rulebook->at_rule = -1;
				if (isnull || !DatumGetBool(matches))
					continue;
			}
			if (event->terms == NULL)
				event->terms = reading->terms != NULL ? reading->terms :
					palloc(sizeof(int32) * rulebook->nterms);
			event->terms[event->nterms++] = rule->term;
		}
	}
	if (event->nterms > 1)
		qsort(event->terms, event->nterms, sizeof(int32), compare_terms);
}

static void
read_event(Rulebook *rulebook, EventReading *reading)
{
	ActivitySource *activity = reading->activity;
	Event	   *event = reading->event;
	Datum		value;
	bool		isnull;

	memset(event, 0, sizeof(Event));
	if (activity->filter != NULL && !(reading->grouped && activity->filter_is_sql))
	{
		value = ExecEvalExpr(activity->filter, activity->econtext, &isnull);
		if (isnull || !DatumGetBool(value))
			return;
	}

	/* most events match no rule: those go first */
	if (reading->instead == NULL)
	{
		match_rules(rulebook, reading);
		if (event->nterms == 0)
			return;
	}
	else if (reading->instead->condition != NULL)
	{
		value = ExecEvalExpr(reading->instead->condition, activity->econtext, &isnull);
		if (isnull || !DatumGetBool(value))
			return;
	}

	if (!reading->grouped)
	{
		value = ExecEvalExpr(activity->lead_key, activity->econtext, &isnull);
		if (isnull)
			return;
		if (activity->match < 0)
			event->lead_key = value;
		else if ((event->match = normalize_match_value(TextDatumGetCString(value))) == NULL)
			return;
	}
	value = ExecEvalExpr(activity->occurred_at, activity->econtext, &isnull);
	if (isnull || TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)))
		return;
	event->at = DatumGetTimestampTz(value);
	if (activity->event_key != NULL && !reading->grouped)
	{
		value = ExecEvalExpr(activity->event_key, activity->econtext, &isnull);
		if (!isnull)
			event->key = TextDatumGetCString(value);
	}
	event->counts = true;
}

static void
read_event_pinned(Rulebook *rulebook, void *arg)
{
	EventReading *reading = (EventReading *) arg;
	PinnedSettings settings;
	bool		was_busy = rulebook->busy;

	if (!reading->activity->uses_settings && !reading->activity->calls_user_code &&
		(reading->instead == NULL || !reading->instead->uses_settings))
	{
		read_event(rulebook, reading);
		return;
	}
	/* a function that scores by this rulebook would change the row */
	rulebook->busy = true;
	settings_pin(reading->activity->time_zone, &settings);
	PG_TRY();
	{
		read_event(rulebook, reading);
	}
	PG_FINALLY();
	{
		settings_unpin(&settings);
		rulebook->busy = was_busy;
	}
	PG_END_TRY();
}

/*
 * Read an event; conditions that end in an error do not match.
 */
static int
read_leniently(Rulebook *rulebook, EventReading *reading, RuleFailure **failures)
{
	ActivitySource *activity = reading->activity;
	Event	   *event = reading->event;
	Bitmapset  *failed = NULL;
	RuleFailure failure;
	int			nfailures = 0;

	*failures = NULL;
	/* to normalize a value the server's libraries are asked */
	if (!activity->can_fail && (reading->grouped || activity->match < 0) &&
		reading->instead == NULL)
	{
		read_event_pinned(rulebook, reading);
		return 0;
	}
	while (!run_guarded(rulebook, read_event_pinned, reading,
						activity->runs_queries ||
						(reading->instead != NULL && reading->instead->runs_queries),
						&failure))
	{
		*failures = *failures == NULL ? palloc(sizeof(RuleFailure)) :
			repalloc(*failures, sizeof(RuleFailure) * (nfailures + 1));
		(*failures)[nfailures++] = failure;
		if (failure.rule < 0)
		{
			memset(event, 0, sizeof(Event));
			break;
		}
		reading->failed = failed = bms_add_member(failed, failure.rule);
	}
	bms_free(failed);
	return nfailures;
}

/*
 * event_read
 *		What the row in the activity source's slot says.
 *
 * Returns how many conditions ended in an error, and in 'failures' which; rule
 * -1 is an expression of the activity source, whose event does not count then.
 * What evaluate_leniently says of errors and of memory holds here as well.
 */
int
event_read(Rulebook *rulebook, ActivitySource *activity, Event *event,
		   RuleFailure **failures)
{
	EventReading reading = {activity, event, NULL, NULL, false};

	if (!activity->usable)
	{
		*failures = NULL;
		memset(event, 0, sizeof(Event));
		return 0;
	}
	return read_leniently(rulebook, &reading, failures);
}

/*
 * event_match
 *		Which rules the row in the activity source's slot matches, and when it
 *		happened.
 *
 * For rows of a query that has seen to filter_sql and groups by the lead's key:
 * neither that nor the event's own is worked out.  'terms' has room for all of
 * the rulebook's.
 */
void
event_match(Rulebook *rulebook, ActivitySource *activity, int32 *terms,
			Event *event)
{
	EventReading reading = {activity, event, NULL, terms, true};
	RuleFailure *failures;

	(void) read_leniently(rulebook, &reading, &failures);
}

/*
 * event_read_if
 *		What the row in the activity source's slot says of whose it is and when
 *		it happened, if a condition holds, whatever the rules.
 *
 * The event counts if it is of a lead, has a time and meets the condition; one
 * whose reading ends in an error does not.
 */
void
event_read_if(Rulebook *rulebook, ActivitySource *activity,
			  const EventCondition *condition, Event *event)
{
	EventReading reading = {activity, event, NULL, NULL, false, condition};
	RuleFailure *failures;

	(void) read_leniently(rulebook, &reading, &failures);
}

/* Reading whose an event is where errors are caught. */
typedef struct WhoseReading
{
	ActivitySource *activity;
	char	   *whose;
} WhoseReading;

static void
read_whose(Rulebook *rulebook, void *arg)
{
	WhoseReading *reading = (WhoseReading *) arg;
	PinnedSettings settings;
	bool		was_busy = rulebook->busy;

	rulebook->busy = true;
	settings_pin(reading->activity->time_zone, &settings);
	PG_TRY();
	{
		bool		isnull;
		Datum		value = ExecEvalExpr(reading->activity->lead_key,
										 reading->activity->econtext, &isnull);

		if (!isnull && reading->activity->match < 0)
			reading->whose = key_text(value, reading->activity->lead_key_type);
		else if (!isnull)
			reading->whose = TextDatumGetCString(value);
	}
	PG_FINALLY();
	{
		settings_unpin(&settings);
		rulebook->busy = was_busy;
	}
	PG_END_TRY();
}

/*
 * event_whose
 *		Key of the lead, or the value that it goes by, of the event in the
 *		activity source's slot, for people to read; NULL if that cannot be told.
 */
char *
event_whose(Rulebook *rulebook, ActivitySource *activity)
{
	WhoseReading reading = {activity, NULL};
	RuleFailure failure;

	if (!activity->usable ||
		!run_guarded(rulebook, read_whose, &reading, activity->runs_queries, &failure))
		return NULL;
	return reading.whose;
}

/*
 * event_add
 *		Add an event that counts to a summary.
 */
void
event_add(const Rulebook *rulebook, const Event *event, Engagement *summary)
{
	for (int i = 0; i < event->nterms; i++)
	{
		const ActivityTerm *term = &rulebook->terms[event->terms[i]];

		engagement_add(summary, rulebook->rules[term->rule].id,
					   term->half_life, term->keep, event->at);
	}
}

static bool
same_string(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/*
 * same_event
 *		Do two versions of a row count for the same?
 */
bool
same_event(const ActivitySource *activity, const Event *a, const Event *b)
{
	int16		length;
	bool		by_value;

	if (!a->counts || !b->counts)
		return a->counts == b->counts;
	if (a->at != b->at || a->nterms != b->nterms ||
		memcmp(a->terms, b->terms, sizeof(int32) * a->nterms) != 0 ||
		!same_string(a->key, b->key) || !same_string(a->match, b->match))
		return false;
	if (a->match != NULL)
		return true;
	get_typlenbyval(activity->lead_key_type, &length, &by_value);
	return datum_image_eq(a->lead_key, b->lead_key, by_value, length);
}

static bool
integer_value(Datum value, Oid type, int64 *result)
{
	switch (type)
	{
		case INT2OID:
			*result = DatumGetInt16(value);
			return true;
		case INT4OID:
			*result = DatumGetInt32(value);
			return true;
		case INT8OID:
			*result = DatumGetInt64(value);
			return true;
		default:
			return false;
	}
}

/*
 * key_text
 *		A key as text, the same for all values that the type takes for equal:
 *		without the blanks that pad a char(n), and as 1 where a numeric is 1.00.
 */
char *
key_text(Datum value, Oid type)
{
	Oid			output;
	bool		is_varlena;
	char	   *text;

	if (type == NUMERICOID)
		value = DirectFunctionCall1(numeric_trim_scale, value);
	getTypeOutputInfo(type, &output, &is_varlena);
	text = OidOutputFunctionCall(output, value);
	if (type == BPCHAROID)
		text[bpchartruelen(text, strlen(text))] = '\0';
	return text;
}

/*
 * Could a text be the key of a lead at all?  The input functions of these types
 * would complain otherwise, and a subtransaction for each event is too much.
 */
static bool
looks_like_key(const char *text, Oid type)
{
	const char *c = text;

	if (type == UUIDOID)
	{
		int			digits = 0;

		for (; *c != '\0'; c++)
		{
			if (isxdigit((unsigned char) *c))
				digits++;
			else if (*c != '-')
				return false;
		}
		return digits == 32 && strlen(text) == 36 && text[8] == '-' &&
			text[13] == '-' && text[18] == '-' && text[23] == '-';
	}
	if (type != INT2OID && type != INT4OID && type != INT8OID && type != NUMERICOID)
		return true;
	if (*c == '-')
		c++;
	if (!isdigit((unsigned char) *c) || strlen(c) > (type == NUMERICOID ? 100 : 19))
		return false;
	for (; *c != '\0'; c++)
	{
		if (!isdigit((unsigned char) *c))
			return false;
	}
	if (type != NUMERICOID)
	{
		long long	value;

		errno = 0;
		value = strtoll(text, NULL, 10);
		if (errno != 0)
			return false;
		return type == INT8OID ||
			(type == INT4OID ? value >= PG_INT32_MIN && value <= PG_INT32_MAX :
			 value >= PG_INT16_MIN && value <= PG_INT16_MAX);
	}
	return true;
}

/*
 * convert_key
 *		The key of a lead that a value of another type stands for.
 *
 * False if there is none: the value is out of range, or not written the way
 * that the key is ("042" for 42), which an index could not find.
 */
bool
convert_key(Datum value, Oid from, Oid to, Datum *result)
{
	int64		integer;
	char	   *text;
	Oid			input;
	Oid			param;

	*result = value;
	if (from == to || (from == VARCHAROID && to == TEXTOID) ||
		(from == TEXTOID && to == VARCHAROID))
		return true;
	if (integer_value(value, from, &integer))
	{
		switch (to)
		{
			case INT2OID:
				*result = Int16GetDatum((int16) integer);
				return integer >= PG_INT16_MIN && integer <= PG_INT16_MAX;
			case INT4OID:
				*result = Int32GetDatum((int32) integer);
				return integer >= PG_INT32_MIN && integer <= PG_INT32_MAX;
			case INT8OID:
				*result = Int64GetDatum(integer);
				return true;
			case NUMERICOID:
				*result = NumericGetDatum(int64_to_numeric(integer));
				return true;
			default:
				break;
		}
	}
	/* either way, since it is looked up the other way in a history */
	text = key_text(value, from);
	if (!looks_like_key(text, to) || !looks_like_key(text, from))
		return false;
	getTypeInputInfo(to, &input, &param);
	*result = OidInputFunctionCall(input, text, param, -1);
	return strcmp(key_text(*result, to), text) == 0;
}


/* --------------------------------------------------------------------
 * History
 * --------------------------------------------------------------------
 */

/*
 * activity_column_list
 *		The columns that an activity source reads, each with a comma before it.
 */
char *
activity_column_list(const ActivitySource *activity)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < activity->ncolumns; i++)
		appendStringInfo(&list, ", %s",
						 quote_identifier(NameStr(TupleDescAttr(activity->tupdesc,
																activity->columns[i] - 1)->attname)));
	return list.data;
}

/*
 * activity_fill_slot
 *		Put the columns of activity_column_list, which begin at column 'first'
 *		(from 0) of a row, into the activity source's slot.
 */
void
activity_fill_slot(ActivitySource *activity, TupleTableSlot *row, int first)
{
	slot_getallattrs(row);
	for (int i = 0; i < activity->ncolumns; i++)
	{
		int			to = activity->columns[i] - 1;

		activity->slot->tts_values[to] = row->tts_values[first + i];
		activity->slot->tts_isnull[to] = row->tts_isnull[first + i];
	}
}

/* What the reading of a history keeps. */
typedef struct HistoryReading
{
	Rulebook   *rulebook;
	ActivitySource *activity;
	MemoryContext context;		/* of the result */
	MemoryContext row_context;
	Oid			key_type;
	Datum		key;
	TimestampTz upto;
	const char *match;			/* the value of the lead that is asked for */
	bool		reads_all;		/* the rows are of all leads */
	Snapshot	snapshot;
	bool		as_owner;
	HTAB	   *delivered;		/* events with a key */
	History    *history;
} HistoryReading;

/* An event with a key; of several the first counts. */
typedef struct DeliveredEvent
{
	char	   *key;			/* hash key */
	Event		event;
} DeliveredEvent;

static uint32
hash_string_pointer(const void *key, Size size)
{
	const char *string = *(const char *const *) key;

	return string_hash(string, strlen(string) + 1);
}

static int
match_string_pointers(const void *a, const void *b, Size size)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/*
 * create_string_table
 *		A hash table whose entries begin with a pointer to a string, the key.
 */
HTAB *
create_string_table(const char *name, Size entry_size, MemoryContext context)
{
	HASHCTL		ctl;

	ctl.keysize = sizeof(char *);
	ctl.entrysize = entry_size;
	ctl.hcxt = context;
	ctl.hash = hash_string_pointer;
	ctl.match = match_string_pointers;
	return hash_create(name, 64, &ctl,
					   HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

/*
 * compare_deliveries
 *		Which of two deliveries of an event counts?  The one that comes first.
 */
int
compare_deliveries(const Event *a, const Event *b)
{
	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	for (int i = 0; i < a->nterms && i < b->nterms; i++)
	{
		if (a->terms[i] != b->terms[i])
			return a->terms[i] - b->terms[i];
	}
	return b->nterms - a->nterms;
}

static void
count_event(HistoryReading *reading, const Event *event)
{
	History    *history = reading->history;
	MemoryContext caller;
	LaterEvent *later;

	if (event->at <= reading->upto)
	{
		event_add(reading->rulebook, event, history->summary);
		return;
	}
	caller = MemoryContextSwitchTo(reading->context);
	later = palloc(sizeof(LaterEvent));
	later->at = event->at;
	later->added = engagement_create(reading->rulebook->activity_rules);
	event_add(reading->rulebook, event, later->added);
	history->later = lappend(history->later, later);
	MemoryContextSwitchTo(caller);
}

/*
 * Keep an event that may be delivered again.
 */
static void
deliver_event(HistoryReading *reading, const Event *event)
{
	MemoryContext caller = MemoryContextSwitchTo(reading->context);
	DeliveredEvent *entry;
	bool		found;

	entry = hash_search(reading->delivered, &event->key, HASH_ENTER, &found);
	if (!found)
		entry->key = pstrdup(event->key);
	if (!found || compare_deliveries(event, &entry->event) < 0)
	{
		entry->event = *event;
		entry->event.terms = palloc(sizeof(int32) * event->nterms);
		memcpy(entry->event.terms, event->terms, sizeof(int32) * event->nterms);
	}
	MemoryContextSwitchTo(caller);
}

/*
 * Is an event one of the lead whose history is read?
 */
static bool
is_of_lead(const HistoryReading *reading, const Event *event)
{
	TypeCacheEntry *type;
	Datum		key;

	if (event->match != NULL)
		return strcmp(event->match, reading->match) == 0;
	if (!convert_key(event->lead_key, reading->activity->lead_key_type,
					 reading->key_type, &key))
		return false;
	type = lookup_type_cache(reading->key_type, TYPECACHE_EQ_OPR_FINFO);
	return DatumGetBool(FunctionCall2Coll(&type->eq_opr_finfo, type->typcollation,
										  key, reading->key));
}

static void
read_history_row(TupleTableSlot *row, void *arg)
{
	HistoryReading *reading = (HistoryReading *) arg;
	MemoryContext caller;
	Event		event;
	RuleFailure *failures;

	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(reading->row_context);
	caller = MemoryContextSwitchTo(reading->row_context);
	activity_fill_slot(reading->activity, row, 0);
	(void) event_read(reading->rulebook, reading->activity, &event, &failures);
	if (event.counts && (!reading->reads_all || is_of_lead(reading, &event)))
	{
		if (event.key != NULL)
			deliver_event(reading, &event);
		else
			count_event(reading, &event);
	}
	MemoryContextSwitchTo(caller);
}

/*
 * Read the events of a lead from the table at hand, by a query that finds them,
 * or all that there are.
 */
static void
read_events(void *arg)
{
	HistoryReading *reading = (HistoryReading *) arg;
	ActivitySource *activity = reading->activity;
	char	   *columns = activity_column_list(activity);
	const char *name = reading->rulebook->model;
	const char *condition;
	Oid			type = TEXTOID;
	Datum		value;
	HASH_SEQ_STATUS all;
	DeliveredEvent *entry;

	if (activity->match >= 0)
		value = CStringGetTextDatum(reading->match);
	else
	{
		type = activity->lead_key_type;
		if (!convert_key(reading->key, reading->key_type, type, &value))
			return;
	}
	/* the parameter has a type either way */
	condition = reading->reads_all ? "$1 IS NOT NULL" :
		psprintf(activity->match >= 0 ? "lower(%s) = $1" : "%s = $1",
				 activity->lead_key_sql);

	reading->delivered = activity->event_key != NULL ?
		create_string_table("leadscore delivered events", sizeof(DeliveredEvent), reading->context) : NULL;
	relation_query(activity->relation,
				   psprintf(reading->reads_all ? "%s all %s" : "%s %s", name, activity->name),
				   reading->as_owner,
				   psprintf("SELECT %s FROM %s WHERE %s%s",
							activity->ncolumns > 0 ? columns + 2 : "1",
							qualified_relation_name(activity->relation),
							condition, activity->filter_sql),
				   type, value, reading->snapshot, read_history_row, reading);
	if (reading->delivered != NULL)
	{
		hash_seq_init(&all, reading->delivered);
		while ((entry = hash_seq_search(&all)) != NULL)
			count_event(reading, &entry->event);
		hash_destroy(reading->delivered);
	}
}

/*
 * Read the events of a lead from one of the tables.
 *
 * Where the lead's key takes some computing, a row of anybody may not have one:
 * no query gets past it, but one that leaves it to us.
 */
static void
read_activity(HistoryReading *reading)
{
	History    *total = reading->history;
	History		part;

	reading->reads_all = false;
	if (!reading->activity->lead_key_fails || IsInParallelMode())
	{
		read_events(reading);
		return;
	}
	/* an index on the expression keeps such rows away */
	for (;;)
	{
		ErrorData  *error;

		part.summary = engagement_create(reading->rulebook->activity_rules);
		part.later = NIL;
		reading->history = &part;
		error = catch_error(read_events, reading);
		if (error == NULL)
			break;
		if (reading->reads_all)
			ReThrowError(error);
		reading->reads_all = true;
	}
	reading->history = total;
	engagement_merge(total->summary, part.summary);
	total->later = list_concat(total->later, part.later);
}

/*
 * history_read
 *		Sum up all events of a lead, as a snapshot sees them.
 *
 * 'matches' are the lead's values of the model's match_columns, NULL for one
 * that it has not.  Events after 'upto' are listed apart.  With 'as_owner' the
 * tables are read with the rights of their owners, else with the caller's.  The
 * result is in the current memory context.  The rulebook's slots of activity
 * sources are overwritten.
 */
void
history_read(Rulebook *rulebook, Oid key_type, Datum key, char *const *matches,
			 TimestampTz upto, Snapshot snapshot, bool as_owner,
			 History *history)
{
	HistoryReading reading = {0};

	history->summary = engagement_create(rulebook->activity_rules);
	history->later = NIL;
	reading.rulebook = rulebook;
	reading.context = CurrentMemoryContext;
	reading.row_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore event",
												ALLOCSET_SMALL_SIZES);
	reading.key_type = key_type;
	reading.key = key;
	reading.upto = upto;
	reading.snapshot = snapshot;
	reading.as_owner = as_owner;
	reading.history = history;
	for (int i = 0; i < rulebook->nactivities; i++)
	{
		ActivitySource *activity = &rulebook->activities[i];

		if (!activity->usable || activity->nrules == 0)
			continue;
		reading.activity = activity;
		reading.match = activity->match >= 0 ? matches[activity->match] : NULL;
		if (activity->match < 0 || reading.match != NULL)
			read_activity(&reading);
	}
	MemoryContextDelete(reading.row_context);
}

static void
count_row(TupleTableSlot *row, void *arg)
{
	(*(int *) arg)++;
}

/*
 * event_is_delivered_again
 *		Has a table several rows with one event key?
 */
bool
event_is_delivered_again(Rulebook *rulebook, ActivitySource *activity,
						 const char *event_key, Snapshot snapshot)
{
	int			nrows = 0;

	relation_query(activity->relation,
				   psprintf("%s key %s", rulebook->model, activity->name), true,
				   psprintf("SELECT 1 FROM %s WHERE %s = $1 LIMIT 2",
							qualified_relation_name(activity->relation),
							activity->event_key_sql),
				   TEXTOID, CStringGetTextDatum(event_key), snapshot,
				   count_row, &nrows);
	return nrows > 1;
}


/* --------------------------------------------------------------------
 * Indexes
 * --------------------------------------------------------------------
 */

/*
 * Does one of the first columns of an index hold what events are looked up by?
 *
 * That is a column, or else an expression over the columns in 'wanted', which
 * are numbered as pull_varattnos does.  Which expression is not compared: it
 * may be written in many ways, and the planner knows them better.
 */
static bool
index_serves(Relation index, AttrNumber column, const Bitmapset *wanted)
{
	List	   *expressions = RelationGetIndexExpressions(index);
	ListCell   *expression = list_head(expressions);
	int			ncolumns = Min(index->rd_index->indnkeyatts, 2);

	if (!index->rd_index->indisvalid ||
		(index->rd_rel->relam != BTREE_AM_OID && index->rd_rel->relam != HASH_AM_OID))
		return false;
	for (int i = 0; i < ncolumns; i++)
	{
		AttrNumber	attno = index->rd_index->indkey.values[i];
		Bitmapset  *read = NULL;

		if (attno != 0)
		{
			if (attno == column)
				return true;
			continue;
		}
		pull_varattnos((Node *) lfirst(expression), 1, &read);
		if (column == 0 && bms_is_subset(wanted, read))
			return true;
		expression = lnext(expressions, expression);
	}
	return false;
}

/*
 * The CREATE INDEX that looking up the events of a lead wants, or NULL if there
 * is one that serves.
 */
static char *
missing_index(const ActivitySource *activity)
{
	Relation	rel = try_relation_open(activity->relation, AccessShareLock);
	Node	   *key = (Node *) activity->lead_key->expr;
	AttrNumber	column = 0;
	Bitmapset  *wanted = NULL;
	bool		found = false;
	char		kind;
	ListCell   *lc;

	if (rel == NULL)
		return NULL;
	kind = rel->rd_rel->relkind;
	pull_varattnos(key, 1, &wanted);
	if (activity->match < 0 && IsA(key, Var))
		column = ((Var *) key)->varattno;
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = relation_open(lfirst_oid(lc), AccessShareLock);

		found |= index_serves(index, column, wanted);
		relation_close(index, AccessShareLock);
	}
	relation_close(rel, AccessShareLock);
	if (found || kind == RELKIND_FOREIGN_TABLE)
		return NULL;

	return psprintf("CREATE INDEX %sON %s %s%s%s;",
					kind == RELKIND_PARTITIONED_TABLE ? "" : "CONCURRENTLY ",
					qualified_relation_name(activity->relation),
					activity->match >= 0 ? "(lower" : column == 0 ? "(" : "",
					activity->lead_key_sql,
					activity->match >= 0 || column == 0 ? ")" : "");
}

/*
 * leadscore._missing_activity_indexes(model text)
 *		Activity sources whose tables have no index by which the events of a
 *		lead are found: name, table, and the index as SQL.
 */
PG_FUNCTION_INFO_V1(leadscore_missing_activity_indexes);
Datum
leadscore_missing_activity_indexes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Rulebook   *rulebook;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	rulebook = rulebook_acquire(text_to_cstring(PG_GETARG_TEXT_PP(0)),
								GetActiveSnapshot(), true);
	for (int i = 0; rulebook != NULL && i < rulebook->nactivities; i++)
	{
		const ActivitySource *activity = &rulebook->activities[i];
		char	   *definition;
		Datum		values[3];
		bool		isnull[3] = {false};

		if (!activity->usable || activity->nrules == 0 ||
			(definition = missing_index(activity)) == NULL)
			continue;
		values[0] = CStringGetTextDatum(activity->name);
		values[1] = ObjectIdGetDatum(activity->relation);
		values[2] = CStringGetTextDatum(definition);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
	}
	if (rulebook != NULL)
		rulebook_release(rulebook);

	return (Datum) 0;
}
