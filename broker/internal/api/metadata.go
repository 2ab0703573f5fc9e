package api

import (
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// metadata answers which topics there are and who leads their partitions.
func (h *Handler) metadata(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.MetadataRequest)
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	host, port := h.cfg.Advertise(c.Session)
	broker := kmsg.NewMetadataResponseBroker()
	broker.NodeID, broker.Host, broker.Port = h.cfg.NodeID, host, port
	if h.cfg.Rack != "" {
		broker.Rack = &h.cfg.Rack
	}
	resp.Brokers = append(resp.Brokers, broker)
	resp.ControllerID = h.cfg.NodeID
	resp.ClusterID = kmsg.StringPtr(c.img.ClusterID)

	defer func() {
		if req.IncludeTopicAuthorizedOperations {
			for i := range resp.Topics {
				if t := &resp.Topics[i]; t.ErrorCode == errcode.None && t.Topic != nil {
					t.AuthorizedOperations = h.operations(c, auth.Topic, *t.Topic)
				}
			}
		}
		if req.IncludeClusterAuthorizedOperations {
			resp.AuthorizedOperations = h.operations(c, auth.Cluster, auth.ClusterName)
		}
	}()
	all := req.Topics == nil || (req.Version == 0 && len(req.Topics) == 0)
	if all {
		for _, name := range slices.Sorted(maps.Keys(c.img.Topics())) {
			if h.allowed(c, auth.Describe, auth.Topic, name) {
				resp.Topics = append(resp.Topics, h.describeTopic(c, c.img.Topic(name)))
			}
		}
		return resp, nil
	}
	create := h.cfg.AutoCreateTopics && (req.Version < 4 || req.AllowAutoTopicCreation)
	type topic struct {
		named bool
		name  string
		id    cluster.ID
	}
	for _, t := range unique(req.Topics, func(t kmsg.MetadataRequestTopic) topic {
		if t.Topic != nil {
			return topic{named: true, name: *t.Topic}
		}
		return topic{id: t.TopicID}
	}) {
		resp.Topics = append(resp.Topics, h.metadataTopic(ctx, c, t, create))
	}
	return resp, nil
}

func (h *Handler) metadataTopic(ctx context.Context, c *call, t kmsg.MetadataRequestTopic, create bool) kmsg.MetadataResponseTopic {
	fail := func(code int16) kmsg.MetadataResponseTopic {
		out := kmsg.NewMetadataResponseTopic()
		out.ErrorCode, out.Topic, out.TopicID = code, t.Topic, t.TopicID
		return out
	}
	if t.Topic == nil {
		topic := c.img.TopicByID(t.TopicID)
		switch {
		case topic == nil:
			return fail(errcode.UnknownTopicID)
		case !h.allowed(c, auth.Describe, auth.Topic, topic.Name):
			return fail(errcode.TopicAuthorizationFailed) // an id is no secret, its name is
		}
		return h.describeTopic(c, topic)
	}
	name := *t.Topic
	if !h.allowed(c, auth.Describe, auth.Topic, name) {
		return fail(errcode.TopicAuthorizationFailed)
	}
	if topic := c.img.Topic(name); topic != nil {
		return h.describeTopic(c, topic)
	}
	if h.checkTopicName(name) != nil {
		return fail(errcode.InvalidTopic)
	}
	if !create || cluster.IsInternal(name) {
		return fail(errcode.UnknownTopicOrPartition)
	}
	if !h.allowed(c, auth.Create, auth.Cluster, auth.ClusterName) && !h.allowed(c, auth.Create, auth.Topic, name) {
		return fail(errcode.TopicAuthorizationFailed)
	}
	if code := h.autoCreate(ctx, c, name); code != errcode.None {
		return fail(code)
	}
	c.img = h.cluster.Image()
	if topic := c.img.Topic(name); topic != nil {
		return h.describeTopic(c, topic)
	}
	return fail(errcode.LeaderNotAvailable)
}

// autoCreate makes a topic with the defaults, for a client that asked about it.
func (h *Handler) autoCreate(ctx context.Context, c *call, name string) int16 {
	err := h.cluster.Update(ctx, func(img *cluster.Image) ([]cluster.Command, error) {
		if img.Topic(name) != nil {
			return nil, nil
		}
		if err := h.checkNewName(img, name); err != nil {
			return nil, err
		}
		cmd, err := h.newTopic(img, name, -1, -1, nil)
		if err != nil {
			return nil, err
		}
		if err := h.chargeMutation(c, int(cmd.Partitions), neverStrict); err != nil {
			return nil, err
		}
		return []cluster.Command{cmd}, nil
	})
	code, _ := h.code(err)
	return code
}

func (h *Handler) describeTopic(c *call, t *cluster.Topic) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = &t.Name, t.ID, cluster.IsInternal(t.Name)
	self := []int32{h.cfg.NodeID}
	out.Partitions = make([]kmsg.MetadataResponseTopicPartition, t.Partitions())
	for i := range out.Partitions {
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader, p.LeaderEpoch = int32(i), h.cfg.NodeID, c.img.LeaderEpoch(t, int32(i))
		p.Replicas, p.ISR = self, self
		out.Partitions[i] = p
	}
	return out
}

// describeCluster answers DescribeCluster.
func (h *Handler) describeCluster(_ context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DescribeClusterRequest)
	resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
	if req.EndpointType > 1 {
		resp.ErrorCode = errcode.UnsupportedEndpointType
		if req.EndpointType == 2 { // a controller's address is what is asked for, and this is a broker's
			resp.ErrorCode = errcode.MismatchedEndpointType
		}
		resp.ErrorMessage = kmsg.StringPtr("Only the brokers can be described here.")
		return resp, nil
	}
	host, port := h.cfg.Advertise(c.Session)
	b := kmsg.NewDescribeClusterResponseBroker()
	b.NodeID, b.Host, b.Port = h.cfg.NodeID, host, port
	if h.cfg.Rack != "" {
		b.Rack = &h.cfg.Rack
	}
	resp.Brokers = append(resp.Brokers, b)
	resp.ClusterID, resp.ControllerID = c.img.ClusterID, h.cfg.NodeID
	resp.EndpointType = 1
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = h.operations(c, auth.Cluster, auth.ClusterName)
	}
	return resp, nil
}

// operations is the bit set of what the principal may do with a resource.
func (h *Handler) operations(c *call, typ auth.ResourceType, name string) int32 {
	var bits int32
	for _, op := range auth.OperationsOf(typ) {
		if h.allowed(c, op, typ, name) {
			bits |= 1 << op
		}
	}
	return bits
}
