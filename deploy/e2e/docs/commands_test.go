package docs

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/deploy/kafka"
	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/deploy/roster"
)

// How a reader starts the platform, and so does the harness. The second is what
// the first runs after building: it starts the platforms of single pages.
const (
	startsPlatform      = "make up"
	startsBuiltPlatform = ".bin/quokka up"
)

// everything says that slow blocks are run too: make docs-test.
var everything = os.Getenv("QUOKKA_DOCS_ALL") != ""

// How long a block may take, and the start and the end of a platform. A page builds all
// modules in a checkout of its own, for which a machine that runs other tests beside it
// has needed more than five minutes.
const (
	patience     = 15 * time.Minute
	slowPatience = 40 * time.Minute
)

// notRun says why a block is not run here, "" if it is.
func (b block) notRun() string {
	for name := range strings.SplitSeq(b.attrs["needs"], ",") {
		if name != "" && !available(name) {
			return "needs " + name
		}
	}
	if b.has("slow") && !everything {
		return "slow: make docs-test"
	}
	return ""
}

// available says whether a program is here; of docker, whether it can run
// anything.
func available(name string) bool {
	if _, err := exec.LookPath(name); err != nil {
		return false
	}
	if name != "docker" {
		return true
	}
	return dockerAnswers()
}

var dockerAnswers = sync.OnceValue(func() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return exec.CommandContext(ctx, "docker", "info").Run() == nil
})

// TestNotRun prints what TestCommands leaves out.
func TestNotRun(t *testing.T) {
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if reason := cmp.Or(p.notRun(), b.notRun()); b.lang == "sh" && reason != "" {
				first, _, _ := strings.Cut(b.text, "\n")
				fmt.Printf("%s: not run: %s (%s)\n", b, reason, first)
			}
		}
	}
}

// TestCommands runs every page. For who writes one: QUOKKA_DOCS_PAGE narrows it to
// pages whose names contain it, QUOKKA_DOCS_ON names the data directory of a
// platform to use instead of starting one, and -v shows what the commands print.
func TestCommands(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("not run: bash is not installed")
	}
	var shared *running
	for _, p := range pages(t) {
		run := slices.DeleteFunc(slices.Clone(p.blocks), func(b block) bool { return b.lang != "sh" || b.notRun() != "" })
		if len(run) == 0 || p.notRun() != "" || !strings.Contains(p.name, os.Getenv("QUOKKA_DOCS_PAGE")) {
			continue
		}
		if shared == nil && !p.has("own platform") && !p.has("own checkout") {
			shared = start(t, root, startsPlatform)
		}
		t.Run(p.name, func(t *testing.T) {
			at, dir := shared, root
			switch {
			case p.has("own checkout"):
				dir = checkout(t)
				at = newRunning(t, filepath.Join(reachable(t), "data"))
			case p.has("own platform") && shared != nil:
				at = start(t, dir, startsBuiltPlatform)
			case p.has("own platform"):
				at = start(t, dir, startsPlatform)
			}
			at.runPage(t, dir, run)
		})
	}
}

// runPage runs blocks in one shell; the first that fails ends the page.
func (at *running) runPage(t *testing.T, dir string, blocks []block) {
	s := newShell(t, dir, at.env)
	defer s.close(t)
	for _, b := range blocks {
		if b.has("platform") {
			continue // that is what start ran
		}
		at.learn()
		begin, wait := time.Now(), patience
		if b.has("slow") {
			wait = slowPatience
		}
		output, code, err := s.run(b, at.toActual.Replace(b.text), wait)
		output = at.toDefault.Replace(output)
		want := 0
		if b.has("exit") {
			_, _ = fmt.Sscan(b.attrs["exit"], &want)
		}
		if err == nil && code != want {
			err = fmt.Errorf("exit code %d, want %d", code, want)
		}
		if err == nil && b.expected != nil {
			err = match(b.expected.text, output)
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s\nprinted:\n%s", b, err, b.text, output)
		}
		t.Logf("%s, %.1f s:\n%s\n%s", b, time.Since(begin).Seconds(), b.text, output)
	}
}

// running is a platform for pages to talk to.
type running struct {
	data  string
	kafka int // a free port for Apache Kafka
	env   []string
	known bool
	// Pages name the default addresses.
	toActual, toDefault *strings.Replacer
}

