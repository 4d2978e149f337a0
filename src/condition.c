/*-------------------------------------------------------------------------
 *
 * condition.c
 *	  Text of a condition -> checked, planned expression.
 *
 * Whoever may write rules must not be able to run code as whoever inserts
 * leads.  So a condition is one bare expression over the columns of one
 * relation, and it may call only what this file finds harmless: built-in
 * immutable functions, date and time functions, members of well-known
 * extensions that a superuser owns, and what leadscore.allowed_function
 * names.  Everything else is refused with its position in the text.
 *
 * Order matters here.  Parse analysis runs the input function of whatever type
 * a literal turns out to be of, and the input function of a domain runs its
 * CHECK; so string literals go into analysis as parameters, and a hook sees
 * their type before any input function does.  Planning folds constants by
 * running functions; so functions are checked before planning.
 *
 * A condition means the same in every session: names are looked up under the
 * search_path stored with the rule, with the rights of the relation's owner,
 * and literals are read under pinned settings.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include <ctype.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "condition.h"

/*
 * Extensions whose superuser-owned C functions are as good as built in.
 */
static const char *const trusted_extensions[] = {
	"btree_gin", "btree_gist", "citext", "cube", "fuzzystrmatch", "hstore",
	"intarray", "isn", "ltree", "pg_trgm", "seg", "unaccent", "leadscore"
};

/*
 * Built-in functions that are merely stable, because they look at the clock
 * or at a setting that we pin.  All built-in functions of the name are meant.
 */
static const char *const stable_functions[] = {
	"age", "date", "date_part", "date_trunc", "extract",
	"date_eq_timestamptz", "date_ge_timestamptz", "date_gt_timestamptz",
	"date_le_timestamptz", "date_lt_timestamptz", "date_ne_timestamptz",
	"date_cmp_timestamptz", "interval_pl_timestamptz", "make_timestamptz",
	"now", "overlaps", "statement_timestamp", "time", "timestamp",
	"timestamp_cmp_timestamptz", "timestamp_eq_timestamptz",
	"timestamp_ge_timestamptz", "timestamp_gt_timestamptz",
	"timestamp_le_timestamptz", "timestamp_lt_timestamptz",
	"timestamp_ne_timestamptz", "timestamptz", "timestamptz_cmp_date",
	"timestamptz_cmp_timestamp", "timestamptz_eq_date",
	"timestamptz_eq_timestamp", "timestamptz_ge_date",
	"timestamptz_ge_timestamp", "timestamptz_gt_date",
	"timestamptz_gt_timestamp", "timestamptz_le_date",
	"timestamptz_le_timestamp", "timestamptz_lt_date",
	"timestamptz_lt_timestamp", "timestamptz_mi_interval",
	"timestamptz_ne_date", "timestamptz_ne_timestamp",
	"timestamptz_pl_interval", "timetz", "timezone", "to_date",
	"to_timestamp", "transaction_timestamp"
};

/* Those of them that look at the clock. */
static const char *const clock_functions[] = {
	"now", "statement_timestamp", "transaction_timestamp"
};

/*
 * Functions that claim to be immutable and yet look at the catalog or at the
 * state of the server.
 */
static const char *const refused_functions[] = {
	"aclcontains", "acldefault", "aclinsert", "aclitemeq", "aclremove",
	"makeaclitem", "postgresql_fdw_validator", "satisfies_hash_partition",
	/* of extensions: these run input functions, and set a session's state */
	"populate_record", "isn_weak"
};

/*
 * Settings that change how a text is parsed, or what a literal means, and what
 * they have to be while a condition is compiled.
 */
static const char *const compile_settings[][2] = {
	{"standard_conforming_strings", "on"},
	{"transform_null_equals", "off"},
	{"timezone_abbreviations", "Default"},
};

/* Longest condition; the planner's work grows with the square of it. */
#define MAX_CONDITION_LENGTH (256 * 1024)

/* What stands before the values of the score, in conditions on moves. */
#define SCORED_QUALIFIER "scored"

/* In xml.h, which needs headers of libxml where the server was built with it. */
extern PGDLLIMPORT int xmloption;

/* Whose condition it is, for error messages. */
typedef struct ConditionErrorArg
{
	const char *text;
	const char *what;
} ConditionErrorArg;

typedef struct CheckContext
{
	ConditionScope *scope;
	Condition  *condition;
	Node	   *node;			/* node whose functions are being checked */
} CheckContext;

static bool raw_check_walker(Node *node, ConditionScope *scope);
static void raw_check_typename(ParseState *pstate, TypeName *name);
static bool check_walker(Node *node, CheckContext *context);


/* --------------------------------------------------------------------
 * Settings
 * --------------------------------------------------------------------
 */

/*
 * settings_pin
 *		Replace the session's settings by the ones conditions are read under.
 *
 * The variables are swapped without the GUC machinery, because this happens
 * for each row of models that need it; the caller must swap back even when an
 * error is thrown.
 */
void
settings_pin(pg_tz *time_zone, PinnedSettings *saved)
{
	saved->time_zone = session_timezone;
	saved->date_style = DateStyle;
	saved->date_order = DateOrder;
	saved->interval_style = IntervalStyle;
	saved->float_digits = extra_float_digits;
	saved->bytea_format = bytea_output;
	saved->array_nulls = Array_nulls;
	saved->xml_option = xmloption;

	session_timezone = time_zone;
	DateStyle = USE_ISO_DATES;
	DateOrder = DATEORDER_MDY;
	IntervalStyle = INTSTYLE_POSTGRES;
	extra_float_digits = 1;
	bytea_output = BYTEA_OUTPUT_HEX;
	Array_nulls = true;
	xmloption = XMLOPTION_CONTENT;
}

/*
 * settings_unpin
 *		Bring back what settings_pin saved.
 */
