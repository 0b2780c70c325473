-- readers wait until the commit
BEGIN;
TRUNCATE target_20260609;
COPY target_20260609 FROM :'copy_file' (FORMAT binary);
COMMIT;
