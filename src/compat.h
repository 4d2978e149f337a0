/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between the server versions we build on (15 to 19).
 *
 * Promise: every test of PG_VERSION_NUM in this project is in this file.  The
 * rest of the code is written for the newest server, and what an older one
 * lacks is supplied here, under the name and with the arguments that the newer
 * one uses.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_COMPAT_H
#define LEADSCORE_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "leadscore needs PostgreSQL 15 or later"
#endif

/*
 * ereturn(context, dummy_value, ...): report an error of an input function.
 *
 * From 16 on the caller may ask, through fcinfo->context, to be told softly
 * (pg_input_is_valid(), COPY ... ON_ERROR).  Before, there is nobody to tell
 * and each error is thrown.
 */
#if PG_VERSION_NUM < 160000
#define ereturn(context, dummy_value, ...) \
	do { \
		(void) (context); \
		ereport(ERROR, __VA_ARGS__); \
		return dummy_value; \
	} while (0)
#endif

/*
 * read_jsonb(str, escontext, &datum): the input function of jsonb; false after
 * an error told softly.
 */
#if PG_VERSION_NUM >= 160000
#define read_jsonb(str, escontext, datum) \
	DirectInputFunctionCallSafe(jsonb_in, str, InvalidOid, -1, escontext, datum)
#else
#define read_jsonb(str, escontext, datum) \
	(*(datum) = DirectFunctionCall1(jsonb_in, CStringGetDatum(str)), true)
#endif

/*
 * parsestate_forget_columns(pstate)
 *
 * Parse analysis notes which columns of a relation were named, to check
 * privileges later: in the range table entry before 16, beside it since.
 */
#if PG_VERSION_NUM < 160000
#define parsestate_forget_columns(pstate) \
	(linitial_node(RangeTblEntry, (pstate)->p_rtable)->selectedCols = NULL)
#else
#define parsestate_forget_columns(pstate) \
	(linitial_node(RTEPermissionInfo, (pstate)->p_rteperminfos)->selectedCols = NULL)
#endif

/*
 * snapshot_completed(snapshot)
 *
 * How many transactions had completed when a snapshot was taken.
 */
#define snapshot_completed(snapshot) ((snapshot)->snapXactCompletionCount)

/*
 * var_is_current_row(var)
 *
 * Since 18 a variable in RETURNING may mean the old or the new row.
 */
#if PG_VERSION_NUM < 180000
#define var_is_current_row(var) true
#else
#define var_is_current_row(var) ((var)->varreturningtype == VAR_RETURNING_DEFAULT)
#endif

/*
 * function_aclcheck(function, user, mode)
 *
 * One function for all kinds of objects since 16.
 */
#if PG_VERSION_NUM >= 160000
#define function_aclcheck(function, user, mode) \
	object_aclcheck(ProcedureRelationId, function, user, mode)
#else
#define function_aclcheck(function, user, mode) \
	pg_proc_aclcheck(function, user, mode)
#endif

/*
 * insert_index_entries(): ExecInsertIndexTuples(), which since 16 can be told
 * to leave out all but summarizing indexes, as an update may ask.
 */
#if PG_VERSION_NUM >= 160000
#define insert_index_entries(rri, slot, estate, update, no_dup_err, conflict, arbiters, only_summarizing) \
	ExecInsertIndexTuples(rri, slot, estate, update, no_dup_err, conflict, arbiters, only_summarizing)
#else
typedef bool TU_UpdateIndexes;
#define TU_None false
#define TU_Summarizing false
#define insert_index_entries(rri, slot, estate, update, no_dup_err, conflict, arbiters, only_summarizing) \
	ExecInsertIndexTuples(rri, slot, estate, update, no_dup_err, conflict, arbiters)
#endif

/*
 * index_insert_cleanup(index, info)
 *
 * Since 17 an access method may keep something between insertions.
 */
#if PG_VERSION_NUM < 170000
#define index_insert_cleanup(index, info) ((void) (index), (void) (info))
#endif

/*
 * begin_index_scan(): index_beginscan(), which since 18 can count what it does.
 */
#if PG_VERSION_NUM >= 180000
#define begin_index_scan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define begin_index_scan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

/*
 * get_op_index_interpretation(operator): what an operator means where rows are
 * kept in order; B-trees were the only ones before 18.
 */
#if PG_VERSION_NUM < 180000
#define get_op_index_interpretation(operator) get_op_btree_interpretation(operator)
#endif

/*
 * TupleDescFinalize(desc): a row type made by hand is complete.
 *
 * From 19 on it has to be told.
 */
#if PG_VERSION_NUM < 190000
#define TupleDescFinalize(desc) ((void) (desc))
#endif

#endif							/* LEADSCORE_COMPAT_H */
