package group

import (
	"slices"
	"time"
)

// State is the state of a group.
type State uint8

// The states of a group; see the package comment.
const (
	Empty State = iota
	PreparingRebalance
	CompletingRebalance
	Stable
	Dead
)

func (s State) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"}[s]
}

// Config is what the broker's settings say about groups.
type Config struct {
	MinSessionTimeout     time.Duration
	MaxSessionTimeout     time.Duration
	InitialRebalanceDelay time.Duration
	MaxSize               int
	// NewID returns a random suffix for member ids.
	NewID func() string
}

// newMemberTimeout bounds how long a member that never completed a join is kept:
// its client may be gone, and its session does not count before the first answer.
const newMemberTimeout = 5 * time.Minute

// Ref is the caller's handle of a request that waits. Zero is none.
type Ref uint64

// Protocol is one assignment protocol a member can speak, with opaque metadata.
type Protocol struct {
	Name     string
	Metadata []byte
}

// Member is a member of a group.
type Member struct {
	ID               string
	InstanceID       *string
	ClientID         string
	ClientHost       string
	RebalanceTimeout time.Duration
	SessionTimeout   time.Duration
	Protocols        []Protocol
	Assignment       []byte

	join     Ref // the JoinGroup that waits, if one does
	joinV    int16
	sync     Ref // the SyncGroup that waits, if one does
	unsynced bool
	fresh    bool // has never been answered a join
	deadline time.Time
}

// metadata is what the member said for the named protocol.
func (m *Member) metadata(protocol string) []byte {
	for _, p := range m.Protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

func (m *Member) speaks(protocols []Protocol) bool {
	return slices.EqualFunc(m.Protocols, protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && string(a.Metadata) == string(b.Metadata)
	})
}

// Group is one consumer group.
type Group struct {
	ID string

	cfg          *Config
	state        State
	since        time.Time // when the state was entered
	protocolType string
	protocol     string
	generation   int32
	leader       string
	members      []*Member // in the order they joined
	pending      map[string]time.Time
	joinDeadline time.Time
	syncDeadline time.Time

	// The initial delay of a group that was empty: while it runs, completion waits
	// for joinDeadline, which each new member pushes on by at most what is left.
	initial      bool
	initialLeft  time.Duration
	initialAdded bool

	dirty   bool
	effects []Effect
}

// New returns an empty group.
func New(id string, cfg *Config, now time.Time) *Group {
	return &Group{ID: id, cfg: cfg, since: now, pending: map[string]time.Time{}}
}

// Effect is an answer to a request that waited. Exactly one of Join and Sync is set.
type Effect struct {
	Ref  Ref
	Join *JoinResult
	Sync *SyncResult
}

// TakeEffects returns the answers that steps have produced since it was last
// called, and whether the group has to be written before they may be given.
func (g *Group) TakeEffects() (effects []Effect, dirty bool) {
	effects, dirty = g.effects, g.dirty
	g.effects, g.dirty = nil, false
	return effects, dirty
}

// State returns the group's state.
func (g *Group) State() State { return g.state }

// Generation returns the group's generation.
func (g *Group) Generation() int32 { return g.generation }

// ProtocolType returns the protocol type, empty for a group that never had a member.
func (g *Group) ProtocolType() string { return g.protocolType }

// Members returns the members in the order they joined; they must not be changed.
func (g *Group) Members() []*Member { return g.members }

// Unused says whether nothing is left of the group: no member and no id handed out.
func (g *Group) Unused() bool {
	return g.state == Empty && len(g.members) == 0 && len(g.pending) == 0
}

func (g *Group) member(id string) *Member {
	for _, m := range g.members {
		if m.ID == id {
			return m
		}
	}
	return nil
}

func (g *Group) instance(id string) *Member {
	for _, m := range g.members {
		if m.InstanceID != nil && *m.InstanceID == id {
			return m
		}
	}
	return nil
}

func (g *Group) enter(s State, now time.Time) {
	g.state, g.since = s, now
}

func (g *Group) answerJoin(m *Member, r JoinResult) {
	if m.join != 0 {
		g.effects = append(g.effects, Effect{Ref: m.join, Join: &r})
		m.join = 0
	}
}

func (g *Group) answerSync(m *Member, r SyncResult) {
	if m.sync != 0 {
		g.effects = append(g.effects, Effect{Ref: m.sync, Sync: &r})
		m.sync = 0
	}
}

// vote picks the protocol: of those that every member speaks, the one that most
// members prefer; the first in the leader's order among equals.
func (g *Group) vote() string {
	if len(g.members) == 0 {
		return ""
	}
	var common []string
	for _, p := range g.members[0].Protocols {
		if g.allSpeak(p.Name) {
			common = append(common, p.Name)
		}
	}
	votes := map[string]int{}
	for _, m := range g.members {
		for _, p := range m.Protocols {
			if slices.Contains(common, p.Name) {
				votes[p.Name]++
				break
			}
		}
	}
	best := ""
	for _, name := range common {
		if best == "" || votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

func (g *Group) allSpeak(protocol string) bool {
	for _, m := range g.members {
		if !slices.ContainsFunc(m.Protocols, func(p Protocol) bool { return p.Name == protocol }) {
			return false
		}
	}
	return true
}

// supports says whether a member with these protocols may enter: of the group's
// type, and with one protocol at least that every other member speaks.
func (g *Group) supports(protocolType string, protocols []Protocol, except *Member) bool {
	if protocolType == "" || len(protocols) == 0 {
		return false
	}
	others := false
	for _, m := range g.members {
		others = others || m != except
	}
	if !others {
		return true
	}
	if g.protocolType != protocolType {
		return false
	}
	return slices.ContainsFunc(protocols, func(p Protocol) bool {
		for _, m := range g.members {
			if m != except && !slices.ContainsFunc(m.Protocols, func(q Protocol) bool { return q.Name == p.Name }) {
				return false
			}
		}
		return true
	})
}

// longestRebalance is the longest rebalance timeout of the members.
func (g *Group) longestRebalance() time.Duration {
	var d time.Duration
	for _, m := range g.members {
		d = max(d, m.RebalanceTimeout)
	}
	return d
}
