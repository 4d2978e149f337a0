/*-------------------------------------------------------------------------
 *
 * planner.c
 *	  Support function: calls with the whole row become column calls.
 *
 * A whole-row argument copies the row and fetches every toasted value of it.
 * So score('b2b', l) becomes a call with just the columns that the rules read
 * (see columncall.h), whenever l is a table's whole-row variable, or the row
 * constructor that a view's became when it was pulled up.  Everything else
 * stays as it is and gives the same answers.
 *
 * The plan depends on the rules then.  Three things keep it right: it is made
 * anew when the table leadscore.model is invalidated, which every change of
 * rules does; the column call checks at run time that its columns suffice; and
 * if they do not, it reads the row itself, or, where there is no stored row,
 * gives NULL, for which a COALESCE evaluates the whole-row call instead.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "columncall.h"
#include "rulebook.h"

/* A function call has at most FUNC_MAX_ARGS arguments. */
#define MAX_COLUMNS (FUNC_MAX_ARGS - COLUMN_CALL_FIRST)

/*
 * One of the extension's own functions, by name and argument types.
 */
static Oid
own_function(const char *name, int nargs, const Oid *types)
{
	oidvector  *signature = buildoidvector(types, nargs);

	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
						   CStringGetDatum(name),
						   PointerGetDatum(signature),
						   ObjectIdGetDatum(get_namespace_oid(LEADSCORE_SCHEMA, false)));
}

static Oid
column_function(const char *name)
{
	static const Oid types[] = {TEXTOID, OIDOID, INT2ARRAYOID, TIDOID, OIDOID, INT2ARRAYOID, ANYOID};

	return own_function(psprintf("_%s_columns", name), lengthof(types), types);
}

static Oid
row_function(const char *name)
{
	static const Oid types[] = {TEXTOID, RECORDOID};

	return own_function(psprintf("_%s_row", name), lengthof(types), types);
}

static Const *
oid_const(Oid value)
{
	return makeConst(OIDOID, -1, InvalidOid, sizeof(Oid),
					 ObjectIdGetDatum(value), false, true);
}

/*
 * A list of column numbers, as a constant.
 */
static Const *
columns_const(const AttrNumber *columns, int ncolumns)
{
	Datum	   *values = palloc(sizeof(Datum) * (ncolumns + 1));
	ArrayType  *array;

	for (int i = 0; i < ncolumns; i++)
		values[i] = Int16GetDatum(columns[i]);
	array = construct_array(values, ncolumns, INT2OID,
							sizeof(int16), true, TYPALIGN_SHORT);
	return makeConst(INT2ARRAYOID, -1, InvalidOid, -1,
					 PointerGetDatum(array), false, false);
}

/*
 * A variable for another column of the relation of a whole-row variable.
 */
static Var *
column_var(const Var *whole_row, AttrNumber attno, Oid type, int32 typmod,
		   Oid collation)
{
	Var		   *var = copyObject(unconstify(Var *, whole_row));

	var->varattno = attno;
	var->vartype = type;
	var->vartypmod = typmod;
	var->varcollid = collation;
	if (var->varnosyn > 0)
		var->varattnosyn = attno;
	return var;
}

/*
 * A column call, or the same function's call with the row.
 */
static Expr *
make_call(const FuncExpr *original, Oid function, List *args)
{
	/* rules that read no column at all: the variadic argument is still due */
	if (list_length(args) == COLUMN_CALL_FIRST)
		args = lappend(args, makeNullConst(BOOLOID, -1, InvalidOid));
	return (Expr *) makeFuncExpr(function, original->funcresulttype, args,
								 original->funccollid, original->inputcollid,
								 COLUMN_CALL_FORMAT);
}

/*
 * Is a row that is being written possibly not stored yet when the expression
 * is evaluated?  So it is in the checks of row-level security.
 */
static bool
is_unstored_row(PlannerInfo *root, const Var *var)
{
	Query	   *query = root->parse;

	return var->varno == query->resultRelation &&
		(query->commandType == CMD_INSERT || query->withCheckOptions != NIL);
}

/*
 * Can every row of a table be fetched by its ctid?  Not if a partition is a
 * foreign table.
 */
static bool
is_stored(Oid relid)
{
	ListCell   *lc;

	if (!has_subclass(relid))
		return true;
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
	{
		char		kind = get_rel_relkind(lfirst_oid(lc));

		if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
			return false;
	}
	return true;
}

/*
 * score(model, table's whole row)
 */
