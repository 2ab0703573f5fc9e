package consume

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Retry asks that the record is handled again after a delay. The records of the
// same key wait behind it. A delay of 0 means the consumer's backoff. The time a
// key spends failing is bounded by Config.Backoff.Budget.
func Retry(err error, after time.Duration) error {
	return &retryError{err: err, after: after}
}

// Wait is Retry without a limit of time: for what the record needs and somebody
// else will bring, such as a service that is away. A key may wait for ever, and
// the watermark of its partition with it, so it must be sure to come.
func Wait(err error, after time.Duration) error {
	return &waitError{err: err, after: after}
}

// Reject gives the record up: it goes to the dead-letter topic at once. Use it
// for what no repetition can repair.
func Reject(err error) error { return &rejectError{err: err} }

// Stop ends the consumer: Run drains what is in flight, commits and returns err.
// The record stays unacknowledged and is delivered again to the next member.
func Stop(err error) error { return &stopError{err: err} }

type retryError struct {
	err   error
	after time.Duration
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

type waitError struct {
	err   error
	after time.Duration
}

func (e *waitError) Error() string { return e.err.Error() }
func (e *waitError) Unwrap() error { return e.err }

type rejectError struct{ err error }

func (e *rejectError) Error() string { return e.err.Error() }
func (e *rejectError) Unwrap() error { return e.err }

type stopError struct{ err error }

func (e *stopError) Error() string { return e.err.Error() }
func (e *stopError) Unwrap() error { return e.err }

// ErrUnknownType is what Config.Decode wraps for a record whose type this
// service does not know: the record is acknowledged.
var ErrUnknownType = errors.New("event type is not known here")

// panicError is a handler's panic as an error.
type panicError struct {
	value any
	stack []byte
}

func newPanicError(value any) *panicError {
	return &panicError{value: value, stack: debug.Stack()}
}

func (e *panicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.value) }

// verdict is what to do with a record after one attempt.
type verdict uint8

const (
	acknowledge verdict = iota
	retry
	deadLetter
	stop
)

// judge decides about a failed attempt. failing is how long the record's key
// has been failing without a success in between; unavailable says that the
// error is the absence of a dependency.
//
// Invariant: an unavailable dependency, or Wait, never leads to the dead-letter
// topic.
func (b Backoff) judge(err error, attempt int, failing time.Duration, unavailable bool) (verdict, time.Duration) {
	var (
		rejected *rejectError
		stopped  *stopError
		retried  *retryError
		waiting  *waitError
	)
	switch {
	case err == nil:
		return acknowledge, 0
	case errors.As(err, &stopped):
		return stop, 0
	case errors.As(err, &rejected):
		return deadLetter, 0
	case errors.As(err, &waiting):
		if waiting.after > 0 {
			return retry, waiting.after
		}
		return retry, b.delay(attempt)
	case unavailable:
		return retry, b.delay(attempt)
	}
	after := b.delay(attempt)
	if errors.As(err, &retried) && retried.after > 0 {
		after = retried.after
	}
	if failing+after > b.Budget {
		return deadLetter, 0
	}
	return retry, after
}

// Rejected reports whether err, or what it wraps, was made by Reject.
func Rejected(err error) bool {
	var r *rejectError
	return errors.As(err, &r)
}
