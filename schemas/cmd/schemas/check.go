package main

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/compat"
	"github.com/quokka-stream/quokka/schemas/gen"
)

type checkCmd struct {
	Registry string `env:"QUOKKA_REGISTRY_URL" placeholder:"URL" help:"Also compare with what this registry has."`
}

// Run checks and prints every problem.
func (c *checkCmd) Run(e *env) error {
	fsys := os.DirFS(e.avro())
	found, err := check(fsys, schemas.Declared())
	if err != nil {
		return err
	}
	if c.Registry != "" {
		more, err := checkRegistry(e.ctx, c.Registry, fsys, schemas.Declared())
		if err != nil {
			return err
		}
		found = append(found, more...)
	}
	if len(found) == 0 {
		fmt.Fprintln(e.stdout, "schemas: every event is documented, recorded, and compatible with all its versions")
		return nil
	}
	for _, p := range found {
		fmt.Fprintln(e.stderr, p)
	}
	fmt.Fprintf(e.stderr, "schemas: %d problem(s)\n", len(found))
	return errReported
}

// problem is one reason to refuse the schemas as they are.
type problem struct {
	// file is the schema's file, subject where it would be registered.
	file, subject string
	// version is the released version that does not fit, 0 where it is not
	// about one; field and rule say what does not.
	version int
	field   string
	rule    string
	// text says what is wrong and what to do.
	text string
}

func (p problem) String() string {
	var b strings.Builder
	b.WriteString(p.file)
	if p.subject != "" {
		b.WriteString(": subject " + p.subject)
	}
	if p.version > 0 {
		fmt.Fprintf(&b, ", version %d", p.version)
	}
	if p.field != "" {
		b.WriteString(": field " + p.field)
	}
	if p.rule != "" {
		b.WriteString(": " + p.rule)
	}
	b.WriteString(": " + p.text)
	return b.String()
}

// carrier is a topic that carries an event, nil for none.
func carrier(topics []schemas.Topic, fullName string) *schemas.Topic {
	for i, t := range topics {
		if slices.Contains(t.Schemas, fullName) {
			return &topics[i]
		}
	}
	return nil
}

