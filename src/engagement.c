/*-------------------------------------------------------------------------
 *
 * engagement.c
 *	  The type engagement: the summary of what a lead did.
 *
 * For each rule that has matched something: how many events, what they are
 * worth as of the latest of them (each halving with every half-life, see
 * decay.c), when that was, and when the latest few happened.  It takes the
 * place of the history: an event is added in constant time, however long the
 * history is.
 *
 * Promises:
 *
 * - Events may come late and in any order, and summaries may be merged in any
 *	 order: it matters for rounding only.  Both sums of two have the same bits.
 * - Equal summaries have equal bits: entries are sorted by rule, and nothing
 *	 is undefined between them.
 * - Input refuses, in text as in binary, what adding cannot make; whatever it
 *	 takes can be printed, sent, added to and merged.
 * - Nothing here depends on time zone, locale or any other setting, so input
 *	 and output are immutable.
 * - The state of the aggregates is a plain Engagement in the aggregate's
 *	 context.  Another aggregate may bring a transition function of its own and
 *	 share the others.
 *
 * On disk, and in memory when packed, it takes
 *
 *		16 bytes, and for each rule
 *		24 bytes if its events do not fade,
 *		40 bytes if they do, and
 *		 8 bytes more for each time kept other than the latest.
 *
 * A short summary saves three of the first 16 in a table, as every varlena
 * does.  Bytes of a rule do not grow with the number of its events.
 *
 *-------------------------------------------------------------------------
 */
#include "engagement.h"

#include <math.h>

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "common/int.h"
#include "common/shortest_dec.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "decay.h"

#define ENGAGEMENT_TYPE_NAME	"engagement"

/* Of the packed form and of the binary one; never reuse a number. */
#define ENGAGEMENT_VERSION		1

/* More events than this are not counted. */
#define MAX_COUNT				((int64) PG_UINT32_MAX)

/* The packed form has three bytes for the number of entries. */
#define MAX_ENTRIES				0xFFFFFF

/* Room for entries in a summary that has just got its first. */
#define FIRST_ENTRIES			4

/*
 * The packed form.  Everything in it is aligned as an int64, and the SQL
 * script gives the type that alignment.
 */
typedef struct PackedEngagement
{
	int32		vl_len_;		/* varlena header; do not touch directly */
	uint32		info;			/* version << 24 | number of entries */
	uint64		rules;
	/* entries follow, ascending by rule */
} PackedEngagement;

typedef struct PackedEntry
{
	int64		rule;
	int64		last;
	uint32		count;
	uint8		keep;
	uint8		nkept;
	uint16		flags;
	/* if it fades, a PackedFading follows */
	/* then the kept times but the first, which is 'last' */
} PackedEntry;

typedef struct PackedFading
{
	int64		half_life;
	double		decayed;
} PackedFading;

#define ENTRY_FADES				0x0001

StaticAssertDecl(sizeof(PackedEngagement) == 16, "size of a packed summary");
StaticAssertDecl(sizeof(PackedEntry) == 24, "size of a packed entry");
StaticAssertDecl(sizeof(PackedFading) == 16, "size of a packed fading part");
StaticAssertDecl(MAX_KEPT <= PG_UINT8_MAX, "kept times are counted in a byte");

/* An entry in binary, at the least: rule, last, count, keep, half-life. */
#define MIN_SENT_ENTRY			(8 + 8 + 4 + 1 + 8)
/* What comes before the entries: version, rules, number of entries. */
#define SENT_HEADER				(1 + 8 + 4)

PG_FUNCTION_INFO_V1(engagement_in);
PG_FUNCTION_INFO_V1(engagement_out);
PG_FUNCTION_INFO_V1(engagement_recv);
PG_FUNCTION_INFO_V1(engagement_send);
PG_FUNCTION_INFO_V1(engagement_eq);
PG_FUNCTION_INFO_V1(engagement_ne);
PG_FUNCTION_INFO_V1(engagement_hash);
PG_FUNCTION_INFO_V1(engagement_hash_extended);
PG_FUNCTION_INFO_V1(engagement_plus);
PG_FUNCTION_INFO_V1(engagement_count_of);
PG_FUNCTION_INFO_V1(engagement_decayed_of);
PG_FUNCTION_INFO_V1(engagement_last_seen_of);
PG_FUNCTION_INFO_V1(engagement_last_seen);
PG_FUNCTION_INFO_V1(engagement_list);
PG_FUNCTION_INFO_V1(engagement_agg_add);
PG_FUNCTION_INFO_V1(engagement_agg_merge);
PG_FUNCTION_INFO_V1(engagement_agg_combine);
PG_FUNCTION_INFO_V1(engagement_agg_serialize);
PG_FUNCTION_INFO_V1(engagement_agg_deserialize);
PG_FUNCTION_INFO_V1(engagement_agg_final);


/*
 * Entries and kept times
 */

/*
 * How many times an entry has room for when it keeps n: there is no field for
 * it.  Grows by doubling, to no more than will ever be kept.
 */
static inline int
kept_capacity(int n, int keep)
{
	if (n <= 4)
		return Min(4, keep);
	return Min((int) pg_nextpower2_32((uint32) n), keep);
}

static TimestampTz *
allocate_kept(const Engagement *engagement, int n, int keep)
{
	return MemoryContextAlloc(engagement->context,
							  kept_capacity(n, keep) * sizeof(TimestampTz));
}

/* Where engagement_create_sized() has room for entries. */
#define FIRST_ROOM(engagement)	((EngagementEntry *) ((engagement) + 1))

/* Make room for so many entries. */
static void
reserve_entries(Engagement *engagement, int nentries)
{
	int			room;

	if (nentries <= engagement->max_entries)
		return;
	if (nentries > MAX_ENTRIES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many rules in an engagement"),
				 errdetail("There are at most %d.", MAX_ENTRIES)));

	room = Max(2 * engagement->max_entries, FIRST_ENTRIES);
	room = Min(Max(room, nentries), MAX_ENTRIES);
	if (engagement->entries == NULL || engagement->entries == FIRST_ROOM(engagement))
	{
		EngagementEntry *entries = MemoryContextAlloc(engagement->context,
													  room * sizeof(EngagementEntry));

		if (engagement->nentries > 0)
			memcpy(entries, engagement->entries,
				   engagement->nentries * sizeof(EngagementEntry));
		engagement->entries = entries;
	}
	else
		engagement->entries = repalloc(engagement->entries,
									   room * sizeof(EngagementEntry));
	engagement->max_entries = room;
}

