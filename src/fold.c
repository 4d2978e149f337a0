/*-------------------------------------------------------------------------
 *
 * fold.c
 *	  Putting what leads did into their states, as the transaction commits.
 *
 * The new events of a lead are added to its summary, whatever its history; or,
 * if an event was changed or deleted, the summary is made anew from history.
 *
 * No session ever waits here for one that may wait for it.  What is waited for
 * are slots: locks on a hash of a lead's key, taken in order, which nobody holds
 * but who is committing.  The state itself is not waited for: whoever holds it
 * may be in the midst of his transaction.  What he keeps us from adding is put
 * off (pending.c), and is his to add: he comes by here as he commits, takes the
 * same slot, and so either sees it, or has gone before we looked.  Should he
 * roll back, it stays pending, which readers add by themselves, until somebody
 * touches the lead or advance() is called.
 *
 * The same slots, a kind of their own, stand for values that leads go by, and for
 * the keys of events.  Those are taken first: an event of a value of which no
 * lead is known, and a lead that comes by that value, or two deliveries of one
 * event, cannot pass each other by.
 *
 * A transaction that touches many leads takes no slots of leads, lest it keep
 * everybody else waiting.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "collect.h"
#include "fold.h"
#include "pending.h"
#include "problem.h"
#include "scorer.h"
#include "source.h"

/* Tell our locks from advisory ones, which have 1 or 2 there, and settle.c's. */
#define VALUE_SLOT_CLASS	4
#define LEAD_SLOT_CLASS		5

/* Slots that there are of a kind and model, and those of leads that one takes. */
#define NUM_SLOTS			256
#define MAX_LEAD_SLOTS		64

/* Events of a lead that are looked for among those delivered before. */
#define MAX_EVENT_KEYS		100

/* A model that is folded. */
typedef struct Folding
{
	Collected  *collected;
	Scorer	   *scorer;
	CollectedLead **leads;		/* those given by key, in order */
	int			nleads;
	TimestampTz now;
} Folding;

/* Work on a model where errors are caught. */
typedef struct FoldStep
{
	Folding    *folding;
	CollectedLead *lead;		/* the one at hand, or NULL */
} FoldStep;


/* --------------------------------------------------------------------
 * Slots
 * --------------------------------------------------------------------
 */

static int
compare_slots(const void *a, const void *b)
{
	uint32		left = *(const uint32 *) a;
	uint32		right = *(const uint32 *) b;

	return (left > right) - (left < right);
}

static uint32
slot_of(const char *model, uint32 hash)
{
	/* the same slots, in the same order, whichever models there are */
	return (string_hash(model, NAMEDATALEN) & ~(uint32) (NUM_SLOTS - 1)) |
		(hash & (NUM_SLOTS - 1));
}

/* Taking slots where errors are caught. */
typedef struct SlotTaking
{
	uint32	   *slots;
	int			n;
	uint16		class;
} SlotTaking;

static void
take_slots_step(void *arg)
{
	const SlotTaking *taking = (const SlotTaking *) arg;
	Oid			relid = leadscore_relation("pending_activity");

	qsort(taking->slots, taking->n, sizeof(uint32), compare_slots);
	for (int i = 0; i < taking->n; i++)
	{
		LOCKTAG		tag;

		if (i > 0 && taking->slots[i] == taking->slots[i - 1])
			continue;
		SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, relid, taking->slots[i], taking->class);
		(void) LockAcquire(&tag, ExclusiveLock, false, false);
	}
}

/*
 * Returns the error if the session's lock_timeout does not let us wait for as
 * long as it takes, else NULL.
 */
static ErrorData *
take_slots(uint32 *slots, int n, uint16 class)
{
	SlotTaking	taking = {slots, n, class};

	return n > 0 ? catch_error(take_slots_step, &taking) : NULL;
}


/* --------------------------------------------------------------------
 * Whose events are they?
 * --------------------------------------------------------------------
 */

