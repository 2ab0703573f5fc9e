package conformance

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// member is a member of a group of the consumer protocol, and what it owns.
type member struct {
	*conn
	group, id string
	epoch     int32
	owned     []kmsg.ConsumerGroupHeartbeatRequestTopic
}

// joining is the first heartbeat of a member.
func joining(group, id string, topics ...string) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.RebalanceTimeoutMillis = group, id, 300_000
	req.SubscribedTopicNames, req.Topics = topics, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return req
}

// enter joins a group.
func (c *conn) enter(group, id string, topics ...string) *member {
	c.t.Helper()
	m := &member{conn: c, group: group, id: id}
	m.take(ask[*kmsg.ConsumerGroupHeartbeatResponse](c, 1, joining(group, id, topics...)))
	return m
}

// beat sends a heartbeat and does what is answered.
func (m *member) beat() {
	m.t.Helper()
	m.take(m.heartbeat())
}

// heartbeat sends a heartbeat that says what the member owns.
func (m *member) heartbeat() *kmsg.ConsumerGroupHeartbeatResponse {
	m.t.Helper()
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch, req.Topics = m.group, m.id, m.epoch, m.owned
	return ask[*kmsg.ConsumerGroupHeartbeatResponse](m.conn, 1, req)
}

// leave leaves the group, for good or for a while.
func (m *member) leave(epoch int32) int16 {
	m.t.Helper()
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = m.group, m.id, epoch
	return ask[*kmsg.ConsumerGroupHeartbeatResponse](m.conn, 1, req).ErrorCode
}

