package pgoutput

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// LSN is a position in PostgreSQL's write-ahead log. Zero is no position.
type LSN uint64

// String returns the form PostgreSQL writes, such as 0/16B3748.
func (l LSN) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

// ParseLSN parses the form PostgreSQL writes.
func ParseLSN(s string) (LSN, error) {
	high, low, ok := strings.Cut(s, "/")
	if ok {
		h, err1 := strconv.ParseUint(high, 16, 32)
		l, err2 := strconv.ParseUint(low, 16, 32)
		if err1 == nil && err2 == nil {
			return LSN(h<<32 | l), nil
		}
	}
	return 0, fmt.Errorf("%q is not a log position like 0/16B3748", s)
}

// MarshalText writes the form of String.
func (l LSN) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the form of String.
func (l *LSN) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLSN(string(text))
	return err
}

// epoch is PostgreSQL's zero time in Unix microseconds: 2000-01-01.
const epoch = 946684800000000

// Time converts PostgreSQL's wire time, microseconds since 2000.
func Time(us int64) time.Time { return time.UnixMicro(us + epoch).UTC() }

// WireTime is the reverse of Time.
func WireTime(t time.Time) int64 { return t.UnixMicro() - epoch }
