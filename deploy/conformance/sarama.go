package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/quokka-stream/quokka/internal/freeport"
)

const (
	saramaModule     = "github.com/IBM/sarama"
	toxiproxyModule  = "github.com/Shopify/toxiproxy/v2"
	toxiproxyVersion = "v2.12.0"
)

// sarama runs IBM/sarama's functional tests. They are made for five brokers, each
// behind a toxiproxy on a port of its own; here all five proxies lead to the one
// broker, which tells its clients to come by the first.
func sarama(ctx context.Context, b *bench, r *result) error {
	const first, proxies = 29091, 5
	for i := range proxies {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", first+i))
		if err != nil {
			return notRun(fmt.Sprintf("it wants the ports %d to %d, which another program has", first, first+proxies-1))
		}
		l.Close()
	}
	binary, dir, err := b.testBinary(ctx, "sarama", saramaModule, saramaModule, r.suite.version, "-tags", "functional")
	if err != nil {
		return err
	}
	toxiproxy, err := b.program(ctx, "toxiproxy", toxiproxyModule, toxiproxyModule+"/cmd/server", toxiproxyVersion)
	if err != nil {
		return err
	}
	addr, _, stop, err := b.start(ctx, "127.0.0.1:0", "--advertise", fmt.Sprintf("127.0.0.1:%d", first), "--replication-factor-clamp", "--no-auto-create")
	if err != nil {
		return err
	}
	defer stop()
	api, end, err := startToxiproxy(ctx, toxiproxy)
	if err != nil {
		return err
	}
	defer end()
	var list []string
	for i := range proxies {
		list = append(list, fmt.Sprintf(`{"name": "kafka%d", "listen": "127.0.0.1:%d", "upstream": %q, "enabled": true}`, i+1, first+i, addr))
	}
	if err := post(ctx, api+"/populate", "["+strings.Join(list, ",")+"]"); err != nil {
		return err
	}
	return r.tests(ctx, binary, dir, r.leave("sarama"), []string{"TOXIPROXY_ADDR=" + api, "KAFKA_VERSION=4.1.0"}, "-test.run", "^TestFunc|^TestConsumer|^TestVersionMatrix|^TestReadOnly|^TestInterceptors$|^TestAsyncProducerRemote")
}

// program builds a program of a module.
func (b *bench) program(ctx context.Context, name, module, pkg, version string) (string, error) {
	at, err := b.module(ctx, name, module, version, "//go:build tools\n\npackage main\n\nimport _ \""+pkg+"\"\n")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(at, name)
	if out, err := goIn(ctx, at, "build", "-o", binary, pkg).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w: %s", pkg, err, out)
	}
	return binary, nil
}

// startToxiproxy starts a toxiproxy without proxies; api is where it is told of them.
func startToxiproxy(ctx context.Context, binary string) (api string, end func(), err error) {
	port, err := freeport.Find()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, binary, "-host", "127.0.0.1", "-port", strconv.Itoa(port)) //nolint:gosec // built a moment ago
	cmd.Env = append(os.Environ(), "LOG_LEVEL=error")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	end = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = cmd.Wait()                          // how it ends is not the question here
	}
	api = "http://127.0.0.1:" + strconv.Itoa(port)
	for deadline := time.Now().Add(10 * time.Second); ; {
		if err = post(ctx, api+"/reset", ""); err == nil {
			return api, end, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			end()
			return "", nil, fmt.Errorf("toxiproxy does not come up: %w", err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

func post(ctx context.Context, url, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}
