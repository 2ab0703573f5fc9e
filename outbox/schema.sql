-- Everything is in the schema outbox. Applied by Migrate as one transaction.

CREATE SCHEMA outbox;
COMMENT ON SCHEMA outbox IS 'Transactional outbox: events written with business data, published to Kafka by a relay.';

-- The version of this layout, see Migrate.
CREATE TABLE outbox.version (version int PRIMARY KEY);

-- The order of publication. CACHE 1 is a precondition, not a default left alone:
-- with a larger cache a session draws numbers ahead of its turn, and the order of
-- one key is lost.
CREATE SEQUENCE outbox.event_seq CACHE 1;

-- Which of the two event tables takes new rows (its value modulo 2). A sequence,
-- because its value is read without a snapshot and changed without a transaction:
-- every statement that starts after a rotation writes to the other table.
CREATE SEQUENCE outbox.rotation MINVALUE 0;
SELECT setval('outbox.rotation', 0);

-- Events wait here until the relay has published them. Each half is emptied by
-- TRUNCATE once all of it is published, so no row is ever updated or deleted.
-- To write from SQL, name topic, key and value; the rest has defaults.
CREATE TABLE outbox.event (
    slot          smallint    NOT NULL DEFAULT (pg_sequence_last_value('outbox.rotation') % 2),
    xid           xid8        NOT NULL DEFAULT pg_current_xact_id(),
    seq           bigint      NOT NULL DEFAULT nextval('outbox.event_seq'),
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    event_id      uuid        NOT NULL DEFAULT gen_random_uuid(),
    topic         text        NOT NULL,
    key           bytea,
    value         bytea,
    header_keys   text[],
    header_values bytea[],
    traceparent   text,
    tracestate    text,
    -- What the relay could not read must fail its writer.
    CONSTRAINT headers CHECK (array_length(header_keys, 1) IS NOT DISTINCT FROM array_length(header_values, 1)
                              AND array_position(header_keys, NULL) IS NULL)
) PARTITION BY LIST (slot);
ALTER SEQUENCE outbox.event_seq OWNED BY outbox.event.seq;

-- No vacuum: there is nothing dead to collect, and TRUNCATE renews the age.
CREATE TABLE outbox.event_0 PARTITION OF outbox.event FOR VALUES IN (0)
    WITH (autovacuum_enabled = false, toast.autovacuum_enabled = false, toast_tuple_target = 8160);
CREATE TABLE outbox.event_1 PARTITION OF outbox.event FOR VALUES IN (1)
    WITH (autovacuum_enabled = false, toast.autovacuum_enabled = false, toast_tuple_target = 8160);
-- The rows are short-lived: compressing them costs more than it saves.
ALTER TABLE outbox.event_0 ALTER COLUMN value SET STORAGE EXTERNAL;
ALTER TABLE outbox.event_1 ALTER COLUMN value SET STORAGE EXTERNAL;

-- The relay finds unread rows by transaction. There is no primary key: an index
-- that nobody reads would cost every writer.
CREATE INDEX event_xid ON outbox.event (xid);

-- How far the relay is; the last row counts. Rows are only added, for an updated
-- row bloats as long as any transaction in the cluster is open, and emptied by
-- TRUNCATE.
CREATE TABLE outbox.progress (
    n                 bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    cursor            pg_snapshot NOT NULL, -- every event visible in it is published
    target            pg_snapshot,          -- being published: what is visible in it as well
    reached           bigint      NOT NULL DEFAULT 0, -- of those, up to this seq: published
    sent_to           bigint      NOT NULL DEFAULT 0, -- of those, up to this seq: perhaps published
    system_identifier bigint      NOT NULL, -- the cluster that the snapshots belong to
    at                timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_enabled = false, toast.autovacuum_enabled = false);

INSERT INTO outbox.progress (cursor, system_identifier)
SELECT '1:1:', system_identifier FROM pg_control_system();
