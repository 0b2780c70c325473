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

/* where the files of a relation are had other names */
#define rd_newRelfilelocatorSubid rd_newRelfilenodeSubid
#define rd_firstRelfilelocatorSubid rd_firstRelfilenodeSubid
#define RelationAssumeNewRelfilelocator(rel) RelationAssumeNewRelfilenode(rel)

/* the permissions that a range table asks for stood in its entries */
#define RTEPermissionInfo RangeTblEntry
#define addRTEPermissionInfo(permissions, rte) ((void) (permissions), (rte))
#define ExecCheckPermissions(rtable, permissions, raise) ExecCheckRTPerms(rtable, raise)

/* a leaf's attribute map is made when it is first found */
#define ExecGetRootToChildMap(leaf, estate) ((leaf)->ri_RootToPartitionMap)
#endif

#if PG_VERSION_NUM >= 160000
/* was a part of postgres.h */
#include "varatt.h"
#endif

/* a range table of one relation, which is written */
#if PG_VERSION_NUM < 160000
#define exec_init_range_table(estate, rtable, permissions) ExecInitRangeTable(estate, rtable)
#elif PG_VERSION_NUM < 180000
#define exec_init_range_table(estate, rtable, permissions) ExecInitRangeTable(estate, rtable, permissions)
#else
#define exec_init_range_table(estate, rtable, permissions) \
	ExecInitRangeTable(estate, rtable, permissions, bms_make_singleton(1))
#endif

/* for a new row, in all indexes */
#if PG_VERSION_NUM < 160000
#define exec_insert_index_tuples(rel, slot, estate) \
	ExecInsertIndexTuples(rel, slot, estate, false, false, NULL, NIL)
#else
#define exec_insert_index_tuples(rel, slot, estate) \
	ExecInsertIndexTuples(rel, slot, estate, false, false, NULL, NIL, false)
#endif

#if PG_VERSION_NUM < 170000
/* the local id of the transaction that a process is in */
#define proc_lxid(proc) ((proc)->lxid)

/* timetz AT LOCAL is new in 17; no function has this OID */
#define F_TIMEZONE_TIMETZ InvalidOid

/* pg_attribute.attstattarget: -1 for the default, NULL since 17 */
#define idem_default_statistics_target(value, isnull) (DatumGetInt32(value) == -1)
#define IDEM_STATISTICS_TARGET_NONE Int32GetDatum(0)
#else
#define proc_lxid(proc) ((proc)->vxid.lxid)

#define idem_default_statistics_target(value, isnull) (isnull)
#define IDEM_STATISTICS_TARGET_NONE Int16GetDatum(0)

/* since 17 relcache keeps no link to storage that could dangle */
#define RelationCloseSmgrByOid(relid) ((void) 0)
#endif

#if PG_VERSION_NUM >= 180000
/* was split in two, the abbreviations of TimeZone apart; this is the old one */
#define F_PG_TIMEZONE_ABBREVS F_PG_TIMEZONE_ABBREVS_ABBREVS

/* what get_ordering_op_properties tells besides family and type */
#define OrderingKind CompareType

#define IDEM_GENERATED_VIRTUAL ATTRIBUTE_GENERATED_VIRTUAL
#define IDEM_SET_RELALLFROZEN(form, pages) ((form)->relallfrozen = (pages))
#define IDEM_SWAP_RELALLFROZEN(a, b) SWAP(int32, (a)->relallfrozen, (b)->relallfrozen)
#define pgstat_report_vacuum_since(relid, shared, live, dead, start) \
	pgstat_report_vacuum(relid, shared, live, dead, start)
#define pgstat_report_analyze_since(rel, live, dead, reset, start) \
	pgstat_report_analyze(rel, live, dead, reset, start)
#else
#define OrderingKind int16

/* no such columns, nor how long it took */
#define IDEM_GENERATED_VIRTUAL 'v'
#define IDEM_SET_RELALLFROZEN(form, pages) ((void) (pages))
#define IDEM_SWAP_RELALLFROZEN(a, b) ((void) 0)
#define pgstat_report_vacuum_since(relid, shared, live, dead, start) \
	pgstat_report_vacuum(relid, shared, live, dead)
#define pgstat_report_analyze_since(rel, live, dead, reset, start) \
	pgstat_report_analyze(rel, live, dead, reset)
#endif

#endif							/* IDEM_COMPAT_H */
