package monitoring

// OutboxCDC shows what leaves PostgreSQL: events by the outbox, rows by change
// data capture.
var OutboxCDC = Dashboard{
	UID: "quokka-outbox-cdc", Title: "Quokka: outbox and CDC",
	Rows: []Row{
		{"Outbox", []Panel{
			{Title: "Events published", Unit: "reqps", Queries: []Query{
				{`sum by (part, topic) (rate(outbox_published_total[` + rate + `]))`, "{{part}} {{topic}}"},
			}},
			{Title: "Oldest event waiting", Why: "Events wait for the broker, or for a transaction that began before theirs.", Unit: "s", Queries: []Query{
				{`max by (part) (outbox_lag_seconds)`, "{{part}}"},
			}},
			{Title: "Events waiting", Unit: "short", Queries: []Query{{`max by (part) (outbox_pending_rows)`, "{{part}}"}}},
		}},
		{"Outbox: relays", []Panel{
			{Title: "Relays at work", Why: "One for each database; others stand by.", Unit: "short", Queries: []Query{{`sum by (part) (outbox_leader)`, "{{part}}"}}},
			{Title: "Failures and redeliveries", Unit: "short", Queries: []Query{
				{`increase(outbox_errors_total[` + rate + `])`, "{{part}} failures"},
				{`increase(outbox_redelivered_total[` + rate + `])`, "{{part}} sent again"},
			}},
			{Title: "Tables emptied", Unit: "short", Queries: []Query{{`increase(outbox_rotations_total[` + rate + `])`, "{{part}}"}}},
		}},
		{"Change data capture", []Panel{
			{Title: "Rows captured", Unit: "reqps", Queries: []Query{
				{`sum by (table, op) (rate(quokka_cdc_rows_total[` + rate + `]))`, "{{table}} {{op}}"},
			}},
			{Title: "Log kept for the slots", Why: "PostgreSQL keeps it on its disk until it is confirmed, up to max_slot_wal_keep_size; beyond that the slot is lost.", Unit: "bytes", Queries: []Query{
				{`quokka_cdc_slot_lag_bytes`, "{{source}}"},
			}},
			{Title: "Oldest transaction not acknowledged", Unit: "s", Queries: []Query{{`quokka_cdc_slot_lag_seconds`, "{{source}}"}}},
		}},
		{"Change data capture: sources", []Panel{
			{Title: "State", Unit: "short", Queries: []Query{{`quokka_cdc_state == 1`, "{{source}} {{state}}"}}},
			{Title: "Tables stopped", Unit: "short", Queries: []Query{{`quokka_cdc_table_stopped == 1`, "{{source}} {{table}}"}}},
			{Title: "Errors", Unit: "short", Queries: []Query{
				{`sum by (source, kind) (increase(quokka_cdc_errors_total[` + rate + `]))`, "{{source}} {{kind}}"},
			}},
			{Title: "Bytes of open transactions", Unit: "bytes", Queries: []Query{{`quokka_cdc_buffered_bytes`, "{{source}}"}}},
		}},
	},
}
