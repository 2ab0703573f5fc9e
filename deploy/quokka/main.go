// Command quokka runs the platform, whole or in parts, and looks into a running
// one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/quokka-stream/quokka/broker/brokercmd"
	"github.com/quokka-stream/quokka/deploy/roster"
	"github.com/quokka-stream/quokka/deploy/term"
)

// Exit codes: 0 all is well; 1 something failed or a promise was broken; 2 the
// command line is wrong; 130 interrupted.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// commands is the command line.
type commands struct {
	Demo demoCmd `cmd:"" help:"Place orders through every part and count what arrived."`
	Up   upCmd   `cmd:"" help:"Start the same platform and keep it up."`

	New newCmd `cmd:"" help:"Make something of your own."`

	Load   loadCmd   `cmd:"" help:"Place orders on a running platform." group:"Look into a running platform"`
	Verify verifyCmd `cmd:"" help:"Check a running platform: nothing lost, nothing twice, order kept, stock conserved." group:"Look into a running platform"`
	Trace  traceCmd  `cmd:"" help:"Show the hops of one order with their times." group:"Look into a running platform"`
	DLQ    dlqCmd    `cmd:"" name:"dlq" help:"List, show and replay dead letters." group:"Look into a running platform"`
	Orders ordersCmd `cmd:"" help:"Read orders from their events." group:"Look into a running platform"`
	Topics topicsCmd `cmd:"" help:"List, show, read and write topics." group:"Look into a running platform"`
	Groups groupsCmd `cmd:"" help:"List and show consumer groups, move their offsets." group:"Look into a running platform"`
	Lag    lagCmd    `cmd:"" help:"Show how far the consumer groups are behind." group:"Look into a running platform"`
	Env    envCmd    `cmd:"" help:"Print the addresses of a running platform as a shell sets variables." group:"Look into a running platform"`
	Doctor doctorCmd `cmd:"" help:"Check this machine: PostgreSQL, ports, disk, memory." group:"Look into a running platform"`

	Setup    setupCmd    `cmd:"" help:"Make what the parts need: databases, topics, schemas." group:"One part alone"`
	Broker   brokerCmd   `cmd:"" passthrough:"" help:"Run the broker alone; check and repair what a stopped one keeps." group:"One part alone"`
	Registry registryCmd `cmd:"" help:"Run the schema registry alone." group:"One part alone"`
	Schemas  schemasCmd  `cmd:"" help:"Create the topics and register the schemas." group:"One part alone"`
	CDC      cdcCmd      `cmd:"" name:"cdc" help:"Run change data capture alone." group:"One part alone"`
	Health   healthCmd   `cmd:"" help:"Ask parts whether they are well; exits 1 if one is not." group:"One part alone"`
}

// newParser builds the command line, with a command for each service.
func newParser(options ...kong.Option) (*kong.Kong, error) {
	var c commands
	for _, l := range []*listen{&c.Demo.listen, &c.Up.listen, &c.Doctor.listen} {
		l.ServiceAddrs = serviceFlags()
	}
	for _, s := range roster.Services() {
		options = append(options, kong.DynamicCommand(s.Name, "Run the "+s.Name+" service alone.", "One part alone", &serviceCmd{s}))
	}
	return kong.New(&c, options...)
}

// output is where a command writes.
type output struct {
	out, err *term.Printer
	stdout   io.Writer
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run parses and runs one command and returns the exit code. An interrupt asks
// the command to end; a second one ends the process.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	helped := false
	parser, err := newParser(
		kong.Name("quokka"),
		kong.Description("An event-driven order platform on a Kafka-protocol broker of its own."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(&output{out: term.New(stdout), err: term.New(stderr), stdout: stdout}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "quokka:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if helped {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "quokka: %v\nTry: quokka --help\n", err)
		return exitUsage
	}
	if err := command.Run(); err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			fmt.Fprintln(stderr, "quokka: interrupted")
			return exitInterrupted
		}
		fmt.Fprintln(stderr, "quokka:", err)
		var usage *brokercmd.UsageError
		if errors.As(err, &usage) {
			return exitUsage
		}
		return exitFailed
	}
	return 0
}
