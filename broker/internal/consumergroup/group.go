package consumergroup

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"time"
)

// Topic is what a group has to know of a topic.
type Topic struct {
	ID         TopicID
	Name       string
	Partitions int32
}

// Topics are the topics of the cluster at one moment.
type Topics interface {
	ByName(name string) (Topic, bool)
	ByID(id TopicID) (Topic, bool)
	All() iter.Seq[Topic]
}

// World is what a group sees of its surroundings as it takes a step.
type World struct {
	Now time.Time
	// Topics, and a number that is another one whenever they have changed.
	Topics  Topics
	Version int64
	// SessionTimeout is after how long without a heartbeat a member of the consumer
	// protocol is removed. Classic members bring their own.
	SessionTimeout time.Duration
}

// Config is what the broker's settings say about groups.
type Config struct {
	// MaxSize bounds the members of a group.
	MaxSize int
	// Assignors are those members may choose from; the first one is the default.
	Assignors []Assignor
	// Upgrade and Downgrade say whether a classic group may become a consumer group
	// while it has members, and the reverse.
	Upgrade, Downgrade bool
	// ClassicMaxSize bounds the members of a group that turns back to a classic one.
	ClassicMaxSize int
	// MinSessionTimeout and MaxSessionTimeout bound what classic members ask for.
	MinSessionTimeout, MaxSessionTimeout time.Duration
	// NewID returns an id for a member that brought none.
	NewID func() string
}

// State is the state of a group.
type State uint8

// The states of a group.
const (
	Empty       State = iota // no members
	Assigning                // the next heartbeat computes a new target
	Reconciling              // some member is not at its target yet
	Stable
)

func (s State) String() string {
	return [...]string{"Empty", "Assigning", "Reconciling", "Stable"}[s]
}

// MemberState says where on its way to the target a member is, with the numbers
// that Kafka's records use.
type MemberState int8

// The states of a member; see the package comment.
const (
	MemberStable         MemberState = 1
	UnrevokedPartitions  MemberState = 2
	UnreleasedPartitions MemberState = 3
)

// Epochs with a meaning in a heartbeat.
const (
	epochJoin        int32 = 0
	epochLeave       int32 = -1
	epochLeaveStatic int32 = -2 // a static member that will be back
)

// Member is a member of a group.
type Member struct {
	ID               string
	InstanceID       *string
	RackID           *string
	ClientID         string
	ClientHost       string
	RebalanceTimeout time.Duration
	Topics           []string // subscribed by name, sorted
	Regex            string   // subscribed by expression; empty: none
	Assignor         string   // the one it prefers; empty: none
	Classic          *Classic // nil: it speaks the consumer protocol

	Epoch         int32
	PreviousEpoch int32
	State         MemberState
	Assigned      Partitions // it may consume these
	Revoking      Partitions // it must give up these
	Target        Partitions // what it is to get
	// Since has the epoch in which each partition that it holds was assigned to it.
	Since map[Partition]int32

	session   time.Time // when it is removed unless it is heard of
	rebalance time.Time // when it must have revoked; zero: nothing to revoke
	join      time.Time // classic: when it must have joined again; zero: need not
	sync      time.Time // classic: when it must have fetched its assignment; zero: has
}

// reconciled says whether the member has all that it is to get.
func (m *Member) reconciled(assignmentEpoch int32) bool {
	return m.State == MemberStable && m.Epoch == assignmentEpoch
}

func (m *Member) clone() *Member {
	c := *m
	return &c
}

// Group is one consumer group.
type Group struct {
	ID string

	cfg             *Config
	epoch           int32
	assignmentEpoch int32
	topicsHash      int64 // of the subscribed topics when the epoch last rose for them
	members         map[string]*Member
	regexes         map[string]*resolved
	owners          map[Partition]string // who holds a partition: its member's id
	seen            int64                // the World.Version that topicsHash and regexes are of

	changes map[Change]struct{}
}

// New returns an empty group.
func New(id string, cfg *Config) *Group {
	return &Group{
		ID: id, cfg: cfg, seen: -1,
		members: map[string]*Member{}, regexes: map[string]*resolved{}, owners: map[Partition]string{}, changes: map[Change]struct{}{},
	}
}

// State returns the group's state.
func (g *Group) State() State {
	switch {
	case len(g.members) == 0:
		return Empty
	case g.epoch > g.assignmentEpoch:
		return Assigning
	}
	for _, m := range g.members {
		if !m.reconciled(g.assignmentEpoch) {
			return Reconciling
		}
	}
	return Stable
}

// Epoch returns the group epoch.
func (g *Group) Epoch() int32 { return g.epoch }

// AssignmentEpoch returns the epoch of the target assignment.
func (g *Group) AssignmentEpoch() int32 { return g.assignmentEpoch }

// Len is the number of members.
func (g *Group) Len() int { return len(g.members) }

// Members returns the members by id; they must not be changed.
func (g *Group) Members() []*Member {
	return slices.SortedFunc(maps.Values(g.members), func(a, b *Member) int { return cmp.Compare(a.ID, b.ID) })
}

// instance returns the static member of that instance, or nil.
func (g *Group) instance(id string) *Member {
	for _, m := range g.members {
		if m.InstanceID != nil && *m.InstanceID == id {
			return m
		}
	}
	return nil
}

// bump raises the group epoch, so that a new target is computed.
func (g *Group) bump() {
	g.epoch++
	g.changed(GroupEpoch, "")
}

// settle sets a member's way to its target: epoch, state and partitions held.
func (g *Group) settle(m *Member, epoch int32, state MemberState, assigned, revoking Partitions) {
	g.release(m)
	if epoch != m.Epoch {
		m.PreviousEpoch, m.Epoch = m.Epoch, epoch
	}
	m.State, m.Assigned, m.Revoking = state, assigned, revoking
	before := m.Since
	m.Since = make(map[Partition]int32, len(assigned)+len(revoking))
	for _, s := range []Partitions{assigned, revoking} {
		for p := range s {
			since, held := before[p]
			if !held {
				since = epoch
			}
			m.Since[p] = since
		}
	}
	g.hold(m)
	g.changed(CurrentAssignment, m.ID)
}

func (g *Group) hold(m *Member) {
	for _, s := range []Partitions{m.Assigned, m.Revoking} {
		for p := range s {
			g.owners[p] = m.ID
		}
	}
}

func (g *Group) release(m *Member) {
	for _, s := range []Partitions{m.Assigned, m.Revoking} {
		for p := range s {
			if g.owners[p] == m.ID {
				delete(g.owners, p)
			}
		}
	}
}

// drop takes a member out with all that is known of it.
func (g *Group) drop(m *Member) {
	g.release(m)
	delete(g.members, m.ID)
	g.changed(MemberMetadata, m.ID)
	g.changed(TargetAssignment, m.ID)
	g.changed(CurrentAssignment, m.ID)
}

// remove takes a member out, and asks for a new target.
func (g *Group) remove(w World, m *Member) {
	g.drop(m)
	g.forgetRegexes()
	g.topicsHash = g.hashTopics(w)
	g.bump()
}

// failure is a refusal with its code and what to tell about it.
type failure struct {
	code    int16
	message string
}
