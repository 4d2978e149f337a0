/*-------------------------------------------------------------------------
 *
 * conjunct.c
 *	  Conjuncts of a condition -> handles that a rule can hang on.
 *
 * A handle compares a key with constants: a column, or an expression over
 * columns that cannot fail, since it will be evaluated for every row and before
 * whatever else the condition tests.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "conjunct.h"

static bool
is_integer_family(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

static bool
is_float_family(Oid type)
{
	return type == FLOAT4OID || type == FLOAT8OID;
}

/*
 * reads_as_integer
 *		Do values of a type map to int64, keeping their order?
 */
bool
reads_as_integer(Oid type)
{
	return is_integer_family(type) || is_float_family(type) ||
		type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID ||
		type == TIMEOID || type == BOOLOID || type == OIDOID ||
		type == ANYENUMOID;
}

/*
 * Can an expression be evaluated for any row, without an error and without
 * the rest of its condition having been tested first?
 */
static bool
is_total(Node *node)
{
	check_stack_depth();

	if (node == NULL)
		return true;
	switch (nodeTag(node))
	{
		case T_Var:
		case T_Const:
			return true;
		case T_RelabelType:
			return is_total((Node *) ((RelabelType *) node)->arg);
		case T_CoalesceExpr:
			{
				ListCell   *lc;

				foreach(lc, ((CoalesceExpr *) node)->args)
				{
					if (!is_total((Node *) lfirst(lc)))
						return false;
				}
				return true;
			}
		case T_FuncExpr:
		case T_OpExpr:
			{
				Oid			funcid;
				List	   *args;
				ListCell   *lc;

				if (IsA(node, FuncExpr))
				{
					funcid = ((FuncExpr *) node)->funcid;
					args = ((FuncExpr *) node)->args;
				}
				else
				{
					set_opfuncid((OpExpr *) node);
					funcid = ((OpExpr *) node)->opfuncid;
					args = ((OpExpr *) node)->args;
				}
				switch (funcid)
				{
					case F_LOWER_TEXT:
					case F_UPPER_TEXT:
						/* a conflict of collations is an error at run time */
						if (!OidIsValid(exprInputCollation(node)))
							return false;
						break;
					case F_BTRIM_TEXT:
					case F_LTRIM_TEXT:
					case F_RTRIM_TEXT:
					case F_TEXT_BPCHAR:
					case F_JSONB_OBJECT_FIELD:
					case F_JSONB_OBJECT_FIELD_TEXT:
					case F_JSONB_ARRAY_ELEMENT:
					case F_JSONB_ARRAY_ELEMENT_TEXT:
					case F_NUMERIC_INT2:
					case F_NUMERIC_INT4:
					case F_NUMERIC_INT8:
					case F_INT4_INT2:
					case F_INT8_INT2:
					case F_INT8_INT4:
					case F_FLOAT8_INT2:
					case F_FLOAT8_INT4:
					case F_FLOAT8_INT8:
					case F_FLOAT8_FLOAT4:
						break;
					default:
						return false;
				}
				foreach(lc, args)
				{
					if (!is_total((Node *) lfirst(lc)))
						return false;
				}
				return true;
			}
		default:
			return false;
	}
}

/*
 * The key that an operand reads, or NULL if it is not fit to be one.
 */
static Node *
operand_key(Node *node)
{
	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (IsA(node, Var))
		return node;
	if (!IsA(node, Const) && is_total(node) &&
		contain_var_clause(node))
		return node;
	return NULL;
}

/*
 * Set up a handle for "key operator constants", if the operator is one of the
 * default btree operators of a type that we can handle.
 */
static bool
set_operator(Handle *handle, Oid operator, Oid collation, Oid value_type,
			 int *strategy)
{
	Oid			left;
	Oid			right;
	Oid			family_type;
	TypeCacheEntry *entry;

	op_input_types(operator, &left, &right);
	family_type = left == ANYENUMOID ? value_type : left;
	entry = lookup_type_cache(family_type,
							  TYPECACHE_BTREE_OPFAMILY | TYPECACHE_CMP_PROC |
							  TYPECACHE_HASH_PROC);
	if (!OidIsValid(entry->btree_opf))
		return false;
	*strategy = get_op_opfamily_strategy(operator, entry->btree_opf);
	if (*strategy == 0)
		return false;
	if (*strategy == BTEqualStrategyNumber)
		handle->kind = HANDLE_EQUAL;
	else
		handle->kind = HANDLE_RANGE;

	handle->operator = operator;
	handle->collation = collation;
	handle->type = left;

	if (reads_as_integer(left))
	{
		handle->key_kind = KEY_INTEGER;
		/* enum values are ordered by their catalog entries, not by OID */
		if (left == ANYENUMOID)
			return handle->kind == HANDLE_EQUAL;
		return left == right ||
			(is_integer_family(left) && is_integer_family(right)) ||
			(is_float_family(left) && is_float_family(right));
	}

	/* two types would need two hash functions */
	if (left != right || get_typtype(left) == TYPTYPE_PSEUDO)
		return false;

	handle->key_kind = KEY_GENERIC;
	if (type_is_collatable(left) && !OidIsValid(collation))
		return false;
	if (handle->kind == HANDLE_RANGE)
		return OidIsValid(entry->cmp_proc);
	if ((left == TEXTOID || left == BPCHAROID) &&
		get_collation_isdeterministic(collation))
	{
		handle->key_kind = KEY_BYTES;
		return true;
	}
	return op_hashjoinable(operator, left);
}

