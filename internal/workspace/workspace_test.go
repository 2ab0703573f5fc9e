package workspace

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

const prefix = "github.com/quokka-stream/quokka/"

// siblingVersion is the version under which modules of the workspace require each
// other: the next release.
const siblingVersion = "v0.1.0"

// root is the folder of go.work.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// modules maps each module's folder name to its parsed go.mod.
func modules(t testing.TB) map[string]*modfile.File {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(t), "go.work"))
	if err != nil {
		t.Fatal(err)
	}
	work, err := modfile.ParseWork("go.work", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	mods := map[string]*modfile.File{}
	for _, use := range work.Use {
		name := filepath.Base(use.Path)
		path := filepath.Join(root(t), use.Path, "go.mod")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if mods[name], err = modfile.Parse(path, data, nil); err != nil {
			t.Fatal(err)
		}
	}
	return mods
}

// siblings returns the folder names of the workspace modules in paths.
func siblings(paths []string) []string {
	var out []string
	for _, path := range paths {
		if rest, ok := strings.CutPrefix(path, prefix); ok {
			out = append(out, strings.SplitN(rest, "/", 2)[0])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// goCommand runs the go command in dir and returns what it prints.
func goCommand(t testing.TB, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s in %s: %v\n%s%s", strings.Join(args, " "), dir, err, stderr.String(), out)
	}
	return string(out)
}

// TestModuleFiles: a module requires and replaces exactly the siblings it
// reaches, and the closure of those it reads, so that it builds outside the workspace too.
func TestModuleFiles(t *testing.T) {
	mods := modules(t)
	for name, mod := range mods {
		t.Run(name, func(t *testing.T) {
			if want := prefix + name; mod.Module.Mod.Path != want {
				t.Errorf("module path is %s, want %s", mod.Module.Mod.Path, want)
			}
			var required, replaced []string
			for _, r := range mod.Require {
				if strings.HasPrefix(r.Mod.Path, prefix) {
					required = append(required, r.Mod.Path)
					if r.Mod.Version != siblingVersion {
						t.Errorf("requires %s %s, want %s", r.Mod.Path, r.Mod.Version, siblingVersion)
					}
				}
			}
			for _, r := range mod.Replace {
				dir, ok := strings.CutPrefix(r.Old.Path, prefix)
				if !ok {
					t.Errorf("replaces %s, which is not of this workspace", r.Old.Path)
					continue
				}
				replaced = append(replaced, r.Old.Path)
				if want := "../" + dir; r.New.Path != want {
					t.Errorf("replaces %s by %s, want %s", r.Old.Path, r.New.Path, want)
				}
			}
			// What a required sibling requires is read too, so the replace lines
			// carry the closure, and nothing beyond it.
			closure := reach(mods, siblings(required))
			if got := siblings(replaced); !slices.Equal(got, closure) {
				t.Errorf("replaces %v, want the closure of what it requires: %v", got, closure)
			}
		})
	}
}

// reach returns the modules in names and all that they require, sorted.
func reach(mods map[string]*modfile.File, names []string) []string {
	var out []string
	for queue := names; len(queue) > 0; queue = queue[1:] {
		if slices.Contains(out, queue[0]) {
			continue
		}
		out = append(out, queue[0])
		var next []string
		for _, r := range mods[queue[0]].Require {
			next = append(next, r.Mod.Path)
		}
		queue = append(queue, siblings(next)...)
	}
	slices.Sort(out)
	return out
}

// arrows says which siblings the code of a module may import; test code may
// import what testArrows adds. Nothing imports deploy.
var (
	arrows = map[string][]string{
		"broker":   {},
		"internal": {},
		"outbox":   {},
		"schemas":  {},
		"cdc":      {"schemas"},
		"services": {"outbox", "schemas"},
		"deploy":   {"broker", "cdc", "internal", "outbox", "schemas", "services"},
	}
	testArrows = map[string][]string{
		"outbox":   {"broker", "internal", "schemas"},
		"schemas":  {"broker", "internal"},
		"cdc":      {"broker", "internal"},
		"services": {"broker", "internal"},
	}
)

// TestArrows: who may know whom.
func TestArrows(t *testing.T) {
	for name := range modules(t) {
		t.Run(name, func(t *testing.T) {
			may, known := arrows[name]
			if !known {
				t.Fatalf("module %s is not in the list of who may know whom", name)
			}
			dir := filepath.Join(root(t), name)
			const format = `{{$p := .ImportPath}}{{range .Imports}}code {{$p}} {{.}}
{{end}}{{range .TestImports}}test {{$p}} {{.}}
{{end}}{{range .XTestImports}}test {{$p}} {{.}}
{{end}}`
			for line := range strings.Lines(goCommand(t, dir, nil, "list", "-f", format, "./...")) {
				fields := strings.Fields(line)
				if len(fields) != 3 {
					continue
				}
				kind, from, to := fields[0], fields[1], fields[2]
				// A package named for tests, such as kittest, is what tests share.
				if strings.HasSuffix(from, "test") {
					kind = "test"
				}
				rest, ok := strings.CutPrefix(to, prefix)
				if !ok {
					continue
				}
				sibling := strings.SplitN(rest, "/", 2)[0]
				switch {
				case sibling == name, slices.Contains(may, sibling):
				case kind == "test" && sibling == "broker" && rest != "broker/brokertest" && slices.Contains(testArrows[name], sibling):
					t.Errorf("a test of %s imports %s: of broker only brokertest", from, to)
				case kind == "test" && slices.Contains(testArrows[name], sibling):
				default:
					t.Errorf("%s (%s) imports %s: %s may know %v", from, kind, to, name, may)
				}
				if name == "services" && kind == "code" && sibling == "services" {
					checkServiceArrow(t, from, to)
				}
			}
		})
	}
}

// checkServiceArrow: a service never imports another service, and the kit
// imports no service.
func checkServiceArrow(t *testing.T, from, to string) {
	t.Helper()
	part := func(path string) string {
		return strings.SplitN(strings.TrimPrefix(path, prefix+"services/"), "/", 2)[0]
	}
	if part(to) != "kit" && part(from) != part(to) {
		t.Errorf("%s imports %s: what services share is an event schema or services/kit", from, to)
	}
}

// TestModulesBuildAlone: each module builds outside the workspace.
func TestModulesBuildAlone(t *testing.T) {
	for name := range modules(t) {
		t.Run(name, func(t *testing.T) {
			goCommand(t, filepath.Join(root(t), name), []string{"GOWORK=off"}, "build", "./...")
		})
	}
}
