package cluster

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// kafkaConfig is a line of what Apache Kafka says about a setting.
type kafkaConfig struct{ name, typ, value, valid, internal, update string }

func kafkaConfigs(t *testing.T, file string) map[string]kafkaConfig {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]kafkaConfig{}
	for line := range strings.Lines(string(text)) {
		f := append(strings.Split(strings.TrimRight(line, "\n"), "\t"), "")
		if !strings.HasPrefix(line, "#") {
			out[f[0]] = kafkaConfig{f[0], f[1], f[2], f[3], f[4], f[5]}
		}
	}
	return out
}

var (
	typeNames = map[ConfigType]string{Bool: "BOOLEAN", String: "STRING", Int: "INT", Short: "SHORT", Long: "LONG", Double: "DOUBLE", List: "LIST", Class: "CLASS", Password: "PASSWORD"}
	bounds    = regexp.MustCompile(`^\[(-?[\d.]+),\.\.\.(?:,(-?[\d.]+))?\](?: or (-?\d+))?$`)
)

// sameAs compares a definition with Kafka's.
func (d ConfigDef) sameAs(t *testing.T, k kafkaConfig, defaults map[string]string) {
	t.Helper()
	if typeNames[d.Type] != k.typ {
		t.Errorf("%s is of type %s, in Kafka of type %s", k.name, typeNames[d.Type], k.typ)
	}
	if _, ours := defaults[k.name]; !ours {
		null := k.value == "<null>" || k.value == "<none>"
		if d.Null != null || !null && d.Default != k.value {
			t.Errorf("%s has the default %q, in Kafka %q; name the reason in ourDefaults", k.name, d.Default, k.value)
		}
	} else if d.Default == k.value {
		t.Errorf("%s has Kafka's default", k.name)
	}
	if d.Internal != (k.internal != "") {
		t.Errorf("%s: internal is %v", k.name, d.Internal)
	}
	refuses := func(values ...string) {
		for _, v := range values {
			if d.wrong(v) == "" {
				t.Errorf("%s takes %q; in Kafka valid is %s", k.name, v, k.valid)
			}
		}
	}
	takes := func(values ...string) {
		for _, v := range values {
			if why := d.wrong(v); why != "" {
				t.Errorf("%s does not take %q: %s; in Kafka valid is %s", k.name, v, why, k.valid)
			}
		}
	}
	if !d.Null && d.Type != Password {
		takes(d.Default)
	}
	valid, noCase := strings.CutPrefix(k.valid, "(case insensitive) ")
	switch m := bounds.FindStringSubmatch(valid); {
	case m != nil:
		low, _ := strconv.ParseFloat(m[1], 64)
		takes(m[1])
		refuses("x", "", strconv.FormatFloat(low-1, 'f', -1, 64))
		if m[2] != "" {
			high, _ := strconv.ParseFloat(m[2], 64)
			takes(m[2])
			refuses(strconv.FormatFloat(high+1, 'f', -1, 64))
		}
		if m[3] != "" {
			takes(m[3])
			refuses("0")
		}
	case valid == "[partitionId]:[brokerId],[partitionId]:[brokerId],...":
		takes("", "*", "0:1,2:3")
		refuses("0", "a:b")
	case strings.HasPrefix(valid, "[") && k.name == "share.auto.offset.reset":
	case strings.HasPrefix(valid, "["):
		values := strings.Split(strings.Trim(valid, "[]"), ", ")
		takes(values...)
		if noCase {
			takes(strings.ToLower(values[0]))
		}
		refuses("nonsense")
	case valid == "non-empty string":
		refuses("")
	case k.typ == "INT":
		takes(strconv.Itoa(math.MinInt32), strconv.Itoa(math.MaxInt32))
		refuses(strconv.Itoa(math.MaxInt32 + 1))
	}
}

// TestBrokerConfigsAreKafkas: every setting of a broker of Apache Kafka 4.1 is
// known, with its type, default, valid values and update mode, and no other one
// but our own.
func TestBrokerConfigsAreKafkas(t *testing.T) {
	kafka := kafkaConfigs(t, "kafka-4.1-broker-configs.tsv")
	if len(kafka) < 300 {
		t.Fatalf("%d settings were read", len(kafka))
	}
	for name, k := range kafka {
		def, ok := BrokerConfigs()[name]
		if !ok {
			t.Errorf("%s is missing", name)
			continue
		}
		def.sameAs(t, k, ourDefaults)
		if def.Update.String() != k.update {
			t.Errorf("%s is %s, in Kafka %s", name, def.Update, k.update)
		}
	}
	for name, def := range BrokerConfigs() {
		_, theirs := kafka[name]
		if _, ours := ownConfigs[name]; theirs == ours {
			t.Errorf("%s is no setting of Kafka's", name)
		}
		if len(def.Doc) < 20 {
			t.Errorf("%s: the documentation says nothing: %q", name, def.Doc)
		}
	}
	for name := range ourDefaults {
		if _, ok := kafka[name]; !ok {
			t.Errorf("ourDefaults has %s", name)
		}
	}
}

