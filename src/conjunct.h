/*-------------------------------------------------------------------------
 *
 * conjunct.h
 *	  Conjuncts of a condition -> handles that a rule can hang on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_CONJUNCT_H
#define LEADSCORE_CONJUNCT_H

#include "leadscore.h"

#include "nodes/primnodes.h"

/* How the values of a key are compared. */
typedef enum KeyKind
{
	KEY_INTEGER,				/* maps to int64, order included */
	KEY_BYTES,					/* equal exactly if the bytes are */
	KEY_GENERIC					/* by the type's own functions */
} KeyKind;

/* What is found under a key, in order of preference. */
typedef enum HandleKind
{
	HANDLE_EQUAL,
	HANDLE_RANGE,
	HANDLE_TRUE,
	HANDLE_FALSE,
	HANDLE_NULL,
	HANDLE_NOT_NULL
} HandleKind;

/* A conjunct that a rule can hang on. */
typedef struct Handle
{
	HandleKind	kind;
	Node	   *key;			/* relabelings stripped */
	KeyKind		key_kind;
	Oid			type;			/* type that the operator compares */
	Oid			operator;
	Oid			collation;
	List	   *values;			/* of Const: for HANDLE_EQUAL */
	Const	   *low;			/* for HANDLE_RANGE; NULL is open */
	Const	   *high;
	bool		low_excluded;
	bool		high_excluded;
} Handle;

extern bool find_handle(List *conjuncts, Handle *best, List **used);
extern List *find_alternatives(List *conjuncts);
extern bool reads_as_integer(Oid type);

#endif							/* LEADSCORE_CONJUNCT_H */
