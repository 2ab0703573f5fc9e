package diff

import (
	"maps"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The scenarios of consumer groups of KIP-848.

// consumer is a member of a consumer group: its epoch and what it owns are what it
// was told last.
type consumer struct {
	s         *session
	group, id string
	instance  *string
	epoch     int32
	owned     []kmsg.ConsumerGroupHeartbeatRequestTopic
}

type (
	beatRequest  = kmsg.ConsumerGroupHeartbeatRequest
	beatResponse = kmsg.ConsumerGroupHeartbeatResponse
)

func (s *session) consumer(group, id string) *consumer {
	return &consumer{s: s, group: s.n(group), id: s.n(id)}
}

func (m *consumer) request(edit ...func(*beatRequest)) *beatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.InstanceID, req.MemberEpoch = m.group, m.id, m.instance, m.epoch
	if m.epoch > 0 {
		req.Topics = m.owned
	}
	for _, e := range edit {
		e(req)
	}
	return req
}

// enter is the first heartbeat of a member.
func (m *consumer) enter(label string, edit ...func(*beatRequest)) *beatResponse {
	m.s.t.Helper()
	m.epoch, m.owned = 0, nil
	return m.beat(label, append([]func(*beatRequest){func(r *beatRequest) {
		r.RebalanceTimeoutMillis, r.SubscribedTopicNames = 60_000, []string{m.s.n("t")}
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}}, edit...)...)
}

// beat sends a heartbeat and does what it answers.
func (m *consumer) beat(label string, edit ...func(*beatRequest)) *beatResponse {
	m.s.t.Helper()
	return m.take(ask[*beatResponse](m.s, label, 1, m.request(edit...)))
}

// beatSilently leaves nothing in the transcript.
func (m *consumer) beatSilently(edit ...func(*beatRequest)) {
	m.s.t.Helper()
	m.take(silently(m.s, 1, m.request(edit...), func(*beatResponse) bool { return true }))
}

// try sends a heartbeat whose answer changes nothing in the member.
func (m *consumer) try(label string, edit ...func(*beatRequest)) *beatResponse {
	m.s.t.Helper()
	return ask[*beatResponse](m.s, label, 1, m.request(edit...))
}

func (m *consumer) take(resp *beatResponse) *beatResponse {
	if resp != nil && resp.ErrorCode == 0 {
		m.epoch = resp.MemberEpoch
		if resp.Assignment != nil {
			m.owned = assignedTo(resp)
		}
	}
	return resp
}

