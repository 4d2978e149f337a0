/*-------------------------------------------------------------------------
 *
 * problem.c
 *	  What went wrong while scoring, instead of an error for the application.
 *
 * Promise: nothing of ours costs the application its write.  An error is
 * caught, noted in leadscore.problem and told to the session once per rule.
 * Only what would stop any statement (a cancel request, a full disk) is passed
 * on.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "problem.h"
#include "rulebook.h"
#include "source.h"

/* Rules of which the session has been told. */
typedef struct Warned
{
	char	   *model;
	int64		rule;
	int			sqlerrcode;		/* of the last problem */
} Warned;

static List *warned = NIL;		/* of Warned, in CacheMemoryContext */


/*
 * error_is_recoverable
 *		May the application's statement go on after this error of ours?
 */
bool
error_is_recoverable(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case MAKE_SQLSTATE('0', '8', '0', '0', '0'):	/* connection */
		case MAKE_SQLSTATE('2', '5', '0', '0', '0'):	/* transaction state */
		case MAKE_SQLSTATE('5', '3', '0', '0', '0'):	/* resources */
		case MAKE_SQLSTATE('5', '7', '0', '0', '0'):	/* intervention */
		case MAKE_SQLSTATE('5', '8', '0', '0', '0'):	/* system */
		case MAKE_SQLSTATE('F', '0', '0', '0', '0'):	/* configuration file */
		case MAKE_SQLSTATE('X', 'X', '0', '0', '0'):	/* internal */
			return false;
		default:
			return true;
	}
}

/*
 * warn_of_problem
 *		Tell the session of a problem, once per rule; is it news, or news of
 *		another kind than before?
 */
bool
warn_of_problem(const char *model, int64 rule, int sqlerrcode, const char *message)
{
	MemoryContext caller;
	Warned	   *entry;
	ListCell   *lc;

	foreach(lc, warned)
	{
		bool		same_kind;

		entry = (Warned *) lfirst(lc);
		if (entry->rule != rule || strcmp(entry->model, model) != 0)
			continue;
		same_kind = entry->sqlerrcode == sqlerrcode;
		entry->sqlerrcode = sqlerrcode;
		return !same_kind;
	}
	caller = MemoryContextSwitchTo(CacheMemoryContext);
	entry = palloc(sizeof(Warned));
	entry->model = pstrdup(model);
	entry->rule = rule;
	entry->sqlerrcode = sqlerrcode;
	warned = lappend(warned, entry);
	MemoryContextSwitchTo(caller);

	if (rule == NO_RULE)
		ereport(WARNING,
				(errcode(sqlerrcode),
				 errmsg("problem with a lead of scoring model \"%s\": %s",
						model, message),
				 errhint("The function leadscore.doctor() tells what is wrong.")));
	else
		ereport(WARNING,
				(errcode(sqlerrcode),
				 errmsg("rule %lld of scoring model \"%s\" failed: %s",
						(long long) rule, model, message),
				 errhint("It counts as no match; the table leadscore.problem keeps a record of it.")));
	return true;
}

/*
 * catch_error
 *		Call a function in a subtransaction, which is rolled back if it fails.
 *
 * Returns the error, in the current memory context, or NULL.  One that would
 * stop any statement is thrown on.
 */
ErrorData *
catch_error(void (*function) (void *arg), void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		function(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;

	if (error != NULL && !error_is_recoverable(error->sqlerrcode))
		ReThrowError(error);
	return error;
}

/* A statement on leadscore.problem. */
typedef struct ProblemStatement
{
	const char *text;
	int			nargs;
	Oid		   *types;
	Datum	   *values;
	const char *nulls;
} ProblemStatement;

static void
execute_statement(void *arg)
{
	ProblemStatement *statement = (ProblemStatement *) arg;
	SPIPlanPtr	plan;
	Snapshot	snapshot;

	SPI_connect();
	/* on its own: a trigger could fire before a statement looks at a row */
	if (SPI_execute("SELECT leadscore._require_own_triggers()", true, 0) < 0)
		elog(ERROR, "could not look at the triggers of leadscore.problem");
	plan = SPI_prepare(statement->text, statement->nargs, statement->types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	if (SPI_execute_snapshot(plan, statement->values, statement->nulls, snapshot,
							 InvalidSnapshot, false, true, 0) < 0)
		elog(ERROR, "could not write to leadscore.problem");
	UnregisterSnapshot(snapshot);
	SPI_finish();
}

/*
 * Run a statement on leadscore.problem as its owner, in a subtransaction:
 * should it fail, only a record of a problem is lost.
 *
 * It sees the newest rows, lest a REPEATABLE READ transaction stumbles over
 * one that was written since it began.
 */
static void
run_on_problems(const char *text, int nargs, Oid *types, Datum *values,
				const char *nulls)
{
	ProblemStatement statement = {text, nargs, types, values, nulls};
	Impersonation impersonation;
	ErrorData  *error;

	impersonate(&impersonation, relation_owner(leadscore_relation("problem")),
				"pg_catalog, pg_temp");
	error = catch_error(execute_statement, &statement);
	impersonate_end(&impersonation);

	/* somebody else was at it: what he wrote will do */
	if (error != NULL &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) !=
		ERRCODE_TO_CATEGORY(ERRCODE_T_R_SERIALIZATION_FAILURE))
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("could not note a problem of a scoring model: %s",
						error->message)));
}