/* Looking up the leads that go by a value. */
typedef struct ValueLookup
{
	MemoryContext context;		/* of the keys */
	int16		length;
	bool		by_value;
	List	   *keys;			/* Datum pointers */
} ValueLookup;

static void
keep_key(TupleTableSlot *row, void *arg)
{
	ValueLookup *lookup = (ValueLookup *) arg;
	MemoryContext caller = MemoryContextSwitchTo(lookup->context);
	Datum	   *copy = palloc(sizeof(Datum));

	slot_getallattrs(row);
	*copy = datumCopy(row->tts_values[0], lookup->by_value, lookup->length);
	lookup->keys = lappend(lookup->keys, copy);
	MemoryContextSwitchTo(caller);
}

/*
 * The keys of the leads that go by a value.
 */
static List *
leads_of_value(Scorer *scorer, const char *value)
{
	ValueLookup lookup = {CurrentMemoryContext};
	Oid			states = scorer->states->relid;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());

	get_typlenbyval(scorer->key_type, &lookup.length, &lookup.by_value);
	relation_query(states, psprintf("%s value", scorer->model), true,
				   psprintf("SELECT s.lead_key FROM %s s WHERE s.match_values @> ARRAY[$1]",
							qualified_relation_name(states)),
				   TEXTOID, CStringGetTextDatum(value), snapshot, keep_key, &lookup);
	UnregisterSnapshot(snapshot);

	return lookup.keys;
}

/*
 * Give what was collected by value to the leads that go by it.
 */
static void
resolve_values(Folding *folding)
{
	Collected  *collected = folding->collected;
	HASH_SEQ_STATUS all;
	CollectedLead *lead;
	List	   *by_value = NIL;
	ListCell   *lc;

	hash_seq_init(&all, collected->leads);
	while ((lead = hash_seq_search(&all)) != NULL)
	{
		/* a value that a lead has come by has its slot, and needs nothing else */
		if (lead->value != NULL &&
			(lead->recompute || lead->added != NULL || lead->later != NIL))
			by_value = lappend(by_value, lead);
	}
	foreach(lc, by_value)
	{
		ListCell   *lc2;

		lead = (CollectedLead *) lfirst(lc);
		foreach(lc2, leads_of_value(folding->scorer, lead->value))
		{
			CollectedLead *target = collected_lead(collected, *(Datum *) lfirst(lc2), NULL);

			/* several may go by it */
			collected_merge(target, lead);
		}
	}
}

/*
 * Leads to which events with a key are to be added.
 */
static List *
leads_with_deliveries(Folding *folding)
{
	HASH_SEQ_STATUS all;
	CollectedLead *lead;
	List	   *leads = NIL;

	hash_seq_init(&all, folding->collected->leads);
	while ((lead = hash_seq_search(&all)) != NULL)
	{
		/* events by value are those of the leads that go by it by now */
		if (lead->value != NULL || lead->event_keys == NIL || lead->recompute)
			continue;
		/* to read a lead's history once takes less than to look for each */
		if (list_length(lead->event_keys) > MAX_EVENT_KEYS)
			lead->recompute = true;
		else
			leads = lappend(leads, lead);
	}
	return leads;
}

/*
 * Have the summaries made anew of leads of whom an event was delivered again.
 */
static void
find_deliveries(void *arg)
{
	Folding    *folding = ((FoldStep *) arg)->folding;
	Rulebook   *rulebook = folding->scorer->rulebook;
	CollectedLead *lead;
	Snapshot	snapshot;
	List	   *leads = leads_with_deliveries(folding);
	ListCell   *lc;

	if (leads == NIL)
		return;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	foreach(lc, leads)
	{
		ListCell   *lc2;

		lead = (CollectedLead *) lfirst(lc);
		foreach(lc2, lead->event_keys)
		{
			CollectedKey *entry = (CollectedKey *) lfirst(lc2);

			if (entry->activity >= rulebook->nactivities ||
				rulebook->activities[entry->activity].event_key == NULL ||
				event_is_delivered_again(rulebook, &rulebook->activities[entry->activity],
										 entry->key, snapshot))
			{
				lead->recompute = true;
				break;
			}
		}
	}
	UnregisterSnapshot(snapshot);
}

