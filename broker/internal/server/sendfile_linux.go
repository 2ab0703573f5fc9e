package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/limit"
	"github.com/quokka-stream/quokka/broker/internal/wire"
)

const canSendFile = true

// sendFile has the kernel send a part of a file: sendfile(2) with an offset of its own,
// as the file's shared position is of no meaning to readers at the same time. The net
// package's own way moves that position. Deadlines are as in send.
func (c *conn) sendFile(p wire.FilePart) error {
	raw, err := c.nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	timeout := c.srv.cfg.WriteTimeout
	progress := time.Now()
	for p.Len > 0 {
		if err := c.nc.SetWriteDeadline(time.Now().Add(timeout / looks)); err != nil {
			return err
		}
		before := p.Len
		var failed error
		err := raw.Write(func(fd uintptr) (done bool) {
			done, failed = sendSome(int(fd), &p)
			return done
		})
		if p.Len < before {
			progress = time.Now()
		}
		switch {
		case failed != nil:
			return fmt.Errorf("sendfile: %w", failed)
		case err == nil:
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case time.Since(progress) >= timeout:
			c.srv.cfg.Hits.Hit(limit.Write)
			return err
		}
	}
	return nil
}

// sendSome sends until all is sent, or, not done, until the socket takes no more.
func sendSome(socket int, p *wire.FilePart) (done bool, err error) {
	for p.Len > 0 {
		n, err := syscall.Sendfile(socket, int(p.File.Fd()), &p.Pos, int(p.Len))
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return false, nil
		case err != nil:
			return true, err
		case n == 0:
			return true, io.ErrUnexpectedEOF // the file ends before what was promised
		}
		p.Len -= int64(n)
	}
	return true, nil
}