/* Where the entry of a rule is, or else where it belongs. */
static int
entry_position(const Engagement *engagement, int64 rule)
{
	int			low = 0;
	int			high = engagement->nentries;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (engagement->entries[middle].rule < rule)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * engagement_find
 *		What is known of the events of a rule; NULL if there were none.
 */
const EngagementEntry *
engagement_find(const Engagement *engagement, int64 rule)
{
	int			i = entry_position(engagement, rule);

	if (i < engagement->nentries && engagement->entries[i].rule == rule)
		return &engagement->entries[i];
	return NULL;
}

/*
 * What is wrong with an entry that somebody sent us?  NULL if nothing is.
 */
static const char *
entry_problem(const EngagementEntry *entry)
{
	if (entry->count < 1 || entry->count > MAX_COUNT)
		return "\"count\" must be an integer from 1 to 4294967295";
	if (!IS_VALID_TIMESTAMP(entry->last))
		return "\"last\" is out of range";
	if (entry->half_life < 0)
		return "\"half_life\" must be positive";
	/* the latest event alone counts 1; and NaN is refused, too */
	if (!(entry->decayed >= 1.0 && entry->decayed <= (double) entry->count))
		return "\"decayed\" must be from 1 to \"count\"";
	if (entry->keep < 0 || entry->keep > MAX_KEPT)
		return "\"keep\" must be an integer from 0 to 64";
	if (entry->nkept != Min(entry->count, entry->keep))
		return "\"latest\" must have as many times as \"keep\" says, or \"count\" if that is less";
	for (int i = 0; i < entry->nkept; i++)
	{
		if (!IS_VALID_TIMESTAMP(entry->kept[i]))
			return "a time in \"latest\" is out of range";
		if (i == 0 && entry->kept[i] != entry->last)
			return "the first time in \"latest\" must be \"last\"";
		if (i > 0 && entry->kept[i] > entry->kept[i - 1])
			return "the times in \"latest\" must not ascend";
	}
	return NULL;
}

StaticAssertDecl(MAX_KEPT == 64, "a message says so");


/*
 * Packed and unpacked
 */

/*
 * engagement_create
 *		An empty summary in the current memory context.
 *
 * Room for entries is made with the first of them.
 */
Engagement *
engagement_create(uint64 rules)
{
	Engagement *engagement = palloc0(sizeof(Engagement));

	engagement->rules = rules;
	engagement->context = CurrentMemoryContext;
	return engagement;
}

/*
 * engagement_create_sized
 *		The same, with room for so many entries right behind it.
 *
 * Whoever adds to many summaries in turn waits for memory more than for
 * anything else.
 */
Engagement *
engagement_create_sized(uint64 rules, int nentries)
{
	Engagement *engagement = palloc(sizeof(Engagement) +
									nentries * sizeof(EngagementEntry));

	memset(engagement, 0, sizeof(Engagement));
	engagement->rules = rules;
	engagement->context = CurrentMemoryContext;
	engagement->max_entries = nentries;
	engagement->entries = FIRST_ROOM(engagement);
	return engagement;
}

/* No input makes such a value, but a damaged page may hold one. */
static void
refuse_stored(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("invalid internal value for type %s",
					ENGAGEMENT_TYPE_NAME)));
}

/* A packed summary in its full length, aligned, its header looked at. */
static PackedEngagement *
detoast(Datum datum)
{
	PackedEngagement *packed = (PackedEngagement *) PG_DETOAST_DATUM(datum);

	if (VARSIZE(packed) < sizeof(PackedEngagement) ||
		packed->info >> 24 != ENGAGEMENT_VERSION)
		refuse_stored();
	return packed;
}

#define PACKED_NENTRIES(packed)	((int) ((packed)->info & MAX_ENTRIES))
#define PACKED_FIRST(packed) \
	((const char *) (packed) + sizeof(PackedEngagement))
#define PACKED_END(packed)		((const char *) (packed) + VARSIZE(packed))

/*
 * Read the packed entry at 'ptr', without its kept times.  Returns where the
 * next one starts; its kept times but the first end there.
 */
static const char *
read_packed(const char *ptr, const char *end, EngagementEntry *entry)
{
	const PackedEntry *packed = (const PackedEntry *) ptr;
	Size		rest;

	if (end - ptr < sizeof(PackedEntry))
		refuse_stored();
	entry->rule = packed->rule;
	entry->last = packed->last;
	entry->count = packed->count;
	entry->keep = packed->keep;
	entry->nkept = packed->nkept;
	entry->kept = NULL;
	if (entry->count == 0 || entry->keep > MAX_KEPT ||
		entry->nkept != Min(entry->count, entry->keep))
		refuse_stored();
	ptr += sizeof(PackedEntry);

	rest = entry->nkept > 0 ? (entry->nkept - 1) * sizeof(TimestampTz) : 0;
	if (packed->flags & ENTRY_FADES)
		rest += sizeof(PackedFading);
	if (end - ptr < rest)
		refuse_stored();

	if (packed->flags & ENTRY_FADES)
	{
		const PackedFading *fading = (const PackedFading *) ptr;

		entry->half_life = fading->half_life;
		entry->decayed = fading->decayed;
	}
	else
	{
		entry->half_life = 0;
		entry->decayed = (double) entry->count;
	}
	return ptr + rest;
}

/*
 * Unpack what has been detoasted, into the current memory context.
 */
static Engagement *
unpack(const PackedEngagement *packed)
{
	Engagement *engagement = engagement_create(packed->rules);
	const char *ptr = PACKED_FIRST(packed);
	const char *end = PACKED_END(packed);
	int			nentries = PACKED_NENTRIES(packed);

	if ((end - ptr) / sizeof(PackedEntry) < nentries)
		refuse_stored();
	reserve_entries(engagement, nentries);
	for (int i = 0; i < nentries; i++)
	{
		EngagementEntry *entry = &engagement->entries[i];

		ptr = read_packed(ptr, end, entry);
		if (entry->nkept > 0)
		{
			Size		older = (entry->nkept - 1) * sizeof(TimestampTz);

			entry->kept = allocate_kept(engagement, entry->nkept, entry->keep);
			entry->kept[0] = entry->last;
			memcpy(entry->kept + 1, ptr - older, older);
		}
	}
	if (ptr != end)
		refuse_stored();
	engagement->nentries = nentries;
	return engagement;
}

/*
 * engagement_forget
 *		Leave out what is known of a rule's events.
 */
void
engagement_forget(Engagement *engagement, int64 rule)
{
	int			i = entry_position(engagement, rule);

	if (i == engagement->nentries || engagement->entries[i].rule != rule)
		return;
	engagement->nentries--;
	memmove(&engagement->entries[i], &engagement->entries[i + 1],
			(engagement->nentries - i) * sizeof(EngagementEntry));
}

static bool
is_close(double a, double b)
{
	return fabs(a - b) <= 1e-9 * Max(fabs(a), fabs(b));
}

/*
 * engagement_close
 *		Do two summaries say the same, but for rounding?
 */
bool
engagement_close(const Engagement *a, const Engagement *b)
{
	if (a->rules != b->rules || a->nentries != b->nentries)
		return false;
	for (int i = 0; i < a->nentries; i++)
	{
		const EngagementEntry *x = &a->entries[i];
		const EngagementEntry *y = &b->entries[i];

		if (x->rule != y->rule || x->half_life != y->half_life ||
			x->count != y->count || x->last != y->last ||
			x->keep != y->keep || x->nkept != y->nkept ||
			!is_close(x->decayed, y->decayed) ||
			(x->nkept > 0 &&
			 memcmp(x->kept, y->kept, sizeof(TimestampTz) * x->nkept) != 0))
			return false;
	}
	return true;
}

/*
 * engagement_unpack
 *		A summary to be worked on, in the current memory context; it needs
 *		nothing of the packed one.
 */
Engagement *
engagement_unpack(Datum packed)
{
	PackedEngagement *detoasted = detoast(packed);
	Engagement *engagement = unpack(detoasted);

	if ((Pointer) detoasted != DatumGetPointer(packed))
		pfree(detoasted);
	return engagement;
}

/*
 * engagement_rules
 *		Which set of rules a packed summary was made by, at little cost.
 */
uint64
engagement_rules(Datum packed)
{
	/* a slice comes as a copy, aligned and in plain form */
	struct varlena *start =
		(struct varlena *) PG_DETOAST_DATUM_SLICE(packed, 0,
												  sizeof(PackedEngagement) - VARHDRSZ);
	uint64		rules;

	if (VARSIZE(start) < sizeof(PackedEngagement) ||
		((PackedEngagement *) start)->info >> 24 != ENGAGEMENT_VERSION)
		refuse_stored();
	rules = ((PackedEngagement *) start)->rules;
	pfree(start);
	return rules;
}

