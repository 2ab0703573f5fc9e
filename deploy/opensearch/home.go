package opensearch

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/quokka-stream/quokka/internal/unprivileged"
)

// elsewhere is where root keeps the files of a server whose account cannot reach
// the directory.
var elsewhere = "/var/lib/quokka"

// home is the folder of the server's files, its account's own.
type home struct {
	path    string
	account unprivileged.Account
}

func (h home) distribution() string { return filepath.Join(h.path, "opensearch-"+Version()) }
func (h home) config() string       { return filepath.Join(h.path, "config") }
func (h home) data() string         { return filepath.Join(h.path, "data") }
func (h home) temporary() string    { return filepath.Join(h.path, "tmp") }

// openHome makes the folder, where the account can reach it: in dir, or
// elsewhere under a name that belongs to dir.
func openHome(ctx context.Context, dir, java string) (home, error) {
	account, err := pickAccount()
	if err != nil {
		return home{}, err
	}
	sum := sha256.Sum256([]byte(dir))
	var errs []error
	for _, path := range []string{filepath.Join(dir, "files"), filepath.Join(elsewhere, "opensearch-"+hex.EncodeToString(sum[:6]))} {
		h := home{path, account}
		if err := h.make(ctx, java); err != nil {
			errs = append(errs, err)
			if account.Drop {
				_ = os.Remove(path) // unless there is something in it
				continue
			}
			break
		}
		return h, os.WriteFile(homeFile(dir), []byte(h.path), 0o600)
	}
	return home{}, errors.Join(errs...)
}

func (h home) make(ctx context.Context, java string) error {
	if err := os.MkdirAll(filepath.Dir(h.path), 0o755); err != nil { //nolint:gosec // the account must get through
		return err
	}
	if err := h.folder(h.path); err != nil {
		return err
	}
	return h.account.CanRun(ctx, h.path, java, "-version")
}

// folder makes a folder of the account's own.
func (h home) folder(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return h.account.Own(path)
}

func homeFile(dir string) string { return filepath.Join(dir, "home") }

// savedHome is the folder that openHome made before; its path is empty if it did
// not.
func savedHome(dir string) home {
	text, err := os.ReadFile(homeFile(dir))
	if err != nil {
		return home{}
	}
	return home{path: strings.TrimSpace(string(text))}
}

// unpack unpacks what the server needs of the distribution, once.
func (h home) unpack(archive string) error {
	if _, err := os.Stat(h.distribution()); err == nil {
		return nil
	}
	r, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	defer r.Close()
	fresh := h.distribution() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	for _, f := range r.File {
		_, name, _ := strings.Cut(f.Name, "/") // without the archive's own folder
		if f.FileInfo().IsDir() || !strings.HasPrefix(name, "lib/") && !strings.HasPrefix(name, "modules/") {
			continue
		}
		if !filepath.IsLocal(name) {
			return fmt.Errorf("%s: the name %q leads out of the archive", archive, f.Name)
		}
		if err := extract(f, filepath.Join(fresh, name)); err != nil {
			return err
		}
	}
	// The server makes these where they are missing, which its account may not.
	for _, name := range []string{"bin", "plugins", "extensions"} {
		if err := os.MkdirAll(filepath.Join(fresh, name), 0o755); err != nil { //nolint:gosec // read by the account
			return err
		}
	}
	return os.Rename(fresh, h.distribution())
}

func extract(f *zip.File, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // read by the account
		return err
	}
	in, err := f.Open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644) //nolint:gosec // read by the account
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in) //nolint:gosec // an archive that Maven verified
	return errors.Join(err, out.Close())
}

// configure writes the configuration: the defaults of OpenSearch, but for where
// it listens, that it looks for no other nodes, and that a full disk of a
// developer's machine does not make indexes read-only.
func (h home) configure(port, transport int) error {
	for _, path := range []string{h.config(), h.data(), h.temporary(), h.logs()} {
		if err := h.folder(path); err != nil {
			return err
		}
	}
	lines := []string{
		"cluster.name: quokka",
		"node.name: quokka-1",
		"discovery.type: single-node",
		"network.host: 127.0.0.1",
		fmt.Sprintf("http.port: %d", port),
		fmt.Sprintf("transport.port: %d", transport),
		"path.data: " + h.data(),
		"path.logs: " + h.logs(),
		"cluster.routing.allocation.disk.threshold_enabled: false",
	}
	for name, text := range map[string]string{"opensearch.yml": strings.Join(lines, "\n") + "\n", "log4j2.properties": string(log4j)} {
		path := filepath.Join(h.config(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
		if err := h.account.Own(path); err != nil {
			return err
		}
	}
	return nil
}

func (h home) logs() string { return filepath.Join(h.path, "logs") }
