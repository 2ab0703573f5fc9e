package coordinator

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/record"
	"github.com/quokka-stream/quokka/broker/internal/topics"
	"github.com/quokka-stream/quokka/broker/internal/txn"
)

// TxnConfig configures the coordinator of transactions.
type TxnConfig struct {
	// Partitions is the number of partitions that the transaction topic is made with.
	Partitions int32
	// MaxTimeout bounds the timeout that a producer may ask for.
	MaxTimeout time.Duration
	// IDExpiration is how long a transactional id is remembered without use.
	IDExpiration time.Duration
	// Patience is how long a request waits for a transaction that is ending.
	Patience time.Duration
	// NewProducerID gives producer ids.
	NewProducerID func(ctx context.Context) (int64, error)
	// Unsynced says that a power cut may take the end of the transactions' log: what
	// is found at a start may not be the last that producers were told.
	Unsynced bool
	// ExpiryInterval is the time between two searches for what has expired.
	ExpiryInterval time.Duration
	Logger         *slog.Logger
	Now            func() time.Time
}

// Txns coordinates all transactions.
type Txns struct {
	cfg     TxnConfig
	cluster *cluster.Cluster
	topics  *topics.Manager
	groups  *Groups
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc

	mu     sync.Mutex
	closed bool
	shards map[shardKey]*txnShard
	wg     sync.WaitGroup

	checks   sync.Map // *partition.Partition to *check, while it is going on
	deciding sync.Mutex
}

// NewTxns returns a coordinator of all transactions. No partition may be open yet.
func NewTxns(cfg TxnConfig, c *cluster.Cluster, t *topics.Manager, g *Groups) *Txns {
	x := &Txns{cfg: cfg, cluster: c, topics: t, groups: g, shards: map[shardKey]*txnShard{}}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	t.OnOpen(x.opened)
	return x
}

// Close ends every shard. Decisions whose markers are missing are gone on with at
// the next start.
func (x *Txns) Close() {
	x.mu.Lock()
	if !x.closed {
		x.closed = true
		x.cancel()
		for _, s := range x.shards {
			close(s.quit)
		}
	}
	x.mu.Unlock()
	x.wg.Wait()
}

// EnsureTopic creates the transaction topic when it is missing.
func (x *Txns) EnsureTopic(ctx context.Context) (*cluster.Topic, error) {
	return ensureTopic(ctx, x.cluster, cluster.TxnTopic, x.cfg.Partitions)
}

func (x *Txns) shard(ctx context.Context, id string) (*txnShard, int16) {
	t, err := x.EnsureTopic(ctx)
	if err != nil {
		x.cfg.Logger.Error("the transaction topic could not be created", "err", err)
		return nil, errcode.CoordinatorNotAvailable
	}
	return x.start(t, PartitionFor(id, t.Partitions()))
}

func (x *Txns) start(t *cluster.Topic, index int32) (*txnShard, int16) {
	key := shardKey{t.ID, index}
	x.mu.Lock()
	s, closed := x.shards[key], x.closed
	x.mu.Unlock()
	if closed {
		return nil, errcode.NotCoordinator
	}
	if s != nil {
		return s, errcode.None
	}
	part, err := x.topics.Get(t, index) // tells why not, once
	if err != nil {
		return nil, errcode.CoordinatorNotAvailable
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return nil, errcode.NotCoordinator
	}
	if s := x.shards[key]; s != nil {
		return s, errcode.None
	}
	cfg := &Config{ExpiryInterval: x.cfg.ExpiryInterval, Now: x.cfg.Now}
	s = newTxnShard(newLoop(cfg, part, x.cfg.Logger.With("topic", t.Name, "partition", index)), x)
	x.shards[key] = s
	x.wg.Go(s.run)
	return s, errcode.None
}

// all returns the shards of every partition that holds anything, and a code where one
// of them cannot be had.
func (x *Txns) all() (out []*txnShard, failed int16) {
	t := x.cluster.Image().Topic(cluster.TxnTopic)
	if t == nil {
		return nil, errcode.None
	}
	for i := range t.Partitions() {
		if x.topics.Exists(t, i) {
			s, code := x.start(t, i)
			if code != errcode.None {
				failed = code
				continue
			}
			out = append(out, s)
		}
	}
	return out, failed
}

