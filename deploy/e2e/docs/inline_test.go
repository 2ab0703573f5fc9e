package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	code = regexp.MustCompile("`([^`\n]+)`")
	flag = regexp.MustCompile(`--[a-z][a-z-]*`)
)

// TestInlineCommands: commands that are only named in a sentence exist too, with
// their options.
func TestInlineCommands(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9-]+):`).FindAllStringSubmatch(string(makefile), -1) {
		targets[m[1]] = true
	}
	help := helper(t)
	for _, p := range pages(t) {
		for _, m := range code.FindAllStringSubmatch(p.prose(), -1) {
			words := strings.Fields(m[1])
			switch {
			case len(words) > 1 && words[0] == "make":
				if !targets[words[1]] {
					t.Errorf("%s: `%s`: the Makefile has no %s", p.name, m[1], words[1])
				}
			case len(words) > 1 && (words[0] == ".bin/quokka" || words[0] == "quokka"):
				var command []string
				for _, w := range words[1:] {
					if !regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(w) {
						break
					}
					command = append(command, w)
				}
				text, known := help(command)
				if !known {
					t.Errorf("%s: `%s`: quokka has no such command", p.name, m[1])
				}
				for _, f := range flag.FindAllString(m[1], -1) {
					if !strings.Contains(text, f) {
						t.Errorf("%s: `%s`: it has no %s", p.name, m[1], f)
					}
				}
			}
		}
	}
}

// helper returns a function that asks the command for its help, once for each of
// its commands.
func helper(t *testing.T) func(command []string) (text string, known bool) {
	t.Helper()
	binary := os.Getenv("QUOKKA_E2E_BINARY")
	if binary == "" {
		binary = filepath.Join(t.TempDir(), "quokka")
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/quokka-stream/quokka/deploy/quokka").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	type answer struct {
		text  string
		known bool
	}
	asked := map[string]answer{}
	return func(command []string) (string, bool) {
		key := strings.Join(command, " ")
		if _, ok := asked[key]; !ok {
			out, err := exec.CommandContext(t.Context(), binary, append(command, "--help")...).CombinedOutput()
			asked[key] = answer{string(out), err == nil}
		}
		return asked[key].text, asked[key].known
	}
}