static Node *
simplify_whole_row(PlannerInfo *root, const FuncExpr *call, const char *name,
				   const Rulebook *rulebook, const Var *var)
{
	RangeTblEntry *rte;
	List	   *args;
	Oid			function;

	/* nulled by grouping sets, or the old row of a RETURNING: leave it */
	if (var->varlevelsup != 0 || var->varno < 1 || is_unstored_row(root, var) ||
		var->varno > list_length(root->parse->rtable) ||
		!var_is_current_row(var) || root->parse->groupingSets != NIL)
		return NULL;
	rte = rt_fetch(var->varno, root->parse->rtable);
	if (rte->rtekind != RTE_RELATION || rte->relid != rulebook->source ||
		(rte->relkind != RELKIND_RELATION &&
		 rte->relkind != RELKIND_PARTITIONED_TABLE &&
		 rte->relkind != RELKIND_MATVIEW))
		return NULL;
	function = column_function(name);
	if (!OidIsValid(function) || !is_stored(rte->relid))
		return NULL;

	args = list_make5(copyObject(linitial(call->args)),
					  oid_const(rulebook->source),
					  columns_const(rulebook->columns, rulebook->ncolumns),
					  column_var(var, SelfItemPointerAttributeNumber,
								 TIDOID, -1, InvalidOid),
					  has_subclass(rte->relid) ?
					  (Node *) column_var(var, TableOidAttributeNumber,
										  OIDOID, -1, InvalidOid) :
					  (Node *) oid_const(rte->relid));
	args = lappend(args, makeNullConst(INT2ARRAYOID, -1, InvalidOid));
	for (int i = 0; i < rulebook->ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(rulebook->tupdesc,
											  rulebook->columns[i] - 1);

		args = lappend(args, column_var(var, att->attnum, att->atttypid,
										att->atttypmod, att->attcollation));
	}
	return (Node *) make_call(call, function, args);
}

/*
 * The element of a row constructor that stands for a column of the source, or
 * NULL.
 */
static Node *
row_element(const RowExpr *row, const Rulebook *rulebook, AttrNumber attno)
{
	Form_pg_attribute att = TupleDescAttr(rulebook->tupdesc, attno - 1);
	Node	   *element = NULL;

	if (row->row_typeid == rulebook->rowtype)
	{
		if (attno <= list_length(row->args))
			element = (Node *) list_nth(row->args, attno - 1);
	}
	else
	{
		ListCell   *lc_name;
		ListCell   *lc_arg;

		forboth(lc_name, row->colnames, lc_arg, row->args)
		{
			if (strcmp(strVal(lfirst(lc_name)), NameStr(att->attname)) == 0 &&
				exprType((Node *) lfirst(lc_arg)) == att->atttypid)
			{
				element = (Node *) lfirst(lc_arg);
				break;
			}
		}
	}
	if (element != NULL && exprType(element) != att->atttypid)
		return NULL;
	return element;
}

/*
 * If a row constructor is a simple view's, all its elements being columns of
 * one table, then the row can be read again from that table: returns one of
 * its variables, and which column each element is.
 */
static const Var *
find_stored_row(PlannerInfo *root, const RowExpr *row, AttrNumber **stored)
{
	const Var  *first = NULL;
	RangeTblEntry *rte;
	ListCell   *lc;
	int			n = 0;

	if (root->parse->groupingSets != NIL)
		return NULL;
	*stored = palloc0(sizeof(AttrNumber) * (list_length(row->args) + 1));
	foreach(lc, row->args)
	{
		const Var  *var = (const Var *) lfirst(lc);

		/* where the view's column was dropped, there is a constant */
		n++;
		if (IsA(var, Const))
			continue;
		if (!IsA(var, Var) || var->varlevelsup != 0 || var->varattno <= 0 ||
			!var_is_current_row(var) || is_unstored_row(root, var) ||
			(first != NULL && var->varno != first->varno))
			return NULL;
		(*stored)[n - 1] = var->varattno;
		if (first == NULL)
			first = var;
	}
	if (first == NULL || first->varno > list_length(root->parse->rtable))
		return NULL;
	rte = rt_fetch(first->varno, root->parse->rtable);
	if (rte->rtekind != RTE_RELATION || has_subclass(rte->relid) ||
		(rte->relkind != RELKIND_RELATION && rte->relkind != RELKIND_MATVIEW))
		return NULL;
	return first;
}

/*
 * score(model, ROW(...)), which is what the whole row of a view becomes
 */
