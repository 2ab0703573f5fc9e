// Command run starts and ends OpenSearch on this machine, from what Maven
// fetches; see package opensearch. OPENSEARCH_PORT (default: a free one) and
// OPENSEARCH_JAVA_OPTS configure it.
//
// The last line that `up` prints is its URL, or begins with "not run: " where
// this machine cannot run OpenSearch: that is no failure, the exit code is 0 all
// the same.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/quokka-stream/quokka/deploy/javaserver"
	"github.com/quokka-stream/quokka/deploy/opensearch"
)

const usage = `usage: run up | down | kill | start
  up      start OpenSearch; the last line is its URL
  down    end it; its data stays
  kill    end it with SIGKILL; start, or up, starts it again`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	switch {
	case javaserver.IsNotRun(err):
		fmt.Println(err)
	case err != nil:
		fmt.Fprintln(os.Stderr, "opensearch:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	cfg := opensearch.Config{Dir: ".quokka/opensearch", JVM: strings.Fields(os.Getenv("OPENSEARCH_JAVA_OPTS"))}
	if text := os.Getenv("OPENSEARCH_PORT"); text != "" {
		port, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("OPENSEARCH_PORT is %q: want a number", text)
		}
		cfg.Port = port
	}
	if len(args) != 1 {
		return errors.New(usage)
	}
	switch args[0] {
	case "up", "start":
		return up(ctx, cfg)
	case "down", "kill":
		server, err := opensearch.Find(cfg)
		switch {
		case errors.Is(err, opensearch.ErrNotRunning) && args[0] == "down":
			return nil
		case err != nil:
			return err
		case args[0] == "kill":
			return server.Kill(ctx)
		}
		return server.Down(ctx)
	}
	return errors.New(usage)
}

func up(ctx context.Context, cfg opensearch.Config) error {
	begin := time.Now()
	server, err := opensearch.Open(ctx, cfg)
	if err != nil {
		return err
	}
	if err := server.Up(ctx); err != nil {
		return err
	}
	account := ""
	if name := server.Account(); name != "" {
		account = " as " + name
	}
	fmt.Printf("OpenSearch %s serves after %.1f s%s, files in %s\n", opensearch.Version(), time.Since(begin).Seconds(), account, server.Files())
	fmt.Println(server.URL())
	return nil
}
