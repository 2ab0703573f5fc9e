package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/quokka-stream/quokka/deploy/demo"
	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/deploy/term"
)

type demoCmd struct {
	Orders  int    `default:"200" help:"How many orders to place."`
	Seed    uint64 `default:"1" help:"Which orders: the same seed gives the same orders."`
	Report  string `placeholder:"FILE" type:"path" help:"Write the numbers as JSON."`
	DataDir string `placeholder:"DIR" type:"path" help:"Keep the data here (default: a temporary directory)."`
	Keep    bool   `help:"Keep the platform up afterwards, until Ctrl-C."`
	platformFlags
}

func (c *demoCmd) Run(ctx context.Context, out *output) (err error) {
	if c.Orders < 1 {
		return fmt.Errorf("--orders is %d: place at least one", c.Orders)
	}
	cfg, err := c.config(out)
	if err != nil {
		return err
	}
	cfg.DataDir, cfg.FreePorts = c.DataDir, true
	if c.DataDir == "" {
		if cfg.DataDir, err = platform.TemporaryDir(); err != nil {
			return err
		}
		cfg.Temporary = true
		// The log outlives the directory if somebody will want to read it.
		cfg.LogFile = cfg.DataDir + ".log"
		defer func() {
			if err == nil || errors.Is(err, context.Canceled) {
				_ = os.Remove(cfg.LogFile)
			} else if _, statErr := os.Stat(cfg.LogFile); statErr == nil {
				out.err.Printf("  the log is in %s\n", cfg.LogFile)
			}
		}()
	}
	out.out.Printf("%s\n\n", out.out.Paint(term.Bold, "Quokka: orders through every part"))
	return demo.Run(ctx, demo.Config{
		Platform: cfg, Orders: c.Orders, Seed: c.Seed, Report: c.Report, Keep: c.Keep, Out: out.out,
	})
}

type upCmd struct {
	DataDir   string `default:".quokka" env:"QUOKKA_DATA_DIR" type:"path" help:"Where everything is kept."`
	FreePorts bool   `help:"Take free ports instead of the defaults."`
	platformFlags
}

func (c *upCmd) Run(ctx context.Context, out *output) (err error) {
	cfg, err := c.config(out)
	if err != nil {
		return err
	}
	cfg.DataDir, cfg.FreePorts = c.DataDir, c.FreePorts
	begin := time.Now()
	out.out.Live("  starting broker, PostgreSQL and services …")
	p, err := platform.Start(ctx, cfg)
	if err != nil {
		out.out.Printf("")
		return err
	}
	defer func() {
		out.out.Live("  stopping …")
		err = errors.Join(err, p.Stop())
		out.out.Printf("")
	}()
	out.out.Printf("%s  %s\n\n", out.out.Paint(term.Bold, "Quokka is up"), out.out.Paint(term.Dim, fmt.Sprintf("after %.2f s, data in %s", time.Since(begin).Seconds(), c.DataDir)))
	demo.PrintLinks(out.out, p.Running())
	out.out.Printf("\n  Ctrl-C ends it.\n")
	return p.Wait(ctx)
}
