package conformance

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// join makes a member and returns its id and generation, as the only one in its group.
func (c *conn) join(group, protocolType string) (string, int32) {
	c.t.Helper()
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = group, protocolType, 300_000, 300_000
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "any", []byte("opaque\x00bytes")
	req.Protocols = append(req.Protocols, p)
	for range 2 {
		resp := ask[*kmsg.JoinGroupResponse](c, 9, req)
		if resp.ErrorCode == 79 {
			req.MemberID = resp.MemberID
			continue
		}
		if resp.ErrorCode != 0 || resp.LeaderID != resp.MemberID || len(resp.Members) != 1 || *resp.ProtocolType != protocolType {
			c.t.Fatalf("join: %+v", resp)
		}
		return resp.MemberID, resp.Generation
	}
	c.t.Fatal("no member id")
	return "", 0
}

func (c *conn) sync(group, member string, generation int32, assignment string) *kmsg.SyncGroupResponse {
	c.t.Helper()
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	req.ProtocolType, req.Protocol = kmsg.StringPtr("connect"), kmsg.StringPtr("any")
	a := kmsg.NewSyncGroupRequestGroupAssignment()
	a.MemberID, a.MemberAssignment = member, []byte(assignment)
	req.GroupAssignment = append(req.GroupAssignment, a)
	return ask[*kmsg.SyncGroupResponse](c, 5, req)
}

