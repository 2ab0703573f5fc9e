package broker

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/api"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/clusterlog"
	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/coordinator"
	"github.com/quokka-stream/quokka/broker/internal/datadir"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/group"
	"github.com/quokka-stream/quokka/broker/internal/metrics"
	"github.com/quokka-stream/quokka/broker/internal/server"
	"github.com/quokka-stream/quokka/broker/internal/topics"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// Broker is an open broker.
type Broker struct {
	cfg       Config
	fs        fsys.FS
	reserve   *datadir.Reserve // nil = none
	lock      io.Closer
	log       *clusterlog.Log
	cluster   *cluster.Cluster
	committer *commitlog.Committer
	topics    *topics.Manager
	groups    *coordinator.Groups
	txns      *coordinator.Txns
	producers *cluster.ProducerIDs
	server    *server.Server
	listener  net.Listener
	metrics   *metrics.Metrics

	background sync.WaitGroup // what Serve started beside the server
	closeOnce  sync.Once
	closeErr   error
}

// closePatience is how long Close waits for requests that are being answered.
const closePatience = 5 * time.Second

// Open recovers what is in the data directory and listens. Requests are answered
// once Serve is called.
func Open(cfg Config) (*Broker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg.withDefaults(), fs: fsys.OS}
	if cfg.InMemory {
		b.fs = fsys.NewMem()
		setDefault(&b.cfg.DataDir, "/memory")
	}
	if err := b.open(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *Broker) open() error {
	dir := b.cfg.DataDir
	if err := datadir.Make(b.fs, dir); err != nil {
		return fmt.Errorf("data directory (--data-dir): %w", err)
	}
	lock, err := b.fs.Lock(path.Join(dir, ".lock"))
	if errors.Is(err, fsys.ErrLocked) {
		return fmt.Errorf("data directory %s (--data-dir) is in use by another broker: stop that one, or give this one a directory of its own", dir)
	}
	if err != nil {
		return fmt.Errorf("locking the data directory %s (--data-dir): %w", dir, err)
	}
	b.lock = lock
	if b.cfg.DiskReserve > 0 && !b.cfg.InMemory {
		b.reserve = datadir.OpenReserve(b.fs, dir, b.cfg.DiskReserve, time.Second, b.cfg.Logger)
		b.fs = b.reserve
	}
	if err := b.openCluster(dir); err != nil {
		return err
	}
	flush, err := b.cfg.flush()
	if err != nil {
		return err
	}
	committer := commitlog.CommitterConfig{
		FS: b.fs, Dir: dir, Flush: flush, OnFailed: b.log.Fail, Logger: b.cfg.Logger,
	}
	if flush == commitlog.FlushInterval {
		committer.Interval = b.cfg.FlushEvery
	}
	if b.reserve != nil {
		committer.Space = b.reserve
	}
	if b.committer, err = commitlog.NewCommitter(committer); err != nil {
		return err
	}
	// Its own goroutine: the log is locked, and the committer will want to lock it.
	b.log.OnFailed(func(cause error) { b.background.Go(func() { b.committer.Fail(cause) }) })
	b.topics, err = topics.New(topics.Config{
		FS: b.fs, Dir: path.Join(dir, "topics"), Committer: b.committer,
		ProducerExpiry: b.cfg.ProducerIDExpiration, Logger: b.cfg.Logger, Now: time.Now,
	}, b.cluster)
	if err != nil {
		return err
	}
	b.groups = coordinator.NewGroups(coordinator.Config{
		Group: group.Config{
			MinSessionTimeout: b.cfg.GroupMinSessionTimeout, MaxSessionTimeout: b.cfg.GroupMaxSessionTimeout,
			InitialRebalanceDelay: b.cfg.GroupInitialRebalanceDelay, MaxSize: b.cfg.GroupMaxSize, NewID: randomID,
		},
		Consumer:       b.cfg.consumerGroups(),
		SessionTimeout: b.cfg.GroupConsumerSessionTimeout, HeartbeatInterval: b.cfg.GroupConsumerHeartbeatInterval,
		OffsetsPartitions: int32(b.cfg.OffsetsPartitions), OffsetsRetention: b.cfg.OffsetsRetention,
		ExpiryInterval: 10 * time.Minute, MaxMetadata: 4096, Logger: b.cfg.Logger, Now: time.Now,
	}, b.cluster, b.topics)
	b.producers = cluster.NewProducerIDs(b.cluster)
	b.txns = coordinator.NewTxns(coordinator.TxnConfig{
		Partitions: int32(b.cfg.TransactionsPartitions), MaxTimeout: b.cfg.TransactionMaxTimeout, IDExpiration: b.cfg.TransactionalIDExpiration,
		Patience: 5 * time.Second, NewProducerID: b.producers.Take, ExpiryInterval: time.Hour, Logger: b.cfg.Logger, Now: time.Now,
	}, b.cluster, b.topics, b.groups)
	return b.openServer()
}

