/*-------------------------------------------------------------------------
 *
 * definition.h
 *	  What an import is, as declared.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_DEFINITION_H
#define IDEM_DEFINITION_H

#include "base/sql.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "utils/jsonb.h"

typedef enum ImportMode
{
	MODE_MERGE,
	MODE_INSERT_ONLY,
	MODE_OVERWRITE
} ImportMode;

typedef enum OutOfScope
{
	OUT_OF_SCOPE_ERROR,
	OUT_OF_SCOPE_REJECT,
	OUT_OF_SCOPE_IGNORE
} OutOfScope;

typedef enum Method
{
	METHOD_AUTO,
	METHOD_DIFF,
	METHOD_SWAP,
	METHOD_REPLACE
} Method;

typedef enum Track
{
	TRACK_NONE,
	TRACK_CURSOR,				/* by a column that grows */
	TRACK_SNAPSHOT				/* by the transactions that wrote the rows */
} Track;

#define NO_LIMIT	(-1)

/* Lists are of String; an absent text is NULL, an absent list NIL. */
typedef struct Definition
{
	char	   *name;
	int			version;
	TimestampTz created_at;
	Oid			owner;
	Oid			source_table;	/* either this ... */
	char	   *source_query;	/* ... or this */
	Oid			target;
	ImportMode	mode;
	List	   *key;
	List	   *scope;
	char	   *slice;
	List	   *columns;
	bool		columns_auto;	/* all that source and target shared */
	List	   *source_columns; /* all that the source had */
	char	   *order_by;
	char	   *version_column;
	List	   *keep_columns;
	List	   *ignore_columns;
	bool		null_match;
	char	   *delete_flag;
	bool		delete_missing;
	double		delete_limit;	/* NO_LIMIT: no guard */
	OutOfScope	out_of_scope;
	Track		track;
	char	   *cursor_column;	/* track cursor */
	char	   *overlap;		/* how far below the mark it starts to read */
	int64		batch_size;		/* NO_LIMIT: all at once */
	int64		reject_limit;	/* NO_LIMIT: any number */
	Method		method;
	char	   *effects;		/* a query over the rows that a run changes */
	int			max_attempts;	/* of a task */
	Interval	backoff;		/* before the second of them; doubled for each after that */
	Jsonb	   *settings;		/* complete: what every run pins */
} Definition;

/* Do target rows go that no staged row asks for? */
static inline bool
idem_removes_missing(const Definition *def)
{
	return def->mode == MODE_OVERWRITE || def->delete_missing;
}

/* The words of the enums, as SQL spells them; parse raises 22023 naming the argument. */
extern const char *idem_mode_name(ImportMode mode);
extern ImportMode idem_mode_parse(const char *word);
extern OutOfScope idem_out_of_scope_parse(const char *word);
extern const char *idem_track_name(Track track);
extern Track idem_track_parse(const char *word);
extern Method idem_method_parse(const char *word);

/* The import of that name, allocated in CurrentMemoryContext; NULL if there is none. */
extern Definition *idem_definition_load(const char *name);

/*
 * The same, or 42704; and 42501 unless the current user has the rights of its
 * owner.
 */
extern Definition *idem_definition_get(const char *name);

/* The imports that a role may use, by name (List of String). */
extern List *idem_definition_names(Oid role);

/* Store a new import. */
extern void idem_definition_insert(Definition *def);

/*
 * Store a new version of an old one, if anything has changed; says whether
 * what has been imported must be read anew: where anything but limits,
 * batches and methods has changed.
 */
extern bool idem_definition_update(Definition *def);

/*
 * Delete old rows of another table, of whose imports the column "import" tells:
 * of those that a role may run, with "dropped" also of those that are there no
 * more.  format: the DELETE, with %1$s for our schema, %2$s for the condition
 * who may, and $3 for the time.  Returns how many rows; errors: none.
 */
extern uint64 idem_definition_prune(const char *format, TimestampTz before, Oid who, bool dropped);

/* Forget it; its ledger, history and rejects are kept. */
extern void idem_definition_delete(const char *name);

#endif							/* IDEM_DEFINITION_H */
