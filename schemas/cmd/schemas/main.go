// Command schemas looks after the event schemas: it refuses changes that would
// break readers, records versions, generates the Go types, makes a cluster and
// a registry agree with what is declared, and prints the catalogue.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/quokka-stream/quokka/schemas/apply"
	"github.com/quokka-stream/quokka/schemas/gen"
)

const description = `Looks after the event schemas of the platform.

Change a schema like this: edit avro/<domain>/<Name>.avsc, run "schemas generate" for the Go types and "schemas release" to record the new version; "schemas check" runs in every build, and "schemas apply" brings the schemas to a registry.`

type cli struct {
	Dir string `short:"C" type:"path" placeholder:"DIR" help:"The schemas module: the directory with avro/ and events/. Default: ./schemas or the current directory."`

	Check    checkCmd    `cmd:"" help:"Refuse a change that old readers or old data would not survive, or that is undocumented or unrecorded. Works offline."`
	Release  releaseCmd  `cmd:"" help:"Record changed schemas as the next version of their history, if they are compatible."`
	Generate generateCmd `cmd:"" help:"Write the Go types in events/ from the schemas."`
	Apply    applyCmd    `cmd:"" help:"Create topics, set compatibility levels and register schemas, as declared."`
	Catalog  catalogCmd  `cmd:"" help:"Print every topic, event and field."`
}

// env is what commands run in.
type env struct {
	ctx    context.Context
	dir    string
	stdout io.Writer
	stderr io.Writer
}

func (e *env) avro() string   { return filepath.Join(e.dir, "avro") }
func (e *env) events() string { return filepath.Join(e.dir, "events") }

// errReported ends a command whose output already says what is wrong.
var errReported = errors.New("")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs a command line and returns the exit code: 1 where the command found
// or met a problem, 2 where the line was not understood.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	var c cli
	exit := -1
	parser, err := kong.New(&c, kong.Name("schemas"), kong.Description(description), kong.Writers(stdout, stderr),
		kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Exit(func(code int) { exit = code; panic(exitPanic{}) }))
	if err != nil {
		fmt.Fprintln(stderr, "schemas:", err)
		return 2
	}
	// --help ends the run from inside the parser.
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(exitPanic); !ok {
				panic(p)
			}
			code = exit
		}
	}()
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "schemas: %v\nschemas --help lists the commands\n", err)
		return 2
	}
	e := &env{ctx: ctx, dir: c.Dir, stdout: stdout, stderr: stderr}
	if k.Command() != "apply" {
		if e.dir, err = findDir(c.Dir); err != nil {
			fmt.Fprintln(stderr, "schemas:", err)
			return 2
		}
	}
	if err := k.Run(e); err != nil {
		if !errors.Is(err, errReported) {
			fmt.Fprintln(stderr, "schemas:", err)
		}
		return 1
	}
	return 0
}

type exitPanic struct{}

// findDir finds the schemas module from the repository's root or from within.
func findDir(given string) (string, error) {
	candidates := []string{"schemas", "."}
	if given != "" {
		candidates = []string{given}
	}
	for _, dir := range candidates {
		if info, err := os.Stat(filepath.Join(dir, "avro")); err == nil && info.IsDir() {
			return dir, nil
		}
	}
	if given != "" {
		return "", fmt.Errorf("%s has no avro directory: give the directory of the schemas module", given)
	}
	return "", errors.New("no avro directory here or in ./schemas: run this in the repository, or name the schemas module with --dir")
}

type generateCmd struct {
	Check bool `help:"Write nothing; fail if the files differ from what the schemas say."`
}

// Run writes or checks the generated types.
func (c *generateCmd) Run(e *env) error {
	if c.Check {
		return gen.Check(e.avro(), e.events())
	}
	return gen.Generate(e.avro(), e.events())
}

type applyCmd struct {
	Brokers  []string `env:"QUOKKA_KAFKA_BROKERS" default:"127.0.0.1:9092" placeholder:"ADDR,..." help:"Kafka bootstrap addresses (${default})."`
	Registry string   `env:"QUOKKA_REGISTRY_URL" default:"http://127.0.0.1:8081" placeholder:"URL" help:"Schema registry (${default})."`
	Verbose  bool     `short:"v" help:"Print each change."`
}

// Run applies the declarations that the program was built with.
func (c *applyCmd) Run(e *env) error {
	logger := slog.New(slog.DiscardHandler)
	if c.Verbose {
		logger = slog.New(slog.NewTextHandler(e.stderr, nil))
	}
	if err := apply.Apply(e.ctx, apply.Config{Brokers: c.Brokers, RegistryURL: c.Registry, Logger: logger}); err != nil {
		return err
	}
	fmt.Fprintln(e.stdout, "topics and schemas are as declared")
	return nil
}
