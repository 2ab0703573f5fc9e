package conformance

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
)

// brokerConfig describes one setting of a broker resource, nil where it has none.
func (c *conn) brokerConfig(resource, name string) *kmsg.DescribeConfigsResponseResourceConfig {
	c.t.Helper()
	all := c.brokerConfigs(resource, name)
	if len(all) == 0 {
		return nil
	}
	return &all[0]
}

func (c *conn) brokerConfigs(resource string, names ...string) []kmsg.DescribeConfigsResponseResourceConfig {
	c.t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms, req.IncludeDocumentation = true, true
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeBroker, resource, names
	req.Resources = append(req.Resources, r)
	out := ask[*kmsg.DescribeConfigsResponse](c, 4, req).Resources[0]
	if out.ErrorCode != 0 {
		c.t.Fatalf("describing broker %q: %d", resource, out.ErrorCode)
	}
	return out.Configs
}

// alterBroker sets a broker's setting, or, without a value, deletes it.
func (c *conn) alterBroker(resource, name string, value ...string) (int16, string) {
	c.t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, resource
	e := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	e.Name, e.Op = name, kmsg.IncrementalAlterConfigOpDelete
	if len(value) > 0 {
		e.Op, e.Value = kmsg.IncrementalAlterConfigOpSet, &value[0]
	}
	r.Configs = append(r.Configs, e)
	req.Resources = append(req.Resources, r)
	out := ask[*kmsg.IncrementalAlterConfigsResponse](c, 1, req).Resources[0]
	if out.ErrorMessage == nil {
		return out.ErrorCode, ""
	}
	return out.ErrorCode, *out.ErrorMessage
}

// TestAlterBroker: which settings of a broker can be changed while it runs, for it
// or for all; refusals are in Apache Kafka's words.
func TestAlterBroker(t *testing.T) {
	b := start(t)
	c := dial(t, b.Addr())
	for _, x := range []struct {
		resource, name, value string
		code                  int16
		message               string
	}{
		{"1", "num.partitions", "3", 42, "Cannot update these configs dynamically: Set(num.partitions)"},
		{"", "num.partitions", "3", 42, "Cannot update these configs dynamically: Set(num.partitions)"},
		{"1", "log.retention.hours", "3", 42, "Cannot update these configs dynamically: Set(log.retention.hours)"},
		{"", "ssl.client.auth", "none", 42, "Cannot update these configs at default cluster level, broker id must be specified: Set(ssl.client.auth)"},
		{"1", "ssl.keystore.password", "x", 42, "These security configs can be dynamically updated only per-listener using the listener prefix: Set(ssl.keystore.password)"},
		{"1", "log.retention.ms", "x", 42, "Invalid value x for configuration log.retention.ms: Not a number of type LONG"},
		{"", "log.segment.bytes", "5", 42, "Invalid value 5 for configuration log.segment.bytes: Value must be at least 1048576"},
		{"1", "max.connections.per.ip.overrides", "a:1,b", 42, "Error parsing configuration property 'max.connections.per.ip.overrides'"},
		{"1", "listeners", "PLAINTEXT://127.0.0.1:1", 42, "listeners are opened when the broker starts"},
		{"1", "advertised.listeners", "PLAINTEXT://127.0.0.1:1", 42, "Cannot update these configs dynamically: Set(advertised.listeners)"},
		{"1", "log.retention.mss", "1", 40, "did you mean log.retention.ms?"},
		{"1", "listener.name.plaintext.num.partitions", "1", 40, "Unknown config name"},
		{"2", "log.retention.ms", "1", 42, "Unexpected broker id"},
		{"x", "log.retention.ms", "1", 42, "Broker id must be an integer, but it is: x"},
		{"1", "sasl.jaas.config", "secret", 0, ""},
		{"1", "listener.name.plaintext.plain.sasl.jaas.config", `PlainLoginModule required user_dave="secret";`, 42, "kafka-configs --entity-type users"},
		{"1", "num.io.threads", "4", 0, ""},
		{"1", "listener.name.plaintext.max.connections", "30", 0, ""},
		{"", "log.retention.ms", "86400001", 0, ""},
		{"1", "log.retention.ms", "86400002", 0, ""},
	} {
		if code, message := c.alterBroker(x.resource, x.name, x.value); code != x.code || !strings.Contains(message, x.message) {
			t.Errorf("%s=%s of %q: %d %q, want %d %q", x.name, x.value, x.resource, code, message, x.code, x.message)
		}
	}
	if code, message := c.alterBroker("1", "no.such"); code != 0 {
		t.Errorf("deleting what nobody knows: %d %s", code, message)
	}
	listeners := c.brokerConfig("1", "listeners")
	if code, message := c.alterBroker("1", "listeners", *listeners.Value); code != 0 {
		t.Errorf("the listeners that there are: %d %s", code, message)
	}
}

