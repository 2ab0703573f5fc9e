package opensearch

import (
	"archive/zip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/internal/unprivileged"
)

func TestConfigure(t *testing.T) {
	h := home{path: t.TempDir()}
	for range 2 { // again changes nothing
		if err := h.configure(29200, 29300); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(h.config(), "opensearch.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"network.host: 127.0.0.1", "http.port: 29200", "transport.port: 29300", "discovery.type: single-node", "path.data: " + h.data()} {
		if !strings.Contains("\n"+string(text), "\n"+line+"\n") {
			t.Errorf("opensearch.yml lacks %q:\n%s", line, text)
		}
	}
}

// archive makes a zip with files of these names.
func archive(t *testing.T, names ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.zip")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(out)
	for _, name := range names {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnpack(t *testing.T) {
	h := home{path: t.TempDir()}
	whole := archive(t, "opensearch-1/lib/a.jar", "opensearch-1/modules/m/b.jar", "opensearch-1/bin/service.exe")
	if err := h.unpack(whole); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"lib/a.jar": true, "modules/m/b.jar": true, "bin": true, "bin/service.exe": false} {
		if _, err := os.Stat(filepath.Join(h.distribution(), name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := h.unpack("no such archive"); err != nil {
		t.Errorf("unpacked already: %v", err)
	}
	bad := home{path: t.TempDir()}
	if err := bad.unpack(archive(t, "opensearch-1/lib/../../../escaped")); err == nil || !strings.Contains(err.Error(), "leads out") {
		t.Errorf("a name that leads out: %v", err)
	}
	if _, err := os.Stat(bad.distribution()); err == nil {
		t.Error("half an archive looks like a whole one")
	}
}

// TestHome: root's server gets a folder that its account reaches.
func TestHome(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not run: only root changes accounts")
	}
	if _, ok := unprivileged.Pick(accounts); !ok {
		t.Skipf("not run: no account of %v", accounts)
	}
	base, err := os.MkdirTemp("", "quokka-opensearch-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	old := elsewhere
	elsewhere = filepath.Join(base, "lib")
	t.Cleanup(func() { elsewhere = old })
	dir := filepath.Join(base, "dir")
	for path, mode := range map[string]os.FileMode{base: 0o711, dir: 0o700} {
		if err := errors.Join(os.MkdirAll(path, 0o700), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	java := "/bin/true"
	h, err := openHome(t.Context(), dir, java)
	if err != nil || filepath.Dir(h.path) != elsewhere {
		t.Fatalf("below a private folder: %q, %v", h.path, err)
	}
	if again, err := openHome(t.Context(), dir, java); err != nil || again != h || savedHome(dir).path != h.path {
		t.Errorf("again: %v, %v", again, err)
	}
	open := filepath.Join(base, "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o711)); err != nil {
		t.Fatal(err)
	}
	if h, err := openHome(t.Context(), open, java); err != nil || filepath.Dir(h.path) != open {
		t.Errorf("where it can be reached: %q, %v", h.path, err)
	}
}

func TestFind(t *testing.T) {
	if _, err := Find(Config{Dir: t.TempDir()}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("nothing runs: %v", err)
	}
	if v := Version(); !strings.HasPrefix(v, "2.19.") {
		t.Errorf("version %q: 3 wants a newer Java", v)
	}
}
