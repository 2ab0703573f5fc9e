package newservice_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/quokka-stream/quokka/deploy/newservice"
)

// The tree may hold services of its user: those made here have names that nobody else
// is likely to want. What is generated is compiled and run by deploy/e2e/newservice; here is what the
// generator accepts, changes and compares.

// checkout copies what the generator reads and writes.
func checkout(t *testing.T) string {
	t.Helper()
	root, dir := filepath.Join("..", ".."), t.TempDir()
	for _, name := range []string{
		"go.work", "services", "schemas/topics.go", "schemas/avro", "schemas/events", "docs/configuration.md",
		"deploy/roster", "deploy/compose.yaml", "deploy/compose.services.yaml",
	} {
		err := filepath.WalkDir(filepath.Join(root, name), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			rel, _ := filepath.Rel(root, path)
			write(t, filepath.Join(dir, rel), string(text))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// content is every file of a folder.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		out[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func parcel() newservice.Spec {
	return newservice.Spec{Name: "parcel", Consumes: []string{"orders.v1"}, Produces: []string{"parcels.v1"}, HTTP: true}
}

func create(t *testing.T, dir string, spec newservice.Spec) newservice.Result {
	t.Helper()
	r, err := newservice.Create(dir, spec)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestFindsTheCheckout: from its root, from inside, and nowhere else.
func TestFindsTheCheckout(t *testing.T) {
	dir := checkout(t)
	for _, at := range []string{dir, filepath.Join(dir, "services", "order")} {
		if root, err := newservice.Find(at); err != nil || root != dir {
			t.Errorf("from %s: %s, %v", at, root, err)
		}
	}
	if _, err := newservice.Find(t.TempDir()); err == nil || !strings.Contains(err.Error(), "--checkout") {
		t.Errorf("outside: %v", err)
	}
}

// TestAgain: the same command changes nothing, also when the service has changed
// since; other arguments are refused.
func TestAgain(t *testing.T) {
	dir := checkout(t)
	first := create(t, dir, parcel())
	if first.Again || first.Port < 8105 || !slices.Contains(first.Changed, "schemas/topics.go") || !slices.Contains(first.Added, "services/parcel/handlers.go") {
		t.Errorf("first: %+v", first)
	}
	handlers := filepath.Join(dir, "services", "parcel", "handlers.go")
	write(t, handlers, "package parcel // mine now\n")
	before := content(t, dir)
	same := parcel()
	same.DB, same.Consumes = true, []string{"orders.v1", "orders.v1"} // means the same
	if again := create(t, dir, same); !again.Again || len(again.Added)+len(again.Changed) > 0 {
		t.Errorf("again: %+v", again)
	}
	other := parcel()
	other.HTTP = false
	if _, err := newservice.Create(dir, other); err == nil || !strings.Contains(err.Error(), "quokka new service parcel --consumes orders.v1 --produces parcels.v1 --db --http") {
		t.Errorf("other arguments: %v", err)
	}
	if diff := cmp.Diff(before, content(t, dir)); diff != "" {
		t.Errorf("files changed:\n%s", diff)
	}
}

// TestRefused: the error says what would do, and nothing is written.
func TestRefused(t *testing.T) {
	dir := checkout(t)
	create(t, dir, parcel())
	before := content(t, dir)
	consumes := []string{"orders.v1"}
	for _, tc := range []struct {
		spec newservice.Spec
		want string
	}{
		{newservice.Spec{Name: "Fraud", Consumes: consumes}, "one word"},
		{newservice.Spec{Name: "fraud-check", Consumes: consumes}, "one word"},
		{newservice.Spec{Name: "range", Consumes: consumes}, "meaning in Go"},
		{newservice.Spec{Name: "string", Consumes: consumes}, "meaning in Go"},
		{newservice.Spec{Name: "consume", Consumes: consumes}, "choose another"},
		{newservice.Spec{Name: "postgres", Consumes: consumes}, "choose another"},
		{newservice.Spec{Name: "demo", Consumes: consumes, Reserved: []string{"demo"}}, "command `quokka demo`"},
		{newservice.Spec{Name: "template", Consumes: consumes}, "the template itself"},
		{newservice.Spec{Name: "order", Consumes: consumes}, "written by hand"},
		{newservice.Spec{Name: "searchsync", Consumes: consumes}, "written by hand"},
		{newservice.Spec{Name: "fraud"}, "orders.v1, inventory.v1, cdc.inventory.public.products, cdc.order.public.customers, logs.v1, "},
		{newservice.Spec{Name: "fraud", Consumes: []string{"order.v1"}}, "there are orders.v1, inventory.v1"},
		{newservice.Spec{Name: "fraud", Consumes: []string{"examples.v1"}}, "no such topic"},
		{newservice.Spec{Name: "fraud", Consumes: consumes, Produces: []string{"orders.v1"}}, "answer itself"},
		{newservice.Spec{Name: "fraud", Consumes: consumes, Produces: []string{"parcels.v1"}}, "one writer"},
		{newservice.Spec{Name: "fraud", Consumes: consumes, Produces: []string{"frauds.v2"}}, "such as payments.v1"},
		{newservice.Spec{Name: "fraud", Consumes: consumes, Produces: []string{"parcel.v1"}}, "schemas/avro/parcel"},
		{newservice.Spec{Name: "fraud", Consumes: consumes, Produces: []string{"topics.v1"}}, "is taken"},
	} {
		_, err := newservice.Create(dir, tc.spec)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s consumes %v, produces %v: %v, want %q", tc.spec.Name, tc.spec.Consumes, tc.spec.Produces, err, tc.want)
		}
	}
	if diff := cmp.Diff(before, content(t, dir)); diff != "" {
		t.Errorf("files changed:\n%s", diff)
	}
}

// TestNothingOfTheTemplateIsLeft: no name of the samples stays behind.
func TestNothingOfTheTemplateIsLeft(t *testing.T) {
	dir := checkout(t)
	create(t, dir, newservice.Spec{Name: "pledger", Consumes: []string{"inventory.v1", "cdc.inventory.public.products"}, Produces: []string{"pbalances.v1", "pledgers.v1"}, HTTP: true})
	create(t, dir, newservice.Spec{Name: "pwatch", Consumes: []string{"logs.v1"}, HTTP: true})
	for _, folder := range []string{"services/pledger", "services/pwatch", "schemas/avro/pbalance", "schemas/avro/pledger"} {
		for name, text := range content(t, filepath.Join(dir, folder)) {
			for _, sample := range []string{"template", "Template", "TEMPLATE", "xample", "customers", "rderPlaced", "TopicOrders", "orders.v1", "8199", "8198"} {
				if strings.Contains(text, sample) || strings.Contains(strings.TrimPrefix(name, dir), sample) {
					t.Errorf("%s has %q", name, sample)
				}
			}
		}
	}
}

// TestComposeBlock: beside its name and address, a made service is in docker compose
// as inventory is.
func TestComposeBlock(t *testing.T) {
	dir := checkout(t)
	r := create(t, dir, parcel())
	options, err := cli.NewProjectOptions([]string{filepath.Join(dir, "deploy", "compose.yaml")}, cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	made, model := project.Services["parcel"], project.Services["inventory"]
	address := func(s types.ServiceConfig, name string) string {
		out := strings.Join(s.Command, " ")
		for _, p := range s.Ports {
			out += " " + p.HostIP + ":" + p.Published
		}
		v := s.Environment[name]
		if v != nil {
			out += " " + *v
		}
		return out + " " + strings.Join(s.HealthCheck.Test, " ")
	}
	if got, want := address(made, "QUOKKA_PARCEL_ADDR"), strings.NewReplacer("inventory", "parcel", "8102", strconv.Itoa(r.Port)).Replace(address(model, "QUOKKA_INVENTORY_ADDR")); got != want {
		t.Errorf("address:\n%s, want\n%s", got, want)
	}
	for _, s := range []*types.ServiceConfig{&made, &model} {
		s.Name, s.Command, s.Ports, s.HealthCheck.Test = "", nil, nil, nil
		s.Environment = maps.Clone(s.Environment)
		maps.DeleteFunc(s.Environment, func(name string, _ *string) bool { return strings.HasSuffix(name, "_ADDR") })
	}
	if diff := cmp.Diff(model, made); diff != "" {
		t.Errorf("parcel differs from inventory:\n%s", diff)
	}
}

// TestDrift: as they are, no service has drifted; what one lacks is told, with the
// place in the template.
func TestDrift(t *testing.T) {
	dir := checkout(t)
	made := create(t, dir, parcel())
	create(t, dir, newservice.Spec{Name: "pwatch", Consumes: []string{"logs.v1"}})
	services, drifts, err := newservice.Check(dir)
	if err != nil || len(drifts) > 0 || !slices.Contains(services, "searchsync") || !slices.Contains(services, "pwatch") {
		t.Fatalf("%v: %v, %v", services, drifts, err)
	}
	// A port, a comment and the layout are the service's own.
	change := func(service, from, to string) {
		t.Helper()
		path := filepath.Join(dir, "services", service, "service.go")
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), from) {
			t.Fatalf("%s has no %q: %v", path, from, err)
		}
		write(t, path, strings.Replace(string(text), from, to, 1))
	}
	change("parcel", fmt.Sprintf("127.0.0.1:%d", made.Port), "127.0.0.1:9999")
	change("parcel", "	defer s.close()\n", "	// in the end\n\n	defer s.close()\n")
	if _, drifts, err := newservice.Check(dir); err != nil || len(drifts) > 0 {
		t.Fatalf("%v, %v", drifts, err)
	}
	change("parcel", `		{Name: "outbox relay", Run: s.relay.Run},`+"\n", "")
	change("searchsync", "	s.http.Ready(\"consumer\", s.consumer.Ready)\n", "")
	change("pwatch", "%w", "%v")
	var got []string
	_, drifts, err = newservice.Check(dir)
	for _, d := range drifts {
		got = append(got, d.Service+": "+d.Part)
		if !strings.Contains(d.String(), "services/template") || strings.Contains(d.Want, "template") {
			t.Errorf("reported as: %s", d)
		}
	}
	want := []string{
		"parcel: the relay runs",
		"pwatch: errors name the service, and leave nothing open",
		"searchsync: readiness",
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
}
