/*-------------------------------------------------------------------------
 *
 * rescore.c
 *	  Many leads: the first filling of a state table, and batches of a rescore.
 *
 * Both read the source in one statement, as its owner, rather than lead by
 * lead.  A rescore walks leads and states side by side in the order of their
 * keys, under one snapshot, and touches only what differs; each lead that does
 * is then done again under the protocol of scorer_rescore(), since a writer may
 * have been there in between.
 *
 * What leads did comes from a rebuild of all of it (rebuild.c), sorted by their
 * keys: the first filling merges it with the leads, and later it is compared with
 * the states.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "collect.h"
#include "pending.h"
#include "problem.h"
#include "rebuild.h"
#include "scorer.h"
#include "source.h"

/* Rows that are fetched, evaluated and inserted at a time. */
#define FILL_BATCH 500

/* States that are compared with a rebuild at a time. */
#define COMPARE_BATCH 5000


/*
 * A scorer in a memory context of its own, to be deleted by the caller.
 */
static Scorer *
create_scorer(const char *model, MemoryContext *context)
{
	MemoryContext caller;
	Scorer	   *scorer;

	*context = AllocSetContextCreate(CurrentMemoryContext, "leadscore scorer",
									 ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(*context);
	scorer = scorer_create(model);
	MemoryContextSwitchTo(caller);
	if (scorer->rulebook == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("scoring model \"%s\" cannot score", model),
				 errhint("leadscore.doctor(%s) tells what is wrong.", quote_literal_cstr(model))));
	return scorer;
}

/*
 * A key of a lead, copied to the current memory context.
 */
static Datum
copy_key(const Scorer *scorer, Datum key)
{
	Form_pg_attribute att = TupleDescAttr(scorer->states->desc,
										  scorer->states->columns[STATE_LEAD_KEY] - 1);

	return datumCopy(key, att->attbyval, att->attlen);
}

static char *
collate_clause(Oid collation)
{
	HeapTuple	tuple;
	Form_pg_collation form;
	char	   *clause;

	if (!OidIsValid(collation))
		return "";
	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	clause = psprintf(" COLLATE %s",
					  quote_qualified_identifier(get_namespace_name(form->collnamespace),
												 NameStr(form->collname)));
	ReleaseSysCache(tuple);
	return clause;
}


/* --------------------------------------------------------------------
 * First filling
 * --------------------------------------------------------------------
 */

/* What the filling of a state table has come to. */
typedef struct Filling
{
	Scorer	   *scorer;
	MemoryContext batch_context;
	BulkInsertState bulk;
	TupleTableSlot *slots[FILL_BATCH];
	int			n;				/* slots in use */
	int64		leads;
	int64		skipped;

	/* what they did; NULL: the model does not count events */
	Rebuild    *rebuild;
	TimestampTz upto;
	RebuiltLead next;			/* who did something, and is still to come */
	bool		have_next;
	List	   *later;			/* of LeftLater */
} Filling;

/* Events of a lead that are still to come. */
typedef struct LeftLater
{
	char	   *key;
	List	   *later;			/* of LaterEvent */
} LeftLater;

static void
flush_filling(Filling *filling)
{
	StateTable *states = filling->scorer->states;

	CHECK_FOR_INTERRUPTS();
	if (filling->n == 0)
		return;
	state_table_open(states);
	table_multi_insert(states->rel, filling->slots, filling->n,
					   GetCurrentCommandId(true), 0, filling->bulk);
	state_table_close(states);
	filling->n = 0;
	MemoryContextReset(filling->batch_context);
}

static void
add_filled(Filling *filling, const StateRow *row)
{
	StateTable *states = filling->scorer->states;
	TupleTableSlot *slot = filling->slots[filling->n];

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, sizeof(bool) * states->desc->natts);
	state_fill_slot(states, row, slot);
	if (++filling->n == FILL_BATCH)
		flush_filling(filling);
}

/*
 * Put what the lead did that comes next into its row, and go on to the one
 * after it.
 */
