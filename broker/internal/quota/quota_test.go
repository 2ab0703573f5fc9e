package quota

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"
)

// TestPrecedence: of the quotas that are set, the most specific counts, in Kafka's
// order; who shares it follows from what it names.
func TestPrecedence(t *testing.T) {
	order := []Entity{ // the first that is there counts for alice's client app
		{User: Named("alice"), ClientID: Named("app")},
		{User: Named("alice"), ClientID: Default},
		{User: Named("alice")},
		{User: Default, ClientID: Named("app")},
		{User: Default, ClientID: Default},
		{User: Default},
		{ClientID: Named("app")},
		{ClientID: Default},
	}
	shared := []Entity{
		order[0], order[0], order[2], order[0], order[0], order[2], order[6], order[6],
	}
	table := Table{{User: Named("bob")}: {Fetch: 1}, {IP: Default}: {Connection: 1}}
	if _, _, ok := table.find(Fetch, "alice", "app"); ok {
		t.Error("others' quotas count")
	}
	for i := len(order) - 1; i >= 0; i-- {
		table[order[i]] = Limits{Fetch: float64(100 + i)}
		rate, who, ok := table.find(Fetch, "alice", "app")
		if !ok || rate != float64(100+i) || who != shared[i] {
			t.Errorf("with %+v: %v of %+v", order[i], rate, who)
		}
	}
	if _, _, ok := table.find(Produce, "alice", "app"); ok {
		t.Error("a quota of fetches counts for produces")
	}
	// A client without a name is one of the default.
	if rate, _, _ := table.find(Fetch, "carol", ""); rate != 104 {
		t.Errorf("a client without an id has %v", rate)
	}
}

func TestCheck(t *testing.T) {
	user, ip := Entity{User: Default}, Entity{IP: Default}
	for _, c := range []struct {
		e     Entity
		key   string
		value float64
		ok    bool
	}{
		{user, "producer_byte_rate", 1024, true},
		{user, "producer_byte_rate", 0.5, false},
		{user, "request_percentage", 0.5, true},
		{user, "controller_mutation_rate", 0.5, true},
		{user, "consumer_byte_rate", 0, false},
		{user, "consumer_byte_rate", -1, false},
		{user, "consumer_byte_rate", math.Inf(1), false},
		{user, "request_percentage", math.Inf(1), false},
		{user, "request_percentage", math.NaN(), false},
		{user, "connection_creation_rate", 1, false},
		{ip, "connection_creation_rate", 1, true},
		{ip, "connection_creation_rate", 1 << 40, false},
		{ip, "producer_byte_rate", 1, false},
		{user, "no_such_rate", 1, false},
	} {
		if _, err := Check(c.e, c.key, c.value); (err == nil) != c.ok {
			t.Errorf("%s = %v: %v", c.key, c.value, err)
		}
	}
}

func TestLimitsJSON(t *testing.T) {
	in := Limits{Produce: 1 << 20, Request: 12.5}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out Limits
	if err := json.Unmarshal(b, &out); err != nil || out != in {
		t.Errorf("%s becomes %v, %v", b, out, err)
	}
	if err := json.Unmarshal([]byte(`{"of_the_future": 1}`), &out); err == nil {
		t.Error("a quota that is not known is passed over")
	}
}

var (
	begin = time.Unix(1000, 0)
	alice = Client{User: "alice", ID: "app"}
)

// step is one use of a quota of 100 a second, at a time after the first.
type step struct {
	at   time.Duration
	n    float64
	want time.Duration
}

func run(t *testing.T, use func(*Meter, Table, Kind, Client, float64, time.Time) time.Duration, steps []step) {
	t.Helper()
	var m Meter
	table := Table{{User: Named("alice")}: {Produce: 100}}
	for i, s := range steps {
		if got := use(&m, table, Produce, alice, s.n, begin.Add(s.at)); got != s.want {
			t.Errorf("step %d, %v after %v: held back for %v, want %v", i, s.n, s.at, got, s.want)
		}
	}
}

