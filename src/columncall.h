/*-------------------------------------------------------------------------
 *
 * columncall.h
 *	  The arguments of a column call, which the planner makes of a call with
 *	  the whole row.
 *
 *	leadscore._score_columns(model, relation, columns, ctid, tableoid, ...)
 *
 * 'relation' and 'columns' are constants: the model's source, and which of
 * its columns follow as arguments, in ascending order.  'ctid' and 'tableoid'
 * say where the row is stored, in case that the rules turn out to read other
 * columns; a NULL ctid means that there is no row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_COLUMNCALL_H
#define LEADSCORE_COLUMNCALL_H

#define COLUMN_CALL_MODEL		0
#define COLUMN_CALL_RELATION	1
#define COLUMN_CALL_COLUMNS		2
#define COLUMN_CALL_CTID		3
#define COLUMN_CALL_TABLEOID	4
#define COLUMN_CALL_FIRST		5

#endif							/* LEADSCORE_COLUMNCALL_H */