// take does what an answer says.
func (m *member) take(resp *kmsg.ConsumerGroupHeartbeatResponse) {
	m.t.Helper()
	if resp.ErrorCode != 0 {
		message := ""
		if resp.ErrorMessage != nil {
			message = *resp.ErrorMessage
		}
		m.t.Fatalf("heartbeat of %s: %d %s", m.id, resp.ErrorCode, message)
	}
	if *resp.MemberID != m.id || resp.HeartbeatIntervalMillis == 0 {
		m.t.Fatalf("heartbeat of %s: %+v", m.id, resp)
	}
	m.epoch = resp.MemberEpoch
	if resp.Assignment != nil {
		m.owned = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		for _, t := range resp.Assignment.Topics {
			m.owned = append(m.owned, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
		}
	}
}

// owns is the number of partitions a member owns.
func (m *member) owns() (n int) {
	for _, t := range m.owned {
		n += len(t.Partitions)
	}
	return n
}

func (c *conn) describeConsumer(group string) kmsg.ConsumerGroupDescribeResponseGroup {
	c.t.Helper()
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = []string{group}
	return ask[*kmsg.ConsumerGroupDescribeResponse](c, 1, req).Groups[0]
}

// listed shows the groups of the listing that filters leave.
func (c *conn) listed(states, types []string) string {
	c.t.Helper()
	req := kmsg.NewPtrListGroupsRequest()
	req.StatesFilter, req.TypesFilter = states, types
	var out []string
	for _, g := range ask[*kmsg.ListGroupsResponse](c, 5, req).Groups {
		out = append(out, fmt.Sprintf("%s %s %s %s", g.Group, g.GroupType, g.ProtocolType, g.GroupState))
	}
	return strings.Join(out, ", ")
}

// TestConsumerGroupLife: two members of the consumer protocol, over restarts, until
// the group is deleted.
func TestConsumerGroupLife(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	id := c.create("t", 4)
	first := c.enter("g", "a", "t")
	if first.epoch != 1 || first.owns() != 4 {
		t.Fatalf("the only member: %+v", first)
	}
	second := c.enter("g", "b", "t")
	first.beat() // is told what to revoke
	if second.epoch != 2 || second.owns() != 0 || first.epoch != 1 || first.owns() != 2 {
		t.Fatalf("before the first one has revoked: %+v, %+v", first, second)
	}
	b.Restart()
	c = dial(t, b.Addr())
	first.conn, second.conn = c, c
	first.beat() // has revoked
	second.beat()
	if second.epoch != 2 || second.owns() != 2 || first.epoch != 2 {
		t.Fatalf("after it: %+v, %+v", first, second)
	}
	d := c.describeConsumer("g")
	if d.State != "Stable" || d.Epoch != 2 || d.AssignmentEpoch != 2 || d.AssignorName != "uniform" || len(d.Members) != 2 {
		t.Fatalf("described: %+v", d)
	}
	if m := d.Members[0]; m.MemberID != "a" || m.ClientID != "test" || !strings.HasPrefix(m.ClientHost, "/127.0.0.1") || m.MemberType != 1 || m.MemberEpoch != 2 ||
		!slices.Equal(m.SubscribedTopics, []string{"t"}) || len(m.Assignment.TopicPartitions) != 1 || m.Assignment.TopicPartitions[0].Topic != "t" ||
		m.Assignment.TopicPartitions[0].TopicID != id || len(m.TargetAssignment.TopicPartitions[0].Partitions) != 2 {
		t.Errorf("described: %+v", m)
	}
	if d := c.describeConsumer("missing"); d.ErrorCode != 69 {
		t.Errorf("a missing group: %+v", d)
	}
	classic := kmsg.NewPtrDescribeGroupsRequest()
	classic.Groups = []string{"g"}
	if r := ask[*kmsg.DescribeGroupsResponse](c, 6, classic).Groups[0]; r.ErrorCode != 69 || r.State != "Dead" {
		t.Errorf("described as a classic group: %+v", r)
	}
	c.join("old", "connect")
	for _, l := range []struct{ got, want string }{
		{c.listed(nil, []string{"Consumer"}), "g consumer consumer Stable"},
		{c.listed([]string{"stable"}, nil), "g consumer consumer Stable"},
		{c.listed(nil, []string{"classic"}), "old classic connect CompletingRebalance"},
		{c.listed([]string{"Reconciling"}, nil), ""},
	} {
		if l.got != l.want {
			t.Errorf("listed: %q, want %q", l.got, l.want)
		}
	}
	consumerOffsets(t, c, first, id)
	del := func(group string) int16 {
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{group}
		return ask[*kmsg.DeleteGroupsResponse](c, 2, req).Groups[0].ErrorCode
	}
	expect(t, "deleting a group with members", del("g"), 68)
	expect(t, "leaving", first.leave(-1), 0)
	expect(t, "leaving again", first.leave(-1), 25)
	second.beat()
	if second.epoch != 3 || second.owns() != 4 {
		t.Errorf("alone: %+v", second)
	}
	expect(t, "leaving", second.leave(-1), 0)
	if got := c.listed(nil, []string{"consumer"}); got != "g consumer consumer Empty" {
		t.Errorf("without members: %q", got)
	}
	expect(t, "deleting", del("g"), 0)
	b.Restart()
	c = dial(t, b.Addr())
	if got := c.listed(nil, []string{"consumer"}); got != "" {
		t.Errorf("after a restart: %q", got)
	}
	expect(t, "a stranger", (&member{conn: c, group: "g", id: "x", epoch: 3}).leave(-1), 69)
}

// consumerOffsets: commits and fetches by members of the consumer protocol.
func consumerOffsets(t *testing.T, c *conn, m *member, id [16]byte) {
	t.Helper()
	for _, tt := range []struct {
		version int16
		member  string
		epoch   int32
		want    int16
	}{
		{9, m.id, m.epoch, 0}, {10, m.id, m.epoch, 0}, {9, m.id, m.epoch + 1, 113},
		{9, m.id, m.epoch - 1, 0}, // it has held the partition since then
		{9, m.id, 0, 113},
		{9, "x", m.epoch, 25}, {9, "", -1, 25}, {8, m.id, m.epoch, 35},
	} {
		r := ask[*kmsg.OffsetCommitResponse](c, tt.version, commitRequest("g", tt.member, tt.epoch, "t", id, 7, ""))
		if got := r.Topics[0].Partitions[0].ErrorCode; got != tt.want {
			t.Errorf("commit v%d by %q of epoch %d: code %d, want %d", tt.version, tt.member, tt.epoch, got, tt.want)
		}
	}
	for _, tt := range []struct {
		member *string
		epoch  int32
		want   int16
	}{{nil, -1, 0}, {&m.id, m.epoch, 0}, {&m.id, m.epoch - 1, 113}, {kmsg.StringPtr("x"), 1, 25}} {
		req := kmsg.NewPtrOffsetFetchRequest()
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.MemberID, g.MemberEpoch = "g", tt.member, tt.epoch
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}
		req.Groups = append(req.Groups, g)
		r := ask[*kmsg.OffsetFetchResponse](c, 9, req).Groups[0]
		if r.ErrorCode != tt.want || (tt.want == 0 && r.Topics[0].Partitions[0].Offset != 7) {
			t.Errorf("fetch by %v of epoch %d: %+v, want code %d", tt.member, tt.epoch, r, tt.want)
		}
	}
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = "g"
	req.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}
	expect(t, "deleting an offset of a subscribed topic", ask[*kmsg.OffsetDeleteResponse](c, 0, req).Topics[0].Partitions[0].ErrorCode, 86)
}

