package broker

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/api"
	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/clusterlog"
	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/coordinator"
	"github.com/quokka-stream/quokka/broker/internal/datadir"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/group"
	"github.com/quokka-stream/quokka/broker/internal/limit"
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
	listeners []Listener // as opened
	metrics   *metrics.Metrics
	frames    *wire.FrameBudget // of Produce requests
	hits      limit.Hits

	life       context.Context // ends when Close begins
	ending     context.CancelFunc
	mu         sync.Mutex     // between what begins in the background and the end of life
	background sync.WaitGroup // what Serve started beside the server
	closeOnce  sync.Once
	closeErr   error
}

// closePatience is how long Close waits for requests that are being answered.
const closePatience = 5 * time.Second

// Open recovers what is in the data directory and listens. Requests are answered
// once Serve is called.
func Open(cfg Config) (*Broker, error) {
	cfg, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg, listeners: cfg.Listeners, fs: fsys.OS}
	if cfg.InMemory {
		b.fs = fsys.NewMem()
		setDefault(&b.cfg.DataDir, "/memory")
	}
	b.life, b.ending = context.WithCancel(context.Background())
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
	if err := notKafkas(b.fs, dir); err != nil {
		return err
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
		FS: b.fs, Dir: dir, Flush: flush, OnFailed: b.log.Fail, ScrubRate: cmp.Or(b.cfg.ScrubRate, -1), Logger: b.cfg.Logger,
	}
	if flush == commitlog.FlushInterval {
		committer.Interval = b.cfg.FlushEvery
	}
	if b.reserve != nil {
		committer.Space = b.reserve
	}
	committer.CleanEvery = b.milliseconds("log.retention.check.interval.ms")
	committer.CompactMemory = b.cluster.Image().BrokerInt("log.cleaner.dedupe.buffer.size")
	if b.committer, err = commitlog.NewCommitter(committer); err != nil {
		return err
	}
	// Its own goroutine: the log is locked, and the committer will want to lock it.
	b.log.OnFailed(func(cause error) { b.start(func() { b.committer.Fail(cause) }) })
	b.topics, err = topics.New(topics.Config{
		FS: b.fs, Dir: path.Join(dir, "topics"), Committer: b.committer,
		Logger: b.cfg.Logger, Now: time.Now,
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
		ExpiryInterval: b.milliseconds("offsets.retention.check.interval.ms"), MaxMetadata: int(b.cluster.Image().BrokerInt("offset.metadata.max.bytes")), Logger: b.cfg.Logger, Now: time.Now,
	}, b.cluster, b.topics)
	b.producers = cluster.NewProducerIDs(b.cluster)
	b.txns = coordinator.NewTxns(coordinator.TxnConfig{
		Partitions: int32(b.cfg.TransactionsPartitions), MaxTimeout: b.cfg.TransactionMaxTimeout, IDExpiration: b.cfg.TransactionalIDExpiration,
		Patience: 5 * time.Second, NewProducerID: b.producers.Take, Unsynced: b.cfg.Flush != FlushGroup,
		ExpiryInterval: b.milliseconds("transaction.remove.expired.transaction.cleanup.interval.ms"), Logger: b.cfg.Logger, Now: time.Now,
	}, b.cluster, b.topics, b.groups)
	return b.openServer()
}

