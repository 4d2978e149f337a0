/*-------------------------------------------------------------------------
 *
 * problem.h
 *	  What went wrong while scoring, instead of an error for the application.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_PROBLEM_H
#define LEADSCORE_PROBLEM_H

#include "leadscore.h"

/* No rule in particular. */
#define NO_RULE (-1)

extern ErrorData *catch_error(void (*function) (void *arg), void *arg);
extern bool error_is_recoverable(int sqlerrcode);
extern bool warn_of_problem(const char *model, int64 rule, int sqlerrcode,
							const char *message);
extern void note_problem(const char *model, int64 rule, const char *lead_key,
						 int sqlerrcode, const char *message);
extern void clear_problems(const char *model, const char *lead_key,
						   int nrules, const int64 *rules);
extern void clear_all_problems(const char *model);
extern void clear_rule_problem(const char *model, const char *lead_key, int64 rule);
extern void clear_general_problem(const char *model, const char *lead_key);

#endif							/* LEADSCORE_PROBLEM_H */
