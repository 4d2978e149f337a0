/*-------------------------------------------------------------------------
 *
 * evaluate.h
 *	  Rulebook x row -> evaluation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_EVALUATE_H
#define LEADSCORE_EVALUATE_H

#include "leadscore.h"

#include "rulebook.h"

/* Must agree with the enum type leadscore.temperature of the script. */
typedef enum Temperature
{
	TEMPERATURE_COLD,
	TEMPERATURE_WARM,
	TEMPERATURE_HOT
} Temperature;
#define NUM_TEMPERATURES 3

typedef struct Evaluation
{
	double		axis[NUM_AXES]; /* totals of fit and engagement, clamped */
	double		raw;			/* their sum, clamped to the model's range */
	double		base;			/* total of those engagement factors that have no
								 * activity rules; only if the model has any */
	bool		disqualified;
} Evaluation;

static inline double
clamp(double value, double low, double high)
{
	/* where the two cross, the cap wins */
	if (value < low)
		value = low;
	if (value > high)
		value = high;
	return value;
}

/*
 * What a lead's row comes to without what the lead did, as it is stored: from
 * that and a summary of its activities an evaluation can be worked out.
 */
typedef struct RowPart
{
	double		fit;
	double		base;
	int			nkept;
	const int64 *kept;			/* ids of matching rules that are kept */
} RowPart;

/* A rule that matched, for explain. */
typedef struct SpokenRule
{
	int32		rule;
	double		points;			/* current ones */
	double		counted;		/* the same, or 0 when another rule of the factor
								 * was best */
	int64		occurrences;	/* of an activity rule */
	double		weight;
	TimestampTz last_seen;		/* of an activity rule; DT_NOBEGIN if there was
								 * no event */
} SpokenRule;

/* What the caps and floors changed, for explain. */
typedef struct Adjustment
{
	const char *kind;			/* cap, floor or clamp */
	int32		factor;			/* -1: not of one factor */
	int			axis;			/* -1: of the score */
	double		counted;
} Adjustment;

/* How a score came about, in the order in which it did. */
typedef struct Account
{
	int			nspoken;
	SpokenRule *spoken;			/* by rule */
	int			nadjustments;
	Adjustment *adjustments;
} Account;

/*
 * A condition that ended in an error.  Also the channel's, or one that is no
 * rule's in particular: then 'rule' is -1.
 */
typedef struct RuleFailure
{
	int32		rule;
	int			sqlerrcode;
	char	   *message;
} RuleFailure;

/* Work on a rulebook whose errors are to be caught. */
typedef void (*GuardedWork) (Rulebook *rulebook, void *arg);

extern bool run_guarded(Rulebook *rulebook, GuardedWork work, void *arg,
						bool subtransaction, RuleFailure *failure);
extern void evaluate(Rulebook *rulebook, const TimestampTz *at,
					 Evaluation *result, Account *account);
extern int	evaluate_leniently(Rulebook *rulebook, const TimestampTz *at,
							   Evaluation *result, Account *account,
							   RuleFailure **failures);
extern int32 find_rule(const Rulebook *rulebook, int64 id);
extern void evaluate_stored(Rulebook *rulebook, const RowPart *row,
							const Activities *did, Evaluation *result);
extern bool evaluate_expression(Rulebook *rulebook, ExprState *expression,
								const TimestampTz *at, bool runs_queries,
								Datum *value, bool *isnull,
								RuleFailure *failure);
extern bool rulebook_created_at(Rulebook *rulebook, TimestampTz *created_at,
								RuleFailure *failure);
extern bool rulebook_consent(Rulebook *rulebook, const TimestampTz *at,
							 bool *consent, RuleFailure *failure);
extern bool rulebook_channel(Rulebook *rulebook, const TimestampTz *at,
							 char **channel, RuleFailure *failure);
extern TimestampTz rulebook_next_change(Rulebook *rulebook, TimestampTz at);

extern int32 evaluation_score(const Rulebook *rulebook, const Evaluation *result);
extern int32 evaluation_score_clamped(const Rulebook *rulebook,
									  const Evaluation *result);
extern Temperature evaluation_temperature(const Rulebook *rulebook,
										  const Evaluation *result);
extern text *evaluation_grade(Rulebook *rulebook, const Evaluation *result);
extern int32 points_to_integer(const Rulebook *rulebook, double points);

#endif							/* LEADSCORE_EVALUATE_H */
