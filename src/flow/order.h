/*-------------------------------------------------------------------------
 *
 * order.h
 *	  The declared order that names a winner among staged rows of one key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef IDEM_ORDER_H
#define IDEM_ORDER_H

#include "nodes/pg_list.h"

typedef struct OrderItem
{
	char	   *expression;		/* over the source's columns */
	bool		descending;
	bool		nulls_first;
} OrderItem;

/*
 * Split "updated_at DESC, seq DESC NULLS FIRST" into OrderItems; NULLs come
 * last unless said otherwise.  42601 or 22023 for what is no such list.
 */
extern List *idem_order_parse(const char *order_by);

#endif							/* IDEM_ORDER_H */
