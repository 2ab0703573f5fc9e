package diff

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The scenarios of classic groups and their offsets.

// member is a member of a group that does as it is told.
type member struct {
	s        *session
	c        *conn
	group    string
	id       string
	instance *string
	gen      int32
	protocol []string
	version  int16
}

func (s *session) member(group string) *member {
	return &member{s: s, c: s.dial(), group: s.n(group), protocol: []string{"range"}, version: 9}
}

func (m *member) request() *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.InstanceID = m.group, m.id, m.instance
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.ProtocolType = 300_000, 300_000, "consumer"
	for _, p := range m.protocol {
		req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: p, Metadata: subscription("t")})
	}
	return req
}

// subscription and assigned are what consumers send: Kafka reads it.
func subscription(topics ...string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Topics = topics
	return m.AppendTo(nil)
}

func assigned(topic string, partitions ...int32) []byte {
	m := kmsg.NewConsumerMemberAssignment()
	m.Topics = append(m.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: topic, Partitions: partitions})
	return m.AppendTo(nil)
}

// join begins to join; ended by joined.
func (m *member) join(label string, edit ...func(*kmsg.JoinGroupRequest)) begun[*kmsg.JoinGroupResponse] {
	m.s.t.Helper()
	req := m.request()
	for _, e := range edit {
		e(req)
	}
	return begin[*kmsg.JoinGroupResponse](m.s, m.c, label, m.version, req)
}

func (m *member) joined(b begun[*kmsg.JoinGroupResponse]) *kmsg.JoinGroupResponse {
	m.s.t.Helper()
	resp := b.end()
	if resp != nil && (resp.ErrorCode == 0 || resp.ErrorCode == 79) {
		m.id, m.gen = resp.MemberID, resp.Generation
	}
	return resp
}

// enter joins as clients do: once for an id, once with it.
func (m *member) enter(label string) *kmsg.JoinGroupResponse {
	m.s.t.Helper()
	if m.id == "" && m.instance == nil {
		m.joined(m.join(label + ", for an id"))
	}
	return m.joined(m.join(label))
}

func (m *member) sync(label string, assign ...*member) begun[*kmsg.SyncGroupResponse] {
	m.s.t.Helper()
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = m.group, m.id, m.instance, m.gen
	req.ProtocolType, req.Protocol = pointer("consumer"), pointer(m.protocol[0])
	for i, a := range assign {
		req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: a.id, MemberAssignment: assigned("t", int32(i))})
	}
	return begin[*kmsg.SyncGroupResponse](m.s, m.c, label, 5, req)
}

func (m *member) heartbeat(label string, edit ...func(*kmsg.HeartbeatRequest)) {
	m.s.t.Helper()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = m.group, m.id, m.instance, m.gen
	for _, e := range edit {
		e(req)
	}
	ask[*kmsg.HeartbeatResponse](m.s, label, 4, req)
}

func (m *member) commit(label string, version int16, topic string, offset int64, edit ...func(*kmsg.OffsetCommitRequest)) {
	m.s.t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = m.group, m.id, m.instance, m.gen
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset, p.LeaderEpoch, p.Metadata = offset, 3, pointer("some metadata")
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: m.s.n(topic), Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	for _, e := range edit {
		e(req)
	}
	ask[*kmsg.OffsetCommitResponse](m.s, label, version, req)
}

func (m *member) leave(label string, version int16, ids ...string) {
	m.s.t.Helper()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = m.group, m.id
	for _, id := range ids {
		l := kmsg.NewLeaveGroupRequestMember()
		if l.MemberID = id; strings.HasPrefix(id, "instance ") {
			l.MemberID, l.InstanceID = "", pointer(strings.TrimPrefix(id, "instance "))
		}
		req.Members = append(req.Members, l)
	}
	ask[*kmsg.LeaveGroupResponse](m.s, label, version, req)
}

func offsetsRequest(group, topic string, stable bool) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group, req.RequireStable = group, stable
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.MemberEpoch = group, -1
	if topic != "" {
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: []int32{0, 5}}}
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, Partitions: []int32{0, 5}}}
	}
	req.Groups = append(req.Groups, g)
	return req
}

func (s *session) offsets(label, group, topic string, stable bool) {
	s.t.Helper()
	ask[*kmsg.OffsetFetchResponse](s, label, 7, offsetsRequest(s.n(group), s.n(topic), stable))
}

// offsetsAre waits until a committed offset is there, or is not.
func (s *session) offsetsAre(label, group, topic string, want int64) {
	s.t.Helper()
	until(s, label, 7, offsetsRequest(s.n(group), s.n(topic), true), func(r *kmsg.OffsetFetchResponse) bool {
		p := r.Topics[0].Partitions[0]
		return p.Offset == want && p.ErrorCode == 0
	})
}

