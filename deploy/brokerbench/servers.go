package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/quokka-stream/quokka/broker"
	"github.com/quokka-stream/quokka/deploy/brokerbench/null"
	"github.com/quokka-stream/quokka/deploy/kafka"
)

// The servers that are compared.
const (
	quokka = "quokka"
	before = "before" // another build of ours
	nobody = "null"
	fake   = "kfake"
	apache = "kafka"
)

// server is one of them, running.
type server struct {
	name string
	addr string
	dir  string
	pid  int
	// ready is how long it took from its start to its first answer.
	ready time.Duration
	stop  func() error
	kill  func() error
}

// start starts a server with a flush policy of ours: group, interval or os. The
// others get what comes closest: a sync for each write, or none.
func (b *bench) start(ctx context.Context, name, flush, dir string) (*server, error) {
	if name == apache {
		return startKafka(ctx, flush, dir)
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if name == before {
		program = b.before
	}
	begin := time.Now()
	cmd := exec.CommandContext(ctx, program, "serve", name, flush, dir) //nolint:gosec // this program
	cmd.Stderr = os.Stderr
	if name == quokka {
		cmd.Env = append(os.Environ(), profileEnv+"="+profiles)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	end := func(sig syscall.Signal) func() error {
		return func() error {
			_ = cmd.Process.Signal(sig)
			_ = cmd.Wait() // it was told to end
			return nil
		}
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s does not start: %w", name, err), end(syscall.SIGKILL)())
	}
	s := &server{name: name, addr: strings.TrimSpace(line), dir: dir, pid: cmd.Process.Pid, stop: end(syscall.SIGTERM), kill: end(syscall.SIGKILL)}
	if err := await(ctx, s.addr); err != nil {
		return nil, errors.Join(err, s.kill())
	}
	s.ready = time.Since(begin)
	return s, nil
}

// serve is the child process: it prints its address and runs until it is told to
// end.
func serve(name, flush, dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch name {
	case nobody:
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		fmt.Println(l.Addr())
		context.AfterFunc(ctx, func() { l.Close() })
		if err := null.Serve(l); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	case fake:
		opts := []kfake.Opt{kfake.NumBrokers(1), kfake.DataDir(dir)}
		if flush == string(broker.FlushGroup) {
			opts = append(opts, kfake.SyncWrites())
		}
		c, err := kfake.NewCluster(opts...)
		if err != nil {
			return err
		}
		defer c.Close()
		fmt.Println(c.ListenAddrs()[0])
		<-ctx.Done()
		return nil
	}
	stopProfile, err := profile(flush)
	if err != nil {
		return err
	}
	defer stopProfile()
	b, err := broker.Open(broker.Config{
		DataDir: dir, Listen: "127.0.0.1:0", Flush: broker.FlushPolicy(flush), Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- b.Serve() }()
	fmt.Println(b.Addr())
	select {
	case <-ctx.Done():
	case err = <-served:
	}
	return errors.Join(err, b.Close())
}

// startKafka starts Apache Kafka with one node.
func startKafka(ctx context.Context, flush, dir string) (*server, error) {
	port, err := kafka.FreePort(1)
	if err != nil {
		return nil, err
	}
	cfg := kafka.Config{Dir: dir, Port: port, JVM: []string{"-Xms1g", "-Xmx1g", "-XX:+UseG1GC"}}
	switch broker.FlushPolicy(flush) {
	case broker.FlushGroup:
		cfg.Properties = []string{"log.flush.interval.messages=1"}
	case broker.FlushInterval:
		cfg.Properties = []string{"log.flush.interval.ms=1000"}
	}
	c, err := kafka.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := c.Up(ctx); err != nil {
		return nil, err
	}
	end := func() error { return c.Kill(context.WithoutCancel(ctx), 1) }
	s := &server{name: apache, addr: c.Addrs()[0], dir: dir, ready: time.Since(begin), stop: end, kill: end}
	text, err := os.ReadFile(filepath.Join(dir, "1", "node-1", "pid"))
	if err == nil {
		s.pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	return s, err
}
