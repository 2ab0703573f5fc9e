package main

import (
	"strings"
	"testing"
	"time"
)

// TestTable: a line for each suite, short enough for a terminal; what was not run does
// not look like a suite without tests.
func TestTable(t *testing.T) {
	var out strings.Builder
	if err := table(&out, []result{
		{suite: suite{name: "kgo", version: "v1.22.2"}, passed: 462, skipped: 3, leftOut: []string{"TestShareGroup.*: the broker has no share groups"}, took: 125 * time.Second},
		{suite: suite{name: "librdkafka", version: "v2.15.0"}, passed: 6, failures: []string{"lz4"}, took: 6 * time.Second},
		{suite: suite{name: "kafkajs", version: "2.2.4"}, notRun: "no npm on this machine (Debian: apt-get install npm)"},
	}); err != nil {
		t.Fatal(err)
	}
	const want = `
| suite      | version | passed  | failed | skipped by itself | left out | time  |
|---         |---      |---      |---     |---                |---       |---    |
| kgo        | v1.22.2 | 462     | 0      | 3                 | 1        | 125 s |
| librdkafka | v2.15.0 | 6       | 1      | 0                 | 0        | 6 s   |
| kafkajs    | 2.2.4   | not run |        |                   |          |       |

kgo leaves out TestShareGroup.*: the broker has no share groups
kafkajs is not run: no npm on this machine (Debian: apt-get install npm)
`
	if got := "\n" + out.String(); got != want {
		t.Errorf("printed:\n%s", got)
	}
}
