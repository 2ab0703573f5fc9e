package newservice

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// tree is a checkout with changes that are not written yet. Paths are relative to
// its root, with slashes.
type tree struct {
	root    string
	changes map[string][]byte
}

// Find returns the root of the checkout that dir is in.
func Find(dir string) (string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := start; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "services", "template", "service.go")); err == nil {
			if _, err := os.Stat(filepath.Join(at, "go.work")); err == nil {
				return at, nil
			}
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is not in a checkout of Quokka: run this where go.work is, or name that folder with --checkout", start)
		}
	}
}

func (t *tree) fs() fs.FS { return os.DirFS(t.root) }

// read returns a file as it will be.
func (t *tree) read(name string) ([]byte, error) {
	if text, ok := t.changes[name]; ok {
		return text, nil
	}
	return fs.ReadFile(t.fs(), name)
}

// write notes what a file shall be.
func (t *tree) write(name string, text []byte) {
	if t.changes == nil {
		t.changes = map[string][]byte{}
	}
	t.changes[name] = text
}

// list returns the files below a folder.
func (t *tree) list(folder string) (files []string, err error) {
	err = fs.WalkDir(t.fs(), folder, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, name)
		}
		return err
	})
	return files, err
}

// services are the folders of services that have a program.
func (t *tree) services() (names []string, err error) {
	programs, err := fs.Glob(t.fs(), "services/*/cmd/*/main.go")
	for _, p := range programs {
		if name := strings.Split(p, "/")[1]; !isTemplate(name) {
			names = append(names, name)
		}
	}
	return names, err
}

// flush writes the changes, and tells which files are new and which changed.
func (t *tree) flush() (added, changed []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(t.changes)) {
		before, err := fs.ReadFile(t.fs(), name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			added = append(added, name)
		case err != nil:
			return added, changed, err
		case bytes.Equal(before, t.changes[name]):
			continue
		default:
			changed = append(changed, name)
		}
		file := filepath.Join(t.root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return added, changed, err
		}
		if err := os.WriteFile(file, t.changes[name], 0o644); err != nil { //nolint:gosec // sources are for everyone to read
			return added, changed, err
		}
	}
	return added, changed, nil
}

var portTag = regexp.MustCompile(`_ADDR" envDefault:"127\.0\.0\.1:(\d+)"`)

// freePort is the port after those of the services.
func freePort(t *tree) (int, error) {
	services, err := t.services()
	if err != nil {
		return 0, err
	}
	last := 0
	for _, name := range services {
		text, err := t.read(path.Join("services", name, "service.go"))
		if err != nil {
			return 0, err
		}
		if m := portTag.FindSubmatch(text); m != nil {
			port, _ := strconv.Atoi(string(m[1]))
			last = max(last, port)
		}
	}
	if last == 0 {
		return 0, errors.New("no service in services/ has an address in its configuration")
	}
	return last + 1, nil
}
