/*-------------------------------------------------------------------------
 *
 * dispatch.c
 *	  Constant-time matching: which rules does a row make candidates?
 *
 * The top-level AND of each condition is split.  If one of its conjuncts
 * compares a key (a column, or an expression over columns that cannot fail)
 * with constants, the rule hangs under that key:
 *
 *	- key = const, key IN (...), key = a OR key = b	 in a hash table
 *	- key < const, key BETWEEN a AND b				 in a segment tree
 *	- key, NOT key, key IS TRUE, key IS FALSE		 for booleans
 *	- key IS [NOT] NULL
 *
 * so that one probe per key finds all candidate rules, however many there
 * are.  What remains of the condition is its residual, which the caller
 * evaluates on a hit.  A condition without such a conjunct hangs under each
 * arm of an OR, if all arms have one; else it is a candidate for every row.
 *
 * The promise: a rule is a candidate for every row on which its dispatched
 * conjunct is true, and for no other.  So equality by bytes is used under
 * deterministic collations only, and for every other type the hash and
 * equality functions of the condition's own operator decide.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include <math.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "conjunct.h"
#include "dispatch.h"

/*
 * A text value; bpchar without its padding.
 *
 * Labels are short: up to 16 bytes, head and tail hold all of them, so that
 * comparing needs no look at the data.
 */
typedef struct Bytes
{
	const char *data;
	int32		len;
	uint64		head;
	uint64		tail;
} Bytes;
#define BYTES_IN_ENDS 16

typedef struct IntegerEntry
{
	int64		key;
	Posting		head;
	char		status;
} IntegerEntry;

typedef struct BytesEntry
{
	Bytes		key;
	uint32		hash;
	Posting		head;
	char		status;
} BytesEntry;

typedef struct GenericEntry
{
	Datum		key;
	uint32		hash;
	Posting		head;
	char		status;
} GenericEntry;

typedef struct EqualTable EqualTable;

static inline uint32 hash_integer(int64 key);
static inline uint32 hash_bytes_key(Bytes key);
static inline bool equal_bytes_keys(Bytes a, Bytes b);
static uint32 hash_generic(EqualTable *table, Datum key);
static bool equal_generic(EqualTable *table, Datum a, Datum b);

#define SH_PREFIX integers
#define SH_ELEMENT_TYPE IntegerEntry
#define SH_KEY_TYPE int64
#define SH_KEY key
#define SH_HASH_KEY(tb, key) hash_integer(key)
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

#define SH_PREFIX bytes
#define SH_ELEMENT_TYPE BytesEntry
#define SH_KEY_TYPE Bytes
#define SH_KEY key
#define SH_HASH_KEY(tb, key) hash_bytes_key(key)
#define SH_EQUAL(tb, a, b) equal_bytes_keys(a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

#define SH_PREFIX generic
#define SH_ELEMENT_TYPE GenericEntry
#define SH_KEY_TYPE Datum
#define SH_KEY key
#define SH_HASH_KEY(tb, key) hash_generic((EqualTable *) (tb)->private_data, key)
#define SH_EQUAL(tb, a, b) equal_generic((EqualTable *) (tb)->private_data, a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a) (a)->hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct EqualTable
{
	EqualTable *next;
	KeyKind		kind;
	Oid			type;			/* decides how an integer is read */
	Oid			operator;
	Oid			collation;
	FmgrInfo	equal;			/* for KEY_GENERIC */
	FmgrInfo	hash;
	integers_hash *integers;
	bytes_hash *bytes;
	generic_hash *generic;
};

/* A boundary between two segments of a range table's values. */
typedef struct Bound
{
	int64		integer;
	Datum		datum;
	bool		after;			/* lies after the value, not before it */
} Bound;

typedef struct RangeRule
{
	int32		rule;
	bool		has_low;
	bool		has_high;
	Bound		low;
	Bound		high;
	int			first;			/* segments covered: from first to end - 1 */
	int			end;
} RangeRule;

/* Up to how many intervals may cover a segment, on the average, without a tree. */
#define MAX_FLAT_COVER 8

/*
 * The bounds of all intervals cut the values into segments.  Where few
 * intervals overlap, each segment has the chain of those that cover it.  Else
 * a segment tree over them holds each interval in O(log n) nodes, and the
 * nodes above a segment hold all intervals that cover it.
 */
