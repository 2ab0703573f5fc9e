package registry

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestTwoInstances registers at the same time through two instances on one
// topic: every answer must be true at the end, for both and after a restart.
func TestTwoInstances(t *testing.T) {
	topic := newMemTopic()
	instances := []*api{openMem(t, topic), openMem(t, topic)}
	instances[0].want(instances[0].do("PUT", "/config", `{"compatibility":"NONE"}`), "200")
	type given struct {
		subject, schema string
		id, version     int
	}
	var mu sync.Mutex
	var answers []given
	var wg sync.WaitGroup
	for i, a := range instances {
		for w := range 4 {
			wg.Go(func() {
				for n := range 10 {
					subject := fmt.Sprintf("s%d", n%3)
					schema := fmt.Sprintf(`{"type":"fixed","name":"F","size":%d}`, 1+i*100+w*20+n)
					if n%2 == 0 { // half of them are registered through both
						schema = fmt.Sprintf(`{"type":"fixed","name":"F","size":%d}`, 1000+n)
					}
					r := schemaRequest{Schema: schema}
					e, err := a.register(t.Context(), subject, r, false)
					if err != nil {
						t.Errorf("%s: %v", subject, err)
						return
					}
					mu.Lock()
					answers = append(answers, given{subject, schema, e.id, e.version})
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	if len(answers) != 80 {
		t.Fatalf("only %d of 80 were answered", len(answers))
	}
	for _, a := range instances {
		if err := a.store.open(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	check := func(name string, st *state) {
		for _, g := range answers {
			e := st.version(g.subject, g.version, true)
			if e == nil || e.schema != g.schema || e.id != g.id {
				t.Errorf("%s: %s version %d was answered as id %d %s, is %+v", name, g.subject, g.version, g.id, g.schema, e)
			}
			if by := st.byID(g.id, ""); by == nil || by.schema != g.schema {
				t.Errorf("%s: id %d was answered for %s, is %+v", name, g.id, g.schema, by)
			}
		}
	}
	for i, a := range instances {
		a.store.view(func(st *state) { check(fmt.Sprintf("instance %d", i), st) })
	}
	check("restart", replay(topic.copy()))
	topic.compact()
	check("restart after compaction", replay(topic.copy()))
}

// TestLostWrite puts another instance's write between a decision and its
// record: same subject and version, and same id.
func TestLostWrite(t *testing.T) {
	for _, via := range []string{"this registry", "another registry"} {
		t.Run(via, func(t *testing.T) {
			topic := newMemTopic()
			log := &memLog{topic: topic}
			a := openLog(t, log, func(c *Config) { c.Compatibility = "NONE" })
			b := openMem(t, topic)
			a.add("s", `"int"`)
			once := sync.OnceFunc(func() {
				if via == "this registry" {
					b.want(b.do("PUT", "/config/s", `{"compatibility":"NONE"}`), "200")
					b.add("s", `"long"`)
					return
				}
				topic.add(schemaLine("s", 2, 2, `"long"`, false))
			})
			log.before = func([]logRecord) error { once(); return nil }
			id, version := a.add("s", `"string"`)
			if id != 3 || version != 3 {
				t.Errorf("id %d version %d, want 3 and 3", id, version)
			}
			topic.compact()
			for name, st := range map[string]*state{"replay": replay(topic.copy())} {
				if e := st.version("s", 2, false); e == nil || e.schema != `"long"` || e.id != 2 {
					t.Errorf("%s: version 2 is %+v", name, e)
				}
				if e := st.version("s", 3, false); e == nil || e.schema != `"string"` || e.id != 3 {
					t.Errorf("%s: version 3 is %+v", name, e)
				}
			}
		})
	}
}

// TestDecisionGrowsOld: what is read between a decision and its write makes the
// decision old, as what is written then does.
func TestDecisionGrowsOld(t *testing.T) {
	topic := newMemTopic()
	a := openMem(t, topic)
	var decisions int
	err := a.store.update(t.Context(), func(st *state) ([]record, error) {
		decisions++
		if decisions > 1 {
			return nil, nil
		}
		topic.add(schemaLine("s", 1, 1, `"long"`, false))
		// The reader has it, and waits for this decision to let it apply it.
		for a.store.mu.TryRLock() {
			a.store.mu.RUnlock()
			runtime.Gosched()
		}
		mine := schemaLine("s", 1, 1, `"int"`, false)
		return []record{{key: schemaKey("s", 1), value: mine.value}}, nil
	})
	if err != nil || decisions != 2 {
		t.Errorf("%d decisions, %v", decisions, err)
	}
	a.want(a.do("GET", "/subjects/s/versions/1", ""), `200 {"schema":"\"long\""}`)
}

// TestLostIncompatible: a decision that another write made wrong is not carried
// out.
func TestLostIncompatible(t *testing.T) {
	topic := newMemTopic()
	log := &memLog{topic: topic}
	a := openLog(t, log)
	b := openMem(t, topic)
	once := sync.OnceFunc(func() { b.add("s", `"int"`) })
	log.before = func([]logRecord) error { once(); return nil }
	a.want(a.do("POST", "/subjects/s/versions", schemaBody(`"string"`)), `409`)
	a.want(a.do("GET", "/subjects/s/versions", ""), `200 [1]`)
	a.want(a.do("GET", "/subjects/s/versions/1", ""), `200 {"schema":"\"int\""}`)
}

// TestLoserDies: an instance loses and dies before it covers its record; the
// next write of any instance does.
func TestLoserDies(t *testing.T) {
	topic := newMemTopic()
	a := openMem(t, topic)
	a.add("s", `"int"`)
	a.want(a.do("PUT", "/config/s", `{"compatibility":"NONE"}`), "200")
	base := topic.next
	a.add("s", `"long"`)
	dead := schemaLine("s", 2, 2, `"string"`, false)
	dead.writer, dead.base = "dead", base
	topic.add(dead)
	if got := replay(topic.copy()).version("s", 2, false).schema; got != `"long"` {
		t.Fatalf("the loser won: %s", got)
	}
	b := openMem(t, topic)
	topic.compact()
	if got := replay(topic.copy()).version("s", 2, false); got == nil || got.schema != `"long"` {
		t.Errorf("after compaction version 2 is %+v", got)
	}
	b.want(b.do("GET", "/subjects/s/versions/2", ""), `200 {"schema":"\"long\""}`)
}

// TestContention: an instance that never gets to write first says so. In virtual
// time, so that its time is over while it waits for its turn, not while a write of
// its own is under way.
func TestContention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topic := newMemTopic()
		log := &memLog{topic: topic}
		a := openLog(t, log, func(c *Config) { c.Timeout = 300 * time.Millisecond })
		n := 0
		log.before = func([]logRecord) error {
			n++
			topic.add(canonical(settingsRecord(fmt.Sprintf("x%d", n), Settings{CompatibilityLevel: "FULL"})))
			return nil
		}
		got := a.do("POST", "/subjects/s/versions", schemaBody(`"int"`))
		if got.status != 500 || !strings.Contains(got.body, "other registry instances") {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

// TestStoreErrors: Kafka's trouble becomes an error code, and the registry goes
// on when Kafka does.
func TestStoreErrors(t *testing.T) {
	topic := newMemTopic()
	log := &memLog{topic: topic}
	a := openLog(t, log)
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("broker is gone"), `500 {"error_code":50001}`},
		{fmt.Errorf("%w: %w", errUnknown, context.DeadlineExceeded), `500 {"error_code":50002}`},
		{errTooLarge, `422 {"error_code":42209}`},
	} {
		log.before = func([]logRecord) error { return tt.err }
		a.want(a.do("POST", "/subjects/s/versions", schemaBody(`"int"`)), tt.want)
		a.want(a.do("GET", "/subjects", ""), `200 []`)
	}
	log.before = nil
	a.add("s", `"int"`)
}

// TestUnknownOutcome: a write whose answer was lost is found when it is tried
// again.
func TestUnknownOutcome(t *testing.T) {
	topic := newMemTopic()
	log := &memLog{topic: topic}
	a := openLog(t, log)
	log.before = func(records []logRecord) error {
		topic.add(records...)
		return errUnknown
	}
	a.want(a.do("POST", "/subjects/s/versions", schemaBody(`"int"`)), `500`)
	log.before = nil
	if id, version := a.add("s", `"int"`); id != 1 || version != 1 {
		t.Errorf("id %d version %d", id, version)
	}
}

// TestCanceledWait: a caller that gives up while another write is under way
// does not change anything.
func TestCanceledWait(t *testing.T) {
	topic := newMemTopic()
	log := &memLog{topic: topic}
	a := openLog(t, log)
	entered, leave := make(chan struct{}), make(chan struct{})
	log.before = func([]logRecord) error {
		close(entered)
		<-leave
		return nil
	}
	var wg sync.WaitGroup
	wg.Go(func() { a.do("POST", "/subjects/slow/versions", schemaBody(`"int"`)) })
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := a.register(ctx, "s", schemaRequest{Schema: `"int"`}, false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	close(leave)
	wg.Wait()
	a.want(a.do("GET", "/subjects", ""), `200 ["slow"]`)
}

// TestReady follows the topic's health.
func TestReady(t *testing.T) {
	topic := newMemTopic()
	log := &memLog{topic: topic}
	a := openLog(t, log)
	if got := a.do("GET", "/readyz", ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := a.do("GET", "/healthz", ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	a.add("s", `"int"`)
	metrics := a.do("GET", "/metrics", "").body
	for _, want := range []string{"quokka_registry_schemas 1", "quokka_registry_subjects 1",
		`quokka_registry_requests_total{endpoint="POST /subjects/{subject}/versions",status="200"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	log.closed = true
	if got := a.do("GET", "/readyz", ""); got.status != 503 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestConcurrentReads reads while versions come and go.
func TestConcurrentReads(t *testing.T) {
	a := openMem(t, newMemTopic())
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				for _, path := range []string{"/subjects", "/schemas?deleted=true", "/schemas/ids/1", "/subjects/s/versions/latest", "/config/s?defaultToGlobal=true", "/schemas/ids/1/versions"} {
					if got := a.do("GET", path, ""); got.status >= 500 {
						t.Errorf("%s: %d %s", path, got.status, got.body)
					}
				}
			}
		})
	}
	for range 20 {
		a.add("s", `"int"`)
		a.want(a.do("DELETE", "/subjects/s", ""), "200")
		a.want(a.do("DELETE", "/subjects/s?permanent=true", ""), "200")
	}
	close(done)
	wg.Wait()
}
