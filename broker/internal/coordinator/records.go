package coordinator

import (
	"encoding/binary"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/internal/consumergroup"
	"github.com/quokka-stream/quokka/broker/internal/group"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// The records of __consumer_offsets, in Kafka's formats: a key that begins with
// its version, 0 and 1 for an offset, 2 for a classic group; those of consumer
// groups are in consumerrecords.go.

func offsetKey(groupID, topic string, partition int32) []byte {
	k := kmsg.OffsetCommitKey{Version: 1, Group: groupID, Topic: topic, Partition: partition}
	return k.AppendTo(nil)
}

func offsetEntry(groupID, topic string, partition int32, o group.Offset) entry {
	v := kmsg.NewOffsetCommitValue()
	v.Version = 3
	v.Offset, v.LeaderEpoch, v.Metadata = o.Offset, o.LeaderEpoch, o.Metadata
	v.CommitTimestamp = o.CommitTime.UnixMilli()
	return entry{key: offsetKey(groupID, topic, partition), value: v.AppendTo(nil)}
}

func offsetTombstone(groupID, topic string, partition int32) entry {
	return entry{key: offsetKey(groupID, topic, partition)}
}

func groupKey(groupID string) []byte {
	k := kmsg.GroupMetadataKey{Version: 2, Group: groupID}
	return k.AppendTo(nil)
}

func groupTombstone(groupID string) entry { return entry{key: groupKey(groupID)} }

func groupEntry(g *group.Group) entry {
	s := g.Snapshot()
	v := kmsg.NewGroupMetadataValue()
	v.Version = 3
	v.ProtocolType, v.Generation = s.ProtocolType, s.Generation
	v.CurrentStateTimestamp = s.Since.UnixMilli()
	if s.Protocol != "" {
		v.Protocol = &s.Protocol
	}
	if s.Leader != "" {
		v.Leader = &s.Leader
	}
	for _, m := range s.Members {
		km := kmsg.NewGroupMetadataValueMember()
		km.MemberID, km.InstanceID, km.ClientID, km.ClientHost = m.ID, m.InstanceID, m.ClientID, m.ClientHost
		km.RebalanceTimeoutMillis = int32(m.RebalanceTimeout.Milliseconds())
		km.SessionTimeoutMillis = int32(m.SessionTimeout.Milliseconds())
		km.Subscription, km.Assignment = m.Metadata, m.Assignment
		v.Members = append(v.Members, km)
	}
	return entry{key: groupKey(g.ID), value: v.AppendTo(nil)}
}

// recordKind tells the records of the topic apart.
type recordKind uint8

const (
	offsetRecord recordKind = iota
	classicRecord
	consumerRecord
)

// change is what one record of the topic does to the state.
type change struct {
	group     string
	kind      recordKind
	tombstone bool

	topic     string // of an offset
	partition int32
	offset    group.Offset

	snapshot group.Snapshot // of a classic group

	change  consumergroup.Change // of a consumer group: which of its records
	restore func(*consumergroup.Group) error
}

// parse reads a record. Records of kinds that this broker does not know — of share
// groups, say — give ok false and are passed over.
func parse(e entry) (c change, ok bool, err error) {
	if len(e.key) < 2 {
		return c, false, errCorrupt
	}
	c.tombstone = e.value == nil
	switch version := binary.BigEndian.Uint16(e.key); version {
	case 0, 1:
		var k kmsg.OffsetCommitKey
		if err := k.ReadFrom(e.key); err != nil {
			return c, false, err
		}
		c.kind, c.group, c.topic, c.partition = offsetRecord, k.Group, k.Topic, k.Partition
		if c.tombstone {
			return c, true, nil
		}
		var v kmsg.OffsetCommitValue
		if err := v.ReadFrom(e.value); err != nil {
			return c, false, err
		}
		c.offset = group.Offset{Offset: v.Offset, LeaderEpoch: v.LeaderEpoch, Metadata: v.Metadata, CommitTime: time.UnixMilli(v.CommitTimestamp)}
		if v.Version < 3 {
			c.offset.LeaderEpoch = -1
		}
		return c, true, nil
	case 2:
		var k kmsg.GroupMetadataKey
		if err := k.ReadFrom(e.key); err != nil {
			return c, false, err
		}
		c.kind, c.group = classicRecord, k.Group
		if c.tombstone {
			return c, true, nil
		}
		if !plausibleGroup(e.value) {
			return c, false, errCorrupt
		}
		var v kmsg.GroupMetadataValue
		if err := v.ReadFrom(e.value); err != nil {
			return c, false, err
		}
		c.snapshot = snapshot(&v)
		return c, true, nil
	default:
		return parseConsumer(e, consumergroup.Kind(version))
	}
}

// plausibleGroup tells whether a classic group's value has what it claims to have: kmsg
// would make room for as many members as there are bytes.
func plausibleGroup(value []byte) bool {
	r := wire.NewReader(value)
	version := r.Int16()
	flexible, least := version >= 4, 18
	if flexible {
		least = 15
	}
	r.StringBytes(flexible)
	r.Int32()
	r.NullableString(flexible)
	r.NullableString(flexible)
	if version >= 2 {
		r.Int64()
	}
	for range r.ArrayLen(flexible, least) {
		r.StringBytes(flexible)
		if version >= 3 {
			r.NullableString(flexible)
		}
		r.StringBytes(flexible)
		r.StringBytes(flexible)
		if version >= 1 {
			r.Int32()
		}
		r.Int32()
		r.NullableBytes(flexible)
		r.NullableBytes(flexible)
		r.SkipTags(flexible)
	}
	r.SkipTags(flexible)
	return r.Ok()
}

func snapshot(v *kmsg.GroupMetadataValue) group.Snapshot {
	s := group.Snapshot{ProtocolType: v.ProtocolType, Generation: v.Generation, Since: time.UnixMilli(v.CurrentStateTimestamp)}
	if v.Protocol != nil {
		s.Protocol = *v.Protocol
	}
	if v.Leader != nil {
		s.Leader = *v.Leader
	}
	s.Members = make([]group.SnapshotMember, 0, len(v.Members))
	for _, m := range v.Members {
		s.Members = append(s.Members, group.SnapshotMember{
			ID: m.MemberID, InstanceID: m.InstanceID, ClientID: m.ClientID, ClientHost: m.ClientHost,
			RebalanceTimeout: time.Duration(m.RebalanceTimeoutMillis) * time.Millisecond,
			SessionTimeout:   time.Duration(m.SessionTimeoutMillis) * time.Millisecond,
			Metadata:         m.Subscription, Assignment: m.Assignment,
		})
	}
	return s
}
