/*-------------------------------------------------------------------------
 *
 * capture.c
 *	  Triggers on the tables of leads and on the look-ups of their sources.
 *
 * capture()			AFTER each row, and BEFORE TRUNCATE, on a table of leads
 * capture_watched()	the same on a table that a source looks things up in
 * write_back()			BEFORE each row, if columns of the lead are to be set
 *
 * They fire ALWAYS, on behalf of whoever writes.  All triggers of a statement
 * use one set of rules, the newest at its first row.
 *
 * Rows are taken in the order in which they were written.  For one that has
 * been replaced since, by another trigger on the same table, its newest version
 * is scored: what replaced it may have changed nothing that has an event.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "capture.h"
#include "problem.h"
#include "ruletable.h"
#include "source.h"

/* What all triggers of a statement share; lives as long as the statement. */
typedef struct Statement
{
	dlist_node	all;
	MemoryContext context;
	MemoryContextCallback forget;
	List	   *scorers;
} Statement;

/* What a trigger knows of its table. */
typedef struct CapturedTable
{
	Scorer	   *scorer;
	bool		usable;
	AttrNumber	key_column;
	AttrNumber *map;			/* column of each that the rules read */
	AttrNumber	last_column;	/* the last of them */
	AttrNumber	write_back[NUM_WRITE_BACKS];
	bool		may_refuse;		/* some of these do not take any value */
	FmgrInfo	input[NUM_WRITE_BACKS];
	Oid			input_param[NUM_WRITE_BACKS];
} CapturedTable;

/* What is written back. */
static const StateColumn written_from[NUM_WRITE_BACKS] = {
	STATE_SCORE, STATE_TEMPERATURE, STATE_GRADE, STATE_STAGE
};

static dlist_head statements = DLIST_STATIC_INIT(statements);


/* --------------------------------------------------------------------
 * Setting up
 * --------------------------------------------------------------------
 */

static void
forget_statement(void *arg)
{
	dlist_delete(&((Statement *) arg)->all);
}

/*
 * statement_scorer
 *		The scorer of a model, not complete, for a statement, which the memory
 *		of its executor stands for: all triggers of a query have their functions
 *		in it, whichever table or partition they are on.
 */
Scorer *
statement_scorer(MemoryContext context, const char *model)
{
	MemoryContext caller;
	Statement  *statement = NULL;
	Scorer	   *scorer;
	dlist_iter	iter;
	ListCell   *lc;

	dlist_foreach(iter, &statements)
	{
		Statement  *other = dlist_container(Statement, all, iter.cur);

		if (other->context == context)
		{
			statement = other;
			break;
		}
	}
	caller = MemoryContextSwitchTo(context);
	if (statement == NULL)
	{
		statement = palloc0(sizeof(Statement));
		statement->context = context;
		dlist_push_head(&statements, &statement->all);
		statement->forget.func = forget_statement;
		statement->forget.arg = statement;
		MemoryContextRegisterResetCallback(context, &statement->forget);
	}
	foreach(lc, statement->scorers)
	{
		scorer = (Scorer *) lfirst(lc);
		if (strcmp(scorer->model, model) == 0)
		{
			MemoryContextSwitchTo(caller);
			return scorer;
		}
	}
	scorer = scorer_prepare(model);
	statement->scorers = lappend(statement->scorers, scorer);
	MemoryContextSwitchTo(caller);

	return scorer;
}

static AttrNumber
find_column(TupleDesc desc, const char *name, Oid type)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return !OidIsValid(type) || att->atttypid == type ? i + 1 : 0;
	}
	return 0;
}

/*
 * Learn how a table's rows map to the columns that the rules read.
 */
