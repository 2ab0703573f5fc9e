// Package letters keeps the books of a dead-letter topic: which records a
// consumer group gave up, which of them have been replayed, and how that ended.
//
// The topic itself is the book. Package consume writes a letter for a record
// that it gives up, and again when a replay fails; somebody who wants a replay
// appends a request (consume.HeaderReplayOf), a copy of the letter, which the
// group handles. So what is known of a record is the latest that the topic says
// of it, and whether the group has committed past its request:
//
//	letter                      open: the record is lost until it is replayed
//	request, not yet passed     waiting: the group has not handled it yet
//	request, passed             replayed: the group handled it, or had handled it before
//	letter behind a request     open again, with one replay more on its count
//
// A group's offset must be read before its dead-letter topic: the letter of a
// replay that failed is written before the offset moves past the request.
package letters

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/services/kit/consume"
)

// Suffix ends the names of dead-letter topics.
const Suffix = ".dlq"

// State is what is known of a record that was given up.
type State string

// The states, as the package's comment explains them.
const (
	Open     State = "open"
	Waiting  State = "waiting"
	Replayed State = "replayed"
)

// Original is a record on the topic it was given up from.
type Original struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Letter is a record that was given up, as the latest letter tells.
type Letter struct {
	// Record is the latest letter.
	Record *kgo.Record
	// Original is where the record came from; Known says that the letter tells it,
	// without which it cannot be replayed.
	Original Original
	Known    bool
	Group    string
	// OriginalTime is the original's timestamp, zero if it is not told.
	OriginalTime time.Time
	// EventID and OrderID are the record's ce_id and ce_subject, if it has them.
	EventID, OrderID string
	// Attempts is how often the handler saw it before it was given up, Reason the
	// last error.
	Attempts int
	Reason   string
	State    State
	// Replays is how many times it has been replayed.
	Replays int
}

// Book is what a partition of a dead-letter topic says.
type Book struct {
	entries map[string]*entry
	order   []*entry
}

type entry struct {
	Letter
	request int64 // offset of the request behind the latest letter; -1: none
}

// Add enters the next record. A topic's records are added in offset order.
func (b *Book) Add(r *kgo.Record) {
	if b.entries == nil {
		b.entries = map[string]*entry{}
	}
	letter := read(r)
	name := identity(letter)
	e := b.entries[name]
	if consume.Header(r, consume.HeaderReplayOf) != "" {
		if e != nil { // else its letter has expired, and nothing is known of it
			e.request = r.Offset
			e.Replays = max(e.Replays, letter.Replays)
		}
		return
	}
	if e == nil {
		e = &entry{}
		b.entries[name] = e
		b.order = append(b.order, e)
	}
	e.Letter, e.request = letter, -1
}

// Letters returns what is known of each record, oldest first, when the group has
// committed this offset of the dead-letter topic; negative: none.
func (b *Book) Letters(committed int64) []Letter {
	out := make([]Letter, 0, len(b.order))
	for _, e := range b.order {
		letter := e.Letter
		switch {
		case e.request < 0:
			letter.State = Open
		case committed > e.request:
			letter.State = Replayed
		default:
			letter.State = Waiting
		}
		out = append(out, letter)
	}
	slices.SortFunc(out, func(a, b Letter) int { return cmp.Compare(a.Record.Offset, b.Record.Offset) })
	return out
}

// read takes a letter, or a request, apart.
func read(r *kgo.Record) Letter {
	l := Letter{
		Record: r, Group: consume.Header(r, consume.HeaderDeadGroup), Reason: consume.Header(r, consume.HeaderDeadMessage),
		EventID: consume.Header(r, "ce_id"), OrderID: consume.Header(r, "ce_subject"),
	}
	partition, err := strconv.ParseInt(consume.Header(r, consume.HeaderDeadPartition), 10, 32)
	offset, err2 := strconv.ParseInt(consume.Header(r, consume.HeaderDeadOffset), 10, 64)
	topic := consume.Header(r, consume.HeaderDeadTopic)
	if err == nil && err2 == nil && topic != "" && l.Group != "" {
		l.Original, l.Known = Original{topic, int32(partition), offset}, true
	}
	if millis, err := strconv.ParseInt(consume.Header(r, consume.HeaderDeadTimestamp), 10, 64); err == nil {
		l.OriginalTime = time.UnixMilli(millis).UTC()
	}
	l.Attempts, _ = strconv.Atoi(consume.Header(r, consume.HeaderDeadCount))
	l.Replays, _ = strconv.Atoi(consume.Header(r, consume.HeaderReplayCount))
	return l
}

// identity names the record that a letter is about.
func identity(l Letter) string {
	if !l.Known { // a letter of its own
		return "letter " + strconv.FormatInt(l.Record.Offset, 10)
	}
	return l.Original.Topic + "/" + strconv.Itoa(int(l.Original.Partition)) + "/" + strconv.FormatInt(l.Original.Offset, 10)
}

// Request returns the record that asks for a letter's replay.
func Request(l Letter) *kgo.Record {
	headers := slices.DeleteFunc(slices.Clone(l.Record.Headers), func(h kgo.RecordHeader) bool { return h.Key == consume.HeaderReplayCount })
	return &kgo.Record{
		Topic: l.Record.Topic, Partition: l.Record.Partition, Key: l.Record.Key, Value: l.Record.Value,
		Headers: append(headers,
			kgo.RecordHeader{Key: consume.HeaderReplayOf, Value: []byte(strconv.FormatInt(l.Record.Offset, 10))},
			kgo.RecordHeader{Key: consume.HeaderReplayCount, Value: []byte(strconv.Itoa(l.Replays + 1))},
		),
	}
}

// Is reports whether a topic is a dead-letter topic, by its name.
func Is(topic string) bool { return strings.HasSuffix(topic, Suffix) }
