package pgserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/quokka-stream/quokka/internal/unprivileged"
)

// What the data directory holds. The server's own files are in a folder of the
// server's account, the rest belongs to whoever called Start.
const (
	homeName     = "postgres"          // folder: the cluster is in its subfolder clusterName
	clusterName  = "data"              //
	locationName = "postgres.location" // file: where homeName is instead, if it could not be here
	passwordName = "postgres.password" // file, 0600
	logName      = "postgres.log"      // file: what the server prints
	lockName     = "postgres.lock"     // file: locked by the process that runs the server
)

// elsewhere is where root keeps the files of servers whose account cannot reach
// the data directory.
var elsewhere = "/var/lib/quokka"

// place is where a server's files are and whom they belong to.
type place struct {
	home    string // folder of the account
	account unprivileged.Account
	major   int  // of the cluster that is there; 0 = none yet
	moved   bool // home is not inside the data directory
}

func (p place) cluster() string { return filepath.Join(p.home, clusterName) }

// existing finds the cluster that an earlier Start made. Its major is 0 if there
// is none.
func existing(dataDir string) (place, error) {
	p := place{home: filepath.Join(dataDir, homeName)}
	if data, err := os.ReadFile(filepath.Join(dataDir, locationName)); err == nil {
		p.home, p.moved = strings.TrimSpace(string(data)), true
	} else if !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	data, err := os.ReadFile(filepath.Join(p.cluster(), "PG_VERSION"))
	switch {
	case errors.Is(err, fs.ErrPermission):
		if _, err := accountOf(p.home); err != nil {
			return p, err
		}
		return p, err
	case errors.Is(err, fs.ErrNotExist) && p.moved:
		return p, fmt.Errorf("%s says that PostgreSQL's files are in %s, where there are none: put them back, or use another data directory", filepath.Join(dataDir, locationName), p.home)
	case errors.Is(err, fs.ErrNotExist):
		return p, nil
	case err != nil:
		return p, err
	}
	if p.major, err = strconv.Atoi(strings.TrimSpace(string(data))); err != nil {
		return p, fmt.Errorf("%s holds no cluster this program can run: PG_VERSION says %q", p.cluster(), data)
	}
	p.account, err = accountOf(p.cluster())
	return p, err
}

// choose picks account and folder for a new cluster.
func choose(ctx context.Context, dataDir string, bin Binaries) (place, error) {
	acct, err := pickAccount()
	if err != nil {
		return place{}, err
	}
	if acct.Drop {
		if err := acct.CanRun(ctx, "/", bin.Postgres(), "-V"); err != nil {
			return place{}, fmt.Errorf("%w\nMake its folders accessible (chmod o+x), or name another server by %s", err, EnvBin)
		}
	}
	p := place{home: filepath.Join(dataDir, homeName), account: acct}
	if err := os.RemoveAll(p.home); err != nil { // leavings of an initdb that was interrupted
		return p, err
	}
	if err := p.makeHome(); err != nil {
		return p, err
	}
	if !acct.Drop || acct.CanRun(ctx, p.home, bin.Postgres(), "-V") == nil {
		return p, nil
	}
	if err := os.Remove(p.home); err != nil {
		return p, err
	}
	p.moved = true
	p.home = filepath.Join(elsewhere, homeName+"-"+strings.ToLower(rand.Text()[:12]))
	if err := os.MkdirAll(elsewhere, 0o755); err != nil {
		return p, err
	}
	if err := p.makeHome(); err != nil {
		return p, err
	}
	if err := acct.CanRun(ctx, p.home, bin.Postgres(), "-V"); err != nil {
		return p, fmt.Errorf("%w\nIt cannot reach %s either: use a data directory that account %s can enter", err, dataDir, acct.Name)
	}
	return p, nil
}

// makeHome makes the account's folder.
func (p place) makeHome() error {
	if err := os.Mkdir(p.home, 0o700); err != nil {
		return err
	}
	return p.account.Own(p.home)
}

// password returns the superuser's password, made the first time.
func password(dataDir string) (string, error) {
	path := filepath.Join(dataDir, passwordName)
	data, err := os.ReadFile(path)
	if err == nil {
		if pw := strings.TrimSpace(string(data)); pw != "" {
			return pw, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	pw := rand.Text()
	return pw, os.WriteFile(path, []byte(pw+"\n"), 0o600)
}

// initialize makes the cluster. It appears under its name complete or not at all,
// so an interrupted run leaves nothing that looks like a cluster.
func (p place) initialize(ctx context.Context, bin Binaries, password string, noSync bool) error {
	pwfile := filepath.Join(p.home, "password")
	if err := os.WriteFile(pwfile, []byte(password+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(pwfile)
	if err := p.account.Own(pwfile); err != nil {
		return err
	}
	fresh := p.cluster() + ".new"
	// Text sorts by bytes, the same on every machine.
	args := []string{"-D", fresh, "-U", superuser, "-A", "scram-sha-256", "--pwfile", pwfile, "-E", "UTF8", "--locale=C", "--no-instructions"}
	if noSync {
		args = append(args, "--no-sync")
	}
	cmd := p.account.Command(ctx, p.home, filepath.Join(bin.Dir, "initdb"), args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return os.Rename(fresh, p.cluster())
}
