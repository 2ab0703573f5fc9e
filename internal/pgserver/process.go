package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a postmaster that this process started.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended; nobody closes it for a detached one
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// startSupervised starts the server so that it ends with this process, and
// watches over it.
func startSupervised(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.supervise(started)
	return p, <-started
}

// supervise starts the server and stays with it until it ends. It never leaves
// its thread: the server's end is tied to the thread that started it, not to the
// process.
func (p *process) supervise(started chan<- error) {
	runtime.LockOSThread() // and no unlock: the thread ends with this goroutine
	endWithParent(p.cmd)
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	_ = p.cmd.Wait() // that it ended is what matters; why is in its log
	close(p.done)
}

// startDetached starts the server without a goroutine beside it.
func startDetached(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd}
	return p, cmd.Start()
}

// ended tells whether the server has ended, without waiting.
func (p *process) ended() bool {
	if p.done == nil {
		pid, err := syscall.Wait4(p.pid(), nil, syscall.WNOHANG, nil)
		return pid == p.pid() || errors.Is(err, syscall.ECHILD)
	}
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// exitError: the server ended before it was ready. Log is what it printed.
type exitError struct{ Log string }

func (e *exitError) Error() string {
	return "the server ended while starting; it said:\n" + strings.TrimSpace(e.Log)
}

func (e *exitError) portTaken() bool { return strings.Contains(e.Log, "Address already in use") }

func (e *exitError) backendsRemain() bool {
	return strings.Contains(e.Log, "pre-existing shared memory block")
}

// awaitReady waits until the server accepts connections, which it writes to its
// postmaster.pid. log is its output, from our part on at offset from.
func (p *process) awaitReady(ctx context.Context, cluster, log string, from int64) error {
	for {
		if f, err := readPidFile(cluster); err == nil && f.pid == p.pid() && f.status == "ready" {
			return nil
		}
		if p.ended() {
			data, _ := os.ReadFile(log) // its absence is no news beside the exit
			return &exitError{Log: string(data[min(from, int64(len(data))):])}
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("PostgreSQL was not ready in time (its log: %s): %w", log, err)
		}
	}
}

// stop shuts down fast; a server that does not obey is made to.
func (p *process) stop() error {
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, 20 * time.Second}, {syscall.SIGQUIT, 5 * time.Second}, {syscall.SIGKILL, 5 * time.Second}} {
		if p.ended() {
			return nil
		}
		pid := p.pid()
		if step.signal == syscall.SIGKILL {
			pid = -pid // the whole group
		}
		_ = syscall.Kill(pid, step.signal) // it may have ended meanwhile
		if waitUntil(step.wait, p.ended) {
			return nil
		}
	}
	return fmt.Errorf("PostgreSQL (process %d) does not end", p.pid())
}

const pidFileName = "postmaster.pid"

// pidFile is what the server tells about itself in the file of that name.
type pidFile struct {
	pid     int
	cluster string
	status  string // "starting", "ready", "stopping"
}

func readPidFile(cluster string) (pidFile, error) {
	data, err := os.ReadFile(filepath.Join(cluster, pidFileName))
	if err != nil {
		return pidFile{}, err
	}
	lines := strings.Split(string(data), "\n")
	var f pidFile
	if f.pid, err = strconv.Atoi(strings.TrimSpace(lines[0])); err != nil {
		return f, err
	}
	if len(lines) > 1 {
		f.cluster = lines[1]
	}
	if len(lines) > 7 {
		f.status = strings.TrimSpace(lines[7])
	}
	return f, nil
}

// awaitPredecessor waits for a server that an earlier owner of the data directory
// left behind. We hold the directory's lock, so that owner is gone, and its server
// was told to stop or will be by us.
func awaitPredecessor(ctx context.Context, cluster string) error {
	f, err := readPidFile(cluster)
	if err != nil {
		return nil //nolint:nilerr // no file, no predecessor; the server judges a damaged one
	}
	gone := func() bool {
		now, err := readPidFile(cluster)
		return err != nil || now.pid != f.pid || !runs(f.pid, cluster)
	}
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, 20 * time.Second}, {syscall.SIGQUIT, 10 * time.Second}} {
		if gone() {
			return nil
		}
		_ = syscall.Kill(f.pid, step.signal) // it may have ended meanwhile
		if waitUntil(step.wait, func() bool { return gone() || ctx.Err() != nil }) {
			return ctx.Err()
		}
	}
	return fmt.Errorf("an earlier PostgreSQL (process %d) still runs on %s and does not stop: end it with kill -QUIT %d", f.pid, cluster, f.pid)
}

// runs tells whether process pid is a server on the cluster. Process numbers are
// reused, so one that is alive proves nothing.
func runs(pid int, cluster string) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		out, psErr := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output() //nolint:noctx // returns at once
		if psErr != nil {
			return false
		}
		command = out
	}
	return strings.Contains(string(command), cluster)
}

// waitUntil polls cond and tells whether it came true within d.
func waitUntil(d time.Duration, cond func() bool) bool {
	for deadline := time.Now().Add(d); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}