static void
fill_activities(Filling *filling, StateRow *row)
{
	Scorer	   *scorer = filling->scorer;
	RebuiltLead *did = &filling->next;
	TimestampTz next_due = DT_NOEND;

	if (did->history != NULL && did->history->later != NIL)
	{
		MemoryContext caller = MemoryContextSwitchTo(scorer->context);
		LeftLater  *left = palloc(sizeof(LeftLater));
		ListCell   *lc;

		left->key = key_to_text(scorer, did->key);
		left->later = did->history->later;
		filling->later = lappend(filling->later, left);
		foreach(lc, left->later)
			next_due = Min(next_due, ((LaterEvent *) lfirst(lc))->at);
		MemoryContextSwitchTo(caller);
	}
	scorer_apply(scorer, row, did->summary,
				 row->isnull[STATE_SCORED_AT] ? filling->upto :
				 DatumGetTimestampTz(row->values[STATE_SCORED_AT]), next_due);
	filling->have_next = rebuild_next(filling->rebuild, did);
}

/*
 * Somebody did something of whom no more is known.
 */
static void
fill_unknown(Filling *filling)
{
	StateRow	row;

	scorer_unknown_lead(filling->scorer, copy_key(filling->scorer, filling->next.key),
						filling->upto, &row);
	fill_activities(filling, &row);
	add_filled(filling, &row);
}

/*
 * Score one lead for a state table that is being filled.
 */
static void
fill_row(TupleTableSlot *lead, void *arg)
{
	Filling    *filling = (Filling *) arg;
	Scorer	   *scorer = filling->scorer;
	MemoryContext caller;
	StateRow	row;
	int			order = 1;

	slot_getallattrs(lead);
	if (lead->tts_isnull[0])
	{
		filling->skipped++;
		return;
	}
	caller = MemoryContextSwitchTo(filling->batch_context);
	while (filling->have_next &&
		   (order = rebuild_compare_keys(filling->rebuild, filling->next.key,
										 lead->tts_values[0])) < 0)
		fill_unknown(filling);
	source_fill_slot(scorer->rulebook, lead);
	scorer_evaluate(scorer, copy_key(scorer, lead->tts_values[0]), false, &row);
	scorer_note_failures(scorer, lead->tts_values[0]);
	if (filling->have_next && order == 0)
		fill_activities(filling, &row);
	add_filled(filling, &row);
	filling->leads++;
	MemoryContextSwitchTo(caller);
}

static void
fill_leads(Filling *filling, Snapshot snapshot)
{
	Scorer	   *scorer = filling->scorer;
	Oid			source = scorer->rulebook->source;
	const char *key = quote_identifier(scorer->key_column);
	char	   *order = "";
	MemoryContext caller = CurrentMemoryContext;
	ListCell   *lc;

	if (scorer->rulebook->nterms > 0)
	{
		/* in order to be merged with what they did */
		order = psprintf(" ORDER BY s.%s%s", key, collate_clause(rebuild_collation(scorer)));
		filling->rebuild = rebuild_read(scorer, filling->upto, snapshot, true);
		filling->have_next = rebuild_next(filling->rebuild, &filling->next);
	}
	relation_read_many(source,
					   psprintf("SELECT s.%s%s FROM %s s%s", key,
								source_column_list(scorer->rulebook),
								qualified_relation_name(source), order),
					   0, NULL, NULL, NULL, snapshot, fill_row, filling);
	MemoryContextSwitchTo(filling->batch_context);
	while (filling->have_next)
		fill_unknown(filling);
	flush_filling(filling);
	MemoryContextSwitchTo(caller);

	foreach(lc, filling->later)
	{
		LeftLater  *left = (LeftLater *) lfirst(lc);
		ListCell   *lc2;

		foreach(lc2, left->later)
		{
			LaterEvent *event = (LaterEvent *) lfirst(lc2);

			pending_add(scorer->model, left->key, event->at, event->added);
		}
	}
	if (filling->rebuild != NULL)
		rebuild_end(filling->rebuild);
}

/*
 * leadscore._backfill(model text)
 *		Score all leads into the state table, which is empty, has no index yet
 *		and is visible to nobody else; the target and the events are locked
 *		against writers.  Returns the number of leads, and of rows without a key,
 *		and what identifies the rules about events.
 */
