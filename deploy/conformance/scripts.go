package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// python runs clients/round.py with one client from PyPI.
func python(client string) func(context.Context, *bench, *result) error {
	return func(ctx context.Context, b *bench, r *result) error {
		python, err := find("python3", "Debian: apt-get install python3-venv")
		if err != nil {
			return err
		}
		env := filepath.Join(b.cache, "python-"+client)
		pip := []string{"-m", "pip", "install", "-q", "--disable-pip-version-check", client + "==" + r.suite.version}
		pip = append(pip, "python-snappy==0.7.3", "lz4==4.4.5", "zstandard==0.25.0", "cramjam==2.14.0")
		for _, args := range [][]string{{python, "-m", "venv", env}, append([]string{filepath.Join(env, "bin", "python")}, pip...)} {
			if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil { //nolint:gosec // Python
				return notRun(lastLine(string(out)))
			}
		}
		return b.script(ctx, r, "round.py", env, filepath.Join(env, "bin", "python"), client)
	}
}

// node runs clients/round.js with one client from npm.
func node(client string) func(context.Context, *bench, *result) error {
	return func(ctx context.Context, b *bench, r *result) error {
		node, err := find("node", "Debian: apt-get install nodejs npm")
		if err != nil {
			return err
		}
		npm, err := find("npm", "Debian: apt-get install npm")
		if err != nil {
			return err
		}
		dir := filepath.Join(b.cache, "node-"+strings.ReplaceAll(strings.TrimPrefix(client, "@"), "/", "-"))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		install := exec.CommandContext(ctx, npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", dir, client+"@"+r.suite.version) //nolint:gosec // npm
		if out, err := install.CombinedOutput(); err != nil {
			return notRun(lastLine(string(out)))
		}
		return b.script(ctx, r, "round.js", dir, node, client)
	}
}

// script runs one of clients/ from a folder where its imports are found.
func (b *bench) script(ctx context.Context, r *result, name, dir, program, client string) error {
	text, err := clients.ReadFile("clients/" + name)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	addr, _, stop, err := b.start(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	return r.lines(exec.CommandContext(ctx, program, file, addr, client))
}

// kcat produces and consumes with every codec, and looks whether the stored
// batches are compressed: an old librdkafka silently does without compression
// where it believes that the broker cannot.
func kcat(ctx context.Context, b *bench, r *result) error {
	path, err := find("kcat", "Debian: apt-get install kcat")
	if err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, path, "-V").CombinedOutput(); err == nil { //nolint:gosec // kcat
		if _, v, ok := strings.Cut(string(out), "Version "); ok {
			r.suite.version, _, _ = strings.Cut(v, " ")
		}
	}
	addr, _, stop, err := b.start(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer stop()
	var input strings.Builder
	for i := range 500 {
		fmt.Fprintf(&input, "k%d:value %d with some text to compress, compress, compress\n", i%5, i)
	}
	for attribute, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		if err := kcatRound(ctx, path, addr, codec, attribute, input.String()); err != nil {
			r.failures = append(r.failures, codec+": "+err.Error())
			continue
		}
		r.passed++
	}
	return nil
}

func kcatRound(ctx context.Context, path, addr, codec string, attribute int, input string) error {
	topic := "kcat-" + codec
	produce := exec.CommandContext(ctx, path, "-b", addr, "-P", "-t", topic, "-K:", "-z", codec, "-X", "enable.idempotence=true")
	produce.Stdin = strings.NewReader(input)
	if out, err := produce.CombinedOutput(); err != nil {
		return fmt.Errorf("produce: %w: %s", err, out)
	}
	for _, how := range [][]string{{"-C", "-t", topic, "-e"}, {"-G", "group-" + codec, "-X", "auto.offset.reset=earliest", "-X", "enable.partition.eof=true", "-e", topic}} {
		args := append([]string{"-b", addr, "-q", "-f", "%k:%s\n"}, how...)
		out, err := exec.CommandContext(ctx, path, args...).Output()
		if err != nil || string(out) != input {
			return fmt.Errorf("%s: %d of %d bytes: %w", how[0], len(out), len(input), err)
		}
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer c.Close()
	fetches := c.PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		return err
	}
	if got := int(fetches.Records()[0].Attrs.CompressionType()); got != attribute {
		return fmt.Errorf("the stored batch has compression type %d, want %d", got, attribute)
	}
	return nil
}
