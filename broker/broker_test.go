package broker_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/brokertest"
)

func TestOpenRefuses(t *testing.T) {
	running := brokertest.Start(t)
	dir := t.TempDir()
	first, err := broker.Open(broker.Config{DataDir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cfg  broker.Config
		want []string
	}{
		{"no directory", broker.Config{}, []string{"--data-dir"}},
		{"a directory in use", broker.Config{DataDir: dir, Listen: "127.0.0.1:0"}, []string{dir, "in use by another broker", "--data-dir"}},
		{"a port in use", broker.Config{InMemory: true, Listen: running.Addr()}, []string{running.Addr(), "taken", "--listen"}},
		{"all addresses", broker.Config{InMemory: true, Listen: ":0"}, []string{"--allow-remote", "--listen"}},
		{"another machine's view", broker.Config{InMemory: true, Listen: "0.0.0.0:0"}, []string{"--allow-remote"}},
		{"no port", broker.Config{InMemory: true, Listen: "127.0.0.1"}, []string{"--listen"}},
		{"a policy that is none", broker.Config{InMemory: true, Flush: "sometimes"}, []string{"sometimes", "group, interval or os"}},
		{"an advertised address without port", broker.Config{InMemory: true, Advertise: "host"}, []string{"--advertise"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := broker.Open(c.cfg)
			if err == nil {
				t.Fatal("opened", b.Close())
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		})
	}
	id := first.ClusterID()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := broker.Open(broker.Config{DataDir: dir, Listen: "127.0.0.1:0", ClusterID: "elsewhere"}); err == nil {
		t.Error("opened another cluster's directory", b.Close())
	} else if !strings.Contains(err.Error(), id) || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("the error names neither: %v", err)
	}
	again, err := broker.Open(broker.Config{DataDir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if again.ClusterID() != id {
		t.Errorf("the cluster id changed from %s to %s", id, again.ClusterID())
	}
	if err := errors.Join(again.Close(), again.Close()); err != nil {
		t.Error(err)
	}
}

// TestCloseAsServeBegins: what Serve was about to begin is waited for, or not begun.
func TestCloseAsServeBegins(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for range 100 {
		b, err := broker.Open(broker.Config{InMemory: true, Listen: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- b.Serve() }()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-served; err != nil {
			t.Fatal(err)
		}
	}
}

// TestClose: a broker that was used, with clients in the middle of requests, ends
// soon and leaves nothing running.
func TestClose(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	b, err := broker.Open(broker.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", GroupInitialRebalanceDelay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- b.Serve() }()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("t"),
		kgo.ConsumeTopics("t"), kgo.FetchMaxWait(10*time.Minute), kgo.ConnIdleTimeout(10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	joins, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	// The fetch would wait for ten minutes, the join for an hour.
	patience, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := b.CloseBefore(patience); err != nil {
		t.Error(err)
	}
	if patience.Err() != nil {
		t.Error("closing had to cut off what clients wait for")
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	joins.CloseAllowingRebalance()
	client.CloseAllowingRebalance()
}

// TestListener: the broker serves on a listener that it is given.
func TestListener(t *testing.T) {
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.Open(broker.Config{InMemory: true, Listener: ln, Advertise: "kafka.example.test:9999"})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = b.Serve() }() // ends with Close, which reports
	defer b.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(ln.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	resp, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if told := resp.Brokers[0]; told.Host != "kafka.example.test" || told.Port != 9999 {
		t.Errorf("clients are told to use %s:%d", told.Host, told.Port)
	}
}

// TestReadsFromDisk: what is large enough to be sent from the file, and what is not,
// comes back as it was written, read from the start, from the middle, committed only,
// and by clients that ask for little at a time.
func TestReadsFromDisk(t *testing.T) {
	b, err := broker.Open(broker.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = b.Serve() }() // ends with Close, which reports
	defer b.Close()
	producer, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("t"), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	const n = 3000
	value := func(i int) string { return strconv.Itoa(i) + strings.Repeat("v", i%2000) }
	for i := range n {
		producer.Produce(t.Context(), &kgo.Record{Value: []byte(value(i))}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
		if i%500 == 0 {
			if err := producer.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := producer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, most := range []int32{10_000, 200_000, 50 << 20} {
		for _, from := range []int64{0, n / 2} {
			for _, isolation := range []kgo.IsolationLevel{kgo.ReadUncommitted(), kgo.ReadCommitted()} {
				consumer, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.FetchMaxPartitionBytes(most), kgo.FetchIsolationLevel(isolation),
					kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t": {0: kgo.NewOffset().At(from)}}))
				if err != nil {
					t.Fatal(err)
				}
				for next := from; next < n; {
					fetches := consumer.PollFetches(t.Context())
					if err := fetches.Err(); err != nil {
						t.Fatal(err)
					}
					fetches.EachRecord(func(r *kgo.Record) {
						if r.Offset != next || string(r.Value) != value(int(next)) {
							t.Fatalf("at most %d bytes from %d: offset %d with %.10q, want %d", most, from, r.Offset, r.Value, next)
						}
						next++
					})
				}
				consumer.Close()
			}
		}
	}
}
