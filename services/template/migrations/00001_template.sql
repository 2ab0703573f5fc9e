-- +goose Up
-- One row for each event: an event that comes again, after the inbox has forgotten
-- it, changes nothing.
create table entries (
    event_id    text        primary key,
    topic       text        not null,
    type        text        not null,
    subject     text        not null,
    recorded_at timestamptz not null
);
create index entries_subject on entries (subject);

-- +goose Down
drop table entries;
