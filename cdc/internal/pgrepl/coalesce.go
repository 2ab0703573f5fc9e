package pgrepl

import (
	"net"
	"time"
)

const (
	// A run of this many reads that each bring little, one right after the other,
	// is a sender that is busy and flushes every message.
	smallRun = 16
	small    = 8 << 10
	// pause lets the sender fill the socket; if it then brings less than worth,
	// it is not worth it.
	pause = 100 * time.Microsecond
	worth = 1 << 10
)

// coalescer reads from a connection whose other side flushes each message. A
// reader that keeps up would pay a system call and a wake-up for every row, more
// than for everything else it does with it. After a run of such reads it waits a
// moment before each, and reads what has come in the meantime. Messages that
// come alone do not wait.
type coalescer struct {
	conn net.Conn
	run  int
	last time.Time
}

func (c *coalescer) Read(p []byte) (int, error) {
	paused := c.run >= smallRun
	if paused {
		time.Sleep(pause)
	}
	n, err := c.conn.Read(p)
	now := time.Now()
	switch {
	case now.Sub(c.last) > 4*pause, paused && n < worth:
		c.run = 0
	case paused:
	case n < small:
		c.run++
	default:
		c.run = 0
	}
	c.last = now
	return n, err
}
