/*-------------------------------------------------------------------------
 *
 * dispatch.h
 *	  Constant-time matching: which rules does a row make candidates?
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DISPATCH_H
#define LEADSCORE_DISPATCH_H

#include "leadscore.h"

#include "executor/tuptable.h"
#include "nodes/execnodes.h"

typedef struct Dispatch Dispatch;

/*
 * Rules are known here by their index in the rulebook.  Those that hang on
 * the same value of the same column form a chain; NO_RULE ends it.
 */
typedef int32 Posting;
#define NO_POSTING	(-1)

typedef struct PostingCell
{
	int32		rule;
	Posting		next;
} PostingCell;

extern Dispatch *dispatch_create(void);
extern List *dispatch_add_rule(Dispatch *dispatch, int32 rule, Expr *condition,
							   bool *several);
extern void dispatch_finish(Dispatch *dispatch);

extern int	dispatch_lookup(const Dispatch *dispatch, TupleTableSlot *slot,
							ExprContext *econtext, Posting *heads);
extern void dispatch_visit_chains(const Dispatch *dispatch,
								  void (*visit) (void *arg, Posting head,
												 int group),
								  void *arg);
extern int	dispatch_ncells(const Dispatch *dispatch);
extern int	dispatch_max_heads(const Dispatch *dispatch);
extern const PostingCell *dispatch_cells(const Dispatch *dispatch);

#endif							/* LEADSCORE_DISPATCH_H */
