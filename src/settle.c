/*-------------------------------------------------------------------------
 *
 * settle.c
 *	  What a transaction has to look at again before it commits.
 *
 * A lead that is scored through look-ups can be missed by two transactions that
 * do not see each other: one changes the look-up and scores the leads it sees,
 * the other writes a lead and scores it by the look-up it sees.  So whoever
 * changed a look-up goes over the leads concerned once more as it commits, and
 * whoever scored leads of such a model as well, if a look-up has changed since.
 *
 * The two exclude each other by a lock that is taken then: shared by those who
 * scored leads, exclusively by those who changed look-ups.  It is the last one
 * that a transaction takes, and nothing is waited for behind it: a state that
 * somebody else holds is left to him, who has yet to come here.  So nobody
 * deadlocks over it.
 *
 * That a look-up has changed is told by an invalidation of leadscore.watched:
 * it reaches others before the lock does, whatever their isolation level.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "problem.h"
#include "rulebook.h"
#include "settle.h"

/* Tells our locks from advisory ones, which have 1 or 2 there. */
#define SETTLE_LOCK_CLASS 3

/* What there is to settle for a model. */
typedef struct Unsettled
{
	char	   *model;
	uint64		signals;		/* seen before the first lead was scored */
	List	   *leads;			/* keys, as Datum pointers */
	List	   *rows;			/* of UnsettledRow */
	SettleLeadsFunction score_leads;
	SettleRowsFunction score_rows;
} Unsettled;

static List *unsettled = NIL;	/* in TopTransactionContext */
static bool callback_registered = false;


/*
 * Let other sessions know that a look-up has changed, once we have committed.
 */
static void
signal_change(void)
{
	CacheInvalidateRelcacheByRelid(leadscore_relation("watched"));
}

static void
lock_model(const char *model, LOCKMODE mode)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, leadscore_relation("watched"),
						 string_hash(model, NAMEDATALEN), SETTLE_LOCK_CLASS);
	(void) LockAcquire(&tag, mode, false, false);
}

/*
 * Settle one model.
 */
static void
settle_model(void *arg)
{
	Unsettled  *model = (Unsettled *) arg;
	bool		changed;

	PushActiveSnapshot(GetTransactionSnapshot());
	lock_model(model->model, model->rows != NIL ? ExclusiveLock : ShareLock);
	changed = rulebook_signals(leadscore_relation("watched")) != model->signals;
	if (model->rows != NIL)
	{
		signal_change();
		model->score_rows(model->model, model->rows, model->leads);
	}
	if (changed && model->leads != NIL)
		model->score_leads(model->model, model->leads);
	PopActiveSnapshot();
}

static int
compare_models(const ListCell *a, const ListCell *b)
{
	return strcmp(((Unsettled *) lfirst(a))->model,
				  ((Unsettled *) lfirst(b))->model);
}

/*
 * Settle one model, whatever goes wrong.
 */
static void
settle_safely(Unsettled *model)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "leadscore settling",
												  ALLOCSET_DEFAULT_SIZES);
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = catch_error(settle_model, model);
	if (error != NULL)
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		note_problem(model->model, NO_RULE, NULL, error->sqlerrcode,
					 psprintf("leads could not be settled at commit: %s", error->message));
		PopActiveSnapshot();
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

static void
settle_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (unsettled != NIL)
			{
				List	   *models = unsettled;
				ListCell   *lc;

				/* what is written now is settled */
				unsettled = NIL;
				list_sort(models, compare_models);
				foreach(lc, models)
					settle_safely((Unsettled *) lfirst(lc));
				unsettled = NIL;
			}
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			unsettled = NIL;
			break;
		default:
			break;
	}
}

/*
 * What there is to settle for a model; the current memory context is that of
 * the transaction afterwards.
 */
static Unsettled *
find_unsettled(const char *name)
{
	Unsettled  *model;
	ListCell   *lc;

	if (!callback_registered)
		RegisterXactCallback(settle_xact_callback, NULL);
	callback_registered = true;
	MemoryContextSwitchTo(TopTransactionContext);
	foreach(lc, unsettled)
	{
		model = (Unsettled *) lfirst(lc);
		if (strcmp(model->model, name) == 0)
			return model;
	}
	model = palloc0(sizeof(Unsettled));
	model->model = pstrdup(name);
	model->signals = rulebook_signals(leadscore_relation("watched"));
	unsettled = lappend(unsettled, model);

	return model;
}

/*
 * settle_lead
 *		A lead is about to be read through watched look-ups.
 */
void
settle_lead(const char *model, Oid key_type, Datum key,
			SettleLeadsFunction function)
{
	MemoryContext caller = CurrentMemoryContext;
	Unsettled  *entry = find_unsettled(model);
	Datum	   *copy = palloc(sizeof(Datum));
	int16		length;
	bool		by_value;

	get_typlenbyval(key_type, &length, &by_value);
	*copy = datumCopy(key, by_value, length);
	entry->leads = lappend(entry->leads, copy);
	entry->score_leads = function;
	MemoryContextSwitchTo(caller);
}

/*
 * settle_row
 *		A row of a watched look-up has changed; 'function' scores the leads
 *		concerned.
 */
void
settle_row(const char *model, Oid relid, Datum row, SettleRowsFunction function)
{
	MemoryContext caller = CurrentMemoryContext;
	Unsettled  *entry = find_unsettled(model);
	UnsettledRow *copy = palloc(sizeof(UnsettledRow));

	copy->relid = relid;
	copy->row = datumCopy(row, false, -1);
	entry->score_rows = function;
	entry->rows = lappend(entry->rows, copy);
	MemoryContextSwitchTo(caller);
}
