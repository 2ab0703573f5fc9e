package cluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/quokka-stream/quokka/broker/internal/errcode"
)

// Error is a refusal with the code that the client is to get.
type Error struct {
	Code    int16
	Message string
}

func (e *Error) Error() string { return e.Message }

func refuse(code int16, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Command is one change of the metadata. apply changes an image that is its own
// to change, or refuses and leaves it unusable.
type Command interface {
	apply(*Image) error
}

// SetClusterID names the installation, once.
type SetClusterID struct {
	ClusterID string `json:"cluster_id"`
}

func (c *SetClusterID) apply(i *Image) error {
	i.ClusterID = c.ClusterID
	return nil
}

// StartBroker records a start of the broker, which raises every leader epoch.
type StartBroker struct {
	Epoch int32 `json:"epoch"`
}

func (c *StartBroker) apply(i *Image) error {
	i.Epoch = c.Epoch
	return nil
}

// mostPartitions bounds what one topic may have, so that a damaged command is refused
// before memory is taken for it. The broker's own limits are far below.
const mostPartitions = 1 << 20

// CreateTopic creates a topic.
type CreateTopic struct {
	Name       string            `json:"name"`
	ID         ID                `json:"id"`
	Partitions int32             `json:"partitions,omitempty"`
	Configs    map[string]string `json:"configs,omitempty"`
	// Born is set instead of Partitions where an image is written down.
	Born []int32 `json:"born,omitempty"`
}

func (c *CreateTopic) apply(i *Image) error {
	if i.topics[c.Name] != nil {
		return refuse(errcode.TopicAlreadyExists, "Topic '%s' already exists.", c.Name)
	}
	if c.Partitions < 0 || c.Partitions > mostPartitions {
		return refuse(errcode.InvalidPartitions, "A topic cannot have %d partitions.", c.Partitions)
	}
	t := &Topic{Name: c.Name, ID: c.ID, Configs: c.Configs, Born: c.Born}
	if t.Born == nil {
		t.Born = slices.Repeat([]int32{i.Epoch}, int(c.Partitions))
	}
	i.put(t)
	return nil
}

// DeleteTopic deletes a topic.
type DeleteTopic struct {
	ID ID `json:"id"`
}

func (c *DeleteTopic) apply(i *Image) error {
	t := i.ids[c.ID]
	if t == nil {
		return refuse(errcode.UnknownTopicID, "There is no topic with id %s.", c.ID)
	}
	delete(i.ids, t.ID)
	delete(i.topics, t.Name)
	return nil
}

// AddPartitions grows a topic to a number of partitions.
type AddPartitions struct {
	ID    ID    `json:"id"`
	Total int32 `json:"total"`
}

func (c *AddPartitions) apply(i *Image) error {
	t := i.ids[c.ID]
	if t == nil {
		return refuse(errcode.UnknownTopicOrPartition, "There is no topic with id %s.", c.ID)
	}
	if c.Total <= t.Partitions() {
		return refuse(errcode.InvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.", t.Name, t.Partitions(), c.Total)
	}
	if c.Total > mostPartitions {
		return refuse(errcode.InvalidPartitions, "A topic cannot have %d partitions.", c.Total)
	}
	grown := *t
	grown.Born = slices.Clone(t.Born)
	for int32(len(grown.Born)) < c.Total {
		grown.Born = append(grown.Born, i.Epoch)
	}
	i.put(&grown)
	return nil
}

// SetTopicConfigs replaces the settings of a topic.
type SetTopicConfigs struct {
	ID      ID                `json:"id"`
	Configs map[string]string `json:"configs,omitempty"`
}

func (c *SetTopicConfigs) apply(i *Image) error {
	t := i.ids[c.ID]
	if t == nil {
		return refuse(errcode.UnknownTopicOrPartition, "There is no topic with id %s.", c.ID)
	}
	changed := *t
	changed.Configs = maps.Clone(c.Configs)
	i.put(&changed)
	return nil
}

// SetBrokerConfigs replaces the dynamic settings of all brokers.
type SetBrokerConfigs struct {
	Configs map[string]string `json:"configs,omitempty"`
}

func (c *SetBrokerConfigs) apply(i *Image) error {
	i.BrokerConfigs, i.defaults = maps.Clone(c.Configs), nil
	if i.BrokerConfigs == nil {
		i.BrokerConfigs = map[string]string{}
	}
	return nil
}

// SetNodeConfigs replaces the dynamic settings of one broker.
type SetNodeConfigs struct {
	Node    int32             `json:"node"`
	Configs map[string]string `json:"configs,omitempty"`
}

func (c *SetNodeConfigs) apply(i *Image) error {
	i.defaults = nil
	if len(c.Configs) == 0 {
		delete(i.NodeConfigs, c.Node)
		return nil
	}
	i.NodeConfigs[c.Node] = maps.Clone(c.Configs)
	return nil
}

// SetGroupConfigs replaces the settings of a group.
type SetGroupConfigs struct {
	Group   string            `json:"group"`
	Configs map[string]string `json:"configs,omitempty"`
}

func (c *SetGroupConfigs) apply(i *Image) error {
	if len(c.Configs) == 0 {
		delete(i.GroupConfigs, c.Group)
		return nil
	}
	i.GroupConfigs[c.Group] = maps.Clone(c.Configs)
	return nil
}

// AllocateProducerIDs takes all producer ids below Next.
type AllocateProducerIDs struct {
	Next int64 `json:"next"`
}

func (c *AllocateProducerIDs) apply(i *Image) error {
	if c.Next < i.NextProducerID {
		return refuse(errcode.UnknownServerError, "producer ids up to %d are taken", i.NextProducerID)
	}
	i.NextProducerID = c.Next
	return nil
}

// commands has an empty command for each name in the log. A name is for ever.
var commands = map[string]func() Command{
	"cluster-id":     func() Command { return &SetClusterID{} },
	"start":          func() Command { return &StartBroker{} },
	"create-topic":   func() Command { return &CreateTopic{} },
	"delete-topic":   func() Command { return &DeleteTopic{} },
	"add-partitions": func() Command { return &AddPartitions{} },
	"topic-configs":  func() Command { return &SetTopicConfigs{} },
	"broker-configs": func() Command { return &SetBrokerConfigs{} },
	"node-configs":   func() Command { return &SetNodeConfigs{} },
	"group-configs":  func() Command { return &SetGroupConfigs{} },
	"producer-ids":   func() Command { return &AllocateProducerIDs{} },
	"set-credential": func() Command { return &SetCredential{} },
	"client-quotas":  func() Command { return &SetClientQuotas{} },
	"del-credential": func() Command { return &DeleteCredential{} },
	"add-acls":       func() Command { return &AddACLs{} },
	"delete-acls":    func() Command { return &DeleteACLs{} },
}

type envelope struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

func encode(c Command) ([]byte, error) {
	for name, make := range commands {
		if fmt.Sprintf("%T", make()) == fmt.Sprintf("%T", c) {
			data, err := json.Marshal(c)
			if err != nil {
				return nil, err
			}
			return json.Marshal(envelope{Type: name, Data: data})
		}
	}
	return nil, fmt.Errorf("command %T has no name", c)
}

func decode(record []byte) (Command, error) {
	var e envelope
	if err := json.Unmarshal(record, &e); err != nil {
		return nil, err
	}
	make, ok := commands[e.Type]
	if !ok {
		return nil, fmt.Errorf("command %q was written by a newer version", e.Type)
	}
	c := make()
	if err := json.Unmarshal(e.Data, c); err != nil {
		return nil, fmt.Errorf("command %q: %w", e.Type, err)
	}
	return c, nil
}

// commandsOf returns commands that make the image from nothing.
func commandsOf(i *Image) []Command {
	out := []Command{
		&SetClusterID{ClusterID: i.ClusterID},
		&StartBroker{Epoch: i.Epoch},
		&AllocateProducerIDs{Next: i.NextProducerID},
	}
	if len(i.BrokerConfigs) > 0 {
		out = append(out, &SetBrokerConfigs{Configs: i.BrokerConfigs})
	}
	for _, node := range slices.Sorted(maps.Keys(i.NodeConfigs)) {
		out = append(out, &SetNodeConfigs{Node: node, Configs: i.NodeConfigs[node]})
	}
	for _, id := range slices.Sorted(maps.Keys(i.GroupConfigs)) {
		out = append(out, &SetGroupConfigs{Group: id, Configs: i.GroupConfigs[id]})
	}
	for _, name := range slices.Sorted(maps.Keys(i.Users)) {
		for _, mechanism := range slices.Sorted(maps.Keys(i.Users[name])) {
			out = append(out, &SetCredential{User: name, Mechanism: mechanism, Credential: i.Users[name][mechanism]})
		}
	}
	for _, e := range i.QuotaEntities() {
		out = append(out, &SetClientQuotas{Entity: e, Limits: i.ClientQuotas[e]})
	}
	if len(i.ACLs) > 0 {
		out = append(out, &AddACLs{ACLs: i.ACLs})
	}
	for _, name := range slices.Sorted(maps.Keys(i.topics)) {
		t := i.topics[name]
		out = append(out, &CreateTopic{Name: t.Name, ID: t.ID, Configs: t.Configs, Born: t.Born})
	}
	return out
}
