package broker

import (
	"context"
	"errors"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// OpenOn is Open on another file system.
func OpenOn(cfg Config, fs fsys.FS) (*Broker, error) {
	cfg, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg, listeners: cfg.Listeners, fs: fs}
	b.life, b.ending = context.WithCancel(context.Background())
	if err := b.open(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// CloseBefore is Close with another patience: what is being answered is cut off when
// ctx ends.
func (b *Broker) CloseBefore(ctx context.Context) error { return b.close(ctx) }
