package operate

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/deploy/letters"
	"github.com/quokka-stream/quokka/services/kit/consume"
)

func TestChoose(t *testing.T) {
	letter := func(offset int64, s letters.State, replays int, event string) letters.Letter {
		return letters.Letter{Record: &kgo.Record{Offset: offset}, Known: true, Group: "g", State: s, Replays: replays, EventID: event, OrderID: "o" + event}
	}
	d := DeadLetters{Topic: "t.g.dlq", Letters: []letters.Letter{
		letter(0, letters.Open, 0, "a"), letter(1, letters.Replayed, 1, "b"), letter(2, letters.Waiting, 1, "c"),
		letter(5, letters.Open, 3, "d"), {Record: &kgo.Record{Offset: 6}, State: letters.Open},
	}}
	for _, tc := range []struct {
		choice Choice
		want   string
	}{
		{Choice{All: true}, "0; 5: 3 replays failed: mend the cause, then --force; 6: it does not tell where it came from (headers __dlq.errors.*)"},
		{Choice{All: true, Force: true}, "0 5; 6: it does not tell where it came from (headers __dlq.errors.*)"},
		{Choice{Offsets: []int64{0}}, "0"},
		{Choice{Offsets: []int64{1, 2, 0}}, "0; 1: it has been replayed; 2: its replay waits for group g"},
		{Choice{Event: "a"}, "0"},
		{Choice{Order: "ob"}, "; 1: it has been replayed"},
		{Choice{Event: "none"}, ""},
		{Choice{Offsets: []int64{0, 3, 4}}, "error: t.g.dlq has no letter at offset 3, 4: `quokka dlq show t.g.dlq --all` lists them"},
		{Choice{}, "error: say which letters: their offsets, --event, --order, or --all"},
	} {
		chosen, refused, err := d.Choose(tc.choice)
		var got []string
		for _, l := range chosen {
			got = append(got, fmt.Sprint(l.Record.Offset))
		}
		text := strings.Join(got, " ")
		for _, r := range refused {
			text += fmt.Sprintf("; %d: %s", r.Letter.Record.Offset, r.Why)
		}
		if err != nil {
			text = "error: " + err.Error()
		}
		if text != tc.want {
			t.Errorf("%+v: %s; want %s", tc.choice, text, tc.want)
		}
	}
}

// TestReplay: a request is on the topic once Replay returns, and the letter's
// state follows the group's offset. The topic is not the platform's: its letters
// tell who gave them up.
func TestReplay(t *testing.T) {
	c, _ := newClient(t)
	c.create(t, "t.g.dlq", 1)
	for i := range 2 {
		if _, err := c.Write(t.Context(), NewRecord{Topic: "t.g.dlq", Partition: -1, Key: []byte("k"), Value: []byte(strconv.Itoa(i)), Headers: map[string]string{
			consume.HeaderDeadTopic: "t", consume.HeaderDeadPartition: "0", consume.HeaderDeadOffset: strconv.Itoa(i), consume.HeaderDeadGroup: "g",
		}}); err != nil {
			t.Fatal(err)
		}
	}
	states := func() string {
		t.Helper()
		all, err := c.DeadLetters(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("%+v, %v", all, err)
		}
		out := all[0].Group + " " + all[0].Of
		for _, l := range all[0].Letters {
			out += fmt.Sprintf(" %d:%s", l.Record.Offset, l.State)
		}
		return out
	}
	if got := states(); got != "g t 0:open 1:open" {
		t.Fatal(got)
	}
	d, err := c.DeadLetters(t.Context(), "t.g.dlq")
	if err != nil {
		t.Fatal(err)
	}
	chosen, _, err := d[0].Choose(Choice{Offsets: []int64{1}})
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	if err := c.Replay(t.Context(), chosen, 1000, func(n int) { asked = n }); err != nil || asked != 1 {
		t.Fatal(asked, err)
	}
	if got := states(); got != "g t 0:open 1:waiting" {
		t.Error(got)
	}
	if d, err := c.Await(t.Context(), "t.g.dlq", time.Millisecond); err != nil || d.Count(letters.Waiting) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	var offsets kadm.Offsets
	offsets.AddOffset("t.g.dlq", 0, 3, -1)
	if err := c.admin.CommitAllOffsets(t.Context(), "g", offsets); err != nil {
		t.Fatal(err)
	}
	if got := states(); got != "g t 0:open 1:replayed" {
		t.Error(got)
	}
	if _, err := c.DeadLetters(t.Context(), "other.dlq"); err == nil || err.Error() != "there is no dead-letter topic other.dlq; there are: t.g.dlq" {
		t.Error(err)
	}
}
