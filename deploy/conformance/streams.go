package main

import (
	"context"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/deploy/javaserver"
)

//go:embed clients/streams.xml
var streamsPom []byte

// streams runs clients/Streams.java, which Java compiles as it starts it.
func streams(ctx context.Context, b *bench, r *result) error {
	source, err := clients.ReadFile("clients/Streams.java")
	if err != nil {
		return err
	}
	dir := filepath.Join(b.cache, "streams")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	java, err := javaserver.Java(ctx, "Kafka Streams", javaserver.Versions{Oldest: 17})
	if err != nil {
		return lacking(err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(realPath(java)), "javac")); err != nil {
		return notRun("a Java without its compiler (Debian: apt-get install openjdk-17-jdk-headless)")
	}
	classpath, err := javaserver.Resolve(ctx, "Kafka Streams", dir, streamsPom)
	if err != nil {
		return lacking(err)
	}
	file := filepath.Join(dir, "Streams.java")
	if err := os.WriteFile(file, source, 0o600); err != nil {
		return err
	}
	state, err := os.MkdirTemp(dir, "state-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(state) }() // a run's own
	addr, _, stop, err := b.start(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 8*time.Minute)
	defer cancel()
	return r.lines(exec.CommandContext(ctx, java, "-Xmx384m", "-cp", classpath, file, addr, state)) //nolint:gosec // the user's own Java
}

// lacking is a Java or a Maven that is not there, as notRun.
func lacking(err error) error {
	if javaserver.IsNotRun(err) {
		return notRun(strings.TrimPrefix(err.Error(), "not run: "))
	}
	return err
}

func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}