static bool
map_table(CapturedTable *table, Relation rel)
{
	Scorer	   *scorer = table->scorer;
	Rulebook   *rulebook = scorer->rulebook;
	TupleDesc	desc = RelationGetDescr(rel);

	if (!scorer_complete(scorer) || scorer->states->key_index < 0)
		return false;

	/* whoever owns a table can hang the function on it: not his leads */
	if (RelationGetRelid(rel) != scorer->target &&
		!typeInheritsFrom(rel->rd_rel->reltype, get_rel_type_id(scorer->target)))
		return false;

	table->key_column = find_column(desc, scorer->key_column, InvalidOid);
	if (table->key_column == 0 ||
		!same_key_type(TupleDescAttr(desc, table->key_column - 1)->atttypid,
					   scorer->key_type))
	{
		note_problem(scorer->model, NO_RULE, NULL, ERRCODE_DATATYPE_MISMATCH,
					 psprintf("key column \"%s\" is gone or of another type",
							  scorer->key_column));
		return false;
	}
	table->last_column = table->key_column;
	table->map = palloc0(sizeof(AttrNumber) * (rulebook->ncapture_columns + 1));
	for (int i = 0; i < rulebook->ncapture_columns && !scorer->through_source; i++)
	{
		Form_pg_attribute att = TupleDescAttr(rulebook->tupdesc,
											  rulebook->capture_columns[i] - 1);

		table->map[i] = find_column(desc, NameStr(att->attname), att->atttypid);
		if (table->map[i] == 0)
		{
			note_problem(scorer->model, NO_RULE, NULL, ERRCODE_UNDEFINED_COLUMN,
						 psprintf("column \"%s\" is gone or of another type",
								  NameStr(att->attname)));
			return false;
		}
		table->last_column = Max(table->last_column, table->map[i]);
	}
	for (int i = 0; i < NUM_WRITE_BACKS; i++)
	{
		Oid			type;
		Oid			input;

		if (scorer->write_back[i] == NULL)
			continue;
		table->write_back[i] = find_column(desc, scorer->write_back[i], InvalidOid);
		if (table->write_back[i] == 0)
			continue;			/* dropped: doctor() tells */
		type = TupleDescAttr(desc, table->write_back[i] - 1)->atttypid;
		table->may_refuse |= !takes_any_value(written_from[i], type);
		getTypeInputInfo(type, &input, &table->input_param[i]);
		fmgr_info(input, &table->input[i]);
	}
	return true;
}

/*
 * Is pg_restore filling the table?  Then the states come with the dump.
 *
 * A parallel one may load a partition when its parent's triggers are there
 * already.  It does not check the bodies of functions, which nobody else
 * thinks of switching off.
 */
bool
restores_leads(void)
{
	/* the setting first: the other takes a look at the search_path */
	return !check_function_bodies && is_restoring();
}

/*
 * What the trigger at hand needs; NULL if it has nothing to do.
 */
static CapturedTable *
get_captured_table(FunctionCallInfo fcinfo)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	CapturedTable *table = (CapturedTable *) fcinfo->flinfo->fn_extra;

	if (restores_leads())
		return NULL;
	if (table == NULL)
	{
		MemoryContext caller;
		Scorer	   *scorer;

		if (trigger->tg_trigger->tgnargs != 1)
			ereport(ERROR,
					(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
					 errmsg("trigger \"%s\" must name a scoring model",
							trigger->tg_trigger->tgname),
					 errhint("Use leadscore.attach() to create it.")));
		scorer = statement_scorer(fcinfo->flinfo->fn_mcxt, trigger->tg_trigger->tgargs[0]);
		caller = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		table = palloc0(sizeof(CapturedTable));
		table->scorer = scorer;
		table->usable = map_table(table, trigger->tg_relation);
		fcinfo->flinfo->fn_extra = table;
		MemoryContextSwitchTo(caller);
	}
	return table->usable ? table : NULL;
}

static TriggerData *
require_event(FunctionCallInfo fcinfo, const char *function, bool fits)
{
	if (!CALLED_AS_TRIGGER(fcinfo) || !fits)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by the trigger it is made for",
						function),
				 errhint("Use leadscore.attach() to create its triggers.")));
	return (TriggerData *) fcinfo->context;
}


/* --------------------------------------------------------------------
 * Leads
 * --------------------------------------------------------------------
 */

/*
 * Put the columns that the rules read into the rulebook's slot.
 */
static void
fill_slot(CapturedTable *table, TupleTableSlot *from)
{
	Rulebook   *rulebook = table->scorer->rulebook;
	TupleTableSlot *to = rulebook->slot;

	slot_getsomeattrs(from, table->last_column);
	for (int i = 0; i < rulebook->ncapture_columns; i++)
	{
		int			column = rulebook->capture_columns[i] - 1;

		to->tts_values[column] = from->tts_values[table->map[i] - 1];
		to->tts_isnull[column] = from->tts_isnull[table->map[i] - 1];
	}
}

