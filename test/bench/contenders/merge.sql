MERGE INTO target AS t USING stage AS s ON t.id = s.id
WHEN MATCHED AND (t.customer, t.product, t.at, t.amount, t.note) IS DISTINCT FROM
	(s.customer, s.product, s.at, s.amount, s.note)
THEN UPDATE SET (customer, product, at, amount, note) = (s.customer, s.product, s.at, s.amount, s.note)
WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.customer, s.product, s.at, s.amount, s.note);
