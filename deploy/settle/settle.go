// Package settle waits for a platform to come to rest: it reads the facts again
// and again until the checker finds every promise kept, or nothing moves any
// more and what is left is broken.
package settle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/deploy/checker"
)

// Config says how patient to be.
type Config struct {
	// Facts reads the platform; package collect does.
	Facts func(context.Context) (checker.Facts, error)
	// Wait bounds everything; zero means one minute.
	Wait time.Duration
	// Stall is how long nothing may change before the verdict is final; zero
	// means ten seconds. While a group is behind it is doubled: a member that was
	// killed keeps its partitions until its session ends, ten seconds too. A reading
	// that takes longer than five seconds counts as five.
	Stall time.Duration
	// Every is the least time between two readings; zero means 50 ms. It is no
	// less than a reading takes, so that looking does not keep the platform from
	// its work.
	Every time.Duration
	// Seen, if set, is shown each reading.
	Seen func(checker.Facts, checker.Verdict)
}

// unreadable is how long a platform that cannot be read is waited for, at least.
const unreadable = 30 * time.Second

// mostStill is what one reading, with the pause after it, counts at most for a stall. If
// it took longer the machine may have stood still, and the platform with it.
const mostStill = 5 * time.Second

// Await returns the last facts and their verdict: a good one as soon as there
// is one, a bad one once it will not get better. The error says that the
// platform could not be read.
func Await(ctx context.Context, cfg Config) (checker.Facts, checker.Verdict, error) {
	setDefault(&cfg.Wait, time.Minute)
	setDefault(&cfg.Stall, 10*time.Second)
	setDefault(&cfg.Every, 50*time.Millisecond)
	deadline, last, still := time.Now().Add(cfg.Wait), "", time.Duration(0)
	read := time.Now()
	for {
		begin := time.Now()
		facts, err := cfg.Facts(ctx)
		if ctx.Err() != nil {
			return facts, checker.Verdict{}, context.Cause(ctx)
		}
		var verdict checker.Verdict
		now := ""
		if err == nil {
			read = time.Now()
			verdict = checker.Check(facts)
			if cfg.Seen != nil {
				cfg.Seen(facts, verdict)
			}
			if verdict.OK() {
				return facts, verdict, nil
			}
			now = state(facts, verdict)
		}
		// A platform that cannot be read for a while does not stand still: its
		// Kafka may be electing leaders, which takes longer than a stall.
		if now != last || err != nil && time.Since(read) < unreadable {
			last, still = now, 0
		}
		stall := cfg.Stall
		if slices.ContainsFunc(facts.Lags, func(l checker.Lag) bool { return l.Records > 0 }) {
			stall *= 2
		}
		if time.Now().After(deadline) || still > stall {
			if err != nil {
				err = fmt.Errorf("the platform cannot be read: %w", err)
			}
			return facts, verdict, err
		}
		select {
		case <-ctx.Done():
			return facts, verdict, context.Cause(ctx)
		case <-time.After(max(cfg.Every, time.Since(begin))):
		}
		still += min(time.Since(begin), mostStill)
	}
}

// state changes whenever the platform moves.
func state(f checker.Facts, v checker.Verdict) string {
	var b strings.Builder
	fmt.Fprint(&b, len(f.Events), len(f.StockEvents), len(f.Inbox), len(f.Mails), len(f.DeadLetters))
	for _, lag := range f.Lags {
		fmt.Fprint(&b, " ", lag.Records)
	}
	for _, violation := range v.Violations {
		fmt.Fprintln(&b, violation)
	}
	return b.String()
}

// ErrBroken says that a promise was broken; the violations have been reported.
var ErrBroken = errors.New("invariants are broken")

// Broken returns an error that names the broken promises with their ids, or nil.
func Broken(v checker.Verdict) error {
	if v.OK() {
		return nil
	}
	const most = 25
	var b strings.Builder
	for i, violation := range v.Violations {
		if i == most {
			fmt.Fprintf(&b, "\n  … and %d more", len(v.Violations)-most)
			break
		}
		fmt.Fprintf(&b, "\n  %s", violation)
	}
	return fmt.Errorf("%w:%s", ErrBroken, b.String())
}

func setDefault(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}
