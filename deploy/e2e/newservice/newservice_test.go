// Package newservice makes services by `quokka new service` in a copy of the tree,
// and sees them there as their author would: they compile, pass the linter and
// their tests, the checks of the tree hold with them in it, and in a running
// platform they take part in the trace of an order.
package newservice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quokka-stream/quokka/deploy/platform"
)

// patience is how long anything may take to happen, on a slow machine that does
// other things too.
const patience = 5 * time.Minute

// made are services with every combination of what may be asked for: events whose
// types are known and rows of tables, none, one and two topics of their own, those
// of a service made before, with a database and without, with an API and without.
// Their names are such that a user's own services are not in the way.
var made = []struct{ name, args string }{
	{"parcel", "--consumes orders.v1 --produces parcels.v1 --db --http"},
	{"pledger", "--consumes inventory.v1,parcels.v1,cdc.order.public.customers --produces pledgers.v1,pbalances.v1"},
	{"paudit", "--consumes orders.v1,logs.v1,cdc.inventory.public.products --db --http"},
	{"parchive", "--consumes inventory.v1 --db"},
	{"pmirror", "--consumes cdc.order.public.customers --produces pmirrors.v1"},
	{"pmonitor", "--consumes orders.v1,inventory.v1,logs.v1,cdc.order.public.customers --http"},
	{"pwatch", "--consumes cdc.order.public.customers,orders.v1"},
	{"pfollow", "--consumes cdc.inventory.public.products --http"},
}

// TestNewService goes from `quokka new service` to a trace.
func TestNewService(t *testing.T) {
	dir := checkout(t)
	quokka := os.Getenv("QUOKKA_E2E_BINARY")
	if quokka == "" {
		quokka = filepath.Join(t.TempDir(), "quokka")
		run(t, dir, "go", "build", "-o", quokka, "./deploy/quokka")
	}
	quokka, err := filepath.Abs(quokka)
	if err != nil {
		t.Fatal(err)
	}
	var packages []string
	for _, m := range made {
		args := append([]string{"new", "service", m.name}, strings.Fields(m.args)...)
		out := run(t, dir, quokka, args...)
		for _, want := range []string{"added    services/" + m.name + "/handlers.go", "changed  schemas/topics.go", "1. make build && go test ./services/" + m.name} {
			if !strings.Contains(out, want) {
				t.Errorf("quokka %s: no %q in\n%s", strings.Join(args, " "), want, out)
			}
		}
		if out := run(t, dir, quokka, args...); !strings.Contains(out, "nothing was changed") {
			t.Errorf("again: %s", out)
		}
		packages = append(packages, "./services/"+m.name+"/...")
	}
	run(t, dir, quokka, "new", "service", "--check")

	// The checks of `make test` that look at what was added.
	run(t, dir, "go", "build", "-o", filepath.Join(dir, ".bin", "quokka"), "./deploy/quokka")
	if out := run(t, dir, "gofmt", "-l", "services", "schemas", "deploy"); out != "" {
		t.Errorf("gofmt would change:\n%s", out)
	}
	run(t, dir, "go", append([]string{"vet", "./deploy/roster", "./schemas/..."}, packages...)...)
	if linter := linter(t); linter != "" {
		run(t, dir, linter, append([]string{"run", "--allow-parallel-runners", "./deploy/roster/...", "./schemas/..."}, packages...)...)
	}
	run(t, dir, "go", "run", "./schemas/cmd/schemas", "generate", "--check")
	run(t, dir, "go", "run", "./schemas/cmd/schemas", "check")
	run(t, dir, "go", "test", "-short", "-count=1", "-run", "Files|Arrows", "./internal/workspace/...")
	run(t, dir, "go", append([]string{
		"test", "./schemas", "./schemas/events/...", "./schemas/cmd/...",
		"./deploy/roster", "./deploy/quokka", "./deploy/compose", "./deploy/installation", "./deploy/platform",
	}, packages...)...)

	takesPart(t, filepath.Join(dir, ".bin", "quokka"))
}

