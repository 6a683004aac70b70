-- Room on the disks, noted once a day: what "days until full" is reckoned from.

CREATE TABLE store_space (
    store_id    BYTEA  NOT NULL REFERENCES stores (id),
    -- Days since 1970, UTC.
    day         BIGINT NOT NULL,
    noted_at    BIGINT NOT NULL,
    free_bytes  BIGINT NOT NULL,
    PRIMARY KEY (store_id, day)
);
