/*-------------------------------------------------------------------------
 *
 * state.c
 *	  Rows of a model's state table.
 *
 * What is known of a lead is one row of <model>_state.  The row is written
 * by direct calls of the table's and the indexes' access methods, for three
 * reasons: the application's role needs no privilege on it; it costs less
 * than half of what a statement would; and it is always the newest version of
 * the row that is read and replaced, whatever the isolation level, so that an
 * application that runs REPEATABLE READ never gets a serialization failure
 * from a row that it has never heard of.
 *
 * That is right because a state row is derived: what is written was computed
 * from the newest version of the lead, which the writer holds locked, or which
 * was read after the state row was locked (scorer_rescore()).
 *
 * Triggers, CHECK constraints and row security of the state table do not
 * apply to these writes.  Indexes are kept up, whichever there are; expressions
 * in them are run as the table's owner.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "source.h"
#include "state.h"

/* Names and types; InvalidOid: one of ours, or of a key. */
static const struct
{
	const char *name;
	Oid			type;
}			state_columns[NUM_STATE_COLUMNS] =
{
	{"lead_key", InvalidOid},
	{"fit", FLOAT8OID},
	{"engagement_points", FLOAT8OID},
	{"engagement_base", FLOAT8OID},
	{"score_bound", FLOAT8OID},
	{"scored_at", TIMESTAMPTZOID},
	{"rules_version", INT8OID},
	{"stage_since", TIMESTAMPTZOID},
	{"next_change_at", TIMESTAMPTZOID},
	{"row_changes_at", TIMESTAMPTZOID},
	{"created_at", TIMESTAMPTZOID},
	{"score", INT4OID},
	{"stage", InvalidOid},
	{"disqualified", BOOLOID},
	{"has_problem", BOOLOID},
	{"lead_exists", BOOLOID},
	{"fading", BOOLOID},
	{"consent", BOOLOID},
	{"temperature", TEXTOID},
	{"grade", TEXTOID},
	{"channel", TEXTOID},
	{"engagement", InvalidOid},
	{"kept_rules", INT8ARRAYOID},
	{"match_values", TEXTARRAYOID},
	{"history_at", TIMESTAMPTZOID},
	{"pinned_until", TIMESTAMPTZOID},
	{"rearmed", INT4OID},
	{"stage_settled", BOOLOID},
	{"announced", TEXTOID},
	{"status", TEXTOID},
	{"pin_reason", TEXTOID}
};


/* --------------------------------------------------------------------
 * Opening and closing
 * --------------------------------------------------------------------
 */

/*
 * Has a column the type that we write?  The owner may alter his table.
 */
static bool
has_our_type(Form_pg_attribute att, StateColumn column)
{
	if (column == STATE_LEAD_KEY)
		return is_key_type(att->atttypid);
	if (column == STATE_STAGE || column == STATE_ENGAGEMENT)
		return att->atttypid == GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
												CStringGetDatum(column == STATE_STAGE ? "lead_stage" : "engagement"),
												ObjectIdGetDatum(get_namespace_oid(LEADSCORE_SCHEMA, false)));
	return att->atttypid == state_columns[column].type;
}

/*
 * is_key_type
 *		Can a column of this type identify leads?
 */
bool
is_key_type(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case UUIDOID:
		case NUMERICOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return true;
		default:
			return false;
	}
}

/*
 * Is this the index that makes the lead's key unique?
 */
static bool
is_key_index(const StateTable *table, Relation index)
{
	Form_pg_index form = index->rd_index;

	return form->indisunique && form->indimmediate && form->indisready && form->indisvalid &&
		form->indnkeyatts == 1 &&
		form->indkey.values[0] == table->columns[STATE_LEAD_KEY] &&
		RelationGetIndexPredicate(index) == NIL;
}

static void
make_slots(StateTable *table)
{
	table->old_slot = MakeSingleTupleTableSlot(table->desc, table->slot_callbacks);
	table->new_slot = MakeSingleTupleTableSlot(table->desc, &TTSOpsVirtual);
}

/*
 * state_table_recover
 *		Make a table usable again after an error was caught while it was open.
 *
 * What it held, a buffer pin in its slot among it, was released by the end of
 * the subtransaction; so the slots are given up rather than cleared.
 */
void
state_table_recover(StateTable *table)
{
	MemoryContext caller = MemoryContextSwitchTo(GetMemoryChunkContext(table));

	make_slots(table);
	table->rel = NULL;
	MemoryContextSwitchTo(caller);
}

