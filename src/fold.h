/*-------------------------------------------------------------------------
 *
 * fold.h
 *	  Putting what leads did into their states.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_FOLD_H
#define LEADSCORE_FOLD_H

#include "leadscore.h"

extern PGDLLEXPORT void _PG_init(void);

#endif							/* LEADSCORE_FOLD_H */
