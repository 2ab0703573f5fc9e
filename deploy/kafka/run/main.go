// Command run starts and ends Apache Kafka on this machine, from the jars that
// Maven fetches; see package kafka. KAFKA_NODES (1 or 3), KAFKA_PORT and
// KAFKA_HEAP_OPTS configure it.
//
// The last line that `up` prints is the bootstrap address, or begins with "not
// run: " where this machine cannot run Kafka: that is no failure, the exit code
// is 0 all the same.
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

	"github.com/quokka-stream/quokka/deploy/kafka"
)

const usage = `usage: run up | down | kill NODE | start NODE | isr [PREFIX]
  up      start Apache Kafka; the last line is its address
  down    end it; its data stays
  kill    end a node with SIGKILL; start starts it again
  isr     leader and in-sync replicas of each partition`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	switch {
	case kafka.IsNotRun(err):
		fmt.Println(err)
	case err != nil:
		fmt.Fprintln(os.Stderr, "kafka:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	cfg, err := config()
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return errors.New(usage)
	}
	switch args[0] {
	case "up":
		return up(ctx, cfg)
	case "down":
		return down(ctx, cfg)
	case "kill", "start":
		if len(args) != 2 {
			return errors.New(usage)
		}
		id, err := strconv.Atoi(args[1])
		if err != nil {
			return fmt.Errorf("%s is no node: want 1, 2 or 3", args[1])
		}
		return one(ctx, cfg, args[0], id)
	case "isr":
		cluster, err := kafka.Find(cfg)
		if err != nil {
			return err
		}
		return cluster.PrintISR(ctx, os.Stdout, strings.Join(args[1:], ""))
	}
	return errors.New(usage)
}

func config() (kafka.Config, error) {
	cfg := kafka.Config{Dir: ".quokka/kafka", JVM: strings.Fields(os.Getenv("KAFKA_HEAP_OPTS"))}
	for name, field := range map[string]*int{"KAFKA_NODES": &cfg.Nodes, "KAFKA_PORT": &cfg.Port} {
		if text := os.Getenv(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				return cfg, fmt.Errorf("%s is %q: want a number", name, text)
			}
			*field = n
		}
	}
	return cfg, nil
}

func up(ctx context.Context, cfg kafka.Config) error {
	begin := time.Now()
	cluster, err := kafka.Open(ctx, cfg)
	if err != nil {
		return err
	}
	if err := cluster.Up(ctx); err != nil {
		return err
	}
	fmt.Printf("Apache Kafka %s serves after %.1f s, data in %s\n", kafka.Version(), time.Since(begin).Seconds(), cfg.Dir)
	fmt.Println(strings.Join(cluster.Addrs(), ","))
	return nil
}

func down(ctx context.Context, cfg kafka.Config) error {
	cluster, err := kafka.Find(cfg)
	if errors.Is(err, kafka.ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	return cluster.Down(ctx)
}

func one(ctx context.Context, cfg kafka.Config, what string, id int) error {
	running, err := kafka.Find(cfg)
	if err != nil {
		return err
	}
	if what == "kill" {
		return running.Kill(ctx, id)
	}
	cluster, err := kafka.Open(ctx, running.Config())
	if err != nil {
		return err
	}
	return cluster.Start(ctx, id)
}
