package group

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/broker/internal/scenario"
)

// world runs the commands of a scenario file on one group.
type world struct {
	t   *testing.T
	cfg Config
	now time.Time
	ids int
	g   *Group
	ref Ref
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.UnixMilli(0)}
	w.cfg = Config{
		MinSessionTimeout: time.Second, MaxSessionTimeout: 5 * time.Minute, MaxSize: 3,
		NewID: func() string { w.ids++; return strconv.Itoa(w.ids) },
	}
	w.g = New("g", &w.cfg, w.now)
	return w
}

// args are the name=value words of a command.
type args map[string]string

func (a args) duration(t *testing.T, name, def string) time.Duration {
	if v, ok := a[name]; ok {
		def = v
	}
	d, err := time.ParseDuration(def)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (a args) number(t *testing.T, name string, def int) int {
	v, ok := a[name]
	if !ok {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (a args) optional(name string) *string {
	if v, ok := a[name]; ok {
		return &v
	}
	return nil
}

func (w *world) run(line string) string {
	words := strings.Fields(line)
	a := args{}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		a[name] = value
	}
	var out strings.Builder
	switch words[0] {
	case "config":
		w.cfg.InitialRebalanceDelay = a.duration(w.t, "delay", "0s")
		w.cfg.MaxSize = a.number(w.t, "max", w.cfg.MaxSize)
	case "join":
		w.ref++
		r := JoinRequest{
			Ref: w.ref, Version: int16(a.number(w.t, "v", 9)), MemberID: a["member"], InstanceID: a.optional("instance"),
			ClientID: "c", ProtocolType: "consumer",
			SessionTimeout: a.duration(w.t, "session", "10s"), RebalanceTimeout: a.duration(w.t, "rebalance", "60s"),
			MaxBytes: a.number(w.t, "bytes", 0),
		}
		if v, ok := a["type"]; ok {
			r.ProtocolType = v
		}
		protocols := "range:m"
		if v, ok := a["protocols"]; ok {
			protocols = v
		}
		for p := range strings.SplitSeq(protocols, ",") {
			name, meta, _ := strings.Cut(p, ":")
			r.Protocols = append(r.Protocols, Protocol{name, []byte(meta)})
		}
		w.g.Join(w.now, r)
	case "sync":
		w.ref++
		r := SyncRequest{Ref: w.ref, MemberID: a["member"], InstanceID: a.optional("instance"), Generation: int32(a.number(w.t, "gen", 0)),
			ProtocolType: a.optional("type"), Protocol: a.optional("protocol"), Assignments: map[string][]byte{}, MaxBytes: a.number(w.t, "bytes", 0)}
		for p := range strings.SplitSeq(a["assign"], ",") {
			id, part, _ := strings.Cut(p, ":")
			r.Assignments[id] = []byte(part)
		}
		w.g.Sync(w.now, r)
	case "heartbeat":
		fmt.Fprintln(&out, "code", w.g.Heartbeat(w.now, a["member"], a.optional("instance"), int32(a.number(w.t, "gen", 0))))
	case "leave":
		fmt.Fprintln(&out, "code", w.g.Leave(w.now, a["member"], a.optional("instance")))
	case "commit":
		fmt.Fprintln(&out, "code", w.g.CheckCommit(w.now, a["member"], a.optional("instance"), int32(a.number(w.t, "gen", -1))))
	case "advance":
		// The clock stops at every deadline on the way, as the coordinator's timer does.
		d, err := time.ParseDuration(words[1])
		if err != nil {
			w.t.Fatal(err)
		}
		end := w.now.Add(d)
		for next := w.g.Next(); !next.IsZero() && !next.After(end); next = w.g.Next() {
			w.now = next
			w.g.Tick(w.now)
			if w.g.Next().Equal(next) {
				w.t.Fatalf("%s: the deadline %s stays after its tick", line, next.UTC().Format("04:05"))
			}
		}
		w.now = end
		w.g.Tick(w.now)
	case "restart":
		s := w.g.Snapshot()
		w.g = New("g", &w.cfg, w.now)
		w.g.Restore(w.now, s)
	case "state":
	default:
		w.t.Fatalf("unknown command %q", line)
	}
	effects, dirty := w.g.TakeEffects()
	if dirty {
		fmt.Fprintln(&out, "write")
	}
	for _, e := range effects {
		if e.Join != nil {
			j := e.Join
			fmt.Fprintf(&out, "#%d joined code=%d gen=%d protocol=%s leader=%s member=%s", e.Ref, j.ErrorCode, j.Generation, j.Protocol, j.Leader, j.MemberID)
			if j.SkipAssignment {
				fmt.Fprint(&out, " skip")
			}
			for _, m := range j.Members {
				fmt.Fprintf(&out, " [%s %s]", m.ID, m.Metadata)
			}
		} else {
			fmt.Fprintf(&out, "#%d synced code=%d assignment=%s", e.Ref, e.Sync.ErrorCode, e.Sync.Assignment)
		}
		fmt.Fprintln(&out)
	}
	if words[0] == "state" || words[0] == "advance" || words[0] == "restart" {
		fmt.Fprintf(&out, "%s gen=%d leader=%s members=", w.g.State(), w.g.generation, w.g.leader)
		for i, m := range w.g.members {
			if i > 0 {
				fmt.Fprint(&out, ",")
			}
			fmt.Fprint(&out, m.ID)
		}
		if next := w.g.Next(); !next.IsZero() {
			fmt.Fprintf(&out, " next=+%s", next.Sub(w.now))
		}
		fmt.Fprintln(&out)
	}
	w.check()
	return out.String()
}

// check holds the invariants of the package comment.
func (w *world) check() {
	g := w.g
	if len(g.members) > 0 && g.member(g.leader) == nil {
		w.t.Fatalf("the leader %q is no member", g.leader)
	}
	if (g.state == Empty || g.state == Dead) && len(g.members) > 0 {
		w.t.Fatalf("%s with %d members", g.state, len(g.members))
	}
	if (g.state == Stable || g.state == CompletingRebalance) && len(g.members) == 0 {
		w.t.Fatalf("%s without members", g.state)
	}
	seen := map[string]bool{}
	for _, m := range g.members {
		if seen[m.ID] {
			w.t.Fatalf("member %s is in the group twice", m.ID)
		}
		seen[m.ID] = true
		if m.join != 0 && g.state != PreparingRebalance {
			w.t.Fatalf("%s waits for a join in %s", m.ID, g.state)
		}
		if m.sync != 0 && g.state != CompletingRebalance {
			w.t.Fatalf("%s waits for a sync in %s", m.ID, g.state)
		}
	}
}

func TestScenarios(t *testing.T) {
	scenario.Run(t, func(t *testing.T) func(string) string { return newWorld(t).run })
}
