INSERT INTO target AS t SELECT * FROM stage
ON CONFLICT (id) DO UPDATE SET (customer, product, at, amount, note) =
	(excluded.customer, excluded.product, excluded.at, excluded.amount, excluded.note)
WHERE (t.customer, t.product, t.at, t.amount, t.note) IS DISTINCT FROM
	(excluded.customer, excluded.product, excluded.at, excluded.amount, excluded.note);
