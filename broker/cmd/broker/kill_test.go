package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/quokka-stream/quokka/broker/internal/history"
	"github.com/quokka-stream/quokka/broker/internal/testport"
)

// The default number of kills, over all policies; QUOKKA_KILLS changes it. One life of
// a data directory has at most killsPerRun.
const (
	kills       = 200
	killsPerRun = 70
)

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

// TestKill kills the broker again and again under load, under every flush policy:
// idempotent and plain producers, transactions, classic and modern groups, retention,
// compaction, topics that are deleted and made again. Then everything is read, and the
// history of what the clients were told is checked: a kill excuses nothing.
func TestKill(t *testing.T) {
	total, seed := kills, uint64(time.Now().UnixNano())%1_000_000
	if v, err := strconv.Atoi(os.Getenv("QUOKKA_KILLS")); err == nil {
		total = v
	} else if testing.Short() {
		total = 6
	}
	if v, err := strconv.ParseUint(os.Getenv("QUOKKA_CRASH_SEED"), 10, 64); err == nil {
		seed = v
	}
	bin := build(t)
	t.Logf("seed %d; the same kills again: QUOKKA_CRASH_SEED=%d QUOKKA_KILLS=%d", seed, seed, total)
	policies := []string{"group", "interval", "os"}
	each := (total + len(policies) - 1) / len(policies)
	for i, flush := range policies {
		t.Run(flush, func(t *testing.T) {
			t.Parallel()
			done := 0
			for run := uint64(0); done < each && !t.Failed(); run++ {
				n := min(killsPerRun, each-done)
				t.Run(fmt.Sprint("run", run), func(t *testing.T) { killRun(t, bin, flush, seed+3*run+uint64(i), n) })
				done += n
				t.Logf("kills: %d of %d, flush policy %s", done, each, flush)
			}
		})
	}
}

// killRun is the life of one data directory.
func killRun(t *testing.T, bin, flush string, seed uint64, kills int) {
	rng := rand.New(rand.NewPCG(seed, 1))
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := &process{t: t, bin: bin, dir: t.TempDir(), addr: testport.Take(t), log: log,
		args: []string{"--flush", flush, "--flush-every", "100ms"}}
	p.start()
	defer func() {
		p.kill()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("seed %d; the brokers' log:\n%s", seed, text)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(kills)*15*time.Second+5*time.Minute)
	defer cancel()
	l := newLoad(ctx, t, p)
	stop := l.begin()
	created := []string{}
	var slowest time.Duration
	for i := range kills {
		time.Sleep(time.Duration(50+rng.IntN(350)) * time.Millisecond)
		if i%10 == 0 {
			name := fmt.Sprintf("made-%d", i)
			if _, err := l.admin.CreateTopic(ctx, 2, 1, map[string]*string{"segment.bytes": kadm.StringPtr(strconv.Itoa(1<<20 + i))}, name); err != nil {
				t.Fatalf("create: %v", err)
			}
			created = append(created, name)
		}
		p.kill()
		slowest = max(slowest, p.start())
		l.fetchOffsets()
	}
	l.waitForAll(kills >= 5)
	stop()
	p.kill()
	p.start()
	l.readAll()
	h := l.rec.Snapshot()
	if found := history.Check(h); len(found) > 0 {
		t.Errorf("seed %d, flush policy %s:\n%s", seed, flush, history.Format(found))
	}
	l.checkTopics(created)
	t.Logf("%d kills, the slowest start %v; %s", kills, slowest.Round(time.Millisecond), l.count(h))
}
