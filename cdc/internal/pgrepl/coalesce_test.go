package pgrepl

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// sender is a connection on which a message of size bytes comes every so often; a
// read takes all that are there.
type sender struct {
	net.Conn
	every time.Duration
	size  int
	last  time.Time
}

func (s *sender) Read([]byte) (int, error) {
	if wait := s.every - time.Since(s.last); wait > 0 {
		time.Sleep(wait)
	}
	n := int(time.Since(s.last) / s.every)
	s.last = time.Now()
	return n * s.size, nil
}

// TestCoalescer: reads wait while many of them bring little, and not before or
// after.
func TestCoalescer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sender{last: time.Now()}
		c := &coalescer{conn: s}
		for _, phase := range []struct {
			name  string
			every time.Duration
			size  int
			waits bool
		}{
			{"a message now and then", 10 * time.Millisecond, 150, false},
			{"messages one by one, fast", 10 * time.Microsecond, 150, true},
			{"larger ones", 10 * time.Microsecond, 5000, true},
			{"a message now and then", 10 * time.Millisecond, 150, false},
			{"large pieces", 50 * time.Microsecond, 60_000, false},
		} {
			s.every, s.size, s.last = phase.every, phase.size, time.Now()
			for begin := time.Now(); time.Since(begin) < 5*window; {
				if _, err := c.Read(nil); err != nil {
					t.Fatal(err)
				}
			}
			if c.busy != phase.waits {
				t.Errorf("%s: reads wait: %v", phase.name, c.busy)
			}
			begin := time.Now()
			if _, err := c.Read(nil); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); phase.waits != (took >= pause) && took > phase.every {
				t.Errorf("%s: a read took %s", phase.name, took)
			}
		}
	})
}
