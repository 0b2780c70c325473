INSERT INTO target SELECT * FROM stage;