PG_FUNCTION_INFO_V1(leadscore_backfill);
Datum
leadscore_backfill(PG_FUNCTION_ARGS)
{
	char	   *model = text_to_cstring(PG_GETARG_TEXT_PP(0));
	MemoryContext context;
	Scorer	   *scorer;
	Snapshot	snapshot;
	Filling		filling;
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);
	collect_distrust(model);

	/* who wrote while we waited for the lock is to be seen */
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());

	scorer = create_scorer(model, &context);
	memset(&filling, 0, sizeof(filling));
	filling.scorer = scorer;
	filling.batch_context = AllocSetContextCreate(context, "leadscore backfill",
												  ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < FILL_BATCH; i++)
		filling.slots[i] = MakeSingleTupleTableSlot(scorer->states->desc,
													&TTSOpsVirtual);
	filling.bulk = GetBulkInsertState();
	filling.upto = GetCurrentTimestamp();
	fill_leads(&filling, snapshot);

	FreeBulkInsertState(filling.bulk);
	for (int i = 0; i < FILL_BATCH; i++)
		ExecDropSingleTupleTableSlot(filling.slots[i]);
	UnregisterSnapshot(snapshot);
	values[0] = Int64GetDatum(filling.leads);
	values[1] = Int64GetDatum(filling.skipped);
	nulls[2] = scorer->rulebook->nterms == 0;
	values[2] = Int64GetDatum((int64) scorer->rulebook->activity_rules);
	MemoryContextDelete(context);
	CommandCounterIncrement();
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}


/* --------------------------------------------------------------------
 * Rescoring
 * --------------------------------------------------------------------
 */

/* A walk along leads and their states. */
typedef struct Walk
{
	Scorer	   *scorer;
	MemoryContext context;		/* of what the walk returns */
	MemoryContext row_context;
	IndexScanDesc scan;
	StateRow	state;			/* the next one */
	bool		have_state;

	/* results */
	int64		seen;
	int64		inserted;
	Datum		last_key;		/* if any was seen */
	List	   *differing;		/* keys, as Datum pointers */
	bool		finished;		/* there are no more leads or states */
} Walk;

/*
 * The query that reads the next leads in the order of their keys.
 */
static char *
batch_query(Scorer *scorer, bool from_start)
{
	Rulebook   *rulebook = scorer->rulebook;
	const char *key = quote_identifier(scorer->key_column);
	char	   *collate = collate_clause(scorer->states->key_collation);

	return psprintf("SELECT s.%s%s FROM %s s WHERE s.%s IS NOT NULL%s ORDER BY s.%s%s LIMIT $2",
					key, source_column_list(rulebook),
					qualified_relation_name(rulebook->source), key,
					from_start ? "" : psprintf(" AND s.%s%s OPERATOR(pg_catalog.>) $1", key, collate),
					key, collate);
}

static void
add_differing(Walk *walk, Datum key)
{
	MemoryContext caller = MemoryContextSwitchTo(walk->context);
	Datum	   *copy = palloc(sizeof(Datum));

	*copy = copy_key(walk->scorer, key);
	walk->differing = lappend(walk->differing, copy);
	MemoryContextSwitchTo(caller);
}

static void
next_state(Walk *walk)
{
	/* an index scan allocates as it goes */
	MemoryContext caller = MemoryContextSwitchTo(walk->context);

	walk->have_state = state_scan_next(walk->scorer->states, walk->scan,
									   &walk->state);
	MemoryContextSwitchTo(caller);
}

/*
 * The state at hand has no lead.
 */
static void
pass_orphan(Walk *walk)
{
	if (DatumGetBool(walk->state.values[STATE_LEAD_EXISTS]))
		add_differing(walk, walk->state.values[STATE_LEAD_KEY]);
	next_state(walk);
}

/*
 * One step of the walk: compare a lead with its state.
 */
