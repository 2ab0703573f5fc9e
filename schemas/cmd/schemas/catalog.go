package main

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/schemas/codec"
	"github.com/quokka-stream/quokka/schemas/gen"
)

type catalogCmd struct {
	Format string `enum:"markdown,json" default:"markdown" help:"markdown or json."`
}

// Run prints the catalogue.
func (c *catalogCmd) Run(e *env) error {
	cat, err := buildCatalog(os.DirFS(e.avro()), schemas.Topics())
	if err != nil {
		return err
	}
	if c.Format == "json" {
		enc := json.NewEncoder(e.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(cat)
	}
	return cat.markdown(e.stdout)
}

// catalog is what is declared, for readers.
type catalog struct {
	Topics []catalogTopic `json:"topics"`
	Types  []catalogType  `json:"types"`
}

type catalogTopic struct {
	Name          string            `json:"name"`
	Key           string            `json:"key"`
	Partitions    int32             `json:"partitions"`
	Config        map[string]string `json:"config"`
	Compatibility string            `json:"compatibility"`
	Subjects      []string          `json:"subjects"`
	Events        []string          `json:"events"`
	DeadLetters   []string          `json:"dead_letters"`
}

type catalogType struct {
	Name    string         `json:"name"`
	Kind    string         `json:"kind"`
	Event   bool           `json:"event"`
	File    string         `json:"file"`
	Doc     string         `json:"doc"`
	Version int            `json:"version,omitempty"`
	Fields  []catalogField `json:"fields,omitempty"`
	Symbols []string       `json:"symbols,omitempty"`
	Default string         `json:"default,omitempty"`
}

type catalogField struct {
	Name    string            `json:"name"`
	Type    string            `json:"type"`
	Doc     string            `json:"doc"`
	Default json.RawMessage   `json:"default,omitempty"`
	Limits  map[string]string `json:"limits,omitempty"`
}

func buildCatalog(fsys fs.FS, topics []schemas.Topic) (*catalog, error) {
	types, err := gen.Load(fsys)
	if err != nil {
		return nil, err
	}
	history, err := loadHistory(fsys)
	if err != nil {
		return nil, err
	}
	cat := &catalog{}
	for _, t := range topics {
		row := catalogTopic{Name: t.Name, Key: t.Key, Partitions: t.Partitions, Config: t.Config, Compatibility: t.Compatibility,
			Subjects: t.SubjectNames(), Events: slices.Clone(t.Schemas), DeadLetters: []string{}}
		if row.Events == nil {
			row.Events = []string{}
		}
		for _, d := range t.DeadLetters() {
			row.DeadLetters = append(row.DeadLetters, d.Name)
		}
		cat.Topics = append(cat.Topics, row)
	}
	for _, t := range types {
		cat.Types = append(cat.Types, describeType(t, len(history[historyKey(t)].versions)))
	}
	slices.SortFunc(cat.Types, func(a, b catalogType) int { return strings.Compare(a.Name, b.Name) })
	return cat, nil
}

func describeType(t gen.Type, version int) catalogType {
	root := t.Schema.Root()
	out := catalogType{Name: root.FullName(), Kind: root.Type, Event: t.Event, File: "avro/" + t.File, Doc: root.Doc, Version: version, Symbols: root.Symbols}
	if root.EnumDefault != nil {
		out.Default = *root.EnumDefault
	}
	for _, f := range root.Fields {
		row := catalogField{Name: f.Name, Type: typeName(f.Type), Doc: f.Doc, Default: f.Default}
		for _, p := range f.Props {
			if row.Limits == nil {
				row.Limits = map[string]string{}
			}
			row.Limits[p.Name] = string(p.Value)
		}
		out.Fields = append(out.Fields, row)
	}
	return out
}

// typeName is a field's type in words: named types by name, logical types
// before what carries them.
func typeName(n *codec.Node) string {
	switch {
	case n.Type == "array":
		return "array of " + typeName(n.Elem)
	case n.Type == "map":
		return "map of " + typeName(n.Elem)
	case n.Type == "union":
		var parts []string
		for _, b := range n.Branches {
			parts = append(parts, typeName(b))
		}
		return strings.Join(parts, " or ")
	case n.Named():
		return n.FullName()
	case n.LogicalType() != "":
		return n.LogicalType() + " (" + n.Type + ")"
	default:
		return n.Type
	}
}

// markdown prints the catalogue for people.
func (c *catalog) markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Topics and events\n\n| topic | key | partitions | kept | compatibility | events |\n|---|---|---|---|---|---|\n")
	for _, t := range c.Topics {
		events := make([]string, len(t.Events))
		for i, name := range t.Events {
			events[i] = link(name)
		}
		if len(events) == 0 {
			events = []string{"derived from a table"}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %d | %s | %s | %s |\n", t.Name, cell(t.Key), t.Partitions, kept(t.Config), t.Compatibility, strings.Join(events, ", "))
	}
	for _, t := range c.Types {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", t.Name, t.Doc)
		switch {
		case t.Event && t.Version > 0:
			fmt.Fprintf(&b, "Event on %s, version %d. `%s`\n", c.carriers(t.Name), t.Version, t.File)
		case t.Event:
			fmt.Fprintf(&b, "Event on %s, not released. `%s`\n", c.carriers(t.Name), t.File)
		default:
			fmt.Fprintf(&b, "Part of events. `%s`\n", t.File)
		}
		if len(t.Symbols) > 0 {
			fmt.Fprintf(&b, "\nOne of `%s`; `%s` for what a reader does not know.\n", strings.Join(t.Symbols, "`, `"), t.Default)
		}
		if len(t.Fields) == 0 {
			continue
		}
		b.WriteString("\n| field | type | meaning |\n|---|---|---|\n")
		for _, f := range t.Fields {
			meaning := []string{f.Doc}
			if f.Default != nil {
				meaning = append(meaning, "Default `"+string(f.Default)+"`.")
			}
			for _, limit := range []string{"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"} {
				if v, ok := f.Limits[limit]; ok {
					meaning = append(meaning, limit+" "+v+".")
				}
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, cell(f.Type), cell(strings.Join(meaning, " ")))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// carriers names the topics of an event.
func (c *catalog) carriers(name string) string {
	var out []string
	for _, t := range c.Topics {
		if slices.Contains(t.Events, name) {
			out = append(out, "`"+t.Name+"`")
		}
	}
	if len(out) == 0 {
		return "no topic"
	}
	return strings.Join(out, ", ")
}

// kept says how long records stay.
func kept(config map[string]string) string {
	switch {
	case strings.Contains(config["cleanup.policy"], "compact"):
		return "compacted"
	case config["retention.ms"] == "-1":
		return "for ever"
	case config["retention.ms"] == "":
		return "the broker's default"
	}
	var ms int64
	if _, err := fmt.Sscan(config["retention.ms"], &ms); err != nil || ms%86_400_000 != 0 {
		return config["retention.ms"] + " ms"
	}
	if days := ms / 86_400_000; days != 1 {
		return fmt.Sprintf("%d days", days)
	}
	return "1 day"
}

// link is a link to a type's section.
func link(name string) string {
	return "[" + name[strings.LastIndexByte(name, '.')+1:] + "](#" + strings.ToLower(strings.ReplaceAll(name, ".", "")) + ")"
}

// cell is text that cannot end a table's cell.
func cell(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "|", "\\|"), "\n", " ") }
