/*-------------------------------------------------------------------------
 *
 * lead_stage.c
 *	  The type lead_stage: where a lead stands in the funnel.
 *
 * Promises:
 *
 * - The vocabulary is fixed and lives in this file, not in a table or in
 *	 pg_enum.  Input, output and comparison are therefore immutable, dumps
 *	 restore in any order, and an index stays valid.
 * - A value is two bytes, passed by value; its order is the order of the
 *	 numbers in lead_stage.h, which never change.
 * - Equal stages have equal bits, whatever spelling they came from.
 * - Nothing here depends on locale, encoding or any setting.
 *
 * What an organisation calls its stages, and which of them it uses, is data
 * (stage map and transition table), not a matter for this type.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/sortsupport.h"

#include "compat.h"
#include "lead_stage.h"

#define LEAD_STAGE_TYPE_NAME	"lead_stage"

/*
 * One word of the vocabulary.  The label is what output prints; the long
 * label is for people.  Input reads both.
 */
typedef struct StageWord
{
	LeadStage	stage;
	const char *label;
	const char *long_label;
} StageWord;

/* The vocabulary, in ascending order. */
static const StageWord vocabulary[] = {
	{LEAD_STAGE_DISQUALIFIED, "disqualified", "Disqualified"},
	{LEAD_STAGE_LOST, "lost", "Lost"},
	{LEAD_STAGE_NURTURE, "nurture", "Nurture"},
	{LEAD_STAGE_VISITOR, "visitor", "Visitor"},
	{LEAD_STAGE_SUBSCRIBER, "subscriber", "Subscriber"},
	{LEAD_STAGE_CONTACT, "contact", "Contact"},
	{LEAD_STAGE_LEAD, "lead", "Lead"},
	{LEAD_STAGE_PROSPECT, "prospect", "Prospect"},
	{LEAD_STAGE_MQL, "mql", "Marketing Qualified Lead"},
	{LEAD_STAGE_PQL, "pql", "Product Qualified Lead"},
	{LEAD_STAGE_SAL, "sal", "Sales Accepted Lead"},
	{LEAD_STAGE_SQL, "sql", "Sales Qualified Lead"},
	{LEAD_STAGE_OPPORTUNITY, "opportunity", "Opportunity"},
	{LEAD_STAGE_CUSTOMER, "customer", "Customer"},
	{LEAD_STAGE_ADVOCATE, "advocate", "Advocate"},
};

#define VOCABULARY_SIZE		lengthof(vocabulary)

PG_FUNCTION_INFO_V1(lead_stage_in);
PG_FUNCTION_INFO_V1(lead_stage_out);
PG_FUNCTION_INFO_V1(lead_stage_recv);
PG_FUNCTION_INFO_V1(lead_stage_send);
PG_FUNCTION_INFO_V1(lead_stage_lt);
PG_FUNCTION_INFO_V1(lead_stage_le);
PG_FUNCTION_INFO_V1(lead_stage_eq);
PG_FUNCTION_INFO_V1(lead_stage_ne);
PG_FUNCTION_INFO_V1(lead_stage_ge);
PG_FUNCTION_INFO_V1(lead_stage_gt);
PG_FUNCTION_INFO_V1(lead_stage_cmp);
PG_FUNCTION_INFO_V1(lead_stage_sortsupport);
PG_FUNCTION_INFO_V1(lead_stage_hash);
PG_FUNCTION_INFO_V1(lead_stage_hash_extended);
PG_FUNCTION_INFO_V1(lead_stage_smaller);
PG_FUNCTION_INFO_V1(lead_stage_larger);
PG_FUNCTION_INFO_V1(lead_stage_to_text);
PG_FUNCTION_INFO_V1(lead_stage_to_int2);
PG_FUNCTION_INFO_V1(lead_stage_to_int4);
PG_FUNCTION_INFO_V1(lead_stage_is_exit);
PG_FUNCTION_INFO_V1(lead_stage_is_qualified);
PG_FUNCTION_INFO_V1(lead_stage_is_customer);
PG_FUNCTION_INFO_V1(lead_stage_to_label);
PG_FUNCTION_INFO_V1(lead_stage_list);


