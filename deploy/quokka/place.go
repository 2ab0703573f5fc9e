package main

import (
	"cmp"
	"context"

	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/deploy/workload"
)

// lamp is the product of an order that names none.
const lamp = "LAMP"

type ordersPlaceCmd struct {
	Customer  string `placeholder:"ID" help:"Who orders (default: a new customer)."`
	Name      string `default:"Ada Lovelace" placeholder:"NAME" help:"A new customer's name (${default})."`
	Email     string `default:"ada@example.test" placeholder:"ADDRESS" help:"A new customer's mail address (${default})."`
	SKU       string `name:"sku" placeholder:"SKU" help:"What is ordered (default: LAMP, which is added to the catalogue if need be)."`
	Quantity  int    `default:"1" placeholder:"N" help:"How many (${default})."`
	Key       string `placeholder:"KEY" help:"Idempotency-Key: the same key and order again is the same order."`
	Quiet     bool   `short:"q" help:"Print the order's id only."`
	JSON      bool   `name:"json" help:"Print JSON."`
	OrderURL  string `name:"order" env:"QUOKKA_ORDER_URL" placeholder:"URL" help:"The order service, if not as in the data directory."`
	Inventory string `env:"QUOKKA_INVENTORY_URL" placeholder:"URL" help:"The inventory service, if not as in the data directory."`
	DataDir   string `default:".quokka" type:"path" help:"Data directory of the running platform."`
}

func (ordersPlaceCmd) Help() string {
	return `Examples:
  quokka orders place                                        one lamp for Ada
  ORDER=$(quokka orders place --quiet)                       then: quokka trace $ORDER
  quokka orders place --sku NO-SUCH-THING                    an order that is rejected
  quokka orders place --email ada@shop.invalid               one whose mails cannot be delivered
  quokka orders place --customer ID --quantity 3`
}

func (c *ordersPlaceCmd) Run(ctx context.Context, out *output) error {
	at := platform.Running{}
	if c.OrderURL == "" || c.Inventory == "" {
		var err error
		if at, err = platform.Load(c.DataDir); err != nil {
			return err
		}
	}
	one := workload.One{
		CustomerID: c.Customer, Name: c.Name, Email: c.Email, SKU: c.SKU, Quantity: c.Quantity, Key: c.Key,
	}
	if one.SKU == "" {
		one.SKU, one.Create = lamp, true
	}
	placed, err := workload.PlaceOne(ctx, cmp.Or(c.OrderURL, at.OrderURL), cmp.Or(c.Inventory, at.InventoryURL), one)
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		return printJSON(out, placed)
	case c.Quiet:
		out.out.Printf("%s\n", placed.OrderID)
	default:
		out.out.Printf("  order %s is %s\n  customer %s\n", placed.OrderID, placed.Status, placed.CustomerID)
	}
	return nil
}
