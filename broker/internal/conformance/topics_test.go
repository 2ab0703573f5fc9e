package conformance

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
)

func metadata(c *conn, version int16, create bool, names ...string) *kmsg.MetadataResponse {
	c.t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = create
	if names != nil {
		req.Topics = []kmsg.MetadataRequestTopic{}
	}
	for _, name := range names {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = &name
		req.Topics = append(req.Topics, rt)
	}
	return ask[*kmsg.MetadataResponse](c, version, req)
}

func TestMetadata(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	id := c.create("t", 3)
	for v := int16(0); v <= 13; v++ {
		r := metadata(c, v, false, "t")
		if len(r.Brokers) != 1 || r.Brokers[0].NodeID != 1 || r.Brokers[0].Host+":" == "" || len(r.Topics) != 1 || r.Topics[0].ErrorCode != 0 || len(r.Topics[0].Partitions) != 3 {
			t.Fatalf("v%d: %+v", v, r)
		}
		if v >= 1 && r.ControllerID != 1 || v >= 2 && *r.ClusterID != b.Unwrap().ClusterID() || v >= 7 && r.Topics[0].Partitions[0].LeaderEpoch != 0 || v >= 10 && r.Topics[0].TopicID != id {
			t.Errorf("v%d: %+v", v, r)
		}
		if v >= 1 {
			if all, none := metadata(c, v, false), metadata(c, v, false, []string{}...); len(all.Topics) != 1 {
				t.Errorf("v%d: all topics are %+v, none are %+v", v, all.Topics, none.Topics)
			}
		}
	}
	empty := kmsg.NewPtrMetadataRequest()
	empty.Topics = []kmsg.MetadataRequestTopic{}
	for v, want := range map[int16]int{0: 1, 1: 0, 13: 0} {
		if r := ask[*kmsg.MetadataResponse](c, v, empty); len(r.Topics) != want {
			t.Errorf("v%d: an empty list asks for %d topics, want %d", v, len(r.Topics), want)
		}
	}
	byID := kmsg.NewPtrMetadataRequest()
	for _, topicID := range [][16]byte{id, {7}} {
		rt := kmsg.NewMetadataRequestTopic()
		rt.TopicID = topicID
		byID.Topics = append(byID.Topics, rt)
	}
	r := ask[*kmsg.MetadataResponse](c, 12, byID)
	if *r.Topics[0].Topic != "t" || r.Topics[0].ErrorCode != 0 || r.Topics[1].ErrorCode != 100 {
		t.Errorf("by id: %+v", r.Topics)
	}
}

func TestAutoCreate(t *testing.T) {
	on := dial(t, start(t, func(c *broker.Config) { c.DefaultPartitions = 4 }).Addr())
	if r := metadata(on, 9, false, "new"); r.Topics[0].ErrorCode != 3 {
		t.Errorf("without leave to create: %+v", r.Topics)
	}
	// Kafka answers an error once; a client that asks again finds the topic in both.
	metadata(on, 9, true, "new")
	if r := metadata(on, 9, true, "new"); r.Topics[0].ErrorCode != 0 || len(r.Topics[0].Partitions) != 4 {
		t.Errorf("%+v", r.Topics)
	}
	for _, name := range []string{"__transaction_state", "a/b", ""} {
		if r := metadata(on, 9, true, name); r.Topics[0].ErrorCode == 0 {
			t.Errorf("%q was created", name)
		}
	}
	off := dial(t, start(t, func(c *broker.Config) { c.DisableAutoCreateTopics = true }).Addr())
	if r := metadata(off, 9, true, "new"); r.Topics[0].ErrorCode != 3 {
		t.Errorf("with creation off: %+v", r.Topics)
	}
}