// Load starts the shards of every partition that holds anything, so that decided
// transactions are completed and abandoned ones end.
func (x *Txns) Load() { _, _ = x.all() } // what fails is in the log

// step takes a step of a transactional id and returns once its change is durable.
// While the transaction's markers are being written it waits, and tries again.
// create makes an id that is not known; without it the answer is missing.
func (x *Txns) step(ctx context.Context, id string, create bool, missing int16, f func(t *txn.Txn, now time.Time) txn.Result) txn.Result {
	patience := time.NewTimer(x.cfg.Patience)
	defer patience.Stop()
	for {
		s, code := x.shard(ctx, id)
		if code != errcode.None {
			return txn.Result{Code: code, ProducerID: -1, Epoch: -1}
		}
		var r txn.Result
		var changed chan struct{}
		code = s.do(ctx, func(now time.Time) {
			h := s.find(id)
			if h == nil {
				if !create {
					r = txn.Result{Code: missing, ProducerID: -1, Epoch: -1}
					return
				}
				h = &tracked{now: txn.New(id), changed: make(chan struct{})}
			}
			t := h.now.Clone()
			r = f(t, now)
			h.mu.RLock()
			changed = h.changed
			h.mu.RUnlock()
			if r.Write {
				s.keep(h, t)
			}
		})
		if code != errcode.None {
			return txn.Result{Code: code, ProducerID: -1, Epoch: -1}
		}
		if !r.Wait {
			return r
		}
		select {
		case <-changed:
		case <-patience.C:
			return r
		case <-ctx.Done():
			return r
		}
	}
}

// Init handles an InitProducerID request with a transactional id.
func (x *Txns) Init(ctx context.Context, id string, timeout time.Duration, producerID int64, epoch int16) txn.Result {
	switch {
	case id == "":
		return txn.Result{Code: errcode.InvalidRequest, ProducerID: -1, Epoch: -1}
	case timeout <= 0 || timeout > x.cfg.MaxTimeout:
		return txn.Result{Code: errcode.InvalidTransactionTimeout, ProducerID: -1, Epoch: -1}
	}
	newID := x.newID(ctx)
	return x.step(ctx, id, true, 0, func(t *txn.Txn, now time.Time) txn.Result {
		return t.Init(now, timeout, producerID, epoch, newID)
	})
}

// newID gives one producer id, the same one to every try of a request.
func (x *Txns) newID(ctx context.Context) txn.NewID {
	id := int64(-1)
	return func() (int64, error) {
		if id >= 0 {
			return id, nil
		}
		var err error
		id, err = x.cfg.NewProducerID(ctx)
		return id, err
	}
}

// Add handles an AddPartitionsToTxn request.
func (x *Txns) Add(ctx context.Context, id string, producerID int64, epoch int16, partitions []txn.Partition) int16 {
	return x.step(ctx, id, false, errcode.InvalidProducerIDMapping, func(t *txn.Txn, now time.Time) txn.Result {
		return t.Add(now, producerID, epoch, partitions)
	}).Code
}

// OffsetsPartition is the partition of the offsets topic that a group's offsets in
// a transaction go to.
func (x *Txns) OffsetsPartition(ctx context.Context, groupID string) (txn.Partition, int16) {
	t, err := x.groups.EnsureTopic(ctx)
	if err != nil {
		return txn.Partition{}, errcode.CoordinatorNotAvailable
	}
	return txn.Partition{Topic: t.Name, Index: PartitionFor(groupID, t.Partitions())}, errcode.None
}

// End handles an EndTxn request; version is that of the client's transactions. It
// returns when the decision is durable.
func (x *Txns) End(ctx context.Context, id string, producerID int64, epoch int16, commit bool, version int16) txn.Result {
	newID := x.newID(ctx)
	return x.step(ctx, id, false, errcode.InvalidProducerIDMapping, func(t *txn.Txn, now time.Time) txn.Result {
		return t.End(now, producerID, epoch, commit, version, newID)
	})
}