static Node *
simplify_row_constructor(PlannerInfo *root, const FuncExpr *call,
						 const char *name, const Rulebook *rulebook,
						 const RowExpr *row)
{
	Oid			column_call = column_function(name);
	Oid			row_call = row_function(name);
	Node	   *model = (Node *) linitial(call->args);
	ItemPointer nowhere = palloc0(sizeof(ItemPointerData));
	CoalesceExpr *choice;
	List	   *args;
	const Var  *var = NULL;
	AttrNumber *stored;

	if (row->row_typeid != rulebook->rowtype && row->row_typeid != RECORDOID)
		return NULL;
	/* it will appear twice, and without some of its elements */
	if (contain_volatile_functions((Node *) row) ||
		contain_subplans((Node *) row))
		return NULL;
	if (!OidIsValid(column_call) || !OidIsValid(row_call))
		return NULL;

	args = list_make3(copyObject(model),
					  oid_const(rulebook->source),
					  columns_const(rulebook->columns, rulebook->ncolumns));
	/* the columns of the view's own row type, by their numbers */
	if (row->row_typeid == rulebook->rowtype &&
		list_length(row->args) >= rulebook->tupdesc->natts)
		var = find_stored_row(root, row, &stored);
	if (var != NULL)
	{
		args = lappend(args, column_var(var, SelfItemPointerAttributeNumber,
										TIDOID, -1, InvalidOid));
		args = lappend(args, oid_const(rt_fetch(var->varno, root->parse->rtable)->relid));
		args = lappend(args, columns_const(stored, list_length(row->args)));
	}
	else
	{
		args = lappend(args, makeConst(TIDOID, -1, InvalidOid,
									   sizeof(ItemPointerData),
									   PointerGetDatum(nowhere), false, false));
		args = lappend(args, oid_const(InvalidOid));
		args = lappend(args, makeNullConst(INT2ARRAYOID, -1, InvalidOid));
	}
	for (int i = 0; i < rulebook->ncolumns; i++)
	{
		Node	   *element = row_element(row, rulebook, rulebook->columns[i]);

		if (element == NULL)
			return NULL;
		args = lappend(args, copyObject(element));
	}

	if (var != NULL)
		return (Node *) make_call(call, column_call, args);

	/* a row constructor is no NULL record, so NULL can only mean a misfit */
	choice = makeNode(CoalesceExpr);
	choice->coalescetype = call->funcresulttype;
	choice->coalescecollid = call->funccollid;
	choice->args = list_make2(make_call(call, column_call, args),
							  make_call(call, row_call,
										list_make2(copyObject(model),
												   copyObject(unconstify(RowExpr *, row)))));
	choice->location = -1;
	return (Node *) choice;
}

static Node *
simplify_call(PlannerInfo *root, const FuncExpr *call)
{
	Const	   *model;
	Node	   *lead;
	char	   *name;
	Rulebook   *rulebook;
	Node	   *result = NULL;

	if (root == NULL || list_length(call->args) != 2 || !ActiveSnapshotSet())
		return NULL;
	model = (Const *) linitial(call->args);
	lead = (Node *) lsecond(call->args);
	if (!IsA(model, Const) || model->constisnull)
		return NULL;
	if (!IsA(lead, RowExpr) &&
		!(IsA(lead, Var) && ((Var *) lead)->varattno == InvalidAttrNumber))
		return NULL;

	/* a model that is not there is the executor's error, not ours */
	rulebook = rulebook_acquire(TextDatumGetCString(model->constvalue),
								GetActiveSnapshot(), true);
	if (rulebook == NULL)
		return NULL;
	name = get_func_name(call->funcid);
	if (rulebook->ncolumns <= MAX_COLUMNS && name != NULL)
	{
		if (IsA(lead, Var))
			result = simplify_whole_row(root, call, name, rulebook, (Var *) lead);
		else
			result = simplify_row_constructor(root, call, name, rulebook, (RowExpr *) lead);
	}
	rulebook_release(rulebook);

	if (result != NULL)
		root->glob->relationOids = lappend_oid(root->glob->relationOids,
											   leadscore_relation("model"));
	return result;
}

/*
 * leadscore.scoring_support(internal)
 *		Planner support for the functions that take (model, record).
 */
PG_FUNCTION_INFO_V1(leadscore_scoring_support);
Datum
leadscore_scoring_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	Node	   *result = NULL;

	if (IsA(request, SupportRequestSimplify))
	{
		SupportRequestSimplify *simplify = (SupportRequestSimplify *) request;

		result = simplify_call(simplify->root, simplify->fcall);
	}
	PG_RETURN_POINTER(result);
}