func (s *session) describeGroups(label string, version int16, names ...string) {
	s.t.Helper()
	req := kmsg.NewPtrDescribeGroupsRequest()
	for _, name := range names {
		req.Groups = append(req.Groups, s.n(name))
	}
	req.IncludeAuthorizedOperations = version >= 3
	ask[*kmsg.DescribeGroupsResponse](s, label, version, req)
}

func groups(s *session) {
	s.create("t", 1)
	a, b := s.member("g"), s.member("g")
	a.enter("a joins")
	a.heartbeat("before sync")
	a.commit("commit before sync", 8, "t", 1)
	a.sync("a syncs", a).end()
	a.heartbeat("stable")
	a.commit("commit", 8, "t", 2)
	s.describeGroups("stable", 5, "g", "none")
	s.describeGroups("stable", 6, "g", "none")
	s.describeGroups("stable", 0, "g", "none")

	b.joined(b.join("b, for an id"))
	joining := b.join("b joins")
	until(s, "told to join again", 4, heartbeatOf(a), func(r *kmsg.HeartbeatResponse) bool { return r.ErrorCode == 27 })
	a.commit("commit while preparing", 8, "t", 3)
	again := a.join("a joins again")
	a.joined(again)
	b.joined(joining)
	b.heartbeat("completing")
	b.commit("commit while completing", 8, "t", 4)
	waiting := b.sync("b syncs")
	a.sync("a syncs", a, b).end()
	waiting.end()
	b.sync("b syncs again").end()
	stale := *b
	stale.gen--
	stale.heartbeat("an old generation")
	stale.commit("an old generation", 8, "t", 5)
	stale.sync("an old generation").end()
	stale.id = "nobody"
	stale.heartbeat("nobody")
	stale.commit("nobody", 8, "t", 5)
	stale.sync("nobody").end()
	stale.joined(stale.join("nobody"))
	stale = *b
	stale.protocol = []string{"other"}
	stale.sync("another protocol").end()
	b.leave("one that is not there", 5, "nobody")
	b.leave("b leaves", 5, b.id)
	b.heartbeat("gone")
	until(s, "told to join again", 4, heartbeatOf(a), func(r *kmsg.HeartbeatResponse) bool { return r.ErrorCode == 27 })
	a.leave("a leaves", 2)
	s.describeGroups("empty", 5, "g")
	nobody := s.member("g")
	nobody.gen = -1
	nobody.commit("a commit without membership", 8, "t", 7)
	nobody.gen = 0
	nobody.commit("a commit with a generation", 8, "t", 8)
	s.offsets("what is committed", "g", "t", false)

	del := kmsg.NewPtrDeleteGroupsRequest()
	del.Groups = []string{s.n("g"), s.n("none")}
	ask[*kmsg.DeleteGroupsResponse](s, "delete", 2, del)
	s.offsets("deleted", "g", "t", false)
	nobody.gen = -1
	nobody.commit("a group of commits", 8, "t", 1)
	s.describeGroups("a group of commits", 5, "g")
}

func heartbeatOf(m *member) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = m.group, m.id, m.instance, m.gen
	return req
}