// notKafkas refuses a data directory of Apache Kafka's: its topics are not read, and
// it would not start again beside what is written here.
func notKafkas(disk fsys.FS, dir string) error {
	has := func(name string) bool {
		_, err := disk.Stat(path.Join(dir, name))
		return !errors.Is(err, fsys.ErrNotExist)
	}
	if !has("meta.properties") || has("cluster.log") {
		return nil
	}
	return fmt.Errorf("data directory %s (--data-dir, log.dirs) is Apache Kafka's, as it has meta.properties: this broker does not read Kafka's topics, and Kafka would no longer start with this broker's files among its own; name another with --data-dir", dir)
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
	b.cluster.SetLocal(cluster.Local{NodeID: b.cfg.NodeID, Static: b.static()})
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
	if err := openListeners(b.listeners); err != nil {
		return err
	}
	b.cluster.SetLocal(cluster.Local{NodeID: b.cfg.NodeID, Static: b.static()})
	if err := b.checkMechanisms(b.cluster.Image(), b.cluster.Image()); err != nil {
		return err
	}
	b.report()
	image := b.cluster.Image
	for i := range b.listeners {
		if s := b.listeners[i].stores; s != nil {
			s.image.Store(&image)
		}
	}
	handler := api.New(api.Config{
		NodeID: b.cfg.NodeID, Rack: b.cfg.Rack, DataDir: b.cfg.DataDir,
		AutoCreateTopics: !b.cfg.DisableAutoCreateTopics, DefaultPartitions: int32(b.cfg.DefaultPartitions),
		FetchMaxBytes: int32(b.cfg.MaxFetchBytes), MaxPartitions: int32(b.cfg.MaxPartitions),
		MaxTopicParts: int32(b.cfg.MaxTopicPartitions), DecodeBudget: b.cluster.Image().BrokerInt("quokka.decode.memory.bytes"), Logger: b.cfg.Logger, Hits: &b.hits,
		Mechanisms: b.mechanisms, Authorization: b.authorization(),
		GroupLimits: b.cfg.groupLimits(), ClampReplicas: b.cfg.ClampReplicationFactor, CheckConfigs: b.checkConfigs,
		Advertise: func(s *api.Session) (string, int32) { return b.address(s.Listener, s.Local) },
		Trace:     b.trace(), RecordCheck: b.recordCheck(), Synced: b.cfg.Flush == FlushGroup,
	}, b.cluster, b.topics, b.groups, b.txns, b.producers, b.authorizer())
	b.frames = wire.NewFrameBudget(b.cluster.Image().BrokerInt("quokka.produce.memory.bytes"), func() { b.hits.Hit(limit.ProduceMemory) })
	b.metrics = metrics.New(b.sources(handler))
	b.server = server.New(server.Config{
		Handler: handler, Frames: b.frames,
		Limits: wire.Limits{Unauthenticated: int(b.cluster.Image().BrokerInt("sasl.server.max.receive.size")), Produce: b.cfg.MaxProduceBytes, Other: b.cfg.MaxRequestBytes},
		Bounds: b.bounds, IdleTimeout: b.cfg.idleTimeout(), WriteTimeout: b.milliseconds("quokka.write.timeout.ms"),
		LoginTimeout: b.milliseconds("quokka.login.timeout.ms"), ConnectQuota: handler.ConnectQuota,
		Logger: b.cfg.Logger, Hits: &b.hits, Observe: b.metrics.Request,
	})
	return nil
}

// diskFull says that producers are refused for lack of space.
func (b *Broker) diskFull() bool { return b.reserve != nil && b.reserve.Full() }

func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// Addr is the address that the broker listens on, that of its first listener.
func (b *Broker) Addr() string { return b.listeners[0].Listener.Addr().String() }

// ListenerAddr is the address of a listener, "" where there is none of that name.
func (b *Broker) ListenerAddr(name string) string {
	for i := range b.listeners {
		if b.listeners[i].Name == name {
			return b.listeners[i].Listener.Addr().String()
		}
	}
	return ""
}

// DataDir is the directory that the broker keeps everything in.
func (b *Broker) DataDir() string { return b.cfg.DataDir }

// Healthy says why the broker does not do all of its work, nil when it does: after a
// failed sync nothing is written any more until a restart.
func (b *Broker) Healthy() error {
	if err := b.committer.Failed(); err != nil {
		return fmt.Errorf("the data directory is read-only: look into the disk, then restart the broker: %w", err)
	}
	return nil
}

// ClusterID names the installation, for ever.
func (b *Broker) ClusterID() string { return b.cluster.Image().ClusterID }

// start runs f in the background, where Close waits for it. It reports false, and does
// not run it, when Close has begun to wait.
func (b *Broker) start(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.life.Err() != nil {
		return false
	}
	b.background.Go(f)
	return true
}

// Serve answers requests until Close; it then returns nil.
func (b *Broker) Serve() error {
	b.start(b.groups.Load)
	b.start(b.txns.Load)
	b.start(b.reportUnresolved)
	ended := make(chan error, len(b.listeners))
	for i := range b.listeners {
		if !b.start(func() { ended <- b.server.Serve(b.served(&b.listeners[i])) }) {
			ended <- nil
		}
	}
	for range b.listeners {
		if err := <-ended; err != nil {
			return err
		}
	}
	return nil
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
		for i := range b.listeners {
			if ln := b.listeners[i].Listener; ln != nil {
				_ = ln.Close() // closed already where Serve was called
			}
		}
		b.mu.Lock()
		b.ending()
		b.mu.Unlock()
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
