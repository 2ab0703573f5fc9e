package kafka

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/quokka-stream/quokka/deploy/javaserver"
)

// node is one server of a cluster.
type node struct {
	cluster *Cluster
	id      int // from 1
}

func (n node) dir() string    { return filepath.Join(n.cluster.dir(), fmt.Sprintf("node-%d", n.id)) }
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
	// Kafka 4.3 assigns once a second at most; small groups need not wait for it.
	lines = append(lines, "group.consumer.assignment.interval.ms=0", "group.consumer.assignor.offload.enable=false")
	if n.cluster.cfg.Nodes == 3 {
		// Kafka's times are for nodes with cores of their own. Three on one busy machine
		// often miss them: controllers are voted out before they have led, and a node
		// that hears of none for a minute gives up.
		lines = append(lines, "controller.quorum.fetch.timeout.ms=10000", "controller.quorum.request.timeout.ms=10000",
			"controller.quorum.election.timeout.ms=3000", fmt.Sprintf("initial.broker.registration.timeout.ms=%d", patience.Milliseconds()))
	}
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
		return fmt.Errorf("format %s: %w: %s", n.dir(), err, javaserver.LastLines(string(out), 3))
	}
	return nil
}

// process is the node's process.
func (n node) process() javaserver.Process {
	return javaserver.Process{Name: fmt.Sprintf("node %d", n.id), Dir: n.dir(), Mark: n.config()}
}

// start starts the server as a process that outlives this one.
func (n node) start() error {
	for _, addr := range []string{n.addr(), n.controller()} {
		if err := javaserver.Free(addr, "KAFKA_PORT"); err != nil {
			return err
		}
	}
	return n.process().Start(n.cluster.java(context.Background(), "kafka.Kafka", n.config()))
}
