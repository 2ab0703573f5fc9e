// Package scenario is for tests that step a state machine by the commands of a file and
// compare what it prints.
//
// A file has blocks, one blank line between: command lines, a line ----, and what they
// print. Lines that begin with # are comments. go test -rewrite writes what is printed
// into the files, to be read as a difference.
package scenario

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what the scenarios print into their files")

// Run runs each of the files testdata/*.txt as a test of its own. start makes what its
// commands are for, and returns what runs a line and says what that prints.
func Run(t *testing.T, start func(t *testing.T) (run func(line string) string)) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := strings.TrimSpace(string(data))
			got := play(want, start(t))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want+"\n" {
				t.Errorf("%s differs; run with -rewrite and read the difference. Got:\n%s", file, got)
			}
		})
	}
}

// play runs the commands of a file and returns it with what they print now.
func play(file string, run func(line string) string) string {
	var got strings.Builder
	for i, block := range strings.Split(file, "\n\n") {
		if i > 0 {
			got.WriteString("\n")
		}
		input, _, hasOutput := strings.Cut(block+"\n", "----\n")
		got.WriteString(input)
		var out strings.Builder
		commands := 0
		for line := range strings.Lines(input) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				out.WriteString(run(line))
				commands++
			}
		}
		if commands > 0 || hasOutput {
			got.WriteString("----\n" + out.String())
		}
	}
	return got.String()
}