void
settings_unpin(const PinnedSettings *saved)
{
	session_timezone = saved->time_zone;
	DateStyle = saved->date_style;
	DateOrder = saved->date_order;
	IntervalStyle = saved->interval_style;
	extra_float_digits = saved->float_digits;
	bytea_output = saved->bytea_format;
	Array_nulls = saved->array_nulls;
	xmloption = saved->xml_option;
}

/*
 * condition_current_path
 *		The session's search_path as it is stored with a rule: the schemas
 *		really searched, pg_catalog first, pg_temp last.
 */
char *
condition_current_path(void)
{
	StringInfoData path;
	List	   *schemas = fetch_search_path(false);
	ListCell   *lc;

	initStringInfo(&path);
	appendStringInfoString(&path, "pg_catalog");
	foreach(lc, schemas)
	{
		Oid			schema = lfirst_oid(lc);
		char	   *name;

		if (schema == PG_CATALOG_NAMESPACE || isAnyTempNamespace(schema))
			continue;
		name = get_namespace_name(schema);
		if (name != NULL)
			appendStringInfo(&path, ", %s", quote_identifier(name));
	}
	appendStringInfoString(&path, ", pg_temp");
	list_free(schemas);

	return path.data;
}

/*
 * condition_path_is_bare
 *		Is the session's search_path empty, as pg_dump's scripts set it?
 */
bool
condition_path_is_bare(void)
{
	return fetch_search_path(false) == NIL;
}


/* --------------------------------------------------------------------
 * Scope: what the conditions over one relation have in common
 * --------------------------------------------------------------------
 */

static void
become_owner(ConditionScope *scope)
{
	SetUserIdAndSecContext(scope->rel->rd_rel->relowner,
						   scope->save_sec_context |
						   SECURITY_RESTRICTED_OPERATION);
}

/*
 * condition_scope_open
 *		Get ready to compile conditions over 'rel', an open relation.
 *
 * Until the scope is closed the current user is the relation's owner, under
 * restriction: what the condition names must mean the same for everybody.  If
 * an error is thrown the end of the (sub)transaction sets that right again.
 */
void
condition_scope_open(ConditionScope *scope, Relation rel, pg_tz *time_zone)
{
	ParseNamespaceItem *nsitem;

	memset(scope, 0, sizeof(ConditionScope));
	scope->context = CurrentMemoryContext;
	scope->rel = rel;
	scope->time_zone = time_zone;
	scope->pstate = make_parsestate(NULL);
	nsitem = addRangeTableEntryForRelation(scope->pstate, rel,
										   AccessShareLock, NULL,
										   false, false);
	addNSItemToQuery(scope->pstate, nsitem, false, true, true);

	GetUserIdAndSecContext(&scope->save_userid, &scope->save_sec_context);
	scope->save_nestlevel = NewGUCNestLevel();
	for (int i = 0; i < lengthof(compile_settings); i++)
	{
		const char *name = compile_settings[i][0];
		const char *value = GetConfigOption(name, true, false);

		if (value != NULL && strcmp(value, compile_settings[i][1]) != 0)
			(void) set_config_option(name, compile_settings[i][1],
									 PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_SAVE, true, 0, false);
	}
	become_owner(scope);
}

/*
 * condition_scope_recover
 *		Set right what an error, caught by the caller, left behind: functions
 *		that run during planning may have changed the user and settings.
 */
void
condition_scope_recover(ConditionScope *scope)
{
	AtEOXact_GUC(false, scope->save_nestlevel + 1);
	become_owner(scope);
}

/*
 * condition_scope_path
 *		Look names up in the schemas of 'path' from now on.
 */
void
condition_scope_path(ConditionScope *scope, const char *path)
{
	if (scope->search_path != NULL && strcmp(scope->search_path, path) == 0)
		return;

	(void) set_config_option("search_path", path,
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	scope->search_path = MemoryContextStrdup(scope->context, path);
}

/*
 * condition_scope_close
 *		Be the caller again.
 */
void
condition_scope_close(ConditionScope *scope)
{
	AtEOXact_GUC(false, scope->save_nestlevel);
	SetUserIdAndSecContext(scope->save_userid, scope->save_sec_context);
	free_parsestate(scope->pstate);
}


/* --------------------------------------------------------------------
 * Refusals on the raw tree
 * --------------------------------------------------------------------
 */

/*
 * What the author of an expression can have computed elsewhere, for hints.
 */
static const char *
where_columns_come_from(ParseState *pstate)
{
	ConditionScope *scope = (ConditionScope *) pstate->p_ref_hook_state;

	return scope != NULL && scope->over_events ? "the events' table" :
		"the model's source view";
}

static bool
name_in(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}
#define NAME_IN(name, names) name_in(name, names, lengthof(names))

/*
 * The well-known extension that an object is a member of, or NULL.
 */
static char *
trusted_extension(Oid class, Oid object)
{
	Oid			extension = getExtensionOfObject(class, object);
	char	   *name = OidIsValid(extension) ? get_extension_name(extension) : NULL;

	return name != NULL && NAME_IN(name, trusted_extensions) ? name : NULL;
}

/*
 * Why a cast to a type is refused, or NULL if it is not.
 */
static const char *
cast_refusal(Oid type)
{
	Oid			element = get_element_type(type);

	if (OidIsValid(element))
		return cast_refusal(element);

	switch (get_typtype(type))
	{
		case TYPTYPE_DOMAIN:
			return "the CHECK of a domain may call any function";

		case TYPTYPE_ENUM:
			return NULL;

		case TYPTYPE_RANGE:
			if (type >= FirstUnpinnedObjectId)
				return "a range type may call functions of its own";
			return NULL;

		case TYPTYPE_MULTIRANGE:
			return cast_refusal(get_multirange_range(type));

		case TYPTYPE_COMPOSITE:
			/* its columns may be of any type, now or later */
			return "a composite type may hold a domain";

		case TYPTYPE_PSEUDO:
			return "it is a pseudo-type";

		default:
			break;
	}

	switch (type)
	{
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGTYPEOID:
		case REGROLEOID:
		case REGNAMESPACEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
			return "its values are looked up in the catalog";
		case MONEYOID:
			return "its meaning depends on the setting lc_monetary";
		case ACLITEMOID:
			return "its values are looked up in the catalog";
		default:
			break;
	}
	if (type < FirstUnpinnedObjectId)
		return NULL;

	if (trusted_extension(TypeRelationId, type) != NULL)
		return NULL;
	return "it is neither built in nor from a well-known extension";
}

/*
 * Refuse a cast to a type that could run somebody's code.
 */
static void
raw_check_typename(ParseState *pstate, TypeName *name)
{
	Oid			type = typenameTypeId(pstate, name);
	const char *refusal = cast_refusal(type);

	if (refusal != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot cast to type %s in a condition",
						format_type_be(type)),
				 errdetail("Casts to this type are refused because %s.", refusal),
				 errhint("Have %s make the cast.", where_columns_come_from(pstate)),
				 parser_errposition(pstate, name->location)));
}

