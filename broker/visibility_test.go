package broker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// slowDisk is a broker whose syncs of chosen files wait, or fail.
type slowDisk struct {
	*broker.Broker
	t testing.TB

	mu     sync.Mutex
	held   string        // part of the names of files whose syncs wait
	waits  chan struct{} // closed when they need not any more
	begun  int           // how many have begun to wait since hold
	failed string        // part of the names of files whose syncs fail
}

func newSlowDisk(t testing.TB) *slowDisk {
	t.Helper()
	d := &slowDisk{t: t}
	disk := &fsys.Faulty{FS: fsys.NewMem(), Hook: d.hook}
	var err error
	d.Broker, err = broker.OpenOn(broker.Config{
		DataDir: "/data", Listen: "127.0.0.1:0", DiskReserve: -1, GroupInitialRebalanceDelay: -1, OffsetsPartitions: 1, TransactionsPartitions: 1,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}, disk)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- d.Serve() }()
	t.Cleanup(func() {
		d.let()
		_ = d.Close() // what failed on purpose is its error
		<-served
	})
	return d
}

func (d *slowDisk) hook(c fsys.Call) error {
	if c.Op != "sync" {
		return nil
	}
	d.mu.Lock()
	waits, failed := d.waits, d.failed
	held := d.held != "" && strings.Contains(c.Name, d.held)
	if held {
		d.begun++
	}
	d.mu.Unlock()
	if failed != "" && strings.Contains(c.Name, failed) {
		return fsys.ErrIO
	}
	if held {
		<-waits
	}
	return nil
}

// hold makes syncs of files wait until let.
func (d *slowDisk) hold(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held, d.waits, d.begun = name, make(chan struct{}), 0
}

// syncing waits until a sync that is held has begun.
func (d *slowDisk) syncing() {
	d.t.Helper()
	waitUntil(d.t, "a file is synced", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.begun > 0
	})
}

// producing waits until so many produce requests wait for the disk.
func (d *slowDisk) producing(n int) {
	d.t.Helper()
	sample := fmt.Sprintf(`kafka_server_delayed_operation_purgatory_size{delayed_operation="Produce"} %d`+"\n", n)
	waitUntil(d.t, fmt.Sprintf("%d produce requests wait", n), func() bool { return strings.Contains(pageOf(d.Broker), sample) })
}

func (d *slowDisk) let() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held != "" {
		close(d.waits)
	}
	d.held = ""
}

func (d *slowDisk) fail(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = name
}

// connect returns a client of its own, so that no answer waits behind another's.
func (d *slowDisk) connect(opts ...kgo.Opt) *kgo.Client {
	d.t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(d.Addr()), kgo.RequestRetries(0), kgo.RequestTimeoutOverhead(3*time.Minute), kgo.AllowAutoTopicCreation())...)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(c.Close)
	return c
}

// begin sends a request on a connection of its own.
func begin[R kmsg.Response](d *slowDisk, req kmsg.Request) chan R {
	d.t.Helper()
	opts := []kgo.Opt{kgo.MaxVersions(kversion.V3_0_0())}
	if p, ok := req.(*kmsg.ProduceRequest); ok { // the client sets these
		opts = append(opts, kgo.DisableIdempotentWrite(), kgo.ProduceRequestTimeout(time.Duration(p.TimeoutMillis)*time.Millisecond))
		if p.Acks == 1 {
			opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()))
		}
	}
	client, out := d.connect(opts...), make(chan R, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		resp, err := client.Broker(1).Request(ctx, req)
		if err != nil {
			d.t.Errorf("%s: %v", kmsg.NameForKey(req.Key()), err)
			close(out)
			return
		}
		out <- resp.(R)
	}()
	return out
}

func ask[R kmsg.Response](d *slowDisk, req kmsg.Request) R { return <-begin[R](d, req) }

// quiet fails if there is an answer. It waits a little: that nothing comes cannot be
// waited for.
func quiet[R any](t testing.TB, what string, answer chan R) {
	t.Helper()
	select {
	case r := <-answer:
		t.Fatalf("%s was answered: %+v", what, r)
	case <-time.After(50 * time.Millisecond):
	}
}

