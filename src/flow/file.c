/*-------------------------------------------------------------------------
 *
 * file.c
 *	  A server-side file, read by COPY's own machinery into rows.
 *
 * COPY reads for a relation; ours is a descriptor only, with no place in the
 * catalogs: the file's columns, in its order, without defaults or constraints.
 * The rows wait in a tuplestore, which goes to disk when it is large, and are
 * then read like a table's.  So nobody else can see them, no table has to be
 * made, as the owner of an import may not do in other people's name, and
 * nothing is left behind.
 *
 * COPY takes its bytes from a function of ours, which hashes them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/copy.h"
#include "commands/defrem.h"
#include "flow/file.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/scansup.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/rel.h"

/* COPY's options that are about writing a table, or about leaving lines out. */
static const char *const refused[] = {
	"freeze", "on_error", "reject_limit", "log_verbosity", "convert_selectively"
};

/* The file that COPY is reading; its callback has no argument to tell. */
static FileSource *reading = NULL;

static void
refuse_option(const char *name, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" %s", name, why)));
}

/* A scalar as text: COPY's options read it as what they need. */
static Node *
scalar_value(const char *name, const JsonbValue *v)
{
	switch (v->type)
	{
		case jbvString:
			if (memchr(v->val.string.val, '\0', v->val.string.len) != NULL)
				break;
			return (Node *) makeString(pnstrdup(v->val.string.val, v->val.string.len));
		case jbvNumeric:
			return (Node *) makeString(DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(v->val.numeric))));
		case jbvBool:
			return (Node *) makeString(pstrdup(v->val.boolean ? "true" : "false"));
		default:
			break;
	}
	refuse_option(name, "must be a text, a number, a boolean, or an array of texts");
	return NULL;				/* keep compiler quiet */
}

/* The value of an option; the iterator stands before it. */
static Node *
option_value(const char *name, JsonbIterator **it)
{
	JsonbValue	v;
	JsonbIteratorToken token = JsonbIteratorNext(it, &v, false);
	List	   *list = NIL;

	if (token == WJB_VALUE)
	{
		Node	   *value = scalar_value(name, &v);

		if (strncmp(name, "force_", 6) == 0 && strcmp(strVal(value), "*") == 0)
			return (Node *) makeNode(A_Star);
		return value;
	}
	if (token != WJB_BEGIN_ARRAY)
		refuse_option(name, "must be a text, a number, a boolean, or an array of texts");
	while ((token = JsonbIteratorNext(it, &v, false)) == WJB_ELEM)
		list = lappend(list, scalar_value(name, &v));
	if (token != WJB_END_ARRAY || list == NIL)
		refuse_option(name, "must be a text, a number, a boolean, or an array of texts");
	return (Node *) list;
}

static void
set_columns(FileSource *file, Node *value)
{
	if (value == NULL || !IsA(value, List))
		refuse_option("columns", "must be an array of names");
	file->columns = castNode(List, value);
}

/*
 * {"format": "csv", "header": true, "force_null": ["a", "b"]}: the options of
 * COPY FROM, by their names, and "columns", its list of columns.  COPY's own
 * default for the encoding is the client's; ours must not depend on who calls,
 * and is not for COPY to know: what it reads is converted already.
 */
static void
parse_options(FileSource *file, Jsonb *options)
{
	JsonbIterator *it = JsonbIteratorInit(&options->root);
	JsonbValue	v;
	CopyFormatOptions copy = {0};
	List	   *given = NIL;
	ListCell   *lc;

	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" must be a JSON object of names and values", "options")));
	(void) JsonbIteratorNext(&it, &v, false);
	while (JsonbIteratorNext(&it, &v, false) == WJB_KEY)
	{
		char	   *name = downcase_identifier(v.val.string.val, v.val.string.len, false, false);
		Node	   *value = option_value(name, &it);

		for (int i = 0; i < lengthof(refused); i++)
		{
			if (strcmp(name, refused[i]) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("option \"%s\" of COPY is not supported", name)));
		}
		if (strcmp(name, "columns") == 0)
			set_columns(file, value);
		else
			given = lappend(given, makeDefElem(name, value, -1));
	}
	ProcessCopyOptions(NULL, &copy, true, given);
	if (!copy.binary)
		file->text = idem_file_text_create(copy.file_encoding >= 0 ? copy.file_encoding : GetDatabaseEncoding());
	foreach(lc, given)
	{
		if (strcmp(((DefElem *) lfirst(lc))->defname, "encoding") != 0)
			file->options = lappend(file->options, lfirst(lc));
	}
	if (!copy.binary)
		file->options = lappend(file->options,
								makeDefElem("encoding", (Node *) makeString(pstrdup(GetDatabaseEncodingName())), -1));
}