/*
 * Walk the raw tree: only expressions, and no type that hides a domain.
 *
 * This is a list of what is allowed, so that syntax which later versions of
 * the server learn is refused until somebody has looked at it.
 */
static bool
raw_check_walker(Node *node, ConditionScope *scope)
{
	ParseState *pstate = scope->pstate;

	if (node == NULL)
		return false;

	switch (nodeTag(node))
	{
		case T_List:
		case T_String:
		case T_A_Expr:
		case T_A_Indices:
		case T_A_Indirection:
		case T_A_ArrayExpr:
		case T_BoolExpr:
		case T_BooleanTest:
		case T_CaseExpr:
		case T_CaseWhen:
		case T_CoalesceExpr:
		case T_CollateClause:
		case T_MinMaxExpr:
		case T_NamedArgExpr:
		case T_NullTest:
		case T_RowExpr:
		case T_SQLValueFunction:
			break;

		case T_A_Const:
			{
				A_Const    *con = (A_Const *) node;
				ParamRef   *ref = (ParamRef *) node;
				int			location = con->location;

				if (con->isnull || !IsA(&con->val, String))
					return false;

				/* from here on the literal is a parameter */
				StaticAssertStmt(sizeof(ParamRef) <= sizeof(A_Const),
								 "a parameter does not fit in place of a constant");
				scope->literals = lappend(scope->literals,
										  makeConst(UNKNOWNOID, -1, InvalidOid, -2,
													CStringGetDatum(con->val.sval.sval),
													false, false));
				llast_node(Const, scope->literals)->location = location;
				ref->type = T_ParamRef;
				ref->number = list_length(scope->literals);
				ref->location = location;
				return false;
			}

		case T_ColumnRef:
			{
				ColumnRef  *ref = (ColumnRef *) node;

				if (IsA(llast(ref->fields), A_Star))
					ereport(ERROR,
							(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							 errmsg("cannot use \"*\" in a condition"),
							 errhint("Name the columns that the condition needs."),
							 parser_errposition(pstate, ref->location)));
				return false;
			}

		case T_TypeCast:
			{
				TypeCast   *cast = (TypeCast *) node;

				raw_check_typename(pstate, cast->typeName);
				return raw_check_walker(cast->arg, scope);
			}

		case T_FuncCall:
			{
				FuncCall   *call = (FuncCall *) node;

				if (call->over != NULL)
					ereport(ERROR,
							(errcode(ERRCODE_WINDOWING_ERROR),
							 errmsg("cannot use a window function in a condition"),
							 errhint("Expose its result as a column of %s.", where_columns_come_from(pstate)),
							 parser_errposition(pstate, call->location)));
				if (call->agg_star || call->agg_distinct ||
					call->agg_filter != NULL || call->agg_order != NIL ||
					call->agg_within_group)
					ereport(ERROR,
							(errcode(ERRCODE_GROUPING_ERROR),
							 errmsg("cannot use an aggregate in a condition"),
							 errhint("Expose its result as a column of %s.", where_columns_come_from(pstate)),
							 parser_errposition(pstate, call->location)));

				/* name(x) may be a cast in disguise */
				if (list_length(call->args) == 1)
				{
					TypeName   *name = makeTypeNameFromNameList(call->funcname);
					Type		type;

					name->location = call->location;
					type = LookupTypeName(NULL, name, NULL, true);
					if (type != NULL)
					{
						Oid			typeid = typeTypeId(type);

						ReleaseSysCache(type);
						/* date(x) and its like are functions as well */
						if (cast_refusal(typeid) != NULL)
							raw_check_typename(pstate, name);
					}
				}
				return raw_check_walker((Node *) call->args, scope);
			}

		case T_SubLink:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot use a subquery in a condition"),
					 errhint("Expose what the subquery finds as a column of %s.", where_columns_come_from(pstate)),
					 parser_errposition(pstate, exprLocation(node))));
			break;

		case T_ParamRef:
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_PARAMETER),
					 errmsg("cannot use a parameter in a condition"),
					 errhint("Write the value itself."),
					 parser_errposition(pstate, exprLocation(node))));
			break;

		case T_GroupingFunc:
			ereport(ERROR,
					(errcode(ERRCODE_GROUPING_ERROR),
					 errmsg("cannot use an aggregate in a condition"),
					 errhint("Expose its result as a column of %s.", where_columns_come_from(pstate)),
					 parser_errposition(pstate, exprLocation(node))));
			break;

		default:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot use this kind of expression in a condition"),
					 errhint("Expose its result as a column of %s.", where_columns_come_from(pstate)),
					 parser_errposition(pstate, exprLocation(node))));
			break;
	}

	return raw_expression_tree_walker(node, raw_check_walker, scope);
}

/*
 * Parse 'text' and return its one expression, raw.
 */
