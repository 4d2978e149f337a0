/*-------------------------------------------------------------------------
 *
 * changed.c
 *	  Did an update change anything that a model reads?
 *
 * leadscore.lead_changed(model, old.*, new.*) is the WHEN condition of the
 * UPDATE triggers, so that an update of other columns costs little more than
 * without them: no trigger event is queued, no row is read again.  A WHEN that
 * named the columns would keep the CRM from dropping them, and would have to
 * be made anew when rules change.  So it names the rows as a whole, and a
 * support function puts the columns that the rules read just now in their
 * place, each time that a statement prepares the condition.
 *
 * Values are compared as they are stored: json has no equality, and a rule may
 * tell 1.0 from 1.00.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "capture.h"

/* *<> (record, record), which has no name among the server's headers. */
#define RecordImageNeOperator 3189

/* Columns in one call: two arguments each. */
#define COLUMNS_PER_CALL (FUNC_MAX_ARGS / 2)

/* How to compare the values of an argument pair. */
typedef struct PairType
{
	int16		length;
	bool		by_value;
} PairType;


/* --------------------------------------------------------------------
 * Comparing
 * --------------------------------------------------------------------
 */

/*
 * Are two values stored alike?
 *
 * A toasted value that an update left alone is still the same pointer, and
 * need not be fetched.
 */
static bool
same_image(Datum a, Datum b, const PairType *type)
{
	if (type->length == -1)
	{
		struct varlena *left = (struct varlena *) DatumGetPointer(a);
		struct varlena *right = (struct varlena *) DatumGetPointer(b);

		if (VARATT_IS_EXTERNAL_ONDISK(left) && VARATT_IS_EXTERNAL_ONDISK(right) &&
			memcmp(left, right, VARSIZE_EXTERNAL(left)) == 0)
			return true;
	}
	return datum_image_eq(a, b, type->by_value, type->length);
}

/*
 * leadscore._columns_changed(VARIADIC "any")
 *		Does any of the pairs of arguments differ as stored?
 */
PG_FUNCTION_INFO_V1(leadscore_columns_changed);
Datum
leadscore_columns_changed(PG_FUNCTION_ARGS)
{
	PairType   *types = (PairType *) fcinfo->flinfo->fn_extra;
	int			npairs = PG_NARGS() / 2;

	if (types == NULL)
	{
		types = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt,
								   sizeof(PairType) * (npairs + 1));
		for (int i = 0; i < npairs; i++)
		{
			Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 2 * i);

			if (!OidIsValid(type) ||
				type != get_fn_expr_argtype(fcinfo->flinfo, 2 * i + 1))
				ereport(ERROR,
						(errcode(ERRCODE_DATATYPE_MISMATCH),
						 errmsg("arguments must come in pairs of one type")));
			get_typlenbyval(type, &types[i].length, &types[i].by_value);
		}
		fcinfo->flinfo->fn_extra = types;
	}
	for (int i = 0; i < npairs; i++)
	{
		const NullableDatum *pair = &fcinfo->args[2 * i];

		if (pair[0].isnull || pair[1].isnull)
		{
			if (pair[0].isnull != pair[1].isnull)
				PG_RETURN_BOOL(true);
		}
		else if (!same_image(pair[0].value, pair[1].value, &types[i]))
			PG_RETURN_BOOL(true);
	}
	PG_RETURN_BOOL(false);
}

/*
 * leadscore.lead_changed(model text, old record, new record)
 *		Did anything change that the model reads?  Only a trigger's WHEN calls
 *		it, where lead_changed_support replaces the call; what is left says
 *		yes.
 */
PG_FUNCTION_INFO_V1(leadscore_lead_changed);
Datum
leadscore_lead_changed(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(true);
}


/* --------------------------------------------------------------------
 * Replacing the call
 * --------------------------------------------------------------------
 */

/*
 * The variable of a whole row; in a partition it may be converted to the
 * parent's row type.
 */
static Var *
whole_row(Node *node)
{
	while (node != NULL &&
		   (IsA(node, ConvertRowtypeExpr) || IsA(node, RelabelType)))
		node = IsA(node, ConvertRowtypeExpr) ?
			(Node *) ((ConvertRowtypeExpr *) node)->arg :
			(Node *) ((RelabelType *) node)->arg;
	if (node == NULL || !IsA(node, Var) || ((Var *) node)->varattno != 0)
		return NULL;
	return (Var *) node;
}