func TestCreateTopics(t *testing.T) {
	c := dial(t, start(t, func(c *broker.Config) { c.DefaultPartitions = 5 }).Addr())
	c.create("exists.one", 1)
	type topic = kmsg.CreateTopicsRequestTopic
	config := func(t *topic, name, value string) {
		cfg := kmsg.NewCreateTopicsRequestTopicConfig()
		cfg.Name, cfg.Value = name, &value
		t.Configs = append(t.Configs, cfg)
	}
	for _, x := range []struct {
		name string
		edit func(*topic)
		want int16
	}{
		{"good", func(*topic) {}, 0},
		{"exists.one", func(*topic) {}, 36},
		{"exists_one", func(*topic) {}, 17},
		{"", func(*topic) {}, 17},
		{"..", func(*topic) {}, 17},
		{"sp ace", func(*topic) {}, 17},
		{strings.Repeat("x", 250), func(*topic) {}, 17},
		{strings.Repeat("y", 249), func(*topic) {}, 0},
		{"zero", func(t *topic) { t.NumPartitions = 0 }, 37},
		{"many", func(t *topic) { t.NumPartitions = 1001 }, 37},
		{"rf0", func(t *topic) { t.ReplicationFactor = 0 }, 38},
		{"rf3", func(t *topic) { t.ReplicationFactor = 3 }, 38},
		{"rf1", func(t *topic) { t.ReplicationFactor = 1 }, 0},
		{"unknown", func(t *topic) { config(t, "no.such", "1") }, 40},
		{"wrong", func(t *topic) { config(t, "retention.ms", "soon") }, 40},
		{"low", func(t *topic) { config(t, "segment.bytes", "1024") }, 40},
		{"policy", func(t *topic) { config(t, "cleanup.policy", "compact,delete") }, 0},
		{"nopolicy", func(t *topic) { config(t, "cleanup.policy", "forget") }, 40},
		{"assigned", func(t *topic) {
			t.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Partition: 1, Replicas: []int32{1}}, {Partition: 0, Replicas: []int32{1}}}
		}, 0},
		{"both", func(t *topic) {
			t.NumPartitions = 1
			t.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Partition: 0, Replicas: []int32{1}}}
		}, 42},
		{"elsewhere", func(t *topic) {
			t.ReplicaAssignment = []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Partition: 0, Replicas: []int32{2}}}
		}, 39},
		{"__consumer_offsets", func(*topic) {}, 17},
	} {
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = x.name, -1, -1
		x.edit(&rt)
		for _, validate := range []bool{true, false} {
			req := kmsg.NewPtrCreateTopicsRequest()
			req.Topics, req.ValidateOnly = []topic{rt}, validate
			out := ask[*kmsg.CreateTopicsResponse](c, 7, req).Topics[0]
			if out.ErrorCode != x.want || (x.want != 0 && out.ErrorMessage == nil) {
				t.Errorf("%q, only validated %v: code %d, want %d", x.name, validate, out.ErrorCode, x.want)
			}
			if x.name == "good" && (out.NumPartitions != 5 || out.ReplicationFactor != 1 || len(out.Configs) < 30 || (out.TopicID == [16]byte{}) != validate) {
				t.Errorf("only validated %v: %+v", validate, out)
			}
		}
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	for range 2 {
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = "twice", -1, -1
		req.Topics = append(req.Topics, rt)
	}
	if r := ask[*kmsg.CreateTopicsResponse](c, 7, req); len(r.Topics) != 1 || r.Topics[0].ErrorCode != 42 {
		t.Errorf("a name given twice: %+v", r.Topics)
	}
}

func TestCreatePartitions(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	c.create("t", 2)
	grow := func(name string, count int32) int16 {
		req := kmsg.NewPtrCreatePartitionsRequest()
		rt := kmsg.NewCreatePartitionsRequestTopic()
		rt.Topic, rt.Count = name, count
		req.Topics = append(req.Topics, rt)
		return ask[*kmsg.CreatePartitionsResponse](c, 3, req).Topics[0].ErrorCode
	}
	for _, x := range []struct {
		name  string
		count int32
		want  int16
	}{{"t", 1, 37}, {"t", 2, 37}, {"missing", 3, 3}, {"t", 4, 0}} {
		if got := grow(x.name, x.count); got != x.want {
			t.Errorf("%s to %d: code %d, want %d", x.name, x.count, got, x.want)
		}
	}
	b.Restart()
	c = dial(t, b.Addr())
	r := metadata(c, 9, false, "t")
	if len(r.Topics[0].Partitions) != 4 || r.Topics[0].Partitions[3].LeaderEpoch != 1 {
		t.Errorf("after a restart: %+v", r.Topics[0])
	}
}