static void
walk_row(TupleTableSlot *lead, void *arg)
{
	Walk	   *walk = (Walk *) arg;
	Scorer	   *scorer = walk->scorer;
	StateTable *states = scorer->states;
	MemoryContext caller;
	StateRow	row;
	Datum		key;
	int			order = -1;

	CHECK_FOR_INTERRUPTS();
	source_fill_slot(scorer->rulebook, lead);
	key = lead->tts_values[0];
	if (walk->seen++ > 0 && state_compare_keys(states, walk->last_key, key) == 0)
	{
		/* scorer_rescore() says that there are several */
		add_differing(walk, key);
		return;
	}
	while (walk->have_state &&
		   (order = state_compare_keys(states, walk->state.values[STATE_LEAD_KEY], key)) < 0)
		pass_orphan(walk);

	MemoryContextReset(walk->row_context);
	caller = MemoryContextSwitchTo(walk->row_context);
	walk->last_key = key = copy_key(scorer, key);
	scorer_evaluate(scorer, key, true, &row);
	if (walk->have_state && order == 0)
	{
		if (scorer_would_change(scorer, &walk->state, &row))
			add_differing(walk, key);
		next_state(walk);
	}
	else if (DatumGetBool(row.values[STATE_HAS_PROBLEM]) ||
			 !scorer_insert(scorer, key, &row, CAUSE_RULES))
		add_differing(walk, key);
	else
		walk->inserted++;
	MemoryContextSwitchTo(caller);
}

/*
 * Walk along the next leads and their states, as one snapshot sees them.
 *
 * Leads without a state get one; what differs otherwise is listed.  What the
 * walk returns is in the current memory context.
 */
static void
walk_batch(Scorer *scorer, const Datum *after, int limit, Walk *walk)
{
	StateTable *states = scorer->states;
	Oid			types[] = {scorer->key_type, INT4OID};
	Datum		values[2];
	char		nulls[] = {after == NULL ? 'n' : ' ', ' ', '\0'};
	Snapshot	snapshot;

	memset(walk, 0, sizeof(Walk));
	walk->scorer = scorer;
	walk->context = CurrentMemoryContext;
	walk->row_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore walk",
											  ALLOCSET_DEFAULT_SIZES);
	values[0] = after != NULL ? *after : (Datum) 0;
	values[1] = Int32GetDatum(limit);

	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	state_table_open(states);
	walk->scan = state_scan_begin(states, snapshot, after);
	next_state(walk);
	relation_read_many(scorer->rulebook->source, batch_query(scorer, after == NULL),
					 2, types, values, nulls, snapshot, walk_row, walk);
	walk->finished = walk->seen < limit;
	/* behind the last lead there may be states of leads that are gone */
	while (walk->finished && walk->have_state)
		pass_orphan(walk);
	state_scan_end(states, walk->scan);
	state_table_close(states);
	UnregisterSnapshot(snapshot);

	if (walk->seen > 0)
		walk->last_key = copy_key(scorer, walk->last_key);
	MemoryContextDelete(walk->row_context);
}

/* A walk where errors are caught. */
typedef struct WalkCall
{
	Scorer	   *scorer;
	const Datum *after;
	int			limit;
	Walk		walk;
} WalkCall;

static void
call_walk(void *arg)
{
	WalkCall   *call = (WalkCall *) arg;

	walk_batch(call->scorer, call->after, call->limit, &call->walk);
}

static void
list_key(TupleTableSlot *lead, void *arg)
{
	Walk	   *walk = (Walk *) arg;

	slot_getallattrs(lead);
	add_differing(walk, lead->tts_values[0]);
	walk->last_key = *(Datum *) llast(walk->differing);
	walk->seen++;
}

/*
 * The source cannot be read in one go: list all leads of the batch, to be read
 * one by one, so that only those that fail are left as they are.
 */
static void
list_batch(Scorer *scorer, const Datum *after, int limit, Walk *walk)
{
	const char *key = quote_identifier(scorer->key_column);
	char	   *collate = collate_clause(scorer->states->key_collation);
	Oid			types[] = {scorer->key_type, INT4OID};
	Datum		values[2];
	char		nulls[] = {after == NULL ? 'n' : ' ', ' ', '\0'};
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());

	memset(walk, 0, sizeof(Walk));
	walk->scorer = scorer;
	walk->context = CurrentMemoryContext;
	values[0] = after != NULL ? *after : (Datum) 0;
	values[1] = Int32GetDatum(limit);
	relation_read_many(scorer->target,
					   psprintf("SELECT t.%s FROM %s t WHERE t.%s IS NOT NULL AND ($1 IS NULL OR t.%s%s OPERATOR(pg_catalog.>) $1) "
								"ORDER BY t.%s%s LIMIT $2",
								key, qualified_relation_name(scorer->target), key,
								key, collate, key, collate),
					   2, types, values, nulls, snapshot, list_key, walk);
	walk->finished = walk->seen < limit;
	UnregisterSnapshot(snapshot);
}

