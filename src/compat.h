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

#endif							/* LEADSCORE_COMPAT_H */
