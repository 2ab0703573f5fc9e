package operate

import (
	"strings"
	"testing"
	"time"
)

func TestPosition(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tc := range []struct {
		text     string
		in       span
		found    int64 // by time
		want     int64
		wantTime time.Time
	}{
		{text: "earliest", in: span{3, 10}, want: 3},
		{text: "", in: span{3, 10}, want: 3},
		{text: "latest", in: span{3, 10}, want: 10},
		{text: "5", in: span{3, 10}, want: 5},
		{text: "0", in: span{3, 10}, want: 3},     // expired: the first there is
		{text: "99", in: span{3, 10}, want: 10},   // not there yet: the end
		{text: "-2", in: span{3, 10}, want: 8},    // from the end
		{text: "-99", in: span{3, 10}, want: 3},   //
		{text: "-99", in: span{10, 10}, want: 10}, // empty
		{text: "5m", in: span{3, 10}, found: 7, want: 7, wantTime: now.Add(-5 * time.Minute)},
		{text: "-5m", in: span{3, 10}, found: -1, want: 10, wantTime: now.Add(-5 * time.Minute)}, // nothing since
		{text: "2026-01-01T00:00:00Z", in: span{3, 10}, found: 4, want: 4, wantTime: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		p, err := ParsePosition(tc.text, now)
		if err != nil {
			t.Errorf("%q: %v", tc.text, err)
			continue
		}
		if got := p.in(tc.in, tc.found); got != tc.want || !p.time.Equal(tc.wantTime) {
			t.Errorf("%q in %v: %d at %v, want %d at %v", tc.text, tc.in, got, p.time, tc.want, tc.wantTime)
		}
	}
	if _, err := ParsePosition("tomorrow", now); err == nil || !strings.Contains(err.Error(), "give earliest, latest, an offset") {
		t.Errorf("tomorrow: %v", err)
	}
}