typedef struct RangeTable
{
	struct RangeTable *next;
	KeyKind		kind;
	Oid			type;
	Oid			collation;
	FmgrInfo	compare;		/* for KEY_GENERIC */
	List	   *rules;			/* of RangeRule, until finished */
	bool		by_reference;	/* values may have to be detoasted */
	int			nbounds;
	Bound	   *bounds;			/* sorted, distinct */

	/*
	 * For KEY_INTEGER: the values of the bounds, all of which lie before their
	 * value; and an index into them by the higher bits, so that finding one
	 * takes a step or two however many there are.
	 */
	int64	   *integers;
	int			shift;
	uint64		nbuckets;
	int32	   *buckets;		/* number of bounds below each bucket */
	bool		flat;			/* a chain for each segment, no tree */
	Posting    *heads;			/* rules of each segment, or of each node */
	int32	   *up;				/* nearest node at or above that has rules */
} RangeTable;

/* All that hangs under one key. */
typedef struct Probe
{
	AttrNumber	attno;			/* column, or 0 for an expression */
	Node	   *key;
	ExprState  *state;
	EqualTable *equal;
	RangeTable *range;
	Posting		when_true;
	Posting		when_false;
	Posting		when_null;
	Posting		when_not_null;
} Probe;

/* What a look-up does with a value that is not null. */
typedef enum LookupKind
{
	LOOKUP_INTEGER,				/* in a hash table */
	LOOKUP_BYTES,
	LOOKUP_GENERIC,
	LOOKUP_RANGE,				/* in a segment tree */
	LOOKUP_BOOLEAN,				/* true or false? */
	LOOKUP_NOTHING				/* that it is not null is enough */
} LookupKind;

/*
 * The probes once more, flat: one entry for each table that is searched.
 */
typedef struct Lookup
{
	LookupKind	kind;
	AttrNumber	attno;			/* column, or 0 for an expression */
	bool		again;			/* same key as the look-up before */
	Oid			type;
	Posting		when_null;
	Posting		when_not_null;
	Posting		when_true;
	Posting		when_false;
	ExprState  *state;
	EqualTable *equal;
	RangeTable *range;
} Lookup;

struct Dispatch
{
	MemoryContext context;
	Lookup	   *lookups;
	int			nlookups;
	Probe	   *probes;
	int			nprobes;
	int			max_probes;
	PostingCell *cells;
	int			ncells;
	int			max_cells;
	Posting		always;			/* candidates for every row */
	int			max_heads;
};


/* --------------------------------------------------------------------
 * Keys
 * --------------------------------------------------------------------
 */

static inline uint32
hash_integer(int64 key)
{
	return (uint32) (((uint64) key * UINT64CONST(0x9E3779B97F4A7C15)) >> 32);
}

static inline uint64
mix(uint64 hash, uint64 word)
{
	hash = (hash ^ word) * UINT64CONST(0x9E3779B97F4A7C15);
	return hash ^ (hash >> 32);
}

static pg_attribute_always_inline uint32
hash_bytes_key(Bytes key)
{
	uint64		hash = mix(mix(key.len, key.head), key.tail);

	/* the eight bytes at each end are in already */
	for (int i = 8; i < key.len - 8; i += 8)
	{
		uint64		word;

		memcpy(&word, key.data + i, sizeof(word));
		hash = mix(hash, word);
	}
	return (uint32) hash;
}

static pg_attribute_always_inline bool
equal_bytes_keys(Bytes a, Bytes b)
{
	return a.len == b.len && a.head == b.head && a.tail == b.tail &&
		(a.len <= BYTES_IN_ENDS || memcmp(a.data, b.data, a.len) == 0);
}

static uint32
hash_generic(EqualTable *table, Datum key)
{
	return DatumGetUInt32(FunctionCall1Coll(&table->hash, table->collation,
											key));
}

static bool
equal_generic(EqualTable *table, Datum a, Datum b)
{
	return DatumGetBool(FunctionCall2Coll(&table->equal, table->collation,
										  a, b));
}

/*
 * Map a double to an integer of the same order, as PostgreSQL orders them:
 * minus zero equals zero, NaN equals itself and is greater than all others.
 */
static inline int64
float_to_integer(float8 value)
{
	int64		bits;

	if (unlikely(isnan(value)))
		return PG_INT64_MAX;
	if (value == 0)
		return 0;
	memcpy(&bits, &value, sizeof(bits));
	return bits >= 0 ? bits : (int64) (UINT64CONST(0x8000000000000000) - (uint64) bits);
}

/*
 * Read a value of a type that read_as_integer_type accepts.
 */