/*
 * Parsing
 *
 * These functions call nothing of the server, so that a fuzzer can run them
 * alone.  They know ASCII only: lower-casing by locale would make the meaning
 * of an input depend on the database (think of the Turkish dotless i), and no
 * byte of a multibyte character is mistaken for one of ours, since in a
 * server encoding those all have the high bit set.
 */

static inline bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline char
ascii_tolower(char c)
{
	return (c >= 'A' && c <= 'Z') ? (char) (c + ('a' - 'A')) : c;
}

/*
 * Does [str, end) spell this word of the vocabulary?
 *
 * A space in the word stands for any run of blanks, underscores and hyphens,
 * and for nothing at all: CRMs write "Marketing Qualified Lead",
 * "marketing_qualified_lead", "marketing-qualified lead" and
 * "marketingqualifiedlead".
 */
static bool
spells(const char *str, const char *end, const char *word)
{
	for (; *word != '\0'; word++)
	{
		if (*word == ' ')
		{
			while (str < end && (is_blank(*str) || *str == '_' || *str == '-'))
				str++;
		}
		else
		{
			if (str == end || ascii_tolower(*str) != ascii_tolower(*word))
				return false;
			str++;
		}
	}

	return str == end;
}

/*
 * lead_stage_parse
 *		Read a stage from len bytes at str, which need no terminator.
 *
 * Case and surrounding blanks do not matter; both the label and the long
 * label will do.  Returns false, with *stage untouched, if it is no stage.
 */
bool
lead_stage_parse(const char *str, size_t len, LeadStage *stage)
{
	const char *end = str + len;

	while (str < end && is_blank(*str))
		str++;
	while (str < end && is_blank(end[-1]))
		end--;

	for (size_t i = 0; i < VOCABULARY_SIZE; i++)
	{
		const StageWord *word = &vocabulary[i];

		if (spells(str, end, word->label) ||
			spells(str, end, word->long_label))
		{
			*stage = word->stage;
			return true;
		}
	}

	return false;
}


/*
 * Printing
 */

/*
 * Find the word for a stage.
 *
 * No input yields a number without a word, but a damaged page may hold one,
 * and so may a table written by a later version of the extension.  Comparing
 * such a value is harmless; naming it is an error.
 */
static const StageWord *
stage_word(LeadStage stage)
{
	for (size_t i = 0; i < VOCABULARY_SIZE; i++)
	{
		if (vocabulary[i].stage == stage)
			return &vocabulary[i];
	}

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid internal value for type %s: %d",
					LEAD_STAGE_TYPE_NAME, stage)));
}

/*
 * lead_stage_label
 *		The short lower-case label, as output prints it.  Static storage.
 */
const char *
lead_stage_label(LeadStage stage)
{
	return stage_word(stage)->label;
}

/*
 * lead_stage_long_label
 *		The English name for people to read.  Static storage.
 */
const char *
lead_stage_long_label(LeadStage stage)
{
	return stage_word(stage)->long_label;
}

/*
 * The labels for an error hint, in order.  Palloc'd.
 */
static char *
list_of_labels(void)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (size_t i = 0; i < VOCABULARY_SIZE; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", vocabulary[i].label);

	return buf.data;
}


/*
 * Input and output
 */

/*
 * lead_stage_in(cstring) returns lead_stage
 *		Error: invalid_text_representation (22P02); soft from PostgreSQL 16.
 */
Datum
lead_stage_in(PG_FUNCTION_ARGS)
{
	char	   *str = PG_GETARG_CSTRING(0);
	LeadStage	stage;

	if (!lead_stage_parse(str, strlen(str), &stage))
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input value for type %s: \"%s\"",
						LEAD_STAGE_TYPE_NAME, str),
				 errhint("Valid values are %s.", list_of_labels())));

	PG_RETURN_LEAD_STAGE(stage);
}

/*
 * lead_stage_out(lead_stage) returns cstring
 *		The label.  The same in every locale and version.
 */
