/*-------------------------------------------------------------------------
 *
 * pending.c
 *	  Activities that are not in a lead's summary yet.
 *
 * An event that is dated in the future counts from its time on, and one whose
 * lead somebody else holds as the transaction commits is not waited for.  Each
 * is a row of leadscore.pending_activity: a summary of its own, and from when on
 * it counts.  A row without a summary says that the lead's is to be made anew.
 *
 * Whoever reads a lead's engagement adds what is due; whoever holds the lead's
 * state may take the rows and put them into its summary.  Nobody else deletes
 * them.  The rows are written by direct access, as the states are and for the
 * same reasons (see state.c).
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "event.h"
#include "pending.h"
#include "rulebook.h"

/* The columns of leadscore.pending_activity, in the order of the install script. */
#define Anum_pending_activity_model			1
#define Anum_pending_activity_lead_key		2
#define Anum_pending_activity_due_at		3
#define Anum_pending_activity_engagement	4
#define Natts_pending_activity				4


/*
 * pending_exists
 *		Is anything pending for a model, by what is committed, or our own?
 */
bool
pending_exists(const char *model)
{
	Relation	rel = table_open(leadscore_relation("pending_activity"), AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(model));
	scan = systable_beginscan(rel, leadscore_relation("pending_activity_lead_idx"),
							  true, snapshot, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);

	return found;
}

/*
 * pending_leads
 *		Keys, as text, of the leads of a model of whom something is pending, as
 *		a snapshot sees it, in the current memory context: a hash table of char
 *		pointers.  NULL if there are none.
 */
HTAB *
pending_leads(const char *model, Snapshot snapshot)
{
	Relation	rel = table_open(leadscore_relation("pending_activity"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	HTAB	   *leads = NULL;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_TEXTEQ, CStringGetTextDatum(model));
	scan = systable_beginscan(rel, leadscore_relation("pending_activity_lead_idx"),
							  true, snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		bool		found;
		char	   *lead_key =
			TextDatumGetCString(heap_getattr(tuple, Anum_pending_activity_lead_key,
											 RelationGetDescr(rel), &isnull));

		if (leads == NULL)
			leads = create_string_table("leadscore pending leads", sizeof(char *),
										CurrentMemoryContext);
		(void) hash_search(leads, &lead_key, HASH_ENTER, &found);
		if (found)
			pfree(lead_key);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	return leads;
}

/*
 * pending_add
 *		Put off some activities of a lead; with NULL, have its summary made anew.
 */
void
pending_add(const char *model, const char *lead_key, TimestampTz due_at,
			const Engagement *added)
{
	Relation	rel = table_open(leadscore_relation("pending_activity"), RowExclusiveLock);
	Datum		values[Natts_pending_activity];
	bool		nulls[Natts_pending_activity] = {false};
	HeapTuple	tuple;

	values[Anum_pending_activity_model - 1] = CStringGetTextDatum(model);
	values[Anum_pending_activity_lead_key - 1] = CStringGetTextDatum(lead_key);
	values[Anum_pending_activity_due_at - 1] = TimestampTzGetDatum(due_at);
	if (added != NULL)
		values[Anum_pending_activity_engagement - 1] = engagement_pack(added);
	else
		nulls[Anum_pending_activity_engagement - 1] = true;
	tuple = heap_form_tuple(RelationGetDescr(rel), values, nulls);
	CatalogTupleInsert(rel, tuple);
	heap_freetuple(tuple);
	/* until the end of the transaction, as any writer does */
	table_close(rel, NoLock);
}

/*
 * Go through the rows of a lead, and delete those that are due if 'take'.
 */
static void
scan_pending(const char *model, const char *lead_key, uint64 rules,
			 TimestampTz upto, Snapshot snapshot, bool take, Pending *pending)
{
	LOCKMODE	lock = take ? RowExclusiveLock : AccessShareLock;
	Relation	rel = table_open(leadscore_relation("pending_activity"), lock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	pending->due = NULL;
	pending->recompute = false;
	pending->next_due = DT_NOEND;
	ScanKeyInit(&keys[0], Anum_pending_activity_model, BTEqualStrategyNumber,
				F_TEXTEQ, CStringGetTextDatum(model));
	ScanKeyInit(&keys[1], Anum_pending_activity_lead_key, BTEqualStrategyNumber,
				F_TEXTEQ, CStringGetTextDatum(lead_key));
	scan = systable_beginscan(rel, leadscore_relation("pending_activity_lead_idx"),
							  true, snapshot, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		packed;
		TimestampTz due_at =
			DatumGetTimestampTz(heap_getattr(tuple, Anum_pending_activity_due_at,
											 RelationGetDescr(rel), &isnull));

		if (due_at > upto)
		{
			pending->next_due = Min(pending->next_due, due_at);
			continue;
		}
		packed = heap_getattr(tuple, Anum_pending_activity_engagement,
							  RelationGetDescr(rel), &isnull);
		if (isnull || engagement_rules(packed) != rules)
			pending->recompute = true;
		else if (pending->due == NULL)
			pending->due = engagement_unpack(packed);
		else
			engagement_merge(pending->due, engagement_unpack(packed));
		if (take)
		{
			TM_FailureData failure;

			(void) table_tuple_delete(rel, &tuple->t_self, GetCurrentCommandId(true),
									  snapshot, InvalidSnapshot, true, &failure, false);
		}
	}
	systable_endscan(scan);
	/* what was deleted stays locked until the end of the transaction */
	table_close(rel, take ? NoLock : lock);
}

/*
 * pending_read
 *		What is due for a lead by a time, as a snapshot sees it, in the current
 *		memory context.
 *
 * 'rules' identifies the rules that summaries are to be made by; what was made
 * by others is to be recomputed.
 */
void
pending_read(const char *model, const char *lead_key, uint64 rules,
			 TimestampTz upto, Snapshot snapshot, Pending *pending)
{
	scan_pending(model, lead_key, rules, upto, snapshot, false, pending);
}

/*
 * pending_take
 *		The same, and it is not pending any more.  For those who hold the state
 *		of the lead.
 */
void
pending_take(const char *model, const char *lead_key, uint64 rules,
			 TimestampTz upto, Snapshot snapshot, Pending *pending)
{
	scan_pending(model, lead_key, rules, upto, snapshot, true, pending);
}
