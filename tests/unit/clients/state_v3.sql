BEGIN TRANSACTION;
CREATE TABLE agreements (
  id VARCHAR NOT NULL,
  digest VARCHAR NOT NULL,
  product VARCHAR NOT NULL,
  document BLOB NOT NULL,
  concluded VARCHAR NOT NULL,
  uses INTEGER NOT NULL,
  metered_s INTEGER DEFAULT '0' NOT NULL,
  epsilon VARCHAR DEFAULT '0' NOT NULL,
  paid VARCHAR DEFAULT '0' NOT NULL,
  first_use VARCHAR,
  withdrawn VARCHAR,
  reason VARCHAR,
  PRIMARY KEY (id)
);
INSERT INTO "agreements" VALUES('urn:tdspace:agreement:1','d1','urn:tdspace:product:clinic/stays',X'7B7D','2026-03-01T12:00:00.000Z',2,60,'0.5','10','2026-03-01T12:00:00.000Z',NULL,NULL);
CREATE TABLE apps (
  sha256 VARCHAR NOT NULL,
  approved VARCHAR NOT NULL,
  revoked VARCHAR,
  PRIMARY KEY (sha256)
);
INSERT INTO "apps" VALUES('ab','2026-03-01T12:00:00.000Z',NULL);
CREATE TABLE journal (
  number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  entry BLOB NOT NULL
);
INSERT INTO "journal" VALUES(1,X'7B7D');
CREATE TABLE products (
  id VARCHAR NOT NULL,
  file VARCHAR NOT NULL,
  digest VARCHAR NOT NULL,
  rows INTEGER NOT NULL,
  card BLOB NOT NULL,
  opening BLOB DEFAULT (x'') NOT NULL,
  registered INTEGER,
  PRIMARY KEY (id)
);
INSERT INTO "products" VALUES('urn:tdspace:product:clinic/stays','/data/stays.json','aa',12,X'7B7D',X'',4);
CREATE TABLE seen (
  id INTEGER NOT NULL,
  size INTEGER NOT NULL,
  root BLOB NOT NULL,
  note VARCHAR NOT NULL,
  PRIMARY KEY (id)
);
INSERT INTO "seen" VALUES(1,7,X'AB','a note');
CREATE TABLE uses (
  permit_id VARCHAR NOT NULL,
  permit VARCHAR NOT NULL,
  agreement VARCHAR NOT NULL,
  product VARCHAR NOT NULL,
  app VARCHAR NOT NULL,
  run VARCHAR NOT NULL,
  round INTEGER NOT NULL,
  started VARCHAR NOT NULL,
  expires VARCHAR NOT NULL,
  outcome VARCHAR,
  metered_s INTEGER DEFAULT '0' NOT NULL,
  PRIMARY KEY (permit_id)
);
INSERT INTO "uses" VALUES('permit-1','p1','urn:tdspace:agreement:1','urn:tdspace:product:clinic/stays','ab','run-1',1,'2026-03-01T12:00:00.000Z','2026-03-01T12:05:00.000Z','receipted',7);
INSERT INTO "uses" VALUES('permit-2','p2','urn:tdspace:agreement:1','urn:tdspace:product:clinic/stays','ab','run-1',2,'2026-03-01T12:01:00.000Z','2026-03-01T12:06:00.000Z',NULL,60);
CREATE TABLE withdrawals (
  id VARCHAR NOT NULL,
  agreement VARCHAR NOT NULL,
  envelope BLOB NOT NULL,
  opening BLOB DEFAULT (x'') NOT NULL,
  told VARCHAR,
  PRIMARY KEY (id)
);
INSERT INTO "withdrawals" VALUES('w1','urn:tdspace:agreement:1',X'7B7D',X'',NULL);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('journal',2);
COMMIT;
PRAGMA user_version = 3;
