/*-------------------------------------------------------------------------
 *
 * apply_sql.h
 *	  The statements that write a target.
 *
 * Each is shown above the function that builds it.  They read their rows as s
 * from an ephemeral relation, and take the unit's parameters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_APPLY_SQL_H
#define IDEM_APPLY_SQL_H

#include "flow/target.h"

#define APPLY_ROWS	"idem_import_rows"

/*
 * With "told" they return the rows that they wrote, in the shape of changes.h.
 */

/* Delete all rows of the unit. */
extern char *idem_apply_clear_query(const Target *target, bool told);

/* Delete the unit's rows whose key is not among the rows. */
extern char *idem_apply_remove_query(const Target *target, bool told);

/* Delete the rows of missing.h, by their place. */
extern char *idem_apply_remove_places_query(const Target *target, bool told);

/* Delete the rows. */
extern char *idem_apply_delete_query(const Target *target, bool told);

/* Update the rows in place; NULL if there is no column to set. */
extern char *idem_apply_update_query(const Target *target, bool told);

/* Insert the rows. */
extern char *idem_apply_insert_query(const Target *target, bool told);

/*
 * Delete the rows and insert them anew, where the columns differ that stand in
 * other unique constraints (unique), or that can't be set; NULL if there are none.
 * What is told comes from a SELECT around it.
 */
extern char *idem_apply_exchange_query(const Target *target, bool unique, bool told);

#endif							/* IDEM_APPLY_SQL_H */