static inline int64
read_integer(Datum value, Oid type)
{
	switch (type)
	{
		case INT4OID:
		case DATEOID:
			return DatumGetInt32(value);
		case INT2OID:
			return DatumGetInt16(value);
		case INT8OID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case TIMEOID:
			return DatumGetInt64(value);
		case FLOAT8OID:
			return float_to_integer(DatumGetFloat8(value));
		case FLOAT4OID:
			return float_to_integer((float8) DatumGetFloat4(value));
		case BOOLOID:
			return DatumGetBool(value);
		default:				/* oid and enums */
			return (int64) DatumGetObjectId(value);
	}
}

/*
 * Read a text value without copying it, unless it is toasted.
 */
static pg_attribute_always_inline Bytes
read_bytes(Datum value, Oid type)
{
	struct varlena *text = (struct varlena *) DatumGetPointer(value);
	Bytes		bytes;

	if (unlikely(VARATT_IS_COMPRESSED(text) || VARATT_IS_EXTERNAL(text)))
		text = pg_detoast_datum_packed(text);
	bytes.data = VARDATA_ANY(text);
	bytes.len = VARSIZE_ANY_EXHDR(text);
	if (type == BPCHAROID)
	{
		while (bytes.len > 0 && bytes.data[bytes.len - 1] == ' ')
			bytes.len--;
	}

	/* the first and the last bytes; short values have them twice */
	if (bytes.len >= 8)
	{
		memcpy(&bytes.head, bytes.data, 8);
		memcpy(&bytes.tail, bytes.data + bytes.len - 8, 8);
	}
	else if (bytes.len >= 4)
	{
		uint32		head;
		uint32		tail;

		memcpy(&head, bytes.data, 4);
		memcpy(&tail, bytes.data + bytes.len - 4, 4);
		bytes.head = head;
		bytes.tail = tail;
	}
	else
	{
		bytes.head = 0;
		for (int i = 0; i < bytes.len; i++)
			bytes.head = (bytes.head << 8) | (unsigned char) bytes.data[i];
		bytes.tail = 0;
	}
	return bytes;
}


/* --------------------------------------------------------------------
 * Building
 * --------------------------------------------------------------------
 */

/*
 * dispatch_create
 *		An empty dispatch, in the current memory context.
 */
Dispatch *
dispatch_create(void)
{
	Dispatch   *dispatch = palloc0(sizeof(Dispatch));

	dispatch->context = CurrentMemoryContext;
	dispatch->max_probes = 8;
	dispatch->probes = palloc(sizeof(Probe) * dispatch->max_probes);
	dispatch->max_cells = 64;
	dispatch->cells = palloc(sizeof(PostingCell) * dispatch->max_cells);
	dispatch->always = NO_POSTING;

	return dispatch;
}

/*
 * Put a rule in front of a chain.
 */
static void
post(Dispatch *dispatch, Posting *head, int32 rule)
{
	PostingCell *cell;

	if (dispatch->ncells == dispatch->max_cells)
	{
		dispatch->max_cells *= 2;
		dispatch->cells = repalloc_huge(dispatch->cells,
										sizeof(PostingCell) * (Size) dispatch->max_cells);
	}
	cell = &dispatch->cells[dispatch->ncells];
	cell->rule = rule;
	cell->next = *head;
	*head = dispatch->ncells++;
}

static Probe *
find_probe(Dispatch *dispatch, Node *key)
{
	Probe	   *probe;

	for (int i = 0; i < dispatch->nprobes; i++)
	{
		probe = &dispatch->probes[i];
		if (IsA(key, Var) ?
			probe->attno == ((Var *) key)->varattno :
			(probe->attno == 0 && equal(probe->key, key)))
			return probe;
	}

	if (dispatch->nprobes == dispatch->max_probes)
	{
		dispatch->max_probes *= 2;
		dispatch->probes = repalloc(dispatch->probes,
									sizeof(Probe) * dispatch->max_probes);
	}
	probe = &dispatch->probes[dispatch->nprobes++];
	memset(probe, 0, sizeof(Probe));
	if (IsA(key, Var))
		probe->attno = ((Var *) key)->varattno;
	else
	{
		probe->key = copyObject(key);
		probe->state = ExecInitExpr((Expr *) probe->key, NULL);
	}
	probe->when_true = probe->when_false = NO_POSTING;
	probe->when_null = probe->when_not_null = NO_POSTING;
	return probe;
}

