package platform

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/deploy/roster"
)

func TestVariableAndFlagNames(t *testing.T) {
	if got := Part("search-sync").Variable() + " " + Part("search-sync").Flag(); got != "QUOKKA_SEARCH_SYNC_ADDR --search-sync-addr" {
		t.Errorf("got %s", got)
	}
}

func TestTakenPortNamesTheFlag(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	for _, part := range []Part{"order", Postgres, SMTP} {
		_, err := listen(t.Context(), Config{FreePorts: true, Addrs: map[Part]string{part: addr}})
		var wrong *AddressError
		if !errors.As(err, &wrong) || wrong.Part != part || !strings.Contains(err.Error(), addr+" is taken by another program") || !strings.Contains(err.Error(), part.Flag()+" or "+part.Variable()) {
			t.Errorf("%s: %v", part, err)
		}
	}
}

func TestOnlyLoopback(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "nonsense"} {
		_, err := listen(t.Context(), Config{FreePorts: true, Addrs: map[Part]string{Mail: addr}})
		if err == nil || !strings.Contains(err.Error(), "--mail-addr") {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestGivenServersAreNotStarted(t *testing.T) {
	l, err := listen(t.Context(), Config{
		FreePorts: true, Kafka: []string{"k:1"}, RegistryURL: "http://r", PostgresURL: "postgres://p", OTLP: "http://o",
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	for _, part := range []Part{Broker, Registry, Traces, Postgres} {
		if l.open[part] != nil {
			t.Errorf("%s listens although one was given", part)
		}
	}
	if want := len(roster.Services()) + 2; len(l.open) != want { // and the mail sink's two
		t.Errorf("%d parts listen, want %d", len(l.open), want)
	}
}

func TestOneProcessPerDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDir(dir); err == nil || !strings.Contains(err.Error(), "in use by process") || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("second: %v", err)
	}
	if free, err := lockIsFree(dir); err != nil || free {
		t.Errorf("free: %t, %v", free, err)
	}
	first.Close()
	again, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestRunningFile(t *testing.T) {
	dir := t.TempDir()
	var missing *NotRunningError
	if _, err := Load(dir); !errors.As(err, &missing) || !strings.Contains(err.Error(), "quokka up --data-dir "+dir) {
		t.Errorf("no file: %v", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := Running{DataDir: dir, PostgresURL: "postgres://u:secret@h", Kafka: []string{"a:1", "b:2"}}
	if err := r.save(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, RunningFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: %v, %v", info.Mode(), err)
	}
	got, err := Load(dir)
	if err != nil || got.PostgresURL != r.PostgresURL || got.KafkaText() != "a:1,b:2" {
		t.Errorf("got %+v, %v", got, err)
	}
	// A platform that was killed leaves its file.
	lock.Close()
	if _, err := Load(dir); !errors.As(err, &missing) {
		t.Errorf("after a kill: %v", err)
	}
}

func TestSupervisor(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := newSupervisor()
	var order []string
	var users atomic.Int32
	s.closer(files, "files", func() error { order = append(order, "files"); return nil })
	s.runContext(services, "service", func(ctx context.Context) error {
		users.Add(1)
		<-ctx.Done()
		order = append(order, "service")
		return ctx.Err()
	})
	stopped := make(chan struct{})
	s.run(kafka, "broker", func() error { <-stopped; return nil }, func() error { order = append(order, "broker"); close(stopped); return nil })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, " "); got != "service broker files" && users.Load() == 1 {
		t.Errorf("ended in the order %s", got)
	}
	if err := s.stop(); err != nil {
		t.Errorf("stopping again: %v", err)
	}
}

func TestFailedPartIsNamed(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := newSupervisor()
	boom := errors.New("boom")
	s.run(kafka, "broker", func() error { return boom }, func() error { return nil })
	if err := <-s.failed; !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "broker: ") {
		t.Errorf("got %v", err)
	}
	s.run(services, "order", func() error { return nil }, func() error { return nil })
	if err := <-s.failed; err.Error() != "order: ended by itself" {
		t.Errorf("got %v", err)
	}
	if err := s.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestTemporaryDirSweepsUp(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	left, err := TemporaryDir()
	if err != nil {
		t.Fatal(err)
	}
	used, err := TemporaryDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{left, used} {
		lock, err := lockDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if dir == left {
			lock.Close()
		} else {
			defer lock.Close()
		}
	}
	if _, err := TemporaryDir(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what a killed platform left is still there: %v", err)
	}
	if _, err := os.Stat(used); err != nil {
		t.Errorf("a running platform's directory is gone: %v", err)
	}
}
