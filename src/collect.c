/*-------------------------------------------------------------------------
 *
 * collect.c
 *	  What a transaction owes its leads when it commits.
 *
 * Events are not put into their leads' states one by one but collected, and
 * folded once per lead as the transaction commits: a bulk load pays for leads
 * rather than for events, and no state is held locked for longer than a commit
 * takes.  Until then the transaction sees the old engagement.
 *
 * What was collected in a subtransaction goes with it if it is rolled back,
 * and to its parent if not.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "collect.h"
#include "scorer.h"
#include "settle.h"

/* Leads whose state was merely written, and are remembered one by one. */
#define MAX_WRITTEN 10000

/* What one level of subtransactions has collected. */
typedef struct Level
{
	int			nest_level;
	MemoryContext context;
	List	   *models;			/* of Collected */
	struct Level *parent;
} Level;

static Level *levels = NULL;	/* innermost first; in TopTransactionContext */
static FoldFunction fold_function = NULL;
static bool callback_registered = false;

/* What the hash tables' functions go by. */
static TypeCacheEntry *key_type_entry = NULL;


/* --------------------------------------------------------------------
 * Leads by key and by value
 * --------------------------------------------------------------------
 */

static void
use_key_type(Oid type)
{
	if (key_type_entry == NULL || key_type_entry->type_id != type)
		key_type_entry = lookup_type_cache(type, TYPECACHE_HASH_PROC_FINFO |
										   TYPECACHE_EQ_OPR_FINFO);
}

static uint32
hash_lead(const void *key, Size size)
{
	return ((const CollectedLead *) key)->hash;
}

static int
match_lead(const void *a, const void *b, Size size)
{
	const CollectedLead *left = (const CollectedLead *) a;
	const CollectedLead *right = (const CollectedLead *) b;

	if (left->value != NULL || right->value != NULL)
		return left->value == NULL || right->value == NULL ||
			strcmp(left->value, right->value) != 0;
	return !DatumGetBool(FunctionCall2Coll(&key_type_entry->eq_opr_finfo,
										   key_type_entry->typcollation,
										   left->key, right->key));
}