// openCluster reads the cluster log and records this start in it, which raises
// every leader epoch.
func (b *Broker) openCluster(dir string) error {
	log, records, err := clusterlog.Open(b.fs, dir)
	if err != nil {
		return err
	}
	b.log = log
	if b.cluster, err = cluster.Open(log, records); err != nil {
		return err
	}
	if err := b.addUsers(); err != nil {
		return err
	}
	img := b.cluster.Image()
	if img.ClusterID == "" {
		id := b.cfg.ClusterID
		if id == "" {
			id = cluster.NewID().String()
		}
		return b.cluster.Propose(context.Background(), &cluster.SetClusterID{ClusterID: id})
	}
	if want := b.cfg.ClusterID; want != "" && want != img.ClusterID {
		return fmt.Errorf("data directory %s (--data-dir) belongs to cluster %s, not to %s (--cluster-id)", dir, img.ClusterID, want)
	}
	return b.cluster.Propose(context.Background(), &cluster.StartBroker{Epoch: img.Epoch + 1})
}

func (b *Broker) openServer() error {
	b.listener = b.cfg.Listener
	if b.listener == nil {
		var lc net.ListenConfig
		ln, err := lc.Listen(context.Background(), "tcp", b.cfg.Listen)
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("port of %s is taken by another program: stop it, or choose another address with --listen (Config.Listen): %w", b.cfg.Listen, err)
		}
		if err != nil {
			return fmt.Errorf("listening on %s (--listen): %w", b.cfg.Listen, err)
		}
		b.listener = ln
	}
	handler := api.New(api.Config{
		NodeID: b.cfg.NodeID, Rack: b.cfg.Rack, DataDir: b.cfg.DataDir,
		AutoCreateTopics: !b.cfg.DisableAutoCreateTopics, DefaultPartitions: int32(b.cfg.DefaultPartitions),
		FetchMaxBytes: int32(min(b.cfg.MaxFetchBytes, 1<<30)), MaxPartitions: int32(b.cfg.MaxPartitions),
		MaxTopicParts: int32(b.cfg.MaxTopicPartitions), DecodeBudget: 256 << 20, Logger: b.cfg.Logger,
		Mechanisms: b.mechanisms(), Authorization: b.authorization(),
		GroupLimits:   b.cfg.groupLimits(),
		StaticConfigs: b.staticConfigs(), Advertise: b.advertise,
		Trace: b.trace(), RecordCheck: b.recordCheck(), Synced: b.cfg.Flush == FlushGroup,
	}, b.cluster, b.topics, b.groups, b.txns, b.producers, b.authorizer())
	b.metrics = metrics.New(metrics.Sources{Cluster: b.cluster, Topics: b.topics, Groups: b.groups, NodeID: b.cfg.NodeID, Commits: b.committer.Stats, ReadOnly: b.committer.Failed, DiskFull: b.diskFull})
	b.server = server.New(server.Config{
		Handler:        handler,
		Limits:         wire.Limits{Unauthenticated: 64 << 10, Produce: b.cfg.MaxProduceBytes, Other: b.cfg.MaxRequestBytes},
		MaxConnections: b.cfg.MaxConnections, IdleTimeout: b.cfg.ConnectionIdleTimeout, WriteTimeout: 30 * time.Second,
		Principal: b.principal(), LoginTimeout: 5 * time.Second,
		Logger: b.cfg.Logger, Observe: b.metrics.Request,
	})
	if b.cfg.TLS != nil {
		b.listener = tls.NewListener(b.listener, b.cfg.TLS)
	}
	b.metrics.Connections(b.server.Connections)
	return nil
}