func newRunning(t *testing.T, data string) *running {
	t.Helper()
	port, err := kafka.FreePort(3)
	if err != nil {
		t.Fatal(err)
	}
	at := &running{data: data, kafka: port, toActual: strings.NewReplacer(), toDefault: strings.NewReplacer()}
	at.env = append(environment(data), fmt.Sprintf("KAFKA_PORT=%d", at.kafka))
	return at
}

// learn finds out which free port stands for which default, once there is a
// platform: a page with a checkout of its own starts it itself.
func (at *running) learn() {
	p, err := platform.Load(at.data)
	if at.known || err != nil {
		return
	}
	at.known = true
	var forward, back []string
	for address, actual := range map[string]string{
		"127.0.0.1:9092": p.Kafka[0], "127.0.0.1:8081": p.RegistryURL, "127.0.0.1:54329": p.PostgresURL,
		"127.0.0.1:8101": p.OrderURL, "127.0.0.1:8102": p.InventoryURL, "127.0.0.1:8103": p.NotificationURL, "127.0.0.1:8104": p.SearchSyncURL,
		"127.0.0.1:1025": p.SMTP, "127.0.0.1:8025": p.MailURL, "127.0.0.1:16686": p.TracesURL,
		"127.0.0.1:29092": addr(at.kafka), "127.0.0.1:29093": addr(at.kafka + 1), "127.0.0.1:29094": addr(at.kafka + 2),
	} {
		if u, err := url.Parse(actual); err == nil && u.Host != "" {
			actual = u.Host
		}
		forward, back = append(forward, address, actual), append(back, actual, address)
	}
	at.toActual, at.toDefault = strings.NewReplacer(forward...), strings.NewReplacer(back...)
}

// start starts a platform as a reader does, but on free ports and with its data
// out of the way.
func start(t *testing.T, dir, command string) *running {
	t.Helper()
	if data := os.Getenv("QUOKKA_DOCS_ON"); data != "" {
		return newRunning(t, data)
	}
	at := newRunning(t, filepath.Join(reachable(t), "data"))
	var output bytes.Buffer
	cmd := exec.CommandContext(context.Background(), "bash", "-c", command)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, at.env, &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var p platform.Running
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		var err error
		if p, err = platform.Load(at.data); err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("%s: %v\n%s", command, err, &output)
		default:
		}
		if time.Now().After(deadline) {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
			t.Fatalf("%s: no platform after %s:\n%s", command, patience, &output)
		}
	}
	t.Cleanup(func() {
		_ = syscall.Kill(p.PID, syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("%s: %v\n%s", command, err, &output)
			}
		case <-time.After(patience):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
			t.Errorf("%s did not end within %s:\n%s", command, patience, &output)
		}
	})
	return at
}

func addr(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// environment is the user's, without settings of Quokka's; what listens takes
// free ports.
func environment(data string) []string {
	var env []string
	for _, line := range os.Environ() {
		name, _, _ := strings.Cut(line, "=")
		mine := strings.HasPrefix(name, "QUOKKA_") || strings.HasPrefix(name, "OTEL_") || strings.HasPrefix(name, "KAFKA_") || strings.HasPrefix(name, "MAKE")
		if !mine || name == "QUOKKA_POSTGRES_BIN" {
			env = append(env, line)
		}
	}
	env = append(env, "QUOKKA_DATA_DIR="+data, "QUOKKA_BROKER_LISTEN=127.0.0.1:0", "QUOKKA_BROKER_DATA_DIR="+data+"-broker")
	for _, part := range []string{"BROKER", "REGISTRY", "TRACES", "SMTP", "MAIL", "POSTGRES"} {
		env = append(env, "QUOKKA_"+part+"_ADDR=127.0.0.1:0")
	}
	for _, s := range roster.Services() {
		env = append(env, s.Variable("ADDR")+"=127.0.0.1:0")
	}
	return env
}

// reachable is a temporary directory that PostgreSQL's account may pass through.
func reachable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for up := dir; up != filepath.Clean(os.TempDir()) && up != "/"; up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// checkout copies the tree, as git clone would, but with its changes and with
// the programs that are built already.
func checkout(t *testing.T) string {
	t.Helper()
	dir := reachable(t)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // somebody's temporary file
		case err != nil:
			return err
		case name == ".git" || name == ".quokka" || d.Name() == "node_modules":
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(filepath.Join(dir, name), 0o755)
		case !d.Type().IsRegular():
			return nil
		case filepath.Dir(name) == ".bin":
			return os.Symlink(path, filepath.Join(dir, name))
		}
		info, err := d.Info()
		var text []byte
		if err == nil {
			text, err = os.ReadFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has gone since its folder was read
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), text, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