// TestConsumerGroupRecords: the group is in the internal topic as Kafka writes it.
func TestConsumerGroupRecords(t *testing.T) {
	b := start(t, func(cfg *broker.Config) { cfg.OffsetsPartitions = 1 })
	c := dial(t, b.Addr())
	c.create("topic", 1)
	req := joining("g", "m")
	req.SubscribedTopicNames, req.SubscribedTopicRegex = nil, kmsg.StringPtr("top.*")
	ask[*kmsg.ConsumerGroupHeartbeatResponse](c, 1, req)
	kinds := func(tombstones bool) (out []uint16) {
		f := fetchRequest("__consumer_offsets", 0)
		batches := fetchOne(c, 11, f).RecordBatches
		record.Each(batches, func(b []byte) bool {
			var r record.Reader
			if err := r.Reset(b, 0); err != nil {
				t.Fatal(err)
			}
			var rec record.Record
			for r.Next(&rec) {
				if (rec.Value == nil) == tombstones {
					out = append(out, binary.BigEndian.Uint16(rec.Key))
				}
				if rec.Value != nil && binary.BigEndian.Uint16(rec.Value) != 0 {
					t.Errorf("a value of version %d", binary.BigEndian.Uint16(rec.Value))
				}
			}
			return true
		})
		return out
	}
	if got := kinds(false); !slices.Equal(got, []uint16{5, 16, 3, 7, 6, 8}) {
		t.Errorf("the records of a group are of the kinds %v", got)
	}
	expect(t, "leaving", (&member{conn: c, group: "g", id: "m"}).leave(-1), 0)
	del := kmsg.NewPtrDeleteGroupsRequest()
	del.Groups = []string{"g"}
	expect(t, "deleting", ask[*kmsg.DeleteGroupsResponse](c, 2, del).Groups[0].ErrorCode, 0)
	if got := kinds(true); !slices.Equal(got, []uint16{8, 7, 5, 16, 6, 3}) {
		t.Errorf("its tombstones are of the kinds %v", got)
	}
}

// classicConsumer joins a group as a consumer of the classic protocol, and returns
// the answer.
func (c *conn) classicConsumer(group, id, topic string, owned ...int32) *kmsg.JoinGroupResponse {
	c.t.Helper()
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Version, meta.Topics = 1, []string{topic}
	if owned != nil {
		meta.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: topic, Partitions: owned}}
	}
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = group, id, "consumer", 300_000, 300_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "cooperative-sticky", Metadata: meta.AppendTo(nil)}}
	resp := ask[*kmsg.JoinGroupResponse](c, 9, req)
	if resp.ErrorCode == 79 {
		req.MemberID = resp.MemberID
		resp = ask[*kmsg.JoinGroupResponse](c, 9, req)
	}
	if resp.ErrorCode != 0 {
		c.t.Fatalf("join: %+v", resp)
	}
	return resp
}

