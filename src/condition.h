/*-------------------------------------------------------------------------
 *
 * condition.h
 *	  Text of a condition -> checked, planned expression.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_CONDITION_H
#define LEADSCORE_CONDITION_H

#include "leadscore.h"

#include "nodes/bitmapset.h"
#include "nodes/primnodes.h"
#include "parser/parse_node.h"
#include "pgtime.h"
#include "utils/rel.h"

/*
 * Session settings that change what an expression yields.  They are swapped
 * in and out around compilation, and around evaluation where it matters.
 */
typedef struct PinnedSettings
{
	pg_tz	   *time_zone;
	int			date_style;
	int			date_order;
	int			interval_style;
	int			float_digits;
	int			bytea_format;
	bool		array_nulls;
	int			xml_option;
} PinnedSettings;

/* Everything that the conditions over one relation have in common. */
typedef struct ConditionScope
{
	MemoryContext context;		/* lives as long as the scope */
	Relation	rel;			/* open relation whose row is read */
	ParseState *pstate;			/* knows just that relation */
	pg_tz	   *time_zone;		/* the model's time zone */
	List	   *accepted;		/* functions found acceptable (OIDs) */
	List	   *literals;		/* string literals of the condition at hand */
	bool		over_events;	/* the relation is one of events; for hints */
	bool		reads_scored;	/* the condition may read ScoredValues */

	/* where we came from */
	Oid			save_userid;
	int			save_sec_context;
	int			save_nestlevel;
	char	   *search_path;	/* the one in force, NULL: the session's */
} ConditionScope;

/*
 * The clocks that a planned expression may read.  It finds them as executor
 * parameters of these numbers (PARAM_EXEC, timestamptz), so that whoever
 * evaluates it says what time it is.
 */
#define CLOCK_TRANSACTION	0	/* now() and its kin */
#define CLOCK_STATEMENT		1	/* statement_timestamp() */
#define NUM_CLOCKS			2

/*
 * Values of a score that a condition on a move between stages may read, as
 * "scored.score" and its kin: executor parameters that follow the clocks.
 */
typedef enum ScoredValue
{
	SCORED_SCORE,
	SCORED_FIT,
	SCORED_ENGAGEMENT,
	SCORED_TEMPERATURE,
	SCORED_GRADE,
	SCORED_DISQUALIFIED,
	SCORED_STAGE
} ScoredValue;
#define NUM_SCORED_VALUES	7
#define NUM_CONDITION_PARAMS (NUM_CLOCKS + NUM_SCORED_VALUES)

/* One expression, fit for execution. */
typedef struct Condition
{
	Expr	   *expr;			/* planned */
	Bitmapset  *columns;		/* columns read, attribute numbers */
	bool		uses_settings;	/* result depends on PinnedSettings */
	bool		uses_clock;		/* calls now() or one of its kin */
	bool		calls_user_code;	/* calls a function that may be anything */
	bool		runs_queries;	/* so that an error in it leaves more behind than
								 * a resource owner can clear away */
} Condition;

extern void condition_scope_open(ConditionScope *scope, Relation rel,
								 pg_tz *time_zone);
extern void condition_scope_recover(ConditionScope *scope);
extern void condition_scope_close(ConditionScope *scope);
extern void condition_scope_path(ConditionScope *scope, const char *path);
extern void condition_analyze(ConditionScope *scope, const char *text,
							  Oid result_type, const char *what,
							  Condition *result);
extern void condition_plan(ConditionScope *scope, const char *text,
						   const char *what, Condition *result);
extern bool condition_is_to_blame(int sqlerrcode);
extern Oid	leadscore_type(const char *name);
extern bool condition_reads_today(Oid funcid);

extern char *condition_current_path(void);
extern bool condition_path_is_bare(void);

extern void settings_pin(pg_tz *time_zone, PinnedSettings *saved);
extern void settings_unpin(const PinnedSettings *saved);

#endif							/* LEADSCORE_CONDITION_H */
