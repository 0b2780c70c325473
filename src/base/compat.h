/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between PostgreSQL 15 and 18, and nothing else.
 *
 * The only file that looks at PG_VERSION_NUM.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_COMPAT_H
#define IDEM_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "idem_import needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM < 160000
/* one function for every catalog since 16 */
#define object_ownercheck(classid, objid, roleid) pg_class_ownercheck(objid, roleid)
#endif

#if PG_VERSION_NUM < 170000
/* timetz AT LOCAL is new in 17; no function has this OID */
#define F_TIMEZONE_TIMETZ InvalidOid
#endif

#if PG_VERSION_NUM >= 180000
/* was split in two, the abbreviations of TimeZone apart; this is the old one */
#define F_PG_TIMEZONE_ABBREVS F_PG_TIMEZONE_ABBREVS_ABBREVS
#endif

#endif							/* IDEM_COMPAT_H */
