COPY target FROM :'copy_file' (FORMAT binary);
