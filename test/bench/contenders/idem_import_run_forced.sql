SELECT * FROM idem_import_run('load', force => true);