static EqualTable *
find_equal_table(Dispatch *dispatch, Probe *probe, const Handle *handle)
{
	EqualTable *table;

	for (table = probe->equal; table != NULL; table = table->next)
	{
		if (table->kind != handle->key_kind || table->type != handle->type)
			continue;
		if (table->kind != KEY_GENERIC ||
			(table->operator == handle->operator &&
			 table->collation == handle->collation))
			return table;
	}

	table = palloc0(sizeof(EqualTable));
	table->kind = handle->key_kind;
	table->type = handle->type;
	table->operator = handle->operator;
	table->collation = handle->collation;
	switch (table->kind)
	{
		case KEY_INTEGER:
			table->integers = integers_create(dispatch->context, 16, NULL);
			break;
		case KEY_BYTES:
			table->bytes = bytes_create(dispatch->context, 16, NULL);
			break;
		case KEY_GENERIC:
			{
				RegProcedure left_hash;
				RegProcedure right_hash;

				if (!get_op_hash_functions(handle->operator,
										   &left_hash, &right_hash))
					elog(ERROR, "could not find hash function for operator %u",
						 handle->operator);
				fmgr_info_cxt(left_hash, &table->hash, dispatch->context);
				fmgr_info_cxt(get_opcode(handle->operator), &table->equal,
							  dispatch->context);
				table->generic = generic_create(dispatch->context, 16, table);
				break;
			}
	}
	table->next = probe->equal;
	probe->equal = table;
	return table;
}

/*
 * Hang a rule under "key = value".
 */
static void
add_equal(Dispatch *dispatch, EqualTable *table, Const *value, int32 rule)
{
	Posting    *head = NULL;
	bool		found = false;

	switch (table->kind)
	{
		case KEY_INTEGER:
			{
				/* the constant may be of another type of the family */
				Oid			type = reads_as_integer(value->consttype) ?
					value->consttype : table->type;
				IntegerEntry *entry;

				entry = integers_insert(table->integers,
										read_integer(value->constvalue, type),
										&found);
				head = &entry->head;
				break;
			}
		case KEY_BYTES:
			{
				Bytes		key = read_bytes(value->constvalue, table->type);
				BytesEntry *entry;

				entry = bytes_insert(table->bytes, key, &found);
				if (!found)
				{
					char	   *copy = palloc(key.len + 1);

					memcpy(copy, key.data, key.len);
					entry->key.data = copy;
				}
				head = &entry->head;
				break;
			}
		case KEY_GENERIC:
			{
				GenericEntry *entry;

				entry = generic_insert(table->generic, value->constvalue, &found);
				if (!found)
					entry->key = datumCopy(value->constvalue,
										   value->constbyval, value->constlen);
				head = &entry->head;
				break;
			}
	}
	if (!found)
		*head = NO_POSTING;

	/* the list of an IN may hold a value twice */
	if (*head != NO_POSTING && dispatch->cells[*head].rule == rule)
		return;
	post(dispatch, head, rule);
}

static RangeTable *
find_range_table(Dispatch *dispatch, Probe *probe, const Handle *handle)
{
	RangeTable *table;

	for (table = probe->range; table != NULL; table = table->next)
	{
		if (table->kind == handle->key_kind && table->type == handle->type &&
			table->collation == handle->collation)
			return table;
	}

	table = palloc0(sizeof(RangeTable));
	table->kind = handle->key_kind;
	table->type = handle->type;
	table->collation = handle->collation;
	if (table->kind == KEY_GENERIC)
	{
		TypeCacheEntry *entry = lookup_type_cache(handle->type,
												  TYPECACHE_CMP_PROC);

		fmgr_info_cxt(entry->cmp_proc, &table->compare, dispatch->context);
		table->by_reference = entry->typlen == -1;
	}
	table->next = probe->range;
	probe->range = table;
	return table;
}

/*
 * Set one bound of a range; false if nothing lies beyond it.
 *
 * There is no integer between v and v + 1, so for integers what lies after v
 * lies before v + 1, and adjacent intervals share a bound.
 */
static bool
set_range_bound(RangeTable *table, Bound *bound, Const *value, bool after)
{
	bound->after = after;
	if (table->kind == KEY_INTEGER)
	{
		bound->integer = read_integer(value->constvalue,
									  reads_as_integer(value->consttype) ?
									  value->consttype : table->type);
		if (after)
		{
			if (bound->integer == PG_INT64_MAX)
				return false;
			bound->integer++;
			bound->after = false;
		}
	}
	else
		bound->datum = datumCopy(value->constvalue, value->constbyval,
								 value->constlen);
	return true;
}

/*
 * Hang a rule on a handle.
 */
