package api

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// What administrators' tools ask of a cluster, as one broker answers it: one log
// directory, one replica of everything, nothing to elect or to move.

func (h *Handler) describeLogDirs(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DescribeLogDirsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	if !h.allowed(c, auth.Describe, auth.Cluster, auth.ClusterName) {
		resp.ErrorCode = errcode.ClusterAuthorizationFailed
		return resp, nil
	}
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir, dir.TotalBytes, dir.UsableBytes = h.cfg.DataDir, -1, h.topics.Free()
	asked := map[string][]int32{}
	for _, t := range req.Topics {
		asked[t.Topic] = append(asked[t.Topic], t.Partitions...)
	}
	for _, name := range slices.Sorted(maps.Keys(c.img.Topics())) {
		t := c.img.Topic(name)
		some, ok := asked[name]
		if req.Topics != nil && !ok {
			continue
		}
		out := kmsg.NewDescribeLogDirsResponseDirTopic()
		out.Topic = name
		for i := range t.Partitions() {
			if req.Topics != nil && !slices.Contains(some, i) {
				continue
			}
			p := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
			p.Partition = i
			if h.topics.Exists(t, i) {
				if part, err := h.topics.Get(t, i); err == nil {
					p.Size = part.Size()
				}
			}
			out.Partitions = append(out.Partitions, p)
		}
		dir.Topics = append(dir.Topics, out)
	}
	resp.Dirs = append(resp.Dirs, dir)
	return resp, nil
}

func (h *Handler) alterReplicaLogDirs(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.AlterReplicaLogDirsRequest)
	resp := req.ResponseKind().(*kmsg.AlterReplicaLogDirsResponse)
	allowed := h.allowed(c, auth.Alter, auth.Cluster, auth.ClusterName)
	for _, d := range req.Dirs {
		for _, t := range d.Topics {
			out := kmsg.NewAlterReplicaLogDirsResponseTopic()
			out.Topic = t.Topic
			topic := c.img.Topic(t.Topic)
			for _, i := range t.Partitions {
				p := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				p.Partition = i
				switch {
				case !allowed:
					p.ErrorCode = errcode.ClusterAuthorizationFailed
				case d.Dir != h.cfg.DataDir:
					p.ErrorCode = errcode.LogDirNotFound
				case topic == nil || i < 0 || i >= topic.Partitions():
					p.ErrorCode = errcode.UnknownTopicOrPartition
				}
				out.Partitions = append(out.Partitions, p)
			}
			resp.Topics = append(resp.Topics, out)
		}
	}
	return resp, nil
}

