package coordinator

import (
	"errors"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/record"
)

var errCorrupt = errors.New("a record in an internal topic does not parse")

// entry is one record of an internal topic; a nil value is a tombstone.
type entry struct {
	key, value []byte
}

// batchOf returns one batch of entries.
func batchOf(o record.Options, entries []entry, now time.Time) []byte {
	b := record.NewBuilder(o)
	for _, e := range entries {
		b.Add(record.Record{Timestamp: now.UnixMilli(), Key: e.key, Value: e.value})
	}
	return b.Batch()
}

// eachEntry calls f for every record of the whole batches in b, with the header
// of its batch. What f gets is good for the call only. It returns the offset
// after the last batch, which may have been one that compaction emptied.
func eachEntry(b []byte, f func(info *record.Info, e entry) error) (next int64, err error) {
	var failed error
	var r record.Reader
	read := record.Each(b, func(batch []byte) bool {
		if failed = r.Reset(batch, 0); failed != nil {
			return false
		}
		next = r.Info().NextOffset()
		var rec record.Record
		for r.Next(&rec) {
			if failed = f(r.Info(), entry{rec.Key, rec.Value}); failed != nil {
				return false
			}
		}
		failed = r.Err()
		return failed == nil
	})
	if failed == nil && read < len(b) {
		failed = errCorrupt
	}
	return next, failed
}
