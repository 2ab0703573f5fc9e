-- +goose Up
create table inbox (
    consumer_group text        not null,
    event_id       text        not null,
    topic          text        not null,
    partition      int         not null,
    record_offset  bigint      not null,
    record_key     bytea,
    -- The order in which events were handled: a checker compares it with the offsets.
    sequence       bigint      not null generated always as identity,
    received_at    timestamptz not null default now(),
    primary key (consumer_group, event_id)
);
create index inbox_received_at on inbox using brin (received_at);

-- +goose Down
drop table inbox;
