// Package apachekafka runs the demo on Apache Kafka, and takes nodes away from
// it meanwhile. It runs where QUOKKA_APACHE_KAFKA is set and Java and Maven are
// there: make kafka-test.
package apachekafka

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/deploy/kafka"
	"github.com/quokka-stream/quokka/schemas"
)

// start starts a cluster for this test.
func start(t *testing.T, nodes int) *kafka.Cluster {
	t.Helper()
	if os.Getenv("QUOKKA_APACHE_KAFKA") == "" {
		t.Skip("QUOKKA_APACHE_KAFKA is not set (make kafka-test)")
	}
	port, err := kafka.FreePort(nodes)
	if err != nil {
		t.Fatal(err)
	}
	c, err := kafka.Open(t.Context(), kafka.Config{Dir: t.TempDir(), Nodes: nodes, Port: port})
	if kafka.IsNotRun(err) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Down(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { kill(t, c, nodes) }) // nobody waits for a clean end here
	if err := c.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func kill(t *testing.T, c *kafka.Cluster, nodes int) {
	for id := 1; id <= nodes; id++ {
		_ = c.Kill(t.Context(), id)
	}
}

// demo runs quokka demo against a cluster; the report is read when it ended.
type demo struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	report string
	ended  chan error
}

func startDemo(t *testing.T, c *kafka.Cluster, orders string) *demo {
	t.Helper()
	binary := os.Getenv("QUOKKA_E2E_BINARY")
	if binary == "" {
		binary = filepath.Join(t.TempDir(), "quokka")
		out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/quokka-stream/quokka/deploy/quokka").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	} else if abs, err := filepath.Abs(binary); err == nil {
		binary = abs
	}
	d := &demo{report: filepath.Join(t.TempDir(), "report.json"), ended: make(chan error, 1)}
	d.cmd = exec.CommandContext(t.Context(), binary, "demo", "--orders", orders, "--report", d.report, "--kafka", strings.Join(c.Addrs(), ","))
	d.cmd.Stdout, d.cmd.Stderr = &d.output, &d.output
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { d.ended <- d.cmd.Wait() }()
	return d
}

// verdict waits for the end and checks that every promise was kept.
func (d *demo) verdict(t *testing.T, orders int) {
	t.Helper()
	if err := <-d.ended; err != nil {
		t.Fatalf("demo: %v\n%s", err, &d.output)
	}
	t.Logf("%s", &d.output)
	text, err := os.ReadFile(d.report)
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Placed     int  `json:"orders_placed"`
		Lost       int  `json:"lost_orders"`
		Duplicates int  `json:"duplicate_effects"`
		Inversions int  `json:"order_inversions"`
		Conserved  bool `json:"stock_conserved"`
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if r.Placed != orders || r.Lost != 0 || r.Duplicates != 0 || r.Inversions != 0 || !r.Conserved {
		t.Errorf("%+v", r)
	}
}

// TestDemo: the demo runs on Apache Kafka as it does on the embedded broker.
func TestDemo(t *testing.T) {
	startDemo(t, start(t, 1), "100").verdict(t, 100)
}

// TestNodeKilled: of three nodes one is killed in the middle of the demo and
// comes back; nothing is lost, and at the end every partition has all its
// copies again.
func TestNodeKilled(t *testing.T) {
	c := start(t, 3)
	d := startDemo(t, c, "400")
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)

	eventually(t, "a quarter of the orders", func() bool { return events(t, admin) >= 100 })
	victim := leader(t, admin)
	if err := c.Kill(t.Context(), victim); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	eventually(t, "another leader", func() bool {
		now := leader(t, admin)
		return now > 0 && now != victim
	})
	t.Logf("node %d was killed; its partitions were led by others after %.1f s", victim, time.Since(begin).Seconds())
	eventually(t, "fewer copies in sync", func() bool { return inSync(t, admin) == 2 })
	if err := c.Start(t.Context(), victim); err != nil {
		t.Fatal(err)
	}
	d.verdict(t, 400)
	eventually(t, "every copy in sync", func() bool { return inSync(t, admin) == 3 })
}

// events counts the records of orders.v1.
func events(t *testing.T, admin *kadm.Client) (n int64) {
	ends, err := admin.ListEndOffsets(t.Context(), schemas.TopicOrders)
	if err != nil {
		return 0
	}
	ends.Each(func(o kadm.ListedOffset) { n += max(o.Offset, 0) })
	return n
}

// leader is the node that leads partition 0 of orders.v1, 0 if none does.
func leader(t *testing.T, admin *kadm.Client) int {
	about, err := admin.Metadata(t.Context(), schemas.TopicOrders)
	if err != nil {
		return 0
	}
	return max(int(about.Topics[schemas.TopicOrders].Partitions[0].Leader), 0)
}

// inSync is the least number of copies in sync of orders.v1's partitions.
func inSync(t *testing.T, admin *kadm.Client) int {
	about, err := admin.Metadata(t.Context(), schemas.TopicOrders)
	if err != nil {
		return 0
	}
	least := 3
	for _, p := range about.Topics[schemas.TopicOrders].Partitions {
		least = min(least, len(p.ISR))
	}
	return least
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	const patience = 5 * time.Minute
	for deadline := time.Now().Add(patience); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}