/*
 * engagement_pack
 *		The form to be stored, palloc'd.
 */
Datum
engagement_pack(const Engagement *engagement)
{
	Size		size = sizeof(PackedEngagement);
	PackedEngagement *packed;
	char	   *ptr;

	for (int i = 0; i < engagement->nentries; i++)
	{
		const EngagementEntry *entry = &engagement->entries[i];

		size += sizeof(PackedEntry);
		if (entry->half_life > 0)
			size += sizeof(PackedFading);
		if (entry->nkept > 0)
			size += (entry->nkept - 1) * sizeof(TimestampTz);
	}
	if (!AllocSizeIsValid(size))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("engagement is too large to be stored")));

	packed = palloc0(size);
	SET_VARSIZE(packed, size);
	packed->info = (uint32) ENGAGEMENT_VERSION << 24 | engagement->nentries;
	packed->rules = engagement->rules;

	ptr = (char *) packed + sizeof(PackedEngagement);
	for (int i = 0; i < engagement->nentries; i++)
	{
		const EngagementEntry *entry = &engagement->entries[i];
		PackedEntry *to = (PackedEntry *) ptr;
		int64		count = Min(entry->count, MAX_COUNT);

		to->rule = entry->rule;
		to->last = entry->last;
		to->count = (uint32) count;
		to->keep = (uint8) entry->keep;
		to->nkept = (uint8) entry->nkept;
		to->flags = entry->half_life > 0 ? ENTRY_FADES : 0;
		ptr += sizeof(PackedEntry);
		if (entry->half_life > 0)
		{
			PackedFading *fading = (PackedFading *) ptr;

			fading->half_life = entry->half_life;
			fading->decayed = Min(entry->decayed, (double) count);
			ptr += sizeof(PackedFading);
		}
		if (entry->nkept > 0)
		{
			Size		older = (entry->nkept - 1) * sizeof(TimestampTz);

			memcpy(ptr, entry->kept + 1, older);
			ptr += older;
		}
	}
	Assert(ptr == PACKED_END(packed));

	return PointerGetDatum(packed);
}


/*
 * Times and half-lives in text
 *
 * The server's own functions for these read and write as the session's
 * settings say.
 */

/* Print a moment as ISO 8601 does, in UTC, such as 2026-01-31T12:00:00.5Z. */
static void
append_time(StringInfo buf, TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		refuse_stored();
	appendStringInfo(buf, "%04d-%02d-%02dT%02d:%02d:%02d",
					 tm.tm_year > 0 ? tm.tm_year : 1 - tm.tm_year,
					 tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (fsec != 0)
	{
		appendStringInfo(buf, ".%06d", (int) fsec);
		while (buf->data[buf->len - 1] == '0')
			buf->data[--buf->len] = '\0';
	}
	appendStringInfoString(buf, tm.tm_year > 0 ? "Z" : "Z BC");
}

/*
 * Read a number of min to max digits.  Advances the cursor past it, if there
 * is one.
 */
static bool
read_digits(const char **cursor, int min, int max, int *value)
{
	int			n = 0;

	*value = 0;
	while (n < max && (*cursor)[n] >= '0' && (*cursor)[n] <= '9')
		*value = 10 * *value + ((*cursor)[n++] - '0');
	*cursor += n;
	return n >= min;
}

static bool
read_char(const char **cursor, char c)
{
	if (**cursor != c)
		return false;
	(*cursor)++;
	return true;
}

/*
 * Read a moment: what append_time() prints, or with a blank for the T or with
 * an offset such as +02:00 for the Z, as the server prints it in JSON.
 */
static bool
read_time(const char *str, TimestampTz *at)
{
	struct pg_tm tm = {0};
	fsec_t		fsec = 0;
	int			offset = 0;

	if (!read_digits(&str, 4, 6, &tm.tm_year) ||
		!read_char(&str, '-') || !read_digits(&str, 2, 2, &tm.tm_mon) ||
		!read_char(&str, '-') || !read_digits(&str, 2, 2, &tm.tm_mday) ||
		!(read_char(&str, 'T') || read_char(&str, ' ')) ||
		!read_digits(&str, 2, 2, &tm.tm_hour) ||
		!read_char(&str, ':') || !read_digits(&str, 2, 2, &tm.tm_min) ||
		!read_char(&str, ':') || !read_digits(&str, 2, 2, &tm.tm_sec))
		return false;
	if (read_char(&str, '.'))
	{
		const char *start = str;
		int			fraction;

		if (!read_digits(&str, 1, 6, &fraction))
			return false;
		for (int n = (int) (str - start); n < 6; n++)
			fraction *= 10;
		fsec = fraction;
	}
	if (!read_char(&str, 'Z'))
	{
		int			sign = *str == '-' ? -1 : 1;
		int			hours;
		int			minutes = 0;
		int			seconds = 0;

		if (!(read_char(&str, '+') || read_char(&str, '-')) ||
			!read_digits(&str, 2, 2, &hours) ||
			(read_char(&str, ':') && !read_digits(&str, 2, 2, &minutes)) ||
			(read_char(&str, ':') && !read_digits(&str, 2, 2, &seconds)) ||
			hours > MAX_TZDISP_HOUR || minutes > 59 || seconds > 59)
			return false;
		offset = sign * ((hours * 60 + minutes) * 60 + seconds);
	}
	if (tm.tm_year == 0)
		return false;
	if (strcmp(str, " BC") == 0)
		tm.tm_year = 1 - tm.tm_year;
	else if (*str != '\0')
		return false;

	if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
		tm.tm_mday > day_tab[isleap(tm.tm_year)][tm.tm_mon - 1] ||
		tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 59)
		return false;
	/* the server counts zones westward */
	offset = -offset;
	return tm2timestamp(&tm, fsec, &offset, at) == 0 && IS_VALID_TIMESTAMP(*at);
}

/*
 * The microseconds of an interval, where a day has 24 hours and a month no
 * fixed length.  False if it is no half-life.
 */
static bool
half_life_of(int32 months, int32 days, int64 microseconds, int64 *half_life)
{
	return months == 0 &&
		!pg_mul_s64_overflow(days, USECS_PER_DAY, half_life) &&
		!pg_add_s64_overflow(*half_life, microseconds, half_life) &&
		*half_life > 0;
}

/* Print a half-life as ISO 8601 does, such as P7D. */
static void
append_half_life(StringInfo buf, int64 half_life)
{
	struct pg_itm itm = {0};
	char		str[MAXDATELEN + 1];

	itm.tm_mday = (int) (half_life / USECS_PER_DAY);
	half_life %= USECS_PER_DAY;
	itm.tm_hour = half_life / USECS_PER_HOUR;
	half_life %= USECS_PER_HOUR;
	itm.tm_min = (int) (half_life / USECS_PER_MINUTE);
	half_life %= USECS_PER_MINUTE;
	itm.tm_sec = (int) (half_life / USECS_PER_SEC);
	itm.tm_usec = (int) (half_life % USECS_PER_SEC);
	EncodeInterval(&itm, INTSTYLE_ISO_8601, str);
	appendStringInfoString(buf, str);
}

/* The same for a message. */
static char *
half_life_text(int64 half_life)
{
	StringInfoData buf;

	if (half_life == 0)
		return pstrdup("none");
	initStringInfo(&buf);
	append_half_life(&buf, half_life);
	return buf.data;
}

