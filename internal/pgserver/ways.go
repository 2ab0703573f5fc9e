package pgserver

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// NotFoundError says that this machine has no PostgreSQL server that will do. Its
// text lists the ways to get one, with the commands for this system.
type NotFoundError struct {
	Want     int      // the major version an existing data directory needs; 0 = any from MinMajor
	Rejected []string // servers that were found, and why they will not do
}

func (e *NotFoundError) Error() string {
	var b strings.Builder
	if e.Want != 0 {
		fmt.Fprintf(&b, "no PostgreSQL %d server found, and the data directory was made by that version", e.Want)
	} else {
		fmt.Fprintf(&b, "no PostgreSQL server of version %d or later found", MinMajor)
	}
	for _, r := range e.Rejected {
		fmt.Fprintf(&b, "\n  found: %s", r)
	}
	b.WriteString("\nAny one of these helps:")
	for _, way := range ways(runtime.GOOS, osRelease("/etc/os-release"), os.Geteuid() == 0) {
		fmt.Fprintf(&b, "\n  - %s", way)
	}
	return b.String()
}

// ways lists how to get a server on a system: goos and, on Linux, the ids that
// /etc/os-release gives, most specific first.
func ways(goos string, ids []string, root bool) []string {
	sudo := "sudo "
	if root {
		sudo = ""
	}
	install := ""
	if goos == "darwin" {
		install = "brew install postgresql@17"
	}
	for _, id := range ids {
		if install != "" {
			break
		}
		switch id {
		case "debian", "ubuntu":
			install = sudo + "apt-get update && " + sudo + "apt-get install -y postgresql"
		case "fedora", "rhel", "centos":
			install = sudo + "dnf install -y postgresql-server"
		case "alpine":
			install = sudo + "apk add postgresql"
		case "arch":
			install = sudo + "pacman -S postgresql"
		case "suse", "opensuse":
			install = sudo + "zypper install -y postgresql-server"
		}
	}
	var out []string
	if install != "" {
		out = append(out, "install it: "+install)
	} else {
		out = append(out, "install it with your package manager (the package is usually called postgresql or postgresql-server)")
	}
	return append(out,
		"name the folder that holds postgres and initdb: "+EnvBin+"=/path/to/bin",
		"use a running server: QUOKKA_POSTGRES_URL=postgres://user:password@host:5432/postgres (it needs wal_level=logical)",
	)
}

// osRelease returns ID and ID_LIKE of an os-release file, in this order.
func osRelease(path string) []string {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			fields[k] = strings.Trim(v, `"'`)
		}
	}
	return append(strings.Fields(fields["ID"]), strings.Fields(fields["ID_LIKE"])...)
}
