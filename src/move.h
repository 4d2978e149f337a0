/*-------------------------------------------------------------------------
 *
 * move.h
 *	  Leads that people move, pin, accept and reject.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_MOVE_H
#define LEADSCORE_MOVE_H

#include "leadscore.h"

#include "scorer.h"

extern void lock_lead(Scorer *scorer, Oid key_type, Datum key);

#endif							/* LEADSCORE_MOVE_H */
