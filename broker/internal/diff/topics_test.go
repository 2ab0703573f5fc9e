package diff

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The scenarios of topics, their settings, and what is asked of a cluster.

func apiVersions(s *session) {
	for _, v := range s.versions(kmsg.ApiVersions) {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = "diff", "1"
		resp := ask[*kmsg.ApiVersionsResponse](s, "", v, req)
		_ = resp
	}
	for _, name := range []string{"", "-x", "x y", "x", strings.Repeat("x", 300)} {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = name, "1"
		ask[*kmsg.ApiVersionsResponse](s, "a client called "+name[:min(len(name), 5)], 3, req)
	}
	s.raw("an unknown version", frame(18, 99, 7))
	s.raw("an unknown version of another request", frame(3, 99, 7))
	s.raw("an unknown request", frame(999, 0, 7))
	s.raw("Produce v2", frame(0, 2, 7))
}

// frame is a request without a body, its header closed by an empty list of tags.
func frame(key, version int16, correlation int32) []byte {
	b := []byte{0, 0, 0, 11, byte(key >> 8), byte(key), byte(version >> 8), byte(version)}
	return append(b, byte(correlation>>24), byte(correlation>>16), byte(correlation>>8), byte(correlation), 0xff, 0xff, 0)
}

func metadata(s *session) {
	id := s.create("a", 2)
	s.create("b", 1)
	for _, v := range s.versions(kmsg.Metadata) {
		req := metadataRequest(s.n("a"), s.n("none"), "bad name", "", "..")
		req.AllowAutoTopicCreation = false
		if v < 4 {
			req.Topics = req.Topics[:1] // it would be created
		}
		ask[*kmsg.MetadataResponse](s, "some", v, req)
		none := metadataRequest()
		if v > 0 {
			ask[*kmsg.MetadataResponse](s, "none", v, none)
		}
		if v >= 12 {
			byID := metadataRequest("x", "y")
			byID.Topics[0].Topic, byID.Topics[0].TopicID = nil, id
			byID.Topics[1].Topic, byID.Topics[1].TopicID = nil, [16]byte{9}
			ask[*kmsg.MetadataResponse](s, "by id", v, byID)
		}
		if v >= 8 {
			ops := metadataRequest(s.n("b"))
			ops.IncludeClusterAuthorizedOperations, ops.IncludeTopicAuthorizedOperations = true, true
			ask[*kmsg.MetadataResponse](s, "operations", v, ops)
		}
	}
	create := metadataRequest(s.n("made"))
	create.AllowAutoTopicCreation = true
	until(s, "created on demand", 9, create, func(r *kmsg.MetadataResponse) bool {
		return r.Topics[0].ErrorCode == 0 && len(r.Topics[0].Partitions) > 0
	})
	never := metadataRequest("bad/name")
	never.AllowAutoTopicCreation = true
	ask[*kmsg.MetadataResponse](s, "not created", 9, never)

	for _, v := range s.versions(kmsg.DescribeCluster) {
		for _, endpoint := range []int8{1, 2} {
			req := kmsg.NewPtrDescribeClusterRequest()
			req.EndpointType, req.IncludeClusterAuthorizedOperations = endpoint, true
			ask[*kmsg.DescribeClusterResponse](s, "the cluster", v, req)
		}
	}
	pages := kmsg.NewPtrDescribeTopicPartitionsRequest()
	pages.ResponsePartitionLimit = 2
	for _, name := range []string{"b", "a", "none", "a"} {
		pages.Topics = append(pages.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: s.n(name)})
	}
	ask[*kmsg.DescribeTopicPartitionsResponse](s, "a page", 0, pages)
	pages.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: s.n("a"), Partition: 1}
	ask[*kmsg.DescribeTopicPartitionsResponse](s, "the next", 0, pages)
	pages.Cursor.Partition = -1
	ask[*kmsg.DescribeTopicPartitionsResponse](s, "a bad cursor", 0, pages)
	pages.Cursor, pages.ResponsePartitionLimit = nil, 0
	ask[*kmsg.DescribeTopicPartitionsResponse](s, "no limit", 0, pages)
}

