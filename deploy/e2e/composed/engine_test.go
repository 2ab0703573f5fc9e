// Package composed runs what deploy/compose.yaml says where there is no Docker
// engine: each service of our own image as a process, with its command,
// environment, volumes, health check and dependencies. PostgreSQL and Mailpit
// are those of the embedded platform; of Jaeger there is only what takes spans.
package composed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/quokka-stream/quokka/deploy/compose"
	"github.com/quokka-stream/quokka/deploy/mailsink"
	"github.com/quokka-stream/quokka/internal/freeport"
	"github.com/quokka-stream/quokka/internal/pgserver"
)

// patience is how long anything may take to happen, on a slow machine that does
// other things too.
const patience = 5 * time.Minute

// engine runs a compose project as processes of this machine.
type engine struct {
	t        *testing.T
	project  *types.Project
	binary   string
	postgres string                // address
	volumes  string                // folder of the volumes
	ports    map[string]int        // by "service:port" in the project
	running  map[string]*container // by service
	traces   *traces               // those that Jaeger would have
}

// container is one process.
type container struct {
	cmd    *exec.Cmd
	output *transcript
	ended  chan struct{}
}

// transcript is what a process has printed so far.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// newEngine prepares a project's own services, and starts what stands in for
// the others.
func newEngine(t *testing.T, project *types.Project) *engine {
	e := &engine{
		t: t, project: project, binary: binary(t), volumes: t.TempDir(),
		ports: map[string]int{}, running: map[string]*container{},
	}
	server := pgserver.ForTest(t)
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	e.postgres = server
	e.ports["postgres:5432"] = portOf(t, u.Host)
	e.traces = newTraces(t, e.listen("jaeger:4318"))
	smtp, http := e.listen("mailpit:1025"), e.listen("mailpit:8025")
	sink, err := mailsink.Open(mailsink.Config{Dir: t.TempDir(), SMTP: smtp, HTTP: http})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- sink.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(sink.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return e
}

// listen takes a free port for an address of the project.
func (e *engine) listen(address string) net.Listener {
	e.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.t.Fatal(err)
	}
	e.ports[address] = l.Addr().(*net.TCPAddr).Port
	return l
}

// port is the port here for a service's port there. The service listens on it some
// time later.
func (e *engine) port(service, port string) string {
	e.t.Helper()
	address := service + ":" + port
	if e.ports[address] == 0 {
		free, err := freeport.Find()
		if err != nil {
			e.t.Fatal(err)
		}
		e.ports[address] = free
	}
	return strconv.Itoa(e.ports[address])
}

var (
	ownPort    = regexp.MustCompile(`(^|=)(?:|0\.0\.0\.0):(\d+)$`)
	loopback   = regexp.MustCompile(`127\.0\.0\.1:(\d+)`)
	otherParts = regexp.MustCompile(`\b([a-z][a-z-]*):(\d+)`)
)

// translate puts addresses and folders of this machine in the place of the
// containers'.
func (e *engine) translate(s types.ServiceConfig, text string) string {
	if m := ownPort.FindStringSubmatch(text); m != nil {
		return strings.TrimSuffix(text, ":"+m[2]) + "127.0.0.1:" + e.port(s.Name, m[2])
	}
	text = loopback.ReplaceAllStringFunc(text, func(at string) string {
		_, port, _ := net.SplitHostPort(at)
		return "127.0.0.1:" + e.port(s.Name, port)
	})
	text = otherParts.ReplaceAllStringFunc(text, func(at string) string {
		host, port, _ := net.SplitHostPort(at)
		if _, ok := e.project.Services[host]; !ok {
			return at
		}
		return "127.0.0.1:" + e.port(host, port)
	})
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeVolume {
			text = strings.ReplaceAll(text, v.Target, e.volume(v.Source))
		}
	}
	return text
}

// volume is the folder of a named volume.
func (e *engine) volume(name string) string {
	dir := filepath.Join(e.volumes, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		e.t.Fatal(err)
	}
	return dir
}

// environment is a service's environment here; nothing of ours goes in.
func (e *engine) environment(s types.ServiceConfig) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + e.volumes}
	for name, value := range s.Environment {
		switch name {
		case "QUOKKA_TRACES_URL": // nobody answers questions about traces
		case "QUOKKA_POSTGRES_URL":
			env = append(env, name+"="+e.postgres)
		default:
			env = append(env, name+"="+e.translate(s, *value))
		}
	}
	return env
}