// takesPart runs the platform, places orders, has it verified, and looks for the
// services in the trace of an order and behind their APIs.
func takesPart(t *testing.T, quokka string) {
	dir := filepath.Join(reachable(t), "data")
	cmd := exec.CommandContext(t.Context(), quokka, "up", "--free-ports", "--data-dir", dir)
	var output strings.Builder
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = environ(), &output, &output, patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stopped := false
	defer func() {
		if !stopped {
			_ = cmd.Process.Kill()
			<-ended
		}
	}()
	var at platform.Running
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		var err error
		if at, err = platform.Load(dir); err == nil {
			break
		}
		select {
		case err := <-ended:
			stopped = true
			t.Fatalf("quokka up: %v\n%s", err, &output)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("quokka up: not ready within %s: %v", patience, err)
		}
	}

	// The checker waits for every group, those of the new services too, and counts
	// what they gave up as lost.
	run(t, dir, quokka, "load", "--data-dir", dir, "--orders", "5", "--verify")
	var listed struct {
		Orders []struct {
			OrderID string `json:"order_id"`
			Status  string `json:"status"`
		} `json:"orders"`
	}
	get(t, at.OrderURL+"/orders?status=confirmed", &listed)
	if len(listed.Orders) == 0 {
		t.Fatal("no order was confirmed")
	}
	order := listed.Orders[0].OrderID
	want := []string{
		"parcel +process orders.v1", "parcel +send parcels.v1", "pledger +process parcels.v1", "pledger +send pledgers.v1",
		"paudit +process orders.v1", "parchive +process inventory.v1", "pmonitor +process orders.v1", "pwatch +process orders.v1",
	}
	trace, missing := "", "all"
	for deadline := time.Now().Add(patience); missing != "" && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		trace, missing = run(t, dir, quokka, "trace", order, "--data-dir", dir), ""
		for _, hop := range want {
			if !regexp.MustCompile(hop).MatchString(trace) {
				missing = hop
			}
		}
	}
	if missing != "" {
		t.Errorf("%q is not in the trace of order %s:\n%s", missing, order, trace)
	}

	var entries struct {
		Entries []struct{ Type, Subject string }
	}
	get(t, at.Services["parcel"]+"/entries?subject="+order, &entries)
	if len(entries.Entries) != 2 { // placed, confirmed
		t.Errorf("parcel has %v of order %s, want two entries", entries.Entries, order)
	}
	var recent struct{ Recent []struct{ Type string } }
	get(t, at.Services["pmonitor"]+"/recent", &recent)
	if len(recent.Recent) == 0 {
		t.Error("pmonitor has seen nothing")
	}

	_ = cmd.Process.Signal(syscall.SIGTERM)
	err := <-ended
	stopped = true
	if err != nil {
		t.Errorf("quokka up: %v\n%s", err, &output)
	}
}

func get(t *testing.T, url string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", url, resp.Status, err)
	}
}

// run runs a command in the copy of the tree and returns what it prints.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, environ()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	t.Logf("%.1f s: %s %s", time.Since(begin).Seconds(), filepath.Base(name), strings.Join(args, " "))
	return string(out)
}

// environ is the environment without the user's settings.
func environ() (env []string) {
	for _, line := range os.Environ() {
		if !strings.HasPrefix(line, "QUOKKA_") && !strings.HasPrefix(line, "OTEL_") || strings.HasPrefix(line, "QUOKKA_POSTGRES_BIN=") {
			env = append(env, line)
		}
	}
	return env
}

// root is the tree that this test belongs to.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// linter is the linter that `make lint` built, "" if it has not.
func linter(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(root(t), ".bin", "golangci-lint-*"))
	if len(found) == 0 {
		fmt.Println("lint of generated services: not run (make lint builds the linter)")
		return ""
	}
	return found[len(found)-1]
}

// checkout copies the tree, as it is, without what builds and runs left in it.
func checkout(t *testing.T) string {
	t.Helper()
	from, to := root(t), reachable(t)
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // somebody's temporary file
		}
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(from, path)
		switch {
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && rel != ".":
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has gone since its folder was read
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	// The linter's settings and the folder of programs.
	settings, err := os.ReadFile(filepath.Join(from, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, ".golangci.yml"), settings, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(to, ".bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

// reachable is a temporary directory that every account may pass through:
// PostgreSQL does not run as root.
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
