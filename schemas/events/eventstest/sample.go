// Package eventstest makes events for tests.
package eventstest

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/events"
)

// Sample returns a valid event of the type with this full name: new ids, the
// present time, everything else as small as the schema allows. It is for tests of
// what is the same for all types; tests of what an event means build their own.
func Sample(t testing.TB, name string) events.Event {
	t.Helper()
	e, ok := events.New(name)
	if !ok {
		t.Fatalf("there is no event %s", name)
	}
	schema, _ := events.Schema(name)
	fill(reflect.ValueOf(e).Elem(), schema.Root(), nil)
	if err := e.Validate(); err != nil {
		t.Fatalf("the sample is not valid: %v", err)
	}
	return e
}

// fill sets v to a small value of the type n within the limits of its field.
func fill(v reflect.Value, n *codec.Node, limits []codec.Prop) {
	switch {
	case strings.HasPrefix(n.LogicalType(), "timestamp-"):
		v.Set(reflect.ValueOf(time.Now().UTC().Truncate(time.Millisecond)))
		return
	case n.LogicalType() == "uuid":
		v.SetString(uuid.NewString())
		return
	}
	switch n.Type {
	case "record":
		for i, f := range n.Fields { // the generator keeps the order of the fields
			fill(v.Field(i), f.Type, f.Props)
		}
	case "enum":
		v.SetString(n.Symbols[len(n.Symbols)-1])
	case "int", "long":
		v.SetInt(limit(limits, "minimum"))
	case "float", "double":
		v.SetFloat(float64(limit(limits, "minimum")))
	case "string":
		v.SetString(strings.Repeat("x", int(limit(limits, "minLength"))))
	case "bytes":
		v.SetBytes(make([]byte, limit(limits, "minLength")))
	case "array":
		items := int(limit(limits, "minItems"))
		v.Set(reflect.MakeSlice(v.Type(), items, items))
		for i := range items {
			fill(v.Index(i), n.Elem, nil)
		}
	}
	// A map stays empty and a nullable field null.
}

// limit is a field's limit, 0 for none.
func limit(limits []codec.Prop, name string) int64 {
	var n int64
	for _, p := range limits {
		if p.Name == name {
			_ = json.Unmarshal(p.Value, &n)
		}
	}
	return n
}