/*
 * The slots of values and of events' keys that a model's leads need.
 */
static uint32 *
value_slots(Folding *folding, uint32 *slots, int *n)
{
	const char *model = folding->collected->model;
	HASH_SEQ_STATUS all;
	CollectedLead *lead;

	hash_seq_init(&all, folding->collected->leads);
	while ((lead = hash_seq_search(&all)) != NULL)
	{
		ListCell   *lc;

		slots = repalloc_huge(slots, sizeof(uint32) *
							  ((Size) *n + list_length(lead->event_keys) + 1));
		if (lead->value != NULL)
			slots[(*n)++] = slot_of(model, lead->hash);
		foreach(lc, lead->event_keys)
		{
			const char *key = ((CollectedKey *) lfirst(lc))->key;

			slots[(*n)++] = slot_of(model, string_hash(key, strlen(key) + 1));
		}
	}
	return slots;
}


/* --------------------------------------------------------------------
 * One lead
 * --------------------------------------------------------------------
 */

/*
 * Somebody else holds the lead: leave to him what there is to add.
 */
static void
put_off(Folding *folding, CollectedLead *lead)
{
	const char *model = folding->collected->model;
	char	   *key = key_to_text(folding->scorer, lead->key);
	ListCell   *lc;

	if (lead->recompute)
	{
		pending_add(model, key, DT_NOBEGIN, NULL);
		return;
	}
	if (lead->added != NULL)
		pending_add(model, key, DT_NOBEGIN, lead->added);
	foreach(lc, lead->later)
	{
		LaterEvent *later = (LaterEvent *) lfirst(lc);

		pending_add(model, key, later->at, later->added);
	}
}

/*
 * Fold one lead, whose state nobody else holds, or put it off.
 */
static void
fold_lead(Folding *folding, CollectedLead *lead)
{
	Scorer	   *scorer = folding->scorer;
	Rulebook   *rulebook = scorer->rulebook;
	StateTable *states = scorer->states;
	bool		recompute = lead->recompute;

	for (;;)
	{
		StateRow	old;
		StateRow	row;
		bool		busy = false;
		ScorerChange change = {0};
		ListCell   *lc;

		CHECK_FOR_INTERRUPTS();
		state_table_open(states);
		if (!state_find(states, lead->key, true, &busy, &old) && !busy)
		{
			/* nothing but a state of ours that is gone again */
			if (!recompute && lead->added == NULL && lead->later == NIL)
			{
				state_table_close(states);
				return;
			}
			scorer_unknown_lead(scorer, lead->key, folding->now, &row);
			scorer_apply(scorer, &row, scorer_nothing_done(scorer), folding->now, DT_NOEND);
			if (state_insert(states, &row, false) &&
				scorer->complete_for != (int64) rulebook->activity_rules)
				recompute = true;
			state_table_close(states);
			continue;
		}
		if (!busy && !state_lock(states, &old, true, &busy) && !busy)
		{
			state_table_close(states);
			continue;
		}
		state_table_close(states);
		if (busy)
		{
			lead->recompute = recompute;
			put_off(folding, lead);
			return;
		}

		change.added = lead->added;
		foreach(lc, lead->later)
		{
			LaterEvent *later = (LaterEvent *) lfirst(lc);

			if (later->at > folding->now || recompute)
				change.later = lappend(change.later, later);
			else if (change.added == NULL)
				change.added = later->added;
			else
				engagement_merge(change.added, later->added);
		}
		change.recompute = recompute;
		change.writes_back = true;
		change.at_commit = true;
		change.cause = CAUSE_EVENT;
		change.at = folding->now;
		(void) scorer_update_locked(scorer, lead->key, &change);
		return;
	}
}


