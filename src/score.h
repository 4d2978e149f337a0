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

#include "recall.h"
#include "rulebook.h"

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

#endif							/* LEADSCORE_SCORE_H */
