package debezium_test

import (
	"fmt"

	"github.com/quokka-stream/quokka/schemas/debezium"
)

func Example() {
	table := debezium.Table{
		Topic: "cdc.inventory.public.products",
		Columns: []debezium.Column{
			{Name: "sku", Type: debezium.Type{Kind: debezium.Text}},
			{Name: "price_cents", Type: debezium.Type{Kind: debezium.Int8}},
			{Name: "updated_at", Type: debezium.Type{Kind: debezium.TimestampTZ}, Nullable: true},
		},
		Key: []string{"sku"},
	}
	schema, err := table.ValueSchema()
	if err != nil {
		panic(err)
	}
	change := debezium.Envelope{
		Op:     debezium.Create,
		After:  map[string]any{"sku": "mug", "price_cents": int64(1290), "updated_at": nil},
		Source: debezium.Source{Name: "cdc.inventory", Schema: "public", Table: "products"},
	}
	b, err := schema.AppendEncode(nil, change.Record())
	if err != nil {
		panic(err)
	}

	var v any
	if err := schema.Decode(b, &v); err != nil {
		panic(err)
	}
	got, err := debezium.DecodeEnvelope(v)
	if err != nil {
		panic(err)
	}
	fmt.Println(schema.FullName(), got.Op, got.After["sku"], got.After["price_cents"])
	// Output: cdc.inventory.public.products.Envelope c mug 1290
}
