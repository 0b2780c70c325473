INSERT INTO target AS t SELECT * FROM stage WHERE id >= (SELECT max(id) FROM target)
ON CONFLICT (id) DO UPDATE SET (customer, product, at, amount, note) =
	(excluded.customer, excluded.product, excluded.at, excluded.amount, excluded.note);
