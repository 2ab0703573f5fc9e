package e2e

import (
	"net/smtp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/schemas"
)

// TestVerifySeesDamage plants damage in each place that the checker reads, in a
// platform that was whole, and sees verify name it. Rules are tested with the
// checker; this is that the facts reach them from the real places.
func TestVerifySeesDamage(t *testing.T) {
	dir := dataDir(t)
	demo(t, dir, "--orders", "40")
	p, at := up(t, dir)
	quokka(t, 0, "verify", "--data-dir", dir, "--wait", "4m")

	var order, event string
	row(t, at, "quokka_order", &order, "select order_id::text from orders where status = 'confirmed' order by order_id limit 1")
	row(t, at, "quokka_order", &event, "select event_id::text from order_events where order_id = '"+order+"' and version = 1")

	for _, damage := range []struct {
		name       string
		plant, fix func()
		want       string
	}{
		{"stock row", sql(t, at, "quokka_inventory", "update stock set available = available - 1 where sku = 'QK-0001'"),
			sql(t, at, "quokka_inventory", "update stock set available = available + 1 where sku = 'QK-0001'"),
			"stock not conserved: sku QK-0001"},
		{"order status", sql(t, at, "quokka_order", "update orders set status = 'pending' where order_id = '"+order+"'"),
			sql(t, at, "quokka_order", "update orders set status = 'confirmed' where order_id = '"+order+"'"),
			"lost: order " + order + ": still pending"},
		{"reservation", sql(t, at, "quokka_inventory", "update reservations set status = 'released' where order_id = '"+order+"'"),
			sql(t, at, "quokka_inventory", "update reservations set status = 'reserved' where order_id = '"+order+"'"),
			"lost: order " + order + ": confirmed, but inventory's reservation is: released"},
		{"an event that was never published", sql(t, at, "quokka_order", "insert into order_events (order_id, version, type, event_id, occurred_at) values ('"+order+"', 9, 'quokka.order.v1.OrderCancelled', '01a20ab2-c591-7d8b-8d33-000000000000', now())"),
			sql(t, at, "quokka_order", "delete from order_events where order_id = '"+order+"' and version = 9"),
			"lost: order " + order + ": OrderCancelled, version 9, event 01a20ab2-c591-7d8b-8d33-000000000000, is missing on orders.v1"},
		{"inbox order", sql(t, at, "quokka_inventory", "update inbox set record_offset = record_offset + 1000000 where event_id = '"+event+"'"),
			sql(t, at, "quokka_inventory", "update inbox set record_offset = record_offset - 1000000 where event_id = '"+event+"'"),
			"order inversion: order "},
		{"a document that differs from its row", sql(t, at, "quokka_inventory", "alter publication quokka_cdc drop table products; update products set name = name || ' (changed)' where sku = 'QK-0002'"),
			sql(t, at, "quokka_inventory", "alter publication quokka_cdc add table products; update products set name = replace(name, ' (changed)', '') where sku = 'QK-0002'"),
			"index stale: products QK-0002: name is"},
	} {
		t.Run(damage.name, func(t *testing.T) {
			damage.plant()
			if out := quokka(t, 1, "verify", "--data-dir", dir, "--wait", "1s"); !strings.Contains(out, damage.want) {
				t.Errorf("%q is not in:\n%s", damage.want, out)
			}
			damage.fix()
			quokka(t, 0, "verify", "--data-dir", dir, "--wait", "4m")
		})
	}

	// What cannot be taken back comes last.
	mail := "From: orders@quokka.local\r\nTo: ada@example.test\r\nMessage-ID: <another@quokka.local>\r\nX-Quokka-Order: " + order + "\r\n\r\nagain\r\n"
	if err := smtp.SendMail(at.SMTP, nil, "orders@quokka.local", []string{"ada@example.test"}, []byte(mail)); err != nil {
		t.Fatal(err)
	}
	produce(t, at, &kgo.Record{
		Topic: schemas.DeadLetter(schemas.TopicOrders, schemas.GroupInventory).Name, Key: []byte("k"), Value: []byte("v"),
		Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(event)}, {Key: "__dlq.errors.message", Value: []byte("planted")}},
	})
	out := quokka(t, 1, "verify", "--data-dir", dir, "--wait", "1s")
	for _, want := range []string{
		"✗ lost 1 · duplicate effects 1 · order inversions 0 · stock conserved",
		"duplicate effect: order " + order + ": a mail with Message-ID another@quokka.local",
		"lost: order " + order + ": event " + event + " dead-lettered to orders.v1.inventory.dlq: planted",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
	stop(t, p, dir)
}

// sql returns a func that runs statements in one of the platform's databases.
func sql(t *testing.T, at platform.Running, database, statements string) func() {
	return func() {
		t.Helper()
		conn := connect(t, at, database)
		defer conn.Close(t.Context())
		if _, err := conn.Exec(t.Context(), statements); err != nil {
			t.Fatal(err)
		}
	}
}

// row reads one value.
func row(t *testing.T, at platform.Running, database string, into *string, query string) {
	t.Helper()
	conn := connect(t, at, database)
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), query).Scan(into); err != nil {
		t.Fatal(err)
	}
}

func connect(t *testing.T, at platform.Running, database string) *pgx.Conn {
	t.Helper()
	cfg, err := pgx.ParseConfig(at.PostgresURL)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Database = database
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func produce(t *testing.T, at platform.Running, records ...*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(at.Kafka...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}
