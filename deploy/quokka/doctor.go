package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/deploy/term"
	"github.com/quokka-stream/quokka/internal/pgserver"
)

type doctorCmd struct {
	DataDir string `default:".quokka" env:"QUOKKA_DATA_DIR" type:"path" help:"Where the platform will keep its data."`
	listen
}

// finding is one examined thing: what it is, and what to do if it is wrong.
type finding struct {
	subject, found, remedy string
	// fatal findings keep the platform from starting.
	fatal bool
}

// What is good enough, and what is not.
const (
	slowSync    = 20 * time.Millisecond
	littleSpace = 1 << 30
	needMemory  = 512 << 20
)

// Run examines the machine; the error says that the platform would not start.
func (c *doctorCmd) Run(ctx context.Context, out *output) error {
	findings := []finding{findPostgres(ctx)}
	findings = append(findings, c.ports(ctx)...)
	findings = append(findings, c.disk(), memory())
	bad := 0
	for _, f := range findings {
		mark := out.out.Paint(term.Green, "✓")
		if f.remedy != "" {
			mark = "!"
		}
		if f.fatal {
			mark = out.out.Paint(term.Red, "✗")
			bad++
		}
		out.out.Printf("  %s %-11s %s\n", mark, f.subject, f.found)
		for line := range strings.Lines(f.remedy) {
			out.out.Printf("    %-11s %s\n", "", strings.TrimRight(line, "\n"))
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of these would keep the platform from starting", bad)
	}
	return nil
}

func findPostgres(ctx context.Context) finding {
	if url := os.Getenv("QUOKKA_POSTGRES_URL"); url != "" {
		return finding{subject: "PostgreSQL", found: "QUOKKA_POSTGRES_URL names a server; none will be started"}
	}
	bin, err := pgserver.Find(ctx)
	if err != nil {
		first, rest, _ := strings.Cut(err.Error(), "\n")
		return finding{"PostgreSQL", first, rest, true}
	}
	return finding{subject: "PostgreSQL", found: fmt.Sprintf("%s, %s", bin.Version, bin.Postgres())}
}

// ports says which of the ports `quokka up` wants are taken.
func (c *doctorCmd) ports(ctx context.Context) []finding {
	given := c.parts()
	var out []finding
	for _, part := range slices.Sorted(func(yield func(platform.Part) bool) {
		for p := range platform.DefaultPorts {
			if !yield(p) {
				return
			}
		}
	}) {
		addr := given[part]
		if addr == "" {
			addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(platform.DefaultPorts[part]))
		}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err != nil {
			out = append(out, finding{"port", fmt.Sprintf("%s for %s: %v", addr, part, reason(err)),
				fmt.Sprintf("stop what uses it, or choose another with %s or %s", part.Flag(), part.Variable()), true})
			continue
		}
		l.Close()
	}
	if len(out) == 0 {
		out = append(out, finding{subject: "ports", found: fmt.Sprintf("the %d ports of `quokka up` are free", len(platform.DefaultPorts))})
	}
	return out
}

// reason is the innermost cause of an error.
func reason(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}

// disk measures how long it takes until a small write is on the disk: what an
// order waits for several times.
func (c *doctorCmd) disk() finding {
	dir := c.DataDir
	for ; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			break
		}
	}
	f, err := os.CreateTemp(dir, ".quokka-doctor-")
	if err != nil {
		return finding{"disk", fmt.Sprintf("cannot write in %s: %v", dir, err), "choose another --data-dir, or make this one writable", true}
	}
	defer os.Remove(f.Name())
	defer f.Close()
	const times = 20
	var took []time.Duration
	for range times {
		begin := time.Now()
		if _, err := f.Write(make([]byte, 512)); err != nil {
			return finding{"disk", fmt.Sprintf("cannot write in %s: %v", dir, err), "make room there", true}
		}
		if err := f.Sync(); err != nil {
			return finding{"disk", fmt.Sprintf("cannot sync in %s: %v", dir, err), "choose a --data-dir on a disk that can", true}
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	median := took[times/2]
	result := finding{subject: "disk", found: fmt.Sprintf("a synced write in %s takes %s", dir, millis(median))}
	if free, ok := freeSpace(dir); ok {
		result.found += fmt.Sprintf(", %s MB free", term.Count(int64(free>>20)))
		if free < littleSpace {
			result.remedy = "make room: databases and topics grow with use\n"
		}
	}
	if median > slowSync {
		result.remedy += "every order waits for a few of these; a data directory on a faster disk helps"
	}
	return result
}

// memory says whether the platform fits.
func memory() finding {
	free, ok := freeMemory()
	if !ok {
		return finding{subject: "memory", found: "not known on this system; the platform takes about 400 MB"}
	}
	result := finding{subject: "memory", found: fmt.Sprintf("%s MB available", term.Count(int64(free>>20)))}
	if free < needMemory {
		result.remedy = "the platform takes about 400 MB: end other programs first"
	}
	return result
}