// TestTopicConfigsAreKafkas: the same of topics.
func TestTopicConfigsAreKafkas(t *testing.T) {
	kafka := kafkaConfigs(t, "kafka-4.1-topic-configs.tsv")
	if len(kafka) < 30 {
		t.Fatalf("%d settings were read", len(kafka))
	}
	for name, k := range kafka {
		def, ok := TopicConfigs[name]
		switch {
		case k.internal != "":
		case name == "remote.storage.enable": // only false
			if def.wrong("true") == "" {
				t.Error("tiered storage can be switched on")
			}
		case !ok:
			t.Errorf("%s is missing", name)
		default:
			def.sameAs(t, k, nil)
		}
		if def.Synonym != "" && brokerConfigs[def.Synonym].Type == 0 {
			t.Errorf("%s has the synonym %s, which is none", name, def.Synonym)
		}
	}
	for name := range TopicConfigs {
		if _, ok := kafka[name]; !ok && !strings.HasPrefix(name, "confluent.") {
			t.Errorf("%s is no setting of Kafka's", name)
		}
	}
}

// TestBrokerLayers: which of several values counts, in Kafka's order.
func TestBrokerLayers(t *testing.T) {
	img := newImage()
	topic := &Topic{Name: "t", Configs: map[string]string{}}
	is := func(what, name, want string, layers int) {
		t.Helper()
		if got := img.BrokerLayers(name); img.BrokerConfig(name) != want || len(got) != layers {
			t.Errorf("%s: %s is %q by %v, not %q", what, name, img.BrokerConfig(name), got, want)
		}
	}
	retention := func(what, want string) {
		t.Helper()
		if got := img.Config(topic, "retention.ms"); got != want {
			t.Errorf("%s: retention.ms is %s, not %s", what, got, want)
		}
	}
	is("nothing set", "log.retention.ms", "604800000", 1)
	is("nothing set", "listener.name.internal.max.connections", "1000", 1)
	is("nothing set", "advertised.listeners", "", 0)
	retention("nothing set", "604800000")
	img.Local = Local{NodeID: 7, Static: map[string]string{"log.retention.hours": "2", "max.connections": "50", "log.retention.minutes": "-1"}}
	retention("for ever in minutes", "-1")
	delete(img.Local.Static, "log.retention.minutes")
	is("hours at the start", "log.retention.ms", "7200000", 2)
	retention("hours at the start", "7200000")
	img.BrokerConfigs["log.retention.ms"] = "3000"
	img.BrokerConfigs["max.connections"] = "40"
	is("a default of all", "log.retention.ms", "3000", 3)
	is("a default of all", "listener.name.internal.max.connections", "40", 3)
	img.NodeConfigs[8] = map[string]string{"log.retention.ms": "1"}
	img.NodeConfigs[7] = map[string]string{"log.retention.ms": "4000", ForListener("INTERNAL", "max.connections"): "5"}
	is("of this broker", "log.retention.ms", "4000", 4)
	is("of this broker's listener", "listener.name.internal.max.connections", "5", 4)
	retention("of this broker", "4000")
	topic.Configs["retention.ms"] = "9"
	retention("of the topic", "9")
}

// TestFindBrokerConfig: settings of one listener are those of the broker.
func TestFindBrokerConfig(t *testing.T) {
	for name, want := range map[string]string{
		"num.partitions": "num.partitions", "listener.name.x.ssl.client.auth": "ssl.client.auth",
		"listener.name.x.plain.sasl.jaas.config": "sasl.jaas.config", "listener.name.x.scram-sha-256.sasl.jaas.config": "sasl.jaas.config",
		"listener.name.x.max.connections": "max.connections",
		"listener.name.x.num.partitions":  "", "listener.name.x.no.such": "", "listener.name.x": "", "no.such": "", "": "", "listener.name.": "",
	} {
		if _, base, ok := FindBrokerConfig(name); ok != (want != "") || ok && base != want {
			t.Errorf("%s is found as %s, %v", name, base, ok)
		}
	}
}
