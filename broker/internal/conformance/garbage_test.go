package conformance

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/internal/record"
)

// moreAllocations is by how much two averages over the same requests may differ: what
// goes on by itself in a broker — checkpoints, a new segment's files, timers — falls on
// one side or the other. An allocation for each record would make it a thousand, one for
// each hundredth record ten.
const moreAllocations = 5

// TestNoGarbagePerRecord counts the allocations of a whole broker, in memory, while it
// takes and gives batches of one record and of a thousand, of the same size in bytes: as
// many, from the socket through partition and log and back.
func TestNoGarbagePerRecord(t *testing.T) {
	const records, size = 1000, 20
	b := start(t, func(c *broker.Config) { c.Flush = broker.FlushOS })
	many := batch(record.Options{}, strings.Split(strings.Repeat(strings.Repeat("x", size)+" ", records), " ")[:records]...)
	one := batch(record.Options{}, strings.Repeat("x", len(many)-len(batch(record.Options{}, strings.Repeat("x", len(many))))+len(many)))
	if len(one) != len(many) {
		t.Fatalf("the batches are of %d and %d bytes", len(one), len(many))
	}
	count := func(name string, records []byte) (produced, fetched float64) {
		c := dial(t, b.Addr())
		c.create(name, 1)
		produce := repeated(t, c, 9, produceRequest(name, 0, -1, records))
		produced = testing.AllocsPerRun(50, func() {
			if answer := produce(); len(answer) > 200 {
				t.Fatalf("an answer of %d bytes to a Produce", len(answer))
			}
		})
		whole := fetchRequest(name, 0) // the batch at offset 0 and no more
		whole.MaxBytes = int32(len(records))
		fetch := repeated(t, c, 11, whole)
		fetched = testing.AllocsPerRun(50, func() {
			if answer := fetch(); len(answer) < len(records) || len(answer) > len(records)+200 {
				t.Fatalf("an answer of %d bytes to a Fetch of a batch of %d", len(answer), len(records))
			}
		})
		return produced, fetched
	}
	produceOne, fetchOne := count("one", one)
	produceMany, fetchMany := count("many", many)
	t.Logf("allocations: produce %v and %v, fetch %v and %v", produceOne, produceMany, fetchOne, fetchMany)
	if produceMany > produceOne+moreAllocations {
		t.Errorf("a Produce of 1,000 records makes %v allocations, of one %v", produceMany, produceOne)
	}
	if fetchMany > fetchOne+moreAllocations {
		t.Errorf("a Fetch of 1,000 records makes %v allocations, of one %v", fetchMany, fetchOne)
	}
}

// repeated returns what sends one request again and again, and returns its answers, in
// one buffer.
func repeated(t *testing.T, c *conn, version int16, req kmsg.Request) func() []byte {
	req.SetVersion(version)
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, 1)
	buf := make([]byte, 1<<20)
	if err := c.nc.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return func() []byte {
		if _, err := c.nc.Write(frame); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c.nc, buf[:4]); err != nil {
			t.Fatal(err)
		}
		answer := buf[:binary.BigEndian.Uint32(buf)]
		if _, err := io.ReadFull(c.nc, answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
}
