package wire

import (
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/alloc"
)

// fill sets every field that kmsg may encode to something random.
func fill(rng *rand.Rand, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		if rng.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(rng, v.Elem(), depth)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			if rng.IntN(4) == 0 {
				tags := v.Addr().Interface().(*kmsg.Tags)
				for range rng.IntN(3) {
					tags.Set(100+rng.Uint32N(100), []byte("unknown"))
				}
			}
			return
		}
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() && v.Type().Field(i).Name != "Version" {
				fill(rng, f, depth)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte("some bytes")[:rng.IntN(10)])
			return
		}
		n := rng.IntN(4)
		if n == 0 && rng.IntN(2) == 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(rng, v.Index(i), depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(rng.Uint64N(256))
		}
	case reflect.String:
		v.SetString("a string"[:rng.IntN(8)])
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(rng.IntN(200) - 100))
	case reflect.Uint16:
		v.SetUint(rng.Uint64N(1 << 16))
	case reflect.Float64:
		v.SetFloat(rng.Float64())
	}
}

func randomRequest(rng *rand.Rand, key, version int16) kmsg.Request {
	req := kmsg.RequestForKey(key)
	fill(rng, reflect.ValueOf(req).Elem(), 0)
	req.SetVersion(version)
	return req
}

// shaped are the keys with a shape, in order: what is random is then the same each time.
func shaped() []int16 { return slices.Sorted(maps.Keys(shapes)) }

// TestShapes: the walk of every request that kmsg can make ends exactly at its
// end, for every key with a shape and every version.
func TestShapes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, key := range shaped() {
		for version := int16(0); version <= kmsg.RequestForKey(key).MaxVersion(); version++ {
			if key == 2 && version == 0 || key == 8 && version < 2 {
				continue // fields of versions that are not answered are not in the shapes
			}
			for range 50 {
				body := randomRequest(rng, key, version).AppendTo(nil)
				w := walker{r: NewReader(body), version: version, flexible: Flexible(key, version)}
				w.structure(compiled[key])
				if w.flexible {
					w.section()
				}
				if !w.r.Ok() || w.r.Len() != 0 {
					t.Fatalf("key %d (%s) version %d: ok %v, %d of %d bytes left", key, kmsg.NameForKey(key), version, w.r.Ok(), w.r.Len(), len(body))
				}
			}
		}
	}
}

// TestElementBytes: no structure in an array of a request is larger than what is
// charged for it, with the slice headers that decoding may round up.
func TestElementBytes(t *testing.T) {
	var check func(typ reflect.Type)
	check = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer:
			check(typ.Elem())
		case reflect.Slice:
			if size := typ.Elem().Size(); size+size/4 > elementBytes {
				t.Errorf("an element of type %s takes %d bytes, charged are %d", typ.Elem(), size, elementBytes)
			}
			check(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				check(typ.Field(i).Type)
			}
		}
	}
	for key := range shapes {
		check(reflect.TypeOf(kmsg.RequestForKey(key)).Elem())
	}
}

// FuzzCharge: what the walk accepts, kmsg decodes, in the memory that is charged for
// it; whatever it is, neither panics.
func FuzzCharge(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, key := range shaped() {
		version := kmsg.RequestForKey(key).MaxVersion()
		f.Add(key, version, randomRequest(rng, key, version).AppendTo(nil))
		for v := range version {
			f.Add(key, v, randomRequest(rng, key, v).AppendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		if _, ok := shapes[key]; !ok {
			return
		}
		req := kmsg.RequestForKey(key)
		if version < 0 || version > req.MaxVersion() || key == 2 && version == 0 || key == 8 && version < 2 {
			return
		}
		req.SetVersion(version)
		var charged int64
		var err error
		alloc.Within(t, len(body), func() { charged, err = charge(&Request{Key: key, Version: version, Body: body}) })
		if err != nil {
			return
		}
		used := alloc.Bytes(func() { err = req.ReadFrom(body) })
		if err != nil {
			t.Fatalf("key %d version %d: the walk accepts what kmsg refuses: %v", key, version, err)
		}
		if slack := int64(64 << 10); used > charged+slack {
			t.Fatalf("key %d version %d: decoding %d bytes took %d, charged were %d", key, version, len(body), used, charged)
		}
	})
}
