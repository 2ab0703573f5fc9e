package main

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/quokka-stream/quokka/broker/brokercmd"
	"github.com/quokka-stream/quokka/deploy/roster"
	"github.com/quokka-stream/quokka/services/kit/service"
)

// variablesInCode maps each environment variable that the command or a service
// reads to its default, "" for none.
func variablesInCode(t *testing.T) map[string]string {
	t.Helper()
	// internal/pgserver reads this one itself.
	found := map[string]string{"QUOKKA_POSTGRES_BIN": ""}
	add := func(name, value string) {
		if found[name] == "" {
			found[name] = value
		}
	}
	for _, s := range roster.Services() {
		variables, err := service.Variables(s.Config)
		if err != nil {
			t.Error(err)
		}
		for _, v := range variables {
			add(v.Name, v.Default)
		}
	}
	for _, v := range brokercmd.Variables() {
		add(v.Name, v.Default)
	}
	parser, err := newParser(kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	// What has no default of its own says its address in the help.
	address := regexp.MustCompile(`: (127\.0\.0\.1:\d+)\.`)
	var walk func(n *kong.Node)
	walk = func(n *kong.Node) {
		for _, flag := range n.Flags {
			for _, name := range flag.Envs {
				value := flag.Default
				if m := address.FindStringSubmatch(flag.Help); value == "" && m != nil {
					value = m[1]
				}
				add(name, value)
			}
		}
		for _, child := range n.Children {
			walk(child)
		}
	}
	walk(parser.Model.Node)
	return found
}

// TestConfigurationTable: docs/configuration.md lists every variable with its
// default, and nothing else.
func TestConfigurationTable(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	row := regexp.MustCompile("^\\| `([A-Z_]+)` \\| (?:`([^`]*)`)? ?\\|")
	for line := range strings.Lines(string(text)) {
		if m := row.FindStringSubmatch(line); m != nil {
			documented[m[1]] = m[2]
		}
	}
	inCode := variablesInCode(t)
	for name := range maps.Keys(inCode) {
		if _, ok := documented[name]; !ok {
			t.Errorf("%s is not in docs/configuration.md", name)
		}
	}
	for name, value := range documented {
		want, ok := inCode[name]
		if !ok {
			t.Errorf("docs/configuration.md lists %s, which nothing reads", name)
		} else if value != want {
			t.Errorf("docs/configuration.md says the default of %s is %q; it is %q", name, value, want)
		}
	}
}