static HTAB *
create_leads(MemoryContext context)
{
	HASHCTL		ctl;

	ctl.keysize = offsetof(CollectedLead, added);
	ctl.entrysize = sizeof(CollectedLead);
	ctl.hash = hash_lead;
	ctl.match = match_lead;
	ctl.hcxt = context;
	return hash_create("leadscore collected leads", 64, &ctl,
					   HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

/*
 * collected_lead
 *		The entry of a lead, made if there is none.
 */
CollectedLead *
collected_lead(Collected *collected, Datum key, const char *value)
{
	CollectedLead wanted = {0};
	CollectedLead *lead;
	bool		found;

	use_key_type(collected->key_type);
	wanted.key = key;
	wanted.value = unconstify(char *, value);
	wanted.hash = value != NULL ? string_hash(value, strlen(value) + 1) :
		DatumGetUInt32(FunctionCall1Coll(&key_type_entry->hash_proc_finfo,
										 key_type_entry->typcollation, key));
	lead = hash_search(collected->leads, &wanted, HASH_ENTER, &found);
	if (!found)
	{
		MemoryContext caller = MemoryContextSwitchTo(GetMemoryChunkContext(collected));

		if (value != NULL)
			lead->value = pstrdup(value);
		else
			lead->key = datumCopy(key, key_type_entry->typbyval, key_type_entry->typlen);
		lead->added = NULL;
		lead->later = NIL;
		lead->event_keys = NIL;
		lead->recompute = false;
		MemoryContextSwitchTo(caller);
	}
	return lead;
}

static Engagement *
copy_engagement(const Engagement *engagement)
{
	Engagement *copy = engagement_create(engagement->rules);

	engagement_merge(copy, engagement);
	return copy;
}

/*
 * collected_merge
 *		Add what was collected of a lead to another entry, in the current memory
 *		context; none of it is shared.
 */
void
collected_merge(CollectedLead *into, const CollectedLead *from)
{
	ListCell   *lc;

	into->recompute |= from->recompute;
	if (into->recompute)
		return;					/* nothing else matters then */
	if (from->added != NULL)
	{
		if (into->added == NULL)
			into->added = copy_engagement(from->added);
		else
			engagement_merge(into->added, from->added);
	}
	foreach(lc, from->later)
	{
		const LaterEvent *later = (const LaterEvent *) lfirst(lc);
		LaterEvent *copy = palloc(sizeof(LaterEvent));

		copy->at = later->at;
		copy->added = copy_engagement(later->added);
		into->later = lappend(into->later, copy);
	}
	foreach(lc, from->event_keys)
	{
		const CollectedKey *key = (const CollectedKey *) lfirst(lc);
		CollectedKey *copy = palloc(sizeof(CollectedKey));

		copy->activity = key->activity;
		copy->key = pstrdup(key->key);
		into->event_keys = lappend(into->event_keys, copy);
	}
}

/*
 * collected_set_key_type
 *		The leads have got keys of another type since: go on with those.
 *
 * Their table was rewritten, so what they did is made anew.
 */
void
collected_set_key_type(Collected *collected, Oid key_type)
{
	Oid			old_type = collected->key_type;
	HTAB	   *old_leads = collected->leads;
	MemoryContext caller;
	HASH_SEQ_STATUS all;
	CollectedLead *lead;

	if (same_key_type(key_type, old_type))
		return;
	collected->key_type = key_type;
	collected->leads = create_leads(GetMemoryChunkContext(collected));
	caller = MemoryContextSwitchTo(GetMemoryChunkContext(collected));
	hash_seq_init(&all, old_leads);
	while ((lead = hash_seq_search(&all)) != NULL)
	{
		Datum		key = (Datum) 0;

		if (lead->value == NULL && !convert_key(lead->key, old_type, key_type, &key))
			continue;
		collected_lead(collected, key, lead->value)->recompute |=
			lead->recompute || lead->added != NULL || lead->later != NIL;
	}
	hash_destroy(old_leads);
	MemoryContextSwitchTo(caller);
}


/* --------------------------------------------------------------------
 * Levels of subtransactions
 * --------------------------------------------------------------------
 */

static Collected *
find_collected(Level *level, const char *model)
{
	ListCell   *lc;

	foreach(lc, level->models)
	{
		Collected  *collected = (Collected *) lfirst(lc);

		if (strcmp(collected->model, model) == 0)
			return collected;
	}
	return NULL;
}

static Collected *
make_collected(Level *level, const char *model, Oid key_type, uint64 rules)
{
	MemoryContext caller = MemoryContextSwitchTo(level->context);
	Collected  *collected = palloc0(sizeof(Collected));

	collected->model = pstrdup(model);
	collected->key_type = key_type;
	collected->rules = rules;
	collected->leads = create_leads(level->context);
	level->models = lappend(level->models, collected);
	MemoryContextSwitchTo(caller);

	return collected;
}

/*
 * A level has ended: what it collected belongs to its parent.
 */
static void
merge_level(Level *level, Level *into)
{
	ListCell   *lc;

	foreach(lc, level->models)
	{
		Collected  *from = (Collected *) lfirst(lc);
		Collected  *to = find_collected(into, from->model);
		HASH_SEQ_STATUS all;
		CollectedLead *lead;
		MemoryContext caller;

		if (to == NULL)
			to = make_collected(into, from->model, from->key_type, from->rules);
		collected_set_key_type(to, from->key_type);
		if (to->rules == 0)
			to->rules = from->rules;
		caller = MemoryContextSwitchTo(into->context);
		hash_seq_init(&all, from->leads);
		while ((lead = hash_seq_search(&all)) != NULL)
		{
			CollectedLead *target = collected_lead(to, lead->key, lead->value);

			if (from->rules != to->rules && from->rules != 0 && to->rules != 0)
				target->recompute |= lead->recompute || lead->added != NULL ||
					lead->later != NIL;
			else
				collected_merge(target, lead);
		}
		MemoryContextSwitchTo(caller);
	}
	/* a transaction may have as many subtransactions as it has events */
	MemoryContextDelete(level->context);
}

static void
collect_subxact_callback(SubXactEvent event, SubTransactionId subtransaction,
						 SubTransactionId parent, void *arg)
{
	int			nest_level = GetCurrentTransactionNestLevel();
	Level	   *level = levels;

	if (level == NULL || level->nest_level < nest_level)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		levels = level->parent;
		MemoryContextDelete(level->context);
	}
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		if (level->parent == NULL || level->parent->nest_level < nest_level - 1)
			level->nest_level--;
		else
		{
			levels = level->parent;
			merge_level(level, level->parent);
		}
	}
}

/*
 * Before the transaction commits.
 */
static void
fold_all(bool may_wait)
{
	Level	   *level = levels;

	if (level == NULL)
		return;
	/* what is collected while that is done is for the next time */
	levels = NULL;
	fold_function(level->models, may_wait);
	MemoryContextDelete(level->context);
}

static void
collect_xact_callback(XactEvent event, void *arg)
{
	/* its memory goes with the transaction's */
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
	{
		levels = NULL;
		key_type_entry = NULL;
	}
}