/*
 * Note a bound of a range.
 */
static void
set_bound(Handle *handle, int strategy, Const *value)
{
	switch (strategy)
	{
		case BTLessStrategyNumber:
		case BTLessEqualStrategyNumber:
			handle->high = value;
			handle->high_excluded = strategy == BTLessStrategyNumber;
			break;
		default:
			handle->low = value;
			handle->low_excluded = strategy == BTGreaterStrategyNumber;
			break;
	}
}

/*
 * key <op> const
 */
static bool
handle_from_operator(OpExpr *op, Handle *handle)
{
	Node	   *left;
	Node	   *right;
	Oid			operator = op->opno;
	int			strategy;

	if (list_length(op->args) != 2)
		return false;
	left = (Node *) linitial(op->args);
	right = (Node *) lsecond(op->args);
	if (IsA(left, Const))
	{
		Node	   *swap = left;

		left = right;
		right = swap;
		operator = get_commutator(operator);
		if (!OidIsValid(operator))
			return false;
	}
	if (!IsA(right, Const) || ((Const *) right)->constisnull)
		return false;
	handle->key = operand_key(left);
	if (handle->key == NULL ||
		!set_operator(handle, operator, op->inputcollid,
					  ((Const *) right)->consttype, &strategy))
		return false;
	if (handle->kind == HANDLE_EQUAL)
		handle->values = list_make1(right);
	else
		set_bound(handle, strategy, (Const *) right);
	return true;
}

/*
 * key = ANY (const array), which is what key IN (...) becomes
 */
static bool
handle_from_array(ScalarArrayOpExpr *op, Handle *handle)
{
	Const	   *array = (Const *) lsecond(op->args);
	ArrayType  *values;
	Oid			element;
	int16		len;
	bool		byval;
	char		align;
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int			strategy;

	if (!op->useOr || !IsA(array, Const) || array->constisnull)
		return false;
	values = DatumGetArrayTypeP(array->constvalue);
	element = ARR_ELEMTYPE(values);
	handle->key = operand_key((Node *) linitial(op->args));
	if (handle->key == NULL ||
		!set_operator(handle, op->opno, op->inputcollid, element, &strategy) ||
		handle->kind != HANDLE_EQUAL)
		return false;

	get_typlenbyvalalign(element, &len, &byval, &align);
	deconstruct_array(values, element, len, byval, align,
					  &elements, &nulls, &n);
	handle->values = NIL;
	for (int i = 0; i < n; i++)
	{
		/* a NULL in the list never makes the condition true */
		if (!nulls[i])
			handle->values = lappend(handle->values,
									 makeConst(element, -1, op->inputcollid,
											   len, elements[i], false, byval));
	}
	return true;
}

/*
 * Turn a conjunct into a handle; false if it cannot be one.
 */