func commitRequest(group, member string, generation int32, topic string, id [16]byte, offset int64, metadata string) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = topic, id
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Offset, rp.LeaderEpoch, rp.Metadata = offset, 3, &metadata
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// TestGroupLife: a group of any protocol type, over a restart, until it is deleted.
func TestGroupLife(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	id := c.create("t", 1)
	member, generation := c.join("g", "connect")
	if r := c.sync("g", member, generation, "your part"); r.ErrorCode != 0 || string(r.MemberAssignment) != "your part" {
		t.Fatalf("sync: %+v", r)
	}
	heartbeat := func(c *conn) int16 {
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.MemberID, req.Generation = "g", member, generation
		return ask[*kmsg.HeartbeatResponse](c, 4, req).ErrorCode
	}
	if code := heartbeat(c); code != 0 {
		t.Fatalf("heartbeat: %d", code)
	}
	metadata := strings.Repeat("m", 4096)
	if r := ask[*kmsg.OffsetCommitResponse](c, 10, commitRequest("g", member, generation, "t", id, 17, metadata)); r.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("commit: %+v", r)
	}
	for _, refused := range []struct {
		req  *kmsg.OffsetCommitRequest
		want int16
	}{
		{commitRequest("g", member, generation, "t", id, 18, metadata+"m"), 12},
		{commitRequest("g", member, generation+1, "t", id, 18, ""), 22},
		{commitRequest("g", "stranger", generation, "t", id, 18, ""), 25},
		{commitRequest("g", "", -1, "t", id, 18, ""), 25},
		{commitRequest("other", "", 4, "t", id, 18, ""), 69},
		{commitRequest("g", member, generation, "missing", id, 18, ""), 3},
		{commitRequest("", member, generation, "t", id, 18, ""), 24},
	} {
		if r := ask[*kmsg.OffsetCommitResponse](c, 9, refused.req); r.Topics[0].Partitions[0].ErrorCode != refused.want {
			t.Errorf("commit: code %d, want %d", r.Topics[0].Partitions[0].ErrorCode, refused.want)
		}
	}
	if r := ask[*kmsg.OffsetCommitResponse](c, 10, commitRequest("g", member, generation, "", [16]byte{1}, 18, "")); r.Topics[0].Partitions[0].ErrorCode != 100 {
		t.Errorf("commit to an unknown id: %+v", r)
	}
	b.Restart()
	c = dial(t, b.Addr())
	if code := heartbeat(c); code != 0 {
		t.Errorf("heartbeat after a restart: %d", code)
	}
	for v := int16(1); v <= 10; v++ {
		if o, m := fetchOffset(c, v, "g", "t", id); o != 17 || m != metadata {
			t.Errorf("v%d: committed is %d with %d bytes of metadata", v, o, len(m))
		}
		if v >= 2 {
			if o, _ := fetchOffset(c, v, "g", "", [16]byte{}); o != 17 {
				t.Errorf("v%d: of all, committed is %d", v, o)
			}
		}
	}
	describe := func(group string) kmsg.DescribeGroupsResponseGroup {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups = []string{group}
		return ask[*kmsg.DescribeGroupsResponse](c, 6, req).Groups[0]
	}
	d := describe("g")
	if d.State != "Stable" || d.ProtocolType != "connect" || d.Protocol != "any" || len(d.Members) != 1 ||
		string(d.Members[0].ProtocolMetadata) != "opaque\x00bytes" || string(d.Members[0].MemberAssignment) != "your part" ||
		d.Members[0].ClientID != "test" || !strings.HasPrefix(d.Members[0].ClientHost, "/127.0.0.1") {
		t.Errorf("described: %+v", d)
	}
	if d := describe("missing"); d.ErrorCode != 69 || d.State != "Dead" {
		t.Errorf("a missing group: %+v", d)
	}
	list := kmsg.NewPtrListGroupsRequest()
	list.StatesFilter = []string{"stable"}
	if r := ask[*kmsg.ListGroupsResponse](c, 5, list); len(r.Groups) != 1 || r.Groups[0].Group != "g" || r.Groups[0].GroupType != "classic" {
		t.Errorf("listed: %+v", r.Groups)
	}
	del := func() int16 {
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{"g"}
		return ask[*kmsg.DeleteGroupsResponse](c, 2, req).Groups[0].ErrorCode
	}
	if code := del(); code != 68 {
		t.Errorf("deleting a group with a member: %d", code)
	}
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group = "g"
	leave.Members = []kmsg.LeaveGroupRequestMember{{MemberID: member}, {MemberID: "stranger"}}
	if r := ask[*kmsg.LeaveGroupResponse](c, 5, leave); r.ErrorCode != 0 || r.Members[0].ErrorCode != 0 || r.Members[1].ErrorCode != 25 {
		t.Errorf("leave: %+v", r)
	}
	if r := ask[*kmsg.OffsetCommitResponse](c, 9, commitRequest("g", "", -1, "t", id, 19, "")); r.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Errorf("a commit without membership to an empty group: %+v", r)
	}
	if code := del(); code != 0 {
		t.Errorf("deleting: %d", code)
	}
	if code := del(); code != 69 {
		t.Errorf("deleting again: %d", code)
	}
	b.Restart()
	c = dial(t, b.Addr())
	if o, _ := fetchOffset(c, 7, "g", "t", id); o != -1 {
		t.Errorf("a deleted group's offset is %d", o)
	}
}

// fetchOffset returns a group's offset of partition 0 of a topic, or, without a
// topic, the only one it has.
func fetchOffset(c *conn, version int16, group, topic string, id [16]byte) (int64, string) {
	c.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	req.Group, g.Group, g.MemberEpoch = group, group, -1
	if topic != "" {
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic, Partitions: []int32{0}}}
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, TopicID: id, Partitions: []int32{0}}}
	}
	req.Groups = append(req.Groups, g)
	resp := ask[*kmsg.OffsetFetchResponse](c, version, req)
	if version >= 8 {
		p := resp.Groups[0].Topics[0].Partitions[0]
		return p.Offset, *p.Metadata
	}
	p := resp.Topics[0].Partitions[0]
	return p.Offset, *p.Metadata
}