func TestUse(t *testing.T) {
	run(t, (*Meter).Use, []step{
		{0, 1000, 0}, // what ten seconds bring
		{0, 50, 500 * time.Millisecond},
		{500 * time.Millisecond, 100, time.Second},
		{1500 * time.Millisecond, 0, 0},
		{time.Hour, 1001, 10 * time.Millisecond}, // an hour saves up no more than ten seconds
		{time.Minute, 0, 10 * time.Millisecond},  // a clock that goes back brings nothing
		{2 * time.Hour, 1e15, math.MaxInt32 * time.Millisecond},
	})
}

func TestTryUse(t *testing.T) {
	run(t, (*Meter).TryUse, []step{
		{0, 900, 0},
		{0, 200, time.Second}, // and is not used
		{0, 100, 0},
		{time.Second, 100, 0},
		{time.Second, 5000, 10 * time.Second}, // more than can be saved up: when all is there
		{11 * time.Second, 5000, 0},
		{11 * time.Second, 10, 40100 * time.Millisecond},
	})
}

func TestAdmit(t *testing.T) {
	run(t, (*Meter).Admit, []step{
		{0, 999, 0},
		{0, 500, 0}, // something was left
		{0, 1, 4990 * time.Millisecond},
		{4989 * time.Millisecond, 1, time.Millisecond},
		{4990 * time.Millisecond, 1, 0},
	})
}

func TestConnect(t *testing.T) {
	var m Meter
	table := Table{{IP: Named("10.0.0.1")}: {Connection: 2}, {IP: Default}: {Connection: 1}}
	open := func(ip string) (n int) {
		for m.Connect(table, ip, begin) == 0 {
			n++
		}
		return n
	}
	if a, b, c := open("10.0.0.1"), open("10.0.0.2"), open("10.0.0.3"); a != 20 || b != 10 || c != 10 {
		t.Errorf("%d, %d and %d connections", a, b, c)
	}
	if wait := m.Connect(table, "10.0.0.1", begin); wait != 500*time.Millisecond {
		t.Errorf("refused after %v", wait)
	}
	if count, total := m.Stats(Connection); count != 4 || total != 3*time.Second {
		t.Errorf("%d refused, held for %v", count, total)
	}
	if wait := m.Connect(Table{{User: Default}: {Produce: 1}}, "10.0.0.1", begin); wait != 0 {
		t.Errorf("no quota: %v", wait)
	}
}

// TestSharing: clients share what names them, and have a default each.
func TestSharing(t *testing.T) {
	for _, c := range []struct {
		e     Entity
		other Client
		share bool
	}{
		{Entity{User: Named("alice")}, Client{"alice", "other"}, true},
		{Entity{User: Default}, Client{"alice", "other"}, true},
		{Entity{User: Default}, Client{"bob", "app"}, false},
		{Entity{ClientID: Named("app")}, Client{"bob", "app"}, true},
		{Entity{ClientID: Default}, Client{"alice", "other"}, false},
		{Entity{User: Default, ClientID: Default}, Client{"alice", "other"}, false},
		{Entity{User: Default, ClientID: Default}, Client{"bob", "app"}, false},
	} {
		var m Meter
		table := Table{c.e: {Produce: 1}}
		m.Use(table, Produce, alice, 10, begin)
		if got := m.Use(table, Produce, c.other, 1, begin) > 0; got != c.share {
			t.Errorf("%+v: %+v shares it: %v", c.e, c.other, got)
		}
	}
}

// TestSweep: clients with ever new ids do not fill the memory, and whoever owes
// something is not forgotten.
func TestSweep(t *testing.T) {
	var m Meter
	table := Table{{ClientID: Default}: {Produce: 1}}
	m.Use(table, Produce, Client{ID: "debtor"}, 1e6, begin)
	now := begin
	for i := range 100 * minSweep {
		now = now.Add(time.Second / 10)
		m.Use(table, Produce, Client{ID: fmt.Sprint(i)}, 1, now)
	}
	if n := len(m.buckets); n > 2*minSweep {
		t.Errorf("%d buckets are kept", n)
	}
	if m.Use(table, Produce, Client{ID: "debtor"}, 1, now) == 0 {
		t.Error("a debt is forgotten")
	}
}
