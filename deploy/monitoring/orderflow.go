package monitoring

// OrderFlow follows orders from the request to the mail and the index.
var OrderFlow = Dashboard{
	UID: "quokka-order-flow", Title: "Quokka: order flow",
	Rows: []Row{
		{"Now", []Panel{
			{Title: "Orders accepted", Unit: "reqps", Number: true, Queries: []Query{
				{`sum(rate(quokka_orders_total{status="pending"}[` + rate + `]))`, "accepted"},
			}},
			{Title: "Settle time, p99", Unit: "s", Number: true, Queries: []Query{
				{`histogram_quantile(0.99, sum by (le) (rate(quokka_order_settle_seconds_bucket[` + rate + `])))`, "p99"},
			}},
			{Title: "Oldest event not handled", Unit: "s", Number: true, Queries: []Query{
				{`max(quokka_consumer_lag_seconds)`, "age"},
			}},
			{Title: "Dead letters, last hour", Unit: "short", Number: true, Queries: []Query{
				{`sum(increase(quokka_consumer_records_total{outcome="dead_lettered"}[1h])) or vector(0)`, "dead letters"},
			}},
		}},
		{"Orders", []Panel{
			{Title: "Orders by outcome", Why: "Accepted orders and what became of them. Accepted and the sum of the others move together, seconds apart.", Unit: "reqps", Queries: []Query{
				{`sum by (status) (rate(quokka_orders_total[` + rate + `]))`, "{{status}}"},
			}},
			{Title: "Settle time", Why: "From accepting an order to confirming or rejecting it. The dots are traces.", Unit: "s",
				Queries: quantiles("quokka_order_settle_seconds_bucket", "status", "{{status}}")},
		}},
		{"HTTP", []Panel{
			{Title: "Requests", Unit: "reqps", Queries: []Query{
				{`sum by (http_route, http_response_status_code) (rate(http_server_request_duration_seconds_count[` + rate + `]))`, "{{http_route}} {{http_response_status_code}}"},
			}},
			{Title: "Duration", Unit: "s", Queries: quantiles("http_server_request_duration_seconds_bucket", "http_route", "{{http_route}}")},
		}},
		{"Consumers", []Panel{
			{Title: "Records by outcome", Why: "duplicate: seen before, changed nothing. retried: will be tried again. dead_lettered: given up.", Unit: "reqps", Queries: []Query{
				{`sum by (group, outcome) (rate(quokka_consumer_records_total[` + rate + `]))`, "{{group}} {{outcome}}"},
			}},
			{Title: "Time to handle a record", Unit: "s", Queries: quantiles("messaging_process_duration_seconds_bucket", "group", "{{group}}")},
			{Title: "Keys that wait to be tried again", Why: "A failing key parks only itself.", Unit: "short", Queries: []Query{
				{`sum by (group) (quokka_consumer_parked_keys)`, "{{group}}"},
			}},
		}},
		{"Processes", []Panel{
			{Title: "Memory", Unit: "bytes", Queries: []Query{{`process_resident_memory_bytes{job="quokka"}`, "{{part}}"}}},
			{Title: "CPU", Unit: "percentunit", Queries: []Query{{`rate(process_cpu_seconds_total{job="quokka"}[` + rate + `])`, "{{part}}"}}},
			{Title: "Log lines sent to logs.v1", Unit: "reqps", Queries: []Query{
				{`sum by (part) (rate(quokka_log_lines_shipped_total[` + rate + `]))`, "{{part}}"},
			}},
		}},
	},
}