/* Read a half-life: any duration of ISO 8601 without years and months. */
static bool
read_half_life(char *str, int64 *half_life)
{
	struct pg_itm_in itm;
	int			type;

	return DecodeISO8601Interval(str, &type, &itm) == 0 &&
		itm.tm_year == 0 &&
		half_life_of(itm.tm_mon, itm.tm_mday, itm.tm_usec, half_life);
}


/*
 * Adding and merging
 */

/*
 * What events are worth together as of the later of two moments: 'later' is
 * what some are worth then, 'earlier' what the others were worth at the
 * earlier moment.  Adding and merging both use it, so both round alike.
 */
static inline double
worth_together(double later, double earlier, int64 elapsed, int64 half_life)
{
	return later + earlier * decay_factor(elapsed, half_life);
}

/* Events of one rule can be put together only if they are kept alike. */
static void
check_kept_alike(const EngagementEntry *entry, int64 half_life, int keep)
{
	if (entry->half_life != half_life)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("engagement of rule %lld has another half-life",
						(long long) entry->rule),
				 errdetail("The half-lives are %s and %s.",
						   half_life_text(entry->half_life),
						   half_life_text(half_life))));
	if (entry->keep != keep)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("engagement of rule %lld keeps another number of times",
						(long long) entry->rule),
				 errdetail("The numbers of latest times kept are %d and %d.",
						   entry->keep, keep)));
}

/* Put one more event among the latest, if it is one of them. */
static void
keep_time(const Engagement *engagement, EngagementEntry *entry, TimestampTz at)
{
	int			i;

	if (entry->nkept == entry->keep)
	{
		if (entry->keep == 0 || at <= entry->kept[entry->nkept - 1])
			return;
		i = entry->nkept - 1;	/* the oldest one gives way */
	}
	else
	{
		int			n = entry->nkept + 1;

		if (n > kept_capacity(entry->nkept, entry->keep))
			entry->kept = repalloc(entry->kept,
								   kept_capacity(n, entry->keep) * sizeof(TimestampTz));
		i = entry->nkept;
		entry->nkept = n;
	}

	for (; i > 0 && entry->kept[i - 1] < at; i--)
		entry->kept[i] = entry->kept[i - 1];
	entry->kept[i] = at;
}

/* The first event of a rule, whose entry belongs at a position. */
static void
add_first(Engagement *engagement, int position, int64 rule, int64 half_life,
		  int keep, TimestampTz at)
{
	EngagementEntry *entry;

	if (half_life < 0 || keep < 0 || keep > MAX_KEPT)
		elog(ERROR, "invalid half-life or number of times to keep");

	reserve_entries(engagement, engagement->nentries + 1);
	entry = &engagement->entries[position];
	memmove(entry + 1, entry,
			(engagement->nentries - position) * sizeof(EngagementEntry));
	engagement->nentries++;

	entry->rule = rule;
	entry->half_life = half_life;
	entry->count = 1;
	entry->decayed = 1.0;
	entry->last = at;
	entry->keep = keep;
	entry->nkept = 0;
	entry->kept = NULL;
	if (keep > 0)
	{
		entry->kept = allocate_kept(engagement, 1, keep);
		entry->kept[0] = at;
		entry->nkept = 1;
	}
}

/*
 * engagement_add
 *		One more event that matched a rule; it may be older than those before.
 *
 * Error: invalid_parameter_value (22023) if the events of this rule have been
 * kept with another half-life or another number of times; and
 * datetime_value_out_of_range (22008) for an infinite time.
 */
void
engagement_add(Engagement *engagement, int64 rule, int64 half_life, int keep,
			   TimestampTz at)
{
	engagement_add_near(engagement, -1, rule, half_life, keep, at);
}

/*
 * engagement_add_near
 *		The same, with a guess where the rule's entry is.
 */
void
engagement_add_near(Engagement *engagement, int guess, int64 rule,
					int64 half_life, int keep, TimestampTz at)
{
	int			position = guess >= 0 && guess < engagement->nentries &&
		engagement->entries[guess].rule == rule ? guess :
		entry_position(engagement, rule);
	EngagementEntry *entry;

	if (!IS_VALID_TIMESTAMP(at))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("time of an event must be finite")));

	if (position == engagement->nentries ||
		engagement->entries[position].rule != rule)
	{
		add_first(engagement, position, rule, half_life, keep, at);
		return;
	}
	entry = &engagement->entries[position];
	if (entry->half_life != half_life || entry->keep != keep)
		check_kept_alike(entry, half_life, keep);

	if (at >= entry->last)
	{
		entry->decayed = worth_together(1.0, entry->decayed,
										time_between(entry->last, at), half_life);
		entry->last = at;
	}
	else
		entry->decayed = worth_together(entry->decayed, 1.0,
										time_between(at, entry->last), half_life);
	entry->count++;
	keep_time(engagement, entry, at);
}

/* Merge the kept times of two entries of one rule into the first one. */
static void
merge_kept(const Engagement *engagement, EngagementEntry *entry,
		   const EngagementEntry *other)
{
	TimestampTz merged[MAX_KEPT];
	int			nmerged = Min(entry->nkept + other->nkept, entry->keep);
	int			i = 0;
	int			j = 0;

	for (int n = 0; n < nmerged; n++)
	{
		if (j == other->nkept ||
			(i < entry->nkept && entry->kept[i] >= other->kept[j]))
			merged[n] = entry->kept[i++];
		else
			merged[n] = other->kept[j++];
	}

	if (nmerged > kept_capacity(entry->nkept, entry->keep))
		entry->kept = repalloc(entry->kept,
							   kept_capacity(nmerged, entry->keep) * sizeof(TimestampTz));
	memcpy(entry->kept, merged, nmerged * sizeof(TimestampTz));
	entry->nkept = nmerged;
}

/* Merge two entries of one rule into the first one. */
static void
merge_entry(const Engagement *engagement, EngagementEntry *entry,
			const EngagementEntry *other)
{
	/* the same formula either way, so that the result has the same bits */
	if (entry->last >= other->last)
		entry->decayed = worth_together(entry->decayed, other->decayed,
										time_between(other->last, entry->last),
										entry->half_life);
	else
	{
		entry->decayed = worth_together(other->decayed, entry->decayed,
										time_between(entry->last, other->last),
										entry->half_life);
		entry->last = other->last;
	}
	entry->count += other->count;
	if (entry->keep > 0)
		merge_kept(engagement, entry, other);
}

/* Copy an entry of another summary. */
static void
copy_entry(const Engagement *engagement, EngagementEntry *to,
		   const EngagementEntry *from)
{
	*to = *from;
	if (from->nkept > 0)
	{
		to->kept = allocate_kept(engagement, from->nkept, from->keep);
		memcpy(to->kept, from->kept, from->nkept * sizeof(TimestampTz));
	}
}

/*
 * engagement_merge
 *		Add the events of one summary to those of another.
 *
 * Error: invalid_parameter_value (22023) if they were made by different sets
 * of rules, or keep the events of a rule differently.
 */