/*
 * The command that replaced or deleted a row; it was of this transaction.
 */
static CommandId
replacing_command(Relation rel, HeapTuple old)
{
	if (rel->rd_tableam == NULL || old == NULL)
		return InvalidCommandId;
	return HeapTupleHeaderGetCmax(old->t_data);
}

/*
 * A lead has gone from a key, by the command given.
 */
static void
lead_gone(Scorer *scorer, Datum key, CommandId gone_by)
{
	/* where another lead may have the key already, look */
	if (scorer->unique_key)
		scorer_remove(scorer, key, gone_by);
	else if (!scorer_is_busy(scorer, key))
		(void) scorer_rescore(scorer, key, CAUSE_ROW, false, NULL);
}

/*
 * Has another command of this transaction replaced a row already?
 */
static bool
is_superseded(Relation rel, TupleTableSlot *slot)
{
	return rel->rd_tableam != NULL &&
		!table_tuple_satisfies_snapshot(rel, slot, SnapshotSelf);
}

/*
 * What time has changed before a lead's row is replaced concerned the row as it
 * was: settle it.
 */
static void
settle_old_row(CapturedTable *table, TriggerData *trigger, Datum key)
{
	Rulebook   *rulebook = table->scorer->rulebook;

	/* nothing changes by time alone; but a pin may expire */
	if (!rulebook->uses_clock && rulebook->nterms == 0 && rulebook->funnel.ntransitions == 0)
		return;
	fill_slot(table, trigger->tg_trigslot);
	scorer_settle_due(table->scorer, key, GetCurrentStatementStartTimestamp());
}

static void
lead_written(CapturedTable *table, TriggerData *trigger)
{
	Scorer	   *scorer = table->scorer;
	bool		by_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	TupleTableSlot *slot = by_update ? trigger->tg_newslot : trigger->tg_trigslot;
	CommandId	replaced_by = InvalidCommandId;
	Datum		key;
	Datum		old_key = (Datum) 0;
	bool		key_isnull;
	bool		old_isnull = true;
	bool		key_changed = false;
	bool		read_again;
	StateRow	row;

	key = slot_getattr(slot, table->key_column, &key_isnull);
	if (by_update)
	{
		Form_pg_attribute att = TupleDescAttr(slot->tts_tupleDescriptor,
											  table->key_column - 1);

		old_key = slot_getattr(trigger->tg_trigslot, table->key_column, &old_isnull);
		key_changed = key_isnull || old_isnull ? key_isnull != old_isnull :
			!datum_image_eq(key, old_key, att->attbyval, att->attlen);
		if (key_changed)
			replaced_by = replacing_command(trigger->tg_relation,
											trigger->tg_trigtuple);
	}

	/* one without a key waits until it has one */
	if (key_isnull)
	{
		if (by_update && !old_isnull)
			lead_gone(scorer, old_key, replaced_by);
		return;
	}
	if (scorer_is_busy(scorer, key))
		return;

	/*
	 * Read through look-ups, or while another command has written to the row
	 * already, a lead is what it is when its state is locked.  What that
	 * command changed need not have been anything that is read, so that this
	 * may be the only event that comes by here.
	 */
	read_again = scorer->through_source ||
		is_superseded(trigger->tg_relation, slot);
	if (read_again && !key_changed)
	{
		(void) scorer_rescore(scorer, key, CAUSE_ROW, false, NULL);
		return;
	}
	if (read_again)
	{
		switch (scorer_read(scorer, key))
		{
			case READ_FOUND:
				break;
			case READ_NONE:
				if (!old_isnull)
					lead_gone(scorer, old_key, replaced_by);
				return;
			case READ_FAILED:
				if (!old_isnull)
					scorer_flag_problem(scorer, old_key);
				return;
		}
	}
	else
	{
		if (by_update && !key_changed)
			settle_old_row(table, trigger, key);
		fill_slot(table, slot);
	}
	scorer_evaluate(scorer, key, false, &row);
	scorer_store(scorer, key, key_changed && !old_isnull ? &old_key : NULL, &row,
				 !by_update || (key_changed && old_isnull), replaced_by);
	if (key_changed && !old_isnull && !scorer->unique_key)
		lead_gone(scorer, old_key, replaced_by);
}