// Write lets stage append to those of the partitions that are in the producer's
// transaction; with add, those that are not are added first. While stage runs the
// transaction cannot be decided. The codes are in the partitions' order; stage is
// called with the indexes of those without one.
func (x *Txns) Write(ctx context.Context, id string, producerID int64, epoch int16, partitions []txn.Partition, add bool, stage func(i int)) []int16 {
	codes := make([]int16, len(partitions))
	all := func(code int16) []int16 {
		for i := range codes {
			codes[i] = code
		}
		return codes
	}
	s, code := x.shard(ctx, id)
	if code == errcode.None {
		code = x.checked(ctx, partitions)
	}
	if code != errcode.None {
		return all(code)
	}
	for tries := 0; ; tries++ {
		h, code := s.shown(ctx, id)
		if code != errcode.None {
			return all(code)
		}
		missing, wait, ok := h.write(producerID, epoch, partitions, codes, add && tries < 3, stage)
		switch {
		case ok:
			return codes
		case wait != nil:
			// Someone added the partitions just now; that must be durable before
			// what is written to them.
			if code := (settled{wait: wait}).settle(ctx); code != errcode.None {
				return all(code)
			}
		case missing:
			if code := x.Add(ctx, id, producerID, epoch, partitions); code != errcode.None {
				return all(code)
			}
		}
	}
}

// shown returns a transactional id as those who write see it.
func (s *txnShard) shown(ctx context.Context, id string) (*tracked, int16) {
	if h, ok := s.published.Load(id); ok {
		return h.(*tracked), errcode.None
	}
	// It may not be loaded yet.
	if code := s.do(ctx, func(time.Time) {}); code != errcode.None {
		return nil, code
	}
	if h, ok := s.published.Load(id); ok {
		return h.(*tracked), errcode.None
	}
	return nil, errcode.InvalidProducerIDMapping
}

// write stages what may be staged, and fills in the codes. ok is false when the
// caller has to try again: after adding the missing partitions, after waiting for
// what is not durable, or because the shard has begun anew.
func (h *tracked) write(producerID int64, epoch int16, partitions []txn.Partition, codes []int16, add bool, stage func(i int)) (missing bool, wait *partition.Pending, ok bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.seen == nil {
		return false, nil, false
	}
	for i, p := range partitions {
		codes[i] = h.seen.Has(producerID, epoch, p)
		missing = missing || codes[i] != errcode.None
	}
	if missing && add {
		return true, nil, false
	}
	if h.wait != nil && !durable(h.wait) {
		return false, h.wait, false
	}
	for i := range partitions {
		if codes[i] == errcode.None {
			stage(i)
		}
	}
	return false, nil, true
}

func durable(p *partition.Pending) bool {
	select {
	case <-p.Durable():
		return true
	default:
		return false
	}
}

// Describe returns a transactional id as it is now, nil when it is not known.
func (x *Txns) Describe(ctx context.Context, id string) (t *txn.Txn, code int16) {
	s, code := x.shard(ctx, id)
	if code != errcode.None {
		return nil, code
	}
	code = s.do(ctx, func(time.Time) {
		if h := s.find(id); h != nil {
			t = h.now
		}
	})
	return t, code
}

// List returns all transactional ids.
func (x *Txns) List(ctx context.Context) (out []*txn.Txn, code int16) {
	shards, _ := x.all()
	for _, s := range shards {
		var some []*txn.Txn
		if code = s.do(ctx, func(time.Time) {
			for _, h := range s.ids {
				some = append(some, h.now)
			}
		}); code != errcode.None {
			return nil, code
		}
		out = append(out, some...)
	}
	return out, errcode.None
}

// WriteMarker ends a producer's transaction in one partition and returns when that is
// durable: on an administrator's word, or where a partition was found with one that its
// coordinator does not have.
func (x *Txns) WriteMarker(ctx context.Context, p txn.Partition, producerID int64, epoch int16, m record.Marker) int16 {
	r := x.stageMarker(ctx, p, producerID, epoch, m)
	if r.code != errcode.None || r.wait == nil {
		return r.code
	}
	select {
	case <-r.wait.Durable():
		err := r.wait.Err()
		if code, ok := topics.Code(err); err != nil && ok {
			return code
		}
		if err != nil {
			return errcode.UnknownServerError
		}
		return errcode.None
	case <-ctx.Done():
		return errcode.NotLeaderOrFollower
	}
}