static void
hang_rule(Dispatch *dispatch, int32 rule, const Handle *handle)
{
	MemoryContext caller = MemoryContextSwitchTo(dispatch->context);
	Probe	   *probe = find_probe(dispatch, handle->key);
	ListCell   *lc;

	switch (handle->kind)
	{
		case HANDLE_EQUAL:
			{
				EqualTable *table = find_equal_table(dispatch, probe, handle);

				foreach(lc, handle->values)
					add_equal(dispatch, table, lfirst_node(Const, lc), rule);
				break;
			}
		case HANDLE_RANGE:
			{
				RangeTable *table = find_range_table(dispatch, probe, handle);
				RangeRule  *range = palloc0(sizeof(RangeRule));

				range->rule = rule;
				range->has_low = handle->low != NULL;
				if (handle->low &&
					!set_range_bound(table, &range->low, handle->low,
									 handle->low_excluded))
					break;		/* an empty range */
				if (handle->high)
					range->has_high = set_range_bound(table, &range->high,
													  handle->high,
													  !handle->high_excluded);
				table->rules = lappend(table->rules, range);
				break;
			}
		case HANDLE_TRUE:
			post(dispatch, &probe->when_true, rule);
			break;
		case HANDLE_FALSE:
			post(dispatch, &probe->when_false, rule);
			break;
		case HANDLE_NULL:
			post(dispatch, &probe->when_null, rule);
			break;
		case HANDLE_NOT_NULL:
			post(dispatch, &probe->when_not_null, rule);
			break;
	}
	MemoryContextSwitchTo(caller);
}

/*
 * dispatch_add_rule
 *		Hang a rule where rows that may match it will find it.
 *
 * 'condition' is planned.  Returns the residual: the conjuncts that a
 * candidate must still satisfy, NIL if none.  A rule that hangs in
 * 'several' places may be found more than once for a row.
 */
List *
dispatch_add_rule(Dispatch *dispatch, int32 rule, Expr *condition, bool *several)
{
	List	   *conjuncts = make_ands_implicit(condition);
	Handle		handle;
	List	   *used;
	List	   *alternatives;
	ListCell   *lc;

	*several = false;

	/* a constant that is not true: the rule never matches */
	foreach(lc, conjuncts)
	{
		if (IsA(lfirst(lc), Const))
			return NIL;
	}

	if (find_handle(conjuncts, &handle, &used))
	{
		hang_rule(dispatch, rule, &handle);
		return list_difference_ptr(conjuncts, used);
	}

	/* one arm of an OR must hold, and then all of the condition */
	alternatives = find_alternatives(conjuncts);
	if (alternatives != NIL)
	{
		foreach(lc, alternatives)
			hang_rule(dispatch, rule, (Handle *) lfirst(lc));
		*several = true;
		return conjuncts;
	}

	{
		MemoryContext caller = MemoryContextSwitchTo(dispatch->context);

		post(dispatch, &dispatch->always, rule);
		MemoryContextSwitchTo(caller);
	}
	return conjuncts;
}

static int
compare_bounds(const void *a, const void *b, void *arg)
{
	const Bound *left = (const Bound *) a;
	const Bound *right = (const Bound *) b;
	RangeTable *table = (RangeTable *) arg;
	int			result;

	if (table->kind == KEY_INTEGER)
		result = (left->integer > right->integer) - (left->integer < right->integer);
	else
		result = DatumGetInt32(FunctionCall2Coll(&table->compare,
												 table->collation,
												 left->datum, right->datum));
	if (result == 0)
		result = (int) left->after - (int) right->after;
	return result;
}

static int
find_bound(RangeTable *table, const Bound *bound)
{
	Bound	   *found = bsearch_arg(bound, table->bounds, table->nbounds,
									sizeof(Bound), compare_bounds, table);

	return found - table->bounds;
}

/*
 * Put the bounds of a range table of integers into buckets, by the higher bits
 * of their distance from the lowest: two or more buckets for a bound.
 */
static void
index_integers(RangeTable *table)
{
	uint64		width;
	int			bound = 0;

	table->integers = palloc(sizeof(int64) * table->nbounds);
	for (int i = 0; i < table->nbounds; i++)
		table->integers[i] = table->bounds[i].integer;

	width = (uint64) table->integers[table->nbounds - 1] - (uint64) table->integers[0];
	table->shift = 0;
	while ((width >> table->shift) >= 4 * (uint64) table->nbounds)
		table->shift++;
	table->nbuckets = (width >> table->shift) + 1;
	table->buckets = palloc(sizeof(int32) * (table->nbuckets + 1));
	for (uint64 bucket = 0; bucket < table->nbuckets; bucket++)
	{
		while (bound < table->nbounds &&
			   (((uint64) table->integers[bound] - (uint64) table->integers[0]) >> table->shift) < bucket)
			bound++;
		table->buckets[bucket] = bound;
	}
	table->buckets[table->nbuckets] = table->nbounds;
}