static void
lead_deleted(CapturedTable *table, TriggerData *trigger)
{
	Datum		key;
	bool		isnull;

	key = slot_getattr(trigger->tg_trigslot, table->key_column, &isnull);
	if (!isnull)
		lead_gone(table->scorer, key,
				  replacing_command(trigger->tg_relation,
									trigger->tg_trigtuple));
}

static void
truncated_row(TupleTableSlot *row, void *arg)
{
	slot_getallattrs(row);
	if (!row->tts_isnull[0])
		scorer_remove((Scorer *) arg, row->tts_values[0], InvalidCommandId);
}

/*
 * All rows of a table of leads, or of a part of it, are about to go.
 */
static void
leads_truncated(CapturedTable *table, TriggerData *trigger)
{
	Scorer	   *scorer = table->scorer;
	Relation	rel = trigger->tg_relation;
	Snapshot	snapshot;

	if (RelationGetRelid(rel) == scorer->target &&
		rel->rd_rel->relkind == RELKIND_RELATION && !has_subclass(scorer->target))
	{
		scorer_remove_all(scorer);
		return;
	}

	/* tables that inherit from this one may keep their rows */
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	relation_read_many(RelationGetRelid(rel),
					   psprintf("SELECT t.%s FROM %s%s t",
								quote_identifier(scorer->key_column),
								rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ",
								qualified_relation_name(RelationGetRelid(rel))),
					   0, NULL, NULL, NULL, snapshot, truncated_row, scorer);
	UnregisterSnapshot(snapshot);
}

/*
 * leadscore.capture(): trigger AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW,
 * and BEFORE TRUNCATE, on a table of leads or a partition of it
 *		Scores the lead in the same commit.  Argument: the model.  Never fails
 *		because of rules or sources.  Errors: 39P01 on a trigger of another
 *		kind.
 */
PG_FUNCTION_INFO_V1(leadscore_capture);
Datum
leadscore_capture(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	CapturedTable *table;

	require_event(fcinfo, "capture",
				  trigger != NULL &&
				  (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event) ?
				   TRIGGER_FIRED_BEFORE(trigger->tg_event) :
				   TRIGGER_FIRED_FOR_ROW(trigger->tg_event) &&
				   TRIGGER_FIRED_AFTER(trigger->tg_event)));
	table = get_captured_table(fcinfo);
	if (table == NULL)
		return PointerGetDatum(NULL);

	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
		leads_truncated(table, trigger);
	else if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		lead_deleted(table, trigger);
	else
		lead_written(table, trigger);
	return PointerGetDatum(NULL);
}


/* --------------------------------------------------------------------
 * Write-back
 * --------------------------------------------------------------------
 */

/*
 * Does an update change anything that the model reads?  If not, capture() is not
 * fired: see changed.c.
 */
static bool
reads_other_values(CapturedTable *table, TriggerData *trigger)
{
	TupleTableSlot *old = trigger->tg_trigslot;
	TupleTableSlot *new = trigger->tg_newslot;

	for (int i = -1; i < table->scorer->rulebook->ncapture_columns; i++)
	{
		AttrNumber	column = i < 0 ? table->key_column : table->map[i];
		Form_pg_attribute att = TupleDescAttr(new->tts_tupleDescriptor, column - 1);
		bool		old_isnull;
		bool		new_isnull;
		Datum		old_value = slot_getattr(old, column, &old_isnull);
		Datum		new_value = slot_getattr(new, column, &new_isnull);

		if (old_isnull != new_isnull ||
			(!new_isnull && !datum_image_eq(old_value, new_value, att->attbyval, att->attlen)))
			return true;
	}
	return false;
}

/*
 * Does the column that the stage is written back to hold a status that stands
 * for it?  Of several such the user's stays.
 */
static bool
means_stage(CapturedTable *table, TupleTableSlot *slot, LeadStage stage)
{
	const Funnel *funnel = &table->scorer->rulebook->funnel;
	AttrNumber	column = table->write_back[WRITE_BACK_STAGE];
	LeadStage	first;
	Datum		value;
	bool		isnull;
	Oid			type;
	Oid			output;
	bool		varlena;
	char	   *status;

	if (funnel->nmapped == 0)
		return false;
	value = slot_getattr(slot, column, &isnull);
	if (isnull)
		return false;
	type = getBaseType(TupleDescAttr(slot->tts_tupleDescriptor, column - 1)->atttypid);
	getTypeOutputInfo(type, &output, &varlena);
	status = OidOutputFunctionCall(output, value);
	/* a cast to text, as which the status is read, leaves the blanks out */
	if (type == BPCHAROID)
		status[bpchartruelen(status, strlen(status))] = '\0';
	return funnel_status_means(funnel, status, stage, &first);
}

