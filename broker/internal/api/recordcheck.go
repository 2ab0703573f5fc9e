package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/errcode"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// RecordCheck says which records of a batch are refused; an error means that this
// could not be found out. The package broker explains it.
type RecordCheck func(ctx context.Context, b *CheckedBatch) ([]record.Fault, error)

// CheckedBatch is one partition's batch as a RecordCheck sees it.
type CheckedBatch struct {
	Topic               string
	Partition           int32
	Principal, ClientID string
	Config              func(name string) string
	Records             func(yield func(int, *record.Record) bool)
}

// What a check's decompressed records take of the memory for requests: most
// batches fit the first, and the others are read again within the second.
const (
	checkedSmall = 4 << 20
	checkedLarge = record.MaxDecompressed
)

// schemasTopic is where schema registries keep their schemas: a check that asks a
// registry must not stand in the way of what the registry writes.
const schemasTopic = "_schemas"

// checkRecords asks Config.RecordCheck about every batch that is not refused yet,
// one after another, and refuses what it refuses. Nothing is staged before.
func (h *Handler) checkRecords(ctx context.Context, c *call, timeoutMillis int32, stages []stage) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(timeoutMillis, 0))*time.Millisecond)
	defer cancel()
	for i := range stages {
		s := &stages[i]
		if s.out.ErrorCode != errcode.None || cluster.IsInternal(s.topic.Name) || s.topic.Name == schemasTopic {
			continue
		}
		if err := h.checkBatch(ctx, c, s); err != nil {
			h.refuse(s.out, err)
		}
	}
}

// checkBatch returns why one batch is refused, as a *record.Error.
func (h *Handler) checkBatch(ctx context.Context, c *call, s *stage) error {
	b := checkedRecords{h: h, ctx: ctx, batch: s.in.Records}
	defer b.close()
	faults, err := h.cfg.RecordCheck(ctx, &CheckedBatch{
		Topic: s.topic.Name, Partition: s.in.Index, Principal: c.Principal, ClientID: c.req.ClientID,
		Config:  func(name string) string { return c.img.Config(s.topic, name) },
		Records: b.each,
	})
	switch {
	case b.err != nil:
		return b.err
	case err != nil:
		h.log.Warn("a record check failed; the producer is told to try again", "topic", s.topic.Name, "partition", s.in.Index, "err", err)
		return record.Errorf(errcode.RequestTimedOut, "the records could not be checked: %v", err)
	case len(faults) > 0:
		return &record.Error{
			Code: record.CodeInvalidRecord, Records: faults,
			Msg: fmt.Sprintf("One or more records have been rejected, the first is record %d: %s", faults[0].Index, faults[0].Msg),
		}
	}
	return nil
}

// checkedRecords reads a batch's records when, and if, they are asked for.
type checkedRecords struct {
	h       *Handler
	ctx     context.Context
	batch   []byte
	reader  record.Reader
	release func()
	err     error // why the batch cannot be read; a *record.Error
}

func (r *checkedRecords) each(yield func(int, *record.Record) bool) {
	if r.err = r.open(); r.err != nil {
		return
	}
	for i := 0; ; i++ {
		var rec record.Record // of its own: the check may keep it until it returns
		if !r.reader.Next(&rec) {
			r.err = r.reader.Err()
			return
		}
		if !yield(i, &rec) {
			return
		}
	}
}

// open begins with the first record. The CRC comes first: of damaged bytes the
// producer must hear that they are damaged, so that it sends them again.
func (r *checkedRecords) open() error {
	n := record.SizeOf(r.batch)
	if n == 0 || n > len(r.batch) {
		return errNotWhole
	}
	if !record.CheckCRC(r.batch[:n]) {
		return record.Errorf(record.CodeCorruptMessage, "batch does not match its CRC")
	}
	info, err := record.ParseHeader(r.batch)
	if err != nil || info.Codec() == record.None {
		return r.reset(0, err)
	}
	if r.release == nil {
		if err := r.take(checkedSmall); err != nil {
			return err
		}
		err := r.reset(checkedSmall, nil)
		if !errors.Is(err, &record.Error{Code: record.CodeMessageTooLarge}) {
			return err
		}
		r.reader = record.Reader{}
		r.close()
		if err := r.take(checkedLarge); err != nil {
			return err
		}
	}
	return r.reset(checkedLarge, nil)
}

func (r *checkedRecords) reset(bound int64, err error) error {
	if err != nil {
		return err
	}
	return r.reader.Reset(r.batch, bound)
}

func (r *checkedRecords) take(n int64) error {
	release, err := r.h.checks.Take(r.ctx, n)
	if err != nil {
		return record.Errorf(errcode.RequestTimedOut, "no memory became free to check the records in")
	}
	r.release = release
	return nil
}

func (r *checkedRecords) close() {
	if r.release != nil {
		r.release()
		r.release = nil
	}
}
