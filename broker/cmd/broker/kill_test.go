package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// kills is how often the broker is killed in the default run; QUOKKA_KILLS raises it.
const kills = 10

// process is a broker in a process of its own, to be killed.
type process struct {
	t    *testing.T
	bin  string
	dir  string
	addr string
	args []string
	cmd  *exec.Cmd
	log  *os.File
}

func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "broker")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".").CombinedOutput()
	if err != nil {
		t.Fatalf("building the broker: %v\n%s", err, out)
	}
	return bin
}

func freePort(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// start returns when the broker listens, and how long that took.
func (p *process) start() time.Duration {
	p.t.Helper()
	began := time.Now()
	cmd := exec.Command(p.bin, append([]string{"--data-dir", p.dir, "--listen", p.addr, "--group-initial-rebalance-delay", "-1s", "--group-consumer-heartbeat-interval", "200ms"}, p.args...)...)
	cmd.Stderr = p.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.cmd = cmd
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		text, _ := os.ReadFile(p.log.Name())
		p.t.Fatalf("the broker does not start: %v\n%s", err, text)
	}
	took := time.Since(began)
	if !strings.Contains(line, p.addr) {
		p.t.Fatalf("the broker says %q", line)
	}
	return took
}

func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait() // killed: it can only say so
}

// sent is what the producers know: per key, in the order of sending, and whether
// each record was acknowledged.
type sent struct {
	mu    sync.Mutex
	acked map[string]map[int]int64 // key → sequence → offset
	lost  error                    // a failure that retries should have prevented
}

// TestKill kills the broker again and again under load, and then looks for what
// the clients were promised: what was acknowledged can be read at the offset that
// was told, once, in the order of its key; committed offsets never go back;
// created topics and their settings are there.
func TestKill(t *testing.T) {
	rounds := kills
	if v, err := strconv.Atoi(os.Getenv("QUOKKA_KILLS")); err == nil {
		rounds = v
	}
	if testing.Short() {
		rounds = 2
	}
	bin := build(t)
	for _, flush := range []string{"group", "os"} {
		t.Run(flush, func(t *testing.T) { killRun(t, bin, flush, (rounds+1)/2) })
	}
}

func killRun(t *testing.T, bin, flush string, rounds int) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := &process{t: t, bin: bin, dir: t.TempDir(), addr: freePort(t), args: []string{"--flush", flush}, log: log}
	p.start()
	defer func() {
		p.kill()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("the brokers' log:\n%s", text)
		}
	}()

	const topic, partitions, producers = "load", 4, 3
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	client := func(opts ...kgo.Opt) *kgo.Client {
		c, err := kgo.NewClient(append([]kgo.Opt{
			kgo.SeedBrokers(p.addr), kgo.MetadataMinAge(20 * time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
			kgo.FetchMaxWait(100 * time.Millisecond), kgo.RequestRetries(1000), kgo.UnknownTopicRetries(-1),
		}, opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	admin := kadm.NewClient(client())
	defer admin.Close()
	if _, err := admin.CreateTopic(ctx, partitions, 1, map[string]*string{"retention.ms": kadm.StringPtr("-1")}, topic); err != nil {
		t.Fatal(err)
	}

	s := &sent{acked: map[string]map[int]int64{}}
	loadCtx, stopLoad := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for n := range producers {
		wg.Go(func() {
			c := client(kgo.DefaultProduceTopic(topic), kgo.RecordDeliveryTimeout(2*time.Minute), kgo.MaxBufferedRecords(500), kgo.ProducerLinger(0))
			defer c.Close()
			for seq := 0; loadCtx.Err() == nil; seq++ {
				key := fmt.Sprintf("p%d-k%d", n, seq%5)
				c.Produce(ctx, &kgo.Record{Key: []byte(key), Value: fmt.Append(nil, seq)}, func(r *kgo.Record, err error) {
					s.mu.Lock()
					defer s.mu.Unlock()
					if err != nil {
						s.lost = err
						return
					}
					if s.acked[key] == nil {
						s.acked[key] = map[int]int64{}
					}
					s.acked[key][seq] = r.Offset
				})
				if seq%100 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			if err := c.Flush(ctx); err != nil {
				t.Errorf("flush: %v", err)
			}
		})
	}
	groups := []*commits{
		{group: "committers"},
		{group: "modern", protocol: []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())}},
	}
	for _, g := range groups {
		wg.Go(func() { g.run(loadCtx, client, topic) })
	}

	created := []string{}
	for i := range rounds {
		time.Sleep(time.Duration(100+rng.IntN(300)) * time.Millisecond)
		name := fmt.Sprintf("made-%d", i)
		if _, err := admin.CreateTopic(ctx, 2, 1, map[string]*string{"segment.bytes": kadm.StringPtr(strconv.Itoa(1<<20 + i))}, name); err != nil {
			t.Fatalf("create: %v", err)
		}
		created = append(created, name)
		p.kill()
		p.start()
		for _, g := range groups {
			if high, low := g.last(), committedNow(ctx, t, client(), g.group); !reached(low, high) {
				t.Errorf("round %d: committed offsets of %s went back: %v was acknowledged, %v is there", i, g.group, high, low)
			}
		}
	}
	for deadline := time.Now().Add(time.Minute); len(groups[0].last()) == 0 || len(groups[1].last()) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("a group has committed nothing: %v, %v", groups[0].last(), groups[1].last())
		}
	}
	stopLoad()
	wg.Wait()
	p.kill()
	p.start()
	if s.lost != nil {
		t.Fatalf("a record was given up although retries went on: %v", s.lost)
	}
	s.check(ctx, t, client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), admin, topic)
	for i, name := range created {
		configs, err := admin.DescribeTopicConfigs(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range configs[0].Configs {
			if c.Key == "segment.bytes" && c.MaybeValue() != strconv.Itoa(1<<20+i) {
				t.Errorf("topic %s has segment.bytes %s", name, c.MaybeValue())
			}
		}
		if configs[0].Err != nil {
			t.Errorf("topic %s: %v", name, configs[0].Err)
		}
	}
}

