package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/quokka-stream/quokka/broker/brokertest"
	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/avro"
	"github.com/quokka-stream/quokka/schemas/events"
	"github.com/quokka-stream/quokka/schemas/registry"
)

// invoke runs a command line.
func invoke(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

const module = "../.." // the schemas module, from here

// TestTheRepository checks the platform's own schemas.
func TestTheRepository(t *testing.T) {
	for _, args := range [][]string{{"check"}, {"generate", "--check"}} {
		if code, out, errs := invoke(t, append(args, "--dir", module)...); code != 0 {
			t.Errorf("schemas %v: exit %d\n%s%s", args, code, out, errs)
		}
	}
}

// tree is an avro directory with one event on one topic, released once.
func tree(event string, history ...string) fstest.MapFS {
	fsys := fstest.MapFS{"order/Placed.avsc": file(event)}
	for i, h := range history {
		fsys["order/history/Placed."+string(rune('1'+i))+".avsc"] = file(h)
	}
	return fsys
}

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func event(fields ...string) string {
	return `{"type":"record","name":"Placed","namespace":"quokka.order.v1","doc":"d","fields":[` + strings.Join(fields, ",") + `]}`
}

func field(name, typ string, more ...string) string {
	return `{"name":"` + name + `","type":` + typ + `,"doc":"d"` + strings.Join(append([]string{""}, more...), ",") + `}`
}

func topics(level string) []schemas.Topic {
	return []schemas.Topic{{Name: "orders.v1", Subjects: schemas.TopicRecordName, Schemas: []string{"quokka.order.v1.Placed"}, Compatibility: level}}
}

// TestCheck lists what is refused, with the whole message, and what is not.
func TestCheck(t *testing.T) {
	const where = "order/Placed.avsc: subject orders.v1-quokka.order.v1.Placed"
	a, millis := field("a", `"int"`), field("at", `{"type":"long","logicalType":"timestamp-millis"}`)
	tests := []struct {
		name  string
		fsys  fstest.MapFS
		level string
		want  []string // beginnings of messages
	}{
		{"as released", tree(event(a), event(a)), schemas.FullTransitive, nil},
		{"new", tree(event(a)), schemas.FullTransitive, []string{where + ": the event is new and not recorded: run schemas release"}},
		{"unrecorded optional field", tree(event(a, field("b", `"int"`, `"default":0`)), event(a)), schemas.FullTransitive,
			[]string{where + ": its changes are not recorded: run schemas release, and commit avro/order/history/Placed.2.avsc"}},
		{"unrecorded doc", tree(strings.Replace(event(a), `"doc":"d"`, `"doc":"e"`, 1), event(a)), schemas.FullTransitive, []string{where + ": its changes are not recorded"}},
		{"required field", tree(event(a, field("b", `"int"`)), event(a)), schemas.FullTransitive,
			[]string{where + ", version 1: field b: READER_FIELD_MISSING_DEFAULT_VALUE: the new schema has the field"}},
		{"field removed", tree(event(), event(a)), schemas.FullTransitive,
			[]string{where + ", version 1: field a: READER_FIELD_MISSING_DEFAULT_VALUE: the old schema has the field"}},
		{"field removed, backward", tree(event(), event(a)), schemas.Backward, []string{where + ": its changes are not recorded"}},
		{"type changed", tree(event(field("a", `"string"`)), event(a)), schemas.Backward, []string{where + ", version 1: field a: TYPE_MISMATCH"}},
		{"against an older version", tree(event(field("x", `"string"`, `"default":""`)), event(field("x", `"int"`, `"default":0`)), event()), schemas.FullTransitive,
			[]string{where + ", version 1: field x: TYPE_MISMATCH", where + ", version 1: field x: TYPE_MISMATCH"}},
		{"the unit of a time", tree(event(field("at", `{"type":"long","logicalType":"timestamp-micros"}`)), event(millis)), schemas.FullTransitive,
			[]string{where + ", version 1: field at: LOGICAL_TYPE: the same bytes would mean something else: it was timestamp-millis and is timestamp-micros"}},
		{"a time becomes nullable with another unit", tree(event(field("at", `["null",{"type":"long","logicalType":"timestamp-micros"}]`, `"default":null`)), event(millis)), schemas.Backward,
			[]string{where + ", version 1: field at: LOGICAL_TYPE"}},
		{"the scale of an amount", tree(event(field("p", `{"type":"array","items":{"type":"bytes","logicalType":"decimal","precision":9,"scale":4}}`)),
			event(field("p", `{"type":"array","items":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}}`))), schemas.FullTransitive,
			[]string{where + ", version 1: field p[]: LOGICAL_TYPE: the same bytes would mean something else: it was decimal of scale 2 and is decimal of scale 4"}},
		{"no topic", fstest.MapFS{"order/Placed.avsc": file(event(a)), "order/history/Placed.1.avsc": file(event(a)),
			"order/Other.avsc": file(strings.Replace(event(a), "Placed", "Other", 1))}, schemas.FullTransitive, []string{"order/Other.avsc: no topic carries this event"}},
		{"released and gone", fstest.MapFS{"order/Placed.avsc": file(event(a)), "order/history/Placed.1.avsc": file(event(a)),
			"order/history/Gone.1.avsc": file(strings.Replace(event(a), "Placed", "Gone", 1))}, schemas.FullTransitive, []string{"order/Gone.avsc, version 1: the event was released and its file is gone"}},
		{"on a topic and not defined", fstest.MapFS{"logs/Line.avsc": file(`{"type":"record","name":"Line","namespace":"quokka.logs.v1","doc":"d","fields":[]}`)}, schemas.FullTransitive,
			[]string{"logs/Line.avsc: no topic carries this event", "topics.go: topic orders.v1 carries quokka.order.v1.Placed, which no file defines"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found, err := check(tt.fsys, topics(tt.level))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(found, tt.want, func(p problem, want string) bool { return strings.HasPrefix(p.String(), want) }) {
				t.Errorf("got %q\nwant %q", found, tt.want)
			}
		})
	}
}

// TestCheckErrors lists trees that are not checked at all.
func TestCheckErrors(t *testing.T) {
	a := field("a", `"int"`)
	for name, tt := range map[string]struct {
		fsys fs.FS
		want string
	}{
		"undocumented field": {tree(event(`{"name":"a","type":"int"}`)), "field Placed.a has no doc"},
		"not a schema":       {tree(`{`), "order/Placed.avsc"},
		"empty":              {fstest.MapFS{}, "no */*.avsc files found"},
		"gap in the history": {fstest.MapFS{"order/Placed.avsc": file(event(a)), "order/history/Placed.2.avsc": file(event(a))}, "order/history/Placed.1.avsc is missing"},
		"stray file":         {fstest.MapFS{"order/Placed.avsc": file(event(a)), "order/history/notes.txt": file("")}, "order/history/notes.txt"},
		"wrong name":         {fstest.MapFS{"order/Placed.avsc": file(event(a)), "order/history/Other.1.avsc": file(event(a))}, "defines quokka.order.v1.Placed"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := check(tt.fsys, topics(schemas.FullTransitive)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// TestRelease records versions one after the other, and nothing where one of
// the changes is refused.
func TestRelease(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, "order"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "order", "Placed.avsc"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	declared := topics(schemas.FullTransitive)
	steps := []struct {
		event   string
		files   []string
		refused bool
	}{
		{event(field("a", `"int"`)), []string{"order/history/Placed.1.avsc"}, false},
		{event(field("a", `"int"`)), nil, false},
		{event(field("a", `"int"`), field("b", `"int"`, `"default":0`)), []string{"order/history/Placed.2.avsc"}, false},
		{event(field("a", `"string"`)), nil, true},
	}
	for i, s := range steps {
		write(s.event)
		files, found, err := release(dir, declared)
		if err != nil || !slices.Equal(files, s.files) || (len(found) > 0) != s.refused {
			t.Fatalf("step %d: %v, %v, %v", i, files, found, err)
		}
		found, err = check(os.DirFS(dir), declared)
		if err != nil || (len(found) > 0) != s.refused {
			t.Errorf("step %d: checked afterwards: %v, %v", i, found, err)
		}
	}
}

// TestCatalog checks that every topic, event and field appears in both forms.
func TestCatalog(t *testing.T) {
	code, text, errs := invoke(t, "catalog", "--dir", module)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	code, jsonText, errs := invoke(t, "catalog", "--format", "json", "--dir", module)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	var c catalog
	if err := json.Unmarshal([]byte(jsonText), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Topics) != len(schemas.Topics()) {
		t.Errorf("%d topics", len(c.Topics))
	}
	files, err := fs.Glob(avro.Files, "*/*.avsc")
	if err != nil || len(files) != len(c.Types) {
		t.Errorf("%d types of %d files, %v", len(c.Types), len(files), err)
	}
	fields := 0
	for _, typ := range c.Types {
		if typ.Doc == "" || !strings.Contains(text, "\n## "+typ.Name+"\n") {
			t.Errorf("type %s", typ.Name)
		}
		if typ.Event && typ.Version == 0 {
			t.Errorf("%s is not released", typ.Name)
		}
		for _, f := range typ.Fields {
			fields++
			if f.Doc == "" || !strings.Contains(text, "| `"+f.Name+"` | ") {
				t.Errorf("field %s.%s", typ.Name, f.Name)
			}
		}
	}
	if fields < 20 {
		t.Errorf("only %d fields", fields)
	}
	for _, want := range []string{"| `orders.v1` | customer id, UTF-8 | 6 | for ever | FULL_TRANSITIVE |", "timestamp-micros (long)", "minimum 1."} {
		if !strings.Contains(text, want) {
			t.Errorf("the catalogue lacks %q", want)
		}
	}
}

// TestGenerate writes the types elsewhere and finds them up to date, then not.
func TestGenerate(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "avro"), avro.Files); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "events"), 0o755); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := invoke(t, "generate", "--check", "-C", dir); code != 1 || !strings.Contains(errs, "run: schemas generate") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, _, errs := invoke(t, "generate", "-C", dir); code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if code, _, errs := invoke(t, "generate", "--check", "-C", dir); code != 0 {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, _, errs := invoke(t, "check", "-C", dir); code != 1 || !strings.Contains(errs, fmt.Sprintf("%d problem(s)", len(events.Names()))) {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, out, errs := invoke(t, "release", "-C", dir); code != 0 || strings.Count(out, ".1.avsc") != len(events.Names()) {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, _, errs := invoke(t, "check", "-C", dir); code != 0 {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// TestUsage checks help and what a wrong command line gets.
func TestUsage(t *testing.T) {
	empty := t.TempDir()
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--help"}, 0, "schemas apply"},
		{[]string{"check", "--help"}, 0, "--registry"},
		{[]string{"apply", "--help"}, 0, "QUOKKA_KAFKA_BROKERS"},
		{nil, 2, "expected one of"},
		{[]string{"chek"}, 2, `did you mean "check"`},
		{[]string{"check", "--nonsense"}, 2, "unknown flag"},
		{[]string{"catalog", "--format", "xml"}, 2, "markdown"},
		{[]string{"check", "--dir", empty}, 2, "no avro directory"},
		{[]string{"check", "--dir", module, "--registry", "http://127.0.0.1:1"}, 1, "subject"},
		{[]string{"apply", "--brokers", "127.0.0.1:1", "--registry", "http://127.0.0.1:1"}, 1, "127.0.0.1:1"},
	} {
		code, out, errs := invoke(t, tt.args...)
		if code != tt.code || !strings.Contains(out+errs, tt.want) {
			t.Errorf("schemas %v: exit %d, want %d and %q:\n%s%s", tt.args, code, tt.code, tt.want, out, errs)
		}
	}
}

// TestApplyAndCheckRegistry applies to a real broker and registry, and lets
// check ask it.
func TestApplyAndCheckRegistry(t *testing.T) {
	brokers := brokertest.Start(t).Addr()
	s, err := registry.Open(t.Context(), registry.Config{Brokers: []string{brokers}, Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve() })
	t.Cleanup(func() {
		_ = s.Close()
		wg.Wait()
	})
	url := "http://" + s.Addr()
	for range 2 {
		if code, out, errs := invoke(t, "apply", "-v", "--brokers", brokers, "--registry", url); code != 0 {
			t.Fatalf("exit %d: %s%s", code, out, errs)
		}
	}
	if code, out, errs := invoke(t, "check", "--dir", module, "--registry", url); code != 0 {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	declared := topics(schemas.FullTransitive)
	fsys := tree(event(field("a", `"int"`)))
	found, err := checkRegistry(context.Background(), url, fsys, declared)
	if err != nil || len(found) != 0 {
		t.Errorf("an unknown subject: %v, %v", found, err)
	}
	// The registry knows OrderPlaced, which this is not.
	taken := []schemas.Topic{schemas.Orders}
	fsys = fstest.MapFS{"order/OrderPlaced.avsc": file(strings.Replace(event(field("a", `"int"`)), "Placed", "OrderPlaced", 1))}
	found, err = checkRegistry(context.Background(), url, fsys, taken)
	if err != nil || len(found) == 0 || !strings.Contains(found[0].String(), "subject orders.v1-quokka.order.v1.OrderPlaced: the registry refuses it: {errorType:'READER_FIELD_MISSING_DEFAULT_VALUE'") {
		t.Errorf("%v, %v", found, err)
	}
}
