/*-------------------------------------------------------------------------
 *
 * history.h
 *	  Rows of leadscore.history.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_HISTORY_H
#define LEADSCORE_HISTORY_H

#include "leadscore.h"

#include "lead_stage.h"
#include "state.h"

/* Why something changed; the words are in history.c. */
typedef enum Cause
{
	CAUSE_ROW,					/* the lead's own row was written */
	CAUSE_EVENT,
	CAUSE_DECAY,				/* time alone */
	CAUSE_LOOKUP,
	CAUSE_RULES,
	CAUSE_MANUAL,				/* move() */
	CAUSE_STATUS,				/* the CRM's own status */
	CAUSE_PIN,
	CAUSE_UNPIN,
	CAUSE_KEY,					/* the lead has got another key */
	CAUSE_ACCEPT,				/* sales took it over */
	CAUSE_REJECT
} Cause;

/* What is written besides the lead's state before and after. */
typedef struct HistoryEntry
{
	Cause		cause;
	bool		automatic;
	bool		listed;
	LeadStage	from;
	LeadStage	to;
	TimestampTz at;
	bool		announced;		/* the temperature was */
	const char *reason;			/* or NULL */
	Datum		rules;			/* bigint[], if not 0 */
} HistoryEntry;

/* Writes rows for as long as its memory context lives. */
typedef struct HistoryWriter HistoryWriter;

extern HistoryWriter *history_writer_create(void);
extern void history_add(HistoryWriter *writer, const char *model,
						const char *lead_key, const StateRow *before,
						const StateRow *after, const HistoryEntry *entry);
extern const char *cause_word(Cause cause);
extern bool history_knows(const char *model);

#endif							/* LEADSCORE_HISTORY_H */
