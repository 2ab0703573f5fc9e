package brokercmd

import (
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
)

// The settings of the command itself.
const (
	metricsAddr = "quokka.metrics"
	logLevel    = "quokka.log.level"
	logFormat   = "quokka.log.format"
)

// option is a flag for a setting.
type option struct {
	flag    string
	setting string
	value   string // what it takes, in the help; "" for a switch
	help    string
	// parse turns the flag's text into the setting's; nil: it is the same.
	parse func(string) (string, error)
}

// duration writes a duration in units; one that is not positive is 0.
func duration(unit time.Duration) func(string) (string, error) {
	return func(v string) (string, error) {
		d, err := time.ParseDuration(v)
		return strconv.FormatInt(int64(max(d, 0)/unit), 10), err
	}
}

func not(v string) (string, error) {
	b, err := strconv.ParseBool(v)
	return strconv.FormatBool(!b), err
}

// options are the flags, in the order of the help.
var options = []option{
	{"data-dir", "log.dirs", "DIR", "directory for everything that lasts (broker-data)", nil},
	{"listen", "quokka.listen", "ADDR", "address to listen on (127.0.0.1:9092)", nil},
	{"advertise", "quokka.advertise", "ADDR", "host:port that clients are told to connect to (the address they came by)", nil},
	{"listeners", "listeners", "LIST", "several listeners in place of --listen: NAME://host:port,...", nil},
	{"advertised-listeners", "advertised.listeners", "LIST", "what the clients of each are told: NAME://host:port,...", nil},
	{"listener-security-protocol-map", "listener.security.protocol.map", "LIST", "how each is secured: NAME:PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL,...", nil},
	{"allow-remote", "quokka.allow.remote", "", "allow listeners that other machines can reach, without TLS and authentication", nil},
	{"tls-cert", "quokka.tls.cert", "FILE", "certificate chain in PEM, which encrypts --listen; read again when it changes", nil},
	{"tls-key", "quokka.tls.key", "FILE", "its key in PEM", nil},
	{"tls-client-ca", "quokka.tls.client.ca", "FILE", "authorities in PEM: clients must show a certificate of one of them", nil},
	{"sasl", "quokka.sasl", "", "make clients of --listen log in: SCRAM-SHA-256, SCRAM-SHA-512, and PLAIN over TLS or on loopback", nil},
	{"users-file", "quokka.users.file", "FILE", "first users, a line name:password each", nil},
	{"super-users", "super.users", "LIST", "principals that may do everything: User:admin;User:CN=...", nil},
	{"flush", "quokka.flush", "POLICY", "when acknowledged records are on the disk: group (before), interval or os (group)", nil},
	{"flush-every", "quokka.flush.interval.ms", "TIME", "time between syncs with --flush interval (1s)", duration(time.Millisecond)},
	{"disk-reserve", "quokka.disk.reserve.bytes", "BYTES", "disk space kept for offsets, transactions and deletes when the rest is full; 0 or less: none (64 MiB)", nil},
	{"default-partitions", "num.partitions", "N", "partitions of a topic whose creator does not say (1)", nil},
	{"no-auto-create", "auto.create.topics.enable", "", "refuse unknown topics instead of creating them (as the variable: false)", not},
	{"replication-factor-clamp", "quokka.replication.factor.clamp", "", "create topics that are to have several replicas with one, instead of refusing them", nil},
	{"node-id", "node.id", "N", "the broker's id (1)", nil},
	{"cluster-id", "quokka.cluster.id", "ID", "refuse a data directory of another cluster (whatever it is)", nil},
	{"group-initial-rebalance-delay", "group.initial.rebalance.delay.ms", "TIME", "how long an empty group waits for more members; 0: not at all (3s)", duration(time.Millisecond)},
	{"group-consumer-session-timeout", "group.consumer.session.timeout.ms", "TIME", "when a silent member of the consumer protocol (KIP-848) is removed (45s)", duration(time.Millisecond)},
	{"group-consumer-heartbeat-interval", "group.consumer.heartbeat.interval.ms", "TIME", "how often its members send heartbeats, each a step of a rebalance (5s)", duration(time.Millisecond)},
	{"metrics", metricsAddr, "ADDR", "address for /metrics and /healthz (none)", nil},
	{"log-level", logLevel, "LEVEL", "debug, info, warn or error (info)", nil},
	{"log-format", logFormat, "FORMAT", "text or json", nil},
}

// env is the environment variable of a setting.
func env(setting string) string {
	name := strings.TrimPrefix(setting, "quokka.")
	return prefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name))
}

// variable is the environment variable that the help names for an option.
func (o option) variable() string {
	if o.setting == "log.dirs" {
		return dataDirVariable
	}
	return env(o.setting)
}

// Variable is an environment variable.
type Variable struct{ Name, Default, Help string }

// Variables are the environment variables of the settings that have flags; every
// other setting has one by the same rule.
func Variables() []Variable {
	out := []Variable{{configVariable, "", "properties file"}}
	for _, o := range options {
		out = append(out, Variable{o.variable(), o.standard(), o.help})
	}
	return out
}

// standard is the default of an option's setting.
func (o option) standard() string {
	switch o.setting {
	case "log.dirs":
		return standardDir
	case "quokka.listen":
		return "127.0.0.1:9092"
	case logLevel:
		return "info"
	case "listeners", "listener.security.protocol.map": // --listen is what there is by default
		return ""
	}
	return cluster.BrokerConfigs()[o.setting].Default
}

const standardDir = "broker-data"

// value is a flag that puts a setting into a layer.
type value struct {
	option
	into layer
}

func (v value) String() string { return "" }

// IsBoolFlag implements the flag package's own interface.
func (v value) IsBoolFlag() bool { return v.option.value == "" }

// Set implements flag.Value.
func (v value) Set(text string) error {
	if v.parse != nil {
		var err error
		if text, err = v.parse(text); err != nil {
			return err
		}
	}
	v.into[v.setting] = text
	return nil
}

// override is the flag for every setting.
type override struct{ into layer }

func (o override) String() string { return "" }

func (o override) Set(text string) error {
	name, v, ok := strings.Cut(text, "=")
	if !ok {
		return fmt.Errorf("%q is not NAME=VALUE", text)
	}
	o.into[strings.TrimSpace(name)] = strings.TrimSpace(v)
	return nil
}

// flagSet returns the flags, which fill a layer.
func flagSet(name string, into layer, config *string, list *bool) *flag.FlagSet {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	for _, o := range options {
		set.Var(value{o, into}, o.flag, o.help)
	}
	set.Var(override{into}, "override", "")
	set.StringVar(config, "config", "", "")
	set.BoolVar(list, "list-settings", false, "")
	return set
}
