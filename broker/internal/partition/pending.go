package partition

import "errors"

var errUnfinished = errors.New("partition: not built yet")

// Pending is an append on its way to the disk.
type Pending struct {
	base, logAppendTime int64
}

// BaseOffset is the offset of the first record.
func (a *Pending) BaseOffset() int64 { return a.base }

// LogAppendTime is the time the broker stamped, or -1 where records keep their own.
func (a *Pending) LogAppendTime() int64 { return a.logAppendTime }

// Written is closed when the batch is in its file (a kill of the process does not
// lose it), or has failed. The bytes given to Append are free again then.
func (a *Pending) Written() <-chan struct{} { return nil }

// Durable is closed when the high watermark has passed the batch, or it has failed.
func (a *Pending) Durable() <-chan struct{} { return nil }

// Err is the failure, once Written or Durable is closed; nil before that and on
// success. It is a *record.Error.
func (a *Pending) Err() error { return nil }
