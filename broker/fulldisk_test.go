//go:build linux

package broker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/brokertest"
)

// smallDisk mounts a disk of so many bytes, and says why it cannot.
func smallDisk(t *testing.T, bytes int) (dir string, ok bool) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		fmt.Printf("not run: %s needs a disk of its own, and mounting a tmpfs failed: %v (it takes root)\n", t.Name(), err)
		return "", false
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return dir, true
}

// TestFullDisk fills a real disk: producers get an error that they try again, offsets,
// transactions and deletes go on, also over a restart, and the disk heals by itself.
func TestFullDisk(t *testing.T) {
	disk, ok := smallDisk(t, 100<<20)
	if !ok {
		return
	}
	b := brokertest.Start(t, func(c *broker.Config) {
		c.DataDir, c.DiskReserve = filepath.Join(disk, "data"), 16<<20
		c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil)) // it has much to complain about
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	client := func(opts ...kgo.Opt) *kgo.Client {
		c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.Addr()), kgo.AllowAutoTopicCreation(), kgo.MetadataMinAge(50*time.Millisecond), kgo.ProduceRequestTimeout(5*time.Minute))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	admin := kadm.NewClient(client())
	if _, err := admin.CreateTopics(ctx, 1, 1, map[string]*string{"segment.bytes": kadm.StringPtr("1048576")}, "fill", "again", "small"); err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 500<<10)
	kept := 0
	fill := func(topic string) (err error) {
		impatient := client(kgo.RecordRetries(0), kgo.DisableIdempotentWrite(), kgo.ProducerBatchCompression(kgo.NoCompression()))
		for kept = 0; err == nil && kept < 300; kept++ {
			err = impatient.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: value}).FirstErr()
		}
		return err
	}
	if err := fill("fill"); !errors.Is(err, kerr.KafkaStorageError) || !kerr.IsRetriable(err) {
		t.Fatalf("%d records fit on the disk, then: %v", kept, err)
	}
	if kept < 100 {
		t.Fatalf("the disk is full after %d records", kept)
	}
	full := func(want string) {
		t.Helper()
		page := metricsPage(b)
		if !strings.Contains(page, "quokka_broker_storage_full "+want+"\n") {
			t.Errorf("the metrics do not say quokka_broker_storage_full %s:\n%s", want, page)
		}
	}
	full("1")

	goesOn := func() {
		t.Helper()
		if err := admin.CommitAllOffsets(ctx, "group", offsets("fill", 0, 1)); err != nil {
			t.Fatalf("committing offsets on a full disk: %v", err)
		}
		txn := client(kgo.TransactionalID("t"), kgo.RecordRetries(3))
		if err := txn.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := txn.ProduceSync(ctx, &kgo.Record{Topic: "small", Value: []byte("v")}).FirstErr(); !errors.Is(err, kerr.KafkaStorageError) && !errors.Is(err, kgo.ErrRecordRetries) {
			t.Fatalf("producing on a full disk: %v", err)
		}
		if err := txn.EndTransaction(ctx, kgo.TryAbort); err != nil {
			t.Fatalf("aborting a transaction on a full disk: %v", err)
		}
		if _, err := admin.CreateTopic(ctx, 1, 1, nil, "made-"+time.Now().Format("150405.000000000")); err != nil {
			t.Fatalf("creating a topic on a full disk: %v", err)
		}
		reader := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"fill": {0: kgo.NewOffset().AtStart()}}))
		if n := reader.PollFetches(ctx).NumRecords(); n == 0 {
			t.Fatal("nothing can be read on a full disk")
		}
	}
	goesOn()
	b.Restart()
	full("1")
	goesOn()

	// A producer that tries again, as clients do by default, only sees that it takes long.
	waiting := make(chan error, 1)
	go func() {
		waiting <- client().ProduceSync(ctx, &kgo.Record{Topic: "small", Value: []byte("patient")}).FirstErr()
	}()
	if _, err := admin.DeleteTopic(ctx, "fill"); err != nil {
		t.Fatalf("deleting a topic on a full disk: %v", err)
	}
	if err := <-waiting; err != nil {
		t.Fatalf("a patient producer: %v", err)
	}
	full("0")
	var st syscall.Statfs_t
	if err := syscall.Statfs(disk, &st); err != nil {
		t.Fatal(err)
	}
	if used := int64(st.Blocks-st.Bfree) * st.Bsize; used < 16<<20 {
		t.Fatalf("%d bytes of the disk are in use: the reserve was not taken again", used)
	}
	// The other way out: deleting records.
	if err := fill("again"); !errors.Is(err, kerr.KafkaStorageError) {
		t.Fatalf("%d records fit on the disk, then: %v", kept, err)
	}
	end, err := admin.ListEndOffsets(ctx, "again")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.DeleteRecords(ctx, end.Offsets()); err != nil {
		t.Fatalf("deleting records on a full disk: %v", err)
	}
	if err := client().ProduceSync(ctx, &kgo.Record{Topic: "small", Value: []byte("patient")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	// Those above the last checkpoint go with the next one.
	waitUntil(t, "few files are left of deleted records", func() bool {
		files, err := os.ReadDir(filepath.Join(disk, "data", "topics", "again-0"))
		if err != nil {
			t.Fatal(err)
		}
		return len(files) <= 12
	})
}

func offsets(topic string, partition int32, at int64) kadm.Offsets {
	var o kadm.Offsets
	o.Add(kadm.Offset{Topic: topic, Partition: partition, At: at, LeaderEpoch: -1})
	return o
}
