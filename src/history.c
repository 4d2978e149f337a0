/*-------------------------------------------------------------------------
 *
 * history.c
 *	  Rows of leadscore.history.
 *
 * One row for every change of a lead's fit, temperature, grade or stage.  They
 * are written by direct access, as the states are and for the same reasons (see
 * state.c), into the partition that their time belongs to; triggers on it are
 * not fired.  Where that cannot be, the change goes without a row, and a problem
 * is noted.
 *
 * That rows are only ever added is seen to by a trigger, history_guard(), which
 * lets nobody change or delete any but the functions of the extension that
 * are made for it.  What a row tells never changes; but the rows of a model
 * that is renamed go by its new name.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "condition.h"
#include "history.h"
#include "problem.h"
#include "rulebook.h"
#include "ruletable.h"
#include "source.h"

/* The columns of leadscore.history, in the order of the install script. */
typedef enum HistoryColumn
{
	HISTORY_AT,
	HISTORY_XACT,
	HISTORY_XACT_ORDER,
	HISTORY_RECORDED_AT,
	HISTORY_MODEL,
	HISTORY_LEAD_KEY,
	HISTORY_CAUSE,
	HISTORY_AUTOMATIC,
	HISTORY_LISTED,
	HISTORY_FROM_STAGE,
	HISTORY_TO_STAGE,
	HISTORY_FROM_TEMPERATURE,
	HISTORY_TEMPERATURE,
	HISTORY_FROM_GRADE,
	HISTORY_GRADE,
	HISTORY_FROM_SCORE,
	HISTORY_SCORE,
	HISTORY_FIT,
	HISTORY_ENGAGEMENT,
	HISTORY_DISQUALIFIED,
	HISTORY_CHANNEL,
	HISTORY_ANNOUNCED,
	HISTORY_RULES,
	HISTORY_RULES_VERSION,
	HISTORY_CHANGED_BY,
	HISTORY_REASON
} HistoryColumn;
#define NUM_HISTORY_COLUMNS 26

/* Names and types; InvalidOid: lead_stage. */
static const struct
{
	const char *name;
	Oid			type;
}			history_columns[NUM_HISTORY_COLUMNS] =
{
	{"at", TIMESTAMPTZOID},
	{"xact", XID8OID},
	{"xact_order", INT4OID},
	{"recorded_at", TIMESTAMPTZOID},
	{"model", TEXTOID},
	{"lead_key", TEXTOID},
	{"cause", TEXTOID},
	{"automatic", BOOLOID},
	{"listed", BOOLOID},
	{"from_stage", InvalidOid},
	{"to_stage", InvalidOid},
	{"from_temperature", TEXTOID},
	{"temperature", TEXTOID},
	{"from_grade", TEXTOID},
	{"grade", TEXTOID},
	{"from_score", INT4OID},
	{"score", INT4OID},
	{"fit", FLOAT8OID},
	{"engagement", FLOAT8OID},
	{"disqualified", BOOLOID},
	{"channel", TEXTOID},
	{"announced", TEXTOID},
	{"rules", INT8ARRAYOID},
	{"rules_version", INT8OID},
	{"changed_by", TEXTOID},
	{"reason", TEXTOID}
};

/* A partition, as a statement knows it. */
typedef struct HistoryPartition
{
	Oid			relid;
	Oid			owner;
	EState	   *estate;
	MemoryContext am_context;	/* for access methods of indexes, while open */
	ResultRelInfo *result_rel;	/* relations are filled in while open */
	bool		has_expressions;	/* some index has */
	List	   *index_oids;
	TupleTableSlot *slot;
	AttrNumber	columns[NUM_HISTORY_COLUMNS];
} HistoryPartition;

struct HistoryWriter
{
	MemoryContext context;
	List	   *partitions;
	Datum		user;			/* who is logged in, as text */
};

/* Rows of a transaction are numbered. */
static FullTransactionId numbered_xact;
static int32 last_number;

/* What a function of ours is about to do with rows that are there. */
typedef enum Rewriting
{
	REWRITES_NOTHING,
	REMOVES_ROWS,
	RENAMES_MODEL
} Rewriting;

static Rewriting rewriting = REWRITES_NOTHING;


static const char *const cause_words[] = {
	"row", "event", "decay", "lookup", "rules", "manual", "status", "pin", "unpin", "key", "accept", "reject"
};

