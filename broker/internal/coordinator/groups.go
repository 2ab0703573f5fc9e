package coordinator

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf16"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/consumergroup"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/group"
	"github.com/quokka-stream/quokka/broker/internal/topics"
)

// Config configures the coordinators.
type Config struct {
	Group    group.Config
	Consumer consumergroup.Config
	// SessionTimeout and HeartbeatInterval are those of members of the consumer
	// protocol whose group has no settings of its own.
	SessionTimeout, HeartbeatInterval time.Duration
	// OffsetsPartitions is the number of partitions that the offsets topic is made with.
	OffsetsPartitions int32
	// OffsetsRetention is how long a group's offsets outlive its last member.
	OffsetsRetention time.Duration
	// ExpiryInterval is the time between two searches for what has expired.
	ExpiryInterval time.Duration
	// MaxMetadata bounds the metadata string of a committed offset.
	MaxMetadata int
	Logger      *slog.Logger
	Now         func() time.Time
}

// Groups coordinates all consumer groups.
type Groups struct {
	cfg     Config
	cluster *cluster.Cluster
	topics  *topics.Manager

	mu     sync.Mutex
	closed bool
	shards map[shardKey]*shard
	wg     sync.WaitGroup

	waiting atomic.Int64
}

type shardKey struct {
	topic     cluster.ID
	partition int32
}

// NewGroups returns a coordinator of all groups.
func NewGroups(cfg Config, c *cluster.Cluster, t *topics.Manager) *Groups {
	return &Groups{cfg: cfg, cluster: c, topics: t, shards: map[shardKey]*shard{}}
}

// Close ends every shard; requests that wait are answered NOT_COORDINATOR.
func (g *Groups) Close() {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		for _, s := range g.shards {
			close(s.quit)
		}
	}
	g.mu.Unlock()
	g.wg.Wait()
}

// EnsureTopic creates the offsets topic when it is missing.
func (g *Groups) EnsureTopic(ctx context.Context) (*cluster.Topic, error) {
	return ensureTopic(ctx, g.cluster, cluster.OffsetsTopic, g.cfg.OffsetsPartitions)
}

// ensureTopic returns an internal topic, made if it is missing.
func ensureTopic(ctx context.Context, c *cluster.Cluster, name string, partitions int32) (*cluster.Topic, error) {
	if t := c.Image().Topic(name); t != nil {
		return t, nil
	}
	err := c.Propose(ctx, &cluster.CreateTopic{
		Name: name, ID: cluster.NewID(), Partitions: partitions,
		Configs: map[string]string{"cleanup.policy": "compact", "segment.bytes": "104857600", "compression.type": "producer"},
	})
	if t := c.Image().Topic(name); t != nil {
		return t, nil // made here, or by somebody else at the same time
	}
	return nil, err
}

// shard returns the shard of a group, started if need be.
func (g *Groups) shard(ctx context.Context, groupID string) (*shard, int16) {
	t, err := g.EnsureTopic(ctx)
	if err != nil {
		g.cfg.Logger.Error("the offsets topic could not be created", "err", err)
		return nil, errcode.CoordinatorNotAvailable
	}
	return g.start(t, PartitionFor(groupID, t.Partitions()))
}

func (g *Groups) start(t *cluster.Topic, index int32) (*shard, int16) {
	key := shardKey{t.ID, index}
	g.mu.Lock()
	s, closed := g.shards[key], g.closed
	g.mu.Unlock()
	if closed {
		return nil, errcode.NotCoordinator
	}
	if s != nil {
		return s, errcode.None
	}
	part, err := g.topics.Get(t, index) // may take long: not under the lock; tells why not, once
	if err != nil {
		return nil, errcode.CoordinatorNotAvailable
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, errcode.NotCoordinator
	}
	if s := g.shards[key]; s != nil {
		return s, errcode.None
	}
	s = newShard(newLoop(&g.cfg, part, g.cfg.Logger.With("topic", t.Name, "partition", index)), &g.cfg, g.world)
	g.shards[key] = s
	g.wg.Go(s.run)
	return s, errcode.None
}

