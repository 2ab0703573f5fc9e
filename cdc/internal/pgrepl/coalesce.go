package pgrepl

import (
	"net"
	"time"
)

const (
	// The rate of reads is looked at once in a window.
	window = 20 * time.Millisecond
	// So many reads in a window, each bringing little, are a sender that is busy
	// and flushes every message.
	manyReads = 64
	little    = 8 << 10
	// It stays busy as long as it sends so much in a window.
	muchData = 32 << 10
	// pause lets a busy sender fill the socket.
	pause = time.Millisecond
)

// coalescer reads from a connection whose other side flushes each message. A
// reader that keeps up with it pays a system call and a wake-up for every row,
// several times what all the rest of the work on a row costs, and takes that
// time from the sender where they share a processor. While the sender is busy,
// the reader waits a moment before each read and takes what has come in the
// meantime. When it is not, nothing waits.
type coalescer struct {
	conn net.Conn

	began time.Time // of the window
	reads int
	bytes int
	busy  bool
}

func (c *coalescer) Read(p []byte) (int, error) {
	if c.busy {
		time.Sleep(pause)
	}
	n, err := c.conn.Read(p)
	c.reads++
	c.bytes += n
	if now := time.Now(); now.Sub(c.began) > window {
		if c.busy {
			c.busy = c.bytes >= muchData
		} else {
			c.busy = c.reads >= manyReads && c.bytes < c.reads*little
		}
		c.began, c.reads, c.bytes = now, 0, 0
	}
	return n, err
}