// fetchAssignment syncs a classic consumer, which assigns partitions to itself if it
// leads, and returns its partitions.
func (c *conn) fetchAssignment(group string, joined *kmsg.JoinGroupResponse, assign ...int32) []int32 {
	c.t.Helper()
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation = group, joined.MemberID, joined.Generation
	req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), joined.Protocol
	if joined.LeaderID == joined.MemberID {
		a := kmsg.NewConsumerMemberAssignment()
		a.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: "t", Partitions: assign}}
		req.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID, MemberAssignment: a.AppendTo(nil)}}
	}
	resp := ask[*kmsg.SyncGroupResponse](c, 5, req)
	var got kmsg.ConsumerMemberAssignment
	if resp.ErrorCode != 0 || got.ReadFrom(resp.MemberAssignment) != nil {
		c.t.Fatalf("sync: %+v", resp)
	}
	if len(got.Topics) == 0 {
		return nil
	}
	return got.Topics[0].Partitions
}

func (c *conn) classicHeartbeat(group string, joined *kmsg.JoinGroupResponse) int16 {
	c.t.Helper()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = group, joined.MemberID, joined.Generation
	return ask[*kmsg.HeartbeatResponse](c, 4, req).ErrorCode
}

// TestMigration: a classic group becomes a consumer group as a member of the
// consumer protocol joins, and a classic one again when it leaves. Its offsets
// stay, and the classic member goes on consuming what it may keep.
func TestMigration(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	id := c.create("t", 4)
	old := c.classicConsumer("g", "", "t")
	if got := c.fetchAssignment("g", old, 0, 1, 2, 3); len(got) != 4 {
		t.Fatalf("alone it has %v", got)
	}
	if r := ask[*kmsg.OffsetCommitResponse](c, 8, commitRequest("g", old.MemberID, old.Generation, "t", id, 5, "")); r.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("commit: %+v", r)
	}
	modern := c.enter("g", "new", "t")
	if modern.epoch != old.Generation+1 || modern.owns() != 0 {
		t.Errorf("joined: %+v", modern)
	}
	if got := c.listed(nil, nil); got != "g consumer consumer Reconciling" {
		t.Errorf("after the upgrade: %q", got)
	}
	expect(t, "the classic member's heartbeat", c.classicHeartbeat("g", old), 27)
	b.Restart()
	c = dial(t, b.Addr())
	modern.conn = c
	old = c.classicConsumer("g", old.MemberID, "t", 0, 1, 2, 3)
	kept := c.fetchAssignment("g", old)
	if len(kept) != 2 {
		t.Errorf("it keeps %v", kept)
	}
	old = c.classicConsumer("g", old.MemberID, "t", kept...)
	modern.beat()
	if modern.owns() != 2 || old.Generation != modern.epoch {
		t.Errorf("shared: %+v, %+v", modern, old)
	}
	if again := c.fetchAssignment("g", old); !slices.Equal(again, kept) {
		t.Errorf("it has %v after %v", again, kept)
	}
	expect(t, "its heartbeat", c.classicHeartbeat("g", old), 0)
	for _, m := range c.describeConsumer("g").Members {
		if want := map[string]int8{"new": 1}[m.MemberID]; m.MemberType != want {
			t.Errorf("%s is of type %d", m.MemberID, m.MemberType)
		}
	}
	if o, _ := fetchOffset(c, 9, "g", "t", id); o != 5 {
		t.Errorf("the offset is %d", o)
	}
	// Back: the last member of the consumer protocol leaves.
	expect(t, "leaving", modern.leave(-1), 0)
	if got := c.listed(nil, nil); got != "g classic consumer PreparingRebalance" {
		t.Errorf("after the downgrade: %q", got)
	}
	expect(t, "the classic member's heartbeat", c.classicHeartbeat("g", old), 27)
	b.Restart()
	c = dial(t, b.Addr())
	old = c.classicConsumer("g", old.MemberID, "t", kept...)
	if got := c.fetchAssignment("g", old, 0, 1, 2, 3); len(got) != 4 {
		t.Errorf("alone again it has %v", got)
	}
	if o, _ := fetchOffset(c, 7, "g", "t", id); o != 5 {
		t.Errorf("the offset is %d", o)
	}
	// A group without members changes over by whoever joins.
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group, leave.Members = "g", []kmsg.LeaveGroupRequestMember{{MemberID: old.MemberID}}
	expect(t, "leaving", ask[*kmsg.LeaveGroupResponse](c, 5, leave).Members[0].ErrorCode, 0)
	modern = c.enter("g", "new", "t")
	if modern.owns() != 4 {
		t.Errorf("joined: %+v", modern)
	}
	expect(t, "leaving", modern.leave(-1), 0)
	old = c.classicConsumer("g", "", "t")
	if old.LeaderID != old.MemberID {
		t.Errorf("joined: %+v", old)
	}
	if o, _ := fetchOffset(c, 7, "g", "t", id); o != 5 {
		t.Errorf("the offset is %d", o)
	}
}

