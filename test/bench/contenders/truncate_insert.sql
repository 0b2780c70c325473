-- readers wait until the commit
BEGIN;
TRUNCATE target;
INSERT INTO target SELECT * FROM stage;
COMMIT;