// command prepares a process of a service, in the folder where the image's
// would begin: its volume, if it has one.
func (e *engine) command(ctx context.Context, s types.ServiceConfig, args []string) *exec.Cmd {
	translated := make([]string, len(args))
	for i, arg := range args {
		translated[i] = e.translate(s, arg)
	}
	cmd := exec.CommandContext(ctx, e.binary, translated...)
	cmd.Env = e.environment(s)
	cmd.Dir = e.t.TempDir()
	for _, v := range s.Volumes {
		if v.Target == "/var/lib/quokka" {
			cmd.Dir = e.volume(v.Source)
		}
	}
	cmd.WaitDelay = patience
	return cmd
}

// up starts every service of our own once what it waits for is so.
func (e *engine) up() {
	e.t.Helper()
	for len(e.running) < e.own() {
		started := false
		for _, name := range slices.Sorted(e.names()) {
			if e.running[name] == nil && e.dependenciesRun(name) {
				e.start(name)
				started = true
			}
		}
		if !started {
			e.t.Fatalf("these wait for each other: %v are running", slices.Sorted(e.names()))
		}
	}
}

func (e *engine) names() func(func(string) bool) {
	return func(yield func(string) bool) {
		for name, s := range e.project.Services {
			if compose.Own(s) && !yield(name) {
				return
			}
		}
	}
}

func (e *engine) own() int { return len(slices.Collect(e.names())) }

// dependenciesRun reports whether everything a service waits for was started,
// and then waits until it is as the service wants it.
func (e *engine) dependenciesRun(name string) bool {
	deps := e.project.Services[name].DependsOn
	for dep := range deps {
		if compose.Own(e.project.Services[dep]) && e.running[dep] == nil {
			return false
		}
	}
	for dep, how := range deps {
		if !compose.Own(e.project.Services[dep]) {
			continue
		}
		switch how.Condition {
		case types.ServiceConditionHealthy:
			e.awaitHealthy(dep)
		case types.ServiceConditionCompletedSuccessfully:
			if code := e.await(dep); code != 0 {
				e.t.Fatalf("%s ended with %d:\n%s", dep, code, e.running[dep].output)
			}
		}
	}
	return true
}

func (e *engine) start(name string) {
	e.t.Helper()
	s := e.project.Services[name]
	c := &container{cmd: e.command(context.Background(), s, s.Command), output: &transcript{}, ended: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = c.output, c.output
	if err := c.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait() // its code is read from its state
	}()
	e.running[name] = c
	e.t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.ended
	})
}

// awaitHealthy runs a service's health check until it passes.
func (e *engine) awaitHealthy(name string) {
	e.t.Helper()
	s := e.project.Services[name]
	deadline := time.Now().Add(patience)
	for {
		check := e.command(e.t.Context(), s, s.HealthCheck.Test[2:])
		out, err := check.CombinedOutput()
		if err == nil {
			return
		}
		select {
		case <-e.running[name].ended:
			e.t.Fatalf("%s ended:\n%s", name, e.running[name].output)
		default:
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("%s is not healthy: %v: %s\n%s", name, err, out, e.running[name].output)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// await waits for a service to end and returns its exit code.
func (e *engine) await(name string) int {
	e.t.Helper()
	c := e.running[name]
	select {
	case <-c.ended:
	case <-time.After(patience):
		e.t.Fatalf("%s has not ended within %s:\n%s", name, patience, c.output)
	}
	return c.cmd.ProcessState.ExitCode()
}

// down asks every service to end, as `docker compose down` does, and expects
// that it does so cleanly.
func (e *engine) down() {
	e.t.Helper()
	for _, c := range e.running {
		_ = c.cmd.Process.Signal(syscall.SIGTERM)
	}
	for name, c := range e.running {
		if code := e.await(name); code != 0 {
			e.t.Errorf("%s ended with %d:\n%s", name, code, c.output)
		}
	}
}

// anonymous is how much memory of its own a process has, in bytes; 0 where
// that is not known.
func (c *container) anonymous() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	var kb int64
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "RssAnon: %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	return 0
}

func portOf(t *testing.T, host string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(host)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// binary is the quokka command: QUOKKA_E2E_BINARY, or built.
func binary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("QUOKKA_E2E_BINARY"); path != "" {
		path, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	path := filepath.Join(t.TempDir(), "quokka")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "github.com/quokka-stream/quokka/deploy/quokka").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}
