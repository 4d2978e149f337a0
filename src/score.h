/*-------------------------------------------------------------------------
 *
 * score.h
 *	  What a function that is called for many rows keeps from row to row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SCORE_H
#define LEADSCORE_SCORE_H

#include "leadscore.h"

#include "utils/snapshot.h"
#include "utils/timestamp.h"

#include "recall.h"
#include "rulebook.h"

/*
 * What tells one statement's view of the database from another's.
 *
 * A snapshot's address says nothing, since it is reused; these fields together
 * say which transactions and commands it sees.  PL/pgSQL keeps the state of a
 * call site for a whole transaction, and parallel workers start at moments of
 * their own, so that nothing less would do.
 */
typedef struct StatementKey
{
	TimestampTz started;
	TransactionId xmin;
	TransactionId xmax;
	uint32		xcnt;
	int32		subxcnt;
	SubTransactionId subtransaction;	/* its end takes back what it wrote */
	CommandId	command;
	uint64		completed;		/* transactions completed when it was taken */
} StatementKey;

/* A call site, for the model that is its first argument. */
typedef struct CallSite
{
	MemoryContext context;		/* lives as long as the call site */
	Rulebook   *rulebook;		/* as the statement's snapshot sees it */
	Recall	   *recall;
	bool		fresh;			/* a statement's first row */
	void	   *extra;			/* the caller's own */
} CallSite;

extern CallSite *call_site(FunctionCallInfo fcinfo);
extern bool is_same_statement(const StatementKey *key, Snapshot snapshot);
extern void note_statement(StatementKey *key, Snapshot snapshot);

#endif							/* LEADSCORE_SCORE_H */