// TestMigrationRefused: groups that cannot change over, by their type or because
// the broker's policy forbids it.
func TestMigrationRefused(t *testing.T) {
	b := start(t, func(cfg *broker.Config) { cfg.GroupConsumerMigrationPolicy = "disabled" })
	c := dial(t, b.Addr())
	c.create("t", 4)
	c.join("connect", "connect")
	c.classicConsumer("classic", "", "t")
	for _, group := range []string{"connect", "classic"} {
		expect(t, group, ask[*kmsg.ConsumerGroupHeartbeatResponse](c, 1, joining(group, "m", "t")).ErrorCode, 69)
	}
	m := c.enter("modern", "m", "t")
	old := c.classicConsumer("modern", "", "t")
	expect(t, "leaving", m.leave(-1), 0)
	if got := c.listed(nil, []string{"consumer"}); got != "modern consumer consumer Assigning" {
		t.Errorf("without a downgrade: %q", got)
	}
	expect(t, "the classic member", c.classicHeartbeat("modern", old), 27)
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = "modern", "connect", 300_000, 300_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "any", Metadata: []byte("x")}}
	expect(t, "another type", ask[*kmsg.JoinGroupResponse](c, 9, req).ErrorCode, 23)
}

// TestGroupConfigs: a group may have its own timeouts, within bounds.
func TestGroupConfigs(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	alter := func(name, value string) int16 {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: "g",
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: name, Value: &value}}}}
		return ask[*kmsg.IncrementalAlterConfigsResponse](c, 1, req).Resources[0].ErrorCode
	}
	expect(t, "below the least", alter("consumer.heartbeat.interval.ms", "1000"), 40)
	expect(t, "above the most", alter("consumer.session.timeout.ms", "61000"), 40)
	expect(t, "not a number", alter("consumer.session.timeout.ms", "long"), 40)
	expect(t, "unknown", alter("retention.ms", "1"), 40)
	expect(t, "set", alter("consumer.heartbeat.interval.ms", "7000"), 0)
	for range 2 { // and after a restart
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeGroupConfig, ResourceName: "g"}}
		var got []string
		for _, cfg := range ask[*kmsg.DescribeConfigsResponse](c, 4, req).Resources[0].Configs {
			got = append(got, fmt.Sprintf("%s=%s %d", cfg.Name, *cfg.Value, cfg.Source))
		}
		if want := []string{"consumer.heartbeat.interval.ms=7000 8", "consumer.session.timeout.ms=45000 5"}; !slices.Equal(got, want) {
			t.Errorf("described: %q", got)
		}
		for group, want := range map[string]int32{"g": 7000, "other": 5000} {
			if r := ask[*kmsg.ConsumerGroupHeartbeatResponse](c, 1, joining(group, "m", "t")); r.HeartbeatIntervalMillis != want {
				t.Errorf("%s: an interval of %d ms", group, r.HeartbeatIntervalMillis)
			}
		}
		list := kmsg.NewPtrListConfigResourcesRequest()
		list.ResourceTypes = []int8{32}
		if r := ask[*kmsg.ListConfigResourcesResponse](c, 1, list).ConfigResources; len(r) != 1 || r[0].Name != "g" {
			t.Errorf("listed: %+v", r)
		}
		b.Restart()
		c = dial(t, b.Addr())
	}
}