static StateTable *create_table(Oid relid, bool read_only);

/*
 * state_table_create
 *		Learn what there is to know of a state table, in the current memory
 *		context.  It is not open afterwards.
 *
 * Returns NULL if it does not look as attach() made it.  While attach() fills
 * it there is no index on the key (key_index -1) and nothing can be found.
 */
StateTable *
state_table_create(Oid relid)
{
	return create_table(relid, false);
}

/*
 * state_table_create_reader
 *		The same for those who only ever call state_read(); also on a standby.
 */
StateTable *
state_table_create_reader(Oid relid)
{
	return create_table(relid, true);
}

/*
 * state_table_of
 *		OID of a model's state table; InvalidOid if there is none.
 */
Oid
state_table_of(const char *model)
{
	char		name[NAMEDATALEN];

	if (strlen(model) > MODEL_NAME_MAXLEN)
		return InvalidOid;
	snprintf(name, sizeof(name), "%s_state", model);
	return get_relname_relid(name, get_namespace_oid(LEADSCORE_SCHEMA, false));
}

static StateTable *
create_table(Oid relid, bool read_only)
{
	LOCKMODE	lock = read_only ? AccessShareLock : RowExclusiveLock;
	StateTable *table = palloc0(sizeof(StateTable));
	Relation	rel = try_relation_open(relid, lock);
	ListCell   *lc;
	int			n = 0;

	if (rel == NULL)
		return NULL;
	table->relid = relid;
	table->read_only = read_only;
	table->owner = rel->rd_rel->relowner;
	table->desc = CreateTupleDescCopy(RelationGetDescr(rel));
	table->key_index = -1;
	for (int i = 0; i < NUM_STATE_COLUMNS; i++)
	{
		/* usually they are in the order in which they were made */
		for (int k = 0; k < table->desc->natts && table->columns[i] == 0; k++)
		{
			int			j = (i + k) % table->desc->natts;
			Form_pg_attribute att = TupleDescAttr(table->desc, j);

			if (!att->attisdropped &&
				strcmp(NameStr(att->attname), state_columns[i].name) == 0 &&
				has_our_type(att, (StateColumn) i))
				table->columns[i] = j + 1;
		}
		if (table->columns[i] == 0)
		{
			table_close(rel, NoLock);
			return NULL;
		}
	}

	table->am_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore indexes",
											  ALLOCSET_SMALL_SIZES);
	table->estate = CreateExecutorState();
	table->result_rel = makeNode(ResultRelInfo);
	InitResultRelInfo(table->result_rel, rel, 0, NULL, 0);
	table->index_oids = RelationGetIndexList(rel);
	table->result_rel->ri_NumIndices = list_length(table->index_oids);
	table->result_rel->ri_IndexRelationDescs =
		palloc(sizeof(Relation) * (list_length(table->index_oids) + 1));
	table->result_rel->ri_IndexRelationInfo =
		palloc(sizeof(IndexInfo *) * (list_length(table->index_oids) + 1));
	foreach(lc, table->index_oids)
	{
		Relation	index = index_open(lfirst_oid(lc), lock);
		IndexInfo  *info = BuildIndexInfo(index);

		info->ii_Context = table->am_context;
		table->result_rel->ri_IndexRelationInfo[n] = info;
		if (info->ii_Expressions != NIL ||
			(info->ii_Predicate != NIL && !IsA(linitial(info->ii_Predicate), NullTest)))
			table->has_expressions = true;
		if (table->key_index < 0 && is_key_index(table, index))
		{
			Oid			equal = get_opfamily_member(index->rd_opfamily[0],
													index->rd_opcintype[0],
													index->rd_opcintype[0],
													BTEqualStrategyNumber);

			table->key_index = n;
			table->key_collation = index->rd_indcollation[0];
			fmgr_info(get_opcode(equal), &table->key_equal);
			fmgr_info(get_opfamily_proc(index->rd_opfamily[0],
										index->rd_opcintype[0],
										index->rd_opcintype[0], BTORDER_PROC),
					  &table->key_compare);
		}
		index_close(index, NoLock);
		n++;
	}
	table->slot_callbacks = table_slot_callbacks(rel);
	make_slots(table);
	table->locked_in = GetCurrentSubTransactionId();
	table_close(rel, NoLock);

	return table;
}

