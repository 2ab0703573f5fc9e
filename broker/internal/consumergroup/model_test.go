package consumergroup

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/group"
)

// The same sequences each time; -rapid.seed=0 takes others, -rapid.checks=N more.
func init() {
	if err := flag.Set("rapid.seed", "1"); err != nil {
		panic(err) // rapid has the flag
	}
}

// client is a consumer as it sees itself. Answers to it may be lost: it then asks
// again, in full.
type client struct {
	id       string
	instance *string
	classic  bool
	topics   []string
	regex    string
	epoch    int32
	owned    Partitions // what it consumes
	assigned Partitions // what it was told to consume, which may take it a while
	full     bool       // its next heartbeat has to say everything
	rejoin   bool       // classic: it has to join
	heard    time.Time  // classic: when it last had an answer
}

// model drives a group with clients, and checks it from both sides.
type model struct {
	t       *rapid.T
	cfg     *Config
	cluster *cluster
	now     time.Time
	g       *Group
	stored  *storage
	clients []*client
	ids     int
}

var topicNames = []string{"a", "b", "c", "ab"}

func (m *model) world() World {
	return World{Now: m.now, Topics: m.cluster, Version: m.cluster.version, SessionTimeout: 45 * time.Second}
}

func (m *model) step() {
	m.stored.save(m.g)
	check(m.t, m.g, m.stored, m.world())
	// Nobody consumes what another one of the group consumes.
	consumed := map[Partition]string{}
	for _, c := range m.clients {
		if m.g.Member(c.id) == nil {
			continue
		}
		for p := range c.owned {
			if other, ok := consumed[p]; ok {
				m.t.Fatalf("%s and %s both consume %s-%d\n%s", other, c.id, nameOf(p.Topic), p.Index, dump(m.g))
			}
			consumed[p] = c.id
		}
	}
}

// start makes a client; of a static one the instance is that of nobody else.
func (m *model) start() {
	m.ids++
	c := &client{id: fmt.Sprintf("m%02d", m.ids), classic: rapid.IntRange(0, 3).Draw(m.t, "protocol") == 0, rejoin: true}
	c.abandon()
	if i := rapid.SampledFrom([]string{"", "", "i", "j"}).Draw(m.t, "instance"); i != "" {
		c.instance = &i
		for _, o := range m.clients {
			if o.instance != nil && *o.instance == i {
				return
			}
		}
	}
	m.subscribe(c)
	m.clients = append(m.clients, c)
}

// abandon lets a client own nothing.
func (c *client) abandon() { c.owned, c.assigned = Partitions{}, Partitions{} }

func (m *model) subscribe(c *client) {
	c.topics, c.regex, c.full, c.rejoin = nil, "", true, true
	if !c.classic && rapid.IntRange(0, 4).Draw(m.t, "by regex") == 0 {
		c.regex = rapid.SampledFrom([]string{"a.*", "b|c"}).Draw(m.t, "regex")
		return
	}
	c.topics = rapid.SliceOfNDistinct(rapid.SampledFrom(topicNames), 1, 3, rapid.ID[string]).Draw(m.t, "topics")
}

// rough lets a client do what is next for it, when it may be slow to revoke what
// it was told to, and its answer may get lost.
func (m *model) rough(c *client) {
	if rapid.IntRange(0, 2).Draw(m.t, "slow") > 0 {
		c.owned = c.assigned
	}
	m.answer(c, rapid.IntRange(0, 7).Draw(m.t, "lost") == 0)
}

// beat lets a client do what is next for it.
func (m *model) beat(c *client) {
	c.owned = c.assigned
	m.answer(c, false)
}

func (m *model) answer(c *client, lost bool) {
	if c.classic {
		m.beatClassic(c, lost)
	} else {
		m.heartbeat(c, lost)
	}
	m.step()
}

func (m *model) heartbeat(c *client, lost bool) {
	r := Heartbeat{Version: 1, MemberID: c.id, MemberEpoch: c.epoch, InstanceID: c.instance, RebalanceTimeout: -1, ClientID: "c", Visible: func(string) bool { return true }}
	if c.full || c.epoch == 0 {
		r.Topics, r.Regex, r.RebalanceTimeout, r.Owned = append([]string{}, c.topics...), &c.regex, time.Minute, maps.Clone(c.owned)
	} else {
		r.Owned = maps.Clone(c.owned)
	}
	if out, ok := m.cfg.Check(r); !ok {
		m.t.Fatalf("refused: %+v", out)
	}
	out := m.g.Heartbeat(m.world(), r)
	if lost {
		c.full = true
		return
	}
	switch out.ErrorCode {
	case errcode.None:
		c.epoch, c.full = out.MemberEpoch, false
		if out.Assigned {
			c.assigned = maps.Clone(out.Assignment)
		}
	case errcode.UnknownMemberID, errcode.FencedMemberEpoch, errcode.FencedInstanceID:
		c.abandon()
		c.epoch = 0
	case errcode.UnreleasedInstanceID, errcode.GroupMaxSizeReached:
	default:
		m.t.Fatalf("heartbeat: %d %s", out.ErrorCode, out.Message)
	}
}

