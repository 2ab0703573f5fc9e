package operate

import (
	"encoding/json"
	"math/big"
	"testing"
	"time"
)

func TestJSONable(t *testing.T) {
	price, _ := new(big.Rat).SetString("12.50")
	v := map[string]any{
		"at": time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600)), "price": price, "whole": big.NewRat(7, 1),
		"lines": []any{map[string]any{"sku": "A"}}, "raw": []byte{0xff}, "text": []byte("abc"), "none": nil,
	}
	got, err := json.Marshal(jsonable(v))
	const want = `{"at":"2026-01-02T02:04:05.000006Z","lines":[{"sku":"A"}],"none":null,"price":12.5,"raw":{"base64":"/w=="},"text":"abc","whole":7}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		`not avro`: `"not avro"`, ` {"a": 1} `: `{"a":1}`, `{"a"`: `"{\"a\""`, "\x00\x01": `{"base64":"AAE="}`, "": `""`,
	} {
		if got, err := json.Marshal(plain([]byte(in))); err != nil || string(got) != want {
			t.Errorf("%q: %s, %v; want %s", in, got, err, want)
		}
	}
}
