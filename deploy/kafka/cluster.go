package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/deploy/javaserver"
)

// DefaultPort is the first node's port unless Config says otherwise; the other
// nodes' follow it, and the controllers' come ten later.
const DefaultPort = 29092

const controllerPorts = 10

// patience is how long the nodes may take to serve: three that were started beside
// twenty busy processes on two cores took just over two minutes.
const patience = 5 * time.Minute

// Config describes a cluster. Dir is required.
type Config struct {
	// Dir keeps everything, also between runs; it must not move.
	Dir string
	// Nodes is 1 (the default) or 3.
	Nodes int
	// Port is the first node's; default DefaultPort.
	Port int
	// JVM are options of the nodes' Java; default: 512 MB of heap for one node,
	// 320 MB each for three.
	JVM []string
	// Properties are further lines of server.properties; later ones win.
	Properties []string
}

// Cluster is a cluster on this machine, which may run or not.
type Cluster struct {
	cfg       Config
	javaPath  string
	classpath string
}

// Open finds Java and Kafka's jars. A *javaserver.NotRunError says what this machine lacks.
func Open(ctx context.Context, cfg Config) (*Cluster, error) {
	if cfg.Nodes == 0 {
		cfg.Nodes = 1
	}
	if cfg.Nodes != 1 && cfg.Nodes != 3 {
		return nil, fmt.Errorf("KAFKA_NODES is %d: want 1 or 3", cfg.Nodes)
	}
	if cfg.Port == 0 {
		cfg.Port = DefaultPort
	}
	if len(cfg.JVM) == 0 {
		heap := map[int]string{1: "512m", 3: "320m"}[cfg.Nodes]
		cfg.JVM = []string{"-Xms" + heap, "-Xmx" + heap, "-XX:+UseG1GC"}
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	c := &Cluster{cfg: cfg}
	if err := os.MkdirAll(c.dir(), 0o700); err != nil {
		return nil, err
	}
	if c.javaPath, err = javaserver.Java(ctx, "Kafka", javaserver.Versions{Oldest: 17}); err != nil {
		return nil, err
	}
	if c.classpath, err = javaserver.Resolve(ctx, "Kafka's jars", cfg.Dir, pom); err != nil {
		return nil, err
	}
	return c, os.WriteFile(c.log4j(), log4j, 0o600)
}

// Find describes a cluster that may be running, without what it takes to start
// one.
func Find(cfg Config) (*Cluster, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	for _, nodes := range []int{1, 3} {
		cfg.Nodes = nodes
		c := &Cluster{cfg: cfg}
		for _, n := range c.nodes() {
			if n.process().PID() == 0 {
				continue
			}
			if c.cfg.Port, err = c.savedPort(); err != nil {
				return nil, err
			}
			return c, nil
		}
	}
	return nil, ErrNotRunning
}

// ErrNotRunning says that no cluster runs.
var ErrNotRunning = errors.New("no Apache Kafka runs here: make kafka-up starts it")

// dir is the folder of a cluster of this size: data of one node and of three
// do not mix.
func (c *Cluster) dir() string   { return filepath.Join(c.cfg.Dir, strconv.Itoa(c.cfg.Nodes)) }
func (c *Cluster) log4j() string { return filepath.Join(c.cfg.Dir, "log4j2.properties") }

// id is the cluster's id: 16 bytes in base64.
func (c *Cluster) id() string {
	return map[int]string{1: "cXVva2thLWthZmthLTAwMQ", 3: "cXVva2thLWthZmthLTAwMw"}[c.cfg.Nodes]
}

func (c *Cluster) nodes() []node {
	out := make([]node, c.cfg.Nodes)
	for i := range out {
		out[i] = node{c, i + 1}
	}
	return out
}

func (c *Cluster) address(offset int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.cfg.Port+offset))
}

// Addrs are the bootstrap addresses.
func (c *Cluster) Addrs() []string {
	var out []string
	for _, n := range c.nodes() {
		out = append(out, n.addr())
	}
	return out
}