/* --------------------------------------------------------------------
 * All of them
 * --------------------------------------------------------------------
 */

static StateTable *sorting_states;

static int
compare_leads(const void *a, const void *b)
{
	return state_compare_keys(sorting_states, (*(CollectedLead *const *) a)->key,
							  (*(CollectedLead *const *) b)->key);
}

/*
 * List the leads of a model in the order of their keys.
 */
static void
list_leads(Folding *folding)
{
	HASH_SEQ_STATUS all;
	CollectedLead *lead;

	folding->leads = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(CollectedLead *) *
											(hash_get_num_entries(folding->collected->leads) + 1));
	hash_seq_init(&all, folding->collected->leads);
	while ((lead = hash_seq_search(&all)) != NULL)
	{
		if (lead->value == NULL)
			folding->leads[folding->nleads++] = lead;
	}
	sorting_states = folding->scorer->states;
	qsort(folding->leads, folding->nleads, sizeof(CollectedLead *), compare_leads);
}

/*
 * Has a model anything to look up before its leads are known?
 */
static bool
needs_resolving(const Folding *folding)
{
	const Rulebook *rulebook = folding->scorer->rulebook;

	for (int i = 0; i < rulebook->nactivities; i++)
	{
		if (rulebook->activities[i].match >= 0 || rulebook->activities[i].event_key != NULL)
			return true;
	}
	return false;
}

static void
resolve_step(void *arg)
{
	Folding    *folding = ((FoldStep *) arg)->folding;

	if (folding->scorer->rulebook->nmatches > 0)
		resolve_values(folding);
}

/*
 * Fold the leads of a model from the one at hand on.
 */
static void
fold_step(void *arg)
{
	FoldStep   *step = (FoldStep *) arg;
	Folding    *folding = step->folding;
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "leadscore lead",
												  ALLOCSET_DEFAULT_SIZES);

	folding->scorer->ignores_pending = !pending_exists(folding->collected->model);
	for (int i = 0; i < folding->nleads; i++)
	{
		step->lead = folding->leads[i];
		/* a state that we only wrote has nothing to add unless others put it off */
		if (folding->scorer->ignores_pending && !step->lead->recompute &&
			step->lead->added == NULL && step->lead->later == NIL)
			continue;
		MemoryContextSwitchTo(context);
		fold_lead(folding, step->lead);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(context);
	}
	step->lead = NULL;
	MemoryContextDelete(context);
}

static void
recompute_deliveries(Folding *folding)
{
	ListCell   *lc;

	foreach(lc, leads_with_deliveries(folding))
		((CollectedLead *) lfirst(lc))->recompute = true;
}

static void
recompute_step(void *arg)
{
	FoldStep   *step = (FoldStep *) arg;

	for (int i = 0; i < step->folding->nleads; i++)
	{
		CollectedLead *lead = step->folding->leads[i];

		if (lead->added != NULL || lead->later != NIL)
			lead->recompute = true;
		put_off(step->folding, lead);
	}
}

/*
 * Something went wrong that is nobody's fault who commits now: say so, and have
 * the leads made anew when somebody comes by them next.
 */
static void
fold_failed(Folding *folding, const ErrorData *error)
{
	FoldStep	step = {folding, NULL};

	note_problem(folding->collected->model, NO_RULE, NULL, error->sqlerrcode,
				 psprintf("activities could not be added at commit: %s", error->message));
	(void) catch_error(recompute_step, &step);
}

/*
 * Get ready to fold a model; false if it cannot score.
 */
static bool
prepare_folding(Folding *folding, Collected *collected)
{
	memset(folding, 0, sizeof(Folding));
	folding->collected = collected;
	folding->now = GetCurrentTimestamp();
	folding->scorer = scorer_create(collected->model);
	if (folding->scorer->rulebook == NULL || folding->scorer->rulebook->nterms == 0 ||
		folding->scorer->states->key_index < 0)
		return false;
	collected_set_key_type(collected, folding->scorer->key_type);
	folding->scorer->must_not_wait = true;
	return true;
}