// TestDescribeBroker: every setting is described, with where its value is from.
func TestDescribeBroker(t *testing.T) {
	b := start(t, func(c *broker.Config) {
		c.Settings = map[string]string{"log.retention.hours": "24", "num.io.threads": "2", "ssl.keystore.password": "secret", "listener.name.x.sasl.enabled.mechanisms": "PLAIN"}
		c.MaxConnections = 500
	})
	c := dial(t, b.Addr())
	all := c.brokerConfigs("1")
	if len(all) < 316 {
		t.Errorf("%d settings are described; Apache Kafka 4.1 has 316", len(all))
	}
	for _, cfg := range all {
		if cfg.ConfigType == 0 || cfg.Documentation == nil || *cfg.Documentation == "" {
			t.Errorf("%s: %+v", cfg.Name, cfg)
		}
		if strings.HasPrefix(cfg.Name, "unstable.") {
			t.Errorf("%s is internal", cfg.Name)
		}
	}
	if defaults := c.brokerConfigs(""); len(defaults) != 0 {
		t.Errorf("nothing was set for all brokers, described is %v", defaults)
	}
	alter := func(resource, name string, value ...string) {
		t.Helper()
		if code, message := c.alterBroker(resource, name, value...); code != 0 {
			t.Errorf("%s: %d %s", name, code, message)
		}
	}
	alter("", "log.retention.ms", "3000")
	alter("1", "log.retention.ms", "4000")
	alter("", "max.connections", "400")
	alter("1", "sasl.jaas.config", "secret")
	is := func(resource, name, want string) {
		t.Helper()
		cfg := c.brokerConfig(resource, name)
		if cfg == nil {
			t.Fatalf("%s is not described", name)
		}
		value := func(v *string) string {
			if v == nil {
				return "null"
			}
			return *v
		}
		got := []string{value(cfg.Value), cfg.Source.String()}
		for _, s := range cfg.ConfigSynonyms {
			got = append(got, s.Name+"="+value(s.Value)+" "+s.Source.String())
		}
		if cfg.ReadOnly {
			got = append(got, "read-only")
		}
		if cfg.IsSensitive {
			got = append(got, "sensitive")
		}
		if text := strings.Join(got, ", "); text != want {
			t.Errorf("%s of %q is %s\nwant %s", name, resource, text, want)
		}
	}
	check := func() {
		is("1", "log.retention.ms", "4000, DYNAMIC_BROKER_CONFIG, log.retention.ms=4000 DYNAMIC_BROKER_CONFIG, log.retention.ms=3000 DYNAMIC_DEFAULT_BROKER_CONFIG, log.retention.hours=24 STATIC_BROKER_CONFIG, log.retention.hours=168 DEFAULT_CONFIG")
		is("", "log.retention.ms", "3000, DYNAMIC_DEFAULT_BROKER_CONFIG, log.retention.ms=3000 DYNAMIC_DEFAULT_BROKER_CONFIG")
		is("1", "log.roll.ms", "null, DEFAULT_CONFIG")
		is("1", "max.connections", "400, DYNAMIC_DEFAULT_BROKER_CONFIG, max.connections=400 DYNAMIC_DEFAULT_BROKER_CONFIG, max.connections=500 STATIC_BROKER_CONFIG, max.connections=1000 DEFAULT_CONFIG")
		is("1", "num.io.threads", "2, STATIC_BROKER_CONFIG, num.io.threads=2 STATIC_BROKER_CONFIG, num.io.threads=8 DEFAULT_CONFIG")
		is("1", "num.partitions", "1, DEFAULT_CONFIG, num.partitions=1 DEFAULT_CONFIG, read-only")
		is("1", "ssl.keystore.password", "null, STATIC_BROKER_CONFIG, ssl.keystore.password=null STATIC_BROKER_CONFIG, sensitive")
		is("1", "sasl.jaas.config", "null, DYNAMIC_BROKER_CONFIG, sasl.jaas.config=null DYNAMIC_BROKER_CONFIG, sensitive")
		is("1", "listener.name.x.sasl.enabled.mechanisms", "PLAIN, STATIC_BROKER_CONFIG, listener.name.x.sasl.enabled.mechanisms=PLAIN STATIC_BROKER_CONFIG, sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN DEFAULT_CONFIG")
	}
	check()
	b.Restart()
	c = dial(t, b.Addr())
	check()
	alter("1", "log.retention.ms")
	is("1", "log.retention.ms", "3000, DYNAMIC_DEFAULT_BROKER_CONFIG, log.retention.ms=3000 DYNAMIC_DEFAULT_BROKER_CONFIG, log.retention.hours=24 STATIC_BROKER_CONFIG, log.retention.hours=168 DEFAULT_CONFIG")
}