// all returns the shards of every partition that holds anything.
func (g *Groups) all() []*shard {
	t := g.cluster.Image().Topic(cluster.OffsetsTopic)
	if t == nil {
		return nil
	}
	var out []*shard
	for i := range t.Partitions() {
		if !g.topics.Exists(t, i) {
			continue
		}
		if s, code := g.start(t, i); code == errcode.None {
			out = append(out, s)
		}
	}
	return out
}

// Load starts the shards of every partition that holds anything, so that sessions
// of before a restart end when their members do not come back.
func (g *Groups) Load() { g.all() }

// PartitionFor is Kafka's choice of a coordinator partition: the hash that Java
// gives a string, without its sign, modulo the partitions.
func PartitionFor(id string, partitions int32) int32 {
	var h int32
	for _, u := range utf16.Encode([]rune(id)) {
		h = 31*h + int32(u)
	}
	return (h & 0x7fffffff) % partitions
}

// maxRecord is the largest message of the offsets topic, which a group must fit.
func (g *Groups) maxRecord() int {
	img := g.cluster.Image()
	t := img.Topic(cluster.OffsetsTopic)
	if t == nil {
		return 0 // it was deleted a moment ago, and the group with it
	}
	return int(img.ConfigInt(t, "max.message.bytes"))
}

// Join handles a JoinGroup request and waits for its answer.
func (g *Groups) Join(ctx context.Context, groupID string, r group.JoinRequest) group.JoinResult {
	fail := func(code int16) group.JoinResult {
		return group.JoinResult{ErrorCode: code, Generation: -1, MemberID: r.MemberID}
	}
	s, code := g.shard(ctx, groupID)
	if code != errcode.None {
		return fail(code)
	}
	r.MaxBytes = g.maxRecord()
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	e, code := s.await(ctx, func(now time.Time, ref group.Ref) {
		h := s.group(groupID)
		if h == nil {
			if r.MemberID != "" {
				s.effects = append(s.effects, group.Effect{Ref: ref, Join: &group.JoinResult{ErrorCode: errcode.UnknownMemberID, Generation: -1, MemberID: r.MemberID}})
				return
			}
			h = s.create(groupID, now)
		}
		r.Ref = ref
		if h.consumer != nil && h.consumer.Len() == 0 {
			s.becomeClassic(h, now) // nobody is there to mind
		}
		if h.consumer != nil {
			result := h.consumer.Join(s.world(now, groupID), r)
			s.effects = append(s.effects, group.Effect{Ref: ref, Join: &result})
		} else {
			h.classic.Join(now, r)
		}
		s.after(h, now)
	})
	if code != errcode.None {
		return fail(code)
	}
	return *e.Join
}

// Sync handles a SyncGroup request and waits for its answer.
func (g *Groups) Sync(ctx context.Context, groupID string, r group.SyncRequest) group.SyncResult {
	s, code := g.shard(ctx, groupID)
	if code != errcode.None {
		return group.SyncResult{ErrorCode: code}
	}
	r.MaxBytes = g.maxRecord()
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	e, code := s.await(ctx, func(now time.Time, ref group.Ref) {
		h := s.group(groupID)
		if h == nil {
			s.effects = append(s.effects, group.Effect{Ref: ref, Sync: &group.SyncResult{ErrorCode: errcode.UnknownMemberID}})
			return
		}
		r.Ref = ref
		if h.consumer != nil {
			result := h.consumer.Sync(s.world(now, groupID), r)
			s.effects = append(s.effects, group.Effect{Ref: ref, Sync: &result})
		} else {
			h.classic.Sync(now, r)
		}
		s.after(h, now)
	})
	if code != errcode.None {
		return group.SyncResult{ErrorCode: code}
	}
	return *e.Sync
}

