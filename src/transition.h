/*-------------------------------------------------------------------------
 *
 * transition.h
 *	  Which moves a model's leads may make between stages, and when.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_TRANSITION_H
#define LEADSCORE_TRANSITION_H

#include "leadscore.h"

#include "nodes/execnodes.h"

#include "condition.h"
#include "lead_stage.h"

/* A move that leads may make. */
typedef struct Transition
{
	LeadStage	from;
	LeadStage	to;
	bool		automatic;
	bool		skipped;		/* its condition cannot be compiled: it never holds */
	ExprState  *condition;		/* NULL: none */
	bool		reads_row;		/* the condition reads columns of the source */
	bool		runs_queries;
	char	   *text;			/* of the condition, for errors */
	int			min_attempts;	/* contacts before people may make it; 0: none */
	char	   *search_path;
} Transition;

/* A value of the CRM's own status, and a stage that it stands for. */
typedef struct MappedStatus
{
	char	   *status;
	LeadStage	stage;
} MappedStatus;

/*
 * Values of the raw score, or of the engagement, at which some condition may
 * turn: what it says stays the same as long as the same levels are reached.
 */
typedef struct Levels
{
	int			n;
	double	   *levels;
} Levels;

/* What a model knows of the stages of its leads. */
typedef struct Funnel
{
	int			ntransitions;
	Transition *transitions;	/* by from and to */
	int			nmapped;
	MappedStatus *mapped;		/* by status; the stage that it puts leads into first */
	ExprState  *status;			/* the CRM's own, as text; NULL: it has none */
	bool		status_runs_queries;
	AttrNumber	status_column;	/* what it is, if a column that nothing else reads */
	bool		has_status;		/* even if it cannot be compiled */
	bool		follows;		/* the CRM's status is the master */
	bool		announces;
	bool		has_handoff;
	LeadStage	handoff_stage;
	int64		cooldown;
	Levels		score_levels;
	Levels		engagement_levels;
} Funnel;

extern void transition_add_levels(const Condition *condition, Funnel *funnel);
extern void levels_add(Levels *levels, double level);
extern int	levels_reached(const Levels *levels, double value, double epsilon);
extern const Transition *find_transition(const Funnel *funnel, LeadStage from,
										 LeadStage to);
extern const Transition *next_transition(const Funnel *funnel, LeadStage from,
										 const Transition *after);
extern bool funnel_status_means(const Funnel *funnel, const char *status,
								LeadStage stage, LeadStage *first);
extern const char *funnel_status_of(const Funnel *funnel, LeadStage stage);
extern char *funnel_ways_out(const Funnel *funnel, LeadStage from);

#endif							/* LEADSCORE_TRANSITION_H */
