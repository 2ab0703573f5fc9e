package kafka

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

// node is one server of a cluster.
type node struct {
	cluster *Cluster
	id      int // from 1
}

func (n node) dir() string    { return filepath.Join(n.cluster.dir(), fmt.Sprintf("node-%d", n.id)) }
func (n node) log() string    { return filepath.Join(n.dir(), "server.log") }
func (n node) config() string { return filepath.Join(n.dir(), "server.properties") }
func (n node) addr() string   { return n.cluster.address(n.id - 1) }

// controller is the address for the other nodes' controllers.
func (n node) controller() string { return n.cluster.address(controllerPorts + n.id - 1) }

// properties is the node's configuration: the defaults of Apache Kafka, but for
// where it listens, how often it keeps things, and that an empty group does not
// wait for more members.
func (n node) properties() string {
	var voters []string
	for _, peer := range n.cluster.nodes() {
		voters = append(voters, fmt.Sprintf("%d@%s", peer.id, peer.controller()))
	}
	copies, inSync := 1, 1
	if n.cluster.cfg.Nodes == 3 {
		copies, inSync = 3, 2
	}
	lines := []string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", n.id),
		"controller.quorum.voters=" + strings.Join(voters, ","),
		"controller.listener.names=CONTROLLER",
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://%s", n.addr(), n.controller()),
		"log.dirs=" + filepath.Join(n.dir(), "data"),
		fmt.Sprintf("default.replication.factor=%d", copies),
		fmt.Sprintf("min.insync.replicas=%d", inSync),
		fmt.Sprintf("offsets.topic.replication.factor=%d", copies),
		fmt.Sprintf("transaction.state.log.replication.factor=%d", copies),
		fmt.Sprintf("transaction.state.log.min.isr=%d", inSync),
		fmt.Sprintf("share.coordinator.state.topic.replication.factor=%d", copies),
		fmt.Sprintf("share.coordinator.state.topic.min.isr=%d", inSync),
		"group.initial.rebalance.delay.ms=0",
	}
	// Many small tests: fewer partitions of internal topics to open.
	lines = append(lines, "offsets.topic.num.partitions=8", "transaction.state.log.num.partitions=8", "share.coordinator.state.topic.num.partitions=8")
	lines = append(lines, n.cluster.cfg.Properties...)
	return strings.Join(lines, "\n") + "\n"
}

// format prepares the node's data directory, once.
func (n node) format(ctx context.Context) error {
	if err := os.MkdirAll(n.dir(), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(n.config(), []byte(n.properties()), 0o600); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(n.dir(), "data", "meta.properties")); err == nil {
		return nil
	}
	cmd := n.cluster.java(ctx, "kafka.tools.StorageTool", "format", "--cluster-id", n.cluster.id(), "--config", n.config())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("format %s: %w: %s", n.dir(), err, lastLines(string(out), 3))
	}
	return nil
}

// start starts the server as a process that outlives this one.
func (n node) start() error {
	for _, addr := range []string{n.addr(), n.controller()} {
		l, err := net.Listen("tcp", addr) //nolint:noctx // answers at once
		if err != nil {
			return fmt.Errorf("%s is taken by another program: stop it, or choose another port with KAFKA_PORT: %w", addr, err)
		}
		l.Close()
	}
	out, err := os.OpenFile(n.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := n.cluster.java(context.Background(), "kafka.Kafka", n.config())
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // not ended by this terminal's Ctrl-C
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	go cmd.Wait() //nolint:errcheck // it may outlive us; a dead child shows in alive
	return os.WriteFile(n.pidFile(), []byte(strconv.Itoa(pid)), 0o600)
}

func (n node) pidFile() string { return filepath.Join(n.dir(), "pid") }

// pid is the process of the node, 0 if it does not run. Process ids are used
// again: it counts only if its command line names the node's own file.
func (n node) pid() int {
	text, err := os.ReadFile(n.pidFile())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	args, err := exec.Command("ps", "-o", "args=", "-p", strconv.Itoa(pid)).Output() //nolint:gosec,noctx // a number; answers at once
	if err != nil || !strings.Contains(string(args), n.config()) {
		return 0
	}
	return pid
}

// signal sends a signal and waits until the process has ended.
func (n node) signal(ctx context.Context, s syscall.Signal) error {
	pid := n.pid()
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("node %d: %w", n.id, err)
	}
	for n.pid() != 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("node %d (process %d) has not ended: %w", n.id, pid, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return os.Remove(n.pidFile())
}

// trouble is the end of the node's log, for an error.
func (n node) trouble() string {
	text, err := os.ReadFile(n.log())
	if err != nil {
		return err.Error()
	}
	return lastLines(string(text), 5) + "\n(the log is in " + n.log() + ")"
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(len(lines)-n, 0):], "\n")
}
