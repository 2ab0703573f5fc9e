package docs

import (
	"bufio"
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
	dir    string // of scripts and outputs
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	status chan string // a line for each block
	blocks int
}

// newShell starts bash in a folder. Its process group, with what blocks leave
// running, ends with it.
func newShell(t *testing.T, dir string, env []string) *shell {
	t.Helper()
	statusReader, statusWriter, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &shell{dir: t.TempDir(), status: make(chan string)}
	s.cmd = exec.CommandContext(context.Background(), "bash", "--noprofile", "--norc")
	s.cmd.Dir, s.cmd.Env = dir, env
	s.cmd.ExtraFiles = []*os.File{statusWriter} // 3
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	statusWriter.Close()
	go func() {
		defer close(s.status)
		for scan := bufio.NewScanner(statusReader); scan.Scan(); {
			s.status <- scan.Text()
		}
	}()
	fmt.Fprintln(s.stdin, "trap 'echo $? >&3' EXIT")
	return s
}

// run runs a block and returns what it printed and its exit code. A block that
// fails unasked ends the shell.
func (s *shell) run(b block, script string, patience time.Duration) (output string, code int, err error) {
	s.blocks++
	file := filepath.Join(s.dir, strconv.Itoa(s.blocks))
	out := file + ".out"
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return "", 0, err
	}
	read := func() string {
		text, _ := os.ReadFile(out)
		return string(text)
	}
	switch {
	case b.has("exit"):
		fmt.Fprintf(s.stdin, "(trap - EXIT; set -eo pipefail; . %s) </dev/null >%s 2>&1 3>&-; echo $? >&3\n", file, out)
	case b.has("until"):
		fmt.Fprintf(s.stdin, "(trap - EXIT; . %s; echo \"(ended with $?)\") </dev/null >%s 2>&1 3>&- &\n", file, out)
		for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			text := read()
			if strings.Contains(text, b.attrs["until"]) {
				return text, 0, nil
			}
			if time.Now().After(deadline) || strings.Contains(text, "(ended with") {
				return text, 0, fmt.Errorf("it did not print %q", b.attrs["until"])
			}
		}
	default:
		// Background jobs of the block would keep the status pipe open.
		fmt.Fprintf(s.stdin, "exec 4>&3 3>&-; set -eo pipefail; trap 'echo $? >&4' EXIT; . %s </dev/null >%s 2>&1 4>&-; set +eo pipefail; exec 3>&4 4>&-; echo 0 >&3\n", file, out)
	}
	select {
	case line, ok := <-s.status:
		if !ok {
			return read(), 0, errors.New("the shell has ended")
		}
		code, err = strconv.Atoi(line)
		return read(), code, err
	case <-time.After(patience):
		s.signal(syscall.SIGKILL)
		return read(), 0, fmt.Errorf("it did not end within %s", patience)
	}
}

func (s *shell) signal(sig syscall.Signal) { _ = syscall.Kill(-s.cmd.Process.Pid, sig) }

// close ends the shell and what it left running.
func (s *shell) close() {
	s.stdin.Close()
	s.signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.cmd.Wait()
		for range s.status { // to its end
		}
		// The group is empty when nobody can be signalled any more.
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if errors.Is(syscall.Kill(-s.cmd.Process.Pid, 0), syscall.ESRCH) {
				return
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
	}
	s.signal(syscall.SIGKILL)
}

// TestShell: a block's variables and jobs are there for the next; what fails is
// told; nothing is left over.
func TestShell(t *testing.T) {
	s := newShell(t, t.TempDir(), os.Environ())
	defer s.close()
	plain := block{}
	for _, tc := range []struct {
		b      block
		script string
		output string
		code   int
		fails  bool
	}{
		{plain, "A=1\necho one; echo two >&2", "one\ntwo\n", 0, false},
		{plain, "sleep 60 & JOB=$!\necho $A", "1\n", 0, false},
		{block{attrs: map[string]string{"exit": "3"}}, "echo no; exit 3; echo never", "no\n", 3, false},
		{block{attrs: map[string]string{"exit": "1"}}, "false; echo never", "", 1, false},
		{block{attrs: map[string]string{"until": "ready"}}, "echo ready; sleep 60", "ready\n", 0, false},
		{block{attrs: map[string]string{"until": "ready"}}, "echo not", "", 0, true},
		{plain, "kill $JOB; cat", "", 0, false},
		{plain, "echo before; false; echo after", "before\n", 1, false},
		{plain, "echo dead", "", 0, true},
	} {
		output, code, err := s.run(tc.b, tc.script, 10*time.Second)
		if code != tc.code || (err != nil) != tc.fails || !tc.fails && output != tc.output {
			t.Errorf("%q: %q, code %d, %v", tc.script, output, code, err)
		}
	}
}
