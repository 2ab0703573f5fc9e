package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestTakenPort: the error names the part, the address, the flag and the variable.
func TestTakenPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, part := range []string{"order", "broker", "postgres", "smtp"} {
		dir := dataDir(t)
		out := quokka(t, 1, "up", "--free-ports", "--data-dir", dir, "--"+part+"-addr", taken.Addr().String())
		for _, want := range []string{taken.Addr().String() + " is taken", part + " wants it", "--" + part + "-addr", "QUOKKA_" + strings.ToUpper(part) + "_ADDR"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is not in: %s", want, out)
			}
		}
		nobodyLeft(t, dir)
	}
}

// TestDirectoryInUse: two platforms do not share a data directory.
func TestDirectoryInUse(t *testing.T) {
	dir := dataDir(t)
	p, _ := up(t, dir)
	out := quokka(t, 1, "up", "--free-ports", "--data-dir", dir)
	if !strings.Contains(out, "is in use by process") || !strings.Contains(out, "--data-dir") {
		t.Errorf("got: %s", out)
	}
	stop(t, p, dir)
	if out := quokka(t, 1, "verify", "--data-dir", dir); !strings.Contains(out, "no platform runs in "+dir) || !strings.Contains(out, "quokka up --data-dir") {
		t.Errorf("verify without a platform: %s", out)
	}
}

// TestDirectoryOfAnotherKafka: databases are not started against a Kafka that
// is not theirs. The message names both and the way out, which works.
func TestDirectoryOfAnotherKafka(t *testing.T) {
	dir, other := dataDir(t), dataDir(t)
	demo(t, dir, "--orders", "5")

	broker := start(t, nil, "broker", "--listen", "127.0.0.1:0", "--data-dir", other)
	kafka := printed(t, broker, "broker listening on ", ",")
	registry := start(t, nil, "registry", "--listen", "127.0.0.1:0", "--kafka", kafka)
	theirs := []string{"--kafka", kafka, "--registry", printed(t, registry, "schema registry on ", ",")}

	out := quokka(t, 1, append([]string{"up", "--free-ports", "--data-dir", dir}, theirs...)...)
	for _, want := range []string{"do not belong together", "PostgreSQL at 127.0.0.1:", "belongs to installation", "Kafka at " + kafka + " is cluster", "--data-dir", "--reset"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in: %s", want, out)
		}
	}
	if strings.Contains(out, "postgres://") {
		t.Errorf("the message shows a login: %s", out)
	}
	nobodyLeft(t, dir)
	// What was refused was not touched.
	if again, _ := demo(t, dir, "--orders", "5"); again.OrdersPlaced != 5 || again.LostOrders != 0 {
		t.Errorf("the directory with its own Kafka: %+v", again)
	}
	// The platform runs on a broker and a registry of others, started over.
	if reset, _ := demo(t, dir, append(theirs, "--orders", "5", "--reset")...); reset.OrdersPlaced != 5 || reset.LostOrders != 0 {
		t.Errorf("the directory with the other Kafka, started over: %+v", reset)
	}
	for _, p := range []*process{registry, broker} {
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != 0 {
			t.Errorf("exit code %d after SIGTERM:\n%s", code, p.output)
		}
	}
}

// printed waits until a process has printed a line that begins so, and returns
// what follows up to the end mark.
func printed(t *testing.T, p *process, begin, end string) string {
	t.Helper()
	var found string
	eventually(t, begin, func() bool {
		select {
		case <-p.ended:
			t.Fatalf("the process ended:\n%s", p.output)
		default:
		}
		_, rest, ok := strings.Cut(p.output.String(), begin)
		if ok {
			found, _, ok = strings.Cut(rest, end)
		}
		return ok
	})
	return found
}

// TestReset: --reset starts over in the same directory.
func TestReset(t *testing.T) {
	dir := dataDir(t)
	demo(t, dir, "--orders", "20")
	r, out := demo(t, dir, "--orders", "10", "--reset")
	if r.OrdersPlaced != 10 || r.LostOrders != 0 || !strings.Contains(out, " 10 orders · ") {
		t.Errorf("after a reset: %+v\n%s", r, out)
	}
}

// TestNoPostgres: a machine without a server is told how to get one.
func TestNoPostgres(t *testing.T) {
	p := start(t, []string{"QUOKKA_POSTGRES_BIN=/nowhere"}, "demo", "--orders", "1")
	if code := p.wait(); code != 1 || !strings.Contains(p.output.String(), "QUOKKA_POSTGRES_BIN=/nowhere holds no usable PostgreSQL server") {
		t.Errorf("exit code %d: %s", code, p.output)
	}

	// Where this process may, hide the installed ones from the command.
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	script := `for d in /usr/lib/postgresql /usr/pgsql-* /usr/libexec/postgresql* /usr/local/pgsql; do [ -d "$d" ] && { mount -t tmpfs none "$d" || exit 99; }; done; exec "$0" demo --orders 1`
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", script, path)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + os.Getenv("HOME"), "TMPDIR=" + filepath.Clean(os.TempDir())}
	out, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code == 99 || cmd.ProcessState == nil || strings.Contains(string(out), "unshare:") {
		t.Skipf("cannot hide the installed servers: %v: %s", err, out)
	}
	if err == nil {
		t.Skipf("a server was found all the same")
	}
	for _, want := range []string{"no PostgreSQL server of version 15 or later found", "Any one of these helps", "QUOKKA_POSTGRES_BIN=", "QUOKKA_POSTGRES_URL="} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in: %s", want, out)
		}
	}
}
