package conformance

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// TestOneBroker: what tools ask of a cluster on every page, answered by one that
// has a single broker.
func TestOneBroker(t *testing.T) {
	dir := t.TempDir()
	b := start(t, func(c *broker.Config) { c.DataDir = dir })
	c := dial(t, b.Addr())
	c.create("t", 2)
	c.produce("t", batch(record.Options{}, "x"))

	dirs := ask[*kmsg.DescribeLogDirsResponse](c, 4, kmsg.NewPtrDescribeLogDirsRequest()).Dirs
	if len(dirs) != 1 || dirs[0].Dir != dir || len(dirs[0].Topics) != 1 || len(dirs[0].Topics[0].Partitions) != 2 ||
		dirs[0].Topics[0].Partitions[0].Size == 0 || dirs[0].Topics[0].Partitions[1].Size != 0 || dirs[0].UsableBytes <= 0 {
		t.Errorf("log dirs: %+v", dirs)
	}
	move := kmsg.NewPtrAlterReplicaLogDirsRequest()
	for _, d := range []string{dir, "/elsewhere"} {
		move.Dirs = append(move.Dirs, kmsg.AlterReplicaLogDirsRequestDir{Dir: d, Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: "t", Partitions: []int32{0}}}})
	}
	moved := ask[*kmsg.AlterReplicaLogDirsResponse](c, 2, move).Topics
	expect(t, "to where it is", moved[0].Partitions[0].ErrorCode, 0)
	expect(t, "elsewhere", moved[1].Partitions[0].ErrorCode, 57)

	elect := kmsg.NewPtrElectLeadersRequest()
	elect.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "t", Partitions: []int32{0, 9}}}
	elected := ask[*kmsg.ElectLeadersResponse](c, 2, elect).Topics[0].Partitions
	expect(t, "election", elected[0].ErrorCode, 84)
	expect(t, "election of nothing", elected[1].ErrorCode, 3)
	elect.Topics = nil
	if r := ask[*kmsg.ElectLeadersResponse](c, 2, elect); r.ErrorCode != 0 || len(r.Topics) != 0 {
		t.Errorf("election of all: %+v", r)
	}

	assign := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	assign.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: "t", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{
		{Partition: 0, Replicas: []int32{1}}, {Partition: 1, Replicas: []int32{1, 2}}, {Partition: 1}, {Partition: 7, Replicas: []int32{1}},
	}}}
	assigned := ask[*kmsg.AlterPartitionAssignmentsResponse](c, 0, assign).Topics[0].Partitions
	for i, want := range []int16{0, 39, 85, 3} {
		expect(t, "assignment", assigned[i].ErrorCode, want)
	}
	if r := ask[*kmsg.ListPartitionReassignmentsResponse](c, 0, kmsg.NewPtrListPartitionReassignmentsRequest()); r.ErrorCode != 0 || len(r.Topics) != 0 {
		t.Errorf("reassignments: %+v", r)
	}

	quorum := kmsg.NewPtrDescribeQuorumRequest()
	quorum.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: "__cluster_metadata", Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}}}}
	q := ask[*kmsg.DescribeQuorumResponse](c, 2, quorum)
	if p := q.Topics[0].Partitions[0]; p.LeaderID != 1 || len(p.CurrentVoters) != 1 || p.HighWatermark == 0 || len(q.Nodes) != 1 {
		t.Errorf("quorum: %+v", q)
	}

	for id, want := range map[int32]int16{1: 42, 2: 102} {
		leave := kmsg.NewPtrUnregisterBrokerRequest()
		leave.BrokerID = id
		expect(t, "unregister", ask[*kmsg.UnregisterBrokerResponse](c, 0, leave).ErrorCode, want)
	}
	for id, want := range map[string]int16{b.Unwrap().ClusterID(): 35, "another": 104} {
		add, remove := kmsg.NewPtrAddRaftVoterRequest(), kmsg.NewPtrRemoveRaftVoterRequest()
		add.ClusterID, remove.ClusterID, add.VoterID, remove.VoterID = &id, &id, 2, 1
		for v := range int16(2) {
			expect(t, "a voter more", ask[*kmsg.AddRaftVoterResponse](c, v, add).ErrorCode, want)
		}
		expect(t, "a voter less", ask[*kmsg.RemoveRaftVoterResponse](c, 0, remove).ErrorCode, want)
	}

	update := kmsg.NewPtrUpdateFeaturesRequest()
	for name, level := range map[string]int16{"transaction.version": 2, "group.version": 7} {
		update.FeatureUpdates = []kmsg.UpdateFeaturesRequestFeatureUpdate{{Feature: name, MaxVersionLevel: level, UpgradeType: 1}}
		want := map[string]int16{"transaction.version": 0, "group.version": 95}[name]
		for v := int16(0); v <= 2; v++ {
			expect(t, name, ask[*kmsg.UpdateFeaturesResponse](c, v, update).ErrorCode, want)
		}
	}

	list := kmsg.NewPtrListConfigResourcesRequest()
	if r := ask[*kmsg.ListConfigResourcesResponse](c, 0, list); r.ErrorCode != 0 || len(r.ConfigResources) != 0 {
		t.Errorf("client metrics: %+v", r)
	}
	if r := ask[*kmsg.ListConfigResourcesResponse](c, 1, list); len(r.ConfigResources) != 3 {
		t.Errorf("resources: %+v", r)
	}
	list.ResourceTypes = []int8{3}
	expect(t, "an unknown type", ask[*kmsg.ListConfigResourcesResponse](c, 1, list).ErrorCode, 35)
}

func TestDescribeTopicPartitions(t *testing.T) {
	c := dial(t, start(t).Addr())
	for _, name := range []string{"a", "b", "c"} {
		c.create(name, 3)
	}
	var got []string
	var cursor *kmsg.DescribeTopicPartitionsRequestCursor
	for range 10 {
		req := kmsg.NewPtrDescribeTopicPartitionsRequest()
		req.ResponsePartitionLimit, req.Cursor = 2, cursor
		r := ask[*kmsg.DescribeTopicPartitionsResponse](c, 0, req)
		for _, rt := range r.Topics {
			for _, p := range rt.Partitions {
				got = append(got, *rt.Topic+string('0'+p.Partition))
			}
		}
		if r.NextCursor == nil {
			break
		}
		cursor = &kmsg.DescribeTopicPartitionsRequestCursor{}
		cursor.Topic, cursor.Partition = r.NextCursor.Topic, r.NextCursor.Partition
	}
	want := "[a0 a1 a2 b0 b1 b2 c0 c1 c2]"
	if s := "[" + join(got) + "]"; s != want {
		t.Errorf("the pages have %s, want %s", s, want)
	}
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.Topics = []kmsg.DescribeTopicPartitionsRequestTopic{{Topic: "missing"}, {Topic: "b"}, {Topic: "b"}}
	r := ask[*kmsg.DescribeTopicPartitionsResponse](c, 0, req)
	if len(r.Topics) != 2 || r.Topics[0].ErrorCode != 0 || r.Topics[1].ErrorCode != 3 {
		t.Errorf("%+v", r.Topics)
	}
}

func join(s []string) (out string) {
	for i, v := range s {
		if i > 0 {
			out += " "
		}
		out += v
	}
	return out
}
