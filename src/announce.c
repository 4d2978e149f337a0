/*-------------------------------------------------------------------------
 *
 * announce.c
 *	  Crossings, told to whoever listens.
 *
 * Each is a NOTIFY leadscore with a JSON object.  They are kept until the
 * transaction commits, since one that has sent any cannot be prepared; what a
 * prepared transaction did is told by its history alone.
 *
 * The queue of notifications is the whole server's, and a commit fails if it
 * is full.  So a transaction sends so many, and then one that says how many
 * there are in leadscore.history besides; and none while the queue is half full.
 *
 *-------------------------------------------------------------------------
 */
#include "leadscore.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "announce.h"
#include "settle.h"

/* Messages that a transaction sends one by one. */
#define MAX_MESSAGES	1000

/* The longest payload that NOTIFY takes, with its terminating zero. */
#define MAX_PAYLOAD		8000

/* A part of the queue that is left to others. */
#define MAX_QUEUE_USAGE	0.5

typedef struct Message
{
	int			nest_level;
	char	   *payload;
} Message;

/* In TopTransactionContext; what is beyond the limit is only counted. */
static List *messages = NIL;
static int64 more_messages = 0;
static bool callback_registered = false;


static void
announce_subxact_callback(SubXactEvent event, SubTransactionId subtransaction,
						  SubTransactionId parent, void *arg)
{
	int			nest_level = GetCurrentTransactionNestLevel();
	ListCell   *lc;

	if (messages == NIL)
		return;
	foreach(lc, messages)
	{
		Message    *message = (Message *) lfirst(lc);

		if (message->nest_level < nest_level)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
			messages = foreach_delete_current(messages, lc);
		else if (event == SUBXACT_EVENT_COMMIT_SUB)
			message->nest_level = nest_level - 1;
	}
}

/*
 * As the transaction commits, behind everything else: send what there is, unless
 * it is about to be prepared.
 */
static void
send_messages(bool sends)
{
	List	   *to_send = messages;
	int64		more = more_messages;
	double		usage;
	ListCell   *lc;

	messages = NIL;
	more_messages = 0;
	if (!sends || (to_send == NIL && more == 0))
		return;
	usage = DatumGetFloat8(OidFunctionCall0(F_PG_NOTIFICATION_QUEUE_USAGE));
	if (usage > MAX_QUEUE_USAGE)
	{
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("crossings are not announced: the queue of notifications is %d%% full",
						(int) (usage * 100)),
				 errdetail("A session listens, and has been in one transaction for long."),
				 errhint("They are in leadscore.history; leadscore.changes() returns them.")));
		return;
	}
	foreach(lc, to_send)
		Async_Notify("leadscore", ((Message *) lfirst(lc))->payload);
	if (more > 0)
		Async_Notify("leadscore", psprintf("{\"kind\":\"more\",\"count\":" INT64_FORMAT "}", more));
}

static void
append_string(StringInfo json, const char *name, const char *value)
{
	appendStringInfo(json, "%s\"%s\":", json->len > 1 ? "," : "", name);
	if (value != NULL)
		escape_json(json, value);
	else
		appendStringInfoString(json, "null");
}

static void
append_time(StringInfo json, const char *name, TimestampTz value)
{
	char		buffer[MAXDATELEN + 1];

	(void) JsonEncodeDateTime(buffer, TimestampTzGetDatum(value), TIMESTAMPTZOID, NULL);
	append_string(json, name, buffer);
}

/*
 * announce_crossing
 *		Tell that a lead has crossed from one temperature or stage to another,
 *		once the transaction has committed.
 */
void
announce_crossing(const char *kind, const char *model, const char *lead_key,
				  const char *from, const char *to, bool up,
				  const StateRow *row, const HistoryEntry *entry)
{
	MemoryContext caller;
	StringInfoData json;
	Message    *message;

	if (!callback_registered)
	{
		RegisterSubXactCallback(announce_subxact_callback, NULL);
		callback_registered = true;
	}
	settle_after(send_messages);
	/* of what is only counted, some may be rolled back: it is an upper limit */
	if (list_length(messages) >= MAX_MESSAGES)
	{
		more_messages++;
		return;
	}

	caller = MemoryContextSwitchTo(TopTransactionContext);
	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	append_string(&json, "kind", kind);
	append_string(&json, "model", model);
	append_string(&json, "lead_key", lead_key);
	append_string(&json, "from", from);
	append_string(&json, "to", to);
	append_string(&json, "direction", up ? "up" : "down");
	append_string(&json, "stage", lead_stage_label(DatumGetLeadStage(row->values[STATE_STAGE])));
	append_string(&json, "temperature", TextDatumGetCString(row->values[STATE_TEMPERATURE]));
	append_string(&json, "grade", TextDatumGetCString(row->values[STATE_GRADE]));
	appendStringInfo(&json, ",\"score\":%d", DatumGetInt32(row->values[STATE_SCORE]));
	append_string(&json, "cause", cause_word(entry->cause));
	append_time(&json, "at", entry->at);
	append_time(&json, "recorded_at", GetCurrentTimestamp());
	appendStringInfo(&json, ",\"xact\":\"" UINT64_FORMAT "\"}",
					 U64FromFullTransactionId(GetTopFullTransactionId()));
	/* a key that is longer than that is in the history */
	if (json.len >= MAX_PAYLOAD)
	{
		resetStringInfo(&json);
		appendStringInfoChar(&json, '{');
		append_string(&json, "kind", kind);
		append_string(&json, "model", model);
		append_string(&json, "lead_key", NULL);
		append_string(&json, "to", to);
		appendStringInfoChar(&json, '}');
	}
	message = palloc(sizeof(Message));
	message->nest_level = GetCurrentTransactionNestLevel();
	message->payload = json.data;
	messages = lappend(messages, message);
	MemoryContextSwitchTo(caller);
}
