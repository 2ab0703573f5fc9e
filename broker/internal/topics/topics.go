// Package topics keeps the partitions of the cluster image open: each is opened
// when it is first needed, gets the settings of its topic, and is deleted with it.
package topics

import (
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/datadir"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
	"github.com/quokka-stream/quokka/broker/internal/partition"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// Config configures a Manager.
type Config struct {
	FS        fsys.FS
	Dir       string // one directory per partition is made in it
	Committer *commitlog.Committer
	Logger    *slog.Logger
	Now       func() time.Time
}

// Manager opens partitions and follows the cluster image.
type Manager struct {
	cfg     Config
	cluster *cluster.Cluster
	onOpen  func(t *cluster.Topic, index int32, p *partition.Partition)

	mu     sync.RWMutex
	closed bool
	slots  map[cluster.ID][]*slot // by topic and partition
}

// slot is one partition, opened at most once.
type slot struct {
	ready  atomic.Pointer[partition.Partition] // set while open
	failed atomic.Bool                         // could not be opened

	mu    sync.Mutex
	err   error
	again time.Time // from when on opening it is tried again; zero: never
	gone  bool      // closed or deleted: never open it again
}

// openAgain is the time between two tries to open a partition for which there was no
// space.
const openAgain = time.Second

// New returns a manager for the cluster's topics. Directories of topics that are
// no longer there, left by a stop in the middle of a deletion, are removed.
func New(cfg Config, c *cluster.Cluster) (*Manager, error) {
	m := &Manager{cfg: cfg, cluster: c, slots: map[cluster.ID][]*slot{}, onOpen: func(*cluster.Topic, int32, *partition.Partition) {}}
	if err := datadir.Make(cfg.FS, cfg.Dir); err != nil {
		return nil, err
	}
	entries, err := cfg.FS.ReadDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	img := c.Image()
	wanted := map[string]bool{}
	for _, t := range img.Topics() {
		for i := range t.Partitions() {
			wanted[dirName(t.Name, i)] = true
		}
	}
	for _, e := range entries {
		if e.Dir && !wanted[e.Name] {
			if err := cfg.FS.RemoveAll(path.Join(cfg.Dir, e.Name)); err != nil {
				return nil, err
			}
		}
	}
	// What was removed must not be found again by a topic of the same name, and what
	// is there may have been made by a process that was killed before its sync.
	if err := cfg.FS.SyncDir(cfg.Dir); err != nil {
		return nil, err
	}
	c.OnChange(m.follow)
	return m, nil
}

// OnOpen registers f to see each partition that was opened before anyone else does. It
// must not ask the manager for a partition. It is set before the first is opened.
func (m *Manager) OnOpen(f func(t *cluster.Topic, index int32, p *partition.Partition)) { m.onOpen = f }

func dirName(topic string, index int32) string {
	return topic + "-" + strconv.Itoa(int(index))
}

// errGone is the answer of a manager that is closed.
var errGone = record.Errorf(record.CodeNotLeaderOrFollower, "the broker is shutting down")

// Get returns a partition of a topic, opening it if need be.
func (m *Manager) Get(t *cluster.Topic, index int32) (*partition.Partition, error) {
	if index < 0 || index >= t.Partitions() {
		return nil, record.Errorf(record.CodeUnknownTopicOrPartition, "topic %s has no partition %d", t.Name, index)
	}
	s, err := m.slot(t, index)
	if err != nil {
		return nil, err
	}
	if p := s.ready.Load(); p != nil {
		return p, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch p := s.ready.Load(); {
	case p != nil:
		return p, nil
	case s.gone:
		return nil, record.Errorf(record.CodeUnknownTopicOrPartition, "topic %s was deleted", t.Name)
	case s.err != nil && (s.again.IsZero() || m.cfg.Now().Before(s.again)):
		return nil, s.err
	}
	p, err := m.open(t, index, s.err == nil)
	if err != nil {
		s.err, s.again = err, time.Time{}
		if fsys.IsNoSpace(err) {
			s.again = m.cfg.Now().Add(openAgain)
		}
		s.failed.Store(true)
		return nil, err
	}
	if s.err != nil {
		m.cfg.Logger.Info("a partition for which there was no space is open", "topic", t.Name, "partition", index)
	}
	s.err = nil
	s.failed.Store(false)
	m.onOpen(t, index, p)
	s.ready.Store(p)
	return p, nil
}

func (m *Manager) slot(t *cluster.Topic, index int32) (*slot, error) {
	m.mu.RLock()
	slots := m.slots[t.ID]
	closed := m.closed
	m.mu.RUnlock()
	if closed {
		return nil, errGone
	}
	if int(index) < len(slots) {
		return slots[index], nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errGone
	}
	// Only what is in the image now may get a directory: t may be of an older one.
	if m.cluster.Image().TopicByID(t.ID) == nil {
		return nil, record.Errorf(record.CodeUnknownTopicOrPartition, "topic %s was deleted", t.Name)
	}
	slots = m.slots[t.ID]
	grown := append(make([]*slot, 0, t.Partitions()), slots...)
	for int32(len(grown)) < t.Partitions() {
		grown = append(grown, &slot{})
	}
	m.slots[t.ID] = grown
	return grown[index], nil
}

// open opens a partition. That there is still no space is not logged again.
func (m *Manager) open(t *cluster.Topic, index int32, first bool) (*partition.Partition, error) {
	img := m.cluster.Image()
	dir := path.Join(m.cfg.Dir, dirName(t.Name, index))
	p, err := m.openDir(img, t, index, dir)
	// A topic of this name was deleted, and its directory could not be removed then.
	var other *commitlog.OtherTopicError
	if errors.As(err, &other) && other.ID != [16]byte{} && img.TopicByID(other.ID) == nil {
		m.cfg.Logger.Warn("removing the directory of a topic that was deleted", "dir", dir)
		if err = errors.Join(m.cfg.FS.RemoveAll(dir), m.cfg.FS.SyncDir(m.cfg.Dir)); err == nil {
			p, err = m.openDir(img, t, index, dir)
		}
	}
	if err != nil {
		until := "the broker is restarted"
		if fsys.IsNoSpace(err) {
			until = "there is space"
		}
		if first || !fsys.IsNoSpace(err) {
			m.cfg.Logger.Error("a partition cannot be opened; it answers KAFKA_STORAGE_ERROR until "+until, "topic", t.Name, "partition", index, "err", err)
		}
		var coded *record.Error
		if !errors.As(err, &coded) {
			err = fmt.Errorf("%w: %w", record.Errorf(record.CodeStorageError, "partition %s-%d cannot be opened", t.Name, index), err)
		}
		return nil, err
	}
	return p, nil
}

func (m *Manager) openDir(img *cluster.Image, t *cluster.Topic, index int32, dir string) (*partition.Partition, error) {
	return partition.Open(partition.Config{
		FS: m.cfg.FS, Dir: dir,
		Topic: t.Name, Index: index, TopicID: t.ID, Internal: cluster.IsInternal(t.Name),
		LeaderEpoch: img.LeaderEpoch(t, index),
		Log:         m.logConfig(img, t),
		Committer:   m.cfg.Committer, Logger: m.cfg.Logger, Now: m.cfg.Now,
	})
}

// Exists says whether a partition was ever opened, now or in an earlier life.
func (m *Manager) Exists(t *cluster.Topic, index int32) bool {
	_, err := m.cfg.FS.Stat(path.Join(m.cfg.Dir, dirName(t.Name, index)))
	return err == nil
}

// Free is how many bytes can still be written, -1 where that cannot be told.
func (m *Manager) Free() int64 {
	n, err := m.cfg.FS.Free(m.cfg.Dir)
	if err != nil {
		return -1
	}
	return n
}

// Stopped is how many partitions answer KAFKA_STORAGE_ERROR: those that could not be
// opened, and those that have failed since.
func (m *Manager) Stopped() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n := 0
	for _, slots := range m.slots {
		for _, s := range slots {
			if p := s.ready.Load(); (p != nil && p.Err() != nil) || s.failed.Load() {
				n++
			}
		}
	}
	return n
}

// Opened calls f for each partition that is open.
func (m *Manager) Opened(f func(t *cluster.Topic, index int32, p *partition.Partition)) {
	img := m.cluster.Image()
	for _, t := range img.Topics() {
		m.mu.RLock()
		slots := m.slots[t.ID]
		m.mu.RUnlock()
		for i, s := range slots {
			if p := s.ready.Load(); p != nil {
				f(t, int32(i), p)
			}
		}
	}
}

// follow brings the open partitions in line with a new image.
func (m *Manager) follow(old, img *cluster.Image) {
	for id, t := range old.All() {
		if img.TopicByID(id) == nil {
			m.delete(t)
		}
	}
	m.Opened(func(t *cluster.Topic, _ int32, p *partition.Partition) {
		before := old.TopicByID(t.ID)
		if before == t && cluster.SameBrokerConfigs(old, img) {
			return
		}
		p.UpdateConfig(m.logConfig(img, t))
	})
}

// delete removes a topic's partitions, open or not, before it returns, so that a
// topic of the same name may be created at once.
func (m *Manager) delete(t *cluster.Topic) {
	m.mu.Lock()
	slots := m.slots[t.ID]
	delete(m.slots, t.ID)
	m.mu.Unlock()
	for i := range t.Partitions() {
		var err error
		deleted := false
		if int(i) < len(slots) {
			s := slots[i]
			s.mu.Lock()
			s.gone = true
			if p := s.ready.Swap(nil); p != nil {
				err = p.Delete()
				deleted = true
			}
			s.mu.Unlock()
		}
		if !deleted {
			err = m.cfg.FS.RemoveAll(path.Join(m.cfg.Dir, dirName(t.Name, i)))
			if err == nil {
				// The name must be gone for good before a topic may take it.
				err = m.cfg.FS.SyncDir(m.cfg.Dir)
			}
		}
		if err != nil {
			m.cfg.Logger.Error("a deleted topic's directory could not be removed; the next start removes it",
				"topic", t.Name, "partition", i, "err", err)
		}
	}
}

// Close closes every partition.
func (m *Manager) Close() error {
	m.mu.Lock()
	m.closed = true
	slots := m.slots
	m.slots = map[cluster.ID][]*slot{}
	m.mu.Unlock()
	var errs []error
	for _, parts := range slots {
		for _, s := range parts {
			s.mu.Lock()
			s.gone = true
			if p := s.ready.Swap(nil); p != nil {
				errs = append(errs, p.Close())
			}
			s.mu.Unlock()
		}
	}
	return errors.Join(errs...)
}

// Code is the Kafka error code in an error of a partition.
func Code(err error) (int16, bool) {
	var coded *record.Error
	if errors.As(err, &coded) {
		return coded.Code, true
	}
	return 0, false
}