static Node *
parse_bare_expression(ParseState *pstate, const char *text)
{
	List	   *parsetree = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
	SelectStmt *stmt = NULL;
	ResTarget  *target;

	if (list_length(parsetree) == 1 &&
		IsA(linitial_node(RawStmt, parsetree)->stmt, SelectStmt))
		stmt = (SelectStmt *) linitial_node(RawStmt, parsetree)->stmt;

	if (stmt == NULL || list_length(stmt->targetList) != 1 ||
		stmt->distinctClause != NIL || stmt->intoClause != NULL ||
		stmt->fromClause != NIL || stmt->whereClause != NULL ||
		stmt->groupClause != NIL || stmt->havingClause != NULL ||
		stmt->windowClause != NIL || stmt->valuesLists != NIL ||
		stmt->sortClause != NIL || stmt->limitOffset != NULL ||
		stmt->limitCount != NULL || stmt->lockingClause != NIL ||
		stmt->withClause != NULL || stmt->op != SETOP_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("condition is not a single expression"),
				 errhint("Write one SQL expression over the columns of the lead, such as employees >= 50.")));

	target = linitial_node(ResTarget, stmt->targetList);
	if (target->name != NULL || target->indirection != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("condition is not a single expression"),
				 errhint("Write one SQL expression over the columns of the lead, such as employees >= 50."),
				 parser_errposition(pstate, target->location)));

	return target->val;
}


/*
 * Parser hook: a literal that raw_check_walker made a parameter.
 */
static Node *
literal_as_param(ParseState *pstate, ParamRef *ref)
{
	Param	   *param = makeNode(Param);

	param->paramkind = PARAM_EXTERN;
	param->paramid = ref->number;
	param->paramtype = UNKNOWNOID;
	param->paramtypmod = -1;
	param->paramcollid = InvalidOid;
	param->location = ref->location;
	return (Node *) param;
}

static Const *
param_literal(ConditionScope *scope, Param *param)
{
	return copyObject(list_nth_node(Const, scope->literals, param->paramid - 1));
}

/*
 * Does a literal name a moment by a word that means another one tomorrow?
 */
static bool
names_the_clock(const char *literal)
{
	static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};

	for (int i = 0; i < lengthof(words); i++)
	{
		size_t		len = strlen(words[i]);

		for (const char *p = literal; *p != '\0'; p++)
		{
			if (pg_strncasecmp(p, words[i], len) == 0 &&
				(p == literal || !isalpha((unsigned char) p[-1])) &&
				!isalpha((unsigned char) p[len]))
				return true;
		}
	}
	return false;
}

static bool
is_date_or_time(Oid type)
{
	Oid			inner = get_element_type(type);

	if (!OidIsValid(inner))
		inner = get_range_subtype(type);
	if (!OidIsValid(inner) && OidIsValid(get_multirange_range(type)))
		inner = get_range_subtype(get_multirange_range(type));
	if (!OidIsValid(inner))
		inner = type;
	return inner == DATEOID || inner == TIMEOID || inner == TIMETZOID ||
		inner == TIMESTAMPOID || inner == TIMESTAMPTZOID;
}

/*
 * Parser hook: a literal has found its type.  Refuse it or read it as that.
 */
static Node *
coerce_literal(ParseState *pstate, Param *param, Oid type, int32 typmod,
			   int location)
{
	ConditionScope *scope = (ConditionScope *) pstate->p_ref_hook_state;
	const char *refusal;

	if (type == UNKNOWNOID)
		return (Node *) param;
	/* a value of the score has its type: convert it as anything else is */
	if (param->paramkind != PARAM_EXTERN)
		return NULL;

	/* as in to_tsvector('english', title): looked up, but only by name */
	refusal = type == REGCONFIGOID || type == REGDICTIONARYOID ?
		NULL : cast_refusal(type);
	if (refusal != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot use a literal of type %s in a condition",
						format_type_be(type)),
				 errdetail("Values of this type are not read from text because %s.",
						   refusal),
				 errhint("Have %s convert the column to another type.", where_columns_come_from(pstate)),
				 parser_errposition(pstate, param->location)));
	if (is_date_or_time(type) &&
		names_the_clock(DatumGetCString(param_literal(scope, param)->constvalue)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot use a literal that names the current time in a condition"),
				 errdetail("It would be read once, when the condition is compiled."),
				 errhint("Use now() or current_date."),
				 parser_errposition(pstate, param->location)));
	return coerce_type(pstate, (Node *) param_literal(scope, param), UNKNOWNOID,
					   type, typmod, COERCION_IMPLICIT, COERCE_IMPLICIT_CAST,
					   location);
}

/*
 * leadscore_type
 *		OID of a type of ours; InvalidOid if it is gone.
 */
Oid
leadscore_type(const char *name)
{
	return GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(name),
						   ObjectIdGetDatum(get_namespace_oid(LEADSCORE_SCHEMA, false)));
}

static const struct
{
	const char *name;
	Oid			type;
	const char *our_type;
}			scored_values[NUM_SCORED_VALUES] =
{
	{"score", INT4OID, NULL},
	{"fit", FLOAT8OID, NULL},
	{"engagement", FLOAT8OID, NULL},
	{"temperature", InvalidOid, "temperature"},
	{"grade", TEXTOID, NULL},
	{"disqualified", BOOLOID, NULL},
	{"stage", InvalidOid, "lead_stage"}
};

/*
 * Parser hook: "scored.score" and its kin, which no column ever hides.
 */
