package javaserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a server's process, which may run or not.
type Process struct {
	// Name is what errors call it.
	Name string
	// Dir is its directory.
	Dir string
	// Mark is something that only its own command line has, such as the path of
	// its configuration.
	Mark string
}

// Log is the file with what it prints.
func (p Process) Log() string { return filepath.Join(p.Dir, "server.log") }

func (p Process) pidFile() string { return filepath.Join(p.Dir, "pid") }

// Start starts the server as a process that outlives this one.
func (p Process) Start(cmd *exec.Cmd) error {
	out, err := os.OpenFile(p.Log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = false
	cmd.SysProcAttr.Setsid = true // not ended by this terminal's Ctrl-C
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	go cmd.Wait() //nolint:errcheck // it may outlive us; a dead child shows in PID
	return os.WriteFile(p.pidFile(), []byte(strconv.Itoa(pid)), 0o600)
}

// PID is the process, 0 if it does not run. Process ids are used again: it
// counts only if its command line has the mark.
func (p Process) PID() int {
	text, err := os.ReadFile(p.pidFile())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	args, err := exec.Command("ps", "-ww", "-o", "args=", "-p", strconv.Itoa(pid)).Output() //nolint:gosec,noctx // a number; answers at once
	if err != nil || !strings.Contains(string(args), p.Mark) {
		return 0
	}
	return pid
}

// Signal sends a signal and waits until the process has ended.
func (p Process) Signal(ctx context.Context, s syscall.Signal) error {
	pid := p.PID()
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	for !gone(pid) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s (process %d) has not ended: %w", p.Name, pid, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return os.Remove(p.pidFile())
}

// gone reports whether a process has ended.
func gone(pid int) bool {
	state, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output() //nolint:gosec,noctx // a number; answers at once
	return err != nil || ended(strings.TrimSpace(string(state)))
}

// ended reports whether a process in this state, as ps(1) writes it, holds
// nothing any more. One whose command line has gone may still hold its ports: the
// system frees memory first. So may a zombie that has threads left (l): its files
// are closed with the last of them.
func ended(state string) bool {
	return strings.HasPrefix(state, "Z") && !strings.Contains(state, "l")
}

// Stop ends the process, with its consent if it gives it within 30 seconds.
func (p Process) Stop(ctx context.Context) error {
	asked, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if p.Signal(asked, syscall.SIGTERM) == nil {
		return nil
	}
	return p.Signal(ctx, syscall.SIGKILL)
}

// Kill ends the process at once.
func (p Process) Kill(ctx context.Context) error {
	if p.PID() == 0 {
		return fmt.Errorf("%s does not run", p.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return p.Signal(ctx, syscall.SIGKILL)
}

// Trouble is the end of the log, for an error.
func (p Process) Trouble() string {
	text, err := os.ReadFile(p.Log())
	if err != nil {
		return err.Error()
	}
	return LastLines(string(text), 5) + "\n(the log is in " + p.Log() + ")"
}

// LastLines are the last n lines of a text.
func LastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(len(lines)-n, 0):], "\n")
}

// Free checks that nobody listens on an address; variable names what chooses
// another port.
func Free(addr, variable string) error {
	l, err := net.Listen("tcp", addr) //nolint:noctx // answers at once
	if err != nil {
		return fmt.Errorf("%s is taken by another program: stop it, or choose another port with %s: %w", addr, variable, err)
	}
	return l.Close()
}