FileSource *
idem_file_open(const char *path, Jsonb *options)
{
	FileSource *file = palloc0(sizeof(FileSource));

	file->path = path;
	file->given = options;
	parse_options(file, options);
	file->lines = idem_line_rejects_create();
	idem_file_open_regular(file);
	return file;
}

/* The file's columns in its order. */
static TupleDesc
file_desc(const FileSource *file, TupleDesc shape)
{
	TupleDesc	desc;
	ListCell   *lc;

	if (file->columns == NIL)
		return shape;
	desc = CreateTemplateTupleDesc(list_length(file->columns));
	foreach(lc, file->columns)
	{
		const char *name = strVal(lfirst(lc));
		AttrNumber	place = idem_relation_column(shape, name);

		if (place == 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of the file is not a column of the source", name)));
		if (list_member(list_copy_head(file->columns, foreach_current_index(lc)), lfirst(lc)))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_COLUMN),
					 errmsg("column \"%s\" of the file is named twice", name)));
		TupleDescCopyEntry(desc, foreach_current_index(lc) + 1, shape, place);
	}
	return desc;
}

/* What COPY needs of a relation: its columns, and a name for messages, the file's. */
static Relation
descriptor_relation(const FileSource *file)
{
	Relation	rel = palloc0(sizeof(RelationData));
	const char *slash = strrchr(file->path, '/');
	const char *name = slash != NULL ? slash + 1 : file->path;

	rel->rd_att = file->desc;
	rel->rd_rel = palloc0(sizeof(FormData_pg_class));
	rel->rd_rel->relkind = RELKIND_RELATION;
	rel->rd_rel->relnatts = file->desc->natts;
	memcpy(NameStr(rel->rd_rel->relname), name, pg_mbcliplen(name, strlen(name), NAMEDATALEN - 1));
	return rel;
}

static int
give_bytes(void *buf, int minread, int maxread)
{
	int			len = 0;
	int			nread;

	do
	{
		if (reading->text != NULL)
			nread = idem_file_text_read(reading, (char *) buf + len, maxread - len);
		else
			nread = idem_file_read(reading, (char *) buf + len, maxread - len);
		len += nread;
	} while (nread > 0 && len < minread);
	return len;
}

static void
file_context(void *arg)
{
	errcontext("file \"%s\"", ((FileSource *) arg)->path);
}

static void
copy_rows(FileSource *file)
{
	CopyFromState copy;

	copy = BeginCopyFrom(NULL, descriptor_relation(file), NULL, NULL, false, give_bytes, NIL, file->options);
	idem_file_read_rows(file, copy);
	EndCopyFrom(copy);
}

void
idem_file_load(FileSource *file, TupleDesc shape, int64 most_bad)
{
	FileSource *outer = reading;
	ErrorContextCallback callback;

	callback.callback = file_context;
	callback.arg = file;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	file->desc = file_desc(file, shape);
	file->most_bad = most_bad;
	file->rows = tuplestore_begin_heap(true, false, work_mem);
	idem_file_begin_hash(file);

	/* a domain's check may read a file, too */
	PG_TRY();
	{
		reading = file;
		copy_rows(file);
	}
	PG_FINALLY();
	{
		reading = outer;
	}
	PG_END_TRY();
	idem_file_finish(file);
	file->nrows = tuplestore_tuple_count(file->rows);
	error_context_stack = callback.previous;
}

void
idem_file_close(FileSource *file)
{
	if (file->fd >= 0)
		CloseTransientFile(file->fd);
	file->fd = -1;
	if (file->rows != NULL)
		tuplestore_end(file->rows);
	file->rows = NULL;
	if (file->lines != NULL)
		idem_line_rejects_free(file->lines);
	file->lines = NULL;
}
