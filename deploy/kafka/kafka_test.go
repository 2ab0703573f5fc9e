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

func TestJavaVersion(t *testing.T) {
	for text, want := range map[string]int{
		"openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime": 17,
		"java version \"1.8.0_452\"":                              8,
		"openjdk version \"25\" 2025-09-16":                       25,
		"command not found":                                       0,
	} {
		if got := javaVersion(text); got != want {
			t.Errorf("javaVersion(%q) = %d, want %d", text, got, want)
		}
	}
}

// TestNotRun: what is missing is said, with what to do about it.
func TestNotRun(t *testing.T) {
	const newJava, oldJava = "echo 'openjdk version \"21.0.1\"' >&2", "echo 'openjdk version \"11.0.2\"' >&2"
	tests := []struct {
		name     string
		programs map[string]string
		want     string
	}{
		{"no Java", nil, "no Java"},
		{"an old Java", map[string]string{"java": oldJava}, "is Java 11, Kafka wants 17"},
		{"no Maven", map[string]string{"java": newJava}, "no Maven"},
		{"no answer for Maven", map[string]string{"java": newJava, "mvn": "echo '[ERROR] unknown host'; exit 1"}, "could not fetch Kafka's jars: [ERROR] unknown host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bin := t.TempDir()
			for name, script := range tt.programs {
				if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", bin)
			t.Setenv("JAVA_HOME", "")
			_, err := Open(t.Context(), Config{Dir: t.TempDir()})
			if !IsNotRun(err) || !strings.Contains(err.Error(), "not run: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want not run: … %s", err, tt.want)
			}
		})
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

// TestPidIsItsOwn: a process id that another program has got since is not the
// node's.
func TestPidIsItsOwn(t *testing.T) {
	c := &Cluster{cfg: Config{Dir: t.TempDir(), Nodes: 1}}
	n := node{c, 1}
	if err := os.MkdirAll(n.dir(), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"1", "nonsense", ""} {
		if err := os.WriteFile(n.pidFile(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if pid := n.pid(); pid != 0 {
			t.Errorf("pid file %q: process %d is taken for the node", text, pid)
		}
	}
}

func TestVersion(t *testing.T) {
	if v := Version(); !strings.HasPrefix(v, "4.") {
		t.Errorf("version %q", v)
	}
}
