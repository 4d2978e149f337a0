/*-------------------------------------------------------------------------
 *
 * scorer.h
 *	  One lead: read, evaluated, stored.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SCORER_H
#define LEADSCORE_SCORER_H

#include "leadscore.h"

#include "evaluate.h"
#include "event.h"
#include "history.h"
#include "rulebook.h"
#include "stage.h"
#include "state.h"

/* The columns of leadscore.attachment, in the order of the install script. */
#define Anum_attachment_model				1
#define Anum_attachment_target				2
#define Anum_attachment_target_name			3
#define Anum_attachment_source				4
#define Anum_attachment_source_name			5
#define Anum_attachment_key_column			6
#define Anum_attachment_score_column		7
#define Anum_attachment_temperature_column	8
#define Anum_attachment_grade_column		9
#define Anum_attachment_stage_column		10
#define Anum_attachment_rescored_version	12
#define Anum_attachment_activity_rules		14
#define Natts_attachment					14

/* Columns of the lead's row that are written back. */
typedef enum WriteBack
{
	WRITE_BACK_SCORE,
	WRITE_BACK_TEMPERATURE,
	WRITE_BACK_GRADE,
	WRITE_BACK_STAGE
} WriteBack;
#define NUM_WRITE_BACKS 4

/* What reading a lead through the source came to. */
typedef enum ReadResult
{
	READ_FOUND,
	READ_NONE,					/* no lead of this model */
	READ_FAILED					/* nobody knows; the lead has a problem */
} ReadResult;

/* An attached model, as a statement knows it. */
typedef struct Scorer
{
	MemoryContextCallback release;
	MemoryContext context;
	char	   *model;
	Rulebook   *rulebook;		/* holds a reference; NULL: cannot score */
	StateTable *states;			/* NULL: not complete yet */
	Oid			target;
	char	   *key_column;
	Oid			key_type;		/* of the state's lead_key */
	bool		unique_key;		/* two leads never have one key */
	bool		through_source; /* the source is not the target */
	bool		is_watching;	/* some look-ups are watched */
	int			nfailures;		/* of the last evaluation, to be noted */
	RuleFailure *failures;
	bool		several_rows;	/* the source had for the lead just read */
	const Engagement *nothing_done;	/* an empty summary, once it is needed */
	int64		rescored_version;	/* that all leads were scored by */
	int64		complete_for;	/* activity rules for which every key with events
								 * has a state; 0: none */
	bool		must_not_wait;	/* for tables of events: others wait for us */
	int64		nunread;		/* leads and histories that could not be read */
	bool		ignores_pending;	/* there is nothing put off, or it is taken
								 * care of otherwise */
	bool		moves_stages;	/* leads scored by new rules may move */
	HistoryWriter *history;		/* once it is needed */
	Datum		temperatures[NUM_TEMPERATURES]; /* as text */
	char	   *write_back[NUM_WRITE_BACKS];	/* column names, or NULL */
} Scorer;

/* What there is to change about a lead whose state is locked. */
typedef struct ScorerChange
{
	bool		is_new;			/* it had no state; it may have had problems */
	bool		reread;			/* its row may be another */
	bool		recompute;		/* what it did is to be made anew from history */
	Engagement *added;			/* new events, or NULL */
	List	   *later;			/* LaterEvents of the future */
	bool		writes_back;	/* the lead's row is to show it, if its temperature
								 * or grade changes */
	bool		at_commit;		/* triggers that are deferred come no more */
	const History *history;		/* what its history comes to, if that is known and
								 * nobody can be adding to it; else NULL */
	TimestampTz at;				/* as of when */
	Cause		cause;
	bool		row_in_slot;	/* the lead's row need not be read */
	bool		dry_run;		/* nothing is to be told of it */
	bool		settles;		/* it is a crossing before the change itself */

	/* by hand */
	LeadStage	only_from;		/* 0: from wherever it is */
	LeadStage	move_to;		/* 0: nowhere */
	bool		pins;
	TimestampTz pin_until;		/* DT_NOBEGIN: no pin any more */
	const char *reason;			/* or NULL */
	LeadStage	moved_to;		/* out: where it is now */
} ScorerChange;

extern Scorer *scorer_attachment(const char *model);
extern Scorer *scorer_prepare(const char *model);
extern bool scorer_complete(Scorer *scorer);
extern Scorer *scorer_create(const char *model);
extern Scorer *scorer_unattached(const char *model);
extern ReadResult scorer_read(Scorer *scorer, Datum key);
extern void scorer_flag_problem(Scorer *scorer, Datum key);
extern bool scorer_is_busy(Scorer *scorer, Datum key);
extern void scorer_evaluate(Scorer *scorer, Datum key, bool quietly,
							StateRow *row);
extern void scorer_unknown_lead(Scorer *scorer, Datum key, TimestampTz at,
								StateRow *row);
extern void scorer_apply(Scorer *scorer, StateRow *row, const Engagement *summary,
						 TimestampTz at, TimestampTz next_due);
extern void scorer_note_failures(Scorer *scorer, Datum key);
extern bool scorer_convert(Scorer *scorer, const Datum *key, StateColumn column,
						   Form_pg_attribute att, FmgrInfo *input, Oid param,
						   Datum *value);
extern bool takes_any_value(StateColumn column, Oid type);
extern bool scorer_add_stored(Scorer *scorer, bool has_key, Datum key,
							  bool evaluated, StateRow *row);
extern void scorer_complete_row(Scorer *scorer, bool has_key, Datum key,
								bool changed, StateRow *row);
extern void scorer_store(Scorer *scorer, Datum key, const Datum *old_key,
						 StateRow *row, bool is_new, CommandId replaced_by);
extern void scorer_remove(Scorer *scorer, Datum key, CommandId deleted_by);
extern void scorer_remove_all(Scorer *scorer);
extern void scorer_tell_move(Scorer *scorer, Datum key, const StateRow *before,
							 StateRow *row, LeadStage to);
extern bool scorer_insert(Scorer *scorer, Datum key, StateRow *row, Cause cause);
extern void scorer_settle_due(Scorer *scorer, Datum key, TimestampTz at);
extern bool scorer_rescore(Scorer *scorer, Datum key, Cause cause, bool nowait,
						   bool *locked);
extern bool scorer_rescore_as_of(Scorer *scorer, Datum key, ScorerChange *change, bool nowait,
								 bool *locked);
extern bool scorer_update_locked(Scorer *scorer, Datum key, ScorerChange *change);
extern const Engagement *scorer_nothing_done(Scorer *scorer);
extern bool scorer_would_change(Scorer *scorer, const StateRow *old,
								StateRow *row);
extern const char *temperature_label(Temperature temperature);
extern bool same_key_type(Oid column, Oid key);
extern void scorer_rescore_or_leave(Scorer *scorer, Datum key);
extern void scorer_settle(const char *model, List *keys, List *left_over);
extern Datum key_from_text(const Scorer *scorer, const char *text_key);
extern char *key_to_text(const Scorer *scorer, Datum key);

#endif							/* LEADSCORE_SCORER_H */
