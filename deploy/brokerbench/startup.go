package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/quokka-stream/quokka/broker"
)

// starts is how often each start is measured; the median counts.
const starts = 5

// startup measures starts with an empty data directory, memory at rest, and how
// soon we answer again after a kill in the middle of a load.
func (b *bench) startup(ctx context.Context, full bool) error {
	fmt.Printf("\nStart to first metadata, ms; resident memory then, MB\n\n| server | ready | memory |\n|---|---|---|\n")
	for _, name := range b.servers {
		var ready, resident []float64
		for range starts {
			err := b.once(ctx, name, broker.FlushGroup, func(s *server) error {
				now, _, err := memory(s.pid)
				ready, resident = append(ready, ms(s.ready)), append(resident, float64(now)/1e6)
				return err
			})
			if err != nil {
				return err
			}
		}
		fmt.Printf("| %s | %.0f | %.0f |\n", name, median(ready), median(resident))
	}
	gigabytes := int64(1)
	if full {
		gigabytes = 10
	}
	return b.recoveries(ctx, gigabytes)
}

// recoveries measures starts after a kill under each flush policy.
func (b *bench) recoveries(ctx context.Context, gigabytes int64) error {
	fmt.Printf("\nStart after kill -9 under load, with %d GB in 20 partitions, ms: to the first answer, and until every partition is open and says where it ends\n\n| flush | first answer | all partitions |\n|---|---|---|\n", gigabytes)
	for _, policy := range []broker.FlushPolicy{broker.FlushGroup, broker.FlushInterval, broker.FlushOS} {
		ready, all, err := b.recovery(ctx, policy, gigabytes)
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %.0f | %.0f |\n", policy, ms(ready), ms(all))
	}
	return nil
}

// once starts one server on an empty directory, calls f, and ends it.
func (b *bench) once(ctx context.Context, name string, policy broker.FlushPolicy, f func(*server) error) error {
	dir, err := os.MkdirTemp(b.dir, "start-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := b.start(ctx, name, string(policy), dir)
	if err != nil {
		return err
	}
	if err := f(s); err != nil {
		return err
	}
	return s.stop()
}

// recovery fills our broker, kills it while producers are at work, and measures its
// next start: until it answers, and until each partition was opened.
func (b *bench) recovery(ctx context.Context, policy broker.FlushPolicy, gigabytes int64) (ready, all time.Duration, err error) {
	dir := filepath.Join(b.dir, "recovery-"+string(policy))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	s, err := b.start(ctx, quokka, string(policy), dir)
	if err != nil {
		return 0, 0, err
	}
	c := base(gigabytes << 30)
	c.partitions, c.flush, c.consume = 20, policy, false
	if err := createTopic(ctx, s, c, "filled"); err != nil {
		return 0, 0, err
	}
	fill := func(ctx context.Context) error {
		clients, err := producers(ctx, s, c, "filled")
		if err != nil {
			return err
		}
		defer closeAll(clients)
		_, err = produce(ctx, clients, c, c.records(), 0)
		return err
	}
	if err := fill(ctx); err != nil {
		return 0, 0, err
	}
	loaded := make(chan struct{})
	loadCtx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(loaded)
		_ = fill(loadCtx) // it is about to be killed
	}()
	time.Sleep(500 * time.Millisecond)
	err = s.kill()
	cancel()
	<-loaded
	if err != nil {
		return 0, 0, err
	}
	if s, err = b.start(ctx, quokka, string(policy), dir); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	err = administer(s, func(admin *kadm.Client) error {
		ends, err := admin.ListEndOffsets(ctx, "filled")
		return errors.Join(err, ends.Error())
	})
	return s.ready, s.ready + time.Since(began), errors.Join(err, s.stop())
}