/*
 * state_table_open, state_table_close
 *		Bracket every use.
 */
void
state_table_open(StateTable *table)
{
	SubTransactionId subtransaction = GetCurrentSubTransactionId();
	LOCKMODE	lock = subtransaction == table->locked_in ? NoLock :
		table->read_only ? AccessShareLock : RowExclusiveLock;
	ListCell   *lc;
	int			n = 0;

	table->rel = table_open(table->relid, lock);
	table->result_rel->ri_RelationDesc = table->rel;
	foreach(lc, table->index_oids)
	{
		if (!table->read_only || n == table->key_index)
			table->result_rel->ri_IndexRelationDescs[n] = index_open(lfirst_oid(lc), lock);
		n++;
	}
}

void
state_table_close(StateTable *table)
{
	ExecClearTuple(table->old_slot);
	ExecClearTuple(table->new_slot);
	for (int i = 0; i < table->result_rel->ri_NumIndices; i++)
	{
		Relation	index = table->result_rel->ri_IndexRelationDescs[i];

		if (table->read_only && i != table->key_index)
			continue;
		index_insert_cleanup(index, table->result_rel->ri_IndexRelationInfo[i]);
		/* GIN keeps pointers to the relation, which is another next time */
		table->result_rel->ri_IndexRelationInfo[i]->ii_AmCache = NULL;
		index_close(index, NoLock);
	}
	MemoryContextReset(table->am_context);
	table_close(table->rel, NoLock);
	table->rel = NULL;
	ResetPerTupleExprContext(table->estate);
}


/* --------------------------------------------------------------------
 * Finding
 * --------------------------------------------------------------------
 */

/*
 * Whoever owns a state table may let NULLs into it: texts that are always there
 * are empty then.
 */
static void
fill_texts(StateRow *row)
{
	static const StateColumn texts[] = {STATE_TEMPERATURE, STATE_GRADE, STATE_ANNOUNCED};
	static text *empty = NULL;

	for (int i = 0; i < lengthof(texts); i++)
	{
		if (!row->isnull[texts[i]])
			continue;
		if (empty == NULL)
		{
			MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

			empty = cstring_to_text("");
			MemoryContextSwitchTo(caller);
		}
		row->values[texts[i]] = PointerGetDatum(empty);
		row->isnull[texts[i]] = false;
	}
}

/*
 * state_row_of_tuple
 *		Take a row out of a tuple of the table; its values stay there.
 */
void
state_row_of_tuple(const StateTable *table, HeapTuple tuple, StateRow *row)
{
	for (int i = 0; i < NUM_STATE_COLUMNS; i++)
		row->values[i] = heap_getattr(tuple, table->columns[i], table->desc,
									  &row->isnull[i]);
	fill_texts(row);
	ItemPointerSetInvalid(&row->tid);
}

/*
 * Take a row out of the slot that holds it; its values stay there.
 */
static void
read_values(StateTable *table, TupleTableSlot *slot, StateRow *row)
{
	slot_getallattrs(slot);
	for (int i = 0; i < NUM_STATE_COLUMNS; i++)
	{
		row->values[i] = slot->tts_values[table->columns[i] - 1];
		row->isnull[i] = slot->tts_isnull[table->columns[i] - 1];
	}
	fill_texts(row);
	row->tid = slot->tts_tid;
}

/*
 * The same, and who wrote it.
 */
static void
read_row(StateTable *table, TupleTableSlot *slot, StateRow *row)
{
	bool		isnull;
	TransactionId xmin;

	read_values(table, slot, row);
	xmin = DatumGetTransactionId(slot_getsysattr(slot,
												 MinTransactionIdAttributeNumber,
												 &isnull));
	row->is_own = TransactionIdIsCurrentTransactionId(xmin);
	row->command = InvalidCommandId;
	if (row->is_own)
	{
		bool		should_free;
		HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);

		row->command = HeapTupleHeaderGetCmin(tuple->t_data);
		if (should_free)
			heap_freetuple(tuple);
	}
}

/*
 * A row that this very command has written is out of its own reach.
 */
static CommandId
command_for(const StateRow *old)
{
	if (old->is_own && old->command >= GetCurrentCommandId(false))
		CommandCounterIncrement();
	return GetCurrentCommandId(true);
}

/*
 * Was the row changed since it was found?
 */
