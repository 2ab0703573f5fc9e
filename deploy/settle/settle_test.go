package settle

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quokka-stream/quokka/deploy/checker"
)

// behind is a platform whose group has so many records before it.
func behind(records int64) checker.Facts {
	return checker.Facts{Lags: []checker.Lag{{Group: "g", Topic: "t", Records: records}}}
}

func TestReturnsOnceAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, seen := int64(40), 0
		_, v, err := Await(t.Context(), Config{
			Facts: func(context.Context) (checker.Facts, error) { left--; return behind(left), nil },
			Seen:  func(checker.Facts, checker.Verdict) { seen++ },
		})
		if err != nil || !v.OK() || seen != 40 {
			t.Errorf("verdict %v, %v, after %d readings", v, err, seen)
		}
	})
}

func TestGivesUpWhenNothingMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_, v, err := Await(t.Context(), Config{
			Facts: func(context.Context) (checker.Facts, error) { return behind(3), nil },
			Stall: 5 * time.Second,
		})
		if err != nil || v.OK() || time.Since(begin) > 11*time.Second { // twice the stall: a group is behind
			t.Errorf("verdict %v, %v, after %v", v, err, time.Since(begin))
		}
		broken := Broken(v)
		if !errors.Is(broken, ErrBroken) || !strings.Contains(broken.Error(), "lost: group g on t[0]: 3 records behind") {
			t.Errorf("error: %v", broken)
		}
	})
}

// TestWaitsForADeadMembersSession: the partitions of a member that was killed are
// handed over when its session ends, and until then nothing moves.
func TestWaitsForADeadMembersSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_, v, err := Await(t.Context(), Config{Facts: func(context.Context) (checker.Facts, error) {
			if time.Since(begin) < 13*time.Second {
				return behind(3), nil
			}
			return checker.Facts{}, nil
		}})
		if err != nil || !v.OK() {
			t.Errorf("verdict %v, %v, after %v", v, err, time.Since(begin))
		}
	})
}

func TestMovesForLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, begin := int64(1<<30), time.Now()
		_, v, err := Await(t.Context(), Config{
			Facts: func(context.Context) (checker.Facts, error) { left--; return behind(left), nil },
			Wait:  20 * time.Second,
		})
		if took := time.Since(begin); err != nil || v.OK() || took < 20*time.Second || took > 21*time.Second {
			t.Errorf("verdict %v, %v, after %v", v, err, took)
		}
	})
}

func TestUnreadablePlatform(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("connection refused")
		readings := 0
		_, v, err := Await(t.Context(), Config{Facts: func(context.Context) (checker.Facts, error) {
			if readings++; readings < 5 {
				return checker.Facts{}, down
			}
			return checker.Facts{}, nil
		}})
		if err != nil || !v.OK() {
			t.Errorf("back after a while: %v, %v", v, err)
		}
		_, _, err = Await(t.Context(), Config{Facts: func(context.Context) (checker.Facts, error) { return checker.Facts{}, down }})
		if !errors.Is(err, down) {
			t.Errorf("never back: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := Await(ctx, Config{Facts: func(context.Context) (checker.Facts, error) { return checker.Facts{}, down }}); !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted: %v", err)
		}
	})
}

// TestUnreadableForAWhile: a platform that cannot be read is waited for longer
// than one that stands still.
func TestUnreadableForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_, v, err := Await(t.Context(), Config{Facts: func(context.Context) (checker.Facts, error) {
			switch since := time.Since(begin); {
			case since < time.Second:
				return behind(3), nil
			case since < 28*time.Second:
				return checker.Facts{}, errors.New("no leader")
			}
			return checker.Facts{}, nil
		}})
		if err != nil || !v.OK() {
			t.Errorf("verdict %v, %v, after %v", v, err, time.Since(begin))
		}
	})
}

// TestMachineStoodStill: so did the platform, which has not had the time that went by.
func TestMachineStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		readings := 0
		_, v, err := Await(t.Context(), Config{Facts: func(context.Context) (checker.Facts, error) {
			if readings++; readings == 3 {
				time.Sleep(25 * time.Second)
			}
			if readings < 30 {
				return behind(3), nil
			}
			return checker.Facts{}, nil
		}})
		if err != nil || !v.OK() {
			t.Errorf("verdict %v, %v, after %d readings", v, err, readings)
		}
	})
}

func TestManyViolationsAreCutShort(t *testing.T) {
	var v checker.Verdict
	for range 40 {
		v.Violations = append(v.Violations, checker.Violation{Invariant: checker.Lost, Subject: "order"})
	}
	if text := Broken(v).Error(); !strings.Contains(text, "and 15 more") || strings.Count(text, "\n") != 26 {
		t.Errorf("got %s", text)
	}
	if Broken(checker.Verdict{}) != nil {
		t.Error("a good verdict is broken")
	}
}