func createTopics(s *session) {
	for _, v := range s.versions(kmsg.CreateTopics) {
		req := createRequest(s.n("v"+string('0'+rune(v))), 2, "cleanup.policy", "compact")
		if v < 4 {
			req.Topics[0].ReplicationFactor = 1
		}
		ask[*kmsg.CreateTopicsResponse](s, "new", v, req)
		ask[*kmsg.CreateTopicsResponse](s, "again", v, req)
	}
	s.create("taken.name", 1)
	type edit = func(*kmsg.CreateTopicsRequest)
	for _, c := range []struct {
		name string
		edit edit
	}{
		{"empty name", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].Topic = "" }},
		{"dot", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].Topic = "." }},
		{"bad characters", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].Topic = "a b" }},
		{"long name", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].Topic = strings.Repeat("x", 250) }},
		{"collides", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].Topic = s.n("taken_name") }},
		{"internal", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].Topic = "__cluster_metadata" }},
		{"no partitions", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].NumPartitions = 0 }},
		{"partitions -2", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].NumPartitions = -2 }},
		{"default partitions", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].NumPartitions = -1 }},
		{"no replicas", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].ReplicationFactor = 0 }},
		{"replicas -2", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].ReplicationFactor = -2 }},
		{"three replicas", func(r *kmsg.CreateTopicsRequest) { r.Topics[0].ReplicationFactor = 3 }},
		{"twice", func(r *kmsg.CreateTopicsRequest) { r.Topics = append(r.Topics, r.Topics[0]) }},
		{"only validated", func(r *kmsg.CreateTopicsRequest) { r.ValidateOnly = true }},
		{"unknown config", config("no.such.thing", "1")},
		{"bad number", config("retention.ms", "x")},
		{"number too low", config("segment.bytes", "1")},
		{"bad choice", config("cleanup.policy", "archive")},
		{"null value", func(r *kmsg.CreateTopicsRequest) {
			r.Topics[0].Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "retention.ms"}}
		}},
		{"both policies", config("cleanup.policy", "compact,delete")},
		{"an unclean ratio", config("min.cleanable.dirty.ratio", "2")},
		{"one config twice", func(r *kmsg.CreateTopicsRequest) {
			config("retention.ms", "1")(r)
			r.Topics[0].Configs = append(r.Topics[0].Configs, r.Topics[0].Configs[0])
		}},
		{"assignment", assignment(false, []int32{1}, []int32{1})},
		{"assignment and counts", assignment(true, []int32{1})},
		{"assignment to nobody", assignment(false, []int32{77})},
		{"assignment with gaps", func(r *kmsg.CreateTopicsRequest) {
			assignment(false, []int32{1}, []int32{1})(r)
			r.Topics[0].ReplicaAssignment[1].Partition = 5
		}},
		{"assignment of none", assignment(false, []int32{})},
		{"replica twice", assignment(false, []int32{1, 1})},
		{"taken, and assigned to nobody", both(rename(s.n("taken.name")), assignment(false, []int32{77}))},
		{"taken, and without partitions", both(rename(s.n("taken.name")), func(r *kmsg.CreateTopicsRequest) { r.Topics[0].NumPartitions = 0 })},
		{"taken, with a bad config", both(rename(s.n("taken.name")), config("retention.ms", "x"))},
		{"a bad config, and assigned to nobody", both(config("retention.ms", "x"), assignment(false, []int32{77}))},
		{"a bad config, and no partitions", both(config("retention.ms", "x"), func(r *kmsg.CreateTopicsRequest) { r.Topics[0].NumPartitions = 0 })},
	} {
		req := createRequest(s.n("new-"+strings.ReplaceAll(c.name, " ", "-")), 1)
		c.edit(req)
		resp := ask[*kmsg.CreateTopicsResponse](s, c.name, 7, req)
		if resp != nil && c.name == "only validated" {
			ask[*kmsg.MetadataResponse](s, "it is not there", 9, metadataRequest(req.Topics[0].Topic))
		}
	}
	grow := func(label string, count int32, more ...[]int32) {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.TimeoutMillis = 5000
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = s.n("v7"), count
		for _, replicas := range more {
			t.Assignment = append(t.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: replicas})
		}
		req.Topics = append(req.Topics, t)
		for _, v := range s.versions(kmsg.CreatePartitions) {
			req.ValidateOnly = v < 3
			ask[*kmsg.CreatePartitionsResponse](s, label, v, req)
		}
	}
	s.await("v7", 2)
	grow("one more", 3)
	s.await("v7", 3)
	grow("fewer", 1)
	grow("as many", 3)
	grow("none", 0)
	grow("a bad assignment", 5, []int32{1})
	grow("an unknown broker", 4, []int32{9})
	grow("an assignment", 4, []int32{1})

	for _, v := range s.versions(kmsg.DeleteTopics) {
		name := "v" + string('0'+rune(v))
		if v < 2 {
			name = "none"
		}
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis = 5000
		req.TopicNames = []string{s.n(name), s.n("nothing")}
		for _, n := range req.TopicNames {
			req.Topics = append(req.Topics, kmsg.DeleteTopicsRequestTopic{Topic: pointer(n)})
		}
		if v >= 6 {
			req.Topics = append(req.Topics, kmsg.DeleteTopicsRequestTopic{TopicID: [16]byte{4}})
		}
		ask[*kmsg.DeleteTopicsResponse](s, "delete", v, req)
	}
}