func assignedTo(r *beatResponse) []kmsg.ConsumerGroupHeartbeatRequestTopic {
	out := []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for _, t := range r.Assignment.Topics {
		out = append(out, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
	}
	return out
}

// leave leaves for good (-1) or for a while (-2).
func (m *consumer) leave(label string, epoch int32) {
	m.s.t.Helper()
	m.try(label, func(r *beatRequest) { r.MemberEpoch, r.Topics = epoch, nil })
}

// commit commits an offset of partition 0 as the member of an epoch.
func (m *consumer) commit(label string, epoch int32) {
	m.s.t.Helper()
	(&member{s: m.s, group: m.group, id: m.id, instance: m.instance, gen: epoch}).commit(label, 9, "t", 7)
}

func (s *session) describeConsumers(label string, names ...string) *kmsg.ConsumerGroupDescribeResponse {
	s.t.Helper()
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	for _, name := range names {
		req.Groups = append(req.Groups, s.n(name))
	}
	return ask[*kmsg.ConsumerGroupDescribeResponse](s, label, 1, req)
}

// seen returns once a group's coordinator knows the topic t, of which Kafka's hears
// a moment after everybody else. Nothing of the group is left.
func (s *session) seen(group string) {
	s.t.Helper()
	names, counts := maps.Clone(s.r.names), maps.Clone(s.r.counts)
	defer func() { s.r.names, s.r.counts = names, counts }() // its epochs have nothing to do with what follows
	m := s.consumer(group, "first")
	join := m.request(func(r *beatRequest) {
		r.RebalanceTimeoutMillis, r.SubscribedTopicNames = 60_000, []string{s.n("t")}
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	})
	silently(s, 1, join, func(r *beatResponse) bool { return r.Assignment != nil && len(r.Assignment.Topics) > 0 })
	silently(s, 1, m.request(func(r *beatRequest) { r.MemberEpoch = -1 }), func(*beatResponse) bool { return true })
	del := kmsg.NewPtrDeleteGroupsRequest()
	del.Groups = []string{m.group}
	silently(s, 2, del, func(*kmsg.DeleteGroupsResponse) bool { return true })
}

// ranged asks for the range assignor, under which it is known who gets what.
func ranged(r *beatRequest) { r.ServerAssignor = pointer("range") }

// consumerGroups is a life of two members: join, revoke before assign, commit, leave.
func consumerGroups(s *session) {
	s.create("t", 4)
	s.seen("g")
	a, b := s.consumer("g", "a"), s.consumer("g", "b")
	a.enter("a joins", ranged)
	a.beat("a owns everything")
	a.beat("nothing new")
	s.describeConsumers("alone", "g", "none")
	b.enter("b joins", ranged)
	a.beat("a is to revoke")
	b.beat("b waits for it")
	s.describeConsumers("while a has not revoked", "g")
	a.beat("a has revoked")
	b.beat("b gets them")
	s.describeConsumers("at rest", "g")
	s.describeGroups("as a classic group", 6, "g")
	a.commit("commit", a.epoch)
	a.commit("commit of a later epoch", a.epoch+1)
	a.commit("commit of no member's epoch", -1)
	s.offsets("what is committed", "g", "t", false)
	del := kmsg.NewPtrDeleteGroupsRequest()
	del.Groups = []string{s.n("g")}
	ask[*kmsg.DeleteGroupsResponse](s, "delete with members", 2, del)
	a.leave("a leaves", -1)
	a.beat("a is gone")
	b.beat("b owns everything")
	b.beat("b subscribes to something else", func(r *beatRequest) { r.SubscribedTopicNames = []string{s.n("none")} })
	b.beat("and owns nothing")
	s.describeConsumers("subscribed to what is not there", "g")
	b.leave("b leaves", -1)
	s.describeConsumers("empty", "g")
	nobody := s.consumer("g", "")
	nobody.id = ""
	nobody.commit("a commit without membership", -1)
	ask[*kmsg.DeleteGroupsResponse](s, "delete", 2, del)
	s.describeConsumers("deleted", "g")
}

// consumersRefused are heartbeats that no group could answer.
func consumersRefused(s *session) {
	id := s.create("t", 2)
	for _, c := range []struct {
		name string
		edit func(*beatRequest)
	}{
		{"no group", func(r *beatRequest) { r.Group = "" }},
		{"no member id", func(r *beatRequest) { r.MemberID = "" }},
		{"an impossible epoch", func(r *beatRequest) { r.MemberEpoch = -3 }},
		{"an empty instance", func(r *beatRequest) { r.InstanceID = pointer("") }},
		{"no rebalance timeout", func(r *beatRequest) { r.RebalanceTimeoutMillis = -1 }},
		{"no subscription", func(r *beatRequest) { r.SubscribedTopicNames = nil }},
		{"an empty subscription", func(r *beatRequest) { r.SubscribedTopicNames = []string{} }},
		{"a null of what it owns", func(r *beatRequest) { r.Topics = nil }},
		{"partitions of its own", func(r *beatRequest) {
			r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: id, Partitions: []int32{0}}}
		}},
		{"an assignor that is none", func(r *beatRequest) { r.ServerAssignor = pointer("clever") }},
		{"an empty assignor", func(r *beatRequest) { r.ServerAssignor = pointer("") }},
		{"an expression that is none", func(r *beatRequest) { r.SubscribedTopicRegex = pointer("(") }},
		{"an epoch without membership", func(r *beatRequest) { r.MemberEpoch = 3 }},
		{"leaving what it is not in", func(r *beatRequest) { r.MemberEpoch = -1 }},
		{"leaving for a while without an instance", func(r *beatRequest) { r.MemberEpoch = -2 }},
	} {
		req := s.consumer("g "+c.name, "m").request(func(r *beatRequest) {
			r.RebalanceTimeoutMillis, r.SubscribedTopicNames = 60_000, []string{s.n("t")}
			r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		}, c.edit)
		if resp := ask[*beatResponse](s, c.name, 1, req); resp != nil && resp.ErrorCode == 0 {
			until(s, c.name+", until it is at rest", 1, req, func(r *beatResponse) bool { return r.Assignment != nil })
		}
	}
	classic := s.member("classic")
	classic.enter("a classic group")
	s.describeConsumers("of other kinds", "classic", "none")
	s.describeConsumers("no name", "")
}

