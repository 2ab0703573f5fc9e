package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/quokka-stream/quokka/deploy/ledger"
	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/deploy/term"
	"github.com/quokka-stream/quokka/deploy/workload"
)

// loadCmd places orders on a platform that runs already. Its data directory
// takes the ledger of accepted orders.
type loadCmd struct {
	Order     string  `env:"QUOKKA_ORDER_URL" placeholder:"URL" help:"Its order service."`
	Inventory string  `env:"QUOKKA_INVENTORY_URL" placeholder:"URL" help:"Its inventory service."`
	Orders    int     `default:"200" help:"How many orders to place; 0: until interrupted."`
	Rate      float64 `placeholder:"N" help:"Orders per second (default: as fast as they are accepted)."`
	Seed      uint64  `default:"1" help:"Which orders: the same seed gives the same orders."`
	Verify    bool    `help:"Then check the platform, as quokka verify does."`
	verifyCmd
}

// loadChunk is how many orders of an endless load are planned at once: each
// plan brings the stock it needs.
const loadChunk = 500

// Run places the orders.
func (c *loadCmd) Run(ctx context.Context, out *output) error {
	if c.Orders < 0 || c.Rate < 0 {
		return errors.New("--orders and --rate cannot be negative")
	}
	order, inventory, err := c.services()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return err
	}
	accepted, err := ledger.Open(c.DataDir)
	if err != nil {
		return err
	}
	defer accepted.Close()
	p := &pace{begin: time.Now(), total: c.Orders, out: out.out}
	for seed := c.Seed; c.Orders == 0 || p.placed() < c.Orders; seed++ {
		n := loadChunk
		if c.Orders > 0 {
			n = c.Orders
		}
		_, err := workload.Run(ctx, workload.Config{
			OrderURL: order, InventoryURL: inventory, Ledger: accepted, Rate: c.Rate,
			Placed: func(int) { p.next() },
		}, workload.NewPlan(seed, n))
		if err != nil {
			if ctx.Err() != nil && c.Orders == 0 {
				break // that is how an endless load ends
			}
			return err
		}
	}
	p.report()
	if !c.Verify || ctx.Err() != nil {
		return nil
	}
	return c.verifyCmd.Run(ctx, out)
}

// services are the addresses of the services that take orders.
func (c *loadCmd) services() (order, inventory string, err error) {
	at := platform.Running{}
	if c.Order == "" || c.Inventory == "" {
		if at, err = platform.Load(c.DataDir); err != nil {
			return "", "", err
		}
	}
	return cmp.Or(c.Order, at.OrderURL), cmp.Or(c.Inventory, at.InventoryURL), nil
}

// pace counts placed orders and says from time to time how far they are.
type pace struct {
	begin time.Time
	total int
	out   *term.Printer

	mu       sync.Mutex
	done     int
	reported time.Time
}

func (p *pace) placed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// next counts an order.
func (p *pace) next() {
	p.mu.Lock()
	p.done++
	now := time.Now()
	tell := now.Sub(p.reported) >= 2*time.Second
	if tell {
		p.reported = now
	}
	p.mu.Unlock()
	if tell {
		p.report()
	}
}

func (p *pace) report() {
	done, took := p.placed(), time.Since(p.begin).Seconds()
	of := ""
	if p.total > 0 {
		of = " of " + term.Count(p.total)
	}
	p.out.Printf("  %s%s orders placed, %.1f a second\n", term.Count(done), of, float64(done)/took)
}
