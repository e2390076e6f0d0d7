-- A project as it was written when an acceptance kept one hash of all that was seen.
PRAGMA user_version = 0;
PRAGMA application_id = 0;
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
INSERT INTO "category" VALUES(0,'Lymphocyte',230,159,0);
INSERT INTO "category" VALUES(1,'Épithélium',86,180,233);
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
INSERT INTO "event" VALUES(1,'set_categories',NULL,NULL,'a0175036-0fe2-4105-bcdc-9ec1f5371b6c','{"categories":[{"color":[230,159,0],"name":"Lymphocyte"},{"color":[86,180,233],"name":"Épithélium"}]}','jd','2026-01-01T00:00:04+00:00','0000000000000000000000000000000000000000000000000000000000000000','80274e3d9bda09cee5a55ede684d82147cfc4e13e9549a024098f828fa49341d');
INSERT INTO "event" VALUES(2,'use_run','5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a',NULL,'d3ea23be-7c52-4194-9e50-d836d855384d','{"region":[0.0,0.0,100.0,80.0],"run_id":"abaa470f-0abf-4eaf-95be-e823c37a9a94"}','jd','2026-01-01T00:00:07+00:00','80274e3d9bda09cee5a55ede684d82147cfc4e13e9549a024098f828fa49341d','f634656d3cab749c42681b5490e522018e5903e1dfc5f7e4f8ca6c2778ff7dc8');
INSERT INTO "event" VALUES(3,'reject','5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a','00000080-0000-0000-0000-000000000001','b92d0a21-41cc-4665-8160-5b89d0b21802','{}','jd','2026-01-01T00:00:08+00:00','f634656d3cab749c42681b5490e522018e5903e1dfc5f7e4f8ca6c2778ff7dc8','3684e0cbbb08be69a6c13a714a2980792f04a1f06735e6a929edb53df1c8aa78');
INSERT INTO "event" VALUES(4,'add','5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a','00000100-0000-0000-0000-000000000009','718671c1-4b49-4e6c-b471-efa180c09476','{"category":"Épithélium","mask":null,"x_px":-0.0,"y_px":3.0}','jd','2026-01-01T00:00:09+00:00','3684e0cbbb08be69a6c13a714a2980792f04a1f06735e6a929edb53df1c8aa78','eb7f8a944b0aa4ffa30b60d7fab8b6487808883d74de03e1368f61a401c876a5');
INSERT INTO "event" VALUES(5,'complete_region','5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a',NULL,'5d92cfff-a3ea-4c3d-9398-17e8ac97c92c','{"region":[0,0,50,80],"seen":{"count":3,"sha256":"6daed37201dec2e701e27f3afc3d743bd119e4f1d18535c152a672fbe52e4136"}}','jd','2026-01-01T00:00:10+00:00','eb7f8a944b0aa4ffa30b60d7fab8b6487808883d74de03e1368f61a401c876a5','60f8125ebe708290fe68beff7db8b048ac10bc026eda10c4c9d68143ec272aec');
INSERT INTO "event" VALUES(6,'move','5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a','00000090-0000-0000-0000-000000000002','7edbc129-5f2b-409c-972a-23eead0b07e8','{"x_px":71.0,"y_px":61.0}','jd','2026-01-01T00:00:11+00:00','60f8125ebe708290fe68beff7db8b048ac10bc026eda10c4c9d68143ec272aec','08a7403630cb158cae059a5c9d88d14f4e3a501e829f95d08647c2e060fc8b04');
INSERT INTO "event" VALUES(7,'complete_region','5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a',NULL,'9d819de5-5322-4844-b4f9-ee88b9e5a2f1','{"region":[50,0,100,80],"seen":{"count":1,"sha256":"50f15e0fd6e7b242015acf15cafe41c2d090864ef31a7f8c07ab368715a8e0fa"}}','jd','2026-01-01T00:00:12+00:00','08a7403630cb158cae059a5c9d88d14f4e3a501e829f95d08647c2e060fc8b04','1ea260ff42bf01b35541f3c2880949a0144f209552ebcc311f22342c17b2664d');
INSERT INTO "event" VALUES(8,'rename_category',NULL,NULL,'200d2e00-9905-487b-b1a3-e54f0a3d764e','{"name":"Other","to":"Stroma"}','jd','2026-01-01T00:00:13+00:00','1ea260ff42bf01b35541f3c2880949a0144f209552ebcc311f22342c17b2664d','67b09d8db371da8cb7c984f5b831350101a2256db9d3c0585b49ab6bf4519533');
INSERT INTO "event" VALUES(9,'relabel','5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a','00000070-0000-0000-0000-000000000000','6148e9f7-a2e4-4ce8-9c6e-524a730b6d63','{"category":"Stroma"}','jd','2026-01-01T00:00:14+00:00','67b09d8db371da8cb7c984f5b831350101a2256db9d3c0585b49ab6bf4519533','19f992997516293d0c4ecc6e5f79a3505495b2431ede859073cc0e7a053bb9e5');
INSERT INTO "event" VALUES(10,'add','6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b','000001b0-0000-0000-0000-000000000014','79f11069-3d4d-47b6-94d2-09ac46465fd7','{"category":"Lymphocyte","mask":null,"x_px":5.0,"y_px":5.0}','jd','2026-01-01T00:00:15+00:00','19f992997516293d0c4ecc6e5f79a3505495b2431ede859073cc0e7a053bb9e5','f28640c2fb0b19c541e290c01a9a42612b8d4533fb60accbcbcdf9ec31451aeb');
INSERT INTO "event" VALUES(11,'add','6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b','000001c0-0000-0000-0000-000000000015','0a574a7f-341c-415a-ac74-f8bc650c1c94','{"category":"Lymphocyte","mask":null,"x_px":9.0,"y_px":9.0}','jd','2026-01-01T00:00:16+00:00','f28640c2fb0b19c541e290c01a9a42612b8d4533fb60accbcbcdf9ec31451aeb','643c12c7cc5374c012306ef28d95c6dea3fb06fd224ca73694c489cd591da4cc');
INSERT INTO "event" VALUES(12,'complete_region','6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b',NULL,'41aef1dd-418b-443d-9fa2-beaa0fca7a18','{"region":[0.0,0.0,100.0,80.0],"seen":{"count":1,"sha256":"be9e257f299f0dd4e2d5a1d60fd5da044d6559914b17614229f3993edb52c0b0"}}','jd','2026-01-01T00:00:17+00:00','643c12c7cc5374c012306ef28d95c6dea3fb06fd224ca73694c489cd591da4cc','fd28538dd471062711a047324dd0aa36c2460d2c62263220d7f6148d570a81eb');
CREATE TABLE hidden_prediction (
	run_id VARCHAR(36) NOT NULL, 
	uid VARCHAR(36) NOT NULL, 
	PRIMARY KEY (run_id, uid), 
	FOREIGN KEY(run_id) REFERENCES run (run_id)
);
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
INSERT INTO "image" VALUES(1,'5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a','/images/a.png','a.png',100,80,0.5,'user',NULL);
INSERT INTO "image" VALUES(2,'6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b','/images/b.png','b.png',100,80,0.5,'user',NULL);
CREATE TABLE migration (
	version INTEGER NOT NULL, 
	applied_utc VARCHAR(40) NOT NULL, 
	software VARCHAR(100) NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "migration" VALUES(1,'2026-01-01T00:00:01+00:00','napari-nunext 0.1.0');
CREATE TABLE prediction (
	run_id VARCHAR(36) NOT NULL, 
	position INTEGER NOT NULL, 
	uid VARCHAR(36) NOT NULL, 
	x_px FLOAT NOT NULL, 
	y_px FLOAT NOT NULL, 
	category TEXT NOT NULL, 
	confidence FLOAT, 
	PRIMARY KEY (run_id, position), 
	UNIQUE (run_id, uid), 
	FOREIGN KEY(run_id) REFERENCES run (run_id)
);
INSERT INTO "prediction" VALUES('abaa470f-0abf-4eaf-95be-e823c37a9a94',0,'00000070-0000-0000-0000-000000000000',14.5,16.25,'Lymphocyte',0.9);
INSERT INTO "prediction" VALUES('abaa470f-0abf-4eaf-95be-e823c37a9a94',1,'00000080-0000-0000-0000-000000000001',40.0,20.1,'Épithélium',0.3);
INSERT INTO "prediction" VALUES('abaa470f-0abf-4eaf-95be-e823c37a9a94',2,'00000090-0000-0000-0000-000000000002',70.0,60.0,'Lymphocyte',0.7);
INSERT INTO "prediction" VALUES('abaa470f-0abf-4eaf-95be-e823c37a9a94',3,'000000a0-0000-0000-0000-000000000003',0.0,79.5,'Other',NULL);
CREATE TABLE prediction_mask (
	run_id VARCHAR(36) NOT NULL, 
	uid VARCHAR(36) NOT NULL, 
	mask TEXT NOT NULL, 
	PRIMARY KEY (run_id, uid), 
	FOREIGN KEY(run_id) REFERENCES run (run_id)
);
INSERT INTO "prediction_mask" VALUES('abaa470f-0abf-4eaf-95be-e823c37a9a94','00000070-0000-0000-0000-000000000000','{"offset": [10, 12], "size": [9, 9], "counts": [4, 1, 6, 5, 3, 7, 2, 7, 1, 9, 1, 7, 2, 7, 3, 5, 6, 1, 4]}');
INSERT INTO "prediction_mask" VALUES('abaa470f-0abf-4eaf-95be-e823c37a9a94','00000090-0000-0000-0000-000000000002','{"offset": [70, 52], "size": [9, 9], "counts": [4, 1, 6, 5, 3, 7, 2, 7, 1, 9, 1, 7, 2, 7, 3, 5, 6, 1, 4]}');
CREATE TABLE project (
	uid VARCHAR(36) NOT NULL, 
	created_utc VARCHAR(40) NOT NULL, 
	head_seq INTEGER NOT NULL, 
	head_hash VARCHAR(64) NOT NULL, 
	PRIMARY KEY (uid)
);
INSERT INTO "project" VALUES('932cebb1-0a71-41bd-9468-19ae0fdfc1e1','2026-01-01T00:00:01+00:00',12,'fd28538dd471062711a047324dd0aa36c2460d2c62263220d7f6148d570a81eb');
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
INSERT INTO "run" VALUES(1,'abaa470f-0abf-4eaf-95be-e823c37a9a94','5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a','{"model_id": "classical", "model_name": "Classical", "checkpoint_sha256": null, "prompt": null, "decoding": {}, "mpp": 0.5, "window_px": 256, "codec_version": 1, "region": [0.0, 0.0, 100.0, 80.0], "segmenter_id": null, "segmenter_sha256": null, "extra": {}}','complete','jd','2026-01-01T00:00:05+00:00','2026-01-01T00:00:06+00:00');
CREATE TABLE writer (
	annotator TEXT NOT NULL, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	since_utc VARCHAR(40) NOT NULL
);
CREATE INDEX ix_run_image_sha256 ON run (image_sha256);
CREATE INDEX event_by_image ON event (image_sha256, seq);
COMMIT;
