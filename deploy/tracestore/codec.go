package tracestore

import (
	"encoding/binary"
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Spans are kept encoded: as the SDK hands them over they take kilobytes each,
// most of it the same few names and statements again. A span's form is
//
//	id, parent: 8 bytes each · resource · scope · name · kind · status ·
//	start: 8 bytes · duration · attributes · events · links
//
// with numbers as varints and texts by their number in the dictionary. Nothing
// is ever read that this process did not write, so decoding trusts its input.

// dictionary numbers texts. It only grows, by what is bounded: names of code, and
// of each attribute the values while they are few. Ids are not in it.
type dictionary struct {
	numbers   map[string]uint64
	texts     []string
	distinct  map[string]int // values noted of an attribute
	resources map[attribute.Distinct]uint64
	byNumber  []resourceEntry
}

type resourceEntry struct {
	service    string
	attributes []attribute.KeyValue
}

// maxDistinct is how many values of one attribute the dictionary takes: enough
// for statements and topics, few enough that it stays small when an attribute's
// values never end.
const maxDistinct = 256

func newDictionary() *dictionary {
	return &dictionary{numbers: map[string]uint64{}, distinct: map[string]int{}, resources: map[attribute.Distinct]uint64{}}
}

// number returns the number of a text, which gets one if it has none.
func (d *dictionary) number(text string) uint64 {
	n, ok := d.numbers[text]
	if !ok {
		n = uint64(len(d.texts))
		d.texts = append(d.texts, text)
		d.numbers[text] = n
	}
	return n
}

// value returns the number of an attribute's value, or false if it should stand
// for itself.
func (d *dictionary) value(key, text string) (uint64, bool) {
	if n, ok := d.numbers[text]; ok {
		return n, true
	}
	if d.distinct[key] >= maxDistinct {
		return 0, false
	}
	d.distinct[key]++
	return d.number(text), true
}

// resource returns the number of a span's resource.
func (d *dictionary) resource(s sdktrace.ReadOnlySpan) uint64 {
	r := s.Resource()
	key := r.Equivalent()
	n, ok := d.resources[key]
	if !ok {
		entry := resourceEntry{attributes: r.Attributes()}
		for _, kv := range entry.attributes {
			if kv.Key == "service.name" {
				entry.service = kv.Value.AsString()
			}
		}
		n = uint64(len(d.byNumber))
		d.byNumber = append(d.byNumber, entry)
		d.resources[key] = n
	}
	return n
}

// Tags of an encoded attribute's type.
const (
	tagFalse = iota
	tagTrue
	tagInt
	tagFloat
	tagText   // by number
	tagInline // by itself
)

// appendSpan encodes a span.
func (d *dictionary) appendSpan(b []byte, s sdktrace.ReadOnlySpan) []byte {
	id, parent := s.SpanContext().SpanID(), s.Parent().SpanID()
	b = append(append(b, id[:]...), parent[:]...)
	b = binary.AppendUvarint(b, d.resource(s))
	b = binary.AppendUvarint(b, d.number(s.InstrumentationScope().Name))
	b = d.appendText(b, "", s.Name())
	b = append(b, byte(s.SpanKind()), byte(s.Status().Code))
	b = d.appendText(b, "status", s.Status().Description)
	b = binary.BigEndian.AppendUint64(b, uint64(s.StartTime().UnixNano()))
	b = binary.AppendVarint(b, int64(s.EndTime().Sub(s.StartTime())))
	b = d.appendAttributes(b, s.Attributes())
	b = binary.AppendUvarint(b, uint64(len(s.Events())))
	for _, e := range s.Events() {
		b = d.appendText(b, "event", e.Name)
		b = binary.BigEndian.AppendUint64(b, uint64(e.Time.UnixNano()))
		b = d.appendAttributes(b, e.Attributes)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Links())))
	for _, l := range s.Links() {
		linked, span := l.SpanContext.TraceID(), l.SpanContext.SpanID()
		b = append(append(b, linked[:]...), span[:]...)
		b = d.appendAttributes(b, l.Attributes)
	}
	return b
}

