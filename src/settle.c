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
 * deadlocks over it.  Should he roll back, the lead is left over for the next
 * one who settles anything of the model (leadscore.unsettled_lead).
 *
 * A transaction that is prepared for a two-phase commit takes no lock; one that
 * runs beside it may miss its look-ups.
 *
 * That a look-up has changed is told by an invalidation of leadscore.watched:
 * it reaches others before the lock does, whatever their isolation level.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "problem.h"
#include "rulebook.h"
#include "settle.h"
#include "source.h"

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
static bool preparing = false;	/* for a two-phase commit */
static BeforeSettling before_settling = NULL;
static AfterSettling after_settling = NULL;


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
 * Run a statement on leadscore.unsettled_lead as its owner, with the newest
 * rows; its results stay in the SPI context of the caller.
 */
static void
run_on_unsettled(const char *text, int nargs, Datum *values)
{
	static Oid	types[] = {TEXTOID, TEXTOID};
	Impersonation impersonation;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SPIPlanPtr	plan;

	impersonate(&impersonation, relation_owner(leadscore_relation("unsettled_lead")),
				"pg_catalog, pg_temp");
	plan = SPI_prepare(text, nargs, types);
	if (plan == NULL ||
		SPI_execute_snapshot(plan, values, NULL, snapshot, InvalidSnapshot,
							 false, true, 0) < 0)
		elog(ERROR, "could not write to leadscore.unsettled_lead");
	UnregisterSnapshot(snapshot);
	impersonate_end(&impersonation);
}

/* A lead to be left for later. */
typedef struct LeftLead
{
	const char *model;
	const char *lead_key;
} LeftLead;

static void
leave_lead(void *arg)
{
	LeftLead   *lead = (LeftLead *) arg;
	Datum		values[2];

	values[0] = CStringGetTextDatum(lead->model);
	values[1] = CStringGetTextDatum(lead->lead_key);
	SPI_connect();
	run_on_unsettled("INSERT INTO leadscore.unsettled_lead VALUES ($1, $2) ON CONFLICT DO NOTHING",
					 2, values);
	SPI_finish();
}

/*
 * settle_later
 *		Somebody else holds the state of a lead whose look-up we changed.  He
 *		will come by here as he commits; but he may not commit.
 */
void
settle_later(const char *model, const char *lead_key)
{
	LeftLead	lead = {model, lead_key};
	ErrorData  *error = catch_error(leave_lead, &lead);

	/* under REPEATABLE READ: somebody has just left the same lead */
	if (error != NULL && error->sqlerrcode != ERRCODE_T_R_SERIALIZATION_FAILURE)
		ReThrowError(error);
}

/*
 * The keys, as text, of leads that were left for later; they are ours now.
 */
static List *
take_left_over(const char *model)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		value = CStringGetTextDatum(model);
	List	   *keys = NIL;

	SPI_connect();
	run_on_unsettled("DELETE FROM leadscore.unsettled_lead u WHERE u.model = $1 AND u.lead_key IN "
					 "(SELECT l.lead_key FROM leadscore.unsettled_lead l WHERE l.model = $1 "
					 "ORDER BY l.lead_key LIMIT 100 FOR UPDATE SKIP LOCKED) RETURNING u.lead_key",
					 1, &value);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *key = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		MemoryContext spi = MemoryContextSwitchTo(caller);

		keys = lappend(keys, pstrdup(key));
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();

	return keys;
}

/*
 * Settle one model: what this transaction has to look at again.
 */
static void
settle_model(void *arg)
{
	Unsettled  *model = (Unsettled *) arg;
	bool		changed;

	PushActiveSnapshot(GetTransactionSnapshot());
	/* a prepared transaction may keep its locks for days */
	if (!preparing)
		lock_model(model->model, model->rows != NIL ? ExclusiveLock : ShareLock);
	changed = rulebook_signals(leadscore_relation("watched")) != model->signals;
	if (model->rows != NIL)
	{
		signal_change();
		model->score_rows(model->model, model->rows, model->leads);
	}
	if (changed)
		model->score_leads(model->model, model->leads, NIL);
	PopActiveSnapshot();
}

/*
 * And what others left over.
 */
static void
settle_left_over(void *arg)
{
	Unsettled  *model = (Unsettled *) arg;

	PushActiveSnapshot(GetTransactionSnapshot());
	if (has_row_for_model("unsettled_lead", model->model))
		model->score_leads(model->model, NIL, take_left_over(model->model));
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
	if (error == NULL)
	{
		error = catch_error(settle_left_over, model);
		/* what somebody else takes at the same time is his */
		if (error != NULL && error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE)
			error = NULL;
	}
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
finish(bool commits)
{
	AfterSettling function = after_settling;

	after_settling = NULL;
	if (function != NULL)
		function(commits);
}

static void
settle_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			preparing = event == XACT_EVENT_PRE_PREPARE;
			/* the extension was dropped since: there is nothing to keep up */
			if ((before_settling != NULL || unsettled != NIL) &&
				!OidIsValid(get_namespace_oid(LEADSCORE_SCHEMA, true)))
			{
				before_settling = NULL;
				unsettled = NIL;
				finish(false);
				break;
			}
			/* a prepared transaction may keep its locks for days */
			if (before_settling != NULL)
				before_settling(!preparing);
			if (unsettled != NIL)
			{
				List	   *models = unsettled;
				ListCell   *lc;

				/* what is written now is settled */
				unsettled = NIL;
				/* no subtransaction may begin before this is done */
				CommandCounterIncrement();
				list_sort(models, compare_models);
				foreach(lc, models)
					settle_safely((Unsettled *) lfirst(lc));
				unsettled = NIL;
				/* nothing is waited for behind the lock that is held now */
				if (before_settling != NULL)
					before_settling(false);
			}
			before_settling = NULL;
			finish(!preparing);
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			unsettled = NIL;
			before_settling = NULL;
			finish(false);
			break;
		default:
			break;
	}
}

static void
register_callback(void)
{
	if (!callback_registered)
		RegisterXactCallback(settle_xact_callback, NULL);
	callback_registered = true;
}

/*
 * settle_before
 *		Have a function called as the transaction commits, before anything is
 *		settled, and again after it.
 */
void
settle_before(BeforeSettling function)
{
	register_callback();
	before_settling = function;
}

/*
 * settle_after
 *		Have a function called as the transaction commits, behind everything
 *		else; or with false, if it does not, or is only prepared.
 */
void
settle_after(AfterSettling function)
{
	register_callback();
	after_settling = function;
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

	register_callback();
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
settle_row(const char *model, Oid relid, Datum row, SettleRowsFunction function,
		   SettleLeadsFunction leads_function)
{
	MemoryContext caller = CurrentMemoryContext;
	Unsettled  *entry = find_unsettled(model);
	UnsettledRow *copy = palloc(sizeof(UnsettledRow));

	copy->relid = relid;
	copy->row = datumCopy(row, false, -1);
	entry->score_rows = function;
	entry->score_leads = leads_function;
	entry->rows = lappend(entry->rows, copy);
	MemoryContextSwitchTo(caller);
}
