package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/internal/testport"
)

// TestDrain asks the broker to end while it is being written to and waited on: it
// answers, closes its connections and exits with 0 soon. What it acknowledged is in
// the segments then, without the commit journal.
func TestDrain(t *testing.T) {
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := &process{t: t, bin: build(t), dir: t.TempDir(), addr: testport.Take(t), log: log}
	p.start()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	client := func(opts ...kgo.Opt) *kgo.Client {
		c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(p.addr), kgo.AllowAutoTopicCreation()}, opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	waiting := client(kgo.ConsumeTopics("quiet"), kgo.FetchMaxWait(10*time.Minute), kgo.FetchMinBytes(1<<20))
	defer waiting.Close()
	go waiting.PollFetches(ctx)

	// Enough rounds that the broker makes its journal, and still going on when it is
	// asked to end.
	var mu sync.Mutex
	acked := 0
	enough := make(chan struct{})
	var wg sync.WaitGroup
	load, stop := context.WithCancel(ctx)
	for range 4 {
		wg.Go(func() {
			c := client(kgo.DefaultProduceTopic("t"), kgo.ProducerLinger(0), kgo.RecordRetries(0), kgo.DisableIdempotentWrite(), kgo.RecordDeliveryTimeout(time.Second))
			defer c.Close()
			for load.Err() == nil {
				if c.ProduceSync(load, &kgo.Record{Value: []byte("x")}).FirstErr() != nil {
					continue // it has ended
				}
				mu.Lock()
				if acked++; acked == 4000 {
					close(enough)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-enough:
	case <-ctx.Done():
		t.Fatal("too slow")
	}
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err = p.cmd.Wait()
	stop()
	wg.Wait()
	if text, _ := os.ReadFile(log.Name()); err != nil || strings.Contains(string(text), "ERROR") {
		t.Errorf("it ended with %v; its log:\n%s", err, text)
	}
	if took := time.Since(began); took > time.Minute { // the fetch would wait for ten
		t.Errorf("ending took %s", took)
	}
	journals, err := filepath.Glob(filepath.Join(p.dir, "journal.*"))
	if err != nil || len(journals) == 0 {
		t.Fatalf("there is no journal: %v", err)
	}
	for _, file := range journals {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	p.start()
	defer p.kill()
	admin := kadm.NewClient(client())
	defer admin.Close()
	ends, err := admin.ListEndOffsets(ctx, "t")
	if err != nil {
		t.Fatal(err)
	}
	if end, _ := ends.Lookup("t", 0); end.Offset < int64(acked) {
		t.Errorf("%d records were acknowledged, %d are there", acked, end.Offset)
	}
}
