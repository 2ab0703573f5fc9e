package debezium

import (
	"fmt"
	"time"
)

// A reader takes typed fields out of a decoded record and keeps the first
// error. A missing or null field is the zero value.
type reader struct {
	m   map[string]any
	at  string // path of m, for errors
	err *error
}

func (r reader) fail(name string, v any, want string) {
	if *r.err == nil {
		*r.err = fmt.Errorf("%w: field %s%s is a %T, not %s", ErrNotEnvelope, r.at, name, v, want)
	}
}

func (r reader) record(name string) map[string]any {
	v := r.m[name]
	if v == nil {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		r.fail(name, v, "a record")
	}
	return m
}

func (r reader) text(name string) string {
	v := r.m[name]
	if v == nil {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		r.fail(name, v, "a string")
	}
	return s
}

func (r reader) number(name string) int64 {
	switch v := r.m[name].(type) {
	case nil:
		return 0
	case int64:
		return v
	case int32:
		return int64(v)
	default:
		r.fail(name, v, "a number")
		return 0
	}
}

// time reads the finest of ts_ns, ts_us and ts_ms that is there.
func (r reader) time() time.Time {
	if ns := r.number("ts_ns"); ns != 0 {
		return time.Unix(0, ns).UTC()
	}
	if us := r.number("ts_us"); us != 0 {
		return time.UnixMicro(us).UTC()
	}
	if ms := r.number("ts_ms"); ms != 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

func source(r reader) Source {
	return Source{
		Version: r.text("version"), Connector: r.text("connector"), Name: r.text("name"),
		At:       r.time(),
		Snapshot: r.text("snapshot"),
		Database: r.text("db"), Schema: r.text("schema"), Table: r.text("table"),
		Sequence: r.text("sequence"),
		TxID:     r.number("txId"), LSN: uint64(r.number("lsn")), Xmin: r.number("xmin"),
		Origin: r.text("origin"), OriginLSN: uint64(r.number("origin_lsn")),
	}
}
