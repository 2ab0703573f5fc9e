package commitlog

import (
	"log/slog"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// Flush says when appended bytes count as durable.
type Flush uint8

// The flush policies.
const (
	// FlushGroup syncs before an append counts: one round of writes and syncs
	// serves everything that queued during the round before it.
	FlushGroup Flush = iota
	// FlushInterval counts what is written and syncs every CommitterConfig.Interval.
	FlushInterval
	// FlushOS counts what is written and leaves syncing to the operating system,
	// but for a background sync once a minute.
	FlushOS
)

// CommitterConfig configures a Committer.
type CommitterConfig struct {
	// FS and Dir are the data directory all logs of this committer live under.
	FS  fsys.FS
	Dir string
	// Flush is the policy; the default is FlushGroup.
	Flush Flush
	// Interval is the time between background syncs under FlushInterval; 0 = 1 s.
	Interval time.Duration
	// Logger receives what no caller waits for; nil = slog.Default().
	Logger *slog.Logger
}

// Committer writes and syncs what many logs staged, in rounds.
type Committer struct{}

// NewCommitter starts a committer for the logs under cfg.Dir.
func NewCommitter(cfg CommitterConfig) (*Committer, error) { return &Committer{}, nil }

// Close ends the last round. Close every log first.
func (c *Committer) Close() error { return nil }
