-- readers wait until the commit
BEGIN;
TRUNCATE target;
COPY target FROM :'copy_file' (FORMAT binary);
COMMIT;