Datum
lead_stage_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(pstrdup(lead_stage_label(PG_GETARG_LEAD_STAGE(0))));
}

/*
 * lead_stage_recv(internal) returns lead_stage
 *		Error: invalid_binary_representation (22P03).
 *
 * The binary form is the text form, as it is for enums.  The number would be
 * two bytes, but it means nothing to a client that does not carry our table,
 * drivers that meet an unknown type in binary take it for text, and a number
 * from a version to come could be stored without anyone noticing, where a
 * label is refused.  All that input reads is read here too.
 */
Datum
lead_stage_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	LeadStage	stage;
	char	   *str;
	int			nbytes;

	str = pq_getmsgtext(buf, buf->len - buf->cursor, &nbytes);

	if (!lead_stage_parse(str, (size_t) nbytes, &stage))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid external \"%s\" value: \"%s\"",
						LEAD_STAGE_TYPE_NAME, str),
				 errhint("Valid values are %s.", list_of_labels())));

	pfree(str);

	PG_RETURN_LEAD_STAGE(stage);
}

/*
 * lead_stage_send(lead_stage) returns bytea
 *		The label, without terminator; see lead_stage_recv.
 */
Datum
lead_stage_send(PG_FUNCTION_ARGS)
{
	const char *label = lead_stage_label(PG_GETARG_LEAD_STAGE(0));
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendtext(&buf, label, (int) strlen(label));

	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}


/*
 * Comparison
 *
 * None of these can fail, whatever the bits, and the SQL script says so by
 * calling them LEAKPROOF: under row-level security a condition on the stage
 * may then use an index.
 */

/* lead_stage < lead_stage */
Datum
lead_stage_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_LEAD_STAGE(0) < PG_GETARG_LEAD_STAGE(1));
}

/* lead_stage <= lead_stage */
Datum
lead_stage_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_LEAD_STAGE(0) <= PG_GETARG_LEAD_STAGE(1));
}

/* lead_stage = lead_stage */
Datum
lead_stage_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_LEAD_STAGE(0) == PG_GETARG_LEAD_STAGE(1));
}

/* lead_stage <> lead_stage */
Datum
lead_stage_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_LEAD_STAGE(0) != PG_GETARG_LEAD_STAGE(1));
}

/* lead_stage >= lead_stage */
Datum
lead_stage_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_LEAD_STAGE(0) >= PG_GETARG_LEAD_STAGE(1));
}

/* lead_stage > lead_stage */
Datum
lead_stage_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_LEAD_STAGE(0) > PG_GETARG_LEAD_STAGE(1));
}

/*
 * lead_stage_cmp(lead_stage, lead_stage) returns int4
 *		Negative, zero or positive; btree support function 1.
 */
Datum
lead_stage_cmp(PG_FUNCTION_ARGS)
{
	/* the difference of two int16 fits an int32 */
	PG_RETURN_INT32((int32) PG_GETARG_LEAD_STAGE(0) -
					(int32) PG_GETARG_LEAD_STAGE(1));
}

/*
 * lead_stage_sortsupport(internal) returns void
 *		Btree support function 2.
 *
 * A Datum of a two-byte type is sign-extended wherever it is made, so it
 * compares as an int32; and that comparator is one for which the server has
 * its sort inlined, which it has not for one of ours.
 */
Datum
lead_stage_sortsupport(PG_FUNCTION_ARGS)
{
	SortSupport ssup = (SortSupport) PG_GETARG_POINTER(0);

	ssup->comparator = ssup_datum_int32_cmp;

	PG_RETURN_VOID();
}

/*
 * lead_stage_hash(lead_stage) returns int4
 *		Hash support function 1.  Hash partitions depend on it: never change.
 */
Datum
lead_stage_hash(PG_FUNCTION_ARGS)
{
	LeadStage	stage = PG_GETARG_LEAD_STAGE(0);

	PG_RETURN_UINT32(hash_bytes_uint32((uint32) stage));
}

/*
 * lead_stage_hash_extended(lead_stage, int8) returns int8
 *		Hash support function 2; with seed 0 the low half is lead_stage_hash.
 */
