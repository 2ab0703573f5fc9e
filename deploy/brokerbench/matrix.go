package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quokka-stream/quokka/broker"
)

// measured are the figures of one cell by server, a round after the other.
type measured map[string][]figures

// matrix measures the cells, flush policy by flush policy, so that no server is
// restarted more often than needed, and prints the tables.
func (b *bench) matrix(ctx context.Context) error {
	results := make([]measured, len(b.cells))
	number := 0
	for _, policy := range []broker.FlushPolicy{broker.FlushGroup, broker.FlushInterval, broker.FlushOS} {
		if !slices.ContainsFunc(b.cells, func(c cell) bool { return c.flush == policy }) {
			continue
		}
		err := b.with(ctx, policy, func(servers []*server) error {
			for i, c := range b.cells {
				if c.flush != policy {
					continue
				}
				var err error
				if results[i], err = b.cell(ctx, servers, c, &number); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	b.progress.Live("")
	b.print(results)
	return nil
}

// with starts all servers, calls f, and ends them.
func (b *bench) with(ctx context.Context, policy broker.FlushPolicy, f func([]*server) error) (err error) {
	var servers []*server
	dir, err := os.MkdirTemp(b.dir, string(policy)+"-")
	if err != nil {
		return err
	}
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.stop())
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	for _, name := range b.servers {
		own := filepath.Join(dir, name)
		if err := os.Mkdir(own, 0o700); err != nil {
			return err
		}
		s, err := b.start(ctx, name, string(policy), own)
		if err != nil {
			return err
		}
		servers = append(servers, s)
	}
	return f(servers)
}

// cell measures one cell: the servers take turns.
func (b *bench) cell(ctx context.Context, servers []*server, c cell, number *int) (measured, error) {
	rate := 0.0
	if c.load > 0 {
		flat := c
		flat.load, flat.tail = 0, false
		f, err := round(ctx, servers[0], flat, *number, 0)
		if err != nil {
			return nil, err
		}
		*number++
		rate = c.load * f.produced
		c.bytes = int64(rate * b.paced.Seconds() * float64(c.size))
	}
	m := measured{}
	for i := range b.rounds {
		for _, s := range servers {
			if c.keepsNothing(s.name) {
				continue
			}
			b.progress.Live("  %s, round %d of %d: %s", c.name, i+1, b.rounds, s.name)
			f, err := round(ctx, s, c, *number, rate)
			if err != nil {
				return nil, err
			}
			*number++
			if i > 0 {
				m[s.name] = append(m[s.name], f)
			}
		}
	}
	return m, nil
}

// print prints the tables.
func (b *bench) print(results []measured) {
	peers := b.servers[1:]
	head := func(title, ours string) {
		fmt.Printf("%s\n\n| cell | %s |", title, ours)
		for _, p := range peers {
			fmt.Printf(" ÷ %s |", p)
		}
		fmt.Printf("\n|---|---%s|\n", strings.Repeat("|---", len(peers)))
	}
	row := func(m measured, name, ours string, of func(figures) float64) {
		fmt.Printf("| %s | %s |", name, ours)
		for _, p := range peers {
			fmt.Printf(" %s |", ratios(m[quokka], m[p], of))
		}
		fmt.Println()
	}
	produced := func(f figures) float64 { return f.produced }
	consumed := func(f figures) float64 { return f.consumed }

	head("Produced, acks=all", "thousand records a second (MB/s)")
	for i, c := range b.cells {
		if !c.sync && c.load == 0 {
			row(results[i], c.name, speed(results[i], c, produced), produced)
		}
	}
	head("\nSynchronous producers: one record of 100 B, one answer, on so many partitions", "acknowledgements a second; p50, p99, p99.9 ms")
	for i, c := range b.cells {
		if c.sync {
			row(results[i], c.name, fmt.Sprintf("%.0f; %s", median(column(results[i][quokka], produced)), latency(results[i][quokka])), produced)
		}
	}
	head("\nRead back from the start", "thousand records a second (MB/s)")
	for i, c := range b.cells {
		if c.consume {
			row(results[i], c.name, speed(results[i], c, consumed), consumed)
		}
	}
	fmt.Printf("\nLatency at a load, from the moment a record was due: p50, p99, p99.9 ms\n\n| cell |%s\n|---%s|\n", " "+strings.Join(b.servers, " | ")+" |", strings.Repeat("|---", len(b.servers)))
	for i, c := range b.cells {
		if c.load > 0 {
			fmt.Printf("| %s |", c.name)
			for _, s := range b.servers {
				fmt.Printf(" %s |", latency(results[i][s]))
			}
			fmt.Println()
		}
	}
	fmt.Printf("\nServer CPU, user + system seconds for a GB: produce; consume. Highest resident memory, MB. Then all our CPU ÷ theirs: produce; consume\n\n| cell | %s | ÷ %s |\n|---%s|\n",
		strings.Join(b.servers, " | "), strings.Join(peers, " | ÷ "), strings.Repeat("|---", len(b.servers)+len(peers)))
	for i, c := range b.cells {
		if !c.sync && c.load == 0 {
			fmt.Printf("| %s |", c.name)
			for _, s := range b.servers {
				fmt.Printf(" %s |", cost(results[i][s]))
			}
			for _, p := range peers {
				fmt.Printf(" %s |", costRatio(results[i][quokka], results[i][p]))
			}
			fmt.Println()
		}
	}
}

func column(rounds []figures, of func(figures) float64) []float64 {
	var out []float64
	for _, f := range rounds {
		out = append(out, of(f))
	}
	return out
}

// ratios is the median of ours ÷ theirs, round by round, and its range.
func ratios(ours, theirs []figures, of func(figures) float64) string {
	var out []float64
	for i := range min(len(ours), len(theirs)) {
		out = append(out, of(ours[i])/of(theirs[i]))
	}
	if len(out) == 0 {
		return "–"
	}
	middle := median(out) // sorts
	return fmt.Sprintf("%.2f (%.2f–%.2f)", middle, out[0], out[len(out)-1])
}

func speed(m measured, c cell, of func(figures) float64) string {
	v := median(column(m[quokka], of))
	return fmt.Sprintf("%.0f (%.0f)", v/1e3, v*float64(c.size)/1e6)
}

func latency(rounds []figures) string {
	if len(rounds) == 0 {
		return "–"
	}
	var all []float64
	for _, f := range rounds {
		all = append(all, f.latencies...)
	}
	return fmt.Sprintf("%.2f, %.2f, %.2f", quantile(all, .5), quantile(all, .99), quantile(all, .999))
}

// cost is a server's processor time and memory.
func cost(rounds []figures) string {
	if len(rounds) == 0 {
		return "–"
	}
	produce, consume := spent(rounds)
	return fmt.Sprintf("%.2f + %.2f; %.2f + %.2f; %.0f", produce[0], produce[1], consume[0], consume[1],
		median(column(rounds, func(f figures) float64 { return float64(f.peak) / 1e6 })))
}

// spent is the mean over the rounds: the clock of processor time ticks too slowly
// for one of them.
func spent(rounds []figures) (produce, consume [2]float64) {
	n := float64(len(rounds))
	for _, f := range rounds {
		for i := range 2 {
			produce[i] += f.produceCPU[i] / n
			consume[i] += f.consumeCPU[i] / n
		}
	}
	return produce, consume
}

func costRatio(ours, theirs []figures) string {
	if len(theirs) == 0 {
		return "–"
	}
	p, c := spent(ours)
	q, d := spent(theirs)
	ratio := func(a, b [2]float64) string {
		if b[0]+b[1] == 0 {
			return "–"
		}
		return fmt.Sprintf("%.2f", (a[0]+a[1])/(b[0]+b[1]))
	}
	return ratio(p, q) + "; " + ratio(c, d)
}
