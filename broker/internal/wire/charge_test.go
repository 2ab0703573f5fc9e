package wire

import (
	"fmt"
	"math"
	"reflect"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// crowd returns requests of a key in which one array, on whatever level, has many
// elements that take as few bytes as they can, each with as many unknown tags.
func crowd(key, version int16, elements, tags int) (out []kmsg.Request) {
	var paths [][]int // of fields, to each array
	var find func(typ reflect.Type, at []int)
	find = func(typ reflect.Type, at []int) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			path := append(append([]int{}, at...), i)
			switch {
			case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() != reflect.Uint8:
				paths = append(paths, path)
				if f.Type.Elem().Kind() == reflect.Struct {
					find(f.Type.Elem(), path)
				}
			case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[kmsg.Tags]():
				find(f.Type, path)
			}
		}
	}
	find(reflect.TypeOf(kmsg.RequestForKey(key)).Elem(), nil)
	for _, path := range paths {
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		crowded(reflect.ValueOf(req).Elem(), path, elements, tags)
		out = append(out, req)
	}
	return out
}

// crowded fills the array at a path; the arrays on the way have one element.
func crowded(v reflect.Value, path []int, elements, tags int) {
	f := v.Field(path[0])
	if f.Kind() == reflect.Struct {
		crowded(f, path[1:], elements, tags)
		return
	}
	n := 1
	if len(path) == 1 {
		n = elements
	}
	f.Set(reflect.MakeSlice(f.Type(), n, n))
	for i := range n {
		e := f.Index(i)
		if len(path) > 1 {
			crowded(e, path[1:], elements, tags)
		}
		if e.Kind() != reflect.Struct {
			continue
		}
		if t := e.FieldByName("UnknownTags"); t.IsValid() && len(path) == 1 {
			for tag := range tags {
				t.Addr().Interface().(*kmsg.Tags).Set(uint32(100+tag), nil)
			}
		}
	}
}

// TestChargeCoversDecoding measures what kmsg allocates for the requests that are the
// worst for their size, and holds it against what is charged for them: that may be
// too much, never too little. The worst factors of all are printed.
func TestChargeCoversDecoding(t *testing.T) {
	var worst, charged float64
	var of string
	for key := range shapes {
		most := kmsg.RequestForKey(key).MaxVersion()
		for _, version := range []int16{most, firstFlexible[key] - 1} { // with and without tags
			if version > most || version < 0 || key == 2 && version == 0 || key == 8 && version < 2 {
				continue
			}
			for _, tags := range []int{0, 1, maxTags} {
				if tags > 0 && !Flexible(key, version) {
					continue
				}
				for _, req := range crowd(key, version, 800/(1+tags), tags) {
					body := req.AppendTo(nil)
					n, err := charge(&Request{Key: key, Version: version, Body: body})
					if err != nil {
						t.Fatalf("%s v%d: %v", kmsg.NameForKey(key), version, err)
					}
					into := kmsg.RequestForKey(key)
					into.SetVersion(version)
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					err = into.ReadFrom(body)
					runtime.ReadMemStats(&after)
					if err != nil {
						t.Fatalf("%s v%d: %v", kmsg.NameForKey(key), version, err)
					}
					took := int64(after.TotalAlloc - before.TotalAlloc)
					if took > n+16<<10 { // what else the process does
						t.Errorf("%s v%d: a body of %d bytes takes %d, charged are %d", kmsg.NameForKey(key), version, len(body), took, n)
					}
					if factor := float64(took) / float64(len(body)); len(body) > 800 && factor > worst {
						worst, charged, of = factor, float64(n)/float64(len(body)), fmt.Sprintf("%s v%d", kmsg.NameForKey(key), version)
					}
				}
			}
		}
	}
	t.Logf("the worst is %s: %.0f times its size, charged %.0f times", of, math.Ceil(worst), math.Ceil(charged))
}
