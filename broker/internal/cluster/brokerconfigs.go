package cluster

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Update says who may change a setting of the broker while it runs, as Kafka
// distinguishes: nobody, one broker for itself, or all of them together as well.
type Update int8

// The update modes.
const (
	ReadOnly    Update = iota // by a restart only
	PerBroker                 // for one broker, not as a default of all
	ClusterWide               // for one broker, and as a default of all
)

func (u Update) String() string {
	return []string{"read-only", "per-broker", "cluster-wide"}[u]
}

// Synonym is a setting that gives another one its value where that has none: the
// value times Factor; a negative value stays -1.
type Synonym struct {
	Name   string
	Factor int64
}

// HasEffect says whether the setting does anything here.
func (d ConfigDef) HasEffect() bool { return !strings.Contains(d.Doc, "No effect") }

// Why settings of Kafka's have no effect here.
const (
	noReplication = "No effect here: there is one broker, and nothing is replicated."
	noController  = "No effect here: there are neither controllers nor other brokers."
	noTiers       = "No effect here: there is no tiered storage."
	noShare       = "No effect here: share groups are not served."
	noStreams     = "No effect here: streams groups are not served."
	noLogin       = "No effect here: clients log in by SCRAM or PLAIN, for as long as their connection lasts."
	noJava        = "No effect here: there are no classes to load."
	noWindow      = "No effect here: a client may save up ten seconds of a quota, which is the default."
	noThreads     = "No effect here: the broker sizes its own queues, buffers and workers."
)

func topicDefault(name string) string {
	return "The default of topics' " + name + ". " + TopicConfigs[name].Doc
}

// ourDefaults are the defaults that are not Kafka's. What replicates is 1 because
// there is one broker; the bounds are there because a broker without any is taken
// down by one client; and nobody else reaches a listener that nobody has secured.
var ourDefaults = map[string]string{
	"broker.id": "1", "node.id": "1", "process.roles": "broker,controller",
	"listeners": "PLAINTEXT://127.0.0.1:9092", "log.dir": "broker-data",
	"log.retention.check.interval.ms": "30000", "log.cleaner.dedupe.buffer.size": "67108864",
	"max.connections": "1000", "max.connections.per.ip": "100", "sasl.server.max.receive.size": "65536",
	"group.max.size": "500", "group.consumer.max.size": "500",
	"group.coordinator.rebalance.protocols": "classic,consumer",
	"offsets.topic.replication.factor":      "1", "transaction.state.log.replication.factor": "1", "transaction.state.log.min.isr": "1",
	"share.coordinator.state.topic.replication.factor": "1", "share.coordinator.state.topic.min.isr": "1",
	"sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN",
	"ssl.keystore.type":       "PEM", "ssl.truststore.type": "PEM",
}

// kafkaDefaults are the defaults in Kafka of those.
var kafkaDefaults = map[string]string{}

// KafkaDefault returns the default that a setting has in Kafka, where it has another
// one here.
func KafkaDefault(name string) (string, bool) {
	v, ok := kafkaDefaults[name]
	return v, ok
}

// brokerConfigs are all settings of a broker of Apache Kafka 4.1, and our own.
var brokerConfigs = func() map[string]ConfigDef {
	out := map[string]ConfigDef{}
	for _, part := range []map[string]ConfigDef{logConfigs, networkConfigs, securityConfigs, groupCoordinatorConfigs, nodeConfigs, ownConfigs} {
		maps.Copy(out, part)
	}
	for name, value := range ourDefaults {
		def := out[name]
		kafkaDefaults[name] = "none"
		if !def.Null {
			kafkaDefaults[name] = def.Default
		}
		def.Default, def.Null = value, false
		out[name] = def
	}
	return out
}()

// BrokerConfigs returns the settings of a broker; the map must not be changed.
func BrokerConfigs() map[string]ConfigDef { return brokerConfigs }

// listenerPrefix begins a setting that is about one listener.
const listenerPrefix = "listener.name."

// perListener says whether a setting may be given for one listener.
func perListener(name string) bool {
	return strings.HasPrefix(name, "ssl.") || strings.HasPrefix(name, "sasl.") ||
		slices.Contains([]string{"max.connections", "max.connection.creation.rate", "connections.max.reauth.ms", "principal.builder.class", "num.network.threads"}, name)
}

// ForListener is the name of a setting given for one listener.
func ForListener(listener, name string) string {
	return listenerPrefix + strings.ToLower(listener) + "." + name
}

