package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/commitlog"
)

// FlushPolicy says when an acknowledged record is on the disk.
type FlushPolicy string

// The flush policies.
const (
	// FlushGroup syncs before it acknowledges; requests that arrive during a sync
	// share the next one. The default.
	FlushGroup FlushPolicy = "group"
	// FlushInterval acknowledges what is written and syncs every FlushInterval: a
	// power cut may lose that much.
	FlushInterval FlushPolicy = "interval"
	// FlushOS acknowledges what is written and leaves syncing to the operating
	// system, as Apache Kafka does on one broker: a power cut may lose a minute.
	FlushOS FlushPolicy = "os"
)

// Config configures a broker. The zero value of a field is its default; a zero in
// Settings is a zero.
type Config struct {
	// DataDir is the directory for everything that lasts; it is made if it is
	// missing and locked while the broker is open. Required, unless InMemory.
	DataDir string
	// InMemory keeps everything in memory, for tests: nothing is written anywhere.
	InMemory bool

	// Settings are settings by Kafka's names, such as "log.retention.ms", as in a
	// server.properties file: every one of a broker of Apache Kafka 4.1 is accepted,
	// and those that begin with "quokka.". A field of Config that is set wins over the
	// setting of the same meaning. A name that is unknown is an error.
	Settings map[string]string

	// Listeners are the listeners by name, each with its own security. Without any,
	// "listeners" and what belongs to it in Settings say what they are; without that
	// there is one, which the fields from Listen to Advertise describe.
	Listeners []Listener
	// Listen is the address to listen on; default "127.0.0.1:9092". Port 0 takes a
	// free one. An address that is not loopback needs AllowRemote.
	Listen string
	// Listener is used instead of Listen when it is set. The broker closes it.
	Listener net.Listener
	// AllowRemote allows listeners that other machines can reach although they have no
	// TLS with authentication: whoever reaches one reads and writes everything, and
	// whoever listens on the way sees it.
	AllowRemote bool
	// TLS, if it is set, encrypts the listener. With ClientAuth =
	// RequireAndVerifyClientCert a client is who its certificate names:
	// "User:CN=...,O=..."; GetCertificate may give a renewed certificate.
	TLS *tls.Config
	// SASL makes every client log in as one of the users, by SCRAM-SHA-256,
	// SCRAM-SHA-512, or, over TLS or on loopback, PLAIN.
	SASL bool
	// Advertise is the host:port that clients are told to connect to; default: the
	// address by which they came. Set it where they come through a proxy or NAT.
	Advertise string

	// Users are users with their passwords, made at the start if they are missing.
	// Further ones are made, and passwords changed, by Kafka's own requests.
	Users map[string]string
	// SuperUsers may do everything, whatever the access rules say: "User:admin".
	// Without any rule, every user who can log in may do everything; with the first
	// one, others may do what a rule allows. So set a super user first.
	SuperUsers []string

	// NodeID is the broker's id; default 1. Settings can make it 0.
	NodeID int32
	// Rack is the broker's rack in Metadata; default none.
	Rack string
	// ClusterID names the installation. Default: made at random on the first start
	// and kept in DataDir. A DataDir of another cluster is refused.
	ClusterID string

	// Flush is the flush policy; default FlushGroup.
	Flush FlushPolicy
	// FlushEvery is the time between syncs under FlushInterval; default 1 s.
	FlushEvery time.Duration
	// DiskReserve is how many bytes of the disk are kept for the broker's own needs:
	// when the rest is full, producers are refused until there is space again, and
	// offsets, transactions, deletes and retention go on. Default 64 MiB; negative =
	// none. InMemory has none.
	DiskReserve int64

	// ClampReplicationFactor creates topics that are to have several replicas with
	// one; by default they are refused, as Kafka refuses more replicas than brokers.
	ClampReplicationFactor bool
	// ScrubRate is how many bytes a second are read in the background to find damage in
	// old segments before a consumer does; each is read once a week. Default 8 MiB;
	// negative = never.
	ScrubRate int64

	// DefaultPartitions is the number of partitions of a topic whose creator does
	// not say; default 1.
	DefaultPartitions int
	// DisableAutoCreateTopics refuses unknown topics that a client asks about,
	// instead of creating them.
	DisableAutoCreateTopics bool
	// OffsetsPartitions is the number of partitions of __consumer_offsets when it
	// is made; default 50. Only those in use take memory and files.
	OffsetsPartitions int
	// TransactionsPartitions is the same of __transaction_state; default 50.
	TransactionsPartitions int
	// TransactionMaxTimeout bounds the timeout that a transactional producer may ask
	// for; default 15 min.
	TransactionMaxTimeout time.Duration
	// TransactionalIDExpiration is how long a transactional id that is not used is
	// remembered; default 7 days.
	TransactionalIDExpiration time.Duration

	// GroupInitialRebalanceDelay is how long the first rebalance of an empty group
	// waits for more members; default 3 s, negative: not at all.
	GroupInitialRebalanceDelay time.Duration
	// GroupMinSessionTimeout and GroupMaxSessionTimeout bound the session timeout
	// a member may ask for; default 6 s and 30 min.
	GroupMinSessionTimeout, GroupMaxSessionTimeout time.Duration
	// GroupMaxSize bounds the members of a group; default 500.
	GroupMaxSize int
	// GroupConsumerSessionTimeout is after how long without a heartbeat a member of
	// the consumer protocol (KIP-848) is removed; default 45 s. A group may have
	// another one, within GroupConsumerMinSessionTimeout, 45 s by default, and
	// GroupConsumerMaxSessionTimeout, 60 s; these defaults give way to the timeout.
	GroupConsumerSessionTimeout                                    time.Duration
	GroupConsumerMinSessionTimeout, GroupConsumerMaxSessionTimeout time.Duration
	// GroupConsumerHeartbeatInterval is how often members of the consumer protocol
	// are to send heartbeats; default 5 s. Each is a step of a rebalance, so a shorter
	// one makes these faster. Its bounds for groups are 5 s and 15 s, which give way
	// likewise.
	GroupConsumerHeartbeatInterval                                       time.Duration
	GroupConsumerMinHeartbeatInterval, GroupConsumerMaxHeartbeatInterval time.Duration
	// GroupConsumerMaxSize bounds the members of a group of the consumer protocol;
	// default GroupMaxSize.
	GroupConsumerMaxSize int
	// GroupConsumerAssignors are the assignors that members may choose from, the
	// default one first; default "uniform", "range", which are all there are.
	GroupConsumerAssignors []string
	// GroupConsumerMigrationPolicy says whether a group with members may go from the
	// classic to the consumer protocol and back: "bidirectional" (the default),
	// "upgrade", "downgrade" or "disabled".
	GroupConsumerMigrationPolicy string
	// OffsetsRetention is how long the offsets of a group without members are
	// kept; default 7 days.
	OffsetsRetention time.Duration
	// ProducerIDExpiration is how long an idle producer's sequence is remembered
	// in a partition; default 24 h.
	ProducerIDExpiration time.Duration

	// MaxConnections bounds the open connections; default 1000.
	MaxConnections int
	// ConnectionIdleTimeout ends connections without requests; default 10 min,
	// negative: never.
	ConnectionIdleTimeout time.Duration
	// MaxProduceBytes bounds a Produce request; default 100 MiB.
	MaxProduceBytes int
	// MaxRequestBytes bounds every other request; default 1 MiB.
	MaxRequestBytes int
	// MaxFetchBytes bounds the records in a Fetch response; default 55 MiB.
	MaxFetchBytes int
	// MaxPartitions and MaxTopicPartitions bound the partitions of the broker and
	// of one topic; default 10000 and 1000.
	MaxPartitions, MaxTopicPartitions int

	// Trace, if it is set, is called once for each batch that a client produced,
	// when its request is answered, by the connection's goroutine: it must be quick
	// and must not block. Whoever wants spans makes them of it; see ProduceTrace.
	// Without it nothing is measured and nothing allocated.
	Trace func(ProduceTrace)

	// RecordCheck, if it is set, decides which records topics take; see there.
	// Default: nil, all that Kafka's own rules allow.
	RecordCheck RecordCheck

	// Logger receives what the broker has to say; default slog.Default().
	Logger *slog.Logger

	given []field // by Settings: a zero that was given is no default
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// withDefaults returns c with every default filled in.
func (c Config) withDefaults() Config {
	c.Listeners = slices.Clone(c.Listeners) // they get names and sockets, and are the caller's
	if len(c.Listeners) == 0 {
		c.Listeners = []Listener{c.single()}
	}
	setDefault(&c.NodeID, 1)
	setDefault(&c.Flush, FlushGroup)
	setDefault(&c.FlushEvery, time.Second)
	setDefault(&c.DiskReserve, 64<<20)
	setDefault(&c.ScrubRate, 8<<20)
	setDefault(&c.DefaultPartitions, 1)
	setDefault(&c.OffsetsPartitions, 50)
	setDefault(&c.TransactionsPartitions, 50)
	setDefault(&c.TransactionMaxTimeout, 15*time.Minute)
	setDefault(&c.TransactionalIDExpiration, 7*24*time.Hour)
	setDefault(&c.GroupInitialRebalanceDelay, 3*time.Second)
	c.GroupInitialRebalanceDelay = max(c.GroupInitialRebalanceDelay, 0)
	setDefault(&c.GroupMinSessionTimeout, 6*time.Second)
	setDefault(&c.GroupMaxSessionTimeout, 30*time.Minute)
	setDefault(&c.GroupMaxSize, 500)
	c.consumerDefaults()
	setDefault(&c.OffsetsRetention, 7*24*time.Hour)
	setDefault(&c.ProducerIDExpiration, 24*time.Hour)
	setDefault(&c.MaxConnections, 1000)
	setDefault(&c.ConnectionIdleTimeout, 10*time.Minute)
	setDefault(&c.MaxProduceBytes, 100<<20)
	setDefault(&c.MaxRequestBytes, 1<<20)
	setDefault(&c.MaxFetchBytes, 55<<20)
	setDefault(&c.MaxPartitions, 10000)
	setDefault(&c.MaxTopicPartitions, 1000)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Validate says what is wrong with the settings.
func (c Config) Validate() error {
	_, err := c.resolve()
	return err
}

// resolve returns c with its settings and every default filled in, or says what is
// wrong with it.
func (c Config) resolve() (Config, error) {
	c, err := c.withSettings()
	if err != nil {
		return c, err
	}
	c = c.withDefaults()
	if err := c.setGiven(); err != nil {
		return c, err
	}
	return c, c.check()
}

func (c Config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.DataDir == "" && !c.InMemory {
		bad("no data directory: set DataDir (--data-dir, log.dirs), or InMemory for a test")
	}
	if _, err := c.flush(); err != nil {
		errs = append(errs, err)
	}
	if c.NodeID < 0 {
		bad("NodeID (node.id, broker.id) is %d: a node id is not negative", c.NodeID)
	}
	errs = append(errs, checkListeners(c.Listeners, c.AllowRemote)...)
	for _, n := range []struct {
		name        string
		value, most int
	}{
		{"DefaultPartitions (num.partitions)", c.DefaultPartitions, math.MaxInt32},
		{"OffsetsPartitions (offsets.topic.num.partitions)", c.OffsetsPartitions, math.MaxInt32},
		{"TransactionsPartitions (transaction.state.log.num.partitions)", c.TransactionsPartitions, math.MaxInt32},
		{"GroupMaxSize (group.max.size)", c.GroupMaxSize, math.MaxInt32},
		{"MaxConnections (max.connections)", c.MaxConnections, math.MaxInt32},
		{"MaxProduceBytes (socket.request.max.bytes)", c.MaxProduceBytes, math.MaxInt32},
		{"MaxRequestBytes (quokka.request.max.bytes)", c.MaxRequestBytes, math.MaxInt32},
		{"MaxFetchBytes (fetch.max.bytes)", c.MaxFetchBytes, maxFetchBytes},
		{"MaxPartitions (quokka.max.partitions)", c.MaxPartitions, math.MaxInt32},
		{"MaxTopicPartitions (quokka.max.topic.partitions)", c.MaxTopicPartitions, math.MaxInt32},
	} {
		if n.value < 1 || n.value > n.most {
			bad("%s is %d: it must be from 1 to %d", n.name, n.value, n.most)
		}
	}
	for _, d := range []struct {
		name         string
		value, least time.Duration
	}{
		{"FlushEvery (quokka.flush.interval.ms)", c.FlushEvery, 1},
		{"TransactionMaxTimeout (transaction.max.timeout.ms)", c.TransactionMaxTimeout, 1},
		{"TransactionalIDExpiration (transactional.id.expiration.ms)", c.TransactionalIDExpiration, 1},
		{"ProducerIDExpiration (producer.id.expiration.ms)", c.ProducerIDExpiration, 1},
		{"OffsetsRetention (offsets.retention.minutes)", c.OffsetsRetention, 1},
		{"GroupInitialRebalanceDelay (group.initial.rebalance.delay.ms)", c.GroupInitialRebalanceDelay, 0},
		{"GroupMinSessionTimeout (group.min.session.timeout.ms)", c.GroupMinSessionTimeout, 0},
		{"GroupMaxSessionTimeout (group.max.session.timeout.ms)", c.GroupMaxSessionTimeout, 1},
	} {
		switch {
		case d.value >= d.least:
		case d.least > 0:
			bad("%s is %s: it must be more than 0", d.name, d.value)
		default:
			bad("%s is %s: it must not be negative", d.name, d.value)
		}
	}
	if c.ConnectionIdleTimeout == 0 {
		bad("ConnectionIdleTimeout (connections.max.idle.ms) is 0: it must be more, or negative for never")
	}
	given := maps.Clone(c.Settings)
	delete(given, "max.connections") // checked above
	errs = append(errs, checkLeast(func(name string) string { return given[name] }, c.Listeners)...)
	for user, password := range c.Users {
		if user == "" || password == "" || strings.ContainsAny(user, ",=\x00") {
			bad("Users: %q is no user name, or its password is empty", user)
		}
	}
	for _, s := range c.SuperUsers {
		if !strings.HasPrefix(s, "User:") {
			bad("SuperUsers (--super-users, super.users): %q is no principal; write User:%s", s, s)
		}
	}
	errs = append(errs, c.validateConsumer()...)
	if c.GroupMinSessionTimeout > c.GroupMaxSessionTimeout {
		bad("GroupMinSessionTimeout (group.min.session.timeout.ms) is %s: it must not be above GroupMaxSessionTimeout (group.max.session.timeout.ms), %s", c.GroupMinSessionTimeout, c.GroupMaxSessionTimeout)
	}
	return errors.Join(errs...)
}

// maxFetchBytes is the most that one answer to Fetch takes.
const maxFetchBytes = 1 << 30

// checkLeast refuses values that Kafka's types allow and a broker cannot work with.
func checkLeast(get func(name string) string, listeners []Listener) (errs []error) {
	type least struct {
		name  string
		least int64
		why   string
	}
	all := []least{
		{"sasl.server.max.receive.size", 1024, "clients could not log in"},
		{"log.cleaner.dedupe.buffer.size", 1 << 20, "compaction could not keep the keys of a segment"},
	}
	ofListeners := []least{
		{"max.connections", 1, "nobody could connect, not even to change it again"},
		{"max.connection.creation.rate", 1, "nobody could connect; leave it out for no bound"},
	}
	all = append(all, ofListeners...)
	for i := range listeners {
		for _, s := range ofListeners {
			all = append(all, least{cluster.ForListener(listeners[i].Name, s.name), s.least, s.why})
		}
	}
	for _, s := range all {
		n, err := strconv.ParseInt(strings.TrimSpace(get(s.name)), 10, 64)
		if err == nil && n < s.least { // that it is a number was checked
			errs = append(errs, fmt.Errorf("%s is %d: it must be at least %d, otherwise %s", s.name, n, s.least, s.why))
		}
	}
	if n, err := strconv.ParseInt(strings.TrimSpace(get("max.connections.per.ip")), 10, 64); err == nil && n == 0 && get("max.connections.per.ip.overrides") == "" {
		errs = append(errs, errors.New("max.connections.per.ip is 0: name the addresses that may connect in max.connections.per.ip.overrides first"))
	}
	return errs
}

// idleTimeout is after how long a connection is idle; never is more than can be counted.
func (c Config) idleTimeout() time.Duration {
	if c.ConnectionIdleTimeout < 0 {
		return math.MaxInt64
	}
	return c.ConnectionIdleTimeout
}

func (c Config) flush() (commitlog.Flush, error) {
	switch c.Flush {
	case FlushGroup:
		return commitlog.FlushGroup, nil
	case FlushInterval:
		return commitlog.FlushInterval, nil
	case FlushOS:
		return commitlog.FlushOS, nil
	}
	return 0, fmt.Errorf("flush policy %q is unknown: group, interval or os", c.Flush)
}

func splitAddr(addr string) (host string, port int32, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q is no number from 0 to 65535", p)
	}
	return host, int32(n), nil
}
