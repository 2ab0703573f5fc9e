package workspace

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// outsider is the program of someone who uses the libraries and nothing else.
const outsider = `package main

import (
	_ "github.com/quokka-stream/quokka/broker"
	_ "github.com/quokka-stream/quokka/cdc"
	_ "github.com/quokka-stream/quokka/outbox"
	_ "github.com/quokka-stream/quokka/schemas"
	_ "github.com/quokka-stream/quokka/schemas/events"
	_ "github.com/quokka-stream/quokka/schemas/registry"
	_ "github.com/quokka-stream/quokka/schemas/serde"
)

func main() {}
`

// TestImportFromOutside publishes every module to a file-system module proxy
// and builds a program elsewhere that imports the libraries: replace lines do
// not help there, so what a library needs must be in what it publishes.
func TestImportFromOutside(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the libraries a second time")
	}
	proxy, consumer := t.TempDir(), t.TempDir()
	for name := range modules(t) {
		publish(t, proxy, name)
	}
	cache := strings.TrimSpace(goCommand(t, root(t), nil, "env", "GOMODCACHE"))
	env := []string{
		"GOWORK=off", "GOFLAGS=-mod=mod -modcacherw -trimpath", "GONOSUMDB=*", "GOSUMDB=off", "GONOPROXY=none",
		// A module cache of its own, filled from the published modules and from
		// what the workspace build has downloaded already.
		"GOMODCACHE=" + t.TempDir(),
		"GOPROXY=file://" + proxy + ",file://" + filepath.Join(cache, "cache", "download"),
	}
	write(t, filepath.Join(consumer, "main.go"), outsider)
	var mod strings.Builder
	fmt.Fprint(&mod, "module example.test/outsider\n\ngo 1.26\n\nrequire (\n")
	for _, name := range []string{"broker", "cdc", "outbox", "schemas"} {
		fmt.Fprintf(&mod, "\t%s%s %s\n", prefix, name, siblingVersion)
	}
	fmt.Fprint(&mod, ")\n")
	write(t, filepath.Join(consumer, "go.mod"), mod.String())
	goCommand(t, consumer, env, "build", "-o", os.DevNull, ".")
}

// publish writes the module in folder name to the proxy, in the layout of
// https://go.dev/ref/mod#goproxy-protocol.
func publish(t *testing.T, proxy, name string) {
	t.Helper()
	dir := filepath.Join(root(t), name)
	versions := filepath.Join(proxy, filepath.FromSlash(prefix+name), "@v")
	if err := os.MkdirAll(versions, 0o755); err != nil {
		t.Fatal(err)
	}
	goMod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(versions, "list"), siblingVersion+"\n")
	write(t, filepath.Join(versions, siblingVersion+".mod"), string(goMod))
	write(t, filepath.Join(versions, siblingVersion+".info"), `{"Version":"`+siblingVersion+`"}`)
	f, err := os.Create(filepath.Join(versions, siblingVersion+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := zip.CreateFromDir(f, module.Version{Path: prefix + name, Version: siblingVersion}, dir); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