static Node *
scored_value(ParseState *pstate, ColumnRef *ref)
{
	const char *name;

	if (list_length(ref->fields) != 2 || !IsA(linitial(ref->fields), String) ||
		!IsA(lsecond(ref->fields), String) ||
		strcmp(strVal(linitial(ref->fields)), SCORED_QUALIFIER) != 0)
		return NULL;
	name = strVal(lsecond(ref->fields));
	for (int i = 0; i < NUM_SCORED_VALUES; i++)
	{
		Param	   *param;

		if (strcmp(name, scored_values[i].name) != 0)
			continue;
		param = makeNode(Param);
		param->paramkind = PARAM_EXEC;
		param->paramid = NUM_CLOCKS + i;
		param->paramtype = scored_values[i].our_type != NULL ?
			leadscore_type(scored_values[i].our_type) : scored_values[i].type;
		param->paramtypmod = -1;
		param->paramcollid = get_typcollation(param->paramtype);
		param->location = ref->location;
		return (Node *) param;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column %s.%s does not exist", SCORED_QUALIFIER, name),
			 errhint("There are scored.score, scored.fit, scored.engagement, scored.temperature, scored.grade, scored.disqualified and scored.stage."),
			 parser_errposition(pstate, ref->location)));
	return NULL;				/* keep compiler quiet */
}

/*
 * Parser hook: a name that is no column may be meant for one of those.
 */
static Node *
no_scored_value(ParseState *pstate, ColumnRef *ref, Node *var)
{
	if (var != NULL || list_length(ref->fields) != 1 || !IsA(linitial(ref->fields), String))
		return NULL;
	for (int i = 0; i < NUM_SCORED_VALUES; i++)
	{
		const char *name = scored_values[i].name;

		if (strcmp(strVal(linitial(ref->fields)), name) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" does not exist", name),
					 errhint("Write %s.%s for the lead's own %s by this model.",
							 SCORED_QUALIFIER, name, name),
					 parser_errposition(pstate, ref->location)));
	}
	return NULL;
}

/*
 * Literals whose type did not matter become constants again.
 */
static Node *
restore_literals(Node *node, ConditionScope *scope)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN)
		return (Node *) param_literal(scope, (Param *) node);
	return expression_tree_mutator(node, restore_literals, scope);
}


/* --------------------------------------------------------------------
 * Refusals on the analyzed tree
 * --------------------------------------------------------------------
 */

/*
 * A function as leadscore.allowed_function names it: as regprocedure shows it
 * under a search_path of pg_catalog alone.
 */
static char *
function_signature(Oid funcid)
{
	int			nestlevel = NewGUCNestLevel();
	char	   *signature;

	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	signature = format_procedure(funcid);
	AtEOXact_GUC(false, nestlevel);

	return signature;
}

/*
 * Is a function listed in leadscore.allowed_function?
 */
static bool
function_is_listed(Oid funcid)
{
	Oid			schema = get_namespace_oid(LEADSCORE_SCHEMA, false);
	Oid			relid = get_relname_relid("allowed_function", schema);
	Oid			indexid = get_relname_relid("allowed_function_pkey", schema);
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	bool		found;

	if (!OidIsValid(relid))
		return false;
	rel = table_open(relid, AccessShareLock);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(function_signature(funcid)));
	scan = systable_beginscan(rel, indexid, OidIsValid(indexid),
							  GetActiveSnapshot(), 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	return found;
}

/*
 * Is a function a member of a well-known extension, and safe to trust?
 */
static bool
function_is_from_trusted_extension(Oid funcid, Form_pg_proc proc)
{
	char	   *name = trusted_extension(ProcedureRelationId, funcid);

	if (name == NULL || !superuser_arg(proc->proowner) ||
		NAME_IN(NameStr(proc->proname), refused_functions))
		return false;

	/*
	 * SQL bodies look names up when they run, so only C can be trusted not to
	 * call something else; citext's SQL functions qualify every name.
	 */
	if (proc->prolang != ClanguageId && proc->prolang != INTERNALlanguageId &&
		strcmp(name, "citext") != 0)
		return false;

	/* a merely stable one would depend on settings, except unaccent's */
	return proc->provolatile == PROVOLATILE_IMMUTABLE ||
		strcmp(name, "unaccent") == 0;
}

/*
 * condition_reads_today
 *		Does a built-in function ask by itself what day it is?
 *
 * It cannot be told another day.  The planner expands age(timestamptz) and its
 * like, though, and then there is a clock in it that can be set.
 */
bool
condition_reads_today(Oid funcid)
{
	switch (funcid)
	{
		case F_AGE_TIMESTAMP:
		case F_AGE_TIMESTAMPTZ:
		case F_TIMETZ_TIME:		/* the offset is today's */
		case F_TIMEZONE_TEXT_TIMETZ:
			return true;
		default:
			return false;
	}
}

/*
 * Refuse a function that a condition may not call, with the reason.
 *
 * Signature as check_functions_in_node wants it.
 */
static bool
check_function(Oid funcid, void *arg)
{
	CheckContext *context = (CheckContext *) arg;
	ParseState *pstate = context->scope->pstate;
	HeapTuple	tuple;
	Form_pg_proc proc;
	const char *name;
	bool		builtin = funcid < FirstUnpinnedObjectId;
	bool		acceptable;

	if (list_member_oid(context->scope->accepted, funcid))
		return false;

	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", funcid);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	name = NameStr(proc->proname);

	if (proc->proretset)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot use a set-returning function in a condition"),
				 errhint("Expose its result as a column of %s.", where_columns_come_from(pstate)),
				 parser_errposition(pstate, exprLocation(context->node))));

	if (proc->provolatile == PROVOLATILE_VOLATILE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("cannot call volatile function %s in a condition",
						format_procedure(funcid)),
				 errdetail("A condition must give the same answer for the same row."),
				 funcid == F_CLOCK_TIMESTAMP || funcid == F_TIMEOFDAY ?
				 errhint("For the current time use now().") :
				 builtin ? 0 :
				 errhint("If it gives the same result for the same arguments, declare it IMMUTABLE."),
				 parser_errposition(pstate, exprLocation(context->node))));

	if (!builtin)
	{
		acceptable = function_is_from_trusted_extension(funcid, proc);
		if (!acceptable || (proc->prolang != ClanguageId &&
							proc->prolang != INTERNALlanguageId))
		{
			context->condition->calls_user_code = true;
			acceptable |= function_is_listed(funcid);
		}
	}
	else if (proc->provolatile == PROVOLATILE_IMMUTABLE)
		acceptable = !NAME_IN(name, refused_functions) &&
			strncmp(name, "pg_", 3) != 0 && strncmp(name, "txid_", 5) != 0;
	else
		acceptable = NAME_IN(name, stable_functions) && funcid != F_AGE_XID;

	if (!acceptable)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot call function %s in a condition",
						format_procedure(funcid)),
				 builtin || trusted_extension(ProcedureRelationId, funcid) ?
				 errdetail("Its result depends on more than its arguments.") :
				 errdetail("It is neither built in nor from a well-known extension."),
				 builtin ?
				 errhint("Conditions may call immutable built-in functions and date and time functions.") :
				 errhint("A superuser can allow it with INSERT INTO leadscore.allowed_function (signature) VALUES (%s).",
						 quote_literal_cstr(function_signature(funcid))),
				 parser_errposition(pstate, exprLocation(context->node))));

	if (proc->provolatile == PROVOLATILE_STABLE)
	{
		context->condition->uses_settings = true;
		if (builtin && (NAME_IN(name, clock_functions) ||
						condition_reads_today(funcid)))
			context->condition->uses_clock = true;
	}
	else if (!context->condition->calls_user_code)
	{
		/* only what needs no flag may be waved through the next time */
		MemoryContext caller = MemoryContextSwitchTo(context->scope->context);

		context->scope->accepted = lappend_oid(context->scope->accepted, funcid);
		MemoryContextSwitchTo(caller);
	}
	ReleaseSysCache(tuple);

	return false;
}

