package pgserver

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// fakeServer makes a folder whose postgres says it is of that version.
func fakeServer(t *testing.T, says string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"postgres", "initdb"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho '"+says+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindNamed(t *testing.T) {
	tests := map[string]struct {
		dir     string
		version string
		wantErr string
	}{
		"new":            {dir: fakeServer(t, "postgres (PostgreSQL) 17.2"), version: "17.2"},
		"distribution":   {dir: fakeServer(t, "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), version: "15.18"},
		"beta":           {dir: fakeServer(t, "postgres (PostgreSQL) 19beta1"), version: "19beta1"},
		"too old":        {dir: fakeServer(t, "postgres (PostgreSQL) 14.9"), wantErr: "PostgreSQL 14.9: version 15 or later is needed"},
		"something else": {dir: fakeServer(t, "mysqld 8"), wantErr: "names no PostgreSQL version"},
		"empty folder":   {dir: t.TempDir(), wantErr: "holds no usable PostgreSQL server"},
		"no folder":      {dir: "/nonexistent/bin", wantErr: "holds no usable PostgreSQL server"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv(EnvBin, tt.dir)
			b, err := Find(t.Context())
			if tt.wantErr == "" && (err != nil || b.Version != tt.version || b.Dir != tt.dir) {
				t.Errorf("got %+v, %v", b, err)
			}
			if tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr) || !strings.Contains(err.Error(), EnvBin)) {
				t.Errorf("got %+v, %v", b, err)
			}
		})
	}
	t.Run("the executable itself", func(t *testing.T) {
		dir := fakeServer(t, "postgres (PostgreSQL) 16.1")
		t.Setenv(EnvBin, filepath.Join(dir, "postgres"))
		if b, err := Find(t.Context()); err != nil || b.Dir != dir {
			t.Errorf("got %+v, %v", b, err)
		}
	})
}

// installed makes the folders given the only ones searched.
func installed(t *testing.T, dirs ...string) {
	t.Helper()
	t.Setenv(EnvBin, "")
	t.Setenv("PATH", "")
	old := installPatterns
	installPatterns = dirs
	t.Cleanup(func() { installPatterns = old })
}

func TestFindInstalled(t *testing.T) {
	old, mid, newest := fakeServer(t, "postgres (PostgreSQL) 13.1"), fakeServer(t, "postgres (PostgreSQL) 16.9"), fakeServer(t, "postgres (PostgreSQL) 16.10")
	installed(t, old, newest, mid)
	if b, err := Find(t.Context()); err != nil || b.Version != "16.10" {
		t.Errorf("got %+v, %v, want the newest", b, err)
	}

	installed(t, old)
	_, err := Find(t.Context())
	var missing *NotFoundError
	if !errors.As(err, &missing) || len(missing.Rejected) != 1 || !strings.Contains(err.Error(), "13.1, older than 15") {
		t.Errorf("only an old server: %v", err)
	}

	installed(t)
	_, err = Find(t.Context())
	for _, want := range []string{"no PostgreSQL server of version 15 or later", "install", EnvBin + "=", "QUOKKA_POSTGRES_URL="} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no server: %v\ndoes not mention %q", err, want)
		}
	}
}

// TestClusterOfOtherVersion: a cluster runs under the version that made it only.
func TestClusterOfOtherVersion(t *testing.T) {
	dir := filepath.Join(reachable(t), "data")
	start(t, Config{DataDir: dir, Temporary: true}).halt()
	installed(t, fakeServer(t, "postgres (PostgreSQL) 99.1"))
	p, err := existing(dir)
	if err != nil || p.major < MinMajor {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err = find(t.Context(), p.major); err == nil || !strings.Contains(err.Error(), "the data directory was made by that version") || !strings.Contains(err.Error(), "99.1") {
		t.Errorf("got %v", err)
	}
	t.Setenv(EnvBin, fakeServer(t, "postgres (PostgreSQL) 99.1"))
	if _, err = find(t.Context(), p.major); err == nil || !strings.Contains(err.Error(), "was made by version") {
		t.Errorf("got %v", err)
	}
}

func TestWays(t *testing.T) {
	tests := map[string]struct {
		goos, release string
		root          bool
		want          string
	}{
		"debian":        {"linux", "ID=debian\n", false, "sudo apt-get install -y postgresql"},
		"debian, root":  {"linux", "ID=debian\n", true, "apt-get update && apt-get install -y postgresql"},
		"like debian":   {"linux", "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", false, "apt-get install -y postgresql"},
		"like rhel":     {"linux", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", false, "dnf install -y postgresql-server"},
		"alpine":        {"linux", "ID=alpine\n", true, "apk add postgresql"},
		"macOS":         {"darwin", "", false, "brew install postgresql@17"},
		"something new": {"linux", "ID=plan9\n", false, "with your package manager"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "os-release")
			if err := os.WriteFile(path, []byte(tt.release), 0o600); err != nil {
				t.Fatal(err)
			}
			got := ways(tt.goos, osRelease(path), tt.root)
			if len(got) != 3 || !strings.Contains(got[0], tt.want) || (tt.root && strings.Contains(got[0], "sudo")) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestVersionOrder(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"15.18", "15.9", 1}, {"15.18", "16.0", -1}, {"17.2", "17.2", 0}, {"18beta1", "17.9", 1}} {
		if got := compareVersions(tt.a, tt.b); got != tt.want {
			t.Errorf("%s and %s: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

// TestFindHere runs on whatever this machine has.
func TestFindHere(t *testing.T) {
	b, err := Find(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", runtime.GOOS, err)
	}
	if b.Major < MinMajor || b.Version == "" {
		t.Errorf("%+v", b)
	}
}