void
engagement_merge(Engagement *into, const Engagement *from)
{
	int			added = 0;
	int			i;
	int			j;

	if (into->rules != from->rules && into->rules != 0 && from->rules != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot merge engagements made by different rules"),
				 errdetail("Their sets of rules are \"%016llx\" and \"%016llx\".",
						   (unsigned long long) into->rules,
						   (unsigned long long) from->rules)));
	if (into->rules == 0)
		into->rules = from->rules;

	for (i = j = 0; j < from->nentries;)
	{
		const EngagementEntry *other = &from->entries[j];

		if (i == into->nentries || into->entries[i].rule > other->rule)
		{
			added++;
			j++;
		}
		else
		{
			if (into->entries[i].rule == other->rule)
			{
				check_kept_alike(&into->entries[i], other->half_life, other->keep);
				j++;
			}
			i++;
		}
	}
	reserve_entries(into, into->nentries + added);

	/* backwards, so that each entry moves once, and to a place that is free */
	i = into->nentries - 1;
	j = from->nentries - 1;
	into->nentries += added;
	while (j >= 0)
	{
		const EngagementEntry *other = &from->entries[j];

		if (i >= 0 && into->entries[i].rule >= other->rule)
		{
			if (into->entries[i].rule == other->rule)
			{
				merge_entry(into, &into->entries[i], other);
				j--;
			}
			if (added > 0)
				into->entries[i + added] = into->entries[i];
			i--;
		}
		else
		{
			copy_entry(into, &into->entries[i + added], other);
			added--;
			j--;
		}
	}
}

/*
 * engagement_last
 *		When the latest event happened; DT_NOBEGIN if there were none.
 */
TimestampTz
engagement_last(const Engagement *engagement)
{
	TimestampTz last = DT_NOBEGIN;

	for (int i = 0; i < engagement->nentries; i++)
		last = Max(last, engagement->entries[i].last);
	return last;
}

/*
 * engagement_decayed
 *		What the events of a rule are worth at a moment.
 *
 * The summary knows nothing of earlier moments: before the latest event they
 * are worth what they were at that.
 */
double
engagement_decayed(const EngagementEntry *entry, TimestampTz at)
{
	if (entry->half_life == 0 || at <= entry->last)
		return entry->decayed;
	if (TIMESTAMP_IS_NOEND(at))
		return 0.0;
	return entry->decayed *
		decay_factor(time_between(entry->last, at), entry->half_life);
}


/*
 * Text input
 *
 * The text is JSON, such as
 *
 *	{"rules": "0123456789abcdef",
 *	 "entries": [{"rule": 17, "count": 3, "last": "2026-01-31T12:00:00Z",
 *				  "half_life": "P7D", "decayed": 1.75,
 *				  "keep": 2, "latest": ["2026-01-31T12:00:00Z",
 *										"2026-01-24T12:00:00Z"]}]}
 *
 * of which rules, half_life with decayed, and keep with latest may be left
 * out.  These functions return false after reporting a soft error.
 */

/* Refuse the text: in its n-th entry, or as a whole if that is 0. */
static bool
refuse_text(Node *escontext, int n, const char *problem)
{
	ereturn(escontext, false,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input value for type %s", ENGAGEMENT_TYPE_NAME),
			 n > 0 ? errdetail("In entry %d, %s.", n, problem) :
			 errdetail("In the outermost object, %s.", problem),
			 errhint("An engagement looks like %s.",
					 "{\"entries\": [{\"rule\": 17, \"count\": 1, \"last\": \"2026-01-31T12:00:00Z\"}]}")));
}

static inline bool
is_string(const JsonbValue *value, const char *str)
{
	return value->type == jbvString &&
		value->val.string.len == strlen(str) &&
		memcmp(value->val.string.val, str, value->val.string.len) == 0;
}

/* The string as a C string, NULL if the value is none. */
static char *
json_string(const JsonbValue *value)
{
	return value->type == jbvString ?
		pnstrdup(value->val.string.val, value->val.string.len) : NULL;
}

/* The digits of a number, NULL if the value is none. */
static char *
json_number(const JsonbValue *value)
{
	return value->type == jbvNumeric ?
		DatumGetCString(DirectFunctionCall1(numeric_out,
											NumericGetDatum(value->val.numeric))) : NULL;
}

static bool
json_integer(const JsonbValue *value, int64 *result)
{
	char	   *digits = json_number(value);
	char	   *end;

	if (digits == NULL)
		return false;
	errno = 0;
	*result = strtoll(digits, &end, 10);
	return errno == 0 && *end == '\0';
}

static bool
json_float(const JsonbValue *value, double *result)
{
	char	   *digits = json_number(value);

	if (digits == NULL)
		return false;
	/* what is too large is infinite, and refused with the entry */
	*result = strtod(digits, NULL);
	return true;
}

static bool
json_time(const JsonbValue *value, TimestampTz *result)
{
	char	   *str = json_string(value);

	return str != NULL && read_time(str, result);
}

static bool
json_half_life(const JsonbValue *value, int64 *result)
{
	char	   *str = json_string(value);

	return str != NULL && read_half_life(str, result);
}

/* The fingerprint of a set of rules. */
static bool
json_rules(const JsonbValue *value, uint64 *result)
{
	char	   *str = json_string(value);

	if (str == NULL || strlen(str) != 16 ||
		strspn(str, "0123456789abcdefABCDEF") != 16)
		return false;
	*result = strtoull(str, NULL, 16);
	return true;
}

/* The container in a value, NULL if there is none of this kind. */
static JsonbContainer *
json_container(const JsonbValue *value, uint32 kind)
{
	return value->type == jbvBinary && (value->val.binary.data->header & kind) ?
		value->val.binary.data : NULL;
}

/* Times, no more than there is room for. */
static bool
json_times(const JsonbValue *value, TimestampTz *times, int *ntimes)
{
	JsonbContainer *array = json_container(value, JB_FARRAY);
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	element;

	*ntimes = 0;
	if (array == NULL)
		return false;
	iterator = JsonbIteratorInit(array);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (*ntimes == MAX_KEPT || !json_time(&element, &times[*ntimes]))
			return false;
		(*ntimes)++;
	}
	return true;
}

/*
 * The value that belongs to the key that the iterator has just returned.
 */
static JsonbValue
json_value(JsonbIterator **iterator)
{
	JsonbValue	value;

	(void) JsonbIteratorNext(iterator, &value, true);
	return value;
}