static Var *
column_of(const Var *row, Form_pg_attribute att)
{
	return makeVar(row->varno, att->attnum, att->atttypid, att->atttypmod,
				   att->attcollation, 0);
}

/*
 * Does the model read a column of the lead's table?
 */
static bool
is_read(const Scorer *scorer, Form_pg_attribute att)
{
	const Rulebook *rulebook = scorer->rulebook;

	/* what a view looks at, it does not say */
	if (scorer->through_source)
		return true;
	if (strcmp(NameStr(att->attname), scorer->key_column) == 0)
		return true;
	for (int i = 0; i < rulebook->ncapture_columns; i++)
	{
		if (strcmp(NameStr(att->attname),
				   NameStr(TupleDescAttr(rulebook->tupdesc,
										 rulebook->capture_columns[i] - 1)->attname)) == 0)
			return true;
	}
	return false;
}

static Expr *
row_constructor(List *columns, int odd)
{
	RowExpr    *row = makeNode(RowExpr);

	for (int i = odd; i < list_length(columns); i += 2)
	{
		row->args = lappend(row->args, list_nth(columns, i));
		row->colnames = lappend(row->colnames, makeString(psprintf("f%d", i / 2 + 1)));
	}
	row->row_typeid = RECORDOID;
	row->row_format = COERCE_IMPLICIT_CAST;
	row->location = -1;
	return (Expr *) row;
}

/*
 * A comparison of pairs of columns.
 *
 * The application's role may not even be allowed to call our function; then
 * the server's own operator does the same, if slower.
 */
static Expr *
comparison(List *columns)
{
	static const Oid any = ANYOID;
	Oid			function;

	function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
							   CStringGetDatum("_columns_changed"),
							   PointerGetDatum(buildoidvector(&any, 1)),
							   ObjectIdGetDatum(get_namespace_oid(LEADSCORE_SCHEMA, false)));
	if (OidIsValid(function) &&
		function_aclcheck(function, GetUserId(), ACL_EXECUTE) == ACLCHECK_OK)
		return (Expr *) makeFuncExpr(function, BOOLOID, columns, InvalidOid,
									 InvalidOid, COERCE_EXPLICIT_CALL);
	return make_opclause(RecordImageNeOperator, BOOLOID, false,
						 row_constructor(columns, 0), row_constructor(columns, 1),
						 InvalidOid, InvalidOid);
}

static Node *
replace_call(FuncExpr *call)
{
	Node	   *model = (Node *) linitial(call->args);
	Var		   *old = whole_row((Node *) lsecond(call->args));
	Var		   *new = whole_row((Node *) lthird(call->args));
	Scorer	   *scorer;
	TupleDesc	desc;
	List	   *columns = NIL;
	List	   *comparisons = NIL;

	if (!IsA(model, Const) || ((Const *) model)->constisnull)
		return NULL;
	if (old == NULL || new == NULL || old->vartype != new->vartype)
		return makeBoolConst(true, false);
	scorer = statement_scorer(CurrentMemoryContext,
							  TextDatumGetCString(((Const *) model)->constvalue));
	if (scorer->rulebook == NULL)
		return makeBoolConst(true, false);

	desc = lookup_rowtype_tupdesc(new->vartype, -1);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped || !is_read(scorer, att))
			continue;
		columns = lappend(columns, column_of(old, att));
		columns = lappend(columns, column_of(new, att));
		if (list_length(columns) == 2 * COLUMNS_PER_CALL)
		{
			comparisons = lappend(comparisons, comparison(columns));
			columns = NIL;
		}
	}
	ReleaseTupleDesc(desc);
	if (columns != NIL)
		comparisons = lappend(comparisons, comparison(columns));

	if (comparisons == NIL)
		return makeBoolConst(true, false);
	return list_length(comparisons) == 1 ? (Node *) linitial(comparisons) :
		(Node *) makeBoolExpr(OR_EXPR, comparisons, -1);
}

/*
 * leadscore.lead_changed_support(internal)
 */
PG_FUNCTION_INFO_V1(leadscore_lead_changed_support);
Datum
leadscore_lead_changed_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);

	/* a query's planner has nothing to do with it */
	if (!IsA(request, SupportRequestSimplify) ||
		((SupportRequestSimplify *) request)->root != NULL)
		PG_RETURN_POINTER(NULL);
	PG_RETURN_POINTER(replace_call(((SupportRequestSimplify *) request)->fcall));
}