/*
 * cause_word
 *		The word for a cause.
 */
const char *
cause_word(Cause cause)
{
	return cause_words[cause];
}

/*
 * The number of the next row that this transaction writes.
 */
static int32
next_number(void)
{
	FullTransactionId xact = GetTopFullTransactionId();

	if (!FullTransactionIdEquals(xact, numbered_xact))
	{
		numbered_xact = xact;
		last_number = 0;
	}
	return ++last_number;
}

/*
 * leadscore.next_xact_order()
 *		The same for rows written by SQL.
 */
PG_FUNCTION_INFO_V1(leadscore_next_xact_order);
Datum
leadscore_next_xact_order(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(next_number());
}

/*
 * history_writer_create
 *		In the current memory context.
 */
HistoryWriter *
history_writer_create(void)
{
	HistoryWriter *writer = palloc0(sizeof(HistoryWriter));

	writer->context = CurrentMemoryContext;
	return writer;
}

/*
 * The partition that rows of a time belong to; InvalidOid if there is none, or
 * it takes more than the time to tell.
 */
static Oid
find_partition(TimestampTz at)
{
	Oid			relid = leadscore_relation("history");

	for (;;)
	{
		Relation	rel = table_open(relid, RowExclusiveLock);
		PartitionKey key;
		PartitionDesc desc;
		PartitionBoundInfo bounds;
		Datum		value = TimestampTzGetDatum(at);
		int			index;

		if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		{
			table_close(rel, NoLock);
			return relid;
		}
		key = RelationGetPartitionKey(rel);
		desc = RelationGetPartitionDesc(rel, true);
		bounds = desc->boundinfo;
		index = desc->nparts > 0 ? bounds->default_index : -1;
		if (key->strategy == PARTITION_STRATEGY_RANGE && key->partnatts == 1 &&
			key->parttypid[0] == TIMESTAMPTZOID && desc->nparts > 0 && bounds->ndatums > 0)
		{
			bool		equal = false;
			int			offset =
				partition_range_datum_bsearch(key->partsupfunc, key->partcollation,
											  bounds, 1, &value, &equal);

			if (bounds->indexes[offset + 1] >= 0)
				index = bounds->indexes[offset + 1];
		}
		relid = index < 0 ? InvalidOid : desc->oids[index];
		table_close(rel, NoLock);
		if (!OidIsValid(relid))
			return InvalidOid;
	}
}

/*
 * Find the columns of a partition; false if they are not what we write.
 */
static bool
find_columns(TupleDesc desc, AttrNumber *columns)
{
	Oid			stage_type = leadscore_type("lead_stage");

	for (int i = 0; i < NUM_HISTORY_COLUMNS; i++)
	{
		Oid			type = OidIsValid(history_columns[i].type) ? history_columns[i].type : stage_type;

		for (int j = 0; j < desc->natts && columns[i] == 0; j++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, j);

			if (!att->attisdropped && att->atttypid == type &&
				strcmp(NameStr(att->attname), history_columns[i].name) == 0)
				columns[i] = j + 1;
		}
		if (columns[i] == 0)
			return false;
	}
	return true;
}

/*
 * Open the partition that a row of a time belongs to; NULL if there is none
 * that a row can be written into, and *why.
 */
