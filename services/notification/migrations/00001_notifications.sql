-- +goose Up
-- The address book: customers as last seen on the change topic, with the
-- position of that change. A deleted customer keeps its position.
create table addresses (
    customer_id uuid primary key,
    name        text not null,
    email       text not null,
    commit_lsn  numeric(20) not null,
    ordinal     numeric(20) not null,
    deleted     boolean not null default false
);

-- One row per event and channel: the effect's own unique key, beside the inbox.
create table notifications (
    event_id    text not null,
    channel     text not null,
    order_id    uuid not null,
    customer_id uuid not null,
    type        text not null,
    message_id  text not null,
    status      text not null,
    created_at  timestamptz not null default now(),
    sent_at     timestamptz,
    primary key (event_id, channel)
);
create index notifications_order on notifications (order_id, created_at);
create index notifications_customer on notifications (customer_id, created_at);

-- +goose Down
drop table notifications;
drop table addresses;
