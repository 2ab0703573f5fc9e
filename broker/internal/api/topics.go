package api

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/auth"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/limit"
)

// checkNewName says why there can be no new topic of a name.
func (h *Handler) checkNewName(img *cluster.Image, name string) error {
	if err := h.checkTopicName(name); err != nil {
		return err
	}
	if img.Topic(name) != nil {
		return &cluster.Error{Code: errcode.TopicAlreadyExists, Message: fmt.Sprintf("Topic '%s' already exists.", name)}
	}
	if other := img.Collision(name); other != "" {
		return &cluster.Error{Code: errcode.InvalidTopic, Message: fmt.Sprintf("Topic '%s' collides with existing topic: %s", name, other)}
	}
	return nil
}

// newTopic makes the command that creates a topic, whose name was checked, or says why
// there can be none. -1 for partitions or replicas means the broker's default.
func (h *Handler) newTopic(img *cluster.Image, name string, partitions int32, replicas int16, configs map[string]string) (*cluster.CreateTopic, error) {
	refuse := func(code int16, format string, args ...any) error {
		return &cluster.Error{Code: code, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case partitions == -1:
		partitions = h.cfg.DefaultPartitions
	case partitions < 1:
		return nil, refuse(errcode.InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	if err := h.checkPartitions(img, 0, partitions); err != nil {
		return nil, err
	}
	if replicas != -1 && replicas < 1 {
		return nil, refuse(errcode.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	}
	if replicas == -1 {
		replicas = int16(min(img.BrokerInt("default.replication.factor"), 1<<15-1))
	}
	if replicas > 1 && !h.cfg.ClampReplicas {
		return nil, refuse(errcode.InvalidReplicationFactor, "Unable to replicate the partition %d time(s): The target replication factor of %d cannot be reached because only 1 broker(s) are registered.", replicas, replicas)
	}
	return &cluster.CreateTopic{Name: name, ID: cluster.NewID(), Partitions: partitions, Configs: configs}, nil
}

// checkPartitions refuses a topic that is to have more partitions than it, or the
// broker, may have.
func (h *Handler) checkPartitions(img *cluster.Image, has, wants int32) error {
	switch {
	case wants > h.cfg.MaxTopicParts:
		h.cfg.Hits.Hit(limit.TopicPartitions)
		return &cluster.Error{Code: errcode.InvalidPartitions, Message: fmt.Sprintf("A topic may have %d partitions at most.", h.cfg.MaxTopicParts)}
	case img.PartitionCount()+int(wants-has) > int(h.cfg.MaxPartitions):
		h.cfg.Hits.Hit(limit.Partitions)
		return &cluster.Error{Code: errcode.PolicyViolation, Message: fmt.Sprintf("The broker may have %d partitions at most.", h.cfg.MaxPartitions)}
	}
	return nil
}

func (h *Handler) createTopics(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.CreateTopicsRequest)
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	named := map[string]int{}
	for _, t := range req.Topics {
		named[t.Topic]++
	}
	answered := map[string]bool{}
	for i := range req.Topics {
		t := &req.Topics[i]
		if answered[t.Topic] {
			continue
		}
		answered[t.Topic] = true
		out := kmsg.NewCreateTopicsResponseTopic()
		out.Topic = t.Topic
		var err error
		switch {
		case named[t.Topic] > 1:
			err = &cluster.Error{Code: errcode.InvalidRequest, Message: "Duplicate topic name."}
		case !h.allowed(c, auth.Create, auth.Cluster, auth.ClusterName) && !h.allowed(c, auth.Create, auth.Topic, t.Topic):
			err = &cluster.Error{Code: errcode.TopicAuthorizationFailed, Message: "Authorization failed."}
		case t.Topic == "__cluster_metadata":
			err = &cluster.Error{Code: errcode.InvalidRequest, Message: "Creation of internal topic __cluster_metadata is prohibited."}
		case cluster.IsInternal(t.Topic):
			err = &cluster.Error{Code: errcode.InvalidTopic, Message: "The broker makes its internal topics itself."}
		default:
			err = h.createTopic(ctx, c, t, req.ValidateOnly, &out)
		}
		if out.ErrorCode, out.ErrorMessage = h.code(err); out.Configs == nil {
			out.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

func (h *Handler) createTopic(ctx context.Context, c *call, t *kmsg.CreateTopicsRequestTopic, validateOnly bool, out *kmsg.CreateTopicsResponseTopic) error {
	return h.cluster.Update(ctx, func(img *cluster.Image) ([]cluster.Command, error) {
		// What is checked first is what Kafka checks first.
		if err := h.checkNewName(img, t.Topic); err != nil {
			return nil, err
		}
		configs, err := newConfigs(t)
		if err != nil {
			return nil, err
		}
		partitions, err := h.assigned(t)
		if err != nil {
			return nil, err
		}
		cmd, err := h.newTopic(img, t.Topic, partitions, t.ReplicationFactor, configs)
		if err != nil {
			return nil, err
		}
		if !validateOnly {
			if err := h.chargeMutation(c, int(cmd.Partitions), 6); err != nil {
				return nil, err
			}
		}
		out.NumPartitions, out.ReplicationFactor = cmd.Partitions, 1
		out.Configs = createdConfigs(img, configs)
		if validateOnly {
			return nil, nil
		}
		out.TopicID = cmd.ID
		return []cluster.Command{cmd}, nil
	})
}

// newConfigs are the settings that a new topic is to have.
func newConfigs(t *kmsg.CreateTopicsRequestTopic) (map[string]string, error) {
	configs := map[string]string{}
	for _, cfg := range t.Configs {
		if _, twice := configs[cfg.Name]; twice {
			return nil, &cluster.Error{Code: errcode.InvalidConfig, Message: "Configuration " + cfg.Name + " is given twice."}
		}
		if cfg.Value == nil {
			return nil, &cluster.Error{Code: errcode.InvalidConfig, Message: "Null value not supported for topic configs: " + cfg.Name}
		}
		configs[cfg.Name] = *cfg.Value
	}
	return configs, cluster.CheckTopicConfigs(configs)
}

// checkReplicas checks who is to have a partition by a manual assignment, which with
// one broker can only be this one.
func (h *Handler) checkReplicas(replicas []int32) error {
	refuse := func(format string, args ...any) error {
		return &cluster.Error{Code: errcode.InvalidReplicaAssignment, Message: "The manual partition assignment includes " + fmt.Sprintf(format, args...)}
	}
	for _, id := range replicas {
		if id != h.cfg.NodeID {
			return refuse("broker %d, but no such broker is registered.", id)
		}
	}
	switch len(replicas) {
	case 0:
		return refuse("an empty replica list.")
	case 1:
		return nil
	}
	return refuse("the broker %d more than once.", h.cfg.NodeID)
}

// assigned is how many partitions a new topic is to have, by number or by a manual
// assignment.
func (h *Handler) assigned(t *kmsg.CreateTopicsRequestTopic) (int32, error) {
	if len(t.ReplicaAssignment) == 0 {
		return t.NumPartitions, nil
	}
	if t.NumPartitions != -1 || t.ReplicationFactor != -1 {
		return 0, &cluster.Error{Code: errcode.InvalidRequest, Message: "A manual partition assignment was specified, but num_partitions or replication factor was not set to -1."}
	}
	seen := map[int32]bool{}
	for _, a := range t.ReplicaAssignment {
		if err := h.checkReplicas(a.Replicas); err != nil {
			return 0, err
		}
		if seen[a.Partition] {
			return 0, &cluster.Error{Code: errcode.InvalidReplicaAssignment, Message: fmt.Sprintf("Found multiple manual partition assignments for partition %d", a.Partition)}
		}
		seen[a.Partition] = true
	}
	for i := range int32(len(seen)) {
		if !seen[i] {
			return 0, &cluster.Error{Code: errcode.InvalidReplicaAssignment, Message: "partitions should be a consecutive 0-based integer sequence"}
		}
	}
	return int32(len(seen)), nil
}

func createdConfigs(img *cluster.Image, configs map[string]string) []kmsg.CreateTopicsResponseTopicConfig {
	t := &cluster.Topic{Configs: configs}
	var out []kmsg.CreateTopicsResponseTopicConfig
	for _, name := range slices.Sorted(maps.Keys(cluster.TopicConfigs)) {
		cfg := kmsg.NewCreateTopicsResponseTopicConfig()
		cfg.Name, cfg.Value = name, kmsg.StringPtr(img.Config(t, name))
		cfg.Source = int8(topicConfigSource(img, t, name))
		out = append(out, cfg)
	}
	return out
}

// deletion is a topic that is to be deleted.
type deletion struct {
	name string // "" where it goes by its id
	id   cluster.ID
}

// deletions are the topics that a request names, each once. amiss are those that it
// names more than once, by name and id, or not at all.
func (h *Handler) deletions(c *call, req *kmsg.DeleteTopicsRequest) (asked []deletion, amiss map[deletion]bool) {
	amiss = map[deletion]bool{}
	seen := map[deletion]bool{}
	add := func(d deletion, bad bool) {
		amiss[d] = bad || seen[d]
		if !seen[d] {
			seen[d] = true
			asked = append(asked, d)
		}
	}
	for _, name := range req.TopicNames {
		add(deletion{name: name}, false)
	}
	for _, t := range req.Topics {
		d := deletion{id: t.TopicID}
		if t.Topic != nil {
			d.name = *t.Topic
		}
		add(d, (t.Topic != nil) != d.id.IsZero())
	}
	// One topic by name and by id, for whoever may know that it is the same.
	for _, d := range slices.Clone(asked) {
		t := c.img.Topic(d.name)
		if t == nil || !seen[deletion{id: t.ID}] || !h.allowed(c, auth.Describe, auth.Topic, t.Name) {
			continue
		}
		asked = slices.DeleteFunc(asked, func(o deletion) bool { return o == deletion{id: t.ID} || o == d })
		add(deletion{name: d.name, id: t.ID}, true)
	}
	return asked, amiss
}

func (h *Handler) deleteTopics(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.DeleteTopicsRequest)
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	asked, amiss := h.deletions(c, req)
	for _, d := range asked {
		out := kmsg.NewDeleteTopicsResponseTopic()
		if out.TopicID = d.id; d.name != "" {
			out.Topic = &d.name
		}
		if amiss[d] {
			out.ErrorCode, out.ErrorMessage = errcode.InvalidRequest, kmsg.StringPtr("A topic is named once, by its name or by its id.")
			resp.Topics = append(resp.Topics, out)
			continue
		}
		topic, missing := c.img.TopicByID(d.id), errcode.UnknownTopicID
		if d.name != "" {
			topic, missing = c.img.Topic(d.name), errcode.UnknownTopicOrPartition
		}
		switch {
		case !c.img.BrokerBool("delete.topic.enable"):
			out.ErrorCode, out.ErrorMessage = errcode.TopicDeletionDisabled, kmsg.StringPtr("Topic deletion is disabled.")
		case topic == nil && d.name != "" && !h.allowed(c, auth.Describe, auth.Topic, d.name):
			out.ErrorCode = errcode.TopicAuthorizationFailed
		case topic == nil:
			out.ErrorCode = missing
		case !h.allowed(c, auth.Delete, auth.Topic, topic.Name):
			out.ErrorCode = errcode.TopicAuthorizationFailed
		case cluster.IsInternal(topic.Name):
			out.Topic, out.TopicID = &topic.Name, topic.ID
			out.ErrorCode, out.ErrorMessage = errcode.InvalidTopic, kmsg.StringPtr("Internal topics cannot be deleted.")
		default:
			out.Topic, out.TopicID = &topic.Name, topic.ID
			err := h.chargeMutation(c, int(topic.Partitions()), 5)
			if err == nil {
				err = h.cluster.Propose(ctx, &cluster.DeleteTopic{ID: topic.ID})
			}
			out.ErrorCode, out.ErrorMessage = h.code(err)
			if err == nil {
				h.groups.ForgetTopic(ctx, topic.Name)
			}
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

func (h *Handler) createPartitions(ctx context.Context, c *call, kreq kmsg.Request) (kmsg.Response, error) {
	req := kreq.(*kmsg.CreatePartitionsRequest)
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	named := map[string]int{}
	for _, t := range req.Topics {
		named[t.Topic]++
	}
	for _, t := range req.Topics {
		out := kmsg.NewCreatePartitionsResponseTopic()
		out.Topic = t.Topic
		var err error
		switch {
		case named[t.Topic] > 1:
			err = &cluster.Error{Code: errcode.InvalidRequest, Message: "Duplicate topic name."}
		case !h.allowed(c, auth.Alter, auth.Topic, t.Topic):
			err = &cluster.Error{Code: errcode.TopicAuthorizationFailed, Message: "Authorization failed."}
		default:
			err = h.growTopic(ctx, c, &t, req.ValidateOnly)
		}
		out.ErrorCode, out.ErrorMessage = h.code(err)
		resp.Topics = append(resp.Topics, out)
	}
	return resp, nil
}

func (h *Handler) growTopic(ctx context.Context, c *call, t *kmsg.CreatePartitionsRequestTopic, validateOnly bool) error {
	return h.cluster.Update(ctx, func(img *cluster.Image) ([]cluster.Command, error) {
		refuse := func(code int16, format string, args ...any) ([]cluster.Command, error) {
			return nil, &cluster.Error{Code: code, Message: fmt.Sprintf(format, args...)}
		}
		topic := img.Topic(t.Topic)
		switch {
		case topic == nil:
			return refuse(errcode.UnknownTopicOrPartition, "The topic '%s' does not exist.", t.Topic)
		case cluster.IsInternal(t.Topic):
			// A group's partition follows from the number of partitions.
			return refuse(errcode.InvalidTopic, "The partitions of internal topics are fixed.")
		case t.Count < topic.Partitions():
			return refuse(errcode.InvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.", t.Topic, topic.Partitions(), t.Count)
		case t.Count == topic.Partitions():
			return refuse(errcode.InvalidPartitions, "Topic already has %d partition(s).", t.Count)
		case len(t.Assignment) > 0 && len(t.Assignment) != int(t.Count-topic.Partitions()):
			return refuse(errcode.InvalidReplicaAssignment, "Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", t.Count-topic.Partitions(), len(t.Assignment))
		}
		if err := h.checkPartitions(img, topic.Partitions(), t.Count); err != nil {
			return nil, err
		}
		for _, a := range t.Assignment {
			if err := h.checkReplicas(a.Replicas); err != nil {
				return nil, err
			}
		}
		if validateOnly {
			return nil, nil
		}
		if err := h.chargeMutation(c, int(t.Count-topic.Partitions()), 3); err != nil {
			return nil, err
		}
		return []cluster.Command{&cluster.AddPartitions{ID: topic.ID, Total: t.Count}}, nil
	})
}