/*
 * Cut the values of a range table into segments, and find out which rules
 * cover each of them.
 *
 * Bound i separates segment i from segment i + 1.  In the tree leaf nodes follow
 * the inner ones, and the parent of node n is n / 2.
 */
static void
finish_range_table(Dispatch *dispatch, RangeTable *table)
{
	int			nsegments;
	int			nbounds = 0;
	uint64		covered = 0;
	ListCell   *lc;

	table->bounds = palloc(sizeof(Bound) * 2 * (list_length(table->rules) + 1));
	foreach(lc, table->rules)
	{
		RangeRule  *range = (RangeRule *) lfirst(lc);

		if (range->has_low)
			table->bounds[nbounds++] = range->low;
		if (range->has_high)
			table->bounds[nbounds++] = range->high;
	}
	qsort_arg(table->bounds, nbounds, sizeof(Bound), compare_bounds, table);
	table->nbounds = 0;
	for (int i = 0; i < nbounds; i++)
	{
		if (table->nbounds == 0 ||
			compare_bounds(&table->bounds[table->nbounds - 1],
						   &table->bounds[i], table) != 0)
			table->bounds[table->nbounds++] = table->bounds[i];
	}
	if (table->kind == KEY_INTEGER && table->nbounds > 0)
		index_integers(table);

	nsegments = table->nbounds + 1;
	foreach(lc, table->rules)
	{
		RangeRule  *range = (RangeRule *) lfirst(lc);

		range->first = range->has_low ? find_bound(table, &range->low) + 1 : 0;
		range->end = range->has_high ? find_bound(table, &range->high) + 1 : nsegments;
		/* an empty range has its bounds the wrong way round */
		if (range->first < range->end)
			covered += range->end - range->first;
		else
			range->end = range->first;
	}

	table->flat = covered <= MAX_FLAT_COVER * ((uint64) nsegments + 8);
	if (table->flat)
	{
		table->heads = palloc(sizeof(Posting) * nsegments);
		for (int i = 0; i < nsegments; i++)
			table->heads[i] = NO_POSTING;
		foreach(lc, table->rules)
		{
			RangeRule  *range = (RangeRule *) lfirst(lc);

			for (int i = range->first; i < range->end; i++)
				post(dispatch, &table->heads[i], range->rule);
		}
		dispatch->max_heads++;
	}
	else
	{
		table->heads = palloc(sizeof(Posting) * 2 * nsegments);
		table->up = palloc0(sizeof(int32) * 2 * nsegments);
		for (int i = 0; i < 2 * nsegments; i++)
			table->heads[i] = NO_POSTING;
		foreach(lc, table->rules)
		{
			RangeRule  *range = (RangeRule *) lfirst(lc);
			int			left = range->first + nsegments;
			int			right = range->end + nsegments;

			for (; left < right; left /= 2, right /= 2)
			{
				if (left & 1)
					post(dispatch, &table->heads[left++], range->rule);
				if (right & 1)
					post(dispatch, &table->heads[--right], range->rule);
			}
		}
		for (int i = 1; i < 2 * nsegments; i++)
			table->up[i] = table->heads[i] != NO_POSTING ? i : table->up[i / 2];
		/* one chain for each node from a leaf to the root */
		for (int n = 2 * nsegments; n > 0; n /= 2)
			dispatch->max_heads++;
	}
	list_free_deep(table->rules);
	table->rules = NIL;
}

/*
 * Note one look-up of a probe.
 */
static Lookup *
add_lookup(Dispatch *dispatch, const Probe *probe, LookupKind kind)
{
	Lookup	   *lookup = &dispatch->lookups[dispatch->nlookups];

	memset(lookup, 0, sizeof(Lookup));
	lookup->kind = kind;
	lookup->attno = probe->attno;
	lookup->state = probe->state;
	lookup->when_null = probe->when_null;
	lookup->when_not_null = probe->when_not_null;
	lookup->when_true = lookup->when_false = NO_POSTING;

	/* chains for null and not null belong to the first look-up of a key */
	if (dispatch->nlookups > 0)
	{
		const Lookup *before = lookup - 1;

		lookup->again = before->attno == probe->attno &&
			before->state == probe->state;
	}
	if (lookup->again)
		lookup->when_null = lookup->when_not_null = NO_POSTING;
	dispatch->nlookups++;
	return lookup;
}

