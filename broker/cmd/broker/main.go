// Command broker runs a Quokka broker: a Kafka-protocol server in one process.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/quokka-stream/quokka/broker/brokercmd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	c := brokercmd.Command{Name: "broker", Environ: os.Environ(), Stdout: os.Stdout, Log: os.Stderr}
	if err := c.Run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "broker:", err)
		var usage *brokercmd.UsageError
		if errors.As(err, &usage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}
