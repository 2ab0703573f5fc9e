package apply_test

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/apply"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/internal/fakeregistry"
)

// world is a cluster and a registry, with topics of the platform's shape under
// names of the test's own.
type world struct {
	registry *fakeregistry.Server
	admin    *kadm.Client
	config   apply.Config
	log      *bytes.Buffer
}

func setUp(t *testing.T) *world {
	t.Helper()
	w := &world{log: &bytes.Buffer{}}
	brokers := brokertest.Brokers(t)
	answers(t, brokers)
	// Checked after the registry and the client below have ended.
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	w.registry = fakeregistry.New(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	w.admin = kadm.NewClient(client)
	prefix := "t" + uuid.NewString()[:8] + "-"
	var topics []schemas.Topic
	for _, topic := range schemas.Topics() {
		topic.Name = prefix + topic.Name
		topics = append(topics, topic)
	}
	w.config = apply.Config{
		Brokers: brokers, RegistryURL: w.registry.URL, Topics: topics,
		Logger: slog.New(slog.NewTextHandler(w.log, nil)),
	}
	return w
}

// answers returns once the brokers answer; they have started all they start then.
func answers(t *testing.T, brokers []string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (w *world) topics() []schemas.Topic {
	var all []schemas.Topic
	for _, t := range w.config.Topics {
		all = append(append(all, t), t.DeadLetters()...)
	}
	return all
}

func (w *world) configs(t *testing.T, topic string) map[string]string {
	t.Helper()
	described, err := w.admin.DescribeTopicConfigs(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	rc, err := described.On(topic, nil)
	if err != nil || rc.Err != nil {
		t.Fatal(err, rc.Err)
	}
	out := map[string]string{}
	for _, c := range rc.Configs {
		out[c.Key] = c.MaybeValue()
	}
	return out
}

func TestApply(t *testing.T) {
	w := setUp(t)
	ctx := t.Context()
	if err := apply.Apply(ctx, w.config); err != nil {
		t.Fatal(err)
	}
	found, err := w.admin.ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range w.topics() {
		if n := len(found[topic.Name].Partitions); int32(n) != topic.Partitions {
			t.Errorf("%s: %d partitions, want %d", topic.Name, n, topic.Partitions)
		}
		have := w.configs(t, topic.Name)
		for k, v := range topic.Config {
			if have[k] != v {
				t.Errorf("%s: %s is %q, want %q", topic.Name, k, have[k], v)
			}
		}
	}
	levels := map[string]string{}
	for _, topic := range w.config.Topics {
		for _, subject := range topic.SubjectNames() {
			levels[subject] = topic.Compatibility
		}
	}
	if diff := cmp.Diff(levels, w.registry.Levels); diff != "" {
		t.Errorf("levels (-want +got):\n%s", diff)
	}

	w.log.Reset()
	w.registry.Reset()
	if err := apply.Apply(ctx, w.config); err != nil {
		t.Errorf("again: %v", err)
	}
	if w.log.Len() > 0 {
		t.Errorf("again changed:\n%s", w.log)
	}
	for request := range w.registry.Requests {
		if strings.HasPrefix(request, "PUT") || strings.HasSuffix(request, "/versions") {
			t.Errorf("again sent %s", request)
		}
	}
}

func TestRepairs(t *testing.T) {
	w := setUp(t)
	ctx := t.Context()
	orders := w.config.Topics[0]
	policy := "compact"
	if _, err := w.admin.CreateTopic(ctx, orders.Partitions, -1, map[string]*string{"cleanup.policy": &policy}, orders.Name); err != nil {
		t.Fatal(err)
	}
	subject := orders.SubjectNames()[0]
	w.registry.Levels[subject] = "NONE"
	err := apply.Apply(ctx, w.config)
	if got := w.registry.Levels[subject]; got != schemas.FullTransitive {
		t.Errorf("level is %q", got)
	}
	if !strings.Contains(w.log.String(), "was=NONE") {
		t.Errorf("the log does not tell the old level:\n%s", w.log)
	}
	if !w.altersConfigs(t) {
		if err == nil || !strings.Contains(err.Error(), `cleanup.policy is "compact", declared is "delete"`) {
			t.Errorf("a cluster that cannot change a configuration: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := w.configs(t, orders.Name)["cleanup.policy"]; got != "delete" {
		t.Errorf("cleanup.policy is %q", got)
	}
	if !strings.Contains(w.log.String(), "was=compact") {
		t.Errorf("the log does not tell the old configuration:\n%s", w.log)
	}
}

// altersConfigs reports whether the cluster has IncrementalAlterConfigs.
func (w *world) altersConfigs(t *testing.T) bool {
	t.Helper()
	versions, err := w.admin.ApiVersions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range versions {
		if _, ok := v.KeyMaxVersion(kmsg.IncrementalAlterConfigs.Int16()); ok {
			return true
		}
	}
	return false
}

func TestDifferences(t *testing.T) {
	w := setUp(t)
	ctx := t.Context()
	orders, logs := w.config.Topics[0], w.config.Topics[4]
	if _, err := w.admin.CreateTopic(ctx, 1, -1, nil, orders.Name); err != nil {
		t.Fatal(err)
	}
	own, _ := events.Schema("quokka.logs.v1.LogLine")
	w.registry.Add(logs.Subject(""), "AVRO", strings.Replace(own.String(), `"name":"message","type":"string"`, `"name":"message","type":"int"`, 1))
	w.registry.Refuse = func(subject, _ string) string {
		if subject == logs.Subject("") {
			return "incompatible, says the registry"
		}
		return ""
	}
	err := apply.Apply(ctx, w.config)
	var de *apply.DifferencesError
	if !errors.As(err, &de) || len(de.Differences) != 2 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		"topic " + orders.Name + ": has 1 partitions, declared are 6",
		"subject " + logs.Subject("") + ": refuses the schema", "version 1, field message: the new schema cannot read old data",
		"written as int, read as string", "incompatible, says the registry",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	found, err := w.admin.ListTopics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for name := range maps.Keys(found) {
		have[name] = true
	}
	for _, topic := range w.topics() {
		if !have[topic.Name] {
			t.Errorf("one difference kept %s from being created", topic.Name)
		}
	}
}

func TestUnreachable(t *testing.T) {
	w := setUp(t)
	noRegistry := w.config
	noRegistry.RegistryURL = "http://127.0.0.1:1"
	if err := apply.Apply(t.Context(), noRegistry); err == nil || !strings.Contains(err.Error(), "no answer from http://127.0.0.1:1") {
		t.Errorf("registry: %v", err)
	}
	noKafka := w.config
	noKafka.Brokers = []string{"127.0.0.1:1"}
	noKafka.ClientOpts = []kgo.Opt{kgo.RetryTimeout(10 * time.Millisecond)}
	if err := apply.Apply(t.Context(), noKafka); err == nil || !strings.Contains(err.Error(), "brokers 127.0.0.1:1") {
		t.Errorf("kafka: %v", err)
	}
	none := w.config
	none.Brokers = nil
	if err := apply.Apply(t.Context(), none); err == nil || !strings.Contains(err.Error(), "no Kafka brokers") {
		t.Errorf("none: %v", err)
	}
}
