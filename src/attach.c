/*-------------------------------------------------------------------------
 *
 * attach.c
 *	  Who may attach, and acting for them.
 *
 * Attaching makes tables in the extension's schema and triggers on the CRM's
 * tables, which takes more rights than the caller has; and it makes triggers
 * read source and look-ups as their owners.  So the caller must own every
 * relation concerned, and then our own SQL is run as the extension's owner.
 *
 * Each function that users call, attach() for one, has a twin, _attach(), with
 * the same arguments, that does the work and that nobody else may call.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "condition.h"
#include "history.h"
#include "rulebook.h"
#include "ruletable.h"
#include "scorer.h"
#include "source.h"
#include "watch.h"

/*
 * Is the current user the owner of a relation, or as good as that?
 */
static void
require_owner(const char *model, Oid relid)
{
	Oid			owner = relation_owner(relid);

	/* one that is gone cannot be taken advantage of */
	if (!OidIsValid(owner) || has_privs_of_role(GetUserId(), owner))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("must be owner of %s", qualified_relation_name(relid)),
			 errdetail("The triggers of scoring model \"%s\" act with the rights of its owner.",
					   model),
			 errhint("Let the owner call it, or a superuser.")));
}

/*
 * The same for a relation by its name, if there is one.
 */
static void
require_owner_by_name(const char *model, const char *name)
{
	LOCAL_FCINFO(fcinfo, 1);
	Datum		relid;

	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = CStringGetTextDatum(name);
	fcinfo->args[0].isnull = false;
	relid = to_regclass(fcinfo);
	if (!fcinfo->isnull)
		require_owner(model, DatumGetObjectId(relid));
}

/*
 * PostgreSQL 15 lets an owner make a view of his empty table: what is in that
 * would run with the rights of whoever reads it.
 */
static void
require_table(const char *model, Oid relid)
{
	if (OidIsValid(relid) && get_rel_relkind(relid) == RELKIND_VIEW)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("scoring model \"%s\" cannot score", model),
				 errhint("leadscore.doctor(%s) tells what is wrong.", quote_literal_cstr(model))));
}

/*
 * An attached model may be about to follow tables that took the place of
 * others; and its states are not to be had by whoever comes after the leads'
 * table is gone.
 */
