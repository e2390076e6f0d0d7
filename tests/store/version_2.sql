BEGIN TRANSACTION;
CREATE TABLE category (
	position INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	red INTEGER NOT NULL, 
	green INTEGER NOT NULL, 
	blue INTEGER NOT NULL, 
	PRIMARY KEY (position), 
	UNIQUE (name)
);
INSERT INTO "category" VALUES(0,'Tumour',230,159,0);
INSERT INTO "category" VALUES(1,'Stroma',0,158,115);
CREATE TABLE event (
	seq INTEGER NOT NULL, 
	kind VARCHAR(40) NOT NULL, 
	image_sha256 VARCHAR(64), 
	uid VARCHAR(36), 
	gesture VARCHAR(36) NOT NULL, 
	payload TEXT NOT NULL, 
	annotator TEXT NOT NULL, 
	at_utc VARCHAR(40) NOT NULL, 
	previous_hash VARCHAR(64) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	PRIMARY KEY (seq), 
	FOREIGN KEY(image_sha256) REFERENCES image (sha256)
);
INSERT INTO "event" VALUES(1,'set_categories',NULL,NULL,'ae5383f5-75ad-4e7c-ba44-d8821844e7f0','{"categories":[{"color":[230,159,0],"name":"Tumour"},{"color":[0,158,115],"name":"Stroma"}]}','jd','2024-01-01T00:00:04+00:00','0000000000000000000000000000000000000000000000000000000000000000','5c7c3eb9959fc45716e82821c496fcf41901dba9d565e3e93890585512a8711c');
INSERT INTO "event" VALUES(2,'use_run','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd',NULL,'b624e348-c72f-41e1-9453-bf6719c0e5b1','{"region":[0,0,100,80],"run_id":"85d7096a-cf31-4c30-b307-587db79360c9"}','jd','2024-01-01T00:00:07+00:00','5c7c3eb9959fc45716e82821c496fcf41901dba9d565e3e93890585512a8711c','8f75e681c913d1588f34989ab2ed8d4684bae4e13d3eea0552df9efe223908fa');
INSERT INTO "event" VALUES(3,'add','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd','00000000-0000-0000-0000-00000000004d','e991bc2c-fa87-4f2f-8aa7-067efdbd2349','{"category":"Tumour","mask":null,"x_px":50.0,"y_px":60.0}','jd','2024-01-01T00:00:08+00:00','8f75e681c913d1588f34989ab2ed8d4684bae4e13d3eea0552df9efe223908fa','fbcf053f36005bdb0b70f00aa3013775784313d06bb92676b0f04f161af1e04f');
INSERT INTO "event" VALUES(4,'comment','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd',NULL,'73ca08e0-08a2-4f00-9a07-dd4e904a15d1','{"text":"Blurred at the left."}','jd','2024-01-01T00:00:09+00:00','fbcf053f36005bdb0b70f00aa3013775784313d06bb92676b0f04f161af1e04f','89b27183858fb434f6555244c0e8328065ec1368ba2fd3eee88194402dc7f29a');
INSERT INTO "event" VALUES(5,'delete','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd','c72139fd-7eb2-891d-8000-000040000000','84a87bf7-1a34-4120-a80f-1a46de1827f2','{}','jd','2024-01-01T00:00:10+00:00','89b27183858fb434f6555244c0e8328065ec1368ba2fd3eee88194402dc7f29a','25837f07570584acfcb79d1b74176310bbf3caeeebe00c21d117568ed3f75be2');
CREATE TABLE image (
	position INTEGER NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	path TEXT NOT NULL, 
	name TEXT NOT NULL, 
	width_px INTEGER NOT NULL, 
	height_px INTEGER NOT NULL, 
	mpp FLOAT NOT NULL, 
	mpp_source VARCHAR(20) NOT NULL, 
	patient TEXT, 
	PRIMARY KEY (position), 
	UNIQUE (sha256)
);
INSERT INTO "image" VALUES(1,'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd','/tiles/a.png','a.png',100,80,0.5,'file',NULL);
CREATE TABLE migration (
	version INTEGER NOT NULL, 
	applied_utc VARCHAR(40) NOT NULL, 
	software VARCHAR(100) NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "migration" VALUES(2,'2024-01-01T00:00:01+00:00','napari-nunext 0.1.0');
CREATE TABLE project (
	uid VARCHAR(36) NOT NULL, 
	created_utc VARCHAR(40) NOT NULL, 
	head_seq INTEGER NOT NULL, 
	head_hash VARCHAR(64) NOT NULL, 
	PRIMARY KEY (uid)
);
INSERT INTO "project" VALUES('2746d821-1e9d-4ed6-9acd-ec0b8d30b299','2024-01-01T00:00:01+00:00',5,'25837f07570584acfcb79d1b74176310bbf3caeeebe00c21d117568ed3f75be2');
CREATE TABLE run (
	position INTEGER NOT NULL, 
	run_id VARCHAR(36) NOT NULL, 
	image_sha256 VARCHAR(64) NOT NULL, 
	info TEXT NOT NULL, 
	status VARCHAR(20) NOT NULL, 
	annotator TEXT NOT NULL, 
	started_utc VARCHAR(40) NOT NULL, 
	finished_utc VARCHAR(40), 
	PRIMARY KEY (position), 
	UNIQUE (run_id), 
	FOREIGN KEY(image_sha256) REFERENCES image (sha256)
);
INSERT INTO "run" VALUES(1,'85d7096a-cf31-4c30-b307-587db79360c9','cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd','{"model": {"name": "Classical", "family": "classical", "categories": [], "mpp": null, "window_px": 64, "kind": "detector", "id": "classical", "checkpoint_sha256": null, "parameters": null, "prompt": null, "metrics": [], "provenance": {}}, "decoding": {"threshold": 0.1}, "mpp": 0.5, "codec_version": 1, "region": [0, 0, 100, 80], "segmenter": null, "extra": {}}','complete','jd','2024-01-01T00:00:05+00:00','2024-01-01T00:00:06+00:00');
CREATE TABLE run_hidden (
	position INTEGER NOT NULL, 
	run INTEGER NOT NULL, 
	stand INTEGER NOT NULL, 
	uids BLOB NOT NULL, 
	PRIMARY KEY (position), 
	FOREIGN KEY(run) REFERENCES run (position)
);
INSERT INTO "run_hidden" VALUES(1,1,0,X'C72139FD7EB2891D8000000040000001');
CREATE TABLE run_window (
	position INTEGER NOT NULL, 
	run INTEGER NOT NULL, 
	number INTEGER, 
	finish VARCHAR(20) NOT NULL, 
	n INTEGER NOT NULL, 
	names TEXT NOT NULL, 
	category BLOB NOT NULL, 
	xy BLOB NOT NULL, 
	confidence BLOB NOT NULL, 
	uids BLOB, 
	PRIMARY KEY (position), 
	UNIQUE (run, number), 
	FOREIGN KEY(run) REFERENCES run (position)
);
INSERT INTO "run_window" VALUES(1,1,0,'end',2,'["Tumour", "Stroma"]',X'00000100',X'000000000000254000000000000028400000000000003E400000000000003440',X'CDCCCCCCCCCCEC3F9A9999999999D93F',NULL);
INSERT INTO "run_window" VALUES(2,1,1,'end',2,'["Tumour", "Stroma"]',X'00000100',X'00000000008051400000000000002E400000000000003F400000000000003440',X'9A9999999999E93F333333333333D33F',NULL);
CREATE TABLE window_masks (
	position INTEGER NOT NULL, 
	run_window INTEGER NOT NULL, 
	places BLOB NOT NULL, 
	masks BLOB NOT NULL, 
	crc32 BIGINT NOT NULL, 
	PRIMARY KEY (position), 
	FOREIGN KEY(run_window) REFERENCES run_window (position)
);
INSERT INTO "window_masks" VALUES(1,1,X'00000000',X'7801E36280001E28CD84830609B300310004900021',51389498);
INSERT INTO "window_masks" VALUES(2,2,X'00000000',X'7801736380007E28CD84830609B300310010480060',2048254244);
CREATE TABLE writer (
	annotator TEXT NOT NULL, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	since_utc VARCHAR(40) NOT NULL
);
CREATE INDEX ix_run_image_sha256 ON run (image_sha256);
CREATE INDEX event_by_image ON event (image_sha256, seq);
CREATE INDEX ix_run_hidden_run ON run_hidden (run);
CREATE INDEX ix_window_masks_run_window ON window_masks (run_window);
COMMIT;