static bool
was_changed(const StateTable *table, TM_Result result)
{
	switch (result)
	{
		case TM_Ok:
			return false;
		case TM_Updated:
		case TM_Deleted:
		case TM_BeingModified:
			return true;
		default:
			elog(ERROR, "unexpected result %d for a row of \"%s\"", result,
				 RelationGetRelationName(table->rel));
	}
	return true;				/* keep compiler quiet */
}

/*
 * The index on the lead's key, which a DBA may have dropped.
 */
static Relation
open_key_index(const StateTable *table)
{
	if (table->key_index < 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("state table \"%s\" has no unique index on lead_key",
						RelationGetRelationName(table->rel)),
				 errhint("Call leadscore.repair().")));
	return table->result_rel->ri_IndexRelationDescs[table->key_index];
}

static IndexScanDesc
begin_scan(StateTable *table, Snapshot snapshot, Datum key)
{
	Relation	index = open_key_index(table);
	IndexScanDesc scan = begin_index_scan(table->rel, index, snapshot, 1);
	ScanKeyData scankey;

	ScanKeyEntryInitializeWithInfo(&scankey, 0, 1, BTEqualStrategyNumber,
								   InvalidOid, table->key_collation,
								   &table->key_equal, key);
	index_rescan(scan, &scankey, 1, NULL, 0);
	return scan;
}

/*
 * state_scan_begin, state_scan_next, state_scan_end
 *		Go through the rows that a snapshot sees in the order of their keys,
 *		from the first one behind 'after' (NULL: from the first).
 *
 * A row's values are valid until the next one is asked for; it is to be looked
 * at only.
 */
IndexScanDesc
state_scan_begin(StateTable *table, Snapshot snapshot, const Datum *after)
{
	Relation	index = open_key_index(table);
	int			nkeys = after != NULL ? 1 : 0;
	IndexScanDesc scan = begin_index_scan(table->rel, index, snapshot, nkeys);
	ScanKeyData scankey;

	if (after != NULL)
		ScanKeyEntryInitialize(&scankey, 0, 1, BTGreaterStrategyNumber,
							   InvalidOid, table->key_collation,
							   get_opcode(get_opfamily_member(index->rd_opfamily[0],
															  index->rd_opcintype[0],
															  index->rd_opcintype[0],
															  BTGreaterStrategyNumber)),
							   *after);
	index_rescan(scan, nkeys > 0 ? &scankey : NULL, nkeys, NULL, 0);
	return scan;
}

bool
state_scan_next(StateTable *table, IndexScanDesc scan, StateRow *row)
{
	if (!index_getnext_slot(scan, ForwardScanDirection, table->old_slot))
		return false;
	read_values(table, table->old_slot, row);
	return true;
}

void
state_scan_end(StateTable *table, IndexScanDesc scan)
{
	index_endscan(scan);
	ExecClearTuple(table->old_slot);
}

/*
 * state_compare_keys
 *		Which key comes first: negative, zero or positive.
 */
int
state_compare_keys(StateTable *table, Datum a, Datum b)
{
	return DatumGetInt32(FunctionCall2Coll(&table->key_compare,
										   table->key_collation, a, b));
}

/*
 * state_find
 *		The newest version of a lead's row; false if there is none.
 *
 * Waits for transactions that are about to change or insert it; with 'nowait'
 * it does not, but sets *locked and returns false.  The row's values are valid
 * until the table is closed or searched again.
 */
bool
state_find(StateTable *table, Datum key, bool nowait, bool *locked,
		   StateRow *row)
{
	SnapshotData snapshot;
	IndexScanDesc scan;
	bool		found;
	TransactionId wait_for;

	if (locked != NULL)
		*locked = false;
	InitDirtySnapshot(snapshot);
	for (;;)
	{
		scan = begin_scan(table, &snapshot, key);
		found = index_getnext_slot(scan, ForwardScanDirection, table->old_slot);
		wait_for = TransactionIdIsValid(snapshot.xmin) ?
			snapshot.xmin : snapshot.xmax;
		if (!found || !TransactionIdIsValid(wait_for))
			break;
		index_endscan(scan);
		ExecClearTuple(table->old_slot);
		if (nowait)
		{
			*locked = true;
			return false;
		}
		if (snapshot.speculativeToken)
			SpeculativeInsertionWait(snapshot.xmin, snapshot.speculativeToken);
		else
			XactLockTableWait(wait_for, NULL, NULL, XLTW_None);
	}
	if (found)
		read_row(table, table->old_slot, row);
	index_endscan(scan);

	return found;
}

