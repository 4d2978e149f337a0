/*-------------------------------------------------------------------------
 *
 * state.h
 *	  Rows of a model's state table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_STATE_H
#define LEADSCORE_STATE_H

#include "leadscore.h"

#include "access/genam.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "storage/itemptr.h"

#include "evaluate.h"

/* The columns that we write; the names are in state.c. */
typedef enum StateColumn
{
	STATE_LEAD_KEY,
	STATE_FIT,
	STATE_ENGAGEMENT_POINTS,
	STATE_ENGAGEMENT_BASE,
	STATE_SCORE_BOUND,
	STATE_SCORED_AT,
	STATE_RULES_VERSION,
	STATE_STAGE_SINCE,
	STATE_NEXT_CHANGE_AT,
	STATE_ROW_CHANGES_AT,
	STATE_CREATED_AT,
	STATE_SCORE,
	STATE_STAGE,
	STATE_DISQUALIFIED,
	STATE_HAS_PROBLEM,
	STATE_LEAD_EXISTS,
	STATE_FADING,
	STATE_CONSENT,
	STATE_TEMPERATURE,
	STATE_GRADE,
	STATE_CHANNEL,
	STATE_ENGAGEMENT,
	STATE_KEPT_RULES,
	STATE_MATCH_VALUES,
	STATE_HISTORY_AT,
	STATE_PINNED_UNTIL,
	STATE_REARMED,
	STATE_STAGE_SETTLED,
	STATE_ANNOUNCED,
	STATE_STATUS,
	STATE_PIN_REASON
} StateColumn;
#define NUM_STATE_COLUMNS	31

/* One row: what is stored, or is to be. */
typedef struct StateRow
{
	Datum		values[NUM_STATE_COLUMNS];
	bool		isnull[NUM_STATE_COLUMNS];

	/* of a row that was found */
	ItemPointerData tid;
	bool		is_own;			/* written by this transaction */
	CommandId	command;		/* and if so, by which command */
} StateRow;

static inline void
set_value(StateRow *row, StateColumn column, Datum value)
{
	row->values[column] = value;
	row->isnull[column] = false;
}

/* A state table, as a statement knows it. */
typedef struct StateTable
{
	Oid			relid;
	Oid			owner;
	TupleDesc	desc;			/* a copy */
	AttrNumber	columns[NUM_STATE_COLUMNS];
	EState	   *estate;
	ResultRelInfo *result_rel;	/* relations are filled in while open */
	List	   *index_oids;
	int			key_index;		/* which of them is on the lead's key */
	FmgrInfo	key_equal;
	FmgrInfo	key_compare;
	Oid			key_collation;
	TupleTableSlot *old_slot;
	TupleTableSlot *new_slot;
	const TupleTableSlotOps *slot_callbacks;
	bool		has_expressions;	/* some index runs somebody's code */
	SubTransactionId locked_in; /* subtransaction that took the locks */

	bool		read_only;		/* only the index on the key is opened */

	/* while open */
	Relation	rel;
	MemoryContext am_context;	/* of what access methods keep while it is open */
} StateTable;

extern Oid	state_table_of(const char *model);
extern StateTable *state_table_create(Oid relid);
extern StateTable *state_table_create_reader(Oid relid);
extern Oid	state_bound_index(const StateTable *table);
extern Oid	state_due_index(const StateTable *table);
extern void state_row_of_tuple(const StateTable *table, HeapTuple tuple,
							   StateRow *row);
extern void state_row_of_slot(StateTable *table, StateRow *row);
extern void state_row_part(const StateRow *row, RowPart *part);
extern bool state_read(StateTable *table, Datum key, Snapshot snapshot,
					   StateRow *row);
extern void state_table_recover(StateTable *table);
extern bool is_key_type(Oid type);
extern void state_table_open(StateTable *table);
extern void state_table_close(StateTable *table);
extern bool state_find(StateTable *table, Datum key, bool nowait,
					   bool *locked, StateRow *row);
extern IndexScanDesc state_scan_begin(StateTable *table, Snapshot snapshot,
									  const Datum *after);
extern bool state_scan_next(StateTable *table, IndexScanDesc scan,
							StateRow *row);
extern void state_scan_end(StateTable *table, IndexScanDesc scan);
extern int	state_compare_keys(StateTable *table, Datum a, Datum b);
extern bool state_lock(StateTable *table, StateRow *row, bool nowait,
					   bool *locked);
extern bool state_find_deleted(StateTable *table, Datum key, StateRow *row);
extern bool state_find_before(StateTable *table, Datum key, CommandId command,
							  StateRow *row);
extern bool state_insert(StateTable *table, const StateRow *row, bool guarded);
extern bool state_update(StateTable *table, const StateRow *old,
						 const StateRow *row);
extern bool state_delete(StateTable *table, const StateRow *old);
extern void state_copy_values(StateTable *table, StateRow *row);
extern bool state_differs(StateTable *table, const StateRow *a,
						  const StateRow *b, StateColumn column);
extern void state_fill_slot(StateTable *table, const StateRow *row,
							TupleTableSlot *slot);

#endif							/* LEADSCORE_STATE_H */