// appendText encodes a text that belongs to an attribute, or to a span's name.
func (d *dictionary) appendText(b []byte, key, text string) []byte {
	if n, ok := d.value(key, text); ok {
		return binary.AppendUvarint(append(b, tagText), n)
	}
	b = binary.AppendUvarint(append(b, tagInline), uint64(len(text)))
	return append(b, text...)
}

func (d *dictionary) appendAttributes(b []byte, attrs []attribute.KeyValue) []byte {
	b = binary.AppendUvarint(b, uint64(len(attrs)))
	for _, kv := range attrs {
		b = binary.AppendUvarint(b, d.number(string(kv.Key)))
		switch kv.Value.Type() {
		case attribute.BOOL:
			if kv.Value.AsBool() {
				b = append(b, tagTrue)
			} else {
				b = append(b, tagFalse)
			}
		case attribute.INT64:
			b = binary.AppendVarint(append(b, tagInt), kv.Value.AsInt64())
		case attribute.FLOAT64:
			b = binary.BigEndian.AppendUint64(append(b, tagFloat), math.Float64bits(kv.Value.AsFloat64()))
		default: // lists become their text, as Jaeger shows them
			b = d.appendText(b, string(kv.Key), kv.Value.String())
		}
	}
	return b
}

// decoder reads encoded spans.
type decoder struct {
	d *dictionary
	b []byte
}

func (r *decoder) bytes(n int) []byte {
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	r.b = r.b[n:]
	return v
}

func (r *decoder) varint() int64 {
	v, n := binary.Varint(r.b)
	r.b = r.b[n:]
	return v
}

func (r *decoder) uint64() uint64 { return binary.BigEndian.Uint64(r.bytes(8)) }

func (r *decoder) time() time.Time { return time.Unix(0, int64(r.uint64())) }

func (r *decoder) text() string { return r.textTagged(r.bytes(1)[0]) }

func (r *decoder) textTagged(tag byte) string {
	if tag == tagText {
		return r.d.texts[r.uvarint()]
	}
	return string(r.bytes(int(r.uvarint())))
}

// span decodes the next span of a trace.
func (r *decoder) span(id trace.TraceID) Span {
	s := Span{TraceID: id, ID: trace.SpanID(r.bytes(8)), Parent: trace.SpanID(r.bytes(8))}
	resource := r.d.byNumber[r.uvarint()]
	s.Service, s.resource = resource.service, resource.attributes
	s.Scope = r.d.texts[r.uvarint()]
	s.Name = r.text()
	head := r.bytes(2)
	s.Kind, s.Status.Code = trace.SpanKind(head[0]), codes.Code(head[1])
	s.Status.Description = r.text()
	s.Start = r.time()
	s.End = s.Start.Add(time.Duration(r.varint()))
	s.Attributes = r.attributes()
	for range r.uvarint() {
		s.Events = append(s.Events, sdktrace.Event{Name: r.text(), Time: r.time(), Attributes: r.attributes()})
	}
	for range r.uvarint() {
		sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID(r.bytes(16)), SpanID: trace.SpanID(r.bytes(8))})
		s.Links = append(s.Links, sdktrace.Link{SpanContext: sc, Attributes: r.attributes()})
	}
	return s
}

func (r *decoder) attributes() []attribute.KeyValue {
	out := make([]attribute.KeyValue, r.uvarint())
	for i := range out {
		out[i].Key = attribute.Key(r.d.texts[r.uvarint()])
		switch tag := r.bytes(1)[0]; tag {
		case tagFalse, tagTrue:
			out[i].Value = attribute.BoolValue(tag == tagTrue)
		case tagInt:
			out[i].Value = attribute.Int64Value(r.varint())
		case tagFloat:
			out[i].Value = attribute.Float64Value(math.Float64frombits(r.uint64()))
		default:
			out[i].Value = attribute.StringValue(r.textTagged(tag))
		}
	}
	return out
}
