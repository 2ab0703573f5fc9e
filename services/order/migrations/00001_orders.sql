-- +goose Up
create table customers (
    customer_id uuid        primary key,
    name        text        not null,
    email       text        not null,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);

-- What leaves this database by change data capture is this service's decision.
create publication quokka_cdc for table customers;

create table orders (
    order_id    uuid        primary key,
    customer_id uuid        not null references customers,
    status      text        not null check (status in ('pending', 'confirmed', 'rejected', 'cancelled')),
    version     int         not null,
    reason      text,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    -- The trace in which the order was placed: repeated requests link to it.
    traceparent text
);
create index orders_customer on orders (customer_id, order_id);
create index orders_status on orders (status, order_id);

create table order_lines (
    order_id uuid not null references orders,
    line_no  int  not null,
    sku      text not null,
    quantity int  not null check (quantity > 0),
    primary key (order_id, line_no)
);

create table order_events (
    order_id    uuid        not null references orders,
    version     int         not null,
    type        text        not null,
    event_id    uuid        not null,
    occurred_at timestamptz not null,
    primary key (order_id, version)
);

create table idempotency_keys (
    key          text        primary key,
    customer_id  uuid        not null,
    request_hash bytea       not null,
    order_id     uuid        not null,
    status_code  int         not null,
    response     jsonb       not null,
    created_at   timestamptz not null default now()
);

-- +goose Down
drop table idempotency_keys, order_events, order_lines, orders;
drop publication quokka_cdc;
drop table customers;
