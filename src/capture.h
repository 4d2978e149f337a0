/*-------------------------------------------------------------------------
 *
 * capture.h
 *	  Triggers on the tables of leads and on the look-ups of their sources.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_CAPTURE_H
#define LEADSCORE_CAPTURE_H

#include "leadscore.h"

#include "scorer.h"

extern bool restores_leads(void);
extern Scorer *statement_scorer(MemoryContext context, const char *model);

#endif							/* LEADSCORE_CAPTURE_H */