func produce(topic string, acks int16, timeout time.Duration, o record.Options, value string) *kmsg.ProduceRequest {
	b := record.NewBuilder(o)
	b.Add(record.Record{Timestamp: time.Now().UnixMilli(), Value: []byte(value)})
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, acks, int32(timeout.Milliseconds())
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = b.Batch()
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

func (d *slowDisk) produced(resp *kmsg.ProduceResponse) (int64, error) {
	d.t.Helper()
	p := resp.Topics[0].Partitions[0]
	return p.BaseOffset, kerr.ErrorForCode(p.ErrorCode)
}

// seen asks for everything that tells an offset: the end by ListOffsets, in both
// isolations and by largest timestamp, the end of the leader epoch, and a fetch.
func (d *slowDisk) seen(topic string) (end, stable, largest, epochEnd, highWatermark int64, bytes int) {
	d.t.Helper()
	list := func(isolation int8, at int64) int64 {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID, req.IsolationLevel = -1, isolation
		t := kmsg.NewListOffsetsRequestTopic()
		p := kmsg.NewListOffsetsRequestTopicPartition()
		t.Topic, p.Timestamp, p.CurrentLeaderEpoch = topic, at, -1
		t.Partitions = append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
		return ask[*kmsg.ListOffsetsResponse](d, req).Topics[0].Partitions[0].Offset
	}
	epoch := kmsg.NewPtrOffsetForLeaderEpochRequest()
	et := kmsg.NewOffsetForLeaderEpochRequestTopic()
	ep := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
	epoch.ReplicaID, et.Topic, ep.CurrentLeaderEpoch = -1, topic, -1
	et.Partitions = append(et.Partitions, ep)
	epoch.Topics = append(epoch.Topics, et)

	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.MaxBytes, fetch.ReplicaID = 12, 1<<20, -1
	ft := kmsg.NewFetchRequestTopic()
	fp := kmsg.NewFetchRequestTopicPartition()
	ft.Topic, fp.PartitionMaxBytes, fp.CurrentLeaderEpoch, fp.LastFetchedEpoch, fp.LogStartOffset = topic, 1<<20, -1, -1, -1
	ft.Partitions = append(ft.Partitions, fp)
	fetch.Topics = append(fetch.Topics, ft)
	f := ask[*kmsg.FetchResponse](d, fetch).Topics[0].Partitions[0]
	return list(0, -1), list(1, -1), list(0, -3), ask[*kmsg.OffsetForLeaderEpochResponse](d, epoch).Topics[0].Partitions[0].EndOffset, f.HighWatermark, len(f.RecordBatches)
}

// TestNothingBeforeItIsDurable: while a sync is under way acks=1 is answered and acks=all
// is not, or says that it took too long; nobody sees a record; a duplicate waits for the
// batch that it repeats.
func TestNothingBeforeItIsDurable(t *testing.T) {
	d := newSlowDisk(t)
	if _, err := d.produced(ask[*kmsg.ProduceResponse](d, produce("t", -1, 3*time.Minute, record.Options{}, "0"))); errors.Is(err, kerr.UnknownTopicOrPartition) {
		metadata := kmsg.NewPtrMetadataRequest()
		name := "t"
		metadata.AllowAutoTopicCreation = true
		metadata.Topics = append(metadata.Topics, kmsg.MetadataRequestTopic{Topic: &name})
		ask[*kmsg.MetadataResponse](d, metadata)
		if _, err := d.produced(ask[*kmsg.ProduceResponse](d, produce("t", -1, 3*time.Minute, record.Options{}, "0"))); err != nil {
			t.Fatal(err)
		}
	}
	d.hold("/t-0/")
	if off, err := d.produced(ask[*kmsg.ProduceResponse](d, produce("t", 1, 3*time.Minute, record.Options{}, "1"))); off != 1 || err != nil {
		t.Fatalf("acks=1 is answered %d, %v", off, err)
	}
	same := record.Options{Idempotent: true, ProducerID: 77}
	first := begin[*kmsg.ProduceResponse](d, produce("t", -1, 3*time.Minute, same, "2"))
	d.producing(1) // or what is sent next might overtake it
	quiet(t, "acks=all", first)
	again := begin[*kmsg.ProduceResponse](d, produce("t", -1, 3*time.Minute, same, "2"))
	d.producing(2)
	quiet(t, "a duplicate of what is not durable", again)
	if _, err := d.produced(ask[*kmsg.ProduceResponse](d, produce("t", -1, 100*time.Millisecond, record.Options{}, "3"))); !errors.Is(err, kerr.RequestTimedOut) {
		t.Fatalf("acks=all with a timeout is answered %v", err)
	}
	if end, stable, largest, epochEnd, hw, bytes := d.seen("t"); end != 1 || stable != 1 || largest != 0 || epochEnd != 1 || hw != 1 {
		t.Fatalf("before it is durable: end %d, stable %d, largest timestamp at %d, epoch ends at %d, high watermark %d, %d bytes", end, stable, largest, epochEnd, hw, bytes)
	}
	if page := pageOf(d.Broker); !strings.Contains(page, `kafka_topic_partition_current_offset{topic="t",partition="0"} 1`+"\n") {
		t.Errorf("the metrics show another end: %s", page)
	}
	d.let()
	for _, answer := range []chan *kmsg.ProduceResponse{first, again} {
		if off, err := d.produced(<-answer); off != 2 || err != nil {
			t.Fatalf("answered %d, %v", off, err)
		}
	}
	if end, stable, _, epochEnd, hw, _ := d.seen("t"); end != 4 || stable != 4 || epochEnd != 4 || hw != 4 {
		t.Fatalf("once it is durable: end %d, stable %d, epoch ends at %d, high watermark %d", end, stable, epochEnd, hw)
	}
}

// TestCommitsAreReadOnceDurable: a committed offset is in memory at once, but neither its
// commit nor who asks for it is answered before it is on the disk.
func TestCommitsAreReadOnceDurable(t *testing.T) {
	d := newSlowDisk(t)
	commit := func(at int64) chan *kmsg.OffsetCommitResponse {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Version, req.Group, req.Generation = 7, "g", -1
		topic := kmsg.NewOffsetCommitRequestTopic()
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		topic.Topic, p.Offset = "t", at
		topic.Partitions = append(topic.Partitions, p)
		req.Topics = append(req.Topics, topic)
		return begin[*kmsg.OffsetCommitResponse](d, req)
	}
	fetch := func() chan *kmsg.OffsetFetchResponse {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Groups = append(req.Groups, kmsg.OffsetFetchRequestGroup{Group: "g"})
		return begin[*kmsg.OffsetFetchResponse](d, req)
	}
	if err := d.connect(kgo.DefaultProduceTopic("t")).ProduceSync(t.Context(), &kgo.Record{Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKey = 3, "g"
	ask[*kmsg.FindCoordinatorResponse](d, find)
	waitUntil(t, "the coordinator is there", func() bool {
		r := <-commit(0)
		return r != nil && r.Topics[0].Partitions[0].ErrorCode == 0
	})
	d.hold("/__consumer_offsets-0/")
	committed := commit(1)
	d.syncing() // or the read might come first
	quiet(t, "a commit", committed)
	read := fetch()
	quiet(t, "a read of what was committed", read)
	d.let()
	if code := (<-committed).Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Fatal(kerr.ErrorForCode(code))
	}
	if got := (<-read).Groups[0].Topics[0].Partitions[0].Offset; got != 1 {
		t.Fatalf("read offset %d", got)
	}
}

// TestEndOfTransaction: EndTxn is answered once its decision is durable, before its
// markers are; the transaction counts as open for readers until these are; and the next
// one of the same producer waits for that instead of being refused.
func TestEndOfTransaction(t *testing.T) {
	d := newSlowDisk(t)
	id := "id"
	p := d.connect(kgo.TransactionalID(id), kgo.DefaultProduceTopic("t"))
	run := func(value string) {
		t.Helper()
		if err := p.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := p.ProduceSync(t.Context(), &kgo.Record{Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	run("1") // offset 0, its marker 1
	if err := p.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the first transaction is complete", func() bool { _, stable, _, _, _, _ := d.seen("t"); return stable == 2 })
	run("2") // offset 2, its marker 3
	d.hold("/t-0/")
	ended := make(chan error, 1)
	go func() { ended <- p.EndTransaction(t.Context(), kgo.TryCommit) }()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("EndTxn waits for its markers")
	}
	if end, stable, _, _, hw, _ := d.seen("t"); end != 3 || hw != 3 || stable != 2 {
		t.Fatalf("with a marker that is not durable: end %d, high watermark %d, stable %d", end, hw, stable)
	}
	// Raw, since clients try again what is refused.
	pid, epoch, err := p.ProducerID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	add := kmsg.NewPtrAddPartitionsToTxnRequest()
	add.Version, add.TransactionalID, add.ProducerID, add.ProducerEpoch = 3, id, pid, epoch
	add.Topics = append(add.Topics, kmsg.AddPartitionsToTxnRequestTopic{Topic: "t", Partitions: []int32{0}})
	began := time.Now()
	deadline := began.Add(2 * time.Minute)
	next := begin[*kmsg.AddPartitionsToTxnResponse](d, add)
	quiet(t, "the next transaction's beginning", next)
	d.let()
	code := (<-next).Topics[0].Partitions[0].ErrorCode
	// It waits for five seconds, no more, where the machine stood still.
	for code == kerr.ConcurrentTransactions.Code && time.Since(began) >= 5*time.Second {
		if time.Now().After(deadline) {
			t.Fatal("for two minutes the transaction before it has not come to its end")
		}
		began = time.Now()
		code = ask[*kmsg.AddPartitionsToTxnResponse](d, add).Topics[0].Partitions[0].ErrorCode
	}
	if code != 0 {
		t.Fatalf("the next transaction is refused: %v", kerr.ErrorForCode(code))
	}
	waitUntil(t, "the marker is durable", func() bool { _, stable, _, _, _, _ := d.seen("t"); return stable == 4 })
}

// TestFailedSyncs: a segment's stops its partition alone; the cluster log's makes the
// data directory read-only, and reads go on.
func TestFailedSyncs(t *testing.T) {
	d := newSlowDisk(t)
	client := d.connect(kgo.RecordRetries(0), kgo.MetadataMinAge(20*time.Millisecond), kgo.DisableIdempotentWrite())
	send := func(topic string) error {
		return client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte("v")}).FirstErr()
	}
	for _, topic := range []string{"sound", "broken"} {
		if err := send(topic); err != nil {
			t.Fatal(err)
		}
	}
	d.fail("/broken-0/")
	if err := send("broken"); err == nil {
		t.Fatal("a failed sync was acknowledged")
	}
	d.fail("")
	if err := send("broken"); err == nil {
		t.Fatal("a partition goes on after a failed sync")
	}
	if err := send("sound"); err != nil {
		t.Fatalf("another partition's failed sync: %v", err)
	}
	page := pageOf(d.Broker)
	for _, want := range []string{"quokka_broker_partitions_stopped 1\n", "quokka_broker_storage_read_only 0\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}

	d.fail("cluster.log")
	create := kmsg.NewPtrCreateTopicsRequest()
	create.TimeoutMillis = 5000
	create.Topics = append(create.Topics, kmsg.CreateTopicsRequestTopic{Topic: "new", NumPartitions: 1, ReplicationFactor: 1})
	if code := ask[*kmsg.CreateTopicsResponse](d, create).Topics[0].ErrorCode; code == 0 {
		t.Fatal("a topic was made although the cluster log could not be synced")
	}
	d.fail("")
	waitUntil(t, "the data directory is read-only", func() bool {
		return strings.Contains(pageOf(d.Broker), "quokka_broker_storage_read_only 1\n")
	})
	if err := send("sound"); err == nil {
		t.Fatal("a record was taken in a data directory that is read-only")
	}
	if code := ask[*kmsg.CreateTopicsResponse](d, create).Topics[0].ErrorCode; code == 0 {
		t.Fatal("a topic was made in a data directory that is read-only")
	}
	if end, _, _, _, hw, bytes := d.seen("sound"); end != 2 || hw != 2 || bytes == 0 {
		t.Fatalf("reads do not go on: end %d, high watermark %d, %d bytes", end, hw, bytes)
	}
}

func waitUntil(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not happen within two minutes that %s", what)
		}
	}
}
