package monitoring

// Kafka shows topics, groups and the broker. The figures of the cluster are
// under kminion's names, which the embedded broker serves itself: behind Apache
// Kafka, run kminion beside it.
var Kafka = Dashboard{
	UID: "quokka-kafka", Title: "Quokka: Kafka",
	Rows: []Row{
		{"Topics", []Panel{
			{Title: "Records written", Unit: "reqps", Queries: []Query{
				{`sum by (topic_name) (rate(kminion_kafka_topic_high_water_mark_sum[` + rate + `]))`, "{{topic_name}}"},
			}},
			{Title: "Size", Unit: "bytes", Queries: []Query{
				{`kminion_kafka_topic_log_dir_size_total_bytes`, "{{topic_name}}"},
			}},
			{Title: "Dead letters", Why: "Records that a group gave up, in all: `quokka dlq show` tells why.", Unit: "short", Queries: []Query{
				{`kminion_kafka_topic_high_water_mark_sum{topic_name=~".+[.]dlq"} > 0`, "{{topic_name}}"},
			}},
		}},
		{"Consumer groups", []Panel{
			{Title: "Lag in records", Unit: "short", Queries: []Query{
				{`sum by (group_id, topic_name) (kminion_kafka_consumer_group_topic_lag)`, "{{group_id}} {{topic_name}}"},
			}},
			{Title: "Lag in seconds", Why: "Age of the oldest record that a group has fetched and not handled.", Unit: "s", Queries: []Query{
				{`max by (group, topic) (quokka_consumer_lag_seconds)`, "{{group}} {{topic}}"},
			}},
			{Title: "Members and rebalances", Unit: "short", Queries: []Query{
				{`kminion_kafka_consumer_group_members`, "{{group_id}} members"},
				{`sum by (group, kind) (increase(quokka_consumer_rebalances_total[` + rate + `]))`, "{{group}} {{kind}}"},
			}},
		}},
		{"Clients", []Panel{
			{Title: "Records sent", Unit: "reqps", Queries: []Query{
				{`sum by (topic) (rate(outbox_published_total[` + rate + `]))`, "{{topic}}"},
			}},
			{Title: "Records received", Unit: "reqps", Queries: []Query{
				{`sum by (messaging_destination_name) (rate(messaging_client_consumed_messages_total[` + rate + `]))`, "{{messaging_destination_name}}"},
			}},
			{Title: "Commits that failed", Unit: "short", Queries: []Query{
				{`sum by (group) (increase(quokka_consumer_commit_errors_total[` + rate + `]))`, "{{group}}"},
			}},
		}},
		{"The embedded broker", []Panel{
			{Title: "Requests", Unit: "reqps", Queries: []Query{
				{`sum by (request) (rate(kafka_network_request_duration_seconds_count[` + rate + `]))`, "{{request}}"},
			}},
			{Title: "Time to answer a Produce", Why: "Under the flush policy group it includes the sync to the disk.", Unit: "s", Queries: []Query{
				{`histogram_quantile(0.5, sum by (le) (rate(kafka_network_request_duration_seconds_bucket{request="Produce"}[` + rate + `])))`, "p50"},
				{`histogram_quantile(0.99, sum by (le) (rate(kafka_network_request_duration_seconds_bucket{request="Produce"}[` + rate + `])))`, "p99"},
			}},
			{Title: "Time of a sync", Unit: "s", Queries: []Query{
				{`rate(quokka_broker_sync_seconds_total[` + rate + `]) / rate(quokka_broker_syncs_total[` + rate + `])`, "mean"},
			}},
			{Title: "Bytes", Unit: "Bps", Queries: []Query{
				{`sum(rate(kafka_server_request_bytes_total[` + rate + `]))`, "in"},
				{`sum(rate(kafka_server_response_bytes_total[` + rate + `]))`, "out"},
			}},
		}},
		{"The schema registry", []Panel{
			{Title: "Requests", Unit: "reqps", Queries: []Query{
				{`sum by (endpoint, status) (rate(quokka_registry_requests_total[` + rate + `]))`, "{{endpoint}} {{status}}"},
			}},
			{Title: "Duration", Unit: "s", Queries: quantiles("quokka_registry_request_seconds_bucket", "endpoint", "{{endpoint}}")},
		}},
	},
}
