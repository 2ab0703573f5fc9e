package record

import (
	"encoding/binary"
	"hash/crc32"
)

// Layout of a version 2 batch. The CRC covers everything from the attributes on,
// so that base offset and leader epoch can be set without touching it.
const (
	offBaseOffset   = 0
	offLength       = 8 // bytes after this field
	offLeaderEpoch  = 12
	offMagic        = 16
	offCRC          = 17
	offAttributes   = 21
	offLastDelta    = 23
	offBaseTime     = 27
	offMaxTime      = 35
	offProducerID   = 43
	offProducerEp   = 51
	offBaseSequence = 53
	offCount        = 57

	// HeaderSize is the size of a batch without its records.
	HeaderSize = 61
	// PrefixSize is base offset and length: what says where the next batch begins.
	PrefixSize = 12
)

const (
	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
	attrDeleteHorizon = 0x40
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Info is the header of a batch.
type Info struct {
	BaseOffset      int64
	Size            int // of the whole batch
	LeaderEpoch     int32
	CRC             uint32
	Attributes      int16
	LastOffsetDelta int32
	BaseTimestamp   int64
	MaxTimestamp    int64
	ProducerID      int64
	ProducerEpoch   int16
	BaseSequence    int32
	Count           int32
}

// LastOffset is the offset of the last record, also of one that compaction removed.
func (i *Info) LastOffset() int64 { return i.BaseOffset + int64(i.LastOffsetDelta) }

// NextOffset is the offset after the batch.
func (i *Info) NextOffset() int64 { return i.LastOffset() + 1 }

// Codec is the codec of the records.
func (i *Info) Codec() Codec { return Codec(i.Attributes & attrCodec) }

// Transactional tells whether the batch belongs to a transaction.
func (i *Info) Transactional() bool { return i.Attributes&attrTransactional != 0 }

// Control tells whether the batch holds control records.
func (i *Info) Control() bool { return i.Attributes&attrControl != 0 }

// LogAppendTime tells whether all records carry MaxTimestamp, the broker's time.
func (i *Info) LogAppendTime() bool { return i.Attributes&attrLogAppendTime != 0 }

// Idempotent tells whether the batch has a producer id.
func (i *Info) Idempotent() bool { return i.ProducerID >= 0 }

// LastSequence is the sequence number of the last record; numbers wrap from
// 2^31-1 to 0.
func (i *Info) LastSequence() int32 {
	if i.BaseSequence < 0 {
		return i.BaseSequence
	}
	return AddSequence(i.BaseSequence, i.LastOffsetDelta)
}

// AddSequence returns the sequence number n after s.
func AddSequence(s, n int32) int32 {
	return int32((int64(s) + int64(n)) & 0x7fffffff)
}

// SizeOf returns the size of the batch that begins in b, or 0 when b is too short
// to tell or the length is impossible for a version 2 batch.
func SizeOf(b []byte) int {
	if len(b) < PrefixSize {
		return 0
	}
	n := int32(binary.BigEndian.Uint32(b[offLength:]))
	if n < HeaderSize-PrefixSize {
		return 0
	}
	return int(n) + PrefixSize
}

// ParseHeader reads the header of the batch that begins in b. Only the header has
// to be there; nothing but magic and the bounds of single fields is checked.
func ParseHeader(b []byte) (Info, error) {
	if len(b) < HeaderSize {
		if len(b) > offMagic && b[offMagic] < 2 {
			return Info{}, errMagic(b[offMagic])
		}
		return Info{}, Errorf(CodeCorruptMessage, "batch of %d bytes is shorter than a batch header", len(b))
	}
	if b[offMagic] != 2 {
		return Info{}, errMagic(b[offMagic])
	}
	be := binary.BigEndian
	i := Info{
		BaseOffset:      int64(be.Uint64(b[offBaseOffset:])),
		LeaderEpoch:     int32(be.Uint32(b[offLeaderEpoch:])),
		CRC:             be.Uint32(b[offCRC:]),
		Attributes:      int16(be.Uint16(b[offAttributes:])),
		LastOffsetDelta: int32(be.Uint32(b[offLastDelta:])),
		BaseTimestamp:   int64(be.Uint64(b[offBaseTime:])),
		MaxTimestamp:    int64(be.Uint64(b[offMaxTime:])),
		ProducerID:      int64(be.Uint64(b[offProducerID:])),
		ProducerEpoch:   int16(be.Uint16(b[offProducerEp:])),
		BaseSequence:    int32(be.Uint32(b[offBaseSequence:])),
		Count:           int32(be.Uint32(b[offCount:])),
	}
	length := int32(be.Uint32(b[offLength:]))
	if length < HeaderSize-PrefixSize {
		return i, Errorf(CodeCorruptMessage, "batch length %d is shorter than a batch header", length)
	}
	i.Size = int(length) + PrefixSize
	if i.LastOffsetDelta < 0 {
		return i, Errorf(CodeInvalidRecord, "batch has a negative last offset delta %d", i.LastOffsetDelta)
	}
	if i.Count < 0 {
		return i, Errorf(CodeInvalidRecord, "batch has a negative record count %d", i.Count)
	}
	return i, nil
}

func errMagic(m byte) error {
	return Errorf(CodeInvalidRecord, "batch has magic %d, only record batches with magic 2 are stored", m)
}

// CheckCRC tells whether the bytes of the batch are what its CRC was taken of.
// b must be exactly the batch.
func CheckCRC(b []byte) bool {
	return len(b) >= HeaderSize &&
		crc32.Checksum(b[offAttributes:], castagnoli) == binary.BigEndian.Uint32(b[offCRC:])
}

// Stamp sets the fields that the log owns. The CRC does not cover them.
func Stamp(b []byte, baseOffset int64, leaderEpoch int32) {
	binary.BigEndian.PutUint64(b[offBaseOffset:], uint64(baseOffset))
	binary.BigEndian.PutUint32(b[offLeaderEpoch:], uint32(leaderEpoch))
}

// StampAppendTime marks the batch as stamped by the broker at ts (milliseconds)
// and takes a new CRC.
func StampAppendTime(b []byte, ts int64) {
	b[offAttributes+1] |= attrLogAppendTime
	binary.BigEndian.PutUint64(b[offMaxTime:], uint64(ts))
	sign(b)
}

// StampMaxTimestamp corrects the largest timestamp where the sender's header does
// not agree with its records, and takes a new CRC.
func StampMaxTimestamp(b []byte, ts int64) {
	binary.BigEndian.PutUint64(b[offMaxTime:], uint64(ts))
	sign(b)
}

// sign sets the CRC of b, which is exactly one batch.
func sign(b []byte) {
	binary.BigEndian.PutUint32(b[offCRC:], crc32.Checksum(b[offAttributes:], castagnoli))
}
