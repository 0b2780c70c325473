-- readers wait until the commit
BEGIN;
TRUNCATE target_20260609;
INSERT INTO target_20260609 SELECT * FROM stage;
COMMIT;
