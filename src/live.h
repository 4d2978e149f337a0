/*-------------------------------------------------------------------------
 *
 * live.h
 *	  What readers of the scored views and state tables get.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_LIVE_H
#define LEADSCORE_LIVE_H

#include "leadscore.h"

#include "executor/spi.h"

#include "scorer.h"

extern bool row_security_applies(const Scorer *scorer);
extern bool probe_lead(const Scorer *scorer, SPIPlanPtr *plan, Oid key_type,
					   Datum key);

#endif							/* LEADSCORE_LIVE_H */