// check reads the whole topic and compares it with what was acknowledged.
func (s *sent) check(ctx context.Context, t *testing.T, c *kgo.Client, admin *kadm.Client, topic string) {
	defer c.Close()
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	read := map[string]map[int]int64{}
	last := map[string]int{}
	records := int64(0)
	for records < total {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records++
			key := string(r.Key)
			seq, _ := strconv.Atoi(string(r.Value))
			if read[key] == nil {
				read[key] = map[int]int64{}
				last[key] = -1
			}
			if at, twice := read[key][seq]; twice {
				t.Errorf("%s/%d is at offset %d and at %d", key, seq, at, r.Offset)
			} else if seq <= last[key] {
				t.Errorf("%s: %d comes after %d", key, seq, last[key])
			}
			last[key] = max(last[key], seq)
			read[key][seq] = r.Offset
		})
	}
	acked, bad := 0, 0
	for _, key := range slices.Sorted(maps.Keys(s.acked)) {
		for seq, offset := range s.acked[key] {
			acked++
			if at, ok := read[key][seq]; !ok || at != offset {
				if bad++; bad < 10 {
					t.Errorf("%s/%d was acknowledged at offset %d; found %v at %d", key, seq, offset, ok, at)
				}
			}
		}
	}
	t.Logf("%d records acknowledged, %d read", acked, records)
	if acked == 0 {
		t.Error("nothing was acknowledged")
	}
}

// commits consumes in a group and remembers what it was told is committed.
type commits struct {
	group    string
	protocol []kgo.Opt

	mu  sync.Mutex
	now map[int32]int64
}

func (k *commits) last() map[int32]int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.now)
}

func (k *commits) run(ctx context.Context, client func(...kgo.Opt) *kgo.Client, topic string) {
	c := client(append([]kgo.Opt{kgo.ConsumerGroup(k.group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(100 * time.Millisecond)}, k.protocol...)...)
	defer c.Close()
	for ctx.Err() == nil {
		c.PollRecords(ctx, 200)
		c.CommitOffsetsSync(ctx, c.UncommittedOffsets(), func(_ *kgo.Client, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			if err != nil {
				return // the broker is down; the next commit covers this one
			}
			k.mu.Lock()
			defer k.mu.Unlock()
			if k.now == nil {
				k.now = map[int32]int64{}
			}
			for i, rt := range resp.Topics {
				for j, rp := range rt.Partitions {
					if rp.ErrorCode == 0 {
						k.now[rp.Partition] = max(k.now[rp.Partition], req.Topics[i].Partitions[j].Offset)
					}
				}
			}
		})
	}
}

// committedNow asks by a client of its own: one that has connections to the broker
// that was killed may give up with their EOF.
func committedNow(ctx context.Context, t *testing.T, client *kgo.Client, group string) map[int32]int64 {
	t.Helper()
	defer client.Close()
	offsets, err := kadm.NewClient(client).FetchOffsets(ctx, group)
	if err != nil {
		t.Fatal(err)
	}
	out := map[int32]int64{}
	offsets.Each(func(o kadm.OffsetResponse) { out[o.Partition] = o.At })
	return out
}

func reached(now, acked map[int32]int64) bool {
	for p, offset := range acked {
		if now[p] < offset {
			return false
		}
	}
	return true
}
