package registry_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/schemas/registry"
)

// kafka is the Kafka of one test, and a topic in it that no other test uses.
type kafka struct {
	brokers []string
	topic   string
}

func newKafka(t testing.TB) kafka {
	t.Helper()
	return kafka{brokertest.Brokers(t), newTopic()}
}

func newTopic() string { return "_schemas." + uuid.NewString() }

// patience is what a Kafka on a busy machine may take for what these tests ask of it.
const patience = 3 * time.Minute

// open starts a registry.
func (k kafka) open(t testing.TB, configure ...func(*registry.Config)) *registry.Server {
	t.Helper()
	cfg := registry.Config{Brokers: k.brokers, Topic: k.topic, Addr: "127.0.0.1:0", Timeout: patience, StartTimeout: patience, Logger: slog.New(slog.DiscardHandler)}
	for _, f := range configure {
		f(&cfg)
	}
	s, err := registry.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Serve(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		http.DefaultClient.CloseIdleConnections()
	})
	return s
}

// call sends a request and returns status and body.
func call(t testing.TB, s *registry.Server, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, "http://"+s.Addr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func must(t testing.TB, s *registry.Server, method, path, body, want string) {
	t.Helper()
	status, got := call(t, s, method, path, body)
	if have := fmt.Sprintf("%d %s", status, got); !strings.HasPrefix(have, want) {
		t.Fatalf("%s %s: got %s, want %s", method, path, have, want)
	}
}

func (k kafka) admin(t testing.TB) *kadm.Client {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(k.brokers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return kadm.NewClient(c)
}

// TestRestart stops a registry and starts another on the same topic.
func TestRestart(t *testing.T) {
	k := newKafka(t)
	a := k.open(t)
	must(t, a, "POST", "/subjects/s/versions", `{"schema":"\"int\""}`, `200 {"version":1,"id":1`)
	must(t, a, "POST", "/subjects/s/versions", `{"schema":"\"long\""}`, `200 {"version":2,"id":2`)
	must(t, a, "POST", "/subjects/gone/versions", `{"schema":"\"double\""}`, `200 {"version":1,"id":3`)
	must(t, a, "DELETE", "/subjects/gone", "", `200 [1]`)
	must(t, a, "DELETE", "/subjects/gone?permanent=true", "", `200 [1]`)
	must(t, a, "DELETE", "/subjects/s/versions/1", "", `200 1`)
	must(t, a, "PUT", "/config/s", `{"compatibility":"FULL"}`, `200`)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}

	configs, err := k.admin(t).DescribeTopicConfigs(t.Context(), k.topic)
	if err != nil {
		t.Fatal(err)
	}
	policy := ""
	for _, c := range configs[0].Configs {
		if c.Key == "cleanup.policy" {
			policy = c.MaybeValue()
		}
	}
	if policy != "compact" {
		t.Errorf("the topic was created with cleanup.policy=%q", policy)
	}

	b := k.open(t)
	must(t, b, "GET", "/subjects?deleted=true", "", `200 ["s"]`)
	must(t, b, "GET", "/subjects/s/versions", "", `200 [2]`)
	must(t, b, "GET", "/subjects/s/versions?deleted=true", "", `200 [1,2]`)
	must(t, b, "GET", "/config/s", "", `200 {"compatibilityLevel":"FULL"}`)
	must(t, b, "POST", "/subjects/t/versions", `{"schema":"\"float\""}`, `200 {"version":1,"id":4`)
}

// TestTopicRefused lists topics in which schemas would get lost or disordered.
func TestTopicRefused(t *testing.T) {
	k := newKafka(t)
	for name, tt := range map[string]struct {
		partitions int32
		policy     string
		want       string
	}{
		"deleted after a time":  {1, "delete", "cleanup.policy=delete"},
		"compacted and deleted": {1, "compact,delete", "cleanup.policy=compact,delete"},
		"two partitions":        {2, "compact", "2 partitions"},
	} {
		t.Run(name, func(t *testing.T) {
			topic := newTopic()
			resp, err := k.admin(t).CreateTopic(t.Context(), tt.partitions, 1, map[string]*string{"cleanup.policy": &tt.policy}, topic)
			if err != nil || resp.Err != nil {
				t.Fatal(err, resp.Err)
			}
			s, err := registry.Open(t.Context(), registry.Config{Brokers: k.brokers, Topic: topic, Addr: "127.0.0.1:0"})
			if err == nil {
				_ = s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), topic) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestOpenErrors checks that a start that fails says why, soon, and leaves
// nothing behind.
func TestOpenErrors(t *testing.T) {
	k := newKafka(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for name, tt := range map[string]struct {
		cfg  registry.Config
		want string
	}{
		"no brokers":     {registry.Config{}, "no Kafka brokers"},
		"no Kafka there": {registry.Config{Brokers: []string{"127.0.0.1:1"}, StartTimeout: time.Second}, "127.0.0.1:1"},
		"taken port":     {registry.Config{Brokers: k.brokers, Topic: k.topic, Addr: taken.Addr().String()}, "choose another address"},
		"unknown level":  {registry.Config{Brokers: []string{"x"}, Compatibility: "SIDEWAYS"}, "SIDEWAYS"},
		"unknown code":   {registry.Config{Brokers: []string{"x"}, IncompatibleCode: 7}, "IncompatibleCode"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.cfg.Logger = slog.New(slog.DiscardHandler)
			_, err := registry.Open(t.Context(), tt.cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestRecordsInKafka reads the topic as any consumer would: other registries
// must understand each record.
func TestRecordsInKafka(t *testing.T) {
	k := newKafka(t)
	s := k.open(t)
	must(t, s, "POST", "/subjects/a%2F%3Cb%3E/versions", `{"schema":"{\"type\":\"int\"}"}`, `200`)
	must(t, s, "PUT", "/config", `{"compatibility":"NONE"}`, `200`)
	must(t, s, "PUT", "/mode/m", `{"mode":"READONLY"}`, `200`)
	must(t, s, "POST", "/subjects/:.x:s/versions", `{"schema":"\"int\""}`, `200`)
	must(t, s, "DELETE", "/subjects/a%2F%3Cb%3E", "", `200`)
	must(t, s, "DELETE", "/subjects/a%2F%3Cb%3E?permanent=true", "", `200`)
	want := []string{
		`{"keytype":"SCHEMA","subject":"a/<b>","version":1,"magic":1} {"subject":"a/<b>","version":1,"id":1,"md5":"71JOobkecxc9k4reNsHbMg==","schemaType":"AVRO","schema":"\"int\"","deleted":false}`,
		`{"keytype":"CONFIG","magic":0} {"compatibilityLevel":"NONE"}`,
		`{"keytype":"MODE","subject":"m","magic":0} {"subject":"m","mode":"READONLY"}`,
		`{"keytype":"CONTEXT","tenant":"default","context":".x","magic":0} {"tenant":"default","context":".x"}`,
		`{"keytype":"SCHEMA","subject":":.x:s","version":1,"magic":1} {"subject":":.x:s","version":1,"id":1,"md5":"71JOobkecxc9k4reNsHbMg==","schemaType":"AVRO","schema":"\"int\"","deleted":false}`,
		`{"keytype":"DELETE_SUBJECT","subject":"a/<b>","magic":0} {"subject":"a/<b>","version":1}`,
		`{"keytype":"NOOP","magic":0} {"maxIds":{".":1,".x":1}}`,
		`{"keytype":"SCHEMA","subject":"a/<b>","version":1,"magic":1} <nil>`,
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(k.brokers...), kgo.ConsumeTopics(k.topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got []string
	for len(got) < len(want) && ctx.Err() == nil {
		c.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			value := "<nil>"
			if r.Value != nil {
				value = string(r.Value)
			}
			got = append(got, string(r.Key)+" "+value)
		})
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestTwoRegistries writes through two registries on one topic at once.
func TestTwoRegistries(t *testing.T) {
	k := newKafka(t)
	a, b := k.open(t), k.open(t)
	must(t, a, "PUT", "/config", `{"compatibility":"NONE"}`, `200`)
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := map[string]string{}
	for i, s := range []*registry.Server{a, b} {
		for w := range 2 {
			wg.Go(func() {
				for n := range 8 {
					schema := fmt.Sprintf(`{\"type\":\"fixed\",\"name\":\"F\",\"size\":%d}`, 1+n+100*i+50*w)
					status, body := call(t, s, "POST", "/subjects/s/versions", `{"schema":"`+schema+`"}`)
					if status != 200 {
						t.Errorf("%d %s", status, body)
						return
					}
					_, id, _ := strings.Cut(body, `"id":`)
					id, _, _ = strings.Cut(id, ",")
					mu.Lock()
					if old, ok := ids[id]; ok {
						t.Errorf("id %s for %s and %s", id, old, schema)
					}
					ids[id] = schema
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	c := k.open(t)
	for id, schema := range ids {
		for _, s := range []*registry.Server{a, b, c} {
			// A registry may be behind another's write for a moment.
			deadline := time.Now().Add(2 * time.Minute)
			for {
				status, body := call(t, s, "GET", "/schemas/ids/"+id, "")
				if status == 200 && strings.Contains(body, schema[strings.Index(schema, `\"size`):]) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("id %s: %d %s, want %s", id, status, body, schema)
				}
			}
		}
	}
	if _, got := call(t, c, "GET", "/subjects/s/versions", ""); strings.Count(got, ",") != 31 {
		t.Errorf("versions %s", got)
	}
}

// TestCloseWithUnusedConnection: a connection on which nobody has asked anything, such
// as clients open in advance, neither holds up a Close nor makes it fail.
func TestCloseWithUnusedConnection(t *testing.T) {
	s := newKafka(t).open(t)
	unused, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unused.Close() }()
	must(t, s, "GET", "/subjects", "", "200") // accepted after it
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