/*
 * leadscore._rescore_batch(model text, after text, size integer, move_stages boolean)
 *		Bring the states of the next leads behind the key 'after' up to date.
 *
 * Returns the number of leads seen, of states written, the last key (NULL:
 * none), the version of the rules used, whether there are no more leads, the
 * keys of leads whose state somebody else holds, and how many states are new.
 * What somebody else holds is left alone, since waiting for it while holding
 * others could end in a deadlock.
 */
PG_FUNCTION_INFO_V1(leadscore_rescore_batch);
Datum
leadscore_rescore_batch(PG_FUNCTION_ARGS)
{
	char	   *model = text_to_cstring(PG_GETARG_TEXT_PP(0));
	MemoryContext context;
	Scorer	   *scorer;
	WalkCall	call;
	Walk	   *walk = &call.walk;
	Datum		after = (Datum) 0;
	int64		written = 0;
	ArrayBuildState *locked_keys = NULL;
	ListCell   *lc;
	TupleDesc	desc;
	Datum		values[7];
	bool		nulls[7] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);

	scorer = create_scorer(model, &context);
	if (!PG_ARGISNULL(1))
		after = key_from_text(scorer, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	call.scorer = scorer;
	call.after = PG_ARGISNULL(1) ? NULL : &after;
	call.limit = PG_GETARG_INT32(2);
	scorer->moves_stages = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	if (!scorer->through_source)
		call_walk(&call);
	else if (catch_error(call_walk, &call) != NULL)
	{
		state_table_recover(scorer->states);
		list_batch(scorer, call.after, call.limit, walk);
	}
	written = walk->inserted;

	/* a lead may have changed between snapshot and insertion of its state */
	if (walk->inserted > 0)
	{
		WalkCall	again = call;

		call_walk(&again);
		walk->differing = list_concat(walk->differing, again.walk.differing);
	}

	foreach(lc, walk->differing)
	{
		Datum		key = *(Datum *) lfirst(lc);
		bool		locked;

		if (scorer_rescore(scorer, key, CAUSE_RULES, true, &locked))
			written++;
		if (locked)
			locked_keys = accumArrayResult(locked_keys,
										   CStringGetTextDatum(key_to_text(scorer, key)),
										   false, TEXTOID, CurrentMemoryContext);
	}

	values[0] = Int64GetDatum(walk->seen);
	values[1] = Int64GetDatum(written);
	nulls[2] = walk->seen == 0;
	if (walk->seen > 0)
		values[2] = CStringGetTextDatum(key_to_text(scorer, walk->last_key));
	values[3] = Int64GetDatum(scorer->rulebook->version.number);
	values[4] = BoolGetDatum(walk->finished);
	nulls[5] = locked_keys == NULL;
	if (locked_keys != NULL)
		values[5] = makeArrayResult(locked_keys, CurrentMemoryContext);
	values[6] = Int64GetDatum(walk->inserted);
	MemoryContextDelete(context);

	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/*
 * leadscore._rescore_lead(model text, lead_key text, move_stages boolean)
 *		Bring the state of one lead up to date, waiting for whoever holds it.
 *		Returns whether anything was written.
 */
PG_FUNCTION_INFO_V1(leadscore_rescore_lead);
Datum
leadscore_rescore_lead(PG_FUNCTION_ARGS)
{
	char	   *model = text_to_cstring(PG_GETARG_TEXT_PP(0));
	MemoryContext context;
	Scorer	   *scorer = create_scorer(model, &context);
	bool		written;

	scorer->moves_stages = PG_GETARG_BOOL(2);
	written = scorer_rescore(scorer, key_from_text(scorer, text_to_cstring(PG_GETARG_TEXT_PP(1))),
							 CAUSE_RULES, false, NULL);
	MemoryContextDelete(context);
	PG_RETURN_BOOL(written);
}

/*
 * Bring the state of a lead up to date which may have none, nor need there be
 * such a lead.  Returns whether anything was written.
 */
static bool
bring_up(Scorer *scorer, Datum key, ScorerChange *change, bool nowait, bool *locked)
{
	StateTable *states = scorer->states;
	bool		busy = false;
	StateRow	old;

	state_table_open(states);
	if (!state_find(states, key, nowait, &busy, &old) && !busy)
	{
		StateRow	row;

		scorer_unknown_lead(scorer, key, change->at, &row);
		scorer_apply(scorer, &row, scorer_nothing_done(scorer), change->at, DT_NOEND);
		change->is_new = state_insert(states, &row, false);
		change->reread = true;
	}
	state_table_close(states);
	return scorer_rescore_as_of(scorer, key, change, nowait, locked);
}

/* --------------------------------------------------------------------
 * Advancing
 * --------------------------------------------------------------------
 */

/*
 * Keys, as text, of the leads whose time has come: those that time alone has
 * changed are locked, but for those that somebody else holds; and those for
 * whom activities are due.
 */
static List *
due_leads(Scorer *scorer, int size, TimestampTz at)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid			types[] = {TIMESTAMPTZOID, INT4OID, TEXTOID};
	char	   *states = qualified_relation_name(scorer->states->relid);
	Datum		values[3];
	List	   *keys = NIL;

	values[0] = TimestampTzGetDatum(at);
	values[1] = Int32GetDatum(size);
	values[2] = CStringGetTextDatum(scorer->model);
	SPI_connect();
	if (SPI_execute_with_args(psprintf("SELECT d.lead_key FROM (SELECT s.lead_key::text FROM %s s "
									   "WHERE s.next_change_at <= $1 ORDER BY s.next_change_at "
									   "LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED) d "
									   "UNION SELECT p.lead_key FROM (SELECT q.lead_key FROM leadscore.pending_activity q "
									   "WHERE q.model = $3 AND q.due_at <= $1 ORDER BY q.due_at LIMIT $2) p "
									   "LIMIT $2", states),
							  3, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not find the leads that are due");
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
 * leadscore._advance_batch(model text, size integer, at timestamptz)
 *		Bring the states of leads up to date whose time has come, in order, but
 *		for those that somebody else holds.  Returns how many.
 */
PG_FUNCTION_INFO_V1(leadscore_advance_batch);
Datum
leadscore_advance_batch(PG_FUNCTION_ARGS)
{
	char	   *model = text_to_cstring(PG_GETARG_TEXT_PP(0));
	MemoryContext context;
	MemoryContext lead_context;
	MemoryContext caller;
	Scorer	   *scorer = create_scorer(model, &context);
	ScorerChange change = {0};
	ScorerChange one;
	int64		unread;
	int64		done = 0;
	ListCell   *lc;

	change.at = PG_GETARG_TIMESTAMPTZ(2);
	change.writes_back = true;
	change.cause = CAUSE_DECAY;
	lead_context = AllocSetContextCreate(context, "leadscore lead", ALLOCSET_DEFAULT_SIZES);
	foreach(lc, due_leads(scorer, PG_GETARG_INT32(1), change.at))
	{
		bool		locked;

		caller = MemoryContextSwitchTo(lead_context);
		/* of some leads nothing is known but that something is pending */
		one = change;
		unread = scorer->nunread;
		(void) bring_up(scorer, key_from_text(scorer, (char *) lfirst(lc)),
						&one, true, &locked);
		if (!locked && scorer->nunread == unread)
			done++;
		MemoryContextSwitchTo(caller);
		MemoryContextReset(lead_context);
	}
	MemoryContextDelete(context);
	PG_RETURN_INT64(done);
}

/* --------------------------------------------------------------------
 * Rebuilding
 * --------------------------------------------------------------------
 */

/* A lead whose state does not say what its history says. */
typedef struct DifferingLead
{
	Datum		key;
	Datum		summary;		/* packed */
	bool		has_later;
} DifferingLead;

/* A walk along states and a rebuild. */
typedef struct Comparison
{
	Scorer	   *scorer;
	Rebuild    *rebuild;
	RebuiltLead did;			/* the next one */
	bool		have_did;
	MemoryContext context;		/* of a batch */
	MemoryContext scan_context;
	IndexScanDesc scan;
	StateRow	state;			/* the next one */
	bool		have_state;
	Datum		last_key;
	List	   *differing;		/* of DifferingLead, in this batch */
} Comparison;

static void
next_compared(Comparison *comparison)
{
	MemoryContext caller = MemoryContextSwitchTo(comparison->scan_context);

	comparison->have_state = state_scan_next(comparison->scorer->states,
											 comparison->scan, &comparison->state);
	MemoryContextSwitchTo(caller);
}

/*
 * Compare the next lead: does the state say what the history does?
 */
static void
compare_lead(Comparison *comparison)
{
	Scorer	   *scorer = comparison->scorer;
	StateRow   *state = &comparison->state;
	const RebuiltLead *did = &comparison->did;
	int			order = !comparison->have_did ? -1 : !comparison->have_state ? 1 :
		state_compare_keys(scorer->states, state->values[STATE_LEAD_KEY], did->key);
	Datum		key = copy_key(scorer, order <= 0 ? state->values[STATE_LEAD_KEY] : did->key);
	const Engagement *summary = order >= 0 ? did->summary : scorer_nothing_done(scorer);
	bool		has_later = order >= 0 && did->has_later;

	if (order > 0 || has_later || state->isnull[STATE_ENGAGEMENT] ||
		!engagement_close(engagement_unpack(state->values[STATE_ENGAGEMENT]), summary))
	{
		DifferingLead *lead = palloc(sizeof(DifferingLead));

		lead->key = key;
		lead->summary = engagement_pack(summary);
		lead->has_later = has_later;
		comparison->differing = lappend(comparison->differing, lead);
	}
	comparison->last_key = key;
	if (order <= 0)
		next_compared(comparison);
	if (order >= 0)
		comparison->have_did = rebuild_next(comparison->rebuild, &comparison->did);
}

/*
 * Compare the next batch, behind the last one; false if there are no more.
 */
static bool
compare_batch(Comparison *comparison, const Datum *after)
{
	StateTable *states = comparison->scorer->states;
	Snapshot	snapshot;
	bool		more;

	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	comparison->differing = NIL;
	comparison->scan_context = AllocSetContextCreate(comparison->context, "leadscore scan",
													 ALLOCSET_DEFAULT_SIZES);
	state_table_open(states);
	comparison->scan = state_scan_begin(states, snapshot, after);
	next_compared(comparison);
	for (int i = 0; i < COMPARE_BATCH && (comparison->have_did || comparison->have_state); i++)
	{
		CHECK_FOR_INTERRUPTS();
		compare_lead(comparison);
	}
	more = comparison->have_did || comparison->have_state;
	state_scan_end(states, comparison->scan);
	state_table_close(states);
	UnregisterSnapshot(snapshot);

	return more;
}

/*
 * leadscore._rebuild(model text, exclusive boolean)
 *		Compare what the states say of activities with the history of all leads.
 *
 * With 'exclusive' the caller keeps everybody else from writing leads and
 * events, and states that differ are set right at once.  Otherwise, and for
 * leads with events of the future, it is left in leadscore.pending_activity that
 * they are to be made anew: _recompute_leads() does that.  Returns how many
 * states were written, and what identifies the rules; NULL if there are none
 * about events.
 */
PG_FUNCTION_INFO_V1(leadscore_rebuild);
Datum
leadscore_rebuild(PG_FUNCTION_ARGS)
{
	char	   *model = text_to_cstring(PG_GETARG_TEXT_PP(0));
	bool		exclusive = PG_GETARG_BOOL(1);
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	MemoryContext lead_context;
	MemoryContext key_context;
	Scorer	   *scorer;
	Comparison	comparison = {0};
	Snapshot	snapshot;
	TimestampTz upto;
	Datum		after = (Datum) 0;
	bool		has_after = false;
	bool		more = true;
	int64		written = 0;
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);

	if (exclusive)
		collect_distrust(model);
	CommandCounterIncrement();
	scorer = create_scorer(model, &context);
	values[1] = Int64GetDatum((int64) scorer->rulebook->activity_rules);
	nulls[1] = scorer->rulebook->nterms == 0;
	if (scorer->rulebook->nterms > 0)
	{
		MemoryContextSwitchTo(context);
		snapshot = RegisterSnapshot(GetLatestSnapshot());
		upto = GetCurrentTimestamp();
		comparison.scorer = scorer;
		comparison.rebuild = rebuild_read(scorer, upto, snapshot, false);
		UnregisterSnapshot(snapshot);
		comparison.have_did = rebuild_next(comparison.rebuild, &comparison.did);
		comparison.context = AllocSetContextCreate(context, "leadscore comparison",
												   ALLOCSET_DEFAULT_SIZES);
		lead_context = AllocSetContextCreate(context, "leadscore lead",
											 ALLOCSET_DEFAULT_SIZES);
		key_context = AllocSetContextCreate(context, "leadscore key",
											ALLOCSET_SMALL_SIZES);
		while (more)
		{
			ListCell   *lc;

			MemoryContextReset(comparison.context);
			MemoryContextSwitchTo(comparison.context);
			more = compare_batch(&comparison, has_after ? &after : NULL);
			foreach(lc, comparison.differing)
			{
				DifferingLead *lead = (DifferingLead *) lfirst(lc);

				MemoryContextReset(lead_context);
				MemoryContextSwitchTo(lead_context);
				if (lead->has_later || !exclusive)
					pending_add(model, key_to_text(scorer, lead->key), DT_NOBEGIN, NULL);
				else
				{
					History		history = {engagement_unpack(lead->summary), NIL};
					ScorerChange change = {.history = &history, .at = upto, .cause = CAUSE_RULES};

					written += bring_up(scorer, lead->key, &change, false, NULL);
				}
			}
			if (more)
			{
				MemoryContextReset(key_context);
				MemoryContextSwitchTo(key_context);
				after = copy_key(scorer, comparison.last_key);
				has_after = true;
			}
		}
		rebuild_end(comparison.rebuild);
		MemoryContextSwitchTo(caller);
	}
	MemoryContextDelete(context);
	CommandCounterIncrement();

	values[0] = Int64GetDatum(written);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/*
 * leadscore._recompute_leads(model text, keys text[], nowait boolean)
 *		Make anew from history what leads did.  Returns how many states were
 *		written, and the keys of those that somebody else holds, if they are not
 *		to be waited for.
 */
PG_FUNCTION_INFO_V1(leadscore_recompute_leads);
Datum
leadscore_recompute_leads(PG_FUNCTION_ARGS)
{
	char	   *model = text_to_cstring(PG_GETARG_TEXT_PP(0));
	bool		nowait = PG_GETARG_BOOL(2);
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	MemoryContext lead_context;
	Scorer	   *scorer;
	Datum	   *keys;
	int			nkeys;
	int64		written = 0;
	ArrayBuildState *held = NULL;
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT,
					  &keys, NULL, &nkeys);
	CommandCounterIncrement();
	scorer = create_scorer(model, &context);
	lead_context = AllocSetContextCreate(context, "leadscore lead",
										 ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < nkeys && scorer->rulebook->nterms > 0; i++)
	{
		ScorerChange change = {.reread = true, .recompute = true, .cause = CAUSE_RULES};
		bool		locked = false;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(lead_context);
		MemoryContextSwitchTo(lead_context);
		change.at = GetCurrentTimestamp();
		written += bring_up(scorer, key_from_text(scorer, TextDatumGetCString(keys[i])),
							&change, nowait, &locked);
		MemoryContextSwitchTo(caller);
		if (locked)
			held = accumArrayResult(held, keys[i], false, TEXTOID, caller);
	}
	MemoryContextDelete(context);

	values[0] = Int64GetDatum(written);
	values[1] = held != NULL ? makeArrayResult(held, caller) :
		PointerGetDatum(construct_empty_array(TEXTOID));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/*
 * leadscore._wait_for_writers(relations regclass[])
 *		Wait until every transaction that is writing to one of these relations
 *		now, or to a partition, has ended.  Nobody is kept from writing.
 *
 * Whoever writes later scores by the rules that are committed now.
 */
PG_FUNCTION_INFO_V1(leadscore_wait_for_writers);
Datum
leadscore_wait_for_writers(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	Datum	   *relations;
	int			n;
	List	   *tags = NIL;

	deconstruct_array(array, REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT,
					  &relations, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		ListCell   *lc;

		foreach(lc, find_all_inheritors(DatumGetObjectId(relations[i]), NoLock, NULL))
		{
			LOCKTAG    *tag = palloc(sizeof(LOCKTAG));

			SET_LOCKTAG_RELATION(*tag, MyDatabaseId, lfirst_oid(lc));
			tags = lappend(tags, tag);
		}
	}
	WaitForLockersMultiple(tags, ShareLock, false);
	PG_RETURN_VOID();
}
