package kafka

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProperties(t *testing.T) {
	tests := []struct {
		nodes, node int
		want        []string
	}{
		{1, 1, []string{
			"node.id=1", "listeners=PLAINTEXT://127.0.0.1:29092,CONTROLLER://127.0.0.1:29102",
			"controller.quorum.voters=1@127.0.0.1:29102", "default.replication.factor=1", "min.insync.replicas=1",
			"transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1", "log.dirs=/q/1/node-1/data",
		}},
		{3, 2, []string{
			"node.id=2", "listeners=PLAINTEXT://127.0.0.1:29093,CONTROLLER://127.0.0.1:29103",
			"controller.quorum.voters=1@127.0.0.1:29102,2@127.0.0.1:29103,3@127.0.0.1:29104",
			"default.replication.factor=3", "min.insync.replicas=2", "offsets.topic.replication.factor=3",
			"transaction.state.log.replication.factor=3", "transaction.state.log.min.isr=2", "log.dirs=/q/3/node-2/data",
			"controller.quorum.fetch.timeout.ms=10000",
		}},
	}
	for _, tt := range tests {
		c := &Cluster{cfg: Config{Dir: "/q", Nodes: tt.nodes, Port: DefaultPort, Properties: []string{"log.retention.ms=-1"}}}
		got := "\n" + node{c, tt.node}.properties()
		for _, line := range append(tt.want, "log.retention.ms=-1", "process.roles=broker,controller", "group.initial.rebalance.delay.ms=0") {
			if !strings.Contains(got, "\n"+line+"\n") {
				t.Errorf("node %d of %d lacks %q:%s", tt.node, tt.nodes, line, got)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	if _, err := Open(t.Context(), Config{Dir: t.TempDir(), Nodes: 2}); err == nil || IsNotRun(err) {
		t.Errorf("two nodes: %v", err)
	}
	if _, err := Find(Config{Dir: t.TempDir()}); err != ErrNotRunning { //nolint:errorlint // it is returned as it is
		t.Errorf("nothing runs: %v", err)
	}
	c := &Cluster{cfg: Config{Dir: t.TempDir(), Nodes: 3, Port: DefaultPort}}
	for _, id := range []int{0, 4} {
		if err := c.Kill(t.Context(), id); err == nil || !strings.Contains(err.Error(), "the nodes are 1 to 3") {
			t.Errorf("node %d: %v", id, err)
		}
	}
}

// TestUpFailed: of a cluster that does not come up nothing is left running. Java
// is a script; it starts the first node and cannot format the second.
func TestUpFailed(t *testing.T) {
	dir := t.TempDir()
	java := filepath.Join(dir, "java")
	script := "#!/bin/sh\ncase \"$*\" in\n*StorageTool*node-2*) exit 1 ;;\n*StorageTool*) exit 0 ;;\nesac\nwhile :; do sleep 0.05; done\n"
	if err := os.WriteFile(java, []byte(script), 0o700); err != nil { //nolint:gosec // it is executed
		t.Fatal(err)
	}
	port, err := FreePort(3)
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{cfg: Config{Dir: dir, Nodes: 3, Port: port}, javaPath: java}
	if err := c.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "format ") {
		t.Errorf("up: %v", err)
	}
	for _, n := range c.nodes() {
		if n.process().PID() != 0 {
			t.Errorf("node %d is left running", n.id)
			_ = n.process().Kill(t.Context())
		}
	}
}

func TestVersion(t *testing.T) {
	if v := Version(); !strings.HasPrefix(v, "4.") {
		t.Errorf("version %q", v)
	}
}
