/*-------------------------------------------------------------------------
 *
 * leadscore.h
 *	  The few types that every room of the house shares.
 *
 * Data walks through the house one way:
 *
 *	condition.c	 text of a rule's condition -> checked, planned expression
 *	clock.c		 planned expressions        -> what time alone can change
 *	conjunct.c	 planned expressions        -> comparisons to look up
 *	dispatch.c	 comparisons                -> constant-time matching
 *	decay.c		 time that has passed       -> what is left
 *	engagement.c what a lead did            -> its summary, a type
 *	activity.c	 summary                    -> weight of a rule
 *	transition.c conditions on moves        -> what has to be waited for
 *	rulebook.c	 rule tables                -> compiled, cached rulebook
 *	evaluate.c	 rulebook x row             -> evaluation
 *	crossing.c	 evaluation                 -> when time alone changes it
 *	source.c	 key of a lead              -> its row of the source
 *	state.c		 row                        -> row of the state table
 *	history.c	 change of a lead           -> row of leadscore.history
 *	stage.c		 row of the state table     -> moves along the funnel
 *	event.c		 row of an activity source  -> what it counts for
 *	pending.c	 activities of later        -> rows of leadscore.pending_activity
 *	recall.c	 lead and time              -> what it had done by then
 *	response.c	 service level              -> when leads were answered
 *	score.c		 evaluation                 -> SQL functions
 *	planner.c	 whole-row calls            -> calls with just the columns
 *
 * For models that are attached it goes on:
 *
 *	problem.c	 error                      -> row of leadscore.problem
 *	settle.c	 what was written           -> what is looked at again at commit
 *	announce.c	 crossing                   -> NOTIFY, as the transaction commits
 *	collect.c	 events of a transaction    -> what it owes its leads at commit
 *	scorer.c	 lead                       -> read, evaluated, stored
 *	fold.c		 what was collected         -> scorer, as the transaction commits
 *	capture.c	 trigger on a lead          -> scorer
 *	eventcapture.c trigger on an event      -> collect
 *	changed.c	 trigger's WHEN             -> comparison of the columns read
 *	watch.c		 trigger on a look-up       -> scorer, for the leads concerned
 *	rebuild.c	 all events                 -> what each lead did
 *	rescore.c	 all leads, or those due    -> scorer, in batches
 *	move.c		 call of whoever moves leads -> scorer
 *	live.c		 stored row                 -> evaluation as of now, hot list
 *	whatif.c	 lead and a draft           -> what the draft would make of it
 *	playbook.c	 lead                       -> what to do next with it
 *	attach.c	 call of the leads' owner   -> call as the extension's owner
 *
 * Beside the way stand compat.h (what differs between server versions),
 * lead_stage.c (the type of the funnel's stages) and ruletable.c (what may be
 * written into the rule tables, and who is told of it).
 *
 * A room may include the headers of the rooms before it, never of those
 * after it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_H
#define LEADSCORE_H

#include "postgres.h"

#include "fmgr.h"

#include "compat.h"

/* The schema of the extension; leadscore.control fixes it. */
#define LEADSCORE_SCHEMA	"leadscore"

/* Longest name of a model; tables and views are named after it. */
#define MODEL_NAME_MAXLEN	40

/* The two axes of the matrix. */
typedef enum Axis
{
	AXIS_FIT,
	AXIS_ENGAGEMENT
} Axis;
#define NUM_AXES	2

/* How the points of a factor's matching rules become one number. */
typedef enum Combine
{
	COMBINE_SUM,
	COMBINE_BEST
} Combine;

/*
 * Numbers that are meant to be integers may come out of floating-point sums
 * a hair below them; SEMANTICS fixes how far below still counts.
 */
#define SCORE_EPSILON	1e-9

#endif							/* LEADSCORE_H */
