// Package schemas is the platform's data contract. This package declares every
// topic once: name, key, partitions, retention, and which schemas it carries.
// The events themselves are Avro schemas in avro/, with their Go types in
// events/; serde/ puts them on the wire and apply/ makes a cluster and a
// registry agree with what is declared here.
package schemas

import (
	"maps"
	"slices"
	"strconv"
	"time"
)

// SubjectStrategy says under which registry subject a topic's values are
// registered.
type SubjectStrategy uint8

const (
	// TopicName registers one schema per topic, as <topic>-value; keys that
	// are Avro go under <topic>-key.
	TopicName SubjectStrategy = iota
	// TopicRecordName registers one subject per event type of a topic, as
	// <topic>-<full record name>: for topics of several types, whose order
	// matters among each other.
	TopicRecordName
	// NoSubject is for topics whose values are copied bytes.
	NoSubject
)

// Registry compatibility levels used by the platform.
const (
	// FullTransitive lets producers and consumers of any two versions meet:
	// an event may be read years after it was written, and by a consumer
	// older than its producer.
	FullTransitive = "FULL_TRANSITIVE"
	// Backward lets a table change as long as new readers read old rows.
	Backward = "BACKWARD"
)

// Names of the platform's topics.
const (
	TopicOrders       = "orders.v1"
	TopicInventory    = "inventory.v1"
	TopicLogs         = "logs.v1"
	TopicCDCProducts  = "cdc.inventory.public.products"
	TopicCDCCustomers = "cdc.order.public.customers"
	TopicExamples     = "examples.v1"
)

// Consumer groups that have dead-letter topics.
const (
	GroupInventory    = "inventory"
	GroupOrder        = "order"
	GroupNotification = "notification"
	GroupSearchSync   = "search-sync"
)

// Topic is the declaration of one topic.
type Topic struct {
	// Name is the topic's name.
	Name string
	// Key says what the record key is.
	Key string
	// Partitions is fixed at creation: changing it would move keys between
	// partitions and break their order.
	Partitions int32
	// Config are the topic configurations set at creation and kept so.
	Config map[string]string
	// Subjects says how values are named in the registry.
	Subjects SubjectStrategy
	// Schemas are the full names of the events the topic carries; empty where
	// the schemas are derived at run time, as for change data capture.
	Schemas []string
	// AvroKey is set where the key is Avro too, under <topic>-key.
	AvroKey bool
	// Compatibility is the level of all the topic's subjects.
	Compatibility string
	// Groups are the consumer groups that give up records of this topic to
	// the dead-letter topic <topic>.<group>.dlq.
	Groups []string
}

