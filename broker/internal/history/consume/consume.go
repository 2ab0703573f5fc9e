// Package consume reads record batches as a consumer does, into a history: it passes
// over what a read_committed reader must not see, and keeps markers, which take an
// offset.
package consume

import (
	"bytes"
	"fmt"

	"github.com/quokka-stream/quokka/broker/internal/history"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// Aborted is an aborted transaction as an answer names it.
type Aborted struct {
	ProducerID  int64
	FirstOffset int64
}

// Take adds the batches of one answer to a read, and moves its To behind them. The
// value of a record counts up to its first blank: what follows is there for the size.
// A cut batch at the end is left out.
func Take(r *history.Read, batches []byte, aborted []Aborted) error {
	ended := map[int64]bool{} // producers whose transaction here was aborted
	var failed error
	record.Each(batches, func(b []byte) bool {
		info, err := record.ParseHeader(b)
		if err == nil && !record.CheckCRC(b) {
			err = fmt.Errorf("its CRC is wrong")
		}
		for len(aborted) > 0 && aborted[0].FirstOffset <= info.LastOffset() {
			ended[aborted[0].ProducerID] = true
			aborted = aborted[1:]
		}
		if err == nil {
			err = take(r, b, &info, ended)
		}
		if err != nil {
			failed = fmt.Errorf("%s: the batch at offset %d: %w", r.Log, r.To, err)
		}
		r.To = info.NextOffset()
		return err == nil
	})
	return failed
}

func take(r *history.Read, b []byte, info *record.Info, ended map[int64]bool) error {
	if marker, ok, _ := record.ParseMarker(b); info.Control() && ok && !marker.Commit {
		delete(ended, info.ProducerID)
	}
	var it record.Reader
	if err := it.Reset(b, 0); err != nil {
		return err
	}
	var rec record.Record
	for it.Next(&rec) {
		switch {
		case rec.Offset < r.From:
		case info.Control():
			r.Records = append(r.Records, history.Record{Offset: rec.Offset, Control: true})
		case r.Committed && info.Transactional() && ended[info.ProducerID]:
		default:
			name, _, _ := bytes.Cut(rec.Value, []byte(" "))
			r.Records = append(r.Records, history.Record{Offset: rec.Offset, Key: string(rec.Key), Value: string(name)})
		}
	}
	return it.Err()
}