/*
 * note_problem
 *		Record a problem in leadscore.problem, and warn once per session.
 *
 * 'rule' is -1 for the model as a whole, 'lead_key' NULL for every lead; what
 * concerns every lead is recorded once.
 */
void
note_problem(const char *model, int64 rule, const char *lead_key,
			 int sqlerrcode, const char *message)
{
	Oid			types[] = {TEXTOID, INT8OID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[5];
	char		nulls[] = "     ";
	bool		is_news = warn_of_problem(model, rule, sqlerrcode, message);

	values[0] = CStringGetTextDatum(model);
	values[1] = Int64GetDatum(rule);
	values[2] = lead_key ? CStringGetTextDatum(lead_key) : (Datum) 0;
	values[3] = CStringGetTextDatum(unpack_sql_state(sqlerrcode));
	values[4] = CStringGetTextDatum(message);
	if (rule == NO_RULE)
		nulls[1] = 'n';
	if (lead_key == NULL)
		nulls[2] = 'n';

	if (lead_key != NULL)
		run_on_problems("INSERT INTO leadscore.problem AS p (model, rule, lead_key, sqlstate, message) "
						"VALUES ($1, $2, $3, $4, $5) "
						"ON CONFLICT ON CONSTRAINT problem_key DO UPDATE "
						"SET sqlstate = excluded.sqlstate, message = excluded.message, "
						"last_seen = excluded.last_seen, count = p.count + 1",
						5, types, values, nulls);
	else if (is_news)
		/* every lead comes by here: they must not wait for each other's row */
		run_on_problems("INSERT INTO leadscore.problem (model, rule, lead_key, sqlstate, message) "
						"SELECT $1, $2, $3, $4, $5 "
						"WHERE NOT EXISTS (SELECT FROM leadscore.problem p WHERE p.model = $1 "
						"AND p.rule IS NOT DISTINCT FROM $2 AND p.lead_key IS NULL AND p.sqlstate = $4) "
						"AND pg_try_advisory_xact_lock('leadscore.problem'::regclass::oid::integer, hashtext($1)) "
						"ON CONFLICT ON CONSTRAINT problem_key DO UPDATE "
						"SET sqlstate = excluded.sqlstate, message = excluded.message, "
						"last_seen = excluded.last_seen, count = problem.count + 1",
						5, types, values, nulls);
}

/*
 * clear_problems
 *		The problems of a lead are over, except those with the rules given.
 */
void
clear_problems(const char *model, const char *lead_key, int nrules,
			   const int64 *rules)
{
	Oid			types[] = {TEXTOID, TEXTOID, INT8ARRAYOID};
	Datum		values[3];
	Datum	   *elements = palloc(sizeof(Datum) * (nrules + 1));

	for (int i = 0; i < nrules; i++)
		elements[i] = Int64GetDatum(rules[i]);
	values[0] = CStringGetTextDatum(model);
	values[1] = CStringGetTextDatum(lead_key);
	values[2] = PointerGetDatum(construct_array(elements, nrules, INT8OID, 8,
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	run_on_problems("DELETE FROM leadscore.problem p "
					"WHERE p.model = $1 AND p.lead_key = $2 "
					"AND coalesce(p.rule, -1) <> ALL ($3)",
					3, types, values, NULL);
}

/*
 * clear_all_problems
 *		Those of all leads of a model, of which there are none any more.
 */
void
clear_all_problems(const char *model)
{
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(model);

	run_on_problems("DELETE FROM leadscore.problem p "
					"WHERE p.model = $1 AND p.lead_key IS NOT NULL",
					1, &type, &value, NULL);
}

/*
 * clear_general_problem
 *		The problem of a lead that is no rule's is over, if it had one.
 */
void
clear_general_problem(const char *model, const char *lead_key)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[2];

	values[0] = CStringGetTextDatum(model);
	values[1] = CStringGetTextDatum(lead_key);
	run_on_problems("DELETE FROM leadscore.problem p "
					"WHERE p.model = $1 AND p.lead_key = $2 AND p.rule IS NULL",
					2, types, values, NULL);
}

/*
 * clear_rule_problem
 *		The problem of a lead with one rule is over.
 */
void
clear_rule_problem(const char *model, const char *lead_key, int64 rule)
{
	Oid			types[] = {TEXTOID, TEXTOID, INT8OID};
	Datum		values[3];

	values[0] = CStringGetTextDatum(model);
	values[1] = CStringGetTextDatum(lead_key);
	values[2] = Int64GetDatum(rule);
	run_on_problems("DELETE FROM leadscore.problem p "
					"WHERE p.model = $1 AND p.lead_key = $2 AND p.rule = $3",
					3, types, values, NULL);
}
