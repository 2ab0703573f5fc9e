package consume_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/services/internal/kittest"
	"github.com/quokka-stream/quokka/services/kit/consume"
)

// request asks for a letter's replay, as `quokka dlq replay` does.
func (b *bench) request(letter *kgo.Record, count int) {
	b.t.Helper()
	b.send(&kgo.Record{Topic: letter.Topic, Key: letter.Key, Value: letter.Value, Headers: append(letter.Headers,
		kgo.RecordHeader{Key: consume.HeaderReplayOf, Value: []byte(strconv.FormatInt(letter.Offset, 10))},
		kgo.RecordHeader{Key: consume.HeaderReplayCount, Value: []byte(strconv.Itoa(count))},
	)})
}

// committedLetters waits until the group is past so many records of its dead-letter topic.
func (b *bench) committedLetters(n int64) {
	b.t.Helper()
	kittest.Eventually(b.t, fmt.Sprintf("%d records of the dead-letter topic to be passed", n), func() bool {
		return kittest.Committed(b.t, b.client, b.group, b.topic+"."+b.group+".dlq") == n
	})
}

// A letter stays until it is asked for. Its replay is the record as it was: the
// handler, the inbox and a second failure see its own topic, partition, offset,
// time and headers. Replayed again it changes nothing.
func TestReplay(t *testing.T) {
	b := setup(t, 1)
	at := time.UnixMilli(1700000000123)
	b.send(
		&kgo.Record{Topic: b.topic, Key: []byte("k"), Value: []byte("first")},
		&kgo.Record{Topic: b.topic, Key: []byte("k"), Value: []byte("poison"), Timestamp: at, Headers: []kgo.RecordHeader{{Key: "own", Value: []byte("x")}}},
		&kgo.Record{Topic: b.topic, Key: []byte("k"), Value: []byte("last")},
	)
	var healed atomic.Bool
	var seen atomic.Pointer[consume.Message]
	c := b.consumer(func(cfg *consume.Config) { cfg.Replay = []string{b.topic} })
	c.OnRecord(b.topic, func(ctx context.Context, tx pgx.Tx, m *consume.Message) error {
		if string(m.Record.Value) == "poison" {
			seen.Store(m)
			if !healed.Load() {
				return consume.Reject(errBoom)
			}
		}
		return b.effect(ctx, tx, m)
	})
	b.start(c)
	b.committed(3)
	b.committedLetters(1) // the letter is passed over
	letter := b.dead()[0]

	b.request(letter, 1)
	b.committedLetters(3) // the request, and the letter of its failure
	again := b.dead()[2]
	for _, name := range []string{consume.HeaderDeadTopic, consume.HeaderDeadPartition, consume.HeaderDeadOffset, consume.HeaderDeadTimestamp, consume.HeaderDeadMessage, "own"} {
		if got, want := header(again, name), header(letter, name); got != want {
			t.Errorf("after a replay that failed, header %s is %q; it was %q", name, got, want)
		}
	}
	if header(again, consume.HeaderReplayCount) != "1" || header(again, consume.HeaderReplayOf) != "" {
		t.Errorf("headers of the second letter: %v", again.Headers)
	}

	healed.Store(true)
	b.request(again, 2)
	b.request(again, 2)
	b.committedLetters(5)
	m := seen.Load()
	if r := m.Record; r.Topic != b.topic || r.Partition != 0 || r.Offset != 1 || !r.Timestamp.Equal(at) || header(r, "own") != "x" || header(r, consume.HeaderDeadTopic) != "" || header(r, consume.HeaderReplayOf) != "" {
		t.Errorf("the handler saw %+v", r)
	}
	if want := b.topic + "/0/1"; m.ID != want {
		t.Errorf("id %s, want %s", m.ID, want)
	}
	if n := b.count(`select count(*) from effects where value = 'poison'`); n != 1 {
		t.Errorf("%d effects of the replayed record", n)
	}
	// The inbox keeps where the record really came from, so that within a key of a
	// partition sequence and offset rise together.
	if n := b.count(`select count(*) from inbox where event_id like '%/0/1' and topic like '%.dlq' and record_offset = 3`); n != 1 {
		t.Errorf("the replay's row is not on the inbox")
	}
	if d := b.dead(); len(d) != 5 {
		t.Errorf("%d records on the dead-letter topic, want two letters and three requests", len(d))
	}
}

// What is no request, or one of another group or topic, is passed over.
func TestReplayOfOthers(t *testing.T) {
	b := setup(t, 1)
	b.send(&kgo.Record{Topic: b.topic, Key: []byte("k"), Value: []byte("poison")})
	c := b.consumer(func(cfg *consume.Config) { cfg.Replay = []string{b.topic} })
	var handled atomic.Int32
	c.OnBatch(b.topic, 10, func(_ context.Context, batch []*consume.Message) error {
		handled.Add(int32(len(batch)))
		return consume.Reject(errBoom)
	})
	b.start(c)
	b.committedLetters(1)
	letter := b.dead()[0]
	for _, change := range []kgo.RecordHeader{
		{Key: consume.HeaderDeadTopic, Value: []byte("other")}, {Key: consume.HeaderDeadGroup, Value: []byte("other")},
		{Key: consume.HeaderDeadPartition, Value: []byte("x")}, {Key: consume.HeaderDeadOffset, Value: nil},
	} {
		wrong := *letter
		wrong.Headers = append([]kgo.RecordHeader{change}, letter.Headers...)
		b.request(&wrong, 1)
	}
	b.committedLetters(5)
	if n := handled.Load(); n != 1 {
		t.Errorf("%d records reached the handler, want the original", n)
	}
	// The same group's own request does, in a batch as well.
	b.request(letter, 1)
	b.committedLetters(7)
	if n := handled.Load(); n != 2 {
		t.Errorf("%d records reached the handler, want the original and its replay", n)
	}
}

// Without its dead-letter topic a consumer works all the same.
func TestReplayWithoutDeadLetterTopic(t *testing.T) {
	b := setup(t, 1)
	b.group = kittest.Unique("g") // whose dead-letter topic was not made
	b.produce([]string{"k"}, 3)
	c := b.consumer(func(cfg *consume.Config) { cfg.Replay = []string{b.topic} })
	c.OnRecord(b.topic, b.effect)
	b.start(c)
	b.committed(3)
}
