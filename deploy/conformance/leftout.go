package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// leftOutList has lines of suite | tests | reason; a subtest is named as go test
// names it.
//
//go:embed leftout.txt
var leftOutList string

// leftOut are the expressions of the tests of a suite that are not run.
type leftOut []string

// leave returns what is left out of a suite, and says so in its result.
func (r *result) leave(name string) leftOut {
	var out leftOut
	for line := range strings.Lines(leftOutList) {
		f := strings.Split(line, "|")
		if len(f) != 3 || strings.TrimSpace(f[0]) != name {
			continue
		}
		tests := strings.TrimSpace(f[1])
		out = append(out, strings.Fields(tests)...)
		r.leftOut = append(r.leftOut, tests+": "+strings.TrimSpace(f[2]))
	}
	return out
}

// pattern is an expression for all of them, as go test's -skip takes it.
func (l leftOut) pattern() string {
	var all []string
	for _, test := range l {
		all = append(all, "^"+strings.ReplaceAll(test, "/", "$/^")+"$")
	}
	return strings.Join(all, "|")
}

// stale returns those that leave out none of a suite's tests. Of a subtest only its
// test is looked for: what it has below shows when it runs.
func (l leftOut) stale(tests []string) (out []string) {
	for _, entry := range l {
		name, _, _ := strings.Cut(entry, "/")
		re, err := regexp.Compile("^(?:" + name + ")$")
		if err != nil || !slices.ContainsFunc(tests, re.MatchString) {
			out = append(out, entry)
		}
	}
	return out
}

// hold makes a failure of what leaves out none of the tests: it was written for another
// version of the suite, and may hide a test of the next.
func (r *result) hold(left leftOut, tests []string) {
	for _, entry := range left.stale(tests) {
		r.failures = append(r.failures, fmt.Sprintf("leftout.txt leaves out %s, which is no test of %s: remove or correct the line", entry, r.suite.name))
	}
}

var declaredTest = regexp.MustCompile(`(?m)^func (Test\w*)\(`)

// declared returns the tests that the files of a folder declare. The test binary
// would list them too, but not without what some suites set up first.
func declared(dir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // of the module cache
		if err != nil {
			return nil, err
		}
		for _, m := range declaredTest.FindAllStringSubmatch(string(text), -1) {
			out = append(out, m[1])
		}
	}
	return out, nil
}
