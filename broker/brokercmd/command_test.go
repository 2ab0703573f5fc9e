package brokercmd

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"go.uber.org/goleak"

	"github.com/quokka-stream/quokka/broker"
)

// output collects what a command writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// after returns the word behind prefix, once it is there.
func (o *output) after(t *testing.T, prefix, end string) string {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(2 * time.Millisecond) {
		if _, rest, ok := strings.Cut(o.String(), prefix); ok {
			if word, _, ok := strings.Cut(rest, end); ok {
				return word
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q is not in: %s", prefix, o)
		}
	}
}

// running is a command that runs.
type running struct {
	out, log *output
	stop     context.CancelFunc
	ended    chan error
}

func run(t *testing.T, c Command, args ...string) *running {
	t.Helper()
	r := &running{out: &output{}, log: &output{}, ended: make(chan error, 1)}
	c.Name, c.Stdout, c.Log = "broker", r.out, r.log
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- c.Run(ctx, args)
	}()
	t.Cleanup(func() { // before its directory goes
		stop()
		<-done
	})
	return r
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestRun: a broker by the settings of a file, with health and metrics; it ends
// without an error and leaves nothing running.
func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	config := filepath.Join(t.TempDir(), "server.properties")
	text := "listeners=INSIDE://127.0.0.1:0,OUTSIDE://127.0.0.1:0\nlistener.security.protocol.map=INSIDE:PLAINTEXT,OUTSIDE:SASL_PLAINTEXT\n" +
		"num.network.threads=7\nauto.create.topics.enable=true\nquokka.log.format=json\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	prepared, ended := false, false
	r := run(t, Command{
		Environ: []string{"QUOKKA_BROKER_METRICS=127.0.0.1:0", configVariable + "=" + config},
		Flags:   func(f *flag.FlagSet) { f.Bool("mine", false, "") },
		Prepare: func(_ context.Context, cfg *broker.Config) (func(), error) {
			prepared = cfg.Settings["num.network.threads"] == "7"
			return func() { ended = true }, nil
		},
	}, "--data-dir", t.TempDir(), "--mine")
	addr := r.out.after(t, "listening on ", ",")
	for _, want := range []string{`"msg":"listening"`, `"listener":"OUTSIDE","protocol":"SASL_PLAINTEXT"`, `"settings":["num.network.threads"]`} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log does not say %s: %s", want, r.log)
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	client.Close()
	web := "http://" + r.log.after(t, `"metrics and health are served","service":"broker","addr":"`, `"`)
	if code, body := get(t, web+"/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("/healthz answers %d %s", code, body)
	}
	if _, body := get(t, web+"/metrics"); !strings.Contains(body, `kafka_server_socket_server_metrics_connection_creation_total{listener="INSIDE"}`) {
		t.Errorf("/metrics: %s", body)
	}
	r.stop()
	if err := <-r.ended; err != nil {
		t.Errorf("stopped: %v", err)
	}
	if !prepared || !ended {
		t.Errorf("prepared %v, ended %v", prepared, ended)
	}
}

// TestRefusals: one error that says what to do.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	first := run(t, Command{}, "--data-dir", dir, "--listen", "127.0.0.1:0")
	addr := first.out.after(t, "listening on ", ",")
	var lc net.ListenConfig
	taken, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bad := filepath.Join(t.TempDir(), "bad.properties")
	if err := os.WriteFile(bad, []byte("num.partition=3"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		args  []string
		usage bool
		want  []string
	}{
		{"the directory is in use", []string{"--data-dir", dir, "--listen", "127.0.0.1:0"}, false, []string{dir, "in use by another broker", "stop that one"}},
		{"the port is taken", []string{"--listen", addr}, false, []string{addr, "taken by another program", "--listen"}},
		{"the port for metrics is taken", []string{"--metrics", taken.Addr().String()}, false, []string{taken.Addr().String(), "--metrics"}},
		{"a flag that is none", []string{"--lissen", "x"}, true, []string{"-lissen", "--help"}},
		{"an argument", []string{"start"}, true, []string{`"start"`, "--help"}},
		{"a time that is none", []string{"--flush-every", "5"}, true, []string{"flush-every"}},
		{"a file that is not there", []string{"--config", "none.properties"}, false, []string{"none.properties", "--config"}},
		{"a file with a slip of the pen", []string{"--config", bad}, false, []string{bad, "line 1", "num.partitions"}},
		{"a value that cannot be", []string{"--default-partitions", "many"}, false, []string{"num.partitions", "many"}},
		{"a log level that is none", []string{"--log-level", "loud"}, false, []string{"loud", "debug, info, warn or error"}},
		{"a log format that is none", []string{"--log-format", "xml"}, false, []string{"xml", "text or json"}},
		{"other machines", []string{"--listen", "0.0.0.0:0"}, false, []string{"0.0.0.0:0", "--allow-remote"}},
	} {
		args := append([]string{"--data-dir", t.TempDir(), "--listen", "127.0.0.1:0"}, c.args...)
		err := Command{Name: "broker", Stdout: io.Discard, Log: io.Discard}.Run(t.Context(), args)
		if err == nil {
			t.Errorf("%s: it ran", c.name)
			continue
		}
		var usage *UsageError
		if errors.As(err, &usage) != c.usage {
			t.Errorf("%s: %T", c.name, err)
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error does not say %q: %v", c.name, want, err)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: more than one line: %v", c.name, err)
		}
	}
	first.stop()
	if err := <-first.ended; err != nil {
		t.Error(err)
	}
}