/*
 * state_row_of_slot
 *		The row in the slot that a scan of another index has filled.
 */
void
state_row_of_slot(StateTable *table, StateRow *row)
{
	read_values(table, table->old_slot, row);
}

/*
 * An index on one column that leaves nothing but NULLs out; InvalidOid if there
 * is none.
 */
static Oid
find_index(const StateTable *table, StateColumn column)
{
	for (int i = 0; i < table->result_rel->ri_NumIndices; i++)
	{
		IndexInfo  *info = table->result_rel->ri_IndexRelationInfo[i];

		if (info->ii_NumIndexKeyAttrs == 1 &&
			info->ii_IndexAttrNumbers[0] == table->columns[column] &&
			list_length(info->ii_Predicate) == 1 && IsA(linitial(info->ii_Predicate), NullTest))
			return list_nth_oid(table->index_oids, i);
	}
	return InvalidOid;
}

/*
 * state_bound_index, state_due_index
 *		The indexes on score_bound and on next_change_at.
 */
Oid
state_bound_index(const StateTable *table)
{
	return find_index(table, STATE_SCORE_BOUND);
}

Oid
state_due_index(const StateTable *table)
{
	return find_index(table, STATE_NEXT_CHANGE_AT);
}

/*
 * state_row_part
 *		What a state remembers of the lead's own row.
 */
void
state_row_part(const StateRow *row, RowPart *part)
{
	part->fit = DatumGetFloat8(row->values[STATE_FIT]);
	part->base = row->isnull[STATE_ENGAGEMENT_BASE] ? 0 :
		DatumGetFloat8(row->values[STATE_ENGAGEMENT_BASE]);
	part->nkept = 0;
	part->kept = NULL;
	if (!row->isnull[STATE_KEPT_RULES])
	{
		ArrayType  *array = DatumGetArrayTypeP(row->values[STATE_KEPT_RULES]);

		part->nkept = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
		part->kept = (const int64 *) ARR_DATA_PTR(array);
	}
}

/*
 * state_read
 *		A lead's row as a snapshot sees it; false if there is none.  Its values
 *		are valid until the table is closed or searched again.
 */
bool
state_read(StateTable *table, Datum key, Snapshot snapshot, StateRow *row)
{
	IndexScanDesc scan = begin_scan(table, snapshot, key);
	bool		found = index_getnext_slot(scan, ForwardScanDirection, table->old_slot);

	if (found)
		read_values(table, table->old_slot, row);
	index_endscan(scan);
	return found;
}

/*
 * state_lock
 *		Lock a row that was found, so that nobody else writes it until the end
 *		of the transaction; false if it was changed since.
 *
 * With 'nowait' a row that somebody else holds is left alone: *locked.
 */
bool
state_lock(StateTable *table, StateRow *row, bool nowait, bool *locked)
{
	TM_FailureData failure;
	TM_Result	result;

	result = table_tuple_lock(table->rel, &row->tid, GetActiveSnapshot(),
							  table->old_slot, command_for(row),
							  LockTupleNoKeyExclusive,
							  nowait ? LockWaitSkip : LockWaitBlock,
							  0, &failure);
	if (result == TM_WouldBlock)
	{
		*locked = true;
		return false;
	}
	if (was_changed(table, result))
		return false;
	read_row(table, table->old_slot, row);
	return true;
}

/*
 * Was a version of a row removed by this transaction, by being deleted or by
 * being replaced?
 */
static bool
removed_by_us(HeapTupleHeader header)
{
	return (header->t_infomask & HEAP_XMAX_INVALID) == 0 &&
		!HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) &&
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetUpdateXid(header));
}

/*
 * Was a version of a row there when a command of this transaction began?
 */
static bool
was_there(HeapTupleHeader header, CommandId command)
{
	TransactionId xmin = HeapTupleHeaderGetXmin(header);

	if (TransactionIdIsCurrentTransactionId(xmin))
	{
		if (HeapTupleHeaderGetCmin(header) >= command)
			return false;
	}
	else if (!TransactionIdIsNormal(xmin) ? xmin == InvalidTransactionId :
			 TransactionIdIsInProgress(xmin) || !TransactionIdDidCommit(xmin))
		return false;

	if (removed_by_us(header))
		return HeapTupleHeaderGetCmax(header) >= command;
	/* nobody else can have removed a version that is still being looked for */
	return (header->t_infomask & HEAP_XMAX_INVALID) != 0 ||
		HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) ||
		!TransactionIdDidCommit(HeapTupleHeaderGetUpdateXid(header));
}