/*
 * dispatch_finish
 *		All rules are in; get ready for look-ups.
 */
void
dispatch_finish(Dispatch *dispatch)
{
	MemoryContext caller = MemoryContextSwitchTo(dispatch->context);
	int			max_lookups = 0;

	dispatch->max_heads = 1;
	for (int i = 0; i < dispatch->nprobes; i++)
	{
		Probe	   *probe = &dispatch->probes[i];

		/* null, not null, and true or false */
		dispatch->max_heads += 3;
		max_lookups++;
		for (EqualTable *equal = probe->equal; equal; equal = equal->next)
		{
			dispatch->max_heads++;
			max_lookups++;
		}
		for (RangeTable *range = probe->range; range; range = range->next)
		{
			finish_range_table(dispatch, range);
			max_lookups++;
		}
	}

	dispatch->lookups = palloc(sizeof(Lookup) * (max_lookups + 1));
	for (int i = 0; i < dispatch->nprobes; i++)
	{
		const Probe *probe = &dispatch->probes[i];
		Lookup	   *lookup;

		for (EqualTable *equal = probe->equal; equal; equal = equal->next)
		{
			lookup = add_lookup(dispatch, probe,
								equal->kind == KEY_INTEGER ? LOOKUP_INTEGER :
								equal->kind == KEY_BYTES ? LOOKUP_BYTES :
								LOOKUP_GENERIC);
			lookup->type = equal->type;
			lookup->equal = equal;
		}
		for (RangeTable *range = probe->range; range; range = range->next)
		{
			lookup = add_lookup(dispatch, probe, LOOKUP_RANGE);
			lookup->range = range;
		}
		if (probe->when_true != NO_POSTING || probe->when_false != NO_POSTING)
		{
			lookup = add_lookup(dispatch, probe, LOOKUP_BOOLEAN);
			lookup->when_true = probe->when_true;
			lookup->when_false = probe->when_false;
		}
		else if (probe->equal == NULL && probe->range == NULL)
			(void) add_lookup(dispatch, probe, LOOKUP_NOTHING);
	}
	MemoryContextSwitchTo(caller);
}


/* --------------------------------------------------------------------
 * Looking up
 * --------------------------------------------------------------------
 */

/*
 * The number of bounds that lie before a value is the number of its segment.
 */
