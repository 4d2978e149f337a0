/*-------------------------------------------------------------------------
 *
 * watch.h
 *	  Which leads a row of a look-up table concerns.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_WATCH_H
#define LEADSCORE_WATCH_H

#include "leadscore.h"

extern void watch_check(Oid relid, const char *expression, const char *path);

#endif							/* LEADSCORE_WATCH_H */