static HistoryPartition *
open_partition(HistoryWriter *writer, TimestampTz at, const char **why)
{
	HistoryPartition *partition = NULL;
	AttrNumber	columns[NUM_HISTORY_COLUMNS] = {0};
	MemoryContext caller;
	Oid			relid = find_partition(at);
	Relation	rel;
	ListCell   *lc;
	int			n = 0;

	if (!OidIsValid(relid))
	{
		*why = "leadscore.history has no partition for the time of a change; give it a default partition";
		return NULL;
	}
	rel = table_open(relid, RowExclusiveLock);
	foreach(lc, writer->partitions)
	{
		if (((HistoryPartition *) lfirst(lc))->relid == relid)
			partition = (HistoryPartition *) lfirst(lc);
	}
	if (partition == NULL && (rel->rd_tableam == NULL || !find_columns(RelationGetDescr(rel), columns)))
	{
		*why = psprintf("partition \"%s\" of leadscore.history %s", RelationGetRelationName(rel),
						rel->rd_tableam == NULL ? "is not a table" : "has lost columns, or their types");
		table_close(rel, NoLock);
		return NULL;
	}
	if (partition == NULL)
	{
		caller = MemoryContextSwitchTo(writer->context);
		partition = palloc0(sizeof(HistoryPartition));
		partition->relid = relid;
		partition->owner = rel->rd_rel->relowner;
		memcpy(partition->columns, columns, sizeof(columns));
		partition->am_context = AllocSetContextCreate(CurrentMemoryContext, "leadscore indexes",
													  ALLOCSET_SMALL_SIZES);
		partition->estate = CreateExecutorState();
		partition->result_rel = makeNode(ResultRelInfo);
		InitResultRelInfo(partition->result_rel, rel, 0, NULL, 0);
		partition->index_oids = RelationGetIndexList(rel);
		partition->result_rel->ri_NumIndices = list_length(partition->index_oids);
		partition->result_rel->ri_IndexRelationDescs =
			palloc(sizeof(Relation) * (list_length(partition->index_oids) + 1));
		partition->result_rel->ri_IndexRelationInfo =
			palloc(sizeof(IndexInfo *) * (list_length(partition->index_oids) + 1));
		foreach(lc, partition->index_oids)
		{
			Relation	index = index_open(lfirst_oid(lc), RowExclusiveLock);
			IndexInfo  *info = BuildIndexInfo(index);

			info->ii_Context = partition->am_context;
			partition->has_expressions |= info->ii_Expressions != NIL || info->ii_Predicate != NIL;
			partition->result_rel->ri_IndexRelationInfo[n++] = info;
			index_close(index, NoLock);
		}
		partition->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(rel)),
												   &TTSOpsVirtual);
		writer->partitions = lappend(writer->partitions, partition);
		MemoryContextSwitchTo(caller);
	}
	n = 0;
	partition->result_rel->ri_RelationDesc = rel;
	foreach(lc, partition->index_oids)
		partition->result_rel->ri_IndexRelationDescs[n++] = index_open(lfirst_oid(lc), RowExclusiveLock);

	return partition;
}

static void
close_partition(HistoryPartition *partition)
{
	ExecClearTuple(partition->slot);
	for (int i = 0; i < partition->result_rel->ri_NumIndices; i++)
	{
		index_insert_cleanup(partition->result_rel->ri_IndexRelationDescs[i],
							 partition->result_rel->ri_IndexRelationInfo[i]);
		partition->result_rel->ri_IndexRelationInfo[i]->ii_AmCache = NULL;
		index_close(partition->result_rel->ri_IndexRelationDescs[i], NoLock);
	}
	MemoryContextReset(partition->am_context);
	table_close(partition->result_rel->ri_RelationDesc, NoLock);
	partition->result_rel->ri_RelationDesc = NULL;
}

static void
set_column(HistoryPartition *partition, HistoryColumn column, Datum value)
{
	partition->slot->tts_values[partition->columns[column] - 1] = value;
	partition->slot->tts_isnull[partition->columns[column] - 1] = false;
}

static void
copy_column(HistoryPartition *partition, HistoryColumn column,
			const StateRow *row, StateColumn from)
{
	if (row != NULL && !row->isnull[from])
		set_column(partition, column, row->values[from]);
}

/*
 * history_add
 *		Add a row about a lead, whose state was 'before' (NULL: there was none)
 *		and is 'after'.
 *
 * Leaves garbage in the current memory context.
 */