Datum
lead_stage_hash_extended(PG_FUNCTION_ARGS)
{
	LeadStage	stage = PG_GETARG_LEAD_STAGE(0);
	int64		seed = PG_GETARG_INT64(1);

	PG_RETURN_UINT64(hash_bytes_uint32_extended((uint32) stage, (uint64) seed));
}

/*
 * lead_stage_smaller(lead_stage, lead_stage) returns lead_stage
 *		Transition and combine function of min().
 */
Datum
lead_stage_smaller(PG_FUNCTION_ARGS)
{
	PG_RETURN_LEAD_STAGE(Min(PG_GETARG_LEAD_STAGE(0), PG_GETARG_LEAD_STAGE(1)));
}

/*
 * lead_stage_larger(lead_stage, lead_stage) returns lead_stage
 *		Transition and combine function of max().
 */
Datum
lead_stage_larger(PG_FUNCTION_ARGS)
{
	PG_RETURN_LEAD_STAGE(Max(PG_GETARG_LEAD_STAGE(0), PG_GETARG_LEAD_STAGE(1)));
}


/*
 * Casts
 */

/*
 * stage::text
 *		The label.  A function rather than a cast through I/O, since every
 *		reporting view does this once a row.
 */
Datum
lead_stage_to_text(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(lead_stage_label(PG_GETARG_LEAD_STAGE(0))));
}

/*
 * stage::int2 and stage_rank(stage)
 *		The rank, which is the stored number.
 */
Datum
lead_stage_to_int2(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT16(PG_GETARG_LEAD_STAGE(0));
}

/*
 * stage::int4
 *		The rank; explicit casts do not chain, and people write ::integer.
 */
Datum
lead_stage_to_int4(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(PG_GETARG_LEAD_STAGE(0));
}


/*
 * Questions about a stage
 */

/*
 * is_exit(stage)
 *		Has the lead left the funnel: disqualified, lost or nurture?
 */
Datum
lead_stage_is_exit(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(LeadStageIsExit(PG_GETARG_LEAD_STAGE(0)));
}

/*
 * is_qualified(stage)
 *		Is it mql or beyond?
 */
Datum
lead_stage_is_qualified(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(LeadStageIsQualified(PG_GETARG_LEAD_STAGE(0)));
}

/*
 * is_customer(stage)
 *		Is it customer or beyond?
 */
Datum
lead_stage_is_customer(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(LeadStageIsCustomer(PG_GETARG_LEAD_STAGE(0)));
}

/*
 * stage_label(stage)
 *		The English name for people to read, such as "Sales Accepted Lead".
 */
Datum
lead_stage_to_label(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(lead_stage_long_label(PG_GETARG_LEAD_STAGE(0))));
}

/*
 * lead_stages() returns setof (stage lead_stage, stage_rank int2, label text)
 *		The vocabulary in ascending order.
 */
Datum
lead_stage_list(PG_FUNCTION_ARGS)
{
	FuncCallContext *funcctx;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext oldcontext;
		TupleDesc	tupdesc;

		funcctx = SRF_FIRSTCALL_INIT();
		oldcontext = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);

		if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		funcctx->tuple_desc = BlessTupleDesc(tupdesc);
		funcctx->max_calls = VOCABULARY_SIZE;

		MemoryContextSwitchTo(oldcontext);
	}

	funcctx = SRF_PERCALL_SETUP();

	if (funcctx->call_cntr < funcctx->max_calls)
	{
		const StageWord *word = &vocabulary[funcctx->call_cntr];
		Datum		values[3];
		bool		nulls[3] = {false, false, false};
		HeapTuple	tuple;

		values[0] = LeadStageGetDatum(word->stage);
		values[1] = Int16GetDatum(word->stage);
		values[2] = CStringGetTextDatum(word->long_label);

		tuple = heap_form_tuple(funcctx->tuple_desc, values, nulls);
		SRF_RETURN_NEXT(funcctx, HeapTupleGetDatum(tuple));
	}

	SRF_RETURN_DONE(funcctx);
}
