package tracequery

import "time"

// Queued is how long the message of each send and process span had waited when
// the span began, by the span's id: for a send in the outbox, since the work that
// wrote it was done; for a process in its topic, since it was sent, or since the
// attempt before this one ended.
func (t Trace) Queued() map[string]time.Duration {
	spans, out := t.byID(), map[string]time.Duration{}
	for _, d := range t.deliveries() {
		for i, s := range d.spans {
			from, ok := t.stageAbove(spans, s)
			if !ok || s.Kind == "server" {
				continue
			}
			since := from.Start.Add(from.Duration)
			if i > 0 {
				before := d.spans[i-1]
				since = latest(since, before.Start.Add(before.Duration))
			}
			out[s.ID] = max(0, s.Start.Sub(since))
		}
	}
	return out
}

// Decided is where the time went from a request to place an order to the
// decision about it. What was not spent in queues was spent at work.
type Decided struct{ Total, Outbox, Topics time.Duration }

// Decision follows the trace from the request to the end of the step that
// confirmed or rejected the order; false if that is not in the trace.
func (t Trace) Decision() (Decided, bool) {
	spans, queued := t.byID(), t.Queued()
	for i := len(t.Spans) - 1; i >= 0; i-- {
		last := t.Spans[i]
		if label(last) != processStock || last.Tags["quokka.outcome"] == outcomeRetried {
			continue
		}
		var d Decided
		for s, ok := last, true; ok; s, ok = t.stageAbove(spans, s) {
			switch s.Kind {
			case "producer":
				d.Outbox += queued[s.ID]
			case "consumer":
				d.Topics += queued[s.ID]
			}
			d.Total = last.Start.Add(last.Duration).Sub(s.Start)
		}
		return d, true
	}
	return Decided{}, false
}

// stageAbove is the step before the one that s is.
func (t Trace) stageAbove(spans map[string]Span, s Span) (Span, bool) {
	for up, ok := spans[s.Parent]; ok; up, ok = spans[up.Parent] {
		if stage(up) {
			return up, true
		}
	}
	return Span{}, false
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