// check compares the schemas with their history and with the topics. An error
// means that they cannot be read at all, or break the house rules.
func check(fsys fs.FS, topics []schemas.Topic) ([]problem, error) {
	types, err := gen.Load(fsys)
	if err != nil {
		return nil, err
	}
	history, err := loadHistory(fsys)
	if err != nil {
		return nil, err
	}
	var found []problem
	known := map[string]bool{}
	for _, t := range types {
		if !t.Event {
			continue
		}
		known[t.Schema.FullName()] = true
		r := history[historyKey(t)]
		delete(history, historyKey(t))
		topic := carrier(topics, t.Schema.FullName())
		if topic == nil {
			found = append(found, problem{file: t.File, text: "no topic carries this event: add " + t.Schema.FullName() + " to a topic in topics.go, or delete the file"})
			continue
		}
		found = append(found, checkEvent(t, *topic, r)...)
	}
	for _, topic := range topics {
		for _, name := range topic.Schemas {
			if !known[name] {
				found = append(found, problem{file: "topics.go", text: fmt.Sprintf("topic %s carries %s, which no file defines", topic.Name, name)})
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(history)) {
		r := history[key]
		found = append(found, problem{file: key + ".avsc", version: len(r.versions),
			text: "the event was released and its file is gone: what was written with it could not be read; put the file back"})
	}
	return found, nil
}

func checkEvent(t gen.Type, topic schemas.Topic, r released) []problem {
	subject := topic.Subject(t.Schema.FullName())
	found := incompatible(t, topic, r)
	if len(found) == 0 && t.Schema.Inline() != r.latest() {
		what := "its changes are not recorded"
		if len(r.versions) == 0 {
			what = "the event is new and not recorded"
		}
		found = append(found, problem{file: t.File, subject: subject, text: what + ": run schemas release, and commit avro/" + r.fileNext(t)})
	}
	return found
}

// fileNext is the file of the version that a release would record.
func (r released) fileNext(t gen.Type) string {
	r.domain, r.name = t.Domain, t.Schema.Root().Name
	return r.file(len(r.versions) + 1)
}

// incompatible compares an event with its history by the topic's level, and by
// what Avro does not compare: logical types.
func incompatible(t gen.Type, topic schemas.Topic, r released) []problem {
	subject := topic.Subject(t.Schema.FullName())
	level, err := compat.ParseLevel(topic.Compatibility)
	if err != nil {
		return []problem{{file: "topics.go", subject: subject, text: err.Error()}}
	}
	var found []problem
	for _, p := range compat.Compare(level, t.Schema, r.versions) {
		found = append(found, problem{file: t.File, subject: subject, version: p.Version, field: p.Path, rule: string(p.Rule), text: p.Explain()})
	}
	for _, v := range slices.Backward(r.versions) {
		changed := meanings(v.Schema.Root(), t.Schema.Root())
		for _, m := range changed {
			found = append(found, problem{file: t.File, subject: subject, version: v.Number, field: m.path, rule: "LOGICAL_TYPE",
				text: fmt.Sprintf("the same bytes would mean something else: it was %s and is %s; add a field in place of changing this one", m.was, m.is)})
		}
		if len(changed) > 0 {
			break
		}
	}
	return found
}

// meaning is a field whose bytes are read as before and mean something else.
type meaning struct{ path, was, is string }

// meanings finds the fields of two versions whose logical types differ. Avro
// ignores logical types when it compares, and a timestamp in milliseconds read
// as microseconds, or a decimal with another scale, corrupts silently.
func meanings(old, now *codec.Node) []meaning {
	var out []meaning
	seen := map[[2]*codec.Node]bool{}
	var walk func(path string, old, now *codec.Node)
	walk = func(path string, old, now *codec.Node) {
		if old == nil || now == nil || seen[[2]*codec.Node{old, now}] {
			return
		}
		seen[[2]*codec.Node{old, now}] = true
		if was, is := logical(old), logical(now); was != is && old.Type != "union" && now.Type != "union" {
			out = append(out, meaning{path, was, is})
			return
		}
		switch {
		case old.IsRecord() && now.IsRecord():
			for _, f := range now.Fields {
				if was := old.Field(f.Name); was != nil {
					walk(strings.TrimPrefix(path+"."+f.Name, "."), was.Type, f.Type)
				}
			}
		case old.Type == "union" || now.Type == "union":
			for _, a := range branches(old) {
				for _, b := range branches(now) {
					if a.Type == b.Type && a.Name == b.Name && a.Type != "null" {
						walk(path, a, b)
					}
				}
			}
		case old.Elem != nil && now.Elem != nil:
			walk(path+"[]", old.Elem, now.Elem)
		}
	}
	walk("", old, now)
	return out
}

func branches(n *codec.Node) []*codec.Node {
	if n.Type == "union" {
		return n.Branches
	}
	return []*codec.Node{n}
}

// logical describes a type's logical type, "plain <type>" for none.
func logical(n *codec.Node) string {
	l := n.LogicalType()
	switch l {
	case "":
		return "without a logical type"
	case "decimal":
		scale := "0"
		if s := n.Prop("scale"); s != nil {
			scale = string(s)
		}
		return "decimal of scale " + scale
	default:
		return l
	}
}

type releaseCmd struct{}

// Run records what changed, unless it is incompatible.
func (c *releaseCmd) Run(e *env) error {
	recorded, found, err := release(e.avro(), schemas.Declared())
	if err != nil {
		return err
	}
	for _, p := range found {
		fmt.Fprintln(e.stderr, p)
	}
	if len(found) > 0 {
		fmt.Fprintln(e.stderr, "schemas: nothing was recorded")
		return errReported
	}
	for _, f := range recorded {
		fmt.Fprintln(e.stdout, "avro/"+f)
	}
	if len(recorded) == 0 {
		fmt.Fprintln(e.stdout, "every event is recorded as it is")
	}
	return nil
}

// release writes the next version of every changed event and returns the files.
func release(dir string, topics []schemas.Topic) ([]string, []problem, error) {
	fsys := os.DirFS(dir)
	types, err := gen.Load(fsys)
	if err != nil {
		return nil, nil, err
	}
	history, err := loadHistory(fsys)
	if err != nil {
		return nil, nil, err
	}
	var found []problem
	var changed []gen.Type
	for _, t := range types {
		if !t.Event || t.Schema.Inline() == history[historyKey(t)].latest() {
			continue
		}
		changed = append(changed, t)
		if topic := carrier(topics, t.Schema.FullName()); topic != nil {
			found = append(found, incompatible(t, *topic, history[historyKey(t)])...)
		}
	}
	if len(found) > 0 {
		return nil, found, nil
	}
	var files []string
	for _, t := range changed {
		r := history[historyKey(t)]
		r.domain, r.name = t.Domain, t.Schema.Root().Name
		next := len(r.versions) + 1
		if err := writeVersion(dir, r, next, t.Schema); err != nil {
			return files, nil, err
		}
		files = append(files, r.file(next))
	}
	return files, nil, nil
}

// checkRegistry asks a registry whether it would take each event.
func checkRegistry(ctx context.Context, url string, fsys fs.FS, topics []schemas.Topic) ([]problem, error) {
	types, err := gen.Load(fsys)
	if err != nil {
		return nil, err
	}
	var found []problem
	for _, t := range types {
		topic := carrier(topics, t.Schema.FullName())
		if !t.Event || topic == nil {
			continue
		}
		subject := topic.Subject(t.Schema.FullName())
		messages, err := askRegistry(ctx, url, subject, t.Schema.Inline())
		if err != nil {
			return nil, fmt.Errorf("registry %s: subject %s: %w", url, subject, err)
		}
		for _, m := range messages {
			found = append(found, problem{file: t.File, subject: subject, text: "the registry refuses it: " + m})
		}
	}
	return found, nil
}
