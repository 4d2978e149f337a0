/*-------------------------------------------------------------------------
 *
 * settle.h
 *	  What a transaction has to look at again before it commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SETTLE_H
#define LEADSCORE_SETTLE_H

#include "leadscore.h"

#include "nodes/pg_list.h"

/* A row of a look-up that changed. */
typedef struct UnsettledRow
{
	Oid			relid;
	Datum		row;
} UnsettledRow;

/*
 * Scores the leads that rows concern, but for those whose keys (Datum
 * pointers) are in 'done'.
 */
typedef void (*SettleRowsFunction) (const char *model, List *rows, List *done);

/* May locks be waited for? */
typedef void (*BeforeSettling) (bool may_wait);

/* Comes behind everything else; may the transaction commit at once? */
typedef void (*AfterSettling) (bool commits);

extern void settle_before(BeforeSettling function);
extern void settle_after(AfterSettling function);
extern void settle_later(const char *model, const char *lead_key);

/* Scores leads again: keys as Datum pointers, and as text those left over. */
typedef void (*SettleLeadsFunction) (const char *model, List *leads,
									 List *left_over);

extern void settle_lead(const char *model, Oid key_type, Datum key,
						SettleLeadsFunction function);
extern void settle_row(const char *model, Oid relid, Datum row,
					   SettleRowsFunction function,
					   SettleLeadsFunction leads_function);

#endif							/* LEADSCORE_SETTLE_H */