func (h *Handler) electLeaders(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.ElectLeadersRequest)
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	code := errcode.None
	switch {
	case !h.allowed(c, auth.Alter, auth.Cluster, auth.ClusterName):
		code = errcode.ClusterAuthorizationFailed
	case req.ElectionType < 0 || req.ElectionType > 1:
		code = errcode.InvalidRequest
	}
	resp.ErrorCode = code
	for _, t := range req.Topics { // null asks for all, of which none needs an election
		out := kmsg.NewElectLeadersResponseTopic()
		out.Topic = t.Topic
		topic := c.img.Topic(t.Topic)
		for _, i := range t.Partitions {
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition, p.ErrorCode = i, code
			switch {
			case code != errcode.None:
			case topic == nil || i < 0 || i >= topic.Partitions():
				p.ErrorCode, p.ErrorMessage = errcode.UnknownTopicOrPartition, kmsg.StringPtr("The partition does not exist.")
			default:
				p.ErrorCode, p.ErrorMessage = errcode.ElectionNotNeeded, kmsg.StringPtr("Leader election not needed for topic partition.")
			}
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

func (h *Handler) alterReassignments(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.AlterPartitionAssignmentsRequest)
	resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	if !h.allowed(c, auth.Alter, auth.Cluster, auth.ClusterName) {
		resp.ErrorCode = errcode.ClusterAuthorizationFailed
	}
	for _, t := range req.Topics {
		out := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		out.Topic = t.Topic
		topic := c.img.Topic(t.Topic)
		for _, rp := range t.Partitions {
			p := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			p.Partition = rp.Partition
			switch {
			case resp.ErrorCode != errcode.None:
				p.ErrorCode = resp.ErrorCode
			case topic == nil || rp.Partition < 0 || rp.Partition >= topic.Partitions():
				p.ErrorCode, p.ErrorMessage = errcode.UnknownTopicOrPartition, kmsg.StringPtr("The partition does not exist.")
			case rp.Replicas == nil:
				p.ErrorCode, p.ErrorMessage = errcode.NoReassignmentInProgress, kmsg.StringPtr("No partition reassignment is in progress.")
			case !slices.Equal(rp.Replicas, []int32{h.cfg.NodeID}):
				p.ErrorCode = errcode.InvalidReplicaAssignment
				p.ErrorMessage = kmsg.StringPtr(fmt.Sprintf("The only broker is %d.", h.cfg.NodeID))
			}
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

func (h *Handler) listReassignments(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.ListPartitionReassignmentsRequest)
	resp := req.ResponseKind().(*kmsg.ListPartitionReassignmentsResponse)
	if !h.allowed(c, auth.Describe, auth.Cluster, auth.ClusterName) {
		resp.ErrorCode = errcode.ClusterAuthorizationFailed
	}
	return resp, nil
}

// metadataTopic is the name by which tools ask for the state of the controllers.
const metadataTopic = "__cluster_metadata"

// describeQuorum describes the quorum of controllers: this broker alone.
func (h *Handler) describeQuorum(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DescribeQuorumRequest)
	resp := req.ResponseKind().(*kmsg.DescribeQuorumResponse)
	if !h.allowed(c, auth.Describe, auth.Cluster, auth.ClusterName) {
		resp.ErrorCode = errcode.ClusterAuthorizationFailed
		return resp, nil
	}
	now := time.Now().UnixMilli()
	for _, t := range req.Topics {
		out := kmsg.NewDescribeQuorumResponseTopic()
		out.Topic = t.Topic
		for _, rp := range t.Partitions {
			p := kmsg.NewDescribeQuorumResponseTopicPartition()
			p.Partition = rp.Partition
			if t.Topic != metadataTopic || rp.Partition != 0 {
				p.ErrorCode = errcode.UnknownTopicOrPartition
				out.Partitions = append(out.Partitions, p)
				continue
			}
			p.LeaderID, p.LeaderEpoch, p.HighWatermark = h.cfg.NodeID, c.img.Epoch, c.img.Version
			v := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
			v.ReplicaID, v.LogEndOffset, v.LastFetchTimestamp, v.LastCaughtUpTimestamp = h.cfg.NodeID, c.img.Version, now, now
			p.CurrentVoters = append(p.CurrentVoters, v)
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	host, port := h.cfg.Advertise(c.Session)
	node := kmsg.NewDescribeQuorumResponseNode()
	node.NodeID = h.cfg.NodeID
	node.Listeners = []kmsg.DescribeQuorumResponseNodeListener{{Name: "CONTROLLER", Host: host, Port: uint16(port)}}
	resp.Nodes = append(resp.Nodes, node)
	return resp, nil
}

// updateFeatures keeps every feature at the level that this broker has.
func (h *Handler) updateFeatures(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.UpdateFeaturesRequest)
	resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	if !h.allowed(c, auth.Alter, auth.Cluster, auth.ClusterName) {
		resp.ErrorCode = errcode.ClusterAuthorizationFailed
		return resp, nil
	}
	for _, u := range req.FeatureUpdates {
		out := kmsg.NewUpdateFeaturesResponseResult()
		out.Feature = u.Feature
		var why string
		switch level, known := finalized[u.Feature]; {
		case !known:
			why = "Invalid update version " + strconv.Itoa(int(u.MaxVersionLevel)) + " for feature " + u.Feature + ". The broker does not know this feature."
		case u.MaxVersionLevel != level:
			why = fmt.Sprintf("Invalid update version %d for feature %s. It is fixed at %d.", u.MaxVersionLevel, u.Feature, level)
		}
		if why != "" {
			why = "The update failed for all features since the following feature had an error: " + why
			resp.ErrorCode, resp.ErrorMessage, resp.Results = errcode.InvalidUpdateVersion, &why, nil
			return resp, nil // all or none
		}
		resp.Results = append(resp.Results, out)
	}
	return resp, nil
}

func (h *Handler) listConfigResources(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.ListConfigResourcesRequest)
	resp := req.ResponseKind().(*kmsg.ListConfigResourcesResponse)
	if !h.allowed(c, auth.DescribeConfigs, auth.Cluster, auth.ClusterName) {
		resp.ErrorCode = errcode.ClusterAuthorizationFailed
		return resp, nil
	}
	types := req.ResourceTypes
	if req.Version == 0 {
		types = []int8{int8(kmsg.ConfigResourceTypeClientMetrics)}
	} else if len(types) == 0 {
		types = []int8{2, 4, 8, 16, 32}
	}
	for _, typ := range types {
		var names []string
		switch kmsg.ConfigResourceType(typ) {
		case kmsg.ConfigResourceTypeTopic:
			names = slices.Sorted(maps.Keys(c.img.Topics()))
		case kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger:
			names = []string{strconv.Itoa(int(h.cfg.NodeID))}
		case kmsg.ConfigResourceTypeGroupConfig:
			names = slices.Sorted(maps.Keys(c.img.GroupConfigs))
		case kmsg.ConfigResourceTypeClientMetrics:
		default:
			resp.ErrorCode, resp.ConfigResources = errcode.UnsupportedVersion, nil
			return resp, nil
		}
		for _, name := range names {
			r := kmsg.NewListConfigResourcesResponseConfigResource()
			r.Name, r.Type = name, typ
			resp.ConfigResources = append(resp.ConfigResources, r)
		}
	}
	return resp, nil
}

// describeTopicPartitions describes topics in pages, in the order of their names.
func (h *Handler) describeTopicPartitions(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DescribeTopicPartitionsRequest)
	resp := req.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	var names []string
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	all := len(names) == 0
	if all {
		for name := range c.img.Topics() {
			if h.allowed(c, auth.Describe, auth.Topic, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if req.Cursor != nil && req.Cursor.Partition < 0 {
		for _, name := range names {
			out := kmsg.NewDescribeTopicPartitionsResponseTopic()
			out.Topic, out.ErrorCode = &name, errcode.InvalidRequest
			resp.Topics = append(resp.Topics, out)
		}
		return resp, nil
	}
	left := min(int(c.img.BrokerInt("max.request.partition.size.limit")), max(int(req.ResponsePartitionLimit), 1))
	for _, name := range names {
		first := int32(0)
		if req.Cursor != nil {
			if strings.Compare(name, req.Cursor.Topic) < 0 {
				continue
			}
			if name == req.Cursor.Topic {
				first = req.Cursor.Partition
			}
		}
		if left <= 0 {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: first}
			return resp, nil
		}
		out, next := h.describePage(c, name, first, left)
		left -= len(out.Partitions)
		resp.Topics = append(resp.Topics, out)
		if next >= 0 {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: next}
			return resp, nil
		}
	}
	return resp, nil
}

// describePage describes up to limit partitions of a topic from first on; next is
// the first one left out, -1 for none.
func (h *Handler) describePage(c *call, name string, first int32, limit int) (out kmsg.DescribeTopicPartitionsResponseTopic, next int32) {
	out = kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic = &name
	t := c.img.Topic(name)
	switch {
	case !h.allowed(c, auth.Describe, auth.Topic, name):
		out.ErrorCode = errcode.TopicAuthorizationFailed
		return out, -1
	case t == nil:
		out.ErrorCode = errcode.UnknownTopicOrPartition
		if h.checkTopicName(name) != nil {
			out.ErrorCode = errcode.InvalidTopic
		}
		return out, -1
	}
	out.TopicID, out.IsInternal = t.ID, cluster.IsInternal(name)
	out.AuthorizedOperations = h.operations(c, auth.Topic, name)
	self := []int32{h.cfg.NodeID}
	for i := first; i < t.Partitions(); i++ {
		if len(out.Partitions) == limit {
			return out, i
		}
		p := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		p.Partition, p.LeaderID, p.LeaderEpoch, p.Replicas, p.ISR = i, h.cfg.NodeID, c.img.LeaderEpoch(t, i), self, self
		p.EligibleLeaderReplicas, p.LastKnownELR = []int32{}, []int32{}
		out.Partitions = append(out.Partitions, p)
	}
	return out, -1
}
