SELECT * FROM idem_import_run('reload');