/*
 * Find a version of a lead's row that is not the newest.
 */
static bool
find_version(StateTable *table, Datum key, bool deleted, CommandId command,
			 StateRow *row)
{
	IndexScanDesc scan = begin_scan(table, SnapshotAny, key);
	CommandId	last = 0;
	TupleTableSlot *slot = table->old_slot;
	HeapTuple	best = NULL;

	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		bool		should_free;
		HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);
		HeapTupleHeader header = tuple->t_data;
		bool		isnull;

		if (deleted ?
			/* the last one that was deleted, not replaced, and not moved away */
			removed_by_us(header) &&
			ItemPointerEquals(&header->t_ctid, &tuple->t_self) &&
			DatumGetBool(slot_getattr(slot, table->columns[STATE_LEAD_EXISTS], &isnull)) &&
			(best == NULL || HeapTupleHeaderGetCmax(header) >= last) :
			was_there(header, command))
		{
			if (removed_by_us(header))
				last = HeapTupleHeaderGetCmax(header);
			best = heap_copytuple(tuple);
		}
		if (should_free)
			heap_freetuple(tuple);
	}
	index_endscan(scan);
	if (best == NULL)
		return false;

	state_row_of_tuple(table, best, row);
	return true;
}

/*
 * state_find_deleted
 *		The row of a lead as it was when this transaction deleted it last;
 *		false if it has not.
 *
 * A row deleted by a transaction that is still running cannot have been
 * cleaned up.
 */
bool
state_find_deleted(StateTable *table, Datum key, StateRow *row)
{
	return find_version(table, key, true, 0, row);
}

/*
 * state_find_before
 *		The row of a lead as it was when a command of this transaction began;
 *		false if there was none.
 */
bool
state_find_before(StateTable *table, Datum key, CommandId command, StateRow *row)
{
	return find_version(table, key, false, command, row);
}


/* --------------------------------------------------------------------
 * Writing
 * --------------------------------------------------------------------
 */

/*
 * state_differs
 *		Do two rows hold different values in a column?
 */
bool
state_differs(StateTable *table, const StateRow *a, const StateRow *b,
			  StateColumn column)
{
	Form_pg_attribute att = TupleDescAttr(table->desc,
										  table->columns[column] - 1);

	if (a->isnull[column] || b->isnull[column])
		return a->isnull[column] != b->isnull[column];
	return !datum_image_eq(a->values[column], b->values[column],
						   att->attbyval, att->attlen);
}

/*
 * state_copy_values
 *		Copy the values of a row to the current memory context, so that they
 *		outlive the table's being open.
 */
void
state_copy_values(StateTable *table, StateRow *row)
{
	for (int i = 0; i < NUM_STATE_COLUMNS; i++)
	{
		Form_pg_attribute att = TupleDescAttr(table->desc, table->columns[i] - 1);

		if (!row->isnull[i] && !att->attbyval)
			row->values[i] = att->attlen == -1 ?
				PointerGetDatum(PG_DETOAST_DATUM_COPY(row->values[i])) :
				datumCopy(row->values[i], att->attbyval, att->attlen);
	}
}

/*
 * state_fill_slot
 *		Make a virtual tuple of a row.  Columns that are not ours are left as
 *		they are in the slot.
 */
void
state_fill_slot(StateTable *table, const StateRow *row, TupleTableSlot *slot)
{
	for (int i = 0; i < NUM_STATE_COLUMNS; i++)
	{
		slot->tts_values[table->columns[i] - 1] = row->values[i];
		slot->tts_isnull[table->columns[i] - 1] = row->isnull[i];
	}
	ExecStoreVirtualTuple(slot);
}

/*
 * Make the index entries of the tuple in new_slot, as the table's owner:
 * somebody may have put an expression into an index.  False if there is
 * another tuple with its key.
 */
static bool
insert_entries(StateTable *table, bool by_update, bool only_summarizing,
			   List *arbiters)
{
	Impersonation impersonation;
	bool		conflict = false;

	if (table->has_expressions)
		impersonate(&impersonation, table->owner, "pg_catalog, pg_temp");
	list_free(insert_index_entries(table->result_rel, table->new_slot,
								   table->estate, by_update,
								   arbiters != NIL, &conflict, arbiters,
								   only_summarizing));
	if (table->has_expressions)
		impersonate_end(&impersonation);

	return !conflict;
}

