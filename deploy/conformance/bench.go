package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/quokka-stream/quokka/internal/freeport"
)

// suite is somebody else's test suite, or client.
type suite struct {
	name, version string
	run           func(context.Context, *bench, *result) error
}

// result is what came of a suite.
type result struct {
	suite    suite
	passed   int
	failures []string
	skipped  int      // by the suite itself
	leftOut  []string // lines of leftout.txt, with their reasons
	notRun   string   // why nothing of it was run
	took     time.Duration
}

// notRun says what this machine lacks for a suite.
type notRun string

func (n notRun) Error() string { return "not run: " + string(n) }

// bench is where suites run.
type bench struct {
	cache   string // what is built, kept between runs
	broker  string // the broker's program
	records int
}

func (b *bench) run(ctx context.Context, s suite) result {
	r := result{suite: s}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	var lacks notRun
	switch err := s.run(ctx, b, &r); {
	case errors.As(err, &lacks):
		r.notRun = string(lacks)
	case err != nil:
		r.failures = append(r.failures, err.Error())
	}
	return r
}

// start runs a broker with a new data directory on addr, which may have port 0,
// until stop.
func (b *bench) start(ctx context.Context, addr string, flags ...string) (at, data string, stop func(), err error) {
	dir, err := os.MkdirTemp(b.cache, "data-")
	if err != nil {
		return "", "", nil, err
	}
	if host, ok := strings.CutSuffix(addr, ":0"); ok {
		port, err := freeport.Find()
		if err != nil {
			return "", "", nil, err
		}
		addr = net.JoinHostPort(host, strconv.Itoa(port))
	}
	args := append([]string{"--data-dir", dir, "--listen", addr, "--group-initial-rebalance-delay", "-1s"}, flags...)
	cmd := exec.CommandContext(ctx, b.broker, args...) //nolint:gosec // built a moment ago
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()                          // how it ends is not the question here
		_ = os.RemoveAll(dir)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		stop()
		return "", "", nil, fmt.Errorf("the broker did not start (%s): %s", line, log.String())
	}
	go io.Copy(io.Discard, stdout) //nolint:errcheck // until the broker ends
	return addr, dir, stop, nil
}

// lines runs a program of clients/ and counts the lines it prints.
func (r *result) lines(cmd *exec.Cmd) error {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		switch word, rest, _ := strings.Cut(line, " "); word {
		case "ok":
			r.passed++
		case "failed":
			r.failures = append(r.failures, rest)
		case "version":
			r.suite.version += " with " + rest
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, lastLine(stderr.String()))
	}
	return nil
}

func lastLine(text string) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return all[len(all)-1]
}

// find returns a program's path, or that it is not here.
func find(program, install string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", notRun("no " + program + " on this machine (" + install + ")")
	}
	return path, nil
}
