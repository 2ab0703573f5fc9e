package record

import (
	"time"
)

// MaxDecompressed bounds the decompressed records of one batch.
const MaxDecompressed = 64 << 20

// minRecord is the size of a record without key, value and headers.
const minRecord = 7

// Rules are what a batch must keep to be appended.
type Rules struct {
	// Client refuses what only the broker or a replica may write: control
	// batches, base offsets other than 0, the log-append-time bit.
	Client bool
	// MaxBytes bounds the batch; 0 = unbounded.
	MaxBytes int
	// RequireKeys refuses records without a key (compacted topics).
	RequireKeys bool
	// Now with Before and After bounds each record's timestamp; After and Before
	// at or below 0 are unbounded. Not applied when the broker stamps the batch.
	Now           time.Time
	Before, After time.Duration
	// Inner walks the records of compressed batches too. Uncompressed ones are
	// always walked, it costs next to nothing.
	Inner bool
	// MaxDecompressed bounds the decompressed size; 0 = MaxDecompressed.
	MaxDecompressed int64
}

// Validate checks the batch that b begins with and returns its header. The batch
// is b[:info.Size]. Where a client's records were walked and their largest
// timestamp is not the one in the header, the header is corrected: lookups by time
// rely on it.
func Validate(b []byte, r *Rules) (Info, error) {
	info, err := ParseHeader(b)
	if err != nil {
		return info, err
	}
	if info.Size > len(b) {
		return info, Errorf(CodeCorruptMessage, "batch claims %d bytes, %d are there", info.Size, len(b))
	}
	b = b[:info.Size]
	if r.MaxBytes > 0 && info.Size > r.MaxBytes {
		return info, Errorf(CodeMessageTooLarge, "batch of %d bytes is larger than max.message.bytes, %d", info.Size, r.MaxBytes)
	}
	if !CheckCRC(b) {
		return info, Errorf(CodeCorruptMessage, "batch does not match its CRC")
	}
	if err := validateHeader(&info, r); err != nil {
		return info, err
	}
	w := walk{rules: r, info: &info}
	w.bounds()
	if info.Codec() != None && !r.Inner && !w.perRecord() {
		return info, nil
	}
	if err := w.run(b); err != nil {
		return info, err
	}
	if r.Client && w.maxSeen != info.MaxTimestamp {
		StampMaxTimestamp(b, w.maxSeen)
		return ParseHeader(b)
	}
	return info, nil
}

func validateHeader(i *Info, r *Rules) error {
	if i.Codec() > Zstd {
		return Errorf(CodeUnsupportedCompression, "batch has unknown compression codec %d", i.Codec())
	}
	if !r.Client {
		return nil
	}
	if i.BaseOffset != 0 {
		return Errorf(CodeInvalidRecord, "batch has base offset %d, a producer's must be 0", i.BaseOffset)
	}
	if i.Control() {
		return Errorf(CodeInvalidRecord, "clients are not allowed to write control records")
	}
	if i.Count == 0 || i.Count != i.LastOffsetDelta+1 {
		return Errorf(CodeInvalidRecord, "batch has %d records but an offset range of %d", i.Count, int64(i.LastOffsetDelta)+1)
	}
	if i.Count > MaxDecompressed/minRecord { // compressed ones are not counted
		return Errorf(CodeInvalidRecord, "batch claims %d records, more than fit into what it may decompress to", i.Count)
	}
	if i.LogAppendTime() {
		return Errorf(CodeInvalidTimestamp, "producers must not set the timestamp type to LogAppendTime")
	}
	if i.Idempotent() && (i.BaseSequence < 0 || i.ProducerEpoch < 0) {
		return Errorf(CodeInvalidRecord, "batch of producer %d has sequence %d, epoch %d", i.ProducerID, i.BaseSequence, i.ProducerEpoch)
	}
	if i.Transactional() && !i.Idempotent() {
		return Errorf(CodeInvalidRecord, "transactional batch without a producer id")
	}
	if i.Attributes&attrDeleteHorizon != 0 {
		return Errorf(CodeInvalidRecord, "producers must not set a delete horizon")
	}
	return nil
}
