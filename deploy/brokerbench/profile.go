package main

import (
	"os"
	"path/filepath"
	"runtime/pprof"
)

// profileEnv tells our broker, as a child process, where its profiles go.
const profileEnv = "BROKERBENCH_PROFILE"

// profiles is the directory for them; empty: none are wanted.
var profiles string

// profile begins the CPU profile of this process, if one is wanted. The profile of
// the last server with a flush policy is the one that stays.
func profile(flush string) (stop func(), err error) {
	dir := os.Getenv(profileEnv)
	if dir == "" {
		return func() {}, nil
	}
	f, err := os.Create(filepath.Join(dir, flush+".pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a profile that is cut short shows when it is read
	}, nil
}