static void
require_attachment_owner(const char *model, Snapshot snapshot)
{
	Relation	rel = table_open(leadscore_relation("attachment"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			states = get_relname_relid(psprintf("%s_state", model),
										   get_namespace_oid(LEADSCORE_SCHEMA, false));

	ScanKeyInit(&key, Anum_attachment_model, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(model));
	scan = systable_beginscan(rel, leadscore_relation("attachment_pkey"), true,
							  snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		static const int names[] = {Anum_attachment_target_name, Anum_attachment_source_name};
		bool		isnull;

		for (int i = 0; i < lengthof(names); i++)
		{
			Datum		name = heap_getattr(tuple, names[i], RelationGetDescr(rel), &isnull);

			if (!isnull)
				require_owner_by_name(model, TextDatumGetCString(name));
		}
		if (OidIsValid(states))
			require_owner(model, states);
		require_table(model, states);
		require_table(model, DatumGetObjectId(heap_getattr(tuple, Anum_attachment_target,
														   RelationGetDescr(rel), &isnull)));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/*
 * Events are read as the owners of their tables, too; and so will be those of
 * a table that took the place of another.
 */
static void
require_activity_owners(const char *model, Snapshot snapshot)
{
	Relation	rel = table_open(leadscore_relation("activity_source"), AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_activity_source_model, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(model));
	scan = systable_beginscan(rel, leadscore_relation("activity_source_pkey"), true,
							  snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		value;

		value = heap_getattr(tuple, Anum_activity_source_relation,
							 RelationGetDescr(rel), &isnull);
		require_owner(model, DatumGetObjectId(value));
		value = heap_getattr(tuple, Anum_activity_source_relation_name,
							 RelationGetDescr(rel), &isnull);
		if (!isnull)
			require_owner_by_name(model, TextDatumGetCString(value));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/*
 * Keep the row of a model as it is until the end of the transaction: whoever
 * may write rules must not turn it to somebody else's relations between our
 * look at their owners and the commit of the attachment.
 */
static void
lock_model_row(const char *model)
{
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(model);
	Impersonation impersonation;

	impersonate(&impersonation, relation_owner(leadscore_relation("model")),
				"pg_catalog, pg_temp");
	SPI_connect();
	if (SPI_execute_with_args("SELECT FROM leadscore.model m WHERE m.name = $1 "
							  "FOR UPDATE",
							  1, &type, &value, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not lock scoring model \"%s\"", model);
	SPI_finish();
	impersonate_end(&impersonation);
}

/*
 * Whoever acts with the owner's rights must not run foreign code with them.
 */
static void
require_own_triggers(void)
{
	SPI_connect();
	if (SPI_execute("SELECT leadscore._require_own_triggers()", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look at the triggers of leadscore's tables");
	SPI_finish();
}

/*
 * The relations that a model reads must be the caller's.
 */
static void
require_model_owner(const char *model)
{
	Relation	rel = table_open(leadscore_relation("model"), AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Datum		values[Natts_model];
	bool		nulls[Natts_model];

	ScanKeyInit(&key, Anum_model_name, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(model));
	scan = systable_beginscan(rel, leadscore_relation("model_pkey"), true,
							  snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("scoring model \"%s\" does not exist", model),
				 errhint("The table leadscore.model lists the models.")));
	heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
	require_owner(model, DatumGetObjectId(values[Anum_model_target - 1]));
	if (!nulls[Anum_model_source - 1])
		require_owner(model, DatumGetObjectId(values[Anum_model_source - 1]));
	systable_endscan(scan);
	require_attachment_owner(model, snapshot);
	require_activity_owners(model, snapshot);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
}

/*
 * Call the twin of a function, with the same arguments, as the owner of the
 * extension.
 */
static Datum
call_twin(FunctionCallInfo fcinfo)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	Form_pg_proc proc;
	Oid			twin;
	Oid			save_userid;
	int			save_sec_context;
	FmgrInfo	flinfo;
	LOCAL_FCINFO(twin_fcinfo, FUNC_MAX_ARGS);
	Datum		result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", fcinfo->flinfo->fn_oid);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	twin = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
						   CStringGetDatum(psprintf("_%s", NameStr(proc->proname))),
						   PointerGetDatum(&proc->proargtypes),
						   ObjectIdGetDatum(get_namespace_oid(LEADSCORE_SCHEMA, false)));
	if (!OidIsValid(twin))
		elog(ERROR, "function %s has no twin", NameStr(proc->proname));

	fmgr_info(twin, &flinfo);
	InitFunctionCallInfoData(*twin_fcinfo, &flinfo, PG_NARGS(),
							 PG_GET_COLLATION(), NULL, NULL);
	for (int i = 0; i < PG_NARGS(); i++)
		twin_fcinfo->args[i] = fcinfo->args[i];

	GetUserIdAndSecContext(&save_userid, &save_sec_context);
	SetUserIdAndSecContext(proc->proowner,
						   save_sec_context | SECURITY_LOCAL_USERID_CHANGE);
	ReleaseSysCache(tuple);
	require_own_triggers();
	result = FunctionCallInvoke(twin_fcinfo);
	SetUserIdAndSecContext(save_userid, save_sec_context);

	if (twin_fcinfo->isnull)
		PG_RETURN_NULL();
	return result;
}

/*
 * The caller must own what the model reads, and whatever relations are named
 * besides in the arguments of the function at hand.
 */
static void
require_owner_of_all(FunctionCallInfo fcinfo, const char *model)
{
	Oid		   *types;
	int			ntypes;

	if (!has_row_for_model("attachment", model))
		lock_model_row(model);
	require_model_owner(model);

	(void) get_func_signature(fcinfo->flinfo->fn_oid, &types, &ntypes);
	for (int i = 1; i < ntypes; i++)
	{
		if (types[i] == REGCLASSOID && !PG_ARGISNULL(i))
			require_owner(model, PG_GETARG_OID(i));
	}
}

static char *
model_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the name of a scoring model is needed"),
				 errhint("The table leadscore.model lists the models.")));
	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

/*
 * leadscore.<name>(model text, ...)
 *		Calls leadscore._<name> with the same arguments as the owner of the
 *		extension, if the caller owns what the model reads, and whatever
 *		relations are named besides.  Errors: 22004 model is NULL, 42704
 *		unknown model, 42501 not the owner, and those of the twin.
 */
PG_FUNCTION_INFO_V1(leadscore_act_as_owner);
Datum
leadscore_act_as_owner(PG_FUNCTION_ARGS)
{
	require_owner_of_all(fcinfo, model_argument(fcinfo));
	return call_twin(fcinfo);
}

/*
 * leadscore.forget(model text, lead_key text)
 * leadscore.drop_history(model text, before timestamptz)
 *		The same.  But history outlives its model, and what is in it of people
 *		must not be out of reach then: of a model that is gone nobody can tell
 *		who owned its leads, so it is up to the owner of leadscore.history.
 */
PG_FUNCTION_INFO_V1(leadscore_act_on_history);
Datum
leadscore_act_on_history(PG_FUNCTION_ARGS)
{
	char	   *model = model_argument(fcinfo);

	if (has_row_for_model("model", model) || !history_knows(model))
		require_owner_of_all(fcinfo, model);
	else if (!has_privs_of_role(GetUserId(), relation_owner(leadscore_relation("history"))))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of leadscore.history"),
				 errdetail("Scoring model \"%s\" does not exist any more, only its history does.",
						   model),
				 errhint("Let the owner call it, or a superuser.")));
	return call_twin(fcinfo);
}

/*
 * leadscore.watch(model text, relation regclass, lead_key_expression text)
 *		Checks the expression under the session's search_path, and has it
 *		stored with that.
 */
PG_FUNCTION_INFO_V1(leadscore_watch);
Datum
leadscore_watch(PG_FUNCTION_ARGS)
{
	static Oid	types[] = {TEXTOID, REGCLASSOID, TEXTOID, TEXTOID};
	char	   *model;
	char	   *path = condition_current_path();
	Datum		values[4];
	Oid			save_userid;
	int			save_sec_context;

	for (int i = 0; i < 3; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("watch() needs a model, a relation and an expression")));
		values[i] = PG_GETARG_DATUM(i);
	}
	values[3] = CStringGetTextDatum(path);
	model = text_to_cstring(PG_GETARG_TEXT_PP(0));
	require_model_owner(model);
	if (!OidIsValid(relation_owner(PG_GETARG_OID(1))))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", PG_GETARG_OID(1))));
	require_owner(model, PG_GETARG_OID(1));
	watch_check(PG_GETARG_OID(1), text_to_cstring(PG_GETARG_TEXT_PP(2)), path);

	GetUserIdAndSecContext(&save_userid, &save_sec_context);
	SetUserIdAndSecContext(relation_owner(leadscore_relation("watched")),
						   save_sec_context | SECURITY_LOCAL_USERID_CHANGE);
	require_own_triggers();
	SPI_connect();
	if (SPI_execute_with_args("SELECT leadscore._watch($1, $2, $3, $4)", 4,
							  types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not watch a relation");
	SPI_finish();
	SetUserIdAndSecContext(save_userid, save_sec_context);

	PG_RETURN_VOID();
}

/*
 * leadscore._columns_read(model text)
 *		Names of the source's columns that the rules and the channel read; but
 *		for one that is the CRM's status and nothing else, which may be written
 *		back as well.
 */
PG_FUNCTION_INFO_V1(leadscore_columns_read);
Datum
leadscore_columns_read(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	Rulebook   *rulebook;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	rulebook = rulebook_acquire(text_to_cstring(PG_GETARG_TEXT_PP(0)), snapshot, false);
	for (int i = 0; i < rulebook->ncapture_columns; i++)
	{
		Datum		value = NameGetDatum(&TupleDescAttr(rulebook->tupdesc,
														rulebook->capture_columns[i] - 1)->attname);
		bool		isnull = false;

		if (rulebook->capture_columns[i] != rulebook->funnel.status_column)
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	rulebook_release(rulebook);
	UnregisterSnapshot(snapshot);

	return (Datum) 0;
}

/*
 * leadscore._run_as_owner_of(relation regclass, statement text)
 *		Runs a statement as the owner of a relation, with the restrictions of a
 *		maintenance command; number of rows.
 */
PG_FUNCTION_INFO_V1(leadscore_run_as_owner_of);
Datum
leadscore_run_as_owner_of(PG_FUNCTION_ARGS)
{
	Impersonation impersonation;
	int64		rows;

	impersonate(&impersonation, relation_owner(PG_GETARG_OID(0)),
				"pg_catalog, pg_temp");
	SPI_connect();
	if (SPI_execute(text_to_cstring(PG_GETARG_TEXT_PP(1)), false, 0) < 0)
		elog(ERROR, "could not run a statement as the owner of %s",
			 qualified_relation_name(PG_GETARG_OID(0)));
	rows = (int64) SPI_processed;
	SPI_finish();
	impersonate_end(&impersonation);

	PG_RETURN_INT64(rows);
}
