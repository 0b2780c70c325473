/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The worker's settings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_SETTINGS_H
#define IDEM_SETTINGS_H

/* idem_import.max_workers: executors of all databases together */
extern int	idem_max_workers;

/* Define them. */
extern void idem_settings_init(void);

/* Does idem_import.databases name the database? */
extern bool idem_settings_serve(const char *database);

#endif							/* IDEM_SETTINGS_H */