void
history_add(HistoryWriter *writer, const char *model, const char *lead_key,
			const StateRow *before, const StateRow *after,
			const HistoryEntry *entry)
{
	const char *why = NULL;
	HistoryPartition *partition = open_partition(writer, entry->at, &why);
	FullTransactionId xact = GetTopFullTransactionId();
	TupleTableSlot *slot;

	if (partition == NULL)
	{
		note_problem(model, NO_RULE, NULL, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, why);
		return;
	}
	slot = partition->slot;
	if (writer->user == (Datum) 0)
	{
		char	   *user = GetUserNameFromId(GetSessionUserId(), true);
		MemoryContext caller = MemoryContextSwitchTo(writer->context);

		writer->user = CStringGetTextDatum(user != NULL ? user : "");
		MemoryContextSwitchTo(caller);
	}

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, sizeof(bool) * slot->tts_tupleDescriptor->natts);
	set_column(partition, HISTORY_AT, TimestampTzGetDatum(entry->at));
	set_column(partition, HISTORY_XACT, FullTransactionIdGetDatum(xact));
	set_column(partition, HISTORY_XACT_ORDER, Int32GetDatum(next_number()));
	set_column(partition, HISTORY_RECORDED_AT, TimestampTzGetDatum(GetCurrentTimestamp()));
	set_column(partition, HISTORY_MODEL, CStringGetTextDatum(model));
	set_column(partition, HISTORY_LEAD_KEY, CStringGetTextDatum(lead_key));
	set_column(partition, HISTORY_CAUSE, CStringGetTextDatum(cause_word(entry->cause)));
	set_column(partition, HISTORY_AUTOMATIC, BoolGetDatum(entry->automatic));
	set_column(partition, HISTORY_LISTED, BoolGetDatum(entry->listed));
	if (entry->from != 0)
		set_column(partition, HISTORY_FROM_STAGE, LeadStageGetDatum(entry->from));
	set_column(partition, HISTORY_TO_STAGE, LeadStageGetDatum(entry->to));
	copy_column(partition, HISTORY_FROM_TEMPERATURE, before, STATE_TEMPERATURE);
	copy_column(partition, HISTORY_TEMPERATURE, after, STATE_TEMPERATURE);
	copy_column(partition, HISTORY_FROM_GRADE, before, STATE_GRADE);
	copy_column(partition, HISTORY_GRADE, after, STATE_GRADE);
	copy_column(partition, HISTORY_FROM_SCORE, before, STATE_SCORE);
	copy_column(partition, HISTORY_SCORE, after, STATE_SCORE);
	copy_column(partition, HISTORY_FIT, after, STATE_FIT);
	copy_column(partition, HISTORY_ENGAGEMENT, after, STATE_ENGAGEMENT_POINTS);
	copy_column(partition, HISTORY_DISQUALIFIED, after, STATE_DISQUALIFIED);
	copy_column(partition, HISTORY_CHANNEL, after, STATE_CHANNEL);
	if (entry->announced)
		copy_column(partition, HISTORY_ANNOUNCED, after, STATE_ANNOUNCED);
	if (entry->rules != (Datum) 0)
		set_column(partition, HISTORY_RULES, entry->rules);
	copy_column(partition, HISTORY_RULES_VERSION, after, STATE_RULES_VERSION);
	set_column(partition, HISTORY_CHANGED_BY, writer->user);
	if (entry->reason != NULL)
		set_column(partition, HISTORY_REASON, CStringGetTextDatum(entry->reason));
	ExecStoreVirtualTuple(slot);

	slot->tts_tableOid = partition->relid;
	table_tuple_insert(partition->result_rel->ri_RelationDesc, slot,
					   GetCurrentCommandId(true), 0, NULL);
	if (partition->result_rel->ri_NumIndices > 0)
	{
		Impersonation impersonation;

		/* somebody may have put an expression into an index */
		if (partition->has_expressions)
			impersonate(&impersonation, partition->owner, "pg_catalog, pg_temp");
		list_free(insert_index_entries(partition->result_rel, slot, partition->estate,
									   false, false, NULL, NIL, false));
		if (partition->has_expressions)
			impersonate_end(&impersonation);
	}
	ResetPerTupleExprContext(partition->estate);
	close_partition(partition);
}


/* --------------------------------------------------------------------
 * Removing, and renaming
 * --------------------------------------------------------------------
 */

/*
 * leadscore.history_guard(): trigger BEFORE UPDATE OR DELETE OR TRUNCATE, for
 * each row and statement, on leadscore.history and its partitions
 *		Errors: 55000 unless leadscore.drop_history() or leadscore.forget() is
 *		at work, or rows go along with a model that is renamed.
 */
PG_FUNCTION_INFO_V1(leadscore_history_guard);
Datum
leadscore_history_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	bool		by_update;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager",
						"history_guard")));
	by_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	if (!(rewriting == REMOVES_ROWS && TRIGGER_FIRED_BY_DELETE(trigger->tg_event)) &&
		!(rewriting == RENAMES_MODEL && by_update))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rows of leadscore.history are only ever added"),
				 errhint("leadscore.drop_history() removes what is older than a time, leadscore.forget() what is kept of a lead.")));
	if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		return PointerGetDatum(NULL);
	return PointerGetDatum(by_update ? trigger->tg_newtuple : trigger->tg_trigtuple);
}

