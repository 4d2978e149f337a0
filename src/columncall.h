/*-------------------------------------------------------------------------
 *
 * columncall.h
 *	  The arguments of a column call, which the planner makes of a call with
 *	  the whole row.
 *
 *	leadscore._score_columns(model, relation, columns, ctid, tableoid, stored, ...)
 *
 * 'relation' and 'columns' are constants: the model's source, and which of
 * its columns follow as arguments, in ascending order.  'ctid' and 'tableoid'
 * say where the row is stored, in case that the rules turn out to read other
 * columns; a NULL ctid means that there is no row, an invalid one that it is
 * not stored, in which case the call gives NULL if it would have to look.
 * 'stored' is NULL for the table's own row; for the row of a simple view it says
 * which column of the stored row each column of the view is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_COLUMNCALL_H
#define LEADSCORE_COLUMNCALL_H

/*
 * How these calls are told from calls that a user wrote.  A column call reads
 * stored rows and trusts its arguments, so only the planner may make one.  No
 * SQL text yields a call of these functions in this format.
 */
#define COLUMN_CALL_FORMAT		COERCE_SQL_SYNTAX

#define COLUMN_CALL_MODEL		0
#define COLUMN_CALL_RELATION	1
#define COLUMN_CALL_COLUMNS		2
#define COLUMN_CALL_CTID		3
#define COLUMN_CALL_TABLEOID	4
#define COLUMN_CALL_STORED		5
#define COLUMN_CALL_FIRST		6

#endif							/* LEADSCORE_COLUMNCALL_H */
