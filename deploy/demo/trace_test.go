package demo

import (
	"testing"

	"github.com/quokka-stream/quokka/deploy/checker"
	"github.com/quokka-stream/quokka/deploy/workload"
)

// TestExample: the trace that is shown is of the newest confirmed order whose trace is
// recorded; the demo does not wait for one that never comes.
func TestExample(t *testing.T) {
	const a, b = "0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c"
	placed := []workload.Placed{{OrderID: "1", Fate: workload.Fulfilled}, {OrderID: "2", Fate: workload.Fulfilled}}
	for name, tc := range map[string]struct{ first, second, order, trace string }{
		"all are recorded":      {"00-" + a + "-b7ad6b7169203331-01", "00-" + b + "-b7ad6b7169203331-01", "2", b},
		"one is not":            {"00-" + a + "-b7ad6b7169203331-01", "00-" + b + "-b7ad6b7169203331-00", "1", a},
		"with a further flag":   {"00-" + a + "-b7ad6b7169203331-03", "", "1", a},
		"a further flag, alone": {"00-" + a + "-b7ad6b7169203331-02", "", "", ""},
		"none has a trace":      {"", "garbage", "", ""},
	} {
		facts := checker.Facts{Events: []checker.Event{
			{Type: checker.Placed, OrderID: "1", TraceParent: tc.first}, {Type: checker.Placed, OrderID: "2", TraceParent: tc.second},
		}}
		if order, trace := example(placed, facts); order != tc.order || trace != tc.trace {
			t.Errorf("%s: order %q, trace %q, want %q, %q", name, order, trace, tc.order, tc.trace)
		}
	}
}
