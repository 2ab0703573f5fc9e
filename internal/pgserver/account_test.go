package pgserver

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/quokka-stream/quokka/internal/unprivileged"
)

// owner returns who owns path.
func owner(t *testing.T, path string) uint32 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Sys().(*syscall.Stat_t).Uid
}

func TestNeverRoot(t *testing.T) {
	asRoot(t)
	s := start(t, Config{})
	if uid := owner(t, "/proc/"+strconv.Itoa(s.proc.pid())); uid == 0 {
		t.Error("the server runs as root")
	}
	if s.Account() == "" || owner(t, s.Files()) == 0 {
		t.Errorf("account %q, files of uid %d", s.Account(), owner(t, s.Files()))
	}
}

// TestUnreachableDataDir: a data directory below a private folder of root's. The
// files go elsewhere, stay tied to it, and go when they are meant to.
func TestUnreachableDataDir(t *testing.T) {
	asRoot(t)
	old := elsewhere
	elsewhere = filepath.Join(reachable(t), "lib")
	t.Cleanup(func() { elsewhere = old })
	private := reachable(t)
	if err := os.Chmod(private, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(private, "data")
	s := start(t, Config{DataDir: dir})
	if !strings.HasPrefix(s.Files(), elsewhere) {
		t.Errorf("files in %s, want below %s", s.Files(), elsewhere)
	}
	run(t, s.URL(), "CREATE TABLE kept AS SELECT 'yes' AS v")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}

	again := start(t, Config{DataDir: dir, Temporary: true})
	if got := run(t, again.URL(), "SELECT v FROM kept"); got != "yes" {
		t.Errorf("read %q", got)
	}
	if err := again.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(again.Files()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", again.Files(), err)
	}

	if err := os.WriteFile(filepath.Join(dir, locationName), []byte(s.Files()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{DataDir: dir}); err == nil || !strings.Contains(err.Error(), s.Files()) {
		t.Errorf("files gone from where the data directory says they are: %v", err)
	}
}

// TestOwner: an existing cluster is run as its owner, or refused.
func TestOwner(t *testing.T) {
	asRoot(t)
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	a, err := unprivileged.Of(nobody)
	if err != nil {
		t.Fatal(err)
	}
	base := reachable(t)
	dir := filepath.Join(base, "data")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	give := func(uid int) {
		t.Helper()
		err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, uid, -1))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	give(int(a.UID))
	asNobody := &syscall.Credential{Uid: a.UID, Gid: a.GID}

	h := startHelper(t, asNobody, "PGSERVER_HELPER_DIR="+dir, "PGSERVER_HELPER_TEMPORARY=")
	if h.err != "" {
		t.Fatalf("an ordinary user: %s", h.err)
	}
	run(t, h.url, "CREATE TABLE kept AS SELECT 'yes' AS v")
	h.kill(t)

	s := start(t, Config{DataDir: dir}) // root, on that user's cluster
	if got := run(t, s.URL(), "SELECT v FROM kept"); got != "yes" || s.Account() != "nobody" {
		t.Errorf("read %q as account %q", got, s.Account())
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		uid  int
		want string
	}{{54321, "54321, which has no entry"}, {0, "belong to root"}} { // root's at the end
		give(c.uid)
		if _, err := Start(t.Context(), Config{DataDir: dir}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("root on a cluster of uid %d: %v", c.uid, err)
		}
	}

	// The data directory is the user's, the cluster in it root's.
	for _, path := range []string{dir, filepath.Join(dir, lockName), filepath.Join(dir, passwordName), filepath.Join(dir, logName)} {
		if err := os.Chown(path, int(a.UID), -1); err != nil {
			t.Fatal(err)
		}
	}
	h = startHelper(t, asNobody, "PGSERVER_HELPER_DIR="+dir)
	if !strings.Contains(h.err, "belong to root, not to you") || !strings.Contains(h.err, "sudo chown -R "+nobody.Uid) {
		t.Errorf("an ordinary user on root's cluster: %q", h.err)
	}
}
