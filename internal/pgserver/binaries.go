package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// EnvBin names the environment variable that decides which binaries are used: the
// folder that holds postgres and initdb.
const EnvBin = "QUOKKA_POSTGRES_BIN"

// MinMajor is the oldest major version of PostgreSQL that will do.
const MinMajor = 15

// Binaries is an installed PostgreSQL server.
type Binaries struct {
	Dir     string // the folder with postgres and initdb
	Version string // as the server reports it, such as "15.18"
	Major   int
}

// Postgres is the path of the server's executable.
func (b Binaries) Postgres() string { return filepath.Join(b.Dir, "postgres") }

// Find returns the server named by QUOKKA_POSTGRES_BIN, else the newest installed
// one of version 15 or later. The error of a machine without one is a
// *NotFoundError, which lists the ways to get one.
func Find(ctx context.Context) (Binaries, error) { return find(ctx, 0) }

// find is Find, limited to the major version want unless that is 0.
func find(ctx context.Context, want int) (Binaries, error) {
	if dir := os.Getenv(EnvBin); dir != "" {
		return named(ctx, dir, want)
	}
	var found []Binaries
	missing := &NotFoundError{Want: want}
	for _, dir := range candidates(ctx) {
		b, err := inspect(ctx, dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			missing.Rejected = append(missing.Rejected, err.Error())
		case b.Major < MinMajor:
			missing.Rejected = append(missing.Rejected, fmt.Sprintf("%s is version %s, older than %d", dir, b.Version, MinMajor))
		case want != 0 && b.Major != want:
			missing.Rejected = append(missing.Rejected, fmt.Sprintf("%s is version %s", dir, b.Version))
		default:
			found = append(found, b)
		}
	}
	if len(found) == 0 {
		return Binaries{}, missing
	}
	return slices.MaxFunc(found, func(a, b Binaries) int { return compareVersions(a.Version, b.Version) }), nil
}

// named returns the server that the environment names; nothing else will do then.
func named(ctx context.Context, dir string, want int) (Binaries, error) {
	if st, err := os.Stat(dir); err == nil && !st.IsDir() {
		dir = filepath.Dir(dir) // the executable itself was named
	}
	b, err := inspect(ctx, dir)
	switch {
	case err != nil:
		return b, fmt.Errorf("%s=%s holds no usable PostgreSQL server (set it to the folder with postgres and initdb, or unset it): %w", EnvBin, dir, err)
	case b.Major < MinMajor:
		return b, fmt.Errorf("%s=%s is PostgreSQL %s: version %d or later is needed", EnvBin, dir, b.Version, MinMajor)
	case want != 0 && b.Major != want:
		return b, fmt.Errorf("%s=%s is PostgreSQL %s, but the data directory was made by version %d: name that version, or start with an empty data directory", EnvBin, dir, b.Version, want)
	}
	return b, nil
}

// candidates lists the folders in which installers put servers, without repeats.
func candidates(ctx context.Context) []string {
	var dirs []string
	add := func(dir string) {
		if real, err := filepath.EvalSymlinks(dir); err == nil && !slices.Contains(dirs, real) {
			dirs = append(dirs, real)
		}
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			add(filepath.Dir(real))
		}
	}
	for _, pattern := range installPatterns {
		matches, _ := filepath.Glob(pattern) // the patterns are constants, and well-formed
		for _, m := range matches {
			add(m)
		}
	}
	if path, err := exec.LookPath("pg_config"); err == nil {
		if out, err := exec.CommandContext(ctx, path, "--bindir").Output(); err == nil {
			add(strings.TrimSpace(string(out)))
		}
	}
	return dirs
}

// installPatterns says where distributions and installers put the server.
var installPatterns = []string{
	"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
	"/usr/pgsql-*/bin",          // RPMs of postgresql.org
	"/usr/libexec/postgresql*",  // Alpine
	"/usr/lib/postgresql*/bin",  // openSUSE
	"/usr/local/pgsql/bin",      // built from source
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) ((\d+)\S*)`)

// inspect asks the server in dir for its version.
func inspect(ctx context.Context, dir string) (Binaries, error) {
	for _, name := range []string{"postgres", "initdb"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return Binaries{}, err
		}
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "-V").CombinedOutput()
	if err != nil {
		return Binaries{}, fmt.Errorf("%s/postgres -V: %w: %s", dir, err, strings.TrimSpace(string(out)))
	}
	m := versionPattern.FindStringSubmatch(string(out))
	if m == nil {
		return Binaries{}, fmt.Errorf("%s/postgres -V says %q, which names no PostgreSQL version", dir, strings.TrimSpace(string(out)))
	}
	major, err := strconv.Atoi(m[2])
	if err != nil {
		return Binaries{}, fmt.Errorf("%s/postgres -V: %w", dir, err)
	}
	return Binaries{Dir: dir, Version: m[1], Major: major}, nil
}

// compareVersions orders "16.2" after "15.18" and "15.9".
func compareVersions(a, b string) int {
	return slices.Compare(numbers(a), numbers(b))
}

var digits = regexp.MustCompile(`\d+`)

func numbers(version string) []int {
	var out []int
	for _, s := range digits.FindAllString(version, -1) {
		n, _ := strconv.Atoi(s) // only digits
		out = append(out, n)
	}
	return out
}
