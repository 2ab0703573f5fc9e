package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestStale(t *testing.T) {
	tests := []string{"TestConn", "TestShareGroup", "TestShareGroupETL", "0052", "0077"}
	for _, tt := range []struct {
		left leftOut
		want []string
	}{
		{leftOut{"TestShareGroup.*", "TestConn/test_delete_topics.*", "0052"}, nil},
		{leftOut{"TestShare", "TestConn"}, []string{"TestShare"}},
		{leftOut{"TestDialer/.*TLS.*", "ShareGroup", "0092"}, []string{"TestDialer/.*TLS.*", "ShareGroup", "0092"}},
		{leftOut{"Test(", "TestConn|TestGone"}, []string{"Test("}},
	} {
		if got := tt.left.stale(tests); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.left, got, tt.want)
		}
	}
	r := result{suite: suite{name: "kgo"}}
	r.hold(leftOut{"TestGone"}, tests)
	if len(r.failures) != 1 || !strings.Contains(r.failures[0], "TestGone") {
		t.Errorf("failures: %q", r.failures)
	}
}

// download returns the folder of a module's sources.
func download(t *testing.T, module string) (dir string, err error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module).Output()
	var at struct{ Dir, Error string }
	if jerr := json.Unmarshal(out, &at); jerr != nil || at.Dir == "" {
		return "", fmt.Errorf("go mod download %s: %w", module, errors.Join(err, jerr, errors.New(at.Error)))
	}
	return at.Dir, nil
}

// TestLeftOutList holds the list against the Go suites' sources, in the versions that
// are run.
func TestLeftOutList(t *testing.T) {
	var names []string
	for _, s := range suites {
		names = append(names, s.name)
	}
	for line := range strings.Lines(leftOutList) {
		if name := strings.TrimSpace(strings.Split(line, "|")[0]); name != "suite" && !slices.Contains(names, name) {
			t.Errorf("leftout.txt: there is no suite %q", name)
		}
	}
	for _, tt := range []struct{ suite, module, pkg string }{
		{"kgo", franz, "pkg/kgo"}, {"kgo-chaos", franz, "pkg/kgo"}, {"kgo-tls", franz, "pkg/kgo"},
		{"kafka-go", kafkaGoModule, ""}, {"sarama", saramaModule, ""},
	} {
		version := suites[slices.Index(names, tt.suite)].version
		dir, err := download(t, tt.module+"@"+version)
		// A network may fail now and then; a wrong name or version fails each time.
		for tries := 2; err != nil && tries > 0; tries-- {
			t.Log(err)
			dir, err = download(t, tt.module+"@"+version)
		}
		if err != nil {
			t.Fatal(err)
		}
		tests, err := declared(filepath.Join(dir, tt.pkg))
		if err != nil || len(tests) < 20 {
			t.Fatalf("%s declares %d tests, %v", tt.module, len(tests), err)
		}
		var r result
		if stale := r.leave(tt.suite).stale(tests); len(stale) > 0 {
			t.Errorf("leftout.txt, %s: %q match no test", tt.suite, stale)
		}
	}
}
