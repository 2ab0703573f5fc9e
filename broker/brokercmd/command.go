package brokercmd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/quokka-stream/quokka/broker"
)

// Command runs a broker alone.
type Command struct {
	// Name is how the command is called, in its help: "quokka broker".
	Name string
	// Environ is the environment, as os.Environ gives it.
	Environ []string
	// Stdout is told where the broker listens once it does, and the help.
	Stdout io.Writer
	// Log is where the broker's log goes; LogFormat is its form, text or json, unless
	// a setting says otherwise.
	Log       io.Writer
	LogFormat string
	// Flags adds flags of the caller's; it may be nil.
	Flags func(*flag.FlagSet)
	// Prepare may change the broker's configuration before it is opened; end is called
	// after it has been closed. It may be nil.
	Prepare func(context.Context, *broker.Config) (end func(), err error)
}

// UsageError is an error in the command line.
type UsageError struct{ text string }

func (e *UsageError) Error() string { return e.text }

// Validate says what is wrong with the flags of a broker's command line.
func (c Command) Validate(args []string) error {
	var config string
	var list bool
	_, err := c.parseFlags(args, layer{}, &config, &list)
	return err
}

// parseFlags reads the flags into a layer; the error is flag.ErrHelp or a UsageError.
func (c Command) parseFlags(args []string, given layer, config *string, list *bool) (*flag.FlagSet, error) {
	flags := flagSet(c.Name, given, config, list)
	if c.Flags != nil {
		c.Flags(flags)
	}
	flags.SetOutput(io.Discard) // the error is returned
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return flags, err
	case err != nil:
		return flags, &UsageError{fmt.Sprintf("%v; run %s --help for the flags", err, c.Name)}
	case flags.NArg() > 0:
		return flags, &UsageError{fmt.Sprintf("unexpected argument %q; run %s --help for the flags", flags.Arg(0), c.Name)}
	}
	return flags, nil
}

// run runs a broker until ctx ends.
func (c Command) run(ctx context.Context, args []string) error {
	given := layer{}
	var config string
	var list bool
	switch flags, err := c.parseFlags(args, given, &config, &list); {
	case errors.Is(err, flag.ErrHelp):
		return c.help(flags)
	case err != nil:
		return err
	case list:
		return listSettings(c.Stdout)
	}
	var notes []string
	settings, err := c.settings(given, config, &notes)
	if err != nil {
		return err
	}
	level, err := levelOf(settings.take(logLevel, "info"))
	if err != nil {
		return err
	}
	log, err := c.logger(level, settings.take(logFormat, c.LogFormat))
	if err != nil {
		return err
	}
	for _, note := range notes {
		log.Warn(note)
	}
	metrics := settings.take(metricsAddr, "")
	cfg := broker.Config{Settings: settings, Logger: log}
	if settings["log.dirs"] == "" && settings["log.dir"] == "" {
		settings["log.dirs"] = standardDir
	}
	return c.serve(ctx, cfg, metrics)
}

// settings puts the sources together.
func (c Command) settings(flags layer, config string, notes *[]string) (layer, error) {
	report := func(format string, args ...any) { *notes = append(*notes, fmt.Sprintf(format, args...)) }
	env := environment(c.Environ, report)
	if config == "" {
		for _, line := range c.Environ {
			if path, ok := strings.CutPrefix(line, configVariable+"="); ok {
				config = path
			}
		}
	}
	fromFile := layer{}
	if config != "" {
		text, err := os.ReadFile(config)
		if err != nil {
			return nil, fmt.Errorf("reading the settings (--config, %s): %w", configVariable, err)
		}
		if fromFile, err = file(config, text, report); err != nil {
			return nil, err
		}
	}
	return merge(report, fromFile, env, flags), nil
}

func (c Command) logger(level slog.Level, format string) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: level}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(c.Log, options)).With("service", "broker"), nil
	case "text", "":
		return slog.New(slog.NewTextHandler(c.Log, options)), nil
	}
	return nil, fmt.Errorf("log format %q (--log-format, %s): use text or json", format, logFormat)
}

// serve opens the broker and runs it until ctx ends.
func (c Command) serve(ctx context.Context, cfg broker.Config, metrics string) (err error) {
	if c.Prepare != nil {
		end, err := c.Prepare(ctx, &cfg)
		if err != nil {
			return err
		}
		defer end()
	}
	b, err := broker.Open(cfg)
	if err != nil {
		return err
	}
	if metrics != "" {
		stop, err := serveHTTP(ctx, metrics, b, cfg.Logger)
		if err != nil {
			return errors.Join(err, b.Close())
		}
		defer stop()
	}
	fmt.Fprintf(c.Stdout, "broker listening on %s, cluster %s, data in %s\n", b.Addr(), b.ClusterID(), b.DataDir())
	served := make(chan error, 1)
	go func() { served <- b.Serve() }()
	select {
	case err := <-served:
		return errors.Join(err, b.Close())
	case <-ctx.Done():
		cfg.Logger.Info("stopping: answering what was asked, then closing")
		return errors.Join(b.Close(), <-served)
	}
}
