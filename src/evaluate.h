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
	bool		disqualified;
} Evaluation;

/* A rule that matched, for explain. */
typedef struct SpokenRule
{
	int32		rule;
	double		counted;		/* 0 when another rule of the factor was best */
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

extern void evaluate(Rulebook *rulebook, const TimestampTz *at,
					 Evaluation *result, Account *account);
extern int	evaluate_leniently(Rulebook *rulebook, const TimestampTz *at,
							   Evaluation *result, RuleFailure **failures);
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
