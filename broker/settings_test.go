package broker

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/testcert"
)

// TestSettingsRefused: what cannot be is refused with what to do about it.
func TestSettingsRefused(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	store := file("server.jks", "\xfe\xed\xfe\xed")
	type settings map[string]string
	for _, c := range []struct {
		name string
		set  settings
		want []string
	}{
		{"an unknown name", settings{"log.retention.mss": "1"}, []string{`"log.retention.mss"`, "did you mean log.retention.ms?"}},
		{"a name like none", settings{"zookeeper.connect": "x"}, []string{`unknown setting "zookeeper.connect"`}},
		{"no number", settings{"num.partitions": "many"}, []string{"num.partitions", "many"}},
		{"too small", settings{"log.segment.bytes": "10"}, []string{"log.segment.bytes", "at least 1048576"}},
		{"two directories", settings{"log.dirs": "/a,/b"}, []string{"log.dirs", "one"}},
		{"no port", settings{"listeners": "PLAINTEXT://127.0.0.1"}, []string{"listeners", "NAME://host:port"}},
		{"no name", settings{"listeners": "127.0.0.1:9092"}, []string{"listeners", "NAME://host:port"}},
		{"a listener twice", settings{"listeners": "SSL://127.0.0.1:1,ssl://127.0.0.1:2"}, []string{"SSL is there twice"}},
		{"an address twice", settings{"listeners": "A://127.0.0.1:1,B://127.0.0.1:1", "listener.security.protocol.map": "A:PLAINTEXT,B:PLAINTEXT"}, []string{"127.0.0.1:1", "port of its own"}},
		{"no protocol", settings{"listeners": "INTERNAL://127.0.0.1:1"}, []string{"INTERNAL", "listener.security.protocol.map"}},
		{"a protocol that is none", settings{"listeners": "A://127.0.0.1:1", "listener.security.protocol.map": "A:TLS"}, []string{"A:TLS", "SASL_SSL"}},
		{"all addresses", settings{"listeners": "PLAINTEXT://:9092"}, []string{`":9092"`, "quokka.allow.remote", "127.0.0.1"}},
		{"advertised nowhere", settings{"listeners": "PLAINTEXT://127.0.0.1:1", "advertised.listeners": "OTHER://h:1"}, []string{"OTHER", "not in listeners"}},
		{"advertised as all", settings{"listeners": "PLAINTEXT://127.0.0.1:1", "advertised.listeners": "PLAINTEXT://0.0.0.0:1"}, []string{"0.0.0.0:1", "advertised.listeners"}},
		{"advertised alone", settings{"advertised.listeners": "PLAINTEXT://h:1"}, []string{"advertised.listeners", "without listeners"}},
		{"controllers only", settings{"listeners": "C://127.0.0.1:1", "controller.listener.names": "C"}, []string{"controller.listener.names"}},
		{"both forms", settings{"listeners": "PLAINTEXT://127.0.0.1:1", "quokka.listen": "127.0.0.1:2"}, []string{"--listen", "leave one out"}},
		{"no certificate", settings{"listeners": "SSL://127.0.0.1:1"}, []string{"listener SSL", "ssl.keystore.location", "missing"}},
		{"a Java store", settings{"listeners": "SSL://127.0.0.1:1", "ssl.keystore.location": store}, []string{store, "not in PEM", "openssl pkcs12"}},
		{"an encrypted key", settings{"quokka.tls.cert": file("c.pem", "-----BEGIN CERTIFICATE-----"), "quokka.tls.key": file("k.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----")}, []string{"encrypted", "openssl pkey"}},
		{"half of TLS", settings{"quokka.tls.cert": "x"}, []string{"--tls-cert", "--tls-key"}},
		{"a rule that is none", settings{"listeners": "PLAINTEXT://127.0.0.1:1", "ssl.principal.mapping.rules": "RULE:x"}, []string{"ssl.principal.mapping.rules", "RULE:pattern/replacement/"}},
		{"a rule that is none, of a single listener", settings{"ssl.principal.mapping.rules": "RULE:x"}, []string{"ssl.principal.mapping.rules"}},
		{"a users file that is not there", settings{"quokka.users.file": filepath.Join(dir, "none")}, []string{"--users-file", "none"}},
		{"a users file with a line that is none", settings{"quokka.users.file": file("users", "# first\nadmin\n")}, []string{"line 2", "name:password"}},
		{"super users that are none", settings{"super.users": "admin"}, []string{"User:admin"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Config{InMemory: true, Settings: c.set}.Validate()
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		})
	}
}

