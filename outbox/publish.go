package outbox

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"
)

// publisher hands events to Kafka and waits for their acknowledgement. It is made
// anew after a failure: what the old one still had is gone with it.
type publisher struct {
	client *kgo.Client
	tracer trace.Tracer
	fault  func(point string)
	// maxBatch is the producer's limit for a record batch.
	maxBatch func(topic string) int32
}

// newPublisher connects lazily, so that it fails for wrong options only.
func newPublisher(brokers []string, opts []kgo.Opt, tracer trace.Tracer, fault func(string)) (*publisher, error) {
	all := []kgo.Opt{
		kgo.SeedBrokers(brokers...),
		kgo.ClientID("quokka-outbox"),
		kgo.MetadataMinAge(250 * time.Millisecond), // a topic that appears is used soon
	}
	all = append(all, opts...)
	// Not for the caller to change. An event that the producer gives up on is an
	// event that later ones of its key may overtake: it never does.
	all = append(all,
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordRetries(math.MaxInt),
		kgo.RecordDeliveryTimeout(0),
		kgo.UnknownTopicRetries(-1),
	)
	client, err := kgo.NewClient(all...)
	if err != nil {
		return nil, fmt.Errorf("outbox: producer: %w", err)
	}
	p := &publisher{client: client, tracer: tracer, fault: fault}
	if off, _ := client.OptValue(kgo.DisableIdempotentWrite).(bool); off {
		err = errors.New("outbox: ClientOpts turn idempotent writes off, without which a retry can duplicate and reorder events")
	}
	if id, _ := client.OptValue(kgo.TransactionalID).(string); id != "" {
		err = errors.New("outbox: ClientOpts make the producer transactional, which this relay is not")
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	p.maxBatch, _ = client.OptValue(kgo.ProducerBatchMaxBytesFn).(func(string) int32)
	return p, nil
}

func (p *publisher) close() { p.client.Close() }

// TooLargeError says that an event does not fit into a record batch of this
// producer, so that the relay cannot go on. Write refuses such events; this one got in under a
// higher Writer.MaxBytes, or by SQL.
type TooLargeError struct {
	Topic      string
	EventID    string
	Bytes, Max int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("outbox: event %s for topic %q has %d bytes, the producer takes %d: raise kgo.ProducerBatchMaxBytes in ClientOpts and max.message.bytes of the topic", e.EventID, e.Topic, e.Bytes, e.Max)
}

// fits returns how many events, from the first on, the producer will take, and why
// not the next. It is asked before anything is sent: the producer itself would
// refuse one event and send those behind it.
func (p *publisher) fits(events []stored) (int, error) {
	for i := range events {
		e := &events[i]
		limit := math.MaxInt
		if p.maxBatch != nil {
			limit = int(p.maxBatch(e.Topic))
		}
		if n := e.size() + recordOverhead; n > limit {
			return i, &TooLargeError{Topic: e.Topic, EventID: e.ID.String(), Bytes: n, Max: limit}
		}
	}
	return len(events), nil
}

// delivery is the outcome of a batch. The producer calls back one event at a time;
// whoever saw done closed may read the rest.
type delivery struct {
	acked []bool
	left  int
	err   error // the first one
	done  chan struct{}
}

// watcher is what the caller of publish does while acknowledgements are awaited. An
// error of either function gives the producer up: what was not sent is not sent.
type watcher struct {
	meanwhile func() error                      // called once, when all is handed over
	tick      func(waiting time.Duration) error // called every second
}

// publish sends the events in order and returns once each is acknowledged or has
// failed, or the producer was given up, because of watcher or because ctx ended.
func (p *publisher) publish(ctx context.Context, events []stored, again func(seq int64) bool, w watcher) (acked []bool, err error) {
	d := &delivery{acked: make([]bool, len(events)), left: len(events), done: make(chan struct{})}
	start := time.Now()
	for i := range events {
		e := &events[i]
		record, end := p.record(e, again(e.seq), start)
		p.client.Produce(context.WithoutCancel(ctx), record, func(r *kgo.Record, err error) {
			end(r, err)
			if err == nil {
				d.acked[i] = true
				if d.left == len(events) {
					p.fault(FaultFirstAck)
				}
			} else if d.err == nil {
				d.err = fmt.Errorf("outbox: publish event %s to %q: %w", e.ID, e.Topic, err)
			}
			if d.left--; d.left == 0 {
				close(d.done)
			}
		})
	}
	flushCtx, stop := context.WithCancel(ctx)
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		_ = p.client.Flush(flushCtx) // only to send at once; the outcome is d's
	}()
	if err = w.meanwhile(); err == nil {
		err = p.await(ctx, d, start, w.tick)
	}
	if err != nil {
		p.close() // which decides the rest
		<-d.done
	}
	stop()
	<-flushed
	if err == nil {
		err = d.err
	}
	return d.acked, err
}

// await returns when all of d is decided, or must not be waited for any longer.
func (p *publisher) await(ctx context.Context, d *delivery, since time.Time, tick func(time.Duration) error) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-d.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			if err := tick(time.Since(since)); err != nil {
				return err
			}
		}
	}
}

// record turns an event into what is sent.
func (p *publisher) record(e *stored, again bool, now time.Time) (*kgo.Record, func(*kgo.Record, error)) {
	traceHeaders, end := send(p.tracer, e, again)
	r := &kgo.Record{Topic: e.Topic, Key: e.Key, Value: e.Value, Timestamp: e.created}
	if e.created.After(now) {
		r.Timestamp = now // brokers refuse records from the future
	}
	for _, h := range e.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	r.Headers = append(r.Headers, traceHeaders...)
	return r, end
}

func partitionID(p int32) string { return strconv.Itoa(int(p)) }