/* Read the n-th entry.  Its times are put in the memory of the summary. */
static bool
read_entry(const Engagement *engagement, int n, const JsonbValue *json,
		   EngagementEntry *entry, Node *escontext)
{
	JsonbContainer *object = json_container(json, JB_FOBJECT);
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	key;
	TimestampTz kept[MAX_KEPT];
	bool		has_rule = false;
	bool		has_last = false;
	bool		has_decayed = false;
	bool		has_latest = false;
	int64		keep = 0;
	const char *problem = NULL;

	if (object == NULL)
		return refuse_text(escontext, n, "there is no object");

	memset(entry, 0, sizeof(EngagementEntry));
	iterator = JsonbIteratorInit(object);
	while (problem == NULL &&
		   (token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		JsonbValue	value;

		if (token != WJB_KEY)
			continue;
		value = json_value(&iterator);

		if (is_string(&key, "rule"))
		{
			has_rule = true;
			if (!json_integer(&value, &entry->rule))
				problem = "\"rule\" must be an integer";
		}
		else if (is_string(&key, "count"))
		{
			if (!json_integer(&value, &entry->count))
				problem = "\"count\" must be an integer from 1 to 4294967295";
		}
		else if (is_string(&key, "last"))
		{
			has_last = true;
			if (!json_time(&value, &entry->last))
				problem = "\"last\" must be a time such as \"2026-01-31T12:00:00Z\"";
		}
		else if (is_string(&key, "half_life"))
		{
			if (!json_half_life(&value, &entry->half_life))
				problem = "\"half_life\" must be a positive duration without years and months, such as \"P7D\"";
		}
		else if (is_string(&key, "decayed"))
		{
			has_decayed = true;
			if (!json_float(&value, &entry->decayed))
				problem = "\"decayed\" must be a number";
		}
		else if (is_string(&key, "keep"))
		{
			if (!json_integer(&value, &keep) || keep < 0 || keep > MAX_KEPT)
				problem = "\"keep\" must be an integer from 0 to 64";
		}
		else if (is_string(&key, "latest"))
		{
			has_latest = true;
			if (!json_times(&value, kept, &entry->nkept))
				problem = "\"latest\" must be an array of at most 64 times such as \"2026-01-31T12:00:00Z\"";
		}
		else
			problem = psprintf("there is an unknown key \"%s\"", json_string(&key));
	}

	entry->keep = (int) keep;
	entry->kept = kept;
	if (problem == NULL)
	{
		if (!has_decayed)
			entry->decayed = (double) entry->count;

		if (!has_rule)
			problem = "there is no \"rule\"";
		else if (!has_last)
			problem = "there is no \"last\"";
		else if (has_decayed != (entry->half_life > 0))
			problem = "\"half_life\" and \"decayed\" must come together";
		else if (has_latest != (entry->keep > 0))
			problem = "\"latest\" must come with a \"keep\" of 1 or more";
		else
			problem = entry_problem(entry);
	}
	if (problem != NULL)
		return refuse_text(escontext, n, problem);

	entry->kept = NULL;
	if (entry->nkept > 0)
	{
		entry->kept = allocate_kept(engagement, entry->nkept, entry->keep);
		memcpy(entry->kept, kept, entry->nkept * sizeof(TimestampTz));
	}
	return true;
}

/* Sort entries by rule. */
static int
compare_entries(const void *a, const void *b)
{
	int64		rule_a = ((const EngagementEntry *) a)->rule;
	int64		rule_b = ((const EngagementEntry *) b)->rule;

	return (rule_a > rule_b) - (rule_a < rule_b);
}

/* Read the entries. */
static bool
read_entries(Engagement *engagement, const JsonbValue *json, Node *escontext)
{
	JsonbContainer *array = json_container(json, JB_FARRAY);
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	element;

	if (array == NULL)
		return refuse_text(escontext, 0, "\"entries\" must be an array");

	iterator = JsonbIteratorInit(array);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		int			n = engagement->nentries;

		if (token != WJB_ELEM)
			continue;
		reserve_entries(engagement, n + 1);
		if (!read_entry(engagement, n + 1, &element, &engagement->entries[n],
						escontext))
			return false;
		engagement->nentries++;
	}

	if (engagement->nentries > 1)
		qsort(engagement->entries, engagement->nentries,
			  sizeof(EngagementEntry), compare_entries);
	for (int i = 1; i < engagement->nentries; i++)
	{
		if (engagement->entries[i].rule == engagement->entries[i - 1].rule)
			return refuse_text(escontext, 0,
							   psprintf("there are two entries of rule %lld",
										(long long) engagement->entries[i].rule));
	}
	return true;
}

/* Read a summary. */
static bool
read_engagement(Engagement *engagement, Jsonb *json, Node *escontext)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	key;

	if (!JB_ROOT_IS_OBJECT(json))
		ereturn(escontext, false,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input value for type %s", ENGAGEMENT_TYPE_NAME),
				 errdetail("The text is no JSON object.")));

	iterator = JsonbIteratorInit(&json->root);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		JsonbValue	value;

		if (token != WJB_KEY)
			continue;
		value = json_value(&iterator);

		if (is_string(&key, "rules"))
		{
			if (!json_rules(&value, &engagement->rules))
				return refuse_text(escontext, 0, "\"rules\" must be a string of 16 hexadecimal digits");
		}
		else if (is_string(&key, "entries"))
		{
			if (!read_entries(engagement, &value, escontext))
				return false;
		}
		else
			return refuse_text(escontext, 0,
							   psprintf("there is an unknown key \"%s\"", json_string(&key)));
	}
	return true;
}


/*
 * Input and output
 */

/*
 * engagement_in(cstring) returns engagement
 *		Error: invalid_text_representation (22P02); soft from PostgreSQL 16.
 */
Datum
engagement_in(PG_FUNCTION_ARGS)
{
	char	   *str = PG_GETARG_CSTRING(0);
	Engagement *engagement = engagement_create(0);
	Datum		json;

	if (!read_jsonb(str, fcinfo->context, &json) ||
		!read_engagement(engagement, DatumGetJsonbP(json), fcinfo->context))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(engagement_pack(engagement));
}

/* Print a float so that it reads back the same, whatever the settings are. */
static void
append_float(StringInfo buf, double value)
{
	char		str[DOUBLE_SHORTEST_DECIMAL_LEN];

	double_to_shortest_decimal_buf(value, str);
	appendStringInfoString(buf, str);
}

/*
 * engagement_out(engagement) returns cstring
 *		JSON; the same in every locale, time zone and version.
 */
Datum
engagement_out(PG_FUNCTION_ARGS)
{
	Engagement *engagement = engagement_unpack(PG_GETARG_DATUM(0));
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	if (engagement->rules != 0)
		appendStringInfo(&buf, "\"rules\": \"%016llx\", ",
						 (unsigned long long) engagement->rules);
	appendStringInfoString(&buf, "\"entries\": [");
	for (int i = 0; i < engagement->nentries; i++)
	{
		const EngagementEntry *entry = &engagement->entries[i];

		appendStringInfo(&buf, "%s{\"rule\": %lld, \"count\": %lld, \"last\": \"",
						 i > 0 ? ", " : "",
						 (long long) entry->rule, (long long) entry->count);
		append_time(&buf, entry->last);
		appendStringInfoChar(&buf, '"');
		if (entry->half_life > 0)
		{
			appendStringInfoString(&buf, ", \"half_life\": \"");
			append_half_life(&buf, entry->half_life);
			appendStringInfoString(&buf, "\", \"decayed\": ");
			append_float(&buf, entry->decayed);
		}
		if (entry->keep > 0)
		{
			appendStringInfo(&buf, ", \"keep\": %d, \"latest\": [", entry->keep);
			for (int j = 0; j < entry->nkept; j++)
			{
				appendStringInfoString(&buf, j > 0 ? ", \"" : "\"");
				append_time(&buf, entry->kept[j]);
				appendStringInfoChar(&buf, '"');
			}
			appendStringInfoChar(&buf, ']');
		}
		appendStringInfoChar(&buf, '}');
	}
	appendStringInfoString(&buf, "]}");

	PG_RETURN_CSTRING(buf.data);
}

/* Refuse a binary form; it is damaged, or not ours. */
static void
refuse_binary(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("invalid external \"%s\" value", ENGAGEMENT_TYPE_NAME),
			 errdetail("%s", detail)));
}

/* Is there as much left of the message? */
static void
expect_bytes(StringInfo buf, int64 n)
{
	if (buf->len - buf->cursor < n)
		refuse_binary("It ends too early.");
}

/*
 * engagement_recv(internal) returns engagement
 *		Error: invalid_binary_representation (22P03).
 *
 * The message is taken for hostile: no memory is allocated for what is not
 * there, and nothing is believed that adding could not have made.
 */
