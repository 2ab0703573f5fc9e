package coordinator

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/consumergroup"
	"github.com/quokka-stream/quokka/broker/internal/group"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

// The records of consumer groups, in the formats of Apache Kafka 4.1: keys begin
// with the kind and are not flexible, values are of version 0 and flexible. Kafka
// 4.0's record of a group's topics (key 4) is passed over; the hash in the group's
// epoch took its place.

func consumerKey(groupID string, c consumergroup.Change) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(c.Kind))
	b = appendShortString(b, groupID)
	switch c.Kind {
	case consumergroup.MemberMetadata, consumergroup.TargetAssignment, consumergroup.CurrentAssignment, consumergroup.RegularExpression:
		b = appendShortString(b, c.Name)
	}
	return b
}

func consumerTombstone(groupID string, c consumergroup.Change) entry {
	return entry{key: consumerKey(groupID, c)}
}

func consumerEntry(g *consumergroup.Group, c consumergroup.Change) entry {
	v := value{0, 0} // the version
	switch c.Kind {
	case consumergroup.GroupEpoch:
		v.int32(g.Epoch())
		if hash := g.TopicsHash(); hash != 0 {
			v.tag(0, binary.BigEndian.AppendUint64(nil, uint64(hash)))
		} else {
			v.noTags()
		}
	case consumergroup.TargetEpoch:
		v.int32(g.AssignmentEpoch())
		v.noTags()
	case consumergroup.MemberMetadata:
		v.member(g.Member(c.Name))
	case consumergroup.TargetAssignment:
		v.partitions(g.Member(c.Name).Target, nil)
		v.noTags()
	case consumergroup.CurrentAssignment:
		m := g.Member(c.Name)
		v.int32(m.Epoch)
		v.int32(m.PreviousEpoch)
		v = append(v, byte(m.State))
		v.partitions(m.Assigned, m.Since)
		v.partitions(m.Revoking, m.Since)
		v.noTags()
	case consumergroup.RegularExpression:
		topics, version, at := g.Regex(c.Name)
		v.strings(topics)
		v.int64(version)
		v.int64(at.UnixMilli())
		v.noTags()
	}
	return entry{key: consumerKey(g.ID, c), value: v}
}

// value is a record's value in the making.
type value []byte

func (v *value) int32(n int32)            { *v = binary.BigEndian.AppendUint32(*v, uint32(n)) }
func (v *value) int64(n int64)            { *v = binary.BigEndian.AppendUint64(*v, uint64(n)) }
func (v *value) length(n int)             { *v = binary.AppendUvarint(*v, uint64(n)+1) }
func (v *value) noTags()                  { *v = append(*v, 0) }
func (v *value) bytes(b []byte)           { v.length(len(b)); *v = append(*v, b...) }
func (v *value) string(s string)          { v.length(len(s)); *v = append(*v, s...) }
func (v *value) duration(d time.Duration) { v.int32(int32(d.Milliseconds())) }

func (v *value) nullable(s *string) {
	if s == nil {
		*v = append(*v, 0)
		return
	}
	v.string(*s)
}

func (v *value) strings(list []string) {
	v.length(len(list))
	for _, s := range list {
		v.string(s)
	}
}

// tag ends a structure with one tagged field.
func (v *value) tag(tag uint64, field []byte) {
	*v = append(*v, 1)
	*v = binary.AppendUvarint(*v, tag)
	*v = binary.AppendUvarint(*v, uint64(len(field)))
	*v = append(*v, field...)
}

// partitions writes a set, with the epoch of each partition where since is not nil
// (a field that Kafka knows from 4.3 on, and passes over before).
func (v *value) partitions(s consumergroup.Partitions, since map[consumergroup.Partition]int32) {
	topics := s.ByTopic()
	v.length(len(topics))
	for _, t := range topics {
		*v = append(*v, t.Topic[:]...)
		v.length(len(t.Partitions))
		for _, p := range t.Partitions {
			v.int32(p)
		}
		if since == nil {
			v.noTags()
			continue
		}
		var epochs value
		epochs.length(len(t.Partitions))
		for _, p := range t.Partitions {
			epochs.int32(since[consumergroup.Partition{Topic: t.Topic, Index: p}])
		}
		v.tag(0, epochs)
	}
}

func (v *value) member(m *consumergroup.Member) {
	v.nullable(m.InstanceID)
	v.nullable(m.RackID)
	v.string(m.ClientID)
	v.string(m.ClientHost)
	v.strings(m.Topics)
	v.nullable(unlessEmpty(m.Regex))
	v.duration(m.RebalanceTimeout)
	v.nullable(unlessEmpty(m.Assignor))
	if m.Classic == nil {
		v.noTags()
		return
	}
	var c value = []byte{1} // it is there
	c.duration(m.Classic.SessionTimeout)
	c.length(len(m.Classic.Protocols))
	for _, p := range m.Classic.Protocols {
		c.string(p.Name)
		c.bytes(p.Metadata)
		c.noTags()
	}
	c.noTags()
	v.tag(0, c)
}

func unlessEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func appendShortString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// parseConsumer reads a record of a consumer group. What it returns keeps nothing
// of e.
func parseConsumer(e entry, kind consumergroup.Kind) (c change, ok bool, err error) {
	key := wire.NewReader(e.key[2:])
	c = change{kind: consumerRecord, tombstone: e.value == nil, group: key.String(false)}
	c.change.Kind = kind
	var read func(r *wire.Reader, name string) func(*consumergroup.Group) error
	named := true
	switch kind {
	case consumergroup.GroupEpoch:
		named, read = false, readGroupEpoch
	case consumergroup.TargetEpoch:
		named, read = false, readTargetEpoch
	case consumergroup.MemberMetadata:
		read = readMember
	case consumergroup.TargetAssignment:
		read = readTarget
	case consumergroup.CurrentAssignment:
		read = readCurrent
	case consumergroup.RegularExpression:
		read = readRegex
	default:
		return change{}, false, nil
	}
	if named {
		c.change.Name = key.String(false)
	}
	if err := key.Err(); err != nil || c.tombstone {
		return c, err == nil, err
	}
	r := wire.NewReader(e.value)
	if version := r.Int16(); version != 0 {
		return c, false, fmt.Errorf("%w: value version %d of a record of kind %d", errCorrupt, version, kind)
	}
	if c.restore = read(&r, c.change.Name); c.restore == nil || !r.Ok() {
		return c, false, fmt.Errorf("%w: value of a record of kind %d", errCorrupt, kind)
	}
	return c, true, nil
}

// The readers return nil where the value is malformed, or leave r bad.

func readGroupEpoch(r *wire.Reader, _ string) func(*consumergroup.Group) error {
	epoch, hash := r.Int32(), int64(0)
	if err := r.Tags(func(tag uint32, field wire.Reader) error {
		if tag == 0 {
			hash = field.Int64()
		}
		return field.Err()
	}); err != nil {
		return nil
	}
	return func(g *consumergroup.Group) error { g.RestoreEpoch(epoch, hash); return nil }
}

func readTargetEpoch(r *wire.Reader, _ string) func(*consumergroup.Group) error {
	epoch := r.Int32()
	r.SkipTags(true)
	return func(g *consumergroup.Group) error { g.RestoreTargetEpoch(epoch); return nil }
}

func readTarget(r *wire.Reader, id string) func(*consumergroup.Group) error {
	target, _ := readPartitions(r, nil)
	r.SkipTags(true)
	return func(g *consumergroup.Group) error { g.RestoreTarget(id, target); return nil }
}

func readCurrent(r *wire.Reader, id string) func(*consumergroup.Group) error {
	epoch, previous, state := r.Int32(), r.Int32(), consumergroup.MemberState(r.Int8())
	since := map[consumergroup.Partition]int32{}
	assigned, ok := readPartitions(r, since)
	revoking, ok2 := readPartitions(r, since)
	r.SkipTags(true)
	if !ok || !ok2 {
		return nil
	}
	return func(g *consumergroup.Group) error {
		g.RestoreCurrent(id, epoch, previous, state, assigned, revoking, since)
		return nil
	}
}

func readRegex(r *wire.Reader, expr string) func(*consumergroup.Group) error {
	topics, version, at := readStrings(r), r.Int64(), time.UnixMilli(r.Int64())
	r.SkipTags(true)
	return func(g *consumergroup.Group) error { return g.RestoreRegex(expr, topics, version, at) }
}

func readStrings(r *wire.Reader) []string {
	out := make([]string, max(0, r.ArrayLen(true, 1)))
	for i := range out {
		out[i] = r.String(true)
	}
	return out
}

// readPartitions reads a set and, where since is not nil, the epochs with it.
func readPartitions(r *wire.Reader, since map[consumergroup.Partition]int32) (out consumergroup.Partitions, ok bool) {
	out = consumergroup.Partitions{}
	for range r.ArrayLen(true, 18) {
		topic := r.UUID()
		partitions := make([]int32, max(0, r.ArrayLen(true, 4)))
		for i := range partitions {
			partitions[i] = r.Int32()
			out[consumergroup.Partition{Topic: topic, Index: partitions[i]}] = struct{}{}
		}
		if err := r.Tags(func(tag uint32, field wire.Reader) error {
			if tag != 0 || since == nil {
				return nil
			}
			if n := field.ArrayLen(true, 4); n != len(partitions) {
				return errCorrupt
			}
			for _, p := range partitions {
				since[consumergroup.Partition{Topic: topic, Index: p}] = field.Int32()
			}
			return field.Err()
		}); err != nil {
			return nil, false
		}
	}
	return out, r.Ok()
}

func readMember(r *wire.Reader, id string) func(*consumergroup.Group) error {
	m := consumergroup.Member{ID: id, InstanceID: r.NullableString(true), RackID: r.NullableString(true), ClientID: r.String(true), ClientHost: r.String(true)}
	m.Topics = readStrings(r)
	if s := r.NullableString(true); s != nil {
		m.Regex = *s
	}
	m.RebalanceTimeout = time.Duration(r.Int32()) * time.Millisecond
	if s := r.NullableString(true); s != nil {
		m.Assignor = *s
	}
	if err := r.Tags(func(tag uint32, field wire.Reader) error {
		if tag == 0 && field.Int8() != 0 {
			m.Classic = readClassic(&field)
		}
		return field.Err()
	}); err != nil {
		return nil
	}
	return func(g *consumergroup.Group) error { g.RestoreMember(m); return nil }
}

func readClassic(r *wire.Reader) *consumergroup.Classic {
	c := &consumergroup.Classic{SessionTimeout: time.Duration(r.Int32()) * time.Millisecond}
	c.Protocols = make([]group.Protocol, max(0, r.ArrayLen(true, 3)))
	for i := range c.Protocols {
		c.Protocols[i] = group.Protocol{Name: r.String(true), Metadata: append([]byte{}, r.NullableBytes(true)...)}
		r.SkipTags(true)
	}
	r.SkipTags(true)
	return c
}
