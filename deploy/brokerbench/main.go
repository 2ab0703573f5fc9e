package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/quokka-stream/quokka/deploy/kafka"
	"github.com/quokka-stream/quokka/deploy/term"
)

func main() {
	if len(os.Args) == 5 && os.Args[1] == "serve" {
		exit(serve(os.Args[2], os.Args[3], os.Args[4]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "brokerbench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// bench is what is to be measured.
type bench struct {
	rounds  int
	paced   time.Duration // how long a round at a load lasts
	cells   []cell
	servers []string // the first is ours
	before  string   // the program of server before
	dir     string

	progress *term.Printer
}

func run(ctx context.Context) error {
	full := flag.Bool("full", false, "more rounds and bytes: up to two hours")
	pattern := flag.String("cells", "", "only cells whose names match this regular expression")
	rounds := flag.Int("rounds", 6, "rounds of each cell, of which the first is discarded")
	megabytes := flag.Int64("mb", defaultMB, "MB of values in a round of the base cell")
	names := flag.String("servers", strings.Join([]string{nobody, fake, apache}, ","), "what to measure beside ours")
	other := flag.String("before", "", "another build of this program, whose broker is measured as well: the figures of a change")
	flag.StringVar(&profiles, "profile", "", "directory for CPU profiles of our broker, one for each flush policy")
	readBack := flag.Bool("consume", true, "also read back what was produced")
	startup := flag.Bool("startup", true, "also measure start, memory at rest and recovery after kill -9")
	recovery := flag.Int64("recovery", 0, "measure nothing but the start after kill -9, with so many GB in 20 partitions")
	flag.Parse()
	paced := 2 * time.Second
	if *full {
		*rounds, *megabytes, paced = 11, 4**megabytes, 10*time.Second
	}
	if *rounds < 2 {
		return fmt.Errorf("-rounds %d: want at least 2, the first is discarded", *rounds)
	}
	match, err := regexp.Compile(*pattern)
	if err != nil {
		return fmt.Errorf("-cells: %w", err)
	}
	dir, err := os.MkdirTemp("", "brokerbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{rounds: *rounds, paced: paced, servers: []string{quokka}, before: *other, dir: dir, progress: term.New(os.Stderr)}
	if *other != "" {
		b.servers = append(b.servers, before)
	}
	if *recovery > 0 {
		return b.recoveries(ctx, *recovery)
	}
	for _, name := range []string{nobody, fake} {
		if slices.Contains(strings.Split(*names, ","), name) {
			b.servers = append(b.servers, name)
		}
	}
	for _, c := range matrix(*megabytes << 20) {
		if match.MatchString(c.name) {
			c.consume = c.consume && *readBack
			b.cells = append(b.cells, c)
		}
	}
	fmt.Printf("%d cores, %s, %s; rounds of %d MB, %d of them counted\n\n", runtime.NumCPU(), runtime.Version(), time.Now().UTC().Format(time.DateOnly), *megabytes, *rounds-1)
	if !slices.Contains(strings.Split(*names, ","), apache) {
		fmt.Printf("Apache Kafka: not run (not among -servers)\n\n")
	} else if _, err := kafka.Open(ctx, kafka.Config{Dir: dir + "/probe"}); kafka.IsNotRun(err) {
		fmt.Printf("Apache Kafka: not run (%v)\n\n", err)
	} else if err != nil {
		return err
	} else {
		b.servers = append(b.servers, apache)
	}
	if err := b.matrix(ctx); err != nil {
		return err
	}
	if *startup {
		return b.startup(ctx, *full)
	}
	return nil
}
