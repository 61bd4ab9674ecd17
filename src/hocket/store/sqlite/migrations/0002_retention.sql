-- What is over and old is deleted: first the notification, so that nobody sees it any more, then,
-- in batches, what was kept of it elsewhere.

CREATE INDEX over ON notifications (max(accepted, released)) WHERE state IN ('done', 'cancelled');
CREATE INDEX marks_by_seq ON marks (seq);
CREATE INDEX memberships_ended ON memberships (until) WHERE until IS NOT NULL;

CREATE TABLE gone (
    number INTEGER PRIMARY KEY,
    seq INTEGER  -- NULL: was never released
) STRICT;
