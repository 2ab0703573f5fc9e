package pgserver

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/quokka-stream/quokka/internal/freeport"
)

func TestStartStopStart(t *testing.T) {
	dir := filepath.Join(reachable(t), "data")
	port, err := freeport.Find() // one that is still free after the server has stopped
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, Config{DataDir: dir, Port: port})
	for setting, want := range map[string]string{
		"wal_level": "logical", "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "on", "TimeZone": "UTC",
	} {
		if got := run(t, s.URL(), "SHOW "+setting); got != want {
			t.Errorf("%s is %q, want %q", setting, got, want)
		}
	}
	run(t, s.URL(), "CREATE TABLE kept AS SELECT 'yes' AS v")
	st, err := os.Stat(filepath.Join(dir, passwordName))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("password file: %v, %v", st.Mode(), err)
	}
	wrong := strings.Replace(s.URL(), s.password, "guess", 1)
	if _, err := os.Stat(filepath.Join(s.place.home, "password")); err == nil {
		t.Error("initdb's copy of the password is still there")
	}
	if err := connect(t, wrong); err == nil {
		t.Error("connected with a wrong password")
	}

	if _, err := Start(t.Context(), Config{DataDir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second server on the same data directory: %v", err)
	}

	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	default:
		t.Error("Done is open after Stop")
	}
	again := start(t, Config{DataDir: dir, Port: port})
	if got := run(t, again.URL(), "SELECT v FROM kept"); got != "yes" {
		t.Errorf("read %q after the restart", got)
	}
	if again.URL() != s.URL() {
		t.Errorf("the URL changed from %s to %s", s.URL(), again.URL())
	}

	// The postmaster killed, its backends left behind: the next start gets past them.
	pid := again.proc.pid()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-again.Done()
	if err := again.Stop(); err != nil {
		t.Fatal(err)
	}
	third := start(t, Config{DataDir: dir})
	if got := run(t, third.URL(), "SELECT v FROM kept"); got != "yes" {
		t.Errorf("read %q after the crash", got)
	}
}

// TestKilledParent: the server ends with the process that started it, and that
// process's successor gets the data at once.
func TestKilledParent(t *testing.T) {
	dir := filepath.Join(reachable(t), "data")
	h := startHelper(t, nil, "PGSERVER_HELPER_DIR="+dir)
	run(t, h.url, "CREATE TABLE rounds AS SELECT 'yes' AS v")
	h.kill(t)
	s := start(t, Config{DataDir: dir})
	if got := run(t, s.URL(), "SELECT v FROM rounds"); got != "yes" {
		t.Errorf("read %q", got)
	}
	if runs(h.server, s.place.cluster()) {
		t.Error("two servers on one data directory")
	}
}

func TestKilledParentTemporary(t *testing.T) {
	dir := filepath.Join(reachable(t), "data")
	h := startHelper(t, nil, "PGSERVER_HELPER_DIR="+dir, "PGSERVER_HELPER_TEMPORARY=1")
	h.kill(t)
	eventually(t, "the cluster is removed", func() bool {
		_, err := os.Stat(filepath.Join(dir, homeName))
		return errors.Is(err, os.ErrNotExist)
	})
}

// TestThreadEnds: the parent-death signal is sent when the starting thread ends,
// so the caller's thread must not be the one.
func TestThreadEnds(t *testing.T) {
	started := make(chan *Server)
	go func() {
		runtime.LockOSThread() // without an unlock the thread ends with the goroutine
		s, err := Start(context.WithoutCancel(t.Context()), Config{})
		if err != nil {
			t.Error(err)
		}
		started <- s
	}()
	s := <-started
	if s == nil {
		t.FailNow()
	}
	if got := run(t, s.URL(), "SELECT pg_sleep(0.3)::text || 'up'"); got != "up" {
		t.Errorf("read %q", got)
	}
	files, temp := s.Files(), s.tempDir
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{files, temp} {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", dir, err)
		}
	}
}

func TestPortTaken(t *testing.T) {
	t.Setenv("TMPDIR", reachable(t))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = Start(t.Context(), Config{Port: port})
	var taken *PortError
	if !errors.As(err, &taken) || taken.Port != port {
		t.Fatalf("got %v, want a *PortError for %d", err, port)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) > 0 {
		t.Errorf("a failed start left %v", left)
	}
}

func TestBadSetting(t *testing.T) {
	_, err := Start(t.Context(), Config{Settings: map[string]string{"no_such_setting": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("got %v, want what the server said", err)
	}
}

// TestInterruptedInit: what an initdb that was killed left behind is not a cluster.
func TestInterruptedInit(t *testing.T) {
	dir := filepath.Join(reachable(t), "data")
	half := filepath.Join(dir, homeName, clusterName+".new")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, Config{DataDir: dir, Temporary: true})
	if _, err := os.Stat(half); err == nil {
		t.Error("the half-made cluster is still there")
	}
	if err := connect(t, s.URL()); err != nil {
		t.Error(err)
	}
}
