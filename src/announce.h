/*-------------------------------------------------------------------------
 *
 * announce.h
 *	  Crossings, told to whoever listens.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_ANNOUNCE_H
#define LEADSCORE_ANNOUNCE_H

#include "leadscore.h"

#include "history.h"

extern void announce_crossing(const char *kind, const char *model,
							  const char *lead_key, const char *from,
							  const char *to, bool up, const StateRow *row,
							  const HistoryEntry *entry);

#endif							/* LEADSCORE_ANNOUNCE_H */