// The topics of the platform.
var (
	// Orders carries every event of every order, kept for ever: the state of
	// any order at any time is the fold of its events.
	Orders = Topic{
		Name:       TopicOrders,
		Key:        "customer id, UTF-8",
		Partitions: 6,
		Config:     map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"},
		Subjects:   TopicRecordName,
		Schemas: []string{
			"quokka.order.v1.OrderPlaced",
			"quokka.order.v1.OrderConfirmed",
			"quokka.order.v1.OrderRejected",
			"quokka.order.v1.OrderCancelled",
		},
		Compatibility: FullTransitive,
		Groups:        []string{GroupInventory, GroupNotification, GroupSearchSync},
	}

	// Inventory carries what became of each order's stock.
	Inventory = Topic{
		Name:       TopicInventory,
		Key:        "customer id, UTF-8",
		Partitions: 6,
		Config:     map[string]string{"cleanup.policy": "delete", "retention.ms": days(7)},
		Subjects:   TopicRecordName,
		Schemas: []string{
			"quokka.inventory.v1.StockReserved",
			"quokka.inventory.v1.StockRejected",
			"quokka.inventory.v1.StockReleased",
		},
		Compatibility: FullTransitive,
		Groups:        []string{GroupOrder},
	}

	// CDCProducts carries the rows of inventory's products table.
	CDCProducts = Topic{
		Name:          TopicCDCProducts,
		Key:           "primary key, Avro",
		Partitions:    3,
		Config:        map[string]string{"cleanup.policy": "compact"},
		Subjects:      TopicName,
		AvroKey:       true,
		Compatibility: Backward,
		Groups:        []string{GroupSearchSync},
	}

	// CDCCustomers carries the rows of order's customers table.
	CDCCustomers = Topic{
		Name:          TopicCDCCustomers,
		Key:           "primary key, Avro",
		Partitions:    3,
		Config:        map[string]string{"cleanup.policy": "compact"},
		Subjects:      TopicName,
		AvroKey:       true,
		Compatibility: Backward,
		Groups:        []string{GroupSearchSync, GroupNotification},
	}

	// Logs carries the log lines of every service, spread over partitions.
	Logs = Topic{
		Name:          TopicLogs,
		Key:           "none",
		Partitions:    3,
		Config:        map[string]string{"cleanup.policy": "delete", "retention.ms": days(1)},
		Subjects:      TopicName,
		Schemas:       []string{"quokka.logs.v1.LogLine"},
		Compatibility: FullTransitive,
		Groups:        []string{GroupSearchSync},
	}

	// Examples carries what the template service recorded.
	Examples = Topic{
		Name:       TopicExamples,
		Key:        "that of the event recorded",
		Partitions: 6,
		Config:     map[string]string{"cleanup.policy": "delete", "retention.ms": days(7)},
		Subjects:   TopicRecordName,
		Schemas: []string{
			"quokka.example.v1.ExampleRecorded",
		},
		Compatibility: FullTransitive,
	}
)

// Topics returns the topics of the platform, without the dead-letter topics.
func Topics() []Topic {
	return []Topic{Orders, Inventory, CDCProducts, CDCCustomers, Logs}
}

// Declared returns the topics of the platform and Examples: that one is for the
// template of services (services/template) and its tests, and no platform has it.
func Declared() []Topic { return append(Topics(), Examples) }

// Lookup returns the declaration of a topic by name.
func Lookup(name string) (Topic, bool) {
	for _, t := range Declared() {
		if t.Name == name {
			return t, true
		}
	}
	return Topic{}, false
}

// DeadLetter returns the topic to which a group's consumer moves a record of
// topic that it gives up: original key and bytes, one partition, so that what
// failed stays in the order in which it failed.
func DeadLetter(topic, group string) Topic {
	return Topic{
		Name:       topic + "." + group + ".dlq",
		Key:        "original",
		Partitions: 1,
		Config:     map[string]string{"cleanup.policy": "delete", "retention.ms": days(14)},
		Subjects:   NoSubject,
	}
}

// DeadLetters returns the dead-letter topics of t's consumer groups.
func (t Topic) DeadLetters() []Topic {
	out := make([]Topic, len(t.Groups))
	for i, g := range t.Groups {
		out[i] = DeadLetter(t.Name, g)
	}
	return out
}

// Subject returns the registry subject for values of t written with the
// schema of this full name, or "" where values have no schema.
func (t Topic) Subject(fullName string) string {
	switch t.Subjects {
	case TopicRecordName:
		return t.Name + "-" + fullName
	case TopicName:
		return t.Name + "-value"
	default:
		return ""
	}
}

// SubjectNames returns every registry subject of the topic, sorted.
func (t Topic) SubjectNames() []string {
	set := map[string]bool{}
	switch t.Subjects {
	case TopicName:
		set[t.Subject("")] = true
	case TopicRecordName:
		for _, s := range t.Schemas {
			set[t.Subject(s)] = true
		}
	}
	if t.AvroKey {
		set[t.Name+"-key"] = true
	}
	return slices.Sorted(maps.Keys(set))
}

func days(n int) string {
	return strconv.FormatInt((time.Duration(n) * 24 * time.Hour).Milliseconds(), 10)
}
