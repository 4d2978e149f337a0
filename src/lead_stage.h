/*-------------------------------------------------------------------------
 *
 * lead_stage.h
 *	  The funnel stage of a lead, for those rooms that handle stages in C.
 *
 * A LeadStage is both what is stored on disk and the rank that users see
 * (stage::int2).  THE NUMBERS ARE ON DISK: they are never changed and never
 * used again for something else.  Zero is no stage.
 *
 * They are spaced, and each hundred is a band with a meaning:
 *
 *		  1 ..  99	exits: the lead has left the funnel
 *		100 .. 199	in the funnel, not qualified yet
 *		200 .. 299	qualified by marketing or beyond
 *		300 ..		has bought
 *
 * so a later version can put a stage between two others, and into the right
 * band, without touching a row, an index or the predicates below.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEAD_STAGE_H
#define LEAD_STAGE_H

#include "postgres.h"

#include "fmgr.h"

typedef int16 LeadStage;

#define LEAD_STAGE_DISQUALIFIED		((LeadStage) 10)
#define LEAD_STAGE_LOST				((LeadStage) 20)
#define LEAD_STAGE_NURTURE			((LeadStage) 30)
#define LEAD_STAGE_VISITOR			((LeadStage) 100)
#define LEAD_STAGE_SUBSCRIBER		((LeadStage) 110)
#define LEAD_STAGE_CONTACT			((LeadStage) 120)
#define LEAD_STAGE_LEAD				((LeadStage) 130)
#define LEAD_STAGE_PROSPECT			((LeadStage) 140)
#define LEAD_STAGE_MQL				((LeadStage) 200)
#define LEAD_STAGE_PQL				((LeadStage) 210)
#define LEAD_STAGE_SAL				((LeadStage) 220)
#define LEAD_STAGE_SQL				((LeadStage) 230)
#define LEAD_STAGE_OPPORTUNITY		((LeadStage) 240)
#define LEAD_STAGE_CUSTOMER			((LeadStage) 300)
#define LEAD_STAGE_ADVOCATE			((LeadStage) 310)

/* Stages compare as their numbers do, so the bands need no table. */
#define LeadStageIsExit(stage)		((stage) < 100)
#define LeadStageIsQualified(stage)	((stage) >= 200)
#define LeadStageIsCustomer(stage)	((stage) >= 300)

#define DatumGetLeadStage(datum)	((LeadStage) DatumGetInt16(datum))
#define LeadStageGetDatum(stage)	Int16GetDatum(stage)
#define PG_GETARG_LEAD_STAGE(n)		DatumGetLeadStage(PG_GETARG_DATUM(n))
#define PG_RETURN_LEAD_STAGE(stage) return LeadStageGetDatum(stage)

extern bool lead_stage_parse(const char *str, size_t len, LeadStage *stage);
extern const char *lead_stage_label(LeadStage stage);
extern const char *lead_stage_long_label(LeadStage stage);

#endif							/* LEAD_STAGE_H */
