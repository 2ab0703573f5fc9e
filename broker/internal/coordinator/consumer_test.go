package coordinator

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/broker/internal/consumergroup"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// consumer is a member of a consumer group, and what it was told last.
type consumer struct {
	id    string
	epoch int32
	owned consumergroup.Partitions
}

// beat sends a heartbeat and takes over what is answered.
func (c *consumer) beat(t *testing.T, n *node) int16 {
	t.Helper()
	hb := consumergroup.Heartbeat{
		Version: 1, MemberID: c.id, MemberEpoch: c.epoch, RebalanceTimeout: time.Hour, Topics: []string{"t"}, Owned: maps.Clone(c.owned),
		Visible: func(string) bool { return true },
	}
	if hb.Owned == nil {
		hb.Owned = consumergroup.Partitions{}
	}
	r := n.groups.ConsumerHeartbeat(t.Context(), "g", hb)
	if r.ErrorCode == 0 {
		c.epoch, c.owned = r.MemberEpoch, r.Assignment
	}
	return r.ErrorCode
}

// rested says whether the members have come to rest with all of 12 partitions.
func rested(t *testing.T, n *node, members []*consumer) bool {
	t.Helper()
	held := map[consumergroup.Partition]string{}
	for _, m := range members {
		if code := m.beat(t, n); code != 0 {
			t.Fatalf("heartbeat of %s of epoch %d: code %d", m.id, m.epoch, code)
		}
	}
	for _, m := range members {
		for p := range m.owned {
			if other, ok := held[p]; ok {
				t.Fatalf("%s and %s both own partition %d", other, m.id, p.Index)
			}
			held[p] = m.id
		}
	}
	d, _, code := n.groups.DescribeConsumer(t.Context(), "g")
	return code == 0 && d.State == "Stable" && len(held) == 12
}

// TestConsumerGroupPowerCuts: a consumer group after a power cut at any moment:
// every member goes on with the epoch that it was told and what it owns, as if
// nothing had happened, and nobody else owns any of it.
func TestConsumerGroupPowerCuts(t *testing.T) {
	rounds := uint64(40)
	if testing.Short() {
		rounds = 5
	}
	for seed := range rounds {
		rng := rand.New(rand.NewPCG(seed, 2))
		mem := fsys.NewMem()
		n := openNode(t, mem)
		n.create("t", 12)
		var members []*consumer
		for i := range 4 + rng.IntN(12) {
			if len(members) < 2 || rng.IntN(4) == 0 {
				members = append(members, &consumer{id: fmt.Sprint("m", i)})
			}
			m := members[rng.IntN(len(members))]
			if code := m.beat(t, n); code != 0 {
				t.Fatalf("heartbeat: code %d", code)
			}
		}
		after := mem.Crash(seed)
		n.abandon()
		again := openNode(t, after)
		for i := 0; !rested(t, again, members); i++ {
			if i == 20 {
				d, _, _ := again.groups.DescribeConsumer(t.Context(), "g")
				t.Fatalf("seed %d: the group does not come to rest: %+v", seed, d)
			}
		}
		again.close()
	}
}

// TestConsumerGroupReload: a heartbeat whose changes cannot be written has changed
// nothing.
func TestConsumerGroupReload(t *testing.T) {
	defer goleak.VerifyNone(t)
	var failing atomic.Bool
	fs := &fsys.Faulty{FS: fsys.NewMem(), Hook: func(c fsys.Call) error {
		if failing.Load() && c.Op == "write" && !strings.Contains(c.Name, "cluster") {
			return fsys.ErrNoSpace
		}
		return nil
	}}
	n := openNode(t, fs)
	defer n.abandon()
	n.create("t", 12)
	a, b := &consumer{id: "a"}, &consumer{id: "b"}
	if code := a.beat(t, n); code != 0 || len(a.owned) != 12 {
		t.Fatalf("the first member: code %d, %d partitions", code, len(a.owned))
	}
	failing.Store(true)
	if code := b.beat(t, n); code != 15 {
		t.Fatalf("a member that cannot be written down: code %d, want COORDINATOR_NOT_AVAILABLE", code)
	}
	failing.Store(false)
	deadline := time.Now().Add(2 * time.Minute)
	for a.beat(t, n) != 0 {
		if time.Now().After(deadline) {
			t.Fatal("the coordinator does not come back")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if a.epoch != 1 || len(a.owned) != 12 {
		t.Errorf("after the failure: epoch %d, %d partitions", a.epoch, len(a.owned))
	}
	for i := 0; !rested(t, n, []*consumer{a, b}); i++ {
		if i == 20 {
			t.Fatalf("the group does not come to rest: %+v, %+v", a, b)
		}
	}
}