Datum
engagement_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	Engagement *engagement;
	uint32		nentries;
	int			version;

	expect_bytes(buf, SENT_HEADER);
	version = pq_getmsgbyte(buf);
	if (version != ENGAGEMENT_VERSION)
		refuse_binary(psprintf("Its version is %d.", version));
	engagement = engagement_create((uint64) pq_getmsgint64(buf));
	nentries = (uint32) pq_getmsgint(buf, 4);
	expect_bytes(buf, nentries * (int64) MIN_SENT_ENTRY);
	reserve_entries(engagement, (int) nentries);

	for (uint32 i = 0; i < nentries; i++)
	{
		EngagementEntry *entry = &engagement->entries[i];
		TimestampTz kept[MAX_KEPT];
		const char *problem;

		expect_bytes(buf, MIN_SENT_ENTRY);
		entry->rule = pq_getmsgint64(buf);
		entry->last = pq_getmsgint64(buf);
		entry->count = (uint32) pq_getmsgint(buf, 4);
		entry->keep = pq_getmsgbyte(buf);
		entry->half_life = pq_getmsgint64(buf);
		entry->decayed = (double) entry->count;
		if (entry->half_life != 0)
		{
			expect_bytes(buf, 8);
			entry->decayed = pq_getmsgfloat8(buf);
		}

		/* as many as there must be, and no more than fit */
		entry->nkept = (int) Min(entry->count, Min(entry->keep, MAX_KEPT));
		entry->kept = kept;
		if (entry->nkept > 0)
		{
			expect_bytes(buf, (entry->nkept - 1) * sizeof(TimestampTz));
			kept[0] = entry->last;
			for (int j = 1; j < entry->nkept; j++)
				kept[j] = pq_getmsgint64(buf);
		}

		problem = entry_problem(entry);
		if (problem != NULL)
			refuse_binary(psprintf("In entry %u, %s.", i + 1, problem));
		if (i > 0 && entry[-1].rule >= entry->rule)
			refuse_binary("The rules do not ascend.");

		entry->kept = NULL;
		if (entry->nkept > 0)
		{
			entry->kept = allocate_kept(engagement, entry->nkept, entry->keep);
			memcpy(entry->kept, kept, entry->nkept * sizeof(TimestampTz));
		}
		engagement->nentries++;
	}

	PG_RETURN_DATUM(engagement_pack(engagement));
}

/*
 * engagement_send(engagement) returns bytea
 *		Version (1 byte), rules (8), number of entries (4), and for each: rule
 *		(8), last (8), count (4), keep (1), half-life (8); if that is not zero,
 *		decayed (8); kept times but the first (8 each).
 */
Datum
engagement_send(PG_FUNCTION_ARGS)
{
	Engagement *engagement = engagement_unpack(PG_GETARG_DATUM(0));
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendbyte(&buf, ENGAGEMENT_VERSION);
	pq_sendint64(&buf, engagement->rules);
	pq_sendint32(&buf, engagement->nentries);
	for (int i = 0; i < engagement->nentries; i++)
	{
		const EngagementEntry *entry = &engagement->entries[i];

		pq_sendint64(&buf, entry->rule);
		pq_sendint64(&buf, entry->last);
		pq_sendint32(&buf, (uint32) entry->count);
		pq_sendbyte(&buf, entry->keep);
		pq_sendint64(&buf, entry->half_life);
		if (entry->half_life != 0)
			pq_sendfloat8(&buf, entry->decayed);
		for (int j = 1; j < entry->nkept; j++)
			pq_sendint64(&buf, entry->kept[j]);
	}

	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}


/*
 * Equality
 *
 * Equal summaries have equal bits, so these need not unpack.
 */

static bool
same_bytes(Datum a, Datum b)
{
	struct varlena *bytes_a;
	struct varlena *bytes_b;
	bool		same;

	/* often enough to tell, and it spares to fetch what is stored apart */
	if (toast_raw_datum_size(a) != toast_raw_datum_size(b))
		return false;

	bytes_a = PG_DETOAST_DATUM_PACKED(a);
	bytes_b = PG_DETOAST_DATUM_PACKED(b);
	same = memcmp(VARDATA_ANY(bytes_a), VARDATA_ANY(bytes_b),
				  VARSIZE_ANY_EXHDR(bytes_a)) == 0;

	/* whoever compares many of them does not reset the memory after each */
	if ((Pointer) bytes_a != DatumGetPointer(a))
		pfree(bytes_a);
	if ((Pointer) bytes_b != DatumGetPointer(b))
		pfree(bytes_b);
	return same;
}

/* engagement = engagement */
Datum
engagement_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(same_bytes(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)));
}

/* engagement <> engagement */
Datum
engagement_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!same_bytes(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)));
}

/*
 * engagement_hash(engagement) returns int4
 *		Hash support function 1.
 */
Datum
engagement_hash(PG_FUNCTION_ARGS)
{
	struct varlena *bytes = PG_GETARG_VARLENA_PP(0);
	uint32		hash;

	hash = hash_bytes((const unsigned char *) VARDATA_ANY(bytes),
					  VARSIZE_ANY_EXHDR(bytes));
	PG_FREE_IF_COPY(bytes, 0);
	PG_RETURN_UINT32(hash);
}

/*
 * engagement_hash_extended(engagement, int8) returns int8
 *		Hash support function 2; with seed 0 the low half is engagement_hash.
 */
Datum
engagement_hash_extended(PG_FUNCTION_ARGS)
{
	struct varlena *bytes = PG_GETARG_VARLENA_PP(0);
	uint64		hash;

	hash = hash_bytes_extended((const unsigned char *) VARDATA_ANY(bytes),
							   VARSIZE_ANY_EXHDR(bytes),
							   (uint64) PG_GETARG_INT64(1));
	PG_FREE_IF_COPY(bytes, 0);
	PG_RETURN_UINT64(hash);
}


/*
 * What users ask
 */

/*
 * engagement + engagement
 *		What both did.  Error: invalid_parameter_value (22023), as merging says.
 */
Datum
engagement_plus(PG_FUNCTION_ARGS)
{
	Engagement *sum = engagement_unpack(PG_GETARG_DATUM(0));

	engagement_merge(sum, engagement_unpack(PG_GETARG_DATUM(1)));
	PG_RETURN_DATUM(engagement_pack(sum));
}

/*
 * Find the entry of a rule in a packed summary, without its kept times.
 */
static bool
find_packed(Datum datum, int64 rule, EngagementEntry *entry)
{
	PackedEngagement *packed = detoast(datum);
	const char *ptr = PACKED_FIRST(packed);

	for (int i = PACKED_NENTRIES(packed); i > 0; i--)
	{
		ptr = read_packed(ptr, PACKED_END(packed), entry);
		if (entry->rule >= rule)
			return entry->rule == rule;
	}
	return false;
}

/*
 * engagement_has
 *		Has a rule matched anything, by a packed summary?
 */
bool
engagement_has(Datum packed, int64 rule)
{
	EngagementEntry entry;

	return find_packed(packed, rule, &entry);
}

/*
 * engagement_count(engagement, rule int8) returns int8
 *		How many events the rule has matched.
 */
Datum
engagement_count_of(PG_FUNCTION_ARGS)
{
	EngagementEntry entry;

	if (!find_packed(PG_GETARG_DATUM(0), PG_GETARG_INT64(1), &entry))
		PG_RETURN_INT64(0);
	PG_RETURN_INT64(entry.count);
}

/*
 * engagement_decayed(engagement, rule int8, at timestamptz) returns float8
 *		What its events are worth at a moment.
 */
Datum
engagement_decayed_of(PG_FUNCTION_ARGS)
{
	EngagementEntry entry;

	if (!find_packed(PG_GETARG_DATUM(0), PG_GETARG_INT64(1), &entry))
		PG_RETURN_FLOAT8(0.0);
	PG_RETURN_FLOAT8(engagement_decayed(&entry, PG_GETARG_TIMESTAMPTZ(2)));
}

/*
 * engagement_last_seen(engagement, rule int8) returns timestamptz
 *		When the rule matched last; NULL if never.
 */
Datum
engagement_last_seen_of(PG_FUNCTION_ARGS)
{
	EngagementEntry entry;

	if (!find_packed(PG_GETARG_DATUM(0), PG_GETARG_INT64(1), &entry))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(entry.last);
}

