package record

import "fmt"

// Kafka error codes that storage answers with.
const (
	CodeUnknownServerError         int16 = -1
	CodeOffsetOutOfRange           int16 = 1
	CodeCorruptMessage             int16 = 2
	CodeUnknownTopicOrPartition    int16 = 3
	CodeNotLeaderOrFollower        int16 = 6
	CodeRequestTimedOut            int16 = 7
	CodeMessageTooLarge            int16 = 10
	CodeInvalidTimestamp           int16 = 32
	CodeUnsupportedForMessage      int16 = 43
	CodePolicyViolation            int16 = 44
	CodeOutOfOrderSequence         int16 = 45
	CodeDuplicateSequence          int16 = 46
	CodeInvalidProducerEpoch       int16 = 47
	CodeInvalidTxnState            int16 = 48
	CodeTransactionCoordinatorLost int16 = 52 // TRANSACTION_COORDINATOR_FENCED
	CodeStorageError               int16 = 56
	CodeFencedLeaderEpoch          int16 = 74
	CodeUnknownLeaderEpoch         int16 = 75
	CodeUnsupportedCompression     int16 = 76
	CodeInvalidRecord              int16 = 87
)

// Error is a refusal with the Kafka error code a client is to be told.
type Error struct {
	Code int16
	Msg  string
	// Records names the records at fault, where single records are (Produce v8
	// and later answers with them).
	Records []Fault
}

// Fault is what is wrong with one record of a refused batch.
type Fault struct {
	Index int32 // position in the batch, from 0
	Msg   string
}

func (e *Error) Error() string { return e.Msg }

// Is makes errors.Is(err, &Error{Code: c}) compare codes.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && (t.Msg == "" || t.Msg == e.Msg)
}

// Errorf builds an *Error.
func Errorf(code int16, format string, args ...any) *Error {
	return &Error{Code: code, Msg: fmt.Sprintf(format, args...)}
}