func TestFindCoordinator(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	for v := int16(0); v <= 6; v++ {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKey, req.CoordinatorKeys = "g", []string{"g", "h"}
		resp := ask[*kmsg.FindCoordinatorResponse](c, v, req)
		if v < 4 {
			if resp.ErrorCode != 0 || resp.NodeID != 1 || resp.Host != "127.0.0.1" {
				t.Errorf("v%d: %+v", v, resp)
			}
			continue
		}
		if len(resp.Coordinators) != 2 || resp.Coordinators[1].Key != "h" || resp.Coordinators[1].NodeID != 1 || resp.Coordinators[0].ErrorCode != 0 {
			t.Errorf("v%d: %+v", v, resp.Coordinators)
		}
	}
}

// TestInternalTopics: they are made when somebody first asks for a coordinator, with
// 50 partitions; a partition takes files once a group is in it, and a group is where
// Kafka has it, which readers of the topic rely on.
func TestInternalTopics(t *testing.T) {
	dir := t.TempDir()
	c := dial(t, start(t, func(c *broker.Config) { c.DataDir = dir }).Addr())
	if r := metadata(c, 12, false); len(r.Topics) != 0 {
		t.Errorf("there are topics at the start: %+v", r.Topics)
	}
	for kind, name := range []string{"__consumer_offsets", "__transaction_state"} {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorType, req.CoordinatorKeys = int8(kind), []string{"x"}
		expect(t, "coordinator", ask[*kmsg.FindCoordinatorResponse](c, 4, req).Coordinators[0].ErrorCode, 0)
		if r := metadata(c, 12, false, name).Topics[0]; r.ErrorCode != 0 || !r.IsInternal || len(r.Partitions) != 50 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	c.join("g", "connect")
	c.create("t", 1)
	ask[*kmsg.OffsetCommitResponse](c, 8, commitRequest("other", "", -1, "t", [16]byte{}, 5, ""))
	written, err := filepath.Glob(filepath.Join(dir, "topics", "__*", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range written {
		written[i] = filepath.Base(filepath.Dir(written[i]))
	}
	if want := []string{"__consumer_offsets-26", "__consumer_offsets-3"}; !slices.Equal(written, want) {
		t.Errorf("files are in %q, want %q", written, want)
	}
	// Groups and transactions are in the partitions that they are in.
	for _, name := range []string{"__consumer_offsets", "__transaction_state"} {
		gone := kmsg.NewPtrDeleteTopicsRequest()
		gone.TopicNames = []string{name}
		expect(t, "deletion of "+name, ask[*kmsg.DeleteTopicsResponse](c, 5, gone).Topics[0].ErrorCode, 17)
		more := kmsg.NewPtrCreatePartitionsRequest()
		more.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: name, Count: 51}}
		expect(t, "a record for "+name, ask[*kmsg.ProduceResponse](c, 9, produceRequest(name, 0, -1, batch(record.Options{}, "x"))).Topics[0].Partitions[0].ErrorCode, 17)
		expect(t, "more partitions of "+name, ask[*kmsg.CreatePartitionsResponse](c, 3, more).Topics[0].ErrorCode, 17)
	}
}

func TestOffsetDelete(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	id := c.create("t", 1)
	c.create("u", 1)
	ask[*kmsg.OffsetCommitResponse](c, 9, commitRequest("g", "", -1, "t", id, 5, ""))
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = "g"
	rt := kmsg.NewOffsetDeleteRequestTopic()
	rt.Topic = "t"
	rt.Partitions = []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}
	req.Topics = append(req.Topics, rt)
	if r := ask[*kmsg.OffsetDeleteResponse](c, 0, req); r.ErrorCode != 0 || r.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Errorf("%+v", r)
	}
	if o, _ := fetchOffset(c, 7, "g", "t", id); o != -1 {
		t.Errorf("the deleted offset is %d", o)
	}
	req.Group = "missing"
	if r := ask[*kmsg.OffsetDeleteResponse](c, 0, req); r.ErrorCode != 69 {
		t.Errorf("a missing group: %+v", r)
	}
}