func (m *model) beatClassic(c *client, lost bool) {
	w := m.world()
	reset := func() {
		c.abandon()
		c.rejoin = true
	}
	if m.now.Sub(c.heard) >= 10*time.Second {
		reset() // its session has ended, as it knows itself
	}
	c.heard = m.now
	if !c.rejoin {
		switch code := m.g.ClassicHeartbeat(w, c.id, c.instance, c.epoch); code {
		case errcode.None:
		case errcode.RebalanceInProgress:
			c.rejoin = true
		default:
			reset()
		}
		return
	}
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version, meta.Topics = 1, c.topics
	for _, tp := range c.owned.ByTopic() {
		if t, ok := m.cluster.ByID(tp.Topic); ok {
			meta.OwnedPartitions = append(meta.OwnedPartitions, kmsg.ConsumerMemberMetadataOwnedPartition{Topic: t.Name, Partitions: tp.Partitions})
		} else {
			c.owned = maps.Clone(c.owned)
			maps.DeleteFunc(c.owned, func(p Partition, _ struct{}) bool { return p.Topic == tp.Topic })
		}
	}
	joined := m.g.Join(w, group.JoinRequest{
		Version: 9, MemberID: c.id, InstanceID: c.instance, ClientID: "c", ProtocolType: "consumer",
		SessionTimeout: 10 * time.Second, RebalanceTimeout: time.Minute, Protocols: []group.Protocol{{Name: "cooperative-sticky", Metadata: meta.AppendTo(nil)}},
	})
	m.step()
	switch {
	case joined.ErrorCode == errcode.UnknownMemberID && c.instance != nil:
		// An instance joins without an id first.
		joined = m.g.Join(w, group.JoinRequest{
			Version: 9, InstanceID: c.instance, ClientID: "c", ProtocolType: "consumer", SessionTimeout: 10 * time.Second, RebalanceTimeout: time.Minute,
			Protocols: []group.Protocol{{Name: "cooperative-sticky", Metadata: (&kmsg.ConsumerMemberMetadata{Version: 1, Topics: c.topics, Generation: -1}).AppendTo(nil)}},
		})
		if joined.ErrorCode == errcode.None {
			c.id = joined.MemberID
			c.abandon()
		}
	case joined.ErrorCode != errcode.None:
		reset()
	}
	if joined.ErrorCode != errcode.None || lost {
		return
	}
	c.epoch = joined.Generation
	synced := m.g.Sync(w, group.SyncRequest{MemberID: c.id, InstanceID: c.instance, Generation: c.epoch})
	if synced.ErrorCode != errcode.None {
		return
	}
	c.assigned = decodeAssignment(w, synced.Assignment)
	c.rejoin = !c.owned.within(c.assigned) // when it has revoked, it says so by joining again
}

func (m *model) advance(d time.Duration) {
	end := m.now.Add(d)
	for next := m.g.Next(); !next.IsZero() && !next.After(end); next = m.g.Next() {
		m.now = next
		m.g.Tick(m.world())
		m.step()
	}
	m.now = end
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, cluster: newCluster(), now: time.UnixMilli(0), stored: &storage{}}
		m.cfg = testConfig(&m.ids)
		m.g = New("g", m.cfg)
		pick := func() *client { return rapid.SampledFrom(m.clients).Draw(t, "client") }
		some := func(f func(*client)) func(*rapid.T) {
			return func(t *rapid.T) {
				if len(m.clients) == 0 {
					t.Skip("nobody is there")
				}
				f(pick())
				m.step()
			}
		}
		gone := func(c *client) { m.clients = slices.DeleteFunc(m.clients, func(o *client) bool { return o == c }) }
		beat := some(m.rough)
		t.Repeat(map[string]func(*rapid.T){
			"start": func(*rapid.T) { m.start() },
			"beat":  beat,
			"beat2": beat, // most of what happens
			"beat3": beat,
			"everyone": func(*rapid.T) {
				for _, c := range m.clients {
					m.beat(c)
				}
			},
			"crash": some(gone),
			"leave": some(func(c *client) {
				if c.classic {
					m.g.Leave(m.world(), c.id, c.instance)
				} else if c.epoch > 0 {
					m.g.Heartbeat(m.world(), Heartbeat{MemberID: c.id, MemberEpoch: -1, InstanceID: c.instance})
				}
				gone(c)
			}),
			"restart client": some(func(c *client) {
				if c.instance == nil || c.epoch <= 0 || c.classic {
					return
				}
				m.g.Heartbeat(m.world(), Heartbeat{MemberID: c.id, MemberEpoch: -2, InstanceID: c.instance})
				m.ids++
				c.id, c.epoch = fmt.Sprintf("m%02d", m.ids), 0
				c.abandon()
			}),
			"subscribe": some(m.subscribe),
			"topic": func(t *rapid.T) {
				m.grow(rapid.SampledFrom(topicNames).Draw(t, "topic"), rapid.Int32Range(1, 3).Draw(t, "more"))
			},
			"delete topic":   func(t *rapid.T) { m.cluster.drop(rapid.SampledFrom(topicNames).Draw(t, "topic")) },
			"time passes":    func(t *rapid.T) { m.advance(time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second) },
			"restart broker": func(*rapid.T) { m.g = m.stored.load(m.cfg, m.world()) },
			"":               func(*rapid.T) {},
		})
		m.calm()
	})
}

