-- Copies and moves: how many copies `archived` needs, where recordings go with age, which objects may not be read, and
-- the queue of the copier, which is a condition of the recording.

-- When an operator declared the store lost. Its name goes to the store that replaces it.
ALTER TABLE stores ADD COLUMN lost_at BIGINT;

-- How many of the tier's stores a recording must be in to be archived; NULL: all of them.
ALTER TABLE tiers ADD COLUMN copies BIGINT;
-- Where recordings go with age: JSON, see TierMove.
ALTER TABLE tiers ADD COLUMN moves TEXT NOT NULL DEFAULT '[]';

-- A live object with either of these is never read, and is replaced from another copy.
ALTER TABLE objects ADD COLUMN damaged_at BIGINT;
ALTER TABLE objects ADD COLUMN lost_at BIGINT;
CREATE INDEX objects_by_store ON objects (store_id, id) WHERE state = 'live' AND lost_at IS NULL;
CREATE INDEX objects_unsound ON objects (recording_id) WHERE damaged_at IS NOT NULL;
CREATE INDEX objects_lost ON objects (store_id, id) WHERE state = 'live' AND lost_at IS NOT NULL;

-- How many of its tier's moves the recording has begun.
ALTER TABLE recordings ADD COLUMN moves_begun BIGINT NOT NULL DEFAULT 0;
-- Why its copies are not where they should be (NULL: they are), since when, and the store that did not take or give one
-- ('': none was tried yet). A claim moves copies_try_at ahead and the fence up.
ALTER TABLE recordings ADD COLUMN copies_why TEXT;
ALTER TABLE recordings ADD COLUMN copies_since BIGINT;
ALTER TABLE recordings ADD COLUMN copies_store TEXT NOT NULL DEFAULT '';
ALTER TABLE recordings ADD COLUMN copies_try_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE recordings ADD COLUMN copies_fence BIGINT NOT NULL DEFAULT 0;
ALTER TABLE recordings ADD COLUMN copies_instance TEXT;
CREATE INDEX recordings_to_copy ON recordings (copies_store, copies_why, copies_try_at, id) WHERE copies_why IS NOT NULL;
CREATE INDEX recordings_to_move ON recordings (tier_id, moves_begun, retain_from, id) WHERE state = 'archived';
