package broker_test

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/broker/brokertest"
)

// TestMetrics: the page is well-formed, with the samples of a family together,
// and tells requests, offsets and what durability cost.
func TestMetrics(t *testing.T) {
	b := brokertest.Start(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 3 {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "metered", Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	// A request is counted once its answer is on its way, which the client may see first.
	const produced = `kafka_network_request_duration_seconds_count{request="Produce"} 3` + "\n"
	var page *httptest.ResponseRecorder
	for deadline := time.Now().Add(10 * time.Second); page == nil || !strings.Contains(page.Body.String(), produced) && time.Now().Before(deadline); {
		page = httptest.NewRecorder()
		b.Unwrap().Metrics().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	}

	sample := regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)*\})? [^ ]+$`)
	seen, family, helped := map[string]bool{}, "", ""
	for line := range strings.Lines(page.Body.String()) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "# HELP "); ok {
			var text string
			if helped, text, _ = strings.Cut(name, " "); text == "" {
				t.Errorf("nothing says what %s is", helped)
			}
			continue
		}
		if typed, ok := strings.CutPrefix(line, "# TYPE "); ok {
			family, _, _ = strings.Cut(typed, " ")
			if seen[family] {
				t.Errorf("the samples of %s are not together", family)
			}
			seen[family] = true
			if helped != family {
				t.Errorf("no HELP before %s", family)
			}
			continue
		}
		if m := sample.FindStringSubmatch(line); m == nil || !strings.HasPrefix(m[1], family) {
			t.Errorf("in family %s: %q", family, line)
		}
	}
	for _, want := range []string{
		`kafka_topic_partition_current_offset\{topic="metered",partition="0"\} 3\n`,
		`kafka_network_request_duration_seconds_count\{request="Produce"\} 3\n`,
		`quokka_broker_commit_rounds_total [1-9]`, `quokka_broker_syncs_total [1-9]`, `quokka_broker_sync_seconds_total [^0]|0\.`,
	} {
		if !regexp.MustCompile(want).MatchString(page.Body.String()) {
			t.Errorf("no %s in\n%s", want, page.Body)
		}
	}
}

// metricsPage is what a scrape of the broker gets.
func metricsPage(b *brokertest.Broker) string { return pageOf(b.Unwrap()) }

func pageOf(b *broker.Broker) string {
	page := httptest.NewRecorder()
	b.Metrics().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	return page.Body.String()
}
