package txn

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/scenario"
)

// world runs the commands of a scenario file on one transactional id.
type world struct {
	t   *testing.T
	now time.Time
	ids int64
	txn *Txn
}

func (w *world) newID() (int64, error) {
	w.ids++
	return 1000 + w.ids, nil
}

func (w *world) run(line string) string {
	words := strings.Fields(line)
	num := func(name string, def int64) int64 {
		for _, word := range words[1:] {
			if v, ok := strings.CutPrefix(word, name+"="); ok {
				n, err := strconv.ParseInt(v, 10, 64)
				if err != nil {
					w.t.Fatal(err)
				}
				return n
			}
		}
		return def
	}
	pid, epoch := num("pid", -1), int16(num("epoch", -1))
	next := w.txn.Clone()
	var r Result
	switch words[0] {
	case "init":
		r = next.Init(w.now, time.Minute, pid, epoch, w.newID)
	case "add":
		r = next.Add(w.now, pid, epoch, []Partition{{"t", int32(num("p", 0))}})
	case "write":
		return fmt.Sprintf("code %d\n", w.txn.Has(pid, epoch, Partition{"t", int32(num("p", 0))}))
	case "commit", "abort":
		r = next.End(w.now, pid, epoch, words[0] == "commit", int16(num("v", 1)), w.newID)
	case "markers":
		r = next.Complete(w.now)
	case "advance":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			w.t.Fatal(err)
		}
		w.now = w.now.Add(d)
		r = next.Tick(w.now)
	case "epoch": // jumps there, to see the last ones
		w.txn.Epoch = int16(num("is", 0))
		return ""
	case "expired":
		return fmt.Sprintln(w.txn.Expired(w.now, 7*24*time.Hour))
	default:
		w.t.Fatalf("unknown command %q", line)
	}
	out := fmt.Sprintf("code %d", r.Code)
	if r.Wait {
		out += " wait"
	}
	if r.Code == 0 {
		out += fmt.Sprintf(" pid=%d epoch=%d", r.ProducerID, r.Epoch)
	}
	if r.Write {
		if next.ProducerID == w.txn.ProducerID && next.Epoch < w.txn.Epoch {
			w.t.Fatalf("%s: the epoch falls from %d to %d", line, w.txn.Epoch, next.Epoch)
		}
		w.txn = next
		out += fmt.Sprintf(" write %s pid=%d epoch=%d %v", next.State, next.ProducerID, next.Epoch, next.Sorted())
	}
	if r.End {
		out += " markers"
	}
	return out + "\n"
}

func TestScenarios(t *testing.T) {
	scenario.Run(t, func(t *testing.T) func(string) string {
		return (&world{t: t, now: time.UnixMilli(0), txn: New("id")}).run
	})
}
