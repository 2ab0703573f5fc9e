package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// debianSources is where the sources of librdkafka come from: Debian keeps them.
const debianSources = "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main\n"

// rdkafkaTests runs librdkafka's own tests in C and C++, each number in a process of
// its own: one that fails ends its process.
func rdkafkaTests(ctx context.Context, b *bench, r *result) error {
	tests, err := b.buildRdkafka(ctx, r.suite.version)
	if err != nil {
		return err
	}
	addr, _, stop, err := b.start(ctx, "127.0.0.1:0", "--default-partitions", "4", "--replication-factor-clamp", "--group-initial-rebalance-delay", "1s",
		// As in Kafka: 0059 reads for ten seconds what it wrote with times of 1970, which
		// retention removes when it next looks.
		"--override", "log.retention.check.interval.ms=300000",
		"--override", "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "--super-users", "User:ANONYMOUS")
	if err != nil {
		return err
	}
	defer stop()
	if err := os.WriteFile(filepath.Join(tests, "test.conf"), []byte("bootstrap.servers="+addr+"\ntest.timeout.multiplier=4\n"), 0o600); err != nil {
		return err
	}
	numbers, err := rdkafkaNumbers(filepath.Join(tests, "test.c"))
	if err != nil {
		return err
	}
	left := r.leave(r.suite.name)
	skip, err := regexp.Compile(left.pattern())
	if err != nil {
		return err
	}
	r.hold(left, numbers)
	if len(left) > 0 { // no pattern matches everything
		numbers = slices.DeleteFunc(numbers, skip.MatchString)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan string)
	for range 3 { // they wait more than they work
		wg.Go(func() {
			for number := range next {
				passed, skipped, failed := rdkafkaTest(ctx, tests, number)
				mu.Lock()
				r.passed += passed
				r.skipped += skipped
				r.failures = append(r.failures, failed...)
				mu.Unlock()
			}
		})
	}
	for _, number := range numbers {
		next <- number
	}
	close(next)
	wg.Wait()
	slices.Sort(r.failures)
	return ctx.Err()
}

// buildRdkafka returns the folder of the tests, built.
func (b *bench) buildRdkafka(ctx context.Context, version string) (tests string, err error) {
	for program, install := range map[string]string{"apt-get": "the sources come from Debian", "gcc": "Debian: apt-get install gcc", "g++": "Debian: apt-get install g++", "make": "Debian: apt-get install make"} {
		if _, err := find(program, install); err != nil {
			return "", err
		}
	}
	dir := filepath.Join(b.cache, "rdkafka")
	upstream, _, _ := strings.Cut(version, "-")
	source := filepath.Join(dir, "librdkafka-"+upstream)
	tests = filepath.Join(source, "tests")
	if _, err := os.Stat(filepath.Join(tests, "test-runner")); err == nil {
		return tests, nil
	}
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return "", err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "sources.list"), []byte(debianSources), 0o600); err != nil {
		return "", err
	}
	apt := []string{"apt-get", "-o", "Dir::Etc::sourcelist=" + filepath.Join(dir, "sources.list"), "-o", "Dir::Etc::sourceparts=/dev/null",
		"-o", "Dir::State=" + filepath.Join(dir, "state"), "-o", "Dir::State::status=/var/lib/dpkg/status", "-o", "Dir::Cache=" + filepath.Join(dir, "cache")}
	for _, step := range []struct {
		in   string
		args []string
	}{
		{dir, append(slices.Clone(apt), "-q", "update")},
		{dir, append(slices.Clone(apt), "-q", "source", "--download-only", "librdkafka="+version)},
		{dir, []string{"tar", "xf", "librdkafka_" + upstream + ".orig.tar.gz"}},
		{source, []string{"./configure", "--disable-curl", "--disable-sasl", "--disable-ssl", "--disable-zstd"}},
		{source, []string{"make", "libs"}},
		{source, []string{"make", "-C", "tests", "build"}},
	} {
		cmd := exec.CommandContext(ctx, step.args[0], step.args[1:]...) //nolint:gosec // tools of this machine
		cmd.Dir = step.in
		if out, err := cmd.CombinedOutput(); err != nil {
			what := step.args[0] + " " + step.args[len(step.args)-1] + ": " + lastLine(string(out))
			if step.args[0] == "apt-get" {
				return "", notRun(what)
			}
			return "", fmt.Errorf("%s: %w", what, err)
		}
	}
	return tests, nil
}

var rdkafkaDeclared = regexp.MustCompile(`(?m)^\s*_TEST\((\d{4})_(\w+),\s*([^,)]*)`)

// rdkafkaNumbers are the tests that ask a broker something.
func rdkafkaNumbers(file string) ([]string, error) {
	text, err := os.ReadFile(file) //nolint:gosec // what was fetched
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range rdkafkaDeclared.FindAllStringSubmatch(string(text), -1) {
		local := strings.Contains(m[3], "TEST_F_LOCAL") || strings.Contains(m[3], "TEST_F_MANUAL") || strings.HasSuffix(m[2], "_mock") || strings.HasSuffix(m[2], "_local") || m[1] == "0000"
		if !local && !slices.Contains(out, m[1]) {
			out = append(out, m[1])
		}
	}
	if len(out) == 0 {
		return nil, errors.New("test.c declares no tests")
	}
	return out, nil
}

var rdkafkaOutcome = regexp.MustCompile(`\| *(?:\x1b\[\d+m)? *(\d{4}_\w+) +\| +(PASSED|FAILED|SKIPPED)`)

// rdkafkaTest runs the tests of one number.
func rdkafkaTest(ctx context.Context, dir, number string) (passed, skipped int, failed []string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "./test-runner", "-p1", "-Q", "-E", "-L") //nolint:gosec // built here
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TESTS="+number, "TEST_KAFKA_VERSION=4.0.0", "LD_LIBRARY_PATH=../src:../src-cpp")
	out, err := cmd.CombinedOutput()
	if err != nil { // what failed says why in here
		_ = os.WriteFile(filepath.Join(dir, number+".log"), out, 0o600) // only a help
	}
	for _, m := range rdkafkaOutcome.FindAllStringSubmatch(string(out), -1) {
		switch {
		case !strings.HasPrefix(m[1], number) || strings.HasSuffix(m[1], "_mock") || strings.HasSuffix(m[1], "_local"):
		case m[2] == "PASSED":
			passed++
		case m[2] == "SKIPPED":
			skipped++
		default:
			failed = append(failed, m[1])
		}
	}
	if err != nil && len(failed) == 0 {
		failed = append(failed, number+": "+rdkafkaReason(string(out), err))
	}
	return passed, skipped, failed
}

// rdkafkaReason is the line that says why a test ended its process.
func rdkafkaReason(out string, err error) string {
	for line := range strings.Lines(out) {
		if strings.Contains(line, "Test assertion failed") || strings.Contains(line, "must be set") {
			return strings.TrimSpace(line)
		}
	}
	return err.Error()
}
