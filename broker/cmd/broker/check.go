package main

import (
	"flag"
	"fmt"
	"io"

	"github.com/quokka-stream/quokka/broker"
)

// subcommands are what the command does beside running a broker.
var subcommands = map[string]func(args []string, out io.Writer) error{"check": runCheck, "repair": runRepair}

// runCheck reads a data directory that no broker runs on.
func runCheck(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("broker check", flag.ContinueOnError)
	dir := flags.String("data-dir", env("QUOKKA_BROKER_DATA_DIR", "./broker-data"), "directory of a broker that is stopped")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; broker check reads all of --data-dir", flags.Arg(0))
	}
	return broker.Check(*dir, out)
}

// runRepair says what a repair would lose, and does it.
func runRepair(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("broker repair", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "Usage: broker repair [--data-dir DIR] [--apply] [FILE…]\n\nSays what a repair of the files would lose, all damaged ones if none is named.")
		flags.PrintDefaults()
	}
	dir := flags.String("data-dir", "", "directory of a broker that is stopped (default: the one FILE is in)")
	apply := flags.Bool("apply", false, "do it; files that are replaced are kept under names that end in .damaged")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return broker.Repair(*dir, flags.Args(), *apply, out)
}