func rename(name string) func(*kmsg.CreateTopicsRequest) {
	return func(r *kmsg.CreateTopicsRequest) { r.Topics[0].Topic = name }
}

func both(a, b func(*kmsg.CreateTopicsRequest)) func(*kmsg.CreateTopicsRequest) {
	return func(r *kmsg.CreateTopicsRequest) {
		a(r)
		b(r)
	}
}

func config(name, value string) func(*kmsg.CreateTopicsRequest) {
	return func(r *kmsg.CreateTopicsRequest) {
		r.Topics[0].Configs = append(r.Topics[0].Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: &value})
	}
}

func assignment(counts bool, replicas ...[]int32) func(*kmsg.CreateTopicsRequest) {
	return func(r *kmsg.CreateTopicsRequest) {
		if !counts {
			r.Topics[0].NumPartitions, r.Topics[0].ReplicationFactor = -1, -1
		}
		for i, on := range replicas {
			r.Topics[0].ReplicaAssignment = append(r.Topics[0].ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: on})
		}
	}
}

func configs(s *session) {
	s.create("t", 1, "retention.ms", "1000", "cleanup.policy", "delete")
	describe := func(label string, kind kmsg.ConfigResourceType, name string, names []string, version int16, settled func(*kmsg.DescribeConfigsResponse) bool) {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.IncludeSynonyms, req.IncludeDocumentation = true, false
		req.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name, ConfigNames: names}}
		until(s, label, version, req, settled)
	}
	anyway := func(*kmsg.DescribeConfigsResponse) bool { return true }
	for _, v := range s.versions(kmsg.DescribeConfigs) {
		describe("some", kmsg.ConfigResourceTypeTopic, s.n("t"), []string{"retention.ms", "cleanup.policy", "segment.bytes", "no.such"}, v, anyway)
	}
	last := s.last(kmsg.DescribeConfigs)
	describe("all", kmsg.ConfigResourceTypeTopic, s.n("t"), nil, last, anyway)
	describe("unknown", kmsg.ConfigResourceTypeTopic, s.n("none"), nil, last, anyway)
	describe("a bad name", kmsg.ConfigResourceTypeTopic, "a b", nil, last, anyway)
	describe("no broker", kmsg.ConfigResourceTypeBroker, "77", nil, last, anyway)
	describe("not a broker", kmsg.ConfigResourceTypeBroker, "x", nil, last, anyway)
	describe("the broker", kmsg.ConfigResourceTypeBroker, "1", []string{"log.retention.ms", "num.partitions", "message.max.bytes"}, last, anyway)
	describe("all brokers", kmsg.ConfigResourceTypeBroker, "", []string{"log.retention.ms"}, last, anyway)
	describe("a strange kind", 77, "x", nil, last, anyway)

	alter := func(label string, kind kmsg.ConfigResourceType, name string, op kmsg.IncrementalAlterConfigOp, key string, value *string, more ...func(*kmsg.IncrementalAlterConfigsRequest)) {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kind, ResourceName: name, Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: key, Op: op, Value: value}}}}
		for _, edit := range more {
			edit(req)
		}
		ask[*kmsg.IncrementalAlterConfigsResponse](s, label, 1, req)
	}
	topic := kmsg.ConfigResourceTypeTopic
	const set, remove, add, subtract = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract
	alter("set", topic, s.n("t"), set, "retention.ms", pointer("2000"))
	alter("set nonsense", topic, s.n("t"), set, "retention.ms", pointer("x"))
	alter("set null", topic, s.n("t"), set, "retention.ms", nil)
	alter("set unknown", topic, s.n("t"), set, "no.such", pointer("x"))
	alter("delete unknown", topic, s.n("t"), remove, "no.such", nil)
	alter("append", topic, s.n("t"), add, "cleanup.policy", pointer("compact"))
	alter("append again", topic, s.n("t"), add, "cleanup.policy", pointer("compact"))
	alter("append to what is no list", topic, s.n("t"), add, "retention.ms", pointer("1"))
	alter("subtract", topic, s.n("t"), subtract, "cleanup.policy", pointer("delete"))
	alter("subtract what is not there", topic, s.n("t"), subtract, "cleanup.policy", pointer("delete"))
	alter("validate only", topic, s.n("t"), set, "retention.ms", pointer("7777"), func(r *kmsg.IncrementalAlterConfigsRequest) { r.ValidateOnly = true })
	alter("a bad operation", topic, s.n("t"), 9, "retention.ms", pointer("7"))
	alter("one twice", topic, s.n("t"), set, "retention.ms", pointer("7"), func(r *kmsg.IncrementalAlterConfigsRequest) {
		r.Resources[0].Configs = append(r.Resources[0].Configs, r.Resources[0].Configs[0])
	})
	alter("a resource twice", topic, s.n("t"), set, "retention.ms", pointer("7"), func(r *kmsg.IncrementalAlterConfigsRequest) {
		r.Resources = append(r.Resources, r.Resources[0])
	})
	alter("no topic", topic, s.n("none"), set, "retention.ms", pointer("7"))
	alter("no broker", kmsg.ConfigResourceTypeBroker, "77", set, "log.retention.ms", pointer("7"))
	alter("not a broker", kmsg.ConfigResourceTypeBroker, "x", set, "log.retention.ms", pointer("7"))
	alter("read only", kmsg.ConfigResourceTypeBroker, "1", set, "node.id", pointer("7"))
	broker, throttle := kmsg.ConfigResourceTypeBroker, "leader.replication.throttled.rate"
	alter("a throttle of replication", broker, "1", set, throttle, pointer("1000"))
	alter("a throttle of all", broker, "", set, throttle, pointer("2000"))
	alter("a throttle below its least", broker, "1", set, throttle, pointer("-1"))
	alter("a throttle no more", broker, "1", remove, throttle, nil)
	alter("no throttle of all", broker, "", remove, throttle, nil)
	alter("a broker's setting that nobody knows", broker, "1", set, "no.such", pointer("x"))
	alter("and removed", broker, "1", remove, "no.such", nil)
	for _, name := range []string{"max.connections", "max.connection.creation.rate"} {
		alter("a listener without "+name, broker, "1", set, "listener.name.plaintext."+name, pointer("0"))
	}
	alter("nobody by address", broker, "1", set, "max.connections.per.ip", pointer("0"))
	alter("a strange kind", 77, "x", set, "retention.ms", pointer("7"))
	has := func(name, value string) func(*kmsg.DescribeConfigsResponse) bool {
		return func(r *kmsg.DescribeConfigsResponse) bool {
			for _, c := range r.Resources[0].Configs {
				if c.Name == name && c.Value != nil && *c.Value == value {
					return true
				}
			}
			return false
		}
	}
	some := []string{"retention.ms", "cleanup.policy", "max.message.bytes"}
	describe("what it is now", topic, s.n("t"), some, last, has("cleanup.policy", "compact"))
	alter("delete", topic, s.n("t"), remove, "cleanup.policy", nil)
	describe("what it is now", topic, s.n("t"), some, last, has("cleanup.policy", "delete"))

	full := kmsg.NewPtrAlterConfigsRequest()
	full.Resources = []kmsg.AlterConfigsRequestResource{{ResourceType: topic, ResourceName: s.n("t"), Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "max.message.bytes", Value: pointer("5000")}}}}
	for _, v := range s.versions(kmsg.AlterConfigs) {
		ask[*kmsg.AlterConfigsResponse](s, "replace all", v, full)
	}
	describe("what it is now", topic, s.n("t"), some, last, has("max.message.bytes", "5000"))
	full.Resources[0].Configs[0].Name = "no.such"
	ask[*kmsg.AlterConfigsResponse](s, "replace by nonsense", 2, full)
}