// consumersFenced: epochs behind and ahead of the group's.
func consumersFenced(s *session) {
	s.create("t", 2)
	s.seen("g")
	a, b := s.consumer("g", "a"), s.consumer("g", "b")
	a.enter("a joins", ranged)
	a.beat("a owns everything")
	before := *a
	b.enter("b joins", ranged)
	a.beat("a is to revoke")
	a.beat("a has revoked")
	b.beat("b gets it")
	before.try("the epoch before, owning what it did then")
	before.owned = a.owned
	before.try("the epoch before, owning what it does now")
	before.commit("a commit of the epoch before", before.epoch)
	ahead := *a
	ahead.epoch += 3
	ahead.try("an epoch ahead")
	ahead.commit("a commit ahead", ahead.epoch)
	stranger := *a
	stranger.id = s.n("stranger")
	stranger.try("a stranger")
	stranger.commit("a commit of a stranger", stranger.epoch)
	for _, v := range s.versions(kmsg.OffsetFetch) {
		if v < 9 {
			continue
		}
		for epoch := a.epoch - 1; epoch <= a.epoch+1; epoch++ {
			req := offsetsRequest(s.n("g"), "", false)
			req.Groups[0].MemberID, req.Groups[0].MemberEpoch = pointer(a.id), epoch
			ask[*kmsg.OffsetFetchResponse](s, "offsets as a member", v, req)
		}
	}
	again := *a
	again.enter("joins again with the same id", ranged)
	a.try("the old epoch goes on")
	s.describeConsumers("then", "g")
}

// consumersStatic: instances that come back, and that are taken over.
func consumersStatic(s *session) {
	s.create("t", 2)
	s.seen("g")
	a := s.consumer("g", "a")
	a.instance = pointer("one")
	a.enter("one joins", ranged)
	a.beat("one owns everything")
	other := s.consumer("g", "other")
	other.instance = a.instance
	other.enter("another while it is there", ranged)
	wrong := *a
	wrong.instance = pointer("two")
	wrong.try("with another instance")
	a.leave("one leaves for a while", -2)
	s.describeConsumers("away", "g")
	other.enter("another takes its place", ranged)
	other.beat("it owns what one did")
	a.try("one is fenced")
	a.commit("one commits", a.epoch)
	a.leave("one leaves, too late", -1)
	other.leave("the other leaves for good", -1)
	s.describeConsumers("gone", "g")
}

