package commitlog

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
)

// epochs maps leader epochs to the offset at which each began.
//
// Invariant: epoch and start rise strictly from entry to entry.
type epochs struct {
	entries []epochStart
}

type epochStart struct {
	epoch int32
	start int64
}

// latest is the last epoch, or -1.
func (e *epochs) latest() int32 {
	if len(e.entries) == 0 {
		return -1
	}
	return e.entries[len(e.entries)-1].epoch
}

// assign notes that a batch of epoch begins at offset.
func (e *epochs) assign(epoch int32, offset int64) {
	if epoch > e.latest() {
		e.entries = append(e.entries, epochStart{epoch, offset})
	}
}

// end returns the largest epoch not above the one asked for and where it ended;
// logEnd ends the latest. Unknown: -1, -1.
func (e *epochs) end(epoch int32, logEnd int64) (int32, int64) {
	i := sort.Search(len(e.entries), func(i int) bool { return e.entries[i].epoch > epoch })
	switch {
	case len(e.entries) == 0 || epoch > e.latest() || i == 0:
		return -1, -1
	case i == len(e.entries):
		return e.entries[i-1].epoch, logEnd
	}
	return e.entries[i-1].epoch, e.entries[i].start
}

// at returns the epoch of an offset, or -1.
func (e *epochs) at(offset int64) int32 {
	i := sort.Search(len(e.entries), func(i int) bool { return e.entries[i].start > offset })
	if i == 0 {
		return -1
	}
	return e.entries[i-1].epoch
}

// truncateEnd forgets epochs that began at or above offset.
func (e *epochs) truncateEnd(offset int64) {
	for len(e.entries) > 0 && e.entries[len(e.entries)-1].start >= offset {
		e.entries = e.entries[:len(e.entries)-1]
	}
}

// truncateStart forgets epochs that ended at or below offset, the log's start.
func (e *epochs) truncateStart(offset int64) {
	for len(e.entries) > 1 && e.entries[1].start <= offset {
		e.entries = slices.Delete(e.entries, 0, 1)
	}
	if len(e.entries) > 0 && e.entries[0].start < offset {
		e.entries[0].start = offset
	}
}

// encode is Kafka's leader-epoch-checkpoint: a version, a count, a line per entry.
func (e *epochs) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "0\n%d\n", len(e.entries))
	for _, x := range e.entries {
		fmt.Fprintf(&b, "%d %d\n", x.epoch, x.start)
	}
	return b.Bytes()
}

func decodeEpochs(b []byte) (epochs, error) {
	var e epochs
	var version, count int
	r := bytes.NewReader(b)
	if _, err := fmt.Fscanf(r, "%d\n%d\n", &version, &count); err != nil || version != 0 || count < 0 {
		return e, fmt.Errorf("leader epoch checkpoint is damaged")
	}
	for range count {
		var x epochStart
		if _, err := fmt.Fscanf(r, "%d %d\n", &x.epoch, &x.start); err != nil {
			return epochs{}, fmt.Errorf("leader epoch checkpoint is damaged: %w", err)
		}
		if n := len(e.entries); n > 0 && (x.epoch <= e.entries[n-1].epoch || x.start <= e.entries[n-1].start) {
			return epochs{}, fmt.Errorf("leader epoch checkpoint is not in order")
		}
		e.entries = append(e.entries, x)
	}
	return e, nil
}
