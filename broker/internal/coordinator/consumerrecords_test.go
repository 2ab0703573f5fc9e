package coordinator

import (
	"bytes"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/consumergroup"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/group"
)

// TestConsumerRecords: a group comes back from its records as it was; a record that
// was cut short anywhere is refused, not guessed at.
func TestConsumerRecords(t *testing.T) {
	n := openNode(t, fsys.NewMem())
	defer n.close()
	n.create("topic", 3)
	w := n.groups.world(time.UnixMilli(1000), "g")
	cfg := n.groups.cfg.Consumer
	cfg.MaxSessionTimeout, cfg.NewID = time.Hour, func() string { return "id" }
	g := consumergroup.New("g", &cfg)
	s := func(s string) *string { return &s }
	if r := g.Heartbeat(w, consumergroup.Heartbeat{
		Version: 1, MemberID: "static", InstanceID: s("instance"), RackID: s("rack"), RebalanceTimeout: time.Minute, Topics: []string{"topic", "other"}, Regex: s("top.*"),
		Assignor: s("uniform"), Owned: consumergroup.Partitions{}, ClientID: "client", ClientHost: "/host", Visible: func(string) bool { return true },
	}); r.ErrorCode != 0 {
		t.Fatalf("%+v", r)
	}
	meta := kmsg.ConsumerMemberMetadata{Version: 1, Topics: []string{"topic"}, Generation: -1}
	if r := g.Join(w, group.JoinRequest{MemberID: "old", ProtocolType: "consumer", SessionTimeout: time.Minute, RebalanceTimeout: time.Minute,
		Protocols: []group.Protocol{{Name: "range", Metadata: meta.AppendTo(nil)}, {Name: "sticky", Metadata: meta.AppendTo(nil)}}}); r.ErrorCode != 0 {
		t.Fatalf("%+v", r)
	}
	again := consumergroup.New("g", &cfg)
	everything := g.Everything()
	for _, change := range everything {
		e := consumerEntry(g, change)
		c, ok, err := parse(e)
		if err != nil || !ok || c.group != "g" || c.change != change || c.tombstone {
			t.Fatalf("kind %d: %+v, %v", change.Kind, c, err)
		}
		if err := c.restore(again); err != nil {
			t.Fatal(err)
		}
		for i := range e.value {
			if _, ok, err := parse(entry{e.key, e.value[:i]}); ok || err == nil {
				t.Errorf("kind %d: %d of %d bytes are taken for the record", change.Kind, i, len(e.value))
			}
		}
		for i := range e.key {
			_, _, _ = parse(entry{e.key[:i], e.value}) // refused, or the key of something else
		}
		gone := consumerTombstone("g", change)
		if c, ok, err := parse(gone); err != nil || !ok || !c.tombstone || c.change != change {
			t.Errorf("kind %d: the tombstone is read as %+v, %v", change.Kind, c, err)
		}
	}
	for _, change := range everything {
		if before, after := consumerEntry(g, change), consumerEntry(again, change); !bytes.Equal(before.value, after.value) {
			t.Errorf("kind %d: restored as %x from %x", change.Kind, after.value, before.value)
		}
	}
}
