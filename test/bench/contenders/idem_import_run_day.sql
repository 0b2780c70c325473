SELECT * FROM idem_import_run('day', '2026-06-09');
