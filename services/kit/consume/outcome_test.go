package consume

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	boom := errors.New("boom")
	b := Backoff{Min: time.Second, Max: 8 * time.Second, Budget: time.Minute}
	for _, tc := range []struct {
		name        string
		err         error
		attempt     int
		failing     time.Duration
		unavailable bool
		want        verdict
		least, most time.Duration
	}{
		{"nil", nil, 1, 0, false, acknowledge, 0, 0},
		{"first failure", boom, 1, 0, false, retry, 800 * time.Millisecond, 1200 * time.Millisecond},
		{"third failure", boom, 3, 2 * time.Second, false, retry, 3200 * time.Millisecond, 4800 * time.Millisecond},
		{"backoff has a ceiling", boom, 1000, 2 * time.Second, false, retry, 6400 * time.Millisecond, 9600 * time.Millisecond},
		{"budget spent", boom, 9, time.Minute, false, deadLetter, 0, 0},
		{"Retry with a delay", Retry(boom, 5*time.Second), 1, 0, false, retry, 5 * time.Second, 5 * time.Second},
		{"Retry beyond the budget", Retry(boom, 5*time.Second), 2, 58 * time.Second, false, deadLetter, 0, 0},
		{"Wait has no budget", Wait(boom, 0), 9, time.Hour, false, retry, 6400 * time.Millisecond, 9600 * time.Millisecond},
		{"Wait with a delay", Wait(boom, 2*time.Second), 9, time.Hour, false, retry, 2 * time.Second, 2 * time.Second},
		{"Reject", Reject(boom), 1, 0, false, deadLetter, 0, 0},
		{"Reject, wrapped", fmt.Errorf("handler: %w", Reject(boom)), 1, 0, false, deadLetter, 0, 0},
		{"Stop", Stop(boom), 1, 0, false, stop, 0, 0},
		{"unavailable has no budget", boom, 4, time.Hour, true, retry, 6400 * time.Millisecond, 9600 * time.Millisecond},
		{"a rejection stays one, whatever it wraps", Reject(boom), 1, 0, true, deadLetter, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, after := b.judge(tc.err, tc.attempt, tc.failing, tc.unavailable)
			if v != tc.want || after < tc.least || after > tc.most {
				t.Errorf("verdict %d after %v, want %d after %v to %v", v, after, tc.want, tc.least, tc.most)
			}
			if tc.err != nil && !errors.Is(tc.err, boom) {
				t.Error("the outcome hides its cause")
			}
		})
	}
}

// Config.Unavailable is asked about failures only: a user's may not expect nil.
func TestSuccessIsNotJudged(t *testing.T) {
	c, err := New(Config{Brokers: []string{"127.0.0.1:1"}, Group: "g", Unavailable: func(err error) bool {
		t.Errorf("Unavailable(%v)", err)
		return false
	}})
	if err != nil {
		t.Fatal(err)
	}
	if v, after := c.decide(t.Context(), &task{}, &Message{Attempt: 1}, nil, 0); v != acknowledge || after != 0 {
		t.Errorf("verdict %v after %v, want to acknowledge", v, after)
	}
}