// FindBrokerConfig returns the definition of a broker's setting. A setting of one
// listener, "listener.name.NAME.setting", is defined as the setting is; base is the
// setting's name without the prefix, and without that of a mechanism.
func FindBrokerConfig(name string) (def ConfigDef, base string, ok bool) {
	if def, ok = brokerConfigs[name]; ok {
		return def, name, true
	}
	rest, prefixed := strings.CutPrefix(name, listenerPrefix)
	_, rest, dotted := strings.Cut(rest, ".")
	if !prefixed || !dotted {
		return ConfigDef{}, name, false
	}
	if def, ok = brokerConfigs[rest]; ok && perListener(rest) {
		return def, rest, true
	}
	// "plain.sasl.jaas.config"
	if _, rest, dotted = strings.Cut(rest, "."); dotted && strings.HasPrefix(rest, "sasl.") {
		def, ok = brokerConfigs[rest]
		return def, rest, ok
	}
	return ConfigDef{}, name, false
}

// ConfigSource says where a value comes from, with the number that
// DescribeConfigs uses.
type ConfigSource int8

// The sources of a broker's values.
const (
	DynamicBroker  ConfigSource = 2 // set for this broker while it ran
	DynamicDefault ConfigSource = 3 // set for all brokers while they ran
	StaticBroker   ConfigSource = 4 // given at the start
	DefaultConfig  ConfigSource = 5
)

// Layer is one of the values that a setting has, of which the first counts.
type Layer struct {
	Name   string // of the setting or of its synonym
	Value  string
	Source ConfigSource
	Factor int64 // of a synonym, else 1
}

// value is the layer's value in the unit of the setting.
func (l Layer) value() string {
	if l.Factor == 1 {
		return l.Value
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(l.Value), 10, 64) // checked when it was set
	if n < 0 {
		return "-1"
	}
	return strconv.FormatInt(n*l.Factor, 10)
}

// Local is what this broker was started with; it is no part of the log.
type Local struct {
	NodeID int32
	// Static are the settings given at the start, by Kafka's names.
	Static map[string]string
}

// SetLocal says what this broker was started with.
func (c *Cluster) SetLocal(l Local) {
	c.mu.Lock()
	defer c.mu.Unlock()
	img := c.image.Load().clone()
	img.Local, img.defaults = l, nil
	img.finish()
	c.image.Store(img)
}

// BrokerLayers returns the values that a setting of this broker has, the one that
// counts first.
func (i *Image) BrokerLayers(name string) []Layer {
	var out []Layer
	add := func(source ConfigSource, values map[string]string, name string, factor int64) {
		if v, ok := values[name]; ok {
			out = append(out, Layer{Name: name, Value: v, Source: source, Factor: factor})
		}
	}
	def, base, ok := FindBrokerConfig(name)
	names := []Synonym{{name, 1}}
	if ok && base != name && strings.HasPrefix(name, listenerPrefix) {
		names = append(names, Synonym{base, 1})
	}
	names = append(names, def.Synonyms...)
	add(DynamicBroker, i.NodeConfigs[i.Local.NodeID], name, 1)
	add(DynamicDefault, i.BrokerConfigs, name, 1)
	if len(names) > 1 && names[1].Name == base {
		add(DynamicBroker, i.NodeConfigs[i.Local.NodeID], base, 1)
		add(DynamicDefault, i.BrokerConfigs, base, 1)
	}
	for _, n := range names {
		add(StaticBroker, i.Local.Static, n.Name, n.Factor)
	}
	for _, n := range names {
		if d := brokerConfigs[n.Name]; d.Type != 0 && !d.Null {
			out = append(out, Layer{Name: n.Name, Value: d.Default, Source: DefaultConfig, Factor: n.Factor})
		}
	}
	return out
}

// BrokerConfig returns this broker's value of a setting, "" for none.
func (i *Image) BrokerConfig(name string) string {
	if layers := i.BrokerLayers(name); len(layers) > 0 {
		return layers[0].value()
	}
	return ""
}

// BrokerInt returns this broker's value of a numeric setting.
func (i *Image) BrokerInt(name string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSpace(i.BrokerConfig(name)), 10, 64) // checked when it was set
	return n
}

// BrokerBool returns this broker's value of a yes-or-no setting.
func (i *Image) BrokerBool(name string) bool {
	return strings.EqualFold(strings.TrimSpace(i.BrokerConfig(name)), "true")
}