/*
 * engagement_last_seen(engagement) returns timestamptz
 *		When any rule matched last; NULL if none ever did.
 */
Datum
engagement_last_seen(PG_FUNCTION_ARGS)
{
	TimestampTz last = engagement_last(engagement_unpack(PG_GETARG_DATUM(0)));

	if (TIMESTAMP_IS_NOBEGIN(last))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(last);
}

/* A half-life as SQL has it; NULL if there is none. */
static Datum
half_life_datum(int64 half_life, bool *isnull)
{
	Interval   *interval;

	*isnull = half_life == 0;
	if (*isnull)
		return (Datum) 0;
	interval = palloc0(sizeof(Interval));
	interval->day = (int32) (half_life / USECS_PER_DAY);
	interval->time = half_life % USECS_PER_DAY;
	return IntervalPGetDatum(interval);
}

/*
 * engagement_entries(engagement) returns setof (rule int8, events int8,
 *		decayed float8, last_seen timestamptz, half_life interval, keep int4,
 *		latest timestamptz[])
 *		All there is in a summary, in the order of rules.
 */
Datum
engagement_list(PG_FUNCTION_ARGS)
{
	FuncCallContext *funcctx;
	Engagement *engagement;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext oldcontext;
		TupleDesc	tupdesc;

		funcctx = SRF_FIRSTCALL_INIT();
		oldcontext = MemoryContextSwitchTo(funcctx->multi_call_memory_ctx);

		if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		funcctx->tuple_desc = BlessTupleDesc(tupdesc);
		engagement = engagement_unpack(PG_GETARG_DATUM(0));
		funcctx->user_fctx = engagement;
		funcctx->max_calls = engagement->nentries;

		MemoryContextSwitchTo(oldcontext);
	}

	funcctx = SRF_PERCALL_SETUP();
	engagement = funcctx->user_fctx;

	if (funcctx->call_cntr < funcctx->max_calls)
	{
		const EngagementEntry *entry = &engagement->entries[funcctx->call_cntr];
		Datum		latest[MAX_KEPT];
		Datum		values[7];
		bool		nulls[7] = {false};
		HeapTuple	tuple;

		for (int i = 0; i < entry->nkept; i++)
			latest[i] = TimestampTzGetDatum(entry->kept[i]);

		values[0] = Int64GetDatum(entry->rule);
		values[1] = Int64GetDatum(entry->count);
		values[2] = Float8GetDatum(entry->decayed);
		values[3] = TimestampTzGetDatum(entry->last);
		values[4] = half_life_datum(entry->half_life, &nulls[4]);
		values[5] = Int32GetDatum(entry->keep);
		values[6] = PointerGetDatum(construct_array(latest, entry->nkept,
													TIMESTAMPTZOID,
													sizeof(TimestampTz),
													FLOAT8PASSBYVAL,
													TYPALIGN_DOUBLE));

		tuple = heap_form_tuple(funcctx->tuple_desc, values, nulls);
		SRF_RETURN_NEXT(funcctx, HeapTupleGetDatum(tuple));
	}

	SRF_RETURN_DONE(funcctx);
}


/*
 * Aggregates
 *
 * Their state is an Engagement in the aggregate's context, or NULL as long as
 * there was nothing to aggregate.  Combine, serialize, deserialize and final
 * function know nothing of where it came from.
 */

static Engagement *
aggregate_state(FunctionCallInfo fcinfo, int argno)
{
	return PG_ARGISNULL(argno) ? NULL : (Engagement *) PG_GETARG_POINTER(argno);
}

/* A new state, in the context in which states live. */
static Engagement *
create_state(FunctionCallInfo fcinfo)
{
	MemoryContext context;
	MemoryContext oldcontext;
	Engagement *state;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	oldcontext = MemoryContextSwitchTo(context);
	state = engagement_create(0);
	MemoryContextSwitchTo(oldcontext);
	return state;
}

static Datum
return_state(FunctionCallInfo fcinfo, Engagement *state)
{
	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(state);
}

/*
 * Transition function of engagement_agg(rule int8, occurred_at timestamptz,
 *		half_life interval, keep int4)
 */
Datum
engagement_agg_add(PG_FUNCTION_ARGS)
{
	Engagement *state = aggregate_state(fcinfo, 0);
	int64		half_life = 0;
	int			keep = 0;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		return return_state(fcinfo, state);

	if (!PG_ARGISNULL(3))
	{
		Interval   *interval = PG_GETARG_INTERVAL_P(3);

		if (!half_life_of(interval->month, interval->day, interval->time, &half_life))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("half-life must be positive and without months and years"),
					 errdetail("A day has 24 hours here; a month has no fixed length."),
					 errhint("Say 30 days, for example.")));
	}
	if (!PG_ARGISNULL(4))
	{
		keep = PG_GETARG_INT32(4);
		if (keep < 0 || keep > MAX_KEPT)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("number of times to keep must be from 0 to %d",
							MAX_KEPT)));
	}

	if (state == NULL)
		state = create_state(fcinfo);
	engagement_add(state, PG_GETARG_INT64(1), half_life, keep,
				   PG_GETARG_TIMESTAMPTZ(2));
	return return_state(fcinfo, state);
}

/*
 * Transition function of engagement_agg(engagement)
 */
Datum
engagement_agg_merge(PG_FUNCTION_ARGS)
{
	Engagement *state = aggregate_state(fcinfo, 0);

	if (!PG_ARGISNULL(1))
	{
		if (state == NULL)
			state = create_state(fcinfo);
		engagement_merge(state, engagement_unpack(PG_GETARG_DATUM(1)));
	}
	return return_state(fcinfo, state);
}

/*
 * engagement_agg_combine(internal, internal) returns internal
 *		Takes the second state, which is about to go, into the first one.
 */
Datum
engagement_agg_combine(PG_FUNCTION_ARGS)
{
	Engagement *state = aggregate_state(fcinfo, 0);
	Engagement *other = aggregate_state(fcinfo, 1);

	if (other != NULL)
	{
		if (state == NULL)
			state = create_state(fcinfo);
		engagement_merge(state, other);
	}
	return return_state(fcinfo, state);
}

/*
 * engagement_agg_serialize(internal) returns bytea
 *		The packed form, which is a varlena as bytea is.
 */
Datum
engagement_agg_serialize(PG_FUNCTION_ARGS)
{
	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "aggregate function called in non-aggregate context");
	PG_RETURN_DATUM(engagement_pack(aggregate_state(fcinfo, 0)));
}

/*
 * engagement_agg_deserialize(bytea, internal) returns internal
 *		In the caller's context: whoever combines it, copies it.
 */
Datum
engagement_agg_deserialize(PG_FUNCTION_ARGS)
{
	struct varlena *bytes;
	Size		size;
	char	   *packed;

	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "aggregate function called in non-aggregate context");

	/* as bytea it may have become less aligned */
	bytes = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(0));
	size = VARHDRSZ + VARSIZE_ANY_EXHDR(bytes);
	packed = palloc(size);
	SET_VARSIZE(packed, size);
	memcpy(VARDATA(packed), VARDATA_ANY(bytes), size - VARHDRSZ);

	PG_RETURN_POINTER(engagement_unpack(PointerGetDatum(packed)));
}

/*
 * engagement_agg_final(internal) returns engagement
 *		Leaves the state as it is: a window may go on with it.
 */
Datum
engagement_agg_final(PG_FUNCTION_ARGS)
{
	Engagement *state = aggregate_state(fcinfo, 0);

	if (state == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(engagement_pack(state));
}
