/*-------------------------------------------------------------------------
 *
 * source.h
 *	  Leads read through their model's source.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_SOURCE_H
#define LEADSCORE_SOURCE_H

#include "leadscore.h"

#include "executor/spi.h"

#include "rulebook.h"

/* Who we were before we acted for somebody else. */
typedef struct Impersonation
{
	Oid			save_userid;
	int			save_sec_context;
	int			save_nestlevel;
} Impersonation;

/* How a relation is read. */
typedef int ReadHow;
#define READ_PARALLEL	0x0001	/* workers may help */
#define READ_OUR_NAMES	0x0002	/* the query names what is ours */

/* What is done with each row of a query; its slot is the executor's. */
typedef void (*SourceRowFunction) (TupleTableSlot *row, void *arg);

extern void impersonate(Impersonation *state, Oid userid, const char *path);
extern void impersonate_end(const Impersonation *state);

extern Oid	relation_owner(Oid relid);
extern char *qualified_relation_name(Oid relid);
extern char *source_column_list(const Rulebook *rulebook);
extern void source_fill_slot(Rulebook *rulebook, TupleTableSlot *row);
extern void relation_read_many(Oid relid, const char *query, int nargs,
							   Oid *types, Datum *values, const char *nulls,
							   Snapshot snapshot, SourceRowFunction function,
							   void *arg);
extern void relation_read_how(Oid relid, const char *query, ReadHow how,
							  int nargs, Oid *types, Datum *values,
							  const char *nulls, Snapshot snapshot,
							  SourceRowFunction function, void *arg);
extern void relation_query(Oid relid, const char *name, bool as_owner,
						   const char *query, Oid type, Datum value,
						   Snapshot snapshot, SourceRowFunction function,
						   void *arg);

extern uint64 relation_lock_rows(Oid relid, const char *name, const char *query,
								 Oid type, Datum value);

/* Reads leads by keys of a given type. */
typedef struct LeadReader LeadReader;

extern LeadReader *lead_reader_create(const Rulebook *rulebook, Oid key_type);
extern bool lead_reader_read(LeadReader *reader, Rulebook *rulebook, Datum key,
							 Snapshot snapshot, bool as_owner);
extern int	source_read(Rulebook *rulebook, const char *key_column,
						Oid key_type, Datum key, Snapshot snapshot);

#endif							/* LEADSCORE_SOURCE_H */