static inline int
find_segment(const RangeTable *table, Datum value)
{
	int			low = 0;
	int			high = table->nbounds;

	if (table->kind == KEY_INTEGER)
	{
		int64		integer = read_integer(value, table->type);
		uint64		bucket;

		if (high == 0 || integer < table->integers[0])
			return 0;
		bucket = ((uint64) integer - (uint64) table->integers[0]) >> table->shift;
		if (bucket >= table->nbuckets)
			return high;
		low = table->buckets[bucket];
		high = table->buckets[bucket + 1];
		while (low < high)
		{
			int			middle = (low + high) / 2;

			if (table->integers[middle] <= integer)
				low = middle + 1;
			else
				high = middle;
		}
		return low;
	}

	/* once here rather than in each comparison */
	if (table->by_reference)
		value = PointerGetDatum(PG_DETOAST_DATUM(value));
	while (low < high)
	{
		int			middle = (low + high) / 2;
		const Bound *bound = &table->bounds[middle];
		int			order;

		order = DatumGetInt32(FunctionCall2Coll(unconstify(FmgrInfo *, &table->compare),
												table->collation,
												bound->datum, value));
		if (order < 0 || (order == 0 && !bound->after))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * dispatch_lookup
 *		Find the chains of candidate rules for a row.
 *
 * The slot's values must be filled in for every column that a condition
 * reads.  Writes at most dispatch_max_heads() chain heads to 'heads' and
 * returns how many.
 */
int
dispatch_lookup(const Dispatch *dispatch, TupleTableSlot *slot,
				ExprContext *econtext, Posting *heads)
{
	const Lookup *end = dispatch->lookups + dispatch->nlookups;
	Datum	   *values = slot->tts_values;
	bool	   *nulls = slot->tts_isnull;
	Datum		value = (Datum) 0;
	bool		isnull = true;
	int			n = 0;

	if (dispatch->always != NO_POSTING)
		heads[n++] = dispatch->always;

	for (const Lookup *lookup = dispatch->lookups; lookup < end; lookup++)
	{
		Posting		head = NO_POSTING;

		if (likely(lookup->attno > 0))
		{
			value = values[lookup->attno - 1];
			isnull = nulls[lookup->attno - 1];
		}
		else if (!lookup->again)
			value = ExecEvalExpr(lookup->state, econtext, &isnull);

		if (isnull)
		{
			if (lookup->when_null != NO_POSTING)
				heads[n++] = lookup->when_null;
			continue;
		}
		if (lookup->when_not_null != NO_POSTING)
			heads[n++] = lookup->when_not_null;

		switch (lookup->kind)
		{
			case LOOKUP_BYTES:
				{
					BytesEntry *entry;

					entry = bytes_lookup(lookup->equal->bytes,
										 read_bytes(value, lookup->type));
					if (entry != NULL)
						head = entry->head;
					break;
				}
			case LOOKUP_INTEGER:
				{
					IntegerEntry *entry;

					entry = integers_lookup(lookup->equal->integers,
											read_integer(value, lookup->type));
					if (entry != NULL)
						head = entry->head;
					break;
				}
			case LOOKUP_GENERIC:
				{
					GenericEntry *entry;

					entry = generic_lookup(lookup->equal->generic, value);
					if (entry != NULL)
						head = entry->head;
					break;
				}
			case LOOKUP_RANGE:
				{
					const RangeTable *range = lookup->range;
					int			segment = find_segment(range, value);

					if (range->flat)
						head = range->heads[segment];
					else
					{
						int			node = range->up[segment + range->nbounds + 1];

						for (; node != 0; node = range->up[node / 2])
							heads[n++] = range->heads[node];
					}
					break;
				}
			case LOOKUP_BOOLEAN:
				head = DatumGetBool(value) ? lookup->when_true : lookup->when_false;
				break;
			case LOOKUP_NOTHING:
				break;
		}
		if (head != NO_POSTING)
			heads[n++] = head;
	}

	return n;
}

/*
 * dispatch_visit_chains
 *		Show every chain that a look-up may find to 'visit', with the number
 *		of its group.  A row finds at most one chain of each group; group -1
 *		makes no such promise.
 */
void
dispatch_visit_chains(const Dispatch *dispatch,
					  void (*visit) (void *arg, Posting head, int group),
					  void *arg)
{
	int			group = 0;

	if (dispatch->always != NO_POSTING)
		visit(arg, dispatch->always, -1);
	for (int i = 0; i < dispatch->nprobes; i++)
	{
		const Probe *probe = &dispatch->probes[i];

		for (EqualTable *equal = probe->equal; equal; equal = equal->next)
		{
			switch (equal->kind)
			{
				case KEY_INTEGER:
					{
						integers_iterator iterator;
						IntegerEntry *entry;

						integers_start_iterate(equal->integers, &iterator);
						while ((entry = integers_iterate(equal->integers, &iterator)))
							visit(arg, entry->head, group);
						break;
					}
				case KEY_BYTES:
					{
						bytes_iterator iterator;
						BytesEntry *entry;

						bytes_start_iterate(equal->bytes, &iterator);
						while ((entry = bytes_iterate(equal->bytes, &iterator)))
							visit(arg, entry->head, group);
						break;
					}
				case KEY_GENERIC:
					{
						generic_iterator iterator;
						GenericEntry *entry;

						generic_start_iterate(equal->generic, &iterator);
						while ((entry = generic_iterate(equal->generic, &iterator)))
							visit(arg, entry->head, group);
						break;
					}
			}
			group++;
		}
		for (RangeTable *range = probe->range; range; range = range->next)
		{
			int			nheads = (range->flat ? 1 : 2) * (range->nbounds + 1);

			for (int i_head = 0; i_head < nheads; i_head++)
			{
				if (range->heads[i_head] != NO_POSTING)
					visit(arg, range->heads[i_head], range->flat ? group : -1);
			}
			group++;
		}
		if (probe->when_true != NO_POSTING)
			visit(arg, probe->when_true, group);
		if (probe->when_false != NO_POSTING)
			visit(arg, probe->when_false, group);
		if (probe->when_null != NO_POSTING)
			visit(arg, probe->when_null, group);
		group++;
		if (probe->when_not_null != NO_POSTING)
			visit(arg, probe->when_not_null, group++);
	}
}

int
dispatch_ncells(const Dispatch *dispatch)
{
	return dispatch->ncells;
}

int
dispatch_max_heads(const Dispatch *dispatch)
{
	return dispatch->max_heads;
}

const PostingCell *
dispatch_cells(const Dispatch *dispatch)
{
	return dispatch->cells;
}