/*
 * Refuse an operator that is not built in.
 *
 * It is not enough that its function is: the planner takes an operator's
 * negator or commutator in its place.
 */
static void
check_operator(CheckContext *context, Oid operator)
{
	if (operator < FirstUnpinnedObjectId ||
		trusted_extension(OperatorRelationId, operator) != NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("cannot use operator %s in a condition",
					format_operator(operator)),
			 errdetail("It is neither built in nor from a well-known extension."),
			 errhint("Call the operator's function by its name; a superuser can allow that."),
			 parser_errposition(context->scope->pstate,
								exprLocation(context->node))));
}

/*
 * Does the text form of a type stay the same whatever the settings?
 */
static bool
text_form_is_fixed(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case CHAROID:
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case NUMERICOID:
		case UUIDOID:
		case JSONOID:
		case JSONBOID:
		case INETOID:
		case CIDROID:
			return true;
		default:
			return get_typtype(type) == TYPTYPE_ENUM;
	}
}

/*
 * Refuse a conversion through the text form of a type that is not harmless.
 */
static void
check_conversion(CheckContext *context, Oid type)
{
	const char *refusal = cast_refusal(type);

	if (refusal != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot convert type %s in a condition",
						format_type_be(type)),
				 errdetail("Conversions of this type are refused because %s.", refusal),
				 errhint("Have %s convert the column to another type.",
						 where_columns_come_from(context->scope->pstate)),
				 parser_errposition(context->scope->pstate,
									exprLocation(context->node))));
	if (!text_form_is_fixed(type))
		context->condition->uses_settings = true;
}

/*
 * Walk the analyzed tree: columns, functions, node types.
 *
 * Again a list of what is allowed.
 */
static bool
check_walker(Node *node, CheckContext *context)
{
	ParseState *pstate = context->scope->pstate;

	if (node == NULL)
		return false;

	context->node = node;
	switch (nodeTag(node))
	{
		case T_List:
		case T_BoolExpr:
		case T_BooleanTest:
		case T_CaseExpr:
		case T_CaseTestExpr:
		case T_CaseWhen:
		case T_CoalesceExpr:
		case T_CollateExpr:
		case T_ArrayExpr:
		case T_ArrayCoerceExpr:
		case T_NamedArgExpr:
		case T_NullTest:
		case T_RelabelType:
		case T_FieldSelect:
		case T_RowExpr:
			break;

		case T_Var:
			{
				Var		   *var = (Var *) node;

				if (var->varattno < 0)
					ereport(ERROR,
							(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							 errmsg("cannot use a system column in a condition"),
							 parser_errposition(pstate, var->location)));
				if (var->varattno == 0)
					ereport(ERROR,
							(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							 errmsg("cannot use the whole row in a condition"),
							 errhint("Name the columns that the condition needs."),
							 parser_errposition(pstate, var->location)));
				context->condition->columns =
					bms_add_member(context->condition->columns, var->varattno);
				return false;
			}

		case T_Param:
			/* a value of the score; literals are constants by now */
			return false;

		case T_Const:
			{
				Const	   *con = (Const *) node;

				/* a literal that took on the type of a column */
				if (con->consttype == MONEYOID)
					check_conversion(context, con->consttype);
				return false;
			}

		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			check_operator(context, ((OpExpr *) node)->opno);
			(void) check_functions_in_node(node, check_function, context);
			break;

		case T_ScalarArrayOpExpr:
			check_operator(context, ((ScalarArrayOpExpr *) node)->opno);
			(void) check_functions_in_node(node, check_function, context);
			break;

		case T_RowCompareExpr:
			{
				ListCell   *lc;

				foreach(lc, ((RowCompareExpr *) node)->opnos)
					check_operator(context, lfirst_oid(lc));
				(void) check_functions_in_node(node, check_function, context);
				break;
			}

		case T_FuncExpr:
			(void) check_functions_in_node(node, check_function, context);
			break;

		case T_CoerceViaIO:
			{
				CoerceViaIO *coerce = (CoerceViaIO *) node;

				/* a domain is written as its base type, without a check */
				check_conversion(context,
								 getBaseType(exprType((Node *) coerce->arg)));
				check_conversion(context, coerce->resulttype);
				break;
			}

		case T_MinMaxExpr:
			{
				MinMaxExpr *minmax = (MinMaxExpr *) node;
				TypeCacheEntry *entry = lookup_type_cache(minmax->minmaxtype,
														  TYPECACHE_CMP_PROC);

				if (OidIsValid(entry->cmp_proc))
					(void) check_function(entry->cmp_proc, context);
				break;
			}

		case T_SubscriptingRef:
			{
				SubscriptingRef *ref = (SubscriptingRef *) node;
				Oid			container = ref->refcontainertype;

				if (container >= FirstUnpinnedObjectId &&
					!OidIsValid(get_element_type(container)))
					check_conversion(context, container);
				break;
			}

		case T_SQLValueFunction:
			switch (((SQLValueFunction *) node)->op)
			{
				case SVFOP_CURRENT_DATE:
				case SVFOP_CURRENT_TIME:
				case SVFOP_CURRENT_TIME_N:
				case SVFOP_CURRENT_TIMESTAMP:
				case SVFOP_CURRENT_TIMESTAMP_N:
				case SVFOP_LOCALTIME:
				case SVFOP_LOCALTIME_N:
				case SVFOP_LOCALTIMESTAMP:
				case SVFOP_LOCALTIMESTAMP_N:
					context->condition->uses_settings = true;
					context->condition->uses_clock = true;
					break;
				default:
					ereport(ERROR,
							(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
							 errmsg("cannot ask for the session's user or database in a condition"),
							 errdetail("A condition must mean the same in every session."),
							 parser_errposition(pstate, exprLocation(node))));
			}
			return false;

		case T_CoerceToDomain:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot cast to type %s in a condition",
							format_type_be(((CoerceToDomain *) node)->resulttype)),
					 errdetail("Casts to this type are refused because %s.",
							   "the CHECK of a domain may call any function"),
					 errhint("Have %s make the cast.", where_columns_come_from(pstate)),
					 parser_errposition(pstate, exprLocation(node))));
			break;

		case T_Aggref:
			ereport(ERROR,
					(errcode(ERRCODE_GROUPING_ERROR),
					 errmsg("cannot use an aggregate in a condition"),
					 errhint("Expose its result as a column of %s.", where_columns_come_from(pstate)),
					 parser_errposition(pstate, exprLocation(node))));
			break;

		case T_WindowFunc:
			ereport(ERROR,
					(errcode(ERRCODE_WINDOWING_ERROR),
					 errmsg("cannot use a window function in a condition"),
					 errhint("Expose its result as a column of %s.", where_columns_come_from(pstate)),
					 parser_errposition(pstate, exprLocation(node))));
			break;

		default:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot use this kind of expression in a condition"),
					 errhint("Expose its result as a column of %s.", where_columns_come_from(pstate)),
					 parser_errposition(pstate, exprLocation(node))));
			break;
	}

	return expression_tree_walker(node, check_walker, context);
}


