package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// cpu is processor time that a process has used.
type cpu struct{ user, sys time.Duration }

func (c cpu) minus(o cpu) cpu { return cpu{c.user - o.user, c.sys - o.sys} }
func (c cpu) perGB(bytes int64) [2]float64 {
	gb := float64(bytes) / 1e9
	return [2]float64{c.user.Seconds() / gb, c.sys.Seconds() / gb}
}

// tick is the unit of times in /proc on Linux, on every architecture that Go
// runs on.
const tick = 10 * time.Millisecond

// used reads what a process has used until now (proc_pid_stat(5)).
func used(pid int) (cpu, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return cpu{}, fmt.Errorf("processor times are read from /proc: %w", err)
	}
	// The name, in brackets, may hold anything; user and system time are the 12th
	// and 13th field after it.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return cpu{}, err
	}
	sys, err := strconv.Atoi(fields[12])
	return cpu{time.Duration(user) * tick, time.Duration(sys) * tick}, err
}

// memory reads a process's resident memory in bytes, now and at its highest.
func memory(pid int) (now, peak int64, err error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			now = kb << 10
		} else if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			peak = kb << 10
		}
	}
	return now, peak, nil
}

// await returns when a server answers a metadata request.
func await(ctx context.Context, addr string) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RetryTimeout(10*time.Second))
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = kadm.NewClient(c).Metadata(ctx, "none")
	return err
}

// median and quantile sort their values.
func median(v []float64) float64 { return quantile(v, .5) }

func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[min(int(q*float64(len(v))), len(v)-1)]
}
