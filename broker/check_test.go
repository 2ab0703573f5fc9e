package broker_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/brokertest"
)

// damaged is a broker with two topics of one partition, of which it will find the log of
// one damaged.
type damaged struct {
	*brokertest.Broker
	t   *testing.T
	dir string
	log strings.Builder
}

func (d *damaged) client(opts ...kgo.Opt) *kgo.Client {
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(d.Addr()), kgo.AllowAutoTopicCreation(), kgo.RecordRetries(5))...)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(c.Close)
	return c
}

func (d *damaged) file(name string) string { return filepath.Join(d.dir, name) }

// check runs a check and returns its table.
func (d *damaged) check(want error) string {
	d.t.Helper()
	var out bytes.Buffer
	if err := broker.Check(d.dir, &out); !errors.Is(err, want) {
		d.t.Fatalf("check: %v, want %v\n%s", err, want, &out)
	}
	return out.String()
}

func (d *damaged) repair(apply bool, files ...string) string {
	d.t.Helper()
	var out bytes.Buffer
	if err := broker.Repair("", files, apply, &out); err != nil {
		d.t.Fatalf("repair: %v\n%s", err, &out)
	}
	return out.String()
}

func newDamaged(t *testing.T) *damaged {
	d := &damaged{t: t, dir: filepath.Join(t.TempDir(), "data")}
	d.Broker = brokertest.Start(t, func(c *broker.Config) {
		c.DataDir, c.Logger = d.dir, slog.New(slog.NewTextHandler(&d.log, nil))
	})
	client := d.client()
	for i := range 20 {
		for _, topic := range []string{"sound", "harmed"} {
			if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "value %d", i)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var out bytes.Buffer
	if err := broker.Check(d.dir, &out); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Fatalf("checked the directory of a running broker: %v", err)
	}
	d.Stop()
	return d
}

// flipByte damages a file at the first place of text.
func (d *damaged) flipByte(name, text string) {
	d.t.Helper()
	b, err := os.ReadFile(name)
	at := bytes.Index(b, []byte(text))
	if err != nil || at < 0 {
		d.t.Fatalf("%s has no %q, %v", name, text, err)
	}
	b[at] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// read returns the values of a topic from its first offset on.
func (d *damaged) read(topic string, n int) []string {
	d.t.Helper()
	reader := d.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	var out []string
	for len(out) < n {
		fs := reader.PollFetches(d.t.Context())
		if err := fs.Err(); err != nil {
			d.t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) { out = append(out, fmt.Sprintf("%d:%s", r.Offset, r.Value)) })
	}
	return out
}

// TestDamagedPartition: a batch in the middle of a log that was closed in order is
// damaged. Check finds it, the broker refuses that partition alone and says what to do,
// repair says what is lost, loses that, and all goes on.
func TestDamagedPartition(t *testing.T) {
	d := newDamaged(t)
	if out := d.check(nil); !strings.Contains(out, "harmed-0") || !strings.Contains(out, "nothing is damaged") {
		t.Fatal(out)
	}
	segment := d.file("topics/harmed-0/00000000000000000000.log")
	d.flipByte(segment, "value 19")
	d.flipByte(segment, "value 7")
	out := d.check(broker.ErrDamaged)
	for _, want := range []string{"DAMAGED  " + segment, "offsets 7 to 7 are in no whole batch", "offset 19", "broker repair"} {
		if !strings.Contains(out, want) {
			t.Errorf("the check does not say %q:\n%s", want, out)
		}
	}
	// At a start only the last batch of it is read; that it is not whole is enough.
	d.Restart()
	impatient := d.client(kgo.RecordRetries(1), kgo.RecordDeliveryTimeout(3*time.Second), kgo.MetadataMinAge(50*time.Millisecond))
	err := impatient.ProduceSync(t.Context(), &kgo.Record{Topic: "harmed", Value: []byte("x")}).FirstErr()
	if err == nil {
		t.Fatal("a damaged partition took a record")
	}
	ends, err := kadm.NewClient(d.client()).ListEndOffsets(t.Context(), "harmed")
	if got, _ := ends.Lookup("harmed", 0); err != nil || !errors.Is(got.Err, kerr.KafkaStorageError) {
		t.Fatalf("its end is %+v, %v", got, err)
	}
	if got := d.read("sound", 20); len(got) != 20 {
		t.Fatal(got)
	}
	if page := metricsPage(d.Broker); !strings.Contains(page, "quokka_broker_partitions_stopped 1\n") {
		t.Error("the metrics do not count the partition that is stopped")
	}
	d.Stop()
	if log := d.log.String(); !strings.Contains(log, "broker repair "+segment) || !strings.Contains(log, "damaged at position") {
		t.Fatalf("the log does not say which file, where, and what to do:\n%s", log)
	}

	before, _ := os.ReadFile(segment)
	out = d.repair(false, segment)
	for _, want := range []string{"lost for good: " + segment, "offsets 7 to 7", "18 whole batches stay", "Nothing was changed"} {
		if !strings.Contains(out, want) {
			t.Errorf("the repair does not say %q:\n%s", want, out)
		}
	}
	if after, _ := os.ReadFile(segment); !bytes.Equal(before, after) {
		t.Fatal("a repair that was not to be done changed the file")
	}
	d.repair(true, segment)
	if kept, _ := os.ReadFile(segment + ".damaged"); !bytes.Equal(before, kept) {
		t.Fatal("the damaged file was not kept")
	}
	d.check(nil)
	d.Restart()
	if err := d.client().ProduceSync(t.Context(), &kgo.Record{Topic: "harmed", Value: []byte("new")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	got := d.read("harmed", 19)
	if len(got) != 19 || got[6] != "6:value 6" || got[7] != "8:value 8" || got[17] != "18:value 18" || !strings.HasSuffix(got[18], ":new") {
		t.Fatal(got)
	}
	d.Stop()
	d.check(nil)
}

// TestDamagedClusterLog: the broker does not start, and after a repair nothing of a topic
// that the log has lost is removed.
func TestDamagedClusterLog(t *testing.T) {
	d := newDamaged(t)
	file := d.file("cluster.log")
	d.flipByte(file, "harmed")
	if out := d.check(broker.ErrDamaged); !strings.Contains(out, "DAMAGED  "+file) {
		t.Fatal(out)
	}
	_, err := broker.Open(broker.Config{DataDir: d.dir, Listen: "127.0.0.1:0", DiskReserve: -1, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err == nil || !strings.Contains(err.Error(), "broker repair "+file) {
		t.Fatalf("opened a damaged cluster log: %v", err)
	}
	out := d.repair(false, file)
	for _, want := range []string{"are lost", "1 topics are left: sound", "harmed-0: its topic is lost; it is moved to"} {
		if !strings.Contains(out, want) {
			t.Errorf("the repair does not say %q:\n%s", want, out)
		}
	}
	d.repair(true, file)
	d.check(nil)
	d.Restart()
	if got := d.read("sound", 20); len(got) != 20 {
		t.Fatal(got)
	}
	d.Stop()
	if _, err := os.Stat(d.file("lost+found/harmed-0/00000000000000000000.log")); err != nil {
		t.Fatal(err)
	}
}
