package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/deploy/letters"
	"github.com/quokka-stream/quokka/deploy/operate"
	"github.com/quokka-stream/quokka/deploy/term"
)

func givenUp(offset, original int64, s letters.State, reason string) letters.Letter {
	return letters.Letter{
		Record: &kgo.Record{Topic: "t.g.dlq", Offset: offset, Timestamp: time.Unix(1000, 0)}, Original: letters.Original{Topic: "t", Partition: 2, Offset: original},
		Known: true, Group: "g", State: s, Reason: reason,
	}
}

func TestPrintTotals(t *testing.T) {
	totals := totalsOf([]operate.DeadLetters{
		{Topic: "a.g.dlq", Group: "g", Of: "a"},
		{Topic: "t.g.dlq", Group: "g", Of: "t", Letters: []letters.Letter{givenUp(0, 5, letters.Open, ""), givenUp(1, 6, letters.Replayed, ""), givenUp(3, 7, letters.Open, "")}},
	})
	const want = `
  DEAD-LETTER TOPIC  GROUP  OPEN  WAITING  REPLAYED  OLDEST
  t.g.dlq            g         2        0         1    60 s
  ` + "`quokka dlq show` says why; mend the cause, then `quokka dlq replay TOPIC --all`" + `
`
	if d := cmp.Diff(want, printed(func(p *term.Printer) { printTotals(p, totals, false, time.Unix(1060, 0)) })); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff("\n  no dead letters in 1 dead-letter topic\n", printed(func(p *term.Printer) { printTotals(p, totals[:1], false, time.Now()) })); d != "" {
		t.Error(d)
	}
}

func TestReplayOutcomes(t *testing.T) {
	chosen := []letters.Letter{givenUp(0, 5, letters.Open, "x"), givenUp(1, 6, letters.Open, "x"), givenUp(2, 7, letters.Open, "x"), givenUp(3, 8, letters.Open, "x")}
	results := outcomes(chosen, []letters.Letter{givenUp(0, 5, letters.Replayed, "x"), givenUp(6, 6, letters.Open, "no\nluck"), givenUp(2, 7, letters.Waiting, "x")})
	const want = `
  LETTER  RECORD  OUTCOME
       0  t[2]@5  handled
       1  t[2]@6  failed   again, now at offset 6: no luck
       2  t[2]@7  waiting  group g has not handled it yet
       3  t[2]@8  handled
`
	if d := cmp.Diff(want, printed(func(p *term.Printer) { printReplay(p, results, false) })); d != "" {
		t.Error(d)
	}
	c := &dlqReplayCmd{Topic: "t.g.dlq"}
	if err := c.unfinished(results); err == nil || err.Error() != "1 of 4 failed again: `quokka dlq show t.g.dlq` says why" {
		t.Error(err)
	}
	if err := c.unfinished(results[:1]); err != nil {
		t.Error(err)
	}
	if err := c.unfinished(results[2:]); err == nil {
		t.Error("a replay that is not handled yet is no success")
	}
	dry := []replayResult{resultOf(chosen[0], "chosen", "boom"), resultOf(chosen[1], "refused", "it has been replayed")}
	const wantDry = `
  LETTER  RECORD  OUTCOME
       0  t[2]@5  chosen   boom
       1  t[2]@6  refused  it has been replayed
  a dry run: 1 letter would be replayed, nothing changed
`
	if d := cmp.Diff(wantDry, printed(func(p *term.Printer) { printReplay(p, dry, true) })); d != "" {
		t.Error(d)
	}
}

func TestWrapped(t *testing.T) {
	for text, want := range map[string][]string{
		"": {""}, "one": {"one"}, "one  two\nthree": {"one two", "three"}, "ein größeres wort": {"ein", "größeres", "wort"},
	} {
		if d := cmp.Diff(want, wrapped(text, 8)); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
}
