package consume_test

import "testing/fstest"

// effectsMigration creates the table in which tests keep their effects.
var effectsMigration = fstest.MapFS{"00001_effects.sql": {Data: []byte(`-- +goose Up
create table effects (id bigint generated always as identity, key text not null, value text not null);
`)}}
