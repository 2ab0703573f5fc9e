package broker_test

import (
	"context"
	"net/http/httptest"
	"regexp"
	"slices"
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
	for deadline := time.Now().Add(2 * time.Minute); page == nil || !strings.Contains(page.Body.String(), produced) && time.Now().Before(deadline); {
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

// exporters are the families of kminion and kafka_exporter that dashboards ask for,
// with all of their labels, in the order of the alphabet.
var exporters = map[string]string{
	"kminion_exporter_up":                                    "version",
	"kminion_kafka_cluster_info":                             "broker_count cluster_id cluster_version controller_id",
	"kminion_kafka_broker_info":                              "address broker_id is_controller port rack_id",
	"kminion_kafka_broker_log_dir_size_total_bytes":          "address broker_id port rack_id",
	"kminion_kafka_topic_info":                               "cleanup_policy partition_count replication_factor topic_name",
	"kminion_kafka_topic_log_dir_size_total_bytes":           "topic_name",
	"kminion_kafka_topic_high_water_mark_sum":                "topic_name",
	"kminion_kafka_topic_low_water_mark_sum":                 "topic_name",
	"kminion_kafka_topic_partition_high_water_mark":          "partition_id topic_name",
	"kminion_kafka_topic_partition_low_water_mark":           "partition_id topic_name",
	"kminion_kafka_consumer_group_info":                      "coordinator_id group_id member_count protocol protocol_type state",
	"kminion_kafka_consumer_group_members":                   "group_id",
	"kminion_kafka_consumer_group_empty_members":             "group_id",
	"kminion_kafka_consumer_group_topic_members":             "group_id topic_name",
	"kminion_kafka_consumer_group_topic_assigned_partitions": "group_id topic_name",
	"kminion_kafka_consumer_group_offset_commits_total":      "group_id",
	"kminion_kafka_consumer_group_topic_offset_sum":          "group_id topic_name",
	"kminion_kafka_consumer_group_topic_lag":                 "group_id topic_name",
	"kminion_kafka_consumer_group_topic_partition_lag":       "group_id partition_id topic_name",
	"kafka_brokers":                                    "",
	"kafka_broker_info":                                "address id",
	"kafka_topic_partitions":                           "topic",
	"kafka_topic_partition_current_offset":             "partition topic",
	"kafka_topic_partition_oldest_offset":              "partition topic",
	"kafka_topic_partition_leader":                     "partition topic",
	"kafka_topic_partition_replicas":                   "partition topic",
	"kafka_topic_partition_in_sync_replica":            "partition topic",
	"kafka_topic_partition_leader_is_preferred":        "partition topic",
	"kafka_topic_partition_under_replicated_partition": "partition topic",
	"kafka_consumergroup_members":                      "consumergroup",
	"kafka_consumergroup_current_offset":               "consumergroup partition topic",
	"kafka_consumergroup_current_offset_sum":           "consumergroup topic",
	"kafka_consumergroup_lag":                          "consumergroup partition topic",
	"kafka_consumergroup_lag_sum":                      "consumergroup topic",
}

// TestExporterNames: what dashboards for kminion and kafka_exporter ask for is there,
// of classic and of new groups; a group's info is 1 only while it is stable, and
// fetches that wait are counted.
func TestExporterNames(t *testing.T) {
	b := brokertest.Start(t)
	for before, protocol := range []string{"classic", "consumer"} {
		ctx := t.Context()
		if protocol == "consumer" {
			ctx = context.WithValue(ctx, "opt_in_kafka_next_gen_balancer_beta", true) //nolint:staticcheck // the client asks for this key
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.AllowAutoTopicCreation(), kgo.WithContext(ctx),
			kgo.ConsumerGroup(protocol), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("v")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		// A client that has records which nobody polled does not fetch.
		var records []*kgo.Record
		for len(records) < before+1 {
			fetches := client.PollFetches(t.Context())
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
			records = append(records, fetches.Records()...)
		}
		if err := client.CommitRecords(t.Context(), records...); err != nil {
			t.Fatal(err)
		}
		expect := func(sample string) {
			t.Helper()
			want := regexp.MustCompile("(?m)^" + sample + "$")
			for deadline := time.Now().Add(2 * time.Minute); !want.MatchString(metricsPage(b)); {
				if time.Now().After(deadline) {
					t.Fatalf("no %s in\n%s", sample, metricsPage(b))
				}
			}
		}
		expect(`kminion_kafka_consumer_group_info\{group_id="` + protocol + `",member_count="1",protocol="[a-z-]+",protocol_type="consumer",state="Stable",coordinator_id="1"\} 1`)
		expect(`kminion_kafka_consumer_group_topic_assigned_partitions\{group_id="` + protocol + `",topic_name="t"\} 1`)
		expect(`kminion_kafka_consumer_group_topic_members\{group_id="` + protocol + `",topic_name="t"\} 1`)
		expect(`kminion_kafka_consumer_group_empty_members\{group_id="` + protocol + `"\} 0`)
		expect(`kminion_kafka_consumer_group_offset_commits_total\{group_id="` + protocol + `"\} 1`)
		expect(`kafka_server_delayed_operation_purgatory_size\{delayed_operation="Fetch"\} [1-9]`)
		expect(`kafka_server_delayed_operation_purgatory_size\{delayed_operation="Produce"\} 0`)
		expect(`kafka_server_delayed_operation_purgatory_size\{delayed_operation="Rebalance"\} 0`)
		page := metricsPage(b)
		label := regexp.MustCompile(`([a-z_]+)="`)
		for name, labels := range exporters {
			sample := regexp.MustCompile(`(?m)^` + name + `(?:\{(.*)\})? `).FindStringSubmatch(page)
			if sample == nil {
				t.Errorf("%s is missing", name)
				continue
			}
			var got []string
			for _, m := range label.FindAllStringSubmatch(sample[1], -1) {
				got = append(got, m[1])
			}
			if slices.Sort(got); strings.Join(got, " ") != labels {
				t.Errorf("%s has the labels %v, not %s", name, got, labels)
			}
		}
		client.Close()
		expect(`kminion_kafka_consumer_group_info\{group_id="` + protocol + `",member_count="0",.*state="Empty",coordinator_id="1"\} 0`)
	}
}

// metricsPage is what a scrape of the broker gets.
func metricsPage(b *brokertest.Broker) string { return pageOf(b.Unwrap()) }

func pageOf(b *broker.Broker) string {
	page := httptest.NewRecorder()
	b.Metrics().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	return page.Body.String()
}