/*
 * Run a statement on leadscore.history as its owner, with the newest rows, and
 * let the guard pass what it does; how many rows.
 */
static uint64
run_on_history(Rewriting does, const char *text, int nargs, Oid *types,
			   Datum *values, const char *nulls)
{
	Impersonation impersonation;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SPIPlanPtr	plan;
	uint64		rows = 0;

	impersonate(&impersonation, relation_owner(leadscore_relation("history")),
				"pg_catalog, pg_temp");
	PG_TRY();
	{
		rewriting = does;
		SPI_connect();
		plan = SPI_prepare(text, nargs, types);
		if (plan == NULL ||
			SPI_execute_snapshot(plan, values, nulls, snapshot, InvalidSnapshot,
								 does == REWRITES_NOTHING, true, 0) < 0)
			elog(ERROR, "could not go through leadscore.history");
		rows = SPI_processed;
		SPI_finish();
	}
	PG_FINALLY();
	{
		rewriting = REWRITES_NOTHING;
	}
	PG_END_TRY();
	impersonate_end(&impersonation);
	UnregisterSnapshot(snapshot);

	return rows;
}

/*
 * leadscore._delete_history(model text, lead_key text, before timestamptz,
 * since timestamptz)
 *		Removes rows: of a model (NULL: all), of a lead (NULL: all), before a
 *		time (NULL: all) and from a time on (NULL: all).  Returns how many.
 */
PG_FUNCTION_INFO_V1(leadscore_delete_history);
Datum
leadscore_delete_history(PG_FUNCTION_ARGS)
{
	Oid			types[4] = {TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[4];
	char		nulls[4];

	for (int i = 0; i < 4; i++)
	{
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	PG_RETURN_INT64((int64) run_on_history(REMOVES_ROWS,
										   "DELETE FROM leadscore.history WHERE (model = $1 OR $1 IS NULL) "
										   "AND (lead_key = $2 OR $2 IS NULL) AND (at < $3 OR $3 IS NULL) "
										   "AND (at >= $4 OR $4 IS NULL)",
										   4, types, values, nulls));
}

/*
 * history_knows
 *		Is there any history under the name of a model?
 */
bool
history_knows(const char *model)
{
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(model);

	return run_on_history(REWRITES_NOTHING, "SELECT FROM leadscore.history WHERE model = $1 LIMIT 1",
						  1, &type, &value, NULL) > 0;
}

/*
 * leadscore.rename_history(): trigger AFTER UPDATE OF name FOR EACH ROW on
 * leadscore.model
 *		History goes along with a model that is renamed: it is told by the name.
 *		Errors: 55000 if there is some under the new name already, which another
 *		model has left.
 */
PG_FUNCTION_INFO_V1(leadscore_rename_history);
Datum
leadscore_rename_history(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		names[2];
	bool		isnull;
	char	   *name;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ||
		RelationGetRelid(trigger->tg_relation) != leadscore_relation("model"))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" is for tables of leadscore only",
						"rename_history")));
	names[0] = heap_getattr(trigger->tg_trigtuple, Anum_model_name,
							RelationGetDescr(trigger->tg_relation), &isnull);
	names[1] = heap_getattr(trigger->tg_newtuple, Anum_model_name,
							RelationGetDescr(trigger->tg_relation), &isnull);
	name = TextDatumGetCString(names[0]);
	if (strcmp(name, TextDatumGetCString(names[1])) == 0 || !history_knows(name))
		return PointerGetDatum(NULL);
	if (history_knows(TextDatumGetCString(names[1])))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot rename scoring model \"%s\" to \"%s\"",
						name, TextDatumGetCString(names[1])),
				 errdetail("There is history of another model that was called \"%s\".",
						   TextDatumGetCString(names[1])),
				 errhint("Take another name, or remove that history with leadscore.drop_history().")));
	(void) run_on_history(RENAMES_MODEL, "UPDATE leadscore.history SET model = $2 WHERE model = $1",
						  2, types, names, NULL);
	return PointerGetDatum(NULL);
}
