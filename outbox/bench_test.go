package outbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/internal/pgserver"
)

// benchEvent is an event as the services write it: 300 bytes of Avro, eight headers,
// in a traced transaction.
func benchEvent(topic string, n int) Event {
	key := fmt.Sprintf("0192f0a0-0000-7000-8000-%012d", n%1000)
	ev := Event{Topic: topic, Key: []byte(key), Value: make([]byte, 300)}
	for _, h := range [][2]string{
		{"ce_specversion", "1.0"}, {"ce_id", key}, {"ce_type", "quokka.order.v1.OrderPlaced"}, {"ce_source", "/quokka/order"},
		{"ce_subject", key}, {"ce_time", "2026-11-23T22:00:00.000000Z"}, {"content-type", "application/avro"},
	} {
		ev.Headers = append(ev.Headers, Header{h[0], []byte(h[1])})
	}
	return ev
}

// BenchmarkWrite measures what an event costs the business transaction: one UPDATE
// alone, with a second statement that does nothing, with Write, and with Queue.
// server-µs/op is the processor time of the server's sessions.
func BenchmarkWrite(b *testing.B) {
	const writers = 4
	pool, err := pgxpool.New(b.Context(), pgserver.NewDatabase(b))
	if err != nil {
		b.Fatal(err)
	}
	defer pool.Close()
	if err := Migrate(b.Context(), pool); err != nil {
		b.Fatal(err)
	}
	if _, err := pool.Exec(b.Context(), "CREATE TABLE acct AS SELECT g AS id, 0::bigint AS v FROM generate_series(1, 10000) g; ALTER TABLE acct ADD PRIMARY KEY (id)"); err != nil {
		b.Fatal(err)
	}
	ctx := sampled(b.Context())
	const update = "UPDATE acct SET v = v + 1 WHERE id = $1"
	for _, bm := range []struct {
		name string
		do   func(tx pgx.Tx, n int) error
	}{
		{"update", func(tx pgx.Tx, n int) error {
			_, err := tx.Exec(ctx, update, n%10000+1)
			return err
		}},
		{"update, select 1", func(tx pgx.Tx, n int) error {
			var one int
			_, err := tx.Exec(ctx, update, n%10000+1)
			return errors.Join(err, tx.QueryRow(ctx, "SELECT 1").Scan(&one))
		}},
		{"update, Write", func(tx pgx.Tx, n int) error {
			_, err := tx.Exec(ctx, update, n%10000+1)
			return errors.Join(err, Write(ctx, tx, benchEvent("orders.v1", n)))
		}},
		{"update and Queue", func(tx pgx.Tx, n int) error {
			batch := &pgx.Batch{}
			batch.Queue(update, n%10000+1)
			return errors.Join(Queue(ctx, batch, benchEvent("orders.v1", n)), tx.SendBatch(ctx, batch).Close())
		}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			conns := make([]*pgx.Conn, writers)
			pids := make([]uint32, writers)
			for i := range conns {
				conn, err := pgx.Connect(ctx, pool.Config().ConnString())
				if err != nil {
					b.Fatal(err)
				}
				defer conn.Close(context.Background())
				conns[i], pids[i] = conn, conn.PgConn().PID()
			}
			before := processorTime(b, pids)
			b.ResetTimer()
			var wg sync.WaitGroup
			for i, conn := range conns {
				wg.Go(func() {
					for n := i; n < b.N; n += writers {
						if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return bm.do(tx, n) }); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64((processorTime(b, pids)-before).Microseconds())/float64(b.N), "server-µs/op")
		})
	}
}

// processorTime is what the processes have used so far.
func processorTime(b *testing.B, pids []uint32) (sum time.Duration) {
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			b.Skip("no /proc here: ", err)
		}
		_, rest, _ := strings.Cut(string(data), ") ")
		for _, field := range strings.Fields(rest)[11:13] { // utime, stime
			ticks, err := strconv.Atoi(field)
			if err != nil {
				b.Fatal(err)
			}
			sum += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return sum
}

// BenchmarkDrain measures how fast a relay publishes what has piled up, and beside
// it how fast the same records go out when the same client just sends them.
func BenchmarkDrain(b *testing.B) {
	brokers := brokertest.Brokers(b)
	newTopic := func(b *testing.B) string {
		cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
		if err != nil {
			b.Fatal(err)
		}
		defer cl.Close()
		topic := fmt.Sprintf("outbox.bench.%d", time.Now().UnixNano())
		if _, err := kadm.NewClient(cl).CreateTopic(b.Context(), 6, 1, nil, topic); err != nil {
			b.Fatal(err)
		}
		return topic
	}
	b.Run("outbox", func(b *testing.B) {
		url := pgserver.NewDatabase(b)
		topic := newTopic(b)
		fill(b, url, topic, b.N)
		relay, err := NewRelay(Config{DatabaseURL: url, Brokers: brokers})
		if err != nil {
			b.Fatal(err)
		}
		done := make(chan struct{})
		ctx, cancel := context.WithCancel(b.Context())
		var used time.Duration
		relay.cfg.Fault = func(point string) {
			if point == FaultStored { // there is only one window, so now it is published
				used = processorTime(b, relaySession(b, url))
				cancel()
			}
		}
		b.ResetTimer()
		go func() {
			defer close(done)
			if err := relay.Run(ctx); err != nil {
				b.Error(err)
			}
		}()
		<-done
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		b.ReportMetric(float64(used.Microseconds())/float64(b.N), "server-µs/op")
	})
	b.Run("producer alone", func(b *testing.B) {
		topic := newTopic(b)
		p, err := newPublisher(brokers, nil, nil, func(string) {})
		if err != nil {
			b.Fatal(err)
		}
		defer p.close()
		events := make([]stored, 5000)
		for i := range events {
			events[i] = stored{Event: benchEvent(topic, i), created: time.Now()}
		}
		b.ResetTimer()
		for left := b.N; left > 0; left -= len(events) {
			_, err := p.publish(b.Context(), events[:min(left, len(events))], func(int64) bool { return false },
				watcher{func() error { return nil }, func(time.Duration) error { return nil }})
			if err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}

// relaySession returns the server process that serves the relay.
func relaySession(b *testing.B, url string) []uint32 {
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	var pid uint32
	err = conn.QueryRow(b.Context(), "SELECT pid FROM pg_stat_activity WHERE application_name = 'quokka-outbox' AND datname = current_database()").Scan(&pid)
	if err != nil {
		b.Fatal(err)
	}
	return []uint32{pid}
}

// fill writes n events in transactions of a thousand.
func fill(b *testing.B, url, topic string, n int) {
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := Migrate(b.Context(), conn); err != nil {
		b.Fatal(err)
	}
	for first := 0; first < n; first += 1000 {
		err := pgx.BeginFunc(b.Context(), conn, func(tx pgx.Tx) error {
			var events []Event
			for i := first; i < min(n, first+1000); i++ {
				events = append(events, benchEvent(topic, i))
			}
			return Write(b.Context(), tx, events...)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