/*
 * leadscore.write_back(): trigger BEFORE INSERT OR UPDATE FOR EACH ROW on a
 * table of leads
 *		Sets the columns that attach() was told of.  Argument: the model.  A
 *		value that a column does not take leaves the column as it is, and is a
 *		problem of the lead.
 */
PG_FUNCTION_INFO_V1(leadscore_write_back);
Datum
leadscore_write_back(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	bool		by_update;
	CapturedTable *table;
	TupleTableSlot *slot;
	HeapTuple	tuple;
	StateRow	row;
	Datum		key;
	Datum		old_key = (Datum) 0;
	bool		key_isnull;
	bool		old_isnull = false;
	bool		refused = false;
	int			n = 0;
	int			columns[NUM_WRITE_BACKS];
	Datum		values[NUM_WRITE_BACKS];
	bool		nulls[NUM_WRITE_BACKS];

	require_event(fcinfo, "write_back",
				  trigger != NULL &&
				  TRIGGER_FIRED_FOR_ROW(trigger->tg_event) &&
				  TRIGGER_FIRED_BEFORE(trigger->tg_event) &&
				  !TRIGGER_FIRED_BY_DELETE(trigger->tg_event));
	by_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	slot = by_update ? trigger->tg_newslot : trigger->tg_trigslot;
	tuple = by_update ? trigger->tg_newtuple : trigger->tg_trigtuple;
	table = get_captured_table(fcinfo);
	if (table == NULL || table->scorer->through_source)
		return PointerGetDatum(tuple);

	key = slot_getattr(slot, table->key_column, &key_isnull);
	if (table->scorer->rulebook->busy)
		return PointerGetDatum(tuple);
	if (by_update)
		old_key = slot_getattr(trigger->tg_trigslot, table->key_column, &old_isnull);
	/* the stage that automation leads to from now on depends on where it led so far */
	if (by_update && !old_isnull && table->write_back[WRITE_BACK_STAGE] != 0)
		settle_old_row(table, trigger, old_key);
	fill_slot(table, slot);
	scorer_evaluate(table->scorer, key, true, &row);
	if ((table->write_back[WRITE_BACK_STAGE] != 0 || table->scorer->rulebook->nterms > 0) &&
		!key_isnull)
	{
		/* a row that moves to another partition is inserted there first */
		if (!by_update)
			old_key = key;
		scorer_complete_row(table->scorer, !old_isnull, old_key,
							!by_update || reads_other_values(table, trigger), &row);
	}

	for (int i = 0; i < NUM_WRITE_BACKS; i++)
	{
		Form_pg_attribute att;
		Datum		value = row.values[written_from[i]];
		Datum		old;
		bool		isnull;

		if (table->write_back[i] == 0)
			continue;
		att = TupleDescAttr(slot->tts_tupleDescriptor, table->write_back[i] - 1);
		if (written_from[i] == STATE_STAGE && means_stage(table, slot, DatumGetLeadStage(value)))
			continue;
		if (!scorer_convert(table->scorer, key_isnull ? NULL : &key, written_from[i],
							att, &table->input[i], table->input_param[i], &value))
		{
			refused = written_from[i] != STATE_STAGE;
			continue;
		}
		old = slot_getattr(slot, table->write_back[i], &isnull);
		if (!isnull && datum_image_eq(old, value, att->attbyval, att->attlen))
			continue;
		columns[n] = table->write_back[i];
		values[n] = value;
		nulls[n] = false;
		n++;
	}
	if (table->may_refuse && !refused && by_update && !key_isnull)
		clear_general_problem(table->scorer->model, key_to_text(table->scorer, key));
	if (n > 0)
		tuple = heap_modify_tuple_by_cols(tuple, RelationGetDescr(trigger->tg_relation),
										  n, columns, values, nulls);
	return PointerGetDatum(tuple);
}