/*
 * Insert the tuple in new_slot and its index entries; false if there is
 * another one with its key.
 *
 * Speculatively, as INSERT ... ON CONFLICT does it: nobody ever waits for a
 * tuple that may yet be taken back.
 */
static bool
insert_speculatively(StateTable *table, List *arbiters)
{
	TupleTableSlot *slot = table->new_slot;
	TransactionId xid = GetCurrentTransactionId();
	uint32		token = SpeculativeInsertionLockAcquire(xid);
	bool		inserted;

	table_tuple_insert_speculative(table->rel, slot,
								   GetCurrentCommandId(true), 0, NULL, token);
	inserted = insert_entries(table, false, false, arbiters);
	table_tuple_complete_speculative(table->rel, slot, token, inserted);
	SpeculativeInsertionLockRelease(xid);

	return inserted;
}

/*
 * The same for a key that nobody else can be inserting, which saves a fifth of
 * the whole.
 */
static bool
insert_plainly(StateTable *table, List *arbiters)
{
	TupleTableSlot *slot = table->new_slot;
	TM_FailureData failure;

	table_tuple_insert(table->rel, slot, GetCurrentCommandId(true), 0, NULL);
	if (insert_entries(table, false, false, arbiters))
		return true;

	/* take it back; a command does not see what it inserted itself */
	CommandCounterIncrement();
	if (table_tuple_delete(table->rel, &slot->tts_tid, GetCurrentCommandId(true),
						   GetActiveSnapshot(), InvalidSnapshot, true,
						   &failure, false) != TM_Ok)
		elog(ERROR, "could not take back a row of \"%s\"",
			 RelationGetRelationName(table->rel));
	return false;
}

/*
 * state_insert
 *		Insert a row; false if the lead has one already (or another
 *		transaction is about to give it one).
 *
 * It does not look first: a new lead seldom has a row.  'guarded' says that
 * nobody else can be inserting the same lead, because the unique index of the
 * leads' table has let this one pass; should somebody come from elsewhere, the
 * two may wait for each other.
 */
bool
state_insert(StateTable *table, const StateRow *row, bool guarded)
{
	TupleTableSlot *slot = table->new_slot;
	Relation	index = open_key_index(table);
	List	   *arbiters = list_make1_oid(RelationGetRelid(index));
	bool		inserted;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, sizeof(bool) * table->desc->natts);
	state_fill_slot(table, row, slot);
	inserted = guarded ? insert_plainly(table, arbiters) :
		insert_speculatively(table, arbiters);
	list_free(arbiters);

	return inserted;
}

/*
 * state_update
 *		Replace a row that was found; false if it was changed since.
 */
bool
state_update(StateTable *table, const StateRow *old, const StateRow *row)
{
	TupleTableSlot *slot = table->new_slot;
	TM_FailureData failure;
	LockTupleMode lockmode;
	TU_UpdateIndexes update_indexes;
	TM_Result	result;

	/* columns that somebody added keep their values */
	slot_getallattrs(table->old_slot);
	ExecClearTuple(slot);
	memcpy(slot->tts_values, table->old_slot->tts_values,
		   sizeof(Datum) * table->desc->natts);
	memcpy(slot->tts_isnull, table->old_slot->tts_isnull,
		   sizeof(bool) * table->desc->natts);
	state_fill_slot(table, row, slot);

	result = table_tuple_update(table->rel, unconstify(ItemPointerData *, &old->tid),
								slot, command_for(old),
								GetActiveSnapshot(), InvalidSnapshot, true,
								&failure, &lockmode, &update_indexes);
	if (was_changed(table, result))
		return false;
	if (update_indexes != TU_None)
		(void) insert_entries(table, true, update_indexes == TU_Summarizing, NIL);
	return true;
}

/*
 * state_delete
 *		Delete a row that was found; false if it was changed since.
 */
bool
state_delete(StateTable *table, const StateRow *old)
{
	TM_FailureData failure;
	TM_Result	result;

	result = table_tuple_delete(table->rel, unconstify(ItemPointerData *, &old->tid),
								command_for(old),
								GetActiveSnapshot(), InvalidSnapshot, true,
								&failure, false);
	return !was_changed(table, result);
}