// consumersRegex: the server resolves the expression; it must match a whole name.
func consumersRegex(s *session) {
	s.create("reg-1", 1)
	s.create("reg-2", 1)
	s.create("reg-other", 1)
	m := s.consumer("g", "a")
	by := func(expression string) func(*beatRequest) {
		return func(r *beatRequest) {
			r.SubscribedTopicNames, r.SubscribedTopicRegex = nil, pointer(expression)
		}
	}
	// Kafka resolves expressions in the background.
	owns := func(label string, n int) {
		req := kmsg.NewPtrConsumerGroupDescribeRequest()
		req.Groups = []string{m.group}
		until(s, label, 1, req, func(r *kmsg.ConsumerGroupDescribeResponse) bool {
			m.beatSilently()
			g := r.Groups[0]
			return g.State == "Stable" && len(g.Members[0].TargetAssignment.TopicPartitions) == n
		})
	}
	m.epoch = 0
	m.beatSilently(by(s.n("reg-[0-9]")), func(r *beatRequest) {
		r.RebalanceTimeoutMillis, r.Topics = 60_000, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	})
	owns("two match", 2)
	m.beatSilently(by(s.n("reg")))
	owns("a part of a name", 0)
	m.beatSilently(by(s.n(".*")))
	owns("all of them", 3)
	m.try("an expression that is none", by("["))
	m.leave("leaves", -1)
}

// migration: a classic group becomes a consumer group as a member of the new
// protocol joins, and a classic one again when that leaves.
func migration(s *session) {
	s.create("t", 2)
	s.seen("g")
	old := s.member("g")
	withTopic := func(owned ...int32) func(*kmsg.JoinGroupRequest) {
		return func(r *kmsg.JoinGroupRequest) {
			m := kmsg.NewConsumerMemberMetadata()
			m.Version, m.Topics = 1, []string{s.n("t")}
			if owned != nil {
				m.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: s.n("t"), Partitions: owned}}
			}
			r.Protocols[0].Metadata = m.AppendTo(nil)
		}
	}
	sync := func(label string, partitions ...int32) *kmsg.SyncGroupResponse {
		req := kmsg.NewPtrSyncGroupRequest()
		req.Group, req.MemberID, req.Generation = old.group, old.id, old.gen
		req.ProtocolType, req.Protocol = pointer("consumer"), pointer("range")
		if partitions != nil {
			req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: old.id, MemberAssignment: assigned(s.n("t"), partitions...)}}
		}
		return ask[*kmsg.SyncGroupResponse](s, label, 5, req)
	}
	old.joined(old.join("for an id", withTopic()))
	old.joined(old.join("a classic member joins", withTopic()))
	sync("it owns everything", 0, 1)
	old.commit("it commits", 8, "t", 5)

	newer := s.consumer("g", "newer")
	newer.enter("a member of the new protocol joins", ranged)
	s.describeConsumers("the group has changed over", "g")
	s.describeGroups("as a classic group", 6, "g")
	until(s, "the classic member is told", 4, heartbeatOf(old), func(r *kmsg.HeartbeatResponse) bool { return r.ErrorCode == 27 })
	old.joined(old.join("it joins again", withTopic(0, 1)))
	sync("and gets its part")
	until(s, "it goes on", 4, heartbeatOf(old), func(r *kmsg.HeartbeatResponse) bool { return r.ErrorCode == 27 })
	old.joined(old.join("without what it gave up", withTopic(1)))
	sync("and keeps its part")
	newer.beat("the new one gets the rest")
	s.describeConsumers("at rest", "g")
	s.offsets("offsets stay", "g", "t", false)

	newer.leave("the new one leaves", -1)
	s.describeGroups("a classic group again", 6, "g")
	until(s, "the classic member is told", 4, heartbeatOf(old), func(r *kmsg.HeartbeatResponse) bool { return r.ErrorCode == 27 })
	old.joined(old.join("it joins again", withTopic(1)))
	sync("it owns everything again", 0, 1)
	s.describeGroups("at rest", 6, "g")
	s.offsets("offsets stay", "g", "t", false)
	old.leave("it leaves", 5, old.id)

	connect := s.member("c")
	connect.joined(connect.join("for an id", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" }))
	connect.joined(connect.join("a group of another type", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" }))
	s.consumer("c", "newer").enter("cannot change over", ranged)
}
