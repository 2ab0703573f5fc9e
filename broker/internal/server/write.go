package server

import (
	"net"
	"time"
)

// writePiece is how much is written under one deadline: a client that takes this
// much in the time is slow, not gone.
const writePiece = 1 << 20

// send writes the pieces of an answer, as many as possible in one call. The
// deadline starts anew with every writePiece taken.
func (c *conn) send(bufs net.Buffers) error {
	for len(bufs) > 0 {
		if err := c.nc.SetWriteDeadline(time.Now().Add(c.srv.cfg.WriteTimeout)); err != nil {
			return err
		}
		n, size := 0, 0
		for n < len(bufs) && (n == 0 || size+len(bufs[n]) <= writePiece) {
			size += len(bufs[n])
			n++
		}
		if size > writePiece { // one piece, too large for one deadline
			if _, err := c.nc.Write(bufs[0][:writePiece]); err != nil {
				return err
			}
			bufs[0] = bufs[0][writePiece:]
			continue
		}
		piece := bufs[:n:n]
		bufs = bufs[n:]
		if _, err := piece.WriteTo(c.nc); err != nil {
			return err
		}
	}
	return nil
}