// with runs f on a group in its shard; without the group the code is missing.
func (g *Groups) with(ctx context.Context, groupID string, missing int16, f func(s *shard, h *held, now time.Time) int16) int16 {
	s, code := g.shard(ctx, groupID)
	if code != errcode.None {
		return code
	}
	var result int16
	code = s.do(ctx, func(now time.Time) {
		h := s.group(groupID)
		if h == nil {
			result = missing
			return
		}
		result = f(s, h, now)
	})
	if code != errcode.None {
		return code
	}
	return result
}

// Heartbeat handles a Heartbeat request.
func (g *Groups) Heartbeat(ctx context.Context, groupID, memberID string, instanceID *string, generation int32) int16 {
	return g.with(ctx, groupID, errcode.UnknownMemberID, func(s *shard, h *held, now time.Time) int16 {
		if h.consumer == nil {
			return h.classic.Heartbeat(now, memberID, instanceID, generation)
		}
		code := h.consumer.ClassicHeartbeat(s.world(now, groupID), memberID, instanceID, generation)
		s.after(h, now)
		return code
	})
}

// LeaveMember names a member that leaves.
type LeaveMember struct {
	MemberID   string
	InstanceID *string
}

// Leave takes members out of a group; the codes are in the members' order.
func (g *Groups) Leave(ctx context.Context, groupID string, members []LeaveMember) (code int16, each []int16) {
	each = make([]int16, len(members))
	found := false
	code = g.with(ctx, groupID, errcode.None, func(s *shard, h *held, now time.Time) int16 {
		found = true
		for i, m := range members {
			if h.consumer != nil {
				each[i] = h.consumer.Leave(s.world(now, groupID), m.MemberID, m.InstanceID)
			} else {
				each[i] = h.classic.Leave(now, m.MemberID, m.InstanceID)
			}
		}
		s.after(h, now)
		return errcode.None
	})
	if code == errcode.None && !found {
		for i := range each {
			each[i] = errcode.UnknownMemberID
		}
	}
	return code, each
}

// Describe returns a classic group's description; the code is GROUP_ID_NOT_FOUND
// when there is none.
func (g *Groups) Describe(ctx context.Context, groupID string) (state group.State, snap group.Snapshot, code int16) {
	code = g.with(ctx, groupID, errcode.GroupIDNotFound, func(_ *shard, h *held, _ time.Time) int16 {
		if h.consumer != nil {
			return errcode.GroupIDNotFound
		}
		state, snap = h.classic.State(), h.classic.Snapshot()
		return errcode.None
	})
	return state, snap, code
}

// Listed is a group in a listing, in Kafka's words.
type Listed struct {
	ID           string
	Type         string // classic or consumer
	ProtocolType string
	State        string
}

func (h *held) listed() Listed {
	if h.consumer != nil {
		return Listed{h.id, "consumer", "consumer", h.consumer.State().String()}
	}
	return Listed{h.id, "classic", h.classic.ProtocolType(), h.classic.State().String()}
}

// List returns all groups.
func (g *Groups) List(ctx context.Context) (out []Listed, code int16) {
	for _, s := range g.all() {
		var some []Listed
		code = s.do(ctx, func(time.Time) {
			for _, h := range s.groups {
				some = append(some, h.listed())
			}
		})
		if code != errcode.None {
			return nil, code
		}
		out = append(out, some...)
	}
	return out, errcode.None
}

// Delete removes a group without members, with its offsets.
func (g *Groups) Delete(ctx context.Context, groupID string) int16 {
	return g.with(ctx, groupID, errcode.GroupIDNotFound, func(s *shard, h *held, now time.Time) int16 {
		if !h.empty() {
			return errcode.NonEmptyGroup
		}
		for topic, parts := range h.offsets {
			for partition := range parts {
				s.add(offsetTombstone(groupID, topic, partition))
			}
		}
		s.erase(h)
		if h.classic != nil {
			h.classic.Kill(now, errcode.GroupIDNotFound)
		}
		delete(s.groups, groupID)
		return errcode.None
	})
}