func TestConfigs(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	c.create("t", 1, "retention.ms", "5000")
	describe := func(typ kmsg.ConfigResourceType, name string, only ...string) (map[string]kmsg.DescribeConfigsResponseResourceConfig, int16) {
		req := kmsg.NewPtrDescribeConfigsRequest()
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = typ, name, only
		req.Resources = append(req.Resources, r)
		req.IncludeSynonyms, req.IncludeDocumentation = true, true
		out := map[string]kmsg.DescribeConfigsResponseResourceConfig{}
		res := ask[*kmsg.DescribeConfigsResponse](c, 4, req).Resources[0]
		for _, cfg := range res.Configs {
			out[cfg.Name] = cfg
		}
		return out, res.ErrorCode
	}
	all, _ := describe(kmsg.ConfigResourceTypeTopic, "t")
	if len(all) < 30 {
		t.Errorf("only %d settings are described", len(all))
	}
	for name, cfg := range all {
		if cfg.Value == nil || cfg.ConfigType == 0 || cfg.Documentation == nil || *cfg.Documentation == "" {
			t.Errorf("%s: %+v", name, cfg)
		}
	}
	if r := all["retention.ms"]; *r.Value != "5000" || r.Source != kmsg.ConfigSourceDynamicTopicConfig || len(r.ConfigSynonyms) != 1 {
		t.Errorf("retention.ms: %+v", r)
	}
	if r := all["cleanup.policy"]; *r.Value != "delete" || r.Source != kmsg.ConfigSourceDefaultConfig {
		t.Errorf("cleanup.policy: %+v", r)
	}
	if some, _ := describe(kmsg.ConfigResourceTypeTopic, "t", "segment.ms"); len(some) != 1 {
		t.Errorf("asked for one: %v", some)
	}
	if _, code := describe(kmsg.ConfigResourceTypeTopic, "missing"); code != 3 {
		t.Errorf("a missing topic: %d", code)
	}
	if node, code := describe(kmsg.ConfigResourceTypeBroker, "1"); code != 0 || *node["num.partitions"].Value != "1" || node["log.retention.ms"].Value != nil || *node["log.retention.hours"].Value != "168" {
		t.Errorf("the broker: code %d, %d settings", code, len(node))
	}
	alter := func(typ kmsg.ConfigResourceType, resource, name string, op kmsg.IncrementalAlterConfigOp, value *string) int16 {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = typ, resource
		e := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		e.Name, e.Op, e.Value = name, op, value
		r.Configs = append(r.Configs, e)
		req.Resources = append(req.Resources, r)
		return ask[*kmsg.IncrementalAlterConfigsResponse](c, 1, req).Resources[0].ErrorCode
	}
	str := kmsg.StringPtr
	for _, x := range []struct {
		typ            kmsg.ConfigResourceType
		resource, name string
		op             kmsg.IncrementalAlterConfigOp
		value          *string
		want           int16
		reads          string
	}{
		{kmsg.ConfigResourceTypeTopic, "t", "retention.ms", 0, str("7000"), 0, "7000"},
		{kmsg.ConfigResourceTypeTopic, "t", "retention.ms", 0, str("x"), 40, "7000"},
		{kmsg.ConfigResourceTypeTopic, "t", "retention.ms", 2, str("1"), 40, "7000"},
		{kmsg.ConfigResourceTypeTopic, "t", "retention.ms", 0, nil, 42, "7000"},
		{kmsg.ConfigResourceTypeTopic, "t", "retention.ms", 1, nil, 0, "604800000"},
		{kmsg.ConfigResourceTypeTopic, "t", "cleanup.policy", 2, str("compact"), 0, "delete,compact"},
		{kmsg.ConfigResourceTypeTopic, "t", "cleanup.policy", 3, str("delete"), 0, "compact"},
		{kmsg.ConfigResourceTypeTopic, "t", "no.such", 0, str("1"), 40, ""},
		{kmsg.ConfigResourceTypeTopic, "missing", "retention.ms", 0, str("1"), 3, ""},
		{kmsg.ConfigResourceTypeBroker, "", "log.retention.ms", 0, str("9000"), 0, ""},
		{kmsg.ConfigResourceTypeBroker, "1", "num.partitions", 0, str("9"), 42, ""},
	} {
		if got := alter(x.typ, x.resource, x.name, x.op, x.value); got != x.want {
			t.Errorf("%s of %q, operation %d: code %d, want %d", x.name, x.resource, x.op, got, x.want)
		}
		if x.reads != "" {
			if cfgs, _ := describe(kmsg.ConfigResourceTypeTopic, "t", x.name); *cfgs[x.name].Value != x.reads {
				t.Errorf("%s reads %s, want %s", x.name, *cfgs[x.name].Value, x.reads)
			}
		}
	}
	b.Restart()
	c = dial(t, b.Addr())
	all, _ = describe(kmsg.ConfigResourceTypeTopic, "t")
	if *all["cleanup.policy"].Value != "compact" || *all["retention.ms"].Value != "9000" || all["retention.ms"].Source != kmsg.ConfigSourceDynamicDefaultBrokerConfig {
		t.Errorf("after a restart: %+v", all["retention.ms"])
	}
	// AlterConfigs replaces everything that was set.
	req := kmsg.NewPtrAlterConfigsRequest()
	r := kmsg.NewAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, "t"
	e := kmsg.NewAlterConfigsRequestResourceConfig()
	e.Name, e.Value = "segment.ms", str("60000")
	r.Configs = append(r.Configs, e)
	req.Resources = append(req.Resources, r)
	if code := ask[*kmsg.AlterConfigsResponse](c, 2, req).Resources[0].ErrorCode; code != 0 {
		t.Errorf("alter configs: %d", code)
	}
	all, _ = describe(kmsg.ConfigResourceTypeTopic, "t")
	if *all["cleanup.policy"].Value != "delete" || *all["segment.ms"].Value != "60000" {
		t.Errorf("after AlterConfigs: %s, %s", *all["cleanup.policy"].Value, *all["segment.ms"].Value)
	}
}
