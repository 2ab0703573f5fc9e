package cluster

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"iter"
	"maps"

	"github.com/quokka-stream/quokka/broker/internal/quota"
)

// ID is a topic id, written in unpadded URL-safe base64 as Kafka's tools do.
type ID [16]byte

// NewID returns a random id. Like Kafka's it never begins with a dash, which
// command lines would take for an option.
func NewID() ID {
	for {
		var id ID
		_, _ = rand.Read(id[:]) // never fails
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if id.String()[0] != '-' {
			return id
		}
	}
}

// IsZero says whether the id names nothing.
func (id ID) IsZero() bool { return id == ID{} }

func (id ID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.DecodeString(string(text))
	if err != nil || len(b) != len(id) {
		return fmt.Errorf("%q is no topic id", text)
	}
	copy(id[:], b)
	return nil
}

// Image is one state of the metadata. Nothing in it may be changed.
type Image struct {
	// ClusterID names the installation; it is made on the first start.
	ClusterID string
	// Version counts the commands since the log was last rewritten.
	Version int64
	// Epoch counts the broker's starts, from 0.
	Epoch int32
	// NextProducerID is the first producer id that was never handed out in a block.
	NextProducerID int64
	// BrokerConfigs are the dynamic settings of all brokers.
	BrokerConfigs map[string]string
	// NodeConfigs are the dynamic settings of single brokers that have any, by id.
	NodeConfigs map[int32]map[string]string
	// Local is what this broker was started with.
	Local Local
	// GroupConfigs are the settings of groups that have any, by the group's id.
	GroupConfigs map[string]map[string]string
	// Users are those who may log in, by name.
	Users map[string]User
	// ACLs are the access rules.
	ACLs []ACL
	// ClientQuotas bound what clients may ask for.
	ClientQuotas quota.Table

	topics map[string]*Topic
	ids    map[ID]*Topic
	// lacking are the topics that want more replicas in sync than there are; most
	// often none.
	lacking map[ID]bool
	// defaults are the broker's values of the settings of topics; nil: they have to be
	// worked out.
	defaults map[string]string
}

// Topic is a topic.
type Topic struct {
	Name    string            `json:"name"`
	ID      ID                `json:"id"`
	Configs map[string]string `json:"configs,omitempty"` // only those set
	// Born has for each partition the broker epoch in which it was created.
	Born []int32 `json:"born"`
}

// Partitions is the number of partitions.
func (t *Topic) Partitions() int32 { return int32(len(t.Born)) }

// Topic returns a topic by name, nil when there is none.
func (i *Image) Topic(name string) *Topic { return i.topics[name] }

// TopicByID returns a topic by id, nil when there is none.
func (i *Image) TopicByID(id ID) *Topic { return i.ids[id] }

// Topics returns all topics by name; the map must not be changed.
func (i *Image) Topics() map[string]*Topic { return i.topics }

// LeaderEpoch is the leader epoch of a partition: how many times the broker has
// started since the partition was created. So every start raises every leader
// epoch, at the price of one record.
func (i *Image) LeaderEpoch(t *Topic, partition int32) int32 {
	return i.Epoch - t.Born[partition]
}

// Config returns the topic's value of a setting: its own, else the broker's.
func (i *Image) Config(t *Topic, name string) string {
	if v, ok := t.Configs[name]; ok {
		return v
	}
	if v, ok := i.defaults[name]; ok {
		return v
	}
	def := TopicConfigs[name]
	if def.Synonym == "" {
		return def.Default
	}
	return i.BrokerConfig(def.Synonym)
}

// LacksReplicas says that a topic's min.insync.replicas is above the one replica
// that there is, so that acks=all cannot be had.
func (i *Image) LacksReplicas(t *Topic) bool { return len(i.lacking) > 0 && i.lacking[t.ID] }

// finish works out what is asked often: of every topic, and of every produced batch.
func (i *Image) finish() {
	if i.defaults == nil {
		defaults := make(map[string]string, len(TopicConfigs))
		for name := range TopicConfigs {
			defaults[name] = i.Config(&Topic{}, name)
		}
		i.defaults = defaults
	}
	i.lacking = nil
	standard := i.BrokerInt("min.insync.replicas") > 1
	for id, t := range i.ids {
		_, own := t.Configs["min.insync.replicas"]
		if own && i.ConfigInt(t, "min.insync.replicas") > 1 || !own && standard && !IsInternal(t.Name) {
			if i.lacking == nil {
				i.lacking = map[ID]bool{}
			}
			i.lacking[id] = true
		}
	}
}

// clone returns a copy whose maps may be changed.
func (i *Image) clone() *Image {
	c := *i
	c.topics, c.ids, c.BrokerConfigs = maps.Clone(i.topics), maps.Clone(i.ids), maps.Clone(i.BrokerConfigs)
	c.Users, c.GroupConfigs, c.NodeConfigs, c.ClientQuotas = maps.Clone(i.Users), maps.Clone(i.GroupConfigs), maps.Clone(i.NodeConfigs), maps.Clone(i.ClientQuotas)
	return &c
}

func (i *Image) put(t *Topic) {
	i.topics[t.Name], i.ids[t.ID] = t, t
}

func newImage() *Image {
	return &Image{topics: map[string]*Topic{}, ids: map[ID]*Topic{}, BrokerConfigs: map[string]string{}, GroupConfigs: map[string]map[string]string{}, NodeConfigs: map[int32]map[string]string{}, Users: map[string]User{}, ClientQuotas: quota.Table{}}
}

// All ranges over the topics by id.
func (i *Image) All() iter.Seq2[ID, *Topic] { return maps.All(i.ids) }

// SameBrokerConfigs says whether two images have the same broker settings.
func SameBrokerConfigs(a, b *Image) bool {
	return maps.Equal(a.BrokerConfigs, b.BrokerConfigs) && maps.EqualFunc(a.NodeConfigs, b.NodeConfigs, maps.Equal)
}

// PartitionCount is the number of partitions of all topics.
func (i *Image) PartitionCount() int {
	n := 0
	for _, t := range i.topics {
		n += len(t.Born)
	}
	return n
}