/*
 * collect_set_fold
 *		Who puts what is collected into the states.
 */
void
collect_set_fold(FoldFunction fold)
{
	fold_function = fold;
}

/*
 * What the current subtransaction has collected for a model.
 */
static Collected *
current_collected(const char *model, Oid key_type, uint64 rules)
{
	int			nest_level = GetCurrentTransactionNestLevel();
	Collected  *collected;

	if (!callback_registered)
	{
		RegisterXactCallback(collect_xact_callback, NULL);
		RegisterSubXactCallback(collect_subxact_callback, NULL);
		callback_registered = true;
	}
	settle_before(fold_all);
	if (levels == NULL || levels->nest_level < nest_level)
	{
		MemoryContext context = AllocSetContextCreate(TopTransactionContext,
													  "leadscore collected activities",
													  ALLOCSET_DEFAULT_SIZES);
		Level	   *level = MemoryContextAllocZero(context, sizeof(Level));

		level->nest_level = nest_level;
		level->context = context;
		level->parent = levels;
		levels = level;
	}
	collected = find_collected(levels, model);
	if (collected == NULL)
		collected = make_collected(levels, model, key_type, rules);
	collected_set_key_type(collected, key_type);
	return collected;
}


/* --------------------------------------------------------------------
 * Collecting
 * --------------------------------------------------------------------
 */

/*
 * collect_event
 *		An event that counts is to be added to a lead, given by its key, or by
 *		'value' if that is not NULL.
 */
void
collect_event(const char *model, Oid key_type, Datum key, const char *value,
			  const Rulebook *rulebook, int32 activity, const Event *event)
{
	Collected  *collected = current_collected(model, key_type,
											  rulebook->activity_rules);
	CollectedLead *lead = collected_lead(collected, key, value);
	MemoryContext caller = MemoryContextSwitchTo(levels->context);

	if (collected->rules == 0)
		collected->rules = rulebook->activity_rules;
	/* the rules have changed since the last statement */
	if (collected->rules != rulebook->activity_rules)
		lead->recompute = true;
	if (lead->recompute)
		;
	else if (event->at <= GetCurrentTimestamp())
	{
		if (lead->added == NULL)
			lead->added = engagement_create(rulebook->activity_rules);
		event_add(rulebook, event, lead->added);
	}
	else
	{
		LaterEvent *later = palloc(sizeof(LaterEvent));

		later->at = event->at;
		later->added = engagement_create(rulebook->activity_rules);
		event_add(rulebook, event, later->added);
		lead->later = lappend(lead->later, later);
	}
	if (event->key != NULL && !lead->recompute)
	{
		CollectedKey *entry = palloc(sizeof(CollectedKey));

		entry->activity = activity;
		entry->key = pstrdup(event->key);
		lead->event_keys = lappend(lead->event_keys, entry);
	}
	MemoryContextSwitchTo(caller);
}

/*
 * collect_recompute
 *		What a lead did is to be made anew from its history.
 */
void
collect_recompute(const char *model, Oid key_type, Datum key, const char *value)
{
	Collected  *collected = current_collected(model, key_type, 0);

	collected_lead(collected, key, value)->recompute = true;
}

/*
 * collect_distrust
 *		States of a model are about to be made from history, which holds what was
 *		collected so far: at commit those leads are made anew rather than added
 *		to.
 */
void
collect_distrust(const char *model)
{
	for (Level *level = levels; level != NULL; level = level->parent)
	{
		Collected  *collected = find_collected(level, model);
		HASH_SEQ_STATUS all;
		CollectedLead *lead;

		if (collected == NULL)
			continue;
		hash_seq_init(&all, collected->leads);
		while ((lead = hash_seq_search(&all)) != NULL)
			lead->recompute |= lead->added != NULL || lead->later != NIL ||
				lead->event_keys != NIL;
	}
}

/*
 * collect_written
 *		We hold the state of a lead: what others put off meanwhile is ours to
 *		add.
 */
void
collect_written(const char *model, Oid key_type, Datum key)
{
	Collected  *collected = current_collected(model, key_type, 0);

	/* more are left to whoever touches them next */
	if (hash_get_num_entries(collected->leads) < MAX_WRITTEN)
		(void) collected_lead(collected, key, NULL);
}

/*
 * collect_value
 *		A lead that we write goes by a value: nobody is to look it up who has not
 *		seen us.
 */
void
collect_value(const char *model, Oid key_type, const char *value)
{
	Collected  *collected = current_collected(model, key_type, 0);

	(void) collected_lead(collected, (Datum) 0, value);
}
