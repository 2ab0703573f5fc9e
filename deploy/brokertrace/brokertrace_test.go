package brokertrace

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/quokka-stream/quokka/broker"
)

const (
	sent    = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	dropped = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00" // not sampled
)

// told makes the spans of a batch and lists them: name, parent, what is special.
func told(t *testing.T, change func(*broker.ProduceTrace)) []string {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	began := time.Now()
	p := broker.ProduceTrace{
		ClientID: "c", Topic: "t", BaseOffset: 40, Records: 3, Bytes: 300, Acks: -1, TraceParents: []string{"", sent, dropped},
		Received: began, Written: began.Add(time.Millisecond), Durable: began.Add(3 * time.Millisecond), Answered: began.Add(4 * time.Millisecond),
	}
	change(&p)
	Hook(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)))(p)
	names := map[string]string{"b7ad6b7169203331": "send"}
	for _, s := range recorder.Ended() {
		names[s.SpanContext().SpanID().String()] = s.Name()
	}
	var out []string
	for _, s := range recorder.Ended() {
		text := fmt.Sprintf("%s < %s, %v", s.Name(), names[s.Parent().SpanID().String()], s.EndTime().Sub(s.StartTime()))
		for _, a := range s.Attributes() {
			switch a.Key {
			case "messaging.kafka.offset", "quokka.redelivered", "error.type":
				text += fmt.Sprintf(", %s=%s", a.Key, a.Value.String())
			}
		}
		out = append(out, text)
	}
	return out
}

func TestHook(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*broker.ProduceTrace)
		want   []string
	}{
		{"one of three records is in a sampled trace", func(*broker.ProduceTrace) {}, []string{
			"append t < produce t, 1ms", "fsync t < produce t, 2ms", "produce t < send, 4ms, messaging.kafka.offset=41",
		}},
		{"a policy that does not sync", func(p *broker.ProduceTrace) { p.Durable = time.Time{} }, []string{
			"append t < produce t, 1ms", "produce t < send, 4ms, messaging.kafka.offset=41",
		}},
		{"sent again", func(p *broker.ProduceTrace) { p.Duplicate, p.TraceParents = true, []string{sent, sent} }, []string{
			"append t < produce t, 1ms", "fsync t < produce t, 2ms", "produce t < send, 4ms, messaging.kafka.offset=40, quokka.redelivered=true",
		}},
		{"refused", func(p *broker.ProduceTrace) {
			p.ErrorCode, p.BaseOffset, p.Written, p.Durable = 10, -1, time.Time{}, time.Time{}
		}, []string{"produce t < send, 4ms, error.type=MESSAGE_TOO_LARGE"}},
		{"no record is in a trace", func(p *broker.ProduceTrace) { p.TraceParents = []string{"", "nonsense"} }, nil},
		{"records that cannot be read", func(p *broker.ProduceTrace) { p.TraceParents = nil }, []string{
			"append t < produce t, 1ms", "fsync t < produce t, 2ms", "produce t < , 4ms, messaging.kafka.offset=40",
		}},
	} {
		if d := cmp.Diff(c.want, told(t, c.change)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}
