-- Times are seconds since 1970, names and ids text, content and preferences JSON.

CREATE TABLE counters (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,  -- the last one accepted
    seq INTEGER NOT NULL,     -- the last one released
    users INTEGER NOT NULL    -- how many there are
) STRICT;
INSERT INTO counters VALUES (1, 0, 0, 0);

-- Everybody that was seen. What was marked in one go is a position here, not a row an item.
CREATE TABLE users (
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    seq INTEGER NOT NULL,  -- the last one released before
    preferences BLOB NOT NULL DEFAULT x'7b7d',
    read_upto INTEGER NOT NULL DEFAULT 0,
    read_at REAL NOT NULL DEFAULT 0,
    archived_upto INTEGER NOT NULL DEFAULT 0,
    archived_at REAL NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- A user was in a topic from the notification `since` to the notification `until`.
CREATE TABLE memberships (
    topic TEXT NOT NULL,
    user TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,         -- NULL: still is
    seq INTEGER NOT NULL,  -- the last one released before
    PRIMARY KEY (topic, user, since)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_of_user ON memberships (user, topic);

CREATE TABLE devices (
    id TEXT PRIMARY KEY,
    user TEXT NOT NULL,
    provider TEXT NOT NULL,
    token TEXT NOT NULL,
    hash BLOB NOT NULL,  -- of the token, which may be long
    registered REAL NOT NULL,
    number INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX devices_by_token ON devices (provider, hash);
CREATE INDEX devices_of_user ON devices (user, id);

CREATE TABLE notifications (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    caller TEXT NOT NULL,
    request BLOB NOT NULL,  -- digest of what was asked
    seq INTEGER,            -- NULL: not released
    state TEXT NOT NULL,
    content BLOB NOT NULL,
    accepted REAL NOT NULL,
    send_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    closes_at REAL NOT NULL,  -- when what is open then expires: at expires_at, and looked at again
                              -- later as long as somebody has some in hand
    released REAL NOT NULL DEFAULT 0,
    collapse_key TEXT NOT NULL,
    everybody INTEGER NOT NULL,
    digest TEXT,            -- deliveries of one device with the same one become one push,
    pause REAL NOT NULL,    -- so many seconds after the first of them
    recipients INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX notifications_by_seq ON notifications (seq) WHERE seq IS NOT NULL;
CREATE INDEX broadcasts ON notifications (seq, number) WHERE everybody = 1 AND seq IS NOT NULL;
CREATE INDEX scheduled ON notifications (send_at) WHERE state = 'scheduled';
CREATE INDEX running ON notifications (closes_at) WHERE state = 'running';

-- How the deliveries of a notification stand. Those of devices after `cursor` are to be made.
CREATE TABLE tallies (
    notification INTEGER PRIMARY KEY REFERENCES notifications,
    cursor TEXT,  -- the last device or user; NULL: nothing is to be made
    made INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    expired INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    suppressed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX unfinished ON tallies (notification) WHERE cursor IS NOT NULL;

-- The users that an audience names, from both sides: `inbox` once it is released.
CREATE TABLE addressed (
    notification INTEGER NOT NULL,
    user TEXT NOT NULL,
    PRIMARY KEY (notification, user)
) STRICT, WITHOUT ROWID;
CREATE TABLE inbox (
    user TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (user, seq)
) STRICT, WITHOUT ROWID;

-- The topics that an audience names, from both sides: `aired` once it is released.
CREATE TABLE aimed (
    notification INTEGER NOT NULL,
    topic TEXT NOT NULL,
    PRIMARY KEY (notification, topic)
) STRICT, WITHOUT ROWID;
CREATE TABLE aired (
    topic TEXT NOT NULL,
    seq INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (topic, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE marks (
    user TEXT NOT NULL,
    seq INTEGER NOT NULL,
    read REAL,      -- NULL: as the user's read_upto says
    archived REAL,  -- NULL: as the user's archived_upto says
    PRIMARY KEY (user, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    notification INTEGER NOT NULL,
    user TEXT NOT NULL,
    device TEXT NOT NULL,
    provider TEXT NOT NULL,
    state TEXT NOT NULL,
    due REAL,  -- NULL: settled
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    digest TEXT
) STRICT;
CREATE INDEX deliveries_of_notification ON deliveries (notification);
CREATE INDEX deliveries_of_user ON deliveries (notification, user);
CREATE INDEX outbox ON deliveries (provider, due) WHERE due IS NOT NULL;
CREATE INDEX outbox_of_device ON deliveries (device, digest) WHERE due IS NOT NULL;

CREATE TABLE idempotency (
    caller TEXT NOT NULL,
    key TEXT NOT NULL,
    at REAL NOT NULL,
    notification INTEGER NOT NULL,
    PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (at);

CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,  -- a JSON array
    created REAL NOT NULL
) STRICT;