// TestFields: every field of Config that has a setting gets it, and tells it; a
// field that is set wins.
func TestFields(t *testing.T) {
	for _, f := range fields {
		def, ok := cluster.BrokerConfigs()[f.name]
		if !ok {
			t.Errorf("%s is no setting", f.name)
			continue
		}
		value := map[cluster.ConfigType]string{cluster.Bool: "true", cluster.Int: "77", cluster.Long: "77", cluster.String: "text", cluster.List: "a,b"}[def.Type]
		switch {
		case def.Default == "true":
			value = "false"
		case def.Values != nil:
			value = def.Values[len(def.Values)-1]
		}
		var c Config
		if !f.unset(&c) {
			t.Errorf("%s is set in an empty Config", f.name)
		}
		if err := f.set(&c, value); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		if f.unset(&c) || !strings.EqualFold(f.get(&c), value) {
			t.Errorf("%s was set to %s and is %s", f.name, value, f.get(&c))
		}
	}
	c, err := Config{InMemory: true, DefaultPartitions: 5, Settings: map[string]string{"num.partitions": "7", "group.max.size": "9", "group.initial.rebalance.delay.ms": "0"}}.resolve()
	if err != nil {
		t.Fatal(err)
	}
	if c.DefaultPartitions != 5 || c.GroupMaxSize != 9 || c.GroupInitialRebalanceDelay != 0 {
		t.Errorf("num.partitions %d, group.max.size %d, group.initial.rebalance.delay.ms %s", c.DefaultPartitions, c.GroupMaxSize, c.GroupInitialRebalanceDelay)
	}
}

// TestDefaults: the defaults of Config are those that are described.
func TestDefaults(t *testing.T) {
	c := Config{DataDir: "broker-data"}.withDefaults()
	for _, f := range fields {
		if def := cluster.BrokerConfigs()[f.name]; f.get(&c) != def.Default && f.name != "log.dirs" && f.name != "quokka.listen" {
			t.Errorf("the default of %s is %q; described is %q", f.name, f.get(&c), def.Default)
		}
	}
}

// elsewhere is a listener on an address that other machines reach.
type elsewhere struct{ net.Listener }

func (elsewhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9093} }

// TestMayBecome: what is asked of a listener's clients cannot be taken back while it
// runs where that would open it to other machines.
func TestMayBecome(t *testing.T) {
	chain, key := testcert.PEM(t, testcert.New(t, "server", nil))
	of := func(clientAuth string) stores {
		return stores{chain: chain, key: key, ca: chain, clientAuth: clientAuth}
	}
	for _, c := range []struct {
		clientAuth  string
		sasl, allow bool
		want        bool
	}{
		{"required", false, false, true}, {"requested", false, false, false}, {"none", false, false, false},
		{"none", true, false, true}, {"none", false, true, true},
	} {
		l := Listener{Name: "X", Listener: elsewhere{}, SASL: c.sasl}
		if err := l.mayBecome(of(c.clientAuth), c.allow); (err == nil) != c.want {
			t.Errorf("%s, SASL %v, allowed %v: %v", c.clientAuth, c.sasl, c.allow, err)
		}
	}
}

