//go:build !linux

package server

import (
	"errors"

	"github.com/quokka-stream/quokka/broker/internal/wire"
)

const canSendFile = false

func (c *conn) sendFile(wire.FilePart) error { return errors.ErrUnsupported }
