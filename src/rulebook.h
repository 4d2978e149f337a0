/*-------------------------------------------------------------------------
 *
 * rulebook.h
 *	  Rule tables -> compiled, cached rulebook.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_RULEBOOK_H
#define LEADSCORE_RULEBOOK_H

#include "leadscore.h"

#include "executor/tuptable.h"
#include "lib/ilist.h"
#include "nodes/execnodes.h"
#include "storage/itemptr.h"
#include "utils/resowner.h"
#include "utils/snapshot.h"

#include "activity.h"
#include "clock.h"
#include "condition.h"
#include "dispatch.h"
#include "lead_stage.h"
#include "transition.h"

typedef struct Rule
{
	double		points;
	ExprState  *residual;		/* NULL: being a candidate is enough */
	int32		factor;
	bool		disqualifies;
	bool		several;		/* hangs in several places */
	bool		kept;			/* the state remembers that it matched: its factor
								 * has activity rules as well, or it disqualifies */
	bool		skipped;		/* could not be compiled */
	int32		term;			/* how it counts events, or -1 */
	ClockProblem clock;			/* why its changes cannot be foreseen */

	/* only explain reads the rest */
	int64		id;
	char	   *parameter;		/* these three may be NULL */
	char	   *significance;
	char	   *note;
} Rule;

typedef struct Factor
{
	char	   *name;
	Axis		axis;
	Combine		combine;
	double		points_floor;	/* -Infinity: open */
	double		points_cap;		/* Infinity: open */
	bool		has_activities; /* some of its rules count events */
} Factor;

/* A named range of values: from at_least up to the next better grade. */
typedef struct Grade
{
	char	   *label;
	double		at_least;
	double		margin;			/* how far below it a move down is announced */
} Grade;

/* All grades of a kind, best first. */
typedef struct GradeList
{
	int			n;
	Grade	   *grades;
} GradeList;

/*
 * What finding a chain of rules means, worked out in advance.
 *
 * Most factors hang on one column: a row finds at most one of their chains,
 * and needs nothing else to know their points.
 */
typedef struct Outcome
{
	double		points[NUM_AXES];
	Posting		rest;			/* chain to be walked, or NO_POSTING */
	bool		disqualifies;
} Outcome;

/* Running total of a factor during an evaluation. */
typedef struct FactorTotal
{
	uint64		evaluation;		/* which evaluation it belongs to */
	double		points;
	int32		best_rule;
} FactorTotal;

/*
 * Which version of the matrix a rulebook was made from.
 *
 * The number alone would not do: a version that was rolled back can come
 * again with other rules.  The row of the model is rewritten by every change
 * of the matrix, so its place and its writer identify what it stands for.
 */
typedef struct ModelVersion
{
	int64		number;
	TransactionId writer;
	ItemPointerData place;
} ModelVersion;

/* A comparison with the clock, ready to be asked when it will change. */
typedef struct ClockWatch
{
	ClockComparison comparison;
	ExprState  *moment;
} ClockWatch;

typedef struct Rulebook
{
	dlist_node	all;			/* in the list of all rulebooks */
	MemoryContext context;
	MemoryContextCallback forget;	/* takes it out of that list */
	char	   *model;
	ModelVersion version;
	bool		valid;			/* the source has not changed since */
	bool		cached;			/* the cache holds a reference */
	int			references;		/* of callers, without the cache's */

	Oid			target;
	Oid			source;
	Oid			rowtype;		/* of the source */
	TupleDesc	tupdesc;		/* of the source, a copy */
	pg_tz	   *time_zone;
	double		axis_min[NUM_AXES];
	double		axis_max[NUM_AXES];
	double		score_min;
	double		score_max;
	LeadStage	initial_stage;

	int			nfactors;
	Factor	   *factors;
	int			nrules;
	Rule	   *rules;			/* by id */
	GradeList	temperatures;
	GradeList	grades[NUM_AXES];
	text	  **grade_texts;	/* of each pair of them, fit by engagement */
	bool		has_engagement;	/* is there a factor on that axis? */

	int			ncolumns;
	AttrNumber *columns;		/* columns that the conditions read, sorted */
	int			ncapture_columns;
	AttrNumber *capture_columns;	/* and those of the channel, sorted */
	bool		uses_settings;	/* evaluate under pinned settings */
	bool		calls_user_code;
	bool		uses_clock;		/* a rule or the channel reads the clock */
	bool		runs_queries;	/* an error takes a subtransaction to catch */

	/*
	 * May an evaluation end in an error that is a rule's fault?  Not if there
	 * is nothing but look-ups of values of built-in types; then nobody has to
	 * stand by to catch one.
	 */
	bool		can_fail;
	int			nwatches;
	ClockWatch *watches;		/* of all rules and the channel */

	/* what leads do; all of it empty if no rule counts events */
	int			nactivities;
	ActivitySource *activities; /* by name */
	int			nterms;
	ActivityTerm *terms;		/* by rule */
	int64		activity_version;
	uint64		activity_rules; /* identifies what is matched, and how */
	int			nmatches;
	AttrNumber *match_columns;	/* of the source, that values of events match */
	AttrNumber	key_column;		/* of the source, or 0 */
	ExprState  *created_at;		/* when the lead arose; NULL: not told */
	bool		created_at_runs_queries;
	bool		needs_created_at;	/* a rule asks for it */
	ExprState  *consent;		/* may the lead be contacted?  NULL: always */
	bool		consent_unknown;	/* it cannot be computed: nobody consents */
	bool		consent_runs_queries;
	const Activities *did;		/* of the lead in the slot; NULL: nothing */

	Funnel		funnel;			/* stages, and the moves between them */

	ExprState  *channel;		/* NULL: no channel */
	bool		channel_runs_queries;
	ClockProblem channel_clock; /* as in Rule */
	Dispatch   *dispatch;
	Outcome    *outcomes;		/* by head of chain */
	bool		all_direct;		/* no chain ever needs to be walked */

	/* what an evaluation works on */
	TupleTableSlot *slot;		/* a row of the source */
	ExprContext *econtext;
	/* what the conditions take for now, and conditions on moves for the score */
	ParamExecData params[NUM_CONDITION_PARAMS];
	int32		at_rule;		/* rule being evaluated, or -1 */
	ResourceOwner guard;		/* of evaluations whose errors are caught, when
								 * it is nobody's child */
	Posting    *heads;
	FactorTotal *totals;
	int32	   *touched;		/* factors that a rule spoke for */
	uint64	   *met;			/* last evaluation that met a rule; only for
								 * those that hang in several places */
	int			nforced;		/* factors that count even without a rule */
	int			nkept;			/* rules kept that the last row matched */
	int64	   *kept;			/* their ids, ascending */
	uint64		evaluation;
	bool		busy;
} Rulebook;

extern Rulebook *rulebook_acquire(const char *model, Snapshot snapshot,
								  bool missing_ok);
extern void rulebook_release(Rulebook *rulebook);

extern void require_stored_columns(const Bitmapset *columns, TupleDesc desc,
								   const char *what);

extern Oid	leadscore_relation(const char *name);
extern void leadscore_release_owner(ResourceOwner owner, bool success);
extern bool has_row_for_model(const char *table, const char *model);
extern void rulebook_invalidate_plans(void);
extern uint64 rulebook_signals(Oid relid);

#endif							/* LEADSCORE_RULEBOOK_H */