func oneBroker(s *session) {
	s.create("t", 2)
	dirs := kmsg.NewPtrDescribeLogDirsRequest()
	dirs.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: s.n("t"), Partitions: []int32{0, 1, 9}}, {Topic: s.n("none"), Partitions: []int32{0}}}
	for _, v := range s.versions(kmsg.DescribeLogDirs) {
		ask[*kmsg.DescribeLogDirsResponse](s, "log dirs", v, dirs)
	}
	reassign := kmsg.NewPtrListPartitionReassignmentsRequest()
	ask[*kmsg.ListPartitionReassignmentsResponse](s, "reassignments", 0, reassign)
	reassign.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{{Topic: s.n("t"), Partitions: []int32{0, 9}}, {Topic: s.n("none"), Partitions: []int32{0}}}
	ask[*kmsg.ListPartitionReassignmentsResponse](s, "reassignments", 0, reassign)
	for _, replicas := range [][]int32{nil, {1}, {1, 2}, {2}, {1, 1}, {}} {
		alter := kmsg.NewPtrAlterPartitionAssignmentsRequest()
		alter.TimeoutMillis = 5000
		p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		p.Replicas = replicas
		other := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
		other.Partition, other.Replicas = 9, []int32{1}
		alter.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{
			{Topic: s.n("t"), Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{p, other}},
			{Topic: s.n("none"), Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{p}},
		}
		ask[*kmsg.AlterPartitionAssignmentsResponse](s, "reassign", 0, alter)
	}
	for _, v := range s.versions(kmsg.ElectLeaders) {
		for kind := range int8(3) {
			elect := kmsg.NewPtrElectLeadersRequest()
			elect.ElectionType, elect.TimeoutMillis = kind, 5000
			elect.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: s.n("t"), Partitions: []int32{0, 9}}, {Topic: s.n("none"), Partitions: []int32{0}}}
			ask[*kmsg.ElectLeadersResponse](s, "elect", v, elect)
		}
	}
	leave := kmsg.NewPtrUnregisterBrokerRequest()
	leave.BrokerID = 99
	ask[*kmsg.UnregisterBrokerResponse](s, "forget a broker that is not there", 0, leave)
	for _, v := range s.versions(kmsg.AddRaftVoter) {
		for _, cluster := range []*string{nil, pointer("another")} {
			voter := kmsg.NewPtrAddRaftVoterRequest()
			voter.ClusterID, voter.VoterID, voter.VoterDirectoryID = cluster, 99, [16]byte{1}
			voter.Listeners = []kmsg.AddRaftVoterRequestListener{{Name: "CONTROLLER", Host: "127.0.0.1", Port: 1}}
			ask[*kmsg.AddRaftVoterResponse](s, "a voter more", v, voter)
			less := kmsg.NewPtrRemoveRaftVoterRequest()
			less.ClusterID, less.VoterID, less.VoterDirectoryID = cluster, 99, [16]byte{1}
			ask[*kmsg.RemoveRaftVoterResponse](s, "a voter less", 0, less)
		}
	}
	acls := kmsg.NewPtrDescribeACLsRequest()
	acls.ResourceType, acls.ResourcePatternType, acls.Operation, acls.PermissionType = 1, 1, 1, 1
	ask[*kmsg.DescribeACLsResponse](s, "rules", 3, acls)
	scram := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
	scram.Users = []kmsg.DescribeUserSCRAMCredentialsRequestUser{{Name: s.n("nobody")}, {Name: ""}}
	ask[*kmsg.DescribeUserSCRAMCredentialsResponse](s, "users", 0, scram)
	scram.Users = []kmsg.DescribeUserSCRAMCredentialsRequestUser{{Name: s.n("nobody")}, {Name: s.n("nobody")}}
	ask[*kmsg.DescribeUserSCRAMCredentialsResponse](s, "users twice", 0, scram)
	list := kmsg.NewPtrListConfigResourcesRequest()
	list.ResourceTypes = []int8{4, 8}
	ask[*kmsg.ListConfigResourcesResponse](s, "config resources", 1, list)
	list.ResourceTypes = []int8{3}
	ask[*kmsg.ListConfigResourcesResponse](s, "config resources of no kind", 1, list)
	feature := kmsg.NewPtrUpdateFeaturesRequest()
	feature.FeatureUpdates = []kmsg.UpdateFeaturesRequestFeatureUpdate{{Feature: "no.such", MaxVersionLevel: 1, UpgradeType: 1}}
	feature.ValidateOnly = true
	for _, v := range s.versions(kmsg.UpdateFeatures) {
		ask[*kmsg.UpdateFeaturesResponse](s, "an unknown feature", v, feature)
	}
	move := kmsg.NewPtrAlterReplicaLogDirsRequest()
	move.Dirs = []kmsg.AlterReplicaLogDirsRequestDir{{Dir: "/elsewhere", Topics: []kmsg.AlterReplicaLogDirsRequestDirTopic{{Topic: s.n("t"), Partitions: []int32{0, 9}}}}}
	ask[*kmsg.AlterReplicaLogDirsResponse](s, "move", 2, move)
	quorum := kmsg.NewPtrDescribeQuorumRequest()
	quorum.Topics = []kmsg.DescribeQuorumRequestTopic{{Topic: s.n("t"), Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}}}}
	ask[*kmsg.DescribeQuorumResponse](s, "the quorum of a topic", 1, quorum)
}

