package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// errFailed says that a suite had failures; the table names them.
var errFailed = errors.New("not everything passed")

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	only := flags.String("suite", "", "suites to run, separated by commas (default: all)")
	records := flags.Int("records", 500_000, "records that franz-go's tests move")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	cache, err := filepath.Abs(filepath.Join(".bin", "conformance"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return err
	}
	bench := &bench{cache: cache, records: *records, broker: filepath.Join(cache, "broker")}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", bench.broker, "./broker/cmd/broker").CombinedOutput(); err != nil {
		return fmt.Errorf("building the broker: %w: %s", err, out)
	}
	var results []result
	for _, s := range chosen {
		fmt.Fprintf(out, "running %s %s\n", s.name, s.version)
		begin := time.Now()
		r := bench.run(ctx, s)
		r.took = time.Since(begin)
		results = append(results, r)
		if r.notRun != "" {
			fmt.Fprintf(out, "  not run: %s\n", r.notRun)
		} else {
			fmt.Fprintf(out, "  passed %d, failed %d, %.0f s\n", r.passed, len(r.failures), r.took.Seconds())
		}
		for _, f := range r.failures {
			fmt.Fprintf(out, "  failed: %s\n", f)
		}
		if ctx.Err() != nil {
			break // the table of what has run
		}
	}
	fmt.Fprintln(out)
	if err := table(out, results); err != nil {
		return err
	}
	if slices.ContainsFunc(results, func(r result) bool { return len(r.failures) > 0 }) {
		return errFailed
	}
	return nil
}

// choose returns the suites named in list, all for none.
func choose(list string) ([]suite, error) {
	if list == "" {
		return suites, nil
	}
	var out []suite
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(suites, func(s suite) bool { return s.name == name })
		if i < 0 {
			var names []string
			for _, s := range suites {
				names = append(names, s.name)
			}
			return nil, fmt.Errorf("there is no suite %q; the suites are %s", name, strings.Join(names, ", "))
		}
		out = append(out, suites[i])
	}
	return out, nil
}

// table prints the results, as docs/conformance.md has them, and below them what was
// left out and what was not run, with the reasons.
func table(out io.Writer, results []result) error {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| suite\t| version\t| passed\t| failed\t| skipped by itself\t| left out\t| time\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, r := range results {
		if r.notRun != "" {
			fmt.Fprintf(w, "| %s\t| %s\t| not run\t|\t|\t|\t|\t|\n", r.suite.name, r.suite.version)
			continue
		}
		fmt.Fprintf(w, "| %s\t| %s\t| %d\t| %d\t| %d\t| %d\t| %.0f s\t|\n", r.suite.name, r.suite.version, r.passed, len(r.failures), r.skipped, len(r.leftOut), r.took.Seconds())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, r := range results {
		if r.notRun != "" {
			fmt.Fprintf(out, "%s is not run: %s\n", r.suite.name, r.notRun)
		}
		for _, reason := range r.leftOut {
			fmt.Fprintf(out, "%s leaves out %s\n", r.suite.name, reason)
		}
	}
	return nil
}
