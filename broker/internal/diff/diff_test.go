package diff

import (
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/quokka-stream/quokka/broker/brokertest"
)

var (
	rewrite = flag.Bool("rewrite", false, "write what Apache Kafka (QUOKKA_DIFF_KAFKA) answers into the golden files")
	kafka   = os.Getenv("QUOKKA_DIFF_KAFKA")
)

// ours is the versions that this broker advertises.
var ours struct {
	once sync.Once
	v    map[int16]span
}

func ourVersions(t testing.TB) map[int16]span {
	t.Helper()
	ours.once.Do(func() { ours.v = askVersions(t, brokertest.Start(t).Addr()) })
	return ours.v
}

// TestAgainstKafka: this broker answers as Apache Kafka did, or does.
func TestAgainstKafka(t *testing.T) {
	if *rewrite {
		if kafka == "" {
			t.Fatal("-rewrite needs an Apache Kafka: set QUOKKA_DIFF_KAFKA to its address (make diff-kafka starts one)")
		}
		writeVersions(t)
	}
	listed := loadDifferences(t)
	addr := brokertest.Start(t).Addr()
	all := slices.Concat(scenarios, generated(0, goldenSeeds))
	if kafka != "" && !*rewrite {
		all = slices.Concat(all, generated(goldenSeeds, liveSeeds))
	}
	for _, sc := range all {
		t.Run(sc.name, func(t *testing.T) {
			file := filepath.Join("testdata", "golden", sc.name+".txt")
			var theirs []string
			if kafka != "" {
				theirs = transcript(t, kafka, sc)
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(strings.Join(theirs, "\n")+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if kafka == "" {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				theirs = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
			}
			compare(t, sc.name, steps(transcript(t, addr, sc)), steps(theirs), listed)
		})
	}
	if t.Failed() || flag.Lookup("test.run").Value.String() != "" {
		return
	}
	for _, d := range listed {
		if !d.seen && (kafka != "" || !strings.HasPrefix(d.scenario, "gen-")) { // more is generated for a Kafka at hand
			t.Errorf("%s:%d: this difference is no longer there: delete the line", differencesFile, d.line)
		}
	}
}

// step is one answer: its fields by path.
type step struct {
	name   string
	fields map[string]string
}

func steps(lines []string) []step {
	var out []step
	seen := map[string]int{}
	for _, line := range lines {
		if name, ok := strings.CutPrefix(line, "== "); ok {
			if seen[name]++; seen[name] > 1 {
				name = fmt.Sprintf("%s #%d", name, seen[name])
			}
			out = append(out, step{name, map[string]string{}})
			continue
		}
		path, value, _ := strings.Cut(line, " = ")
		out[len(out)-1].fields[path] = value
	}
	return out
}

func compare(t *testing.T, scenario string, our, their []step, listed []*difference) {
	t.Helper()
	for i := range max(len(our), len(their)) {
		if i >= len(our) || i >= len(their) || our[i].name != their[i].name {
			t.Errorf("from step %d on the two go different ways", i)
			return
		}
		paths := map[string]bool{}
		for p := range our[i].fields {
			paths[p] = true
		}
		for p := range their[i].fields {
			paths[p] = true
		}
		var sorted []string
		for p := range paths {
			sorted = append(sorted, p)
		}
		sort.Strings(sorted)
		for _, p := range sorted {
			a, inA := our[i].fields[p]
			b, inB := their[i].fields[p]
			if !inA {
				a = "-"
			}
			if !inB {
				b = "-"
			}
			if a != b && !excused(listed, scenario, our[i].name, p, a, b) {
				t.Errorf("%s\n\t%s\n\tours  %s\n\tKafka %s", our[i].name, p, a, b)
			}
		}
	}
}

// difference is a line of testdata/differences.txt.
type difference struct {
	scenario, step, path, ours, theirs, reason string
	line                                       int
	seen                                       bool
}

const differencesFile = "testdata/differences.txt"

func loadDifferences(t *testing.T) []*difference {
	t.Helper()
	text, err := os.ReadFile(differencesFile)
	if err != nil {
		t.Fatal(err)
	}
	var out []*difference
	line := 0
	for l := range strings.Lines(string(text)) {
		line++
		if l = strings.TrimSpace(l); l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		f := strings.Split(l, "|")
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		if len(f) != 6 || f[5] == "" {
			t.Fatalf("%s:%d: want scenario | step | field | ours | Kafka's | reason", differencesFile, line)
		}
		if f[2] == "*" || f[3] == "*" && f[4] == "*" {
			t.Fatalf("%s:%d: name the field, and ours or Kafka's value: what is not listed must be equal", differencesFile, line)
		}
		out = append(out, &difference{scenario: f[0], step: f[1], path: f[2], ours: f[3], theirs: f[4], reason: f[5], line: line})
	}
	return out
}

func excused(listed []*difference, scenario, step, at, a, b string) bool {
	for _, d := range listed {
		if fits(d.scenario, scenario) && fits(d.step, step) && fits(d.path, at) && fits(d.ours, a) && fits(d.theirs, b) {
			d.seen = true
			return true
		}
	}
	return false
}

// fits matches with * for anything; brackets, which paths are full of, are plain.
func fits(pattern, text string) bool {
	clean := strings.NewReplacer("[", "{", "]", "}", "/", "_", `\`, "_")
	ok, err := path.Match(clean.Replace(pattern), clean.Replace(text))
	return err == nil && ok
}

func writeVersions(t *testing.T) {
	t.Helper()
	var b strings.Builder
	b.WriteString("# key, least and newest version that Apache Kafka advertises; written with -rewrite\n")
	theirs := askVersions(t, kafka)
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		if v, ok := theirs[key]; ok {
			fmt.Fprintln(&b, key, v.min, v.max)
		}
	}
	if err := os.WriteFile(versionsFile, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
