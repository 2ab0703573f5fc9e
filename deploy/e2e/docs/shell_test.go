package docs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell runs a page's blocks, one after the other.
type shell struct {
	dir    string // of scripts, outputs and exit codes
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	ended  chan struct{}
	blocks int
}

// newShell starts bash in a folder. Its process group, with what blocks leave
// running, ends with it.
func newShell(t *testing.T, dir string, env []string) *shell {
	t.Helper()
	s := &shell{dir: t.TempDir(), ended: make(chan struct{})}
	s.cmd = exec.CommandContext(context.Background(), "bash", "--noprofile", "--norc")
	s.cmd.Dir, s.cmd.Env = dir, env
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		_ = s.cmd.Wait()
	}()
	return s
}

// run runs a block and returns what it printed and its exit code. A block that
// fails unasked ends the shell.
func (s *shell) run(b block, script string, patience time.Duration) (output string, code int, err error) {
	s.blocks++
	file := filepath.Join(s.dir, strconv.Itoa(s.blocks))
	out, status := file+".out", file+".status"
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return "", 0, err
	}
	switch {
	case b.has("exit"):
		fmt.Fprintf(s.stdin, "(set -e; . %s) </dev/null >%s 2>&1; echo $? >%s\n", file, out, status)
	case b.has("until"):
		fmt.Fprintf(s.stdin, "(. %s; echo $? >%s) </dev/null >%s 2>&1 &\n", file, status, out)
	default:
		fmt.Fprintf(s.stdin, "trap 'echo $? >%s' EXIT; set -e; . %s </dev/null >%s 2>&1; set +e; trap - EXIT; echo 0 >%s\n", status, file, out, status)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		ended := false
		select {
		case <-s.ended:
			ended = true
		default:
		}
		text, _ := os.ReadFile(status)
		printed, _ := os.ReadFile(out)
		line, whole := strings.CutSuffix(string(text), "\n")
		switch {
		case b.has("until") && strings.Contains(string(printed), b.attrs["until"]):
			return string(printed), 0, nil
		case b.has("until") && whole:
			return string(printed), 0, fmt.Errorf("it ended with %s and did not print %q", line, b.attrs["until"])
		case whole:
			code, err = strconv.Atoi(line)
			return string(printed), code, err
		case ended:
			return string(printed), 0, errors.New("the shell has ended")
		case time.Now().After(deadline):
			s.signal(syscall.SIGKILL)
			return string(printed), 0, fmt.Errorf("it is not done after %s", patience)
		}
	}
}

func (s *shell) signal(sig syscall.Signal) { _ = syscall.Kill(-s.cmd.Process.Pid, sig) }

// endPatience is how long what a page leaves running may take to end after a SIGTERM: a
// platform's orderly end.
const endPatience = 3 * time.Minute

// close ends the shell and what it left running. What does not end by itself fails the
// test.
func (s *shell) close(t *testing.T) {
	t.Helper()
	s.stdin.Close()
	s.signal(syscall.SIGTERM)
	<-s.ended
	// Whoever runs on would write into folders that are about to be removed.
	killed := false
	for deadline := time.Now().Add(endPatience); s.somebodyRuns(); time.Sleep(200 * time.Millisecond) {
		if !killed && time.Now().After(deadline) {
			t.Errorf("what the blocks left running has not ended %s after a SIGTERM", endPatience)
			s.signal(syscall.SIGKILL)
			killed = true
		}
	}
}

// somebodyRuns reports whether a process of the group has not ended. One that has may
// be there still, where nobody collects orphans.
func (s *shell) somebodyRuns() bool {
	group := s.cmd.Process.Pid
	if errors.Is(syscall.Kill(-group, 0), syscall.ESRCH) {
		return false
	}
	out, err := exec.CommandContext(context.Background(), "ps", "-eo", "pgid=,stat=").Output()
	if err != nil {
		return false // ps is not here: the rest is left to itself
	}
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == strconv.Itoa(group) && !strings.HasPrefix(f[1], "Z") {
			return true
		}
	}
	return false
}

// TestShell: a block's variables and jobs are there for the next; what fails is
// told; nothing is left over.
func TestShell(t *testing.T) {
	s := newShell(t, t.TempDir(), os.Environ())
	defer s.close(t)
	plain := block{}
	for _, tc := range []struct {
		b      block
		script string
		output string
		code   int
		fails  bool
	}{
		{plain, "A=1\necho one; echo two >&2", "one\ntwo\n", 0, false},
		{plain, "sleep 600 & JOB=$!\necho $A", "1\n", 0, false},
		{block{attrs: map[string]string{"exit": "3"}}, "echo no; exit 3; echo never", "no\n", 3, false},
		{block{attrs: map[string]string{"exit": "1"}}, "false; echo never", "", 1, false},
		{block{attrs: map[string]string{"until": "ready"}}, "echo ready; sleep 600", "ready\n", 0, false},
		{block{attrs: map[string]string{"until": "ready"}}, "echo not", "", 0, true},
		{plain, "kill $JOB; cat; yes | head -1", "y\n", 0, false},
		{plain, "echo before; false; echo after", "before\n", 1, false},
		{plain, "echo dead", "", 0, true},
	} {
		output, code, err := s.run(tc.b, tc.script, patience)
		if code != tc.code || (err != nil) != tc.fails || !tc.fails && output != tc.output {
			t.Errorf("%q: %q, code %d, %v", tc.script, output, code, err)
		}
	}
}