// TestHelp: the help has every flag and its variable, the list every setting.
func TestHelp(t *testing.T) {
	text := func(arg string) string {
		var out bytes.Buffer
		if err := (Command{Name: "broker", Stdout: &out}).Run(t.Context(), []string{arg}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	help := text("--help")
	for _, o := range options {
		if !strings.Contains(help, "--"+o.flag+" ") || !strings.Contains(help, o.variable()) {
			t.Errorf("the help has not --%s or %s", o.flag, o.variable())
		}
	}
	for _, want := range []string{"--config FILE", "--override NAME=VALUE", "--list-settings", "A flag wins"} {
		if !strings.Contains(help, want) {
			t.Errorf("the help does not say %q", want)
		}
	}
	if list := text("--list-settings"); strings.Count(list, "\n") < 600 || !strings.Contains(list, "num.partitions=1\n  read-only. Partitions of a topic") || !strings.Contains(list, "In Kafka: 2147483647.\n") {
		t.Errorf("the list of settings: %s", list)
	}
}

// TestFirstUsers: the users of a file can log in, and a super user may do what the
// first rule forbids the others.
func TestFirstUsers(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("# first users\nadmin:se:cret\n\nalice:wonder\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := run(t, Command{}, "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--sasl", "--users-file", users, "--super-users", "User:CN=x,O=y;User:admin")
	addr := r.out.after(t, "listening on ", ",")
	as := func(user, password string) *kadm.Client {
		c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha256Mechanism()), kgo.RequestRetries(0))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return kadm.NewClient(c)
	}
	admin, alice := as("admin", "se:cret"), as("alice", "wonder")
	if _, err := alice.CreateTopic(t.Context(), 1, 1, nil, "before"); err != nil {
		t.Errorf("before the first rule: %v", err)
	}
	if _, err := admin.CreateACLs(t.Context(), kadm.NewACLs().Topics("x").ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpRead).Allow("User:x").AllowHosts()); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.CreateTopic(t.Context(), 1, 1, nil, "after"); err == nil {
		t.Error("after the first rule a user may still do everything")
	}
	if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "super"); err != nil {
		t.Errorf("the super user: %v", err)
	}
	if _, err := as("alice", "land").Metadata(t.Context()); err == nil {
		t.Error("with a wrong password")
	}
}

// TestFiles: check and repair of what a stopped broker keeps, and their refusals.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	r := run(t, Command{}, "--data-dir", dir, "--listen", "127.0.0.1:0")
	r.out.after(t, "listening on ", ",")
	do := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := Command{Name: "broker", Stdout: &out, Environ: []string{dataDirVariable + "=" + dir}}.Run(t.Context(), args)
		return out.String(), err
	}
	if out, err := do("check"); err == nil {
		t.Errorf("the files of a broker that runs: %s", out)
	}
	r.stop()
	if err := <-r.ended; err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check"}, {"check", "--data-dir", dir}, {"repair", "--data-dir", dir}} {
		if out, err := do(args...); err != nil || out == "" {
			t.Errorf("%v: %v, %q", args, err, out)
		}
	}
	if out, err := do("repair", "--help"); err != nil || !strings.Contains(out, "Usage: broker repair") || !strings.Contains(out, "--apply ") || !strings.Contains(out, "--data-dir DIR ") {
		t.Errorf("help: %v, %s", err, out)
	}
	for _, args := range [][]string{{"check", "x"}, {"repair", "--lose-all"}} {
		var usage *UsageError
		if _, err := do(args...); !errors.As(err, &usage) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
