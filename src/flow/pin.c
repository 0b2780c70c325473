/*-------------------------------------------------------------------------
 *
 * pin.c
 *	  The user and the settings that an import's SQL runs under.
 *
 * What a text means as a date, and what a timestamp means as a day, depends on
 * settings; a run must not depend on who called it.  So an import remembers
 * all of them from the day it was declared.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/sql.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "flow/pin.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"

static const char *const pinned[][2] = {
	{"TimeZone", "UTC"},
	{"DateStyle", "ISO, MDY"},
	{"IntervalStyle", "postgres"},
	{"extra_float_digits", "1"},
	{"bytea_output", "hex"},
	{"xmloption", "content"},
	{"xmlbinary", "base64"},
	{"array_nulls", "on"},
	{"standard_conforming_strings", "on"},
	{"transform_null_equals", "off"},
	{"timezone_abbreviations", "Default"},
	{"gin_fuzzy_search_limit", "0"},
	{"row_security", "on"}
};

/* These have no value that suits all, so the creator's stay. */
static const char *const remembered[] = {
	"search_path", "default_text_search_config", "lc_monetary", "lc_numeric", "lc_time"
};

/* Settings that change who runs, or how the caller's transaction or connection behaves. */
static const char *const forbidden[] = {
	"role", "session_authorization", "is_superuser",
	"transaction_isolation", "transaction_read_only", "transaction_deferrable",
	"default_transaction_isolation", "default_transaction_read_only",
	"row_security", "session_replication_role", "client_encoding"
};

static void
require_allowed(const char *name)
{
	for (int i = 0; i < lengthof(forbidden); i++)
	{
		if (pg_strcasecmp(name, forbidden[i]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("setting \"%s\" cannot be pinned by an import", forbidden[i])));
	}
}

/* The next setting of an object; false at its end. */
static bool
next_setting(JsonbIterator **it, char **name, char **value)
{
	JsonbValue	v;
	JsonbIteratorToken token = JsonbIteratorNext(it, &v, true);

	if (token == WJB_BEGIN_OBJECT)
		token = JsonbIteratorNext(it, &v, true);
	if (token != WJB_KEY)
		return false;

	*name = pnstrdup(v.val.string.val, v.val.string.len);
	(void) JsonbIteratorNext(it, &v, true);
	switch (v.type)
	{
		case jbvString:
			*value = pnstrdup(v.val.string.val, v.val.string.len);
			break;
		case jbvNumeric:
			*value = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(v.val.numeric)));
			break;
		case jbvBool:
			*value = pstrdup(v.val.boolean ? "on" : "off");
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("setting \"%s\" has no scalar value", *name)));
	}
	return true;
}

static void
apply_settings(const Jsonb *settings)
{
	JsonbIterator *it = JsonbIteratorInit(unconstify(JsonbContainer *, &settings->root));
	char	   *name;
	char	   *value;

	while (next_setting(&it, &name, &value))
		(void) set_config_option(name, value, superuser() ? PGC_SUSET : PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
idem_pin(const Definition *def, Pin *pin)
{
	int			restricted;

	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(def->owner)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the role that owns import \"%s\" does not exist any more", def->name),
				 errhint("Drop the import, and create it as another role.")));

	GetUserIdAndSecContext(&pin->saved_user, &pin->saved_context);
	restricted = pin->saved_user != def->owner ? SECURITY_RESTRICTED_OPERATION : 0;
	SetUserIdAndSecContext(def->owner, pin->saved_context | SECURITY_LOCAL_USERID_CHANGE | restricted);
	pin->guc_level = NewGUCNestLevel();
	apply_settings(def->settings);
}

void
idem_unpin(const Pin *pin)
{
	AtEOXact_GUC(false, pin->guc_level);
	SetUserIdAndSecContext(pin->saved_user, pin->saved_context);
}

static void
push_text(JsonbParseState **state, JsonbIteratorToken token, const char *text)
{
	JsonbValue	v;

	v.type = jbvString;
	v.val.string.val = unconstify(char *, text);
	v.val.string.len = strlen(text);
	(void) pushJsonbValue(state, token, &v);
}

/*
 * What a definition remembers of the session that made it; before is NULL
 * while it is being made.  Tables of the session come last in search_path,
 * where they can't be taken for the source in the session of some caller.
 */
static const char *
remember(const char *name, const Jsonb *before)
{
	const char *value = GetConfigOption(name, false, false);
	JsonbIterator *it;
	char	   *known;
	char	   *known_value;

	if (strcmp(name, "search_path") == 0 && strstr(value, "pg_temp") == NULL)
		value = psprintf("%s%spg_temp", value, value[0] != '\0' ? ", " : "");
	if (before == NULL)
		return value;

	it = JsonbIteratorInit(unconstify(JsonbContainer *, &before->root));
	while (next_setting(&it, &known, &known_value))
	{
		if (strcmp(known, name) == 0)
			value = known_value;
	}
	return value;
}

/* Later keys of an object replace earlier ones, so the user's come last, under their canonical names. */
Jsonb *
idem_pin_settings(Jsonb *settings, const Jsonb *before)
{
	JsonbParseState *state = NULL;
	JsonbIterator *it;
	char	   *name;
	char	   *value;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < lengthof(pinned); i++)
	{
		push_text(&state, WJB_KEY, pinned[i][0]);
		push_text(&state, WJB_VALUE, pinned[i][1]);
	}
	for (int i = 0; i < lengthof(remembered); i++)
	{
		push_text(&state, WJB_KEY, remembered[i]);
		push_text(&state, WJB_VALUE, remember(remembered[i], before));
	}

	if (settings != NULL)
	{
		if (!JB_ROOT_IS_OBJECT(settings))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("settings must be a JSON object of names and values")));
		it = JsonbIteratorInit(&settings->root);
		while (next_setting(&it, &name, &value))
		{
			const char *canonical;

			require_allowed(name);
			(void) GetConfigOptionByName(name, &canonical, true);
			push_text(&state, WJB_KEY, canonical != NULL ? canonical : name);
			push_text(&state, WJB_VALUE, value);
		}
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}