// java prepares a run of a class of Kafka's.
func (c *Cluster) java(ctx context.Context, class string, args ...string) *exec.Cmd {
	all := append([]string{}, c.cfg.JVM...)
	all = append(all, "-Djava.awt.headless=true", "-Dlog4j2.configurationFile="+c.log4j(), "-cp", c.classpath, class)
	return exec.CommandContext(ctx, c.javaPath, append(all, args...)...) //nolint:gosec // the user's own Java
}

// Tool prepares a run of one of Kafka's own commands, by its class; the jars are
// there, whether a cluster runs or not.
func (c *Cluster) Tool(ctx context.Context, class string, args ...string) *exec.Cmd {
	return c.java(ctx, class, args...)
}

// Up starts the nodes that do not run and returns when all of them serve. If they
// do not, those that it started are ended again.
func (c *Cluster) Up(ctx context.Context) (err error) {
	var started []node
	defer func() {
		if err != nil {
			for _, n := range started {
				_ = n.process().Kill(context.WithoutCancel(ctx)) // it may be what has ended
			}
		}
	}()
	other := &Cluster{cfg: c.cfg}
	other.cfg.Nodes = 4 - c.cfg.Nodes
	for _, n := range other.nodes() {
		if n.process().PID() != 0 {
			return fmt.Errorf("a cluster of %d runs here: end it first (make kafka-down)", other.cfg.Nodes)
		}
	}
	for _, n := range c.nodes() {
		if n.process().PID() != 0 {
			if port, err := c.savedPort(); err == nil && port != c.cfg.Port {
				return fmt.Errorf("the cluster runs on port %d: end it first (make kafka-down), or leave KAFKA_PORT out", port)
			}
			continue
		}
		if err := n.format(ctx); err != nil {
			return err
		}
		if err := n.start(); err != nil {
			return err
		}
		started = append(started, n)
	}
	if err := os.WriteFile(c.portFile(), []byte(strconv.Itoa(c.cfg.Port)), 0o600); err != nil {
		return err
	}
	return c.await(ctx)
}

func (c *Cluster) portFile() string { return filepath.Join(c.dir(), "port") }

func (c *Cluster) savedPort() (int, error) {
	text, err := os.ReadFile(c.portFile())
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// await waits until every node answers and knows all the others: a cluster
// takes seconds to notice that one of them has gone, so asking any node is not
// enough.
func (c *Cluster) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, n := range c.nodes() {
		for {
			about, err := metadata(ctx, n.addr())
			if err == nil && len(about.Brokers) == c.cfg.Nodes && about.Controller >= 0 {
				break
			}
			if n.process().PID() == 0 {
				return fmt.Errorf("node %d has ended: %s", n.id, n.process().Trouble())
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("node %d does not serve after %s: %w: %s", n.id, patience, errors.Join(ctx.Err(), err), n.process().Trouble())
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}

// metadata asks whoever answers at the addresses.
func metadata(ctx context.Context, addrs ...string) (kadm.Metadata, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.RetryTimeout(time.Second))
	if err != nil {
		return kadm.Metadata{}, err
	}
	defer client.Close()
	return kadm.NewClient(client).Metadata(ctx)
}

// Down ends the nodes, with their consent if they give it within 30 seconds.
func (c *Cluster) Down(ctx context.Context) error {
	var errs []error
	for _, n := range slices.Backward(c.nodes()) {
		errs = append(errs, n.process().Stop(ctx))
	}
	return errors.Join(errs...)
}

// Kill ends a node with SIGKILL.
func (c *Cluster) Kill(ctx context.Context, id int) error {
	n, err := c.node(id)
	if err != nil {
		return err
	}
	return n.process().Kill(ctx)
}

// Start starts a node that was killed and returns when the cluster has it back.
func (c *Cluster) Start(ctx context.Context, id int) error {
	n, err := c.node(id)
	if err != nil {
		return err
	}
	if n.process().PID() != 0 {
		return fmt.Errorf("node %d runs already", id)
	}
	if err := n.start(); err != nil {
		return err
	}
	return c.await(ctx)
}

func (c *Cluster) node(id int) (node, error) {
	if id < 1 || id > c.cfg.Nodes {
		return node{}, fmt.Errorf("there is no node %d: the nodes are 1 to %d", id, c.cfg.Nodes)
	}
	return node{c, id}, nil
}

// Config is the cluster's configuration.
func (c *Cluster) Config() Config { return c.cfg }
