package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// outcome is what the producer of a transaction was told.
type outcome int

const (
	unknown outcome = iota
	committed
	aborted
)

// TestKillTransactions kills the broker under transactional producers. Each
// transaction writes one record to every partition; afterwards a read_committed
// consumer sees all of a committed one, nothing of an aborted one, all or nothing
// of one whose producer never heard, and no transaction stays open.
func TestKillTransactions(t *testing.T) {
	rounds := 5
	if v, err := strconv.Atoi(os.Getenv("QUOKKA_KILLS")); err == nil {
		rounds = v / 2
	}
	if testing.Short() {
		rounds = 1
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := &process{t: t, bin: build(t), dir: t.TempDir(), addr: freePort(t), log: log}
	p.start()
	defer func() {
		p.kill()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("the brokers' log:\n%s", text)
		}
	}()
	const topic, partitions, producers = "txns", 3, 3
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	client := func(opts ...kgo.Opt) *kgo.Client {
		c, err := kgo.NewClient(append([]kgo.Opt{
			kgo.SeedBrokers(p.addr), kgo.MetadataMinAge(20 * time.Millisecond), kgo.FetchMaxWait(100 * time.Millisecond),
			kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.RequestRetries(1000), kgo.UnknownTopicRetries(-1),
		}, opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	admin := kadm.NewClient(client())
	defer admin.Close()
	if _, err := admin.CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	outcomes := map[string]outcome{}
	load, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for n := range producers {
		wg.Go(func() {
			run := 0
			for load.Err() == nil {
				c := client(kgo.TransactionalID(fmt.Sprintf("p%d", n)), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
					kgo.TransactionTimeout(2*time.Second), kgo.RecordDeliveryTimeout(20*time.Second))
				for load.Err() == nil {
					run++
					name := fmt.Sprintf("p%d-%d", n, run)
					o, goOn := transaction(ctx, c, name, partitions, run%4 != 0)
					mu.Lock()
					outcomes[name] = o
					mu.Unlock()
					if !goOn {
						break // fenced by a timeout while the broker was away: a new client begins anew
					}
				}
				c.Close()
			}
		})
	}
	for range rounds {
		time.Sleep(time.Duration(100+rng.IntN(400)) * time.Millisecond)
		p.kill()
		p.start()
	}
	time.Sleep(200 * time.Millisecond)
	stop()
	wg.Wait()
	p.kill()
	p.start()

	// Abandoned transactions time out; then everything up to the end is stable.
	var total int64
	deadline := time.Now().Add(30 * time.Second)
	for {
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		stable, err := admin.ListCommittedOffsets(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		open := false
		total = 0
		ends.Each(func(o kadm.ListedOffset) {
			s, _ := stable.Lookup(topic, o.Partition)
			open = open || s.Offset != o.Offset
			total += o.Offset
		})
		if !open {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a transaction stays open")
		}
		time.Sleep(50 * time.Millisecond)
	}
	seen := map[string]map[int32]int{}
	c := client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	defer c.Close()
	last := map[int32]int64{}
	for reached := int64(0); reached < total; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			last[r.Partition] = r.Offset + 1
			if r.Attrs.IsControl() {
				return
			}
			name := string(r.Value)
			if seen[name] == nil {
				seen[name] = map[int32]int{}
			}
			seen[name][r.Partition]++
		})
		reached = 0
		for _, o := range last {
			reached += o
		}
	}
	counts := map[outcome]int{}
	for name, o := range outcomes {
		counts[o]++
		var got []string
		whole := len(seen[name]) == partitions
		for partition, times := range seen[name] {
			got = append(got, fmt.Sprintf("%d:%d", partition, times))
			whole = whole && times == 1
		}
		switch {
		case o == committed && !whole, o == aborted && len(got) > 0, o == unknown && len(got) > 0 && !whole:
			t.Errorf("transaction %s: its producer was told %d (1 committed, 2 aborted), seen are %s", name, o, strings.Join(got, " "))
		}
		delete(seen, name)
	}
	if len(seen) > 0 {
		t.Errorf("transactions that nobody sent: %v", seen)
	}
	t.Logf("%d committed, %d aborted, %d unknown", counts[committed], counts[aborted], counts[unknown])
	if counts[committed] == 0 {
		t.Error("nothing was committed")
	}
}

// transaction writes one record to each partition and ends the transaction. goOn
// is false when the client cannot begin another one.
func transaction(ctx context.Context, c *kgo.Client, name string, partitions int, commit bool) (o outcome, goOn bool) {
	if err := c.BeginTransaction(); err != nil {
		return unknown, false
	}
	var records []*kgo.Record
	for p := range partitions {
		records = append(records, &kgo.Record{Partition: int32(p), Value: []byte(name)})
	}
	if err := c.ProduceSync(ctx, records...).FirstErr(); err != nil {
		commit = false
	}
	if err := c.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
		return unknown, false
	}
	if commit {
		return committed, true
	}
	return aborted, true
}