/* --------------------------------------------------------------------
 * Compilation
 * --------------------------------------------------------------------
 */

/*
 * Make the position of an error point into the condition, not into the
 * statement that the client sent.
 */
static void
condition_error_callback(void *arg)
{
	ConditionErrorArg *error = (ConditionErrorArg *) arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(error->text);
	}
	errcontext("%s", error->what);
}

/*
 * condition_analyze
 *		Parse, analyze and check one expression over the scope's row.
 *
 * 'result_type' is what it must yield: BOOLOID for conditions.  'what' names
 * the expression in the context line of errors.  No function that the
 * condition names is run here.  Everything is allocated in the current memory
 * context.  Errors: whatever the parser raises (42601, 42703, 42883, 42804,
 * ...), 0A000, 42803, 42P20, 42P17 and 42501 for what is refused; each with the
 * position in 'text'.
 */
void
condition_analyze(ConditionScope *scope, const char *text, Oid result_type,
				  const char *what, Condition *result)
{
	ParseState *pstate = scope->pstate;
	ErrorContextCallback callback;
	ConditionErrorArg error = {text, what};
	PinnedSettings settings;

	memset(result, 0, sizeof(Condition));

	callback.callback = condition_error_callback;
	callback.arg = &error;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	settings_pin(scope->time_zone, &settings);
	PG_TRY();
	{
		Node	   *expr;
		CheckContext context = {scope, result, NULL};

		parsestate_forget_columns(pstate);
		pstate->p_sourcetext = text;
		pstate->p_next_resno = 1;
		pstate->p_paramref_hook = literal_as_param;
		pstate->p_coerce_param_hook = coerce_literal;
		pstate->p_pre_columnref_hook = scope->reads_scored ? scored_value : NULL;
		pstate->p_post_columnref_hook = scope->reads_scored ? no_scored_value : NULL;
		pstate->p_ref_hook_state = scope;
		scope->literals = NIL;

		if (strlen(text) > MAX_CONDITION_LENGTH)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("condition is longer than %d bytes",
							MAX_CONDITION_LENGTH),
					 errhint("Put long lists into a table, and join it in the model's source view.")));
		expr = parse_bare_expression(pstate, text);
		(void) raw_check_walker(expr, scope);
		expr = transformExpr(pstate, expr, EXPR_KIND_OTHER);
		if (result_type == BOOLOID)
			expr = coerce_to_boolean(pstate, expr, "condition");
		else if (result_type != InvalidOid || exprType(expr) == UNKNOWNOID)
		{
			Node	   *coerced;

			coerced = coerce_to_target_type(pstate, expr, exprType(expr),
											OidIsValid(result_type) ? result_type : TEXTOID, -1,
											COERCION_ASSIGNMENT,
											COERCE_IMPLICIT_CAST, -1);
			if (coerced == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_DATATYPE_MISMATCH),
						 errmsg("expression is of type %s but must be of type %s",
								format_type_be(exprType(expr)),
								format_type_be(result_type)),
						 errhint("Rewrite the expression, or cast it."),
						 parser_errposition(pstate, exprLocation(expr))));
			expr = coerced;
		}
		expr = restore_literals(expr, scope);
		assign_expr_collations(pstate, expr);
		if (list_length(pstate->p_rtable) != 1)
			elog(ERROR, "condition reads more than its relation");
		(void) check_walker(expr, &context);
		result->expr = (Expr *) expr;

		/* the list of columns read dies with the caller's context */
		parsestate_forget_columns(pstate);
	}
	PG_FINALLY();
	{
		settings_unpin(&settings);
	}
	PG_END_TRY();

	error_context_stack = callback.previous;
}