// TestConsumerGroupRights: topics that a principal may not describe do not match
// its expression, and are not named to it.
func TestConsumerGroupRights(t *testing.T) {
	b := start(t, secured)
	root := loggedIn(t, b.Addr(), "admin", "secret")
	root.create("open", 1)
	root.create("closed", 1)
	acl := kmsg.NewPtrCreateACLsRequest()
	for _, rule := range []struct {
		typ  kmsg.ACLResourceType
		name string
	}{{2, "open"}, {3, "g"}} { // topic and group
		acl.Creations = append(acl.Creations, kmsg.CreateACLsRequestCreation{ResourceType: rule.typ, ResourceName: rule.name, ResourcePatternType: 3, Principal: "User:alice", Host: "*", Operation: 3, PermissionType: 3})
	}
	ask[*kmsg.CreateACLsResponse](root, 3, acl)
	alice := loggedIn(t, b.Addr(), "alice", "wonder")
	expect(t, "a topic it may not read", ask[*kmsg.ConsumerGroupHeartbeatResponse](alice, 1, joining("g", "m", "open", "closed")).ErrorCode, 29)
	expect(t, "another group", ask[*kmsg.ConsumerGroupHeartbeatResponse](alice, 1, joining("h", "m", "open")).ErrorCode, 30)
	req := joining("g", "m")
	req.SubscribedTopicNames, req.SubscribedTopicRegex = nil, kmsg.StringPtr("open|closed")
	if r := ask[*kmsg.ConsumerGroupHeartbeatResponse](alice, 1, req); r.ErrorCode != 0 || len(r.Assignment.Topics) != 1 {
		t.Errorf("by expression: %+v", r)
	}
	if d := alice.describeConsumer("g"); d.ErrorCode != 0 || *d.Members[0].SubscribedTopicRegex != "open|closed" {
		t.Errorf("described: %+v", d)
	}
	root.enter("g", "other", "closed")
	if d := alice.describeConsumer("g"); d.ErrorCode != 29 || len(d.Members) != 0 {
		t.Errorf("with a topic it may not know of: %+v", d)
	}
	if d := root.describeConsumer("g"); d.ErrorCode != 0 || len(d.Members) != 2 {
		t.Errorf("described: %+v", d)
	}
}

// TestConsumerSessionTimeout: a member that is silent is removed, also when it was
// there before a restart.
func TestConsumerSessionTimeout(t *testing.T) {
	const session = 3 * time.Second
	b := start(t, func(cfg *broker.Config) {
		cfg.GroupConsumerSessionTimeout, cfg.GroupConsumerHeartbeatInterval = session, 50*time.Millisecond
	})
	c := dial(t, b.Addr())
	c.create("t", 2)
	c.enter("g", "silent", "t")
	b.Restart()
	c = dial(t, b.Addr())
	heard, again := time.Now(), false
	m := c.enter("g", "m", "t")
	for deadline := time.Now().Add(2 * time.Minute); m.owns() < 2; {
		if time.Now().After(deadline) {
			t.Fatalf("it has %d partitions: %+v", m.owns(), c.describeConsumer("g"))
		}
		began := time.Now()
		resp := m.heartbeat()
		if resp.ErrorCode == kerr.UnknownMemberID.Code && time.Since(heard) > session { // the machine stood still
			heard, again = time.Now(), true
			m = c.enter("g", "m", "t")
			continue
		}
		m.take(resp)
		heard = began
	}
	d := c.describeConsumer("g")
	if len(d.Members) != 1 || d.Members[0].MemberID != "m" {
		t.Errorf("the members are %+v", d.Members)
	}
	if m.epoch != 3 && !again {
		t.Errorf("its epoch is %d", m.epoch)
	}
}