// staticConfigs are the settings that DescribeConfigs reports of the broker and
// that cannot be changed while it runs, by Kafka's names.
func (b *Broker) staticConfigs() map[string]string {
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	out := map[string]string{
		"node.id":                              strconv.Itoa(int(b.cfg.NodeID)),
		"broker.id":                            strconv.Itoa(int(b.cfg.NodeID)),
		"log.dirs":                             b.cfg.DataDir,
		"log.dir":                              b.cfg.DataDir,
		"listeners":                            b.protocol() + "://" + b.listener.Addr().String(),
		"num.partitions":                       strconv.Itoa(b.cfg.DefaultPartitions),
		"default.replication.factor":           "1",
		"auto.create.topics.enable":            strconv.FormatBool(!b.cfg.DisableAutoCreateTopics),
		"delete.topic.enable":                  "true",
		"offsets.topic.num.partitions":         strconv.Itoa(b.cfg.OffsetsPartitions),
		"offsets.topic.replication.factor":     "1",
		"offsets.retention.minutes":            strconv.FormatInt(int64(b.cfg.OffsetsRetention.Minutes()), 10),
		"offset.metadata.max.bytes":            "4096",
		"group.initial.rebalance.delay.ms":     ms(b.cfg.GroupInitialRebalanceDelay),
		"group.min.session.timeout.ms":         ms(b.cfg.GroupMinSessionTimeout),
		"group.max.session.timeout.ms":         ms(b.cfg.GroupMaxSessionTimeout),
		"group.max.size":                       strconv.Itoa(b.cfg.GroupMaxSize),
		"producer.id.expiration.ms":            ms(b.cfg.ProducerIDExpiration),
		"transaction.max.timeout.ms":           ms(b.cfg.TransactionMaxTimeout),
		"transactional.id.expiration.ms":       ms(b.cfg.TransactionalIDExpiration),
		"transaction.state.log.num.partitions": strconv.Itoa(b.cfg.TransactionsPartitions),
		"connections.max.idle.ms":              ms(b.cfg.ConnectionIdleTimeout),
		"max.connections":                      strconv.Itoa(b.cfg.MaxConnections),
		"socket.request.max.bytes":             strconv.Itoa(b.cfg.MaxProduceBytes),
		"fetch.max.bytes":                      strconv.Itoa(b.cfg.MaxFetchBytes),
	}
	maps.Copy(out, b.cfg.consumerConfigs())
	return out
}

// advertise is the address that a client is told to use.
func (b *Broker) advertise(s *api.Session) (string, int32) {
	addr := b.cfg.Advertise
	if addr == "" {
		addr = s.Local.String()
	}
	host, port, err := splitAddr(addr)
	if err != nil { // a listener without ports, in a test
		return s.Local.String(), 0
	}
	return host, port
}

// diskFull says that producers are refused for lack of space.
func (b *Broker) diskFull() bool { return b.reserve != nil && b.reserve.Full() }

func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// Addr is the address that the broker listens on.
func (b *Broker) Addr() string { return b.listener.Addr().String() }

// ClusterID names the installation, for ever.
func (b *Broker) ClusterID() string { return b.cluster.Image().ClusterID }

// Serve answers requests until Close; it then returns nil.
func (b *Broker) Serve() error {
	b.background.Go(b.groups.Load)
	b.background.Go(b.txns.Load)
	return b.server.Serve(b.listener)
}

// Metrics serves the broker's metrics in Prometheus' text format, under the names
// that dashboards for kminion and kafka_exporter use.
func (b *Broker) Metrics() http.Handler { return b.metrics }

// Close stops accepting, answers what has been asked, and closes everything; what
// was acknowledged is on the disk then, under every flush policy.
func (b *Broker) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	return b.close(ctx)
}

// close closes what is open, last opened first.
func (b *Broker) close(ctx context.Context) error {
	b.closeOnce.Do(func() {
		var errs []error
		if b.server != nil {
			b.server.Close(ctx)
		}
		if b.listener != nil {
			_ = b.listener.Close() // closed already where Serve was called
		}
		if b.txns != nil {
			b.txns.Close()
		}
		if b.groups != nil {
			b.groups.Close()
		}
		b.background.Wait()
		if b.topics != nil {
			errs = append(errs, b.topics.Close())
		}
		if b.committer != nil {
			errs = append(errs, b.committer.Close())
		}
		if b.log != nil {
			errs = append(errs, b.log.Close())
		}
		if b.reserve != nil {
			errs = append(errs, b.reserve.Close())
		}
		if b.lock != nil {
			errs = append(errs, b.lock.Close())
		}
		b.closeErr = errors.Join(errs...)
	})
	return b.closeErr
}