func joining(s *session) {
	for v := int16(2); v <= 9; v++ {
		m := s.member("v" + string('0'+rune(v)))
		m.version = v
		m.joined(m.join("without an id"))
		if m.gen <= 0 {
			m.joined(m.join("with it"))
		}
		m.protocol = []string{"sticky"}
		m.joined(m.join("with another protocol"))
	}
	for _, c := range []struct {
		name string
		edit func(*kmsg.JoinGroupRequest)
	}{
		{"no group", func(r *kmsg.JoinGroupRequest) { r.Group = "" }},
		{"no protocols", func(r *kmsg.JoinGroupRequest) { r.Protocols = nil }},
		{"no protocol type", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" }},
		{"a short session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 10 }},
		{"a long session", func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1 << 30 }},
		{"an unknown member", func(r *kmsg.JoinGroupRequest) { r.MemberID = "me" }},
		{"a bad instance", func(r *kmsg.JoinGroupRequest) { r.InstanceID = pointer("a b") }},
		{"an empty instance", func(r *kmsg.JoinGroupRequest) { r.InstanceID = pointer("") }},
	} {
		m := s.member("bad " + c.name)
		m.joined(m.join(c.name, c.edit))
	}
	a := s.member("g")
	a.enter("a")
	a.sync("a", a).end()
	b := s.member("g")
	b.joined(b.join("another type", func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" }))
	b.joined(b.join("no common protocol", func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Name = "sticky" }))
	s.describeGroups("", 5, "g")
	list := kmsg.NewPtrListGroupsRequest()
	list.StatesFilter = []string{"Nonsense"}
	ask[*kmsg.ListGroupsResponse](s, "list", 5, list)
	del := kmsg.NewPtrDeleteGroupsRequest()
	del.Groups = []string{s.n("g")}
	ask[*kmsg.DeleteGroupsResponse](s, "delete with members", 2, del)
	a.leave("leaves", 1)
}

func staticMembers(s *session) {
	a := s.member("g")
	a.instance = pointer("one")
	first := a.enter("one")
	a.sync("one", a).end()
	if first == nil {
		return
	}
	old := *a
	a.id = ""
	a.joined(a.join("comes back"))
	a.sync("gets what it had").end()
	old.heartbeat("the old one is fenced")
	old.sync("the old one is fenced").end()
	old.commit("the old one is fenced", 8, "t", 1)
	old.joined(old.join("the old one is fenced"))
	a.heartbeat("goes on")
	s.describeGroups("", 5, "g")
	a.leave("by instance", 5, "instance two", "instance one")
	a.leave("by instance, again", 5, "instance one")
	s.describeGroups("empty", 5, "g")
}

func offsets(s *session) {
	id := s.create("t", 1)
	m := s.member("g")
	m.gen = -1
	for _, v := range s.versions(kmsg.OffsetCommit) {
		byID := func(r *kmsg.OffsetCommitRequest) { r.Topics[0].TopicID = id }
		m.commit("commit", v, "t", int64(v), byID)
		m.commit("unknown topic", v, "none", 1)
		m.commit("unknown partition", v, "t", 1, byID, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Partition = 9 })
		m.commit("negative", v, "t", -1, byID, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Partition = 0 })
		m.commit("long metadata", v, "t", 1, byID, func(r *kmsg.OffsetCommitRequest) {
			r.Topics[0].Partitions[0].Metadata = pointer(strings.Repeat("x", 4097))
		})
		m.commit("no metadata", v, "t", 1, byID, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Metadata = nil })
		m.commit("metadata", v, "t", 8, byID, func(r *kmsg.OffsetCommitRequest) {
			r.Topics[0].Partitions[0].Metadata = pointer(strings.Repeat("x", 10))
		})
		m.commit("no group", v, "t", 8, byID, func(r *kmsg.OffsetCommitRequest) { r.Group = "" })
	}
	m.commit("a generation of no group", 8, "t", 1, func(r *kmsg.OffsetCommitRequest) { r.Group, r.Generation = s.n("other"), 4 })
	m.commit("a member of no group", 8, "t", 1, func(r *kmsg.OffsetCommitRequest) { r.Group, r.MemberID = s.n("other"), "x" })
	for _, v := range s.versions(kmsg.OffsetFetch) {
		req := offsetsRequest(s.n("g"), s.n("t"), false)
		req.Groups[0].Topics[0].TopicID = id
		ask[*kmsg.OffsetFetchResponse](s, "some", v, req)
		if v >= 2 {
			ask[*kmsg.OffsetFetchResponse](s, "all", v, offsetsRequest(s.n("g"), "", false))
			ask[*kmsg.OffsetFetchResponse](s, "of no group", v, offsetsRequest(s.n("none"), "", false))
		}
		unknown := offsetsRequest(s.n("g"), s.n("none"), false)
		unknown.Groups[0].Topics[0].TopicID = [16]byte{8}
		ask[*kmsg.OffsetFetchResponse](s, "unknown topic", v, unknown)
		if v >= 9 {
			claim := offsetsRequest(s.n("g"), "", false)
			claim.Groups[0].MemberID, claim.Groups[0].MemberEpoch = pointer("x"), 3
			ask[*kmsg.OffsetFetchResponse](s, "as a member", v, claim)
		}
	}
	del := kmsg.NewPtrOffsetDeleteRequest()
	del.Group = s.n("g")
	del.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: s.n("t"), Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 7}}}, {Topic: s.n("none"), Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}
	ask[*kmsg.OffsetDeleteResponse](s, "delete", 0, del)
	s.offsets("deleted", "g", "t", false)
	del.Group = s.n("none")
	ask[*kmsg.OffsetDeleteResponse](s, "of no group", 0, del)
	m.commit("commit", 8, "t", 3)
	s.delete("t")
	until(s, "the topic is gone", 7, offsetsRequest(s.n("g"), "", false), func(r *kmsg.OffsetFetchResponse) bool { return len(r.Topics) == 0 })
	for _, v := range s.versions(kmsg.FindCoordinator) {
		for _, kind := range []int8{0, 1, 2, 9} {
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.CoordinatorKey, req.CoordinatorKeys, req.CoordinatorType = s.n("g"), []string{s.n("g"), s.n("h")}, kind
			if v == 0 && kind > 0 || kind == 2 {
				continue
			}
			ask[*kmsg.FindCoordinatorResponse](s, "coordinator", v, req)
		}
	}
}
