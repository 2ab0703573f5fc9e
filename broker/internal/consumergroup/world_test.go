package consumergroup

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// cluster is the topics of a test. A topic's id begins with its name.
type cluster struct {
	topics  map[string]Topic
	version int64
	made    byte
}

func newCluster() *cluster { return &cluster{topics: map[string]Topic{}} }

func (c *cluster) set(name string, partitions int32) {
	t, ok := c.topics[name]
	if !ok {
		c.made++
		t.Name = name
		copy(t.ID[:15], name)
		t.ID[15] = c.made // made again, it is another topic
	}
	t.Partitions = partitions
	c.topics[name] = t
	c.version++
}

func (c *cluster) drop(name string) {
	delete(c.topics, name)
	c.version++
}

func (c *cluster) ByName(name string) (Topic, bool) {
	t, ok := c.topics[name]
	return t, ok
}

func (c *cluster) ByID(id TopicID) (Topic, bool) {
	for _, t := range c.topics {
		if t.ID == id {
			return t, true
		}
	}
	return Topic{}, false
}

func (c *cluster) All() iter.Seq[Topic] { return maps.Values(c.topics) }

func nameOf(id TopicID) string {
	return string(slices.DeleteFunc(slices.Clone(id[:15]), func(b byte) bool { return b == 0 }))
}

func show(s Partitions) string {
	var out []string
	for _, tp := range s.ByTopic() {
		var parts []string
		for _, p := range tp.Partitions {
			parts = append(parts, fmt.Sprint(p))
		}
		out = append(out, nameOf(tp.Topic)+":"+strings.Join(parts, ","))
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, ";")
}

// dump shows all of a group that has to survive a restart.
func dump(g *Group) string {
	var out strings.Builder
	fmt.Fprintf(&out, "epoch=%d assignment=%d hash=%x\n", g.epoch, g.assignmentEpoch, g.topicsHash)
	for _, m := range g.Members() {
		instance := ""
		if m.InstanceID != nil {
			instance = *m.InstanceID
		}
		fmt.Fprintf(&out, "%s %q %s %q %q %s %d/%d %s|%s|%s|%s since=%v classic=%v\n", m.ID, instance, m.RebalanceTimeout, m.Topics, m.Regex, m.Assignor,
			m.Epoch, m.PreviousEpoch, stateName[m.State], show(m.Assigned), show(m.Revoking), show(m.Target), slices.Sorted(maps.Values(m.Since)), m.Classic != nil)
	}
	for _, expr := range slices.Sorted(maps.Keys(g.regexes)) {
		fmt.Fprintf(&out, "%s %q\n", expr, g.regexes[expr].Topics)
	}
	return out.String()
}

var stateName = map[MemberState]string{MemberStable: "stable", UnrevokedPartitions: "unrevoked", UnreleasedPartitions: "unreleased"}

// storage is the log that keeps a group.
type storage struct{ log []logged }

// logged is a record: what it does to a group being restored.
type logged struct {
	Change
	restore func(*Group)
}

// save takes over what a step has changed.
func (s *storage) save(g *Group) (written []string) {
	g.TakeChanges(func(c Change, gone bool) {
		mark, restore := "", func(g *Group) { g.Forget(c) }
		if gone {
			mark = "-"
		} else {
			restore = record(g, c)
		}
		s.log = append(s.log, logged{c, restore})
		written = append(written, strings.TrimSuffix(fmt.Sprintf("%s%d %s", mark, c.Kind, c.Name), " "))
	})
	return written
}

// compact keeps the last record of each key, as compaction does.
func (s *storage) compact() *storage {
	last := map[Change]int{}
	for i, r := range s.log {
		last[r.Change] = i
	}
	out := &storage{}
	for i, r := range s.log {
		if last[r.Change] == i {
			out.log = append(out.log, r)
		}
	}
	return out
}

// record is the record of a change, independent of the group from now on.
func record(g *Group, c Change) func(*Group) {
	switch c.Kind {
	case GroupEpoch:
		epoch, hash := g.Epoch(), g.TopicsHash()
		return func(g *Group) { g.RestoreEpoch(epoch, hash) }
	case TargetEpoch:
		epoch := g.AssignmentEpoch()
		return func(g *Group) { g.RestoreTargetEpoch(epoch) }
	case MemberMetadata:
		m := *g.Member(c.Name)
		return func(g *Group) { g.RestoreMember(m) }
	case TargetAssignment:
		target := maps.Clone(g.Member(c.Name).Target)
		return func(g *Group) { g.RestoreTarget(c.Name, target) }
	case CurrentAssignment:
		m := *g.Member(c.Name)
		m.Assigned, m.Revoking, m.Since = maps.Clone(m.Assigned), maps.Clone(m.Revoking), maps.Clone(m.Since)
		return func(g *Group) {
			g.RestoreCurrent(m.ID, m.Epoch, m.PreviousEpoch, m.State, maps.Clone(m.Assigned), maps.Clone(m.Revoking), maps.Clone(m.Since))
		}
	default:
		topics, version, at := g.Regex(c.Name)
		return func(g *Group) { _ = g.RestoreRegex(c.Name, topics, version, at) }
	}
}

func (s *storage) load(cfg *Config, w World) *Group {
	g := New("g", cfg)
	for _, r := range s.log {
		r.restore(g)
	}
	g.Restored(w)
	return g
}

type fataler interface {
	Fatalf(format string, args ...any)
}

// check holds the invariants of the package comment, and that a restart would
// bring the group back as it is.
func check(t fataler, g *Group, s *storage, w World) {
	holders := map[Partition]string{}
	for _, m := range g.Members() {
		for _, set := range []Partitions{m.Assigned, m.Revoking} {
			for p := range set {
				if other, held := holders[p]; held {
					t.Fatalf("%s-%d is held by %s and %s", nameOf(p.Topic), p.Index, other, m.ID)
				}
				holders[p] = m.ID
			}
		}
		if len(m.Since) != len(m.Assigned)+len(m.Revoking) {
			t.Fatalf("%s holds %s and %s since %v", m.ID, show(m.Assigned), show(m.Revoking), m.Since)
		}
		if m.Epoch > g.assignmentEpoch || g.assignmentEpoch > g.epoch {
			t.Fatalf("epochs: member %d, assignment %d, group %d", m.Epoch, g.assignmentEpoch, g.epoch)
		}
		if (m.State == UnrevokedPartitions) != (len(m.Revoking) > 0) && m.Epoch != epochLeaveStatic {
			t.Fatalf("%s is %s and has to revoke %s", m.ID, stateName[m.State], show(m.Revoking))
		}
	}
	if !maps.Equal(holders, g.owners) {
		t.Fatalf("owners are %v, members hold %v", g.owners, holders)
	}
	for _, s := range []*storage{s, s.compact()} {
		again := s.load(g.cfg, w)
		if dump(again) != dump(g) || !maps.Equal(again.owners, g.owners) {
			t.Fatalf("a restart would make of\n%sthis:\n%s", dump(g), dump(again))
		}
	}
}

func testConfig(ids *int) *Config {
	return &Config{
		MaxSize: 10, ClassicMaxSize: 10, Assignors: Assignors, Upgrade: true, Downgrade: true,
		MinSessionTimeout: time.Second, MaxSessionTimeout: 5 * time.Minute,
		NewID: func() string { *ids++; return fmt.Sprint("id", *ids) },
	}
}

func mustAtoi(t testing.TB, s string) int32 {
	var n int32
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return n
}
