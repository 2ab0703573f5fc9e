package brokercmd

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/quokka-stream/quokka/broker"
)

// subcommands are what the command does beside running a broker.
var subcommands = map[string]func(c Command, args []string) error{"check": Command.check, "repair": Command.repair}

// check reads a data directory that no broker runs on.
func (c Command) check(args []string) error {
	flags := flag.NewFlagSet(c.Name+" check", flag.ContinueOnError)
	dir := flags.String("data-dir", c.dataDir(), "the `dir`ectory of a broker that is stopped ("+c.dataDir()+")")
	if err := c.parse(flags, args, "[--data-dir DIR]\n\nVerifies every file of a broker that is stopped; changes nothing, fails if something is damaged."); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return &UsageError{fmt.Sprintf("unexpected argument %q; %s check reads all of --data-dir", flags.Arg(0), c.Name)}
	}
	return broker.Check(*dir, c.Stdout)
}

// repair says what a repair would lose, and does it.
func (c Command) repair(args []string) error {
	flags := flag.NewFlagSet(c.Name+" repair", flag.ContinueOnError)
	dir := flags.String("data-dir", "", "the `dir`ectory of a broker that is stopped (the one FILE is in)")
	apply := flags.Bool("apply", false, "do it; files that are replaced are kept under names that end in .damaged")
	if err := c.parse(flags, args, "[--data-dir DIR] [--apply] [FILE…]\n\nSays what a repair of the files would lose, all damaged ones if none is named."); err != nil {
		return err
	}
	return broker.Repair(*dir, flags.Args(), *apply, c.Stdout)
}

// errHelped says that help was asked for and given.
var errHelped = errors.New("helped")

// parse reads the flags of a subcommand.
func (c Command) parse(flags *flag.FlagSet, args []string, usage string) error {
	flags.SetOutput(c.Stdout)
	flags.Usage = func() {}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(c.Stdout, "Usage: %s %s\n\n", flags.Name(), usage)
		table := tabwriter.NewWriter(c.Stdout, 0, 0, 2, ' ', 0)
		flags.VisitAll(func(f *flag.Flag) { flagLine(table, f) })
		return cmp.Or(table.Flush(), errHelped)
	case err != nil:
		return &UsageError{fmt.Sprintf("%v; run %s --help for the flags", err, flags.Name())}
	}
	return nil
}

// dataDir is the data directory by the environment.
func (c Command) dataDir() string {
	for _, line := range c.Environ {
		if v, ok := strings.CutPrefix(line, dataDirVariable+"="); ok && v != "" {
			return v
		}
	}
	return standardDir
}

// Run does what the arguments say: it runs a broker until ctx ends and then returns
// nil, or checks or repairs the files of one that is stopped. An error says what to
// do.
func (c Command) Run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		if sub, ok := subcommands[args[0]]; ok {
			if err := sub(c, args[1:]); !errors.Is(err, errHelped) {
				return err
			}
			return nil
		}
	}
	return c.run(ctx, args)
}
