package partition

import (
	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// Append checks and stages one or more batches, exactly as received: offset and epoch
// are given, the producer's sequence is taken. It waits for no sync, and a coordinator's
// for nothing; a client's large batch is written, or waits for those who write to the
// partition before it. A client appends one batch at a time. The bytes of batch are
// patched in place and belong to the partition until Pending.Progress says that they
// are written. A duplicate of a batch in the producer's window gets the original's
// offsets, and its Pending if that is not yet durable. Errors are *record.Error.
func (p *Partition) Append(batch []byte, origin Origin) (*Pending, error) {
	p.log.Lock()
	cfg := p.log.Config()
	p.log.Unlock()

	// All that reads the bytes happens outside the lock.
	now := p.now()
	rules := record.Rules{
		Client: origin == Client, RequireKeys: cfg.Compact && origin == Client, Now: now,
		Inner: cfg.Compression != nil,
	}
	if origin == Client {
		rules.MaxBytes = cfg.MaxBatchBytes
		if !cfg.LogAppendTime {
			rules.Before, rules.After = cfg.TimestampBefore, cfg.TimestampAfter
		}
	}
	var one [1]checked
	batches := one[:0]
	for len(batch) > 0 || len(batches) == 0 {
		info, err := record.Validate(batch, &rules)
		if err != nil {
			return nil, err
		}
		b := batch[:info.Size:info.Size]
		batch = batch[info.Size:]
		if origin == Client && len(batch) > 0 {
			return nil, record.Errorf(record.CodeInvalidRecord, "a produce request must have one record batch per partition, %d bytes follow it", len(batch))
		}
		if origin != Replica {
			if b, info, err = prepare(b, info, &cfg, now.UnixMilli(), origin); err != nil {
				return nil, err
			}
		}
		batches = append(batches, checked{b, info})
	}
	if origin == Coordinator && len(batches) > 1 {
		for i := range batches {
			if batches[i].info.Idempotent() {
				return nil, record.Errorf(record.CodeInvalidRecord, "batches with a producer id are appended one by one")
			}
		}
	}
	a, err := p.stage(batches, origin)
	p.log.Write(origin == Client)
	return a, err
}

type checked struct {
	batch []byte
	info  record.Info
}

// prepare applies what the topic's configuration changes in a batch.
func prepare(b []byte, info record.Info, cfg *commitlog.Config, now int64, origin Origin) ([]byte, record.Info, error) {
	if origin == Client && cfg.Compression != nil && *cfg.Compression != info.Codec() {
		var err error
		if b, err = record.Recompress(b, *cfg.Compression, cfg.MaxBatchBytes); err != nil {
			return nil, info, err
		}
		if info, err = record.ParseHeader(b); err != nil {
			return nil, info, err
		}
	}
	if cfg.LogAppendTime {
		record.StampAppendTime(b, now)
		info, err := record.ParseHeader(b)
		return b, info, err
	}
	return b, info, nil
}

// stage appends checked batches to the log.
func (p *Partition) stage(batches []checked, origin Origin) (*Pending, error) {
	p.log.Lock()
	defer p.log.Unlock()
	a := &Pending{p: p, logAppendTime: -1, base: -1}
	for i := range batches {
		c := &batches[i]
		got, err := p.log.Append(c.batch, &c.info, p.epoch, origin)
		if err != nil {
			if a.base < 0 {
				return nil, err
			}
			break // a replica's earlier batches are in; it sees how far it got
		}
		if got.Duplicate {
			return p.duplicate(got), nil
		}
		if a.base < 0 {
			a.base = got.Base
		}
		a.last = got.Last
		a.size += int32(len(c.batch))
		if c.info.LogAppendTime() {
			a.logAppendTime = c.info.MaxTimestamp
		}
	}
	p.pending = append(p.pending, a)
	return a, nil
}

// duplicate answers a batch that is in the log already. The lock is held.
func (p *Partition) duplicate(got commitlog.Appended) *Pending {
	if a := p.find(got.Base, got.Last); a != nil {
		return a
	}
	return &Pending{p: p, base: got.Base, last: got.Last, logAppendTime: got.Timestamp, state: stateDone}
}