func deleteTopics(s *session) {
	last := s.last(kmsg.DeleteTopics)
	remove := func(label string, version int16, topics ...kmsg.DeleteTopicsRequestTopic) {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Topics, req.TimeoutMillis = topics, 5000
		for _, t := range topics {
			if t.Topic != nil {
				req.TopicNames = append(req.TopicNames, *t.Topic)
			}
		}
		ask[*kmsg.DeleteTopicsResponse](s, label, version, req)
	}
	byName := func(name string) kmsg.DeleteTopicsRequestTopic {
		return kmsg.DeleteTopicsRequestTopic{Topic: pointer(s.n(name))}
	}
	a, b := s.create("a", 1), s.create("b", 1)
	for _, v := range s.versions(kmsg.DeleteTopics) {
		remove("none", v)
		remove("an unknown one", v, byName("none"))
		remove("the same twice", v, byName("a"), byName("a"))
	}
	remove("by name and id", last, kmsg.DeleteTopicsRequestTopic{Topic: pointer(s.n("a")), TopicID: a})
	remove("by nothing", last, kmsg.DeleteTopicsRequestTopic{})
	remove("an unknown id", last, kmsg.DeleteTopicsRequestTopic{TopicID: [16]byte{9}})
	remove("an id twice", last, kmsg.DeleteTopicsRequestTopic{TopicID: a}, kmsg.DeleteTopicsRequestTopic{TopicID: a})
	remove("by name and by id", last, byName("a"), kmsg.DeleteTopicsRequestTopic{TopicID: a})
	remove("by id", last, kmsg.DeleteTopicsRequestTopic{TopicID: b})
}
