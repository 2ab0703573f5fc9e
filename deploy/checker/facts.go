package checker

import "time"

// Names of event types on the topics, as their Avro full names.
const (
	Placed        = "quokka.order.v1.OrderPlaced"
	Confirmed     = "quokka.order.v1.OrderConfirmed"
	Rejected      = "quokka.order.v1.OrderRejected"
	Cancelled     = "quokka.order.v1.OrderCancelled"
	StockReserved = "quokka.inventory.v1.StockReserved"
	StockRejected = "quokka.inventory.v1.StockRejected"
	StockReleased = "quokka.inventory.v1.StockReleased"
)

// Facts is what happened on a platform.
type Facts struct {
	// What clients were promised.
	Accepted []Accepted
	Sent     []Sent

	// The topics orders.v1 and inventory.v1, by partition and offset.
	Events      []Event
	StockEvents []Event
	DeadLetters []DeadLetter
	Lags        []Lag

	// The databases.
	Orders       []Order
	History      []HistoryRow
	Keys         []IdempotencyKey
	Movements    []Movement
	Stock        []StockRow
	Reservations []Reservation
	Inbox        []InboxRow

	// The mail sink.
	Mails []Mail

	// The index, beside the rows that its documents mirror.
	Documents []Document
	Indexed   []IndexTotal
}

// Accepted is an order that a client was told is accepted.
type Accepted struct {
	OrderID, CustomerID, Key string
}

// Sent is a request to place an order that left a client, answered or not.
type Sent struct {
	CustomerID, Key string
}

// Event is a record of orders.v1 or inventory.v1.
type Event struct {
	Topic       string
	Partition   int32
	Offset      int64
	Key         string
	ID          string // ce_id
	Type        string
	OrderID     string
	CustomerID  string
	Version     int32 // orders.v1 only
	OccurredAt  time.Time
	Lines       []Line
	TraceParent string
}

// Line is so many of one sku.
type Line struct {
	SKU      string
	Quantity int64
}

// DeadLetter is a record that a consumer gave up and that has not been replayed
// since.
type DeadLetter struct {
	Topic     string
	Partition int32
	Offset    int64
	EventID   string
	OrderID   string
	Reason    string
	Waiting   bool // its replay was asked for and is not done yet
}

// Lag is how far a group is behind the last record of a partition.
type Lag struct {
	Group     string
	Topic     string
	Partition int32
	Records   int64
}

// Order is a row of order's table orders.
type Order struct {
	ID, CustomerID, Status string
	Version                int32
}

// HistoryRow is a row of order's table order_events.
type HistoryRow struct {
	OrderID string
	Version int32
	Type    string
	EventID string
}

// IdempotencyKey is a row of order's table idempotency_keys.
type IdempotencyKey struct {
	Key, CustomerID, OrderID string
}

// Movement is a row of inventory's table stock_movements.
type Movement struct {
	ID       int64
	OrderID  string // empty for initial and restock
	SKU      string
	Kind     string
	Quantity int64
}

// StockRow is a row of inventory's table stock.
type StockRow struct {
	SKU                string
	Initial, Available int64
}

// Reservation is a row of inventory's table reservations.
type Reservation struct {
	OrderID, Status string
}

// InboxRow is a row of a service's table inbox.
type InboxRow struct {
	Group     string
	EventID   string
	Topic     string
	Partition int32
	Offset    int64
	Key       string
	Sequence  int64
}

// Mail is a delivery to the mail sink.
type Mail struct {
	MessageID string // without angle brackets
	OrderID   string // header X-Quokka-Order, read where the Message-ID is no event's
}

// Document is what the index says where a row says something: Want nil means
// there is no row, Got nil means there is no document.
type Document struct {
	Kind, ID  string
	Want, Got map[string]string
}

// IndexTotal is how many documents the index holds of a kind that has as many rows.
type IndexTotal struct {
	Kind            string
	Rows, Documents int
}
