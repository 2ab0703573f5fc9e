package checker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// world builds the facts of a platform that kept its promises.
type world struct {
	Facts
	offset   map[int32]int64
	sequence int64
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// healthy has one order of each fate, a customer with two orders, an event
// that its relay published again after a restart, and a mail delivered twice.
func healthy() *world {
	w := &world{offset: map[int32]int64{}}
	w.Stock = []StockRow{{"apple", 10, 13}, {"pear", 4, 3}}
	w.Movements = []Movement{{1, "", "apple", "initial", 10}, {2, "", "pear", "initial", 4}, {3, "", "apple", "restock", 5}}

	w.order("yes", "ada", 1, "confirmed", Line{"apple", 2}, Line{"pear", 1})
	w.order("no", "ada", 1, "rejected", Line{"apple", 1000})
	w.order("late", "bob", 2, "cancelled after confirmed", Line{"pear", 2})
	w.order("early", "bob", 2, "cancelled at once", Line{"apple", 3})

	w.Events = append(w.Events, w.republished(w.Events[0]), w.republished(w.Events[1]))
	w.Mails = append(w.Mails, w.Mails[0])
	w.Lags = []Lag{{"inventory", "orders.v1", 1, 0}}
	w.Documents = []Document{{"orders", "yes", map[string]string{"status": "confirmed"}, map[string]string{"status": "confirmed", "more": "x"}}}
	w.Indexed = []IndexTotal{{"orders", 4, 4}}
	return w
}

// order adds an order with all its traces on the platform.
func (w *world) order(id, customer string, partition int32, fate string, lines ...Line) {
	key := "key-" + id
	w.Sent = append(w.Sent, Sent{customer, key}, Sent{customer, key})
	w.Accepted = append(w.Accepted, Accepted{id, customer, key})
	w.Keys = append(w.Keys, IdempotencyKey{key, customer, id})
	types := []string{Placed}
	var stock, status, reservation string
	switch fate {
	case "confirmed":
		types, stock, status, reservation = append(types, Confirmed), StockReserved, "confirmed", "reserved"
	case "rejected":
		types, stock, status, reservation = append(types, Rejected), StockRejected, "rejected", "rejected"
	case "cancelled after confirmed":
		types, stock, status, reservation = append(types, Confirmed, Cancelled), StockReserved, "cancelled", "released"
	case "cancelled at once":
		types, status, reservation = append(types, Cancelled), "cancelled", "cancelled"
	}
	for i, eventType := range types {
		w.event(partition, id, customer, eventType, int32(i+1), lines)
	}
	w.Orders = append(w.Orders, Order{id, customer, status, int32(len(types))})
	w.Reservations = append(w.Reservations, Reservation{id, reservation})
	stockEvent := func(eventType string) {
		w.StockEvents = append(w.StockEvents, Event{
			Topic: "inventory.v1", Partition: partition, Offset: int64(len(w.StockEvents)), Key: customer,
			ID: id + "-" + short(eventType), Type: eventType, OrderID: id, CustomerID: customer, Lines: lines,
		})
	}
	move := func(kind string, sign int64) {
		for _, line := range lines {
			w.Movements = append(w.Movements, Movement{int64(len(w.Movements) + 1), id, line.SKU, kind, sign * line.Quantity})
		}
	}
	if stock != "" {
		stockEvent(stock)
	}
	if stock == StockReserved {
		move("reserve", -1)
	}
	if status == "cancelled" {
		stockEvent(StockReleased)
		if stock == StockReserved {
			move("release", 1)
		}
	}
}

// event adds an event of orders.v1 with its history row, inbox row and mail.
func (w *world) event(partition int32, id, customer, eventType string, version int32, lines []Line) {
	e := Event{
		Topic: "orders.v1", Partition: partition, Offset: w.offset[partition], Key: customer,
		ID: fmt.Sprintf("%s-%d", id, version), Type: eventType, OrderID: id, CustomerID: customer, Version: version, OccurredAt: start,
	}
	if eventType == Placed {
		e.Lines = lines
	}
	w.offset[partition]++
	w.sequence++
	w.Events = append(w.Events, e)
	w.History = append(w.History, HistoryRow{id, version, eventType, e.ID})
	w.Inbox = append(w.Inbox, InboxRow{"inventory", e.ID, e.Topic, partition, e.Offset, customer, w.sequence})
	w.Mails = append(w.Mails, Mail{MessageID: e.ID + mailDomain})
}

// republished is e at the end of its partition once more.
func (w *world) republished(e Event) Event {
	e.Offset = w.offset[e.Partition]
	w.offset[e.Partition]++
	return e
}

func (w *world) eventOf(order string, version int32) *Event {
	return &w.Events[slices.IndexFunc(w.Events, func(e Event) bool { return e.OrderID == order && e.Version == version })]
}

func (w *world) orderRow(id string) *Order {
	return &w.Orders[slices.IndexFunc(w.Orders, func(o Order) bool { return o.ID == id })]
}

func TestHealthyPlatform(t *testing.T) {
	v := Check(healthy().Facts)
	if !v.OK() {
		t.Errorf("violations on a healthy platform: %v", v.Violations)
	}
	if v.MailRedeliveries != 1 {
		t.Errorf("%d mail redeliveries, want 1", v.MailRedeliveries)
	}
	if want := "lost 0 · duplicate effects 0 · order inversions 0 · stock conserved"; v.Line() != want {
		t.Errorf("line %q, want %q", v.Line(), want)
	}
}

// TestPlantedDamage: each kind of damage, alone, is seen and named, and nothing
// else is accused of it.
func TestPlantedDamage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(*world)
		want   []string // "invariant: subject: …detail…", each violation matched by one
	}{
		// lost
		{"accepted order without row and events", func(w *world) {
			w.Accepted = append(w.Accepted, Accepted{"ghost", "ada", "key-ghost"})
		}, []string{"lost: order ghost: not in the table orders"}},
		{"row gone", func(w *world) {
			w.Orders = slices.DeleteFunc(w.Orders, func(o Order) bool { return o.ID == "no" })
		}, []string{"lost: order no: accepted, but not in the table"}},
		{"topic knows an order that nobody else does", func(w *world) {
			w.Events = append(w.Events, Event{Partition: 5, ID: "x", Type: Placed, OrderID: "stray", Version: 1})
			w.Mails = append(w.Mails, Mail{MessageID: "x" + mailDomain})
		}, []string{"lost: order stray: on orders.v1, but not in the table"}},
		{"still pending", func(w *world) {
			w.order("slow", "ada", 1, "pending", Line{"apple", 1})
			w.orderRow("slow").Status = "pending"
			w.Reservations = w.Reservations[:4]
			w.Indexed = nil
		}, []string{"lost: order slow: still pending; inventory's reservation: none"}},
		{"unknown state", func(w *world) { w.orderRow("yes").Status = "shipped" }, []string{`lost: order yes: unknown state "shipped"`}},
		{"confirmed but released", func(w *world) { w.Reservations[0].Status = "released" }, []string{"lost: order yes: confirmed, but inventory's reservation is: released"}},
		{"cancelled but still reserved", func(w *world) { w.Reservations[2].Status = "reserved" }, []string{"lost: order late: cancelled, but inventory's reservation is: reserved"}},
		{"rejected without inventory's row", func(w *world) { w.Reservations = slices.Delete(w.Reservations, 1, 2) }, []string{"lost: order no: rejected, but inventory's reservation is: none"}},
		{"an order's events all gone from the topic", func(w *world) {
			w.Events = slices.DeleteFunc(w.Events, func(e Event) bool { return e.OrderID == "no" })
		}, []string{"lost: order no: missing on orders.v1"}},
		{"last event gone from the topic", func(w *world) {
			w.Events = slices.DeleteFunc(w.Events, func(e Event) bool { return e.ID == "late-3" })
			// The mail of an event that existed is no duplicate of another.
			w.Mails[slices.IndexFunc(w.Mails, func(m Mail) bool { return m.MessageID == "late-3"+mailDomain })].OrderID = "late"
		}, []string{"lost: order late: confirmed at version 2 by orders.v1"}},
		{"first event gone from the topic", func(w *world) {
			w.Events = slices.DeleteFunc(w.Events, func(e Event) bool { return e.ID == "no-1" })
		}, []string{"lost: order no: OrderPlaced is missing on orders.v1"}},
		{"event without mail", func(w *world) {
			w.Mails = slices.DeleteFunc(w.Mails, func(m Mail) bool { return m.MessageID == "no-2"+mailDomain })
		}, []string{"lost: order no: no mail for OrderRejected (event no-2)"}},
		{"dead letter with order", func(w *world) {
			w.DeadLetters = []DeadLetter{{Topic: "orders.v1.inventory.dlq", EventID: "yes-1", Reason: "boom"}}
		}, []string{"lost: order yes: dead-lettered to orders.v1.inventory.dlq: boom"}},
		{"dead letter whose replay is under way", func(w *world) {
			w.DeadLetters = []DeadLetter{{Topic: "orders.v1.inventory.dlq", EventID: "yes-1", Reason: "boom", Waiting: true}}
		}, []string{"lost: order yes: dead-lettered to orders.v1.inventory.dlq: boom (its replay is under way)"}},
		{"dead letter of nobody", func(w *world) {
			w.DeadLetters = []DeadLetter{{Topic: "logs.v1.search-sync.dlq", Offset: 7}}
		}, []string{"lost: record logs.v1.search-sync.dlq[0]@7: no reason given"}},
		{"a group behind", func(w *world) { w.Lags[0].Records = 3 }, []string{"lost: group inventory on orders.v1[1]: 3 records behind"}},

		// duplicate effects
		{"two orders for one key, both answered", func(w *world) {
			w.Accepted = append(w.Accepted, Accepted{"no", "ada", "key-yes"})
		}, []string{"duplicate effect: Idempotency-Key key-yes: 2 orders: no, yes"}},
		{"two orders for one key, one unseen", func(w *world) {
			w.order("twin", "ada", 1, "rejected", Line{"apple", 1000})
			w.Sent = w.Sent[:len(w.Sent)-2]
			w.Accepted = w.Accepted[:len(w.Accepted)-1]
			w.Keys = w.Keys[:len(w.Keys)-1]
			w.Indexed = nil
		}, []string{"duplicate effect: customer ada: 3 orders from 2 distinct requests: no, twin, yes"}},
		{"stock moved twice", func(w *world) {
			w.Movements = append(w.Movements, Movement{99, "yes", "pear", "reserve", -1})
			w.Stock[1].Available--
		}, []string{
			"duplicate effect: order yes: 2 movements reserve of pear",
			"stock not conserved: order yes: holds 2 of pear by its movements, 1 by the topics",
			"stock not conserved: sku pear: its stock row says 2",
		}},
		{"confirmed twice", func(w *world) {
			w.event(1, "yes", "ada", Confirmed, 3, nil)
			w.orderRow("yes").Version = 2
		}, []string{"duplicate effect: order yes: 2 events OrderConfirmed: yes-2, yes-3"}},
		{"confirmed and rejected", func(w *world) { w.event(1, "yes", "ada", Rejected, 3, nil) },
			[]string{"duplicate effect: order yes: ended twice, by OrderConfirmed yes-2 and OrderRejected yes-3"}},
		{"rejected and cancelled", func(w *world) { w.event(1, "no", "ada", Cancelled, 3, nil) },
			[]string{"duplicate effect: order no: ended twice, by OrderRejected no-2 and OrderCancelled no-3"}},
		{"one version twice", func(w *world) {
			e := w.republished(*w.eventOf("yes", 2))
			e.ID, e.Type = "other", "quokka.order.v1.OrderNoted"
			w.Events = append(w.Events, e)
			w.Mails = append(w.Mails, Mail{MessageID: "other" + mailDomain})
		}, []string{"duplicate effect: order yes: version 2 is both event yes-2 and event other"}},
		{"a mail under a second Message-ID", func(w *world) {
			w.Mails = append(w.Mails, Mail{MessageID: "retry-1" + mailDomain, OrderID: "yes"})
		}, []string{"duplicate effect: order yes: a mail with Message-ID retry-1@quokka.local"}},

		// order inversions
		{"versions fall", func(w *world) {
			a, b := w.eventOf("late", 2), w.eventOf("late", 3)
			a.Offset, b.Offset = b.Offset, a.Offset
			w.Inbox = nil
		}, []string{
			"order inversion: order late: version 2 at orders.v1[2]@2 follows version 3 at offset 1",
		}},
		{"an order on two partitions", func(w *world) { w.eventOf("no", 2).Partition = 4 },
			[]string{"order inversion: order no: on partitions 1 and 4"}},
		{"a group took a key's records in another order", func(w *world) {
			w.Inbox[0].Sequence, w.Inbox[1].Sequence = w.Inbox[1].Sequence, w.Inbox[0].Sequence
		}, []string{"order inversion: order yes: group inventory took orders.v1[1]@0 after @1"}},

		// stock
		{"stock vanished", func(w *world) { w.Stock[0].Available-- }, []string{"stock not conserved: sku apple: movements add up to 13, its stock row says 12"}},
		{"stock sold below zero", func(w *world) {
			w.order("greedy", "ada", 1, "confirmed", Line{"pear", 5})
			w.Stock[1].Available -= 5
			w.Indexed = nil
		}, []string{"stock not conserved: sku pear: -2 available"}},
		{"a movement is missing", func(w *world) {
			w.Movements = slices.DeleteFunc(w.Movements, func(m Movement) bool { return m.OrderID == "late" && m.Kind == "release" })
		}, []string{"stock not conserved: order late: holds 2 of pear by its movements, 0 by the topics", "stock not conserved: sku pear: add up to 1, its stock row says 3"}},
		{"row and movements agree on a lie", func(w *world) {
			w.Movements[2].Quantity, w.Movements[2].Kind = 6, "gift"
			w.Stock[0].Available = 14
		}, []string{"stock not conserved: sku apple: initial 10 + restocked 0 − reserved by the topics 2 = 8, its stock row says 14"}},
		{"two orders' mistakes make up for each other", func(w *world) {
			for i := range w.Movements {
				if m := &w.Movements[i]; m.OrderID == "yes" && m.SKU == "pear" {
					m.OrderID = "early"
				}
			}
		}, []string{"stock not conserved: order early: holds 1 of pear", "stock not conserved: order yes: holds 0 of pear"}},
		{"stock row gone", func(w *world) { w.Stock = w.Stock[:1] }, []string{"stock not conserved: sku pear: no stock row"}},

		// index
		{"document missing", func(w *world) { w.Documents[0].Got = nil }, []string{"index stale: orders yes: no document"}},
		{"document of a deleted row", func(w *world) { w.Documents[0].Want = nil }, []string{"index stale: orders yes: no row"}},
		{"old document", func(w *world) { w.Documents[0].Got["status"] = "pending" }, []string{`index stale: orders yes: status is "pending" in the index, "confirmed" in the table`}},
		{"a document too many", func(w *world) { w.Indexed[0].Documents++ }, []string{"index stale: all orders: 5 documents for 4 rows"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := healthy()
			tt.damage(w)
			v := Check(w.Facts)
			left := slices.Clone(v.Violations)
			for _, want := range tt.want {
				part := strings.SplitN(want, ": ", 3)
				i := slices.IndexFunc(left, func(v Violation) bool {
					return string(v.Invariant) == part[0] && v.Subject == part[1] && strings.Contains(v.Detail, part[2])
				})
				if i < 0 {
					t.Errorf("not seen: %s\ngot: %v", want, v.Violations)
					continue
				}
				left = slices.Delete(left, i, i+1)
			}
			for _, v := range left {
				t.Errorf("accused without reason: %s", v)
			}
		})
	}
}

// TestRetentionOfInventoryTopic: inventory.v1 forgets, orders.v1 does not.
func TestRetentionOfInventoryTopic(t *testing.T) {
	w := healthy()
	w.StockEvents = nil
	if v := Check(w.Facts); !v.OK() {
		t.Errorf("violations: %v", v.Violations)
	}
}

func TestLine(t *testing.T) {
	v := Verdict{Violations: []Violation{{Lost, "a", ""}, {Lost, "b", ""}, {Duplicate, "c", ""}, {Stock, "s", ""}, {Index, "i", ""}}}
	if want := "lost 2 · duplicate effects 1 · order inversions 0 · stock NOT conserved for 1 skus · 1 index documents stale"; v.Line() != want {
		t.Errorf("got %q", v.Line())
	}
}