// TestConnectionsOfAddresses: how many connections an address may have; this machine's
// are not bounded unless one of its names is given a number.
func TestConnectionsOfAddresses(t *testing.T) {
	for overrides, want := range map[string]map[string]int{
		"":                       {"10.0.0.1": 100, "": math.MaxInt},
		"10.0.0.1:5":             {"10.0.0.1": 5, "10.0.0.2": 100, "": math.MaxInt},
		"10.0.0.1:5,localhost:7": {"10.0.0.1": 5, "": 7},
	} {
		c := set("max.connections.per.ip.overrides=" + overrides)
		c.Listen, c.Logger = "127.0.0.1:0", slog.New(slog.DiscardHandler)
		b, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		for host, n := range want {
			if got := b.bounds("PLAINTEXT", host).Host; got != n {
				t.Errorf("with %q %q may have %d connections, want %d", overrides, host, got, n)
			}
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPlainIsNotShown: PLAIN, which shows the password, is offered where nobody else
// sees it, and what is offered may be less, never more.
func TestPlainIsNotShown(t *testing.T) {
	encrypt := &tls.Config{MinVersion: tls.VersionTLS12}
	for _, c := range []struct {
		l      Listener
		ip     string
		wanted []string
		want   string
	}{
		{Listener{SASL: true}, "10.0.0.1", nil, "SCRAM-SHA-256 SCRAM-SHA-512"},
		{Listener{SASL: true}, "0.0.0.0", []string{"PLAIN", "SCRAM-SHA-512"}, "SCRAM-SHA-512"},
		{Listener{SASL: true}, "127.0.0.1", nil, "SCRAM-SHA-256 SCRAM-SHA-512 PLAIN"},
		{Listener{SASL: true}, "::1", []string{"PLAIN"}, "PLAIN"},
		{Listener{SASL: true, TLS: encrypt}, "10.0.0.1", nil, "SCRAM-SHA-256 SCRAM-SHA-512 PLAIN"},
		{Listener{TLS: encrypt}, "127.0.0.1", []string{"PLAIN"}, ""},
	} {
		if got := strings.Join(c.l.mechanisms(&net.TCPAddr{IP: net.ParseIP(c.ip)}, c.wanted), " "); got != c.want {
			t.Errorf("%s at %s, of %v, offers %q, want %q", c.l.protocol(), c.ip, c.wanted, got, c.want)
		}
	}
}

// TestConfigStays: a Config can be used again; opening a broker leaves it as it was.
func TestConfigStays(t *testing.T) {
	cfg := Config{InMemory: true, Listeners: []Listener{{Listen: "127.0.0.1:0"}}, Logger: slog.New(slog.DiscardHandler)}
	for range 2 {
		b, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if l := cfg.Listeners[0]; l.Name != "" || l.Listener != nil {
		t.Errorf("the caller's listener is %+v", l)
	}
}

// TestUnresolved: an advertised name that this machine does not know is a warning
// that says what to do; an address is not looked up.
func TestUnresolved(t *testing.T) {
	var log bytes.Buffer
	var asked []string
	lookup := func(_ context.Context, host string) ([]string, error) {
		asked = append(asked, host)
		if host == "known.example" {
			return []string{"192.0.2.1"}, nil
		}
		return nil, errors.New("no such host")
	}
	reportUnresolved(t.Context(), []Listener{{Name: "A", Advertise: "known.example:1"}, {Name: "B", Advertise: "192.0.2.7:1"}, {Name: "C"}, {Name: "D", Advertise: "unknown.example:4"}},
		lookup, slog.New(slog.NewTextHandler(&log, nil)))
	if len(asked) != 2 {
		t.Errorf("looked up: %v", asked)
	}
	for _, want := range []string{"level=WARN", "unknown.example:4", "listener=D", "advertised.listeners"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q: %s", want, log.String())
		}
	}
	if strings.Count(log.String(), "level=") != 1 {
		t.Errorf("more than one line: %s", log.String())
	}
}

// TestPrivate: only TLS with authentication opens a listener to other machines.
func TestPrivate(t *testing.T) {
	verified := &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert}
	for _, c := range []struct {
		l    Listener
		want bool
	}{
		{Listener{}, false}, {Listener{SASL: true}, false}, {Listener{TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, false},
		{Listener{TLS: &tls.Config{MinVersion: tls.VersionTLS12}, SASL: true}, true}, {Listener{TLS: verified}, true},
	} {
		c.l.Listen = "0.0.0.0:9092"
		err := Config{InMemory: true, Listeners: []Listener{{Name: "IN", Listen: "127.0.0.1:0"}, c.l}}.Validate()
		if (err == nil) != c.want {
			t.Errorf("%s on all addresses: %v", c.l.protocol(), err)
		}
	}
}

// TestGivenIsEffective: of each setting alone, zero and the extremes of its type are
// refused, or are what is effective and described.
func TestGivenIsEffective(t *testing.T) {
	values := map[cluster.ConfigType][]string{
		cluster.Bool:   {"true", "false"},
		cluster.Short:  {"0", "-1", strconv.Itoa(math.MinInt16), strconv.Itoa(math.MaxInt16)},
		cluster.Int:    {"0", "-1", strconv.Itoa(math.MinInt32), strconv.Itoa(math.MaxInt32)},
		cluster.Long:   {"0", "-1", strconv.Itoa(math.MinInt64), strconv.Itoa(math.MaxInt64)},
		cluster.Double: {"0"},
	}
	byName := map[string]field{}
	for _, f := range fields {
		byName[f.name] = f
	}
	accepted := map[string]int{}
	for name, def := range cluster.BrokerConfigs() {
		for _, value := range append(values[def.Type], def.Values...) {
			c, err := Config{InMemory: true, Settings: map[string]string{name: value}}.resolve()
			if err != nil {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%s=%s is refused without its name: %v", name, value, err)
				}
				continue
			}
			accepted[value]++
			if f, ok := byName[name]; ok && !strings.EqualFold(f.get(&c), value) && !forever(&c, name) {
				t.Errorf("%s=%s was accepted; %s is effective", name, value, f.get(&c))
			}
			if got := (&Broker{cfg: c}).static()[name]; got != value {
				t.Errorf("%s=%s was accepted; %q is described", name, value, got)
			}
		}
	}
	if accepted["0"] < 100 || accepted[strconv.Itoa(math.MaxInt64)] < 20 {
		t.Errorf("accepted were %v", accepted)
	}
}

// forever says whether a setting is more time than can be counted, and as much as can be.
func forever(c *Config, name string) bool {
	switch name {
	case "offsets.retention.minutes":
		return c.OffsetsRetention == math.MaxInt64
	case "connections.max.idle.ms":
		return c.idleTimeout() == math.MaxInt64 // negative values are never too
	case "quokka.flush.interval.ms":
		return c.FlushEvery == math.MaxInt64
	}
	return false
}

// TestZeroes: what zero means where it is accepted, and how settings of one field
// and the field itself go together.
func TestZeroes(t *testing.T) {
	for _, c := range []struct {
		cfg   Config
		is    func(Config) any
		want  any
		error string
	}{
		{set("node.id=0"), func(c Config) any { return c.NodeID }, int32(0), ""},
		{set("broker.id=0"), func(c Config) any { return c.NodeID }, int32(0), ""},
		{set("node.id=0", "broker.id=0"), func(c Config) any { return c.NodeID }, int32(0), ""},
		{set("node.id=0", "broker.id=5"), nil, nil, "node.id is 0 and broker.id is 5"},
		{Config{InMemory: true, NodeID: 3, Settings: map[string]string{"node.id": "0"}}, func(c Config) any { return c.NodeID }, int32(3), ""},
		{set("broker.id=-1"), nil, nil, "node.id"},
		{set("max.connections=0"), nil, nil, "max.connections"},
		{set("connections.max.idle.ms=0"), nil, nil, "connections.max.idle.ms"},
		{set("connections.max.idle.ms=-1"), func(c Config) any { return c.idleTimeout() }, time.Duration(math.MaxInt64), ""},
		{set("connections.max.idle.ms=-2"), func(c Config) any { return c.idleTimeout() }, time.Duration(math.MaxInt64), ""},
		{set("quokka.disk.reserve.bytes=0"), func(c Config) any { return c.DiskReserve }, int64(0), ""},
		{set("quokka.scrub.bytes.per.second=0"), func(c Config) any { return c.ScrubRate }, int64(0), ""},
		{set("group.initial.rebalance.delay.ms=0"), func(c Config) any { return c.GroupInitialRebalanceDelay }, time.Duration(0), ""},
		{set("group.initial.rebalance.delay.ms=-5"), nil, nil, "group.initial.rebalance.delay.ms"},
		{set("group.min.session.timeout.ms=0"), func(c Config) any { return c.GroupMinSessionTimeout }, time.Duration(0), ""},
		{set("fetch.max.bytes=2147483647"), nil, nil, "fetch.max.bytes"},
		{set("sasl.server.max.receive.size=1023"), nil, nil, "sasl.server.max.receive.size"},
		{set("log.cleaner.dedupe.buffer.size=0"), nil, nil, "log.cleaner.dedupe.buffer.size"},
		{set("max.connection.creation.rate=0"), nil, nil, "max.connection.creation.rate"},
		{set("listener.name.plaintext.max.connection.creation.rate=0"), nil, nil, "listener.name.plaintext.max.connection.creation.rate"},
		{set("max.connections.per.ip=0"), nil, nil, "max.connections.per.ip"},
		{set("max.connections.per.ip=0", "max.connections.per.ip.overrides=10.0.0.1:5"), func(Config) any { return nil }, nil, ""},
		{set("listener.name.plaintext.max.connections=0"), nil, nil, "listener.name.plaintext.max.connections"},
		{set("group.consumer.migration.policy=UPGRADE"), func(c Config) any { return c.consumerGroups().Downgrade }, false, ""},
		{set("group.consumer.migration.policy=UPGRADE"), func(c Config) any { return c.consumerGroups().Upgrade }, true, ""},
	} {
		got, err := c.cfg.resolve()
		switch {
		case c.error == "" && err != nil:
			t.Errorf("%v: %v", c.cfg.Settings, err)
		case c.error == "" && c.is(got) != c.want:
			t.Errorf("%v: %v is effective, not %v", c.cfg.Settings, c.is(got), c.want)
		case c.error != "" && (err == nil || !strings.Contains(err.Error(), c.error)):
			t.Errorf("%v: the error is %v", c.cfg.Settings, err)
		}
	}
}

// TestLeastWhileRunning: what is refused at the start is refused later as well.
func TestLeastWhileRunning(t *testing.T) {
	b := &Broker{}
	var err error
	if b.cluster, err = cluster.Open(nil, nil); err != nil {
		t.Fatal(err)
	}
	for i := range 40 { // each has its own names, not those of the ones before it
		b.listeners = append(b.listeners, Listener{Name: fmt.Sprintf("L%d", i)})
	}
	b.listeners = append(b.listeners, Listener{Name: "IN"})
	for _, img := range []*cluster.Image{
		{BrokerConfigs: map[string]string{"max.connection.creation.rate": "0"}},
		{BrokerConfigs: map[string]string{"max.connections": "0"}},
		{BrokerConfigs: map[string]string{"max.connections.per.ip": "0"}},
		{BrokerConfigs: map[string]string{"max.connections.per.ip": " 00"}},
		{NodeConfigs: map[int32]map[string]string{0: {"listener.name.in.max.connections": "0"}}},
		{NodeConfigs: map[int32]map[string]string{0: {"listener.name.in.max.connection.creation.rate": "-1"}}},
		{NodeConfigs: map[int32]map[string]string{0: {"log.cleaner.dedupe.buffer.size": "0"}}},
	} {
		if err := b.checkConfigs(img); err == nil {
			t.Errorf("accepted: %v %v", img.BrokerConfigs, img.NodeConfigs)
		}
	}
	if err := b.checkConfigs(&cluster.Image{}); err != nil {
		t.Error(err)
	}
}

// TestMechanismsOfOtherListeners: what was set while the broker ran, on loopback, and lets
// nobody log in by the listener it has now, does not keep it from starting.
func TestMechanismsOfOtherListeners(t *testing.T) {
	l := Listener{Name: "IN", SASL: true, Listener: everywhere{}}
	b := &Broker{listeners: []Listener{l}}
	both := []string{"SCRAM-SHA-256", "SCRAM-SHA-512"}
	for _, c := range []struct {
		static, dynamic string
		offered         []string
		starts, set     bool
	}{
		{"", "", both, true, true},
		{"", "SCRAM-SHA-256,PLAIN", both[:1], true, true},
		{"", "PLAIN", both, true, false},
		{"SCRAM-SHA-512", "PLAIN", both[1:], true, false},
		{"PLAIN", "SCRAM-SHA-256", both[:1], true, true},
		{"PLAIN", "GSSAPI", nil, false, false},
		{"PLAIN", "", nil, false, false},
	} {
		img := &cluster.Image{BrokerConfigs: map[string]string{}, Local: cluster.Local{Static: map[string]string{}}}
		if c.dynamic != "" {
			img.BrokerConfigs["sasl.enabled.mechanisms"] = c.dynamic
		}
		if c.static != "" {
			img.Local.Static["sasl.enabled.mechanisms"] = c.static
		}
		if got := b.offer(img, &l).offered; !slices.Equal(got, c.offered) {
			t.Errorf("%q, then %q: %v are offered", c.static, c.dynamic, got)
		}
		if err := b.checkMechanisms(img, img); (err == nil) != c.starts {
			t.Errorf("%q, then %q: at the start, and when something else is set: %v", c.static, c.dynamic, err)
		}
		if err := b.checkMechanisms(img, &cluster.Image{Local: img.Local}); (err == nil) != c.set {
			t.Errorf("%q, then %q: when it is set: %v", c.static, c.dynamic, err)
		}
	}
}

// everywhere listens on all addresses, where PLAIN is in the clear.
type everywhere struct{ net.Listener }

func (everywhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero} }

func set(settings ...string) Config {
	c := Config{InMemory: true, Settings: map[string]string{}}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		c.Settings[name] = value
	}
	return c
}

// TestNegative: no time of Config may be negative, but two that mean something by it:
// there is no delay of the first rebalance, and no connection is idle.
func TestNegative(t *testing.T) {
	typ := reflect.TypeFor[Config]()
	for i := range typ.NumField() {
		name := typ.Field(i).Name
		if typ.Field(i).Type != reflect.TypeFor[time.Duration]() {
			continue
		}
		c := Config{InMemory: true}
		reflect.ValueOf(&c).Elem().Field(i).SetInt(int64(-time.Second))
		err := c.Validate()
		if name == "GroupInitialRebalanceDelay" || name == "ConnectionIdleTimeout" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), strings.NewReplacer("ConsumerMin", "Consumer", "ConsumerMax", "Consumer").Replace(name)) {
			t.Errorf("%s of -1 s: the error is %v", name, err)
		}
	}
}
