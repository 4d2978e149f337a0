/*-------------------------------------------------------------------------
 *
 * stage.h
 *	  Leads that move from one stage of the funnel to another.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_STAGE_H
#define LEADSCORE_STAGE_H

#include "leadscore.h"

#include "history.h"
#include "rulebook.h"
#include "state.h"

/* Gets the lead's row of the source into the rulebook's slot; false: it cannot. */
typedef bool (*RowLoader) (void *arg);

/* One move that a lead has made. */
typedef struct StageMove
{
	LeadStage	from;
	LeadStage	to;
	Cause		cause;
	bool		automatic;
	bool		listed;
} StageMove;

/* A lead goes no further in one go than there are stages. */
#define MAX_STAGE_MOVES 32

/* A lead whose row of the state table is about to be replaced. */
typedef struct Staging
{
	Rulebook   *rulebook;
	const char *model;
	const char *(*key_text) (void *arg);	/* for errors and problems */
	RowLoader	load;
	void	   *arg;			/* for these two */
	bool		loaded;			/* the rulebook's slot has the lead's row */
	bool		cannot_load;
	bool		may_move;		/* automatic transitions are made */
	bool		refuses;		/* a status that may not be is an error */
	bool		written_back;	/* the status shows where automation led */
	Cause		cause;
	TimestampTz last_seen;		/* the lead's last activity; DT_NOBEGIN: none */

	int			nmoves;
	StageMove	moves[MAX_STAGE_MOVES];
	bool		announced;		/* the temperature announced is another */
	const char *unmapped;		/* a status that means no stage */
	const char *failed;			/* a condition that ended in an error: its message */
	int			failed_code;
} Staging;

extern void stage_evaluate_status(Rulebook *rulebook, StateRow *row,
								  RuleFailure *failure, bool *failed);
extern void stage_settle(Staging *staging, const StateRow *old, StateRow *row);
extern void stage_move(Staging *staging, StateRow *row, LeadStage to,
					   Cause cause, bool must_be_listed);

#endif							/* LEADSCORE_STAGE_H */
