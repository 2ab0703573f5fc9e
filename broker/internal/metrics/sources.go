package metrics

import (
	"context"
	"time"
)

// Sources is where figures come from when they are asked for.
type Sources struct {
	Cluster   func() Cluster
	Topics    func() []Topic // by name
	Groups    func(context.Context) []Group
	Listeners func() []Listener
	// Parked are the requests that wait now, by what they wait for.
	Parked func() []Count
	// Commits is what durability cost.
	Commits func() Commits
	Storage func() Storage
	// Limits are how often limits were reached, Throttled how often, and for how long
	// together, clients were held back by quotas.
	Limits    func() []Count
	Throttled func() []Throttled
	// DecodeMemory is what requests being decoded take, ProduceMemory what frames of Produce
	// requests do, FetchSessions how many there are.
	DecodeMemory  func() int64
	ProduceMemory func() int64
	FetchSessions func() int
}

// Cluster is the cluster of this one broker.
type Cluster struct {
	ID     string
	NodeID int32
	// Host and Port are what clients are told to connect to.
	Host string
	Port int32
	Rack string
}

// Topic is a topic, with those of its partitions that are open.
type Topic struct {
	Name          string
	CleanupPolicy string
	Partitions    int32
	Open          []Partition
}

// Partition is an open partition: its first offset, the one after the last that may
// be read, and its bytes on the disk.
type Partition struct {
	Index            int32
	Start, End, Size int64
}

// Group is a consumer group.
type Group struct {
	ID, Type, Protocol, State string
	Members, Idle             int // Idle have no partition
	// Assigned is by topic how many members have partitions of it, and how many.
	Assigned map[string]Assigned
	Offsets  []Offset
	Commits  int64 // of offsets, since the group was loaded
}

// Assigned is how much of a topic the members of a group have.
type Assigned struct{ Members, Partitions int }

// Offset is a committed offset.
type Offset struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Listener are the figures of a listener. Refused are the connections that were closed
// at once, by the bound that refused them.
type Listener struct {
	Name               string
	Open               int
	Accepted, LoggedIn int64
	NotLogin           int64
	Refused            map[string]int64
}

// Commits counts the rounds that made records durable, their syncs, and what the
// scrubber read.
type Commits struct {
	Rounds, Syncs     int64
	SyncTime          time.Duration
	Scrubbed, Damaged int64
}

// Storage is what of it does not work as it should.
type Storage struct {
	Full, ReadOnly bool
	Free           int64 // bytes; -1 = unknown
	Stopped        int   // partitions
}

// Count is how often something happened, or how much of it there is.
type Count struct {
	Name string
	N    int64
}

// Throttled is what a quota held back.
type Throttled struct {
	Quota string
	Count int64
	Total time.Duration
}
