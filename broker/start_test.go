package broker_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/brokertest"
)

// TestStartRaisesEpochs: every start raises the leader epoch of every partition, at the
// cost of one small record, whatever the number of partitions; batches carry it.
func TestStartRaisesEpochs(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.Start(t, func(c *broker.Config) { c.DataDir = dir })
	connect := func() *kgo.Client {
		c, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"a": {0: kgo.NewOffset().AtStart()}}), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	client := connect()
	admin := kadm.NewClient(client)
	if _, err := admin.CreateTopics(t.Context(), 40, 1, nil, "a", "b", "c"); err != nil {
		t.Fatal(err)
	}
	epochs := func() map[int32]int {
		m, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		out := map[int32]int{}
		for _, topic := range m.Topics {
			for _, p := range topic.Partitions {
				out[p.LeaderEpoch]++
			}
		}
		return out
	}
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, "cluster.log"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := epochs()
	if len(before) != 1 {
		t.Fatalf("epochs %v", before)
	}
	for start := range 3 {
		was := size()
		b.Restart()
		client = connect()
		now := epochs()
		for epoch, n := range before {
			if now[epoch+1] != n || len(now) != 1 || n != 120 {
				t.Fatalf("start %d: epochs were %v, are %v", start, before, now)
			}
		}
		if grown := size() - was; grown < 1 || grown > 100 {
			t.Fatalf("start %d: the cluster log has grown by %d bytes", start, grown)
		}
		before = now
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "a", Partition: 0, Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		var got []int32
		for len(got) <= start {
			fs := client.PollFetches(t.Context())
			if fs.Err() != nil {
				t.Fatal(fs.Err())
			}
			fs.EachRecord(func(r *kgo.Record) { got = append(got, r.LeaderEpoch) })
		}
		if now[got[start]] == 0 {
			t.Errorf("start %d: records have leader epochs %d, partitions %v", start, got, now)
		}
	}
}

// TestKafkasDirectory: a data directory of Apache Kafka's is left as it is.
func TestKafkasDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "meta.properties"), []byte("version=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := broker.Open(broker.Config{DataDir: dir, Listen: "127.0.0.1:0"})
	if err == nil {
		_ = b.Close()
		t.Fatal("it was opened")
	}
	if !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("in it are %v, %v", entries, err)
	}
}

// TestNobodyCouldLogIn: a listener that would offer no mechanism is refused.
func TestNobodyCouldLogIn(t *testing.T) {
	b, err := broker.Open(broker.Config{InMemory: true, Settings: map[string]string{"listeners": "SASL_PLAINTEXT://127.0.0.1:0", "sasl.enabled.mechanisms": "GSSAPI,OAUTHBEARER"}})
	if err == nil {
		_ = b.Close()
		t.Fatal("it was opened")
	}
	if !strings.Contains(err.Error(), "sasl.enabled.mechanisms") {
		t.Errorf("the error does not name the setting: %v", err)
	}
}

// TestReplicasAreTold: settings of a Kafka of several brokers, by which one broker
// would refuse records or topics, are told of at the start.
func TestReplicasAreTold(t *testing.T) {
	for _, c := range []struct {
		settings map[string]string
		want     []string
	}{
		{nil, nil},
		{map[string]string{"min.insync.replicas": "2", "default.replication.factor": "3"}, []string{"min.insync.replicas=2", "default.replication.factor=3"}},
		{map[string]string{"default.replication.factor": "3", "quokka.replication.factor.clamp": "true"}, nil},
	} {
		var log bytes.Buffer
		b, err := broker.Open(broker.Config{InMemory: true, Listen: "127.0.0.1:0", Settings: c.settings, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(log.String(), "\n"); n != len(c.want) {
			t.Errorf("%v: %d warnings: %s", c.settings, n, &log)
		}
		for _, want := range c.want {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%v: not told of %s: %s", c.settings, want, &log)
			}
		}
	}
}
