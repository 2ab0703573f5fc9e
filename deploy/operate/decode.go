package operate

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/schemas/serde"
)

// Record is a record as it is shown.
type Record struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Time      time.Time `json:"timestamp"`
	// Key and Value are text, the JSON of an Avro value, or nil where there is none.
	Key     any      `json:"key"`
	Headers []Header `json:"headers"`
	// Type is the full name of the value's schema, SchemaID its id in the
	// registry; empty and 0 where the value is not in the registry's format.
	Type     string `json:"type,omitempty"`
	SchemaID int    `json:"schema_id,omitempty"`
	Value    any    `json:"value"`
	// Problem says why a value in the registry's format is shown as bytes.
	Problem string `json:"problem,omitempty"`
}

// Header is a record's header, as text.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Header returns the value of the first header with this name.
func (r Record) Header(name string) string {
	for _, h := range r.Headers {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// Bytes are a value that is neither text nor Avro; in JSON it is base64.
type Bytes []byte

// MarshalJSON marks the text as what it is.
func (b Bytes) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"base64": base64.StdEncoding.EncodeToString(b)})
}

// decoder reads values by the registry.
type decoder struct{ serde *serde.Serde }

// Decode makes a record readable. It fails only where the registry does not
// answer: a value that is not what its schema says has a Problem.
func (c *Client) Decode(ctx context.Context, r *kgo.Record) (Record, error) {
	out := Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: r.Timestamp.UTC(), Headers: []Header{}}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, Header{h.Key, printable(h.Value)})
	}
	var err error
	if out.Key, _, _, _, err = c.decoder.value(ctx, r.Key); err != nil {
		return out, err
	}
	out.Value, out.Type, out.SchemaID, out.Problem, err = c.decoder.value(ctx, r.Value)
	return out, err
}

func printable(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// value decodes bytes: Avro in the registry's format, JSON, text, else bytes.
func (d *decoder) value(ctx context.Context, b []byte) (v any, name string, id int, problem string, err error) {
	if b == nil {
		return nil, "", 0, "", nil
	}
	if d == nil || !framed(b) {
		return plain(b), "", 0, "", nil
	}
	id, _ = serde.SchemaID(b)
	name, v, err = d.serde.DecodeAny(ctx, b)
	var unavailable *serde.UnavailableError
	switch {
	case errors.As(err, &unavailable):
		return nil, "", id, "", fmt.Errorf("decode by the schema registry: %w", err)
	case err != nil:
		return Bytes(b), name, id, err.Error(), nil //nolint:nilerr // the problem is told
	}
	return jsonable(v), name, id, "", nil
}

// framed reports whether bytes are in the registry's format.
func framed(b []byte) bool {
	_, err := serde.SchemaID(b)
	return err == nil
}

// plain is a value outside of the registry's format.
func plain(b []byte) any {
	if trimmed := bytes.TrimSpace(b); len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') && json.Valid(trimmed) {
		return json.RawMessage(trimmed)
	}
	if utf8.Valid(b) && !bytes.ContainsRune(b, 0) {
		return string(b)
	}
	return Bytes(b)
}

// jsonable turns the generic form of an Avro value into what encoding/json
// prints as a reader expects: times in RFC 3339, decimals in digits.
func jsonable(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = jsonable(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = jsonable(e)
		}
		return out
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case time.Duration:
		return v.String()
	case *big.Rat:
		if v.IsInt() {
			return json.Number(v.Num().String())
		}
		return json.Number(v.FloatString(decimals(v)))
	case []byte:
		return plain(v)
	}
	return v
}

// decimals is how many digits behind the point a decimal needs.
func decimals(v *big.Rat) int {
	digits, _ := v.FloatPrec()
	return min(digits, 38)
}
