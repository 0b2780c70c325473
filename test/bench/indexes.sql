-- indexes.sql: those of the target besides its primary key, :indexes with it
SELECT format('CREATE INDEX ON target (%s)', c)
FROM unnest(ARRAY['customer', 'product', 'at']) WITH ORDINALITY AS u(c, n) WHERE n < :indexes ORDER BY n
\gexec
