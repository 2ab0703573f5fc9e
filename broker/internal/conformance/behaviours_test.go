package conformance

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// behaviours is how many rules docs/conformance.md lists of those that clients rely
// on beyond the versions of requests.
const behaviours = 33

// TestBehavioursAreHeld: every rule is there with a test that holds it. That the
// tests linked to exist is held with every other link of the documents.
func TestBehavioursAreHeld(t *testing.T) {
	text, err := os.ReadFile("../../../docs/conformance.md")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the module is tested outside its workspace")
	}
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| [^|]+ \| .*\]\(\.\./broker/internal/.*\) \|$`).FindAllSubmatch(text, -1)
	if len(rows) != behaviours {
		t.Fatalf("the table has %d rules with tests, want %d", len(rows), behaviours)
	}
	for i, row := range rows {
		if string(row[1]) != strconv.Itoa(i+1) {
			t.Errorf("rule %s is in the place of rule %d", row[1], i+1)
		}
	}
}
