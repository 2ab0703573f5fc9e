package workload

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Fate is what becomes of an order if the platform works.
type Fate string

// The fates of a plan's orders.
const (
	// Fulfilled: there is stock for all lines.
	Fulfilled Fate = "confirmed"
	// Scarce: asks for one of a few; as many as there are get one.
	Scarce Fate = "confirmed or rejected"
	// TooMuch: asks for more than there ever is.
	TooMuch Fate = "rejected, insufficient stock"
	// UnknownSKU: asks for what is not in the catalogue.
	UnknownSKU Fate = "rejected, unknown sku"
	// Cancelled: could be fulfilled, and is cancelled at some moment, before or
	// after it is confirmed.
	Cancelled Fate = "cancelled"
)

// Resend says whether and when a request is sent a second time.
type Resend uint8

// A request is sent a second time as by an impatient client, or as by one that
// did not get the first answer.
const (
	Once Resend = iota
	AtOnce
	Afterwards
)

// Plan is a day in the shop.
type Plan struct {
	Seed      uint64
	Products  []Product
	Customers []Customer
	Orders    []Order
	Renames   []Rename
}

// Product is an entry of the catalogue with the stock that the plan needs.
type Product struct {
	SKU, Name, Description string
	PriceCents             int64
	Stock                  int64
}

// Customer is somebody who orders.
type Customer struct{ Name, Email string }

// Order is one order to place.
type Order struct {
	Customer    int // index into Customers
	Lines       []Line
	Fate        Fate
	CancelAfter time.Duration // after it was accepted, for fate Cancelled
	Resend      Resend
}

// Line is one line of an order.
type Line struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Rename gives a product a new name once so many orders are placed.
type Rename struct {
	AfterOrders int
	Product     int // index into Products
	Name        string
}

// Expect counts the outcomes of a plan.
type Expect struct{ Confirmed, Rejected, Cancelled int }

const (
	unknownSKU   = "QK-9999"
	notThatMany  = 1_000_000
	cancelWithin = 200 * time.Millisecond
	ordersEach   = 4   // orders per customer, about
	surplus      = 100 // pieces of each product beyond what the plan needs
	maxCustomers = 500
)

var (
	materials = []string{"Oak", "Steel", "Linen", "Copper", "Walnut", "Wool", "Glass", "Clay"}
	things    = []string{"bowl", "lamp", "stool", "kettle", "tray", "mug", "basket", "clock"}
	names     = []string{"Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Frances", "Ken", "Margaret", "Niklaus", "Radia", "Tony"}
	surnames  = []string{"Baker", "Carver", "Fisher", "Glover", "Hunter", "Mason", "Potter", "Sawyer", "Tanner", "Weaver"}
)

// NewPlan draws a plan of so many orders from a seed.
func NewPlan(seed uint64, orders int) Plan {
	r := rand.New(rand.NewPCG(seed, 0x900b5)) //nolint:gosec // reproducible on purpose
	p := Plan{Seed: seed, Products: catalogue(r)}
	for i := range min(max(orders/ordersEach, 3), maxCustomers) {
		first, last := names[r.IntN(len(names))], surnames[r.IntN(len(surnames))]
		p.Customers = append(p.Customers, Customer{
			Name:  first + " " + last,
			Email: fmt.Sprintf("customer-%d@example.test", i+1),
		})
	}
	scarce := 0
	for range orders {
		o := p.order(r)
		if o.Fate == Scarce {
			scarce++
		}
		p.Orders = append(p.Orders, o)
	}
	for i := range p.Products[1:] {
		p.Products[i+1].Stock = surplus
	}
	// Half of those who want the rare thing get it.
	p.Products[0].Stock = int64(scarce / 2)
	for _, o := range p.Orders {
		if o.Fate == Fulfilled || o.Fate == Cancelled {
			for _, line := range o.Lines {
				p.product(line.SKU).Stock += line.Quantity
			}
		}
	}
	for i := range orders / 20 {
		product := 1 + r.IntN(len(p.Products)-1)
		p.Renames = append(p.Renames, Rename{
			AfterOrders: r.IntN(orders), Product: product,
			Name: fmt.Sprintf("%s, edition %d", p.Products[product].Name, i+2),
		})
	}
	return p
}

// catalogue returns the products. The first one is the rare thing, which only
// orders of fate Scarce ask for.
func catalogue(r *rand.Rand) []Product {
	out := []Product{{SKU: "QK-0000", Name: "Numbered print", Description: "There are only a few.", PriceCents: 12_000}}
	for i := range 24 {
		material, thing := materials[i%len(materials)], things[(i+i/len(materials))%len(things)]
		out = append(out, Product{
			SKU: fmt.Sprintf("QK-%04d", i+1), Name: material + " " + thing,
			Description: "A " + thing + " made of " + material + ".",
			PriceCents:  int64(500 + 100*r.IntN(150)),
		})
	}
	return out
}

func (p *Plan) product(sku string) *Product {
	for i := range p.Products {
		if p.Products[i].SKU == sku {
			return &p.Products[i]
		}
	}
	return nil
}

// order draws one order.
func (p *Plan) order(r *rand.Rand) Order {
	o := Order{Customer: r.IntN(len(p.Customers)), Fate: Fulfilled}
	// Distinct products in random order.
	for _, i := range r.Perm(len(p.Products) - 1)[:1+r.IntN(3)] {
		o.Lines = append(o.Lines, Line{p.Products[i+1].SKU, int64(1 + r.IntN(3))})
	}
	switch chance := r.IntN(100); {
	case chance < 5:
		o.Fate = UnknownSKU
		o.Lines[len(o.Lines)-1].SKU = unknownSKU
	case chance < 11:
		o.Fate = TooMuch
		o.Lines[0].Quantity = notThatMany
	case chance < 19:
		o.Fate = Scarce
		o.Lines = []Line{{p.Products[0].SKU, 1}}
	case chance < 31:
		o.Fate = Cancelled
		// Mostly soon, so that many a cancel meets the order on its way.
		o.CancelAfter = time.Duration(r.Float64() * r.Float64() * float64(cancelWithin))
	}
	switch chance := r.IntN(100); {
	case chance < 5:
		o.Resend = AtOnce
	case chance < 10:
		o.Resend = Afterwards
	}
	return o
}

// Expect is the outcome of the plan on a platform whose stock is as planned.
func (p Plan) Expect() Expect {
	var e Expect
	scarce := 0
	for _, o := range p.Orders {
		switch o.Fate {
		case Fulfilled:
			e.Confirmed++
		case Cancelled:
			e.Cancelled++
		case TooMuch, UnknownSKU:
			e.Rejected++
		case Scarce:
			scarce++
		}
	}
	sold := min(scarce, int(p.Products[0].Stock))
	e.Confirmed += sold
	e.Rejected += scarce - sold
	return e
}