func (m *model) grow(name string, more int32) {
	t, _ := m.cluster.ByName(name)
	m.cluster.set(name, t.Partitions+more)
}

// calm lets everybody beat in peace until those who are gone were missed, and
// checks that the group has come to its target.
func (m *model) calm() {
	for range 40 {
		for _, c := range m.clients {
			m.beat(c)
		}
		m.advance(5 * time.Second)
	}
	for range 4 {
		for _, c := range m.clients {
			m.beat(c)
		}
	}
	if len(m.clients) == 0 {
		if m.g.State() != Empty {
			m.t.Fatalf("nobody is left, but the group is %s:\n%s", m.g.State(), dump(m.g))
		}
		return
	}
	if m.g.State() != Stable || m.g.Len() != len(m.clients) {
		m.t.Fatalf("%d clients are at rest, but the group is %s:\n%s", len(m.clients), m.g.State(), dump(m.g))
	}
	given := Partitions{}
	for _, c := range m.clients {
		member := m.g.Member(c.id)
		if !maps.Equal(member.Assigned, c.owned) || !maps.Equal(member.Target, c.owned) {
			m.t.Fatalf("%s consumes %s, of a target of %s", c.id, show(c.owned), show(member.Target))
		}
		maps.Copy(given, c.owned)
	}
	for _, topic := range m.cluster.topics {
		for i := range topic.Partitions {
			if m.g.Subscribed(topic.Name) != given.Has(Partition{topic.ID, i}) {
				m.t.Fatalf("%s-%d: subscribed %v, consumed %v", topic.Name, i, m.g.Subscribed(topic.Name), given.Has(Partition{topic.ID, i}))
			}
		}
	}
}

// TestAssignors: every partition goes to exactly one subscriber; uniform is
// balanced and does not move more than it must.
func TestAssignors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := map[TopicID]int32{}
		for i := range rapid.IntRange(1, 5).Draw(t, "topics") {
			sizes[TopicID{byte(i + 1)}] = rapid.Int32Range(0, 9).Draw(t, "partitions")
		}
		members := make([]AssignorMember, rapid.IntRange(1, 6).Draw(t, "members"))
		alike := rapid.Bool().Draw(t, "alike")
		for i := range members {
			members[i] = AssignorMember{ID: fmt.Sprint(i), Topics: map[TopicID]int32{}}
			for id, n := range sizes {
				if alike || rapid.Bool().Draw(t, "subscribes") {
					members[i].Topics[id] = n
				}
			}
		}
		for _, a := range Assignors {
			got := a.Assign(members)
			checkComplete(t, members, got)
			if a.Name != "uniform" {
				continue
			}
			checkBalanced(t, members, got)
			for i := range members {
				members[i].Target = got[i]
			}
			if again := a.Assign(members); !slices.EqualFunc(again, got, maps.Equal) {
				t.Fatalf("it moves partitions that lie well: %v, then %v", got, again)
			}
			// Another one comes: what moves, moves to it, when all are alike.
			joined := append(slices.Clone(members), AssignorMember{ID: "z", Topics: sizes})
			more := a.Assign(joined)
			checkComplete(t, joined, more)
			checkBalanced(t, joined, more)
			for i := range members {
				if alike && !more[i].within(got[i]) {
					t.Fatalf("%d gets %s after %s because somebody joins", i, show(more[i]), show(got[i]))
				}
			}
		}
	})
}

func checkComplete(t *rapid.T, members []AssignorMember, got []Partitions) {
	holder := map[Partition]int{}
	for i, set := range got {
		for p := range set {
			if _, ok := members[i].Topics[p.Topic]; !ok {
				t.Fatalf("%d gets a topic that it does not subscribe to", i)
			}
			if other, ok := holder[p]; ok {
				t.Fatalf("%v goes to %d and %d", p, other, i)
			}
			holder[p] = i
		}
	}
	_, sizes := allTopics(members)
	n := 0
	for _, size := range sizes {
		n += int(size)
	}
	if len(holder) != n {
		t.Fatalf("%d of %d partitions are given", len(holder), n)
	}
}

func checkBalanced(t *rapid.T, members []AssignorMember, got []Partitions) {
	for i, set := range got {
		for p := range set {
			for j := range members {
				if _, ok := members[j].Topics[p.Topic]; ok && len(set) > len(got[j])+1 {
					t.Fatalf("%d has %d partitions, %d only %d, and could take over %v", i, len(set), j, len(got[j]), p)
				}
			}
		}
	}
}
