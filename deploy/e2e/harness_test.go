// Package e2e runs the quokka command as a user does: demo, up, verify, killed
// processes, wrong flags. QUOKKA_E2E_BINARY names the binary; else it is built.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/deploy/platform"
)

// binary is the command under test, with a reason where there is none.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("QUOKKA_E2E_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	dir, err := os.MkdirTemp("", "quokka-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "quokka")
	out, err := exec.CommandContext(context.Background(), "go", "build", "-o", path, "github.com/quokka-stream/quokka/deploy/quokka").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv("QUOKKA_E2E_BINARY") == "" {
		if path, err := binary(); err == nil {
			os.RemoveAll(filepath.Dir(path))
		}
	}
	os.Exit(code)
}

// patience is how long anything may take to happen, on a slow machine that does
// other things too.
const patience = 5 * time.Minute

// process is a quokka command at work.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	output *transcript
	ended  chan struct{}
	err    error
}

// transcript is what a process has printed so far.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start runs quokka in an environment without the user's settings. What is
// still running at the end of the test is killed.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.CommandContext(t.Context(), path, args...), output: &transcript{}, ended: make(chan struct{})}
	for _, line := range os.Environ() {
		if !strings.HasPrefix(line, "QUOKKA_") && !strings.HasPrefix(line, "OTEL_") || strings.HasPrefix(line, "QUOKKA_POSTGRES_BIN=") {
			p.cmd.Env = append(p.cmd.Env, line)
		}
	}
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.WaitDelay = patience
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.ended
	})
	return p
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// wait returns the exit code; a process that takes too long fails the test.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.signal(syscall.SIGQUIT) // prints what its goroutines wait for
		<-p.ended
		p.t.Fatalf("quokka %s did not end within %s:\n%s", strings.Join(p.cmd.Args[1:], " "), patience, p.output)
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		p.t.Fatal(p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// quokka runs a command to its end and returns what it printed; another exit
// code than wanted fails the test.
func quokka(t *testing.T, want int, args ...string) string {
	t.Helper()
	p := start(t, nil, args...)
	if code := p.wait(); code != want {
		t.Fatalf("quokka %s: exit code %d, want %d:\n%s", strings.Join(args, " "), code, want, p.output)
	}
	return p.output.String()
}

// eventually polls until done.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// dataDir is a place for data that PostgreSQL's account can reach, so that all
// processes name it in their command lines.
func dataDir(t *testing.T) string {
	t.Helper()
	return filepath.Join(reachable(t), "data")
}

// reachable is a temporary directory that every account may pass through.
func reachable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for up := dir; up != filepath.Clean(os.TempDir()) && up != "/"; up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// up starts a platform on free ports and returns once it is up.
func up(t *testing.T, dir string, args ...string) (*process, platform.Running) {
	t.Helper()
	p := start(t, nil, append([]string{"up", "--free-ports", "--data-dir", dir}, args...)...)
	var at platform.Running
	eventually(t, "quokka up", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("quokka up ended:\n%s", p.output)
		default:
		}
		var err error
		at, err = platform.Load(dir)
		return err == nil && at.PID == p.cmd.Process.Pid
	})
	return p, at
}

// stop asks a platform to end and checks that it took everything with it.
func stop(t *testing.T, p *process, dir string) {
	t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code %d after SIGTERM:\n%s", code, p.output)
	}
	nobodyLeft(t, dir)
}

// nobodyLeft checks that no process runs in a data directory any more.
func nobodyLeft(t *testing.T, dir string) {
	t.Helper()
	eventually(t, "all processes of "+dir+" end", func() bool { return len(processesOf(t, dir)) == 0 })
}

// processesOf lists the processes that name dir in their command line.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-eo", "pid=,args=").Output()
	if err != nil {
		t.Skipf("cannot list processes: %v", err)
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, dir) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}
