package main

import (
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/quokka-stream/quokka/deploy/compose"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"quokka": main})
}

// TestScripts runs the command line as it is typed, without a platform.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("REPOSITORY", compose.Root())
			// The user's settings stay out of it.
			for _, line := range os.Environ() {
				if name, _, _ := strings.Cut(line, "="); strings.HasPrefix(name, "QUOKKA_") || strings.HasPrefix(name, "OTEL_") {
					env.Setenv(name, "")
				}
			}
			return nil
		},
	})
}
