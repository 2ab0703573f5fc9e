-- +goose Up
create table products (
    sku         text        primary key,
    name        text        not null,
    description text        not null default '',
    price_cents bigint      not null check (price_cents >= 0),
    currency    text        not null,
    updated_at  timestamptz not null default now()
);

-- What leaves this database by change data capture is this service's decision.
create publication quokka_cdc for table products;

-- Stock outlives the catalogue's entry: what was reserved can still be given back.
create table stock (
    sku       text   primary key,
    initial   bigint not null check (initial >= 0),
    available bigint not null check (available >= 0)
);

create table stock_movements (
    movement_id bigint      primary key generated always as identity,
    order_id    uuid,
    sku         text        not null references stock,
    kind        text        not null check (kind in ('initial', 'restock', 'reserve', 'release')),
    quantity    bigint      not null,
    created_at  timestamptz not null default now(),
    unique (order_id, sku, kind),
    check ((order_id is null) = (kind in ('initial', 'restock')))
);
create index stock_movements_sku on stock_movements (sku);

create table reservations (
    order_id    uuid        primary key,
    customer_id uuid        not null,
    status      text        not null check (status in ('reserved', 'rejected', 'released', 'cancelled')),
    reason      text,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);

create table reservation_lines (
    order_id uuid not null references reservations,
    sku      text not null references stock,
    quantity bigint not null check (quantity > 0),
    primary key (order_id, sku)
);

-- +goose Down
drop table reservation_lines, reservations, stock_movements, stock;
drop publication quokka_cdc;
drop table products;