static Expr *
clock_param(int clock)
{
	Param	   *param = makeNode(Param);

	param->paramkind = PARAM_EXEC;
	param->paramid = clock;
	param->paramtype = TIMESTAMPTZOID;
	param->paramtypmod = -1;
	param->paramcollid = InvalidOid;
	param->location = -1;
	return (Expr *) param;
}

/*
 * A function of the clock, and then its result cut to a precision.
 */
static Node *
clock_value(Oid type, Oid function, int32 typmod, Oid cut)
{
	Expr	   *value = clock_param(CLOCK_TRANSACTION);

	if (OidIsValid(function))
		value = (Expr *) makeFuncExpr(function, type, list_make1(value),
									  InvalidOid, InvalidOid,
									  COERCE_EXPLICIT_CALL);
	if (typmod >= 0)
		value = (Expr *) makeFuncExpr(cut, type,
									  list_make2(value,
												 makeConst(INT4OID, -1, InvalidOid,
														   sizeof(int32),
														   Int32GetDatum(typmod),
														   false, true)),
									  InvalidOid, InvalidOid,
									  COERCE_EXPLICIT_CALL);
	return (Node *) value;
}

/*
 * Have a planned expression read the clock from its parameters.
 *
 * Not before planning: a parameter is no function, and the planner treats the
 * two differently.
 */
static Node *
set_clocks(Node *node, Condition *condition)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, FuncExpr))
	{
		switch (((FuncExpr *) node)->funcid)
		{
			case F_NOW:
			case F_TRANSACTION_TIMESTAMP:
				condition->uses_clock = true;
				return (Node *) clock_param(CLOCK_TRANSACTION);
			case F_STATEMENT_TIMESTAMP:
				condition->uses_clock = true;
				return (Node *) clock_param(CLOCK_STATEMENT);
			default:
				break;
		}
	}
	else if (IsA(node, SQLValueFunction))
	{
		SQLValueFunction *function = (SQLValueFunction *) node;

		condition->uses_clock = true;
		switch (function->op)
		{
			case SVFOP_CURRENT_DATE:
				return clock_value(DATEOID, F_DATE_TIMESTAMPTZ, -1, InvalidOid);
			case SVFOP_CURRENT_TIME:
			case SVFOP_CURRENT_TIME_N:
				return clock_value(TIMETZOID, F_TIMETZ_TIMESTAMPTZ,
								   function->typmod, F_TIMETZ_TIMETZ_INT4);
			case SVFOP_CURRENT_TIMESTAMP:
			case SVFOP_CURRENT_TIMESTAMP_N:
				return clock_value(TIMESTAMPTZOID, InvalidOid,
								   function->typmod,
								   F_TIMESTAMPTZ_TIMESTAMPTZ_INT4);
			case SVFOP_LOCALTIME:
			case SVFOP_LOCALTIME_N:
				return clock_value(TIMEOID, F_TIME_TIMESTAMPTZ,
								   function->typmod, F_TIME_TIME_INT4);
			case SVFOP_LOCALTIMESTAMP:
			case SVFOP_LOCALTIMESTAMP_N:
				return clock_value(TIMESTAMPOID, F_TIMESTAMP_TIMESTAMPTZ,
								   function->typmod,
								   F_TIMESTAMP_TIMESTAMP_INT4);
			default:
				elog(ERROR, "unexpected value function in a condition");
		}
	}
	return expression_tree_mutator(node, set_clocks, condition);
}

/*
 * Is a function written in something else than C?  Signature as
 * check_functions_in_node wants it.
 */
static bool
function_runs_queries(Oid funcid, void *arg)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	Form_pg_proc proc;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", funcid);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	result = proc->prolang != ClanguageId && proc->prolang != INTERNALlanguageId;
	ReleaseSysCache(tuple);

	return result;
}

/*
 * Does a planned expression call functions that the planner did not expand?
 */
static bool
query_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, function_runs_queries, NULL))
		return true;
	return expression_tree_walker(node, query_walker, context);
}

/*
 * condition_plan
 *		Make an analyzed expression ready for execution.
 *
 * The result reads the clock from its parameters; see CLOCK_TRANSACTION.
 *
 * This runs immutable functions with constant arguments.  If the condition
 * calls_user_code these may do anything a function can do, so that an error
 * may only be caught with a subtransaction.
 */
void
condition_plan(ConditionScope *scope, const char *text, const char *what,
			   Condition *result)
{
	ErrorContextCallback callback;
	ConditionErrorArg error = {text, what};
	PinnedSettings settings;

	callback.callback = condition_error_callback;
	callback.arg = &error;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	settings_pin(scope->time_zone, &settings);
	PG_TRY();
	{
		result->expr = expression_planner(result->expr);
		/* a function that was expanded may have brought a clock of its own */
		if (result->uses_clock || result->calls_user_code)
			result->expr = (Expr *) set_clocks((Node *) result->expr, result);
		result->runs_queries = result->calls_user_code ||
			query_walker((Node *) result->expr, NULL);
	}
	PG_FINALLY();
	{
		settings_unpin(&settings);
	}
	PG_END_TRY();

	error_context_stack = callback.previous;
}

/*
 * condition_is_to_blame
 *		Does an error of condition_analyze or condition_plan say something of
 *		the condition, rather than of the server, a lock or a cancel request?
 */
bool
condition_is_to_blame(int sqlerrcode)
{
	int			category = ERRCODE_TO_CATEGORY(sqlerrcode);

	return category == ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_FEATURE_NOT_SUPPORTED) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_INVALID_SCHEMA_NAME);
}