static bool
handle_from_conjunct(Node *node, Handle *handle)
{
	memset(handle, 0, sizeof(Handle));
	switch (nodeTag(node))
	{
		case T_OpExpr:
			return handle_from_operator((OpExpr *) node, handle);

		case T_ScalarArrayOpExpr:
			return handle_from_array((ScalarArrayOpExpr *) node, handle);

		case T_Var:
			handle->kind = HANDLE_TRUE;
			handle->key = node;
			return true;

		case T_BooleanTest:
			{
				BooleanTest *test = (BooleanTest *) node;

				if (test->booltesttype == IS_TRUE)
					handle->kind = HANDLE_TRUE;
				else if (test->booltesttype == IS_FALSE)
					handle->kind = HANDLE_FALSE;
				else if (test->booltesttype == IS_UNKNOWN)
					handle->kind = HANDLE_NULL;
				else if (test->booltesttype == IS_NOT_UNKNOWN)
					handle->kind = HANDLE_NOT_NULL;
				else
					return false;
				handle->key = operand_key((Node *) test->arg);
				return handle->key != NULL;
			}

		case T_NullTest:
			{
				NullTest   *test = (NullTest *) node;

				if (test->argisrow)
					return false;
				handle->kind = test->nulltesttype == IS_NULL ?
					HANDLE_NULL : HANDLE_NOT_NULL;
				handle->key = operand_key((Node *) test->arg);
				return handle->key != NULL;
			}

		case T_BoolExpr:
			{
				BoolExpr   *bool_expr = (BoolExpr *) node;
				ListCell   *lc;

				if (bool_expr->boolop == NOT_EXPR)
				{
					handle->kind = HANDLE_FALSE;
					handle->key = (Node *) linitial(bool_expr->args);
					return IsA(handle->key, Var);
				}
				if (bool_expr->boolop != OR_EXPR)
					return false;

				/* key = a OR key IN (b, c) */
				foreach(lc, bool_expr->args)
				{
					Handle		other;

					if (!handle_from_conjunct((Node *) lfirst(lc), &other) ||
						other.kind != HANDLE_EQUAL)
						return false;
					if (handle->key == NULL)
						*handle = other;
					else if (equal(handle->key, other.key) &&
							 handle->operator == other.operator &&
							 handle->collation == other.collation)
						handle->values = list_concat(handle->values,
													 other.values);
					else
						return false;
				}
				return handle->key != NULL;
			}

		default:
			return false;
	}
}

/*
 * How much better than others a handle is; lower is better.
 */
static int
handle_rank(const Handle *handle)
{
	int			rank = 0;

	switch (handle->kind)
	{
		case HANDLE_EQUAL:
			rank = list_length(handle->values) <= 1 ? 0 : 2;
			break;
		case HANDLE_RANGE:
			rank = handle->low && handle->high ? 4 : 8;
			break;
		case HANDLE_TRUE:
		case HANDLE_FALSE:
			rank = 6;
			break;
		case HANDLE_NULL:
			rank = 10;
			break;
		case HANDLE_NOT_NULL:
			rank = 12;
			break;
	}
	/* evaluating an expression costs more than reading a column */
	return rank + (IsA(handle->key, Var) ? 0 : 1);
}

/*
 * find_handle
 *		The best handle among the conjuncts of a condition.
 *
 * Returns false if none of them can be one.  'used' are the conjuncts that the
 * handle stands for: two of them, if they bound a range from both sides.
 */
bool
find_handle(List *conjuncts, Handle *best, List **used)
{
	int			best_rank = INT_MAX;
	ListCell   *lc;

	*used = NIL;
	foreach(lc, conjuncts)
	{
		Node	   *conjunct = (Node *) lfirst(lc);
		Handle		handle;
		Node	   *second = NULL;

		if (!handle_from_conjunct(conjunct, &handle))
			continue;

		/* find the other bound of a range */
		if (handle.kind == HANDLE_RANGE)
		{
			ListCell   *lc2;

			for_each_cell(lc2, conjuncts, lnext(conjuncts, lc))
			{
				Handle		other;

				if (handle_from_conjunct((Node *) lfirst(lc2), &other) &&
					other.kind == HANDLE_RANGE &&
					other.key_kind == handle.key_kind &&
					other.type == handle.type &&
					other.collation == handle.collation &&
					(other.low == NULL) != (handle.low == NULL) &&
					equal(other.key, handle.key))
				{
					second = (Node *) lfirst(lc2);
					if (other.low)
					{
						handle.low = other.low;
						handle.low_excluded = other.low_excluded;
					}
					else
					{
						handle.high = other.high;
						handle.high_excluded = other.high_excluded;
					}
					break;
				}
			}
		}
		if (handle_rank(&handle) < best_rank)
		{
			*best = handle;
			best_rank = handle_rank(&handle);
			*used = second ? list_make2(conjunct, second) : list_make1(conjunct);
		}
	}
	return *used != NIL;
}

/*
 * find_alternatives
 *		Handles for each arm of an OR among the conjuncts, as a list of
 *		Handle; NIL if there is no OR whose every arm has one.
 */
List *
find_alternatives(List *conjuncts)
{
	ListCell   *lc;

	foreach(lc, conjuncts)
	{
		BoolExpr   *choice = (BoolExpr *) lfirst(lc);
		List	   *handles = NIL;
		ListCell   *lc_arm;

		if (!IsA(choice, BoolExpr) || choice->boolop != OR_EXPR)
			continue;
		foreach(lc_arm, choice->args)
		{
			Handle	   *handle = palloc(sizeof(Handle));
			List	   *used;

			if (!find_handle(make_ands_implicit((Expr *) lfirst(lc_arm)),
							 handle, &used))
				break;
			handles = lappend(handles, handle);
		}
		if (list_length(handles) == list_length(choice->args))
			return handles;
	}
	return NIL;
}