/*
 * The rules may have changed since the first event.
 */
static void
distrust_old_rules(Folding *folding)
{
	HASH_SEQ_STATUS all;
	CollectedLead *lead;

	if (folding->collected->rules == 0 ||
		folding->collected->rules == folding->scorer->rulebook->activity_rules)
		return;
	hash_seq_init(&all, folding->collected->leads);
	while ((lead = hash_seq_search(&all)) != NULL)
	{
		lead->recompute |= lead->added != NULL || lead->later != NIL;
		lead->added = NULL;
		lead->later = NIL;
		lead->event_keys = NIL;
	}
}

static int
compare_models(const ListCell *a, const ListCell *b)
{
	return strcmp(((Collected *) lfirst(a))->model, ((Collected *) lfirst(b))->model);
}

/*
 * fold_collected
 *		Put what a transaction has collected into the states of the leads.
 */
static void
fold_collected(List *models, bool may_wait)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "leadscore folding",
												  ALLOCSET_DEFAULT_SIZES);
	Folding    *foldings;
	ErrorData **errors;
	ErrorData  *no_slots = NULL;
	int			n = 0;
	uint32	   *slots;
	int			nslots = 0;
	ListCell   *lc;

	MemoryContextSwitchTo(context);
	PushActiveSnapshot(GetTransactionSnapshot());
	/* no subtransaction may begin before this is done */
	CommandCounterIncrement();
	list_sort(models, compare_models);
	foldings = palloc(sizeof(Folding) * list_length(models));
	errors = palloc0(sizeof(ErrorData *) * list_length(models));
	foreach(lc, models)
	{
		if (prepare_folding(&foldings[n], (Collected *) lfirst(lc)))
			distrust_old_rules(&foldings[n++]);
	}

	slots = palloc(sizeof(uint32));
	for (int i = 0; i < n; i++)
		slots = value_slots(&foldings[i], slots, &nslots);
	if (may_wait)
		no_slots = take_slots(slots, nslots, VALUE_SLOT_CLASS);
	for (int i = 0; i < n; i++)
	{
		FoldStep	step = {&foldings[i], NULL};

		if (needs_resolving(&foldings[i]))
		{
			errors[i] = catch_error(resolve_step, &step);
			/* the key of some other event cannot be told: trust none */
			if (errors[i] == NULL && catch_error(find_deliveries, &step) != NULL)
				recompute_deliveries(&foldings[i]);
		}
		list_leads(&foldings[i]);
	}

	nslots = 0;
	for (int i = 0; i < n; i++)
	{
		for (int j = 0; j < foldings[i].nleads && nslots <= MAX_LEAD_SLOTS; j++)
		{
			slots = repalloc_huge(slots, sizeof(uint32) * (nslots + 1));
			slots[nslots++] = slot_of(foldings[i].collected->model, foldings[i].leads[j]->hash);
		}
	}
	if (may_wait && nslots <= MAX_LEAD_SLOTS && no_slots == NULL)
		no_slots = take_slots(slots, nslots, LEAD_SLOT_CLASS);
	for (int i = 0; i < n; i++)
	{
		FoldStep	step = {&foldings[i], NULL};

		/* what others added while we waited was before that */
		foldings[i].now = GetCurrentTimestamp();
		if (errors[i] == NULL)
			errors[i] = no_slots;
		if (errors[i] == NULL)
			errors[i] = catch_error(fold_step, &step);
		if (errors[i] != NULL)
			fold_failed(&foldings[i], errors[i]);
	}
	PopActiveSnapshot();
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

/*
 * _PG_init
 *		The rooms before this one do not know who folds.
 */
void
_PG_init(void)
{
	collect_set_fold(fold_collected);
}
